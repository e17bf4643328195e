"""An agent with fallback models: what goes on, with what history, what is told, and what it is charged for."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest

from agent_core import Agent, Fallback, FallbackPolicy, ModelClient, RateLimiter, RetryPolicy, Session, tool
from agent_core.circuit import Circuit
from agent_core.errors import AuthenticationError, ConfigError, HeldBack, OverloadedError, ServerError
from agent_core.fallback import FellBack
from agent_core.items import FunctionCallOutput, Reasoning, WireName
from agent_core.prompt import Prompt
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.turn_events import RetryScheduled, SampleFinished, SampleRestarted, SampleStarted, TurnEvent

pytestmark = pytest.mark.anyio
WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")
ONCE = RetryPolicy(max_attempts=1, max_restarts=0)
BUSY = Step(status=503, error="no capacity")
CUT = Step(text="one two three four five six", cut_after_events=5)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def outputs(prompt: Prompt) -> int:
    return sum(isinstance(item, FunctionCallOutput) for item in prompt.items)


async def watched(agent: Agent, text: str = "go") -> list[TurnEvent]:
    async with agent.stream(text) as turn:
        return [event async for event in turn]


def steps(events: Sequence[TurnEvent]) -> list[str]:
    """What a watcher hears of models, in order."""
    told: list[str] = []
    for event in events:
        match event:
            case FellBack():
                told.append(f"{event.failed} -> {event.model}: {event.reason}")
            case RetryScheduled():
                told.append(f"{event.stage} {event.attempt}")
            case SampleStarted():
                told.append(f"sample {event.number} by {event.model}")
            case SampleRestarted():
                told.append(f"sample {event.number} again")
            case _:
                pass
    return told


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("other", WIRES)
async def test_mid_turn_on_any_wire(wire: WireName, other: WireName) -> None:
    """The first model thinks and calls a tool, then has no capacity: the other one gets call and output on its own
    wire, answers, and stays for the rest of the turn."""

    def first(prompt: Prompt) -> Step:
        return BUSY if outputs(prompt) else Step(reasoning="hm", calls=(Call("add", {"a": 2, "b": 3}),))

    def second(prompt: Prompt) -> Step:
        return Step(text="It is 5.") if outputs(prompt) > 1 else Step(calls=(Call("add", {"a": 5, "b": 0}),))

    with RehearsalServer(first, pace_s=0) as one, RehearsalServer(second, pace_s=0) as two:
        async with ModelClient("rehearsal/b", provider=two.provider, wire=other, retry=ONCE) as stand_in:
            agent = Agent(
                "rehearsal/a", provider=one.provider, wire=wire, tools=[add], retry=ONCE, fallbacks=[stand_in]
            )
            events = await watched(agent, "2 + 3?")
    assert steps(events) == [
        "sample 1 by rehearsal/a",
        "request 1",
        "rehearsal/a -> rehearsal/b: overloaded",
        "sample 2 by rehearsal/b",
        "sample 3 by rehearsal/b",
    ]
    assert (len(one.requests), len(two.requests)) == (2, 2)
    assert [str(item.output) for item in agent.session.items if isinstance(item, FunctionCallOutput)] == ["5", "5"]
    assert agent.session.open_calls() == ()


async def test_a_stream_that_keeps_breaking_goes_on() -> None:
    """After its restarts the next model takes the sample; what was shown is taken back each time, nothing is kept."""
    retry = RetryPolicy(max_attempts=1, max_restarts=1, base_delay_s=0, jitter_s=0)
    with RehearsalServer(lambda prompt: CUT if prompt.model == "a" else Step(text="whole"), pace_s=0) as server:
        agent = Agent("rehearsal/a", provider=server.provider, retry=retry, fallbacks=["rehearsal/b"])
        events = await watched(agent)
    assert steps(events) == [
        "sample 1 by rehearsal/a",
        "stream 1",
        "sample 1 again",
        "sample 1 by rehearsal/a",
        "stream 2",
        "rehearsal/a -> rehearsal/b: stream_interrupted",
        "sample 1 again",
        "sample 1 by rehearsal/b",
    ]
    assert [item.type for item in agent.session.items] == ["message", "message"]
    (finished,) = [event for event in events if isinstance(event, SampleFinished)]
    assert finished.response.text == "whole"


async def test_the_next_turn_passes_over_what_rests() -> None:
    """The agent remembers over its turns which model failed a moment ago, though each turn has its own clients."""
    with RehearsalServer(lambda prompt: BUSY if prompt.model == "a" else Step(text="ok"), pace_s=0) as server:
        agent = Agent("rehearsal/a", provider=server.provider, retry=ONCE, fallbacks=["rehearsal/b"])
        assert [await agent.ask("x") for _ in range(2)] == ["ok"] * 2
        assert steps(await watched(agent)) == ["rehearsal/a -> rehearsal/b: resting", "sample 1 by rehearsal/b"]
        asked = [request.prompt.model for request in server.requests if request.prompt]
        assert asked == ["a", "b", "b", "b"]
        eager = Agent(
            "rehearsal/a",
            provider=server.provider,
            retry=ONCE,
            fallbacks=["rehearsal/b"],
            fallback_policy=FallbackPolicy(rest_s=0),
        )
        assert [await eager.ask("x") for _ in range(2)] == ["ok"] * 2
    asked = [request.prompt.model for request in server.requests[4:] if request.prompt]
    assert asked == ["a", "b", "a", "b"]


async def test_all_fail() -> None:
    """The last error is raised, with the others in `tried`; the session stays fit for the next turn."""
    refusals = {"a": BUSY, "b": Step(status=500, error="broken")}
    with RehearsalServer(lambda prompt: refusals.get(prompt.model, Step(text="ok")), pace_s=0) as server:
        agent = Agent("rehearsal/a", provider=server.provider, retry=ONCE, fallbacks=["rehearsal/b"])
        with pytest.raises(ServerError, match="broken") as caught:
            await agent.run("x")
        refusals.clear()
        assert await agent.ask("again") == "ok"
    ((model, error),) = caught.value.tried
    assert (model, type(error), str(error)) == ("rehearsal/a", OverloadedError, "no capacity")


async def test_a_bad_key_is_heard() -> None:
    """The first model's: nobody else is asked."""
    with RehearsalServer((Step(status=401, error="bad key"),), pace_s=0) as server:
        agent = Agent("rehearsal/a", provider=server.provider, retry=ONCE, fallbacks=["rehearsal/b"])
        with pytest.raises(AuthenticationError):
            await agent.run("x")
    assert len(server.requests) == 1


