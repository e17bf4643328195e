"""Virtual time on both event loops: when everybody waits, the clock jumps to the next deadline. Hours cost nothing.

    from ..virtual_time import anyio_backend  # in a test module: its tests run in virtual time

Only for code that waits by its event loop's clock and does no I/O.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping

import pytest
from trio.testing import MockClock

__all__ = ["anyio_backend"]


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: what it was asked to wait is added to the time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            # Without a timer everybody waits for somebody else: that is a dead end, not a pause.
            assert timeout is not None, "nothing is left to wait for"
            self.now += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, Mapping[str, object]]:
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": _VirtualLoop}
