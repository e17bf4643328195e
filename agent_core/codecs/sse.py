"""Server-sent events: bytes in at any split, frames out. No I/O, linear time, bounded memory.

The rules are the WHATWG event-stream ones (LF, CRLF or CR; one optional space after the colon; `data` lines joined by
LF; comments ignored; a leading BOM dropped) with two differences, each needed by real streams:

- `close()` dispatches a last event that lacks its blank line instead of dropping it (fixtures and cut bodies have them;
  whether the stream was whole is the codec's question, not this reader's);
- an `error:` field, which one server sends where an event should be, is kept in `error_field`.

States, per byte position: inside a line → line end → (empty line ⇒ dispatch). What nearly every read is, LF only and
far from the largest event, is taken in `feed` itself, the first read too unless it may begin with a BOM; the rest goes
through `_feed`, by the same rules.
"""

from __future__ import annotations

from msgspec import Struct

from ..errors import EventTooLarge

__all__ = ["MAX_EVENT_BYTES", "SseFrame", "SseReader"]

MAX_EVENT_BYTES = 32 * 1024 * 1024
"""The largest event accepted: above the largest real one (a base64 image of several MB), far below memory."""

_BOM = b"\xef\xbb\xbf"
_NO_START = (b"", _BOM[:1])


class SseFrame(Struct, frozen=True, gc=False):
    """One event. `event` is empty where the stream names none; `data` is not decoded: codecs parse it as JSON."""

    event: bytes
    data: bytes


class SseReader:
    """Feed bytes, get frames. `comments` counts comment lines seen (keep-alives: activity without events).

    When one event exceeds `max_event_bytes`, `error` says so: what was whole before it has been given out, nothing is
    read after it.
    """

    __slots__ = (
        "_careful",
        "_cr",
        "_data",
        "_event",
        "_held",
        "_max",
        "_pieces",
        "_start",
        "comments",
        "error",
        "error_field",
    )

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._pieces: list[bytes] = []  # of an unfinished line, joined once, when its end comes
        self._held = 0  # bytes in _pieces and _data
        self._data: list[bytes] = []  # data lines of the open event
        self._event = b""
        self._cr = False  # the last byte was CR: a following LF belongs to it
        self._start = True  # nothing read yet: a BOM may come
        self._careful = True  # it is the start, the last byte was CR, or all is over
        self.comments = 0
        self.error: EventTooLarge | None = None
        self.error_field = b""

    def feed(self, data: bytes) -> list[SseFrame]:
        """The frames that `data` completes, in order; `data` may be cut anywhere, also inside a character."""
        frames: list[SseFrame] = []
        if self._careful:
            self._careful = not self._begins(data)
        if self._careful or self._held + len(data) > self._max or b"\r" in data:
            self._feed(data, frames)
            return frames
        lines = data.split(b"\n")
        tail = lines.pop()
        values = self._data
        if self._pieces:
            self._pieces.append(lines[0] if lines else tail)
            if not lines:
                self._held += len(tail)
                return frames
            lines[0] = b"".join(self._pieces)
            self._pieces.clear()
        for line in lines:
            if line[:6] == b"data: ":
                values.append(line[6:])
            elif not line:
                if values:
                    frames.append(SseFrame(self._event, values[0] if len(values) == 1 else b"\n".join(values)))
                    values.clear()
                self._event = b""
            elif line[:7] == b"event: ":
                self._event = line[7:]
            else:
                self._line(line)
        if tail:
            self._pieces.append(tail)
        self._held = len(tail) + sum(map(len, values)) if tail or values else 0
        return frames

    def _begins(self, data: bytes) -> bool:
        """Whether the stream begins with `data`, and not with a BOM."""
        if self._start and not self._pieces and self.error is None and data[:1] not in _NO_START:
            self._start = False
            return True
        return False

    def _feed(self, data: bytes, frames: list[SseFrame]) -> None:
        if self.error is None:
            try:
                self._feed_any(data, frames)
            except EventTooLarge as error:
                self._give_up(error)
        self._careful = self._start or self._cr or self.error is not None

    def _feed_any(self, data: bytes, frames: list[SseFrame]) -> None:
        if self._cr and data:
            self._cr = False
            if data[:1] == b"\n":
                data = data[1:]
        if not data:
            return
        if b"\n" not in data and b"\r" not in data:
            self._hold(data)
            return
        if self._pieces:
            self._pieces.append(data)
            data = b"".join(self._pieces)
            self._pieces = []
        self._held = sum(map(len, self._data))
        if self._start:
            self._start = False
            if data.startswith(_BOM):
                data = data[3:]
        self._feed_lines(data, frames)

    def close(self) -> list[SseFrame]:
        """EOF: the last event, if it lacked its blank line. `feed` may not be called again."""
        frames: list[SseFrame] = []
        line = b"".join(self._pieces)
        self._pieces = []
        self._held = sum(map(len, self._data))
        if self._start and line.startswith(_BOM):
            line = line[3:]
        try:
            for part in line.split(b"\n"):
                if part:
                    self._line(part)
        except EventTooLarge as error:
            self._give_up(error)
        self._dispatch(frames)
        return frames

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
        self._held += len(piece)
        if self._held > self._max:
            raise self._too_large(self._held)

    def _feed_lines(self, data: bytes, frames: list[SseFrame]) -> None:
        self._cr = data.endswith(b"\r")
        lines = data.splitlines(keepends=True)  # of bytes: LF, CRLF and CR only
        tail = b"" if data.endswith((b"\n", b"\r")) else lines.pop()
        for line in lines:
            line = line.rstrip(b"\r\n")
            if line:
                self._line(line)
            else:
                self._dispatch(frames)
        self._hold(tail)

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            value = line[6:] if line.startswith(b" ", 5) else line[5:]
            self._data.append(value)
            self._held += len(value)
            if self._held > self._max:
                raise self._too_large(self._held)
            return
        if line.startswith(b":"):
            self.comments += 1
            return
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"event":
            self._event = value
        elif name == b"data":
            self._data.append(value)
        elif name == b"error":
            self.error_field = value

    def _dispatch(self, frames: list[SseFrame]) -> None:
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            frames.append(SseFrame(self._event, data))
            self._data = []
            self._held = 0
        self._event = b""

    def _give_up(self, error: EventTooLarge) -> None:
        self.error = error
        self._pieces, self._data = [], []

    def _too_large(self, size: int) -> EventTooLarge:
        return EventTooLarge(f"an SSE event of more than {size} bytes exceeds the cap of {self._max}")
