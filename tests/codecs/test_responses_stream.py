"""The Responses stream decoder: bytes in, exact events out, at every split."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from agent_core.codecs.base import Compat
from agent_core.codecs.responses_stream import ResponsesStreamDecoder
from agent_core.codecs.sse import MAX_EVENT_BYTES
from agent_core.errors import (
    ApiError,
    ContextLengthError,
    EventTooLarge,
    MalformedStream,
    ModelError,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterrupted,
)
from agent_core.events import (
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    RateLimits,
    RateLimitWindow,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    ReasoningSummaryPartAdded,
    RefusalDelta,
    ReportedUsage,
    ResponseEvent,
    ToolCallInputDelta,
)
from agent_core.items import (
    Compaction,
    CustomToolCall,
    ImageGenerationCall,
    JsonObject,
    LocalShellAction,
    LocalShellCall,
    Message,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    ToolSearchCall,
    ToolSearchOutput,
    UnknownItem,
    WebSearchCall,
)
from agent_core.prompt import CustomToolSpec, Prompt

from .responses_frames import (
    COMPAT,
    CREATED,
    DONE,
    PROMPT,
    SPENT,
    USAGE,
    added,
    arguments,
    bare,
    call,
    call_events,
    called,
    created,
    decode,
    done,
    ended,
    frame,
    message,
    message_events,
    origin,
    reasoning,
    said,
    splits,
    sse,
    stopped,
    text,
)


@dataclass(frozen=True)
class Case:
    """A body and what it becomes: events, and the class and words of the error if it ends in one."""

    body: bytes
    events: list[ResponseEvent] = field(default_factory=list[ResponseEvent])
    error: type[ModelError] | None = None
    says: str = ""
    compat: Compat = COMPAT
    prompt: Prompt = PROMPT


CALLED = stopped(finish_reason="tool_calls")


def cut(finish_reason: str = "length", incomplete_reason: str | None = "max_output_tokens") -> ResponseEvent:
    return stopped(
        finish_reason=finish_reason,
        status="incomplete",
        native_reason="incomplete",
        incomplete_reason=incomplete_reason,
    )


CUT = cut()
CUT_DETAILS: JsonObject = {"incomplete_details": {"reason": "max_output_tokens"}}


def cut_message(*deltas: str) -> list[ResponseEvent]:
    events = message_events(0, *deltas)
    return [*events[:-1], OutputItemDone(0, said("".join(deltas), status="incomplete"))]


TEXT: dict[str, Case] = {
    "the whole sequence, usage and an unknown event": Case(
        sse(
            created(),
            {"type": "response.in_progress", "response": {"id": "resp_1"}},
            added(0, message(status="in_progress")),
            {"type": "response.content_part.added", "output_index": 0, "part": {"type": "output_text", "text": ""}},
            text(0, "Hel"),
            text(0, "lo"),
            {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hello"},
            {"type": "keepalive", "sequence_number": 7},
            {"type": "response.of_tomorrow", "delta": "x"},
            done(0, message("Hello", status="completed")),
            ended("completed", message("Hello"), usage=USAGE),
        ),
        [CREATED, *message_events(0, "Hel", "lo"), stopped(usage=SPENT)],
    ),
    "T-C1 items without ids, only done": Case(
        sse(
            bare(done(0, message("a", item_id=""))),
            bare(done(1, message("b", item_id=""))),
            {"type": "response.completed", "response": {"id": "resp1"}},
        ),
        [
            *message_events(0, "a", item_id="", response_id=""),
            *message_events(1, "b", item_id="", response_id=""),
            stopped(response_id="resp1", model="", native_reason=None),
        ],
    ),
    "codex responses: completed without an id is an end all the same": Case(
        sse(created(), {"type": "response.completed", "response": {"status": "completed"}}),
        [CREATED, stopped()],
    ),
    "T-C7 created without a response, then completed": Case(
        sse({"type": "response.created"}, ended()),
        [stopped()],
    ),
    "no event names, [DONE] at the end (LiteLLM)": Case(
        sse(created(), added(0, message()), text(0, "a"), done(0, message("a")), ended(), DONE, names=False),
        [CREATED, *message_events(0, "a"), stopped()],
    ),
    "types only in the event names": Case(
        sse(b'event: response.created\ndata: {"response":{"id":"resp_1","model":"gpt-x"}}\n\n', ended()),
        [CREATED, stopped()],
    ),
    "an empty final output (ChatGPT's backend)": Case(
        sse(created(), added(0, message()), text(0, "a"), done(0, message("a")), ended()),
        [CREATED, *message_events(0, "a"), stopped()],
    ),
    "nothing but the final output": Case(
        sse(created(), ended("completed", message("a"), call("{}"))),
        [CREATED, *message_events(0, "a"), *call_events(1, "{}"), CALLED],
    ),
    "text only in output_text.done": Case(
        sse(
            created(),
            added(0, message()),
            {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "whole"},
            done(0, message("whole")),
            ended(),
        ),
        [CREATED, *message_events(0, "whole"), stopped()],
    ),
    "deltas that were never announced": Case(
        sse(created(), text(0, "a"), text(0, "b"), text(1, "c", "msg_2"), ended()),
        [
            CREATED,
            OutputItemAdded(0, said(status="in_progress")),
            OutputTextDelta(0, "a"),
            OutputTextDelta(0, "b"),
            OutputItemAdded(1, said(item_id="msg_2", status="in_progress")),
            OutputTextDelta(1, "c"),
            OutputItemDone(0, said("ab", status="incomplete")),
            OutputItemDone(1, said("c", item_id="msg_2", status="incomplete")),
            stopped(),
        ],
    ),
    "an item finished by the final output": Case(
        sse(created(), added(0, message()), text(0, "a"), ended("completed", message("a"))),
        [CREATED, *message_events(0, "a"), stopped()],
    ),
    "another id in every event (Copilot)": Case(
        sse(
            created(),
            added(0, message(item_id="x1")),
            text(0, "a", "x2"),
            text(0, "b", "x3"),
            done(0, message("ab", item_id="x4")),
            ended("completed", message("ab", item_id="x5")),
        ),
        [
            CREATED,
            OutputItemAdded(0, said(item_id="x1", status="in_progress")),
            OutputTextDelta(0, "a"),
            OutputTextDelta(0, "b"),
            OutputItemDone(0, said("ab", item_id="x4")),
            stopped(),
        ],
    ),
    "content_index 1 in deltas, 0 in the item (bedrock-mantle)": Case(
        sse(
            created(),
            added(0, message()),
            text(0, "a", part=1),
            {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "a"},
            done(0, message("a")),
            ended(),
        ),
        [CREATED, *message_events(0, "a"), stopped()],
    ),
    "no index and no id anywhere, a call before the text is done (llama.cpp)": Case(
        sse(
            created(),
            bare(added(0, message())),
            bare(text(0, "a")),
            bare(added(1, call())),
            bare(text(0, "b")),
            bare(arguments(1, "{}")),
            bare(done(0, message("ab"))),
            bare(done(1, call("{}"))),
            ended(),
        ),
        [
            CREATED,
            OutputItemAdded(0, said(status="in_progress")),
            OutputTextDelta(0, "a"),
            OutputItemAdded(1, called("", status="in_progress")),
            OutputTextDelta(0, "b"),
            ToolCallInputDelta(1, "call_1", "{}"),
            OutputItemDone(0, said("ab")),
            OutputItemDone(1, called("{}")),
            CALLED,
        ],
    ),
    "output_index 0 for everything (LiteLLM)": Case(
        sse(
            created(),
            added(0, message()),
            text(0, "a"),
            added(0, call()),
            text(0, "b"),
            arguments(0, "{}"),
            done(0, message("ab")),
            done(0, call("{}")),
            ended(),
        ),
        [
            CREATED,
            OutputItemAdded(0, said(status="in_progress")),
            OutputTextDelta(0, "a"),
            OutputItemAdded(1, called("", status="in_progress")),
            OutputTextDelta(0, "b"),
            ToolCallInputDelta(1, "call_1", "{}"),
            OutputItemDone(0, said("ab")),
            OutputItemDone(1, called("{}")),
            CALLED,
        ],
    ),
    "an item said to be added and done twice": Case(
        sse(
            created(),
            added(0, message()),
            added(0, message()),
            text(0, "a"),
            done(0, message("a")),
            done(0, message("a")),
            text(0, "late"),
            ended(),
        ),
        [CREATED, *message_events(0, "a"), stopped()],
    ),
    "two parts, a refusal, phase and citations": Case(
        sse(
            created(),
            added(0, message(phase="commentary")),
            text(0, "a"),
            {"type": "response.refusal.delta", "output_index": 0, "content_index": 1, "delta": "no"},
            text(0, "c", part=2),
            {
                "type": "response.output_text.annotation.added",
                "output_index": 0,
                "content_index": 2,
                "annotation": {"type": "url_citation", "url": "u"},
            },
            done(0, message("a", "c", phase="commentary")),
            ended(),
        ),
        [
            CREATED,
            OutputItemAdded(
                0, Message(role="assistant", phase="commentary", status="in_progress", origin=origin("msg_1"))
            ),
            OutputTextDelta(0, "a"),
            RefusalDelta(0, "no", 1),
            OutputTextDelta(0, "c", 2),
            OutputItemDone(
                0,
                Message(
                    role="assistant",
                    phase="commentary",
                    origin=origin("msg_1"),
                    content=(
                        OutputText(text="a"),
                        Refusal(refusal="no"),
                        OutputText(text="c", annotations=({"type": "url_citation", "url": "u"},)),
                    ),
                ),
            ),
            stopped(),
        ],
    ),
    "end_turn": Case(sse(created(), ended(end_turn=False)), [CREATED, stopped(end_turn=False)]),
    "broken frames are skipped, an escaped half character is replaced": Case(
        sse(
            created(),
            b"data: nope\n\n",
            b"data: \xff\n\n",
            b"data: [1]\n\n",
            added(0, message()),
            b'data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"a\\ud83d"}\n\n',
            ended(),
        ),
        [
            CREATED,
            OutputItemAdded(0, said(status="in_progress")),
            OutputTextDelta(0, "a\ufffd"),
            OutputItemDone(0, said("a\ufffd", status="incomplete")),
            stopped(),
        ],
    ),
    "rate limits before created": Case(
        sse(
            {
                "type": "codex.rate_limits",
                "rate_limits": {
                    "primary": {"used_percent": 42.5, "window_minutes": 300, "reset_at": 1_800_000_000},
                    "secondary": {"used_percent": 0, "window_minutes": 0},
                },
            },
            created(),
            ended(),
        ),
        [CREATED, RateLimits((RateLimitWindow("primary", used_percent=42.5, window_s=18000),)), stopped()],
    ),
    "a stream that is resumed in its middle": Case(
        sse(text(0, "b"), done(0, message("ab")), ended()),
        [
            OutputItemAdded(0, said(status="in_progress", response_id="")),
            OutputTextDelta(0, "b"),
            OutputItemDone(0, said("b", response_id="")),
            stopped(),
        ],
    ),
    "a whole answer though a stream was asked for": Case(
        b'{"object": "response", "id": "resp_1", "model": "gpt-x", "status": "completed",\n'
        b' "output": [{"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "a"}]}]}',
        [*message_events(0, "a"), stopped()],
    ),
}  # fmt: skip

ENDS: dict[str, Case] = {
    "length": Case(
        sse(created(), added(0, message()), text(0, "a"), ended("incomplete", **CUT_DETAILS)),
        [CREATED, *cut_message("a"), CUT],
    ),
    "completed, whose status is incomplete (vLLM)": Case(
        sse(
            created(),
            added(0, message()),
            text(0, "a"),
            done(0, message("a", status="incomplete")),
            {**ended("incomplete", **CUT_DETAILS), "type": "response.completed"},
        ),
        [CREATED, *cut_message("a"), CUT],
    ),
    "content filter": Case(
        sse(created(), ended("incomplete", incomplete_details={"reason": "content_filter"})),
        [CREATED, cut("content_filter", "content_filter")],
    ),
    "incomplete for no reason": Case(
        sse(created(), ended("incomplete")),
        [CREATED, cut("unknown", None)],
    ),
    "T-C2 EOF without a terminal event": Case(
        sse(created(), added(0, message()), text(0, "par")),
        [CREATED, *cut_message("par")],
        StreamInterrupted,
        "the stream ended before response.completed",
    ),
    "EOF inside an event": Case(
        sse(created(), added(0, message()), text(0, "par")) + b'data: {"type":"response.comp',
        [CREATED, *cut_message("par")],
        StreamInterrupted,
        "the stream ended before response.completed",
    ),
    "half an event in the middle": Case(
        sse(created(), b'data: {"type":"response.output_text.delta","del\n\n', ended(), DONE),
        [CREATED],
        MalformedStream,
        "an event of 41 bytes is broken JSON",
    ),
    "half an event at the end": Case(
        sse(created(), b'data: {"type":"response.completed","re'),
        [CREATED],
        StreamInterrupted,
        "the stream ended before",
    ),
    "[DONE] is no end": Case(sse(created(), DONE), [CREATED], StreamInterrupted, "the stream ended before"),
    "an empty body": Case(b"", [], StreamInterrupted, "the stream ended before its first event"),
    "only keep-alives": Case(b": hi\n\n: hi\n\n", [], StreamInterrupted, "the stream ended before its first event"),
    "EOF inside the first event": Case(
        b"event: response.crea", [], StreamInterrupted, "the stream ended before its first event"
    ),
    "EOF inside the first data": Case(
        b'event: response.created\ndata: {"type":', [], StreamInterrupted, "the stream ended before its first event"
    ),
    "HTML": Case(
        b"<!doctype html>\n<html><body>\n<h1>Not found</h1></body></html>\n", [], MalformedStream, "an HTML page"
    ),
    "binary": Case(bytes(range(256)) * 4, [], MalformedStream, "the body is no event stream"),
    "a Chat stream": Case(
        b'data: {"object":"chat.completion.chunk","choices":[]}\n\ndata: [DONE]\n\n',
        [],
        MalformedStream,
        "none of the 2 events is one of the Responses wire",
    ),
    "T-C3 failed, with a wait in words": Case(
        sse(
            created(),
            ended(
                "failed",
                error={"code": "rate_limit_exceeded", "message": "Limit reached. Please try again in 11.054s. Bye."},
            ),
        ),
        [CREATED],
        RateLimitError,
        "Limit reached. Please try again in 11.054s. Bye.",
    ),
    "T-C4 context length": Case(
        sse(created(), ended("failed", error={"code": "context_length_exceeded", "message": "too\nlong"})),
        [CREATED],
        ContextLengthError,
        "too long",
    ),
    "T-C6 quota": Case(
        sse(created(), ended("failed", error={"code": "insufficient_quota", "message": "no money"})),
        [CREATED],
        QuotaExceededError,
        "no money",
    ),
    "failed without a word": Case(
        sse(created(), ended("failed")), [CREATED], ServerError, "the response failed without an explanation"
    ),
    "an error event, then response.failed": Case(
        sse(
            created(),
            added(0, message()),
            text(0, "a"),
            {"type": "error", "code": "server_is_overloaded", "message": "busy", "param": None, "sequence_number": 3},
            text(0, "after"),
            ended("failed", error={"code": "other", "message": "other"}),
        ),
        [CREATED, *cut_message("a")],
        OverloadedError,
        "busy",
    ),
    "an error event, then EOF": Case(
        sse(created(), {"type": "error", "error": {"code": "insufficient_quota", "message": "no money"}}),
        [CREATED],
        QuotaExceededError,
        "no money",
    ),
    "an error without a type, then [DONE]": Case(
        sse(b'data: {"error": {"message": "no money", "code": "insufficient_quota"}}\n\n', DONE),
        [],
        QuotaExceededError,
        "no money",
    ),
    "an error as an SSE field (llama.cpp)": Case(
        sse(created(), b'error: {"code":"insufficient_quota","message":"no money"}\n\n'),
        [CREATED],
        QuotaExceededError,
        "no money",
    ),
    "an error object instead of a stream": Case(
        b'{"error": {\n  "code": "insufficient_quota",\n  "message": "no money"\n}}',
        [],
        QuotaExceededError,
        "no money",
    ),
    "cancelled": Case(
        sse(created(), added(0, message()), text(0, "a"), ended("cancelled")),
        [CREATED, *cut_message("a")],
        ApiError,
        "the response was cancelled at the provider",
    ),
}

CUSTOM = Prompt("hi", model="gpt", tools=[CustomToolSpec("patch")])
LOWERED = Compat(provider="acme")


def patch(input_: str, status: str = "completed") -> CustomToolCall:
    made = CustomToolCall(call_id="call_1", name="patch", input=input_, origin=origin("fc_1"))
    return made.model_copy(update={"status": status})


CALLS: dict[str, Case] = {
    "X-S0-10 arguments in deltas": Case(
        sse(created(), added(0, call()), arguments(0, '{"a"'), arguments(0, ":1}"), done(0, call('{"a":1}')), ended()),
        [CREATED, *call_events(0, '{"a"', ":1}"), CALLED],
    ),
    "arguments only in .done (LM Studio)": Case(
        sse(
            created(),
            added(0, call()),
            {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "{}"},
            done(0, call("{}")),
            ended(),
        ),
        [CREATED, *call_events(0, "{}"), CALLED],
    ),
    "arguments only in the item, as an object": Case(
        sse(created(), added(0, call()), done(0, {**call(), "arguments": {"a": 1}}), ended()),
        [CREATED, *call_events(0, '{"a":1}'), CALLED],
    ),
    "T-H10 two calls, interleaved": Case(
        sse(
            created(),
            added(0, call()),
            added(1, call(item_id="fc_2", call_id="call_2")),
            arguments(0, "{"),
            arguments(1, "{}", "fc_2"),
            arguments(0, "}"),
            done(0, call("{}")),
            done(1, call("{}", item_id="fc_2", call_id="call_2")),
            ended(),
        ),
        [
            CREATED,
            OutputItemAdded(0, called("", status="in_progress")),
            OutputItemAdded(1, called("", "fc_2", "call_2", "in_progress")),
            ToolCallInputDelta(0, "call_1", "{"),
            ToolCallInputDelta(1, "call_2", "{}"),
            ToolCallInputDelta(0, "call_1", "}"),
            OutputItemDone(0, called("{}")),
            OutputItemDone(1, called("{}", "fc_2", "call_2")),
            CALLED,
        ],
    ),
    "W-S2-08 announced with neither id nor name": Case(
        sse(
            created(),
            added(0, call(call_id="", name="")),
            arguments(0, '{"a"'),
            arguments(0, ":1}"),
            done(0, call('{"a":1}')),
            ended(),
        ),
        [CREATED, *call_events(0, '{"a":1}'), CALLED],
    ),
    "a call without an id": Case(
        sse(created(), done(0, {**call("{}"), "call_id": None}), ended()),
        [CREATED, *call_events(0, "{}", call_id="call_resp_1_0"), CALLED],
    ),
    "a call that is never named": Case(
        sse(created(), arguments(0, "{}"), done(0, call("{}", name="")), ended()), [CREATED, stopped()]
    ),
    "X-S1-16 cut, and said to be incomplete": Case(
        sse(
            created(),
            added(0, call()),
            arguments(0, '{"a'),
            done(0, call('{"a', status="incomplete")),
            ended("incomplete", **CUT_DETAILS),
        ),
        [CREATED, *call_events(0, '{"a', status="incomplete"), CUT],
    ),
    "cut, and said to be completed (vLLM)": Case(
        sse(
            created(),
            added(0, call()),
            arguments(0, '{"a'),
            done(0, call('{"a', status="completed")),
            {**ended("incomplete", call('{"a'), **CUT_DETAILS), "type": "response.completed"},
        ),
        [CREATED, *call_events(0, '{"a', status="incomplete"), CUT],
    ),
    "cut before its arguments": Case(
        sse(created(), added(0, call()), done(0, call()), ended("incomplete", **CUT_DETAILS)),
        [CREATED, *call_events(0, status="incomplete"), CUT],
    ),
    "whole, in an answer that was cut later": Case(
        sse(
            created(),
            added(0, call()),
            arguments(0, "{}"),
            done(0, call("{}")),
            added(1, message()),
            text(1, "a"),
            ended("incomplete", **CUT_DETAILS),
        ),
        [
            CREATED,
            *call_events(0, "{}"),
            OutputItemAdded(1, said(status="in_progress")),
            OutputTextDelta(1, "a"),
            OutputItemDone(1, said("a", status="incomplete")),
            CUT,
        ],
    ),
    "wrong arguments of a whole answer are the model's own": Case(
        sse(
            created(),
            added(0, call()),
            arguments(0, "[1]"),
            done(0, call("[1]")),
            added(1, message()),
            text(1, "a"),
            done(1, message("a")),
            ended(),
        ),
        [
            CREATED,
            OutputItemAdded(0, called("", status="in_progress")),
            ToolCallInputDelta(0, "call_1", "[1]"),
            OutputItemAdded(1, said(status="in_progress")),
            OutputTextDelta(1, "a"),
            OutputItemDone(0, called("[1]")),
            OutputItemDone(1, said("a")),
            CALLED,
        ],
    ),
    "open at an interruption": Case(
        sse(created(), added(0, call()), arguments(0, "{}")),
        [CREATED, *call_events(0, "{}", status="incomplete")],
        StreamInterrupted,
        "the stream ended",
    ),
    "done but not an object, at an interruption": Case(
        sse(created(), added(0, call()), arguments(0, "{"), done(0, call("{"))),
        [CREATED, *call_events(0, "{", status="incomplete")],
        StreamInterrupted,
        "the stream ended",
    ),
    "a custom tool": Case(
        sse(
            created(),
            added(0, {"type": "custom_tool_call", "id": "fc_1", "call_id": "call_1", "name": "patch"}),
            {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "*** "},
            {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "Begin"},
            {"type": "response.custom_tool_call_input.done", "output_index": 0, "input": "*** Begin"},
            done(
                0,
                {"type": "custom_tool_call", "id": "fc_1", "call_id": "call_1", "name": "patch", "input": "*** Begin"},
            ),
            ended(),
        ),
        [
            CREATED,
            OutputItemAdded(0, patch("", "in_progress")),
            ToolCallInputDelta(0, "call_1", "*** "),
            ToolCallInputDelta(0, "call_1", "Begin"),
            OutputItemDone(0, patch("*** Begin")),
            CALLED,
        ],
        prompt=CUSTOM,
    ),
    "a custom tool that went out as a function": Case(
        sse(
            created(),
            added(0, call(name="patch")),
            arguments(0, '{"input":"a'),
            arguments(0, 'b"}'),
            done(0, call('{"input":"ab"}', name="patch")),
            ended(),
        ),
        [
            CREATED,
            OutputItemAdded(0, patch("", "in_progress")),
            ToolCallInputDelta(0, "call_1", "ab"),
            OutputItemDone(0, patch("ab")),
            CALLED,
        ],
        prompt=CUSTOM,
        compat=LOWERED,
    ),
    "the same, cut": Case(
        sse(
            created(),
            added(0, call(name="patch")),
            arguments(0, '{"input":"a'),
            done(0, call('{"input":"a', name="patch")),
            ended("incomplete", **CUT_DETAILS),
        ),
        [
            CREATED,
            OutputItemAdded(0, patch("", "in_progress")),
            ToolCallInputDelta(0, "call_1", "a"),
            OutputItemDone(0, patch("a", "incomplete")),
            CUT,
        ],
        prompt=CUSTOM,
        compat=LOWERED,
    ),
}

REASONED = Reasoning(summary=("ab", "c"), encrypted_content="x", origin=origin("rs_1", "summary"))
THINKING = Reasoning(status="in_progress", origin=origin("rs_1", "encrypted_content"))

REASONING: dict[str, Case] = {
    "T-H16 summary parts and encrypted content": Case(
        sse(
            created(),
            added(0, reasoning(encrypted_content="partial")),
            {"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0},
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "a"},
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "b"},
            {"type": "response.reasoning_summary_text.done", "output_index": 0, "summary_index": 0, "text": "ab"},
            {"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 1},
            {"type": "response.reasoning_summary_text.done", "output_index": 0, "summary_index": 1, "text": "c"},
            done(
                0,
                reasoning(
                    encrypted_content="x",
                    summary=[{"type": "summary_text", "text": "ab"}, {"type": "summary_text", "text": "c"}],
                ),
            ),
            ended(),
        ),
        [
            CREATED,
            OutputItemAdded(0, THINKING),
            ReasoningSummaryPartAdded(0, 0),
            ReasoningSummaryDelta(0, "a", 0),
            ReasoningSummaryDelta(0, "b", 0),
            ReasoningSummaryPartAdded(0, 1),
            ReasoningSummaryDelta(0, "c", 1),
            OutputItemDone(0, REASONED),
            stopped(),
        ],
    ),
    "reasoning_text, and the item keeps its format (OpenRouter)": Case(
        sse(
            created(),
            added(0, reasoning()),
            {"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0, "delta": "a"},
            {"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0, "delta": "b"},
            done(0, reasoning(format="f-v1", content=[{"type": "reasoning_text", "text": "ab"}])),
            ended(),
        ),
        [
            CREATED,
            OutputItemAdded(0, THINKING),
            ReasoningContentDelta(0, "a"),
            ReasoningContentDelta(0, "b"),
            OutputItemDone(
                0, Reasoning(content=("ab",), opaque={"format": "f-v1"}, origin=origin("rs_1", "reasoning_text"))
            ),
            stopped(),
        ],
    ),
    "an empty item": Case(
        sse(created(), added(0, reasoning()), done(0, reasoning()), ended()),
        [
            CREATED,
            OutputItemAdded(0, THINKING),
            OutputItemDone(0, THINKING.model_copy(update={"status": "completed"})),
            stopped(),
        ],
    ),
}


def server_item(raw: JsonObject, item: ResponseItem, announced: ResponseItem | None = None) -> Case:
    call = isinstance(item, (LocalShellCall, ToolSearchCall))
    return Case(
        sse(created(), added(0, raw), done(0, raw), ended()),
        [
            CREATED,
            OutputItemAdded(0, announced or item.model_copy(update={"status": "in_progress"})),
            OutputItemDone(0, item),
            CALLED if call else stopped(),
        ],
    )


SEARCHED = WebSearchCall(action={"type": "search", "query": "q"}, status="completed", origin=origin("ws_1"))
LISTED: JsonObject = {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": [{"name": None}]}
IMAGE = ImageGenerationCall(result="QUJD", revised_prompt="p", status="completed", origin=origin("ig_1"))

ITEMS: dict[str, Case] = {
    "web search": server_item(
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        SEARCHED,
        SEARCHED,
    ),
    "image": server_item(
        {
            "type": "image_generation_call",
            "id": "ig_1",
            "status": "completed",
            "result": "QUJD",
            "revised_prompt": "p",
        },
        IMAGE,
        IMAGE.model_copy(update={"result": ""}),
    ),
    "an unknown kind, nulls and all": server_item(
        LISTED, UnknownItem(raw=LISTED, origin=origin("mcpl_1")), UnknownItem(raw=LISTED, origin=origin("mcpl_1"))
    ),
    "local shell": server_item(
        {
            "type": "local_shell_call",
            "id": "lsh_1",
            "call_id": "call_1",
            "action": {"type": "exec", "command": ["ls", "-l"], "env": {"A": "b"}, "timeout_ms": 5},
        },
        LocalShellCall(
            call_id="call_1",
            action=LocalShellAction(command=("ls", "-l"), env={"A": "b"}, timeout_ms=5),
            origin=origin("lsh_1"),
        ),
    ),
    "tool search": server_item(
        {"type": "tool_search_call", "id": "tsc_1", "call_id": "call_1", "arguments": {"query": None}},
        ToolSearchCall(call_id="call_1", arguments={"query": None}, origin=origin("tsc_1")),
    ),
    "tool search output": server_item(
        {"type": "tool_search_output", "execution": "server", "tools": [{"name": "t"}]},
        ToolSearchOutput(execution="server", tools=({"name": "t"},)),
    ),
    "compaction": server_item(
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"},
        Compaction(encrypted_content="x", origin=origin("cmp_1")),
        Compaction(encrypted_content="x", origin=origin("cmp_1")),
    ),
}

CASES = {**TEXT, **ENDS, **CALLS, **REASONING, **ITEMS}


@pytest.mark.parametrize("name", CASES)
def test_stream(name: str) -> None:
    """A stream becomes exactly these events and this end, however its bytes are cut."""
    case = CASES[name]
    for parts in splits(case.body):
        events, decoder = decode(parts, case.prompt, case.compat)
        assert events == case.events
        if case.error is None:
            assert decoder.error is None
        else:
            assert isinstance(decoder.error, case.error)
            assert type(decoder.error) is case.error
            assert case.says in str(decoder.error)
            assert decoder.error.partial == decoder.snapshot()


def test_tables_do_not_share_a_name() -> None:
    """No case hides another."""
    assert len(CASES) == len(TEXT) + len(ENDS) + len(CALLS) + len(REASONING) + len(ITEMS)


def test_failed_response_keeps_what_came() -> None:
    """After response.failed the partial answer has the items, the usage, and the wire's own word."""
    body = sse(
        created(),
        added(0, message()),
        text(0, "par"),
        ended("failed", usage=USAGE, error={"code": "server_error", "message": "boom"}),
    )
    _, decoder = decode([body])
    partial = decoder.snapshot()
    assert (partial.status, partial.finish_reason, partial.native_reason) == ("failed", "error", "failed")
    assert (partial.items, partial.usage) == ((said("par", status="incomplete"),), SPENT)


