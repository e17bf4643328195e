"""What it costs to put a history into the body of a request: the first time, and after one more turn.

    python benchmarks/request_body.py [--items 10,100,1000,10000] [--wires chat] [--peers sdk] [--repeat 7] [--json F]

Per wire and length: the body written with nothing kept (`first`), the same by an encoder that wrote the request before
(`item`: one more item; `turn`: three), a whole user turn of an agent that opens a client each time (`agent`: sampling,
session and answer included, up to the transport), and beside them the floors: a copy of the body, and its JSON written
from finished dicts by `pydantic_core.to_json`; and what other libraries need until their transport has the body, where
they are installed (`peers`). CPU time, medians of interleaved repetitions. Quote ratios of one run, never its
milliseconds.

`repeated` is how much of the conversation's bytes the next request begins with again: what a prompt cache can use.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import TypedDict

import httpx2
from peers import Job, peers
from pydantic_core import from_json, to_json

from agent_core import Agent, Session
from agent_core.codecs import WIRES, codec_for
from agent_core.codecs.base import Compat, WireCodec
from agent_core.events import Response
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    JsonObject,
    ResponseItem,
    WireName,
    assistant_message,
    checked_items,
    user_message,
)
from agent_core.prompt import Prompt, ToolSpec

GROWING: Mapping[WireName, str] = {"chat": "messages", "responses": "input", "messages": "messages"}
TOOL = ToolSpec("read_file", "Read a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
WORDS = ("list", "string", "file", "test", "error", "import", "class", "self", "None", "True", "über", "→", "✓", "else")
NOWHERE = "http://server.test/v1"
_OWN = frozenset({"wire", "items", "bytes", "repeated", "first", "item", "turn", "agent", "copy", "to_json"})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--items", default="10,100,1000,10000")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--wires", default=",".join(WIRES))
    parser.add_argument("--peers", help="by comma; without it, all that are installed")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    lengths = [int(length) for length in args.items.split(",")]
    chosen = None if args.peers is None else frozenset(args.peers.split(","))
    samples: list[Samples] = []
    wires: list[WireName] = [wire for wire in GROWING if wire in args.wires.split(",")]
    rows = [row for wire in wires for row in measured(wire, lengths, args.repeat, chosen, samples)]
    show(rows)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(samples, file)


def measured(
    wire: WireName, lengths: list[int], repeat: int, chosen: frozenset[str] | None, samples: list[Samples]
) -> list[dict[str, float | str]]:
    rows: list[dict[str, float | str]] = []
    for length in lengths:
        bench = Bench(wire, length, repeat, chosen)
        times = interleaved(bench.jobs(), repeat)
        samples += [
            Samples(wire=wire, items=length, name=name, ms=[s * 1000 for s in own]) for name, own in times.items()
        ]
        medians = {name: statistics.median(own) for name, own in times.items()}
        row: dict[str, float | str] = {"wire": wire, "items": length, "bytes": bench.size, "repeated": bench.repeated()}
        rows.append(row | {name: seconds * 1000 for name, seconds in medians.items()})
    return rows


class Samples(TypedDict):
    """CPU of one job, a value for each repetition."""

    wire: str
    items: int
    name: str
    ms: list[float]


class Bench:
    """The jobs of one wire and length. Each `turn` is the next one of one conversation."""

    def __init__(self, wire: WireName, length: int, repeat: int, chosen: frozenset[str] | None) -> None:
        self.chosen = chosen
        self.codec = codec_for(wire)
        self.wire: WireName = wire
        self.items = history(length)
        self.prompt = self.prompt_of(self.items)
        self.body = self.codec.encode_request(self.prompt, Compat()).body
        self.size = len(self.body)
        self.values: JsonObject = from_json(self.body)
        self.kept = self.codec.request_encoder(Compat())
        self.kept.encode(self.prompt)
        self.turns: list[Prompt] = []
        items = self.items
        for n in range(repeat + 1):
            items = checked_items(items + step(10**6 + n))
            self.turns.append(self.prompt_of(items))
        self.growing = self.codec.request_encoder(Compat())
        self.growing.encode(self.prompt)
        self.longer: list[Prompt] = []
        items = self.items
        for n in range(repeat + 1):
            items = checked_items((*items, user_message(text(n, 300))))
            self.longer.append(self.prompt_of(items))

    def prompt_of(self, items: tuple[ResponseItem, ...]) -> Prompt:
        return Prompt(items, model="m", instructions="You are a coding agent.", tools=[TOOL], max_output_tokens=4096)

    def jobs(self) -> dict[str, Job]:
        jobs: dict[str, Job] = {
            "first": lambda: self.codec.encode_request(self.prompt, Compat()),
            "item": lambda: self.growing.encode(self.longer.pop(0)),
            "turn": lambda: self.kept.encode(self.turns.pop(0)),
            "agent": agent_turn(self.codec, self.items),
            "copy": lambda: b"".join((b"{", memoryview(self.body))),
            "to_json": lambda: to_json(self.values),
        }
        return jobs | peers(self.wire, self.items, self.values, self.chosen)

    def repeated(self) -> float:
        """The share of the conversation's bytes that one more turn begins with again."""
        longer = self.codec.encode_request(self.prompt_of(self.items + step(10**6)), Compat()).body
        before, after = conversation(self.body, self.wire), conversation(longer, self.wire)
        same = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before))
        return same / len(before)


