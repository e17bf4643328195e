"""What the encoders of several wires do alike when they write an answer: ids, readable reasoning, texts that are open
at once, ends that are none."""

from __future__ import annotations

from typing import TypeAlias

from ..errors import ServerError
from ..events import OutputItemDone, OutputTextDelta, ReasoningContentDelta, ReasoningSummaryDelta, RefusalDelta
from ..items import CustomToolCall, FunctionCall, JsonObject, LocalShellCall, Message, Reasoning, WireName

__all__ = ["SUMMARY_GAP", "OneByOne", "TextEvent", "own_id", "own_members", "readable", "stopped_by_error"]

SUMMARY_GAP = "\n\n"
"""Between the parts of a summary, where the wire has one text for them: each is a paragraph with a heading."""

TextEvent: TypeAlias = OutputTextDelta | RefusalDelta | ReasoningContentDelta | ReasoningSummaryDelta | OutputItemDone

_Opaque: TypeAlias = Message | Reasoning | FunctionCall | CustomToolCall | LocalShellCall

_PREFIXES: dict[WireName, str] = {"chat": "chatcmpl-", "responses": "resp_", "messages": "msg_"}


def own_id(response_id: str, wire: WireName) -> str:
    """The answer's id, with this wire's prefix in place of another's (T-J1, T-H19, T-M12); an id with neither stays."""
    for other, prefix in _PREFIXES.items():
        if other != wire and response_id.startswith(prefix):
            return _PREFIXES[wire] + response_id[len(prefix) :]
    return response_id


def own_members(item: _Opaque, wire: WireName) -> JsonObject:
    """The opaque members beside an item that are this wire's: another's mean nothing on it, or something else."""
    foreign = item.origin is not None and item.origin.wire != wire
    return {} if foreign or not item.opaque else item.opaque


def readable(item: Reasoning) -> str:
    """A reasoning as one text, for wires that have one: its content, else its summary as paragraphs."""
    return "".join(item.content) or SUMMARY_GAP.join(text for text in item.summary if text)


def stopped_by_error(native: str | None) -> ServerError:
    """An answer that ended, but with an error as its reason, for wires that have no such reason: W-S3-16."""
    return ServerError(f"the model's server stopped the answer: {native or 'error'}")


class OneByOne:
    """Items whose text goes into the same member: who began first is told first, and the others wait for its end."""

    __slots__ = ("_waiting", "holder")

    def __init__(self) -> None:
        self.holder = -1
        self._waiting: dict[int, list[TextEvent]] = {}

    def feed(self, event: TextEvent) -> list[TextEvent]:
        """The events whose turn has come, in their order."""
        if self.holder < 0:
            self.holder = event.index
        if event.index != self.holder:
            self._waiting.setdefault(event.index, []).append(event)
            return []
        ready = [event]
        while isinstance(ready[-1], OutputItemDone):
            self.holder = next(iter(self._waiting), -1)
            if self.holder < 0:
                break
            ready += self._waiting.pop(self.holder)
        return ready
