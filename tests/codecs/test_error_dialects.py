"""Errors in the words of single providers: codes, headers and details that decide what an error means."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from agent_core.codecs import WIRES, codec_for
from agent_core.codecs.api_errors import api_error, decode_http_error
from agent_core.codecs.base import Compat
from agent_core.errors import (
    ApiError,
    AuthenticationError,
    BadImageError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    UsageLimitError,
)
from agent_core.items import JsonObject, JsonValue, WireName
from agent_core.prompt import Prompt

NOON = "Fri, 20 Nov 2026 12:00:00 GMT"


def gemini(quota: str) -> JsonObject:
    """A spent quota of Gemini's: the same words for the minute's and the day's, told apart by its id."""
    violation: JsonValue = {"quotaId": quota}
    return {
        "code": 429,
        "status": "RESOURCE_EXHAUSTED",
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "details": [{"violations": [violation]}, {"retryDelay": "35s"}],
    }


DIALECTS: dict[str, tuple[int, JsonObject, type[ApiError]]] = {
    "DashScope throttles": (429, {"code": "Throttling.RateQuota", "message": "m"}, RateLimitError),
    "DashScope, no such access": (403, {"code": "AccessDenied.Unpurchased", "message": "m"}, PermissionDeniedError),
    "DashScope, key": (401, {"code": "InvalidApiKey", "message": "m"}, AuthenticationError),
    "Ark throttles": (429, {"code": "RateLimitExceeded.EndpointRPMExceeded", "message": "m"}, RateLimitError),
    "Ark, overdue": (403, {"code": "AccountOverdueError", "message": "m"}, QuotaExceededError),
    "Ark, no such model": (404, {"code": "InvalidEndpointOrModel.NotFound", "message": "m"}, ModelNotFoundError),
    "Ark, overloaded": (429, {"code": "ServerOverloaded", "message": "m"}, OverloadedError),
    "Z.AI, frequency": (429, {"code": "1302", "message": "m"}, RateLimitError),
    "Z.AI, plan": (429, {"code": "1308", "message": "m"}, UsageLimitError),
    "Z.AI, arrears": (429, {"code": "1113", "message": "m"}, QuotaExceededError),
    "Gemini, the minute": (429, gemini("GenerateRequestsPerMinutePerProjectPerModel"), RateLimitError),
    "Gemini, the day": (429, gemini("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), UsageLimitError),
    "Bedrock warms up": (424, {"type": "ModelNotReadyException", "message": "m"}, OverloadedError),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_codes_of_providers(name: str) -> None:
    """The peer's own word decides before its status does."""
    status, error, kind = DIALECTS[name]
    assert type(api_error({"error": error}, status=status)) is kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1002, RateLimitError),
        (1004, AuthenticationError),
        (1008, QuotaExceededError),
        (1026, ContentFilterError),
        (9999, ServerError),
    ],
)
def test_minimax_answers_errors_with_200(code: int, kind: type[ApiError]) -> None:
    """Its numbers are read as its own: others use the same ones for other things."""
    body: JsonObject = {"base_resp": {"status_code": code, "status_msg": "m"}}
    error = api_error(body, status=200)
    assert (type(error), error.code, error.message) == (kind, str(code), "m")


SPENT = {"date": NOON, "anthropic-ratelimit-unified-reset": "1795183200"}


