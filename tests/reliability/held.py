"""Answers that stay where a cancel is to strike, for tests/loopback.py, and whole ones, in the words of any wire."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal, TypeAlias, get_args

from agent_core.codecs import CODECS
from agent_core.events import Completed
from agent_core.items import WireName
from agent_core.prompt import Prompt
from agent_core.testing import Step
from agent_core.testing.scripts import answer_events, answer_response

from ..loopback import END, STALL, Answer, Exchange, Received, chunk, exchange, sse, sse_head

__all__ = ["PLACES", "Place", "held", "streamed", "whole"]

Place: TypeAlias = Literal["before the headers", "silent", "in the text"]
"""Where: nothing has been answered; some text came and nothing comes after it; text comes all the time."""
PLACES: tuple[Place, ...] = get_args(Place)

PIECE = 1024


def held(wire: WireName, place: Place, asked: Callable[[], object] = lambda: None) -> Answer:
    """An answer that has no end in this place; `asked` is called when the request is there."""

    def answer(received: Received) -> Exchange:
        asked()
        return _held(wire, place)

    return answer


def whole(wire: WireName, text: str) -> Exchange:
    """A whole answer."""
    return exchange(sse(streamed(wire, Step(text=text))))


def streamed(wire: WireName, step: Step, *, ends: bool = True) -> bytes:
    """The body of a stream that says the step; one that does not end says all of it all the same."""
    prompt = Prompt("go", model="any")
    encoder = CODECS[wire].stream_encoder(prompt)
    events = answer_events(answer_response(step, prompt, wire, request=b"x"))
    if not ends:
        return b"".join(encoder.feed(event) for event in events if not isinstance(event, Completed))
    return b"".join(map(encoder.feed, events)) + encoder.close()


@cache
def _held(wire: WireName, place: Place) -> Exchange:
    body = streamed(wire, Step(text="one two three " * 4000))
    match place:
        case "before the headers":
            return exchange(STALL)
        case "silent":
            return exchange(sse_head(), chunk(body[: body.index(b"three")]), STALL)
        case "in the text":  # more than a reader takes in before it is cancelled
            return exchange(sse_head(), *(chunk(body[n : n + PIECE]) for n in range(0, len(body), PIECE)), END)
