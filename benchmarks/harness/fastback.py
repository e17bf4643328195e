"""Prototype: httpx2 and httpcore2 as they are, over a network backend of our own (public interface
httpcore2.AsyncNetworkBackend), to see how much of their cost is anyio and h11-per-chunk.

ProtoStream: an asyncio.Protocol with a plain read(); the read timeout is one lazy timer, not a cancel
scope per read. With coalesce=True it also re-frames a chunked body: all HTTP chunks of one read are
given to h11 as one chunk, so h11 runs once per read and not once per event.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpcore2
import httpx2
import minimal as M


class ProtoStream(asyncio.Protocol, httpcore2.AsyncNetworkStream):
    def __init__(self, loop, coalesce: bool) -> None:
        self.loop = loop
        self.transport: Any = None
        self.buf: list[bytes] = []
        self.size = 0
        self.waiter: asyncio.Future | None = None
        self.eof = False
        self.exc: BaseException | None = None
        self.paused = False
        self.coalesce = coalesce
        self.body: M.Body | None = None
        self.head = b""
        self.deadline = 0.0
        self.timer = None

    # protocol
    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buf.append(data)
        self.size += len(data)
        if self.size > 1 << 20 and not self.paused:
            self.paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self.eof = True
        self._wake()

    def connection_lost(self, exc) -> None:
        self.eof = True
        self.exc = exc
        self._wake()

    def _wake(self) -> None:
        w = self.waiter
        if w is not None:
            self.waiter = None
            if not w.done():
                w.set_result(None)

    # the lazy timer: armed once, re-armed only when it fires early
    def _tick(self) -> None:
        self.timer = None
        if self.waiter is None or not self.deadline:
            return
        left = self.deadline - self.loop.time()
        if left > 0:
            self.timer = self.loop.call_later(left, self._tick)
        elif not self.waiter.done():
            self.waiter.set_exception(httpcore2.ReadTimeout())

    # network stream
    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            if not self.buf:
                if self.eof:
                    if self.exc:
                        raise httpcore2.ReadError(str(self.exc))
                    return b""
                self.waiter = self.loop.create_future()
                if timeout is not None:
                    self.deadline = self.loop.time() + timeout
                    if self.timer is None:
                        self.timer = self.loop.call_later(timeout, self._tick)
                else:
                    self.deadline = 0.0
                await self.waiter
                continue
            data = self.buf[0] if len(self.buf) == 1 else b"".join(self.buf)
            self.buf.clear()
            self.size = 0
            if self.paused:
                self.paused = False
                self.transport.resume_reading()
            if not self.coalesce:
                return data
            out = self._reframe(data)
            if out:
                return out

    def _reframe(self, data: bytes) -> bytes:
        if self.body is None:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return b""
            head, data = self.head[: end + 4], self.head[end + 4 :]
            self.head = b""
            if b"transfer-encoding: chunked" not in head.lower():
                return head + data
            self.body = M.Body()
            if not data:
                return head
            return head + self._reframe(data)
        pieces = self.body.feed(data)
        blob = b"".join(pieces)
        out = b"%x\r\n%b\r\n" % (len(blob), blob) if blob else b""
        if self.body.done:
            self.body = None
            out += b"0\r\n\r\n"
        return out

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            self.transport.write(buffer)

    async def aclose(self) -> None:
        self.transport.close()

    async def start_tls(self, ssl_context: ssl.SSLContext, server_hostname=None, timeout=None):
        self.transport = await self.loop.start_tls(self.transport, self, ssl_context, server_hostname=server_hostname)
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self.transport.get_extra_info("ssl_object")
        if info == "is_readable":
            return self.eof or bool(self.buf)
        if info == "socket":
            return self.transport.get_extra_info("socket")
        return None


class ProtoBackend(httpcore2.AsyncNetworkBackend):
    def __init__(self, coalesce: bool) -> None:
        self.coalesce = coalesce

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        loop = asyncio.get_running_loop()
        _, p = await loop.create_connection(lambda: ProtoStream(loop, self.coalesce), host, port)
        return p

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def transport(coalesce: bool, ssl_context=None) -> httpx2.AsyncHTTPTransport:
    t = httpx2.AsyncHTTPTransport(verify=ssl_context if ssl_context is not None else True)
    t._pool = httpcore2.AsyncConnectionPool(
        ssl_context=ssl_context,
        max_connections=None,
        max_keepalive_connections=None,
        network_backend=ProtoBackend(coalesce),
    )
    return t


# --------------------------------------------------------------------------- httpx2's API, our transport


class _BareStream(httpx2.AsyncByteStream):
    def __init__(self, stream: M.MiniStream) -> None:
        self.stream = stream

    async def __aiter__(self):
        async for pieces in self.stream:
            yield pieces[0] if len(pieces) == 1 else b"".join(pieces)


class BareTransport(httpx2.AsyncBaseTransport):
    """httpx2's client (headers, cookies, auth, redirects, hooks) over the hand-written HTTP/1.1."""

    def __init__(self) -> None:
        self.client = M.MiniClient()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = request.content
        head = [b"%b %b HTTP/1.1\r\n" % (request.method.encode(), request.url.raw_path)]
        for k, v in request.headers.raw:
            head.append(k + b": " + v + b"\r\n")
        head.append(b"\r\n")
        loop = asyncio.get_running_loop()
        p = await self.client.acquire(request.url.host, request.url.port)
        st = M.MiniStream(loop)

        def done():
            self.client.free.append(p)
            st.end()

        p.want_head = loop.create_future()
        p.start(b"".join(head) + body, st.push, done)
        await _head(p, loop)
        lines = p.head[: p.head.find(b"\r\n\r\n")].split(b"\r\n")
        hdrs = []
        for line in lines[1:]:
            k, _, v = line.partition(b":")
            hdrs.append((k, v.strip()))
        return httpx2.Response(p.status, headers=hdrs, stream=_BareStream(st))


async def _head(p, loop) -> None:
    # the head comes with the first bytes here; wait for them through the protocol
    while p.body is None:
        fut = loop.create_future()
        orig = p.data_received

        def hook(data, _orig=orig, _fut=fut):
            p.data_received = _orig
            _orig(data)
            if not _fut.done():
                _fut.set_result(None)

        p.data_received = hook
        await fut
