"""When a failure is tried again, and after how long. No time passes here."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from agent_core.errors import (
    ApiError,
    AuthenticationError,
    CircuitOpen,
    ConfigError,
    ContentFilterError,
    ContextLengthError,
    EventTooLarge,
    InvalidRequestError,
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
    UsageLimitError,
)
from agent_core.retry import GaveUp, RetryPolicy, RetryScheduled, Tries, with_retries

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
        (CircuitOpen("x"), False),
        (NotAdmitted("x"), False),
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


def unwatched(scheduled: RetryScheduled) -> None:
    """Nobody asked to be told."""


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

    async def opened(self, policy: RetryPolicy = EXACT, tries: Tries | None = None) -> str:
        tries = tries or Tries()
        return await with_retries(
            self.open, policy, tries, observe=tries.observe or unwatched, sleep=self.sleep, clock=self.clock
        )


@pytest.mark.anyio
async def test_retries_until_it_opens() -> None:
    """Attempts are numbered from 1, waits add up, the observer sees each failure."""
    run, told = Scripted(ServerError("x"), RateLimitError("x", retry_after_s=7.0)), list[RetryScheduled]()
    opened = await run.opened(tries=Tries(told.append))
    assert (opened, run.attempts) == ("opened at 7.5", [1, 2, 3])
    assert [(one.attempt, one.delay_s, one.will_retry) for one in told] == [(1, 0.5, True), (2, 7.0, True)]


@pytest.mark.anyio
async def test_a_wait_can_be_cancelled() -> None:
    """codex.md 8, cancel during wait: no further attempt is made."""
    run = Scripted(RateLimitError("x", retry_after_s=100.0))
    with anyio.move_on_after(0.01) as scope:
        await with_retries(run.open, EXACT, Tries(), observe=unwatched, sleep=anyio.sleep, clock=anyio.current_time)
    assert (scope.cancelled_caught, run.attempts) == (True, [1])


@pytest.mark.anyio
async def test_the_budget_ends_it() -> None:
    """Waits count against the budget; the last error is raised as it is, numbered."""
    run = Scripted(*(RateLimitError(f"no {n}", retry_after_s=100.0) for n in range(1, 9)))
    with pytest.raises(RateLimitError, match="no 3") as caught:
        await run.opened()
    assert (caught.value.attempt, caught.value.retry_after_s, run.now) == (3, 100.0, 200.0)


@pytest.mark.anyio
async def test_what_is_not_retried_is_not_announced() -> None:
    """A bad key is raised at once and no observer hears of a retry."""
    run, told = Scripted(AuthenticationError("x", status=401)), list[RetryScheduled]()
    with pytest.raises(AuthenticationError):
        await run.opened(tries=Tries(told.append))
    assert (told, run.attempts) == ([], [1])


def test_which_errors_is_the_callers_to_say() -> None:
    """`on` narrows what is retried; it cannot make a 400 worth a try."""
    only = RetryPolicy(on=(OverloadedError, InvalidRequestError))
    assert only.retries(OverloadedError("x"))
    assert not only.retries(ServerError("x", status=500))
    assert not only.retries(InvalidRequestError("x", status=400, retryable=True))


def broken(output: bool = True, **facts: float) -> StreamInterrupted:
    error = StreamInterrupted("cut")
    error.output_emitted = output
    error.retry_after_s = facts.get("retry_after_s")
    return error


@pytest.mark.anyio
async def test_requests_and_restarts_add_up() -> None:
    """W-S1-20: a sample costs at most the sum of both counts, however they alternate; its requests are numbered."""
    policy = RetryPolicy(max_attempts=3, max_restarts=2, jitter_s=0.0)
    run, tries = Scripted(*(ServerError(f"no {n}") for n in range(1, 9))), Tries()
    with pytest.raises(ServerError, match="no 3"):
        await run.opened(policy, tries)
    assert (run.attempts, tries.failed, tries.attempt) == ([1, 2, 3], 3, 4)

    run, tries = Scripted(), Tries()
    for _ in range(2):
        run.errors.append(ServerError("busy"))
        await run.opened(policy, tries)
        assert (again := tries.broke(broken(), policy)) is not None and again.will_retry
    run.errors.append(ServerError("busy"))
    with pytest.raises(ServerError):
        await run.opened(policy, tries)
    assert run.attempts == [1, 2, 3, 4, 5]
    assert (last := tries.broke(broken(), policy)) is not None and last.gave_up == "attempts"


@pytest.mark.anyio
async def test_one_budget_for_both_and_none_of_it_for_reading() -> None:
    """Attempts and waits of requests and restarts share it; the time an answer took to come and break is not in it."""
    policy = RetryPolicy(budget_s=100.0, jitter_s=0.0)
    run, tries = Scripted(RateLimitError("busy", retry_after_s=60.0)), Tries()
    await run.opened(policy, tries)
    run.now += 3600.0  # an hour of answer
    assert (again := tries.broke(broken(retry_after_s=30.0), policy)) is not None
    assert (again.will_retry, again.delay_s, tries.spent_s) == (True, 30.0, 90.0)
    run.errors.append(RateLimitError("busy", retry_after_s=20.0))
    with pytest.raises(RateLimitError):
        await run.opened(policy, tries)
    assert tries.spent_s == 90.0


@pytest.mark.parametrize(
    "error",
    [broken(output=False), MalformedStream("html"), ContextLengthError("long"), InvalidRequestError("x", status=400)],
)
def test_what_is_not_sampled_again(error: ModelError) -> None:
    """What came before any output is the client's; what will not change is nobody's."""
    if not isinstance(error, StreamInterrupted):
        error.output_emitted = True
    assert Tries().broke(error, EXACT) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_attempts", 0),
        ("max_attempts", 101),
        ("max_attempts", 2.5),
        ("max_attempts", "3"),
        ("max_attempts", True),
        ("max_restarts", -1),
        ("jitter_s", -1.0),
        ("jitter_s", "1"),
        ("max_delay_s", float("inf")),
        ("retry_after_cap_s", float("nan")),
        ("retry_after_cap_s", None),
        ("budget_s", -1.0),
        ("on", [RateLimitError]),
        ("on", (ValueError,)),
    ],
)
def test_policies_that_make_no_sense(field: str, value: object) -> None:
    """Refused when they are made, naming the field."""
    with pytest.raises(ConfigError, match=field):
        RetryPolicy(**{field: value})  # type: ignore[arg-type]  # wrong on purpose
