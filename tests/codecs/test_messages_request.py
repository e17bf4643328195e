"""Prompts to Messages request bodies: exact JSON, exact losses."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from types import MappingProxyType

import pytest

from agent_core.codecs.base import Compat, Loss
from agent_core.codecs.messages import CODEC
from agent_core.errors import InvalidPromptError, UnsupportedError
from agent_core.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    GhostSnapshot,
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
    ResponseItem,
    UnknownItem,
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

BUDGET = Compat(provider="acme", reasoning_request="budget")
ADAPTIVE = Compat(provider="acme", reasoning_request="adaptive")
SCHEMA: JsonObject = {"type": "object", "properties": {"a": {"type": "integer"}}}
ADD = ToolSpec("add", "Adds.", SCHEMA)
ADD_BODY: JsonObject = {"name": "add", "description": "Adds.", "input_schema": SCHEMA}
HI: list[JsonValue] = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
PNG = "data:image/png;base64,iVBORw0KGgo="
PNG_BLOCK: JsonObject = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
}


def made(field: str = "") -> Origin:
    return Origin(wire="messages", provider="acme", model="claude", field=field)


def body_of(prompt: Prompt, compat: Compat = BUDGET, *, stream: bool = True) -> tuple[JsonObject, tuple[Loss, ...]]:
    encoded = CODEC.encode_request(prompt, compat, stream=stream)
    body: JsonObject = json.loads(encoded.body)
    assert list(body)[-1] == "messages"
    assert CODEC.encode_request(prompt, compat, stream=stream).body == encoded.body
    return body, encoded.losses


def asked(**members: JsonValue) -> JsonObject:
    """A body with what every one has; `members` go over it."""
    return {"model": "claude", "max_tokens": 8192, "stream": True, "messages": HI, **members}


def test_the_least_there_is() -> None:
    """Members come in a fixed order, compact, the conversation last (X-S0-04: with a cap of our own)."""
    encoded = CODEC.encode_request(Prompt("hi", model="claude", instructions="Be brief."), BUDGET)
    assert encoded.body == (
        b'{"model":"claude","max_tokens":8192,"system":"Be brief.","stream":true,'
        b'"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}'
    )


SETTINGS: dict[str, tuple[Prompt, Compat, JsonObject, list[Loss]]] = {
    "caps": (
        Prompt("hi", model="claude", max_output_tokens=100),
        Compat(default_max_tokens=5),
        asked(max_tokens=100),
        [],
    ),
    "a row's cap": (Prompt("hi", model="claude"), Compat(default_max_tokens=5), asked(max_tokens=5), []),
    "sampling": (
        Prompt("hi", model="claude", sampling=SamplingSettings(temperature=0.5, top_p=0.9, top_k=4, stop=("a", "b"))),
        BUDGET,
        asked(temperature=0.5, top_p=0.9, top_k=4, stop_sequences=["a", "b"]),
        [],
    ),
    "S0-27 temperature above 1": (
        Prompt("hi", model="claude", sampling=SamplingSettings(temperature=1.5)),
        BUDGET,
        asked(temperature=1.0),
        [Loss("temperature", "1.5 became 1.0")],
    ),
    "stop sequences a server refuses": (
        Prompt("hi", model="claude", sampling=SamplingSettings(stop=("a", " ", "b", "c"))),
        Compat(max_stop=2),
        asked(stop_sequences=["a", "b"]),
        [Loss("stop", "a stop sequence may not be blank"), Loss("stop", "only the first 2 of 3")],
    ),
    "a model without sampling": (
        Prompt("hi", model="claude", sampling=SamplingSettings(temperature=0.5, top_p=0.9, top_k=4, stop=("a",))),
        Compat(sampling=False, stop=False),
        asked(),
        [
            Loss("stop", "this model refuses it"),
            Loss("temperature", "this model refuses it"),
            Loss("top_p", "this model refuses it"),
            Loss("top_k", "this model refuses it"),
        ],
    ),
    "what has no member": (
        Prompt(
            "hi",
            model="claude",
            sampling=SamplingSettings(seed=1, presence_penalty=0.5, frequency_penalty=0.5, n=2, logprobs=3),
            prompt_cache_key="k",
            verbosity="low",
            store=True,
            metadata={"team": "x"},
            service_tier="flex",
        ),
        BUDGET,
        asked(),
        [
            Loss("metadata", "team"),
            Loss("service_tier", "flex"),
            *map(Loss, ("seed", "presence_penalty", "frequency_penalty", "n", "logprobs")),
            *map(Loss, ("prompt_cache_key", "verbosity", "store")),
        ],
    ),
    "user and tier": (
        Prompt("hi", model="claude", user="u1", service_tier="default"),
        BUDGET,
        asked(metadata={"user_id": "u1"}, service_tier="standard_only"),
        [],
    ),
    "the last word": (
        Prompt("hi", model="claude", extra={"max_tokens": 7, "container": "c"}),
        Compat(extra_body={"speed": "fast", "container": "b"}),
        asked(max_tokens=7, speed="fast", container="c"),
        [],
    ),
    "tools": (
        Prompt("hi", model="claude", tools=[ADD, ToolSpec("now", strict=True, parameters={})]),
        BUDGET,
        asked(tools=[ADD_BODY, {"name": "now", "input_schema": {"type": "object"}, "strict": True}]),
        [],
    ),
    "tools of other kinds": (
        Prompt(
            "hi",
            model="claude",
            tools=[
                CustomToolSpec("patch", "Patches.", {"type": "grammar"}),
                HostedToolSpec({"type": "web_search_20250305", "name": "web_search"}, wire="messages"),
                HostedToolSpec({"type": "web_search"}, wire="responses"),
                ToolSpec("now", strict=True),
            ],
        ),
        Compat(strict_tools=False),
        asked(
            tools=[
                {
                    "name": "patch",
                    "description": "Patches.",
                    "input_schema": {
                        "type": "object",
                        "properties": {"input": {"type": "string"}},
                        "required": ["input"],
                    },
                },
                {"type": "web_search_20250305", "name": "web_search"},
                {"name": "now", "input_schema": {"type": "object", "properties": {}}},
            ]
        ),
        [Loss("custom_tool_format", "patch"), Loss("hosted_tool", "web_search"), Loss("strict", "now")],
    ),
    "no tools where they must be sent": (
        Prompt("hi", model="claude"),
        Compat(empty_tools="send"),
        asked(tools=[]),
        [],
    ),
    "choice: any": (
        Prompt("hi", model="claude", tools=[ADD], tool_choice="required", parallel_tool_calls=True),
        BUDGET,
        asked(tools=[ADD_BODY], tool_choice={"type": "any", "disable_parallel_tool_use": False}),
        [],
    ),
    "choice: one": (
        Prompt("hi", model="claude", tools=[ADD], tool_choice=NamedTool("add"), parallel_tool_calls=False),
        BUDGET,
        asked(tools=[ADD_BODY], tool_choice={"type": "tool", "name": "add", "disable_parallel_tool_use": True}),
        [],
    ),
    "choice: none": (
        Prompt("hi", model="claude", tools=[ADD], tool_choice="none", parallel_tool_calls=False),
        BUDGET,
        asked(tools=[ADD_BODY], tool_choice={"type": "none"}),
        [],
    ),
    "S0-20 one call at a time without a choice": (
        Prompt("hi", model="claude", tools=[ADD], parallel_tool_calls=False),
        BUDGET,
        asked(tools=[ADD_BODY], tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
        [],
    ),
    "choices a server lacks": (
        Prompt("hi", model="claude", tools=[ADD], tool_choice=NamedTool("add"), parallel_tool_calls=False),
        Compat(named_choice=False, required_choice="auto", parallel_tool_calls=False),
        asked(tools=[ADD_BODY]),
        [
            Loss("tool_choice", "the server cannot be made to call a tool"),
            Loss("parallel_tool_calls"),
        ],
    ),
    "schema": (
        Prompt("hi", model="claude", output_schema=OutputSchema(SCHEMA)),
        BUDGET,
        asked(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
        [],
    ),
    "schema as a forced tool": (
        Prompt("hi", model="claude", output_schema=OutputSchema(SCHEMA, name="sum")),
        Compat(output_schema="tool"),
        asked(
            tools=[
                {
                    "name": "sum",
                    "description": "Give the final answer by calling this tool.",
                    "input_schema": SCHEMA,
                    "strict": True,
                }
            ],
            tool_choice={"type": "tool", "name": "sum", "disable_parallel_tool_use": True},
        ),
        [],
    ),
    "schema as one tool among others": (
        Prompt("hi", model="claude", tools=[ADD], output_schema=OutputSchema(SCHEMA, name="sum", strict=False)),
        Compat(output_schema="tool"),
        asked(
            tools=[
                ADD_BODY,
                {
                    "name": "sum",
                    "description": "Give the final answer by calling this tool.",
                    "input_schema": SCHEMA,
                },
            ],
            tool_choice={"type": "any"},
        ),
        [],
    ),
    "schema a server lacks": (
        Prompt("hi", model="claude", output_schema=OutputSchema(SCHEMA, strict=False)),
        Compat(output_schema="json_object"),
        asked(system=f"Answer with one JSON object of this schema: {json.dumps(SCHEMA, separators=(',', ':'))}"),
        [Loss("output_schema", "nothing is enforced; the instructions say it")],
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name: str) -> None:
    """Each setting has its member, or its loss."""
    prompt, compat, body, losses = SETTINGS[name]
    assert body_of(prompt, compat) == (body, tuple(losses))


REASONING: list[tuple[ReasoningSettings, Compat, int | None, JsonObject, list[str]]] = [
    (ReasoningSettings(effort="low"), BUDGET, None, {"thinking": {"type": "enabled", "budget_tokens": 2048}}, []),
    (ReasoningSettings(effort="high"), BUDGET, None, {"thinking": {"type": "enabled", "budget_tokens": 6144}}, []),
    (ReasoningSettings(effort="high"), BUDGET, 64000, {"thinking": {"type": "enabled", "budget_tokens": 16384}}, []),
    (ReasoningSettings(), BUDGET, 64000, {"thinking": {"type": "enabled", "budget_tokens": 8192}}, []),
    (ReasoningSettings(budget_tokens=8000), BUDGET, None, {"thinking": {"type": "enabled", "budget_tokens": 8000}}, []),
    (
        ReasoningSettings(budget_tokens=9000),
        BUDGET,
        None,
        {"thinking": {"type": "enabled", "budget_tokens": 8191}},
        ["reasoning.budget_tokens"],
    ),
    (
        ReasoningSettings(budget_tokens=10, effort="low"),
        BUDGET,
        None,
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        ["reasoning.budget_tokens", "reasoning.effort"],
    ),
    (ReasoningSettings(effort="high"), BUDGET, 1024, {}, ["reasoning"]),
    (ReasoningSettings(effort="none"), BUDGET, None, {"thinking": {"type": "disabled"}}, []),
    (ReasoningSettings(budget_tokens=0), ADAPTIVE, None, {"thinking": {"type": "disabled"}}, []),
    (
        ReasoningSettings(effort="xhigh", summary="auto"),
        ADAPTIVE,
        None,
        {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "xhigh"}},
        [],
    ),
    (
        ReasoningSettings(effort="minimal", summary="none"),
        ADAPTIVE,
        None,
        {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "low"}},
        [],
    ),
    (ReasoningSettings(), ADAPTIVE, None, {"thinking": {"type": "adaptive"}}, []),
    (
        ReasoningSettings(budget_tokens=8192),
        ADAPTIVE,
        None,
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}},
        ["reasoning.budget_tokens"],
    ),
    (ReasoningSettings(effort="low"), Compat(reasoning_request="none"), None, {}, ["reasoning"]),
]


@pytest.mark.parametrize(("settings", "compat", "cap", "members", "lost"), REASONING)
def test_reasoning(
    settings: ReasoningSettings, compat: Compat, cap: int | None, members: JsonObject, lost: list[str]
) -> None:
    """Thinking is asked for in the form the model takes, within its bounds."""
    prompt = Prompt("hi", model="claude", reasoning=settings, max_output_tokens=cap)
    body, losses = body_of(prompt, compat)
    assert (body, [loss.feature for loss in losses]) == (asked(max_tokens=cap or 8192, **members), lost)


def test_what_thinking_excludes() -> None:
    """Thinking goes without temperature and top_k; a forced tool goes without thinking."""
    sampling = SamplingSettings(temperature=0.2, top_p=0.95, top_k=5)
    prompt = Prompt("hi", model="claude", reasoning=ReasoningSettings(effort="low"), sampling=sampling, tools=[ADD])
    body, losses = body_of(prompt, ADAPTIVE)
    assert body == asked(tools=[ADD_BODY], thinking={"type": "adaptive"}, output_config={"effort": "low"}, top_p=0.95)
    assert losses == (Loss("temperature", "not together with thinking"), Loss("top_k", "not together with thinking"))
    forced = Prompt(
        "hi", model="claude", reasoning=ReasoningSettings(effort="low"), tools=[ADD], tool_choice="required"
    )
    assert body_of(forced) == (
        asked(tools=[ADD_BODY], tool_choice={"type": "any"}),
        (Loss("reasoning", "not together with a forced tool"),),
    )


def user(*blocks: JsonValue) -> JsonObject:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: JsonValue) -> JsonObject:
    return {"role": "assistant", "content": list(blocks)}


def said(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def use(call_id: str, name: str, **arguments: JsonValue) -> JsonObject:
    return {"type": "tool_use", "id": call_id, "name": name, "input": dict(arguments)}


def result(call_id: str, content: JsonValue, **members: JsonValue) -> JsonObject:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **members}


THOUGHT = Reasoning(content=("hm",), signature="c2ln", origin=made("thinking"))

HISTORIES: dict[str, tuple[list[ResponseItem], list[JsonObject]]] = {
    "neighbours of one role are one message": (
        [user_message("a"), user_message("b"), assistant_message("c"), assistant_message("d"), user_message("e")],
        [user(said("a"), said("b")), assistant(said("c"), said("d")), user(said("e"))],
    ),
    "T-G2 T-G3 all results of a step first, then what the user says": (
        [
            user_message("add"),
            THOUGHT,
            assistant_message("Adding."),
            FunctionCall(call_id="c1", name="add", arguments='{"a": 1}'),
            FunctionCall(call_id="c2", name="add", arguments='{"a":2.50,"b":"é"}'),
            FunctionCallOutput(call_id="c1", output="2"),
            FunctionCallOutput(call_id="c2", output="boom", success=False),
            user_message("and?"),
        ],
        [
            user(said("add")),
            assistant(
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                said("Adding."),
                use("c1", "add", a=1),
                use("c2", "add", a=2.5, b="é"),
            ),
            user(result("c1", "2"), result("c2", "boom", is_error=True), said("and?")),
        ],
    ),
    "T-G5 images and files, also in results": (
        [
            Message(
                role="user",
                content=(
                    InputText(text="see"),
                    InputImage(image_url=PNG),
                    InputImage(image_url="https://x.test/a.png"),
                    InputFile(filename="a.pdf", file_data="data:application/pdf;base64,aGk="),
                    InputFile(file_data="data:text/plain,h%C3%A9"),
                    InputFile(file_url="https://x.test/b.pdf"),
                    InputFile(file_id="file_1"),
                ),
            ),
            FunctionCall(call_id="c1", name="shot", arguments="{}"),
            FunctionCallOutput(call_id="c1", output=(InputText(text="ok"), InputImage(image_url=PNG))),
        ],
        [
            user(
                said("see"),
                PNG_BLOCK,
                {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
                    "title": "a.pdf",
                },
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hé"}},
                {"type": "document", "source": {"type": "url", "url": "https://x.test/b.pdf"}},
                {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
            ),
            assistant(use("c1", "shot")),
            user(result("c1", [said("ok"), PNG_BLOCK])),
        ],
    ),
    "calls of kinds the wire lacks": (
        [
            user_message("go"),
            CustomToolCall(call_id="c1", name="patch", input='a "b"'),
            CustomToolCallOutput(call_id="c1", output="done"),
            LocalShellCall(call_id="c2", action=LocalShellAction(command=("ls",))),
            FunctionCallOutput(call_id="c2", output="a.txt"),
        ],
        [
            user(said("go")),
            assistant(use("c1", "patch", input='a "b"')),
            user(result("c1", "done")),
            assistant(use("c2", "local_shell", command=["ls"])),
            user(result("c2", "a.txt")),
        ],
    ),
    "opaque blocks go back as they came": (
        [
            user_message("go"),
            Reasoning(encrypted_content="b3A=", origin=made("redacted_thinking")),
            UnknownItem(raw={"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}, origin=made()),
            UnknownItem(raw={"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}, origin=made()),
            FunctionCall(call_id="c1", name="f", arguments="{}", opaque={"caller": {"type": "x"}}, origin=made()),
            FunctionCallOutput(call_id="c1", output=""),
        ],
        [
            user(said("go")),
            assistant(
                {"type": "redacted_thinking", "data": "b3A="},
                {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
                {**use("c1", "f"), "caller": {"type": "x"}},
            ),
            user({"type": "tool_result", "tool_use_id": "c1"}),
        ],
    ),
    "an answer begun for the model ends without white space": (
        [user_message("a"), assistant_message("The answer is ")],
        [user(said("a")), assistant(said("The answer is"))],
    ),
    "snapshots are never sent": ([GhostSnapshot(ghost_commit={"id": "x"}), user_message("a")], [user(said("a"))]),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_histories(name: str) -> None:
    """A history becomes messages of alternating roles that the wire's servers accept."""
    items, messages = HISTORIES[name]
    body, losses = body_of(Prompt(items, model="claude"))
    assert (body["messages"], losses) == (messages, ())
    roles = [message["role"] for message in messages]
    assert all(left != right for left, right in pairwise(roles))


