"""JSON Schemas in the dialects of servers: exact results, and what holds for every schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.codecs.base import Compat, Loss, SchemaDialect
from agent_core.codecs.schemas import MAX_DEPTH, MAX_NODES, fitted_schema, schema_positions, to_dialect
from agent_core.errors import InvalidPromptError
from agent_core.items import JsonObject, JsonValue

from ..property import CI

STRING: JsonObject = {"type": "string"}
NULL: JsonObject = {"type": "null"}
NODE: JsonObject = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/Node"}},
    "required": ["value"],
}


def objekt(required: list[str] | None = None, /, **properties: JsonValue) -> JsonObject:
    out: JsonObject = {"type": "object", "properties": properties}
    return out if required is None else {**out, "required": list(required)}


def closed(**properties: JsonValue) -> JsonObject:
    return {**objekt(list(properties), **properties), "additionalProperties": False}


@dataclass(frozen=True)
class Row:
    dialect: SchemaDialect
    schema: Mapping[str, object]
    expected: Mapping[str, object]
    lost: tuple[str, ...] = ()


ROWS: dict[str, Row] = {
    # inline_refs
    "inline: a ref, and what stands beside it": Row(
        "inline_refs",
        {**objekt(a={"$ref": "#/$defs/A", "description": "mine"}), "$defs": {"A": {**STRING, "description": "its"}}},
        objekt(a={"type": "string", "description": "mine"}),
    ),
    "inline: definitions, escaped names, refs to refs": Row(
        "inline_refs",
        {
            **objekt(a={"$ref": "#/definitions/x~1y%20z"}),
            "definitions": {"x/y z": {"$ref": "#/definitions/end"}, "end": STRING},
        },
        objekt(a=STRING),
    ),
    "inline: any pointer": Row(
        "inline_refs",
        objekt(a={"anyOf": [STRING, NULL]}, b={"$ref": "#/properties/a/anyOf/0"}),
        objekt(a={"anyOf": [STRING, NULL]}, b=STRING),
    ),
    "inline: a ref at the root": Row(
        "inline_refs",
        {"$ref": "#/$defs/Node", "$defs": {"Node": NODE}},
        objekt(["value"], value={"type": "integer"}, next={"type": "object"}),
        ("a $ref that leads back into itself (at #/properties/next)",),
    ),
    "inline: the root itself": Row(
        "inline_refs",
        objekt(child={"$ref": "#"}),
        objekt(child=objekt(child={"type": "object"})),
        ("a $ref that leads back into itself (at #/properties/child/properties/child)",),
    ),
    "inline: a ref to nothing and one to elsewhere": Row(
        "inline_refs",
        objekt(a={"$ref": "#/$defs/gone", "description": "d"}, b={"$ref": "https://x.test/s.json"}),
        objekt(a={"description": "d"}, b={}),
        (
            "$ref '#/$defs/gone', which leads nowhere (at #/properties/a)",
            "$ref 'https://x.test/s.json', which leads nowhere (at #/properties/b)",
        ),
    ),
    "inline: nothing else changes": Row(
        "inline_refs",
        objekt(a={"oneOf": [STRING, NULL], "default": {"$defs": 1}}, b=True, c=False),
        objekt(a={"oneOf": [STRING, NULL], "default": {"$defs": 1}}, b=True, c=False),
    ),
    "inline: a member called $ref": Row("inline_refs", objekt(**{"$ref": STRING}), objekt(**{"$ref": STRING})),
    # openai_strict
    "T-N4 strict: required and closed, nested too": Row(
        "openai_strict",
        objekt(["a"], a=objekt(["b"], b=STRING)),
        closed(a=closed(b=STRING)),
    ),
    "T-N4 strict: optional members may be null": Row(
        "openai_strict",
        objekt(
            [],
            kind=STRING,
            kinds={"type": ["string", "integer"]},
            choice={"anyOf": [STRING, {"type": "integer"}]},
            chosen={"type": "string", "enum": ["x"]},
            fixed={"type": "string", "const": "x"},
            already={"anyOf": [STRING, NULL]},
            ref={"$ref": "#/$defs/A"},
        )
        | {"$defs": {"A": STRING}},
        closed(
            kind={"type": ["string", "null"]},
            kinds={"type": ["string", "integer", "null"]},
            choice={"anyOf": [STRING, {"type": "integer"}, NULL]},
            chosen={"type": ["string", "null"], "enum": ["x", None]},
            fixed={"type": ["string", "null"], "enum": ["x", None]},
            already={"anyOf": [STRING, NULL]},
            ref={"anyOf": [{"$ref": "#/$defs/A"}, NULL]},
        )
        | {"$defs": {"A": STRING}},
    ),
    "strict: bounds are told instead": Row(
        "openai_strict",
        objekt(["a"], a={"type": "string", "description": "A name.", "minLength": 2, "default": "x", "pattern": "^a"}),
        closed(a={"type": "string", "description": 'A name. (minLength: 2, default: "x")', "pattern": "^a"}),
        ("minLength (at #/properties/a)", "default (at #/properties/a)"),
    ),
    "strict: formats and look-around": Row(
        "openai_strict",
        objekt(
            ["a", "b", "c"],
            a={**STRING, "format": "date"},
            b={**STRING, "format": "uri"},
            c={**STRING, "pattern": "(?=x)"},
        ),
        closed(
            a={**STRING, "format": "date"},
            b={**STRING, "description": 'format: "uri"'},
            c={**STRING, "description": 'pattern: "(?=x)"'},
        ),
        ("format (at #/properties/b)", "pattern (at #/properties/c)"),
    ),
    "strict: oneOf": Row(
        "openai_strict",
        objekt(["a"], a={"oneOf": [STRING, NULL], "discriminator": {"propertyName": "t"}}),
        closed(a={"anyOf": [STRING, NULL]}),
        ("oneOf, which became anyOf (at #/properties/a)",),
    ),
    "strict: allOf is merged": Row(
        "openai_strict",
        objekt(["a"], a={"allOf": [{"$ref": "#/$defs/A"}, objekt(["y"], y=STRING)], "description": "both"})
        | {"$defs": {"A": objekt(["x"], x=STRING)}},
        closed(a={**closed(x=STRING, y=STRING), "description": "both"}) | {"$defs": {"A": closed(x=STRING)}},
    ),
    "strict: nothing beside $ref, and recursion stays": Row(
        "openai_strict",
        {"$ref": "#/$defs/Node", "$defs": {"Node": NODE}},
        closed(value={"type": "integer"}, next={"anyOf": [{"$ref": "#/$defs/Node"}, NULL]})
        | {"$defs": {"Node": closed(value={"type": "integer"}, next={"anyOf": [{"$ref": "#/$defs/Node"}, NULL]})}},
    ),
    "strict: a described ref": Row(
        "openai_strict",
        objekt(["a"], a={"$ref": "#/$defs/A", "description": "d"}) | {"$defs": {"A": STRING}},
        closed(a={"description": "d", "anyOf": [{"$ref": "#/$defs/A"}]}) | {"$defs": {"A": STRING}},
    ),
    "strict: any value, any elements, any members": Row(
        "openai_strict",
        objekt(["a", "b", "c"], a={}, b={"type": "array"}, c={"type": "object", "additionalProperties": STRING}),
        closed(a=STRING, b={"type": "array", "items": STRING}, c=closed()),
        (
            "a value of any type, which became a string (at #/properties/a)",
            "elements of any type, which became strings (at #/properties/b)",
            "members beyond those that are named (at #/properties/c)",
        ),
    ),
    "strict: nullable, and required names what there is": Row(
        "openai_strict",
        objekt(["a", "gone"], a={"type": "string", "nullable": True}),
        closed(a={"type": ["string", "null"]}),
    ),
    "strict: a choice at the root": Row(
        "openai_strict",
        {"anyOf": [objekt(["k", "a"], k=STRING, a=STRING), objekt(["k"], k=STRING, b=STRING)]},
        closed(k=STRING, a={"type": ["string", "null"]}, b={"type": ["string", "null"]}),
        ("a choice between objects, which became one (at #)",),
    ),
    "strict: tuples": Row(
        "openai_strict",
        objekt(["a"], a={"type": "array", "items": [STRING, NULL]}),
        closed(a={"type": "array", "prefixItems": [STRING, NULL]}),
    ),
    # gemini
    "T-N3 gemini: a valid schema is unchanged": Row(
        "gemini",
        objekt(
            ["a"], a={"type": "string", "description": "d", "enum": ["x", "y"]}, b={"type": "array", "items": STRING}
        ),
        objekt(
            ["a"], a={"type": "string", "description": "d", "enum": ["x", "y"]}, b={"type": "array", "items": STRING}
        ),
    ),
    "T-N3 gemini: top level and nested": Row(
        "gemini",
        objekt(["a"], a={**objekt(b=STRING), "additionalProperties": False, "title": "A"})
        | {"$schema": "x", "additionalProperties": False, "$comment": "c"},
        objekt(["a"], a=objekt(b=STRING)),
    ),
    "X-S0-06 gemini: names are no keywords": Row(
        "gemini",
        objekt(
            ["default", "not"], default=STRING, **{"not": STRING, "const": STRING, "definitions": STRING, "if": STRING}
        ),
        objekt(
            ["default", "not"], default=STRING, **{"not": STRING, "const": STRING, "definitions": STRING, "if": STRING}
        ),
    ),
    "X-S0-06 gemini: anyOf with null": Row(
        "gemini",
        objekt(["a", "gone"], a={"anyOf": [STRING, NULL], "default": None}),
        objekt(["a"], a={"type": "string", "nullable": True}),
    ),
    "gemini: one of several, or null": Row(
        "gemini",
        objekt(a={"anyOf": [STRING, {"type": "integer"}, NULL]}),
        objekt(a={"anyOf": [STRING, {"type": "integer"}], "nullable": True}),
    ),
    "gemini: types as a list": Row(
        "gemini",
        objekt(
            a={"type": ["string", "null"], "description": "d", "format": "uri"},
            b={"type": ["string", "array"], "items": STRING},
            c={"type": ["string"]},
        ),
        objekt(
            a={"type": "string", "description": 'd (format: "uri")', "nullable": True},
            b={"anyOf": [STRING, {"type": "array", "items": STRING}]},
            c=STRING,
        ),
        ("format (at #/properties/a/anyOf/0)",),
    ),
    "gemini: const, enums": Row(
        "gemini",
        objekt(a={"const": "x"}, b={"const": 3}, c={"enum": ["x", None]}, d={"type": "integer", "enum": [1, 2]}),
        objekt(
            a={"type": "string", "enum": ["x"]},
            b={"type": "integer", "description": "enum: [3]"},
            c={"type": "string", "enum": ["x"], "nullable": True},
            d={"type": "integer", "description": "enum: [1,2]"},
        ),
        ("enum (at #/properties/b)",),
    ),
    "gemini: bounds": Row(
        "gemini",
        objekt(a={"type": "integer", "exclusiveMinimum": 3}, b={"type": "number", "exclusiveMaximum": 1.5}),
        objekt(a={"type": "integer", "minimum": 4}, b={"type": "number", "description": "exclusiveMaximum: 1.5"}),
        ("exclusiveMaximum (at #/properties/b)",),
    ),
    "gemini: tuples": Row(
        "gemini",
        objekt(
            a={"type": "array", "prefixItems": [STRING, {"type": "integer"}]}, b={"type": "array", "items": [STRING]}
        ),
        objekt(
            a={"type": "array", "items": {"anyOf": [STRING, {"type": "integer"}]}}, b={"type": "array", "items": STRING}
        ),
        ("the order of an array's elements (at #/properties/a)",),
    ),
    "gemini: refs and allOf": Row(
        "gemini",
        objekt(a={"allOf": [{"$ref": "#/$defs/A"}, {"minimum": 2}]})
        | {"$defs": {"A": {"type": "integer", "minimum": 1}}},
        objekt(a={"type": "integer", "minimum": 2}),
    ),
    "gemini: conditions": Row(
        "gemini",
        objekt(a=STRING) | {"if": objekt(a={"const": "x"}), "then": {"required": ["a"]}, "not": {"required": ["b"]}},
        objekt(a=STRING),
        ("if (at #)", "then (at #)", "not (at #)"),
    ),
    # moonshot
    "T-D26 moonshot: a type everywhere": Row(
        "moonshot",
        objekt(
            a={"description": "d"},
            b={"type": "array"},
            c={"properties": {"x": {"enum": ["y"]}}},
            d={"minimum": 1},
            e={"anyOf": [STRING, NULL]},
        ),
        objekt(
            a={"type": "string", "description": "d"},
            b={"type": "array", "items": STRING},
            c={"type": "object", "properties": {"x": {"type": "string", "enum": ["y"]}}},
            d={"type": "number", "minimum": 1},
            e={"anyOf": [STRING, NULL]},
        ),
        (
            "a value of any type, which became a string (at #/properties/a)",
            "elements of any type, which became strings (at #/properties/b)",
        ),
    ),
    "moonshot: no type beside anyOf": Row(
        "moonshot",
        objekt(a={"type": "string", "anyOf": [{"minLength": 1}, {"type": "null"}]}),
        objekt(a={"anyOf": [{"type": "string", "minLength": 1}, NULL]}),
    ),
    "moonshot: object root": Row("moonshot", {"properties": {"a": STRING}}, objekt(a=STRING)),
    "moonshot: refs, tuples, what it does not know": Row(
        "moonshot",
        objekt(
            ["a", "gone"],
            a={"$ref": "#/$defs/A"},
            b={"type": "array", "items": [STRING, NULL], "additionalItems": False},
            c={**STRING, "format": "uri", "title": "C"},
        )
        | {"$defs": {"A": STRING}, "additionalProperties": {"type": "string"}},
        objekt(
            ["a"],
            a=STRING,
            b={"type": "array", "items": {"anyOf": [STRING, NULL]}},
            c={**STRING, "description": 'format: "uri"'},
        )
        | {"additionalProperties": {"type": "string"}},
        ("the order of an array's elements (at #/properties/b)", "format (at #/properties/c)"),
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_rows(row: Row) -> None:
    """Each schema becomes exactly the expected one, with exactly the expected losses, and itself stays as it was."""
    given: JsonObject = json.loads(json.dumps(row.schema))
    schema, losses = to_dialect(given, row.dialect)
    assert (schema, losses) == (row.expected, tuple(Loss("schema", lost) for lost in row.lost))
    assert given == row.schema


def test_as_is_is_the_same_object() -> None:
    """S1-22: by default nothing is touched."""
    schema: JsonObject = {"type": "object", "not": {}, "$ref": "#/gone"}
    assert to_dialect(schema, "as_is")[0] is schema


def test_refs_that_multiply_are_bounded() -> None:
    """Each definition names the next one twice: written out that is 2**40 schemas."""
    defs: JsonObject = {
        f"d{n}": objekt(a={"$ref": f"#/$defs/d{n + 1}"}, b={"$ref": f"#/$defs/d{n + 1}"}) for n in range(40)
    }
    defs["d40"] = STRING
    schema, losses = to_dialect({**objekt(a={"$ref": "#/$defs/d0"}), "$defs": defs}, "inline_refs")
    assert len(schema_positions(dict(schema))) < 2 * MAX_NODES
    assert [loss.detail.split(" (")[0] for loss in losses] == ["a $ref too many"]


def test_a_schema_nested_too_deep_is_refused() -> None:
    """A clear error, not a RecursionError."""
    schema: JsonObject = STRING
    for _ in range(MAX_DEPTH + 1):
        schema = {"type": "array", "items": schema}
    with pytest.raises(InvalidPromptError, match="nested deeper than 100"):
        to_dialect(schema, "gemini")


def test_a_schema_is_rewritten_once() -> None:
    """The same schema object gives the same insides again; losses are told each time, with the tool's name."""
    schema = objekt(a={**STRING, "format": "uri"})
    compat = Compat(schema_dialect="gemini")
    first, losses = fitted_schema(schema, compat, strict=None, of="tool 'f'")
    again, told = fitted_schema(schema, compat, strict=None, of="tool 'f'")
    assert first["properties"] is again["properties"]
    assert losses == told == (Loss("schema", "tool 'f': format (at #/properties/a)"),)


