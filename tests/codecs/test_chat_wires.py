"""Every recorded Chat stream folds to what an independent decoder made of it."""

from __future__ import annotations

import random

import pytest

from agent_core.codecs.base import Compat, json_object
from agent_core.codecs.chat_stream import ChatStreamDecoder
from agent_core.events import Usage
from agent_core.items import CustomToolCall, FunctionCall, JsonObject, JsonValue
from agent_core.prompt import Prompt

from ..recordings import Recording, needs_recordings, streams
from .chat_chunks import decode, random_split

pytestmark = needs_recordings

RECORDINGS = streams("chat")
SAMPLE = random.Random(20).sample(RECORDINGS, min(20, len(RECORDINGS)))
SPLITS = 200


def folded(decoder: ChatStreamDecoder) -> JsonObject:
    """The members of expected.json, from a decoder in its end state."""
    response = decoder.snapshot()
    calls: list[JsonValue] = []
    for call in response.tool_calls:
        assert isinstance(call, (FunctionCall, CustomToolCall))
        arguments = call.input if isinstance(call, CustomToolCall) else call.arguments
        calls.append({"call_id": call.call_id, "name": call.name, "arguments": arguments})
    return {
        "text": response.text,
        "reasoning_text": response.reasoning_text,
        "tool_calls": calls,
        "refusal": response.refusal,
        "finish_reason": response.native_reason,
        "usage": reported(response.usage),
        "n_data_events": decoder.frames,
        "error": decoder.error is not None,
    }


def reported(usage: Usage | None) -> JsonObject | None:
    said = usage.reported if usage else None
    if said is None:
        return None
    return {
        "input": said.input,
        "cached_input": said.cached_input,
        "output": said.output,
        "reasoning": said.reasoning,
        "total": said.total,
    }


def expected(recording: Recording) -> list[JsonObject]:
    """What the reference decoder says; twice where it leaves open whether an unfinished last event counts."""
    members = recording.expected
    wanted: JsonObject = {
        **{name: members[name] for name in ("text", "reasoning_text", "tool_calls", "finish_reason", "usage")},
        "refusal": members.get("refusal", ""),
        "n_data_events": members["n_data_events"],
        "error": bool(members["error"] or members.get("error_field")),
    }
    flushed = json_object(members.get("if_flushed")) or {}
    return [wanted, {**wanted, **{name: value for name, value in flushed.items() if name in wanted}}]


def decoded(parts: list[bytes]) -> JsonObject:
    _, decoder = decode(parts, Prompt(), Compat())
    return folded(decoder)


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_a_recorded_stream_folds_as_expected(recording: Recording) -> None:
    """Text, reasoning, calls, finish_reason, usage, error and number of events are those of the reference decoder."""
    assert decoded([recording.body]) in expected(recording)


@pytest.mark.parametrize("recording", SAMPLE, ids=str)
def test_byte_by_byte_is_the_same(recording: Recording) -> None:
    """A stream that arrives one byte at a time is the same stream."""
    body = recording.body[:60_000]
    events, _ = decode([body], Prompt(), Compat())
    slowly, _ = decode([body[n : n + 1] for n in range(len(body))], Prompt(), Compat())
    assert slowly == events


def test_random_splits_are_the_same() -> None:
    """Cut anywhere, also inside characters and line ends: the same answer, 200 times."""
    chance = random.Random(7)
    for seed in range(SPLITS):
        recording = chance.choice(RECORDINGS)
        assert decoded(random_split(recording.body, seed)) in expected(recording), str(recording)
