"""Compaction by the provider's own endpoint: what is sent, what is kept, and what becomes of it elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import pytest

from agent_core import Agent, ModelClient, RetryPolicy, Session, tool
from agent_core.codecs import CODECS
from agent_core.codecs.base import Compat
from agent_core.codecs.responses_compact import compact_request, encode_compacted
from agent_core.compaction import CompactionPolicy
from agent_core.errors import UnsupportedError
from agent_core.events import Response, Usage
from agent_core.items import Compaction, JsonObject, Message, Origin, WireName, assistant_message, text_of, user_message
from agent_core.prompt import Prompt, ReasoningSettings, ToolSpec
from agent_core.providers import PROVIDERS, Endpoint, Provider, resolve
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.transport import HttpRequest, HttpStream, HttpxTransport, Transport
from agent_core.turn_events import CompactionFinished

pytestmark = pytest.mark.anyio

SEALED = Compaction(encrypted_content="gAAAAB", origin=Origin(wire="responses", provider="openai", item_id="cmp_1"))


@tool(read_only=True)
def look(n: int) -> str:
    """Look at something."""
    return f"output {n} " + "x" * 2000


def with_endpoint(server: RehearsalServer) -> Provider:
    """The server's row, as a provider whose endpoint is known."""
    compat: Mapping[str, object] = {"custom_tools": True, "encrypted_reasoning": True, "compact_endpoint": True}
    return replace(server.provider, wires={**server.provider.wires, "responses": Endpoint(compat=compat)})


def working(steps: int) -> list[Step]:
    return [*(Step(reasoning="r", calls=(Call("look", {"n": n}),)) for n in range(steps)), Step(text="done")]


# the wire


def test_the_request_is_that_of_a_response_without_what_shapes_an_answer() -> None:
    """The members the API names, and no other: `unknown parameter` is a refusal."""
    prompt = Prompt(
        [user_message("hi"), SEALED, assistant_message("yo")],
        instructions="Be brief.",
        tools=[ToolSpec("f")],
        reasoning=ReasoningSettings(effort="high"),
        model="gpt-5.6",
        prompt_cache_key="k",
        max_output_tokens=9,
    )
    compat = Compat(provider="openai", prompt_cache_key=True, store=False, encrypted_reasoning=True)
    whole = CODECS["responses"].encode_request(prompt, compat)
    asked: JsonObject = json.loads(compact_request(whole).body)
    assert set(asked) == {"model", "instructions", "input", "prompt_cache_key"}
    assert asked["input"] == json.loads(whole.body)["input"]


def test_the_answer_as_the_api_documents_it() -> None:
    """Its user messages and its compaction, with what it cost (openai-python, CompactedResponse)."""
    answer = {
        "id": "resp_001",
        "object": "response.compaction",
        "created_at": 1764967971,
        "output": [
            {
                "id": "msg_000",
                "type": "message",
                "status": "completed",
                "content": [{"type": "input_text", "text": "Create a page."}],
                "role": "user",
            },
            {"id": "cmp_001", "type": "compaction", "encrypted_content": "gAAAAABpM0Yj"},
        ],
        "usage": {
            "input_tokens": 139,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 438,
            "output_tokens_details": {"reasoning_tokens": 64},
            "total_tokens": 577,
        },
    }
    prompt = Prompt("x", model="gpt-5.6")
    response = CODECS["responses"].decode_response(json.dumps(answer).encode(), prompt, Compat(provider="openai"))
    made = response.items[-1]
    assert isinstance(made, Compaction) and made.encrypted_content == "gAAAAABpM0Yj"
    assert made.origin == Origin(
        wire="responses", provider="openai", model="gpt-5.6", item_id="cmp_001", response_id="resp_001"
    )
    assert response.usage is not None and response.usage.total == 577