def test_a_longer_history_starts_with_the_bytes_of_the_shorter() -> None:
    """What was sent is sent again byte for byte, so a prompt cache can find it."""
    items, _ = HISTORIES["T-G2 T-G3 all results of a step first, then what the user says"]
    bodies = [CODEC.encode_request(Prompt(items[:count], model="claude"), BUDGET).body for count in (1, 7, 8)]
    longer = Prompt([*items, assistant_message("3"), user_message("ok")], model="claude")
    bodies.append(CODEC.encode_request(longer, BUDGET).body)
    for before, after in pairwise(bodies):
        assert after.startswith(before.removesuffix(b"]}]}"))


def test_system_messages() -> None:
    """Those before everything else are instructions; a later one keeps its place, as the server can take it."""
    prompt = Prompt(
        [system_message("one"), system_message("two", role="developer"), user_message("a"), system_message("three")],
        model="claude",
        instructions="zero",
    )
    system: list[JsonValue] = [said("zero"), said("one"), said("two")]
    reminder = said("<system-reminder>\nthree\n</system-reminder>")
    lost = Loss("system_role", "a system message after the first was sent as the user's")
    assert body_of(prompt) == (asked(system=system, messages=[user(said("a"), reminder)]), (lost,))
    inline: list[JsonValue] = [user(said("a")), {"role": "system", "content": [said("three")]}]
    assert body_of(prompt, Compat(inline_system=True)) == (asked(system=system, messages=inline), ())


