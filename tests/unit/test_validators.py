"""The judges of request bodies: what servers took passes, what they refused does not, and every rule has its teeth."""

from __future__ import annotations

import json
import re
from copy import deepcopy

import pytest

from agent_core.codecs import WIRES
from agent_core.codecs.base import Compat, json_list, json_object
from agent_core.items import JsonObject, JsonValue, WireName
from agent_core.providers import resolve
from agent_core.testing import Violation, assert_valid_request, check_request
from tests.recordings import ROOT, Recording, needs_recordings, streams

OTHER_ENDPOINTS = re.compile(r"/(fim/)?completions$")
"""Fill-in-the-middle and plain completions stream like Chat, but their requests have a `prompt` and no messages."""

FUNCTION: JsonObject = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL: JsonObject = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CHAT: JsonObject = {
    "model": "m",
    "stream": True,
    "stream_options": {"include_usage": True},
    "tools": [FUNCTION],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "messages": [
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "u"},
                {"type": "image_url", "image_url": {"url": "https://e.example/a"}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning": "r"},
        {"role": "tool", "tool_call_id": "c1", "content": ""},
        {"role": "assistant", "content": "a"},
    ],
}
RESPONSES: JsonObject = {
    "model": "m",
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}, {"type": "web_search"}],
    "tool_choice": "auto",
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}},
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "u"},
                {"type": "input_image", "image_url": "https://e.example/a"},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "r"}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "o"}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "a"}],
            "phase": "final_answer",
        },
    ],
}
MESSAGES: JsonObject = {
    "model": "m",
    "max_tokens": 4000,
    "system": "s",
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "u"},
                {"type": "image", "source": {"type": "url", "url": "https://e.example/a"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                {"type": "text", "text": "a"},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1"}, {"type": "text", "text": "u"}]},
    ],
}
BODIES: dict[WireName, JsonObject] = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}


def changed(wire: WireName, path: str, value: JsonValue) -> JsonObject:
    """A copy of the wire's good body with one member set (`a.b`), or one entry put into a list (`a.0`)."""
    body = deepcopy(BODIES[wire])
    at: JsonValue = body
    *steps, last = path.split(".")
    for step in steps:
        at = json_list(at)[int(step)] if step.isdecimal() else (json_object(at) or {})[step]
    if last.isdecimal():
        json_list(at).insert(int(last), value)
    else:
        (json_object(at) or {})[last] = value
    return body


def broken(wire: WireName, path: str, value: JsonValue, compat: Compat | None = None) -> set[str]:
    return {violation.rule for violation in check_request(wire, changed(wire, path, value), compat=compat)}


@needs_recordings
@pytest.mark.parametrize("wire", BODIES)
def test_what_servers_took_passes(wire: WireName) -> None:
    """Every recorded request that was answered by a stream is one its judge would take."""
    asked = [(recording, recording.request) for recording in streams(wire)]
    judged = {
        str(recording): check_request(wire, body)
        for recording, body in asked
        if body is not None and not (OTHER_ENDPOINTS.search(str(recording.meta.get("url"))) and "prompt" in body)
    }
    assert len(judged) > 80
    assert {name: found for name, found in judged.items() if found} == {}


