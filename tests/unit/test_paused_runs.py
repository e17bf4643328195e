"""Paused runs: calls that somebody else answers, in this process or in a later one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from agent_core import Agent, ApprovalRequest, AskPolicy, Decision, Session, SubAgent, ToolContext, ToolOutput, tool
from agent_core.agent import Approvals
from agent_core.approvals import allow_all
from agent_core.errors import CallerError, RunPaused
from agent_core.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    WireName,
    user_message,
)
from agent_core.paused import pending_calls
from agent_core.prompt import CustomToolSpec, ToolSpec
from agent_core.session.waiting import Waiting
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.testing.model import ScriptedModel
from agent_core.tool_policy import ToolPolicy, ToolRule
from agent_core.tools.hand_back import HandBack
from agent_core.turn_events import TurnFinished, TurnResult

from .stage import Probe, Stage, call, calls, says

pytestmark = pytest.mark.anyio
WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")
LATER = AskPolicy(lambda request: Decision("deferred"))
THEIRS = ToolSpec("theirs", "The caller runs it.", {"type": "object", "properties": {}})
MIXED = (
    Step(calls=(Call("theirs", {}, "t"), Call("act", {"key": "x"}, "x"), Call("act", {"key": "y"}, "y"))),
    Step(text="done"),
)


class Ran:
    """Which keys `act` was run with, in order."""

    def __init__(self) -> None:
        self.keys: list[str] = []


@pytest.fixture
def ran() -> Ran:
    return Ran()


@pytest.fixture
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(MIXED, pace_s=0) as running:
        yield running


def agent_over(
    server: RehearsalServer,
    ran: Ran,
    session: Session | None = None,
    *,
    wire: WireName = "chat",
    approvals: Approvals = LATER,
    cwd: Path | None = None,
) -> Agent:
    def act(key: str) -> str:
        """Do it."""
        ran.keys.append(key)
        return f"did {key}"

    return Agent(
        "rehearsal/any",
        provider=server.provider,
        wire=wire,
        session=session,
        tools=[tool(act), THEIRS],
        approvals=approvals,
        cwd=cwd,
        tool_policy=ToolPolicy([ToolRule("act", "ask")]),
    )


def outputs_of(session: Session) -> list[tuple[str, str]]:
    return [(item.call_id, str(item.output)) for item in session.items if isinstance(item, FunctionCallOutput)]


def waits_for(result: TurnResult) -> list[tuple[str, str]]:
    return [(one.call.call_id, one.why) for one in result.pending]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_mixed_turn_pauses_and_goes_on(server: RehearsalServer, ran: Ran, wire: WireName) -> None:
    """X-S0-15: what can be run is run, nothing is sent meanwhile; outputs stand in call order whatever came first."""
    agent = agent_over(server, ran, wire=wire, approvals="allow")
    result = await agent.run("go")
    assert (result.stop_reason, waits_for(result), ran.keys) == ("paused", [("t", "handed_back")], ["x", "y"])
    assert (len(server.requests), outputs_of(agent.session), agent.pending) == (1, [], result.pending)
    result = await agent.resume({"t": "theirs too"})
    assert (result.stop_reason, result.text, result.pending) == ("completed", "done", ())
    assert outputs_of(agent.session) == [("t", "theirs too"), ("x", "did x"), ("y", "did y")]
    assert [request.status for request in server.requests] == [200, 200]


async def test_partial_answers_keep_it_paused(server: RehearsalServer, ran: Ran) -> None:
    """In any order; what was approved runs when it was, and once."""
    agent = agent_over(server, ran)
    result = await agent.run("go")
    assert waits_for(result) == [("t", "handed_back"), ("x", "deferred"), ("y", "deferred")]
    assert (result.pending[1].request or ApprovalRequest("", "", "")).summary == "call act"
    result = await agent.resume(decisions={"y": True})
    assert (waits_for(result), ran.keys) == ([("t", "handed_back"), ("x", "deferred")], ["y"])
    result = await agent.resume({"t": ToolOutput("no", success=False)}, {"x": Decision("denied", "too risky")})
    assert (result.stop_reason, ran.keys, result.denied, len(server.requests)) == ("completed", ["y"], 1, 2)
    assert outputs_of(agent.session) == [("t", "no"), ("x", "denied: too risky"), ("y", "did y")]


async def test_another_process_goes_on_with_it(server: RehearsalServer, ran: Ran, tmp_path: Path) -> None:
    """What it waits for, what was run and what was asked are in the file; a fork has them too."""
    with Session.create(tmp_path / "s.jsonl") as session:
        paused = await agent_over(server, ran, session).run("go")
        await agent_over(server, ran, session).resume(decisions={"y": True})
    with Session.resume(tmp_path / "s.jsonl") as session, session.fork(tmp_path / "fork.jsonl") as fork:
        for later in (session, fork):
            agent = agent_over(server, ran, later)
            assert agent.pending[0].id == paused.pending[0].id
            assert agent.pending == paused.pending[:2]
        result = await agent_over(server, ran, fork).resume({"t": "1"}, {"x": True})
        assert (result.stop_reason, ran.keys) == ("completed", ["y", "x"])
        assert outputs_of(fork) == [("t", "1"), ("x", "did x"), ("y", "did y")]
    assert Session.read(tmp_path / "fork.jsonl").open_calls() == ()


async def test_resuming_can_be_watched(server: RehearsalServer, ran: Ran) -> None:
    """The same as a stream."""
    agent = agent_over(server, ran, approvals="allow")
    await agent.run("go")
    async with agent.resume_stream({"t": "1"}) as turn:
        events = [event async for event in turn]
    assert events[-1] == TurnFinished(turn.result)
    assert (turn.result.stop_reason, turn.result.text) == ("completed", "done")


async def test_a_new_message_takes_the_place_of_answers(server: RehearsalServer, ran: Ran) -> None:
    """Nobody waits any more: what waited is closed as what it is, what was run keeps its output."""
    agent = agent_over(server, ran)
    await agent.run("go")
    await agent.resume(decisions={"y": True})
    assert (await agent.run("never mind")).stop_reason == "completed"
    left = "not run: the user went on without an answer to this call"
    assert outputs_of(agent.session) == [("t", left), ("x", left), ("y", "did y")]
    assert [item.type for item in agent.session.items][-3:] == ["function_call_output", "message", "message"]


async def test_going_on_as_it_is_asks_again(server: RehearsalServer, ran: Ran) -> None:
    """`run([])`: who approves now is asked about what was put off; calls of the caller's wait on."""
    agent = agent_over(server, ran)
    await agent.run("go")
    again = agent_over(server, ran, agent.session, approvals=allow_all)
    result = await again.run([])
    assert (result.stop_reason, waits_for(result), ran.keys) == ("paused", [("t", "handed_back")], ["x", "y"])
    forgetful = Agent("rehearsal/any", provider=server.provider, session=agent.session)
    assert waits_for(await forgetful.run([])) == [("t", "handed_back")]


