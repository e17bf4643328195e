"""Files to disk: all of a set of changes or none, and the last sets taken back.

    stage (new files and backups beside the old) → rename → clean up

Up to the first rename nothing visible has changed. Renames are atomic one by one: a crash between two of them leaves
every single file old or new, and beside them hidden files whose names end in `.agent-core`; the next who writes in that
directory finishes it (write_journal). A failure between two renames puts back what was renamed. Blocking: tools call it
in a worker thread.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import PatchError
from .file_changes import FileChange
from .write_journal import LEFTOVER, StagedFile, WriteJournal, WriteRecord, digest_of, sync_folder

__all__ = ["FileHistory", "check_writable", "read_for_change", "write_changes"]

MAX_FILE_BYTES = 16 * 1024 * 1024
"""Larger files are no source text; planning holds a file in memory several times."""
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_Fingerprint = tuple[int, int, int, int]


def read_for_change(path: Path) -> tuple[bytes | None, os.stat_result | None]:
    """A file's bytes and what it was like when they were read; (None, None) if there is none. Raises PatchError for
    what is no file that can be changed."""
    try:
        status = path.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            raise PatchError(f"{path.name!r} is a directory", remedy="name a file")
        if not stat.S_ISREG(status.st_mode):
            raise PatchError(f"{path.name!r} is not a regular file", remedy="name a text file")
        if status.st_size > MAX_FILE_BYTES:
            raise PatchError(f"{path.name!r} has {status.st_size} bytes, more than {MAX_FILE_BYTES}")
        return path.read_bytes(), status
    except FileNotFoundError:
        return None, None
    except OSError as error:
        raise PatchError(f"cannot read {path.name!r}: {error.strerror}", remedy="check the path") from None


def check_writable(change: FileChange, status: os.stat_result | None) -> None:
    """Raises PatchError for a new text of a file that `status` says is read-only."""
    # Renaming over it would work. Somebody took the right to write away, and opening it to write would not.
    if status is not None and change.after is not None and not status.st_mode & _WRITABLE:
        raise PatchError(f"{change.path!r} is read-only", remedy="make it writable first, if it is to be changed")


@dataclass(slots=True)
class _Write:
    """All files of one patch on their way to disk, each with its change and the names of what is made beside it."""

    changes: Sequence[FileChange]
    files: list[StagedFile]
    folders: list[Path]
    renamed: list[StagedFile] = field(default_factory=list[StagedFile])
    stranded: set[str] = field(default_factory=set[str])

    def stage(self, seen: Mapping[str, os.stat_result], like: Mapping[str, os.stat_result]) -> None:
        for folder in self.folders:
            folder.mkdir(exist_ok=True)
        for change, file in zip(self.changes, self.files, strict=True):
            if file.backup is not None:
                _back_up(file.target, file.backup)
            if change.after is not None and file.new is not None:
                status = like.get(change.location) or seen.get(change.moved_from or "") or seen.get(change.location)
                _write_new(file.new, change.after, status)
        for parent in {Path(file.target).parent for file in self.files}:
            sync_folder(parent)

    def commit(self) -> None:
        for file in self.files:
            if file.new is None:
                Path(file.target).unlink(missing_ok=True)
            elif file.backup is None and os.path.lexists(file.target):
                name = Path(file.target).name
                raise PatchError(f"{name!r} appeared while the patch was written", remedy="read it first")
            else:
                os.replace(file.new, file.target)
            self.renamed.append(file)

    def roll_back(self) -> str:
        """Puts back what was renamed. Returns what could not be, as words for the error; its backup stays."""
        words: list[str] = []
        for file in reversed(self.renamed):
            try:
                if file.backup is not None:
                    os.replace(file.backup, file.target)
                else:
                    Path(file.target).unlink(missing_ok=True)
            except OSError:
                words.append(f"{Path(file.target).name!r} (its old text is in {file.backup})")
                self.stranded.add(file.target)
        return " and could not restore " + ", ".join(words) if words else ""

    def clean_up(self, record: WriteRecord | None, *, failed: bool) -> None:
        """Removes what was made beside the files. What cannot be removed or put back stays on record."""
        through = not self.stranded
        for file in self.files:
            for leftover in (file.new, file.backup if file.target not in self.stranded else None):
                if leftover is not None:
                    try:
                        Path(leftover).unlink(missing_ok=True)
                    except OSError:  # a stray hidden file is no reason to report a failure
                        through = False
        if failed:
            for folder in reversed(self.folders):
                try:
                    folder.rmdir()
                except OSError as error:  # somebody else put a file there
                    through = through and error.errno in (errno.ENOTEMPTY, errno.ENOENT)
        if record is not None and through:
            record.done()


def _planned(changes: Sequence[FileChange], seen: Mapping[str, os.stat_result]) -> _Write:
    """What will be made, and under which names. Raises PatchError if a file is not what it was when it was read."""
    token = os.urandom(4).hex()
    files: list[StagedFile] = []
    folders: dict[Path, None] = {}
    for number, change in enumerate(changes):
        target = Path(change.location)
        status = seen.get(change.location)
        if status is not None:
            _check_unchanged(target, change.path, status)
        beside = f".{os.fsencode(target.name)[:100].decode('utf-8', 'ignore')}.{token}{number}"
        files.append(
            StagedFile(
                change.location,
                new=None if change.after is None else str(target.with_name(f"{beside}{LEFTOVER}")),
                backup=None if status is None else str(target.with_name(f"{beside}.old{LEFTOVER}")),
                was=digest_of(change.before),
                becomes=digest_of(change.after),
            )
        )
        missing: list[Path] = []
        folder = target.parent
        while change.after is not None and not folder.exists():
            missing.append(folder)
            folder = folder.parent
        folders |= dict.fromkeys(reversed(missing))
    return _Write(changes, files, list(folders))


def write_changes(
    changes: Sequence[FileChange],
    seen: Mapping[str, os.stat_result],
    *,
    like: Mapping[str, os.stat_result] | None = None,
    record: WriteRecord | None = None,
) -> None:
    """Writes all changes or none. Raises PatchError for any failure of the disk, after undoing what was done.

    `seen`: what each existing file was like when it was read, by location; one that is not like that any more is not
    written over. `like`: whose mode and owner a new text gets, if not those of the file it replaces or was moved from.
    `record`: makes it all or none through a crash, too.
    """
    write = _Write(changes, [], [])
    try:
        write = _planned(changes, seen)
        if record is not None:
            record.begin(write.files, map(str, write.folders))
        write.stage(seen, like or {})
        if record is not None:
            record.ready()
        write.commit()
    except BaseException as error:
        if record is not None:
            with suppress(OSError):
                record.undoing()
        stranded = write.roll_back()
        write.clean_up(record, failed=True)
        if not isinstance(error, OSError):
            raise
        name = Path(str(error.filename)).name if error.filename else "a file"
        raise PatchError(
            f"cannot write {name!r}: {error.strerror}{stranded}", remedy="check permissions and free space"
        ) from error
    for folder in {Path(change.location).parent for change in changes}:
        sync_folder(folder)
    write.clean_up(record, failed=False)


def _check_unchanged(target: Path, path: str, seen: os.stat_result) -> None:
    now = target.stat(follow_symlinks=False)
    if _fingerprint(now) != _fingerprint(seen):
        raise PatchError(f"{path!r} changed while the patch was planned", remedy="read it again and send a new patch")


def _fingerprint(status: os.stat_result) -> _Fingerprint:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _back_up(target: str, backup: str) -> None:
    """A second name for the file as it is: a hard link, or a copy where the file system has none."""
    try:
        os.link(target, backup, follow_symlinks=False)
    except (OSError, NotImplementedError):
        import shutil

        shutil.copy2(target, backup, follow_symlinks=False)


def _write_new(path: str, content: bytes, like: os.stat_result | None) -> None:
    """A finished file, on disk, with the mode (and, if we may, the owner) of `like`."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        if like is not None:
            with suppress(OSError):  # only root may give files away
                os.fchown(file.fileno(), like.st_uid, like.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode) if like is not None else 0o666 & ~_umask())
        file.flush()
        os.fsync(file.fileno())


