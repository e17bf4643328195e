"""HTTP as it fails: on real sockets where they can be made to, else through httpx2's own mock."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from typing import cast

import anyio
import httpx2
import pytest

from agent_core.errors import ConfigError, TransportError, TransportTimeout
from agent_core.transport import HttpRequest, HttpxTransport, Timeouts

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
