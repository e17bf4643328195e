"""The Chat stream decoder: bytes in, exact events out, at every split."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from agent_core.codecs.base import Compat, json_bytes
from agent_core.codecs.chat_stream import ChatStreamDecoder
from agent_core.errors import (
    ApiError,
    EventTooLarge,
    InvalidRequestError,
    MalformedStream,
    ModelError,
    OverloadedError,
    RateLimitError,
    StreamInterrupted,
)
from agent_core.events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    RefusalDelta,
    ReportedUsage,
    ResponseEvent,
    ToolCallInputDelta,
    Usage,
)
from agent_core.items import CustomToolCall, JsonObject, JsonValue, Message, OutputText, Reasoning, Refusal
from agent_core.prompt import CustomToolSpec, Prompt

from .chat_chunks import (
    COMPAT,
    DONE,
    PROMPT,
    call,
    call_element,
    call_events,
    decode,
    delta,
    done,
    finish,
    function_call,
    message,
    message_events,
    origin,
    reasoning,
    reasoning_events,
    splits,
    sse,
    stopped,
    text,
    think,
    usage,
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


def calls_done(native: str | None = "tool_calls") -> Completed:
    return Completed(finish_reason="tool_calls", native_reason=native)


def cut(native: str) -> Completed:
    return Completed(finish_reason="length", status="incomplete", native_reason=native)


CHAT_USAGE = Usage(input=9, output=4)

TEXT: dict[str, Case] = {
    "T-A1 text, empty delta, [DONE]": Case(
        sse(text("hi"), delta({}), DONE),
        [*message_events(0, "hi"), done(0, message("hi")), Completed()],
    ),
    "T-E1 role, text, finish, usage": Case(
        sse(delta({"role": "assistant"}), text("Hel"), text("lo"), finish(), usage(9, 4), DONE),
        [
            *message_events(0, "Hel", "lo"),
            done(0, message("Hello")),
            Completed(finish_reason="stop", native_reason="stop", usage=CHAT_USAGE),
        ],
    ),
    "T-A7 only [DONE]": Case(DONE, [Completed()]),
    "T-A6 no JSON, then [DONE]": Case(sse(b"data: not-json\n\n", DONE), [Completed()]),
    "T-A8 invalid UTF-8 is skipped": Case(
        sse(text("a"), b"data: \x80\x80\n\n", text("b"), finish(), DONE),
        [*message_events(0, "a", "b"), done(0, message("ab")), stopped()],
    ),
    "[DONE] with text after it": Case(
        sse(text("a"), finish(), b"data: [DONE] bye\n\n", text("b")),
        [
            *message_events(0, "a"),
            done(0, message("a")),
            stopped(),
        ],
    ),
    "half a frame after the finish_reason": Case(
        sse(text("a"), finish(), b'data: {"choices":[],"usage":{"prom\n\n', DONE),
        [*message_events(0, "a"), done(0, message("a")), stopped()],
    ),
    "EOF after a finish_reason, without [DONE]": Case(
        sse(text("a"), finish()), [*message_events(0, "a"), done(0, message("a")), stopped()]
    ),
    "X-S0-21 no space, CR line ends, two data lines, no blank line at the end": Case(
        b'data:{"choices":[{"delta":\rdata:{"content":"a"}}]}\r\rdata:{"choices":[{"delta":{},"finish_reason":"stop"}]}',
        [*message_events(0, "a"), done(0, message("a")), stopped()],
    ),
    "X-S2-07 CRLF and comments": Case(
        b": hi\r\n\r\n" + sse(text("a"), finish(), DONE).replace(b"\n", b"\r\n"),
        [*message_events(0, "a"), done(0, message("a")), stopped()],
    ),
    "X-S0-22 no object, no index": Case(
        sse({"choices": [{"delta": {"content": "a"}}]}, DONE),
        [*message_events(0, "a"), done(0, message("a")), Completed()],
    ),
    "X-S1-18 finish_reason '' on every chunk": Case(
        sse(delta({"content": "a"}, ""), delta({"content": "b"}, ""), finish(), DONE),
        [*message_events(0, "a", "b"), done(0, message("ab")), stopped()],
    ),
    "text in and after the finish chunk": Case(
        sse(text("a"), delta({"content": "b"}, "stop"), text("c"), DONE),
        [*message_events(0, "a", "b", "c"), done(0, message("abc")), stopped()],
    ),
    "X-S1-16 length": Case(
        sse(text("long"), finish("length"), DONE),
        [*message_events(0, "long"), done(0, message("long", "incomplete")), cut("length")],
    ),
    "content filter": Case(
        sse(text("x"), finish("content_filter"), DONE),
        [
            *message_events(0, "x"),
            done(0, message("x", "incomplete")),
            Completed(finish_reason="content_filter", status="incomplete", native_reason="content_filter"),
        ],
    ),
    "eos (Together)": Case(
        sse(text("a"), finish("eos"), DONE), [*message_events(0, "a"), done(0, message("a")), stopped("eos")]
    ),
    "T-E8 the stop string that matched": Case(
        sse(text("a"), finish(stop_reason="three"), DONE),
        [
            *message_events(0, "a"),
            done(0, message("a")),
            Completed(finish_reason="stop", native_reason="stop", stop_sequence="three"),
        ],
    ),
    "the other choices of n=2 make no items": Case(
        sse(
            text("a"), {"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "length"}]}, finish(), DONE
        ),
        [*message_events(0, "a"), done(0, message("a")), stopped()],
    ),
    "half a character at the end of one delta": Case(
        b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\n'
        b'data: {"choices":[{"delta":{"content":"\\ude00b"}}]}\n\n' + sse(finish(), DONE),
        [*message_events(0, "a", "\U0001f600b"), done(0, message("a\U0001f600b")), stopped()],
    ),
    "half a character at the end of a call's piece": Case(
        sse(call(0, "a", "f", "HALF"), call(0, args="OTHER"), finish("length"), DONE)
        .replace(b"HALF", b"\\ud83d")
        .replace(b"OTHER", b"\\ude00"),
        [
            *call_events(0, "a", "f", "\U0001f600"),
            done(0, function_call("a", "f", "\U0001f600", "incomplete")),
            Completed(finish_reason="length", status="incomplete", native_reason="length"),
        ],
    ),
    "half a character that stays alone": Case(
        b'data: {"choices":[{"delta":{"content":"a\\ude00b"}}]}\n\n' + sse(finish(), DONE),
        [*message_events(0, "a\ufffdb"), done(0, message("a\ufffdb")), stopped()],
    ),
    "id and model": Case(
        sse({"id": "", "model": "", "choices": []}, {"id": "r", "model": "m1", **text("a")}, finish(), DONE),
        [
            Created("r", "m1"),
            OutputItemAdded(0, Message(role="assistant", origin=origin(response_id="r"))),
            message_events(0, "a")[1],
            OutputItemDone(
                0, Message(role="assistant", content=(OutputText(text="a"),), origin=origin(response_id="r"))
            ),
            Completed("r", "m1", "stop", native_reason="stop"),
        ],
    ),
}

NOTE: JsonObject = {"type": "url_citation", "url_citation": {"url": "https://example.com"}}
SIGNED: JsonObject = {"google": {"thought_signature": "s"}}

REASONING: dict[str, Case] = {
    "T-A2 reasoning, text": Case(
        sse(think("think1"), text("ok"), finish(), DONE),
        [
            *reasoning_events(0, "think1"),
            *message_events(1, "ok"),
            done(0, reasoning("think1")),
            done(1, message("ok")),
            stopped(),
        ],
    ),
    "T-A3 reasoning as objects": Case(
        sse(think({"text": "partA"}), think({"text": "", "content": "partB"}), text("answer"), finish(), DONE),
        [
            *reasoning_events(0, "partA", "partB"),
            *message_events(1, "answer"),
            done(0, reasoning("partApartB")),
            done(1, message("answer")),
            stopped(),
        ],
    ),
    "T-A4 reasoning only in a message": Case(
        sse({"choices": [{"message": {"reasoning": "final-cot"}, "finish_reason": "stop"}]}, DONE),
        [*reasoning_events(0, "final-cot"), done(0, reasoning("final-cot")), stopped()],
    ),
    "T-A5 reasoning, call without index": Case(
        sse(
            think("pre-tool"),
            delta(
                {"tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "run", "arguments": "{}"}}]},
                "tool_calls",
            ),
            DONE,
        ),
        [
            *reasoning_events(0, "pre-tool"),
            *call_events(1, "call_1", "run", "{}"),
            done(0, reasoning("pre-tool")),
            done(1, function_call("call_1", "run", "{}")),
            calls_done(),
        ],
    ),
    "X-S2-02 null beside the real one": Case(
        sse(delta({"reasoning_content": None, "reasoning": "r"}), finish(), DONE),
        [*reasoning_events(0, "r"), done(0, reasoning("r")), stopped()],
    ),
    "X-S1-13 the same text in two fields and in the last message": Case(
        sse(
            delta({"reasoning_content": "r", "reasoning": "r"}),
            delta({}, "stop", message={"reasoning_content": "r", "content": None}),
            DONE,
        ),
        [
            *reasoning_events(0, "r", field="reasoning_content"),
            done(0, reasoning("r", "reasoning_content")),
            stopped(),
        ],
    ),
    "W-S1-38 content before reasoning in one chunk": Case(
        sse(delta({"content": "a", "reasoning_content": "r"}), finish(), DONE),
        [
            *reasoning_events(0, "r", field="reasoning_content"),
            *message_events(1, "a"),
            done(0, reasoning("r", "reasoning_content")),
            done(1, message("a")),
            stopped(),
        ],
    ),
    "thinking parts in a content list (Mistral)": Case(
        sse(
            delta({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}]}),
            delta({"content": [{"type": "text", "text": "a"}]}),
            text("b"),
            finish(),
            DONE,
        ),
        [
            *reasoning_events(0, "r", field="content"),
            *message_events(1, "a", "b"),
            done(0, reasoning("r", "content")),
            done(1, message("ab")),
            stopped(),
        ],
    ),
    "reasoning only, cut": Case(
        sse(think("r"), finish("length"), DONE),
        [*reasoning_events(0, "r"), done(0, reasoning("r", status="incomplete")), cut("length")],
    ),
    "reasoning_text and reasoning_opaque (Copilot)": Case(
        sse(delta({"reasoning_text": "r"}), delta({"reasoning_opaque": "sealed"}), finish(), DONE),
        [
            *reasoning_events(0, "r", field="reasoning_text"),
            OutputItemDone(
                0,
                Reasoning(content=("r",), opaque={"reasoning_opaque": "sealed"}, origin=origin("reasoning_text")),
            ),
            stopped(),
        ],
    ),
}

CALLS: dict[str, Case] = {
    "T-E3 text, call": Case(
        sse(text("ok "), call(0, "t1", "f", "{}"), finish("tool_calls"), DONE),
        [
            *message_events(0, "ok "),
            *call_events(1, "t1", "f", "{}"),
            done(0, message("ok ")),
            done(1, function_call("t1", "f", "{}")),
            calls_done(),
        ],
    ),
    "T-E5 no arguments": Case(
        sse(call(0, "t1", "noargs", ""), finish("tool_calls"), DONE),
        [*call_events(0, "t1", "noargs"), done(0, function_call("t1", "noargs")), calls_done()],
    ),
    "X-S1-14 two calls in one delta, pieces interleaved": Case(
        sse(
            delta({"tool_calls": [call_element(0, "a", "f", ""), call_element(1, "b", "g", "")]}),
            delta({"tool_calls": [call_element(0, args="{"), call_element(1, args="{")]}),
            delta({"tool_calls": [call_element(1, args="}"), call_element(0, args="}")]}),
            finish("tool_calls"),
            DONE,
        ),
        [
            *call_events(0, "a", "f"),
            *call_events(1, "b", "g"),
            ToolCallInputDelta(0, "a", "{"),
            ToolCallInputDelta(1, "b", "{"),
            ToolCallInputDelta(1, "b", "}"),
            ToolCallInputDelta(0, "a", "}"),
            done(0, function_call("a", "f", "{}")),
            done(1, function_call("b", "g", "{}")),
            calls_done(),
        ],
    ),
    "X-S0-28 id, then name, then arguments": Case(
        sse(call(0, "a"), call(0, name="f"), call(0, args="{}"), finish("tool_calls"), DONE),
        [*call_events(0, "a", "f", "{}"), done(0, function_call("a", "f", "{}")), calls_done()],
    ),
    "X-S3-13 fragment, then id and name, then rest": Case(
        sse(call(0, args="{"), call(0, "a", "f"), call(0, args="}"), finish("tool_calls"), DONE),
        [*call_events(0, "a", "f", "{", "}"), done(0, function_call("a", "f", "{}")), calls_done()],
    ),
    "X-S2-03 no ids at all": Case(
        sse(call(None, None, "f", "{}"), call(None, None, "g", "{}"), finish("tool_calls"), DONE),
        [
            *call_events(0, "call_0", "f", "{}"),
            *call_events(1, "call_1", "g", "{}"),
            done(0, function_call("call_0", "f", "{}")),
            done(1, function_call("call_1", "g", "{}")),
            calls_done(),
        ],
    ),
    "one id for two calls": Case(
        sse(call(0, "a", "f", "{}"), call(1, "a", "g", "{}"), finish("tool_calls"), DONE),
        [
            *call_events(0, "a", "f", "{}"),
            *call_events(1, "call_1", "g", "{}"),
            done(0, function_call("a", "f", "{}")),
            done(1, function_call("call_1", "g", "{}")),
            calls_done(),
        ],
    ),
    "X-S1-17 finish stop": Case(
        sse(call(0, "a", "f", "{}"), finish("stop"), DONE),
        [*call_events(0, "a", "f", "{}"), done(0, function_call("a", "f", "{}")), calls_done("stop")],
    ),
    "X-S1-17 [DONE] without a finish_reason": Case(
        sse(call(0, "a", "f", "{}"), DONE),
        [*call_events(0, "a", "f", "{}"), done(0, function_call("a", "f", "{}")), calls_done(None)],
    ),
    "X-S2-05 legacy function_call": Case(
        sse(
            delta({"function_call": {"name": "f", "arguments": ""}}),
            delta({"function_call": {"arguments": "{}"}}),
            finish("function_call"),
            DONE,
        ),
        [
            *call_events(0, "call_0", "f", "{}"),
            done(0, function_call("call_0", "f", "{}")),
            calls_done("function_call"),
        ],
    ),
    "X-S1-16 cut by length, the call before it whole": Case(
        sse(call(0, "a", "f", "{}"), call(1, "b", "g", '{"x'), finish("length"), DONE),
        [
            *call_events(0, "a", "f", "{}"),
            *call_events(1, "b", "g", '{"x'),
            done(0, function_call("a", "f", "{}")),
            done(1, function_call("b", "g", '{"x', "incomplete")),
            cut("length"),
        ],
    ),
    "cut by length before the first argument": Case(
        sse(call(0, "a", "f", ""), finish("length"), DONE),
        [*call_events(0, "a", "f"), done(0, function_call("a", "f", "", "incomplete")), cut("length")],
    ),
    "vllm#53269 finish tool_calls, arguments cut": Case(
        sse(call(0, "a", "f", '{"x'), finish("tool_calls"), DONE),
        [*call_events(0, "a", "f", '{"x'), done(0, function_call("a", "f", '{"x', "incomplete")), calls_done()],
    ),
    "arguments that are no object, whole (vLLM without strict)": Case(
        sse(call(0, "a", "f"), call(0, args="tr"), call(0, args="ue"), finish("tool_calls"), DONE),
        [*call_events(0, "a", "f", "tr", "ue"), done(0, function_call("a", "f", "true")), calls_done()],
    ),
    "arguments that are no object, then the limit": Case(
        sse(call(0, "a", "f", "88"), finish("length"), DONE),
        [*call_events(0, "a", "f", "88"), done(0, function_call("a", "f", "88", "incomplete")), cut("length")],
    ),
    "finish tool_calls, native length (OpenRouter)": Case(
        sse(call(0, "a", "f", ""), finish("tool_calls", native_finish_reason="max_tokens"), DONE),
        [*call_events(0, "a", "f"), done(0, function_call("a", "f", "", "incomplete")), cut("tool_calls")],
    ),
    "finish tool_calls without calls": Case(
        sse(text("a"), finish("tool_calls"), DONE),
        [*message_events(0, "a"), done(0, message("a")), stopped("tool_calls")],
    ),
    "a call without a name is never run": Case(
        sse(call(0, "a", None, "{}"), finish("tool_calls"), DONE),
        [
            *call_events(0, "a", "unknown", "{}"),
            done(0, function_call("a", "unknown", "{}", "incomplete")),
            calls_done(),
        ],
    ),
    "a call of which nothing but an id came": Case(
        sse(text("a"), call(0, "a"), finish(), DONE), [*message_events(0, "a"), done(0, message("a")), stopped()]
    ),
    "thought signature in a delta of its own": Case(
        sse(
            call(0, "a", "f", "{}"),
            delta({"tool_calls": [{"index": 0, "extra_content": SIGNED}]}),
            finish("tool_calls"),
            DONE,
        ),
        [
            *call_events(0, "a", "f", "{}"),
            done(0, function_call("a", "f", "{}").model_copy(update={"opaque": {"extra_content": SIGNED}})),
            calls_done(),
        ],
    ),
}

REFUSED = Message(role="assistant", content=(Refusal(refusal="no way"),), origin=origin())
CITED = Message(role="assistant", content=(OutputText(text="a", annotations=(NOTE,)),), origin=origin())

ODD: dict[str, Case] = {
    "refusal": Case(
        sse(delta({"content": None, "refusal": "no "}), delta({"refusal": "way"}), finish(), DONE),
        [
            *message_events(0),
            RefusalDelta(0, "no "),
            RefusalDelta(0, "way"),
            done(0, REFUSED),
            stopped(),
        ],
    ),
    "annotations, said twice": Case(
        sse(text("a"), delta({"annotations": [NOTE]}), delta({"annotations": [NOTE]}), finish(), DONE),
        [*message_events(0, "a"), done(0, CITED), stopped()],
    ),
    "message beside delta (Perplexity)": Case(
        sse(
            delta({"content": "a"}, message={"role": "assistant", "content": "a"}),
            delta({"content": "b"}, message={"role": "assistant", "content": "ab"}),
            delta({"content": ""}, "stop", message={"role": "assistant", "content": "ab"}),
        ),
        [*message_events(0, "a", "b"), done(0, message("ab")), stopped()],
    ),
    "a whole completion instead of a stream": Case(
        json_bytes({"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}]}),
        [*message_events(0, "a"), done(0, message("a")), stopped()],
    ),
    "no finish_reason, no [DONE], and the profile says so (Snowflake)": Case(
        sse(text("a"), usage(9, 4)),
        [*message_events(0, "a"), done(0, message("a")), Completed(usage=CHAT_USAGE)],
        compat=Compat(provider="p", finish_may_be_missing=True),
    ),
    "the same, but no text came": Case(
        sse(delta({"role": "assistant"})),
        error=StreamInterrupted,
        compat=Compat(provider="p", finish_may_be_missing=True),
    ),
}

SEEN: list[ResponseEvent] = [*message_events(0, "par"), done(0, message("par", "incomplete"))]

FAILURES: dict[str, Case] = {
    "X-S1-11 EOF in the middle": Case(sse(text("par")), SEEN, StreamInterrupted, "without a finish_reason"),
    "EOF inside a frame": Case(sse(text("par"), b'data: {"cho'), SEEN, StreamInterrupted, "without a finish_reason"),
    "EOF inside a call": Case(
        sse(call(0, "a", "f", '{"x')),
        [*call_events(0, "a", "f", '{"x'), done(0, function_call("a", "f", '{"x', "incomplete"))],
        StreamInterrupted,
    ),
    "half a frame in the middle": Case(
        sse(text("par"), b'data: {"choices":[{"delta":{"conte\n\n', text("b"), finish(), DONE),
        SEEN,
        MalformedStream,
        "an event of 28 bytes is broken JSON",
    ),
    "half a character in a frame": Case(
        sse(text("par"), b'data: {"choices":[{"delta":{"content":"\xe2\x82"}}]}\n\n', finish(), DONE),
        SEEN,
        MalformedStream,
        "broken JSON",
    ),
    "X-S2-06 nothing at all": Case(b"", [], StreamInterrupted, "before its first event"),
    "only comments": Case(b": wait\n\n: wait\n\n", [], StreamInterrupted, "before its first event"),
    "EOF inside the first frame": Case(b'data: {"choi', [], StreamInterrupted, "before its first event"),
    "HTML": Case(b"<!DOCTYPE html>\n<html>\n</html>", [], MalformedStream, "begins with b'<!DOCTYPE html>"),
    "binary": Case(b"\x00\x01\x02\xff\xfe\n\n", [], MalformedStream, "begins with"),
    "no frame is JSON": Case(b"data: hello\n\ndata: world\n\n", [], MalformedStream, "none of its events is JSON"),
    "another wire": Case(
        sse({"type": "response.created", "response": {}}, {"type": "response.completed"}, DONE),
        [],
        MalformedStream,
        "not chunks of the Chat wire",
    ),
    "T-E6 error object after text": Case(
        sse(text("par"), {"error": {"type": "overloaded_error", "message": "busy"}}, text("x"), DONE),
        SEEN,
        OverloadedError,
        "busy",
    ),
    "X-S1-12 error string": Case(sse(text("par"), {"error": "boom"}), SEEN, ApiError, "boom"),
    "an error beside choices and usage, after a finish_reason (OpenRouter)": Case(
        sse(
            text("par"),
            finish("length"),
            {**delta({"content": ""}), "error": {"code": 400, "message": "Token limit reached"}},
            DONE,
        ),
        SEEN,
        ApiError,
        "Token limit reached",
    ),
    "error in the choice": Case(
        sse(text("par"), delta({}, "error", error={"code": 429, "message": "slow down"})), SEEN, RateLimitError, "slow"
    ),
    "object: error": Case(
        sse(text("par"), {"object": "error", "message": "bad", "code": 400}), SEEN, InvalidRequestError, "bad"
    ),
    "event: error (Groq)": Case(
        sse(text("par"), b'event: error\ndata: {"message":"failed","status_code":400}\n\n'),
        SEEN,
        InvalidRequestError,
        "failed",
    ),
    "event: error, no JSON": Case(
        sse(text("par"), b"event: error\ndata: out of luck\n\n"), SEEN, ApiError, "out of luck"
    ),
    "error: as a field of the event stream (llama.cpp)": Case(
        sse(text("par"), b'error: {"error":{"message":"failed to decode"}}\n\n'), SEEN, ApiError, "failed to decode"
    ),
    "base_resp (MiniMax)": Case(
        sse(text("par"), {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}), SEEN, ApiError, "rate limit"
    ),
    "x_groq.error": Case(sse(text("par"), {"x_groq": {"error": "over capacity"}}), SEEN, ApiError, "over capacity"),
    "a JSON error instead of a stream": Case(
        b'{"error": {"message": "no such thing", "code": 429}}', [], RateLimitError, "no such thing"
    ),
    "detail instead of a stream": Case(b'{\n "detail": "no such thing"\n}\n', [], ApiError, "no such thing"),
}

NO_ERROR = {
    "X-S1-12 error: null": Case(
        sse({"error": None, **text("a")}, finish(), DONE), [*message_events(0, "a"), done(0, message("a")), stopped()]
    ),
    "base_resp without an error": Case(
        sse({"base_resp": {"status_code": 0, "status_msg": ""}, **text("a")}, finish(), DONE),
        [*message_events(0, "a"), done(0, message("a")), stopped()],
    ),
}

ALL = {**TEXT, **REASONING, **CALLS, **ODD, **FAILURES, **NO_ERROR}


@pytest.mark.parametrize("name", ALL)
def test_a_stream_becomes_exactly_these_events(name: str) -> None:
    """Whole, byte by byte or cut anywhere: the same events, the same end, one terminal."""
    case = ALL[name]
    for parts in splits(case.body):
        events, decoder = decode(parts, case.prompt, case.compat)
        assert events == case.events
        assert isinstance(decoder.error, case.error or type(None))
        assert case.says in str(decoder.error)


@pytest.mark.parametrize("name", [name for name, case in ALL.items() if case.error is not None])
def test_an_error_carries_what_had_come(name: str) -> None:
    """`error.partial` is the answer so far, every item of it incomplete."""
    _, decoder = decode([ALL[name].body])
    assert decoder.error is not None and decoder.error.partial is not None
    partial = decoder.error.partial
    assert partial.status == "failed"
    assert list(partial.items) == [e.item for e in ALL[name].events if isinstance(e, OutputItemDone)]


USAGES: dict[str, tuple[JsonObject, Usage, ReportedUsage]] = {
    "OpenAI": (
        {
            "prompt_tokens": 50,
            "completion_tokens": 10,
            "total_tokens": 60,
            "prompt_tokens_details": {"cached_tokens": 20},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
        Usage(input=30, cache_read=20, output=6, reasoning=4),
        ReportedUsage(50, 20, 10, 4, 60),
    ),
    "xAI: reasoning on top of completion": (
        {
            "prompt_tokens": 12,
            "completion_tokens": 2,
            "total_tokens": 354,
            "completion_tokens_details": {"reasoning_tokens": 340},
        },
        Usage(input=12, output=2, reasoning=340),
        ReportedUsage(12, None, 2, 340, 354),
    ),
    "more reasoning than completion (Baseten)": (
        {"prompt_tokens": 5, "completion_tokens": 3, "reasoning_tokens": 9},
        Usage(input=5, output=3, reasoning=9),
        ReportedUsage(5, None, 3, 9, None),
    ),
    "DeepSeek": (
        {"prompt_tokens": 10, "prompt_cache_hit_tokens": 4, "completion_tokens": 1},
        Usage(input=6, cache_read=4, output=1),
        ReportedUsage(10, 4, 1, None, None),
    ),
    "Mistral": (
        {"prompt_tokens": 10, "num_cached_tokens": 4, "completion_tokens": 1},
        Usage(input=6, cache_read=4, output=1),
        ReportedUsage(10, 4, 1, None, None),
    ),
    "T-E10 writes at two lifetimes": (
        {
            "prompt_tokens": 50,
            "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 20},
            "cache_creation_input_tokens": 10,
            "cache_creation": {"ephemeral_1h_input_tokens": 8},
        },
        Usage(input=20, cache_read=20, cache_write=10, cache_write_1h=8, output=4),
        ReportedUsage(50, 20, 4, None, None),
    ),
    "more cached than prompt": (
        {"prompt_tokens": 5, "completion_tokens": 1, "cached_tokens": 9},
        Usage(input=5, cache_read=9, output=1),
        ReportedUsage(5, 9, 1, None, None),
    ),
}


@pytest.mark.parametrize("name", USAGES)
def test_usage_is_counted_once(name: str) -> None:
    """Counters are disjoint whatever the server puts into which, and what it said is kept as it said it."""
    raw, expected, reported = USAGES[name]
    _, decoder = decode([sse(text("a"), finish(), {"choices": [], "usage": raw}, DONE)])
    usage_seen = decoder.snapshot().usage
    assert usage_seen == expected
    assert usage_seen is not None and (usage_seen.reported, usage_seen.raw) == (reported, raw)


SMALL: JsonObject = {"prompt_tokens": 1, "completion_tokens": 1}
FINAL: JsonObject = {"prompt_tokens": 9, "completion_tokens": 4}


USAGE_PLACES: dict[str, list[JsonValue]] = {
    "cumulative": [{**text("a"), "usage": SMALL}, {**finish(), "usage": FINAL}],
    "after finish": [finish(), {"choices": [], "usage": FINAL}],
    "null after": [{**finish(), "usage": FINAL}, {**delta({}), "usage": None}],
    "in the choice": [finish(usage=FINAL)],
    "x_groq": [{**finish(), "x_groq": {"id": "r", "usage": FINAL}}],
    "top level first": [{**finish(), "x_groq": {"usage": SMALL}, "usage": FINAL}],
    "finish repeated": [finish(), finish(), {**finish(), "usage": FINAL}],
}


@pytest.mark.parametrize("place", USAGE_PLACES)
def test_usage_is_found_wherever_it_comes(place: str) -> None:
    """In any chunk, also after the finish_reason; the last that is not null counts (C-4)."""
    _, decoder = decode([sse(text("a"), *USAGE_PLACES[place], DONE)])
    assert decoder.snapshot().usage == CHAT_USAGE


def test_the_profile_may_say_that_output_excludes_reasoning() -> None:
    """xAI's counts without a total to check against."""
    raw: JsonObject = {"prompt_tokens": 1, "completion_tokens": 9, "reasoning_tokens": 4}
    compat = Compat(output_excludes_reasoning=True)
    _, decoder = decode([sse(text("a"), finish(), {"choices": [], "usage": raw}, DONE)], compat=compat)
    assert decoder.snapshot().usage == Usage(input=1, output=9, reasoning=4)


