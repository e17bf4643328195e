"""What tokens cost: own prices, the dated list, and what nobody knows."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from decimal import Decimal

import pytest

from agent_core.errors import ConfigError
from agent_core.events import ModelUsage, Usage
from agent_core.prices import Amount, Cost, ListedPrices, Price, Prices, PriceTable, cost_of

MILLION = 1_000_000
EVERYTHING = Usage(
    input=MILLION,
    cache_read=MILLION,
    cache_write=3 * MILLION,
    cache_write_1h=MILLION,
    output=MILLION,
    reasoning=MILLION,
)


PRICES: dict[str, tuple[Price, str]] = {
    "every rate": (Price(1, 10, cache_read=0.1, cache_write=2, cache_write_1h=4, reasoning=20), "39.1"),
    "what is not named costs what its kind does": (Price(1, 10), "25"),
    "an hour of cache is a write": (Price(1, 10, cache_write=2), "28"),
    "floats are what they look like": (Price(0.1, 0.2), "0.9"),
    "free": (Price(0, 0), "0"),
}


@pytest.mark.parametrize("name", PRICES)
def test_a_price_is_for_a_million(name: str) -> None:
    """Each counter at its own rate, exactly."""
    price, expected = PRICES[name]
    assert price.of(EVERYTHING) == Cost(Decimal(expected))


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), "much"])
def test_a_price_is_a_number(amount: Amount) -> None:
    """Anything else is told when it is written down."""
    with pytest.raises(ConfigError, match="a price must be a number"):
        Price(amount, 1)


def test_a_table_takes_names_before_patterns() -> None:
    """The name itself, else the first pattern that fits, else the next table, else nobody knows."""
    one = Usage(input=MILLION)
    table = PriceTable({"lab/*": Price(2, 2), "lab/m": Price(1, 1)}, otherwise=PriceTable({"x/y": Price(3, 3)}))
    asked = [("lab", "m"), ("lab", "n"), ("x", "y"), ("x", "z")]
    assert [table.cost(provider, model, one) for provider, model in asked] == [
        Cost(Decimal(1)), Cost(Decimal(2)), Cost(Decimal(3)), None
    ]  # fmt: skip


def test_what_another_model_used_costs_its_own_price() -> None:
    """An advisor's tokens are in the counters, and cost its price; without that price the whole is unknown."""
    usage = Usage(input=3 * MILLION, by_others=(ModelUsage("big", Usage(input=MILLION)),))
    known = PriceTable({"lab/small": Price(1, 1), "lab/big": Price(10, 10)})
    assert cost_of(known, "lab", ("", "small"), usage) == Cost(Decimal(12))
    assert cost_of(PriceTable({"lab/small": Price(1, 1)}), "lab", ("small",), usage) is None


CHARGED = Usage(input=1000, charged_usd=0.25)


def test_own_prices_go_before_the_bill_and_the_bill_before_nothing() -> None:
    """A table's word is the caller's; the provider's own bill counts where no price does."""
    assert cost_of(PriceTable({"lab/m": Price(1000, 0)}), "lab", ("m",), CHARGED) == Cost(Decimal(1))
    assert cost_of(None, "lab", ("m",), CHARGED) == Cost(Decimal("0.25"))
    assert cost_of(None, "lab", ("m",), Usage(input=1000)) is None


USED = Usage(input=700, cache_read=200, cache_write=100, cache_write_1h=60, output=40, reasoning=10)
LISTED: dict[str, tuple[str, str, Usage, str | None]] = {
    "Anthropic, with cache written for an hour": ("anthropic", "claude-sonnet-4-5", USED, "0.003420"),
    "a row of another name": (
        "xai",
        "grok-4-fast",
        Usage(input=1, cache_read=164, output=2, reasoning=129),
        "0.0000739",
    ),
    "the provider's bill goes first": ("openrouter", "a/b", CHARGED, "0.25"),
    "a model nobody lists": ("openai", "nonsense", USED, None),
    "a server of one's own": ("vllm", "gpt-4o", USED, None),
}


@pytest.mark.parametrize("name", LISTED)
def test_the_list(name: str) -> None:
    """genai-prices by our counters, as xAI's own bill says it too; no provider is guessed at."""
    provider, model, usage, expected = LISTED[name]
    cost = ListedPrices().cost(provider, model, usage)
    assert (None if cost is None else cost.amount) == (None if expected is None else Decimal(expected))


def test_the_list_says_how_old_it_is() -> None:
    """The day of its newest price, not of the program's start, and the package it came with."""
    listed = ListedPrices()
    assert listed.dated is not None and date(2026, 1, 1) < listed.dated <= date.today()
    assert listed.version.count(".") == 2
    priced, billed = listed.cost("openai", "gpt-4o", USED), listed.cost("openrouter", "a/b", CHARGED)
    assert priced is not None and billed is not None
    assert (priced.dated, billed.dated, (billed + priced).dated) == (listed.dated, None, listed.dated)


def test_the_list_costs_nothing_until_it_is_asked() -> None:
    """Its 1.6 MB are not loaded by an agent, nor by making the object."""
    code = (
        "import sys; from agent_core import Agent; from agent_core.prices import ListedPrices; "
        "ListedPrices(); print('genai_prices' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_without_the_extra_the_remedy_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear error when the object is made, not when a turn ends."""
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(ConfigError) as caught:
        ListedPrices()
    assert "agent-core[cost]" in caught.value.remedy


SHOWN: dict[str, tuple[Cost, str]] = {
    "dollars": (Cost(Decimal("1234.5")), "$1,234.50"),
    "cents": (Cost(Decimal("0.25")), "$0.25"),
    "less": (Cost(Decimal("0.0042501")), "$0.0043"),
    "little": (Cost(Decimal("0.0000739")), "$0.000074"),
    "nothing": (Cost(Decimal(0)), "$0.00"),
    "not all of it": (Cost(Decimal(2), at_least=True), "at least $2.00"),
    "another currency": (Cost(Decimal(2), "EUR"), "2.00 EUR"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_cost_is_shown(name: str) -> None:
    """Two digits after the point, or as many as show two that count."""
    cost, text = SHOWN[name]
    assert str(cost) == text


def test_currencies_do_not_mix() -> None:
    """And a part that is not known stays unknown in the sum."""
    assert Cost(Decimal(1), at_least=True) + Cost(Decimal(2)) == Cost(Decimal(3), at_least=True)
    with pytest.raises(ConfigError, match="EUR"):
        _ = Cost(Decimal(1)) + Cost(Decimal(1), "EUR")


def test_a_table_and_the_list_are_prices() -> None:
    """Structural: anything with `cost` is."""
    kinds: list[Prices] = [PriceTable({}), ListedPrices()]
    assert all(prices.cost("nobody", "nothing", USED) is None for prices in kinds)
