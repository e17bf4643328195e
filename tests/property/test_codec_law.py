"""The law of codecs: what is written on a wire and read again is what it was, but for what the wire declares it loses.

Held for any legal sequence of events (`answers`), on every wire, and through every ordered pair of wires, where nothing
translates: one wire's reading and the other's writing are all there is.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_core.codecs import WIRES, codec_for, reframe
from agent_core.codecs.base import Compat
from agent_core.codecs.grammar import check_events
from agent_core.errors import ModelError
from agent_core.events import Completed, OutputItemDone, Response, ResponseEvent
from agent_core.items import JsonValue, ResponseItem, WireName

from . import CI
from .answers import PROMPT, Said, answers, fitted, said_by

LIMITS = settings(
    max_examples=2000 if CI else 20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
COMPAT = Compat(provider="acme")

each_wire = pytest.mark.parametrize("wire", WIRES)


def written(wire: WireName, events: list[ResponseEvent]) -> bytes:
    encoder = codec_for(wire).stream_encoder(PROMPT)
    return b"".join([*map(encoder.feed, events), encoder.close()])


def read(wire: WireName, body: bytes) -> tuple[Response, ModelError | None]:
    decoder = codec_for(wire).stream_decoder(PROMPT, COMPAT)
    events = [*decoder.feed(body), *decoder.close()]
    check_events(events, decoder.error)
    return decoder.snapshot(), decoder.error


def whole(events: list[ResponseEvent]) -> Response:
    """The answer the events tell."""
    items = [(event.index, event.item) for event in events if isinstance(event, OutputItemDone)]
    end = events[-1]
    assert isinstance(end, Completed)
    return Response(
        end.response_id,
        end.model,
        tuple(item for _, item in sorted(items, key=lambda one: one[0])),
        end.finish_reason,
        end.status,
        end.usage,
        stop_sequence=end.stop_sequence,
    )


def bare(item: ResponseItem) -> ResponseItem:
    """The item without where it came from."""
    return item.model_copy(update={"origin": None})


@each_wire
@LIMITS
@given(answers())
def test_what_is_written_is_read(wire: WireName, events: list[ResponseEvent]) -> None:
    """`decode(encode(x)) == x`, minus declared losses; on Responses every item comes back as it was, in its place."""
    check_events(events)
    answer = whole(events)
    back, error = read(wire, written(wire, events))
    assert error is None
    assert said_by(back) == fitted(wire, said_by(answer), answer.items)
    if wire == "responses":
        assert [*map(bare, back.items)] == [*answer.items]


@each_wire
@LIMITS
@given(answers())
def test_a_whole_answer_is_read(wire: WireName, events: list[ResponseEvent]) -> None:
    """The same of a whole answer, but for the spacing of arguments, and for cut ones: one wire has objects for them."""
    answer = whole(events)
    codec = codec_for(wire)
    back = codec.decode_response(codec.encode_response(answer, PROMPT), PROMPT, COMPAT)
    assert spaced(said_by(back)) == spaced(fitted(wire, said_by(answer), answer.items))


def spaced(said: Said) -> Said:
    """With arguments written in one way."""
    calls = [(kind, call_id, name, _spaced(text), "") for kind, call_id, name, text, _ in said.calls]
    return replace(said, calls=tuple(calls))


def _spaced(text: str) -> str:
    try:
        loaded: JsonValue = json.loads(text)
    except ValueError:
        return text
    cut = loaded.get("_invalid_arguments") if isinstance(loaded, dict) else None
    return cut if isinstance(cut, str) else json.dumps(loaded)


@LIMITS
@given(answers(), st.data())
def test_every_pair_keeps_an_answer(events: list[ResponseEvent], data: st.DataObject) -> None:
    """Text, reasoning, calls, usage and the reason to stop go from any wire to any other, at every split the same."""
    for source, target in product(WIRES, WIRES):
        body = written(source, events)
        there, _ = read(source, body)
        cut = data.draw(st.integers(0, len(body)))
        reframer = reframe(source, target, PROMPT, compat=COMPAT, include_usage=True)
        once = reframer.feed(body[:cut]) + reframer.feed(body[cut:]) + reframer.close()
        other = reframe(source, target, PROMPT, compat=COMPAT, include_usage=True)
        assert other.feed(body) + other.close() == once
        back, error = read(target, once)
        assert (error, reframer.error) == (None, None)
        assert said_by(back) == fitted(target, said_by(there), there.items)


@LIMITS
@given(answers(), st.sampled_from(WIRES), st.sampled_from(WIRES), st.data())
def test_what_breaks_off_is_an_error_there_too(
    events: list[ResponseEvent], source: WireName, target: WireName, data: st.DataObject
) -> None:
    """A stream cut anywhere is whole on the target's wire exactly if it was whole on its own."""
    body = written(source, events)
    body = body[: data.draw(st.integers(0, len(body)))]
    _, expected = read(source, body)
    reframer = reframe(source, target, PROMPT, compat=COMPAT)
    _, error = read(target, reframer.feed(body) + reframer.close())
    assert type(reframer.error) is type(expected)
    assert (error is None) == (expected is None)