def test_citations_go_back_only_where_they_came_from() -> None:
    """Web search citations are echoed to their own provider; all others are a loss."""
    web: JsonObject = {
        "type": "web_search_result_location",
        "url": "u",
        "title": "t",
        "encrypted_index": "e",
        "cited_text": "c",
    }
    other: JsonObject = {"type": "char_location", "cited_text": "c"}
    part = OutputText(text="x", annotations=(web, other))
    items = [user_message("a"), Message(role="assistant", content=(part,), origin=made()), user_message("b")]
    body, losses = body_of(Prompt(items, model="claude"))
    assert body["messages"] == [user(said("a")), assistant({**said("x"), "citations": [web]}), user(said("b"))]
    assert losses == (Loss("annotations"),)
    foreign, _ = body_of(Prompt(items, model="claude"), Compat(provider="other"))
    assert foreign["messages"] == [user(said("a")), assistant(said("x")), user(said("b"))]


def test_cache_breakpoints() -> None:
    """Four breakpoints: the last system block, the last tool, and the end of the two newest user messages."""
    mark: JsonObject = {"cache_control": {"type": "ephemeral"}}
    items = [user_message("a"), assistant_message("b"), user_message("c"), assistant_message("d"), user_message("e")]
    prompt = Prompt(items, model="claude", instructions="sys", tools=[ToolSpec("now"), ADD])
    body, _ = body_of(prompt, Compat(cache_control=True))
    assert body == asked(
        system=[{**said("sys"), **mark}],
        tools=[{"name": "now", "input_schema": {"type": "object", "properties": {}}}, {**ADD_BODY, **mark}],
        messages=[
            user(said("a")),
            assistant(said("b")),
            user({**said("c"), **mark}),
            assistant(said("d")),
            user({**said("e"), **mark}),
        ],
    )


