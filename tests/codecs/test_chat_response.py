"""Whole (non-stream) Chat answers, and errors both ways."""

from __future__ import annotations

import json

import pytest

from agent_core.codecs.base import Compat, json_bytes
from agent_core.codecs.chat import CODEC
from agent_core.errors import (
    ApiError,
    AuthenticationError,
    ContextLengthError,
    MalformedStream,
    ModelError,
    NotAdmitted,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterrupted,
    TransportError,
    TransportTimeout,
)
from agent_core.events import Response, Usage
from agent_core.items import FunctionCall, JsonObject, JsonValue, Message, OutputText, Reasoning, Refusal

from .chat_chunks import COMPAT, PROMPT, function_call, message, origin, reasoning


def completion(message: JsonObject, finish_reason: str | None = "stop", **members: JsonValue) -> JsonObject:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}], **members}


def tool_call(call_id: str | None, name: str, arguments: str) -> JsonObject:
    call: JsonObject = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {**call, "id": call_id} if call_id is not None else call


CASES: dict[str, tuple[JsonObject, Response]] = {
    "text and usage": (
        completion({"role": "assistant", "content": "hi"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
        Response(items=(message("hi"),), finish_reason="stop", native_reason="stop", usage=Usage(input=3, output=1)),
    ),
    "id and model": (
        completion({"content": None}, id="r", model="m1"),
        Response("r", "m1", finish_reason="stop", native_reason="stop"),
    ),
    "S0-36 reasoning, text, calls": (
        completion(
            {
                "content": "a",
                "reasoning_content": "r",
                "tool_calls": [tool_call("c1", "f", "{}"), tool_call("c2", "g", "{}")],
            },
            "tool_calls",
        ),
        Response(
            items=(
                reasoning("r", "reasoning_content"),
                message("a"),
                function_call("c1", "f", "{}"),
                function_call("c2", "g", "{}"),
            ),
            finish_reason="tool_calls",
            native_reason="tool_calls",
        ),
    ),
    "calls of one name without ids are two calls": (
        completion({"tool_calls": [tool_call(None, "f", ""), tool_call(None, "f", "")]}, "tool_calls"),
        Response(
            items=(function_call("call_0", "f"), function_call("call_1", "f")),
            finish_reason="tool_calls",
            native_reason="tool_calls",
        ),
    ),
    "finish_reason '' with calls (xAI)": (
        completion({"tool_calls": [tool_call("c1", "f", "{}")]}, ""),
        Response(items=(function_call("c1", "f", "{}"),), finish_reason="tool_calls"),
    ),
    "content as a list": (
        completion({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}, {"text": "a"}]}),
        Response(items=(reasoning("r", "content"), message("a")), finish_reason="stop", native_reason="stop"),
    ),
    "refusal": (
        completion({"content": None, "refusal": "no"}),
        Response(
            items=(Message(role="assistant", content=(Refusal(refusal="no"),), origin=origin()),),
            finish_reason="stop",
            native_reason="stop",
        ),
    ),
    "reasoning details beside their text": (
        completion({"content": "a", "reasoning": "r", "reasoning_details": [{"type": "reasoning.text", "text": "r"}]}),
        Response(
            items=(
                Reasoning(
                    content=("r",),
                    details=({"type": "reasoning.text", "text": "r"},),
                    origin=origin("reasoning_details"),
                ),
                message("a"),
            ),
            finish_reason="stop",
            native_reason="stop",
        ),
    ),
    "annotations": (
        completion({"content": "a", "annotations": [{"type": "url_citation"}]}),
        Response(
            items=(
                Message(
                    role="assistant",
                    content=(OutputText(text="a", annotations=({"type": "url_citation"},)),),
                    origin=origin(),
                ),
            ),
            finish_reason="stop",
            native_reason="stop",
        ),
    ),
    "length": (
        completion({"content": "a"}, "length"),
        Response(
            items=(message("a", "incomplete"),), finish_reason="length", status="incomplete", native_reason="length"
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_completion_becomes_a_response(name: str) -> None:
    """The same items a stream of the same answer would give."""
    body, expected = CASES[name]
    assert CODEC.decode_response(json_bytes(body), PROMPT, COMPAT) == expected


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b'{"error": {"message": "nope", "code": 429}}', RateLimitError, "nope"),
        (b'{"object": "error", "message": "bad", "code": 400}', ApiError, "bad"),
        (b'{"choices": [{"message": {}, "error": {"message": "broken"}}]}', ApiError, "broken"),
        (b'{"base_resp": {"status_code": 1004, "status_msg": "login fail"}, "choices": null}', ApiError, "login fail"),
        (b"<html>", MalformedStream, "begins with '<html>'"),
        (b"[]", MalformedStream, "no Chat completion"),
        (b'{"id": "msg", "content": []}', MalformedStream, "no choices"),
    ],
)
def test_what_is_no_completion_is_an_error(body: bytes, kind: type[ModelError], says: str) -> None:
    """An error inside a 200 is the peer's error; anything else that is no answer is malformed."""
    with pytest.raises(kind, match=says):
        CODEC.decode_response(body, PROMPT, Compat())


