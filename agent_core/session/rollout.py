"""The journal: one append-only JSONL file per session, one record per line.

    type              members                                           meaning
    session           v, id, created, labels?, forked_from?, model?,    always the first
                      parent?, parent_call?
    item              item, redacted?                                   an item of the conversation
    turn_started      turn_id, model, at
    tool_started      call_id, item_id                                  written before a tool with side effects starts
    sample_finished   usage                                             after the items of a response: what was counted
    spent             usage                                             counted beside responses: broken ones, summaries
    turn_finished     turn_id, stop_reason, usage, at, totals           totals: turns, items, model, usage until then
    totals            totals                                            the same, at the end of a fork
    rollback          turns, items?                                     the last user turns no longer belong to it
    compaction        kind, replaced, last, items                       the first items (`last` is their last) are stood
                                                                        for by these: ids, or whole items
    uncompaction                                                        the newest compaction no longer counts
    approval_rule     rule                                              what need not be asked about again
    approval_rule_revoked  rule                                         is asked about again
    lost              bytes, lines?                                     something stood here that could not be read

Every line also has `n` and `crc`, some have `more` (lines.py). A type that a reader does not know annotates and is
skipped. What is written is handed to the operating system before `write` returns: it survives the end of the process.
`fsync` says when it also survives a power failure: at the end of each turn, with each write, or when the system likes.

A failing write leaves the file as it was before; where it cannot even be cut back, nothing is written after the half
line. After a failing fsync nobody knows what the disk holds (the kernel forgets what it could not write): the journal
takes nothing more, and the file has to be opened anew.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from ..errors import ConfigError, SessionError
from ..items import JsonObject
from .lines import Record, write_line
from .reading import READ_BYTES, VERSION, Extent, TakeRecord, read_records

__all__ = ["Fsync", "Journal", "TORN_SUFFIX", "open_locked", "open_to_read", "read_only", "sync_folder", "unusable"]

Fsync: TypeAlias = Literal["turn", "item", "never"]
TORN_SUFFIX = ".torn"

_REMEDIES: Mapping[int, str] = {
    errno.ENOSPC: "free space on its disk and go on; what was recorded is kept",
    errno.EDQUOT: "free space within your quota and go on; what was recorded is kept",
    errno.EFBIG: "the file may not grow further: go on in another with fork()",
    errno.EROFS: "make its disk writable, or go on in another place with fork()",
    errno.EACCES: "make it readable and writable for this user, or use another file",
    errno.EPERM: "make it readable and writable for this user, or use another file",
    errno.EIO: "check the disk; copy the file before anything else",
    errno.EISDIR: "name a file",
    errno.ENAMETOOLONG: "use a shorter name",
}


class Journal:
    """An open journal file, locked against a second writer; `torn` is how many bytes of its end were set aside.

    Raises SessionError for a missing, foreign, damaged, newer or locked file. Close it to release the lock.
    """

    __slots__ = ("_broken", "_draft", "_file", "_fsync", "_half", "_lines", "_new", "_owner", "_size", "path", "torn")

    def __init__(self, path: Path, file: FileIO, extent: Extent, fsync: Fsync, *, draft: Path | None = None) -> None:
        self.path = path
        self.torn = extent.torn
        self._file = file
        self._lines = extent.lines
        self._size = extent.size
        self._fsync = fsync
        self._draft = draft
        self._new = draft is not None
        self._half = False
        self._broken = False
        self._owner = os.getpid()

    @classmethod
    def create(cls, path: Path, header: Record, *, fsync: Fsync = "turn") -> Journal:
        """A new file; its folder is made. An existing file is refused: sessions are resumed, not overwritten.

        It appears under its name with its header in it, or not at all.
        """
        journal = cls.draft(path, header, fsync=fsync)
        journal.publish()
        return journal

    @classmethod
    def draft(cls, path: Path, header: Record, *, fsync: Fsync = "turn") -> Journal:
        """A new file that gets its name with `publish`; `discard` it otherwise."""
        _check_fsync(fsync)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(path):
                raise FileExistsError
            draft = path.with_name(f".{path.name[:200]}.{os.urandom(4).hex()}.new")
            fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            raise _exists(path) from None
        except (OSError, ValueError) as error:
            raise unusable(path, error) from error
        journal = cls(path, _locked(FileIO(fd, "ab"), path), Extent(0, 0, 0), fsync, draft=draft)
        try:
            journal.write({"v": VERSION, "type": "session", **header})
        except BaseException:
            journal.discard()
            raise
        return journal

    def publish(self) -> None:
        """Give a draft its name. Raises SessionError, and removes it, where the name has been taken meanwhile."""
        draft, self._draft = self._draft, None
        if draft is None:
            return
        try:
            _name_draft(draft, self.path)
        except OSError as error:
            self._draft = draft
            self.discard()
            raise (_exists(self.path) if isinstance(error, FileExistsError) else unusable(self.path, error)) from None
        if self._fsync == "item":
            self.sync()

    def discard(self) -> None:
        """Close, and remove a draft that was not published."""
        self._file.close()
        if self._draft is not None:
            with suppress(OSError):
                self._draft.unlink()

    @classmethod
    def open(cls, path: Path, take: TakeRecord, *, fsync: Fsync = "turn") -> Journal:
        """An existing file; `take` is told every record. A torn tail is set aside: a `lost` record stands for it."""
        _check_fsync(fsync)
        file = open_locked(path)
        try:
            extent = read_records(path, file, take)
            if extent.torn:
                extent = _set_aside(path, file, extent, take, sync=fsync != "never")
        except OSError as error:
            file.close()
            raise unusable(path, error) from error
        except BaseException:
            file.close()
            raise
        return cls(path, file, extent, fsync)

    def write(self, *records: Record) -> None:
        """Records in one write, all of them or none, handed to the operating system before this returns."""
        self._check_usable()
        last = len(records) - 1
        data = b"".join(write_line(record, self._lines + n + 1, more=n < last) for n, record in enumerate(records))
        view = memoryview(data)
        try:
            if self._half:
                self._cut_back()
            while view:
                view = view[self._file.write(view) :]
        except BaseException as error:
            # Half a line followed by a later record would be damage; cut back to what was whole, now or next time.
            self._half = True
            with suppress(OSError, ValueError):
                self._cut_back()
            if isinstance(error, OSError | ValueError):
                raise unusable(self.path, error) from error
            raise
        self._size += len(data)
        self._lines += len(records)
        if self._fsync == "item" and self._draft is None:
            self.sync()

    def end_turn(self) -> None:
        """Down to the disk, if that is asked for at the end of a turn. Raises SessionError if the file was removed."""
        self.check_place()
        if self._fsync == "turn":
            self.sync()

    def check_place(self) -> None:
        """Raises SessionError where the file has been removed or replaced: what is written would be gone with it."""
        if not self._file.closed and os.fstat(self._file.fileno()).st_nlink == 0:
            raise SessionError(
                f"{str(self.path)!r} was removed while this session was open",
                remedy="fork(path) keeps the conversation in another file",
            )

    def sync(self) -> None:
        """Down to the disk: survives a power failure too."""
        self._check_usable()
        try:
            os.fsync(self._file.fileno())
            if self._new:
                sync_folder(self.path.parent)
                self._new = False
        except (OSError, ValueError) as error:
            self._broken = True
            raise unusable(self.path, error) from error

    def close(self) -> None:
        try:
            if self._owner == os.getpid():
                _unlock(self._file)
            self._file.close()
        except OSError as error:
            raise unusable(self.path, error) from error

    def _cut_back(self) -> None:
        self._file.truncate(self._size)
        self._half = False

    def _check_usable(self) -> None:
        if self._broken:
            raise SessionError(
                f"the disk failed to keep {str(self.path)!r}: what it holds is not known",
                remedy="check the disk, then resume the file, or fork(path) what is in memory",
            )
        if self._owner != os.getpid():
            raise SessionError(
                f"{str(self.path)!r} belongs to the process that opened it, not to a fork of it",
                remedy="open sessions in the process that uses them",
            )


def read_only(path: Path, take: TakeRecord) -> Extent:
    """Tell `take` every whole record, also of a file that another process writes to. Locks and changes nothing."""
    try:
        with open_to_read(path) as file:
            return read_records(path, file, take)
    except OSError as error:
        raise unusable(path, error) from error


def open_to_read(path: Path) -> FileIO:
    """A session's file, to read alone: not locked, and perhaps written to meanwhile. Raises SessionError."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # opening a pipe must not wait for its writer
    try:
        return _regular(FileIO(os.open(path, flags), "rb"), path)
    except FileNotFoundError:
        raise SessionError(f"there is no session file {str(path)!r}", remedy="check the path") from None
    except (OSError, ValueError) as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: Exception) -> SessionError:
    """What a failing system call on a session file is to its user."""
    number = error.errno if isinstance(error, OSError) else None
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SessionError(
        f"cannot use session file {str(path)!r}: {reason}",
        remedy=_REMEDIES.get(number or 0, "check the path, the disk and its permissions"),
    )


