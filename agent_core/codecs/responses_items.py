"""Items of the Responses wire, both ways: the part of its codec that requests, whole answers and streams share.

An item goes to a model without ids, status and empty members (`encode_item`: what every server of the wire takes), and
to a client with all of them (`encode_output_item`: what its SDK insists on). Reading is one function for both
(`decode_item`), lenient: what a peer left out is made up deterministically, an unknown type survives as UnknownItem.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard, cast

from pydantic_core import from_json

from ..events import ReportedUsage, Usage
from ..items import (
    Compaction,
    ContentPart,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    GhostSnapshot,
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
from .answer_words import own_members
from .base import Compat, Loss, json_bytes, json_int, json_list, json_object, json_str
from .replay_origin import same_origin
from .token_counts import disjoint
from .tool_calls import made_up_id

__all__ = [
    "Source",
    "annotations_of",
    "decode_item",
    "decode_message",
    "decode_output",
    "decode_usage",
    "encode_item",
    "encode_output_item",
    "encode_usage",
    "json_text",
    "load_json",
]

_ROLES: dict[str, Role] = {"system": "system", "developer": "developer", "user": "user", "assistant": "assistant"}
_STATUSES: dict[str, ItemStatus] = {"incomplete": "incomplete", "in_progress": "in_progress"}
_DETAILS: dict[str, ImageDetail] = {"auto": "auto", "low": "low", "high": "high", "original": "original"}

_CLIENT_MADE = (FunctionCallOutput, CustomToolCallOutput, ToolSearchOutput, GhostSnapshot)  # kinds without an origin

_ECHOED = {"function_call": ("caller",), "custom_tool_call": ("caller",), "reasoning": ("format",)}
"""Members that have no field of their own but must go back as they came: who called (programmatic tool calls), and the
format of encrypted reasoning (OpenRouter)."""

_ANNOTATIONS = frozenset({"url_citation", "file_citation", "container_file_citation", "file_path"})

_ID_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "local_shell_call": "lsh",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
    "web_search_call": "ws",
    "image_generation_call": "ig",
    "compaction": "cmp",
}  # codex.md 1.1


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


# JSON


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


# to a model


def encode_item(item: ResponseItem, compat: Compat) -> JsonObject | Loss:
    """The item as `input` takes it, or why this wire cannot carry it."""
    if not (compat.send_item_ids or compat.content_as_string) and (plain := _plain(item)) is not None:
        return plain
    encoded = _encode(item, compat)
    if isinstance(encoded, Loss):
        return encoded
    if isinstance(item, _CLIENT_MADE) or not _from_here(item.origin, compat):
        return encoded
    # An image_generation_call has no input form without its id; the others have (codex.md 1.1).
    if item.origin.item_id and (compat.send_item_ids or isinstance(item, ImageGenerationCall)):
        encoded["id"] = item.origin.item_id
    for name, value in (item.opaque or {}).items():
        encoded.setdefault(name, value)
    return encoded


def _plain(item: ResponseItem) -> JsonObject | None:
    """What `_encode` says of an everyday item, said in a fifth of the time; None for another."""
    # The dict of a model, not its attributes: to look there costs a fifth.
    fields = item.__dict__
    kind = fields["type"]
    if kind == "function_call_output":
        output = fields["output"]
        if type(output) is str and fields["success"] is not False:
            return {"type": kind, "call_id": fields["call_id"], "output": output}
    elif kind == "function_call":
        if fields["opaque"] is None and fields["namespace"] is None:
            name, arguments = fields["name"], fields["arguments"]
            return {"type": kind, "call_id": fields["call_id"], "name": name, "arguments": arguments}
    elif kind == "message" and fields["opaque"] is None and len(fields["content"]) == 1:
        role, part = fields["role"], fields["content"][0].__dict__
        if role == "user" and part["type"] == "input_text":
            return {"type": kind, "role": role, "content": [{"type": "input_text", "text": part["text"]}]}
        if role == "assistant" and part["type"] == "output_text" and not part["annotations"]:
            out: JsonObject = {"type": kind, "role": role, "content": [{"type": "output_text", "text": part["text"]}]}
            if fields["phase"] is not None:
                out["phase"] = fields["phase"]
            return out
    return None


def _from_here(origin: Origin | None, compat: Compat) -> TypeGuard[Origin]:
    """Made by this very provider: an id or a sealed value of another's means nothing here, or something else."""
    return origin is not None and same_origin(origin, wire="responses", provider=compat.provider)


