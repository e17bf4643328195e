"""openai on Chat and Responses: the raw stream, which keeps nothing, and `.stream()`, which accumulates."""

from __future__ import annotations

import json
from typing import Any

import payloads as P
from api import STREAM, Counts, Ctx, Show, case, counted, many, noop_tool, shown

WIRES = ("chat", "responses")
HELLO = [{"role": "user", "content": "hello"}]


def memory_client(chunks: list[bytes]) -> Any:
    """An httpx2 client that answers from memory."""
    import httpx2

    class Chunks(httpx2.AsyncByteStream):
        async def __aiter__(self):
            for chunk in chunks:
                yield chunk

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Chunks())

    return httpx2.AsyncClient(transport=httpx2.MockTransport(answer), timeout=600)


def http_options(ctx: Ctx, vendor: Any) -> dict[str, Any]:
    """The HTTP client of the scenario: from memory, for this server's certificate, for many streams."""
    if ctx.params.get("chunk"):
        return {"http_client": memory_client(ctx.chunks())}
    if ctx.params.get("tls"):
        import ssl

        verify = ssl.create_default_context(cafile=ctx.cert)
        return {"http_client": vendor.DefaultAsyncHttpxClient(verify=verify, timeout=600)}
    if ctx.params.get("b"):
        import httpx2

        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        return {"http_client": vendor.DefaultAsyncHttpxClient(limits=limits, timeout=600)}
    return {}


def client_for(ctx: Ctx, **options: Any) -> Any:
    import openai

    options = options or http_options(ctx, openai)
    return openai.AsyncOpenAI(base_url=ctx.base(), api_key="sk-bench", max_retries=0, timeout=600, **options)


def raw(ctx: Ctx, client: Any) -> Any:
    extra: dict[str, Any] = {"tools": ctx.tools} if ctx.tools else {}

    async def chat() -> Counts:
        text, arguments = [], []
        stream = await client.chat.completions.create(
            model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}, **extra
        )
        async for chunk in stream:
            if chunk.choices:
                delta = chunk.choices[0].delta
                if delta.content:
                    text.append(delta.content)
                elif delta.tool_calls:
                    arguments += [call.function.arguments for call in delta.tool_calls if call.function.arguments]
        return counted(text, arguments)

    async def responses() -> Counts:
        text, arguments = [], []
        stream = await client.responses.create(model="gpt-4o", input=HELLO, stream=True, store=False, **extra)
        async for event in stream:
            kind = event.type
            if kind == "response.output_text.delta":
                text.append(event.delta)
            elif kind == "response.function_call_arguments.delta":
                arguments.append(event.delta)
        return counted(text, arguments)

    return chat if ctx.wire == "chat" else responses


@case(STREAM + ",a_mem", "openai create(stream)", WIRES)
def _(ctx: Ctx) -> Any:
    return raw(ctx, client_for(ctx))


@case(STREAM, "openai create(stream) over aiohttp", WIRES)
async def _(ctx: Ctx) -> Any:
    import openai

    return raw(ctx, client_for(ctx, http_client=openai.DefaultAioHttpClient()))


@case("e_conc", "openai create(stream)", WIRES)
def _(ctx: Ctx) -> Any:
    return many(ctx, raw(ctx, client_for(ctx)))


