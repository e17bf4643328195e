"""Agents and turns used wrongly, at a bad moment or from a strange place: a clear error, or simply right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import anyio
import pytest

from agent_core import Agent, ApprovalPolicy, AskPolicy, Limits, ModelClient, Session, tool, user_message
from agent_core.agent import AgentInput
from agent_core.errors import CallerError, ConfigError, SessionError
from agent_core.items import FunctionCallOutput, text_of
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.turn import Turn
from agent_core.turn_events import TurnEvent

pytestmark = pytest.mark.anyio


async def read(turn: Turn) -> list[TurnEvent]:
    return [event async for event in turn]


BAD_INPUT: dict[str, tuple[object, str]] = {
    "nothing": (None, "not with 'NoneType'"),
    "blank text": (" \n", "the text is empty"),
    "bytes": (b"hi", "not with 'bytes'"),
    "a dict": ({"role": "user", "content": "hi"}, "not with 'dict'"),
    "a list of dicts": ([{"role": "user", "content": "hi"}], "not with 'dict'"),
    "text among items": ([user_message("a"), "b"], "not with 'str'"),
    "no items, nothing said before": ([], "the session is empty"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
async def test_what_cannot_begin_a_turn(name: str) -> None:
    """It is refused before anything is recorded, and the agent goes on."""
    value, message = BAD_INPUT[name]
    async with Agent("rehearsal/echo") as agent:
        with pytest.raises(CallerError, match=message):
            await agent.run(cast("AgentInput", value))
        assert agent.session.items == ()
        assert await agent.ask("fine") == "fine"


def answers(text: str) -> str:
    """A function where a policy belongs."""
    return text


BAD_OPTIONS: dict[str, tuple[Mapping[str, object], str]] = {
    "tools: one, bare": ({"tools": answers}, "tools must be a list"),
    "tools: a name": ({"tools": "shell"}, "tools must be a list"),
    "tools: no function": ({"tools": [1]}, "1 is no tool"),
    "retry: a number": ({"retry": 3}, "retry must be a RetryPolicy, got 3"),
    "timeouts: a number": ({"timeouts": 30.0}, "timeouts must be a Timeouts, got 30.0"),
    "approvals: a flag": ({"approvals": True}, "or a policy, got True"),
    "approvals: a word": ({"approvals": "yes"}, "got 'yes'"),
    "approvals: a function": ({"approvals": answers}, "or a policy, got <function answers"),
    "session: a path": ({"session": "today.jsonl"}, "session must be a Session, got 'today.jsonl'"),
    "limits: a dict": ({"limits": {"max_turns": 1}}, "limits must be Limits"),
    "cwd: nowhere": ({"cwd": "/no/such/folder"}, "cannot work in '/no/such/folder': No such file"),
    "cwd: a file": ({"cwd": __file__}, "it is no directory"),
    "cwd: no path": ({"cwd": "a\0b"}, "cannot work in"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_options_are_checked_when_the_agent_is_made(name: str) -> None:
    """A CallerError that names the value, not an AttributeError turns later."""
    options, message = BAD_OPTIONS[name]
    with pytest.raises(CallerError, match=message) as caught:
        Agent("rehearsal/hello", **options)  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.remedy != CallerError.default_remedy


def test_the_current_directory_may_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told as a configuration error, with the way out."""
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    with pytest.raises(ConfigError, match=r"cannot work in '.': No such file"):
        Agent("rehearsal/hello")


async def test_a_callback_that_forgets_to_answer_says_no() -> None:
    """A function without `return` is no yes, and the message says what is missing."""
    policy: ApprovalPolicy = AskPolicy(lambda request: cast("bool", None))
    with RehearsalServer((Step(calls=(Call("wipe"),)),), pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider, tools=[tool(approval=True)(wipe)], approvals=policy)
        assert (await agent.run("x")).stop_reason == "aborted"
    assert outputs(agent) == ["denied: the approval policy failed: CallerError: the callback answered None"]


def wipe() -> str:
    """Wipe it."""
    return "wiped"


def outputs(agent: Agent) -> list[str]:
    return [str(item.output) for item in agent.session.items if isinstance(item, FunctionCallOutput)]


async def test_one_session_has_one_turn_at_a_time() -> None:
    """A second agent on the same session is refused while a turn runs, and welcome afterwards."""
    session = Session()
    with RehearsalServer(pace_s=0.002) as server:
        first, second = (Agent("rehearsal/echo", provider=server.provider, session=session) for _ in range(2))
        async with first.stream("x " * 200) as turn:
            await turn.__anext__()
            with pytest.raises(CallerError, match="this session is in the middle of a turn"):
                await second.ask("me too")
        assert await second.ask("now") == "now"


