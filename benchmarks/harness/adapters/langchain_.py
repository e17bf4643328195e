"""langchain-openai / langchain-anthropic astream, and langgraph's ready-made agent loop."""

from __future__ import annotations

import payloads as P
from api import Ctx, case

from adapters.floors import _ttfe, gather_streams

A = "a_bulk,a_paced,a_coal,a_tool,a_req,h_long"


def chat_model(ctx: Ctx, **kw):
    if ctx.wire == "messages":
        from langchain_anthropic import ChatAnthropic

        return ChatAnthropic(
            model=P.ANT_MODEL, base_url=ctx.root(), api_key="k", max_retries=0, max_tokens=4096, timeout=600, **kw
        )
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(
        model="gpt-4o",
        base_url=ctx.base(),
        api_key="k",
        max_retries=0,
        timeout=600,
        use_responses_api=ctx.wire == "responses",
        stream_usage=True,
        **kw,
    )


def _texts(chunk):
    c = chunk.content
    if isinstance(c, str):
        return [c] if c else []
    return [b["text"] for b in c if isinstance(b, dict) and b.get("type") == "text" and b.get("text")]


def streamed(ctx: Ctx, m):
    if ctx.params.get("mode") == "tool":
        m = m.bind_tools(P.tool_specs("messages" if ctx.wire == "messages" else "chat"))

    async def once():
        n = c = a = ac = 0
        async for ch in m.astream("hello"):
            for t in _texts(ch):
                n += 1
                c += len(t)
            for tc in ch.tool_call_chunks:
                if tc.get("args"):
                    a += 1
                    ac += len(tc["args"])
        return {"deltas": n, "chars": c, "arg_frags": a, "arg_chars": ac}

    return once


@case(A, "langchain astream")
def _(ctx: Ctx):
    return streamed(ctx, chat_model(ctx))


@case("d_loop", "langgraph create_agent.astream", max_t=200)
def _(ctx: Ctx):
    from langchain.agents import create_agent
    from langchain_core.tools import tool

    from adapters.floors import noop_tool

    n = [0]

    @tool
    async def read_file(path: str, start: int, end: int) -> str:
        """Read a file of the workspace"""
        n[0] += 1
        return noop_tool(path, start, end)

    agent = create_agent(chat_model(ctx), [read_file])
    want = ctx.params["t"]

    async def once():
        n[0] = 0
        async for _x in agent.astream(
            {"messages": [("user", "go")]}, {"recursion_limit": 100_000}, stream_mode="messages"
        ):
            pass
        return {"turns": n[0] // ctx.params.get("p", 1), "_turns": want}

    return once


@case("e_conc", "langchain astream", wires=("chat",))
def _(ctx: Ctx):
    return gather_streams(ctx, streamed(ctx, chat_model(ctx)))


@case("g_ttfe", "langchain astream")
def _(ctx: Ctx):
    m = chat_model(ctx)

    async def texts():
        async for ch in m.astream("hello"):
            for t in _texts(ch):
                yield t

    return _ttfe(ctx, texts)
