"""Chat requests: prompts in, exact bodies out, and bodies back into prompts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise

import pytest
from msgspec.structs import replace

from agent_core.codecs.base import Compat, Loss, json_bytes
from agent_core.codecs.chat import CODEC
from agent_core.errors import InvalidPromptError, InvalidRequestError, UnsupportedError
from agent_core.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    JsonValue,
    LocalShellAction,
    LocalShellCall,
    Message,
    Origin,
    Reasoning,
    Refusal,
    ResponseItem,
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
    ToolSpecs,
)

PLAIN = Compat()
U = user_message("u")
USER: JsonObject = {"role": "user", "content": "u"}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def body_of(prompt: Prompt, compat: Compat | None = None, *, stream: bool = False) -> JsonObject:
    loaded: JsonObject = json.loads(CODEC.encode_request(prompt, compat or Compat(), stream=stream).body)
    return loaded


def messages_of(items: list[ResponseItem], compat: Compat | None = None, instructions: str = "") -> JsonValue:
    return body_of(Prompt(items, instructions=instructions), compat)["messages"]


def call(call_id: str = "c1", name: str = "f", arguments: str = "{}") -> FunctionCall:
    return FunctionCall(call_id=call_id, name=name, arguments=arguments)


def out(call_id: str = "c1", text: str = "ok", success: bool | None = None) -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output=text, success=success)


def thought(text: str = "r", field: str = "", details: tuple[JsonObject, ...] = ()) -> Reasoning:
    origin = Origin(wire="chat", field=field) if field else None
    return Reasoning(content=(text,) if text else (), details=details, origin=origin)


def wire_call(call_id: str = "c1", name: str = "f", arguments: str = "{}") -> JsonObject:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(call_id: str = "c1", content: JsonValue = "ok", **members: JsonValue) -> JsonObject:
    return {"role": "tool", "tool_call_id": call_id, **members, "content": content}


def assistant(content: JsonValue, **members: JsonValue) -> JsonObject:
    return {"role": "assistant", "content": content, **members}


@dataclass(frozen=True)
class Row:
    items: list[ResponseItem]
    messages: list[JsonValue]
    compat: Compat = PLAIN
    instructions: str = ""


IMAGE: JsonObject = {"type": "image_url", "image_url": {"url": PIXEL}}
DETAIL: JsonObject = {"type": "reasoning.text", "index": 0, "text": "r", "signature": "s"}
OPEN: list[ResponseItem] = [U, call(), out()]

ROWS: dict[str, Row] = {
    "T-B1 user, assistant": Row([U, assistant_message("a1")], [USER, assistant("a1")]),
    "T-B2 reasoning after the message it belongs to": Row(
        [U, assistant_message("a1"), thought("rA")], [USER, assistant("a1", reasoning="rA")]
    ),
    "T-B3 reasoning before a call": Row(
        [U, thought("r"), call(), out()], [USER, assistant(None, reasoning="r", tool_calls=[wire_call()]), tool()]
    ),
    "T-B8 the same text twice": Row([U, assistant_message("x"), assistant_message("x")], [USER, assistant("x")]),
    "codex three calls are one message": Row(
        [U, call("a"), call("b"), call("c"), out("a", "1"), out("b", "2"), out("c", "3")],
        [
            {"role": "system", "content": "be brief"},
            USER,
            assistant(None, tool_calls=[wire_call("a"), wire_call("b"), wire_call("c")]),
            tool("a", "1"),
            tool("b", "2"),
            tool("c", "3"),
        ],
        instructions="be brief",
    ),
    "X-S1-01 two reasonings, one call": Row(
        [U, thought("R1"), thought("R2"), call(), out()],
        [USER, assistant(None, reasoning="R1\nR2", tool_calls=[wire_call()]), tool()],
    ),
    "X-S1-05 text, calls and outputs of one step": Row(
        [U, assistant_message("t"), call("a"), call("b"), out("a", "1"), out("b", "2")],
        [USER, assistant("t", tool_calls=[wire_call("a"), wire_call("b")]), tool("a", "1"), tool("b", "2")],
    ),
    "X-S1-06 the same text in two turns": Row(
        [U, assistant_message("ok"), U, assistant_message("ok"), U],
        [USER, assistant("ok"), USER, assistant("ok"), USER],
    ),
    "X-S1-03 no arguments": Row(
        [U, call(arguments=""), out()], [USER, assistant(None, tool_calls=[wire_call()]), tool()]
    ),
    "S1-2 no instructions, no system message": Row([U], [USER]),
    "system in the middle keeps its place": Row(
        [U, system_message("s"), U], [USER, {"role": "system", "content": "s"}, USER]
    ),
    "system_role": Row(
        [U, system_message("s")],
        [{"role": "developer", "content": "i"}, USER, {"role": "developer", "content": "s"}],
        Compat(system_role="developer"),
        "i",
    ),
    "merge_system": Row(
        [U, system_message("s"), U],
        [{"role": "system", "content": "i\n\ns"}, USER, USER],
        Compat(merge_system=True),
        "i",
    ),
    "S1-14 text and image": Row(
        [user_message("look", PIXEL)],
        [{"role": "user", "content": [{"type": "text", "text": "look"}, IMAGE]}],
    ),
    "S1-13 several texts are one string": Row(
        [Message(role="user", content=(InputText(text="a"), InputText(text="b")))], [{"role": "user", "content": "ab"}]
    ),
    "image detail": Row(
        [Message(role="user", content=(InputImage(image_url=PIXEL, detail="low"),))],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}]}],
    ),
    "file": Row(
        [Message(role="user", content=(InputText(text="a"), InputFile(filename="x.pdf", file_data="data:,")))],
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "file", "file": {"filename": "x.pdf", "file_data": "data:,"}},
                ],
            }
        ],
    ),
    "refusal is said as text": Row(
        [U, Message(role="assistant", content=(Refusal(refusal="no"),)), U], [USER, assistant("no"), USER]
    ),
    "failed output": Row(
        [U, call(), out(text="boom", success=False)],
        [USER, assistant(None, tool_calls=[wire_call()]), tool(content="Error: boom")],
    ),
    "failed output, bare": Row(
        [U, call(), out(text="boom", success=False)],
        [USER, assistant(None, tool_calls=[wire_call()]), tool(content="boom")],
        Compat(error_prefix=""),
    ),
    "omit_null_content, tool_message_name (Mistral)": Row(
        OPEN,
        [USER, {"role": "assistant", "tool_calls": [wire_call()]}, tool(name="f")],
        Compat(omit_null_content=True, tool_message_name=True),
    ),
    "image in an output": Row(
        [U, call(), FunctionCallOutput(call_id="c1", output=(InputText(text="t"), InputImage(image_url=PIXEL)))],
        [USER, assistant(None, tool_calls=[wire_call()]), tool(content=[{"type": "text", "text": "t"}, IMAGE])],
    ),
    "images of outputs follow them as the user's": Row(
        [
            U,
            call("a"),
            call("b"),
            FunctionCallOutput(call_id="a", output=(InputImage(image_url=PIXEL),)),
            out("b"),
            U,
        ],
        [
            USER,
            assistant(None, tool_calls=[wire_call("a"), wire_call("b")]),
            tool("a", "(see attached image)"),
            tool("b"),
            {"role": "user", "content": [{"type": "text", "text": "Images from the tool results above:"}, IMAGE]},
            USER,
        ],
        Compat(images_in_tool_results=False),
    ),
    "X-S1-07 a custom call where there are none": Row(
        [
            U,
            CustomToolCall(call_id="c1", name="patch", input="*** Begin"),
            CustomToolCallOutput(call_id="c1", output="ok"),
        ],
        [USER, assistant(None, tool_calls=[wire_call(name="patch", arguments='{"input":"*** Begin"}')]), tool()],
    ),
    "X-S1-07 a custom call where there are": Row(
        [
            U,
            CustomToolCall(call_id="c1", name="patch", input="*** Begin"),
            CustomToolCallOutput(call_id="c1", output="ok"),
        ],
        [
            USER,
            assistant(
                None, tool_calls=[{"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}]
            ),
            tool(),
        ],
        Compat(custom_tools=True),
    ),
    "reasoning in the field it came in": Row(
        [U, thought(field="reasoning_content"), *OPEN[1:]],
        [USER, assistant(None, reasoning_content="r", tool_calls=[wire_call()]), tool()],
    ),
    "reasoning in the field the profile says": Row(
        [U, thought(field="reasoning"), *OPEN[1:]],
        [USER, assistant(None, reasoning_content="r", tool_calls=[wire_call()]), tool()],
        Compat(reasoning_field="reasoning_content"),
    ),
    "reasoning details verbatim, and not twice": Row(
        [U, thought(field="reasoning_details", details=(DETAIL,)), *OPEN[1:]],
        [USER, assistant(None, reasoning_details=[DETAIL], tool_calls=[wire_call()]), tool()],
    ),
    "reasoning as a content list (Mistral)": Row(
        [U, thought(field="content"), assistant_message("a"), *OPEN[1:]],
        [
            USER,
            assistant(
                [{"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}, {"type": "text", "text": "a"}],
                tool_calls=[wire_call()],
            ),
            tool(),
        ],
    ),
    "reasoning in tags (Cerebras)": Row(
        [U, thought(), assistant_message("a"), *OPEN[1:]],
        [USER, assistant("<think>\nr\n</think>\n\na", tool_calls=[wire_call()]), tool()],
        Compat(reasoning_field="think_tag"),
    ),
    "reasoning that never goes back": Row(
        [U, thought(), *OPEN[1:]],
        [USER, assistant(None, tool_calls=[wire_call()]), tool()],
        Compat(reasoning_field="none"),
    ),
    "an empty reasoning field on every message (DeepSeek)": Row(
        [U, assistant_message("a"), U],
        [USER, assistant("a", reasoning_content=""), USER],
        Compat(reasoning_always_present=True),
    ),
    "an empty reasoning field also where a user turned reasoning off": Row(
        [U, thought(), assistant_message("a")],
        [USER, assistant("a", reasoning_content="")],
        Compat(reasoning_always_present=True, reasoning_replay="never"),
    ),
    "an opaque member goes back with its call (Gemini)": Row(
        [U, call().model_copy(update={"opaque": {"extra_content": {"google": {"thought_signature": "s"}}}}), out()],
        [
            USER,
            assistant(None, tool_calls=[{**wire_call(), "extra_content": {"google": {"thought_signature": "s"}}}]),
            tool(),
        ],
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_items_become_exactly_these_messages(name: str) -> None:
    """One assistant message per step, its outputs at once behind it, everything in the form the profile asks for."""
    row = ROWS[name]
    assert messages_of(row.items, row.compat, row.instructions) == row.messages


def test_a_local_shell_call_is_a_function_call() -> None:
    """X-S1-07: its output answers the same id."""
    shell = LocalShellCall(call_id="c1", action=LocalShellAction(command=("ls",)))
    messages = messages_of([U, shell, out()])
    assert isinstance(messages, list)
    made = messages[1]
    assert isinstance(made, dict) and isinstance(made["tool_calls"], list)
    assert made["tool_calls"][0] == wire_call(name="local_shell", arguments='{"command":["ls"]}')
    assert messages[2] == tool()


F = ToolSpec("f", "does f", {"type": "object", "properties": {"x": {"type": "integer"}}}, strict=True)
WIRE_F: JsonObject = {
    "type": "function",
    "function": {"name": "f", "description": "does f", "parameters": dict(F.parameters), "strict": True},
}
BARE_F: JsonObject = {"name": "f", "description": "does f", "parameters": dict(F.parameters)}
GRAMMAR: JsonObject = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
PATCH = CustomToolSpec("patch", "edits", GRAMMAR)
WIRE_PATCH: JsonObject = {
    "type": "custom",
    "custom": {
        "name": "patch",
        "description": "edits",
        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}},
    },
}
INPUT: JsonObject = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}
SCHEMA = OutputSchema({"type": "object"}, "answer")
SEARCH: JsonObject = {"type": "web_search"}


def p(**settings: object) -> Prompt:
    return Prompt("u", **settings)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - a table of settings


SETTINGS: dict[str, tuple[Prompt, Compat, JsonObject, tuple[Loss, ...]]] = {
    "nothing": (p(), Compat(), {}, ()),
    "X-S0-04 a cap": (p(max_output_tokens=5), Compat(), {"max_tokens": 5}, ()),
    "S0-26 exactly one cap, in the model's field": (
        p(max_output_tokens=5),
        Compat(max_tokens_field="max_completion_tokens", default_max_tokens=9),
        {"max_completion_tokens": 5},
        (),
    ),
    "default cap": (p(), Compat(default_max_tokens=9), {"max_tokens": 9}, ()),
    "X-S0-05 sampling": (
        p(sampling=SamplingSettings(0.5, 0.9, seed=3, presence_penalty=0.1, frequency_penalty=0.2, n=2, logprobs=4)),
        Compat(),
        {
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 3,
            "presence_penalty": 0.1,
            "frequency_penalty": 0.2,
            "n": 2,
            "logprobs": True,
            "top_logprobs": 4,
        },
        (),
    ),
    "a model without sampling": (
        p(sampling=SamplingSettings(temperature=0.5)),
        Compat(sampling=False),
        {},
        (Loss("temperature", "the model takes no sampling parameters"),),
    ),
    "S0-27 temperature above the server's": (
        p(sampling=SamplingSettings(temperature=1.5)),
        Compat(temperature_max=1.0),
        {"temperature": 1.0},
        (Loss("temperature", "lowered to 1.0"),),
    ),
    "top_k": (
        p(sampling=SamplingSettings(top_k=4)),
        Compat(),
        {},
        (Loss("top_k", "the server does not know it"),),
    ),
    "T-G9 top_k where the server knows it": (
        p(sampling=SamplingSettings(top_k=4)),
        Compat(top_k=True),
        {"top_k": 4},
        (),
    ),
    "S0-28 five stops": (
        p(sampling=SamplingSettings(stop=("a", "b", "c", "d", "e"))),
        Compat(),
        {"stop": ["a", "b", "c", "d"]},
        (Loss("stop", "only the first 4"),),
    ),
    "no stops": (p(sampling=SamplingSettings(stop=("a",))), Compat(stop=False), {}, (Loss("stop"),)),
    "the rest": (
        p(service_tier="flex", metadata={"a": "b"}, user="me", verbosity="low", store=False, prompt_cache_key="k"),
        Compat(prompt_cache_key=True),
        {
            "prompt_cache_key": "k",
            "service_tier": "flex",
            "metadata": {"a": "b"},
            "user": "me",
            "verbosity": "low",
            "store": False,
        },
        (),
    ),
    "what the wire lacks": (
        p(prompt_cache_key="k", previous_response_id="r"),
        Compat(),
        {},
        (Loss("prompt_cache_key", "the server does not know it"), Loss("previous_response_id")),
    ),
    "extra members, the prompt's last": (
        p(extra={"a": 1}),
        Compat(extra_body={"a": 0, "b": 2}),
        {"a": 1, "b": 2},
        (),
    ),
    "reasoning effort": (p(reasoning=ReasoningSettings("high")), Compat(), {"reasoning_effort": "high"}, ()),
    "S0-31 a budget where there are efforts": (
        p(reasoning=ReasoningSettings(budget_tokens=5000)),
        Compat(),
        {"reasoning_effort": "medium"},
        (Loss("reasoning_budget", "the server takes an effort"),),
    ),
    "reasoning object (OpenRouter)": (
        p(reasoning=ReasoningSettings("low")),
        Compat(reasoning_request="object"),
        {"reasoning": {"effort": "low"}},
        (),
    ),
    "reasoning object with a budget": (
        p(reasoning=ReasoningSettings(budget_tokens=5000)),
        Compat(reasoning_request="object"),
        {"reasoning": {"max_tokens": 5000}},
        (),
    ),
    "the seed under another name (Mistral)": (
        p(sampling=SamplingSettings(seed=7)),
        Compat(seed_field="random_seed"),
        {"random_seed": 7},
        (),
    ),
    "no penalties, no log probabilities": (
        p(sampling=SamplingSettings(presence_penalty=0.1, frequency_penalty=0.2, logprobs=2, top_p=0.5)),
        Compat(penalties=False, logprobs=False),
        {"top_p": 0.5},
        tuple(
            Loss(name, "the server does not know it") for name in ("presence_penalty", "frequency_penalty", "logprobs")
        ),
    ),
    "no sampling while the model reasons": (
        p(sampling=SamplingSettings(temperature=0.1), reasoning=ReasoningSettings("low")),
        Compat(sampling_beside_reasoning=False),
        {"reasoning_effort": "low"},
        (Loss("temperature", "the model takes no sampling parameters"),),
    ),
    "sampling while it does not": (
        p(sampling=SamplingSettings(temperature=0.1)),
        Compat(sampling_beside_reasoning=False),
        {"temperature": 0.1},
        (),
    ),
    "members the server refuses (Mistral)": (
        p(user="u", metadata={"a": "b"}, store=False),
        Compat(unknown_members=("user", "metadata", "store")),
        {},
        (Loss("metadata", "the server does not know it"), Loss("user", "the server does not know it")),
    ),
    "an effort the model has not": (
        p(reasoning=ReasoningSettings("xhigh")),
        Compat(efforts=("low", "medium", "high")),
        {"reasoning_effort": "high"},
        (Loss("reasoning_effort", "'xhigh' became 'high'"),),
    ),
    "thinking with more to say (Moonshot)": (
        p(reasoning=ReasoningSettings("high")),
        Compat(reasoning_request="thinking_type", thinking_members={"keep": "all"}),
        {"thinking": {"type": "enabled", "keep": "all"}},
        (Loss("reasoning_effort", "the server only turns thinking on or off"),),
    ),
    "thinking and its effort (DeepSeek v4)": (
        p(reasoning=ReasoningSettings("max")),
        Compat(reasoning_request="thinking_effort"),
        {"thinking": {"type": "enabled"}, "reasoning_effort": "max"},
        (),
    ),
    "no thinking, no effort (DeepSeek v4)": (
        p(reasoning=ReasoningSettings("none")),
        Compat(reasoning_request="thinking_effort"),
        {"thinking": {"type": "disabled"}},
        (),
    ),
    "reasoning enabled (Together)": (
        p(reasoning=ReasoningSettings(budget_tokens=10)),
        Compat(reasoning_request="enabled_object"),
        {"reasoning": {"enabled": True}},
        (Loss("reasoning_budget", "the server only turns thinking on or off"),),
    ),
    "a budget of nothing": (
        p(reasoning=ReasoningSettings(budget_tokens=0)),
        Compat(),
        {"reasoning_effort": "none"},
        (Loss("reasoning_budget", "the server takes an effort"),),
    ),
    "X-S0-06 a schema dialect": (
        p(tools=[ToolSpec("g", parameters={"type": "object", "properties": {"not": {"const": "x"}}})]),
        Compat(schema_dialect="gemini"),
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "g",
                        "parameters": {
                            "type": "object",
                            "properties": {"not": {"type": "string", "enum": ["x"]}},
                        },
                    },
                }
            ]
        },
        (),
    ),
    "a schema dialect, for answers too": (
        p(output_schema=OutputSchema({"type": "object", "title": "T", "properties": {"a": {"type": "string"}}}, "out")),
        Compat(schema_dialect="gemini"),
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "out",
                    "strict": True,
                    "schema": {"type": "object", "properties": {"a": {"type": "string"}}},
                },
            }
        },
        (),
    ),
    "thinking off (DeepSeek)": (
        p(reasoning=ReasoningSettings("none")),
        Compat(reasoning_request="thinking_type"),
        {"thinking": {"type": "disabled"}},
        (),
    ),
    "thinking on, and how much is lost": (
        p(reasoning=ReasoningSettings("high")),
        Compat(reasoning_request="thinking_type"),
        {"thinking": {"type": "enabled"}},
        (Loss("reasoning_effort", "the server only turns thinking on or off"),),
    ),
    "enable_thinking (DashScope)": (
        p(reasoning=ReasoningSettings(budget_tokens=500)),
        Compat(reasoning_request="enable_thinking"),
        {"enable_thinking": True, "thinking_budget": 500},
        (),
    ),
    "no reasoning to ask for": (
        p(reasoning=ReasoningSettings("high", summary="auto")),
        Compat(reasoning_request="none"),
        {},
        (Loss("reasoning_summary"), Loss("reasoning", "the server cannot be asked for it")),
    ),
    "X-S1-08 a tool": (p(tools=[F]), Compat(), {"tools": [WIRE_F]}, ()),
    "tool choices": (
        p(tools=[F], tool_choice="required", parallel_tool_calls=False),
        Compat(),
        {"tools": [WIRE_F], "tool_choice": "required", "parallel_tool_calls": False},
        (),
    ),
    "tool_choice none": (p(tools=[F], tool_choice="none"), Compat(), {"tools": [WIRE_F], "tool_choice": "none"}, ()),
    "required is any (Mistral)": (
        p(tools=[F], tool_choice="required"),
        Compat(required_choice="any"),
        {"tools": [WIRE_F], "tool_choice": "any"},
        (),
    ),
    "required is not to be had": (
        p(tools=[F, PATCH], tool_choice="required"),
        Compat(required_choice="auto", custom_tools=True),
        {"tools": [WIRE_F, WIRE_PATCH]},
        (Loss("tool_choice", "the server cannot be made to call a tool"),),
    ),
    "required is the one tool there is": (
        p(tools=[F], tool_choice="required"),
        Compat(required_choice="auto"),
        {"tools": [WIRE_F], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        (),
    ),
    "nothing is forced while the model reasons (DeepSeek v4)": (
        p(tools=[F], tool_choice="required"),
        Compat(choice_beside_reasoning=False, reasons_by_default=True),
        {"tools": [WIRE_F]},
        (Loss("tool_choice", "no tool can be forced while the model reasons"),),
    ),
    "forced, as it does not reason": (
        p(tools=[F], tool_choice="required", reasoning=ReasoningSettings("none")),
        Compat(choice_beside_reasoning=False, reasons_by_default=True, reasoning_request="thinking_type"),
        {"tools": [WIRE_F], "tool_choice": "required", "thinking": {"type": "disabled"}},
        (),
    ),
    "3a reasoning that would be dropped unsaid beside a forced tool (Claude at OpenRouter)": (
        p(tools=[F], tool_choice="required", reasoning=ReasoningSettings("high")),
        Compat(reasoning_beside_choice=False, reasoning_request="object"),
        {"tools": [WIRE_F], "tool_choice": "required"},
        (Loss("reasoning", "not together with a forced tool"),),
    ),
    "and nothing is dropped beside a free one": (
        p(tools=[F], reasoning=ReasoningSettings("high")),
        Compat(reasoning_beside_choice=False, reasoning_request="object"),
        {"tools": [WIRE_F], "reasoning": {"effort": "high"}},
        (),
    ),
    "a named tool": (
        p(tools=[F], tool_choice=NamedTool("f")),
        Compat(),
        {"tools": [WIRE_F], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        (),
    ),
    "a named tool is not to be had": (
        p(tools=[F, PATCH], tool_choice=NamedTool("f")),
        Compat(named_choice=False, custom_tools=True),
        {"tools": [WIRE_F, WIRE_PATCH], "tool_choice": "required"},
        (Loss("tool_choice", "the server cannot be made to call 'f', only some tool"),),
    ),
    "the only tool, by any name": (
        p(tools=[F], tool_choice=NamedTool("f")),
        Compat(named_choice=False, required_choice="any"),
        {"tools": [WIRE_F], "tool_choice": "any"},
        (),
    ),
    "no strict, no parallel": (
        p(tools=[F], parallel_tool_calls=False),
        Compat(strict_tools=False, parallel_tool_calls=False),
        {"tools": [{"type": "function", "function": {**BARE_F}}]},
        (Loss("strict_tools", "f"), Loss("parallel_tool_calls", "they cannot be turned off")),
    ),
    "a custom tool": (
        p(tools=[PATCH], tool_choice=NamedTool("patch")),
        Compat(custom_tools=True),
        {
            "tools": [WIRE_PATCH],
            "tool_choice": {"type": "custom", "custom": {"name": "patch"}},
        },
        (),
    ),
    "a custom tool, lowered": (
        p(tools=[PATCH]),
        Compat(),
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "patch",
                        "description": "edits\n\nThe input must match this lark grammar:\nstart: /x/",
                        "parameters": INPUT,
                    },
                }
            ]
        },
        (Loss("tool_grammar", "patch"),),
    ),
    "hosted tools": (
        p(tools=[HostedToolSpec(SEARCH, wire="chat"), HostedToolSpec(SEARCH)]),
        Compat(),
        {"tools": [SEARCH]},
        (Loss("hosted_tools", "of the responses wire"),),
    ),
    "S1-1 output schema": (
        p(output_schema=SCHEMA),
        Compat(),
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": {"type": "object"}},
            }
        },
        (),
    ),
    "output schema as a forced tool": (
        p(output_schema=SCHEMA),
        Compat(output_schema="tool"),
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "answer",
                        "description": "Give the final answer by calling this tool.",
                        "parameters": {"type": "object"},
                        "strict": True,
                    },
                }
            ],
            "tool_choice": {"type": "function", "function": {"name": "answer"}},
        },
        (),
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_become_exactly_these_members(name: str) -> None:
    """Every setting and every deviation of a server: the members of the body, and what is reported as lost."""
    prompt, compat, expected, losses = SETTINGS[name]
    encoded = CODEC.encode_request(prompt.with_model("m"), compat, stream=False)
    assert json.loads(encoded.body) == {"model": "m", **expected, "messages": [USER]}
    assert encoded.losses == losses


MARK: JsonObject = {"cache_control": {"type": "ephemeral"}}


def marked(role: str, text: str, **members: JsonValue) -> JsonObject:
    return {"role": role, **members, "content": [{"type": "text", "text": text, **MARK}]}


BREAKPOINTS: dict[str, tuple[list[ResponseItem], Compat, list[JsonValue]]] = {
    "one turn": ([U], Compat(), [marked("user", "u")]),
    "the newest two turns of ours": (
        [U, assistant_message("a"), U, assistant_message("b"), U],
        Compat(),
        [USER, assistant("a"), marked("user", "u"), assistant("b"), marked("user", "u")],
    ),
    "the last of several outputs": (
        [U, call("a"), call("b"), out("a"), out("b")],
        Compat(),
        [
            marked("user", "u"),
            assistant(None, tool_calls=[wire_call("a"), wire_call("b")]),
            tool("a"),
            marked("tool", "ok", tool_call_id="b"),
        ],
    ),
    "LiteLLM: the output itself": (
        [U, call(), out()],
        Compat(tool_breakpoint="message"),
        [marked("user", "u"), assistant(None, tool_calls=[wire_call()]), {**tool(), **MARK}],
    ),
    "an empty output carries none": (
        [U, call("a"), call("b"), out("a"), out("b", "")],
        Compat(),
        [
            marked("user", "u"),
            assistant(None, tool_calls=[wire_call("a"), wire_call("b")]),
            marked("tool", "ok", tool_call_id="a"),
            tool("b", ""),
        ],
    ),
    "the last text of a message with an image": (
        [user_message("look", PIXEL)],
        Compat(),
        [{"role": "user", "content": [{"type": "text", "text": "look", **MARK}, IMAGE]}],
    ),
    "an image alone carries none": ([user_message("", PIXEL)], Compat(), [{"role": "user", "content": [IMAGE]}]),
    "not where content must be a string": ([U], Compat(content_as_string=True), [USER]),
    "an answer begun for the model": ([U, assistant_message("a")], Compat(), [marked("user", "u"), assistant("a")]),
}


@pytest.mark.parametrize("name", BREAKPOINTS)
def test_cache_breakpoints_end_the_newest_turns(name: str) -> None:
    """Two in the conversation, whatever it ends with, each on a text; none on the model's own messages."""
    items, compat, messages = BREAKPOINTS[name]
    assert messages_of(items, replace(compat, cache_control=True)) == messages


