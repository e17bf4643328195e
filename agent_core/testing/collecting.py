"""Collect a stream of events in a test, checking the grammar on the way."""

from __future__ import annotations

from collections.abc import AsyncIterable

from ..codecs.grammar import EventGrammar
from ..errors import ModelError
from ..events import ResponseEvent

__all__ = ["collect"]


async def collect(events: AsyncIterable[ResponseEvent]) -> list[ResponseEvent]:
    """All events, in order. Raises GrammarError for an order that is illegal, and lets the stream's own ModelError out
    once the events before it have been checked."""
    grammar = EventGrammar()
    collected: list[ResponseEvent] = []
    try:
        async for event in events:
            grammar.feed(event)
            collected.append(event)
    except ModelError as error:
        grammar.end(error)
        raise
    grammar.end()
    return collected
