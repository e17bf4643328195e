"""What all tools that run commands share: the environment of a command, its argv, its sandbox, its exit code."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..sandbox import Sandbox, SandboxPolicy

__all__ = [
    "INHERITED_ENV",
    "SANDBOX_NOTES",
    "TIMED_OUT_EXIT",
    "argv_of",
    "child_environment",
    "exit_code_of",
    "sandbox_for",
]

TIMED_OUT_EXIT = 124
INHERITED_ENV = (
    *("PATH", "HOME", "LANG", "LC_*", "TZ", "TMPDIR", "TMP", "TEMP", "USER", "LOGNAME", "SHELL"),
    *("PYTHON*", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)
"""Patterns of the environment variables a command gets. Everything else may be a secret."""
_SECRET = ("*KEY", "*KEY_*", "*TOKEN*", "*SECRET*", "*PASSWORD*", "*PASSWD*", "*CREDENTIAL*")
_FIXED_ENV = {"TERM": "dumb", "NO_COLOR": "1", "PAGER": "cat", "GIT_PAGER": "cat"}

SANDBOX_NOTES = {
    "denied": "\n[the sandbox may have denied this: it limits what commands may write, read, reach and use]",
    "memory": "\n[ended by the sandbox: the command used more memory than it may]",
    "processes": "\n[ended by the sandbox: the command started more processes than it may]",
}
"""What a model is told of the sandbox, by `SandboxReport.limit` and `denied`."""


def child_environment(
    source: Mapping[str, str], *, inherit: Sequence[str] = (), extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment of a command: allowed names of `source`, then ours, then `extra`.

    `inherit` adds patterns to INHERITED_ENV. A name that looks like a secret is never inherited through a pattern; who
    wants a command to have one names it exactly in `inherit`, or gives it in `extra`.
    """

    def allowed(name: str) -> bool:
        if name in inherit:
            return True
        secret = any(fnmatchcase(name.upper(), pattern) for pattern in _SECRET)
        return not secret and any(fnmatchcase(name, pattern) for pattern in (*INHERITED_ENV, *inherit))

    return {name: value for name, value in source.items() if allowed(name)} | _FIXED_ENV | dict(extra or {})


def sandbox_for(policy: SandboxPolicy | Sandbox | None) -> Sandbox | None:
    """The sandbox for a policy; a Sandbox is one already. None for no sandbox. Raises SandboxUnavailable."""
    if policy is None:
        return None
    from ..sandbox import Sandbox

    sandbox = policy if isinstance(policy, Sandbox) else Sandbox(policy)
    return None if sandbox.backend == "none" else sandbox


def argv_of(command: str | list[str], *, shell: str = "", login: bool = False) -> list[str]:
    """A list is run as it is; a string under `shell`, else bash where it is installed, else /bin/sh."""
    if isinstance(command, list):
        return command
    return [shell or shutil.which("bash") or "/bin/sh", "-lc" if login else "-c", command]


def exit_code_of(returncode: int | None) -> int:
    """As a shell reports it: a process ended by signal N has 128 + N."""
    if returncode is None:
        return TIMED_OUT_EXIT
    return returncode if returncode >= 0 else 128 - returncode
