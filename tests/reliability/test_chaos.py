"""ChaosTransport: what a FaultServer does to a socket, done to any transport; a client cannot tell them apart."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import product
from typing import Literal, get_args

import anyio
import pytest

from agent_core import Agent, ModelClient, Prompt
from agent_core.codecs import WIRES
from agent_core.errors import ModelError, RateLimitError, TransportError
from agent_core.h11_transport import H11Transport
from agent_core.items import WireName
from agent_core.retry import RetryPolicy
from agent_core.testing import (
    Call,
    ChaosTransport,
    Fault,
    FaultKind,
    FaultServer,
    RehearsalServer,
    Step,
    Struck,
    phases_of,
    random_faults,
)
from agent_core.transport import HttpRequest, HttpStream, Timeouts, Transport

from . import LONG

pytestmark = pytest.mark.anyio

SCRIPT = [Step(reasoning="one two three", text="four five six", calls=(Call("add", {"city": "Paris", "unit": "C"}),))]
ONCE = RetryPolicy(max_attempts=1)
SLOW = 3.0 if LONG else 1.0  # many at once: what is not struck yet must not run into a timer
TIMEOUTS = Timeouts(first_event_s=0.3 * SLOW, idle_s=0.2 * SLOW, total_s=0.6 * SLOW, grace_s=0.1)
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
SILENT: tuple[FaultKind, ...] = ("stall", "keep_alive", "drip")
DEAR: tuple[FaultKind, ...] = ("long_event", "gzip_bomb", "split", "keep_alive", "drip")


def client_of(
    server: RehearsalServer, wire: WireName, transport: Transport | None = None, *, timeouts: Timeouts = TIMEOUTS
) -> ModelClient:
    return ModelClient(
        server.model, provider=server.provider, wire=wire, retry=ONCE, timeouts=timeouts, transport=transport
    )


async def outcome(client: ModelClient) -> tuple[object, ...]:
    """All that a consumer can see: the class and kind of error, and what was said; or the answer."""
    try:
        async with client, client.stream(Prompt("Hello")) as events:
            async for _ in events:
                pass
            answer = events.snapshot()
    except ModelError as error:
        kind = error.kind if isinstance(error, TransportError) else ""
        return type(error), kind, error.retryable, error.partial and [item.type for item in error.partial.items]
    return answer.text, [call.arguments for call in answer.tool_calls if call.type == "function_call"]


async def on_socket(fault: Fault, wire: WireName) -> tuple[object, ...]:
    """What a client sees of a fault on a socket."""
    with FaultServer(SCRIPT, [fault]) as server:
        return await outcome(client_of(server, wire, timeouts=timeouts_for(fault)))


async def by_transport(fault: Fault, wire: WireName) -> tuple[object, ...]:
    """And what of the same, by a ChaosTransport before a server without faults."""
    inner = H11Transport()
    chaos = ChaosTransport(inner, [fault])
    with RehearsalServer(SCRIPT, pace_s=0) as server:
        seen = await outcome(client_of(server, wire, chaos, timeouts=timeouts_for(fault)))
    await inner.aclose()
    assert chaos.struck == (Struck(1, fault),)
    return seen


def timeouts_for(fault: Fault) -> Timeouts:
    return TIMEOUTS if fault.kind in SILENT else Timeouts(grace_s=0.1)


def cases() -> list[tuple[str, FaultKind, WireName]]:
    """Everyday one event loop and one wire for each kind, in turn; else all of them."""
    every = product(("asyncio", "trio"), KINDS, WIRES)
    turn = {kind: (("asyncio", "trio")[n % 2], WIRES[n % 3]) for n, kind in enumerate(KINDS)}
    return [(backend, kind, wire) for backend, kind, wire in every if LONG or turn[kind] == (backend, wire)]


@pytest.mark.parametrize(("anyio_backend", "kind", "wire"), cases())
async def test_a_client_sees_no_difference(kind: FaultKind, wire: WireName) -> None:
    """The same class and kind of error, the same partial answer, or the same answer, in every phase."""
    phases = phases_of(kind) if LONG or kind not in DEAR else ("text",)
    every_s = 0.02 * SLOW if kind in ("drip", "keep_alive") else 1.0
    faults = [Fault(kind, phase, every_s=every_s) for phase in phases]
    seen: dict[tuple[Fault, str], tuple[object, ...]] = {}

    async def one(fault: Fault, how: Callable[[Fault, WireName], Awaitable[tuple[object, ...]]]) -> None:
        seen[fault, how.__name__] = await how(fault, wire)

    async with anyio.create_task_group() as tasks:
        for fault, how in product(faults, (on_socket, by_transport)):
            tasks.start_soon(one, fault, how)
    assert {fault: seen[fault, "on_socket"] for fault in faults} == {
        fault: seen[fault, "by_transport"] for fault in faults
    }


async def test_an_agent_on_a_bad_day() -> None:
    """Half the requests are struck, by whatever the seed says; the agent answers all the same."""
    chaos = ChaosTransport(faults=random_faults(5, rate=0.5))
    with RehearsalServer([Step(text="Still here.")], pace_s=0) as server:
        async with ModelClient(
            server.model, provider=server.provider, transport=chaos, retry=RetryPolicy(base_delay_s=0.001, jitter_s=0)
        ) as client:
            for _ in range(8):
                assert (await Agent(client=client).run("Hello")).text == "Still here."
    await chaos.aclose()
    planned = random_faults(5, rate=0.5)
    assert {one.request for one in chaos.struck} <= {n for n in range(1, 50) if planned(n)}
    assert len(chaos.struck) > 3


class Remembering:
    """A transport that knows whether it was left, and closed."""

    def __init__(self) -> None:
        self.inside = 0
        self.closed = False

    @asynccontextmanager
    async def open(self, request: HttpRequest, *, connect_s: float | None = None) -> AsyncGenerator[HttpStream]:
        self.inside += 1
        chunks = self._chunks()
        try:
            yield HttpStream(200, {"content-type": "text/event-stream"}, chunks)
        finally:
            await chunks.aclose()
            self.inside -= 1

    async def _chunks(self) -> AsyncGenerator[bytes]:
        for n in range(1000):
            yield b"data: %d\n\n" % n

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("kind", ["truncate", "reset", "stall", "drip"])
async def test_the_transport_behind_is_left(kind: Literal["truncate", "reset", "stall", "drip"]) -> None:
    """However the fault ends, and if it does not end and its reader is cancelled: and it stays its owner's to close."""
    inner = Remembering()
    chaos = ChaosTransport(inner, [Fault(kind, "before_event")])
    with anyio.move_on_after(0.05), suppress(TransportError):
        async with chaos.open(HttpRequest("http://h/v1/chat/completions", {}, b"")) as http:
            async for _ in http.chunks:
                pass
    await chaos.aclose()
    assert (inner.inside, inner.closed, len(chaos.struck)) == (0, False, 1)


