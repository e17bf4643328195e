"""Messages requests somebody sends us: to prompts, with exact losses; prompts there and back."""

from __future__ import annotations

import json

import pytest

from agent_core.codecs.base import Compat, Loss
from agent_core.codecs.messages import CODEC
from agent_core.errors import InvalidRequestError
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    JsonValue,
    Message,
    Origin,
    OutputText,
    Reasoning,
    ResponseItem,
    UnknownItem,
    system_message,
    user_message,
)
from agent_core.prompt import (
    HostedToolSpec,
    NamedTool,
    OutputSchema,
    Prompt,
    ReasoningSettings,
    SamplingSettings,
    ToolSpec,
)

HI: JsonObject = {"role": "user", "content": "hi"}
MARK: JsonObject = {"type": "ephemeral"}
SCHEMA: JsonObject = {"type": "object", "properties": {}}


def made(field: str = "", item_id: str = "") -> Origin:
    return Origin(wire="messages", model="claude", field=field, item_id=item_id)


def read(**members: JsonValue) -> tuple[Prompt, list[Loss]]:
    decoded = CODEC.decode_request(json.dumps({"model": "claude", "messages": [HI], **members}).encode())
    return decoded.prompt, list(decoded.losses)


def test_a_whole_request() -> None:
    """Every member with a place in a prompt is put there; members of this wire alone are kept as they are."""
    prompt, losses = read(
        max_tokens=50,
        system=[{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop_sequences=["x"],
        tools=[{"name": "add", "description": "Adds.", "input_schema": SCHEMA, "strict": True}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        metadata={"user_id": "u"},
        service_tier="standard_only",
        thinking={"type": "adaptive", "display": "summarized"},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
        context_management={"edits": []},
        stream=True,
    )
    assert losses == []
    assert prompt == Prompt(
        "hi",
        model="claude",
        instructions="one\n\ntwo",
        max_output_tokens=50,
        sampling=SamplingSettings(temperature=0.5, top_p=0.9, top_k=3, stop=("x",)),
        tools=[ToolSpec("add", "Adds.", SCHEMA, strict=True)],
        tool_choice="required",
        parallel_tool_calls=False,
        user="u",
        service_tier="default",
        reasoning=ReasoningSettings(effort="high", summary="auto"),
        output_schema=OutputSchema(SCHEMA),
        extra={"context_management": {"edits": []}},
    )


@pytest.mark.parametrize(("value", "stream"), [(True, True), (False, False), (None, False), ("true", False)])
def test_a_stream_is_asked_for_by_true_alone(value: JsonValue, stream: bool) -> None:
    """S0-1: streaming if and only if `stream` is exactly true."""
    decoded = CODEC.decode_request(json.dumps({"messages": [HI], "stream": value}).encode())
    assert (decoded.stream, decoded.include_usage) == (stream, True)


CONVERSATIONS: dict[str, tuple[list[JsonValue], list[ResponseItem], list[Loss]]] = {
    "T-G3 results first, then the user's words": (
        [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "b3A="},
                    {"type": "text", "text": "On it."},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": [1, None]}},
                    {"type": "tool_use", "id": "t2", "name": "f", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "and"},
                    {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
                    {"type": "tool_result", "tool_use_id": "t2", "is_error": True},
                ],
            },
        ],
        [
            Message(role="user", content=(InputText(text="a"), InputText(text="b"))),
            Reasoning(content=("hm",), signature="c2ln", origin=made("thinking")),
            Reasoning(encrypted_content="b3A=", origin=made("redacted_thinking")),
            Message(role="assistant", content=(OutputText(text="On it."),), origin=made()),
            FunctionCall(call_id="t1", name="f", arguments='{"a":[1,null]}', origin=made(item_id="t1")),
            FunctionCall(call_id="t2", name="f", arguments="{}", origin=made(item_id="t2")),
            FunctionCallOutput(call_id="t1", output="one"),
            FunctionCallOutput(call_id="t2", success=False),
            user_message("and"),
        ],
        [],
    ),
    "T-G5 media, also in results": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
                    {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
                    {
                        "type": "document",
                        "title": "a.pdf",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
                    },
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hé"}},
                    {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
                    {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "in"}]}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "content": [
                            {"type": "text", "text": "ok"},
                            {"type": "image", "source": {"type": "url", "url": "https://x.test/b.png"}},
                            {"type": "tool_reference", "tool_name": "f"},
                        ],
                    }
                ],
            },
        ],
        [
            Message(
                role="user",
                content=(
                    InputImage(image_url="data:image/png;base64,iVBORw0KGgo="),
                    InputImage(image_url="https://x.test/a.png"),
                    InputFile(filename="a.pdf", file_data="data:application/pdf;base64,aGk="),
                    InputFile(file_data="data:text/plain;base64,aMOp"),
                    InputFile(file_id="file_1"),
                    InputText(text="in"),
                ),
            ),
            FunctionCallOutput(
                call_id="t1", output=(InputText(text="ok"), InputImage(image_url="https://x.test/b.png"))
            ),
        ],
        [Loss("content", "tool_reference")],
    ),
    "T-G23 a system message inside keeps its place, markers are lost": (
        [
            HI,
            {"role": "system", "content": [{"type": "text", "text": "now", "cache_control": MARK}]},
            {"role": "assistant", "content": "ok"},
        ],
        [
            user_message("hi"),
            system_message("now"),
            Message(role="assistant", content=(OutputText(text="ok"),), origin=made()),
        ],
        [Loss("cache_control")],
    ),
    "T-G8 blocks nobody knows": (
        [
            {"role": "user", "content": [{"type": "hologram", "x": 1}, {"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s1", "name": "w", "input": {"q": 1}}]},
        ],
        [
            user_message("hi"),
            UnknownItem(
                raw={"type": "server_tool_use", "id": "s1", "name": "w", "input": {"q": 1}}, origin=made(item_id="s1")
            ),
        ],
        [Loss("content", "hologram")],
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversations(name: str) -> None:
    """Messages become the items they were made of."""
    messages, items, losses = CONVERSATIONS[name]
    assert read(messages=messages) == (Prompt(items, model="claude"), losses)


def test_tools_and_how_they_are_loaded() -> None:
    """Function tools are read, tools of the provider's are kept raw, ways of loading are a loss."""
    prompt, losses = read(
        tools=[
            {"name": "a", "input_schema": SCHEMA, "defer_loading": True, "cache_control": MARK, "type": "custom"},
            {"name": "b"},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        ],
        tool_choice={"type": "tool", "name": "a", "disable_parallel_tool_use": False},
    )
    web: JsonObject = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    assert prompt.tools == (ToolSpec("a", "", SCHEMA), ToolSpec("b", "", SCHEMA), HostedToolSpec(web, wire="messages"))
    assert (prompt.tool_choice, prompt.parallel_tool_calls) == (NamedTool("a"), True)
    assert losses == [Loss("tool.defer_loading"), Loss("cache_control")]
    alone, none_lost = read(tools=[web], tool_choice={"type": "tool", "name": "web_search"})
    assert (alone.tool_choice, none_lost) == ("required", [])


@pytest.mark.parametrize(
    ("members", "reasoning", "extra"),
    [
        ({"thinking": {"type": "disabled"}}, ReasoningSettings(effort="none"), {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, ReasoningSettings(budget_tokens=2048), {}),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, ReasoningSettings(summary="none"), {}),
        ({"output_config": {"effort": "max"}}, ReasoningSettings(effort="max"), {}),
        ({"thinking": {"type": "between_tools"}}, None, {"thinking": {"type": "between_tools"}}),
        ({}, None, {}),
    ],
)
def test_thinking(members: JsonObject, reasoning: ReasoningSettings | None, extra: JsonObject) -> None:
    """Each form of thinking is a reasoning setting; a form nobody knows is kept."""
    prompt, losses = read(**members)
    assert (prompt.reasoning, dict(prompt.extra), losses) == (reasoning, extra, [])


def test_what_claude_code_sends() -> None:
    """A request in the shape of Claude Code's is taken whole: what is not mapped or kept is named."""
    prompt, losses = read(
        system=[
            {"type": "text", "text": "billing"},
            {"type": "text", "text": "You are", "cache_control": MARK},
            {"type": "text", "text": "Rules", "cache_control": MARK},
        ],
        metadata={"user_id": "u"},
        max_tokens=32000,
        thinking={"type": "adaptive", "display": "summarized"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        output_config={"effort": "medium"},
        stream=True,
        tools=[
            {"name": "Bash", "description": "Runs.", "input_schema": SCHEMA},
            {"name": "DeferredToolPlaceholder", "description": "", "input_schema": SCHEMA, "defer_loading": True},
        ],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "ctx"}, {"type": "text", "text": "go"}]},
            {"role": "system", "content": "Tools changed."},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Running."},
                    {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.txt", "cache_control": MARK}
                ],
            },
        ],
    )
    kinds = [item.type for item in prompt.items]
    assert kinds == ["message", "message", "message", "function_call", "function_call_output"]
    assert (prompt.instructions, prompt.user, list(prompt.extra)) == (
        "billing\n\nYou are\n\nRules", "u", ["context_management"],
    )  # fmt: skip
    assert losses == [Loss("tool.defer_loading"), Loss("cache_control")]


