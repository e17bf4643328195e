"""Calls and their outputs: which output answers which call, and under which id both are sent.

Pairing is positional and one-to-one, per kind and call_id: an output answers a call that came before it and has none
yet; among several, the first of the newest step that has one (servers count `call_0` anew in every response:
providers.md 3a, Bedrock). So a call that was never answered cannot take the output of a later one of the same name, and
parallel calls of one name are answered in their order. An output that finds no call is an orphan, wherever it stands.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Literal, TypeAlias

from ..errors import ConfigError
from ..items import (
    CallItem,
    CallOutputItem,
    CustomToolCallOutput,
    FunctionCallOutput,
    ResponseItem,
    ToolSearchOutput,
    WireName,
)
from .base import Compat, Repair
from .replay_origin import same_origin

__all__ = ["CallIds", "Pairing", "Place", "call_with_id", "output_with_id", "place_of", "synthetic_output"]

Place: TypeAlias = Literal["made", "call", "output", "other"]
"""What an item is to its step: made by the model, a call for us to answer, an output of ours, or what ends a step."""

_PairKey: TypeAlias = tuple[str, str]
_PLACES: Mapping[str, Place] = {
    "function_call": "call",
    "function_call_output": "output",
    "reasoning": "made",
    "custom_tool_call": "call",
    "custom_tool_call_output": "output",
    "local_shell_call": "call",
    "tool_search_call": "call",
    "tool_search_output": "output",
    "web_search_call": "made",
    "image_generation_call": "made",
    "unknown": "made",
    "compaction": "other",
    "ghost_snapshot": "other",
}

_NOT_RUN = "not run: the call was cut off before it was complete"
_ABORTED = "aborted"
"""Codex's word for an unanswered call (codex.md 2.1), the same every time: prompt caches live on it."""

_PREFIX = "call_"
_HASH_WIDTH = 24
_ROOM_FOR_PREFIX = 16
_ID = "[A-Za-z0-9_-]{{1,{}}}"
_EXACT_ID = "[A-Za-z0-9]{{{}}}"
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_MAX_TRIES = 1000


def place_of(item: ResponseItem) -> Place:
    if item.type == "message":
        return "made" if item.role == "assistant" else "other"
    if item.type == "tool_search_call" or item.type == "tool_search_output":
        return "made" if item.execution == "server" else _PLACES[item.type]
    return _PLACES[item.type]


class Pairing:
    """Feed what is kept of a history in order; then `answers` maps calls to outputs and `calls` outputs to calls, all
    by index, and `orphans` holds the outputs that answer nothing."""

    __slots__ = ("_first", "_open", "_step", "answers", "calls", "orphans")

    def __init__(self) -> None:
        self.answers: dict[int, int] = {}
        self.calls: dict[int, int] = {}
        self.orphans: list[tuple[int, _PairKey]] = []
        self._open: dict[_PairKey, list[tuple[int, deque[int]]]] = {}
        self._first: Mapping[str, dict[str, int]] = {kind: {} for kind in ("function", "custom", "search")}
        self._step = 0

    @property
    def functions(self) -> dict[str, int]:
        """The first call of a function by its id. What is known to be paired is not fed, and its calls are put here."""
        return self._first["function"]

    def feed(self, index: int, item: ResponseItem, place: Place) -> None:
        """`item` as it stood in the history: lowering changes kinds, and kinds tell pairs apart."""
        if place == "call":
            self._call(index, _key(item))
        elif place != "made":
            self._step += 1
            if place == "output":
                self._output(index, _key(item))

    def orphan_repairs(self) -> list[Repair]:
        """Call at the end: whether an output came before its call is known only then."""
        return [self._orphan(index, key) for index, key in self.orphans]

    def _call(self, index: int, key: _PairKey) -> None:
        groups = self._open.get(key)
        if groups is None:
            self._open[key] = [(self._step, deque((index,)))]
            self._first[key[0]].setdefault(key[1], index)
        elif groups and groups[-1][0] == self._step:
            groups[-1][1].append(index)
        else:
            groups.append((self._step, deque((index,))))

    def _output(self, index: int, key: _PairKey) -> None:
        groups = self._open.get(key)
        if not groups:
            self.orphans.append((index, key))
            return
        open_calls = groups[-1][1]
        call = open_calls.popleft()
        if not open_calls:
            groups.pop()
        self.answers[call] = index
        self.calls[index] = call

    def _orphan(self, index: int, key: _PairKey) -> Repair:
        first_call = self._first[key[0]].get(key[1])
        if first_call is None:
            return Repair("dropped_orphan_output", index, "no call has this id and kind")
        if first_call > index:
            return Repair("dropped_orphan_output", index, "it comes before its call")
        return Repair("dropped_duplicate_output", index, "every call of this id has its output already")


def _key(item: ResponseItem) -> _PairKey:
    if item.type == "function_call" or item.type == "local_shell_call" or item.type == "function_call_output":
        return "function", item.call_id
    if item.type == "custom_tool_call" or item.type == "custom_tool_call_output":
        return "custom", item.call_id
    if item.type == "tool_search_call" or item.type == "tool_search_output":
        return "search", item.call_id or ""
    raise AssertionError(f"{item.type} has no pair")


