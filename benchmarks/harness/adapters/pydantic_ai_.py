"""pydantic-ai: Agent.run_stream, model.request_stream, agent loop by run_stream_events."""

from __future__ import annotations

import payloads as P
from api import Ctx, case

from adapters.floors import _ttfe, gather_streams
from adapters.openai_sdk import build_case, memory_client

A = "a_bulk,a_paced,a_coal,a_tool,a_req,h_long"


def model_for(ctx: Ctx, http=None, base=None):
    if ctx.params.get("chunk") and http is None:
        http = memory_client(ctx.chunks())
    if ctx.wire == "messages":
        import anthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        kw = {"http_client": http} if http is not None else {}
        c = anthropic.AsyncAnthropic(base_url=base or ctx.root(), api_key="k", max_retries=0, timeout=600, **kw)
        return AnthropicModel("claude-sonnet-4-6", provider=AnthropicProvider(anthropic_client=c))
    import openai
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    kw = {"http_client": http} if http is not None else {}
    c = openai.AsyncOpenAI(base_url=base or ctx.base(), api_key="k", max_retries=0, timeout=600, **kw)
    cls = OpenAIChatModel if ctx.wire == "chat" else OpenAIResponsesModel
    return cls("gpt-4o", provider=OpenAIProvider(openai_client=c))


def _count(ev, acc):
    """acc = [deltas, chars, frags, arg chars]"""
    from pydantic_ai.messages import (
        PartDeltaEvent,
        PartStartEvent,
        TextPart,
        TextPartDelta,
        ToolCallPart,
        ToolCallPartDelta,
    )

    t = type(ev)
    if t is PartDeltaEvent:
        d = ev.delta
        if type(d) is TextPartDelta:
            if d.content_delta:
                acc[0] += 1
                acc[1] += len(d.content_delta)
        elif type(d) is ToolCallPartDelta and d.args_delta:
            acc[2] += 1
            acc[3] += len(d.args_delta)
    elif t is PartStartEvent:
        p = ev.part
        if type(p) is TextPart and p.content:
            acc[0] += 1
            acc[1] += len(p.content)
        elif type(p) is ToolCallPart and p.args:
            acc[2] += 1
            acc[3] += len(p.args)


def request_stream(ctx: Ctx, model):
    from pydantic_ai.messages import ModelRequest
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.tools import ToolDefinition

    params = ModelRequestParameters()
    if ctx.params.get("mode") == "tool":
        params = ModelRequestParameters(
            function_tools=[ToolDefinition(name=P.TOOL_NAME, description="Read", parameters_json_schema=P.TOOL_PARAMS)]
        )
    msgs = [ModelRequest.user_text_prompt("hello")]

    async def once():
        acc = [0, 0, 0, 0]
        async with model.request_stream(msgs, None, params) as s:
            async for ev in s:
                _count(ev, acc)
            final = s.get() if hasattr(s, "get") else s.response
        assert final.parts
        return {"deltas": acc[0], "chars": acc[1], "arg_frags": acc[2], "arg_chars": acc[3]}

    return once


def _prune(ctx: Ctx, fn):
    """The messages wire opens text blocks with '', so pydantic-ai's counts match; on tool calls the
    fragment count may merge the first one into the part start. Only lengths are compared then."""

    async def once():
        r = await fn()
        if ctx.params.get("mode") == "tool":
            r.pop("arg_frags")
        return r

    return once


@case(A + ",a_mem,i_partial", "pydantic-ai model.request_stream")
def _(ctx: Ctx):
    return _prune(ctx, request_stream(ctx, model_for(ctx)))


@case("a_bulk,a_paced,a_coal,a_req,a_mem,h_long", "pydantic-ai Agent.run_stream stream_text(delta)")
def _(ctx: Ctx):
    from pydantic_ai import Agent

    agent = Agent(model_for(ctx))

    async def once():
        n = c = 0
        async with agent.run_stream("hello") as r:
            async for t in r.stream_text(delta=True, debounce_by=None):
                n += 1
                c += len(t)
        return {"deltas": n, "chars": c}

    return once


