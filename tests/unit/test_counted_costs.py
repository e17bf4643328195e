"""What work costs where it can be counted: the same on every machine, however busy it is.

Times are measured by `python -m benchmarks`; what grows here is seen with the change that made it grow. A bound is what
was counted when it was written and a little room, for the versions of Python and of what is imported.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import subprocess
import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Literal

import pytest

from agent_core import ModelClient, Prompt
from agent_core.codecs import WIRES, codec_for
from agent_core.codecs.base import Compat
from agent_core.events import Completed, Created, OutputItemAdded, OutputItemDone, OutputTextDelta, ResponseEvent, Usage
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    Message,
    OutputText,
    ResponseItem,
    WireName,
    assistant_message,
    user_message,
)
from agent_core.transport import HttpRequest, HttpStream
from tests.counting import calls_made, counted_calls

DELTAS = 1000


def frames(wire: WireName, deltas: int = DELTAS) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """A stream of words as a server sends it: what comes before the deltas, each delta, what comes after."""
    message, words = Message(role="assistant"), [f" word{n}" for n in range(deltas)]
    whole = message.model_copy(update={"content": (OutputText(text="".join(words)),)})
    before: list[ResponseEvent] = [Created("resp_1", "m"), OutputItemAdded(0, message)]
    after: list[ResponseEvent] = [
        OutputItemDone(0, whole), Completed("resp_1", "m", "stop", usage=Usage(input=9, output=deltas))
    ]  # fmt: skip
    encoder = codec_for(wire).stream_encoder(Prompt())
    begun = [encoder.feed(event) for event in before]
    said = [encoder.feed(OutputTextDelta(0, word)) for word in words]
    return begun, said, [*(encoder.feed(event) for event in after), encoder.close()]


# Reading the frame, decoding its JSON, checking what it is, making and keeping the event: a function or two for each.
CALLS_A_DELTA: dict[WireName, float] = {"chat": 9, "responses": 7, "messages": 5}
BLOCKS_A_DELTA = 2.8  # the event and its text; the lists that hold them grow now and then


@pytest.mark.parametrize("wire", WIRES)
def test_a_delta_is_decoded_in_few_calls_and_pieces_of_memory(wire: WireName) -> None:
    """Of each delta its event, its text and its place in the answer stay, and nothing of its JSON."""
    before, deltas, _ = frames(wire)
    decoder = codec_for(wire).stream_decoder(Prompt("x", model="m"), Compat())
    kept: list[ResponseEvent] = []

    def decode(pieces: list[bytes]) -> None:
        for piece in pieces:
            kept.extend(decoder.feed(piece))

    decode([*before, *deltas[:100]])  # what is made once is made
    calls = calls_made(lambda: decode(deltas[100:500])) / 400
    gc.collect()
    start = sys.getallocatedblocks()
    decode(deltas[500:])
    blocks = (sys.getallocatedblocks() - start) / 500
    assert sum(type(event) is OutputTextDelta for event in kept) == DELTAS
    assert calls <= CALLS_A_DELTA[wire], f"{wire}: {calls} Python functions are called for a delta"
    assert blocks <= BLOCKS_A_DELTA, f"{wire}: {blocks} pieces of memory stay of a delta"


# From making the decoder to the whole answer: begun, one delta, ended, its usage read.
CALLS_AN_ANSWER: dict[WireName, int] = {"chat": 115, "responses": 210, "messages": 115}


@pytest.mark.parametrize("wire", WIRES)
def test_a_short_answer_is_decoded_in_few_calls(wire: WireName) -> None:
    """A tool loop has many answers, and most of them are short."""
    body = b"".join(piece for part in frames(wire, 1) for piece in part)

    def decode() -> None:
        decoder = codec_for(wire).stream_decoder(Prompt("x", model="m"), Compat())
        decoder.feed(body)
        assert decoder.snapshot().text == " word0"

    decode()  # what is made once is made
    calls = calls_made(decode)
    assert calls <= CALLS_AN_ANSWER[wire], f"{wire}: {calls} Python functions are called for an answer"


class FromMemory:
    """A transport whose every answer is `body`, in one piece."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    @asynccontextmanager
    async def open(self, request: HttpRequest, *, connect_s: float | None = None) -> AsyncGenerator[HttpStream]:
        yield HttpStream(200, {"x-request-id": "req_1"}, self.chunks())

    async def chunks(self) -> AsyncGenerator[bytes]:
        yield self.body

    async def aclose(self) -> None: ...


# Everything above the transport: the prompt written, sent, its answer read, the block left.
CALLS_A_REQUEST: dict[WireName, int] = {"chat": 240, "responses": 330, "messages": 255}


@pytest.mark.parametrize("wire", WIRES)
def test_a_request_is_made_in_few_calls(wire: WireName, monkeypatch: pytest.MonkeyPatch) -> None:
    """One prompt, one delta: what a client costs beside its transport, in a program that traces nothing."""
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)
    body = b"".join(piece for part in frames(wire, 1) for piece in part)
    client = ModelClient("lab/m", base_url="http://x/v1", wire=wire, api_key="k", transport=FromMemory(body))
    prompt = Prompt("hi")

    async def counted() -> int:
        async def once() -> None:
            async with client.stream(prompt) as events:
                assert [event async for event in events]

        await once()  # what is made once is made
        with counted_calls() as made:
            await once()
        return made[0]

    calls = asyncio.run(counted())
    assert calls <= CALLS_A_REQUEST[wire], f"{wire}: {calls} Python functions are called for a request"