def test_what_an_item_loses() -> None:
    """Details of items without a place here are reported, and a file of a strange kind leaves a trace."""
    odd = "data:application/zip;base64," + base64.b64encode(b"PK").decode()
    content = (InputImage(image_url=PNG, detail="high"), InputFile(filename="a.zip", file_data=odd))
    items: list[ResponseItem] = [
        Message(role="user", content=content),
        FunctionCall(call_id="c1", name="f", arguments="{}", namespace="ns"),
        FunctionCallOutput(call_id="c1", output="x"),
    ]
    body, losses = body_of(Prompt(items, model="claude"))
    assert body["messages"] == [
        user(PNG_BLOCK, said("[file a.zip left out: not supported here]")),
        assistant(use("c1", "f")),
        user(result("c1", "x")),
    ]
    assert losses == (
        Loss("image_detail", "high"), Loss("file", "application/zip is no document here"), Loss("namespace", "ns"),
    )  # fmt: skip


def test_half_characters_and_read_only_schemas() -> None:
    """Lone surrogates anywhere, mappings that are no dict and numbers JSON lacks still give legal JSON."""
    schema = MappingProxyType({"type": "object", "x": MappingProxyType({"y": float("inf")})})
    tool = ToolSpec("t", "bad \udc80", schema)  # type: ignore[arg-type] # a caller's mapping of mappings
    body, _ = body_of(Prompt("hi", model="claude", instructions="\ud83d\ude00", tools=[tool]))
    assert (body["system"], body["tools"]) == (
        "😀",
        [{"name": "t", "description": "bad \ufffd", "input_schema": {"type": "object", "x": {"y": None}}}],
    )


