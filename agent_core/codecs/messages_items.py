"""Items of the Messages wire: one item → the blocks of a message, and whose message they belong into.

What the wire or the server cannot carry is dropped with a `Loss`; `Losses` collects them, each once.
"""

from __future__ import annotations

import base64
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote_to_bytes

from ..errors import InvalidPromptError
from ..items import (
    ContentPart,
    CustomToolCallOutput,
    FunctionCallOutput,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    JsonValue,
    Message,
    Origin,
    OutputText,
    Refusal,
    ResponseItem,
)
from .base import Compat, Loss, json_list, json_object, json_str
from .messages_blocks import assistant_blocks, of_this_wire, tool_use_block
from .replay_text import is_blank, plain_object

__all__ = ["Losses", "Role", "encode_item", "plain_block", "plain_text", "role_of"]

Role: TypeAlias = Literal["user", "assistant", "system"]

_FAILED = "failed, without a message"
"""The API refuses an error that says nothing: "content cannot be empty if `is_error` is true" (inspect_ai#169)."""


class Losses:
    """What a request could not carry, in order of discovery, each once. `cut` keeps the first of them."""

    def __init__(self, known: Iterable[Loss] = ()) -> None:
        self._seen: dict[Loss, None] = dict.fromkeys(known)

    def __len__(self) -> int:
        return len(self._seen)

    def cut(self, length: int) -> None:
        while len(self._seen) > length:
            self._seen.popitem()

    def add(self, feature: str, detail: str = "") -> None:
        self._seen[Loss(feature, detail)] = None

    def all(self) -> tuple[Loss, ...]:
        return tuple(self._seen)


def plain_block(kind: str, fields: Mapping[str, Any]) -> JsonObject | None:
    """The block of an everyday item of this kind, as `encode_item` makes it in several times the time; None for any
    other. `fields` is the dict of the item: to look there costs a fifth of an attribute of a pydantic model."""
    if kind == "function_call_output":
        output = fields["output"]
        if type(output) is str and fields["success"] is not False and not is_blank(output):
            return {"type": "tool_result", "tool_use_id": fields["call_id"], "content": output}
    elif kind == "function_call":
        if fields["opaque"] is None and fields["namespace"] is None:
            arguments = plain_object(fields["arguments"])
            if arguments is not None:
                return {"type": "tool_use", "id": fields["call_id"], "name": fields["name"], "input": arguments}
    elif kind == "message" and len(fields["content"]) == 1:
        part = fields["content"][0].__dict__
        is_text = part["type"] == ("input_text" if fields["role"] == "user" else "output_text")
        said_here = fields["role"] == "user" or (fields["role"] == "assistant" and is_text and not part["annotations"])
        if is_text and said_here and not is_blank(part["text"]):
            return {"type": "text", "text": part["text"]}
    return None


def encode_item(item: ResponseItem, compat: Compat, losses: Losses) -> list[JsonObject]:
    """The blocks of one item; none for an item that says nothing or that this wire has no place for (a Loss)."""
    # `type` and not the class: a pydantic class is asked slowly whether something is one of its own.
    if item.type == "message":
        return _message(item, compat, losses)
    if item.type == "function_call_output" or item.type == "custom_tool_call_output":
        return [_result(item, losses)]
    if item.type == "function_call" or item.type == "custom_tool_call" or item.type == "local_shell_call":
        if item.type != "local_shell_call" and item.namespace is not None:
            losses.add("namespace", item.namespace)
        return [tool_use_block(item)]
    blocks = assistant_blocks(item)
    if not blocks:
        losses.add("item", item.type)
    return blocks


def _message(item: Message, compat: Compat, losses: Losses) -> list[JsonObject]:
    if item.role == "assistant":
        blocks = assistant_blocks(item)
        return [_said(block, item.origin, compat, losses) for block in blocks if _is_visible(block)]
    if item.role == "user":
        return _parts(item.content, losses)
    text = plain_text(item)
    if not compat.inline_system and text.strip():
        losses.add("system_role", "a system message after the first was sent as the user's")
        text = f"<system-reminder>\n{text}\n</system-reminder>"
    return _text(text)


def role_of(item: ResponseItem, compat: Compat) -> Role:
    if item.type == "message":
        if item.role == "assistant":
            return "assistant"
        return "user" if item.role == "user" or not compat.inline_system else "system"
    return "user" if item.type == "function_call_output" or item.type == "custom_tool_call_output" else "assistant"


