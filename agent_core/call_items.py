"""Call items as tools see them, and the output items that answer them."""

from __future__ import annotations

import json

from .items import (
    CallItem,
    CallOutputItem,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    JsonObject,
    LocalShellCall,
    ToolSearchCall,
    ToolSearchOutput,
)
from .tools.base import ToolCall, ToolOutput

__all__ = ["name_of", "output_item", "tool_call"]


def tool_call(item: CallItem) -> ToolCall:
    """The call as a tool sees it. A local shell call becomes the JSON arguments of the `shell` tool."""
    match item:
        case FunctionCall():
            return ToolCall(item.call_id, item.name, item.arguments)
        case CustomToolCall():
            return ToolCall(item.call_id, item.name, item.input, "custom")
        case LocalShellCall():
            action = item.action
            arguments: JsonObject = {"command": list(action.command)}
            if action.working_directory is not None:
                arguments["workdir"] = action.working_directory
            if action.timeout_ms is not None:
                arguments["timeout_ms"] = action.timeout_ms
            return ToolCall(item.call_id, "shell", json.dumps(arguments))
        case ToolSearchCall():
            return ToolCall(item.call_id or "", "tool_search", json.dumps(item.arguments))


def output_item(item: CallItem, output: ToolOutput) -> CallOutputItem:
    """The output of the kind that answers this kind of call. Its id follows from the call's, so that a session takes
    only one, however often a call is answered."""
    match item:
        case CustomToolCall():
            return CustomToolCallOutput(
                id=_answer_id("ctco", item), call_id=item.call_id, output=output.content, success=output.success
            )
        case ToolSearchCall():
            return ToolSearchOutput(
                id=_answer_id("tso", item), call_id=item.call_id, execution="client", tools=_found(output)
            )
        case _:
            return FunctionCallOutput(
                id=_answer_id("fco", item), call_id=item.call_id, output=output.content, success=output.success
            )


def _found(output: ToolOutput) -> tuple[JsonObject, ...]:
    """The definitions of the tools that `tool_search` found."""
    tools = output.metadata.get("tools")
    return tuple(tool for tool in tools if isinstance(tool, dict)) if isinstance(tools, list) else ()


def name_of(item: CallItem) -> str:
    """The name of the tool that is called."""
    return tool_call(item).name if not isinstance(item, FunctionCall | CustomToolCall) else item.name


def _answer_id(prefix: str, item: CallItem) -> str | None:
    return None if item.id is None else f"{prefix}_{item.id.rpartition('_')[2]}"
