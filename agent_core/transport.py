"""HTTP, as little of it as a model needs: one request out; status, headers and chunks of bytes back.

`Transport` is the seam: two methods, so a test, a recorder or a proxy can stand in. `HttpxTransport` sends by httpx2:
what goes through a proxy, and by a client of the caller's, which is used as it is and never closed (`transport_choice`
says who sends the rest). httpx2 is imported, and a client made, when the first request is sent. Whatever it raises
becomes one TransportError here, which says in its `kind` what went wrong.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Protocol

from . import http_faults
from .cancellation import lone
from .errors import CallerError, ConfigError, TransportError
from .http_faults import HttpFault, check_sendable, inflater, is_loopback
from .http_head import answer_headers

if TYPE_CHECKING:
    import httpx2

__all__ = ["HttpRequest", "HttpStream", "HttpxTransport", "Timeouts", "Transport"]

_EXHAUST_S = 1.0  # it takes no time but on a machine that has none: a read error comes at once
_EXHAUST_CHUNKS = 64  # what h11 may still hold of a 64 KiB read, in the smallest chunks seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """The four timers of a call, in seconds; None switches one off.

    `connect_s`: DNS, TCP and TLS (10 s: behaviours.md S0-88). `first_event_s`: from sending an attempt to the first
    event of its stream; comments that keep the connection alive do not count (300 s: local servers read a long prompt
    for minutes). `idle_s`: between any two pieces of a stream, comments count (300 s: S1-29). `total_s`: the whole
    call, retries and waits included; off, because long answers are no fault (S0-88). An answer that is not streamed
    gives no sign of life, so `complete` bounds it by `total_s`, or 900 s (S0-88). `grace_s` is no fault but an end: how
    long to read on for usage after the answer is whole (it follows at once or not at all: providers.md 3c).
    """

    connect_s: float | None = 10.0
    first_event_s: float | None = 300.0
    idle_s: float | None = 300.0
    total_s: float | None = None
    grace_s: float | None = 2.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            value: object = getattr(self, entry.name)
            fits = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
            if value is not None and not fits:
                raise ConfigError(f"{entry.name} must be a positive number of seconds or None, got {value!r}")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A POST, ready to send. Headers hold the key and the body the conversation: neither is in the repr."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HttpStream:
    """An answer whose body is still coming. Header names are lower-case. `chunks` ends at the end of the body, and
    raises TransportError when the connection breaks; it is iterated once."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes] = field(repr=False)


class Transport(Protocol):
    """Sends requests. `open` enters once the head of the answer is there, whatever its status, and leaving it closes
    the connection at once unless the body was read to its end. It raises TransportError for all that keeps an answer
    from coming (TransportTimeout with `timeout="connect"` after `connect_s` seconds) and applies no other timer: its
    caller cancels. `aclose` closes what the transport itself opened; after it, `open` may not be called.
    """

    def open(
        self, request: HttpRequest, *, connect_s: float | None = None
    ) -> AbstractAsyncContextManager[HttpStream]: ...

    async def aclose(self) -> None: ...


