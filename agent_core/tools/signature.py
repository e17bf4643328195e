"""From a function's signature to a checker of arguments and a JSON Schema, by pydantic. Loaded when first needed."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from ..errors import CallerError
from ..items import JsonObject, JsonValue
from .arguments import check_arguments
from .base import ToolContext
from .docstrings import Docstring

__all__ = ["Binding", "Signature", "annotations_of", "context_parameters", "read_signature"]


class _Schema(GenerateJsonSchema):
    """pydantic's schema without its warnings: a default that is no JSON is left out of the schema, which is right."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {  # noqa: RUF012 - pydantic declares it so
        "skipped-choice",
        "non-serializable-default",
        "skipped-discriminator",
    }


class Binding(Protocol):
    """Between the arguments a model sends and those a function takes. Both methods raise InvalidArguments."""

    @property
    def schema(self) -> JsonObject: ...

    def bind(self, arguments: JsonObject, context: ToolContext) -> tuple[list[object], dict[str, object]]:
        """Checked arguments as the function takes them: positional, by keyword."""
        ...

    def named(self, arguments: JsonObject) -> Mapping[str, object]:
        """Checked arguments by name, what was left out with its default."""
        ...


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes from the model. `names` maps a parameter to its member of `model`; `context` names the
    parameters that get the ToolContext; `defaulted` are members whose default is a pydantic Field, no value."""

    model: type[BaseModel]
    schema: JsonObject
    names: Mapping[str, str]
    defaulted: frozenset[str]
    positional_only: tuple[str, ...]
    context: tuple[str, ...]

    def bind(self, arguments: JsonObject, context: ToolContext) -> tuple[list[object], dict[str, object]]:
        """What the model left out is left to the function's own default, which pydantic would copy."""
        checked = check_arguments(self.model, arguments)
        sent = checked.model_fields_set | self.defaulted
        values: dict[str, object] = {
            name: getattr(checked, field)
            for name, field in self.names.items()
            if field in sent or name in self.positional_only
        }
        values.update(dict.fromkeys(self.context, context))
        positional = [values.pop(name) for name in self.positional_only]
        return positional, values

    def named(self, arguments: JsonObject) -> Mapping[str, object]:
        checked = check_arguments(self.model, arguments)
        return {name: getattr(checked, field) for name, field in self.names.items()}


def read_signature(
    function: Callable[..., object], docstring: Docstring, *, local_names: Mapping[str, object]
) -> Signature:
    """Raises CallerError, naming the function and the parameter, for types that have no JSON form or are unknown.

    `local_names` are what annotations written inside a function may refer to.
    """
    name = getattr(function, "__name__", repr(function))
    parameters = inspect.signature(function).parameters
    hints = annotations_of(function, name, local_names)
    context = context_parameters(hints)
    fields: dict[str, tuple[object, FieldInfo]] = {}
    names: dict[str, str] = {}
    for number, (key, parameter) in enumerate((k, p) for k, p in parameters.items() if k not in context):
        # Members get numbers and the parameter's name as alias: parameters may be called `schema`, `copy`, `_x`.
        names[key] = f"arg_{number}"
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[names[key]] = _field(key, hints.get(key, JsonValue), default, docstring.parameters.get(key))
    try:
        model = cast("Callable[..., type[BaseModel]]", create_model)(
            "Arguments", __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields
        )
        schema = cast("JsonObject", model.model_json_schema(by_alias=True, schema_generator=_Schema))
    except (PydanticUserError, TypeError) as error:
        reason = str(error).split("\n")[0]
        raise CallerError(
            f"tool function {name!r} has a parameter that cannot be described to a model: {reason}",
            remedy="use JSON types, pydantic models, dataclasses, enums or typing_extensions.TypedDict",
        ) from error
    schema.setdefault("properties", {})
    return Signature(
        model=model,
        schema=_without_titles(schema),
        names=names,
        defaulted=frozenset(names[k] for k in names if isinstance(parameters[k].default, FieldInfo)),
        positional_only=tuple(k for k, p in parameters.items() if p.kind is inspect.Parameter.POSITIONAL_ONLY),
        context=context,
    )


def context_parameters(hints: Mapping[str, object]) -> tuple[str, ...]:
    """The parameters that get the ToolContext, by their annotations."""
    return tuple(key for key, hint in hints.items() if key != "return" and _is_context(hint))


def _field(key: str, hint: object, default: object, description: str | None) -> tuple[object, FieldInfo]:
    """A member for one parameter. A description of its own (`Field`, `Doc` or plain text in `Annotated`) wins over the
    docstring's."""
    notes: list[object] = [*typing.get_args(hint)[1:]] if _is_annotated(hint) else []
    if isinstance(default, FieldInfo):  # `x: int = Field(ge=1)`
        notes.append(default)
        hint = Annotated[hint, default]
    for note in notes:
        own = note if isinstance(note, str) else getattr(note, "description", getattr(note, "documentation", None))
        description = own if isinstance(own, str) else description
    if isinstance(default, FieldInfo):
        return hint, cast("FieldInfo", Field(alias=key, description=description))
    return hint, cast("FieldInfo", Field(default, alias=key, description=description))


def _is_annotated(hint: object) -> bool:
    return typing.get_origin(hint) is Annotated


def _is_context(hint: object) -> bool:
    """Whether the annotation asks for the ToolContext: plain, optional or Annotated."""
    if typing.get_origin(hint) in (Annotated, typing.Union, types.UnionType):
        return any(_is_context(argument) for argument in typing.get_args(hint))
    return hint is ToolContext


def annotations_of(function: Callable[..., object], name: str, local_names: Mapping[str, object]) -> dict[str, object]:
    while isinstance(function, partial):
        function = cast("partial[object]", function).func
    target = function if inspect.isroutine(function) else getattr(type(function), "__call__")  # noqa: B004, B009
    try:
        return typing.get_type_hints(target, localns=dict(local_names), include_extras=True)
    except NameError as error:
        unknown = re.search(r"name '(.+?)'", str(error))
        raise CallerError(
            f"tool function {name!r} is annotated with {unknown[1] if unknown else str(error)!r}, which is not defined",
            remedy="import the name at module level, outside `if TYPE_CHECKING`",
        ) from error


_SCHEMA_MAPS = ("properties", "$defs", "patternProperties")
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SCHEMAS = ("items", "additionalProperties", "not")
_Position = Literal["schema", "map", "list"]
_BELOW: dict[str, _Position] = {
    **dict.fromkeys(_SCHEMA_MAPS, "map"),
    **dict.fromkeys(_SCHEMA_LISTS, "list"),
    **dict.fromkeys(_SCHEMAS, "schema"),
}


def _without_titles(schema: JsonObject) -> JsonObject:
    """Without the titles pydantic makes of names: they cost tokens and say nothing. Only where a schema stands: a
    property may be called `title` (behaviours.md W-S0-06)."""
    out: JsonObject = {}
    for key, value in schema.items():
        if key == "title" and isinstance(value, str):
            continue
        match _BELOW.get(key), value:
            case "map", dict():
                out[key] = {
                    name: _without_titles(inner) if isinstance(inner, dict) else inner for name, inner in value.items()
                }
            case "list", list():
                out[key] = [_without_titles(inner) if isinstance(inner, dict) else inner for inner in value]
            case "schema", dict():
                out[key] = _without_titles(value)
            case _:
                out[key] = value
    return out
