"""openai-agents: Runner.run_streamed over the chat and the responses model."""

from __future__ import annotations

import payloads as P
from api import Ctx, case

from adapters.floors import _ttfe, gather_streams
from adapters.openai_sdk import build_case, memory_client

A = "a_bulk,a_paced,a_coal,a_tool,a_req,h_long"
W = ("chat", "responses")


def model_for(ctx: Ctx, http=None, base=None):
    import openai
    from agents import OpenAIChatCompletionsModel, OpenAIResponsesModel, set_tracing_disabled

    set_tracing_disabled(True)
    if ctx.params.get("chunk") and http is None:
        http = memory_client(ctx.chunks())
    kw = {"http_client": http} if http is not None else {}
    c = openai.AsyncOpenAI(base_url=base or ctx.base(), api_key="k", max_retries=0, timeout=600, **kw)
    cls = OpenAIChatCompletionsModel if ctx.wire == "chat" else OpenAIResponsesModel
    return cls(model="gpt-4o", openai_client=c)


def streamed(ctx: Ctx, model):
    from agents import Agent, Runner, StopAtTools, function_tool

    tools = []
    kw = {}
    if ctx.params.get("mode") == "tool":

        @function_tool
        async def read_file(path: str, content: str, mode: str) -> str:
            """Read a file of the workspace"""
            return "ok"

        tools = [read_file]
        kw = {"tool_use_behavior": StopAtTools(stop_at_tool_names=["read_file"])}
    agent = Agent(name="bench", instructions="x", model=model, tools=tools, **kw)

    async def once():
        n = c = a = ac = 0
        r = Runner.run_streamed(agent, "hello")
        async for ev in r.stream_events():
            if ev.type == "raw_response_event":
                d = ev.data
                t = d.type
                if t == "response.output_text.delta":
                    if d.delta:
                        n += 1
                        c += len(d.delta)
                elif t == "response.function_call_arguments.delta":
                    if d.delta:
                        a += 1
                        ac += len(d.delta)
        return {"deltas": n, "chars": c, "arg_frags": a, "arg_chars": ac}

    return once


@case(A + ",a_mem", "openai-agents Runner.run_streamed", wires=W)
def _(ctx: Ctx):
    return streamed(ctx, model_for(ctx))


def loop_agent(ctx: Ctx):
    from agents import Agent, function_tool

    from adapters.floors import noop_tool

    n = [0]

    @function_tool
    async def read_file(path: str, start: int, end: int) -> str:
        """Read a file of the workspace"""
        n[0] += 1
        return noop_tool(path, start, end)

    return Agent(name="bench", instructions="x", model=model_for(ctx), tools=[read_file]), n


@case("d_loop,d_par", "openai-agents Runner.run_streamed", wires=W)
def _(ctx: Ctx):
    from agents import Runner

    agent, n = loop_agent(ctx)
    want = ctx.params["t"]

    async def once():
        n[0] = 0
        r = Runner.run_streamed(agent, "go", max_turns=10_000)
        async for _ev in r.stream_events():
            pass
        return {"turns": n[0] // ctx.params.get("p", 1), "_turns": want}

    return once


@case("c_build", "openai-agents model.stream_response", wires=W)
def _(ctx: Ctx):
    from agents import ModelSettings, function_tool
    from agents.models.interface import ModelTracing

    # what a session of the SDK holds: assistant messages as the API returned them
    items = []
    for it in P.HISTORY["responses"](ctx.params["n"]):
        if it.get("role") == "assistant":
            c = {**it["content"][0], "annotations": [], "logprobs": []}
            it = {**it, "id": P.MSG_ID, "status": "completed", "content": [c]}
        items.append(it)

    @function_tool
    async def read_file(path: str, content: str, mode: str) -> str:
        """Read a file of the workspace"""
        return "ok"

    def make(http):
        model = model_for(ctx, http=http, base="http://127.0.0.1:1/v1")

        async def call():
            async for _ in model.stream_response(
                P.SYSTEM,
                items,
                ModelSettings(),
                [read_file],
                None,
                [],
                ModelTracing.DISABLED,
                previous_response_id=None,
                conversation_id=None,
                prompt=None,
            ):
                pass

        return call

    return build_case(make)


@case("e_conc", "openai-agents Runner.run_streamed", wires=W)
def _(ctx: Ctx):
    import httpx2

    http = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None), timeout=600)
    return gather_streams(ctx, streamed(ctx, model_for(ctx, http=http)))


@case("g_ttfe", "openai-agents Runner.run_streamed", wires=W)
def _(ctx: Ctx):
    from agents import Agent, Runner

    agent = Agent(name="bench", instructions="x", model=model_for(ctx))

    async def texts():
        r = Runner.run_streamed(agent, "hello")
        async for ev in r.stream_events():
            if ev.type == "raw_response_event" and ev.data.type == "response.output_text.delta":
                yield ev.data.delta

    return _ttfe(ctx, texts)
