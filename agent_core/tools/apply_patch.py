"""`apply_patch`: a model's patch, planned whole and then written whole or not at all.

    parse (patch_format) → plan against the files → stage (new files and backups beside the old) → rename → clean up

Up to the first rename nothing visible has changed. Renames are atomic one by one: a crash between two of them leaves
every single file old or new, and backups named `.NAME.XXXX.agent-core` beside those already renamed. A failure between
two renames puts back what was renamed.
"""

from __future__ import annotations

import difflib
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..approvals import ApprovalRequest
from ..errors import PatchError, ToolError
from ..items import JsonValue
from ..prompt import CustomToolSpec
from .arguments import InvalidArguments, parse_arguments
from .base import ToolCall, ToolContext, ToolOutput
from .patch_format import (
    PATCH_GRAMMAR,
    PatchOperation,
    UpdateFile,
    parse_patch,
    patch_paths,
)
from .patch_plan import FileChange, plan_patch
from .paths import near_names, resolve_inside

__all__ = ["ApplyPatch", "apply_patch", "plan_files", "unified_diff", "write_changes"]

MAX_FILE_BYTES = 16 * 1024 * 1024
"""Larger files are no source text; planning holds a file in memory several times."""
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
MAX_DIFF_CHARS = 256 * 1024
"""How much of the diff is recorded; the files themselves are always written whole."""

_DESCRIPTION = """Adds, deletes, updates and renames text files. The input is one patch and nothing else:
*** Begin Patch
*** Update File: path/of/file.py
@@ def the_function_around_it():
 a line that stays
-a line that goes
+a line that comes
*** End Patch
Other headers: '*** Add File: path' followed by lines that start with '+'; '*** Delete File: path'; \
'*** Move to: new/path' right below an Update header. Give about three unchanged lines around each change, in the \
order of the file, without line numbers. Paths are relative to the working directory. Nothing is written unless the \
whole patch applies."""


class ApplyPatch:
    """The tool. A free-form tool where the wire has them; understands the lowered form `{"input": PATCH}` too.

    Asks for approval once per patch; "for this session" remembers the set of files. A patch that does not parse is
    not asked about: running it only reports the mistake. Not interruptible while it writes, which takes milliseconds.
    """

    name: str = "apply_patch"
    read_only: bool = False
    parallel: bool = False
    timeout_s: float | None = None

    @property
    def spec(self) -> CustomToolSpec:
        format: Mapping[str, JsonValue] = {"type": "grammar", "syntax": "lark", "definition": PATCH_GRAMMAR}
        return CustomToolSpec(self.name, _DESCRIPTION, format)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        try:
            text = _patch_of(call)
            paths = patch_paths(parse_patch(text))
        except ToolError:
            return None
        return ApprovalRequest(
            call_id=call.call_id,
            tool=call.name,
            summary="patch " + ", ".join(paths),
            detail=text,
            risk="write",
            key="\n".join(sorted(os.path.normpath(context.cwd / path) for path in paths)),
            cwd=str(context.cwd),
        )

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from anyio import to_thread

        try:
            text = _patch_of(call)
            # Not abandoned when cancelled: files are written by one thread, to the end or rolled back.
            return await to_thread.run_sync(_apply_and_show, text, context)
        except ToolError as error:
            return ToolOutput(f"{error.message}; {error.remedy}", success=False)


def apply_patch(text: str, context: ToolContext) -> tuple[FileChange, ...]:
    """Parses, plans and writes. Blocking. Raises PatchError, and then no file has changed."""
    changes, seen = plan_files(parse_patch(text), context)
    write_changes(changes, seen)
    return changes


def _apply_and_show(text: str, context: ToolContext) -> ToolOutput:
    changes = apply_patch(text, context)
    diff = unified_diff(changes)
    if len(diff) > MAX_DIFF_CHARS:
        diff = diff[:MAX_DIFF_CHARS] + "\n… diff cut\n"
    return ToolOutput(summary_of(changes), metadata={"diff": diff, "paths": [change.path for change in changes]})


