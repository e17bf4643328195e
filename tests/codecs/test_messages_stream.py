"""Messages streams, decoded: bytes by hand to exact events, in every split, checked against the grammar."""

from __future__ import annotations

import pytest

from agent_core.codecs.messages_stream import MessagesStreamDecoder
from agent_core.codecs.sse import MAX_EVENT_BYTES
from agent_core.errors import ApiError, MalformedStream, OverloadedError, StreamInterrupted
from agent_core.events import (
    Completed,
    Created,
    FinishReason,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningContentDelta,
    ReportedUsage,
    ResponseEvent,
    ResponseStatus,
    ToolCallInputDelta,
    Usage,
)
from agent_core.items import (
    CustomToolCall,
    FunctionCall,
    ItemStatus,
    JsonObject,
    Message,
    OutputText,
    Reasoning,
    UnknownItem,
)
from agent_core.prompt import CustomToolSpec, Prompt

from .messages_frames import (
    COMPAT,
    PROMPT,
    arguments,
    decode,
    decode_every_way,
    decode_to_error,
    delta,
    end,
    open_block,
    origin,
    sse,
    start,
    stop_block,
    text,
    text_block,
    thinking,
    tool_block,
)

CREATED = Created("msg_1", "claude-5")
SPENT = Usage(input=5, output=7)


def message(*parts: str, status: ItemStatus = "completed") -> Message:
    content = tuple(OutputText(text=part) for part in parts)
    return Message(role="assistant", content=content, status=status, origin=origin())


def call(call_id: str, written: str, *, status: ItemStatus = "completed", name: str = "add") -> FunctionCall:
    return FunctionCall(call_id=call_id, name=name, arguments=written, status=status, origin=origin(item_id=call_id))


def thought(written: str, signature: str | None = None, *, status: ItemStatus = "completed") -> Reasoning:
    content = (written,) if written else ()
    return Reasoning(content=content, signature=signature, status=status, origin=origin("thinking"))


def added(index: int, item: Message | FunctionCall | Reasoning) -> OutputItemAdded:
    """How an item begins: empty, in progress."""
    empty = {"content": ()} if isinstance(item, (Message, Reasoning)) else {"arguments": ""}
    if isinstance(item, Reasoning):
        empty["signature"] = None  # type: ignore[assignment]
    return OutputItemAdded(index, item.model_copy(update={**empty, "status": "in_progress"}))


def completed(reason: FinishReason = "stop", native: str | None = "end_turn", usage: Usage = SPENT) -> Completed:
    status: ResponseStatus = "incomplete" if reason == "length" else "completed"
    return Completed("msg_1", "claude-5", reason, status, usage, native_reason=native)


