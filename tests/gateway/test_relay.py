"""What goes through a gateway: the same answer on every pair of wires, and every failure as what it is."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import anyio
import httpx2
import pytest

from agent_core import ModelClient, Prompt, ReasoningSettings, Response, RetryPolicy, ToolSpec, Usage
from agent_core.codecs import WIRES
from agent_core.errors import ContextLengthError, ModelError, OverloadedError, ServerError
from agent_core.gateway import Gateway
from agent_core.items import FunctionCall, JsonObject, Message, Reasoning, WireName, text_of, user_message
from agent_core.testing import Call, RehearsalServer, Step, last_user_text

from ..loopback import STALL, chunk, exchange, serve, sse_head
from .running import running

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The gateway has a loop of its own, in another thread; this one is that of its clients."""
    return "asyncio"


ONCE = RetryPolicy(max_attempts=1)
USED = Usage(input=7, output=5, reasoning=2)
ANSWER = Step(
    reasoning="First the sum.",
    text="I will add: 2 + 3.",
    calls=(Call("add", {"a": 2, "b": 3}, "call_one"),),
    usage=USED,
)
PROMPT = Prompt(
    [user_message("What is 2 + 3?")],
    instructions="Be brief.",
    tools=[ToolSpec("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})],
    reasoning=ReasoningSettings(effort="low"),
    max_output_tokens=500,
)


@pytest.fixture(scope="module", params=WIRES)
def backend(request: pytest.FixtureRequest) -> Iterator[tuple[WireName, str, RehearsalServer]]:
    """A wire, a gateway whose backend speaks it, and that backend."""
    wire: WireName = request.param
    with RehearsalServer([ANSWER], pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider, wire=wire)
        with running(Gateway(default=client)) as url:
            yield wire, url, server


def said(response: Response) -> dict[str, object]:
    """What of an answer has to come through."""
    calls = [item for item in response.items if isinstance(item, FunctionCall)]
    used = response.usage or Usage()
    return {
        "text": "".join(text_of(item) for item in response.items if isinstance(item, Message)),
        "reasoning": "".join(item.text for item in response.items if isinstance(item, Reasoning)),
        "calls": [(call.name, json.loads(call.arguments)) for call in calls],
        "finish": response.finish_reason,
        "tokens": (used.input_total, used.output_total),
        "model": response.model,
    }


EXPECTED: dict[str, object] = {
    "text": ANSWER.text,
    "reasoning": ANSWER.reasoning,
    "calls": [("add", {"a": 2, "b": 3})],
    "finish": "tool_calls",
    "tokens": (7, 7),
    "model": "any",
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
async def test_an_answer_is_the_same_on_every_pair(
    backend: tuple[WireName, str, RehearsalServer], wire: WireName, streamed: bool
) -> None:
    """Text, reasoning, calls, why it ended, what it used, and the name of the model as it was asked for."""
    _, url, server = backend
    async with ModelClient("lab/any", base_url=f"{url}/v1", wire=wire, retry=ONCE) as client:
        if streamed:
            async with client.stream(PROMPT) as events:
                async for _event in events:
                    pass
            response = events.snapshot()
        else:
            response = await client.complete(PROMPT)
    assert said(response) == EXPECTED
    got = server.requests[-1].prompt
    assert got is not None
    assert (got.instructions, got.model, got.max_output_tokens) == ("Be brief.", "m", 500)
    assert [spec.name for spec in got.tools if isinstance(spec, ToolSpec)] == ["add"]


FAILURES: dict[str, tuple[Step, type[ModelError], str]] = {
    "overloaded": (Step(status=529, error="busy"), OverloadedError, ""),
    "the gateway's key": (Step(status=401, error="bad key sk-secret"), ServerError, "refused the gateway's key"),
    "a prompt that is too long": (
        Step(status=400, error="This model's maximum context length is 10 tokens", code="context_length_exceeded"),
        ContextLengthError,
        "",
    ),
    "broken in the middle": (Step(text="half of it is here", cut_after_events=4), ModelError, ""),
    "an error in the stream": (Step(text="half of it is here", cut_after_events=4, cut="error"), ModelError, ""),
}


@pytest.fixture(scope="module")
def failing_url() -> Iterator[str]:
    """A gateway whose backend fails in the way that is named in what it is asked."""
    with (
        RehearsalServer(lambda prompt: FAILURES[last_user_text(prompt)][0], pace_s=0) as server,
        running(Gateway(default=ModelClient("rehearsal/m", provider=server.provider, retry=ONCE))) as url,
    ):
        yield url


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_is_never_an_answer(failing_url: str, name: str, wire: WireName, streamed: bool) -> None:
    """It reaches the client as an error of the wire it speaks, and nothing that could be taken for the end."""
    _, kind, words = FAILURES[name]
    async with ModelClient("lab/any", base_url=f"{failing_url}/v1", wire=wire, retry=ONCE) as client:
        with pytest.raises(kind) as caught:
            if not streamed:
                await client.complete(name)
            async with client.stream(name) as events:
                async for _event in events:
                    pass
    assert words in caught.value.message and "sk-secret" not in caught.value.message + caught.value.body


async def test_a_client_that_leaves_ends_the_backends_answer(caplog: pytest.LogCaptureFixture) -> None:
    """While the backend is silent, in the middle of an answer."""
    caplog.set_level(logging.INFO, "agent_core.gateway")
    begun = chunk(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"he"}}]}\n\n')
    async with serve(exchange(sse_head(), begun, STALL)) as backend:
        client = ModelClient("lab/m", base_url=backend.url, retry=ONCE)
        with running(Gateway(default=client)) as url:
            async with ModelClient("lab/any", base_url=f"{url}/v1", retry=ONCE) as asking:
                async with asking.stream("hi") as events:
                    assert (await anext(events)) is not None
                with anyio.fail_after(10):
                    await backend.left.wait()
    # Another gateway's last record may come late: it has a thread of its own.
    records = [record.__dict__ for record in caplog.records]
    assert [record["outcome"] for record in records if record["model"] == "lab/m"] == ["client_left"]


