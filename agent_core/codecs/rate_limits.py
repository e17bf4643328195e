"""What a server says about waiting: rate-limit headers, `Retry-After` in all its forms, and hints inside messages.

All results are seconds from now. A time of day (HTTP date, ISO time, unix time) needs a "now", and nothing here reads a
clock: it is the answer's own `date` header, or what the caller passes. Without either such a value is unknown, which is
better than wrong by the skew of two clocks. What does not parse is left out, never an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from ..events import RateLimits, RateLimitWindow
from ..items import WireName

__all__ = [
    "duration_s",
    "encode_rate_limits",
    "lower_headers",
    "rate_limits",
    "retry_after_s",
    "retry_hint_s",
    "server_time",
]

_UNITS_S = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "millisecond": 1e-3,
    "s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0,
    "h": 3600.0, "hr": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0,
}  # fmt: skip
_UNIT = r"(?:(?:millisecond|second|minute|hour|sec|min|hr|day)s?|ns|us|µs|ms|s|m|h|d)"
_PART = re.compile(rf"(\d+(?:\.\d+)?)\s*({_UNIT})\b", re.IGNORECASE)
_DURATION = re.compile(rf"(?:\d+(?:\.\d+)?{_UNIT})+", re.IGNORECASE)
_RUN_ON_PART = re.compile(rf"(\d+(?:\.\d+)?)({_UNIT})", re.IGNORECASE)
_HINT = re.compile(
    rf"(?:try(?:ing)? again|retry(?:ing)?|reset|available again|wait)\b[^.\d]{{0,40}}?"
    rf"((?:\d+(?:\.\d+)?\s*{_UNIT}(?![a-z])[\s,]*(?:and\s+)?)+)",
    re.IGNORECASE,
)
_EPOCH_S = 1e9  # a plain number this large is a time, not a wait (2001-09-09); no server asks for 31 years
_EPOCH_MS = 1e12

_MAX_RESET_S = 10 * 366 * 86400.0  # far enough for anybody, near enough for a calendar
_MAX_COUNT = 1e15
_PLAIN_KIND = re.compile(r"[a-z]{1,20}(?:-[a-z0-9]{1,20}){0,3}")

_WHAT = "(?P<what>limit|remaining|reset)"


class _Family(NamedTuple):
    """Headers of one shape. `unnamed`: the kind of a window whose name is left out. `snake`: kinds in snake case."""

    name: str
    unnamed: str = ""
    snake: bool = False


_FAMILIES = (
    # The first that matches counts.
    _Family(r"anthropic-ratelimit-(?P<kind>.+)-(?P<what>limit|remaining|reset|utilization|status)"),
    _Family(rf"(?:x-)?ratelimitbysize-{_WHAT}(?:-(?P<kind>.+))?", "tokens"),  # Mistral
    _Family(rf"x-tokenlimit-{_WHAT}(?:-(?P<kind>.+))?", "tokens"),  # Together
    _Family(rf"x-ai-ratelimit-{_WHAT}-(?P<kind>.+)", "tokens"),  # APISIX
    _Family(r"(?:x-)?ratelimit-(?P<what>limit|remaining|reset|renewalperiod)(?:-(?P<kind>.+))?", "requests"),
    _Family(r"x-(?P<kind>(?:trial-)?endpoint-(?:monthly-)?call)-(?P<what>limit|remaining)"),  # Cohere
    _Family(r"x-(?P<kind>.+-credits)-(?P<what>balance)", snake=True),
    _Family(
        r"x-(?P<kind>.+-(?:primary|secondary))-(?P<what>used-percent|window-minutes|reset-at|reset-after-seconds)",
        snake=True,
    ),
)
_MEANS = {
    "balance": "remaining", "reset-at": "reset", "reset-after-seconds": "reset", "utilization": "used-percent",
}  # fmt: skip
_RESETS = frozenset({"reset", "reset-at"})
_MAX_NAME = 200
_STRUCTURED = ("ratelimit", "ratelimit-policy")
_STRUCTURED_WORDS = {
    "r": "remaining", "remaining": "remaining", "t": "reset", "reset": "reset", "q": "limit", "limit": "limit",
    "w": "window-seconds",
}  # fmt: skip
_MAY_BE_LIMITS = re.compile(r"ratelimit|tokenlimit|call-|-credits-|-primary-|-secondary-")


def lower_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Headers under their lower-case names; header names have no case."""
    return {name.lower(): value for name, value in headers.items()} if headers else {}