REFUSED: tuple[tuple[str, str], ...] = (
    ("anthropic__400-anthropic-python-test-runners", "orphan_output"),
    ("anthropic__400-mirascope-empty-call", "empty"),
    ("anthropic__400-rig-error-identity-edge", "out_of_range"),
    ("anthropic__400-rig-strict-schema-matrix-cyclic", "wrong_type"),
    ("anthropic__400-rig-strict-schema-matrix-scalar", "wrong_type"),
    ("anthropic__400-rig-strict-schema-limits-seventeen-union-parameters", "out_of_range"),
    ("anthropic__400-rig-strict-schema-limits-twenty-five-optional-parameter", "out_of_range"),
    ("anthropic__400-rig-strict-schema-limits-twenty-one-strict-tools", "out_of_range"),
    ("anthropic__400-rig-strict-schema-matrix-recursive-ref", "out_of_range"),
    ("mistral__400-rig-logprobs-rejection-matrix-blocking-ministral-3b", "not_here"),
    ("openai__400-mirascope-llm-test-model-call-with-tools-1", "not_here"),
    ("openai__400-openllmetry-test-vision-test-vision-base64-3", "bad_media"),
    ("deepseek__400-pydantic-ai-test-deepseek-responses-test-deepseek-responses-rejects", "unanswered_call"),
    ("deepseek__400-rig-wire-shape-matrix-blocking-audio", "not_here"),
    ("deepseek__400-rig-wire-shape-matrix-blocking-image-base64", "not_here"),
    ("deepseek__400-rig-wire-shape-matrix-blocking-image-only", "not_here"),
    ("deepseek__400-rig-wire-shape-matrix-blocking-image-url", "not_here"),
    ("deepseek__400-rig-wire-shape-matrix-blocking-pdf", "not_here"),
    ("deepseek__400-rig-wire-shape-matrix-blocking-video", "not_here"),
    ("deepseek__400-rig-wire-shape-matrix-forced-tool-choice", "not_here"),
    ("openai__400-ai-gateway-chat-bad-request", "missing_member"),
    ("openai__400-ai-gateway-chat-no-messages", "empty"),
    ("openai__400-crewai-crewai-test-custom-llm", "unknown_type"),
    ("openai__400-pydantic-ai-test-multimodal-tool-returns-test-multimodal-tool-return-matrix-95a", "bad_media"),
    ("openai__400-pydantic-ai-test-multimodal-tool-returns-test-multimodal-tool-return-matrix-9a8", "bad_media"),
    ("openai__400-pydantic-ai-test-openai-responses-test-openai-responses-thinking-with", "not_here"),
    ("openai__400-pydantic-ai-test-openai-test-openai-o1-mini-system-role-developer", "not_here"),
    ("openai__400-pydantic-ai-test-openai-test-openai-o1-mini-system-role-system", "not_here"),
)
"""Recorded requests that were refused for their form, and what is wrong with them."""


@needs_recordings
@pytest.mark.parametrize(("name", "rule"), REFUSED)
def test_what_a_server_refused_does_not_pass(name: str, rule: str) -> None:
    """A request that was refused for its form breaks a rule, of the wire or of that server's profile."""
    (folder,) = (ROOT / "errors").glob(f"{name}*")
    body: JsonObject = json.loads((folder / "request.json").read_text())
    meta = Recording(folder).meta
    name_of: dict[JsonValue, WireName] = {known: known for known in WIRES}
    wire = name_of[str(meta["wire"])]
    compat = resolve(f"{meta['provider']}/{body['model']}", wire=wire).compat
    assert rule in {violation.rule for violation in check_request(wire, body, compat=compat)}


@pytest.mark.parametrize("wire", BODIES)
def test_a_good_request_passes(wire: WireName) -> None:
    """The bodies that the rows below break are whole."""
    assert check_request(wire, BODIES[wire]) == []
    assert check_request(wire, json.dumps(BODIES[wire]).encode()) == []


