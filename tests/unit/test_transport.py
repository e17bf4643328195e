"""HTTP as it fails: on real sockets where they can be made to, else through httpx2's own mock."""

from __future__ import annotations

import socket
import ssl
import zlib
from collections.abc import AsyncIterator
from typing import cast

import anyio
import httpx2
import pytest

from agent_core.errors import CallerError, ConfigError, TransportError, TransportTimeout
from agent_core.transport import HttpRequest, HttpxTransport, Timeouts

from ..loopback import CLOSE, END, RESET, STALL, Exchange, chunk, exchange, free_port, reply, serve, sse_head

pytestmark = pytest.mark.anyio


def post(url: str) -> HttpRequest:
    return HttpRequest(url, {"x-api-key": "sk-0123456789"}, b'{"secret": 1}')


async def fetched(transport: HttpxTransport, url: str) -> tuple[int, bytes]:
    async with transport.open(post(url), connect_s=5) as http:
        return http.status, b"".join([piece async for piece in http.chunks])


async def failure(transport: HttpxTransport, url: str) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await fetched(transport, url)
    await transport.aclose()
    return caught.value


async def test_an_answer() -> None:
    """Status, lower-case headers without cookies, and the body, whatever the status."""
    answer = reply(418, b"short", {"X-Request-Id": "r", "Set-Cookie": "session=secret"})
    async with serve(exchange(answer)) as server:
        transport = HttpxTransport()
        async with transport.open(post(f"{server.url}/chat?x=1")) as http:
            assert (http.status, http.headers["x-request-id"], "set-cookie" in http.headers) == (418, "r", False)
            assert [piece async for piece in http.chunks] == [b"short"]
        await transport.aclose()
    assert (server.requests[0].path, server.requests[0].body) == ("/v1/chat?x=1", b'{"secret": 1}')


def gzip_of(data: bytes) -> bytes:
    """The beginning of a compressed body."""
    squeezer = zlib.compressobj(wbits=31)
    return squeezer.compress(data) + squeezer.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize(
    ("steps", "kind", "retryable"),
    [
        (exchange(CLOSE), "reset", True),
        (exchange(RESET), "reset", True),
        (exchange(b"\x16\x03\x01 not http\r\n\r\n", CLOSE), "protocol", False),
        (exchange(sse_head(), chunk(b"data: 1\n\n"), CLOSE), "truncated", True),
        (exchange(reply(200, b"12345", {"content-length": "9"}), CLOSE), "truncated", True),
        (exchange(sse_head(), b"zz\r\n", CLOSE), "protocol", True),
        (exchange(b"HTTP/1.1 200 OK\r\n" + b"x" * 200_000 + b"\r\n\r\n"), "protocol", False),
        (exchange(sse_head({"content-encoding": "gzip"}), chunk(b"not gzip"), END), "protocol", False),
        (
            exchange(sse_head({"content-encoding": "gzip"}), chunk(gzip_of(b"fine")), chunk(b"\xff" * 9), END),
            "protocol",
            True,
        ),
        (exchange(sse_head({"content-encoding": "br"}), chunk(b"?"), END), "protocol", False),
    ],
)
async def test_broken_answers(steps: Exchange, kind: str, retryable: bool) -> None:
    """Each way a connection or an answer breaks has its kind; the cause is kept, and only the origin is shown."""
    async with serve(steps) as server:
        error = await failure(HttpxTransport(), f"{server.url}/path?token=hidden")
    assert (error.kind, error.retryable) == (kind, retryable)
    assert str(error).endswith(f"(http://127.0.0.1:{server.port})")
    assert error.__cause__ is None or isinstance(error.__cause__, (httpx2.HTTPError, zlib.error))


async def test_a_gzip_bomb_is_read_at_the_readers_pace() -> None:
    """64 MiB of nothing in 64 KiB: it comes in bounded pieces, and leaving in the middle leaves the rest compressed."""
    bomb = zlib.compress(bytes(64 * 1024 * 1024), wbits=31)
    async with serve(exchange(reply(200, bomb, {"content-encoding": "gzip"}))) as server:
        transport = HttpxTransport()
        async with transport.open(post(server.url)) as http:
            chunks = aiter(http.chunks)
            assert [len(await anext(chunks)) for _ in range(3)] == [256 * 1024] * 3
        await transport.aclose()


@pytest.mark.parametrize("wbits", [31, 15], ids=["gzip", "deflate"])
async def test_compression_nobody_asked_for(wbits: int) -> None:
    """A proxy that compresses regardless is understood."""
    headers = {"content-encoding": "gzip" if wbits == 31 else "deflate"}
    body = b"hello" * 200_000
    async with serve(exchange(reply(200, zlib.compress(body, wbits=wbits), headers))) as server:
        transport = HttpxTransport()
        assert await fetched(transport, server.url) == (200, body)
        await transport.aclose()


async def test_refused() -> None:
    """Nobody listens: refused, worth another try, with the question to ask oneself."""
    error = await failure(HttpxTransport(), f"http://127.0.0.1:{free_port()}/v1")
    assert (error.kind, error.retryable) == ("refused", True)
    assert error.message.startswith("connection refused") and "base URL" in error.remedy


