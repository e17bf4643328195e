"""Faults as data, plans of them, and what a fault makes of a body, byte by byte."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Literal, cast, get_args

import pytest

from agent_core.codecs import CODECS, WIRES
from agent_core.errors import ConfigError
from agent_core.items import WireName
from agent_core.prompt import Prompt
from agent_core.testing import PHASES, Call, Fault, FaultKind, FaultServer, Phase, Step, phases_of, random_faults
from agent_core.testing.fault_body import BOMB, Act, Cut, FaultyBody, Pause
from agent_core.testing.faults import plan_of
from agent_core.testing.scripts import answer_events, answer_response

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
STEP = Step(reasoning="one two three", text="four five six", calls=(Call("add", {"city": "Paris", "unit": "C"}),))
PROMPT = Prompt("Hello", model="m")


def body(wire: WireName) -> bytes:
    """A whole answer with all there can be in one."""
    encoder = CODECS[wire].stream_encoder(PROMPT)
    events = answer_events(answer_response(STEP, PROMPT, wire, request=b"x"))
    return b"".join(map(encoder.feed, events)) + encoder.close()


def acts(fault: Fault, wire: WireName = "chat", *, size: int = 10**9) -> list[Act]:
    """What becomes of that answer, fed in pieces of `size` bytes; of endless faults the first 2000 acts."""
    clean, faulty = body(wire), FaultyBody(fault, wire)
    pieces = (clean[n : n + size] for n in range(0, len(clean), size))
    return list(islice(chain(chain.from_iterable(map(faulty.feed, pieces)), faulty.close()), 2000))


def said(of: Sequence[Act]) -> bytes:
    return b"".join(act for act in of if isinstance(act, bytes))


def test_where_a_fault_strikes_if_nothing_is_said() -> None:
    """In the text, or where alone it can."""
    places = {kind: Fault(kind).place for kind in KINDS}
    assert places == dict.fromkeys(KINDS, "text") | {
        "refused": "before_headers",
        "status": "before_headers",
        "error_body": "before_event",
    }


def test_the_docs_list_every_kind_and_where_it_can_strike() -> None:
    """A row for each, in order; with something to say about each side of the headers it can strike on."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*?) ?\| ([^|]*?) ?\|$", DOCS.read_text("utf-8"), re.M)
    assert [kind for kind, _, _ in rows] == list(KINDS)
    for kind, after, before in rows:
        assert bool(before) == ("before_headers" in phases_of(kind))
        assert bool(after) == (phases_of(kind)[-1] != "before_headers")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Fault(cast(Literal["eof"], "explode")), "no fault 'explode'"),
        (lambda: Fault("html", "before_headers"), "cannot strike in phase 'before_headers'"),
        (lambda: Fault("eof", cast(Literal["end"], "later")), "cannot strike in phase 'later'"),
        (lambda: Fault("reset", status=429), "has no status"),
        (lambda: Fault("status", size_bytes=3), "has no size_bytes"),
        (lambda: Fault("status", status=200), "400 to 599, got 200"),
        (lambda: Fault("stall", lasts_s=-1), "lasts_s"),
        (lambda: Fault("stall", lasts_s=float("nan")), "lasts_s"),
        (lambda: Fault("drip", every_s=0), "every_s"),
        (lambda: Fault("long_event", size_bytes=0), "size_bytes"),
        (lambda: Fault("eof", after=-1), "after"),
        (lambda: random_faults(1, rate=2), "rate"),
        (lambda: plan_of(cast("list[Fault]", [Fault("eof"), "reset"])), "fault 2 must be a Fault or None"),
        (lambda: plan_of(cast("list[Fault]", Fault("eof"))), "a list or a function, not Fault"),
        (lambda: plan_of(cast("list[Fault]", "reset")), "a list or a function, not str"),
        (lambda: plan_of(lambda n: cast(Fault, "reset"))(3), "fault 3 must be a Fault or None"),
        (lambda: FaultServer([STEP], lambda n: Fault("refused")), "100 connections in a row"),
    ],
)
def test_faults_that_cannot_be(make: Callable[[], object], problem: str) -> None:
    """Each is a ConfigError that says what is wrong, when it is made."""
    with pytest.raises(ConfigError, match=problem):
        make()


def test_a_plan_by_chance_is_the_same_every_time() -> None:
    """The seed decides each request's fate by its number, not by what came before."""
    plan = random_faults(7, rate=0.5)
    fates = [plan(n) for n in range(1, 200)]
    assert fates == [random_faults(7, rate=0.5)(n) for n in range(1, 200)]
    assert fates != [random_faults(8, rate=0.5)(n) for n in range(1, 200)]
    assert 70 < sum(fate is not None for fate in fates) < 130
    assert {random_faults(7, rate=1, faults=[Fault("eof")])(n) for n in range(9)} == {Fault("eof")}


