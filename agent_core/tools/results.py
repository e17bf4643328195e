"""From whatever a function returned to an output for the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias, cast

from ..errors import ToolError
from ..items import InputFile, InputImage, InputText
from .base import ToolOutput
from .capture import cut_middle

__all__ = ["MAX_RESULT_BYTES", "as_output", "as_text"]

MAX_RESULT_BYTES = 1024 * 1024
"""Per text. What the model sees of it is cut again, by the session's budget."""

_Part: TypeAlias = InputText | InputImage | InputFile


def as_output(value: object) -> ToolOutput:
    """Text as it is, None as "", parts as parts, everything else as compact JSON.

    Raises ToolError for what has no honest text: bytes, NaN, objects pydantic cannot serialise.
    """
    if isinstance(value, ToolOutput):
        return value
    if isinstance(value, _Part):
        return ToolOutput((value,))
    if isinstance(value, (list, tuple)):
        values = cast("Sequence[object]", value)
        if any(isinstance(part, _Part) for part in values):
            return ToolOutput(tuple(p if isinstance(p, _Part) else InputText(text=as_text(p)) for p in values))
        value = values
    text, left_out = cut_middle(as_text(value), MAX_RESULT_BYTES)
    return ToolOutput(text, metadata={"truncated_bytes": left_out} if left_out else {})


def as_text(value: object) -> str:
    """One value as text; see `as_output`."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise ToolError("the tool returned bytes", remedy="return text, JSON, or an image as InputImage")
    return _json(value)


def _json(value: object) -> str:
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        plain = to_jsonable_python(value, inf_nan_mode="constants")
        return _encodable(json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).split("\n")[0]
        raise ToolError(
            f"the tool returned a value of type {type(value).__name__!r} that is not JSON: {reason}",
            remedy="return text, JSON values, pydantic models or dataclasses",
        ) from None


def _encodable(text: str) -> str:
    """Without lone surrogates, which no request body can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
