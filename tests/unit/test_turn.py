"""The handle on a running turn, over a body of one's own: who may stop it, when, from where; and who never waits."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio import to_thread

from agent_core.errors import CallerError
from agent_core.turn import QUEUE, Turn, TurnBody
from agent_core.turn_events import StopReason, ToolProgress, TurnEvent, TurnFinished, TurnResult

pytestmark = pytest.mark.anyio


def turn_of(run: Callable[[Turn], Awaitable[StopReason]]) -> Turn:
    return Turn(TurnBody(run, TurnResult))


async def forever(turn: Turn) -> StopReason:
    await anyio.sleep_forever()
    return "completed"


async def flood(turn: Turn) -> StopReason:
    """Says more than the queue holds, and would never stop."""
    while True:
        await turn.emit(ToolProgress("a", "x"))


async def read(turn: Turn) -> list[TurnEvent]:
    return [event async for event in turn]


CANCELLED = TurnFinished(TurnResult("cancelled"))


async def test_cancelled_twice_is_cancelled_once() -> None:
    """And a third time after the end."""
    async with turn_of(forever) as turn:
        turn.cancel()
        turn.cancel()
        assert await read(turn) == [CANCELLED]
    turn.cancel()
    assert turn.result.stop_reason == "cancelled"


async def test_a_turn_may_be_cancelled_before_it_begins() -> None:
    """It ends as soon as it has begun; one that never begins has no result."""
    turn = turn_of(forever)
    turn.cancel()
    async with turn:
        assert await read(turn) == [CANCELLED]
    never = turn_of(forever)
    never.cancel()
    with pytest.raises(CallerError, match="has not finished"):
        _ = never.result


async def test_cancel_while_it_cleans_up() -> None:
    """What is shielded is not cut short, however often it is asked for."""
    cleaning, cleaned = anyio.Event(), list[str]()

    async def tidy(turn: Turn) -> StopReason:
        try:
            return await forever(turn)
        finally:
            with anyio.CancelScope(shield=True):
                cleaning.set()
                await anyio.wait_all_tasks_blocked()
                cleaned.append("all")

    async with turn_of(tidy) as turn:
        turn.cancel()
        await cleaning.wait()
        turn.cancel()
        await read(turn)
    assert (cleaned, turn.result.stop_reason) == (["all"], "cancelled")


async def test_a_reader_that_never_reads_holds_nothing_up() -> None:
    """The queue is full, the loop waits: a cancel ends it at once, and what it said can still be read, in order."""
    ended = anyio.Event()

    async def run(turn: Turn) -> StopReason:
        try:
            return await flood(turn)
        finally:
            ended.set()

    async with turn_of(run) as turn:
        await anyio.wait_all_tasks_blocked()
        turn.cancel()
        await ended.wait()
        assert turn.result.stop_reason == "cancelled"
        events = await read(turn)
    assert (len(events), events[-1]) == (QUEUE + 2, CANCELLED)


async def test_a_block_that_is_left_unread_ends() -> None:
    """Nobody ever iterates it; the loop that waits for room is ended."""
    async with turn_of(flood) as turn:
        await anyio.wait_all_tasks_blocked()
    assert turn.result.stop_reason == "cancelled"


async def test_cancel_from_another_thread() -> None:
    """While the turn runs, before it began, and after its event loop is gone."""
    async with turn_of(forever) as turn:
        await to_thread.run_sync(turn.cancel)
        assert await read(turn) == [CANCELLED]
    early = turn_of(forever)
    await to_thread.run_sync(early.cancel)
    async with early:
        assert await read(early) == [CANCELLED]
    thread = threading.Thread(target=turn.cancel)
    thread.start()
    await to_thread.run_sync(thread.join)


async def test_steering_from_another_thread_is_heard_or_refused() -> None:
    """A thread that talks until it is refused: everything it got in was taken or is still there at the end."""
    heard, said = list[object](), list[str]()

    async def listens(turn: Turn) -> StopReason:
        while len(heard) < 50:
            await anyio.lowlevel.checkpoint()
            heard.extend(turn.steering.take())
        heard.extend(turn.steering.close())
        return "completed"

    def talk() -> None:
        try:
            while True:
                turn.steer(f"{len(said)}")
                said.append("")
        except CallerError:
            pass

    async with turn_of(listens) as turn, anyio.create_task_group() as tasks:
        tasks.start_soon(to_thread.run_sync, talk)
        await read(turn)
    assert len(heard) == len(said)


@pytest.mark.parametrize("text", ["", " \n", None])
async def test_steering_needs_words(text: str) -> None:
    """What says nothing is refused."""
    with pytest.raises(CallerError, match="a turn is steered with a text"):
        turn_of(forever).steer(text)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_turn_whose_own_wait_was_cancelled_still_ends(anyio_backend: str) -> None:
    """asyncio: the body waits for a future that is cancelled, nobody cancelled the turn: it ends, and says so."""
    import asyncio

    async def run(turn: Turn) -> StopReason:
        gone: asyncio.Future[StopReason] = asyncio.get_running_loop().create_future()
        gone.cancel()
        return await gone

    async with turn_of(run) as turn:
        assert await read(turn) == [CANCELLED]


async def test_errors_of_a_nursery_leave_alone() -> None:
    """A group of one is that one; cancellations beside it do not count."""

    async def run(turn: Turn) -> StopReason:
        raise BaseExceptionGroup("", [ExceptionGroup("", [KeyError("x")])])

    with pytest.raises(KeyError):
        async with turn_of(run) as turn:
            await read(turn)
