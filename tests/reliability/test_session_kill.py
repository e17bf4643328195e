"""`kill -9` at any moment: what was recorded is there, what was done is not done again, the work comes to its end."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from agent_core import Session
from agent_core.items import ResponseItem, WireName, output_text_of
from agent_core.testing import RehearsalServer

from . import LONG
from .session_work import calls_and_outputs, runs_of, script, shape_of, work
from .session_worker import REFUSED, Worker

KILLS = 320 if LONG else 8
WINDOW = 6000 if LONG else 2500
"""Tokens: the work does not fit, but each of its turns does, so that a summary never has to leave one out."""
SEED = 20261129
WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")


@dataclass(slots=True)
class Figures:
    """What the test reports. `wanted`: how many kills there are to be."""

    wanted: int
    kills: int = 0
    runs: int = 0
    torn: int = 0
    unknown: int = 0
    refused: int = 0
    instants: Counter[str] = field(default_factory=Counter[str])


@pytest.fixture(scope="module")
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(script, pace_s=0) as running:
        yield running


@pytest.fixture(scope="module")
def finished(server: RehearsalServer, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """The conversation of a run that nobody killed."""
    folder = tmp_path_factory.mktemp("whole")
    anyio.run(work, folder / "s.jsonl", folder / "effects", server.base_url, "chat")
    assert set(runs_of(folder / "effects").values()) == {1}
    return shape_of(Session.read(folder / "s.jsonl").items)


@pytest.mark.parametrize(("window", "kills"), [(None, KILLS), (WINDOW, KILLS // 2)])
def test_killed_at_any_moment(
    server: RehearsalServer, finished: list[tuple[str, str]], tmp_path: Path, window: int | None, kills: int
) -> None:
    """Killed over and over, each run ends as one that was not: no recorded item is lost, no tool runs twice, every
    request is one its wire takes, and of each call the result is known or said to be unknown. The same where the
    conversation outgrows its model and is compacted on the way."""
    figures, instants = Figures(kills), random.Random(SEED)
    with Worker(server.base_url) as worker:
        while figures.kills < figures.wanted:
            folder = tmp_path / str(figures.runs)
            folder.mkdir()
            run_to_its_end(worker, folder, WIRES[figures.runs % len(WIRES)], window, instants, figures)
            session = Session.read(folder / "s.jsonl")
            items = session.transcript
            assert (shape_of(items), bool(session.replacement)) == (finished, window is not None)
            figures.unknown += outcomes_unknown(items, folder / "effects")
            assert {request.status for request in server.requests} == {200}  # the server is strict
            figures.runs += 1
    print(figures)


def test_two_processes_on_one_session(server: RehearsalServer, finished: list[tuple[str, str]], tmp_path: Path) -> None:
    """The second is refused and changes nothing, as long as the first lives; then it goes on."""
    path, effects = tmp_path / "s.jsonl", tmp_path / "effects"
    with Worker(server.base_url) as worker:
        first = worker.start(path, effects, "chat")
        while not effects.exists():
            time.sleep(0.001)
        os.kill(first, signal.SIGSTOP)  # it keeps the file, and cannot end meanwhile
        content = path.read_bytes()
        assert worker.wait(worker.start(path, effects, "chat")) == REFUSED
        assert path.read_bytes() == content
        os.kill(first, signal.SIGKILL)
        assert worker.wait(first) == -signal.SIGKILL
        assert worker.wait(worker.start(path, effects, "chat")) == 0
    assert shape_of(Session.read(path).items) == finished
    outcomes_unknown(Session.read(path).items, effects)


def run_to_its_end(
    worker: Worker, folder: Path, wire: WireName, window: int | None, instants: random.Random, figures: Figures
) -> None:
    """Start, kill, look at what is left, start again; until the work is done before it is killed, or nobody kills."""
    path, effects = folder / "s.jsonl", folder / "effects"
    before: tuple[ResponseItem, ...] = ()
    while True:
        pid = worker.start(path, effects, wire, window)
        if figures.kills == figures.wanted:
            assert worker.wait(pid) == 0
            return
        instant = wait_for_an_instant(instants, path, effects)
        if instant != "clock" and instants.random() < 0.1:
            figures.refused += worker.wait(worker.start(path, effects, wire, window)) == REFUSED
        os.kill(pid, signal.SIGKILL)
        ended = worker.wait(pid)
        if not ended:
            return
        assert ended == -signal.SIGKILL
        figures.kills += 1
        figures.instants[instant] += 1
        left = Session.read(path) if path.exists() else Session()
        figures.torn += bool(left.warnings)
        assert left.transcript[: len(before)] == before
        assert max(runs_of(effects).values(), default=1) == 1
        before = left.transcript


def wait_for_an_instant(instants: random.Random, path: Path, effects: Path) -> str:
    """By the clock, or as soon as the journal or the file of effects has grown by so much."""
    kind = instants.choice(("clock", "journal", "effects"))
    if kind == "clock":
        time.sleep(instants.uniform(0, 0.15))
        return kind
    watched, grown = (path, instants.randint(1, 8000)) if kind == "journal" else (effects, instants.randint(1, 40))
    enough = size_of(watched) + grown
    patience = time.monotonic() + 2  # the work may be done before
    while size_of(watched) < enough and time.monotonic() < patience:
        time.sleep(0.0001)
    return kind


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def outcomes_unknown(items: tuple[ResponseItem, ...], effects: Path) -> int:
    """How many calls ended in an unknown outcome; every other one did what its output says, once."""
    ran, unknown = runs_of(effects), 0
    for call, output in zip(*calls_and_outputs(items), strict=True):
        key, text = json.loads(call.arguments)["key"], output_text_of(output)
        count = ran.pop(key, 0)
        if text.startswith("outcome unknown"):
            assert count <= 1
            unknown += 1
        else:
            assert (text.split()[:2], count) == (["saw", key], 0) or (text.split()[:2], count) == (["did", key], 1)
    assert not ran
    return unknown
