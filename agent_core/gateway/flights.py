"""Equal requests at the same time: the first asks, the others wait for what comes of it.

    landed with a value      all who wait have it
    landed with nothing      it is not for sharing: all who wait ask for themselves, at once
    failed                   one who waits asks next; who has waited for two failures asks alone
    left by its client       one who waits asks next, and the others wait for that one
    too slow                 who has waited for `wait_s` asks alone

So nobody hangs, whatever becomes of the others, and nobody's failure is told to another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, TypeVar

import anyio

from ..errors import AgentCoreError

__all__ = ["Flight", "Flights"]

MAX_FAILURES = 2

T = TypeVar("T")


class Flight(Generic[T]):
    """A request that others may wait for, for as long as its block. `landed` says what it brought; a block that is left
    before that has failed, or was left."""

    def __init__(self, flights: dict[str, Flight[T]], key: str) -> None:
        self._flights = flights
        self._key = key
        self._over = anyio.Event()
        self.value: T | None = None
        self.shared = True
        self.failed = False

    async def __aenter__(self) -> Flight[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.failed = isinstance(error, AgentCoreError)
        self._end()

    def landed(self, value: T | None) -> None:
        if not self._over.is_set():
            self.value, self.shared = value, value is not None
            self._end()

    async def wait(self) -> None:
        await self._over.wait()

    def _end(self) -> None:
        if self._flights.get(self._key) is self:
            del self._flights[self._key]
        self._over.set()


class Flights(Generic[T]):
    """The requests that are under way, by key. Belongs to one event loop."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._flights: dict[str, Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def begin(self, key: str) -> Flight[T]:
        """A flight that those who come later wait for, unless they already wait for another."""
        flight = Flight(self._flights, key)
        self._flights.setdefault(key, flight)
        return flight

    async def join(self, key: str, known: Callable[[str], Awaitable[T | None]]) -> T | Flight[T]:
        """What is known under the key, or comes of a flight; else a flight of one's own, to be entered."""
        failures, until = 0, anyio.current_time() + self._wait_s
        while True:
            found = await known(key)
            if found is not None:
                return found
            flight = self._flights.get(key)
            if flight is None or failures == MAX_FAILURES:
                return self.begin(key)
            with anyio.CancelScope(deadline=until) as waiting:
                await flight.wait()
            if flight.value is not None:
                return flight.value
            if waiting.cancelled_caught or not flight.shared:
                return self.begin(key)
            failures += flight.failed
