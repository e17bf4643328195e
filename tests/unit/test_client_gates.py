"""A client with a limiter and a circuit, against a scripted server: places are given back, however an answer ends."""

from __future__ import annotations

import json
from collections.abc import Callable

import anyio
import pytest

from agent_core.circuit import Circuit
from agent_core.client import ModelClient
from agent_core.codecs import codec_for
from agent_core.errors import CircuitOpen, ConfigError, ModelError, NotAdmitted, ServerError, TransportTimeout
from agent_core.events import Completed, Created, OutputItemAdded, OutputItemDone, OutputTextDelta, ResponseEvent, Usage
from agent_core.items import Message, assistant_message
from agent_core.limiter import RateLimiter
from agent_core.prompt import Prompt
from agent_core.retry import RetryPolicy
from agent_core.transport import Timeouts

from ..loopback import CLOSE, END, STALL, Exchange, Loopback, chunk, exchange, reply, serve, sse, sse_head

pytestmark = pytest.mark.anyio

ONCE = RetryPolicy(max_attempts=1)
HELLO: list[ResponseEvent] = [
    Created("r_1", "m"),
    OutputItemAdded(0, Message(role="assistant")),
    OutputTextDelta(0, "Hello"),
    OutputItemDone(0, assistant_message("Hello")),
    Completed("r_1", "m", "stop", usage=Usage(input=3, output=2)),
]


def spoken(events: list[ResponseEvent], *, end: bool = True) -> bytes:
    encoder = codec_for("chat").stream_encoder(Prompt("Hi"))
    return b"".join(map(encoder.feed, events)) + (encoder.close() if end else b"")


GOOD = exchange(sse(spoken(HELLO)))
HALF = (sse_head(), chunk(spoken(HELLO[:3], end=False)))


def client_for(server: Loopback, **options: object) -> ModelClient:
    options = {"retry": ONCE, **options}
    return ModelClient("lab/m", base_url=server.url, wire="chat", **options)  # type: ignore[arg-type]  # rows of them


async def read(client: ModelClient) -> None:
    async with client.stream("Hi") as events:
        async for _ in events:
            pass


async def leave_early(client: ModelClient) -> None:
    async with client.stream("Hi") as events:
        await anext(events)


async def be_cancelled(client: ModelClient) -> None:
    with anyio.move_on_after(0.1):
        await read(client)


async def whole(client: ModelClient) -> None:
    await client.complete("Hi")