def test_reasoning_details_are_kept_so_that_they_can_be_replayed() -> None:
    """Pieces of one type and index become one detail; a signature closes it; encrypted ones stay whole; text that also
    came in a field of its own is not doubled."""

    def detail(**members: str | int) -> JsonObject:
        return {"type": "reasoning.text", "index": 0, "format": "f", **members}

    sealed: JsonObject = {"type": "reasoning.encrypted", "index": 0, "data": "xyz", "id": "e1"}
    chunks = [
        delta({"reasoning": "th", "reasoning_details": [detail(text="th")]}),
        delta({"reasoning": "ink", "reasoning_details": [detail(text="ink")]}),
        delta({"reasoning_details": [detail(signature="sig")]}),
        delta({"reasoning": "more", "reasoning_details": [detail(text="more")]}),
        text("a"),
        delta({"reasoning_details": [sealed]}),
        delta({"reasoning_details": [sealed]}),
    ]
    _, decoder = decode([sse(*chunks, finish(), DONE)])
    (found, _) = decoder.snapshot().items
    assert found == Reasoning(
        content=("thinkmore",),
        details=(detail(text="think", signature="sig"), detail(text="more"), sealed),
        origin=origin("reasoning_details"),
    )


PATCH = CustomToolSpec("patch")


@pytest.mark.parametrize(
    ("args", "status", "expected"),
    [
        (['{"input": "*** Be', 'gin\\n"}'], "completed", "*** Begin\n"),
        (['{"patch": "x"}'], "completed", "x"),
        (['{"input": "*** Be'], "incomplete", "*** Be"),
    ],
)
def test_a_lowered_custom_tool_is_raised_again(args: list[str], status: str, expected: str) -> None:
    """A call of a free-form tool that went out as a function comes back as the free-form call, its input unwrapped."""
    chunks = [call(0, "a", "patch", ""), *(call(0, args=piece) for piece in args)]
    events, _ = decode([sse(*chunks, finish("tool_calls"), DONE)], Prompt("x", tools=[PATCH], model="m"))
    made = CustomToolCall(call_id="a", name="patch", origin=origin())
    assert events[:-1] == [
        OutputItemAdded(0, made),
        ToolCallInputDelta(0, "a", expected),
        OutputItemDone(0, made.model_copy(update={"input": expected, "status": status})),
    ]


