"""What a case is, what it is told about its run, and the work that is the same for every client.

A case is registered by decorating a factory:

    @case("a_bulk", "openai create(stream)", wires=("chat",))
    def make(ctx): ...            # or async def; not timed; returns `once`
        async def once():         # or a plain function; timed
            ...
            return {"deltas": n, "chars": c}
        return once

What `once` returns is compared with `ctx.expected` for the keys it has, so that no case wins by leaving out work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import payloads as P

Kind = Literal["subject", "peer", "floor"]
Counts = dict[str, Any]
STREAM = "a_bulk,a_coal,a_paced,a_tls,a_tool,a_req,h_long"
"""The benches that stream one answer over a connection: the client does the same in each."""


@dataclass(frozen=True, slots=True)
class Case:
    """kind: "peer" is a library, "floor" is written by hand for nothing but these streams, "subject" is agent_core."""

    bench: str
    name: str
    wires: tuple[str, ...]
    kind: Kind
    make: Callable[[Ctx], Any]
    module: str


CASES: list[Case] = []


def case(
    benches: str, name: str, wires: tuple[str, ...] = P.WIRES, kind: Kind = "peer"
) -> Callable[[Callable[[Ctx], Any]], Callable[[Ctx], Any]]:
    def register(make: Callable[[Ctx], Any]) -> Callable[[Ctx], Any]:
        module = make.__module__.rsplit(".", 1)[-1]
        CASES.extend(Case(bench, name, wires, kind, make, module) for bench in benches.split(","))
        return make

    return register


@dataclass(frozen=True, slots=True)
class Ctx:
    bench: str
    wire: str
    port: int
    tls_port: int
    cert: str
    params: dict[str, Any]
    tag: int = 0  # one for each worker; the session of tool loops and barriers

    def root(self) -> str:
        """The base URL without /v1, e.g. http://127.0.0.1:8000/text-n1000-k1-g0"""
        segment = self.params.get("mode", "text")
        for letter in "nkgfatb":
            if self.params.get(letter) is not None:
                segment += f"-{letter}{self.params[letter]}"
        if segment.startswith("loop") or self.params.get("b"):
            segment += f"-s{self.tag}"
        if self.params.get("tls"):
            return f"https://127.0.0.1:{self.tls_port}/{segment}"
        return f"http://127.0.0.1:{self.port}/{segment}"

    def base(self) -> str:
        return self.root() + "/v1"

    def url(self) -> str:
        return self.root() + P.PATHS[self.wire]

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tool specs of the wire, where the scenario has calls."""
        return P.tool_specs(self.wire) if self.params.get("mode") == "tool" else []

    @property
    def expected(self) -> Counts:
        if self.params.get("mode", "text") == "loop":
            return {"turns": self.params["t"]}
        if self.params.get("mode", "text") not in ("text", "tool"):
            return {}
        streams = self.params.get("b") or 1
        return {key: count * streams for key, count in self._scenario()[1].items()}

    def events(self) -> list[bytes]:
        return self._scenario()[0]

    def _scenario(self) -> tuple[list[bytes], Counts]:
        p = self.params
        return P.scenario(self.wire, p.get("mode", "text"), p.get("n", 100), p.get("f", 200), p.get("a", 4000))

    def chunks(self) -> list[bytes]:
        """The body as a client would get it from memory: an event each, or `chunk` bytes each."""
        events, size = self.events(), self.params.get("chunk", "event")
        if size == "event":
            return events
        body = b"".join(events)
        return [body[start : start + size] for start in range(0, len(body), size)]

    def body(self) -> dict[str, Any]:
        """A small request of this wire, as a dict."""
        hello = [{"role": "user", "content": "hello"}]
        if self.wire == "chat":
            options = {"include_usage": True}
            body: dict[str, Any] = {"model": "gpt-4o", "messages": hello, "stream": True, "stream_options": options}
        elif self.wire == "responses":
            body = {"model": "gpt-4o", "input": hello, "stream": True, "store": False}
        else:
            body = {"model": P.ANT_MODEL, "max_tokens": 4096, "messages": hello, "stream": True}
        return {**body, "tools": self.tools} if self.tools else body


def headers(wire: str) -> dict[str, str]:
    if wire == "messages":
        return {"x-api-key": "sk-bench", "anthropic-version": "2023-06-01", "content-type": "application/json"}
    return {"authorization": "Bearer sk-bench", "content-type": "application/json"}


def counted(text: list[str], arguments: list[str]) -> Counts:
    """The result of a stream from what was shown of it."""
    return {
        "deltas": len(text),
        "chars": len("".join(text)),
        "arg_frags": len(arguments),
        "arg_chars": len("".join(arguments)),
    }


def noop_tool(path: str, start: int, end: int) -> str:
    return P.TOOL_OUTPUT


def many(ctx: Ctx, one: Callable[[], Awaitable[Counts]]) -> Callable[[], Awaitable[Counts]]:
    """`b` streams at the same time."""

    async def once() -> Counts:
        total: Counts = {}
        for result in await asyncio.gather(*[one() for _ in range(ctx.params["b"])]):
            for key, count in result.items():
                total[key] = total.get(key, 0) + count
        return total

    return once


Show = Callable[[Callable[[str], None]], Awaitable[None]]
"""Runs one stream and calls its argument with the text of each delta, the moment the client has it."""


def shown(ctx: Ctx, show: Show) -> Callable[[], Any]:
    """What a delta was late, from the time it carries: for one stream at a time, or for as many as are asked for.

    `held.py` has its own use of `show`; the worker times one stream: `added_us` is how long after the call the request
    came to the server, and how long after the server sent the first delta it was seen."""
    if ctx.bench == "held":
        return lambda: show

    async def once() -> Counts:
        began = time.monotonic_ns()
        seen: list[tuple[int, str]] = []
        await show(lambda text: seen.append((time.monotonic_ns(), text)))
        at, text = next((at, text) for at, text in seen if text.startswith("T0"))
        sent, arrived = P.stamps(text)
        return {"added_us": (arrived - began + at - sent) / 1000}

    return once