def agent_turn(codec: WireCodec, items: tuple[ResponseItem, ...]) -> Job:
    """The next user turn of an agent with this history, each time over a client and a connection of its own."""
    answer = codec.encode_response(Response("r", "m", (assistant_message("Yes."),), "stop"), Prompt("x"))

    def taken(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=answer, headers={"content-type": "application/json"})

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(taken))
    agent = Agent("lab/m", base_url=NOWHERE, wire=codec.wire, http=http, session=Session(items=items))
    agent.run_sync("continue")
    return lambda: agent.run_sync("continue")


def conversation(body: bytes, wire: WireName) -> bytes:
    """The bytes of the growing member, without what closes the body."""
    return body[body.index(b'"%s":[' % GROWING[wire].encode()) :].removesuffix(b"]}")


def history(length: int) -> tuple[ResponseItem, ...]:
    """A coding session: ten steps a turn, outputs of 1 to 4 KB, one item in five with letters beyond ASCII."""
    items: list[ResponseItem] = []
    for n in range(length):
        if len(items) >= length:
            break
        if n % 10 == 0:
            items.append(user_message(text(n, 300)))
        items += step(n)
    return checked_items([*items[: length - 1], user_message("continue")])


def step(n: int) -> tuple[ResponseItem, ...]:
    call_id = f"call_{n:07d}wDfyLq0XnAHjYq2Yk"
    arguments = json.dumps({"path": f"src/module_{n}.py", "content": text(n, 80), "mode": "r"})
    return (
        assistant_message(text(n + 1, 180)),
        FunctionCall(call_id=call_id, name=TOOL.name, arguments=arguments),
        FunctionCallOutput(call_id=call_id, output=text(n + 2, 1000 + n * 613 % 3000)),
    )


def text(seed: int, size: int) -> str:
    start = random.Random(seed).randrange(len(_TEXTS[0]) - size)
    return _TEXTS[seed % 5 == 4][start : start + size]


def _words(words: tuple[str, ...]) -> str:
    rnd = random.Random(7)
    return " ".join(rnd.choice(words) + ("\n" if n % 12 == 11 else "") for n in range(4000))


_TEXTS = (_words(tuple(word for word in WORDS if word.isascii())), _words(WORDS))


def interleaved(jobs: dict[str, Job], repeat: int) -> dict[str, list[float]]:
    """CPU seconds of each job, run in turn. Short ones are slow to measure: the clock counts nanoseconds."""
    samples: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(repeat + 1):
        for name, job in jobs.items():
            gc.collect()
            start = time.process_time()
            job()
            if turn:
                samples[name].append(time.process_time() - start)
    return samples


def show(rows: list[dict[str, float | str]]) -> None:
    names = sorted({name for row in rows for name in row} - _OWN)
    print(
        f"{'wire':10}{'items':>7}{'KB':>8}{'first':>10}{'item':>9}{'turn':>9}{'agent':>9}{'copy':>9}{'to_json':>9}"
        + "".join(f"{name:>15}" for name in names)
        + f"   ms{'turn/copy':>11}{'repeated':>10}"
    )
    for row in rows:
        cells = [float(row.get(name, "nan")) for name in ("first", "item", "turn", "agent", "copy", "to_json")]
        others = "".join(f"{float(row[name]):>15.2f}" if name in row else f"{'-':>15}" for name in names)
        print(
            f"{row['wire']:10}{row['items']:>7}{float(row['bytes']) / 1024:>8.0f}{cells[0]:>10.3f}"
            + "".join(f"{cell:>9.3f}" for cell in cells[1:])
            + others
            + f"     {float(row['turn']) / float(row['copy']):>11.2f}{float(row['repeated']):>10.4f}"
        )
    for name in names:
        times = [
            f"{row['wire']} {row['items']}: first ×{float(row[name]) / float(row['first']):.1f}, "
            f"turn ×{float(row[name]) / float(row['turn']):.0f}"
            for row in rows
            if name in row
        ]
        print(f"{name}, times ours: " + "; ".join(times))
    for wire in WIRES:
        own = [row for row in rows if row["wire"] == wire]
        growth = [
            f"{a['items']} → {b['items']}: bytes ×{float(b['bytes']) / float(a['bytes']):.1f}, first "
            f"×{float(b['first']) / float(a['first']):.1f}, turn ×{float(b['turn']) / float(a['turn']):.1f}"
            for a, b in pairwise(own)
        ]
        print(f"{wire}: " + "; ".join(growth))


if __name__ == "__main__":
    main()
