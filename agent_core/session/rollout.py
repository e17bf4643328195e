"""The journal: one append-only JSONL file per session, one record per line.

    {"v":1,"type":"session","id":"…","created":"2026-…"}      always the first
    {"type":"item","item":{…}}                                 an item of the conversation
    {"type":"turn_started","turn_id":"…"}
    {"type":"tool_started","call_id":"…"}                      on disk before a tool with side effects starts
    {"type":"sample_finished","usage":{…}}                     after the items of a response: what the provider counted
    {"type":"turn_finished","turn_id":"…","stop_reason":"…","usage":{…}}
    {"type":"rollback","turns":1}                              the last user turn no longer belongs to the conversation
    {"type":"compaction","replaced":40,"last":"…","items":[…]} the first 40 items, of which the last is named, are now
                                                               stood for by these: ids of items above, or whole ones

A line is complete or it is not there: a record is one `write` of a whole line, and a last line without its newline, or
one that does not parse, is what a crash leaves behind. It is moved to `<file>.torn` and reported, never guessed at.
A line that does not parse in the middle of a file is damage of another kind: SessionError, nothing is touched.
Records are handed on one by one as they are read: opening holds the longest line, not the file.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BufferedReader, FileIO
from itertools import chain
from pathlib import Path
from typing import TypeAlias, cast

from ..errors import SessionError
from ..items import JsonObject, JsonValue

__all__ = ["VERSION", "Journal", "TakeRecord"]

VERSION = 1
READ_BYTES = 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024

TakeRecord: TypeAlias = Callable[[JsonObject, int], None]
"""Told each record of a journal, the header first, with its line number from 1. What it raises ends the reading."""


class Journal:
    """An open journal file, locked against a second writer. `torn`: its end had been cut off and was set aside.

    Raises SessionError for a missing, foreign, damaged, newer or locked file. Close it to release the lock.
    """

    __slots__ = ("_file", "_size", "path", "torn")

    def __init__(self, path: Path, file: FileIO, *, torn: bool = False) -> None:
        self.path = path
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        self.torn = torn

    @classmethod
    def create(cls, path: Path, header: Mapping[str, JsonValue]) -> Journal:
        """A new file; its folder is made. An existing file is refused: sessions are resumed, not overwritten."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            raise SessionError(f"{str(path)!r} exists already", remedy="resume it, or choose another file") from None
        except (OSError, ValueError) as error:
            raise _unusable(path, error) from error
        journal = cls(path, _locked(FileIO(fd, "ab"), path))
        journal.write({"v": VERSION, "type": "session", **header})
        return journal

    @classmethod
    def open(cls, path: Path, take: TakeRecord) -> Journal:
        """An existing file; `take` is told every record in it, then the torn tail (if any) is set aside."""
        try:
            file = _locked(_regular(FileIO(os.open(path, os.O_RDWR | os.O_APPEND), "r+"), path), path)
        except FileNotFoundError:
            raise SessionError(f"there is no session file {str(path)!r}", remedy="check the path") from None
        except (OSError, ValueError) as error:
            raise _unusable(path, error) from error
        try:
            torn = _set_aside(path, file, _read(path, file, take))
        except OSError as error:
            file.close()
            raise _unusable(path, error) from error
        except BaseException:
            file.close()
            raise
        return cls(path, file, torn=torn)

    def write(self, record: Mapping[str, JsonValue]) -> None:
        """One record, handed to the operating system before this returns (it survives the process, not the power)."""
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        view = memoryview(line)
        try:
            while view:
                view = view[self._file.write(view) :]
        except (OSError, ValueError) as error:
            # Half a line followed by a later record would be damage; cut back to what was whole.
            with suppress(OSError, ValueError):
                self._file.truncate(self._size)
            raise _unusable(self.path, error) from error
        self._size += len(line)

    def sync(self) -> None:
        """Down to the disk: survives a power failure too. Called at the end of a turn."""
        try:
            os.fsync(self._file.fileno())
        except (OSError, ValueError) as error:
            raise _unusable(self.path, error) from error

    def close(self) -> None:
        self._file.close()


def _read(path: Path, file: FileIO, take: TakeRecord) -> int:
    """Hands on every record; how many bytes of the file they take."""
    number = good = 0
    reader = BufferedReader(file, READ_BYTES)
    head = reader.readline(MAX_HEADER_BYTES)
    if len(head) == MAX_HEADER_BYTES:  # a file of another kind may be one line without end
        _check_header(path, {})
    for line in chain([head] if head else [], reader):
        record = _record(line) if line.endswith(b"\n") else None
        if record is None:
            if any(rest.strip() for rest in reader):
                raise SessionError(
                    f"line {number + 1} of {str(path)!r} is not a session record",
                    remedy="the file is damaged or is no session; nothing was changed",
                )
            break
        number += 1
        if number == 1:
            _check_header(path, record)
        take(record, number)
        good += len(line)
    if not number:
        _check_header(path, {})
    reader.detach()
    return good


def _record(line: bytes) -> JsonObject | None:
    from pydantic_core import from_json

    try:
        value: object = from_json(line)
    except ValueError:
        try:
            value = json.loads(line)  # slower, and knows what the other refuses: lone surrogates written as escapes
        except ValueError:
            return None
    return cast(JsonObject, value) if isinstance(value, dict) and "type" in value else None


def _check_header(path: Path, head: JsonObject) -> None:
    version = head.get("v")
    if head.get("type") != "session" or not isinstance(version, int):
        raise SessionError(f"{str(path)!r} is not a session file", remedy="resume a file made by Session.create")
    if version > VERSION:
        raise SessionError(
            f"{str(path)!r} was written by a newer version (format {version}, this one reads {VERSION})",
            remedy="upgrade agent-core",
        )


def _set_aside(path: Path, file: FileIO, good: int) -> bool:
    """Move what follows the last whole record to `<file>.torn`; True if there was anything."""
    file.seek(good)
    tail: bytes = file.read()
    if not tail:
        return False
    # As private as the session itself: it holds the same conversation.
    fd = os.open(path.with_name(path.name + ".torn"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(fd, "ab") as aside:
        aside.write(tail + b"\n")
    file.truncate(good)
    file.seek(0, os.SEEK_END)
    return True


def _regular(file: FileIO, path: Path) -> FileIO:
    """The file, if it has an end to be read to: a device or a pipe is refused, and closed."""
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise SessionError(f"{str(path)!r} is not a regular file", remedy="name a session file")


def _locked(file: FileIO, path: Path) -> FileIO:
    """The file, locked for as long as it is open. Without fcntl (Windows) there is no lock."""
    try:
        import fcntl
    except ImportError:
        return file
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise SessionError(
            f"{str(path)!r} is open in another process or session", remedy="close it there, or use another file"
        ) from None
    return file


def _unusable(path: Path, error: Exception) -> SessionError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SessionError(f"cannot use session file {str(path)!r}: {reason}")
