"""The numbers of a Responses stream's events: whether one came twice, or late.

Only this wire numbers its events, one by one; all 119 recorded streams that do count without a mistake. A proxy that
repeats or swaps events would change text and arguments, and nothing but the numbers would tell. They are believed as
far as they have counted right: a server that counts in its own way is left alone.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["EventOrder"]

_MAX_GAPS = 16


class EventOrder:
    """Told each event's `sequence_number`, says what its place is worth: "fine", "again" (the event before, byte for
    byte: leave it out) or "late" (it belongs before one that was read already)."""

    __slots__ = ("_counts", "_data", "_gaps", "_last", "_own_way")

    def __init__(self) -> None:
        self._last: int | None = None
        self._data = b""
        self._counts = False  # two numbers followed each other
        self._own_way = False  # a number made no sense: none is looked at any more
        self._gaps: list[range] = []

    def place(self, number: object, data: bytes) -> Literal["fine", "again", "late"]:
        if self._own_way or type(number) is not int:
            return "fine"
        last = self._last
        if last is not None and number <= last:
            return self._back(number, data)
        if last is not None:
            self._counts = self._counts or number == last + 1
            if number > last + 1:
                self._gaps.append(range(last + 1, number))
                self._own_way = len(self._gaps) > _MAX_GAPS
        self._last, self._data = number, data
        return "fine"

    def follows(self, number: int | None, data: bytes) -> bool:
        """Whether the event is the one that comes next, which is then noted; of any other `place` is to be asked."""
        if number is None or self._own_way:
            return True
        if self._last is None or number != self._last + 1:
            return False
        self._last, self._data, self._counts = number, data, True
        return True

    def _back(self, number: int, data: bytes) -> Literal["fine", "again", "late"]:
        if self._counts and number == self._last and data == self._data:
            return "again"
        if self._counts and any(number in gap for gap in self._gaps):
            return "late"
        self._own_way = True
        return "fine"
