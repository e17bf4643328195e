"""When a failure is tried again, and after how long. No time passes here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent_core.errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    ContentFilterError,
    ContextLengthError,
    EventTooLarge,
    InvalidRequestError,
    MalformedStream,
    ModelError,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterrupted,
    TransportError,
    TransportTimeout,
    UsageLimitError,
)
from agent_core.retry import GaveUp, RetryPolicy, RetryScheduled, with_retries

EXACT = RetryPolicy(jitter_s=0.0)


@pytest.mark.parametrize(
    ("error", "retried"),
    [
        (TransportError("x", kind="refused"), True),
        (TransportError("x", kind="reset"), True),
        (TransportError("x", kind="tls", retryable=False), False),
        (TransportTimeout("x", timeout="connect", after_s=1), True),
        (TransportTimeout("x", timeout="first_event", after_s=1), True),
        (TransportTimeout("x", timeout="total", after_s=1), False),
        (StreamInterrupted("x"), True),
        (MalformedStream("x"), False),
        (EventTooLarge("x"), False),
        (ServerError("x", status=408), True),
        (ServerError("x", status=409), True),
        (ServerError("x", status=425), True),
        (RateLimitError("x", status=429), True),
        (ServerError("x", status=500), True),
        (OverloadedError("x", status=503), True),
        (OverloadedError("x", status=529), True),
        (ServerError("x", status=599), True),
        (OverloadedError("x", status=None, in_stream=True), True),
        (ServerError("x", status=500, retryable=False), False),
        (InvalidRequestError("tool_use_failed", status=400, retryable=True), False),
        (QuotaExceededError("x", status=429), False),
        (UsageLimitError("x", status=429), False),
        (AuthenticationError("x", status=401), False),
        (ContextLengthError("x", status=400), False),
        (ContentFilterError("x", status=400), False),
        (ApiError("x", status=404), False),
        (ModelError("x"), False),
    ],
)
def test_t_p2_what_is_retried(error: ModelError, retried: bool) -> None:
    """T-P2, W-S1-20: 408, 409, 425, 429 and 5xx, and the network; never another 4xx, a quota, a key or a policy."""
    assert RetryPolicy().retries(error) is retried


@pytest.mark.parametrize(
    ("attempt", "asked_s", "delay_s"),
    [(1, None, 0.5), (2, None, 1.0), (3, None, 2.0), (4, None, 4.0), (9, None, 30.0), (5000, None, 30.0), (1, 7.0, 7.0),
     (4, 0.0, 0.0), (1, 99999.0, 120.0)],
)  # fmt: skip
def test_t_p3_waits(attempt: int, asked_s: float | None, delay_s: float) -> None:
    """T-P3: doubling up to a ceiling; what the server asks for replaces it, up to the cap."""
    assert EXACT.delay_s(attempt, RateLimitError("x", retry_after_s=asked_s)) == delay_s


def test_jitter_never_shortens_what_was_asked() -> None:
    """Clients told to wait 3 s come back at different times, none before."""
    waits = {RetryPolicy(jitter_s=1.0).delay_s(1, RateLimitError("x", retry_after_s=3.0)) for _ in range(50)}
    assert all(3.0 <= wait <= 4.0 for wait in waits) and len(waits) > 1


@pytest.mark.parametrize(
    ("policy", "attempt", "asked_s", "elapsed_s", "gave_up"),
    [
        (EXACT, 1, None, 0.0, None),
        (EXACT, 4, None, 10.0, None),
        (EXACT, 5, None, 0.0, "attempts"),
        (RetryPolicy(max_attempts=1), 1, None, 0.0, "attempts"),
        (EXACT, 1, 120.0, 0.0, None),
        (EXACT, 1, 120.5, 0.0, "retry_after"),
        (EXACT, 1, None, 300.0, "budget"),
        (EXACT, 1, 60.0, 250.0, "budget"),
        (replace(EXACT, budget_s=None), 1, None, 1e9, None),
        (replace(EXACT, budget_s=0.0), 1, None, 0.0, "budget"),
    ],
)
def test_when_it_gives_up(
    policy: RetryPolicy, attempt: int, asked_s: float | None, elapsed_s: float, gave_up: GaveUp | None
) -> None:
    """Attempts, the wait a server asks for, and the time budget each end it, and say so."""
    after = policy.after(attempt, RateLimitError("x", retry_after_s=asked_s), elapsed_s=elapsed_s)
    assert (after.will_retry, after.gave_up) == (gave_up is None, gave_up)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RateLimitError("x"), "rate_limited"),
        (OverloadedError("x"), "overloaded"),
        (ServerError("x"), "server_error"),
        (TransportError("x", kind="dns"), "transport_dns"),
        (TransportTimeout("x", timeout="idle", after_s=1), "timeout_idle"),
        (StreamInterrupted("x"), "stream_interrupted"),
    ],
)
def test_reasons(error: ModelError, reason: str) -> None:
    """One word a machine can branch on."""
    assert EXACT.after(1, error, elapsed_s=0.0).reason == reason


class Scripted:
    """Fails with these errors in turn, then opens; keeps what was waited and a clock that the waits move."""

    def __init__(self, *errors: ModelError) -> None:
        self.errors = list(errors)
        self.attempts: list[int] = []
        self.now = 0.0

    async def open(self, attempt: int) -> str:
        self.attempts.append(attempt)
        if self.errors:
            raise self.errors.pop(0)
        return f"opened at {self.now:g}"

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now


@pytest.mark.anyio
async def test_retries_until_it_opens() -> None:
    """Attempts are numbered from 1, waits add up, the observer sees each failure."""
    run, told = Scripted(ServerError("x"), RateLimitError("x", retry_after_s=7.0)), list[RetryScheduled]()
    opened = await with_retries(run.open, EXACT, observe=told.append, sleep=run.sleep, clock=run.clock)
    assert (opened, run.attempts) == ("opened at 7.5", [1, 2, 3])
    assert [(one.attempt, one.delay_s, one.will_retry) for one in told] == [(1, 0.5, True), (2, 7.0, True)]


@pytest.mark.anyio
async def test_the_budget_ends_it() -> None:
    """Waits count against the budget; the last error is raised as it is, numbered."""
    run = Scripted(*(RateLimitError(f"no {n}", retry_after_s=100.0) for n in range(1, 9)))
    with pytest.raises(RateLimitError, match="no 3") as caught:
        await with_retries(run.open, EXACT, observe=None, sleep=run.sleep, clock=run.clock)
    assert (caught.value.attempt, caught.value.retry_after_s, run.now) == (3, 100.0, 200.0)


@pytest.mark.anyio
async def test_what_is_not_retried_is_not_announced() -> None:
    """A bad key is raised at once and no observer hears of a retry."""
    run, told = Scripted(AuthenticationError("x", status=401)), list[RetryScheduled]()
    with pytest.raises(AuthenticationError):
        await with_retries(run.open, EXACT, observe=told.append, sleep=run.sleep, clock=run.clock)
    assert (told, run.attempts) == ([], [1])


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_attempts", 0), ("max_attempts", 101), ("jitter_s", -1.0), ("max_delay_s", float("inf")), ("budget_s", -1.0)],
)
def test_policies_that_make_no_sense(field: str, value: float) -> None:
    """Refused when they are made, naming the field."""
    with pytest.raises(ConfigError, match=field):
        RetryPolicy(**{field: value})  # type: ignore[arg-type]  # wrong on purpose
