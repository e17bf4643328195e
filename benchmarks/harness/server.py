"""The mock server: one process, one epoll loop, pre-rendered bytes. Pin it to its own core.

The first path segment says what to answer, so that every client can be pointed at a scenario
with nothing but its base URL:

    /text-n1000-k1-g0/v1/chat/completions        1000 text deltas, 1 event per write, no gap
    /tool-n5-f200-a4000-k8-g0/v1/responses       5 text deltas, one call of 200 argument fragments
    /loop-t100-p1-s77/v1/messages                session 77: turns 0..99 call one tool, then text
    /stamped-n8-g2000/v1/...                     each delta carries T<send ns>R<request arrival ns>
    /text-n200-k1-g0-b1000-s77/v1/...            barrier: waits for 1000 requests, then round-robin
    /stamped-n400-g10000-b64-s77/v1/...          the same, 64 streams with an event each in 10 ms, evenly spread

n deltas, k events per HTTP chunk and write, g gap between writes in us (spin-paced), f argument
fragments, a argument size, t turns, p parallel calls, s session, b barrier.

A request whose body does not ask for "stream": true gets the JSON document instead.
"""

from __future__ import annotations

import functools
import heapq
import os
import re
import resource
import select
import socket
import ssl
import sys
import threading
import time
from collections import deque
from contextlib import suppress

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import payloads as P

_HEAD_COMMON = (
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
HEAD_SSE = (
    b"HTTP/1.1 200 OK\r\n" + _HEAD_COMMON + b"Content-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
HEAD_JSON = b"HTTP/1.1 200 OK\r\n" + _HEAD_COMMON + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
LAST = b"0\r\n\r\n"
_STAMP = "T0000000000000000000R0000000000000000000"
_STAMP_B = _STAMP.encode()


def chunk(b: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(b), b)


def frames_of(events, k: int) -> list[bytes]:
    """HTTP chunks of k events each (k = 0: everything in one chunk)."""
    if k == 0:
        return [chunk(b"".join(events))]
    if k == 1:
        return [chunk(e) for e in events]
    return [chunk(b"".join(events[i : i + k])) for i in range(0, len(events), k)]


@functools.lru_cache(64)
def plan(wire: str, mode: str, n: int, k: int, f: int, a: int) -> tuple[list[bytes], bytes]:
    if mode == "stamped":
        ev = P.EVENTS[wire]((_STAMP,) * n, ())
    else:
        ev, _ = P.scenario(wire, mode, n, f, a)
    fr = frames_of(ev, k)
    return fr, b"".join(fr)


@functools.lru_cache(8192)
def loop_plan(wire: str, turn: int, turns: int, par: int, stream: bool) -> bytes:
    text, calls = P.loop_turn(wire, turn, turns, par)
    if stream:
        return HEAD_SSE + b"".join(frames_of(P.EVENTS[wire](text, calls), 1)) + LAST
    body = P.JSON[wire](text, calls)
    return HEAD_JSON % len(body) + body


_STREAM = re.compile(rb'"stream":\s*true')
_LEN = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.I)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.I)
DEFAULTS = {"n": 100, "k": 1, "g": 0, "f": 200, "a": 4000, "t": 10, "p": 1, "s": 0, "b": 0}


@functools.lru_cache(1024)
def parse_target(target: str):
    path = target.split("?", 1)[0]
    first = path.split("/", 2)[1]
    bits = first.split("-")
    par = dict(DEFAULTS)
    for b in bits[1:]:
        par[b[0]] = int(b[1:])
    if path.endswith("/chat/completions"):
        wire = "chat"
    elif path.endswith("/responses"):
        wire = "responses"
    elif path.endswith("/messages"):
        wire = "messages"
    else:
        wire = ""
    return bits[0], par, wire


