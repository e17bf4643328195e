"""httpx2 over connections that put together what was read together: what a body costs it, divided by its tokens.

A stream's server makes an HTTP chunk of every token. httpx2 takes each on its own through its parser and half a dozen
generators, ten µs, also where one read of the socket brought a hundred. Here the whole chunks of a read become one
before the parser sees them, and the body is the same. Only what is plainly a chunk is touched; anything else goes on as
it came, for the parser to judge.

The seam is public: httpcore2's pool takes a network backend, and httpx2's client a transport. A transport of the
caller's own goes through no proxy of the environment, so this one is for where there is none.
"""

from __future__ import annotations

import re
from asyncio import CancelledError
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable
from contextlib import contextmanager
from ssl import SSLContext
from typing import Any

import anyio
import httpcore2
import httpx2
from httpcore2 import AnyIOBackend, AsyncConnectionPool, AsyncNetworkBackend, AsyncNetworkStream

from .asyncio_network import AsyncioBackend

__all__ = ["ChunkJoiner", "JoiningTransport"]

_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_SIZE_BYTES = 10
_CHUNKED = b"\r\ntransfer-encoding: chunked\r\n"
_ENCODED = b"\r\ncontent-encoding:"  # what is whole before damage would be lost with it


class JoiningTransport(httpx2.AsyncBaseTransport):
    """What httpx2.AsyncHTTPTransport is for HTTP/1.1, with fewer and larger pieces of a body."""

    def __init__(self, limits: httpx2.Limits, tls: SSLContext | None = None) -> None:
        self._pool = AsyncConnectionPool(
            ssl_context=tls,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Backend(),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        sent = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _told_by_httpx2():
            answer = await self._pool.handle_async_request(sent)
        return httpx2.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, answer: httpcore2.Response) -> None:
        assert isinstance(answer.stream, AsyncIterable)
        self._answer = answer
        self._pieces: AsyncIterable[bytes] = answer.stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _told_by_httpx2():
            async for piece in self._pieces:
                yield piece

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def _told_by_httpx2() -> Generator[None]:
    """Errors of httpcore2 as those of httpx2, which have the same names."""
    try:
        yield
    except (
        httpcore2.TimeoutException,
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        httpcore2.UnsupportedProtocol,
    ) as error:
        named: type[httpx2.TransportError] = getattr(httpx2, type(error).__name__)
        raise named(str(error)) from error


class _Backend(AsyncNetworkBackend):
    def __init__(self) -> None:
        on_asyncio = anyio.get_cancelled_exc_class() is CancelledError
        self._backend: AsyncNetworkBackend = AsyncioBackend() if on_asyncio else AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        return _Connection(await self._backend.connect_tcp(host, port, timeout, local_address, socket_options))

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class _Connection(AsyncNetworkStream):
    def __init__(self, stream: AsyncNetworkStream) -> None:
        self._stream = stream
        self._joiner = ChunkJoiner()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            data = await self._stream.read(max_bytes, timeout)
            joined = self._joiner.feed(data)
            if joined or not data:
                return joined

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._joiner.begin()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> AsyncNetworkStream:
        return _Connection(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class ChunkJoiner:
    """Reads of a connection in, the same bytes out, with the whole chunks of each read as one. No I/O.

    head      → body where the head came in one read and says that its body is chunked, else → as it came
    body      → as it came at the last chunk, and at anything that is no chunk
    as it came → head with the next request, which `begin` tells of

    The end of a read that may be the beginning of a chunk's size is held back, ten bytes at the most.
    """

    __slots__ = ("_body", "_head", "_held", "_left")

    def __init__(self) -> None:
        self._head = True
        self._body = False
        self._held = b""
        self._left = 0  # bytes of a chunk that has begun, with its line end

    def begin(self) -> None:
        """A request is sent: a head comes next."""
        self._head, self._body, self._left, self._held = True, False, 0, b""

    def feed(self, data: bytes) -> bytes:
        """What is to be read on; empty where all is held back. No data is the end: what was held is given out."""
        if not data:
            data, self._held, self._body = self._held, b"", False
            return data
        start = 0
        if self._head:
            self._head = False
            start = data.find(b"\r\n\r\n") + 4
            head = data[:start].lower()
            self._body = head.startswith(b"http/1.1 200 ") and _CHUNKED in head and _ENCODED not in head
        if not self._body:
            return data
        if self._held:
            data, self._held = self._held + data, b""
        elif self._left:
            start = min(self._left, len(data))
            self._left -= start
        return self._joined(data, start)

    def _joined(self, data: bytes, start: int) -> bytes:
        pieces: list[bytes] = []
        at, size = start, len(data)
        while at < size:
            found = _SIZE.match(data, at)
            if found is None:
                if size - at < _SIZE_BYTES and b"\n" not in data[at:]:
                    self._held, data = data[at:], data[:at]
                else:
                    self._body = False
                break
            first = found.end()
            end = first + int(found[1], 16)
            if end == first or not b"\r\n".startswith(data[end : end + 2]):
                self._body = False
                break
            if end + 2 > size:
                self._left = end + 2 - size
                break
            pieces.append(data[first:end])
            at = end + 2
        if len(pieces) < 2:
            return data
        body = b"".join(pieces)
        return b"%b%x\r\n%b\r\n%b" % (data[:start], len(body), body, data[at:])
