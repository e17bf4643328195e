"""What the floors are made of, written by hand: the least code that still does the work of these streams.

Yardsticks, not a library: no redirects, proxies or retries, and of HTTP/1.1 and SSE only what these streams use.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from api import Counts, counted


class Splitter:
    """Bytes of a body → the `data:` payloads that are complete: LF only, one data line for each event."""

    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        parts = (self.rest + data if self.rest else data).split(b"\n\n")
        self.rest = parts.pop()
        payloads = []
        for part in parts:
            if part.startswith(b"data: "):
                payloads.append(part[6:])
            elif (at := part.find(b"\ndata: ")) >= 0:
                payloads.append(part[at + 7 :])
        return payloads


class _ChatFn(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _ChatTool(msgspec.Struct, gc=False):
    index: int
    id: str | None = None
    function: _ChatFn | None = None


class _ChatDelta(msgspec.Struct, gc=False):
    content: str | None = None
    tool_calls: list[_ChatTool] | None = None
    reasoning_content: str | None = None


class _ChatChoice(msgspec.Struct, gc=False):
    delta: _ChatDelta
    finish_reason: str | None = None
    index: int = 0


class ChatChunk(msgspec.Struct, gc=False):
    choices: list[_ChatChoice]
    usage: dict[str, Any] | None = None


class RCreated(msgspec.Struct, tag="response.created", gc=False):
    response: msgspec.Raw


class RInProgress(msgspec.Struct, tag="response.in_progress", gc=False):
    pass


class RItemAdded(msgspec.Struct, tag="response.output_item.added", gc=False):
    output_index: int
    item: dict[str, Any]


class RItemDone(msgspec.Struct, tag="response.output_item.done", gc=False):
    output_index: int
    item: msgspec.Raw


class RPartAdded(msgspec.Struct, tag="response.content_part.added", gc=False):
    pass


class RPartDone(msgspec.Struct, tag="response.content_part.done", gc=False):
    pass


class RTextDelta(msgspec.Struct, tag="response.output_text.delta", gc=False):
    delta: str
    item_id: str
    output_index: int
    content_index: int


class RTextDone(msgspec.Struct, tag="response.output_text.done", gc=False):
    pass


class RArgsDelta(msgspec.Struct, tag="response.function_call_arguments.delta", gc=False):
    delta: str
    item_id: str
    output_index: int


class RArgsDone(msgspec.Struct, tag="response.function_call_arguments.done", gc=False):
    arguments: str
    item_id: str
    output_index: int


class RCompleted(msgspec.Struct, tag="response.completed", gc=False):
    response: msgspec.Raw


ResponsesEvent = (
    RTextDelta
    | RArgsDelta
    | RCreated
    | RInProgress
    | RItemAdded
    | RItemDone
    | RPartAdded
    | RPartDone
    | RTextDone
    | RArgsDone
    | RCompleted
)


class TextDelta(msgspec.Struct, tag="text_delta", gc=False):
    text: str


class JsonDelta(msgspec.Struct, tag="input_json_delta", gc=False):
    partial_json: str


class MStart(msgspec.Struct, tag="message_start", gc=False):
    message: dict[str, Any]


class MBlockStart(msgspec.Struct, tag="content_block_start", gc=False):
    index: int
    content_block: dict[str, Any]


class MBlockDelta(msgspec.Struct, tag="content_block_delta", gc=False):
    index: int
    delta: TextDelta | JsonDelta


class MBlockStop(msgspec.Struct, tag="content_block_stop", gc=False):
    index: int


class MDelta(msgspec.Struct, tag="message_delta", gc=False):
    delta: dict[str, Any]
    usage: dict[str, Any]


class MStop(msgspec.Struct, tag="message_stop", gc=False):
    pass


class MPing(msgspec.Struct, tag="ping", gc=False):
    pass


MessagesEvent = MBlockDelta | MStart | MBlockStart | MBlockStop | MDelta | MStop | MPing

TYPED = {
    "chat": msgspec.json.Decoder(ChatChunk),
    "responses": msgspec.json.Decoder(ResponsesEvent),
    "messages": msgspec.json.Decoder(MessagesEvent),
}


class Sink:
    """Takes `data:` payloads and keeps what a runtime keeps: pieces of text, and (id, name, fragments) of calls."""

    __slots__ = ("calls", "feed", "text", "usage")

    def __init__(self, wire: str) -> None:
        self.text: list[str] = []
        self.calls: list[tuple[str, str, list[str]]] = []
        self.usage: Any = None
        self.feed: Callable[[Sequence[bytes]], None] = getattr(self, wire)

    def result(self) -> Counts:
        return counted(self.text, [piece for _, _, pieces in self.calls for piece in pieces])

    def chat(self, payloads: Sequence[bytes], decode=TYPED["chat"].decode) -> None:
        text, calls = self.text, self.calls
        for payload in payloads:
            if payload == b"[DONE]":
                continue
            chunk = decode(payload)
            if not chunk.choices:
                self.usage = chunk.usage
            for choice in chunk.choices:
                delta = choice.delta
                if delta.content:
                    text.append(delta.content)
                elif delta.tool_calls:
                    for call in delta.tool_calls:
                        if call.id:
                            calls.append((call.id, call.function.name, []))
                        if call.function.arguments:
                            calls[call.index][2].append(call.function.arguments)

    def responses(self, payloads: Sequence[bytes], decode=TYPED["responses"].decode) -> None:
        text, calls = self.text, self.calls
        for payload in payloads:
            event = decode(payload)
            kind = type(event)
            if kind is RTextDelta:
                text.append(event.delta)
            elif kind is RArgsDelta:
                calls[-1][2].append(event.delta)
            elif kind is RItemAdded and event.item["type"] == "function_call":
                calls.append((event.item["call_id"], event.item["name"], []))
            elif kind is RCompleted:
                self.usage = event.response

    def messages(self, payloads: Sequence[bytes], decode=TYPED["messages"].decode) -> None:
        text, calls = self.text, self.calls
        for payload in payloads:
            event = decode(payload)
            kind = type(event)
            if kind is MBlockDelta:
                delta = event.delta
                if type(delta) is TextDelta:
                    text.append(delta.text)
                elif delta.partial_json:
                    calls[-1][2].append(delta.partial_json)
            elif kind is MBlockStart and event.content_block["type"] == "tool_use":
                calls.append((event.content_block["id"], event.content_block["name"], []))
            elif kind is MDelta:
                self.usage = event.usage


class Body:
    """A chunked body: bytes → the pieces of it they hold. `done` after the last chunk."""

    __slots__ = ("done", "left", "rest")

    def __init__(self) -> None:
        self.rest = b""
        self.left = 0  # bytes missing of the chunk that has begun, with its line end
        self.done = False

    def feed(self, data: bytes) -> list[bytes]:
        pieces: list[bytes] = []
        if self.rest:
            data, self.rest = self.rest + data, b""
        place, size = 0, len(data)
        if left := self.left:
            if left > 2:
                pieces.append(data[: left - 2])
            if size < left:
                self.left = left - size
                return pieces
            place = left
        self.left = 0
        while place < size:
            line = data.find(b"\r\n", place)
            if line < 0:
                self.rest = data[place:]
                break
            start = line + 2
            end = start + int(data[place:line], 16)
            if end == start:  # the last one
                self.done = end + 2 <= size
                self.rest = b"" if self.done else data[place:]
                break
            if end + 2 > size:
                if start < size:
                    pieces.append(data[start : min(end, size)])
                self.left = end + 2 - size
                break
            pieces.append(data[start:end])
            place = end + 2
        return pieces


class Pieces:
    """The body of one answer: an async iterator of the lists of pieces that came with one read."""

    __slots__ = ("came", "ended", "loop", "waiter")

    def __init__(self) -> None:
        self.came: deque[list[bytes]] = deque()
        self.ended = False
        self.loop = asyncio.get_running_loop()
        self.waiter: asyncio.Future[None] | None = None

    def push(self, pieces: list[bytes]) -> None:
        self.came.append(pieces)
        self.wake()

    def end(self) -> None:
        self.ended = True
        self.wake()

    def wake(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> list[bytes]:
        if not self.came:
            if not self.ended:
                self.waiter = self.loop.create_future()
                await self.waiter
            if not self.came:
                raise StopAsyncIteration
        return self.came.popleft()


class Connection(asyncio.Protocol):
    """One that is kept: it goes back to `free` when an answer is whole."""

    def __init__(self, free: list[Connection]) -> None:
        self.free = free
        self.transport: Any = None
        self.head = b""
        self.body: Body | None = None
        self.pieces: Pieces | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def post(self, request: bytes) -> Pieces:
        self.head, self.body, self.pieces = b"", None, Pieces()
        self.transport.write(request)
        return self.pieces

    def data_received(self, data: bytes) -> None:
        assert self.pieces is not None
        body = self.body
        if body is None:
            self.head += data
            head, end, data = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            assert head[9:12] == b"200", head
            body = self.body = Body()
        if pieces := body.feed(data):
            self.pieces.push(pieces)
        if body.done:
            self.free.append(self)
            self.pieces.end()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.pieces is not None:
            self.pieces.end()


class Client:
    """Connections to one server."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.free: list[Connection] = []
        self.tls = tls

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Pieces:
        address, _, path = url.partition("://")[2].partition("/")
        sent = {"host": address, **headers, "accept": "text/event-stream", "content-length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        request = f"POST /{path} HTTP/1.1\r\n{lines}\r\n".encode() + body
        while self.free:
            connection = self.free.pop()
            if not connection.transport.is_closing():
                return connection.post(request)
        host, _, port = address.partition(":")
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self.free), host, int(port), ssl=self.tls)
        return connection.post(request)


def dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
