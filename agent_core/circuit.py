"""A circuit: a server that keeps failing is left alone for a while, then asked by one request before all others.

    closed ──(so many failures in a row)──► open ──(its time is over)──► half open: one trial
       ▲                                     ▲                              │ fails: open, for twice as long
       └─────────────────────────────────────┴──────────────────────────────┘ answers: closed

Failures are what says that the server is in trouble: no connection, no answer in time, 5xx, overload, a stream that
breaks. A refusal (4xx, a quota, a rate limit) is an answer. The circuit belongs to one event loop; share it between all
clients of one server.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from math import inf, isfinite
from typing import Literal

import anyio

from .errors import (
    CircuitOpen,
    ConfigError,
    HeldBack,
    ModelError,
    OverloadedError,
    ServerError,
    StreamError,
    TransportError,
    TransportTimeout,
)

__all__ = ["Circuit"]

_TROUBLE = (TransportError, StreamError, OverloadedError, ServerError)
_TRIAL_S = 1.0
"""When those who find a trial under way may look again."""


class Circuit:
    """`failures`: how many in a row open it. `cooldown_s`: how long it stays open, doubled after every trial that
    fails, up to `max_cooldown_s`."""

    def __init__(self, *, failures: int = 5, cooldown_s: float = 30.0, max_cooldown_s: float = 300.0) -> None:
        given: object = failures
        if not isinstance(given, int) or isinstance(given, bool) or given < 1:
            raise ConfigError(f"failures must be a whole number from 1 up, got {given!r}")
        for name, seconds in (("cooldown_s", cooldown_s), ("max_cooldown_s", max_cooldown_s)):
            value: object = seconds
            if not isinstance(value, int | float) or not isfinite(value) or value <= 0:
                raise ConfigError(f"{name} must be a positive number of seconds, got {value!r}")
        self.failures = failures
        self.cooldown_s = cooldown_s
        self.max_cooldown_s = max(cooldown_s, max_cooldown_s)
        self._unopened = 0  # requests in a row that brought no content
        self._broken = 0  # streams in a row that broke
        self._last = ""
        self._opened = 0  # how often it was opened since it was closed
        self._until = -inf
        self._trial = False

    def __repr__(self) -> str:
        return f"Circuit({self.state}, failures={max(self._unopened, self._broken)} of {self.failures})"

    @property
    def state(self) -> Literal["closed", "open", "half_open"]:
        if not self._opened:
            return "closed"
        return "open" if anyio.current_time() < self._until else "half_open"

    @property
    def wait_s(self) -> float:
        """How long until it may let a request through; 0 for now."""
        if not self._opened:
            return 0.0
        wait_s = self._until - anyio.current_time()
        return max(wait_s, _TRIAL_S) if wait_s > 0 or self._trial else 0.0

    def check(self) -> None:
        """Raises CircuitOpen where a request would not be let through now."""
        if (wait_s := self.wait_s) > 0:
            times = max(self._unopened, self._broken)
            raise CircuitOpen(
                f"the server failed {times} times in a row, last with {self._last}; it is left alone for"
                f" {wait_s:.1f} s more",
                retry_after_s=wait_s,
            )

    @contextmanager
    def request(self, *, insist: bool = False) -> Generator[None]:
        """Around one request, up to its first content: leaving it well is an answer, a ModelError is judged, and being
        cancelled says nothing. Raises CircuitOpen. `insist`: it goes all the same, and is no trial while it is open."""
        if not insist:
            self.check()
        trial = self.state == "half_open" and not self._trial
        if trial:
            self._trial = True
        try:
            yield
        except ModelError as error:
            self.failed(error)
            raise
        else:
            self._answered()
        finally:
            if trial:
                self._trial = False

    def completed(self) -> None:
        """An answer came to its end."""
        self._broken = 0
        self._answered()

    def broke(self, error: ModelError) -> None:
        """A stream broke after it had brought content."""
        if _is_trouble(error):
            self._broken += 1
            self._note(error, self._broken)

    def failed(self, error: ModelError) -> None:
        """A request brought no content."""
        if _is_trouble(error):
            self._unopened += 1
            self._note(error, self._unopened)
        elif not isinstance(error, HeldBack | TransportTimeout):
            self._answered()

    def _answered(self) -> None:
        self._unopened = self._opened = 0

    def _note(self, error: ModelError, in_a_row: int) -> None:
        self._last = error.reason
        # While it is open, what was under way before may go on failing: that is no news. A trial's failure is.
        if self._trial or (in_a_row >= self.failures and not self._opened):
            self._until = anyio.current_time() + min(self.cooldown_s * 2**self._opened, self.max_cooldown_s)
            self._opened += 1


def _is_trouble(error: ModelError) -> bool:
    """Whether the server is to blame. `total` is the caller's own patience."""
    if isinstance(error, TransportTimeout) and error.timeout == "total":
        return False
    return isinstance(error, _TROUBLE)