async def test_a_session_that_cannot_be_written_does_not_block_its_agent(tmp_path: Path) -> None:
    """A closed file is the error each time, not "in the middle of a turn" the second time."""
    session = Session.create(tmp_path / "s.jsonl")
    session.close()
    agent = Agent("rehearsal/echo", session=session)
    for _ in range(2):
        with pytest.raises(SessionError, match="cannot use session file"):
            await agent.ask("x")


async def test_an_own_client_is_kept() -> None:
    """Leaving the agent's block neither closes nor forgets it."""
    with RehearsalServer(pace_s=0) as server:
        async with ModelClient("rehearsal/echo", provider=server.provider) as client:
            agent = Agent(client=client)
            async with agent:
                assert await agent.ask("in the block") == "in the block"
            assert await agent.ask("after it") == "after it"
    assert len(server.requests) == 2


async def test_an_agent_is_usable_after_its_block() -> None:
    """It then opens a connection for each turn, as one that was never entered."""
    with RehearsalServer(pace_s=0) as server:
        agent = Agent("rehearsal/echo", provider=server.provider)
        async with agent:
            assert await agent.ask("in the block") == "in the block"
        await agent.aclose()
        assert await agent.ask("after it") == "after it"


async def test_a_turn_runs_once() -> None:
    """Its block cannot be entered again; reading on after the end just ends."""
    turn = Agent("rehearsal/echo").stream("x")
    async with turn:
        assert [text async for text in turn.text_deltas()] == ["x"]
        assert [event async for event in turn] == []
    with pytest.raises(CallerError, match="a turn runs once"):
        async with turn:
            pass
    assert turn.result.stop_reason == "completed"


async def test_steering_after_the_end_is_refused() -> None:
    """Nobody would hear it; cancelling then is harmless."""
    async with Agent("rehearsal/echo").stream("x") as turn:
        await read(turn)
        with pytest.raises(CallerError, match="the turn has ended"):
            turn.steer("too late")
        turn.cancel()
    assert turn.result.stop_reason == "completed"


async def test_what_was_said_too_late_waits_for_the_next_turn() -> None:
    """The limit ended the turn before the next request: the words are in the session, after the answer."""
    with RehearsalServer(pace_s=0) as server:
        agent = Agent("rehearsal/echo", provider=server.provider, limits=Limits(max_turns=1))
        async with agent.stream("one") as turn:
            turn.steer("and two")
            await read(turn)
    assert turn.result.stop_reason == "max_turns"
    assert [text_of(item) for item in turn.result.items if item.type == "message"] == ["one", "one", "and two"]


@pytest.mark.parametrize("threaded", [True, False])
async def test_a_tool_may_cancel_its_own_turn(threaded: bool) -> None:
    """From a coroutine, or from the worker thread a synchronous function runs in."""
    turns: list[Turn] = []

    def stop() -> str:
        """Stop it all."""
        turns[0].cancel()
        return "stopped"

    async def stop_async() -> str:
        return stop()

    function = tool(stop) if threaded else tool(name="stop")(stop_async)
    with RehearsalServer((Step(calls=(Call("stop"),)), Step(text="not reached")), pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider, tools=[function])
        async with agent.stream("x") as turn:
            turns.append(turn)
            await read(turn)
    assert (turn.result.stop_reason, len(outputs(agent)), agent.session.open_calls()) == ("cancelled", 1, ())


class Ours(BaseException):
    """As KeyboardInterrupt, but harmless to a test."""


@pytest.mark.parametrize("reads", [True, False])
async def test_what_is_no_exception_leaves_a_turn_as_itself(reads: bool) -> None:
    """Not in a group: to the reader, or from the block of one that does not read."""
    raised = anyio.Event()

    async def interrupt() -> str:
        raised.set()
        raise Ours

    with RehearsalServer((Step(calls=(Call("interrupt"),)),), pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider, tools=[interrupt])
        with pytest.raises(Ours):
            async with agent.stream("x") as turn:
                await raised.wait()
                if reads:
                    await read(turn)
    assert outputs(agent) == ["the tool failed: Ours"]


@pytest.mark.parametrize("around", ["turn", "outside"])
async def test_a_cancelled_turn_is_journaled_as_cancelled(tmp_path: Path, around: str) -> None:
    """By its own cancel() or by a scope around it: the record does not call it an error, and `result` knows."""
    path = tmp_path / "s.jsonl"
    with RehearsalServer(pace_s=0.002) as server, Session.create(path) as session:
        turn = Agent("rehearsal/long", provider=server.provider, session=session).stream("x")
        with anyio.CancelScope() as scope:
            async with turn:
                async for _ in turn.text_deltas():
                    turn.cancel() if around == "turn" else scope.cancel()
    assert turn.result.stop_reason == "cancelled"
    assert '"stop_reason":"cancelled"' in path.read_text()
