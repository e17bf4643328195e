"""Results of `python -m benchmarks` → the table of ratios with their targets, and docs/performance.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from .plot import held_plot
from .rows import ROWS, Ref, Row

__all__ = ["Figure", "figures", "load", "page", "text", "write"]

Results = dict[str, Any]
"""{about, cases, held}: `cases` as `harness/run.py` writes them, a value for each repetition."""

TEMPLATE = Path(__file__).with_name("performance.template.md")
PLOT = "streams-held.svg"


def load(path: Path) -> Results:
    results: Results = json.loads(path.read_text("utf-8"))
    return results


@dataclass(frozen=True, slots=True)
class Value:
    """The ratio of the medians, and the lowest and highest ratio of one repetition."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{number(self.median)} ({number(self.low)}–{number(self.high)})"


@dataclass(frozen=True, slots=True)
class Figure:
    """`beside` are the peers and what each costs against the cheapest, `floors` what code written by hand does."""

    row: Row
    default: Value | None
    fast: Value | None
    beside: tuple[tuple[str, float], ...]
    floors: tuple[tuple[str, float], ...]

    @property
    def met(self) -> str:
        """yes or no for each target; nothing where there is none, or no figure for it."""
        answers: list[str] = []
        for value, target in ((self.default, self.row.target), (self.fast, self.row.fast_target)):
            if value is not None and target is not None:
                good = value.median >= target if self.row.at_least else value.median <= target
                answers.append("yes" if good else "**no**")
        return ", ".join(answers)


def figures(results: Results, rows: Sequence[Row] = ROWS) -> list[Figure]:
    """Of the rows whose cases have run."""
    costs = Costs(results)
    return [figure for row in rows if (figure := figure_of(row, costs)).default or figure.fast]


def figure_of(row: Row, costs: Costs) -> Figure:
    def of(ref: Ref | None) -> list[float]:
        return [] if ref is None else costs.of(ref, row)

    peers = sorted((statistics.median(of(ref)), ref) for ref in row.beside if of(ref))
    cheapest = of(peers[0][1]) if peers else []

    def value(own: list[float]) -> Value | None:
        if not own or (row.beside and not cheapest):
            return None
        if not row.beside:
            return Value(statistics.median(own), min(own), max(own))
        pairs = list(zip(own, cheapest, strict=False))
        middle = (statistics.median(own), statistics.median(cheapest))
        ratios = [b / a if row.at_least else a / b for a, b in pairs if a and b]
        return Value(middle[1] / middle[0] if row.at_least else middle[0] / middle[1], min(ratios), max(ratios))

    beside = tuple((ref.name, median / peers[0][0]) for median, ref in peers)
    floors = tuple((ref.name, found.median) for ref in row.floors if (found := value(of(ref))) is not None)
    return Figure(row, value(of(row.default)), value(of(row.fast)), beside, floors)


class Costs:
    """What a case cost in each repetition."""

    def __init__(self, results: Results) -> None:
        self.cases: dict[Ref, dict[str, Any]] = {}
        for case in results["cases"]:
            if "error" not in case:
                params = json.dumps(case["params"], sort_keys=True)
                self.cases[Ref(case["bench"], case["wire"], params, case["name"])] = case

    def of(self, ref: Ref, row: Row) -> list[float]:
        if row.measure == "growth":
            return self.growth(ref)
        values: list[float] = self.cases.get(ref, {}).get(row.measure, [])
        return values

    def growth(self, ref: Ref) -> list[float]:
        """What a turn cost more for each turn before it, from the shortest loop to that of `ref`."""
        loops = {
            int(case["params"]["t"]): case["cpu"]
            for other, case in self.cases.items()
            if (other.bench, other.wire, other.name) == (ref.bench, ref.wire, ref.name)
        }
        long = int(json.loads(ref.params)["t"])
        if long not in loops or len(loops) < 2:
            return []
        short = min(loops)
        return [(b - a) / (long - short) for a, b in zip(loops[short], loops[long], strict=False)]


def number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 20 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def bound(target: float | None, row: Row) -> str:
    return "" if target is None else f"{'≥' if row.at_least else '≤'} {target:g}"


def cells(figure: Figure) -> list[str]:
    row = figure.row
    beside = ", ".join(name if cost == 1 else f"{name} {number(cost)}" for name, cost in figure.beside) or row.unit
    floors = ", ".join(f"{name.removesuffix('by hand').strip() or 'by hand'} {number(v)}" for name, v in figure.floors)
    return [
        row.work, row.wire, str(figure.default or ""), bound(row.target, row), str(figure.fast or ""),
        bound(row.fast_target, row), figure.met, beside, floors,
    ]  # fmt: skip


HEAD = ["work", "wire", "default", "target", "fast", "target", "met", "beside", "by hand"]


def text(results: Results, rows: Sequence[Row] = ROWS) -> str:
    """The table for a terminal, with what could not be run."""
    lines = [HEAD, *map(cells, figures(results, rows))]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]
    out = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    out += [f"{held['name']}: {holding(held)} streams of 100 events a second" for held in results["held"]]
    failed = [case for case in results["cases"] if "error" in case]
    out += [f"not run: {case['bench']} {case['wire']} {case['name']}: {case['error']}" for case in failed]
    return "\n".join([*out, "", about(results)])


def about(results: Results) -> str:
    facts = results["about"]
    repeated = "1 repetition" if facts["repeat"] == 1 else f"{facts['repeat']} interleaved repetitions"
    libraries = ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if name != "python")
    return (
        f"Measured {facts['date']} on {facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, Python "
        f"{facts['versions']['python']}; {repeated}. Beside: {libraries}."
    )


def holding(held: Results) -> str:
    return f"{held['holds']:,}" if held["limit"] == "client" else f"{held['holds']:,} or more"


def page(results: Results) -> str:
    """docs/performance.md"""
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        about="\n".join(wrapped(about(results))),
        table="\n".join(table(HEAD, map(cells, figures(results)))),
        held="\n".join(table(["library", "streams"], ([held["name"], holding(held)] for held in results["held"]))),
    )


def table(head: Sequence[str], lines: Iterator[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    last = ""
    for line in lines:  # work that is done on several wires is named once
        yield "| " + " | ".join(["" if line[0] == last else line[0], *line[1:]]) + " |"
        last = line[0]


def wrapped(line: str, width: int = 120) -> list[str]:
    lines = [""]
    for word in line.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def write(results: Results, kept: Path, docs: Path) -> None:
    """Keeps the results beside the code, and makes the page and its plot from them."""
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(dumps(results), "utf-8")
    (docs / "performance.md").write_text(page(results), "utf-8")
    (docs / PLOT).write_text(held_plot(results["held"]), "utf-8")


def dumps(results: Results) -> str:
    """A case on a line: small, and a diff says what changed."""

    def listed(key: str) -> str:
        return f'"{key}": [\n' + ",\n".join(json.dumps(entry) for entry in results[key]) + "\n]"

    parts = [f'"about": {json.dumps(results["about"])}', listed("cases"), listed("held")]
    return "{" + ",\n".join(parts) + "}\n"
