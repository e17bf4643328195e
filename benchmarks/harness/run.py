"""Measures clients: one server on one core, one client at a time on the other.

    python run.py --list
    python run.py --only a_bulk,a_req --wires chat --match 'agent_core|openai' --repeat 5 --out rows.json

Each case lives in a process of its own that is idle between its repetitions, or in a new one for each; the repetitions
of a group are interleaved (A B C, B A C, …), so that a slow minute of the machine falls on all of them. The figure is
the CPU time of the client.
`python -m benchmarks` hands over what it needs as `--plan`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import api
from benches import BENCHES, Bench, Params
from processes import HERE, Client, Server, Spinner

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """What is interleaved: cases that do the same work. `missing` are names that no adapter has."""

    name: str
    wire: str
    params: Params
    cases: list[api.Case]
    missing: tuple[str, ...] = ()

    @property
    def bench(self) -> Bench:
        return BENCHES[self.name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="benches, by comma")
    parser.add_argument("--wires", default="chat,responses,messages")
    parser.add_argument("--match", default="", help="regular expression on names of cases")
    parser.add_argument("--params", type=json.loads, help="JSON object: parameters instead of those of the bench")
    parser.add_argument("--plan", help="a JSON file: [{bench, wire, params, names}]")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", help="a JSON file for the rows")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    cases = load_cases()
    if args.list:
        for case in cases:
            print(f"{case.bench:10}{case.kind:9}{case.name:55}{','.join(case.wires)}")
        return
    groups = list(planned(cases, args.plan) if args.plan else chosen(cases, args))
    rows: list[Row] = []
    tls = any(group.params.get("tls") for group in groups)
    with Server(tls=tls) as server, tempfile.TemporaryFile("w+") as log:
        for group in groups:
            measured = run_group(group, args.repeat, server, log)
            show(group, measured)
            rows += measured
            if args.out:
                Path(args.out).write_text(json.dumps(rows))


def load_cases() -> list[api.Case]:
    for path in sorted((HERE / "adapters").glob("[a-z]*.py")):
        importlib.import_module("adapters." + path.stem)
    return api.CASES


def planned(cases: list[api.Case], plan: str) -> Iterator[Group]:
    for entry in json.loads(Path(plan).read_text()):
        bench, wire, names = entry["bench"], entry["wire"], entry["names"]
        found = [case for case in cases if case.bench == bench and wire in case.wires and case.name in names]
        missing = tuple(name for name in names if name not in {case.name for case in found})
        yield Group(bench, wire, entry["params"], found, missing)


def chosen(cases: list[api.Case], args: argparse.Namespace) -> Iterator[Group]:
    for name, bench in BENCHES.items():
        if args.only and name not in args.only.split(","):
            continue
        for wire in args.wires.split(","):
            found = [case for case in cases if case.bench == name and wire in case.wires]
            found = [case for case in found if re.search(args.match, case.name)]
            for params in [{**bench.params[0], **args.params}] if args.params else bench.params:
                if found:
                    yield Group(name, wire, params, found)


def run_group(group: Group, repeat: int, server: Server, log: IO[str]) -> list[Row]:
    bench = group.bench
    subjects = [Subject(group, case, server, log) for case in group.cases]
    for subject in () if bench.fresh else subjects:
        subject.begin()
    spinner = Spinner() if bench.spin else None
    order, shuffled = list(subjects), random.Random(1)
    for _ in range(repeat):
        shuffled.shuffle(order)
        for subject in order:
            subject.repeat()
    if spinner is not None:
        spinner.stop()
    for subject in subjects:
        subject.end()
    rows = [row_of(group, subject.case, subject.samples, subject.error) for subject in subjects]
    return rows + [{**labels(group), "name": name, "error": "not among the cases"} for name in group.missing]


class Subject:
    """A case of a group and what was measured of it. `error` is why there is no more."""

    def __init__(self, group: Group, case: api.Case, server: Server, log: IO[str]) -> None:
        self.case = case
        self.samples: list[Row] = []
        self.error: str | None = None
        self._bench = group.bench
        self._spec = {**labels(group), "fresh": self._bench.fresh, "name": case.name}
        self._server, self._log = server, log
        self._client: Client | None = None
        self._calls = 1

    def begin(self) -> None:
        """Start its process."""
        bench, client = self._bench, Client("worker.py", self.case.module, self._spec, self._server, self._log)
        once_s = client.read().get("once_s", 0.0)
        self._calls = bench.calls or (max(1, round(bench.seconds / max(once_s, 1e-6))) if bench.seconds else 1)
        self._client, self.error = client, client.error

    def repeat(self) -> None:
        if self._client is None and self.error is None:
            self.begin()
        if self._client is None or self.error is not None:
            return
        sample = self._client.ask(self._calls)
        self.error = self._client.error
        if self.error is None:
            self.samples.append(sample)
        if self._bench.fresh:
            self.end()

    def end(self) -> None:
        if self._client is not None:
            self._client.stop()
        self._client = None


def labels(group: Group) -> Row:
    return {"bench": group.name, "wire": group.wire, "params": group.params}


def row_of(group: Group, case: api.Case, samples: list[Row], error: str | None) -> Row:
    """One value for each repetition, in their order: the n-th of all rows of a group were measured side by side."""
    row: Row = {**labels(group), "name": case.name, "kind": case.kind, "unit": group.bench.unit}
    if error is not None or not samples:
        return {**row, "error": error or "no repetition"}
    units = group.bench.units(group.params)
    row["cpu"] = [round(sample["cpu_us"] / units, 3) for sample in samples]
    row["wall"] = round(statistics.median(sample["wall_us"] for sample in samples) / units, 3)
    if "b" in group.params:
        row["memory_kb"] = [round(sample["grown_kb"] / int(group.params["b"]), 1) for sample in samples]
    for key in ("p50_us", "p99_us"):
        if key in samples[0]:
            row[key] = [round(sample[key], 1) for sample in samples]
    return row


def show(group: Group, rows: list[Row]) -> None:
    """The group by cost, beside its cheapest peer."""
    ok = sorted((row for row in rows if "cpu" in row), key=lambda row: statistics.median(row["cpu"]))
    peers = [statistics.median(row["cpu"]) for row in ok if row["kind"] == "peer"]
    setting = " ".join(f"{key}={value}" for key, value in group.params.items())
    print(f"\n{group.name} {group.wire} {setting}: {group.bench.unit}, client CPU ({time.strftime('%T')})")
    for row in ok:
        cpu = statistics.median(row["cpu"])
        ratio = f"{cpu / peers[0]:8.3f}" if peers else f"{'':8}"
        keys = [key for key in ("memory_kb", "p50_us", "p99_us") if key in row]
        rest = "".join(f"  {key} {statistics.median(row[key]):.0f}" for key in keys)
        spread = f"{min(row['cpu']):.2f}–{max(row['cpu']):.2f}"
        print(f"  {row['name']:50}{row['kind']:8}{cpu:10.2f}{spread:>18}{ratio}{rest}")
    for row in rows:
        if "error" in row:
            print(f"  {row['name']:50}not run: {row['error'].splitlines()[0][:90]}")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
