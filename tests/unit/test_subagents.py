"""An agent as a tool of another: what its caller is told, what it uses, how deep, how many, and how all of it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pytest

from agent_core import Agent, Limits, Session, SubAgent, tool
from agent_core.errors import CallerError, ConfigError, FatalToolError
from agent_core.events import Usage
from agent_core.items import FunctionCallOutput, ResponseItem, WireName
from agent_core.prompt import Prompt
from agent_core.session import ParentCall, SessionFolder
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.testing.scripts import last_user_text, turn_items
from agent_core.tools.base import ToolCall, ToolContext
from agent_core.turn_events import ToolProgress, TurnEvent, TurnFinished

pytestmark = pytest.mark.anyio

USED = Usage(input=10, output=1)


def model(prompt: Prompt) -> Step:
    """Who is told to start tasks starts a review of each, and says then what came of them. A reviewer has looked at its
    task, unless that is one of these."""
    task = last_user_text(prompt)
    if task.startswith("start "):
        if came := outputs(turn_items(prompt)):
            return Step(text=" | ".join(came), usage=USED)
        tasks = task.removeprefix("start ").split(" and ")
        return Step(calls=tuple(Call("review", {"task": one}, f"c{n}") for n, one in enumerate(tasks)), usage=USED)
    odd = {
        "step": Step(calls=(Call("step"),), usage=USED),
        "wait": Step(calls=(Call("wait"),), usage=USED),
        "deeper": Step(calls=(Call("review", {"task": "deeper"}),), usage=USED),
        "break": Step(status=400, error="bad"),
        "silence": Step(usage=USED),
    }
    if task == "deeper" and (came := outputs(turn_items(prompt))):
        return Step(text=came[0], usage=USED)
    return odd.get(task, Step(text=f"looked at {task}", usage=USED))


def outputs(items: Sequence[ResponseItem]) -> list[str]:
    return [str(item.output) for item in items if isinstance(item, FunctionCallOutput)]


@pytest.fixture(scope="module")
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(model, pace_s=0) as running:
        yield running


class Nest:
    """A parent and its reviewers, all of one model, with one set of tools."""

    def __init__(
        self,
        server: RehearsalServer,
        session: Session | None = None,
        *,
        wire: WireName = "chat",
        limits: Limits | None = None,
        max_runs: int = 16,
    ) -> None:
        self.server, self.wire = server, wire
        self.made: list[Session] = []
        self.seen: list[tuple[str, TurnEvent]] = []
        self.waiting, self.waited = anyio.Event(), anyio.Event()
        self.sub = SubAgent(
            self.review, description="Reviews one side.", max_depth=2, max_runs=max_runs, watch=self.watch
        )
        self.parent = self.agent(session or Session(), limits)

    def agent(self, session: Session, limits: Limits | None) -> Agent:
        return Agent(
            "rehearsal/m",
            provider=self.server.provider,
            wire=self.wire,
            session=session,
            tools=[self.sub, step, self.wait],
            limits=limits,
        )

    def review(self, session: Session) -> Agent:
        self.made.append(session)
        return self.agent(session, Limits(max_turns=9, max_repeats=None))

    async def watch(self, session_id: str, event: TurnEvent) -> None:
        self.seen.append((session_id, event))

    async def wait(self) -> str:
        """Wait for ever."""
        self.waiting.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.waited.set()
        return ""


@tool
def step() -> str:
    """Go on."""
    return "done"


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
async def test_the_answer_alone_comes_back(server: RehearsalServer, wire: WireName) -> None:
    """From a session of its own; all that was used counts in the parent's turn."""
    nest = Nest(server, wire=wire)
    result = await nest.parent.run("start left and right")
    assert result.text == "looked at left | looked at right"
    assert (result.usage, result.samples, len(result.items)) == (USED + USED + USED + USED, 2, 6)
    parent = nest.parent.session.id
    assert {session.parent for session in nest.made} == {ParentCall(parent, "c0"), ParentCall(parent, "c1")}
    assert [session.usage for session in nest.made] == [USED, USED]


async def test_sessions_are_kept_beside_their_parents(server: RehearsalServer, tmp_path: Path) -> None:
    """Linked in the file; found by their ids; the newest session to go on with is never one of theirs."""
    folder = SessionFolder(tmp_path)
    with folder.create() as session:
        nest = Nest(server, session)
        await nest.parent.run("start left and right")
        for made in nest.made:
            with folder.resume(made.id[:12]) as again:  # it was closed when its run ended
                assert (again.parent, again.items) == (made.parent, made.items)
        below = {made.id: session.id for made in nest.made}
        assert {info.id: info.parent for info in folder.sessions()} == {session.id: "", **below}
        newest = folder.newest()
        assert newest is not None and newest.id == session.id