async def test_an_abort_ends_the_resumed_run(server: RehearsalServer, ran: Ran) -> None:
    """Whoever is asked while a session's open calls are answered: nothing is run after it, nothing is sent."""
    agent = agent_over(server, ran)
    await agent.run("go")
    result = await agent.resume({"t": "1"}, {"x": Decision("abort", "stop"), "y": True})
    assert (result.stop_reason, ran.keys, len(server.requests)) == ("aborted", [], 1)
    assert outputs_of(agent.session)[1:] == [("x", "denied: stop"), ("y", "not run: the turn was stopped by the user")]


async def test_an_abort_among_calls_of_an_earlier_process_ends_the_turn() -> None:
    """They are asked about like any other; what the user says is kept."""
    session = Session(items=[user_message("old"), call("a"), call("b")])
    abort = AskPolicy(lambda request: Decision("abort", "stop"))
    stage = Stage(ScriptedModel(says("never")), [Probe(asks=True)], session, approvals=abort)
    assert await stage.run("new") == "aborted"
    assert (len(stage.model.prompts), stage.outputs[0]) == (0, ("a", "denied: stop"))
    assert session.items[-1] == user_message("new").model_copy(update={"id": session.items[-1].id})


async def test_who_steers_does_not_wait() -> None:
    """Said while the calls are acted on: the turn goes on with it instead of pausing."""
    stage = Stage(ScriptedModel(calls(call("t", "theirs")), says("ok")), [HandBack(THEIRS)])
    stage.steered = [user_message("something else")]
    assert await stage.run() == "completed"
    assert stage.outputs == [("t", "not run: the user went on without an answer to this call")]