@pytest.mark.parametrize("wire", WIRES)
def test_silence_is_broken_by_pings(wire: WireName) -> None:
    """So that neither a proxy nor the client takes a model that thinks for a connection that is dead."""
    with RehearsalServer([Step(text="one two three four")], pace_s=0.05) as server:
        client = ModelClient("rehearsal/m", provider=server.provider)
        with running(Gateway(default=client, ping_s=0.01)) as url:
            answer = httpx2.post(url + PATHS[wire], json=asked(wire, stream=True)).text
    assert answer.count("ping") > 1
    assert answer.index("ping") < answer.index("four")


PATHS: dict[WireName, str] = {
    "chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages",
}  # fmt: skip


def asked(wire: WireName, *, stream: bool = False) -> JsonObject:
    member = "input" if wire == "responses" else "messages"
    messages: JsonObject = {member: [{"role": "user", "content": "secret words"}]}
    return {"model": "any", "stream": stream, "max_tokens": 64, **messages}


async def test_the_log_has_facts_and_no_words(caplog: pytest.LogCaptureFixture) -> None:
    """One record a request: who answered, how it ended, what it took; nothing that was said."""
    caplog.set_level(logging.INFO, "agent_core.gateway")
    with RehearsalServer([ANSWER], pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider)
        with running(Gateway(default=client)) as url:
            async with httpx2.AsyncClient(headers={"x-request-id": "mine-1"}) as http:
                response = await http.post(url + PATHS["chat"], json=asked("chat"))
    assert (response.status_code, response.headers["x-request-id"]) == (200, "mine-1")
    (record,) = caplog.records
    facts = {name: record.__dict__[name] for name in ("wire", "outcome", "status", "tokens_in", "request_id")}
    assert facts == {"wire": "chat", "outcome": "completed", "status": 200, "tokens_in": 7, "request_id": "mine-1"}
    assert "secret" not in str(record.__dict__) and "I will" not in str(record.__dict__)


LOST: dict[str, tuple[WireName, WireName, JsonObject, str]] = {
    "a setting the other wire lacks": ("chat", "messages", {"seed": 7}, "seed"),
    "a member only the client's wire knows": (
        "messages",
        "chat",
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
        "context_management",
    ),
    "nothing, on its own wire": ("messages", "messages", {"context_management": {"edits": []}}, ""),
}


@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_is_said(name: str) -> None:
    """By name, in a header: the caller can see what its backend did not get."""
    wire, spoken, member, lost = LOST[name]
    with RehearsalServer([ANSWER], pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider, wire=spoken)
        with running(Gateway(default=client)) as url:
            answer = httpx2.post(url + PATHS[wire], json={**asked(wire), **member})
        got = server.requests[-1].body or {}
    assert (answer.status_code, answer.headers.get("x-agent-core-losses", "")) == (200, lost)
    assert (member.keys() <= got.keys()) == (not lost)
