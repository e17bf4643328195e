"""Whole Messages answers and errors, both ways."""

from __future__ import annotations

import json

import pytest

from agent_core.codecs.base import Compat
from agent_core.codecs.messages import CODEC
from agent_core.errors import (
    ApiError,
    AuthenticationError,
    CircuitOpen,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    MalformedStream,
    ModelError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterrupted,
    TransportError,
    TransportTimeout,
)
from agent_core.events import FinishReason, Response, ResponseStatus, Usage
from agent_core.items import (
    CustomToolCall,
    FunctionCall,
    JsonObject,
    JsonValue,
    LocalShellAction,
    LocalShellCall,
    Message,
    Origin,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    UnknownItem,
    WebSearchCall,
)

from .messages_frames import COMPAT, PROMPT, origin

ANSWER: JsonObject = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-5",
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 4},
}


def decode(*blocks: JsonValue, **members: JsonValue) -> Response:
    body = json.dumps({**ANSWER, "content": list(blocks), **members}).encode()
    return CODEC.decode_response(body, PROMPT, COMPAT)


def answer(*items: ResponseItem, reason: FinishReason = "stop", native: str | None = "end_turn") -> Response:
    status: ResponseStatus = "incomplete" if reason == "length" else "completed"
    return Response("msg_1", "claude-5", items, reason, status, Usage(3, output=4), native_reason=native)


def call(written: str, **members: str) -> FunctionCall:
    made = origin(item_id="t1")
    return FunctionCall.model_validate({"call_id": "t1", "name": "f", "arguments": written, "origin": made, **members})


def test_a_whole_answer() -> None:
    """Blocks become the items a stream of them gives."""
    found = decode(
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "citations": [{"type": "char_location"}]},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1, "b": "é"}},
        stop_reason="tool_use",
    )
    parts = (OutputText(text="a"), OutputText(text="b", annotations=({"type": "char_location"},)))
    thought = Reasoning(content=("hm",), signature="c2ln", origin=origin("thinking"))
    text = Message(role="assistant", content=parts, origin=origin())
    assert found == answer(thought, text, call('{"a":1,"b":"é"}'), reason="tool_calls", native="tool_use")


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"stop_reason": "max_tokens"}, answer(call("{}", status="incomplete"), reason="length", native="max_tokens")),
        ({"stop_reason": "end_turn"}, answer(call("{}"), reason="tool_calls")),
        ({"stop_reason": None}, answer(call("{}"), reason="tool_calls", native=None)),
    ],
)
def test_calls_in_a_whole_answer(members: JsonObject, found: Response) -> None:
    """A call that came last before the token limit may have been cut; under any other reason it is one."""
    assert decode({"type": "tool_use", "id": "t1", "name": "f", "input": {}}, **members) == found


def test_arguments_that_are_no_object_stay_visible() -> None:
    """LiteLLM passed `[true]` for a call that was cut: it is kept as it is, for the loop to refuse."""
    found = decode({"type": "tool_use", "id": "t1", "name": "f", "input": [True]}, stop_reason="tool_use")
    assert found.items == (call("[true]"),)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'"text"', b'{"choices": []}', b'{"content": null}', b'{"type": "message"}', b"\xff\xfe"],
)
def test_what_is_no_answer(body: bytes) -> None:
    """A body without content is no answer of this wire."""
    with pytest.raises(MalformedStream) as caught:
        CODEC.decode_response(body, PROMPT, COMPAT)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}', OverloadedError),
        (b'{"error":{"message":"busy","type":"rate_limit_error"}}', RateLimitError),
        (b'{"base_resp":{"status_code":1004,"status_msg":"busy"}}', ApiError),
    ],
)
def test_an_error_that_came_with_200(body: bytes, kind: type[ApiError]) -> None:
    """An error object is an error, whatever the HTTP status said."""
    with pytest.raises(kind, match="busy"):
        CODEC.decode_response(body, PROMPT, COMPAT)


def foreign(wire: str = "chat") -> Origin:
    return Origin.model_validate({"wire": wire})