TEETH: tuple[tuple[WireName, str, JsonValue, str], ...] = (
    ("chat", "messages", [], "empty"),
    ("chat", "martian", 1, "unknown_member"),
    ("chat", "model", 1, "wrong_type"),
    ("chat", "model", "", "empty"),
    ("chat", "max_tokens", 0, "wrong_type"),
    ("chat", "temperature", 2.1, "out_of_range"),
    ("chat", "top_logprobs", 3, "not_together"),
    ("chat", "stream", False, "not_together"),
    ("chat", "stop", [""], "empty"),
    ("chat", "tools", None, "bad_tools"),
    ("chat", "tools.1", FUNCTION, "bad_tools"),
    ("chat", "tools.0.strict", True, "unknown_member"),
    ("chat", "tools.0.function.name", "f g", "bad_name"),
    ("chat", "tool_choice", "sometimes", "out_of_range"),
    ("chat", "tool_choice.function.name", "g", "bad_tools"),
    ("chat", "response_format", {"type": "json_schema"}, "wrong_type"),
    ("chat", "messages.1.role", "human", "unknown_type"),
    ("chat", "messages.1.content", " ", "empty"),
    ("chat", "messages.1.content", [], "empty"),
    ("chat", "messages.1.content.0.text", "a\0", "bad_text"),
    ("chat", "messages.1.content.0.type", "input_text", "unknown_type"),
    ("chat", "messages.1.content.1.image_url.url", "data:,", "bad_media"),
    ("chat", "messages.1.content.2", {"type": "file", "file": {"filename": "a"}}, "bad_media"),
    ("chat", "messages.1.content.0.cache_control", {"type": "for ever"}, "out_of_range"),
    ("chat", "tools.0.cache_control", {"type": "ephemeral", "ttl": "1d"}, "out_of_range"),
    ("chat", "messages.1.tool_calls", [], "unknown_member"),
    ("chat", "messages.2.tool_calls", [], "empty"),
    ("chat", "messages.2.tool_calls.1", {**CALL, "id": "c2"}, "unanswered_call"),
    ("chat", "messages.2.tool_calls.1", CALL, "duplicate_id"),
    ("chat", "messages.2.tool_calls.0.id", "a b", "bad_call_id"),
    ("chat", "messages.2.tool_calls.0.id", "x" * 65, "bad_call_id"),
    ("chat", "messages.2.tool_calls.0.type", "tool", "out_of_range"),
    ("chat", "messages.2.tool_calls.0.function.arguments", "[]", "bad_arguments"),
    ("chat", "messages.2.tool_calls.0.function.arguments", "", "bad_arguments"),
    ("chat", "messages.2.tool_calls.0.function.arguments", {}, "wrong_type"),
    ("chat", "messages.3", {"role": "user", "content": "u"}, "unanswered_call"),
    ("chat", "messages.3.tool_call_id", "c9", "orphan_output"),
    ("chat", "messages.4", {"role": "tool", "tool_call_id": "c1", "content": "o"}, "orphan_output"),
    ("chat", "messages.4.content", "", "empty"),
    ("chat", "messages.4.content", None, "empty"),
    ("responses", "input", [], "empty"),
    ("responses", "input", None, "missing_member"),
    ("responses", "martian", 1, "unknown_member"),
    ("responses", "max_output_tokens", "9", "wrong_type"),
    ("responses", "tool_choice", {"type": "function", "name": "g"}, "bad_tools"),
    ("responses", "tools.0.name", "", "bad_name"),
    ("responses", "text.format.schema", None, "missing_member"),
    ("responses", "input.0.content", [], "empty"),
    ("responses", "input.0.content.0.type", "output_text", "unknown_type"),
    ("responses", "input.0.content.1.image_url", "nowhere", "bad_media"),
    ("responses", "input.0.content.1.image_url", None, "bad_media"),
    ("responses", "input.0.phase", "commentary", "unknown_member"),
    ("responses", "input.0.type", "martian", "unknown_type"),
    ("responses", "input.1.summary.0.type", "reasoning_text", "unknown_type"),
    ("responses", "input.1.status", "done", "out_of_range"),
    ("responses", "input.2.arguments", "null", "bad_arguments"),
    ("responses", "input.2.call_id", None, "missing_member"),
    ("responses", "input.2.call_id", "c2", "unanswered_call"),
    ("responses", "input.2.id", "rs_1", "duplicate_id"),
    ("responses", "input.2", {"role": "user", "content": "u"}, "bad_reasoning"),
    ("responses", "input.3.type", "custom_tool_call_output", "orphan_output"),
    ("responses", "input.4", {"type": "function_call_output", "call_id": "c1", "output": ""}, "orphan_output"),
    ("responses", "input.5", {"type": "reasoning", "summary": [], "encrypted_content": "s"}, "bad_reasoning"),
    ("responses", "input.1", {"type": "reasoning", "summary": []}, "empty"),
    ("responses", "input.5", {"type": "shell_call", "call_id": "s"}, "unanswered_call"),
    ("messages", "max_tokens", None, "missing_member"),
    ("messages", "model", None, "missing_member"),
    ("messages", "martian", 1, "unknown_member"),
    ("messages", "system", " ", "empty"),
    ("messages", "temperature", 0.5, "not_together"),
    ("messages", "thinking.budget_tokens", 1000, "out_of_range"),
    ("messages", "thinking.budget_tokens", 4000, "out_of_range"),
    ("messages", "tool_choice", {"type": "any"}, "not_together"),
    ("messages", "tool_choice", {"type": "tool", "name": "g"}, "bad_tools"),
    ("messages", "tools", None, "none"),
    ("messages", "tools.0.input_schema", {}, "wrong_type"),
    ("messages", "tools.0.name", "f.g", "bad_name"),
    ("messages", "messages", [], "empty"),
    ("messages", "messages.0.role", "assistant", "wrong_order"),
    ("messages", "messages.1", {"role": "user", "content": "u"}, "wrong_order"),
    ("messages", "messages.0.content", "", "empty"),
    ("messages", "messages.0.content.0.text", " ", "empty"),
    (
        "messages",
        "messages.0.content.1.source",
        {"type": "base64", "media_type": "image/bmp", "data": "YQ=="},
        "bad_media",
    ),
    ("messages", "messages.0.content.1.source.url", "data:,", "bad_media"),
    ("messages", "messages.0.content.0.cache_control", {}, "out_of_range"),
    ("messages", "messages.1.content.0.signature", "", "bad_reasoning"),
    ("messages", "messages.1.content.5", {"type": "thinking", "thinking": "t", "signature": "s"}, "bad_reasoning"),
    ("messages", "messages.1.content.5", {"type": "text", "text": "late"}, "wrong_order"),
    ("messages", "messages.1.content.0", {"type": "text", "text": "first"}, "bad_reasoning"),
    ("messages", "messages.1.content.1.id", "srvtoolu_9", "orphan_output"),
    ("messages", "messages.1.content.2", {"type": "mcp_tool_use", "id": "m"}, "unanswered_call"),
    ("messages", "messages.1.content.4.id", "c.1", "bad_call_id"),
    ("messages", "messages.1.content.4.id", "c2", "unanswered_call"),
    ("messages", "messages.1.content.5", {"type": "tool_use", "id": "c1", "name": "f", "input": {}}, "duplicate_id"),
    ("messages", "messages.1.content.4.input", "{}", "wrong_type"),
    ("messages", "messages.2.content.0.is_error", True, "empty"),
    ("messages", "messages.2.content.0.tool_use_id", "c9", "orphan_output"),
    ("messages", "messages.2.content.0", {"type": "text", "text": "first"}, "wrong_order"),
    ("messages", "messages.2.content.2", {"type": "tool_result", "tool_use_id": "c1"}, "orphan_output"),
    ("messages", "messages.3", {"role": "assistant", "content": [{"type": "text", "text": "a "}]}, "out_of_range"),
)
"""(wire, member, value it is set to or that is put there, rule that breaks)."""


