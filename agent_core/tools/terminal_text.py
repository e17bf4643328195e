"""What a program writes to a terminal, as text: without what moves the cursor, colours, titles and bells.

    CSI "ESC [ … m", strings "ESC ] … BEL", other escapes, control characters    left out
    CR LF, and LF after several CR                                                a line break
    CR alone (a progress bar that starts over)                                    a line break
    tab, line break, everything printable                                         kept

Pieces may be cut anywhere: an escape, a CR or a character that is not whole yet is held back until it is.
"""

from __future__ import annotations

import re

from .capture import whole_characters_before

__all__ = ["PlainText", "TerminalText"]

MAX_HELD_BYTES = 4096
"""An escape that takes longer to end is none."""

_ESCAPES = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI (ECMA-48 5.4)
    rb"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC, DCS, SOS, PM, APC: strings with an end
    rb"|\x1b[ -/]*[0-OQ-WYZ\\`-~]"  # all others
)
_CONTROLS = bytes(byte for byte in (*range(0x20), 0x7F) if byte not in b"\t\n\r")
_UNFINISHED = re.compile(rb"(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)?)\Z")
_LINE_BREAKS = re.compile(rb"\r+\n|\r+")


class PlainText:
    """Bytes as they are, but a character is handed on when it is whole."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        piece = self._held + chunk if self._held else chunk
        whole = whole_characters_before(piece)
        self._held = piece[len(whole) :]
        return whole

    def close(self) -> bytes:
        held, self._held = self._held, b""
        return held


class TerminalText:
    """See the module."""

    __slots__ = ("_held", "_plain")

    def __init__(self) -> None:
        self._held = b""
        self._plain = PlainText()

    def feed(self, chunk: bytes) -> bytes:
        piece = self._held + chunk
        end = max(len(piece.rstrip(b"\r")), len(piece) - MAX_HELD_BYTES)
        begin = piece.find(b"\x1b", max(len(piece) - MAX_HELD_BYTES, 0), end)
        unfinished = _UNFINISHED.search(piece, begin, end) if begin >= 0 else None
        end = unfinished.start() if unfinished else end
        self._held = piece[end:]
        return self._plain.feed(_cleaned(piece[:end]))

    def close(self) -> bytes:
        held, self._held = self._held, b""
        return self._plain.feed(_cleaned(held)) + self._plain.close()


def _cleaned(piece: bytes) -> bytes:
    if b"\x1b" in piece:
        piece = _ESCAPES.sub(b"", piece)
    piece = piece.translate(None, _CONTROLS).replace(b"\r\n", b"\n")
    return _LINE_BREAKS.sub(b"\n", piece) if b"\r" in piece else piece