@pytest.mark.parametrize(
    ("fault", "chunks"),
    [
        (Fault("eof", "before_event"), []),
        (Fault("duplicate", "before_event"), [b"data: 0\n\n", b"data: 0\n\n"]),
        (Fault("split", "before_event"), [b"d", b"a"]),
        (Fault("reset", "text"), [b"data: 0\n\n", b"data: 1\n\n"]),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
async def test_a_path_of_no_wire(fault: Fault, chunks: list[bytes]) -> None:
    """There an answer has a beginning and an end; what would strike between them does nothing."""
    chaos = ChaosTransport(Remembering(), [fault])
    async with chaos.open(HttpRequest("http://h/v1/embeddings", {}, b"")) as http:
        heard = [chunk async for chunk in http.chunks]
    assert heard[:2] == chunks
    assert bool(chaos.struck) == (fault.place != "text")


async def test_a_status_needs_no_server() -> None:
    """An answer of its own, in the shape of the wire that was asked; the transport behind is not."""
    inner = Remembering()
    chaos = ChaosTransport(inner, [Fault("status", status=429, headers={"Retry-After": "3"})])
    client = ModelClient("lab/m", base_url="http://h/v1", wire="messages", api_key="k", transport=chaos, retry=ONCE)
    with pytest.raises(RateLimitError, match="a fault on purpose") as caught:
        await client.complete("Hello")
    assert caught.value.retry_after_s == 3
    assert inner.inside == 0
