"""A bad image cannot stop a conversation for good: refused before it is history, mended where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_core import Agent, Session
from agent_core.errors import InvalidPromptError
from agent_core.items import FunctionCall, FunctionCallOutput, InputImage, WireName, assistant_message, user_message
from agent_core.testing import RehearsalServer
from agent_core.turn_events import SampleStarted

pytestmark = pytest.mark.anyio

BAD = user_message("look", "cat.png")
WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")


async def test_a_bad_image_of_the_users_never_enters_the_session(tmp_path: Path) -> None:
    """It is refused when the turn starts, with its place; the session and its file are as before, and the next turn is
    a turn like any other."""
    with RehearsalServer(pace_s=0) as server, Session.create(tmp_path / "s.jsonl") as session:
        agent = Agent("rehearsal/echo", provider=server.provider, session=session)
        before = (tmp_path / "s.jsonl").read_bytes()
        with pytest.raises(InvalidPromptError, match=r"items\[1\]: an image is no image: its URL has no scheme"):
            await agent.run([user_message("hi"), BAD])
        assert (session.items, (tmp_path / "s.jsonl").read_bytes()) == ((), before)
        assert await agent.ask("hello") == "hello"


@pytest.mark.parametrize("wire", WIRES)
async def test_a_bad_image_of_an_older_session_is_mended(tmp_path: Path, wire: WireName) -> None:
    """codex history (replace_last_turn_images): in a resumed file, of the user's or a tool's: a note stands in its
    place in every request, the report says so, and the session keeps what was said."""
    shown = FunctionCallOutput(call_id="c1", output=(InputImage(image_url="data:image/png;base64,aGVsbG8="),))
    with Session.create(tmp_path / "s.jsonl") as old:
        old.append(BAD, FunctionCall(call_id="c1", name="look", arguments="{}"), shown, assistant_message("?"))
    with RehearsalServer(pace_s=0) as server, Session.resume(tmp_path / "s.jsonl") as session:
        agent = Agent("rehearsal/echo", provider=server.provider, wire=wire, session=session)
        for said in ("one", "two"):
            async with agent.stream(said) as turn:
                started = [event async for event in turn if isinstance(event, SampleStarted)]
            assert turn.result.text == said
            repairs = [(repair.kind, repair.item_index) for repair in started[0].repairs]
            assert repairs == [("replaced_image", 0), ("replaced_image", 2)]
        assert "[image left out: its URL has no scheme]" in str(server.requests[-1].body)
        assert "cat.png" not in str(server.requests[-1].body)
        assert session.items[0].model_copy(update={"id": None}) == BAD
