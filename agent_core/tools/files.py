"""`read_file`: a window of a text file, numbered, bounded, and honest about what it leaves out."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import ToolError
from ..items import JsonObject
from ..prompt import ToolSpec
from .arguments import InvalidArguments, check_arguments, parse_arguments
from .base import ToolCall, ToolContext, ToolOutput
from .paths import near_names, resolve_inside, shown_path

if TYPE_CHECKING:
    from ..approvals import ApprovalRequest

__all__ = ["ReadFile"]

MAX_OUTPUT_BYTES = 256 * 1024
MAX_LINE_BYTES = 16 * 1024
"""A longer line (minified code, data) is cut: one line must not take the whole window."""
MAX_SCAN_BYTES = 256 * 1024 * 1024
"""How far a file is read, for the window and for the number of lines."""
_READ_BYTES = 64 * 1024

_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "The file, relative to the working directory."},
        "offset": {"type": "integer", "minimum": 1, "description": "The first line to show, from 1. Default 1."},
        "limit": {"type": "integer", "minimum": 1, "description": "How many lines to show. Default 2000."},
    },
    "required": ["path"],
    "additionalProperties": False,
}


class ReadFile:
    """The tool. With `line_numbers` every line is `NUMBER<tab>TEXT`, otherwise the text alone.

    Reads below the roots only, after resolving symlinks, so it needs no approval. At most 256 KiB and `limit` lines per
    call; a last line in brackets says how to get the rest.
    """

    name: str = "read_file"
    read_only: bool = True
    parallel: bool = True
    timeout_s: float | None = None

    def __init__(self, *, line_numbers: bool = True) -> None:
        self._line_numbers = line_numbers

    @property
    def spec(self) -> ToolSpec:
        numbered = " Each line is shown as its number, a tab, and its text." if self._line_numbers else ""
        description = f"Reads a text file, or with offset and limit a part of it.{numbered}"
        return ToolSpec(self.name, description, _PARAMETERS)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from anyio import to_thread

        from .requests import ReadFileRequest

        try:
            asked = check_arguments(ReadFileRequest, parse_arguments(call.arguments))
            path = resolve_inside(asked.path, context)
            window = await to_thread.run_sync(
                _read_window, path, asked.path, asked.offset, asked.limit, abandon_on_cancel=True
            )
        except InvalidArguments:
            raise
        except ToolError as error:
            return ToolOutput(f"{error.message}; {error.remedy}", success=False)
        return ToolOutput(
            window.shown(line_numbers=self._line_numbers),
            metadata={"path": shown_path(path, context), "lines": len(window.lines), "total_lines": window.total},
        )


@dataclass(slots=True)
class _Window:
    """Some lines of a file. `total` is None where the file is too long to count."""

    first: int
    lines: list[str]
    total: int | None
    replaced: bool

    def shown(self, *, line_numbers: bool) -> str:
        if not self.lines:
            return "[the file is empty]"
        numbers = range(self.first, self.first + len(self.lines))
        shown = (
            [f"{n:>6}\t{line}" for n, line in zip(numbers, self.lines, strict=True)] if line_numbers else self.lines[:]
        )
        last = numbers[-1]
        if self.total is None or last < self.total:
            whole = self.total if self.total is not None else "many"
            shown.append(f"[lines {self.first}-{last} of {whole}; go on with offset={last + 1}]")
        if self.replaced:
            shown.append("[bytes that are not UTF-8 are shown as \N{REPLACEMENT CHARACTER}]")
        return "\n".join(shown)


def _read_window(path: Path, asked: str, offset: int, limit: int) -> _Window:
    """Blocking. Raises ToolError for what cannot be read as text."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ToolError(f"{asked!r} is a directory", remedy="name a file in it")
        if not stat.S_ISREG(status.st_mode):  # a FIFO or device would block or never end
            raise ToolError(f"{asked!r} is not a regular file", remedy="name a text file")
        return _scan(path, asked, offset, limit)
    except (FileNotFoundError, NotADirectoryError):
        names = near_names(path)
        remedy = f"did you mean {' or '.join(repr(n) for n in names)}?" if names else "check the path"
        raise ToolError(f"there is no file {asked!r}", remedy=remedy) from None
    except OSError as error:
        raise ToolError(f"cannot read {asked!r}: {error.strerror}", remedy="read another file") from None


def _scan(path: Path, asked: str, offset: int, limit: int) -> _Window:
    window = _Window(offset, [], None, replaced=False)
    size = 0
    full = False
    with path.open("rb") as file:
        if b"\0" in file.read(8192):
            raise ToolError(f"{asked!r} is a binary file", remedy="use a program that knows its format")
        file.seek(0)
        number, scanned, ended = _pass_lines(file, offset - 1, MAX_SCAN_BYTES)
        while not (full or ended) and scanned < MAX_SCAN_BYTES:
            piece, length = _read_line(file)
            if not length:
                ended = True
                break
            number += 1
            scanned += length
            line, replaced = _shown_line(piece, length, first=number == 1)
            size += len(line.encode()) + 8  # with its number and newline
            full = len(window.lines) >= limit or size > MAX_OUTPUT_BYTES
            if not full:
                window.lines.append(line)
                window.replaced |= replaced
        if full:
            more, _, ended = _pass_lines(file, sys.maxsize, MAX_SCAN_BYTES - scanned)
            number += more
    window.total = number if ended else None
    if not window.lines and not ended:
        raise ToolError(f"line {offset} of {asked!r} is too far in to be read", remedy="use a command, e.g. sed -n")
    if not window.lines and (offset > 1 or number):
        raise ToolError(f"{asked!r} has {number} lines; offset={offset} is past the end", remedy="use a smaller offset")
    return window


def _pass_lines(file: BinaryIO, lines: int, max_bytes: int) -> tuple[int, int, bool]:
    """Go past so many lines, or to the end, or about so many bytes on: the lines and bytes passed, and whether the file
    has ended. Only counts, so it is fast: a log may have millions of lines before and after a window."""
    passed = size = 0
    last = b"\n"
    while passed < lines and size < max_bytes:
        chunk = file.read(_READ_BYTES)
        if not chunk:
            return passed + (not last.endswith(b"\n")), size, True
        found = chunk.count(b"\n")
        if passed + found >= lines:
            at = 0
            for _ in range(lines - passed):
                at = chunk.index(b"\n", at) + 1
            file.seek(at - len(chunk), os.SEEK_CUR)
            return lines, size + at, False
        passed += found
        size += len(chunk)
        last = chunk
    return passed, size, False


def _read_line(file: BinaryIO) -> tuple[bytes, int]:
    """The beginning of the next line, without its ending, and the line's whole length; (b"", 0) at the end of the file.

    Holds a bounded part of the line, however long it is.
    """
    kept = piece = file.readline(MAX_LINE_BYTES + 2)
    length = len(piece)
    while piece and not piece.endswith(b"\n"):
        piece = file.readline(_READ_BYTES)
        length += len(piece)
    return kept.removesuffix(b"\n").removesuffix(b"\r"), length


def _shown_line(piece: bytes, length: int, *, first: bool) -> tuple[str, bool]:
    """The line as text, without the file's BOM, and whether bytes had to be replaced."""
    if first:
        piece = piece.removeprefix(b"\xef\xbb\xbf")
    if len(piece) > MAX_LINE_BYTES:
        left_out = length - MAX_LINE_BYTES
        return piece[:MAX_LINE_BYTES].decode("utf-8", "ignore") + f" [… {left_out} bytes of this line left out]", False
    try:
        return piece.decode(), False
    except UnicodeDecodeError:
        return piece.decode("utf-8", "replace"), True
