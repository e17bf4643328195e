"""How many requests are answered at once, and who is next.

    free room, nobody waits     ─► in at once
    no room                     ─► the caller's own queue; callers take turns, each in the order it came
    too many wait               ─► the newest of whoever waits most often is turned away
    waited too long             ─► turned away

A place is held for as long as the answer's block is open, and goes to whoever is next when it is left, however that
happens: at the end, at an error, by a client that leaves, or unread.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from math import ceil, inf
from typing import Annotated, ClassVar

import anyio
from pydantic import Field

from ..errors import ConfigError, NotAdmitted
from .asking import Answer, Answerer, Ask, Place, Service
from .settings import Count, Given, Seconds, ServiceTable

__all__ = ["Admission", "AdmissionSettings"]

MAX_IN_FLIGHT = 1000
MAX_WAITING = 1000
MAX_WAIT_S = 30.0
"""Below what clients wait for an answer's first byte (60 s and more)."""

_HINTS_S = (1, 60)  # what clients are told to wait: OpenAI's and Anthropic's heed up to a minute
_LEARNS = 0.1  # how much of a new answer's length goes into the estimate


class _Waiting:
    """One request in its caller's queue, until `called` says that it has a place or is turned away."""

    __slots__ = ("called", "has_place")

    def __init__(self) -> None:
        self.called = anyio.Event()
        self.has_place = False


class Admission(Service):
    """At most `max_in_flight` answers at once; behind them at most `max_waiting` requests wait, each at most
    `max_wait_s`. 0 waiting turns everybody away who finds no room. Belongs to one event loop.

    Whoever gets no place is NotAdmitted, which a client is told as too many requests, and when to come again.
    """

    place: ClassVar[Place] = Place.ADMISSION

    def __init__(
        self,
        max_in_flight: int = MAX_IN_FLIGHT,
        *,
        max_waiting: int = MAX_WAITING,
        max_wait_s: float = MAX_WAIT_S,
    ) -> None:
        if max_in_flight < 1 or max_waiting < 0 or not 0 <= max_wait_s < inf:
            raise ConfigError(
                f"admission of {max_in_flight} at once, {max_waiting} waiting for {max_wait_s} s cannot be",
                remedy="max_in_flight is 1 or more, max_waiting and max_wait_s are 0 or more",
            )
        self.max_in_flight = max_in_flight
        self.max_waiting = max_waiting
        self.max_wait_s = max_wait_s
        self.in_flight = 0
        self.waiting = 0
        self._queues: OrderedDict[str, deque[_Waiting]] = OrderedDict()  # the first caller is the next one called
        self._lasts_s = 1.0

    def __repr__(self) -> str:
        return f"Admission({self.in_flight} of {self.max_in_flight} in flight, {self.waiting} waiting)"

    def around(self, inner: Answerer) -> Answerer:
        return _Admitted(self, inner)

    def numbers(self) -> Mapping[str, float]:
        return {"in_flight": self.in_flight, "max_in_flight": self.max_in_flight, "waiting": self.waiting}

    @asynccontextmanager
    async def admitted(self, caller: str) -> AsyncGenerator[None]:
        """A place for one request of this caller, given back when the block is left. Raises NotAdmitted. Cancelled in
        the queue, it leaves it as if it had never come."""
        if self.in_flight < self.max_in_flight:  # then nobody waits
            self.in_flight += 1
        else:
            await self._queued(caller)
        began = anyio.current_time()
        try:
            yield
        finally:
            self._lasts_s += _LEARNS * (anyio.current_time() - began - self._lasts_s)
            self._give_back()

    async def _queued(self, caller: str) -> None:
        """Returns with a place."""
        if self.waiting >= self.max_waiting and not self._turn_one_away(caller):
            raise self._refused(f"{self.waiting} wait already")
        waiting = _Waiting()
        self._queues.setdefault(caller, deque()).append(waiting)
        self.waiting += 1
        try:
            with anyio.move_on_after(self.max_wait_s) as timer:
                await waiting.called.wait()
        except BaseException:
            self._leave(caller, waiting)
            raise
        if waiting.has_place:
            return
        self._leave(caller, waiting)
        if timer.cancelled_caught:
            raise self._refused(f"none had room within {self.max_wait_s:g} s")
        raise self._refused("others wait who ask for less")

    def _turn_one_away(self, newcomer: str) -> bool:
        """Room in the queue for a caller who waits less often than another: that one's newest is turned away."""
        greediest, queue = max(self._queues.items(), key=lambda item: len(item[1]), default=("", deque[_Waiting]()))
        if greediest == newcomer or len(queue) <= len(self._queues.get(newcomer, ())) + 1:
            return False
        queue[-1].called.set()
        self._leave(greediest, queue[-1])
        return True

    def _leave(self, caller: str, waiting: _Waiting) -> None:
        """Without a place. One that had just got it passes it on."""
        if waiting.has_place:
            self._give_back()
            return
        queue = self._queues.get(caller)
        if queue is None or waiting not in queue:
            return
        queue.remove(waiting)
        self.waiting -= 1
        if not queue:
            del self._queues[caller]

    def _give_back(self) -> None:
        """The place goes to the next caller's oldest request, or is free."""
        if not self._queues:
            self.in_flight -= 1
            return
        caller, queue = next(iter(self._queues.items()))
        waiting = queue.popleft()
        self.waiting -= 1
        if queue:
            self._queues.move_to_end(caller)
        else:
            del self._queues[caller]
        waiting.has_place = True
        waiting.called.set()

    def _refused(self, why: str) -> NotAdmitted:
        low, high = _HINTS_S
        turns = (self.waiting + 1) / self.max_in_flight
        return NotAdmitted(
            f"{self.in_flight} requests are being answered, and {why}",
            retry_after_s=min(max(ceil(turns * self._lasts_s), low), high),
        )


class AdmissionSettings(ServiceTable):
    """`[admission]`: see Admission."""

    max_in_flight: Count = MAX_IN_FLIGHT
    max_waiting: Annotated[int, Field(ge=0)] = MAX_WAITING
    max_wait_s: Seconds = MAX_WAIT_S

    def service(self, given: Given) -> Service:
        return Admission(self.max_in_flight, max_waiting=self.max_waiting, max_wait_s=self.max_wait_s)


class _Admitted:
    def __init__(self, admission: Admission, inner: Answerer) -> None:
        self._admission = admission
        self._inner = inner

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        async with self._admission.admitted(ask.caller.name), self._inner.answer(ask) as answer:
            yield answer
