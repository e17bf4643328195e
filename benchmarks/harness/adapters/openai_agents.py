"""openai-agents: Runner.run_streamed on Chat and Responses."""

from __future__ import annotations

from typing import Any

from api import STREAM, Counts, Ctx, case, counted, many, noop_tool, shown

from adapters.openai_sdk import WIRES, client_for


def model_for(ctx: Ctx) -> Any:
    from agents import OpenAIChatCompletionsModel, OpenAIResponsesModel, set_tracing_disabled

    set_tracing_disabled(True)
    kind = OpenAIChatCompletionsModel if ctx.wire == "chat" else OpenAIResponsesModel
    return kind(model="gpt-4o", openai_client=client_for(ctx))


def streamed(ctx: Ctx) -> Any:
    from agents import Agent, Runner, StopAtTools, function_tool

    @function_tool
    async def read_file(path: str, content: str, mode: str) -> str:
        """Read a file of the workspace"""
        return "ok"

    tools: dict[str, Any] = {"tools": [read_file], "tool_use_behavior": StopAtTools(stop_at_tool_names=["read_file"])}
    agent = Agent(name="bench", instructions="x", model=model_for(ctx), **(tools if ctx.tools else {}))

    async def once() -> Counts:
        text, arguments = [], []
        async for event in Runner.run_streamed(agent, "hello").stream_events():
            if event.type == "raw_response_event":
                raw = event.data
                if raw.type == "response.output_text.delta" and raw.delta:
                    text.append(raw.delta)
                elif raw.type == "response.function_call_arguments.delta" and raw.delta:
                    arguments.append(raw.delta)
        return counted(text, arguments)

    return once


@case(STREAM + ",a_mem", "openai-agents run_streamed", WIRES)
def _(ctx: Ctx) -> Any:
    return streamed(ctx)


@case("e_conc", "openai-agents run_streamed", WIRES)
def _(ctx: Ctx) -> Any:
    return many(ctx, streamed(ctx))


@case("g_first,held", "openai-agents run_streamed", WIRES)
def _(ctx: Ctx) -> Any:
    from agents import Agent, Runner

    agent = Agent(name="bench", instructions="x", model=model_for(ctx))

    async def show(see: Any) -> None:
        async for event in Runner.run_streamed(agent, "hello").stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                see(event.data.delta)

    return shown(ctx, show)


@case("d_loop", "openai-agents run_streamed", WIRES)
def _(ctx: Ctx) -> Any:
    from agents import Agent, Runner, function_tool

    calls = 0

    @function_tool
    async def read_file(path: str, start: int, end: int) -> str:
        """Read a file of the workspace"""
        nonlocal calls
        calls += 1
        return noop_tool(path, start, end)

    agent = Agent(name="bench", instructions="x", model=model_for(ctx), tools=[read_file])

    async def once() -> Counts:
        nonlocal calls
        calls = 0
        async for _ in Runner.run_streamed(agent, "go", max_turns=10_000).stream_events():
            pass
        return {"turns": calls}

    return once
