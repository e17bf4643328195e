"""Every recorded stream, through every wire: what its provider said is said there too, or its failure is. Everyday each
goes through one of them, by turns; with AGENT_CORE_LONG=1 through all.

`answer_losses` and the table of `fitted` are all that may be missing. Bytes cut anywhere give the same output.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from agent_core.codecs import WIRES, codec_for, reframe
from agent_core.codecs.base import Compat
from agent_core.codecs.grammar import check_events
from agent_core.codecs.reframing import Reframer
from agent_core.errors import ModelError
from agent_core.events import Response
from agent_core.items import WireName
from agent_core.prompt import Prompt
from tests.property.answers import Said, fitted, said_by
from tests.recordings import Recording, needs_recordings, streams
from tests.reliability import LONG

from .told import told

pytestmark = needs_recordings

PROMPT = Prompt()
RECORDINGS = [(wire, recording) for wire in WIRES for recording in streams(wire)]
THROUGH = [(*each, WIRES if LONG else (WIRES[n % len(WIRES)],)) for n, each in enumerate(RECORDINGS)]
TERMINAL = {"chat": ("[DONE]",), "responses": ("completed", "incomplete"), "messages": ("stop",)}


def reframed(source: WireName, target: WireName, *pieces: bytes) -> tuple[bytes, Reframer]:
    reframer = reframe(source, target, PROMPT, include_usage=True)
    written = b"".join([*map(reframer.feed, pieces), reframer.close()])
    assert reframer.done
    return written, reframer


def read(wire: WireName, body: bytes) -> tuple[Response, ModelError | None]:
    decoder = codec_for(wire).stream_decoder(PROMPT, Compat())
    events = [*decoder.feed(body), *decoder.close()]
    check_events(events, decoder.error)
    return decoder.snapshot(), decoder.error


def kept(target: WireName, response: Response) -> Said:
    """What has to arrive. A search for tools is a call on one wire only: declared, and with it goes the end it made."""
    said = fitted(target, said_by(response), response.items)
    if target == "responses":
        return said
    calls = tuple(call for call in said.calls if call[0] != "tool_search_call")
    lone = said.calls and not calls
    return replace(said, calls=calls, finish="stop" if lone else said.finish)


def settled(said: Said) -> Said:
    """No arguments are an empty object; a call that was cut before its first argument looks like one without any."""
    calls = [(kind, call_id, name, text.strip() or "{}") for kind, call_id, name, text, _ in said.calls]
    return replace(said, calls=tuple((*call, "") for call in calls))


@pytest.mark.parametrize(("source", "recording", "targets"), THROUGH, ids=str)
def test_a_recorded_stream_is_said_on_every_wire(
    source: WireName, recording: Recording, targets: tuple[WireName, ...]
) -> None:
    """Text, reasoning, calls, usage, the reason to stop: as the source's wire said it, or an error as there."""
    there, failure = read(source, recording.body)
    for target in targets:
        written, reframer = reframed(source, target, recording.body)
        here, error = read(target, written)
        assert type(reframer.error) is type(failure), target
        expected = kept(target, there)
        if failure is None:
            assert (error, settled(said_by(here))) == (None, settled(expected)), target
            assert told(target, written)[-1].split()[0] in TERMINAL[target]
        else:
            assert error is not None
            assert (here.text, said_by(here).reasoning) == (expected.text, expected.reasoning), target
            assert told(target, written)[-1].startswith("error ")


PAIRS = [(wire, recording, target) for wire, recording in RECORDINGS for target in WIRES]
SAMPLE = random.Random(3).sample(PAIRS, min(30, len(PAIRS)))


@pytest.mark.parametrize(("source", "recording", "target"), SAMPLE, ids=str)
def test_cut_anywhere_it_is_the_same(source: WireName, recording: Recording, target: WireName) -> None:
    """X-S3-15: byte by byte, the same bytes come out. Of long streams the beginning."""
    body = recording.body[:6000]
    whole, _ = reframed(source, target, body)
    assert reframed(source, target, *(body[n : n + 1] for n in range(len(body))))[0] == whole


@pytest.mark.parametrize(("source", "recording", "target"), SAMPLE, ids=str)
def test_broken_off_it_is_an_error(source: WireName, recording: Recording, target: WireName) -> None:
    """X-S0-23, X-S3-16: what its own wire calls broken ends as an error on the other, and never as whole."""
    chance = random.Random(str(recording))
    for _ in range(3):
        body = recording.body[: chance.randrange(len(recording.body))]
        _, failure = read(source, body)
        written, reframer = reframed(source, target, body)
        assert type(reframer.error) is type(failure)
        assert (read(target, written)[1] is None) == (failure is None)