def synthetic_output(call: CallItem) -> CallOutputItem:
    """The output of a call that has none: an error that says why, the same every time."""
    text = _NOT_RUN if call.status == "incomplete" else _ABORTED
    if call.type == "custom_tool_call":
        return CustomToolCallOutput(call_id=call.call_id, output=text, success=False)
    if call.type == "tool_search_call":
        return ToolSearchOutput(call_id=call.call_id)
    return FunctionCallOutput(call_id=call.call_id, output=text, success=False)


def call_with_id(call: CallItem, call_id: str) -> CallItem:
    return call if call.call_id == call_id else call.model_copy(update={"call_id": call_id})


def output_with_id(output: CallOutputItem, call_id: str) -> CallOutputItem:
    return output if output.call_id == call_id else output.model_copy(update={"call_id": call_id})


class CallIds:
    """Gives every call an id that is legal for the server and unique in the history. One `assign` per call, in order;
    its length is the number of ids given, and `forget` takes the newest back.

    An id that is legal and free stays. So does one that the provider itself made, whatever its letters (Kimi calls its
    calls `functions.shell:0`, and wants them called so), except where ids have a fixed length, and on messages, whose
    servers check the letters. Any other becomes a hash of itself and of how often it was renamed before, so a longer
    history renames what came before in the same way.
    """

    __slots__ = (
        "_compat", "_exact", "_fresh", "_given", "_prefix", "_renames", "_seen", "_used", "_width", "_wire", "is_legal",
    )  # fmt: skip

    def __init__(self, *, wire: WireName, compat: Compat) -> None:
        self._wire: WireName = wire
        self._compat = compat
        self._exact = compat.call_id_exact
        self._prefix = _PREFIX if compat.call_id_max >= _ROOM_FOR_PREFIX else ""
        self._width = min(_HASH_WIDTH, compat.call_id_max - len(self._prefix))
        self._fresh = compat.qualify_call_ids and not self._exact
        legal = _EXACT_ID.format(self._exact) if self._exact else _ID.format(compat.call_id_max)
        fresh = f"{self._prefix}[0-9a-f]{{{self._width}}}"
        self.is_legal = re.compile(fresh if self._fresh else legal).fullmatch
        """Whether an id may stay, whoever made it."""
        self._used: set[str] = set()
        self._seen: Counter[str] = Counter()  # how often each id was renamed
        self._given: list[str] = []  # in order
        self._renames: list[tuple[int, str]] = []  # which of them stand for another, and for what

    def __len__(self) -> int:
        return len(self._given)

    def assign(self, call: CallItem) -> str:
        """Raises ConfigError where the profile's length leaves no free id."""
        call_id = call.call_id or ""
        if call_id in self._used or not self._may_stay(call, call_id):
            source = self._source(call, call_id)
            call_id = self._renamed(source)
            self._renames.append((len(self._given), source))
        self._used.add(call_id)
        self._given.append(call_id)
        return call_id

    def reserve(self, call_id: str) -> bool:
        """Give an id to a call that must keep it; False where another has it already."""
        if call_id in self._used:
            return False
        self._used.add(call_id)
        self._given.append(call_id)
        return True

    def keep(self, call_ids: Sequence[str]) -> bool:
        """Give legal ids, all of them different, to the calls that have them; False, and none given, where another has
        one of them already."""
        if not self._used.isdisjoint(call_ids):
            return False
        self._used.update(call_ids)
        self._given += call_ids
        return True

    def forget(self, length: int) -> None:
        """As if only the first `length` ids had been given."""
        self._used.difference_update(self._given[length:])
        del self._given[length:]
        while self._renames and self._renames[-1][0] >= length:
            self._seen[self._renames.pop()[1]] -= 1

    def _may_stay(self, call: CallItem, call_id: str) -> bool:
        if self.is_legal(call_id) is not None:
            return True
        checked = self._fresh or self._exact is not None or self._wire == "messages"
        if checked or call.origin is None or len(call_id) > self._compat.call_id_max:
            return False
        own = same_origin(call.origin, wire=self._wire, provider=self._compat.provider)
        return own and _PRINTABLE.fullmatch(call_id) is not None

    def _source(self, call: CallItem, call_id: str) -> str:
        # A response-scoped id is qualified by its response, so that trimming older turns does not rename newer ones.
        response_id = call.origin.response_id if call.origin is not None and self._compat.qualify_call_ids else ""
        return f"{response_id}\0{call_id}"

    def _renamed(self, source: str) -> str:
        count = self._seen[source]
        self._seen[source] += 1
        for attempt in range(_MAX_TRIES):
            candidate = self._hashed(f"{source}\0{count}\0{attempt}")
            if candidate not in self._used:
                return candidate
        raise ConfigError(
            f"no call id is left that provider {self._compat.provider!r} takes",
            remedy="raise call_id_max or call_id_exact in its profile",
        )

    def _hashed(self, text: str) -> str:
        digest = sha256(text.encode("utf-8", "surrogatepass"))
        if not self._exact:
            return self._prefix + digest.hexdigest()[: self._width]
        number, letters = int.from_bytes(digest.digest(), "big"), ""
        while len(letters) < self._exact:
            number, digit = divmod(number, len(_ALPHABET))
            letters += _ALPHABET[digit]
        return letters
