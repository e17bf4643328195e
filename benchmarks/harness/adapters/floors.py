"""Floors and limits: named stacks with hand-written glue, from httpx2 down to a blocking socket."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl as ssl_mod

import jiter
import minimal as M
import msgspec
import orjson
import payloads as P
import pydantic_core
from api import Ctx, case, headers

A = "a_bulk,a_paced,a_coal,a_tool,a_req,h_long"

LOADS = {
    "json": json.loads,
    "jiter": jiter.from_json,
    "orjson": orjson.loads,
    "pydantic_core": pydantic_core.from_json,
    "msgspec": msgspec.json.Decoder().decode,
}


def feeder(wire: str, decoder: str):
    if decoder == "typed":
        return M.typed_feed(wire)
    if decoder == "template":
        return M.template_feed(wire)
    return M.dict_feed(wire, LOADS[decoder])


def _ssl(ctx: Ctx):
    return ssl_mod.create_default_context(cafile=ctx.cert) if ctx.params.get("tls") else None


# --------------------------------------------------------------------------- httpx2 raw + decoders


def _httpx2_raw(decoder: str, splitter=M.Splitter):
    def make(ctx: Ctx):
        import httpx2

        client = httpx2.AsyncClient(verify=_ssl(ctx) or True, timeout=600)
        url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
        feed = feeder(ctx.wire, decoder)

        async def once():
            s = M.Sink()
            sp = splitter()
            async with client.stream("POST", url, content=body, headers=hdrs) as r:
                async for chunk in r.aiter_raw():
                    feed(s, sp.feed(chunk))
            return s.result()

        return once

    return make


case(A + ",a_tls", "httpx2 raw+typed", kind="floor")(_httpx2_raw("typed"))
for _d in ("json", "jiter", "orjson", "pydantic_core", "msgspec"):
    case("a_bulk,a_paced", f"httpx2 raw+{_d}", kind="floor")(_httpx2_raw(_d))


@case("a_bulk,a_paced,a_tls", "httpx2 raw, no decode", kind="limit")
def _(ctx: Ctx):
    import httpx2

    client = httpx2.AsyncClient(verify=_ssl(ctx) or True, timeout=600)
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)

    async def once():
        n = 0
        async with client.stream("POST", url, content=body, headers=hdrs) as r:
            async for chunk in r.aiter_raw():
                n += len(chunk)
        return {}

    return once


def _httpx2_es(loads):
    def make(ctx: Ctx):
        import httpx2

        client = httpx2.AsyncClient(timeout=600)
        url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
        feed = M.dict_feed(ctx.wire, loads)

        async def once():
            s = M.Sink()
            async with client.stream("POST", url, content=body, headers=hdrs) as r:
                async for ev in httpx2.EventSource(r):
                    feed(s, (ev.data,))
            return s.result()

        return once

    return make


case(A, "httpx2 EventSource+json", kind="floor")(_httpx2_es(json.loads))
case("a_bulk,a_paced", "httpx2 EventSource+orjson", kind="floor")(_httpx2_es(orjson.loads))


@case("a_bulk,a_paced", "httpx2 aiter_lines+json", kind="floor")
def _(ctx: Ctx):
    import httpx2

    client = httpx2.AsyncClient(timeout=600)
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.dict_feed(ctx.wire, json.loads)

    async def once():
        s = M.Sink()
        async with client.stream("POST", url, content=body, headers=hdrs) as r:
            async for line in r.aiter_lines():
                if line.startswith("data: "):
                    feed(s, (line[6:],))
        return s.result()

    return once


def _httpx2_fast(coalesce: bool):
    async def make(ctx: Ctx):
        import fastback
        import httpx2

        client = httpx2.AsyncClient(transport=fastback.transport(coalesce, _ssl(ctx)), timeout=600)
        url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
        feed = M.typed_feed(ctx.wire)

        async def once():
            s = M.Sink()
            sp = M.Splitter()
            async with client.stream("POST", url, content=body, headers=hdrs) as r:
                async for chunk in r.aiter_raw():
                    feed(s, sp.feed(chunk))
            return s.result()

        return once

    return make


case("a_bulk,a_paced,a_req", "httpx2 over own asyncio backend+typed", kind="floor")(_httpx2_fast(False))
case("a_bulk,a_paced,a_req,a_tls", "httpx2 over own backend, chunks coalesced+typed", kind="floor")(_httpx2_fast(True))


@case("a_bulk,a_paced,a_req", "httpx2 API over bare transport+typed", kind="floor")
async def _(ctx: Ctx):
    import fastback
    import httpx2

    client = httpx2.AsyncClient(transport=fastback.BareTransport(), timeout=600)
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def once():
        s = M.Sink()
        sp = M.Splitter()
        async with client.stream("POST", url, content=body, headers=hdrs) as r:
            async for chunk in r.aiter_raw():
                feed(s, sp.feed(chunk))
        return s.result()

    return once


@case("a_bulk,a_paced,a_req", "httpcore2 raw+typed", kind="floor")
def _(ctx: Ctx):
    import httpcore2

    pool = httpcore2.AsyncConnectionPool()
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    hl = [(k.encode(), v.encode()) for k, v in hdrs.items()]
    hl += [(b"host", url.split("/")[2].encode()), (b"content-length", str(len(body)).encode())]
    feed = M.typed_feed(ctx.wire)

    async def once():
        s = M.Sink()
        sp = M.Splitter()
        async with pool.stream("POST", url, headers=hl, content=body) as r:
            async for chunk in r.aiter_stream():
                feed(s, sp.feed(chunk))
        return s.result()

    return once


# --------------------------------------------------------------------------- httpx (+ httpx-sse, + aiohttp)


@case("a_bulk,a_paced", "httpx raw+typed", kind="floor")
def _(ctx: Ctx):
    import httpx

    client = httpx.AsyncClient(timeout=600)
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def once():
        s = M.Sink()
        sp = M.Splitter()
        async with client.stream("POST", url, content=body, headers=hdrs) as r:
            async for chunk in r.aiter_raw():
                feed(s, sp.feed(chunk))
        return s.result()

    return once


@case("a_bulk,a_paced", "httpx+httpx-sse+json", kind="floor")
def _(ctx: Ctx):
    import httpx
    from httpx_sse import aconnect_sse

    client = httpx.AsyncClient(timeout=600)
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.dict_feed(ctx.wire, json.loads)

    async def once():
        s = M.Sink()
        async with aconnect_sse(client, "POST", url, content=body, headers=hdrs) as es:
            async for ev in es.aiter_sse():
                feed(s, (ev.data,))
        return s.result()

    return once


@case("a_bulk,a_paced", "httpx-aiohttp raw+typed", kind="floor")
async def _(ctx: Ctx):
    import httpx
    from httpx_aiohttp import AiohttpTransport

    client = httpx.AsyncClient(transport=AiohttpTransport(), timeout=600)
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def once():
        s = M.Sink()
        sp = M.Splitter()
        async with client.stream("POST", url, content=body, headers=hdrs) as r:
            async for chunk in r.aiter_raw():
                feed(s, sp.feed(chunk))
        return s.result()

    return once


# --------------------------------------------------------------------------- aiohttp, niquests, pyreqwest


@case(A + ",a_tls", "aiohttp raw+typed", kind="floor")
async def _(ctx: Ctx):
    import aiohttp

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=_ssl(ctx) or True), timeout=aiohttp.ClientTimeout(total=None)
    )
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def once():
        s = M.Sink()
        sp = M.Splitter()
        async with session.post(url, data=body, headers=hdrs) as r:
            async for chunk in r.content.iter_any():
                feed(s, sp.feed(chunk))
        return s.result()

    return once


@case("a_bulk,a_paced", "niquests raw+typed", kind="floor")
async def _(ctx: Ctx):
    import niquests

    session = niquests.AsyncSession()
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def once():
        s = M.Sink()
        sp = M.Splitter()
        r = await session.post(url, data=body, headers=hdrs, stream=True)
        async for chunk in await r.iter_raw(-1) if hasattr(r, "iter_raw") else r.raw.stream():
            feed(s, sp.feed(chunk))
        await r.close()
        return s.result()

    return once


@case("a_bulk,a_paced", "pyreqwest raw+typed", kind="floor")
async def _(ctx: Ctx):
    from pyreqwest.client import ClientBuilder

    client = ClientBuilder().build()
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def once():
        s = M.Sink()
        sp = M.Splitter()
        req = client.post(url).headers(hdrs).body_bytes(body).build_streamed()
        async with req as r:
            reader = r.body_reader
            while (chunk := await reader.read_chunk()) is not None:
                feed(s, sp.feed(bytes(chunk)))
        return s.result()

    return once


# --------------------------------------------------------------------------- bare asyncio


def _bare(decoder: str, splitter=M.Splitter, loop: str = ""):
    async def make(ctx: Ctx):
        client = M.MiniClient(_ssl(ctx))
        url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
        feed = feeder(ctx.wire, decoder)

        async def once():
            s = M.Sink()
            sp = splitter()
            async for pieces in await client.post(url, body, hdrs):
                feed(s, sp.feed(pieces[0] if len(pieces) == 1 else b"".join(pieces)))
            return s.result()

        return once

    return make


case(A + ",a_tls", "asyncio Protocol+typed", kind="floor")(_bare("typed"))
case("a_bulk,a_paced", "asyncio Protocol+json", kind="floor")(_bare("json"))
case("a_bulk,a_paced", "asyncio Protocol+jiter", kind="floor")(_bare("jiter"))
case("a_bulk,a_paced,a_coal", "asyncio Protocol+template", kind="floor")(_bare("template"))
case("a_bulk,a_paced,a_tls", "uvloop Protocol+typed", kind="floor", loop="uvloop")(_bare("typed"))
case("a_bulk,a_paced,a_tls", "uvloop httpx2 raw+typed", kind="floor", loop="uvloop")(_httpx2_raw("typed"))


@case("a_bulk,a_paced,a_req", "asyncio Protocol+typed, per-event async for", kind="floor")
async def _(ctx: Ctx):
    """What a usable API adds: one `async for` step per event, an object for each."""
    client = M.MiniClient(_ssl(ctx))
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    dec = M.TYPED[ctx.wire].decode
    feed = M.typed_feed(ctx.wire)

    async def events():
        sp = M.Splitter()
        async for pieces in await client.post(url, body, hdrs):
            for d in sp.feed(pieces[0] if len(pieces) == 1 else b"".join(pieces)):
                if d != b"[DONE]":
                    yield dec(d)

    async def once():
        n = c = 0
        text = []
        if ctx.wire == "chat":
            async for ev in events():
                for ch in ev.choices:
                    if ch.delta.content:
                        text.append(ch.delta.content)
        elif ctx.wire == "responses":
            async for ev in events():
                if type(ev) is M.RTextDelta:
                    text.append(ev.delta)
        else:
            async for ev in events():
                if type(ev) is M.MBlockDelta:
                    text.append(ev.delta.text)
        return {"deltas": len(text), "chars": len("".join(text))}

    return once


@case(A + ",a_tls", "asyncio Protocol callback+typed", kind="limit")
async def _(ctx: Ctx):
    client = M.MiniClient(_ssl(ctx))
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def once():
        s = M.Sink()
        sp = M.Splitter()

        def on(pieces):
            feed(s, sp.feed(pieces[0] if len(pieces) == 1 else b"".join(pieces)))

        await client.callback(url, body, hdrs, on)
        return s.result()

    return once


@case("a_bulk,a_paced,a_coal,h_long", "asyncio Protocol callback+template", kind="limit")
async def _(ctx: Ctx):
    client = M.MiniClient(_ssl(ctx))
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.template_feed(ctx.wire)

    async def once():
        s = M.Sink()
        sp = M.Splitter()

        def on(pieces):
            feed(s, sp.feed(pieces[0] if len(pieces) == 1 else b"".join(pieces)))

        await client.callback(url, body, hdrs, on)
        return s.result()

    return once


@case("a_bulk,a_paced,a_tls", "asyncio Protocol callback, no decode", kind="limit")
async def _(ctx: Ctx):
    client = M.MiniClient(_ssl(ctx))
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)

    async def once():
        n = [0]

        def on(pieces):
            n[0] += len(pieces)

        await client.callback(url, body, hdrs, on)
        return {}

    return once


@case("a_bulk,a_paced", "asyncio StreamReader+typed", kind="floor")
async def _(ctx: Ctx):
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    host, port, req = M.request_bytes(url, body, hdrs)
    feed = M.typed_feed(ctx.wire)
    conn: list = []

    async def once():
        if not conn:
            conn.extend(await asyncio.open_connection(host, port, limit=1 << 20))
        r, w = conn
        w.write(req)
        await r.readuntil(b"\r\n\r\n")
        b = M.Body()
        s = M.Sink()
        sp = M.Splitter()
        while not b.done:
            pieces = b.feed(await r.read(1 << 18))
            if pieces:
                feed(s, sp.feed(b"".join(pieces)))
        return s.result()

    return once


@case("a_bulk,a_paced", "httptools+Protocol+typed", kind="floor")
async def _(ctx: Ctx):
    """asyncio Protocol with llhttp (C) instead of the hand-written chunked reader."""
    import httptools

    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    host, port, req = M.request_bytes(url, body, hdrs)
    feed = M.typed_feed(ctx.wire)

    class Proto(asyncio.Protocol):
        def connection_made(self, t):
            self.t = t

        def data_received(self, data):
            self.parser.feed_data(data)
            st = self.st
            if self.pieces:
                st.push(self.pieces)
                self.pieces = []
            if self.complete:
                st.end()

        def on_body(self, b):
            self.pieces.append(b)

        def on_message_complete(self):
            self.complete = True

    conn: list = []

    async def once():
        loop = asyncio.get_running_loop()
        if not conn:
            conn.append((await loop.create_connection(Proto, host, port))[1])
        p = conn[0]
        p.parser = httptools.HttpResponseParser(p)
        p.pieces = []
        p.complete = False
        p.st = M.MiniStream(loop)
        p.t.write(req)
        s = M.Sink()
        sp = M.Splitter()
        async for pieces in p.st:
            feed(s, sp.feed(pieces[0] if len(pieces) == 1 else b"".join(pieces)))
        return s.result()

    return once


# --------------------------------------------------------------------------- trio


def _trio_case(which: str):
    def make(ctx: Ctx):
        import trio

        url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
        host, port, req = M.request_bytes(url, body, hdrs)
        feed = M.typed_feed(ctx.wire)

        async def bare(s):
            sp = M.Splitter()
            sock = trio.socket.socket()
            await sock.connect((host, port))
            await sock.send(req)
            head = b""
            while b"\r\n\r\n" not in head:
                head += await sock.recv(65536)
            b = M.Body()
            data = head.split(b"\r\n\r\n", 1)[1]
            while True:
                pieces = b.feed(data)
                if pieces:
                    feed(s, sp.feed(b"".join(pieces)))
                if b.done:
                    break
                data = await sock.recv(262144)
            sock.close()

        async def hx(s):
            import httpx2

            sp = M.Splitter()
            async with httpx2.AsyncClient(timeout=600, verify=ssl_ctx) as client:
                async with client.stream("POST", url, content=body, headers=hdrs) as r:
                    async for chunk in r.aiter_raw():
                        feed(s, sp.feed(chunk))

        ssl_ctx = ssl_mod.create_default_context()

        def once():
            s = M.Sink()
            trio.run(bare if which == "bare" else hx, s)
            return s.result()

        return once

    return make


case("a_bulk,a_paced", "trio socket+typed", kind="floor")(_trio_case("bare"))
case("a_bulk,a_paced", "trio httpx2 raw+typed", kind="floor")(_trio_case("httpx2"))


@case("a_bulk,a_paced", "anyio(asyncio)+typed", kind="floor")
async def _(ctx: Ctx):
    """anyio streams + hand-written HTTP: what trio+asyncio support costs without httpx2/h11."""
    import anyio

    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    host, port, req = M.request_bytes(url, body, hdrs)
    feed = M.typed_feed(ctx.wire)
    conn: list = []

    async def once():
        if not conn:
            conn.append(await anyio.connect_tcp(host, port))
        st = conn[0]
        await st.send(req)
        head = b""
        while b"\r\n\r\n" not in head:
            head += await st.receive(65536)
        b = M.Body()
        s = M.Sink()
        sp = M.Splitter()
        data = head.split(b"\r\n\r\n", 1)[1]
        while True:
            pieces = b.feed(data)
            if pieces:
                feed(s, sp.feed(b"".join(pieces)))
            if b.done:
                break
            data = await st.receive(262144)
        return s.result()

    return once


# --------------------------------------------------------------------------- blocking sockets


def _blocking(decoder: str | None):
    def make(ctx: Ctx):
        url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
        host, port, req = M.request_bytes(url, body, hdrs)
        feed = feeder(ctx.wire, decoder) if decoder else None
        conn: list = []

        def once():
            if not conn:
                s0 = socket.create_connection((host, port))
                s0.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                tls = _ssl(ctx)
                conn.append(tls.wrap_socket(s0, server_hostname="127.0.0.1") if tls else s0)
            sock = conn[0]
            recv = sock.recv
            sock.sendall(req)
            head = b""
            while b"\r\n\r\n" not in head:
                head += recv(262144)
            b = M.Body()
            s = M.Sink()
            sp = M.Splitter()
            data = head.split(b"\r\n\r\n", 1)[1]
            if feed is None:
                tail = data
                while not tail.endswith(b"\r\n0\r\n\r\n"):
                    tail = (tail[-8:] if len(data) < 8 else b"") + data
                    if tail.endswith(b"\r\n0\r\n\r\n"):
                        break
                    data = recv(262144)
                    tail = (tail[-8:] + data) if len(data) < 8 else data
                return {}
            while True:
                pieces = b.feed(data)
                if pieces:
                    feed(s, sp.feed(pieces[0] if len(pieces) == 1 else b"".join(pieces)))
                if b.done:
                    return s.result()
                data = recv(262144)

        return once

    return make


case("a_bulk,a_paced,a_tls,h_long", "blocking socket+typed", kind="limit")(_blocking("typed"))
case("a_bulk,a_paced", "blocking socket, no decode", kind="limit")(_blocking(None))


# --------------------------------------------------------------------------- decode only, from memory


def _mem(decoder: str, splitter=M.Splitter):
    def make(ctx: Ctx):
        chunks = ctx.chunks()
        feed = feeder(ctx.wire, decoder)

        def once():
            s = M.Sink()
            sp = splitter()
            split = sp.feed
            for c in chunks:
                feed(s, split(c))
            return s.result()

        return once

    return make


for _d in ("json", "jiter", "orjson", "pydantic_core", "msgspec", "typed", "template"):
    case("a_mem", f"split+{_d}", kind="limit" if _d == "template" else "floor")(_mem(_d))


def _mem_dc(loads_name: str):
    def make(ctx: Ctx):
        """dict decoder + one frozen slots dataclass per event: events a library could show"""
        from dataclasses import dataclass

        @dataclass(slots=True)
        class TextDelta:
            text: str
            index: int

        chunks = ctx.chunks()
        loads = LOADS[loads_name]
        wire = ctx.wire

        def events(datas):
            out = []
            for d in datas:
                if d == b"[DONE]":
                    continue
                o = loads(d)
                if wire == "chat":
                    ch = o["choices"]
                    if ch:
                        c = ch[0]["delta"].get("content")
                        if c:
                            out.append(TextDelta(c, 0))
                elif wire == "responses":
                    if o["type"] == "response.output_text.delta":
                        out.append(TextDelta(o["delta"], o["output_index"]))
                elif o["type"] == "content_block_delta":
                    out.append(TextDelta(o["delta"]["text"], o["index"]))
            return out

        def once():
            text = []
            split = M.Splitter().feed
            for c in chunks:
                for ev in events(split(c)):
                    text.append(ev.text)
            return {"deltas": len(text), "chars": len("".join(text))}

        return once

    return make


for _d in ("json", "jiter", "orjson"):
    case("a_mem", f"split+{_d}+slots dataclass per event", kind="floor")(_mem_dc(_d))


@case("a_mem", "spec split+typed", kind="floor")
def _(ctx: Ctx):
    chunks = ctx.chunks()
    feed = M.typed_feed(ctx.wire)

    def once():
        s = M.Sink()
        split = M.SpecSplitter().feed
        for c in chunks:
            feed(s, [d for _, d in split(c)])
        return s.result()

    return once


@case("a_mem", "split+decode_lines (batched)", wires=("responses", "messages"), kind="limit")
def _(ctx: Ctx):
    """All payloads of a chunk joined by newlines and decoded in one C call."""
    chunks = ctx.chunks()
    dec = M.TYPED[ctx.wire].decode_lines

    def once():
        text = []
        split = M.Splitter().feed
        for c in chunks:
            for o in dec(b"\n".join(split(c))):
                if type(o) is M.RTextDelta:
                    text.append(o.delta)
                elif type(o) is M.MBlockDelta:
                    text.append(o.delta.text)
        return {"deltas": len(text), "chars": len("".join(text))}

    return once


@case("a_mem", "httpx2 _SSEParser+json", kind="floor")
def _(ctx: Ctx):
    from httpx2._sse import _SSEParser

    chunks = [c for c in ctx.chunks()]
    feed = M.dict_feed(ctx.wire, json.loads)
    import codecs

    def once():
        s = M.Sink()
        p = _SSEParser(None)
        dec = codecs.getincrementaldecoder("utf-8")().decode
        for c in chunks:
            feed(s, [e.data for e in p.decode(dec(c))])
        return s.result()

    return once


@case("a_mem", "split+pydantic TypeAdapter (union of models)", wires=("responses", "messages"), kind="floor")
def _(ctx: Ctx):
    """A union of small pydantic models, discriminated by type, validated from bytes."""
    from typing import Annotated, Any, Literal

    import pydantic

    class Base(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="ignore")

    if ctx.wire == "responses":

        class D(Base):
            type: Literal["response.output_text.delta"]
            delta: str
            item_id: str
            output_index: int
            content_index: int

        class C(Base):
            type: Literal["response.completed"]
            response: Any

        class O(Base):
            type: Literal[
                "response.created",
                "response.in_progress",
                "response.output_item.added",
                "response.output_item.done",
                "response.content_part.added",
                "response.content_part.done",
                "response.output_text.done",
            ]

        ta = pydantic.TypeAdapter(Annotated[D | C | O, pydantic.Field(discriminator="type")])
        get = lambda o: o.delta
    else:

        class TD(Base):
            type: Literal["text_delta"]
            text: str

        class D(Base):  # type: ignore[no-redef]
            type: Literal["content_block_delta"]
            index: int
            delta: TD

        class O(Base):  # type: ignore[no-redef]
            type: Literal[
                "message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop", "ping"
            ]

        ta = pydantic.TypeAdapter(Annotated[D | O, pydantic.Field(discriminator="type")])
        get = lambda o: o.delta.text
    chunks = ctx.chunks()
    val = ta.validate_json

    def once():
        text = []
        split = M.Splitter().feed
        for c in chunks:
            for d in split(c):
                o = val(d)
                if type(o) is D:
                    text.append(get(o))
        return {"deltas": len(text), "chars": len("".join(text))}

    return once


# --------------------------------------------------------------------------- b. SSE parsing only


def _b(ctx: Ctx, fn):
    chunks = ctx.chunks()
    want = len(ctx.events())

    total = sum(map(len, chunks))

    def once():
        n, size = fn(chunks)
        assert 0 < size <= total
        return {"events": n, "_want_events": want, "bytes": total}

    return once


@case("b_sse", "minimal bytes split", kind="floor")
def _(ctx: Ctx):
    def fn(chunks):
        n = size = 0
        feed = M.Splitter().feed
        for c in chunks:
            for d in feed(c):
                n += 1
                size += len(d)
        return n, size

    return _b(ctx, fn)


@case("b_sse", "regex findall per chunk", kind="limit")
def _(ctx: Ctx):
    def fn(chunks):
        n = size = 0
        feed = M.RegexSplitter().feed
        for c in chunks:
            for d in feed(c):
                n += 1
                size += len(d)
        return n, size

    return _b(ctx, fn)


@case("b_sse", "bytes.split only", kind="limit")
def _(ctx: Ctx):
    """memory scan: one bytes.split of each chunk, no payload cut out"""

    def fn(chunks):
        n = size = 0
        for c in chunks:
            p = c.split(b"\n\n")
            n += len(p) - 1
            size += len(c)
        return n, size

    return _b(ctx, fn)


@case("b_sse", "spec-complete bytes split", kind="floor")
def _(ctx: Ctx):
    def fn(chunks):
        n = size = 0
        feed = M.SpecSplitter().feed
        for c in chunks:
            for _, d in feed(c):
                n += 1
                size += len(d)
        return n, size

    return _b(ctx, fn)


@case("b_sse", "httpx-sse", kind="peer")
def _(ctx: Ctx):
    from httpx_sse._decoders import SSEDecoder

    try:
        from httpx_sse._decoders import SSELineDecoder as LineDecoder
    except ImportError:
        from httpx._decoders import LineDecoder
    import codecs

    def fn(chunks):
        n = size = 0
        dec = SSEDecoder()
        lines = LineDecoder()
        u = codecs.getincrementaldecoder("utf-8")().decode
        for c in chunks:
            for line in lines.decode(u(c)):
                ev = dec.decode(line.rstrip("\n"))
                if ev is not None:
                    n += 1
                    size += len(ev.data)
        return n, size

    return _b(ctx, fn)


@case("b_sse", "httpx2 EventSource parser", kind="peer")
def _(ctx: Ctx):
    import codecs

    from httpx2._sse import _SSEParser

    def fn(chunks):
        n = size = 0
        p = _SSEParser(None)
        u = codecs.getincrementaldecoder("utf-8")().decode
        for c in chunks:
            for ev in p.decode(u(c)):
                n += 1
                size += len(ev.data)
        return n, size

    return _b(ctx, fn)


@case("b_sse", "openai SSEDecoder", kind="peer")
def _(ctx: Ctx):
    from openai._streaming import SSEDecoder

    def fn(chunks):
        n = size = 0
        for ev in SSEDecoder().iter_bytes(iter(chunks)):
            n += 1
            size += len(ev.data)
        return n, size

    return _b(ctx, fn)


@case("b_sse", "anthropic SSEDecoder", kind="peer")
def _(ctx: Ctx):
    from anthropic._streaming import SSEDecoder

    def fn(chunks):
        n = size = 0
        for ev in SSEDecoder().iter_bytes(iter(chunks)):
            n += 1
            size += len(ev.data)
        return n, size

    return _b(ctx, fn)


# --------------------------------------------------------------------------- c. request building


def _dict_body(ctx: Ctx) -> dict:
    n = ctx.params["n"]
    h = P.HISTORY[ctx.wire](n)
    b = ctx.body(stream=True, tools=True)
    if ctx.wire == "responses":
        b["input"] = h
        b["instructions"] = P.SYSTEM
    else:
        b["messages"] = h
        if ctx.wire == "messages":
            b["system"] = P.SYSTEM
    return b


def _c_floor(name: str, enc, kind="floor"):
    @case("c_build", name, kind=kind)
    def _(ctx: Ctx):
        body = _dict_body(ctx)

        def once():
            return {"bytes": len(enc(body)), "_size": True}

        return once


_c_floor("json.dumps(dicts)", lambda o: json.dumps(o, ensure_ascii=False, separators=(",", ":")).encode())
_c_floor("json.dumps(dicts, ascii)", lambda o: json.dumps(o).encode())
_c_floor("orjson.dumps(dicts)", orjson.dumps)
_c_floor("msgspec encode(dicts)", msgspec.json.Encoder().encode)
_c_floor("pydantic_core.to_json(dicts)", pydantic_core.to_json)


def neutral_items(n: int):
    """A neutral typed history (msgspec Structs), the form an agent runtime would hold."""
    return [_NEUTRAL[it[0]](*it[1:]) for it in P.history(n)]


class User(msgspec.Struct, gc=False):
    text: str


class Assistant(msgspec.Struct, gc=False):
    text: str


class Call(msgspec.Struct, gc=False):
    id: str
    name: str
    arguments: str


class Output(msgspec.Struct, gc=False):
    id: str
    text: str


_NEUTRAL = {"user": User, "assistant": Assistant, "call": Call, "output": Output}


def map_items(wire: str, items) -> list[dict]:
    """neutral typed items -> wire dicts, hand-written"""
    out: list[dict] = []
    if wire == "chat":
        out.append({"role": "system", "content": P.SYSTEM})
        for it in items:
            t = type(it)
            if t is User:
                out.append({"role": "user", "content": it.text})
            elif t is Assistant:
                out.append({"role": "assistant", "content": it.text})
            elif t is Call:
                c = {"id": it.id, "type": "function", "function": {"name": it.name, "arguments": it.arguments}}
                if out[-1]["role"] == "assistant" and "tool_calls" not in out[-1]:
                    out[-1]["tool_calls"] = [c]
                else:
                    out.append({"role": "assistant", "content": None, "tool_calls": [c]})
            else:
                out.append({"role": "tool", "tool_call_id": it.id, "content": it.text})
    elif wire == "responses":
        for it in items:
            t = type(it)
            if t is User:
                out.append({"type": "message", "role": "user", "content": [{"type": "input_text", "text": it.text}]})
            elif t is Assistant:
                out.append(
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": it.text}]}
                )
            elif t is Call:
                out.append({"type": "function_call", "call_id": it.id, "name": it.name, "arguments": it.arguments})
            else:
                out.append({"type": "function_call_output", "call_id": it.id, "output": it.text})
    else:
        for it in items:
            t = type(it)
            if t is User:
                role, block = "user", {"type": "text", "text": it.text}
            elif t is Assistant:
                role, block = "assistant", {"type": "text", "text": it.text}
            elif t is Call:
                role, block = (
                    "assistant",
                    {"type": "tool_use", "id": it.id, "name": it.name, "input": msgspec.Raw(it.arguments.encode())},
                )
            else:
                role, block = "user", {"type": "tool_result", "tool_use_id": it.id, "content": it.text}
            if out and out[-1]["role"] == role:
                out[-1]["content"].append(block)
            else:
                out.append({"role": role, "content": [block]})
    return out


@case("c_build", "map typed items + msgspec", kind="floor")
def _(ctx: Ctx):
    items = neutral_items(ctx.params["n"])
    base = ctx.body(stream=True, tools=True)
    key = "input" if ctx.wire == "responses" else "messages"
    if ctx.wire == "responses":
        base["instructions"] = P.SYSTEM
    elif ctx.wire == "messages":
        base["system"] = P.SYSTEM
    enc = msgspec.json.Encoder().encode
    wire = ctx.wire

    def once():
        b = dict(base)
        b[key] = map_items(wire, items)
        return {"bytes": len(enc(b)), "_size": True}

    return once


@case("c_build", "map typed items + json.dumps", wires=("chat", "responses"), kind="floor")
def _(ctx: Ctx):
    items = neutral_items(ctx.params["n"])
    base = ctx.body(stream=True, tools=True)
    key = "input" if ctx.wire == "responses" else "messages"
    if ctx.wire == "responses":
        base["instructions"] = P.SYSTEM
    wire = ctx.wire

    def once():
        b = dict(base)
        b[key] = map_items(wire, items)
        return {"bytes": len(json.dumps(b, ensure_ascii=False, separators=(",", ":")).encode()), "_size": True}

    return once


def _encoded_items(ctx: Ctx) -> list[bytes]:
    """Items (messages) of the body, each already JSON bytes."""
    return [msgspec.json.encode(x) for x in P.HISTORY[ctx.wire](ctx.params["n"])]


def envelope(ctx: Ctx) -> tuple[bytes, bytes]:
    base = ctx.body(stream=True, tools=True)
    key = "input" if ctx.wire == "responses" else "messages"
    base.pop(key, None)
    if ctx.wire == "responses":
        base["instructions"] = P.SYSTEM
    elif ctx.wire == "messages":
        base["system"] = P.SYSTEM
    head = msgspec.json.encode(base)[:-1] + b',"' + key.encode() + b'":['
    return head, b"]}"


@case("c_build", "join pre-encoded items", kind="limit")
def _(ctx: Ctx):
    """Items kept as JSON bytes, each with its comma; one join makes the body."""
    parts = _encoded_items(ctx)
    head, tail = envelope(ctx)
    parts = [parts[0], *[b"," + p for p in parts[1:]]]

    def once():
        return {"bytes": len(b"".join((head, *parts, tail))), "_size": True}

    return once


@case("c_build", "append one item to a kept body", kind="limit")
def _(ctx: Ctx):
    """The body of the last turn is kept as a bytearray; a turn appends two encoded items and the
    whole is copied once to bytes (what a transport needs)."""
    parts = _encoded_items(ctx)
    head, tail = envelope(ctx)
    kept = bytearray(head + b",".join(parts[:-2] or parts))
    last = parts[-2:]
    size = len(kept)

    def once():
        for p in last:
            kept.extend(b",")
            kept.extend(p)
        kept.extend(tail)
        out = bytes(kept)
        del kept[size:]
        return {"bytes": len(out)}

    return once


@case("c_build", "memcpy of the body", kind="limit")
def _(ctx: Ctx):
    parts = _encoded_items(ctx)
    head, tail = envelope(ctx)
    buf = bytearray(head + b",".join(parts) + tail)

    def once():
        return {"bytes": len(bytes(buf)), "_size": True}

    return once


# --------------------------------------------------------------------------- d. tool loop


def _finish_chat(s: M.Sink, per_call: dict):
    return per_call


class TurnState:
    """Accumulates one streamed turn into wire items, from typed events."""

    __slots__ = ("calls", "dec", "items_raw", "text", "wire")

    def __init__(self, wire: str) -> None:
        self.wire = wire
        self.text: list[str] = []
        self.calls: list[list] = []  # [id, name, [fragments]]
        self.dec = M.TYPED[wire].decode
        self.items_raw: list[bytes] = []

    def feed(self, datas) -> None:
        dec = self.dec
        text = self.text
        calls = self.calls
        if self.wire == "chat":
            for d in datas:
                if d == b"[DONE]":
                    continue
                for ch in dec(d).choices:
                    dl = ch.delta
                    if dl.content:
                        text.append(dl.content)
                    if dl.tool_calls:
                        for tc in dl.tool_calls:
                            if tc.id:
                                calls.append([tc.id, tc.function.name, []])
                            if tc.function.arguments:
                                calls[tc.index][2].append(tc.function.arguments)
        elif self.wire == "responses":
            for d in datas:
                o = dec(d)
                t = type(o)
                if t is M.RTextDelta:
                    text.append(o.delta)
                elif t is M.RItemAdded:
                    if o.item["type"] == "function_call":
                        calls.append([o.item["call_id"], o.item["name"], []])
                elif t is M.RArgsDone:
                    calls[-1][2].append(o.arguments)
        else:
            for d in datas:
                o = dec(d)
                t = type(o)
                if t is M.MBlockDelta:
                    dl = o.delta
                    if type(dl) is M.TextDelta:
                        text.append(dl.text)
                    else:
                        calls[-1][2].append(dl.partial_json)
                elif t is M.MBlockStart and o.content_block["type"] == "tool_use":
                    calls.append([o.content_block["id"], o.content_block["name"], []])


class _LoopArgs(msgspec.Struct):
    path: str
    start: int
    end: int


def noop_tool(path: str, start: int, end: int) -> str:
    return P.TOOL_OUTPUT


def _loop(ctx: Ctx, post, join_bodies: bool):
    """post(body_bytes, state) -> awaitable. join_bodies: keep encoded items (linear), else re-encode all."""
    wire = ctx.wire
    base = ctx.body(stream=True)
    key = "input" if wire == "responses" else "messages"
    base.pop(key)
    base["tools"] = P.tool_specs(wire, P.LOOP_PARAMS)
    enc = msgspec.json.Encoder().encode
    argdec = msgspec.json.Decoder(_LoopArgs).decode
    head = enc(base)[:-1] + b',"' + key.encode() + b'":['
    first = {"role": "user", "content": "go"}

    async def once():
        hist: list = [enc(first)] if join_bodies else [first]
        turns = 0
        while True:
            if join_bodies:
                body = b"".join((head, *hist, b"]}"))
            else:
                b = dict(base)
                b[key] = hist
                body = enc(b)
            st = TurnState(wire)
            await post(body, st)
            text = "".join(st.text)
            if not st.calls:
                return {"turns": turns, "_turns": ctx.params["t"], "final": len(text)}
            turns += 1
            results = []
            calls = []
            for cid, name, frags in st.calls:
                args = "".join(frags)
                a = argdec(args)
                results.append((cid, noop_tool(a.path, a.start, a.end)))
                calls.append((cid, name, args))
            new: list = []
            if wire == "chat":
                new.append(
                    {
                        "role": "assistant",
                        "content": text,
                        "tool_calls": [
                            {"id": c, "type": "function", "function": {"name": n, "arguments": a}} for c, n, a in calls
                        ],
                    }
                )
                new += [{"role": "tool", "tool_call_id": c, "content": o} for c, o in results]
            elif wire == "responses":
                new.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
                new += [{"type": "function_call", "call_id": c, "name": n, "arguments": a} for c, n, a in calls]
                new += [{"type": "function_call_output", "call_id": c, "output": o} for c, o in results]
            else:
                new.append(
                    {
                        "role": "assistant",
                        "content": [{"type": "text", "text": text}]
                        + [
                            {"type": "tool_use", "id": c, "name": n, "input": msgspec.Raw(a.encode())}
                            for c, n, a in calls
                        ],
                    }
                )
                new.append(
                    {
                        "role": "user",
                        "content": [{"type": "tool_result", "tool_use_id": c, "content": o} for c, o in results],
                    }
                )
            if join_bodies:
                hist += [b"," + enc(x) for x in new]
            else:
                hist += new

    return once


@case("d_loop,d_par", "bare Protocol, joined bytes", kind="limit")
async def _(ctx: Ctx):
    client = M.MiniClient()
    url, hdrs = ctx.url(), headers(ctx.wire)

    async def post(body, st):
        sp = M.Splitter()

        def on(pieces):
            st.feed(sp.feed(b"".join(pieces)))

        await client.callback(url, body, hdrs, on)

    return _loop(ctx, post, True)


def _httpx2_loop(join: bool):
    def make(ctx: Ctx):
        import httpx2

        client = httpx2.AsyncClient(timeout=600)
        url, hdrs = ctx.url(), headers(ctx.wire)

        async def post(body, st):
            sp = M.Splitter()
            async with client.stream("POST", url, content=body, headers=hdrs) as r:
                async for chunk in r.aiter_raw():
                    st.feed(sp.feed(chunk))

        return _loop(ctx, post, join)

    return make


case("d_loop,d_par", "httpx2+typed, joined bytes", kind="floor")(_httpx2_loop(True))
case("d_loop,d_par", "httpx2+typed, msgspec of dicts each turn", kind="floor")(_httpx2_loop(False))


@case("d_loop,d_par", "aiohttp+typed, joined bytes", kind="floor")
async def _(ctx: Ctx):
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    url, hdrs = ctx.url(), headers(ctx.wire)

    async def post(body, st):
        sp = M.Splitter()
        async with session.post(url, data=body, headers=hdrs) as r:
            async for chunk in r.content.iter_any():
                st.feed(sp.feed(chunk))

    return _loop(ctx, post, True)


# --------------------------------------------------------------------------- e. concurrency


def gather_streams(ctx: Ctx, one):
    """once() running b streams at the same time; one() -> dict of counts."""
    b = ctx.params["b"]

    async def once():
        rs = await asyncio.gather(*[one() for _ in range(b)])
        out: dict = {}
        for r in rs:
            for k, v in r.items():
                out[k] = out.get(k, 0) + v
        return out

    return once


@case("e_conc", "httpx2 raw+typed", kind="floor")
def _(ctx: Ctx):
    import httpx2

    client = httpx2.AsyncClient(timeout=600, limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None))
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def one():
        s = M.Sink()
        sp = M.Splitter()
        async with client.stream("POST", url, content=body, headers=hdrs) as r:
            async for chunk in r.aiter_raw():
                feed(s, sp.feed(chunk))
        return s.result()

    return gather_streams(ctx, one)


@case("e_conc", "aiohttp raw+typed", kind="floor")
async def _(ctx: Ctx):
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None))
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def one():
        s = M.Sink()
        sp = M.Splitter()
        async with session.post(url, data=body, headers=hdrs) as r:
            async for chunk in r.content.iter_any():
                feed(s, sp.feed(chunk))
        return s.result()

    return gather_streams(ctx, one)


@case("e_conc", "asyncio Protocol+typed", kind="floor")
async def _(ctx: Ctx):
    client = M.MiniClient()
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def one():
        s = M.Sink()
        sp = M.Splitter()
        async for pieces in await client.post(url, body, hdrs):
            feed(s, sp.feed(b"".join(pieces)))
        return s.result()

    return gather_streams(ctx, one)


@case("e_conc", "asyncio Protocol callback+typed", kind="limit")
async def _(ctx: Ctx):
    client = M.MiniClient()
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def one():
        s = M.Sink()
        sp = M.Splitter()

        def on(pieces):
            feed(s, sp.feed(b"".join(pieces)))

        await client.callback(url, body, hdrs, on)
        return s.result()

    return gather_streams(ctx, one)


# --------------------------------------------------------------------------- g. time to first event


def _stamp_of(text: str) -> tuple[int, int] | None:
    i = text.find("T0")
    if i < 0:
        return None
    return int(text[i + 1 : i + 20]), int(text[i + 21 : i + 40])


def _ttfe(ctx: Ctx, stream_texts):
    """stream_texts() -> async iterator of delta texts as soon as the client shows them."""
    import time

    async def once():
        t0 = time.monotonic_ns()
        out = []
        sent = None
        async for text in stream_texts():
            now = time.monotonic_ns()
            st = _stamp_of(text)
            if st:
                if sent is None:
                    sent = (st[1] - t0) / 1000
                out.append((now - st[0]) / 1000)
        return {"_send_us": sent, "_first_us": out[0], "_later_us": out[1:]}

    return once


@case("g_ttfe", "httpx2 raw+typed", kind="floor")
def _(ctx: Ctx):
    import httpx2

    client = httpx2.AsyncClient(timeout=600)
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def texts():
        sp = M.Splitter()
        async with client.stream("POST", url, content=body, headers=hdrs) as r:
            async for chunk in r.aiter_raw():
                s = M.Sink()
                feed(s, sp.feed(chunk))
                for t in s.text:
                    yield t

    return _ttfe(ctx, texts)


@case("g_ttfe", "aiohttp raw+typed", kind="floor")
async def _(ctx: Ctx):
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def texts():
        sp = M.Splitter()
        async with session.post(url, data=body, headers=hdrs) as r:
            async for chunk in r.content.iter_any():
                s = M.Sink()
                feed(s, sp.feed(chunk))
                for t in s.text:
                    yield t

    return _ttfe(ctx, texts)


@case("g_ttfe", "asyncio Protocol+typed", kind="floor")
async def _(ctx: Ctx):
    client = M.MiniClient()
    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    feed = M.typed_feed(ctx.wire)

    async def texts():
        sp = M.Splitter()
        async for pieces in await client.post(url, body, hdrs):
            s = M.Sink()
            feed(s, sp.feed(b"".join(pieces)))
            for t in s.text:
                yield t

    return _ttfe(ctx, texts)


@case("g_ttfe", "blocking socket+typed", kind="limit")
def _(ctx: Ctx):
    import time

    url, body, hdrs = ctx.url(), M.dumps(ctx.body()), headers(ctx.wire)
    host, port, req = M.request_bytes(url, body, hdrs)
    feed = M.typed_feed(ctx.wire)
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def once():
        t0 = time.monotonic_ns()
        sock.sendall(req)
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(65536)
        b = M.Body()
        sp = M.Splitter()
        data = head.split(b"\r\n\r\n", 1)[1]
        out = []
        sent = None
        while True:
            pieces = b.feed(data)
            if pieces:
                s = M.Sink()
                feed(s, sp.feed(b"".join(pieces)))
                now = time.monotonic_ns()
                for t in s.text:
                    st = _stamp_of(t)
                    if st:
                        if sent is None:
                            sent = (st[1] - t0) / 1000
                        out.append((now - st[0]) / 1000)
            if b.done:
                return {"_send_us": sent, "_first_us": out[0], "_later_us": out[1:]}
            data = sock.recv(65536)

    return once


# --------------------------------------------------------------------------- i. partial JSON


@case("i_partial", "append fragments, one parse at the end (orjson)", kind="floor")
def _(ctx: Ctx):
    chunks = ctx.chunks()
    feed = M.typed_feed(ctx.wire)

    def once():
        s = M.Sink()
        split = M.Splitter().feed
        for c in chunks:
            feed(s, split(c))
        obj = orjson.loads("".join(s.args))
        return {**s.result(), "_obj": len(obj["content"])}

    return once


@case("i_partial", "jiter partial parse at every fragment", kind="info")
def _(ctx: Ctx):
    chunks = ctx.chunks()
    feed = M.typed_feed(ctx.wire)

    def once():
        s = M.Sink()
        split = M.Splitter().feed
        buf = b""
        obj = None
        for c in chunks:
            k = len(s.args)
            feed(s, split(c))
            for f in s.args[k:]:
                buf += f.encode()
                obj = jiter.from_json(buf, partial_mode=True)
        return {**s.result(), "_obj": len(obj["content"])}

    return once


@case("i_partial", "incremental scanner, one field growing", kind="floor")
def _(ctx: Ctx):
    """A resumable scanner: keeps where it stands, gives the new characters of the string field that
    is growing. Linear; what a UI needs to show a file being written."""
    chunks = ctx.chunks()
    feed = M.typed_feed(ctx.wire)

    def once():
        s = M.Sink()
        split = M.Splitter().feed
        shown = 0
        esc = b""
        started = False
        tail = ""
        for c in chunks:
            k = len(s.args)
            feed(s, split(c))
            for f in s.args[k:]:
                t = tail + f
                tail = ""
                if not started:
                    i = t.find('"content": "')
                    if i < 0:
                        tail = t[-16:]
                        continue
                    started = True
                    t = t[i + 12 :]
                if started is True:
                    # cut before an unfinished escape
                    back = len(t) - len(t.rstrip("\\"))
                    if back % 2:
                        t, tail = t[:-1], "\\"
                    q = t.find('"')
                    while q > 0 and t[q - 1] == "\\" and (len(t[:q]) - len(t[:q].rstrip("\\"))) % 2:
                        q = t.find('"', q + 1)
                    if q >= 0:
                        t = t[:q]
                        started = 2
                    shown += len(json.loads('"' + t + '"')) if "\\" in t else len(t)
        obj = orjson.loads("".join(s.args))
        return {**s.result(), "_obj": len(obj["content"]), "_shown": shown}

    return once
