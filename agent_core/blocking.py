"""Running an async function to its end, for code without an event loop. Ctrl-C ends it in order.

asyncio's own answer to Ctrl-C is to cancel the main task, once: where a tool or a library swallows that, the run goes
on as if nobody had asked. Here a scope around everything is cancelled, and stays so until all of it has ended; whatever
came of it, what leaves is a bare KeyboardInterrupt. A second Ctrl-C waits for nobody.
"""

from __future__ import annotations

import signal
import threading
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar, TypeVarTuple

import anyio

from .cancellation import lone
from .errors import CallerError

__all__ = ["refuse_running_loop", "run"]

_Result = TypeVar("_Result")
_Args = TypeVarTuple("_Args")


def run(function: Callable[[*_Args], Awaitable[_Result]], *args: *_Args) -> _Result:
    """What the function returns. Raises what it raises, out of any group it is alone in, and KeyboardInterrupt if
    Ctrl-C came meanwhile. Outside the main thread, or where Ctrl-C is handled already, signals are left alone."""
    interrupts = _Interrupts()
    results: list[_Result] = []

    async def main() -> None:
        with anyio.CancelScope() as scope, interrupts.cancelling(scope):
            try:
                results.append(await function(*args))
            except BaseExceptionGroup as group:
                raise lone(group) from None

    try:
        with interrupts.heard():
            anyio.run(main)
    except Exception as error:
        if interrupts.came:
            raise KeyboardInterrupt from error
        raise
    if interrupts.came:
        raise KeyboardInterrupt
    return results[0]


def refuse_running_loop(what: str, instead: str) -> None:
    """Raise CallerError inside an event loop: waiting for another one would stop it."""
    try:
        anyio.get_cancelled_exc_class()
    except RuntimeError:  # no event loop runs: good
        return
    raise CallerError(f"{what} was called inside a running event loop", remedy=f"use: {instead}")


class _Interrupts:
    """The handler of Ctrl-C: the first cancels the scope, any other is raised wherever it finds the program, as is one
    that comes before the scope or after it."""

    def __init__(self) -> None:
        self.came = False
        self._loop: AbstractEventLoop | None = None
        self._scope: anyio.CancelScope | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        first, self.came = not self.came, True
        if self._loop is None:
            raise KeyboardInterrupt
        if first and self._scope is not None:
            self._loop.call_soon_threadsafe(self._scope.cancel)  # also wakes a loop that waits
            return
        self._loop.set_exception_handler(_say_nothing)
        raise KeyboardInterrupt

    @contextmanager
    def cancelling(self, scope: anyio.CancelScope) -> Generator[None]:
        """While the block runs, inside the scope, it is what the first Ctrl-C cancels."""
        self._loop, self._scope = get_running_loop(), scope
        try:
            yield
        finally:
            self._scope = None

    @contextmanager
    def heard(self) -> Generator[None]:
        ours = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if ours:
            signal.signal(signal.SIGINT, self)
        try:
            yield
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)


def _say_nothing(loop: AbstractEventLoop, context: dict[str, object]) -> None:
    """What is torn down by force has nothing to say that the KeyboardInterrupt does not."""
