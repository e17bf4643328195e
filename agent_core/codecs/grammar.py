"""The legal order of events, as a checker. Every decoder test runs through it, and users can run it over their own.

State per stream: started → items open and done → ended. Per item: added → deltas → done.

    event                 legal when
    Created               first, at most once
    RateLimits            before the end
    OutputItemAdded(i)    i is the next unused index, before the end
    delta(i)              i is open; its kind fits the item
    OutputItemDone(i)     i is open; item of the same kind as added; assembled text equals the deltas, if there were any
    Completed             once, last, no item open
    an error              instead of Completed; then no event may follow
"""

from __future__ import annotations

from collections.abc import Iterable

from ..events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    RateLimits,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    ReasoningSummaryPartAdded,
    RefusalDelta,
    ResponseEvent,
    ToolCallInputDelta,
)
from ..items import CustomToolCall, FunctionCall, Message, Reasoning, Refusal, ResponseItem, text_of

__all__ = ["EventGrammar", "GrammarError", "check_events"]


class GrammarError(AssertionError):
    """Events in an order the grammar forbids: a bug in whoever made them."""


class EventGrammar:
    """Feed events in order; `end` says how the stream ended. Raises GrammarError at the first offence."""

    __slots__ = ("_count", "_ended", "_next", "_open", "_text")

    def __init__(self) -> None:
        self._count = 0
        self._next = 0
        self._open: dict[int, ResponseItem] = {}
        self._text: dict[int, dict[str, dict[int, list[str]]]] = {}  # item → kind → part → pieces
        self._ended = False

    def feed(self, event: ResponseEvent) -> None:
        self._count += 1
        if self._ended:
            raise self._wrong(event, "nothing may follow Completed")
        match event:
            case Created():
                if self._count != 1:
                    raise self._wrong(event, "Created must come first")
            case RateLimits():
                pass
            case OutputItemAdded(index=index, item=item):
                if index != self._next:
                    raise self._wrong(event, f"the next index is {self._next}")
                self._next += 1
                self._open[index] = item
                self._text[index] = {}
            case OutputItemDone(index=index, item=item):
                self._done(event, index, item)
            case Completed():
                if self._open:
                    raise self._wrong(event, f"items {sorted(self._open)} are still open")
                self._ended = True
            case OutputTextDelta(index=index, delta=delta, content_index=part):
                self._delta(event, index, Message, "text", delta, part)
            case RefusalDelta(index=index, delta=delta, content_index=part):
                self._delta(event, index, Message, "refusal", delta, part)
            case ReasoningContentDelta(index=index, delta=delta, content_index=part):
                self._delta(event, index, Reasoning, "content", delta, part)
            case ReasoningSummaryDelta(index=index, delta=delta, summary_index=part):
                self._delta(event, index, Reasoning, "summary", delta, part)
            case ReasoningSummaryPartAdded(index=index):
                self._delta(event, index, Reasoning, "summary", "")
            case ToolCallInputDelta(index=index, delta=delta):
                self._delta(event, index, (FunctionCall, CustomToolCall), "input", delta)

    def end(self, error: Exception | None = None) -> None:
        """The stream ended: with an error, or without one (then Completed must have come)."""
        if error is None and not self._ended:
            raise GrammarError("the stream ended with neither Completed nor an error")
        if error is not None and self._ended:
            raise GrammarError(f"both Completed and an error: {error!r}")
        if self._open:
            raise GrammarError(f"items {sorted(self._open)} were never done")

    def _delta(
        self,
        event: ResponseEvent,
        index: int,
        kind: type[ResponseItem] | tuple[type[ResponseItem], ...],
        what: str,
        delta: str,
        part: int = 0,
    ) -> None:
        item = self._open.get(index)
        if item is None:
            raise self._wrong(event, f"item {index} is not open")
        if not isinstance(item, kind):
            raise self._wrong(event, f"item {index} is a {item.type}")
        if not delta and not isinstance(event, ReasoningSummaryPartAdded):
            raise self._wrong(event, "an empty delta")
        self._text[index].setdefault(what, {}).setdefault(part, []).append(delta)

    def _done(self, event: ResponseEvent, index: int, item: ResponseItem) -> None:
        added = self._open.pop(index, None)
        if added is None:
            raise self._wrong(event, f"item {index} is not open")
        if added.type != item.type:
            raise self._wrong(event, f"item {index} was added as {added.type}")
        for what, parts in self._text.pop(index).items():
            # Parts of one item may interleave; the item holds them one after the other.
            if _assembled(item, what) != "".join("".join(parts[part]) for part in sorted(parts)):
                raise self._wrong(event, f"the {what} of item {index} is not what its deltas said")

    def _wrong(self, event: ResponseEvent, why: str) -> GrammarError:
        return GrammarError(f"event {self._count} ({type(event).__name__}): {why}")


def _assembled(item: ResponseItem, what: str) -> str:
    match item:
        case Message() if what == "refusal":
            return "".join(part.refusal for part in item.content if isinstance(part, Refusal))
        case Message():
            return text_of(item)
        case Reasoning() if what == "summary":
            return "".join(item.summary)
        case Reasoning():
            return "".join(item.content)
        case FunctionCall():
            return item.arguments
        case CustomToolCall():
            return item.input
        case _:
            return ""


def check_events(events: Iterable[ResponseEvent], error: Exception | None = None) -> None:
    """Check a whole stream: its events in order, and the error it ended with, if any."""
    grammar = EventGrammar()
    for event in events:
        grammar.feed(event)
    grammar.end(error)
