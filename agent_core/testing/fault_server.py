"""The fault server: a rehearsal server that fails on purpose, on real sockets, at a chosen place of a chosen answer.

    with FaultServer([Step(text="Hello there")], [Fault("reset", "text")]) as server:
        agent = Agent(server.model, provider=server.provider)
        assert agent.run_sync("Hi").text == "Hello there"      # reset in the middle, then sampled again
    assert server.struck == (Struck(1, Fault("reset", "text")),)

Scripts are those of the rehearsal server, so it speaks any of the three wires and any client can be pointed at it.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache, partial
from io import BufferedIOBase
from itertools import chain
from math import inf
from typing import Protocol, cast

from ..codecs.base import WireCodec
from ..errors import ConfigError
from .connection import Answer, Connection
from .fault_body import BOMB, Cut, FaultyBody, Pause
from .faults import Fault, FaultKind, Faults, Struck, plan_of
from .scripts import Script, error_of_status
from .server import MAX_BODY_BYTES, RehearsalServer
from .shipped import SCRIPTS

__all__ = ["FaultServer"]

_KEPT_STRUCK = 1000
_REFUSED_S = 1.0
_MOST_REFUSED = 100


class FaultServer(RehearsalServer):
    """A RehearsalServer, see there, whose n-th answer is struck by the n-th of `faults` (or by what it returns, as a
    function of n; `random_faults` makes one). Only answers of the script are counted, errors it scripts too.

    A fault that finds no place in its answer does nothing: `struck` says which did. `refused` strikes what comes after
    the answer before it, or from the start: for `lasts_s` nobody listens. Which request that meets is the client's
    doing, so it takes one number of the plan, is not in `struck`, and is meant for one connection at a time.
    """

    def __init__(
        self,
        script: Script | Mapping[str, Script] = SCRIPTS,
        faults: Faults = (),
        *,
        pace_s: float = 0.0,
        port: int = 0,
        strict: bool = True,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        super().__init__(script, pace_s=pace_s, port=port, strict=strict, max_body_bytes=max_body_bytes)
        self._striker = _Striker(faults)
        self._deaf_s = self._striker.refused_s()
        self._rehearsal.strike = self._striker.strike

    @property
    def struck(self) -> tuple[Struck, ...]:
        """The faults that happened so far, oldest first; the last 1000."""
        return tuple(self._striker.struck)


class _Deafening(Protocol):
    def deafen(self, seconds: float) -> None: ...


class _Striker:
    """Counts answers and strikes them. Shared by all connections."""

    def __init__(self, faults: Faults) -> None:
        self.struck: deque[Struck] = deque(maxlen=_KEPT_STRUCK)
        self._plan = plan_of(faults)
        self._number = 0
        self._lock = threading.Lock()

    def refused_s(self) -> float:
        """For how long nobody is to listen now, by the next faults of the plan, which are done with then."""
        seconds = 0.0
        for _ in range(_MOST_REFUSED):
            fault = self._plan(self._number + 1)
            if fault is None or fault.kind != "refused":
                return seconds
            self._number += 1
            seconds += _REFUSED_S if fault.lasts_s is None else fault.lasts_s
        raise ConfigError(
            f"a plan may refuse {_MOST_REFUSED} connections in a row at most", remedy="let it answer now and then"
        )

    def strike(self, connection: Connection, answer: Answer, codec: WireCodec) -> bool:
        with self._lock:
            self._number += 1
            number, fault = self._number, self._plan(self._number)
            refused_s = self.refused_s()
        if refused_s:
            connection.close_connection = True
            cast(_Deafening, connection.server).deafen(refused_s)
        if fault is None:
            return False
        _perform(fault, answer, connection, codec, lambda: self.struck.append(Struck(number, fault)))
        return True


def _perform(fault: Fault, answer: Answer, connection: Connection, codec: WireCodec, told: Callable[[], None]) -> None:
    """One answer with its fault, on its connection. `told` is called when the fault strikes."""
    out = connection.wfile
    try:
        if fault.place == "before_headers":
            told()
            if not _BEFORE_HEADERS[fault.kind](connection, fault, answer):
                return
        _body(fault, answer, connection, FaultyBody(fault, codec.wire), told)
    finally:
        connection.wfile = out


def _body(fault: Fault, answer: Answer, connection: Connection, body: FaultyBody, told: Callable[[], None]) -> None:
    squeeze = _gzip() if fault.kind == "gzip_bomb" else None
    encoding = {"content-encoding": "gzip"} if squeeze else {}
    connection.open_body(answer.status, {**answer.headers, **encoding})
    struck = False
    for act in chain(body.feed(answer.body), body.close()):
        if body.struck and not struck:
            struck = True
            told()
            if fault.kind in ("split", "drip"):
                _bytewise(connection, fault, answer)
        match act:
            case bytes():
                connection.write(squeeze(act) if squeeze else act)
                if not struck:
                    connection.pause(connection.pace_s)
            case Pause():
                connection.wait(act.seconds)
            case Cut.EOF:
                connection.end_body()
            case Cut.TRUNCATE:
                connection.close_connection = True
            case Cut.RESET:
                connection.reset()


# Before the headers. Each gives back whether the answer goes on.


def _status(connection: Connection, fault: Fault, answer: Answer) -> bool:
    connection.refuse(error_of_status(fault.status, fault.message), fault.headers)
    return False


def _stall(connection: Connection, fault: Fault, answer: Answer) -> bool:
    connection.wait(inf if fault.lasts_s is None else fault.lasts_s)
    return True


def _hints(connection: Connection, fault: Fault, answer: Answer) -> bool:
    lasted = 0.0
    while fault.lasts_s is None or lasted < fault.lasts_s:
        connection.wait(fault.every_s)
        connection.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        lasted += fault.every_s
    return True


def _bytewise(connection: Connection, fault: Fault, answer: Answer) -> bool:
    # Without a pause the other side gets at least a chance to read each byte before the next one joins it.
    pause = partial(connection.wait, fault.every_s) if fault.kind == "drip" else partial(time.sleep, 0)
    connection.wfile = cast("BufferedIOBase", _Bytewise(connection.wfile, pause))
    return True


def _nothing(connection: Connection, fault: Fault, answer: Answer) -> bool:
    return _last_words(connection, b"")


def _reset(connection: Connection, fault: Fault, answer: Answer) -> bool:
    connection.reset()
    return _last_words(connection, b"")


def _half_a_head(connection: Connection, fault: Fault, answer: Answer) -> bool:
    head = b"HTTP/1.1 %d OK\r\n" % answer.status
    head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items()).encode("latin-1", "replace")
    return _last_words(connection, head[: len(head) // 2])


def _no_http(connection: Connection, fault: Fault, answer: Answer) -> bool:
    return _last_words(connection, b"\xff\xfe\x00\x01 this is no HTTP\r\n\r\n")


def _long_head(connection: Connection, fault: Fault, answer: Answer) -> bool:
    head = (b"0" * min(fault.size_bytes - n, 65536) for n in range(0, fault.size_bytes, 65536))
    return _last_words(connection, b"HTTP/1.1 200 OK\r\nx-long: ", *head, b"\r\n\r\n")


def _last_words(connection: Connection, *words: bytes) -> bool:
    connection.record(0)
    connection.close_connection = True
    for piece in words:
        connection.wfile.write(piece)
    return False


_BEFORE_HEADERS: Mapping[FaultKind, Callable[[Connection, Fault, Answer], bool]] = {
    "status": _status,
    "stall": _stall,
    "keep_alive": _hints,
    "split": _bytewise,
    "drip": _bytewise,
    "eof": _nothing,
    "reset": _reset,
    "truncate": _half_a_head,
    "not_utf8": _no_http,
    "long_event": _long_head,
}


class _Bytewise:
    """A file that sends each byte by itself, with a pause before it."""

    def __init__(self, out: BufferedIOBase, pause: Callable[[], None]) -> None:
        self._out = out
        self._pause = pause

    def write(self, data: bytes) -> int:
        for n in range(len(data)):
            self._pause()
            self._out.write(data[n : n + 1])
        return len(data)


def _gzip() -> Callable[[bytes], bytes]:
    """Compresses piece by piece, each to its end, so that every event goes out when it is made."""
    squeezer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)

    def squeeze(piece: bytes) -> bytes:
        if piece is BOMB:
            return _bomb()
        return squeezer.compress(piece) + squeezer.flush(zlib.Z_FULL_FLUSH)

    return squeeze


@cache
def _bomb() -> bytes:
    """BOMB as deflate blocks that refer to nothing before them, so they fit in anywhere."""
    squeezer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return squeezer.compress(BOMB) + squeezer.flush(zlib.Z_FULL_FLUSH)
