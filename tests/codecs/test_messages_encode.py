"""Events to Messages streams: exact frames, strictly one block after another, and back again."""

from __future__ import annotations

import json

import pytest

from agent_core.codecs.base import Compat
from agent_core.codecs.messages import CODEC
from agent_core.errors import OverloadedError, RateLimitError
from agent_core.events import (
    Completed,
    Created,
    FinishReason,
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
    Usage,
)
from agent_core.items import (
    CustomToolCall,
    FunctionCall,
    JsonObject,
    JsonValue,
    LocalShellAction,
    LocalShellCall,
    Message,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    UnknownItem,
)
from agent_core.prompt import CustomToolSpec, Prompt

from .messages_frames import COMPAT, PROMPT, arguments, decode, delta, open_block, origin, stop_block, text, thinking

CREATED = Created("msg_1", "claude-5")
ZEROS: JsonObject = {
    "input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0,
}  # fmt: skip
STARTED: JsonObject = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": ZEROS,
    },
}
TEXT = Message(role="assistant", content=(OutputText(text="Hello"),), origin=origin())


def call(call_id: str, written: str = "") -> FunctionCall:
    return FunctionCall(call_id=call_id, name="add", arguments=written, origin=origin(item_id=call_id))


def ended(reason: str = "end_turn", sequence: str | None = None, **usage: int) -> list[JsonObject]:
    said: JsonObject = {"stop_reason": reason, "stop_sequence": sequence}
    spent: JsonObject = {**ZEROS, **usage}
    return [{"type": "message_delta", "delta": said, "usage": spent}, {"type": "message_stop"}]


def done(reason: FinishReason = "stop", native: str | None = None, stop_sequence: str | None = None) -> Completed:
    return Completed("msg_1", "claude-5", reason, native_reason=native, stop_sequence=stop_sequence)


def encode(*events: ResponseEvent) -> list[JsonObject]:
    """The frames of a stream, after checking that each is named as its type says."""
    encoder = CODEC.stream_encoder(PROMPT)
    body = b"".join(map(encoder.feed, events)) + encoder.close()
    frames: list[JsonObject] = []
    for frame in body.decode().split("\n\n")[:-1]:
        name, data = frame.split("\n")
        frames.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {frames[-1]['type']}"
    return frames


def tool_use(index: int, call_id: str, name: str = "add", **members: JsonValue) -> JsonObject:
    return open_block(index, type="tool_use", id=call_id, name=name, input={}, **members)


def plain_text(index: int, *pieces: str) -> list[JsonObject]:
    return [open_block(index, type="text", text=""), *(text(index, p) for p in pieces), stop_block(index)]


