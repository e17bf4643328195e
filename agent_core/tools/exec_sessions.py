"""The commands that go on beside the conversation: who owns them, how many there may be, and when they end.

    ExecSessions ──owns──► Session ──► ExecProcess (a thread, a process group, a log)
         ▲  ▲
         │  └── exec_command, write_stdin, kill_session
         └───── ends them all: aclose, close, `with`, `async with`, an agent that closes its tools, the garbage
                collector, the end of the program; on Linux also its death by `kill -9` (sandbox/launcher)

It belongs to no event loop: what one turn started the next one reads, also under `run_sync`, which makes a loop a turn.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ..errors import ConfigError, ToolError
from .command import child_environment
from .output_log import OutputLog

if TYPE_CHECKING:
    from ..sandbox import Confined, SandboxPolicy
    from .base import Tool
    from .exec_process import ExecProcess, Stdin

__all__ = ["ExecSessions", "Session"]

MAX_SESSIONS = 64
"""As in Codex (codex.md 4)."""
MAX_LOG_BYTES = 16 * 1024 * 1024
_JOIN_S = 5.0
"""After KILL a process is gone at once, unless the kernel is in the middle of something for it."""


@dataclass(frozen=True, slots=True)
class Session:
    """`id` is drawn by lot, so that what an earlier process called a session is not taken for one of these. `held`: the
    sandbox it runs in, None for none; `escalated`: it was allowed to leave that."""

    id: int
    command: str
    process: ExecProcess
    held: SandboxPolicy | None = None
    escalated: bool = False


class ExecSessions:
    """The owner of the sessions of `exec_command`. They end when it is closed, or an agent that has its tools, unless
    it is used as a context manager: then when its block is left, and agents may share it.

    `max_sessions` counts those that run and those that have ended and can still be asked; of the latter the oldest are
    forgotten first. `inherit` and `env` widen the environment of commands, see `child_environment`. `log_dir`: a folder
    for the whole output of each command, up to `max_log_bytes`; by default a private temporary one, which is removed
    when this is closed. `window`: rows and columns of terminals.

    After closing it can be used again, like an agent.
    """

    def __init__(
        self,
        *,
        max_sessions: int = MAX_SESSIONS,
        inherit: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        log_dir: str | os.PathLike[str] | None = None,
        max_log_bytes: int = MAX_LOG_BYTES,
        window: tuple[int, int] = (24, 80),
    ) -> None:
        for name, value in (("max_sessions", max_sessions), ("max_log_bytes", max_log_bytes)):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value!r}")
        if not all(0 < side < 65536 for side in window):
            raise ConfigError(f"window must be rows and columns from 1 to 65535, got {window!r}")
        self._max_sessions = max_sessions
        self._inherit = tuple(inherit)
        self._env = dict(env or {})
        self._log_dir = None if log_dir is None else Path(log_dir).absolute()
        self._max_log_bytes = max_log_bytes
        self._window = window
        self._entered = 0
        self._kept = _Kept()
        self._finalizer = weakref.finalize(self, _close, self._kept, os.getpid())

    def tools(self, *, sandbox: SandboxPolicy | None = None) -> list[Tool]:
        """`exec_command`, in this sandbox, `write_stdin` and `kill_session` over these sessions."""
        from .exec_command import ExecCommand, KillSession, WriteStdin

        return [ExecCommand(self, sandbox=sandbox), WriteStdin(self), KillSession(self)]

    @property
    def running(self) -> tuple[Session, ...]:
        """The oldest first."""
        return tuple(session for session in self._all() if session.process.exit_code is None)

    def get(self, session_id: int) -> Session:
        """Raises ToolError if there is none."""
        session = self._kept.sessions.get(session_id)
        if session is not None:
            return session
        names = ", ".join(str(session.id) for session in self.running)
        there = f"those that run: {names}" if names else "none runs"
        raise ToolError(f"there is no session {session_id}; {there}", remedy="start one with exec_command")

    def start(
        self,
        command: str,
        confine: Callable[[], Confined],
        *,
        stdin: Stdin,
        cwd: Path,
        held: SandboxPolicy | None = None,
        escalated: bool = False,
    ) -> Session:
        """Blocking, briefly. `command` is what people are shown, `confine` makes what is started. Raises ToolError if
        it cannot be, and if too many run."""
        from .exec_process import ExecProcess

        with self._kept.changing:
            self._make_room()
            session_id = self._new_id()
            log = OutputLog(self._log_folder() / f"session-{session_id}.log", self._max_log_bytes)
            process = ExecProcess(
                confine(),
                cwd=cwd,
                env=child_environment(os.environ, inherit=self._inherit, extra=self._env),
                stdin=stdin,
                window=self._window,
                log=log,
            )
            session = self._kept.sessions[session_id] = Session(session_id, command, process, held, escalated)
            return session

    def close(self) -> None:
        """End every session with all it started, and remove the logs unless they have a folder of their own. Blocks
        until they are gone: as a rule some milliseconds, half a second for one that ignores TERM."""
        _close(self._kept, os.getpid())

    async def aclose(self) -> None:
        """`close`, without blocking the event loop. A cancel comes after it."""
        import anyio

        from ..cancellation import sheltered

        await sheltered(partial(anyio.to_thread.run_sync, self.close))

    async def agent_closed(self) -> None:
        """An agent that has these tools is closed: so is this, unless somebody is in its block, whose it is then."""
        if not self._entered:
            await self.aclose()

    def __enter__(self) -> ExecSessions:
        self._entered += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered -= 1
        self.close()

    async def __aenter__(self) -> ExecSessions:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered -= 1
        await self.aclose()

    def _all(self) -> list[Session]:
        return list(self._kept.sessions.values())

    def _make_room(self) -> None:
        sessions = self._all()
        ended = [session for session in sessions if session.process.exit_code is not None]
        for session in ended[: max(len(sessions) - self._max_sessions + 1, 0)]:
            del self._kept.sessions[session.id]
            if self._log_dir is None:
                session.process.log.path.unlink(missing_ok=True)
        if len(self._kept.sessions) >= self._max_sessions:
            names = ", ".join(str(session.id) for session in self.running[:16])
            what = f"{self._max_sessions} sessions run already ({names}{' …' if self._max_sessions > 16 else ''})"
            raise ToolError(what, remedy="end one that is no longer needed with kill_session")

    def _new_id(self) -> int:
        while True:
            drawn = 10_000 + int.from_bytes(os.urandom(4), "big") % 90_000
            if drawn not in self._kept.sessions:
                return drawn

    def _log_folder(self) -> Path:
        if self._log_dir is not None:
            self._log_dir.mkdir(parents=True, exist_ok=True)
            return self._log_dir
        if self._kept.folder is None:
            import tempfile

            self._kept.folder = Path(tempfile.mkdtemp(prefix="agent-core-exec-"))
        return self._kept.folder


class _Kept:
    """What has to be ended and removed. Apart from its owner, so that it can be when that is gone already."""

    def __init__(self) -> None:
        self.changing = threading.Lock()
        """Held while a session is started and while all are ended: neither comes into the other."""
        self.sessions: dict[int, Session] = {}
        self.folder: Path | None = None


def _close(kept: _Kept, owner_pid: int) -> None:
    if os.getpid() != owner_pid:
        return  # a fork of the process that started them: they are not its to end
    with kept.changing:
        sessions, kept.sessions = list(kept.sessions.values()), {}
        folder, kept.folder = kept.folder, None
        for session in sessions:
            session.process.end()
        until = time.monotonic() + _JOIN_S
        for session in sessions:
            session.process.join(max(until - time.monotonic(), 0))
        if folder is not None:
            import shutil

            shutil.rmtree(folder, ignore_errors=True)
