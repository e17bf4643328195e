"""Linux: bubblewrap where it works, else Landlock and seccomp by system calls. One launcher inside either.

    bubblewrap  own mounts (read-only, secrets covered, private /tmp and /run), PIDs, network; the launcher within
    Landlock    rules of what may be read and written; the launcher forbids sockets, and ends every descendant

Landlock cannot take back, and knows nothing of modes and owners: where the kernel lets us, all but the roots is mounted
read-only too. Where it does not, what stays read-only in a root has its neighbours allowed one by one, a new name
beside it cannot be made, and nobody can change modes. Names of hidden files can be listed.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from msgspec.structs import asdict

from .confined import Confined
from .paths import Layout, carved
from .policy import SandboxPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "LaunchSpec",
    "bubblewrap_argv",
    "confine_with_bubblewrap",
    "confine_with_landlock",
    "has_bubblewrap",
    "has_landlock",
    "watched_over",
]

_LAUNCHER = Path(__file__).with_name("launcher.py")
_MIN_LANDLOCK = 3
"""The first version that knows truncating: before it, any file could be emptied."""
_INET, _INET6, _NETLINK = 2, 10, 16
_PROBE_S = 5.0
_COVERED = (Path("/tmp"), Path("/run"))
"""Private in bubblewrap: other people's sockets and files are in them."""
_KEPT_CAPS = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SYS_NICE")
"""What the launcher has of root: SYS_NICE for itself, it is not handed on."""
_KERNEL = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/acpi", "/proc/scsi")
"""Settings of the whole machine, which root may write whatever namespaces it is in."""
_TMP_NAMES = ("TMPDIR", "TMP", "TEMP")
_DEVICES = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts"]


class LaunchSpec(TypedDict):
    """What launcher.py is told."""

    argv: list[str]
    limits: dict[str, int]
    files: dict[str, list[str]] | None
    """Landlock's rules; None in bubblewrap. `roots` and `protected` are mounts, `carved` is what takes the place of
    `write` where the kernel does not let us mount."""
    network: bool
    families: list[int] | None
    """Kinds of sockets that may be made; None for all."""
    connect: bool
    own_pids: bool
    """Whether /proc shows the command's own processes alone."""
    confined: bool
    """False: it is only watched over, and all of the above is left as it is."""
    apart: bool
    """Whether it gets a session of its own, and signals over the line."""


@cache
def has_bubblewrap() -> str:
    """The path of a bubblewrap that works here; empty if there is none. Blocking, once."""
    found = shutil.which("bwrap") or ""
    if not found:
        return ""
    probe = [found, "--ro-bind", "/", "/", "--unshare-pid", "--unshare-net", "--proc", "/proc", "--dev", "/dev", "true"]
    try:
        ended = subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found if ended.returncode == 0 else ""  # user namespaces may be off


@cache
def has_landlock() -> bool:
    from .launcher import has_seccomp, landlock_abi

    return has_seccomp() and landlock_abi() >= _MIN_LANDLOCK


def watched_over(argv: Sequence[str], *, apart: bool) -> Confined:
    """Not confined, but ended with all it started: at its own end, and at the agent's."""
    spec = LaunchSpec(
        argv=list(argv),
        limits={},
        files=None,
        network=True,
        families=None,
        connect=True,
        own_pids=False,
        confined=False,
        apart=apart,
    )
    return _launched([], spec, {})


def confine_with_bubblewrap(
    bwrap: str, argv: Sequence[str], policy: SandboxPolicy, layout: Layout, *, apart: bool = False
) -> Confined:
    spec = LaunchSpec(
        argv=list(argv),
        limits=_limits(policy),
        files=None,
        network=policy.network,
        # Its network is its own and empty: servers and clients within find each other. What a namespace does not hold
        # is closed: vsock, Bluetooth …, and Unix sockets, which are reached by their path.
        families=None if policy.network else [_INET, _INET6, _NETLINK],
        connect=True,
        own_pids=True,
        confined=True,
        apart=apart,
    )
    return _launched(bubblewrap_argv(bwrap, policy, layout), spec, dict.fromkeys(_TMP_NAMES, "/tmp"))


