"""Calls and contexts for the tools' tests."""

from __future__ import annotations

import json
from pathlib import Path

from agent_core.items import JsonValue
from agent_core.tools import Tool, ToolCall, ToolContext
from agent_core.tools.run import Answer, run_tool


def call(name: str, arguments: dict[str, JsonValue] | str = "", *, custom: bool = False) -> ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall("call_1", name, text, "custom" if custom else "function")


async def answered(tool: Tool, call: ToolCall, context: ToolContext) -> Answer:
    """What the model is told in the end."""
    return await run_tool(tool, call, context, timeout_s=60, cancelled=lambda answer: None)


def watched(cwd: Path) -> tuple[ToolContext, list[str]]:
    """A context, and the list its progress goes to."""
    shown: list[str] = []

    async def emit(text: str) -> None:
        shown.append(text)

    return ToolContext(cwd, call_id="call_1", emit=emit), shown
