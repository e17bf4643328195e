"""Where the gateway's services keep what outlives a request: bytes by a key, for a while."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from ..errors import ConfigError

__all__ = ["MemoryStore", "Store", "StoreDown"]

MAX_ENTRIES = 10_000
MAX_BYTES = 64 * 1024 * 1024


class StoreDown(Exception):
    """A store cannot be reached now; what it holds is not known."""


class Store(Protocol):
    """Bytes by a key, until their time is over or room is needed. Every method raises StoreDown and nothing else, and
    within a bounded time. Keys hold no secret: they are hashes with a word before them."""

    async def get(self, *keys: str, renew_s: float | None = None) -> list[bytes | None]:
        """What is kept under each key. `renew_s`: what is found is kept that long from now on."""
        ...

    async def put(self, entries: Mapping[str, bytes], ttl_s: float) -> None: ...

    async def delete(self, *keys: str) -> int:
        """How many of them were there."""
        ...

    async def aclose(self) -> None:
        """May be called more than once."""
        ...


class _Entry(NamedTuple):
    value: bytes
    until: float


class MemoryStore:
    """A Store of this process: at most `max_entries` that hold `max_bytes` in all (keys included); those that were used
    longest ago go first. Raises ConfigError for bounds that are none."""

    def __init__(
        self,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_entries < 1 or max_bytes < 1:
            raise ConfigError("max_entries and max_bytes are bounds", remedy="give numbers above 0")
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0

    def __repr__(self) -> str:
        return f"MemoryStore({len(self._entries)} entries, {self._bytes} bytes)"

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, *keys: str, renew_s: float | None = None) -> list[bytes | None]:
        return [self._found(key, renew_s) for key in keys]

    async def put(self, entries: Mapping[str, bytes], ttl_s: float) -> None:
        until = self._clock() + ttl_s
        for key, value in entries.items():
            self._drop(key)
            if ttl_s > 0 and len(key) + len(value) <= self._max_bytes:
                self._entries[key] = _Entry(value, until)
                self._bytes += len(key) + len(value)
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    async def delete(self, *keys: str) -> int:
        there = [key for key in keys if self._found(key, None) is not None]
        for key in there:
            self._drop(key)
        return len(there)

    async def aclose(self) -> None:
        return None

    def _found(self, key: str, renew_s: float | None) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        now = self._clock()
        if entry.until <= now:
            self._drop(key)
            return None
        if renew_s is not None:
            self._entries[key] = entry._replace(until=now + renew_s)
        self._entries.move_to_end(key)
        return entry.value

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(key) + len(entry.value)
