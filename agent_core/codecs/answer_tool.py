"""Structured output by a forced tool: the call of that tool is the answer, and comes out as the assistant's text.

The same for all wires and both ways of answering: `AnswerToolDecoder` stands over a stream's decoder, `as_answer`
changes a whole answer. What the call would have said of itself is gone on purpose: nobody may run or answer it.
"""

from __future__ import annotations

from typing import TypeGuard

from msgspec.structs import replace

from ..errors import ModelError
from ..events import (
    Completed,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    Response,
    ResponseEvent,
    ToolCallInputDelta,
)
from ..items import FunctionCall, ItemStatus, Message, OutputText, ResponseItem
from ..prompt import Prompt
from .base import Compat, StreamDecoder
from .output_forms import answer_tool_name

__all__ = ["AnswerToolDecoder", "answering", "as_answer"]


def answering(decoder: StreamDecoder, prompt: Prompt, compat: Compat) -> StreamDecoder:
    """`decoder`, or one that turns the answer's call back, where the prompt went out with an answer tool."""
    name = answer_tool_name(prompt, compat)
    return decoder if name is None else AnswerToolDecoder(decoder, name)


def as_answer(response: Response, name: str | None) -> Response:
    """The response with calls of `name` as text; one that had no other calls has stopped."""
    if name is None or not any(_is_answer(item, name) for item in response.items):
        return response
    items = tuple(_message(item) if _is_answer(item, name) else item for item in response.items)
    turned = replace(response, items=items)
    if turned.finish_reason == "tool_calls" and not turned.tool_calls:
        turned = replace(turned, finish_reason="stop")
    return turned


class AnswerToolDecoder:
    """A `StreamDecoder` over another one. Text is passed on as it comes, piece by piece."""

    __slots__ = ("_inner", "_name", "_others", "_told", "done", "error", "finishing", "frames")

    def __init__(self, inner: StreamDecoder, name: str) -> None:
        self.error: ModelError | None = None
        self.done = False
        self.finishing = False
        self.frames = 0
        self._inner = inner
        self._name = name
        self._told: dict[int, bool] = {}  # the answer's places: was any of its text passed on?
        self._others = False  # other calls came

    def feed(self, data: bytes) -> list[ResponseEvent]:
        return self._turned(self._inner.feed(data))

    def close(self) -> list[ResponseEvent]:
        return self._turned(self._inner.close())

    def snapshot(self) -> Response:
        return as_answer(self._inner.snapshot(), self._name)

    def _turned(self, events: list[ResponseEvent]) -> list[ResponseEvent]:
        out: list[ResponseEvent] = []
        for event in events:
            self._turn(event, out)
        inner = self._inner
        self.done, self.finishing, self.frames = inner.done, inner.finishing, inner.frames
        if inner.error is not None and self.error is None:
            self.error = inner.error
            if self.error.partial is not None:
                self.error.partial = as_answer(self.error.partial, self._name)
        return out

    def _turn(self, event: ResponseEvent, out: list[ResponseEvent]) -> None:
        match event:
            case OutputItemAdded(index=index, item=item) if _is_answer(item, self._name):
                self._told[index] = False
                out.append(OutputItemAdded(index, _message(item, text="", status="in_progress")))
            case OutputItemAdded(_, item):
                self._others = self._others or item.type in ("function_call", "custom_tool_call")
                out.append(event)
            case ToolCallInputDelta(index, _, delta) if index in self._told:
                self._told[index] = True
                out.append(OutputTextDelta(index, delta))
            case OutputItemDone(index, item) if _is_answer(item, self._name):
                message = _message(item)
                if message.content and not self._told[index]:
                    out.append(OutputTextDelta(index, _text(item)))
                out.append(OutputItemDone(index, message))
            case Completed(finish_reason="tool_calls") if self._told and not self._others:
                out.append(replace(event, finish_reason="stop"))
            case _:
                out.append(event)


def _is_answer(item: ResponseItem, name: str) -> TypeGuard[FunctionCall]:
    return item.type == "function_call" and item.name == name


def _message(item: FunctionCall, *, text: str | None = None, status: ItemStatus | None = None) -> Message:
    text = _text(item) if text is None else text
    content = (OutputText(text=text),) if text else ()
    # The provider's id names a call: no message may be sent under it.
    origin = item.origin.model_copy(update={"item_id": ""}) if item.origin is not None else None
    return Message(role="assistant", content=content, status=status or item.status, origin=origin)


def _text(item: FunctionCall) -> str:
    """Blank arguments of a whole call are an empty object, as everywhere."""
    return item.arguments if item.arguments.strip() or item.status != "completed" else "{}"