@pytest.mark.parametrize(
    ("words", "wait"),
    [("try again in 28ms", 0.028), ("try again in 1.898s", 1.898), ("Try again in 35 seconds.", 35.0)],
)
def test_failed_response_says_how_long_to_wait(words: str, wait: float) -> None:
    """T-C8, T-C9, T-C10: the wait in the message of a rate limit is retry_after_s."""
    _, decoder = decode([sse(created(), ended("failed", error={"code": "rate_limit_exceeded", "message": words}))])
    assert decoder.error is not None
    assert decoder.error.retry_after_s == pytest.approx(wait)  # pyright: ignore[reportUnknownMemberType]  # untyped in pytest


def test_error_event_waits_for_the_failed_response() -> None:
    """After an error event the decoder is finishing, not done: what follows it is heard for its usage only."""
    decoder = ResponsesStreamDecoder(PROMPT, COMPAT)
    decoder.feed(sse(created(), {"type": "error", "error": {"code": "server_error", "message": "boom"}}))
    assert (decoder.finishing, decoder.done, decoder.error) == (True, False, None)
    decoder.feed(sse(ended("failed", usage=USAGE)))
    assert (decoder.finishing, decoder.done) == (False, True)
    assert decoder.snapshot().usage == SPENT


def test_usage_is_kept_as_reported() -> None:
    """Usage has disjoint counters, and beside them what the wire said."""
    _, decoder = decode([sse(created(), ended(usage=USAGE))])
    usage = decoder.snapshot().usage
    assert usage is not None
    assert usage == SPENT
    assert usage.reported == ReportedUsage(input=9, cached_input=4, output=7, reasoning=2, total=16)
    assert usage.raw == USAGE