@pytest.mark.parametrize(("wire", "path", "value", "rule"), TEETH)
def test_every_rule_has_teeth(wire: WireName, path: str, value: JsonValue, rule: str) -> None:
    """One change to a good body breaks the rule it should."""
    assert rule in (broken(wire, path, value) or {"none"})


HERE: tuple[tuple[WireName, str, JsonValue, Compat], ...] = (
    ("chat", "tools", [], Compat()),
    ("chat", "max_tokens", 9, Compat(max_tokens_field="max_completion_tokens")),
    ("chat", "temperature", 1.5, Compat(temperature_max=1.0)),
    ("chat", "temperature", 1.0, Compat(sampling=False)),
    ("chat", "stop", ["a"], Compat(stop=False)),
    ("chat", "stop", ["a", "b"], Compat(max_stop=1)),
    ("chat", "seed", 1, Compat(seed_field="random_seed")),
    ("chat", "top_k", 1, Compat()),
    ("chat", "logprobs", True, Compat(logprobs=False)),
    ("chat", "tools.0.function.strict", True, Compat(schema_dialect="openai_strict")),
    ("responses", "tools.0.strict", True, Compat(send_item_ids=True, schema_dialect="openai_strict")),
    ("chat", "thinking", {"type": "enabled"}, Compat()),
    ("chat", "reasoning_effort", "low", Compat(reasoning_request="none")),
    ("chat", "reasoning_effort", "low", Compat(efforts=("high",))),
    ("chat", "presence_penalty", 1, Compat(penalties=False)),
    ("chat", "user", "u", Compat(unknown_members=("user",))),
    ("chat", "parallel_tool_calls", True, Compat(parallel_tool_calls=False)),
    ("chat", "prompt_cache_key", "k", Compat()),
    ("chat", "response_format", {"type": "json_schema", "json_schema": {"name": "n"}}, Compat(output_schema="tool")),
    ("chat", "response_format", {"type": "json_object"}, Compat(schema_beside_tools=False)),
    ("chat", "tool_choice", "required", Compat(required_choice="any")),
    ("chat", "tool_choice", "required", Compat(choice_beside_reasoning=False, reasons_by_default=True)),
    ("chat", "reasoning_effort", "low", Compat(reasoning_beside_choice=False)),
    ("chat", "stream", True, Compat(named_choice=False)),
    ("chat", "stream", True, Compat(include_usage=False)),
    ("chat", "stream", True, Compat(images=False)),
    ("chat", "stream", True, Compat(system_role="developer")),
    ("chat", "stream", True, Compat(reasoning_replay="never")),
    ("chat", "stream", True, Compat(reasoning_field="reasoning_content")),
    ("chat", "stream", True, Compat(tool_message_name=True)),
    ("chat", "stream", True, Compat(assistant_prefix=True)),
    ("chat", "stream", True, Compat(reasoning_always_present=True)),
    ("chat", "tools.0.function.strict", True, Compat(strict_tools=False)),
    ("chat", "tools.0", {"type": "custom", "custom": {"name": "p"}}, Compat()),
    ("chat", "messages.4.content", [{"type": "text", "text": "a"}], Compat(content_as_string=True)),
    ("chat", "messages.2.content", "", Compat(omit_null_content=True)),
    ("chat", "messages.1", {"role": "system", "content": "s"}, Compat(merge_system=True)),
    ("responses", "tools", [], Compat(send_item_ids=True)),
    ("responses", "stream", True, Compat()),  # it has item ids
    ("responses", "stream", True, Compat(send_item_ids=True, images=False)),
    ("responses", "stream", True, Compat(send_item_ids=True, reasoning_replay="never")),
    ("responses", "reasoning", {"max_tokens": 9}, Compat(send_item_ids=True)),
    ("responses", "reasoning", {"effort": "low"}, Compat(send_item_ids=True, efforts=("high",))),
    ("responses", "temperature", 1, Compat(send_item_ids=True, sampling=False)),
    ("responses", "tool_choice", "required", Compat(send_item_ids=True, required_choice="auto")),
    ("responses", "input.0.role", "developer", Compat(send_item_ids=True)),
    ("responses", "tools.0", {"type": "custom", "name": "p"}, Compat(send_item_ids=True)),
    ("messages", "tools", [], Compat(reasoning_request="budget")),
    ("messages", "stream", True, Compat(reasoning_request="adaptive")),
    ("messages", "stream", True, Compat(reasoning_request="budget", images=False)),
    ("messages", "stream", True, Compat(reasoning_request="budget", reasoning_replay="never")),
    ("messages", "thinking", {"type": "adaptive"}, Compat(reasoning_request="budget")),
    ("messages", "output_config", {"effort": "low"}, Compat(reasoning_request="budget")),
    ("messages", "stream", True, Compat(reasoning_request="budget", model_in_body=False)),
    ("messages", "messages.1", {"role": "system", "content": "s"}, Compat(reasoning_request="budget")),
    ("messages", "tools.0.strict", True, Compat(reasoning_request="budget", strict_tools=False)),
)


