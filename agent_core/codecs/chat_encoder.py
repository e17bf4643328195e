"""What a server of the Chat wire sends: a whole completion, or the chunks of one.

Both are written from the same items. The wire has one message per answer, so several are joined; reasoning goes into
`reasoning_content`, which most clients read, and its `reasoning_details` beside it. Items the wire has no word for
(searches, images) are left out; encrypted reasoning and signatures stay behind.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ModelError
from ..events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    RateLimits,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    RefusalDelta,
    Response,
    ResponseEvent,
    ToolCallInputDelta,
    Usage,
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
from .answer_words import SUMMARY_GAP, OneByOne, TextEvent, own_id, own_members, readable
from .base import Loss, json_bytes, text_json
from .chat_errors import error_object
from .chat_messages import call_name, refusal_of
from .chat_words import encode_usage, finish_word

__all__ = ["ChatStreamEncoder", "answer_losses", "encode_chat_response"]

_CALLS = (FunctionCall, CustomToolCall, LocalShellCall)


def encode_chat_response(response: Response, prompt: Prompt) -> bytes:
    """The body of a whole completion. `created` is 0: codecs have no clock."""
    message: JsonObject = {"role": "assistant", "content": response.text or None, "refusal": response.refusal or None}
    thought = "".join(readable(item) for item in response.items if isinstance(item, Reasoning))
    if thought:
        message["reasoning_content"] = thought
    calls: list[JsonValue] = []
    for item in response.items:
        if isinstance(item, (Message, Reasoning)):
            message.update(_asides(item))
        elif isinstance(item, _CALLS):
            kind, text_member = _form(item)
            said: JsonObject = {"name": call_name(item), text_member: _call_text(item)}
            calls.append({"id": item.call_id, "type": kind, kind: said, **own_members(item, "chat")})
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
        "id": own_id(response.id, "chat"),
        "object": "chat.completion",
        "created": 0,
        "model": response.model or prompt.model,
        "choices": [choice],
    }
    if response.usage is not None:
        body["usage"] = encode_usage(response.usage)
    return json_bytes(body)


def answer_losses(said: ResponseItem | Completed) -> Iterator[Loss]:
    """See WireCodec."""
    match said:
        case Completed():
            if said.finish_reason in ("refusal", "pause", "unknown"):
                yield Loss("finish_reason", said.finish_reason)
            if said.end_turn is not None:
                yield Loss("end_turn")
        case Reasoning():
            if said.encrypted_content is not None:
                yield Loss("reasoning.encrypted_content")
            if said.signature is not None:
                yield Loss("reasoning.signature")
            if said.summary and said.content:
                yield Loss("reasoning.summary", "one text of the two")
        case Message():
            if said.phase is not None:
                yield Loss("phase")
            if said.opaque and not own_members(said, "chat"):
                yield Loss("opaque", said.type)
        case FunctionCall() | CustomToolCall():
            if said.namespace is not None:
                yield Loss("namespace")
            if said.opaque and not own_members(said, "chat"):
                yield Loss("opaque", said.type)
        case LocalShellCall():
            yield Loss("local_shell_call", "written as a function")
        case _:
            yield Loss("item", said.type)


class ChatStreamEncoder:
    """A `StreamEncoder` of the Chat wire: one chunk per event that says something here, every one with the same id.

    Calls have their index; texts have only the order they come in. So of several messages, or reasonings, that are
    open at once, one is told at a time (`OneByOne`). Of a summary and content, whichever came first is told.
    """

    __slots__ = (
        "_calls",
        "_completed",
        "_ended",
        "_head",
        "_id",
        "_include_usage",
        "_kinds",
        "_messages",
        "_model",
        "_reasonings",
        "_said",
        "_started",
        "_summary_part",
    )

    def __init__(self, prompt: Prompt, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._id = ""
        self._model = prompt.model
        self._head = b""  # of a chunk with a choice, up to its delta
        self._started = False
        self._completed = False
        self._ended = False
        self._messages = OneByOne()
        self._reasonings = OneByOne()
        self._said: set[int] = set()  # items a delta was written of
        self._kinds: dict[int, type[ResponseEvent]] = {}  # of reasoning: summary or content
        self._summary_part: tuple[int, int] = (-1, -1)  # the last one: its item, its place
        self._calls: dict[int, tuple[int, str, str]] = {}  # number, type and text member of a call, by its item's index

    def feed(self, event: ResponseEvent) -> bytes:
        if self._ended:
            return b""
        if self._started:
            return self._event(event)
        if isinstance(event, Created):
            self._id, self._model = own_id(event.response_id, "chat"), event.model or self._model
        elif isinstance(event, RateLimits):
            return b""
        self._started = True
        head = json_bytes({**self._members(), "choices": []})
        self._head = b"data: " + head.removesuffix(b"]}") + b'{"index":0,"delta":'
        return self._choice({"role": "assistant", "content": ""}) + self._event(event)

    def fail(self, error: ModelError) -> bytes:
        """The error, after what the answer cost so far, where that was asked for."""
        if self._ended:
            return b""
        self._ended = True
        spent = error.partial.usage if error.partial is not None else None
        out = self._usage(spent) if self._started and spent is not None else b""
        return out + _frame({"error": error_object(error)})

    def close(self) -> bytes:
        self._ended = True
        return b"data: [DONE]\n\n" if self._completed else b""

    def _event(self, event: ResponseEvent) -> bytes:
        match event:
            case OutputTextDelta() | RefusalDelta() | OutputItemDone(item=Message()):
                return self._in_order(self._messages, event)
            case ReasoningContentDelta() | ReasoningSummaryDelta() | OutputItemDone(item=Reasoning()):
                return self._in_order(self._reasonings, event)
            case ToolCallInputDelta():
                return self._input(event.index, event.delta)
            case OutputItemAdded(item=item) if isinstance(item, _CALLS):
                return self._call(event.index, item)
            case OutputItemDone():
                return self._done(event.index, event.item)
            case Completed():
                return self._complete(event)
            case _:
                return b""

    def _in_order(self, line: OneByOne, event: TextEvent) -> bytes:
        """What may be told now: mostly the event itself."""
        if line.holder == event.index and not isinstance(event, OutputItemDone):
            return self._told(event)
        return b"".join(map(self._told, line.feed(event)))

    def _told(self, event: TextEvent) -> bytes:
        match event:
            case OutputTextDelta(index=index, delta=text):
                return self._delta(index, b"content", text)
            case RefusalDelta(index=index, delta=text):
                return self._delta(index, b"refusal", text)
            case ReasoningContentDelta(index=index, delta=text):
                return self._reasoning(index, type(event), text)
            case ReasoningSummaryDelta(index=index, delta=text, summary_index=part):
                gap = SUMMARY_GAP if self._summary_part[0] == index and self._summary_part[1] != part else ""
                self._summary_part = (index, part)
                return self._reasoning(index, type(event), gap + text)
            case OutputItemDone(index=index, item=item):
                return self._done(index, item)

    def _reasoning(self, index: int, kind: type[ResponseEvent], text: str) -> bytes:
        if self._kinds.setdefault(index, kind) is not kind:
            return b""
        return self._delta(index, b"reasoning_content", text)

    def _call(self, index: int, item: FunctionCall | CustomToolCall | LocalShellCall) -> bytes:
        kind, text_member = _form(item)
        number = len(self._calls)
        self._calls[index] = (number, kind, text_member)
        said: JsonObject = {"name": call_name(item), text_member: ""}
        return self._choice({"tool_calls": [{"index": number, "id": item.call_id, "type": kind, kind: said}]})

    def _delta(self, index: int, member: bytes, text: str) -> bytes:
        self._said.add(index)
        return b'%b{"%b":%b},"logprobs":null,"finish_reason":null}]}\n\n' % (self._head, member, text_json(text))

    def _input(self, index: int, text: str) -> bytes:
        number, kind, text_member = self._calls[index]
        self._said.add(index)
        return b'%b{"tool_calls":[{"index":%d,"%b":{"%b":%b}}]},"logprobs":null,"finish_reason":null}]}\n\n' % (
            self._head,
            number,
            kind.encode(),
            text_member.encode(),
            text_json(text),
        )

    def _done(self, index: int, item: ResponseItem) -> bytes:
        """What no delta said: the text of an item that came whole, and what is only known at its end."""
        out = b""
        if isinstance(item, _CALLS) and index not in self._calls:
            out = self._call(index, item)
        if index not in self._said:
            match item:
                case Message():
                    said: JsonObject = {"content": text_of(item), "refusal": refusal_of(item)}
                    said = {member: text for member, text in said.items() if text}
                    out += self._choice(said) if said else b""
                case Reasoning() if text := readable(item):
                    out += self._delta(index, b"reasoning_content", text)
                case FunctionCall() | CustomToolCall() | LocalShellCall() if text := _call_text(item):
                    out += self._input(index, text)
                case _:
                    pass
        if isinstance(item, (Message, Reasoning)) and (asides := _asides(item)):
            out += self._choice(asides)
        elif isinstance(item, _CALLS) and (own := own_members(item, "chat")):
            number, kind, text_member = self._calls[index]
            # The official SDK's accumulator wants the member of the call's type in every delta of it.
            out += self._choice({"tool_calls": [{"index": number, kind: {text_member: ""}, **own}]})
        return out

    def _complete(self, event: Completed) -> bytes:
        self._completed = self._ended = True
        choice: JsonObject = {"finish_reason": finish_word(event.finish_reason, calls=bool(self._calls))}
        if event.stop_sequence is not None:
            choice["stop_reason"] = event.stop_sequence
        return self._choice({}, choice) + (self._usage(event.usage) if event.usage is not None else b"")

    def _usage(self, usage: Usage) -> bytes:
        if not self._include_usage:
            return b""
        return _frame({**self._members(), "choices": [], "usage": encode_usage(usage)})

    def _choice(self, delta: JsonObject, more: JsonObject | None = None) -> bytes:
        choice: JsonObject = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **(more or {})}
        return _frame({**self._members(), "choices": [choice]})

    def _members(self) -> JsonObject:
        return {"id": self._id, "object": "chat.completion.chunk", "created": 0, "model": self._model}


def _frame(chunk: JsonObject) -> bytes:
    return b"data: " + json_bytes(chunk) + b"\n\n"


def _asides(item: Message | Reasoning) -> JsonObject:
    """What goes beside an item's text: citations, and what the provider wants to see again."""
    out: JsonObject = dict(own_members(item, "chat"))
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
