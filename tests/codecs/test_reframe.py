"""An answer put into the shape of another wire: whole, failed, folded, cut by the network, framed and cut anyhow."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from agent_core.codecs import WIRES, codec_for, reframe
from agent_core.codecs.base import Compat, Loss, json_list, json_object
from agent_core.errors import ConfigError, MalformedStream, TransportError, TransportTimeout
from agent_core.items import FunctionCall, JsonObject, JsonValue, WireName
from agent_core.prompt import Prompt

from . import messages_frames as m
from . import responses_frames as r
from .chat_chunks import DONE, call, delta, finish, sse, text, usage
from .told import frames, told

BEGUN: JsonObject = {"id": "chatcmpl-1", "model": "m", **delta({"role": "assistant", "content": ""})}
SPENT: JsonObject = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def chat(message: JsonObject, finish_reason: str = "stop", **choice: JsonValue) -> JsonObject:
    made: JsonObject = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "model": "m", "choices": [{**made, **choice}], "usage": dict(SPENT)}


def chat_call(call_id: str, arguments: str) -> JsonObject:
    return {"id": call_id, "type": "function", "function": {"name": "add", "arguments": arguments}}


def message(*content: JsonObject, stop_reason: str = "end_turn") -> JsonObject:
    counted: JsonObject = {"input_tokens": 5, "output_tokens": 2}
    head: JsonObject = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    return {**head, "content": list[JsonValue](content), "stop_reason": stop_reason, "usage": counted}


def response(*output: JsonObject, status: str = "completed", **members: JsonValue) -> JsonObject:
    counted: JsonObject = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    head: JsonObject = {"id": "resp_1", "object": "response", "model": "m", "status": status}
    return {**head, "output": list[JsonValue](output), "usage": counted, **members}


def use(call_id: str, **arguments: JsonValue) -> JsonObject:
    return {"type": "tool_use", "id": call_id, "name": "add", "input": dict(arguments)}


@dataclass(frozen=True)
class Whole:
    """`expected` are members of what goes out; of a Chat answer, of its message, with the finish_reason."""

    source: WireName
    target: WireName
    body: JsonObject
    expected: JsonObject


SAID: JsonObject = {"type": "text", "text": "hi"}

WHOLE: dict[str, Whole] = {
    "T-G14 T-M17 text": Whole(
        "chat",
        "messages",
        chat({"content": "hi"}),
        {"content": [SAID], "stop_reason": "end_turn", "id": "msg_1", "type": "message", "model": "m"},
    ),
    "T-G15 no text, two calls": Whole(
        "chat",
        "messages",
        chat({"content": None, "tool_calls": [chat_call("a", '{"x":1}'), chat_call("b", "")]}, "tool_calls"),
        {"content": [use("a", x=1), use("b")], "stop_reason": "tool_use"},
    ),
    "T-M19 text and two calls": Whole(
        "chat",
        "messages",
        chat({"content": "hi", "tool_calls": [chat_call("a", "{}"), chat_call("b", "{}")]}, "tool_calls"),
        {"content": [SAID, use("a"), use("b")], "stop_reason": "tool_use"},
    ),
    "T-G16 T-M15 length": Whole("chat", "messages", chat({"content": "hi"}, "length"), {"stop_reason": "max_tokens"}),
    "T-G16 X-S2-05 a filter (the reference says end_turn)": Whole(
        "chat", "messages", chat({"content": "hi"}, "content_filter"), {"stop_reason": "refusal"}
    ),
    "T-G17 a stop sequence": Whole(
        "chat",
        "messages",
        chat({"content": "hi"}, stop_reason="three"),
        {"stop_reason": "stop_sequence", "stop_sequence": "three"},
    ),
    "T-G19 T-M17 reasoning comes first": Whole(
        "chat",
        "messages",
        chat({"content": "hi", "reasoning_content": "hm"}),
        {"content": [{"type": "thinking", "thinking": "hm", "signature": ""}, SAID]},
    ),
    "T-M17 arguments that are none (the reference hides them, S2-24 empties them)": Whole(
        "chat",
        "messages",
        chat({"content": None, "tool_calls": [chat_call("a", "not json")]}, "tool_calls"),
        {"content": [use("a", _invalid_arguments="not json")]},
    ),
    "T-M17 a refusal (the reference puts brackets round it)": Whole(
        "chat",
        "messages",
        chat({"content": None, "refusal": "no"}),
        {"content": [{"type": "text", "text": "no"}], "stop_reason": "refusal"},
    ),
    "T-M12 text": Whole(
        "messages",
        "chat",
        message(SAID),
        {"id": "chatcmpl-1", "content": "hi", "finish_reason": "stop", "object": "chat.completion"},
    ),
    "T-M13 a call": Whole(
        "messages",
        "chat",
        message(use("a", x=1), stop_reason="tool_use"),
        {"content": None, "tool_calls": [chat_call("a", '{"x":1}')], "finish_reason": "tool_calls"},
    ),
    "T-M14 thinking": Whole(
        "messages",
        "chat",
        message({"type": "thinking", "thinking": "hm", "signature": "s"}, SAID),
        {"reasoning_content": "hm", "content": "hi"},
    ),
    "T-M15 max_tokens": Whole("messages", "chat", message(SAID, stop_reason="max_tokens"), {"finish_reason": "length"}),
    "T-M15 a refusal by the provider": Whole(
        "messages", "chat", message(SAID, stop_reason="refusal"), {"finish_reason": "content_filter"}
    ),
    "T-H19 T-H28 text": Whole(
        "chat",
        "responses",
        chat({"content": "hi"}),
        {"id": "resp_1", "object": "response", "status": "completed"},
    ),
    "T-H29 calls (the reference says requires_action)": Whole(
        "chat",
        "responses",
        chat({"content": None, "tool_calls": [chat_call("a", "{}")]}, "tool_calls"),
        {"status": "completed", "incomplete_details": None},
    ),
    "T-M18 X-S2-08 length": Whole(
        "chat",
        "responses",
        chat({"content": "hi"}, "length"),
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
    ),
    "T-M18 X-S0-10 a completed response with a call": Whole(
        "responses",
        "messages",
        response(r.call('{"x":1}', name="add")),
        {"content": [use("call_1", x=1)], "stop_reason": "tool_use"},
    ),
    "T-M18 an answer of nothing": Whole(
        "responses", "messages", response(), {"content": [], "stop_reason": "end_turn"}
    ),
}


def members(wire: WireName, body: JsonObject) -> JsonObject:
    """What is looked at: of a completion, what its one choice holds too."""
    if wire != "chat":
        return body
    choice = json_object(json_list(body["choices"])[0]) or {}
    return {**body, **(json_object(choice["message"]) or {}), "finish_reason": choice["finish_reason"]}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer(name: str) -> None:
    """T-G14, T-M12: it has the target's members, the target's kind of id, and the usage of the source."""
    case = WHOLE[name]
    status, headers, body = reframe(case.source, case.target).answer(200, json.dumps(case.body).encode())
    assert (status, headers) == (200, {"content-type": "application/json"})
    found = members(case.target, json.loads(body))
    assert {member: found[member] for member in case.expected} == case.expected
    there = codec_for(case.target).decode_response(body, Prompt(), Compat()).usage
    assert there is not None
    assert (there.input_total, there.output_total) == (5, 2)


IDS: dict[WireName, tuple[bytes, str]] = {
    "chat": (sse(BEGUN, text("a"), finish(), DONE), "chatcmpl-"),
    "messages": (m.sse(m.start(), m.text_block(0), m.text(0, "a"), m.stop_block(0), *m.end()), "msg_"),
    "responses": (r.sse(r.created(), r.text(0, "a"), r.ended()), "resp_"),
}


@pytest.mark.parametrize("source", WIRES)
@pytest.mark.parametrize("target", WIRES)
def test_one_id_with_the_targets_prefix(source: WireName, target: WireName) -> None:
    """T-J1, T-N7, X-S0-18: every frame that has an id has the same, and it looks like one of its wire."""
    reframer = reframe(source, target)
    written = reframer.feed(IDS[source][0]) + reframer.close()
    inside = {"messages": "message", "responses": "response"}.get(target, "")
    holders = [json_object(frame.get(inside)) or frame for _, frame in frames(written)]
    assert {str(holder["id"]) for holder in holders if "id" in holder} == {f"{IDS[target][1]}1"}


def test_a_whole_exchange() -> None:
    """T-F1, S2 as a library call: a client of Messages, a server of Chat, and nothing between them but two codecs."""
    client, server = codec_for("messages"), codec_for("chat")
    hello: JsonObject = {"model": "m", "max_tokens": 50, "system": "s", "messages": [{"role": "user", "content": "hi"}]}
    asked = client.decode_request(json.dumps(hello).encode())
    sent = json.loads(server.encode_request(asked.prompt, Compat(), stream=asked.stream).body)
    assert (sent["max_tokens"], [message["role"] for message in sent["messages"]]) == (50, ["system", "user"])
    said = json.dumps(chat({"content": "hi back"})).encode()
    answer = json.loads(reframe("chat", "messages", asked.prompt).answer(200, said).body)
    assert (answer["type"], answer["role"], answer["stop_reason"]) == ("message", "assistant", "end_turn")
    assert answer["content"] == [{"type": "text", "text": "hi back"}]


def test_events_are_numbered() -> None:
    """T-H7, T-H8, T-H9, T-H11: one after the other over the whole stream; `[DONE]` is no event, and text is no call."""
    reframer = reframe("chat", "responses")
    written = [reframer.feed(sse(BEGUN, text("Hello"))), reframer.feed(sse(text(" world"), finish(), DONE))]
    numbers = [frame["sequence_number"] for piece in written for _, frame in frames(piece)]
    assert numbers == list(range(len(numbers)))
    assert (reframer.response.id, reframer.response.tool_calls) == ("chatcmpl-1", ())


ARGUMENTS: dict[str, JsonValue] = {
    "": {},
    "  ": {},
    '{"a": {"b": [1]}}': {"a": {"b": [1]}},
    '"x"': {"_invalid_arguments": '"x"'},
    "[1]": {"_invalid_arguments": "[1]"},
    "{oops": {"_invalid_arguments": "{oops"},
    "```json\n{}\n```": {"_invalid_arguments": "```json\n{}\n```"},
}


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_arguments_where_the_wire_wants_an_object(arguments: str) -> None:
    """T-N6: what is none is shown to be none, fences too (the reference takes them off and runs what is inside)."""
    said = chat({"content": None, "tool_calls": [chat_call("a", arguments)]}, "tool_calls")
    _, _, body = reframe("chat", "messages").answer(200, json.dumps(said).encode())
    assert json.loads(body)["content"][0]["input"] == ARGUMENTS[arguments]


USAGES: dict[str, tuple[JsonObject, JsonObject]] = {
    "T-E9 T-G18 T-J20 cached tokens are read from a cache": (
        {"prompt_tokens": 50, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 20}},
        {"input_tokens": 30, "cache_read_input_tokens": 20, "output_tokens": 4},
    ),
    "T-E10 tokens written to one, by their time to live": (
        {
            "prompt_tokens": 50,
            "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 20},
            "cache_creation_input_tokens": 10,
            "cache_creation": {"ephemeral_1h_input_tokens": 10},
        },
        {
            "input_tokens": 20,
            "cache_read_input_tokens": 20,
            "cache_creation_input_tokens": 10,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 10},
        },
    ),
    "T-J21 T-N5 none of them": (
        {"prompt_tokens": 10, "completion_tokens": 5},
        {"input_tokens": 10, "cache_read_input_tokens": 0, "output_tokens": 5},
    ),
    "T-N5 T-H4 reasoning is part of the output": (
        {"prompt_tokens": 10, "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 30}},
        {"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 30}},
    ),
}


@pytest.mark.parametrize("name", USAGES)
def test_usage_on_messages_and_back(name: str) -> None:
    """Sums become disjoint counters, and the same sums again."""
    counted, expected = USAGES[name]
    there = reframe("chat", "messages")
    written = there.feed(sse(BEGUN, finish(), {"choices": [], "usage": counted}, DONE))
    (spent,) = [json_object(frame["usage"]) or {} for kind, frame in frames(written) if kind == "message_delta"]
    assert {member: spent[member] for member in expected} == expected
    back = reframe("messages", "chat", include_usage=True)
    back.feed(written)
    assert back.response.usage == there.response.usage


FRAMINGS: dict[str, bytes] = {
    "no space after the colon": sse(BEGUN, text("né"), finish(), DONE).replace(b"data: ", b"data:"),
    "CRLF": sse(BEGUN, text("né"), finish(), DONE).replace(b"\n", b"\r\n"),
    "CR": sse(BEGUN, text("né"), finish(), DONE).replace(b"\n", b"\r"),
    "no blank line at the end": sse(BEGUN, text("né"), finish()).rstrip(b"\n"),
    "data in several lines": sse(BEGUN, text("né"), finish(), DONE).replace(b',"choices"', b',\ndata: "choices"'),
    "comments, a BOM": b"\xef\xbb\xbf: hello\n\n" + sse(BEGUN, text("né"), b": ping\n\n", finish(), DONE),
    "names": sse(BEGUN, text("né"), finish(), DONE).replace(b"data:", b"event: chunk\nid: 7\ndata:"),
}


@pytest.mark.parametrize("name", FRAMINGS)
def test_any_framing_in_any_pieces(name: str) -> None:
    """X-S0-21, X-S2-07, X-S3-15, T-F7, T-F8, T-F9: however it is framed and cut, also inside a character."""
    body = FRAMINGS[name]
    for size in (len(body), 1, 7):
        reframer = reframe("chat", "messages")
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        written = b"".join(map(reframer.feed, pieces)) + reframer.close()
        assert told("messages", written) == ["start", "+0 text", "0:né", "-0", "end end_turn 0/0", "stop"]


def test_large_and_many() -> None:
    """X-S2-07, X-S3-13: a text of 1 MiB in reads of 1 KiB, and a call in 10,000 pieces, arrive whole."""
    large = "x" * 2**20
    body = sse(BEGUN, text(large), call(0, "t1", "f", '{"a":"'), *[call(0, args="y")] * 10_000, call(0, args='"}'))
    body += sse(finish("tool_calls"), DONE)
    reframer = reframe("chat", "responses")
    for at in range(0, len(body), 1024):
        reframer.feed(body[at : at + 1024])
    assert reframer.response.text == large
    (made,) = reframer.response.tool_calls
    assert isinstance(made, FunctionCall)
    assert len(made.arguments) == 10_008


# errors


@pytest.mark.parametrize("target", WIRES)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 529])
def test_an_http_error_keeps_status_and_message(status: int, target: WireName) -> None:
    """T-F10, T-G20, T-G21, T-Q8, T-Q9, T-I3, X-S0-01, X-S3-01: status, message, how long to wait, under `error`."""
    said = json.dumps({"error": {"message": "no", "type": "t", "code": "c"}}).encode()
    answered = reframe("chat", target).answer(status, said, {"retry-after": "7", "x-request-id": "req_1"})
    body = json.loads(answered.body)
    assert (answered.status, body["error"]["message"]) == (status, "no")
    assert answered.headers["retry-after"] == "7"
    assert "req_1" in answered.headers.values()


NAMES: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


@pytest.mark.parametrize("status", NAMES)
def test_an_http_error_has_the_targets_words(status: int) -> None:
    """T-G20: the type by which clients of Messages sort."""
    answered = reframe("chat", "messages").answer(status, b'{"error": {"message": "no"}}')
    assert json.loads(answered.body) == {"type": "error", "error": {"type": NAMES[status], "message": "no"}}


def test_what_is_paid_up_is_no_throttling() -> None:
    """S0-93: OpenAI says `insufficient_quota` with 429, which clients of Messages would wait out and repeat."""
    said = json.dumps({"error": {"message": "no credit", "code": "insufficient_quota"}}).encode()
    answered = reframe("chat", "messages").answer(429, said)
    assert (answered.status, json.loads(answered.body)["error"]["type"]) == (402, "billing_error")


NO_ANSWERS: dict[str, tuple[WireName, bytes, int]] = {
    "T-F3 HTML": ("chat", b"<html>hello</html>", 502),
    "nothing": ("messages", b"", 502),
    "half an answer": ("chat", json.dumps(chat({"content": "hi"})).encode()[:-20], 502),
    "another wire's": ("responses", json.dumps(message(SAID)).encode(), 502),
    "an error with status 200": ("chat", b'{"error": {"message": "busy", "code": 503}}', 503),
    "X-S0-10 a failed response": (
        "responses",
        json.dumps(response(status="failed", error={"code": "server_error"})).encode(),
        500,
    ),
    "an answer that an error stopped": ("chat", json.dumps(chat({"content": "a"}, "network_error")).encode(), 500),
}


@pytest.mark.parametrize("target", WIRES)
@pytest.mark.parametrize("name", NO_ANSWERS)
def test_what_is_no_answer_is_an_error(name: str, target: WireName) -> None:
    """T-F3, X-S0-10: with status 200 too, and with the status that says whose fault it was."""
    source, body, expected = NO_ANSWERS[name]
    reframer = reframe(source, target)
    status, headers, written = reframer.answer(200, body)
    assert status == expected
    assert headers["content-type"] == "application/json"
    assert json.loads(written)["error"]["message"]
    assert reframer.error is not None


def test_a_stream_becomes_a_whole_answer() -> None:
    """T-I1, T-I7: folded, whatever keep-alives stand between."""
    quiet: JsonObject = {"choices": [{"index": 0, "delta": {"content": None, "role": None, "tool_calls": None}}]}
    body = sse(BEGUN, text("Hello"), *[quiet] * 500, text(" world"), finish(), usage(4, 3), DONE)
    _, _, whole = reframe("chat", "chat").answer(200, body)
    completion = json.loads(whole)
    assert completion["choices"][0]["message"]["content"] == "Hello world"
    assert (completion["choices"][0]["finish_reason"], completion["usage"]["total_tokens"]) == ("stop", 7)


def test_a_stream_with_a_bad_status_is_no_answer() -> None:
    """T-I2, T-I5, T-I6: the status decides, and of several errors the first is told; what it was is no answer."""
    first: JsonObject = {"error": {"message": "first", "code": 503}}
    second: JsonObject = {"error": {"message": "second", "code": 500}}
    assert reframe("chat", "chat").answer(500, sse(text("Hello"), DONE)).status == 500
    answered = reframe("chat", "chat").answer(200, sse(first, second))
    assert (answered.status, json.loads(answered.body)["error"]["message"]) == (503, "first")


@pytest.mark.parametrize("target", WIRES)
def test_the_network_fails_in_the_middle(target: WireName) -> None:
    """X-S0-23, X-S0-25: what was said stands, an error follows it, and no detail of the network is told on Chat."""
    reframer = reframe("chat", target)
    reframer.feed(sse(BEGUN, text("par")))
    error = TransportTimeout("10.0.0.7 said nothing for 30 s", timeout="idle", after_s=30)
    (last,) = told(target, reframer.fail(error))[-1:]
    assert last.startswith("error ")
    assert (reframer.error, reframer.response.text) == (error, "par")
    assert reframer.feed(sse(text("x"))) == reframer.close() == reframer.fail(error) == b""


def test_the_network_fails_after_the_answer() -> None:
    """S1-54: an answer that is whole, but for the usage it waits for, is whole."""
    reframer = reframe("chat", "messages")
    reframer.feed(sse(BEGUN, text("a"), finish()))
    assert told("messages", reframer.fail(TransportError("reset"))) == ["-0", "end end_turn 0/0", "stop"]
    assert reframer.error is None


def test_an_answer_that_an_error_stopped_is_no_answer() -> None:
    """X-S3-16: `finish_reason: network_error` is no reason an answer has on the other wires."""
    reframer = reframe("chat", "messages")
    written = reframer.feed(sse(BEGUN, text("par"), finish("network_error"), DONE))
    assert told("messages", written)[-1] == "error api_error: the model's server stopped the answer: network_error"
    assert reframer.error is not None


def test_an_error_before_the_first_byte_may_still_be_a_status() -> None:
    """S0-68: while nothing was written, whoever relays can answer with HTTP instead of a stream."""
    reframer = reframe("chat", "messages")
    assert not reframer.wrote
    reframer.feed(b": keep-alive\n\n")
    assert not reframer.wrote
    assert reframer.feed(sse({"error": "no"}))
    assert reframer.wrote


def test_a_call_that_went_on_after_its_end_is_an_error() -> None:
    """W-S2-04: it was stopped for another call when it was an object; nobody may run what it was then."""
    reframer = reframe("chat", "messages")
    reframer.feed(sse(BEGUN, call(0, "a", "f", "{}"), call(1, "b", "g", "{}")))
    assert told("messages", reframer.feed(sse(call(0, args='{"x":1}')))) == [
        "error api_error: a call's arguments went on after the end of their object"
    ]
    assert b"message_stop" not in reframer.feed(sse(finish("tool_calls"), DONE))


# what is lost


def test_losses_are_declared() -> None:
    """What the target cannot carry is named, each thing once, and never what was said."""
    reframer = reframe("messages", "chat")
    thought = m.open_block(0, type="thinking", thinking="hm", signature="s")
    hosted = m.open_block(1, type="server_tool_use", id="s1", name="web_search", input={})
    stops = [m.stop_block(0), m.stop_block(1)]
    reframer.feed(m.sse(m.start(), thought, stops[0], hosted, stops[1], *m.end("refusal")))
    assert reframer.losses == (
        Loss("reasoning.signature"),
        Loss("item", "unknown"),
        Loss("finish_reason", "refusal"),
    )


def test_a_block_of_another_wire_takes_no_place() -> None:
    """The output of a Responses answer has no gap where an item was left out: SDKs find items by their index."""
    hosted = m.open_block(0, type="server_tool_use", id="s1", name="web_search", input={})
    body = m.sse(m.start(), hosted, m.stop_block(0), m.text_block(1), m.text(1, "a"), m.stop_block(1), *m.end())
    written = reframe("messages", "responses").feed(body)
    indices = [frame["output_index"] for _, frame in frames(written) if "output_index" in frame]
    assert indices
    assert set(indices) == {0}


def test_a_wire_that_is_none() -> None:
    """A typo is told at once."""
    with pytest.raises(ConfigError, match="unknown wire 'openai'"):
        reframe("openai", "chat")  # type: ignore[arg-type]  # that is the point


def test_a_stream_of_another_wire() -> None:
    """A body of another wire than was said is an error, not an empty answer."""
    reframer = reframe("chat", "messages")
    reframer.feed(m.sse(m.start(), m.text_block(0), m.text(0, "a")))
    reframer.close()
    assert isinstance(reframer.error, MalformedStream)
