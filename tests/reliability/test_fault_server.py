"""The fault server as a socket sees it: each fault is what it is called, on the network."""

from __future__ import annotations

import socket
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agent_core.codecs import CODECS, WIRES
from agent_core.codecs.base import Compat
from agent_core.items import WireName
from agent_core.prompt import Prompt
from agent_core.testing import Fault, FaultServer, Step, Struck, random_faults

SCRIPT = [Step(text="The whole answer, in some words.")]
WAIT_S = 5.0  # for what comes
SILENCE_S = 0.1  # without anything coming


@dataclass(frozen=True, slots=True)
class Heard:
    """What a socket got: pieces, and how it ended: closed, reset, silent (for SILENCE_S) or enough."""

    pieces: tuple[bytes, ...]
    end: str

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


def asked(wire: WireName, *, stream: bool, keep: bool) -> bytes:
    codec = CODECS[wire]
    body = codec.encode_request(Prompt("Hello", model="m"), Compat(), stream=stream).body
    head = f"POST /v1{codec.path} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return (head + ("" if keep else "\r\nconnection: close") + "\r\n\r\n").encode() + body


def hear(
    server: FaultServer,
    wire: WireName = "chat",
    *,
    stream: bool = True,
    keep: bool = False,
    wait_s: float = WAIT_S,
    enough: int = 2**60,
) -> Heard:
    """Ask, and listen until it ends, or nothing comes for `wait_s`, or `enough` pieces have come."""
    pieces: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=WAIT_S) as client:
        client.sendall(asked(wire, stream=stream, keep=keep))
        client.settimeout(wait_s)
        while len(pieces) < enough:
            try:
                pieces.append(client.recv(65536))
            except TimeoutError:
                return Heard(tuple(pieces), "silent")
            except ConnectionResetError:
                return Heard(tuple(pieces), "reset")
            if not pieces[-1]:
                return Heard(tuple(pieces), "closed")
    return Heard(tuple(pieces), "enough")


def port_of(server: FaultServer) -> int:
    return int(server.base_url.rpartition(":")[2].partition("/")[0])


def clean(wire: WireName = "chat") -> bytes:
    """The body of a whole answer."""
    with FaultServer(SCRIPT) as server:
        return body_of(hear(server, wire).data)


def body_of(data: bytes) -> bytes:
    """The chunks of a chunked answer, joined; what comes after the last whole one is left out."""
    _, _, rest = data.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if not size or len(rest) < int(size, 16):
            break
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


def wait_until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [True, False])
def test_without_a_fault_it_is_a_rehearsal_server(wire: WireName, stream: bool) -> None:
    """The n-th answer is struck by the n-th fault; None, and after the end of the plan, strike nothing."""
    with FaultServer(SCRIPT, [None, Fault("eof", "before_headers")]) as server:
        first, second, third = (hear(server, wire, stream=stream).data for _ in range(3))
        assert first.partition(b"\r\n\r\n")[2] == third.partition(b"\r\n\r\n")[2] != second == b""
        assert server.struck == (Struck(2, Fault("eof", "before_headers")),)
        assert [one.status for one in server.requests] == [200, 0, 200]


