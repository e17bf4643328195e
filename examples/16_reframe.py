"""One wire in the shape of another: a Chat server's stream, as a client of Messages reads it. No server in between."""

import anyio
import httpx2

from agent_core.codecs import codec_for, reframe
from agent_core.codecs.base import Compat
from agent_core.testing import RehearsalServer

ASKED = b"""{"model": "weather", "max_tokens": 500, "stream": true,
  "messages": [{"role": "user", "content": "Weather in Oslo?"}],
  "tools": [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]}"""


async def main() -> None:
    client, server = codec_for("messages"), codec_for("chat")
    asked = client.decode_request(ASKED)
    with RehearsalServer() as rehearsal:
        sent = server.encode_request(asked.prompt, Compat(), stream=asked.stream)
        stream = reframe("chat", "messages", asked.prompt)
        url = rehearsal.base_url + server.path
        async with httpx2.AsyncClient() as http, http.stream("POST", url, content=sent.body) as answer:
            async for data in answer.aiter_bytes():
                print(stream.feed(data).decode(), end="")
        print(stream.close().decode(), end="")
    print(stream.response.tool_calls[0])


anyio.run(main)
