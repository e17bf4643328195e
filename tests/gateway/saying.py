"""A service that answers at once, in place of a backend."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from agent_core import assistant_message
from agent_core.events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ResponseEvent,
)
from agent_core.gateway.asking import Answer, Answerer, Ask, Place, Service

__all__ = ["Saying"]


class Saying(Service):
    """Says `piece` so many `times`. `ended` counts the answers whose events have run to their end."""

    place = Place.CACHE

    def __init__(self, piece: str, times: int = 1) -> None:
        self.piece, self.times = piece, times
        self.ended = 0

    def around(self, inner: Answerer) -> Answerer:
        return self

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        async with aclosing(self._events()) as events:
            yield Answer(events, "lab/m")

    async def _events(self) -> AsyncGenerator[ResponseEvent]:
        yield Created("r", "m")
        yield OutputItemAdded(0, assistant_message(""))
        for _ in range(self.times):
            yield OutputTextDelta(0, self.piece)
        yield OutputItemDone(0, assistant_message(self.piece * self.times))
        yield Completed("r", "m", "stop")
        self.ended += 1