BLOCKS: dict[str, tuple[ResponseItem, list[JsonObject]]] = {
    "text and refusal": (
        Message(role="assistant", content=(OutputText(text="a"), OutputText(text=""), Refusal(refusal="no"))),
        [{"type": "text", "text": "a"}, {"type": "text", "text": "no"}],
    ),
    "citations of another wire": (
        Message(role="assistant", content=(OutputText(text="a", annotations=({"type": "url_citation"},)),)),
        [{"type": "text", "text": "a"}],
    ),
    "T-G19 reasoning without a signature": (
        Reasoning(summary=("a", "b"), encrypted_content="x", origin=foreign("responses")),
        [{"type": "thinking", "thinking": "a\n\nb", "signature": ""}],
    ),
    "reasoning nobody here can read": (Reasoning(encrypted_content="x", origin=foreign("responses")), []),
    "redacted": (
        Reasoning(encrypted_content="x", origin=origin("redacted_thinking")),
        [{"type": "redacted_thinking", "data": "x"}],
    ),
    "T-G15 arguments parsed": (
        FunctionCall(call_id="t", name="f", arguments='{"a": 1.0}'),
        [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1.0}}],
    ),
    "S2-24 arguments that are none are not made an empty object": (
        FunctionCall(call_id="t", name="f", arguments='{"a":'),
        [{"type": "tool_use", "id": "t", "name": "f", "input": {"_invalid_arguments": '{"a":'}}],
    ),
    "blank arguments": (
        FunctionCall(call_id="t", name="f", arguments=" "),
        [{"type": "tool_use", "id": "t", "name": "f", "input": {}}],
    ),
    "free-form": (
        CustomToolCall(call_id="t", name="f", input="x"),
        [{"type": "tool_use", "id": "t", "name": "f", "input": {"input": "x"}}],
    ),
    "shell": (
        LocalShellCall(call_id="t", action=LocalShellAction(command=("ls",), timeout_ms=5)),
        [{"type": "tool_use", "id": "t", "name": "local_shell", "input": {"command": ["ls"], "timeout_ms": 5}}],
    ),
    "own raw block": (
        UnknownItem(raw={"type": "compaction", "content": "c"}, origin=origin()),
        [{"type": "compaction", "content": "c"}],
    ),
    "another wire's raw item": (UnknownItem(raw={"type": "x"}, origin=foreign()), []),
    "a search somebody else ran": (WebSearchCall(), []),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_items_to_blocks(name: str) -> None:
    """Every kind of item has its block, or none."""
    item, blocks = BLOCKS[name]
    body: JsonObject = json.loads(CODEC.encode_response(answer(item), PROMPT))
    assert body["content"] == blocks


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (Response(finish_reason="stop", native_reason="stop"), ("end_turn", None)),
        (Response(finish_reason="stop", stop_sequence="x"), ("stop_sequence", "x")),
        (Response(finish_reason="length"), ("max_tokens", None)),
        (
            Response(finish_reason="length", native_reason="model_context_window_exceeded"),
            ("model_context_window_exceeded", None),
        ),
        (Response(finish_reason="content_filter"), ("refusal", None)),
        (Response(finish_reason="refusal"), ("refusal", None)),
        (Response(finish_reason="pause"), ("pause_turn", None)),
        (Response(finish_reason="tool_calls"), ("end_turn", None)),  # there is nothing to use
        (Response(finish_reason="unknown"), ("end_turn", None)),
        (Response(finish_reason="stop", items=(call("{}"),)), ("tool_use", None)),
        (Response(finish_reason="tool_calls", native_reason="end_turn", items=(call("{}"),)), ("end_turn", None)),
    ],
)
def test_how_it_ended(response: Response, said: tuple[str, str | None]) -> None:
    """T-G16, T-G17, X-S2-05: each finish reason has its word, the wire's own one where it came from here."""
    body: JsonObject = json.loads(CODEC.encode_response(response, PROMPT))
    assert (body["stop_reason"], body["stop_sequence"]) == said


