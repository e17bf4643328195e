"""Give the model a Python function. The schema comes from the signature, the descriptions from the docstring."""

import anyio

from agent_core import Agent, tool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first number.
        b: The second number.
    """
    return a + b


async def main() -> None:
    agent = Agent("rehearsal/add", tools=[add])
    print(await agent.ask("What is 2 + 3?"))
    for item in agent.session.items:
        print(" ", item.type)


anyio.run(main)
