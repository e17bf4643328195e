"""Files to disk: all of a set of changes or none, and the last sets taken back.

    stage (new files and backups beside the old) → rename → clean up

Up to the first rename nothing visible has changed. Renames are atomic one by one: a crash between two of them leaves
every single file old or new, and backups named `.NAME.XXXX.agent-core` beside those already renamed. A failure between
two renames puts back what was renamed. Blocking: tools call it in a worker thread.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import PatchError
from .file_changes import FileChange

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
class _Staged:
    """One file about to change: `new` replaces it (None: it goes away), `backup` brings it back (None: it was not)."""

    target: Path
    new: Path | None = None
    backup: Path | None = None


@dataclass(slots=True)
class _Write:
    """All files of one patch on their way to disk."""

    staged: list[_Staged] = field(default_factory=list[_Staged])
    renamed: list[_Staged] = field(default_factory=list[_Staged])
    folders: list[Path] = field(default_factory=list[Path])

    def stage(self, change: FileChange, seen: Mapping[str, os.stat_result], like: os.stat_result | None) -> None:
        target = Path(change.location)
        entry = _Staged(target)
        self.staged.append(entry)  # first, so that a failure below cleans up what it has
        status = seen.get(change.location)
        if status is not None:
            _check_unchanged(target, change.path, status)
            entry.backup = _backup(target)
        if change.after is not None:
            self._make_folders(target.parent)
            like = like or seen.get(change.moved_from or change.location, status)
            entry.new = _write_beside(target, change.after, like)

    def commit(self) -> None:
        for entry in self.staged:
            if entry.new is None:
                entry.target.unlink(missing_ok=True)
            elif entry.backup is None and os.path.lexists(entry.target):
                raise PatchError(f"{entry.target.name!r} appeared while the patch was written", remedy="read it first")
            else:
                os.replace(entry.new, entry.target)
                entry.new = None
            self.renamed.append(entry)

    def roll_back(self) -> str:
        """Puts back what was renamed. Returns what could not be, as words for the error; its backup stays."""
        stranded: list[str] = []
        for entry in reversed(self.renamed):
            try:
                if entry.backup is not None:
                    os.replace(entry.backup, entry.target)
                else:
                    entry.target.unlink(missing_ok=True)
            except OSError:
                stranded.append(f"{entry.target.name!r} (its old text is in {entry.backup})")
            entry.backup = None
        return " and could not restore " + ", ".join(stranded) if stranded else ""

    def clean_up(self, *, failed: bool) -> None:
        for entry in self.staged:
            for leftover in (entry.new, entry.backup):
                if leftover is not None:
                    with suppress(OSError):  # a stray hidden file is no reason to report a failure
                        leftover.unlink(missing_ok=True)
        if failed:
            for folder in reversed(self.folders):
                with suppress(OSError):  # somebody else put a file there
                    folder.rmdir()

    def _make_folders(self, folder: Path) -> None:
        missing: list[Path] = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            self.folders.append(path)


def write_changes(
    changes: Sequence[FileChange],
    seen: Mapping[str, os.stat_result],
    *,
    like: Mapping[str, os.stat_result] | None = None,
) -> None:
    """Writes all changes or none. Raises PatchError for any failure of the disk, after undoing what was done.

    `seen`: what each existing file was like when it was read, by location; one that is not like that any more is not
    written over. `like`: whose mode and owner a new text gets, if not those of the file it replaces or was moved from.
    """
    write = _Write()
    try:
        for change in changes:
            write.stage(change, seen, (like or {}).get(change.location))
        write.commit()
    except BaseException as error:
        stranded = write.roll_back()
        write.clean_up(failed=True)
        if not isinstance(error, OSError):
            raise
        name = Path(str(error.filename)).name if error.filename else "a file"
        raise PatchError(
            f"cannot write {name!r}: {error.strerror}{stranded}", remedy="check permissions and free space"
        ) from error
    write.clean_up(failed=False)
    for folder in {Path(change.location).parent for change in changes}:
        _sync_folder(folder)


def _check_unchanged(target: Path, path: str, seen: os.stat_result) -> None:
    now = target.stat(follow_symlinks=False)
    if _fingerprint(now) != _fingerprint(seen):
        raise PatchError(f"{path!r} changed while the patch was planned", remedy="read it again and send a new patch")


def _fingerprint(status: os.stat_result) -> _Fingerprint:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _backup(target: Path) -> Path:
    """A second name for the file as it is: a hard link, or a copy where the file system has none."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".agent-core", dir=target.parent)
    os.close(handle)
    backup = Path(name)
    try:
        backup.unlink()
        os.link(target, backup, follow_symlinks=False)
    except (OSError, NotImplementedError):
        import shutil

        shutil.copy2(target, backup, follow_symlinks=False)
    return backup


def _write_beside(target: Path, content: bytes, like: os.stat_result | None) -> Path:
    """A finished file next to the target, on disk, with the mode (and, if we may, the owner) of `like`."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".agent-core", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if like is not None:
                with suppress(OSError):  # only root may give files away
                    os.fchown(file.fileno(), like.st_uid, like.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode) if like is not None else 0o666 & ~_umask())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


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


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system lets a folder be synced; the renames stand
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# --- taking back -----------------------------------------------------------------------------------------------------


class FileHistory:
    """The last sets of changes that were written, so that they can be taken back, the newest first.

    Holds the texts of the files in memory: at most `max_sets` sets and `max_bytes` bytes, the oldest go first. One set
    is taken back whole or not at all, and only while its files are as it left them; folders made for it stay. Not for
    several threads at a time.
    """

    __slots__ = ("_bytes", "_max_bytes", "_max_sets", "_sets")

    def __init__(self, *, max_sets: int = 20, max_bytes: int = 32 * 1024 * 1024) -> None:
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

    def undo(self) -> tuple[FileChange, ...]:
        """Takes back the newest set; what that changed. Blocking. Raises PatchError, and then no file has changed."""
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
        write_changes(changes, now, like=newest.seen)
        self._bytes -= self._sets.pop().size
        return tuple(changes)


@dataclass(frozen=True, slots=True)
class _Set:
    changes: tuple[FileChange, ...]
    seen: dict[str, os.stat_result]

    @property
    def size(self) -> int:
        return sum(len(change.before or b"") + len(change.after or b"") for change in self.changes)
