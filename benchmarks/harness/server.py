"""The mock server: one process, one epoll loop, bytes made beforehand. It has a core of its own.

The first segment of the path says what to answer, so that a client is pointed at a scenario by its base URL alone:

    /text-n1000-k1-g0/v1/chat/completions        1,000 text deltas, an HTTP chunk for each, as fast as they are read
    /tool-n5-f200-a4000-k8-g0/v1/responses       5 text deltas, a call of 200 fragments, 8 events in a chunk
    /loop-t100-s77/v1/messages                   session 77: turns 0..99 call a tool, then there is text
    /stamped-n8-g2000/v1/...                     each delta says when it was sent and when the request had come
    /text-n200-k1-g0-b1000-s77/v1/...            waits for 1,000 requests, then gives each an event, one after the other
    /stamped-n400-g10000-b64-s77/v1/...          waits for 64, then gives each an event in 10 ms, evenly spread

n deltas, k events in a chunk and a write, g µs between writes, f fragments of arguments, a characters of arguments,
t turns, s session, b requests to wait for. A request that does not ask for a stream gets the whole answer.
"""

from __future__ import annotations

import argparse
import functools
import heapq
import os
import re
import resource
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import payloads as P

# What a vendor's edge sends with an answer: clients read all of it.
COMMON = (
    b"Date: Sun, 09 Mar 2025 23:32:57 GMT\r\n"
    b"Connection: keep-alive\r\n"
    b"access-control-expose-headers: X-Request-ID\r\n"
    b"openai-organization: org-8xkvnbTq0cXyU2wPzLrA9dEf\r\n"
    b"openai-processing-ms: 237\r\n"
    b"openai-version: 2020-10-01\r\n"
    b"x-envoy-upstream-service-time: 241\r\n"
    b"x-ratelimit-limit-requests: 10000\r\n"
    b"x-ratelimit-limit-tokens: 30000000\r\n"
    b"x-ratelimit-remaining-requests: 9999\r\n"
    b"x-ratelimit-remaining-tokens: 29999973\r\n"
    b"x-ratelimit-reset-requests: 6ms\r\n"
    b"x-ratelimit-reset-tokens: 0s\r\n"
    b"x-request-id: req_5f8a1c2e9b7d4f60a3c1e8d2b4f6a8c0\r\n"
    b"strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n"
    b"cf-cache-status: DYNAMIC\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"Server: cloudflare\r\n"
    b"CF-RAY: 91dd3a9c0f7d1b2a-SJC\r\n"
    b'alt-svc: h3=":443"; ma=86400\r\n'
)
EVENT_STREAM = b"Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n" + COMMON + EVENT_STREAM
WHOLE = b"HTTP/1.1 200 OK\r\n" + COMMON + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
LAST = b"0\r\n\r\n"
STAMP = b"T%019dR%019d"
NO_STAMP = STAMP % (0, 0)
BARRIER_S = 8.0  # a client that opens fewer connections at a time than it is waited for gets what came
DEFAULTS = {"n": 100, "k": 1, "g": 0, "f": 200, "a": 4000, "t": 10, "s": 0, "b": 0}
STREAMED = re.compile(rb'"stream":\s*true')
LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.I)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.I)


class Scenario(NamedTuple):
    mode: str
    wire: str
    params: dict[str, int]

    def frames(self) -> tuple[list[bytes], bytes]:
        """(each HTTP chunk, all of them)"""
        p = self.params
        return frames(self.wire, self.mode, p["n"], p["k"], p["f"], p["a"])


@functools.lru_cache(1024)
def scenario(target: str) -> Scenario:
    path = target.partition("?")[0]
    mode, *settings = path.split("/", 2)[1].split("-")
    wire = next((wire for wire, end in P.PATHS.items() if path.endswith(end)), "")
    return Scenario(mode, wire, DEFAULTS | {setting[0]: int(setting[1:]) for setting in settings})


@functools.lru_cache(64)
def frames(wire: str, mode: str, n: int, k: int, f: int, a: int) -> tuple[list[bytes], bytes]:
    stamped = mode == "stamped"
    events = P.EVENTS[wire]((NO_STAMP.decode(),) * n, ()) if stamped else P.scenario(wire, mode, n, f, a)[0]
    chunks = chunked(events, k)
    return chunks, b"".join(chunks)


def chunked(events: list[bytes], k: int) -> list[bytes]:
    parts = [b"".join(events[start : start + k]) for start in range(0, len(events), k)]
    return [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]


@functools.lru_cache(8192)
def turn(wire: str, turn: int, turns: int, *, streamed: bool) -> bytes:
    """The answer to a request of a loop."""
    text, calls = P.loop_turn(turn, turns)
    if streamed:
        return HEAD + b"".join(chunked(P.EVENTS[wire](text, calls), 1)) + LAST
    body = P.JSON[wire](text, calls)
    return WHOLE % len(body) + body


