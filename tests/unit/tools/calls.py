"""Calls and contexts for the tools' tests."""

from __future__ import annotations

import json
from pathlib import Path

from agent_core.items import JsonValue
from agent_core.tools import ToolCall, ToolContext


def call(name: str, arguments: dict[str, JsonValue] | str = "", *, custom: bool = False) -> ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall("call_1", name, text, "custom" if custom else "function")


def watched(cwd: Path) -> tuple[ToolContext, list[str]]:
    """A context, and the list its progress goes to."""
    shown: list[str] = []

    async def emit(text: str) -> None:
        shown.append(text)

    return ToolContext(cwd, call_id="call_1", emit=emit), shown
