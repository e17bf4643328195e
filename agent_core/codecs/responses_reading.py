"""Items and usage of the Responses wire, read: of requests, whole answers and streams alike (`decode_item`). The way
back is `responses_items`.

Reading is lenient: what a peer left out is made up deterministically, an unknown type survives as UnknownItem.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic_core import from_json

from ..events import ReportedUsage, Usage
from ..items import (
    Compaction,
    ContentPart,
    CustomToolCall,
    FunctionCall,
    ImageDetail,
    ImageGenerationCall,
    InputFile,
    InputImage,
    InputText,
    ItemStatus,
    JsonObject,
    JsonValue,
    LocalShellAction,
    LocalShellCall,
    Message,
    Origin,
    OutputPart,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    Role,
    ToolSearchCall,
    ToolSearchOutput,
    UnknownItem,
    WebSearchCall,
)
from .base import Compat, json_bytes, json_int, json_list, json_object, json_str
from .token_counts import disjoint
from .tool_calls import made_up_id

__all__ = [
    "ECHOED",
    "Source",
    "decode_item",
    "decode_message",
    "decode_output",
    "decode_usage",
    "json_text",
    "load_json",
]

_STATUSES: dict[str, ItemStatus] = {"incomplete": "incomplete", "in_progress": "in_progress"}
_DETAILS: dict[str, ImageDetail] = {"auto": "auto", "low": "low", "high": "high", "original": "original"}

ECHOED = {"function_call": ("caller",), "custom_tool_call": ("caller",), "reasoning": ("format",)}
"""Members that have no field of their own but must go back as they came: who called (programmatic tool calls), and the
format of encrypted reasoning (OpenRouter)."""


@dataclass(frozen=True, slots=True)
class Source:
    """Whom items come from: what their `Origin` says."""

    provider: str = ""
    model: str = ""
    response_id: str = ""

    def origin(self, raw: Mapping[str, JsonValue], field: str = "") -> Origin:
        return Origin(
            wire="responses",
            provider=self.provider,
            model=self.model,
            field=field,
            item_id=json_str(raw.get("id")),
            response_id=self.response_id,
        )


def load_json(data: bytes) -> JsonValue:
    """JSON text as values; escaped lone surrogates, which many JavaScript peers write, become U+FFFD.

    Raises ValueError for what is not JSON, or nested deeper than any peer has a reason for.
    """
    try:
        value: JsonValue = from_json(data)
    except ValueError:
        if b"\\u" not in data:
            raise
        try:
            value = from_json(json_bytes(json.loads(data)))
        except RecursionError:
            raise ValueError("JSON is nested too deeply") from None
    return value


def decode_item(raw: JsonObject, source: Source, index: int) -> ResponseItem:
    """An item a model made, from its JSON object. `index` is its place in the answer: a call id that the peer left out
    is made from it. Never raises.
    """
    kind = json_str(raw.get("type"))
    decode = _DECODERS.get(kind)
    if decode is None:
        return UnknownItem(raw=raw, origin=source.origin(raw))
    item = decode(raw, source, index)
    opaque: JsonObject = {name: raw[name] for name in ECHOED.get(kind, ()) if raw.get(name) is not None}
    return item.model_copy(update={"opaque": opaque}) if opaque else item


def decode_message(raw: JsonObject, role: Role, source: Source, unknown: list[str] | None = None) -> Message:
    """A message of any role. `unknown` collects the types of parts that have no place in one."""
    content = raw.get("content")
    parts: list[ContentPart] = []
    for value in [content] if isinstance(content, str) else json_list(content):
        part = _decode_part(value, role)
        if part is not None:
            parts.append(part)
        elif unknown is not None:
            unknown.append(json_str((json_object(value) or {}).get("type")) or "part")
    phase = json_str(raw.get("phase"))
    return Message(
        role=role,
        content=tuple(parts),
        phase="commentary" if phase == "commentary" else "final_answer" if phase == "final_answer" else None,
        status=_status(raw),
        origin=source.origin(raw) if role == "assistant" else None,
    )


def _decode_part(value: JsonValue, role: Role) -> ContentPart | None:
    if isinstance(value, str):
        return OutputText(text=value) if role == "assistant" else InputText(text=value)
    raw = json_object(value) or {}
    match raw.get("type"):
        case "output_text" | "input_text" | "text":
            if role != "assistant":
                return InputText(text=json_str(raw.get("text")))
            annotations = tuple(note for one in json_list(raw.get("annotations")) if (note := json_object(one)))
            return OutputText(text=json_str(raw.get("text")), annotations=annotations)
        case "refusal":
            return Refusal(refusal=json_str(raw.get("refusal")))
        case "input_image" if url := json_str(raw.get("image_url")):
            return InputImage(image_url=url, detail=_DETAILS.get(json_str(raw.get("detail"))))
        case "input_file":
            return InputFile(
                filename=json_str(raw.get("filename")) or None,
                file_data=json_str(raw.get("file_data")) or None,
                file_url=json_str(raw.get("file_url")) or None,
                file_id=json_str(raw.get("file_id")) or None,
            )
        case _:
            return None


def decode_output(value: JsonValue) -> str | tuple[OutputPart, ...]:
    """A call's output: text, or parts. Other JSON becomes its text; parts of unknown types are left out."""
    if isinstance(value, list):
        parts = (_decode_part(part, "user") for part in value)
        return tuple(part for part in parts if isinstance(part, (InputText, InputImage, InputFile)))
    return json_text(value)


def json_text(value: JsonValue) -> str:
    """A member that should be a string: itself, or the compact JSON of what is there instead; null is empty."""
    return value if isinstance(value, str) else "" if value is None else json_bytes(value).decode()


