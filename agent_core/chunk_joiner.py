"""The chunks of a body that were read together, put together: what a token costs the parser, divided by its fellows.

A stream's server makes an HTTP chunk of every token, and h11 takes each on its own, ten µs, also where one read of the
socket brought a hundred. Here the whole chunks of a read become one before the parser sees them, and the body is the
same. Only what is plainly a chunk is touched; anything else goes on as it came, for the parser to judge.
"""

from __future__ import annotations

import re

__all__ = ["ChunkJoiner"]

_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_SIZE_BYTES = 10
_CHUNKED = b"\r\ntransfer-encoding: chunked\r\n"
_ENCODED = b"\r\ncontent-encoding:"  # what is whole before damage would be lost with it


class ChunkJoiner:
    """Reads of a connection in, the same bytes out, with the whole chunks of each read as one. No I/O.

    head      → body where the head came in one read and says that its body is chunked, else → as it came
    body      → as it came at the last chunk, and at anything that is no chunk
    as it came → head with the next request, which `begin` tells of

    The end of a read that may be the beginning of a chunk's size is held back, ten bytes at the most.
    """

    __slots__ = ("_body", "_head", "_held", "_left")

    def __init__(self) -> None:
        self._head = True
        self._body = False
        self._held = b""
        self._left = 0  # bytes of a chunk that has begun, with its line end

    def begin(self) -> None:
        """A request is sent: a head comes next."""
        self._head, self._body, self._left, self._held = True, False, 0, b""

    def feed(self, data: bytes) -> bytes:
        """What is to be read on; empty where all is held back. No data is the end: what was held is given out."""
        if not data:
            data, self._held, self._body = self._held, b"", False
            return data
        start = 0
        if self._head:
            self._head = False
            start = data.find(b"\r\n\r\n") + 4
            head = data[:start].lower()
            self._body = head.startswith(b"http/1.1 200 ") and _CHUNKED in head and _ENCODED not in head
        if not self._body:
            return data
        if self._held:
            data, self._held = self._held + data, b""
        elif self._left:
            start = min(self._left, len(data))
            self._left -= start
        return self._joined(data, start)

    def _joined(self, data: bytes, start: int) -> bytes:
        pieces: list[bytes] = []
        at, size = start, len(data)
        while at < size:
            found = _SIZE.match(data, at)
            if found is None:
                if size - at < _SIZE_BYTES and b"\n" not in data[at:]:
                    self._held, data = data[at:], data[:at]
                else:
                    self._body = False
                break
            first = found.end()
            end = first + int(found[1], 16)
            if end == first or not b"\r\n".startswith(data[end : end + 2]):
                self._body = False
                break
            if end + 2 > size:
                self._left = end + 2 - size
                break
            pieces.append(data[first:end])
            at = end + 2
        if len(pieces) < 2:
            return data
        body = b"".join(pieces)
        return b"%b%x\r\n%b\r\n%b" % (data[:start], len(body), body, data[at:])
