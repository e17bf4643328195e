"""What a command may touch: policies as data, the same on every system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from msgspec import Struct

from ..errors import ConfigError

__all__ = ["SECRET_PATHS", "SandboxLimits", "SandboxPolicy", "full_access", "read_only", "workspace_write"]

SandboxKind = Literal["read_only", "workspace_write", "full_access"]

SECRET_PATHS = (
    *("~/.ssh", "~/.gnupg", "~/.aws", "~/.azure", "~/.config/gcloud", "~/.kube", "~/.docker", "~/.netrc", "~/.npmrc"),
    *(
        "~/.pypirc",
        "~/.git-credentials",
        "~/.config/gh",
        "~/.config/op",
        "~/.password-store",
        "~/.local/share/keyrings",
    ),
    *("~/.mozilla", "~/.config/google-chrome", "~/.config/chromium", "/etc/shadow", "/etc/gshadow", "/etc/sudoers"),
    *("/etc/sudoers.d", "/etc/ssh"),
)
"""Where keys and passwords are kept. A command that cannot write them can still read, and show, them."""


class SandboxLimits(Struct, frozen=True):
    """Bounds of one command with everything it starts; None is no bound.

    `memory_bytes` and `processes` bound the sum (looked at 20 times a second) and, as far as the system can, each
    process; `cpu_s` and `file_bytes` bound each process and each file; `tmp_bytes` its private temporary folder, where
    it has one in memory (bubblewrap). Time on the clock is the tool's to bound.
    """

    memory_bytes: int | None = 4 * 1024**3
    processes: int | None = 512
    cpu_s: int | None = None
    file_bytes: int | None = 2 * 1024**3
    open_files: int | None = None
    tmp_bytes: int | None = 1024**3

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value: object = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ConfigError(f"{name} must be a positive whole number or None, got {value!r}")


class SandboxPolicy(Struct, frozen=True):
    """What a command may do to files and the network. Make one with `read_only`, `workspace_write` or `full_access`.

    `writable_roots`: folders it may write besides those the tool works in. `protected`: what stays read-only in them;
    a repository's `.git` always does. `hidden`: what it cannot even read. `network`: whether it can reach anything.
    """

    kind: SandboxKind
    writable_roots: tuple[Path, ...] = ()
    protected: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    network: bool = False
    limits: SandboxLimits = SandboxLimits()

    def __post_init__(self) -> None:
        for path in (*self.writable_roots, *self.protected, *self.hidden):
            if not path.is_absolute():
                raise ConfigError(f"a sandbox cannot take the relative path {str(path)!r}", remedy="use Path.resolve()")

    def protecting(self, *paths: Path) -> SandboxPolicy:
        """The same, with these kept read-only too: a session's own file, for example."""
        from msgspec.structs import replace

        return replace(self, protected=(*self.protected, *paths))


def read_only(
    *, network: bool = False, hide_secrets: bool = True, limits: SandboxLimits | None = None
) -> SandboxPolicy:
    """Commands read everything (but SECRET_PATHS) and write only to a temporary folder of their own."""
    return SandboxPolicy(
        "read_only", hidden=_secrets() if hide_secrets else (), network=network, limits=limits or SandboxLimits()
    )


def workspace_write(
    *roots: str | os.PathLike[str],
    network: bool = False,
    hide_secrets: bool = True,
    limits: SandboxLimits | None = None,
) -> SandboxPolicy:
    """Commands also write in the working directory and in `roots`, but not in a `.git` there."""
    return SandboxPolicy(
        "workspace_write",
        writable_roots=tuple(Path(root).expanduser().resolve() for root in roots),
        hidden=_secrets() if hide_secrets else (),
        network=network,
        limits=limits or SandboxLimits(),
    )


def full_access() -> SandboxPolicy:
    """No sandbox: commands may do whatever the agent's user may. Said out loud, never a fallback."""
    return SandboxPolicy("full_access", network=True)


def _secrets() -> tuple[Path, ...]:
    return tuple(Path(path).expanduser() for path in SECRET_PATHS if not path.startswith("~") or _has_home())


def _has_home() -> bool:
    return os.path.expanduser("~") != "~"
