"""Somebody else's code in a task of its own: what it gives, and that nobody waits for it for ever."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from agent_core.tools.own_task import in_own_task

pytestmark = pytest.mark.anyio

LEFT = "it did not end when it was cancelled and may still be at work"


class Ours(BaseException):
    """As KeyboardInterrupt, but harmless to a test."""


@pytest.mark.parametrize("error", [ValueError("x"), Ours("stop"), ExceptionGroup("g", [ValueError("y")])])
async def test_what_it_raises_is_raised(error: BaseException) -> None:
    """As it is, and the event loop never sees it."""

    async def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await in_own_task(fail)
    assert caught.value is error


async def cancelled_while(work: Callable[[], Awaitable[object]], started: anyio.Event) -> list[str] | object:
    """The notes of the cancellation, or what it gave in spite of it."""
    got: list[object] = []

    async def wait() -> None:
        try:
            got.append(await in_own_task(work, grace_s=0.02))
        except BaseException as error:
            got.append(list(getattr(error, "__notes__", ())))
            raise

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await started.wait()
        tasks.cancel_scope.cancel()
    return got[0]


async def test_its_last_words_are_kept() -> None:
    """Notes it adds to its own cancellation are on the one that is raised."""
    started = anyio.Event()

    async def work() -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        except BaseException as error:
            error.add_note("half of it is done")
            raise

    assert await cancelled_while(work, started) == ["half of it is done"]


async def test_what_it_gives_in_time_counts() -> None:
    """A tool that finishes its work in spite of the cancel has a result."""
    started = anyio.Event()

    async def work() -> str:
        started.set()
        with anyio.CancelScope(shield=True):
            await anyio.lowlevel.checkpoint()
        return "done"

    assert await cancelled_while(work, started) == "done"


@pytest.mark.parametrize("how", ["swallows", "shields"])
async def test_one_that_does_not_end_is_left_behind(how: str) -> None:
    """Its caller goes on, and is told; the task itself ends when it will."""
    started, release, ended = anyio.Event(), anyio.Event(), anyio.Event()

    async def work() -> None:
        started.set()
        with anyio.CancelScope(shield=how == "shields"):
            while not release.is_set():
                try:
                    await release.wait()
                except BaseException:  # noqa: BLE001  # what such a tool does
                    await anyio.lowlevel.cancel_shielded_checkpoint()
        ended.set()

    assert await cancelled_while(work, started) == [LEFT]
    release.set()
    await ended.wait()


async def test_cancelled_before_it_began() -> None:
    """Nobody waits for what will never be done."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await in_own_task(anyio.sleep_forever)
    assert scope.cancelled_caught
