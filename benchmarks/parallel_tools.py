"""How long tools of one response take together, in real time: eight readers of a second, and a writer between them.

    python benchmarks/parallel_tools.py

The model is the scripted one over loopback; wall time from the first ToolStarted to the last ToolFinished.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import anyio

from agent_core import Agent, tool
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.turn_events import ToolFinished, ToolStarted


@tool(read_only=True)
async def read() -> str:
    """Takes a second."""
    await anyio.sleep(1)
    return "read"


@tool(read_only=True)
def read_in_thread() -> str:
    """Takes a second, in a thread."""
    time.sleep(1)
    return "read"


@tool
async def write() -> str:
    """Takes a second, alone."""
    await anyio.sleep(1)
    return "written"


async def took(names: Sequence[str]) -> float:
    steps = (Step(calls=tuple(Call(name) for name in names)), Step(text="Done."))
    with RehearsalServer(steps, pace_s=0) as server:
        agent = Agent(server.model, provider=server.provider, tools=[read, read_in_thread, write])
        async with agent.stream("Go.") as turn:
            times = [time.monotonic() async for event in turn if isinstance(event, ToolStarted | ToolFinished)]
    return times[-1] - times[0]


async def main() -> None:
    for what, names in {
        "8 readers, async": ["read"] * 8,
        "8 readers, in threads": ["read_in_thread"] * 8,
        "4 readers, 1 writer, 4 readers": [*["read"] * 4, "write", *["read"] * 4],
    }.items():
        print(f"{what:32} {await took(names):.2f} s")


if __name__ == "__main__":
    anyio.run(main)
