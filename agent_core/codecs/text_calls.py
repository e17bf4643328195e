"""Calls that a model wrote as text, read where one is due: small models that were forced to call a tool and said it
instead, and templates that leave `<tool_call>` to the client (behaviours.md S3-18…S3-22).

    {"city": "Oslo"}                                    bare or in a ```json fence, the arguments or a wrapper:
    {"name": "weather", "arguments": {"city": "Oslo"}}  name | tool | function.name, arguments | input | parameters
    ```tool_code … ```, print(default_api.f(city="x"))  one call in Python, keyword arguments that JSON can hold
    <tool_call>{"name": …, "arguments": …}</tool_call>  Hermes and Qwen, also several
    <tool_call><function=f><parameter=city>…            Qwen3-Coder, also several

Taken for a call only if the answer holds no real one and was not cut, nothing else stands around it, the tool is one of
the prompt's (the forced one, if one is forced) and the arguments fit its schema, no member too many. Else it is text.

`TextCallDecoder` holds text back while it may still become a call: all of it where a tool is forced, else from the
first character that may begin one.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard, cast

from msgspec.structs import replace
from pydantic_core import from_json

from ..errors import ModelError
from ..events import (
    Completed,
    Created,
    DeltaEvent,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    RateLimits,
    Response,
    ResponseEvent,
    ToolCallInputDelta,
)
from ..items import FunctionCall, JsonObject, JsonValue, Message, OutputText, ResponseItem, text_of
from ..prompt import NamedTool, Prompt, ToolSpec
from .base import Compat, StreamDecoder
from .schema_check import schema_problems

__all__ = ["TextCallDecoder", "TextCalls", "as_calls", "reading_calls", "text_calls_of"]

MAX_CALL_CHARS = 256 * 1024
"""Longer text is no call: arguments of real calls are a file at most, and those models write no files."""
MAX_CALLS = 64
MAX_CODE_CHARS = 64 * 1024

_Found: TypeAlias = tuple[str, str]
"""Name and arguments, the latter the JSON text of an object."""

_FENCE = re.compile(r"```(?:json)?[ \t]*\r?\n(.*?)\r?\n?```", re.DOTALL | re.IGNORECASE)
_CODE_FENCE = re.compile(r"```tool_code[ \t]*\r?\n(.*?)\r?\n```", re.DOTALL)
_CALL_TAG = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_FUNCTION_TAG = re.compile(r"\s*<function=([^>\s]+)>(.*?)</function>\s*", re.DOTALL)
_PARAMETER_TAG = re.compile(r"<parameter=([^>\s]+)>(.*?)</parameter>", re.DOTALL)
_TAG = "<tool_call>"
_STARTS = ("{", "```json", "```tool_code", "```\n{", "print(", _TAG)
_WRAPPER = frozenset(("name", "tool", "function", "arguments", "input", "parameters", "type", "id"))


@dataclass(frozen=True, slots=True)
class TextCalls:
    """What may be read as a call. `forced`: a call is due, so bare arguments count, of the one tool they fit."""

    tools: Mapping[str, ToolSpec]
    forced: bool

    def read(self, text: str) -> tuple[str, list[_Found]] | None:
        """The text before the calls, as it stands, and the calls; None if this is no call."""
        if not text.strip() or len(text) > MAX_CALL_CHARS:
            return None
        at = text.find(_TAG)
        if at >= 0:
            calls = self._tagged(text[at:])
            return None if not calls else (text[:at], calls)
        found = self._json(text.strip()) or self._code(text.strip())
        return None if found is None else ("", [found])

    def _tagged(self, text: str) -> list[_Found]:
        calls: list[_Found] = []
        end = 0
        for match in _CALL_TAG.finditer(text):
            if text[end : match.start()].strip() or len(calls) >= MAX_CALLS:
                return []
            function = _FUNCTION_TAG.fullmatch(match[1])
            found = self._wrapped(_object(match[1])) if function is None else self._parameters(function)
            if found is None:
                return []
            calls.append(found)
            end = match.end()
        return [] if text[end:].strip() else calls

    def _json(self, text: str) -> _Found | None:
        fenced = _FENCE.fullmatch(text)
        body = (fenced[1] if fenced is not None else text).strip()
        value = _object(body)
        if value is None:
            return None
        if self.forced:
            fitting = [name for name in self.tools if self._fits(name, value)]
            if len(fitting) == 1:
                return fitting[0], body
        return self._wrapped(value)

    def _wrapped(self, value: JsonObject | None) -> _Found | None:
        """`{"name": …, "arguments": …}` and its kin, with nothing beside them."""
        if value is None or not _WRAPPER.issuperset(value):
            return None
        inner = value.get("function")
        if isinstance(inner, dict):
            return self._wrapped({key: entry for key, entry in inner.items() if key != "function"})
        names = [entry for key in ("name", "tool") if isinstance(entry := value.get(key), str)]
        bodies = [value[key] for key in ("arguments", "input", "parameters") if key in value]
        if isinstance(inner, str):
            names.append(inner)
        if len(names) != 1 or len(bodies) > 1:
            return None
        arguments = bodies[0] if bodies else {}
        text = arguments if isinstance(arguments, str) else None
        arguments = _object(text) if text is not None else arguments
        if not isinstance(arguments, dict):
            return None
        return self._accepted(names[0], arguments, text)

    def _parameters(self, function: re.Match[str]) -> _Found | None:
        """Qwen3-Coder's form: values are text, and JSON where the schema wants something else."""
        name = function[1]
        if name not in self.tools or _PARAMETER_TAG.sub("", function[2]).strip():
            return None
        properties = _properties(self.tools[name])
        arguments: JsonObject = {}
        for match in _PARAMETER_TAG.finditer(function[2]):
            raw = match[2].removeprefix("\n").removesuffix("\n")
            arguments[match[1]] = raw if _takes_text(properties.get(match[1])) else _value(raw)
        return self._accepted(name, arguments, None)

    def _code(self, text: str) -> _Found | None:
        fenced = _CODE_FENCE.fullmatch(text)
        code = fenced[1].strip() if fenced is not None else text
        if fenced is None and not code.startswith("print("):
            return None
        call = _python_call(code)
        if call is None:
            return None
        name = call.func.id if isinstance(call.func, ast.Name) else cast("ast.Attribute", call.func).attr
        if name not in self.tools or any(keyword.arg is None for keyword in call.keywords):
            return None
        try:
            arguments = {str(keyword.arg): _literal(keyword.value) for keyword in call.keywords}
            if call.args:
                properties = list(_properties(self.tools[name]))
                if len(call.args) != 1 or arguments or len(properties) != 1:
                    return None
                arguments = {properties[0]: _literal(call.args[0])}
        except ValueError:
            return None
        return self._accepted(name, arguments, None)

    def _accepted(self, name: str, arguments: JsonObject, text: str | None) -> _Found | None:
        if not self._fits(name, arguments):
            return None
        return name, json.dumps(arguments, ensure_ascii=False) if text is None else text

    def _fits(self, name: str, arguments: JsonObject) -> bool:
        spec = self.tools.get(name)
        if spec is None:
            return False
        schema = spec.parameters
        closed = not schema.get("additionalProperties") and "patternProperties" not in schema and "$ref" not in schema
        composed = any(key in schema for key in ("anyOf", "oneOf", "allOf"))
        if closed and not composed and not set(_properties(spec)).issuperset(arguments):
            return False
        return not schema_problems(schema, arguments)


