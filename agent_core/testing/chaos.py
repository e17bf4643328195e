"""A transport that fails on purpose, in front of any other: for agents that cannot be pointed at another server.

    chaos = ChaosTransport(faults=random_faults(7, rate=0.5))
    agent = Agent(client=ModelClient("openai/gpt-5.6", transport=chaos))

What a FaultServer does to a socket is done to the stream of bytes here, with the errors a real transport raises for it.
No sockets are harmed: what passes through is the answer of the transport behind, up to the fault.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from math import inf
from urllib.parse import urlsplit

import anyio

from ..codecs import CODECS, WIRES
from ..errors import TransportError
from ..items import WireName
from ..transport import HttpRequest, HttpStream, Transport
from ..transport_choice import ChosenTransport
from .fault_body import Cut, FaultyBody, Pause
from .faults import Fault, FaultKind, Faults, Struck, plan_of
from .scripts import error_of_status

__all__ = ["ChaosTransport"]

_KEPT_STRUCK = 1000
_HEAD_BYTES = 200  # of a usual answer: how long a head takes that drips


class ChaosTransport:
    """A `Transport` whose n-th request is struck by the n-th of `faults` (or by what it returns, as a function of n;
    `random_faults` makes one). `inner` sends the requests and stays open; without it one is chosen
    (`transport_choice`), and closed by `aclose`.

    Phases are found by the wire whose path the request's ends with; on any other path a fault strikes before the
    headers, before the first byte or after the last one. `struck` says which faults found their place.
    """

    def __init__(self, inner: Transport | None = None, faults: Faults = ()) -> None:
        self._inner: Transport = inner or ChosenTransport()
        self._owned = inner is None
        self._plan = plan_of(faults)
        self._number = 0
        self._struck: deque[Struck] = deque(maxlen=_KEPT_STRUCK)

    @property
    def struck(self) -> tuple[Struck, ...]:
        """The faults that happened so far, oldest first; the last 1000."""
        return tuple(self._struck)

    @asynccontextmanager
    async def open(self, request: HttpRequest, *, connect_s: float | None = None) -> AsyncGenerator[HttpStream]:
        self._number += 1
        struck = None
        fault = self._plan(self._number)
        if fault is not None:
            struck = Struck(self._number, fault)
            if fault.place == "before_headers":
                self._struck.append(struck)
                answer = await _before_headers(fault, request)
                if answer is not None:
                    yield answer
                    return
        async with self._inner.open(request, connect_s=connect_s) as http:
            if struck is None:
                yield http
                return
            chunks = self._chunks(http, struck, FaultyBody(struck.fault, _wire(request.url)))
            try:
                yield HttpStream(http.status, http.headers, chunks)
            finally:
                with anyio.CancelScope(shield=True):
                    await chunks.aclose()

    async def aclose(self) -> None:
        if self._owned:
            await self._inner.aclose()

    async def _chunks(self, http: HttpStream, struck: Struck, body: FaultyBody) -> AsyncGenerator[bytes]:
        told = struck.fault.place == "before_headers"
        source = aiter(http.chunks)
        data: bytes | None = b""
        while data is not None:
            data = await anext(source, None)
            for act in body.close() if data is None else body.feed(data):
                if body.struck and not told:
                    told = True
                    self._struck.append(struck)
                if isinstance(act, bytes):
                    for piece, pause_s in _pieces(act, struck.fault if told else None):
                        await anyio.sleep(pause_s)
                        yield piece
                elif isinstance(act, Pause):
                    await anyio.sleep(act.seconds)
                elif act is not Cut.EOF:
                    raise _broken(*_CUT[act])


_CUT: Mapping[Cut, tuple[str, str]] = {
    Cut.TRUNCATE: ("truncated", "the answer ended before its announced end"),
    Cut.RESET: ("reset", "the connection was reset"),
}
_NO_ANSWER: Mapping[FaultKind, tuple[str, str]] = {
    "refused": ("refused", "connection refused"),
    "eof": ("reset", "the server closed the connection without an answer"),
    "truncate": ("reset", "the server closed the connection without an answer"),
    "reset": ("reset", "the connection was reset"),
    "not_utf8": ("protocol", "the server does not speak HTTP"),
    "long_event": ("protocol", "the server does not speak HTTP"),
}
"""Kind and words, as transports have them."""


async def _before_headers(fault: Fault, request: HttpRequest) -> HttpStream | None:
    """What happens before the headers: an answer of our own, an error raised, or None when the request goes on."""
    if fault.kind == "status":
        status, headers, body = CODECS[_wire(request.url) or "chat"].encode_error(
            error_of_status(fault.status, fault.message)
        )
        named = {name.lower(): value for name, value in {**headers, **fault.headers}.items()}
        return HttpStream(status, named, _Once(body))
    if fault.kind in _NO_ANSWER:
        raise _broken(*_NO_ANSWER[fault.kind])
    if fault.kind in ("stall", "keep_alive"):
        await anyio.sleep(inf if fault.lasts_s is None else fault.lasts_s)
    elif fault.kind == "drip":
        await anyio.sleep(fault.every_s * _HEAD_BYTES)
    return None


def _broken(kind: str, what: str) -> TransportError:
    return TransportError(f"{what} (on purpose, by ChaosTransport)", kind=kind, retryable=kind != "protocol")


def _pieces(data: bytes, fault: Fault | None) -> Iterator[tuple[bytes, float]]:
    """How some bytes come when the fault has struck: pieces, and the pause before each."""
    if fault is None or fault.kind not in ("split", "drip"):
        yield data, 0.0
        return
    pause_s = fault.every_s if fault.kind == "drip" else 0.0
    for n in range(len(data)):
        yield data[n : n + 1], pause_s


def _wire(url: str) -> WireName | None:
    path = urlsplit(url).path.rstrip("/")
    return next((wire for wire in WIRES if path.endswith(CODECS[wire].path)), None)


class _Once(AsyncIterator[bytes]):
    """A body that comes in one piece."""

    def __init__(self, body: bytes) -> None:
        self._left = [body]

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()
