"""What a call will do, shown while the model still writes it: PatchProgress between the deltas it is read from."""

from __future__ import annotations

from collections.abc import Sequence

from .events import OutputItemAdded, ToolCallInputDelta
from .items import CustomToolCall, FunctionCall
from .permission import Emit
from .tools.base import CallPreview, PreviewedTool, Tool
from .turn_events import PatchProgress, SampleStarted, TurnEvent

__all__ = ["previewing"]


def previewing(emit: Emit, tools: Sequence[Tool]) -> Emit:
    """`emit`, and behind a delta of a previewed tool's call what it adds. `emit` itself where no tool is previewed."""
    previewed = {tool.spec.name: tool for tool in tools if isinstance(tool, PreviewedTool)}
    if not previewed:
        return emit
    open_calls: dict[int, CallPreview] = {}

    async def shown(event: TurnEvent) -> None:
        await emit(event)
        if isinstance(event, ToolCallInputDelta):
            preview = open_calls.get(event.index)
            if preview is not None and (pieces := preview.feed(event.delta)):
                await emit(PatchProgress(event.call_id, pieces))
        elif isinstance(event, OutputItemAdded):
            item = event.item
            if isinstance(item, FunctionCall | CustomToolCall) and (tool := previewed.get(item.name)) is not None:
                open_calls[event.index] = tool.preview()
        elif isinstance(event, SampleStarted):
            open_calls.clear()

    return shown