def text_calls_of(prompt: Prompt, compat: Compat) -> TextCalls | None:
    """What to look for in the answer to this prompt; None for nothing."""
    tools = {spec.name: spec for spec in prompt.tools if isinstance(spec, ToolSpec)}
    choice = prompt.tool_choice
    if not tools or choice == "none" or compat.text_calls == "never":
        return None
    if isinstance(choice, NamedTool):
        return TextCalls({choice.name: tools[choice.name]}, forced=True) if choice.name in tools else None
    if choice == "required":
        return TextCalls(tools, forced=True)
    return TextCalls(tools, forced=False) if compat.text_calls == "always" else None


def reading_calls(decoder: StreamDecoder, prompt: Prompt, compat: Compat) -> StreamDecoder:
    """`decoder`, or one that reads calls in its text, where this prompt and profile ask for it."""
    wanted = text_calls_of(prompt, compat)
    return decoder if wanted is None else TextCallDecoder(decoder, wanted)


def as_calls(response: Response, prompt: Prompt, compat: Compat) -> Response:
    """The whole answer, with the calls its last text is in the place of that text."""
    wanted = text_calls_of(prompt, compat)
    return response if wanted is None else _turned(response, wanted)


class TextCallDecoder:
    """A `StreamDecoder` over another one. Only the last message of an answer can be a call: what follows it, be it a
    real call, lets its text go.

        passing ── a message begins ──► holding ── it may be a call no longer, or something follows ──► passing
                                          └── Completed ──► calls, or its text after all
    """

    __slots__ = (
        "_calls",
        "_held",
        "_inner",
        "_next",
        "_places",
        "_response_id",
        "_wanted",
        "done",
        "error",
        "finishing",
        "frames",
    )

    def __init__(self, inner: StreamDecoder, wanted: TextCalls) -> None:
        self.error: ModelError | None = None
        self.done = False
        self.finishing = False
        self.frames = 0
        self._inner = inner
        self._wanted = wanted
        self._held: _Held | None = None
        self._calls = False  # a real call came: text is text
        self._places: dict[int, int] = {}  # an item's index there and here
        self._next = 0
        self._response_id = ""

    def feed(self, data: bytes) -> list[ResponseEvent]:
        return self._read(self._inner.feed(data))

    def close(self) -> list[ResponseEvent]:
        return self._read(self._inner.close())

    def snapshot(self) -> Response:
        """Before the end, text that is held back is text."""
        response = self._inner.snapshot()
        return _turned(response, self._wanted) if self.done and self.error is None else response

    def _read(self, events: list[ResponseEvent]) -> list[ResponseEvent]:
        out = [passed for event in events for passed in self._turn(event)]
        inner = self._inner
        self.done, self.finishing, self.frames = inner.done, inner.finishing, inner.frames
        if inner.error is not None and self.error is None:
            out += self._let_go()
            self.error = inner.error
        return out

    def _turn(self, event: ResponseEvent) -> Iterator[ResponseEvent]:
        match event:
            case Created(response_id):
                self._response_id = response_id
                yield event
            case RateLimits():
                yield event
            case Completed():
                yield from self._end(event)
            case OutputItemAdded(item=item):
                yield from self._let_go()
                self._calls = self._calls or item.type in ("function_call", "custom_tool_call")
                if item.type == "message" and not self._calls:
                    self._held = _Held(event)
                else:
                    yield self._placed(event)
            case _:
                yield from self._within(event)

    def _within(self, event: OutputItemDone | DeltaEvent) -> Iterator[ResponseEvent]:
        held = self._held
        if held is None or event.index != held.index:
            yield self._placed(event)
        elif isinstance(event, OutputTextDelta):
            yield from self._hold(held, event.delta)
        elif isinstance(event, OutputItemDone):
            held.done = event
        else:  # a refusal is no call
            yield from self._let_go()
            yield self._placed(event)

    def _hold(self, held: _Held, delta: str) -> Iterator[ResponseEvent]:
        held.pieces.append(delta)
        held.size += len(delta)
        if held.size > MAX_CALL_CHARS:
            yield from self._let_go()
        elif not self._wanted.forced:
            # Where no call is due, what cannot begin one goes on at once.
            text = held.text()
            begins = _begins_at(text, at_start=not held.told)
            if begins > 0:
                yield from self._tell(held, text[:begins])
                held.pieces, held.size = [text[begins:]], len(text) - begins

    def _tell(self, held: _Held, text: str) -> Iterator[ResponseEvent]:
        if held.begins is not None:
            yield self._placed(held.begins)
            held.begins = None
        if text:
            held.told += text
            yield OutputTextDelta(self._places[held.index], text)

    def _let_go(self) -> Iterator[ResponseEvent]:
        """What is held is text."""
        held, self._held = self._held, None
        if held is None:
            return
        yield from self._tell(held, held.text())
        if held.done is not None:
            yield self._placed(held.done)

    def _end(self, event: Completed) -> Iterator[ResponseEvent]:
        held = self._held
        item = None if held is None or held.done is None or not _may_be_read(event, self._calls) else held.done.item
        found = self._wanted.read(held.text()) if held is not None and _is_plain(item) else None
        if held is None or found is None or not isinstance(item, Message):
            yield from self._let_go()
            yield event
            return
        self._held = None
        before, calls = found
        if before.strip() or held.told:
            yield from self._tell(held, before)
            yield OutputItemDone(self._places[held.index], _message(item, held.told))
        for n, found_call in enumerate(calls):
            call = _call(item, self._response_id or event.response_id, n, found_call)
            place, self._next = self._next, self._next + 1
            yield OutputItemAdded(place, call.model_copy(update={"arguments": "", "status": "in_progress"}))
            yield ToolCallInputDelta(place, call.call_id, call.arguments)
            yield OutputItemDone(place, call)
        yield replace(event, finish_reason="tool_calls")

    def _placed(self, event: OutputItemAdded | OutputItemDone | DeltaEvent) -> ResponseEvent:
        place = self._places.get(event.index)
        if place is None:
            place = self._places[event.index] = self._next
            self._next += 1
        return event if place == event.index else replace(event, index=place)


