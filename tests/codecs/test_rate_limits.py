"""Waits and limits a server announces, in every form that was seen or is documented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.codecs.rate_limits import duration_s, encode_rate_limits, rate_limits, retry_after_s, retry_hint_s
from agent_core.events import RateLimits, RateLimitWindow

from ..recordings import ROOT, needs_recordings, streams

NOON = "Fri, 20 Nov 2026 12:00:00 GMT"
NOON_UNIX = 1795176000.0
DATED = f"date: {NOON}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6ms", 0.006), ("1s", 1), ("2m", 120), ("1m30s", 90), ("1h", 3600), ("1h30m", 5400), ("6m30.5s", 390.5),
        ("0s", 0), ("", None), ("abc", None), ("123", None), ("1x", None), ("1s2", None), ("-1s", None),
    ],
)  # fmt: skip
def test_t_p5_durations(text: str, seconds: float | None) -> None:
    """T-P5: Go's durations parse, a bare number or a unit nobody knows does not."""
    assert duration_s(text) == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "2m5s"}, 125.0),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:35 GMT", "date": NOON}, 35.0),
        ({"retry-after": "Fri, 20 Nov 2026 11:59:00 GMT", "date": NOON}, None),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:35 GMT"}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "1500", "retry-after": "60"}, 1.5),
        ({"retry-after-ms": "0", "retry-after": "1"}, 1.0),
        ({"retry-after-ms": "0"}, 0.0),
        ({}, None),
    ],
)
def test_t_p4_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """T-P4: integer, fraction, date and milliseconds; a past date and garbage ask for nothing."""
    assert retry_after_s(headers) == seconds


