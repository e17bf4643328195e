"""Where what outlives a request is kept: this process, or a Redis; the same contract."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator

import pytest

from agent_core.errors import ConfigError
from agent_core.gateway.redis_store import RedisStore
from agent_core.gateway.stores import MemoryStore, Store, StoreDown

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    kept = RedisStore(request.getfixturevalue("redis_url"), prefix=f"test-{os.urandom(4).hex()}:")
    yield kept
    await kept.aclose()


async def test_what_is_put_is_got(store: Store) -> None:
    """T-Q3: several at once, a miss among them; what is deleted is gone; bytes of any kind."""
    await store.put({"a": b"1", "b": b"\x00\xff"}, 60)
    assert await store.get("b", "c", "a") == [b"\x00\xff", None, b"1"]
    await store.put({"a": b"2"}, 60)
    assert await store.delete("a", "c") == 1
    assert await store.get("a", "b", renew_s=60) == [None, b"\x00\xff"]
    assert await store.get() == []
    await store.aclose()
    await store.aclose()


async def test_nothing_is_kept_for_no_time(store: Store) -> None:
    await store.put({"a": b"1"}, 0)
    assert await store.get("a") == [None]


async def test_memory_forgets_when_the_time_is_over() -> None:
    """T-Q3: each entry has its own time, longer or shorter; reading may renew it."""
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0])
    await store.put({"short": b"1"}, 10)
    await store.put({"long": b"2", "renewed": b"3"}, 100)
    now[0] = 10
    assert await store.get("short", "long") == [None, b"2"]
    await store.get("renewed", renew_s=200)
    now[0] = 100
    assert await store.get("long", "renewed") == [None, b"3"]
    assert (len(store), await store.delete("short", "long", "renewed")) == (1, 1)


async def test_redis_forgets_when_the_time_is_over(redis_url: str) -> None:
    """T-Q3: the server is told for how long, in milliseconds; and again when an entry is renewed."""
    store = RedisStore(redis_url, prefix="time:")
    await store.put({"a": b"1"}, 10)
    assert 9_000 < await store.run(lambda redis: redis.pttl("time:a")) <= 10_000
    await store.get("a", renew_s=300)
    assert 290_000 < await store.run(lambda redis: redis.pttl("time:a")) <= 300_000
    await store.aclose()


BOUNDS: dict[str, tuple[MemoryStore, list[str]]] = {
    "entries": (MemoryStore(max_entries=2), ["a", "c"]),
    "bytes": (MemoryStore(max_bytes=25), ["a", "c"]),
    "one that is larger than all": (MemoryStore(max_bytes=10), []),
}


@pytest.mark.parametrize("name", BOUNDS)
async def test_memory_is_bounded(name: str) -> None:
    """T-Q3: what was used longest ago goes first."""
    store, left = BOUNDS[name]
    await store.put({"a": b"x" * 10}, 60)
    await store.put({"b": b"x" * 10}, 60)
    await store.get("a")
    await store.put({"c": b"x" * 10}, 60)
    found = await store.get("a", "b", "c")
    assert [key for key, value in zip("abc", found, strict=True) if value] == left


async def test_a_redis_that_is_down_is_asked_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    """Every call says so, at once while it rests; the log has one record a minute."""
    now = [0.0]
    store = RedisStore("unix:///nowhere/redis.sock", clock=lambda: now[0])
    caplog.set_level(logging.WARNING, "agent_core.gateway")
    for at in (0.0, 0.5, 2.0, 4.0, 61.0):
        now[0] = at
        with pytest.raises(StoreDown):
            await store.get("a")
    facts = [(record.__dict__["error"], record.__dict__["failures"]) for record in caplog.records]
    assert facts == [("ConnectionError", 1), ("ConnectionError", 3)]
    await store.aclose()


async def test_a_redis_that_is_silent_is_not_waited_for() -> None:
    """It accepts the connection, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        store = RedisStore(f"redis://127.0.0.1:{listening.getsockname()[1]}", timeout_s=0.05)
        with pytest.raises(StoreDown):
            await store.put({"a": b"1"}, 60)
        await store.aclose()


async def test_an_error_of_redis_is_no_rest(redis_url: str) -> None:
    """What one command cannot do, another may."""
    store = RedisStore(redis_url, prefix="odd:")
    await store.run(lambda redis: redis.rpush("odd:list", "x"))
    with pytest.raises(StoreDown):
        await store.get("list", renew_s=5)
    assert await store.get("other") == [None]
    await store.aclose()


def test_urls_that_are_none() -> None:
    """Refused without being shown: they hold passwords."""
    with pytest.raises(ConfigError, match="none") as caught:
        RedisStore("http://:secret@host")
    assert "secret" not in str(caught.value) + repr(RedisStore("redis://:secret@host"))
