"""What keys have used, as counters of a ledger: the minute that slides, days and months of UTC, and everything.

NAME/requests/MINUTE  NAME/tokens/MINUTE      for limits a minute
NAME/cost/2026-11-29  NAME/cost/2026-11       in billionths, rounded up
NAME/cost  NAME/requests  NAME/input  NAME/output  NAME/unpriced      in all
NAME/off                                      1: not let in for now
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from math import ceil
from typing import Literal, NamedTuple

from ..prices import Cost
from .keys import Key
from .ledger import Step

__all__ = ["MINUTE_S", "PERIODS", "Period", "Spent", "Window", "billionths", "minute_of", "money", "period_counters"]

MINUTE_S = 60
KEPT_S: Mapping[str, float | None] = {
    "minute": 3 * MINUTE_S,
    "day": 40 * 86400.0,
    "month": 400 * 86400.0,
    "total": None,
}
"""How long a counter outlives its last addition: longer than it counts, so that it can be looked at."""

Period = Literal["day", "month", "total"]
PERIODS: tuple[Period, ...] = ("day", "month", "total")

_BILLION = 10**9


class Window(NamedTuple):
    """The last 60 seconds: what was used in this minute of the clock, and of the one before the part that is not yet a
    minute ago, as if it had been used evenly."""

    previous: int
    current: int
    elapsed_s: float

    @property
    def used(self) -> float:
        return self.previous * (1 - self.elapsed_s / MINUTE_S) + self.current

    @property
    def reset_s(self) -> float:
        """Until nothing of it counts any more."""
        left_s = MINUTE_S - self.elapsed_s
        return left_s + MINUTE_S if self.current else left_s if self.previous else 0.0

    def wait_s(self, limit: int) -> float:
        """Until what is used is within the limit, if nothing is added; 0 if it is."""
        if self.used <= limit:
            return 0.0
        if self.current <= limit:  # what is left of the minute before fades
            return (1 - (limit - self.current) / self.previous) * MINUTE_S - self.elapsed_s
        return MINUTE_S - self.elapsed_s + (1 - limit / self.current) * MINUTE_S


class Spent(NamedTuple):
    """Of a budget, in a period that ends in `resets_in_s`; None: never."""

    period: Period
    amount: Decimal
    budget: Decimal
    resets_in_s: float | None


def minute_of(now: float) -> tuple[int, float]:
    """The minute of the clock, and how far into it."""
    minute, elapsed_s = divmod(now, MINUTE_S)
    return int(minute), elapsed_s


def period_counters(name: str, now: float) -> dict[Period, str]:
    """The counters of what was spent, by what they are of."""
    day = datetime.fromtimestamp(now, UTC)
    return {"day": f"{name}/cost/{day:%Y-%m-%d}", "month": f"{name}/cost/{day:%Y-%m}", "total": f"{name}/cost"}


def cost_steps(name: str, by: int, now: float) -> dict[str, Step]:
    """Spending, added to every period."""
    return {counter: Step(by, KEPT_S[period]) for period, counter in period_counters(name, now).items()}


def spent(key: Key, sums: Mapping[str, int], now: float) -> Iterator[Spent]:
    """Of each budget a key has, by the sums of `period_counters`."""
    for period, counter in period_counters(key.name, now).items():
        budget: Decimal | None = getattr(key.budget, period)
        if budget is not None:
            yield Spent(period, money(sums[counter]), budget, _resets_in_s(period, now))


def billionths(cost: Cost) -> int:
    return int((cost.amount * _BILLION).to_integral_value(ROUND_CEILING))


def money(number: int) -> Decimal:
    return Decimal(number) / _BILLION


def _resets_in_s(period: Period, now: float) -> float | None:
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "day":
            ends = day + timedelta(days=1)
        case "month":
            ends = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        case "total":
            return None
    return ceil(ends.timestamp() - now)
