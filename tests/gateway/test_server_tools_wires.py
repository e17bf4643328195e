"""Tools that the gateway runs, over HTTP: the same on every pair of wires, streamed and whole."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import httpx2
import pytest

from agent_core import ModelClient, Prompt, Response, ToolSpec, Usage, tool
from agent_core.codecs import WIRES
from agent_core.errors import ModelError
from agent_core.gateway import Gateway
from agent_core.gateway.redis_store import RedisStore
from agent_core.gateway.server_tools import ServerTools
from agent_core.gateway.server_tools_kept import KeptTurns
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    JsonObject,
    Reasoning,
    ResponseItem,
    WireName,
)
from agent_core.testing import Call, RehearsalServer, Step, last_user_text
from agent_core.testing.scripts import answers_in

from .running import running
from .test_relay import ONCE, PATHS
from .test_services import Seen

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The gateway has a loop of its own, in another thread; this one is that of its clients."""
    return "asyncio"


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


ONE = Usage(input=10, output=1)
ADD = Call("add", {"a": 2, "b": 3}, "call_add")
ASK = Call("ask_user", {"what": "name"}, "call_ask")
ASK_USER = ToolSpec("ask_user", "Asks.", {"type": "object", "properties": {"what": {"type": "string"}}})
SCRIPTS: dict[str, Sequence[Step]] = {
    "sum": [
        Step(reasoning="First the sum.", text="I add. ", calls=(ADD,), usage=ONE),
        Step(text="And again. ", calls=(ADD,), usage=ONE),
        Step(text="It is 5.", usage=ONE),
    ],
    "both": [
        Step(text="One moment. ", calls=(ADD,), usage=ONE),
        Step(text="Who are you?", calls=(ADD, ASK), usage=ONE),
        Step(text="It is 5, Ada.", usage=ONE),
    ],
    "fails": [Step(text="I add.", calls=(ADD,), usage=ONE), Step(status=503, error="down")],
}


def play(prompt: Prompt) -> Step:
    return SCRIPTS[last_user_text(prompt)][answers_in(prompt.items)]


@pytest.fixture(scope="module", params=WIRES)
def backend(request: pytest.FixtureRequest) -> Iterator[tuple[str, RehearsalServer]]:
    """A gateway whose backend speaks a wire, and that backend."""
    with RehearsalServer(play, pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider, wire=request.param, retry=ONCE)
        with running(Gateway(default=client, services=[ServerTools([add])])) as url:
            yield url, server


async def answered(url: str, wire: WireName, prompt: Prompt, *, streamed: bool) -> Response:
    async with ModelClient("lab/any", base_url=f"{url}/v1", wire=wire, retry=ONCE) as client:
        if not streamed:
            return await client.complete(prompt)
        async with client.stream(prompt) as events:
            async for _event in events:
                pass
        return events.snapshot()


def outputs(items: Sequence[ResponseItem]) -> list[tuple[str, object]]:
    return [(item.call_id, item.output) for item in items if isinstance(item, FunctionCallOutput)]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
async def test_a_client_sees_one_answer(backend: tuple[str, RehearsalServer], wire: WireName, streamed: bool) -> None:
    """X-S0-12 X-S0-18 X-S0-19: text and reasoning of all answers, none of the calls, usage of all of them."""
    url, server = backend
    response = await answered(url, wire, Prompt("sum"), streamed=streamed)
    reasoning = [item.text for item in response.items if isinstance(item, Reasoning)]
    assert (response.text, reasoning) == ("I add. And again. It is 5.", ["First the sum."])
    assert (response.tool_calls, response.finish_reason) == ((), "stop")
    assert response.usage is not None
    assert (response.usage.input_total, response.usage.output_total) == (30, 3)
    asked = server.requests[-1].prompt
    assert asked is not None and [str(output) for _, output in outputs(asked.items)] == ["5", "5"]


@pytest.mark.parametrize(("wire", "streamed"), [("chat", True), ("responses", False), ("messages", True)])
async def test_a_client_answers_its_own_calls(
    backend: tuple[str, RehearsalServer], wire: WireName, streamed: bool
) -> None:
    """S0-60 X-S0-15: it is given its call alone; its answer finds the gateway's calls and outputs where they were."""
    url, server = backend
    first = Prompt("both", tools=[ASK_USER])
    response = await answered(url, wire, first, streamed=streamed)
    assert [item.name for item in response.tool_calls if isinstance(item, FunctionCall)] == ["ask_user"]
    assert response.finish_reason == "tool_calls"
    answer = FunctionCallOutput(call_id=response.tool_calls[0].call_id or "", output="Ada")
    second = Prompt([*first.items, *response.items, answer], tools=[ASK_USER])
    assert (await answered(url, wire, second, streamed=streamed)).text == "It is 5, Ada."
    asked = server.requests[-1].prompt
    assert asked is not None
    assert [output for _, output in outputs(asked.items)] == ["5", "5", "Ada"]
    named = [item.name for item in asked.items if isinstance(item, FunctionCall)]
    assert named == ["add", "add", "ask_user"]


