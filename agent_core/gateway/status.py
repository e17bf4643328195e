"""What is going on in the gateway right now, for a person who looks: a Watcher, and what the status page shows of it.

    in flight    who asks for what, and since when
    the last five minutes: how many ended how, and how long they took
    since the start: requests, tokens and money by backend and key; what went wrong last

Everything is bounded, and nothing is worked out but when somebody looks. What clients wrote (a model's name) is cut
here, and put on the page as text.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from math import ceil

from msgspec import Struct

from .. import __version__
from ..codecs.base import json_bytes
from ..items import JsonObject, JsonValue
from .asking import Ask, Billed, Inside, Page, Served, Watcher
from .metrics import MAX_VALUES, bounded
from .settings import Given, WatcherTable
from .status_page import StatusPage

__all__ = ["RECENT_S", "Status", "StatusSettings"]

RECENT_S = 300.0
BAR_S = 10.0
"""What one bar of the page stands for."""

MAX_RECENT = 5000
MAX_ERRORS = 25
MAX_SHOWN = 100
MAX_CHARS = 80


class _Ended(Struct, frozen=True):
    at: float
    outcome: str
    duration_s: float
    first_s: float | None
    error: str


class _Used(Struct):
    """By one backend for one key, since the start."""

    calls: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    unpriced: int = 0
    cost: dict[str, Decimal] = {}  # msgspec makes each its own


class Status:
    """What the status page of one gateway shows, at most every `every_s` seconds anew. `clock` gives a unix time."""

    def __init__(self, *, clock: Callable[[], float] = time.time, every_s: float = 1.0) -> None:
        self.version = 0
        """Changes with every request that begins or ends."""
        self._inside: Inside | None = None
        self._clock = clock
        self._started = clock()
        self._running: dict[int, tuple[float, Ask]] = {}
        self._recent: deque[_Ended] = deque(maxlen=MAX_RECENT)
        self._errors: deque[JsonObject] = deque(maxlen=MAX_ERRORS)
        self._outcomes: Counter[str] = Counter()
        self._used: dict[tuple[str, str], _Used] = {}
        self._backend, self._key = bounded(MAX_VALUES), bounded(MAX_VALUES)
        self._page = StatusPage(self, every_s=every_s)

    def pages(self, inside: Inside) -> Sequence[Page]:
        self._inside = inside
        return self._page.pages()

    def end_pages(self) -> None:
        self._page.end_pages()

    def begun(self, ask: Ask) -> None:
        self.version += 1
        self._running[id(ask)] = self._clock(), ask

    def ended(self, ask: Ask, served: Served) -> None:
        self._running.pop(id(ask), None)
        for billed in served.bill:
            self._add(billed, served.caller)
        self.turned_away(served)

    def turned_away(self, served: Served) -> None:
        self.version += 1
        now = self._clock()
        first_s = served.first_s if served.stream else None
        self._outcomes[served.outcome] += 1
        self._recent.append(_Ended(now, served.outcome, served.duration_s, first_s, served.error))
        if served.error:
            self._errors.append(
                {
                    "at": now,
                    "error": served.error,
                    "status": served.status,
                    "outcome": served.outcome,
                    "wire": served.wire,
                    "model": served.asked[:MAX_CHARS],
                    "backend": served.deployment or served.model,
                    "key": served.caller,
                    "id": served.request_id,
                }
            )

    def picture(self) -> bytes:
        """All of it, as JSON."""
        now = self._clock()
        while self._recent and self._recent[0].at < now - RECENT_S:
            self._recent.popleft()
        shown: JsonObject = {
            "now": now,
            "started": self._started,
            "version": __version__,
            "outcomes": dict(self._outcomes),
            "recent": self._lately(now),
            "running": self._in_flight(),
            "errors": list(reversed(self._errors)),
            "used": self._spent(),
        }
        return json_bytes(shown if self._inside is None else {**shown, **_facts(self._inside)})

    def _add(self, billed: Billed, caller: str) -> None:
        used = self._used.setdefault((self._backend(billed.model), self._key(caller)), _Used())
        used.calls += 1
        used.input += billed.usage.input_total
        used.cached += billed.usage.cache_read
        used.output += billed.usage.output_total
        if billed.cost is None:
            used.unpriced += 1
        else:
            currency = billed.cost.currency
            used.cost[currency] = used.cost.get(currency, Decimal(0)) + billed.cost.amount

    def _in_flight(self) -> JsonObject:
        """The oldest of them."""
        oldest: list[JsonValue] = [
            {
                "id": ask.request_id,
                "model": ask.prompt.model[:MAX_CHARS],
                "key": ask.caller.name,
                "wire": ask.wire,
                "stream": ask.stream,
                "since": since,
            }
            for since, ask in list(self._running.values())[:MAX_SHOWN]
        ]
        return {"count": len(self._running), "oldest": oldest}

    def _lately(self, now: float) -> JsonObject:
        bars = [Counter[str]() for _ in range(ceil(RECENT_S / BAR_S))]
        for ended in self._recent:
            bars[min(int((ended.at - now + RECENT_S) / BAR_S), len(bars) - 1)][ended.outcome] += 1
        whole = [ended.duration_s for ended in self._recent if ended.outcome == "completed"]
        first = [ended.first_s for ended in self._recent if ended.outcome == "completed" and ended.first_s is not None]
        return {
            "seconds": RECENT_S,
            "cut": len(self._recent) == MAX_RECENT,
            "bars": [dict(bar) for bar in bars],
            "errors": dict(Counter(ended.error for ended in self._recent if ended.error)),
            "duration_s": _percentiles(whole),
            "first_s": _percentiles(first),
        }

    def _spent(self) -> list[JsonValue]:
        return [
            {
                "backend": backend,
                "key": key,
                "calls": used.calls,
                "input": used.input,
                "cached": used.cached,
                "output": used.output,
                "unpriced": used.unpriced,
                "cost": {currency: float(amount) for currency, amount in used.cost.items()},
            }
            for (backend, key), used in sorted(self._used.items())
        ]


def _facts(inside: Inside) -> JsonObject:
    deployments: list[JsonValue] = [
        {
            "model": model,
            "name": one.name,
            "health": one.health,
            "in_flight": one.in_flight,
            "first_s": one.latency_s,
            "wait_s": one.wait_s,
        }
        for model, several in inside.health().items()
        for one in several
    ]
    return {
        "deployments": deployments[:MAX_SHOWN],
        "numbers": {place: dict(numbers) for place, numbers in inside.numbers().items()},
    }


def _percentiles(values: list[float]) -> JsonObject | None:
    """Of those that are at most as much: half, and 95 in 100."""
    if not values:
        return None
    ordered = sorted(values)
    return {f"p{of}": ordered[ceil(len(ordered) * of / 100) - 1] for of in (50, 95)}


class StatusSettings(WatcherTable):
    """`[status]`: a page for a person at `/status`."""

    def watcher(self, given: Given) -> Watcher:
        return Status()
