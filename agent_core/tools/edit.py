"""`edit`, `write_file` and `undo_edit`: one file at a time, for models that were not taught patches.

Written as patches are (file_writes): atomically; the file's mode, line endings, BOM and bytes that are no UTF-8 stay; a
file that changed since it was read is not written over.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..approvals import ApprovalRequest
from ..errors import ToolError
from ..items import JsonObject
from ..prompt import ToolSpec
from .arguments import InvalidArguments, check_arguments, parse_arguments
from .base import ToolCall, ToolContext, ToolOutput
from .escalation import check_held, granted, write_request
from .file_changes import FileChange, bounded_diff, summary_of
from .file_writes import FileHistory, check_writable, read_for_change, write_changes
from .paths import near_names, resolve_inside, shown_path

if TYPE_CHECKING:
    from .requests import EditRequest
    from .write_journal import WriteJournal, WriteRecord

__all__ = ["Edit", "UndoEdit", "WriteFile"]

MAX_NAMED_LINES = 5
"""How many places an ambiguous edit is told."""
_BOM = b"\xef\xbb\xbf"

_EDIT: JsonObject = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "The file, relative to the working directory."},
        "old_text": {"type": "string", "description": "The text to replace, exactly as it stands in the file."},
        "new_text": {"type": "string", "description": "What to put in its place; empty to delete it."},
        "replace_all": {"type": "boolean", "description": "Replace every place, not just one. Default false."},
    },
    "required": ["path", "old_text", "new_text"],
    "additionalProperties": False,
}
_WRITE: JsonObject = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "The file, relative to the working directory."},
        "content": {"type": "string", "description": "The whole text of the file."},
    },
    "required": ["path", "content"],
    "additionalProperties": False,
}
_NOTHING: JsonObject = {"type": "object", "properties": {}, "additionalProperties": False}


class Edit:
    """The tool `edit`: replaces a text that stands in the file once, or with `replace_all` everywhere.

    Asks for approval once per call; "for this session" remembers the file. `history`: where edits are kept so that they
    can be taken back; share one with the other writing tools.
    """

    name: str = "edit"
    read_only: bool = False
    parallel: bool = False
    timeout_s: float | None = None

    def __init__(self, *, history: FileHistory | None = None) -> None:
        self.history: FileHistory = FileHistory() if history is None else history

    @property
    def spec(self) -> ToolSpec:
        description = (
            "Replaces a piece of text in a file. old_text must be copied exactly, with its white space, and must stand "
            "in the file once: give enough of the lines around it, or set replace_all."
        )
        return ToolSpec(self.name, description, _EDIT)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        try:
            asked = _edit_request(call)
        except ToolError:
            return None
        lines = difflib.unified_diff(asked.old_text.splitlines(), asked.new_text.splitlines(), lineterm="", n=99)
        detail = "\n".join([asked.path, *list(lines)[3:]])  # without the header: the lines' numbers are not known yet
        return write_request(call, context, [asked.path], summary=f"edit {asked.path}", detail=detail)

    @property
    def journal(self) -> WriteJournal:
        return self.history.journal

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        try:
            asked = _edit_request(call)
        except InvalidArguments:
            raise
        except ToolError as error:
            return _failed(error)

        def edited(before: bytes | None) -> bytes:
            if before is None:
                raise _no_such_file(asked.path, context)
            return _edited(before, asked)

        return await _change(asked.path, edited, context, self.history)


class WriteFile:
    """The tool `write_file`: a whole file, new or in place of the old one. Approval and `history` as for Edit."""

    name: str = "write_file"
    read_only: bool = False
    parallel: bool = False
    timeout_s: float | None = None

    def __init__(self, *, history: FileHistory | None = None) -> None:
        self.history: FileHistory = FileHistory() if history is None else history

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(self.name, "Writes a whole text file: a new one, or over the old one. Makes folders.", _WRITE)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        from .requests import WriteFileRequest

        try:
            asked = check_arguments(WriteFileRequest, parse_arguments(call.arguments))
        except ToolError:
            return None
        lines = asked.content.count("\n") + (not asked.content.endswith("\n"))
        return write_request(
            call, context, [asked.path], summary=f"write {asked.path} ({lines} lines)", detail=asked.content
        )

    @property
    def journal(self) -> WriteJournal:
        return self.history.journal

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from .requests import WriteFileRequest

        try:
            asked = check_arguments(WriteFileRequest, parse_arguments(call.arguments))
            content = _encoded(asked.content)
        except InvalidArguments:
            raise
        except ToolError as error:
            return _failed(error)
        return await _change(asked.path, lambda before: content, context, self.history)


class UndoEdit:
    """The tool `undo_edit`: takes back the newest change in `history`, of whichever tool that shares it."""

    name: str = "undo_edit"
    read_only: bool = False
    parallel: bool = False
    timeout_s: float | None = None

    def __init__(self, history: FileHistory) -> None:
        self.history: FileHistory = history

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(self.name, "Takes back your last change of files, all of its files at once.", _NOTHING)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        last = self.history.last
        if not last:
            return None
        names = ", ".join(change.path for change in last)
        return write_request(
            call,
            context,
            [change.location for change in last],
            summary=f"take back the last change of {names}",
            detail=bounded_diff(_reversed(last)),
        )

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from anyio import to_thread

        try:
            check_held((change.location for change in self.history.last), context)
            changes = await to_thread.run_sync(self.history.undo, context.cwd)
        except ToolError as error:
            return _failed(error)
        return _shown(changes)


def _edit_request(call: ToolCall) -> EditRequest:
    from .requests import EditRequest

    asked = check_arguments(EditRequest, parse_arguments(call.arguments))
    if not asked.old_text:
        raise ToolError("old_text: it is empty", remedy="copy the text to replace, or use write_file for a new file")
    if asked.old_text == asked.new_text:
        raise ToolError("old_text and new_text are the same", remedy="say what to change")
    return asked


async def _change(
    path: str, new: Callable[[bytes | None], bytes], context: ToolContext, history: FileHistory
) -> ToolOutput:
    """Read, let `new` say what the file is to be, write, remember; the tool's answer."""
    from anyio import to_thread

    def work() -> tuple[FileChange, ...]:
        with history.journal.writing(context.cwd) as record:
            return write(record)

    def write(record: WriteRecord | None) -> tuple[FileChange, ...]:
        target = resolve_inside(path, granted(context))
        check_held((target,), context)
        before, status = read_for_change(target)
        change = FileChange(shown_path(target, context), str(target), before, new(before))
        if change.after == before:
            raise ToolError(f"{path!r} has that text already", remedy="nothing needs to be changed")
        check_writable(change, status)
        seen = {} if status is None else {change.location: status}
        write_changes((change,), seen, record=record)
        history.record((change,), seen)
        return (change,)

    try:
        # Not abandoned when cancelled: the file is written by one thread, to the end.
        return _shown(await to_thread.run_sync(work))
    except ToolError as error:
        return _failed(error)


