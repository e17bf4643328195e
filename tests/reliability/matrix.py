"""The fault matrix as a table of the docs, made from a run.

python -m tests.reliability.matrix            run every cell and print the table
python -m tests.reliability.matrix --write    and write it into docs/reliability.md
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import anyio

from agent_core.codecs import WIRES
from agent_core.items import WireName
from agent_core.testing import PHASES, Phase

from .cells import ROWS, Cell, all_cells, live_all

__all__ = ["DOCS", "parse", "render", "table_in"]

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- the fault matrix: python -m tests.reliability.matrix --write -->", "<!-- end of the fault matrix -->"
HEAD = ("| what goes wrong | where | wire | without retries | with retries |", "|---|---|---|---|---|")
AT_ONCE = 16
SLACK_S = 1.0
"""What a cell may take beyond its timers. Needs a machine with nothing else to do."""

WHERE: Mapping[Phase, str] = {
    "before_headers": "before the headers",
    "before_event": "before the first event",
    "reasoning": "reasoning",
    "text": "text",
    "arguments": "arguments",
    "finish": "after the finish",
    "end": "after the last event",
}
ANYWHERE = "anywhere"
PHASE_OF: Mapping[str, Phase] = {words: phase for phase, words in WHERE.items()}


def render(outcomes: Mapping[Cell, str]) -> str:
    """The table: a row for what has the same outcome, over neighbouring phases and over wires."""
    lines: list[str] = [*HEAD]
    for name in ROWS:
        phases: list[Phase] = [phase for phase in PHASES if Cell(name, phase, "chat", False) in outcomes]
        for shared, group in groupby(phases, partial(_by_outcome, outcomes, name)):
            struck: tuple[Phase, ...] = tuple(group)
            where = ANYWHERE if struck == PHASES else ", ".join(WHERE[phase] for phase in struck)
            for (off, on), wires in shared:
                named = "all" if len(wires) == len(WIRES) else ", ".join(wires)
                lines.append(f"| {name} | {where} | {named} | {off} | {on} |")
    return "\n".join(lines) + "\n"


def _by_outcome(
    outcomes: Mapping[Cell, str], name: str, phase: Phase
) -> tuple[tuple[tuple[str, str], tuple[WireName, ...]], ...]:
    """The wires that share an outcome, for each there is."""
    found: dict[tuple[str, str], tuple[WireName, ...]] = {}
    for wire in WIRES:
        pair = outcomes[Cell(name, phase, wire, False)], outcomes[Cell(name, phase, wire, True)]
        found[pair] = (*found.get(pair, ()), wire)
    return tuple(found.items())


def parse(table: str) -> dict[Cell, str]:
    """The outcomes a table tells of."""
    outcomes: dict[Cell, str] = {}
    for line in table.splitlines():
        if line in HEAD or not line.startswith("|"):
            continue
        name, where, named, off, on = (cell.strip() for cell in line.strip("|").split("|"))
        wires: tuple[WireName, ...] = (
            WIRES if named == "all" else tuple(wire for wire in WIRES if wire in named.split(", "))
        )
        phases: tuple[Phase, ...] = (
            PHASES if where == ANYWHERE else tuple(PHASE_OF[words] for words in where.split(", "))
        )
        for phase in phases:
            for wire in wires:
                outcomes[Cell(name, phase, wire, False)] = off
                outcomes[Cell(name, phase, wire, True)] = on
    return outcomes


def table_in(page: str) -> str:
    """The table of a page. Raises ValueError for a page without one."""
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return page[begin:end].strip() + "\n"


def _with_table(page: str, table: str) -> str:
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return f"{page[:begin]}\n\n{table}\n{page[end:]}"


def main(arguments: Sequence[str]) -> None:
    started = time.perf_counter()
    outcomes = anyio.run(_run)
    table = render(outcomes)
    if "--write" in arguments:
        DOCS.write_text(_with_table(DOCS.read_text("utf-8"), table), "utf-8")
    else:
        print(table)
    print(f"{len(outcomes)} cells in {time.perf_counter() - started:.0f} s", file=sys.stderr)


async def _run() -> dict[Cell, str]:
    return await live_all(list(all_cells()), at_once=AT_ONCE, slack_s=SLACK_S)


if __name__ == "__main__":
    main(sys.argv[1:])
