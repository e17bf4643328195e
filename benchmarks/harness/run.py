"""Runs the benchmarks: one mock server on one core, one client at a time on the other.

    python bench/run.py --only a,c --repeat 5 --out results.json
    python bench/run.py --only a_bulk --wires chat --match 'openai|httpx2' --repeat 3
    python bench/run.py --list

Every case lives in a process of its own that stays idle between its repetitions; the repetitions
of all cases of a group are interleaved (A B C A B C …, each round in another order), so that slow
minutes of the machine fall on all of them. The main figure is the client's CPU time (user+sys).
Each (case, wire, parameters) gives one JSON line with median, min and max.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import re
import select
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

PEERS_PYTHON = os.environ.get("PEERS_PYTHON", sys.executable)
TIMEOUT = 500
# adapters whose peer cannot live with the others (newest litellm wants openai < 3)
PYTHONS = {"litellm_": os.environ.get("LITELLM_PYTHON", PEERS_PYTHON)}
WIRES = ("chat", "responses", "messages")

# bench -> (parameter sets, how many units one call is, what a unit is, target CPU seconds per repetition)
T = {"mode": "text"}
BENCHES: dict[str, dict] = {
    "a_bulk": dict(params=[{**T, "n": 1000, "k": 1, "g": 0}], per="n", unit="us/delta", target=0.15),
    "a_coal": dict(
        params=[{**T, "n": 1000, "k": 8, "g": 0}, {**T, "n": 1000, "k": 64, "g": 0}],
        per="n",
        unit="us/delta",
        target=0.12,
    ),
    "a_paced": dict(params=[{**T, "n": 400, "k": 1, "g": 1000}], per="n", unit="us/delta", target=0, spin=True),
    "a_tls": dict(params=[{**T, "n": 400, "k": 1, "g": 1000, "tls": 1}], per="n", unit="us/delta", target=0, spin=True),
    "a_tool": dict(
        params=[{"mode": "tool", "n": 5, "k": 1, "g": 0, "f": 200, "a": 4000}], per="f", unit="us/fragment", target=0.1
    ),
    "a_req": dict(params=[{**T, "n": 1, "k": 1, "g": 0}], per=None, unit="us/request", target=0.1),
    "a_mem": dict(
        params=[{**T, "n": 1000, "chunk": "event"}, {**T, "n": 1000, "chunk": 65536}],
        per="n",
        unit="us/delta",
        target=0.12,
    ),
    "b_sse": dict(
        params=[{**T, "n": 2000, "chunk": "event"}, {**T, "n": 2000, "chunk": 65536}],
        per=None,
        unit="us/stream",
        target=0.1,
    ),
    "c_build": dict(
        params=[{"n": 10}, {"n": 100}, {"n": 1000}, {"n": 10000}], per=None, unit="us/request", target=0.15
    ),
    "d_loop": dict(
        params=[{"mode": "loop", "t": t, "p": 1} for t in (10, 50, 100, 200, 400)], per="t", unit="us/turn", target=0.05
    ),
    "d_par": dict(params=[{"mode": "loop", "t": 20, "p": 8}], per="t", unit="us/turn", target=0.05),
    "e_conc": dict(
        params=[{**T, "n": 200, "k": 1, "g": 2000, "b": 1000}], per="nb", unit="us/delta", target=0, warm=False
    ),
    "g_ttfe": dict(
        params=[{"mode": "ttfe", "n": 6, "k": 1, "g": 2000}],
        per=None,
        unit="us/request",
        target=0,
        inner=60,
        collect=True,
        spin=True,
    ),
    "h_long": dict(
        params=[{**T, "n": n, "k": 1, "g": 0} for n in (1000, 10000, 100000)], per="n", unit="us/delta", target=0.05
    ),
    "i_partial": dict(
        params=[{"mode": "tool", "n": 1, "f": f, "a": f * 40, "chunk": "event"} for f in (625, 1250, 2500, 5000)],
        per="f",
        unit="us/fragment",
        target=0.05,
    ),
}


def load_modules() -> list:
    import api

    for f in sorted(os.listdir(os.path.join(HERE, "adapters"))):
        if f.endswith(".py") and not f.startswith("_"):
            try:
                importlib.import_module("adapters." + f[:-3])
            except ImportError as e:
                print(f"# adapter {f} left out: {e}", file=sys.stderr)
    return api.CASES


class Spinner:
    """An endless loop of the idle scheduling class on the client's core, for paced runs: the virtual
    CPU never halts, so a wake-up costs what the kernel asks and not what the hypervisor adds. The
    client preempts it at once."""

    def __init__(self, cpu):
        code = (
            "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nos.sched_setaffinity(0, {%d})\nwhile True: pass"
            % cpu
        )
        self.p = subprocess.Popen([sys.executable, "-S", "-c", code])

    def stop(self):
        self.p.kill()
        self.p.wait()


class Server:
    def __init__(self, python: str, cpu: int | None):
        cmd = [python, os.path.join(HERE, "server.py"), "--cert", f"/tmp/bench-cert-{os.getpid()}.pem"]
        self.cert = cmd[-1]
        if cpu is not None:
            cmd = ["taskset", "-c", str(cpu), *cmd]
        self.p = subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True)
        port, tls = self.p.stdout.readline().split()
        self.port, self.tls = int(port), int(tls)

    def cpu(self) -> float:
        with open(f"/proc/{self.p.pid}/stat") as f:
            v = f.read().rsplit(")", 1)[1].split()
        return (int(v[11]) + int(v[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.p.terminate()
        self.p.wait(5)
        try:
            os.unlink(self.cert)
        except OSError:
            pass


def python_of(case, args) -> str:
    p = PYTHONS.get(case.module, "")
    return p if os.path.exists(p) else args.python


class Worker:
    def __init__(self, case, wire: str, params: dict, srv: Server, args, collect: bool, warm: bool = True):
        self.case, self.wire, self.params = case, wire, params
        spec = {
            "module": case.module,
            "bench": case.bench,
            "name": case.name,
            "wire": wire,
            "params": params,
            "port": srv.port,
            "tls_port": srv.tls,
            "cert": srv.cert,
            "cpu": args.client_cpu,
            "collect": collect,
            "warm": warm,
        }
        self.log = open(f"/tmp/bench-worker-{os.getpid()}.log", "a")
        self.log.write(f"\n=== {case.id} {wire} {params}\n")
        self.log.flush()
        self.p = subprocess.Popen(
            [python_of(case, args), os.path.join(HERE, "worker.py"), json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.ready: dict | None = None
        self.reps: list[dict] = []
        self.error: str | None = None
        self.inner = 1

    def read(self) -> dict:
        if not select.select([self.p.stdout], [], [], TIMEOUT)[0]:
            self.p.kill()
            return {"error": f"no answer in {TIMEOUT} s"}
        line = self.p.stdout.readline()
        if not line:
            return {"error": "worker ended"}
        return json.loads(line)

    def wait_ready(self) -> None:
        r = self.read()
        if "error" in r:
            self.error = r["error"]
        else:
            self.ready = r

    def rep(self) -> None:
        self.p.stdin.write(f"{self.inner}\n")
        self.p.stdin.flush()
        r = self.read()
        if "error" in r:
            self.error = r["error"]
        else:
            self.reps.append(r)

    def stop(self) -> None:
        try:
            self.p.stdin.write("0\n")
            self.p.stdin.close()
        except OSError:
            pass
        try:
            self.p.wait(5)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
        self.log.close()


def stats(xs: list[float]) -> dict:
    return {"median": statistics.median(xs), "min": min(xs), "max": max(xs)}


def units_of(params: dict, b: dict) -> int:
    units = 1
    for ch in b["per"] or "":
        units *= params[ch]
    return units


def predicted_skip(case, wire, params, b, last, args, emit) -> bool:
    """Whether the sizes before say that this one would take too long (growth taken as quadratic
    for loops, linear otherwise); a row says so."""
    seen = last.get((case.bench, wire, case.name))
    if not seen:
        return False
    before, secs = seen
    key = "t" if case.bench == "d_loop" else "n" if "n" in params else "f"
    ratio = params.get(key, 1) / max(1, before.get(key, 1))
    guess = secs * (ratio**2 if case.bench in ("d_loop", "i_partial") else ratio)
    if guess <= args.skip:
        return False
    emit(
        {
            "bench": case.bench,
            "name": case.name,
            "kind": case.kind,
            "wire": wire,
            "params": params,
            "unit": b["unit"],
            "error": f"skipped: predicted {guess:.0f} s",
        }
    )
    return True


def summarize(w: Worker, b: dict) -> dict:
    units = units_of(w.params, b)
    row = {
        "bench": w.case.bench,
        "name": w.case.name,
        "kind": w.case.kind,
        "wire": w.wire,
        "params": w.params,
        "unit": b["unit"],
        "meta": {k: v for k, v in w.case.meta.items()},
    }
    if w.error or not w.reps:
        row["error"] = w.error or "no repetition"
        return row
    row["cpu"] = stats([r["cpu_us"] / units for r in w.reps])
    row["wall"] = stats([r["wall_us"] / units for r in w.reps])
    row["user"] = statistics.median(r["user_us"] / units for r in w.reps)
    row["sys"] = statistics.median(r["sys_us"] / units for r in w.reps)
    row["waits"] = statistics.median(r["waits"] / units for r in w.reps)
    row["reps"] = len(w.reps)
    row["inner"] = w.inner
    row["rss_peak_mb"] = max(r["rss_peak_kb"] for r in w.reps) / 1024
    row["rss_grow_kb"] = max(r["rss_peak_kb"] - r["rss_before_kb"] for r in w.reps)
    row["rss_setup_kb"] = w.ready["rss_kb"]
    ex = w.reps[-1]["extra"]
    if "bytes" in ex:
        row["bytes"] = ex["bytes"]
        row["mb_s"] = ex["bytes"] / row["cpu"]["median"]
    if b.get("collect"):
        alls = [e for r in w.reps for e in r["all"]]

        def pct(xs, p):
            xs = sorted(xs)
            return xs[min(len(xs) - 1, int(len(xs) * p))]

        for key in ("_send_us", "_first_us"):
            xs = [e[key] for e in alls if e.get(key) is not None]
            if xs:
                row[key[1:]] = {"p10": pct(xs, 0.1), "p50": pct(xs, 0.5), "p99": pct(xs, 0.99), "n": len(xs)}
        later = [x for e in alls for x in e.get("_later_us", [])]
        if later:
            row["later_us"] = {"p10": pct(later, 0.1), "p50": pct(later, 0.5), "p99": pct(later, 0.99), "n": len(later)}
    return row


def run_group(cases, wire, params, b, srv, args, emit) -> list:
    workers = []
    # start two at a time: start-up is not measured
    todo = list(cases)
    while todo:
        batch = [Worker(c, wire, params, srv, args, b.get("collect", False), b.get("warm", True)) for c in todo[:2]]
        todo = todo[2:]
        for w in batch:
            w.wait_ready()
        workers += batch
    live = [w for w in workers if not w.error]
    for w in live:
        once = max(w.ready["once_cpu_ms"] / 1e3, 1e-6)
        w.inner = b.get("inner") or (1 if not b["target"] else max(1, min(20000, round(b["target"] / once))))
    spin = Spinner(args.client_cpu) if b.get("spin") and args.client_cpu is not None and not args.no_spin else None
    rnd = random.Random(1)
    order = list(live)
    deadline = dict.fromkeys(live, 0.0)
    for r in range(args.repeat):
        rnd.shuffle(order)
        for w in order:
            if w.error:
                continue
            # a case slower than the budget gets fewer repetitions: CPU time of long runs is steady
            if deadline[w] > args.budget:
                continue
            t = time.monotonic()
            w.rep()
            deadline[w] += time.monotonic() - t
    if spin:
        spin.stop()
    rows = []
    for w in workers:
        rows.append(summarize(w, b))
        emit(rows[-1])
        w.stop()
    return rows


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--only", help="comma list of letters or bench names: a,c or a_bulk,d_loop,f")
    ap.add_argument("--wires", help="comma list: chat,responses,messages")
    ap.add_argument("--match", help="regular expression on case names")
    ap.add_argument("--kinds", help="comma list: peer,floor,limit,subject,info")
    ap.add_argument("--params", help="JSON object: replaces the parameter sets of every selected bench")
    ap.add_argument("--repeat", type=int, default=5)
    ap.add_argument("--budget", type=float, default=25, help="seconds per case after which no repetition is added")
    ap.add_argument(
        "--skip", type=float, default=40, help="do not run what is predicted to take longer, seconds per call"
    )
    ap.add_argument("--out", default="results.json", help="JSON lines are appended to <out>l, all rows go to <out>")
    ap.add_argument("--append", action="store_true", help="keep the rows of an existing --out, replacing equal ones")
    ap.add_argument("--python", default=PEERS_PYTHON if os.path.exists(PEERS_PYTHON) else sys.executable)
    ap.add_argument("--server-cpu", type=int, default=0)
    ap.add_argument("--client-cpu", type=int, default=1)
    ap.add_argument("--no-spin", action="store_true", help="let the client's core go idle between paced events")
    ap.add_argument("--path", help="folder put on PYTHONPATH of the workers, e.g. the checkout of agent_core")
    ap.add_argument("--list", action="store_true")
    args = ap.parse_args()

    if os.path.realpath(sys.executable) != os.path.realpath(args.python) or sys.prefix != os.path.dirname(
        os.path.dirname(args.python)
    ):
        if not os.environ.get("BENCH_REEXEC"):
            os.environ["BENCH_REEXEC"] = "1"
            os.execv(args.python, [args.python, *sys.argv])

    if args.path:
        sys.path.insert(0, args.path)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [args.path, os.environ.get("PYTHONPATH")]))
    cases = load_modules()
    if args.list:
        for c in cases:
            print(f"{c.bench:10} {c.kind:8} {c.name:55} {','.join(c.wires)}")
        return
    only = args.only.split(",") if args.only else None

    def wanted(bench: str) -> bool:
        return only is None or any(bench == o or (len(o) == 1 and bench.startswith(o + "_")) for o in only)

    if (os.cpu_count() or 1) < 2:
        args.server_cpu = args.client_cpu = None

    rows: list[dict] = []
    if args.append and os.path.exists(args.out):
        with open(args.out) as f:
            rows = json.load(f)["rows"]

    def key(r):
        return (r["bench"], r["name"], r["wire"], json.dumps(r["params"], sort_keys=True))

    index = {key(r): i for i, r in enumerate(rows)}

    def emit(row: dict) -> None:
        if key(row) in index:
            rows[index[key(row)]] = row
        else:
            index[key(row)] = len(rows)
            rows.append(row)
        print(json.dumps(row), flush=True)
        with open(args.out, "w") as f:
            json.dump({"rows": rows, "python": sys.version, "when": time.strftime("%F %T")}, f, indent=0)

    last: dict = {}
    srv = Server(args.python, args.server_cpu)
    try:
        for bench, b in BENCHES.items():
            if not wanted(bench):
                continue
            psets = [json.loads(args.params)] if args.params else b["params"]
            if args.params:
                psets = [{**b["params"][0], **psets[0]}]
            for wire in WIRES:
                if args.wires and wire not in args.wires.split(","):
                    continue
                sel = [
                    c
                    for c in cases
                    if c.bench == bench
                    and wire in c.wires
                    and (not args.match or re.search(args.match, c.name))
                    and (not args.kinds or c.kind in args.kinds.split(","))
                ]
                for params in psets:
                    group = [
                        c
                        for c in sel
                        if params.get("n", 0) <= c.meta.get("max_n", 1 << 60)
                        and params.get("t", 0) <= c.meta.get("max_t", 1 << 60)
                        and params.get("f", 0) <= c.meta.get("max_f", 1 << 60)
                    ]
                    group = [c for c in group if not predicted_skip(c, wire, params, b, last, args, emit)]
                    if not group:
                        continue
                    print(f"# {bench} {wire} {params}: {len(group)} cases", file=sys.stderr, flush=True)
                    for row in run_group(group, wire, params, b, srv, args, emit):
                        if "cpu" in row:
                            last[(bench, wire, row["name"])] = (
                                params,
                                row["cpu"]["median"] * units_of(params, b) / 1e6,
                            )
        if only is None or "f" in only or "f_import" in only:
            import imports

            imports.run(args, emit)
    finally:
        srv.stop()


if __name__ == "__main__":
    main()
