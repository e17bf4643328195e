"""What the client is shown of the answers that tools of the gateway are run for: one answer.

Of each answer of the backend everything goes on as it comes but the calls that are run here, the second `Created` and
every `Completed`: whoever asked last says how it all ends. Items are numbered anew, without gaps.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from ..events import Completed, Created, OutputItemAdded, RateLimits, ResponseEvent
from ..items import ResponseItem

__all__ = ["Shown"]


class Shown:
    """`hidden` says which items are not the client's to see. `response_id` is that of the first answer: of all."""

    __slots__ = ("_created", "_hidden", "_next", "_places", "response_id")

    def __init__(self, hidden: Callable[[ResponseItem], bool]) -> None:
        self.response_id = ""
        self._hidden = hidden
        self._created = False
        self._next = 0
        self._places: dict[int, int | None] = {}

    def begin(self) -> None:
        """Another answer of the backend begins."""
        self._places = {}

    def feed(self, event: ResponseEvent) -> ResponseEvent | None:
        """The event as the client is shown it, if it is."""
        match event:
            case Created(response_id):
                first, self._created = not self._created, True
                self.response_id = self.response_id or response_id
                return event if first else None
            case RateLimits():
                return event
            case Completed(response_id):
                self.response_id = self.response_id or response_id
                return None
            case OutputItemAdded(index, item):
                self._places[index] = place = None if self._hidden(item) else self._next
                self._next += place is not None
            case _:
                place = self._places[event.index]
        return None if place is None else replace(event, index=place)
