"""How a stream reaches its client: what came together goes together, one piece at a time, no faster than it is read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from starlette.types import Message

from agent_core import ModelClient, Prompt
from agent_core.codecs import WIRES
from agent_core.events import ResponseEvent
from agent_core.gateway import Gateway
from agent_core.gateway.admission import Admission
from agent_core.gateway.asking import Answer, Ask
from agent_core.gateway.relay import Relay
from agent_core.items import JsonObject, WireName
from agent_core.testing import RehearsalServer, Step

from .asgi import Got, call
from .playing import Playing, said

pytestmark = pytest.mark.anyio

ASKED: JsonObject = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
WORDS = [f"word {n} " for n in range(20)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Read:
    """Events that come so many at a time; how many were taken so far."""

    def __init__(self, events: list[ResponseEvent], at_once: int) -> None:
        self._left = list(events)
        self._at_once = at_once
        self.taken = 0

    def __aiter__(self) -> AsyncIterator[ResponseEvent]:
        return self

    async def __anext__(self) -> ResponseEvent:
        await anyio.lowlevel.checkpoint()
        if not self._left:
            raise StopAsyncIteration
        return self._take(1)[0]

    def ready(self) -> list[ResponseEvent]:
        return self._take(self._at_once - 1)

    def _take(self, count: int) -> list[ResponseEvent]:
        taken, self._left = self._left[:count], self._left[count:]
        self.taken += len(taken)
        return taken

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        yield Answer(self, "lab/m")


class Client:
    """Takes `free` pieces, then the others when it reads; notices when two come at a time."""

    def __init__(self, free: int = 0) -> None:
        self.pieces: list[bytes] = []
        self.free = free
        self.reads, self.stuck = anyio.Event(), anyio.Event()
        self.busy = False

    async def receive(self) -> Message:
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    async def send(self, message: Message) -> None:
        assert not self.busy, "two pieces at a time"
        self.busy = True
        if len(self.pieces) >= self.free:
            self.stuck.set()
            await self.reads.wait()
        self.busy = False
        self.pieces.append(message.get("body", b""))


def relay(wire: WireName, read: Read, *, ping_s: float = 60.0) -> Relay:
    return Relay(Ask(Prompt("hi", model="m"), wire, stream=True), read, ping_s=ping_s)


async def taken(wire: WireName, at_once: int) -> list[bytes]:
    """The pieces of an answer, without the head and what is empty."""
    client = Client()
    client.reads.set()
    await relay(wire, Read(said(*WORDS), at_once))({"type": "http", "path": "/"}, client.receive, client.send)
    return [piece for piece in client.pieces if piece]


@pytest.mark.parametrize("wire", WIRES)
async def test_events_that_come_together_are_sent_together(wire: WireName) -> None:
    """The same bytes, but for ids and times, in as few pieces as there were reads."""
    alone, together = await taken(wire, 1), await taken(wire, 8)
    count = len(said(*WORDS))
    assert len(together) <= -(-count // 8) + 1 < len(alone)
    for word in WORDS:
        assert b"".join(together).count(word.encode()) == b"".join(alone).count(word.encode())


async def test_a_client_that_does_not_read_pauses_its_backend() -> None:
    """What is taken of the backend is what one read of it holds."""
    read, client = Read(said(*WORDS), 4), Client(free=2)  # the head, and what the first read held
    held = sent = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(relay("chat", read), {"type": "http", "path": "/"}, client.receive, client.send)
        await client.stuck.wait()
        held, sent = read.taken, len(client.pieces)
        client.reads.set()
    assert (held, sent, read.taken) == (8, 2, len(said(*WORDS)))


async def test_pings_wait_for_pieces_and_pieces_for_pings() -> None:
    """One writer at a time, however often there is nothing to say (the client checks)."""

    class Slow(Read):
        async def __anext__(self) -> ResponseEvent:
            await anyio.sleep(0.003)
            return await super().__anext__()

    client = Client()
    client.reads.set()
    await relay("chat", Slow(said(*WORDS), 1), ping_s=0.001)({"type": "http", "path": "/"}, client.receive, client.send)
    text = b"".join(client.pieces)
    assert b": ping\n\n" in text and all(word.encode() in text for word in WORDS)
    assert not [block for block in text.split(b"\n\n") if block and not block.startswith((b"data: ", b": ping"))]


async def test_an_answer_is_over_when_it_was_sent() -> None:
    """The backend was read to its end, its place is free and its success known before the relay returns (X-S3-17)."""
    admission = Admission(1, max_waiting=0)
    with RehearsalServer([Step(text="hello")], pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider)
        app = Gateway(default=client, services=[admission])
        async with app:
            for _ in range(3):
                got: Got = await call(app, "/v1/chat/completions", ASKED)
                assert got.text.endswith("data: [DONE]\n\n") and admission.in_flight == 0
            assert [one.in_flight for several in app.health().values() for one in several] == [0]


async def test_a_place_is_free_after_any_ending() -> None:
    """Failed, or left by the client (X-S3-17)."""
    admission = Admission(1, max_waiting=0)
    client = ModelClient("lab/m", base_url="http://127.0.0.1:1")
    endings = {"left": Playing(*said("a")[:3], anyio.Event()), "failed": Playing(*said("a")[:3], ValueError("ours"))}
    for name, playing in endings.items():
        app = Gateway(default=client, services=[admission, playing])
        async with app:
            try:
                await call(app, "/v1/chat/completions", ASKED, leave=lambda got: bool(got.pieces))
            except ValueError:
                assert name == "failed"
        assert admission.in_flight == 0
