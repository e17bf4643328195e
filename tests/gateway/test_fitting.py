"""What a backend is sent: on the client's own wire what it said, on another what that has words for."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager

import httpx2
import pytest

from agent_core import ModelClient
from agent_core.gateway import Gateway
from agent_core.items import FunctionCall, JsonObject, Reasoning, WireName
from agent_core.prompt import HostedToolSpec, Prompt
from agent_core.testing import Call, RecordedRequest, RehearsalServer, Step

from .running import running

MARK: JsonObject = {"type": "ephemeral"}
BETA = "context-management-2025-06-27,effort-2025-11-24"
THOUGHT: JsonObject = {"type": "thinking", "thinking": "Hm.", "signature": "s1"}
USE: JsonObject = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT: JsonObject = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok", "cache_control": MARK}
CLAUDE: JsonObject = {
    "model": "any",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": MARK}],
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "context_management": {"edits": []},
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [THOUGHT, USE]},
        {"role": "user", "content": [RESULT]},
    ],
}
WAIT: JsonObject = {"type": "function", "name": "wait", "parameters": {"type": "object", "properties": {}}}
ADDED: JsonObject = {
    "type": "additional_tools",
    "role": "developer",
    "tools": [{"type": "namespace", "name": "agents", "tools": [WAIT]}],
}
SEALED: JsonObject = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
CODEX: JsonObject = {
    "model": "any",
    "input": [
        ADDED,
        {"role": "user", "content": "hi"},
        SEALED,
        {"type": "function_call", "call_id": "c1", "name": "wait", "namespace": "agents", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
    ],
    "client_metadata": {"session_id": "s"},
}


@contextmanager
def asked(wire: WireName, path: str, body: JsonObject, **headers: str) -> Generator[tuple[JsonObject, RecordedRequest]]:
    """A request to a gateway whose backend speaks `wire` and calls what it is offered first: the answer, and what the
    backend got."""

    def call_first(prompt: Prompt) -> Step:
        names = [spec.name for spec in prompt.tools if not isinstance(spec, HostedToolSpec)]
        return Step(calls=tuple(Call(name) for name in names[:1]))

    with RehearsalServer(call_first, pace_s=0) as backend:
        client = ModelClient("rehearsal/m", provider=backend.provider, wire=wire)
        with running(Gateway(default=client)) as url:
            answer = httpx2.post(f"{url}{path}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        yield answer.json() | {"losses": answer.headers.get("x-agent-core-losses", "")}, backend.requests[0]


def test_messages_to_messages() -> None:
    """Thinking keeps its signature; members of the wire alone go on, and marks for the cache, and beta features."""
    with asked("messages", "/v1/messages", CLAUDE, **{"anthropic-beta": BETA}) as (_, got):
        assert got.prompt is not None and got.body is not None
        thought = next(item for item in got.prompt.items if isinstance(item, Reasoning))
        assert (thought.text, thought.signature) == ("Hm.", "s1")
        assert got.body["context_management"] == {"edits": []}
        assert json.dumps(got.body).count("cache_control") == 4  # the instructions, the tools, two turns
        assert got.headers["anthropic-beta"] == BETA


@pytest.mark.parametrize("wire", ["chat", "responses"])
def test_messages_to_another_wire(wire: WireName) -> None:
    """What only Messages has is left out there, and named."""
    with asked(wire, "/v1/messages", CLAUDE, **{"anthropic-beta": BETA}) as (answer, got):
        assert {"anthropic-beta", "cache_control", "context_management"} <= set(str(answer["losses"]).split(", "))
        assert "anthropic-beta" not in got.headers


def test_a_header_that_is_no_list_of_features_goes_nowhere() -> None:
    """What a backend is sent as a header is words and commas."""
    with asked("messages", "/v1/messages", CLAUDE, **{"anthropic-beta": "a; x=\t1"}) as (_, got):
        assert "anthropic-beta" not in got.headers


def test_responses_to_responses() -> None:
    """Sealed reasoning, items nobody here has a word for and members of the client's own go on as they came."""
    with asked("responses", "/v1/responses", CODEX) as (_, got):
        assert got.body is not None
        assert got.body["client_metadata"] == {"session_id": "s"}
        sent = got.body["input"]
        assert isinstance(sent, list)
        assert sent[0] == ADDED
        assert {"type": "reasoning", "summary": [], "encrypted_content": "sealed"} in sent


@pytest.mark.parametrize("wire", ["chat", "messages"])
def test_namespaces_on_another_wire(wire: WireName) -> None:
    """A tool in a namespace is offered under one name; its calls come back in the namespace, streamed or whole."""
    with asked(wire, "/v1/responses", CODEX) as (answer, got):
        assert got.prompt is not None
        calls = [item for item in got.prompt.items if isinstance(item, FunctionCall)]
        assert [call.name for call in calls] == ["agents__wait"]
        output = answer["output"]
        assert isinstance(output, list)
        said = [(item["namespace"], item["name"]) for item in output if isinstance(item, dict) and "namespace" in item]
        assert said == [("agents", "wait")]
        assert "client_metadata" in str(answer["losses"])


def test_a_summary_alone_turns_no_thinking_on() -> None:
    """Codex asks any model for summaries; vLLM without a reasoning parser fails when thinking is asked for."""
    with asked("messages", "/v1/responses", {**CODEX, "reasoning": {"summary": "auto"}}) as (answer, got):
        assert got.body is not None
        assert "thinking" not in got.body
        assert "reasoning.summary" in str(answer["losses"])
