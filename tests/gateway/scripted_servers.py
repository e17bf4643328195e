"""Deployments whose servers are scripts, in virtual time: no sockets, and every request is noted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import anyio

from agent_core import ModelClient, Prompt, RetryPolicy
from agent_core.circuit import Circuit
from agent_core.codecs.base import json_bytes
from agent_core.gateway.asking import Ask
from agent_core.gateway.backends import Backends
from agent_core.gateway.deployments import Deployment
from agent_core.items import JsonObject, user_message
from agent_core.prices import Price
from agent_core.transport import HttpRequest, HttpStream

USED = {"prompt_tokens": 30, "completion_tokens": 10}
ONCE = RetryPolicy(max_attempts=1)


@dataclass(frozen=True, slots=True)
class Reply:
    """After `delay_s`, a status; with 200 an answer whose second half comes after `pause_s`, unless it is `cut`, or the
    `body` as it stands."""

    status: int = 200
    delay_s: float = 0.0
    pause_s: float = 0.0
    cut: bool = False
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    error: JsonObject = field(default_factory=dict[str, "object"])  # type: ignore[arg-type]


class Scripted:
    """A Transport that gives a reply a request, the last one for ever."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies) or [Reply()]
        self.requests: list[HttpRequest] = []
        self.open_now = 0

    @asynccontextmanager
    async def open(self, request: HttpRequest, *, connect_s: float | None = None) -> AsyncGenerator[HttpStream]:
        self.requests.append(request)
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        self.open_now += 1
        try:
            await anyio.sleep(reply.delay_s)
            async with aclosing(_chunks(reply)) as chunks:
                yield HttpStream(reply.status, reply.headers, chunks)
        finally:
            self.open_now -= 1

    async def aclose(self) -> None: ...


async def _chunks(reply: Reply) -> AsyncGenerator[bytes]:
    if reply.status != 200:
        yield json_bytes({"error": {"message": "no", **reply.error}})
        return
    if reply.body:
        yield reply.body
        return
    yield b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
    await anyio.sleep(reply.pause_s)
    if not reply.cut:
        yield b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        yield b"data: " + json_bytes({"id": "c", "choices": [], "usage": dict(USED)}) + b"\n\ndata: [DONE]\n\n"


def server(name: str, *replies: Reply, window: int | None = None, wire: str = "chat") -> ModelClient:
    """A client of one; it tries once."""
    compat = {} if window is None else {"context_window": window}
    return ModelClient(
        f"lab/{name}",
        base_url="http://lab/v1",
        wire=wire,
        transport=Scripted(*replies),
        retry=ONCE,
        compat=compat,
    )


def deployment(
    name: str,
    *replies: Reply,
    window: int | None = None,
    wire: str = "chat",
    weight: int = 1,
    price: Price | None = None,
    rpm: int | None = None,
    tpm: int | None = None,
    most: int | None = None,
    failures: int = 2,
) -> Deployment:
    return Deployment(
        server(name, *replies, window=window, wire=wire),
        name=name,
        weight=weight,
        price=price,
        requests_per_minute=rpm,
        tokens_per_minute=tpm,
        max_in_flight=most,
        circuit=Circuit(failures=failures, cooldown_s=30),
    )


def ask_for(model: str = "m", *, prefer: str = "", text: str = "hi") -> Ask:
    return Ask(Prompt([user_message(text)], model=model), "chat", prefer=prefer)


async def answered(backends: Backends, ask: Ask | None = None) -> str:
    """Who answered, once the answer was read to its end."""
    async with backends.answer(ask or ask_for()) as answer:
        async for _event in answer.events:
            pass
    return answer.deployment