def _encode(item: ResponseItem, compat: Compat) -> JsonObject | Loss:
    match item:
        case Message():
            return _encode_message(item, compat)
        case Reasoning():
            return _encode_reasoning(item)
        case FunctionCall() | CustomToolCall():
            return _encode_call(item)
        case FunctionCallOutput() | CustomToolCallOutput():
            return {"type": item.type, "call_id": item.call_id, "output": _encode_output(item, compat)}
        case LocalShellCall():
            return {
                "type": item.type,
                "call_id": item.call_id,
                "status": item.status,
                "action": _encode_action(item.action),
            }
        case ToolSearchCall():
            return {**_encode_tool_search(item), "arguments": item.arguments}
        case ToolSearchOutput():
            return {**_encode_tool_search(item), "status": item.status, "tools": list[JsonValue](item.tools)}
        case WebSearchCall():
            searched: JsonObject = {"type": item.type, "status": item.status or "completed"}
            if item.action is not None and item.action.get("type") != "other":  # refused when it comes back: codex#6945
                searched["action"] = item.action
            return searched
        case ImageGenerationCall():
            return _without_none(
                type=item.type,
                status=item.status or "completed",
                result=item.result,
                revised_prompt=item.revised_prompt,
            )
        case Compaction():
            if item.encrypted_content is None:
                return Loss("compaction", "a summary that replay did not make a message")
            return {"type": item.type, "encrypted_content": item.encrypted_content}
        case GhostSnapshot():
            return Loss("ghost_snapshot", "it annotates history and is never sent")
        case UnknownItem():
            if item.origin is not None and item.origin.wire != "responses":
                return Loss("unknown_item", f"{item.raw_type!r} belongs to another wire")
            return dict(item.raw)


def _encode_message(item: Message, compat: Compat) -> JsonObject | Loss:
    if not item.content:
        return Loss("message", "a message without content")
    role: str = compat.system_role if item.role in ("system", "developer") else item.role
    out: JsonObject = {"type": "message", "role": role}
    if compat.content_as_string and all(isinstance(part, (InputText, OutputText)) for part in item.content):
        out["content"] = "".join(part.text for part in item.content if isinstance(part, (InputText, OutputText)))
    else:
        cited = _from_here(item.origin, compat)
        out["content"] = [_encode_part(part, item.role, annotations=cited) for part in item.content]
    if item.phase is not None and item.role == "assistant":
        out["phase"] = item.phase
    return out


def _encode_part(part: ContentPart, role: Role, *, annotations: bool) -> JsonObject:
    match part:
        case InputText() | OutputText():
            kind = "output_text" if role == "assistant" else "input_text"
            text: JsonObject = {"type": kind, "text": part.text}
            if annotations and isinstance(part, OutputText) and part.annotations:
                text["annotations"] = list(part.annotations)
            return text
        case Refusal():
            if role == "assistant":
                return {"type": part.type, "refusal": part.refusal}
            return {"type": "input_text", "text": part.refusal}
        case InputImage():
            return _without_none(type=part.type, image_url=part.image_url, detail=part.detail)
        case InputFile():
            return _without_none(
                type=part.type,
                file_id=part.file_id,
                file_url=part.file_url,
                filename=part.filename,
                file_data=part.file_data,
            )


def _encode_reasoning(item: Reasoning) -> JsonObject | Loss:
    summary: list[JsonValue] = [{"type": "summary_text", "text": text} for text in item.summary]
    out: JsonObject = {"type": "reasoning", "summary": summary}
    if item.encrypted_content is not None:  # it holds the content: never sent twice (codex.md 1.1)
        out["encrypted_content"] = item.encrypted_content
    elif item.content:
        out["content"] = [{"type": "reasoning_text", "text": text} for text in item.content]
    elif not item.summary and not (item.origin is not None and item.origin.item_id):
        return Loss("reasoning", "reasoning that holds nothing")
    return out


def _encode_call(item: FunctionCall | CustomToolCall) -> JsonObject:
    out: JsonObject = {"type": item.type, "call_id": item.call_id, "name": item.name}
    if isinstance(item, FunctionCall):
        out["arguments"] = item.arguments
    else:
        out["input"] = item.input
    if item.namespace is not None:
        out["namespace"] = item.namespace
    return out


def _encode_output(item: FunctionCallOutput | CustomToolCallOutput, compat: Compat) -> JsonValue:
    """The wire has no error flag: a failed output says so in its first words."""
    prefix = compat.error_prefix if item.success is False else ""
    if isinstance(item.output, str):
        return item.output if item.output.startswith(prefix) else prefix + item.output
    parts: list[OutputPart] = list(item.output)
    first = next((n for n, part in enumerate(parts) if isinstance(part, InputText)), None)
    if first is None:
        parts = [InputText(text=prefix.rstrip(": ")), *parts] if prefix else parts
    elif isinstance(text := parts[first], InputText) and not text.text.startswith(prefix):
        parts[first] = InputText(text=prefix + text.text)
    return [_encode_output_part(part) for part in parts]


