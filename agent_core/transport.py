"""HTTP, as little of it as a model needs: one request out; status, headers and chunks of bytes back.

`Transport` is the seam: two methods, so a test, a recorder or a proxy can stand in. `HttpxTransport` is the real one.
httpx2 is imported, and a client made, when the first request is sent; a caller's own client is used as it is and never
closed. Whatever httpx2 raises becomes one TransportError here, which says in its `kind` what went wrong.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit

from .cancellation import lone
from .errors import CallerError, ConfigError, TransportError, TransportTimeout

if TYPE_CHECKING:
    import httpx2

__all__ = ["HttpRequest", "HttpStream", "HttpxTransport", "Timeouts", "Transport"]

_INFLATED_BYTES = 256 * 1024
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
            yield HttpStream(response.status_code, _headers(response), chunks)
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
        import httpx2

        if self._given is not None:
            return self._given
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=30.0)
        if _is_loopback(url):
            if self._loopback is None:
                self._loopback = httpx2.AsyncClient(limits=limits, trust_env=False, verify=False)
            return self._loopback
        if self._remote is None:
            try:
                self._remote = httpx2.AsyncClient(limits=limits)
            except (OSError, ImportError, ValueError, httpx2.InvalidURL) as error:
                raise _unusable_environment(error) from error
        return self._remote


async def _chunks(response: httpx2.Response, url: str) -> AsyncGenerator[bytes]:
    import anyio
    import httpx2

    if response.is_stream_consumed:  # made in memory, by a mock
        yield response.content
        return
    raw = response.aiter_raw()
    inflate = _inflater(response.headers.get("content-encoding", ""), url)
    try:
        async for chunk in raw:
            for piece in inflate(chunk):
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


def _inflater(encoding: str, url: str) -> Callable[[bytes], Iterable[bytes]]:
    """Undo gzip and deflate, which are never asked for but come. Piece by piece: what expands a thousandfold is read
    no faster than it is used (httpx2's decoder would hold all of it)."""
    import zlib

    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda chunk: (chunk,)
    if name not in ("gzip", "x-gzip", "deflate"):
        raise TransportError(
            f"the answer is compressed by {name!r}, which was not asked for ({_origin(url)})",
            kind="protocol",
            retryable=False,
        )
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: a gzip or a zlib header, whichever is there
    begun = False

    def inflate(chunk: bytes) -> Iterator[bytes]:
        nonlocal begun
        while True:
            try:
                piece = decoder.decompress(chunk, _INFLATED_BYTES)
            except zlib.error as error:
                what = f"the answer's compression is broken ({_origin(url)})"
                raise TransportError(what, kind="protocol", retryable=begun) from error  # or it never was any
            if piece:
                begun = True
                yield piece
            chunk = decoder.unconsumed_tail
            if not chunk and len(piece) < _INFLATED_BYTES:
                return

    return inflate


def _headers(response: httpx2.Response) -> dict[str, str]:
    # Cookies are credentials too, and these headers travel with errors.
    return {name.lower(): value for name, value in response.headers.items() if name.lower() != "set-cookie"}


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "http" and (host in ("localhost", "::1") or host.startswith("127."))


def _unusable_environment(error: Exception) -> ConfigError:
    """Certificates that are not there, proxies that are none. Proxy URLs may hold a password: they are not quoted."""
    named = f"{type(error).__name__}: {error}" if isinstance(error, (OSError, ImportError)) else type(error).__name__
    return ConfigError(
        f"the environment's settings for HTTP cannot be used ({named})",
        remedy="check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR",
    )


def _transport_error(
    error: Exception, url: str, connect_s: float | None, *, in_body: bool = False
) -> TransportError | ConfigError:
    """What an exception of httpx2 means. Its text may quote headers or the URL's query: only the origin is shown."""
    import httpx2

    origin = _origin(url)
    if isinstance(error, httpx2.ConnectTimeout):
        return TransportTimeout(
            f"no connection to {origin} within {connect_s:g} s" if connect_s else f"no connection to {origin}",
            timeout="connect",
            after_s=connect_s or 0.0,
            remedy="check the base URL and the network, or raise connect_s",
        )
    if isinstance(error, (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError)):
        return ConfigError(f"a request to {origin} cannot be sent: {type(error).__name__}", remedy="check the base URL")
    if isinstance(error, httpx2.LocalProtocolError):
        return ConfigError(
            f"a request to {origin} breaks the rules of HTTP", remedy="check headers= for odd characters"
        )
    kind, what, retryable, remedy = _diagnosis(error)
    if kind == "protocol" and in_body:  # it spoke HTTP a moment ago: the answer was damaged, not the address wrong
        what, retryable, remedy = "the answer broke the rules of HTTP on its way", True, ""
    return TransportError(f"{what} ({origin})", kind=kind, retryable=retryable, remedy=remedy)


def _diagnosis(error: Exception) -> tuple[str, str, bool, str]:
    """Kind, words, whether it may pass, remedy ("" for the class's own)."""
    import socket
    import ssl

    import httpx2

    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            # EAI_AGAIN is a resolver in trouble; the others mean there is no such host.
            again = cause.errno == socket.EAI_AGAIN
            return "dns", "the host name cannot be resolved", again, "check the host in the base URL"
        if isinstance(cause, ssl.SSLError):
            remedy = "check the certificate, or the scheme: https asked of a server that speaks http fails like this"
            return "tls", f"TLS failed: {cause.reason or type(cause).__name__}", False, remedy
    if isinstance(error, httpx2.ProxyError):
        return "proxy", "the proxy refused", True, "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "refused", "connection refused", True, "is the server running, and is the base URL right?"
    if isinstance(error, httpx2.ConnectError):
        return "other", "no connection", True, ""
    if isinstance(error, httpx2.RemoteProtocolError):
        if "complete message body" in str(error):
            return "truncated", "the answer ended before its announced end", True, ""
        if "disconnected" in str(error):
            return "reset", "the server closed the connection without an answer", True, ""
        if "StreamReset" in str(error) or "ConnectionTerminated" in str(error):  # HTTP/2, over a client of the caller's
            return "reset", "the server ended the stream", True, ""
        return "protocol", "the server does not speak HTTP", False, "check the base URL: host, port and scheme"
    if isinstance(error, httpx2.NetworkError):
        return "reset", "the connection was reset", True, ""
    return "other", f"the request failed: {type(error).__name__}", True, ""


def _causes(error: BaseException, depth: int = 0) -> Iterator[BaseException]:
    """The error, what caused it, and what those groups hold: the system's own error is at the bottom."""
    yield error
    if depth > 8:
        return
    if isinstance(error, BaseExceptionGroup):
        for member in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _causes(member, depth + 1)
    if (cause := error.__cause__ or error.__context__) is not None:
        yield from _causes(cause, depth + 1)


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the base URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
