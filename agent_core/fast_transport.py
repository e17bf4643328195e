"""Requests by aiohttp, on asyncio: half the CPU for a request, a quarter to a half for a delta (docs/performance.md).

What `transport.HttpxTransport` does with httpx2, done with aiohttp: the same pool, errors, limits and manners. It is a
module of its own because importing it imports aiohttp (extra `fast`), which takes 100 ms; `transport_choice` does so
when the first request is sent. It speaks HTTP/1.1 and goes through no proxy.

aiohttp is a client for people who browse. So: no cookies, no redirects, no headers of its own, nothing decompressed
behind our back, none of its timers. Four of its ways are changed:

- Closing a connection throws away what was not yet sent. aiohttp would send it first, to whoever does not read it.
- A connection on which something came that nobody asked for is not used again.
- What came before a connection broke is given out before the error is raised.
- Whoever reads a body that breaks the rules of HTTP is told. aiohttp would leave it waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from io import BytesIO
from math import inf
from ssl import SSLContext
from typing import TYPE_CHECKING

import aiohttp
import anyio
from aiohttp import encode_basic_auth  # since 3.14, as much else that is used here
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.payload import TOO_LARGE_BYTES_BODY
from yarl import URL

from . import http_faults
from .errors import CallerError
from .http_faults import HttpFault, check_sendable, inflater, is_loopback
from .transport import HttpRequest, HttpStream

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

__all__ = ["AiohttpTransport"]

_KEPT_S = 30.0
_HEAD_BYTES = 64 * 1024  # of one line; httpx2 takes 100 KB for all of them
_HEAD_LINES = 256
_OWN_HEADERS = ("accept", "accept-encoding", "content-type", "user-agent")


class AiohttpTransport:
    """Requests by aiohttp: HTTP/1.1, pooled, redirects not followed, no cap on how many. asyncio only.

    Its connections belong to one event loop. Where that was closed, a request in another one begins anew; where it was
    not, CallerError is raised.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tls: SSLContext | None = None
        self._open: set[aiohttp.ClientResponse] = set()
        self._closed = False

    @asynccontextmanager
    async def open(self, request: HttpRequest, *, connect_s: float | None = None) -> AsyncGenerator[HttpStream]:
        if self._closed:
            raise CallerError("this transport is closed", remedy="make a new client")
        check_sendable(request.url, request.headers)
        response = await self._send(request, connect_s)
        self._open.add(response)
        try:
            yield HttpStream(response.status, _headers(response), _body(response, request.url))
        finally:
            self._open.discard(response)
            response.close()  # at the end of its body its connection is back in the pool already

    async def aclose(self) -> None:
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            for response in self._open:
                response.close()
            with anyio.CancelScope(shield=True):  # nobody is waited for: connections are cut
                await session.close()

    def __del__(self) -> None:
        if self._session is not None:  # left open by its owner: closed without a word, by the connector
            self._session.detach()

    async def _send(self, request: HttpRequest, connect_s: float | None) -> aiohttp.ClientResponse:
        url = request.url
        try:
            target, headers = _addressed(url, request.headers)
            body = request.body if len(request.body) <= TOO_LARGE_BYTES_BODY else BytesIO(request.body)
            return await self._session_here().post(
                target,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=connect_s, ceil_threshold=inf),
                ssl=True if is_loopback(url) or not url.startswith("https:") else self._tls_context(),
            )
        except aiohttp.ConnectionTimeoutError as error:
            raise http_faults.not_connected(url, connect_s) from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, UnicodeError) as error:
            raise http_faults.no_url(url, error) from error
        except aiohttp.ClientResponseError as error:  # holds the request's headers, key and all
            fault, cause = _rule_broken(error.__cause__), error.__cause__
        except aiohttp.ClientError as error:
            raise _fault(error).error(url) from error
        raise fault.error(url) from cause

    def _session_here(self) -> aiohttp.ClientSession:
        """The session of the loop that runs."""
        loop = asyncio.get_running_loop()
        if self._session is not None and self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                raise CallerError("this client's connections belong to another event loop", remedy="make one for each")
            self._session.detach()
            self._session = None
        if self._session is None:
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=_Connector(),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_OWN_HEADERS,
                auto_decompress=False,
                max_line_size=_HEAD_BYTES,
                max_field_size=_HEAD_BYTES,
                max_headers=_HEAD_LINES,
            )
        return self._session

    def _tls_context(self) -> SSLContext:
        """The one httpx2 would use: whom it trusts must not depend on the transport."""
        if self._tls is None:
            import httpx2

            try:
                self._tls = httpx2.create_ssl_context()
            except (OSError, ImportError, ValueError) as error:
                raise http_faults.unusable_environment(error) from error
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


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

    def __del__(self, _warnings: object = None) -> None:
        self._close()


