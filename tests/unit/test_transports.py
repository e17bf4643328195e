"""HTTP as it goes and as it fails, on real sockets: the same over each transport, on each event loop it has."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trustme

from agent_core.errors import CallerError, ConfigError, TransportError, TransportTimeout
from agent_core.fast_transport import AiohttpTransport
from agent_core.h11_transport import H11Transport
from agent_core.transport import HttpRequest, HttpxTransport, Transport

from ..loopback import CLOSE, END, RESET, STALL, Exchange, Step, chunk, exchange, free_port, reply, serve, sse_head

pytestmark = pytest.mark.anyio

SENDERS: Mapping[str, tuple[str, Callable[[], Transport]]] = {
    "h11 on asyncio": ("asyncio", H11Transport),
    "h11 on trio": ("trio", H11Transport),
    "aiohttp on asyncio": ("asyncio", AiohttpTransport),
    "httpx2 on asyncio": ("asyncio", HttpxTransport),
    "httpx2 on trio": ("trio", HttpxTransport),
}
MIB = 1024 * 1024


@pytest.fixture(params=SENDERS)
def sender(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def anyio_backend(sender: str) -> str:
    return SENDERS[sender][0]


@pytest.fixture
def transport(sender: str) -> Transport:
    return SENDERS[sender][1]()


def post(url: str, body: bytes = b'{"secret": 1}', headers: Mapping[str, str] | None = None) -> HttpRequest:
    return HttpRequest(url, headers or {"x-api-key": "sk-0123456789"}, body)


async def fetched(transport: Transport, url: str) -> tuple[int, bytes]:
    async with transport.open(post(url), connect_s=5) as http:
        return http.status, b"".join([piece async for piece in http.chunks])


async def failure(transport: Transport, url: str) -> TransportError:
    with pytest.raises(TransportError) as caught, anyio.fail_after(10):
        await fetched(transport, url)
    await transport.aclose()
    return caught.value


async def test_an_answer(transport: Transport) -> None:
    """Status, lower-case headers without cookies, and the body, whatever the status."""
    answer = reply(418, b"short", {"X-Request-Id": "r", "Set-Cookie": "session=secret"})
    async with serve(exchange(answer)) as server:
        async with transport.open(post(f"{server.url}/chat?x=1")) as http:
            assert (http.status, http.headers["x-request-id"], "set-cookie" in http.headers) == (418, "r", False)
            assert [piece async for piece in http.chunks] == [b"short"]
        await transport.aclose()
    assert (server.requests[0].path, server.requests[0].body) == ("/v1/chat?x=1", b'{"secret": 1}')


async def test_what_a_browser_would_do(transport: Transport) -> None:
    """No redirect is followed, no cookie kept; a header that comes twice is one; nothing unasked-for is used."""
    twice = {"location": "/elsewhere", "Set-Cookie": "a=1", "x-a": "1", "X-A": "2"}
    async with serve(exchange(reply(307, b"", twice))) as server:
        for _ in range(2):
            async with transport.open(post(server.url.replace("127.0.0.1", "localhost"))) as http:
                assert [piece async for piece in http.chunks] == []
                assert (http.status, http.headers["x-a"]) == (307, "1, 2")
        await transport.aclose()
    assert [(one.path, "cookie" in one.headers) for one in server.requests] == [("/v1", False)] * 2
    assert server.connections == 1


async def test_a_name_and_a_password_in_the_url(transport: Transport) -> None:
    """They are the authorization, whatever else was to be."""
    async with serve(exchange(reply(200))) as server:
        url = server.url.replace("//", "//me:p%40ss@")
        async with transport.open(post(url, headers={"Authorization": "Bearer sk-0123456789"})) as http:
            assert [piece async for piece in http.chunks] == []
        await transport.aclose()
    assert server.requests[0].headers["authorization"] == "Basic bWU6cEBzcw=="


async def test_a_host_of_the_callers(transport: Transport) -> None:
    """Goes out once, in the place of the URL's."""
    async with serve(exchange(reply(200))) as server:
        async with transport.open(post(server.url, headers={"Host": "model.test", "x-a": "1"})) as http:
            assert [piece async for piece in http.chunks] == []
        await transport.aclose()
    assert (server.requests[0].headers["host"], server.requests[0].headers["x-a"]) == ("model.test", "1")


