"""A program without an event loop that asks something, is interrupted, and goes on: says what it sees, line by line.

python -m tests.reliability.interrupted DOOR URL SESSION
"""

from __future__ import annotations

import signal
import sys

import anyio

import agent_core
from agent_core import Agent, Session, Tool, tool
from agent_core.tools import Shell


def say(*words: object) -> None:
    print(*words, flush=True)


@tool(read_only=True, parallel=True)
async def look() -> str:
    """Look at something: starts while the model still speaks."""
    say("there")
    return "seen"


async def never() -> str:
    say("there")
    await anyio.sleep_forever()
    return "never"


@tool
async def wait() -> str:
    """Wait for something."""
    return await never()


@tool
async def swallow() -> str:
    """Take a cancellation for an error, as libraries do."""
    try:
        return await never()
    except BaseException:  # noqa: BLE001
        return "it did not work"


@tool
async def stubborn() -> str:
    """Take for ever to tidy up."""
    try:
        return await never()
    finally:
        with anyio.CancelScope(shield=True):
            say("tidying")
            await anyio.sleep_forever()


TOOLS: list[Tool] = [look, wait, swallow, stubborn]


def main() -> None:
    door, url, path = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run under nohup
    with Session.create(path) as session:
        tools = [*TOOLS, Shell()]
        agent = Agent("lab/any", base_url=url, wire="responses", tools=tools, session=session, approvals="allow")
        try:
            if door == "run_sync":
                agent.run_sync("go")
            else:
                agent_core.ask("lab/any", "go", base_url=url, wire="responses", tools=tools)
            say("returned")
        except BaseException as error:  # noqa: BLE001
            say(type(error).__name__, error.__cause__)
        sys.stdin.readline()
        say(agent.run_sync("next").text)


if __name__ == "__main__":
    main()