class _Connection(ResponseHandler):
    def close(self) -> None:
        self.abort()

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """aiohttp tells whoever waits for a head, and leaves who reads a body waiting where that breaks the rules."""
        body = self._payload
        super().set_exception(exc, exc if exc_cause is None else exc_cause)
        if body is not None and body.exception() is None and not body.is_eof():
            body.set_exception(exc)


def _addressed(url: str, headers: Mapping[str, str]) -> tuple[URL, dict[str, str]]:
    """Where to, and with which headers. A name and password in the URL are its authorization."""
    target = URL(url)
    if target.user is None and target.password is None:
        return target, dict(headers)
    basic = encode_basic_auth(target.user or "", target.password or "")
    kept = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    return target.with_user(None), {**kept, "authorization": basic}


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    # Cookies are credentials too, and these headers travel with errors.
    headers: dict[str, str] = {}
    for key, value in response.headers.items():
        name = key.lower()
        if name in headers:
            headers[name] += f", {value}"
        elif name != "set-cookie":
            headers[name] = value
    return headers


def _body(response: aiohttp.ClientResponse, url: str) -> AsyncIterator[bytes]:
    body = _Body(response, url)
    inflate = inflater(response.headers.get("content-encoding", ""), url)
    return body if inflate is None else _Inflated(body, inflate)


class _Body(AsyncIterator[bytes]):
    """A body as it comes: with each read, all that is there."""

    __slots__ = ("_content", "_ends_with_connection", "_protocol", "_url")

    def __init__(self, response: aiohttp.ClientResponse, url: str) -> None:
        self._content = response.content
        self._protocol = None if response.connection is None else response.connection.protocol
        self._ends_with_connection = not {"content-length", "transfer-encoding"} & response.headers.keys()
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
        match None if self._protocol is None else self._protocol.exception():
            case HttpProcessingError():
                return http_faults.DAMAGED
            case aiohttp.ServerDisconnectedError():
                return http_faults.TRUNCATED
            case _:
                return http_faults.RESET


class _Inflated(AsyncIterator[bytes]):
    """A body decompressed, a bounded piece at a time."""

    def __init__(self, body: _Body, inflate: Callable[[bytes], Iterable[bytes]]) -> None:
        self._body = body
        self._inflate = inflate
        self._pieces: Iterator[bytes] = iter(())

    async def __anext__(self) -> bytes:
        while True:
            for piece in self._pieces:
                return piece
            self._pieces = iter(self._inflate(await anext(self._body)))


def _fault(error: aiohttp.ClientError) -> HttpFault:
    """What kept an answer from coming."""
    below = http_faults.system_fault(error.__cause__ or error)
    if below is not None:
        return below
    if isinstance(error, aiohttp.ClientConnectorError):
        return http_faults.UNCONNECTED
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return http_faults.UNANSWERED
    return http_faults.RESET if isinstance(error, OSError) else http_faults.failed(error)


def _rule_broken(error: BaseException | None) -> HttpFault:
    """A chunk that breaks the rules among the first bytes of an answer keeps its head from being seen."""
    rule = error.message.partition("\n")[0] if isinstance(error, HttpProcessingError) else ""
    return http_faults.DAMAGED if "chunk" in rule.lower() else http_faults.NOT_HTTP
