"""A request to an ASGI application without a server: what it sends, and a client that leaves when it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
from starlette.types import ASGIApp, Message

from agent_core.items import JsonValue

__all__ = ["Got", "call"]


@dataclass
class Got:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    pieces: list[bytes] = field(default_factory=list[bytes])

    @property
    def text(self) -> str:
        return b"".join(self.pieces).decode()


async def call(
    app: ASGIApp,
    path: str,
    body: JsonValue = None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    leave: Callable[[Got], bool] = lambda got: False,
    stalled: bool = False,
) -> Got:
    """What is sent until the answer is over; or until `leave`, asked after each piece, says that the client goes. A
    client that is `stalled` takes the head of an answer, and nothing more for ever."""
    got, left, asked = Got(), anyio.Event(), False
    sent = {"host": "127.0.0.1", **(headers or {})}

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await left.wait()
            return {"type": "http.disconnect"}
        asked = True
        return {"type": "http.request", "body": b"" if body is None else json.dumps(body).encode(), "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            got.status = message["status"]
            got.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            if stalled:
                await anyio.sleep_forever()
            got.pieces.append(message.get("body", b""))
            if not message.get("more_body"):
                left.set()
        if leave(got):
            left.set()
            await anyio.lowlevel.checkpoint()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return got
