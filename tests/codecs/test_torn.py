"""An event that lost a part on its way, whichever it is: never a shorter answer that passes for a whole one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent_core.codecs import CODECS, WIRES
from agent_core.codecs.base import Compat
from agent_core.codecs.sse import MAX_EVENT_BYTES
from agent_core.errors import ModelError, StreamError
from agent_core.events import Response
from agent_core.items import WireName
from agent_core.prompt import Prompt

PROMPT = Prompt("Hello", model="m")
ANSWERS: dict[WireName, list[bytes]] = {
    "chat": [
        b'data: {"id":"r","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Not "}}]}\n\n',
        b'data: {"id":"r","model":"m","choices":[{"index":0,"delta":{"content":"safe"}}]}\n\n',
        b'data: {"id":"r","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
        b'data: {"id":"r","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
        b"data: [DONE]\n\n",
    ],
    "responses": [
        b'data: {"type":"response.output_text.delta","item_id":"i","output_index":0,"delta":"Not "}\n\n',
        b'data: {"type":"response.output_text.delta","item_id":"i","output_index":0,"delta":"safe"}\n\n',
        b'data: {"type":"response.completed","response":{"id":"r","model":"m","status":"completed","output":[]}}\n\n',
    ],
    "messages": [
        b'data: {"type":"message_start","message":{"id":"r","model":"m","role":"assistant","content":[]}}\n\n',
        b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Not "}}\n\n',
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"safe"}}\n\n',
        b'data: {"type":"content_block_stop","index":0}\n\n',
        b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n',
        b'data: {"type":"message_stop"}\n\n',
    ],
}


def decoded(wire: WireName, body: bytes) -> tuple[Response, ModelError | None]:
    decoder = CODECS[wire].stream_decoder(PROMPT, Compat())
    decoder.feed(body)
    if not decoder.done:
        decoder.close()
    return decoder.snapshot(), decoder.error


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "its second half is missing": lambda event: event[: len(event) // 2] + b"\n\n",
    "its last byte is missing": lambda event: event[:-3] + b"\n\n",
    "its middle is no UTF-8": lambda event: event[: len(event) // 2] + b"\xff" + event[len(event) // 2 :],
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_event(damage: str, wire: WireName) -> None:
    """The stream breaks, worth another try; or nothing of the answer was in that event. The first one counts, too."""
    events = ANSWERS[wire]
    whole, none = decoded(wire, b"".join(events))
    assert (whole.text, none) == ("Not safe", None)
    for n, event in enumerate(events):
        answer, error = decoded(wire, b"".join([*events[:n], DAMAGES[damage](event), *events[n + 1 :]]))
        if error is None:
            assert answer.text == "Not safe", event
        else:
            assert isinstance(error, StreamError) and error.retryable, event


def test_an_endless_event_after_the_finish_of_chat() -> None:
    """The answer was whole: it is not lost for what comes after it."""
    decoder = CODECS["chat"].stream_decoder(PROMPT, Compat())
    decoder.feed(b"".join(ANSWERS["chat"][:3]))
    decoder.feed(b"data: " + b"0" * (MAX_EVENT_BYTES + 1))
    answer = decoder.snapshot()
    assert (decoder.done, answer.text, answer.finish_reason, decoder.error) == (True, "Not safe", "stop", None)
