"""What is measured for docs/performance.md: a row for each kind of work, the cases it compares, and the target it has.

A row's figure is the cost of agent_core's case over that of the cheapest case `beside` it, which did the same work
side by side; targets are upper bounds of it (lower ones where `at_least`). What has nothing beside it is in `unit`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["Group", "PARTS", "ROWS", "SDK", "SHORT_ROWS", "Params", "Ref", "Row", "plan"]

Params = dict[str, str | int]
Measure = Literal["cpu", "memory_kb", "p50_us", "p99_us", "growth"]


@dataclass(frozen=True, slots=True)
class Ref:
    """A case as results hold it. `params` is JSON, so that a Ref is a key."""

    bench: str
    wire: str
    params: str
    name: str


def refs(bench: str, wire: str, params: Params, *names: str) -> tuple[Ref, ...]:
    key = json.dumps(params, sort_keys=True)
    return tuple(Ref(bench, wire, key, name) for name in names)


@dataclass(frozen=True, slots=True)
class Row:
    """`default` and `fast` are agent_core over h11 and over aiohttp, each with its target where it has one."""

    part: str
    work: str
    wire: str
    default: Ref | None
    fast: Ref | None = None
    beside: tuple[Ref, ...] = ()
    floors: tuple[Ref, ...] = ()
    target: float | None = None
    fast_target: float | None = None
    measure: Measure = "cpu"
    unit: str = ""
    at_least: bool = False
    also: tuple[Ref, ...] = ()  # what has to run for the measure beside the cases above

    def refs(self) -> Iterator[Ref]:
        yield from (ref for ref in (self.default, self.fast) if ref is not None)
        yield from (*self.beside, *self.floors, *self.also)


OURS = ("agent_core", "agent_core, fast")
FLOORS = ("httpx2 by hand", "aiohttp by hand", "asyncio by hand")
RAW = {
    "chat": ("openai create(stream)", "openai create(stream) over aiohttp"),
    "responses": ("openai create(stream)", "openai create(stream) over aiohttp"),
    "messages": ("anthropic create(stream)", "anthropic create(stream) over aiohttp"),
}
SDK = {"chat": "openai SDK", "responses": "openai SDK", "messages": "anthropic SDK"}
ACCUMULATING = ("pydantic-ai request_stream", "openai .stream()")
TEXT: Params = {"mode": "text"}
EACH_WIRE = ("chat", "responses", "messages")


def decoding() -> Iterator[Row]:
    params: Params = {**TEXT, "n": 1000, "chunk": "event"}
    for wire in EACH_WIRE:
        (ours,) = refs("a_mem", wire, params, "agent_core")
        beside, floors = refs("a_mem", wire, params, RAW[wire][0]), refs("a_mem", wire, params, "by hand")
        yield Row("decode", "a delta, decoded from memory", wire, ours, None, beside, floors, 0.05)


def parsing() -> Iterator[Row]:
    peers = ("httpx-sse", "httpx2 EventSource", "openai SSEDecoder", "anthropic SSEDecoder")
    for work, chunk in (("64 KB a read", 65536), ("an event a read", "event")):
        params: Params = {**TEXT, "n": 2000, "chunk": chunk}
        (ours,) = refs("b_sse", "chat", params, "agent_core")
        beside, floors = refs("b_sse", "chat", params, *peers), refs("b_sse", "chat", params, "by hand")
        work = f"SSE alone, {work}: bytes a second"
        yield Row("parse", work, "chat", ours, None, beside, floors, 1.5, at_least=True)


def over(
    part: str, work: str, bench: str, wire: str, params: Params, beside: tuple[str, ...], target: float | None,
    fast_target: float | None, measure: Measure = "cpu",
) -> Row:  # fmt: skip
    """agent_core over both transports, and the floors."""
    ours, fast = refs(bench, wire, params, *OURS)
    peers, floors = refs(bench, wire, params, *beside), refs(bench, wire, params, *FLOORS)
    return Row(part, work, wire, ours, fast, peers, floors, target, fast_target, measure)


def streaming() -> Iterator[Row]:
    work = "a delta, a chunk for each, as fast as they are read"
    for wire in EACH_WIRE:
        targets = (0.75, 0.25) if wire == "messages" else (0.20, 0.06)
        yield over("stream", work, "a_bulk", wire, {**TEXT, "n": 1000, "k": 1, "g": 0}, RAW[wire], *targets)
    params: Params = {**TEXT, "n": 400, "k": 1, "g": 1000}
    yield over("paced", "a delta, one packet a millisecond", "a_paced", "chat", params, RAW["chat"], 0.65, 0.35)
    for wire in EACH_WIRE:
        params = {**TEXT, "n": 1, "k": 1, "g": 0}
        yield over("request", "one request, one delta", "a_req", wire, params, RAW[wire], 0.45, 0.20)


def at_once() -> Iterator[Row]:
    params: Params = {**TEXT, "n": 200, "k": 1, "g": 2000, "b": 1000}
    peers = RAW["chat"][:1]
    yield over("many", "1,000 streams at once: a delta", "e_conc", "chat", params, peers, 0.40, 0.12)
    work = "1,000 streams at once: memory for a stream"
    yield over("many", work, "e_conc", "chat", params, peers, 1.0, 0.7, "memory_kb")


def bodies(items: int) -> Iterator[Row]:
    for wire in EACH_WIRE:
        params: Params = {"items": items, "with": "sdk"}
        (first, turn), copy = refs("body", wire, params, "first", "turn"), refs("body", wire, params, "copy")
        work = f"request body of {items:,} items, all new"
        beside, floors = refs("body", wire, params, SDK[wire]), refs("body", wire, params, "to_json")
        yield Row("body", work, wire, first, None, beside, floors, 0.02)
        if wire != "responses":
            first, to_json, litellm = refs("body", wire, {**params, "with": "litellm"}, "first", "to_json", "litellm")
            yield Row("body", work, wire, first, None, (litellm,), (to_json,), 0.25)
        yield Row("body", "the same after one more turn", wire, turn, None, copy, (), 3.0)


def looping() -> Iterator[Row]:
    def loop(turns: int) -> Params:
        return {"mode": "loop", "t": turns}

    hand = "openai, loop by hand"
    work = "tool loop of 100 turns: a turn"
    yield over("loop", work, "d_loop", "chat", loop(100), (hand, "pydantic-ai Agent.run, not streamed"), 0.10, 0.05)
    peers = ("langgraph create_agent", "pydantic-ai Agent.run, not streamed")
    yield over("loop", work, "d_loop", "responses", loop(100), peers, 0.10, 0.05)
    ours, fast = refs("d_loop", "chat", loop(400), *OURS)
    also = (*refs("d_loop", "chat", loop(10), *OURS, hand), *refs("d_loop", "chat", loop(100), hand))
    beside = refs("d_loop", "chat", loop(200), hand)
    floors = refs("d_loop", "chat", loop(400), *FLOORS)
    work = "what a turn costs more for each turn before it"
    also += refs("d_loop", "chat", loop(10), *FLOORS)
    yield Row("loop", work, "chat", ours, fast, beside, floors, 0.02, 0.02, "growth", also=also)


def long_answers() -> Iterator[Row]:
    text: Params = {**TEXT, "n": 10_000, "k": 1, "g": 0}
    work = "an answer of 10,000 deltas: a delta"
    yield over("long", work, "h_long", "chat", text, ACCUMULATING, 0.10, 0.03)
    ours, fast = refs("h_long", "chat", {**text, "n": 100_000}, *OURS)
    work = "a delta of 100,000 against one of 1,000"
    yield Row("long", work + ": over h11", "chat", ours, None, refs("h_long", "chat", {**text, "n": 1000}, OURS[0]))
    yield Row("long", work + ": over aiohttp", "chat", None, fast, refs("h_long", "chat", {**text, "n": 1000}, OURS[1]))
    call: Params = {"mode": "tool", "n": 1, "k": 1, "g": 0, "f": 5000, "a": 200_000}
    work = "200 KB of arguments in 5,000 fragments: a fragment"
    yield over("long", work, "a_tool", "chat", call, ACCUMULATING[:1], 0.10, 0.03)


def first_events() -> Iterator[Row]:
    params: Params = {"mode": "stamped", "n": 6, "k": 1, "g": 2000}
    peers = RAW["chat"][:1]
    work = "time the client adds to the first delta"
    yield over("first", f"{work}, p50", "g_first", "chat", params, peers, 0.5, 0.3, "p50_us")
    yield over("first", f"{work}, p99", "g_first", "chat", params, peers, 0.5, 0.3, "p99_us")


def importing() -> Iterator[Row]:
    unit = "ms CPU above bare python"
    package, request = refs("import", "", {}, "import agent_core", "first request on the wire")
    (fast,) = refs("import", "", {}, "first request on the wire, over aiohttp")
    dependencies = refs("import", "", {}, "floor: the dependencies alone (h11, anyio, pydantic)")
    yield Row("import", "import agent_core", "", package, target=60, unit=unit)
    work = "from nothing to the first byte of a request"
    yield Row("import", work, "", request, fast, floors=dependencies, target=200, unit=unit)


ROWS: tuple[Row, ...] = (
    *decoding(), *streaming(), *at_once(), *parsing(), *bodies(10_000), *looping(), *long_answers(), *first_events(),
    *importing(),
)  # fmt: skip
PARTS = (*dict.fromkeys(row.part for row in ROWS), "held")
SHORT_ROWS: tuple[Row, ...] = tuple(
    row
    for row in (*decoding(), *streaming(), *parsing(), *bodies(1000), *looping(), *importing())
    if row.wire in ("chat", "") and row.part != "paced" and row.measure != "growth"
)
"""What runs in three minutes: one wire, the cheap parts, a shorter history."""


class Group(NamedTuple):
    """What is measured side by side. `params` is JSON."""

    bench: str
    wire: str
    params: str


def plan(rows: Sequence[Row]) -> dict[Group, list[str]]:
    """The groups `harness/run.py` has to run for the rows, with the names of their cases."""
    groups: dict[Group, list[str]] = {}
    for row in rows:
        for ref in row.refs():
            if ref.bench not in ("body", "import"):
                names = groups.setdefault(Group(ref.bench, ref.wire, ref.params), [])
                if ref.name not in names:
                    names.append(ref.name)
    return groups
