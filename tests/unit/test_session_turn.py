"""Turns whose session cannot be written: one clear error, nothing run that is not recorded, and it can go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_core import Agent
from agent_core.errors import SessionError
from agent_core.events import Usage
from agent_core.items import FunctionCallOutput
from agent_core.session import Session
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.tools import tool
from tests.full_disk import no_file_beyond

pytestmark = pytest.mark.anyio

RUNS: list[str] = []


@tool
def pay(to: str) -> str:
    """Something with a side effect."""
    RUNS.append(to)
    return f"paid {to} " + "x" * 1000


SCRIPT = [Step(calls=(Call("pay", {"to": "Ann"}, call_id="call_0"),)), Step(text="Paid.")]
ROOM: dict[str, tuple[int, list[str]]] = {
    "the user's message": (50, []),
    "that the tool starts": (650, []),
    "what it gave": (1200, ["Ann"]),
}
"""Bytes there are beyond the file's beginning, and what has run when they do not suffice."""


@pytest.mark.parametrize("what", ROOM)
@pytest.mark.parametrize("watched", [False, True])
async def test_a_turn_that_cannot_be_recorded_ends(tmp_path: Path, what: str, watched: bool) -> None:
    """In a SessionError, whoever runs it; the session is what its file is. With room it goes on: what ran is not run
    again, what did not is."""
    room, ran = ROOM[what]
    RUNS.clear()
    with RehearsalServer(SCRIPT, pace_s=0) as server, Session.create(tmp_path / "s.jsonl") as session:
        size = (tmp_path / "s.jsonl").stat().st_size
        async with Agent("lab/any", base_url=server.base_url, tools=[pay], session=session, approvals="allow") as agent:
            with no_file_beyond(size + room), pytest.raises(SessionError, match="File too large"):
                if watched:
                    async with agent.stream("Pay Ann.") as turn:
                        async for _ in turn:
                            pass
                else:
                    await agent.run("Pay Ann.")
            assert ran == RUNS
            assert Session.read(tmp_path / "s.jsonl").items == session.items
            result = await agent.run([] if session.awaits_answer else "Pay Ann.")
    assert (result.text, RUNS) == ("Paid.", ["Ann"])
    (output,) = [item for item in session.items if isinstance(item, FunctionCallOutput)]
    assert str(output.output).startswith("outcome unknown" if ran else "paid Ann")
    assert session.usage != Usage()
    assert Session.read(tmp_path / "s.jsonl").usage == session.usage