def _exists(path: Path) -> SessionError:
    return SessionError(f"{str(path)!r} exists already", remedy="resume it, or choose another file")


def _check_fsync(fsync: str) -> None:
    if fsync not in get_args(Fsync):
        raise ConfigError(f"fsync must be one of {', '.join(get_args(Fsync))}, got {fsync!r}")


def _name_draft(draft: Path, path: Path) -> None:
    """Raises FileExistsError where the name is taken, also if it was taken a moment ago."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        draft.replace(path)
    else:
        draft.unlink()


def open_locked(path: Path) -> FileIO:
    """A session's file, to read and append, locked. Raises SessionError where that cannot be had."""
    try:
        return _opened(path)
    except FileNotFoundError:
        raise SessionError(f"there is no session file {str(path)!r}", remedy="check the path") from None
    except (OSError, ValueError) as error:
        raise unusable(path, error) from error


def _opened(path: Path) -> FileIO:
    """The file under this name. It may have been replaced (by a repair) or removed until the lock was there."""
    while True:
        file = _locked(_regular(FileIO(os.open(path, os.O_RDWR | os.O_APPEND), "r+"), path), path)
        try:
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _set_aside(path: Path, file: FileIO, extent: Extent, take: TakeRecord, *, sync: bool) -> Extent:
    """Move what follows the last whole record to `<file>.torn`, and put a `lost` record in its place."""
    # As private as the session itself: it holds the same conversation.
    fd = os.open(path.with_name(path.name + TORN_SUFFIX), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(fd, "ab") as aside:
        file.seek(extent.size)
        shutil.copyfileobj(file, aside, READ_BYTES)
        aside.write(b"\n")
        aside.flush()
        if sync:
            os.fsync(aside.fileno())
    lost: JsonObject = {"type": "lost", "bytes": extent.torn}
    line = write_line(lost, extent.lines + 1)
    with path.open("r+b", buffering=0) as over:  # `file` can only append
        over.seek(extent.size)
        if over.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        over.truncate(extent.size + len(line))
    take(lost, extent.lines + 1)
    return Extent(extent.lines + 1, extent.size + len(line), extent.torn)


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
    except OSError as error:
        file.close()
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise  # a file system that knows no locks
        raise SessionError(
            f"{str(path)!r} is open in another process or session", remedy="close it there, or use another file"
        ) from None
    return file


def _unlock(file: FileIO) -> None:
    """Closing alone would not do while a process that was forked meanwhile still has the file."""
    if file.closed:
        return
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(file.fileno(), fcntl.LOCK_UN)


def sync_folder(folder: Path) -> None:
    """A new file's name lives in its folder. Where folders cannot be opened (Windows) they need no syncing."""
    if os.name != "posix":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