def test_a_date_counts_from_the_now_that_is_given() -> None:
    """Without a date header the caller's clock serves."""
    assert retry_after_s({"retry-after": "Fri, 20 Nov 2026 12:00:35 GMT"}, now=NOON_UNIX) == 35.0


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached. Please try again in 11.054s. Visit …", 11.054),  # T-C3
        ("try again in 28ms", 0.028),  # T-C8
        ("Please try again in 1.898s.", 1.898),  # T-C9
        ("Try again in 35 seconds.", 35.0),  # T-C10
        ("Your requests have exceeded the rate limit. Please retry after 35 seconds.", 35.0),  # Azure
        ("try again in 2m5s", 125.0),
        ("Please try again in 6m0s.", 360.0),
        ("try again in 1h2m3s", 3723.0),
        ("retry after 2 minutes and 5 seconds", 125.0),
        ("Please retry in 35.1s.", 35.1),
        ("wait 5 minutes before the next request", 300.0),
        ("Please try again later.", None),
        ("retry your request after 3 attempts", None),
        ("Limit 30000, Used 28000, Requested 5000.", None),
        ("", None),
    ],
)
def test_hints_in_words(message: str, seconds: float | None) -> None:
    """T-C3, T-C8 to T-C10 and the minute and hour forms their origin could not read (S1-59)."""
    assert retry_hint_s(message) == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize(
    ("headers", "windows"),
    [
        (
            "X-RateLimit-Limit-Requests: 500; X-RateLimit-Remaining-Requests: 499; X-RateLimit-Reset-Requests: 120ms",
            (RateLimitWindow("requests", 500, 499, 0.12),),
        ),
        (
            "x-ratelimit-remaining-tokens-minute: 7; x-ratelimit-reset-tokens-minute: 33.5",
            (RateLimitWindow("tokens-minute", None, 7, 33.5),),
        ),
        (
            "ratelimit-limit: 400; ratelimit-remaining: 399; ratelimit-reset: 19",
            (RateLimitWindow("requests", 400, 399, 19),),
        ),
        (
            "anthropic-ratelimit-input-tokens-limit: 4000; anthropic-ratelimit-input-tokens-remaining: 0;"
            "anthropic-ratelimit-input-tokens-reset: 2026-11-20T12:00:51Z; " + DATED,
            (RateLimitWindow("input-tokens", 4000, 0, 51),),
        ),
        (
            "anthropic-ratelimit-requests-limit: 5; anthropic-ratelimit-requests-reset: 2026-11-20T12:00:51Z",
            (RateLimitWindow("requests", 5),),
        ),
        (
            "x-ratelimit-limit: 100; x-ratelimit-reset: 1795176060; " + DATED,
            (RateLimitWindow("requests", 100, None, 60),),
        ),
        (
            "x-ratelimit-limit: 100; x-ratelimit-reset: 1795176060000; " + DATED,
            (RateLimitWindow("requests", 100, None, 60),),
        ),
        (
            "x-codex-primary-used-percent: 12.5; x-codex-primary-window-minutes: 300;"
            "x-codex-primary-reset-at: 1795176060; " + DATED,
            (RateLimitWindow("codex_primary", None, None, 60, 12.5, 18000),),
        ),
        ("x-codex-secondary-used-percent: 0; x-codex-secondary-window-minutes: 0", ()),
        (
            "x-codex-other-limit-primary-used-percent: 5; x-codex-credits-has-credits: true;x-codex-credits-balance: 9",
            (RateLimitWindow("codex_other_limit_primary", used_percent=5), RateLimitWindow("codex_credits", None, 9)),
        ),
        (
            "anthropic-ratelimit-unified-5h-utilization: 0.42; anthropic-ratelimit-unified-5h-status: allowed;"
            "anthropic-ratelimit-unified-5h-reset: 1795176060; anthropic-ratelimit-unified-overage-status: rejected;"
            + DATED,
            (RateLimitWindow("unified-5h", reset_after_s=60, used_percent=42),),
        ),
        (
            "anthropic-ratelimit-unified-7d-status: rejected; anthropic-ratelimit-unified-7d-reset: 1795176060; "
            + DATED,
            (RateLimitWindow("unified-7d", reset_after_s=60, used_percent=100),),
        ),
        (
            "ratelimitbysize-limit: 500000; ratelimitbysize-remaining: 499900; ratelimitbysize-reset: 28;"
            "x-ratelimitbysize-remaining-month: 7",
            (RateLimitWindow("tokens", 500000, 499900, 28), RateLimitWindow("tokens-month", None, 7)),
        ),
        (
            "x-ratelimit-limit: 60; x-tokenlimit-limit: 9000; x-tokenlimit-remaining: 8000; x-ratelimit-reset: 1",
            (RateLimitWindow("requests", 60, None, 1), RateLimitWindow("tokens", 9000, 8000)),
        ),
        (
            "x-ai-ratelimit-limit-deepseek: 500; x-ai-ratelimit-remaining-deepseek: 400",
            (RateLimitWindow("tokens-deepseek", 500, 400),),
        ),
        (
            "x-ratelimit-limit-tokens-prompt: 9; x-ratelimit-remaining-tokens-cache-adjusted-prompt: 8",
            (RateLimitWindow("tokens-prompt", 9), RateLimitWindow("tokens-cache-adjusted-prompt", None, 8)),
        ),
        (
            "x-ratelimit-limit-tokens: 9; x-ratelimit-renewalperiod-tokens: 60",
            (RateLimitWindow("tokens", 9, window_s=60),),
        ),
        ("x-ratelimit-limit-requests-1h: 9", (RateLimitWindow("requests-1h", 9),)),
        (
            "x-trial-endpoint-call-limit: 40; x-trial-endpoint-call-remaining: 39",
            (RateLimitWindow("trial-endpoint-call", 40, 39),),
        ),
        ("x-ratelimit-abusepenalty-active: False; retry-after: 2", ()),
        ("x-ratelimit-limit-requests: many", ()),
    ],
)
def test_families_of_headers(headers: str, windows: tuple[RateLimitWindow, ...]) -> None:
    """One vocabulary for all families (providers.md 3d, codex.md 1.5); a reset that is unknown is left out."""
    lines = (line.partition(": ") for line in headers.split(";"))
    given = {name.strip(): value.strip() for name, _, value in lines}
    assert rate_limits(given) == (RateLimits(windows) if windows else None)


