"""Peers' refusals, read: whatever shape an error comes in, one `ApiError` with its facts.

An error object comes as an HTTP body or inside a stream, in a dozen shapes. Reading turns any of them into `_Facts`;
`error_rules` says which class they mean; `rate_limits` says how long to wait. What looks like a key is taken out of all
that is kept.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic_core import from_json

from ..errors import MAX_BODY_CHARS, ApiError, RateLimitError, UsageLimitError
from ..events import RateLimits, RateLimitWindow, Response
from ..items import JsonObject, JsonValue
from ..redaction import redacted
from .base import json_int, json_list, json_object, json_str
from .error_rules import Rule, classify
from .rate_limits import duration_s, lower_headers, rate_limits, retry_after_s, retry_hint_s, server_time

__all__ = ["api_error", "decode_http_error", "html_title", "request_id"]

MAX_MESSAGE_CHARS = 2048  # as much of a peer's message as a terminal shows (behaviours.md S1-61)

_REQUEST_ID_HEADERS = (
    "x-request-id",
    "request-id",
    "x-oai-request-id",
    "apim-request-id",
    "mistral-correlation-id",
    "x-ds-trace-id",
    "x-trace-id",
)
_PLAN_STATUS = re.compile(r"anthropic-ratelimit-unified-(?:\w+-)?(?<!overage-)status")


@dataclass(slots=True)
class _Facts:
    """What a peer's error says, whatever its shape. `words` are lower-case; `details` is text only searched."""

    message: str = ""
    code: str | None = None
    error_type: str | None = None
    param: str | None = None
    status: int | None = None
    request_id: str | None = None
    words: list[str] = field(default_factory=list[str])
    details: str = ""
    wait_s: float | None = None
    resets_at: float | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])


def api_error(
    error: JsonValue,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    body: str = "",
    in_stream: bool = False,
    partial: Response | None = None,
    now: float | None = None,
) -> ApiError:
    """The error a peer's error value means: an object, the object around it, a list of them, or a string.

    `status` is the HTTP status; a 2xx says nothing about an error, so the object's own is taken then (a number as
    `code`, `status` or `status_code`), or None. `now` is a unix time, for limits that reset at a time of day; it
    defaults to the `date` header. Never raises.
    """
    lower = lower_headers(headers)
    now = server_time(lower) if now is None else now
    facts = _Facts()
    _read(error, facts)
    if status is None or status < 300:
        status = facts.status
    rule = classify(facts.words, f"{facts.message[:MAX_MESSAGE_CHARS]} {facts.details}", status)
    rule = _by_headers(rule, lower)
    made = rule.kind(
        redacted(_one_line(facts.message)) or _unexplained(status),
        remedy=rule.remedy,
        status=status,
        code=facts.code,
        error_type=facts.error_type,
        param=facts.param,
        # cf-ray is the edge's id, not the API's: the last resort (behaviours.md S1-55).
        request_id=request_id(lower) or facts.request_id or lower.get("cf-ray"),
        retryable=_retryable(rule, lower),
        retry_after_s=_wait_s(facts, rule.kind, lower, now),
        headers=lower,
        body=redacted(body[:MAX_BODY_CHARS]),
        in_stream=in_stream,
        partial=partial,
    )
    if isinstance(made, UsageLimitError):
        made.resets_at = facts.resets_at
        if made.resets_at is None and now is not None and made.retry_after_s is not None:
            made.resets_at = now + made.retry_after_s
    return made


def decode_http_error(status: int, headers: Mapping[str, str], body: bytes, *, now: float | None = None) -> ApiError:
    """The error an HTTP answer means, whatever its body: JSON, an SSE event, HTML, text or nothing. Never raises."""
    text = body.decode("utf-8", "replace").strip()
    error = _json(text)
    if error is None and text.startswith(("data:", "event:")):
        # LiteLLM answers a failed stream with status 500 and an SSE body (recorded against 1.106).
        error = next((_json(line[5:].strip()) for line in text.splitlines() if line.startswith("data:")), None)
    lower = lower_headers(headers)
    if error is None:
        error = _error_header(lower)
    if error is None:
        error = _text_message(status, lower, text)
    return api_error(error, status=status, headers=lower, body=text[:MAX_BODY_CHARS], now=now)


