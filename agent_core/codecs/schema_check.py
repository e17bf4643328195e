"""Does a JSON value fit a JSON Schema? By `jsonschema`, which is loaded when the first value is checked.

Schemas are the caller's or a server's: one that is broken, or points to another document, never raises and is never
fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

from ..items import JsonValue

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["schema_problems"]

MAX_PROBLEMS = 5
MAX_SHOWN = 100


class _Problem(Protocol):
    @property
    def json_path(self) -> str: ...
    @property
    def message(self) -> str: ...


class _Validator(Protocol):
    def iter_errors(self, instance: object) -> Iterable[_Problem]: ...


def schema_problems(schema: Mapping[str, JsonValue], value: JsonValue) -> list[str]:
    """What is wrong with `value`, one line per place (`$.user.age: …`), five at most; empty if it fits.

    The words hold pieces of the value, each cut to 100 characters. A schema that cannot be used is one problem.
    """
    problems: list[str] = []
    try:
        for problem in _validator(schema).iter_errors(value):
            problems.append(f"{_path(problem.json_path)}{_short(problem.message)}")
            if len(problems) == MAX_PROBLEMS:
                break
    except RecursionError:
        return ["it is nested too deeply to be checked"]
    except Exception as error:  # noqa: BLE001  # a schema that is none, or refers to what is not in it
        return [f"the schema cannot be used: {type(error).__name__}"]
    return problems


def _validator(schema: Mapping[str, JsonValue]) -> _Validator:
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry

    kind = validator_for(dict(schema), default=Draft202012Validator)
    # A registry of our own: without one, jsonschema fetches what a $ref names.
    return cast("_Validator", kind(dict(schema), registry=Registry()))


def _path(path: str) -> str:
    return "" if path == "$" else f"{path[:MAX_SHOWN]}: "


def _short(text: str) -> str:
    """A message begins with the value and ends with the rule: the middle goes."""
    if len(text) <= 2 * MAX_SHOWN:
        return text
    return f"{text[:MAX_SHOWN]}…{text[-MAX_SHOWN:]}"
