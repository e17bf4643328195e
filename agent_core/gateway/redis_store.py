"""What several gateways share: a Redis (extra `redis`). One that is down or slow costs a moment, never an answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import anyio

from ..errors import ConfigError
from ..logs import store_unreachable
from .settings import EnvName, Seconds, Table, secret_of
from .stores import StoreDown

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisSettings", "RedisStore"]

TIMEOUT_S = 0.5
REST_S = 1.0
"""After it could not be reached it is left alone for so long: not every request waits for it."""
LOG_EVERY_S = 60.0
MAX_CONNECTIONS = 64
PREFIX = "agent-core:"

T = TypeVar("T")


class RedisStore:
    """A Store in a Redis: `url` as redis-py reads it (`redis://`, `rediss://`, `unix://`), never shown. No call takes
    longer than `timeout_s`. `prefix` is before every key, so that several installations can share a Redis. Nothing is
    opened before the first call. Belongs to one event loop; raises ConfigError for a URL that is none, or without
    redis-py."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        prefix: str = PREFIX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if timeout_s <= 0:
            raise ConfigError("timeout_s is a bound", remedy="give a number above 0")
        self._redis = _client(url, timeout_s)
        self._timeout_s = timeout_s
        self._prefix = prefix
        self._clock = clock
        self._rests_until = float("-inf")
        self._logged_at = float("-inf")
        self._unlogged = 0

    def __repr__(self) -> str:
        return f"RedisStore(prefix={self._prefix!r})"

    async def get(self, *keys: str, renew_s: float | None = None) -> list[bytes | None]:
        async def found(redis: Redis) -> list[bytes | None]:
            async with redis.pipeline(transaction=False) as pipe:
                for name in self._names(keys):
                    pipe.getex(name, px=None if renew_s is None else _ms(renew_s))
                return list(await pipe.execute())

        return await self.run(found) if keys else []

    async def put(self, entries: Mapping[str, bytes], ttl_s: float) -> None:
        named = dict(zip(self._names(entries), entries.values(), strict=True))

        async def kept(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipe:
                for name, value in named.items():
                    pipe.set(name, value, px=_ms(ttl_s))
                await pipe.execute()

        if named and ttl_s > 0:
            await self.run(kept)

    async def delete(self, *keys: str) -> int:
        names = self._names(keys)
        return int(await self.run(lambda redis: redis.delete(*names))) if names else 0

    async def run(self, use: Callable[[Redis], Awaitable[T]]) -> T:
        """What `use` makes of the Redis. Raises StoreDown where that fails, takes too long, or has just failed."""
        from redis.exceptions import ConnectionError as Unreachable
        from redis.exceptions import RedisError
        from redis.exceptions import TimeoutError as TooSlow

        if self._clock() < self._rests_until:
            raise StoreDown
        try:
            with anyio.fail_after(self._timeout_s):
                return await use(self._redis)
        except (RedisError, OSError) as error:  # OSError: also the TimeoutError of the line above
            if isinstance(error, (Unreachable, TooSlow, OSError)):
                self._rests_until = self._clock() + REST_S
            self._log(type(error).__name__)
            raise StoreDown from None

    async def aclose(self) -> None:
        await self._redis.aclose()

    def _names(self, keys: Mapping[str, bytes] | tuple[str, ...]) -> list[str]:
        return [self._prefix + key for key in keys]

    def _log(self, error: str) -> None:
        self._unlogged += 1
        now = self._clock()
        if now - self._logged_at >= LOG_EVERY_S:
            store_unreachable("redis", error, self._unlogged)
            self._logged_at, self._unlogged = now, 0


class RedisSettings(Table):
    """`[redis]`: see RedisStore. A URL with a password is not for a file: `url_env` names its variable."""

    url: str = ""
    url_env: EnvName | None = None
    timeout_s: Seconds = TIMEOUT_S
    prefix: str = PREFIX

    def store(self) -> RedisStore:
        """Raises ConfigError for what is none."""
        if bool(self.url) == (self.url_env is not None) or "@" in self.url:
            raise ConfigError(
                "one of url, which has no password, and url_env is needed",
                remedy="write url, or url_env with the name of the environment variable that holds it",
            )
        url = self.url if self.url_env is None else secret_of(self.url_env)
        return RedisStore(url, timeout_s=self.timeout_s, prefix=self.prefix)


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _client(url: str, timeout_s: float) -> Redis:
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise ConfigError("a Redis needs redis-py", remedy="pip install 'agent-core[redis]'") from None
    try:
        pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - its kwargs have no type
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1),  # a connection that the server closed while it was idle
        )
    except ValueError:
        raise ConfigError(
            "the URL of the Redis is none",
            remedy="use redis://HOST:PORT/DB, rediss://… or unix://PATH",
        ) from None
    return Redis.from_pool(pool)