CASES: dict[str, tuple[list[JsonObject], list[ResponseEvent]]] = {
    "text": (
        [start(), text_block(0), {"type": "ping"}, text(0, "Hel"), text(0, "lo"), stop_block(0), *end()],
        [
            CREATED,
            added(0, message()),
            OutputTextDelta(0, "Hel"),
            OutputTextDelta(0, "lo"),
            OutputItemDone(0, message("Hello")),
            completed(),
        ],
    ),
    "text blocks in a row are parts of one message": (
        [start(), text_block(0, "a"), stop_block(0), text_block(1), text(1, "b"), stop_block(1), *end()],
        [
            CREATED,
            added(0, message()),
            OutputTextDelta(0, "a", 0),
            OutputTextDelta(0, "b", 1),
            OutputItemDone(0, message("a", "b")),
            completed(),
        ],
    ),
    "thinking, then text, then two calls": (
        [
            start(),
            open_block(0, type="thinking", thinking="", signature=""),
            thinking(0, "hm"),
            delta(0, "signature_delta", signature="c2ln"),
            stop_block(0),
            text_block(1),
            text(1, "Look:"),
            stop_block(1),
            tool_block(2, "toolu_1"),
            arguments(2, ""),
            arguments(2, '{"a":'),
            arguments(2, "1}"),
            stop_block(2),
            tool_block(3, "toolu_2"),
            stop_block(3),
            *end("tool_use"),
        ],
        [
            CREATED,
            added(0, thought("")),
            ReasoningContentDelta(0, "hm"),
            OutputItemDone(0, thought("hm", "c2ln")),
            added(1, message()),
            OutputTextDelta(1, "Look:"),
            OutputItemDone(1, message("Look:")),
            added(2, call("toolu_1", "")),
            ToolCallInputDelta(2, "toolu_1", '{"a":'),
            ToolCallInputDelta(2, "toolu_1", "1}"),
            OutputItemDone(2, call("toolu_1", '{"a":1}')),
            added(3, call("toolu_2", "")),
            OutputItemDone(3, call("toolu_2", "{}")),
            completed("tool_calls", "tool_use"),
        ],
    ),
    "X-S0-27 text after a call is another message": (
        [
            start(),
            text_block(0, "x"),
            stop_block(0),
            tool_block(1, "toolu_1"),
            arguments(1, "{}"),
            stop_block(1),
            text_block(2, "y"),
            stop_block(2),
            *end("tool_use"),
        ],
        [
            CREATED,
            added(0, message()),
            OutputTextDelta(0, "x"),
            OutputItemDone(0, message("x")),
            added(1, call("toolu_1", "")),
            ToolCallInputDelta(1, "toolu_1", "{}"),
            OutputItemDone(1, call("toolu_1", "{}")),
            added(2, message()),
            OutputTextDelta(2, "y"),
            OutputItemDone(2, message("y")),
            completed("tool_calls", "tool_use"),
        ],
    ),
    "X-S0-29 llama.cpp: a call starts before the text has stopped, without input, and deltas go by index": (
        [
            start(),
            text_block(0),
            text(0, "a"),
            open_block(1, type="tool_use", id="MgkjuFEt", name="add"),
            arguments(1, '{"x"'),
            text(0, "b"),
            arguments(1, ":1}"),
            stop_block(0),
            stop_block(1),
            *end("tool_use"),
        ],
        [
            CREATED,
            added(0, message()),
            OutputTextDelta(0, "a"),
            added(1, call("MgkjuFEt", "")),
            ToolCallInputDelta(1, "MgkjuFEt", '{"x"'),
            OutputTextDelta(0, "b"),
            ToolCallInputDelta(1, "MgkjuFEt", ":1}"),
            OutputItemDone(0, message("ab")),
            OutputItemDone(1, call("MgkjuFEt", '{"x":1}')),
            completed("tool_calls", "tool_use"),
        ],
    ),
    "kimi-cli#305 a block stops twice": (
        [start(), text_block(0, "a"), stop_block(0), stop_block(0), *end()],
        [CREATED, added(0, message()), OutputTextDelta(0, "a"), OutputItemDone(0, message("a")), completed()],
    ),
    "blocks that never stop are finished with the message": (
        [start(), tool_block(0, "toolu_1"), arguments(0, '{"a":1}'), *end("tool_use")],
        [
            CREATED,
            added(0, call("toolu_1", "")),
            ToolCallInputDelta(0, "toolu_1", '{"a":1}'),
            OutputItemDone(0, call("toolu_1", '{"a":1}')),
            completed("tool_calls", "tool_use"),
        ],
    ),
    "W-S2-05 a call under end_turn is a call": (
        [start(), tool_block(0, "toolu_1"), arguments(0, "{}"), stop_block(0), *end("end_turn")],
        [
            CREATED,
            added(0, call("toolu_1", "")),
            ToolCallInputDelta(0, "toolu_1", "{}"),
            OutputItemDone(0, call("toolu_1", "{}")),
            completed("tool_calls", "end_turn"),
        ],
    ),
    "X-S1-16 a call cut by the token limit is incomplete, the one before it is not": (
        [
            start(),
            tool_block(0, "toolu_1"),
            arguments(0, '{"a":1}'),
            stop_block(0),
            tool_block(1, "toolu_2"),
            arguments(1, '{"a":'),
            stop_block(1),
            *end("max_tokens"),
        ],
        [
            CREATED,
            added(0, call("toolu_1", "")),
            ToolCallInputDelta(0, "toolu_1", '{"a":1}'),
            OutputItemDone(0, call("toolu_1", '{"a":1}')),
            added(1, call("toolu_2", "")),
            ToolCallInputDelta(1, "toolu_2", '{"a":'),
            OutputItemDone(1, call("toolu_2", '{"a":', status="incomplete")),
            completed("length", "max_tokens"),
        ],
    ),
    "a call cut before its first delta is not taken for one without arguments": (
        [start(), tool_block(0, "toolu_1"), stop_block(0), *end("max_tokens")],
        [
            CREATED,
            added(0, call("toolu_1", "")),
            OutputItemDone(0, call("toolu_1", "{}", status="incomplete")),
            completed("length", "max_tokens"),
        ],
    ),
    "arguments that are no JSON stay the model's own words": (
        [start(), tool_block(0, "toolu_1"), arguments(0, "{a:1}"), stop_block(0), *end("tool_use")],
        [
            CREATED,
            added(0, call("toolu_1", "")),
            ToolCallInputDelta(0, "toolu_1", "{a:1}"),
            OutputItemDone(0, call("toolu_1", "{a:1}")),
            completed("tool_calls", "tool_use"),
        ],
    ),
    "text cut by the token limit": (
        [start(), text_block(0), text(0, "long"), stop_block(0), *end("max_tokens")],
        [
            CREATED,
            added(0, message()),
            OutputTextDelta(0, "long"),
            OutputItemDone(0, message("long", status="incomplete")),
            completed("length", "max_tokens"),
        ],
    ),
    "a whole message inside message_start": (
        [
            start(
                content=[
                    {"type": "text", "text": "hi"},
                    {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}},
                ],
                stop_reason="tool_use",
            ),
            {"type": "message_stop"},
        ],
        [
            CREATED,
            added(0, message()),
            OutputTextDelta(0, "hi"),
            OutputItemDone(0, message("hi")),
            added(1, call("toolu_1", "")),
            OutputItemDone(1, call("toolu_1", '{"a":1}')),
            completed("tool_calls", "tool_use", Usage(input=5, output=1)),
        ],
    ),
    "message_start again: the blocks of both are kept": (
        [start(), text_block(0, "a"), start("msg_2"), text_block(0), text(0, "b"), stop_block(0), *end()],
        [
            CREATED,
            added(0, message()),
            OutputTextDelta(0, "a"),
            added(1, message()),
            OutputTextDelta(1, "b"),
            OutputItemDone(0, message("a")),
            OutputItemDone(1, message("b")),
            completed(),
        ],
    ),
    "blocks without content are no items": (
        [
            start(),
            open_block(0, type="thinking", thinking="", signature=""),
            thinking(0, ""),
            stop_block(0),
            text_block(1),
            text(1, ""),
            stop_block(1),
            *end(),
        ],
        [CREATED, completed()],
    ),
    "thinking that is not shown still has its signature": (
        [
            start(),
            open_block(0, type="thinking", thinking="", signature=""),
            thinking(0, ""),
            delta(0, "signature_delta", signature="c2ln"),
            stop_block(0),
            *end(),
        ],
        [CREATED, added(0, thought("")), OutputItemDone(0, thought("", "c2ln")), completed()],
    ),
    "deltas say enough to do without a start, and count for the last block without an index": (
        [start(), {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}, text(7, "b"), *end()],
        [
            CREATED,
            added(0, message()),
            OutputTextDelta(0, "a"),
            added(1, message()),
            OutputTextDelta(1, "b"),
            OutputItemDone(0, message("a")),
            OutputItemDone(1, message("b")),
            completed(),
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_streams(name: str) -> None:
    """A stream becomes exactly these events, in whatever pieces it comes."""
    frames, expected = CASES[name]
    events, error, response, count = decode_every_way(sse(*frames))
    assert (events, error, count) == (expected, "", len(frames))
    assert response.items == tuple(
        event.item for event in sorted((e for e in expected if isinstance(e, OutputItemDone)), key=lambda e: e.index)
    )


def test_redacted_thinking() -> None:
    """Redacted thinking is reasoning that only its origin can read."""
    item = Reasoning(encrypted_content="b3BhcXVl", origin=origin("redacted_thinking"))
    frames = [start(), open_block(0, type="redacted_thinking", data="b3BhcXVl"), stop_block(0), *end()]
    events, *_ = decode_every_way(sse(*frames))
    begun = OutputItemAdded(0, item.model_copy(update={"status": "in_progress"}))
    assert events == [CREATED, begun, OutputItemDone(0, item), completed()]


def test_citations_belong_to_their_part() -> None:
    """Citations are the annotations of the text block they came in."""
    note: JsonObject = {"type": "char_location", "cited_text": "sky"}
    frames = [
        start(),
        text_block(0, "a"),
        stop_block(0),
        open_block(1, type="text", text="", citations=[]),
        text(1, "b"),
        delta(1, "citations_delta", citation=note),
        stop_block(1),
        *end(),
    ]
    *_, response, _ = decode_every_way(sse(*frames))
    parts = (OutputText(text="a"), OutputText(text="b", annotations=(note,)))
    assert response.items == (Message(role="assistant", content=parts, origin=origin()),)


def test_other_blocks_survive_whole() -> None:
    """A block this wire's client does not act on is kept as the server would have sent it at once."""
    frames = [
        start(),
        open_block(0, type="server_tool_use", id="srv_1", name="web_search", input={}),
        arguments(0, '{"query":'),
        arguments(0, '"x"}'),
        stop_block(0),
        open_block(1, type="web_search_tool_result", tool_use_id="srv_1", content=[{"url": "u"}]),
        stop_block(1),
        open_block(2, type="compaction", content=None),
        delta(2, "compaction_delta", content="so "),
        delta(2, "compaction_delta", content="far"),
        stop_block(2),
        *end(),
    ]
    *_, response, _ = decode_every_way(sse(*frames))
    raw: list[JsonObject] = [
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [{"url": "u"}]},
        {"type": "compaction", "content": "so far"},
    ]
    ids = ("srv_1", "", "")
    assert response.items == tuple(
        UnknownItem(raw=block, origin=origin(item_id=item_id)) for block, item_id in zip(raw, ids, strict=True)
    )


@pytest.mark.parametrize(
    ("written", "text_of_it"),
    [('{"input":"*** Begin\\n"}', "*** Begin\n"), ("", ""), ("free text", "free text"), ('{"other":1}', '{"other":1}')],
)
def test_a_free_form_call_is_unwrapped(written: str, text_of_it: str) -> None:
    """A custom tool's one string is its input; what the model wrote instead of it is kept."""
    prompt = Prompt("hi", model="claude", tools=[CustomToolSpec("patch")])
    frames = [start(), tool_block(0, "toolu_1", "patch"), arguments(0, written), stop_block(0), *end("tool_use")]
    events, *_ = decode_every_way(sse(*frames), prompt)
    begun = CustomToolCall(call_id="toolu_1", name="patch", status="in_progress", origin=origin(item_id="toolu_1"))
    whole = begun.model_copy(update={"input": text_of_it, "status": "completed"})
    deltas = [ToolCallInputDelta(0, "toolu_1", text_of_it)] if text_of_it else []
    assert events == [
        CREATED, OutputItemAdded(0, begun), *deltas, OutputItemDone(0, whole), completed("tool_calls", "tool_use"),
    ]  # fmt: skip


def test_a_call_without_an_id_gets_one() -> None:
    """An id that was left out is made from the response's id and the block's place."""
    frames = [start(), text_block(0, "a"), stop_block(0), open_block(1, type="tool_use", name="add", input={"a": 1})]
    *_, response, _ = decode_every_way(sse(*frames, stop_block(1), *end("tool_use")))
    assert [item.call_id for item in response.tool_calls] == ["call_msg_1_1"]


def test_who_called_is_kept_unless_it_was_the_model() -> None:
    """A call made by a program the provider runs carries its caller, to be echoed."""
    caller: JsonObject = {"type": "code_execution_20250825", "tool_id": "srv_1"}
    frames = [
        start(),
        open_block(0, type="tool_use", id="t1", name="add", input={}, caller=caller),
        open_block(1, type="tool_use", id="t2", name="add", input={}, caller={"type": "direct"}),
        *end("tool_use"),
    ]
    *_, response, _ = decode([sse(*frames)])
    assert [item.opaque for item in response.items if isinstance(item, FunctionCall)] == [{"caller": caller}, None]


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        ("pause_turn", "pause"),
        ("compaction", "pause"),
        ("because", "unknown"),
        (None, "unknown"),
    ],
)
def test_stop_reasons(native: str | None, reason: FinishReason) -> None:
    """Every stop reason has one meaning, and its own word is kept."""
    events, *_ = decode([sse(start(), *end(native))])
    assert events[-1] == completed(reason, native)


