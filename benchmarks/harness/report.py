"""Prints ratio tables of a results.json.

    python bench/report.py results.json                     every bench
    python bench/report.py results.json --only a_bulk,d     some
    python bench/report.py results.json --summary           one line per (bench, wire, parameters)
    python bench/report.py results.json --loops             fit of the tool loop's growth

x peer  = CPU of the row / CPU of the cheapest peer      (below 1: better than every peer)
x floor = CPU of the row / CPU of the cheapest floor     (1: as cheap as hand-written code)
x limit = CPU of the row / CPU of the cheapest full-work limit
Rows that do no full work ("no decode", "only") count in no ratio.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict

PARTIAL = re.compile(r"no decode|bytes\.split only|append one item|memcpy|no streaming|httptools \(", re.I)


def fmt(x: float) -> str:
    return f"{x:,.0f}" if x >= 1000 else f"{x:.1f}" if x >= 100 else f"{x:.2f}"


def label(params: dict) -> str:
    keep = {k: v for k, v in params.items() if k not in ("mode", "g", "p", "tls", "a")}
    if "k" in keep and keep["k"] == 1:
        del keep["k"]
    return " ".join(f"{k}={v}" for k, v in keep.items())


def best(rows, kind):
    xs = [r["cpu"]["median"] for r in rows if r["kind"] == kind and not PARTIAL.search(r["name"])]
    return min(xs) if xs else None


def groups(rows):
    g = defaultdict(list)
    for r in rows:
        g[(r["bench"], r["wire"], json.dumps(r["params"], sort_keys=True))].append(r)
    return g


def table(key, rows, md: bool) -> None:
    bench, wire, params = key
    ok = [r for r in rows if "cpu" in r]
    bad = [r for r in rows if "cpu" not in r]
    if not ok:
        return
    unit = ok[0]["unit"]
    peer, floor, limit = best(ok, "peer"), best(ok, "floor"), best(ok, "limit")
    print(f"\n### {bench} · {wire} · {label(json.loads(params))}  ({unit}, CPU of the client)\n")
    head = ["case", "kind", "CPU median", "min..max", "wall", "waits/unit", "x peer", "x floor", "x limit", "RSS MB"]
    extra = []
    if any("mb_s" in r for r in ok):
        extra.append(("MB/s", lambda r: fmt(r["mb_s"]) if "mb_s" in r else ""))
    if bench == "f_import":
        extra += [
            ("modules", lambda r: str(r["modules"])),
            ("dists", lambda r: str(r["dists"])),
            ("MB", lambda r: str(r["mb"])),
        ]
    if bench == "g_ttfe":
        pp = lambda d: f"{d['p50']:.0f}/{d['p99']:.0f}" if d else ""
        extra += [
            ("send p50/p99 us", lambda r: pp(r.get("send_us"))),
            ("first p50/p99 us", lambda r: pp(r.get("first_us"))),
            ("later p50/p99 us", lambda r: pp(r.get("later_us"))),
        ]
    if bench == "e_conc":
        extra.append(("KB/stream", lambda r: fmt(r["rss_grow_kb"] / r["params"]["b"])))
    head += [h for h, _ in extra]
    body = []
    for r in sorted(ok, key=lambda r: r["cpu"]["median"]):
        c = r["cpu"]
        ratio = lambda b: f"{c['median'] / b:.2f}" if b else ""
        name = f"**{r['name']}**" if r["kind"] == "subject" and md else r["name"]
        row = [
            name,
            r["kind"],
            fmt(c["median"]),
            f"{fmt(c['min'])}..{fmt(c['max'])}",
            fmt(r["wall"]["median"]),
            f"{r['waits']:.2f}",
            ratio(peer),
            ratio(floor),
            ratio(limit),
            f"{r['rss_peak_mb']:.0f}",
        ]
        row += [f(r) for _, f in extra]
        body.append(row)
    if md:
        print("| " + " | ".join(head) + " |")
        print("|" + "|".join("---" if i < 2 else "---:" for i in range(len(head))) + "|")
        for row in body:
            print("| " + " | ".join(row) + " |")
    else:
        w = [max(len(x[i]) for x in [head, *body]) for i in range(len(head))]
        for row in [head, *body]:
            print("  ".join(x.ljust(n) if i < 2 else x.rjust(n) for i, (x, n) in enumerate(zip(row, w))))
    for r in bad:
        print(f"    (not run: {r['name']}: {r['error'].splitlines()[0][:110]})")


def summary(rows, md: bool) -> None:
    head = [
        "bench",
        "wire",
        "params",
        "unit",
        "best peer",
        "",
        "best floor",
        "",
        "limit",
        "peer/floor",
        "subject",
        "x peer",
        "x floor",
    ]
    out = []
    for (bench, wire, params), rs in groups(rows).items():
        ok = [r for r in rs if "cpu" in r]

        def pick(kind):
            xs = [r for r in ok if r["kind"] == kind and not PARTIAL.search(r["name"])]
            return min(xs, key=lambda r: r["cpu"]["median"]) if xs else None

        if bench == "f_import":
            continue
        p, f, li, s = pick("peer"), pick("floor"), pick("limit"), pick("subject")
        v = lambda r: fmt(r["cpu"]["median"]) if r else ""
        q = lambda a, b: f"{a['cpu']['median'] / b['cpu']['median']:.2f}" if a and b else ""
        out.append(
            [
                bench,
                wire,
                label(json.loads(params)),
                (ok or rs)[0]["unit"],
                p["name"] if p else "",
                v(p),
                f["name"] if f else "",
                v(f),
                v(li),
                q(p, f),
                v(s),
                q(s, p),
                q(s, f),
            ]
        )
    if md:
        print("| " + " | ".join(head) + " |")
        print("|" + "|".join(["---"] * len(head)) + "|")
        for r in out:
            print("| " + " | ".join(r) + " |")
    else:
        w = [max(len(x[i]) for x in [head, *out]) for i in range(len(head))]
        for r in [head, *out]:
            print("  ".join(x.ljust(n) for x, n in zip(r, w)))


def solve3(m, y):
    """least squares of y ~ b*t + c*t^2 (no constant)"""
    s11 = sum(a * a for a, _ in m)
    s12 = sum(a * b for a, b in m)
    s22 = sum(b * b for _, b in m)
    t1 = sum(a * v for (a, _), v in zip(m, y))
    t2 = sum(b * v for (_, b), v in zip(m, y))
    det = s11 * s22 - s12 * s12
    return (t1 * s22 - t2 * s12) / det, (s11 * t2 - s12 * t1) / det


def loops(rows, md: bool) -> None:
    """total(T) = base*T + growth*T^2/2: base = cost of a turn with an empty history, growth = what one
    earlier turn adds to every later one."""
    by = defaultdict(list)
    for r in rows:
        if r["bench"] == "d_loop" and "cpu" in r:
            by[(r["wire"], r["name"], r["kind"])].append((r["params"]["t"], r["cpu"]["median"] * r["params"]["t"]))
    head = [
        "wire",
        "case",
        "kind",
        "base us/turn",
        "growth us/turn per earlier turn",
        "us/turn at T=100",
        "us/turn at last T",
    ]
    out = []
    for (wire, name, kind), pts in by.items():
        if len(pts) < 3:
            continue
        pts.sort()
        # weights 1/total: every size counts alike
        m = [(t / v, t * t / 2 / v) for t, v in pts]
        b, c = solve3(m, [1.0] * len(pts))
        at = dict(pts)
        out.append(
            [
                wire,
                name,
                kind,
                fmt(b),
                f"{c:.2f}",
                fmt(at[100] / 100) if 100 in at else "",
                f"{fmt(pts[-1][1] / pts[-1][0])} (T={pts[-1][0]})",
                b,
            ]
        )
    out.sort(key=lambda r: (r[0], r[-1]))
    out = [r[:-1] for r in out]
    if md:
        print("| " + " | ".join(head) + " |")
        print("|" + "|".join(["---"] * len(head)) + "|")
        for r in out:
            print("| " + " | ".join(r) + " |")
    else:
        w = [max(len(x[i]) for x in [head, *out]) for i in range(len(head))]
        for r in [head, *out]:
            print("  ".join(x.ljust(n) for x, n in zip(r, w)))


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("results")
    ap.add_argument("--only")
    ap.add_argument("--wires")
    ap.add_argument("--md", action="store_true", help="markdown")
    ap.add_argument("--summary", action="store_true")
    ap.add_argument("--loops", action="store_true")
    a = ap.parse_args()
    with open(a.results) as f:
        rows = json.load(f)["rows"]
    only = a.only.split(",") if a.only else None
    if only:
        rows = [
            r for r in rows if any(r["bench"] == o or (len(o) == 1 and r["bench"].startswith(o + "_")) for o in only)
        ]
    if a.wires:
        rows = [r for r in rows if r["wire"] in a.wires.split(",") or r["wire"] == "-"]
    if a.summary:
        summary(rows, a.md)
    elif a.loops:
        loops(rows, a.md)
    else:
        for key, rs in groups(rows).items():
            table(key, rs, a.md)


if __name__ == "__main__":
    main()