class Evenly:
    """Streams that each send a frame in a period, one after the other and never two at once.

    Frames are cut where the stamp goes. What is late is sent as soon as it can be: the rate tells.
    """

    AT_ONCE = 64  # then the sockets are looked at

    def __init__(self, conns: list[Conn], frames: list[bytes], period_ns: int) -> None:
        self.conns, self.period_ns = conns, period_ns
        self.frames = [frame.partition(_STAMP_B) for frame in frames]
        self.sent, self.start = 0, time.monotonic_ns()

    def step(self, send) -> bool:
        """Sends what is due; whether anything is left."""
        streams = len(self.conns)
        for _ in range(self.AT_ONCE):
            now = time.monotonic_ns()
            if self.sent > (now - self.start) * streams // self.period_ns:
                return True
            turn, place = divmod(self.sent, streams)
            if turn == len(self.frames) or (place == 0 and not any(conn.alive for conn in self.conns)):
                for conn in self.conns:
                    send(conn, LAST)
                return False
            before, stamp, after = self.frames[turn]
            if stamp:
                before += b"T%019dR%019d" % (now, self.conns[place].arrived) + after
            send(self.conns[place], before)
            self.sent += 1
        return True


class Conn:
    __slots__ = ("alive", "armed", "arrived", "fd", "frames", "gap", "idx", "inb", "need", "out", "sock", "stamp")

    def __init__(self, sock):
        self.sock = sock
        self.fd = sock.fileno()
        self.inb = bytearray()
        self.need = -1
        self.out: deque = deque()
        self.frames = None
        self.armed = False
        self.alive = True


