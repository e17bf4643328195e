"""The body of a Chat request → Prompt: what a server does with what it is sent.

Strict where a mistake would change the conversation (roles, ids, types of what is read), generous elsewhere: a member
this module does not know is passed on in `Prompt.extra`, null is absent, and the older spellings (`functions`,
`function_call`, the role `function`, `max_tokens`) are read as the newer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar, cast

from pydantic_core import from_json

from ..errors import InvalidPromptError, InvalidRequestError
from ..items import (
    AssistantPart,
    ContentPart,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    ImageDetail,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    JsonValue,
    Message,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    Role,
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
from .base import DecodedRequest, Loss, json_int, json_list, json_object, json_str
from .chat_reasoning import REASONING_FIELDS, reasoning_text, thinking_text

__all__ = ["decode_chat_request"]

_T = TypeVar("_T")


def decode_chat_request(body: bytes) -> DecodedRequest:
    """Raises InvalidRequestError (400) whose `param` names the member that is wrong."""
    try:
        parsed: JsonValue = from_json(body)
    except ValueError as error:
        raise _bad("", f"the body is not JSON: {error}") from None
    members = json_object(parsed)
    if members is None:
        raise _bad("", f"the body must be a JSON object, not {_kind(parsed)}")
    losses: list[Loss] = []
    rest = _Members({name: value for name, value in members.items() if value is not None})
    instructions, items = _History(losses).read(rest.take("messages", _list))
    tools = _tools(rest, losses)
    options = json_object(rest.take("stream_options", _object)) or {}
    stream = rest.take("stream", _flag)
    try:
        prompt = Prompt(
            items,
            instructions=instructions,
            tools=tools,
            tool_choice=_choice(rest, losses),
            parallel_tool_calls=rest.take("parallel_tool_calls", _flag),
            reasoning=_reasoning(rest),
            sampling=_sampling(rest),
            max_output_tokens=_first(rest.take("max_completion_tokens", _whole), rest.take("max_tokens", _whole)),
            output_schema=_schema(rest),
            model=rest.take("model", _text) or "",
            prompt_cache_key=rest.take("prompt_cache_key", _text),
            service_tier=rest.take("service_tier", _text),
            metadata=_metadata(rest),
            user=rest.take("user", _text),
            verbosity=rest.take("verbosity", _text),
            store=rest.take("store", _flag),
            extra=rest.members,
        )
    except InvalidPromptError as error:
        raise _bad("", error.message) from None
    return DecodedRequest(prompt, bool(stream), options.get("include_usage") is True, tuple(dict.fromkeys(losses)))


# Members, each read once with its type


class _Members:
    """What is left of a body: `take` reads a member and removes it."""

    __slots__ = ("members",)

    def __init__(self, members: JsonObject) -> None:
        self.members = members

    def take(self, name: str, read: Callable[[str, JsonValue], _T]) -> _T | None:
        value = self.members.pop(name, None)
        return None if value is None else read(name, value)


def _text(where: str, value: JsonValue) -> str:
    if isinstance(value, str):
        return value
    raise _bad(where, f"{where} must be a string, not {_kind(value)}")


def _flag(where: str, value: JsonValue) -> bool:
    if isinstance(value, bool):
        return value
    raise _bad(where, f"{where} must be true or false, not {_kind(value)}")


def _number(where: str, value: JsonValue) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise _bad(where, f"{where} must be a number, not {_kind(value)}")


def _whole(where: str, value: JsonValue) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _bad(where, f"{where} must be a whole number, not {_kind(value)}")


def _list(where: str, value: JsonValue) -> list[JsonValue]:
    if isinstance(value, list):
        return value
    raise _bad(where, f"{where} must be a list, not {_kind(value)}")


def _object(where: str, value: JsonValue) -> JsonObject:
    if isinstance(value, dict):
        return value
    raise _bad(where, f"{where} must be an object, not {_kind(value)}")


_KINDS = {"dict": "an object", "list": "a list", "str": "a string", "bool": "a boolean", "NoneType": "null"}


def _kind(value: JsonValue) -> str:
    return _KINDS.get(type(value).__name__, "a number")


def _first(first: _T | None, second: _T | None) -> _T | None:
    return second if first is None else first


def _bad(where: str, message: str) -> InvalidRequestError:
    return InvalidRequestError(
        message,
        remedy=f"correct {where}" if where else "correct the body",
        status=400,
        error_type="invalid_request_error",
        param=where or None,
    )


# Settings


def _sampling(rest: _Members) -> SamplingSettings:
    stop = rest.members.pop("stop", None)
    words = [] if stop is None else [stop] if isinstance(stop, str) else _list("stop", stop)
    wanted = rest.take("logprobs", _flag)
    top = rest.take("top_logprobs", _whole)
    return SamplingSettings(
        temperature=rest.take("temperature", _number),
        top_p=rest.take("top_p", _number),
        stop=tuple(_text(f"stop[{n}]", word) for n, word in enumerate(words)),
        seed=rest.take("seed", _whole),
        presence_penalty=rest.take("presence_penalty", _number),
        frequency_penalty=rest.take("frequency_penalty", _number),
        n=rest.take("n", _whole),
        logprobs=(top or 0) if wanted else None,
    )


def _reasoning(rest: _Members) -> ReasoningSettings | None:
    effort = rest.take("reasoning_effort", _text)
    asked = rest.take("reasoning", _object) or {}
    effort = effort or json_str(asked.get("effort")) or None
    budget = json_int(asked.get("max_tokens"))
    others = {name: value for name, value in asked.items() if name not in ("effort", "max_tokens")}
    if others:  # OpenRouter's `exclude`, `enabled`
        rest.members["reasoning"] = asked
        return ReasoningSettings(effort=effort) if effort and "effort" not in asked else None
    return ReasoningSettings(effort=effort, budget_tokens=budget) if effort or budget is not None else None


def _schema(rest: _Members) -> OutputSchema | None:
    asked = rest.take("response_format", _object)
    if asked is None or asked.get("type") == "text":
        return None
    if asked.get("type") != "json_schema":
        rest.members["response_format"] = asked
        return None
    described = _object("response_format.json_schema", asked.get("json_schema"))
    schema = _object("response_format.json_schema.schema", described.get("schema"))
    return OutputSchema(schema, json_str(described.get("name")) or "output", strict=described.get("strict") is True)


def _metadata(rest: _Members) -> dict[str, str] | None:
    asked = rest.take("metadata", _object)
    return None if asked is None else {name: _text(f"metadata.{name}", value) for name, value in asked.items()}


# Tools


_FUNCTION_MEMBERS = ("name", "description", "parameters", "strict")
_CUSTOM_MEMBERS = ("name", "description", "format")


def _tools(rest: _Members, losses: list[Loss]) -> list[ToolSpecs]:
    out: list[ToolSpecs] = []
    for n, entry in enumerate(rest.take("tools", _list) or []):
        where = f"tools[{n}]"
        tool = _object(where, entry)
        match tool.get("type"):
            case "function" | "custom" as kind:
                _note_unread(tool, ("type", kind), losses)
                said = _object(f"{where}.{kind}", tool.get(kind))
                _note_unread(said, _FUNCTION_MEMBERS if kind == "function" else _CUSTOM_MEMBERS, losses)
                read = _function if kind == "function" else _custom
                out.append(read(f"{where}.{kind}", said))
            case str():
                out.append(HostedToolSpec(tool, wire="chat"))
            case _:
                raise _bad(f"{where}.type", f"{where} needs a type")
    functions: list[JsonValue] = rest.take("functions", _list) or []
    out.extend(_function(f"functions[{n}]", entry) for n, entry in enumerate(functions))
    return out


def _function(where: str, value: JsonValue) -> ToolSpec:
    function = _object(where, value)
    parameters = function.get("parameters")
    strict = function.get("strict")
    return ToolSpec(
        _name(where, function),
        json_str(function.get("description")),
        {"type": "object", "properties": {}} if parameters is None else _object(f"{where}.parameters", parameters),
        strict if isinstance(strict, bool) else None,
    )


def _custom(where: str, value: JsonValue) -> CustomToolSpec:
    custom = _object(where, value)
    form = json_object(custom.get("format"))
    if form is not None and (grammar := json_object(form.get("grammar"))) is not None:
        form = {"type": "grammar", **grammar}
    return CustomToolSpec(_name(where, custom), json_str(custom.get("description")), form)


def _name(where: str, value: JsonObject) -> str:
    name = value.get("name")
    if isinstance(name, str) and name:
        return name
    raise _bad(f"{where}.name", f"{where} needs a name")


def _choice(rest: _Members, losses: list[Loss]) -> ToolChoice:
    choice = rest.members.pop("tool_choice", None)
    if choice is None:
        choice = rest.members.pop("function_call", None)
        if isinstance(choice, dict):
            return NamedTool(_name("function_call", choice))
    if choice is None or choice == "auto":
        return "auto"
    if choice == "none":
        return "none"
    if choice in ("required", "any"):
        return "required"
    asked = _object("tool_choice", choice)
    for kind in ("function", "custom"):
        if asked.get("type") == kind:
            return NamedTool(_name(f"tool_choice.{kind}", _object(f"tool_choice.{kind}", asked.get(kind))))
    allowed = json_object(asked.get("allowed_tools"))
    if allowed is None:
        raise _bad("tool_choice.type", f"tool_choice of type {asked.get('type')!r} is unknown")
    losses.append(Loss("allowed_tools"))
    return "required" if allowed.get("mode") == "required" else "auto"


# Messages

_READ = {
    "system": ("role", "content", "name"),
    "developer": ("role", "content", "name"),
    "user": ("role", "content", "name"),
    "tool": ("role", "content", "name", "tool_call_id"),  # the name is that of its call
    "function": ("role", "content", "name"),
    "assistant": (
        "role", "content", "name", "refusal", "tool_calls", "function_call", "extra_content", "reasoning_details",
        "reasoning_opaque", "prefix", *REASONING_FIELDS,
    ),
}  # fmt: skip
"""What is read of a message, by its role; `prefix` says what its place says."""


def _note_unread(value: JsonObject, read: Iterable[str], losses: list[Loss]) -> None:
    """Members nobody here has a word for, such as `cache_control`."""
    losses += (Loss(name) for name, member in value.items() if member is not None and name not in read)


class _History:
    """Messages in, items out. The first system message is the instructions; later ones keep their place."""

    __slots__ = ("_custom_ids", "_items", "_legacy_ids", "_losses")

    def __init__(self, losses: list[Loss]) -> None:
        self._losses = losses
        self._items: list[ResponseItem] = []
        self._custom_ids: set[str] = set()
        self._legacy_ids: dict[str, str] = {}  # of `function_call`s, which have none, by the function's name

    def read(self, messages: list[JsonValue] | None) -> tuple[str, list[ResponseItem]]:
        if not messages:
            raise _bad("messages", "messages must be a list with at least one message")
        instructions = ""
        for n, entry in enumerate(messages):
            where = f"messages[{n}]"
            message = _object(where, entry)
            role = message.get("role")
            match role:
                case "system" | "developer" if n == 0:
                    instructions = _joined(f"{where}.content", message.get("content"), self._losses)
                case "system" | "developer" | "user":
                    parts = _input_parts(f"{where}.content", message.get("content"), self._losses)
                    self._items.append(Message(role=cast(Role, role), content=parts))
                case "assistant":
                    self._assistant(where, message)
                case "tool" | "function":
                    self._output(where, message, legacy=role == "function")
                case _:
                    raise _bad(f"{where}.role", f"{where}.role must be one of system, developer, user, assistant, tool")
            _note_unread(message, _READ[cast(str, role)], self._losses)
            if message.get("name") and role in ("system", "developer", "user", "assistant"):
                self._losses.append(Loss("message_name"))
        return instructions, self._items

    def _assistant(self, where: str, message: JsonObject) -> None:
        thoughts, parts = _assistant_parts(f"{where}.content", message.get("content"), self._losses)
        for name in REASONING_FIELDS:
            if text := reasoning_text(message.get(name)):
                thoughts.append(text)
                break
        found = [json_object(entry) for entry in json_list(message.get("reasoning_details"))]
        details = tuple(detail for detail in found if detail)
        opaque = message.get("reasoning_opaque")
        if thoughts or details or opaque:
            sealed: JsonObject | None = {"reasoning_opaque": opaque} if opaque else None
            self._items.append(Reasoning(content=tuple(thoughts), details=details, opaque=sealed))
        if refusal := json_str(message.get("refusal")):
            parts.append(Refusal(refusal=refusal))
        if parts:
            extra = message.get("extra_content")
            sealed = {"extra_content": extra} if extra else None
            self._items.append(Message(role="assistant", content=tuple(parts), opaque=sealed))
        for n, entry in enumerate(_list(f"{where}.tool_calls", message.get("tool_calls") or [])):
            self._call(f"{where}.tool_calls[{n}]", _object(f"{where}.tool_calls[{n}]", entry))
        if legacy := json_object(message.get("function_call")):
            name = _name(f"{where}.function_call", legacy)
            call_id = self._legacy_ids[name] = f"call_{len(self._items)}"
            self._items.append(FunctionCall(call_id=call_id, name=name, arguments=json_str(legacy.get("arguments"))))

    def _call(self, where: str, call: JsonObject) -> None:
        call_id = call.get("id")
        if not isinstance(call_id, str) or not call_id:
            raise _bad(f"{where}.id", f"{where} needs an id")
        known = ("id", "type", "function", "custom", "index")
        opaque: JsonObject | None = {name: value for name, value in call.items() if name not in known} or None
        if (custom := json_object(call.get("custom"))) is not None:
            self._custom_ids.add(call_id)
            name, text = _name(f"{where}.custom", custom), json_str(custom.get("input"))
            self._items.append(CustomToolCall(call_id=call_id, name=name, input=text, opaque=opaque))
        else:
            function = _object(f"{where}.function", call.get("function"))
            name, text = _name(f"{where}.function", function), json_str(function.get("arguments"))
            self._items.append(FunctionCall(call_id=call_id, name=name, arguments=text, opaque=opaque))

    def _output(self, where: str, message: JsonObject, *, legacy: bool) -> None:
        if legacy:
            call_id = self._legacy_ids.pop(json_str(message.get("name")), "")
        else:
            call_id = json_str(message.get("tool_call_id"))
        if not call_id:
            missing = "name of a function that was called" if legacy else "tool_call_id"
            raise _bad(where, f"{where} needs the {missing}")
        parts = _input_parts(f"{where}.content", message.get("content"), self._losses)
        output = tuple(part for part in parts if isinstance(part, (InputText, InputImage, InputFile)))
        text = message.get("content")
        said = text if isinstance(text, str) else output
        if call_id in self._custom_ids:
            self._items.append(CustomToolCallOutput(call_id=call_id, output=said))
        else:
            self._items.append(FunctionCallOutput(call_id=call_id, output=said))


def _joined(where: str, content: JsonValue, losses: list[Loss]) -> str:
    """A system message's text; parts are joined by newlines (behaviours.md S0-25)."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = [json_object(part) or {} for part in _list(where, content)]
    for part in parts:
        _note_unread(part, ("type", "text"), losses)
    return "\n".join(json_str(part.get("text")) for part in parts)


