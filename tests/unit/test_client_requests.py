"""What a client keeps of the requests it wrote, seen from the server."""

from __future__ import annotations

import httpx2
import pytest

from agent_core.client import ModelClient
from agent_core.codecs import WIRES, codec_for
from agent_core.events import Response
from agent_core.items import ResponseItem, WireName, assistant_message, user_message
from agent_core.prompt import Prompt

pytestmark = pytest.mark.anyio


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
