"""A folder of sessions: made, found, listed, searched and pruned. Nothing is kept but the files; there is no index.

Names begin with the time a session was made, so a folder reads in order: `20260801T120000-ses_….jsonl`. A folder that
is made here belongs to its user alone. Files that are no sessions are never touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from ..errors import ConfigError, SessionError
from ..state_folder import state_folder
from .listing import SessionInfo, Spot, describe, find_text
from .records import new_session_id
from .redaction import DEFAULT_REDACTION, Redaction
from .repair import DAMAGED_SUFFIX
from .rollout import TORN_SUFFIX, Fsync, open_locked, unusable
from .store import Session

__all__ = ["SESSIONS_VARIABLE", "Pruned", "SessionFolder", "default_session_folder"]

SESSIONS_VARIABLE = "AGENT_CORE_SESSIONS"
_SUFFIX = ".jsonl"
_DRAFT_AGE = timedelta(days=1)


class Pruned(Struct, frozen=True):
    """What was removed (or would be), what was left because it is in use or may not be written, and the bytes freed."""

    removed: tuple[SessionInfo, ...] = ()
    left: tuple[SessionInfo, ...] = ()
    freed_bytes: int = 0


def default_session_folder(env: Mapping[str, str] = os.environ) -> Path:
    """Where sessions are kept by the platform's convention, or where AGENT_CORE_SESSIONS says. It is not made.

    Linux: `$XDG_STATE_HOME/agent-core/sessions`, by default below `~/.local/state`; macOS: below
    `~/Library/Application Support`; Windows: below `%LOCALAPPDATA%`. Raises ConfigError without a home.
    """
    named = env.get(SESSIONS_VARIABLE, "").strip()
    if named:
        return Path(named)
    try:
        return state_folder(env) / "sessions"
    except RuntimeError:
        raise ConfigError("there is no home for sessions", remedy=f"set {SESSIONS_VARIABLE} to a folder") from None


class SessionFolder:
    """The sessions in `path`, by default those of `default_session_folder()`. Nothing is made before the first session.

    Sessions are named by their id, by the beginning of one if it is the only one, or by their file.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = default_session_folder() if path is None else Path(path)

    def __repr__(self) -> str:
        return f"SessionFolder({str(self.path)!r})"

    def create(
        self,
        *,
        fsync: Fsync = "turn",
        redact: Redaction | None = DEFAULT_REDACTION,
        labels: Mapping[str, str] | None = None,
    ) -> Session:
        """A new session in a new file of this folder. Raises SessionError if it cannot be written."""
        path, session_id = self._new_place()
        return Session.create(path, session_id=session_id, fsync=fsync, redact=redact, labels=labels)

    def resume(self, session: str, *, fsync: Fsync = "turn", redact: Redaction | None = DEFAULT_REDACTION) -> Session:
        """The session of this id, or its beginning, to go on in it. Raises SessionError as `Session.resume` does."""
        return Session.resume(self.find(session), fsync=fsync, redact=redact)

    def fork(self, session: Session) -> Session:
        """A fork of a session, kept in this folder."""
        path, session_id = self._new_place()
        return session.fork(path, session_id=session_id)

    def sessions(self) -> list[SessionInfo]:
        """All sessions, the one written to last first. A file that cannot be read is listed with its problem."""
        found = [info for path in self._files() if (info := _described(path)) is not None]
        return sorted(found, key=lambda info: (info.updated, info.path.name), reverse=True)

    def newest(self, labels: Mapping[str, str] | None = None) -> SessionInfo | None:
        """The session written to last, of those with these labels; never one that a sub-agent made."""
        wanted = (labels or {}).items()
        own = (info for info in self.sessions() if info.id and not info.parent)
        return next((info for info in own if wanted <= info.labels.items()), None)

    def find(self, session: str) -> Path:
        """The file of a session named by its id, by the beginning of one, or by the file's own name. Raises
        SessionError for none, and for a beginning that several share."""
        files = self._files()
        exact = [path for path in files if session in (path.name, path.stem, _id_in(path))]
        named = exact or [path for path in files if session and _id_in(path).startswith((session, f"ses_{session}"))]
        if not named:  # a file that was put here under a name of its own
            named = [info.path for info in self.sessions() if session and info.id == session]
        if len(named) == 1:
            return named[0]
        problem = f"there are {len(named)} sessions" if named else "there is no session"
        raise SessionError(
            f"{problem} {session!r} in {str(self.path)!r}", remedy="agent-core sessions list shows what there is"
        )

    def search(self, text: str, *, most: int = 3) -> Iterator[tuple[SessionInfo, list[Spot]]]:
        """Sessions in which somebody said this, the newest first, each with up to `most` places. Case does not count.
        Files that cannot be read are passed over."""
        if not text.strip():
            raise ConfigError("there is nothing to search for", remedy="name a word")
        for info in self.sessions():
            try:
                spots = find_text(info.path, text, most=most)
            except SessionError:  # it is in the list, with its problem
                continue
            if spots:
                yield info, spots

    def prune(
        self,
        *,
        older_than: timedelta | None = None,
        keep: int | None = None,
        max_bytes: int | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        """Remove sessions not written to for so long, all but the newest `keep`, and the oldest until the rest takes at
        most `max_bytes`; with what was set aside of them. A session in use stays. `dry_run` only says which.

        Raises ConfigError if no rule is given, SessionError for a file that cannot be removed.
        """
        if older_than is None and keep is None and max_bytes is None:
            raise ConfigError("prune needs a rule", remedy="give older_than, keep or max_bytes")
        if (keep or 0) < 0 or (max_bytes or 0) < 0 or (older_than or timedelta()) < timedelta():
            raise ConfigError("a rule of prune is negative", remedy="give ages, numbers and sizes from 0 up")
        now, kept_bytes = datetime.now(UTC), 0
        if not dry_run:
            self._remove_drafts(now)
        removed: list[SessionInfo] = []
        left: list[SessionInfo] = []
        freed = 0
        for place, info in enumerate(entry for entry in self.sessions() if entry.id):
            size = sum(path.stat().st_size for path in _belonging(info.path))
            kept_bytes += size
            old = older_than is not None and now - info.updated > older_than
            if not (old or (keep is not None and place >= keep) or (max_bytes is not None and kept_bytes > max_bytes)):
                continue
            if _remove(info.path, dry_run=dry_run):
                removed.append(info)
                freed += size
                kept_bytes -= size
            else:
                left.append(info)
        return Pruned(tuple(removed), tuple(left), freed)

    def _remove_drafts(self, now: datetime) -> None:
        """Files of sessions that were never finished being made, from days before: their process is gone."""
        for path in self.path.glob(".*.new"):
            with suppress(OSError):
                if now - datetime.fromtimestamp(path.stat().st_mtime, UTC) > _DRAFT_AGE:
                    path.unlink()

    def _new_place(self) -> tuple[Path, str]:
        """A file in this folder, which is made, and the id in its name."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
        except (OSError, ValueError) as error:
            raise unusable(self.path, error) from error
        session_id = new_session_id()
        return self.path / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{session_id}{_SUFFIX}", session_id

    def _files(self) -> list[Path]:
        """Files that may be sessions, by name."""
        try:
            with os.scandir(self.path) as entries:
                names = [entry.name for entry in entries if entry.name.endswith(_SUFFIX) and entry.is_file()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise unusable(self.path, error) from error
        return [self.path / name for name in sorted(names) if not name.startswith(".")]


def _described(path: Path) -> SessionInfo | None:
    try:
        return describe(path)
    except SessionError as error:
        return SessionInfo(path, 0, datetime.fromtimestamp(0, UTC), problem=error.message)


def _id_in(path: Path) -> str:
    """The session's id in a name of ours; the whole name, if it is none."""
    name = path.stem.rpartition(".")[2]  # a sub-agent's: its parent's name, and its own id
    return name.partition("-")[2] or name


def _belonging(path: Path) -> list[Path]:
    """The file, and what was set aside of it."""
    aside = [path.with_name(path.name + TORN_SUFFIX), *path.parent.glob(f"{_escaped(path.name)}{DAMAGED_SUFFIX}*")]
    return [path, *(entry for entry in aside if entry.is_file())]


def _escaped(name: str) -> str:
    from glob import escape

    return escape(name)


def _remove(path: Path, *, dry_run: bool) -> bool:
    """False for a session that is in use, or that may not be written."""
    try:
        file = open_locked(path)
    except SessionError:
        return False
    with file:
        if not dry_run:
            for entry in _belonging(path):
                try:
                    entry.unlink(missing_ok=True)
                except OSError as error:
                    raise unusable(entry, error) from error
    return True
