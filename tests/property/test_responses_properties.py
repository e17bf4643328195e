"""Whatever a peer sends on the Responses wire, the decoder ends in exactly one way, legally, at every split."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.codecs.base import Compat
from agent_core.codecs.grammar import check_events
from agent_core.codecs.responses import CODEC
from agent_core.codecs.responses_stream import ResponsesStreamDecoder
from agent_core.events import ResponseEvent
from agent_core.items import JsonObject, JsonValue, user_message
from agent_core.prompt import CustomToolSpec, Prompt

from . import CI

PROMPT = Prompt("hi", model="gpt", tools=[CustomToolSpec("patch")])
COMPAT = Compat(provider="acme")

TYPES = (
    "response.created", "response.in_progress", "response.output_item.added", "response.output_item.done",
    "response.output_text.delta", "response.output_text.done", "response.refusal.delta", "response.refusal.done",
    "response.reasoning_text.delta", "response.reasoning_text.done", "response.reasoning_summary_part.added",
    "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done",
    "response.output_text.annotation.added", "response.function_call_arguments.delta",
    "response.function_call_arguments.done", "response.custom_tool_call_input.delta",
    "response.custom_tool_call_input.done", "codex.rate_limits", "keepalive",
)  # fmt: skip
ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "error")
KINDS = ("message", "reasoning", "function_call", "custom_tool_call", "local_shell_call", "web_search_call", "mcp_call")

junk: st.SearchStrategy[JsonValue] = st.sampled_from([None, True, -1, 10**30, 0.5, "", "x", [], [1], {}, {"type": "x"}])
texts = st.sampled_from(["", "a", "bc", "{}", '{"input":"x"}', '{"a', "\u00e9\ud800"])
indices = st.sampled_from([0, 0, 1, 2])
ids = st.sampled_from(["", "i1", "i2"])


def either(usual: st.SearchStrategy[JsonValue]) -> st.SearchStrategy[JsonValue]:
    """What a peer should send, and once in a while anything else."""
    return st.one_of(usual, usual, usual, usual, junk)


def members(required: dict[str, st.SearchStrategy[JsonValue]]) -> st.SearchStrategy[JsonObject]:
    return st.fixed_dictionaries({}, optional={name: either(usual) for name, usual in required.items()})


def typed(kind: str, rest: JsonObject) -> JsonObject:
    return {"type": kind, **rest}


def listed(values: st.SearchStrategy[JsonObject], most: int) -> st.SearchStrategy[JsonValue]:
    return st.lists(values, max_size=most).map(list[JsonValue])


def stream(middle: list[JsonObject], end: list[JsonObject]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in [*middle, *end])


parts = members(
    {
        "type": st.sampled_from(["output_text", "refusal", "reasoning_text", "summary_text"]),
        "text": texts,
        "refusal": texts,
    }
)
items = st.builds(
    typed,
    st.sampled_from(KINDS),
    members(
        {
            "id": ids,
            "call_id": st.sampled_from(["c1", "c2"]),
            "name": st.sampled_from(["add", "patch"]),
            "arguments": texts,
            "input": texts,
            "status": st.sampled_from(["completed", "incomplete", "in_progress"]),
            "content": listed(parts, 3),
            "summary": listed(parts, 2),
        }
    ),
)
responses = members(
    {
        "id": st.just("resp_1"),
        "model": st.just("m"),
        "status": st.sampled_from(["completed", "incomplete", "failed", "cancelled"]),
        "output": listed(items, 3),
        "usage": members({"input_tokens": st.just(3), "output_tokens": st.just(4), "total_tokens": st.just(7)}),
        "incomplete_details": st.just({"reason": "max_output_tokens"}),
        "error": st.just({"code": "server_error", "message": "boom"}),
    }
)


def events(types: tuple[str, ...]) -> st.SearchStrategy[JsonObject]:
    return st.builds(
        typed,
        st.sampled_from(types),
        members(
            {
                "output_index": indices,
                "item_id": ids,
                "content_index": indices,
                "summary_index": indices,
                "delta": texts,
                "text": texts,
                "refusal": texts,
                "arguments": texts,
                "input": texts,
                "item": items,
                "response": responses,
                "annotation": st.just({"type": "url_citation"}),
                "error": st.just({"message": "boom"}),
                "rate_limits": st.just({"primary": {"used_percent": 5}}),
            }
        ),
    )


bodies = st.builds(
    stream,
    st.lists(events(TYPES), max_size=25),
    st.lists(events(ENDS), max_size=2),
)


def decode(parts: list[bytes]) -> tuple[list[ResponseEvent], ResponsesStreamDecoder]:
    decoder = ResponsesStreamDecoder(PROMPT, COMPAT)
    found: list[ResponseEvent] = []
    for part in parts:
        found += decoder.feed(part)
    found += decoder.close()
    return found, decoder


@settings(max_examples=1000 if CI else 30, deadline=None)
@given(bodies, st.data())
def test_any_stream_ends_legally(body: bytes, data: st.DataObject) -> None:
    """No stream raises; its events are legal, the same at every split, and every announced item is done."""
    found, decoder = decode([body])
    check_events(found, decoder.error)
    assert decoder.done
    cut = data.draw(st.integers(0, len(body)))
    again, other = decode([body[:cut], body[cut:]])
    assert again == found
    assert other.snapshot() == decoder.snapshot()
    assert type(other.error) is type(decoder.error)


@settings(max_examples=600 if CI else 20, deadline=None)
@given(bodies)
def test_any_answer_can_be_written_and_sent_back(body: bytes) -> None:
    """What a stream became can be written as a stream, as a whole answer, and as history, and says the same again."""
    found, decoder = decode([body])
    if decoder.error is not None:
        return
    encoder = CODEC.stream_encoder(PROMPT)
    again, other = decode([b"".join([*map(encoder.feed, found), encoder.close()])])
    check_events(again, other.error)
    whole = decoder.snapshot()
    assert (other.snapshot().text, other.snapshot().reasoning_text) == (whole.text, whole.reasoning_text)
    read = CODEC.decode_response(CODEC.encode_response(whole, PROMPT), PROMPT, COMPAT)
    assert (read.text, read.refusal, read.finish_reason) == (whole.text, whole.refusal, whole.finish_reason)
    json.loads(CODEC.encode_request(Prompt([user_message("on"), *whole.items], model="gpt"), COMPAT).body)
