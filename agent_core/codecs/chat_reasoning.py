"""Reasoning on the Chat wire, both ways. The wire has no word for it, so servers made up several (providers.md 3b).

    field                                                   form
    reasoning_content, reasoning, reasoning_text            a string (or an object around one) beside `content`
    reasoning_details                                       a list of typed objects, to be sent back untouched
    content                                                 `content` is a list of thinking and text parts (Mistral)
    think tags                                              part of the text: never taken out, only put in on request

A server wants it back in the field it came in, and only if it is the same server; replay sees to the latter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..items import JsonObject, JsonValue, Reasoning
from .base import Compat, json_int, json_list, json_object, json_str

__all__ = ["REASONING_FIELDS", "ReasoningDetails", "details_text", "put_reasoning", "reasoning_text", "thinking_text"]

REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_text")
"""Where reasoning text comes. First non-empty wins: some servers send the same text in two of them."""

DEFAULT_FIELD = "reasoning"
"""For reasoning that came in no field of this wire; what Codex and most local servers read (behaviours.md S1-7)."""


def reasoning_text(value: JsonValue) -> str:
    """The text of a reasoning member: a string, or an object with `text` or `content` (T-A3)."""
    if isinstance(value, str):
        return value
    found = json_object(value)
    return (json_str(found.get("text")) or json_str(found.get("content"))) if found else ""


def details_text(details: JsonValue) -> str:
    """The readable text of `reasoning_details`; Snowflake sends it nowhere else."""
    out = ""
    for entry in json_list(details):
        detail = json_object(entry) or {}
        out += next((text for name in ("text", "summary") if isinstance(text := detail.get(name), str)), "")
    return out


def thinking_text(value: JsonValue) -> str:
    """The text of a thinking part: a string, or a list of text parts."""
    if isinstance(value, str):
        return value
    return "".join(json_str((json_object(part) or {}).get("text")) for part in json_list(value))


@dataclass(slots=True)
class _Detail:
    members: JsonObject
    pieces: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def add(self, detail: JsonObject) -> None:
        for name, value in detail.items():
            if name in ("text", "summary") and isinstance(value, str):
                self.members.setdefault(name, "")
                self.pieces.setdefault(name, []).append(value)
            elif value not in (None, "") or name not in self.members:
                self.members[name] = value

    def follows(self, detail: JsonObject) -> bool:
        """Is `detail` the next piece of this one? A signed block is closed, and so is one of another id."""
        if self.members.get("signature") and (detail.get("text") or detail.get("summary")):
            return False
        own, other = self.members.get("id"), detail.get("id")
        return not own or not other or own == other


class ReasoningDetails:
    """`reasoning_details` deltas in, whole details out: pieces of one type and index become one, so that the list can
    be sent back as a server that did not stream would have written it. Encrypted ones come whole."""

    __slots__ = ("_details", "_open")

    def __init__(self) -> None:
        self._details: list[_Detail] = []
        self._open: dict[tuple[str, int | None], _Detail] = {}

    def __bool__(self) -> bool:
        return bool(self._details)

    def feed(self, details: list[JsonValue]) -> None:
        for entry in details:
            detail = json_object(entry)
            if not detail:
                continue
            key = (json_str(detail.get("type")), json_int(detail.get("index")))
            found = self._open.get(key)
            if "data" in detail:
                if found is not None and found.members == detail:  # the finish chunk sent twice (OpenRouter)
                    continue
                found = None
            if found is None or not found.follows(detail):
                found = _Detail({})
                self._open[key] = found
                self._details.append(found)
            found.add(detail)

    def whole(self) -> tuple[JsonObject, ...]:
        return tuple(
            {**detail.members, **{name: "".join(pieces) for name, pieces in detail.pieces.items()}}
            for detail in self._details
        )


def put_reasoning(message: JsonObject, reasonings: Sequence[Reasoning], compat: Compat) -> None:
    """Put a step's reasoning into its assistant message, in the form the profile says or else the one it came in."""
    form: str = compat.reasoning_field
    if form == "as_received":
        origin = reasonings[0].origin if reasonings else None
        form = origin.field if origin else "reasoning_details" if any(item.details for item in reasonings) else ""
        form = "content_list" if form == "content" else form
        if form != "content_list" and form != "reasoning_details" and form not in REASONING_FIELDS:
            form = DEFAULT_FIELD
    text = "\n".join(item.text for item in reasonings if item.text)
    match form:
        case "none":
            return
        case "reasoning_details":
            details: list[JsonValue] = [detail for item in reasonings for detail in item.details]
            if details or text:
                message["reasoning_details"] = details or [{"type": "reasoning.text", "text": text}]
        case "content_list" if text:
            content = message.get("content")
            parts: list[JsonValue] = [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]
            message["content"] = [*parts, {"type": "text", "text": content}] if content else parts
        case "think_tag" if text:
            message["content"] = f"<think>\n{text}\n</think>\n\n{json_str(message.get('content'))}"
        case "reasoning" | "reasoning_content" | "reasoning_text" if text:
            message[form] = text
        case _:
            pass
    if compat.reasoning_always_present:
        message.setdefault(form if form in REASONING_FIELDS and reasonings else _always_field(compat), "")
    for item in reasonings:
        message.update(item.opaque or {})


def _always_field(compat: Compat) -> str:
    return compat.reasoning_field if compat.reasoning_field in REASONING_FIELDS else "reasoning_content"
