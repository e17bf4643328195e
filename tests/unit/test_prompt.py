"""Prompts: what is wrong with one is said before anything is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from agent_core.errors import InvalidPromptError
from agent_core.items import user_message
from agent_core.prompt import CustomToolSpec, HostedToolSpec, NamedTool, Prompt, ToolChoice, ToolSpec


def test_a_string_is_one_user_message() -> None:
    """The shortest prompt there is."""
    assert Prompt("hi").items == (user_message("hi"),)


def test_replace_keeps_everything_else() -> None:
    """Prompts are frozen; a changed one is another."""
    prompt = Prompt("hi", instructions="i", tools=[ToolSpec("a")], tool_choice=NamedTool("a"))
    assert replace(prompt, items=()).instructions == "i"
    assert prompt.with_model("m") == replace(prompt, model="m")


BAD: dict[str, tuple[dict[str, object], str]] = {
    "two tools of one name": ({"tools": [ToolSpec("a"), CustomToolSpec("a")]}, "two tools are called 'a'"),
    "a nameless tool": ({"tools": [ToolSpec("")]}, "needs a name"),
    "a schema that is no object": ({"tools": [ToolSpec("a", parameters=cast("dict[str, None]", []))]}, "JSON Schema"),
    "a choice nobody offers": ({"tool_choice": NamedTool("b")}, "not among the tools"),
    "a choice that is none": ({"tool_choice": cast(ToolChoice, "maybe")}, "must be auto, none, required"),
    "required without tools": ({"tool_choice": "required"}, "there are no tools"),
    "an effort where settings belong": ({"reasoning": "high"}, "reasoning must be ReasoningSettings, not 'str'"),
    "sampling as a dict": ({"sampling": {"temperature": 1}}, "sampling must be SamplingSettings, not 'dict'"),
    "a bare schema": ({"output_schema": {"type": "object"}}, "output_schema must be OutputSchema, not 'dict'"),
    "items that are no list": ({"items": {"type": "message"}}, "must be a list"),
    "an item that is none": ({"items": [3]}, r"items\[0\]"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_prompts_are_refused(name: str) -> None:
    """Each with one line that says what."""
    arguments, message = BAD[name]
    with pytest.raises(InvalidPromptError, match=message):
        Prompt(**arguments)  # type: ignore[arg-type]  # bad on purpose


def test_hosted_tools_have_no_name_to_clash() -> None:
    """Two provider-run tools may stand side by side."""
    Prompt(tools=[HostedToolSpec({"type": "web_search"}), HostedToolSpec({"type": "web_search"})])