def test_cache_breakpoints_on_instructions_and_tools() -> None:
    """The last tool of ours and the instructions: with the two in the conversation Anthropic's four (S1-3, S1-21)."""
    tools: list[ToolSpecs] = [ToolSpec("g"), F, HostedToolSpec(SEARCH, wire="chat")]
    prompt = Prompt([U, assistant_message("a"), U, system_message("s")], instructions="i", tools=tools)
    body = body_of(prompt, Compat(cache_control=True))
    assert body["messages"] == [
        marked("system", "i"),
        marked("user", "u"),
        assistant("a"),
        marked("user", "u"),
        {"role": "system", "content": "s"},
    ]
    assert isinstance(body["tools"], list)
    assert body["tools"][1:] == [{**WIRE_F, **MARK}, SEARCH]
    assert json_bytes(body).count(b"cache_control") == 4


def test_json_mode_says_the_schema_in_words() -> None:
    """A server that only enforces JSON is told the schema in the instructions (DeepSeek wants the word as well)."""
    body = body_of(Prompt("u", instructions="i", output_schema=SCHEMA), Compat(output_schema="json_object"))
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"] == [
        {"role": "system", "content": 'i\n\nAnswer with one JSON object of this schema: {"type":"object"}'},
        USER,
    ]


def test_a_schema_that_cannot_be_enforced_is_refused() -> None:
    """Nothing is sent when the answer would not be what the caller insists on."""
    with pytest.raises(UnsupportedError, match="output schema"):
        CODEC.encode_request(Prompt("u", output_schema=SCHEMA), Compat(output_schema="none"))


