"""agent_core, the subject: each case over its default transport (h11) and over the fast one (aiohttp)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import payloads as P
from api import STREAM, Counts, Ctx, case, counted, many, noop_tool, shown

if TYPE_CHECKING:
    from agent_core import ModelClient, Prompt

SENDERS = {"agent_core": "h11", "agent_core, fast": "aiohttp"}


def make_client(ctx: Ctx, sender: str) -> ModelClient:
    from agent_core import ModelClient
    from agent_core.retry import RetryPolicy
    from agent_core.transport import Timeouts

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
    from agent_core import Prompt, ToolSpec

    tool = ToolSpec(P.TOOL_NAME, "Read a file of the workspace", P.TOOL_PARAMS)
    return Prompt("hello", tools=[tool] if ctx.tools else [], max_output_tokens=4096)


def kept(response: Any, text: list[str], arguments: list[str]) -> Counts:
    """What was shown, after making sure that as much was kept."""
    from agent_core.items import FunctionCall

    counts = counted(text, arguments)
    assert len(response.text) == counts["chars"]
    kept_arguments = [item.arguments for item in response.items if isinstance(item, FunctionCall)]
    assert sum(map(len, kept_arguments)) == counts["arg_chars"]
    assert response.usage is not None
    return counts


def streamed(ctx: Ctx, sender: str) -> Any:
    from agent_core.events import OutputTextDelta, ToolCallInputDelta

    client, prompt = make_client(ctx, sender), prompt_of(ctx)

    async def once() -> Counts:
        text, arguments = [], []
        async with client.stream(prompt) as events:
            async for event in events:
                if type(event) is OutputTextDelta:
                    text.append(event.delta)
                elif type(event) is ToolCallInputDelta:
                    arguments.append(event.delta)
            return kept(events.snapshot(), text, arguments)

    return once


def looped(ctx: Ctx, sender: str) -> Any:
    from agent_core import Agent, Limits, tool

    calls = 0

    @tool(name=P.TOOL_NAME, read_only=True)
    async def read_file(path: str, start: int, end: int) -> str:
        """Read a file of the workspace"""
        nonlocal calls
        calls += 1
        return noop_tool(path, start, end)

    client, limits = make_client(ctx, sender), Limits(max_turns=None, max_repeats=None)

    async def once() -> Counts:
        nonlocal calls
        calls = 0
        async with Agent(client=client, tools=[read_file], limits=limits).stream("go") as turn:
            async for _ in turn:
                pass
        return {"turns": calls}

    return once


def first(ctx: Ctx, sender: str) -> Any:
    from agent_core.events import OutputTextDelta

    client, prompt = make_client(ctx, sender), prompt_of(ctx)

    async def show(see: Any) -> None:
        async with client.stream(prompt) as events:
            async for event in events:
                if type(event) is OutputTextDelta:
                    see(event.delta)

    return shown(ctx, show)


def register(name: str, sender: str) -> None:
    case(STREAM, name, kind="subject")(lambda ctx: streamed(ctx, sender))
    case("e_conc", name, kind="subject")(lambda ctx: many(ctx, streamed(ctx, sender)))
    case("g_first,held", name, kind="subject")(lambda ctx: first(ctx, sender))
    case("d_loop", name, kind="subject")(lambda ctx: looped(ctx, sender))


for _name, _sender in SENDERS.items():
    register(_name, _sender)


@case("a_mem", "agent_core", kind="subject")
def _(ctx: Ctx) -> Any:
    from agent_core.codecs import codec_for
    from agent_core.codecs.base import Compat
    from agent_core.events import OutputTextDelta, ToolCallInputDelta

    codec, compat, prompt, chunks = codec_for(ctx.wire), Compat(), prompt_of(ctx).with_model("gpt-4o"), ctx.chunks()

    def once() -> Counts:
        decoder = codec.stream_decoder(prompt, compat)
        text, arguments = [], []

        def take(events: Any) -> None:
            for event in events:
                if type(event) is OutputTextDelta:
                    text.append(event.delta)
                elif type(event) is ToolCallInputDelta:
                    arguments.append(event.delta)

        for chunk in chunks:
            take(decoder.feed(chunk))
        if not decoder.done:
            take(decoder.close())
        return kept(decoder.snapshot(), text, arguments)

    return once


@case("b_sse", "agent_core", kind="subject")
def _(ctx: Ctx) -> Any:
    from agent_core.codecs.sse import SseReader

    chunks, want = ctx.chunks(), len(ctx.events())

    def once() -> Counts:
        reader = SseReader()
        events = sum(len(reader.feed(chunk)) for chunk in chunks) + len(reader.close())
        assert events == want
        return {}

    return once
