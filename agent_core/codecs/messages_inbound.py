"""A Messages request somebody sent us, as a Prompt: what a server does first. The way out is `messages_request`.

What maps onto a Prompt is mapped. Top-level members that only this wire knows (`context_management`, `container`,
`mcp_servers`, …) are kept in `Prompt.extra`, which is right while the answer comes from this wire; who sends the prompt
to another wire has to leave them out. What is neither is a Loss: cache markers, the ways a tool may be loaded, kinds of
blocks a Prompt has no word for.

An assistant message is read by the decoder of answers, so its blocks become the very items they once were.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import NoReturn

from ..errors import InvalidPromptError, InvalidRequestError
from ..items import (
    FunctionCallOutput,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    JsonValue,
    Message,
    OutputPart,
    ResponseItem,
)
from ..prompt import (
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
from .base import Compat, DecodedRequest, json_list, json_object, json_str
from .messages_blocks import load_json
from .messages_items import Losses
from .messages_stream import MessagesStreamDecoder

__all__ = ["decode_request"]

_NO_SCHEMA: JsonObject = {"type": "object", "properties": {}}
_TOOL_MEMBERS = frozenset({"type", "name", "description", "input_schema", "strict"})
_MAPPED = frozenset(
    {
        "model", "max_tokens", "messages", "system", "tools", "tool_choice", "thinking", "output_config",
        "output_format", "stop_sequences", "temperature", "top_p", "top_k", "metadata", "service_tier", "stream",
    }
)  # fmt: skip


def decode_request(body: bytes) -> DecodedRequest:
    """Raises InvalidRequestError (status 400) naming the member that is wrong."""
    try:
        request = json_object(load_json(body))
    except ValueError as error:
        _refuse(f"the body is no JSON: {error}", "")
    if request is None:
        _refuse("the body must be a JSON object", "")
    losses = Losses()
    tools = _tools(request, losses)
    choice, parallel = _tool_choice(request, tools, losses)
    reasoning, schema, extra = _output_config(request, losses)
    extra.update((name, value) for name, value in request.items() if name not in _MAPPED)
    model = _text(request, "model") or ""
    try:
        prompt = Prompt(
            _items(request, model, losses),
            instructions=_system(request, losses),
            tools=tools,
            tool_choice=choice,
            parallel_tool_calls=parallel,
            reasoning=reasoning,
            sampling=_sampling(request),
            max_output_tokens=_whole(request, "max_tokens"),
            output_schema=schema,
            model=model,
            service_tier=_service_tier(request),
            user=_user(request, losses),
            extra=extra,
        )
    except InvalidPromptError as error:
        _refuse(error.message, "")
    return DecodedRequest(prompt, stream=request.get("stream") is True, include_usage=True, losses=losses.all())


def _refuse(message: str, param: str) -> NoReturn:
    where = f"{param}: " if param else ""
    raise InvalidRequestError(
        f"{where}{message}", status=400, error_type="invalid_request_error", param=param or None
    ) from None


# members


def _text(holder: JsonObject, name: str, where: str = "") -> str | None:
    """A string member or None; `where` is the path of its holder, for the error."""
    value = holder.get(name)
    if value is not None and not isinstance(value, str):
        _refuse(f"must be a string, got {type(value).__name__}", f"{where}.{name}" if where else name)
    return value


def _number(holder: JsonObject, name: str) -> float | None:
    value = holder.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _refuse(f"must be a number, got {type(value).__name__}", name)
    return value


def _whole(holder: JsonObject, name: str) -> int | None:
    value = _number(holder, name)
    if value is None:
        return None
    if not isinstance(value, int) or value < 1:
        _refuse(f"must be a whole number above 0, got {value!r}", name)
    return value


def _list(holder: JsonObject, name: str, where: str = "") -> list[JsonValue]:
    value = holder.get(name)
    if value is not None and not isinstance(value, list):
        _refuse(f"must be a list, got {type(value).__name__}", f"{where}.{name}" if where else name)
    return json_list(value)


def _object(value: JsonValue, where: str) -> JsonObject:
    found = json_object(value)
    if found is None:
        _refuse(f"must be an object, got {type(value).__name__}", where)
    return found


def _sampling(request: JsonObject) -> SamplingSettings:
    stop = _list(request, "stop_sequences")
    if not all(isinstance(text, str) for text in stop):
        _refuse("must hold strings only", "stop_sequences")
    return SamplingSettings(
        temperature=_number(request, "temperature"),
        top_p=_number(request, "top_p"),
        top_k=_whole(request, "top_k"),
        stop=tuple(json_str(text) for text in stop),
    )


def _service_tier(request: JsonObject) -> str | None:
    """`auto` is what goes without saying here, and means something else elsewhere (behaviours.md T-G11)."""
    tier = _text(request, "service_tier")
    return {"auto": None, "standard_only": "default"}.get(tier, tier) if tier is not None else None


def _user(request: JsonObject, losses: Losses) -> str | None:
    if request.get("metadata") is None:
        return None
    metadata = _object(request["metadata"], "metadata")
    for name in metadata:
        if name != "user_id":
            losses.add("metadata", name)
    return _text(metadata, "user_id", "metadata")


def _output_config(
    request: JsonObject, losses: Losses
) -> tuple[ReasoningSettings | None, OutputSchema | None, dict[str, JsonValue]]:
    """Reasoning, structured output, and a `thinking` member of a kind not known here, for `Prompt.extra`."""
    config = _object(request.get("output_config") or {}, "output_config")
    for name in config:
        if name not in ("effort", "format"):
            losses.add("output_config", name)
    effort = _text(config, "effort", "output_config")
    schema = _schema(config.get("format") or request.get("output_format"), losses)
    thinking = _object(request.get("thinking") or {}, "thinking")
    summary = {"summarized": "auto", "omitted": "none"}.get(_text(thinking, "display", "thinking") or "")
    match thinking.get("type"):
        case "disabled":
            return ReasoningSettings(effort="none"), schema, {}
        case "enabled":
            budget = _whole(thinking, "budget_tokens")
            return ReasoningSettings(effort=effort, budget_tokens=budget, summary=summary), schema, {}
        case "adaptive":
            return ReasoningSettings(effort=effort, summary=summary), schema, {}
        case _:
            reasoning = ReasoningSettings(effort=effort) if effort is not None else None
            return reasoning, schema, {"thinking": thinking} if thinking else {}


def _schema(value: JsonValue, losses: Losses) -> OutputSchema | None:
    if value is None:
        return None
    described = _object(value, "output_config.format")
    if described.get("type") != "json_schema":
        losses.add("output_schema", json_str(described.get("type")))
        return None
    return OutputSchema(_object(described.get("schema"), "output_config.format.schema"))


# tools


def _tools(request: JsonObject, losses: Losses) -> list[ToolSpecs]:
    return [
        _tool(_object(value, f"tools.{number}"), f"tools.{number}", losses)
        for number, value in enumerate(_list(request, "tools"))
    ]


def _tool(tool: JsonObject, where: str, losses: Losses) -> ToolSpecs:
    if tool.get("type") not in (None, "custom"):
        return HostedToolSpec(tool, wire="messages")
    for name, value in tool.items():
        if name not in _TOOL_MEMBERS and value is not None:
            losses.add(name if name == "cache_control" else f"tool.{name}")
    schema = tool.get("input_schema")
    strict = tool.get("strict")
    return ToolSpec(
        name=_text(tool, "name", where) or "",
        description=_text(tool, "description", where) or "",
        parameters=_NO_SCHEMA if schema is None else _object(schema, f"{where}.input_schema"),
        strict=strict if isinstance(strict, bool) else None,
    )


def _tool_choice(request: JsonObject, tools: list[ToolSpecs], losses: Losses) -> tuple[ToolChoice, bool | None]:
    if request.get("tool_choice") is None:
        return "auto", None
    choice = _object(request["tool_choice"], "tool_choice")
    single = choice.get("disable_parallel_tool_use")
    parallel = not single if isinstance(single, bool) else None
    match choice.get("type"):
        case "auto":
            return "auto", parallel
        case "none":
            return "none", parallel
        case "any":
            return "required", parallel
        case "tool":
            name = _text(choice, "name", "tool_choice") or ""
            if any(isinstance(spec, HostedToolSpec) and spec.raw.get("name") == name for spec in tools):
                if len(tools) > 1:
                    losses.add("tool_choice", "a tool the provider runs cannot be named alone")
                return "required", parallel
            return NamedTool(name), parallel
        case other:
            _refuse(f"must be auto, any, tool or none, got {other!r}", "tool_choice.type")


# the conversation


def _system(request: JsonObject, losses: Losses) -> str:
    system = request.get("system")
    if system is None or isinstance(system, str):
        return system or ""
    return "\n\n".join(_texts(_list(request, "system"), "system", losses))


def _texts(blocks: list[JsonValue], where: str, losses: Losses) -> list[str]:
    texts: list[str] = []
    for number, value in enumerate(blocks):
        block = _object(value, f"{where}.{number}")
        _note_cache(block, losses)
        if block.get("type") == "text":
            texts.append(_text(block, "text", f"{where}.{number}") or "")
        else:
            losses.add("content", json_str(block.get("type")))
    return [text for text in texts if text]


def _note_cache(block: JsonObject, losses: Losses) -> None:
    if block.get("cache_control") is not None:
        losses.add("cache_control")


def _items(request: JsonObject, model: str, losses: Losses) -> list[ResponseItem]:
    if not isinstance(request.get("messages"), list):
        _refuse("must be a list of messages", "messages")
    items: list[ResponseItem] = []
    for number, value in enumerate(_list(request, "messages")):
        where = f"messages.{number}"
        message = _object(value, where)
        content = message.get("content")
        if isinstance(content, str):
            blocks: list[JsonValue] = [{"type": "text", "text": content}]
        else:
            blocks = _list(message, "content", where)
        match message.get("role"):
            case "user":
                items.extend(_of_user(blocks, where, losses))
            case "assistant":
                items.extend(_of_assistant(blocks, where, model, losses))
            case "system":
                text = "\n\n".join(_texts(blocks, where, losses))
                items.append(Message(role="system", content=(InputText(text=text),)))
            case other:
                _refuse(f"must be user, assistant or system, got {other!r}", f"{where}.role")
    if not items:
        _refuse("at least one message is needed", "messages")
    return items


def _of_assistant(blocks: list[JsonValue], where: str, model: str, losses: Losses) -> tuple[ResponseItem, ...]:
    for number, value in enumerate(blocks):
        _note_cache(_object(value, f"{where}.content.{number}"), losses)
    return MessagesStreamDecoder(Prompt(model=model), Compat()).whole({"content": blocks}).items


def _of_user(blocks: list[JsonValue], where: str, losses: Losses) -> list[ResponseItem]:
    """Results first, whatever their place: they answer the step before, and what else is said comes after them."""
    results: list[ResponseItem] = []
    rest: list[JsonValue] = []
    for number, value in enumerate(blocks):
        block = _object(value, f"{where}.content.{number}")
        if block.get("type") == "tool_result":
            results.append(_result(block, f"{where}.content.{number}", losses))
        else:
            rest.append(block)
    parts = _parts(rest, f"{where}.content", losses)
    return [*results, Message(role="user", content=parts)] if parts or not results else results


def _result(block: JsonObject, where: str, losses: Losses) -> FunctionCallOutput:
    _note_cache(block, losses)
    content = block.get("content")
    output: str | tuple[OutputPart, ...] = content if isinstance(content, str) else ""
    if isinstance(content, list):
        output = _parts(content, f"{where}.content", losses)
    call_id = _text(block, "tool_use_id", where)
    if not call_id:
        _refuse("a tool_result needs the id of its tool_use", f"{where}.tool_use_id")
    return FunctionCallOutput(call_id=call_id, output=output, success=False if block.get("is_error") is True else None)


def _parts(blocks: list[JsonValue], where: str, losses: Losses) -> tuple[OutputPart, ...]:
    parts: list[OutputPart] = []
    for number, value in enumerate(blocks):
        block = _object(value, f"{where}.{number}")
        _note_cache(block, losses)
        read = _PARTS.get(json_str(block.get("type")))
        part = read(block, f"{where}.{number}", losses) if read is not None else None
        if part is None:
            losses.add("content", json_str(block.get("type")))
        else:
            parts.append(part)
    return tuple(parts)


def _text_part(block: JsonObject, where: str, losses: Losses) -> OutputPart | None:
    return InputText(text=_text(block, "text", where) or "")


def _image_part(block: JsonObject, where: str, losses: Losses) -> OutputPart | None:
    url = _url_of(json_object(block.get("source")) or {}, f"{where}.source")
    return InputImage(image_url=url) if url else None


def _document_part(block: JsonObject, where: str, losses: Losses) -> OutputPart | None:
    """A file by data, URL or id; a document made of blocks becomes its text."""
    for name in ("citations", "context"):
        if block.get(name) is not None:
            losses.add(f"document.{name}")
    source = json_object(block.get("source")) or {}
    title = _text(block, "title", where)
    inside = f"{where}.source"
    match source.get("type"):
        case "url":
            return InputFile(filename=title, file_url=_text(source, "url", inside))
        case "file":
            return InputFile(filename=title, file_id=_text(source, "file_id", inside))
        case "content":
            content = source.get("content")
            return InputText(
                text=content if isinstance(content, str) else "\n".join(_texts(json_list(content), inside, losses))
            )
        case _:
            url = _url_of(source, inside)
            return InputFile(filename=title, file_data=url) if url else None


def _url_of(source: JsonObject, where: str) -> str:
    """The URL of a source, a `data:` one for what came inside; empty for a source by file id or of another kind."""
    media_type = _text(source, "media_type", where) or ""
    match source.get("type"):
        case "url":
            return _text(source, "url", where) or ""
        case "base64":
            return f"data:{media_type};base64,{_text(source, 'data', where) or ''}"
        case "text":
            encoded = base64.b64encode((_text(source, "data", where) or "").encode()).decode()
            return f"data:{media_type or 'text/plain'};base64,{encoded}"
        case _:
            return ""


_PARTS: Mapping[str, Callable[[JsonObject, str, Losses], OutputPart | None]] = {
    "text": _text_part,
    "image": _image_part,
    "document": _document_part,
}
