"""What a session file is about, from its beginning and its end: a list of thousands reads none of them whole.

The header and the first user message stand at the beginning; the newest `turn_finished` holds the totals of everything
before it, so only what follows it is counted. A file without one (format 1, a first turn that runs) is read
through, but no item of it is built.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BufferedReader, FileIO
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from ..errors import SessionError
from ..events import Usage
from ..items import JsonObject
from .lines import read_line
from .reading import MAX_HEADER_BYTES, READ_BYTES, check_header
from .records import count_of, load_usage, text_at
from .rollout import open_to_read, unusable

__all__ = ["SessionInfo", "Spot", "describe", "find_text", "said_in"]

PREVIEW_CHARS = 200
_AROUND_CHARS = 60
_TOTALS = (b'\n{"type":"turn_finished"', b'\n{"type":"totals"')
"""How lines with totals begin; the longer one first."""
_FIRST_BLOCK = 16 * 1024
_FIRST_USER_WITHIN = 1024 * 1024
"""How far into a file its first user message is looked for."""


class SessionInfo(Struct, frozen=True):
    """A session as a list shows it. `text` is the beginning of what the user said first; `updated` when the file was
    last written to; `usage` what its turns took; `parent` the session in whose run it was made, by a sub-agent;
    `ended`: its last turn came to its end; `waiting`: so many calls of a paused run wait for an answer. `problem` says
    why a file cannot be resumed as it is, as far as that is seen without reading it whole."""

    path: Path
    size: int
    updated: datetime
    id: str = ""
    created: datetime | None = None
    text: str = ""
    turns: int = 0
    items: int = 0
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    labels: dict[str, str] = field(default_factory=dict[str, str])
    parent: str = ""
    ended: bool = True
    waiting: int = 0
    problem: str = ""


class Spot(Struct, frozen=True):
    """Where a text was found: the line of the file, who said it (`user`, `assistant`, a call's or output's type), and
    the words around it."""

    line: int
    speaker: str
    text: str


def describe(path: Path) -> SessionInfo | None:
    """What a file is about; None if it is no session file. Raises SessionError if it cannot be read."""
    try:
        with open_to_read(path) as file:
            there = os.fstat(file.fileno())
            info = SessionInfo(path, there.st_size, datetime.fromtimestamp(there.st_mtime, UTC))
            with BufferedReader(file) as reader:
                return _described(info, reader)
    except OSError as error:
        raise unusable(path, error) from error


def _described(info: SessionInfo, reader: BufferedReader[FileIO]) -> SessionInfo | None:
    head = read_line(reader.readline(MAX_HEADER_BYTES), old=True)
    if head is None or head.record.get("type") != "session":
        return None
    header = head.record
    labels = header.get("labels")
    info = replace(
        info,
        id=text_at(header, "id"),
        created=_time(text_at(header, "created")),
        labels={name: str(value) for name, value in labels.items()} if isinstance(labels, dict) else {},
        parent=text_at(header, "parent"),
    )
    try:
        check_header(info.path, header)
    except SessionError as error:
        return replace(info, problem=error.message)
    text = _first_user_text(reader, old=head.number is None)
    tally = _counted(reader, info.size)
    return replace(
        info,
        text=text,
        turns=max(tally.turns, 0),
        items=max(tally.items, 0),
        model=tally.model or text_at(header, "model"),
        usage=tally.usage,
        ended=tally.ended,
        waiting=tally.waiting,
        problem="it is damaged before its end" if tally.damaged else "",
    )


def find_text(path: Path, text: str, *, most: int = 3) -> list[Spot]:
    """Where in a session something was said, by whom, however it is spelled (case aside); `most` places of it. What was
    rolled back or compacted since is found too. Raises SessionError if the file cannot be read."""
    wanted = text.casefold()
    # Plain words stand in the file as they are, so a line without them needs no parsing.
    plain = wanted.encode() if text.isascii() and text.isprintable() and not set(text) & {'"', "\\"} else b""
    found: list[Spot] = []
    try:
        with BufferedReader(open_to_read(path), READ_BYTES) as reader:
            for number, raw in enumerate(reader, 1):
                if not raw.startswith(b'{"type":"item"') or (plain and plain not in raw.lower()):
                    continue
                line = read_line(raw, old=True)
                item = line.record.get("item") if line is not None else None
                if isinstance(item, dict):
                    found += [Spot(number, speaker, at) for speaker, at in _places(item, wanted)]
                if len(found) >= most:
                    break
    except OSError as error:
        raise unusable(path, error) from error
    return found[:most]


def said_in(item: JsonObject) -> Iterator[tuple[str, str]]:
    """The texts of an item as a file has it, and who says them."""
    kind = text_at(item, "type")
    speaker = text_at(item, "role") or kind
    for name in ("text", "summary", "arguments", "input"):
        if text_at(item, name):
            yield speaker, text_at(item, name)
    for name in ("content", "output", "summary"):
        value = item.get(name)
        if isinstance(value, str) and name == "output":
            yield speaker, value
        for part in value if isinstance(value, list) else ():
            said = part if isinstance(part, str) else text_at(part, "text") if isinstance(part, dict) else ""
            if said:
                yield speaker, said


class _Tally:
    """What is counted from the newest totals on, or from the beginning where there are none."""

    def __init__(self) -> None:
        self.turns = self.items = 0
        self.model = ""
        self.usage = Usage()
        self._unended = Usage()
        self.ended = True
        self.waiting = 0
        self.damaged = False
        self._starts: list[int] = []
        self._broken = False

    def take(self, raw: bytes) -> None:
        """The next line of the file."""
        line = read_line(raw, old=True)
        if line is None:
            self._broken = True
            return
        self.damaged = self.damaged or self._broken
        record = line.record
        match record.get("type"):
            case "item":
                item = record.get("item")
                if isinstance(item, dict) and item.get("role") == "user":
                    self._starts.append(self.items)
                    self.turns += 1
                self.items += 1
            case "turn_started":
                self.end()
                self.ended = False
                self.waiting = 0
                self.model = text_at(record, "model") or self.model
            case "sample_finished" | "spent" if not self.ended:
                self._unended += load_usage(record.get("usage"))
            case "turn_finished" | "totals":
                self._take_totals(record)
            case "rollback":
                self._roll_back(record)
            case _:
                pass

    def end(self) -> None:
        """What a turn's samples took counts also where its end is missing."""
        self.usage += self._unended
        self._unended = Usage()

    def _take_totals(self, record: JsonObject) -> None:
        totals = record.get("totals")
        self.ended = True
        self._unended = Usage()
        if isinstance(totals, dict):
            self.turns, self.items = count_of(totals, "turns"), count_of(totals, "items")
            self.waiting = count_of(totals, "waiting")
            self.model = text_at(totals, "model")
            self.usage = load_usage(totals.get("usage"))
            self._starts.clear()
        else:  # format 1
            self.usage += load_usage(record.get("usage"))

    def _roll_back(self, record: JsonObject) -> None:
        turns = count_of(record, "turns")
        self.waiting = 0
        self.turns -= turns
        before = self._starts[-turns] if 0 < turns <= len(self._starts) else self.items
        self.items -= count_of(record, "items") or self.items - before
        del self._starts[-turns:]


