"""Pieces read into structs are what they are when they are read in full.

How an event is named in its `event:` line decides which way it goes: on Chat any name has the chunk read in full, on
the other wires a missing one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from random import Random

import pytest

from agent_core.codecs import codec_for
from agent_core.codecs.base import Compat
from agent_core.events import Response, ResponseEvent
from agent_core.items import JsonObject, JsonValue, WireName
from agent_core.prompt import CustomToolSpec, Prompt

from ..recordings import Recording, needs_recordings, streams

SEEDS = 20_000 if os.environ.get("AGENT_CORE_LONG") == "1" else 500
PROMPT = Prompt("hello", tools=[CustomToolSpec("lowered", "a free-form tool")]).with_model("m")


def told(wire: WireName, body: bytes) -> tuple[list[ResponseEvent], Response, str]:
    decoder = codec_for(wire).stream_decoder(PROMPT, Compat())
    events = [*decoder.feed(body), *([] if decoder.done else decoder.close())]
    return events, decoder.snapshot(), repr(decoder.error)


def _unnamed(body: bytes) -> bytes:
    lines = body.split(b"\n")
    deltas = (b"event: content_block_delta", b"event: response.")
    return b"\n".join(line for line in lines if not (line.startswith(deltas) and line.rstrip().endswith(b"delta")))


FULL: dict[WireName, Callable[[bytes], bytes]] = {
    "chat": lambda body: body.replace(b"data: {", b"event: chunk\ndata: {"),
    "responses": _unnamed,
    "messages": _unnamed,
}
WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")


RECORDED = [(wire, entry) for wire in WIRES for entry in streams(wire)]


@needs_recordings
@pytest.mark.parametrize(("wire", "recording"), RECORDED, ids=[str(entry) for _, entry in RECORDED])
def test_every_recorded_stream(wire: WireName, recording: Recording) -> None:
    """Both ways give the same events, and the same error where there is one."""
    assert told(wire, recording.body) == told(wire, FULL[wire](recording.body))


def chat(delta: JsonObject) -> JsonObject:
    return {"object": "chat.completion.chunk", "usage": None, "choices": [{"index": 0, "delta": delta}]}


def call(**members: JsonValue) -> JsonObject:
    return chat({"tool_calls": [{"index": 0, "function": members}]})


def response(kind: str, **members: JsonValue) -> JsonObject:
    return {"type": f"response.{kind}", "output_index": 0, "sequence_number": 0, **members}


def block(kind: str, **members: JsonValue) -> JsonObject:
    return {"type": f"content_block_{kind}", "index": 0, **members}


PLAIN: dict[WireName, list[JsonObject]] = {
    "chat": [
        chat({"content": "a"}),
        chat({"reasoning_content": "b"}),
        chat({"role": "assistant", "content": None, "reasoning": "c"}),
        call(arguments="d"),
        chat({"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "lowered", "arguments": ""}}]}),
    ],
    "responses": [
        response("output_item.added", item={"type": "message", "id": "m"}),
        response("output_item.added", item={"type": "reasoning", "id": "r"}),
        response("output_item.added", item={"type": "function_call", "id": "f", "call_id": "c", "name": "read"}),
        response("output_item.added", item={"type": "function_call", "id": "g", "call_id": "d", "name": "lowered"}),
        response("output_item.added", item={"type": "custom_tool_call", "id": "k", "call_id": "e", "name": "lowered"}),
        response("output_item.done", item={"type": "message", "id": "m"}),
        *(response(f"{name}.delta", delta="a") for name in ("output_text", "refusal", "reasoning_text")),
        *(response(f"{name}.delta", delta="b") for name in ("reasoning_summary_text", "output_audio")),
        *(response(f"{name}.delta", delta="c") for name in ("function_call_arguments", "custom_tool_call_input")),
    ],
    "messages": [
        block("start", content_block={"type": "text", "text": ""}),
        block("start", content_block={"type": "thinking", "thinking": ""}),
        block("start", content_block={"type": "tool_use", "id": "t", "name": "read", "input": {}}),
        block("start", content_block={"type": "tool_use", "id": "u", "name": "lowered", "input": {}}),
        block("start", content_block={"type": "server_tool_use", "id": "s", "name": "search", "input": {}}),
        block("stop"),
        *(block("delta", delta={"type": "text_delta", "text": text}) for text in "ab"),
        *(block("delta", delta={"type": "thinking_delta", "thinking": text}) for text in "cd"),
        *(block("delta", delta={"type": "input_json_delta", "partial_json": text}) for text in "{}"),
    ],
}
"""What streams are made of. With these alone every piece is plain, once its item or block has begun."""

ODD: list[JsonValue] = ["", "x", "\ud83d", "\ude00", None, 0, 1, 2, 3, 0.0, True, 10**30, [], ["y"], {}, {"a": 1}]
MEMBERS = """object usage error choices x_groq base_resp detail delta index finish_reason message content refusal
    reasoning reasoning_text reasoning_details tool_calls function_call function arguments name id type output_index
    item_id content_index summary_index sequence_number text thinking partial_json signature citation"""


def objects(value: JsonValue) -> list[JsonObject]:
    """The object and all objects in it."""
    if isinstance(value, list):
        return [found for entry in value for found in objects(entry)]
    return [value, *(found for entry in value.values() for found in objects(entry))] if isinstance(value, dict) else []


def altered(event: JsonObject, rng: Random) -> JsonObject:
    """One member of it, or of an object in it, said otherwise, added or left out."""
    event = json.loads(json.dumps(event))
    place = rng.choice(objects(event))
    name = rng.choice([*place] if place and rng.random() < 0.5 else MEMBERS.split())
    if name == "type" and place is event:  # without a name there must be one
        place[name] = "error"
    elif name in place and rng.random() < 0.2:
        del place[name]
    else:
        place[name] = rng.choice(ODD)
    return event


def made(wire: WireName, rng: Random) -> bytes:
    """A stream in which one event of four is not as it should be. Each is named for what it was meant to be."""
    body = b""
    if wire == "chat":
        body += b'data: {"id": "i", "model": "m", "choices": []}\n\n'
        first: JsonObject = {"index": 0, "id": "c1", "function": {"name": "read", "arguments": ""}}
        body += b"data: %b\n\n" % json.dumps(chat({"tool_calls": [first]})).encode()
    for number in range(rng.randint(1, 20)):
        plain = rng.choice(PLAIN[wire])
        if "sequence_number" in plain:
            plain = {**plain, "sequence_number": number}
        event = altered(plain, rng) if rng.random() < 0.25 else plain
        name = f"event: {plain['type']}\n" if wire != "chat" else ""
        body += f"{name}data: {json.dumps(event)}\n\n".encode()
    return body


@pytest.mark.parametrize("wire", WIRES)
def test_events_of_any_kind(wire: WireName) -> None:
    """Whatever an event holds, about whatever item, numbered in whatever way."""
    for seed in range(SEEDS):
        body = made(wire, Random(seed))
        assert told(wire, body) == told(wire, FULL[wire](body)), f"seed {seed}"