def test_snapshot_in_the_middle() -> None:
    """A snapshot holds what came so far, its open items incomplete."""
    decoder = ResponsesStreamDecoder(PROMPT, COMPAT)
    decoder.feed(sse(created(), added(0, message()), text(0, "par"), added(1, call()), arguments(1, '{"a')))
    snapshot = decoder.snapshot()
    assert snapshot.items == (said("par", status="incomplete"), called('{"a', status="incomplete"))
    assert (snapshot.id, snapshot.status, snapshot.finish_reason) == ("resp_1", "incomplete", "unknown")


def test_frames_after_the_end_are_counted_only() -> None:
    """Frames after the terminal event give no events, but are counted; broken ones before it are counted apart."""
    _, decoder = decode([sse(created(), b"data: ping\n\n", ended(), DONE, text(0, "late"))])
    assert (decoder.frames, decoder.bad_frames) == (5, 1)


def test_too_large_an_event_ends_the_stream() -> None:
    """An event over the cap is an error; what came before it is kept, in the same read too."""
    decoder = ResponsesStreamDecoder(PROMPT, COMPAT)
    events = decoder.feed(sse(created(), added(0, message()), text(0, "a")) + b"data: " + b"x" * (MAX_EVENT_BYTES + 1))
    assert events == [CREATED, *cut_message("a")]
    assert isinstance(decoder.error, EventTooLarge)
    assert (decoder.feed(b"more"), decoder.close()) == ([], [])


def test_many_fragments_are_one_call() -> None:
    """X-S3-13: ten thousand fragments of one call are its arguments, joined."""
    body = sse(created(), added(0, call()), *(arguments(0, "x") for _ in range(10_000)), done(0, call()), ended())
    events, _ = decode([body])
    assert events[-2] == OutputItemDone(0, called("x" * 10_000))


def test_interleaved_parts_stay_apart() -> None:
    """Texts of one message may alternate; each keeps its own place."""
    body = sse(
        created(), added(0, message()), text(0, "a"), text(0, "B", part=1), text(0, "c"), done(0, message()), ended()
    )
    events, _ = decode([body])
    assert events[-2] == OutputItemDone(0, said("ac", "B"))


def test_reasoning_outside_the_output_tokens() -> None:
    """providers.md 3c: numbers that add up only with reasoning beside the output are read so."""
    usage: JsonObject = {
        "input_tokens": 12,
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 340},
        "total_tokens": 354,
    }
    _, decoder = decode([frame(created()) + frame(ended(usage=usage))])
    found = decoder.snapshot().usage
    assert found is not None
    assert (found.input, found.output, found.reasoning, found.total) == (12, 2, 340, 354)