@pytest.mark.parametrize(("strict", "rewritten"), [(True, True), (False, False), (None, False)])
def test_strict_mode_is_for_schemas_that_ask_for_it(strict: bool | None, rewritten: bool) -> None:
    """T-N4: only the strict tool is changed."""
    schema = objekt(a=STRING)
    fitted, _ = fitted_schema(schema, Compat(schema_dialect="openai_strict"), strict=strict, of="tool 'f'")
    assert (fitted != schema) is rewritten


# What holds for every schema

FORBIDDEN: dict[SchemaDialect, frozenset[str]] = {
    "inline_refs": frozenset({"$ref", "$defs", "definitions"}),
    "openai_strict": frozenset(
        {"allOf", "oneOf", "not", "if", "then", "else", "default", "minLength", "maxLength", "patternProperties"}
        | {"propertyNames", "minProperties", "maxProperties", "contains", "uniqueItems", "nullable"}
    ),
    "gemini": frozenset(
        {"$ref", "$defs", "definitions", "$schema", "allOf", "oneOf", "not", "if", "then", "else", "default", "const"}
        | {"additionalProperties", "exclusiveMinimum", "exclusiveMaximum", "prefixItems"}
    ),
    "moonshot": frozenset({"$ref", "$defs", "definitions", "allOf", "oneOf", "prefixItems", "format"}),
}

