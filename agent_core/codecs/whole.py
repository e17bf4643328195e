"""A whole answer as the events of a stream: for a peer that was asked for a stream and did not send one."""

from __future__ import annotations

from collections.abc import Iterator

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

__all__ = ["response_events"]


def response_events(response: Response) -> list[ResponseEvent]:
    """Created, then each item added, in one piece, and done, then Completed: legal by the grammar."""
    events: list[ResponseEvent] = [Created(response.id, response.model)]
    for index, item in enumerate(response.items):
        events.append(OutputItemAdded(index, _begun(item)))
        events.extend(_deltas(index, item))
        events.append(OutputItemDone(index, item))
    events.append(
        Completed(
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
    )
    return events


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
