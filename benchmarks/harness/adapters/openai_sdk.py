"""openai (AsyncOpenAI): chat.completions and responses, raw stream and the .stream() helper."""

from __future__ import annotations

import json

import payloads as P
from api import Ctx, case

from adapters.floors import _ttfe, gather_streams

A = "a_bulk,a_paced,a_coal,a_tool,a_req,h_long"
MSG = [{"role": "user", "content": "hello"}]


def memory_client(chunks_or_handler):
    """An httpx2 client that answers from memory: body chunks, or a handler(request) -> Response."""
    import httpx2

    if callable(chunks_or_handler):
        return httpx2.AsyncClient(transport=httpx2.MockTransport(chunks_or_handler), timeout=600)

    class Stream(httpx2.AsyncByteStream):
        async def __aiter__(self):
            for c in chunks_or_handler:
                yield c

    def handler(request):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream())

    return httpx2.AsyncClient(transport=httpx2.MockTransport(handler), timeout=600)


def client_for(ctx: Ctx, **kw):
    import openai

    if ctx.params.get("chunk"):
        kw["http_client"] = memory_client(ctx.chunks())
    elif ctx.params.get("tls"):
        import ssl

        kw["http_client"] = openai.DefaultAsyncHttpxClient(verify=ssl.create_default_context(cafile=ctx.cert))
    return openai.AsyncOpenAI(base_url=ctx.base(), api_key="sk-bench", max_retries=0, timeout=600, **kw)


def _tools(ctx: Ctx) -> dict:
    return {"tools": P.tool_specs(ctx.wire)} if ctx.params.get("mode") == "tool" else {}


def chat_raw(ctx: Ctx, client):
    extra = _tools(ctx)

    async def once():
        text = []
        args = []
        stream = await client.chat.completions.create(
            model="gpt-4o", messages=MSG, stream=True, stream_options={"include_usage": True}, **extra
        )
        async for ch in stream:
            if ch.choices:
                d = ch.choices[0].delta
                if d.content:
                    text.append(d.content)
                elif d.tool_calls:
                    for tc in d.tool_calls:
                        if tc.function.arguments:
                            args.append(tc.function.arguments)
        return {
            "deltas": len(text),
            "chars": len("".join(text)),
            "arg_frags": len(args),
            "arg_chars": len("".join(args)),
        }

    return once


def responses_raw(ctx: Ctx, client):
    extra = _tools(ctx)

    async def once():
        text = []
        args = []
        stream = await client.responses.create(model="gpt-4o", input=MSG, stream=True, store=False, **extra)
        async for ev in stream:
            t = ev.type
            if t == "response.output_text.delta":
                text.append(ev.delta)
            elif t == "response.function_call_arguments.delta":
                args.append(ev.delta)
        return {
            "deltas": len(text),
            "chars": len("".join(text)),
            "arg_frags": len(args),
            "arg_chars": len("".join(args)),
        }

    return once


def raw(ctx: Ctx, client):
    return chat_raw(ctx, client) if ctx.wire == "chat" else responses_raw(ctx, client)


@case(A + ",a_mem,a_tls", "openai create(stream)", wires=("chat", "responses"))
def _(ctx: Ctx):
    return raw(ctx, client_for(ctx))


@case("a_bulk,a_paced", "openai create(stream), uvloop", wires=("chat", "responses"), kind="info", loop="uvloop")
def _(ctx: Ctx):
    return raw(ctx, client_for(ctx))


@case("a_bulk,a_paced", "openai create(stream), aiohttp transport", wires=("chat", "responses"))
async def _(ctx: Ctx):
    import openai

    return raw(ctx, client_for(ctx, http_client=openai.DefaultAioHttpClient()))


def helper(ctx: Ctx, client):
    extra = _tools(ctx)
    if ctx.wire == "chat":

        async def once():
            n = c = a = ac = 0
            async with client.chat.completions.stream(
                model="gpt-4o", messages=MSG, stream_options={"include_usage": True}, **extra
            ) as s:
                async for ev in s:
                    t = ev.type
                    if t == "content.delta":
                        if ev.delta:
                            n += 1
                            c += len(ev.delta)
                    elif t == "tool_calls.function.arguments.delta":
                        if ev.arguments_delta:
                            a += 1
                            ac += len(ev.arguments_delta)
                final = await s.get_final_completion()
            assert len(final.choices[0].message.content) == c
            return {"deltas": n, "chars": c, "arg_frags": a, "arg_chars": ac}

    else:

        async def once():
            n = c = a = ac = 0
            async with client.responses.stream(model="gpt-4o", input=MSG, store=False, **extra) as s:
                async for ev in s:
                    t = ev.type
                    if t == "response.output_text.delta":
                        n += 1
                        c += len(ev.delta)
                    elif t == "response.function_call_arguments.delta":
                        a += 1
                        ac += len(ev.delta)
                final = await s.get_final_response()
            assert len(final.output_text) == c
            return {"deltas": n, "chars": c, "arg_frags": a, "arg_chars": ac}

    return once


