"""Every point at which an event loop switches: counted, and one of them used to cancel.

    points = Points(n, cancel)
    anyio.run(main, backend=backend, backend_options=points.options(backend))

`main` brackets what is to be counted with `points.counting()`. Before the n-th callback (asyncio) or task step (trio)
inside it, `cancel` is called on the loop's own thread, and before as many of those after it as `times` says. With n = 0
nothing is cancelled and `count` is how many points there were. Both hooks are public: an event loop class of one's own,
and trio's instruments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from typing import TypeVarTuple

Args = TypeVarTuple("Args")


class Points:
    """`fired` says where the n-th point was; empty while it has not come."""

    def __init__(self, n: int, cancel: Callable[[], object], *, times: int = 1) -> None:
        self._at = range(n, n + times) if n else range(0)
        self.count = 0
        self.fired = ""
        self._cancel = cancel
        self._counting = False

    def options(self, backend: str) -> dict[str, object]:
        """What `anyio.run` wants as `backend_options`."""
        if backend == "asyncio":
            return {"loop_factory": partial(_CountingLoop, self)}
        return {"instruments": [_Steps(self)]}

    @contextmanager
    def counting(self) -> Generator[None]:
        self._counting = True
        try:
            yield
        finally:
            self._counting = False

    def passed(self, where: object) -> None:
        if not self._counting:
            return
        self.count += 1
        if self.count in self._at:
            # No repr of it: that of an aiohttp answer keeps for good what its headers are, before they have come.
            self.fired = (
                self.fired or f"point {self.count}, before {getattr(where, '__qualname__', type(where).__name__)}"
            )
            self._cancel()


class _CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts the callbacks it runs: steps of tasks, wake-ups, what threads hand over."""

    def __init__(self, points: Points) -> None:
        self._points = points
        super().__init__()

    def call_soon(
        self, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon(self._counted, callback, args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon_threadsafe(self._counted, callback, args, context=context)

    def _counted(self, callback: Callable[[*Args], object], args: tuple[*Args]) -> None:
        self._points.passed(callback)
        callback(*args)


class _Steps:
    """Trio's side: called before each step of each task."""

    def __init__(self, points: Points) -> None:
        self._points = points

    def before_task_step(self, task: object) -> None:
        self._points.passed(task)
