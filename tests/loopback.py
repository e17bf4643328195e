"""A scripted HTTP/1.1 server on raw loopback sockets: any bytes, at any moment, cut in any way.

    async with serve(exchange(reply(503)), exchange(sse_head(), chunk(b"data: …"), RESET)) as server:
        ... server.url ... server.requests ...

The n-th request is answered by the n-th exchange; after the last one, by the last again. An exchange may be a function
of the request instead: `serve(lambda received: exchange(reply(200, received.body)))`. A step is bytes to send, or:
CLOSE, RESET (the connection, now), STALL (say nothing until the client leaves), or an anyio.Event to wait for.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSStream


class Act(Enum):
    CLOSE = "close"
    RESET = "reset"
    STALL = "stall"


CLOSE, RESET, STALL = Act.CLOSE, Act.RESET, Act.STALL
Step: TypeAlias = bytes | Act | anyio.Event
Exchange: TypeAlias = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived. Header names are lower-case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Loopback:
    """A running server. `connections` were accepted so far; `left` is set when a client leaves in the middle."""

    port: int
    scheme: str = "http"
    requests: list[Received] = field(default_factory=list[Received])
    connections: int = 0
    left: anyio.Event = field(default_factory=anyio.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1"

    async def was_left(self) -> None:
        """Waits until a client that came has left. One that gave up before it came is not waited for: on a busy machine
        that takes no longer than a short timer."""
        if self.connections:
            with anyio.fail_after(10):
                await self.left.wait()


Answer: TypeAlias = Exchange | Callable[[Received], Exchange]


def exchange(*steps: Step) -> Exchange:
    return steps


def reply(
    status: int = 200,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    content_type: str = "application/json",
) -> bytes:
    """A whole answer."""
    lines = {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}
    return _head(status, lines) + body


def sse(body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer that is an event stream."""
    return sse_head(headers) + chunk(body) + END


def sse_head(headers: Mapping[str, str] | None = None) -> bytes:
    return _head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked", **(headers or {})})


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


END = b"0\r\n\r\n"


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode("latin-1")


def free_port() -> int:
    """A port nobody listens on, for now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@asynccontextmanager
async def serve(
    *exchanges: Answer, port: int = 0, greeting: bytes = b"", tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Loopback]:
    """Serve until the block is left; then every connection is dropped. `greeting` is sent before any request. With
    `tls` it speaks https, to who gets through the handshake."""
    try:
        async with AsyncExitStack() as stack:
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
            await stack.enter_async_context(listener)
            server = Loopback(listener.extra(SocketAttribute.local_port), "http" if tls is None else "https")

            async def handle(socket: SocketStream) -> None:
                server.connections += 1
                async with socket:
                    if greeting:
                        await socket.send(greeting)
                    if tls is None:
                        await _talk(socket, server, exchanges)
                        return
                    with suppress(ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream):
                        stream = await TLSStream.wrap(socket, ssl_context=tls, standard_compatible=False)
                        await _talk(stream, server, exchanges)

            group = await stack.enter_async_context(anyio.create_task_group())
            group.start_soon(listener.serve, handle)
            yield server
            group.cancel_scope.cancel()
    except BaseExceptionGroup as error_group:
        if len(error_group.exceptions) == 1:  # a test's own failure: show it as it is
            raise error_group.exceptions[0] from None
        raise


async def _talk(stream: ByteStream, server: Loopback, exchanges: tuple[Answer, ...]) -> None:
    received = BufferedByteReceiveStream(stream)
    try:
        while True:
            request = await _request(received)
            server.requests.append(request)
            answer = exchanges[min(len(server.requests), len(exchanges)) - 1]
            for step in answer(request) if callable(answer) else answer:
                if not await _perform(stream, received, step):
                    return
    except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
        server.left.set()


async def _request(received: BufferedByteReceiveStream) -> Received:
    head = (await received.receive_until(b"\r\n\r\n", 65536)).decode("latin-1")
    line, *rest = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (entry.partition(":") for entry in rest)}
    body = await received.receive_exactly(int(headers.get("content-length", "0")))
    return Received(line.split(" ")[1], headers, body)


async def _perform(stream: ByteStream, received: BufferedByteReceiveStream, step: Step) -> bool:
    """False: the connection is to be dropped."""
    if isinstance(step, bytes):
        await stream.send(step)
    elif isinstance(step, anyio.Event):
        await step.wait()
    elif step is STALL:
        await received.receive(1)  # raises EndOfStream when the client leaves
    else:
        if step is RESET:
            raw = stream.extra(SocketAttribute.raw_socket)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    return True
