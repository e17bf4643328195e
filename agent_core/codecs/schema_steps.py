"""The steps that make a JSON Schema one of a dialect, and the dialects as lists of steps; the walk is in `schemas`.

A step takes one schema, a node, and returns it or a new one; what it lost it reports to the walk. Steps work on
keywords only: what stands under `properties` are names (W-S0-06).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from ..items import JsonObject, JsonValue
from .base import SchemaDialect, json_bytes, json_list, json_object, json_str

if TYPE_CHECKING:
    from .schemas import Rewriter

__all__ = ["DIALECTS", "MANY", "NAMED", "ONE", "Dialect", "Step", "children_of"]

ONE = frozenset(
    {"additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not"}
    | {"propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"}
)
MANY = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
NAMED = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
"""Keywords that hold one schema, a list of them, or some by name; all other values are plain data."""

_UNTOLD = frozenset(
    {"$anchor", "$comment", "$defs", "$id", "$schema", "definitions", "deprecated", "discriminator", "examples"}
    | {"nullable", "readOnly", "title", "writeOnly"}
)
"""Keywords that bind nobody: leaving one out loses nothing."""

_BY_TYPE: Mapping[str, frozenset[str]] = {
    "object": frozenset(
        {"additionalProperties", "maxProperties", "minProperties", "patternProperties", "properties", "propertyNames"}
        | {"required"}
    ),
    "array": frozenset({"contains", "items", "maxItems", "minItems", "prefixItems", "uniqueItems"}),
    "string": frozenset({"format", "maxLength", "minLength", "pattern"}),
    "number": frozenset({"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"}),
}
"""Keywords that speak of one type only; a type that is missing is read from them (S1-22)."""

_LARGER = frozenset({"minimum", "minItems", "minLength"})
_SMALLER = frozenset({"maximum", "maxItems", "maxLength"})
"""Of two of these the narrower one is the larger, the smaller."""

_STRICT_DROPS = frozenset(
    {"$schema", "additionalItems", "contains", "default", "dependentRequired", "dependentSchemas", "discriminator"}
    | {"else", "if", "maxContains", "maxLength", "maxProperties", "minContains", "minLength", "minProperties", "not"}
    | {"patternProperties", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties", "uniqueItems"}
)
_STRICT_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})
_LOOK_AROUND = ("(?=", "(?!", "(?<=", "(?<!")

_GEMINI_KEEPS = frozenset(
    {"anyOf", "description", "enum", "format", "items", "maxItems", "maxLength", "maxProperties", "maximum"}
    | {"minItems", "minLength", "minProperties", "minimum", "nullable", "pattern", "properties", "propertyOrdering"}
    | {"required", "type"}
)
_GEMINI_FORMATS = frozenset({"double", "float", "int32", "int64"})

_MOONSHOT_DROPS = frozenset(
    {"$anchor", "$comment", "$id", "$schema", "additionalItems", "exclusiveMaximum", "exclusiveMinimum", "format"}
    | {"maxContains", "minContains", "title", "unevaluatedItems"}
)

Step: TypeAlias = "Callable[[Rewriter, JsonObject, str], JsonObject]"
"""A node and its place in; the node as it goes on out."""


class Dialect(Struct, frozen=True):
    """`before` steps see a node whose children are still the caller's, `after` steps one whose children are done.
    `inline`: what a `$ref` names is written in its place."""

    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    inline: bool = True


def children_of(keyword: str, value: JsonValue) -> list[JsonValue]:
    """The schemas a keyword holds; none for one that holds data."""
    if isinstance(value, list):
        return value if keyword in MANY else []
    if isinstance(value, dict) and keyword in NAMED:
        return list(value.values())
    return [value] if isinstance(value, (dict, bool)) and keyword in ONE else []


# before the children


def _ref_or_rest(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """A `$ref` may keep a description; with more beside it, what it names is written in its place."""
    if "$ref" not in node or all(word in _UNTOLD or word in ("$ref", "default", "description") for word in node):
        return node
    return rewriter.resolved(node, place)


def _merged_all_of(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """`allOf` as one schema: all that its parts say of different things, and the narrower of what they say of one."""
    while isinstance(node.get("allOf"), list):
        out = _without(node, "allOf")
        for n, entry in enumerate(json_list(node["allOf"])):
            if (part := json_object(entry)) is not None:
                out = _both(rewriter, out, rewriter.resolved(part, f"{place}/allOf/{n}"), place)
        node = out
    return node


def _both(rewriter: Rewriter, one: JsonObject, other: JsonObject, place: str) -> JsonObject:
    out = dict(one)
    for keyword, value in other.items():
        held = out.get(keyword)
        if keyword not in out or held == value:
            out[keyword] = value
        elif isinstance(held, dict) and isinstance(value, dict) and keyword == "properties":
            out[keyword] = {**held, **{name: _all_of(held.get(name), schema) for name, schema in value.items()}}
        elif isinstance(held, list) and isinstance(value, list) and keyword in ("required", "allOf"):
            out[keyword] = [*held, *(entry for entry in value if entry not in held)]
        elif isinstance(held, list) and isinstance(value, list) and keyword == "enum":
            out[keyword] = [entry for entry in held if entry in value]
        elif isinstance(held, (int, float)) and isinstance(value, (int, float)) and keyword in _LARGER | _SMALLER:
            out[keyword] = max(held, value) if keyword in _LARGER else min(held, value)
        elif keyword == "type" and {json_str(held), json_str(value)} == {"integer", "number"}:
            out[keyword] = "integer"
        elif keyword != "description" and keyword not in _UNTOLD:
            rewriter.lose(f"a second {keyword!r} of allOf", place)
    return out


def _all_of(one: JsonValue, other: JsonValue) -> JsonValue:
    return other if one is None or one == other else {"allOf": [one, other]}


def _one_of_as_any_of(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    if "oneOf" not in node:
        return node
    if "anyOf" in node:
        rewriter.lose("oneOf beside anyOf", place)
        return _without(node, "oneOf")
    rewriter.lose("oneOf, which became anyOf", place)
    return {"anyOf" if keyword == "oneOf" else keyword: value for keyword, value in node.items()}


def _one_object(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """The root is an object. A choice between objects, where it stands at the root or in an object that they share,
    is the object that may be any of them: its members are those of all, required where all require them."""
    if "anyOf" in node and (place == "#" or "properties" in node or _may_be(node, "object")):
        found = [rewriter.resolved(json_object(value) or {}, place) for value in json_list(node["anyOf"])]
        branches = [branch for branch in found if branch.get("type", "object") == "object"]
        rewriter.lose("a choice between objects, which became one", place)
        node = {**_without(node, "anyOf"), "type": node["type"] if _may_be(node, "object") else "object"}
        if branches:
            node = _any_of_objects(node, branches)
    return {**node, "type": "object"} if place == "#" and node.get("type") != "object" else node


def _any_of_objects(node: JsonObject, branches: Sequence[JsonObject]) -> JsonObject:
    shared = json_object(node.get("properties")) or {}
    variants: dict[str, list[JsonValue]] = {name: [schema] for name, schema in shared.items()}
    for branch in branches:
        for name, schema in (json_object(branch.get("properties")) or {}).items():
            known = variants.setdefault(name, [])
            if schema not in known and name not in shared:
                known.append(schema)
    everywhere = [name for name in json_list(branches[0].get("required")) if _always(name, branches)]
    properties: JsonObject = {n: some[0] if len(some) == 1 else {"anyOf": some} for n, some in variants.items()}
    return {**node, "properties": properties, "required": [*json_list(node.get("required")), *everywhere]}


def _always(name: JsonValue, branches: Sequence[JsonObject]) -> bool:
    return all(name in json_list(branch.get("required")) for branch in branches)


def _enum_typed(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """An enum without a type has those of its values."""
    values = json_list(node.get("enum"))
    if not values or any(word in node for word in ("type", "anyOf", "$ref")):
        return node
    kinds = list[JsonValue](dict.fromkeys(map(_type_of, values)))
    return {"type": kinds[0] if len(kinds) == 1 else kinds, **node}


def _const_as_enum(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    return {**_without(node, "const"), "enum": [node["const"]]} if "const" in node else node


def _types_as_any_of(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """A list of types as a choice of schemas, each with the keywords of its type; a list of one as that one."""
    types = node.get("type")
    if not isinstance(types, list):
        return node
    if len(types) < 2 or "anyOf" in node:  # the branches of a choice say their types themselves
        return {**node, "type": types[0]} if len(types) == 1 else _without(node, "type")
    said: JsonObject = {word: node[word] for word in ("description", "default") if word in node}
    rest = _without(node, "type", *said)
    return {**said, "anyOf": [{"type": kind, **_of_type(rest, json_str(kind))} for kind in types]}


def _of_type(node: JsonObject, kind: str) -> JsonObject:
    """What of a node can be said of one type."""
    if kind == "null":
        return {}
    kinds = ("integer", "number") if kind in ("integer", "number") else (kind,)
    foreign = frozenset[str]().union(*(words for name, words in _BY_TYPE.items() if name not in kinds))
    out = {keyword: value for keyword, value in node.items() if keyword not in foreign}
    values: list[JsonValue] = [value for value in json_list(out.get("enum")) if _type_of(value) in kinds]
    return {**out, "enum": values} if values else _without(out, "enum")


def _tuple_as_union(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """An array whose elements have a schema each, as one whose elements have any of them. providers.md 3d has
    Moonshot take `prefixItems`; descriptions of its dialect disagree, and this form nobody refuses."""
    items = node.get("items")
    kinds = [*json_list(node.get("prefixItems")), *json_list(items), *([items] if isinstance(items, dict) else ())]
    if "prefixItems" not in node and not isinstance(items, list):
        return node
    rewriter.lose("the order of an array's elements", place)
    different = [kind for n, kind in enumerate(kinds) if kind not in kinds[:n]]
    rest = _without(node, "prefixItems", "items", "additionalItems")
    return {**rest, "items": different[0] if len(different) == 1 else {"anyOf": different}} if different else rest


def _tuple_as_prefix(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """The older spelling of tuples as the newer one, which strict mode takes."""
    items = node.get("items")
    return {**_without(node, "items", "additionalItems"), "prefixItems": items} if isinstance(items, list) else node


# after the children


def _typed(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """Every schema has a type, read from what else it says (S1-22); one that says nothing becomes a string."""
    if not any(word in node for word in ("type", "anyOf", "$ref")):
        kind = _type_said(node)
        if kind is None:
            rewriter.lose("a value of any type, which became a string", place)
        node = {"type": kind or "string", **node}
    if not _may_be(node, "array") or node.get("items") or node.get("prefixItems"):
        return node
    rewriter.lose("elements of any type, which became strings", place)
    return {**node, "items": {"type": "string"}}


def _type_said(node: JsonObject) -> str | None:
    if "const" in node:
        return _type_of(node["const"])
    return next((kind for kind, words in _BY_TYPE.items() if not words.isdisjoint(node)), None)


def _type_of(value: JsonValue) -> str:
    kinds: dict[type, str] = {
        bool: "boolean",
        int: "integer",
        float: "number",
        str: "string",
        list: "array",
        dict: "object",
    }
    return kinds.get(type(value), "null")


def _required_known(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """`required` names members there are (W-S0-06)."""
    if "required" not in node:
        return node
    known = json_object(node.get("properties")) or {}
    required: dict[str, None] = {n: None for n in json_list(node["required"]) if isinstance(n, str) and n in known}
    return {**node, "required": list(required)} if required else _without(node, "required")


def _closed(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """S0-33: an object is closed and all its members are required; those that were not may be null."""
    if not _may_be(node, "object"):
        return node
    if node.get("additionalProperties") not in (None, False):
        rewriter.lose("members beyond those that are named", place)
    asked = json_list(node.get("required"))
    properties: JsonObject = {
        name: schema if name in asked else _nullable(schema)
        for name, schema in (json_object(node.get("properties")) or {}).items()
    }
    return {**node, "properties": properties, "required": list(properties), "additionalProperties": False}


def _nullable(schema: JsonValue) -> JsonValue:
    node = json_object(schema)
    return schema if node is None else _or_null(node)


def _or_null(node: JsonObject) -> JsonObject:
    """What the node says, or null."""
    if "const" in node:
        node = {**_without(node, "const"), "enum": [node["const"]]}
    values, branches, kind = node.get("enum"), node.get("anyOf"), node.get("type")
    if isinstance(values, list) and None not in values:
        listed: list[JsonValue] = [*values, None]
        node = {**node, "enum": listed}
    if isinstance(branches, list):
        null: JsonObject = {"type": "null"}
        widened: list[JsonValue] = [*branches, null]
        return node if any(map(_takes_null, branches)) else {**node, "anyOf": widened}
    if isinstance(kind, list):
        return node if "null" in kind else {**node, "type": [*kind, "null"]}
    if isinstance(kind, str):
        return node if kind == "null" else {**node, "type": [kind, "null"]}
    return {"anyOf": [node, {"type": "null"}]}


def _takes_null(schema: JsonValue) -> bool:
    return _may_be(json_object(schema) or {}, "null")


def _may_be(node: JsonObject, kind: str) -> bool:
    """Whether the node's own type is or includes `kind`."""
    return kind in (node.get("type"), *json_list(node.get("type")))


