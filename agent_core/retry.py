"""When a failure is tried again, and after how long. Waits and stops are tenacity's; what is worth it is decided here.

One policy for the two things that fail. A request that brings no content (`stage` "request") is retried unseen by the
client: retries wrap opening, never consuming. A stream that breaks after something was shown ("stream") is sampled
again by the loop, which tells its watcher to drop what it saw. `Tries` is what one sample has cost in both, so their
counts add up instead of multiplying (behaviours.md W-S1-20) and share one budget of time.

Never retried: a quota, a key, a prompt that is too long, a policy, and any 4xx but 408, 409, 425 and 429
(W-S1-09, W-S1-20; codex.md 3.6).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import TYPE_CHECKING, Literal, TypeVar

from .errors import (
    ConfigError,
    ModelError,
    OverloadedError,
    RateLimitError,
    ServerError,
    StreamError,
    TransportError,
)

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["FellBack", "GaveUp", "RetryPolicy", "RetryScheduled", "RetryStage", "Tries", "with_retries"]

GaveUp = Literal["attempts", "budget", "retry_after"]
"""Why an error that could be retried is not: attempts or budget used up, or the server asks for too long a wait."""

RetryStage = Literal["request", "stream"]

_RETRIED_4XX = frozenset({408, 409, 425, 429})
_MOST = 100  # tries of one kind, as Codex caps them (codex.md 3.7)

_Opened = TypeVar("_Opened")


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """A failure, and what comes of it. With `will_retry` the next try begins in `delay_s` seconds; otherwise `gave_up`
    says why not, and the error is raised.

    `attempt` counts the failures of this `stage` in this sample, and the one that makes it `max_attempts` is the last.
    `reason` is the error's own word, `model` whose failure it was.
    """

    attempt: int
    delay_s: float
    reason: str
    will_retry: bool
    gave_up: GaveUp | None = None
    max_attempts: int = 0
    stage: RetryStage = "request"
    model: str = ""
    error: ModelError = field(default_factory=lambda: ModelError(""), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FellBack:
    """The model `failed` gave no answer, for `reason`, and `model` is asked in its place: with the same history, in
    this sample and in the rest of the turn. `resting` is no error's word: it failed in an earlier turn."""

    failed: str
    model: str
    reason: str
    error: ModelError = field(default_factory=lambda: ModelError(""), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, how long, how patiently. `RetryPolicy(max_attempts=1, max_restarts=0)` never tries again.

    `max_attempts` counts the requests of one sample that may fail before they bring content, the first included;
    `max_restarts` how often it may be sampled again because its stream broke (5 and 5 are Codex's: codex.md 3.7), so a
    sample costs at most the sum of both. `budget_s` bounds the time without an answer coming, attempts and waits of
    both, up to the start of the last try: one that ran into a timer of that length is not repeated, and a stream that
    broke after half an hour of work is.

    The n-th wait is `base_delay_s` doubled n-1 times, at most `max_delay_s`, plus up to `jitter_s`. A wait the server
    asks for replaces it (never shortened); a longer one than `retry_after_cap_s` is not waited for at all (120 s is
    what OpenAI's SDK accepts: providers.md 3d). `on`: the classes of errors worth a try, where they are `retryable`.
    """

    max_attempts: int = 5
    max_restarts: int = 5
    budget_s: float | None = 300.0
    base_delay_s: float = 0.5
    max_delay_s: float = 30.0
    jitter_s: float = 0.5
    retry_after_cap_s: float = 120.0
    on: tuple[type[ModelError], ...] = (TransportError, StreamError, RateLimitError, OverloadedError, ServerError)

    def __post_init__(self) -> None:
        for name, least in (("max_attempts", 1), ("max_restarts", 0)):
            count: object = getattr(self, name)
            if not isinstance(count, int) or isinstance(count, bool) or not least <= count <= _MOST:
                raise ConfigError(f"{name} must be a whole number between {least} and {_MOST}, got {count!r}")
        for entry in fields(self):
            if not entry.name.endswith("_s") or (entry.name == "budget_s" and self.budget_s is None):
                continue
            seconds: object = getattr(self, entry.name)
            if not isinstance(seconds, int | float) or not isfinite(seconds) or seconds < 0:
                raise ConfigError(f"{entry.name} must be a number of seconds, got {seconds!r}")
        on: object = self.on
        if not isinstance(on, tuple) or not all(isinstance(kind, type) and issubclass(kind, ModelError) for kind in on):
            raise ConfigError(f"on must be a tuple of ModelError classes, got {on!r:.100}")

    def retries(self, error: ModelError) -> bool:
        """Whether this kind of failure is worth another try at all."""
        if not (error.retryable and isinstance(error, self.on)):
            return False
        return error.status is None or error.status in _RETRIED_4XX or error.status >= 500

    def delay_s(self, attempt: int, error: ModelError) -> float:
        """How long to wait after the failure of the attempt of that number (1 is the first)."""
        from tenacity import wait_exponential_jitter, wait_random

        state = _state(attempt)
        if error.retry_after_s is not None:
            return min(error.retry_after_s, self.retry_after_cap_s) + wait_random(0, self.jitter_s)(state)
        wait = wait_exponential_jitter(multiplier=self.base_delay_s, max=self.max_delay_s, jitter=self.jitter_s)
        return wait(state)

    def after(
        self, attempt: int, error: ModelError, *, elapsed_s: float, stage: RetryStage = "request", model: str = ""
    ) -> RetryScheduled:
        """What happens after the failure of that number in its stage, when `elapsed_s` of the budget are gone."""
        delay_s = self.delay_s(attempt, error)
        most = self.max_attempts if stage == "request" else self.max_restarts + 1
        gave_up = self._gives_up(attempt, most, error, elapsed_s, delay_s)
        return RetryScheduled(
            attempt,
            0.0 if gave_up else delay_s,
            error.reason,
            will_retry=gave_up is None,
            gave_up=gave_up,
            max_attempts=most,
            stage=stage,
            model=model,
            error=error,
        )

    def _gives_up(self, attempt: int, most: int, error: ModelError, elapsed_s: float, delay_s: float) -> GaveUp | None:
        from tenacity import stop_after_attempt, stop_before_delay

        state = _state(attempt, elapsed_s=elapsed_s, delay_s=delay_s)
        if stop_after_attempt(most)(state):
            return "attempts"
        if error.retry_after_s is not None and error.retry_after_s > self.retry_after_cap_s:
            return "retry_after"
        if self.budget_s is not None and stop_before_delay(self.budget_s)(state):
            return "budget"
        return None


class Tries:
    """What one sample has cost so far. A client counts the requests of it that failed, the loop the streams of it that
    broke; whoever made it hears of each by `observe`, which must not block. Not shared between samples.
    """

    __slots__ = ("failed", "observe", "restarts", "spent_s")

    def __init__(self, observe: Callable[[RetryScheduled], None] | None = None) -> None:
        self.observe = observe
        self.failed = 0
        self.restarts = 0
        self.spent_s = 0.0

    @property
    def attempt(self) -> int:
        """The number of the request that is under way or comes next, from 1."""
        return self.failed + self.restarts + 1

    def broke(self, error: ModelError, policy: RetryPolicy, *, model: str = "") -> RetryScheduled | None:
        """Note that the sample's stream broke; what comes of it, or None where its kind is not sampled again. A failure
        before any output is none of those: a client has spent its own retries on it."""
        if not (error.output_emitted and policy.retries(error)):
            return None
        self.restarts += 1
        scheduled = policy.after(self.restarts, error, elapsed_s=self.spent_s, stage="stream", model=model)
        self.spent_s += scheduled.delay_s
        _log(scheduled)
        return scheduled


async def with_retries(
    open_once: Callable[[int], Awaitable[_Opened]],
    policy: RetryPolicy,
    tries: Tries,
    *,
    observe: Callable[[RetryScheduled], None],
    sleep: Callable[[float], Awaitable[None]],
    clock: Callable[[], float],
    model: str = "",
) -> _Opened:
    """Await `open_once(number)` until one opens or the policy gives up; then the last error is raised.

    Each call must have closed what it opened before it raises. `observe` is told of every failure of a kind that is
    retried. The time it takes, waits included, is added to `tries`.
    """
    while True:
        attempt, began = tries.attempt, clock()
        try:
            return await open_once(attempt)
        except ModelError as error:
            error.attempt = attempt
            if not policy.retries(error):
                raise
            tries.failed += 1
            scheduled = policy.after(tries.failed, error, elapsed_s=tries.spent_s + clock() - began, model=model)
            _log(scheduled)
            observe(scheduled)
            if not scheduled.will_retry:
                raise
        finally:
            tries.spent_s += clock() - began
        await sleep(scheduled.delay_s)
        tries.spent_s += scheduled.delay_s


def _log(scheduled: RetryScheduled) -> None:
    from .logs import retry_scheduled  # with logging: not before there is something to say

    retry_scheduled(scheduled)


def _state(attempt: int, *, elapsed_s: float = 0.0, delay_s: float = 0.0) -> RetryCallState:
    """What tenacity's waits and stops look at, made by hand: they are pure functions of it."""
    from tenacity import AsyncRetrying, RetryCallState

    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = attempt
    state.start_time = 0.0
    state.outcome_timestamp = elapsed_s
    state.upcoming_sleep = delay_s
    return state