def html_title(text: str) -> str | None:
    """The title (or first heading, or "") of a body that is an HTML page; None for any other body."""
    if not text[:512].lstrip("\ufeff \r\n\t").lower().startswith(("<!doctype", "<html", "<head", "<?xml")):
        return None
    title = re.search(r"<(title|h1)[^>]*>\s*([^<]{1,300})", text[:65536], re.IGNORECASE)
    return _one_line(title.group(2)) if title else ""


def _error_header(headers: Mapping[str, str]) -> JsonValue:
    """What `x-error-json` says (base64 of an error object): it outlives a body that a proxy replaced (codex.md 1.5)."""
    try:
        return _json(b64decode(headers.get("x-error-json", ""), validate=True).decode("utf-8", "replace"))
    except ValueError:
        return None


def _json(text: str) -> JsonValue:
    if not text.startswith(("{", "[", '"')):
        return None
    try:
        parsed: JsonValue = from_json(text)
    except ValueError:
        return None
    return parsed


def _read(error: JsonValue, facts: _Facts, depth: int = 0) -> None:
    """Collect what `error` says. What an inner `error` object says goes before what surrounds it."""
    if isinstance(error, str):
        facts.message = facts.message or error
        return
    if isinstance(error, list):
        if error and depth < 4:  # Gemini's compatible endpoint wraps the error object in a list
            _read(error[0], facts, depth + 1)
        return
    found = json_object(error)
    if found is None:
        return
    if depth < 4:
        for name in ("error", "errors", "response"):
            if found.get(name):
                _read(found[name], facts, depth + 1)
    _read_detail(found.get("detail"), facts)
    _read_words(found, facts)
    _read_message(found, facts)
    _read_waits(found, facts)
    facts.param = facts.param or json_str(found.get("param")) or None
    facts.request_id = facts.request_id or json_str(found.get("request_id")) or None


def _read_words(found: JsonObject, facts: _Facts) -> None:
    code, kind = found.get("code"), json_str(found.get("type"))
    if isinstance(code, (str, int)) and not isinstance(code, bool) and code != "":
        facts.code = facts.code or str(code)
    if kind and kind not in ("error", "response.failed"):  # those name the envelope, not the error
        facts.error_type = facts.error_type or kind
    inner = json_object(found.get("innererror")) or {}
    for value in (code, kind, found.get("status"), found.get("reason"), inner.get("code")):
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            word = str(value).lower()
            facts.words.append(word)
            if "." in word:  # DashScope, Ark: `Throttling.RateQuota`, `RateLimitExceeded.EndpointRPMExceeded`
                facts.words.append(word.partition(".")[0])
    numbers = (found.get(name) for name in ("status", "status_code", "http_code", "raw_status_code", "code"))
    for number in numbers:
        status = int(number) if isinstance(number, str) and number.isdecimal() else json_int(number)
        if facts.status is None and status is not None and 400 <= status < 600:
            facts.status = status


def _read_message(found: JsonObject, facts: _Facts) -> None:
    base = json_object(found.get("base_resp")) or {}  # MiniMax answers errors with HTTP 200 (providers.md 3c)
    for value in (found.get("message"), found.get("Message"), found.get("msg"), base.get("status_msg")):
        if text := json_str(value):
            facts.message = facts.message or text
    if (number := json_int(base.get("status_code"))) is not None:
        facts.code = facts.code or str(number)
        facts.words.append(f"base_resp-{number}")
    metadata = json_object(found.get("metadata")) or {}
    raw = metadata.get("raw")  # OpenRouter: what the provider behind it said
    if raw:
        facts.details += f" {raw}"[:MAX_MESSAGE_CHARS]
    for name, value in (json_object(metadata.get("headers")) or {}).items():  # OpenRouter's own limits
        facts.headers[name.lower()] = str(value)


