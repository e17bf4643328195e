"""JSON Schemas in the dialects servers read: a schema and a dialect in, a schema that server takes and the losses out.

A schema goes out as its caller wrote it unless the provider's profile names a dialect (behaviours.md S1-22: rewriting
loses). Rewriting works in schema position only: `default` is a keyword of a schema, but a name inside `properties`
(W-S0-06, X-S0-06). What a dialect cannot say is told to the model in the `description` where that helps, and reported.

    dialect         what it wants (providers.md 3d; behaviours.md S0-32, S0-33)
    as_is           nothing: the same object comes back
    inline_refs     no `$ref`: what it names stands in its place (Llama, Qwen)
    openai_strict   closed objects whose members are all required, optional ones nullable; `anyOf` for `oneOf`, no
                    `allOf`, conditions or defaults, few bounds; nothing beside `$ref`
    gemini          the OpenAPI subset: no `$ref`, `const`, `allOf`, `oneOf`; `nullable` for null; enums of strings
    moonshot        (MFJS) no `$ref`, a `type` everywhere except beside `anyOf`, one schema for all elements

A `$ref` that leads back into itself, or to nothing, cannot be written out: it is cut there, which is a loss. The same
holds past MAX_NODES schemas. The same input always gives the same result, and a result is its own result.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote

from ..errors import InvalidPromptError
from ..items import JsonObject, JsonValue
from .base import Compat, Loss, SchemaDialect, json_list, json_object
from .schema_steps import DIALECTS, MANY, NAMED, ONE, Dialect, children_of

__all__ = ["MAX_DEPTH", "MAX_NODES", "Rewriter", "fitted_schema", "schema_positions", "to_dialect"]

MAX_NODES = 5000
"""Schemas in one result before `$ref`s are no longer written out: refs to refs grow exponentially."""

MAX_DEPTH = 100
"""Levels of one schema. Half of it is as deep as `$ref`s are followed."""


def to_dialect(
    schema: Mapping[str, JsonValue], dialect: SchemaDialect
) -> tuple[Mapping[str, JsonValue], tuple[Loss, ...]]:
    """`schema` as `dialect` writes it, and what that lost: each kind of loss once, with the first place it was at.

    Never changes `schema`. Raises InvalidPromptError for one nested deeper than MAX_DEPTH.
    """
    rules = DIALECTS[dialect]
    if rules is None:
        return schema, ()
    rewriter = Rewriter(schema, rules)
    return rewriter.node(dict(schema), "#"), rewriter.losses()


def fitted_schema(
    schema: Mapping[str, JsonValue], compat: Compat, *, strict: bool | None, of: str
) -> tuple[JsonObject, tuple[Loss, ...]]:
    """A tool's or an answer's schema as this server reads it; `of` says whose it is, in the losses.

    The dialect of OpenAI's strict mode is for schemas that ask for it: all others may say what they like there. Each
    schema object is rewritten once (the tools of a conversation are the same objects on every turn), so it must not be
    changed in place after its first request; the result is shared and must not be changed at all.
    """
    dialect = compat.schema_dialect
    if dialect == "as_is" or (dialect == "openai_strict" and not strict):
        return dict(schema), ()
    fitted, losses = _once(_ById(schema), dialect)
    return dict(fitted), tuple(Loss(loss.feature, f"{of}: {loss.detail}") for loss in losses)


class _ById:
    """A key that is the object itself, kept alive: schemas are dicts, which cannot be hashed."""

    __slots__ = ("schema",)

    def __init__(self, schema: Mapping[str, JsonValue]) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.schema is self.schema


@lru_cache(maxsize=512)
def _once(key: _ById, dialect: SchemaDialect) -> tuple[Mapping[str, JsonValue], tuple[Loss, ...]]:
    return to_dialect(key.schema, dialect)


def schema_positions(schema: JsonValue) -> list[JsonObject]:
    """All schemas in a schema, itself first; booleans, which are schemas too, are left out."""
    found: list[JsonObject] = []
    waiting: list[JsonValue] = [schema]
    while waiting:
        node = json_object(waiting.pop())
        if node is not None:
            found.append(node)
            for keyword, value in node.items():
                waiting.extend(children_of(keyword, value))
    return found


class Rewriter:
    """The walk through one schema. Steps get it to report losses and to follow `$ref`s."""

    __slots__ = ("_depth", "_lost", "_nodes", "_open", "_root", "_rules")

    def __init__(self, root: Mapping[str, JsonValue], rules: Dialect) -> None:
        self._root: JsonObject = dict(root)
        self._rules = rules
        self._open: list[str] = []  # the `$ref`s whose targets are being written out
        self._depth = 0
        self._nodes = 0
        self._lost: dict[str, str] = {}

    def losses(self) -> tuple[Loss, ...]:
        return tuple(Loss("schema", f"{what} (at {place})") for what, place in self._lost.items())

    def lose(self, what: str, place: str) -> None:
        self._lost.setdefault(what, place)

    def node(self, node: JsonObject, place: str) -> JsonObject:
        """One schema, its children included."""
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH:
            raise InvalidPromptError(
                f"a JSON Schema is nested deeper than {MAX_DEPTH} levels", remedy="flatten it, or name its parts"
            )
        opened = len(self._open)
        if self._rules.inline or place == "#":
            node = self.resolved(node, place)
        for step in self._rules.before:
            node = step(self, node, place)
        node = {keyword: self._with_children(keyword, value, place) for keyword, value in node.items()}
        for step in self._rules.after:
            node = step(self, node, place)
        del self._open[opened:]
        self._depth -= 1
        return node

    def _with_children(self, keyword: str, value: JsonValue, place: str) -> JsonValue:
        if isinstance(value, list) and keyword in MANY:
            return [self._child(entry, f"{place}/{keyword}/{n}") for n, entry in enumerate(value)]
        if isinstance(value, dict) and keyword in NAMED:
            # `false` is "there is no such member"; a dialect without booleans says so by leaving it out.
            kept = {name: entry for name, entry in value.items() if entry is not False or not self._rules.after}
            return {name: self._child(entry, f"{place}/{keyword}/{name}") for name, entry in kept.items()}
        if keyword in ONE and not (keyword == "additionalProperties" and isinstance(value, bool)):
            return self._child(value, f"{place}/{keyword}")
        return value

    def _child(self, value: JsonValue, place: str) -> JsonValue:
        if value is True and self._rules.after:
            value = {}  # "anything", in a form that can be given a type
        return self.node(value, place) if isinstance(value, dict) else value

    def resolved(self, node: JsonObject, place: str) -> JsonObject:
        """The node with what its `$ref` names in the ref's place; members beside the ref win.

        The refs it went through stay open until the node is done: one that comes again inside would never end.
        """
        while isinstance(ref := node.get("$ref"), str):
            beside = {keyword: value for keyword, value in node.items() if keyword != "$ref"}
            target = self._target(ref)
            if target is None:
                self.lose(f"$ref {ref!r}, which leads nowhere", place)
                node = beside
            elif ref in self._open or self._nodes > MAX_NODES or self._depth > MAX_DEPTH // 2:
                self.lose("a $ref that leads back into itself" if ref in self._open else "a $ref too many", place)
                node = {**{word: target[word] for word in ("type", "description") if word in target}, **beside}
            else:
                self._open.append(ref)
                node = {**target, **beside}
        if self._rules.inline or place != "#":
            node = {keyword: value for keyword, value in node.items() if keyword not in ("$defs", "definitions")}
        return node

    def _target(self, ref: str) -> JsonObject | None:
        """What a local `$ref` points at (a JSON pointer into the root); None for any other."""
        if ref != "#" and not ref.startswith("#/"):
            return None
        found: JsonValue = self._root
        for step in ref.split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            entries = json_list(found)
            members: JsonObject = json_object(found) or {str(n): entry for n, entry in enumerate(entries)}
            if name not in members:
                return None
            found = members[name]
        return {} if found is True else json_object(found)