@case("a_bulk,a_paced,h_long", "pydantic-ai Agent.run_stream stream_text (default)")
def _(ctx: Ctx):
    from pydantic_ai import Agent

    agent = Agent(model_for(ctx))

    async def once():
        t = ""
        async with agent.run_stream("hello") as r:
            async for t in r.stream_text():
                pass
        return {"chars": len(t)}

    return once


def history(n: int):
    from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart, ToolReturnPart, UserPromptPart

    out: list = []

    def req(part):
        if out and isinstance(out[-1], ModelRequest):
            out[-1].parts.append(part)
        else:
            out.append(ModelRequest(parts=[part]))

    def resp(part):
        if out and isinstance(out[-1], ModelResponse):
            out[-1].parts.append(part)
        else:
            out.append(ModelResponse(parts=[part]))

    for it in P.history(n):
        if it[0] == "user":
            req(UserPromptPart(content=it[1]))
        elif it[0] == "assistant":
            resp(TextPart(content=it[1]))
        elif it[0] == "call":
            resp(ToolCallPart(tool_name=it[2], args=it[3], tool_call_id=it[1]))
        else:
            req(ToolReturnPart(tool_name=P.TOOL_NAME, content=it[2], tool_call_id=it[1]))
    return out


@case("c_build", "pydantic-ai model.request_stream")
def _(ctx: Ctx):
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.tools import ToolDefinition

    msgs = history(ctx.params["n"])
    params = ModelRequestParameters(
        function_tools=[
            ToolDefinition(name=P.TOOL_NAME, description="Read a file", parameters_json_schema=P.TOOL_PARAMS)
        ]
    )

    def make(http):
        model = model_for(ctx, http=http, base="http://127.0.0.1:1")

        async def call():
            async with model.request_stream(msgs, None, params) as s:
                async for _ in s:
                    pass

        return call

    return build_case(make)


@case("d_loop,d_par", "pydantic-ai Agent.run_stream_events")
def _(ctx: Ctx):
    from pydantic_ai import Agent
    from pydantic_ai.usage import UsageLimits

    from adapters.floors import noop_tool

    agent = Agent(model_for(ctx))
    n = [0]

    @agent.tool_plain
    async def read_file(path: str, start: int, end: int) -> str:
        """Read a file of the workspace"""
        n[0] += 1
        return noop_tool(path, start, end)

    want = ctx.params["t"]
    lim = UsageLimits(request_limit=None)

    async def once():
        n[0] = 0
        stream = agent.run_stream_events("go", usage_limits=lim)
        if hasattr(stream, "__aenter__"):
            async with stream as s:
                async for _ev in s:
                    pass
        else:
            async for _ev in stream:
                pass
        return {"turns": n[0] // ctx.params.get("p", 1), "_turns": want}

    return once


@case("d_loop", "pydantic-ai Agent.run (no streaming)")
def _(ctx: Ctx):
    from pydantic_ai import Agent
    from pydantic_ai.usage import UsageLimits

    from adapters.floors import noop_tool

    agent = Agent(model_for(ctx))
    n = [0]

    @agent.tool_plain
    async def read_file(path: str, start: int, end: int) -> str:
        """Read a file of the workspace"""
        n[0] += 1
        return noop_tool(path, start, end)

    want = ctx.params["t"]
    lim = UsageLimits(request_limit=None)

    async def once():
        n[0] = 0
        await agent.run("go", usage_limits=lim)
        return {"turns": n[0] // ctx.params.get("p", 1), "_turns": want}

    return once


@case("e_conc", "pydantic-ai model.request_stream")
def _(ctx: Ctx):
    import httpx2

    http = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None), timeout=600)
    return gather_streams(ctx, request_stream(ctx, model_for(ctx, http=http)))


@case("g_ttfe", "pydantic-ai Agent.run_stream")
def _(ctx: Ctx):
    from pydantic_ai import Agent

    agent = Agent(model_for(ctx))

    async def texts():
        async with agent.run_stream("hello") as r:
            async for t in r.stream_text(delta=True, debounce_by=None):
                yield t

    return _ttfe(ctx, texts)
