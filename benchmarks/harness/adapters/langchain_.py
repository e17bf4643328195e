"""langchain-openai and langchain-anthropic: astream; langgraph's ready-made loop."""

from __future__ import annotations

from typing import Any

import payloads as P
from api import STREAM, Counts, Ctx, case, counted, many, noop_tool, shown


def chat_model(ctx: Ctx) -> Any:
    if ctx.wire == "messages":
        from langchain_anthropic import ChatAnthropic

        options = {"api_key": "k", "max_retries": 0, "max_tokens": 4096, "timeout": 600}
        return ChatAnthropic(model=P.ANT_MODEL, base_url=ctx.root(), **options)
    from langchain_openai import ChatOpenAI

    options = {"api_key": "k", "max_retries": 0, "timeout": 600, "stream_usage": True}
    return ChatOpenAI(model="gpt-4o", base_url=ctx.base(), use_responses_api=ctx.wire == "responses", **options)


def texts(chunk: Any) -> list[str]:
    content = chunk.content
    if isinstance(content, str):
        return [content] if content else []
    return [block["text"] for block in content if block.get("type") == "text" and block.get("text")]


def streamed(ctx: Ctx) -> Any:
    model = chat_model(ctx)
    if ctx.tools:
        model = model.bind_tools(P.tool_specs("messages" if ctx.wire == "messages" else "chat"))

    async def once() -> Counts:
        text, arguments = [], []
        async for chunk in model.astream("hello"):
            text += texts(chunk)
            arguments += [call["args"] for call in chunk.tool_call_chunks if call.get("args")]
        return counted(text, arguments)

    return once


@case(STREAM, "langchain astream")
def _(ctx: Ctx) -> Any:
    return streamed(ctx)


@case("e_conc", "langchain astream", ("chat",))
def _(ctx: Ctx) -> Any:
    return many(ctx, streamed(ctx))


@case("g_first,held", "langchain astream")
def _(ctx: Ctx) -> Any:
    model = chat_model(ctx)

    async def show(see: Any) -> None:
        async for chunk in model.astream("hello"):
            for text in texts(chunk):
                see(text)

    return shown(ctx, show)


@case("d_loop", "langgraph create_agent")
def _(ctx: Ctx) -> Any:
    from langchain.agents import create_agent
    from langchain_core.tools import tool

    calls = 0

    @tool
    async def read_file(path: str, start: int, end: int) -> str:
        """Read a file of the workspace"""
        nonlocal calls
        calls += 1
        return noop_tool(path, start, end)

    agent = create_agent(chat_model(ctx), [read_file])

    async def once() -> Counts:
        nonlocal calls
        calls = 0
        go = {"messages": [("user", "go")]}
        async for _ in agent.astream(go, {"recursion_limit": 100_000}, stream_mode="messages"):
            pass
        return {"turns": calls}

    return once