def test_what_a_server_answers_is_read_again() -> None:
    """The user's messages as they came, then what was made."""
    prompt = Prompt([user_message("one"), assistant_message("a"), user_message("two")], model="m")
    body = encode_compacted(prompt, (SEALED,), Response(id="resp_9", usage=Usage(input=3, output=2)))
    output = json.loads(body)["output"]
    assert [entry["type"] for entry in output] == ["message", "message", "compaction"]
    assert output[0]["content"] == [{"type": "input_text", "text": "one"}]
    again = CODECS["responses"].decode_response(body, prompt, Compat(provider="openai"))
    assert again.items[-1] == SEALED.model_copy(
        update={"origin": Origin(wire="responses", provider="openai", model="m", item_id="cmp_1", response_id="resp_9")}
    )


@pytest.mark.parametrize("name", ["openai", "azure"])
def test_rows_that_have_it(name: str) -> None:
    """On the Responses wire alone; nobody else's row says so."""
    env = {"AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com"}
    assert resolve(f"{name}/gpt-5.6", wire="responses", env=env).compat.compact_endpoint
    assert not resolve(f"{name}/gpt-5.6", wire="chat", env=env).compat.compact_endpoint
    others = [row for row in PROVIDERS.values() if row.name not in ("openai", "azure")]
    assert not any(endpoint.compat.get("compact_endpoint") for row in others for endpoint in row.wires.values())


async def test_a_client_asks_the_endpoint() -> None:
    """Its path, in front of a query; where the row has none, that is said before anything is sent."""
    with RehearsalServer([Step(text="hi")], pace_s=0) as server:
        dated = replace(with_endpoint(server), query={"api-version": "1"})
        async with ModelClient("rehearsal/m", provider=dated, wire="responses") as client:
            response = await client.compact(Prompt([user_message("u"), assistant_message("a")]))
        assert server.requests[0].path == "/v1/responses/compact?api-version=1"
        async with ModelClient("rehearsal/m", provider=server.provider, wire="responses") as client:
            with pytest.raises(UnsupportedError, match="no endpoint for compaction"):
                await client.compact("u")
        assert len(server.requests) == 1
    assert [item.type for item in response.items if isinstance(item, Compaction)] == ["compaction"]


# the agent


async def test_a_long_run_is_compacted_by_the_endpoint() -> None:
    """codex.md 8, compact: local vs remote parity. The same run to the same end; the sealed item goes back as it came,
    the user's words stay as ours, and nothing was asked in words."""
    with RehearsalServer(working(20), pace_s=0) as server:
        agent = Agent(
            "rehearsal/m",
            provider=with_endpoint(server),
            wire="responses",
            tools=[look],
            compaction=CompactionPolicy(window=5000),
        )
        async with agent.stream("go") as turn:
            made = [event async for event in turn if isinstance(event, CompactionFinished)]
        paths = [request.path for request in server.requests]
        assert {request.status for request in server.requests} == {200}
    assert turn.result.text == "done" and len(made) > 1
    assert {event.kind for event in made} == {"endpoint"} and all(event.usage.total for event in made)
    assert paths.count("/v1/responses/compact") == len(made) == len(paths) - 21
    first, sealed = agent.session.items[:2]
    assert isinstance(first, Message) and text_of(first) == "go"
    assert isinstance(sealed, Compaction) and sealed.encrypted_content and sealed.summary is None
    assert turn.result.usage.total > sum(event.usage.total for event in made)


@dataclass
class Elsewhere:
    """A transport that finds nothing where the endpoint should be."""

    inner: Transport
    asked: list[str] = field(default_factory=list[str])

    def open(self, request: HttpRequest, *, connect_s: float | None = None) -> AbstractAsyncContextManager[HttpStream]:
        self.asked.append(urlsplit(request.url).path)
        return self.inner.open(replace(request, url=request.url.replace("/compact", "/nothing")), connect_s=connect_s)

    async def aclose(self) -> None:
        await self.inner.aclose()


