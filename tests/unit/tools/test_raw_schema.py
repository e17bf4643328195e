"""Tools whose parameters a JSON Schema describes: checked by it, called with one dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from agent_core.errors import CallerError
from agent_core.items import JsonObject, JsonValue
from agent_core.prompt import ToolSpec
from agent_core.tools import FunctionTool, Tool, ToolContext, ToolOutput

from .calls import answered, call

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2},
        "days": {"type": "integer", "maximum": 7, "description": "How many."},
        "unit": {"$ref": "#/$defs/unit"},
    },
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"unit": {"enum": ["c", "f"]}},
}


def forecast(arguments: dict[str, JsonValue], context: ToolContext) -> str:
    return f"{sorted(arguments)} for {context.call_id} in {context.tool}"


def made(function: Callable[..., object] = forecast) -> FunctionTool[..., object]:
    return FunctionTool.from_schema("forecast", "The weather.", SCHEMA, function, read_only=True, timeout_s=5)


def test_the_spec_is_the_schema_as_it_is() -> None:
    """Untouched, the same object: what a server published is what the model sees."""
    tool = made()
    assert tool.spec == ToolSpec("forecast", "The weather.", SCHEMA)
    assert tool.spec.parameters is SCHEMA
    assert (isinstance(tool, Tool), tool.read_only, tool.parallel, tool.timeout_s) == (True, True, True, 5)


@pytest.mark.anyio
async def test_arguments_arrive_as_one_dict(tmp_path: Path) -> None:
    """With the context beside it, where the function asks for one."""
    context = ToolContext(tmp_path, call_id="c1")
    answer = await answered(made(), call("forecast", {"city": "Oslo", "unit": "c"}), context)
    assert answer.output == ToolOutput("['city', 'unit'] for c1 in forecast")


def never(arguments: dict[str, JsonValue]) -> None:
    raise AssertionError("called")


WRONG: dict[str, tuple[dict[str, JsonValue], str]] = {
    "missing": ({}, "'city' is a required property"),
    "kind": ({"city": 7}, "$.city: 7 is not of type 'string'"),
    "bound": ({"city": "Oslo", "days": 9}, "$.days: 9 is greater than the maximum of 7"),
    "below a reference": ({"city": "Oslo", "unit": "k"}, "$.unit: 'k' is not one of ['c', 'f']"),
    "unknown": ({"city": "Oslo", "x": 1}, "Additional properties are not allowed ('x' was unexpected)"),
    "several": ({"city": "O", "days": 9}, "$.city: 'O' is too short; $.days: 9 is greater than the maximum of 7"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", WRONG)
async def test_what_does_not_fit_goes_back(name: str, tmp_path: Path) -> None:
    """With the place, the value and the rule; the function is not called."""
    arguments, problem = WRONG[name]
    answer = await answered(made(never), call("forecast", arguments), ToolContext(tmp_path))
    text = f"forecast: invalid arguments: {problem}; correct the arguments and call again"
    assert (answer.output, answer.bad_arguments) == (ToolOutput(text, success=False), True)


REFUSED: dict[str, tuple[object, str]] = {
    "no object": ([], "is 'list', no JSON Schema object"),
    "describes none": ({"type": "array"}, "must describe an object, not 'array'"),
    "a type nobody knows": ({"properties": {"a": {"type": "strin"}}}, "$.properties.a.type: 'strin' is not valid"),
    "a bound that is none": ({"properties": {"a": {"minimum": "1"}}}, "$.properties.a.minimum: '1' is not of type"),
    "a reference to nothing": ({"properties": {"a": {"$ref": "#/$defs/no"}}}, "refers to '/$defs/no', which is not"),
    "one to elsewhere": ({"properties": {"a": {"$ref": "http://x.test/s"}}}, "refers to 'http://x.test/s', which"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_schema_that_is_none_is_refused_at_once(name: str) -> None:
    """When the tool is made, not when the model first calls it; nothing is fetched."""
    schema, words = REFUSED[name]
    assert isinstance(schema, Mapping | list)
    with pytest.raises(CallerError) as caught:
        FunctionTool.from_schema("t", "", schema, forecast)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # what is tested
    assert words in caught.value.message


def needs_two(a: object, b: object) -> None: ...


def test_a_function_that_takes_no_dict_is_refused() -> None:
    """It could never be called."""
    with pytest.raises(CallerError, match="cannot be called with one dict"):
        made(lambda: None)
    with pytest.raises(CallerError, match="cannot be called with one dict"):
        made(needs_two)


def test_the_approval_rule_looks_at_members_by_name(tmp_path: Path) -> None:
    """A member that was left out is None."""

    def rule(city: str, days: int | None) -> bool:
        return days is None and len(city) > 1

    tool = FunctionTool.from_schema("t", "", SCHEMA, forecast, approval=rule)
    asked = [tool.approval(call("t", text), ToolContext(tmp_path)) for text in ('{"city": "Oslo"}', '{"city": "x"}')]
    assert [request and request.summary for request in asked] == ['t(city="Oslo")', None]
