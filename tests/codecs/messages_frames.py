"""What the tests of the Messages wire share: frames by hand, and streams read in every split."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

from agent_core.codecs.base import Compat
from agent_core.codecs.grammar import check_events
from agent_core.codecs.messages_stream import MessagesStreamDecoder
from agent_core.errors import ModelError
from agent_core.events import Response, ResponseEvent
from agent_core.items import JsonObject, JsonValue, Origin
from agent_core.prompt import Prompt

PROMPT = Prompt("hi", model="claude")
COMPAT = Compat(provider="acme")
USAGE: JsonObject = {"input_tokens": 5, "output_tokens": 1}


def origin(field: str = "", item_id: str = "", response_id: str = "msg_1") -> Origin:
    return Origin(
        wire="messages", provider="acme", model="claude", field=field, item_id=item_id, response_id=response_id
    )


def sse(*events: JsonObject) -> bytes:
    return b"".join(
        f"event: {event.get('type')}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode() for event in events
    )


def start(message_id: str = "msg_1", **members: JsonValue) -> JsonObject:
    message: JsonObject = {"id": message_id, "type": "message", "role": "assistant", "model": "claude-5", "content": []}
    return {"type": "message_start", "message": {**message, "usage": dict(USAGE), **members}}


def open_block(index: int, **block: JsonValue) -> JsonObject:
    return {"type": "content_block_start", "index": index, "content_block": block}


def text_block(index: int, text: str = "") -> JsonObject:
    return open_block(index, type="text", text=text)


def tool_block(index: int, call_id: str, name: str = "add") -> JsonObject:
    return open_block(index, type="tool_use", id=call_id, name=name, input={})


def delta(index: int, kind: str, **members: JsonValue) -> JsonObject:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **members}}


def text(index: int, piece: str) -> JsonObject:
    return delta(index, "text_delta", text=piece)


def thinking(index: int, piece: str) -> JsonObject:
    return delta(index, "thinking_delta", thinking=piece)


def arguments(index: int, piece: str) -> JsonObject:
    return delta(index, "input_json_delta", partial_json=piece)


def stop_block(index: int) -> JsonObject:
    return {"type": "content_block_stop", "index": index}


def end(reason: str | None = "end_turn", **usage: JsonValue) -> list[JsonObject]:
    said: JsonObject = {"stop_reason": reason, "stop_sequence": None}
    counted: JsonObject = {"output_tokens": 7, **usage}
    return [{"type": "message_delta", "delta": said, "usage": counted}, {"type": "message_stop"}]


Outcome = tuple[list[ResponseEvent], str, Response, int]
"""Events, the error's class (empty for none), what the decoder holds in the end, and the frames it counted."""


def decode(pieces: Iterable[bytes], prompt: Prompt = PROMPT, compat: Compat = COMPAT) -> Outcome:
    events, error, response, frames = decode_to_error(pieces, prompt, compat)
    return events, type(error).__name__ if error is not None else "", response, frames


def decode_to_error(
    pieces: Iterable[bytes], prompt: Prompt = PROMPT, compat: Compat = COMPAT
) -> tuple[list[ResponseEvent], ModelError | None, Response, int]:
    decoder = MessagesStreamDecoder(prompt, compat)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    events += decoder.close()
    assert decoder.done
    check_events(events, decoder.error)
    response = decoder.snapshot()
    assert decoder.error is None or decoder.error.partial == response
    return events, decoder.error, response, decoder.frames


def split(body: bytes, seed: int) -> list[bytes]:
    """`body` cut at random places."""
    chance = random.Random(seed)
    cuts = sorted(chance.randrange(len(body) + 1) for _ in range(chance.randrange(1, 30)))
    return [body[left:right] for left, right in zip([0, *cuts], [*cuts, len(body)], strict=True)]


def decode_every_way(body: bytes, prompt: Prompt = PROMPT, compat: Compat = COMPAT) -> Outcome:
    """Whole, byte by byte and in random splits: the outcome, which must be the same each time."""
    whole = decode([body], prompt, compat)
    assert decode([body[n : n + 1] for n in range(len(body))], prompt, compat) == whole
    for seed in range(5):
        assert decode(split(body, seed), prompt, compat) == whole
    return whole
