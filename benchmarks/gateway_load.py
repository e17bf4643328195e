"""Many paced streams through a gateway at once: what arrives, how much later, and what the gateway needs for it.

    python benchmarks/gateway_load.py --streams 200 --rate 50 --seconds 20
    python benchmarks/gateway_load.py --streams 1000 --rate 50 --seconds 60 --ramp 15 --leave 0.1 --fail 0.1
    python benchmarks/gateway_load.py --requests --seconds 10
    LITELLM_PYTHON=/path/to/venv/bin/python python benchmarks/gateway_load.py --litellm …

Three processes: a backend that sends an event of each stream every 1/rate seconds, the gateway (ours, or the LiteLLM
proxy), and a client that reads raw sockets. Every event carries the time it was sent, so its latency is measured
through whatever translation; the same run without a gateway in between comes first, and is what "added" is counted
from. CPU is the gateway's own (user and system, of all its processes), from /proc. The gateway has the last core for
itself, the other two processes have the rest. Who is late catches up: the pace is kept over the whole run.

`--ramp`: the seconds in which the streams are opened; opening one costs some milliseconds, so a thousand take a while.
`--leave`: that share of clients hangs up half-way. `--fail`: that share of the backend's streams breaks off half-way;
whoever reads one must be told. `--requests`: short answers as fast as they come instead of paced streams.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from agent_core.codecs import CODECS, WIRES
from agent_core.events import Completed, Created, OutputItemAdded, OutputItemDone, OutputTextDelta, ResponseEvent, Usage
from agent_core.items import Message, WireName, assistant_message
from agent_core.prompt import Prompt

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
STAMPS = {
    "chat": re.compile(rb"@(\d{19});"),
    "responses": re.compile(rb"output_text\.delta[^\n]*?@(\d{19});"),  # its last events say the text again
    "messages": re.compile(rb"@(\d{19});"),
}
ENDS = {
    "chat": re.compile(rb"^data: ?\[DONE\]", re.M),
    "responses": re.compile(rb'"type": ?"response\.completed"'),
    "messages": re.compile(rb'"type": ?"message_stop"'),
}
FAILED = re.compile(rb'"type": ?"(?:error|response\.failed)"|^data: ?\{"error"', re.M)
BEHIND = b"@0000000000000000000;"  # a place for nanoseconds
SHORT = 5  # events of an answer of --requests
READY_S = 300.0
KEPT_S = 45.0
CORES = sorted(os.sched_getaffinity(0))
SLICES = 20  # of a tick: events of different streams do not come all at once


# the backend


def script(wire: WireName) -> tuple[bytes, bytes, bytes]:
    """A stream's beginning, one of its events, and its end, as this wire's own encoder writes them."""
    encoder = CODECS[wire].stream_encoder(Prompt("hi", model="m"), include_usage=True)
    said = assistant_message(BEHIND.decode())
    opening: list[ResponseEvent] = [Created("r1", "m"), OutputItemAdded(0, Message(role="assistant"))]
    ending: list[ResponseEvent] = [
        OutputItemDone(0, said),
        Completed("r1", "m", finish_reason="stop", usage=Usage(input=10, output=10)),
    ]
    head = b"".join(map(encoder.feed, opening))
    event = encoder.feed(OutputTextDelta(0, BEHIND.decode()))
    if event.count(BEHIND) != 1:  # Chat's first delta carries the role
        raise AssertionError(event)
    again = encoder.feed(OutputTextDelta(0, BEHIND.decode()))
    return head + event.replace(BEHIND, b""), again, b"".join(map(encoder.feed, ending)) + encoder.close()


class Backend(asyncio.Protocol):
    """One connection: reads a request, whose path says the wire; is then written to by the pacer."""

    slices: ClassVar[list[set[Backend]]] = [set() for _ in range(SLICES)]
    begun = 0

    def __init__(self, *, short: bool, fail_share: float) -> None:
        self.head = self.event = self.end = b""
        self.short = short
        self.fail_share = fail_share
        self.buffer = b""
        self.left = 0
        self.breaks_at = -1
        self.live: set[Backend] = set()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.live.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"content-length: (\d+)", head, re.I)
        if len(body) < int(length[1] if length else 0):
            return
        self.buffer = b""
        assert self.transport is not None
        if head.startswith(b"GET"):
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            return
        path = head.split(b" ", 2)[1].decode().removeprefix("/v1").partition("?")[0]
        self.head, self.event, self.end = SCRIPTS[path]
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            + chunk(self.head)
        )
        if self.short:
            self.transport.write(
                b"".join(chunk(stamped(self.event)) for _ in range(SHORT)) + chunk(self.end) + chunk(b"")
            )
            return
        Backend.begun += 1
        self.left = EVENTS
        share = self.fail_share
        if share and int(Backend.begun * share) != int((Backend.begun - 1) * share):
            self.breaks_at = EVENTS // 2
        self.live = Backend.slices[Backend.begun % SLICES]
        self.live.add(self)

    def tick(self, data: bytes) -> None:
        """The next event is `data`."""
        assert self.transport is not None
        if self.left == self.breaks_at:
            self.live.discard(self)
            self.transport.abort()
        elif self.left:
            self.left -= 1
            self.transport.write(data)
        else:
            self.live.discard(self)
            self.transport.write(chunk(self.end) + chunk(b""))


SCRIPTS: dict[str, tuple[bytes, bytes, bytes]] = {}
EVENTS = 0


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def stamped(event: bytes) -> bytes:
    return event.replace(BEHIND, b"@%019d;" % time.monotonic_ns())


async def backend(options: argparse.Namespace) -> None:
    """Serves until it is ended; its port is its first line."""
    global EVENTS
    EVENTS = round(options.rate * options.seconds)
    SCRIPTS.update((PATHS[wire].removeprefix("/v1"), script(wire)) for wire in WIRES)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Backend(short=options.requests, fail_share=options.fail), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    pause = 1 / options.rate / SLICES
    due = loop.time()
    for n in range(1 << 62):
        ready = {event: chunk(stamped(event)) for _, event, _ in SCRIPTS.values()}
        for one in list(Backend.slices[n % SLICES]):
            one.tick(ready[one.event])
        due += pause
        await asyncio.sleep(max(0, due - loop.time()))


# the client


@dataclass
class Counts:
    events: int = 0
    whole: int = 0
    told: int = 0
    untold: int = 0
    refused: int = 0
    left: int = 0
    latencies: list[int] = field(default_factory=list)


class Stream(asyncio.Protocol):
    """One request, and what comes of it."""

    def __init__(self, wire: WireName, counts: Counts, done: asyncio.Future[None], leaves_after: int = -1) -> None:
        self.wire = wire
        self.counts = counts
        self.done = done
        self.leaves_after = leaves_after
        self.tail = b""
        self.ended = self.failed = self.left = False
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(request(self.wire))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        data = self.tail + data
        cut = data.rfind(b"\n") + 1
        self.tail, data = data[cut:], data[:cut]
        found = STAMPS[self.wire].findall(data)
        self.events += len(found)
        self.counts.events += len(found)
        self.counts.latencies += [now - int(stamp) for stamp in found]
        if data.startswith(b"HTTP/1.1 ") and data[9:12] != b"200":
            self.counts.refused += 1
            self.failed = True
            self.transport.close()
        elif ENDS[self.wire].search(data):
            self.ended = True
            self.transport.close()
        elif FAILED.search(data):
            self.failed = True
            self.transport.close()
        elif 0 <= self.leaves_after <= self.events:
            self.left = True
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        counts = self.counts
        if self.left:
            counts.left += 1
        elif self.ended:
            counts.whole += 1
        elif self.failed:
            counts.told += 1
        else:
            counts.untold += 1
        if not self.done.done():
            self.done.set_result(None)


def request(wire: WireName) -> bytes:
    user = {"role": "user", "content": "hi"}
    body: dict[str, object] = {"model": "m", "stream": True}
    body |= {"input": [user]} if wire == "responses" else {"messages": [user]}
    body |= {"max_tokens": 4000} if wire == "messages" else {}
    sent = json.dumps(body).encode()
    head = (
        f"POST {PATHS[wire]} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer sk-lab\r\n"
    )
    return f"{head}x-api-key: sk-lab\r\ncontent-length: {len(sent)}\r\n\r\n".encode() + sent


async def client(options: argparse.Namespace) -> None:
    """Opens every stream, reads all there is, and prints what it counted as JSON."""
    at = urlsplit(options.url)
    counts, started = Counts(), time.monotonic()
    if options.requests:
        await asyncio.gather(
            *(_ask_again(options, at.hostname, at.port, counts, started) for _ in range(options.streams))
        )
    else:
        await asyncio.gather(*(_listen(options, at.hostname, at.port, counts, n) for n in range(options.streams)))
    took = time.monotonic() - started
    late = sorted(counts.latencies) or [0]
    told = {name: getattr(counts, name) for name in ("events", "whole", "told", "untold", "refused", "left")}
    print(
        json.dumps(
            {**told, "took": took, "p50": at_share(late, 0.5), "p99": at_share(late, 0.99), "max": late[-1] / 1e6}
        )
    )


async def _listen(options: argparse.Namespace, host: str | None, port: int | None, counts: Counts, n: int) -> None:
    await asyncio.sleep(options.ramp * n / options.streams)
    leaves = int((n + 1) * options.leave) != int(n * options.leave)
    half = round(options.rate * options.seconds) // 2
    await _one(options, host, port, counts, half if leaves else -1)


async def _ask_again(
    options: argparse.Namespace, host: str | None, port: int | None, counts: Counts, started: float
) -> None:
    while time.monotonic() - started < options.seconds:
        await _one(options, host, port, counts, -1)


async def _one(options: argparse.Namespace, host: str | None, port: int | None, counts: Counts, leaves: int) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    try:
        await loop.create_connection(lambda: Stream(options.client, counts, done, leaves), host, port)
    except OSError:
        counts.refused += 1
        return
    await done


def at_share(values: Sequence[int], share: float) -> float:
    """In milliseconds."""
    return values[min(len(values) - 1, int(len(values) * share))] / 1e6


# the gateways


@contextmanager
def ours(upstream: int, wire: WireName) -> Iterator[tuple[str, int]]:
    run = "from agent_core.cli import main; raise SystemExit(main())"
    base = f"http://127.0.0.1:{upstream}/v1"
    command = [sys.executable, "-c", run, "serve", "-m", "lab/m", "--base-url", base, "--wire", wire, "--port", "0"]
    with child(command) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid


@contextmanager
def litellm(upstream: int, wire: WireName) -> Iterator[tuple[str, int]]:
    python = Path(os.environ.get("LITELLM_PYTHON", ""))
    if not python.is_file():
        raise SystemExit("set LITELLM_PYTHON to the python of a venv with litellm[proxy]")
    model = {"chat": "openai/m", "responses": "openai/responses/m", "messages": "anthropic/m"}[wire]
    base = f"http://127.0.0.1:{upstream}" + ("" if wire == "messages" else "/v1")
    with socket.create_server(("127.0.0.1", 0)) as free, tempfile.TemporaryDirectory() as folder:
        port = free.getsockname()[1]
        free.close()
        config = {
            "model_list": [{"model_name": "m", "litellm_params": {"model": model, "api_base": base, "api_key": "x"}}],
            "litellm_settings": {"num_retries": 0, "telemetry": False, "drop_params": True},
            "general_settings": {"master_key": "sk-lab"},
        }
        path = Path(folder) / "config.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML
        quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "LITELLM_LOG": "ERROR"}
        command = [str(python.with_name("litellm")), "--config", str(path), "--host", "127.0.0.1", "--port", str(port)]
        with child(command, {**os.environ, **quiet}, quiet=True) as process:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}", process.pid


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"the LiteLLM proxy was not ready after {READY_S:g} s")


@contextmanager
def child(
    command: Sequence[str], env: dict[str, str] | None = None, *, quiet: bool = False
) -> Iterator[subprocess.Popen[str]]:
    out = subprocess.DEVNULL if quiet else subprocess.PIPE
    with subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, text=True, env=env) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def keep_apart(gateway: int) -> None:
    """The gateway gets the last core for itself: what asks and what answers it would otherwise slow each other down."""
    for one in family(os.getpid()):
        os.sched_setaffinity(one, CORES[:-1] or CORES)
    for one in family(gateway):
        for thread in Path(f"/proc/{one}/task").iterdir():
            os.sched_setaffinity(int(thread.name), CORES[-1:])


# what a process uses


def family(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        try:
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:
            continue
    return found


def cpu_s(pid: int) -> float:
    ticks = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    total = 0
    for one in family(pid):
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{one}/status").read_text())
        total += int(found[1]) if found else 0
    return total / 1024


def open_files(pid: int) -> int:
    return sum(len(list(Path(f"/proc/{one}/fd").iterdir())) for one in family(pid))


def wait_for_files(pid: int, as_before: int) -> None:
    """Connections to the backend are kept for a while, in case there is another request."""
    deadline = time.monotonic() + KEPT_S
    while open_files(pid) > as_before and time.monotonic() < deadline:
        time.sleep(0.5)


# the runs


def read(options: argparse.Namespace, url: str, wire: WireName, **changed: object) -> dict[str, float]:
    given = {**vars(options), "client": wire, **changed}
    names = ("streams", "rate", "seconds", "leave", "ramp", "client")
    command = [sys.executable, __file__, "--role", "client", "--url", url]
    command += [word for name in names for word in (f"--{name}", str(given[name]))]
    command += ["--requests"] if options.requests else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    counted: dict[str, float] = json.loads(done.stdout)
    return counted


@contextmanager
def upstream(options: argparse.Namespace) -> Iterator[int]:
    names = ("rate", "seconds", "fail")
    command = [sys.executable, __file__, "--role", "backend"]
    command += [word for name in names for word in (f"--{name}", str(getattr(options, name)))]
    command += ["--requests"] if options.requests else []
    with child(command) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


def main(options: argparse.Namespace) -> None:
    kind = litellm if options.litellm else ours
    with upstream(options) as port:
        direct = read(options, f"http://127.0.0.1:{port}", options.upstream)
        with kind(port, options.upstream) as (url, pid):
            keep_apart(pid)
            for _ in range(2):  # what is imported at the first request is no part of the run
                warm = argparse.Namespace(**{**vars(options), "requests": False})
                read(warm, url, options.client, streams=2, seconds=min(1.0, options.seconds), leave=1.0, ramp=0.0)
            files, began, used = open_files(pid), rss_mb(pid), cpu_s(pid)
            through = read(options, url, options.client)
            used = cpu_s(pid) - used
            wait_for_files(pid, files)
            report(options, direct, through, used, (began, rss_mb(pid)), (files, open_files(pid)))


def report(
    options: argparse.Namespace,
    direct: dict[str, float],
    through: dict[str, float],
    used_s: float,
    rss: tuple[float, float],
    files: tuple[int, int],
) -> None:
    name = "LiteLLM" if options.litellm else "agent-core"
    print(f"{name}: {options.client} clients, a {options.upstream} backend, {os.cpu_count()} cores")
    ends = "whole {whole:.0f}, told of a failure {told:.0f}, cut without a word {untold:.0f}"
    ends += ", refused {refused:.0f}, left {left:.0f}"
    if options.requests:
        asked = through["whole"]
        print(f"  {asked / through['took']:.0f} requests a second, {used_s / max(asked, 1) * 1e3:.2f} ms CPU each")
    else:
        whole = round(options.rate * options.seconds)
        expected = through["whole"] * whole + (through["told"] + through["left"]) * (whole // 2)
        print(f"  {options.streams} streams, {options.rate:g} events a second each, {options.seconds:g} s")
        print(f"  events {through['events']:.0f}, of {expected:.0f} that were to come")
        for what, run in (("with a gateway", through), ("without", direct)):  # a busy machine's backend falls behind
            print(f"  {what}: {run['events'] / run['took']:.0f} events a second, ramp included, in {run['took']:.1f} s")
        for share in ("p50", "p99", "max"):
            added = through[share] - direct[share]
            print(f"  {share} {through[share]:.1f} ms, {direct[share]:.1f} without a gateway: {added:+.1f}")
    print(f"  {ends.format(**through)}")
    each = used_s / max(through["events"], 1) * 1e6
    print(f"  CPU {used_s:.1f} s, {each:.0f} µs an event, {used_s / through['took']:.2f} cores")
    print(f"  RSS {rss[0]:.0f} MB before, {rss[1]:.0f} after; open files {files[0]} before, {files[1]} after")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rate", type=float, default=50.0, help="events a second, of each stream")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--leave", type=float, default=0.0, help="share of clients that hang up half-way")
    parser.add_argument("--fail", type=float, default=0.0, help="share of the backend's streams that break half-way")
    parser.add_argument("--ramp", type=float, default=2.0, help="seconds in which the streams are opened")
    parser.add_argument("--client", choices=WIRES, default="messages")
    parser.add_argument("--upstream", choices=WIRES, default="chat")
    parser.add_argument("--requests", action="store_true", help="short answers, one after the other")
    parser.add_argument("--litellm", action="store_true")
    parser.add_argument("--role", choices=["run", "backend", "client"], default="run", help=argparse.SUPPRESS)
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    match chosen.role:
        case "backend":
            asyncio.run(backend(chosen))
        case "client":
            asyncio.run(client(chosen))
        case _:
            main(chosen)