def test_a_native_custom_call_is_one() -> None:
    """Where the server knows free-form tools, their input comes as it is, in pieces."""
    pieces: list[JsonObject] = [
        {"index": 0, "id": "a", "type": "custom", "custom": {"name": "patch", "input": ""}},
        {"index": 0, "custom": {"input": "*** "}},
        {"index": 0, "custom": {"input": "Begin"}},
    ]
    chunks = [delta({"tool_calls": [piece]}) for piece in pieces]
    events, _ = decode([sse(*chunks, finish("tool_calls"), DONE)])
    made = CustomToolCall(call_id="a", name="patch", origin=origin())
    assert events[:-1] == [
        OutputItemAdded(0, made),
        ToolCallInputDelta(0, "a", "*** "),
        ToolCallInputDelta(0, "a", "Begin"),
        OutputItemDone(0, made.model_copy(update={"input": "*** Begin"})),
    ]


def test_finishing_tells_the_client_to_wait_only_a_little() -> None:
    """After a finish_reason the answer is whole; usage and [DONE] may still come."""
    decoder = ChatStreamDecoder(PROMPT, COMPAT)
    states = [(decoder.feed(sse(chunk)), decoder.finishing, decoder.done)[1:] for chunk in (text("a"), finish(), DONE)]
    assert states == [(False, False), (True, False), (True, True)]


