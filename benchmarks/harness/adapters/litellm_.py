"""litellm: acompletion(stream) to chat and to anthropic, aresponses, a hand-written loop."""

from __future__ import annotations

import json

import payloads as P
from api import Ctx, case

from adapters.floors import _ttfe, gather_streams

A = "a_bulk,a_paced,a_coal,a_tool,a_req,h_long"
MSG = [{"role": "user", "content": "hello"}]


def _mod():
    import litellm

    litellm.suppress_debug_info = True
    litellm.drop_params = True
    litellm.telemetry = False
    return litellm


def target(ctx: Ctx) -> dict:
    if ctx.wire == "messages":
        return {"model": "anthropic/" + P.ANT_MODEL, "api_base": ctx.root(), "api_key": "k", "max_tokens": 4096}
    return {"model": "openai/gpt-4o", "api_base": ctx.base(), "api_key": "k"}


def streamed(ctx: Ctx):
    litellm = _mod()
    kw = target(ctx)
    if ctx.params.get("mode") == "tool":
        kw["tools"] = P.tool_specs("responses" if ctx.wire == "responses" else "chat")

    if ctx.wire == "responses":

        async def once():
            n = c = a = ac = 0
            s = await litellm.aresponses(input=MSG, stream=True, store=False, timeout=600, **kw)
            async for ev in s:
                t = ev.type
                if t == "response.output_text.delta":
                    n += 1
                    c += len(ev.delta)
                elif t == "response.function_call_arguments.delta":
                    a += 1
                    ac += len(ev.delta)
            return {"deltas": n, "chars": c, "arg_frags": a, "arg_chars": ac}

    else:

        async def once():
            n = c = a = ac = 0
            s = await litellm.acompletion(messages=MSG, stream=True, timeout=600, max_retries=0, **kw)
            async for ch in s:
                if ch.choices:
                    d = ch.choices[0].delta
                    if d.content:
                        n += 1
                        c += len(d.content)
                    if d.tool_calls:
                        for tc in d.tool_calls:
                            if tc.function.arguments:
                                a += 1
                                ac += len(tc.function.arguments)
            return {"deltas": n, "chars": c, "arg_frags": a, "arg_chars": ac}

    return once


@case(A, "litellm")
async def _(ctx: Ctx):
    return streamed(ctx)


def _build(ctx: Ctx):
    """The provider's transform_request of chat-format messages, and the JSON of its result."""
    _mod()
    h = P.HISTORY["chat"](ctx.params["n"])
    tools = P.tool_specs("chat")
    if ctx.wire == "chat":
        from litellm.llms.openai.chat.gpt_transformation import OpenAIGPTConfig

        cfg = OpenAIGPTConfig()
        model = "gpt-4o"
    else:
        from litellm.llms.anthropic.chat.transformation import AnthropicConfig

        cfg = AnthropicConfig()
        model = P.ANT_MODEL

    def once():
        opt = cfg.map_openai_params({"tools": tools, "stream": True, "max_tokens": 4096}, {}, model, True)
        # the Anthropic transformation changes the list it is given
        body = cfg.transform_request(model, list(h), opt, {}, {})
        return {"bytes": len(json.dumps(body).encode())}

    return once


# on the chat wire litellm hands the result to the openai SDK, whose own transform comes on top:
# the function alone is no whole path there, so it is shown but enters no ratio
case("c_build", "litellm transform_request (alone)", wires=("chat",), kind="info")(_build)
case("c_build", "litellm transform_request", wires=("messages",))(_build)


@case("d_loop,d_par", "litellm, hand-written loop", wires=("chat", "messages"))
async def _(ctx: Ctx):
    from adapters.floors import noop_tool

    litellm = _mod()
    kw = target(ctx)
    tools = P.tool_specs("chat", P.LOOP_PARAMS)
    want = ctx.params["t"]

    async def once():
        msgs: list = [{"role": "user", "content": "go"}]
        turns = 0
        while True:
            text = []
            calls: dict = {}
            s = await litellm.acompletion(messages=msgs, tools=tools, stream=True, timeout=600, max_retries=0, **kw)
            async for ch in s:
                if not ch.choices:
                    continue
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

    return once


@case("e_conc", "litellm")
async def _(ctx: Ctx):
    return gather_streams(ctx, streamed(ctx))


@case("g_ttfe", "litellm", wires=("chat", "messages"))
async def _(ctx: Ctx):
    litellm = _mod()
    kw = target(ctx)

    async def texts():
        async for ch in await litellm.acompletion(messages=MSG, stream=True, timeout=600, max_retries=0, **kw):
            if ch.choices and ch.choices[0].delta.content:
                yield ch.choices[0].delta.content

    return _ttfe(ctx, texts)
