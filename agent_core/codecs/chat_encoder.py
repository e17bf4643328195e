"""What a server of the Chat wire sends: a whole completion, or the chunks of one.

Both are written from the same items. The wire has one message per answer, so several are joined; reasoning goes into
`reasoning_content`, which most clients read, and its `reasoning_details` beside it. Items the wire has no word for
(searches, images) are left out; encrypted reasoning and signatures stay behind.
"""

from __future__ import annotations

from ..errors import ModelError
from ..events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    RefusalDelta,
    Response,
    ResponseEvent,
    ToolCallInputDelta,
)
from ..items import (
    CustomToolCall,
    FunctionCall,
    JsonObject,
    JsonValue,
    LocalShellCall,
    Message,
    OutputText,
    Reasoning,
    ResponseItem,
    text_of,
)
from ..prompt import Prompt
from .base import json_bytes
from .chat_errors import error_object
from .chat_messages import call_name, refusal_of
from .chat_words import encode_usage, finish_word

__all__ = ["ChatStreamEncoder", "encode_chat_response"]

_CALLS = (FunctionCall, CustomToolCall, LocalShellCall)


def encode_chat_response(response: Response, prompt: Prompt) -> bytes:
    """The body of a whole completion. `created` is 0: codecs have no clock."""
    message: JsonObject = {"role": "assistant", "content": response.text or None, "refusal": response.refusal or None}
    if thought := response.reasoning_text:
        message["reasoning_content"] = thought
    calls: list[JsonValue] = []
    for item in response.items:
        if isinstance(item, (Message, Reasoning)):
            message.update(_asides(item))
        elif isinstance(item, _CALLS):
            kind, text_member = _form(item)
            said: JsonObject = {"name": call_name(item), text_member: _call_text(item)}
            calls.append({"id": item.call_id, "type": kind, kind: said, **(item.opaque or {})})
    if calls:
        message["tool_calls"] = calls
    choice: JsonObject = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_word(response.finish_reason, calls=bool(calls)),
    }
    if response.stop_sequence is not None:
        choice["stop_reason"] = response.stop_sequence
    body: JsonObject = {
        "id": response.id,
        "object": "chat.completion",
        "created": 0,
        "model": response.model or prompt.model,
        "choices": [choice],
    }
    if response.usage is not None:
        body["usage"] = encode_usage(response.usage)
    return json_bytes(body)


