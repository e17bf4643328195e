"""What can go wrong between a request and its answer, and what it is called: the same words whichever transport sends.

Messages show where a request went, never what it was: URLs hold tokens in their query, proxies passwords.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urlsplit

from .errors import ConfigError, TransportError, TransportTimeout

if TYPE_CHECKING:
    from ssl import SSLContext

_INFLATED_BYTES = 256 * 1024
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


class HttpFault(NamedTuple):
    """Kind, words, whether it may pass, and what to do ("": what TransportError says)."""

    kind: str
    what: str
    retryable: bool = True
    remedy: str = ""

    def error(self, url: str) -> TransportError:
        return TransportError(
            f"{self.what} ({origin(url)})", kind=self.kind, retryable=self.retryable, remedy=self.remedy
        )


REFUSED = HttpFault("refused", "connection refused", True, "is the server running, and is the base URL right?")
UNCONNECTED = HttpFault("other", "no connection")
UNANSWERED = HttpFault("reset", "the server closed the connection without an answer")
RESET = HttpFault("reset", "the connection was reset")
STREAM_ENDED = HttpFault("reset", "the server ended the stream")
TRUNCATED = HttpFault("truncated", "the answer ended before its announced end")
NOT_HTTP = HttpFault("protocol", "the server does not speak HTTP", False, "check the base URL: host, port and scheme")
DAMAGED = HttpFault("protocol", "the answer broke the rules of HTTP on its way")
"""It spoke HTTP a moment ago: the answer was damaged, not the address wrong."""
PROXY = HttpFault("proxy", "the proxy refused", True, "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY")


def failed(error: Exception) -> HttpFault:
    """What has no name of its own."""
    return HttpFault("other", f"the request failed: {type(error).__name__}")


def system_fault(error: BaseException) -> HttpFault | None:
    """What the system says at the bottom of an error: a name that cannot be resolved, TLS, a refused connection."""
    import socket
    import ssl

    refused = False
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            # EAI_AGAIN is a resolver in trouble; the others mean there is no such host.
            again = cause.errno == socket.EAI_AGAIN
            return HttpFault("dns", "the host name cannot be resolved", again, "check the host in the base URL")
        if isinstance(cause, ssl.SSLError):
            remedy = "check the certificate, or the scheme: https asked of a server that speaks http fails like this"
            return HttpFault("tls", f"TLS failed: {cause.reason or type(cause).__name__}", False, remedy)
        refused = refused or isinstance(cause, ConnectionRefusedError)
    return REFUSED if refused else None


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


def not_connected(url: str, connect_s: float | None) -> TransportTimeout:
    """The connect timer ran out."""
    return TransportTimeout(
        f"no connection to {origin(url)}" + (f" within {connect_s:g} s" if connect_s else ""),
        timeout="connect",
        after_s=connect_s or 0.0,
        remedy="check the base URL and the network, or raise connect_s",
    )


def no_url(url: str, error: Exception) -> ConfigError:
    what = f"a request to {origin(url)} cannot be sent: {type(error).__name__}"
    return ConfigError(what, remedy="check the base URL")


def no_header(url: str) -> ConfigError:
    what = f"a request to {origin(url)} breaks the rules of HTTP"
    return ConfigError(what, remedy="check headers= for odd characters")


def unusable_environment(error: Exception) -> ConfigError:
    """Certificates that are not there, proxies that are none. Proxy URLs may hold a password: they are not quoted."""
    named = f"{type(error).__name__}: {error}" if isinstance(error, (OSError, ImportError)) else type(error).__name__
    return ConfigError(
        f"the environment's settings for HTTP cannot be used ({named})",
        remedy="check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR",
    )


def tls_context() -> SSLContext:
    """The one httpx2 would use: whom it trusts must not depend on who sends. Raises ConfigError."""
    import httpx2

    try:
        context = httpx2.create_ssl_context()
    except (OSError, ImportError, ValueError) as error:
        raise unusable_environment(error) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def inflated(body: AsyncIterator[bytes], encoding: str, url: str) -> AsyncIterator[bytes]:
    """The body as it was before it was compressed, a bounded piece at a time. Raises as `inflater` does."""
    inflate = inflater(encoding, url)
    return body if inflate is None else _Inflated(body, inflate)


class _Inflated(AsyncIterator[bytes]):
    def __init__(self, body: AsyncIterator[bytes], inflate: Callable[[bytes], Iterable[bytes]]) -> None:
        self._body = body
        self._inflate = inflate
        self._pieces: Iterator[bytes] = iter(())

    async def __anext__(self) -> bytes:
        while True:
            for piece in self._pieces:
                return piece
            self._pieces = iter(self._inflate(await anext(self._body)))


def inflater(encoding: str, url: str) -> Callable[[bytes], Iterable[bytes]] | None:
    """Undo gzip and deflate, which are never asked for but come; None where there is nothing to undo. Piece by piece:
    what expands a thousandfold is read no faster than it is used. Raises TransportError for any other encoding, and
    what it returns for a body that is damaged."""
    import zlib

    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name not in ("gzip", "x-gzip", "deflate"):
        what = f"the answer is compressed by {name!r}, which was not asked for"
        raise HttpFault("protocol", what, False).error(url)
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: a gzip or a zlib header, whichever is there
    begun = False

    def inflate(chunk: bytes) -> Iterator[bytes]:
        nonlocal begun
        while True:
            before = None if begun else decoder.copy()
            try:
                piece = decoder.decompress(chunk, _INFLATED_BYTES)
            except zlib.error as error:
                # Not retryable where it never was any.
                begun = before is None or any(_whole_pieces(before.decompress, chunk, zlib.error))
                raise HttpFault("protocol", "the answer's compression is broken", begun).error(url) from error
            if piece:
                begun = True
                yield piece
            chunk = decoder.unconsumed_tail
            if not chunk and len(piece) < _INFLATED_BYTES:
                return

    return inflate


def _whole_pieces(decompress: Callable[[bytes], bytes], data: bytes, broken: type[Exception]) -> Iterator[bytes]:
    """What comes of data before the place where it is broken, byte by byte."""
    try:
        for n in range(len(data)):
            yield decompress(data[n : n + 1])
    except broken:
        return


def check_sendable(url: str, headers: Mapping[str, str]) -> None:
    """Raises ConfigError for a URL without a port there can be and for headers that HTTP has no room for, before
    anything is sent: libraries tell at different times, by different errors, and some quote what they tell of."""
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise no_url(url, error) from error
    check_headers(url, headers)


def check_headers(url: str, headers: Mapping[str, str]) -> None:
    """Raises ConfigError for headers that HTTP has no room for."""
    if not all(map(_NAME.fullmatch, headers)) or not all(map(_VALUE.fullmatch, headers.values())):
        raise no_header(url)


def is_loopback(url: str) -> bool:
    """Plain HTTP to this machine: no proxy, no TLS."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "http" and (host in ("localhost", "::1") or host.startswith("127."))


def proxied() -> bool:
    """Whether the system names a proxy, for whatever hosts: which of them, httpx2 knows."""
    from urllib.request import getproxies

    return any(getproxies().get(scheme) for scheme in ("http", "https", "all"))


def origin(url: str) -> str:
    """Scheme and host of a URL, as far as it is one."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the base URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
