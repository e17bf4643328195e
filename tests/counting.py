"""What work costs, counted: the same on every machine, however busy it is."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

__all__ = ["calls_made", "counted_calls"]


@contextmanager
def counted_calls() -> Generator[list[int]]:
    """How many Python functions the block calls: what it costs, the same on every machine."""
    made = [0]

    def count(frame: FrameType, event: str, arg: object) -> None:
        made[0] += event == "call"

    gc.disable()  # what listens to the collector would be counted too
    sys.setprofile(count)
    try:
        yield made
    finally:
        sys.setprofile(None)
        gc.enable()


def calls_made(work: Callable[[], object]) -> int:
    with counted_calls() as made:
        work()
    return made[0]