def server_time(headers: Mapping[str, str]) -> float | None:
    """The unix time of the `date` header, or None."""
    return _http_date(headers.get("date", ""))


@lru_cache(maxsize=64)  # most are told again and again
def duration_s(text: str) -> float | None:
    """Seconds of a Go-style duration: `6ms`, `1s`, `6m30s`, `1h30m` (behaviours.md S0-89), or None.

    A number without a unit is none: what it means is the header's business, not the number's.
    """
    if not _DURATION.fullmatch(text.strip()):
        return None
    return sum(float(number) * _unit_s(unit) for number, unit in _RUN_ON_PART.findall(text))


def retry_after_s(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """What `retry-after-ms` or `Retry-After` (integer, fraction, HTTP date) asks for, uncapped; None if neither does.

    `headers` have lower-case names. A zero `retry-after-ms` beside a `Retry-After` is what Azure sends when it rounds
    down (recorded): the header with the coarser unit wins then. A date in the past asks for nothing.
    """
    millis = _number(headers.get("retry-after-ms", ""))
    if millis is not None and millis > 0:
        return millis / 1000
    text = headers.get("retry-after", "").strip()
    if not text:
        return None if millis is None else millis / 1000
    seconds = _number(text)
    if seconds is not None:
        return seconds
    if (duration := duration_s(text)) is not None:
        return duration
    return _until(_http_date(text), _now(headers, now))


def retry_hint_s(message: str) -> float | None:
    """The wait a message asks for in words: "try again in 1.898s", "28ms", "35 seconds", "2m5s", or None."""
    found = _HINT.search(message)
    if found is None:
        return None
    text = found.group(1)
    # "2m5s" has no word boundary inside, "2 minutes and 5 seconds" has: two spellings of one list of parts.
    parts = _RUN_ON_PART.findall(text) if _DURATION.fullmatch(text.strip(" ,")) else _PART.findall(text)
    return sum(float(number) * _unit_s(unit) for number, unit in parts)


def rate_limits(headers: Mapping[str, str], *, now: float | None = None) -> RateLimits | None:
    """The limits an answer's headers report, or None where they report none.

    Families (`_FAMILIES`; providers.md 3d, codex.md 1.5): `x-ratelimit-{limit,remaining,reset}[-kind]` with any kind
    (`requests`, `tokens`, `tokens-minute` …; without one it is `requests`), also without `x-`; the same words behind
    `anthropic-ratelimit-{kind}-`, with `utilization` and `status` of a plan; tokens under names of their own (Mistral,
    Together, APISIX); `x-{name}-{primary,secondary}-{used-percent,…}` and credits of Codex, where a window whose values
    are all zero is none; and the structured `RateLimit` of the IETF's drafts. Windows come in the order of their first
    header. What does not parse is left out.
    """

    def at() -> float | None:  # asked only where a header tells a time of day
        return _now(lower_headers(headers), now)

    found: dict[str, dict[str, float]] = {}
    for name, value in headers.items():
        if len(name) > _MAX_NAME or (named := _named(name)) is None:
            continue
        kind, what = named
        if what in _STRUCTURED:
            for kind, what, number in _structured(value):
                found.setdefault(kind, {}).setdefault(what, number)
            continue
        said = _reset_after(value, at) if what in _RESETS else _value(what, value)
        if said is not None and not (what == "status" and kind.endswith("overage")):  # paid use beyond the plan
            found.setdefault(kind, {}).setdefault(_MEANS.get(what, what), said)
    windows = tuple(_window(kind, values) for kind, values in found.items() if _says_something(values))
    return RateLimits(windows) if windows else None


def encode_rate_limits(limits: RateLimits, wire: WireName, *, now: float) -> dict[str, str]:
    """The headers a server of this wire says them with, for windows of plain counts; `now` is a unix time.

    OpenAI's `x-ratelimit-{limit,remaining,reset}-{kind}` has the reset as a duration (`6m0s`), Anthropic's
    `anthropic-ratelimit-{kind}-{limit,remaining,reset}` as a time of day, in whole seconds (behaviours.md S0-89).
    """
    headers: dict[str, str] = {}
    for window in limits.windows:
        if not _PLAIN_KIND.fullmatch(window.kind):
            continue
        counts = {"limit": window.limit, "remaining": window.remaining}
        said = {what: str(int(number)) for what, number in counts.items() if number is not None and number < _MAX_COUNT}
        if said and window.reset_after_s is not None:
            after_s = min(window.reset_after_s, _MAX_RESET_S)
            said["reset"] = _iso(now + after_s) if wire == "messages" else _duration(after_s)
        for what, text in said.items():
            name = (
                f"anthropic-ratelimit-{window.kind}-{what}"
                if wire == "messages"
                else f"x-ratelimit-{what}-{window.kind}"
            )
            headers[name] = text
    return headers


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(after_s: float) -> str:
    """As Go writes it: `20ms`, `1.5s`, `6m30s`, `1h0m0s`."""
    millis = round(after_s * 1000)
    if millis < 1000:
        return f"{millis}ms" if millis else "0s"
    minutes, left = divmod(millis, 60_000)
    seconds = f"{left / 1000:g}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}" if minutes else seconds


@lru_cache(maxsize=512)  # a server sends the same thirty with every answer
def _named(header: str) -> tuple[str, str] | None:
    """The kind of window that a header's name tells of, and what of it; of a structured one its value tells both."""
    name = header.lower()
    if not _MAY_BE_LIMITS.search(name):
        return None
    if name in _STRUCTURED:
        return "", name
    for family in _FAMILIES:
        if (match := re.fullmatch(family.name, name)) is None:
            continue
        kind = match["kind"] or family.unnamed
        if family.unnamed == "tokens" and "token" not in kind:
            kind = f"tokens-{kind}"
        return kind.replace("-", "_") if family.snake else kind, match["what"]
    return None


def _value(what: str, value: str) -> float | None:
    if what == "status":
        return 1.0 if value.strip().lower() == "rejected" else None
    number = _number(value)
    if what == "limit" and number is None:  # "100, 100;w=60" of early drafts: the first is the one in force
        return _number(value.partition(",")[0].partition(";")[0])
    return 100 * number if what == "utilization" and number is not None else number  # a share of 1


def _structured(value: str) -> Iterator[tuple[str, str, float]]:
    """`"default";r=50;t=30`, `"default";q=100;w=60` and `limit=100, remaining=50, reset=5` of the IETF's drafts."""
    for entry in value.split(",")[:20]:
        kind = "requests"
        for word in entry.split(";"):
            name, _, text = word.strip().partition("=")
            number = _number(text)
            if name.startswith('"'):
                kind = name.strip('"') or kind
            elif name in _STRUCTURED_WORDS and number is not None:
                yield kind, _STRUCTURED_WORDS[name], number


def _window(kind: str, values: Mapping[str, float]) -> RateLimitWindow:
    minutes = values.get("window-minutes")
    return RateLimitWindow(
        kind,
        limit=values.get("limit"),
        remaining=values.get("remaining"),
        reset_after_s=values.get("reset"),
        used_percent=values.get("used-percent", 100.0 if "status" in values else None),
        window_s=60 * minutes if minutes else values.get("window-seconds", values.get("renewalperiod")),
    )


def _says_something(values: Mapping[str, float]) -> bool:
    if "limit" in values or "remaining" in values:
        return True
    return any(values.values())


def _unit_s(unit: str) -> float:
    unit = unit.lower()
    return _UNITS_S[unit] if unit in _UNITS_S else _UNITS_S[unit.removesuffix("s")]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _reset_after(text: str, now: Callable[[], float | None]) -> float | None:
    """A reset as seconds, a duration, a unix time in s or ms, or an ISO time."""
    if text[-1:].isalpha() and (duration := duration_s(text)) is not None:  # what most servers send
        return duration
    number = _number(text)
    if number is not None:
        if number < _EPOCH_S:
            return number
        return _until(number / 1000 if number >= _EPOCH_MS else number, now(), past=0.0)
    if (duration := duration_s(text)) is not None:
        return duration
    return _until(_iso_time(text), now(), past=0.0)


def _until(moment: float | None, now: float | None, *, past: float | None = None) -> float | None:
    if moment is None or now is None:
        return None
    return moment - now if moment > now else past


def _now(headers: Mapping[str, str], now: float | None) -> float | None:
    return server_time(headers) if now is None else now


@lru_cache(maxsize=32)  # several resets of one answer
def _http_date(text: str) -> float | None:
    if not text:
        return None
    from email.utils import parsedate_to_datetime  # loads sockets and more: only for answers that carry a date

    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _iso_time(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
