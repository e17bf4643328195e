"""The Chat codec against anything: whatever a peer sends, events obey the grammar and nothing is raised."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.codecs.base import Compat, json_bytes
from agent_core.codecs.chat import CODEC
from agent_core.codecs.chat_stream import ChatStreamDecoder
from agent_core.codecs.grammar import check_events
from agent_core.codecs.tool_calls import ToolCallAssembler
from agent_core.errors import InvalidPromptError, InvalidRequestError, ModelError
from agent_core.events import OutputItemDone, ResponseEvent
from agent_core.items import JsonObject, JsonValue
from agent_core.prompt import CustomToolSpec, OutputSchema, Prompt

from . import CI

NAMES = (
    *("choices", "delta", "message", "content", "reasoning", "reasoning_content", "reasoning_details", "tool_calls"),
    *("function", "custom", "function_call", "index", "id", "name", "arguments", "input", "finish_reason", "usage"),
    *("error", "type", "text", "thinking", "refusal", "annotations", "extra_content", "x_groq", "base_resp", "object"),
    *("prompt_tokens", "prompt_tokens_details", "cached_tokens", "summary", "data", "signature", "model", "role"),
)
DONE = b"data: [DONE]\n\n"
WORDS = ("", "a", "f", "patch", "answer", "{", "}", "{}", '{"input":"x', "stop", "length", "tool_calls", "\ud83d")


def maybe(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[JsonObject]:
    """Objects with some of these members."""
    return st.fixed_dictionaries({}, optional=members)


def frame(chunk: object) -> bytes:
    return b"data: " + escaped(chunk) + b"\n\n"


def escaped(value: object) -> bytes:
    """JSON with lone surrogates as escapes, as servers write them."""
    return json.dumps(value).encode()


words = st.sampled_from(WORDS)
anything: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)
elements = maybe(
    index=st.integers(0, 2),
    id=st.sampled_from(["", "a", "b", "null"]),
    function=maybe(name=st.sampled_from(["", "f", "patch", "answer"]), arguments=words),
    custom=anything,
)
deltas = maybe(
    content=words | anything,
    reasoning=words | anything,
    reasoning_details=anything,
    refusal=words,
    tool_calls=st.lists(elements, max_size=3) | anything,
    function_call=anything,
)
choices = st.tuples(
    deltas,
    maybe(index=st.integers(0, 1), message=deltas, finish_reason=words, usage=anything, error=st.none() | anything),
).map(lambda both: {"delta": both[0], **both[1]})
chunks = st.lists(choices, min_size=1, max_size=2).map(lambda said: {"choices": said})
frames = st.lists(
    chunks.map(frame)
    | maybe(choices=st.lists(choices, max_size=2), usage=anything).map(frame)
    | anything.map(frame)
    | st.sampled_from([DONE, b": comment\n\n", b"data: junk\n\n", b"\r", b"event: error\n", b"\xff\xfe"]),
    max_size=8,
)
messages = maybe(
    role=st.sampled_from(["system", "user", "assistant", "tool", "function", "developer", "king"]),
    content=anything,
    tool_calls=st.lists(elements, max_size=2),
    tool_call_id=st.sampled_from(["a", ""]),
    name=st.sampled_from(["f", ""]),
    reasoning_content=anything,
)
PROMPT = Prompt("x", tools=[CustomToolSpec("patch")], output_schema=OutputSchema({}, "answer"), model="m")
COMPATS = [Compat(), Compat(output_schema="tool", finish_may_be_missing=True)]


def run(parts: list[bytes], compat: Compat) -> tuple[list[ResponseEvent], ChatStreamDecoder]:
    decoder = ChatStreamDecoder(PROMPT, compat)
    events = [event for part in parts for event in decoder.feed(part)] + decoder.close()
    return events, decoder


@settings(max_examples=1000 if CI else 30, deadline=None)
@given(parts=frames, compat=st.sampled_from(COMPATS), cut=st.integers(0, 200))
def test_any_bytes_obey_the_grammar_at_any_split(parts: list[bytes], compat: Compat, cut: int) -> None:
    """One terminal, every item done once, the same events however the bytes are cut, the partial beside the error."""
    events, decoder = run(parts, compat)
    check_events(events, decoder.error)
    assert decoder.done
    body = b"".join(parts)
    again, other = run([body[:cut], body[cut:]], compat)
    assert (again, type(other.error)) == (events, type(decoder.error))
    items = [event.item for event in events if isinstance(event, OutputItemDone)]
    assert list(decoder.snapshot().items) == items
    (decoder.snapshot().text + decoder.snapshot().reasoning_text).encode()  # no half characters get through
    if decoder.error is not None:
        assert decoder.error.partial == decoder.snapshot()


@settings(max_examples=1000 if CI else 30, deadline=None)
@given(body=anything | maybe(choices=st.lists(choices, min_size=1, max_size=2)))
def test_any_json_is_an_answer_or_a_model_error(body: JsonValue) -> None:
    """A whole answer of any shape is read or refused with one of our errors."""
    try:
        response = CODEC.decode_response(escaped(body), PROMPT, Compat())
    except ModelError:
        return
    CODEC.decode_response(CODEC.encode_response(response, PROMPT), PROMPT, Compat())


@settings(max_examples=1000 if CI else 30, deadline=None)
@given(body=anything | maybe(messages=st.lists(messages, max_size=5)))
def test_any_json_is_a_request_or_a_400(body: JsonValue) -> None:
    """A body is a prompt that can be encoded again, or refused with status 400."""
    try:
        decoded = CODEC.decode_request(escaped(body))
    except InvalidRequestError as error:
        assert error.status == 400
        return
    try:
        CODEC.encode_request(decoded.prompt, Compat())
    except InvalidPromptError as error:
        assert "no message to send" in error.message  # the one thing a legal body may lack


@settings(max_examples=1000 if CI else 30, deadline=None)
@given(fed=st.lists(elements, max_size=8))
def test_no_argument_text_is_lost(fed: list[JsonObject]) -> None:
    """Whatever deltas leave out or repeat, every piece of text is in exactly one call, in order."""
    assembler = ToolCallAssembler()
    for element in fed:
        assembler.feed(element)
    pieces = [text for element in fed for text in [_said(element)] if text]
    assert sorted("".join(pieces)) == sorted("".join(call.text for call in assembler.calls))


def _said(element: JsonObject) -> str:
    for member, text_member in (("function", "arguments"), ("custom", "input")):
        body = element.get(member)
        if isinstance(body, dict):
            said = body.get(text_member)
            return said if isinstance(said, str) else "" if said is None else json_bytes(said).decode()
    return ""
