"""Every fault of llmock on every wire, and then its verdict: a judge of clients by other people.

It sees each attempt and when it came, and says FAIL for a retry before Retry-After is over, for a retry that cannot
help, for a storm of them, for half an answer that was taken for one; and warns of a call that is given up at once, of
retries without growing waits, of a stall sat out, of a broken event ignored. PASS means no finding, no warning either.
What it cannot see is held here: which events the turn had, and that no tool was run on a broken call.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest

from agent_core import Agent, RetryPolicy, Tool, tool
from agent_core.codecs import WIRES
from agent_core.items import FunctionCallOutput, JsonObject, Message, WireName, text_of
from agent_core.transport import Timeouts
from agent_core.turn import Turn
from agent_core.turn_events import RetryScheduled, SampleRestarted

pytestmark = [pytest.mark.acceptance, pytest.mark.anyio]

ANSWER = "The whole answer, in as many words as it takes to break a stream in the middle of it."
AFTER = 7  # events: on every wire some text is out by then, and some is not
PATHS: dict[WireName, str] = {"chat": "/v1", "responses": "/v1", "messages": "/anthropic"}

RETRY = RetryPolicy(base_delay_s=0.1, jitter_s=0.02)
TIMEOUTS = Timeouts(first_event_s=10.0, idle_s=10.0)
IMPATIENT = Timeouts(first_event_s=10.0, idle_s=1.0)

PASS = "PASS  the client handled every injected fault correctly."


@dataclass(frozen=True, slots=True)
class Fault:
    """What llmock is told to do, once, and what the turn then shows besides its answer."""

    behaviour: JsonObject
    seen: tuple[str, ...]
    timeouts: Timeouts = TIMEOUTS


def stream_fault(kind: str, **more: float) -> JsonObject:
    return {"type": "stream_fault", "kind": kind, "after_chunks": AFTER, **more}


FAULTS = {
    "disconnect, three times": Fault(stream_fault("disconnect", times=3), ("sampled again: StreamInterrupted",) * 3),
    "truncate": Fault(stream_fault("truncate"), ("sampled again: StreamInterrupted",)),
    "malformed": Fault(stream_fault("malformed"), ("sampled again: MalformedStream",)),
    "stall": Fault(stream_fault("stall", stall_seconds=2), ("sampled again: TransportTimeout",), IMPATIENT),
    "slow first token": Fault({"type": "slow_first_token", "seconds": 0.6}, ()),
    "429": Fault({"type": "fail", "status": 429, "retry_after": 1}, ("tried again: rate_limited",)),
    "503": Fault({"type": "fail", "status": 503, "retry_after": 0.3}, ("tried again: overloaded",)),
    "529, three times": Fault(
        {"type": "fail", "status": 529, "retry_after": 0.2, "times": 3}, ("tried again: overloaded",) * 3
    ),
}


class Judge:
    """llmock's control API."""

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self.url = url
        self._http = http

    async def script(self, *behaviours: JsonObject) -> None:
        """Forget what was, and do this from now on."""
        (await self._http.post("/_llmock/reset")).raise_for_status()
        (await self._http.post("/_llmock/scenario", json={"behaviors": list(behaviours)})).raise_for_status()

    async def verdict(self) -> str:
        """The last paragraph of its report: PASS, or what it found."""
        response = await self._http.get("/_llmock/verdict", params={"format": "text"})
        return response.raise_for_status().text.partition("\n\n")[2].strip()


@pytest.fixture
async def judge(llmock_url: str) -> AsyncIterator[Judge]:
    async with httpx2.AsyncClient(base_url=llmock_url) as http:
        yield Judge(llmock_url, http)


def agent_for(judge: Judge, wire: WireName, *tools: Tool, timeouts: Timeouts = TIMEOUTS) -> Agent:
    url = judge.url + PATHS[wire]
    return Agent("llmock/m", base_url=url, wire=wire, tools=tools, retry=RETRY, timeouts=timeouts)


async def seen(turn: Turn) -> tuple[str, ...]:
    """What happened in a turn besides what the model said."""
    happened: list[str] = []
    async for event in turn:
        match event:
            case RetryScheduled(reason=reason):
                happened.append(f"tried again: {reason}")
            case SampleRestarted(error=error):
                happened.append(f"sampled again: {type(error).__name__}")
            case _:
                pass
    return tuple(happened)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_of_the_network_or_the_server(name: str, wire: WireName, judge: Judge) -> None:
    """The turn ends with the whole answer, said once, and the judge has nothing to say."""
    fault = FAULTS[name]
    await judge.script({"type": "reply", "text": ANSWER, "times": None}, fault.behaviour)
    async with agent_for(judge, wire, timeouts=fault.timeouts) as agent, agent.stream("Say it all.") as turn:
        happened = await seen(turn)
    texts = [text_of(item) for item in agent.session.items if isinstance(item, Message)]
    assert (happened, texts) == (fault.seen, ["Say it all.", ANSWER])
    assert await judge.verdict() == PASS


BROKEN_CALLS = {
    "malformed_arguments": "arguments were complete|arguments are not valid JSON",
    "unknown_tool": "unsupported call: 'llmock_unknown_tool'; the tools are: weather",
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", BROKEN_CALLS)
async def test_a_broken_call_is_answered_and_never_run(kind: str, wire: WireName, judge: Judge) -> None:
    """Arguments that are no JSON and tools nobody offered become outputs that say so; the model goes on from there."""
    ran: list[str] = []

    @tool
    def weather(city: str) -> str:
        """The weather of a city."""
        ran.append(city)
        return "sunny"

    await judge.script({"type": "tool_fault", "kind": kind})
    async with agent_for(judge, wire, weather) as agent:
        result = await agent.run("What is the weather in Paris?")
    outputs = [item for item in result.items if isinstance(item, FunctionCallOutput)]
    assert (ran, result.stop_reason, result.samples) == ([], "completed", 2)
    assert [item.success for item in outputs] == [False]
    assert re.search(BROKEN_CALLS[kind], str(outputs[0].output))
    assert await judge.verdict() == PASS


CARELESS: dict[str, JsonObject] = {
    "truncated_stream_accepted": stream_fault("truncate"),
    "retry_after_ignored": {"type": "fail", "status": 429, "retry_after": 1},
    "malformed_chunk_ignored": stream_fault("malformed"),
}


@pytest.mark.parametrize("finding", CARELESS)
async def test_a_careless_client_does_not_pass(finding: str, judge: Judge) -> None:
    """The judge is no rubber stamp: who takes what comes, and asks again at once, hears of it."""
    await judge.script({"type": "reply", "text": ANSWER, "times": None}, CARELESS[finding])
    request: JsonObject = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Say it all."}]}
    async with httpx2.AsyncClient(base_url=judge.url) as careless:
        while not (await careless.post("/v1/chat/completions", json=request)).is_success:
            pass
    assert finding in await judge.verdict()