class Server:
    def __init__(self, host="127.0.0.1", port=0):
        self.lsock = socket.socket()
        self.lsock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.lsock.bind((host, port))
        self.lsock.listen(4096)
        self.lsock.setblocking(False)
        self.port = self.lsock.getsockname()[1]
        self.ep = select.epoll()
        self.ep.register(self.lsock.fileno(), select.EPOLLIN)
        self.conns: dict[int, Conn] = {}
        self.timers: list = []
        self.tick = 0
        self.sessions: dict = {}
        self.barriers: dict = {}
        self.timed_barriers: dict = {}
        self.rr: list = []
        self.even: list[Evenly] = []

    # ---- output
    def send(self, c: Conn, data) -> None:
        if not c.alive:
            return
        if c.out:
            c.out.append(memoryview(data))
            return
        mv = memoryview(data)
        try:
            n = c.sock.send(mv)
        except BlockingIOError:
            n = 0
        except OSError:
            self.close(c)
            return
        if n < len(mv):
            c.out.append(mv[n:])
            self.arm(c, True)

    def arm(self, c: Conn, on: bool) -> None:
        if c.armed != on:
            c.armed = on
            self.ep.modify(c.fd, select.EPOLLIN | (select.EPOLLOUT if on else 0))

    def flush(self, c: Conn) -> None:
        while c.out:
            mv = c.out[0]
            try:
                n = c.sock.send(mv)
            except BlockingIOError:
                return
            except OSError:
                self.close(c)
                return
            if n < len(mv):
                c.out[0] = mv[n:]
                return
            c.out.popleft()
        self.arm(c, False)

    def close(self, c: Conn) -> None:
        if c.alive:
            c.alive = False
            self.conns.pop(c.fd, None)
            with suppress(OSError, ValueError):
                self.ep.unregister(c.fd)
            c.sock.close()

    # ---- input
    def readable(self, c: Conn) -> None:
        while True:
            try:
                data = c.sock.recv(1 << 20)
            except BlockingIOError:
                return
            except OSError:
                self.close(c)
                return
            if not data:
                self.close(c)
                return
            c.arrived = time.monotonic_ns()
            c.inb += data
            self.try_request(c)
            if len(data) < 1 << 20:
                return

    def try_request(self, c: Conn) -> None:
        while True:
            if c.need < 0:
                end = c.inb.find(b"\r\n\r\n")
                if end < 0:
                    return
                head = bytes(c.inb[:end])
                m = _LEN.search(head)
                if m:
                    c.need = end + 4 + int(m.group(1))
                elif _CHUNKED.search(head):
                    e = c.inb.find(b"\r\n0\r\n\r\n", end)
                    if e < 0:
                        return
                    c.need = e + 7
                else:
                    c.need = end + 4
            if len(c.inb) < c.need:
                return
            if len(c.inb) == c.need:
                req = bytes(c.inb)
                c.inb = bytearray()
            else:
                req = bytes(c.inb[: c.need])
                del c.inb[: c.need]
            c.need = -1
            self.answer(c, req)
            if not c.inb or not c.alive:
                return

    def answer(self, c: Conn, req: bytes) -> None:
        eol = req.find(b"\r\n")
        _, target, _ = req[:eol].decode("latin1").split(" ", 2)
        mode, p, wire = parse_target(target)
        if mode == "ping" or not wire:
            body = b'{"ok":true,"path":"%b"}' % target.encode()
            self.send(c, HEAD_JSON % len(body) + body)
            return
        stream = _STREAM.search(req) is not None
        if mode == "loop":
            key = (wire, p["s"], p["t"], p["p"])
            turn = self.sessions.get(key, 0)
            if turn and P.loop_call_id(turn - 1, p["p"] - 1).encode() not in req:
                body = b'{"error":{"message":"history lacks the last call","type":"bench"}}'
                self.send(
                    c,
                    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                    % len(body)
                    + body,
                )
                self.sessions[key] = 0
                return
            self.sessions[key] = turn + 1 if turn < p["t"] else 0
            self.send(c, loop_plan(wire, turn, p["t"], p["p"], stream))
            return
        if not stream:
            text = P.deltas(p["n"])
            body = P.JSON[wire](text, ())
            self.send(c, HEAD_JSON % len(body) + body)
            return
        frames, blob = plan(wire, mode, p["n"], p["k"], p["f"], p["a"])
        c.gap = p["g"] * 1000
        if p["b"]:
            key = (wire, target)
            waiting, _ = self.barriers.setdefault(key, ([], time.monotonic()))
            waiting.append(c)
            if len(waiting) >= p["b"]:
                del self.barriers[key]
                if mode == "stamped":
                    for other in waiting:
                        self.send(other, HEAD_SSE)
                    self.even.append(Evenly(waiting, frames, c.gap))
                else:
                    self.round_robin(waiting, frames, c.gap)
            elif mode != "stamped":
                self.timed_barriers[key] = (frames, c.gap)
            return
        if mode == "stamped" or c.gap:
            c.frames = frames
            c.idx = 0
            c.stamp = c.arrived if mode == "stamped" else 0
            self.send(c, HEAD_SSE)
            self.schedule(c, time.monotonic_ns() + max(c.gap, 1))
            return
        self.send(c, HEAD_SSE)
        self.send(c, blob)
        self.send(c, LAST)

    # ---- pacing
    def schedule(self, c: Conn, due: int) -> None:
        self.tick += 1
        heapq.heappush(self.timers, (due, self.tick, c))

    def step(self, c: Conn, due: int) -> None:
        fr = c.frames
        data = fr[c.idx]
        if c.stamp and _STAMP_B in data:
            data = data.replace(_STAMP_B, b"T%019dR%019d" % (time.monotonic_ns(), c.stamp))
        c.idx += 1
        self.send(c, data)
        if c.idx < len(fr):
            self.schedule(c, max(due + c.gap, time.monotonic_ns()))
        else:
            self.send(c, LAST)

    def round_robin(self, waiting, frames, gap) -> None:
        """Interleave: every stream gets its i-th frame before any gets its i+1-th."""
        for c in waiting:
            self.send(c, HEAD_SSE)
        self.rr.append((waiting, frames, 0, gap, time.monotonic_ns()))

    def late_barriers(self) -> None:
        """A client that opens fewer connections at a time than the barrier asks for gets them in parts."""
        now = time.monotonic()
        for key, (waiting, since) in list(self.barriers.items()):
            if now - since > 8 and key in self.timed_barriers:
                frames, gap = self.timed_barriers[key]
                del self.barriers[key]
                self.round_robin(waiting, frames, gap)

    def rr_step(self, job) -> None:
        waiting, frames, i, gap, due = job
        now = time.monotonic_ns()
        if now < due:
            self.rr.append(job)
            return
        data = frames[i]
        for c in waiting:
            self.send(c, data)
        i += 1
        if i >= len(frames):
            for c in waiting:
                self.send(c, LAST)
        else:
            self.rr.append((waiting, frames, i, gap, max(due + gap, time.monotonic_ns())))

    # ---- main loop
    def run(self) -> None:
        ep = self.ep
        lfd = self.lsock.fileno()
        timers = self.timers
        mono = time.monotonic_ns
        while True:
            if self.even:
                timeout = 0
                self.even = [job for job in self.even if job.step(self.send)]
            elif self.rr:
                timeout = 0
                jobs, self.rr = self.rr, []
                for job in jobs:
                    self.rr_step(job)
            elif timers:
                left = timers[0][0] - mono()
                timeout = 0 if left < 3_000_000 else (left - 2_000_000) / 1e9
            else:
                timeout = 1 if self.barriers else -1
            if self.barriers:
                self.late_barriers()
            for fd, evm in ep.poll(timeout):
                if fd == lfd:
                    for _ in range(256):
                        try:
                            s, _a = self.lsock.accept()
                        except BlockingIOError:
                            break
                        s.setblocking(False)
                        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        self.conns[s.fileno()] = Conn(s)
                        ep.register(s.fileno(), select.EPOLLIN)
                    continue
                c = self.conns.get(fd)
                if c is None:
                    continue
                if evm & select.EPOLLOUT:
                    self.flush(c)
                if c.alive and evm & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                    self.readable(c)
            while timers and timers[0][0] <= mono():
                due, _, c = heapq.heappop(timers)
                if c.alive:
                    self.step(c, due)


