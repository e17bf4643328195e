"""Values against schemas: what is said, and that no schema keeps the checker busy."""

from __future__ import annotations

import pytest

from agent_core.codecs.schema_check import schema_fault, schema_problems
from agent_core.items import JsonObject, JsonValue

HOSTILE: dict[str, tuple[JsonObject, JsonValue]] = {
    "a repeated group": ({"pattern": "^(a+)+$"}, "a" * 40 + "!"),
    "a choice in one": ({"pattern": "^(a|a)*$"}, "a" * 40 + "!"),
    "many choices": ({"pattern": "a?" * 40 + "a" * 40}, "a" * 40),
    "many repetitions": ({"pattern": "a*" * 12 + "!"}, "a" * 300),
    "a long string": ({"pattern": ".*a.*b.*c!"}, "abc" * 100_000),
    "in a name": ({"patternProperties": {"^(a+)+$": {}}}, {"a" * 40 + "!": 1}),
    "a long list": ({"uniqueItems": True}, [{"n": n} for n in range(20_000)]),
    "itself": ({"$ref": "#"}, 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_schema_hangs_the_check(name: str) -> None:
    """What would take for ever is not looked at; one that turns round in itself says so."""
    schema, value = HOSTILE[name]
    assert schema_problems(schema, value) in ([], ["it is nested too deeply to be checked"])


@pytest.mark.parametrize(
    ("schema", "value", "problems"),
    [
        ({"pattern": "^[a-z]+$"}, "abc", []),
        ({"pattern": "^[a-z]+$"}, "aBc", ["'aBc' does not match '^[a-z]+$'"]),
        ({"pattern": r"^[^@]+@[^@]+\.[a-z]{2,}$"}, "no", [r"'no' does not match '^[^@]+@[^@]+\\.[a-z]{2,}$'"]),
        ({"patternProperties": {"^x": {"type": "string"}}}, {"x1": 1}, ["$.x1: 1 is not of type 'string'"]),
        ({"pattern": r"^\p{L}+$"}, "é", []),  # written for another language
        ({"uniqueItems": True}, [1, 1], ["[1, 1] has non-unique elements"]),
    ],
)
def test_ordinary_patterns_hold(schema: JsonObject, value: JsonValue, problems: list[str]) -> None:
    """The bounds are far from what schemas say in earnest."""
    assert (schema_problems(schema, value), schema_fault(schema)) == (problems, "")
