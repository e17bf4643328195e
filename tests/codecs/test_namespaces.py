"""Tools in namespaces and tools given as an item, said on wires that have neither."""

from __future__ import annotations

from agent_core.codecs import CODECS
from agent_core.codecs.base import Compat, Loss, json_bytes
from agent_core.codecs.namespaces import flattened, named
from agent_core.events import OutputItemDone
from agent_core.items import (
    CustomToolCall,
    FunctionCall,
    FunctionCallOutput,
    JsonObject,
    UnknownItem,
    user_message,
)
from agent_core.prompt import CustomToolSpec, HostedToolSpec, Prompt, ToolSpec

SCHEMA: JsonObject = {"type": "object", "properties": {"target": {"type": "string"}}}
WAIT: JsonObject = {"type": "function", "name": "wait", "description": "Waits.", "parameters": SCHEMA, "strict": False}
EXEC: JsonObject = {"type": "custom", "name": "exec", "format": {"type": "grammar", "syntax": "lark"}}
AGENTS = HostedToolSpec({"type": "namespace", "name": "agents", "description": "Of agents.", "tools": [WAIT]})
SEARCH = HostedToolSpec({"type": "web_search"})
PLAIN = ToolSpec("plain", "Plain.", SCHEMA)
ADDED = UnknownItem(
    raw={
        "type": "additional_tools",
        "role": "developer",
        "tools": [{"type": "namespace", "name": "functions", "tools": [EXEC, WAIT]}, WAIT],
    }
)


def test_every_tool_is_in_the_list() -> None:
    """Namespaces and tools of the input become tools of their own, in order; the provider's own stay what they are."""
    flat, names, losses = flattened(Prompt([ADDED, user_message("hi")], tools=[PLAIN, AGENTS, SEARCH]))
    wait = ToolSpec("wait", "Waits.", SCHEMA, strict=False)
    assert flat == Prompt(
        [user_message("hi")],
        tools=[
            PLAIN,
            ToolSpec("agents__wait", "Waits.", SCHEMA, strict=False),
            SEARCH,
            CustomToolSpec("functions__exec", "", {"type": "grammar", "syntax": "lark"}),
            ToolSpec("functions__wait", "Waits.", SCHEMA, strict=False),
            wait,
        ],
    )
    assert names == {
        "agents__wait": ("agents", "wait"),
        "functions__exec": ("functions", "exec"),
        "functions__wait": ("functions", "wait"),
    }
    assert losses == (Loss("namespace_description", "agents"),)


def test_calls_go_there_and_back() -> None:
    """A call in a namespace is written under one name, and one of that name is answered in its namespace."""
    call = FunctionCall(call_id="c1", name="wait", arguments="{}", namespace="agents")
    prompt = Prompt([user_message("hi"), call, FunctionCallOutput(call_id="c1", output="ok")], tools=[AGENTS])
    flat, names, _ = flattened(prompt)
    assert flat.items[1] == call.model_copy(update={"name": "agents__wait", "namespace": None})
    assert named(OutputItemDone(0, flat.items[1]), names) == OutputItemDone(0, call)
    custom = CustomToolCall(call_id="c2", name="plain", input="x")
    assert named(OutputItemDone(0, custom), names) == OutputItemDone(0, custom)


def test_a_prompt_without_them_is_the_same() -> None:
    """Nothing is copied where there is nothing to do."""
    prompt = Prompt("hi", tools=[PLAIN, SEARCH])
    assert flattened(prompt)[0] is prompt


def test_a_name_that_is_taken_is_not_taken_twice() -> None:
    """A tool whose joined name another has is left out: no server takes two tools of one name."""
    flat, _, _ = flattened(Prompt("hi", tools=[ToolSpec("agents__wait"), AGENTS]))
    assert flat.tools == (ToolSpec("agents__wait"),)


def test_a_request_of_codex_is_whole_on_chat() -> None:
    """What Codex sends in its newest form reaches a Chat server with every tool, by names it takes."""
    body: JsonObject = {"model": "m", "input": [dict(ADDED.raw), {"role": "user", "content": "hi"}]}
    asked = CODECS["responses"].decode_request(json_bytes(body))
    flat, _, _ = flattened(asked.prompt)
    sent = CODECS["chat"].encode_request(flat, Compat()).body
    read = CODECS["chat"].decode_request(sent).prompt
    assert [spec.name for spec in read.tools if isinstance(spec, ToolSpec)] == [
        "functions__exec", "functions__wait", "wait",
    ]  # fmt: skip
