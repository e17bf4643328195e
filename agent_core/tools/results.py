"""From whatever a function returned to an output for the model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TypeAlias, cast

from msgspec.structs import replace

from ..errors import ToolError
from ..items import InputFile, InputImage, InputText, JsonValue
from .base import ToolOutput
from .capture import cut_middle
from .images import MAX_IMAGE_BYTES, data_url, media_type_of

__all__ = ["MAX_RESULT_BYTES", "as_output", "as_text", "bounded"]

MAX_RESULT_BYTES = 1024 * 1024
"""Of all text of an output. What the model sees of it is cut again, by the session's budget."""

MAX_ITERATED = 100_000
MAX_PARTS = 200
MAX_PART_CHARS = 20 * 1024 * 1024
"""Of a picture or file inside an output: what the most generous servers take as one request."""

_Part: TypeAlias = InputText | InputImage | InputFile
_PARTS: tuple[type, ...] = (InputText, InputImage, InputFile)
_BYTES: tuple[type, ...] = (bytes, bytearray, memoryview)
_ITERATOR: type = Iterator


def as_output(value: object) -> ToolOutput:
    """Text as it is, None as "", parts as parts, bytes as the text, picture or PDF they are, everything else as compact
    JSON. NaN and the infinities, which JSON has not, become their names.

    Raises ToolError for what has no honest form: other bytes, objects pydantic cannot serialise.
    """
    if isinstance(value, ToolOutput):
        return value
    if isinstance(value, (*_BYTES, *_PARTS)):
        return _of_parts([value])
    values = _objects(value)
    if any(isinstance(part, (*_BYTES, *_PARTS)) for part in values):
        return _of_parts(values)
    return bounded(ToolOutput(as_text(value)))


def as_text(value: object) -> str:
    """One value as text; see `as_output`."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, _BYTES):
        content = _bytes(value)
        part = _of_bytes(content)
        return part.text if isinstance(part, InputText) else f"[{len(content)} bytes]"
    return _json(value)


def bounded(output: ToolOutput) -> ToolOutput:
    """The output with no more than a session should hold: its text cut in the middle, pictures and files that are too
    large named instead. The same object where nothing is. Raises ToolError for content that is none."""
    content = output.content
    if isinstance(content, str):
        text, left_out = cut_middle(_encodable(content), MAX_RESULT_BYTES)
        return output if text is content else _cut(output, text, left_out)
    given: object = content
    if not isinstance(given, tuple | list) or not all(isinstance(part, _Part) for part in content):
        raise ToolError(
            f"the tool ran, but the content of its output is {type(given).__name__!r}",
            remedy="make it text, or a tuple of InputText, InputImage and InputFile",
        )
    parts: list[_Part] = []
    room, left_out = MAX_RESULT_BYTES, max(len(content) - MAX_PARTS, 0)
    for part in content[:MAX_PARTS]:
        if isinstance(part, InputText):
            text, lost = cut_middle(_encodable(part.text), room)
            room, left_out = max(room - len(text.encode()), 0), left_out + lost
            parts.append(part if text is part.text else InputText(text=text))
        elif (size := _size(part)) > MAX_PART_CHARS:
            left_out += size
            parts.append(InputText(text=f"[{size} characters of a picture or file left out: too large]"))
        else:
            parts.append(part)
    return output if parts == list(content) else _cut(output, tuple(parts), left_out)


def _cut(output: ToolOutput, content: str | tuple[_Part, ...], left_out: int) -> ToolOutput:
    metadata: dict[str, JsonValue] = {**output.metadata, "truncated_bytes": left_out} if left_out else {}
    return replace(output, content=content, metadata=metadata or output.metadata)


def _size(part: InputImage | InputFile) -> int:
    return len(part.image_url) if isinstance(part, InputImage) else len(part.file_data or "")


def _of_parts(values: Sequence[object]) -> ToolOutput:
    parts = [_part(value) for value in values]
    if len(parts) == 1 and isinstance(parts[0], InputText) and not isinstance(values[0], InputText):
        return bounded(ToolOutput(parts[0].text))
    return bounded(ToolOutput(tuple(parts)))


def _part(value: object) -> _Part:
    if isinstance(value, _Part):
        return value
    if isinstance(value, _BYTES):
        return _of_bytes(_bytes(value))
    return InputText(text=as_text(value))


def _objects(value: object) -> Sequence[object]:
    """The elements of a list or tuple; of nothing else."""
    return cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else ()


def _bytes(value: object) -> bytes:
    return bytes(cast("bytes", value))


def _of_bytes(content: bytes) -> _Part:
    """Bytes as what they are; never as Python writes them."""
    media_type = media_type_of(content)
    if media_type is not None and len(content) <= MAX_IMAGE_BYTES:
        return InputImage(image_url=data_url(content, media_type))
    if content.startswith(b"%PDF-"):
        return InputFile(filename="result.pdf", file_data=data_url(content, "application/pdf"))
    if b"\0" not in content:
        try:
            return InputText(text=content.decode())
        except UnicodeDecodeError:
            pass  # no text, then
    what = f"a picture of {len(content)} bytes, more than {MAX_IMAGE_BYTES}" if media_type else f"{len(content)} bytes"
    raise ToolError(
        f"the tool ran, but returned {what} that cannot be shown",
        remedy="return text, JSON, or a PNG, JPEG, GIF or WebP that is not too large",
    )


def _json(value: object) -> str:
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        finite = _finite(cast("Iterator[object]", value)) if isinstance(value, _ITERATOR) else value
        plain: object = to_jsonable_python(finite)
        try:
            text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except ValueError:
            text = json.dumps(_named(plain), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return _encodable(text)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).split("\n")[0]
        raise ToolError(
            f"the tool ran, but returned a value of type {type(value).__name__!r} that is not JSON: {reason}",
            remedy="return text, JSON values, pydantic models or dataclasses",
        ) from None


def _finite(values: Iterator[object]) -> list[object]:
    taken = list(islice(values, MAX_ITERATED + 1))
    if len(taken) > MAX_ITERATED:
        raise ToolError(
            f"the tool ran, but returned an iterator of more than {MAX_ITERATED} values", remedy="return a list"
        )
    return taken


def _named(value: object) -> object:
    """NaN and the infinities by name: JSON has no such numbers, and a result that has some is no failure."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _named(inner) for key, inner in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_named(inner) for inner in cast("list[object]", value)]
    return value


def _encodable(text: str) -> str:
    """Without lone surrogates, which no request body can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
