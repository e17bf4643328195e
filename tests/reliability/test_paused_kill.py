"""`kill -9` between a decision and what it allows: what was approved runs once, or is known not to be known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal, TypeAlias, cast

import anyio
import pytest

from agent_core import Agent, AskPolicy, Decision, Session
from agent_core.agent import Approvals
from agent_core.items import CallItem, FunctionCallOutput, ResponseItem
from agent_core.tools import Tool, tool

Place: TypeAlias = Literal["decided", "noted", "done", "recorded"]
UNKNOWN = "outcome unknown: the process ended while this tool ran; check what it did before repeating it"

ENDS: dict[Place, tuple[int, str]] = {
    "decided": (1, "did it"),  # the next process knows the decision, and that nothing was started
    "noted": (0, UNKNOWN),
    "done": (1, UNKNOWN),
    "recorded": (1, "did it"),
}
"""Where the process dies; how often the tool has run in the end, and what its call is answered with."""


class Dying(Session):
    """A session whose process is killed at a place."""

    place: Place = "decided"

    def tool_started(self, call: CallItem) -> None:
        self.die_at("decided")
        super().tool_started(call)
        self.die_at("noted")

    def append(self, *items: ResponseItem) -> tuple[ResponseItem, ...]:
        outputs = any(isinstance(item, FunctionCallOutput) for item in items)
        if outputs:
            self.die_at("done")
        added = super().append(*items)
        if outputs:
            self.die_at("recorded")
        return added

    def die_at(self, place: Place) -> None:
        if self.place == place:
            os.kill(os.getpid(), signal.SIGKILL)


def deploying(effects: Path) -> Tool:
    @tool(approval=True)
    def deploy(where: str) -> str:
        """Something that must not happen twice."""
        with effects.open("a") as file:
            file.write(f"{where}\n")
        return "did it"

    return deploy


def agent_in(session: Session, effects: Path, approvals: Approvals = "deny") -> Agent:
    return Agent("rehearsal/add", tools=[deploying(effects)], session=session, approvals=approvals, cwd=effects.parent)


async def approve(path: Path, effects: Path, place: Place) -> None:
    """What is killed: the decision comes in, and is acted on."""
    with Dying.resume(path) as session:
        Dying.place = place
        agent = agent_in(session, effects)
        await agent.resume(decisions={one.id: True for one in agent.pending})


@pytest.mark.parametrize("place", ENDS)
def test_killed_between_decision_and_record(place: Place, tmp_path: Path) -> None:
    """The next process, in which nobody could say yes, ends the run without asking and without doing it twice."""
    path, effects = tmp_path / "s.jsonl", tmp_path / "effects"
    effects.touch()

    async def pause() -> None:
        with Session.create(path) as session:
            later = AskPolicy(lambda request: Decision("deferred"))
            assert (await agent_in(session, effects, later).run("go")).stop_reason == "paused"

    async def go_on() -> None:
        with Session.resume(path) as session:
            assert (await agent_in(session, effects).run([])).stop_reason == "completed"
            outputs = [item.output for item in session.items if isinstance(item, FunctionCallOutput)]
            assert (len(effects.read_text().splitlines()), outputs) == (ENDS[place][0], [ENDS[place][1]])

    anyio.run(pause)
    killed = subprocess.run([sys.executable, "-m", __name__, str(path), str(effects), place], check=False)
    assert killed.returncode == -signal.SIGKILL
    anyio.run(go_on)


if __name__ == "__main__":
    anyio.run(approve, Path(sys.argv[1]), Path(sys.argv[2]), cast("Place", sys.argv[3]))
