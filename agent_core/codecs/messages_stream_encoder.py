"""Events of one answer to a Messages stream: what a server of this wire sends.

The wire's blocks are strictly sequential: one is stopped before the next starts (behaviours.md S2-16, X-S0-27). Our
items may interleave, and where an answer came over Chat all of them are open until its end. So one block is open at a
time, and what happens when another item has something to say depends on whose it is:

    the open block          when another item says something
    text, thinking          is stopped; should the item go on, it gets another block
    a call that is whole    is stopped: an object is closed, and nothing can follow it
    any other call          stays, and all others wait until it is whole or done (X-S2-04)

Of several messages, or reasonings, one is told at a time: their texts would run into each other.

A message opens one block a part; reasoning and messages open theirs with their first content, calls at once. An item
that came without deltas is written whole from its OutputItemDone. Redacted reasoning and raw blocks have no deltas. An
item that was cut does not stop its block: a client that runs calls as their blocks stop must not run that one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..errors import MalformedStream, ModelError
from ..events import (
    Completed,
    Created,
    DeltaEvent,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    RefusalDelta,
    ResponseEvent,
    ToolCallInputDelta,
)
from ..items import (
    CustomToolCall,
    FunctionCall,
    JsonObject,
    LocalShellCall,
    Message,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
)
from ..prompt import Prompt
from .answer_words import SUMMARY_GAP, OneByOne, own_id, readable, stopped_by_error
from .base import json_bytes, text_json
from .messages_blocks import (
    assistant_blocks,
    call_arguments,
    citations_of,
    error_to_wire,
    is_redacted,
    stop_reason_of,
    tool_use_block,
)
from .messages_usage import usage_to_wire
from .tool_calls import parse_arguments

__all__ = ["MessagesStreamEncoder"]

_ItemEvent: TypeAlias = OutputItemAdded | DeltaEvent | OutputItemDone

_MAX_LOOKS = 32
"""How often a call that others wait for is parsed to see whether it is whole; after that they wait for its end."""


@dataclass(slots=True)
class _Told:
    """What was written of an item that is not done."""

    kind: Literal["summary", "content", ""] = ""  # of reasoning: whichever came first
    part: int = -1  # of a message, the part whose block it was last; of a summary likewise
    parts: set[int] = field(default_factory=set[int])  # of a message: those that have a block
    chars: int = 0  # written as deltas
    call: FunctionCall | CustomToolCall | None = None
    pieces: list[str] = field(default_factory=list[str])  # of a function call's arguments
    looks: int = 0


class MessagesStreamEncoder:
    """See codecs.base.StreamEncoder."""

    def __init__(self, prompt: Prompt) -> None:
        self._model = prompt.model
        self._started = False
        self._ended = False
        self._block = 0  # number of the open block, or of the next one
        self._head = b""  # of a delta frame of the open block; empty while none is open
        self._owner = -1  # whose block is open
        self._pen = -1  # the call that may not be interrupted
        self._told: dict[int, _Told] = {}
        self._messages = OneByOne()
        self._reasonings = OneByOne()
        self._waiting: dict[int, list[_ItemEvent]] = {}  # what came of other items, in order of appearance
        self._has_calls = False
        self._refused = False

    def feed(self, event: ResponseEvent) -> bytes:
        if self._ended:
            return b""
        if (more := self._known_delta(event)) is not None:
            return more
        out: list[bytes] = []
        match event:
            case Created():
                self._start(event.response_id, event.model, out)
            case Completed():
                self._complete(event, out)
            case OutputTextDelta() | RefusalDelta() | OutputItemDone(item=Message()):
                for ready in self._messages.feed(event):
                    self._say(ready, out)
            case ReasoningContentDelta() | ReasoningSummaryDelta() | OutputItemDone(item=Reasoning()):
                for ready in self._reasonings.feed(event):
                    self._say(ready, out)
            case OutputItemAdded(item=FunctionCall() | CustomToolCall()) | ToolCallInputDelta() | OutputItemDone():
                self._say(event, out)
            case _:
                pass  # what says nothing takes no place among those that wait
        return b"".join(out)

    def fail(self, error: ModelError) -> bytes:
        """`event: error`; what was open stays open, so nobody takes it for a whole answer."""
        if self._ended:
            return b""
        self._ended = True
        return _frame("error", {"error": error_to_wire(error)[1]})

    def close(self) -> bytes:
        self._ended = True
        return b""

    def _start(self, response_id: str, model: str, out: list[bytes]) -> None:
        if self._started:
            return
        self._started = True
        message: JsonObject = {
            "id": own_id(response_id, "messages") or "msg_unknown",
            "type": "message",
            "role": "assistant",
            "model": model or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_to_wire(None),
        }
        out.append(_frame("message_start", {"message": message}))

    def _complete(self, event: Completed, out: list[bytes]) -> None:
        self._start(event.response_id, event.model, out)
        if event.finish_reason == "error":  # this wire has no such word, and any other would call it an answer
            out.append(self.fail(stopped_by_error(event.native_reason)))
            return
        self._stop_block(out)
        self._ended = True
        reason = stop_reason_of(
            event.finish_reason,
            native=event.native_reason,
            stop_sequence=event.stop_sequence,
            has_calls=self._has_calls,
            refused=self._refused,
        )
        delta: JsonObject = {"stop_reason": reason, "stop_sequence": event.stop_sequence}
        out.append(_frame("message_delta", {"delta": delta, "usage": usage_to_wire(event.usage)}))
        out.append(_frame("message_stop", {}))

    def _known_delta(self, event: ResponseEvent) -> bytes | None:
        """Nearly every frame of a stream: the open block goes on, and nobody waits. None for anything else."""
        if self._waiting or not isinstance(event, OutputTextDelta | ToolCallInputDelta | ReasoningContentDelta):
            return None
        told = self._told.get(event.index) if event.index == self._owner else None
        match event:
            case OutputTextDelta(delta=text) if told is not None and told.part == event.content_index:
                kind, member = b"text_delta", b"text"
            case ReasoningContentDelta(delta=text) if told is not None and told.kind == "content":
                kind, member = b"thinking_delta", b"thinking"
            case ToolCallInputDelta(delta=text) if told is not None and isinstance(told.call, FunctionCall):
                kind, member = b"input_json_delta", b"partial_json"
                told.pieces.append(text)
            case _:
                return None
        out: list[bytes] = []
        self._delta(told, kind, member, text, out)
        return b"".join(out)

    # one block at a time

    def _say(self, event: _ItemEvent, out: list[bytes]) -> None:
        self._start("", "", out)
        index = event.index
        if (self._waiting and index != self._pen) or (self._pen >= 0 and not self._may_write(index)):
            self._waiting.setdefault(index, []).append(event)
        else:
            self._write(event, out)
        if self._waiting:
            self._catch_up(out)

    def _may_write(self, index: int) -> bool:
        """Whether an item may say something: no call is being written, or its own, or one that is whole by now."""
        if self._pen in (-1, index):
            return True
        if not _is_whole(self._told[self._pen]):
            return False
        self._pen = -1
        return True

    def _catch_up(self, out: list[bytes]) -> None:
        """What waits, item by item, as far as no call stands before it."""
        while self._waiting and not self._ended and self._may_write(first := next(iter(self._waiting))):
            for event in self._waiting.pop(first):
                self._write(event, out)

    def _write(self, event: _ItemEvent, out: list[bytes]) -> None:
        match event:
            case OutputTextDelta(index=index, delta=text, content_index=part):
                self._text(index, part, text, out)
            case RefusalDelta(index=index, delta=text, content_index=part):
                self._refused = True
                self._text(index, part, text, out)
            case ReasoningContentDelta(index=index, delta=text):
                self._thinking(index, "content", text, out)
            case ReasoningSummaryDelta(index=index, delta=text, summary_index=part):
                self._summary(index, part, text, out)
            case ToolCallInputDelta(index=index, delta=text):
                self._input(index, text, out)
            case OutputItemAdded(index=index, item=FunctionCall() | CustomToolCall() as call):
                self._start_call(index, call, out)
            case OutputItemDone(index=index, item=item):
                self._done(index, item, out)
            case _:
                pass

    def _of(self, index: int) -> _Told:
        told = self._told.get(index)
        if told is None:
            told = self._told[index] = _Told()
        return told

    # deltas

    def _text(self, index: int, part: int, text: str, out: list[bytes]) -> None:
        told = self._of(index)
        if index != self._owner or part != told.part:
            told.part = part
            told.parts.add(part)
            self._start_block(index, {"type": "text", "text": ""}, out)
        self._delta(told, b"text_delta", b"text", text, out)

    def _thinking(self, index: int, kind: Literal["summary", "content"], text: str, out: list[bytes]) -> None:
        told = self._of(index)
        told.kind = told.kind or kind
        if told.kind != kind:
            return
        if index != self._owner:
            self._start_thinking(index, out)
        self._delta(told, b"thinking_delta", b"thinking", text, out)

    def _summary(self, index: int, part: int, text: str, out: list[bytes]) -> None:
        told = self._of(index)
        if told.part not in (-1, part):
            text = SUMMARY_GAP + text
        told.part = part
        self._thinking(index, "summary", text, out)

    def _input(self, index: int, text: str, out: list[bytes]) -> None:
        told = self._of(index)
        if told.call is None:  # a call that never began is written when it is done
            return
        if index != self._owner:
            if text.strip():
                self._went_on(out)
            return
        if isinstance(told.call, CustomToolCall):  # the free text becomes the one string of an object
            text = ("" if told.chars else '{"input":"') + text_json(text)[1:-1].decode()
        else:
            told.pieces.append(text)
        self._delta(told, b"input_json_delta", b"partial_json", text, out)

    def _went_on(self, out: list[bytes]) -> None:
        """A call that was an object, and was stopped for another item, is not what it was taken for."""
        out.append(self.fail(MalformedStream("a call's arguments went on after the end of their object")))

    def _delta(self, told: _Told, kind: bytes, member: bytes, text: str, out: list[bytes]) -> None:
        if text:
            told.chars += len(text)
            out.append(b'%b{"type":"%b","%b":%b}}\n\n' % (self._head, kind, member, text_json(text)))

    # ends of items

    def _done(self, index: int, item: ResponseItem, out: list[bytes]) -> None:
        told = self._of(index)
        match item:
            case Message():
                self._finish_message(index, told, item, out)
            case Reasoning() if not is_redacted(item) and (item.text or item.signature):
                self._finish_reasoning(index, told, item, out)
            case FunctionCall() | CustomToolCall():
                self._finish_call(index, told, item, out)
            case LocalShellCall():
                self._has_calls = True
                self._start_block(index, {**tool_use_block(item), "input": {}}, out)
                self._delta(told, b"input_json_delta", b"partial_json", call_arguments(item), out)
            case _:
                for block in assistant_blocks(item):
                    self._start_block(index, block, out)
        del self._told[index]
        if self._pen == index:
            self._pen = -1
        if self._owner == index:
            self._owner = -1
            if not _is_cut(item):
                self._stop_block(out)

    def _finish_message(self, index: int, told: _Told, item: Message, out: list[bytes]) -> None:
        """Parts that no delta brought are written whole. Citations are known only now: those of the last part fit."""
        parts = [part for part in item.content if isinstance(part, (OutputText, Refusal))]
        self._refused = self._refused or any(isinstance(part, Refusal) for part in parts)
        missing = sum(len(_text_of(part)) for part in parts) > told.chars
        for number, part in enumerate(parts):
            if missing and number not in told.parts and _text_of(part):
                self._text(index, number, _text_of(part), out)
            if number == told.part and index == self._owner and isinstance(part, OutputText):
                out.extend(
                    self._head + json_bytes({"type": "citations_delta", "citation": citation}) + b"}\n\n"
                    for citation in citations_of(part)
                )

    def _finish_reasoning(self, index: int, told: _Told, item: Reasoning, out: list[bytes]) -> None:
        if not told.kind:
            self._start_thinking(index, out)
            self._delta(told, b"thinking_delta", b"thinking", readable(item), out)
        if (
            item.signature and index == self._owner
        ):  # it seals one block: of thinking that was interrupted there are two
            self._delta(told, b"signature_delta", b"signature", item.signature, out)

    def _start_thinking(self, index: int, out: list[bytes]) -> None:
        self._start_block(index, {"type": "thinking", "thinking": "", "signature": ""}, out)

    def _start_call(self, index: int, call: FunctionCall | CustomToolCall, out: list[bytes]) -> None:
        self._of(index).call = call
        self._has_calls = True
        self._start_block(index, {**tool_use_block(call), "input": {}}, out)
        self._pen = index

    def _finish_call(self, index: int, told: _Told, item: FunctionCall | CustomToolCall, out: list[bytes]) -> None:
        if told.call is None:
            self._start_call(index, item, out)
        if index != self._owner:  # it was whole, and stopped
            if isinstance(item, FunctionCall) and item.arguments.rstrip() != "".join(told.pieces).rstrip():
                self._went_on(out)
        elif not told.chars:
            arguments = call_arguments(item)
            if arguments.strip() not in ("", "{}"):
                self._delta(told, b"input_json_delta", b"partial_json", arguments, out)
        elif isinstance(item, CustomToolCall) and item.status != "incomplete":
            self._delta(told, b"input_json_delta", b"partial_json", '"}', out)

    # blocks

    def _start_block(self, index: int, block: JsonObject, out: list[bytes]) -> None:
        self._stop_block(out)
        self._owner = index
        out.append(_frame("content_block_start", {"index": self._block, "content_block": block}))
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % self._block
        )

    def _stop_block(self, out: list[bytes]) -> None:
        if self._head:
            out.append(_frame("content_block_stop", {"index": self._block}))
            self._block += 1
            self._head = b""
            self._owner = -1


def _is_whole(told: _Told) -> bool:
    """A function call whose arguments are an object already: nothing can follow that belongs to them."""
    if not told.pieces or told.looks >= _MAX_LOOKS or told.pieces[-1].rstrip()[-1:] != "}":
        return False
    told.looks += 1
    text = "".join(told.pieces)
    told.pieces = [text]
    return parse_arguments(text) is not None


def _is_cut(item: ResponseItem) -> bool:
    return isinstance(item, (Message, Reasoning, FunctionCall, CustomToolCall)) and item.status == "incomplete"


def _text_of(part: OutputText | Refusal) -> str:
    return part.refusal if isinstance(part, Refusal) else part.text


def _frame(kind: str, members: JsonObject) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json_bytes({"type": kind, **members}))
