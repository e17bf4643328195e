"""The layer below the agent: a prompt in, events out; `aggregate` drops the deltas and keeps whole items."""

import anyio

from agent_core import ModelClient, Prompt, ToolSpec, aggregate
from agent_core.testing import RehearsalServer


async def main() -> None:
    city = {"type": "object", "properties": {"city": {"type": "string"}}}
    prompt = Prompt("Weather in Oslo?", tools=[ToolSpec("get_weather", "Weather of a city", city)])
    with RehearsalServer() as server:
        client = ModelClient("rehearsal/weather", provider=server.provider, wire="responses")
        async with client, client.stream(prompt) as events:
            async for event in aggregate(events):
                print(type(event).__name__, getattr(event, "item", ""))


anyio.run(main)
