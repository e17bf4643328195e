"""Keep a conversation in a file and go on with it later: another process, another day, another wire."""

import tempfile
from pathlib import Path

import anyio

from agent_core import Agent, Session


async def main() -> None:
    path = Path(tempfile.mkdtemp()) / "today.jsonl"
    with Session.create(path) as session:
        await Agent("rehearsal/echo", session=session).ask("Remember this.")
    with Session.resume(path) as session:
        agent = Agent("rehearsal/echo", wire="messages", session=session)
        print(await agent.ask("And this."))
        print(len(session.items), "items,", len(path.read_text().splitlines()), "lines in the journal")


anyio.run(main)
