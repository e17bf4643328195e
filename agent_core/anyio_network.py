"""TCP and TLS by anyio's streams: on trio, and the shape a connection has for the transport above it."""

from __future__ import annotations

import select
from ssl import SSLContext
from typing import Protocol

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream

from .cancellation import lone

__all__ = ["Connection", "connect"]

_READ_BYTES = 64 * 1024


class Connection(Protocol):
    """One connection. One task reads, one writes."""

    async def read(self) -> bytes:
        """What has come, once something has; nothing at its end. Raises OSError where the connection broke."""
        ...

    async def write(self, data: bytes) -> None:
        """Raises OSError where the connection broke. It may return before all is sent."""
        ...

    def quiet(self) -> bool:
        """Nothing has come that was not read, nothing is still on its way out, and neither side has ended it."""
        ...

    async def aclose(self) -> None:
        """At once: what was not sent yet is thrown away, whoever reads is told, and nobody can cancel it."""
        ...

    def abort(self) -> None:
        """The same for a connection that was forgotten: nobody reads or writes."""
        ...


async def connect(host: str, port: int, tls: SSLContext | None) -> Connection:
    """Raises OSError."""
    try:
        stream: ByteStream = await anyio.connect_tcp(host, port)
    except BaseExceptionGroup as group:  # the attempts to connect were cancelled, each by itself
        raise lone(group) from None
    if tls is not None:
        try:
            stream = await TLSStream.wrap(stream, hostname=host, ssl_context=tls, standard_compatible=False)
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(stream)
            if isinstance(error, (anyio.BrokenResourceError, anyio.EndOfStream)):
                raise ConnectionResetError("in the middle of the handshake") from error
            raise
    return _Stream(stream)


class _Stream:
    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def read(self) -> bytes:
        try:
            return await self._stream.receive(_READ_BYTES)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionResetError from error

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionResetError from error

    def quiet(self) -> bool:
        """What is readable on a connection that waits is an end, or an answer to nobody."""
        raw = self._stream.extra(SocketAttribute.raw_socket)
        if raw.fileno() < 0:
            return False
        if not hasattr(select, "poll"):  # Windows
            return not select.select([raw], [], [], 0)[0]
        poll = select.poll()
        poll.register(raw, select.POLLIN)
        return not poll.poll(0)

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(self._stream)

    def abort(self) -> None:
        self._stream.extra(SocketAttribute.raw_socket).close()
