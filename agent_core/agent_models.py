"""The models an agent asks: opened for a turn, or for as long as the agent is kept open.

What outlives the connections is kept here: the bodies of requests written so far, by model, and which models rest after
a failure. A fallback that is named lives at its own provider with its own key; one of the agent's own provider shares
base URL, key and limiter with the agent's model.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from .errors import ConfigError
from .telemetry import Telemetry

if TYPE_CHECKING:
    import httpx2

    from .auth import ApiKey
    from .circuit import Circuit
    from .client import KeptBodies, ModelClient
    from .fallback import Fallback, FallbackPolicy, FallbackTurn, Rests
    from .limiter import RateLimiter
    from .providers import Provider
    from .retry import FellBack, RetryPolicy
    from .transport import Timeouts

__all__ = ["AgentModels", "Asked", "ModelOptions", "clients_of", "passed_over_by"]

Asked: TypeAlias = "ModelClient | FallbackTurn"
"""What one turn asks: the one model, or its way through several."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How an agent's models are reached. Checked when it is made, not when the first turn makes clients of it."""

    provider: Provider | None = None
    wire: str | None = None
    base_url: str | None = None
    api_key: ApiKey | None = field(default=None, repr=False)
    http: httpx2.AsyncClient | None = None
    retry: RetryPolicy | None = None
    timeouts: Timeouts | None = None
    limiter: RateLimiter | None = None
    circuit: Circuit | None = None
    fallbacks: Sequence[str | ModelClient] = ()
    fallback_policy: FallbackPolicy | None = None

    def __post_init__(self) -> None:
        given = (self.retry, self.timeouts, self.limiter, self.circuit, self.fallback_policy)
        if any(option is not None for option in given):
            self._check_kinds()
        fallbacks: object = self.fallbacks
        if isinstance(fallbacks, str) or not isinstance(fallbacks, Sequence):
            raise ConfigError(f"fallbacks must be a list, got {fallbacks!r:.100}", remedy="pass fallbacks=[…]")

    def _check_kinds(self) -> None:
        from .circuit import Circuit
        from .fallback import FallbackPolicy
        from .limiter import RateLimiter
        from .retry import RetryPolicy
        from .transport import Timeouts

        kinds: tuple[tuple[str, object, type], ...] = (
            ("retry", self.retry, RetryPolicy),
            ("timeouts", self.timeouts, Timeouts),
            ("limiter", self.limiter, RateLimiter),
            ("circuit", self.circuit, Circuit),
            ("fallback_policy", self.fallback_policy, FallbackPolicy),
        )
        for name, value, kind in kinds:
            if value is not None and not isinstance(value, kind):
                what = f"{name} must be a {kind.__name__}, got {value!r:.100}"
                raise ConfigError(what, remedy=f"use {kind.__name__}(…)")


class AgentModels:
    """The model `name`, or the caller's `client` (which may be a Fallback), and the fallbacks behind it."""

    def __init__(
        self, name: str, client: ModelClient | Fallback | None, options: ModelOptions, telemetry: Telemetry
    ) -> None:
        self._name = name
        self._given = client
        self._options = options
        self._telemetry = telemetry
        self._bodies: dict[str, KeptBodies] = {}
        self._rests: Rests | None = None
        self._rehearsal: Provider | None = None
        self._open: ModelClient | Fallback | None = None
        self._kept: AsyncExitStack | None = None
        if options.fallbacks and client is not None:
            _no_chain(client)

    async def asked(self, stack: AsyncExitStack) -> Asked:
        """What a turn asks from now on. What has to be opened for it lives as long as `stack`."""
        from .fallback import Fallback

        models = self._open or await self._opened(stack)
        return models.turn() if isinstance(models, Fallback) else models

    async def keep_open(self) -> None:
        """Open what turns would open, until `close`."""
        if self._open is None:
            async with AsyncExitStack() as stack:
                self._open = await self._opened(stack)
                self._kept = stack.pop_all()

    async def close(self) -> None:
        """Close what is kept open: turns open and close their own from now on. Idempotent."""
        kept, self._kept, self._open = self._kept, None, None
        if kept is not None:
            await kept.aclose()

    async def _opened(self, stack: AsyncExitStack) -> ModelClient | Fallback:
        options = self._options
        named = [entry for entry in (self._name, *options.fallbacks) if isinstance(entry, str)]
        if options.provider is None and options.base_url is None and any(map(_rehearsed, named)):
            from .testing import RehearsalServer

            self._rehearsal = (await stack.enter_async_context(RehearsalServer())).provider
        first = self._given or await self._client(self._name, stack)
        if not options.fallbacks:
            return first
        from .fallback import Fallback, Rests

        behind = [await self._client(one, stack) if isinstance(one, str) else one for one in options.fallbacks]
        self._rests = self._rests or Rests()
        return Fallback([_no_chain(first), *behind], policy=options.fallback_policy, rests=self._rests)

    async def _client(self, name: str, stack: AsyncExitStack) -> ModelClient:
        from .client import KeptBodies, ModelClient

        options, home = self._options, self._at_home(name)
        provider = options.provider if home else None
        client = ModelClient(
            name,
            provider=self._rehearsal if _rehearsed(name) and provider is None else provider,
            wire=options.wire if home else None,
            base_url=options.base_url if home else None,
            api_key=options.api_key if home else None,
            http=options.http,
            retry=options.retry,
            timeouts=options.timeouts,
            limiter=options.limiter if home else None,
            circuit=options.circuit if home else None,
            telemetry=self._telemetry,
            # What one turn wrote the next goes on with, over another client.
            kept=self._bodies.setdefault(name, KeptBodies()),
        )
        return await stack.enter_async_context(client)

    def _at_home(self, name: str) -> bool:
        """Whether a model is one of the agent's own provider."""
        provider = self._options.provider
        return name == self._name or _label(name) in (_label(self._name), provider.name if provider else None)


def clients_of(asked: Asked) -> tuple[ModelClient, ...]:
    """All models a turn may come to ask."""
    from .fallback import FallbackTurn

    return asked.models if isinstance(asked, FallbackTurn) else (asked,)


def passed_over_by(asked: Asked) -> FellBack | None:
    """That a turn does not begin with the model that is wanted, if so."""
    from .fallback import FallbackTurn

    return asked.passed_over if isinstance(asked, FallbackTurn) else None


def _no_chain(client: ModelClient | Fallback) -> ModelClient:
    from .fallback import Fallback

    if isinstance(client, Fallback):
        raise ConfigError("client= is a Fallback, which has its own", remedy="put all models into it")
    return client


def _rehearsed(name: str) -> bool:
    return name.startswith("rehearsal/")


def _label(name: str) -> str:
    label, slash, _ = name.partition("/")
    return label if slash else ""