async def test_what_is_said_before_an_answer(transport: Transport) -> None:
    """Hints and "go on" are none."""
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    async with serve(exchange(early, reply(200, b"hello"))) as server:
        assert await fetched(transport, server.url) == (200, b"hello")
        await transport.aclose()


def gzip_of(data: bytes) -> bytes:
    """The beginning of a compressed body."""
    squeezer = zlib.compressobj(wbits=31)
    return squeezer.compress(data) + squeezer.flush(zlib.Z_SYNC_FLUSH)


UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("steps", "kind", "retryable"),
    [
        (exchange(CLOSE), "reset", True),
        (exchange(RESET), "reset", True),
        (exchange(b"\x16\x03\x01 not http\r\n\r\n", CLOSE), "protocol", False),
        (exchange(sse_head(), chunk(b"data: 1\n\n"), CLOSE), "truncated", True),
        (exchange(sse_head(), chunk(b"data: 1\n\n"), RESET), "reset", True),
        (exchange(UNTIL_CLOSED, b"data: 1\n\n", RESET), "reset", True),
        (exchange(reply(200, b"12345", {"content-length": "9"}), CLOSE), "truncated", True),
        (exchange(sse_head(), b"zz\r\n", CLOSE), "protocol", True),
        (exchange(sse_head(), chunk(b"data: 1\n\n"), b"zz\r\n", STALL), "protocol", True),
        (exchange(b"HTTP/1.1 200 OK\r\n" + b"x" * 200_000 + b"\r\n\r\n"), "protocol", False),
        (exchange(b"HTTP/1.1 200 " + b"x" * 200_000 + b"\r\n\r\n"), "protocol", False),
        (exchange(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000 + b"\r\n"), "protocol", False),
        (exchange(sse_head({"content-encoding": "gzip"}), chunk(b"not gzip"), END), "protocol", False),
        (
            exchange(sse_head({"content-encoding": "gzip"}), chunk(gzip_of(b"fine")), chunk(b"\xff" * 9), END),
            "protocol",
            True,
        ),
        (
            exchange(sse_head({"content-encoding": "gzip"}), chunk(gzip_of(b"fine") + b"\xff" * 9), END),
            "protocol",
            True,
        ),
        (exchange(sse_head({"content-encoding": "br"}), chunk(b"?"), END), "protocol", False),
    ],
)
async def test_broken_answers(transport: Transport, steps: Exchange, kind: str, retryable: bool) -> None:
    """Each way a connection or an answer breaks has its kind; only the origin is shown, in the causes no key."""
    async with serve(steps) as server:
        error = await failure(transport, f"{server.url}/path?token=hidden")
    assert (error.kind, error.retryable) == (kind, retryable)
    assert str(error).endswith(f"(http://127.0.0.1:{server.port})")
    cause: BaseException | None = error
    while cause is not None:
        assert "sk-0123456789" not in repr(cause)
        cause = cause.__cause__ or cause.__context__


@pytest.mark.parametrize("cut", [CLOSE, RESET])
async def test_what_came_before_a_connection_broke(transport: Transport, cut: Step) -> None:
    """Is given out first, though the reader comes for it when all is over. (A reset may overtake what was sent.)"""
    async with serve(exchange(sse_head(), chunk(b"one"), chunk(b"two"), cut)) as server:
        came = b""
        with pytest.raises(TransportError):
            async with transport.open(post(server.url)) as http:
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
                async for piece in http.chunks:
                    came += piece
        await transport.aclose()
    assert came == b"onetwo" or cut is RESET


async def test_an_answer_that_ends_with_its_connection(transport: Transport) -> None:
    """Without an announced length that is its end, as HTTP/1.0 has it."""
    async with serve(exchange(UNTIL_CLOSED, b"all of it", CLOSE)) as server:
        assert await fetched(transport, server.url) == (200, b"all of it")
        await transport.aclose()


