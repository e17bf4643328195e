"""Whole runs that are compacted, over real HTTP, on every wire, before a server that refuses what vendors refuse."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_core import Agent, RetryPolicy, Session, tool
from agent_core.codecs import CODECS
from agent_core.codecs.base import Compat
from agent_core.compaction import CompactionPolicy
from agent_core.errors import CompactionError, ContextLengthError
from agent_core.items import (
    Compaction,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    InputText,
    Message,
    Origin,
    Reasoning,
    ResponseItem,
    WireName,
    text_of,
    user_message,
)
from agent_core.prompt import Prompt
from agent_core.session.compact import choose_cut, kept_messages
from agent_core.testing import Call, RecordedRequest, RehearsalServer, Step, asks_for_summary, check_request
from agent_core.testing.scripts import answers_in
from agent_core.turn_events import (
    CompactionFailed,
    CompactionFinished,
    CompactionStarted,
    SampleFinished,
    SampleRestarted,
    TurnEvent,
    TurnResult,
)

pytestmark = pytest.mark.anyio
WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")
ON_A_LOOP = [("chat", "asyncio"), ("responses", "trio"), ("messages", "asyncio")]
"""Wires and event loops: the two do not meet in anything here, and runs take time."""
QUICK = RetryPolicy(base_delay_s=0.01, jitter_s=0.0)
PNG = "data:image/png;base64,iVBORw0KGgo="
CONVERSATION = {"chat": "messages", "responses": "input", "messages": "messages"}


@tool(read_only=True, parallel=True)
def look(n: int) -> str:
    """Look at something."""
    return f"output {n} " + "x" * 1200


def working(steps: int, *, thinking: bool = True) -> list[Step]:
    """So many steps of thinking, speaking and two calls each, and then an answer."""
    step = [
        Step(
            reasoning=f"r{n}" if thinking else "", text=f"t{n}", calls=(Call("look", {"n": n}), Call("look", {"n": -n}))
        )
        for n in range(steps)
    ]
    return [*step, Step(text="done")]


def policy(window: int, **options: float | None) -> CompactionPolicy:
    return CompactionPolicy(window=window, **options)  # type: ignore[arg-type]  # rows of options


async def watched(agent: Agent, said: str | list[ResponseItem]) -> tuple[TurnResult, list[TurnEvent]]:
    async with agent.stream(said) as turn:
        events = [event async for event in turn]
    return turn.result, events


def finished(events: list[TurnEvent]) -> list[CompactionFinished]:
    return [event for event in events if isinstance(event, CompactionFinished)]


def summary_requests(server: RehearsalServer) -> list[int]:
    """Which of the requests asked for a summary."""
    return [n for n, request in enumerate(server.requests) if request.prompt and asks_for_summary(request.prompt)]


def kept_texts(items: tuple[ResponseItem, ...]) -> list[str]:
    return [text_of(item) for item in items if isinstance(item, Message) and item.role == "user"]


@pytest.mark.parametrize(("wire", "anyio_backend"), ON_A_LOOP)
async def test_a_long_run_crosses_the_limit_again_and_again(wire: WireName) -> None:
    """codex.md 8, compact: auto at the limit mid-turn. Forty steps of some 700 tokens in a window of 6000: every
    request is valid, and the script gets to its end."""
    with RehearsalServer(working(40), pace_s=0) as server:
        agent = Agent(server.model, provider=server.provider, wire=wire, tools=[look], compaction=policy(6000))
        result, events = await watched(agent, "go")
        requests = server.requests
    made = finished(events)
    assert (result.text, result.samples, len(made)) == ("done", 41, len(summary_requests(server)))
    assert len(made) > 4 and not any(isinstance(event, CompactionFailed) for event in events)
    assert {request.status for request in requests} == {200}
    assert result.usage.input_total < 41 * 6000
    assert [item.type for item in agent.session.transcript].count("function_call_output") == 80
    assert result.items == agent.session.transcript
    assert kept_texts(agent.session.items) == ["go"]
    assert all(event.tokens_after < event.tokens_before / 2 for event in made)


@pytest.mark.parametrize(("wire", "anyio_backend"), ON_A_LOOP)
async def test_auto_at_the_limit_before_the_next_turn(wire: WireName) -> None:
    """codex.md 8, compact. What the user just said is counted, and stays as it is behind the summary."""
    with RehearsalServer([Step(text="one"), Step(text="two")], pace_s=0) as server:
        agent = Agent(server.model, provider=server.provider, wire=wire, compaction=policy(2000))
        await agent.run("first " + "x" * 3000)
        _, events = await watched(agent, "second " + "y" * 4800)
        assert summary_requests(server) == [1]
    assert len(finished(events)) == 1
    assert [text_of(i)[:6] if isinstance(i, Message) else i.type for i in agent.session.items] == [
        "first ", "compaction", "second", "two",
    ]  # fmt: skip


async def test_a_crash_in_a_turn_loses_no_count(tmp_path: Path) -> None:
    """What a summary and a broken answer took is in the file before the turn's end is."""
    path, torn = tmp_path / "s.jsonl", Step(text="two words", cut_after_events=3)
    script = [Step(text="one"), Step(text="two words", failures=(torn,))]
    with RehearsalServer(script, pace_s=0) as server, Session.create(path) as session:
        options = {"provider": server.provider, "wire": "messages", "session": session, "retry": QUICK}
        agent = Agent(server.model, compaction=policy(2000), **options)  # type: ignore[arg-type]  # rows of options
        before = (await agent.run("first " + "x" * 3000)).usage
        async with agent.stream("second " + "y" * 4800) as turn:
            seen = [(event, Session.read(path).usage) async for event in turn]
    (summary,) = finished([event for event, _ in seen])
    counted = next(usage for event, usage in seen if isinstance(event, SampleFinished))
    assert any(isinstance(event, SampleRestarted) for event, _ in seen)
    assert counted == before + turn.result.usage
    assert turn.result.usage.total > summary.usage.total > 0


