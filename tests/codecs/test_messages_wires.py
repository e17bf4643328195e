"""Every recorded Messages stream folds to what an independent decoder made of it, in whatever pieces it comes."""

from __future__ import annotations

import json

import pytest

from agent_core.codecs.base import Compat
from agent_core.codecs.messages import CODEC
from agent_core.events import Response
from agent_core.items import FunctionCall, JsonObject, Message, OutputText, ResponseItem
from agent_core.prompt import Prompt

from ..recordings import Recording, needs_recordings, streams
from .messages_frames import Outcome, decode, split

STREAMS = streams("messages")
BY_SIZE = sorted(STREAMS, key=lambda recording: (len(recording.body), str(recording)))
COMPAT = Compat(provider="recorded")
PROMPT = Prompt("hi", model="recorded")

pytestmark = needs_recordings


def seen(recording: Recording, pieces: list[bytes]) -> tuple[JsonObject, Outcome]:
    """What we made of a stream, in the words of expected.json."""
    outcome = decode(pieces, PROMPT, COMPAT)
    _, error, response, frames = outcome
    usage = response.usage.reported if response.usage is not None else None
    calls = [call for call in response.tool_calls if call.type == "function_call"]
    return {
        "text": response.text,
        "reasoning_text": response.reasoning_text,
        "tool_calls": [{"call_id": c.call_id, "name": c.name, "arguments": c.arguments} for c in calls],
        "stop_reason": response.native_reason,
        "usage": None
        if usage is None
        else {
            "input": usage.input,
            "cached_input": usage.cached_input,
            "output": usage.output,
            "reasoning": usage.reasoning,
            "total": usage.total,
        },
        "n_data_events": frames,
        "complete": not error,
    }, outcome


def accepted(recording: Recording) -> list[JsonObject]:
    """expected.json, and its variant for a last event without its blank line, which we dispatch."""
    expected = recording.expected
    flushed = expected.get("if_flushed")
    variants = [expected] if not isinstance(flushed, dict) else [expected, {**expected, **flushed}]
    members = ("text", "reasoning_text", "tool_calls", "stop_reason", "usage", "n_data_events")
    return [
        {**{name: one[name] for name in members}, "complete": bool(one["complete"]) and not one["error"]}
        for one in variants
    ]


@pytest.mark.parametrize("recording", STREAMS, ids=str)
def test_recorded_streams(recording: Recording) -> None:
    """Fed whole, a recorded stream gives the expected text, reasoning, calls, stop reason, usage and frame count."""
    found, _ = seen(recording, [recording.body])
    assert found in accepted(recording)


@pytest.mark.parametrize("recording", BY_SIZE[:120:6], ids=str)
def test_recorded_streams_byte_by_byte(recording: Recording) -> None:
    """Fed byte by byte, it gives the same events."""
    body = recording.body
    assert decode([body[n : n + 1] for n in range(len(body))], PROMPT, COMPAT) == decode([body], PROMPT, COMPAT)


@pytest.mark.parametrize("seed", range(200))
def test_recorded_streams_in_random_pieces(seed: int) -> None:
    """Fed in random pieces, it gives the same events."""
    recording = BY_SIZE[seed % len(BY_SIZE)]
    body = recording.body
    assert decode(split(body, seed), PROMPT, COMPAT) == decode([body], PROMPT, COMPAT)


def told(response: Response) -> tuple[object, ...]:
    """All of an answer but its items."""
    ended = (response.finish_reason, response.status, response.native_reason, response.stop_sequence)
    return response.id, response.model, response.usage, ended


def without_citations(item: ResponseItem) -> ResponseItem:
    if not isinstance(item, Message):
        return item
    parts = [p.model_copy(update={"annotations": ()}) if isinstance(p, OutputText) else p for p in item.content]
    return item.model_copy(update={"content": tuple(parts)})


def with_rewritten_arguments(item: ResponseItem) -> ResponseItem:
    """A whole answer holds arguments as an object: their spacing is gone, and what is no object stands in one."""
    if not isinstance(item, FunctionCall):
        return item
    try:
        arguments: object = json.loads(item.arguments)
    except ValueError:
        arguments = {"_invalid_arguments": item.arguments}
    return item.model_copy(update={"arguments": json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))})


@pytest.mark.parametrize("recording", STREAMS, ids=str)
def test_recorded_streams_encoded_again(recording: Recording) -> None:
    """Their events, written as a stream and read again, give the same answer, but for citations (a declared loss)."""
    events, error, response, _ = decode([recording.body], PROMPT, COMPAT)
    encoder = CODEC.stream_encoder(PROMPT)
    body = b"".join(map(encoder.feed, events)) + encoder.close()
    _, again_error, again, _ = decode([body], PROMPT, COMPAT)
    assert again_error == error
    assert told(again) == told(response)
    assert [*map(without_citations, again.items)] == [*map(without_citations, response.items)]


@pytest.mark.parametrize("recording", STREAMS, ids=str)
def test_recorded_answers_encoded_whole(recording: Recording) -> None:
    """The same answer as one JSON body reads back as it was."""
    _, _, response, _ = decode([recording.body], PROMPT, COMPAT)
    if response.status == "completed":
        again = CODEC.decode_response(CODEC.encode_response(response, PROMPT), PROMPT, COMPAT)
        assert told(again) == told(response)
        assert again.items == tuple(map(with_rewritten_arguments, response.items))
