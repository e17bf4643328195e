"""Many streams at once, then many turns in a row, in one process, and what is left of them, as one line of JSON.

    python -X tracemalloc -m tests.reliability.soak 1000 2000 asyncio

With `-X tracemalloc` everything the interpreter allocated is counted, from before the first import; without it, what
was allocated since this file was loaded. What is done once is done in a small round before each measured one.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import tracemalloc
from collections import Counter
from contextlib import AsyncExitStack

import anyio

from agent_core import Agent, ModelClient, tool
from agent_core.codecs import WIRES
from agent_core.errors import ModelError
from agent_core.retry import RetryPolicy
from agent_core.transport import Timeouts

from .serving import SAID, TEXT, serving, without_limit

WARM_UP = 20
"""What the server's faults repeat after."""

NEVER = RetryPolicy(max_attempts=1, max_restarts=0)
CITY = "Paris"


def counted() -> dict[str, int]:
    """What this process holds at the moment."""
    gc.collect()
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    return {"memory": held, "files": len(os.listdir("/proc/self/fd")), "tasks": len(anyio.get_running_tasks())}


class Streams:
    """So many streams of three clients, one for each wire, all open before the first of them is read on."""

    def __init__(self, count: int, url: str, *, idle_s: float) -> None:
        self.ended: Counter[str] = Counter()
        self.most_open = 0
        self._count, self._url, self._idle_s = count, url, idle_s
        self._begun = self._open = 0
        self._all_begun = anyio.Event()

    async def run(self) -> None:
        timeouts = Timeouts(connect_s=60, first_event_s=120, idle_s=self._idle_s)
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(
                    ModelClient("soak/m", base_url=self._url, wire=wire, api_key="k", retry=NEVER, timeouts=timeouts)
                )
                for wire in WIRES
            ]
            async with anyio.create_task_group() as tasks:
                for n in range(self._count):
                    tasks.start_soon(self._one, clients[n % len(clients)])

    async def _one(self, client: ModelClient) -> None:
        try:
            async with AsyncExitStack() as stack:
                try:
                    events = await stack.enter_async_context(client.stream("Hello"))
                    self._open += 1
                    stack.callback(self._closed)
                finally:
                    self._begins()
                await self._all_begun.wait()
                async for _ in events:
                    pass
                self.ended["answer" if events.snapshot().text == TEXT else "another answer"] += 1
        except ModelError as error:
            self.ended[type(error).__name__] += 1

    def _begins(self) -> None:
        self._begun += 1
        self.most_open = max(self.most_open, self._open)
        if self._begun == self._count:
            self._all_begun.set()

    def _closed(self) -> None:
        self._open -= 1


async def soak_streams(count: int, url: str) -> dict[str, object]:
    await Streams(WARM_UP, url, idle_s=0.3).run()
    before, started = counted(), time.perf_counter()
    # One fault in ten is silence; the others are to have time, however slow the machine.
    streams = Streams(count, url, idle_s=max(1.5, count / 50))
    await streams.run()
    seconds = time.perf_counter() - started
    ended, most_open = dict(streams.ended), streams.most_open
    del streams
    return figures(before, seconds) | {"ended": ended, "most_open": most_open}


async def soak_turns(count: int, url: str) -> dict[str, object]:
    """So many turns of one agent, each with a call; the session is rolled back, so that each is like the one before."""
    ran: list[str] = []

    @tool
    def weather(city: str, unit: str) -> str:
        """The weather of a city."""
        ran[:] = [city]
        return "sunny"

    async with Agent("soak/m", base_url=url, wire="chat", api_key="k", tools=[weather]) as agent:
        for _ in range(WARM_UP):
            await turn(agent)
        before, started = counted(), time.perf_counter()
        for _ in range(count):
            ran.clear()
            await turn(agent)
            assert ran == [CITY]
        return figures(before, time.perf_counter() - started)


async def turn(agent: Agent) -> None:
    async with agent.stream("How is the weather?") as running:
        async for _ in running:
            pass
    assert running.result.text == SAID
    agent.session.rollback()


def figures(before: dict[str, int], seconds: float) -> dict[str, object]:
    """What there was, what there is, and by how much memory grew."""
    after = counted()
    grown = after["memory"] - before["memory"]
    return {
        "before": before,
        "after": after,
        "grown": grown,
        "grown_percent": round(100 * grown / before["memory"], 2),
        "seconds": round(seconds, 1),
    }


async def soak(streams: int, turns: int) -> dict[str, object]:
    with serving() as (fine, faulty):
        return {"streams": await soak_streams(streams, faulty), "turns": await soak_turns(turns, fine)}


def main(streams: str, turns: str, backend: str) -> None:
    without_limit()
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    print(json.dumps(anyio.run(soak, int(streams), int(turns), backend=backend)))


if __name__ == "__main__":
    main(*sys.argv[1:])
