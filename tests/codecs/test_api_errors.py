"""Errors of peers: the shapes they come in, what they mean, and all that were recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agent_core.codecs.api_errors import api_error, decode_http_error, html_title
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
from agent_core.items import JsonObject, JsonValue

from ..recordings import ROOT, needs_recordings

NOON = "Fri, 20 Nov 2026 12:00:00 GMT"


CASES: dict[type[ApiError], list[tuple[int, str]]] = {
    ContextLengthError: [
        (400, "This model's maximum context length is 8192 tokens. However, your prompt contains at least 8193"),
        (400, "This endpoint's maximum context length is 200000 tokens. However, you requested about 2500021"),
        (400, "prompt is too long: 213462 tokens > 200000 maximum"),
        (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
        (400, "Your input exceeds the context window of this model"),
        (400, "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000."),
        (400, "Input length (265330) exceeds model's maximum context length (262144)."),
        (400, "Input length 5 exceeds the maximum allowed input length of 4 tokens."),
        (400, "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)."),
        (400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
        (400, "Please reduce the length of the messages or completion."),
        (400, "The input (9000 tokens) is longer than the model's context length (8192 tokens)."),
        (400, "request (2009 tokens) exceeds the available context size (512 tokens), try increasing it"),
        (400, "tokens to keep from the initial prompt is greater than the context length"),
        (400, "prompt token count of 5000 exceeds the limit of 4096"),
        (400, "invalid params, context window exceeds limit"),
        (400, "Your request exceeded model token limit: 131072 (requested: 140000)"),
        (400, "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
        (400, "prompt too long; exceeded max context length by 12 tokens"),
        (400, "Input is too long for requested model."),
        (400, "Range of input length should be [1, 30720]"),
        (422, "`inputs` tokens + `max_new_tokens` must be <= 4096"),
        (500, "input (4002 tokens) is too large to process. increase the physical batch size"),
        (429, "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000"),
        (413, "Request too large for model `llama` in organization `o` on tokens per minute (TPM): Limit 6000"),
        (413, ""),
        (400, "Prompt has 9,000 tokens, but the configured context size is 8,192 tokens"),
        (400, "the model is loaded with context length of only 4096 tokens, which is not enough"),
        (400, "The estimated number of input tokens (9000) exceeded this model context window limit (8192)."),
        (422, "Input validation error: `inputs` must have less than 1024 tokens. Given: 1234"),
        (400, "Invalid 'messages[1].content': string too long. Expected a string with maximum length 10485760"),
        (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081"),
    ],
    RateLimitError: [
        (429, "Number of request tokens has exceeded your per-minute rate limit"),
        (429, "ThrottlingException: Too many tokens, please wait before trying again."),
        (429, ""),
    ],
    InvalidRequestError: [
        (400, "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens"),
        (400, "The tool_choice parameter is not available for this model"),
        (500, "tools param requires --jinja flag"),
        (422, ""),
        (302, ""),
    ],
    QuotaExceededError: [
        (429, "You exceeded your current quota, please check your plan and billing details."),
        (400, "Your credit balance is too low to access the Anthropic API."),
        (402, "Insufficient Balance"),
        (402, ""),
        (429, "Extra usage is required for long context requests."),
    ],
    UsageLimitError: [
        (429, "The usage limit has been reached"),
        (400, "You have reached your specified API usage limits. You will regain access on 2026-12-01."),
    ],
    AuthenticationError: [
        (400, "API key not valid. Please pass a valid API key."),
        (400, "Incorrect API key provided."),
        (400, "API Key not found. Please pass a valid API key."),
        (403, "Your API key was reported as leaked. Please use another API key."),
        (401, "anything"),
    ],
    PermissionDeniedError: [
        (403, "You are not allowed to use this model"),
        (400, "Your organization must be verified to stream this model."),
    ],
    ModelNotFoundError: [
        (400, "The requested model 'x' does not exist."),
        (400, "openai/x is not a valid model ID"),
        (400, "Invalid model: mistral-x"),
        (404, "model 'qwen9' not found, try pulling it first"),
        (404, "Not found the model kimi-9 or Permission denied"),
        (404, "404 page not found"),
    ],
    BadImageError: [
        (400, "The image data you provided does not represent a valid image"),
        (400, "messages.0.content.1.image.source.base64.data: Could not process image"),
        (400, "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum"),
        (400, "messages.0.content.0.image.source.base64: At least one of the image dimensions exceed max allowed size"),
        (400, "messages.0.content.0.image.source.media_type: Input should be 'image/jpeg', 'image/png' or 'image/gif'"),
        (400, "Error while downloading https://example.test/a.png."),
        (400, "Unable to process input image. Please retry or report."),
        (404, "No endpoints found that support image input"),
        (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"),
    ],
    ContentFilterError: [
        (400, "Output blocked by content filtering policy"),
        (403, "Content violates usage guidelines."),
    ],
    OverloadedError: [
        (503, "Loading model"),
        (503, ""),
        (529, ""),
        (429, "The engine is currently overloaded, please try again later"),
    ],
    ServerError: [
        (408, ""),
        (409, ""),
        (500, "boom"),
        (502, "Bad Gateway"),
        (599, ""),
    ],
}


@pytest.mark.parametrize(
    ("kind", "status", "message"), [(kind, *case) for kind, cases in CASES.items() for case in cases]
)
def test_wordings_and_statuses(kind: type[ApiError], status: int, message: str) -> None:
    """A status and a message alone decide the class, whoever wrote them."""
    error = api_error({"error": {"message": message}}, status=status)
    assert (type(error), error.status) == (kind, status)
    assert error.message == (message or f"HTTP {status} without an explanation")


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("context_length_exceeded", ContextLengthError),
        ("insufficient_quota", QuotaExceededError),
        ("usage_not_included", QuotaExceededError),
        ("usage_limit_reached", UsageLimitError),
        ("rate_limit_exceeded", RateLimitError),
        ("RateLimitReached", RateLimitError),
        ("RESOURCE_EXHAUSTED", RateLimitError),
        ("server_is_overloaded", OverloadedError),
        ("slow_down", OverloadedError),
        ("overloaded_error", OverloadedError),
        ("cyber_policy", ContentFilterError),
        ("content_filter", ContentFilterError),
        ("invalid_image_url", BadImageError),
        ("model_not_found", ModelNotFoundError),
        ("authentication_error", AuthenticationError),
        ("permission_error", PermissionDeniedError),
        ("invalid_prompt", InvalidRequestError),
        ("invalid_request_error", InvalidRequestError),
        ("api_error", ServerError),
        ("something_new", ServerError),
    ],
)
def test_words_inside_a_stream(word: str, kind: type[ApiError]) -> None:
    """Inside a 200 there is no status: the peer's own word decides, as `code` or as `type`."""
    for member in ("code", "type"):
        error = api_error({member: word, "message": "m"}, status=200, in_stream=True)
        assert (type(error), error.status, error.in_stream) == (kind, None, True)
        assert error.retryable == kind.default_retryable


