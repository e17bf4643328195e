"""anthropic (AsyncAnthropic) on Messages: the raw stream, `.stream()`, which accumulates, and its tool runner."""

from __future__ import annotations

from typing import Any

import payloads as P
from api import STREAM, Counts, Ctx, case, counted, many, noop_tool, shown

from adapters.openai_sdk import HELLO, http_options

WIRES = ("messages",)
REQUEST: dict[str, Any] = {"model": P.ANT_MODEL, "max_tokens": 4096, "messages": HELLO}


def client_for(ctx: Ctx, **options: Any) -> Any:
    import anthropic

    options = options or http_options(ctx, anthropic)
    return anthropic.AsyncAnthropic(base_url=ctx.root(), api_key="k", max_retries=0, timeout=600, **options)


def raw(ctx: Ctx, client: Any) -> Any:
    extra: dict[str, Any] = {"tools": ctx.tools} if ctx.tools else {}

    async def once() -> Counts:
        text, arguments = [], []
        async for event in await client.messages.create(stream=True, **REQUEST, **extra):
            if event.type == "content_block_delta":
                delta = event.delta
                if delta.type == "text_delta":
                    text.append(delta.text)
                elif delta.partial_json:
                    arguments.append(delta.partial_json)
        return counted(text, arguments)

    return once


@case(STREAM + ",a_mem", "anthropic create(stream)", WIRES)
def _(ctx: Ctx) -> Any:
    return raw(ctx, client_for(ctx))


@case(STREAM, "anthropic create(stream) over aiohttp", WIRES)
async def _(ctx: Ctx) -> Any:
    import anthropic

    return raw(ctx, client_for(ctx, http_client=anthropic.DefaultAioHttpClient()))


@case("e_conc", "anthropic create(stream)", WIRES)
def _(ctx: Ctx) -> Any:
    return many(ctx, raw(ctx, client_for(ctx)))


@case(STREAM + ",a_mem", "anthropic .stream()", WIRES)
def _(ctx: Ctx) -> Any:
    client = client_for(ctx)
    extra: dict[str, Any] = {"tools": ctx.tools} if ctx.tools else {}

    async def once() -> Counts:
        text, arguments = [], []
        async with client.messages.stream(**REQUEST, **extra) as stream:
            async for event in stream:
                if event.type == "text":
                    text.append(event.text)
                elif event.type == "input_json" and event.partial_json:
                    arguments.append(event.partial_json)
            final = await stream.get_final_message()
        assert sum(len(block.text) for block in final.content if block.type == "text") == sum(map(len, text))
        return counted(text, arguments)

    return once


@case("g_first,held", "anthropic create(stream)", WIRES)
def _(ctx: Ctx) -> Any:
    client = client_for(ctx)

    async def show(see: Any) -> None:
        async for event in await client.messages.create(stream=True, **REQUEST):
            if event.type == "content_block_delta":
                see(event.delta.text)

    return shown(ctx, show)


@case("d_loop", "anthropic tool_runner", WIRES)
def _(ctx: Ctx) -> Any:
    from anthropic import beta_async_tool

    client, calls = client_for(ctx), 0

    @beta_async_tool
    async def read_file(path: str, start: int, end: int) -> str:
        """Read a file of the workspace"""
        nonlocal calls
        calls += 1
        return noop_tool(path, start, end)

    async def once() -> Counts:
        nonlocal calls
        calls = 0
        request = {**REQUEST, "messages": [{"role": "user", "content": "go"}]}
        async for stream in client.beta.messages.tool_runner(tools=[read_file], stream=True, **request):
            async for _ in stream:
                pass
        return {"turns": calls}

    return once