def test_frames_are_counted() -> None:
    """[DONE] and what had to be skipped count as frames, comments do not."""
    body = sse(text("a"), b": comment\n\n", b"data: junk\n\n", {"type": "ping"}, finish(), DONE)
    _, decoder = decode([body])
    assert (decoder.frames, decoder.bad_frames) == (5, 2)


def test_nothing_follows_the_end() -> None:
    """What comes after [DONE] or after an error is not looked at."""
    decoder = ChatStreamDecoder(PROMPT, COMPAT)
    decoder.feed(sse({"error": "boom"}))
    assert (decoder.feed(sse(text("x"), DONE)), decoder.close()) == ([], [])


def test_snapshot_shows_the_answer_so_far() -> None:
    """In the middle of a stream everything is incomplete, and looking changes nothing."""
    decoder = ChatStreamDecoder(PROMPT, COMPAT)
    decoder.feed(sse(think("r"), text("a"), call(0, "c", "f", "{")))
    before = decoder.snapshot()
    assert before == decoder.snapshot()
    assert before.items == (
        reasoning("r", status="incomplete"),
        message("a", "incomplete"),
        function_call("c", "f", "{", "incomplete"),
    )
    decoder.feed(sse(call(0, args="}"), finish("tool_calls"), DONE))
    assert decoder.snapshot().items == (reasoning("r"), message("a"), function_call("c", "f", "{}"))