@case(A + ",a_mem,i_partial", "openai .stream() helper", wires=("chat", "responses"), max_n=100000)
def _(ctx: Ctx):
    return helper(ctx, client_for(ctx))


# --------------------------------------------------------------------------- c


class Sent(Exception):
    pass


def build_case(make_call):
    """make_call(http_client) -> async call(). The transport takes the size of the finished body and
    raises, so nothing of the response path is paid but the unwinding of that raise."""
    import httpx2

    size = [0]

    def handler(request: httpx2.Request):
        size[0] = len(request.content)
        raise Sent

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler), timeout=600)
    call = make_call(client)

    async def once():
        try:
            await call()
        except BaseException as e:
            if not size[0]:
                raise
            if isinstance(e, (KeyboardInterrupt, SystemExit)):
                raise
        return {"bytes": size[0]}

    return once


@case("c_build", "openai SDK create()", wires=("chat", "responses"))
def _(ctx: Ctx):
    import openai

    h = P.HISTORY[ctx.wire](ctx.params["n"])
    tools = P.tool_specs(ctx.wire)

    def make(http):
        c = openai.AsyncOpenAI(base_url="http://127.0.0.1:1/v1", api_key="k", max_retries=0, http_client=http)
        if ctx.wire == "chat":
            return lambda: c.chat.completions.create(
                model="gpt-4o", messages=h, tools=tools, stream=True, stream_options={"include_usage": True}
            )
        return lambda: c.responses.create(
            model="gpt-4o", input=h, instructions=P.SYSTEM, tools=tools, stream=True, store=False
        )

    return build_case(make)


# --------------------------------------------------------------------------- d


@case("d_loop,d_par", "openai SDK, hand-written loop", wires=("chat", "responses"))
def _(ctx: Ctx):
    from adapters.floors import noop_tool

    client = client_for(ctx)
    tools = P.tool_specs(ctx.wire, P.LOOP_PARAMS)
    want = ctx.params["t"]

    async def chat():
        msgs = [{"role": "user", "content": "go"}]
        turns = 0
        while True:
            text = []
            calls: dict = {}
            stream = await client.chat.completions.create(
                model="gpt-4o", messages=msgs, tools=tools, stream=True, stream_options={"include_usage": True}
            )
            async for ch in stream:
                if ch.choices:
                    d = ch.choices[0].delta
                    if d.content:
                        text.append(d.content)
                    for tc in d.tool_calls or ():
                        c = calls.setdefault(tc.index, ["", "", []])
                        if tc.id:
                            c[0], c[1] = tc.id, tc.function.name
                        if tc.function.arguments:
                            c[2].append(tc.function.arguments)
            if not calls:
                return {"turns": turns, "_turns": want}
            turns += 1
            cs = [(i, n, "".join(a)) for i, n, a in calls.values()]
            msgs.append(
                {
                    "role": "assistant",
                    "content": "".join(text),
                    "tool_calls": [
                        {"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in cs
                    ],
                }
            )
            for i, n, a in cs:
                msgs.append({"role": "tool", "tool_call_id": i, "content": noop_tool(**json.loads(a))})

    async def responses():
        items: list = [{"role": "user", "content": "go"}]
        turns = 0
        while True:
            out = None
            stream = await client.responses.create(model="gpt-4o", input=items, tools=tools, stream=True, store=False)
            async for ev in stream:
                if ev.type == "response.completed":
                    out = ev.response.output
            calls = [o for o in out if o.type == "function_call"]
            if not calls:
                return {"turns": turns, "_turns": want}
            turns += 1
            items += [o.model_dump(exclude_none=True) for o in out]
            for o in calls:
                items.append(
                    {
                        "type": "function_call_output",
                        "call_id": o.call_id,
                        "output": noop_tool(**json.loads(o.arguments)),
                    }
                )

    return chat if ctx.wire == "chat" else responses


# --------------------------------------------------------------------------- e, g


@case("e_conc", "openai create(stream)", wires=("chat", "responses"))
def _(ctx: Ctx):
    import httpx2
    import openai

    http = openai.DefaultAsyncHttpxClient(
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None), timeout=600
    )
    client = openai.AsyncOpenAI(base_url=ctx.base(), api_key="k", max_retries=0, http_client=http)
    return gather_streams(ctx, raw(ctx, client))


@case("g_ttfe", "openai create(stream)", wires=("chat", "responses"))
def _(ctx: Ctx):
    client = client_for(ctx)

    async def chat():
        async for ch in await client.chat.completions.create(model="gpt-4o", messages=MSG, stream=True):
            if ch.choices and ch.choices[0].delta.content:
                yield ch.choices[0].delta.content

    async def responses():
        async for ev in await client.responses.create(model="gpt-4o", input=MSG, stream=True):
            if ev.type == "response.output_text.delta":
                yield ev.delta

    return _ttfe(ctx, chat if ctx.wire == "chat" else responses)
