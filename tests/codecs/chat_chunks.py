"""Chunks of the Chat wire in shorthand, and what they are expected to become. Used by the tests of this folder."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from agent_core.codecs.base import Compat, json_bytes
from agent_core.codecs.chat_stream import ChatStreamDecoder
from agent_core.codecs.grammar import check_events
from agent_core.events import (
    Completed,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningContentDelta,
    ResponseEvent,
    ToolCallInputDelta,
)
from agent_core.items import (
    FunctionCall,
    ItemStatus,
    JsonObject,
    JsonValue,
    Message,
    Origin,
    OutputText,
    Reasoning,
)
from agent_core.prompt import Prompt

PROMPT = Prompt("hi", model="m")
COMPAT = Compat(provider="p")
DONE = b"data: [DONE]\n\n"


def sse(*chunks: JsonValue | bytes, end: bytes = b"") -> bytes:
    """A body: JSON values as frames, bytes as they are."""
    parts = (chunk if isinstance(chunk, bytes) else b"data: " + json_bytes(chunk) + b"\n\n" for chunk in chunks)
    return b"".join(parts) + end


def delta(members: JsonObject, finish: str | None = None, **choice: JsonValue) -> JsonObject:
    return {"choices": [{"index": 0, "delta": members, "finish_reason": finish, **choice}]}


def text(value: str) -> JsonObject:
    return delta({"content": value})


def think(value: JsonValue) -> JsonObject:
    return delta({"reasoning": value})


def call(
    index: int | None = None, call_id: str | None = None, name: str | None = None, args: str | None = None
) -> JsonObject:
    """One tool-call delta with only the members that are given."""
    return delta({"tool_calls": [call_element(index, call_id, name, args)]})


def call_element(
    index: int | None = None, call_id: str | None = None, name: str | None = None, args: str | None = None
) -> JsonObject:
    function: JsonObject = {key: value for key, value in (("name", name), ("arguments", args)) if value is not None}
    element: JsonObject = {"function": function} if function else {}
    if index is not None:
        element["index"] = index
    if call_id is not None:
        element["id"] = call_id
    return element


def finish(reason: str = "stop", **choice: JsonValue) -> JsonObject:
    return delta({}, reason, **choice)


def usage(prompt: int, completion: int) -> JsonObject:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


# What is expected


def origin(field: str = "", response_id: str = "", model: str = "m") -> Origin:
    return Origin(wire="chat", provider="p", model=model, field=field, response_id=response_id)


def message(value: str | None = None, status: ItemStatus = "completed") -> Message:
    parts = () if value is None else (OutputText(text=value),)
    return Message(role="assistant", content=parts, status=status, origin=origin())


def reasoning(value: str | None = None, field: str = "reasoning", status: ItemStatus = "completed") -> Reasoning:
    return Reasoning(content=() if value is None else (value,), status=status, origin=origin(field))


def function_call(call_id: str, name: str, args: str = "", status: ItemStatus = "completed") -> FunctionCall:
    return FunctionCall(call_id=call_id, name=name, arguments=args, status=status, origin=origin())


def message_events(index: int, *pieces: str) -> list[ResponseEvent]:
    return [OutputItemAdded(index, message()), *(OutputTextDelta(index, piece) for piece in pieces)]


def reasoning_events(index: int, *pieces: str, field: str = "reasoning") -> list[ResponseEvent]:
    return [OutputItemAdded(index, reasoning(field=field)), *(ReasoningContentDelta(index, piece) for piece in pieces)]


def call_events(index: int, call_id: str, name: str, *pieces: str) -> list[ResponseEvent]:
    added = OutputItemAdded(index, function_call(call_id, name))
    return [added, *(ToolCallInputDelta(index, call_id, piece) for piece in pieces)]


def done(index: int, item: Message | Reasoning | FunctionCall) -> OutputItemDone:
    return OutputItemDone(index, item)


def stopped(native: str | None = "stop") -> Completed:
    return Completed(finish_reason="stop", native_reason=native)


# Feeding


def decode(
    parts: Iterable[bytes], prompt: Prompt = PROMPT, compat: Compat = COMPAT
) -> tuple[list[ResponseEvent], ChatStreamDecoder]:
    """All events of a stream, checked against the grammar, and the decoder in its end state."""
    decoder = ChatStreamDecoder(prompt, compat)
    events: list[ResponseEvent] = []
    for part in parts:
        events += decoder.feed(part)
    events += decoder.close()
    check_events(events, decoder.error)
    assert decoder.done
    return events, decoder


def splits(body: bytes) -> Sequence[Sequence[bytes]]:
    """The body whole, byte by byte, and in three reproducible random splits."""
    return [[body], [body[n : n + 1] for n in range(len(body))], *(random_split(body, seed) for seed in range(3))]


def random_split(body: bytes, seed: int) -> list[bytes]:
    chance = random.Random(seed)
    cuts = sorted(chance.randrange(len(body) + 1) for _ in range(min(len(body), 12)))
    return [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
