"""Where text goes: a stream, styled where a person watches it, plain everywhere else.

Text from models, tools and peers is cleaned of control characters before a terminal sees it: an answer must not be
able to move the cursor, retitle the window or hide what a command printed.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from ..items import JsonObject

__all__ = ["Screen", "Style", "clean", "encodable", "one_line", "wants_style", "write_json", "write_text"]

Style = Literal["plain", "dim", "strong", "good", "bad", "added", "removed", "place"]

_STYLES: dict[Style, str] = {
    "plain": "",
    "dim": "dim",
    "strong": "bold",
    "good": "bold green",
    "bad": "bold red",
    "added": "green",
    "removed": "red",
    "place": "cyan",
}

_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""C0 without tab and LF, C1, and the bidirectional marks that can make a command read as another one."""

_LINE_MAX = 500


def clean(text: str) -> str:
    """`text` without terminal sequences and control characters; CRLF becomes LF."""
    return _CONTROLS.sub("", _SEQUENCES.sub("", text.replace("\r\n", "\n")))


def one_line(text: str, max_chars: int = _LINE_MAX) -> str:
    """`text` on one line, cleaned and bounded."""
    line = " ".join(clean(text).split())
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def wants_style(stream: TextIO) -> bool:
    """A terminal that was not asked to stay plain (https://no-color.org: set and not empty)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Screen:
    """One output stream. `put` writes text as it comes; `line` starts a line of its own first.

    Bytes that the stream's encoding lacks are escaped, never an error. rich is loaded by the first styled Screen.
    """

    def __init__(self, stream: TextIO, *, styled: bool | None = None) -> None:
        self._stream = stream
        self._console: Console | None = None
        self._fresh = True  # the cursor is at the start of a line
        self._blank = True  # and the line above it is empty, or there is none
        self.unicode = (stream.encoding or "utf-8").lower().startswith("utf")
        if wants_style(stream) if styled is None else styled:
            from rich.console import Console

            # Sixteen colours: every terminal has them, in the tones its user chose.
            self._console = Console(
                file=stream,
                force_terminal=True,
                color_system="standard",
                no_color=False,
                highlight=False,
                markup=False,
                emoji=False,
            )

    @property
    def styled(self) -> bool:
        return self._console is not None

    def put(self, text: str, style: Style = "plain") -> None:
        """Write `text` where the cursor is, and show it at once."""
        text = clean(text)
        if not text:
            return
        self._blank = text.endswith("\n\n") or (text == "\n" and self._fresh)
        self._fresh = text.endswith("\n")
        if self._console and style != "plain":
            from rich.text import Text

            self._console.print(Text(text, _STYLES[style]), end="", soft_wrap=True)
        else:
            self._stream.write(encodable(text, self._stream.encoding or "utf-8"))
        self._stream.flush()

    def line(self, text: str = "", style: Style = "plain") -> None:
        """Write whole lines, on a line of their own."""
        self.end_line()
        self.put(text + "\n", style)

    def typed(self) -> None:
        """Somebody typed a line, and the terminal has echoed its end."""
        self._fresh = True
        self._blank = False

    def gap(self) -> None:
        """Leave one empty line, except at the very start."""
        self.end_line()
        if not self._blank:
            self.put("\n")

    def end_line(self) -> None:
        """Go to the start of a line, if not there."""
        if not self._fresh:
            self.put("\n")


def write_json(value: JsonObject) -> None:
    """Write one line of JSON to stdout. In ASCII: it survives any stdout, and any character a model sends."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def write_text(stream: TextIO, text: str) -> None:
    """Write a model's text: cleaned for a terminal, as it is elsewhere. What the encoding lacks is escaped."""
    if stream.isatty():
        text = clean(text)
    stream.write(encodable(text, stream.encoding or "utf-8"))
    stream.flush()


def encodable(text: str, encoding: str) -> str:
    """`text` with what `encoding` cannot say (lone surrogates in any case) escaped."""
    return text.encode(encoding, "backslashreplace").decode(encoding)