def test_empty_tools_are_sent_only_where_they_must_be() -> None:
    """vLLM rejects `tools: []`; some proxies want it once the history has calls (pains.md 13)."""
    send = Compat(empty_tools="send")
    assert ["tools" in body_of(Prompt(items), send) for items in ([U], OPEN)] == [False, True]
    assert "tools" not in body_of(Prompt(OPEN))


def test_streaming_asks_for_usage() -> None:
    """X-S1-08, X-S0-08: `stream_options` when streaming, unless the server does not know it."""
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    assert {k: v for k, v in body_of(Prompt("u"), stream=True).items() if k in asked} == asked
    assert "stream_options" not in body_of(Prompt("u"), Compat(include_usage=False), stream=True)
    assert "stream" not in body_of(Prompt("u"))


def test_messages_come_last_and_grow_at_their_end() -> None:
    """A longer history starts with the bytes of the shorter one: prompt caches live on it."""
    items: list[ResponseItem] = [U, assistant_message("a"), U, call(), out(), assistant_message("b"), U]
    tools = [F]
    bodies = [
        CODEC.encode_request(Prompt(items[:n], instructions="i", tools=tools), Compat()).body for n in (1, 3, 5, 7)
    ]
    assert all(body.endswith(b"]}") for body in bodies)
    assert all(longer.startswith(shorter[:-2]) for shorter, longer in pairwise(bodies))


