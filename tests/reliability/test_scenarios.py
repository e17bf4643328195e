"""Scenarios of other systems, on a socket: what their clients and turns do when an answer breaks (behaviours.md 6.C and
6.R, codex.md 8)."""

from __future__ import annotations

import anyio
import pytest

from agent_core import Agent, tool
from agent_core.codecs import WIRES
from agent_core.errors import (
    ModelError,
    QuotaExceededError,
    ServerError,
    StreamInterrupted,
    TransportError,
    TransportTimeout,
)
from agent_core.events import OutputItemDone, ToolCallInputDelta
from agent_core.items import Message, WireName, text_of
from agent_core.prompt import Prompt
from agent_core.retry import RetryPolicy
from agent_core.testing import Call, Fault, Faults, FaultServer, Script, Step
from agent_core.transport import Timeouts
from agent_core.turn_events import RetryScheduled, SampleRestarted, ToolStarted

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("wire", WIRES)]

LOOK = Step(text="I'll look", calls=(Call("weather", {"city": "Paris", "unit": "celsius"}),))
SUNNY = Step(text="It is sunny.")


class Watched:
    """An agent against a server that fails as planned: its tool's runs, and the events of its turns."""

    def __init__(
        self,
        server: FaultServer,
        wire: WireName,
        *,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.ran: list[str] = []
        self.events: list[object] = []

        @tool
        def weather(city: str, unit: str) -> str:
            """The weather of a city."""
            self.ran.append(city)
            return "sunny"

        self.agent = Agent(
            server.model, provider=server.provider, wire=wire, tools=[weather], retry=retry, timeouts=timeouts
        )

    async def turn(self, text: str = "How is it?") -> str:
        async with self.agent.stream(text) as turn:
            async for event in turn:
                self.events.append(event)
        return turn.result.text

    def count(self, *kinds: type) -> list[int]:
        return [sum(isinstance(event, kind) for event in self.events) for kind in kinds]


def quick(*, attempts: int = 1, restarts: int = 0) -> RetryPolicy:
    return RetryPolicy(max_attempts=attempts, max_restarts=restarts, base_delay_s=0.001, jitter_s=0)


async def test_x_s0_23_a_read_error_in_the_text(wire: WireName) -> None:
    """X-S0-23: what was said is on the error, which ends the turn; nothing is done about a call that never came."""
    with FaultServer([LOOK], [Fault("reset", "text")]) as server:
        watched = Watched(server, wire, retry=quick())
        with pytest.raises(TransportError) as caught:
            await watched.turn()
    assert caught.value.partial is not None and caught.value.partial.text == "I'll"
    assert (watched.ran, watched.count(ToolStarted)) == ([], [0])


async def test_x_s0_24_leaving_in_the_middle_of_a_call(wire: WireName) -> None:
    """X-S0-24: whoever leaves while a call streams closes the connection, and no tool is run for it."""
    with FaultServer([LOOK], [Fault("stall", "arguments")]) as server:
        watched = Watched(server, wire)
        async with watched.agent.stream("How is it?") as turn:
            async for event in turn:
                if isinstance(event, ToolCallInputDelta):
                    break
        assert watched.ran == []
        assert [type(item).__name__ for item in watched.agent.session.items] == ["Message", "Message"]
        with anyio.fail_after(1):
            await anyio.to_thread.run_sync(server.close)  # joins the connection's thread, which waits for us to leave


async def test_x_s0_25_silence(wire: WireName) -> None:
    """X-S0-25: longer than the idle limit ends it, with what had come."""
    with FaultServer([LOOK], [Fault("stall", "text")]) as server:
        watched = Watched(server, wire, retry=quick(), timeouts=Timeouts(idle_s=0.1))
        with pytest.raises(TransportTimeout) as caught:
            await watched.turn()
    assert (caught.value.timeout, caught.value.partial and caught.value.partial.text) == ("idle", "I'll")


async def test_x_s1_15_text_and_a_call(wire: WireName) -> None:
    """X-S1-15: the message is done before the call that follows it."""
    with FaultServer([LOOK, SUNNY]) as server:
        watched = Watched(server, wire)
        assert await watched.turn() == "It is sunny."
    done = [event.item.type for event in watched.events if isinstance(event, OutputItemDone)]
    assert done == ["message", "function_call", "message"]


@pytest.mark.parametrize("phase", ["text", "arguments"])
async def test_t_c18_incomplete_then_complete(phase: str, wire: WireName) -> None:
    """T-C18, stream_no_completed: one restart is two requests, and the turn completes."""
    fault = Fault("eof", "text") if phase == "text" else Fault("eof", "arguments")
    with FaultServer([LOOK, SUNNY], [fault]) as server:
        watched = Watched(server, wire, retry=quick(restarts=1))
        assert await watched.turn() == "It is sunny."
        assert len(server.requests) == 3  # the broken one, the same again, and the one with the tool's output
    assert (watched.ran, watched.count(SampleRestarted)) == (["Paris"], [1])


async def test_restarts_are_counted(wire: WireName) -> None:
    """A stream that breaks every time ends in its own error after so many restarts, with what came last."""
    with FaultServer([LOOK], [Fault("eof", "text")] * 9) as server:
        watched = Watched(server, wire, retry=quick(restarts=2))
        with pytest.raises(StreamInterrupted) as caught:
            await watched.turn()
        assert len(server.requests) == 3
    assert caught.value.partial is not None and caught.value.partial.text == "I'll"
    assert watched.count(SampleRestarted) == [2]


FAILURES: list[tuple[Script, Faults, type[ModelError], int]] = [
    ([SUNNY], [Fault("status", status=500)] * 2, ServerError, 2),
    ([SUNNY], [Fault("eof", "text")], StreamInterrupted, 1),
    ([SUNNY], [Fault("eof", "before_headers")] * 2, TransportError, 2),
]


@pytest.mark.parametrize(
    ("script", "faults", "kind", "requests"), FAILURES, ids=lambda value: getattr(value, "__name__", "")
)
async def test_t_c19_a_failed_turn_allows_the_next(
    script: Script, faults: Faults, kind: type[ModelError], requests: int, wire: WireName
) -> None:
    """T-C19, stream_error_allows_next_turn: the error ends its turn alone; the next one works, in the same session."""
    with FaultServer(script, faults) as server:
        watched = Watched(server, wire, retry=quick(attempts=2))
        with pytest.raises(kind):
            await watched.turn()
        assert len(server.requests) == requests
        assert await watched.turn("And now?") == "It is sunny."


NO_CREDIT = "Your credit balance is too low to access the API."


async def test_quota_exceeded_is_told_once(wire: WireName) -> None:
    """quota_exceeded: one error, no retry."""
    with FaultServer([Step(status=429, code="insufficient_quota", error=NO_CREDIT)]) as server:
        watched = Watched(server, wire, retry=quick(attempts=5, restarts=5))
        with pytest.raises(QuotaExceededError):
            await watched.turn()
        assert len(server.requests) == 1
    assert watched.count(RetryScheduled, SampleRestarted) == [0, 0]


async def test_a_first_attempt_that_is_lost_is_made_again(wire: WireName) -> None:
    """A send error, then an answer: two attempts, one clean turn."""
    with FaultServer([SUNNY], [Fault("reset", "before_headers")]) as server:
        watched = Watched(server, wire, retry=quick(attempts=2))
        assert await watched.turn() == "It is sunny."
        assert [request.status for request in server.requests] == [0, 200]
    assert watched.count(RetryScheduled, SampleRestarted) == [1, 0]


async def test_what_was_said_in_a_failed_turn_is_not_lost(wire: WireName) -> None:
    """It is in the next request, once."""

    def echo(prompt: Prompt) -> Step:
        return Step(text=" ".join(text_of(item) for item in prompt.items if isinstance(item, Message)))

    with FaultServer(echo, [Fault("eof", "text", after=0)]) as server:
        watched = Watched(server, wire, retry=quick())
        with pytest.raises(StreamInterrupted):
            await watched.turn("First.")
        assert (await watched.turn("Second.")).replace(" ", "") == "First.Second."