def _is_own(origin: Origin | None, compat: Compat) -> bool:
    return of_this_wire(origin) and origin is not None and origin.provider == compat.provider


def _is_visible(block: JsonObject) -> bool:
    return bool(json_str(block.get("text")).strip())  # the API refuses blank text


def _said(block: JsonObject, origin: Origin | None, compat: Compat, losses: Losses) -> JsonObject:
    """A text block of the model's. Of its citations only those of web searches are accepted back as they came, and
    only where they came from: their `encrypted_index` is opaque."""
    citations = json_list(block.get("citations"))
    if not citations:
        return block
    kept = [note for note in citations if (json_object(note) or {}).get("type") == "web_search_result_location"]
    if not _is_own(origin, compat):
        kept = []
    if len(kept) < len(citations):
        losses.add("annotations")
    out: JsonObject = {"type": "text", "text": block["text"]}
    if kept:
        out["citations"] = kept
    return out


def _text(text: str) -> list[JsonObject]:
    return [{"type": "text", "text": text}] if text.strip() else []


def plain_text(item: Message) -> str:
    return "\n".join(part.text for part in item.content if isinstance(part, (InputText, OutputText)))


def _result(item: FunctionCallOutput | CustomToolCallOutput, losses: Losses) -> JsonObject:
    block: JsonObject = {"type": "tool_result", "tool_use_id": item.call_id}
    if isinstance(item.output, str):
        if item.output.strip():
            block["content"] = item.output
    elif parts := _parts(item.output, losses):
        block["content"] = list[JsonValue](parts)
    if item.success is False:
        block.setdefault("content", _FAILED)
        block["is_error"] = True
    return block


def _parts(content: Sequence[ContentPart], losses: Losses) -> list[JsonObject]:
    blocks: list[JsonObject] = []
    for part in content:
        match part:
            case InputText() | OutputText():
                blocks.extend(_text(part.text))
            case Refusal():
                blocks.extend(_text(part.refusal))
            case InputImage():
                if part.detail not in (None, "auto"):
                    losses.add("image_detail", part.detail)
                blocks.append({"type": "image", "source": _source(part.image_url)})
            case InputFile():
                blocks.append(_document(part, losses))
    return blocks


def _source(url: str) -> JsonObject:
    if url[:8].lower().startswith(("http://", "https://")):
        return {"type": "url", "url": url}
    media_type, data = _data_url(url)
    return {"type": "base64", "media_type": media_type, "data": data}


def _data_url(url: str) -> tuple[str, str]:
    """Media type and base64 text of a `data:` URL. Raises InvalidPromptError for a URL that is none."""
    head, comma, data = url.partition(",")
    if head[:5].lower() != "data:" or not comma or not data:
        raise InvalidPromptError(
            f"an image or file must be an http(s) or data: URL, got {url[:24]!r}",
            remedy="pass an URL, or data:<media type>;base64,<data>",
        )
    media_type, *flags = head[5:].split(";")
    if "base64" not in (flag.strip().lower() for flag in flags):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return media_type.strip().lower() or "text/plain", data


def _document(part: InputFile, losses: Losses) -> JsonObject:
    """A `document` block: PDF as base64, text as text, or by URL or file id. Other kinds the wire does not know; the
    model is told that they were there."""
    source: JsonObject | None = None
    refused = "neither data, url nor id"
    if part.file_data is not None:
        media_type, data = _data_url(part.file_data)
        if media_type == "application/pdf":
            source = {"type": "base64", "media_type": media_type, "data": data}
        elif media_type.startswith("text/") or media_type == "application/json":
            source = {"type": "text", "media_type": "text/plain", "data": _decoded(data)}
        refused = f"{media_type} is no document here"
    elif part.file_url is not None:
        source = {"type": "url", "url": part.file_url}
    elif part.file_id is not None:
        source = {"type": "file", "file_id": part.file_id}
    if source is None:
        losses.add("file", refused)
        return {"type": "text", "text": f"[file {part.filename or 'without a name'} left out: not supported here]"}
    block: JsonObject = {"type": "document", "source": source}
    if part.filename:
        block["title"] = part.filename
    return block


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data).decode("utf-8", "replace")
    except Base64Error:
        raise InvalidPromptError("a file's data: URL holds no base64", remedy="encode its bytes as base64") from None