def _umask() -> int:
    """The process's umask. Read from /proc where it is: setting it to read it would show in other threads."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# --- taking back -----------------------------------------------------------------------------------------------------


class FileHistory:
    """The last sets of changes that were written, so that they can be taken back, the newest first.

    Holds the texts of the files in memory: at most `max_sets` sets and `max_bytes` bytes, the oldest go first. One set
    is taken back whole or not at all, and only while its files are as it left them; folders made for it stay. Not for
    several threads at a time. `journal`: makes each set one through a crash, too; the sets themselves are not kept.
    """

    __slots__ = ("_bytes", "_max_bytes", "_max_sets", "_sets", "journal")

    def __init__(
        self, *, max_sets: int = 20, max_bytes: int = 32 * 1024 * 1024, journal: WriteJournal | None = None
    ) -> None:
        self.journal = WriteJournal() if journal is None else journal
        self._max_sets = max_sets
        self._max_bytes = max_bytes
        self._bytes = 0
        self._sets: deque[_Set] = deque()

    def __len__(self) -> int:
        return len(self._sets)

    @property
    def last(self) -> tuple[FileChange, ...]:
        """What `undo` would take back; empty if there is nothing."""
        return self._sets[-1].changes if self._sets else ()

    def record(self, changes: Sequence[FileChange], seen: Mapping[str, os.stat_result]) -> None:
        """Remember changes that were just written. `seen` as for `write_changes`."""
        kept = _Set(tuple(changes), dict(seen))
        self._sets.append(kept)
        self._bytes += kept.size
        while self._sets and (len(self._sets) > self._max_sets or self._bytes > self._max_bytes):
            self._bytes -= self._sets.popleft().size

    def undo(self, cwd: Path | None = None) -> tuple[FileChange, ...]:
        """Takes back the newest set; what that changed. Blocking. Raises PatchError, and then no file has changed.
        `cwd`: where the tools work, for the journal; by default the current directory."""
        with self.journal.writing(cwd or Path.cwd()) as record:
            return self._undo(record)

    def _undo(self, record: WriteRecord | None) -> tuple[FileChange, ...]:
        if not self._sets:
            raise PatchError("there is no change to take back", remedy="change the files with a patch")
        newest = self._sets[-1]
        changes: list[FileChange] = []
        now: dict[str, os.stat_result] = {}
        for change in newest.changes:
            content, status = read_for_change(Path(change.location))
            if content != change.after:
                raise PatchError(f"{change.path!r} has changed since", remedy="change it by a patch instead")
            if status is not None:
                now[change.location] = status
            changes.append(FileChange(change.path, change.location, before=change.after, after=change.before))
        write_changes(changes, now, like=newest.seen, record=record)
        self._bytes -= self._sets.pop().size
        return tuple(changes)


@dataclass(frozen=True, slots=True)
class _Set:
    changes: tuple[FileChange, ...]
    seen: dict[str, os.stat_result]

    @property
    def size(self) -> int:
        return sum(len(change.before or b"") + len(change.after or b"") for change in self.changes)
