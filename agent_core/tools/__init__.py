"""Tools the client runs: the contract, functions as tools, shell, patches and edits, files, search, earlier outputs.

Every name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .apply_patch import ApplyPatch
    from .arguments import InvalidArguments
    from .base import Bounded, ClosingTool, Tool, ToolCall, ToolContext, ToolOutput
    from .edit import Edit, UndoEdit, WriteFile
    from .exec_command import ExecCommand, KillSession, WriteStdin
    from .exec_sessions import ExecSessions
    from .file_writes import FileHistory
    from .files import ReadFile
    from .function import ApprovalRule, ErrorRule, FunctionTool, tool
    from .hand_back import HandBack
    from .patch_reader import PatchReader
    from .plan import Question, RequestUserInput, UpdatePlan
    from .read_output import ReadOutput
    from .safe_commands import is_known_safe
    from .search import Glob, Grep, ListDir
    from .shell import Shell
    from .tool_search import ToolSearch
    from .tool_sets import Deferred, ToolSet, tool_set
    from .view_image import ViewImage
    from .write_journal import WriteJournal

__all__ = [
    "ApplyPatch",
    "ApprovalRule",
    "Bounded",
    "ClosingTool",
    "Deferred",
    "Edit",
    "ErrorRule",
    "ExecCommand",
    "ExecSessions",
    "FileHistory",
    "FunctionTool",
    "Glob",
    "Grep",
    "HandBack",
    "InvalidArguments",
    "KillSession",
    "ListDir",
    "PatchReader",
    "Question",
    "ReadFile",
    "ReadOutput",
    "RequestUserInput",
    "Shell",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolOutput",
    "ToolSearch",
    "ToolSet",
    "UndoEdit",
    "UpdatePlan",
    "ViewImage",
    "WriteFile",
    "WriteJournal",
    "WriteStdin",
    "coding_tools",
    "is_known_safe",
    "tool",
    "tool_set",
]

_WHERE = {
    "ApplyPatch": "apply_patch",
    "ApprovalRule": "function",
    "Bounded": "base",
    "ClosingTool": "base",
    "Deferred": "tool_sets",
    "Edit": "edit",
    "ErrorRule": "function",
    "ExecCommand": "exec_command",
    "ExecSessions": "exec_sessions",
    "FileHistory": "file_writes",
    "FunctionTool": "function",
    "Glob": "search",
    "Grep": "search",
    "HandBack": "hand_back",
    "InvalidArguments": "arguments",
    "KillSession": "exec_command",
    "ListDir": "search",
    "PatchReader": "patch_reader",
    "Question": "plan",
    "ReadFile": "files",
    "ReadOutput": "read_output",
    "RequestUserInput": "plan",
    "Shell": "shell",
    "Tool": "base",
    "ToolCall": "base",
    "ToolContext": "base",
    "ToolOutput": "base",
    "ToolSearch": "tool_search",
    "ToolSet": "tool_sets",
    "UndoEdit": "edit",
    "UpdatePlan": "plan",
    "ViewImage": "view_image",
    "WriteFile": "edit",
    "WriteJournal": "write_journal",
    "WriteStdin": "exec_command",
    "is_known_safe": "safe_commands",
    "tool": "function",
    "tool_set": "tool_sets",
}


def coding_tools(
    edits: Literal["apply_patch", "edit"] = "apply_patch", *, commands: Literal["shell", "exec"] = "shell"
) -> list[Tool]:
    """The tools an agent needs to work on a project, each with its defaults: shell, read_file, list_dir, glob, grep,
    view_image, update_plan, and to change files apply_patch, or for models that were not taught patches edit,
    write_file and undo_edit. `commands="exec"`: in place of shell, exec_command, write_stdin and kill_session, for
    commands that go on beside the conversation until the agent is closed."""
    from .apply_patch import ApplyPatch
    from .edit import Edit, UndoEdit, WriteFile
    from .exec_sessions import ExecSessions
    from .file_writes import FileHistory
    from .files import ReadFile
    from .plan import UpdatePlan
    from .search import Glob, Grep, ListDir
    from .shell import Shell
    from .view_image import ViewImage

    history = FileHistory()
    patches = ApplyPatch(history=history)
    writing: list[Tool] = [patches]
    if edits == "edit":
        writing = [Edit(history=history), WriteFile(history=history), UndoEdit(history)]
    shell = Shell(patches=patches if edits == "apply_patch" else None)
    running: list[Tool] = ExecSessions().tools() if commands == "exec" else [shell]
    return [*running, ReadFile(), ListDir(), Glob(), Grep(), ViewImage(), *writing, UpdatePlan()]


def __getattr__(name: str) -> object:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
