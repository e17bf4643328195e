"""Events of the Responses wire that come twice or late, by their numbers."""

from __future__ import annotations

import pytest

from agent_core.codecs import CODECS
from agent_core.codecs.base import Compat
from agent_core.codecs.responses_order import EventOrder
from agent_core.errors import MalformedStream
from agent_core.prompt import Prompt
from agent_core.testing import Call, Step
from agent_core.testing.scripts import answer_events, answer_response

PROMPT = Prompt("Hello", model="m")


@pytest.mark.parametrize(
    ("numbers", "places"),
    [
        ([0, 1, 2, 3], "ffff"),
        ([7, 8, 9], "fff"),
        ([0, 1, 1, 2], "ffaf"),
        ([0, 1, 1, 1, 2], "ffaaf"),
        ([0, 1, 3, 2, 4], "ffflf"),
        ([0, 1, 5, 6, 7], "fffff"),
        ([0, 0, 0, 0], "ffff"),
        ([0, 1, 2, 0, 1, 2, 2], "fffffff"),
        ([3, 2, 1, 0, 1, 1], "ffffff"),
        ([None, None, None], "fff"),
        ([0, None, 1, "2", 2.0, 2, 2], "ffffffa"),
        ([True, True], "ff"),
        ([0, 1, *range(3, 41, 2), 4], "f" * 22),
    ],
    ids=str,
)
def test_what_numbers_say(numbers: list[object], places: str) -> None:
    """Fine, again or late: only where a server was seen to count; one that counts in its own way is left alone."""
    order = EventOrder()
    assert "".join(order.place(number, b"%r" % (number,))[0] for number in numbers) == places


def test_another_event_of_the_same_number_is_no_repetition() -> None:
    """Only the same bytes are."""
    order = EventOrder()
    assert [order.place(number, data) for number, data in [(0, b"a"), (1, b"b"), (1, b"c")]] == ["fine"] * 3


def frames() -> list[bytes]:
    """A whole answer, event by event."""
    step = Step(reasoning="one two three", text="four five six", calls=(Call("add", {"city": "Paris", "unit": "C"}),))
    encoder = CODECS["responses"].stream_encoder(PROMPT)
    said = b"".join(map(encoder.feed, answer_events(answer_response(step, PROMPT, "responses", request=b"x"))))
    return [frame + b"\n\n" for frame in (said + encoder.close()).split(b"\n\n") if frame]


def test_every_event_may_come_twice() -> None:
    """The answer is the same, whichever it was."""
    clean = frames()
    whole = CODECS["responses"].stream_decoder(PROMPT, Compat())
    events = whole.feed(b"".join(clean))
    for n in range(len(clean)):
        decoder = CODECS["responses"].stream_decoder(PROMPT, Compat())
        assert decoder.feed(b"".join([*clean[: n + 1], *clean[n:]])) == events, clean[n]
        assert decoder.error is None


def test_every_two_events_may_be_swapped() -> None:
    """Then the stream breaks, worth another try, or the answer is the same: text is never mixed up silently."""
    clean = frames()
    whole = CODECS["responses"].stream_decoder(PROMPT, Compat())
    whole.feed(b"".join(clean))
    for n in range(1, len(clean) - 1):
        decoder = CODECS["responses"].stream_decoder(PROMPT, Compat())
        decoder.feed(b"".join([*clean[:n], clean[n + 1], clean[n], *clean[n + 2 :]]))
        if decoder.error is not None:
            assert isinstance(decoder.error, MalformedStream) and decoder.error.retryable
        else:
            assert decoder.snapshot() == whole.snapshot(), clean[n]
