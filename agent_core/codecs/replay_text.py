"""Text a server can read: what replay does to characters, names and arguments before an item is sent again.

Every function gives the same object back when there is nothing to change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import TypeAlias, TypeVar, cast

from msgspec import MsgspecError
from msgspec.json import Decoder
from msgspec.msgpack import Encoder
from pydantic import BaseModel
from pydantic_core import from_json

from ..items import JsonObject, JsonValue, WireName

__all__ = [
    "INVALID_ARGUMENTS",
    "clean_model",
    "clean_text",
    "dump_object",
    "is_blank",
    "json_arguments",
    "legal_name",
    "plain_object",
]

INVALID_ARGUMENTS = "_invalid_arguments"
"""The one member of the object that stands for arguments that are none; its value is the model's own text."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_NAME_MAX: Mapping[WireName, int] = {"chat": 64, "responses": 64, "messages": 128}

_Plain: TypeAlias = str | bool | int | float | None
_Flat: TypeAlias = _Plain | list[_Plain] | dict[str, _Plain]
_PlainObject: TypeAlias = dict[str, _Plain | list[_Flat] | dict[str, _Flat]]
_plain_object = cast("Callable[[str], JsonObject]", Decoder(_PlainObject).decode)
"""Takes no more than `json_arguments` lets pass, but for escaped NULs: no number beyond a float's range, no half of a
character, no depth; and what it takes it reads in two thirds of the time."""

_written = Encoder().encode
"""UTF-8 of a text, kept by the text where it is made: who writes the text next need not make it again."""

_M = TypeVar("_M", bound=BaseModel)


def is_blank(text: str) -> bool:
    return not text or text.isspace()


def is_clean(text: str) -> bool:
    return (text.isascii() and "\0" not in text) or clean_text(text) is text


def clean_text(text: str) -> str:
    """The text with U+FFFD for NULs and lone surrogates: the first break databases behind servers, the second cannot
    be written as UTF-8 at all (providers.md 3d). Two halves of one character are put together."""
    if text.isascii():
        return text if "\0" not in text else text.replace("\0", "\ufffd")
    try:
        _written(text)
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    # Bytes are looked through in a tenth of the time that wide characters take, and they are there.
    return text.replace("\0", "\ufffd") if b"\0" in text.encode() else text


def clean_model(model: _M) -> _M:
    """The model with every string in it, however deep, clean."""
    changed = {name: new for name, value in model.__dict__.items() if (new := _clean(value)) is not value}
    return model.model_copy(update=changed) if changed else model


def _clean(value: object) -> object:
    # Recursion follows JSON nesting, which pydantic bounds when the item is made.
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        pairs = [(k, v, _clean(k), _clean(v)) for k, v in cast("dict[object, object]", value).items()]
        if all(k is new_k and v is new_v for k, v, new_k, new_v in pairs):
            return cast("object", value)
        return {new_k: new_v for _, _, new_k, new_v in pairs}
    if isinstance(value, (list, tuple)):
        old = cast("list[object] | tuple[object, ...]", value)
        new = [_clean(each) for each in old]
        if all(a is b for a, b in zip(old, new, strict=True)):
            return old
        return tuple(new) if isinstance(old, tuple) else new
    return clean_model(value) if isinstance(value, BaseModel) else value


def legal_name(name: str, wire: WireName) -> str:
    """A tool name servers take back: OpenAI answers 400 to a name its own model made up (`multi_tool_use.parallel`)."""
    limit = _NAME_MAX[wire]
    if len(name) <= limit and name and _NOT_IN_NAMES.search(name) is None:
        return name
    return _NOT_IN_NAMES.sub("_", name)[:limit] or "unnamed"


def json_arguments(text: str) -> str:
    """Arguments every server takes: the model's own text where it is a JSON object, else an object.

    Blank is `{}` (databricks, deepseek, mistral and openrouter send it for calls without arguments). Raw control
    characters inside strings are escaped (many models write line breaks as they are, and lenient parsers ran the
    call: providers.md 3c). What is no object even so becomes `{"_invalid_arguments": text}` (behaviours.md W-S1-03,
    5.2), so that the model sees what it wrote beside the error it got.
    """
    if is_blank(text):
        return "{}"
    text = clean_text(text)
    if _is_object(text):
        return text
    try:
        value = cast("JsonValue", json.loads(text, strict=False))
        rewritten = _dumps(_clean(value)) if isinstance(value, dict) else ""
    except (ValueError, RecursionError):
        rewritten = ""
    return rewritten if _is_object(rewritten) else dump_object({INVALID_ARGUMENTS: text})


def plain_object(text: str) -> JsonObject | None:
    """The object that arguments are, where they are an everyday one, which `json_arguments` leaves as it is."""
    try:
        value = _plain_object(text)
    except (MsgspecError, ValueError, RecursionError):
        return None
    return None if "\\u0000" in text else value


def dump_object(value: JsonObject) -> str:
    """Compact JSON, the same text for the same value."""
    return _dumps(value)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _is_object(text: str) -> bool:
    try:
        value: JsonValue = from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    # A NUL can only be there as its escape, and the escape can stand for something else: after a backslash.
    return isinstance(value, dict) and ("\\u0000" not in text or _clean(value) is value) and _is_finite(value)


def _is_finite(value: JsonObject) -> bool:
    """No number beyond a float's range: `1e999` parses, and cannot be written again."""
    todo: list[JsonObject | list[JsonValue]] = [value]
    while todo:
        each = todo.pop()
        for member in each.values() if isinstance(each, dict) else each:
            if isinstance(member, str):
                continue
            if isinstance(member, float):
                if not isfinite(member):
                    return False
            elif isinstance(member, (dict, list)):
                todo.append(member)
    return True