def _input_parts(where: str, content: JsonValue, losses: list[Loss]) -> tuple[ContentPart, ...]:
    if content is None or isinstance(content, str):
        return (InputText(text=content or ""),)
    out: list[ContentPart] = []
    for n, entry in enumerate(_list(where, content)):
        part = _object(f"{where}[{n}]", entry)
        _note_unread(part, ("type", "text", "image_url", "file"), losses)
        match part.get("type"):
            case "text":
                out.append(InputText(text=_text(f"{where}[{n}].text", part.get("text"))))
            case "image_url":
                out.append(_image(f"{where}[{n}].image_url", part.get("image_url"), losses))
            case "file":
                file = _object(f"{where}[{n}].file", part.get("file"))
                _note_unread(file, ("filename", "file_data", "file_id"), losses)
                name, data, handle = (json_str(file.get(of)) or None for of in ("filename", "file_data", "file_id"))
                out.append(InputFile(filename=name, file_data=data, file_id=handle))
            case str() as kind:
                losses.append(Loss(kind))
            case _:
                raise _bad(f"{where}[{n}].type", f"{where}[{n}] needs a type")
    return tuple(out)


def _image(where: str, value: JsonValue, losses: list[Loss]) -> InputImage:
    image: JsonObject = {"url": value} if isinstance(value, str) else _object(where, value)
    _note_unread(image, ("url", "detail"), losses)
    detail = image.get("detail")
    known = detail in ("auto", "low", "high")
    return InputImage(
        image_url=_text(f"{where}.url", image.get("url")), detail=cast(ImageDetail, detail) if known else None
    )


def _assistant_parts(where: str, content: JsonValue, losses: list[Loss]) -> tuple[list[str], list[AssistantPart]]:
    """Thoughts and parts of an assistant's content: a string, or Mistral's and OpenAI's lists."""
    if content is None or isinstance(content, str):
        return [], [OutputText(text=content)] if content else []
    thoughts: list[str] = []
    parts: list[AssistantPart] = []
    for n, entry in enumerate(_list(where, content)):
        part = _object(f"{where}[{n}]", entry)
        _note_unread(part, ("type", "text", "refusal", "thinking", "closed"), losses)
        if part.get("type") == "thinking":
            thoughts.append(thinking_text(part.get("thinking")))
        elif refusal := json_str(part.get("refusal")):
            parts.append(Refusal(refusal=refusal))
        elif text := json_str(part.get("text")):
            parts.append(OutputText(text=text))
    return [text for text in thoughts if text], parts