def conversation(request: RecordedRequest) -> list[object]:
    assert request.body is not None and request.wire is not None
    items = request.body[CONVERSATION[request.wire]]
    assert isinstance(items, list)
    return list[object](items)


@pytest.mark.parametrize(("wire", "anyio_backend"), ON_A_LOOP)
async def test_prompt_cache_prefix(wire: WireName) -> None:
    """codex.md 8, prompt_caching: a request for a summary has the body of the one before it, and more at its end; what
    is sent after a compaction grows at its end again. (On Chat the reasoning of a turn is dropped behind a user
    message, this one too.)"""
    with RehearsalServer(working(24, thinking=wire != "chat"), pace_s=0) as server:
        agent = Agent(
            server.model,
            provider=server.provider,
            wire=wire,
            tools=[look],
            instructions="Be brief.",
            compaction=policy(12_000, keep_tokens=0),
        )
        await agent.run("go")
        first = summary_requests(server)[0]
        before, asking, after, later = server.requests[first - 1 : first + 3]
    assert conversation(asking)[: len(conversation(before))] == conversation(before)
    rest = [{**(r.body or {}), CONVERSATION[wire]: [], "tool_choice": ""} for r in (before, asking)]
    assert rest[0] == rest[1]
    assert (asking.body or {}).get("tool_choice") == (before.body or {}).get("tool_choice") or wire != "messages"
    assert len(conversation(after)) < len(conversation(before))
    assert conversation(later)[: len(conversation(after)) - 1] == conversation(after)[:-1]


