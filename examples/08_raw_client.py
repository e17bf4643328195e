"""The layer below the agent: a prompt in, events out; `aggregate` drops the deltas and keeps whole items."""

import anyio
from agent_core import ModelClient, Prompt, ToolSpec, aggregate
from agent_core.testing import RehearsalServer


async def main() -> None:
    weather = ToolSpec("get_weather", "Weather of a city", {"type": "object", "properties": {"city": {"type": "string"}}})
    with RehearsalServer() as server:
        async with ModelClient("rehearsal/weather", provider=server.provider, wire="responses") as client:
            async with client.stream(Prompt("Weather in Oslo?", tools=[weather])) as events:
                async for event in aggregate(events):
                    print(type(event).__name__, getattr(event, "item", ""))


anyio.run(main)
