"""The fault matrix: every fault, in every phase, on every wire, with retries and without, over each transport, ends as
docs/reliability.md says, and nothing is left of it: no task, thread, socket, file or process."""

from __future__ import annotations

import gc
import math
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest

from agent_core import errors
from agent_core.codecs import WIRES
from agent_core.testing import phases_of
from agent_core.transport_choice import VARIABLE, TransportName

from ..stacks import STACKS
from . import LONG
from .cells import ANSWER, AS_SENT, BEFORE, RESTARTED, RETRIED, ROWS, TOLD, Cell, all_cells, live_all
from .matrix import DOCS, parse, render, table_in

AT_ONCE = 8  # a cell shares its loop with so many: more, and a slow machine looks like a timer that is late
Stack: TypeAlias = tuple[str, TransportName]
TABLE = table_in(DOCS.read_text("utf-8"))


def everyday(stack: Stack) -> list[Cell]:
    """A cell of a third of the rows, each time elsewhere: between them the stacks try every row. Each tries
    neighbours: those that wait for seconds are, and wait at the same time."""
    cells: list[Cell] = []
    for n, (name, row) in enumerate(ROWS.items()):
        phases = phases_of(row.fault.kind)
        shift = n + n // 3
        cells.append(Cell(name, phases[shift % len(phases)], WIRES[shift % 3], bool(n // 3 % 2)))
    share = math.ceil(len(cells) / len(STACKS))
    return cells[STACKS.index(stack) * share :][:share]


def open_files() -> dict[str, str]:
    """What this process has open, by number, where the system tells."""
    found: dict[str, str] = {}
    for entry in Path("/proc/self/fd").glob("*"):
        try:
            found[entry.name] = os.readlink(entry)
        except OSError:  # the directory itself, closed by now
            continue
    return found


def children() -> set[str]:
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


@contextmanager
def nothing_left() -> Generator[None]:
    """What is open, running or started inside is gone at the end. (Threads an event loop keeps for name look-ups are
    the loop's.)"""
    files, tasks, started = open_files(), anyio.get_running_tasks(), children()
    yield
    gc.collect()
    assert [what for number, what in open_files().items() if files.get(number) != what] == []
    assert len(anyio.get_running_tasks()) == len(tasks)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("rehearsal")] == []
    assert children() - started == set()


def groups(stack: Stack) -> dict[str, list[Cell]]:
    if not LONG:
        return {"everyday": everyday(stack)}
    return {name: [cell for cell in all_cells() if cell.name == name] for name in ROWS}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("anyio_backend", "sender", "group"), [(*stack, group) for stack in STACKS for group in groups(stack)]
)
async def test_every_cell_ends_as_the_docs_say(
    anyio_backend: str, sender: TransportName, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the right answer or the named error, in time, and leaves nothing behind."""
    monkeypatch.setenv(VARIABLE, sender)
    documented = parse(TABLE)
    cells = groups((anyio_backend, sender))[group]
    with nothing_left():
        outcomes = await live_all(cells, at_once=AT_ONCE)
    assert {str(cell): outcome for cell, outcome in outcomes.items() if outcome != documented[cell]} == {}


def test_the_table_tells_of_every_cell_and_is_as_it_is_generated() -> None:
    """A cell without a row, or a row nobody ran, is noticed; so is an edit by hand."""
    outcomes = parse(TABLE)
    assert set(outcomes) == set(all_cells())
    assert len(outcomes) >= 500
    assert render(outcomes) == TABLE


def ends_of(outcome: str) -> str:
    return outcome.rpartition(", ")[2]


PROTOCOL = "TransportError (protocol)"
UNMENDABLE = {
    "400": {"InvalidRequestError"},
    "a refusal inside the 200": {"InvalidRequestError"},
    "429, retry-after a day": {"RateLimitError"},
    "nothing but keep-alives": {"TransportTimeout (total)"},
    "a byte now and then": {"TransportTimeout (total)"},
    "a web page": {"MalformedStream"},
    "an event that is no UTF-8": {PROTOCOL},
    "an event without end": {PROTOCOL, "EventTooLarge"},
    "a gzip bomb": {"EventTooLarge"},
}
"""What asking again would not mend, or what has no time left to."""


def test_what_the_table_promises() -> None:
    """What asking again can mend ends in the answer; errors are ours; after the last event nothing counts."""
    for cell, outcome in parse(TABLE).items():
        end = ends_of(outcome)
        answered = end in (ANSWER, AS_SENT, TOLD)
        assert answered or hasattr(errors, end.partition(" ")[0]), cell
        assert answered or not cell.retry or end in UNMENDABLE[cell.name], cell
        assert outcome == ANSWER or cell.phase != "end", cell
        unnumbered = cell.wire != "responses" and ROWS[cell.name].fault.kind in ("duplicate", "reorder")
        assert unnumbered or end not in (AS_SENT, TOLD), cell
        assert cell.retry or outcome == end, cell
        assert (RESTARTED if cell.phase in BEFORE else RETRIED) not in outcome, cell
