"""Requests of the Responses wire: prompts to exact bodies, bodies of real clients to prompts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from agent_core.codecs.base import Compat, DecodedRequest, Loss
from agent_core.codecs.responses import CODEC
from agent_core.errors import InvalidPromptError, InvalidRequestError
from agent_core.items import (
    Compaction,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    GhostSnapshot,
    ImageGenerationCall,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    JsonValue,
    LocalShellAction,
    LocalShellCall,
    Message,
    Origin,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    ToolSearchCall,
    ToolSearchOutput,
    UnknownItem,
    WebSearchCall,
    assistant_message,
    system_message,
    user_message,
)
from agent_core.prompt import (
    CustomToolSpec,
    HostedToolSpec,
    NamedTool,
    OutputSchema,
    Prompt,
    ReasoningSettings,
    SamplingSettings,
    ToolSpec,
)

FULL = Compat(
    provider="acme",
    system_role="developer",
    custom_tools=True,
    encrypted_reasoning=True,
    prompt_cache_key=True,
    store=False,
)
HERE = Origin(wire="responses", provider="acme", model="gpt", item_id="it_1")
ADD = ToolSpec("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}}, strict=True)
ADD_JSON: JsonObject = {
    "type": "function",
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    "strict": True,
}
PATCH = CustomToolSpec("patch", "Patches.", {"type": "grammar", "syntax": "lark", "definition": "start: /x/"})
SEARCH: JsonObject = {"type": "web_search", "external_web_access": True}
USER: JsonObject = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}


@dataclass(frozen=True)
class Case:
    """A prompt and the members its body has beside `model`, `stream` and `input`; the input where it is not USER."""

    prompt: Prompt
    members: JsonObject = field(default_factory=dict[str, JsonValue])
    losses: tuple[Loss, ...] = ()
    compat: Compat = FULL
    input: list[JsonValue] = field(default_factory=lambda: list[JsonValue]([USER]))


def lost(*features: str) -> tuple[Loss, ...]:
    return tuple(Loss(feature) for feature in features)


LOOSE = ToolSpec("loose", parameters={"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}})
STRICT = ToolSpec("strict", parameters=LOOSE.parameters, strict=True)
CLOSED: JsonObject = {
    "type": "object",
    "properties": {"a": {"type": ["string", "null"], "description": "minLength: 1"}},
    "required": ["a"],
    "additionalProperties": False,
}

SETTINGS: dict[str, Case] = {
    "a model that reasons unasked": Case(
        Prompt("hi", model="gpt"),
        {"store": False, "include": ["reasoning.encrypted_content"]},
        compat=Compat(provider="acme", store=False, encrypted_reasoning=True, reasons_by_default=True),
    ),
    "no sampling while it reasons": Case(
        Prompt("hi", model="gpt", sampling=SamplingSettings(temperature=0.5, logprobs=1)),
        {},
        (
            Loss("temperature", "the model takes no sampling settings"),
            Loss("top_logprobs", "the model takes no sampling settings"),
        ),
        Compat(sampling_beside_reasoning=False, reasons_by_default=True),
    ),
    "sampling while it does not": Case(
        Prompt("hi", model="gpt", sampling=SamplingSettings(temperature=0.5), reasoning=ReasoningSettings("none")),
        {"temperature": 0.5, "reasoning": {"effort": "none"}},
        compat=Compat(sampling_beside_reasoning=False, reasons_by_default=True),
    ),
    "an effort the model has not": Case(
        Prompt("hi", model="gpt", reasoning=ReasoningSettings("minimal")),
        {"reasoning": {"effort": "low"}},
        (Loss("reasoning_effort", "'minimal' became 'low'"),),
        Compat(efforts=("low", "high")),
    ),
    "T-N4 schemas that ask for strict": Case(
        Prompt("hi", model="gpt", tools=[LOOSE, STRICT], output_schema=OutputSchema(dict(STRICT.parameters), "out")),
        {
            "tools": [
                {"type": "function", "name": "loose", "parameters": dict(LOOSE.parameters)},
                {"type": "function", "name": "strict", "parameters": CLOSED, "strict": True},
            ],
            "tool_choice": "auto",
            "text": {"format": {"type": "json_schema", "name": "out", "schema": CLOSED, "strict": True}},
        },
        (
            Loss("schema", "output schema 'out': minLength (at #/properties/a)"),
            Loss("schema", "tool 'strict': minLength (at #/properties/a)"),
        ),
        Compat(schema_dialect="openai_strict"),
    ),
    "nothing but text": Case(Prompt("hi", model="gpt"), {"store": False}),
    "all the standard takes": Case(
        Prompt(
            "hi",
            model="gpt",
            instructions="Be brief.",
            tools=[ADD, PATCH, HostedToolSpec(SEARCH)],
            tool_choice=NamedTool("patch"),
            parallel_tool_calls=False,
            reasoning=ReasoningSettings(effort="low", summary="auto"),
            sampling=SamplingSettings(temperature=0.5, top_p=0.9, logprobs=3),
            max_output_tokens=100,
            output_schema=OutputSchema({"type": "object"}, name="answer"),
            verbosity="low",
            prompt_cache_key="k",
            metadata={"a": "b"},
            user="u",
            service_tier="flex",
            store=True,
            previous_response_id="resp_0",
        ),
        {
            "instructions": "Be brief.",
            "tools": [
                ADD_JSON,
                {"type": "custom", "name": "patch", "description": "Patches.", "format": dict(PATCH.format or {})},
                SEARCH,
            ],
            "tool_choice": {"type": "custom", "name": "patch"},
            "parallel_tool_calls": False,
            "reasoning": {"effort": "low", "summary": "auto"},
            "text": {
                "format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}, "strict": True},
                "verbosity": "low",
            },
            "max_output_tokens": 100,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_logprobs": 3,
            "store": True,
            "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
            "prompt_cache_key": "k",
            "metadata": {"a": "b"},
            "user": "u",
            "service_tier": "flex",
            "previous_response_id": "resp_0",
        },
    ),
    "what the wire has no member for": Case(
        Prompt(
            "hi",
            model="gpt",
            reasoning=ReasoningSettings(budget_tokens=1000),
            sampling=SamplingSettings(top_k=1, stop=("x",), seed=2, presence_penalty=0.1, frequency_penalty=0.2, n=2),
        ),
        {"store": False, "include": ["reasoning.encrypted_content"]},
        lost("reasoning.budget_tokens", "top_k", "stop", "seed", "presence_penalty", "frequency_penalty", "n"),
    ),
    "a server that knows little": Case(
        Prompt(
            "hi",
            model="gpt",
            tools=[ADD, PATCH, HostedToolSpec({"type": "x"}, wire="messages")],
            tool_choice=NamedTool("patch"),
            parallel_tool_calls=False,
            reasoning=ReasoningSettings(effort="low"),
            sampling=SamplingSettings(temperature=1.5, top_p=0.5),
            output_schema=OutputSchema({"type": "object"}),
            prompt_cache_key="k",
        ),
        {
            "tools": [
                {name: value for name, value in ADD_JSON.items() if name != "strict"},
                {
                    "type": "function",
                    "name": "patch",
                    "description": "Patches.\n\nThe input must follow this grammar:\nstart: /x/",
                    "parameters": {
                        "type": "object",
                        "properties": {"input": {"type": "string"}},
                        "required": ["input"],
                        "additionalProperties": False,
                    },
                },
            ],
            "tool_choice": "auto",
            "instructions": 'Answer with one JSON object of this schema: {"type":"object"}',
            "text": {"format": {"type": "json_object"}},
            "max_output_tokens": 64,
        },
        (
            Loss("output_schema", "only JSON is enforced; the instructions say it"),
            Loss("strict", "tool 'add'"),
            Loss("hosted_tool", "a tool of the messages wire"),
            Loss("tool_choice", "the server cannot be made to call a tool"),
            Loss("parallel_tool_calls"),
            Loss("reasoning", "the model takes no reasoning settings"),
            Loss("temperature", "the model takes no sampling settings"),
            Loss("top_p", "the model takes no sampling settings"),
            Loss("prompt_cache_key"),
        ),
        Compat(
            strict_tools=False,
            named_choice=False,
            required_choice="auto",
            parallel_tool_calls=False,
            reasoning_request="none",
            sampling=False,
            output_schema="json_object",
            default_max_tokens=64,
        ),
    ),
    "a lowered tool by name": Case(
        Prompt("hi", model="gpt", tools=[CustomToolSpec("note")], tool_choice=NamedTool("note")),
        {
            "tools": [
                {
                    "type": "function",
                    "name": "note",
                    "parameters": {
                        "type": "object",
                        "properties": {"input": {"type": "string"}},
                        "required": ["input"],
                        "additionalProperties": False,
                    },
                }
            ],
            "tool_choice": {"type": "function", "name": "note"},
        },
        compat=Compat(),
    ),
    "a reasoning budget as OpenRouter takes it, a temperature over the cap": Case(
        Prompt(
            "hi",
            model="gpt",
            reasoning=ReasoningSettings(budget_tokens=9),
            sampling=SamplingSettings(temperature=1.5),
        ),
        {"reasoning": {"max_tokens": 9}, "temperature": 1.0},
        (Loss("temperature", "lowered to 1.0"),),
        Compat(reasoning_request="object", temperature_max=1.0),
    ),
    "extra members have the last word": Case(
        Prompt("hi", model="gpt", extra={"truncation": "auto", "store": True}),
        {"store": True, "x": 1, "truncation": "auto"},
        compat=Compat(store=False, extra_body={"x": 1, "truncation": "disabled"}),
    ),
    "also over the input": Case(Prompt("hi", model="gpt", extra={"input": []}), {}, compat=Compat(), input=[]),
    "no model, lone halves of characters": Case(
        Prompt("hi", instructions="a\ud83db"), {"instructions": "a\ufffdb"}, compat=Compat()
    ),
    "the first system message joins the instructions, a later one is the user's": Case(
        Prompt([system_message("one"), user_message("hi"), system_message("two")], model="gpt", instructions="zero"),
        {"instructions": "zero\n\none"},
        compat=Compat(merge_system=True),
        input=[USER, {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "two"}]}],
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name: str) -> None:
    """A prompt becomes exactly this body, and reports exactly these losses."""
    case = SETTINGS[name]
    encoded = CODEC.encode_request(case.prompt, case.compat)
    model: JsonObject = {"model": case.prompt.model} if case.prompt.model else {}
    body = json.loads(encoded.body)
    assert body == {**model, "stream": True, **case.members, "input": case.input}
    assert list(body)[-1] == "input"
    assert encoded.losses == case.losses


def item_case(
    item: ResponseItem, *wire: JsonValue, compat: Compat = FULL
) -> tuple[ResponseItem, list[JsonValue], Compat]:
    return item, list(wire), compat


STORED = Compat(provider="acme", send_item_ids=True, custom_tools=True)
SUMMARY: JsonValue = [{"type": "summary_text", "text": "s"}]
CALL = FunctionCall(call_id="call_1", name="add", arguments='{"a": 1}', origin=HERE)
CALL_JSON: JsonObject = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": '{"a": 1}'}


def output_json(output: JsonValue) -> JsonObject:
    return {"type": "function_call_output", "call_id": "call_1", "output": output}


ITEMS: dict[str, tuple[ResponseItem, list[JsonValue], Compat]] = {
    "user text": item_case(user_message("hi"), USER),
    "user text as a string": item_case(
        user_message("hi"), {"type": "message", "role": "user", "content": "hi"}, compat=Compat(content_as_string=True)
    ),
    "image and file": item_case(
        Message(
            role="user",
            content=(
                InputImage(image_url="https://x/y.png", detail="high"),
                InputFile(filename="a.pdf", file_data="data:application/pdf;base64,QQ=="),
                InputFile(file_id="file_1"),
            ),
        ),
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": "https://x/y.png", "detail": "high"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="},
                {"type": "input_file", "file_id": "file_1"},
            ],
        },
    ),
    "system becomes the profile's role": item_case(
        system_message("s"),
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "s"}]},
    ),
    "assistant text, refusal, phase and citations": item_case(
        Message(
            role="assistant",
            content=(OutputText(text="a", annotations=({"type": "url_citation"},)), Refusal(refusal="no")),
            phase="commentary",
            origin=HERE,
        ),
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "a", "annotations": [{"type": "url_citation"}]},
                {"type": "refusal", "refusal": "no"},
            ],
            "phase": "commentary",
        },
    ),
    "ids only where responses are stored": item_case(
        assistant_message("a").model_copy(update={"origin": HERE}),
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}], "id": "it_1"},
        compat=STORED,
    ),
    "no id of another provider's": item_case(
        assistant_message("a").model_copy(update={"origin": HERE.model_copy(update={"provider": "other"})}),
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        compat=STORED,
    ),
    "no id of another wire's": item_case(
        assistant_message("a").model_copy(update={"origin": HERE.model_copy(update={"wire": "chat"})}),
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        compat=STORED,
    ),
    "encrypted reasoning, its text not sent twice": item_case(
        Reasoning(summary=("s",), content=("c",), encrypted_content="x", opaque={"format": "f"}, origin=HERE),
        {"type": "reasoning", "summary": SUMMARY, "encrypted_content": "x", "format": "f"},
    ),
    "open reasoning": item_case(
        Reasoning(content=("c",), origin=HERE.model_copy(update={"field": "reasoning_text"})),
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "c"}]},
        compat=Compat(provider="acme"),
    ),
    "custom call": item_case(
        CustomToolCall(call_id="call_1", name="patch", input="x\n", namespace="n", origin=HERE),
        {"type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": "x\n", "namespace": "n"},
    ),
    "local shell call": item_case(
        LocalShellCall(call_id="call_1", action=LocalShellAction(command=("ls",), timeout_ms=5), origin=HERE),
        {
            "type": "local_shell_call",
            "call_id": "call_1",
            "status": "completed",
            "action": {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": 5},
        },
    ),
    "tool search call": item_case(
        ToolSearchCall(call_id="call_1", arguments={"query": "q"}, origin=HERE),
        {"type": "tool_search_call", "call_id": "call_1", "execution": "client", "arguments": {"query": "q"}},
    ),
    "web search, codex#6945: an action nobody knows is not echoed": item_case(
        WebSearchCall(action={"type": "other"}, status="completed", origin=HERE),
        {"type": "web_search_call", "status": "completed"},
    ),
    "image call, which has no form without its id": item_case(
        ImageGenerationCall(result="QQ==", revised_prompt="p", status="completed", origin=HERE),
        {
            "type": "image_generation_call",
            "status": "completed",
            "result": "QQ==",
            "revised_prompt": "p",
            "id": "it_1",
        },
    ),
    "compaction": item_case(
        Compaction(encrypted_content="x", origin=HERE), {"type": "compaction", "encrypted_content": "x"}
    ),
    "an unknown item goes back as it came": item_case(
        UnknownItem(raw={"type": "mcp_list_tools", "id": "m", "tools": [None]}, origin=HERE),
        {"type": "mcp_list_tools", "id": "m", "tools": [None]},
    ),
}

OUTPUTS: dict[str, tuple[ResponseItem, JsonValue]] = {
    "text": (FunctionCallOutput(call_id="call_1", output="3"), "3"),
    "an error": (FunctionCallOutput(call_id="call_1", output="boom", success=False), "Error: boom"),
    "an error that says so": (FunctionCallOutput(call_id="call_1", output="Error: x", success=False), "Error: x"),
    "parts": (
        FunctionCallOutput(
            call_id="call_1", output=(InputText(text="a"), InputImage(image_url="data:image/png;base64,iVBORw0KGgo="))
        ),
        [
            {"type": "input_text", "text": "a"},
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"},
        ],
    ),
    "an image of a given detail": (
        FunctionCallOutput(
            call_id="call_1", output=(InputImage(image_url="data:image/png;base64,iVBORw0KGgo=", detail="low"),)
        ),
        [{"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}],
    ),
    "an error in parts": (
        FunctionCallOutput(call_id="call_1", output=(InputText(text="a"),), success=False),
        [{"type": "input_text", "text": "Error: a"}],
    ),
    "an error in an image": (
        FunctionCallOutput(
            call_id="call_1", output=(InputImage(image_url="data:image/png;base64,iVBORw0KGgo="),), success=False
        ),
        [
            {"type": "input_text", "text": "Error"},
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"},
        ],
    ),
}


def sent(items: list[ResponseItem], compat: Compat) -> list[JsonValue]:
    body = json.loads(CODEC.encode_request(Prompt(items, model="gpt"), compat).body)
    sent_items: list[JsonValue] = body["input"]
    return sent_items


@pytest.mark.parametrize("name", ITEMS)
def test_items(name: str) -> None:
    """An item becomes exactly this member of the input; calls are answered, as replay promises."""
    item, wire, compat = ITEMS[name]
    after = [assistant_message("next")] if isinstance(item, Reasoning) else []
    found = sent([item, *after], compat)
    assert (found[: len(wire)] if wire else found) == wire


def test_a_snapshot_is_never_sent() -> None:
    """It is not in the input; alone, it leaves nothing to send, and that is said."""
    snapshot = GhostSnapshot(ghost_commit={"id": "c"})
    assert sent([user_message("hi"), snapshot], FULL) == sent([user_message("hi")], FULL)
    with pytest.raises(InvalidPromptError, match="no item to send"):
        sent([snapshot], FULL)


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs(name: str) -> None:
    """An output is text or parts; a failed one says so, once."""
    item, wire = OUTPUTS[name]
    assert sent([CALL, item], FULL) == [CALL_JSON, output_json(wire)]


def test_custom_output_and_tool_search_output() -> None:
    """Every kind of call has its own kind of output."""
    items: list[ResponseItem] = [
        CustomToolCall(call_id="c1", name="patch", input="x", origin=HERE),
        CustomToolCallOutput(call_id="c1", output="done"),
        ToolSearchCall(call_id="c2", arguments={}, origin=HERE),
        ToolSearchOutput(call_id="c2", tools=({"name": "t"},)),
    ]
    assert sent(items, FULL)[1::2] == [
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
        {
            "type": "tool_search_output",
            "call_id": "c2",
            "execution": "client",
            "status": "completed",
            "tools": [{"name": "t"}],
        },
    ]


def test_stream_is_always_said() -> None:
    """Servers disagree on the default, so the body says whether to stream."""
    assert json.loads(CODEC.encode_request(Prompt("hi"), Compat(), stream=False).body)["stream"] is False


def test_empty_tools() -> None:
    """pains.md 13: an empty tool list is sent only where the profile wants it beside calls in the history."""
    history: list[ResponseItem] = [CALL, FunctionCallOutput(call_id="call_1", output="3")]
    assert b'"tools"' not in CODEC.encode_request(Prompt(history), Compat()).body
    assert b'"tools":[]' in CODEC.encode_request(Prompt(history), Compat(empty_tools="send")).body
    assert b'"tools"' not in CODEC.encode_request(Prompt("hi"), Compat(empty_tools="send")).body


def test_longer_history_starts_with_the_bytes_of_the_shorter() -> None:
    """The input is last, so that one more item only appends: prompt caches live on it."""
    items: list[ResponseItem] = [user_message("hi"), assistant_message("a"), CALL]
    items += [FunctionCallOutput(call_id="call_1", output="3"), user_message("more")]
    bodies = [CODEC.encode_request(Prompt(items[:n], model="gpt", tools=[ADD]), FULL).body for n in (1, 2, 4, 5)]
    for shorter, longer in pairwise(bodies):
        assert longer.startswith(shorter.removesuffix(b"]}"))


# requests read


def read(**members: JsonValue) -> DecodedRequest:
    return CODEC.decode_request(json.dumps({"model": "gpt", "input": "hi", **members}).encode())


def test_codex_request() -> None:
    """What Codex sends is taken whole: developer messages, namespaces, custom tools, tools as an input item."""
    client = Origin(wire="responses", model="gpt", item_id="at_1")
    tools: JsonObject = {"type": "additional_tools", "id": "at_1", "role": "developer", "tools": [{"type": "custom"}]}
    namespace: JsonObject = {"type": "namespace", "name": "multi", "tools": [{"type": "function", "name": "wait"}]}
    finder: JsonObject = {"type": "tool_search", "execution": "client", "parameters": {}}
    grammar: JsonObject = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
    decoded = read(
        stream=True,
        store=False,
        include=["reasoning.encrypted_content"],
        tool_choice="auto",
        parallel_tool_calls=True,
        reasoning={"effort": "medium", "context": "all_turns"},
        text={"verbosity": "low"},
        prompt_cache_key="k",
        client_metadata={"session_id": "s"},
        tools=[
            ADD_JSON,
            namespace,
            {"type": "custom", "name": "patch", "description": "Patches.", "format": grammar},
            finder,
            SEARCH,
        ],
        input=[
            tools,
            {"type": "message", "role": "developer", "id": "msg_1", "content": [{"type": "input_text", "text": "d"}]},
            {"role": "user", "content": "hi"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
            {**CALL_JSON, "id": "fc_1", "status": "completed", "namespace": "multi"},
            {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "3"},
        ],
    )
    assert decoded == DecodedRequest(
        Prompt(
            [
                UnknownItem(raw=tools, origin=client),
                Message(role="developer", content=(InputText(text="d"),), id="msg_1"),
                user_message("hi"),
                Reasoning(
                    encrypted_content="x",
                    origin=client.model_copy(update={"item_id": "rs_1", "field": "encrypted_content"}),
                ),
                CALL.model_copy(update={"namespace": "multi", "origin": client.model_copy(update={"item_id": "fc_1"})}),
                FunctionCallOutput(call_id="call_1", output="3", id="fco_1"),
            ],
            model="gpt",
            tools=[ADD, HostedToolSpec(namespace), PATCH, HostedToolSpec(finder), HostedToolSpec(SEARCH)],
            parallel_tool_calls=True,
            reasoning=ReasoningSettings(effort="medium"),
            prompt_cache_key="k",
            verbosity="low",
            store=False,
            extra={"client_metadata": {"session_id": "s"}},
        ),
        stream=True,
        include_usage=True,
        losses=lost("reasoning.context"),
    )


CHOICES: dict[str, tuple[JsonValue, list[JsonValue], object, tuple[Loss, ...]]] = {
    "a function": ({"type": "function", "name": "add"}, [ADD_JSON], NamedTool("add"), ()),
    "required": ("required", [ADD_JSON], "required", ()),
    "none": ("none", [ADD_JSON], "none", ()),
    "a hosted tool": (
        {"type": "web_search"},
        [SEARCH],
        "required",
        (Loss("tool_choice", "a choice this prompt cannot express"),),
    ),
    "some may be called": (
        {"type": "allowed_tools", "mode": "auto", "tools": []},
        [ADD_JSON],
        "auto",
        (Loss("tool_choice", "a choice this prompt cannot express"),),
    ),
    "a function in a namespace": (
        {"type": "function", "name": "wait"},
        [{"type": "namespace", "name": "n"}],
        "required",
        (Loss("tool_choice", "a choice this prompt cannot express"),),
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_choices(name: str) -> None:
    """A tool choice is kept, or the nearest one is taken and reported; it is never refused for being hosted."""
    choice, tools, expected, losses = CHOICES[name]
    decoded = read(tools=tools, tool_choice=choice)
    assert (decoded.prompt.tool_choice, decoded.losses) == (expected, losses)


WRONG: dict[str, tuple[bytes, str, str | None]] = {
    "no JSON": (b"{", "the body is not JSON", None),
    "no object": (b"[]", "the body must be a JSON object", None),
    "no input": (b'{"model":"m"}', "input: is missing", "input"),
    "input is a number": (b'{"input":1}', "input: must be a string or a list of items, not int", "input"),
    "an item is text": (b'{"input":["x"]}', "input[0]: must be an object, not str", "input[0]"),
    "an item without a type": (b'{"input":[{}]}', "input[0].type: must be a string, not NoneType", "input[0].type"),
    "a role nobody has": (
        b'{"input":[{"role":"tool","content":"x"}]}',
        "input[0].role: must be one of system, developer, user, assistant, not 'tool'",
        "input[0].role",
    ),
    "no content": (
        b'{"input":[{"role":"user"}]}',
        "input[0].content: must be a string or a list of parts",
        "input[0].content",
    ),
    "an output that answers nothing": (
        b'{"input":[{"type":"function_call_output","output":"x"}]}',
        "input[0].call_id: a function_call_output needs it",
        "input[0].call_id",
    ),
    "stream is a word": (b'{"input":"x","stream":"yes"}', "stream: must be true or false, not str", "stream"),
    "temperature is a flag": (
        b'{"input":"x","temperature":true}',
        "temperature: must be a number, not bool",
        "temperature",
    ),
    "a tool without a name": (
        b'{"input":"x","tools":[{"type":"function"}]}',
        "tools[0].name: a tool needs a name",
        "tools[0].name",
    ),
    "two tools of one name": (
        b'{"input":"x","tools":[{"type":"function","name":"a"},{"type":"custom","name":"a"}]}',
        "two tools are called 'a'",
        None,
    ),
    "a choice that is not there": (
        b'{"input":"x","tools":[{"type":"function","name":"a"}],"tool_choice":{"type":"function","name":"b"}}',
        "tool_choice names 'b', which is not among the tools ['a']",
        None,
    ),
    "a format nobody knows": (
        b'{"input":"x","text":{"format":{"type":"xml"}}}',
        "text.format.type: must be text, json_object or json_schema, not 'xml'",
        "text.format.type",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests(name: str) -> None:
    """A wrong body is refused with HTTP 400 and the name of the member."""
    body, says, param = WRONG[name]
    with pytest.raises(InvalidRequestError) as caught:
        CODEC.decode_request(body)
    assert caught.value.message.startswith(says)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_request_members_read() -> None:
    """Formats, sampling and the rest have their place in the prompt; what has none goes on as it is, or is a loss."""
    decoded = read(
        text={"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": True}},
        temperature=0.5,
        max_output_tokens=9,
        metadata={"a": "b"},
        include=["web_search_call.action.sources"],
        truncation="auto",
        background=True,
        input=[{"role": "user", "content": [{"type": "input_audio"}, {"type": "text", "text": "hi"}]}],
    )
    assert decoded.prompt == Prompt(
        "hi",
        model="gpt",
        output_schema=OutputSchema({"type": "object"}, name="a"),
        sampling=SamplingSettings(temperature=0.5),
        max_output_tokens=9,
        metadata={"a": "b"},
        extra={"truncation": "auto"},
    )
    assert decoded.losses == (
        Loss("background"),
        Loss("content.input_audio", "input[0]"),
        Loss("include.web_search_call.action.sources"),
    )


@pytest.mark.parametrize("kept", [False, True])
def test_ids_of_what_is_not_stored(kept: bool) -> None:
    """S1-53: ids go out where responses are stored; a prompt that says `store=False` has nothing to name."""
    compat = Compat(provider="acme", store=True, send_item_ids=True)
    item = assistant_message("a").model_copy(update={"origin": HERE})
    encoder = CODEC.request_encoder(compat)
    prompts = [Prompt([item], model="gpt", store=store) for store in (None, False, True)]
    bodies = [(encoder.encode(p) if kept else CODEC.encode_request(p, compat)).body for p in prompts]
    assert [b'"id":"it_1"' in body for body in bodies] == [True, False, True]
