"""Several files as one, also through a crash: what is about to be written is on record until it is.

    KEY.staging     new texts and backups are being made; nothing visible has changed   a crash: they are removed
    KEY.ready       all of them are on disk; files are being renamed                    a crash: the rest is renamed
    KEY.undoing     a rename failed; those before it are being taken back               a crash: the rest is taken back

One record a directory that tools work in, in a folder of the user's own: what is found in a project, or was written
there by a command, must not say which files are replaced. A state changes by renaming the record, which needs no room.
Who writes holds a lock that dies with the process, so a record without a lock is one that a crash has left; the next
who writes there settles it first. Settling touches only files that still are as the record says: as they were, or as
they were to be. Where one is neither, somebody has changed it since, and every file is left as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from ..errors import PatchError
from ..logs import writes_settled
from ..state_folder import state_folder

__all__ = [
    "JOURNAL_VARIABLE",
    "JournalingTool",
    "Settled",
    "StagedFile",
    "WriteJournal",
    "WriteRecord",
    "settle_writes",
]

JOURNAL_VARIABLE = "AGENT_CORE_WRITES"
WAIT_S = 10.0
"""Writing takes milliseconds; who waits longer for another process to be through with it waits in vain."""
_POLL_S = 0.01
LEFTOVER = ".agent-core"
"""How names end of what is made beside files while they are written."""

Settled = Literal["dropped", "finished", "undone", "left"]
"""What became of a write that was interrupted: as if it had never begun; done; taken back; or, since somebody has
changed the files meanwhile, nothing more."""


@dataclass(frozen=True, slots=True)
class StagedFile:
    """One file of a write. `new`: what is to take its place (None: it goes away); `backup`: what brings the old text
    back; `was` and `becomes`: digests of both texts (None: no file)."""

    target: str
    new: str | None
    backup: str | None
    was: str | None
    becomes: str | None


@dataclass(frozen=True, slots=True)
class _Record:
    files: tuple[StagedFile, ...]
    folders: tuple[str, ...]


def digest_of(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def _digest(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # a folder, or one that may not be read: neither of both texts
        return f"errno {error.errno}"


class WriteJournal:
    """The records in one folder. By default that of the environment's AGENT_CORE_WRITES, else `writes` in the state
    folder of the user. Where it cannot be used (no home, read-only, full, or below the directory that is written in,
    where commands may write, too) files are written without a record: each one whole, but after a crash between two of
    them some are old and some new."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self._folder = _default_folder() if folder is None else Path(folder)

    @contextmanager
    def writing(self, cwd: Path) -> Generator[WriteRecord | None]:
        """Alone in `cwd` and with a record, after settling what a crash left there. Blocking. Raises PatchError while
        somebody else writes there for long."""
        place = self._place(cwd)
        lock = None if place is None else _lock(place.with_suffix(".lock"))
        if place is None or lock is None:
            yield None
            return
        try:
            _settle(place)
            yield WriteRecord(place)
        finally:
            with suppress(OSError):
                place.with_suffix(".lock").unlink()
            os.close(lock)

    def is_settled(self, cwd: Path) -> bool:
        """Whether nobody writes there and no crash has left anything."""
        place = self._place(cwd)
        return place is None or not any(place.with_suffix(f".{state}").exists() for state in _STATES)

    def settle(self, cwd: Path) -> None:
        """Settle what a crash left there, if anything. Blocking. Raises PatchError as `writing` does."""
        if not self.is_settled(cwd):
            with self.writing(cwd):
                pass

    def _place(self, cwd: Path) -> Path | None:
        work = cwd.resolve()
        if self._folder is None or self._folder.resolve().is_relative_to(work):
            return None
        return self._folder / hashlib.sha256(os.fsencode(work)).hexdigest()[:32]


_STATES = ("staging", "ready", "undoing")