@pytest.mark.parametrize("wire", WIRES)
def test_what_an_encoder_keeps_survives_a_compaction(wire: WireName) -> None:
    """The same bytes as without a memory: before, for the summary, after, and as the history grows again."""
    said = [item for n in range(4) for item in (user_message(f"u{n}"), *worked(n, wire))]
    session = Session(items=said)
    codec, compat = CODECS[wire], Compat(encrypted_reasoning=wire == "responses")
    encoder = codec.request_encoder(compat)
    asked = [session.items, (*session.items, user_message("summarise"))]
    cut = choose_cut(session.items, 0)
    session.compact(cut.at, (*kept_messages(session.items[: cut.at], 100), Compaction(summary="so far")))
    asked.append(session.items)
    session.append(user_message("on"), *worked(9, wire))
    asked.append(session.items)
    for items in asked:
        prompt = Prompt(items, model="m")
        kept, fresh = encoder.encode(prompt), codec.encode_request(prompt, compat)
        assert kept == fresh
        assert not check_request(wire, kept.body)


def worked(n: int, wire: WireName) -> list[ResponseItem]:
    origin = Origin(wire=wire, model="m", field="thinking" if wire == "messages" else "")
    thought = Reasoning(content=(f"r{n}",), origin=origin)
    return [
        thought.model_copy(update={"encrypted_content" if wire == "responses" else "signature": f"s{n}"}),
        FunctionCall(call_id=f"c{n}", name="look", arguments="{}", origin=origin),
        FunctionCallOutput(call_id=f"c{n}", output=f"o{n}"),
    ]


@pytest.mark.parametrize(("wire", "anyio_backend"), ON_A_LOOP)
async def test_images_parallel_calls_and_signed_reasoning(wire: WireName) -> None:
    """The user's image stays with its text; a step that was not answered yet stays whole behind the summary, its
    reasoning with its signature, its outputs with their calls."""
    picture = Message(role="user", content=(InputText(text="what is this?"), InputImage(image_url=PNG)))
    with RehearsalServer(working(16), pace_s=0) as server:
        agent = Agent(server.model, provider=server.provider, wire=wire, tools=[look], compaction=policy(9000))
        result, events = await watched(agent, [picture])
        assert {request.status for request in server.requests} == {200}
    assert result.text == "done" and finished(events)
    image, summary, *rest = agent.session.items
    assert image is agent.session.transcript[0] and isinstance(summary, Compaction)
    assert [item.type for item in rest[:6]] == [
        "reasoning", "message", "function_call", "function_call", "function_call_output", "function_call_output",
    ]  # fmt: skip


async def test_pending_input_with_mid_turn_compaction() -> None:
    """codex.md 8, pending_input: what the user says while the summary is written joins at the next boundary: the model
    goes on first. What was said before stays word for word."""
    with RehearsalServer(working(24), pace_s=0) as server:
        agent = Agent(server.model, provider=server.provider, tools=[look], compaction=policy(12_000))
        async with agent.stream("go") as turn:
            async for event in turn:
                if isinstance(event, CompactionStarted):
                    turn.steer("and hurry")
        after = server.requests[summary_requests(server)[0] + 1]
    assert after.prompt is not None and "and hurry" not in kept_texts(after.prompt.items)
    said = [text_of(i) for i in agent.session.transcript if isinstance(i, Message) and i.role == "user"]
    assert said == ["go", "and hurry"]
    assert kept_texts(agent.session.items) == said


# when a request does not fit


def overflowing(limit: int, message: str) -> Callable[[Prompt], Step]:
    """A model whose window holds so many characters of history, and which says so."""
    script = working(20)

    def answer(prompt: Prompt) -> Step:
        if sum(len(str(item)) for item in prompt.items) > limit:
            raise ContextLengthError(message, status=400, code="context_length_exceeded")
        if asks_for_summary(prompt):
            return Step(text=f"A rehearsed summary of {answers_in(prompt.items)} answers.")
        return script[answers_in(prompt.items)]

    return answer


