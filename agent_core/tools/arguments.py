"""From the text a model wrote as arguments to a typed value, or to a message it can act on."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, TypeVar, cast

from ..errors import ToolError
from ..items import JsonObject, JsonValue

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["MAX_ARGUMENT_CHARS", "InvalidArguments", "check_arguments", "parse_arguments"]

MAX_ARGUMENT_CHARS = 16 * 1024 * 1024
MAX_SHOWN_ERRORS = 5
MAX_SHOWN_VALUE = 100

_ModelT = TypeVar("_ModelT", bound="BaseModel")
_FENCE = re.compile(r"```[^\n]*\n(.*?)(?:\n?```)?", re.DOTALL)


class InvalidArguments(ToolError):
    """The model's arguments are not what the tool takes; the message names the field, the value and the rule."""

    default_remedy = "correct the arguments and call again"


def parse_arguments(text: str) -> JsonObject:
    """The JSON object in a call's arguments.

    Forgives what models really write: nothing at all or `null` ({}), a Markdown fence around the object
    (behaviours.md S0-24), the object once more as a JSON string, raw control characters inside strings. Never
    completes or cuts anything. Raises InvalidArguments for all else.
    """
    if len(text) > MAX_ARGUMENT_CHARS:
        raise InvalidArguments(f"the arguments have {len(text)} characters, more than {MAX_ARGUMENT_CHARS}")
    body = text.strip()
    if body.startswith("```") and (fenced := _FENCE.fullmatch(body)):
        body = fenced[1].strip()
    value = _load(body) if body else None
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _load(value)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidArguments(f"the arguments must be a JSON object, not {_kind(value)}")
    return value


def check_arguments(model: type[_ModelT], arguments: JsonObject) -> _ModelT:
    """The arguments as `model`. Raises InvalidArguments with one line per wrong field, five at most.

    A null where the model may leave something out and no null is taken means that it is left out: strict schemas have
    no other way to say so, and models do it unasked.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        if (fewer := _without_nulls(arguments, error)) is not None:
            with suppress(ValidationError):
                return model.model_validate(fewer)
        raise InvalidArguments("invalid arguments: " + _explained(error)) from None


def _without_nulls(arguments: JsonObject, error: ValidationError) -> JsonObject | None:
    """The arguments without the members that are wrong because they are null; None if something else is wrong."""
    problems = error.errors(include_url=False, include_context=False)
    if any(problem["input"] is not None or problem["type"] == "missing" for problem in problems):
        return None
    fewer = deepcopy(arguments)
    for problem in problems:
        at: JsonValue = fewer
        for step in problem["loc"]:  # also holds words that are no members: which branch of a union it was
            if isinstance(at, list) and isinstance(step, int) and step < len(at):
                at = list(at)[step]
            elif isinstance(at, dict) and (name := str(step)) in at:
                if at[name] is None:
                    del at[name]
                    break
                at = at[name]
    return fewer


def _load(text: str) -> JsonValue:
    try:
        return cast("JsonValue", _read(text))
    except json.JSONDecodeError as error:
        near = text[max(error.pos - 20, 0) : error.pos + 20]
        raise InvalidArguments(
            f"the arguments are not valid JSON: {error.msg} at character {error.pos}, near {near!r}"
        ) from None
    except (ValueError, RecursionError) as error:  # NaN, an integer of thousands of digits, nesting without end
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).split(";")[0]
        raise InvalidArguments(f"the arguments are not valid JSON: {reason}") from None


def _no_constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is not a JSON value")


_read = json.JSONDecoder(strict=False, parse_constant=_no_constant).decode


def _kind(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "a boolean"
    return "an array" if isinstance(value, list) else "a string" if isinstance(value, str) else "a number"


def _explained(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False)
    lines: list[str] = []
    for problem in problems[:MAX_SHOWN_ERRORS]:
        field = ".".join(str(step) for step in problem["loc"]) or "arguments"
        got = "" if problem["type"] == "missing" else f" (got {_shown(problem['input'])})"
        lines.append(f"{field}: {problem['msg']}{got}")
    if len(problems) > MAX_SHOWN_ERRORS:
        lines.append(f"and {len(problems) - MAX_SHOWN_ERRORS} more")
    return "; ".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, str) and len(value) > MAX_SHOWN_VALUE:
        value = value[:MAX_SHOWN_VALUE] + "…"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_VALUE + 20 else text[:MAX_SHOWN_VALUE] + "…"