def test_an_event_without_end_is_an_error() -> None:
    """The reader's cap ends the stream with its own error, not with a crash; what came in the same read is kept."""
    whole = ChatStreamDecoder(PROMPT, COMPAT)
    assert whole.feed(sse(text("par")) + b"data: " + b"x" * (33 << 20)) == SEEN
    decoder = ChatStreamDecoder(PROMPT, COMPAT)
    seen = decoder.feed(sse(text("par")))
    piece = b"data: " + b"x" * (1 << 20)
    while not decoder.done:
        seen += decoder.feed(piece)
        piece = b"x" * (1 << 20)
    assert isinstance(decoder.error, EventTooLarge)
    assert seen == SEEN


@pytest.mark.parametrize("depth", [150, 250, 600, 900, 100_000])
def test_deep_json_is_no_way_to_crash_a_decoder(depth: int) -> None:
    """Nesting beyond what can be validated makes a bad frame, with or without half a character in it."""
    deep = "[" * depth + "]" * depth
    bodies = [
        f'{{"choices":[{{"delta":{{"annotations":[{{"x":{deep}, "y":"{half}"}}]}}}}]}}' for half in ("", "\\ud83d")
    ]
    _, decoder = decode([sse(text("a"), *(f"data: {body}\n\n".encode() for body in bodies), finish(), DONE)])
    assert (decoder.snapshot().text, decoder.bad_frames) == ("a", 0 if depth < 190 else 2)


def test_decoding_is_linear() -> None:
    """Ten times the deltas give ten times the events, and the text is joined once."""
    body = sse(*[text("word ")] * 20_000, finish(), DONE)
    events, decoder = decode([body[n : n + 4096] for n in range(0, len(body), 4096)])
    assert (len(events), len(decoder.snapshot().text)) == (20_003, 100_000)
