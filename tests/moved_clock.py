"""Real time that a test can move on, on both event loops: so a limit passes once what it is for has begun, not before.

@pytest.mark.parametrize("anyio_backend", MOVED_CLOCKS, ids=["asyncio", "trio"])
"""

from __future__ import annotations

import asyncio

import anyio
import trio
from trio.testing import MockClock

__all__ = ["MOVED_CLOCKS", "move_on"]


class _MovedLoop(asyncio.SelectorEventLoop):
    moved_s = 0.0

    def time(self) -> float:
        return super().time() + self.moved_s


MOVED_CLOCKS = [("asyncio", {"loop_factory": _MovedLoop}), ("trio", {"clock": MockClock(rate=1.0)})]


def move_on(seconds: float) -> None:
    """Whatever was to happen within this time is due."""
    if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, _MovedLoop)
        loop.moved_s += seconds
    else:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        clock.jump(seconds)
