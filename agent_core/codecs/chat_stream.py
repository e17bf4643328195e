"""Chat Completions streams, read: bytes in, events out. (Written they are in `chat_encoder`.)

    state       left by                           then
    reading     a finish_reason                   finishing: read on, usage may still come
                [DONE]                            completed
                an error, in any of its places    failed, after whatever else its chunk held
                EOF                               completed where the profile says no finish_reason ever comes and an
                                                  answer did; else failed: StreamInterrupted, or MalformedStream if
                                                  nothing was ever a chunk of this wire
    finishing   [DONE], EOF                       completed
                an error                          failed

An `error:` field of the event stream (llama.cpp) turns the end into a failure, whatever end it is. A body that is one
JSON object instead of a stream is read as what it is: an error, or a whole answer of a server that ignored `stream`.
"""

from __future__ import annotations

import json

from pydantic_core import from_json

from ..errors import MalformedStream, ModelError, StreamInterrupted
from ..events import Response, ResponseEvent
from ..items import JsonObject, JsonValue
from ..prompt import Prompt
from .api_errors import api_error
from .base import Compat, json_bytes, json_int, json_list, json_object, torn_event
from .chat_answer import ChatAnswer, Events
from .chat_encoder import ChatStreamEncoder
from .chat_pieces import plain_delta
from .sse import SseFrame, SseReader

__all__ = ["ChatStreamDecoder", "ChatStreamEncoder", "error_in", "read_object"]

MAX_HEAD_BYTES = 8 * 1024 * 1024
"""How much of a body is kept until its first frame, in case it is no event stream but one JSON object."""

_SSE_FIELDS = (b"data", b"event", b"id", b"retry", b":")


_MISFITS = 8
"""Chunks in a row that were no plain ones, after which none is expected any more: some servers always say more."""

