"""Another model goes on: the first one has no capacity in the middle of a turn, the second ends it, on another wire."""

import anyio

from agent_core import Agent, ModelClient, RetryPolicy, tool
from agent_core.prompt import Prompt
from agent_core.retry import FellBack
from agent_core.testing import Call, RehearsalServer, Step


@tool
def temperature(city: str) -> str:
    """The temperature in a city."""
    return f"21 degrees in {city}"


def big(prompt: Prompt) -> Step:
    if len(prompt.items) > 1:
        return Step(status=529, error="overloaded, try again in 5 minutes")
    return Step(calls=(Call("temperature", {"city": "Lisbon"}),))


async def main() -> None:
    once = RetryPolicy(max_attempts=1)
    with RehearsalServer(big) as first, RehearsalServer(lambda prompt: Step(text="21 degrees.")) as second:
        async with ModelClient("rehearsal/small", provider=second.provider, wire="messages") as small:
            tools = [temperature]
            agent = Agent("rehearsal/big", provider=first.provider, retry=once, fallbacks=[small], tools=tools)
            async with agent.stream("How warm is it in Lisbon?") as turn:
                async for event in turn:
                    if isinstance(event, FellBack):
                        print(f"{event.failed} is {event.reason}, {event.model} goes on")
            print(turn.result.text)


anyio.run(main)
