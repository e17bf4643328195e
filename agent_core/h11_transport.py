"""Requests by h11, the parser under httpx2, on asyncio and trio: for a fraction of what httpx2 takes.

What `transport.HttpxTransport` does with httpx2, for one POST and its answer: the same rules, errors, limits and
manners, without the layers of a client for everything (docs/performance.md). It speaks HTTP/1.1, which h11 knows and
this file does not, and goes through no proxy. Reads are put together by `chunk_joiner` before h11 sees them; sockets
and TLS are asyncio's or anyio's.

A connection is taken from those that wait, the last one first, or made; at the end of a body it waits for 30 seconds.
It is closed wherever else its answer is left, where something came on it that nobody asked for, and where the answer
came before all of the request was sent. How many there are is the caller's business.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator
from ssl import SSLContext
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakSet

import anyio
import anyio.lowlevel
import h11

from . import http_faults
from .chunk_joiner import ChunkJoiner
from .deadlines import asyncio_loop
from .errors import CallerError
from .http_faults import HttpFault, inflated
from .http_head import Target, answer_headers
from .transport import HttpRequest, HttpStream

if TYPE_CHECKING:
    from .anyio_network import Connection

__all__ = ["H11Transport"]

_KEPT_S = 30.0
_MAX_KEPT = 100
"""To one place: as many as are soon asked for again, not as many as there ever were."""
_MAX_HEAD_BYTES = 100 * 1024  # httpx2's
_JOINED_BYTES = 256 * 1024  # up to here a copy of the body is cheaper than a packet of its own for the head
_SENT = h11.EndOfMessage()
_MAX_TARGETS = 64
_Place: TypeAlias = tuple[str, int, bool]
"""Host, port, and whether TLS is spoken there."""


class H11Transport:
    """Requests by h11: HTTP/1.1, pooled, redirects not followed, no cap on how many.

    Its connections belong to one event loop. Where that was closed, a request in another one begins anew; where asyncio
    may go on with it, CallerError is raised.
    """

    def __init__(self) -> None:
        self._kept: dict[_Place, list[_Line]] = {}
        self._targets: dict[str, Target] = {}
        self._open: WeakSet[_Exchange] = WeakSet()
        self._loop: object = None
        self._tls: SSLContext | None = None
        self._closed = False

    def open(self, request: HttpRequest, *, connect_s: float | None = None) -> _Exchange:
        return _Exchange(self, request, connect_s)

    async def aclose(self) -> None:
        self._closed = True
        kept, self._kept = self._kept, {}
        for exchange in tuple(self._open):
            await exchange.aclose()
        for lines in kept.values():
            for line in lines:
                await line.aclose()

    def target(self, url: str) -> Target:
        """What is the same for all requests to a URL. Raises ConfigError where there is no such place, CallerError
        where the connections are not of the loop that runs."""
        if self._closed:
            raise CallerError("this transport is closed", remedy="make a new client")
        self._here()
        target = self._targets.get(url)
        if target is None:
            if len(self._targets) >= _MAX_TARGETS:
                self._targets.clear()
            target = self._targets[url] = Target(url)
        return target

    async def line(self, target: Target, connect_s: float | None) -> _Line:
        """A line that waits, or a new one."""
        place = target.host, target.port, target.tls
        kept = self._kept.get(place)
        while kept:
            line = kept.pop()
            if line.is_waiting():
                return line
            await line.aclose()
        if target.tls and self._tls is None:
            self._tls = http_faults.tls_context()
        try:
            with anyio.fail_after(connect_s):
                connection = await self._connected(target.host, target.port, self._tls if target.tls else None)
        except TimeoutError as error:
            raise http_faults.not_connected(target.url, connect_s) from error
        except OSError as error:
            raise (http_faults.system_fault(error) or http_faults.UNCONNECTED).error(target.url) from error
        return _Line(place, connection)

    async def keep(self, line: _Line) -> bool:
        """For the next request; False where there are enough."""
        kept = self._kept.setdefault(line.place, [])
        while kept and not kept[0].is_waiting():
            await kept.pop(0).aclose()
        if self._closed or len(kept) >= _MAX_KEPT:
            return False
        kept.append(line)
        return True

    def opened(self, exchange: _Exchange) -> None:
        self._open.add(exchange)

    async def _connected(self, host: str, port: int, tls: SSLContext | None) -> Connection:
        if isinstance(self._loop, AbstractEventLoop):
            from . import asyncio_network

            return await asyncio_network.connect(host, port, tls)
        from . import anyio_network

        return await anyio_network.connect(host, port, tls)

    def _here(self) -> None:
        """Only the connections of the loop that runs."""
        loop = asyncio_loop() or anyio.lowlevel.current_token().native_token
        if self._loop is loop:
            return
        if isinstance(self._loop, AbstractEventLoop) and not self._loop.is_closed():
            raise CallerError("this client's connections belong to another event loop", remedy="make one for each")
        self._loop = loop
        self._kept = {}


class _Line:
    """A connection and what h11 knows of it: one request and its answer after the other."""

    __slots__ = ("_connection", "_ended", "_joiner", "_rules", "_until", "place")

    def __init__(self, place: _Place, connection: Connection) -> None:
        self.place = place
        self._connection = connection
        self._rules = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._joiner = ChunkJoiner()
        self._ended = False
        self._until = 0.0

    async def ask(self, target: Target, fields: tuple[tuple[str, str], ...], body: bytes) -> h11.Response:
        """A request out, the head of its answer back. Raises TransportError, or ConfigError for a request that breaks
        the rules."""
        rules = self._rules
        try:
            asked = h11.Request(
                method=b"POST", target=target.path, headers=[*fields, ("content-length", str(len(body)))]
            )
            head = rules.send(asked)
        except h11.LocalProtocolError:  # it quotes what it tells of
            raise http_faults.no_header(target.url) from None
        body = rules.send(h11.Data(data=body)) + rules.send(_SENT)
        self._joiner.begin()
        try:
            for piece in (head + body,) if len(body) <= _JOINED_BYTES else (head, body):
                await self._connection.write(piece)
        except OSError:
            pass  # a server may answer and hang up before it has read all: what it said is read, if it did
        while True:
            event = await self.event(target.url, http_faults.NOT_HTTP)
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise http_faults.NOT_HTTP.error(target.url)

    async def event(self, url: str, broken: HttpFault) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Raises TransportError: `broken` where what comes breaks the rules."""
        rules = self._rules
        try:
            while (event := rules.next_event()) is h11.NEED_DATA:
                await self._read(url)
        except h11.RemoteProtocolError as error:
            raise (http_faults.TRUNCATED if self._ended else broken).error(url) from error
        except OSError as error:
            raise (http_faults.system_fault(error) or http_faults.RESET).error(url) from error
        return event

    async def _read(self, url: str) -> None:
        data = await self._connection.read()
        if joined := self._joiner.feed(data):
            self._rules.receive_data(joined)
        if data:
            return
        if self._rules.their_state is h11.SEND_RESPONSE:
            raise http_faults.UNANSWERED.error(url)
        self._ended = True
        self._rules.receive_data(b"")

    def wait(self) -> bool:
        """An answer has come to its end: whether the next request may be sent here."""
        rules = self._rules
        if rules.our_state is not h11.DONE or rules.their_state is not h11.DONE or rules.trailing_data[0]:
            return False
        if not self._connection.quiet():
            return False
        rules.start_next_cycle()
        self._until = monotonic() + _KEPT_S
        return True

    def is_waiting(self) -> bool:
        return monotonic() < self._until and self._connection.quiet()

    async def aclose(self) -> None:
        await self._connection.aclose()

    def abort(self) -> None:
        self._connection.abort()