BAD: list[tuple[bytes, str | None, str]] = [
    (b"", None, "no JSON"),
    (b"{", None, "no JSON"),
    (b"[" * 100_000, None, "no JSON"),
    (b"[]", None, "a JSON object"),
    (b"{}", "messages", "a list"),
    (b'{"messages": "hi"}', "messages", "a list"),
    (b'{"messages": []}', "messages", "at least one"),
    (b'{"messages": [1]}', "messages.0", "an object"),
    (b'{"messages": [{"role": "developer", "content": "x"}]}', "messages.0.role", "'developer'"),
    (b'{"messages": [{"role": "user", "content": 3}]}', "messages.0.content", "a list"),
    (b'{"messages": [{"role": "user", "content": [3]}]}', "messages.0.content.0", "an object"),
    (
        b'{"messages": [{"role": "user", "content": [{"type": "text", "text": 3}]}]}',
        "messages.0.content.0.text",
        "a string",
    ),
    (
        b'{"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}',
        "messages.0.content.0.tool_use_id",
        "the id",
    ),
    (b'{"model": 3, "messages": []}', "model", "a string"),
    (b'{"max_tokens": "x", "messages": [{"role": "user", "content": "x"}]}', "max_tokens", "a number"),
    (b'{"max_tokens": true, "messages": [{"role": "user", "content": "x"}]}', "max_tokens", "a number"),
    (b'{"max_tokens": 0, "messages": [{"role": "user", "content": "x"}]}', "max_tokens", "above 0"),
    (b'{"max_tokens": 1.5, "messages": [{"role": "user", "content": "x"}]}', "max_tokens", "a whole number"),
    (b'{"stop_sequences": [1], "messages": [{"role": "user", "content": "x"}]}', "stop_sequences", "strings"),
    (b'{"system": 1, "messages": [{"role": "user", "content": "x"}]}', "system", "a list"),
    (b'{"tools": [1], "messages": []}', "tools.0", "an object"),
    (b'{"tools": [{"name": "a", "input_schema": 1}], "messages": []}', "tools.0.input_schema", "an object"),
    (b'{"tools": [{}], "messages": [{"role": "user", "content": "x"}]}', None, "needs a name"),
    (
        b'{"tools": [{"name": "a"}, {"name": "a"}], "messages": [{"role": "user", "content": "x"}]}',
        None,
        "two tools are called 'a'",
    ),
    (b'{"tool_choice": {"type": "some"}, "messages": []}', "tool_choice.type", "'some'"),
    (
        b'{"tool_choice": {"type": "tool", "name": "x"}, "messages": [{"role": "user", "content": "x"}]}',
        None,
        "not among the tools",
    ),
]


