"""A tool that your own code runs: the run pauses for it, and another process goes on with it later."""

import tempfile
from pathlib import Path

import anyio

from agent_core import Agent, Session, ToolSpec

PICK = ToolSpec("pick_colour", "Let the person pick a colour.", {"type": "object", "properties": {}})


async def ask_the_model(path: Path) -> None:
    with Session.create(path) as session:
        result = await Agent("rehearsal/add", tools=[PICK], session=session).run("Which colour shall it be?")
        print(result.stop_reason, "for", [(one.call.name, one.why) for one in result.pending])


async def answer_it(path: Path) -> None:
    with Session.resume(path) as session:
        agent = Agent("rehearsal/add", tools=[PICK], session=session)
        result = await agent.resume(outputs={one.call.call_id: "blue" for one in agent.pending})
        print(result.stop_reason, "with", repr(result.text))


journal = Path(tempfile.mkdtemp()) / "colours.jsonl"
anyio.run(ask_the_model, journal)
anyio.run(answer_it, journal)
