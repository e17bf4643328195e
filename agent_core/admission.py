"""What stands between a request and the network on this side: the caller's limiter and circuit, either or both.

Before each attempt the circuit is looked at, then the request stands in line, then the circuit judges the attempt up to
its first content. The place in the limiter is kept until the answer is left, however that happens, and given back with
what the answer took. Without limiter and circuit all of this does nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, nullcontext
from math import inf

import anyio

from .circuit import Circuit
from .errors import ModelError, TransportTimeout
from .events import Completed, RateLimits, Usage
from .limiter import Place, RateLimiter, request_tokens
from .prompt import Prompt
from .retry import Tries

__all__ = ["Admission", "Gates"]

_UNWATCHED = nullcontext()


class Gates:
    """The gates of one client. Both may be shared with others."""

    __slots__ = ("_circuit", "_limiter", "open")

    def __init__(self, limiter: RateLimiter | None, circuit: Circuit | None) -> None:
        self._limiter = limiter
        self._circuit = circuit
        self.open = Admission(None, None, None) if limiter is None and circuit is None else None
        """What every attempt gets where there is nothing to pass."""

    async def enter(self, prompt: Prompt, body: bytes, tries: Tries, total_by: float | None) -> Admission:
        """Stand in line for one attempt, which has to `leave`. Raises CircuitOpen, NotAdmitted, or TransportTimeout
        where the call's own time is up first. The wait is no part of the retries' budget."""
        if self._circuit is not None:
            self._circuit.check()
        if self._limiter is None:
            return Admission(None, None, self._circuit)
        tokens = request_tokens(prompt, body) if self._limiter.tokens_per_minute is not None else 0
        began = anyio.current_time()
        with anyio.CancelScope(deadline=inf if total_by is None else total_by):
            in_line = self._limiter.admit(tokens)
            place = await in_line.__aenter__()
            tries.spent_s -= place.waited_s
            return Admission(self._limiter, place, self._circuit, in_line)
        after_s = anyio.current_time() - began
        raise TransportTimeout(
            f"not admitted in the {after_s:.1f} s left of the call", timeout="total", after_s=after_s
        )


class Admission:
    """One attempt that was let through. Tell it how it goes. `in_line` is what its place is given back by."""

    __slots__ = ("_circuit", "_in_line", "_limiter", "_place")

    def __init__(
        self,
        limiter: RateLimiter | None,
        place: Place | None,
        circuit: Circuit | None,
        in_line: AbstractAsyncContextManager[Place] | None = None,
    ) -> None:
        self._in_line = in_line
        self._limiter = limiter
        self._place = place
        self._circuit = circuit

    @property
    def holds_place(self) -> bool:
        """Whether there is a place to `leave`."""
        return self._in_line is not None

    async def leave(self) -> None:
        """Give the place back."""
        if self._in_line is not None:
            await self._in_line.__aexit__(None, None, None)

    def opening(self, *, insist: bool = False) -> AbstractContextManager[None]:
        """Around the attempt up to its first content. `insist`: whatever the circuit says (circuit.Circuit.request)."""
        return _UNWATCHED if self._limiter is None and self._circuit is None else self._watched(insist)

    @contextmanager
    def _watched(self, insist: bool) -> Generator[None]:
        try:
            if self._circuit is None:
                yield
            else:
                with self._circuit.request(insist=insist):
                    yield
        except ModelError as error:
            self._used(None if error.partial is None else error.partial.usage)
            if self._limiter is not None:
                self._limiter.refused(error)
            raise

    def heard(self, limits: RateLimits | None) -> None:
        """The limits an answer's headers report."""
        if limits is not None and self._limiter is not None:
            self._limiter.heard(limits)

    def ended(self, end: Completed | None, error: ModelError | None) -> None:
        """How a stream ended. With neither it was left early: what it took is not known, and the estimate stands."""
        if error is not None:
            if self._circuit is not None:
                self._circuit.broke(error)
            if error.partial is not None and error.partial.usage is not None:
                self._used(error.partial.usage)
        elif end is not None:
            self.answered(end.usage)

    def answered(self, usage: Usage | None) -> None:
        """The answer is whole."""
        if self._circuit is not None:
            self._circuit.completed()
        if usage is not None:
            self._used(usage)

    def _used(self, usage: Usage | None) -> None:
        if self._limiter is not None and self._place is not None:
            self._limiter.used(self._place, usage)