async def test_an_endpoint_that_refuses_is_not_asked_again_in_the_turn() -> None:
    """A server without it answers 404: the summary is asked for in words, and from then on at once."""
    with RehearsalServer(working(20), pace_s=0) as server:
        transport = Elsewhere(HttpxTransport())
        client = ModelClient("rehearsal/m", provider=with_endpoint(server), wire="responses", transport=transport)
        agent = Agent(client=client, tools=[look], compaction=CompactionPolicy(window=5000))
        async with client, agent.stream("go") as turn:
            made = [event async for event in turn if isinstance(event, CompactionFinished)]
        await transport.aclose()
    assert [event.kind for event in made] == ["local"] * len(made) and len(made) > 1
    assert transport.asked.count("/v1/responses/compact") == 1
    assert turn.result.text == "done"


OTHERS: list[tuple[WireName, str]] = [("chat", "rehearsal"), ("messages", "rehearsal"), ("responses", "elsewhere")]


@pytest.mark.parametrize(("wire", "provider"), OTHERS)
async def test_what_another_provider_sealed_is_opened_again(wire: WireName, provider: str) -> None:
    """It could not read it: the history would begin nowhere. So it gets what was replaced, and may summarise it itself;
    the first provider goes on with that too."""
    with RehearsalServer(working(3), pace_s=0) as server:
        session = Session()
        sealing = with_endpoint(server)
        agent = Agent("rehearsal/m", provider=sealing, wire="responses", tools=[look], session=session)
        await agent.run("go")
        assert (await agent.compact()).kind == "endpoint"
        assert [item.type for item in session.items] == ["message", "compaction"]
        row = replace(server.provider, name=provider)
        other = Agent(f"{provider}/m", provider=row, wire=wire, tools=[look], session=session)
        assert (await other.compact()).kind == "local"
        asked = server.requests[-1].prompt
        assert asked is not None and any("output 2" in str(item) for item in asked.items)
        assert [item.type for item in session.items] == ["message", "compaction"]
        assert isinstance(session.items[1], Compaction) and session.items[1].summary


async def test_what_the_same_provider_sealed_stays_sealed() -> None:
    """Another agent, another day."""
    with RehearsalServer([Step(text="one"), Step(text="two")], pace_s=0) as server:
        session = Session()
        for said in ("first", "second"):
            agent = Agent("rehearsal/m", provider=with_endpoint(server), wire="responses", session=session)
            await agent.run(said)
            if said == "first":
                await agent.compact()
        assert [item.type for item in session.items] == ["message", "compaction", "message", "message"]


async def test_by_policy_a_summary_stays_readable() -> None:
    """`endpoint=False`: for who goes on with another provider."""
    with RehearsalServer([Step(text="one")], pace_s=0) as server:
        agent = Agent(
            "rehearsal/m",
            provider=with_endpoint(server),
            wire="responses",
            compaction=CompactionPolicy(endpoint=False),
        )
        await agent.run("hi")
        assert (await agent.compact()).kind == "local"


async def test_a_model_that_stands_in_gets_what_was_sealed_as_it_was_said() -> None:
    """In the middle of a turn too: the first model has no room for anybody, the second reads what it had sealed."""
    busy: list[bool] = []

    def answer(prompt: Prompt) -> Step:
        return Step(status=529, error="no capacity") if busy else Step(text="the first answer")

    with (
        RehearsalServer(answer, pace_s=0) as server,
        RehearsalServer([Step(text="x"), Step(text="y")], pace_s=0) as other,
    ):
        row = replace(other.provider, name="elsewhere")
        retry = RetryPolicy(max_attempts=1)
        async with ModelClient("elsewhere/m", provider=row, wire="chat", retry=retry) as stand_in:
            agent = Agent(
                "rehearsal/m", provider=with_endpoint(server), wire="responses", retry=retry, fallbacks=[stand_in]
            )
            await agent.run("first")
            assert (await agent.compact()).kind == "endpoint"
            busy.append(True)
            assert (await agent.run("second")).text == "y"
        asked = other.requests[0].prompt
    assert asked is not None
    assert [text_of(item) for item in asked.items if isinstance(item, Message)] == [
        "first",
        "the first answer",
        "second",
    ]
