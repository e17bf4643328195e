"""TCP and TLS for httpcore2 on asyncio, as asyncio gives it: a protocol that keeps what comes until it is read.

What httpcore2 does by itself (anyio's streams) arms and disarms the socket for every read, under a cancel scope of its
own, which is half of what a token costs that comes alone. Here the socket stays armed, up to `_HELD_BYTES`, and a read
of what is there already costs nothing. On trio anyio's streams are used.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import zip_longest
from ssl import SSLContext
from typing import Any

import anyio
import httpcore2
from httpcore2 import AsyncNetworkBackend, AsyncNetworkStream

__all__ = ["AsyncioBackend", "AsyncioStream", "one_failure"]

_HELD_BYTES = 256 * 1024
"""More than one read of asyncio's brings; beyond it the peer waits."""
_ATTEMPT_S = 0.25  # until the next address of a host is tried beside the first (RFC 8305)


class AsyncioBackend(AsyncNetworkBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        local = None if local_address is None else (local_address, 0)
        async with _connecting(timeout):
            return await _first_of(await _addresses(host, port), port, local)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _addresses(host: str, port: int) -> list[str]:
    """Those of the host, the families by turns."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    families: dict[int, list[str]] = {}
    for family, _, _, _, address in infos:
        families.setdefault(family, []).append(str(address[0]))
    rows = zip_longest(*families.values())
    return list(dict.fromkeys(address for row in rows for address in row if address is not None))


async def _first_of(addresses: list[str], port: int, local: tuple[str, int] | None) -> AsyncioStream:
    """A connection to the first that answers. (asyncio has such a race, and loses a socket where it is cancelled as one
    connects.)"""
    if len(addresses) == 1:
        return await _connected(addresses[0], port, local)
    won: list[AsyncioStream] = []
    failed: list[OSError] = []

    async def attempt(address: str, over: anyio.Event) -> None:
        try:
            won.append(await _connected(address, port, local))
            tasks.cancel_scope.cancel()
        except OSError as error:
            failed.append(error)
        finally:
            over.set()

    try:
        async with anyio.create_task_group() as tasks:
            for address in addresses:
                over = anyio.Event()
                tasks.start_soon(attempt, address, over)
                with anyio.move_on_after(_ATTEMPT_S):
                    await over.wait()
    except BaseException:
        for stream in won:
            stream.abort()
        raise
    for stream in won[1:]:
        stream.abort()
    if won:
        return won[0]
    raise one_failure(failed)


async def _connected(address: str, port: int, local: tuple[str, int] | None) -> AsyncioStream:
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(lambda: AsyncioStream(loop), address, port, local_addr=local)
    return stream


@asynccontextmanager
async def _connecting(timeout: float | None) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError as error:
        raise httpcore2.ConnectTimeout(error) from error
    except OSError as error:
        raise httpcore2.ConnectError(error) from error


def one_failure(failed: Sequence[OSError]) -> OSError:
    """Of all addresses tried: the first failure where they are alike; of different ones nothing is chosen."""
    if len({error.errno for error in failed}) == 1:
        return failed[0]
    return OSError("; ".join(map(str, failed)) or "the host has no address")


class AsyncioStream(asyncio.Protocol, AsyncNetworkStream):
    """One connection. One task reads, one writes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._full = False  # the peer waits for the reader
        self._over = False  # nothing more comes
        self._fault: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._clogged = False  # the writer waits for the peer
        self._writer: asyncio.Future[None] | None = None

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held.append(data)
        self._size += len(data)
        if self._size > _HELD_BYTES and not self._full and self._transport is not None:
            self._full = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> None:
        self._over = True
        _wake(self._reader)

    def connection_lost(self, exc: Exception | None) -> None:
        self._over, self._fault = True, exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._clogged = True

    def resume_writing(self) -> None:
        self._clogged = False
        _wake(self._writer)

    # httpcore2's side

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if not self._held and not self._over:
            self._reader = self._loop.create_future()
            try:
                await _waited(self._reader, timeout, httpcore2.ReadTimeout)
            finally:
                self._reader = None
        if not self._held:
            if self._fault is not None:
                raise httpcore2.ReadError(self._fault) from self._fault
            return b""
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held.clear()
        self._size = 0
        if len(data) > max_bytes:
            self._held.append(data[max_bytes:])
            self._size = len(data) - max_bytes
            data = data[:max_bytes]
        elif self._full and self._transport is not None:
            self._full = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            raise httpcore2.WriteError("the connection is closed") from self._fault
        transport.write(buffer)
        if self._clogged:
            self._writer = self._loop.create_future()
            try:
                await _waited(self._writer, timeout, httpcore2.WriteTimeout)
            finally:
                self._writer = None
            if self._fault is not None:
                raise httpcore2.WriteError(self._fault) from self._fault

    async def aclose(self) -> None:
        if self._transport is not None:
            self.abort()
            await asyncio.sleep(0)

    def abort(self) -> None:
        """Closes; what was not sent yet is thrown away."""
        if self._transport is not None:
            self._transport.abort()

    async def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> AsyncNetworkStream:
        transport = self._transport
        assert transport is not None
        try:
            async with _connecting(timeout):
                self._transport = await self._loop.start_tls(
                    transport, self, ssl_context, server_hostname=server_hostname
                )
        except BaseException:
            transport.abort()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return self._over or bool(self._held)
        if self._transport is None or info not in ("ssl_object", "socket"):
            return None
        return self._transport.get_extra_info(info)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


async def _waited(
    waiter: asyncio.Future[None], timeout: float | None, ran_out: type[httpcore2.TimeoutException]
) -> None:
    if timeout is None:
        await waiter
        return
    try:
        async with asyncio.timeout(timeout):
            await waiter
    except TimeoutError as error:
        raise ran_out(error) from error
