"""Streams of the Responses wire, encoded: events in, the bytes a server sends out.

Complete where other servers are not (behaviours.md W-S2-08, W-S3-12): every frame has its `event:` name and a
`sequence_number` counting from 0; an item is announced with its id, call_id and name, and no item that never came is;
every text has its part events and its `….done`; the terminal event holds the whole output and says what really
happened: completed, incomplete or failed. There is no `[DONE]` on this wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

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
    ReasoningSummaryPartAdded,
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
    Message,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
)
from ..prompt import Prompt
from .answer_words import own_id, stopped_by_error
from .base import json_bytes, text_json
from .responses_envelope import encode_envelope, error_object, fitted_end, has_words_for, id_stem
from .responses_items import annotations_of, encode_output_item

__all__ = ["ResponsesStreamEncoder"]


class _Text(NamedTuple):
    """How the wire tells one kind of text: its index member, its events, the type and the member of its part."""

    place: str
    part: str
    text: str
    type: str
    member: str


_TEXTS = {
    "text": _Text("content_index", "response.content_part", "response.output_text", "output_text", "text"),
    "refusal": _Text("content_index", "response.content_part", "response.refusal", "refusal", "refusal"),
    "reasoning": _Text("content_index", "response.content_part", "response.reasoning_text", "reasoning_text", "text"),
    "summary": _Text(
        "summary_index",
        "response.reasoning_summary_part",
        "response.reasoning_summary_text",
        "summary_text",
        "text",
    ),
}

_INPUTS = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
}


_GROWING = frozenset({"message", "reasoning", *_INPUTS})
"""Kinds that are announced before they are whole, on whatever wire they came."""


@dataclass(slots=True)
class _Open:
    """An item that was announced. `parts` are its texts by kind and index, in order; the value is their place on the
    wire, where a message's texts and refusals are counted together. `heads` are the bytes of their delta frames, before
    and after the number of the event."""

    item_id: str
    type: str
    place: int  # in the output
    parts: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    heads: dict[tuple[str, int], tuple[bytes, bytes, bytes]] = field(
        default_factory=dict[tuple[str, int], tuple[bytes, bytes, bytes]]
    )
    told: bool = False  # its input was written as deltas

    def add_part(self, kind: str, index: int) -> bool:
        """Give a text its place; False if it has one."""
        if (kind, index) in self.parts:
            return False
        count = self.counts.get(_TEXTS[kind].place, 0)
        self.counts[_TEXTS[kind].place] = count + 1
        self.parts[kind, index] = count
        return True


class ResponsesStreamEncoder:
    """Encodes one stream (see StreamEncoder). Ids the events do not have are made from the response id and indices."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._sequence = 0
        self._response: Response | None = None  # once it was created
        self._open: dict[int, _Open] = {}
        self._items: dict[int, ResponseItem] = {}
        self._cut: list[OutputItemDone] = []  # calls that were cut, not called done before the end is known
        self._over = False

    def feed(self, event: ResponseEvent) -> bytes:
        """The frames of one event. Rate limits have no frame: on this wire they are HTTP headers."""
        if self._over:
            return b""
        match event:
            case OutputTextDelta(index=index, delta=delta, content_index=part):
                known = self._known_delta(index, ("text", part), delta)
            case ToolCallInputDelta(index=index, delta=delta):
                known = self._known_delta(index, ("input", 0), delta)
            case ReasoningContentDelta(index=index, delta=delta, content_index=part):
                known = self._known_delta(index, ("reasoning", part), delta)
            case ReasoningSummaryDelta(index=index, delta=delta, summary_index=part):
                known = self._known_delta(index, ("summary", part), delta)
            case RateLimits():
                return b""
            case _:
                known = None
        return b"".join(self._frames(event)) if known is None else known

    def fail(self, error: ModelError) -> bytes:
        """`response.failed`. Calls that were cut are in its output, but no event calls them done: clients run those."""
        if self._over:
            return b""
        frames = [] if self._response is not None else list(self._created(Created()))
        self._over = True
        spent = error.partial.usage if error.partial is not None else None
        self._items.update((event.index, event.item) for event in self._cut)
        response = self._whole(Completed(usage=spent), failed=True)
        frames.append(self._terminal("response.failed", response, error=error_object(error)))
        return b"".join(frames)

    def close(self) -> bytes:
        """Nothing follows the terminal event; without one the stream is simply cut."""
        self._over = True
        return b""

    def _frames(self, event: ResponseEvent) -> Iterator[bytes]:
        if self._response is None:
            yield from self._created(event if isinstance(event, Created) else Created())
        match event:
            case OutputItemAdded(item=item) | OutputItemDone(item=item) if not has_words_for(item):
                pass
            case OutputItemAdded(index=index, item=item):
                yield self._added(index, item)
            case OutputTextDelta(index=index, delta=delta, content_index=part):
                yield from self._text_delta(index, "text", part, delta)
            case RefusalDelta(index=index, delta=delta, content_index=part):
                yield from self._text_delta(index, "refusal", part, delta)
            case ReasoningContentDelta(index=index, delta=delta, content_index=part):
                yield from self._text_delta(index, "reasoning", part, delta)
            case ReasoningSummaryDelta(index=index, delta=delta, summary_index=part):
                yield from self._text_delta(index, "summary", part, delta)
            case ReasoningSummaryPartAdded(index=index, summary_index=part):
                yield from self._part_added(index, "summary", part)
            case ToolCallInputDelta(index=index, delta=delta):
                yield self._input_delta(index, delta)
            case OutputItemDone(item=FunctionCall(status="incomplete") | CustomToolCall(status="incomplete")):
                self._cut.append(event)
            case OutputItemDone(index=index, item=item):
                yield from self._done(index, item)
            case Completed():
                yield from self._completed(event)
            case Created() | RateLimits():
                pass

    # the beginning and the end

    def _created(self, event: Created) -> Iterator[bytes]:
        response_id = own_id(event.response_id, "responses") or "resp_0"
        self._response = Response(id=response_id, model=event.model or self._prompt.model)
        envelope = encode_envelope(self._response, self._prompt, status="in_progress")
        yield self._frame("response.created", {"response": envelope})
        yield self._frame("response.in_progress", {"response": envelope})

    def _completed(self, event: Completed) -> Iterator[bytes]:
        if event.finish_reason == "error":  # this wire calls it failed, and anything else would call it an answer
            yield self.fail(stopped_by_error(event.native_reason))
            return
        for cut in self._cut:
            yield from self._done(cut.index, cut.item)
        self._over = True
        response = fitted_end(self._whole(event))
        kind = "response.incomplete" if response.status == "incomplete" else "response.completed"
        yield self._terminal(kind, response)

    def _whole(self, event: Completed, *, failed: bool = False) -> Response:
        begun = self._response or Response()
        return Response(
            id=begun.id,
            model=event.model or begun.model,
            items=tuple(item for _, item in sorted(self._items.items())),
            finish_reason=event.finish_reason,
            status="failed" if failed else event.status,
            usage=event.usage,
            end_turn=event.end_turn,
            incomplete_reason=event.incomplete_reason,
        )

    def _terminal(self, kind: str, response: Response, *, error: JsonObject | None = None) -> bytes:
        envelope = encode_envelope(response, self._prompt, status=response.status, error=error)
        # The same ids as in the events, also where only done items have a place in the output.
        envelope["output"] = [self._output_item(index, item) for index, item in sorted(self._items.items())]
        return self._frame(kind, {"response": envelope})

    # items

    def _output_item(self, index: int, item: ResponseItem) -> JsonObject:
        encoded = encode_output_item(item, id_stem(self._response.id if self._response else ""), index)
        opened = self._open.get(index)
        return encoded if opened is None else {**encoded, "id": opened.item_id}

    def _added(self, index: int, item: ResponseItem) -> bytes:
        encoded = self._output_item(index, item)
        if encoded.get("status") == "completed" and item.type in _GROWING:
            encoded["status"] = "in_progress"
        opened = self._open[index] = _Open(str(encoded["id"]), item.type, len(self._open))
        return self._frame("response.output_item.added", {"output_index": opened.place, "item": encoded})

    def _done(self, index: int, item: ResponseItem) -> Iterator[bytes]:
        if index not in self._open:
            yield self._added(index, item)
        opened = self._open[index]
        if isinstance(item, (Message, Reasoning)):
            yield from self._texts_done(index, item)
        elif isinstance(item, (FunctionCall, CustomToolCall)):
            text = item.arguments if isinstance(item, FunctionCall) else item.input
            if text and not opened.told:
                yield self._input_delta(index, text)
            kind, member = _INPUTS[item.type]
            yield self._about(index, f"{kind}.done", {"name": item.name, member: text})
        self._items[index] = item
        whole: JsonObject = {"output_index": opened.place, "item": self._output_item(index, item)}
        yield self._frame("response.output_item.done", whole)

    def _texts_done(self, index: int, item: Message | Reasoning) -> Iterator[bytes]:
        """End every text of the item; a text no delta brought is written whole, for clients that read deltas only."""
        opened = self._open[index]
        unmatched = {kind: [key for key in opened.parts if key[0] == kind] for kind in _TEXTS}
        for n, (kind, text, part) in enumerate(_texts(item)):
            if unmatched[kind]:
                key = unmatched[kind].pop(0)
            else:
                key = (kind, -1 - n)  # no event has a negative index: a place of its own
                yield from self._text_delta(index, key[0], key[1], text)
            told = _TEXTS[kind]
            where: JsonObject = {told.place: opened.parts[key]}
            for m, note in enumerate(annotations_of(part) if part is not None else []):
                about: JsonObject = {"annotation_index": m, "annotation": note}
                yield self._about(index, "response.output_text.annotation.added", where | about)
            whole: JsonObject = {told.member: text}
            if kind == "text":
                whole["logprobs"] = []
            yield self._about(index, f"{told.text}.done", where | whole)
            yield self._about(index, f"{told.part}.done", where | {"part": _part(kind, text, part)})

    # deltas

    def _part_added(self, index: int, kind: str, part_index: int) -> Iterator[bytes]:
        opened = self._open[index]
        if opened.add_part(kind, part_index):
            told = _TEXTS[kind]
            where: JsonObject = {told.place: opened.parts[kind, part_index]}
            yield self._about(index, f"{told.part}.added", where | {"part": _part(kind, "", None)})

    def _text_delta(self, index: int, kind: str, part_index: int, delta: str) -> Iterator[bytes]:
        yield from self._part_added(index, kind, part_index)
        if not delta:
            return
        told = _TEXTS[kind]
        where: JsonObject = {told.place: self._open[index].parts[kind, part_index]}
        tail = b',"logprobs":[]}\n\n' if kind == "text" else b"}\n\n"
        yield self._new_delta(index, (kind, part_index), f"{told.text}.delta", where, tail, delta)

    def _input_delta(self, index: int, delta: str) -> bytes:
        opened = self._open[index]
        opened.told = True
        return self._new_delta(index, ("input", 0), f"{_INPUTS[opened.type][0]}.delta", {}, b"}\n\n", delta)

    def _new_delta(
        self, index: int, key: tuple[str, int], kind: str, where: JsonObject, tail: bytes, delta: str
    ) -> bytes:
        """The first delta of a text: what all of them have in common is written once, for `_known_delta`."""
        opened = self._open[index]
        head = b'event: %b\ndata: {"type":"%b","sequence_number":' % (kind.encode(), kind.encode())
        about: JsonObject = {"item_id": opened.item_id, "output_index": opened.place, **where}
        opened.heads[key] = (head, b"," + json_bytes(about)[1:-1] + b',"delta":', tail)
        return self._known_delta(index, key, delta) or b""

    def _known_delta(self, index: int, key: tuple[str, int], delta: str) -> bytes | None:
        """Nearly every frame of a stream: a delta like the one before it. None for the first of its text."""
        opened = self._open.get(index)
        written = None if opened is None else opened.heads.get(key)
        if written is None:
            return None
        head, about, tail = written
        number, self._sequence = self._sequence, self._sequence + 1
        return b"%b%d%b%b%b" % (head, number, about, text_json(delta), tail)

    # frames

    def _about(self, index: int, kind: str, members: JsonObject) -> bytes:
        opened = self._open[index]
        where: JsonObject = {"item_id": opened.item_id, "output_index": opened.place}
        return self._frame(kind, where | members)

    def _frame(self, kind: str, members: JsonObject) -> bytes:
        head: JsonObject = {"type": kind, "sequence_number": self._sequence}
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), json_bytes(head | members))


def _texts(item: Message | Reasoning) -> Iterator[tuple[str, str, OutputText | None]]:
    if isinstance(item, Reasoning):
        for text in item.summary:
            yield "summary", text, None
        for text in item.content:
            yield "reasoning", text, None
        return
    for part in item.content:
        if isinstance(part, OutputText):
            yield "text", part.text, part
        elif isinstance(part, Refusal):
            yield "refusal", part.refusal, None


def _part(kind: str, text: str, part: OutputText | None) -> JsonValue:
    told = _TEXTS[kind]
    out: JsonObject = {"type": told.type, told.member: text}
    if kind == "text":
        out |= {"annotations": list[JsonValue](annotations_of(part)) if part is not None else [], "logprobs": []}
    return out
