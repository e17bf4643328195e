"""Say what a run may use, and read what it cost. Prices are yours, or a dated list: `ListedPrices()`, extra `cost`."""

import anyio

from agent_core import Agent, Limits, tool
from agent_core.prices import Price, PriceTable

prices = PriceTable({"rehearsal/*": Price(input=3, output=15, cache_read=0.3)})  # US dollars for a million tokens


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def main() -> None:
    agent = Agent("rehearsal/add", tools=[add], prices=prices, limits=Limits(max_cost=0.01, max_turns=10))
    result = await agent.run("What is 2 + 3?")
    print(result.text)
    print(f"{result.stop_reason}: {result.usage.total} tokens, {result.cost}")


anyio.run(main)