@case(STREAM + ",a_mem", "openai .stream()", WIRES)
def _(ctx: Ctx) -> Any:
    client = client_for(ctx)
    extra: dict[str, Any] = {"tools": ctx.tools} if ctx.tools else {}

    async def chat() -> Counts:
        text, arguments = [], []
        async with client.chat.completions.stream(
            model="gpt-4o", messages=HELLO, stream_options={"include_usage": True}, **extra
        ) as stream:
            async for event in stream:
                kind = event.type
                if kind == "content.delta" and event.delta:
                    text.append(event.delta)
                elif kind == "tool_calls.function.arguments.delta" and event.arguments_delta:
                    arguments.append(event.arguments_delta)
            final = await stream.get_final_completion()
        assert len(final.choices[0].message.content) == sum(map(len, text))
        return counted(text, arguments)

    async def responses() -> Counts:
        text, arguments = [], []
        async with client.responses.stream(model="gpt-4o", input=HELLO, store=False, **extra) as stream:
            async for event in stream:
                kind = event.type
                if kind == "response.output_text.delta":
                    text.append(event.delta)
                elif kind == "response.function_call_arguments.delta":
                    arguments.append(event.delta)
            final = await stream.get_final_response()
        assert len(final.output_text) == sum(map(len, text))
        return counted(text, arguments)

    return chat if ctx.wire == "chat" else responses


@case("g_first,held", "openai create(stream)", WIRES)
def _(ctx: Ctx) -> Any:
    client = client_for(ctx)

    async def chat(see: Any) -> None:
        async for chunk in await client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True):
            if chunk.choices and chunk.choices[0].delta.content:
                see(chunk.choices[0].delta.content)

    async def responses(see: Any) -> None:
        async for event in await client.responses.create(model="gpt-4o", input=HELLO, stream=True):
            if event.type == "response.output_text.delta":
                see(event.delta)

    show: Show = chat if ctx.wire == "chat" else responses
    return shown(ctx, show)


def as_chat_turn(text: list[str], calls: dict[int, tuple[str, str, list[str]]]) -> list[dict[str, Any]]:
    """What a turn adds to the messages of a loop that is written by hand: the answer, and what its calls said."""
    asked = [(call_id, name, "".join(arguments)) for call_id, name, arguments in calls.values()]
    tool_calls = [{"id": c, "type": "function", "function": {"name": n, "arguments": a}} for c, n, a in asked]
    outputs = [{"role": "tool", "tool_call_id": c, "content": noop_tool(**json.loads(a))} for c, _, a in asked]
    return [{"role": "assistant", "content": "".join(text), "tool_calls": tool_calls}, *outputs]


async def read_chat_turn(stream: Any) -> tuple[list[str], dict[int, tuple[str, str, list[str]]]]:
    text: list[str] = []
    calls: dict[int, tuple[str, str, list[str]]] = {}
    async for chunk in stream:
        if chunk.choices:
            delta = chunk.choices[0].delta
            if delta.content:
                text.append(delta.content)
            for call in delta.tool_calls or ():
                if call.id:
                    calls[call.index] = (call.id, call.function.name, [])
                if call.function.arguments:
                    calls[call.index][2].append(call.function.arguments)
    return text, calls


@case("d_loop", "openai, loop by hand", WIRES)
def _(ctx: Ctx) -> Any:
    client, tools, want = client_for(ctx), P.tool_specs(ctx.wire, P.LOOP_PARAMS), ctx.params["t"]

    async def chat() -> Counts:
        messages: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
        for turns in range(want + 1):
            stream = await client.chat.completions.create(
                model="gpt-4o", messages=messages, tools=tools, stream=True, stream_options={"include_usage": True}
            )
            text, calls = await read_chat_turn(stream)
            if not calls:
                return {"turns": turns}
            messages += as_chat_turn(text, calls)
        raise AssertionError("the loop does not end")

    async def responses() -> Counts:
        items: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
        for turns in range(want + 1):
            output: list[Any] = []
            stream = await client.responses.create(model="gpt-4o", input=items, tools=tools, stream=True, store=False)
            async for event in stream:
                if event.type == "response.completed":
                    output = event.response.output
            calls = [item for item in output if item.type == "function_call"]
            if not calls:
                return {"turns": turns}
            items += [item.model_dump(exclude_none=True) for item in output]
            for call in calls:
                said = noop_tool(**json.loads(call.arguments))
                items.append({"type": "function_call_output", "call_id": call.call_id, "output": said})
        raise AssertionError("the loop does not end")

    return chat if ctx.wire == "chat" else responses