def test_usage_there_and_back() -> None:
    """T-G18: cached tokens are told beside the input, thinking inside the output; nothing is counted twice."""
    usage = Usage(input=70, cache_read=30, cache_write=9, cache_write_1h=4, output=3, reasoning=5)
    body = CODEC.encode_response(Response(usage=usage), PROMPT)
    assert json.loads(body)["usage"] == {
        "input_tokens": 70,
        "cache_creation_input_tokens": 9,
        "cache_read_input_tokens": 30,
        "output_tokens": 8,
        "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 4},
        "output_tokens_details": {"thinking_tokens": 5},
    }
    assert CODEC.decode_response(body, PROMPT, COMPAT).usage == usage


@pytest.mark.parametrize(
    ("output", "thinking", "excludes", "visible"), [(10, 4, False, 6), (4, 10, False, 4), (10, 4, True, 10)]
)
def test_whether_output_holds_thinking(output: int, thinking: int, excludes: bool, visible: int) -> None:
    """It does, unless the provider says otherwise or the numbers do."""
    usage: JsonObject = {"output_tokens": output, "output_tokens_details": {"thinking_tokens": thinking}}
    body = json.dumps({**ANSWER, "content": [], "usage": usage}).encode()
    found = CODEC.decode_response(body, PROMPT, Compat(output_excludes_reasoning=excludes))
    assert found.usage == Usage(output=visible, reasoning=thinking)


ERRORS: list[tuple[ModelError, int, str]] = [
    (InvalidRequestError("m"), 400, "invalid_request_error"),
    (InvalidRequestError("m", status=413), 413, "request_too_large"),
    (InvalidRequestError("m", status=422), 422, "invalid_request_error"),
    (ContextLengthError("m"), 400, "invalid_request_error"),
    (AuthenticationError("m"), 401, "authentication_error"),
    (AuthenticationError("m", status=401, error_type="invalid_api_key"), 401, "authentication_error"),
    (PermissionDeniedError("m"), 403, "permission_error"),
    (ModelNotFoundError("m"), 404, "not_found_error"),
    (ContentFilterError("m"), 400, "invalid_request_error"),
    (RateLimitError("m"), 429, "rate_limit_error"),
    (QuotaExceededError("m"), 402, "billing_error"),
    (QuotaExceededError("m", status=429), 402, "billing_error"),  # 429 here is throttling, and would be waited out
    (OverloadedError("m"), 529, "overloaded_error"),
    (OverloadedError("m", status=503), 503, "overloaded_error"),
    (OverloadedError("m", status=200, error_type="overloaded_error"), 529, "overloaded_error"),
    (CircuitOpen("m"), 529, "overloaded_error"),
    (ServerError("m"), 500, "api_error"),
    (ServerError("m", status=502), 502, "api_error"),
    (TransportError("m"), 502, "api_error"),
    (TransportTimeout("m", timeout="idle", after_s=1), 504, "timeout_error"),
    (StreamInterrupted("m"), 502, "api_error"),
    (ModelError("m"), 500, "api_error"),
]


@pytest.mark.parametrize(("error", "status", "kind"), ERRORS)
def test_errors_to_the_wire(error: ModelError, status: int, kind: str) -> None:
    """T-F10, T-G20, X-S0-01: an error keeps its status and message and gets the wire's type."""
    found, headers, body = CODEC.encode_error(error)
    assert (found, headers, json.loads(body)) == (
        status,
        {"content-type": "application/json"},
        {"type": "error", "error": {"type": kind, "message": "m"}},
    )


def test_what_a_client_needs_to_try_again() -> None:
    """The wait and the request id of the peer's refusal are passed on, and read back."""
    error = RateLimitError("slow down", status=429, retry_after_s=1.2, request_id="req_1")
    status, headers, body = CODEC.encode_error(error)
    assert (headers["retry-after"], headers["request-id"]) == ("2", "req_1")
    again = CODEC.decode_error(status, headers, body)
    assert isinstance(again, RateLimitError)
    assert (again.status, again.message, again.error_type, again.request_id, again.retry_after_s) == (
        429, "slow down", "rate_limit_error", "req_1", 2.0,
    )  # fmt: skip
