"""An output item of the Responses wire while it is received: what its events said of it, and the item that makes.

texts   of a message or a reasoning, in parts, by kind and index: the deltas of a kind count, and what is said whole
        only where none came
input   of a call, in pieces; one that stands for a call of a custom tool holds its text as JSON
raw     everything else, as the server wrote it
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic_core import from_json

from ..events import (
    OutputTextDelta,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    RefusalDelta,
    ResponseEvent,
    ToolCallInputDelta,
)
from ..items import ItemStatus, JsonObject, JsonValue, ResponseItem
from .base import json_list, json_object, json_str
from .responses_reading import Source, decode_item, json_text
from .tool_calls import parse_arguments

__all__ = ["DELTAS", "INPUTS", "Slot"]

_Delta: TypeAlias = type[OutputTextDelta | RefusalDelta | ReasoningContentDelta | ReasoningSummaryDelta]

DELTAS: dict[str, _Delta] = {
    "text": OutputTextDelta,
    "refusal": RefusalDelta,
    "reasoning": ReasoningContentDelta,
    "summary": ReasoningSummaryDelta,
}
"""The event for a piece of a text, by the kind of the text."""

INPUTS = {"function_call": "arguments", "custom_tool_call": "input"}
"""The member that is the input of a call, by the kind of the item."""

_PARTS = {"output_text": "text", "text": "text", "refusal": "refusal", "reasoning_text": "reasoning"}
"""What a part of an item's `content` is to its item's texts."""

_EMPTIED: dict[str, JsonObject] = {
    "message": {"content": []},
    "reasoning": {"content": [], "summary": [], "encrypted_content": None},
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
    "image_generation_call": {"result": ""},
}
"""Members an item does not have yet when it is announced, whatever the server put there."""

_LISTS = {"text": "content", "refusal": "content", "reasoning": "reasoning", "summary": "summary"}
"""Texts of one list are counted together: a message's texts and refusals share one."""

_TERSE = frozenset({"web_search_call", "image_generation_call"})
"""Kinds whose status is the provider's own word; unknown kinds stay as they came altogether."""

_STATED = frozenset({"message", "reasoning", "local_shell_call", "tool_search_call", "tool_search_output", *INPUTS})


@dataclass(slots=True)
class _Part:
    """One text of an item. `ordinal` is its place among the texts of its list, by first appearance."""

    kind: str
    ordinal: int
    pieces: list[str] = field(default_factory=list[str])
    annotations: list[JsonValue] = field(default_factory=list[JsonValue])


