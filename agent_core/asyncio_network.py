"""TCP and TLS on asyncio, as asyncio gives it: a protocol that keeps what comes until it is read.

anyio's streams arm and disarm the socket for every read, under a cancel scope of its own, which is half of what a token
costs that comes alone. Here the socket stays armed, up to `_HELD_BYTES`, and a read of what is there already costs
nothing. On trio anyio's streams are used (`anyio_network`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from itertools import zip_longest
from ssl import SSLContext

import anyio

__all__ = ["AsyncioStream", "connect", "one_failure"]

_HELD_BYTES = 256 * 1024
"""More than one read of asyncio's brings; beyond it the peer waits."""
_ATTEMPT_S = 0.25  # until the next address of a host is tried beside the first (RFC 8305)


async def connect(host: str, port: int, tls: SSLContext | None) -> AsyncioStream:
    """Raises OSError."""
    stream = await _first_of(await _addresses(host, port), port)
    if tls is not None:
        await stream.start_tls(tls, host)
    return stream


async def _addresses(host: str, port: int) -> list[str]:
    """Those of the host, the families by turns. An address is its own: no thread asks anybody."""
    for kind in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            socket.inet_pton(kind, host)
            return [host]
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    families: dict[int, list[str]] = {}
    for family, _, _, _, address in infos:
        families.setdefault(family, []).append(str(address[0]))
    rows = zip_longest(*families.values())
    return list(dict.fromkeys(address for row in rows for address in row if address is not None))


async def _first_of(addresses: list[str], port: int) -> AsyncioStream:
    """A connection to the first that answers. (asyncio has such a race, and loses a socket where it is cancelled as one
    connects.)"""
    if len(addresses) == 1:
        return await _connected(addresses[0], port)
    won: list[AsyncioStream] = []
    failed: list[OSError] = []

    async def attempt(address: str, over: anyio.Event) -> None:
        try:
            won.append(await _connected(address, port))
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


async def _connected(address: str, port: int) -> AsyncioStream:
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(lambda: AsyncioStream(loop), address, port)
    return stream


def one_failure(failed: Sequence[OSError]) -> OSError:
    """Of all addresses tried: the first failure where they are alike; of different ones nothing is chosen."""
    if len({error.errno for error in failed}) == 1:
        return failed[0]
    return OSError("; ".join(map(str, failed)) or "the host has no address")


class AsyncioStream(asyncio.Protocol):
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
        self._wake()

    def eof_received(self) -> None:
        self._over = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over, self._fault = True, exc
        self._wake()

    # ours: what `anyio_network.Connection` says

    async def read(self) -> bytes:
        if not self._held and not self._over:
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if not self._held:
            if self._fault is not None:
                raise ConnectionResetError from self._fault
            return b""
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held.clear()
        self._size = 0
        if self._full and self._transport is not None:
            self._full = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """All at once: it is in memory, and a server that answers before it has read all is heard."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError from self._fault
        self._transport.write(data)

    def quiet(self) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing() or self._over or self._held:
            return False
        return not transport.get_write_buffer_size()

    async def aclose(self) -> None:
        self.abort()

    def abort(self) -> None:
        if self._transport is not None and not self._loop.is_closed():
            self._transport.abort()

    async def start_tls(self, tls: SSLContext, host: str) -> None:
        transport = self._transport
        assert transport is not None
        try:
            self._transport = await self._loop.start_tls(transport, self, tls, server_hostname=host)
        except BaseException:
            transport.abort()
            raise

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
