"""Faults on purpose: an agent whose model is reset, overloaded and cut off, and which answers all the same."""

import anyio

from agent_core import Agent
from agent_core.retry import RetryPolicy, RetryScheduled
from agent_core.testing import Fault, FaultServer, Step

FAULTS = [
    Fault("status", status=529, headers={"retry-after": "0.1"}),
    Fault("eof", "text", after=3),
    Fault("torn", "text", after=5),
]


async def main() -> None:
    with FaultServer([Step(text="It takes more than that to lose an answer.")], FAULTS) as server:
        agent = Agent(server.model, provider=server.provider, retry=RetryPolicy(base_delay_s=0.2))
        async with agent.stream("Are you there?") as turn:
            async for event in turn:
                if isinstance(event, RetryScheduled):
                    print(f"{event.stage}: {event.error}; again in {event.delay_s:.1f} s")
        print(turn.result.text)


anyio.run(main)
