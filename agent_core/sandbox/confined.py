"""A command that is ready to be started in its sandbox, and what the sandbox has to say of it afterwards."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, cast

from msgspec import Struct

if TYPE_CHECKING:
    from socket import socket

__all__ = ["Confined", "LimitMet", "SandboxReport", "looks_denied"]

LimitMet = Literal["", "processes", "memory"]

_DENIED = (
    "read-only file system",
    "permission denied",
    "operation not permitted",
    "network is unreachable",
    "could not resolve host",
    "temporary failure in name resolution",
    "name or service not known",
    "invalid cross-device link",
    "device or resource busy",
    "cannot allocate memory",
    "memoryerror",
)
"""What programs print when a call is refused, in lower case."""
_SPOKEN_BYTES = 4096


class SandboxReport(Struct, frozen=True):
    """What the sandbox knows of a command that ended. `limit`: the bound of the sum it was ended for."""

    limit: LimitMet = ""


class Confined:
    """Start `argv` with `pass_fds` inherited and `env` on top of its own; then `started`, and after its end `finish`.

    Both must be called, `finish` also if it could not be started: it closes what is open and removes the temporary
    folder. Until then the command lives as long as this process does. `ends_all`: when `argv` has ended, all that it
    started has been ended. `apart`: the command has a session of its own inside, its terminal too if its input is one,
    and signals go by `signal`.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        pass_fds: tuple[int, ...] = (),
        env: Mapping[str, str] | None = None,
        line: socket | None = None,
        tmp: str = "",
        ends_all: bool = False,
        apart: bool = False,
    ) -> None:
        self.ends_all = ends_all
        self.apart = apart
        self.argv: tuple[str, ...] = tuple(argv)
        self.env: Mapping[str, str] = env or {}
        self.pass_fds: tuple[int, ...] = pass_fds
        self._line = line
        self._tmp = tmp

    def started(self) -> None:
        """The command has its copies of `pass_fds`; ours go."""
        fds, self.pass_fds = self.pass_fds, ()
        for fd in fds:
            os.close(fd)

    def signal(self, number: int) -> None:
        """Send a signal to the command and its group. SIGTERM begins the end of everything. Only if it is `apart`."""
        if self._line is not None:
            with suppress(OSError):  # it has ended
                self._line.send(bytes([number]))

    def finish(self) -> SandboxReport:
        """After the end of the command. Blocking, briefly. Idempotent."""
        self.started()
        line, self._line = self._line, None
        said = b""
        if line is not None:
            line.setblocking(False)
            with line, suppress(OSError):  # nothing was said: it was killed before
                said = line.recv(_SPOKEN_BYTES)
        tmp, self._tmp = self._tmp, ""
        if tmp:
            shutil.rmtree(tmp, ignore_errors=True)
        try:
            report = cast("dict[str, object]", json.loads(said)) if said else {}
        except ValueError:
            report = {}
        reason = report.get("reason")
        return SandboxReport(limit=reason if reason in ("processes", "memory") else "")


def looks_denied(output: str, exit_code: int) -> bool:
    """Whether a failed command probably met its sandbox: it says so in the words of the system."""
    if exit_code == 0:
        return False
    text = output[-16384:].lower()
    return any(words in text for words in _DENIED)