# --------------------------------------------------------------------------- TLS: threads


def tls_thread(s: socket.socket, ctx: ssl.SSLContext) -> None:
    try:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        t = ctx.wrap_socket(s, server_side=True)
        buf = bytearray()
        while True:
            while True:
                end = buf.find(b"\r\n\r\n")
                if end >= 0:
                    m = _LEN.search(bytes(buf[:end]))
                    need = end + 4 + (int(m.group(1)) if m else 0)
                    if len(buf) >= need:
                        break
                d = t.recv(1 << 18)
                if not d:
                    return
                buf += d
            req = bytes(buf[:need])
            del buf[:need]
            target = req.split(b" ", 2)[1].decode()
            mode, p, wire = parse_target(target)
            frames, _ = plan(wire, mode, p["n"], p["k"], p["f"], p["a"])
            t.sendall(HEAD_SSE)
            gap = p["g"] * 1000
            if gap:
                due = time.monotonic_ns() + gap
                for fr in frames:
                    while time.monotonic_ns() < due:
                        pass
                    t.sendall(fr)
                    due = max(due + gap, time.monotonic_ns())
            else:
                # as a CDN does: one TLS record per event
                for fr in frames:
                    t.sendall(fr)
            t.sendall(LAST)
    except OSError:
        pass
    finally:
        s.close()


def tls_listener(cert: str, port_out: list) -> None:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(cert)
    ls = socket.socket()
    ls.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ls.bind(("127.0.0.1", 0))
    ls.listen(128)
    port_out.append(ls.getsockname()[1])

    def loop():
        while True:
            s, _ = ls.accept()
            threading.Thread(target=tls_thread, args=(s, ctx), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def make_cert(path: str) -> None:
    """A throw-away self-signed certificate for 127.0.0.1 (needs `cryptography`)."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    with open(path, "wb") as f:
        f.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        f.write(cert.public_bytes(serialization.Encoding.PEM))


if __name__ == "__main__":
    import argparse

    ap = argparse.ArgumentParser()
    ap.add_argument("--port", type=int, default=0)
    ap.add_argument("--cpu", type=int, help="the only core to run on")
    ap.add_argument("--cert", help="PEM with key and certificate: also listen with TLS")
    a = ap.parse_args()
    if a.cpu is not None:
        os.sched_setaffinity(0, {a.cpu})
    sys.setswitchinterval(0.05)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    srv = Server(port=a.port)
    tls: list = []
    if a.cert:
        if not os.path.exists(a.cert):
            make_cert(a.cert)
        tls_listener(a.cert, tls)
    print(srv.port, tls[0] if tls else 0, flush=True)
    with suppress(KeyboardInterrupt):
        srv.run()