def _read_detail(detail: JsonValue, facts: _Facts) -> None:
    """FastAPI's `detail`: a string, an object, or a list of {loc, msg} (vLLM, Mistral, ChatGPT's backend)."""
    if isinstance(detail, list):
        lines: list[str] = []
        for entry in detail:
            fault = json_object(entry) or {}
            where = ".".join(str(part) for part in json_list(fault.get("loc")))
            message = json_str(fault.get("msg")) or json_str(entry)
            lines.append(f"{where}: {message}" if where else message)
        facts.message = facts.message or "; ".join(line for line in lines if line)
    elif detail:
        _read(detail, facts, 3)


def _read_waits(found: JsonObject, facts: _Facts) -> None:
    resets_at = found.get("resets_at")
    if isinstance(resets_at, (int, float)) and resets_at > 0:
        facts.resets_at = facts.resets_at or float(resets_at)
    waits = [found.get(name) for name in ("resets_in_seconds", "retry_after", "retry_after_seconds", "estimated_time")]
    for entry in json_list(found.get("details")):  # Gemini: google.rpc.RetryInfo
        detail = json_object(entry) or {}
        waits.append(duration_s(json_str(detail.get("retryDelay"))))
        quotas = (json_str((json_object(one) or {}).get("quotaId")) for one in json_list(detail.get("violations")))
        facts.details += "".join(f" {quota}" for quota in quotas)[:MAX_MESSAGE_CHARS]
    for wait in waits:
        if facts.wait_s is None and isinstance(wait, (int, float)) and not isinstance(wait, bool) and wait >= 0:
            facts.wait_s = float(wait)


def _text_message(status: int, headers: Mapping[str, str], text: str) -> str:
    if 300 <= status < 400:
        where = headers.get("location", "").partition("?")[0]
        return f"HTTP {status}: the server redirects to {where!r}; the base URL is not the API's"
    title = html_title(text)
    if title is None:
        return text
    return f"HTTP {status}: an HTML page{f' titled {title!r}' if title else ''} instead of an API answer"


def _by_headers(rule: Rule, headers: Mapping[str, str]) -> Rule:
    """What headers alone tell: a 429 that is a plan's limit, hours or days away, not a moment's throttling."""
    spent = "rejected" in (value for name, value in headers.items() if _PLAN_STATUS.fullmatch(name))
    if rule.kind is RateLimitError and (spent or "x-codex-rate-limit-reached-type" in headers):
        return Rule(UsageLimitError)
    return rule


def _retryable(rule: Rule, headers: Mapping[str, str]) -> bool:
    """The class's own answer, unless its rule knows better. `x-should-retry: false` is the server's veto; its `true` is
    not believed for errors that waiting cannot mend."""
    retryable = rule.kind.default_retryable if rule.retryable is None else rule.retryable
    return retryable and headers.get("x-should-retry", "").lower() != "false"


def _wait_s(facts: _Facts, kind: type[ApiError], headers: Mapping[str, str], now: float | None) -> float | None:
    """The first that says something: headers, a member of the body, the message, the window that ran empty."""
    for wait in (retry_after_s(headers, now=now), facts.wait_s, retry_hint_s(f"{facts.message} {facts.details}")):
        if wait is not None:
            return wait
    if facts.resets_at is not None and now is not None:
        return max(0.0, facts.resets_at - now)
    if kind in (RateLimitError, UsageLimitError) and (limits := rate_limits({**headers, **facts.headers}, now=now)):
        return _until_open(limits)
    return None


def _until_open(limits: RateLimits) -> float | None:
    """Limits hold together, so the last window to open counts: of those that are used up, else of those that do not
    say how much is left."""
    used_up = _resets(w for w in limits.windows if w.remaining == 0 or w.used_percent == 100)
    return max(used_up or _resets(w for w in limits.windows if w.remaining is None), default=None)


def _resets(windows: Iterable[RateLimitWindow]) -> list[float]:
    return [window.reset_after_s for window in windows if window.reset_after_s is not None]


def request_id(headers: Mapping[str, str]) -> str | None:
    """What to quote to the provider's support, under whichever name it sends it; `headers` have lower-case names."""
    return next((headers[name] for name in _REQUEST_ID_HEADERS if headers.get(name)), None)


def _unexplained(status: int | None) -> str:
    return "an error without an explanation" if status is None else f"HTTP {status} without an explanation"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_MESSAGE_CHARS else f"{line[: MAX_MESSAGE_CHARS - 1]}…"
