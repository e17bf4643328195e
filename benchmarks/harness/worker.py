"""One client process: makes one case, then does one timed repetition for each line of its stdin."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import api

# What libraries would do beside the work: send traces, load price lists, ask for keys.
ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-bench",
    "ANTHROPIC_API_KEY": "sk-bench",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LANGCHAIN_TRACING_V2": "false",
    "DO_NOT_TRACK": "1",
}
FEW = 10
"""Streams that warm a process of which many are asked once."""


def status_kb(field: str) -> int:
    """A line of /proc/self/status; 0 where there is none."""
    try:
        with open("/proc/self/status") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(field + ":")), 0)
    except OSError:
        return 0


def forget_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def wrong(got: dict[str, Any], expected: dict[str, Any]) -> str | None:
    different = (f"{key}: {got[key]} != {value}" for key, value in expected.items() if got.get(key, value) != value)
    return next(different, None)


def pin(cpu: int | None) -> None:
    """This process on one core, with the threads a library has started."""
    if cpu is not None:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(thread), {cpu})


def load(spec: dict[str, Any]) -> tuple[api.Case, api.Ctx]:
    """What the parent asks for."""
    importlib.import_module("adapters." + spec["module"])
    case = next(case for case in api.CASES if (case.bench, case.name) == (spec["bench"], spec["name"]))
    where = spec["port"], spec["tls_port"], spec["cert"]
    return case, api.Ctx(spec["bench"], spec["wire"], *where, spec["params"], os.getpid())


async def made(case: api.Case, ctx: api.Ctx) -> Any:
    """Some factories want a running loop; they may be coroutine functions or not."""
    once = case.make(ctx)
    return await once if inspect.isawaitable(once) else once


class Repetitions:
    def __init__(self, loop: asyncio.AbstractEventLoop, once: Callable[[], Any], expected: dict[str, Any]) -> None:
        self.loop, self.once, self.expected = loop, once, expected

    def call(self, times: int) -> list[dict[str, Any]]:
        if not inspect.iscoroutinefunction(self.once):
            return [self.once() for _ in range(times)]

        async def called() -> list[dict[str, Any]]:
            return [await self.once() for _ in range(times)]

        return self.loop.run_until_complete(called())

    def checked(self, times: int) -> tuple[float, list[dict[str, Any]]]:
        """(CPU seconds of one call, results)"""
        start = time.process_time_ns()
        results = self.call(times)
        used = (time.process_time_ns() - start) / 1e9 / times
        if (problem := wrong(results[-1], self.expected)) is not None:
            raise AssertionError("wrong result: " + problem)
        return used, results

    def warm(self) -> float:
        """CPU seconds of one call, once what is loaded at first is there."""
        once_s = self.checked(1)[0]
        return self.checked(1)[0] if once_s < 2 else once_s

    def repetition(self, times: int) -> dict[str, Any]:
        gc.collect()
        forget_peak()
        before, start = status_kb("VmRSS"), time.perf_counter()
        used, results = self.checked(times)
        wall = (time.perf_counter() - start) / times
        row = {"cpu_us": used * 1e6, "wall_us": wall * 1e6, "grown_kb": status_kb("VmHWM") - before}
        if added := sorted(result["added_us"] for result in results if "added_us" in result):
            row |= {"p50_us": added[len(added) // 2], "p99_us": added[int(len(added) * 0.99)]}
        return row


def main() -> None:
    spec = json.loads(sys.argv[1])
    os.environ |= ENVIRONMENT
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to stderr

    def say(answer: dict[str, Any]) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        case, ctx = load(spec)
        few = replace(ctx, params={**ctx.params, "b": FEW}) if spec["fresh"] else ctx
        work = Repetitions(loop, loop.run_until_complete(made(case, few)), few.expected)
        once_s = work.warm()
        if few is not ctx:
            work = Repetitions(loop, loop.run_until_complete(made(case, ctx)), ctx.expected)
        pin(spec["cpu"])
        say({"once_s": once_s})
        for line in sys.stdin:
            say(work.repetition(int(line)))
    except BaseException as error:  # noqa: BLE001  # the parent shows it
        traceback.print_exc()
        say({"error": f"{type(error).__name__}: {error}"[:400]})


if __name__ == "__main__":
    main()
