"""What an agent's requests say over a whole tool loop, seen from the server: the second like the first."""

from __future__ import annotations

from dataclasses import replace

import httpx2
import pytest

from agent_core import Agent, Session
from agent_core.codecs import WIRES, codec_for
from agent_core.codecs.base import json_list, json_object
from agent_core.events import Response
from agent_core.items import JsonObject, JsonValue, WireName, assistant_message, user_message
from agent_core.prompt import Prompt, ToolSpec
from agent_core.providers import CompatOverrides
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.tools.base import ToolCall, ToolContext, ToolOutput
from tests.counting import counted_calls

pytestmark = pytest.mark.anyio

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"x": {"$ref": "#/$defs/X"}, "default": {"const": "d"}},
    "$defs": {"X": {"type": "integer", "exclusiveMinimum": 0}},
    "additionalProperties": False,
}


class Look:
    """A tool with a schema that Gemini does not read."""

    spec = ToolSpec("look", "Looks.", SCHEMA)
    read_only = True
    parallel = True
    timeout_s: float | None = None

    def approval(self, call: ToolCall, context: ToolContext) -> None:
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        return ToolOutput("seen")


async def bodies(compat: CompatOverrides) -> list[JsonObject]:
    """The two requests of a turn with one call in it."""
    looking = (Step(text="Let me check.", calls=(Call("look", {"x": 1, "default": "d"}),)), Step(text="Done."))
    with RehearsalServer(looking, pace_s=0, strict=False) as server:
        provider = replace(server.provider, compat=compat)
        agent = Agent("rehearsal/any", provider=provider, wire="chat", tools=[Look()])
        await agent.ask("Look.")
        return [request.body or {} for request in server.requests]


async def test_x_s0_07_the_second_request_has_cleaned_schemas_too() -> None:
    """X-S0-07 W-S0-07: a tool loop on a Gemini-like server: every request is built by the same code."""
    first, second = await bodies({"schema_dialect": "gemini"})
    assert first["tools"] == second["tools"]
    assert b"$ref" not in repr(first["tools"]).encode() and "'default'" in repr(first["tools"])


async def test_x_s0_08_no_stream_options_in_any_request() -> None:
    """X-S0-08 W-S0-08: where the profile omits them, streaming, first and follow-up."""
    for body in await bodies({"include_usage": False}):
        assert (body["stream"], "stream_options" in body) == (True, False)


async def test_x_s0_19_what_was_said_before_a_call_is_in_the_next_request() -> None:
    """X-S0-19 W-S0-19: the assistant's message has its text, and the call the id that the output answers."""
    _, second = await bodies({})
    _, made, output = map(as_object, json_list(second["messages"]))
    (call,) = map(as_object, json_list(made["tool_calls"]))
    assert (made["content"], output["content"]) == ("Let me check.", "seen")
    assert call["id"] == output["tool_call_id"]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_turn_costs_what_is_new_without_a_block(wire: WireName) -> None:
    """Each turn opens and closes a client of its own, and goes on with what the one before wrote: one more turn takes
    about as many steps after 300 turns as after 3."""
    few, many = [await cost_of_one_more_turn(wire, count) for count in (3, 300)]
    assert many < few * 1.1


async def cost_of_one_more_turn(wire: WireName, count: int) -> int:
    """How many Python functions are called, after so many turns, by the second one of an agent."""
    history = [item for _ in range(count) for item in (user_message("u"), assistant_message("a"))]
    answer = codec_for(wire).encode_response(Response("r", "m", (assistant_message("Yes."),), "stop"), Prompt("x"))

    def server(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=answer, headers={"content-type": "application/json"})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(server)) as http:
        agent = Agent("lab/m", base_url="http://server.test/v1", wire=wire, http=http, session=Session(items=history))
        await agent.ask("first")
        with counted_calls() as calls:
            await agent.ask("next")
    return calls[0]


def as_object(value: JsonValue) -> JsonObject:
    return json_object(value) or {}