def raw(url: str, wire: WireName, text: str) -> list[dict[str, Any]]:
    """The events of a stream as they are on the wire."""
    member = "input" if wire == "responses" else "messages"
    body: JsonObject = {"model": "any", "stream": True, "max_tokens": 64, member: [{"role": "user", "content": text}]}
    if wire == "chat":
        body["stream_options"] = {"include_usage": True}
    said = httpx2.post(url + PATHS[wire], json=body).text
    lines = [line.removeprefix("data: ") for line in said.splitlines() if line.startswith("data: ")]
    assert lines.count("[DONE]") == (wire == "chat")
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.fixture(scope="module")
def chat_url() -> Iterator[str]:
    with RehearsalServer(play, pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider, retry=ONCE)
        with running(Gateway(default=client, services=[ServerTools([add])])) as url:
            yield url


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
async def test_a_follow_up_that_fails_is_an_error(chat_url: str, wire: WireName, streamed: bool) -> None:
    """X-S0-16: no answer that looks whole, and no call to run."""
    with pytest.raises(ModelError) as caught:
        await answered(chat_url, wire, Prompt("fails"), streamed=streamed)
    partial = caught.value.partial
    assert partial is None or not partial.tool_calls


def test_one_stream_of_chat(chat_url: str) -> None:
    """X-S0-18: one id, one role, one finish, one usage, one end."""
    chunks = raw(chat_url, "chat", "sum")
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert len({str(chunk["id"]) for chunk in chunks}) == 1
    text = json.dumps(choices)
    assert (text.count('"role"'), text.count("tool_calls"), len([chunk for chunk in chunks if chunk.get("usage")])) == (
        1,
        0,
        1,
    )
    finishes = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    assert finishes == ["stop"]


def test_one_stream_of_responses(chat_url: str) -> None:
    """T-H12 T-H13 T-H14 T-H15: items are numbered on from answer to answer, each under an id of its own, and the end
    lists them all; one response begins and one ends."""
    events = raw(chat_url, "responses", "sum")
    added = [event for event in events if event["type"] == "response.output_item.added"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [event["output_index"] for event in added] == [0, 1, 2, 3]
    assert len({str(event["item"]["id"]) for event in added}) == 4
    created, end = events[0]["response"], events[-1]["response"]
    assert (end["id"], end["status"], end["output"]) == (created["id"], "completed", done)
    assert [item["type"] for item in done] == ["reasoning", "message", "message", "message"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_one_stream_of_messages(chat_url: str) -> None:
    """One message begins and one ends; blocks are numbered on."""
    events = raw(chat_url, "messages", "sum")
    kinds = [str(event["type"]) for event in events]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    assert (kinds.count("message_start"), kinds.count("message_delta")) == (1, 1)
    starts = [event["index"] for event in events if event["type"] == "content_block_start"]
    assert starts == list(range(len(starts))) and "tool_use" not in json.dumps(events)


def test_every_request_of_the_loop_is_made_for_its_backend() -> None:
    """X-S0-07 X-S0-08: what its server does not take is in none of them."""
    schema: JsonObject = {"type": "object", "properties": {"what": {"type": "string"}}, "$schema": "x"}
    with RehearsalServer(play, pace_s=0) as server:
        client = ModelClient(
            "rehearsal/m",
            provider=server.provider,
            wire="chat",
            compat={"include_usage": False, "schema_dialect": "gemini"},
        )
        with running(Gateway(default=client, services=[ServerTools([add])])) as url:
            offered: JsonObject = {"type": "function", "function": {"name": "ask_user", "parameters": schema}}
            body: JsonObject = {"messages": [{"role": "user", "content": "sum"}], "tools": [offered], "model": "m"}
            assert httpx2.post(f"{url}/v1/chat/completions", json={**body, "stream": True}).status_code == 200
    bodies = [json.dumps(request.body) for request in server.requests]
    assert len(bodies) == 3
    assert not any("stream_options" in body or "$schema" in body for body in bodies)


def test_all_of_it_is_on_the_bill() -> None:
    """X-S0-12: every request of the backend is, each by itself."""
    seen = Seen()
    with RehearsalServer(play, pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider, retry=ONCE)
        with running(Gateway(default=client, services=[ServerTools([add])], watchers=[seen])) as url:
            raw(url, "messages", "sum")
    assert [billed.usage.total for billed in seen.served[0].bill] == [11, 11, 11]


async def test_a_client_that_leaves_ends_the_tool() -> None:
    """S0-74 X-S0-24: the tool is cancelled, the backend is asked no more, and the record says who left."""
    running_now, ended = threading.Event(), threading.Event()

    @tool
    async def add(a: int, b: int) -> int:
        """Add."""
        running_now.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        return a + b

    seen = Seen()
    with RehearsalServer(play, pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider, retry=ONCE)
        with running(Gateway(default=client, services=[ServerTools([add])], watchers=[seen])) as url:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: answered(url, "chat", Prompt("sum"), streamed=True))
                assert await anyio.to_thread.run_sync(running_now.wait, 10)
                tasks.cancel_scope.cancel()
            assert await anyio.to_thread.run_sync(ended.wait, 10)
    assert ([served.outcome for served in seen.served], len(server.requests)) == (["client_left"], 1)


async def test_several_gateways_share_turns(redis_url: str) -> None:
    """The client's answer may come to another one than its question."""
    first = Prompt("both", tools=[ASK_USER])
    with RehearsalServer(play, pace_s=0) as server:

        def gateway() -> Gateway:
            client = ModelClient("rehearsal/m", provider=server.provider, retry=ONCE)
            kept = KeptTurns(RedisStore(redis_url, prefix="turns:"))
            return Gateway(default=client, services=[ServerTools([add], kept=kept)])

        with running(gateway()) as one, running(gateway()) as other:
            response = await answered(one, "chat", first, streamed=True)
            answer = FunctionCallOutput(call_id=response.tool_calls[0].call_id or "", output="Ada")
            second = Prompt([*first.items, *response.items, answer], tools=[ASK_USER])
            await answered(other, "chat", second, streamed=True)
        asked = server.requests[-1].prompt
    assert asked is not None and [str(output) for _, output in outputs(asked.items)] == ["5", "5", "Ada"]