@pytest.mark.parametrize("wire", WIRES)
def test_bytes_pass_until_the_fault(wire: WireName) -> None:
    """What is said before a cut is the beginning of the clean answer, longer for each later phase."""
    lengths: list[int] = []
    for phase in PHASES[1:]:
        *before, cut = acts(Fault("reset", phase), wire)
        assert cut is Cut.RESET
        assert body(wire).startswith(said(before))
        lengths.append(len(said(before)))
    assert lengths[0] == 0
    assert lengths == sorted(set(lengths))
    assert lengths[-1] == len(body(wire))


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_where_the_body_was_split_changes_nothing(wire: WireName, size: int) -> None:
    """Fed byte by byte or at once, the fault strikes at the same place."""
    for fault in (Fault("torn", "text"), Fault("reorder", "arguments"), Fault("truncate", "finish"), Fault("html")):
        assert acts(fault, wire, size=size) == acts(fault, wire)


ENDS: dict[FaultKind, Cut] = {"truncate": Cut.TRUNCATE, "reset": Cut.RESET}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("refused", "status")])
def test_every_fault_in_every_phase(kind: FaultKind, wire: WireName) -> None:
    """Each strikes once and ends in its own way, unless it is one that has no end."""
    for phase in phases_of(kind):
        if phase == "before_headers":
            continue
        faulty = FaultyBody(Fault(kind, phase), wire)
        done = list(islice(chain(faulty.feed(body(wire)), faulty.close()), 5000))
        assert faulty.struck
        if kind == "keep_alive":
            assert done[-2:] in ([Pause(1.0), b": keep-alive\n\n"], [b": keep-alive\n\n", Pause(1.0)])
        else:
            assert [act for act in done if isinstance(act, Cut)] == [ENDS.get(kind, Cut.EOF)]
            assert isinstance(done[-1], Cut)


def test_a_fault_that_finds_no_place() -> None:
    """An answer without that many pieces goes out as it is."""
    faulty = FaultyBody(Fault("reset", "text", after=99), "chat")
    assert said(list(chain(faulty.feed(body("chat")), faulty.close()))) == body("chat")
    assert not faulty.struck


@pytest.mark.parametrize("phase", ["before_event", "text", "end"])
def test_a_body_that_is_no_stream(phase: Phase) -> None:
    """It is struck before it, in its middle or after it."""
    faulty = FaultyBody(Fault("truncate", phase), "chat")
    done = list(chain(faulty.feed(b'{"a": '), faulty.feed(b"12345}"), faulty.close()))
    passed = {"before_event": [], "text": [b'{"a": '], "end": [b'{"a": 12345}']}[phase]
    assert done == [*passed, Cut.TRUNCATE]


def test_a_stall_that_passes() -> None:
    """After it the answer goes on where it was."""
    done = acts(Fault("stall", "text", lasts_s=0.5))
    assert said(done) == body("chat")
    assert [act for act in done if isinstance(act, Pause)] == [Pause(0.5)]


def test_keep_alives_that_pass() -> None:
    """A comment now and then for as long as was said."""
    done = acts(Fault("keep_alive", "text", every_s=0.25, lasts_s=1))
    assert sum(act == Pause(0.25) for act in done) == said(done).count(b": keep-alive\n\n") == 4
    assert said(done).replace(b": keep-alive\n\n", b"") == body("chat")


def test_duplicates_and_wrong_order() -> None:
    """The same events: one of them twice, or two of them swapped."""
    clean = body("chat").split(b"\n\n")
    twice = said(acts(Fault("duplicate", "text"))).split(b"\n\n")
    swapped = said(acts(Fault("reorder", "text"))).split(b"\n\n")
    (n,) = [n for n in range(len(clean)) if twice[n] == twice[n + 1]]
    assert twice == [*clean[: n + 1], *clean[n:]]
    assert swapped == [*clean[:n], clean[n + 1], clean[n], *clean[n + 2 :]]


def test_events_that_are_too_long() -> None:
    """As long as was said; a bomb is made of one block, which can be compressed once."""
    assert len(said(acts(Fault("long_event", size_bytes=200_000)))) == len(body("chat")) + 200_000 + len("data: \n\n")
    bomb = acts(Fault("gzip_bomb", size_bytes=5 * len(BOMB)))
    assert sum(act is BOMB for act in bomb) == 5
