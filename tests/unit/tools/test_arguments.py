"""Arguments as models write them: forgiven where only one reading is possible, refused with the reason elsewhere."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field

from agent_core.items import JsonObject
from agent_core.tools.arguments import MAX_ARGUMENT_CHARS, InvalidArguments, check_arguments, parse_arguments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("  \n", {}),
        ("null", {}),
        ("{}", {}),
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('```\n{"a": 1}', {"a": 1}),
        ('{"a": "one\ntwo\tthree\x01"}', {"a": "one\ntwo\tthree\x01"}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
    ],
)
def test_one_reading_is_enough(text: str, expected: JsonObject) -> None:
    """Blank, fenced, doubly encoded and unescaped arguments have one meaning each."""
    assert parse_arguments(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1', "not valid JSON: Expecting ',' delimiter at character 7"),
        ('{"a": 1} {"a": 2}', "not valid JSON: Extra data"),
        ('{"a": NaN}', "NaN is not a JSON value"),
        ("[1]", "must be a JSON object, not an array"),
        ('"text"', "must be a JSON object, not a string"),
        ("true", "must be a JSON object, not a boolean"),
        ("7", "must be a JSON object, not a number"),
        ("[" * 100_000, "nested too deeply"),
        (" " * (MAX_ARGUMENT_CHARS + 1), "characters, more than"),
    ],
)
def test_anything_else_is_refused(text: str, message: str) -> None:
    """Half a JSON, two JSONs and what is no object are refused, and the message says why."""
    with pytest.raises(InvalidArguments) as caught:
        parse_arguments(text)
    assert message in caught.value.message
    assert len(caught.value.message) < 250


class _Point(BaseModel):
    x: int = Field(ge=0)
    name: str = "p"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "invalid arguments: x: Field required"),
        ({"x": -1}, "invalid arguments: x: Input should be greater than or equal to 0 (got -1)"),
        (
            {"x": 1, "name": ["n" * 500]},
            f"invalid arguments: name: Input should be a valid string (got ['{'n' * 98}…)",
        ),
    ],
)
def test_the_model_is_told_field_value_and_rule(arguments: JsonObject, message: str) -> None:
    """One error names the field, quotes the value within bounds and states the rule."""
    with pytest.raises(InvalidArguments) as caught:
        check_arguments(_Point, arguments)
    assert caught.value.message == message


def test_many_errors_are_bounded() -> None:
    """Five errors are spelled out, the others counted."""
    with pytest.raises(InvalidArguments) as caught:
        check_arguments(_Wide, {})
    assert caught.value.message.endswith("e: Field required; and 2 more")


class _Wide(BaseModel):
    a: int
    b: int
    c: int
    d: int
    e: int
    f: int
    g: int


class _Line(BaseModel):
    start: _Point
    end: _Point | None = None
    width: int = 1
    ends: list[_Point] = []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"start": {"x": 1}, "width": None}, _Line(start=_Point(x=1))),
        ({"start": {"x": 1, "name": None}, "end": None}, _Line(start=_Point(x=1), end=None)),
        ({"start": {"x": 1}, "ends": [{"x": 2, "name": None}]}, _Line(start=_Point(x=1), ends=[_Point(x=2)])),
    ],
)
def test_null_for_what_may_be_left_out(arguments: JsonObject, expected: _Line) -> None:
    """Strict schemas make every member required: null is the only way to leave one out, at any depth."""
    assert check_arguments(_Line, arguments) == expected


@pytest.mark.parametrize("arguments", [{"start": {"x": None}}, {"start": None}, {"start": {"x": -1}, "width": None}])
def test_null_is_no_way_round_a_rule(arguments: JsonObject) -> None:
    """What is required stays so, and other faults are told with it."""
    with pytest.raises(InvalidArguments, match="invalid arguments: "):
        check_arguments(_Line, arguments)
