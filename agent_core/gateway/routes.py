"""A route: the deployments that answer for a model name, how one of them is chosen, and what happens when it fails."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import AuthenticationError, ConfigError, PermissionDeniedError
from ..fallback import FallbackPolicy
from ..prices import Prices
from ..retry import RetryPolicy
from .deployments import Deployment
from .strategies import Strategy, chooser

__all__ = ["ATTEMPTS", "POLICY", "Route", "patient"]

ATTEMPTS = 4
"""How often the whole way is gone, the first time included: three tries more, as the reference has them (S0-87)."""

WAITED_S = 10.0
"""The longest wait a server may ask for that is kept here, while the client hears nothing. A longer one is told to the
client: its SDK knows what to do, and who comes next is told the same."""

POLICY = FallbackPolicy(on=(*FallbackPolicy().on, AuthenticationError, PermissionDeniedError))
"""The keys are the gateway's own: where one is refused, another deployment may have a better one."""


def patient(attempts: int) -> RetryPolicy:
    """So many times, waiting no longer than a client should."""
    return RetryPolicy(max_attempts=attempts, retry_after_cap_s=WAITED_S)


class Route:
    """`deployments` answer for one model, chosen by `strategy`. What fails in a way that `policy` names goes to the
    next of them, and then to the models that `fallbacks` names, in order; if none of them answers, the whole way is
    gone again as `retry` says, until something was shown. `prices` is for the strategy "cost".

    Raises ConfigError without a deployment, and for two of one name.
    """

    def __init__(
        self,
        deployments: Sequence[Deployment],
        *,
        strategy: Strategy = "round_robin",
        fallbacks: Sequence[str] = (),
        retry: RetryPolicy | None = None,
        policy: FallbackPolicy = POLICY,
        prices: Prices | None = None,
    ) -> None:
        if isinstance(fallbacks, str):
            raise ConfigError(f"fallbacks is a list of models, got {fallbacks!r}", remedy=f"pass [{fallbacks!r}]")
        if not deployments:
            raise ConfigError("a route needs a deployment", remedy='pass [Deployment("provider/model")]')
        self.deployments = tuple(deployments)
        self.strategy: Strategy = strategy
        self.fallbacks = tuple(fallbacks)
        self.retry = retry or patient(ATTEMPTS)
        self.policy = policy
        names = [one.name for one in self.deployments]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"two deployments are called {twice!r}", remedy="give each a name of its own")
        self._chooser = chooser(strategy, self.deployments, prices)

    def __repr__(self) -> str:
        return f"Route({', '.join(one.name for one in self.deployments)})"

    def choose(self, ready: Sequence[Deployment], prefer: str = "", *, counts: bool = True) -> Deployment | None:
        """One of `ready`, which are some of its deployments: that of the name `prefer` if it is among them. `counts`:
        whether it is its turn, or it stands in for one that failed."""
        if prefer:
            for one in ready:
                if one.name == prefer:
                    return one
        return self._chooser.choose(ready, counts=counts) if ready else None