@pytest.mark.parametrize(
    ("headers", "windows"),
    [
        ({"ratelimit": "limit=100, remaining=50, reset=5"}, (RateLimitWindow("requests", 100, 50, 5),)),
        (
            {"RateLimit": '"api";r=50;t=30, "day";r=0;t=9', "RateLimit-Policy": '"api";q=100;w=60'},
            (RateLimitWindow("api", 100, 50, 30, window_s=60), RateLimitWindow("day", None, 0, 9)),
        ),
        ({"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "3"}, (RateLimitWindow("requests", 100, 3),)),
        ({"ratelimit": "soon"}, ()),
    ],
)
def test_structured_limits(headers: dict[str, str], windows: tuple[RateLimitWindow, ...]) -> None:
    """The three forms the IETF's drafts have had."""
    assert rate_limits(headers) == (RateLimits(windows) if windows else None)


@needs_recordings
def test_every_recorded_answer_with_limits_is_read() -> None:
    """All recorded headers that name a limit give windows, each with a limit or what remains of it."""
    read = 0
    for recording in [*streams("chat"), *streams("responses"), *streams("messages")]:
        headers = recording.meta.get("headers")
        assert isinstance(headers, dict)
        texts = {name: str(value) for name, value in headers.items()}
        told = [value for name, value in texts.items() if "ratelimit-remaining" in name or "ratelimit-limit" in name]
        if any(value.isdecimal() for value in told):  # some recordings have the values blanked
            limits = rate_limits(texts)
            assert limits is not None, recording
            assert all(w.limit is not None or w.remaining is not None for w in limits.windows), recording
            read += 1
    assert read > 50, ROOT


SAID = RateLimits((RateLimitWindow("requests", 100, 99, 1.0), RateLimitWindow("tokens", 9000, None, 90.5)))


def test_limits_are_said_in_either_vendors_words() -> None:
    """T-P5, S0-89: only what is known; a reset as a duration, or as a time of day without what is below a second."""
    assert encode_rate_limits(SAID, "chat", now=NOON_UNIX) == {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "99",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "9000",
        "x-ratelimit-reset-tokens": "1m30.5s",
    }
    assert encode_rate_limits(SAID, "messages", now=NOON_UNIX + 0.7) == {
        "anthropic-ratelimit-requests-limit": "100",
        "anthropic-ratelimit-requests-remaining": "99",
        "anthropic-ratelimit-requests-reset": "2026-11-20T12:00:01Z",
        "anthropic-ratelimit-tokens-limit": "9000",
        "anthropic-ratelimit-tokens-reset": "2026-11-20T12:01:31Z",
    }


@given(
    kind=st.sampled_from(["requests", "tokens", "input-tokens", "tokens-minute", "requests-1h"]),
    limit=st.integers(0, 10**12),
    remaining=st.none() | st.integers(0, 10**12),
    reset_ms=st.none() | st.integers(0, 10**9),
)
def test_what_was_said_is_read_again(kind: str, limit: int, remaining: int | None, reset_ms: int | None) -> None:
    """As durations to the millisecond, as times of day to the second."""
    limits = RateLimits((RateLimitWindow(kind, limit, remaining, None if reset_ms is None else reset_ms / 1000),))
    (read,) = (rate_limits(encode_rate_limits(limits, "chat", now=NOON_UNIX)) or limits).windows
    assert (read.kind, read.limit, read.remaining) == (kind, limit, remaining)
    assert (None if read.reset_after_s is None else round(read.reset_after_s * 1000)) == reset_ms
    whole = None if reset_ms is None else reset_ms // 1000
    expected = RateLimits((RateLimitWindow(kind, limit, remaining, whole),))
    assert rate_limits(encode_rate_limits(limits, "messages", now=NOON_UNIX), now=NOON_UNIX) == expected


@pytest.mark.parametrize("kind", ["unified-5h", "Default", "a\r\nx: y", "x" * 50, ""])
def test_what_is_no_plain_count_is_not_said(kind: str) -> None:
    """Shares of a plan, and names that would not fit a header."""
    windows = (RateLimitWindow(kind, used_percent=3.0), RateLimitWindow(kind + " ", 1, 1, 1))
    assert encode_rate_limits(RateLimits(windows), "chat", now=NOON_UNIX) == {}
