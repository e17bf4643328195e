"""The floors: the work of each bench written by hand, over the HTTP libraries agent_core uses and over bare asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import payloads as P
from api import STREAM, Counts, Ctx, Show, case, headers, many, noop_tool, shown
from by_hand import Client, Sink, Splitter, dumps

Post = Callable[[bytes, Callable[[bytes], None]], Awaitable[None]]
"""Sends a body and calls its second argument with the bytes of each read."""


def tls_context(ctx: Ctx) -> Any:
    import ssl

    return ssl.create_default_context(cafile=ctx.cert) if ctx.params.get("tls") else None


def over_httpx2(ctx: Ctx) -> Post:
    import httpx2

    unlimited = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    client = httpx2.AsyncClient(verify=tls_context(ctx) or True, timeout=600, limits=unlimited)
    url, sent = ctx.url(), headers(ctx.wire)

    async def post(body: bytes, take: Callable[[bytes], None]) -> None:
        async with client.stream("POST", url, content=body, headers=sent) as response:
            async for data in response.aiter_raw():
                take(data)

    return post


def over_aiohttp(ctx: Ctx) -> Post:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0, ssl=tls_context(ctx) or True)
    session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
    url, sent = ctx.url(), headers(ctx.wire)

    async def post(body: bytes, take: Callable[[bytes], None]) -> None:
        async with session.post(url, data=body, headers=sent) as response:
            async for data in response.content.iter_any():
                take(data)

    return post


def over_asyncio(ctx: Ctx) -> Post:
    client = Client(tls_context(ctx))
    url, sent = ctx.url(), headers(ctx.wire)

    async def post(body: bytes, take: Callable[[bytes], None]) -> None:
        async for pieces in await client.post(url, body, sent):
            take(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    return post


def stream(ctx: Ctx, post: Post) -> Callable[[], Awaitable[Counts]]:
    body, wire = dumps(ctx.body()), ctx.wire

    async def once() -> Counts:
        sink = Sink(wire)
        feed, split = sink.feed, Splitter().feed
        await post(body, lambda data: feed(split(data)))
        return sink.result()

    return once


def show(ctx: Ctx, post: Post) -> Show:
    body, wire = dumps(ctx.body()), ctx.wire

    async def shown_to(see: Callable[[str], None]) -> None:
        sink, split = Sink(wire), Splitter().feed

        def take(data: bytes) -> None:
            sink.feed(split(data))
            for text in sink.text:
                see(text)
            sink.text.clear()

        await post(body, take)

    return shown_to


class Arguments(msgspec.Struct):
    path: str
    start: int
    end: int


def loop(ctx: Ctx, post: Post) -> Callable[[], Awaitable[Counts]]:
    """One body that grows: what a turn adds is encoded once, and the body is the join of the pieces."""
    wire, want = ctx.wire, ctx.params["t"]
    growing = "input" if wire == "responses" else "messages"
    request = {key: value for key, value in ctx.body().items() if key != growing}
    request["tools"] = P.tool_specs(wire, P.LOOP_PARAMS)
    head = dumps(request)[:-1] + b',"' + growing.encode() + b'":['
    encode, arguments = msgspec.json.Encoder().encode, msgspec.json.Decoder(Arguments)

    async def once() -> Counts:
        pieces = [encode({"role": "user", "content": "go"})]
        for turns in range(want + 1):
            sink = Sink(wire)
            split = Splitter().feed
            await post(b"".join((head, *pieces, b"]}")), lambda data, feed=sink.feed, split=split: feed(split(data)))
            if not sink.calls:
                return {"turns": turns}
            done = []
            for call_id, name, fragments in sink.calls:
                text = "".join(fragments)
                asked = arguments.decode(text)
                done.append((call_id, name, text, noop_tool(asked.path, asked.start, asked.end)))
            pieces += [b"," + encode(item) for item in TURN_ITEMS[wire]("".join(sink.text), done)]
        raise AssertionError("the loop does not end")

    return once


def chat_items(text: str, done: list[tuple[str, str, str, str]]) -> list[Any]:
    calls = [{"id": c, "type": "function", "function": {"name": n, "arguments": a}} for c, n, a, _ in done]
    outputs = [{"role": "tool", "tool_call_id": c, "content": output} for c, _, _, output in done]
    return [{"role": "assistant", "content": text, "tool_calls": calls}, *outputs]


def responses_items(text: str, done: list[tuple[str, str, str, str]]) -> list[Any]:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    calls = [{"type": "function_call", "call_id": c, "name": n, "arguments": a} for c, n, a, _ in done]
    return [said, *calls, *({"type": "function_call_output", "call_id": c, "output": o} for c, _, _, o in done)]


def messages_items(text: str, done: list[tuple[str, str, str, str]]) -> list[Any]:
    calls = [{"type": "tool_use", "id": c, "name": n, "input": msgspec.Raw(a.encode())} for c, n, a, _ in done]
    results = [{"type": "tool_result", "tool_use_id": c, "content": output} for c, _, _, output in done]
    return [
        {"role": "assistant", "content": [{"type": "text", "text": text}, *calls]},
        {"role": "user", "content": results},
    ]


TURN_ITEMS = {"chat": chat_items, "responses": responses_items, "messages": messages_items}
OVER: dict[str, Callable[[Ctx], Post]] = {
    "httpx2 by hand": over_httpx2,
    "aiohttp by hand": over_aiohttp,
    "asyncio by hand": over_asyncio,
}


def register(name: str, over: Callable[[Ctx], Post]) -> None:
    async def made_stream(ctx: Ctx) -> Any:  # a coroutine: aiohttp's session wants a running loop
        return stream(ctx, over(ctx))

    async def made_many(ctx: Ctx) -> Any:
        return many(ctx, stream(ctx, over(ctx)))

    async def made_first(ctx: Ctx) -> Any:
        return shown(ctx, show(ctx, over(ctx)))

    async def made_loop(ctx: Ctx) -> Any:
        return loop(ctx, over(ctx))

    case(STREAM, name, kind="floor")(made_stream)
    case("e_conc", name, kind="floor")(made_many)
    case("g_first,held", name, kind="floor")(made_first)
    case("d_loop", name, kind="floor")(made_loop)


for _name, _over in OVER.items():
    register(_name, _over)


@case("a_mem", "by hand", kind="floor")
def _(ctx: Ctx) -> Any:
    chunks, wire = ctx.chunks(), ctx.wire

    def once() -> Counts:
        sink = Sink(wire)
        feed, split = sink.feed, Splitter().feed
        for chunk in chunks:
            feed(split(chunk))
        return sink.result()

    return once


# SSE alone: each parser with what it is given by its library.


def parser(name: str, kind: Any = "peer") -> Callable[[Callable[[list[bytes]], int]], None]:
    def register(parse: Callable[[list[bytes]], int]) -> None:
        def make(ctx: Ctx) -> Any:
            chunks, want = ctx.chunks(), len(ctx.events())

            def once() -> Counts:
                events = parse(chunks)
                assert events == want, (events, want)
                return {}

            return once

        case("b_sse", name, kind=kind)(make)

    return register


@parser("by hand", "floor")
def _(chunks: list[bytes]) -> int:
    split = Splitter().feed
    return sum(len(split(chunk)) for chunk in chunks)


@parser("httpx-sse")
def _(chunks: list[bytes]) -> int:
    import codecs

    from httpx_sse._decoders import SSEDecoder, SSELineDecoder

    decoder, lines, text = SSEDecoder(), SSELineDecoder(), codecs.getincrementaldecoder("utf-8")().decode
    found = (decoder.decode(line.rstrip("\n")) for chunk in chunks for line in lines.decode(text(chunk)))
    return sum(event is not None for event in found)


@parser("httpx2 EventSource")
def _(chunks: list[bytes]) -> int:
    import codecs

    from httpx2._sse import _SSEParser

    events, text = _SSEParser(None), codecs.getincrementaldecoder("utf-8")().decode
    return sum(1 for chunk in chunks for _ in events.decode(text(chunk)))


@parser("openai SSEDecoder")
def _(chunks: list[bytes]) -> int:
    from openai._streaming import SSEDecoder

    return sum(1 for _ in SSEDecoder().iter_bytes(iter(chunks)))


@parser("anthropic SSEDecoder")
def _(chunks: list[bytes]) -> int:
    from anthropic._streaming import SSEDecoder

    return sum(1 for _ in SSEDecoder().iter_bytes(iter(chunks)))
