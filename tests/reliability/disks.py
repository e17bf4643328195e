"""Disks of this process's own: small ones, read-only ones. Real mounts, in a name space that ends with the process."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_NEW_USERS, _NEW_MOUNTS = 0x10000000, 0x00020000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18


def own_mounts() -> None:
    """From here on mounts are this process's own; without being root it becomes one, of itself alone."""
    user, group = os.geteuid(), os.getegid()
    _call("unshare", _NEW_MOUNTS | (_NEW_USERS if user else 0))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _call("mount", None, b"/", None, _RECURSIVE | _PRIVATE, None)


def small_disk(at: Path, size_kib: int) -> None:
    """A file system of this size, in memory."""
    _call("mount", b"tmpfs", bytes(at), b"tmpfs", 0, f"size={size_kib}k,mode=700".encode())


def read_only(at: Path) -> None:
    """What is in this folder, as it is, and not to be changed."""
    _call("mount", bytes(at), bytes(at), None, _BIND, None)
    _call("mount", None, bytes(at), None, _REMOUNT | _BIND | _READ_ONLY, None)


def as_nobody(folder: Path) -> None:
    """Work in this folder as an ordinary user, for whom permissions hold; root gives it to one, and becomes that."""
    os.chdir(folder)
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, 65534, 65534)
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise PermissionError(number, f"{name}: {os.strerror(number)}")
