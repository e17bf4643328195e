"""What a client keeps of the requests it wrote, seen from the server."""

from __future__ import annotations

import httpx2
import pytest

from agent_core.client import KeptBodies, ModelClient
from agent_core.codecs import WIRES, codec_for
from agent_core.errors import ApiError
from agent_core.events import Response
from agent_core.items import ResponseItem, WireName, assistant_message, user_message
from agent_core.prompt import Prompt
from agent_core.providers import resolve

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("wire", WIRES)
async def test_codex_builder_headers_of_a_sub_agent(wire: WireName) -> None:
    """codex builder (conversation id + review sub-agent -> headers set): headers of the caller's go with every request,
    and win over those of the row."""
    sent: list[httpx2.Headers] = []

    def server(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.headers)
        return httpx2.Response(404, json={"error": {"message": "no"}})

    mine = {"Conversation_ID": "c", "session_id": "s", "x-openai-subagent": "review", "user-agent": "mine"}
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(server)) as http:
        client = ModelClient("lab/m", base_url="http://server.test/v1", wire=wire, http=http, headers=mine)
        for _ in range(2):
            with pytest.raises(ApiError):
                await client.complete("hi")
        await client.aclose()
    assert [{name: headers[name] for name in mine} for headers in sent] == [mine, mine]


async def test_what_is_kept_goes_on_for_the_same_kind_of_server() -> None:
    """Another address of the same row goes on; another wire or another way to write begins anew, and so does the way
    back."""
    kept = KeptBodies()
    chat = resolve("lab/m", base_url="http://127.0.0.1:1/v1")
    moved = resolve("lab/n", base_url="http://127.0.0.1:2/v1")
    strings = resolve("lab/m", base_url="http://127.0.0.1:1/v1", compat={"content_as_string": True})
    messages = resolve("lab/m", base_url="http://127.0.0.1:1/v1", wire="messages")
    first = kept.encoder_for(chat)
    assert kept.encoder_for(moved) is first
    others = [kept.encoder_for(strings), kept.encoder_for(messages), kept.encoder_for(chat)]
    assert first not in others and len(set(map(id, others))) == 3


@pytest.mark.parametrize("wire", WIRES)
async def test_every_body_is_what_a_new_client_would_send(wire: WireName) -> None:
    """Two conversations grow side by side over one client, and each body is its own conversation's alone."""
    answer = codec_for(wire).encode_response(Response("r", "m", (assistant_message("Yes."),), "stop"), Prompt("x"))
    sent: list[bytes] = []

    def server(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.content)
        return httpx2.Response(200, content=answer, headers={"content-type": "application/json"})

    due: list[bytes] = []
    talks: list[list[ResponseItem]] = [[user_message("a")], [user_message("b")]]
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(server)) as http:
        client = ModelClient("lab/m", base_url="http://server.test/v1", wire=wire, http=http)
        for _ in range(3):
            for talk in talks:
                prompt = Prompt(talk, model="m")
                talk += (*(await client.complete(prompt)).items, user_message("Go on."))
                due.append(codec_for(wire).encode_request(prompt, client.resolved.compat, stream=False).body)
        await client.aclose()
    assert sent == due
