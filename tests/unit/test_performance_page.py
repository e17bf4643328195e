"""docs/performance.md is what its generator makes of the results that are kept beside it."""

from __future__ import annotations

from typing import Any

from benchmarks import report
from benchmarks.__main__ import KEPT
from benchmarks.plot import held_plot
from benchmarks.rows import ROWS, SHORT_ROWS, Ref, Row, plan

from .test_docs import ROOT

PARAMS = {"n": 1}
ROW = Row(
    part="stream",
    work="a delta",
    wire="chat",
    default=Ref("a", "chat", '{"n": 1}', "ours"),
    fast=Ref("a", "chat", '{"n": 1}', "ours, fast"),
    beside=(Ref("a", "chat", '{"n": 1}', "dear"), Ref("a", "chat", '{"n": 1}', "cheap")),
    target=0.5,
    fast_target=0.1,
)


def results(**cpu: list[float]) -> dict[str, Any]:
    cases = [{"bench": "a", "wire": "chat", "params": PARAMS, "name": name, "cpu": own} for name, own in cpu.items()]
    return {"about": {}, "cases": cases, "held": []}


def test_the_page_and_its_plot_are_generated() -> None:
    """To change the page, change benchmarks/performance.template.md or measure again, with --write-docs."""
    kept = report.load(KEPT)
    assert (ROOT / "docs" / "performance.md").read_text("utf-8") == report.page(kept)
    assert (ROOT / "docs" / report.PLOT).read_text("utf-8") == held_plot(kept["held"])


def test_what_is_kept_is_small_and_says_nothing_of_a_machine_s_folders() -> None:
    """Results are read by people and by diffs."""
    text = KEPT.read_text("utf-8")
    assert len(text) < 100_000
    assert not [word for word in ("/home", "/tmp", "/work", "/usr", "/Users") if word in text]


def test_a_ratio_is_of_medians_beside_the_cheapest() -> None:
    """The spread is that of the ratios of single repetitions, which were measured side by side."""
    measured = results(
        **{"ours": [1.0, 3.0, 2.0], "ours, fast": [1.0] * 3, "cheap": [4.0, 4.0, 8.0], "dear": [9.0] * 3}
    )
    (figure,) = report.figures(measured, [ROW])
    assert figure.default == report.Value(0.5, 0.25, 0.75)
    assert figure.fast == report.Value(0.25, 0.125, 0.25)
    assert figure.beside == (("cheap", 1.0), ("dear", 2.25))
    assert figure.met == "yes, **no**"


def test_a_row_whose_cases_did_not_run_is_left_out() -> None:
    """A machine without the peers still gets a table."""
    assert report.figures(results(ours=[1.0]), [ROW]) == []


def test_growth_is_the_slope_between_loops() -> None:
    """From the shortest loop that ran to the one that is asked for."""

    def loop(turns: int, name: str, cpu: list[float]) -> dict[str, Any]:
        return {"bench": "d", "wire": "chat", "params": {"t": turns}, "name": name, "cpu": cpu}

    ours, peer = Ref("d", "chat", '{"t": 400}', "ours"), Ref("d", "chat", '{"t": 200}', "peer")
    row = Row("loop", "growth", "chat", ours, beside=(peer,), target=0.02, measure="growth")
    cases = [loop(10, "ours", [5]), loop(400, "ours", [83]), loop(10, "peer", [10]), loop(200, "peer", [3810])]
    (figure,) = report.figures({"about": {}, "cases": cases, "held": []}, [row])
    assert figure.default == report.Value(0.01, 0.01, 0.01)


def test_the_plan_has_every_case_of_the_rows() -> None:
    """What is compared runs in one group; bodies and imports have programs of their own."""
    planned = {
        Ref(group.bench, group.wire, group.params, name) for group, names in plan(ROWS).items() for name in names
    }
    assert planned == {ref for row in ROWS for ref in row.refs() if ref.bench not in ("body", "import")}


def test_a_short_run_has_every_kind_of_row_that_is_cheap() -> None:
    """What it leaves out, it names."""
    assert {row.part for row in SHORT_ROWS} == {"decode", "stream", "request", "parse", "body", "loop", "import"}