class Connection:
    """`out` is what the socket did not take yet; `frames[place:]` is what a paced stream has still to send."""

    __slots__ = ("alive", "arrived_ns", "frames", "gap_ns", "needed", "out", "place", "received", "sock", "stamped")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received, self.needed = bytearray(), -1
        self.out: deque[memoryview] = deque()
        self.alive, self.arrived_ns = True, 0
        self.frames: list[bytes] = []
        self.place, self.gap_ns, self.stamped = 0, 0, False

    def request(self) -> bytes | None:
        """The next whole request."""
        received = self.received
        if self.needed < 0:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return None
            head = bytes(received[:end])
            if length := LENGTH.search(head):
                self.needed = end + 4 + int(length[1])
            elif CHUNKED.search(head):
                last = received.find(b"\r\n0\r\n\r\n", end)
                if last < 0:
                    return None
                self.needed = last + 7
            else:
                self.needed = end + 4
        if len(received) < self.needed:
            return None
        request = bytes(received[: self.needed])
        del received[: self.needed]
        self.needed = -1
        return request


Send = Callable[[Connection, bytes], None]


class InTurn:
    """Every stream gets its n-th frame before any gets the next; a gap between frames."""

    def __init__(self, connections: list[Connection], frames: list[bytes], gap_ns: int) -> None:
        self.connections, self.frames, self.gap_ns = connections, frames, gap_ns
        self.place, self.due_ns = 0, time.monotonic_ns()

    def step(self, send: Send) -> bool:
        """Sends what is due; whether anything is left."""
        if time.monotonic_ns() < self.due_ns:
            return True
        left = self.place < len(self.frames)
        data = self.frames[self.place] if left else LAST
        for connection in self.connections:
            send(connection, data)
        self.place += 1
        self.due_ns = max(self.due_ns + self.gap_ns, time.monotonic_ns())
        return left


class Evenly:
    """Every stream gets a stamped frame in each period, and no two streams at once. What is late is sent as soon as it
    can be: the rate tells."""

    AT_ONCE = 64  # then the sockets are looked at

    def __init__(self, connections: list[Connection], frames: list[bytes], period_ns: int) -> None:
        self.connections, self.period_ns = connections, period_ns
        self.frames = [frame.partition(NO_STAMP) for frame in frames]
        self.sent, self.start_ns = 0, time.monotonic_ns()

    def step(self, send: Send) -> bool:
        streams = len(self.connections)
        for _ in range(self.AT_ONCE):
            now = time.monotonic_ns()
            if self.sent > (now - self.start_ns) * streams // self.period_ns:
                return True
            place, stream = divmod(self.sent, streams)
            if place == len(self.frames) or (stream == 0 and not any(one.alive for one in self.connections)):
                for connection in self.connections:
                    send(connection, LAST)
                return False
            connection = self.connections[stream]
            before, stamp, after = self.frames[place]
            send(connection, before + STAMP % (now, connection.arrived_ns) + after if stamp else before)
            self.sent += 1
        return True