def _status(raw: JsonObject) -> ItemStatus:
    return _STATUSES.get(json_str(raw.get("status")), "completed")


def _call_id(raw: JsonObject, source: Source, index: int) -> str:
    return json_str(raw.get("call_id")) or made_up_id(source.response_id, index)


def _message(raw: JsonObject, source: Source, index: int) -> Message:
    return decode_message(raw, "assistant", source)


def _reasoning(raw: JsonObject, source: Source, index: int) -> Reasoning:
    content = _texts(raw.get("content"))
    summary = _texts(raw.get("summary"))
    return Reasoning(
        summary=summary,
        content=content,
        encrypted_content=json_str(raw.get("encrypted_content")) or None,
        status=_status(raw),
        origin=source.origin(raw, "reasoning_text" if content else "summary" if summary else "encrypted_content"),
    )


def _texts(value: JsonValue) -> tuple[str, ...]:
    texts = [json_str((json_object(part) or {"text": part}).get("text")) for part in _list(value)]
    return tuple(text for text in texts if text)


def _list(value: JsonValue) -> list[JsonValue]:
    return [value] if isinstance(value, str) else json_list(value)


def _function_call(raw: JsonObject, source: Source, index: int) -> FunctionCall:
    return FunctionCall(
        call_id=_call_id(raw, source, index),
        name=json_str(raw.get("name")),
        arguments=json_text(raw.get("arguments")),
        namespace=json_str(raw.get("namespace")) or None,
        status=_status(raw),
        origin=source.origin(raw),
    )


def _custom_tool_call(raw: JsonObject, source: Source, index: int) -> CustomToolCall:
    return CustomToolCall(
        call_id=_call_id(raw, source, index),
        name=json_str(raw.get("name")),
        input=json_text(raw.get("input")),
        namespace=json_str(raw.get("namespace")) or None,
        status=_status(raw),
        origin=source.origin(raw),
    )


def _local_shell_call(raw: JsonObject, source: Source, index: int) -> LocalShellCall:
    found = json_object(raw.get("action")) or {}
    env = json_object(found.get("env"))
    action = LocalShellAction(
        command=tuple(word for word in _list(found.get("command")) if isinstance(word, str)),
        timeout_ms=json_int(found.get("timeout_ms")),
        working_directory=json_str(found.get("working_directory")) or None,
        env={name: value for name, value in env.items() if isinstance(value, str)} if env else None,
        user=json_str(found.get("user")) or None,
    )
    # Its first form had only an item id, and was answered by that (codex.md 1.7).
    named = raw if raw.get("call_id") else raw | {"call_id": raw.get("id")}
    call_id = _call_id(named, source, index)
    return LocalShellCall(call_id=call_id, action=action, status=_status(raw), origin=source.origin(raw))


def _tool_search_call(raw: JsonObject, source: Source, index: int) -> ToolSearchCall:
    server = raw.get("execution") == "server"
    return ToolSearchCall(
        call_id=json_str(raw.get("call_id")) or None if server else _call_id(raw, source, index),
        execution="server" if server else "client",
        arguments=raw.get("arguments"),
        status=_status(raw),
        origin=source.origin(raw),
    )


def _tool_search_output(raw: JsonObject, source: Source, index: int) -> ToolSearchOutput:
    return ToolSearchOutput(
        call_id=json_str(raw.get("call_id")) or None,
        execution="server" if raw.get("execution") == "server" else "client",
        tools=tuple(tool for one in json_list(raw.get("tools")) if (tool := json_object(one)) is not None),
        status=_status(raw),
    )


def _web_search_call(raw: JsonObject, source: Source, index: int) -> WebSearchCall:
    status = json_str(raw.get("status")) or None
    return WebSearchCall(action=json_object(raw.get("action")), status=status, origin=source.origin(raw))


def _image_generation_call(raw: JsonObject, source: Source, index: int) -> ImageGenerationCall:
    return ImageGenerationCall(
        result=json_str(raw.get("result")),
        revised_prompt=json_str(raw.get("revised_prompt")) or None,
        status=json_str(raw.get("status")) or None,
        origin=source.origin(raw),
    )


def _compaction(raw: JsonObject, source: Source, index: int) -> Compaction:
    return Compaction(
        encrypted_content=json_str(raw.get("encrypted_content")) or None,
        origin=source.origin(raw),
    )


_DECODERS: dict[str, Callable[[JsonObject, Source, int], ResponseItem]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "custom_tool_call": _custom_tool_call,
    "local_shell_call": _local_shell_call,
    "tool_search_call": _tool_search_call,
    "tool_search_output": _tool_search_output,
    "web_search_call": _web_search_call,
    "image_generation_call": _image_generation_call,
    "compaction": _compaction,
    "compaction_summary": _compaction,  # its name before 2026 (codex.md 1.1)
}


def decode_usage(value: JsonValue, compat: Compat) -> Usage | None:
    """Disjoint counters from a `usage` object, by the rules of `token_counts`; None where there is none."""
    raw = json_object(value)
    if not raw:
        return None
    inputs = json_object(raw.get("input_tokens_details")) or {}
    outputs = json_object(raw.get("output_tokens_details")) or {}
    reported = ReportedUsage(
        input=json_int(raw.get("input_tokens")),
        cached_input=json_int(inputs.get("cached_tokens")),
        output=json_int(raw.get("output_tokens")),
        reasoning=json_int(outputs.get("reasoning_tokens")),
        total=json_int(raw.get("total_tokens")),
    )
    return disjoint(reported, raw, compat, cache_write=json_int(inputs.get("cache_write_tokens")))