class HttpxTransport:
    """Requests by httpx2: HTTP/1.1, pooled, proxies from the environment, redirects not followed, no cap on how many.

    `client`: the caller's, used with all its settings (but the timers: those are `Timeouts`) and left open. Without it
    two are made when they are needed: one for loopback addresses, which go through no proxy and speak no TLS (loading
    certificates takes 100 ms), and one for the rest. Like their connections they belong to one event loop.
    """

    def __init__(self, client: httpx2.AsyncClient | None = None) -> None:
        self._given = client
        self._loopback: httpx2.AsyncClient | None = None
        self._remote: httpx2.AsyncClient | None = None
        self._closed = False

    @asynccontextmanager
    async def open(self, request: HttpRequest, *, connect_s: float | None = None) -> AsyncGenerator[HttpStream]:
        import anyio
        import httpx2

        if self._closed:
            raise CallerError("this transport is closed", remedy="make a new client")
        check_sendable(request.url, request.headers)
        client = self._client(request.url)
        timeout = httpx2.Timeout(None, connect=connect_s)
        try:
            built = client.build_request(
                "POST", request.url, headers=dict(request.headers), content=request.body, timeout=timeout
            )
            response = await client.send(built, stream=True, follow_redirects=False)
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
            raise _transport_error(error, request.url, connect_s) from error
        except BaseExceptionGroup as group:  # trio: the attempts to connect were cancelled, each by itself
            raise lone(group) from None
        chunks = _chunks(response, request.url)
        try:
            yield HttpStream(response.status_code, answer_headers(response.headers.multi_items()), chunks)
        finally:
            with anyio.CancelScope(shield=True):
                await chunks.aclose()
                await response.aclose()

    async def aclose(self) -> None:
        self._closed = True
        for client in (self._loopback, self._remote):
            if client is not None:
                await client.aclose()
        self._loopback = self._remote = None

    def _client(self, url: str) -> httpx2.AsyncClient:
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        import httpx2

        if self._given is not None:
            return self._given
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))  # none are kept: no call is to tell of another
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=30.0)
        if is_loopback(url):
            if self._loopback is None:
                self._loopback = httpx2.AsyncClient(cookies=cookies, limits=limits, trust_env=False, verify=False)
            return self._loopback
        if self._remote is None:
            try:
                self._remote = httpx2.AsyncClient(cookies=cookies, limits=limits)
            except (OSError, ImportError, ValueError, httpx2.InvalidURL) as error:
                raise http_faults.unusable_environment(error) from error
        return self._remote


async def _chunks(response: httpx2.Response, url: str) -> AsyncGenerator[bytes]:
    import anyio
    import httpx2

    if response.is_stream_consumed:  # made in memory, by a mock
        yield response.content
        return
    raw = response.aiter_raw()
    inflate = inflater(response.headers.get("content-encoding", ""), url)
    try:
        async for chunk in raw:
            for piece in (chunk,) if inflate is None else inflate(chunk):
                yield piece
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise _transport_error(error, url, None, in_body=True) from error
    finally:
        # A cancelled caller still closes: the socket must not outlive the block.
        with anyio.CancelScope(shield=True):
            await response.aclose()
            await _exhaust(raw)


async def _exhaust(raw: AsyncGenerator[bytes, None]) -> None:
    """Run the generators of a closed response to their end, which is a read error at once.

    httpx2 nests half a dozen of them and one does not close the next: left alone, that one is finished by the garbage
    collector, later and, on trio, with a warning. A body that goes on after its response was closed is not httpx2's;
    it gets a moment and is closed as far as it can be.
    """
    import anyio
    import httpx2

    with anyio.move_on_after(_EXHAUST_S):
        try:
            for _ in range(_EXHAUST_CHUNKS):
                await anext(raw)
        except (StopAsyncIteration, httpx2.HTTPError, httpx2.StreamError):
            return
    await raw.aclose()


def _transport_error(
    error: Exception, url: str, connect_s: float | None, *, in_body: bool = False
) -> TransportError | ConfigError:
    """What an exception of httpx2 means. Its text may quote headers or the URL's query: only the origin is shown."""
    import httpx2

    if isinstance(error, httpx2.ConnectTimeout):
        return http_faults.not_connected(url, connect_s)
    if isinstance(error, (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError)):
        return http_faults.no_url(url, error)
    if isinstance(error, httpx2.LocalProtocolError):
        return http_faults.no_header(url)
    fault = _fault(error)
    return (http_faults.DAMAGED if fault.kind == "protocol" and in_body else fault).error(url)


def _fault(error: Exception) -> HttpFault:
    import httpx2

    below = http_faults.system_fault(error)
    if below is not None and below is not http_faults.REFUSED:
        return below
    if isinstance(error, httpx2.ProxyError):
        return http_faults.PROXY
    if below is not None:
        return below
    if isinstance(error, httpx2.ConnectError):
        return http_faults.UNCONNECTED
    if isinstance(error, httpx2.RemoteProtocolError):
        if "complete message body" in str(error):
            return http_faults.TRUNCATED
        if "disconnected" in str(error):
            return http_faults.UNANSWERED
        if "StreamReset" in str(error) or "ConnectionTerminated" in str(error):  # HTTP/2, over a client of the caller's
            return http_faults.STREAM_ENDED
        return http_faults.NOT_HTTP
    return http_faults.RESET if isinstance(error, httpx2.NetworkError) else http_faults.failed(error)
