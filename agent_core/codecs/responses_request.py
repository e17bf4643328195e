"""Requests of the Responses wire, read: what a gateway makes of a client's body.

Takes all that Codex, opencode and the official SDKs send (partners.md 5): tools of any type, items of any type,
messages without a `type`, content as text or parts. What a prompt has no word for is a declared loss; what is wrong is
an InvalidRequestError (HTTP 400) that names the member.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import InvalidPromptError, InvalidRequestError
from ..items import (
    CustomToolCallOutput,
    FunctionCallOutput,
    InputText,
    JsonObject,
    JsonValue,
    Message,
    ResponseItem,
    Role,
    UnknownItem,
)
from ..prompt import (
    CustomToolSpec,
    HostedToolSpec,
    NamedTool,
    OutputSchema,
    Prompt,
    ReasoningSettings,
    SamplingSettings,
    ToolChoice,
    ToolSpec,
    ToolSpecs,
)
from .base import DecodedRequest, Loss, json_list, json_object, json_str
from .responses_reading import Source, decode_item, decode_message, decode_output, load_json

__all__ = ["decode_request", "decode_tools"]

_ROLES: dict[str, Role] = {"system": "system", "developer": "developer", "user": "user", "assistant": "assistant"}

_REQUIRED = {
    "function_call": ("call_id", "name"),
    "custom_tool_call": ("call_id", "name"),
    "function_call_output": ("call_id",),
    "custom_tool_call_output": ("call_id",),
}
"""Members without which an item cannot be paired; the API refuses such items too."""

_TAKEN = frozenset(
    {
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning",
        "store",
        "include",
        "prompt_cache_key",
        "text",
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_logprobs",
        "metadata",
        "user",
        "service_tier",
        "previous_response_id",
        "stream",
    }
)
_DEFAULTS: JsonObject = {"background": False, "truncation": "disabled"}
"""Members that say nothing when they have this value; others that are not taken are losses."""
_PASSED_ON = (
    "cache_ttl_secs",  # of no API: a word to a cache on the way (behaviours.md S0-40), which takes it out
    "client_metadata",
    "context_management",
    "conversation",
    "max_tool_calls",
    "prompt",
    "prompt_cache_retention",
    "safety_identifier",
    "stream_options",
    "truncation",
)
"""Members of the API that a prompt has no word for: kept in `Prompt.extra`, which is right while the answer comes from
this wire."""


def decode_request(body: bytes) -> DecodedRequest:
    try:
        found = json_object(load_json(body))
    except ValueError as error:
        raise _wrong("", f"the body is not JSON: {error}") from None
    if found is None:
        raise _wrong("", "the body must be a JSON object")
    rest = {
        name: value for name, value in found.items() if name not in _TAKEN and value not in (None, _DEFAULTS.get(name))
    }
    extra = {name: rest.pop(name) for name in _PASSED_ON if name in rest}
    losses = [Loss(name) for name in rest]
    model = _text(found, "model") or ""
    items = _items(found.get("input"), Source(model=model), losses)
    tools = _tools(found, losses)
    reasoning = _object(found, "reasoning")
    text = _object(found, "text")
    losses += (Loss(f"reasoning.{name}") for name in reasoning if name not in ("effort", "summary"))
    losses += (Loss(f"include.{name}") for name in _includes(found) if name not in _IMPLIED)
    try:
        prompt = Prompt(
            items,
            model=model,
            instructions=_text(found, "instructions") or "",
            tools=tools,
            tool_choice=_tool_choice(found.get("tool_choice"), tools, items, losses),
            parallel_tool_calls=_flag(found, "parallel_tool_calls"),
            reasoning=_reasoning(reasoning),
            sampling=SamplingSettings(
                temperature=_number(found, "temperature"),
                top_p=_number(found, "top_p"),
                logprobs=_count(found, "top_logprobs"),
            ),
            max_output_tokens=_count(found, "max_output_tokens"),
            output_schema=_output_schema(text, losses),
            prompt_cache_key=_text(found, "prompt_cache_key"),
            service_tier=_text(found, "service_tier"),
            metadata=_metadata(found),
            user=_text(found, "user"),
            verbosity=_text(text, "verbosity", "text."),
            store=_flag(found, "store"),
            previous_response_id=_text(found, "previous_response_id"),
            extra=extra,
        )
    except InvalidPromptError as error:
        raise _wrong("", error.message) from None
    return DecodedRequest(prompt, stream=_flag(found, "stream") or False, include_usage=True, losses=tuple(losses))


_IMPLIED = frozenset({"reasoning.encrypted_content", "message.output_text.logprobs"})
"""What the encoder asks for by itself where it is wanted."""


def _wrong(param: str, why: str) -> InvalidRequestError:
    message = f"{param}: {why}" if param else why
    return InvalidRequestError(message, status=400, error_type="invalid_request_error", param=param or None)


# members by type


def _member(found: JsonObject, name: str, where: str, fits: Callable[[JsonValue], bool], what: str) -> JsonValue:
    value = found.get(name)
    if value is not None and not fits(value):
        raise _wrong(where + name, f"must be {what}, not {type(value).__name__}")
    return value


def _text(found: JsonObject, name: str, where: str = "") -> str | None:
    value = _member(found, name, where, lambda value: isinstance(value, str), "a string")
    return value if isinstance(value, str) else None


def _flag(found: JsonObject, name: str) -> bool | None:
    value = _member(found, name, "", lambda value: isinstance(value, bool), "true or false")
    return value if isinstance(value, bool) else None


def _number(found: JsonObject, name: str) -> float | None:
    value = _member(
        found, name, "", lambda value: isinstance(value, (int, float)) and not isinstance(value, bool), "a number"
    )
    return value if isinstance(value, (int, float)) else None


def _count(found: JsonObject, name: str) -> int | None:
    value = _member(found, name, "", lambda value: type(value) is int and value >= 0, "a whole number")
    return value if isinstance(value, int) else None


def _object(found: JsonObject, name: str, where: str = "") -> JsonObject:
    return json_object(_member(found, name, where, lambda value: isinstance(value, dict), "an object")) or {}


def _metadata(found: JsonObject) -> dict[str, str] | None:
    metadata = _object(found, "metadata")
    for name in metadata:
        _text(metadata, name, "metadata.")
    return {name: json_str(value) for name, value in metadata.items()} or None


def _includes(found: JsonObject) -> list[str]:
    return [name for value in json_list(found.get("include")) if (name := json_str(value))]


def _reasoning(found: JsonObject) -> ReasoningSettings | None:
    effort, summary = _text(found, "effort", "reasoning."), _text(found, "summary", "reasoning.")
    return ReasoningSettings(effort=effort, summary=summary) if found else None


def _output_schema(text: JsonObject, losses: list[Loss]) -> OutputSchema | None:
    wanted = _object(text, "format", "text.")
    match wanted.get("type"):
        case None | "text":
            return None
        case "json_object":
            losses.append(Loss("text.format", "any JSON object: asked for as a schema"))
            return OutputSchema({"type": "object"}, strict=False)
        case "json_schema":
            schema = json_object(wanted.get("schema"))
            if schema is None:
                raise _wrong("text.format.schema", "must be a JSON Schema object")
            return OutputSchema(
                schema, name=json_str(wanted.get("name")) or "output", strict=wanted.get("strict") is True
            )
        case other:
            raise _wrong("text.format.type", f"must be text, json_object or json_schema, not {other!r}")


# tools


def _tools(found: JsonObject, losses: list[Loss]) -> list[ToolSpecs]:
    return decode_tools(json_list(_member(found, "tools", "", lambda value: isinstance(value, list), "a list")), losses)


def decode_tools(given: Sequence[JsonValue], losses: list[Loss]) -> list[ToolSpecs]:
    """The tools of a request, or of a namespace. Raises InvalidRequestError for one without a type or a name."""
    tools: list[ToolSpecs] = []
    for n, value in enumerate(given):
        raw = json_object(value)
        if raw is None or not json_str(raw.get("type")):
            raise _wrong(f"tools[{n}]", "must be an object with a type")
        where = f"tools[{n}]."
        if raw["type"] not in ("function", "custom"):
            tools.append(HostedToolSpec(raw, wire="responses"))  # namespaces, web_search, mcp, …: as they are
            continue
        name = _text(raw, "name", where)
        if not name:
            raise _wrong(f"{where}name", "a tool needs a name")
        description = _text(raw, "description", where) or ""
        if raw["type"] == "custom":
            tools.append(CustomToolSpec(name, description, json_object(raw.get("format"))))
            continue
        parameters = _object(raw, "parameters", where)
        strict = raw.get("strict")
        known = ("type", "name", "description", "parameters", "strict")
        losses += (Loss(f"tools.{member}", name) for member in raw if member not in known)
        tools.append(
            ToolSpec(
                name,
                description,
                parameters or {"type": "object", "properties": {}},
                strict=strict if isinstance(strict, bool) else None,
            )
        )
    return tools


def _tool_choice(
    value: JsonValue, tools: Sequence[ToolSpecs], items: Sequence[ResponseItem], losses: list[Loss]
) -> ToolChoice:
    """A choice among tools a prompt cannot name (hosted ones, or given as an input item) is a loss, never a refusal."""
    hidden = any(isinstance(spec, HostedToolSpec) for spec in tools) or any(
        isinstance(item, UnknownItem) and item.raw_type == "additional_tools" for item in items
    )
    match value:
        case None | "auto":
            return "auto"
        case "none":
            return "none"
        case "required" if tools or not hidden:
            return "required"
        case {"type": "function" | "custom", "name": str(name)}:
            if not hidden or any(not isinstance(spec, HostedToolSpec) and spec.name == name for spec in tools):
                return NamedTool(name)
        case "required" | {"type": str()}:
            pass
        case _:
            raise _wrong("tool_choice", "must be auto, none, required or an object with a type")
    losses.append(Loss("tool_choice", "a choice this prompt cannot express"))
    wanted = json_object(value) or {}
    if tools and (value == "required" or wanted.get("mode") == "required" or wanted.get("type") != "allowed_tools"):
        return "required"
    return "auto"


# input


def _items(value: JsonValue, source: Source, losses: list[Loss]) -> list[ResponseItem]:
    if value is None:
        raise _wrong("input", "is missing")
    if isinstance(value, str):
        return [Message(role="user", content=(InputText(text=value),))]
    if not isinstance(value, (list, dict)):
        raise _wrong("input", f"must be a string or a list of items, not {type(value).__name__}")
    values = [value] if isinstance(value, dict) else value
    return [_item(one, n, source, losses) for n, one in enumerate(values)]


def _item(value: JsonValue, n: int, source: Source, losses: list[Loss]) -> ResponseItem:
    where = f"input[{n}]"
    raw = json_object(value)
    if raw is None:
        raise _wrong(where, f"must be an object, not {type(value).__name__}")
    kind = raw.get("type", "message" if "role" in raw else None)
    if not isinstance(kind, str):
        raise _wrong(f"{where}.type", f"must be a string, not {type(kind).__name__}")
    if kind == "message":
        return _message(raw, where, source, losses)
    for name in _REQUIRED.get(kind, ()):
        if not _text(raw, name, f"{where}."):
            raise _wrong(f"{where}.{name}", f"a {kind} needs it")
    own = json_str(raw.get("id")) or None
    match kind:
        case "function_call_output":
            return FunctionCallOutput(id=own, call_id=json_str(raw["call_id"]), output=decode_output(raw.get("output")))
        case "custom_tool_call_output":
            return CustomToolCallOutput(
                id=own, call_id=json_str(raw["call_id"]), output=decode_output(raw.get("output"))
            )
        case "local_shell_call_output":  # it names its call by the call's id
            call_id = json_str(raw.get("call_id")) or json_str(raw.get("id"))
            return FunctionCallOutput(call_id=call_id, output=decode_output(raw.get("output")))
        case _:
            return decode_item(raw, source, n)


def _message(raw: JsonObject, where: str, source: Source, losses: list[Loss]) -> Message:
    role = _ROLES.get(json_str(raw.get("role")))
    if role is None:
        raise _wrong(f"{where}.role", f"must be one of {', '.join(_ROLES)}, not {raw.get('role')!r}")
    if not isinstance(raw.get("content"), (str, list)):
        raise _wrong(f"{where}.content", "must be a string or a list of parts")
    unknown: list[str] = []
    message = decode_message(raw, role, source, unknown)
    losses += (Loss(f"content.{kind}", where) for kind in unknown)
    own = json_str(raw.get("id"))
    return message.model_copy(update={"id": own}) if own and role != "assistant" else message
