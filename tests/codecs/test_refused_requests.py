"""Requests that servers refuse are not written: what encoders do about prompts that would make one, on each wire."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent_core.codecs import CODECS
from agent_core.codecs.base import Compat, Encoded, Loss
from agent_core.errors import InvalidPromptError
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    GhostSnapshot,
    InputText,
    JsonObject,
    JsonValue,
    Message,
    Origin,
    OutputText,
    Reasoning,
    ResponseItem,
    WireName,
    assistant_message,
    user_message,
)
from agent_core.prompt import Prompt, ReasoningSettings, SamplingSettings
from agent_core.providers import resolve
from agent_core.testing import check_request

U = user_message("u")
HOME = Origin(wire="messages", provider="p", model="m", field="thinking")
THOUGHT = Reasoning(content=("hm",), signature="s", origin=HOME)
CALL = FunctionCall(call_id="c1", name="f", arguments="{}")
OUT = FunctionCallOutput(call_id="c1", output="o")
BUDGET = Compat(provider="p", reasoning_request="budget")
THINK = Prompt(model="m", reasoning=ReasoningSettings(effort="low"))


def encode(wire: WireName, prompt: Prompt, compat: Compat | None = None) -> tuple[JsonObject, Encoded]:
    """The body, which its judge takes, and what was encoded."""
    compat = compat or Compat(provider="p")
    encoded = CODECS[wire].encode_request(prompt, compat)
    assert check_request(wire, encoded.body, compat=compat) == []
    body: JsonObject = json.loads(encoded.body)
    return body, encoded


@pytest.mark.parametrize("items", [(), (GhostSnapshot(ghost_commit={}),), (Message(role="user"),)])
@pytest.mark.parametrize("wire", CODECS)
def test_nothing_to_send_is_not_sent(wire: WireName, items: tuple[ResponseItem, ...]) -> None:
    """A prompt that comes down to no message at all is the caller's mistake, on every wire."""
    with pytest.raises(InvalidPromptError, match="to send"):
        CODECS[wire].encode_request(Prompt(items, model="m"), Compat())


def test_a_stored_conversation_may_go_on_without_a_word() -> None:
    """On responses nothing need be added to what is stored there."""
    body, _ = encode("responses", Prompt(model="m", previous_response_id="resp_1"))
    assert (body["input"], body["previous_response_id"]) == ([], "resp_1")


def test_mistral_goes_on_with_a_prefix() -> None:
    """An answer begun for the model says so, is the last message, and is an ordinary one in the next request."""
    compat = resolve("mistral/mistral-large-latest").compat
    items = (U, assistant_message("Once"))
    assert encode("chat", Prompt(items, model="m"), compat)[0]["messages"] == [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "Once", "prefix": True},
    ]
    assert encode("chat", Prompt((*items, U), model="m"), compat)[0]["messages"] == [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "Once"},
        {"role": "user", "content": "u"},
    ]


def test_mistral_calls_the_seed_its_own_way() -> None:
    """The seed goes into the member the row names."""
    compat = resolve("mistral/mistral-large-latest").compat
    body, _ = encode("chat", Prompt((U,), model="m", sampling=SamplingSettings(seed=7)), compat)
    assert ("seed" in body, body["random_seed"]) == (False, 7)


def test_a_phase_is_the_assistants() -> None:
    """Other messages lose it on responses, which refuses it there."""
    user = Message(role="user", content=(InputText(text="u"),), phase="commentary")
    own = Message(role="assistant", content=(OutputText(text="a"),), phase="commentary")
    body, _ = encode("responses", Prompt((user, own, U), model="m"))
    assert [json.loads(json.dumps(item)).get("phase") for item in as_list(body["input"])] == [None, "commentary", None]


@pytest.mark.parametrize("output", ["", "  ", (), (InputText(text=" "),)])
def test_a_failure_without_a_word_gets_one(output: str | tuple[InputText, ...]) -> None:
    """On messages "content cannot be empty if `is_error` is true" (inspect_ai#169)."""
    failed = FunctionCallOutput(call_id="c1", output=output, success=False)
    body, _ = encode("messages", Prompt((U, CALL, failed), model="m"))
    assert as_list(body["messages"])[-1] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": "failed, without a message", "is_error": True}
        ],
    }


@pytest.mark.parametrize(
    ("items", "thinks"),
    [
        ((U,), True),
        ((U, CALL, OUT), False),
        ((U, assistant_message("t"), CALL, OUT), False),
        ((U, THOUGHT, CALL, OUT), True),
        ((U, THOUGHT, CALL, OUT, CALL, OUT), True),
        ((U, CALL, OUT, THOUGHT, CALL, OUT), True),
        ((U, CALL, OUT, U), False),
        ((U, CALL, OUT, assistant_message("t"), U), True),
        ((U, assistant_message("t")), False),
    ],
)
def test_thinking_by_budget_does_not_begin_in_the_middle_of_a_turn(
    items: tuple[ResponseItem, ...], thinks: bool
) -> None:
    """The turn that goes on has to have begun with thinking, or to have thought last; else it is left out and told."""
    body, encoded = encode("messages", replace(THINK, items=items), BUDGET)
    assert ("thinking" in body) is thinks
    assert (Loss("reasoning", "the turn that goes on began without thinking") in encoded.losses) is not thinks


def test_an_answer_begun_with_thinking_loses_it_where_thinking_is_off() -> None:
    """A last assistant message cannot think when thinking is off (forgecode#1853); the one before it may have."""
    items = (U, THOUGHT, assistant_message("a"), U, THOUGHT, assistant_message("b"))
    body, encoded = encode("messages", Prompt(items, model="m"), BUDGET)
    thought: JsonValue = {"type": "thinking", "thinking": "hm", "signature": "s"}
    assert [
        message["content"] for message in map(dict, as_list(body["messages"])) if message["role"] == "assistant"
    ] == [
        [thought, {"type": "text", "text": "a"}],
        [{"type": "text", "text": "b"}],
    ]
    assert encoded.losses == (Loss("reasoning", "an answer begun without thinking goes on without"),)


def as_list(value: JsonValue) -> list[JsonObject]:
    assert isinstance(value, list)
    return [entry for entry in value if isinstance(entry, dict)]
