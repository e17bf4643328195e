"""Requests by aiohttp's parts, on asyncio: about a third less CPU than h11's for a request, a seventh to a fifth for a
delta (docs/performance.md).

What `h11_transport` does with h11: the same pool, errors, limits and manners. It is a module of its own
because importing it imports aiohttp (extra `fast`), which takes 100 ms; `transport_choice` does so when the first
request is sent. It speaks HTTP/1.1 and goes through no proxy.

Of aiohttp come names, sockets, TLS and the pool (its connector) and the parser in C; its session, a client for people
who browse, would cost more than all of these: cookies, redirects, middlewares, timers, and a task for each body. What
is left of it for one POST is here: a head is written, with the body behind it, and the parser's answer is waited for.
Four ways of those parts are changed:

- Closing a connection throws away what was not yet sent. aiohttp would send it first, to whoever does not read it.
- A connection on which something came that nobody asked for is not used again.
- What came before a connection broke is given out before the error is raised.
- Whoever reads a body that breaks the rules of HTTP is told. aiohttp would leave it waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from math import inf
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING
from weakref import WeakSet

import aiohttp  # 3.14, for much that is used here
import anyio
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from . import http_faults
from .errors import CallerError
from .http_faults import HttpFault, inflated
from .http_head import Target, answer_headers
from .transport import HttpRequest, HttpStream

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

__all__ = ["AiohttpTransport"]

_KEPT_S = 30.0
_HEAD_BYTES = 64 * 1024  # of one line; httpx2 takes 100 KB for all of them
_HEAD_LINES = 256
_JOINED_BYTES = 256 * 1024  # up to here a copy of the body is cheaper than a packet of its own for the head
_MAX_PLACES = 64


class AiohttpTransport:
    """Requests by aiohttp: HTTP/1.1, pooled, redirects not followed, no cap on how many. asyncio only.

    Its connections belong to one event loop. Where that was closed, a request in another one begins anew; where it was
    not, CallerError is raised.
    """

    def __init__(self) -> None:
        self._connector: _Connector | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places: dict[str, _Place] = {}
        self._timeout = _timeout(None)
        self._tls: SSLContext | None = None
        self._open: WeakSet[_Exchange] = WeakSet()
        self._closed = False

    def open(self, request: HttpRequest, *, connect_s: float | None = None) -> _Exchange:
        return _Exchange(self, request, connect_s)

    async def aclose(self) -> None:
        self._closed = True
        connector, self._connector = self._connector, None
        if connector is not None:
            for exchange in tuple(self._open):
                exchange.close()
            with anyio.CancelScope(shield=True):  # nobody is waited for: connections are cut
                await connector.close()

    async def connected(self, place: _Place, connect_s: float | None, exchange: _Exchange) -> Connection:
        """A connection for one exchange, which has to close itself."""
        url = place.url
        if self._timeout.connect != connect_s:
            self._timeout = _timeout(connect_s)
        try:
            connection = await self._connector_here().connect(place.asked, [], self._timeout)
        except TimeoutError as error:
            raise http_faults.not_connected(url, connect_s) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _fault(error).error(url) from error
        self._open.add(exchange)
        return connection

    def dropped(self, connection: Connection) -> None:
        """Its exchange was entered and never left."""
        if self._connector is not None and self._loop is not None and self._loop.is_closed():
            self._connector.forget()
        connection.close()

    def place(self, url: str) -> _Place:
        """What is the same for all requests to a URL. Raises ConfigError where there is no such place, CallerError
        where the connections are not of the loop that runs."""
        if self._closed:
            raise CallerError("this transport is closed", remedy="make a new client")
        self._connector_here()
        place = self._places.get(url)
        if place is None:
            if len(self._places) >= _MAX_PLACES:
                self._places.clear()
            place = self._places[url] = _Place(url, self._trusted)
        return place

    def _connector_here(self) -> _Connector:
        """The connections of the loop that runs."""
        loop = asyncio.get_running_loop()
        if self._connector is not None and self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                raise CallerError("this client's connections belong to another event loop", remedy="make one for each")
            self._connector = None  # it closes what is left
            self._places.clear()
        if self._connector is None:
            self._loop = loop
            self._connector = _Connector()
        return self._connector

    def _trusted(self) -> SSLContext:
        if self._tls is None:
            self._tls = http_faults.tls_context()
        return self._tls


def _timeout(connect_s: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect_s, ceil_threshold=inf)


class _Place:
    """Where requests to a URL go: their heads, and the request their connections are asked for with, which is never
    sent."""

    __slots__ = ("_line", "_target", "_written", "asked", "url")

    def __init__(self, url: str, tls: Callable[[], SSLContext]) -> None:
        self._target = target = Target(url)
        self._line = f"POST {target.path} HTTP/1.1\r\n"
        self._written: tuple[object, str] = (None, "")
        self.url = url
        try:
            address = URL(url).with_user(None)
        except ValueError as error:
            raise http_faults.no_url(url, error) from error
        self.asked: ClientRequest = aiohttp.ClientRequest(
            "POST", address, loop=asyncio.get_running_loop(), ssl=tls() if target.tls else True
        )

    def head(self, headers: Mapping[str, str], size: int) -> bytes:
        """The head of a request with `size` bytes of body. Raises ConfigError for headers that cannot be sent."""
        fields = self._target.fields(headers)
        known, written = self._written
        if fields is not known:
            written = self._line + "".join([f"{name}: {value}\r\n" for name, value in fields])
            self._written = fields, written
        return f"{written}content-length: {size}\r\n\r\n".encode("ascii")


class _Exchange:
    """One request and its answer: entered once, left once."""

    __slots__ = ("__weakref__", "_connect_s", "_connection", "_content", "_request", "_transport")

    def __init__(self, transport: AiohttpTransport, request: HttpRequest, connect_s: float | None) -> None:
        self._transport = transport
        self._request = request
        self._connect_s = connect_s
        self._connection: Connection | None = None
        self._content: aiohttp.StreamReader | None = None

    async def __aenter__(self) -> HttpStream:
        request, transport = self._request, self._transport
        place = transport.place(request.url)
        head = place.head(request.headers, len(request.body))
        self._connection = await transport.connected(place, self._connect_s, self)
        try:
            return await self._asked(self._connection, head)
        except BaseException:
            self.close()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._connection is not None and self._connection.protocol is not None:
            self._transport.dropped(self._connection)

    def close(self) -> None:
        """At the end of the body its connection is back in the pool already; anywhere else it is cut, and whoever waits
        for more is told."""
        connection = self._connection
        if connection is None or connection.protocol is None:
            return
        if self._content is not None and self._content.exception() is None:
            self._content.set_exception(aiohttp.ClientConnectionError("closed"))
        connection.close()

    async def _asked(self, connection: Connection, head: bytes) -> HttpStream:
        url, body = self._request.url, self._request.body
        protocol = connection.protocol
        if protocol is None or protocol.transport is None:
            raise http_faults.RESET.error(url)
        protocol.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=_HEAD_BYTES,
            max_field_size=_HEAD_BYTES,
            max_headers=_HEAD_LINES,
        )
        if len(body) <= _JOINED_BYTES:
            protocol.transport.write(head + body)
        else:
            protocol.transport.write(head)
            protocol.transport.write(body)
        try:
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != 101:
                message, content = await protocol.read()
        except HttpProcessingError as error:
            raise _rule_broken(error).error(url) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _fault(error).error(url) from error
        headers = answer_headers(message.headers.items())
        chunks = _body(content, protocol, headers, url)
        self._content = content
        content.on_eof(partial(_over, connection))
        return HttpStream(message.code, headers, chunks)


def _over(connection: Connection) -> None:
    """The body has come to its end: the connection is the next request's, unless this one was answered before all of
    it was sent."""
    if connection.transport is not None and connection.transport.get_write_buffer_size():
        connection.close()
    else:
        connection.release()


class _Connector(aiohttp.TCPConnector):
    def __init__(self) -> None:
        super().__init__(limit=0, keepalive_timeout=_KEPT_S, resolver=aiohttp.ThreadedResolver())  # pyright: ignore[reportUnknownMemberType]
        kind: type[ResponseHandler] = _Connection
        self._factory = partial(kind, loop=self._loop)

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()

    def forget(self) -> None:
        """Close at once, and without a word; where the loop is closed, nothing is left to do."""
        self._close()

    def __del__(self, _warnings: object = None) -> None:
        self._close()


class _Connection(ResponseHandler):
    def close(self) -> None:
        self.abort()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """aiohttp goes through this with each piece that is taken from a body, paused or not."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """aiohttp tells whoever waits for a head, and leaves who reads a body waiting where that breaks the rules."""
        body = self._payload
        super().set_exception(exc, exc if exc_cause is None else exc_cause)
        if body is not None and body.exception() is None and not body.is_eof():
            body.set_exception(exc)


def _body(
    content: aiohttp.StreamReader, protocol: ResponseHandler, headers: Mapping[str, str], url: str
) -> AsyncIterator[bytes]:
    ends_with_connection = "content-length" not in headers and "transfer-encoding" not in headers
    body = _Body(content, protocol, url, ends_with_connection=ends_with_connection)
    encoding = headers.get("content-encoding")
    return body if encoding is None else inflated(body, encoding, url)


class _Body(AsyncIterator[bytes]):
    """A body as it comes: with each read, all that is there."""

    __slots__ = ("_content", "_ends_with_connection", "_protocol", "_url")

    def __init__(
        self, content: aiohttp.StreamReader, protocol: ResponseHandler, url: str, *, ends_with_connection: bool
    ) -> None:
        self._content = content
        self._protocol = protocol
        self._ends_with_connection = ends_with_connection
        self._url = url

    async def __anext__(self) -> bytes:
        try:
            data = await self._content.readany()
        except (aiohttp.ClientError, HttpProcessingError) as error:
            data = self._content._read_nowait(-1)
            if not data:
                raise self._fault().error(self._url) from error
        if data:
            return data
        if self._ends_with_connection and self._fault() is http_faults.RESET:
            raise http_faults.RESET.error(self._url)
        raise StopAsyncIteration

    def _fault(self) -> HttpFault:
        """How the connection ended; aiohttp says of the body no more than that it is not whole."""
        match self._protocol.exception():
            case HttpProcessingError():
                return http_faults.DAMAGED
            case aiohttp.ServerDisconnectedError():
                return http_faults.TRUNCATED
            case _:
                return http_faults.RESET


def _fault(error: aiohttp.ClientError | OSError) -> HttpFault:
    """What kept an answer from coming."""
    below = http_faults.system_fault(error.__cause__ or error)
    if below is not None:
        return below
    if isinstance(error, aiohttp.ClientConnectorError):
        return http_faults.UNCONNECTED
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return http_faults.UNANSWERED
    return http_faults.RESET if isinstance(error, OSError) else http_faults.failed(error)


def _rule_broken(error: HttpProcessingError) -> HttpFault:
    """A chunk that breaks the rules among the first bytes of an answer keeps its head from being seen."""
    rule = error.message.partition("\n")[0]
    return http_faults.DAMAGED if "chunk" in rule.lower() else http_faults.NOT_HTTP
