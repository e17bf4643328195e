"""Follow-ups go where their beginning is known: what counts as the same beginning, and when it is forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import anthropic.types
import httpx2
import openai.types.chat
import openai.types.responses
import pytest

from agent_core import Prompt, Response, ToolSpec
from agent_core.codecs import CODECS, WIRES
from agent_core.codecs.base import Compat, json_bytes, json_list, json_object
from agent_core.errors import InvalidRequestError, ModelError, OverloadedError, ServerError
from agent_core.gateway.affinity import Affinity, session_of
from agent_core.gateway.prefixes import Prefixes
from agent_core.gateway.stores import StoreDown
from agent_core.items import (
    CustomToolCall,
    FunctionCall,
    FunctionCallOutput,
    JsonObject,
    Origin,
    Reasoning,
    ResponseItem,
    WireName,
    assistant_message,
    user_message,
)

from .backing import Backing, Broken, asking, heard, said

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def turn(*items: ResponseItem | str) -> Prompt:
    """User and assistant in turn, where they are texts."""
    made = [
        item if not isinstance(item, str) else (assistant_message(item) if n % 2 else user_message(item))
        for n, item in enumerate(items)
    ]
    return Prompt(made, model="any")


FOLLOWS: dict[str, tuple[list[Prompt], str]] = {
    "the second turn after one message": ([turn("hi", "hello", "more")], "b"),
    "an edited answer": ([turn("hi", "hello!", "more")], ""),
    "an edited question": ([turn("hi!", "hello", "more")], ""),
    "the same question again": ([turn("hi")], ""),
    "other instructions": ([replace(turn("hi", "hello", "more"), instructions="Be brief.")], ""),
    "other tools": ([replace(turn("hi", "hello", "more"), tools=(ToolSpec("add"),))], ""),
    "another model": ([turn("hi", "hello", "more").with_model("other")], ""),
    "space around an answer": ([turn("hi", " hello\n", "more")], "b"),
    "a later answer that was edited": ([turn("hi", "hello", "more"), turn("hi", "hello", "more", "hm", "on")], "b"),
    "another temperature": ([Prompt(turn("hi", "hello", "more").items, model="any", max_output_tokens=9)], "b"),
}


@pytest.mark.parametrize("name", FOLLOWS)
async def test_what_follows(name: str) -> None:
    """X-S3-05: what was answered is part of what is known, from the first turn on (S3-26's weakness)."""
    prompts, expected = FOLLOWS[name]
    backing = Backing(said("hello"))
    sticky = Affinity().around(backing)
    backing.deployment = "b"
    for prompt in (turn("hi"), *prompts):
        await heard(sticky, asking(prompt))
    assert backing.asks[-1].prefer == expected


async def test_callers_know_nothing_of_each_other() -> None:
    affinity = Affinity()
    sticky = affinity.around(backing := Backing(said("hello"), deployment="b"))
    for prompt, caller in (
        (turn("hi"), "one"),
        (turn("hi", "hello", "more"), "other"),
        (turn("hi", "hello", "on"), "one"),
    ):
        await heard(sticky, asking(prompt, caller=caller))
    assert [ask.prefer for ask in backing.asks] == ["", "", "b"]
    assert affinity.numbers() == {"known": 1, "unknown": 2}


# the answer as it comes back

THOUGHT = Reasoning(
    content=("First the sum.",), signature="s", origin=Origin(wire="messages", model="m", field="thinking")
)
CALL = FunctionCall(call_id="call_1", name="add", arguments='{"b": 2.50, "a":1}')
REPLIES: dict[str, tuple[ResponseItem, ...]] = {
    "text": (assistant_message("Five."),),
    "thought and text": (THOUGHT, assistant_message("Five.")),
    "text and a call": (THOUGHT, assistant_message("I will add."), CALL),
    "two texts and two calls": (
        assistant_message("One. "),
        CALL,
        assistant_message("Two."),
        FunctionCall(call_id="call_2", name="now", arguments=""),
    ),
    "a free call": (CustomToolCall(call_id="call_1", name="patch", input="*** Begin"),),
}
ASKED = Prompt(
    [user_message("What is 2 + 3?")],
    instructions="Be brief.",
    tools=[ToolSpec("add")],
    model="any",
    max_output_tokens=64,
)
OUTPUTS = [FunctionCallOutput(call_id=f"call_{n}", output="5") for n in (1, 2)]


def received(wire: WireName, body: bytes) -> Prompt:
    return CODECS[wire].decode_request(body).prompt


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", REPLIES)
def test_our_client_comes_back(wire: WireName, name: str) -> None:
    """Encoded, read by a client, sent again with what followed, and read: the same beginning."""
    codec, reply = CODECS[wire], Response("resp_1", "any", REPLIES[name], "stop")
    first = received(wire, codec.encode_request(ASKED, Compat(custom_tools=True)).body)
    seen = codec.decode_response(codec.encode_response(reply, first), ASKED, Compat()).items
    calls = {item.call_id for item in seen if isinstance(item, FunctionCall | CustomToolCall)}
    more: list[ResponseItem] = [output for output in OUTPUTS if output.call_id in calls]
    history = [*ASKED.items, *seen, *(more or [user_message("And 3 + 4?")])]
    again = received(wire, codec.encode_request(replace(ASKED, items=tuple(history)), Compat(custom_tools=True)).body)
    assert Prefixes("", first).with_reply(reply.items) in Prefixes("", again).ends


def chat_again(body: bytes) -> list[JsonObject]:
    message = openai.types.chat.ChatCompletion.model_validate_json(body).choices[0].message
    return [message.model_dump(mode="json")]


def responses_again(body: bytes) -> list[JsonObject]:
    output = openai.types.responses.Response.model_validate_json(body).output
    return [item.model_dump(mode="json") for item in output]


def messages_again(body: bytes) -> list[JsonObject]:
    content = anthropic.types.Message.model_validate_json(body).content
    return [{"role": "assistant", "content": [block.model_dump(mode="json") for block in content]}]


SDKS: dict[WireName, Callable[[bytes], list[JsonObject]]] = {
    "chat": chat_again, "responses": responses_again, "messages": messages_again,
}  # fmt: skip


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "name", [name for name in REPLIES if name not in ("a free call", "a call whose arguments are none")]
)
def test_the_official_sdks_come_back(wire: WireName, name: str) -> None:
    """With their own objects, as they write them: nulls, ids, statuses and all."""
    codec, reply = CODECS[wire], Response("resp_1", "any", REPLIES[name], "stop")
    member = "input" if wire == "responses" else "messages"
    body = json_object(received_json(codec.encode_request(ASKED, Compat()).body)) or {}
    first = received(wire, json_bytes(body))
    more = SDKS[wire](codec.encode_response(reply, first))
    body[member] = [*json_list(body[member]), *more, {"role": "user", "content": "And 3 + 4?"}]
    chain = Prefixes("", received(wire, json_bytes(body)))
    assert Prefixes("", first).with_reply(reply.items) in chain.ends


