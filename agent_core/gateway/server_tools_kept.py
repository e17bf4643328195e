"""Turns in which the model called tools of the gateway and tools of its client, until the client has answered.

The client is shown its own calls alone, and sends back what it was shown. The whole turn is kept: it takes the place of
what the client sends, so the model finds its own calls, their outputs and its reasoning where they were, and prompt
caches hold. A turn is known by its caller, the calls that were shown and what the user had said before them; a client
that changed the text of it is taken at its word. What is no longer kept is left out of the history.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from ..errors import InvalidPromptError
from ..guards import canonical_arguments
from ..items import CallItem, CallOutputItem, CustomToolCall, FunctionCall, Message, ResponseItem, text_of
from .cache_key import canonical
from .stores import MemoryStore, Store, StoreDown
from .written import items_from, written_items

__all__ = ["KEPT_S", "MAX_BYTES_KEPT", "MAX_TURNS_KEPT", "KeptTurns"]

MAX_TURNS_KEPT = 4096
MAX_BYTES_KEPT = 64 * 1024 * 1024
MAX_TURN_BYTES = 16 * 1024 * 1024
KEPT_S = 3600.0
"""Since a turn was last asked for: people answer what they are asked for approval of within the hour, or not at all."""
MAX_RUNS = 256
"""Turns of one history that are looked for, the last ones."""


class KeptTurns:
    """`store`: where they are, in this process without one; closed with `aclose`. Kept for `kept_s` since they were
    last asked for, if they have no more than `max_bytes`. A store that is down keeps and knows nothing."""

    def __init__(self, store: Store | None = None, *, kept_s: float = KEPT_S, max_bytes: int = MAX_TURN_BYTES) -> None:
        own = MemoryStore(max_entries=MAX_TURNS_KEPT, max_bytes=MAX_BYTES_KEPT)
        self._store: Store = own if store is None else store
        self._kept_s = kept_s
        self._max_bytes = max_bytes

    async def keep(
        self, caller: str, before: Sequence[ResponseItem], shown: Sequence[CallItem], made: Sequence[ResponseItem]
    ) -> None:
        """`made`: all that the model and the gateway's tools said since `before`; `shown`: the calls that the client
        got of it."""
        asked = next((_text(item) for item in reversed(before) if _is_users(item)), "")
        data = msgspec.json.encode(_Record(v=1, said=_said(made), items=msgspec.Raw(written_items(made))))
        if len(data) <= self._max_bytes:
            try:
                await self._store.put({_key(caller, asked, shown): data}, self._kept_s)
            except StoreDown:
                return

    async def put_back(self, caller: str, items: tuple[ResponseItem, ...]) -> tuple[ResponseItem, ...]:
        """The history, with each turn that is kept in the place of what the client was shown of it; the same object
        where there is none."""
        runs = list(_runs(caller, items))[-MAX_RUNS:]
        if not runs:
            return items
        try:
            found = await self._store.get(*(run.key for run in runs), renew_s=self._kept_s)
        except StoreDown:
            return items
        whole: list[ResponseItem] = []
        at = 0
        for run, data in zip(runs, found, strict=True):
            turn = None if data is None else _turn(data, items[run.start : run.stop])
            if turn is not None:
                whole += (*items[at : run.start], *turn)
                at = run.stop
        return (*whole, *items[at:]) if at else items

    async def aclose(self) -> None:
        await self._store.aclose()


class _Record(Struct, frozen=True):
    v: Literal[1]
    said: str
    items: msgspec.Raw


class _Run(NamedTuple):
    """What a model made between two things that others said, with calls among it."""

    start: int
    stop: int
    key: str


_decode = msgspec.json.Decoder(_Record).decode


def _runs(caller: str, items: Sequence[ResponseItem]) -> Iterator[_Run]:
    asked, start = "", 0
    for at, item in enumerate((*items, None)):
        if item is not None and not _is_others(item):
            continue
        calls = [made for made in items[start:at] if isinstance(made, CallItem)]
        if calls:
            yield _Run(start, at, _key(caller, asked, calls))
        start = at + 1
        asked = _text(item) if item is not None and _is_users(item) else asked


def _turn(data: bytes, shown: Sequence[ResponseItem]) -> Sequence[ResponseItem] | None:
    """The turn that is kept, if it is the one of which this was shown."""
    try:
        record = _decode(data)
        said = _said(shown)
        # Some clients leave the text beside calls out.
        return None if said and said != record.said else items_from(record.items)
    except (ValueError, InvalidPromptError):  # another version's, or damaged
        return None


def _is_others(item: ResponseItem) -> bool:
    """Whether somebody else than the model said it."""
    return isinstance(item, CallOutputItem) or (isinstance(item, Message) and item.role != "assistant")


def _is_users(item: ResponseItem) -> bool:
    return isinstance(item, Message) and item.role == "user"


def _key(caller: str, asked: str, calls: Sequence[CallItem]) -> str:
    return f"turn:{sha256(canonical([caller, asked, [_shown(call) for call in calls]])).hexdigest()}"


def _shown(call: CallItem) -> tuple[str, str, str]:
    """A call by what comes back of it on every wire; arguments may be written in another way."""
    match call:
        case FunctionCall():
            return call.call_id, call.name, canonical_arguments(call.arguments or "{}")
        case CustomToolCall():
            return call.call_id, call.name, call.input
        case _:
            return call.call_id or "", call.type, ""


def _said(items: Sequence[ResponseItem]) -> str:
    """The text as a hash, without white space: wires put several messages together in their own ways."""
    text = "".join("".join(_text(item).split()) for item in items)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text else ""


def _text(item: ResponseItem) -> str:
    return text_of(item) if isinstance(item, Message) else ""