@pytest.mark.parametrize(("wire", "anyio_backend"), ON_A_LOOP)
async def test_a_request_that_does_not_fit_is_compacted_and_sent_again(wire: WireName) -> None:
    """Without knowing any window: the run gets to its end, and each overflow is reported as one."""
    with RehearsalServer(overflowing(16_000, "prompt is too long"), pace_s=0) as server:
        agent = Agent(server.model, provider=server.provider, wire=wire, tools=[look], retry=QUICK)
        result, events = await watched(agent, "go")
        statuses = [request.status for request in server.requests]
    assert result.text == "done"
    assert finished(events) and {event.reason for event in finished(events)} == {"overflow"}
    assert statuses.count(400) >= len(finished(events))
    assert not any(isinstance(event, SampleRestarted) for event in events)


async def test_a_window_that_was_named_is_kept_to() -> None:
    """The first refusal says it; after that nothing is refused."""
    said = "This model's maximum context length is 4500 tokens. Please reduce the length."
    with RehearsalServer(overflowing(22_000, said), pace_s=0) as server:
        agent = Agent(server.model, provider=server.provider, tools=[look], retry=QUICK)
        _, events = await watched(agent, "go")
        statuses = [request.status for request in server.requests]
    reasons = [event.reason for event in finished(events)]
    assert reasons[0] == "overflow" and set(reasons[1:]) == {"limit"}
    assert 400 not in statuses[statuses.index(400) + 3 :]


async def test_what_does_not_fit_after_a_compaction_is_an_error() -> None:
    """Once per sample: the second refusal ends the turn, and the session goes on to be usable."""

    def answer(prompt: Prompt) -> Step:
        if asks_for_summary(prompt) or prompt.items[-1] == user_message("small"):
            return Step(text="fine")
        if prompt.items[-1] == user_message("hello"):
            return Step(text="hello " * 100)
        raise ContextLengthError("too long", status=400, code="context_length_exceeded")

    with RehearsalServer(answer, pace_s=0) as server:
        agent = Agent(server.model, provider=server.provider)
        for _ in range(4):
            await agent.run("hello")
        with pytest.raises(ContextLengthError):
            await agent.run("large")
        assert [request.status for request in server.requests[4:]] == [400, 200, 400]
        assert (await agent.run("small")).text == "fine"


@pytest.mark.parametrize(("wire", "anyio_backend"), ON_A_LOOP)
async def test_off_is_off(wire: WireName) -> None:
    """codex#9419, #10365: no request is made that was not asked for; by hand it still works."""
    with RehearsalServer(overflowing(9_000, "prompt is too long"), pace_s=0) as server:
        agent = Agent(server.model, provider=server.provider, wire=wire, tools=[look], compaction="off")
        with pytest.raises(ContextLengthError):
            await agent.run("go")
        assert summary_requests(server) == []
        await agent.compact()
        assert len(summary_requests(server)) > 0


# by hand


@pytest.mark.parametrize(("wire", "anyio_backend"), ON_A_LOOP)
async def test_manual_and_persisted(tmp_path: Path, wire: WireName) -> None:
    """codex.md 8, compact: manual, persists; resume and fork keep the model view and go on from it; rolling back past
    compaction replays what it replaced."""
    path = tmp_path / "s.jsonl"
    with RehearsalServer(working(2), pace_s=0) as server:
        options = {"provider": server.provider, "wire": wire, "tools": [look]}
        with Session.create(path) as session:
            agent = Agent(server.model, session=session, **options)  # type: ignore[arg-type]  # rows of options
            await agent.run("go")
            done = await agent.compact("the outputs")
            assert (done.reason, done.replaced) == ("asked", len(session.transcript) - 1)
            assert (
                "the outputs" in kept_texts(server.requests[-1].prompt.items if server.requests[-1].prompt else ())[-1]
            )
            assert session.usage.total > done.usage.total > 0
        with Session.resume(path) as again:
            assert [item.type for item in again.items] == ["message", "compaction"]
            fork = again.fork()
            assert (again.items, fork.items) == (session.items, session.items)
            fork.rollback()
            assert fork.items == ()
            later = Agent(server.model, session=again, **options)  # type: ignore[arg-type]  # rows of options
            with pytest.raises(Exception, match="no step 4"):
                await later.run("more")  # the script knows that its three answers were given
            assert {request.status for request in server.requests[:-1]} == {200}


