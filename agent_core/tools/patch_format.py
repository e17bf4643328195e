"""The V4A patch, pure: text -> operations -> planned file changes. Nothing here touches a file.

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
blank lines between files and a blank line whose leading space was lost (codex.md 4). Lines are searched forwards from
the last chunk in four passes: exact, without trailing space, trimmed, Unicode punctuation folded. A matched context
line keeps the file's text, not the patch's. The format, and each place where we differ from the real apply_patch on
purpose (it overwrites silently, or puts text where the patch did not say), is named at the rule.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from ..errors import PatchError

__all__ = [
    "MAX_PATCH_CHARS",
    "PATCH_GRAMMAR",
    "AddFile",
    "Chunk",
    "ChunkLine",
    "DeleteFile",
    "FileChange",
    "PatchOperation",
    "UpdateFile",
    "parse_patch",
    "patch_paths",
    "plan_patch",
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


@dataclass(frozen=True, slots=True)
class FileChange:
    """What one file was and will be; None is no file. `location` identifies the file, `path` is how the patch named it.

    `moved_from` is the location whose content and mode came here; `moved_to` is set on the file that went away.
    """

    path: str
    location: str
    before: bytes | None
    after: bytes | None
    moved_from: str | None = None
    moved_to: str | None = None

    @property
    def kind(self) -> Literal["A", "M", "D"]:
        if self.after is None:
            return "D"
        return "A" if self.before is None and self.moved_from is None else "M"


# --- parsing ---------------------------------------------------------------------------------------------------------

_BEGIN, _END, _EOF = "*** Begin Patch", "*** End Patch", "*** End of File"
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
        raise self._error(f"{_short(header)} is not a file header", remedy=f"write {_HEADERS}")

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
            found = _short(self._lines[self._at])
            raise self._error(f"a change must start with @@, got {found}", remedy="put an @@ line before each change")
        lines = self._changed_lines()
        if not lines:
            found = _short(self._lines[self._at]) if self._at < len(self._lines) else f"'{_END}'"
            raise self._error(
                f"expected a line starting with ' ', '+' or '-', got {found}", remedy="mark every line of a change"
            )
        at_end = self._at < len(self._lines) and self._lines[self._at].rstrip() == _EOF
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


def _short(text: str, limit: int = 120) -> str:
    return repr(text if len(text) <= limit else text[:limit] + "…")


# --- planning --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _State:
    """One file while the patch is planned: what is on disk, and what it is after the operations so far."""

    path: str
    before: bytes | None
    after: bytes | None
    moved_from: str | None = None


def plan_patch(
    operations: Sequence[PatchOperation],
    read: Callable[[str], bytes | None],
    *,
    locate: Callable[[str], str] = posixpath.normpath,
    near: Callable[[str], Sequence[str]] = lambda location: (),
) -> tuple[FileChange, ...]:
    """What a patch would do, each file once, in order of first mention; nothing is written.

    `locate` turns a path of the patch into the file's identity (and may refuse it); `read` gives the bytes at a
    location, None for no file; `near` names files that a missing one may stand for. Later operations see what earlier
    ones did. Raises PatchError, naming the file, for anything that does not apply. Unlike the real apply_patch, adding
    or moving over an existing file is refused: it loses text nobody has looked at. To replace a file, delete it first.
    """
    states: dict[str, _State] = {}

    def state_of(path: str) -> tuple[str, _State]:
        location = locate(path)
        if location not in states:
            content = read(location)
            states[location] = _State(path, content, content)
        return location, states[location]

    for operation in operations:
        location, state = state_of(operation.path)
        match operation:
            case AddFile(path, lines):
                if state.after is not None:
                    raise PatchError(f"cannot add {path!r}: it exists", remedy="update it, or delete it first")
                state.after = _encode("".join(line + "\n" for line in lines), path)
            case DeleteFile(path):
                if state.after is None:
                    raise _missing("delete", path, near(location))
                state.after = state.moved_from = None
            case UpdateFile(path, chunks, move_to):
                if state.after is None:
                    raise _missing("update", path, near(location))
                state.after = _updated(path, state.after, chunks)
                if move_to is not None:
                    _move(location, state, state_of(move_to)[1], move_to)
            case _:
                assert_never(operation)
    moved = {state.moved_from: location for location, state in states.items() if state.moved_from is not None}
    return tuple(
        FileChange(
            path=state.path,
            location=location,
            before=state.before,
            after=state.after,
            moved_from=state.moved_from,
            moved_to=moved.get(location) if state.after is None else None,
        )
        for location, state in states.items()
        if state.before is not None or state.after is not None
    )


def _missing(action: str, path: str, names: Sequence[str]) -> PatchError:
    remedy = f"did you mean {' or '.join(repr(name) for name in names)}?" if names else "check the path"
    return PatchError(f"cannot {action} {path!r}: there is no such file", remedy=remedy)


def _move(source_location: str, source: _State, target: _State, move_to: str) -> None:
    if target is source:  # the real apply_patch deletes the file here
        return
    if target.after is not None:
        raise PatchError(f"cannot move {source.path!r} to {move_to!r}: it exists", remedy="delete it first")
    target.path = move_to
    target.after, source.after = source.after, None
    target.moved_from = source.moved_from or source_location
    source.moved_from = None


def _encode(text: str, path: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        found = text[error.start]
        raise PatchError(f"{path!r}: the patch adds {found!r}, which is no character", remedy="leave it out") from None


@dataclass(slots=True)
class _Text:
    """A file as lines. Every line owns its ending, so what a patch does not touch keeps its own, a missing last newline
    too; new lines get the ending most lines have. The codec is UTF-8, or Latin-1 to carry unknown bytes unchanged."""

    lines: list[str]
    ends: list[str]
    codec: Literal["utf-8", "latin-1"]
    bom: bytes

    @property
    def newline(self) -> str:
        crlf = self.ends.count("\r\n")
        return "\r\n" if crlf > len(self.ends) - crlf - (self.ends[-1:] == [""]) else "\n"


def _decoded(path: str, content: bytes) -> _Text:
    bom = b"\xef\xbb\xbf" if content.startswith(b"\xef\xbb\xbf") else b""
    codec: Literal["utf-8", "latin-1"] = "utf-8"
    try:
        text = content[len(bom) :].decode()
    except UnicodeDecodeError:
        codec = "latin-1"
        text = content[len(bom) :].decode(codec)
    if "\0" in text:
        raise PatchError(f"cannot update {path!r}: it is a binary file", remedy="write it with another tool")
    pieces = text.split("\n")
    last = pieces.pop()
    lines = [piece.removesuffix("\r") for piece in pieces]
    ends = ["\r\n" if piece.endswith("\r") else "\n" for piece in pieces]
    if last:
        lines.append(last)
        ends.append("")
    return _Text(lines, ends, codec, bom)


def _updated(path: str, content: bytes, chunks: Sequence[Chunk]) -> bytes:
    text = _decoded(path, content)
    search = _Search(path, text.lines)
    edits = sorted((search.find(chunk) for chunk in chunks), key=lambda edit: edit[0])
    newline = text.newline
    lines: list[str] = []
    ends: list[str] = []
    copied = 0
    for at, changed in edits:
        lines.extend(text.lines[copied:at])
        ends.extend(text.ends[copied:at])
        for mark, new in changed:
            if mark == "+":
                if ends and not ends[-1]:  # text is added after a last line that had no newline
                    ends[-1] = newline
                lines.append(_fitting(path, new, text))
                ends.append(newline)
                continue
            if mark == " ":
                lines.append(text.lines[at])
                ends.append(text.ends[at])
            at += 1
        copied = at
    lines.extend(text.lines[copied:])
    ends.extend(text.ends[copied:])
    joined = "".join(line + end for line, end in zip(lines, ends, strict=True))
    return text.bom + (_encode(joined, path) if text.codec == "utf-8" else joined.encode(text.codec))


def _fitting(path: str, line: str, text: _Text) -> str:
    if text.codec == "utf-8" or line.isascii():
        return line
    raise PatchError(
        f"cannot add {_short(line)} to {path!r}: the file is not UTF-8, so only ASCII can be added safely",
        remedy="convert the file to UTF-8 first",
    )


_FOLDED = {
    **dict.fromkeys((*range(0x2010, 0x2016), 0x2212), "-"),
    **dict.fromkeys(range(0x2018, 0x201C), "'"),
    **dict.fromkeys(range(0x201C, 0x2020), '"'),
    **dict.fromkeys((0xA0, *range(0x2002, 0x200B), 0x202F, 0x205F, 0x3000), " "),
}
_PASSES: tuple[Callable[[str], str], ...] = (
    lambda line: line,
    str.rstrip,
    str.strip,
    lambda line: line.strip().translate(_FOLDED),
)


_NEAR_LINES = 32
"""How many lines of a chunk are compared when looking for what it may have meant."""


class _Search:
    """Finds chunks in a file, each below the one before. Every pass normalises the file once, when first needed."""

    def __init__(self, path: str, lines: list[str]) -> None:
        self._path = path
        self._lines = lines
        self._normal: dict[int, list[str]] = {0: lines}
        self._from = 0

    def find(self, chunk: Chunk) -> tuple[int, tuple[ChunkLine, ...]]:
        """Where the chunk's lines begin (index from 0), and the lines as they matched."""
        start = self._from
        for anchor in chunk.anchors:
            start = self._anchor(anchor, start, chunk) + 1
        old, changed = chunk.old, chunk.lines
        if not old:
            # The real apply_patch appends to the file even below an anchor; the patch says "below this line".
            self._from = start
            return (start if chunk.anchors and not chunk.at_end else len(self._lines)), changed
        at = self._sequence(old, start, at_end=chunk.at_end)
        while at is None and len(old) > 1 and old[-1] == "":
            old, changed = old[:-1], _without_last_blank(changed)
            at = self._sequence(old, start, at_end=chunk.at_end)
        if at is None:
            raise self._not_found(chunk, start)
        self._from = at + len(old)
        return at, changed

    def _anchor(self, anchor: str, start: int, chunk: Chunk) -> int:
        at = self._sequence([anchor], start, at_end=False)
        if at is not None:
            return at
        remedy = "write @@ alone, or @@ and one whole line of the file"
        if re.match(r"-\d+(,\d+)? \+\d+", anchor):
            remedy = "line numbers are not used: " + remedy
        elif self._sequence([anchor], 0, at_end=False) is not None:
            remedy = "the line exists above the previous change: give changes in the order of the file"
        place = f"below line {start}" if start else "in the file"
        raise PatchError(f"{self._where(chunk)}: no line {_short(anchor)} {place}", remedy=remedy)

    def _sequence(self, wanted: list[str], start: int, *, at_end: bool) -> int | None:
        if at_end:
            tail = len(self._lines) - len(wanted)
            if tail < start:
                return None
            start = tail
        for number, normalise in enumerate(_PASSES):
            if number not in self._normal:
                self._normal[number] = [normalise(line) for line in self._lines]
            at = _find_run(self._normal[number], [normalise(line) for line in wanted], start)
            if at is not None:
                return at
        return None

    def _not_found(self, chunk: Chunk, start: int) -> PatchError:
        remedy = PatchError.default_remedy
        if chunk.at_end and self._sequence(chunk.old, start, at_end=False) is not None:
            remedy = f"the lines are there but not last: leave '{_EOF}' out"
        elif start and self._sequence(chunk.old, 0, at_end=False) is not None:
            remedy = "the lines are above the previous change or anchor: give changes in the order of the file"
        elif near := self._nearest(chunk.old, start):
            remedy = near
        wanted = _short("\n".join(chunk.old), 400)
        return PatchError(f"{self._where(chunk)}: these lines are not in the file: {wanted}", remedy=remedy)

    def _nearest(self, wanted: list[str], start: int) -> str:
        """Where the longest beginning of the wanted lines is, and the line that differs; empty if nothing is close."""
        goal = [line.strip() for line in wanted[:_NEAR_LINES]]
        best, best_at = 0, 0
        for at in range(start, len(self._lines)):
            run = 0
            for line, goal_line in zip(self._lines[at : at + len(goal)], goal, strict=False):
                if line.strip() != goal_line:
                    break
                run += 1
            if run > best:
                best, best_at = run, at
        if best == len(goal) or not any(goal[:best]):
            return ""
        differs = best_at + best
        found = _short(self._lines[differs]) if differs < len(self._lines) else "the end of the file"
        return f"line {differs + 1} of the file is {found}, the patch has {_short(wanted[best])}"

    def _where(self, chunk: Chunk) -> str:
        return f"{self._path!r}, patch line {chunk.line}"


def _without_last_blank(changed: tuple[ChunkLine, ...]) -> tuple[ChunkLine, ...]:
    """The lines less a final blank one of the file: the space before the next header read as context, or the newline of
    the last line read as one more line. If the chunk also writes that line anew, that goes with it."""
    last = max(n for n, (mark, _) in enumerate(changed) if mark != "+")
    rest = changed[:last] + changed[last + 1 :]
    return rest[:-1] if changed[last][0] == "-" and rest[-1:] == (("+", ""),) else rest


def _find_run(lines: list[str], wanted: list[str], start: int) -> int | None:
    """The first place at or after `start` where `wanted` stands in `lines`; linear (Knuth, Morris, Pratt)."""
    borders = [0] * len(wanted)
    matched = 0
    for n in range(1, len(wanted)):
        while matched and wanted[n] != wanted[matched]:
            matched = borders[matched - 1]
        matched += wanted[n] == wanted[matched]
        borders[n] = matched
    matched = 0
    for n in range(start, len(lines)):
        while matched and lines[n] != wanted[matched]:
            matched = borders[matched - 1]
        matched += lines[n] == wanted[matched]
        if matched == len(wanted):
            return n - len(wanted) + 1
    return None
