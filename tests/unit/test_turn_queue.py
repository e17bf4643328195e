"""The queue between the loop and its reader: backpressure for what can wait, never for last words."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from agent_core.turn_events import ToolProgress, TurnEvent
from agent_core.turn_queue import TurnQueue

pytestmark = pytest.mark.anyio
A, B, C, D = (ToolProgress(name, "") for name in "abcd")


async def drained(queue: TurnQueue[TurnEvent]) -> list[TurnEvent]:
    read: list[TurnEvent] = []
    while (event := await queue.get()) is not None:
        read.append(event)
    return read


async def test_a_writer_waits_for_a_slow_reader() -> None:
    """It is one event ahead, and goes on when the reader has caught up."""
    queue, put = TurnQueue[TurnEvent](1), list[TurnEvent]()

    async def write() -> None:
        for event in (A, B, C):
            await queue.put(event)
            put.append(event)
        queue.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        await anyio.wait_all_tasks_blocked()
        assert put == [A]
        assert await drained(queue) == [A, B, C]


async def test_last_words_need_no_reader() -> None:
    """Notes and the end go in though the queue is full, in order."""
    queue = TurnQueue[TurnEvent](1)
    for event in (A, B, C):
        queue.note(event)
    queue.close()
    assert await drained(queue) == [A, B, C]
    assert await queue.get() is None


async def test_a_cancelled_writer_has_handed_its_event_over() -> None:
    """Waiting comes after: nothing is lost with it, and several writers wait at once."""
    queue = TurnQueue[TurnEvent](0)
    async with anyio.create_task_group() as tasks:
        for event in (A, B):
            tasks.start_soon(queue.put, event)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    queue.close()
    assert sorted(await drained(queue), key=repr) == [A, B]  # trio starts tasks in any order


async def test_a_reader_that_leaves_holds_nobody_up() -> None:
    """Writers go on at once, and what they say is dropped."""
    queue = TurnQueue[TurnEvent](0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.put, A)
        await anyio.wait_all_tasks_blocked()
        queue.leave()
    await queue.put(B)
    queue.note(C)
    assert await queue.get() is None


async def test_a_reader_waits_for_what_comes() -> None:
    """And is woken by an event, or by the end."""
    queue, read = TurnQueue[TurnEvent](4), list[TurnEvent]()

    async def reader() -> None:
        read.extend(await drained(queue))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reader)
        for event in (A, D):
            await anyio.wait_all_tasks_blocked()
            queue.note(event)
        await checkpoint()
        queue.close()
    assert read == [A, D]
