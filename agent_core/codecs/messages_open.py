"""What of a Messages answer is being received: its content blocks, and the item that one or more of them make."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic_core import from_json

from ..items import (
    CustomToolCall,
    FunctionCall,
    ItemStatus,
    JsonObject,
    JsonValue,
    Message,
    Origin,
    OutputText,
    Reasoning,
    ResponseItem,
    UnknownItem,
)
from .base import json_object, json_str
from .messages_blocks import REDACTED, THINKING, dump_text, input_of, json_or_text

__all__ = ["KINDS", "Block", "BlockKind", "OpenItem"]

BlockKind = Literal["text", "thinking", "redacted_thinking", "tool_use", "other"]

KINDS: dict[str, BlockKind] = {
    "text": "text",
    "thinking": "thinking",
    "redacted_thinking": "redacted_thinking",
    "tool_use": "tool_use",
}

_TOOL_USE = frozenset({"type", "id", "name", "input", "cache_control"})


class _Originates(Protocol):
    def __call__(self, *, field: str = "", item_id: str = "") -> Origin: ...


class Block:
    """A content block being received. `pieces` is its text, thinking or partial JSON, joined once, at the end."""

    __slots__ = ("grown", "item", "kind", "notes", "open", "part", "pieces", "raw", "signature")

    def __init__(self, kind: BlockKind, raw: JsonObject, item: OpenItem) -> None:
        self.kind: BlockKind = kind
        self.raw = raw
        self.item = item
        self.pieces: list[str] = []
        self.signature = ""
        self.notes: list[JsonObject] = []  # citations
        self.grown: dict[str, list[str]] = {}  # of a block of another kind: strings its deltas brought, by member
        self.part = -1  # content_index, once the block has content
        self.open = True

    def close(self) -> None:
        self.open = False
        self.item.open -= 1

    @property
    def takes_no_more(self) -> bool:
        """A delta after its block's stop is taken as long as the item has not been told whole and text stays in
        order."""
        return self.item.done or (self.kind == "text" and self is not self.item.blocks[-1])

    @property
    def is_object(self) -> bool:
        """Whether its pieces are a JSON object, as arguments are that are whole."""
        return input_of("".join(self.pieces)) is not None

    def grow(self, delta: JsonObject) -> None:
        """A delta of a block we do not interpret: strings are appended to the member of their name, the rest is set."""
        for name, value in delta.items():
            if name == "partial_json":
                self.pieces.append(json_str(value))
            elif isinstance(value, str) and name != "type":
                self.grown.setdefault(name, []).append(value)
            elif value is not None and name != "type":
                self.raw[name] = value

    def assembled(self) -> JsonObject:
        """Such a block, whole."""
        raw = dict(self.raw)
        for name, pieces in self.grown.items():
            raw[name] = json_str(raw.get(name)) + "".join(pieces)
        text = "".join(self.pieces)
        if text:
            raw["input"] = json_or_text(text)
        return raw


class OpenItem:
    """An item being received: one block, or the text blocks of a message. `index` is -1 until it has content."""

    __slots__ = ("blocks", "call_id", "custom", "done", "index", "open", "parts", "sealed")

    def __init__(self) -> None:
        self.index = -1
        self.blocks: list[Block] = []
        self.open = 0  # how many of them have not stopped
        self.parts = 0
        self.sealed = False  # a message after which another block started: it gets no more parts
        self.done = False
        self.call_id = ""
        self.custom = False  # a free-form call: its text is known when its JSON is whole

    def made(self, status: ItemStatus, origin: _Originates) -> ResponseItem:
        """The item, whole or so far."""
        block = self.blocks[0]
        match block.kind:
            case "text":
                parts = tuple(
                    OutputText(text="".join(part.pieces), annotations=tuple(part.notes))
                    for part in self.blocks
                    if part.part >= 0
                )
                return Message(role="assistant", content=parts, status=status, origin=origin())
            case "thinking":
                return Reasoning(
                    content=("".join(block.pieces),) if block.pieces else (),
                    signature=block.signature or None,
                    status=status,
                    origin=origin(field=THINKING),
                )
            case "redacted_thinking":
                sealed = json_str(block.raw.get("data"))
                return Reasoning(encrypted_content=sealed, status=status, origin=origin(field=REDACTED))
            case "tool_use":
                return self._call(block, status, origin)
            case "other":
                raw = block.assembled()
                return UnknownItem(raw=raw, origin=origin(item_id=json_str(raw.get("id"))))

    def _call(self, block: Block, status: ItemStatus, origin: _Originates) -> FunctionCall | CustomToolCall:
        raw = block.raw
        name = json_str(raw.get("name"))
        arguments = "".join(block.pieces) or _whole_input(raw.get("input"))
        made_by = origin(item_id=json_str(raw.get("id")))
        opaque = _opaque(raw)
        if self.custom:
            text = _unwrapped(arguments)
            return CustomToolCall(
                call_id=self.call_id, name=name, input=text, status=status, origin=made_by, opaque=opaque
            )
        return FunctionCall(
            call_id=self.call_id, name=name, arguments=arguments, status=status, origin=made_by, opaque=opaque
        )


def _whole_input(value: JsonValue) -> str:
    if isinstance(value, str) and value:  # some gateways send the text of the JSON here
        return value
    return dump_text({} if value is None else value)


def _unwrapped(arguments: str) -> str:
    """The text of a free-form call that was lowered to a function of one string `input`."""
    found = input_of(arguments)
    if found is None:  # it was cut
        try:
            found = json_object(from_json(arguments, allow_partial="trailing-strings")) or {}
        except ValueError:
            found = {}
        return json_str(found.get("input")) or arguments
    text = found.get("input")
    if isinstance(text, str):
        return text
    return arguments if found else ""


def _opaque(raw: JsonObject) -> JsonObject | None:
    """Members of a tool_use block beyond the known ones, to be echoed: who called, above all, if not the model."""
    extra: JsonObject = {name: value for name, value in raw.items() if name not in _TOOL_USE and value is not None}
    caller = json_object(extra.get("caller"))
    if caller is not None and caller.get("type") == "direct":
        del extra["caller"]
    return extra or None
