"""Somebody else's code in a task of its own, so that it can be left behind when it does not end.

A tool that swallows its cancellation, or shields itself from it, would hold up whoever waits for it: a time limit, a
turn that is cancelled, the end of the program. Here it is cancelled, waited for a while, and then left: the one task of
this package that may outlive its block, and the model is told so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

from ..cancellation import is_cancellation, lone

if TYPE_CHECKING:
    from asyncio import Task

__all__ = ["GRACE_S", "in_own_task"]

GRACE_S = 10.0
"""How long a tool may take to clean up once it is cancelled. In the middle of it, it is cancelled once more."""

T = TypeVar("T")

_at_work: set[Task[None]] = set()  # asyncio forgets tasks nobody refers to, in the middle of their work


async def in_own_task(work: Callable[[], Awaitable[T]], *, grace_s: float = GRACE_S) -> T:
    """What `work` returns or raises. Cancelled, it raises that with the notes `work` added to its own cancellation; if
    `work` ended with something else by then, it is that."""
    held = _Held(work)
    cancel = _started(held)
    try:
        await held.done.wait()
    except BaseException as cancelled:
        try:
            with anyio.CancelScope(shield=True):
                for _ in range(2):
                    cancel()
                    with anyio.move_on_after(grace_s / 2):
                        await held.done.wait()
        finally:
            for note in held.notes():
                cancelled.add_note(note)
        if held.was_cancelled:
            raise
    return held.result()


class _Held(Generic[T]):
    """The work, and what came of it."""

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self.done = anyio.Event()
        self._work = work
        self._results: list[T] = []
        self._error: BaseException | None = None

    async def run(self) -> None:
        """Raises nothing but cancellations: an event loop must not see a tool's KeyboardInterrupt."""
        try:
            self._results.append(await self._work())
        except BaseException as error:
            self._error = error
            if is_cancellation(error):
                raise

    @property
    def was_cancelled(self) -> bool:
        return not self._results and (self._error is None or is_cancellation(self._error))

    def notes(self) -> list[str]:
        """What the work has to say to its being cancelled; that it goes on, if it does."""
        if not self.done.is_set():
            return ["it did not end when it was cancelled and may still be at work"]
        error = self._error
        if error is None or not is_cancellation(error):
            return []
        return [str(note) for note in getattr(lone(error), "__notes__", ())]  # PEP 678: there once a note was added

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._results[0]


def _started(held: _Held[T]) -> Callable[[], object]:
    """Starts the work. Returns what cancels it."""
    from asyncio import CancelledError

    if anyio.get_cancelled_exc_class() is not CancelledError:
        return _started_on_trio(held)
    from asyncio import create_task

    def ended(task: Task[None]) -> None:
        _at_work.discard(task)
        held.done.set()

    # By `cancel`, not by a scope: a cancelled scope asks again at every turn of the event loop, for ever.
    task = create_task(held.run())
    _at_work.add(task)
    task.add_done_callback(ended)
    return task.cancel


def _started_on_trio(held: _Held[T]) -> Callable[[], object]:
    from trio.lowlevel import spawn_system_task

    scope = anyio.CancelScope()

    async def run() -> None:
        try:
            with scope:
                await held.run()
        finally:
            held.done.set()

    spawn_system_task(run, context=copy_context())
    return scope.cancel