async def test_https_asked_of_http() -> None:
    """A wrong scheme is a TLS failure that no retry mends."""
    async with serve(exchange(CLOSE), greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        error = await failure(HttpxTransport(), f"https://127.0.0.1:{server.port}/v1")
    assert (error.kind, error.retryable) == ("tls", False)


def untrusted() -> ssl.SSLError:
    error = ssl.SSLCertVerificationError("x")
    error.reason = "CERTIFICATE_VERIFY_FAILED"
    return error


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("raised", "kind", "retryable"),
    [
        (caused(httpx2.ConnectError("x"), socket.gaierror(socket.EAI_NONAME, "x")), "dns", False),
        (caused(httpx2.ConnectError("x"), socket.gaierror(socket.EAI_AGAIN, "x")), "dns", True),
        (caused(httpx2.ConnectError("x"), ExceptionGroup("x", [ConnectionRefusedError()])), "refused", True),
        (caused(httpx2.ConnectError("x"), untrusted()), "tls", False),
        (httpx2.ConnectError("x"), "other", True),
        (httpx2.ProxyError("x"), "proxy", True),
        (httpx2.ReadError("x"), "reset", True),
        (httpx2.WriteError("x"), "reset", True),
        (httpx2.RemoteProtocolError("illegal status line"), "protocol", False),
        (httpx2.RemoteProtocolError("<StreamReset stream_id:1, error_code:2, remote_reset:True>"), "reset", True),
        (httpx2.RemoteProtocolError("<ConnectionTerminated error_code:0, last_stream_id:1>"), "reset", True),
        (httpx2.ReadTimeout("x"), "other", True),
    ],
)
async def test_kinds_of_failure(raised: Exception, kind: str, retryable: bool) -> None:
    """What httpx2 raises, and what lies beneath it, decide the kind."""

    def fail(request: httpx2.Request) -> httpx2.Response:
        raise raised

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(fail)) as http:
        error = await failure(HttpxTransport(http), "http://host.test/v1")
    assert (error.kind, error.retryable) == (kind, retryable)


async def test_the_connect_timer() -> None:
    """A connection that does not come about within connect_s is its own timeout."""

    def fail(request: httpx2.Request) -> httpx2.Response:
        assert request.extensions["timeout"] == {"connect": 5, "read": None, "write": None, "pool": None}
        raise httpx2.ConnectTimeout("x")

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(fail)) as http:
        error = await failure(HttpxTransport(http), "http://host.test/v1")
    assert isinstance(error, TransportTimeout)
    assert (error.timeout, error.after_s, error.retryable) == ("connect", 5, True)


@pytest.mark.parametrize(
    "raised", [httpx2.LocalProtocolError("Illegal header value b'sk-0123456789'"), httpx2.InvalidURL("x")]
)
async def test_our_own_fault_is_no_transport_error(raised: Exception) -> None:
    """A request that cannot be sent is the caller's to fix, and its headers are not quoted."""

    def fail(request: httpx2.Request) -> httpx2.Response:
        raise raised

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(fail)) as http:
        with pytest.raises(ConfigError) as caught:
            await fetched(HttpxTransport(http), "http://host.test/v1")
    assert "sk-0123456789" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "/nowhere/certificates.pem"),
        ("HTTPS_PROXY", "gopher://user:hunter2@host:70"),
        ("HTTPS_PROXY", "http://user:hunter2@host:port"),
    ],
)
async def test_an_environment_that_cannot_be_used(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates that are not there and proxies that are none are the caller's to mend; no password is shown."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="environment") as caught:
        await fetched(HttpxTransport(), "https://host.test/v1")
    assert name in caught.value.remedy
    assert "hunter2" not in str(caught.value)


async def test_leaving_early_closes_the_socket() -> None:
    """A body that is not read to its end does not keep its connection."""
    async with serve(exchange(sse_head(), chunk(b"data: 1\n\n"), STALL)) as server:
        transport = HttpxTransport()
        async with transport.open(post(server.url)) as http:
            assert await anext(aiter(http.chunks)) == b"data: 1\n\n"
        await server.was_left()
        await transport.aclose()


async def test_a_body_that_never_ends_is_left() -> None:
    """A caller's transport may stream for ever: leaving is not held up by it."""

    async def forever() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await anyio.lowlevel.checkpoint()

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=forever())

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        with anyio.fail_after(2):
            async with HttpxTransport(http).open(post("http://host.test")) as stream:
                assert await anext(aiter(stream.chunks)) == b"x"


async def test_a_closed_transport() -> None:
    """Closing is idempotent, and final."""
    transport = HttpxTransport()
    await transport.aclose()
    await transport.aclose()
    with pytest.raises(CallerError, match="closed"):
        await fetched(transport, "http://127.0.0.1:9")


def test_a_request_shows_neither_key_nor_conversation() -> None:
    """Its repr is its address."""
    assert repr(post("http://h/v1")) == "HttpRequest(url='http://h/v1')"


@pytest.mark.parametrize("name", ["connect_s", "first_event_s", "idle_s", "total_s", "grace_s"])
def test_timers_that_make_no_sense(name: str) -> None:
    """Zero is no timer, nor is a word; None is."""
    for value in (0.0, -1, float("nan"), True, "5"):
        with pytest.raises(ConfigError, match=name):
            Timeouts(**{name: cast(float, value)})
    assert getattr(Timeouts(**{name: None}), name) is None
