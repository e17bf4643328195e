"""What keys used, in a Redis: one count for gateways of several machines."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
from redis.asyncio import Redis

from agent_core.errors import RateLimitError, ServerError
from agent_core.gateway.ledger import Step
from agent_core.gateway.redis_ledger import RedisLedger
from agent_core.gateway.redis_store import RedisStore

from ..loopback import free_port
from .test_key_limits import Story, key

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def opened(url: str, prefix: str) -> AsyncGenerator[RedisLedger]:
    async with RedisLedger(RedisStore(url, timeout_s=5), prefix=prefix) as ledger:
        yield ledger


async def left_ms(name: str, redis: Redis) -> int:
    return int(await redis.pttl(name))


async def test_sums_include_what_was_added(redis_url: str) -> None:
    """What is not there is 0; nothing added reads; counters end by themselves, those for ever do not."""
    async with opened(redis_url, "sums:") as ledger:
        assert await ledger.add({"a": Step(2, 60), "b": Step(0, 60), "c": Step(1)}) == {"a": 2, "b": 0, "c": 1}
        assert await ledger.add({"b": Step(0), "a": Step(-5, 60)}) == {"b": 0, "a": -3}
        assert await ledger.add({}) == {}
        left = [await ledger.store.run(partial(left_ms, f"sums:{name}")) for name in ("a", "b", "c")]
        assert 0 < left[0] <= 60_000
        assert left[1:] == [-2, -1]  # not there; without an end


async def test_gateways_share_what_is_left(redis_url: str) -> None:
    """However many ask at once, at however many gateways: no more come in than may."""
    async with opened(redis_url, "shared:") as one, opened(redis_url, "shared:") as other:
        stories = [Story(key(requests_per_minute=5), ledger) for ledger in (one, other)]
        answered: list[str] = []

        async def ask(story: Story) -> None:
            try:
                await story.asks()
                answered.append("")
            except RateLimitError:
                pass

        async with anyio.create_task_group() as tasks:
            for n in range(20):
                tasks.start_soon(ask, stories[n % 2])
        assert 1 <= len(answered) <= 5
        assert await stories[0].counted("requests") == len(answered)


async def test_a_redis_that_is_gone_is_told_as_such() -> None:
    """503: a budget that cannot be looked at is not spent."""
    async with opened(f"redis://127.0.0.1:{free_port()}", "x:") as ledger:
        with pytest.raises(ServerError) as caught:
            await ledger.add({"a": Step(1)})
    assert (caught.value.status, caught.value.code) == (503, "ledger")