SHAPES: list[tuple[JsonValue, str, str | None, str | None]] = [
    ({"error": {"message": "m", "type": "t", "code": "c"}}, "m", "c", "t"),
    ({"error": {"message": "m", "code": 400}}, "m", "400", None),
    ({"type": "error", "error": {"type": "t", "message": "m"}}, "m", None, "t"),
    ({"type": "error", "code": "c", "message": "m", "param": None}, "m", "c", None),
    ({"response": {"error": {"code": "c", "message": "m"}}}, "m", "c", None),
    ({"error": "m"}, "m", None, None),
    ({"code": "c", "error": "m"}, "m", "c", None),
    ({"object": "error", "message": "m", "type": "t", "code": "c"}, "m", "c", "t"),
    ({"detail": "m"}, "m", None, None),
    ({"detail": {"message": "m", "code": "c"}}, "m", "c", None),
    ({"detail": [{"loc": ["body", "n"], "msg": "a", "type": "x"}, {"msg": "b"}]}, "body.n: a; b", None, None),
    ({"errors": [{"code": 7003, "message": "m"}]}, "m", "7003", None),
    ({"errors": "m"}, "m", None, None),
    ({"message": "m"}, "m", None, None),
    ({"base_resp": {"status_code": 2049, "status_msg": "m"}}, "m", "2049", None),
    ([{"error": {"code": 400, "message": "m"}}], "m", "400", None),
    ("m\n  n", "m n", None, None),
    ({"error": {}}, "HTTP 400 without an explanation", None, None),
    ({"error": None}, "HTTP 400 without an explanation", None, None),
    (None, "HTTP 400 without an explanation", None, None),
    (7, "HTTP 400 without an explanation", None, None),
    ({"error": {"message": {"nested": 1}, "code": True, "type": []}}, "HTTP 400 without an explanation", None, None),
]