_PLAIN_MEMBERS = frozenset(
    ("id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "obfuscation")
)
"""In none of them is an error: nearly every chunk has no others."""


class ChatStreamDecoder:
    """A `StreamDecoder` of the Chat wire. `bad_frames` counts frames that were skipped: no JSON, or no chunk."""

    __slots__ = (
        "_answer",
        "_at_end",
        "_chunks",
        "_finish_may_be_missing",
        "_foreign",
        "_halves",
        "_head",
        "_head_bytes",
        "_reader",
        "_tries",
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
        self._answer = ChatAnswer(prompt, compat)
        self._finish_may_be_missing = compat.finish_may_be_missing
        self._reader = SseReader()
        self._head: list[bytes] | None = []
        self._head_bytes = 0
        self._at_end = False  # the body is over: its last event may be cut
        self._chunks = 0  # frames that were chunks of this wire
        self._foreign = 0  # frames that were JSON objects, but neither chunk nor error
        self._tries = 0  # the first chunk is never plain, nor is what follows a finish_reason
        self._halves: dict[str, str] = {}  # halves of characters, by the member of the delta they wait in

    def feed(self, data: bytes) -> list[ResponseEvent]:
        out: Events = []
        frames = self._reader.feed(data)
        if self._head is not None:
            self._keep_head(data, framed=bool(frames))
        self._take(frames, out)
        if self._reader.error is not None and not self.done:
            if self.finishing:
                self._complete(out)  # what is too large is not the answer, which was whole
            else:
                self._fail(self._reader.error, out)
        return out

    def close(self) -> list[ResponseEvent]:
        out: Events = []
        bad = self.bad_frames
        self._at_end = True
        self._take(self._reader.close(), out)
        if self.done:
            return out
        if self._reader.error_field:
            self._fail_stated(self._reader.error_field, out)
        elif self._answer.native is not None or (self._finish_may_be_missing and self._answer.answered):
            self._complete(out)
        elif self._chunks:
            self._fail(StreamInterrupted("the stream ended without a finish_reason and without [DONE]"), out)
        else:
            self._close_unread(self.bad_frames > bad, out)
        return out

    def snapshot(self) -> Response:
        return self._answer.response()

    def _keep_head(self, data: bytes, *, framed: bool) -> None:
        self._head_bytes += len(data)
        if self._head is None or framed or self._head_bytes > MAX_HEAD_BYTES:
            self._head = None
        else:
            self._head.append(data)

    def _take(self, frames: list[SseFrame], out: Events) -> None:
        self.frames += len(frames)
        for frame in frames:
            if self.done:
                return
            if self._tries and not frame.event and self._plain(frame.data, out):
                self._chunks += 1
            else:
                self._frame(frame, out)

    def _plain(self, data: bytes, out: Events) -> bool:
        """Take a chunk that is a plain piece; False for any other."""
        delta = plain_delta(data)
        if delta is not None and self._answer.piece(delta, out):
            self._tries = _MISFITS
            return True
        self._tries -= 1
        return False

    def _frame(self, frame: SseFrame, out: Events) -> None:
        event, data = frame.event, frame.data
        if data == b"[DONE]":
            self._end(out)
            return
        chunk: JsonValue
        try:
            chunk = from_json(data)
        except ValueError:
            if data.strip().startswith((b"[DONE]", b"DONE")):  # text may follow it (providers.md 3c)
                self._end(out)
                return
            chunk = self._mended(data)
        if not isinstance(chunk, dict):
            self._no_object(event, data, out)
            return
        error = self._answer.chunk(chunk, out)
        plain = chunk.keys() <= _PLAIN_MEMBERS and chunk.get("object") == "chat.completion.chunk"
        error = (None if plain else error_in(chunk)) or error or (chunk if event == b"error" else None)
        if error is not None:
            self._fail_stated(data, out, error)
        elif "choices" in chunk or chunk.get("object") == "chat.completion.chunk":
            self.finishing = self._answer.native is not None
            if self.finishing or not self._chunks:
                self._tries = 0 if self.finishing else _MISFITS
            self._chunks += 1
        else:
            self.bad_frames += 1
            self._foreign += 1

    def _no_object(self, event: bytes, data: bytes, out: Events) -> None:
        """Skipped, unless it is an error, or was a chunk before something cut it."""
        if event == b"error" and not self.done:
            self._fail_stated(data, out)
            return
        self.bad_frames += 1
        torn = torn_event(data) if not self.finishing and not self._at_end else None
        if torn is not None:
            self._fail(torn, out)

    def _mended(self, data: bytes) -> JsonObject | None:
        """JSON with halves of characters in it: servers that cut text by UTF-16 units escape them as lone surrogates.

        A half at the end of a delta's text waits for its other half in the next delta; any other becomes U+FFFD.
        """
        chunk = _loads(data)
        for entry in json_list((chunk or {}).get("choices")):
            delta = json_object((json_object(entry) or {}).get("delta")) or {}
            for name in delta:
                self._join_halves(delta, name, name)
            for element in json_list(delta.get("tool_calls")):
                call = json_object(element) or {}
                function = json_object(call.get("function")) or {}
                self._join_halves(function, "arguments", f"arguments of call {call.get('index')}")
        return _without_surrogates(chunk)

    def _join_halves(self, members: JsonObject, name: str, place: str) -> None:
        text = members.get(name)
        if isinstance(text, str) and text:
            text = self._halves.pop(place, "") + text
            if "\ud800" <= text[-1] <= "\udbff":
                self._halves[place], text = text[-1], text[:-1]
            members[name] = text

    def _end(self, out: Events) -> None:
        """[DONE] came. It ends an answer even if no finish_reason did (X-S1-17)."""
        if self._reader.error_field:
            self._fail_stated(self._reader.error_field, out)
        elif self._foreign and not self._chunks:
            self._fail(_malformed("its events are not chunks of the Chat wire"), out)
        else:
            self._complete(out)

    def _close_unread(self, cut_event: bool, out: Events) -> None:
        """EOF, and nothing was a chunk. Was it a stream? `cut_event`: EOF came inside an event, so that is no JSON."""
        head = b"".join(self._head or ()).strip()
        body = read_object(head)
        if body is not None and "choices" in body and error_in(body) is None:
            error = self._answer.chunk(body, out)
            self._complete(out) if error is None else self._fail_stated(head, out, error)
        elif body is not None:
            self._fail_stated(head, out)
        elif self._foreign:
            self._fail(_malformed("its events are not chunks of the Chat wire"), out)
        elif self.bad_frames > cut_event:
            self._fail(_malformed("none of its events is JSON"), out)
        elif head and not cut_event and not head.startswith(_SSE_FIELDS):
            self._fail(_malformed(f"it begins with {head[:40]!r}"), out)
        else:
            self._fail(StreamInterrupted("the stream ended before its first event"), out)

    def _complete(self, out: Events) -> None:
        self._answer.complete(out)
        self.done = self.finishing = True

    def _fail_stated(self, data: bytes, out: Events, error: JsonValue = None) -> None:
        """The peer said no: `data` is what it wrote, `error` the part of it that says so (default: all of it)."""
        text = data.decode("utf-8", "replace").strip()
        self._fail(api_error(error or read_object(data) or text, body=text, in_stream=True), out)

    def _fail(self, error: ModelError, out: Events) -> None:
        self._answer.cut(out)
        error.partial = self._answer.response()
        self.error = error
        self.done = True


def error_in(chunk: JsonObject) -> JsonObject | None:
    """`chunk`, if it is or holds an error, in one of the ways servers of this wire say it; null and empty are none."""
    if chunk.get("error") or chunk.get("object") == "error":
        return chunk
    if "choices" not in chunk and "detail" in chunk:  # FastAPI servers
        return chunk
    if (base := json_object(chunk.get("base_resp"))) and json_int(base.get("status_code")):
        return chunk  # MiniMax, with HTTP 200 (providers.md 3c)
    groq = json_object(chunk.get("x_groq"))
    return groq if groq and groq.get("error") else None


def _malformed(why: str) -> MalformedStream:
    return MalformedStream(f"the answer is not a Chat Completions stream: {why}")


def read_object(data: bytes) -> JsonObject | None:
    """The JSON object in `data`, also one with lone surrogates, which the fast parser refuses; None if it is none."""
    return _without_surrogates(_loads(data))


def _loads(data: bytes) -> JsonObject | None:
    try:
        return json_object(json.loads(data))
    except (ValueError, RecursionError):
        return None


def _without_surrogates(found: JsonObject | None) -> JsonObject | None:
    """Through the writer, which mends them, and the fast parser, which bounds the depth."""
    try:
        return None if found is None else json_object(from_json(json_bytes(found)))
    except (ValueError, RecursionError):
        return None