NAMES = st.sampled_from(["a", "b", "default", "not", "const", "definitions", "if", "$ref", "properties", "type"])
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"])
VALUES: st.SearchStrategy[JsonValue] = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["x", "y"])
)


def keywords(inner: st.SearchStrategy[JsonValue]) -> st.SearchStrategy[JsonValue]:
    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(NAMES, inner, max_size=3)
    words: dict[str, st.SearchStrategy[object]] = {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "description": st.just("d"),
        "default": VALUES,
        "const": VALUES,
        "enum": st.lists(VALUES, min_size=1, max_size=3, unique_by=repr),
        "format": st.sampled_from(["uri", "date", "int32"]),
        "minLength": st.integers(0, 3),
        "exclusiveMinimum": st.integers(0, 3),
        "pattern": st.sampled_from(["^a", "(?=a)"]),
        "nullable": st.booleans(),
        "title": st.just("T"),
        "properties": named,
        "required": st.lists(NAMES, max_size=3),
        "additionalProperties": inner | st.booleans(),
        "patternProperties": named,
        "items": inner | some,
        "prefixItems": some,
        "anyOf": some,
        "oneOf": some,
        "allOf": some,
        "not": inner,
        "if": inner,
        "$ref": st.sampled_from(["#", "#/$defs/A", "#/$defs/B", "#/$defs/gone", "#/properties/a", "else.json"]),
    }
    return st.fixed_dictionaries({}, optional=words).map(plain_json)


