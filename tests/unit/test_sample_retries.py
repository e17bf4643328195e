"""What a turn tries again, over real HTTP: requests by the client, broken streams by the loop, tools never."""

from __future__ import annotations

import pytest

from agent_core import Agent, ModelClient, RetryPolicy, tool
from agent_core.errors import StreamInterrupted
from agent_core.items import FunctionCallOutput, WireName
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.turn_events import RetryScheduled, SampleRestarted, TurnEvent

pytestmark = pytest.mark.anyio
WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")
QUICK = RetryPolicy(base_delay_s=0.01, jitter_s=0.0, retry_after_cap_s=0.5)
CUT = Step(text="one two three four", cut_after_events=4)
BUSY = Step(status=503, error="busy")


async def watched(agent: Agent, text: str = "go") -> list[TurnEvent]:
    async with agent.stream(text) as turn:
        return [event async for event in turn]


def tried(events: list[TurnEvent]) -> list[tuple[str, int, bool]]:
    return [(one.stage, one.attempt, one.will_retry) for one in events if isinstance(one, RetryScheduled)]


@pytest.mark.parametrize("wire", WIRES)
async def test_requests_and_streams_are_told_alike(wire: WireName) -> None:
    """A 503, a stream that breaks, another 503: three events of one kind, one restart, one answer."""
    step = Step(text="done", failures=(BUSY, CUT, BUSY))
    with RehearsalServer((step,), pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider, wire=wire, retry=QUICK)
        events = await watched(agent)
    assert tried(events) == [("request", 1, True), ("stream", 1, True), ("request", 2, True)]
    assert sum(isinstance(event, SampleRestarted) for event in events) == 1
    assert (len(server.requests), len(agent.session.items)) == (4, 2)


async def test_a_client_of_the_callers_is_watched_too() -> None:
    """`Agent(client=…)` shows what that client tries again, and its policy is the turn's."""
    step = Step(text="done", failures=(BUSY, CUT))
    with RehearsalServer((step,), pace_s=0) as server:
        async with ModelClient("rehearsal/any", provider=server.provider, retry=QUICK) as client:
            events = await watched(Agent(client=client))
    assert tried(events) == [("request", 1, True), ("stream", 1, True)]


async def test_x_s1_20_a_tool_that_ran_is_not_run_again() -> None:
    """X-S1-20: the sample after a tool breaks and is repeated, with the tool's output; the tool ran once."""
    runs: list[int] = []

    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        runs.append(a)
        return a + b

    script = (Step(calls=(Call("add", {"a": 2, "b": 3}),)), Step(text="It is 5.", failures=(CUT, CUT)))
    with RehearsalServer(script, pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider, tools=[add], retry=QUICK)
        assert await agent.ask("2 + 3?") == "It is 5."
    assert (runs, len(server.requests)) == ([2], 4)
    for request in server.requests[1:]:
        assert request.prompt is not None
        assert [item.output for item in request.prompt.items if isinstance(item, FunctionCallOutput)] == ["5"]


async def test_no_policy_no_second_try() -> None:
    """`max_restarts=0`: the break is told, and is the caller's."""
    with RehearsalServer((Step(text="done", failures=(CUT,)),), pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider, retry=RetryPolicy(max_attempts=1, max_restarts=0))
        with pytest.raises(StreamInterrupted) as caught:
            await agent.run("go")
    assert (caught.value.attempt, caught.value.output_emitted, len(server.requests)) == (1, True, 1)
