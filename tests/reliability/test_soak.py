"""A thousand streams at once, half of them struck, and two thousand turns in a row: all end, and nothing is left.

They run in a process of their own (soak.py) against a server in another; everyday, a small number does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import pytest

from . import LONG
from .serving import FAULTS, fault_of

ROOT = Path(__file__).resolve().parents[2]
STREAMS, TURNS = (1000, 2000) if LONG else (24, 12)
SECONDS = 600
MOST_PERCENT = 5.0

ENDS: Mapping[tuple[str, str], str] = {
    ("eof", "before_headers"): "TransportError",
    ("reset", "before_event"): "TransportError",
    ("eof", "reasoning"): "StreamInterrupted",
    ("truncate", "text"): "StreamInterrupted",
    ("reset", "arguments"): "TransportError",
    ("torn", "text"): "MalformedStream",
    ("error", "text"): "OverloadedError",
    ("stall", "text"): "TransportTimeout",
    ("status", "before_headers"): "OverloadedError",
    ("eof", "arguments"): "StreamInterrupted",
}
"""What each of FAULTS ends with."""


class Counted(TypedDict):
    memory: int
    files: int
    tasks: int


class Figures(TypedDict):
    before: Counted
    after: Counted
    grown: int
    grown_percent: float
    seconds: float


class StreamFigures(Figures):
    ended: dict[str, int]
    most_open: int


class Soaked(TypedDict):
    streams: StreamFigures
    turns: Figures


def soaked(backend: str) -> Soaked:
    counted = ["-X", "tracemalloc"] if LONG else []
    done = subprocess.run(
        [sys.executable, "-W", "error", *counted, "-m", "tests.reliability.soak", str(STREAMS), str(TURNS), backend],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    print(f"{STREAMS} streams, {TURNS} turns on {backend}: {done.stdout}")
    figures: Soaked = json.loads(done.stdout)
    return figures


def grew(figures: Figures) -> bool:
    before, after = figures["before"], figures["after"]
    same = (after["files"], after["tasks"]) == (before["files"], before["tasks"])
    return not same or figures["grown_percent"] > MOST_PERCENT


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
@pytest.mark.parametrize("backend", ["asyncio", "trio"] if LONG else ["asyncio"])
def test_many_streams_and_many_turns(backend: str) -> None:
    """Every stream ends in its answer or in the error of its fault, all were open at once that ever were, every turn
    ran its tool; and memory, files and tasks are what they were."""
    figures = soaked(backend)
    struck = [fault for fault in map(fault_of, range(1, STREAMS + 1)) if fault is not None]
    ends = Counter(ENDS[fault.kind, fault.place] for fault in struck)
    unopened = sum(fault.place in ("before_headers", "before_event") for fault in struck)
    streams = figures["streams"]
    assert streams["ended"] == {**ends, "answer": STREAMS - len(struck)}
    assert streams["most_open"] == STREAMS - unopened
    assert not grew(streams), streams
    assert not grew(figures["turns"]), figures["turns"]


def test_each_fault_of_the_soak_is_in_the_table() -> None:
    """So that none is counted as something else."""
    assert {(fault.kind, fault.place) for fault in FAULTS} == set(ENDS)
