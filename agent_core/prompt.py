"""A prompt: everything one request says, before any wire has a word in it.

Plain frozen records, cheap to make: a prompt is built for every sampling step, its items are shared, never copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec import field as struct_field

from .errors import InvalidPromptError
from .items import JsonValue, ResponseItem, parse_items, user_message

__all__ = [
    "CustomToolSpec",
    "HostedToolSpec",
    "NamedTool",
    "OutputSchema",
    "Prompt",
    "ReasoningSettings",
    "SamplingSettings",
    "ToolChoice",
    "ToolSpec",
    "ToolSpecs",
]


def _no_parameters() -> Mapping[str, JsonValue]:
    return {"type": "object", "properties": {}}


class ToolSpec(Struct, frozen=True):
    """A function tool as the model sees it. `parameters` is a JSON Schema object, passed on untouched unless the
    provider's profile names a schema dialect. `strict` asks for schema-bound arguments; None leaves it out. `deferred`:
    an agent shows the tool only after it was found with `tool_search`; here it changes nothing."""

    name: str
    description: str = ""
    parameters: Mapping[str, JsonValue] = struct_field(default_factory=_no_parameters)
    strict: bool | None = None
    deferred: bool = False


class CustomToolSpec(Struct, frozen=True):
    """A free-form tool: the model writes text. `format` is the wire's grammar object, e.g.
    `{"type": "grammar", "syntax": "lark", "definition": …}`. Wires without such tools get a function with one
    string parameter `input`."""

    name: str
    description: str = ""
    format: Mapping[str, JsonValue] | None = None


class HostedToolSpec(Struct, frozen=True):
    """A tool the provider runs (web search, …): `raw` is its object on `wire`, sent as it is; other wires lose it."""

    raw: Mapping[str, JsonValue]
    wire: Literal["chat", "responses", "messages"] = "responses"


ToolSpecs: TypeAlias = ToolSpec | CustomToolSpec | HostedToolSpec


class NamedTool(Struct, frozen=True):
    """Force exactly this tool."""

    name: str


ToolChoice: TypeAlias = Literal["auto", "none", "required"] | NamedTool


class ReasoningSettings(Struct, frozen=True):
    """`effort` is passed on as the provider spells it (none, minimal, low, medium, high, xhigh, max …);
    `budget_tokens` is for wires that count; `summary` asks for readable summaries (auto, concise, detailed)."""

    effort: str | None = None
    budget_tokens: int | None = None
    summary: str | None = None


class SamplingSettings(Struct, frozen=True):
    """None means: not sent, the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    n: int | None = None
    logprobs: int | None = None


