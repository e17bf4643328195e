"""Arguments made to fit a tool's JSON Schema, from what the user said: how a rehearsed model calls a tool it never saw.

Every value comes from one of these, in this order: `const`, `default`, an `enum` member or example the text mentions,
numbers and names in the text, a plain value of the type. The same schema and text give the same arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from ..codecs.base import json_list, json_object, json_str
from ..items import JsonObject, JsonValue

__all__ = ["fitting_arguments"]

_MAX_DEPTH = 8
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_PROPER_NAME = re.compile(r"(?<=[\w,;:] )[A-Z][\w-]+(?: [A-Z][\w-]+)*")
_PLACES = ("Paris", "Oslo", "Lima")
_PLACE_WORDS = ("city", "location", "place", "town", "where")
_Bound = Literal["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]


def fitting_arguments(schema: Mapping[str, JsonValue], text: str = "", *, variant: int = 0) -> JsonObject:
    """An object that satisfies `schema`: its required properties, or all of them where it requires none.

    `variant` 1, 2, … gives other values where the schema leaves a choice, for several calls of one tool.
    """
    value = _Fitter(schema, text, variant).value(dict(schema), "", 0)
    return json_object(value) or {}


class _Fitter:
    __slots__ = ("_names", "_numbers", "_root", "_text", "_variant")

    def __init__(self, root: Mapping[str, JsonValue], text: str, variant: int) -> None:
        self._root = root
        self._text = text
        self._variant = variant
        self._numbers = [float(number) for number in _NUMBER.findall(text)]
        self._names: list[str] = _PROPER_NAME.findall(text)

    def value(self, schema: JsonObject, name: str, depth: int) -> JsonValue:
        if depth > _MAX_DEPTH:
            return None
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        options = json_list(schema.get("enum")) or json_list(schema.get("examples"))
        if options:
            return self._choice(options)
        if schema.get("default") is not None and not self._variant:
            return schema["default"]
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return int(self._number(schema, step=1.0))
            case "number":
                return self._number(schema, step=0.5)
            case "boolean":
                return not self._variant % 2
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _resolved(self, schema: JsonObject) -> JsonObject:
        """The schema behind local references and the first alternative that is not null."""
        for _ in range(_MAX_DEPTH):
            target = json_str(schema.get("$ref"))
            if target.startswith("#"):
                schema = self._at(target)
                continue
            alternatives = json_list(schema.get("anyOf")) or json_list(schema.get("oneOf"))
            shapes = [shape for one in alternatives if (shape := json_object(one)) and shape.get("type") != "null"]
            if not shapes:
                break
            schema = shapes[0]
        return schema

    def _at(self, pointer: str) -> JsonObject:
        found: JsonObject | None = dict(self._root)
        for step in pointer.removeprefix("#").split("/")[1:]:
            found = json_object(found.get(step.replace("~1", "/").replace("~0", "~"))) if found else None
        return found or {}

    def _choice(self, options: list[JsonValue]) -> JsonValue:
        said = [one for one in options if isinstance(one, str) and one.lower() in self._text.lower()]
        pool = said or options
        return pool[self._variant % len(pool)]

    def _object(self, schema: JsonObject, depth: int) -> JsonObject:
        properties = json_object(schema.get("properties")) or {}
        required = [name for name in json_list(schema.get("required")) if isinstance(name, str)]
        return {
            name: self.value(json_object(properties.get(name)) or {}, name, depth + 1)
            for name in (required or list(properties))
        }

    def _array(self, schema: JsonObject, name: str, depth: int) -> list[JsonValue]:
        shape = json_object(schema.get("items")) or {}
        least = schema.get("minItems")
        count = int(least) if isinstance(least, (int, float)) else 1
        return [self.value(shape, name, depth + 1) for _ in range(min(max(count, 1), 100))]

    def _number(self, schema: JsonObject, *, step: float) -> float:
        low, above = _bound(schema, "minimum"), _bound(schema, "exclusiveMinimum")
        high, below = _bound(schema, "maximum"), _bound(schema, "exclusiveMaximum")
        value = self._numbers.pop(0) if self._numbers else 2.0
        value += self._variant
        if step == 1.0:
            value = float(int(value))
        if high is not None:
            value = min(value, high)
        if below is not None and value >= below:
            value = below - step
        if low is not None:
            value = max(value, low)
        if above is not None and value <= above:
            value = above + step
        return value

    def _string(self, schema: JsonObject, name: str) -> str:
        if self._names:
            return self._names[min(self._variant, len(self._names) - 1)]
        if any(word in name.lower() for word in _PLACE_WORDS):
            return _PLACES[self._variant % len(_PLACES)]
        least = schema.get("minLength")
        value = self._text.strip()[:200] or name or "text"
        return value.ljust(int(least) if isinstance(least, (int, float)) else 0, ".")


def _type_of(schema: JsonObject) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):  # ["string", "null"]
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else "string"


def _bound(schema: JsonObject, name: _Bound) -> float | None:
    value = schema.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
