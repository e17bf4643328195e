"""How many streams of 100 events a second one core holds before one event in a hundred is seen more than 50 ms late.

    python held.py [--match agent_core] [--wire chat] [--out held.json]

The server has one core, the client the other. Each event carries the time it was sent; the first second of a run does
not count. The number is doubled until it is too much, then halved between.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import payloads as P

EVENTS_A_S, LATE_NS, WARM_NS = 100, 50_000_000, 1_000_000_000
EVENTS = 350  # of a stream
FIRST, MOST = 4, 4096
PRECISION = 1.07
NAMES = ("agent_core, fast", "agent_core", "openai create(stream)", "pydantic-ai run_stream", "litellm")


class Enough(Exception):
    """More came late than may."""


class Delays:
    """What one run saw. It ends when a hundredth of the events it expects was late: what else comes changes nothing."""

    def __init__(self, streams: int) -> None:
        self.ns: list[int] = []
        self.first = self.last = self.late = 0
        self.most_late = streams * (EVENTS - EVENTS_A_S) // 100

    def see(self, text: str) -> None:
        now = time.monotonic_ns()
        sent = P.stamps(text)[0]
        if not self.first:
            self.first = sent
        self.last = sent
        if sent - self.first > WARM_NS:
            self.ns.append(now - sent)
            if now - sent > LATE_NS:
                self.late += 1
                if self.late > self.most_late:
                    raise Enough

    def p99_ms(self) -> float:
        return sorted(self.ns)[int(len(self.ns) * 0.99)] / 1e6


async def streamed(streams: int, show: Any) -> dict[str, Any]:
    """One run of so many streams: the delay, and the rate at which the server sent."""
    delays = Delays(streams)
    tasks = [asyncio.ensure_future(show(delays.see)) for _ in range(streams)]
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in pending:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [error for error in ended if isinstance(error, Exception) and not enough(error)]
    if failed:
        raise failed[0]
    seconds = (delays.last - delays.first) / 1e9
    rate = 0.0 if pending else (EVENTS - 1) / seconds
    return {"streams": streams, "p99_ms": round(delays.p99_ms(), 2), "rate": round(rate, 1), "whole": not pending}


def enough(error: BaseException | None) -> bool:
    """Libraries may wrap what is raised in the middle of a stream."""
    while error is not None:
        if isinstance(error, Enough) or (isinstance(error, BaseExceptionGroup) and any(map(enough, error.exceptions))):
            return True
        error = error.__cause__ or error.__context__
    return False


def client() -> None:
    """A number of streams for each line of stdin."""
    import os

    from worker import ENVIRONMENT, load, made, pin

    os.environ |= ENVIRONMENT
    spec = json.loads(sys.argv[1])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        out.write("{}\n")
        out.flush()
        for line in sys.stdin:
            streams = int(line)
            params = {"mode": "stamped", "n": EVENTS, "k": 1, "g": 1_000_000 // EVENTS_A_S, "b": streams}
            case, ctx = load({**spec, "params": params})
            show = loop.run_until_complete(made(case, ctx))()
            pin(spec["cpu"])
            gc.collect()
            out.write(json.dumps(loop.run_until_complete(streamed(streams, show))) + "\n")
            out.flush()
    except BaseException as error:  # noqa: BLE001  # the parent shows it
        import traceback

        traceback.print_exc()
        out.write(json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}) + "\n")
        out.flush()


class Search:
    """The most streams of one client. `limit` says whose fault it was that there were no more: the client's, or the
    server's, which then did not keep its pace."""

    def __init__(self, name: str, asked: Any) -> None:
        self.name, self.asked = name, asked
        self.p99_ms: dict[int, float] = {}
        self.limit = "client"

    def holds(self, streams: int) -> bool:
        """Asked twice where the first answer is no: something else may have had the core."""
        return self.once(streams) or self.once(streams)

    def once(self, streams: int) -> bool:
        point = self.asked.ask(streams)
        if "error" in point:
            raise RuntimeError(point["error"])
        p99_ms, rate = point["p99_ms"], point["rate"]
        said = f"{rate:6.1f} events/s" if point["whole"] else "given up"
        print(f"  {self.name:28}{streams:6} streams  p99 {p99_ms:9.2f} ms  {said}", flush=True)
        if point["whole"] and not 0.97 < rate / EVENTS_A_S < 1.03:
            self.limit = "server"
            return False
        self.p99_ms[streams] = min(p99_ms, self.p99_ms.get(streams, p99_ms))
        if point["whole"] and p99_ms * 1e6 <= LATE_NS:
            return True
        self.limit = "client"
        return False

    def result(self) -> dict[str, Any]:
        low, high = 0, FIRST
        while high <= MOST and self.holds(high):
            low, high = high, high * 2
        while low and high / low > PRECISION:
            middle = round((low * high) ** 0.5)
            if middle in (low, high):
                break
            low, high = (middle, high) if self.holds(middle) else (low, middle)
        points = [{"streams": streams, "p99_ms": self.p99_ms[streams]} for streams in sorted(self.p99_ms)]
        return {"name": self.name, "holds": low, "limit": self.limit, "points": points}


def searched(cases: list[Any], wire: str, log: IO[str]) -> Iterator[dict[str, Any]]:
    from processes import Client, Server

    for case in cases:
        with Server(tls=False) as server:
            spec = {"bench": "held", "name": case.name, "wire": wire, "params": {}}
            asked = Client("held.py", case.module, spec, server, log)
            asked.read()
            try:
                yield Search(case.name, asked).result()
            except RuntimeError as error:
                print(f"  {case.name}: not run: {error}")
            finally:
                asked.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wire", default="chat")
    parser.add_argument("--match", help="regular expression on names of cases; without it, those of the docs")
    parser.add_argument("--out")
    args = parser.parse_args()
    from run import load_cases

    cases = [case for case in load_cases() if case.bench == "held" and args.wire in case.wires]
    if args.match:
        cases = [case for case in cases if re.search(args.match, case.name)]
    else:
        cases = sorted((case for case in cases if case.name in NAMES), key=lambda case: NAMES.index(case.name))
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryFile("w+") as log:
        for one in searched(cases, args.wire, log):
            found.append(one)
            print(f"{one['name']}: {one['holds']}{'' if one['limit'] == 'client' else ' or more'}", flush=True)
            if args.out:
                Path(args.out).write_text(json.dumps(found))


if __name__ == "__main__":
    client() if len(sys.argv) == 2 and sys.argv[1].startswith("{") else main()
