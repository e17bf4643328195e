"""What relaying costs: CPU per event of a gateway, through pairs of wires.

    python benchmarks/gateway_relay.py memory   [--events 20000] [--read 1]
    python benchmarks/gateway_relay.py loopback [--streams 100] [--events 200] [--pace 50] [--burst 1] [--json FILE]

`memory`: the relay alone as an ASGI application, its events from a list, `--read` of them ready at a time; what it
sends is thrown away. `loopback`: `agent-core serve` in a process of its own between a server and a client that do next
to nothing (sockets, answers rendered before), `--streams` at once; each stream is written `--burst` events at a time,
`--pace` events a second, or as fast as it is read with `--pace 0`. CPU is the gateway's alone, user and system, from
when all streams have begun. Quote ratios of one run, never its microseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from statistics import median

from agent_core.codecs import CODECS, WIRES
from agent_core.events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ResponseEvent,
    Usage,
)
from agent_core.gateway.asking import Answer, Ask
from agent_core.gateway.relay import Relay
from agent_core.items import Message, OutputText, WireName
from agent_core.prompt import Prompt

WORDS = (" the", " of", "\n", " reader", ' "quoted"', " naïve", " →", " token", "s", " and")
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
_SERVE = "import sys; from agent_core.cli import main; sys.exit(main())"
TICKS = os.sysconf("SC_CLK_TCK")


def answer(count: int) -> list[ResponseEvent]:
    words = [WORDS[n % len(WORDS)] for n in range(count)]
    message = Message(role="assistant")
    return [
        Created("resp_1", "m"),
        OutputItemAdded(0, message),
        *(OutputTextDelta(0, word) for word in words),
        OutputItemDone(0, message.model_copy(update={"content": (OutputText(text="".join(words)),)})),
        Completed("resp_1", "m", "stop", usage=Usage(input=10, output=count)),
    ]


class Played:
    """Events from a list, so many of them ready at a time; waits for nothing."""

    def __init__(self, events: list[ResponseEvent], read: int) -> None:
        self._events = iter(events)
        self._read = read

    def __aiter__(self) -> AsyncIterator[ResponseEvent]:
        return self

    async def __anext__(self) -> ResponseEvent:
        await asyncio.sleep(0)
        for event in self._events:
            return event
        raise StopAsyncIteration

    def ready(self) -> list[ResponseEvent]:
        return [event for _, event in zip(range(self._read - 1), self._events, strict=False)]


class Playing:
    def __init__(self, events: list[ResponseEvent], read: int) -> None:
        self._events = events
        self._read = read

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        yield Answer(Played(self._events, self._read), "lab/m")


async def relayed(wire: WireName, events: list[ResponseEvent], read: int) -> float:
    """CPU seconds."""

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    async def send(message: object) -> None:
        return None

    relay = Relay(Ask(Prompt("hi", model="m"), wire, stream=True), Playing(events, read))
    began = time.process_time()
    await relay({"type": "http", "path": PATHS[wire]}, receive, send)  # type: ignore[arg-type]
    return time.process_time() - began


def memory(args: argparse.Namespace) -> list[dict[str, object]]:
    events = answer(args.events)
    rows: list[dict[str, object]] = []
    for wire in WIRES:
        took = min(asyncio.run(relayed(wire, events, args.read)) for _ in range(args.repeat))
        rows.append({"wire": wire, "us_per_event": round(took / len(events) * 1e6, 2)})
    return rows


def rendered(wire: WireName, count: int) -> list[bytes]:
    """The frames of an answer, as a server of this wire sends them."""
    encoder = CODECS[wire].stream_encoder(Prompt("hi", model="m"), include_usage=True)
    return [piece for event in answer(count) if (piece := encoder.feed(event))] + [encoder.close()]


async def serve_upstream(wire: WireName, count: int, pace: float, burst: int) -> None:
    frames = rendered(wire, count)
    writes = [b"".join(frames[n : n + burst]) for n in range(0, len(frames), burst)]
    chunks = [b"%x\r\n%b\r\n" % (len(data), data) for data in writes if data]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in request.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.split(b":")[1]))
                writer.write(head)
                began = time.monotonic()
                for n, chunk in enumerate(chunks):
                    if pace:
                        await asyncio.sleep(max(0.0, began + n * burst / pace - time.monotonic()))
                    writer.write(chunk)
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def ask_all(port: int, wire: WireName, streams: int, begun: asyncio.Event) -> list[int]:
    """Sizes of all answers; `begun` once the head of each is there."""
    ask: dict[str, object] = {"model": "m", "stream": True, "max_tokens": 100}
    ask |= {"input": "hi"} if wire == "responses" else {"messages": [{"role": "user", "content": "hi"}]}
    body = json.dumps(ask).encode()
    request = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (PATHS[wire].encode(), len(body), body)
    waiting = streams

    async def one() -> int:
        nonlocal waiting
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        status = await reader.readline()
        if b"200" not in status:
            raise RuntimeError(status)
        waiting -= 1
        if not waiting:
            begun.set()
        size, last = 0, b""
        while data := await reader.read(65536):
            size += len(data)
            last = (last + data)[-5:]
            if last == b"0\r\n\r\n":
                break
        writer.close()
        return size

    return await asyncio.gather(*(one() for _ in range(streams)))


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def through(port: int, pid: int, wire: WireName, args: argparse.Namespace) -> dict[str, object]:
    await ask_all(port, wire, 2, asyncio.Event())  # everything is imported
    begun = asyncio.Event()
    asking = asyncio.create_task(ask_all(port, wire, args.streams, begun))
    await begun.wait()
    before, at = cpu_s(pid), time.monotonic()
    sizes = await asking
    took, wall = cpu_s(pid) - before, time.monotonic() - at
    events = args.streams * args.events
    assert min(sizes) > args.events
    return {
        "us_per_event": round(took / events * 1e6, 1),
        "events_per_s": round(events / wall),
        "wall_s": round(wall, 1),
    }


def loopback(args: argparse.Namespace) -> list[dict[str, object]]:
    pairs = list(product(WIRES, WIRES)) if args.pairs == "all" else [tuple(p.split(">")) for p in args.pairs.split(",")]
    rows: list[dict[str, object]] = []
    for client, backend in pairs:
        play = [sys.executable, __file__, "upstream", backend, str(args.events), str(args.pace), str(args.burst)]
        with subprocess.Popen(play, stdout=subprocess.PIPE, text=True) as upstream:
            assert upstream.stdout is not None
            base = f"http://127.0.0.1:{int(upstream.stdout.readline())}/v1"
            serve = [sys.executable, "-c", _SERVE, "serve", "-m", "lab/m", "--base-url", base]
            serve += ["--wire", backend, "--port", "0", *(args.serve.split())]
            with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as gateway:
                assert gateway.stdout is not None
                port = int(gateway.stdout.readline().rpartition(":")[2])
                found = [asyncio.run(through(port, gateway.pid, client, args)) for _ in range(args.repeat)]
                found.sort(key=lambda row: float(str(row["us_per_event"])))
                rows.append({"pair": f"{client}>{backend}", **found[len(found) // 2]})
                print(rows[-1], flush=True)
                gateway.terminate()
            upstream.terminate()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["memory", "loopback"])
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--read", type=int, default=1)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--pace", type=float, default=50)
    parser.add_argument("--burst", type=int, default=1)
    parser.add_argument("--pairs", default="responses>chat,messages>chat,chat>messages")
    parser.add_argument("--serve", default="", help="more options for agent-core serve")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    rows = memory(args) if args.what == "memory" else loopback(args)
    if args.what == "memory":
        for row in rows:
            print(row)
    print("median", median(float(str(row["us_per_event"])) for row in rows), "µs of CPU an event")
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["upstream"]:
        asyncio.run(serve_upstream(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])))  # type: ignore[arg-type]
    else:
        main()
