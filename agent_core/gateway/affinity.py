"""Follow-ups go where their beginning is known: a deployment that has answered a conversation has it in its cache.

What was asked and what was answered are hashed when an answer is whole, and name the deployment that gave it. A
request whose beginning is known prefers that deployment, by its longest known beginning; else, where its client says
which session it is of (S3-9), that of the session, which holds when a client shortens its history.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from types import TracebackType

from ..errors import ConfigError, ContentFilterError, HeldBack, InvalidRequestError, ModelError
from ..events import Response
from .asking import Answer, Answerer, Ask, Place, Service
from .cache_key import canonical
from .prefixes import Prefixes
from .settings import Count, Given, Seconds, ServiceTable
from .stores import MemoryStore, Store, StoreDown
from .tapping import Tapped

__all__ = ["Affinity", "AffinitySettings", "session_of"]

TTL_S = 3600.0
MAX_ENTRIES = 100_000
MAX_BYTES = 32 * 1024 * 1024
MAX_LOOKED = 16
"""So many beginnings are looked for, the longest first."""

_HEADERS = (
    "thread-id",  # Codex: one for each of a session's threads
    "session-id",
    "session_id",
    "x-claude-code-session-id",
    "x-session-id",
    "conversation_id",
    "x-conversation-id",
)
_IN_USER = re.compile(r"session_(?:id\"\s*:\s*\")?([0-9A-Za-z-]{16,64})")
"""Claude Code writes its session into `metadata.user_id`: `user_…_session_UUID`, or JSON."""

_NOT_ITS_FAULT = (InvalidRequestError, ContentFilterError, HeldBack)


class Affinity(Service):
    """`store`: where it is kept who answered, in this process without one; closed at the end. `ttl_s`: for how long; a
    provider's cache lives for minutes, rarely for an hour. Raises ConfigError for a time that is none."""

    place = Place.AFFINITY

    def __init__(self, store: Store | None = None, *, ttl_s: float = TTL_S) -> None:
        if ttl_s <= 0:
            raise ConfigError("ttl_s is a time", remedy="give a number above 0")
        self.store: Store = MemoryStore(max_entries=MAX_ENTRIES, max_bytes=MAX_BYTES) if store is None else store
        self.ttl_s = ttl_s
        self._known = self._unknown = 0

    def numbers(self) -> Mapping[str, float]:
        return {"known": self._known, "unknown": self._unknown}

    def around(self, inner: Answerer) -> Answerer:
        return _Sticky(self, inner)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.store.aclose()

    async def known(self, keys: Sequence[str]) -> tuple[str, list[str]]:
        """The deployment that the first known key names, and all keys that name it."""
        try:
            named = await self.store.get(*keys)
        except StoreDown:
            named = []
        first = next((value for value in named if value is not None), None)
        if first is None:
            self._unknown += 1
            return "", []
        self._known += 1
        return first.decode("utf-8", "replace"), [key for key, value in zip(keys, named, strict=True) if value == first]

    async def remember(self, keys: Sequence[str], deployment: str) -> None:
        try:
            await self.store.put(dict.fromkeys(keys, deployment.encode()), self.ttl_s)
        except StoreDown:
            return

    async def forget(self, keys: Sequence[str]) -> None:
        try:
            await self.store.delete(*keys)
        except StoreDown:
            return


class AffinitySettings(ServiceTable):
    """`[affinity]`: see Affinity. `max_entries` bounds it in this process: without `[redis]`."""

    ttl_s: Seconds = TTL_S
    max_entries: Count = MAX_ENTRIES

    def service(self, given: Given) -> Service:
        return Affinity(given.store(max_entries=self.max_entries, max_bytes=MAX_BYTES), ttl_s=self.ttl_s)


class _Sticky:
    def __init__(self, affinity: Affinity, inner: Answerer) -> None:
        self._affinity = affinity
        self._inner = inner

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        """An answer of who knows the conversation, if it can. What is known of a deployment that fails is forgotten,
        also in the middle of an answer (S3-28), and where another had to stand in."""
        prefixes = Prefixes(ask.caller.name, ask.prompt)
        session = [f"affinity:{key}"] if (key := session_of(ask)) else []
        looked = [f"affinity:{end}" for end in reversed(prefixes.ends[-MAX_LOOKED:])]
        preferred, by = await self._affinity.known([*looked, *session])
        if preferred and not ask.prefer:
            ask = replace(ask, prefer=preferred)
        try:
            async with self._inner.answer(ask) as answer:
                if by and answer.deployment != preferred:
                    await self._affinity.forget(by)

                async def whole(response: Response) -> None:
                    if answer.deployment and response.finish_reason != "error":
                        written = f"affinity:{prefixes.with_reply(response.items)}"
                        await self._affinity.remember([written, *session], answer.deployment)

                yield replace(answer, events=Tapped(answer.events, whole))
        except ModelError as error:
            if by and not isinstance(error, _NOT_ITS_FAULT):
                await self._affinity.forget(by)
            raise


def session_of(ask: Ask) -> str:
    """A hash of the session that the client says the request is of, for this caller and model; empty if it does not."""
    prompt = ask.prompt
    named = next((value for name in _HEADERS if (value := ask.headers.get(name))), "")
    in_user = _IN_USER.search(prompt.user or "")
    session = prompt.prompt_cache_key or named or (in_user.group(1) if in_user else "")
    return sha256(canonical([ask.caller.name, prompt.model, "session", session])).hexdigest() if session else ""