class ChatStreamEncoder:
    """A `StreamEncoder` of the Chat wire: one chunk per event that says something here, every one with the same id."""

    __slots__ = ("_calls", "_completed", "_ended", "_id", "_include_usage", "_model", "_said", "_started")

    def __init__(self, prompt: Prompt, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._id = ""
        self._model = prompt.model
        self._started = False
        self._completed = False
        self._ended = False
        self._said: set[int] = set()  # items a delta was written of
        self._calls: dict[int, tuple[int, str, str]] = {}  # number, type and text member of a call, by its item's index

    def feed(self, event: ResponseEvent) -> bytes:
        if self._ended:
            return b""
        head = b""
        if isinstance(event, Created):
            self._id, self._model = event.response_id, event.model or self._model
        if not self._started:
            self._started = True
            head = self._choice({"role": "assistant", "content": ""})
        return head + self._event(event)

    def fail(self, error: ModelError) -> bytes:
        if self._ended:
            return b""
        self._ended = True
        return _frame({"error": error_object(error)})

    def close(self) -> bytes:
        self._ended = True
        return b"data: [DONE]\n\n" if self._completed else b""

    def _event(self, event: ResponseEvent) -> bytes:
        match event:
            case OutputTextDelta():
                return self._delta(event.index, "content", event.delta)
            case ReasoningContentDelta() | ReasoningSummaryDelta():
                return self._delta(event.index, "reasoning_content", event.delta)
            case RefusalDelta():
                return self._delta(event.index, "refusal", event.delta)
            case ToolCallInputDelta():
                return self._input(event.index, event.delta)
            case OutputItemAdded(item=item) if isinstance(item, _CALLS):
                kind, text_member = _form(item)
                number = len(self._calls)
                self._calls[event.index] = (number, kind, text_member)
                said: JsonObject = {"name": call_name(item), text_member: ""}
                return self._choice({"tool_calls": [{"index": number, "id": item.call_id, "type": kind, kind: said}]})
            case OutputItemDone():
                return self._done(event.index, event.item)
            case Completed():
                return self._complete(event)
            case _:
                return b""

    def _delta(self, index: int, member: str, text: str) -> bytes:
        self._said.add(index)
        return self._choice({member: text})

    def _input(self, index: int, text: str) -> bytes:
        number, kind, text_member = self._calls[index]
        self._said.add(index)
        return self._choice({"tool_calls": [{"index": number, kind: {text_member: text}}]})

    def _done(self, index: int, item: ResponseItem) -> bytes:
        """What no delta said: the text of an item that came whole, and what is only known at its end."""
        out = b""
        if index not in self._said:
            match item:
                case Message():
                    said: JsonObject = {"content": text_of(item), "refusal": refusal_of(item)}
                    said = {member: text for member, text in said.items() if text}
                    out = self._choice(said) if said else b""
                case Reasoning() if text := "".join((*item.summary, *item.content)):
                    out = self._choice({"reasoning_content": text})
                case FunctionCall() | CustomToolCall() | LocalShellCall() if text := _call_text(item):
                    out = self._input(index, text)
                case _:
                    pass
        if isinstance(item, (Message, Reasoning)) and (asides := _asides(item)):
            out += self._choice(asides)
        elif isinstance(item, _CALLS) and item.opaque:
            out += self._choice({"tool_calls": [{"index": self._calls[index][0], **item.opaque}]})
        return out

    def _complete(self, event: Completed) -> bytes:
        self._completed = self._ended = True
        choice: JsonObject = {"finish_reason": finish_word(event.finish_reason, calls=bool(self._calls))}
        if event.stop_sequence is not None:
            choice["stop_reason"] = event.stop_sequence
        out = self._choice({}, choice)
        if self._include_usage and event.usage is not None:
            out += self._chunk({"choices": [], "usage": encode_usage(event.usage)})
        return out

    def _choice(self, delta: JsonObject, more: JsonObject | None = None) -> bytes:
        choice: JsonObject = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **(more or {})}
        return self._chunk({"choices": [choice]})

    def _chunk(self, members: JsonObject) -> bytes:
        chunk: JsonObject = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self._model,
            **members,
        }
        return _frame(chunk)


def _frame(chunk: JsonObject) -> bytes:
    return b"data: " + json_bytes(chunk) + b"\n\n"


def _asides(item: Message | Reasoning) -> JsonObject:
    """What goes beside an item's text: citations, and what the provider wants to see again."""
    out: JsonObject = dict(item.opaque or {})
    if isinstance(item, Reasoning):
        if item.details:
            out["reasoning_details"] = list[JsonValue](item.details)
        return out
    annotations = [note for part in item.content if isinstance(part, OutputText) for note in part.annotations]
    if annotations:
        out["annotations"] = list[JsonValue](annotations)
    return out


def _form(item: FunctionCall | CustomToolCall | LocalShellCall) -> tuple[str, str]:
    """The type of a call, and the member its text goes into. A free-form call is only ever made of a tool that the
    client declared as free-form, so it goes back as one."""
    return ("custom", "input") if isinstance(item, CustomToolCall) else ("function", "arguments")


def _call_text(item: FunctionCall | CustomToolCall | LocalShellCall) -> str:
    """A call's text. No arguments are `{}` to those who parse it; those of a call that was cut stay as they are."""
    match item:
        case FunctionCall():
            return item.arguments or ("{}" if item.status == "completed" else "")
        case CustomToolCall():
            return item.input
        case LocalShellCall():
            return json_bytes(item.action.model_dump(mode="json", exclude={"type"})).decode()
