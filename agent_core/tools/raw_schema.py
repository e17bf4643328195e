"""Arguments of a tool that a JSON Schema describes: checked by `jsonschema`, handed over as one dict.

The schema may be anybody's, so it is bounded: nothing it refers to is fetched, and no pattern in it can hang us
(`codecs.schema_check`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import cast

from ..codecs.schema_check import schema_fault, schema_problems
from ..errors import CallerError
from ..items import JsonObject, JsonValue
from .arguments import InvalidArguments
from .base import ToolContext
from .signature import annotations_of, context_parameters

__all__ = ["RawSchema"]


class RawSchema:
    """A Binding to `function`, whose first parameter that is no ToolContext takes the arguments."""

    __slots__ = ("_context", "schema")

    def __init__(self, name: str, schema: Mapping[str, JsonValue], function: Callable[..., object]) -> None:
        given: object = schema
        if not isinstance(given, Mapping):
            raise CallerError(
                f"the schema of tool {name!r} is {type(given).__name__!r}, no JSON Schema object",
                remedy="pass {'type': 'object', 'properties': {…}}",
            )
        if schema.get("type", "object") != "object":
            raise CallerError(
                f"the schema of tool {name!r} must describe an object, not {schema['type']!r:.100}",
                remedy="wrap it: {'type': 'object', 'properties': {'value': …}}",
            )
        if fault := schema_fault(schema):
            raise CallerError(f"the schema of tool {name!r} cannot be used: {fault}", remedy="correct the schema")
        if not callable(function):
            raise CallerError(f"tool {name!r} needs a function, got {function!r:.100}")
        self.schema = cast("JsonObject", schema)
        self._context = _context_of(function, name)

    def bind(self, arguments: JsonObject, context: ToolContext) -> tuple[list[object], dict[str, object]]:
        return [self.named(arguments)], dict.fromkeys(self._context, context)

    def named(self, arguments: JsonObject) -> Mapping[str, object]:
        if problems := schema_problems(self.schema, arguments):
            raise InvalidArguments("invalid arguments: " + "; ".join(problems))
        return arguments


def _context_of(function: Callable[..., object], name: str) -> tuple[str, ...]:
    """The parameters for the context. Raises CallerError if nothing is left for the arguments."""
    context = context_parameters(annotations_of(function, name, {}))
    try:
        inspect.signature(function).bind({}, **dict.fromkeys(context))
    except TypeError as error:
        raise CallerError(
            f"the function of tool {name!r} cannot be called with one dict: {error}",
            remedy="take the arguments as its first parameter, and the ToolContext by keyword if it needs it",
        ) from None
    return context