async def test_what_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens of both models are in the turn's sum."""
    with RehearsalServer(lambda prompt: CUT if prompt.model == "a" else Step(text="whole"), pace_s=0) as server:
        alone = await Agent("rehearsal/b", provider=server.provider).run("x")
        agent = Agent("rehearsal/a", provider=server.provider, wire="messages", retry=ONCE, fallbacks=["rehearsal/b"])
        result = await agent.run("x")
    assert result.usage.input_total > alone.usage.input_total


async def test_reasoning_of_one_provider_stays_there() -> None:
    """What the first model thought is not shown to another provider, and is still in the session for the first."""

    def first(prompt: Prompt) -> Step:
        return BUSY if outputs(prompt) else Step(reasoning="a secret thought", calls=(Call("add", {"a": 2, "b": 3}),))

    with RehearsalServer(first, pace_s=0) as one, RehearsalServer(lambda prompt: Step(text="ok"), pace_s=0) as two:
        other = ModelClient("lab/b", base_url=two.base_url, wire="chat", retry=ONCE)
        async with other:
            agent = Agent("rehearsal/a", provider=one.provider, tools=[add], retry=ONCE, fallbacks=[other])
            assert await agent.ask("go") == "ok"
    assert "a secret thought" not in json.dumps(two.requests[-1].body)
    assert any(isinstance(item, Reasoning) for item in agent.session.items)


