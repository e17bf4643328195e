"""What it costs to put a history into the body of a request: the first time, and after one more turn.

    python benchmarks/request_body.py [--items 10,100,1000,10000] [--repeat 7] [--json FILE]

Per wire and length: the body written with nothing kept (`first`), the same by an encoder that wrote the request before
(`turn`: three more items), and beside them the floors: a copy of the body, and its JSON written from finished dicts by
`pydantic_core.to_json`; and what the official SDKs need until their transport has the body, where they are installed.
CPU time, medians of interleaved repetitions. Quote ratios of one run, never its milliseconds.

`repeated` is how much of the conversation's bytes the next request begins with again: what a prompt cache can use.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping
from itertools import pairwise

from pydantic_core import from_json, to_json

from agent_core.codecs import WIRES, codec_for
from agent_core.codecs.base import Compat
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
Job = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--items", default="10,100,1000,10000")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    lengths = [int(length) for length in args.items.split(",")]
    rows = [row for wire in WIRES for row in measured(wire, lengths, args.repeat)]
    show(rows)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(
                {"python": platform.python_version(), "machine": platform.machine(), "rows": rows}, file, indent=1
            )


def measured(wire: WireName, lengths: list[int], repeat: int) -> list[dict[str, float | str]]:
    rows: list[dict[str, float | str]] = []
    for length in lengths:
        bench = Bench(wire, length, repeat)
        medians = interleaved(bench.jobs(), repeat)
        row: dict[str, float | str] = {"wire": wire, "items": length, "bytes": bench.size, "repeated": bench.repeated()}
        rows.append(row | {name: seconds * 1000 for name, seconds in medians.items()})
    return rows


class Bench:
    """The jobs of one wire and length. Each `turn` is the next one of one conversation."""

    def __init__(self, wire: WireName, length: int, repeat: int) -> None:
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

    def prompt_of(self, items: tuple[ResponseItem, ...]) -> Prompt:
        return Prompt(items, model="m", instructions="You are a coding agent.", tools=[TOOL], max_output_tokens=4096)

    def jobs(self) -> dict[str, Job]:
        jobs: dict[str, Job] = {
            "first": lambda: self.codec.encode_request(self.prompt, Compat()),
            "turn": lambda: self.kept.encode(self.turns.pop(0)),
            "copy": lambda: b"".join((b"{", memoryview(self.body))),
            "to_json": lambda: to_json(self.values),
        }
        peer = sdk(self.wire, self.values)
        return jobs if peer is None else jobs | {"sdk": peer}

    def repeated(self) -> float:
        """The share of the conversation's bytes that one more turn begins with again."""
        longer = self.codec.encode_request(self.prompt_of(self.items + step(10**6)), Compat()).body
        before, after = conversation(self.body, self.wire), conversation(longer, self.wire)
        same = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before))
        return same / len(before)


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


def sdk(wire: WireName, body: JsonObject) -> Job | None:
    """The official SDK, given the body's members: what it does until its transport has the bytes."""
    try:
        import httpx2

        if wire == "messages":
            import anthropic as vendor
        else:
            import openai as vendor
    except ImportError:
        return None

    class Sent(BaseException):
        pass

    def taken(request: httpx2.Request) -> httpx2.Response:
        assert len(request.content) > 100
        raise Sent

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(taken))
    make = getattr(vendor, "AsyncAnthropic", None) or vendor.AsyncOpenAI
    client = make(base_url="http://127.0.0.1:1", api_key="k", max_retries=0, http_client=http)
    create = {"chat": "chat.completions", "responses": "responses", "messages": "messages"}[wire]
    target = client
    for name in create.split("."):
        target = getattr(target, name)
    loop = asyncio.new_event_loop()

    def send() -> None:
        try:
            loop.run_until_complete(target.create(**body))
        except Sent:
            return
        raise AssertionError("nothing was sent")

    return send


def interleaved(jobs: dict[str, Job], repeat: int) -> dict[str, float]:
    """Median CPU seconds of each job, run in turn. Short ones are slow to measure: the clock counts nanoseconds."""
    samples: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(repeat + 1):
        for name, job in jobs.items():
            gc.collect()
            start = time.process_time()
            job()
            if turn:
                samples[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in samples.items()}


def show(rows: list[dict[str, float | str]]) -> None:
    print(
        f"{'wire':10}{'items':>7}{'KB':>8}{'first':>10}{'turn':>9}{'copy':>9}{'to_json':>9}{'SDK':>10}   ms"
        f"{'first/SDK':>12}{'turn/copy':>11}{'turn/SDK':>10}{'repeated':>10}"
    )
    for row in rows:
        first, turn, copy = (float(row[name]) for name in ("first", "turn", "copy"))
        peer = float(row.get("sdk", "nan"))
        print(
            f"{row['wire']:10}{row['items']:>7}{float(row['bytes']) / 1024:>8.0f}{first:>10.3f}{turn:>9.3f}{copy:>9.3f}"
            f"{float(row['to_json']):>9.3f}{peer:>10.2f}     {first / peer:>12.3f}{turn / copy:>11.2f}"
            f"{turn / peer:>10.5f}{float(row['repeated']):>10.4f}"
        )
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
