"""Events of one answer to a Messages stream: what a server of this wire sends.

The wire's blocks are strictly sequential: one is stopped before the next starts (behaviours.md S2-16, X-S0-27). Our
items may interleave, so one item at a time is being written, the first that began, and what comes of the others waits
until it is done (X-S2-04). Per item:

    nothing written → block open (text, thinking, tool_use) → … → stopped

A message opens one block a part; reasoning and messages open theirs with their first content, calls at once. An item
that came without deltas is written whole from its OutputItemDone. Redacted reasoning and raw blocks have no deltas.
"""

from __future__ import annotations

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
from .base import json_bytes
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

__all__ = ["MessagesStreamEncoder"]


class MessagesStreamEncoder:
    """See codecs.base.StreamEncoder."""

    def __init__(self, prompt: Prompt) -> None:
        self._model = prompt.model
        self._started = False
        self._ended = False
        self._current: int | None = None  # the item being written
        self._waiting: dict[int, list[ResponseEvent]] = {}  # what came of later items, in order of appearance
        self._index = 0  # of the open block, or of the next one
        self._head = b""  # of a delta frame of the open block; empty while none is open
        self._part = -1
        self._written: set[int] = set()  # parts of the current message that have a block
        self._chars = 0  # of the current item, written as deltas
        self._reasoning: type[ResponseEvent] | None = None  # summary or content: whichever came first
        self._call: FunctionCall | CustomToolCall | None = None
        self._has_calls = False

    def feed(self, event: ResponseEvent) -> bytes:
        if self._ended:
            return b""
        out: list[bytes] = []
        match event:
            case RateLimits():
                pass
            case Created():
                self._start(event.response_id, event.model, out)
            case Completed():
                self._complete(event, out)
            case _:
                self._start("", "", out)
                if self._current is None:
                    self._current = event.index
                if event.index == self._current:
                    self._write(event, out)
                    self._catch_up(out)
                else:
                    self._waiting.setdefault(event.index, []).append(event)
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
            "id": response_id or "msg_unknown",
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
        self._stop_block(out)
        self._ended = True
        reason = stop_reason_of(
            event.finish_reason,
            native=event.native_reason,
            stop_sequence=event.stop_sequence,
            has_calls=self._has_calls,
        )
        delta: JsonObject = {"stop_reason": reason, "stop_sequence": event.stop_sequence}
        out.append(_frame("message_delta", {"delta": delta, "usage": usage_to_wire(event.usage)}))
        out.append(_frame("message_stop", {}))

    def _catch_up(self, out: list[bytes]) -> None:
        """After an item is done: all that waits of the next one, and of those after it, if it is done too."""
        while self._current is None and self._waiting:
            self._current = next(iter(self._waiting))
            for event in self._waiting.pop(self._current):
                self._write(event, out)

    def _write(self, event: ResponseEvent, out: list[bytes]) -> None:
        match event:
            case OutputTextDelta(content_index=part, delta=text) | RefusalDelta(content_index=part, delta=text):
                if part != self._part or not self._head:
                    self._start_text(part, out)
                self._delta("text_delta", "text", text, out)
            case ReasoningContentDelta(delta=text) | ReasoningSummaryDelta(delta=text):
                if self._reasoning is None:
                    self._reasoning = type(event)
                    self._start_block({"type": "thinking", "thinking": "", "signature": ""}, out)
                if self._reasoning is type(event):
                    self._delta("thinking_delta", "thinking", text, out)
            case ToolCallInputDelta(delta=text):
                self._input(text, out)
            case OutputItemAdded(item=FunctionCall() | CustomToolCall() as call):
                self._start_call(call, out)
            case OutputItemDone(item=item):
                self._done(item, out)
            case _:
                pass

    def _done(self, item: ResponseItem, out: list[bytes]) -> None:
        match item:
            case Message():
                self._finish_message(item, out)
            case Reasoning() if not is_redacted(item) and (item.text or item.signature):
                self._finish_reasoning(item, out)
            case FunctionCall() | CustomToolCall():
                self._finish_call(item, out)
            case _:
                self._has_calls = self._has_calls or isinstance(item, LocalShellCall)
                for block in assistant_blocks(item):
                    self._start_block(block, out)
        self._stop_block(out)
        self._current = None
        self._part = -1
        self._written = set()
        self._chars = 0
        self._reasoning = None
        self._call = None

    def _finish_message(self, item: Message, out: list[bytes]) -> None:
        """Parts that no delta brought are written whole. Citations are known only now: those of the last part fit."""
        parts = [part for part in item.content if isinstance(part, (OutputText, Refusal))]
        missing = sum(len(_text_of(part)) for part in parts) > self._chars
        for number, part in enumerate(parts):
            if missing and number not in self._written and _text_of(part):
                self._start_text(number, out)
                self._delta("text_delta", "text", _text_of(part), out)
            if number == self._part and isinstance(part, OutputText):
                out.extend(
                    self._head + json_bytes({"type": "citations_delta", "citation": citation}) + b"}\n\n"
                    for citation in citations_of(part)
                )

    def _finish_reasoning(self, item: Reasoning, out: list[bytes]) -> None:
        if self._reasoning is None:
            self._start_block({"type": "thinking", "thinking": "", "signature": ""}, out)
            self._delta("thinking_delta", "thinking", item.text, out)
        if item.signature:
            self._delta("signature_delta", "signature", item.signature, out)

    def _start_call(self, call: FunctionCall | CustomToolCall, out: list[bytes]) -> None:
        self._call = call
        self._has_calls = True
        self._start_block({**tool_use_block(call), "input": {}}, out)

    def _input(self, text: str, out: list[bytes]) -> None:
        if self._call is None:  # a call that never began is written when it is done
            return
        if isinstance(self._call, CustomToolCall):  # the free text becomes the one string of an object
            text = ("" if self._chars else '{"input":"') + json_bytes(text)[1:-1].decode()
        self._delta("input_json_delta", "partial_json", text, out)

    def _finish_call(self, item: FunctionCall | CustomToolCall, out: list[bytes]) -> None:
        if self._call is None:
            self._start_call(item, out)
        if not self._chars:
            arguments = call_arguments(item)
            if arguments.strip() not in ("", "{}"):
                self._delta("input_json_delta", "partial_json", arguments, out)
        elif isinstance(item, CustomToolCall) and item.status != "incomplete":
            self._delta("input_json_delta", "partial_json", '"}', out)

    def _start_text(self, part: int, out: list[bytes]) -> None:
        self._start_block({"type": "text", "text": ""}, out)
        self._part = part
        self._written.add(part)

    def _start_block(self, block: JsonObject, out: list[bytes]) -> None:
        self._stop_block(out)
        out.append(_frame("content_block_start", {"index": self._index, "content_block": block}))
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % self._index
        )

    def _stop_block(self, out: list[bytes]) -> None:
        if self._head:
            out.append(_frame("content_block_stop", {"index": self._index}))
            self._index += 1
            self._head = b""

    def _delta(self, kind: str, member: str, text: str, out: list[bytes]) -> None:
        if text:
            self._chars += len(text)
            out.append(b'%b{"type":"%b","%b":%b}}\n\n' % (self._head, kind.encode(), member.encode(), json_bytes(text)))


def _text_of(part: OutputText | Refusal) -> str:
    return part.refusal if isinstance(part, Refusal) else part.text


def _frame(kind: str, members: JsonObject) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json_bytes({"type": kind, **members}))
