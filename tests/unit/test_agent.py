"""Agents and turns, over real HTTP on loopback: what an embedder relies on."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from agent_core import Agent, Limits, RetryPolicy, Session, ask, tool
from agent_core.config import default_model
from agent_core.errors import CallerError, LimitReached, RateLimitError
from agent_core.events import Completed, OutputTextDelta
from agent_core.items import FunctionCallOutput, WireName, user_message
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.turn import Turn
from agent_core.turn_events import (
    RetryScheduled,
    SampleRestarted,
    ToolFinished,
    TurnEvent,
    TurnFinished,
    TurnStarted,
)

pytestmark = pytest.mark.anyio
WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")
QUICK = RetryPolicy(base_delay_s=0.01, jitter_s=0.0, retry_after_cap_s=0.5)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADDING = (Step(calls=(Call("add", {"a": 2, "b": 3}),)), Step(text="It is 5."))


async def read(turn: Turn) -> list[TurnEvent]:
    return [event async for event in turn]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_turn_with_a_tool_on_every_wire(wire: WireName) -> None:
    """Call, output, answer; the same events and the same history whatever the wire."""
    with RehearsalServer(ADDING, pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider, wire=wire, tools=[add])
        async with agent.stream("2 + 3?") as turn:
            events = await read(turn)
    assert isinstance(events[0], TurnStarted)
    assert events[-1] == TurnFinished(turn.result)
    assert (turn.result.text, turn.result.stop_reason, turn.result.samples) == ("It is 5.", "completed", 2)
    assert [item.type for item in agent.session.items] == [
        "message", "function_call", "function_call_output", "message",
    ]  # fmt: skip
    assert "".join(event.delta for event in events if isinstance(event, OutputTextDelta)) == "It is 5."
    assert sum(isinstance(event, Completed) for event in events) == 2


async def test_ask_run_and_the_next_turn() -> None:
    """Each call is one turn; the conversation goes on."""
    with RehearsalServer(pace_s=0) as server:
        async with Agent("rehearsal/echo", provider=server.provider) as agent:
            assert await agent.ask("one") == "one"
            result = await agent.run([user_message("two")])
            assert (result.text, len(result.items)) == ("two", 2)
    assert len(server.requests[1].prompt.items if server.requests[1].prompt else ()) == 3


async def test_one_history_over_three_wires() -> None:
    """A session moves from wire to wire between turns, tool calls and all."""
    session = Session()
    with RehearsalServer(ADDING * 3, pace_s=0) as server:
        for wire in WIRES:
            agent = Agent("rehearsal/any", provider=server.provider, wire=wire, session=session, tools=[add])
            assert await agent.ask("2 + 3?") == "It is 5."
    assert [str(item.output) for item in session.items if isinstance(item, FunctionCallOutput)] == ["5", "5", "5"]


async def test_leaving_the_block_stops_the_turn() -> None:
    """Break out after the first delta: the turn ends as cancelled, what was said is kept, the next turn works."""
    with RehearsalServer(pace_s=0.002) as server:
        agent = Agent("rehearsal/long", provider=server.provider)
        async with agent.stream("go on") as turn:
            async for _ in turn.text_deltas():
                break
        assert turn.result.stop_reason == "cancelled"
        (said, partial) = agent.session.items
        assert (said.type, partial.type) == ("message", "message")
        assert getattr(partial, "status", "") == "incomplete"
        agent.limits = Limits(max_turns=1)
        assert (await agent.run("again")).stop_reason == "completed"


async def test_cancel_ends_the_events() -> None:
    """cancel() from inside the reader: the events end with TurnFinished("cancelled")."""
    with RehearsalServer(pace_s=0.002) as server:
        agent = Agent("rehearsal/long", provider=server.provider)
        seen: list[TurnEvent] = []
        async with agent.stream("go on") as turn:
            async for event in turn:
                seen.append(event)
                if isinstance(event, OutputTextDelta):
                    turn.cancel()
        assert seen[-1] == TurnFinished(turn.result)
        assert turn.result.stop_reason == "cancelled"


async def test_an_error_in_the_block_comes_out_as_itself() -> None:
    """Not in a group, and the turn is ended."""
    with RehearsalServer(pace_s=0.002) as server:
        agent = Agent("rehearsal/long", provider=server.provider)
        turn = agent.stream("go on")
        with pytest.raises(ZeroDivisionError):
            async with turn:
                async for _ in turn:
                    raise ZeroDivisionError
        assert turn.result.stop_reason == "cancelled"


async def test_an_outer_cancel_leaves_a_valid_session() -> None:
    """A deadline around the block."""
    with RehearsalServer(pace_s=0.005) as server:
        agent = Agent("rehearsal/long", provider=server.provider)
        with anyio.move_on_after(0.1) as scope:
            await agent.run("go on")
        assert scope.cancelled_caught
        assert agent.session.open_calls() == ()


async def test_a_steered_turn_answers_what_was_added() -> None:
    """What is said meanwhile joins at the next request."""
    with RehearsalServer((Step(text="one"), Step(text="two")), pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider)
        async with agent.stream("first") as turn:
            turn.steer("and this")
            await read(turn)
    assert turn.result.text == "two"
    assert [item.type for item in agent.session.items] == ["message"] * 4


async def test_retries_are_shown() -> None:
    """A 429 is waited out by the client; the reader sees it."""
    busy = Step(text="ok", failures=(Step(status=429, error="slow down"),))
    with RehearsalServer((busy,), pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider, retry=QUICK)
        async with agent.stream("x") as turn:
            events = await read(turn)
    (retry,) = [event for event in events if isinstance(event, RetryScheduled)]
    assert (retry.will_retry, turn.result.text) == (True, "ok")


@pytest.mark.parametrize("wire", WIRES)
async def test_a_broken_stream_is_sampled_again(wire: WireName) -> None:
    """The reader is told to drop what it saw; the history holds the whole answer once."""
    broken = Step(text="one two three four", failures=(Step(text="one two three four", cut_after_events=4),))
    with RehearsalServer((broken,), pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider, wire=wire, retry=QUICK)
        async with agent.stream("x") as turn:
            events = await read(turn)
    assert sum(isinstance(event, SampleRestarted) for event in events) == 1
    assert turn.result.text == "one two three four"
    assert len(agent.session.items) == 2


async def test_an_error_of_the_model_is_raised_to_the_reader() -> None:
    """And by result; the session stays valid for the next turn."""
    refused = Step(status=429, error="quota", code="insufficient_quota")
    with RehearsalServer((refused,), pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider)
        turn = agent.stream("x")
        with pytest.raises(Exception, match="quota") as caught:
            async with turn:
                await read(turn)
        assert not isinstance(caught.value, ExceptionGroup | RateLimitError)
        with pytest.raises(type(caught.value)):
            _ = turn.result


async def test_limits_raise_from_ask_and_are_said_by_run() -> None:
    """ask() has only text to give, so a limit is an error there."""
    with RehearsalServer(lambda prompt: ADDING[0], pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider, tools=[add], limits=Limits(max_turns=2))
        assert (await agent.run("x")).stop_reason == "max_turns"
        with pytest.raises(LimitReached) as caught:
            await agent.ask("x")
    assert caught.value.limit == "max_turns"


async def test_one_turn_at_a_time() -> None:
    """A second turn of the same agent is refused, not interleaved."""
    with RehearsalServer(pace_s=0.002) as server:
        agent = Agent("rehearsal/long", provider=server.provider)
        async with agent.stream("x") as turn:
            await turn.__anext__()
            with pytest.raises(CallerError, match="in the middle of a turn"):
                await agent.run("y")


async def test_misuse_is_named() -> None:
    """Reading outside the block, asking for a result too early, blocking doors inside a loop."""
    agent = Agent("rehearsal/hello")
    turn = agent.stream("x")
    with pytest.raises(CallerError, match="inside its block"):
        await turn.__anext__()
    with pytest.raises(CallerError, match="has not finished"):
        _ = turn.result
    for door in (lambda: agent.run_sync("x"), lambda: ask("rehearsal/hello", "x")):
        with pytest.raises(CallerError, match="inside a running event loop"):
            door()


async def test_the_tool_output_reaches_the_watcher() -> None:
    """With how it came about."""
    with RehearsalServer(ADDING, pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider, tools=[add])
        async with agent.stream("x") as turn:
            events = await read(turn)
    (done,) = [event for event in events if isinstance(event, ToolFinished)]
    assert (done.outcome, done.output.content, done.call.name) == ("ok", "5", "add")


async def test_a_resumed_session_goes_on(tmp_path: Path) -> None:
    """Another agent, another wire, the same file."""
    path = tmp_path / "s.jsonl"
    with RehearsalServer(pace_s=0) as server:
        with Session.create(path) as session:
            await Agent("rehearsal/echo", provider=server.provider, session=session).ask("one")
        with Session.resume(path) as session:
            agent = Agent("rehearsal/echo", provider=server.provider, wire="messages", session=session)
            assert await agent.ask("two") == "two"
            assert len(session.items) == 4
            assert session.usage.total > 0


DEFAULTS: dict[str, tuple[dict[str, str], str]] = {
    "nothing set": ({}, "rehearsal/hello"),
    "an OpenAI key": ({"OPENAI_API_KEY": "k"}, "openai/gpt-5.6"),
    "an Anthropic key": ({"ANTHROPIC_API_KEY": "k"}, "anthropic/claude-sonnet-4-6"),
    "a blank key is none": ({"OPENAI_API_KEY": " "}, "rehearsal/hello"),
    "named": ({"AGENT_CORE_MODEL": "ollama/qwen3", "OPENAI_API_KEY": "k"}, "ollama/qwen3"),
}


@pytest.mark.parametrize("name", DEFAULTS)
async def test_the_default_model(name: str) -> None:
    """Decided by the environment, and the rehearsal model where it says nothing."""
    environ, model = DEFAULTS[name]
    assert default_model(environ) == model


def test_the_sync_doors() -> None:
    """Without an event loop, without a key, without a server of one's own."""
    assert "rehearsed" in ask("rehearsal/hello", "hi")
    agent = Agent("rehearsal/echo")
    assert [agent.run_sync(text).text for text in ("a", "b")] == ["a", "b"]