async def test_a_gzip_bomb_is_read_at_the_readers_pace(transport: Transport) -> None:
    """16 MiB of nothing in 16 KiB: it comes in bounded pieces, and leaving in the middle leaves the rest compressed."""
    bomb = zlib.compress(bytes(16 * MIB), wbits=31)
    async with serve(exchange(reply(200, bomb, {"content-encoding": "gzip"}))) as server:
        async with transport.open(post(server.url)) as http:
            chunks = aiter(http.chunks)
            assert [len(await anext(chunks)) for _ in range(3)] == [256 * 1024] * 3
        await transport.aclose()


@pytest.mark.parametrize("wbits", [31, 15], ids=["gzip", "deflate"])
async def test_compression_nobody_asked_for(transport: Transport, wbits: int) -> None:
    """A proxy that compresses regardless is understood."""
    headers = {"content-encoding": "gzip" if wbits == 31 else "deflate"}
    body = b"hello" * 200_000
    async with serve(exchange(reply(200, zlib.compress(body, wbits=wbits), headers))) as server:
        assert await fetched(transport, server.url) == (200, body)
        await transport.aclose()


async def test_refused(transport: Transport) -> None:
    """Nobody listens: refused, worth another try, with the question to ask oneself."""
    error = await failure(transport, f"http://127.0.0.1:{free_port()}/v1")
    assert (error.kind, error.retryable) == ("refused", True)
    assert error.message.startswith("connection refused") and "base URL" in error.remedy