BAD: dict[str, tuple[Prompt, Compat, str]] = {
    "nothing to send": (Prompt(model="claude"), BUDGET, "no message"),
    "only instructions": (Prompt([system_message("x")], model="claude"), BUDGET, "no message"),
    "an image that is none": (
        Prompt([Message(role="user", content=(InputImage(image_url="cat.png"),))], model="claude"),
        BUDGET,
        "its URL has no scheme",
    ),
    "an empty data URL": (
        Prompt([Message(role="user", content=(InputImage(image_url="data:image/png;base64,"),))], model="claude"),
        BUDGET,
        "its data: URL is empty",
    ),
    "a text file that is no base64": (
        Prompt([Message(role="user", content=(InputFile(file_data="data:text/plain;base64,a"),))], model="claude"),
        BUDGET,
        "no base64",
    ),
    "a schema that is no JSON": (
        Prompt("hi", model="claude", tools=[ToolSpec("t", parameters={"x": object()})]),  # type: ignore[dict-item]
        BUDGET,
        "no JSON",
    ),
    "a tool named as the schema's": (
        Prompt("hi", model="claude", tools=[ADD], output_schema=OutputSchema(SCHEMA, name="add")),
        Compat(output_schema="tool"),
        "both called 'add'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_prompts(name: str) -> None:
    """What cannot be sent is one clear line with a remedy, before anything is sent."""
    prompt, compat, message = BAD[name]
    with pytest.raises(InvalidPromptError) as caught:
        CODEC.encode_request(prompt, compat)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_a_stored_response_cannot_be_continued() -> None:
    """The wire stores nothing: continuing what is not sent is refused, not sent without it."""
    with pytest.raises(UnsupportedError, match="stores no responses"):
        CODEC.encode_request(Prompt("hi", model="claude", previous_response_id="resp_1"), BUDGET)


def test_a_model_that_is_in_the_url() -> None:
    """Vertex has it in the path, and a version in the body (recorded)."""
    compat = Compat(model_in_body=False, extra_body={"anthropic_version": "vertex-2023-10-16"})
    body, _ = body_of(Prompt("hi", model="claude"), compat)
    expected = {**asked(), "anthropic_version": "vertex-2023-10-16"}
    assert body == {name: value for name, value in expected.items() if name != "model"}


def test_without_a_stream() -> None:
    """An answer in one piece is asked for in so many words."""
    assert body_of(Prompt("hi", model="claude"), stream=False) == (asked(stream=False), ())