async def test_two_calls_of_one_id() -> None:
    """A call id that two calls share names neither; their own ids do, and outputs find their calls."""
    items = (call("t", "theirs", "1"), call("t", "probe"), call("t", "theirs", "2"))
    stage = Stage(ScriptedModel(calls(*items), says("ok")), [HandBack(THEIRS), Probe()])
    assert await stage.run() == "paused"
    first, second = stage.state.pending
    with pytest.raises(CallerError, match="2 calls have the call id 't'"):
        await stage.resume({"t": "?"})
    with pytest.raises(CallerError, match="no call 'fc_0' waits"):
        await stage.resume({"fc_0": "?"})
    assert await stage.resume({second.id: "two"}) == "paused"
    assert await stage.resume({first.id: "one"}) == "completed"
    assert stage.outputs == [("t", "one"), ("t", "did {}"), ("t", "two")]


async def test_a_call_is_named_once() -> None:
    """By its call id and by its own: that is the same call twice."""
    stage = Stage(ScriptedModel(calls(call("t", "theirs"))), [HandBack(THEIRS)])
    await stage.run()
    with pytest.raises(CallerError, match="answered twice"):
        await stage.resume({"t": "one", stage.state.pending[0].id: "two"})


async def test_every_kind_of_call_is_handed_back() -> None:
    """A custom tool without an implementation; a name nobody declared, where the policy hands all of it back."""
    items = (CustomToolCall(call_id="c", name="raw", input="text"), call("u", "unheard_of"))
    tools, policy = [HandBack(CustomToolSpec("raw"))], ToolPolicy([ToolRule("un*", "hand_back")])
    stage = Stage(ScriptedModel(calls(*items), says("ok")), tools, policy=policy)
    assert await stage.run() == "paused"
    assert [one.call.kind for one in stage.state.pending] == ["custom", "function"]
    assert await stage.resume({"c": "x", "u": "y"}) == "completed"
    assert isinstance(stage.session.items[3], CustomToolCallOutput)
    assert stage.outputs == [("c", "x"), ("u", "y")]


