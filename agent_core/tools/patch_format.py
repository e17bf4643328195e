"""The V4A patch as text: the format, its grammar and its parser.

    *** Begin Patch
    *** Add File: PATH          every line starts with `+`
    *** Delete File: PATH
    *** Update File: PATH
    *** Move to: PATH           optional; alone it is a rename
    @@ LINE OF THE FILE         optional: search below this line; several in a row narrow down
     context / -old / +new
    *** End of File             optional: the lines above are the last of the file
    *** End Patch

Parsing forgives what cannot be misread: a heredoc around the patch, CRLF, spaces around markers, a missing first `@@`,
blank lines between files and a blank line whose leading space was lost (codex.md 4). What the operations would do to
files is `patch_plan`'s part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..errors import PatchError

__all__ = [
    "END_OF_FILE",
    "MAX_PATCH_CHARS",
    "PATCH_GRAMMAR",
    "AddFile",
    "Chunk",
    "ChunkLine",
    "DeleteFile",
    "PatchOperation",
    "UpdateFile",
    "parse_patch",
    "patch_paths",
    "shortened",
]

MAX_PATCH_CHARS = 4 * 1024 * 1024
"""Far above any patch a model writes; below what would make planning slow."""

PATCH_GRAMMAR = r"""start: "*** Begin Patch" NL operation+ "*** End Patch" NL?

operation: add_file | delete_file | update_file

add_file: "*** Add File: " TEXT NL ("+" TEXT? NL)+
delete_file: "*** Delete File: " TEXT NL
update_file: "*** Update File: " TEXT NL (chunk+ | move_to chunk*)
move_to: "*** Move to: " TEXT NL

chunk: heading+ edit+ end_of_file? | edit+ end_of_file?
heading: "@@" (" " TEXT)? NL
edit: ("+" | "-" | " ") TEXT? NL
end_of_file: "*** End of File" NL

TEXT: /[^\r\n]+/

%import common.LF -> NL
"""
"""The format as a Lark grammar, for models that can be held to one. Stricter than the parser."""

ChunkLine: TypeAlias = tuple[Literal[" ", "-", "+"], str]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One edit of a file. `line` is its place in the patch, from 1, for messages."""

    lines: tuple[ChunkLine, ...]
    anchors: tuple[str, ...] = ()
    at_end: bool = False
    line: int = 0

    @property
    def old(self) -> list[str]:
        return [text for mark, text in self.lines if mark != "+"]


@dataclass(frozen=True, slots=True)
class AddFile:
    path: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeleteFile:
    path: str


@dataclass(frozen=True, slots=True)
class UpdateFile:
    path: str
    chunks: tuple[Chunk, ...]
    move_to: str | None = None


PatchOperation: TypeAlias = AddFile | DeleteFile | UpdateFile


END_OF_FILE = "*** End of File"
_BEGIN, _END = "*** Begin Patch", "*** End Patch"
_ADD, _DELETE, _UPDATE, _MOVE = "*** Add File:", "*** Delete File:", "*** Update File:", "*** Move to:"
_MARKS: dict[str, Literal[" ", "-", "+"]] = {" ": " ", "-": "-", "+": "+", "": " "}
_HEREDOC = re.compile(r"""(?:(?:apply_patch|applypatch)\s+)?<<-?\s*(?:'(\w+)'|"(\w+)"|(\w+))""")
_HEADERS = f"'{_ADD} path', '{_DELETE} path' or '{_UPDATE} path'"


def parse_patch(text: str) -> tuple[PatchOperation, ...]:
    """The operations of a patch, in order. Raises PatchError naming the line that is wrong, counted from 1."""
    if len(text) > MAX_PATCH_CHARS:
        raise PatchError(
            f"the patch has {len(text)} characters, more than {MAX_PATCH_CHARS}", remedy="send it in smaller patches"
        )
    lines, first = _unwrap(text)
    return _Parser(lines, first).operations()


def patch_paths(operations: Iterable[PatchOperation]) -> tuple[str, ...]:
    """Every path a patch names, in order, once."""
    paths: dict[str, None] = {}
    for operation in operations:
        paths[operation.path] = None
        if isinstance(operation, UpdateFile) and operation.move_to is not None:
            paths[operation.move_to] = None
    return tuple(paths)


