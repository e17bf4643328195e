"""The `input` of a Responses conversation, kept between its requests (see `incremental`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..items import JsonObject, ResponseItem, text_of
from ..prompt import Prompt
from .base import Compat, Loss, Repair
from .incremental import JsonArray, KeptReplay
from .responses_items import encode_item

__all__ = ["ResponsesHistory"]


class ResponsesHistory:
    """Items as bytes, one by one: an item is written the same whatever stands beside it.

    For servers that take one system message (`merge_system`), those at the start join the instructions, and later ones
    are said by the user.
    """

    __slots__ = ("_compat", "_left_out", "_replay", "_systems", "elements")

    def __init__(self, compat: Compat) -> None:
        self._compat = compat
        self._replay = KeptReplay(wire="responses", compat=compat)
        self.elements = JsonArray()
        self._systems: list[str] = []  # what the first items say, where they are part of the instructions
        self._left_out: list[tuple[int, Loss]] = []

    def update(self, prompt: Prompt) -> None:
        """Bring everything up to date with `prompt`. Raises InvalidPromptError for what is no JSON."""
        unchanged = self._replay.update(prompt)
        left_out = self._left_out
        del self._systems[unchanged:]
        while left_out and left_out[-1][0] >= unchanged:
            left_out.pop()
        self.elements.cut(unchanged - len(self._systems) - len(left_out))
        self.elements.extend(self._encoded(self._replay.items[unchanged:], unchanged))

    def _encoded(self, items: Sequence[ResponseItem], start: int) -> Iterator[JsonObject]:
        compat, systems = self._compat, self._systems
        for index, item in enumerate(items, start):
            if compat.merge_system and item.type == "message" and item.role in ("system", "developer"):
                if index == len(systems):
                    systems.append(text_of(item))
                    continue
                item = item.model_copy(update={"role": "user"})
            encoded = encode_item(item, compat)
            if isinstance(encoded, Loss):
                self._left_out.append((index, encoded))
            else:
                yield encoded

    def instructions(self, given: str) -> str:
        return "\n\n".join(([given] if given else []) + self._systems)

    def losses(self) -> list[Loss]:
        return [loss for _, loss in self._left_out]

    def repairs(self) -> tuple[Repair, ...]:
        return self._replay.repairs()