class _Held:
    """A message whose text may be a call."""

    __slots__ = ("begins", "done", "index", "pieces", "size", "told")

    def __init__(self, begins: OutputItemAdded) -> None:
        self.index = begins.index
        self.begins: OutputItemAdded | None = begins
        self.done: OutputItemDone | None = None
        self.pieces: list[str] = []
        self.size = 0
        self.told = ""  # what was passed on of it

    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


def _begins_at(text: str, *, at_start: bool) -> int:
    """Where a call may begin; the length of the text for nowhere. Only a tag may follow other text."""
    if at_start:
        head = text.lstrip()
        if not head or any(head.startswith(start) or start.startswith(head) for start in _STARTS):
            return 0
    at = text.find(_TAG)
    if at >= 0:
        return at
    return next(
        (n for n in range(max(len(text) - len(_TAG) + 1, 0), len(text)) if _TAG.startswith(text[n:])), len(text)
    )


def _may_be_read(end: Completed | Response, has_calls: object) -> bool:
    return not has_calls and end.status == "completed" and end.finish_reason in ("stop", "tool_calls", "unknown")


def _is_plain(item: ResponseItem | None) -> TypeGuard[Message]:
    if not isinstance(item, Message) or item.status == "incomplete":
        return False
    return all(isinstance(part, OutputText) and not part.annotations for part in item.content)