def turn(n: int) -> tuple[ResponseItem, ...]:
    call = FunctionCall(call_id=f"c{n}", name="f", arguments='{"n": 1}')
    return assistant_message(f"step {n}"), call, FunctionCallOutput(call_id=f"c{n}", output="x" * 200)


@pytest.mark.parametrize("wire", WIRES)
def test_a_turn_makes_its_own_bytes_and_one_copy_of_the_body(wire: WireName) -> None:
    """A history that was sent before is copied into the next body once; nothing of it is encoded again."""
    items = (user_message("go"), *(item for n in range(2000) for item in turn(n)))
    encoder = codec_for(wire).request_encoder(Compat())
    encoder.encode(Prompt(items, model="m"))
    items = (*items, *turn(2000))
    encoder.encode(Prompt(items, model="m"))  # what is kept of each item has room for more now
    longer = Prompt((*items, *turn(2001)), model="m")
    tracemalloc.start()
    try:
        start, _ = tracemalloc.get_traced_memory()
        body = encoder.encode(longer).body
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    beside = most - start - len(body)
    # What is new, and what was written with the last message, if that is written again.
    assert beside <= 20_000, f"{wire}: {beside} bytes are made beside a body of {len(body)} bytes"


SYSTEM_CALLS = ("poll", "recv", "recv_into", "send", "sendmsg", "register", "unregister", "modify")


@contextmanager
def counted_system_calls() -> Generator[Counter[str]]:
    """Of this thread, by the name of the built-in function that makes them: asyncio's and the sockets'."""
    made: Counter[str] = Counter()

    def count(frame: FrameType, event: str, arg: object) -> None:
        name = getattr(arg, "__name__", "") if event == "c_call" else ""
        if name in SYSTEM_CALLS:
            made[name] += 1

    sys.setprofile(count)
    try:
        yield made
    finally:
        sys.setprofile(None)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Lockstep:
    """A server that sends a piece when it is asked for, from a thread of its own: as many reads as there are pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.asked = threading.Semaphore(0)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}/v1"

    def serve(self) -> None:
        connection, _ = self.listening.accept()
        with self.listening, connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65536)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            for piece in self.pieces:
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.asked.acquire(timeout=10)
            connection.sendall(b"0\r\n\r\n")


@pytest.mark.parametrize(("transport", "most"), [("h11", 5.1), ("aiohttp", 3.1)])
def test_an_event_takes_few_system_calls(transport: Literal["h11", "aiohttp"], most: float) -> None:
    """An event that comes alone: the loop waits, the socket is read, the loop looks again while the reader wakes. Under
    httpx2 the socket is also watched anew for each read."""
    if transport == "aiohttp":
        pytest.importorskip("aiohttp")
    before, deltas, after = frames("chat", 300)
    pieces = [b"".join(before) + deltas[0], *deltas[1:], b"".join(after)]
    server = Lockstep(pieces)

    async def counted() -> Counter[str]:
        client = ModelClient("lab/m", base_url=server.url, wire="chat", transport=transport)

        async def read(count: int, events: AsyncIterator[ResponseEvent]) -> None:
            while count:
                event = await anext(events)
                if type(event) is OutputTextDelta:
                    count -= 1
                    server.asked.release()

        async with client, client.stream(Prompt("hi")) as events:
            await read(100, events)
            with counted_system_calls() as made:
                await read(200, events)
            server.asked.release()
            async for _ in events:
                pass
        return made

    made = asyncio.run(counted())
    server.thread.join(10)
    each = sum(made.values()) / 200
    assert each <= most, f"{transport}: {each} system calls for an event: {dict(made)}"


READY = """
import sys, asyncio
from agent_core import ModelClient, Prompt
from agent_core.errors import TransportError
from agent_core.retry import RetryPolicy
async def main():
    once = RetryPolicy(max_attempts=1)
    async with ModelClient("lab/m", base_url="http://127.0.0.1:9/v1", wire="chat", retry=once) as client:
        try:
            async with client.stream(Prompt("hi")):
                pass
        except TransportError:
            pass
asyncio.run(main())
"""
# The package itself and the look-up of its names; the wire and the transport that are used, with what they stand on.
IMPORTS = {"import agent_core": ("import agent_core", 20), "a client ready to send": (READY, 500)}


@pytest.mark.parametrize("what", IMPORTS)
def test_few_modules_are_imported(what: str) -> None:
    """What a program does not use it does not import."""
    code, most = IMPORTS[what]
    told = "import json, sys\nbefore = set(sys.modules)\nsys.modules['trio'] = None\n" + code
    told += "\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    ran = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    modules: list[str] = json.loads(ran.stdout)
    packages = Counter(name.partition(".")[0] for name in modules)
    assert len(modules) <= most, f"{what}: {len(modules)} modules, most of {packages.most_common(12)}"
