"""Whole answers, kept for a while: an equal request of the same caller needs no backend.

What is kept is what was said, not its bytes: it is told again on any wire, streamed or whole, under an id of its own.
Only answers that ended by themselves are kept, once all of them has been said; a client that leaves keeps nothing.
Equal requests that come while the first is being answered wait for it (`flights`).
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Annotated

from msgspec import structs
from pydantic import Field

from ..codecs.answer_words import own_id
from ..codecs.whole import response_events
from ..errors import ConfigError, InvalidRequestError
from ..events import Response
from ..items import CustomToolCall, FunctionCall, JsonValue, Message, Reasoning, ResponseItem, WireName
from .asking import Answer, Answerer, Ask, Place, Service
from .cache_key import cache_key
from .flights import Flight, Flights
from .settings import Count, Given, Seconds, ServiceTable
from .stores import MAX_BYTES, MAX_ENTRIES, MemoryStore, Store, StoreDown
from .tapping import Replayed, Tapped
from .written import GivenAnswer, read_given, write_given

__all__ = ["CACHE_HEADER", "MAX_TTL_S", "TTL_MEMBER", "Cache", "CacheSettings"]

CACHE_HEADER = "x-agent-core-cache"
"""`hit`: no backend was asked; `miss`: one was; `bypass`: the request wanted nothing to do with the cache."""
TTL_MEMBER = "cache_ttl_secs"
MAX_TTL_S = 86_400
TTL_S = 300.0
MAX_ANSWER_BYTES = 1024 * 1024
WAIT_S = 60.0


class Cache(Service):
    """`store`: where answers are kept, in this process without one; closed at the end. `ttl_s`: how long, where a
    request does not say; `calls`: also answers that call tools; `max_bytes`: of one answer; `wait_s`: how long a
    request waits for the answer to an equal one before it asks for itself. Raises ConfigError for a bound that is none.

    A request says how long with a member `cache_ttl_secs`, on every wire: seconds up to a day, 0 for no part in it. The
    header `cache-control: no-store` says the same as 0; `no-cache` wants a new answer, which is kept.
    """

    place = Place.CACHE

    def __init__(
        self,
        store: Store | None = None,
        *,
        ttl_s: float = TTL_S,
        calls: bool = False,
        max_bytes: int = MAX_ANSWER_BYTES,
        wait_s: float = WAIT_S,
    ) -> None:
        if not 0 < ttl_s <= MAX_TTL_S or max_bytes < 1 or wait_s < 0:
            raise ConfigError(
                "ttl_s, max_bytes and wait_s are bounds", remedy=f"give numbers above 0, ttl_s up to {MAX_TTL_S}"
            )
        self.store: Store = MemoryStore() if store is None else store
        self.ttl_s = ttl_s
        self.calls = calls
        self.max_bytes = max_bytes
        self.flights: Flights[GivenAnswer] = Flights(wait_s)
        self._states: dict[str, int] = {"hit": 0, "miss": 0, "bypass": 0}

    def around(self, inner: Answerer) -> Answerer:
        return _Cached(self, inner)

    def numbers(self) -> Mapping[str, float]:
        hits, misses, bypassed = self._states.values()
        return {"hits": hits, "misses": misses, "bypassed": bypassed, "in_flight": len(self.flights)}

    def told(self, answer: Answer, state: str) -> Answer:
        """The answer that says how it came."""
        self._states[state] += 1
        return replace(answer, headers={**answer.headers, CACHE_HEADER: state})

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.store.aclose()

    async def read(self, key: str) -> GivenAnswer | None:
        try:
            (data,) = await self.store.get(key)
        except StoreDown:
            return None
        return None if data is None else read_given(data)

    async def keep(self, key: str, given: GivenAnswer, ttl_s: float) -> None:
        data = write_given(given)
        if len(data) <= self.max_bytes:
            try:
                await self.store.put({key: data}, ttl_s)
            except StoreDown:
                return

    def may_keep(self, response: Response) -> bool:
        """Whether it ended by itself, and all of it is the same tomorrow."""
        ends = ("stop", "tool_calls") if self.calls else ("stop",)
        clean = response.status == "completed" and response.finish_reason in ends and bool(response.items)
        return clean and (self.calls or not response.tool_calls)


class CacheSettings(ServiceTable):
    """`[cache]`: see Cache. `max_entries` and `max_memory_bytes` bound it in this process: without `[redis]`."""

    ttl_s: Annotated[float, Field(gt=0, le=MAX_TTL_S)] = TTL_S
    calls: bool = False
    max_bytes: Count = MAX_ANSWER_BYTES
    wait_s: Seconds = WAIT_S
    max_entries: Count = MAX_ENTRIES
    max_memory_bytes: Count = MAX_BYTES

    def service(self, given: Given) -> Service:
        store = given.store(max_entries=self.max_entries, max_bytes=self.max_memory_bytes)
        return Cache(store, ttl_s=self.ttl_s, calls=self.calls, max_bytes=self.max_bytes, wait_s=self.wait_s)


class _Cached:
    def __init__(self, cache: Cache, inner: Answerer) -> None:
        self._cache = cache
        self._inner = inner

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        """Raises InvalidRequestError (400) for a `cache_ttl_secs` that is none."""
        ttl_s = _ttl_s(ask.prompt.extra.get(TTL_MEMBER), self._cache.ttl_s)
        if TTL_MEMBER in ask.prompt.extra:
            rest = {name: value for name, value in ask.prompt.extra.items() if name != TTL_MEMBER}
            ask = ask.with_prompt(replace(ask.prompt, extra=rest))
        wishes = _wishes(ask)
        if not ttl_s or "no-store" in wishes:
            async with self._inner.answer(ask) as answer:
                yield self._cache.told(answer, "bypass")
            return
        key = f"cache:{cache_key(ask)}"
        cache = self._cache
        begun: GivenAnswer | Flight[GivenAnswer]
        if "no-cache" in wishes:
            begun = cache.flights.begin(key)
        else:
            begun = await cache.flights.join(key, cache.read)
        if isinstance(begun, GivenAnswer):
            yield cache.told(_again(begun, ask.wire), "hit")
            return
        async with begun, self._asked(ask, key, ttl_s, begun) as answer:
            yield answer

    @asynccontextmanager
    async def _asked(self, ask: Ask, key: str, ttl_s: float, flight: Flight[GivenAnswer]) -> AsyncGenerator[Answer]:
        async with self._inner.answer(ask) as answer:

            async def whole(response: Response) -> None:
                several = len(ask.bill.entries) > 1  # tools of the gateway ran: they may say something else tomorrow
                if self._cache.may_keep(response) and not several:
                    given = GivenAnswer(response, answer.model, answer.losses)
                    await self._cache.keep(key, given, ttl_s)
                    flight.landed(given)
                else:
                    flight.landed(None)

            yield self._cache.told(replace(answer, events=Tapped(answer.events, whole)), "miss")


def _ttl_s(value: JsonValue, default_s: float) -> float:
    """S0-40: nothing is the default, fractions are cut, 0 is no part in it."""
    if value is None:
        return default_s
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= int(value) <= MAX_TTL_S or value < 0:
        raise InvalidRequestError(
            f"{TTL_MEMBER} must be a number from 0 to {MAX_TTL_S}",
            status=400,
            error_type="invalid_request_error",
            param=TTL_MEMBER,
        )
    return int(value)


def _wishes(ask: Ask) -> set[str]:
    return {word.strip().lower() for word in ask.headers.get("cache-control", "").split(",")}


def _again(given: GivenAnswer, wire: WireName) -> Answer:
    """The same words under another id (S0-43), with nothing on the bill."""
    named = own_id(f"resp_{os.urandom(16).hex()}", wire)
    response = structs.replace(given.response, id=named, items=tuple(map(_unnamed, given.response.items)))
    return Answer(Replayed(response_events(response)), given.model, losses=given.losses)


def _unnamed(item: ResponseItem) -> ResponseItem:
    """The item without the id that its provider gave it: two answers have no item in common."""
    if isinstance(item, Message | Reasoning | FunctionCall | CustomToolCall) and item.origin and item.origin.item_id:
        return item.model_copy(update={"origin": item.origin.model_copy(update={"item_id": ""})})
    return item