def test_lone_surrogates_do_not_stop_a_request() -> None:
    """Half a character in instructions or a tool's description is replaced, not fatal."""
    body = body_of(Prompt("u", instructions="a\ud83d", tools=[ToolSpec("f", "b\ude00")]))
    assert "a�" in json_bytes(body).decode() and "b�" in json_bytes(body).decode()


def test_what_is_no_json_is_the_callers_mistake() -> None:
    """A schema may hold anything; what cannot be written is refused before anything is sent."""
    with pytest.raises(InvalidPromptError, match="no JSON"):
        CODEC.encode_request(Prompt("u", extra={"x": object()}), Compat())  # type: ignore[dict-item] # pyright: ignore[reportArgumentType] - the mistake


# Bodies in


BODY: JsonObject = {
    "model": "m",
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_completion_tokens": 7,
    "temperature": 0.5,
    "stop": "x",
    "logprobs": True,
    "top_logprobs": 2,
    "reasoning_effort": "low",
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {}, "strict": True}},
    "tools": [WIRE_F, {"type": "custom", "custom": {"name": "patch"}}, SEARCH],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "user": None,
    "logit_bias": {"1": 2},
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "i"}, {"type": "text", "text": "j"}]},
        {"role": "user", "content": [{"type": "text", "text": "u"}, IMAGE]},
        {
            "role": "assistant",
            "content": "a",
            "reasoning_content": "r",
            "tool_calls": [
                wire_call("c1", "f", '{"x":1}'),
                {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "y"}},
            ],
        },
        tool("c1", "1"),
        tool("c2", "2"),
        {"role": "developer", "content": "s"},
    ],
}