def _turned(response: Response, wanted: TextCalls) -> Response:
    last = response.items[-1] if response.items else None
    if not _may_be_read(response, response.tool_calls) or not _is_plain(last):
        return response
    found = wanted.read(text_of(last))
    if found is None:
        return response
    before, calls = found
    kept = (_message(last, before),) if before.strip() else ()
    made = [_call(last, response.id, n, call) for n, call in enumerate(calls)]
    return replace(response, items=(*response.items[:-1], *kept, *made), finish_reason="tool_calls")


def _message(item: Message, text: str) -> Message:
    return item.model_copy(update={"content": (OutputText(text=text),) if text else ()})


def _call(source: Message, response_id: str, n: int, found: _Found) -> FunctionCall:
    name, arguments = found
    # The provider's id names a message: no call may be sent under it.
    origin = None if source.origin is None else source.origin.model_copy(update={"item_id": ""})
    return FunctionCall(
        call_id=f"call_{response_id or 'text'}_{n}", name=name, arguments=arguments, status="completed", origin=origin
    )


def _object(text: str) -> JsonObject | None:
    value = _value(text)
    return value if isinstance(value, dict) else None


def _value(text: str) -> JsonValue:
    """The JSON value, or the text itself where it is none."""
    try:
        return cast("JsonValue", from_json(text.strip(), allow_inf_nan=False))
    except ValueError:
        return text


def _properties(spec: ToolSpec) -> Mapping[str, JsonValue]:
    properties = spec.parameters.get("properties")
    return properties if isinstance(properties, dict) else {}


def _takes_text(schema: JsonValue) -> bool:
    kind = schema.get("type") if isinstance(schema, dict) else None
    return kind == "string" or (isinstance(kind, list) and "string" in kind)


def _python_call(code: str) -> ast.Call | None:
    """The one call that the code is, out of its `print(…)`; its function a name, or `default_api.` and a name."""
    if len(code) > MAX_CODE_CHARS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape Python does not know is the model's affair
            node: ast.expr = ast.parse(code, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    printed = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    if printed and isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        node = node.args[0]
    if not isinstance(node, ast.Call):
        return None
    function = node.func
    plain = isinstance(function, ast.Name)
    prefixed = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
    return node if plain or prefixed else None


def _literal(node: ast.expr) -> JsonValue:
    """A value JSON can hold. Raises ValueError for any other: nothing is lost silently (W-S3-03)."""
    try:
        value: object = ast.literal_eval(node)
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError("no JSON value") from error
    if json.loads(text) != value or _holds_tuple(value):
        raise ValueError("no JSON value")
    return cast("JsonValue", value)


def _holds_tuple(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_tuple, cast("dict[str, object]", value).values()))
    return isinstance(value, tuple) or (isinstance(value, list) and any(map(_holds_tuple, cast("list[object]", value))))