class Server:
    def __init__(self, port: int = 0) -> None:
        self.listening = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listening.setblocking(False)
        self.port = self.listening.getsockname()[1]
        self.epoll = select.epoll()
        self.epoll.register(self.listening.fileno(), select.EPOLLIN)
        self.connections: dict[int, Connection] = {}
        self.paced: list[tuple[int, int, Connection]] = []  # a heap: (due, order, connection)
        self.order = 0
        self.turns: dict[tuple[str, int, int], int] = {}  # of sessions
        self.waiting: dict[str, tuple[list[Connection], float, Scenario]] = {}
        self.jobs: list[InTurn | Evenly] = []

    def send(self, connection: Connection, data: bytes) -> None:
        if not connection.alive:
            return
        if connection.out:
            connection.out.append(memoryview(data))
            return
        sent = self.sent(connection, data)
        if connection.alive and sent < len(data):
            connection.out.append(memoryview(data)[sent:])
            self.epoll.modify(connection.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def sent(self, connection: Connection, data: bytes | memoryview) -> int:
        """How much of it the socket took."""
        try:
            return connection.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.close(connection)
            return 0

    def flush(self, connection: Connection) -> None:
        while connection.out and connection.alive:
            data = connection.out[0]
            sent = self.sent(connection, data)
            if sent < len(data):
                connection.out[0] = data[sent:]
                return
            connection.out.popleft()
        if connection.alive:
            self.epoll.modify(connection.sock.fileno(), select.EPOLLIN)

    def close(self, connection: Connection) -> None:
        if connection.alive:
            connection.alive = False
            self.connections.pop(connection.sock.fileno(), None)
            with suppress(OSError, ValueError):
                self.epoll.unregister(connection.sock.fileno())
            connection.sock.close()

    def accept(self) -> None:
        with suppress(BlockingIOError):
            for _ in range(256):
                sock, _ = self.listening.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections[sock.fileno()] = Connection(sock)
                self.epoll.register(sock.fileno(), select.EPOLLIN)

    def read(self, connection: Connection) -> None:
        while connection.alive:
            try:
                data = connection.sock.recv(1 << 20)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.close(connection)
                return
            connection.arrived_ns = time.monotonic_ns()
            connection.received += data
            while connection.alive and (request := connection.request()) is not None:
                self.answer(connection, request)
            if len(data) < 1 << 20:
                return

    def answer(self, connection: Connection, request: bytes) -> None:
        target = request[: request.find(b"\r\n")].decode("latin1").split(" ", 2)[1]
        asked = scenario(target)
        streamed, p = STREAMED.search(request) is not None, asked.params
        if not asked.wire:
            self.send(connection, WHOLE % 2 + b"{}")
        elif asked.mode == "loop":
            self.send(connection, self.looped(asked, request, streamed=streamed))
        elif not streamed:
            body = P.JSON[asked.wire](P.deltas(p["n"]), ())
            self.send(connection, WHOLE % len(body) + body)
        elif p["b"]:
            together, _, _ = self.waiting.setdefault(target, ([], time.monotonic(), asked))
            together.append(connection)
            if len(together) >= p["b"]:
                self.begin(target)
        elif p["g"]:
            connection.frames, connection.place = asked.frames()[0], 0
            connection.gap_ns, connection.stamped = p["g"] * 1000, asked.mode == "stamped"
            self.send(connection, HEAD)
            self.pace(connection, time.monotonic_ns() + connection.gap_ns)
        else:
            self.send(connection, HEAD)
            self.send(connection, asked.frames()[1])
            self.send(connection, LAST)

    def looped(self, asked: Scenario, request: bytes, *, streamed: bool) -> bytes:
        turns = asked.params["t"]
        session = (asked.wire, asked.params["s"], turns)
        now = self.turns.get(session, 0)
        if now and P.loop_call_id(now - 1).encode() not in request:
            self.turns[session] = 0
            body = b'{"error":{"message":"the history lacks the last call","type":"bench"}}'
            return REFUSED % len(body) + body
        self.turns[session] = now + 1 if now < turns else 0
        return turn(asked.wire, now, turns, streamed=streamed)

    def begin(self, target: str) -> None:
        """Those that waited for each other."""
        together, _, asked = self.waiting.pop(target)
        for connection in together:
            self.send(connection, HEAD)
        kind = Evenly if asked.mode == "stamped" else InTurn
        self.jobs.append(kind(together, asked.frames()[0], asked.params["g"] * 1000))

    def pace(self, connection: Connection, due_ns: int) -> None:
        self.order += 1
        heapq.heappush(self.paced, (due_ns, self.order, connection))

    def step(self, connection: Connection, due_ns: int) -> None:
        data = connection.frames[connection.place]
        if connection.stamped:
            data = data.replace(NO_STAMP, STAMP % (time.monotonic_ns(), connection.arrived_ns))
        connection.place += 1
        self.send(connection, data)
        if connection.place < len(connection.frames):
            self.pace(connection, max(due_ns + connection.gap_ns, time.monotonic_ns()))
        else:
            self.send(connection, LAST)

    def patience_s(self) -> float:
        """How long nothing is due. What is due soon is waited for by asking again: sleeping is not so exact."""
        if self.jobs:
            return 0
        if self.paced:
            left_ns = self.paced[0][0] - time.monotonic_ns()
            return 0 if left_ns < 3_000_000 else (left_ns - 2_000_000) / 1e9
        return 1 if self.waiting else -1

    def run(self) -> None:
        while True:
            for fd, events in self.epoll.poll(self.patience_s()):
                if fd == self.listening.fileno():
                    self.accept()
                elif connection := self.connections.get(fd):
                    if events & select.EPOLLOUT:
                        self.flush(connection)
                    if events & ~select.EPOLLOUT:
                        self.read(connection)
            self.jobs = [job for job in self.jobs if job.step(self.send)]
            while self.paced and self.paced[0][0] <= time.monotonic_ns():
                due_ns, _, connection = heapq.heappop(self.paced)
                if connection.alive:
                    self.step(connection, due_ns)
            for target, (_, since, asked) in list(self.waiting.items()):
                if time.monotonic() - since > BARRIER_S and asked.mode != "stamped":
                    self.begin(target)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpu", type=int, help="the only core to run on")
    parser.add_argument("--cert", help="also listen with TLS; a certificate is put there")
    args: Any = parser.parse_args()
    if args.cpu is not None:
        os.sched_setaffinity(0, {args.cpu})
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server, tls_port = Server(), 0
    if args.cert:
        import tls

        sys.setswitchinterval(0.05)
        tls_port = tls.listen(args.cert)
    print(server.port, tls_port, flush=True)
    with suppress(KeyboardInterrupt):
        server.run()


if __name__ == "__main__":
    main()
