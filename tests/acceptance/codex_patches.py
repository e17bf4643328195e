"""The real apply_patch and ours, each on a copy of the same folder; what may differ between them, and why."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent_core.errors import PatchError
from agent_core.tools import ToolContext
from agent_core.tools.apply_patch import apply_patch
from agent_core.tools.patch_format import AddFile, Chunk, DeleteFile, PatchOperation, UpdateFile
from agent_core.tools.patch_reader import parse_patch

from .patch_cases import Case

__all__ = ["DIFFERENCES", "Difference", "Pair", "codex_binary", "difference", "tried"]

Tree = dict[str, bytes]

_ROOT = Path(__file__).resolve().parents[2]


def codex_binary() -> str:
    """npm's `@openai/codex`: from AGENT_CORE_CODEX, else the program itself from .ci-node (node in front of it takes
    ten times as long), else from PATH."""
    named = os.environ.get("AGENT_CORE_CODEX")
    if named:
        return named
    there = sorted(_ROOT.glob(".ci-node/node_modules/@openai/codex-*/vendor/*/bin/codex"))
    found = str(there[0]) if there else shutil.which("codex")
    if found is None:
        pytest.skip("codex is not installed: npm install --prefix .ci-node @openai/codex@0.171.0")
    return found


@dataclass(frozen=True)
class Outcome:
    """The files afterwards, and why the patch was refused; empty if it was not."""

    tree: Tree
    refused: str


@dataclass(frozen=True)
class Pair:
    """One case, on both sides."""

    case: Case
    before: Tree
    ours: Outcome
    real: Outcome
    again: Callable[[Case], Pair]

    @property
    def same(self) -> bool:
        return self.ours.tree == self.real.tree and bool(self.ours.refused) == bool(self.real.refused)

    @property
    def read(self) -> tuple[PatchOperation, ...]:
        """The patch as we read it; nothing where we do not."""
        try:
            return parse_patch(self.case.patch)
        except PatchError:
            return ()

    @property
    def chunks(self) -> list[Chunk]:
        return [chunk for operation in self.read if isinstance(operation, UpdateFile) for chunk in operation.chunks]


def tried(case: Case, folder: Path, binary: str) -> Pair:
    """The case, on both sides."""
    for side in ("ours", "real"):
        _lay_out(case, folder / side / "work")
    before = _tree(folder / "real")
    real = subprocess.run(
        [binary, "--codex-run-as-apply-patch", case.patch],
        cwd=folder / "real/work",
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(folder)},
        timeout=30,
    )
    refused = ""
    try:
        apply_patch(case.patch, ToolContext(folder / "ours/work"))
    except PatchError as error:
        refused = error.message
    ours = Outcome(_tree(folder / "ours"), refused)
    theirs = Outcome(_tree(folder / "real"), (real.stderr.strip() or "refused") if real.returncode else "")
    shutil.rmtree(folder / "ours")
    shutil.rmtree(folder / "real")
    return Pair(case, before, ours, theirs, lambda other: tried(other, folder, binary))


def _lay_out(case: Case, work: Path) -> None:
    work.mkdir(parents=True)
    for name, content in case.files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(content)
    for name, target in case.links.items():
        (work / name).symlink_to(target)


def _tree(folder: Path) -> Tree:
    """Every file, links as where they point. Folders do not count."""
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = b"-> " + os.fsencode(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


# --- differences -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """A class of cases that end differently. `seen` holds only where the reason is what made this case differ."""

    name: str
    reason: str
    seen: Callable[[Pair], bool]


def difference(pair: Pair) -> str | None:
    """The first class that explains why the sides differ; None if none does."""
    return next((one.name for one in DIFFERENCES if one.seen(pair)), None)


def _refused_whole(pair: Pair) -> bool:
    return bool(pair.ours.refused and pair.real.refused) and pair.ours.tree == pair.before


def _we_refuse(*words: str) -> Callable[[Pair], bool]:
    return lambda pair: any(word in pair.ours.refused for word in words) and pair.ours.tree == pair.before


def _ended(tree: Tree) -> Tree:
    """Every file with a newline at its end: the one its first line has."""
    return {
        name: content if content[-1:] in (b"", b"\n") else content + _newline(content) for name, content in tree.items()
    }


def _newline(content: bytes) -> bytes:
    return b"\r\n" if content.split(b"\n")[0].endswith(b"\r") else b"\n"


def _last_newline(pair: Pair) -> bool:
    both = not pair.ours.refused and not pair.real.refused
    return both and _ended(pair.ours.tree) == _ended(pair.real.tree)


def _below_anchor(pair: Pair) -> bool:
    """The same lines in another order; or a later operation finds the file in another order than it was written for."""
    if not any(chunk.anchors and not chunk.old and not chunk.at_end for chunk in pair.chunks):
        return False
    updated = Counter(operation.path for operation in pair.read if isinstance(operation, UpdateFile))
    if pair.ours.refused or pair.real.refused:
        return any(times > 1 for times in updated.values())
    return _lines(pair.ours.tree) == _lines(pair.real.tree)


def _lines(tree: Tree) -> dict[str, list[bytes]]:
    return {
        name: sorted(line.removesuffix(b"\r") for line in content.split(b"\n") if line)
        for name, content in tree.items()
    }


def _space_below(pair: Pair) -> bool:
    bare = re.search(r"^\+.*\n\r?\n(?:@@|\*\*\* )", pair.case.patch, re.MULTILINE)
    adds = any(not chunk.old for chunk in pair.chunks)
    return bool(bare) and adds and not pair.real.refused and _lines(pair.ours.tree) == _lines(pair.real.tree)


def _onto_itself(pair: Pair) -> bool:
    return not pair.ours.refused and any(
        isinstance(operation, UpdateFile)
        and operation.move_to is not None
        and os.path.normpath(operation.move_to) == os.path.normpath(operation.path)
        for operation in pair.read
    )


def _narrowed(pair: Pair) -> bool:
    return "Unexpected line found in update hunk: '@@" in pair.real.refused and any(
        len(chunk.anchors) > 1 for chunk in pair.chunks
    )


def _renamed(pair: Pair) -> bool:
    return "is empty" in pair.real.refused and any(
        isinstance(operation, UpdateFile) and not operation.chunks for operation in pair.read
    )


def _read_leniently(pair: Pair) -> bool:
    """What we read there, written as it has to be, does on the real side what it did on ours."""
    if pair.ours.refused or not pair.real.refused.startswith("Invalid patch"):
        return False
    strict = pair.again(replace(pair.case, patch=_strict(pair.read)))
    return strict.same or difference(strict) is not None


def _strict(operations: Sequence[PatchOperation]) -> str:
    lines = ["*** Begin Patch"]
    for operation in operations:
        match operation:
            case AddFile(path, added):
                lines += [f"*** Add File: {path}", *(f"+{line}" for line in added)]
            case DeleteFile(path):
                lines.append(f"*** Delete File: {path}")
            case UpdateFile(path, chunks, move_to):
                lines += [f"*** Update File: {path}", *([] if move_to is None else [f"*** Move to: {move_to}"])]
                for chunk in chunks:
                    lines += [f"@@ {anchor}" for anchor in chunk.anchors] or ["@@"]
                    lines += [mark + text for mark, text in chunk.lines]
                    lines += ["*** End of File"] if chunk.at_end else []
    return "\n".join([*lines, "*** End Patch"])


def _unmarked(pair: Pair) -> bool:
    """Without the mark at the beginning of its files, the patch does on the real side what it did on ours."""
    if pair.ours.refused or not any(content.startswith(_BOM) for content in pair.case.files.values()):
        return False
    if not pair.real.refused and _bare(pair.ours.tree) == _bare(pair.real.tree):
        return True
    bare = pair.again(replace(pair.case, files=_bare(pair.case.files), patch=pair.case.patch.replace("\ufeff", "")))
    return bare.same or difference(bare) is not None


_BOM = b"\xef\xbb\xbf"


def _bare(tree: Tree) -> Tree:
    return {name: content.removeprefix(_BOM) for name, content in tree.items()}


DIFFERENCES = (
    Difference(
        "all or nothing",
        "Both refuse. The real one leaves what it did before it came to the mistake; here nothing has changed.",
        _refused_whole,
    ),
    Difference(
        "outside",
        "The real one has a sandbox around it that confines it; here the tool itself keeps to its roots.",
        _we_refuse("is outside the allowed directories"),
    ),
    Difference(
        "a link",
        "Adding, deleting and moving are about a folder's entry, updating about a file: links are refused there.",
        _we_refuse("is a symbolic link"),
    ),
    Difference(
        "binary",
        "Lines in UTF-8 put into UTF-16 or a binary file break it; a file with NUL in it is not changed line by line.",
        _we_refuse("it is a binary file"),
    ),
    Difference(
        "not UTF-8",
        "The real one cannot read it. Here bytes that are no UTF-8 stay as they are, so the rest can be changed.",
        lambda pair: "invalid utf-8" in pair.real.refused and not pair.ours.refused,
    ),
    Difference(
        "last newline",
        "The real one ends every file it updates with a newline; here a last line that is not touched stays without.",
        _last_newline,
    ),
    Difference(
        "below its anchor",
        "`@@ line` and only additions: the real one appends them to the file; here they come below the line named.",
        _below_anchor,
    ),
    Difference(
        "onto itself", "Moved to its own path, a file is deleted by the real one. Here it is updated.", _onto_itself
    ),
    Difference(
        "space below additions",
        "A blank line between additions alone and the next header is space; for the real one it is context, and where "
        "it finds none it adds the lines at the top of the file.",
        _space_below,
    ),
    Difference(
        "a blank line that is not there",
        "The only context is a blank line, and the file has none: the real one adds the lines at the top of the file.",
        _we_refuse("these lines are not in the file: ''"),
    ),
    Difference("several @@", "Headings that narrow down, one below the other, as models were once told.", _narrowed),
    Difference(
        "rename alone", "`Move to` without a change: the format's grammar has it, the real parser not.", _renamed
    ),
    Difference(
        "read leniently",
        "What cannot be misread is read: blank lines between files, the lost `+` of an empty line, any heredoc.",
        _read_leniently,
    ),
    Difference(
        "mark at the beginning",
        "A byte order mark is not part of the first line, which can be matched here, and stays.",
        _unmarked,
    ),
)