def test_a_completion_with_half_a_character_is_read() -> None:
    """A lone surrogate must not make an answer unreadable."""
    response = CODEC.decode_response(b'{"choices":[{"message":{"content":"a\\ud83d"}}]}', PROMPT, COMPAT)
    assert response.text.startswith("a")


ERRORS: list[tuple[ModelError, int, JsonObject, dict[str, str]]] = [
    (
        AuthenticationError("bad key", status=401, error_type="invalid_request_error", code="invalid_api_key"),
        401,
        {"message": "bad key", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"},
        {},
    ),
    (
        RateLimitError("slow down", status=429, retry_after_s=1.2, request_id="req_1"),
        429,
        {"message": "slow down", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"},
        {"retry-after": "2", "x-request-id": "req_1"},
    ),
    (
        ContextLengthError("too long", param="messages"),
        400,
        {
            "message": "too long",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        },
        {},
    ),
    (
        OverloadedError("busy"),
        503,
        {"message": "busy", "type": "overloaded_error", "param": None, "code": "overloaded"},
        {},
    ),
    (
        NotAdmitted("41 waited before it"),
        503,
        {
            "message": "too much is asked of the model at the moment",
            "type": "overloaded_error",
            "param": None,
            "code": "overloaded",
        },
        {},
    ),
    (
        TransportTimeout("nothing from https://inside:1", timeout="idle", after_s=5),
        504,
        {"message": "the model did not answer in time", "type": "server_error", "param": None, "code": "timeout"},
        {},
    ),
    (
        TransportError("refused by https://inside:1"),
        502,
        {
            "message": "the model's server could not be reached",
            "type": "server_error",
            "param": None,
            "code": "connection_error",
        },
        {},
    ),
]


@pytest.mark.parametrize(("error", "status", "expected", "headers"), ERRORS, ids=lambda value: type(value).__name__)
def test_an_error_leaves_in_the_wires_envelope(
    error: ModelError, status: int, expected: JsonObject, headers: dict[str, str]
) -> None:
    """X-S0-01: status, type, code, param, request id and retry hint are kept; the network's details stay inside."""
    assert CODEC.encode_error(error)[:2] == (status, {"content-type": "application/json", **headers})
    assert json.loads(CODEC.encode_error(error)[2]) == {"error": expected}


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("x"),
        ContextLengthError("x"),
        RateLimitError("x", retry_after_s=2),
        QuotaExceededError("x"),
        OverloadedError("x"),
        ServerError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_the_way_through(error: ApiError) -> None:
    """What one side encodes, the other decodes to the same class and hint."""
    status, headers, body = CODEC.encode_error(error)
    decoded = CODEC.decode_error(status, headers, body)
    assert (type(decoded), decoded.message, decoded.retry_after_s) == (type(error), "x", error.retry_after_s)


def test_a_broken_stream_is_a_bad_gateway() -> None:
    """An answer that broke off upstream is not this server's bug."""
    assert CODEC.encode_error(StreamInterrupted("x"))[0] == 502


def test_function_call_items_are_whole() -> None:
    """Calls of a whole answer keep the model's own text."""
    body = json_bytes(completion({"tool_calls": [tool_call("c", "f", '{ "a" :1}')]}, "tool_calls"))
    (made,) = CODEC.decode_response(body, PROMPT, COMPAT).items
    assert isinstance(made, FunctionCall) and made.arguments == '{ "a" :1}'