def test_a_body_becomes_a_prompt() -> None:
    """Every member lands where it belongs; what is unknown goes on in `extra`; null is absent."""
    decoded = CODEC.decode_request(json_bytes(BODY))
    assert (decoded.stream, decoded.include_usage, decoded.losses) == (True, True, ())
    assert decoded.prompt == Prompt(
        [
            user_message("u", PIXEL),
            Reasoning(content=("r",)),
            assistant_message("a"),
            FunctionCall(call_id="c1", name="f", arguments='{"x":1}'),
            CustomToolCall(call_id="c2", name="patch", input="y"),
            FunctionCallOutput(call_id="c1", output="1"),
            CustomToolCallOutput(call_id="c2", output="2"),
            system_message("s", role="developer"),
        ],
        instructions="i\nj",
        model="m",
        max_output_tokens=7,
        sampling=SamplingSettings(temperature=0.5, stop=("x",), logprobs=2),
        reasoning=ReasoningSettings("low"),
        output_schema=OutputSchema({}, "answer"),
        tools=[F, CustomToolSpec("patch"), HostedToolSpec(SEARCH, wire="chat")],
        tool_choice=NamedTool("f"),
        parallel_tool_calls=False,
        extra={"logit_bias": {"1": 2}},
    )


def test_the_older_spelling_is_understood() -> None:
    """`functions`, `function_call` and the role `function` are tools, a choice and an output."""
    body: JsonObject = {
        "functions": [{"name": "f"}],
        "function_call": {"name": "f"},
        "messages": [
            USER,
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
        ],
    }
    prompt = CODEC.decode_request(json_bytes(body)).prompt
    assert prompt == Prompt([U, call("call_1"), out("call_1", "1")], tools=[ToolSpec("f")], tool_choice=NamedTool("f"))


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        (b"{", None, "not JSON"),
        (b"[]", None, "must be a JSON object, not a list"),
        (b"{}", "messages", "at least one message"),
        (b'{"messages": "hi"}', "messages", "must be a list, not a string"),
        (b'{"messages": [1]}', "messages[0]", "must be an object, not a number"),
        (b'{"messages": [{"role": "king"}]}', "messages[0].role", "must be one of"),
        (b'{"messages": [{"role": "user", "content": 1}]}', "messages[0].content", "must be a list"),
        (b'{"messages": [{"role": "tool", "content": "x"}]}', "messages[0]", "needs the tool_call_id"),
        (b'{"messages": [{"role": "assistant", "tool_calls": [{}]}]}', "messages[0].tool_calls[0].id", "needs an id"),
        (b'{"messages": [{"role": "user"}], "stream": 1}', "stream", "must be true or false"),
        (b'{"messages": [{"role": "user"}], "temperature": "hot"}', "temperature", "must be a number, not a string"),
        (
            b'{"messages": [{"role": "user"}], "tools": [{"type": "function", "function": {}}]}',
            "tools[0].function.name",
            "needs a name",
        ),
        (b'{"messages": [{"role": "user"}], "tool_choice": "required"}', None, "there are no tools"),
        (b'{"messages": [{"role": "user"}], "tool_choice": {"type": "odd"}}', "tool_choice.type", "unknown"),
    ],
)
def test_a_wrong_body_is_refused_by_name(body: bytes, param: str | None, says: str) -> None:
    """One line that names the member, status 400."""
    with pytest.raises(InvalidRequestError) as caught:
        CODEC.decode_request(body)
    error = caught.value
    assert (error.status, error.param) == (400, param)
    assert says in error.message and "\n" not in error.message
