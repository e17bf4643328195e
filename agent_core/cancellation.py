"""Being cancelled, on both event loops: telling it from an error, also where trio has wrapped it in a group.

A trio nursery raises groups even when all its tasks were only cancelled, so `except get_cancelled_exc_class()` misses
a cancellation that came through somebody's nursery: an HTTP client's connection attempts, a tool's. And on asyncio the
exception alone does not say that anybody asked this task to end: waiting for what was cancelled raises it too.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from typing import cast

import anyio

__all__ = ["being_cancelled", "is_cancellation", "lone", "sheltered"]


def is_cancellation(error: BaseException) -> bool:
    """Whether the error is a cancellation, or a group of nothing else."""
    cancelled = anyio.get_cancelled_exc_class()
    return all(isinstance(leaf, cancelled) for leaf in _leaves(error))


def lone(error: BaseException) -> BaseException:
    """The one error a group holds: beside others cancellations do not count, and several of those are one. Itself, if
    it is no group or holds several errors."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    leaves = list(_leaves(group))
    errors = [leaf for leaf in leaves if not is_cancellation(leaf)]
    if not errors:
        return leaves[0]
    return errors[0] if len(errors) == 1 else group


def being_cancelled() -> bool:
    """Whether somebody asks the current task to end: an enclosing scope or, on asyncio, `task.cancel()`."""
    if anyio.current_effective_deadline() == -math.inf:
        return True
    from asyncio import CancelledError, current_task

    if anyio.get_cancelled_exc_class() is not CancelledError:
        return False
    task = current_task()
    return task is None or task.cancelling() > 0


async def sheltered(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` to its end, however often the caller is cancelled meanwhile; then the cancellation goes on.

    A shield alone does not do that on asyncio: it holds against scopes, not against `task.cancel()`. In a task of its
    own `work` is out of reach of that.
    """

    async def run() -> None:
        with anyio.CancelScope(shield=True):
            await work()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
    except BaseExceptionGroup as group:
        raise lone(group) from None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for member in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(member)
    else:
        yield error
