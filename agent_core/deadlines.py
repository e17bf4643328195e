"""Waiting for one step after another, each until a deadline of its own: what whoever reads a stream does.

A cancel scope does that on any event loop. On asyncio it costs several µs, most of them for a timer that is set for one
read and taken back unused. There one timer is enough for all reads of a stream: it stays as it was set, and when it
runs out while a read has until later, it is set again. (The deadline of an anyio scope is a timer of its own.) What a
call leaves so the next one takes, with the timer as it is: `Kept`.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, CancelledError, Task, TimerHandle, current_task, get_running_loop
from collections.abc import Awaitable
from math import inf
from typing import Protocol, TypeVar

import anyio

__all__ = ["Deadlines", "Kept", "RanOut", "Scopes", "asyncio_loop"]

_MOST_KEPT = 64

_Value = TypeVar("_Value")


class RanOut(Exception):
    """The deadline came before the end of the step."""


class Deadlines(Protocol):
    """One step at a time. `bounded` raises RanOut where the deadline, of the loop's clock `now`, comes first; a step
    that ends all the same has ended. `close` when no other follows soon: a timer may be left."""

    def now(self) -> float: ...

    async def bounded(self, step: Awaitable[_Value], deadline: float) -> _Value: ...

    def close(self) -> None: ...


def asyncio_loop() -> AbstractEventLoop | None:
    """The one that runs this task; None on trio, asyncio's guest or not."""
    try:
        loop = get_running_loop()
    except RuntimeError:
        return None
    return None if current_task(loop) is None else loop


class Kept:
    """The deadlines of one client: what calls have done with goes to those that come, while the loop is the same."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free: list[OneTimer] = []

    def take(self) -> Deadlines:
        """For the event loop that runs, until it is given back."""
        loop = asyncio_loop()
        while self._free and loop is not None:
            kept = self._free.pop()
            if kept.loop is loop:
                return kept
        return Scopes() if loop is None else OneTimer(loop)

    def give_back(self, taken: Deadlines) -> None:
        """The call is over. Where somebody waits by it all the same, it is nobody else's."""
        if isinstance(taken, OneTimer) and taken.idle and len(self._free) < _MOST_KEPT:
            self._free.append(taken)
        else:
            taken.close()

    def close(self) -> None:
        while self._free:
            self._free.pop().close()


class Scopes:
    """A cancel scope for each step."""

    def now(self) -> float:
        return anyio.current_time()

    async def bounded(self, step: Awaitable[_Value], deadline: float) -> _Value:
        with anyio.CancelScope(deadline=deadline):
            return await step
        raise RanOut

    def close(self) -> None:
        pass


class OneTimer:
    """One timer of asyncio's for all steps. It cancels the task that waits, and takes that back as asyncio.timeout
    does: whoever else asked the task to end meanwhile is heard."""

    __slots__ = ("_by", "_cancelled", "_handle", "_task", "loop", "now")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.now = loop.time
        self.loop = loop
        self._handle: TimerHandle | None = None
        self._by = inf
        self._task: Task[object] | None = None
        self._cancelled = False

    @property
    def idle(self) -> bool:
        """Whether nobody waits."""
        return self._task is None

    async def bounded(self, step: Awaitable[_Value], deadline: float) -> _Value:
        task = current_task()
        assert task is not None
        asked = task.cancelling()
        self._task, self._by = task, deadline
        if deadline < inf and (self._handle is None or deadline < self._handle.when()):
            self._set(deadline)
        try:
            return await step
        except CancelledError:
            if self._cancelled:
                self._cancelled = False
                if task.uncancel() <= asked:
                    raise RanOut from None
            raise
        finally:
            self._task = None
            if self._cancelled:
                self._cancelled = False
                task.uncancel()

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _set(self, deadline: float) -> None:
        self.close()
        self._handle = self.loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self._handle = None
        if self._task is None:  # nobody waits: the next step sets it again
            return
        if self._by > self.now():
            self._set(self._by)
            return
        self._cancelled = True
        self._task.cancel()