class _Exchange:
    """One request and its answer: entered once, left once."""

    __slots__ = ("__weakref__", "_connect_s", "_line", "_request", "_transport")

    def __init__(self, transport: H11Transport, request: HttpRequest, connect_s: float | None) -> None:
        self._transport = transport
        self._request = request
        self._connect_s = connect_s
        self._line: _Line | None = None

    async def __aenter__(self) -> HttpStream:
        request, transport = self._request, self._transport
        target = transport.target(request.url)
        fields = target.fields(request.headers)
        self._line = line = await transport.line(target, self._connect_s)
        transport.opened(self)
        try:
            head = await line.ask(target, fields, request.body)
            headers = answer_headers((name.decode("ascii"), _text(value)) for name, value in head.headers)
            body = _Body(self, line, request.url)
            return HttpStream(
                head.status_code, headers, inflated(body, headers.get("content-encoding", ""), request.url)
            )
        except BaseException:
            await self.aclose()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._line is not None:
            self._line.abort()

    async def over(self) -> None:
        """The body has come to its end."""
        line, self._line = self._line, None
        if line is not None and not (line.wait() and await self._transport.keep(line)):
            await line.aclose()

    async def aclose(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.aclose()


class _Body(AsyncIterator[bytes]):
    """A body as it comes."""

    __slots__ = ("_exchange", "_line", "_over", "_url")

    def __init__(self, exchange: _Exchange, line: _Line, url: str) -> None:
        self._exchange = exchange
        self._line = line
        self._url = url
        self._over = False

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        event = await self._line.event(self._url, http_faults.DAMAGED)
        if isinstance(event, h11.Data):
            return bytes(event.data)
        self._over = True
        await self._exchange.over()
        raise StopAsyncIteration


def _text(value: bytes) -> str:
    """As httpx2 reads it."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