async def test_a_fallback_of_ones_own() -> None:
    """`client=` takes one; it may be shared by agents, which then know of each other's failures."""
    with RehearsalServer(lambda prompt: BUSY if prompt.model == "a" else Step(text="ok"), pace_s=0) as server:
        clients = [ModelClient(f"rehearsal/{name}", provider=server.provider, retry=ONCE) for name in "ab"]
        async with clients[0], clients[1]:
            models = Fallback(clients)
            for _ in range(2):
                assert await Agent(client=models).ask("x") == "ok"
            with pytest.raises(ConfigError, match="is a Fallback"):
                Agent(client=models, fallbacks=["rehearsal/c"])
    assert [request.prompt.model for request in server.requests if request.prompt] == ["a", "b", "b"]


async def test_kept_open_and_closed() -> None:
    """As an async context manager it opens all of them once."""
    with RehearsalServer(lambda prompt: BUSY if prompt.model == "a" else Step(text="ok"), pace_s=0) as server:
        async with Agent("rehearsal/a", provider=server.provider, retry=ONCE, fallbacks=["rehearsal/b"]) as agent:
            for _ in range(3):
                await agent.ask("x")
        await agent.aclose()
        assert await agent.ask("x") == "ok"


async def test_a_stand_in_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found out when it is needed: the error says who it was to stand in for, and what to set."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with RehearsalServer((BUSY,), pace_s=0) as server:
        agent = Agent("rehearsal/a", provider=server.provider, retry=ONCE, fallbacks=["groq/m"])
        with pytest.raises(HeldBack, match="groq/m cannot stand in for rehearsal/a: no API key") as caught:
            await agent.run("x")
    assert caught.value.remedy.startswith("set GROQ_API_KEY")
    assert [one.model for one in caught.value.tried] == ["rehearsal/a"]


async def test_a_limiter_for_agents() -> None:
    """Shared by agents and by fallbacks at the same provider, not by others; a circuit likewise."""
    limiter, circuit = RateLimiter(max_in_flight=1), Circuit()
    seen: list[int] = []

    def script(prompt: Prompt) -> Step:
        seen.append(limiter.in_flight)
        return BUSY if prompt.model == "a" else Step(text="ok")

    with RehearsalServer(script, pace_s=0) as server:
        for session in (Session(), Session()):
            agent = Agent(
                "rehearsal/a",
                provider=server.provider,
                retry=ONCE,
                fallbacks=["rehearsal/b"],
                limiter=limiter,
                circuit=circuit,
                session=session,
            )
            assert await agent.ask("x") == "ok"
    assert (seen, limiter.in_flight) == ([1, 1, 1, 1], 0)


OPTIONS: dict[str, tuple[dict[str, object], str]] = {
    "a name, bare": ({"fallbacks": "openai/gpt-5.6"}, "fallbacks must be a list"),
    "a policy of another kind": ({"fallback_policy": RetryPolicy()}, "fallback_policy must be a FallbackPolicy"),
    "a limiter that is a number": ({"limiter": 5}, "limiter must be a RateLimiter, got 5"),
    "a circuit that is a number": ({"circuit": 5}, "circuit must be a Circuit, got 5"),
}


@pytest.mark.parametrize("name", OPTIONS)
async def test_options_are_checked_when_the_agent_is_made(name: str) -> None:
    """Not when the first turn makes clients of them."""
    options, message = OPTIONS[name]
    with pytest.raises(ConfigError, match=message):
        Agent("rehearsal/hello", **options)  # type: ignore[arg-type]  # wrong on purpose


async def test_falling_back_takes_no_time() -> None:
    """No wait between models."""
    began = time.monotonic()
    with RehearsalServer(lambda prompt: BUSY if prompt.model == "a" else Step(text="ok"), pace_s=0) as server:
        await Agent("rehearsal/a", provider=server.provider, retry=ONCE, fallbacks=["rehearsal/b"]).ask("x")
    assert time.monotonic() - began < 2.0
