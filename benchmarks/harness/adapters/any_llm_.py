"""any-llm: acompletion (Chat), aresponses, amessages, over the official SDKs."""

from __future__ import annotations

from typing import Any

import payloads as P
from api import STREAM, Counts, Ctx, case, counted, many, shown

from adapters.openai_sdk import HELLO


def provider(ctx: Ctx) -> Any:
    from any_llm import AnyLLM

    name, base = ("anthropic", ctx.root()) if ctx.wire == "messages" else ("openai", ctx.base())
    return AnyLLM.create(name, api_key="k", api_base=base, max_retries=0, timeout=600)


def streamed(ctx: Ctx) -> Any:
    model = provider(ctx)
    extra: dict[str, Any] = {"stream": True, **({"tools": ctx.tools} if ctx.tools else {})}

    async def chat() -> Counts:
        text, arguments = [], []
        async for chunk in await model.acompletion(model="gpt-4o", messages=HELLO, **extra):
            if chunk.choices:
                delta = chunk.choices[0].delta
                if delta.content:
                    text.append(delta.content)
                calls = delta.tool_calls or ()
                arguments += [call.function.arguments for call in calls if call.function and call.function.arguments]
        return counted(text, arguments)

    async def responses() -> Counts:
        text, arguments = [], []
        async for event in await model.aresponses(model="gpt-4o", input_data=HELLO, **extra):
            if event.type == "response.output_text.delta":
                text.append(event.delta)
            elif event.type == "response.function_call_arguments.delta":
                arguments.append(event.delta)
        return counted(text, arguments)

    async def messages() -> Counts:
        text, arguments = [], []
        async for event in await model.amessages(model=P.ANT_MODEL, messages=HELLO, max_tokens=4096, **extra):
            if event.type == "content_block_delta":
                delta = event.delta
                if delta.type == "text_delta":
                    text.append(delta.text)
                elif delta.type == "input_json_delta" and delta.partial_json:
                    arguments.append(delta.partial_json)
        return counted(text, arguments)

    return {"chat": chat, "responses": responses, "messages": messages}[ctx.wire]


@case(STREAM, "any-llm")
async def _(ctx: Ctx) -> Any:
    return streamed(ctx)


@case("e_conc", "any-llm")
async def _(ctx: Ctx) -> Any:
    return many(ctx, streamed(ctx))


@case("g_first,held", "any-llm", ("chat",))
async def _(ctx: Ctx) -> Any:
    model = provider(ctx)

    async def show(see: Any) -> None:
        async for chunk in await model.acompletion(model="gpt-4o", messages=HELLO, stream=True):
            if chunk.choices and chunk.choices[0].delta.content:
                see(chunk.choices[0].delta.content)

    return shown(ctx, show)
