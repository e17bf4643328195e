"""litellm: acompletion (Chat, and Messages behind it), aresponses, a loop written by hand."""

from __future__ import annotations

from typing import Any

import payloads as P
from api import STREAM, Counts, Ctx, case, counted, many, shown

from adapters.openai_sdk import HELLO, as_chat_turn, read_chat_turn


def module() -> Any:
    import litellm

    litellm.suppress_debug_info = True
    litellm.drop_params = True
    litellm.telemetry = False
    return litellm


def target(ctx: Ctx) -> dict[str, Any]:
    options = {"stream": True, "timeout": 600, "api_key": "k"}
    if ctx.wire == "messages":
        return {**options, "model": "anthropic/" + P.ANT_MODEL, "api_base": ctx.root(), "max_tokens": 4096}
    return {**options, "model": "openai/gpt-4o", "api_base": ctx.base()}


def streamed(ctx: Ctx) -> Any:
    litellm, options = module(), target(ctx)
    if ctx.tools:
        options["tools"] = P.tool_specs("responses" if ctx.wire == "responses" else "chat")

    async def responses() -> Counts:
        text, arguments = [], []
        async for event in await litellm.aresponses(input=HELLO, store=False, **options):
            if event.type == "response.output_text.delta":
                text.append(event.delta)
            elif event.type == "response.function_call_arguments.delta":
                arguments.append(event.delta)
        return counted(text, arguments)

    async def completion() -> Counts:
        text, arguments = [], []
        async for chunk in await litellm.acompletion(messages=HELLO, max_retries=0, **options):
            if chunk.choices:
                delta = chunk.choices[0].delta
                if delta.content:
                    text.append(delta.content)
                calls = delta.tool_calls or ()
                arguments += [call.function.arguments for call in calls if call.function.arguments]
        return counted(text, arguments)

    return responses if ctx.wire == "responses" else completion


@case(STREAM, "litellm")
async def _(ctx: Ctx) -> Any:
    return streamed(ctx)


@case("e_conc", "litellm")
async def _(ctx: Ctx) -> Any:
    return many(ctx, streamed(ctx))


@case("g_first,held", "litellm", ("chat", "messages"))
async def _(ctx: Ctx) -> Any:
    litellm, options = module(), target(ctx)

    async def show(see: Any) -> None:
        async for chunk in await litellm.acompletion(messages=HELLO, max_retries=0, **options):
            if chunk.choices and chunk.choices[0].delta.content:
                see(chunk.choices[0].delta.content)

    return shown(ctx, show)


@case("d_loop", "litellm, loop by hand", ("chat", "messages"))
async def _(ctx: Ctx) -> Any:
    litellm, options, want = module(), target(ctx), ctx.params["t"]
    tools = P.tool_specs("chat", P.LOOP_PARAMS)

    async def once() -> Counts:
        messages: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
        for turns in range(want + 1):
            stream = await litellm.acompletion(messages=messages, tools=tools, max_retries=0, **options)
            text, calls = await read_chat_turn(stream)
            if not calls:
                return {"turns": turns}
            messages += as_chat_turn(text, calls)
        raise AssertionError("the loop does not end")

    return once
