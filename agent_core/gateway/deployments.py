"""A deployment: one place that answers for a model, and what is known of it.

in flight   from when it is asked until the block of its answer is left, whatever the reason
limited     so many requests and tokens went there in a minute, so many are in flight, or the server itself says that
            nothing is left: it is passed over until there is room (limiter)
cooling     it failed too often in a row: it is left alone, then asked by one request before all others (circuit)
resting     its key or quota was refused, or it does not have the model: it is asked when nobody else is left
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal

import anyio
from msgspec import Struct

from ..admission import Admission
from ..circuit import Circuit
from ..client import EventStream, ModelClient
from ..codecs.rate_limits import rate_limits
from ..errors import (
    AuthenticationError,
    ConfigError,
    MissingKeyError,
    ModelError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
)
from ..events import Attempt
from ..fallback import FallbackPolicy
from ..limiter import RateLimiter
from ..prices import Price
from ..retry import RetryPolicy
from .asking import Answer, Ask, Bill
from .fitting import Fitted, fitted

__all__ = ["Deployment", "DeploymentHealth", "Health"]

Health = Literal["ready", "limited", "cooling", "resting"]

EWMA_ALPHA = 0.3
"""How much of a new measurement goes into the latency (behaviours.md S0-45)."""
LATENCY_HOLDS_S = 300.0
"""Then a measurement is forgotten: who was slow once would never be measured again."""

_UNFIT = (AuthenticationError, PermissionDeniedError, QuotaExceededError, ModelNotFoundError)
_RESTS = FallbackPolicy()


class DeploymentHealth(Struct, frozen=True):
    """A deployment as it is now. `model` is "provider/model"; `latency_s` the time to the first event, of late;
    `wait_s` how long until it may be asked, infinity for until another answer ends."""

    name: str
    model: str
    health: Health
    in_flight: int
    latency_s: float | None
    wait_s: float


class Deployment:
    """`model`: a client, or "provider/model" for one that tries once (the route tries again, elsewhere first). `name`:
    what it is called in answers and preferences, that of its model by default. `weight` is its share where requests
    are weighed, `price` what it costs where that is not listed. `requests_per_minute`, `tokens_per_minute` and
    `max_in_flight` bound what goes there, `adapt` whether what the server says of its limits does too; `circuit` says
    when it is left alone.

    One that stands in several routes is one deployment: its limits and its health are shared. Belongs to one event
    loop. Raises ConfigError for a model there is none of, or a number that is none.
    """

    def __init__(
        self,
        model: ModelClient | str,
        *,
        name: str = "",
        weight: int = 1,
        price: Price | None = None,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        max_in_flight: int | None = None,
        adapt: bool = True,
        circuit: Circuit | None = None,
    ) -> None:
        if isinstance(weight, bool) or weight < 1:
            raise ConfigError(f"weight must be a whole number from 1 up, got {weight!r}")
        self.client = ModelClient(model, retry=RetryPolicy(max_attempts=1)) if isinstance(model, str) else model
        self.name = name or self.client.model
        self.weight = weight
        self.price = price
        self.limiter = RateLimiter(
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            max_in_flight=max_in_flight,
            max_wait_s=0,
            adapt=adapt,
        )
        self.circuit = circuit or Circuit()
        self._latency_s: float | None = None
        self._measured_at = 0.0
        self._rests_until = 0.0

    def __repr__(self) -> str:
        return f"Deployment({self.name!r}, {self.client!r})"

    @property
    def in_flight(self) -> int:
        return self.limiter.in_flight

    @property
    def latency_s(self) -> float | None:
        """Seconds to the first event, newer answers counting more; None where none is known of late."""
        if self._latency_s is not None and anyio.current_time() - self._measured_at > LATENCY_HOLDS_S:
            self._latency_s = None
        return self._latency_s

    @property
    def resting(self) -> bool:
        return self._rests_until > anyio.current_time()

    def health(self) -> DeploymentHealth:
        limited_s, cooling_s = self.limiter.wait_s(), self.circuit.wait_s
        health: Health = "ready"
        if cooling_s > 0:
            health = "cooling"
        elif self.resting:
            health = "resting"
        elif limited_s > 0:
            health = "limited"
        wait_s = max(limited_s, cooling_s)
        return DeploymentHealth(self.name, self.client.model, health, self.in_flight, self.latency_s, wait_s)

    @asynccontextmanager
    async def answer(self, ask: Ask, *, tokens: int = 0, insist: bool = False) -> AsyncGenerator[Answer]:
        """Its answer; what it used is put on the bill, however it ends. `tokens`: about how many the prompt takes;
        `insist`: whether it is asked although it is cooling. Raises CircuitOpen, NotAdmitted, and what its client
        raises."""
        request = fitted(ask, self.client)
        async with self.limiter.admit(tokens) as place, AsyncExitStack() as stack:
            admission = Admission(self.limiter, place, self.circuit)
            events = await self._open(stack, request, admission, ask.bill, insist=insist)
            limits = rate_limits(events.headers)
            admission.heard(limits)
            losses = (*request.losses, *events.losses)
            try:
                said = request.said(events)
                yield Answer(said, self.client.model, deployment=self.name, losses=losses, limits=limits)
            finally:
                admission.ended(events.completed, events.error)
                end = events.completed or events.snapshot()
                if end.usage is not None:
                    ask.bill.add(self.client.model, end.usage)

    async def _open(
        self, stack: AsyncExitStack, request: Fitted, admission: Admission, bill: Bill, *, insist: bool
    ) -> EventStream:
        began = anyio.current_time()
        try:
            with admission.opening(insist=insist):
                opening = self.client.stream(request.prompt, keep=False, headers=request.headers)
                events = await stack.enter_async_context(opening)
        except ModelError as error:
            _bill(bill, error.earlier)
            if error.partial is not None and error.partial.usage is not None:
                bill.add(self.client.model, error.partial.usage)
            if isinstance(error, _UNFIT):
                self._rest(_RESTS.rests_s(error))
            raise
        except MissingKeyError:
            self._rest(_RESTS.rest_s)
            raise
        self._answered_after(anyio.current_time() - began)
        _bill(bill, events.earlier)
        return events

    def _rest(self, seconds: float) -> None:
        self._rests_until = anyio.current_time() + seconds

    def _answered_after(self, seconds: float) -> None:
        known = self.latency_s
        self._latency_s = seconds if known is None else known + EWMA_ALPHA * (seconds - known)
        self._measured_at = anyio.current_time()
        self._rests_until = 0.0


def _bill(bill: Bill, attempts: Sequence[Attempt]) -> None:
    """What attempts used that came before the one that opened, or that failed."""
    for attempt in attempts:
        if attempt.response.usage is not None:
            bill.add(attempt.model, attempt.response.usage)
