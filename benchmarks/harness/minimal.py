"""Hand-written pieces the floors are made of: the least code that still does the work.

They are yardsticks, not a library: no redirects, no proxies, no retries, only the parts of
HTTP/1.1 and SSE that these APIs use. `SpecSplitter` is the exception: it is a complete SSE
parser with a fast path, to show what correctness costs.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from typing import Any, Union

import msgspec

# --------------------------------------------------------------------------- SSE


def split_events(buf: bytes) -> tuple[list[bytes], bytes]:
    """Complete `data:` payloads in buf, and the rest. LF only, one data line per event."""
    parts = buf.split(b"\n\n")
    rest = parts.pop()
    out = []
    for p in parts:
        if p.startswith(b"data: "):
            out.append(p[6:])
        else:
            i = p.find(b"\ndata: ")
            if i >= 0:
                out.append(p[i + 7 :])
    return out, rest


class Splitter:
    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        if self.rest:
            data = self.rest + data
        out, self.rest = split_events(data)
        return out


_DATA = re.compile(rb"^data: (.*)$", re.M)


class RegexSplitter:
    """One C call per chunk: every data line up to the last blank line."""

    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        if self.rest:
            data = self.rest + data
        end = data.rfind(b"\n\n")
        if end < 0:
            self.rest = data
            return []
        self.rest = data[end + 2 :]
        return _DATA.findall(data, 0, end)


class SpecSplitter:
    """Complete: CR, LF, CRLF, comments, several data lines, event, id, retry, BOM. Fast path when
    a chunk is LF-only and an event is one data line with at most an event line before it."""

    __slots__ = ("bom", "last_id", "rest")

    def __init__(self) -> None:
        self.rest = b""
        self.bom = True
        self.last_id = ""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        if self.rest:
            data = self.rest + data
        if self.bom:
            if len(data) < 3 and b"\xef\xbb\xbf".startswith(data):
                self.rest = data
                return []
            self.bom = False
            if data.startswith(b"\xef\xbb\xbf"):
                data = data[3:]
        if b"\r" in data:
            hold = data.endswith(b"\r")
            if hold:
                data = data[:-1]
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            parts = data.split(b"\n\n")
            self.rest = parts.pop() + (b"\r" if hold else b"")
        else:
            parts = data.split(b"\n\n")
            self.rest = parts.pop()
        out = []
        for p in parts:
            if p.startswith(b"data: ") and b"\n" not in p:
                out.append(("message", p[6:]))
                continue
            if p.startswith(b"event: "):
                i = p.find(b"\n")
                if p.startswith(b"data: ", i + 1) and p.find(b"\n", i + 1) < 0:
                    out.append((p[7:i].decode(), p[i + 7 :]))
                    continue
            ev = self.slow(p)
            if ev is not None:
                out.append(ev)
        return out

    def slow(self, block: bytes):
        data: list[bytes] = []
        event = ""
        for line in block.split(b"\n"):
            if not line or line[0] == 58:
                continue
            name, _, value = line.partition(b":")
            if value[:1] == b" ":
                value = value[1:]
            if name == b"data":
                data.append(value)
            elif name == b"event":
                event = value.decode()
            elif name == b"id" and b"\0" not in value:
                self.last_id = value.decode()
        if not data:
            return None
        return event or "message", b"\n".join(data)


# --------------------------------------------------------------------------- typed events (msgspec)


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


ResponsesEvent = Union[
    RTextDelta,
    RArgsDelta,
    RCreated,
    RInProgress,
    RItemAdded,
    RItemDone,
    RPartAdded,
    RPartDone,
    RTextDone,
    RArgsDone,
    RCompleted,
]


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


MessagesEvent = Union[MBlockDelta, MStart, MBlockStart, MBlockStop, MDelta, MStop, MPing]

TYPED = {
    "chat": msgspec.json.Decoder(ChatChunk),
    "responses": msgspec.json.Decoder(ResponsesEvent),
    "messages": msgspec.json.Decoder(MessagesEvent),
}


# --------------------------------------------------------------------------- sinks: payloads -> text


class Sink:
    """Takes lists of `data:` payloads, keeps text and argument pieces, counts them."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.args: list[str] = []
        self.calls: list[tuple[str, str]] = []
        self.final: Any = None

    def result(self) -> dict:
        return {
            "deltas": len(self.text),
            "chars": len("".join(self.text)),
            "arg_frags": len(self.args),
            "arg_chars": len("".join(self.args)),
        }