@pytest.mark.parametrize(("body", "param", "message"), BAD)
def test_bad_requests(body: bytes, param: str | None, message: str) -> None:
    """A request that is wrong is a 400 naming the member, on one line."""
    with pytest.raises(InvalidRequestError) as caught:
        CODEC.decode_request(body)
    error = caught.value
    assert (error.status, error.error_type, error.param) == (400, "invalid_request_error", param)
    assert message in str(error)
    assert "\n" not in str(error)


ROUND_TRIPS: dict[str, Prompt] = {
    "everything": Prompt(
        [
            user_message("hi", "data:image/png;base64,iVBORw0KGgo="),
            Reasoning(content=("hm",), signature="c2ln", origin=made("thinking")),
            Message(role="assistant", content=(OutputText(text="a"), OutputText(text="b")), origin=made()),
            FunctionCall(call_id="t1", name="add", arguments='{"a":1}', origin=made(item_id="t1")),
            FunctionCallOutput(call_id="t1", output=(InputText(text="2"),), success=False),
            user_message("so?"),
        ],
        model="claude",
        instructions="Be brief.",
        tools=[ToolSpec("add", "Adds.", SCHEMA, strict=True)],
        tool_choice="auto",
        parallel_tool_calls=False,
        reasoning=ReasoningSettings(budget_tokens=2048, summary="auto"),
        sampling=SamplingSettings(top_p=0.97, stop=("x",)),
        max_output_tokens=4096,
        output_schema=OutputSchema(SCHEMA),
        user="u",
        service_tier="default",
        extra={"container": "c"},
    ),
    "a forced tool": Prompt(
        "hi", model="claude", tools=[ToolSpec("add")], tool_choice=NamedTool("add"), max_output_tokens=9
    ),
    "sampling": Prompt("hi", model="m", sampling=SamplingSettings(temperature=0.1, top_k=2), max_output_tokens=1),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_round_trips(name: str) -> None:
    """A prompt without losses, encoded and decoded, is the same prompt."""
    prompt = ROUND_TRIPS[name]
    encoded = CODEC.encode_request(prompt, Compat(reasoning_request="budget"))
    decoded = CODEC.decode_request(encoded.body)
    assert (encoded.losses, encoded.repairs, decoded.losses, decoded.prompt) == ((), (), (), prompt)
