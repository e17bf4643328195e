"""`apply_patch`: a model's patch, planned whole and then written whole or not at all.

parse (patch_format) → plan against the files (patch_plan) → write (file_writes)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..approvals import ApprovalRequest
from ..errors import PatchError, ToolError
from ..items import JsonValue
from ..prompt import CustomToolSpec
from .arguments import InvalidArguments, parse_arguments
from .base import ToolCall, ToolContext, ToolOutput
from .escalation import check_held, granted, write_request
from .file_changes import FileChange, bounded_diff, summary_of
from .file_writes import FileHistory, check_writable, read_for_change, write_changes
from .patch_format import (
    PATCH_GRAMMAR,
    AddFile,
    DeleteFile,
    PatchOperation,
    UpdateFile,
    patch_paths,
)
from .patch_plan import plan_patch
from .patch_reader import parse_patch
from .paths import near_names, resolve_inside
from .write_journal import WriteJournal

if TYPE_CHECKING:
    from .patch_preview import PatchPreview

__all__ = ["ApplyPatch", "apply_patch", "plan_files"]

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

    Asks for approval once per patch, naming what it replaces; "for this session" remembers the set of files. A patch
    that does not parse is not asked about: running it only reports the mistake. Not interruptible while it writes,
    which takes milliseconds.
    `history`: where applied patches are kept so that they can be taken back; by default one of its own.
    """

    name: str = "apply_patch"
    read_only: bool = False
    parallel: bool = False
    timeout_s: float | None = None

    def __init__(self, *, history: FileHistory | None = None) -> None:
        self.history: FileHistory = FileHistory() if history is None else history

    @property
    def spec(self) -> CustomToolSpec:
        format: Mapping[str, JsonValue] = {"type": "grammar", "syntax": "lark", "definition": PATCH_GRAMMAR}
        return CustomToolSpec(self.name, _DESCRIPTION, format)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        try:
            text = _patch_of(call)
            operations = parse_patch(text)
        except ToolError:
            return None
        paths, replaced = patch_paths(operations), _replaced(operations, context.cwd)
        summary = f"patch {', '.join(paths)}" + (f" (replaces {', '.join(replaced)})" if replaced else "")
        return write_request(call, context, paths, summary=summary, detail=text)

    @property
    def journal(self) -> WriteJournal:
        return self.history.journal

    def preview(self) -> PatchPreview:
        from .patch_preview import PatchPreview

        return PatchPreview()

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from anyio import to_thread

        try:
            text = _patch_of(call)
            # Not abandoned when cancelled: files are written by one thread, to the end or rolled back.
            return await to_thread.run_sync(_apply_and_show, text, granted(context), self.history)
        except ToolError as error:
            return ToolOutput(f"{error.message}; {error.remedy}", success=False)


def apply_patch(text: str, context: ToolContext, *, history: FileHistory | None = None) -> tuple[FileChange, ...]:
    """Parses, plans and writes. Blocking. Raises PatchError, and then no file has changed."""
    operations = parse_patch(text)
    journal = WriteJournal() if history is None else history.journal
    with journal.writing(context.cwd) as record:
        changes, seen = plan_files(operations, context)
        check_held((change.location for change in changes), context)
        write_changes(changes, seen, record=record)
    if history is not None:
        history.record(changes, seen)
    return changes


def _apply_and_show(text: str, context: ToolContext, history: FileHistory) -> ToolOutput:
    changes = apply_patch(text, context, history=history)
    paths: list[JsonValue] = [change.path for change in changes]
    return ToolOutput(summary_of(changes), metadata={"diff": bounded_diff(changes), "paths": paths})


def _replaced(operations: Sequence[PatchOperation], cwd: Path) -> list[str]:
    """Files that are there and that the patch does not show, because it writes others in their place."""
    new = (op.path if isinstance(op, AddFile) else op.move_to for op in operations if not isinstance(op, DeleteFile))
    return [path for path in dict.fromkeys(new) if path is not None and os.path.lexists(cwd / path)]


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
        content, status = read_for_change(Path(location))
        if status is not None:
            seen[location] = status
        return content

    def near(location: str) -> list[str]:
        return near_names(Path(location))

    changes = plan_patch(operations, read, locate=locate, near=near)
    for change in changes:
        check_writable(change, seen.get(change.location))
    return changes, seen
