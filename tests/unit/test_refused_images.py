"""Images only the server can tell are none: refused once, then left out, and no conversation is stuck with one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
import pytest

from agent_core import Agent, Session
from agent_core.codecs import codec_for
from agent_core.errors import BadImageError
from agent_core.events import FinishReason, Response
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    ResponseItem,
    WireName,
    assistant_message,
    user_message,
)
from agent_core.prompt import Prompt, ToolSpec
from agent_core.tools.base import ToolCall, ToolContext, ToolOutput
from agent_core.turn_events import SampleStarted

pytestmark = pytest.mark.anyio

WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")
CUT = "data:image/png;base64,iVBORw0KGgo="
"""Begins like an image, and ends there."""
REFUSAL = {"error": {"message": "The image data you provided does not represent a valid image", "type": "bad"}}
NOTE = b"[image left out: the provider refused it]"


class Camera:
    """A tool that returns a file which is cut."""

    spec = ToolSpec("look")
    read_only = True
    parallel = True
    timeout_s: float | None = None

    def approval(self, call: ToolCall, context: ToolContext) -> None:
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        return ToolOutput((InputImage(image_url=CUT),))


class Provider:
    """A server that reads no such image. `bodies` are all it was asked, refused ones too."""

    def __init__(self, wire: WireName, *, calls: bool = False) -> None:
        self.wire: WireName = wire
        self.bodies: list[bytes] = []
        self._calls = calls

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.bodies.append(request.content)
        if b"iVBORw0KGgo" in request.content:
            return httpx2.Response(400, json=REFUSAL)
        called = b"look" in request.content and NOTE not in request.content
        items: tuple[ResponseItem, ...] = (assistant_message("Fine."),)
        finish: FinishReason = "stop"
        if self._calls and called:
            items, finish = (FunctionCall(call_id="c1", name="look", arguments="{}"),), "tool_calls"
        answer = codec_for(self.wire).encode_response(Response("r", "m", items, finish), Prompt("x"))
        return httpx2.Response(200, content=answer, headers={"content-type": "application/json"})


@asynccontextmanager
async def agent_of(provider: Provider, session: Session, *tools: Camera) -> AsyncGenerator[Agent]:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(provider)) as http:
        url = "http://server.test/v1"
        yield Agent("lab/m", base_url=url, wire=provider.wire, http=http, session=session, tools=tools)


@pytest.mark.parametrize("wire", WIRES)
async def test_the_user_hears_of_a_picture_and_goes_on_without_it(wire: WireName) -> None:
    """The turn that brought it raises; the next ones have a note in its place, and say so in their report."""
    provider, session = Provider(wire), Session()
    async with agent_of(provider, session) as agent:
        with pytest.raises(BadImageError):
            await agent.run(user_message("look", CUT))
        for said in ("and now?", "and now?"):
            async with agent.stream(said) as turn:
                started = [event async for event in turn if isinstance(event, SampleStarted)]
            assert turn.result.text == "Fine."
            (repair,) = started[0].repairs
            assert (repair.kind, repair.item_index, repair.reason) == ("replaced_image", 0, "the provider refused it")
    assert [NOTE in body for body in provider.bodies] == [False, True, True]
    assert CUT in str(session.items[0])  # what was said stays said


@pytest.mark.parametrize("wire", WIRES)
async def test_a_tool_s_picture_is_left_out_in_the_same_turn(wire: WireName) -> None:
    """codex history (replace_last_turn_images): nobody can take it back, so the request goes out again without it."""
    provider, session = Provider(wire, calls=True), Session()
    async with agent_of(provider, session, Camera()) as agent:
        assert await agent.ask("look") == "Fine."
    assert [NOTE in body for body in provider.bodies] == [False, False, True]
    assert CUT in str(session.items[2])


@pytest.mark.parametrize("wire", WIRES)
async def test_a_resumed_session_is_not_stuck_either(wire: WireName) -> None:
    """Another provider took it, this one does not: the turn that is not at fault does not fail."""
    taken = (user_message("look", CUT), assistant_message("A cat."))
    provider, session = Provider(wire), Session(items=taken)
    async with agent_of(provider, session) as agent:
        assert await agent.ask("Sure?") == "Fine."
        assert await agent.ask("Sure?") == "Fine."
    assert [NOTE in body for body in provider.bodies] == [False, True, True]


async def test_a_refusal_that_is_about_nothing_we_sent_is_raised() -> None:
    """Without an image in the request there is nothing to leave out: the error is the caller's to see, once."""
    asked: list[bytes] = []

    def server(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.content)
        return httpx2.Response(400, json=REFUSAL)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(server)) as http:
        history: list[ResponseItem] = [user_message("u"), FunctionCall(call_id="c", name="f")]
        history.append(FunctionCallOutput(call_id="c", output="x"))
        agent = Agent("lab/m", base_url="http://server.test/v1", http=http, session=Session(items=history))
        with pytest.raises(BadImageError):
            await agent.run("hi")
    assert len(asked) == 1
