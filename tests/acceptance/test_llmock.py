"""Every fault of llmock on every wire, and then its verdict: a judge of clients by other people.

It sees each attempt and when it came, and says FAIL for a retry before Retry-After is over, for a retry that cannot
help, for a storm of them, for half an answer that was taken for one; and warns of a call that is given up at once, of
retries without growing waits, of a stall sat out, of a broken event ignored. PASS means no finding, no warning either.
What it cannot see is held here: which events the turn had, and that no tool was run on a broken call.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from itertools import product

import httpx2
import pytest

pytest.importorskip("openai", reason="the openai SDK is not installed")
pytest.importorskip("anthropic", reason="the anthropic SDK is not installed")

import anthropic
import openai
from anthropic.types import MessageParam

from agent_core import Agent, RetryPolicy, Tool, tool
from agent_core.codecs import WIRES
from agent_core.items import FunctionCallOutput, JsonObject, Message, WireName, text_of
from agent_core.transport import Timeouts
from agent_core.turn import Turn
from agent_core.turn_events import RetryScheduled, SampleRestarted

from ..reliability import LONG

pytestmark = [pytest.mark.acceptance, pytest.mark.anyio]

ANSWER = "The whole answer, in as many words as it takes to break a stream in the middle of it."
AFTER = 7  # events: on every wire some text is out by then, and some is not
PATHS: dict[WireName, str] = {"chat": "/v1", "responses": "/v1", "messages": "/anthropic"}

RETRY = RetryPolicy(base_delay_s=0.1, jitter_s=0.02)
TIMEOUTS = Timeouts(first_event_s=10.0, idle_s=10.0)
RETRY_AFTER_S = 1 if LONG else 0.4
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
    "429": Fault({"type": "fail", "status": 429, "retry_after": RETRY_AFTER_S}, ("tried again: rate_limited",)),
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
            case RetryScheduled(stage="request", reason=reason):
                happened.append(f"tried again: {reason}")
            case SampleRestarted(error=error):
                happened.append(f"sampled again: {type(error).__name__}")
            case _:
                pass
    return tuple(happened)


def on_loops(names: Collection[str]) -> pytest.MarkDecorator:
    """Every name on every wire and both loops; everyday once each, on a wire and a loop by turns."""
    loops = ("asyncio", "trio")
    every = list(product(names, WIRES, loops))
    turns = [(name, WIRES[n % len(WIRES)], loops[n % len(loops)]) for n, name in enumerate(names)]
    cells = every if LONG else turns
    return pytest.mark.parametrize(("name", "wire", "anyio_backend"), cells)


@on_loops(FAULTS)
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


@on_loops(BROKEN_CALLS)
async def test_a_broken_call_is_answered_and_never_run(name: str, wire: WireName, judge: Judge) -> None:
    """Arguments that are no JSON and tools nobody offered become outputs that say so; the model goes on from there."""
    ran: list[str] = []

    @tool
    def weather(city: str) -> str:
        """The weather of a city."""
        ran.append(city)
        return "sunny"

    await judge.script({"type": "tool_fault", "kind": name})
    async with agent_for(judge, wire, weather) as agent:
        result = await agent.run("What is the weather in Paris?")
    outputs = [item for item in result.items if isinstance(item, FunctionCallOutput)]
    assert (ran, result.stop_reason, result.samples) == ([], "completed", 2)
    assert [item.success for item in outputs] == [False]
    assert re.search(BROKEN_CALLS[name], str(outputs[0].output))
    assert await judge.verdict() == PASS


async def openai_chat(url: str) -> str:
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="k") as client:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Say it all."}], stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


async def openai_responses(url: str) -> str:
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="k") as client:
        stream = await client.responses.create(model="m", input="Say it all.", stream=True)
        return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])


async def anthropic_messages(url: str) -> str:
    asked: MessageParam = {"role": "user", "content": "Say it all."}
    async with (
        anthropic.AsyncAnthropic(base_url=url + "/anthropic", api_key="k") as client,
        client.messages.stream(model="m", max_tokens=99, messages=[asked]) as stream,
    ):
        return "".join([text async for text in stream.text_stream])


async def a_loop(url: str) -> str:
    """What is often written instead: ask until the status is fine, take what comes."""
    request: JsonObject = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Say it all."}]}
    async with httpx2.AsyncClient(base_url=url) as http:
        while not (response := await http.post("/v1/chat/completions", json=request)).is_success:
            pass
    return response.text


async def our_agent(url: str) -> str:
    agent = Agent("llmock/m", base_url=url + "/v1", wire="chat", retry=RETRY, timeouts=TIMEOUTS)
    return (await agent.run("Say it all.")).text


TRUNCATED = stream_fault("truncate")
TOO_MANY: JsonObject = {"type": "fail", "status": 429, "retry_after": RETRY_AFTER_S}
TORN = stream_fault("malformed")
OTHERS: list[tuple[Callable[[str], Awaitable[str]], JsonObject, str]] = [
    (our_agent, TRUNCATED, PASS),
    (our_agent, TOO_MANY, PASS),
    (our_agent, TORN, PASS),
    (openai_chat, TRUNCATED, "FAIL  truncated_stream_accepted"),
    (openai_responses, TRUNCATED, "FAIL  truncated_stream_accepted"),
    (anthropic_messages, TRUNCATED, "FAIL  truncated_stream_accepted"),
    (openai_chat, TOO_MANY, PASS),
    (anthropic_messages, TOO_MANY, PASS),
    (a_loop, TRUNCATED, "FAIL  truncated_stream_accepted"),
    (a_loop, TOO_MANY, "FAIL  retry_after_ignored"),
    (a_loop, TORN, "WARN  malformed_chunk_ignored"),
]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("ask", "behaviour", "verdict"),
    [pytest.param(*row, id=f"{row[0].__name__}-{row[1].get('kind', '429')}-{row[2].split()[0]}") for row in OTHERS],
)
async def test_what_it_says_of_others(
    ask: Callable[[str], Awaitable[str]], behaviour: JsonObject, verdict: str, judge: Judge
) -> None:
    """The judge is no rubber stamp: it passes who does well, and finds what the official SDKs do with half an answer
    (they return it) and what a loop does with Retry-After."""
    await judge.script({"type": "reply", "text": ANSWER, "times": None}, behaviour)
    said = await ask(judge.url)
    assert (await judge.verdict()).startswith(verdict)
    assert verdict != PASS or said == ANSWER