class OutputSchema(Struct, frozen=True):
    """Structured output: the answer's text must be JSON of this schema."""

    schema: Mapping[str, JsonValue]
    name: str = "output"
    strict: bool = True


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request. `items` may be given as a string (one user message) or any iterable of items or JSON objects.

    Raises InvalidPromptError at once for items that are none, two tools of one name, a tool choice that names no tool,
    or settings of another type. `model` is filled in by the client. `mend_items`: what no server would take inside of
    items (an image that is none) is replaced by a note and reported instead of refused: for a history that nobody can
    change any more. `cache_breakpoints`: Messages: place them for this request, as `Compat.cache_control` does for all
    of a server. `extra` is sent as top-level members of the body, last word.
    """

    items: tuple[ResponseItem, ...] = ()
    instructions: str = ""
    tools: tuple[ToolSpecs, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningSettings | None = None
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    max_output_tokens: int | None = None
    output_schema: OutputSchema | None = None
    model: str = ""
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    metadata: Mapping[str, str] | None = None
    user: str | None = None
    verbosity: str | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    mend_items: bool = False
    cache_breakpoints: bool = False
    extra: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    def __init__(
        self,
        items: str | Iterable[ResponseItem | Mapping[str, JsonValue]] = (),
        *,
        instructions: str = "",
        tools: Sequence[ToolSpecs] = (),
        tool_choice: ToolChoice = "auto",
        parallel_tool_calls: bool | None = None,
        reasoning: ReasoningSettings | None = None,
        sampling: SamplingSettings | None = None,
        max_output_tokens: int | None = None,
        output_schema: OutputSchema | None = None,
        model: str = "",
        prompt_cache_key: str | None = None,
        service_tier: str | None = None,
        metadata: Mapping[str, str] | None = None,
        user: str | None = None,
        verbosity: str | None = None,
        store: bool | None = None,
        previous_response_id: str | None = None,
        mend_items: bool = False,
        cache_breakpoints: bool = False,
        extra: Mapping[str, JsonValue] | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "items", _items(items))
        put(self, "instructions", instructions)
        put(self, "tools", _tools(tools))
        put(self, "tool_choice", tool_choice)
        put(self, "parallel_tool_calls", parallel_tool_calls)
        put(self, "reasoning", reasoning)
        put(self, "sampling", sampling or SamplingSettings())
        put(self, "max_output_tokens", max_output_tokens)
        put(self, "output_schema", output_schema)
        put(self, "model", model)
        put(self, "prompt_cache_key", prompt_cache_key)
        put(self, "service_tier", service_tier)
        put(self, "metadata", metadata)
        put(self, "user", user)
        put(self, "verbosity", verbosity)
        put(self, "store", store)
        put(self, "previous_response_id", previous_response_id)
        put(self, "mend_items", mend_items)
        put(self, "cache_breakpoints", cache_breakpoints)
        put(self, "extra", extra or {})
        _check_settings(self)
        _check_choice(self)
        put(self, "extra", dict(self.extra))

    def with_model(self, model: str) -> Prompt:
        """The same prompt for another model."""
        put, other = object.__setattr__, object.__new__(Prompt)
        for name in _MEMBERS:  # what was checked is not checked again: a history may be long
            put(other, name, getattr(self, name))
        put(other, "model", model)
        return other

    def with_items(self, items: Iterable[ResponseItem]) -> Prompt:
        """The same prompt with another history."""
        other = self.with_model(self.model)
        object.__setattr__(other, "items", parse_items(items))
        return other


_MEMBERS = tuple(member.name for member in fields(Prompt))


def _items(items: str | Iterable[ResponseItem | Mapping[str, JsonValue]]) -> tuple[ResponseItem, ...]:
    if isinstance(items, str):
        return (user_message(items),)
    return parse_items(items)


def _tools(tools: Sequence[ToolSpecs]) -> tuple[ToolSpecs, ...]:
    given: object = tools
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise InvalidPromptError(
            f"tools must be a list of tool specs, not {type(given).__name__}", remedy="pass tools=[ToolSpec(…)]"
        )
    seen: set[str] = set()
    for n, spec in enumerate(tools):
        if isinstance(spec, HostedToolSpec):
            continue
        if not isinstance(spec, ToolSpec | CustomToolSpec):
            raise InvalidPromptError(
                f"tools[{n}] must be a ToolSpec, CustomToolSpec or HostedToolSpec, not {type(spec).__name__}",
                remedy="pass ToolSpec(name, description, parameters), or the `spec` of a tool",
            )
        if not isinstance(spec.name, str) or not spec.name:
            raise InvalidPromptError("a tool needs a name", remedy=f"name tools[{n}]")
        if spec.name in seen:
            raise InvalidPromptError(f"two tools are called {spec.name!r}", remedy="rename or remove one of them")
        if isinstance(spec, ToolSpec) and not isinstance(spec.parameters, Mapping):
            raise InvalidPromptError(
                f"parameters of tool {spec.name!r} must be a JSON Schema object, not {type(spec.parameters).__name__}",
                remedy="pass {'type': 'object', 'properties': {…}}",
            )
        if isinstance(spec, ToolSpec):
            _check_parameters(spec)
        seen.add(spec.name)
    return tuple(tools)


def _check_parameters(spec: ToolSpec) -> None:
    kind = spec.parameters.get("type", "object")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        raise InvalidPromptError(
            f"parameters of tool {spec.name!r} must describe an object, not {kind!r}: arguments have names",
            remedy="wrap the schema: {'type': 'object', 'properties': {'value': …}}",
        )


_NUMBER = (int, float)
_KINDS: Mapping[str, tuple[type, ...]] = {
    "instructions": (str,),
    "parallel_tool_calls": (bool,),
    "reasoning": (ReasoningSettings,),
    "reasoning.effort": (str,),
    "reasoning.budget_tokens": (int,),
    "reasoning.summary": (str,),
    "sampling": (SamplingSettings,),
    "sampling.temperature": _NUMBER,
    "sampling.top_p": _NUMBER,
    "sampling.top_k": (int,),
    "sampling.stop": (tuple, list),
    "sampling.seed": (int,),
    "sampling.presence_penalty": _NUMBER,
    "sampling.frequency_penalty": _NUMBER,
    "sampling.n": (int,),
    "sampling.logprobs": (int,),
    "max_output_tokens": (int,),
    "output_schema": (OutputSchema,),
    "output_schema.schema": (Mapping,),
    "output_schema.name": (str,),
    "output_schema.strict": (bool,),
    "model": (str,),
    "prompt_cache_key": (str,),
    "service_tier": (str,),
    "metadata": (Mapping,),
    "user": (str,),
    "verbosity": (str,),
    "store": (bool,),
    "previous_response_id": (str,),
    "extra": (Mapping,),
}
"""What each setting holds, where it is not None; a bool is no number."""

_WORDS: Mapping[type, str] = {
    str: "a string",
    bool: "True or False",
    int: "a number",
    float: "a number",
    tuple: "a list of strings",
    list: "a list of strings",
    Mapping: "a mapping",
}


def _check_settings(prompt: Prompt) -> None:
    """`reasoning="high"`, `output_schema={…}` and `stop="x"` are near at hand, and would fail somewhere inside a codec,
    or at the server."""
    for name, kinds in _KINDS.items():
        holder, _, member = name.rpartition(".")
        of: object = getattr(prompt, holder) if holder else prompt
        value: object = None if of is None else getattr(of, member)
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            wanted = " or ".join(dict.fromkeys(_WORDS.get(kind, kind.__name__) for kind in kinds))
            use = f"use {wanted}(…)" if kinds[0] not in _WORDS else f"pass {wanted}"
            raise InvalidPromptError(f"{name} must be {wanted}, not {type(value).__name__!r}", remedy=use)
    cap = prompt.max_output_tokens
    if cap is not None and cap < 1:
        raise InvalidPromptError(f"max_output_tokens must be at least 1, got {cap}", remedy="leave it out for no cap")


def _check_choice(prompt: Prompt) -> None:
    choice = prompt.tool_choice
    if isinstance(choice, NamedTool):
        names = [spec.name for spec in prompt.tools if not isinstance(spec, HostedToolSpec)]
        if choice.name not in names:
            raise InvalidPromptError(
                f"tool_choice names {choice.name!r}, which is not among the tools {names!r}",
                remedy="name one of them, or add the tool",
            )
    elif choice not in ("auto", "none", "required"):
        raise InvalidPromptError(
            f"tool_choice must be auto, none, required or NamedTool, got {choice!r:.100}",
            remedy="use NamedTool(name) for a certain tool",
        )
    elif choice == "required" and not prompt.tools:
        raise InvalidPromptError(
            "tool_choice is 'required' but there are no tools", remedy="pass tools=[…], or leave the choice out"
        )