async def test_what_it_says_is_shown_as_it_comes(server: RehearsalServer) -> None:
    """As progress of the call, and every event to who watches, with the id of its session."""
    nest, progress = Nest(server), dict[str, str]()
    async with nest.parent.stream("start left and right") as turn:
        async for event in turn:
            if isinstance(event, ToolProgress):
                progress[event.call_id] = progress.get(event.call_id, "") + event.delta
    assert progress == {"c0": "looked at left", "c1": "looked at right"}
    assert {id_ for id_, event in nest.seen if isinstance(event, TurnFinished)} == {made.id for made in nest.made}


async def test_depth_is_bounded(server: RehearsalServer) -> None:
    """One that starts one that starts one: the third is refused, and its model told why. All of it is counted."""
    nest = Nest(server)
    result = await nest.parent.run("start deeper")
    assert (
        result.text.removeprefix("Error: ")
        == "not run: sub-agents may not start 'review' at this depth (3); do the work here"
    )
    assert [made.parent.session_id for made in nest.made] == [nest.parent.session.id, nest.made[0].id]
    assert result.usage.total == 6 * USED.total


async def test_their_number_is_bounded(server: RehearsalServer) -> None:
    """In one turn of the user; the next one may start as many."""
    nest = Nest(server, max_runs=1)
    for _ in range(2):
        said = (await nest.parent.run("start left and right")).text
        assert "looked at " in said and "not run: this turn has started 1 sub-agents" in said


TOLD = {
    "step": "the sub-agent 'review' did not finish: it ended at max_turns",
    "silence": "the sub-agent 'review' did not finish: it ended without an answer",
    "break": "the sub-agent 'review' failed: ",
    "": "task: it is empty; say what is to be done",
}


@pytest.mark.parametrize("task", TOLD)
async def test_what_comes_to_nothing_is_told(server: RehearsalServer, task: str) -> None:
    """Limits, failures, silence: an output that says so, and the parent's turn goes on."""
    result = await Nest(server).parent.run(f"start {task}")
    assert outputs(result.items)[0].startswith(TOLD[task])
    assert result.stop_reason == "completed"


async def test_the_parents_budget_holds_inside(server: RehearsalServer) -> None:
    """It stops where its parent's tokens end, before the limits of its own, and so does its parent."""
    nest = Nest(server, limits=Limits(max_tokens=50))
    result = await nest.parent.run("start step")
    assert (result.stop_reason, result.usage.total) == ("max_tokens", 55)
    assert "it ended at max_tokens" in outputs(result.items)[0]


async def test_cancel_travels(server: RehearsalServer) -> None:
    """Its tool ends; both histories are whole, and the parent's is gone on with."""
    nest = Nest(server)
    async with nest.parent.stream("start wait") as turn:
        await nest.waiting.wait()
        turn.cancel()
    assert nest.waited.is_set() and turn.result.stop_reason == "cancelled"
    assert turn.result.usage == USED + USED
    for session in (nest.parent.session, *nest.made):
        assert session.open_calls() == () and outputs(session.items)[0].startswith("aborted by the user")
    assert (await nest.parent.run("start left")).text.endswith("looked at left")


async def test_a_factory_gives_an_agent_with_its_session(server: RehearsalServer) -> None:
    """Any other is the caller's mistake, and ends the turn with one error that says it."""
    nest = Nest(server)
    wrong = SubAgent(lambda session: nest.agent(Session(), None), name="review", description="Wrong.")
    parent = Agent("rehearsal/m", provider=server.provider, tools=[wrong])
    with pytest.raises(FatalToolError, match="not an agent with the session it was given"):
        await parent.run("start left")
    assert parent.session.open_calls() == ()


async def test_outside_of_a_turn_there_is_nothing_around(server: RehearsalServer, tmp_path: Path) -> None:
    """Neither for a sub-agent nor for `within`."""
    nest, nowhere = Nest(server), ToolContext(tmp_path)
    with pytest.raises(CallerError, match="inside a turn"):
        await nest.sub.run(ToolCall("c", "review", '{"task": "x"}'), nowhere)
    with pytest.raises(CallerError, match="no context of a running tool"):
        await nest.parent.run("hi", within=nowhere)


def test_it_asks_only_if_it_is_told_to(tmp_path: Path) -> None:
    """Then with the task, as one line and whole."""
    asking = SubAgent(agent_of, name="review", description="Asks.", approval="execute")
    request = asking.approval(ToolCall("c", "review", '{"task": "look\\nhere"}'), ToolContext(tmp_path))
    assert request is not None
    assert (request.summary, request.detail) == ("start the sub-agent review: look here", "look\nhere")
    quiet = SubAgent(agent_of, name="review", description="Does not.")
    assert quiet.approval(ToolCall("c", "review", '{"task": "look"}'), ToolContext(tmp_path)) is None


def agent_of(session: Session) -> Agent:
    return Agent("rehearsal/m", session=session)


def test_what_cannot_run_is_refused() -> None:
    """When it is made."""
    with pytest.raises(ConfigError, match="has no name"):
        SubAgent(lambda session: Agent(session=session), description="x")
    with pytest.raises(ConfigError, match="could never run"):
        SubAgent(agent_of, description="x", max_depth=0)