@dataclass(slots=True, eq=False)
class Slot:
    """One output item. `index` is its place among the events, -1 while it was not announced; `item` is set at its end.

    `lowered`: a function call that stands for a call of a custom tool, which this server does not know.
    """

    kind: str
    raw: JsonObject
    index: int = -1
    closed: bool = False
    lowered: bool = False
    told: bool = False  # its input was returned as deltas
    parts: dict[tuple[str, int], _Part] = field(default_factory=dict[tuple[str, int], _Part])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    pieces: list[str] = field(default_factory=list[str])
    item: ResponseItem | None = None

    def part(self, kind: str, index: JsonValue) -> _Part:
        key = (kind, index if type(index) is int else 0)
        part = self.parts.get(key)
        if part is None:
            count = self.counts.get(_LISTS[kind], 0)
            self.counts[_LISTS[kind]] = count + 1
            part = self.parts[key] = _Part(kind, count)
        return part

    def said(self, kind: str) -> list[_Part]:
        """The parts of a kind that have text."""
        return [part for part in self.parts.values() if part.kind == kind and part.pieces]

    def may_be_cut(self) -> bool:
        """A function call whose arguments are not the text of an object (yet)."""
        text = "".join(self.pieces)
        return self.kind == "function_call" and (not text.strip() or parse_arguments(text) is None)

    # what was said whole

    def settle(self, kind: str, part_index: JsonValue, text: str, out: list[ResponseEvent]) -> None:
        """A text said whole: taken if no delta brought it. Its index may lie: the last text of the kind counts too."""
        known = self.said(kind)
        if known and "".join(known[-1].pieces) == text:
            return
        if not self.part(kind, part_index).pieces:
            self._take(kind, part_index, text, out)

    def settle_texts(self, raw: JsonObject, out: list[ResponseEvent]) -> None:
        """What the whole item says, where neither deltas nor `….done` events did."""
        kinds = ("text", "refusal") if self.kind == "message" else ("reasoning", "summary")
        missing = {kind for kind in kinds if not self.said(kind)}
        if not missing:
            return
        for n, value in enumerate(json_list(raw.get("content"))):
            found = json_object(value) or {}
            kind = _PARTS.get(json_str(found.get("type")), "")
            if kind in missing:
                self._take(kind, n, found.get("refusal" if kind == "refusal" else "text"), out)
        for n, value in enumerate(json_list(raw.get("summary"))):
            if "summary" in missing:
                self._take("summary", n, (json_object(value) or {}).get("text"), out)

    def settle_input(self, out: list[ResponseEvent]) -> None:
        """Arguments that no delta brought, or that came before the call could be announced."""
        if not self.pieces:
            self.pieces.append(json_text(self.raw.get(INPUTS[self.kind])))
        text = "".join(self.pieces)
        if self.lowered:
            text = _custom_input(text)
        if text and not self.told:
            out.append(ToolCallInputDelta(self.index, json_str(self.raw.get("call_id")), text))

    def _take(self, kind: str, part_index: JsonValue, text: JsonValue, out: list[ResponseEvent]) -> None:
        if isinstance(text, str) and text:
            part = self.part(kind, part_index)
            part.pieces.append(text)
            out.append(DELTAS[kind](self.index, text, part.ordinal))

    # the item

    def announced(self, source: Source) -> ResponseItem:
        """The item as it begins: without its texts or input."""
        raw = {**self.raw, **_EMPTIED.get(self.kind, {})}
        if self.kind in _STATED:
            raw["status"] = "in_progress"
        if self.lowered:
            raw |= {"type": "custom_tool_call", "input": ""}
        return decode_item(raw, source, self.index)

    def made(self, source: Source, status: ItemStatus) -> ResponseItem:
        """The item, whole or so far: what the wire said of it, with its texts as they were streamed."""
        raw = dict(self.raw)
        if self.kind in _STATED or (self.kind in _TERSE and status == "incomplete"):
            raw["status"] = status
        if self.kind == "message":
            raw["content"] = self._content()
        elif self.kind == "reasoning":
            raw["content"] = ["".join(part.pieces) for part in self.said("reasoning")]
            raw["summary"] = ["".join(part.pieces) for part in self.said("summary")]
        elif self.lowered:
            raw |= {"type": "custom_tool_call", "input": _custom_input("".join(self.pieces))}
        elif self.kind in INPUTS:
            raw[INPUTS[self.kind]] = "".join(self.pieces)
        return decode_item(raw, source, self.index)

    def _content(self) -> list[JsonValue]:
        """A message's content: its texts as they were streamed, with the citations that the whole item has."""
        whole = [json_object(value) or {} for value in json_list(self.raw.get("content"))]
        cited = [
            json_list(part.get("annotations")) for part in whole if _PARTS.get(json_str(part.get("type"))) == "text"
        ]
        content: list[JsonValue] = []
        texts = self.said("text")
        for part in self.parts.values():
            text = "".join(part.pieces)
            if part.kind == "refusal" and text:
                content.append({"type": "refusal", "refusal": text})
            elif text:
                n = texts.index(part)
                notes = cited[n] if n < len(cited) and cited[n] else part.annotations
                content.append({"type": "output_text", "text": text, "annotations": notes})
        return content


def _custom_input(arguments: str) -> str:
    """What a lowered call says: the `input` of its arguments, even unfinished; else the arguments themselves."""
    try:
        found = json_object(from_json(arguments, allow_partial="trailing-strings")) or {}
    except ValueError:
        return arguments
    text = found.get("input")
    return text if isinstance(text, str) else arguments
