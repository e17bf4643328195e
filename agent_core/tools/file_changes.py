"""What happens to files, as data: each file before and after, and how that is shown to models and people. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["FileChange", "bounded_diff", "summary_of", "unified_diff"]

MAX_DIFF_CHARS = 256 * 1024
"""How much of a diff is recorded; the files themselves are always written whole."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """What one file was and will be; None is no file. `location` identifies the file, `path` is how the patch named it.

    `moved_from` is the location whose content and mode came here; `moved_to` is set on the file that went away.
    """

    path: str
    location: str
    before: bytes | None
    after: bytes | None
    moved_from: str | None = None
    moved_to: str | None = None

    @property
    def kind(self) -> Literal["A", "M", "D"]:
        if self.after is None:
            return "D"
        return "A" if self.before is None and self.moved_from is None else "M"


def summary_of(changes: Sequence[FileChange]) -> str:
    """What the model is told: A, M and D lines, in that order; a moved file is M under its new path."""
    lines = [f"{kind} {c.path}" for kind in "AMD" for c in changes if c.kind == kind and c.moved_to is None]
    return "\n".join(["Success. Updated the following files:", *lines])


def bounded_diff(changes: Sequence[FileChange]) -> str:
    """`unified_diff`, cut to what a record may hold."""
    diff = unified_diff(changes)
    return diff if len(diff) <= MAX_DIFF_CHARS else diff[:MAX_DIFF_CHARS] + "\n… diff cut\n"


def unified_diff(changes: Sequence[FileChange]) -> str:
    """All changes as one unified diff with `a/` and `b/` paths, as `git apply` reads it."""
    origin = {change.location: change for change in changes}
    pieces: list[str] = []
    for change in changes:
        if change.moved_to is not None:
            continue
        source = change
        if change.moved_from is not None:
            source = origin[change.moved_from]
            if change.before is not None:  # it takes the place of another file
                pieces.extend(_file_diff(gone := replace(change, after=None, moved_from=None), gone))
        pieces.extend(_file_diff(source, change))
    return "".join(pieces)


def _file_diff(source: FileChange, change: FileChange) -> list[str]:
    old_name, new_name = f"a/{source.path}", f"b/{change.path}"
    head = [f"diff --git {old_name} {new_name}\n"]
    if source is not change:
        head += [f"rename from {source.path}\n", f"rename to {change.path}\n"]
    elif source.before is None:
        head.append("new file mode 100644\n")
    elif change.after is None:
        head.append("deleted file mode 100644\n")
    old, new = _shown_lines(source.before), _shown_lines(change.after)
    lines = difflib.unified_diff(
        old,
        new,
        old_name if source.before is not None else "/dev/null",
        new_name if change.after is not None else "/dev/null",
    )
    return head + [line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines]


def _shown_lines(content: bytes | None) -> list[str]:
    text = (content or b"").decode("utf-8", "replace")
    pieces = text.split("\n")
    last = pieces.pop()
    return [piece + "\n" for piece in pieces] + ([last] if last else [])
