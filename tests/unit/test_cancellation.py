"""What is a cancellation and what is an error, on both event loops."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from agent_core.cancellation import being_cancelled, is_cancellation, lone

pytestmark = pytest.mark.anyio


async def cancelled() -> BaseException:
    """A real one, as it passes through a cancelled scope."""
    caught: list[BaseException] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        except BaseException as error:
            caught.append(error)
            raise
    return caught[0]


Make = Callable[[BaseException, BaseException], BaseException]
OURS = ValueError("ours")
KINDS: dict[str, tuple[Make, bool, str]] = {
    "alone": (lambda a, b: a, True, "a"),
    "a nursery's": (lambda a, b: BaseExceptionGroup("", [a, b]), True, "a"),
    "a nursery's in a nursery's": (lambda a, b: BaseExceptionGroup("", [BaseExceptionGroup("", [a]), b]), True, "a"),
    "beside an error": (lambda a, b: BaseExceptionGroup("", [a, OURS]), False, "ours"),
    "an error": (lambda a, b: OURS, False, "ours"),
    "an error in a group": (lambda a, b: ExceptionGroup("", [OURS]), False, "ours"),
    "two errors": (lambda a, b: ExceptionGroup("", [OURS, KeyError("other")]), False, "itself"),
}


@pytest.mark.parametrize("name", KINDS)
async def test_groups_are_seen_through(name: str) -> None:
    """Cancellations are one cancellation, an error beside them is the error, and two errors stay a group."""
    make, is_one, left = KINDS[name]
    a, b = await cancelled(), await cancelled()
    error = make(a, b)
    assert is_cancellation(error) is is_one
    assert lone(error) is {"a": a, "ours": OURS, "itself": error}[left]


async def test_being_cancelled() -> None:
    """Asked for by a scope around, and by nobody outside of it."""
    assert not being_cancelled()
    with anyio.CancelScope() as scope:
        scope.cancel()
        assert being_cancelled()
        await anyio.sleep_forever()
    assert not being_cancelled()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_being_cancelled_by_asyncio_itself(anyio_backend: str) -> None:
    """`task.cancel()` counts; an exception that came from something else that was cancelled does not."""
    import asyncio

    seen: list[bool] = []

    async def waits(on: asyncio.Future[None]) -> None:
        try:
            await on
        except asyncio.CancelledError:
            seen.append(being_cancelled())

    loop = asyncio.get_running_loop()
    for cancel_the_task in (True, False):
        future: asyncio.Future[None] = loop.create_future()
        task = asyncio.create_task(waits(future))
        await asyncio.sleep(0)
        _ = task.cancel() if cancel_the_task else future.cancel()
        await task
    assert seen == [True, False]
