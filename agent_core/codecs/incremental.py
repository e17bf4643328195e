"""What a request shares with the one before it, kept, so that a turn costs what is new and one copy of the body.

A conversation grows at its end, and so do the bytes of its requests: the member that holds it is the last of the body.
Three things are kept, each cut back to where it differs and continued from there:

    KeptReplay      items → what may be sent of them      cut back by replay itself, or by identity of what comes out
    a wire's own    what may be sent → JSON values        cut back to the start of a value that is still whole
    JsonArray       JSON values → bytes                   cut back to any number of values

Items are the same if they are the same objects: they are frozen, and a session hands out its own. A wire's encoder
without a memory is this one with nothing kept, so there is one way to write a request, not two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from operator import is_
from typing import Generic, TypeVar

from msgspec import Raw
from msgspec.json import Decoder, Encoder

from ..items import JsonValue, ResponseItem, WireName
from ..prompt import Prompt
from .base import Compat, Encoded, Repair, prompt_json
from .replay import Replayer

__all__ = ["JsonArray", "KeptEncoder", "KeptReplay"]

_MAX_KEPT = 8
_MAX_KEPT_BYTES = 64 * 1024 * 1024

_encode = Encoder().encode
"""Like `json_bytes`, but for what only callers' own values hold, and several times as fast."""

_read_elements = Decoder(list[Raw]).decode

_RUN = 64
"""Elements that are written at once: each alone costs a third more, and more at once are more to read again."""

_History = TypeVar("_History")


class KeptEncoder(Generic[_History]):
    """A `RequestEncoder`. `begin` makes the history of a new conversation; `write` puts a prompt into bytes with the
    help of its history, and leaves that grown.

    The newest conversations are kept, told apart by their first item: at most 8, with bodies of at most 64 MiB.
    """

    __slots__ = ("_begin", "_kept", "_size", "_write")

    def __init__(self, begin: Callable[[], _History], write: Callable[[Prompt, _History, bool], Encoded]) -> None:
        self._begin = begin
        self._write = write
        self._kept: dict[int, tuple[ResponseItem | None, _History, int]] = {}  # by identity; the oldest first
        self._size = 0

    def encode(self, prompt: Prompt, *, stream: bool = True) -> Encoded:
        first = prompt.items[0] if prompt.items else None
        # It is put back when it is whole again: `write` may raise.
        kept = self._forget(id(first)) if id(first) in self._kept else None
        history = self._begin() if kept is None else kept
        encoded = self._write(prompt, history, stream)
        size = len(encoded.body)
        self._kept[id(first)] = (first, history, size)
        self._size += size
        while self._kept and (len(self._kept) > _MAX_KEPT or self._size > _MAX_KEPT_BYTES):
            self._forget(next(iter(self._kept)))
        return encoded

    def _forget(self, key: int) -> _History:
        _, history, size = self._kept.pop(key)
        self._size -= size
        return history


class KeptReplay:
    """`replay` of a conversation that is asked for again and again, mostly with more items at its end."""

    __slots__ = ("_asked", "_compat", "_known", "_replayer", "_wire")

    def __init__(self, *, wire: WireName, compat: Compat) -> None:
        self._wire: WireName = wire
        self._compat = compat
        self._known: tuple[ResponseItem, ...] = ()
        self._asked: tuple[str, bool] = ("", False)  # the model, and whether to mend
        self._replayer = Replayer(wire=wire, model="", compat=compat)

    @property
    def items(self) -> Sequence[ResponseItem]:
        """What may be sent, as of the last `update`; the next one changes it."""
        return self._replayer.items

    def repairs(self) -> tuple[Repair, ...]:
        return self._replayer.repairs()

    def update(self, prompt: Prompt) -> int:
        """Replay its items. Returns how many of what may be sent, from the start, are the objects they were before."""
        items, asked = prompt.items, (prompt.model, prompt.mend_items)
        known, self._known = self._known, items
        if asked == self._asked and len(items) >= len(known) and all(map(is_, known, items)):
            self._replayer.feed(items[len(known) :])
            return self._replayer.settle()
        before, self._asked = self._replayer.items, asked
        model, mend = asked
        self._replayer = Replayer(wire=self._wire, model=model, compat=self._compat, mend=mend)
        self._replayer.feed(items)
        self._replayer.settle()
        return _shared(before, self._replayer.items)


class JsonArray:
    """The elements of a JSON array as bytes: grows at its end and can be cut back to any length.

    They are written in runs, and only where each run begins is known: to cut within one, it is read again.
    """

    __slots__ = ("_length", "_runs", "_starts")

    def __init__(self) -> None:
        self._runs: list[bytes] = []  # with a comma before each element
        self._starts: list[int] = []  # of each run: how many elements are before it
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, value: JsonValue) -> None:
        """Raises InvalidPromptError for what is no JSON."""
        self._write([value])

    def extend(self, values: Iterable[JsonValue]) -> None:
        """`append` each of them."""
        values = iter(values)
        while run := list(islice(values, _RUN)):
            self._write(run)

    def _write(self, run: list[JsonValue]) -> None:
        try:
            written = b"," + memoryview(_encode(run))[1:-1]
        except (ValueError, TypeError, RecursionError):  # half a character, a view of a mapping
            if len(run) > 1:
                for value in run:
                    self._write([value])
                return
            written = b"," + prompt_json(run[0])
        self._runs.append(written)
        self._starts.append(self._length)
        self._length += len(run)

    def cut(self, length: int) -> None:
        """Keep the first `length` elements."""
        while self._length > length:
            run, self._length = self._runs.pop(), self._starts.pop()
            if self._length < length:
                elements = _read_elements(b"[" + run[1:] + b"]")[: length - self._length]
                self._runs.append(run[: sum(map(len, elements)) + len(elements)])
                self._starts.append(self._length)
                self._length = length

    def in_body(self, body: bytes) -> bytes:
        """`body`, the JSON of an object whose last member is an array of objects, with the elements at its end."""
        if not self._runs:
            return body
        first, *others = self._runs
        opening = memoryview(first)[1:] if body.endswith(b"[]}") else first
        return b"".join((body[:-2], opening, *others, b"]}"))


def _shared(before: Sequence[ResponseItem], after: Sequence[ResponseItem]) -> int:
    """How many items two sequences have in common at their start."""
    if all(map(is_, before, after)):
        return min(len(before), len(after))
    return next(n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a is not b)
