"""Does a JSON value fit a JSON Schema? By `jsonschema`, which is loaded when the first value is checked.

Schemas are the caller's or a server's: one that is broken, or points to another document, never raises and is never
fetched. Nor may one hang us: a `pattern` that Python's `re` might need very long for is not looked at, and the elements
of a long list are not compared with each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Protocol, cast

from ..items import JsonValue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from jsonschema.protocols import Validator

    _Keyword: TypeAlias = Callable[[object, JsonValue, JsonValue, JsonValue], Iterable[object] | None]

__all__ = ["schema_fault", "schema_problems"]

MAX_PROBLEMS = 5
MAX_SHOWN = 100

MAX_STEPS = 30_000_000
"""Of `re` for one pattern and one string, at worst: about a second."""

MAX_COMPARED = 1000
"""Elements of a list whose being unique is checked: the check takes the square of that."""

_BACKTRACKS = re.compile(r"\)[*+{]|\\[1-9]|\(\?[P(]")
_REPEATS = re.compile(r"[*+]|\{\d*,\d*\}")
_CHOICES = re.compile(r"[?|]")


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


def schema_fault(schema: Mapping[str, JsonValue]) -> str:
    """Why a schema is none, or refers to what is not in it; "" if it can be used."""
    from jsonschema import FormatChecker
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012, Schema

    from .schemas import schema_positions

    plain = dict(schema)
    try:
        kind = validator_for(plain, default=Draft202012Validator)
        check = cast("Callable[[object, FormatChecker], None]", kind.check_schema)
        check(plain, FormatChecker(()))  # no formats: a pattern may be written for another language
        resolver = Registry[Schema]().resolver_with_root(DRAFT202012.create_resource(plain))
        for node in schema_positions(plain):
            if isinstance(ref := node.get("$ref"), str):
                resolver.lookup(ref)
    except SchemaError as error:
        return f"{_path(error.json_path)}{_short(error.message)}"
    except Unresolvable as error:
        return f"it refers to {_short(error.ref)!r}, which is not in it"
    except RecursionError:
        return "it is nested too deeply"
    return ""


def _validator(schema: Mapping[str, JsonValue]) -> _Validator:
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry

    kind = _bounded(validator_for(dict(schema), default=Draft202012Validator))
    # A registry of our own: without one, jsonschema fetches what a $ref names.
    return cast("_Validator", kind(dict(schema), registry=Registry()))


@cache
def _bounded(kind: type[Validator]) -> type[Validator]:
    """A validator that no pattern and no list can keep busy."""
    from jsonschema import validators

    extend = cast("Callable[[type[Validator], Mapping[str, _Keyword]], type[Validator]]", vars(validators)["extend"])
    ours = {"pattern": _pattern, "patternProperties": _pattern_properties, "uniqueItems": _unique}
    theirs = cast("Mapping[str, _Keyword]", kind.VALIDATORS)
    return extend(kind, {name: _wrapped(check, theirs[name]) for name, check in ours.items() if name in theirs})


def _wrapped(may: Callable[[JsonValue, JsonValue], JsonValue], check: _Keyword) -> _Keyword:
    """A keyword's check, of the value of the keyword that `may` leaves."""

    def checked(validator: object, value: JsonValue, instance: JsonValue, schema: JsonValue) -> Iterator[object]:
        if (left := may(value, instance)) is not None:
            yield from check(validator, left, instance, schema) or ()

    return checked


def _pattern(pattern: JsonValue, instance: JsonValue) -> JsonValue:
    quick = isinstance(pattern, str) and isinstance(instance, str) and _is_quick(pattern, len(instance))
    return pattern if quick else None


def _pattern_properties(patterns: JsonValue, instance: JsonValue) -> JsonValue:
    if not isinstance(patterns, dict) or not isinstance(instance, dict):
        return None
    longest = max(map(len, instance), default=0)
    return {pattern: schema for pattern, schema in patterns.items() if _is_quick(pattern, longest)}


def _unique(wanted: JsonValue, instance: JsonValue) -> JsonValue:
    return wanted if isinstance(instance, list) and len(instance) <= MAX_COMPARED else None


def _is_quick(pattern: str, length: int) -> bool:
    """Whether `re` knows the pattern and certainly needs few steps: nothing repeats a group, each repetition tries
    `length` places, and each choice two ways."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    if _BACKTRACKS.search(pattern):
        return False
    tries = 2 ** len(_CHOICES.findall(pattern)) * (length + 1) ** len(_REPEATS.findall(pattern))
    return bool(tries <= MAX_STEPS)


def _path(path: str) -> str:
    return "" if path == "$" else f"{path[:MAX_SHOWN]}: "


def _short(text: str) -> str:
    """A message begins with the value and ends with the rule: the middle goes."""
    if len(text) <= 2 * MAX_SHOWN:
        return text
    return f"{text[:MAX_SHOWN]}…{text[-MAX_SHOWN:]}"