def plain_json(node: object) -> JsonValue:
    loaded: JsonValue = json.loads(json.dumps(node))
    return loaded


LEAVES = (st.booleans() | st.fixed_dictionaries({"type": TYPES})).map(plain_json)
SCHEMAS = st.recursive(LEAVES, keywords, max_leaves=12)


def root_of(member: JsonValue, a: JsonValue, b: JsonValue) -> JsonObject:
    return {"type": "object", "$defs": {"A": a, "B": b}, "properties": {"a": member}}


ROOTS = st.builds(root_of, SCHEMAS, SCHEMAS, SCHEMAS)
DIALECTS = st.sampled_from([name for name in get_args(SchemaDialect) if name != "as_is"])


@settings(max_examples=1000 if CI else 40, deadline=None)
@given(schema=ROOTS, dialect=DIALECTS)
def test_no_forbidden_word_and_nothing_more_to_do(schema: JsonObject, dialect: SchemaDialect) -> None:
    """Any schema comes out without a keyword its server refuses, with `required` naming members there are, as JSON, and
    as its own result; the one that went in stays."""
    before = deepcopy(schema)
    fitted, _ = to_dialect(schema, dialect)
    assert schema == before
    for node in schema_positions(dict(fitted)):
        assert FORBIDDEN[dialect].isdisjoint(node)
        members = node.get("properties")
        if dialect != "inline_refs" and "required" in node:
            assert isinstance(members, dict) and set(json.loads(json.dumps(node["required"]))) <= set(members)
    again, losses = to_dialect(fitted, dialect)
    assert (again, losses) == (fitted, ())