def test_the_stop_sequence_is_kept() -> None:
    """What stopped the model is told."""
    said: JsonObject = {"stop_reason": "stop_sequence", "stop_sequence": "alpha"}
    frames: list[JsonObject] = [start(), {"type": "message_delta", "delta": said}, {"type": "message_stop"}]
    events, *_ = decode([sse(*frames)])
    assert events[-1] == Completed(
        "msg_1", "claude-5", "stop", "completed", Usage(5, output=1), None, "stop_sequence", None, "alpha"
    )


def test_usage_is_merged_and_disjoint() -> None:
    """Later counters replace earlier ones unless they are null; cached tokens and thinking are counted once."""
    first: JsonObject = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 1,
    }
    later: JsonObject = {"input_tokens": None, "output_tokens_details": {"thinking_tokens": 40}, "output_tokens": 50}
    events, *_ = decode([sse(start(usage=first), *end("end_turn", **later))])
    assert isinstance(events[-1], Completed)
    usage = events[-1].usage
    assert usage == Usage(input=10, cache_read=100, cache_write=30, cache_write_1h=20, output=10, reasoning=40)
    assert usage is not None
    assert usage.reported == ReportedUsage(input=140, cached_input=100, output=50, reasoning=40, total=190)
    assert usage.raw == {**first, **later, "input_tokens": 10}


