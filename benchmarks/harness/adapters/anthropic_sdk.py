"""anthropic (AsyncAnthropic): messages, raw stream, .stream() helper, tool runner."""

from __future__ import annotations

import payloads as P
from api import Ctx, case

from adapters.floors import _ttfe, gather_streams
from adapters.openai_sdk import build_case, memory_client

A = "a_bulk,a_paced,a_coal,a_tool,a_req,h_long"
MSG = [{"role": "user", "content": "hello"}]
W = ("messages",)


def client_for(ctx: Ctx, **kw):
    import anthropic

    if ctx.params.get("chunk"):
        kw["http_client"] = memory_client(ctx.chunks())
    elif ctx.params.get("tls"):
        import ssl

        kw["http_client"] = anthropic.DefaultAsyncHttpxClient(verify=ssl.create_default_context(cafile=ctx.cert))
    return anthropic.AsyncAnthropic(base_url=ctx.root(), api_key="k", max_retries=0, timeout=600, **kw)


def _tools(ctx: Ctx) -> dict:
    return {"tools": P.tool_specs("messages")} if ctx.params.get("mode") == "tool" else {}


def raw(ctx: Ctx, client):
    extra = _tools(ctx)

    async def once():
        text = []
        args = []
        stream = await client.messages.create(model=P.ANT_MODEL, max_tokens=4096, messages=MSG, stream=True, **extra)
        async for ev in stream:
            if ev.type == "content_block_delta":
                d = ev.delta
                if d.type == "text_delta":
                    text.append(d.text)
                elif d.partial_json:
                    args.append(d.partial_json)
        return {
            "deltas": len(text),
            "chars": len("".join(text)),
            "arg_frags": len(args),
            "arg_chars": len("".join(args)),
        }

    return once


def helper(ctx: Ctx, client):
    extra = _tools(ctx)

    async def once():
        n = c = a = ac = 0
        async with client.messages.stream(model=P.ANT_MODEL, max_tokens=4096, messages=MSG, **extra) as s:
            async for ev in s:
                t = ev.type
                if t == "text":
                    n += 1
                    c += len(ev.text)
                elif t == "input_json":
                    if ev.partial_json:
                        a += 1
                        ac += len(ev.partial_json)
            final = await s.get_final_message()
        assert sum(len(b.text) for b in final.content if b.type == "text") == c
        return {"deltas": n, "chars": c, "arg_frags": a, "arg_chars": ac}

    return once


@case(A + ",a_mem,a_tls", "anthropic create(stream)", wires=W)
def _(ctx: Ctx):
    return raw(ctx, client_for(ctx))


@case(A + ",a_mem,i_partial", "anthropic .stream() helper", wires=W)
def _(ctx: Ctx):
    return helper(ctx, client_for(ctx))


@case("a_bulk,a_paced", "anthropic create(stream), aiohttp transport", wires=W)
async def _(ctx: Ctx):
    import anthropic

    return raw(ctx, client_for(ctx, http_client=anthropic.DefaultAioHttpClient()))


@case("a_bulk,a_paced", "anthropic text_stream", wires=W)
def _(ctx: Ctx):
    client = client_for(ctx)

    async def once():
        n = c = 0
        async with client.messages.stream(model=P.ANT_MODEL, max_tokens=4096, messages=MSG) as s:
            async for t in s.text_stream:
                n += 1
                c += len(t)
        return {"deltas": n, "chars": c}

    return once


@case("c_build", "anthropic SDK create()", wires=W)
def _(ctx: Ctx):
    import anthropic

    h = P.HISTORY["messages"](ctx.params["n"])
    tools = P.tool_specs("messages")

    def make(http):
        c = anthropic.AsyncAnthropic(base_url="http://127.0.0.1:1", api_key="k", max_retries=0, http_client=http)
        return lambda: c.messages.create(
            model=P.ANT_MODEL, max_tokens=4096, system=P.SYSTEM, messages=h, tools=tools, stream=True
        )

    return build_case(make)


@case("d_loop,d_par", "anthropic SDK, hand-written loop (.stream)", wires=W)
def _(ctx: Ctx):
    from adapters.floors import noop_tool

    client = client_for(ctx)
    tools = P.tool_specs("messages", P.LOOP_PARAMS)
    want = ctx.params["t"]

    async def once():
        msgs: list = [{"role": "user", "content": "go"}]
        turns = 0
        while True:
            async with client.messages.stream(model=P.ANT_MODEL, max_tokens=4096, messages=msgs, tools=tools) as s:
                async for _ev in s:
                    pass
                final = await s.get_final_message()
            calls = [b for b in final.content if b.type == "tool_use"]
            if not calls:
                return {"turns": turns, "_turns": want}
            turns += 1
            msgs.append({"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in final.content]})
            msgs.append(
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": b.id, "content": noop_tool(**b.input)} for b in calls
                    ],
                }
            )

    return once


@case("d_loop,d_par", "anthropic SDK tool_runner(stream)", wires=W)
def _(ctx: Ctx):
    from anthropic import beta_async_tool

    from adapters.floors import noop_tool

    client = client_for(ctx)
    count = [0]

    @beta_async_tool
    async def read_file(path: str, start: int, end: int) -> str:
        """Read a file of the workspace"""
        count[0] += 1
        return noop_tool(path, start, end)

    want = ctx.params["t"]

    async def once():
        count[0] = 0
        runner = client.beta.messages.tool_runner(
            model=P.ANT_MODEL,
            max_tokens=4096,
            messages=[{"role": "user", "content": "go"}],
            tools=[read_file],
            stream=True,
        )
        async for stream in runner:
            async for _ev in stream:
                pass
        return {"turns": count[0] // ctx.params.get("p", 1), "_turns": want}

    return once


@case("e_conc", "anthropic create(stream)", wires=W)
def _(ctx: Ctx):
    import anthropic
    import httpx2

    http = anthropic.DefaultAsyncHttpxClient(
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None), timeout=600
    )
    client = anthropic.AsyncAnthropic(base_url=ctx.root(), api_key="k", max_retries=0, http_client=http)
    return gather_streams(ctx, raw(ctx, client))


@case("g_ttfe", "anthropic create(stream)", wires=W)
def _(ctx: Ctx):
    client = client_for(ctx)

    async def texts():
        async for ev in await client.messages.create(model=P.ANT_MODEL, max_tokens=4096, messages=MSG, stream=True):
            if ev.type == "content_block_delta":
                yield ev.delta.text

    return _ttfe(ctx, texts)