@pytest.mark.parametrize(("wire", "path", "value", "compat"), HERE)
def test_a_profile_is_stricter_than_its_wire(wire: WireName, path: str, value: JsonValue, compat: Compat) -> None:
    """What the wire allows and the server of the profile refuses is found with the profile, and only then."""
    assert "not_here" in broken(wire, path, value, compat)
    assert "not_here" not in broken(wire, path, value)


@pytest.mark.parametrize(("said", "rules"), [("", []), ("hm", ["not_here"])])
def test_an_empty_reasoning_member_says_nothing(said: str, rules: list[str]) -> None:
    """Where every message must have one, it is there and empty, also if no reasoning may go back."""
    compat = Compat(reasoning_always_present=True, reasoning_replay="never", reasoning_field="reasoning_content")
    answer: JsonObject = {"role": "assistant", "content": "a", "reasoning_content": said}
    body: JsonObject = {"model": "m", "messages": [{"role": "user", "content": "u"}, answer]}
    assert [violation.rule for violation in check_request("chat", body, compat=compat)] == rules


def test_a_stored_reasoning_is_followed_by_a_stored_item() -> None:
    """Where items go back under their ids, a reasoning with one must not stand before an item without."""
    assert "bad_reasoning" in broken("responses", "input.2.id", None, Compat(send_item_ids=True))
    assert "bad_reasoning" not in broken("responses", "input.2.id", None)


