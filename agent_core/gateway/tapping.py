"""The events of an answer: watched while they pass, or told again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

from ..aggregation import fold
from ..events import Completed, OutputItemDone, Response, ResponseEvent
from .asking import ReadAhead

__all__ = ["Replayed", "Tapped"]


class Tapped:
    """The same events. `whole` is awaited with all that was said before the answer's end is passed on: who has seen the
    end may rely on what was done then. It is not called for an answer that fails, or that nobody reads to its end."""

    __slots__ = ("_done", "_end", "_events", "_ready", "_whole")

    def __init__(self, events: AsyncIterator[ResponseEvent], whole: Callable[[Response], Awaitable[None]]) -> None:
        self._events = events
        self._ready = events.ready if isinstance(events, ReadAhead) else None
        self._whole = whole
        self._done: list[ResponseEvent] = []
        self._end: Completed | None = None

    def __aiter__(self) -> Tapped:
        return self

    async def __anext__(self) -> ResponseEvent:
        event = await anext(self._events) if self._end is None else self._end
        if isinstance(event, OutputItemDone):
            self._done.append(event)
        elif isinstance(event, Completed):
            self._end = None
            await self._whole(fold((*self._done, event)))
        return event

    def ready(self) -> Sequence[ResponseEvent]:
        """See ReadAhead. The end is never among them: it has to wait."""
        more = self._ready() if self._ready is not None else ()
        self._done += [event for event in more if type(event) is OutputItemDone]
        if more and isinstance(more[-1], Completed):
            self._end = more[-1]
            return more[:-1]
        return more


class Replayed:
    """Events that are known already."""

    __slots__ = ("_events",)

    def __init__(self, events: Iterable[ResponseEvent]) -> None:
        self._events = iter(events)

    def __aiter__(self) -> Replayed:
        return self

    async def __anext__(self) -> ResponseEvent:
        for event in self._events:
            return event
        raise StopAsyncIteration
