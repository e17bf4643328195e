"""agent_core, the subject: each case over its default transport (httpx2) and over the fast one (aiohttp)."""

from __future__ import annotations

import os
from contextlib import aclosing

import payloads as P
from api import Ctx, case

import agent_core  # run.py leaves this adapter out where it cannot be imported
from adapters.floors import _ttfe, gather_streams, noop_tool
from agent_core import Agent, ModelClient, Prompt, ToolSpec, tool
from agent_core.codecs import codec_for
from agent_core.codecs.base import Compat
from agent_core.codecs.sse import SseReader
from agent_core.events import OutputTextDelta, ToolCallInputDelta
from agent_core.items import FunctionCall
from agent_core.retry import RetryPolicy
from agent_core.transport import Timeouts

STREAM = "a_bulk,a_paced,a_coal,a_tool,a_req,a_tls,h_long"
TOOL = ToolSpec(P.TOOL_NAME, "Read a file of the workspace", P.TOOL_PARAMS)
SENDERS = {"agent_core": "httpx2", "agent_core, fast": "aiohttp"}


def make_client(ctx: Ctx, sender: str) -> ModelClient:
    if ctx.params.get("tls"):
        os.environ["SSL_CERT_FILE"] = ctx.cert
    return ModelClient(
        "lab/gpt-4o",
        wire=ctx.wire,
        base_url=ctx.base(),
        api_key="sk-bench",
        retry=RetryPolicy(max_attempts=1),
        timeouts=Timeouts(connect_s=None),  # a thousand at once on one core
        transport=sender,
    )


def prompt_of(ctx: Ctx) -> Prompt:
    return Prompt("hello", tools=[TOOL] if ctx.params.get("mode") == "tool" else [], max_output_tokens=4096)


def counted(events, snapshot) -> dict:
    """What was shown, after making sure that as much was kept."""
    deltas = chars = frags = arg_chars = 0
    for event in events:
        if type(event) is OutputTextDelta:
            deltas += 1
            chars += len(event.delta)
        elif type(event) is ToolCallInputDelta:
            frags += 1
            arg_chars += len(event.delta)
    return kept(snapshot(), deltas, chars, frags, arg_chars)


def kept(response, deltas: int, chars: int, frags: int, arg_chars: int) -> dict:
    assert len(response.text) == chars
    assert sum(len(item.arguments) for item in response.items if isinstance(item, FunctionCall)) == arg_chars
    assert response.usage is not None
    return {"deltas": deltas, "chars": chars, "arg_frags": frags, "arg_chars": arg_chars}


async def stream_counts(client: ModelClient, prompt: Prompt) -> dict:
    deltas = chars = frags = arg_chars = 0
    async with client.stream(prompt) as events:
        async for event in events:
            if type(event) is OutputTextDelta:
                deltas += 1
                chars += len(event.delta)
            elif type(event) is ToolCallInputDelta:
                frags += 1
                arg_chars += len(event.delta)
        return kept(events.snapshot(), deltas, chars, frags, arg_chars)


def _stream(sender: str):
    async def make(ctx: Ctx):
        client, prompt = make_client(ctx, sender), prompt_of(ctx)

        async def once():
            return await stream_counts(client, prompt)

        return once

    return make


def _many(sender: str):
    async def make(ctx: Ctx):
        client, prompt = make_client(ctx, sender), prompt_of(ctx)
        return gather_streams(ctx, lambda: stream_counts(client, prompt))

    return make


def _first(sender: str):
    async def make(ctx: Ctx):
        client, prompt = make_client(ctx, sender), prompt_of(ctx)

        async def texts():
            async with client.stream(prompt) as events:
                async for event in events:
                    if type(event) is OutputTextDelta:
                        yield event.delta

        async def closed():
            async with aclosing(texts()) as shown:
                async for text in shown:
                    yield text

        return _ttfe(ctx, closed)

    return make


def _loop(sender: str):
    def make(ctx: Ctx):
        calls = 0

        @tool(name=P.TOOL_NAME, read_only=True)
        async def read_file(path: str, start: int, end: int) -> str:
            """Read a file of the workspace"""
            nonlocal calls
            calls += 1
            return noop_tool(path, start, end)

        client, turns = make_client(ctx, sender), ctx.params["t"]
        limits = agent_core.Limits(max_turns=None, max_repeats=None)

        async def once():
            nonlocal calls
            calls = 0
            async with Agent(client=client, tools=[read_file], limits=limits).stream("go") as turn:
                async for _event in turn:
                    pass
            return {"turns": calls // ctx.params.get("p", 1), "_turns": turns}

        return once

    return make


for name, sender in SENDERS.items():
    case(STREAM, f"{name}: stream", kind="subject")(_stream(sender))
    case("e_conc", f"{name}: stream", kind="subject")(_many(sender))
    case("g_ttfe", f"{name}: stream", kind="subject")(_first(sender))
    case("d_loop,d_par", f"{name}: loop", kind="subject")(_loop(sender))


@case("a_mem,i_partial", "agent_core: decoder", kind="subject")
def _(ctx: Ctx):
    codec, compat, prompt, chunks = codec_for(ctx.wire), Compat(), prompt_of(ctx).with_model("gpt-4o"), ctx.chunks()

    def once():
        decoder = codec.stream_decoder(prompt, compat)
        events = [event for chunk in chunks for event in decoder.feed(chunk)]
        if not decoder.done:
            events += decoder.close()
        got = counted(events, decoder.snapshot)
        if ctx.bench == "i_partial":
            import orjson

            call = next(item for item in decoder.snapshot().items if isinstance(item, FunctionCall))
            got["_obj"] = bool(orjson.loads(call.arguments))
        return got

    return once


@case("b_sse", "agent_core: SSE parser", kind="subject")
def _(ctx: Ctx):
    chunks = ctx.chunks()
    size, want = sum(map(len, chunks)), len(ctx.events())

    def once():
        reader = SseReader()
        count = sum(len(reader.feed(chunk)) for chunk in chunks) + len(reader.close())
        return {"events": count, "_want_events": want, "bytes": size}

    return once
