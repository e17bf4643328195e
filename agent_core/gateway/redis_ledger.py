"""Counters in a Redis: what keys have used, for gateways of several machines."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..errors import ServerError
from .ledger import Step
from .redis_store import RedisStore
from .stores import StoreDown

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisLedger"]

PREFIX = "agent-core:used:"


class RedisLedger:
    """A Ledger in the Redis of a store, which others may use too; it is closed at the end of the block."""

    def __init__(self, store: RedisStore, *, prefix: str = PREFIX) -> None:
        self._store = store
        self._prefix = prefix

    @property
    def store(self) -> RedisStore:
        return self._store

    def __repr__(self) -> str:
        return f"RedisLedger(prefix={self._prefix!r})"

    async def add(self, steps: Mapping[str, Step]) -> dict[str, int]:
        async def added(redis: Redis) -> list[object]:
            async with redis.pipeline(transaction=True) as pipe:
                for name, step in steps.items():
                    if step.by:
                        pipe.incrby(self._prefix + name, step.by)
                    else:
                        pipe.get(self._prefix + name)
                for name, step in steps.items():
                    if step.by and step.keep_s is not None:
                        pipe.pexpire(self._prefix + name, ceil(step.keep_s * 1000))
                return list(await pipe.execute())

        if not steps:
            return {}
        try:
            sums = await self._store.run(added)
        except StoreDown:
            raise ServerError("the gateway cannot count what is used", status=503, code="ledger") from None
        return {name: _number(said) for name, said in zip(steps, sums, strict=False)}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._store.aclose()


def _number(said: object) -> int:
    return int(said) if isinstance(said, int | bytes | str) else 0
