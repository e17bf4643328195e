"""Messages streams: bytes of an answer to events (`MessagesStreamDecoder`; the way back is `MessagesStreamEncoder`).

A stream is a message that starts, blocks that start, grow and stop, a delta with the stop reason and usage,
and a stop. Every block is an item, except that consecutive text blocks are the parts of one message:

    block                  item                              done
    text                   Message, one part a block         when a block of another kind starts, or at the end
    thinking               Reasoning(content, signature)     when it stops
    redacted_thinking      Reasoning(encrypted_content)      when it stops
    tool_use               FunctionCall, or CustomToolCall   when it stops, if its arguments are a JSON object;
                                                             otherwise once it is known whether the answer was cut
    any other              UnknownItem(raw)                  when it stops

Servers bend this: blocks interleave (llama.cpp), stop twice (Kimi) or never, start again after a repeated message_start
(gateways; every block is kept), or lie whole inside message_start (programmatic tool calling). So deltas are routed
by index, a second stop is nothing, and whatever is open when the message stops is finished then. Blocks without any
content (an empty text, a thinking block with neither text nor signature) make no item.

EOF before message_stop is StreamInterrupted, whatever came before it. An answer in which nothing was of this wire is
MalformedStream, or the error it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from ..errors import MalformedStream, ModelError, StreamInterrupted
from ..events import (
    Completed,
    Created,
    FinishReason,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningContentDelta,
    Response,
    ResponseEvent,
    ResponseStatus,
    ToolCallInputDelta,
)
from ..items import (
    CustomToolCall,
    ItemStatus,
    JsonObject,
    JsonValue,
    Message,
    Origin,
    Reasoning,
    ResponseItem,
    UnknownItem,
)
from ..prompt import CustomToolSpec, Prompt
from .api_errors import api_error
from .base import Compat, json_list, json_object, json_str, torn_event
from .messages_blocks import (
    THINKING,
    finish_reason_of,
    is_error_object,
    json_or_text,
    load_json,
)
from .messages_open import KINDS, Block, BlockKind, OpenItem
from .messages_pieces import InputPiece, TextPiece, ThinkingPiece, plain_piece
from .messages_stream_encoder import MessagesStreamEncoder
from .messages_usage import usage_of
from .sse import SseFrame, SseReader

__all__ = ["MessagesStreamDecoder", "MessagesStreamEncoder"]

_MAX_HEAD = 64 * 1024  # of a body that is no stream: enough for any error object

_Events: TypeAlias = list[ResponseEvent]
_TakeEvent: TypeAlias = "Callable[[MessagesStreamDecoder, JsonObject, _Events], None]"
_TakeDelta: TypeAlias = "Callable[[MessagesStreamDecoder, Block, JsonObject, _Events], None]"
_OPENED_BY = {"text_delta": "text", "thinking_delta": "thinking"}  # deltas that say enough to do without a start


class MessagesStreamDecoder:
    """See codecs.base.StreamDecoder. `bad_frames` counts frames that were no JSON object."""

    __slots__ = (
        "_answered_by",
        "_at_end",
        "_blocks",
        "_compat",
        "_created",
        "_custom",
        "_ended",
        "_has_calls",
        "_head",
        "_held",
        "_id",
        "_items",
        "_last",
        "_message",
        "_model",
        "_next",
        "_pending",
        "_plain_origin",
        "_reader",
        "_size",
        "_started",
        "_stop_reason",
        "_stop_sequence",
        "_usage",
        "bad_frames",
        "done",
        "error",
        "finishing",
        "frames",
    )

    def __init__(self, prompt: Prompt, compat: Compat) -> None:
        self.error: ModelError | None = None
        self.done = False
        self.finishing = False
        self.frames = 0
        self.bad_frames = 0
        self._at_end = False  # the body is over: its last event may be cut
        self._reader = SseReader()
        self._compat = compat
        self._model = prompt.model
        self._custom = frozenset(spec.name for spec in prompt.tools if isinstance(spec, CustomToolSpec))
        self._head: list[bytes] | None = []  # the body so far, until a frame of this wire came
        self._size = 0  # of it
        self._id = ""
        self._answered_by = ""
        self._created = False
        self._usage: JsonObject = {}
        self._stop_reason: str | None = None
        self._stop_sequence: str | None = None
        self._blocks: dict[int, Block] = {}  # by the wire's index
        self._last: Block | None = None
        self._message: OpenItem | None = None  # what the next text block joins
        self._pending: dict[OpenItem, None] = {}  # added and not done, in order of appearance
        self._held: list[OpenItem] = []  # calls that stopped without a delta: whole, unless the answer was cut there
        self._items: dict[int, ResponseItem] = {}  # done, by our index
        self._next = 0
        self._started = 0
        self._has_calls = False
        self._plain_origin: Origin | None = None  # of texts: the same for all of an answer
        self._ended: Response | None = None

    def feed(self, data: bytes) -> list[ResponseEvent]:
        out: list[ResponseEvent] = []
        if self._head is not None:
            if self._size < _MAX_HEAD:
                self._head.append(data)
            self._size += len(data)
        frames = self._reader.feed(data)
        self.frames += len(frames)
        for frame in frames:
            if self.done:
                break
            if frame.event != b"content_block_delta" or not self._piece(frame.data, out):
                self._frame(frame, out)
        if self._reader.error is not None and not self.done:
            self._fail(self._reader.error, out)
        return out

    def close(self) -> list[ResponseEvent]:
        out: list[ResponseEvent] = []
        self._at_end = True
        for frame in self._reader.close():
            self.frames += 1
            if not self.done:
                self._frame(frame, out)
        if not self.done:
            self._fail(self._reader.error or self._ending(), out)
        return out

    def snapshot(self) -> Response:
        if self._ended is not None:
            return self._ended
        items = dict(self._items)
        items.update((item.index, item.made("incomplete", self._origin)) for item in self._pending)
        status: ResponseStatus = "incomplete"
        finish: FinishReason = "unknown"
        if self.error is not None:
            status, finish = "failed", "error"
        elif self.done:
            finish = self._finish_reason()
            status = "incomplete" if finish == "length" else "completed"
        return Response(
            id=self._id,
            model=self._answered_by,
            items=tuple(items[index] for index in sorted(items)),
            finish_reason=finish,
            status=status,
            usage=usage_of(self._usage, self._compat),
            native_reason=self._stop_reason,
            stop_sequence=self._stop_sequence,
        )

    def whole(self, message: JsonObject) -> Response:
        """The answer that lies in one message object: what `feed` would make of it inside message_start."""
        self._message_start({"message": message}, [])
        self._message_stop({}, [])
        return self.snapshot()

    # frames

    def _frame(self, frame: SseFrame, out: list[ResponseEvent]) -> None:
        try:
            event = load_json(frame.data)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            self._unreadable(frame, out)
            return
        kind = json_str(event.get("type")) or frame.event.decode("utf-8", "replace")
        handle = _HANDLERS.get(kind)
        if handle is not None:
            self._head = None
            handle(self, event, out)
        elif kind == "error" or event.get("error"):
            text = frame.data.decode("utf-8", "replace")
            self._fail(api_error(event.get("error") or event, in_stream=True, body=text), out)

    def _piece(self, data: bytes, out: list[ResponseEvent]) -> bool:
        """Take the next piece of a block that has begun. False, and nothing was taken, for any other event."""
        piece = plain_piece(data)
        block = None if piece is None else self._blocks.get(piece.index)
        if piece is None or block is None or not block.open:
            return False
        delta, item = piece.delta, block.item
        if type(delta) is TextPiece:
            text, taken = delta.text, block.kind == "text"
            if taken and text:
                if block.part < 0:
                    self._text(block, text, out)
                else:
                    block.pieces.append(text)
                    out.append(OutputTextDelta(item.index, text, block.part))
        elif type(delta) is InputPiece:
            text, taken = delta.partial_json, block.kind == "tool_use" and not item.custom
            if taken and text:
                block.pieces.append(text)
                out.append(ToolCallInputDelta(item.index, item.call_id, text))
        elif type(delta) is ThinkingPiece:
            text, taken = delta.thinking, block.kind == "thinking" and item.index >= 0
            if taken and text:
                block.pieces.append(text)
                out.append(ReasoningContentDelta(item.index, text))
        else:
            taken = False
        return taken

    def _unreadable(self, frame: SseFrame, out: list[ResponseEvent]) -> None:
        if frame.data.strip() == b"[DONE]":  # how OpenRouter ends its Messages streams
            return
        self.bad_frames += 1
        if frame.event == b"error":
            text = frame.data.decode("utf-8", "replace")
            self._fail(api_error(text, in_stream=True, body=text), out)
            return
        over = self._at_end or self._stop_reason is not None
        torn = torn_event(frame.data) if not over else None
        if torn is not None:
            self._fail(torn, out)

    def _fail(self, error: ModelError, out: list[ResponseEvent]) -> None:
        for item in list(self._pending):
            self._finish(item, "incomplete", out)
        self.error = error
        self.done = True
        error.partial = self.snapshot()

    def _ending(self) -> ModelError:
        """What EOF before message_stop means."""
        if self._reader.error_field:
            text = self._reader.error_field.decode("utf-8", "replace")
            return api_error(json_or_text(text), in_stream=True, body=text)
        if self._head is None or not self._size:
            return StreamInterrupted("the stream ended before message_stop")
        text = b"".join(self._head)[:_MAX_HEAD].decode("utf-8", "replace").strip()
        found = json_object(json_or_text(text))
        if found is not None and is_error_object(found):
            return api_error(found, in_stream=True, body=text)
        return MalformedStream(f"no event of a Messages stream in {self._size} bytes ({self.frames} frames)")

    # the message

    def _message_start(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        message = json_object(event.get("message")) or {}
        self._id = self._id or json_str(message.get("id"))
        self._answered_by = self._answered_by or json_str(message.get("model"))
        self._plain_origin = None
        if not self._created and not self._next:  # after an item it is too late to say so
            out.append(Created(self._id, self._answered_by))
        self._created = True
        self._merge_usage(message)
        content = message.get("content")
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else json_list(content):
            if (raw := json_object(block)) is not None:
                self._stop(self._start(raw, out), out)
        self._read_stop(message)

    def _message_delta(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        self._read_stop(json_object(event.get("delta")) or {})
        self._merge_usage(event)

    def _message_stop(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        for item in list(self._pending):
            for block in item.blocks:
                if block.open:
                    block.close()
            self._finish(item, self._last_status(item), out)
        self.done = True
        answer = self._ended = self.snapshot()
        out.append(
            Completed(
                response_id=answer.id,
                model=answer.model,
                finish_reason=answer.finish_reason,
                status=answer.status,
                usage=answer.usage,
                native_reason=answer.native_reason,
                stop_sequence=answer.stop_sequence,
            )
        )

    def _ignore(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        return

    def _last_status(self, item: OpenItem) -> ItemStatus:
        """Of an item that is open when the message stops: only an answer cut for length has cut items."""
        if self._finish_reason() != "length":
            return "completed"
        block = item.blocks[0]
        if block.kind == "tool_use":
            return "completed" if block.is_object else "incomplete"
        return "incomplete" if item.index == self._next - 1 else "completed"

    def _read_stop(self, said: JsonObject) -> None:
        reason, sequence = said.get("stop_reason"), said.get("stop_sequence")
        if reason and isinstance(reason, str):
            self._stop_reason = reason
        if isinstance(sequence, str):
            self._stop_sequence = sequence

    def _merge_usage(self, holder: JsonObject) -> None:
        # The counters are cumulative: a later one replaces an earlier one, unless it says nothing.
        for name, value in (json_object(holder.get("usage")) or {}).items():
            if value is not None:
                self._usage[name] = value

    def _finish_reason(self) -> FinishReason:
        return finish_reason_of(self._stop_reason, has_calls=self._has_calls)

    # blocks

    def _block_start(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        block = self._start(json_object(event.get("content_block")) or {}, out)
        index = event.get("index")
        if isinstance(index, int):
            self._blocks[index] = block

    def _start(self, raw: JsonObject, out: list[ResponseEvent]) -> Block:
        self._started += 1
        for item in self._held:  # the answer went on after them: they were not cut
            self._finish(item, "completed", out)
        self._held = []
        kind: BlockKind = KINDS.get(json_str(raw.get("type")), "other")
        if kind == "text":
            item = self._message_to_join(out)
        else:
            self._seal_message(out)
            item = OpenItem()
        block = Block(kind, dict(raw), item)
        item.blocks.append(block)
        item.open += 1
        self._last = block
        self._open(block, out)
        return block

    def _open(self, block: Block, out: list[ResponseEvent]) -> None:
        """What a block brings with its start; text and thinking make an item only once they have content."""
        raw, item = block.raw, block.item
        match block.kind:
            case "text":
                for note in json_list(raw.get("citations")):
                    self._citation_delta(block, {"citation": note}, out)
                self._text(block, raw.get("text"), out)
            case "thinking":
                self._thinking_delta(block, raw, out)
                self._signature_delta(block, raw, out)
            case "redacted_thinking":
                self._add(item, item.made("in_progress", self._origin), out)
            case "tool_use":
                item.call_id = json_str(raw.get("id")) or f"call_{self._id}_{self._started - 1}"
                self._has_calls = True
                item.custom = json_str(raw.get("name")) in self._custom
                call = item.made("in_progress", self._origin)
                self._add(item, call.model_copy(update={"input" if item.custom else "arguments": ""}), out)
            case "other":
                self._add(item, UnknownItem(raw=raw, origin=self._origin(item_id=json_str(raw.get("id")))), out)

    def _message_to_join(self, out: list[ResponseEvent]) -> OpenItem:
        """The message of the text before, unless a block of it is still open: then their deltas would mix."""
        message = self._message
        if message is None or message.open:
            self._seal_message(out)
            message = self._message = OpenItem()
        return message

    def _seal_message(self, out: list[ResponseEvent]) -> None:
        message, self._message = self._message, None
        if message is not None:
            message.sealed = True
            if not message.open:
                self._finish(message, "completed", out)

    def _block_stop(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        index = event.get("index")
        block = self._blocks.get(index) if isinstance(index, int) else self._last
        if block is not None:
            self._stop(block, out)

    def _stop(self, block: Block, out: list[ResponseEvent]) -> None:
        if not block.open:  # Kimi's endpoint stops blocks twice (kimi-cli#305)
            return
        item = block.item
        block.close()
        match block.kind:
            case "text":
                if item.sealed and not item.open:
                    self._finish(item, "completed", out)
            case "tool_use" if not block.pieces:
                self._held.append(item)
            case "tool_use" if not block.is_object:
                pass  # whether it is cut or the model's own mistake is known when the message stops
            case _:
                self._finish(item, "completed", out)

    # deltas

    def _block_delta(self, event: JsonObject, out: list[ResponseEvent]) -> None:
        delta = event.get("delta")
        if not isinstance(delta, dict):
            return
        index = event.get("index")
        block = self._blocks.get(index) if isinstance(index, int) else self._last
        kind = delta.get("type")
        if kind == "text_delta" and block is not None and block.open and block.kind == "text":
            self._text(block, delta.get("text"), out)
            return
        kind = json_str(kind)
        if block is None or (not block.open and block.takes_no_more):
            opened = _OPENED_BY.get(kind)
            if opened is None:
                return
            self._block_start({"index": index, "content_block": {"type": opened}}, out)
            block = self._last
        if block is None:
            return
        if block.kind == "other":
            block.grow(delta)
            return
        take = _DELTAS.get(kind)
        if take is not None:
            take(self, block, delta, out)

    def _text_delta(self, block: Block, delta: JsonObject, out: list[ResponseEvent]) -> None:
        if block.kind == "text":
            self._text(block, delta.get("text"), out)

    def _text(self, block: Block, text: JsonValue, out: list[ResponseEvent]) -> None:
        if not text or not isinstance(text, str):
            return
        item = block.item
        if block.part < 0:
            block.part = item.parts
            item.parts += 1
            if item.index < 0:
                self._add(item, Message(role="assistant", status="in_progress", origin=self._origin()), out)
        block.pieces.append(text)
        out.append(OutputTextDelta(item.index, text, block.part))

    def _thinking_delta(self, block: Block, delta: JsonObject, out: list[ResponseEvent]) -> None:
        text = json_str(delta.get("thinking"))
        if text and block.kind == "thinking":
            self._add_thinking(block, out)
            block.pieces.append(text)
            out.append(ReasoningContentDelta(block.item.index, text))

    def _signature_delta(self, block: Block, delta: JsonObject, out: list[ResponseEvent]) -> None:
        signature = json_str(delta.get("signature"))
        if signature and block.kind == "thinking":
            self._add_thinking(block, out)
            block.signature = signature  # whole each time, as the official SDK takes it

    def _citation_delta(self, block: Block, delta: JsonObject, out: list[ResponseEvent]) -> None:
        note = json_object(delta.get("citation"))
        if note is not None and block.kind == "text":
            block.notes.append(note)

    def _add_thinking(self, block: Block, out: list[ResponseEvent]) -> None:
        if block.item.index < 0:
            self._add(block.item, Reasoning(status="in_progress", origin=self._origin(field=THINKING)), out)

    def _input_delta(self, block: Block, delta: JsonObject, out: list[ResponseEvent]) -> None:
        piece = json_str(delta.get("partial_json"))
        if not piece:
            return
        if block.kind == "tool_use":
            block.pieces.append(piece)
            if not block.item.custom:
                out.append(ToolCallInputDelta(block.item.index, block.item.call_id, piece))

    # items

    def _add(self, item: OpenItem, empty: ResponseItem, out: list[ResponseEvent]) -> None:
        item.index = self._next
        self._next += 1
        self._pending[item] = None
        out.append(OutputItemAdded(item.index, empty))

    def _finish(self, item: OpenItem, status: ItemStatus, out: list[ResponseEvent]) -> None:
        if item.done:
            return
        item.done = True
        if item.index < 0:  # a block without content
            return
        del self._pending[item]
        made = self._items[item.index] = item.made(status, self._origin)
        if isinstance(made, CustomToolCall) and made.input:
            out.append(ToolCallInputDelta(item.index, made.call_id, made.input))
        out.append(OutputItemDone(item.index, made))

    def _origin(self, *, field: str = "", item_id: str = "") -> Origin:
        plain = not (field or item_id)
        if plain and self._plain_origin is not None:
            return self._plain_origin
        made = Origin(
            wire="messages",
            provider=self._compat.provider,
            model=self._model,
            field=field,
            item_id=item_id,
            response_id=self._id,
        )
        if plain:
            self._plain_origin = made
        return made


_HANDLERS: Mapping[str, _TakeEvent] = {
    "content_block_delta": MessagesStreamDecoder._block_delta,  # where only `event:` names it
    "content_block_start": MessagesStreamDecoder._block_start,
    "content_block_stop": MessagesStreamDecoder._block_stop,
    "message_start": MessagesStreamDecoder._message_start,
    "message_delta": MessagesStreamDecoder._message_delta,
    "message_stop": MessagesStreamDecoder._message_stop,
    "ping": MessagesStreamDecoder._ignore,
}
_DELTAS: Mapping[str, _TakeDelta] = {
    "text_delta": MessagesStreamDecoder._text_delta,
    "thinking_delta": MessagesStreamDecoder._thinking_delta,
    "input_json_delta": MessagesStreamDecoder._input_delta,
    "signature_delta": MessagesStreamDecoder._signature_delta,
    "citations_delta": MessagesStreamDecoder._citation_delta,
}