def _shown(changes: tuple[FileChange, ...]) -> ToolOutput:
    return ToolOutput(
        summary_of(changes), metadata={"diff": bounded_diff(changes), "paths": [change.path for change in changes]}
    )


def _failed(error: ToolError) -> ToolOutput:
    return ToolOutput(f"{error.message}; {error.remedy}", success=False)


def _reversed(changes: tuple[FileChange, ...]) -> tuple[FileChange, ...]:
    return tuple(FileChange(change.path, change.location, change.after, change.before) for change in changes)


def _no_such_file(path: str, context: ToolContext) -> ToolError:
    names = near_names(context.cwd / path)
    remedy = f"did you mean {' or '.join(repr(name) for name in names)}?" if names else "use write_file for a new file"
    return ToolError(f"there is no file {path!r}", remedy=remedy)


# --- replacing text --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    """A file's text, and how to make bytes of it again: Latin-1 carries bytes that are no UTF-8 unchanged."""

    text: str
    codec: str
    bom: bytes


def _edited(content: bytes, asked: EditRequest) -> bytes:
    source = _decoded(content, asked.path)
    # A line break of the model's is whichever the file has there.
    pattern = re.compile(r"\r?\n".join(re.escape(line) for line in asked.old_text.replace("\r\n", "\n").split("\n")))
    found = list(pattern.finditer(source.text))
    if not found:
        raise ToolError(f"old_text does not stand in {asked.path!r}", remedy=_nearest(source.text, asked.old_text))
    if len(found) > 1 and not asked.replace_all:
        lines = ", ".join(str(source.text.count("\n", 0, match.start()) + 1) for match in found[:MAX_NAMED_LINES])
        more = "" if len(found) <= MAX_NAMED_LINES else " and more"
        raise ToolError(
            f"old_text stands in {asked.path!r} {len(found)} times, at lines {lines}{more}",
            remedy="give more of the lines around it, or set replace_all",
        )
    new = asked.new_text.replace("\r\n", "\n")
    if _is_crlf(source.text):
        new = new.replace("\n", "\r\n")
    if source.codec != "utf-8" and not new.isascii():
        raise ToolError(
            f"{asked.path!r} is not UTF-8, so only ASCII can be added safely", remedy="convert the file to UTF-8 first"
        )
    pieces: list[str] = []
    end = 0
    for match in found:
        pieces += (source.text[end : match.start()], new)
        end = match.end()
    text = "".join((*pieces, source.text[end:]))
    return source.bom + (_encoded(text) if source.codec == "utf-8" else text.encode(source.codec))


def _decoded(content: bytes, path: str) -> _Source:
    bom = _BOM if content.startswith(_BOM) else b""
    if b"\0" in content:
        raise ToolError(f"{path!r} is a binary file", remedy="change it with a program that knows its format")
    try:
        return _Source(content[len(bom) :].decode(), "utf-8", bom)
    except UnicodeDecodeError:
        return _Source(content[len(bom) :].decode("latin-1"), "latin-1", bom)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ToolError(f"the text holds {text[error.start]!r}, which is no character", remedy="leave it out") from None


def _is_crlf(text: str) -> bool:
    return text.count("\r\n") * 2 > text.count("\n")


def _nearest(text: str, wanted: str) -> str:
    """What to do about a text that is not there: where it stands with other white space, or the line most like it."""
    lines = text.split("\n")
    stripped = [line.strip() for line in lines]
    goal = [line.strip() for line in wanted.strip().split("\n")]
    for at in range(len(lines) - len(goal) + 1):
        if stripped[at : at + len(goal)] == goal:
            return f"lines {at + 1}-{at + len(goal)} differ only in white space: copy them exactly"
    near = difflib.get_close_matches(goal[0], stripped[:_NEAR_LINES], n=1, cutoff=0.6) if goal[0] else []
    if not near:
        return "read the file again and copy the text exactly"
    at = stripped.index(near[0])
    return f"the nearest is line {at + 1}, {lines[at].strip()[:100]!r}: copy the text exactly"


_NEAR_LINES = 2000
"""How many lines are compared with one that is not there."""