@pytest.mark.parametrize(
    ("headers", "kind", "wait_s"),
    [
        ({"anthropic-ratelimit-unified-status": "rejected", **SPENT}, UsageLimitError, 7200.0),
        (
            {
                "anthropic-ratelimit-unified-7d-status": "rejected",
                "anthropic-ratelimit-unified-7d-reset": "1795190400",
                "anthropic-ratelimit-unified-5h-status": "rejected",
                "anthropic-ratelimit-unified-5h-reset": "1795183200",
                "date": NOON,
            },
            UsageLimitError,
            14400.0,
        ),
        ({"anthropic-ratelimit-unified-overage-status": "rejected", "retry-after": "3"}, RateLimitError, 3.0),
        ({"anthropic-ratelimit-unified-status": "allowed", "retry-after": "3"}, RateLimitError, 3.0),
        ({"x-codex-rate-limit-reached-type": "primary"}, UsageLimitError, None),
        ({"x-ratelimit-reset": "20"}, RateLimitError, 20.0),
        ({}, RateLimitError, None),
    ],
)
def test_a_429_by_its_headers(headers: dict[str, str], kind: type[ApiError], wait_s: float | None) -> None:
    """A plan that is used up is not throttling; the limits hold together, so the last window to open counts."""
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"m"}}'
    error = decode_http_error(429, headers, body)
    assert (type(error), error.retry_after_s, error.retryable) == (kind, wait_s, kind is RateLimitError)
    if isinstance(error, UsageLimitError) and wait_s is not None:
        assert error.resets_at == 1795176000.0 + wait_s


def test_openrouter_puts_its_limits_into_the_body() -> None:
    """`metadata.headers` of its own 429, in milliseconds since 1970."""
    limits: JsonObject = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795176012000"}
    body: JsonObject = {"error": {"code": 429, "message": "Rate limit exceeded", "metadata": {"headers": limits}}}
    assert decode_http_error(429, {"date": NOON}, json.dumps(body).encode()).retry_after_s == 12.0


def test_an_error_in_a_header_outlives_its_body() -> None:
    """`x-error-json` (codex.md 1.5) is read where a proxy put its own page, and only there."""
    said = {"error": {"code": "token_expired", "message": "sign in again"}}
    headers = {"X-Error-Json": b64encode(json.dumps(said).encode()).decode()}
    error = decode_http_error(401, headers, b"<html><h1>Unauthorized</h1></html>")
    assert (type(error), error.code, error.message) == (AuthenticationError, "token_expired", "sign in again")
    assert decode_http_error(400, headers, b'{"error": {"message": "mine"}}').message == "mine"
    assert decode_http_error(400, {"x-error-json": "no base64!"}, b"plain").message == "plain"


def test_a_redirect_has_a_remedy_of_its_own() -> None:
    """It is the base URL that is wrong, not the request; what the query of the target holds is not shown."""
    error = decode_http_error(302, {"location": "https://login.test/start?token=abc"}, b"<html>moved</html>")
    assert type(error) is InvalidRequestError
    assert "'https://login.test/start'" in error.message and error.remedy.startswith("set base_url")


def test_keys_are_taken_out() -> None:
    """Of the message and the body, on every path, whoever's key it is."""
    key = "sk-proj-abcdefghijklmnop0123"
    for error in (
        decode_http_error(401, {}, json.dumps({"error": {"message": f"bad key {key}"}}).encode()),
        decode_http_error(500, {}, f"crashed with {key}".encode()),
        api_error({"message": f"bad key {key}"}, in_stream=True, body=f'{{"k": "{key}"}}'),
    ):
        assert key not in error.message + error.body
        assert "[key]" in error.message + error.body


CODEX: dict[str, tuple[int, JsonValue, type[ApiError]]] = {
    "503 server_is_overloaded": (503, {"error": {"code": "server_is_overloaded"}}, OverloadedError),
    "503 slow_down": (503, {"error": {"code": "slow_down"}}, OverloadedError),
    "503 without a code": (503, {}, OverloadedError),
    "400 cyber_policy": (400, {"error": {"code": "cyber_policy", "message": "m"}}, ContentFilterError),
    "400 cyber_policy, wrapped": (
        400, {"type": "error", "error": {"code": "cyber_policy"}, "status": 400}, ContentFilterError,
    ),
    "400 bio_policy": (400, {"error": {"code": "bio_policy"}}, ContentFilterError),
    "400 image": (
        400, {"error": {"message": "The image data you provided does not represent a valid image"}}, BadImageError,
    ),
    "400 unknown": (400, {"error": {"message": "m", "code": "something_new"}}, InvalidRequestError),
    "T-C5 a newline in the message": (
        400, {"error": {"code": "context_length_exceeded", "message": "too long.\nPlease trim"}}, ContextLengthError,
    ),
    "429 usage_limit_reached": (429, {"error": {"type": "usage_limit_reached", "plan_type": "pro"}}, UsageLimitError),
    "429 usage_not_included": (429, {"error": {"type": "usage_not_included"}}, QuotaExceededError),
    "429 other": (429, {"error": {"message": "slow"}}, RateLimitError),
    "500": (500, {}, ServerError),
    "404": (404, {}, ModelNotFoundError),
}  # fmt: skip


