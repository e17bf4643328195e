"""The event grammar: legal streams pass, every kind of offence is named."""

from __future__ import annotations

import pytest

from agent_core.codecs.grammar import GrammarError, check_events
from agent_core.errors import StreamInterrupted
from agent_core.events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    RateLimits,
    ReasoningContentDelta,
    ResponseEvent,
    ToolCallInputDelta,
)
from agent_core.items import FunctionCall, Message, Reasoning, assistant_message

EMPTY = Message(role="assistant")
ADDED = OutputItemAdded(0, EMPTY)
DONE = OutputItemDone(0, assistant_message("hi"))
CALL = FunctionCall(call_id="c", name="f")
END = Completed()

LEGAL: dict[str, list[ResponseEvent]] = {
    "empty answer": [END],
    "text": [Created("r"), RateLimits(()), ADDED, OutputTextDelta(0, "h"), OutputTextDelta(0, "i"), DONE, END],
    "an item without deltas": [ADDED, DONE, END],
    "interleaved items": [
        OutputItemAdded(0, Reasoning()),
        OutputItemAdded(1, EMPTY),
        OutputTextDelta(1, "hi"),
        ReasoningContentDelta(0, "t"),
        OutputItemDone(1, assistant_message("hi")),
        OutputItemDone(0, Reasoning(content=("t",))),
        END,
    ],
    "a call": [
        OutputItemAdded(0, CALL),
        ToolCallInputDelta(0, "c", "{}"),
        OutputItemDone(0, CALL.model_copy(update={"arguments": "{}"})),
        END,
    ],
}


@pytest.mark.parametrize("name", LEGAL)
def test_legal_streams_pass(name: str) -> None:
    """Every legal shape, and the same cut short by an error once its items are done."""
    check_events(LEGAL[name])
    check_events([event for event in LEGAL[name] if event != END], StreamInterrupted("cut"))


ILLEGAL: dict[str, tuple[list[ResponseEvent], str]] = {
    "no terminal": ([ADDED, DONE], "neither Completed nor an error"),
    "open item at the end": ([ADDED, END], "still open"),
    "after Completed": ([END, END], "nothing may follow"),
    "Created late": ([ADDED, Created()], "must come first"),
    "index skipped": ([OutputItemAdded(1, EMPTY)], "next index is 0"),
    "delta of an unknown item": ([OutputTextDelta(0, "x")], "not open"),
    "delta after done": ([ADDED, DONE, OutputTextDelta(0, "x")], "not open"),
    "delta of the wrong kind": ([ADDED, ToolCallInputDelta(0, "c", "x")], "is a message"),
    "empty delta": ([ADDED, OutputTextDelta(0, "")], "empty delta"),
    "done twice": ([ADDED, DONE, DONE], "not open"),
    "done as another kind": ([ADDED, OutputItemDone(0, Reasoning())], "added as message"),
    "text that is not its deltas": ([ADDED, OutputTextDelta(0, "no"), DONE], "not what its deltas said"),
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_streams_are_named(name: str) -> None:
    """Each offence raises at its event."""
    events, message = ILLEGAL[name]
    with pytest.raises(GrammarError, match=message):
        check_events(events)


def test_an_error_and_completed_exclude_each_other() -> None:
    """Exactly one terminal."""
    with pytest.raises(GrammarError, match="both"):
        check_events([END], StreamInterrupted("x"))
