"""Very many histories through every profile, on all cores: `python -m tests.property.soak 1000000`.

Every history is judged as a request, and replayed twice for a profile like its own of which some switches are turned.
One in four is also judged as a request to that one, encoded a second time, replayed twice for its own profile, and
continued; that also says how much of a request the next one of its conversation repeats. Ends at the number of
histories or after `--minutes`, whichever comes first, and tells what went wrong, each kind once with the seed that
shows it again (`--seed`).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from itertools import islice
from random import Random

from agent_core.items import InputText, Message

from .histories import history, stock_of
from .judging import (
    SETTINGS,
    continued,
    encoded,
    replay_problems,
    request_problems,
    steadiness_problems,
)
from .profiles import Profile, profiles, varied

_BATCH = 2000
_STEADY = 0.25  # share of the histories that are also encoded again and continued
_NEXT = Message(role="user", content=(InputText(text="U0u next"),))


@dataclass
class Tally:
    histories: int = 0
    steady: int = 0
    refused: int = 0
    """Before anything was sent: nothing to send, or a schema nobody can be held to."""
    wrong: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    """How often, and where first, by what is wrong."""
    short_bytes: int = 0
    repeated_bytes: int = 0

    def add(self, other: Tally) -> None:
        self.histories += other.histories
        self.steady += other.steady
        self.refused += other.refused
        self.short_bytes += other.short_bytes
        self.repeated_bytes += other.repeated_bytes
        for kind, (times, first) in other.wrong.items():
            self.wrong[kind] = (times + self.wrong.get(kind, (0, first))[0], self.wrong.get(kind, (0, first))[1])

    def note(self, problems: list[str], where: str) -> None:
        for problem in problems:
            kind = "".join("N" if char.isdigit() else char for char in problem)
            times, first = self.wrong.get(kind, (0, where))
            self.wrong[kind] = (times + 1, first)


def run_batch(seed: int, size: int = _BATCH) -> Tally:
    """`size` histories from `seed` on, profile after profile."""
    tally = Tally()
    known = profiles()
    settings = list(SETTINGS)
    for n in range(seed, seed + size):
        random = Random(n)
        profile = known[n % len(known)]
        _judge(random, profile, random.choice(settings), steady=random.random() < _STEADY, seed=n, tally=tally)
    return tally


def _judge(random: Random, profile: Profile, settings: str, *, steady: bool, seed: int, tally: Tally) -> None:
    items = history(random, stock_of(profile))
    request = encoded(profile, items, settings)
    where = f"{profile}, settings {settings!r}, --seed {seed}"
    tally.histories += 1
    if request is None:
        tally.refused += 1
        return
    tally.note(request_problems(profile, items, request), where)
    other = replace(profile, compat=varied(random, profile.compat))
    tally.note(replay_problems(other, items), f"varied {where}")
    if not steady:
        return
    tally.steady += 1
    written = encoded(other, items, settings)
    tally.note([] if written is None else request_problems(other, items, written), f"varied {where}")
    tally.note(steadiness_problems(profile, items, settings, request), where)
    late = [_NEXT, *random.choice(stock_of(profile).turns)]
    grown = continued(profile, items, late, "told")
    tally.note(grown.problems, where)
    tally.short_bytes += grown.bytes
    tally.repeated_bytes += grown.repeated


def run(count: int, *, minutes: float, seed: int, workers: int) -> Tally:
    tally = Tally()
    deadline = time.monotonic() + minutes * 60
    seeds: Iterator[int] = iter(range(seed, seed + count, _BATCH))
    with ProcessPoolExecutor(workers) as pool:
        pending = {
            pool.submit(run_batch, first, min(_BATCH, seed + count - first)) for first in islice(seeds, workers * 2)
        }
        while pending:
            done = next(as_completed(pending))
            pending.remove(done)
            tally.add(done.result())
            first = next(seeds, None) if time.monotonic() < deadline else None
            if first is not None:
                pending.add(pool.submit(run_batch, first, min(_BATCH, seed + count - first)))
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("histories", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    started = time.monotonic()
    tally = run(asked.histories, minutes=asked.minutes, seed=asked.seed, workers=asked.workers)
    took = time.monotonic() - started
    share = tally.repeated_bytes / tally.short_bytes if tally.short_bytes else 1.0
    speed = f"{took:.0f} s, {tally.histories / took:.0f} a second"
    print(f"{tally.histories} histories on {len(profiles())} profiles in {speed}")
    print(f"{tally.steady} of them also encoded again and continued; {tally.refused} refused before sending")
    print(f"{share:.1%} of a request's bytes repeated by the next turn's")
    for kind, (times, first) in sorted(tally.wrong.items(), key=lambda each: -each[1][0]):
        print(f"{times:7d}  {kind}\n         first: {first}")
    print(f"{len(tally.wrong)} kinds of problems")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