def _encode_output_part(part: OutputPart) -> JsonObject:
    """vLLM 0.32 refuses an image without `detail` here (not in a message); "auto" is what leaving it out means."""
    out = _encode_part(part, "user", annotations=False)
    return {**out, "detail": part.detail or "auto"} if isinstance(part, InputImage) else out


def _encode_action(action: LocalShellAction) -> JsonObject:
    return _without_none(
        type="exec",
        command=list(action.command),
        env=dict(action.env) if action.env is not None else {},
        timeout_ms=action.timeout_ms,
        working_directory=action.working_directory,
        user=action.user,
    )


def _encode_tool_search(item: ToolSearchCall | ToolSearchOutput) -> JsonObject:
    return {"type": item.type, "call_id": item.call_id, "execution": item.execution}


def _without_none(**members: JsonValue | Sequence[JsonValue] | Mapping[str, JsonValue]) -> JsonObject:
    return {name: cast("JsonValue", value) for name, value in members.items() if value is not None}


# to a client


def encode_output_item(item: ResponseItem, stem: str, index: int) -> JsonObject:
    """The item as an answer's `output` holds it: with an id, a status, and the members SDKs insist on.

    The id is the provider's own where the item came over this wire, else made from `stem` and `index`.
    """
    out: JsonObject = {"id": _item_id(item, stem, index), "type": item.type}
    match item:
        case UnknownItem():
            return out | item.raw if item.raw_type else out
        case Message():
            out |= {"status": item.status, "role": item.role, "content": [_output_part(part) for part in item.content]}
            if item.phase is not None:
                out["phase"] = item.phase
        case Reasoning():
            out |= {"status": item.status}
            out["summary"] = [{"type": "summary_text", "text": text} for text in item.summary]
            if item.content:
                out["content"] = [{"type": "reasoning_text", "text": text} for text in item.content]
            if item.encrypted_content is not None:
                out["encrypted_content"] = item.encrypted_content
        case _:
            encoded = _encode(item, Compat())
            out |= {} if isinstance(encoded, Loss) else encoded
            if isinstance(item, WebSearchCall) and item.action is not None:
                out["action"] = item.action
            if isinstance(item, (FunctionCall, CustomToolCall, ToolSearchCall)):
                out["status"] = item.status
    opaque = own_members(item, "responses") if isinstance(item, FunctionCall | CustomToolCall | Reasoning) else {}
    for name, value in opaque.items():
        if name in _ECHOED.get(item.type, ()):
            out.setdefault(name, value)
    return out


def _item_id(item: ResponseItem, stem: str, index: int) -> str:
    origin = None if isinstance(item, _CLIENT_MADE) else item.origin
    if origin is not None and origin.wire == "responses" and origin.item_id:
        return origin.item_id
    return f"{_ID_PREFIXES.get(item.type, 'item')}_{stem}_{index}"


def _output_part(part: ContentPart) -> JsonObject:
    if isinstance(part, (InputText, OutputText)):
        notes = annotations_of(part) if isinstance(part, OutputText) else []
        return {"type": "output_text", "text": part.text, "annotations": list[JsonValue](notes), "logprobs": []}
    return _encode_part(part, "assistant", annotations=False)


def annotations_of(part: OutputText) -> list[JsonObject]:
    """The annotations that an answer of this wire can have; those of Chat have an object of their own inside."""
    notes = [note | (json_object(note.get("url_citation")) or {}) for note in part.annotations]
    for note in notes:
        note.pop("url_citation", None)
    return [note for note in notes if note.get("type") in _ANNOTATIONS]


# from a peer


def decode_item(raw: JsonObject, source: Source, index: int) -> ResponseItem:
    """An item a model made, from its JSON object. `index` is its place in the answer: a call id that the peer left out
    is made from it. Never raises.
    """
    kind = json_str(raw.get("type"))
    decode = _DECODERS.get(kind)
    if decode is None:
        return UnknownItem(raw=raw, origin=source.origin(raw))
    item = decode(raw, source, index)
    opaque: JsonObject = {name: raw[name] for name in _ECHOED.get(kind, ()) if raw.get(name) is not None}
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


# usage


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


def encode_usage(usage: Usage | None) -> JsonObject | None:
    """A `usage` object: the standard's sums, so input contains cached tokens and output contains reasoning."""
    if usage is None:
        return None
    out: JsonObject = {
        "input_tokens": usage.input_total,
        # Both are required members of the official SDK's type, zeros included.
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output_total,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }
    if usage.cache_write_1h:  # the member of the Messages API, as on Chat
        out["cache_creation"] = {"ephemeral_1h_input_tokens": usage.cache_write_1h}
    return out