def received_json(body: bytes) -> object:
    return httpx2.Response(200, content=body).json()


# sessions

UUID = "01a1f841-4979-7941-ba20-6370d9d3601d"
SESSIONS: dict[str, tuple[Prompt, dict[str, str]]] = {
    "Codex, by its cache key": (Prompt("a", model="any", prompt_cache_key="k"), {"thread-id": "t"}),
    "Codex, by its thread": (Prompt("a", model="any"), {"thread-id": "t", "session-id": "s"}),
    "Claude Code, by its header": (Prompt("a", model="any"), {"x-claude-code-session-id": UUID}),
    "Claude Code, by its user": (Prompt("a", model="any", user=f"user_1_account__session_{UUID}"), {}),
    "Claude Code, by its user as JSON": (Prompt("a", model="any", user=f'{{"session_id": "{UUID}"}}'), {}),
}


@pytest.mark.parametrize("name", SESSIONS)
async def test_a_session_is_known_where_its_beginning_is_not(name: str) -> None:
    """A client that shortens its history still says who it is; another caller's session is another's."""
    prompt, headers = SESSIONS[name]
    sticky = Affinity().around(backing := Backing(deployment="b"))
    later = replace(prompt, items=turn("else").items)
    for asked, caller in ((prompt, ""), (later, ""), (later, "another")):
        await heard(sticky, asking(asked, caller=caller, headers=headers))
    assert [ask.prefer for ask in backing.asks] == ["", "b", ""]


def test_a_user_is_no_session() -> None:
    """Many sessions have one: nothing is bound to it alone."""
    assert session_of(asking(Prompt("a", user="somebody"))) == ""


# forgetting

FAILURES: dict[str, tuple[ModelError, bool, str]] = {
    "before it began": (OverloadedError("busy", status=529), False, ""),
    "in the middle": (ServerError("broken"), True, ""),
    "the client's own fault": (InvalidRequestError("no", status=400), False, "b"),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_deployment_that_fails_is_forgotten(name: str) -> None:
    """Also in the middle of a stream (S3-28's weakness)."""
    error, late, expected = FAILURES[name]
    sticky = Affinity().around(backing := Backing(said("hello"), error, said("hello"), late=late, deployment="b"))
    await heard(sticky, asking(turn("hi")))
    with pytest.raises(type(error)):
        await heard(sticky, asking(turn("hi", "hello", "more")))
    await heard(sticky, asking(turn("hi", "hello", "more")))
    assert [ask.prefer for ask in backing.asks] == ["", "b", expected]


async def test_who_stands_in_is_who_knows_it_now() -> None:
    """The one that could not answer is not asked for again."""
    sticky = Affinity().around(backing := Backing(said("hello"), deployment="b"))
    await heard(sticky, asking(turn("hi")))
    backing.deployment = "c"
    await heard(sticky, asking(turn("hi", "hello", "more")))
    await heard(sticky, asking(turn("hi", "hello", "more")))
    await heard(sticky, asking(turn("hi", "hello", "more", "hello", "on")))
    assert [ask.prefer for ask in backing.asks] == ["", "b", "", "c"]


async def test_what_is_not_whole_is_not_known() -> None:
    """A client that left: nobody knows what it would have been told."""
    sticky = Affinity().around(backing := Backing(said("hello"), deployment="b"))
    async with sticky.answer(asking(turn("hi"))) as answer:
        await anext(answer.events)
    await heard(sticky, asking(turn("hi", "hello", "more")))
    assert backing.asks[-1].prefer == ""


async def test_a_store_that_is_down_costs_no_answer() -> None:
    sticky = Affinity(Broken(StoreDown())).around(backing := Backing(said("hello"), deployment="b"))
    for prompt in (turn("hi"), turn("hi", "hello", "more")):
        await heard(sticky, asking(prompt))
    assert [ask.prefer for ask in backing.asks] == ["", ""]


def test_a_long_history_is_hashed_once() -> None:
    """Each turn has its hash, made in one pass."""
    texts: Sequence[str] = [f"text {n}" for n in range(2001)]
    assert len(Prefixes("", turn(*texts)).ends) == 1000
