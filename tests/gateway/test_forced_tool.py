"""A tool is forced and the backend writes the call as text: its client gets a call, at every endpoint.

Each backend's codec reads it (`Compat.text_calls`, on by default), so a gateway needs nothing of its own for it. The
client here reads no calls out of text: what it is told is what was on the wire.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import pytest

from agent_core import ModelClient, Prompt, ToolSpec
from agent_core.aggregation import fold
from agent_core.codecs import CODECS, WIRES
from agent_core.codecs.base import Compat
from agent_core.codecs.grammar import check_events
from agent_core.codecs.whole import response_events
from agent_core.events import OutputTextDelta, ResponseEvent
from agent_core.gateway import Gateway
from agent_core.items import FunctionCall, JsonObject, JsonValue, WireName
from agent_core.prompt import NamedTool
from agent_core.testing import RehearsalServer, Step, last_user_text

from .running import running
from .test_relay import PATHS

SCHEMA: JsonObject = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
FIND = ToolSpec("find", parameters=SCHEMA)
TOOLS: dict[WireName, JsonObject] = {
    "chat": {"type": "function", "function": {"name": "find", "parameters": SCHEMA}},
    "responses": {"type": "function", "name": "find", "parameters": SCHEMA},
    "messages": {"name": "find", "input_schema": SCHEMA},
}
FORCED: dict[tuple[WireName, str], JsonValue] = {
    ("chat", "named"): {"type": "function", "function": {"name": "find"}},
    ("chat", "any"): "required",
    ("responses", "named"): {"type": "function", "name": "find"},
    ("responses", "any"): "required",
    ("messages", "named"): {"type": "tool", "name": "find"},
    ("messages", "any"): {"type": "any"},
}
CALLS = {
    "fenced": '```json\n{"q": "a"}\n```',
    "code": "```tool_code\nprint(default_api.find(q='a'))\n```",
}
TEXTS = {"an error": '{"error": "no"}', "a set": "print(find(q={'a'}))", "prose": "I would call find."}


@pytest.fixture(scope="module", params=WIRES)
def http(request: pytest.FixtureRequest) -> Iterator[httpx2.Client]:
    """A gateway whose backend speaks a wire, and says what it is asked to."""
    said = {**CALLS, **TEXTS}
    with RehearsalServer(lambda prompt: Step(text=said[last_user_text(prompt)]), pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider, wire=request.param)
        with running(Gateway(default=client)) as url, httpx2.Client(base_url=url) as http:
            yield http


def events_of(http: httpx2.Client, wire: WireName, choice: str, asked: str, *, stream: bool) -> list[ResponseEvent]:
    """What a client is told; of a whole answer what it would have been as a stream."""
    member = "input" if wire == "responses" else "messages"
    answer = http.post(
        PATHS[wire],
        json={
            "model": "any",
            "stream": stream,
            "max_tokens": 64,
            member: [{"role": "user", "content": asked}],
            "tools": [TOOLS[wire]],
            "tool_choice": FORCED[wire, choice],
        },
    )
    assert answer.status_code == 200
    codec, compat = CODECS[wire], Compat(text_calls="never")
    prompt = Prompt(asked, tools=[FIND], tool_choice=NamedTool("find"))
    if not stream:
        return response_events(codec.decode_response(answer.content, prompt, compat))
    decoder = codec.stream_decoder(prompt, compat)
    return [*decoder.feed(answer.content), *decoder.close()]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("choice", "asked", "stream"), [("named", "code", True), ("any", "fenced", True), ("any", "code", False)]
)
def test_the_client_gets_a_call(http: httpx2.Client, wire: WireName, stream: bool, choice: str, asked: str) -> None:
    """X-S3-02 X-S3-03 X-S3-09 X-S3-18: one call, no text beside it, and calls are why it ended."""
    events = events_of(http, wire, choice, asked, stream=stream)
    check_events(events)
    answer = fold(events)
    (call,) = answer.tool_calls
    assert isinstance(call, FunctionCall) and (call.name, json.loads(call.arguments)) == ("find", {"q": "a"})
    assert not any(isinstance(event, OutputTextDelta) for event in events)
    assert (answer.text, answer.finish_reason) == ("", "tool_calls")


@pytest.mark.parametrize(("wire", "asked"), list(zip(WIRES, TEXTS, strict=True)))
def test_what_is_no_call_stays_text(http: httpx2.Client, wire: WireName, asked: str) -> None:
    """X-S3-04: given out as it is."""
    events = events_of(http, wire, "named", asked, stream=True)
    check_events(events)
    assert "".join(event.delta for event in events if isinstance(event, OutputTextDelta)) == TEXTS[asked]
    assert fold(events).finish_reason == "stop"
