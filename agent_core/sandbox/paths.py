"""Which paths a policy opens, closes and hides, as they are on this disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from ..errors import ConfigError
from .policy import SandboxPolicy

__all__ = ["Layout", "carved", "layout_of"]

_GITDIR = "gitdir:"


class Layout(Struct, frozen=True):
    """Absolute, without symlinks, existing. `protected` lies in `writable`; `hidden` anywhere."""

    cwd: Path
    writable: tuple[Path, ...]
    protected: tuple[Path, ...]
    hidden: tuple[Path, ...]


def layout_of(policy: SandboxPolicy, *, cwd: Path, roots: Sequence[Path]) -> Layout:
    """Raises ConfigError for a root that is the whole disk. What holds the work is not hidden from it."""
    cwd = cwd.resolve()
    asked = (*roots, *policy.writable_roots) if policy.kind == "workspace_write" else ()
    writable = tuple(dict.fromkeys(root.resolve() for root in asked if root.is_dir()))
    for root in writable:
        if root == Path(root.anchor):
            raise ConfigError("a sandbox's workspace cannot be the whole disk", remedy="work in a folder below it")
    own = [path for root in writable for path in _git_folders(root)]
    protected = _existing((*policy.protected, *own))
    hidden = _existing(policy.hidden)
    return Layout(
        cwd=cwd,
        writable=writable,
        protected=tuple(path for path in protected if any(path.is_relative_to(root) for root in writable)),
        hidden=tuple(path for path in hidden if not any(root.is_relative_to(path) for root in (cwd, *writable))),
    )


def _existing(paths: Iterable[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        try:
            found[path.resolve(strict=True)] = None
        except (OSError, RuntimeError):  # not there, not readable, a loop: nothing to protect
            continue
    return list(found)


def _git_folders(root: Path) -> list[Path]:
    """A repository's own folder; for a worktree or submodule, the file that names it, and the folder it names. A root
    without one gets none: whoever makes a repository may write in it."""
    git = root / ".git"
    if not git.is_file():
        return [git]
    try:
        text = git.read_text(errors="replace")[:4096].strip()
    except OSError:
        return [git]
    return [git, (root / text[len(_GITDIR) :].strip())] if text.startswith(_GITDIR) else [git]


def carved(top: Path, holes: Sequence[Path]) -> list[str]:
    """Paths that together are everything below `top` but the holes, for rules that cannot take back: `top` itself if
    there is no hole in it, else its entries, and theirs on the way to a hole. Names that come later are in none."""
    if any(top.is_relative_to(hole) for hole in holes):
        return []
    inside = [hole for hole in holes if hole.is_relative_to(top)]
    if not inside:
        return [str(top)]
    try:
        with os.scandir(top) as entries:
            # What a symlink names is where it lies.
            names = sorted(entry.name for entry in entries if not entry.is_symlink())
    except OSError:
        return []
    return [path for name in names for path in carved(top / name, inside)]
