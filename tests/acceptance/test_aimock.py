"""Client and agent against aimock, a scripted server by other people: every wire, both event loops.

The script is tests/fixtures/aimock.json; which entry answers is decided by the user's words. aimock counts matches per
`x-test-id`, so tests with a first and a second time use an id of their own.
"""

from __future__ import annotations

import json
from itertools import count

import pytest

from agent_core import Agent, RetryPolicy, tool
from agent_core.aggregation import fold
from agent_core.client import ModelClient
from agent_core.codecs import WIRES
from agent_core.codecs.grammar import EventGrammar
from agent_core.errors import (
    ApiError,
    AuthenticationError,
    ModelError,
    OverloadedError,
    RateLimitError,
    StreamInterrupted,
    TransportError,
)
from agent_core.events import OutputTextDelta, Response, ResponseEvent
from agent_core.items import FunctionCall, FunctionCallOutput, Message, Reasoning, WireName, text_of
from agent_core.prompt import Prompt, ToolSpec
from agent_core.turn_events import SampleRestarted

pytestmark = [pytest.mark.acceptance, pytest.mark.anyio]
each_wire = pytest.mark.parametrize("wire", WIRES)

PATIENT = RetryPolicy(max_attempts=3, jitter_s=0.0)
QUICK = RetryPolicy(max_attempts=3, base_delay_s=0.01, jitter_s=0.0)
HALF = "A half answer"
WEATHER = ToolSpec("weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})

_ids = count()


class Waits:
    """The waits a client asked for, none of them waited."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


def client_for(url: str, wire: WireName, retry: RetryPolicy = PATIENT, waits: Waits | None = None) -> ModelClient:
    headers = {"x-test-id": f"test-{next(_ids)}"}
    return ModelClient("aimock/m", base_url=f"{url}/v1", wire=wire, retry=retry, sleep=waits, headers=headers)


async def told(client: ModelClient, prompt: Prompt | str) -> tuple[list[ResponseEvent], ModelError | None]:
    """The events of one answer and the error it ended with, checked by the grammar."""
    grammar = EventGrammar()
    events: list[ResponseEvent] = []
    error: ModelError | None = None
    async with client:
        try:
            async with client.stream(prompt) as stream:
                async for event in stream:
                    grammar.feed(event)
                    events.append(event)
        except ModelError as caught:
            error = caught
    grammar.end(error)
    return events, error


def text_in(events: list[ResponseEvent]) -> str:
    return "".join(event.delta for event in events if isinstance(event, OutputTextDelta))


def said(response: Response) -> list[tuple[str, str]]:
    """What an answer holds, without the ids the server made up: reasoning, text, calls with arguments re-spaced."""
    held: list[tuple[str, str]] = []
    for item in response.items:
        match item:
            case Reasoning():
                held.append(("reasoning", "".join((*item.summary, *item.content))))
            case Message():
                held.append(("text", text_of(item)))
            case FunctionCall():
                held.append((item.name, json.dumps(json.loads(item.arguments))))
            case _:
                held.append((item.type, ""))
    return held


ANSWERS: dict[str, list[tuple[str, str]]] = {
    "plain words": [("text", "A codec turns bytes into events – and back. ✓")],
    "think first": [("reasoning", "Six times seven is the question."), ("text", "Forty-two.")],
    "one call": [("weather", '{"city": "Paris"}')],
    "two calls": [
        ("text", "Let me look."),
        ("weather", '{"city": "Paris"}'),
        ("weather", '{"city": "Oslo"}'),
    ],
}


@each_wire
@pytest.mark.parametrize("words", ANSWERS)
async def test_an_answer_streamed_and_whole(words: str, wire: WireName, aimock_url: str) -> None:
    """Text, reasoning and calls come out the same from a stream and from a whole answer, on every wire."""
    prompt = Prompt(words, tools=[WEATHER])
    events, error = await told(client_for(aimock_url, wire), prompt)
    async with client_for(aimock_url, wire) as client:
        whole = await client.complete(prompt)
    streamed = fold(events)
    assert (error, said(streamed), said(whole)) == (None, ANSWERS[words], ANSWERS[words])
    assert (streamed.finish_reason, streamed.usage) == (whole.finish_reason, whole.usage)
    assert streamed.status == whole.status == "completed"


@each_wire
async def test_usage_is_what_the_server_says(wire: WireName, aimock_url: str) -> None:
    """Counters are read from whatever each wire calls them."""
    events, _ = await told(client_for(aimock_url, wire), "plain words")
    usage = fold(events).usage
    assert usage is not None
    assert (usage.input, usage.output, usage.total) == (12, 9, 21)


@tool
async def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: {len(city)} degrees"


LOOPS: dict[str, tuple[str, list[str]]] = {
    "one call": ("It is 12 degrees in Paris.", ["Paris: 5 degrees"]),
    "two calls": ("Paris is warmer.", ["Paris: 5 degrees", "Oslo: 4 degrees"]),
}


@each_wire
@pytest.mark.parametrize("words", LOOPS)
async def test_a_tool_loop(words: str, wire: WireName, aimock_url: str) -> None:
    """Every call is answered once, in call order, and the server recognises the outputs in the next request."""
    async with client_for(aimock_url, wire) as client:
        result = await Agent(client=client, tools=[weather]).run(words)
    text, outputs = LOOPS[words]
    calls = [item.call_id for item in result.items if isinstance(item, FunctionCall)]
    answered = [item for item in result.items if isinstance(item, FunctionCallOutput)]
    assert (result.text, result.samples, result.stop_reason) == (text, 2, "completed")
    assert [(item.call_id, item.output) for item in answered] == list(zip(calls, outputs, strict=True))


@each_wire
async def test_a_history_of_two_tool_loops_is_taken_back(wire: WireName, aimock_url: str) -> None:
    """A second turn sends reasoning, calls and outputs of the first one, and the server answers it."""
    async with client_for(aimock_url, wire) as client:
        agent = Agent(client=client, tools=[weather])
        texts = [await agent.ask(words) for words in ("think first", "two calls", "plain words")]
    assert texts == ["Forty-two.", "Paris is warmer.", "A codec turns bytes into events – and back. ✓"]


@each_wire
async def test_a_busy_server_is_waited_for(wire: WireName, aimock_url: str, waits: Waits) -> None:
    """After one 429 the answer comes; the wait is the one the server asked for."""
    events, error = await told(client_for(aimock_url, wire, waits=waits), "busy once")
    assert (said(fold(events)), error, waits.asked) == ([("text", "Thanks for waiting.")], None, [7.0])


REFUSALS: dict[str, tuple[type[ApiError], int, str, list[float]]] = {
    "always busy": (RateLimitError, 429, "Slow down", [7.0, 7.0]),
    "always full": (OverloadedError, 529, "Overloaded", [0.5, 1.0]),
    "a wrong key": (AuthenticationError, 401, "Invalid key", []),
}


@each_wire
@pytest.mark.parametrize("words", REFUSALS)
async def test_a_refusal_is_the_right_error(words: str, wire: WireName, aimock_url: str, waits: Waits) -> None:
    """429 and 529 end as their own classes after the last try; a bad key is not tried again."""
    events, error = await told(client_for(aimock_url, wire, waits=waits), words)
    kind, status, message, asked = REFUSALS[words]
    assert isinstance(error, kind)
    assert (error.status, error.message, error.attempt, error.partial) == (status, message, len(asked) + 1, None)
    assert (events, waits.asked) == ([], asked)


@each_wire
async def test_a_connection_closed_before_its_head(wire: WireName, aimock_url: str, waits: Waits) -> None:
    """Nothing of an answer came: it is asked for again, and then the network is to blame."""
    events, error = await told(client_for(aimock_url, wire, waits=waits), "no head")
    assert isinstance(error, TransportError)
    assert (events, error.attempt, error.output_emitted, waits.asked) == ([], 3, False, [0.5, 1.0])


@each_wire
@pytest.mark.parametrize("words", ["cut always", "drop always"])
async def test_a_broken_stream_keeps_what_came(words: str, wire: WireName, aimock_url: str, waits: Waits) -> None:
    """The error of a stream that breaks carries exactly the text that was shown, and no attempt is repeated unseen."""
    events, error = await told(client_for(aimock_url, wire, waits=waits), words)
    assert isinstance(error, StreamInterrupted | TransportError)
    assert error.partial is not None
    shown = text_in(events)
    assert shown.startswith(HALF)
    assert said(error.partial) == [("text", shown)]
    assert (error.output_emitted, error.attempt, error.retryable, waits.asked) == (True, 1, True, [])


@each_wire
async def test_an_agent_samples_a_broken_stream_again(wire: WireName, aimock_url: str) -> None:
    """Half an answer is shown and taken back; the history holds the whole one only."""
    async with client_for(aimock_url, wire, QUICK) as client:
        agent = Agent(client=client)
        async with agent.stream("cut once") as turn:
            restarts = [event async for event in turn if isinstance(event, SampleRestarted)]
    assert [(event.number, type(event.error)) for event in restarts] == [(1, StreamInterrupted)]
    assert [text_of(item) for item in agent.session.items if isinstance(item, Message)] == [
        "cut once",
        "The whole answer.",
    ]
    assert turn.result.text == "The whole answer."
