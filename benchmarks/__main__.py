"""Everything docs/performance.md says, measured: agent_core beside its peers and beside code written by hand.

    benchmarks/harness/environment.sh /tmp/peers         # once; minutes
    python -m benchmarks --peers /tmp/peers --short      # three minutes
    python -m benchmarks --peers /tmp/peers --write-docs # everything; leave the machine alone meanwhile

Without --peers, what is installed beside this interpreter is measured. Figures are ratios within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import report
from .rows import PARTS, ROWS, SDK, SHORT_ROWS, Row, plan

HERE = Path(__file__).resolve().parent
KEPT = HERE / "results" / "performance.json"
LIBRARIES = (
    "openai", "anthropic", "pydantic-ai-slim", "openai-agents", "langgraph", "any-llm-sdk", "httpx2", "aiohttp",
    "httpx-sse", "msgspec", "pydantic",
)  # fmt: skip


QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}  # nobody asks the network for prices


class Peers:
    """The interpreters that have the peers. litellm cannot live with the others."""

    def __init__(self, folder: str | None) -> None:
        made = (
            {"PEERS_PYTHON": f"{folder}/bin/python", "LITELLM_PYTHON": f"{folder}-litellm/bin/python"} if folder else {}
        )
        self.env = {**os.environ, **made, "PYTHONPATH": str(HERE.parent), **QUIET}
        self.python = self.env.get("PEERS_PYTHON", sys.executable)
        self.litellm = self.env.get("LITELLM_PYTHON", "")
        self.failed: list[str] = []
        if not os.path.exists(self.python):
            sys.exit(f"no peers at {self.python}: make them with benchmarks/harness/environment.sh FOLDER")

    def run(self, python: str, script: str, *arguments: str) -> None:
        """Shows what the script prints. What fails is told at the end: the others still run."""
        if subprocess.run([python, str(HERE / script), *arguments], env=self.env, check=False).returncode:
            self.failed.append(script)

    def versions(self) -> dict[str, str]:
        code = (
            "import json, platform, sys\nfrom importlib.metadata import version, PackageNotFoundError\n"
            "found = {'python': platform.python_version()}\n"
            "for name in sys.argv[1:]:\n"
            "    try:\n        found[name] = version(name)\n"
            "    except PackageNotFoundError:\n        pass\n"
            "print(json.dumps(found))"
        )
        found: dict[str, str] = {}
        for python, names in ((self.python, LIBRARIES), (self.litellm, ("litellm",))):
            if python and os.path.exists(python):
                done = subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True)
                found = json.loads(done.stdout) | found
        return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peers", metavar="FOLDER", help="what environment.sh made; PEERS_PYTHON and LITELLM_PYTHON do too"
    )
    parser.add_argument("--short", action="store_true", help="three minutes: few peers, one wire, two repetitions")
    parser.add_argument("--only", help=f"parts by comma: {', '.join(PARTS)}")
    parser.add_argument("--repeat", type=int, help="repetitions of each case (5; 2 in a short run)")
    parser.add_argument("--out", default="performance.json", metavar="FILE", help="results (performance.json)")
    parser.add_argument("--append", action="store_true", help="keep what FILE has of other parts and cases")
    parser.add_argument("--report", metavar="FILE", help="measure nothing: the table of these results")
    parser.add_argument(
        "--write-docs", action="store_true", help="keep the results, and write docs/performance.md from them"
    )
    args = parser.parse_args()
    if args.short and args.write_docs:
        parser.error("a short run has not all that is in the docs")
    out = Path(args.report or args.out)
    failed = [] if args.report else measured(args, out)
    results = report.load(out)
    print("\n" + report.text(results, SHORT_ROWS if results["about"]["short"] else ROWS))
    if args.write_docs:
        report.write(results, KEPT, HERE.parent / "docs")
    if failed:
        sys.exit("failed: " + ", ".join(failed))


def measured(args: argparse.Namespace, out: Path) -> list[str]:
    """Writes the results after each part, so that what ran is not lost; returns what failed of ours."""
    peers = Peers(args.peers)
    rows = SHORT_ROWS if args.short else ROWS
    parts = list(PARTS) if args.only is None else args.only.split(",")
    if unknown := set(parts) - set(PARTS):
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if args.short:
        left = dict.fromkeys(f"  {row.work} ({row.wire})\n" for row in ROWS if row not in rows)
        print("A short run leaves out:\n" + "".join(left) + "  how many streams one core holds")
    repeat = args.repeat or (2 if args.short else 5)
    empty: dict[str, Any] = {"cases": [], "held": []}
    results = report.load(out) if args.append and out.exists() else empty
    results["about"] = {**machine(), "versions": peers.versions(), "repeat": repeat, "short": args.short}
    for part in PARTS:
        if part not in parts:
            continue
        with tempfile.TemporaryDirectory() as folder:
            run = Run(peers, [row for row in rows if row.part == part], repeat, Path(folder))
            results["cases"] = merged(results["cases"], [*run.harness(), *run.bodies(), *run.imports()])
            if part == "held" and not args.short:
                results["held"] = run.held()
        out.write_text(report.dumps(results), "utf-8")
    ours = [case["name"] for case in results["cases"] if "error" in case and case["name"].startswith("agent_core")]
    return peers.failed + ours


def merged(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is in both is that of `new`."""

    def key(case: dict[str, Any]) -> tuple[str, ...]:
        return case["bench"], case["wire"], json.dumps(case["params"], sort_keys=True), case["name"]

    return list(({key(case): case for case in old} | {key(case): case for case in new}).values())