def test_numbers_that_are_none_do_not_break_usage() -> None:
    """A counter that is infinite, text or a list counts as not told."""
    body = sse(start(usage={"input_tokens": "many", "output_tokens": []}), *end("end_turn", input_tokens=[3]))
    body = body.replace(b'"output_tokens":7', b'"output_tokens":1e999')
    events, error, *_ = decode([body])
    assert (error, events[-1]) == ("", completed(usage=Usage()))


def test_an_error_event_ends_the_stream() -> None:
    """`event: error` is the error it says, after what came before it, and nothing follows."""
    overloaded: JsonObject = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    body = sse(start(), text_block(0), text(0, "par"), overloaded, text(0, "tial"), *end())
    events, error, response, frames = decode_to_error([body])
    cut = message("par", status="incomplete")
    assert events == [CREATED, added(0, message()), OutputTextDelta(0, "par"), OutputItemDone(0, cut)]
    assert isinstance(error, OverloadedError)
    assert (error.message, error.error_type, error.in_stream, error.retryable) == (
        "Overloaded", "overloaded_error", True, True,
    )  # fmt: skip
    assert (response.items, response.status, response.finish_reason, frames) == ((cut,), "failed", "error", 7)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'data: {"error": {"message": "no such model", "code": 404}}\n\n', "no such model"),
        (b'data: {"error": "boom"}\n\n', "boom"),
        (b"event: error\ndata: upstream went away\n\n", "upstream went away"),
        (b'event: error\ndata: {"message": "bad day"}\n\n', "bad day"),
        (b'error: {"message": "not a field of SSE"}\n\n', "not a field of SSE"),
        (b'{"type": "error", "error": {"type": "api_error", "message": "no stream"}}', "no stream"),
        (b'{\n  "error": {\n    "message": "pretty"\n  }\n}\n', "pretty"),
        (b'{"object": "error", "message": "vLLM says no", "code": 400}', "vLLM says no"),
        (b'{"base_resp": {"status_code": 1004, "status_msg": "login fail"}}', "login fail"),
    ],
)
def test_errors_in_other_shapes(body: bytes, said: str) -> None:
    """An error is found whatever shape a gateway gives it, also where the body is no stream at all."""
    for pieces in ([body], [body[n : n + 1] for n in range(len(body))]):
        events, error, *_ = decode_to_error(pieces)
        assert isinstance(error, ApiError)
        assert (events, error.message, error.in_stream) == ([], said, True)


