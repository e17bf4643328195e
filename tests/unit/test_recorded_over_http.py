"""Recorded streams, over a socket in pieces of odd sizes: what each transport gives is what its decoder makes of the
bytes. Every day a few of each wire; under AGENT_CORE_LONG=1 all of them."""

from __future__ import annotations

import os
from itertools import chain

import pytest

from agent_core import ModelClient
from agent_core.codecs import CODECS, WIRES
from agent_core.errors import ModelError
from agent_core.events import Response
from agent_core.items import WireName
from agent_core.prompt import Prompt
from agent_core.retry import RetryPolicy
from agent_core.transport_choice import TransportName

from ..loopback import END, Exchange, chunk, exchange, serve, sse_head
from ..recordings import needs_recordings, streams
from ..stacks import STACKS

pytestmark = [pytest.mark.anyio, needs_recordings]

PROMPT = Prompt("Hello", model="m")
EVERY = 1 if os.environ.get("AGENT_CORE_LONG") == "1" else 90


def in_pieces(body: bytes) -> Exchange:
    """In chunks of 1, 2, 3 … bytes, over and over, several in a write."""
    pieces: list[bytes] = []
    start, size = 0, 1
    while start < len(body):
        pieces.append(chunk(body[start : start + size]))
        start, size = start + size, size % 97 + 1
    return exchange(sse_head(), *(b"".join(pieces[n : n + 7]) for n in range(0, len(pieces), 7)), END)


def decoded(client: ModelClient, body: bytes) -> tuple[Response, str]:
    decoder = CODECS[client.wire].stream_decoder(PROMPT, client.resolved.compat)
    decoder.feed(body)
    if not decoder.done:
        decoder.close()
    return decoder.snapshot(), str(decoder.error or "")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("anyio_backend", "sender"), STACKS)
async def test_what_comes_over_a_socket(sender: TransportName, wire: WireName) -> None:
    """The same answer, or the same error, however the bytes were cut."""
    bodies = {str(one): one.body for one in streams(wire)[::EVERY] if one.body.lstrip()[:1] not in b"{["}
    assert bodies
    async with serve(*chain(map(in_pieces, bodies.values()))) as server:
        client = ModelClient(
            "lab/m", base_url=server.url, wire=wire, transport=sender, retry=RetryPolicy(max_attempts=1)
        )
        async with client:
            for name, body in bodies.items():
                answer, told = decoded(client, body)
                try:
                    async with client.stream(PROMPT) as events:
                        async for _ in events:
                            pass
                        assert (events.snapshot(), "") == (answer, told), name
                except ModelError as error:
                    assert (error.message, error.partial or Response()) == (told, answer), name