def _null_said(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """OpenAPI's `nullable` in JSON Schema's words."""
    if node.get("nullable") is not True:
        return _without(node, "nullable")
    return _or_null(_without(node, "nullable"))


def _nothing_beside_ref(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """Strict mode takes nothing beside `$ref`, but other members beside `anyOf`."""
    if "$ref" not in node or len(node) == 1:
        return node
    return {**_without(node, "$ref", "anyOf"), "anyOf": [{"$ref": node["$ref"]}, *json_list(node.get("anyOf"))]}


def _strict_words(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    dropped = {word for word in node if word in _STRICT_DROPS}
    if "format" in node and node["format"] not in _STRICT_FORMATS:
        dropped.add("format")
    if any(sign in json_str(node.get("pattern")) for sign in _LOOK_AROUND):
        dropped.add("pattern")
    return _told(rewriter, node, dropped, place)


def _type_in_branches(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """No `type` beside `anyOf` (Moonshot; Gemini reads nothing beside it): branches that were given none say it."""
    if "anyOf" not in node or "type" not in node:
        return node
    typed: list[JsonValue] = [
        {"type": node["type"], **branch}
        if isinstance(branch, dict) and "type" not in branch and "anyOf" not in branch
        else branch
        for branch in json_list(node["anyOf"])
    ]
    return {**_without(node, "type"), "anyOf": typed}


def _null_as_flag(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """A choice with null is `nullable`; a choice with one thing left is that thing (X-S0-06)."""
    branches = json_list(node.get("anyOf"))
    if not branches:
        return _without(node, "anyOf")
    left: list[JsonValue] = [branch for branch in branches if branch != {"type": "null"}]
    if not left:
        return {**_without(node, "anyOf"), "type": "null"}
    if len(left) < len(branches):
        node = {**node, "nullable": True}
    if len(left) > 1:
        return {**node, "anyOf": left}
    only = json_object(left[0]) or {}
    return _noted({**only, **_without(node, "anyOf")}, json_str(only.get("description")))


def _enum_of_strings(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """Gemini's enums are of strings; others are told in the description."""
    values = node.get("enum")
    if not isinstance(values, list):
        return node
    if None in values and node.get("type") != "null":
        values = list[JsonValue](value for value in values if value is not None)
        node = {**node, "enum": values, "nullable": True}
    if values and all(isinstance(value, str) for value in values):
        return {**node, "type": "string"}
    return _told(rewriter, node, {"enum"}, place) if values and values != [None] else _without(node, "enum")


def _whole_bounds(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    """Of whole numbers, "more than 3" is "at least 4"."""
    for beyond, bound, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        limit = node.get(beyond)
        if node.get("type") == "integer" and type(limit) is int and bound not in node:
            node = {**_without(node, beyond), bound: limit + step}
    return node


def _gemini_words(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    dropped = {word for word in node if word not in _GEMINI_KEEPS}
    if "format" in node and (node.get("type") == "string" or node["format"] not in _GEMINI_FORMATS):
        dropped.add("format")
    return _told(rewriter, node, dropped, place)


def _moonshot_words(rewriter: Rewriter, node: JsonObject, place: str) -> JsonObject:
    return _told(rewriter, node, {word for word in node if word in _MOONSHOT_DROPS}, place)


def _told(rewriter: Rewriter, node: JsonObject, dropped: set[str], place: str) -> JsonObject:
    """Without the keywords in `dropped`; those that say something are said in the description instead."""
    notes: list[str] = []
    for word in [word for word in node if word in dropped and word not in _UNTOLD]:
        value = node[word]
        if value is None or (word == "additionalProperties" and isinstance(value, bool)):
            continue
        rewriter.lose(word, place)
        if not children_of(word, value):
            notes.append(f"{word}: {json_bytes(value).decode()}")
    return _noted({keyword: value for keyword, value in node.items() if keyword not in dropped}, ", ".join(notes))


def _noted(node: JsonObject, note: str) -> JsonObject:
    """The node with a note at the end of its description."""
    said = json_str(node.get("description"))
    return node if not note or note == said else {**node, "description": f"{said} ({note})" if said else note}


def _without(node: JsonObject, *keywords: str) -> JsonObject:
    return {keyword: value for keyword, value in node.items() if keyword not in keywords}


DIALECTS: Mapping[SchemaDialect, Dialect | None] = {
    "as_is": None,
    "inline_refs": Dialect(),
    "openai_strict": Dialect(
        before=(_ref_or_rest, _merged_all_of, _one_of_as_any_of, _one_object, _enum_typed, _tuple_as_prefix),
        after=(_typed, _null_said, _strict_words, _required_known, _closed, _nothing_beside_ref),
        inline=False,
    ),
    "gemini": Dialect(
        before=(
            _merged_all_of,
            _one_of_as_any_of,
            _one_object,
            _const_as_enum,
            _enum_typed,
            _types_as_any_of,
            _tuple_as_union,
        ),
        after=(
            _type_in_branches,
            _null_as_flag,
            _typed,
            _enum_of_strings,
            _whole_bounds,
            _gemini_words,
            _required_known,
        ),
    ),
    "moonshot": Dialect(
        before=(_merged_all_of, _one_of_as_any_of, _one_object, _enum_typed, _types_as_any_of, _tuple_as_union),
        after=(_type_in_branches, _typed, _moonshot_words, _required_known),
    ),
}
"""None: nothing is done at all."""