def test_eof_before_message_stop_is_an_interruption() -> None:
    """A stream that ends early is interrupted wherever it ends, with what had come attached."""
    frames = [
        start(),
        text_block(0),
        text(0, "par"),
        tool_block(1, "toolu_1"),
        arguments(1, '{"a":1}'),
        *end("tool_use"),
    ]
    for count in range(len(frames)):
        _, error, response, _ = decode_to_error([sse(*frames[:count])])
        assert isinstance(error, StreamInterrupted)
        assert (error.retryable, response.status) == (True, "failed")
        assert {item.status for item in response.items if isinstance(item, (Message, FunctionCall))} <= {"incomplete"}
    *_, almost, _ = decode([sse(*frames[:-1])])
    assert almost.items == (
        message("par", status="incomplete"),
        call("toolu_1", '{"a":1}', status="incomplete"),
    )


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html><html><body>hello</body></html>",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        b'data: {"object":"chat.completion.chunk","choices":[{"delta":{"content":"hi"}}]}\n\ndata: [DONE]\n\n',
        b'event: response.created\ndata: {"type":"response.created"}\n\n',
        b'{"ok": true}',
        b"data: nonsense\n\n",
    ],
)
def test_what_is_no_stream_of_this_wire(body: bytes) -> None:
    """A page, a picture or another wire is no interrupted answer: trying again would not help."""
    events, error, response, _ = decode_to_error([body])
    assert isinstance(error, MalformedStream)
    assert (events, response.items, error.retryable) == ([], (), False)