CASES: dict[str, tuple[list[ResponseEvent], list[JsonObject]]] = {
    "T-E1 text": (
        [
            CREATED,
            RateLimits(()),
            OutputItemAdded(0, TEXT),
            OutputTextDelta(0, "Hel"),
            OutputTextDelta(0, "lo"),
            OutputItemDone(0, TEXT),
            Completed("msg_1", "claude-5", "stop", usage=Usage(input=5, output=2)),
        ],
        [STARTED, *plain_text(0, "Hel", "lo"), *ended(input_tokens=5, output_tokens=2)],
    ),
    "T-E2 X-S3-18 a call: empty input at the start, then its pieces": (
        [
            CREATED,
            OutputItemAdded(0, call("t1")),
            ToolCallInputDelta(0, "t1", '{"city":'),
            ToolCallInputDelta(0, "t1", '"SF"}'),
            OutputItemDone(0, call("t1", '{"city":"SF"}')),
            done("tool_calls"),
        ],
        [
            STARTED,
            tool_use(0, "t1"),
            arguments(0, '{"city":'),
            arguments(0, '"SF"}'),
            stop_block(0),
            *ended("tool_use"),
        ],
    ),
    "T-E5 X-S2-05 a call without arguments, and `stop` all the same": (
        [CREATED, OutputItemAdded(0, call("t1")), OutputItemDone(0, call("t1", "{}")), done("stop")],
        [STARTED, tool_use(0, "t1"), stop_block(0), *ended("tool_use")],
    ),
    "X-S2-04 interleaved calls become one after the other": (
        [
            CREATED,
            OutputItemAdded(0, call("t1")),
            OutputItemAdded(1, call("t2")),
            ToolCallInputDelta(1, "t2", '{"b"'),
            ToolCallInputDelta(0, "t1", '{"a"'),
            ToolCallInputDelta(1, "t2", ":2}"),
            OutputItemDone(1, call("t2", '{"b":2}')),
            ToolCallInputDelta(0, "t1", ":1}"),
            OutputItemDone(0, call("t1", '{"a":1}')),
            done("tool_calls"),
        ],
        [
            STARTED,
            tool_use(0, "t1"),
            arguments(0, '{"a"'),
            arguments(0, ":1}"),
            stop_block(0),
            tool_use(1, "t2"),
            arguments(1, '{"b"'),
            arguments(1, ":2}"),
            stop_block(1),
            *ended("tool_use"),
        ],
    ),
    "T-E7 thinking with its signature, then text": (
        [
            CREATED,
            OutputItemAdded(0, Reasoning(origin=origin("thinking"))),
            ReasoningContentDelta(0, "hm"),
            OutputItemDone(0, Reasoning(content=("hm",), signature="c2ln", origin=origin("thinking"))),
            OutputItemAdded(1, TEXT),
            OutputTextDelta(1, "Hello"),
            OutputItemDone(1, TEXT),
            done(),
        ],
        [
            STARTED,
            open_block(0, type="thinking", thinking="", signature=""),
            thinking(0, "hm"),
            delta(0, "signature_delta", signature="c2ln"),
            stop_block(0),
            *plain_text(1, "Hello"),
            *ended(),
        ],
    ),
    "a summary is thinking too, and the content after it is not told twice": (
        [
            CREATED,
            OutputItemAdded(0, Reasoning()),
            ReasoningSummaryPartAdded(0, 0),
            ReasoningSummaryDelta(0, "in short"),
            ReasoningContentDelta(0, "in long"),
            OutputItemDone(0, Reasoning(summary=("in short",), content=("in long",))),
            done(),
        ],
        [
            STARTED,
            open_block(0, type="thinking", thinking="", signature=""),
            thinking(0, "in short"),
            stop_block(0),
            *ended(),
        ],
    ),
    "a refusal is text and a reason": (
        [
            CREATED,
            OutputItemAdded(0, Message(role="assistant")),
            RefusalDelta(0, "I can"),
            RefusalDelta(0, "not."),
            OutputItemDone(0, Message(role="assistant", content=(Refusal(refusal="I cannot."),))),
            done("refusal"),
        ],
        [STARTED, *plain_text(0, "I can", "not."), *ended("refusal")],
    ),
    "items without deltas are written whole": (
        [
            OutputItemDone(0, Reasoning(content=("hm",), signature="c2ln", origin=origin("thinking"))),
            OutputItemDone(1, Reasoning(encrypted_content="b3A=", origin=origin("redacted_thinking"))),
            OutputItemDone(2, Message(role="assistant", content=(OutputText(text="a"), OutputText(text="b")))),
            OutputItemDone(3, call("t1", '{"a":1}')),
            OutputItemDone(4, LocalShellCall(call_id="t2", action=LocalShellAction(command=("ls",)))),
            OutputItemDone(5, UnknownItem(raw={"type": "compaction", "content": "c"}, origin=origin())),
            OutputItemDone(6, Message(role="assistant")),
            done("length", "length"),
        ],
        [
            {**STARTED, "message": {**STARTED["message"], "id": "msg_unknown", "model": "claude"}},  # type: ignore[dict-item]
            open_block(0, type="thinking", thinking="", signature=""),
            thinking(0, "hm"),
            delta(0, "signature_delta", signature="c2ln"),
            stop_block(0),
            open_block(1, type="redacted_thinking", data="b3A="),
            stop_block(1),
            *plain_text(2, "a"),
            *plain_text(3, "b"),
            tool_use(4, "t1"),
            arguments(4, '{"a":1}'),
            stop_block(4),
            tool_use(5, "t2", "local_shell"),
            arguments(5, '{"command":["ls"]}'),
            stop_block(5),
            open_block(6, type="compaction", content="c"),
            stop_block(6),
            *ended("max_tokens"),
        ],
    ),
    "parts, with the citations of the last": (
        [
            CREATED,
            OutputItemAdded(0, Message(role="assistant")),
            OutputTextDelta(0, "a", 0),
            OutputTextDelta(0, "b", 1),
            OutputItemDone(
                0,
                Message(
                    role="assistant",
                    content=(OutputText(text="a"), OutputText(text="b", annotations=({"type": "char_location"},))),
                ),
            ),
            done(),
        ],
        [
            STARTED,
            *plain_text(0, "a"),
            open_block(1, type="text", text=""),
            text(1, "b"),
            delta(1, "citations_delta", citation={"type": "char_location"}),
            stop_block(1),
            *ended(),
        ],
    ),
    "a thought that goes on while a call keeps all others waiting is told before the next thought": (
        [
            CREATED,
            OutputItemAdded(0, Reasoning()),
            ReasoningContentDelta(0, "a", 0),
            OutputItemAdded(1, call("t1")),
            ToolCallInputDelta(1, "t1", "{"),
            OutputItemAdded(2, Reasoning()),
            ReasoningSummaryPartAdded(2, 0),
            ReasoningSummaryDelta(2, "c", 0),
            OutputItemDone(2, Reasoning(summary=("c",))),
            ReasoningContentDelta(0, "b", 0),
            OutputItemDone(0, Reasoning(content=("ab",))),
            ToolCallInputDelta(1, "t1", "}"),
            OutputItemDone(1, call("t1", "{}")),
            done("tool_calls"),
        ],
        [
            STARTED,
            open_block(0, type="thinking", thinking="", signature=""),
            thinking(0, "a"),
            stop_block(0),
            tool_use(1, "t1"),
            arguments(1, "{"),
            arguments(1, "}"),
            stop_block(1),
            open_block(2, type="thinking", thinking="", signature=""),
            thinking(2, "b"),
            stop_block(2),
            open_block(3, type="thinking", thinking="", signature=""),
            thinking(3, "c"),
            stop_block(3),
            *ended("tool_use"),
        ],
    ),
    "T-E8 a stop sequence": (
        [CREATED, done("stop", "stop", "three")],
        [STARTED, *ended("stop_sequence", "three")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_streams(name: str) -> None:
    """Events become exactly these frames."""
    events, frames = CASES[name]
    assert encode(*events) == frames


ANSWERS: dict[str, tuple[list[ResponseItem], FinishReason]] = {
    "text": ([TEXT], "stop"),
    "thinking, text, two calls": (
        [
            Reasoning(content=("hm\n",), signature="c2ln", origin=origin("thinking")),
            TEXT,
            call("t1", '{"a": "\\u00e9 \\ud83d\\ude00"}'),
            call("t2", "{}"),
        ],
        "tool_calls",
    ),
    "free-form": (
        [CustomToolCall(call_id="t1", name="patch", input='*** "Begin"\n\té\\', origin=origin(item_id="t1"))],
        "tool_calls",
    ),
    "a raw block": ([UnknownItem(raw={"type": "compaction", "content": "c"}, origin=origin())], "pause"),
    "nothing": ([], "stop"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_round_trips(name: str) -> None:
    """An answer written as a stream reads back as it was, usage included."""
    items, reason = ANSWERS[name]
    prompt = Prompt("hi", model="claude", tools=[CustomToolSpec("patch")])
    native = {"stop": "end_turn", "tool_calls": "tool_use", "pause": "pause_turn"}[reason]
    usage = Usage(input=1, cache_read=2, cache_write=3, cache_write_1h=1, output=4, reasoning=5)
    end = Completed("msg_1", "claude-5", reason, usage=usage, native_reason=native)
    encoder = CODEC.stream_encoder(prompt)
    whole: list[ResponseEvent] = [OutputItemDone(number, item) for number, item in enumerate(items)]
    body = b"".join(map(encoder.feed, [CREATED, *whole, end]))
    events, error, response, _ = decode([body], prompt, COMPAT)
    assert (error, response.items, events[0], events[-1]) == ("", tuple(items), CREATED, end)


def test_a_free_form_call_is_streamed_as_an_object() -> None:
    """Pieces of free text become pieces of one JSON string, escaped as they go."""
    item = CustomToolCall(call_id="t1", name="patch", input='a"b\n', origin=origin())
    events: list[ResponseEvent] = [CREATED, OutputItemAdded(0, item.model_copy(update={"input": ""}))]
    events += [ToolCallInputDelta(0, "t1", 'a"'), ToolCallInputDelta(0, "t1", "b\n"), OutputItemDone(0, item)]
    assert encode(*events, done("tool_calls")) == [
        STARTED,
        tool_use(0, "t1", "patch"),
        arguments(0, '{"input":"a\\"'),
        arguments(0, "b\\n"),
        arguments(0, '"}'),
        stop_block(0),
        *ended("tool_use"),
    ]


@pytest.mark.parametrize("begun", [True, False])
def test_an_error_inside_the_stream(begun: bool) -> None:
    """T-E6, X-S2-01: the error event ends it: what comes after is not written, and nothing looks complete."""
    encoder = CODEC.stream_encoder(PROMPT)
    if begun:
        encoder.feed(CREATED)
        encoder.feed(OutputItemAdded(0, TEXT))
        encoder.feed(OutputTextDelta(0, "partial"))
    failed = encoder.fail(OverloadedError("busy", error_type="overloaded_error"))
    assert failed == b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
    after = [encoder.feed(OutputTextDelta(0, "x")), encoder.feed(done()), encoder.fail(RateLimitError("y"))]
    assert [*after, encoder.close()] == [b""] * 4


def test_a_stream_that_just_ends_is_not_whole() -> None:
    """X-S2-06: without Completed there is no message_delta and no message_stop; with it, there is nothing after."""
    encoder = CODEC.stream_encoder(PROMPT)
    body = encoder.feed(CREATED) + encoder.feed(OutputItemAdded(0, TEXT)) + encoder.feed(OutputTextDelta(0, "a"))
    body += encoder.close()
    assert b"message_delta" not in body
    assert decode([body], PROMPT, Compat())[1] == "StreamInterrupted"
    assert encoder.feed(done()) == b""
    assert CODEC.stream_encoder(PROMPT).close() == b""
