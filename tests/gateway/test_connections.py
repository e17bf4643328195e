"""Clients that are slow on purpose, or send too much: their connection ends, and with it what it holds."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager

import httpx2
import pytest

from agent_core import ModelClient
from agent_core.gateway import Gateway
from agent_core.gateway.admission import Admission

from .running import running
from .saying import Saying

PIECE = "x" * 1_000_000
PIECES = 8
"""More than the buffers of two sockets hold."""


@contextmanager
def connected(url: str, *, small: bool = False) -> Generator[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as raw:
        if small:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(20)
        raw.connect((host, int(port)))
        yield raw


def rest(raw: socket.socket) -> bytes:
    """What comes until the connection ends."""
    try:
        return b"".join(iter(lambda: raw.recv(65536), b""))
    except ConnectionResetError:
        return b"reset"


def answer(raw: socket.socket) -> bytes:
    """One answer, whose body is a JSON object; less where the connection ends before."""
    pieces = iter(lambda: raw.recv(65536), b"")
    whole = b""
    while not whole.endswith(b"}") and (piece := next(pieces, b"")):
        whole += piece
    return whole


HEADS: dict[str, bytes] = {
    "nothing": b"",
    "half of a line": b"POST /v1/mess",
    "half of a head": b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-a: ",
}


@pytest.fixture(scope="module")
def hurried() -> Generator[str]:
    """A gateway that waits a moment for a head."""
    client = ModelClient("lab/m", base_url="http://127.0.0.1:1")
    with running(Gateway(default=client, max_body_bytes=1000), head_s=0.2) as url:
        yield url


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_does_not_come_is_not_waited_for(hurried: str, name: str) -> None:
    """Whether it has begun or not."""
    with connected(hurried) as raw:
        raw.sendall(HEADS[name])
        assert rest(raw) in (b"", b"reset")


def test_the_next_head_is_not_waited_for(hurried: str) -> None:
    """On a connection that was good so far."""
    with connected(hurried) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answer(raw).startswith(b"HTTP/1.1 200")
        raw.sendall(b"GET /heal")
        assert rest(raw) in (b"", b"reset")


def test_a_head_that_comes_in_time_is_answered() -> None:
    """In pieces, and again on the same connection."""
    client = ModelClient("lab/m", base_url="http://127.0.0.1:1")
    with running(Gateway(default=client), head_s=20) as url, connected(url) as raw:
        for _ in range(2):
            for piece in (b"GET /hea", b"lthz HTTP/1.1\r\nho", b"st: x\r\n\r\n"):
                raw.sendall(piece)
            assert answer(raw).startswith(b"HTTP/1.1 200")


def test_a_head_has_a_size() -> None:
    """However fast it comes."""
    client = ModelClient("lab/m", base_url="http://127.0.0.1:1")
    with running(Gateway(default=client)) as url, connected(url) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n")
        try:
            for n in range(10_000):
                raw.sendall(b"x-%d: %s\r\n" % (n, b"y" * 1000))
        except (BrokenPipeError, ConnectionResetError):
            return
    raise AssertionError("ten megabytes of head were taken")


def test_a_refused_body_may_end(hurried: str) -> None:
    """Its client is still sending, and gets to read why."""
    body = b"x" * 300_000
    with connected(hurried) as raw:
        raw.sendall(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body))
        raw.sendall(body)
        assert raw.recv(1000).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_client_that_stops_reading_holds_nothing(stream: bool) -> None:
    """Its place is free again, and its backend's answer ends."""
    admission = Admission(1, max_wait_s=20)
    gateway = Gateway(
        default=ModelClient("lab/m", base_url="http://127.0.0.1:1"), services=[admission, Saying(PIECE, PIECES)]
    )
    body = b'{"model":"m","stream":%s,"messages":[{"role":"user","content":"hi"}]}' % (b"true" if stream else b"false")
    with running(gateway, write_s=0.2) as url, connected(url, small=True) as raw:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        raw.sendall(head + body)
        assert raw.recv(10).startswith(b"HTTP/1.1 2")
        with httpx2.stream("POST", f"{url}/v1/chat/completions", content=body, timeout=20) as other:
            assert other.status_code == 200
            assert len(other.read()) > PIECES * len(PIECE)
    assert admission.in_flight == 0
