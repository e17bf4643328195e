"""Whole answers as events."""

from __future__ import annotations

from agent_core.aggregation import fold
from agent_core.codecs.grammar import check_events
from agent_core.codecs.whole import response_events
from agent_core.events import OutputItemAdded, Response, Usage
from agent_core.items import CustomToolCall, FunctionCall, Message, OutputText, Reasoning, Refusal, WebSearchCall

ANSWER = Response(
    "r",
    "m",
    (
        Reasoning(summary=("why", ""), content=("because",)),
        Message(role="assistant", content=(OutputText(text="a"), Refusal(refusal="no"), OutputText(text=""))),
        FunctionCall(call_id="c1", name="f", arguments="{}"),
        FunctionCall(call_id="c2", name="g", arguments=""),
        CustomToolCall(call_id="c3", name="h", input="x"),
        WebSearchCall(),
    ),
    "tool_calls",
    usage=Usage(input=1, output=2),
    native_reason="tool_calls",
)


def test_the_events_are_legal_and_fold_back() -> None:
    """Grammar and fold: what comes out is what went in."""
    events = response_events(ANSWER)
    check_events(events)
    assert fold(events) == ANSWER


def test_items_begin_empty() -> None:
    """An item is added without its text, input or arguments, as by any decoder."""
    added = [event.item for event in response_events(ANSWER) if isinstance(event, OutputItemAdded)]
    assert added[:3] == [
        Reasoning(),
        Message(role="assistant"),
        FunctionCall(call_id="c1", name="f", arguments=""),
    ]
