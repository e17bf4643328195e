"""Streams of the Responses wire, decoded: bytes in, events out. (One item while it is received: `responses_slots`.)

The wire names its items, so there is little to guess, but servers differ in what they leave out. The rules, and who
needs them:

    which item is meant   the one at its `output_index`, else the one with its `item_id`, else the last open one of the
                          kind. Ids may differ in every event (Copilot), indices may be missing (llama.cpp) or all zero
                          (LiteLLM); an item of another kind is never meant.
    an item begins        at `output_item.added`, else at its first delta, else at `output_item.done`. A call is
                          announced when its name and call_id are known (W-S2-08: some come with both empty).
    its text              is what the deltas said. `….done` texts and the item at its end count only where no delta of
                          that kind came (LM Studio's calls; `content_index` may lie: bedrock-mantle).
    an item ends          at `output_item.done`; what is still open at the end is taken from the terminal event's
                          `output`, else it is incomplete. An empty `output` is normal (ChatGPT's backend).
    a call that may       waits: vLLM says `completed` of it, and only the terminal event tells that the answer was cut.
    have been cut         Later items wait with it, so that the order stays the model's.
    the stream ends       at `response.completed`, `.incomplete`, `.failed`, `.cancelled`. An `error` event first waits
                          for the `response.failed` that OpenAI sends after it (`finishing` is set). EOF before any of
                          them is an interruption.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from typing import TypeAlias

from pydantic_core import from_json

from ..errors import ApiError, MalformedStream, ModelError, StreamInterrupted
from ..events import (
    Completed,
    Created,
    FinishReason,
    OutputItemAdded,
    OutputItemDone,
    RateLimits,
    RateLimitWindow,
    ReasoningSummaryPartAdded,
    Response,
    ResponseEvent,
    ResponseStatus,
    ToolCallInputDelta,
    Usage,
)
from ..items import JsonObject, JsonValue
from ..prompt import CustomToolSpec, Prompt
from .api_errors import api_error
from .base import Compat, json_list, json_object, json_str, torn_event
from .responses_order import EventOrder
from .responses_pieces import PIECE_OF, plain_piece
from .responses_reading import Source, decode_usage, json_text, load_json
from .responses_slots import DELTAS, INPUTS, Slot
from .sse import SseFrame, SseReader
from .tool_calls import made_up_id

__all__ = ["ResponsesStreamDecoder", "decode_whole"]

_MAX_HEAD_BYTES = 1024 * 1024
"""How much of a body without a single event is kept, to find out at its end what it was instead of a stream."""

_FINISH_REASONS: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}


class ResponsesStreamDecoder:
    """Decodes one stream (see StreamDecoder). `bad_frames` counts frames that were not a JSON object."""

    def __init__(self, prompt: Prompt, compat: Compat) -> None:
        self.error: ModelError | None = None
        self.done = False
        self.finishing = False
        self.frames = 0
        self.bad_frames = 0
        self._at_end = False  # the body is over: its last event may be cut
        self._reader = SseReader()
        self._order = EventOrder()
        self._compat = compat
        self._source = Source(provider=compat.provider, model=prompt.model)
        self._lowered = _lowered_tools(prompt, compat)
        self._handlers = _HANDLERS
        self._head: list[bytes] = []
        self._head_bytes = 0
        self._usable = False  # an event of this wire was seen
        self._begun = False  # an event was returned: too late for Created
        self._limits: list[ResponseEvent] = []  # rate limits that came before Created, which goes first
        self._slots: list[Slot] = []
        self._by_index: dict[int, Slot] = {}
        self._by_id: dict[str, Slot] = {}
        self._open: dict[str, list[Slot]] = {}  # by kind, in order
        self._waiting: list[Slot] = []  # whole, but not to be called done before the end is known
        self._announced = 0
        self._refusal: JsonValue = None  # an error event's object, while response.failed may still come
        self._response_id: str = ""
        self._model = ""
        self._native: str | None = None
        self._usage: Usage | None = None
        self._completed: Completed | None = None

    # StreamDecoder

    def feed(self, data: bytes) -> list[ResponseEvent]:
        out: list[ResponseEvent] = []
        if not self.frames and self._head_bytes < _MAX_HEAD_BYTES:
            self._head.append(data)
            self._head_bytes += len(data)
        self._read(self._reader.feed(data), out)
        if self._reader.error is not None and not self.done:
            self._fail(self._reader.error, out)
        return out

    def close(self) -> list[ResponseEvent]:
        out: list[ResponseEvent] = []
        self._at_end = True
        self._read(self._reader.close(), out)
        if self._reader.error is not None and not self.done:
            self._fail(self._reader.error, out)
        if not self.done:
            self._end_of_body(out)
        return out

    def snapshot(self) -> Response:
        slots = sorted((slot for slot in self._slots if slot.index >= 0), key=lambda slot: slot.index)
        items = tuple(slot.item or slot.made(self._source, "incomplete") for slot in slots)
        end = self._completed
        if end is None:
            status: ResponseStatus = "incomplete" if self.error is None else "failed"
            reason: FinishReason = "unknown" if self.error is None else "error"
            return Response(
                self._response_id, self._model, items, reason, status, self._usage, native_reason=self._native
            )
        return Response(
            end.response_id,
            end.model,
            items,
            end.finish_reason,
            end.status,
            end.usage,
            end.end_turn,
            end.native_reason,
            end.incomplete_reason,
        )

    # frames

    def _read(self, frames: list[SseFrame], out: list[ResponseEvent]) -> None:
        """Frames in order; those after the end are only counted."""
        self.frames += len(frames)
        for frame in frames:
            if self.done:
                return
            if frame.event[-6:] == b".delta" and self._piece(frame.data, out):
                continue
            try:
                event: JsonObject = from_json(frame.data)
                handler = self._handlers[event["type"]]  # type: ignore[index]  # an unhashable type is caught below
            except (ValueError, LookupError, TypeError):
                self._odd_frame(frame, out)
                continue
            place = self._order.place(event.get("sequence_number"), frame.data)
            if place == "again":
                continue
            if place == "late":
                self._fail(_out_of_order(), out)
                return
            self._usable = True
            handler(self, event, out)

    def _piece(self, data: bytes, out: list[ResponseEvent]) -> bool:
        """Take the next piece of a text or an input that has begun. False, and nothing was taken, for any other event:
        what the table's handlers would do with it is theirs."""
        piece = plain_piece(data)
        if piece is None or not piece.delta or self._refusal is not None:
            return False
        slot, (kind, text_kind) = self._by_index.get(piece.output_index), PIECE_OF.get(piece.type, ("", ""))
        if slot is None or slot.kind != kind or slot.closed:
            return False
        if text_kind:
            place = piece.content_index if text_kind != "summary" else piece.summary_index
            part = slot.parts.get((text_kind, place))
            if part is None or not self._order.follows(piece.sequence_number, data):
                return False
            part.pieces.append(piece.delta)
            out.append(DELTAS[text_kind](slot.index, piece.delta, part.ordinal))
            return True
        if slot.index < 0 or slot.lowered or not self._order.follows(piece.sequence_number, data):
            return False
        slot.pieces.append(piece.delta)
        slot.told = True
        out.append(ToolCallInputDelta(slot.index, json_str(slot.raw.get("call_id")), piece.delta))
        return True

    def _odd_frame(self, frame: SseFrame, out: list[ResponseEvent]) -> None:
        """A frame that is no event of the table: `[DONE]`, broken JSON, a nameless or unknown event."""
        if frame.data.strip() == b"[DONE]":
            if self._refusal is not None:
                self._refused({}, out)
            return
        try:
            event = json_object(load_json(frame.data))
        except ValueError:
            event = None
        if event is None:
            self.bad_frames += 1
            torn = torn_event(frame.data) if not self.finishing and not self._at_end else None
            if torn is not None:
                self._fail(torn, out)
            return
        name = json_str(event.get("type")) or frame.event.decode("utf-8", "replace")
        handler = self._handlers.get(name)
        if handler is not None:
            self._usable = True
            handler(self, event, out)
        elif event.get("error") and not name.startswith("response."):
            self._usable = True
            self._on_error(event, out)
        elif name.startswith("response."):
            self._usable = True

    # what the events mean

    def _on_created(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        response = json_object(event.get("response"))
        if response is None:
            return
        self._learn(response)
        if not self._begun:
            out.append(Created(self._response_id, self._model))
            self._begin(out)

    def _on_rate_limits(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        limits = _rate_limits(event)
        if limits is not None:
            (out if self._begun else self._limits).append(limits)

    def _on_item_added(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        raw = json_object(event.get("item"))
        if raw is None or not json_str(raw.get("type")):
            return
        known = self._by_id.get(json_str(raw.get("id")))
        if known is None or known.closed or known.kind != raw["type"]:
            self._add(raw, event.get("output_index"), out)

    def _on_item_done(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        raw = json_object(event.get("item"))
        if raw is None or not json_str(raw.get("type")):
            return
        slot = self._find(json_str(raw["type"]), event.get("output_index"), raw.get("id"))
        if slot is not None and slot.closed:
            if not raw.get("id") or raw.get("id") == slot.raw.get("id"):
                return  # said twice
            slot = None
        self._close(slot or self._add(raw, event.get("output_index"), out), raw, out)

    def _on_summary_part(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        slot = self._slot("reasoning", event, out)
        if not slot.closed:
            part = slot.part("summary", event.get("summary_index"))
            out.append(ReasoningSummaryPartAdded(slot.index, part.ordinal))

    def _on_annotation(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        slot = self._slot("message", event, out)
        if json_object(event.get("annotation")):
            slot.part("text", event.get("content_index")).annotations.append(event["annotation"])

    def _on_error(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        plain: JsonObject = {name: value for name, value in event.items() if name not in ("type", "sequence_number")}
        self._refusal = event.get("error") or plain or "an error event without an error"
        self._handlers = _AFTER_ERROR
        self.finishing = True

    def _on_failed(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        response = json_object(event.get("response")) or {}
        self._native = json_str(response.get("status")) or None
        self._refused(response, out)

    def _on_end(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        self._finish(json_object(event.get("response")) or {}, json_str(event.get("type")), out)

    # items

    def _find(self, kind: str, output_index: JsonValue, item_id: JsonValue) -> Slot | None:
        """The item meant by an event about an item of `kind`, or None for one not seen before."""
        lost = True  # nothing says which: the last open one
        if type(output_index) is int:
            slot = self._by_index.get(output_index)
            if slot is not None and slot.kind == kind:
                return slot
            lost = slot is not None
        if type(item_id) is str:
            slot = self._by_id.get(item_id)
            if slot is not None and slot.kind == kind:
                return slot
        waiting = self._open.get(kind)
        return waiting[-1] if lost and waiting else None

    def _slot(self, kind: str, event: JsonObject, out: list[ResponseEvent]) -> Slot:
        item_id = event.get("item_id")
        slot = self._find(kind, event.get("output_index"), item_id)
        if slot is None:
            slot = self._add({"type": kind, "id": item_id}, event.get("output_index"), out)
        return slot

    def _add(self, raw: JsonObject, output_index: JsonValue, out: list[ResponseEvent]) -> Slot:
        kind = json_str(raw["type"])
        slot = Slot(kind, raw)
        self._slots.append(slot)
        self._open.setdefault(kind, []).append(slot)
        if type(output_index) is int:
            self._by_index[output_index] = slot
        if item_id := json_str(raw.get("id")):
            self._by_id[item_id] = slot
        if kind not in INPUTS or (json_str(raw.get("name")) and json_str(raw.get("call_id"))):
            self._announce(slot, out)
        return slot

    def _announce(self, slot: Slot, out: list[ResponseEvent]) -> None:
        self._begin(out)
        slot.index = self._announced
        self._announced += 1
        if slot.kind in INPUTS and not json_str(slot.raw.get("call_id")):
            slot.raw = {**slot.raw, "call_id": made_up_id(self._source.response_id, slot.index)}
        slot.lowered = slot.kind == "function_call" and json_str(slot.raw.get("name")) in self._lowered
        out.append(OutputItemAdded(slot.index, slot.announced(self._source)))

    def _close(self, slot: Slot, raw: JsonObject, out: list[ResponseEvent], *, cut: bool = False) -> None:
        """The item is whole, or as whole as it will get. `raw` is what its end says of it."""
        slot.raw = {**slot.raw, **{name: value for name, value in raw.items() if value not in (None, "")}}
        slot.closed = True
        self._open[slot.kind].remove(slot)
        if slot.index < 0:
            if not json_str(slot.raw.get("name")):
                return  # a call that was never named can neither be run nor answered
            self._announce(slot, out)
        if slot.kind in INPUTS:
            slot.settle_input(out)
        elif slot.kind in ("message", "reasoning"):
            slot.settle_texts(raw, out)
        cut = cut or slot.raw.get("status") == "incomplete"
        slot.item = slot.made(self._source, "incomplete" if cut else "completed")
        if self._waiting or (not cut and slot.may_be_cut()):
            self._waiting.append(slot)
        else:
            out.append(OutputItemDone(slot.index, slot.item))

    # ends

    def _learn(self, response: JsonObject) -> None:
        """What an event's `response` says of the whole answer."""
        self._model = json_str(response.get("model")) or self._model
        self._usage = decode_usage(response.get("usage"), self._compat) or self._usage
        response_id = json_str(response.get("id"))
        if response_id and response_id != self._response_id:
            self._response_id = response_id
            self._source = replace(self._source, response_id=response_id)

    def _begin(self, out: list[ResponseEvent]) -> None:
        self._begun = True
        if self._limits:
            out += self._limits
            self._limits = []

    def _finish(self, response: JsonObject, event_type: str, out: list[ResponseEvent]) -> None:
        status = json_str(response.get("status")) or None
        if status in ("failed", "cancelled"):
            (self._on_failed if status == "failed" else self._on_cancelled)({"response": response}, out)
            return
        self._usable = True
        self._learn(response)
        self._begin(out)
        cut = "incomplete" in (status, event_type.removeprefix("response."))
        output = [raw for value in json_list(response.get("output")) if (raw := json_object(value)) and raw.get("type")]
        if not self._slots:
            for raw in output:
                self._close(self._add(raw, None, out), raw, out)
        self._close_open(output, out)
        self._release(out, cut=cut)
        reason = json_str((json_object(response.get("incomplete_details")) or {}).get("reason")) or None
        end_turn = response.get("end_turn")
        self._completed = Completed(
            response_id=self._response_id,
            model=self._model,
            finish_reason=_FINISH_REASONS.get(reason or "", "unknown") if cut else self._finish_reason(),
            status="incomplete" if cut else "completed",
            usage=self._usage,
            end_turn=end_turn if isinstance(end_turn, bool) else None,
            native_reason=status,
            incomplete_reason=reason,
        )
        out.append(self._completed)
        self.done = True

    def _finish_reason(self) -> FinishReason:
        items = tuple(slot.item for slot in self._slots if slot.item is not None)
        return "tool_calls" if Response(items=items).tool_calls else "stop"

    def _close_open(self, output: list[JsonObject], out: list[ResponseEvent]) -> None:
        """Finish what no event finished: from the item of its id, or at its place, in the whole output."""
        by_id = {json_str(raw.get("id")): raw for raw in output}
        for place, slot in enumerate(self._slots):
            if slot.closed:
                continue
            raw = by_id.get(json_str(slot.raw.get("id")) or "-")
            if raw is None and place < len(output):
                raw = output[place]
            if raw is not None and raw["type"] == slot.kind:
                self._close(slot, raw, out)
            else:
                self._close(slot, {}, out, cut=True)

    def _release(self, out: list[ResponseEvent], *, cut: bool) -> None:
        """Let go of what waited for the end; in an answer that was cut, calls without whole arguments were cut too."""
        for slot in self._waiting:
            if slot.item is not None:
                if cut and slot.may_be_cut():
                    slot.item = slot.made(self._source, "incomplete")
                out.append(OutputItemDone(slot.index, slot.item))
        self._waiting = []

    def _on_cancelled(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        self._learn(json_object(event.get("response")) or {})
        self._native = "cancelled"
        message = "the response was cancelled at the provider"
        self._fail(ApiError(message, code="cancelled", remedy="send the request again", in_stream=True), out)

    def _refused(self, response: JsonObject, out: list[ResponseEvent]) -> None:
        """The end of an answer that the peer failed: the first error it gave counts."""
        self._learn(response)
        error = self._refusal or response.get("error") or "the response failed without an explanation"
        self._fail(api_error(error, body=json_text(error), in_stream=True), out)

    def _fail(self, error: ModelError, out: list[ResponseEvent]) -> None:
        self._begin(out)
        self._close_open([], out)
        self._release(out, cut=True)
        self.error = error
        self.done = True
        self.finishing = False
        error.partial = self.snapshot()

    def _end_of_body(self, out: list[ResponseEvent]) -> None:
        """EOF without a terminal event: an interruption, unless the body was never a stream of this wire."""
        if self._refusal is not None:
            self._refused({}, out)
        elif self._reader.error_field:  # llama.cpp writes an `error:` field where an event should be
            self._on_error({"error": _json_or_text(self._reader.error_field)}, out)
            self._refused({}, out)
        elif self._usable:
            self._fail(StreamInterrupted("the stream ended before response.completed"), out)
        else:
            self._end_of_other(b"".join(self._head).strip(), out)

    def _end_of_other(self, head: bytes, out: list[ResponseEvent]) -> None:
        body = None if self.frames else json_object(_json_or_text(head))
        if body and body.get("object") == "response":  # a whole answer, though a stream was asked for
            self._finish(body, "", out)
        elif body and (body.get("error") or body.get("detail") or body.get("message")):
            self._on_error(body, out)
            self._refused({}, out)
        elif self.frames > self.bad_frames:
            self._fail(MalformedStream(f"none of the {self.frames} events is one of the Responses wire"), out)
        elif not head or _may_be_stream(head):
            self._fail(StreamInterrupted("the stream ended before its first event"), out)
        else:
            kind = "an HTML page" if head.startswith(b"<") else "no event stream"
            self._fail(MalformedStream(f"the body is {kind} (its first {len(head)} bytes hold no event)"), out)


def decode_whole(response: JsonObject, prompt: Prompt, compat: Compat) -> Response:
    """A whole answer: what a stream of nothing but its terminal event says. Raises what such a stream ends with."""
    decoder = ResponsesStreamDecoder(prompt, compat)
    decoder._finish(response, "", [])
    if decoder.error is not None:
        raise decoder.error
    return decoder.snapshot()


def _lowered_tools(prompt: Prompt, compat: Compat) -> frozenset[str]:
    if compat.custom_tools:
        return frozenset()
    return frozenset(spec.name for spec in prompt.tools if isinstance(spec, CustomToolSpec))


def _out_of_order() -> MalformedStream:
    return MalformedStream(
        "an event came after one that follows it",
        remedy="sample again; if it keeps happening, a proxy before the server mixes events up",
        retryable=True,
    )


def _json_or_text(data: bytes) -> JsonValue:
    try:
        return load_json(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def _may_be_stream(head: bytes) -> bool:
    """Whether these bytes are the beginning of an event stream that was cut before its first event."""
    words = (b"event:", b"data:", b"id:", b"retry:", b":")
    line = head.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0]
    return any(line.startswith(word) or word.startswith(line) for word in words)


def _rate_limits(event: JsonObject) -> RateLimits | None:
    """`codex.rate_limits` (codex.md 1.3, 1.5): a window whose numbers are all zero or absent is none. `reset_at` is a
    time of day, and codecs have no clock."""
    found = json_object(event.get("rate_limits")) or {}
    windows: list[RateLimitWindow] = []
    for kind in ("primary", "secondary"):
        window = json_object(found.get(kind)) or {}
        used = _number(window.get("used_percent"))
        reset = _number(window.get("reset_after_seconds"))
        minutes = _number(window.get("window_minutes"))
        if used or reset or minutes or _number(window.get("reset_at")):
            window_s = 60 * minutes if minutes else None
            windows.append(RateLimitWindow(kind, reset_after_s=reset, used_percent=used, window_s=window_s))
    return RateLimits(tuple(windows)) if windows else None


def _number(value: JsonValue) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    return None


_Handler: TypeAlias = Callable[[ResponsesStreamDecoder, JsonObject, list[ResponseEvent]], None]


def _on_delta(kind: str, text_kind: str, place: str) -> _Handler:
    """A piece of a text of an item of `kind`; `place` is the member that says which of its texts."""
    made = DELTAS[text_kind]

    def handle(decoder: ResponsesStreamDecoder, event: JsonObject, out: list[ResponseEvent]) -> None:
        delta = event.get("delta")
        if type(delta) is not str or not delta:
            return
        # Nearly every event of a stream comes here: the common way to its item and text is short.
        index, part_index = event.get("output_index"), event.get(place)
        slot = decoder._by_index.get(index) if type(index) is int else None
        if slot is None or slot.kind != kind:
            slot = decoder._slot(kind, event, out)
        if not slot.closed:
            part = slot.parts.get((text_kind, part_index)) if type(part_index) is int else None
            if part is None:
                part = slot.part(text_kind, part_index)
            part.pieces.append(delta)
            out.append(made(slot.index, delta, part.ordinal))

    return handle


def _on_whole(kind: str, text_kind: str, member: str, place: str) -> _Handler:
    """A text said whole."""

    def handle(decoder: ResponsesStreamDecoder, event: JsonObject, out: list[ResponseEvent]) -> None:
        text = event.get(member)
        if isinstance(text, str) and text:
            slot = decoder._slot(kind, event, out)
            if not slot.closed:
                slot.settle(text_kind, event.get(place), text, out)

    return handle


def _on_input(kind: str, member: str, *, whole: bool = False) -> _Handler:
    """A piece of a call's input, or all of it."""

    def handle(decoder: ResponsesStreamDecoder, event: JsonObject, out: list[ResponseEvent]) -> None:
        text = event.get(member)
        if not isinstance(text, str) or not text:
            return
        slot = decoder._slot(kind, event, out)
        if slot.closed or (whole and slot.pieces):
            return
        slot.pieces.append(text)
        if slot.index >= 0 and not slot.lowered:
            slot.told = True
            out.append(ToolCallInputDelta(slot.index, json_str(slot.raw.get("call_id")), text))

    return handle


_HANDLERS: dict[str, _Handler] = {
    "response.output_text.delta": _on_delta("message", "text", "content_index"),
    "response.refusal.delta": _on_delta("message", "refusal", "content_index"),
    "response.reasoning_text.delta": _on_delta("reasoning", "reasoning", "content_index"),
    "response.reasoning_summary_text.delta": _on_delta("reasoning", "summary", "summary_index"),
    "response.output_text.done": _on_whole("message", "text", "text", "content_index"),
    "response.refusal.done": _on_whole("message", "refusal", "refusal", "content_index"),
    "response.reasoning_text.done": _on_whole("reasoning", "reasoning", "text", "content_index"),
    "response.reasoning_summary_text.done": _on_whole("reasoning", "summary", "text", "summary_index"),
    "response.function_call_arguments.delta": _on_input("function_call", "delta"),
    "response.function_call_arguments.done": _on_input("function_call", "arguments", whole=True),
    "response.custom_tool_call_input.delta": _on_input("custom_tool_call", "delta"),
    "response.custom_tool_call_input.done": _on_input("custom_tool_call", "input", whole=True),
    "response.output_item.added": ResponsesStreamDecoder._on_item_added,
    "response.output_item.done": ResponsesStreamDecoder._on_item_done,
    "response.reasoning_summary_part.added": ResponsesStreamDecoder._on_summary_part,
    "response.output_text.annotation.added": ResponsesStreamDecoder._on_annotation,
    "response.created": ResponsesStreamDecoder._on_created,
    "response.queued": ResponsesStreamDecoder._on_created,
    "response.in_progress": ResponsesStreamDecoder._on_created,
    "response.completed": ResponsesStreamDecoder._on_end,
    "response.incomplete": ResponsesStreamDecoder._on_end,
    "response.failed": ResponsesStreamDecoder._on_failed,
    "response.cancelled": ResponsesStreamDecoder._on_cancelled,
    "codex.rate_limits": ResponsesStreamDecoder._on_rate_limits,
    "error": ResponsesStreamDecoder._on_error,
}

_AFTER_ERROR: dict[str, _Handler] = dict.fromkeys(
    ("response.completed", "response.incomplete", "response.failed", "response.cancelled"),
    ResponsesStreamDecoder._on_failed,
)
"""What is still heard after an error event."""
