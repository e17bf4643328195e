"""Running an async function to its end: what comes out, and whose Ctrl-C is. A real one: test_cancel_interrupt."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

import anyio
import pytest

from agent_core import blocking


async def doubled(n: int) -> int:
    await anyio.lowlevel.checkpoint()
    return 2 * n


async def failing(*errors: Exception) -> None:
    raise ExceptionGroup("a nursery's", errors)


def test_what_it_returns_and_raises() -> None:
    """The result; an error that is alone in its group as it is, several as the group they are."""
    assert blocking.run(doubled, 3) == 6
    with pytest.raises(KeyError):
        blocking.run(failing, KeyError("alone"))
    with pytest.raises(ExceptionGroup):
        blocking.run(failing, KeyError("one"), ValueError("other"))


def test_in_another_thread() -> None:
    """Signals are the main thread's; everything else is as there."""
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(blocking.run(doubled, 3)))
    thread.start()
    thread.join()
    assert results == [6]


def own(number: int, frame: FrameType | None) -> None:
    """A program's own way with Ctrl-C."""


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN, own])
def test_whose_signal_it_is(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    """Ours while the function runs, where it would be Python's own; afterwards, and else, what it was."""
    before = signal.signal(signal.SIGINT, handler)

    async def seen() -> object:
        return signal.getsignal(signal.SIGINT)

    try:
        assert (blocking.run(seen) is handler) == (handler is not signal.default_int_handler)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_at_the_last_moment_is_not_lost() -> None:
    """The function has its result already: Ctrl-C is still told; an error of its own is told beside it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    async def ends(error: Exception | None) -> None:
        signal.raise_signal(signal.SIGINT)
        if error is not None:
            raise error

    try:
        with pytest.raises(KeyboardInterrupt):
            blocking.run(ends, None)
        with pytest.raises(KeyboardInterrupt) as caught:
            blocking.run(ends, KeyError("k"))
        assert isinstance(caught.value.__cause__, KeyError)
    finally:
        signal.signal(signal.SIGINT, before)
