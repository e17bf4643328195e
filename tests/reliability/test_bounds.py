"""Bounded memory and bounded time, whatever a server sends: bombs, endless events and errors."""

from __future__ import annotations

import tracemalloc
from collections.abc import Generator
from contextlib import contextmanager

import anyio
import pytest

from agent_core import ModelClient
from agent_core.client import MAX_ANSWER_BYTES, MAX_ERROR_BYTES
from agent_core.codecs.sse import MAX_EVENT_BYTES
from agent_core.errors import EventTooLarge, ServerError, TransportTimeout
from agent_core.retry import RetryPolicy
from agent_core.testing import Fault, FaultServer, Step
from agent_core.transport import Timeouts
from agent_core.transport_choice import TransportName

from ..loopback import CLOSE, STALL, Exchange, chunk, exchange, serve
from ..stacks import STACKS

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
NEVER = RetryPolicy(max_attempts=1)
BROKEN = b"HTTP/1.1 500 Broken\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"


@contextmanager
def held_at_most(size: int) -> Generator[None]:
    """No more than that was held at once, by server and client together, inside."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= size, f"{peak / MIB:.0f} MiB"


@pytest.mark.parametrize(("anyio_backend", "sender"), STACKS[:2])
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    "fault",
    [Fault("gzip_bomb", "text", size_bytes=1024 * MIB), Fault("long_event", "text", size_bytes=256 * MIB)],
    ids=lambda fault: str(fault.kind),
)
async def test_answers_without_end(sender: TransportName, fault: Fault, streamed: bool) -> None:
    """One event may have 32 MiB, one whole answer 64: what is longer is refused, and no more of it is held."""
    cap = MAX_EVENT_BYTES if streamed else MAX_ANSWER_BYTES
    with FaultServer([Step(text="Hello to you, too.")], [fault]) as server, held_at_most(cap + 16 * MIB):
        async with ModelClient(
            server.model, provider=server.provider, wire="chat", retry=NEVER, transport=sender
        ) as client:
            with pytest.raises(EventTooLarge):
                if not streamed:
                    await client.complete("Hello")
                async with client.stream("Hello") as events:
                    async for _ in events:
                        pass


async def test_comments_without_end() -> None:
    """64 MiB of them are counted, not kept."""
    comments = chunk(b": " + b"x" * 65533 + b"\n") * 8
    with held_at_most(32 * MIB):
        async with serve(exchange(BROKEN.replace(b"500 Broken", b"200 Fine"), *[comments] * 128, STALL)) as server:
            timeouts = Timeouts(first_event_s=0.3)
            async with ModelClient("lab/m", base_url=server.url, retry=NEVER, timeouts=timeouts) as client:
                with pytest.raises(TransportTimeout, match="no event"):
                    async with client.stream("Hello"):
                        pass


@pytest.mark.parametrize(
    "steps",
    [
        exchange(BROKEN, chunk(b"why: "), STALL),
        exchange(BROKEN, chunk(b"why: "), CLOSE),
        exchange(BROKEN, chunk(b"why: " + b"x" * (MAX_ERROR_BYTES + 1)), STALL),
    ],
    ids=["stalls", "breaks off", "goes on and on"],
)
async def test_errors_without_end(steps: Exchange) -> None:
    """The status is the news: it is told with what came of its explanation, and not waited for beyond a timer."""
    async with serve(steps) as server:
        timeouts = Timeouts(first_event_s=0.2)
        async with ModelClient("lab/m", base_url=server.url, retry=NEVER, timeouts=timeouts) as client:
            with pytest.raises(ServerError) as caught, anyio.fail_after(2):
                await client.stream("Hello").__aenter__()
    assert caught.value.status == 500
    assert caught.value.body.startswith("why:")
