"""The state of the Responses API, for every backend: `previous_response_id`, retrieve, delete, cancel, input items.

A response is kept unless its request says `store: false`, under an id of the gateway's own. A request that names one
goes to the backend with all that was said before it; its instructions are not carried over, as at OpenAI. Ids of a
backend's own are unknown here: a name may have many backends, and a history goes to any of them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Annotated

import anyio
from msgspec import structs
from pydantic import Field

from ..aggregation import fold
from ..codecs import CODECS
from ..codecs.base import json_bytes
from ..codecs.responses_envelope import encode_envelope
from ..errors import ConfigError, InvalidRequestError, ServerError
from ..events import Completed, Created, OutputItemDone, Response, ResponseEvent
from ..items import ResponseItem, checked_items
from ..prompt import Prompt
from .asking import Answer, Answerer, Ask, Door, Place, ReadAhead, Service
from .settings import Count, Given, ServiceTable
from .shelf import Kept, Shelf
from .stored_doors import doors
from .stores import MAX_BYTES, MAX_ENTRIES, MemoryStore, Store

__all__ = ["Running", "Stored", "StoredSettings"]

TTL_S = 86_400.0
MAX_RESPONSE_BYTES = 16 * 1024 * 1024


class Stored(Service):
    """`store`: where responses are kept, in this process without one; closed at the end. `ttl_s`: for how long after
    they were last used, 0 for not at all; `max_bytes`: of one turn. Raises ConfigError for a bound that is none."""

    place = Place.STORE

    def __init__(
        self, store: Store | None = None, *, ttl_s: float = TTL_S, max_bytes: int = MAX_RESPONSE_BYTES
    ) -> None:
        if ttl_s < 0 or max_bytes < 1:
            raise ConfigError("ttl_s and max_bytes are bounds", remedy="give a ttl_s from 0, a max_bytes above 0")
        self._store: Store = MemoryStore() if store is None else store
        self.shelf = Shelf(self._store, ttl_s=ttl_s, max_bytes=max_bytes)
        self.running: dict[tuple[str, str], Running] = {}
        """Answers that are being given by this process, by caller and id."""

    def around(self, inner: Answerer) -> Answerer:
        return _Storing(self, inner)

    def doors(self) -> Sequence[Door]:
        return doors(self)

    def numbers(self) -> Mapping[str, float]:
        return {"in_flight": len(self.running)}

    async def cancel(self, caller: str, response_id: str) -> bytes | None:
        """End an answer that is being given: its client is told, and what there was of it is kept. The object that it
        became; None where none is given under this id."""
        running = self.running.get((caller, response_id))
        if running is None:
            return None
        if running.result is not None:  # it is over, and on its way to the shelf
            return running.result.body
        running.cancel()
        kept = running.kept("cancelled")
        await self.shelf.keep(caller, response_id, kept)
        return kept.body

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._store.aclose()


class StoredSettings(ServiceTable):
    """`[store]`: see Stored. `max_entries` and `max_memory_bytes` bound it in this process: without `[redis]`."""

    ttl_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = TTL_S
    max_bytes: Count = MAX_RESPONSE_BYTES
    max_entries: Count = MAX_ENTRIES
    max_memory_bytes: Count = MAX_BYTES

    def service(self, given: Given) -> Service:
        store = given.store(max_entries=self.max_entries, max_bytes=self.max_memory_bytes)
        return Stored(store, ttl_s=self.ttl_s, max_bytes=self.max_bytes)


class _Storing:
    def __init__(self, stored: Stored, inner: Answerer) -> None:
        self._stored = stored
        self._inner = inner

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        """Raises InvalidRequestError (400) for an id that is not kept for this caller, and for what cannot be had here:
        an answer in the background."""
        if ask.wire != "responses":
            async with self._inner.answer(ask) as answer:
                yield answer
            return
        if any(loss.feature == "background" for loss in ask.losses):
            raise _no_background()
        caller, prompt, stored = ask.caller.name, ask.prompt, self._stored
        if prompt.previous_response_id is not None:
            earlier = await stored.shelf.history(caller, prompt.previous_response_id)
            whole = checked_items((*earlier, *prompt.items))
            ask = ask.with_prompt(replace(prompt, items=whole, previous_response_id=None))
        async with self._inner.answer(ask) as answer:
            if prompt.store is False:
                yield answer
                return

            async def keep(kept: Kept) -> None:
                await stored.shelf.keep(caller, running.id, kept)

            running = Running(answer.events, prompt, keep)
            stored.running[caller, running.id] = running
            try:
                with running.scope:
                    yield replace(answer, events=running)
            finally:
                del stored.running[caller, running.id]
            if running.cancelled:
                raise _cancelled()


class Running:
    """An answer that is being given, under an id of its own: its events, until somebody cancels it. `finished` is
    awaited with all of it, its `result`, before its end is told."""

    def __init__(
        self, events: AsyncIterator[ResponseEvent], prompt: Prompt, finished: Callable[[Kept], Awaitable[None]]
    ) -> None:
        self.id = f"resp_{os.urandom(24).hex()}"
        self.prompt = prompt
        self.cancelled = False
        self.result: Kept | None = None
        self._events = events
        self._ready = events.ready if isinstance(events, ReadAhead) else None
        self._finished = finished
        self._done: list[OutputItemDone] = []
        self._end: Completed | None = None
        self.scope = anyio.CancelScope()
        """Around the block of the answer: what waits for its events, or for its client, ends."""

    def cancel(self) -> None:
        self.cancelled = True
        self.scope.cancel()

    def kept(self, status: str) -> Kept:
        """What there is of it by now: whole items."""
        items = tuple(event.item for event in self._done)
        response = Response(self.id, self.prompt.model, items, status="incomplete")
        return self._kept(items, json_bytes(encode_envelope(response, self.prompt, status=status)))

    def __aiter__(self) -> Running:
        return self

    async def __anext__(self) -> ResponseEvent:
        if self.cancelled:
            raise _cancelled()
        event = self._named(await anext(self._events)) if self._end is None else self._end
        if isinstance(event, Completed):
            self._end = None
            self.result = self._whole(event)
            await self._finished(self.result)
        return event

    def ready(self) -> Sequence[ResponseEvent]:
        """See ReadAhead. The end is never among them: it has to wait."""
        more = [] if self._ready is None or self.cancelled else list(map(self._named, self._ready()))
        if more and isinstance(more[-1], Completed):
            self._end = more.pop()  # type: ignore[assignment]  # the line above says what it is
        return more

    def _named(self, event: ResponseEvent) -> ResponseEvent:
        if isinstance(event, OutputItemDone):
            self._done.append(event)
        elif isinstance(event, Created | Completed):
            return structs.replace(event, response_id=self.id)
        return event

    def _whole(self, end: Completed) -> Kept:
        response = fold((*self._done, end))
        response = structs.replace(response, model=self.prompt.model or response.model)
        return self._kept(response.items, CODECS["responses"].encode_response(response, self.prompt))

    def _kept(self, items: tuple[ResponseItem, ...], body: bytes) -> Kept:
        return Kept(self.prompt.previous_response_id or "", self.prompt.items, items, body)


def _cancelled() -> ServerError:
    return ServerError("the response was cancelled", status=500, code="response_cancelled")


def _no_background() -> InvalidRequestError:
    return InvalidRequestError(
        "background responses are not made here: leave background out, and ask for a stream",
        status=400,
        error_type="invalid_request_error",
        param="background",
    )
