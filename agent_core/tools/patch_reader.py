"""Reading a patch, whole or while the model still writes it: text in, pieces out, at the end the operations.

    before ─begin─► top ─header─► adding ─────────────────────┐
                    ▲ └───header─► updating ⇄ in_chunk ───────┤      each line goes to the state; one that ends a state
                    └────────────── other header ─────────────┘      is handed on to the next
                    └─end─► ended

A line counts when it is complete; so where the text is split makes no difference, and what reads a stream reads the
whole. Reading forgives what cannot be misread (codex.md 4): a heredoc around the patch, CRLF, spaces around markers, a
missing first `@@`, blank lines between files and a blank line whose mark was lost. Two lines wait until it is clear
what they are: a blank one below a change (context, or the space before what follows) and, in a change, an indented end
marker (context, or the end).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ..errors import PatchError
from .patch_format import (
    END_OF_FILE,
    AddFile,
    Chunk,
    ChunkLine,
    DeleteFile,
    Mark,
    PatchedFile,
    PatchedLine,
    PatchedMove,
    PatchedPlace,
    PatchOperation,
    PatchPiece,
    UpdateFile,
    shortened,
)

__all__ = ["MAX_PATCH_CHARS", "PatchReader", "parse_patch"]

MAX_PATCH_CHARS = 4 * 1024 * 1024
"""Far above any patch a model writes; below what would make planning slow."""

_BEGIN, _END = "*** Begin Patch", "*** End Patch"
_ADD, _DELETE, _UPDATE, _MOVE = "*** Add File:", "*** Delete File:", "*** Update File:", "*** Move to:"
_ENVIRONMENT = "*** Environment ID:"
_ACTIONS: dict[str, Literal["add", "delete", "update"]] = {_ADD: "add", _DELETE: "delete", _UPDATE: "update"}
_MARKS: dict[str, Mark] = {" ": " ", "-": "-", "+": "+"}
_HEREDOC = re.compile(r"""(?:(?:apply_patch|applypatch)\s+)?<<-?\s*(?:'(\w+)'|"(\w+)"|(\w+))""")
_HEADERS = f"'{_ADD} path', '{_DELETE} path' or '{_UPDATE} path'"


def parse_patch(text: str) -> tuple[PatchOperation, ...]:
    """The operations of a patch, in order. Raises PatchError naming the line that is wrong, counted from 1."""
    reader = PatchReader()
    reader.feed(text)
    return reader.close()


@dataclass(slots=True)
class _Chunk:
    """A change that is being read. `blank`: how many blank lines without a mark wait at its end."""

    line: int
    anchors: list[str] = field(default_factory=list[str])
    lines: list[ChunkLine] = field(default_factory=list[ChunkLine])
    blank: int = 0
    at_end: bool = False

    def chunk(self) -> Chunk:
        return Chunk(tuple(self.lines), tuple(self.anchors), self.at_end, self.line)


@dataclass(slots=True)
class _File:
    """A file that is being read. `lines`, `blank`: of one that is added."""

    action: Literal["add", "update"]
    path: str
    line: int
    lines: list[str] = field(default_factory=list[str])
    blank: int = 0
    move_to: str | None = None
    chunks: list[_Chunk] = field(default_factory=list[_Chunk])

    def operation(self) -> PatchOperation:
        if self.action == "add":
            return AddFile(self.path, tuple(self.lines))
        return UpdateFile(self.path, tuple(chunk.chunk() for chunk in self.chunks), self.move_to)


class PatchReader:
    """Feed it a patch in pieces of any size. Both methods raise PatchError, naming the line that is wrong, counted from
    1; after that every call does. Only what `close` returns is a patch: before it, lines may still be missing."""

    def __init__(self) -> None:
        self._partial: list[str] = []
        self._chars = 0
        self._number = 0
        self._state: Callable[[str], None] = self._before
        self._heredoc = ""
        self._heredoc_open = False
        self._held: list[str] = []
        self._finished: list[PatchOperation] = []
        self._file: _File | None = None
        self._pieces: list[PatchPiece] = []
        self._error: PatchError | None = None

    @property
    def operations(self) -> tuple[PatchOperation, ...]:
        """The operations so far, the last one as far as it goes."""
        return (*self._finished, *([self._file.operation()] if self._file is not None else ()))

    def feed(self, text: str) -> tuple[PatchPiece, ...]:
        """What the text adds to the patch, line by line."""
        self._chars += len(text)
        first, *lines = text.split("\n")
        self._partial.append(first)
        for line in lines:
            self._guarded(self._line)
            self._partial.append(line)
        if self._chars > MAX_PATCH_CHARS:
            self._guarded(self._too_long)
        if self._error is not None:
            raise self._error
        told, self._pieces = tuple(self._pieces), []
        return told

    def close(self) -> tuple[PatchOperation, ...]:
        """The operations of the whole patch, in order."""
        self._guarded(self._line)
        self._guarded(self._end)
        if self._error is not None:
            raise self._error
        return tuple(self._finished)

    def _guarded(self, step: Callable[[], None]) -> None:
        if self._error is None:
            try:
                step()
            except PatchError as error:
                self._error = error

    def _too_long(self) -> None:
        raise PatchError(f"the patch has more than {MAX_PATCH_CHARS} characters", remedy="send it in smaller patches")

    def _line(self) -> None:
        line = "".join(self._partial).removesuffix("\r")
        self._partial.clear()
        self._number += 1
        word = line.strip()
        if not self._held:
            self._state(line)
        elif not word or (word == self._heredoc and self._heredoc_open):
            self._held.append(line)
            self._heredoc_open = self._heredoc_open and not word
        else:  # the patch goes on: the end marker that waits is context
            (marker, *below), self._held = self._held, []
            self._add_marked(" ", marker[1:])
            for waiting in (*below, line):
                self._state(waiting)

    def _end(self) -> None:
        if self._held:
            if not self._open.chunks[-1].lines:
                raise self._unmarked(_END)
            self._close_file()
            self._state = self._ended
        if self._state == self._before:
            raise _no_begin()
        if self._state != self._ended:
            raise PatchError(f"the last line of a patch must be '{_END}'", remedy="send the whole patch")
        if self._heredoc_open:
            raise PatchError(f"the heredoc does not end with {self._heredoc!r}", remedy="send the patch alone")
        if not self._finished:
            raise PatchError("the patch is empty: no file is added, deleted or updated", remedy=f"write {_HEADERS}")

    # --- states: each takes one line ---------------------------------------------------------------------------------

    def _before(self, line: str) -> None:
        word = line.strip()
        heredoc = _HEREDOC.fullmatch(word)
        if heredoc and not self._heredoc:
            self._heredoc, self._heredoc_open = heredoc[1] or heredoc[2] or heredoc[3], True
        elif word == _BEGIN:
            self._state = self._top
        elif word:
            raise _no_begin()

    def _top(self, line: str) -> None:
        self._state = self._top
        word = line.strip()
        if not word or (word.startswith(_ENVIRONMENT) and not self._finished):  # there is one environment: this one
            return
        if word == _END:
            self._state = self._ended
            return
        for marker, action in _ACTIONS.items():
            if word.startswith(marker):
                self._open_file(action, self._path(word, marker))
                return
        raise self._failure(f"{shortened(word)} is not a file header", remedy=f"write {_HEADERS}")

    def _adding(self, line: str) -> None:
        """The `+` lines. A blank line between two of them is an empty line whose `+` was lost."""
        file = self._open
        if line.startswith("+"):
            for text in (*[""] * file.blank, line[1:]):
                file.lines.append(text)
                self._pieces.append(PatchedLine("+", text))
            file.blank = 0
        elif not line.strip() and file.lines:
            file.blank += 1
        else:
            self._close_file()
            self._top(line)

    def _updating(self, line: str) -> None:
        """Not in a change: above the first, or below one."""
        file, word = self._open, line.strip()
        marked = line[:1] == " " and not file.chunks  # a line of the file, whatever it looks like
        if not (word or marked) or line.rstrip() == END_OF_FILE:  # said twice, or of nothing
            return
        if word.startswith(_MOVE) and not (marked or file.chunks or file.move_to):
            file.move_to = self._path(word, _MOVE)
            self._pieces.append(PatchedMove(file.move_to))
        elif line.startswith("*** ") or (word == _END and not marked):
            self._close_file()
            self._top(line)
        elif file.chunks and _heading(line) is None:
            raise self._failure(
                f"a change must start with @@, got {shortened(line)}", remedy="put an @@ line before each change"
            )
        else:
            self._open_chunk(line)

    def _in_chunk(self, line: str) -> None:
        chunk = self._open.chunks[-1]
        anchor = _heading(line)
        if not line:
            chunk.blank += 1
        elif line[0] == " " and line.strip() == _END:
            self._held = [line]
        elif (mark := _MARKS.get(line[0])) is not None:
            self._add_marked(mark, line[1:])
        elif chunk.lines or chunk.blank:
            chunk.at_end = line.rstrip() == END_OF_FILE
            self._close_chunk()
            if not chunk.at_end:
                self._updating(line)
        elif anchor is not None:
            self._narrow(anchor)
        else:
            raise self._unmarked(line.strip())

    def _ended(self, line: str) -> None:
        word = line.strip()
        if word and word == self._heredoc and self._heredoc_open:
            self._heredoc_open = False
        elif word and word != _END:
            raise PatchError(f"the last line of a patch must be '{_END}'", remedy="send the patch without prose below")

    # --- steps -------------------------------------------------------------------------------------------------------

    @property
    def _open(self) -> _File:
        assert self._file is not None, "a state of a file without a file"
        return self._file

    def _open_file(self, action: Literal["add", "delete", "update"], path: str) -> None:
        self._pieces.append(PatchedFile(action, path))
        if action == "delete":
            self._finished.append(DeleteFile(path))
            return
        self._file = _File(action, path, self._number)
        self._state = self._adding if action == "add" else self._updating

    def _close_file(self) -> None:
        file = self._open
        if self._state == self._in_chunk:
            self._close_chunk()
        if file.action == "update" and not file.chunks and file.move_to is None:
            raise PatchError(
                f"patch line {file.line}: the update of {file.path!r} has no change",
                remedy="write an @@ line and the lines to change",
            )
        self._finished.append(file.operation())
        self._file = None

    def _open_chunk(self, line: str) -> None:
        self._open.chunks.append(_Chunk(self._number))
        self._state = self._in_chunk
        if (anchor := _heading(line)) is not None:
            self._narrow(anchor)
        else:
            self._pieces.append(PatchedPlace())
            self._in_chunk(line)

    def _narrow(self, anchor: str) -> None:
        self._open.chunks[-1].anchors.extend([anchor] if anchor else [])
        self._pieces.append(PatchedPlace(anchor))

    def _add_marked(self, mark: Mark, text: str) -> None:
        """A line of a change, and before it the blank ones that are context now."""
        chunk = self._open.chunks[-1]
        while chunk.blank:
            chunk.blank -= 1
            chunk.lines.append((" ", ""))
            self._pieces.append(PatchedLine(" ", ""))
        chunk.lines.append((mark, text))
        self._pieces.append(PatchedLine(mark, text))

    def _close_chunk(self) -> None:
        """Blank lines at its end count only where there is other context: below nothing but additions they are the
        space before the next header."""
        chunk = self._open.chunks[-1]
        if chunk.blank and not (chunk.lines and all(mark == "+" for mark, _ in chunk.lines)):
            chunk.blank -= 1
            self._add_marked(" ", "")
        self._state = self._updating

    def _path(self, header: str, marker: str) -> str:
        path = header.removeprefix(marker).strip()
        if not path or "\0" in path:
            raise self._failure(f"'{marker}' needs a path", remedy="name the file after the colon")
        return path

    def _unmarked(self, found: str) -> PatchError:
        message = f"expected a line starting with ' ', '+' or '-', got {shortened(found)}"
        return self._failure(message, remedy="mark every line of a change")

    def _failure(self, message: str, *, remedy: str) -> PatchError:
        return PatchError(f"patch line {self._number}: {message}", remedy=remedy)


def _heading(line: str) -> str | None:
    """The text after `@@` (empty if none), or None if this is no heading."""
    if line.rstrip() == "@@":
        return ""
    return line[3:] if line.startswith("@@ ") else None


def _no_begin() -> PatchError:
    return PatchError(f"the first line of a patch must be '{_BEGIN}'", remedy="send the patch alone, without prose")
