"""One client process: builds one case, then does one timed repetition per line on stdin."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import os
import resource
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

os.environ.setdefault("OPENAI_API_KEY", "sk-bench")
os.environ.setdefault("ANTHROPIC_API_KEY", "sk-bench")
os.environ.setdefault("OPENAI_AGENTS_DISABLE_TRACING", "1")
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_LOG", "ERROR")
os.environ.setdefault("LANGCHAIN_TRACING_V2", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")


def vm(field: str) -> int:
    with open("/proc/self/status") as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    return 0


def reset_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        pass


def check(got: dict, expected: dict) -> str | None:
    for k, v in expected.items():
        if k in got and got[k] != v:
            return f"{k}: {got[k]} != {v}"
    if "_want_events" in got and got["events"] != got["_want_events"]:
        return f"events: {got['events']} != {got['_want_events']}"
    if "_turns" in got and got["turns"] != got["_turns"]:
        return f"turns: {got['turns']} != {got['_turns']}"
    return None


def main() -> None:
    spec = json.loads(sys.argv[1])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to stderr
    import api

    t0 = time.process_time_ns()
    importlib.import_module("adapters." + spec["module"])
    c = next(x for x in api.CASES if x.bench == spec["bench"] and x.name == spec["name"])
    ctx = api.Ctx(
        spec["bench"], spec["wire"], spec["port"], spec["tls_port"], spec["cert"], spec["params"], os.getpid()
    )
    if c.meta.get("loop") == "uvloop":
        import uvloop

        loop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def call(fn, *a):
        r = fn(*a)
        if inspect.isawaitable(r):
            return loop.run_until_complete(r)
        return r

    def say(o) -> None:
        out.write(json.dumps(o) + "\n")
        out.flush()

    # some factories want a running loop, others build a coroutine function: both work
    async def _make():
        r = c.make(ctx)
        return await r if inspect.isawaitable(r) else r

    try:
        once = loop.run_until_complete(_make())
        rss0 = vm("VmRSS")
        w0 = time.process_time_ns()
        first = call(once) if spec.get("warm", True) else {}
        warm = time.process_time_ns() - w0
        err = check(first, ctx.expected)
        if err:
            raise AssertionError("wrong result: " + err)
        if warm < 2e9 and spec.get("warm", True):
            w0b = time.process_time_ns()
            call(once)
            warm = time.process_time_ns() - w0b
        if spec.get("cpu") is not None:
            for tid in os.listdir("/proc/self/task"):  # also the threads a library has started
                os.sched_setaffinity(int(tid), {spec["cpu"]})
    except BaseException as e:  # reported, not hidden
        traceback.print_exc()
        say({"error": f"{type(e).__name__}: {e}"[:400]})
        return
    say(
        {
            "ready": True,
            "setup_cpu_ms": (w0 - t0) / 1e6,
            "once_cpu_ms": warm / 1e6,
            "rss_kb": rss0,
            "first": {k: v for k, v in first.items() if not k.startswith("_")},
        }
    )

    collect = bool(spec.get("collect"))
    is_async = inspect.iscoroutinefunction(once)
    for line in sys.stdin:
        inner = int(line)
        extras: list = []
        if inner <= 0:
            break
        gc.collect()
        reset_peak()
        rss_before = vm("VmRSS")
        try:
            ru0 = resource.getrusage(resource.RUSAGE_SELF)
            w0 = time.perf_counter_ns()
            c0 = time.process_time_ns()
            if is_async:

                async def many():
                    r = None
                    for _ in range(inner):
                        r = await once()
                        if collect:
                            extras.append(r)
                    return r

                rs = loop.run_until_complete(many())
                c1 = time.process_time_ns()
            else:
                for _ in range(inner):
                    rs = once()
                    if collect:
                        extras.append(rs)
                c1 = time.process_time_ns()
            w1 = time.perf_counter_ns()
            ru1 = resource.getrusage(resource.RUSAGE_SELF)
        except BaseException as e:
            traceback.print_exc()
            say({"error": f"{type(e).__name__}: {e}"[:400]})
            return
        err = check(rs, ctx.expected)
        if err:
            say({"error": "wrong result: " + err})
            return
        say(
            {
                "cpu_us": (c1 - c0) / 1e3 / inner,
                "wall_us": (w1 - w0) / 1e3 / inner,
                "user_us": (ru1.ru_utime - ru0.ru_utime) * 1e6 / inner,
                "sys_us": (ru1.ru_stime - ru0.ru_stime) * 1e6 / inner,
                "waits": (ru1.ru_nvcsw - ru0.ru_nvcsw) / inner,
                "rss_before_kb": rss_before,
                "rss_peak_kb": vm("VmHWM"),
                "maxrss_kb": ru1.ru_maxrss,
                "inner": inner,
                "extra": {k: v for k, v in rs.items() if k.startswith("_") or k == "bytes"},
                "all": [{k: v for k, v in r.items() if k.startswith("_")} for r in extras],
            }
        )


if __name__ == "__main__":
    main()
