"""How many calls of one tool may be at work at once, in one turn."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext

import anyio

from .tools.base import Bounded, Tool

__all__ = ["ToolSlots"]

_FREE = nullcontext()


class ToolSlots:
    """One turn's. What is started early and what is started after the response share the slots of their tool."""

    __slots__ = ("_slots", "_unbounded")

    def __init__(self) -> None:
        self._slots: dict[str, anyio.Semaphore] = {}
        self._unbounded: dict[int, Tool] = {}  # by identity: looking a tool over for what it bounds takes a while

    def of(self, tool: Tool) -> AbstractAsyncContextManager[object]:
        """Enter it to have one call of the tool at work. Waiting for that is not part of the tool's time."""
        if id(tool) in self._unbounded:
            return _FREE
        if not isinstance(tool, Bounded) or tool.concurrency is None:
            self._unbounded[id(tool)] = tool
            return _FREE
        return self._slots.setdefault(tool.spec.name, anyio.Semaphore(tool.concurrency))
