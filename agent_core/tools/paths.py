"""Where a tool may go: paths of a model, resolved and held below the roots."""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path

from ..errors import ToolError
from .base import ToolContext

__all__ = ["inside_roots", "near_names", "resolve_inside", "shown_path"]


def resolve_inside(path: str, context: ToolContext, *, follow_last: bool = True) -> Path:
    """The absolute path with every symlink resolved, so that it can be compared and opened as it is.

    Relative paths start at `context.cwd`. Raises ToolError for a path that leaves the roots, by `..`, as an absolute
    path or through a symlink. With `follow_last=False` a symlink in last place is left as it is: for what is about the
    directory entry (delete, rename), not about the file.
    """
    if not path or "\0" in path:
        raise ToolError(f"{path!r} is no path", remedy="name a file below the working directory")
    try:
        asked = context.cwd / path
        found = asked.resolve() if follow_last else asked.parent.resolve() / asked.name
        allowed = inside_roots(found, context)
        if _is_symlink(found) and follow_last:  # since Python 3.13 a loop is returned, not raised
            raise RuntimeError
    except (OSError, RuntimeError, ValueError) as error:  # a loop of symlinks, a name too long, a lone surrogate
        raise ToolError(f"{_short(path)} cannot be resolved: {_reason(error)}", remedy="check the path") from None
    if not allowed or asked.name == "..":
        raise ToolError(
            f"{_short(path)} is outside the allowed directories", remedy="use a path below the working directory"
        )
    return found


def _is_symlink(path: Path) -> bool:
    """Path.is_symlink raises or hides what cannot be looked at, depending on the version of Python; this raises."""
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def inside_roots(path: Path, context: ToolContext) -> bool:
    """Whether a resolved path is one of the roots or below one."""
    return any(path.is_relative_to(root.resolve()) for root in context.roots or (context.cwd,))


def shown_path(path: Path, context: ToolContext) -> str:
    """The path as people know it: relative to the working directory where it is below it."""
    cwd = context.cwd.resolve()
    return path.relative_to(cwd).as_posix() if path.is_relative_to(cwd) else str(path)


def near_names(path: Path) -> list[str]:
    """Up to three names beside `path` that look like it, for "did you mean". Looks at 2,000 entries at most."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for _, entry in zip(range(2000), entries, strict=False)]
    except OSError:
        return []
    by_lower = {name.lower(): name for name in sorted(names)}
    return [by_lower[low] for low in difflib.get_close_matches(path.name.lower(), by_lower, n=3, cutoff=0.6)]


def _short(path: str) -> str:
    return repr(path if len(path) <= 200 else path[:200] + "…")


def _reason(error: Exception) -> str:
    if isinstance(error, RuntimeError):
        return "it is a loop of symbolic links"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error).split("\n")[0]
