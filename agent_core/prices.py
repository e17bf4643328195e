"""What tokens cost: your own prices, or a dated list (extra `cost`), or what the provider says it charged.

    Agent("openai/gpt-5.6", prices=ListedPrices())
    Agent("lab/m", prices=PriceTable({"lab/*": Price(input=0.2, output=0.8)}))

Nothing is fetched. A price nobody knows makes a cost that is None or "at least", never a zero. Fees beside tokens (web
searches, requests) are known only where the provider says what it charged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

from .errors import ConfigError
from .events import Usage

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

__all__ = ["Amount", "Cost", "ListedPrices", "Price", "PriceTable", "Prices", "cost_of"]

Amount: TypeAlias = Decimal | float | int | str
"""A sum of money. Floats count as they are written: 0.1 is a tenth."""

_MILLION = Decimal(1_000_000)
_USD = "USD"


class Cost(Struct, frozen=True):
    """A sum of money. `at_least`: something in it has no known price or was not counted, so the truth is more. `dated`:
    the day of the price list that some of it is from; None where it is all from own prices or bills."""

    amount: Decimal
    currency: str = _USD
    at_least: bool = False
    dated: date | None = None

    def __add__(self, other: Cost) -> Cost:
        """Raises ConfigError for two currencies."""
        if self.currency != other.currency:
            raise ConfigError(
                f"costs in {self.currency} and {other.currency} cannot be added",
                remedy="give all prices in one currency",
            )
        dated = min((day for day in (self.dated, other.dated) if day is not None), default=None)
        return Cost(self.amount + other.amount, self.currency, self.at_least or other.at_least, dated)

    def __str__(self) -> str:
        """For people: two digits after the point, or as many as show two that count."""
        amount = self.amount
        digits = 2 if amount == 0 or amount >= 1 else max(2, 1 - amount.adjusted())
        money = f"${amount:,.{digits}f}" if self.currency == _USD else f"{amount:,.{digits}f} {self.currency}"
        return f"at least {money}" if self.at_least else money


class Prices(Protocol):
    """What an answer costs.

    `cost` is asked once for each answer that was counted, and once before a run that has `max_cost`; it must not wait
    or do I/O, and says None for a model it does not know, never zero. `provider` is the row's name ("openai"), `model`
    what was asked for or, where that is unknown, what answered. `usage` is of one answer, and of one model.
    """

    def cost(self, provider: str, model: str, usage: Usage) -> Cost | None: ...


class Price:
    """One model's price for a million tokens. What is not named costs what its kind does: cached input as input, an
    hour of cache as a write, reasoning as output."""

    __slots__ = ("_rates", "currency")

    def __init__(
        self,
        input: Amount,
        output: Amount,
        *,
        cache_read: Amount | None = None,
        cache_write: Amount | None = None,
        cache_write_1h: Amount | None = None,
        reasoning: Amount | None = None,
        currency: str = _USD,
    ) -> None:
        self.currency = currency
        read, written = _or(cache_read, input), _or(cache_write, input)
        self._rates = tuple(
            _money(amount)
            for amount in (input, read, written, _or(cache_write_1h, written), output, _or(reasoning, output))
        )

    def of(self, usage: Usage) -> Cost:
        """What these tokens cost."""
        short = usage.cache_write - usage.cache_write_1h
        counts = (usage.input, usage.cache_read, short, usage.cache_write_1h, usage.output, usage.reasoning)
        total = sum((rate * count for rate, count in zip(self._rates, counts, strict=True)), Decimal(0))
        return Cost(total / _MILLION, self.currency)

    def __repr__(self) -> str:
        read = f"Price(input={self._rates[0]}, output={self._rates[4]}"
        return f"{read}, currency={self.currency!r})"


class PriceTable:
    """Your own prices: by "provider/model" or a pattern of it (`lab/*`), the first that fits; else what `otherwise`
    says."""

    def __init__(self, prices: Mapping[str, Price], *, otherwise: Prices | None = None) -> None:
        self._prices = dict(prices)
        self._otherwise = otherwise

    def cost(self, provider: str, model: str, usage: Usage) -> Cost | None:
        name = f"{provider}/{model}"
        price = self._prices.get(name) or next(
            (price for pattern, price in self._prices.items() if fnmatchcase(name, pattern)), None
        )
        if price is not None:
            return price.of(usage)
        return None if self._otherwise is None else self._otherwise.cost(provider, model, usage)


class ListedPrices:
    """The list prices that come with the package genai-prices, in US dollars; what a provider says it charged goes
    first. Raises ConfigError where the package is not installed.

    The list is as old as that package (`dated`) and nothing here updates it; `genai_prices.UpdatePrices` does, if a
    program wants that. It is loaded with the first question, which takes a fifth of a second.
    """

    _NAMES: Mapping[str, str] = {"bedrock": "aws", "gemini": "google", "moonshot": "moonshotai", "xai": "x-ai"}
    """Rows whose name is another one there. No other provider is guessed at: a server of your own has no list price."""

    def __init__(self) -> None:
        if not self.installed():
            raise ConfigError(
                "no price list: genai-prices is not installed",
                remedy='pip install "agent-core[cost]", or pass your own prices',
            )
        self._dated: date | None = None

    @staticmethod
    def installed() -> bool:
        """Whether the extra is there. Loads nothing."""
        from importlib.util import find_spec

        return find_spec("genai_prices") is not None

    @property
    def version(self) -> str:
        """Of the package the list came with."""
        from importlib.metadata import version

        return version("genai-prices")

    @property
    def dated(self) -> date | None:
        """The day from which the newest price in the list holds; the list knows of nothing later."""
        if self._dated is not None:
            return self._dated
        from genai_prices.types import ConditionalPrice, StartDateConstraint

        today = date.today()
        days = [
            price.constraint.start_date
            for provider in _snapshot().providers
            for model in provider.models
            if isinstance(model.prices, list)
            for price in model.prices
            if isinstance(price, ConditionalPrice) and isinstance(price.constraint, StartDateConstraint)
        ]
        self._dated = max((day for day in days if day <= today), default=None)
        return self._dated

    def cost(self, provider: str, model: str, usage: Usage) -> Cost | None:
        if usage.charged_usd is not None:
            return Cost(_money(usage.charged_usd))
        from genai_prices import Usage as ListedUsage

        snapshot = _snapshot()
        known = self._NAMES.get(provider, provider)
        if all(entry.id != known for entry in snapshot.providers):
            return None
        counted = ListedUsage(
            input_tokens=usage.input_total,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
            cache_write_1h_tokens=usage.cache_write_1h,
            output_tokens=usage.output_total,
            output_reasoning_tokens=usage.reasoning,
        )
        try:
            return Cost(snapshot.calc(counted, model, known, None, None).total_price, dated=self.dated)
        except (LookupError, ValueError):  # a model it does not list, or not in tokens
            return None


def cost_of(prices: Prices | None, provider: str, models: tuple[str, ...], usage: Usage) -> Cost | None:
    """What one answer costs, by the first of `models` (names of one model) that has a price, with what other models the
    provider called cost; else what it says it charged; else None."""
    own = usage
    for other in usage.by_others:
        own = _without(own, other.usage)
    costs = [_first(prices, provider, models, own)]
    costs += [_first(prices, provider, (other.model,), other.usage) for other in usage.by_others]
    known = [cost for cost in costs if cost is not None]
    if len(known) == len(costs):
        total = known[0]
        for cost in known[1:]:
            total += cost
        return total
    return None if usage.charged_usd is None else Cost(_money(usage.charged_usd))


def _first(prices: Prices | None, provider: str, models: tuple[str, ...], usage: Usage) -> Cost | None:
    if prices is None:
        return None
    found = (prices.cost(provider, model, usage) for model in models if model)
    return next((cost for cost in found if cost is not None), None)


def _without(usage: Usage, other: Usage) -> Usage:
    return replace(
        usage,
        input=usage.input - other.input,
        cache_read=usage.cache_read - other.cache_read,
        cache_write=usage.cache_write - other.cache_write,
        cache_write_1h=usage.cache_write_1h - other.cache_write_1h,
        output=usage.output - other.output,
        reasoning=usage.reasoning - other.reasoning,
    )


def _snapshot() -> DataSnapshot:
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


def _or(amount: Amount | None, other: Amount) -> Amount:
    return other if amount is None else amount


def _money(amount: Amount) -> Decimal:
    """Raises ConfigError for what is no amount of money."""
    try:
        money = Decimal(str(amount))
    except ArithmeticError:
        money = Decimal(-1)
    if not (money.is_finite() and money >= 0):
        raise ConfigError(f"a price must be a number from 0 up, got {amount!r}")
    return money
