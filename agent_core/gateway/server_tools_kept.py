"""Turns in which the model called tools of the gateway and tools of its client, until the client has answered.

The client is shown its own calls alone, and sends back what it was shown. The whole turn is kept here: it takes the
place of what the client sends, so the model finds its own calls, their outputs and its reasoning where they were, and
prompt caches hold. A turn is known by its caller, the calls that were shown and what the user had said before them;
a client that changed the text of it is taken at its word. What is no longer kept is left out of the history.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from ..codecs.base import json_bytes
from ..guards import canonical
from ..items import (
    CallItem,
    CallOutputItem,
    CustomToolCall,
    FunctionCall,
    Message,
    ResponseItem,
    dump_item,
    text_of,
)

__all__ = ["KeptTurns"]

MAX_TURNS = 4096
MAX_BYTES = 64 * 1024 * 1024
KEPT_S = 3600.0
"""Since a turn was last asked for: people answer what they are asked for approval of within the hour, or not at all."""

_Key = tuple[str, bytes, tuple[tuple[str, str, str], ...]]


class KeptTurns:
    """Bounded in number, bytes and time; what was not asked for the longest goes first. `clock` is in seconds."""

    def __init__(
        self,
        *,
        max_turns: int = MAX_TURNS,
        max_bytes: int = MAX_BYTES,
        kept_s: float = KEPT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_turns = max_turns
        self._max_bytes = max_bytes
        self._kept_s = kept_s
        self._clock = clock
        self._turns: OrderedDict[_Key, _Turn] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._turns)

    def keep(
        self, caller: str, before: Sequence[ResponseItem], shown: Sequence[CallItem], made: Sequence[ResponseItem]
    ) -> None:
        """`made`: all that the model and the gateway's tools said since `before`; `shown`: the calls that the client
        got of it."""
        key = _key(caller, _asked(before), shown)
        self._drop(key)
        size = sum(len(json_bytes(dump_item(item))) for item in made)
        self._turns[key] = _Turn(tuple(made), _said(made), size, self._clock() + self._kept_s)
        self._bytes += size
        while self._turns and (len(self._turns) > self._max_turns or self._bytes > self._max_bytes):
            self._drop(next(iter(self._turns)))

    def put_back(self, caller: str, items: tuple[ResponseItem, ...]) -> tuple[ResponseItem, ...]:
        """The history, with each turn that is kept in the place of what the client was shown of it."""
        if not self._turns:
            return items
        whole: list[ResponseItem] = []
        changed = False
        run: list[ResponseItem] = []  # what the model made, between what others said
        asked = b""
        for item in (*items, None):
            if item is not None and not _is_others(item):
                run.append(item)
                continue
            turn = self._turn(caller, asked, run)
            whole += run if turn is None else turn
            changed = changed or turn is not None
            run = []
            if item is not None:
                whole.append(item)
                asked = _digest(item) if isinstance(item, Message) and item.role == "user" else asked
        return tuple(whole) if changed else items

    def _turn(self, caller: str, asked: bytes, run: Sequence[ResponseItem]) -> Sequence[ResponseItem] | None:
        """The turn of which the client was shown this, if it is kept."""
        calls = [item for item in run if isinstance(item, CallItem)]
        if not calls:
            return None
        key = _key(caller, asked, calls)
        turn = self._turns.get(key)
        if turn is None or turn.until < self._clock():
            self._drop(key)
            return None
        said = _said(run)
        if said and said != turn.said:  # some clients leave the text beside calls out
            return None
        self._turns[key] = turn._replace(until=self._clock() + self._kept_s)
        self._turns.move_to_end(key)
        return turn.items

    def _drop(self, key: _Key) -> None:
        turn = self._turns.pop(key, None)
        self._bytes -= 0 if turn is None else turn.size


class _Turn(NamedTuple):
    items: tuple[ResponseItem, ...]
    said: str
    size: int
    until: float


def _is_others(item: ResponseItem) -> bool:
    """Whether somebody else than the model said it."""
    return isinstance(item, CallOutputItem) or (isinstance(item, Message) and item.role != "assistant")


def _key(caller: str, asked: bytes, calls: Sequence[CallItem]) -> _Key:
    return caller, asked, tuple(_shown(call) for call in calls)


def _shown(call: CallItem) -> tuple[str, str, str]:
    """A call by what comes back of it on every wire; arguments may be written in another way."""
    match call:
        case FunctionCall():
            return call.call_id, call.name, canonical(call.arguments or "{}")
        case CustomToolCall():
            return call.call_id, call.name, call.input
        case _:
            return call.call_id or "", call.type, ""


def _asked(items: Sequence[ResponseItem]) -> bytes:
    """What the user said last."""
    return next((_digest(item) for item in reversed(items) if isinstance(item, Message) and item.role == "user"), b"")


def _digest(message: Message) -> bytes:
    return sha256(text_of(message).encode("utf-8", "surrogatepass")).digest()


def _said(items: Sequence[ResponseItem]) -> str:
    """The text, without white space: wires put several messages together in their own ways."""
    return "".join("".join(text_of(item).split()) for item in items if isinstance(item, Message))