@pytest.mark.parametrize(("code", "retryable"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)])
async def test_a_name_that_is_not_known(
    transport: Transport, code: int, retryable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no such host, or nobody to ask."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(code, "x")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = await failure(transport, "http://host.test/v1")
    assert (error.kind, error.retryable) == ("dns", retryable)


async def test_https_asked_of_http(transport: Transport) -> None:
    """A wrong scheme is a TLS failure that no retry mends."""
    async with serve(exchange(CLOSE), greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        error = await failure(transport, f"https://127.0.0.1:{server.port}/v1")
    assert (error.kind, error.retryable) == ("tls", False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_of(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


@pytest.mark.parametrize("whose", ["ours", "nobody's", "another host's"])
async def test_whom_it_trusts(
    transport: Transport, whose: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate of who SSL_CERT_FILE names is good for its host; no other is."""
    trusted = trustme.CA() if whose == "nobody's" else authority
    trusted.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    host = "other.test" if whose == "another host's" else "127.0.0.1"
    async with serve(exchange(reply(200, b"hello")), tls=tls_of(authority, host)) as server:
        if whose == "ours":
            assert await fetched(transport, server.url) == (200, b"hello")
            await transport.aclose()
        else:
            error = await failure(transport, server.url)
            assert (error.kind, error.retryable, "CERTIFICATE_VERIFY_FAILED" in str(error)) == ("tls", False, True)


async def test_certificates_that_are_not_there(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are the caller's to mend."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/certificates.pem")
    with pytest.raises(ConfigError, match="environment") as caught:
        await fetched(transport, "https://host.test/v1")
    assert "SSL_CERT_FILE" in caught.value.remedy


async def test_a_handshake_that_stalls(transport: Transport) -> None:
    """Who takes the connection and never speaks TLS is not connected: the connect timer is for that, too."""
    async with serve(exchange(STALL)) as server:
        with pytest.raises(TransportTimeout) as caught:
            async with transport.open(post(f"https://127.0.0.1:{server.port}/v1"), connect_s=0.1):
                pass
        await transport.aclose()
    assert (caught.value.timeout, caught.value.after_s, caught.value.retryable) == ("connect", 0.1, True)


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://127.0.0.1:99999/v1", {}),
        ("gopher://host.test/v1", {}),
        ("http:///v1", {}),
        ("http://127.0.0.1:9/v1", {"x-api-key": "sk-0123456789\r\nX-Evil: 1"}),
        ("http://127.0.0.1:9/v1", {"x-api-key": "sk-0123456789\u2014"}),
        ("http://127.0.0.1:9/v1", {"x api key": "sk-0123456789"}),
    ],
)
async def test_our_own_fault_is_no_transport_error(transport: Transport, url: str, headers: dict[str, str]) -> None:
    """A request that cannot be sent is the caller's to fix, and its headers are not quoted."""
    with pytest.raises(ConfigError) as caught:
        async with transport.open(post(url, headers=headers)):
            pass
    await transport.aclose()
    assert "sk-0123456789" not in str(caught.value)


async def test_leaving_early_closes_the_socket(transport: Transport) -> None:
    """A body that is not read to its end does not keep its connection."""
    async with serve(exchange(sse_head(), chunk(b"data: 1\n\n"), STALL)) as server:
        async with transport.open(post(server.url)) as http:
            assert await anext(aiter(http.chunks)) == b"data: 1\n\n"
        await server.was_left()
        await transport.aclose()


async def test_a_large_body_arrives(transport: Transport) -> None:
    """Of any size, as one."""
    body = bytes(range(256)) * 20_000
    async with serve(exchange(reply(200))) as server:
        async with transport.open(post(server.url, body)) as http:
            assert [piece async for piece in http.chunks] == []
        await transport.aclose()
    assert server.requests[0].body == body


@pytest.mark.skipif(sys.platform != "linux", reason="counts what is open in /proc")
async def test_leaving_what_nobody_reads(transport: Transport) -> None:
    """A cancelled request whose body is on its way is not sent on to a server that does not read it."""
    body = bytes(16 * MIB)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = len(os.listdir("/proc/self/fd"))
        with anyio.move_on_after(0.3):
            async with transport.open(post(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", body)):
                pass
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        assert len(os.listdir("/proc/self/fd")) <= before
        await transport.aclose()


async def test_an_answer_nobody_asked_for(transport: Transport) -> None:
    """What a server says on a connection that waits for its next request is no answer to that one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

        async def asked(answer: bytes) -> tuple[socket.socket, bytes]:
            taken: list[socket.socket] = []

            async def take() -> None:
                taken.append(await anyio.to_thread.run_sync(answered, listener, answer))

            said = b""
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(take)
                _, said = await fetched(transport, url)
            return taken[0], said

        first, one = await asked(reply(200, b"one"))
        with first:
            first.sendall(reply(200, b"stolen"))
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            second, two = await asked(reply(200, b"two"))
            second.close()
        await transport.aclose()
    assert (one, two) == (b"one", b"two")


def answered(listener: socket.socket, answer: bytes) -> socket.socket:
    """The next connection, its request answered."""
    connection, _ = listener.accept()
    connection.settimeout(10)
    received = b""
    while not received.endswith(b'{"secret": 1}'):
        received += connection.recv(65536)
    connection.sendall(answer)
    return connection


async def test_a_closed_transport(transport: Transport) -> None:
    """Closing is idempotent, and final."""
    await transport.aclose()
    await transport.aclose()
    with pytest.raises(CallerError, match="closed"):
        await fetched(transport, "http://127.0.0.1:9")


async def test_closing_a_transport_that_is_at_work(transport: Transport) -> None:
    """Whoever reads by it is told, and does not wait for ever."""
    async with serve(exchange(sse_head(), chunk(b"data: 1\n\n"), STALL)) as server:
        with pytest.raises(TransportError), anyio.fail_after(10):
            async with transport.open(post(server.url)) as http:
                assert await anext(aiter(http.chunks)) == b"data: 1\n\n"
                await transport.aclose()
                await anext(aiter(http.chunks))


async def test_closing_where_all_is_cancelled(transport: Transport) -> None:
    """It is done, and what is on its way there is not replaced by a cancellation."""
    async with serve(exchange(reply(200))) as server:
        await fetched(transport, server.url)
        with pytest.raises(ZeroDivisionError), anyio.CancelScope() as scope:
            try:
                scope.cancel()
                raise ZeroDivisionError
            finally:
                await transport.aclose()