def bubblewrap_argv(bwrap: str, policy: SandboxPolicy, layout: Layout) -> list[str]:
    """The mounts in order: each covers what is above it."""
    argv = [bwrap, "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"]
    if not policy.network:
        argv.append("--unshare-net")
    if os.geteuid() == 0:
        argv += ("--cap-drop", "ALL", *(word for cap in _KEPT_CAPS for word in ("--cap-add", cap)))
    argv += ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
    argv += [word for path in _KERNEL for word in ("--ro-bind-try", path, path)]
    for folder in _COVERED:
        if folder.is_dir() and not folder.is_symlink():
            size = ("--size", str(policy.limits.tmp_bytes)) if policy.limits.tmp_bytes is not None else ()
            argv += (*size, "--tmpfs", str(folder))
    for path in _shown_again(policy, layout):
        argv += ("--ro-bind-try", str(path), str(path))
    for root in sorted(layout.writable):
        argv += ("--bind", str(root), str(root))
    for path in layout.protected:
        argv += ("--ro-bind", str(path), str(path))
    for path in layout.hidden:
        argv += ("--perms", "0000", "--tmpfs", str(path)) if path.is_dir() else ("--ro-bind", "/dev/null", str(path))
    return [*argv, "--chdir", str(layout.cwd), "--"]


def _shown_again(policy: SandboxPolicy, layout: Layout) -> list[Path]:
    """What has to be there though the folder it lies in is covered: where the command works, Python, name servers."""
    wanted = [
        layout.cwd,
        Path(sys.prefix),
        Path(sys.base_prefix),
        Path(sys.executable).resolve().parent,
        _LAUNCHER.parent,
    ]
    if policy.network:
        wanted.append(Path("/etc/resolv.conf").resolve())
    return [path for path in dict.fromkeys(wanted) if any(path.is_relative_to(folder) for folder in _COVERED)]


def confine_with_landlock(
    argv: Sequence[str], policy: SandboxPolicy, layout: Layout, *, apart: bool = False
) -> Confined:
    tmp = tempfile.mkdtemp(prefix="agent-core-")
    shared = [tmp, "/dev/shm"]
    writable, carved_out = (
        [path for root in layout.writable for path in carved(root, holes)]
        for holes in (layout.hidden, (*layout.hidden, *layout.protected))
    )
    spec = LaunchSpec(
        argv=list(argv),
        limits=_limits(policy),
        files={
            "read": carved(Path("/"), layout.hidden),
            "write": [*writable, *shared],
            "carved": [*carved_out, *shared],
            "protected": [str(path) for path in layout.protected],
            "roots": [*map(str, layout.writable), *shared, "/dev/pts"],
            "devices": _DEVICES,
        },
        network=policy.network,
        families=None if policy.network else [],
        connect=policy.network,
        own_pids=False,
        confined=True,
        apart=apart,
    )
    return _launched([], spec, dict.fromkeys(_TMP_NAMES, tmp), tmp=tmp)


def _launched(before: list[str], spec: LaunchSpec, env: Mapping[str, str], *, tmp: str = "") -> Confined:
    spec_fd = os.memfd_create("spec")
    with os.fdopen(os.dup(spec_fd), "wb") as file:
        file.write(json.dumps(spec).encode("utf-8", "surrogateescape"))
    os.lseek(spec_fd, 0, os.SEEK_SET)
    ours, theirs = socket.socketpair()
    line = theirs.detach()
    argv = [*before, sys.executable, "-I", "-S", "-B", str(_LAUNCHER), str(spec_fd), str(line)]
    fds = (spec_fd, line)
    return Confined(argv, pass_fds=fds, env=dict(env), line=ours, tmp=tmp, ends_all=True, apart=spec["apart"])


def _limits(policy: SandboxPolicy) -> dict[str, int]:
    return {name: value for name, value in asdict(policy.limits).items() if value is not None and name != "tmp_bytes"}
