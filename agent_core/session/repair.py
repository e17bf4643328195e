"""The way out of a damaged session file: what is whole goes on, what is not is set aside and said.

    before   s.jsonl            records, damage, records
    after    s.jsonl            the records, numbered anew, and a `lost` record wherever something is missing
             s.jsonl.damaged    the file as it was, to the byte

A call that is open where something was lost counts as started: the record that said so may be what is missing. Lines of
one write are kept one by one here, since half of it is more than nothing.
"""

from __future__ import annotations

import os
import shutil
from io import BufferedReader, FileIO
from pathlib import Path

from msgspec import Struct

from ..errors import SessionError
from ..items import JsonObject
from .lines import Line, read_line
from .reading import MAX_HEADER_BYTES, READ_BYTES, check_header
from .records import new_session_id, utc_now
from .rollout import Journal, open_locked, sync_folder, unusable
from .state import SessionState

__all__ = ["DAMAGED_SUFFIX", "Repaired", "repair_session"]

DAMAGED_SUFFIX = ".damaged"
_DRAFT_SUFFIX = ".repaired"


class Repaired(Struct, frozen=True):
    """What a repair found. `kept` counts records; `lost_lines` are the numbers of lines that could not be used, in the
    file as it was, and `missing` counts those that are not even there. `original` is where that file is kept; None
    where nothing was wrong and nothing was changed."""

    path: Path
    kept: int
    lost_lines: tuple[int, ...] = ()
    lost_bytes: int = 0
    missing: int = 0
    original: Path | None = None


def repair_session(path: str | os.PathLike[str]) -> Repaired:
    """Bring a damaged session file into a state in which it can be resumed. A file that is whole is not touched.

    Raises SessionError where the file is in use, cannot be read or written, was written by a newer version, or holds
    no record of a session at all; then nothing was changed.
    """
    place = Path(path)
    with open_locked(place) as file:
        try:
            return _repair(place, file)
        except OSError as error:
            raise unusable(place, error) from error


def _repair(path: Path, file: FileIO) -> Repaired:
    reader = BufferedReader(file, READ_BYTES)
    try:
        first = reader.readline(MAX_HEADER_BYTES)
        head = read_line(first, old=True)
        header = head.record if head is not None and head.record.get("type") == "session" else None
        if header is not None:
            check_header(path, header)
        elif not first:
            raise SessionError(f"{str(path)!r} is empty", remedy="it cannot be repaired")
        salvage = _Salvage(path, header or {"id": new_session_id(), "created": utc_now()})
        try:
            salvage.header(first, whole=header is not None)
            old = head is not None and head.number is None
            for raw in reader:
                line = read_line(raw, old=old)
                salvage.lose(raw) if line is None else salvage.keep(line, raw)
                old = old and (line is None or line.number is None)
            return salvage.end()
        finally:
            salvage.draft.discard()
    finally:
        reader.detach()


class _Salvage:
    """The new file as it is written, and what could not go into it. `draft` is the caller's to discard."""

    def __init__(self, path: Path, header: JsonObject) -> None:
        self._path = path
        self._place = path.with_name(path.name + _DRAFT_SUFFIX)
        self._place.unlink(missing_ok=True)  # of a repair that did not come to its end
        members = {name: value for name, value in header.items() if name not in ("v", "type")}
        self.draft = Journal.draft(self._place, {**members, "repaired": utc_now()}, fsync="never")
        self._state = SessionState("")
        self._kept = 0
        self._line = self._expected = 1
        self._lost: list[int] = []
        self._lost_bytes = self._missing = 0
        self._gap_lines = self._gap_bytes = 0

    def header(self, raw: bytes, *, whole: bool) -> None:
        """The first line, which has its place in the new file already."""
        if whole:
            self._count(1)
        else:
            self.lose(raw)

    def lose(self, raw: bytes) -> None:
        """A line that cannot be used."""
        self._lost.append(self._line)
        self._line += 1
        self._gap_lines += 1
        self._gap_bytes += len(raw)

    def keep(self, line: Line, raw: bytes) -> None:
        """A line that is whole; unless it is there a second time, or makes no sense without what is missing."""
        number = self._expected + self._gap_lines if line.number is None else line.number
        if number < self._expected or not self._makes_sense(line.record):
            self.lose(raw)
            return
        self._say_what_is_lost(number)
        self.draft.write(line.record)
        self._count(number)

    def end(self) -> Repaired:
        """Put the new file in the place of the old one, if anything was lost."""
        self._say_what_is_lost(self._expected)
        if not self._kept:
            raise SessionError(f"{str(self._path)!r} holds no record of a session", remedy="it cannot be repaired")
        if not self._lost and not self._missing:
            return Repaired(self._path, self._kept)
        self.draft.sync()
        original = _keep_original(self._path)
        self.draft.publish()
        self._place.replace(self._path)
        sync_folder(self._path.parent)
        return Repaired(self._path, self._kept, tuple(self._lost), self._lost_bytes, self._missing, original)

    def _makes_sense(self, record: JsonObject) -> bool:
        try:
            self._state.apply(record, "")
        except SessionError:
            return False
        return True

    def _count(self, number: int) -> None:
        self._kept += 1
        self._line += 1
        self._expected = number + 1

    def _say_what_is_lost(self, number: int) -> None:
        """Before record `number`: a `lost` record for what should stand between it and the last one."""
        missing = max(number - self._expected - self._gap_lines, 0)
        if not self._gap_lines and not missing:
            return
        lost: JsonObject = {"type": "lost", "bytes": self._gap_bytes, "lines": self._gap_lines + missing}
        self._state.apply(lost, "")
        self.draft.write(lost)
        self._missing += missing
        self._lost_bytes += self._gap_bytes
        self._gap_lines = self._gap_bytes = 0


def _keep_original(path: Path) -> Path:
    """A second name for the file as it is, one that is free; a copy where a file cannot have two."""
    number = 0
    while True:
        place = path.with_name(f"{path.name}{DAMAGED_SUFFIX}{number or ''}")
        number += 1
        try:
            os.link(path, place)
        except FileExistsError:
            continue
        except OSError:
            if place.exists():
                continue
            shutil.copy2(path, place)
        return place
