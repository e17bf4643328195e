"""Bounded output: keep the beginning and the end, say how much of the middle was left out."""

from __future__ import annotations

__all__ = ["Capture", "cut_middle", "whole_characters_before"]


class Capture:
    """Takes bytes without end and keeps at most `max_bytes` of them: half from the beginning, half from the end."""

    __slots__ = ("_head", "_head_max", "_tail", "_tail_max", "total_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._head_max = (max_bytes + 1) // 2
        self._tail_max = max_bytes // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total_bytes = 0

    def feed(self, chunk: bytes) -> None:
        self.total_bytes += len(chunk)
        room = self._head_max - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        self._tail += chunk
        if len(self._tail) > 2 * self._tail_max + 65536:  # trimmed rarely, so the cost per byte stays constant
            del self._tail[: len(self._tail) - self._tail_max]

    def result(self, max_bytes: int | None = None) -> tuple[str, int]:
        """The text, in at most `max_bytes` if those are fewer, and how many bytes of the whole it leaves out. Bytes
        that are no UTF-8 become U+FFFD."""
        head_max, tail_max = self._head_max, self._tail_max
        if max_bytes is not None and max_bytes < head_max + tail_max:
            head_max, tail_max = (max_bytes + 1) // 2, max_bytes // 2
        if self.total_bytes <= head_max + tail_max:
            return (self._head + self._tail).decode("utf-8", "replace"), 0
        kept = self._head + self._tail if self.total_bytes <= self._head_max + self._tail_max else self._tail
        head, tail = bytes(self._head[:head_max]), bytes(kept[len(kept) - tail_max :])
        head, tail = whole_characters_before(head), _whole_characters_after(tail)
        left_out = self.total_bytes - len(head) - len(tail)
        marker = f"\n[… {left_out} bytes left out …]\n"
        return head.decode("utf-8", "replace") + marker + tail.decode("utf-8", "replace"), left_out


def cut_middle(text: str, max_bytes: int) -> tuple[str, int]:
    """The text in at most `max_bytes` of UTF-8 (plus the marker), and how many bytes were left out."""
    if len(text) * 4 <= max_bytes:
        return text, 0
    capture = Capture(max_bytes)
    capture.feed(text.encode("utf-8", "replace"))
    shown, left_out = capture.result()
    return (shown, left_out) if left_out else (text, 0)


def whole_characters_before(piece: bytes) -> bytes:
    """Without a character that is cut at the end."""
    for back in range(1, min(4, len(piece)) + 1):
        byte = piece[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        return piece[:-back] if length > back else piece
    return piece


def _whole_characters_after(piece: bytes) -> bytes:
    """Without a character cut at the start."""
    start = 0
    while start < min(3, len(piece)) and piece[start] & 0xC0 == 0x80:
        start += 1
    return piece[start:]
