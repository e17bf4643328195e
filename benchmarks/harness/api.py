"""What a benchmark case is, and what a case is told about its run.

A case is registered by decorating a factory:

    @case("a_bulk", "openai.create", wires=("chat",), kind="peer")
    def make(ctx): ...            # or async def; untimed; returns `once`
        async def once():         # or a plain function; timed
            ...
            return {"deltas": n, "chars": c}
        return once

`once` is called `inner` times inside a timed region. What it returns is compared with
ctx.expected for the keys it gives, so that no case can win by skipping work.

kind: "peer"     a library the subject is judged against
      "floor"    hand-written on a named stack: what a thin library could cost
      "limit"    below any usable API: kernel, memcpy, or a single C call
      "subject"  agent_core
      "info"     for context only, in no ratio
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import payloads as P


@dataclasses.dataclass
class Case:
    bench: str
    name: str
    wires: tuple[str, ...]
    kind: str
    make: Callable[[Ctx], Any]
    module: str
    meta: dict

    @property
    def id(self) -> str:
        return f"{self.bench}/{self.name}"


CASES: list[Case] = []


def case(bench: str, name: str, wires=P.WIRES, kind: str = "peer", **meta):
    wires = (wires,) if isinstance(wires, str) else tuple(wires)

    def deco(fn):
        for b in bench.split(","):
            CASES.append(Case(b, name, wires, kind, fn, fn.__module__.rsplit(".", 1)[-1], meta))
        return fn

    return deco


@dataclasses.dataclass
class Ctx:
    bench: str
    wire: str
    port: int
    tls_port: int
    cert: str
    params: dict  # scenario parameters: mode, n, k, g, f, a, t, p, b …
    tag: int = 0  # unique per worker; used as the session of tool loops

    # ---- addresses
    def root(self, **over) -> str:
        """Base URL without /v1, e.g. http://127.0.0.1:8000/text-n1000-k1-g0"""
        p = {**self.params, **over}
        seg = p.get("mode", "text")
        for key in "nkgfatpb":
            if p.get(key) is not None:
                seg += f"-{key}{p[key]}"
        if seg.startswith("loop") or p.get("b"):
            seg += f"-s{self.tag}"
        if p.get("tls"):
            return f"https://127.0.0.1:{self.tls_port}/{seg}"
        return f"http://127.0.0.1:{self.port}/{seg}"

    def base(self, **over) -> str:
        return self.root(**over) + "/v1"

    def url(self, **over) -> str:
        return self.root(**over) + P.PATHS[self.wire]

    # ---- contents
    @property
    def expected(self) -> dict:
        p = self.params
        if p.get("mode", "text") in ("text", "tool"):
            _, ex = P.scenario(self.wire, p.get("mode", "text"), p.get("n", 100), p.get("f", 200), p.get("a", 4000))
            return {k: v * p.get("b", 0) if p.get("b") else v for k, v in ex.items()}
        return {}

    def events(self) -> list[bytes]:
        p = self.params
        return P.scenario(self.wire, p.get("mode", "text"), p.get("n", 100), p.get("f", 200), p.get("a", 4000))[0]

    def chunks(self) -> list[bytes]:
        """The body as the client would receive it from memory: params['chunk'] = 'event' | bytes."""
        ev = self.events()
        how = self.params.get("chunk", "event")
        if how == "event":
            return ev
        blob = b"".join(ev)
        return [blob[i : i + how] for i in range(0, len(blob), how)]

    def body(self, stream: bool = True, tools: bool | None = None) -> dict:
        """A small ready-made request body of this wire."""
        tools = self.params.get("mode") in ("tool", "loop") if tools is None else tools
        if self.wire == "chat":
            b: dict = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "stream": stream}
            if stream:
                b["stream_options"] = {"include_usage": True}
        elif self.wire == "responses":
            b = {"model": "gpt-4o", "input": [{"role": "user", "content": "hello"}], "stream": stream, "store": False}
        else:
            b = {
                "model": P.ANT_MODEL,
                "max_tokens": 4096,
                "messages": [{"role": "user", "content": "hello"}],
                "stream": stream,
            }
        if tools:
            b["tools"] = P.tool_specs(self.wire)
        return b


def headers(wire: str) -> dict[str, str]:
    if wire == "messages":
        return {"x-api-key": "sk-bench", "anthropic-version": "2023-06-01", "content-type": "application/json"}
    return {"authorization": "Bearer sk-bench", "content-type": "application/json"}
