"""Items and usage of the Responses wire, written: what requests, whole answers and streams of its codec share. The way
back is `responses_reading`.

An item goes to a model without ids, status and empty members (`encode_item`: what every server of the wire takes), and
to a client with all of them (`encode_output_item`: what its SDK insists on).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard, cast

from ..events import Usage
from ..items import (
    Compaction,
    ContentPart,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    GhostSnapshot,
    ImageGenerationCall,
    InputFile,
    InputImage,
    InputText,
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
from .base import Compat, Loss, json_object
from .replay_origin import same_origin
from .responses_reading import ECHOED

__all__ = ["annotations_of", "encode_item", "encode_output_item", "encode_usage"]

_CLIENT_MADE = (FunctionCallOutput, CustomToolCallOutput, ToolSearchOutput, GhostSnapshot)  # kinds without an origin

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
        if name in ECHOED.get(item.type, ()):
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


# usage


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