async def test_compacting_by_hand_says_why_not() -> None:
    """Nothing to compact, or no summary; the agent is usable afterwards, and a second use at a time is refused."""

    def answer(prompt: Prompt) -> Step:
        return Step(calls=(Call("look", {"n": 1}),)) if asks_for_summary(prompt) else Step(text="hi")

    with RehearsalServer(answer, pace_s=0, strict=False) as server:
        agent = Agent(server.model, provider=server.provider, wire="chat")
        with pytest.raises(CompactionError, match="nothing to compact"):
            await agent.compact()
        await agent.run("hello")
        before = agent.session.items
        with pytest.raises(CompactionError, match="called a tool"):
            await agent.compact()
        assert agent.session.items == before
        assert (await agent.run("still there?")).text == "hi"


async def test_a_failed_compaction_does_not_end_the_turn() -> None:
    """The history stays as it is, the event says why, and the answer comes."""

    def answer(prompt: Prompt) -> Step:
        return Step(refusal="No.") if asks_for_summary(prompt) else Step(text="hi")

    with RehearsalServer(answer, pace_s=0) as server:
        agent = Agent(server.model, provider=server.provider, compaction=policy(400))
        await agent.run("x" * 2000)
        result, events = await watched(agent, "and?")
    assert result.text == "hi" and len(agent.session.items) == 4
    assert [type(event) for event in events if isinstance(event, CompactionStarted | CompactionFailed)] == [
        CompactionStarted, CompactionFailed,
    ]  # fmt: skip


async def test_cancelled_while_it_is_summarised() -> None:
    """Nothing has changed, and the next turn is accepted."""
    with RehearsalServer(
        lambda prompt: (
            Step(text="word " * 500, cut="stall", cut_after_events=4) if asks_for_summary(prompt) else Step(text="hi")
        ),
        pace_s=0,
    ) as server:
        agent = Agent(server.model, provider=server.provider, compaction=policy(400))
        await agent.run("x" * 2000)
        async with agent.stream("and?") as turn:
            async for event in turn:
                if isinstance(event, CompactionStarted):
                    turn.cancel()
        assert turn.result.stop_reason == "cancelled"
        assert [item.type for item in agent.session.items] == ["message"] * 3
        assert agent.session.items == agent.session.transcript


KILLED = """
import os, signal, sys
from agent_core import Agent, Session
from agent_core.testing import RehearsalServer, Step

class Doomed(Session):
    def compact(self, *args, **kwargs):
        if sys.argv[2] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        super().compact(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

with RehearsalServer([Step(text="one")], pace_s=0) as server:
    agent = Agent(server.model, provider=server.provider, session=Doomed.create(sys.argv[1]))
    agent.run_sync("hello")
    import anyio
    anyio.run(agent.compact)
"""


@pytest.mark.parametrize(("when", "types"), [("before", ["message"] * 2), ("after", ["message", "compaction"])])
def test_killed_between_the_summary_and_its_marker(tmp_path: Path, when: str, types: list[str]) -> None:
    """kill -9 when the summary is there and the marker is not leaves the old history; after the marker, the new one."""
    path = tmp_path / "s.jsonl"
    ran = subprocess.run([sys.executable, "-c", KILLED, str(path), when], capture_output=True, check=False, timeout=60)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    with Session.resume(path) as session:
        assert [item.type for item in session.items] == types
        assert [item.type for item in session.transcript] == ["message"] * 2
        assert session.warnings == ()
