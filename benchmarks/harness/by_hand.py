"""What the floors are made of, written by hand: the least code that still does the work of these streams.

Yardsticks, not a library: no redirects, proxies or retries, and of HTTP/1.1 and SSE only what these streams use.
"""

from __future__ import annotations

import asyncio
import json
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
    usage: dict | None = None


class RCreated(msgspec.Struct, tag="response.created", gc=False):
    response: msgspec.Raw


class RInProgress(msgspec.Struct, tag="response.in_progress", gc=False):
    pass


class RItemAdded(msgspec.Struct, tag="response.output_item.added", gc=False):
    output_index: int
    item: dict


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
    message: dict


class MBlockStart(msgspec.Struct, tag="content_block_start", gc=False):
    index: int
    content_block: dict


class MBlockDelta(msgspec.Struct, tag="content_block_delta", gc=False):
    index: int
    delta: TextDelta | JsonDelta


class MBlockStop(msgspec.Struct, tag="content_block_stop", gc=False):
    index: int


class MDelta(msgspec.Struct, tag="message_delta", gc=False):
    delta: dict
    usage: dict


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
    """Incremental chunked-body reader: feed(bytes) -> list of body pieces; .done when complete."""

    __slots__ = ("done", "left", "rest")

    def __init__(self) -> None:
        self.rest = b""
        self.left = 0  # bytes missing of the current chunk, with its CRLF
        self.done = False

    def feed(self, data: bytes) -> list[bytes]:
        out: list[bytes] = []
        if self.rest:
            data = self.rest + data
            self.rest = b""
        pos = 0
        n = len(data)
        find = data.find
        left = self.left
        if left:
            if n < left:
                if left > 2:
                    out.append(data[: left - 2] if n > left - 2 else data)
                    # keep the accounting of a CRLF that is cut in two
                self.left = left - n
                return out
            if left > 2:
                out.append(data[: left - 2])
            pos = left
            left = 0
        while pos < n:
            eol = find(b"\r\n", pos)
            if eol < 0:
                self.rest = data[pos:]
                break
            size = int(data[pos:eol], 16)
            start = eol + 2
            end = start + size
            if size == 0:
                if n < end + 2:
                    self.rest = data[pos:]
                    break
                self.done = True
                break
            if end + 2 <= n:
                out.append(data[start:end])
                pos = end + 2
                continue
            if end <= n:
                out.append(data[start:end])
                left = end + 2 - n
            else:
                if start < n:
                    out.append(data[start:])
                left = end + 2 - n
            break
        self.left = left
        return out


def request_bytes(url: str, body: bytes, hdrs: dict[str, str]) -> tuple[str, int, bytes]:
    address, _, path = url.partition("://")[2].partition("/")
    host, _, port = address.partition(":")
    sent = {"host": address, **hdrs, "accept": "text/event-stream", "content-length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    return host, int(port), f"POST /{path} HTTP/1.1\r\n{lines}\r\n".encode() + body


class MiniProtocol(asyncio.Protocol):
    """One keep-alive connection; body pieces go to a callback in data_received."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.head = b""
        self.body: Body | None = None
        self.on_piece: Any = None  # called with list[bytes] of body pieces
        self.on_done: Any = None
        self.status = 0

    def connection_made(self, transport) -> None:
        self.transport = transport

    def start(self, req: bytes, on_piece, on_done) -> None:
        self.head = b""
        self.body = None
        self.on_piece = on_piece
        self.on_done = on_done
        self.transport.write(req)

    def data_received(self, data: bytes) -> None:
        body = self.body
        if body is None:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            data = self.head[end + 4 :]
            self.status = int(self.head[9:12])
            body = self.body = Body()
            if not data:
                return
        pieces = body.feed(data)
        if pieces:
            self.on_piece(pieces)
        if body.done:
            self.on_done()

    def connection_lost(self, exc) -> None:
        if self.on_done and (self.body is None or not self.body.done):
            self.on_done()


class MiniStream:
    """async iterator over body pieces (lists of bytes) of one response of a MiniProtocol."""

    __slots__ = ("ended", "loop", "q", "waiter")

    def __init__(self, loop) -> None:
        self.q: deque = deque()
        self.waiter = None
        self.ended = False
        self.loop = loop

    def push(self, pieces) -> None:
        self.q.append(pieces)
        w = self.waiter
        if w is not None:
            self.waiter = None
            if not w.done():
                w.set_result(None)

    def end(self) -> None:
        self.ended = True
        w = self.waiter
        if w is not None:
            self.waiter = None
            if not w.done():
                w.set_result(None)

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.q:
            if self.ended:
                raise StopAsyncIteration
            self.waiter = self.loop.create_future()
            await self.waiter
            if not self.q:
                raise StopAsyncIteration
        return self.q.popleft()


class MiniClient:
    """Pool of MiniProtocol connections to one origin."""

    def __init__(self, ssl_context=None) -> None:
        self.free: list[MiniProtocol] = []
        self.ssl = ssl_context

    async def acquire(self, host: str, port: int) -> MiniProtocol:
        while self.free:
            p = self.free.pop()
            if not p.transport.is_closing():
                return p
        loop = asyncio.get_running_loop()
        _, p = await loop.create_connection(MiniProtocol, host, port, ssl=self.ssl)
        return p

    async def post(self, url: str, body: bytes, hdrs: dict[str, str]) -> MiniStream:
        host, port, req = request_bytes(url, body, hdrs)
        p = await self.acquire(host, port)
        st = MiniStream(asyncio.get_running_loop())

        def done():
            self.free.append(p)
            st.end()

        p.start(req, st.push, done)
        return st


def dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
