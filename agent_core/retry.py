"""When a request is tried again, and after how long. Waits and stops are tenacity's; what is worth it is decided here.

Retries wrap opening, never consuming: from sending a request to its first content event. What breaks later is the
caller's to sample again, with its own count (`delay_s` says how long to wait). Never retried: a quota, a key, a prompt
that is too long, a policy, and any 4xx but 408, 409, 425 and 429 (behaviours.md W-S1-09, W-S1-20; codex.md 3.6).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from .errors import ConfigError, ModelError

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["GaveUp", "RetryPolicy", "RetryScheduled", "with_retries"]

GaveUp = Literal["attempts", "budget", "retry_after"]
"""Why an error that could be retried is not: attempts or budget used up, or the server asks for too long a wait."""

_RETRIED_4XX = frozenset({408, 409, 425, 429})

_Opened = TypeVar("_Opened")


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """Attempt number `attempt` failed. With `will_retry` the next begins in `delay_s` seconds; otherwise `gave_up` says
    why not, and the error is raised. `reason` is the error's own."""

    attempt: int
    delay_s: float
    reason: str
    will_retry: bool
    gave_up: GaveUp | None = None
    max_attempts: int = 0
    error: ModelError = field(default_factory=lambda: ModelError(""), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, how long, how patiently. `RetryPolicy(max_attempts=1)` never retries.

    `max_attempts` counts the first try. `budget_s` bounds the time from the first try to the start of the last one:
    an attempt that ran into a timer of that length is not repeated. The n-th wait is base_delay_s doubled n-1 times, at
    most `max_delay_s`, plus up to `jitter_s`. A wait the server asks for replaces it (never shortened); a longer one
    than `retry_after_cap_s` is not waited for at all (120 s is what OpenAI's SDK accepts: providers.md 3d).
    """

    max_attempts: int = 5
    budget_s: float | None = 300.0
    base_delay_s: float = 0.5
    max_delay_s: float = 30.0
    jitter_s: float = 0.5
    retry_after_cap_s: float = 120.0

    def __post_init__(self) -> None:
        if not 1 <= self.max_attempts <= 100:
            raise ConfigError(f"max_attempts must be between 1 and 100, got {self.max_attempts!r}")
        for name in ("base_delay_s", "max_delay_s", "jitter_s", "retry_after_cap_s"):
            if not 0 <= (value := getattr(self, name)) < float("inf"):
                raise ConfigError(f"{name} must be a number of seconds, got {value!r}")
        if self.budget_s is not None and self.budget_s < 0:
            raise ConfigError(f"budget_s must not be negative, got {self.budget_s!r}")

    def retries(self, error: ModelError) -> bool:
        """Whether this kind of failure is worth another try at all."""
        if not error.retryable:
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

    def after(self, attempt: int, error: ModelError, *, elapsed_s: float) -> RetryScheduled:
        """What happens after that failure, `elapsed_s` seconds after the first attempt began."""
        delay_s = self.delay_s(attempt, error)
        gave_up = self._gives_up(attempt, error, elapsed_s, delay_s)
        return RetryScheduled(
            attempt,
            0.0 if gave_up else delay_s,
            error.reason,
            will_retry=gave_up is None,
            gave_up=gave_up,
            max_attempts=self.max_attempts,
            error=error,
        )

    def _gives_up(self, attempt: int, error: ModelError, elapsed_s: float, delay_s: float) -> GaveUp | None:
        from tenacity import stop_after_attempt, stop_before_delay

        state = _state(attempt, elapsed_s=elapsed_s, delay_s=delay_s)
        if stop_after_attempt(self.max_attempts)(state):
            return "attempts"
        if error.retry_after_s is not None and error.retry_after_s > self.retry_after_cap_s:
            return "retry_after"
        if self.budget_s is not None and stop_before_delay(self.budget_s)(state):
            return "budget"
        return None


async def with_retries(
    open_once: Callable[[int], Awaitable[_Opened]],
    policy: RetryPolicy,
    *,
    observe: Callable[[RetryScheduled], None] | None,
    sleep: Callable[[float], Awaitable[None]],
    clock: Callable[[], float],
) -> _Opened:
    """Await `open_once(1)`, `open_once(2)` … until one opens or the policy gives up; then the last error is raised.

    Each call must have closed what it opened before it raises. `observe` is told of every failure of a kind that is
    retried.
    """
    started = clock()
    attempt = 1
    while True:
        try:
            return await open_once(attempt)
        except ModelError as error:
            error.attempt = attempt
            if not policy.retries(error):
                raise
            scheduled = policy.after(attempt, error, elapsed_s=clock() - started)
            if observe is not None:
                observe(scheduled)
            if not scheduled.will_retry:
                raise
        await sleep(scheduled.delay_s)
        attempt += 1


def _state(attempt: int, *, elapsed_s: float = 0.0, delay_s: float = 0.0) -> RetryCallState:
    """What tenacity's waits and stops look at, made by hand: they are pure functions of it."""
    from tenacity import AsyncRetrying, RetryCallState

    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = attempt
    state.start_time = 0.0
    state.outcome_timestamp = elapsed_s
    state.upcoming_sleep = delay_s
    return state