def summary_of(changes: Sequence[FileChange]) -> str:
    """What the model is told: A, M and D lines, in that order; a moved file is M under its new path."""
    lines = [f"{kind} {c.path}" for kind in "AMD" for c in changes if c.kind == kind and c.moved_to is None]
    return "\n".join(["Success. Updated the following files:", *lines])


def _patch_of(call: ToolCall) -> str:
    if call.kind == "custom" and not call.arguments.lstrip().startswith("{"):
        return call.arguments
    if not call.arguments.lstrip().startswith(("{", '"', "```")):  # a model that ignored the JSON around its text
        return call.arguments
    arguments = parse_arguments(call.arguments)
    text = arguments.get("input", arguments.get("patch"))
    if not isinstance(text, str):
        raise InvalidArguments("input: the patch is missing", remedy="send the patch as the string 'input'")
    return text


# --- planning against the disk ---------------------------------------------------------------------------------------

_Fingerprint = tuple[int, int, int, int]


def plan_files(
    operations: Sequence[PatchOperation], context: ToolContext
) -> tuple[tuple[FileChange, ...], dict[str, os.stat_result]]:
    """The planned changes, by absolute path, and what each existing file was like when it was read.

    Raises PatchError for a path outside the roots, a directory, a special file, an update of a read-only file, or a
    symlink that would be deleted, moved or overwritten (a symlink may be updated: the file it points to is).
    """
    seen: dict[str, os.stat_result] = {}
    followed = {op.path for op in operations if isinstance(op, UpdateFile) and op.move_to is None}
    followed -= {op.path for op in operations if not isinstance(op, UpdateFile) or op.move_to is not None}

    def locate(path: str) -> str:
        try:
            found = resolve_inside(path, context, follow_last=path in followed)
        except ToolError as error:
            raise PatchError(error.message, remedy=error.remedy) from None
        if found.is_symlink():
            raise PatchError(f"{path!r} is a symbolic link", remedy="name the file it points to")
        return str(found)

    def read(location: str) -> bytes | None:
        content, status = _read(Path(location))
        if status is not None:
            seen[location] = status
        return content

    def near(location: str) -> list[str]:
        return near_names(Path(location))

    changes = plan_patch(operations, read, locate=locate, near=near)
    for change in changes:
        status = seen.get(change.location)
        # Renaming over it would work. Somebody took the right to write away, and opening it to write would not.
        if status is not None and change.after is not None and not status.st_mode & _WRITABLE:
            raise PatchError(f"{change.path!r} is read-only", remedy="make it writable first, if it is to be changed")
    return changes, seen


def _read(path: Path) -> tuple[bytes | None, os.stat_result | None]:
    try:
        status = path.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            raise PatchError(f"{path.name!r} is a directory", remedy="name a file")
        if not stat.S_ISREG(status.st_mode):
            raise PatchError(f"{path.name!r} is not a regular file", remedy="name a text file")
        if status.st_size > MAX_FILE_BYTES:
            raise PatchError(f"{path.name!r} has {status.st_size} bytes, more than {MAX_FILE_BYTES}")
        return path.read_bytes(), status
    except FileNotFoundError:
        return None, None
    except OSError as error:
        raise PatchError(f"cannot read {path.name!r}: {error.strerror}", remedy="check the path") from None


# --- writing ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Staged:
    """One file about to change: `new` replaces it (None: it goes away), `backup` brings it back (None: it was not)."""

    target: Path
    new: Path | None = None
    backup: Path | None = None