WRONG: dict[str, tuple[dict[str, object], dict[str, object], str]] = {
    "an id nobody waits for": ({"z": "1"}, {}, "no call 'z' waits for an answer"),
    "an output for a decision": ({"x": "1"}, {}, "'x' waits for a decision, not for an output"),
    "a decision for an output": ({}, {"t": True}, "'t' waits for an output, not for a decision"),
    "both": ({"t": "1"}, {"t": True}, "'t' has both an output and a decision"),
    "an output that is none": ({"t": 5}, {}, "the output of 't' is a int"),
    "a decision that is none": ({}, {"x": "yes"}, "the decision on 'x' is a str"),
    "put off again": ({}, {"x": Decision("deferred")}, "the decision on 'x' puts it off again"),
    "answered before": ({}, {"y": True}, "the call 'y' is answered already"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_wrong_answers_change_nothing(server: RehearsalServer, ran: Ran, name: str) -> None:
    """What, which call, and what to do instead; the run is as paused as before."""
    outputs, decisions, message = WRONG[name]
    agent = agent_over(server, ran)
    await agent.run("go")
    await agent.resume(decisions={"y": True})
    before = agent.pending
    with pytest.raises(CallerError, match=message) as caught:
        await agent.resume(cast("dict[str, str]", outputs), cast("dict[str, bool]", decisions))
    assert caught.value.remedy
    assert (agent.pending, ran.keys) == (before, ["y"])
    assert (await agent.resume({"t": "1"}, {"x": False})).stop_reason == "completed"


@pytest.mark.parametrize("given", [["t"], "t", {1: "x"}])
async def test_answers_are_mappings(server: RehearsalServer, ran: Ran, given: object) -> None:
    """Of call ids."""
    agent = agent_over(server, ran)
    await agent.run("go")
    with pytest.raises(CallerError, match="must be a mapping of call ids"):
        await agent.resume(cast("dict[str, str]", given))


async def test_nothing_to_resume() -> None:
    """A session whose calls all have outputs is no paused run."""
    with pytest.raises(CallerError, match="no paused run"):
        await Agent("rehearsal/any").resume()


async def test_asking_for_the_text_alone_says_that_it_paused(server: RehearsalServer, ran: Ran) -> None:
    """`ask` has no text to give: the error names what waits, and the run can be gone on with."""
    agent = agent_over(server, ran, approvals="allow")
    with pytest.raises(RunPaused, match="waits for an answer to 1 of its calls: theirs"):
        await agent.ask("go")
    assert (await agent.resume({"t": "1"})).text == "done"


async def test_an_approval_counts_for_what_was_asked(server: RehearsalServer, ran: Ran, tmp_path: Path) -> None:
    """Where the tool would now act elsewhere, it waits for another decision; that one counts."""
    agent = agent_over(server, ran)
    await agent.run("go")
    elsewhere = agent_over(server, ran, agent.session, cwd=tmp_path)
    answers: dict[str, Decision | bool] = {"x": True, "y": Decision("denied", "no")}
    result = await elsewhere.resume({"t": "1"}, answers)
    assert (result.stop_reason, ran.keys, waits_for(result)) == ("paused", [], [("x", "deferred")])
    assert (result.pending[0].request or ApprovalRequest("", "", "")).cwd == str(tmp_path)
    assert (await elsewhere.resume(decisions={"x": True})).stop_reason == "completed"
    assert (ran.keys, outputs_of(agent.session)[2]) == (["x"], ("y", "denied: no"))


@pytest.mark.parametrize("escalated", [False, True])
async def test_nothing_leaves_the_sandbox_because_a_file_says_so(tmp_path: Path, escalated: bool) -> None:
    """Decisions are kept, but not those that are more than a file may say: a file may come from somebody else."""
    request = ApprovalRequest("a", "shell", "rm -r /", escalated=escalated)
    with Session.create(tmp_path / "s.jsonl") as session:
        (made,) = session.append(call("a"))
        assert isinstance(made, FunctionCall) and made.id is not None
        session.wait_for(made, Waiting("deferred", request))
        session.take_answers({}, {made.id: Decision("approved")})
        assert pending_calls(session) == ()
    with Session.resume(tmp_path / "s.jsonl") as session:
        assert [one.request for one in pending_calls(session)] == ([request] if escalated else [])


async def test_what_is_allowed_for_the_session_is_remembered() -> None:
    """By the approval modes, as if it had been answered at once."""

    def asks(request: ApprovalRequest) -> Decision:
        return Decision("deferred")

    @tool(approval=True)
    def deploy(where: str) -> str:
        return f"deployed to {where}"

    agent = Agent("rehearsal/add", tools=[deploy], approvals="on_request", ask=asks)
    result = await agent.run("go")
    result = await agent.resume(decisions={one.id: Decision("approved_for_session") for one in result.pending})
    assert (result.stop_reason, len(agent.session.approval_rules)) == ("completed", 1)
    assert (await agent.run("go")).stop_reason == "completed"


async def test_a_sub_agent_does_not_pause_its_parent() -> None:
    """The parent's model is told; what the sub-agent waits for is in its own session."""
    made: list[Session] = []

    def helper(session: Session) -> Agent:
        made.append(session)
        return Agent("rehearsal/add", tools=[THEIRS], session=session)

    result = await Agent("rehearsal/add", tools=[SubAgent(helper, description="Helps.")]).run("go")
    assert result.stop_reason == "completed"
    assert "'helper' did not finish: it waits for an answer that nobody here gives" in result.text
    assert [one.call.name for one in pending_calls(made[0])] == ["theirs"]


async def test_what_a_tool_asks_at_work_is_not_put_off() -> None:
    """It is told no: a run pauses between calls, not in one."""

    async def careful(what: str, context: ToolContext) -> str:
        decision = await context.ask(ApprovalRequest(context.call_id, "careful", "go further"))
        return f"{decision.kind}: {decision.reason}"

    result = await Agent("rehearsal/add", tools=[careful], approvals=LATER).run("go")
    assert result.stop_reason == "completed"
    assert "denied: nobody decides it now, and work that has begun cannot wait" in result.text


async def test_cancelled_while_paused_calls_are_answered_closes_them(server: RehearsalServer, ran: Ran) -> None:
    """A turn that ends early waits for nothing: every call has its output."""
    agent = agent_over(server, ran)
    await agent.run("go")
    turn = agent.resume_stream(decisions={"x": True})
    turn.cancel()
    async with turn:
        assert isinstance([event async for event in turn][-1], TurnFinished)
    assert turn.result.stop_reason == "cancelled"
    assert (agent.session.open_calls(), agent.pending) == ((), ())
    assert [call_id for call_id, _ in outputs_of(agent.session)] == ["t", "x", "y"]
