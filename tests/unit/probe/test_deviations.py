"""One deviation each: a scripted endpoint refuses something, and the row says so. Over HTTP on loopback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import pytest

from agent_core.codecs.base import json_object, json_str
from agent_core.events import Completed, ResponseEvent
from agent_core.items import JsonObject, WireName
from agent_core.probe import ProbeReport, probe
from agent_core.prompt import Prompt
from agent_core.testing import Call, Step

from ...loopback import serve
from .endpoint import Endpoint, members, messages, obliging, tools

OBLIGING: dict[WireName, dict[str, object]] = {
    "chat": {"custom_tools": True, "images_in_tool_results": True},
    "responses": {"custom_tools": True, "encrypted_reasoning": True},
    "messages": {"inline_system": True, "reasoning_request": "adaptive"},
}
"""What differs from the standard at an endpoint that does all it is asked."""


@dataclass(frozen=True)
class Deviation:
    """What is refused, and what comes of it: the answers of facts, the fields that differ from OBLIGING (None: that
    one keeps its standard)."""

    refuse: Callable[[JsonObject], str | None]
    answers: dict[str, str]
    compat: dict[str, object] = field(default_factory=dict[str, object])
    wire: WireName = "chat"
    status: int = 400


def when(holds: Callable[[JsonObject], object]) -> Callable[[JsonObject], str | None]:
    return lambda body: "Unsupported: not here" if holds(body) else None


def roles(body: JsonObject) -> list[str]:
    return [json_str(message.get("role")) for message in messages(body)]


def calls(body: JsonObject) -> list[JsonObject]:
    return [call for message in messages(body) for call in members(message, "tool_calls")]


def strict(body: JsonObject) -> bool:
    return any((json_object(tool.get("function")) or {}).get("strict") for tool in tools(body))


def call_ids(body: JsonObject) -> list[str]:
    return [json_str(call.get("id")) for call in calls(body)]


def images(body: JsonObject, *among: str) -> bool:
    return any(
        part.get("type") in ("image_url", "input_image", "image")
        for message in messages(body)
        if not among or message.get("role") in among
        for part in members(message, "content")
    )


def form(body: JsonObject) -> str:
    return json_str((json_object(body.get("response_format")) or {}).get("type"))


def blocks(body: JsonObject) -> list[JsonObject]:
    return [block for message in messages(body) for block in members(message, "content")]


def thinking(body: JsonObject) -> str:
    return json_str((json_object(body.get("thinking")) or {}).get("type"))


def reasoned(body: JsonObject) -> bool:
    return any("reasoning_content" in message for message in messages(body))


def not_mistral(body: JsonObject) -> bool:
    named = all("name" in message for message in messages(body) if message.get("role") == "tool")
    return bool(calls(body)) and not (named and all(len(call_id) == 9 for call_id in call_ids(body)))


DEVIATIONS: dict[str, Deviation] = {
    "no stream_options": Deviation(
        when(lambda body: "stream_options" in body),
        {"stream_options": "no", "usage": "none"},
        {"include_usage": False},
    ),
    "no max_tokens": Deviation(
        when(lambda body: "max_tokens" in body),
        {"output cap": "max_completion_tokens", "stream_options": "yes"},
        {"max_tokens_field": "max_completion_tokens"},
    ),
    "no max_completion_tokens": Deviation(
        when(lambda body: "max_completion_tokens" in body), {"output cap": "max_tokens"}, status=422
    ),
    "neither stream_options nor max_tokens": Deviation(
        when(lambda body: "stream_options" in body or "max_tokens" in body),
        {"stream_options": "no", "output cap": "max_completion_tokens"},
        {"include_usage": False, "max_tokens_field": "max_completion_tokens"},
    ),
    "no temperature": Deviation(when(lambda body: "temperature" in body), {"temperature": "no"}, {"sampling": False}),
    "no developer role": Deviation(when(lambda body: "developer" in roles(body)), {"system role": "system"}),
    "no system role": Deviation(
        when(lambda body: "system" in roles(body)), {"system role": "developer"}, {"system_role": "developer"}
    ),
    "no role for instructions (o1-mini)": Deviation(
        when(lambda body: {"system", "developer"} & {*roles(body)}), {"system role": "user"}, {"system_role": "user"}
    ),
    "one system message only": Deviation(
        when(lambda body: "system" in roles(body)[1:]), {"late system message": "no"}, {"merge_system": True}
    ),
    "any for required (Mistral)": Deviation(
        when(lambda body: body.get("tool_choice") == "required"),
        {"tool_choice required": "any"},
        {"required_choice": "any"},
    ),
    "no forced call": Deviation(
        when(lambda body: body.get("tool_choice") not in (None, "auto")),
        {"tool_choice required": "no", "tool_choice named": "no", "call ids": "not asked"},
        {"required_choice": "auto", "named_choice": False, "custom_tools": None},
    ),
    "no named choice": Deviation(
        when(lambda body: isinstance(body.get("tool_choice"), dict)),
        {"tool_choice named": "no"},
        {"named_choice": False},
    ),
    "no strict": Deviation(when(strict), {"strict tools": "no"}, {"strict_tools": False}),
    "no parallel_tool_calls": Deviation(
        when(lambda body: "parallel_tool_calls" in body), {"parallel_tool_calls": "no"}, {"parallel_tool_calls": False}
    ),
    "no custom tools": Deviation(
        when(lambda body: any(tool.get("type") == "custom" for tool in tools(body))),
        {"custom tools": "no"},
        {"custom_tools": None},
    ),
    "ids of 40 (OpenAI)": Deviation(
        when(lambda body: any(len(call_id) > 40 for call_id in call_ids(body))),
        {"call ids of others": "to 40 characters"},
        {"call_id_max": 40},
    ),
    "ids of 9, and names (Mistral)": Deviation(
        when(not_mistral),
        {"call ids of others": "to 9 characters", "no tools after calls": "omit"},
        {"call_id_exact": 9, "tool_message_name": True, "omit_null_content": True},
    ),
    "no history with calls": Deviation(
        when(calls),
        {"call ids of others": "no", "no tools after calls": "not asked", "image in a tool result": "not asked"},
        {"images_in_tool_results": None},
    ),
    "tools wanted once there are calls": Deviation(
        when(lambda body: calls(body) and "tools" not in body),
        {"no tools after calls": "send []"},
        {"empty_tools": "send"},
    ),
    "no empty tools (vLLM)": Deviation(when(lambda body: body.get("tools") == []), {"no tools after calls": "omit"}),
    "no images in tool messages": Deviation(
        when(lambda body: images(body, "tool")),
        {"image in a tool result": "after it"},
        {"images_in_tool_results": None},
    ),
    "no images": Deviation(
        when(images), {"image in a tool result": "no images"}, {"images": False, "images_in_tool_results": None}
    ),
    "no reasoning_effort": Deviation(
        when(lambda body: "reasoning_effort" in body),
        {"reasoning": "no", "reasoning sent back": "not asked"},
        {"reasoning_request": "none"},
    ),
    "no reasoning back (R1)": Deviation(when(reasoned), {"reasoning sent back": "no"}, {"reasoning_replay": "never"}),
    "reasoning wanted back (Kimi)": Deviation(
        when(lambda body: calls(body) and "pick" in str(messages(body)[-1:]) and not reasoned(body)),
        {"reasoning sent back": "yes"},
    ),
    "json_object only (DeepSeek)": Deviation(
        when(lambda body: form(body) == "json_schema"),
        {"output schema": "json_object"},
        {"output_schema": "json_object"},
    ),
    "no response_format": Deviation(when(form), {"output schema": "tool"}, {"output_schema": "tool"}),
    "responses: no include": Deviation(
        when(lambda body: body.get("include")),
        {"reasoning": "in summary, encrypted"},
        {"encrypted_reasoning": None},
        "responses",
    ),
    "responses: no developer role": Deviation(
        when(lambda body: "developer" in [item.get("role") for item in members(body, "input")]),
        {"system role": "system"},
        wire="responses",
    ),
    "responses: no text.format": Deviation(
        when(lambda body: (json_object(body.get("text")) or {}).get("format")),
        {"output schema": "no"},
        {"output_schema": "none"},
        "responses",
    ),
    "messages: no adaptive thinking": Deviation(
        when(lambda body: thinking(body) == "adaptive"),
        {"reasoning": "in thinking, signed"},
        {"reasoning_request": None},
        "messages",
    ),
    "messages: no thinking": Deviation(
        when(thinking),
        {"reasoning": "no", "reasoning sent back": "not asked"},
        {"reasoning_request": "none"},
        "messages",
    ),
    "messages: no inline system": Deviation(
        when(lambda body: "system" in roles(body)),
        {"late system message": "no"},
        {"inline_system": None},
        "messages",
    ),
    "messages: no output format": Deviation(
        when(lambda body: "output_config" in body and not thinking(body)),
        {"output schema": "tool"},
        {"output_schema": "tool"},
        "messages",
    ),
    "messages: no forced call": Deviation(
        when(lambda body: (json_object(body.get("tool_choice")) or {}).get("type") in ("any", "tool")),
        {"tool_choice required": "no", "tool_choice named": "no"},
        {"required_choice": "auto", "named_choice": False},
        "messages",
    ),
}


def ask(endpoint: Endpoint) -> ProbeReport:
    async def run() -> ProbeReport:
        async with serve(endpoint) as server:
            return await probe("lab/m", base_url=server.url, wire=endpoint.wire, timeout_s=20)

    return anyio.run(run)


def answers(report: ProbeReport) -> dict[str, str]:
    return {found.fact: found.answer for found in report.findings}


@pytest.mark.parametrize("name", DEVIATIONS)
def test_a_deviation_is_found(name: str) -> None:
    """The fact says it, the row carries it, and nothing else changes."""
    case = DEVIATIONS[name]
    report = ask(Endpoint(case.wire, case.refuse, status=case.status))
    expected = {**OBLIGING[case.wire], **case.compat}
    assert report.compat == {field: value for field, value in expected.items() if value is not None}
    assert {fact: answers(report)[fact] for fact in case.answers} == case.answers


def repeats_its_ids(prompt: Prompt) -> Step:
    step = obliging(prompt)
    return Step(calls=tuple(Call(call.name, call.arguments, "call_0") for call in step.calls)) if step.calls else step


def test_ids_that_repeat_are_qualified() -> None:
    """A server that counts calls per response gives the same id in several (Bedrock)."""
    report = ask(Endpoint("chat", model=repeats_its_ids))
    assert (answers(report)["call ids"], report.compat["qualify_call_ids"]) == ("6 of [a-z0-9_]", True)


def talks(prompt: Prompt) -> Step:
    return Step(text="I would rather talk.")


@pytest.mark.parametrize("wire", OBLIGING)
def test_what_is_taken_and_not_done_is_ignored(wire: WireName) -> None:
    """A server that takes everything and does nothing of it gets no field for it: sending it does no harm."""
    report = ask(Endpoint(wire, model=talks))
    ignored = {
        "tool_choice required": "ignored",
        "tool_choice named": "ignored",
        "output schema": "json_schema, ignored",
    }
    assert {fact: answers(report)[fact] for fact in ignored} == ignored
    assert (
        report.compat
        == {
            "chat": {"images_in_tool_results": True},
            "responses": {},
            "messages": {"inline_system": True},
        }[wire]
    )


def without_end(events: list[ResponseEvent]) -> list[ResponseEvent]:
    return [event for event in events if not isinstance(event, Completed)]


def test_a_missing_finish_reason_is_found() -> None:
    """A stream that ends without one is read as an answer once the row allows it (Snowflake)."""
    report = ask(Endpoint("chat", mend=without_end, done=False))
    assert (answers(report)["finish_reason"], report.compat["finish_may_be_missing"]) == ("missing", True)
