"""Tools the client runs: the contract, functions as tools, shell, patches, files and earlier outputs.

Every name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .apply_patch import ApplyPatch
    from .base import Tool, ToolCall, ToolContext, ToolOutput
    from .files import ReadFile
    from .function import FunctionTool, tool
    from .read_output import ReadOutput
    from .shell import Shell

__all__ = [
    "ApplyPatch",
    "FunctionTool",
    "ReadFile",
    "ReadOutput",
    "Shell",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolOutput",
    "coding_tools",
    "tool",
]

_WHERE = {
    "ApplyPatch": "apply_patch",
    "FunctionTool": "function",
    "ReadFile": "files",
    "ReadOutput": "read_output",
    "Shell": "shell",
    "Tool": "base",
    "ToolCall": "base",
    "ToolContext": "base",
    "ToolOutput": "base",
    "tool": "function",
}


def coding_tools() -> list[Tool]:
    """The tools an agent needs to work on a project: shell, read_file and apply_patch, each with its defaults."""
    from .apply_patch import ApplyPatch
    from .files import ReadFile
    from .shell import Shell

    return [Shell(), ReadFile(), ApplyPatch()]


def __getattr__(name: str) -> object:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