def dict_feed(wire: str, loads):
    """feed(sink, payloads) over a decoder that gives plain dicts."""

    def chat(s: Sink, datas) -> None:
        text, args = s.text, s.args
        for d in datas:
            if d == b"[DONE]" or d == "[DONE]":
                continue
            ch = loads(d)["choices"]
            if ch:
                delta = ch[0]["delta"]
                c = delta.get("content")
                if c:
                    text.append(c)
                elif "tool_calls" in delta:
                    for tc in delta["tool_calls"]:
                        a = tc["function"].get("arguments")
                        if a:
                            args.append(a)
                        if "id" in tc:
                            s.calls.append((tc["id"], tc["function"]["name"]))

    def responses(s: Sink, datas) -> None:
        text, args = s.text, s.args
        for d in datas:
            o = loads(d)
            t = o["type"]
            if t == "response.output_text.delta":
                text.append(o["delta"])
            elif t == "response.function_call_arguments.delta":
                args.append(o["delta"])
            elif t == "response.completed":
                s.final = o["response"]

    def messages(s: Sink, datas) -> None:
        text, args = s.text, s.args
        for d in datas:
            o = loads(d)
            t = o["type"]
            if t == "content_block_delta":
                dl = o["delta"]
                if dl["type"] == "text_delta":
                    text.append(dl["text"])
                elif dl["type"] == "input_json_delta":
                    if dl["partial_json"]:
                        args.append(dl["partial_json"])

    return {"chat": chat, "responses": responses, "messages": messages}[wire]


def typed_feed(wire: str):
    dec = TYPED[wire].decode

    def chat(s: Sink, datas) -> None:
        text, args = s.text, s.args
        for d in datas:
            if d == b"[DONE]":
                continue
            for ch in dec(d).choices:
                dl = ch.delta
                if dl.content:
                    text.append(dl.content)
                elif dl.tool_calls:
                    for tc in dl.tool_calls:
                        if tc.function.arguments:
                            args.append(tc.function.arguments)
                        if tc.id:
                            s.calls.append((tc.id, tc.function.name))

    def responses(s: Sink, datas) -> None:
        text, args = s.text, s.args
        for d in datas:
            o = dec(d)
            t = type(o)
            if t is RTextDelta:
                text.append(o.delta)
            elif t is RArgsDelta:
                args.append(o.delta)
            elif t is RCompleted:
                s.final = o.response
            elif t is RItemDone:
                s.calls.append(o.item)

    def messages(s: Sink, datas) -> None:
        text, args = s.text, s.args
        for d in datas:
            o = dec(d)
            if type(o) is MBlockDelta:
                dl = o.delta
                if type(dl) is TextDelta:
                    text.append(dl.text)
                elif dl.partial_json:
                    args.append(dl.partial_json)
            elif type(o) is MBlockStart:
                s.calls.append(o.content_block)

    return {"chat": chat, "responses": responses, "messages": messages}[wire]


def template_feed(wire: str):
    """The event is recognised by its bytes and the delta cut out of it; JSON only for the rest.

    Sound only with a guard: the key must be where the wire puts it and the string must hold no
    backslash; anything else goes through the typed decoder."""
    slow = typed_feed(wire)
    key = {
        "chat": b'"delta":{"content":"',
        "responses": b'"delta":"',
        "messages": b'{"type":"text_delta","text":"',
    }[wire]
    head = {
        "chat": b'{"id":"',
        "responses": b'{"type":"response.output_text.delta",',
        "messages": b'{"type":"content_block_delta",',
    }[wire]
    klen = len(key)

    def feed(s: Sink, datas) -> None:
        text = s.text
        for d in datas:
            if d.startswith(head):
                i = d.find(key)
                if i > 0:
                    i += klen
                    j = d.find(b'"', i)
                    piece = d[i:j]
                    if piece and b"\\" not in piece:
                        text.append(piece.decode())
                        continue
            slow(s, (d,))

    return feed


# --------------------------------------------------------------------------- HTTP/1.1


class ChunkedError(Exception):
    pass


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
    scheme, _, rest = url.partition("://")
    hostport, _, path = rest.partition("/")
    host, _, port = hostport.partition(":")
    h = "".join(f"{k}: {v}\r\n" for k, v in hdrs.items())
    head = f"POST /{path} HTTP/1.1\r\nhost: {hostport}\r\n{h}accept: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n"
    return host, int(port), head.encode() + body


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

    async def callback(self, url: str, body: bytes, hdrs: dict[str, str], on_piece) -> None:
        """Pieces are handled inside data_received; only the end wakes the task."""
        host, port, req = request_bytes(url, body, hdrs)
        p = await self.acquire(host, port)
        fut = asyncio.get_running_loop().create_future()

        def done():
            self.free.append(p)
            if not fut.done():
                fut.set_result(None)

        p.start(req, on_piece, done)
        await fut

    def close(self) -> None:
        for p in self.free:
            p.transport.close()


dumps = lambda o: json.dumps(o, separators=(",", ":"), ensure_ascii=False).encode()
