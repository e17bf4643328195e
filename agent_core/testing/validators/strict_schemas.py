"""What servers that hold a model to a schema ask of the schema (recorded refusals; providers.md 3d)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...codecs.base import json_list, json_object
from ...items import JsonObject, JsonValue
from .shapes import Report

__all__ = ["check_anthropic_limits", "check_openai_strict"]

_MAX_STRICT_TOOLS = 20
_MAX_OPTIONAL = 24
_MAX_UNIONS = 16
"""Anthropic's, over all strict tools of a request: "Too many strict tools (21)", "too many optional parameters (25)",
"too many parameters with union types (17 …)"."""

_NAMED = ("properties", "$defs", "definitions", "patternProperties")
_LISTED = ("anyOf", "allOf", "oneOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not")


def check_anthropic_limits(report: Report, schemas: Mapping[str, JsonObject]) -> None:
    """Of the strict tools of one request, by where their schemas stand."""
    if len(schemas) > _MAX_STRICT_TOOLS:
        report.add("out_of_range", "tools", f"has more than {_MAX_STRICT_TOOLS} strict tools")
    parts = [part for schema in schemas.values() for part in _parts(schema)]
    optional = sum(len(_properties(part).keys() - set(map(str, json_list(part.get("required"))))) for part in parts)
    if optional > _MAX_OPTIONAL:
        report.add("out_of_range", "tools", f"strict schemas have more than {_MAX_OPTIONAL} optional parameters")
    members = [json_object(member) or {} for part in parts for member in _properties(part).values()]
    unions = sum(isinstance(member.get("type"), list) or "anyOf" in member for member in members)
    if unions > _MAX_UNIONS:
        report.add("out_of_range", "tools", f"strict schemas have more than {_MAX_UNIONS} parameters of several types")
    for where, schema in schemas.items():
        if _leads_back(schema):
            report.add("out_of_range", where, "a strict schema must not refer to itself")


def check_openai_strict(report: Report, where: str, schema: JsonValue) -> None:
    """ "'required' is required to be supplied and to be an array including every key in properties", and
    "'additionalProperties' is required to be supplied and to be false"."""
    for part in _parts(json_object(schema) or {}):
        properties = _properties(part)
        if missing := properties.keys() - set(map(str, json_list(part.get("required")))):
            report.add("not_here", f"{where}.required", f"must name every property, also {min(missing)[:80]!r}")
        if (properties or part.get("type") == "object") and part.get("additionalProperties") is not False:
            report.add("not_here", f"{where}.additionalProperties", "must be false in every object")


def _properties(part: JsonObject) -> JsonObject:
    return json_object(part.get("properties")) or {}


def _parts(schema: JsonObject) -> Iterator[JsonObject]:
    """The schema and all that are inside of it, each once."""
    todo: list[JsonValue] = [schema]
    while todo:
        part = json_object(todo.pop())
        if part is None:
            continue
        yield part
        todo += (each for name in _NAMED for each in (json_object(part.get(name)) or {}).values())
        todo += (each for name in _LISTED for each in json_list(part.get(name)))
        todo += (part.get(name) for name in _SINGLE)


def _leads_back(schema: JsonObject) -> bool:
    """Whether a definition refers to itself, or to one that refers to it."""
    named = {**(json_object(schema.get("definitions")) or {}), **(json_object(schema.get("$defs")) or {})}
    refers = {name: _references(json_object(each) or {}) for name, each in named.items()}
    return any(_reaches(name, name, refers) for name in refers)


def _references(schema: JsonObject) -> Sequence[str]:
    found = (part.get("$ref") for part in _parts(schema))
    return [ref.rpartition("/")[2] for ref in found if isinstance(ref, str)]


def _reaches(start: str, goal: str, refers: Mapping[str, Sequence[str]]) -> bool:
    seen: set[str] = set()
    todo = list(refers.get(start, ()))
    while todo:
        name = todo.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            todo += refers.get(name, ())
    return False