@pytest.mark.parametrize("wire", ["chat", "messages"])
def test_four_places_are_cached_and_no_more(wire: WireName) -> None:
    """Anthropic's limit holds wherever its models are reached."""
    text: JsonValue = {"type": "text", "text": "u", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    parts: list[JsonValue] = [text] * 4
    body: JsonObject = {**BODIES[wire], "messages": [{"role": "user", "content": parts}]}
    assert check_request(wire, body) == []
    assert broken(wire, "cache_control", {"type": "ephemeral"}) == set()
    body["cache_control"] = {"type": "ephemeral"}
    assert [violation.rule for violation in check_request(wire, body)] == ["out_of_range"]


def test_call_ids_are_those_of_the_server() -> None:
    """A length that one server insists on is a violation only there."""
    assert "bad_call_id" in broken("chat", "user", "u", Compat(call_id_exact=9))
    assert "bad_call_id" in broken("chat", "messages.2.tool_calls.0.id", "x" * 41, Compat(call_id_max=40))


@pytest.mark.parametrize("body", [b"", b"[]", b"nothing", b'{"a": NaN}', b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_one_violation(body: bytes) -> None:
    """Anything may come as a body: it is judged, never raised about."""
    assert [violation.rule for violation in check_request("chat", body)] == ["not_json"]


JUNK: tuple[JsonValue, ...] = (None, 1, "x", [1], {"type": 1}, [None], [[[]]], {"a": {"b": None}})


@pytest.mark.parametrize("wire", BODIES)
@pytest.mark.parametrize("junk", JUNK)
def test_junk_anywhere_is_judged_and_never_raised_about(wire: WireName, junk: JsonValue) -> None:
    """Every member of a good body, replaced by junk, still gives a list of violations."""
    for path in paths(BODIES[wire]):
        assert all(isinstance(each, Violation) for each in check_request(wire, changed(wire, path, junk)))


def paths(value: JsonValue, start: str = "") -> list[str]:
    members = [(str(n), each) for n, each in enumerate(json_list(value))] + list((json_object(value) or {}).items())
    return [deep for name, each in members for deep in (f"{start}{name}", *paths(each, f"{start}{name}."))]


def test_the_assertion_names_what_is_wrong_and_where() -> None:
    """One line per violation, at most twenty, none with conversation text in it."""
    with pytest.raises(AssertionError, match=r"messages\[3\].tool_call_id: 'c9' is no call of the assistant message"):
        assert_valid_request("chat", changed("chat", "messages.3.tool_call_id", "c9"))
    stranger: JsonValue = {"role": "human", "content": "secret"}
    strangers: list[JsonValue] = [stranger] * 30
    many = changed("chat", "messages", strangers)
    with pytest.raises(AssertionError, match="… and 10 more") as caught:
        assert_valid_request("chat", many)
    assert "secret" not in str(caught.value)