@pytest.mark.parametrize(("body", "message", "code", "error_type"), SHAPES)
def test_shapes(body: JsonValue, message: str, code: str | None, error_type: str | None) -> None:
    """Every shape an error object comes in gives the same facts, as a value and as bytes of an HTTP body."""
    for error in (api_error(body, status=400), decode_http_error(400, {}, json.dumps(body).encode())):
        if body is not None and body != 7:
            assert error.message == message
        assert (error.code, error.error_type, error.status) == (code, error_type, 400)


@pytest.mark.parametrize(
    ("status", "body", "message", "kind"),
    [
        (502, b"Bad Gateway", "Bad Gateway", ServerError),
        (502, b"", "HTTP 502 without an explanation", ServerError),
        (502, b"\xff\xfe\x00", "\ufffd\ufffd\x00", ServerError),
        (500, b'data: {"error":{"message":"boom","code":"500"}}\n\ndata: [DONE]\n\n', "boom", ServerError),
        (400, b'{"error": {"message": "cut', '{"error": {"message": "cut', InvalidRequestError),
        (
            403,  # T-C12
            b"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head><body>blocked",
            "HTTP 403: an HTML page titled 'Attention Required! | Cloudflare' instead of an API answer",
            PermissionDeniedError,
        ),
        (
            404,
            b"<html><h1>Not Found</h1></html>",
            "HTTP 404: an HTML page titled 'Not Found' instead of an API answer",
            ModelNotFoundError,
        ),
    ],
)
def test_bodies_that_are_no_json(status: int, body: bytes, message: str, kind: type[ApiError]) -> None:
    """Pages, text, event streams, half bodies and nothing at all still give the class their status calls for."""
    error = decode_http_error(status, {}, body)
    assert (type(error), error.message, error.status) == (kind, message, status)


def test_a_redirect_names_its_target() -> None:
    """A base URL that redirects is no API: say where it points."""
    error = decode_http_error(307, {"Location": "https://elsewhere.test/"}, b"")
    assert type(error) is InvalidRequestError
    assert "'https://elsewhere.test/'" in error.message and not error.retryable


@pytest.mark.parametrize(
    ("headers", "error", "seconds"),
    [
        ({"retry-after": "2"}, {"message": "try again in 9s"}, 2.0),
        ({}, {"message": "Please try again in 1.3s"}, 1.3),
        ({}, {"message": "m", "details": [{"retryDelay": "35s"}]}, 35.0),
        ({}, {"message": "m", "retry_after": 4}, 4.0),
        ({}, {"message": "m"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, {"message": "m"}, 360.0),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "6m0s"}, {"message": "m"}, None),
    ],
)
def test_where_a_wait_is_found(headers: dict[str, str], error: JsonObject, seconds: float | None) -> None:
    """Headers first, then the body, then the words, then the window that ran empty."""
    assert decode_http_error(429, headers, json.dumps({"error": error}).encode()).retry_after_s == seconds


def test_a_plans_limit_says_when_it_resets() -> None:
    """T-C13: `resets_at` is kept, and the wait counted from the server's own clock; waiting is not retrying."""
    body = json.dumps({"error": {"type": "usage_limit_reached", "message": "m", "resets_at": 1795176060}}).encode()
    error = decode_http_error(429, {"date": NOON}, body)
    assert isinstance(error, UsageLimitError)
    assert (error.resets_at, error.retry_after_s, error.retryable) == (1795176060.0, 60.0, False)


