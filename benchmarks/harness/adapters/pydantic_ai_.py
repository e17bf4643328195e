"""pydantic-ai: a model's stream, which accumulates, and an agent's."""

from __future__ import annotations

from typing import Any

import payloads as P
from api import STREAM, Counts, Ctx, case, counted, many, noop_tool, shown

from adapters import anthropic_sdk, openai_sdk


def model_for(ctx: Ctx) -> Any:
    if ctx.wire == "messages":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(P.ANT_MODEL, provider=AnthropicProvider(anthropic_client=anthropic_sdk.client_for(ctx)))
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    kind = OpenAIChatModel if ctx.wire == "chat" else OpenAIResponsesModel
    return kind("gpt-4o", provider=OpenAIProvider(openai_client=openai_sdk.client_for(ctx)))


def piece_of(event: Any, kinds: Any) -> tuple[str, str]:
    """(text, arguments) an event shows."""
    kind = type(event)
    if kind is kinds.PartDeltaEvent:
        delta = event.delta
        if type(delta) is kinds.TextPartDelta:
            return delta.content_delta, ""
        if type(delta) is kinds.ToolCallPartDelta:
            return "", delta.args_delta or ""
    elif kind is kinds.PartStartEvent:
        part = event.part
        if type(part) is kinds.TextPart:
            return part.content, ""
        if type(part) is kinds.ToolCallPart:
            return "", part.args or ""
    return "", ""


def request_stream(ctx: Ctx) -> Any:
    from pydantic_ai import messages as kinds
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.tools import ToolDefinition

    model, hello = model_for(ctx), [kinds.ModelRequest.user_text_prompt("hello")]
    definition = ToolDefinition(name=P.TOOL_NAME, description="Read", parameters_json_schema=P.TOOL_PARAMS)
    parameters = ModelRequestParameters(function_tools=[definition] if ctx.tools else [])

    async def once() -> Counts:
        text, arguments = [], []
        async with model.request_stream(hello, None, parameters) as stream:
            async for event in stream:
                said, asked = piece_of(event, kinds)
                if said:
                    text.append(said)
                elif asked:
                    arguments.append(asked)
            assert stream.get().parts
        counts = counted(text, arguments)
        if ctx.tools:
            del counts["arg_frags"]  # the first fragment may come with the start of the part
        return counts

    return once


@case(STREAM + ",a_mem", "pydantic-ai request_stream")
def _(ctx: Ctx) -> Any:
    return request_stream(ctx)


@case("e_conc", "pydantic-ai request_stream")
def _(ctx: Ctx) -> Any:
    return many(ctx, request_stream(ctx))


@case("g_first,held", "pydantic-ai run_stream")
def _(ctx: Ctx) -> Any:
    from pydantic_ai import Agent

    agent = Agent(model_for(ctx))

    async def show(see: Any) -> None:
        async with agent.run_stream("hello") as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                see(text)

    return shown(ctx, show)


@case("d_loop", "pydantic-ai Agent.run, not streamed")
def _(ctx: Ctx) -> Any:
    from pydantic_ai import Agent
    from pydantic_ai.usage import UsageLimits

    agent, calls = Agent(model_for(ctx)), 0

    @agent.tool_plain
    async def read_file(path: str, start: int, end: int) -> str:
        """Read a file of the workspace"""
        nonlocal calls
        calls += 1
        return noop_tool(path, start, end)

    async def once() -> Counts:
        nonlocal calls
        calls = 0
        await agent.run("go", usage_limits=UsageLimits(request_limit=None))
        return {"turns": calls}

    return once
