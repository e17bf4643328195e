"""macOS: a Seatbelt profile for `sandbox-exec`, which every Mac has."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from .confined import Confined
from .paths import Layout
from .policy import SandboxPolicy

__all__ = ["SANDBOX_EXEC", "confine_with_seatbelt", "seatbelt_profile"]

SANDBOX_EXEC = "/usr/bin/sandbox-exec"
"""By its full path: one that is found through PATH could be anybody's."""

_BASE = """(version 1)
(deny default)
(allow process-exec)
(allow process-fork)
(allow signal (target same-sandbox))
(allow sysctl-read)
(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))
(allow ipc-posix-sem)
(allow pseudo-tty)
(allow file-read* file-write* file-ioctl (literal "/dev/ptmx"))
(allow file-read* file-write* (regex #"^/dev/ttys[0-9]+$"))
(allow file-write-data (literal "/dev/null") (literal "/dev/zero") (literal "/dev/tty"))
(allow file-read*)
"""


def confine_with_seatbelt(argv: Sequence[str], policy: SandboxPolicy, layout: Layout) -> Confined:
    tmp = str(Path(tempfile.mkdtemp(prefix="agent-core-")).resolve())
    profile = seatbelt_profile(policy, layout, tmp=tmp)
    return Confined([SANDBOX_EXEC, "-p", profile, "--", *argv], env={"TMPDIR": tmp, "TMP": tmp, "TEMP": tmp}, tmp=tmp)


def seatbelt_profile(policy: SandboxPolicy, layout: Layout, *, tmp: str) -> str:
    """Rules in Seatbelt's language: the last one that matches decides."""
    rules = [f"(allow file-write* (subpath {_quoted(path)}))" for path in (*layout.writable, Path(tmp))]
    rules += (f"(deny file-write* (subpath {_quoted(path)}))" for path in layout.protected)
    rules += (f"(deny file-read* file-write* (subpath {_quoted(path)}))" for path in layout.hidden)
    if policy.network:
        rules += ("(allow network*)", "(allow system-socket)", "(allow mach-lookup)")
    return _BASE + "\n".join(rules) + "\n"


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