def _counted(reader: BufferedReader[FileIO], size: int) -> _Tally:
    """Read from the newest totals to the end; from the beginning, if there are none."""
    tally = _Tally()
    reader.seek(_newest_totals(reader, size))
    for raw in reader:
        tally.take(raw)
    tally.end()
    return tally


def _newest_totals(reader: BufferedReader[FileIO], size: int) -> int:
    """Where the newest line with totals begins; 0 if there is none. Reads back from the end, block by block."""
    end, block, after = size, _FIRST_BLOCK, b""
    while end:
        start = max(end - block, 0)
        reader.seek(start)
        text = reader.read(end - start) + after
        at = max(map(text.rfind, _TOTALS))
        if at >= 0:
            return start + at + 1
        end, block, after = start, block * 2, text[: len(_TOTALS[0])]
    return 0


def _first_user_text(reader: BufferedReader[FileIO], *, old: bool) -> str:
    """The beginning of what the user said first, on one line; read from where the reader stands."""
    read = 0
    while read < _FIRST_USER_WITHIN:
        raw = reader.readline(_FIRST_USER_WITHIN)
        read += len(raw)
        line = read_line(raw, old=old)
        if line is None:
            break
        item = line.record.get("item")
        if isinstance(item, dict) and item.get("role") == "user":
            words = " ".join(text for _, text in said_in(item)).split()
            text = " ".join(words)
            return text if len(text) <= PREVIEW_CHARS else text[: PREVIEW_CHARS - 1] + "…"
    return ""


def _places(item: JsonObject, wanted: str) -> Iterator[tuple[str, str]]:
    """Who says it in this item, with the words around it."""
    for speaker, text in said_in(item):
        at = text.casefold().find(wanted)
        if at >= 0:
            start = max(at - _AROUND_CHARS, 0)
            end = at + len(wanted) + _AROUND_CHARS
            shown = " ".join(text[start:end].split())
            yield speaker, f"{'…' if start else ''}{shown}{'…' if end < len(text) else ''}"


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
