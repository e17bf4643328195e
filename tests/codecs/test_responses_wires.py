"""Every recorded Responses stream folds to what an independent decoder made of it, however its bytes are cut."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import cast

import pytest

from agent_core.codecs.responses_stream import ResponsesStreamDecoder
from agent_core.errors import StreamInterrupted
from agent_core.items import CustomToolCall, FunctionCall, JsonObject, JsonValue
from tests.recordings import Recording, needs_recordings, streams

from .responses_frames import decode, random_split

RECORDINGS = streams("responses")
SAMPLE = random.Random(7).sample(RECORDINGS, min(20, len(RECORDINGS)))

_COUNTERS = ("input", "cached_input", "output", "reasoning", "total")

each_recording = pytest.mark.parametrize("recording", RECORDINGS, ids=str)


def folded(decoder: ResponsesStreamDecoder) -> JsonObject:
    """The end of a stream in the words of expected.json."""
    response = decoder.snapshot()
    calls: list[JsonValue] = [
        {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
        if isinstance(item, FunctionCall)
        else {"call_id": item.call_id, "name": item.name, "arguments": item.input}
        for item in response.items
        if isinstance(item, (FunctionCall, CustomToolCall))
    ]
    reported = response.usage.reported if response.usage else None
    return {
        "text": response.text,
        "reasoning_text": response.reasoning_text,
        "refusal": response.refusal,
        "tool_calls": calls,
        "status": response.native_reason,
        "incomplete_reason": response.incomplete_reason,
        "usage": None if reported is None else {name: getattr(reported, name) for name in _COUNTERS},
        "error": decoder.error is not None and not isinstance(decoder.error, StreamInterrupted),
        "complete": not isinstance(decoder.error, StreamInterrupted),
    }


def expectations(recording: Recording) -> list[JsonObject]:
    """What the recording may fold to: as read by the rule of the specification, or with its last event flushed."""
    strict = recording.expected
    flushed = {**strict, **cast("JsonObject", strict.get("if_flushed") or {})}
    names = ("text", "reasoning_text", "tool_calls", "status", "incomplete_reason", "usage", "complete")
    return [
        {**{name: one[name] for name in names}, "refusal": one.get("refusal", ""), "error": one["error"] is not None}
        for one in (strict, flushed)
    ]


def check(recording: Recording, parts: Iterable[bytes]) -> None:
    _, decoder = decode(parts)
    assert folded(decoder) in expectations(recording)


@needs_recordings
@each_recording
def test_whole(recording: Recording) -> None:
    """Fed whole, a stream folds as expected, and its frames are counted."""
    _, decoder = decode([recording.body])
    assert folded(decoder) in expectations(recording)
    flushed = cast("JsonObject", recording.expected.get("if_flushed") or {})
    assert decoder.frames == flushed.get("n_data_events", recording.expected["n_data_events"])


@needs_recordings
@pytest.mark.parametrize("recording", SAMPLE, ids=str)
def test_byte_by_byte(recording: Recording) -> None:
    """Fed byte by byte, a stream gives the events it gives whole."""
    body = recording.body
    assert decode([body[n : n + 1] for n in range(len(body))])[0] == decode([body])[0]


@needs_recordings
@each_recording
def test_random_splits(recording: Recording) -> None:
    """Cut at random places, a stream gives the events it gives whole (two splits of each: over 200)."""
    body = recording.body
    whole, _ = decode([body])
    assert all(decode(random_split(body, seed))[0] == whole for seed in (1, 2))


@needs_recordings
@pytest.mark.parametrize("recording", SAMPLE, ids=str)
def test_every_prefix_ends_well(recording: Recording) -> None:
    """A stream cut anywhere ends in exactly one way, and gives a prefix of its texts."""
    body = recording.body
    for seed in range(10):
        _, decoder = decode([body[: random.Random(seed).randrange(len(body))]])
        assert str(recording.expected["text"]).startswith(decoder.snapshot().text)
