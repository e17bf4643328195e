"""Whole answers and errors of the Responses wire, read."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from agent_core.codecs.base import Compat, json_list, json_object, json_str
from agent_core.codecs.responses import CODEC
from agent_core.errors import (
    ApiError,
    AuthenticationError,
    ContextLengthError,
    MalformedStream,
    ModelError,
    QuotaExceededError,
    RateLimitError,
    StreamInterrupted,
)
from agent_core.events import Response
from agent_core.items import CustomToolCall, FunctionCall, JsonObject, JsonValue, Reasoning
from agent_core.prompt import CustomToolSpec, Prompt
from tests.recordings import ROOT, Recording, needs_recordings, streams

from .responses_frames import (
    COMPAT,
    PROMPT,
    SPENT,
    USAGE,
    added,
    call,
    called,
    created,
    done,
    ended,
    message,
    origin,
    reasoning,
    said,
    sse,
    text,
)


def answer(status: str = "completed", *output: JsonObject, **members: JsonValue) -> bytes:
    response = ended(status, *output, **members)["response"]
    return json.dumps({"object": "response", **(response if isinstance(response, dict) else {})}).encode()


def read(body: bytes, prompt: Prompt = PROMPT, compat: Compat = COMPAT) -> Response:
    return CODEC.decode_response(body, prompt, compat)


CUT: JsonObject = {"incomplete_details": {"reason": "max_output_tokens"}}

WHOLE: dict[str, tuple[bytes, Response]] = {
    "reasoning, text, usage": (
        answer(
            "completed",
            reasoning(encrypted_content="x", summary=[{"type": "summary_text", "text": "s"}]),
            message("Hello"),
            usage=USAGE,
            end_turn=True,
        ),
        Response(
            id="resp_1",
            model="gpt-x",
            items=(
                Reasoning(summary=("s",), encrypted_content="x", origin=origin("rs_1", "summary")),
                said("Hello"),
            ),
            finish_reason="stop",
            usage=SPENT,
            end_turn=True,
            native_reason="completed",
        ),
    ),
    "X-S0-10 two calls": (
        answer("completed", call('{"a":1}'), call("{}", "fc_2", "call_2")),
        Response(
            id="resp_1",
            model="gpt-x",
            items=(called('{"a":1}'), called("{}", "fc_2", "call_2")),
            finish_reason="tool_calls",
            native_reason="completed",
        ),
    ),
    "length, with a call that was cut": (
        answer("incomplete", call('{"a', status="completed"), **CUT),
        Response(
            id="resp_1",
            model="gpt-x",
            items=(called('{"a', status="incomplete"),),
            finish_reason="length",
            status="incomplete",
            native_reason="incomplete",
            incomplete_reason="max_output_tokens",
        ),
    ),
    "a stream though none was asked for (transformers)": (
        sse(created(), added(0, message()), text(0, "a"), done(0, message("a")), ended(), names=False),
        Response(id="resp_1", model="gpt-x", items=(said("a"),), finish_reason="stop", native_reason="completed"),
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_answers(name: str) -> None:
    """A whole answer becomes exactly this response."""
    body, response = WHOLE[name]
    assert read(body) == response


@dataclass(frozen=True)
class Refused:
    body: bytes
    error: type[ModelError]
    says: str


ERRORS: dict[str, Refused] = {
    "X-S0-10 failed": Refused(
        answer("failed", message("par"), error={"code": "context_length_exceeded", "message": "too long"}),
        ContextLengthError,
        "too long",
    ),
    "an error object in a 200": Refused(
        b'{"error": {"code": "insufficient_quota", "message": "no money"}}', QuotaExceededError, "no money"
    ),
    "cancelled": Refused(answer("cancelled"), ApiError, "the response was cancelled"),
    "still queued": Refused(answer("queued"), MalformedStream, "the response is still queued"),
    "HTML": Refused(b"<html></html>", MalformedStream, "the body is not a JSON object"),
    "a list": Refused(b"[]", MalformedStream, "the body is not a JSON object"),
    "a Chat answer": Refused(
        b'{"object":"chat.completion","choices":[]}', MalformedStream, "the body is no answer of the Responses wire"
    ),
    "a stream that was cut": Refused(sse(created()), StreamInterrupted, "the stream ended before response.completed"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_refused_answers(name: str) -> None:
    """What is no answer is an error of the right class."""
    case = ERRORS[name]
    with pytest.raises(case.error) as caught:
        read(case.body)
    assert type(caught.value) is case.error
    assert case.says in str(caught.value)


def test_lowered_custom_call() -> None:
    """A call of a custom tool that went out as a function comes back as what the prompt has."""
    prompt = Prompt("hi", model="gpt", tools=[CustomToolSpec("patch")])
    body = answer("completed", call('{"input":"x"}', name="patch"))
    response = read(body, prompt, Compat(provider="acme"))
    assert response.items == (CustomToolCall(call_id="call_1", name="patch", input="x", origin=origin("fc_1")),)
    assert isinstance(read(body, prompt).items[0], FunctionCall)


def whole_answer(recording: Recording) -> JsonObject | None:
    """The response object at a recorded stream's end, where it has an output."""
    for line in recording.body.splitlines():
        if line.startswith(b"data: {") and b'"response.completed"' in line:
            whole = json_object(json.loads(line[6:]).get("response")) or {}
            return whole if whole.get("output") else None
    return None


ENDING_WHOLE = [recording for recording in streams("responses") if whole_answer(recording) is not None]


@needs_recordings
@pytest.mark.parametrize("recording", ENDING_WHOLE, ids=str)
def test_whole_answers_equal_their_streams(recording: Recording) -> None:
    """The response object at a recorded stream's end, read by itself, says what the stream said."""
    response = read(json.dumps({"object": "response", **(whole_answer(recording) or {})}).encode())
    expected = recording.expected
    calls = [item for item in response.items if isinstance(item, (FunctionCall, CustomToolCall))]
    names = [json_str((json_object(one) or {}).get("name")) for one in json_list(expected["tool_calls"])]
    assert ([item.name for item in calls], response.native_reason) == (names, expected["status"])
    if recording.meta["exact"]:  # others had their deltas thinned out by hand
        assert response.text == expected["text"]


def test_http_errors() -> None:
    """An HTTP error keeps status, code, request id and the wait."""
    body = b'{"error": {"message": "slow down", "type": "tokens", "code": "rate_limit_exceeded"}}'
    error = CODEC.decode_error(429, {"Retry-After": "7", "x-request-id": "req_1"}, body)
    assert type(error) is RateLimitError
    assert (error.status, error.code, error.request_id, error.retry_after_s) == (429, "rate_limit_exceeded", "req_1", 7)
    assert type(CODEC.decode_error(401, {}, b"")) is AuthenticationError


@needs_recordings
def test_recordings_are_all_there() -> None:
    """The corpus this wire is judged by has not shrunk."""
    assert len(streams("responses")) >= 122, ROOT
