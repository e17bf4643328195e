"""A body with a fault in it: the clean bytes of an answer in, at any split; what to do with the connection out.

    passing    frame by frame, each looked at by the decoder of its wire, until the fault's place is reached
    struck     what the fault says; then, if the kind lets it, the rest
    over       a Cut was given out: nothing follows

No I/O: a server performs the acts on a socket (fault_server.py), a transport on an iterator (chaos.py). An act may be
one of endlessly many, so they are made one at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from math import inf
from typing import NamedTuple, TypeAlias

from ..codecs import CODECS
from ..codecs.base import Compat
from ..events import (
    OutputTextDelta,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    RefusalDelta,
    ResponseEvent,
    ToolCallInputDelta,
)
from ..items import WireName
from ..prompt import Prompt
from .faults import Fault, Phase
from .scripts import error_of_status

__all__ = ["Act", "BOMB", "Cut", "FaultyBody", "Pause"]

BOMB = b"0" * (1024 * 1024)
"""The piece a bomb is made of, always this very object: who compresses it may do so once."""

HTML = (
    b"<!DOCTYPE html>\n<html>\n<head><title>502 Bad Gateway</title></head>\n"
    b"<body>\n<center><h1>502 Bad Gateway</h1></center>\n<hr><center>nginx</center>\n</body>\n</html>\n"
)

_PIECE = b"0" * 65536
_END_OF_FRAME = re.compile(rb"\r?\n\r?\n|\r\r")
_NO_STREAM = (b"{", b"[", b"<")  # no line of an event stream begins like that
_NO_UTF8 = b"\xff\xfe\xc3("

_PIECES: dict[Phase, tuple[type, ...]] = {
    "reasoning": (ReasoningContentDelta, ReasoningSummaryDelta),
    "text": (OutputTextDelta, RefusalDelta),
    "arguments": (ToolCallInputDelta,),
}


class Pause(NamedTuple):
    """Wait so long, infinitely long too, and watch for the other side leaving."""

    seconds: float


class Cut(Enum):
    """How it ends: the body is over as a whole one is; the connection is closed without that; it is reset."""

    EOF = "eof"
    TRUNCATE = "truncate"
    RESET = "reset"


Act: TypeAlias = bytes | Pause | Cut


class FaultyBody:
    """One answer's body with one fault. Perform what `feed` and then `close` give, in order, up to a Cut.

    `struck` is set when the fault's place is reached. For `split` and `drip` that is all that happens here: who
    performs the acts sends what follows byte by byte. `wire` None: a body of no wire, which has a beginning and an end
    only.
    """

    def __init__(self, fault: Fault, wire: WireName | None) -> None:
        self.struck = False
        self._fault = fault
        self._wire: WireName = wire or "chat"
        self._decoder = None if wire is None else CODECS[wire].stream_decoder(Prompt(), Compat())
        self._held = b""
        self._streamed: bool | None = None  # not known before the first bytes
        self._passed = 0  # pieces of the fault's phase
        self._late = b""  # the frame that has to wait for the next one
        self._over = False

    def feed(self, data: bytes) -> Iterator[Act]:
        self._held += data
        if self._streamed is None and self._held.strip():
            self._streamed = self._held.lstrip()[:1] not in _NO_STREAM
        if not self._streamed:
            return
        while not self._over and (found := _END_OF_FRAME.search(self._held)):
            frame, self._held = self._held[: found.end()], self._held[found.end() :]
            yield from self._pass(frame)

    def close(self) -> Iterator[Act]:
        """The clean body is over."""
        rest, self._held = self._held, b""
        if self._streamed:
            yield from self._pass(rest)
        else:
            yield from self._whole(rest)
        yield from self._give_late()
        if not self._over and not self.struck and self._fault.place == "end":
            yield from self._strike(b"")
        if not self._over:
            yield Cut.EOF

    def _pass(self, frame: bytes) -> Iterator[Act]:
        if self._over or not frame:
            return
        if self.struck:
            yield frame
            yield from self._give_late()
        elif self._is_place(frame):
            yield from self._strike(frame)
        else:
            yield frame
            if self._fault.place == "end" and self._decoder is not None and self._decoder.done:
                yield from self._strike(b"")

    def _whole(self, body: bytes) -> Iterator[Act]:
        """An answer that is not streamed: struck before, in or after it."""
        place = self._fault.place
        at = 0 if place == "before_event" else len(body) if place == "end" else len(body) // 2
        if self.struck or place == "before_headers":
            yield body
            return
        if body[:at]:
            yield body[:at]
        yield from self._strike(body[at:])

    def _is_place(self, frame: bytes) -> bool:
        """Whether the fault strikes at this frame, which is looked at once."""
        place, decoder = self._fault.place, self._decoder
        if place == "before_event":
            return True
        if place == "before_headers" or decoder is None or decoder.done:
            return False
        was_finishing = decoder.finishing
        events = decoder.feed(frame)
        if place == "finish":
            return was_finishing or decoder.done
        self._passed += _has_piece(events, place)
        return self._passed > self._fault.after

    def _strike(self, frame: bytes) -> Iterator[Act]:
        """The fault, and the frame it strikes at where that still comes; empty at the end of the answer."""
        self.struck = True
        fault = self._fault
        match fault.kind:
            case "eof" | "truncate" | "reset":
                yield from self._cut(Cut(fault.kind))
            case "stall":
                yield Pause(inf if fault.lasts_s is None else fault.lasts_s)
                yield from _some(frame)
            case "keep_alive":
                yield from _comments(fault)
                yield from _some(frame)
            case "error" | "error_body":
                yield self._error()
                yield from self._cut(Cut.EOF)
            case "html":
                yield HTML
                yield from self._cut(Cut.EOF)
            case "not_utf8":
                yield _mangled(frame) if frame else b"data: " + _NO_UTF8 + b"\n\n"
            case "torn":
                yield _torn(frame) if frame else b'data: {"torn": \n\n'
            case "long_event":
                yield from _long(fault.size_bytes, _PIECE)
                yield b"\n\n"
                yield from _some(frame)
            case "gzip_bomb":
                yield from _long(fault.size_bytes, BOMB)
                yield from self._cut(Cut.EOF)
            case "duplicate":
                yield frame
                yield frame
            case "reorder":
                self._late = frame
            case "split" | "drip" | "refused" | "status":
                yield from _some(frame)

    def _cut(self, cut: Cut) -> Iterator[Act]:
        self._over = True
        yield cut

    def _give_late(self) -> Iterator[Act]:
        late, self._late = self._late, b""
        yield from _some(late)

    def _error(self) -> bytes:
        codec, error = CODECS[self._wire], error_of_status(self._fault.status, self._fault.message)
        if self._fault.kind == "error_body" or not self._streamed:
            return codec.encode_error(error)[2]
        said = codec.stream_encoder(Prompt()).fail(error)
        return said[said.rstrip(b"\n").rfind(b"\n\n") + 1 :].lstrip(b"\n")  # the last event: the error itself


def _has_piece(events: list[ResponseEvent], phase: Phase) -> bool:
    return any(isinstance(event, _PIECES.get(phase, ())) for event in events)


def _some(data: bytes) -> Iterator[Act]:
    if data:
        yield data


def _comments(fault: Fault) -> Iterator[Act]:
    lasted = 0.0
    while fault.lasts_s is None or lasted < fault.lasts_s:
        yield Pause(fault.every_s)
        yield b": keep-alive\n\n"
        lasted += fault.every_s


def _long(size: int, piece: bytes) -> Iterator[Act]:
    """An event of that size, without its end."""
    yield b"data: "
    while size > 0:
        yield piece if size >= len(piece) else piece[:size]
        size -= len(piece)


def _middle(frame: bytes) -> int:
    """A place in the middle of what a frame says."""
    start = frame.find(b"{")
    return (max(start, 0) + len(frame)) // 2


def _mangled(frame: bytes) -> bytes:
    at = _middle(frame)
    return frame[:at] + _NO_UTF8 + frame[at:]


def _torn(frame: bytes) -> bytes:
    return frame[: _middle(frame)] + b"\n\n"
