"""Errors in the words of single providers: codes, headers and details that decide what an error means."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from agent_core.codecs.api_errors import api_error, decode_http_error
from agent_core.errors import (
    ApiError,
    AuthenticationError,
    ContentFilterError,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    UsageLimitError,
)
from agent_core.items import JsonObject, JsonValue

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
