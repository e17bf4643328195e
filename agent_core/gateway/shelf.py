"""Responses on a shelf: each with what was new in its turn and the id of the one before it, so that a conversation of n
turns takes the room of n turns."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from ..errors import InvalidPromptError, InvalidRequestError, ServerError
from ..items import ResponseItem
from .cache_key import canonical
from .stores import Store, StoreDown
from .written import items_from, written_items

__all__ = ["Kept", "Shelf", "not_found"]

MAX_TURNS = 1000
MAX_HISTORY_BYTES = 64 * 1024 * 1024
"""Of what one id stands for: as much as a body may have."""


class Kept(NamedTuple):
    """A response: the one it goes on from, what was asked and answered in its turn, and the object that clients see."""

    parent: str
    asked: tuple[ResponseItem, ...]
    answered: tuple[ResponseItem, ...]
    body: bytes


class _Record(Struct, frozen=True):
    v: Literal[1]
    parent: str
    asked: msgspec.Raw
    answered: msgspec.Raw
    body: msgspec.Raw


_decode = msgspec.json.Decoder(_Record).decode


class Shelf:
    """Responses by caller and id. Whoever is not the caller finds nothing. Every method but `keep` raises ServerError
    (503) where the store cannot be reached: that an id is unknown would not be true."""

    def __init__(self, store: Store, *, ttl_s: float, max_bytes: int) -> None:
        self._store = store
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes

    async def keep(self, caller: str, response_id: str, kept: Kept) -> None:
        """Nothing is kept of what is too large, or while the store is down."""
        record = _Record(
            v=1,
            parent=kept.parent,
            asked=msgspec.Raw(written_items(kept.asked)),
            answered=msgspec.Raw(written_items(kept.answered)),
            body=msgspec.Raw(kept.body),
        )
        data = msgspec.json.encode(record)
        if len(data) <= self._max_bytes:
            try:
                await self._store.put({_key(caller, response_id): data}, self._ttl_s)
            except StoreDown:
                return

    async def find(self, caller: str, response_id: str) -> Kept | None:
        found = await self._read(caller, response_id, renew_s=None)
        return None if found is None else _kept(found[0])

    async def delete(self, caller: str, response_id: str) -> bool:
        try:
            return await self._store.delete(_key(caller, response_id)) > 0
        except StoreDown:
            raise _down() from None

    async def history(self, caller: str, response_id: str) -> tuple[ResponseItem, ...]:
        """All that was asked and answered up to and with this response, which is kept for longer, as all before it are.
        Raises InvalidRequestError (400) where one of them is not there, or there are too many."""
        records: list[_Record] = []
        size, at = 0, response_id
        while at:
            found = await self._read(caller, at, renew_s=self._ttl_s)
            if found is None:
                raise _no_previous(response_id, at)
            records.append(found[0])
            size, at = size + found[1], found[0].parent
            if len(records) > MAX_TURNS or size > MAX_HISTORY_BYTES:
                raise InvalidRequestError(
                    f"the conversation behind {response_id[:100]!r} is too long",
                    status=400,
                    code="context_length_exceeded",
                    param="previous_response_id",
                )
        turns = [_kept(record) for record in reversed(records)]
        if None in turns:
            raise _no_previous(response_id, response_id)
        return tuple(item for turn in turns if turn is not None for item in (*turn.asked, *turn.answered))

    async def _read(self, caller: str, response_id: str, *, renew_s: float | None) -> tuple[_Record, int] | None:
        try:
            (data,) = await self._store.get(_key(caller, response_id), renew_s=renew_s)
        except StoreDown:
            raise _down() from None
        if data is None:
            return None
        try:
            return _decode(data), len(data)
        except ValueError:  # another version's, or damaged
            return None


def _kept(record: _Record) -> Kept | None:
    try:
        return Kept(record.parent, items_from(record.asked), items_from(record.answered), bytes(record.body))
    except (ValueError, InvalidPromptError):
        return None


def _key(caller: str, response_id: str) -> str:
    return f"response:{sha256(canonical([caller, response_id])).hexdigest()}"


def not_found(response_id: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"Response with id {response_id[:100]!r} not found.",
        status=404,
        code="not_found",
        error_type="invalid_request_error",
        param="response_id",
    )


def _no_previous(response_id: str, missing: str) -> InvalidRequestError:
    which = "" if missing == response_id else f" It goes on from {missing[:100]!r}, which is gone."
    return InvalidRequestError(
        f"Previous response with id {response_id[:100]!r} not found.{which}",
        status=400,
        code="previous_response_not_found",
        error_type="invalid_request_error",
        param="previous_response_id",
    )


def _down() -> ServerError:
    return ServerError("the responses that are kept cannot be reached now", status=503, retry_after_s=1.0)