def _unwrap(text: str) -> tuple[list[str], int]:
    """The lines between the markers, and the number of the first of them."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    start, stop = 0, len(lines)
    while start < stop and not lines[start].strip():
        start += 1
    while stop > start and not lines[stop - 1].strip():
        stop -= 1
    heredoc = _HEREDOC.fullmatch(lines[start].strip()) if start < stop else None
    if heredoc and stop - start > 2 and lines[stop - 1].strip() == (heredoc[1] or heredoc[2] or heredoc[3]):
        start, stop = start + 1, stop - 1
        while stop > start and not lines[stop - 1].strip():
            stop -= 1
    if start >= stop or lines[start].strip() != _BEGIN:
        raise PatchError(f"the first line of a patch must be '{_BEGIN}'", remedy="send the patch alone, without prose")
    if stop - start < 2 or lines[stop - 1].strip() != _END:
        raise PatchError(f"the last line of a patch must be '{_END}'", remedy="send the whole patch")
    return lines[start + 1 : stop - 1], start + 2


class _Parser:
    """A cursor over the lines between the markers."""

    def __init__(self, lines: list[str], first: int) -> None:
        self._lines = lines
        self._first = first
        self._at = 0

    def operations(self) -> tuple[PatchOperation, ...]:
        found: list[PatchOperation] = []
        while self._skip_blank():
            found.append(self._operation())
        if not found:
            raise PatchError("the patch is empty: no file is added, deleted or updated", remedy=f"write {_HEADERS}")
        return tuple(found)

    def _operation(self) -> PatchOperation:
        header = self._lines[self._at].strip()
        for marker in (_ADD, _DELETE, _UPDATE):
            if header.startswith(marker):
                path = self._path(header, marker)
                self._at += 1
                if marker == _ADD:
                    return AddFile(path, self._added_lines())
                return DeleteFile(path) if marker == _DELETE else self._update(path)
        raise self._error(f"{shortened(header)} is not a file header", remedy=f"write {_HEADERS}")

    def _path(self, header: str, marker: str) -> str:
        path = header.removeprefix(marker).strip()
        if not path or "\0" in path:
            raise self._error(f"'{marker}' needs a path", remedy="name the file after the colon")
        return path

    def _added_lines(self) -> tuple[str, ...]:
        """The `+` lines. A bare blank line between two of them is an empty line whose `+` was lost."""
        lines: list[str] = []
        blank = 0
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.startswith("+"):
                lines.extend([""] * blank)
                lines.append(line[1:])
                blank = 0
            elif not line.strip() and lines:
                blank += 1
            else:
                break
            self._at += 1
        return tuple(lines)

    def _update(self, path: str) -> UpdateFile:
        header_at = self._at - 1
        move_to = None
        if self._at < len(self._lines) and self._lines[self._at].strip().startswith(_MOVE):
            move_to = self._path(self._lines[self._at].strip(), _MOVE)
            self._at += 1
        chunks: list[Chunk] = []
        while self._skip_blank() and not self._lines[self._at].startswith("*** "):
            chunks.append(self._chunk(is_first=not chunks))
        if not chunks and move_to is None:
            self._at = header_at
            raise self._error(
                f"the update of {path!r} has no change", remedy="write an @@ line and the lines to change"
            )
        return UpdateFile(path, tuple(chunks), move_to)

    def _chunk(self, *, is_first: bool) -> Chunk:
        start = self._at
        anchors: list[str] = []
        headings = 0
        while self._at < len(self._lines) and (heading := self._heading(self._lines[self._at])) is not None:
            anchors.extend([heading] if heading else [])
            headings += 1
            self._at += 1
        if not headings and not is_first:
            found = shortened(self._lines[self._at])
            raise self._error(f"a change must start with @@, got {found}", remedy="put an @@ line before each change")
        lines = self._changed_lines()
        if not lines:
            found = shortened(self._lines[self._at]) if self._at < len(self._lines) else f"'{_END}'"
            raise self._error(
                f"expected a line starting with ' ', '+' or '-', got {found}", remedy="mark every line of a change"
            )
        at_end = self._at < len(self._lines) and self._lines[self._at].rstrip() == END_OF_FILE
        if at_end:
            self._at += 1
        return Chunk(tuple(lines), tuple(anchors), at_end, self._first + start)

    @staticmethod
    def _heading(line: str) -> str | None:
        """The text after `@@` (empty if none), or None if this is no heading."""
        if line.rstrip() == "@@":
            return ""
        return line[3:] if line.startswith("@@ ") else None

    def _changed_lines(self) -> list[ChunkLine]:
        """The lines of one chunk. Bare blank lines at its end count as context only where there is other context:
        below nothing but additions they are the space before the next header."""
        lines: list[ChunkLine] = []
        bare = 0
        while self._at < len(self._lines):
            line = self._lines[self._at]
            mark = _MARKS.get(line[:1])
            if mark is None:  # also every marker: an indented one is a context line
                break
            lines.append((mark, line[1:]))
            bare = 0 if line else bare + 1
            self._at += 1
        if bare and all(mark == "+" for mark, _ in lines[:-bare]):
            del lines[-bare:]
        return lines

    def _skip_blank(self) -> bool:
        """Moves to the next line that is not blank; False at the end."""
        while self._at < len(self._lines) and not self._lines[self._at].strip():
            self._at += 1
        return self._at < len(self._lines)

    def _error(self, message: str, *, remedy: str) -> PatchError:
        return PatchError(f"patch line {self._first + self._at}: {message}", remedy=remedy)


def shortened(text: str, limit: int = 120) -> str:
    """A line of a file or patch as an error message quotes it."""
    return repr(text if len(text) <= limit else text[:limit] + "…")
