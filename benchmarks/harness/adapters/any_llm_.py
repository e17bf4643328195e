"""any-llm-sdk: AnyLLM.create(...).acompletion / aresponses / amessages (stream)."""

from __future__ import annotations

import payloads as P
from api import Ctx, case

from adapters.floors import _ttfe, gather_streams

A = "a_bulk,a_paced,a_coal,a_tool,a_req,h_long"
MSG = [{"role": "user", "content": "hello"}]


def provider(ctx: Ctx):
    from any_llm import AnyLLM

    if ctx.wire == "messages":
        return AnyLLM.create("anthropic", api_key="k", api_base=ctx.root(), max_retries=0, timeout=600)
    return AnyLLM.create("openai", api_key="k", api_base=ctx.base(), max_retries=0, timeout=600)


def _completion(ctx: Ctx, p, model: str):
    kw: dict = {"max_tokens": 4096} if ctx.wire == "messages" else {}
    if ctx.params.get("mode") == "tool":
        kw["tools"] = P.tool_specs("chat")

    async def once():
        n = c = a = ac = 0
        async for ch in await p.acompletion(model=model, messages=MSG, stream=True, **kw):
            if ch.choices:
                d = ch.choices[0].delta
                if d.content:
                    n += 1
                    c += len(d.content)
                for tc in d.tool_calls or ():
                    if tc.function and tc.function.arguments:
                        a += 1
                        ac += len(tc.function.arguments)
        return {"deltas": n, "chars": c, "arg_frags": a, "arg_chars": ac}

    return once


def streamed(ctx: Ctx, p):
    if ctx.wire == "chat":
        return _completion(ctx, p, "gpt-4o")
    if ctx.wire == "responses":
        kw = {"tools": P.tool_specs("responses")} if ctx.params.get("mode") == "tool" else {}

        async def once():
            n = c = a = ac = 0
            async for ev in await p.aresponses(model="gpt-4o", input_data=MSG, stream=True, **kw):
                t = ev.type
                if t == "response.output_text.delta":
                    n += 1
                    c += len(ev.delta)
                elif t == "response.function_call_arguments.delta":
                    a += 1
                    ac += len(ev.delta)
            return {"deltas": n, "chars": c, "arg_frags": a, "arg_chars": ac}

        return once
    kw = {"tools": P.tool_specs("messages")} if ctx.params.get("mode") == "tool" else {}

    async def once_m():
        n = c = a = ac = 0
        async for ev in await p.amessages(model=P.ANT_MODEL, messages=MSG, max_tokens=4096, stream=True, **kw):
            if ev.type == "content_block_delta":
                d = ev.delta
                if d.type == "text_delta":
                    n += 1
                    c += len(d.text)
                elif d.type == "input_json_delta" and d.partial_json:
                    a += 1
                    ac += len(d.partial_json)
        return {"deltas": n, "chars": c, "arg_frags": a, "arg_chars": ac}

    return once_m


@case(A, "any-llm")
async def _(ctx: Ctx):
    return streamed(ctx, provider(ctx))


@case("a_bulk,a_paced", "any-llm acompletion over anthropic", wires=("messages",))
async def _(ctx: Ctx):
    return _completion(ctx, provider(ctx), P.ANT_MODEL)


@case("e_conc", "any-llm")
async def _(ctx: Ctx):
    return gather_streams(ctx, streamed(ctx, provider(ctx)))


@case("g_ttfe", "any-llm", wires=("chat",))
async def _(ctx: Ctx):
    p = provider(ctx)

    async def texts():
        async for ch in await p.acompletion(model="gpt-4o", messages=MSG, stream=True):
            if ch.choices and ch.choices[0].delta.content:
                yield ch.choices[0].delta.content

    return _ttfe(ctx, texts)
