"""How the gateway is run: uvicorn, with bounds for clients that are slow on purpose.

uvicorn waits for ever for the rest of a request's head, takes heads of any size (with httptools), and for ever for a
client that reads no more, while its answer holds a place and a backend. Here such a connection ends:

    head    comes within `head_s` and MAX_HEAD_BYTES, from its first byte (or the connection) to its last
    body    `Gateway(body_s=…, max_body_bytes=…)`
    answer  while more is to be sent than fits the buffers, some of it is read in every `write_s`
    idle    between requests: `IDLE_S`
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.auto import AutoHTTPProtocol

__all__ = ["HEAD_S", "WRITE_S", "server_config"]

HEAD_S = 30.0
MAX_HEAD_BYTES = 64 * 1024
MAX_REFUSED_BYTES = 256 * 1024 * 1024
WRITE_S = 60.0
IDLE_S = 5
STOP_S = 5
"""What running answers get to end in, when the server is stopped."""

if TYPE_CHECKING:

    class _Http(asyncio.Protocol):
        transport: asyncio.Transport
        cycle: _Cycle | None

        def __init__(self, **given: object) -> None: ...

        def pause_writing(self) -> None: ...

        def resume_writing(self) -> None: ...

    class _Cycle(Protocol):
        """A request that is being answered."""

        response_complete: bool
        more_body: bool

else:
    _Http = AutoHTTPProtocol


def server_config(
    app: ASGIApp, *, head_s: float = HEAD_S, write_s: float = WRITE_S, stop_s: int = STOP_S
) -> uvicorn.Config:
    """One process, no access log (the gateway writes its own), no websockets, these bounds."""

    class Bounded(_Connection):
        def __init__(self, **given: object) -> None:
            super().__init__(head_s=head_s, write_s=write_s, **given)

    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", Bounded),
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=stop_s,
    )


class _Connection(_Http):
    """A connection that does not wait for ever."""

    def __init__(self, *, head_s: float, write_s: float, **given: object) -> None:
        super().__init__(**given)
        self._head_s = head_s
        self._write_s = write_s
        self._head: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._writing: asyncio.TimerHandle | None = None
        self._unsent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_begins()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_ends()
            return
        self._head_begins()
        self._head_bytes += len(data)
        # Of a body that was refused the rest is thrown away, so that its client gets to read why.
        refused = self.cycle is not None and self.cycle.more_body
        if self._head_bytes > (MAX_REFUSED_BYTES if refused else MAX_HEAD_BYTES):
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_ends()
        self._sent()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._writing = asyncio.get_running_loop().call_later(self._write_s, self._reads_nothing)

    def resume_writing(self) -> None:
        self._sent()
        super().resume_writing()

    def _head_begins(self) -> None:
        if self._head is None:
            self._head = asyncio.get_running_loop().call_later(self._head_s, self._head_is_late)

    def _head_ends(self) -> None:
        self._head_bytes = 0
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _head_is_late(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def _sent(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _reads_nothing(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= self._unsent:
            self.transport.abort()
            return
        self._unsent = left
        self._writing = asyncio.get_running_loop().call_later(self._write_s, self._reads_nothing)
