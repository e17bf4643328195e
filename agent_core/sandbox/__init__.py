"""A sandbox for commands: what they may write, read, reach and use up, held by the operating system.

    policy = workspace_write(network=False)            data; nothing is looked at
    sandbox = Sandbox(policy)                          raises SandboxUnavailable where no way to hold it works
    confined = sandbox.confine(argv, cwd=…, roots=…)   argv with what goes around it

Linux by bubblewrap, else by Landlock and seccomp; macOS by Seatbelt; anywhere else a policy that confines is refused.
There is no fallback to running without: who wants that says `full_access()`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from ..errors import ConfigError, SandboxUnavailable
from .confined import Confined, SandboxReport, looks_denied
from .policy import SECRET_PATHS, SandboxLimits, SandboxPolicy, full_access, read_only, workspace_write

__all__ = [
    "SECRET_PATHS",
    "Backend",
    "Confined",
    "Sandbox",
    "SandboxLimits",
    "SandboxPolicy",
    "SandboxReport",
    "full_access",
    "looks_denied",
    "read_only",
    "watched_over",
    "workspace_write",
]

Backend: TypeAlias = Literal["bubblewrap", "landlock", "seatbelt", "none"]


class Sandbox:
    """A policy and the way this machine holds it. `backend`: None for the best there is; `none` only for full access.

    Looking for a way blocks once, for some milliseconds. Raises SandboxUnavailable if there is none.
    """

    def __init__(self, policy: SandboxPolicy, *, backend: Backend | None = None) -> None:
        self.policy = policy
        self.backend: Backend = _backend(policy, backend)

    def __repr__(self) -> str:
        return f"Sandbox({self.policy.kind!r}, backend={self.backend!r})"

    def confine(self, argv: Sequence[str], *, cwd: Path, roots: Sequence[Path] = (), apart: bool = False) -> Confined:
        """`argv` in its sandbox; `roots` are the folders the tool works in (default: `cwd`). Blocking, briefly.

        `apart`: asks for a session of its own within, for a terminal; Confined.apart says whether it is. Raises
        ConfigError for a root that is the whole disk.
        """
        if self.backend == "none":
            return watched_over(argv) if apart else Confined(argv)
        from .paths import layout_of

        layout = layout_of(self.policy, cwd=cwd, roots=roots or (cwd,))
        if self.backend == "seatbelt":
            from .seatbelt import confine_with_seatbelt

            return confine_with_seatbelt(argv, self.policy, layout)
        from . import linux

        if self.backend == "bubblewrap":
            return linux.confine_with_bubblewrap(linux.has_bubblewrap(), argv, self.policy, layout, apart=apart)
        return linux.confine_with_landlock(argv, self.policy, layout, apart=apart)


def watched_over(argv: Sequence[str]) -> Confined:
    """`argv` as it is, in a session of its own, and ended with all that it started: at its own end, and when this
    process dies. Where that cannot be (not on Linux) it is just `argv`."""
    if sys.platform != "linux":
        return Confined(argv)
    from . import linux

    return linux.watched_over(argv, apart=True)


def _backend(policy: SandboxPolicy, asked: Backend | None) -> Backend:
    if policy.kind == "full_access":
        if asked not in (None, "none"):
            raise ConfigError(
                f"full access is no sandbox, so {asked!r} has nothing to hold", remedy="leave backend= out"
            )
        return "none"
    working = _working()
    if asked is None and working:
        return working[0]
    if asked is not None and asked in working:
        return asked
    what = f"the sandbox {policy.kind!r} cannot be held here" if asked is None else f"{asked!r} does not work here"
    remedy = {
        "linux": "install bubblewrap, or use a kernel with Landlock (6.2 or later)",
        "darwin": "sandbox-exec is missing from this system",
    }.get(sys.platform, "use Linux or macOS")
    raise SandboxUnavailable(what, remedy=f"{remedy}; full_access() runs without a sandbox")


def _working() -> tuple[Backend, ...]:
    """The ways that work on this machine, the best first."""
    if sys.platform == "darwin":
        from .seatbelt import SANDBOX_EXEC

        return ("seatbelt",) if Path(SANDBOX_EXEC).exists() else ()
    if sys.platform != "linux":
        return ()
    from .linux import has_bubblewrap, has_landlock

    found: list[Backend] = []
    if has_bubblewrap():
        found.append("bubblewrap")
    if has_landlock():
        found.append("landlock")
    return tuple(found)