@pytest.mark.parametrize("name", CODEX)
def test_codex_maps_errors(name: str) -> None:
    """codex.md 8, map errors, and 3.6: where Codex knows a class, so do we."""
    status, body, kind = CODEX[name]
    error = decode_http_error(status, {}, json.dumps(body).encode())
    assert (type(error), error.status) == (kind, status)


def test_t_c11_the_message_or_the_body() -> None:
    """T-C11: `error.message` where there is one, else the raw text."""
    assert decode_http_error(400, {}, b'{"error": {"message": "read this"}}').message == "read this"
    assert decode_http_error(400, {}, b"plain words").message == "plain words"


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"x-request-id": "a", "x-oai-request-id": "b", "cf-ray": "c"}, "a"),
        ({"x-oai-request-id": "b", "cf-ray": "c"}, "b"),
        ({"request-id": "req_1", "cf-ray": "c"}, "req_1"),
        ({"cf-ray": "c"}, "in_body"),
    ],
)
def test_whose_request_id(headers: dict[str, str], named: str) -> None:
    """codex.md 8: the API's own id, in a header or in the body, before the edge's."""
    body = b'{"error": {"message": "m"}, "request_id": "in_body"}'
    assert decode_http_error(429, headers, body).request_id == named
    assert decode_http_error(429, {"cf-ray": "c"}, b"").request_id == "c"


@pytest.mark.parametrize("name", [*DIALECTS, *CODEX])
def test_the_same_on_every_wire(name: str) -> None:
    """As an HTTP answer on each of the three: one class, one word, one wait."""
    status, found, kind = {**DIALECTS, **CODEX}[name]
    error: JsonValue = found if name in CODEX else {"error": found}
    body = json.dumps(error).encode()
    answers = [codec_for(wire).decode_error(status, {"retry-after": "3"}, body) for wire in WIRES]
    assert {(type(one), one.reason, one.retry_after_s) for one in answers} == {(kind, answers[0].reason, 3.0)}


STREAMED: dict[WireName, str] = {
    "chat": 'data: {"error": {ERROR}}\n\n',
    "responses": 'event: response.failed\ndata: {"type": "response.failed", "response": {"error": {ERROR}}}\n\n',
    "messages": 'event: error\ndata: {"type": "error", "error": {ERROR}}\n\n',
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("rate_limit_exceeded", "Please try again in 1.3s.", RateLimitError),
        ("slow_down", "m", OverloadedError),
        ("insufficient_quota", "m", QuotaExceededError),
        ("usage_not_included", "m", QuotaExceededError),
        ("context_length_exceeded", "m", ContextLengthError),
        ("cyber_policy", "", ContentFilterError),
        ("cyber_policy", "m", ContentFilterError),
        ("bio_policy", "m", ContentFilterError),
        ("invalid_prompt", "m", InvalidRequestError),
        ("server_error", "boom", ServerError),
    ],
)
def test_the_same_inside_every_stream(wire: WireName, code: str, message: str, kind: type[ApiError]) -> None:
    """codex.md 8, failed streams: the word decides, the wait is read from the words (T-C3, S1-59)."""
    decoder = codec_for(wire).stream_decoder(Prompt("Hi"), Compat())
    decoder.feed(STREAMED[wire].replace("{ERROR}", json.dumps({"code": code, "message": message})).encode())
    if decoder.error is None:
        decoder.close()
    error = decoder.error
    assert isinstance(error, ApiError)
    assert (type(error), error.in_stream) == (kind, True)
    assert error.retry_after_s == (1.3 if "1.3s" in message else None)
