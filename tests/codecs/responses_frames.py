"""What the tests of the Responses wire share: events by hand, and streams read in every split."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence

from agent_core.codecs.base import Compat
from agent_core.codecs.grammar import check_events
from agent_core.codecs.responses_stream import ResponsesStreamDecoder
from agent_core.events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ResponseEvent,
    ToolCallInputDelta,
    Usage,
)
from agent_core.items import FunctionCall, ItemStatus, JsonObject, JsonValue, Message, Origin, OutputText
from agent_core.prompt import Prompt

PROMPT = Prompt("hi", model="gpt")
COMPAT = Compat(provider="acme", custom_tools=True)
USAGE: JsonObject = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 16,
}


# what a server sends


def sse(*events: JsonObject | bytes, names: bool = True) -> bytes:
    """Events as a stream; `names=False` leaves their `event:` lines out, bytes go in as they are."""
    return b"".join(event if isinstance(event, bytes) else frame(event, names=names) for event in events)


def frame(event: JsonObject, *, names: bool = True) -> bytes:
    head = f"event: {event.get('type')}\n" if names else ""
    return f"{head}data: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


DONE = b"data: [DONE]\n\n"


def created(**members: JsonValue) -> JsonObject:
    return {
        "type": "response.created",
        "response": {"id": "resp_1", "model": "gpt-x", "status": "in_progress", **members},
    }


def ended(status: str = "completed", *output: JsonObject, **members: JsonValue) -> JsonObject:
    response: JsonObject = {"id": "resp_1", "model": "gpt-x", "status": status, "output": list[JsonValue](output)}
    return {"type": f"response.{status}", "response": {**response, **members}}


def added(index: int, item: JsonObject) -> JsonObject:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int, item: JsonObject) -> JsonObject:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def text(index: int, delta: str, item_id: str = "msg_1", part: int = 0) -> JsonObject:
    where: JsonObject = {"item_id": item_id, "output_index": index, "content_index": part}
    return {"type": "response.output_text.delta", **where, "delta": delta}


def arguments(index: int, delta: str, item_id: str = "fc_1") -> JsonObject:
    where: JsonObject = {"item_id": item_id, "output_index": index}
    return {"type": "response.function_call_arguments.delta", **where, "delta": delta}


def bare(event: JsonObject) -> JsonObject:
    """The event without anything that says which item it is about."""
    return {name: value for name, value in event.items() if name not in ("output_index", "item_id", "content_index")}


def message(*texts: str, item_id: str = "msg_1", **members: JsonValue) -> JsonObject:
    content: list[JsonValue] = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"id": item_id, "type": "message", "role": "assistant", "content": content, **members}


def call(text: str = "", item_id: str = "fc_1", call_id: str = "call_1", **members: JsonValue) -> JsonObject:
    head: JsonObject = {"id": item_id, "type": "function_call", "call_id": call_id, "name": "add"}
    return {**head, "arguments": text, **members}


def reasoning(item_id: str = "rs_1", **members: JsonValue) -> JsonObject:
    return {"id": item_id, "type": "reasoning", "summary": [], **members}


# what becomes of it


def origin(item_id: str = "", field: str = "", response_id: str = "resp_1") -> Origin:
    return Origin(wire="responses", provider="acme", model="gpt", field=field, item_id=item_id, response_id=response_id)


def said(*texts: str, item_id: str = "msg_1", status: ItemStatus = "completed", response_id: str = "resp_1") -> Message:
    return Message(
        role="assistant",
        content=tuple(OutputText(text=text) for text in texts),
        status=status,
        origin=origin(item_id, response_id=response_id),
    )


def called(
    text: str,
    item_id: str = "fc_1",
    call_id: str = "call_1",
    status: ItemStatus = "completed",
    response_id: str = "resp_1",
) -> FunctionCall:
    return FunctionCall(
        call_id=call_id,
        name="add",
        arguments=text,
        status=status,
        origin=origin(item_id, response_id=response_id),
    )


CREATED = Created("resp_1", "gpt-x")


def stopped(**members: object) -> Completed:
    return Completed(**{**_STOPPED, **members})  # type: ignore[arg-type]  # a table of a dataclass's own fields


_STOPPED: dict[str, object] = {
    "response_id": "resp_1",
    "model": "gpt-x",
    "finish_reason": "stop",
    "status": "completed",
    "native_reason": "completed",
}

SPENT = Usage(input=5, cache_read=4, output=5, reasoning=2)


def message_events(
    index: int, *deltas: str, item_id: str = "msg_1", response_id: str = "resp_1"
) -> list[ResponseEvent]:
    """A message announced, streamed and done."""
    whole = said("".join(deltas), item_id=item_id, response_id=response_id)
    return [
        OutputItemAdded(index, said(item_id=item_id, status="in_progress", response_id=response_id)),
        *(OutputTextDelta(index, delta) for delta in deltas),
        OutputItemDone(index, whole),
    ]


def call_events(
    index: int, *deltas: str, item_id: str = "fc_1", call_id: str = "call_1", status: ItemStatus = "completed"
) -> list[ResponseEvent]:
    return [
        OutputItemAdded(index, called("", item_id, call_id, "in_progress")),
        *(ToolCallInputDelta(index, call_id, delta) for delta in deltas),
        OutputItemDone(index, called("".join(deltas), item_id, call_id, status)),
    ]


def decode(
    parts: Iterable[bytes], prompt: Prompt = PROMPT, compat: Compat = COMPAT
) -> tuple[list[ResponseEvent], ResponsesStreamDecoder]:
    """All events of a stream, checked against the grammar, and the decoder in its end state."""
    decoder = ResponsesStreamDecoder(prompt, compat)
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