def test_the_server_may_forbid_a_retry() -> None:
    """`x-should-retry: false` is believed; `true` does not make a bad key worth retrying."""
    assert not decode_http_error(503, {"x-should-retry": "false"}, b"").retryable
    assert not decode_http_error(401, {"x-should-retry": "true"}, b"").retryable


def test_groqs_failed_tool_call_may_be_sampled_again() -> None:
    """`tool_use_failed` is a 400 of the model's making: the fact is `retryable`, the body holds what it wrote."""
    body = (
        b'{"error":{"message":"m","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"maybe"}}'
    )
    error = decode_http_error(400, {}, body)
    assert type(error) is InvalidRequestError
    assert error.retryable and "maybe" in error.body


def test_numbers_inside_a_stream_are_a_status() -> None:
    """OpenRouter's numeric code inside a 200 is the status the error would have had."""
    error = api_error({"code": 502, "message": "m"}, status=200, in_stream=True)
    assert (type(error), error.status, error.code) == (ServerError, 502, "502")


def test_what_stands_behind_a_gateway_counts() -> None:
    """OpenRouter's "Provider returned error" is classified by what the provider said."""
    raw = "this model's maximum context length is 4096 tokens"
    error = api_error(
        {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw}}}, status=400
    )
    assert (type(error), error.message) == (ContextLengthError, "Provider returned error")


def test_size_is_bounded() -> None:
    """A message or body of megabytes is cut; nothing of it takes long."""
    error = decode_http_error(500, {}, b"try again in " + b"1" * 2_000_000)
    assert len(error.message) == 2048 and len(error.body) == 8192


def test_html_is_recognised() -> None:
    """Only pages are pages."""
    assert html_title("\ufeff <HTML><title> A\n B </title>") == "A B"
    assert html_title("<!doctype html>") == ""
    assert html_title('{"html": "<html>"}') is None


FOLDERS = sorted((ROOT / "errors").iterdir()) if (ROOT / "errors").is_dir() else []

EXPECTED: list[tuple[type[ApiError], str]] = [
    # Rules over "status|code|type|message" of a recorded error, first match wins; written from what the messages say.
    (
        ContextLengthError,
        r"maximum context|prompt is too long|context size|too_many_prompt_tokens|too large to process",
    ),
    (QuotaExceededError, r"insufficient_quota"),
    (ContentFilterError, r"content_filter"),
    (BadImageError, r"image|unknown variant|file data|unsupported_file|content\[\]\.type|Content blocks are expected"),
    (
        ModelNotFoundError,
        r"(?i)model.*does not exist|model not found|model_not_found|not a valid model|API model names",
    ),
    (ModelNotFoundError, r"^404"),
    (AuthenticationError, r"^401|Incorrect API key"),
    (PermissionDeniedError, r"^403"),
    (RateLimitError, r"^429"),
    (OverloadedError, r"^529"),
    (InvalidRequestError, r"^501|requires --jinja|Cannot use both"),
    (ServerError, r"^5"),
    (InvalidRequestError, r""),
]


@needs_recordings
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name[:60])
def test_every_recorded_error(folder: Path) -> None:
    """All recorded error bodies: class, status, code, type, message and the wait their headers ask for."""
    meta = json.loads((folder / "meta.json").read_text())
    body = next(folder.glob("response.*")).read_bytes()
    said, headers = meta["error"], meta["headers"]
    error = decode_http_error(meta["status"], headers, body)
    told = f"{meta['status']}|{said['code']}|{said['type']}|{said['message']}"
    assert type(error) is next(kind for kind, pattern in EXPECTED if re.search(pattern, told))
    # A status below 400 is no error's: then the one inside the body counts.
    assert error.status == (meta["status"] if meta["status"] >= 400 else json.loads(body)["error"]["status"])
    assert error.code == (None if said["code"] is None else str(said["code"]))
    assert error.error_type == said["type"]
    # In one recording the key is blanked in the body, and differently in the description beside it.
    assert error.message == " ".join(re.sub(r"sk-inval\S+key", "sk-REDACTED", said["message"]).split())
    assert error.retry_after_s == (float(headers["retry-after"]) if "retry-after" in headers else None)


@needs_recordings
def test_all_of_them_are_there() -> None:
    """The recordings hold 104 errors; none is left out."""
    assert len(FOLDERS) == 104
