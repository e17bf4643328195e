"""What other libraries do until a history is the body of a request: for those that are installed where this runs.

Each job gets what its users hand it (messages as dicts, or the library's own classes) and ends when the transport has
the bytes. None of them keeps anything, so what one more turn costs them is what the whole history costs them again.
litellm's official path for Chat goes through the openai SDK; its own transformation alone is measured.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from typing import Any, cast

from agent_core.items import JsonObject, ResponseItem, WireName

__all__ = ["Job", "peers"]

Job = Callable[[], object]
_Call = Callable[[], Awaitable[object]]
_NOWHERE = "http://127.0.0.1:1/v1"


class _Sent(BaseException):
    """The bytes are there; nothing of an answer is paid for."""


def peers(
    wire: WireName, items: Sequence[ResponseItem], body: JsonObject, chosen: frozenset[str] | None = None
) -> dict[str, Job]:
    """Jobs by the name of the library. `body` is the request as dicts, `items` the history it was made from."""
    found: dict[str, Job] = {}
    for name, make in _PEERS.items():
        if chosen is not None and name not in chosen:
            continue
        try:
            job = make(wire, items, body)
        except ImportError:
            continue
        if job is not None:
            found[name] = job
    return found


def _sdk(wire: WireName, items: Sequence[ResponseItem], body: JsonObject) -> Job | None:
    """openai and anthropic: `create` with the members of the body."""
    vendor: Any = import_module("anthropic" if wire == "messages" else "openai")
    client = _client(vendor)
    target = {
        "chat": lambda: client.chat.completions,
        "responses": lambda: client.responses,
        "messages": lambda: client.messages,
    }[wire]()
    return _until_sent(lambda: target.create(**body))


def _pydantic_ai(wire: WireName, items: Sequence[ResponseItem], body: JsonObject) -> Job | None:
    models: Any = import_module("pydantic_ai.models")
    tools: Any = import_module("pydantic_ai.tools")
    if wire == "messages":
        made = import_module("pydantic_ai.models.anthropic").AnthropicModel
        provider = import_module("pydantic_ai.providers.anthropic").AnthropicProvider(
            anthropic_client=_client(import_module("anthropic"))
        )
    else:
        kind = "OpenAIChatModel" if wire == "chat" else "OpenAIResponsesModel"
        made = getattr(import_module("pydantic_ai.models.openai"), kind)
        provider = import_module("pydantic_ai.providers.openai").OpenAIProvider(
            openai_client=_client(import_module("openai"))
        )
    model = made("claude-sonnet-4-6" if wire == "messages" else "gpt-4o", provider=provider)
    tool = tools.ToolDefinition(name="read_file", description="Read a file.", parameters_json_schema=_SCHEMA)
    parameters = models.ModelRequestParameters(function_tools=[tool])
    messages = _as_pydantic_ai(items)

    async def call() -> None:
        async with model.request_stream(messages, None, parameters) as stream:
            async for _ in stream:
                pass

    return _until_sent(call)


def _as_pydantic_ai(items: Sequence[ResponseItem]) -> list[Any]:
    kinds: Any = import_module("pydantic_ai.messages")
    out: list[Any] = []
    for item in items:
        if item.type == "message":
            text = "".join(getattr(part, "text", "") for part in item.content)
            ours = item.role == "user"
            part = kinds.UserPromptPart(content=text) if ours else kinds.TextPart(content=text)
        elif item.type == "function_call":
            ours = False
            part = kinds.ToolCallPart(tool_name=item.name, args=item.arguments, tool_call_id=item.call_id)
        elif item.type == "function_call_output":
            ours = True
            part = kinds.ToolReturnPart(tool_name="read_file", content=item.output, tool_call_id=item.call_id)
        else:
            raise AssertionError(item.type)
        holder = kinds.ModelRequest if ours else kinds.ModelResponse
        if out and isinstance(out[-1], holder):
            out[-1].parts.append(part)
        else:
            out.append(holder(parts=[part]))
    return out


def _openai_agents(wire: WireName, items: Sequence[ResponseItem], body: JsonObject) -> Job | None:
    if wire == "messages":
        return None
    agents: Any = import_module("agents")
    interface: Any = import_module("agents.models.interface")
    agents.set_tracing_disabled(True)
    kind = agents.OpenAIChatCompletionsModel if wire == "chat" else agents.OpenAIResponsesModel
    model = kind(model="gpt-4o", openai_client=_client(import_module("openai")))
    from agent_core.codecs import codec_for
    from agent_core.codecs.base import Compat
    from agent_core.prompt import Prompt

    sent = json.loads(codec_for("responses").encode_request(Prompt(items), Compat()).body)["input"]
    for entry in sent:  # as its session holds them: messages as the API returned them
        if entry.get("role") == "assistant":
            entry |= {"id": "msg_1", "status": "completed"}
            entry["content"] = [{**part, "annotations": [], "logprobs": []} for part in entry["content"]]

    def read_file(path: str) -> str:
        """Read a file."""
        return path

    tool = agents.function_tool(read_file)

    async def call() -> None:
        async for _ in model.stream_response(
            "You are a coding agent.", sent, agents.ModelSettings(), [tool], None, [],
            interface.ModelTracing.DISABLED, previous_response_id=None, conversation_id=None, prompt=None,
        ):  # fmt: skip
            pass

    return _until_sent(call)


def _litellm(wire: WireName, items: Sequence[ResponseItem], body: JsonObject) -> Job | None:
    if wire == "responses":
        return None
    litellm: Any = import_module("litellm")
    litellm.suppress_debug_info = True
    if wire == "chat":
        config = import_module("litellm.llms.openai.chat.gpt_transformation").OpenAIGPTConfig()
        model = "gpt-4o"
    else:
        config = import_module("litellm.llms.anthropic.chat.transformation").AnthropicConfig()
        model = "claude-sonnet-4-6"
    from agent_core.codecs import codec_for
    from agent_core.codecs.base import Compat
    from agent_core.prompt import Prompt

    chat = json.loads(codec_for("chat").encode_request(Prompt(items, instructions="x"), Compat()).body)["messages"]
    tools = [{"type": "function", "function": {"name": "read_file", "parameters": _SCHEMA}}]

    def once() -> bytes:
        options = config.map_openai_params({"tools": tools, "stream": True, "max_tokens": 4096}, {}, model, True)
        # The Anthropic transformation changes the list it is given.
        return json.dumps(config.transform_request(model, list(chat), options, {}, {})).encode()

    return once


_SCHEMA: JsonObject = {"type": "object", "properties": {"path": {"type": "string"}}}
_PEERS: dict[str, Callable[[WireName, Sequence[ResponseItem], JsonObject], Job | None]] = {
    "sdk": _sdk,
    "pydantic-ai": _pydantic_ai,
    "openai-agents": _openai_agents,
    "litellm": _litellm,
}


def _client(vendor: Any) -> Any:
    """A vendor's client whose transport takes the bytes and stops there."""
    import httpx2

    def taken(request: httpx2.Request) -> httpx2.Response:
        assert len(request.content) > 100
        raise _Sent

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(taken))
    make = getattr(vendor, "AsyncAnthropic", None) or vendor.AsyncOpenAI
    return make(base_url=_NOWHERE, api_key="k", max_retries=0, http_client=http)


def _until_sent(call: _Call) -> Job:
    loop = asyncio.new_event_loop()

    async def awaited() -> None:
        await call()

    def send() -> None:
        try:
            loop.run_until_complete(awaited())
        except BaseException as error:
            if not _was_sent(error):
                raise
            return
        raise AssertionError("nothing was sent")

    return send


def _was_sent(error: BaseException | None) -> bool:
    """Libraries wrap what a transport raises, in errors and in groups."""
    while error is not None:
        if isinstance(error, _Sent):
            return True
        if isinstance(error, BaseExceptionGroup):
            return any(map(_was_sent, cast("BaseExceptionGroup[BaseException]", error).exceptions))
        error = error.__cause__ or error.__context__
    return False
