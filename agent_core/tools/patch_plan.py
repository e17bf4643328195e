"""What a patch would do, pure: operations and a way to read files in, each file's new bytes out. Nothing is written.

Chunks are searched forwards, each below the one before, in four passes over the file: exact, without trailing space,
trimmed, Unicode punctuation folded (codex.md 4); with `*** End of File` at the end only. A matched context line keeps
the file's text, not the patch's. Where this differs from the real apply_patch on purpose (it overwrites silently, or
puts text where the patch did not say), the rule says so.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from ..errors import PatchError
from .file_changes import FileChange
from .patch_format import END_OF_FILE, AddFile, Chunk, ChunkLine, DeleteFile, PatchOperation, UpdateFile, shortened

__all__ = ["plan_patch"]


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
    ones did; what is added or moved to replaces what is there. Raises PatchError, naming the file, for anything that
    does not apply.
    """
    states: dict[str, _State] = {}

    def state_of(path: str) -> tuple[str, _State]:
        location = locate(path)
        if location not in states:
            content = read(location)
            states[location] = _State(path, content, content)
        return location, states[location]

    def state_of_new(path: str) -> tuple[str, _State]:
        location, state = state_of(path)
        folder = posixpath.dirname(location)
        while folder not in states and posixpath.dirname(folder) != folder:
            folder = posixpath.dirname(folder)
        if folder in states and states[folder].after is not None:
            raise PatchError(f"cannot add {path!r}: {states[folder].path!r} is a file", remedy="check the path")
        return location, state

    for operation in operations:
        location, state = (state_of_new if isinstance(operation, AddFile) else state_of)(operation.path)
        match operation:
            case AddFile(path, lines):
                state.after = _encode("".join(line + "\n" for line in lines), path)
                state.moved_from = None
            case DeleteFile(path):
                if state.after is None:
                    raise _missing("delete", path, near(location))
                state.after = state.moved_from = None
            case UpdateFile(path, chunks, move_to):
                if state.after is None:
                    raise _missing("update", path, near(location))
                state.after = _updated(path, state.after, chunks)
                if move_to is not None:
                    _move(location, state, state_of_new(move_to)[1], move_to)
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
    too; new ones get that of the first. The codec is UTF-8, or Latin-1 to carry unknown bytes unchanged."""

    lines: list[str]
    ends: list[str]
    codec: Literal["utf-8", "latin-1"]
    bom: bytes

    @property
    def newline(self) -> str:
        return next((end for end in self.ends if end), "\n")


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
    if text.bom:  # who copied the first line may have copied it too
        chunks = [_without_bom(chunk) for chunk in chunks]
    search = _Search(path, text.lines)
    runs = [run for chunk in chunks for run in _runs(*search.find(chunk))]
    runs.sort(key=lambda run: run.at)  # stable: of two at one place the first of the patch comes first
    newline = text.newline
    lines: list[str] = []
    ends: list[str] = []
    copied = 0
    for run in runs:
        lines += text.lines[copied : run.at]
        ends += text.ends[copied : run.at]
        for line in run.added:
            if ends and not ends[-1]:  # text is added after a last line that had no newline
                ends[-1] = newline
            lines.append(_fitting(path, line, text))
            ends.append(newline)
        copied = run.at + run.removed
    lines += text.lines[copied:]
    ends += text.ends[copied:]
    joined = "".join(line + end for line, end in zip(lines, ends, strict=True))
    return text.bom + (_encode(joined, path) if text.codec == "utf-8" else joined.encode(text.codec))


@dataclass(slots=True)
class _Run:
    """Lines of a file that go, and what comes in their place."""

    at: int
    removed: int = 0
    added: list[str] = field(default_factory=list[str])


def _runs(at: int, changed: Sequence[ChunkLine]) -> list[_Run]:
    """What a chunk does below the file's line `at`: its context stays as the file has it."""
    runs: list[_Run] = []
    run: _Run | None = None
    for mark, line in changed:
        if mark == " ":
            at, run = at + 1, None
            continue
        if run is None:
            runs.append(run := _Run(at))
        if mark == "+":
            run.added.append(line)
        else:
            at, run.removed = at + 1, run.removed + 1
    return runs


def _without_bom(chunk: Chunk) -> Chunk:
    return replace(
        chunk,
        lines=tuple((mark, line.removeprefix("\ufeff")) for mark, line in chunk.lines),
        anchors=tuple(anchor.removeprefix("\ufeff") for anchor in chunk.anchors),
    )


def _fitting(path: str, line: str, text: _Text) -> str:
    if text.codec == "utf-8" or line.isascii():
        return line
    raise PatchError(
        f"cannot add {shortened(line)} to {path!r}: the file is not UTF-8, so only ASCII can be added safely",
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
        if at is None and old == [""]:
            if len(changed) == 1:  # nothing but the space before what follows
                return start, ()
            if chunk.anchors or not self._lines:  # an empty line whose `+` was lost, where there is but one place
                return start, _without_last_blank(changed)
        if at is None and len(old) > 1 and old[-1] == "":
            old, changed = old[:-1], _without_last_blank(changed)
            at = self._sequence(old, start, at_end=chunk.at_end)
        if at is None and old == [""]:
            if len(changed) == 1:  # nothing but the space before what follows
                return start, ()
            if chunk.anchors or not self._lines:  # an empty line whose `+` was lost, where there is but one place
                return start, _without_last_blank(changed)
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
        raise PatchError(f"{self._where(chunk)}: no line {shortened(anchor)} {place}", remedy=remedy)

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
            remedy = f"the lines are there but not last: leave '{END_OF_FILE}' out"
        elif start and self._sequence(chunk.old, 0, at_end=False) is not None:
            remedy = "the lines are above the previous change or anchor: give changes in the order of the file"
        elif near := self._nearest(chunk.old, start):
            remedy = near
        wanted = shortened("\n".join(chunk.old), 400)
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
        found = shortened(self._lines[differs]) if differs < len(self._lines) else "the end of the file"
        return f"line {differs + 1} of the file is {found}, the patch has {shortened(wanted[best])}"

    def _where(self, chunk: Chunk) -> str:
        return f"{self._path!r}, patch line {chunk.line}"


def _without_last_blank(changed: tuple[ChunkLine, ...]) -> tuple[ChunkLine, ...]:
    """The lines less a final blank one of the file: the space before the next header read as context, or the newline of
    the last line read as one more line. What is written anew loses a blank line at its end with it."""
    last = max(n for n, (mark, _) in enumerate(changed) if mark != "+")
    kept: list[ChunkLine] = [("+", "")] if changed[last][0] == " " else []
    rest = (*changed[:last], *kept, *changed[last + 1 :])
    return rest[:-1] if rest[-1:] == (("+", ""),) else rest


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
