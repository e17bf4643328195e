"""Which files there are below a folder: in order, without what git ignores, never through a symlink, within bounds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ToolError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["Entry", "Walk"]

MAX_ENTRIES = 200_000
MAX_WALK_S = 20.0
MAX_IGNORE_BYTES = 256 * 1024
_ALWAYS_IGNORED = frozenset((".git", ".hg", ".svn", ".jj"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A name below the folder. `path` is relative to it, with `/`; `is_link`: a symlink, which is never followed."""

    path: str
    is_dir: bool
    is_link: bool
    depth: int


@dataclass(slots=True)
class Walk:
    """Iterate it once: folders before what is in them, names in order. Blocking.

    Left out unless `ignored`: version control's own folders and what a `.gitignore` at or below `root` names. `cut`
    says afterwards that the folder was too large (200,000 names, 20 s). Folders that cannot be read are passed over.
    """

    root: Path
    max_depth: int | None = None
    ignored: bool = False
    cut: str = ""
    _seen: int = 0
    _until: float = field(default_factory=lambda: time.monotonic() + MAX_WALK_S)

    def __iter__(self) -> Iterator[Entry]:
        if not self.root.is_dir():
            raise ToolError(f"{self.root.name!r} is no directory", remedy="name a directory")
        yield from self._below(self.root, "", 1, ())

    def _below(
        self, folder: Path, prefix: str, depth: int, rules: tuple[tuple[str, GitIgnoreSpec], ...]
    ) -> Iterator[Entry]:
        try:
            with os.scandir(folder) as found:
                names = sorted(found, key=lambda entry: entry.name)
        except OSError:
            return  # not ours to read; the rest of the tree is
        if not self.ignored:
            rules = _with_rules(folder, prefix, rules)
        for name in names:
            self._seen += 1
            if self._seen > MAX_ENTRIES or time.monotonic() > self._until:
                self.cut = f"stopped after {self._seen - 1} names: look in a folder below"
                return
            is_dir = name.is_dir(follow_symlinks=False)
            path = prefix + name.name
            if not self.ignored and (name.name in _ALWAYS_IGNORED or _is_ignored(path, is_dir, rules)):
                continue
            yield Entry(path, is_dir, name.is_symlink(), depth)
            if is_dir and (self.max_depth is None or depth < self.max_depth):
                yield from self._below(folder / name.name, path + "/", depth + 1, rules)
            if self.cut:
                return


def _with_rules(
    folder: Path, prefix: str, rules: tuple[tuple[str, GitIgnoreSpec], ...]
) -> tuple[tuple[str, GitIgnoreSpec], ...]:
    try:
        with (folder / ".gitignore").open("rb") as file:
            lines = file.read(MAX_IGNORE_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return rules
    from pathspec import GitIgnoreSpec

    try:
        return (*rules, (prefix, GitIgnoreSpec.from_lines(lines)))
    except ValueError:  # a pattern git would pass over, too
        return rules


def _is_ignored(path: str, is_dir: bool, rules: tuple[tuple[str, GitIgnoreSpec], ...]) -> bool:
    """The deepest file with a word on it decides, as in git."""
    for prefix, spec in reversed(rules):
        verdict = spec.check_file(path.removeprefix(prefix) + ("/" if is_dir else "")).include
        if verdict is not None:
            return verdict
    return False