ENDS: dict[str, tuple[Exchange, Callable[[ModelClient], object]]] = {
    "read to its end": (GOOD, read),
    "refused": (exchange(reply(400)), read),
    "cut off": ((*HALF, END), read),
    "dropped": ((CLOSE,), read),
    "left early": ((*HALF, STALL), leave_early),
    "cancelled before the first event": ((STALL,), be_cancelled),
    "cancelled in the middle": ((*HALF, STALL), be_cancelled),
    "whole": (exchange(reply(200, b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}')), whole),
    "whole, and refused": (exchange(reply(500)), whole),
}


@pytest.mark.parametrize("name", ENDS)
async def test_the_place_is_given_back(name: str) -> None:
    """However an answer ends, the next request finds the one place free."""
    steps, act = ENDS[name]
    limiter = RateLimiter(max_in_flight=1, tokens_per_minute=1000, max_wait_s=0)
    async with serve(steps) as server, client_for(server, limiter=limiter) as client:
        for _ in range(2):
            try:
                await act(client)  # type: ignore[misc]  # a coroutine
            except ModelError as error:
                assert not isinstance(error, NotAdmitted)
            assert (limiter.in_flight, limiter.waiting) == (0, 0)


async def test_two_clients_share_one_limiter() -> None:
    """While one streams, the other stands in line; it is let through when the first has left."""
    limiter = RateLimiter(max_in_flight=1)
    order: list[str] = []
    async with serve((*HALF, STALL), GOOD) as server:
        a, b = (client_for(server, limiter=limiter) for _ in range(2))

        async def second() -> None:
            await read(b)
            order.append("b")

        async with a, b, anyio.create_task_group() as tasks, a.stream("Hi"):
            tasks.start_soon(second)
            while not limiter.waiting:
                await anyio.lowlevel.checkpoint()
            order.append("a")
    assert order == ["a", "b"]


async def test_a_wait_between_attempts_holds_no_place() -> None:
    """While one client waits out a 503, the place is another's."""
    limiter = RateLimiter(max_in_flight=1, max_wait_s=0)
    async with serve(exchange(reply(503)), GOOD) as server:
        other = client_for(server, limiter=limiter)

        async def sleep(seconds: float) -> None:
            await read(other)

        async with other, client_for(server, limiter=limiter, retry=RetryPolicy(), sleep=sleep) as client:
            await read(client)
    assert len(server.requests) == 3


async def test_tokens_are_corrected_by_the_answer() -> None:
    """The estimate of a long prompt blocks the minute until the answer says that it took 5."""
    limiter = RateLimiter(tokens_per_minute=300, max_wait_s=0)
    async with serve(GOOD) as server, client_for(server, limiter=limiter) as client:
        for _ in range(20):
            async with client.stream("x" * 800) as events:
                async for _ in events:
                    pass


async def test_a_429_holds_all_who_share() -> None:
    """One client is told to wait; another that shares the limiter does not even ask."""
    limiter = RateLimiter(max_wait_s=0)
    async with serve(exchange(reply(429, b"{}", {"retry-after": "30"}))) as server:
        a, b = (client_for(server, limiter=limiter) for _ in range(2))
        async with a, b:
            with pytest.raises(ModelError, match="429"):
                await read(a)
            with pytest.raises(NotAdmitted, match="the server asked to wait"):
                await read(b)
    assert len(server.requests) == 1


async def test_headers_are_heard() -> None:
    """`remaining: 0` in the headers of a good answer keeps the next request back."""
    limiter = RateLimiter(max_wait_s=0)
    said = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20s"}
    async with serve(exchange(sse(spoken(HELLO), said))) as server, client_for(server, limiter=limiter) as client:
        await read(client)
        with pytest.raises(NotAdmitted, match="the server has 0 requests left"):
            await client.complete("Hi")


async def test_the_calls_own_time_holds_in_line_too() -> None:
    """`total_s` is over while the request still waits: that is its timer, not the limiter's."""
    limiter = RateLimiter(max_in_flight=1)
    timeouts = Timeouts(total_s=0.05)
    async with serve(GOOD) as server, client_for(server, limiter=limiter, timeouts=timeouts) as client, limiter.admit():
        with pytest.raises(TransportTimeout) as caught:
            await read(client)
    assert (caught.value.timeout, server.requests) == ("total", [])


async def test_a_circuit_is_shared_and_keeps_the_server_alone() -> None:
    """Two failures of one client, and the other is refused on this side; the last failure is named."""
    circuit = Circuit(failures=2)
    async with serve(exchange(reply(500))) as server:
        a, b = (client_for(server, circuit=circuit, retry=RetryPolicy(jitter_s=0, base_delay_s=0)) for _ in range(2))
        async with a, b:
            with pytest.raises(CircuitOpen) as first:
                await read(a)
            with pytest.raises(CircuitOpen, match="last with server_error"):
                await b.complete("Hi")
    assert len(server.requests) == 2
    assert isinstance(first.value.__context__, ServerError | None)


async def test_answers_close_the_circuit() -> None:
    """A stream that is read to its end says that the server is well; one that breaks counts."""
    circuit = Circuit(failures=2)
    cut = (*HALF, END)
    async with serve(cut, GOOD, cut, cut) as server, client_for(server, circuit=circuit) as client:
        for fails in (True, False, True, True):
            if fails:
                with pytest.raises(ModelError):
                    await read(client)
            else:
                await read(client)
            assert circuit.state == ("open" if len(server.requests) == 4 else "closed")


@pytest.mark.parametrize("option", ["limiter", "circuit"])
async def test_gates_of_a_wrong_type(option: str) -> None:
    """Named when the client is made."""
    with pytest.raises(ConfigError, match=f"{option} must be a"):
        ModelClient("lab/m", base_url="http://127.0.0.1:1/v1", **{option: json})  # type: ignore[arg-type]  # the claim
