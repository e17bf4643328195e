"""Aggregation: each item once, in order, and nothing lost when a stream breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent_core.aggregation import aggregate, fold, fold_stream
from agent_core.errors import StreamInterrupted
from agent_core.events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    Response,
    ResponseEvent,
    Usage,
)
from agent_core.items import FunctionCall, Message, Reasoning, assistant_message

REASONING = Reasoning(content=("t",))
TEXT = assistant_message("hi")
CALL = FunctionCall(call_id="c", name="f", arguments="{}")
END = Completed("r", "m", "tool_calls", usage=Usage(input=3))
EVENTS: list[ResponseEvent] = [
    Created("r", "m"),
    OutputItemAdded(0, Reasoning()),
    OutputItemAdded(1, Message(role="assistant")),
    OutputTextDelta(1, "hi"),
    OutputItemAdded(2, CALL),
    OutputItemDone(0, REASONING),
    OutputItemDone(1, TEXT),
    OutputItemDone(2, CALL),
    END,
]


async def stream(events: list[ResponseEvent]) -> AsyncIterator[ResponseEvent]:
    for event in events:
        yield event


@pytest.mark.anyio
async def test_aggregated_is_items_then_completed() -> None:
    """X-S1-19: exactly Done(reasoning), Done(message), Done(call), Completed."""
    assert [event async for event in aggregate(stream(EVENTS))] == [*EVENTS[5:8], END]


@pytest.mark.anyio
async def test_fold_is_the_whole_answer() -> None:
    """Both doors give the same response."""
    expected = Response("r", "m", (REASONING, TEXT, CALL), "tool_calls", usage=Usage(input=3))
    assert fold(EVENTS) == await fold_stream(stream(EVENTS)) == expected
    assert (expected.text, expected.reasoning_text, expected.tool_calls) == ("hi", "t", (CALL,))


def test_a_stream_without_an_end_keeps_what_came() -> None:
    """The error carries the items."""
    with pytest.raises(StreamInterrupted) as caught:
        fold(EVENTS[:-2])
    assert caught.value.partial == Response(items=(REASONING, TEXT), status="incomplete")


def test_usage_adds_up_disjointly() -> None:
    """Sums keep the counters apart; totals are derived."""
    total = Usage(10, 5, 2, 1, 7, 3) + Usage(1, 1, 1, 0, 1, 1)
    assert total == Usage(11, 6, 3, 1, 8, 4)
    assert (total.input_total, total.output_total, total.total) == (20, 12, 32)
