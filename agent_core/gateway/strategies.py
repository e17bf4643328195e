"""Who of several deployments is asked: one choice of those that can be asked now, at a cost of one look at each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from math import inf
from typing import Literal, Protocol, TypeAlias

from ..errors import ConfigError
from ..events import Usage
from ..prices import Cost, Prices
from .deployments import Deployment

__all__ = ["Chooser", "Strategy", "chooser"]

Strategy: TypeAlias = Literal["round_robin", "weighted", "least_busy", "latency", "cost"]
"""round_robin: one after the other · weighted: by their weights, evenly spread · least_busy: the fewest in flight ·
latency: the shortest time to the first event, those first that nobody has measured of late · cost: the lowest price of
input and output together, those last that have none. Among equals, one after the other."""

_PRICED = Usage(input=1_000_000, output=1_000_000)


class Chooser(Protocol):
    def choose(self, ready: Sequence[Deployment], *, counts: bool) -> Deployment:
        """One of `ready`, which is not empty. `counts`: whether it was its turn; not where it stands in for one that
        failed, or two of which one fails would send every request to that one first."""
        ...


def chooser(strategy: Strategy, deployments: Sequence[Deployment], prices: Prices | None = None) -> Chooser:
    """Raises ConfigError for prices in several currencies, which cannot be compared."""
    match strategy:
        case "weighted":
            return _Weighted()
        case "round_robin":
            return _InTurn(deployments)
        case "least_busy":
            return _Least(deployments, lambda one: one.in_flight)
        case "latency":
            return _Least(deployments, lambda one: -1.0 if one.latency_s is None else one.latency_s)
        case "cost":
            rates = _rates(deployments, prices)
            return _Least(deployments, lambda one: rates.get(one, inf))


class _InTurn:
    """One after the other, in the order they were given in; who cannot be asked is passed over."""

    def __init__(self, deployments: Sequence[Deployment]) -> None:
        self._places = {one: place for place, one in enumerate(deployments)}
        self._next = 0

    def choose(self, ready: Sequence[Deployment], *, counts: bool) -> Deployment:
        chosen = min(ready, key=lambda one: (self._places[one] - self._next) % len(self._places))
        if counts:
            self._next = self._places[chosen] + 1
        return chosen


class _Least:
    """The least by some measure; among equals, in turn."""

    def __init__(self, deployments: Sequence[Deployment], measure: Callable[[Deployment], float | Decimal]) -> None:
        self._measure = measure
        self._in_turn = _InTurn(deployments)

    def choose(self, ready: Sequence[Deployment], *, counts: bool) -> Deployment:
        measures = [self._measure(one) for one in ready]
        least = min(measures)
        equals = [one for one, measure in zip(ready, measures, strict=True) if measure == least]
        return self._in_turn.choose(equals, counts=counts)


class _Weighted:
    """Smooth weighted round robin, as nginx has it: with weights 3 and 1, every four choices are three and one, and the
    one is not at an end."""

    def __init__(self) -> None:
        self._credit: dict[Deployment, int] = {}

    def choose(self, ready: Sequence[Deployment], *, counts: bool) -> Deployment:
        credit = self._credit
        chosen = max(ready, key=lambda one: credit.get(one, 0) + one.weight)
        if counts:
            for one in ready:
                credit[one] = credit.get(one, 0) + one.weight
            credit[chosen] -= sum(one.weight for one in ready)
        return chosen


def _rates(deployments: Sequence[Deployment], prices: Prices | None) -> Mapping[Deployment, Decimal]:
    """What a million tokens of input and of output cost together, where that is known."""
    costs = {one: cost for one in deployments if (cost := _cost(one, prices)) is not None}
    currencies = {cost.currency for cost in costs.values()}
    if len(currencies) > 1:
        raise ConfigError(
            f"prices in {' and '.join(sorted(currencies))} cannot be compared",
            remedy="give the prices of a model's deployments in one currency",
        )
    return {one: cost.amount for one, cost in costs.items()}


def _cost(deployment: Deployment, prices: Prices | None) -> Cost | None:
    if deployment.price is not None:
        return deployment.price.of(_PRICED)
    resolved = deployment.client.resolved
    return None if prices is None else prices.cost(resolved.provider.name, resolved.model, _PRICED)
