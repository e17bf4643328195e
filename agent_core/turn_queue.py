"""The queue between a turn's loop and its reader: bounded for what can wait, open for what cannot.

A memory stream of anyio refuses what does not fit; here the writer's last words always do. `put` waits until the reader
has caught up, `note` never waits, and `close` needs nobody to read: so a loop that ends, or is cancelled, is through
with its work whether or not anybody listens. Nothing is dropped while there is a reader. One event loop, any number
of writing tasks, one reader.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

__all__ = ["TurnQueue"]

_Event = TypeVar("_Event")


class TurnQueue(Generic[_Event]):
    """`limit` is how many events the writers may be ahead."""

    __slots__ = ("_arrived", "_events", "_limit", "_over", "_reader_left", "_room")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: deque[_Event] = deque()
        self._arrived: anyio.Event | None = None
        self._room: anyio.Event | None = None
        self._over = False
        self._reader_left = False

    async def put(self, event: _Event) -> None:
        """Hand an event over, and wait while the reader is far behind. Cancelled while it waits, it is handed over."""
        if self._reader_left:
            await anyio.lowlevel.checkpoint()  # who writes without end must notice the cancel that follows
        self.note(event)
        while len(self._events) > self._limit:
            if self._room is None:
                self._room = anyio.Event()
            await self._room.wait()

    def note(self, event: _Event) -> None:
        """Hand an event over at once. For the few that come from code that cannot wait."""
        if not self._reader_left:
            self._events.append(event)
            if self._arrived is not None:
                self._wake_reader()

    def close(self) -> None:
        """Nothing more comes. What is there can still be read."""
        self._over = True
        self._wake_reader()

    async def get(self) -> _Event | None:
        """The next event; None after the last one."""
        while not self._events:
            if self._over or self._reader_left:
                return None
            if self._arrived is None:
                self._arrived = anyio.Event()
            await self._arrived.wait()
        return self.next()

    def next(self) -> _Event | None:
        """The next event if it is there already, without waiting; else None."""
        if not self._events:
            return None
        if self._room is not None and len(self._events) <= self._limit + 1:
            self._wake_writers()
        return self._events.popleft()

    def leave(self) -> None:
        """The reader is gone: what is there, and all that still comes, is dropped."""
        self._reader_left = True
        self._events.clear()
        self._wake_writers()
        self._wake_reader()

    def _wake_reader(self) -> None:
        arrived, self._arrived = self._arrived, None
        if arrived is not None:
            arrived.set()

    def _wake_writers(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.set()