@dataclass(slots=True)
class _Write:
    """All files of one patch on their way to disk."""

    staged: list[_Staged] = field(default_factory=list[_Staged])
    renamed: list[_Staged] = field(default_factory=list[_Staged])
    folders: list[Path] = field(default_factory=list[Path])

    def stage(self, change: FileChange, seen: Mapping[str, os.stat_result]) -> None:
        target = Path(change.location)
        entry = _Staged(target)
        self.staged.append(entry)  # first, so that a failure below cleans up what it has
        status = seen.get(change.location)
        if status is not None:
            _check_unchanged(target, change.path, status)
            entry.backup = _backup(target)
        if change.after is not None:
            self._make_folders(target.parent)
            entry.new = _write_beside(target, change.after, seen.get(change.moved_from or change.location, status))

    def commit(self) -> None:
        for entry in self.staged:
            if entry.new is None:
                entry.target.unlink(missing_ok=True)
            elif entry.backup is None and os.path.lexists(entry.target):
                raise PatchError(f"{entry.target.name!r} appeared while the patch was written", remedy="read it first")
            else:
                os.replace(entry.new, entry.target)
                entry.new = None
            self.renamed.append(entry)

    def roll_back(self) -> str:
        """Puts back what was renamed. Returns what could not be, as words for the error; its backup stays."""
        stranded: list[str] = []
        for entry in reversed(self.renamed):
            try:
                if entry.backup is not None:
                    os.replace(entry.backup, entry.target)
                else:
                    entry.target.unlink(missing_ok=True)
            except OSError:
                stranded.append(f"{entry.target.name!r} (its old text is in {entry.backup})")
            entry.backup = None
        return " and could not restore " + ", ".join(stranded) if stranded else ""

    def clean_up(self, *, failed: bool) -> None:
        for entry in self.staged:
            for leftover in (entry.new, entry.backup):
                if leftover is not None:
                    with suppress(OSError):  # a stray hidden file is no reason to report a failure
                        leftover.unlink(missing_ok=True)
        if failed:
            for folder in reversed(self.folders):
                with suppress(OSError):  # somebody else put a file there
                    folder.rmdir()

    def _make_folders(self, folder: Path) -> None:
        missing: list[Path] = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            self.folders.append(path)


def write_changes(changes: Sequence[FileChange], seen: Mapping[str, os.stat_result]) -> None:
    """Writes all changes or none. Raises PatchError for any failure of the disk, after undoing what was done."""
    write = _Write()
    try:
        for change in changes:
            write.stage(change, seen)
        write.commit()
    except BaseException as error:
        stranded = write.roll_back()
        write.clean_up(failed=True)
        if not isinstance(error, OSError):
            raise
        name = Path(str(error.filename)).name if error.filename else "a file"
        raise PatchError(
            f"cannot write {name!r}: {error.strerror}{stranded}", remedy="check permissions and free space"
        ) from error
    write.clean_up(failed=False)
    for folder in {Path(change.location).parent for change in changes}:
        _sync_folder(folder)


def _check_unchanged(target: Path, path: str, seen: os.stat_result) -> None:
    now = target.stat(follow_symlinks=False)
    if _fingerprint(now) != _fingerprint(seen):
        raise PatchError(f"{path!r} changed while the patch was planned", remedy="read it again and send a new patch")


def _fingerprint(status: os.stat_result) -> _Fingerprint:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _backup(target: Path) -> Path:
    """A second name for the file as it is: a hard link, or a copy where the file system has none."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".agent-core", dir=target.parent)
    os.close(handle)
    backup = Path(name)
    try:
        backup.unlink()
        os.link(target, backup, follow_symlinks=False)
    except (OSError, NotImplementedError):
        import shutil

        shutil.copy2(target, backup, follow_symlinks=False)
    return backup


def _write_beside(target: Path, content: bytes, like: os.stat_result | None) -> Path:
    """A finished file next to the target, on disk, with the mode (and, if we may, the owner) of `like`."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".agent-core", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if like is not None:
                with suppress(OSError):  # only root may give files away
                    os.fchown(file.fileno(), like.st_uid, like.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode) if like is not None else 0o666 & ~_umask())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _umask() -> int:
    """The process's umask. Read from /proc where it is: setting it to read it would show in other threads."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system lets a folder be synced; the renames stand
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# --- showing ---------------------------------------------------------------------------------------------------------


def unified_diff(changes: Sequence[FileChange]) -> str:
    """All changes as one unified diff with `a/` and `b/` paths, as `git apply` reads it."""
    origin = {change.location: change for change in changes}
    pieces: list[str] = []
    for change in changes:
        if change.moved_to is not None:
            continue
        source = origin[change.moved_from] if change.moved_from is not None else change
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
