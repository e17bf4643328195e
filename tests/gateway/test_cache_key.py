"""What an answer depends on: no two prompts that differ share a key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, get_args

import pytest
from msgspec import Struct
from msgspec.structs import replace as with_field

from agent_core import Prompt, ReasoningSettings, SamplingSettings, ToolSpec
from agent_core.codecs import CODECS, WIRES
from agent_core.gateway.cache_key import cache_key
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    JsonValue,
    Message,
    ResponseItem,
    WireName,
    user_message,
)
from agent_core.prompt import CustomToolSpec, HostedToolSpec, NamedTool, OutputSchema

from .backing import asking

TOOL = ToolSpec("add", "Adds.", {"type": "object"}, strict=True)
FULL = Prompt(
    [user_message("hi"), FunctionCall(call_id="c", name="add", arguments="{}"), FunctionCallOutput(call_id="c")],
    instructions="Be brief.",
    tools=[TOOL, CustomToolSpec("patch", "Patches."), HostedToolSpec({"type": "web_search"})],
    reasoning=ReasoningSettings(),
    output_schema=OutputSchema({"type": "object"}),
    model="m",
)
OTHER: dict[str, Any] = {
    "items": (*FULL.items, user_message("more")),
    "instructions": "Be long.",
    "tools": (TOOL,),
    "tool_choice": NamedTool("add"),
    "parallel_tool_calls": True,
    "reasoning": None,
    "sampling": SamplingSettings(n=2),
    "max_output_tokens": 9,
    "output_schema": None,
    "model": "n",
    "prompt_cache_key": "k",
    "service_tier": "flex",
    "metadata": {"a": "b"},
    "user": "u",
    "verbosity": "low",
    "store": False,
    "previous_response_id": "resp_1",
    "mend_items": True,
    "cache_breakpoints": True,
    "extra": {"logit_bias": {"1": 2}},
}
"""Another value for each field of a prompt."""

SAMPLES: Sequence[object] = ("x", "other", True, False, 7, 0.5, ("x",), {"x": 1})


def key(prompt: Prompt, wire: WireName = "chat", caller: str = "") -> str:
    return cache_key(asking(prompt, wire=wire, caller=caller))


def others(value: Struct) -> list[Struct]:
    """The settings with one field changed, for each of its fields and any kind of value."""
    return [
        with_field(value, **{name: sample})
        for name in value.__struct_fields__
        for sample in SAMPLES
        if sample != getattr(value, name)
    ]


@pytest.mark.parametrize("field", [field.name for field in fields(Prompt)])
def test_every_field_of_a_prompt_counts(field: str) -> None:
    """Read from the class: a new field without a value here fails."""
    assert key(FULL) != key(replace(FULL, **{field: OTHER[field]}))


NESTED: dict[str, Struct] = {
    "sampling": SamplingSettings(),
    "reasoning": ReasoningSettings(),
    "output_schema": OutputSchema({}),
    "tool": TOOL,
    "custom tool": CustomToolSpec("patch"),
    "hosted tool": HostedToolSpec({}),
}


@pytest.mark.parametrize("name", NESTED)
def test_every_field_of_its_settings_counts(name: str) -> None:
    """T-Q1: the temperature among them; all of the variants differ among themselves too."""
    base = NESTED[name]
    every = [base, *others(base)]
    keys = {_key_with(name, changed) for changed in every}
    assert len(keys) == len({repr(changed) for changed in every})


def _key_with(name: str, value: object) -> str:
    prompt = Prompt("hi", model="m")
    field, put = ("tools", (value,)) if "tool" in name else (name, value)
    object.__setattr__(prompt, field, put)  # also what a prompt would refuse: the key is not what checks
    return key(prompt)


def test_every_field_of_items_counts() -> None:
    """Of each kind of item, each field that can hold a word."""
    seen: dict[str, str] = {}
    for kind in get_args(ResponseItem):
        base = kind.model_construct(**{name: "x" for name, field in kind.model_fields.items() if field.is_required()})
        for name in kind.model_fields.keys() - {"type"}:
            changed = base.model_copy(update={name: "changed"})
            seen.setdefault(_key_with("items", (changed,)), f"{kind.__name__}.{name}")
    assert len(seen) == sum(len(kind.model_fields) - 1 for kind in get_args(ResponseItem))


def test_who_asks_counts() -> None:
    """Nobody is answered with what another was told."""
    assert len({key(FULL, caller=name) for name in ("", "a", "b")}) == 3


EQUAL: dict[str, tuple[dict[str, JsonValue], dict[str, JsonValue]]] = {
    "another order of members": ({"temperature": 1, "top_p": 0.5}, {"top_p": 0.5, "temperature": 1}),
    "null is absent": ({"temperature": None}, {}),
}


@pytest.mark.parametrize("name", EQUAL)
def test_what_does_not_count(name: str) -> None:
    """T-Q1. On purpose not so: a member the gateway does not know counts, and how long to keep does not."""
    one, other = (
        CODECS["chat"].decode_request(
            json.dumps({"model": "m", "messages": [{"role": "user", "content": "a"}], **more}).encode()
        )
        for more in EQUAL[name]
    )
    assert key(one.prompt) == key(other.prompt)


def test_a_wire_counts_where_only_it_knows_a_member() -> None:
    """T-Q1's namespaces: elsewhere an answer is one on every wire."""
    assert len({key(Prompt("hi"), wire) for wire in WIRES}) == 1
    assert len({key(Prompt("hi", extra={"x": 1}), wire) for wire in WIRES}) == 3


def test_features_in_beta_count() -> None:
    """Where they are passed on: on Messages."""
    headers: list[dict[str, str]] = [{}, {"anthropic-beta": "a-1"}, {"anthropic-beta": "b-2"}]
    for wire in WIRES:
        keys = {cache_key(asking(Prompt("hi"), wire=wire, headers=given)) for given in headers}
        assert len(keys) == (3 if wire == "messages" else 1)


def test_texts_that_no_utf8_can_hold() -> None:
    lone = [Prompt([Message(role="user", content=(InputImage(image_url=f"x{end}"),))]) for end in ("\ud800", "\udfff")]
    assert key(lone[0]) != key(lone[1])