LAST_CHUNK = b"0\r\n\r\n"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("fault", "end", "whole"),
    [
        (Fault("eof", "text"), "closed", True),
        (Fault("truncate", "text"), "closed", False),
        (Fault("reset", "text"), "reset", False),
        (Fault("stall", "text"), "silent", False),
        (Fault("truncate", "end"), "closed", False),
        (Fault("reset", "end"), "reset", False),
        (Fault("stall", "end"), "silent", False),
    ],
    ids=lambda value: f"{value.kind}-{value.phase}" if isinstance(value, Fault) else "",
)
def test_how_an_answer_ends(fault: Fault, end: str, whole: bool, wire: WireName) -> None:
    """A beginning of the clean answer comes; then the body ends as a whole one does, or the connection breaks."""
    with FaultServer(SCRIPT, [fault]) as server:
        heard = hear(server, wire, wait_s=SILENCE_S)
    assert (heard.end, heard.data.endswith(LAST_CHUNK)) == (end, whole)
    said, normal = body_of(heard.data), clean(wire)
    assert said and normal.startswith(said)
    assert (said == normal) == (fault.phase == "end")


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (Fault("eof", "before_headers"), Heard((b"",), "closed")),
        (Fault("reset", "before_headers"), Heard((), "reset")),
        (Fault("stall", "before_headers"), Heard((), "silent")),
        (Fault("not_utf8", "before_headers"), Heard((b"\xff\xfe\0\1 this is no HTTP\r\n\r\n", b""), "closed")),
        (
            Fault("truncate", "before_headers"),
            Heard((b"HTTP/1.1 200 OK\r\ncontent-type: text/event-str", b""), "closed"),
        ),
        (
            Fault("keep_alive", "before_headers", every_s=0.02),
            Heard((b"HTTP/1.1 103 Early Hints\r\n\r\n",) * 2, "enough"),
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_before_the_headers(fault: Fault, heard: Heard) -> None:
    """An answer that does not come, in so many ways; the record says it was not answered."""
    with FaultServer(SCRIPT, [fault]) as server:
        assert hear(server, wait_s=SILENCE_S, enough=2) == heard


@pytest.mark.parametrize("wire", WIRES)
def test_a_status(wire: WireName) -> None:
    """The wire's own error, with the headers that were asked for."""
    fault = Fault("status", status=429, headers={"Retry-After": "7"}, message="slow down, please")
    with FaultServer(SCRIPT, [fault]) as server:
        head, _, body = hear(server, wire).data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ") and b"\r\nretry-after: 7\r\n" in head
    assert b"slow down, please" in body


def test_a_header_that_does_not_end() -> None:
    """It is as long as was said, if somebody reads it all."""
    with FaultServer(SCRIPT, [Fault("long_event", "before_headers", size_bytes=300_000)]) as server:
        assert hear(server).data == b"HTTP/1.1 200 OK\r\nx-long: " + b"0" * 300_000 + b"\r\n\r\n"


def test_single_bytes() -> None:
    """Every byte is a write of its own, chunk sizes too, and nothing is lost."""
    with FaultServer(SCRIPT, [Fault("split", "before_headers")], pace_s=0) as server:
        heard = hear(server)
    assert body_of(heard.data) == clean() and len(heard.pieces) > 10  # the network joins what is not read at once
    with FaultServer(SCRIPT, [Fault("drip", "before_headers", every_s=0.01)]) as server:
        assert [len(piece) for piece in hear(server, enough=5).pieces] == [1] * 5


def test_comments_between_events() -> None:
    """Keep-alives come in time, and then the rest of the answer does."""
    fault = Fault("keep_alive", "text", every_s=0.01, lasts_s=0.05)
    with FaultServer(SCRIPT, [fault]) as server:
        heard = body_of(hear(server).data)
    assert heard.count(b": keep-alive\n\n") == 5
    assert heard.replace(b": keep-alive\n\n", b"") == clean()


def test_a_bomb() -> None:
    """A compressed answer whose next event is a thousand times as long as what comes over the network."""
    size = 32 * 1024 * 1024
    with FaultServer(SCRIPT, [Fault("gzip_bomb", "text", size_bytes=size)]) as server:
        data = hear(server).data
    assert b"\r\ncontent-encoding: gzip\r\n" in data and len(data) < size // 500
    inflated = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(body_of(data))
    begins, _, bomb = inflated.rpartition(b"data: ")
    assert clean().startswith(begins) and bomb == b"0" * size


def test_nobody_listens_at_first() -> None:
    """Connections are refused for as long as was said, then taken; that took one number of the plan."""
    with FaultServer(SCRIPT, [Fault("refused", lasts_s=0.1), Fault("eof", "before_headers")]) as server:
        with pytest.raises(ConnectionRefusedError):
            hear(server)
        wait_until(lambda: listens(server))
        assert hear(server) == Heard((b"",), "closed")
        assert body_of(hear(server).data) == clean()


def test_nobody_listens_any_more() -> None:
    """The answer before it still comes, and ends its connection: who goes on has to connect."""
    with FaultServer(SCRIPT, [None, Fault("refused", lasts_s=0.1)]) as server:
        heard = hear(server, keep=True)
        assert heard.end == "closed" and b"\r\nconnection: close\r\n" in heard.data
        with pytest.raises(ConnectionRefusedError):
            hear(server)
        wait_until(lambda: listens(server))
        assert body_of(hear(server).data) == clean()


def listens(server: FaultServer) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port_of(server))).close()
    except ConnectionRefusedError:
        return False
    return True


def test_closing_ends_what_is_stalled_or_refused() -> None:
    """No thread is left, whatever it was waiting for."""
    before = threading.active_count()
    for fault in (Fault("stall", "before_headers"), Fault("keep_alive", "text"), Fault("drip", "text")):
        with FaultServer(SCRIPT, [fault]) as server, socket.create_connection(("127.0.0.1", port_of(server))) as client:
            client.sendall(asked("chat", stream=True, keep=False))
            wait_until(lambda: bool(server.struck))  # called at once
    with FaultServer(SCRIPT, [Fault("refused", lasts_s=60)]) as server:
        assert not listens(server)
    assert threading.active_count() == before


def test_a_client_that_leaves_ends_a_stall() -> None:
    """The connection's thread does not outlive it."""
    with FaultServer(SCRIPT, [Fault("stall", "before_headers")]) as server:
        assert hear(server, wait_s=SILENCE_S).end == "silent"
        wait_until(lambda: all(thread.name != "rehearsal-client" for thread in threading.enumerate()))


def test_every_connection_counts() -> None:
    """Requests at once share one plan: each of its faults strikes once, and is recorded."""
    with FaultServer(SCRIPT, random_faults(3, rate=0.5, faults=[Fault("eof", "before_headers")])) as server:
        threads = [threading.Thread(target=hear, args=(server,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        planned = random_faults(3, rate=0.5, faults=[Fault("eof", "before_headers")])
        assert sorted(one.request for one in server.struck) == [n for n in range(1, 21) if planned(n)]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", ["eof", "truncate", "reset"])
def test_an_answer_that_is_not_streamed(kind: str, wire: WireName) -> None:
    """Half of it comes."""
    fault = {"eof": Fault("eof"), "truncate": Fault("truncate"), "reset": Fault("reset")}[kind]
    with FaultServer(SCRIPT, [fault]) as server:
        heard = hear(server, wire, stream=False)
        whole = hear(server, wire, stream=False).data.partition(b"\r\n\r\n")[2]
    assert heard.end == ("reset" if kind == "reset" else "closed")
    assert body_of(heard.data) == whole[: len(whole) // 2]