def test_bad_frames_are_skipped_and_counted() -> None:
    """A frame that was never an object of this wire costs itself only."""
    good = [sse(start(), text_block(0)), sse(text(0, "a")), sse(stop_block(0), *end())]
    for bad in (b"data: oops\n\n", b"data: \xff\xfe\n\n", b'data: "text"\n\n', b"data: [[[[\n\n"):
        decoder = MessagesStreamDecoder(PROMPT, COMPAT)
        decoder.feed(good[0] + bad + good[1] + bad + good[2])
        assert (decoder.snapshot().text, decoder.bad_frames, decoder.error) == ("a", 2, None)


def test_half_a_frame_breaks_the_stream() -> None:
    """Text went missing with it: what is left is no answer, but sampling again may bring one."""
    half = b'data: {"type":"content_block_delta","index":0,"del\n\n'
    events, error, response, _ = decode_to_error([sse(start(), text_block(0, "a")), half, sse(stop_block(0), *end())])
    assert isinstance(error, MalformedStream)
    assert (error.retryable, error.partial) == (True, response)
    assert events[-1] == OutputItemDone(0, message("a", status="incomplete"))


def test_half_a_frame_after_the_stop_reason_costs_usage_at_most() -> None:
    """The answer is whole by then."""
    *_, delta_frame, stop_frame = end()
    body = sse(start(), text_block(0, "a"), delta_frame) + b'data: {"type":"pi\n\n' + sse(stop_frame)
    _, error, response, _ = decode([body])
    assert (error, response.text, response.status) == ("", "a", "completed")


def test_done_and_foreign_events_are_ignored() -> None:
    """OpenRouter's `event: data` / `[DONE]` after the end, and events nobody knows yet, change nothing."""
    news: JsonObject = {"type": "weather", "mood": "sunny"}
    body = sse(start(), news, text_block(0, "a"), *end()) + b"event: data\ndata: [DONE]\n\n"
    plain = sse(start(), text_block(0, "a"), *end())
    events, error, response, frames = decode_every_way(body)
    assert (events, error, response) == decode([plain])[:3]
    assert frames == 6


def test_half_a_character_is_replaced() -> None:
    """A lone surrogate, which no UTF-8 output could carry, becomes U+FFFD; its neighbours stay."""
    body = sse(start(), text_block(0), *end()).replace(b'"text":""', b'"text":"a\\ud83db"')
    *_, response, _ = decode([body])
    assert response.text == "a\ufffdb"


def test_an_event_above_the_cap_is_an_error() -> None:
    """One event too large ends the stream with what had come, in the same read too."""
    huge = b"data: " + b"x" * (MAX_EVENT_BYTES + 1)
    cut = OutputItemDone(0, message("a", status="incomplete"))
    for body in ([sse(start(), text_block(0, "a")), huge], [sse(start(), text_block(0, "a")) + huge]):
        events, error, *_ = decode(body)
        assert (events[-1], error) == (cut, "EventTooLarge")


def test_a_delta_after_its_block_stopped_is_not_lost() -> None:
    """Text and arguments after a stop still count, unless the call was already told whole."""
    frames = [start(), text_block(0, "a"), stop_block(0), text(0, "b")]
    frames += [tool_block(1, "t1"), stop_block(1), arguments(1, '{"x":1}'), stop_block(1)]
    frames += [tool_block(2, "t2"), arguments(2, '{"y":2}'), stop_block(2), arguments(2, "junk"), text(0, "c")]
    *_, response, _ = decode_every_way(sse(*frames, *end("tool_use")))
    assert response.text == "abc"
    assert [item.arguments for item in response.items if isinstance(item, FunctionCall)] == ['{"x":1}', '{"y":2}']


def test_many_small_pieces_are_kept_whole() -> None:
    """However many deltas an item has, nothing of it is lost."""
    many = 20_000
    body = sse(start(), text_block(0)) + sse(text(0, "ab")) * many
    body += sse(tool_block(1, "t1"), arguments(1, '{"x":"')) + sse(arguments(1, "cd")) * many
    body += sse(arguments(1, '"}'), *end("tool_use"))
    _, error, response, _ = decode([body[at : at + 4096] for at in range(0, len(body), 4096)])
    written = '{"x":"' + "cd" * many + '"}'
    assert (error, response.items) == ("", (message("ab" * many), call("t1", written)))
