"""Answers that came whole: as the events of a stream, for a peer that was asked for one and did not send it; and what
is wrong with one that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic_core import from_json

from ..errors import MalformedStream, StreamError, StreamInterrupted
from ..events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    ReasoningSummaryPartAdded,
    RefusalDelta,
    Response,
    ResponseEvent,
    ToolCallInputDelta,
)
from ..items import CustomToolCall, FunctionCall, Message, OutputText, Reasoning, Refusal, ResponseItem

__all__ = ["completed", "cut_answer", "response_events"]

_BLANK = b"\xef\xbb\xbf \t\r\n"


def response_events(response: Response) -> list[ResponseEvent]:
    """Created, then each item added, in one piece, and done, then Completed: legal by the grammar."""
    events: list[ResponseEvent] = [Created(response.id, response.model)]
    for index, item in enumerate(response.items):
        events.append(OutputItemAdded(index, _begun(item)))
        events.extend(_deltas(index, item))
        events.append(OutputItemDone(index, item))
    events.append(completed(response))
    return events


def completed(response: Response) -> Completed:
    """The end of the stream that a whole answer would have been."""
    return Completed(
        response.id,
        response.model,
        response.finish_reason,
        response.status,
        response.usage,
        response.end_turn,
        response.native_reason,
        response.incomplete_reason,
        response.stop_sequence,
    )


def cut_answer(data: bytes) -> StreamError | None:
    """The error of a whole answer that was damaged on its way, which another try may mend: nothing at all, or what
    begins as a JSON object and is none. None for any other body."""
    begins = data.lstrip(_BLANK)[:1]
    if not begins:
        return StreamInterrupted("the answer is empty")
    if begins != b"{":
        return None
    try:
        from_json(data)
    except ValueError as error:
        if "EOF" in str(error):
            return StreamInterrupted(f"the answer ends in the middle, after {len(data)} bytes")
        return MalformedStream(
            f"the answer of {len(data)} bytes is broken JSON",
            remedy="try again; if it keeps happening, the server or a proxy before it is broken",
            retryable=True,
        )
    return None


def _begun(item: ResponseItem) -> ResponseItem:
    match item:
        case Message():
            return item.model_copy(update={"content": ()})
        case FunctionCall():
            return item.model_copy(update={"arguments": ""})
        case CustomToolCall():
            return item.model_copy(update={"input": ""})
        case Reasoning():
            return item.model_copy(update={"summary": (), "content": ()})
        case _:
            return item


def _deltas(index: int, item: ResponseItem) -> Iterator[ResponseEvent]:
    match item:
        case Message():
            for place, part in enumerate(item.content):
                if isinstance(part, OutputText) and part.text:
                    yield OutputTextDelta(index, part.text, place)
                elif isinstance(part, Refusal) and part.refusal:
                    yield RefusalDelta(index, part.refusal, place)
        case Reasoning():
            for place, text in enumerate(item.summary):
                yield ReasoningSummaryPartAdded(index, place)
                if text:
                    yield ReasoningSummaryDelta(index, text, place)
            for place, text in enumerate(item.content):
                if text:
                    yield ReasoningContentDelta(index, text, place)
        case FunctionCall():
            if item.arguments:
                yield ToolCallInputDelta(index, item.call_id, item.arguments)
        case CustomToolCall():
            if item.input:
                yield ToolCallInputDelta(index, item.call_id, item.input)
        case _:
            return
