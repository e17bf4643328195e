"""What is said, in the form the conventions give it, for those who ask for it: off unless the standard variable is set.

    OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT = NO_CONTENT | SPAN_ONLY | EVENT_ONLY | SPAN_AND_EVENT

Each text is bounded, and so is the whole; of a history the newest is kept. Images and files are named, not copied.
What is sealed (encrypted reasoning, signatures) stays out, and what looks like a key is masked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from enum import Enum

from ..items import (
    Compaction,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    JsonValue,
    LocalShellCall,
    Message,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
)
from ..prompt import CustomToolSpec, HostedToolSpec, ToolSpec, ToolSpecs
from ..redaction import redacted

__all__ = [
    "VARIABLE",
    "Content",
    "content_asked_for",
    "instructions",
    "json_text",
    "messages",
    "shown",
    "tool_definitions",
]

VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
TEXT_BYTES = 16 * 1024
"""Of one text; the rest is left out, and says so."""
ALL_BYTES = 256 * 1024
"""Of all messages of one attribute."""

MessageItem = ResponseItem


class Content(Enum):
    """Where content is recorded, by the conventions' words."""

    NO_CONTENT = (False, False)
    SPAN_ONLY = (True, False)
    EVENT_ONLY = (False, True)
    SPAN_AND_EVENT = (True, True)

    @property
    def on_spans(self) -> bool:
        return self.value[0]

    @property
    def in_events(self) -> bool:
        return self.value[1]


def content_asked_for() -> Content:
    """What the environment says; anything that is none of the four words means no content."""
    word = os.environ.get(VARIABLE, "").strip().upper()
    return Content[word] if word in Content.__members__ else Content.NO_CONTENT


def messages(items: Sequence[ResponseItem]) -> list[JsonValue]:
    """The history as messages with parts; neighbours of one role are one message. The newest that fit."""
    found: list[JsonValue] = []
    role, parts, left = "", list[JsonValue](), ALL_BYTES
    for item in reversed(items):
        said = _said(item)
        if said is None:
            continue
        left -= len(json_text(said[1]))
        if left < 0:
            break
        if said[0] != role:
            parts = []
            role = said[0]
            found.append({"role": role, "parts": parts})
        parts[:0] = said[1]
    found.reverse()
    return found


def instructions(text: str) -> list[JsonValue]:
    return [_text(text)] if text else []


def tool_definitions(tools: Iterable[ToolSpecs]) -> list[JsonValue]:
    """Type and name of each: the conventions advise against more by default."""
    found: list[JsonValue] = []
    for spec in tools:
        match spec:
            case ToolSpec() | CustomToolSpec():
                found.append({"type": "function", "name": spec.name})
            case HostedToolSpec():
                kind = spec.raw.get("type")
                name = spec.raw.get("name")
                found.append({"type": str(kind), "name": str(name if name is not None else kind)})
    return found


def shown(text: str) -> str:
    """A text, bounded, without what looks like a key."""
    data = text.encode("utf-8", "replace")
    if len(data) > TEXT_BYTES:
        text = f"{data[:TEXT_BYTES].decode('utf-8', 'ignore')}… ({len(data) - TEXT_BYTES} bytes left out)"
    return redacted(text)


def json_text(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _said(item: ResponseItem) -> tuple[str, list[JsonValue]] | None:
    """Role and parts of an item; None for what is not part of the conversation."""
    match item:
        case Message():
            role = "system" if item.role == "developer" else item.role
            return role, [_part(part) for part in item.content]
        case Reasoning():
            texts = [text for text in (*item.summary, *item.content) if text]
            return "assistant", [{"type": "reasoning", "content": shown(text)} for text in texts]
        case FunctionCall():
            return "assistant", [_call(item.call_id, item.name, item.arguments)]
        case CustomToolCall():
            return "assistant", [_call(item.call_id, item.name, item.input)]
        case LocalShellCall():
            return "assistant", [_call(item.call_id, "shell", json_text(list(item.action.command)))]
        case FunctionCallOutput() | CustomToolCallOutput():
            return "tool", [{"type": "tool_call_response", "id": item.call_id, "response": _output(item.output)}]
        case Compaction():
            return "assistant", [{"type": "compaction", **({"content": shown(item.summary)} if item.summary else {})}]
        case _:
            return None


def _call(call_id: str, name: str, arguments: str) -> JsonObject:
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": shown(arguments)}


def _output(output: str | Sequence[InputText | InputImage | InputFile]) -> JsonValue:
    return shown(output) if isinstance(output, str) else [_part(part) for part in output]


def _part(part: InputText | InputImage | InputFile | OutputText | Refusal) -> JsonValue:
    match part:
        case InputText() | OutputText():
            return _text(part.text)
        case Refusal():
            return _text(part.refusal)
        case InputImage():
            url = part.image_url
            if not url.startswith("data:"):
                return {"type": "uri", "modality": "image", "uri": shown(url)}
            return {"type": "blob", "modality": "image", "mime_type": url[5:].partition(";")[0].partition(",")[0]}
        case InputFile():
            return {"type": "file", "modality": "document", "file_id": part.file_id or ""}


def _text(text: str) -> JsonObject:
    return {"type": "text", "content": shown(text)}