class WriteRecord:
    """The record of one write, in the order: begin, ready, (undoing,) done."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._state = ""

    def begin(self, files: Sequence[StagedFile], folders: Iterable[str]) -> None:
        """Say what will be made, before any of it is. Without room for it there is no record."""
        record = asdict(_Record(tuple(files), tuple(folders)))
        draft = self._place.with_suffix(".draft")
        try:
            with draft.open("w", encoding="ascii") as file:
                json.dump(record, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._place.with_suffix(".staging"))
            sync_folder(self._place.parent)
        except OSError:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            return
        self._state = "staging"

    def ready(self) -> None:
        """All new texts and backups are on disk: from here on the write will be finished, also after a crash."""
        self._go_to("ready")

    def undoing(self) -> None:
        """It will be taken back, also after a crash."""
        self._go_to("undoing")

    def done(self) -> None:
        """Every file is as it is to be, and what was made for it is gone."""
        if self._state:
            with suppress(OSError):  # it will be settled once more: all is as it says
                self._place.with_suffix(f".{self._state}").unlink()
            self._state = ""

    def _go_to(self, state: str) -> None:
        if self._state:
            self._place.with_suffix(f".{self._state}").replace(self._place.with_suffix(f".{state}"))
            sync_folder(self._place.parent)
            self._state = state


def sync_folder(folder: Path) -> None:
    """What was renamed in a folder survives a power failure from here on."""
    with suppress(OSError):  # not every file system lets a folder be synced; the renames stand
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _default_folder() -> Path | None:
    named = os.environ.get(JOURNAL_VARIABLE, "").strip()
    if named:
        return Path(named)
    try:
        return state_folder() / "writes"
    except RuntimeError:  # no home
        return None


def _lock(path: Path) -> int | None:
    """A handle that holds the lock; None where there can be none."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    gives_up = time.monotonic() + WAIT_S
    while True:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except FileNotFoundError:  # who held it has removed it
            pass
        except BlockingIOError:
            if time.monotonic() > gives_up:
                os.close(handle)
                raise PatchError("another run is writing files here", remedy="try again when it is through") from None
            time.sleep(_POLL_S)
        except OSError:
            os.close(handle)
            return None
        os.close(handle)


# --- settling --------------------------------------------------------------------------------------------------------


def _settle(place: Path) -> None:
    for state in _STATES:
        path = place.with_suffix(f".{state}")
        record = _read(path)
        if record is not None:
            settled, whole = _settled(state, record)
            made = [name for file in record.files for name in (file.new, file.backup) if name is not None]
            for leftover in made if whole else ():
                with suppress(OSError):
                    os.unlink(leftover)
            for folder in reversed(record.folders) if settled in ("dropped", "undone") else ():
                with suppress(OSError):  # somebody put a file there
                    os.rmdir(folder)
            for parent in {Path(file.target).parent for file in record.files}:
                sync_folder(parent)
            writes_settled(settled, len(record.files))
        with suppress(OSError):
            path.unlink()
    with suppress(OSError):
        place.with_suffix(".draft").unlink()


def _read(path: Path) -> _Record | None:
    """A record as it was written; None for none, and for one that is not ours: of ours every byte is on disk."""
    from msgspec import ValidationError, convert

    try:
        record = convert(json.loads(path.read_bytes()), _Record)
    except (OSError, ValueError, ValidationError):
        return None
    for file in record.files:
        for made in (file.new, file.backup):
            if made is not None and not _is_ours(made, file.target):
                return None
    return record


def _is_ours(made: str, target: str) -> bool:
    """What is made for a file lies beside it and is called as we call such."""
    return os.path.dirname(made) == os.path.dirname(target) and made.endswith(LEFTOVER)


def _settled(state: str, record: _Record) -> tuple[Settled, bool]:
    """What became of it, and whether what was made for it may go."""
    if state == "staging":
        return "dropped", True
    settled: Settled = "finished"
    files = record.files
    if state == "undoing":
        settled = "undone"
        files = tuple(StagedFile(f.target, f.backup, f.new, f.becomes, f.was) for f in reversed(files))
    ahead = [file for file in files if _digest(file.target) != file.becomes]
    if not all(_digest(file.target) == file.was and _has_source(file) for file in ahead):
        return "left", True
    try:
        for file in ahead:
            if file.new is None or file.becomes is None:
                os.unlink(file.target)
            else:
                os.replace(file.new, file.target)
    except OSError:  # it may be mended by hand: the texts are beside the files
        return "left", False
    return settled, True


def _has_source(file: StagedFile) -> bool:
    return file.becomes is None or (file.new is not None and _digest(file.new) == file.becomes)


@runtime_checkable
class JournalingTool(Protocol):
    """A tool, too, that writes files with a journal."""

    @property
    def journal(self) -> WriteJournal: ...


async def settle_writes(tools: Iterable[object], cwd: Path) -> None:
    """Before anybody looks: settle what a crash of an earlier process left in `cwd`, if anything."""
    from anyio import to_thread

    for tool in tools:
        if isinstance(tool, JournalingTool) and not tool.journal.is_settled(cwd):
            with suppress(PatchError):  # another run is writing there, and settles it
                await to_thread.run_sync(tool.journal.settle, cwd)