def machine() -> dict[str, Any]:
    system = os.uname()
    cpu = system.machine
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
    return {
        "date": time.strftime("%F"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": system.release.partition("-")[0],
    }


class Run:
    """The programs a run is made of. What they write is brought into one shape: that of `harness/run.py`."""

    def __init__(self, peers: Peers, rows: list[Row], repeat: int, folder: Path) -> None:
        self.peers, self.rows, self.repeat, self.folder = peers, rows, repeat, folder

    def read(self, name: str) -> Any:
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else []

    def harness(self) -> list[dict[str, Any]]:
        if groups := plan(self.rows):
            plans = [
                {"bench": group.bench, "wire": group.wire, "params": json.loads(group.params), "names": names}
                for group, names in groups.items()
            ]
            (self.folder / "plan.json").write_text(json.dumps(plans))
            files = ("--plan", str(self.folder / "plan.json"), "--out", str(self.folder / "rows.json"))
            self.peers.run(self.peers.python, "harness/run.py", *files, "--repeat", str(self.repeat))
        return self.read("rows.json")

    def bodies(self) -> list[dict[str, Any]]:
        asked = [(ref.wire, json.loads(ref.params)) for row in self.rows for ref in row.refs() if ref.bench == "body"]
        found: list[dict[str, Any]] = []
        for peer, python in (("sdk", self.peers.python), ("litellm", self.peers.litellm)):
            wires = sorted({wire for wire, params in asked if params["with"] == peer})
            if not wires or not os.path.exists(python):
                continue
            out = self.folder / f"body-{peer}.json"
            setting = ("--items", str(asked[0][1]["items"]), "--wires", ",".join(wires), "--peers", peer)
            self.peers.run(python, "request_body.py", *setting, "--repeat", str(self.repeat), "--json", str(out))
            for row in self.read(out.name):
                where = {"wire": row["wire"], "params": {"items": row["items"], "with": peer}}
                times = [round(ms, 4) for ms in row["ms"]]
                name = SDK[row["wire"]] if row["name"] == "sdk" else row["name"]
                found.append({"bench": "body", **where, "name": name, "unit": "ms", "cpu": times})
        return found

    def imports(self) -> list[dict[str, Any]]:
        if not any(row.part == "import" for row in self.rows):
            return []
        out = self.folder / "imports.json"
        self.peers.run(self.peers.python, "budgets.py", "--imports", str(out), "--repeat", str(max(self.repeat, 3)))
        samples: dict[str, list[float]] = dict(self.read(out.name))
        bare = samples.pop("bare python", [])
        return [
            {
                "bench": "import", "wire": "", "params": {}, "name": name, "unit": "ms",
                "cpu": [round(ms - floor, 1) for ms, floor in zip(times, bare, strict=True)],
            }
            for name, times in samples.items()
        ]  # fmt: skip

    def held(self) -> list[dict[str, Any]]:
        out = self.folder / "held.json"
        self.peers.run(self.peers.python, "harness/held.py", "--out", str(out))
        return self.read(out.name)


if __name__ == "__main__":
    main()
