"""From what an MCP server answered to an output for the model, bounded: text, pictures, and words for the rest."""

from __future__ import annotations

import json
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from ...items import InputImage, InputText, JsonValue, OutputPart
from ..base import ToolOutput
from ..capture import cut_middle
from ..images import MAX_IMAGE_BYTES
from ..results import MAX_RESULT_BYTES

if TYPE_CHECKING:
    from mcp.types import BlobResourceContents, CallToolResult, ContentBlock, ReadResourceResult, TextResourceContents

__all__ = ["MAX_PARTS", "output_of", "output_of_resource"]

MAX_PARTS = 200
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""What every provider with pictures takes; as in `view_image`."""


def output_of(result: CallToolResult) -> ToolOutput:
    """What a tool answered. Structured content is told as JSON, unless the texts say the same already."""
    parts = [part for block in result.content for part in _parts(block)]
    structured = cast("JsonValue", result.structured_content)
    if structured is not None and not _told(structured, [part.text for part in parts if isinstance(part, InputText)]):
        parts.append(InputText(text=json.dumps(structured, ensure_ascii=False, separators=(",", ":"))))
    return _bounded(parts, success=not result.is_error)


def output_of_resource(result: ReadResourceResult) -> ToolOutput:
    """What a resource holds."""
    return _bounded([part for contents in result.contents for part in _resource(contents)], success=True)


def _parts(block: ContentBlock) -> Iterator[OutputPart]:
    from mcp import types

    match block:
        case types.TextContent():
            yield InputText(text=block.text)
        case types.ImageContent():
            yield _picture(block.mime_type, block.data, "a picture")
        case types.AudioContent():
            yield InputText(text=f"[a sound, {block.mime_type}, {_size(block.data)}: it cannot be shown]")
        case types.ResourceLink():
            about = " ".join(filter(None, (block.mime_type, block.title or block.name, block.description)))
            yield InputText(text=f"[resource {block.uri}: {about}]")
        case types.EmbeddedResource():
            yield from _resource(block.resource)


def _resource(contents: TextResourceContents | BlobResourceContents) -> Iterator[OutputPart]:
    from mcp import types

    media_type = contents.mime_type or "unknown kind"
    yield InputText(text=f"[resource {contents.uri}, {media_type}]")
    if isinstance(contents, types.TextResourceContents):
        yield InputText(text=contents.text)
    else:
        yield _picture(media_type, contents.blob, "a file")


def _picture(media_type: str, data: str, what: str) -> OutputPart:
    kind = media_type.partition(";")[0].strip().lower()
    kind = "image/jpeg" if kind == "image/jpg" else kind
    if kind not in _PICTURES:
        return InputText(text=f"[{what}, {media_type}, {_size(data)}: it cannot be shown]")
    if len(data) * 3 // 4 > MAX_IMAGE_BYTES:
        return InputText(text=f"[{what}, {media_type}, {_size(data)}: too large to be shown]")
    try:
        if not b64decode(data, validate=True):
            raise NotBase64
    except ValueError:  # NotBase64 is one
        return InputText(text=f"[{what}, {media_type}: it is damaged]")
    return InputImage(image_url=f"data:{kind};base64,{data}")


def _size(data: str) -> str:
    return f"{len(data) * 3 // 4:,} bytes"


def _told(structured: JsonValue, texts: Sequence[str]) -> bool:
    """Whether the texts say it: one of them all of it, or what is in its only member, which servers wrap around a
    result that is no object; or each of them an entry of that."""
    if any(_says(text, structured) for text in texts):
        return True
    if not isinstance(structured, dict) or len(structured) != 1:
        return False
    (inner,) = structured.values()
    if any(_says(text, inner) for text in texts):
        return True
    return isinstance(inner, list) and len(inner) == len(texts) and all(map(_says, texts, inner))


def _says(text: str, value: JsonValue) -> bool:
    if text == value:
        return True
    try:
        return bool(json.loads(text) == value)
    except (ValueError, RecursionError):
        return False


def _bounded(parts: Sequence[OutputPart], *, success: bool) -> ToolOutput:
    """One text where there is nothing else. Texts are cut in their middle, all together to what one may have."""
    missing = len(parts) - MAX_PARTS
    kept = list(parts[:MAX_PARTS])
    if missing > 0:
        kept.append(InputText(text=f"[… {missing} parts left out …]"))
    shown, left_out = _cut(kept)
    metadata: dict[str, JsonValue] = {"truncated_bytes": left_out} if left_out else {}
    if all(isinstance(part, InputText) for part in shown):
        return ToolOutput("\n".join(_texts(shown)), success, metadata)
    return ToolOutput(tuple(shown), success, metadata)


def _cut(parts: Iterable[OutputPart]) -> tuple[list[OutputPart], int]:
    room, left_out = MAX_RESULT_BYTES, 0
    shown: list[OutputPart] = []
    for part in parts:
        if isinstance(part, InputText):
            text, missing = cut_middle(_encodable(part.text), max(room, 256))
            room -= len(text.encode())
            left_out += missing
            part = InputText(text=text)
        shown.append(part)
    return shown, left_out


def _texts(parts: Iterable[OutputPart]) -> Iterator[str]:
    return (part.text for part in parts if isinstance(part, InputText))


def _encodable(text: str) -> str:
    """Without lone surrogates, which JSON may hold and no wire takes."""
    return text.encode("utf-8", "replace").decode()
