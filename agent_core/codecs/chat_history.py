"""The `messages` of a Chat conversation, kept between its requests (see `incremental`)."""

from __future__ import annotations

from ..items import InputText, JsonValue, Message
from ..prompt import Prompt
from .base import Compat, Loss, Repair, json_object
from .chat_messages import ChatMessages, input_message, is_system, text_of_message
from .incremental import JsonArray, KeptReplay

__all__ = ["ChatHistory"]

_CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call"})


class ChatHistory:
    """Messages as bytes. They are cut back to where no step was open: to where nothing that follows joins in."""

    __slots__ = ("_compat", "_messages", "_replay", "_rests", "_systems", "elements", "losses")

    def __init__(self, compat: Compat) -> None:
        self._compat = compat
        self._replay = KeptReplay(wire="chat", compat=compat)
        self.elements = JsonArray()
        self.losses: list[Loss] = []
        """What has no place in the messages, as of the last `update`."""
        self._systems: list[str] = []  # of system messages that are part of the first one
        self._messages = ChatMessages(compat, self.losses)
        self._rests: list[tuple[int, int, int, int]] = []  # items, elements, losses, systems: each time none was open

    def update(self, prompt: Prompt) -> None:
        """Bring everything up to date with `prompt`. Raises InvalidPromptError for what is no JSON."""
        unchanged = self._replay.update(prompt.items, prompt.model)
        rests, elements, messages = self._rests, self.elements, self._messages
        while rests and rests[-1][0] > unchanged:
            rests.pop()
        start, written, losses, systems = rests[-1] if rests else (0, 0, 0, 0)
        elements.cut(written)
        del self.losses[losses:], self._systems[systems:]
        for end, item in enumerate(self._replay.items[start:], start + 1):
            if self._compat.merge_system and is_system(item):
                self._systems.append(text_of_message(item))
                continue
            messages.feed(item)
            if messages.at_rest:
                for message in messages.take():
                    elements.append(message)
                rests.append((end, len(elements), len(self.losses), len(self._systems)))
        for message in messages.close():  # of the open step: written again next time
            elements.append(_begun(message) if self._compat.assistant_prefix else message)

    def leading(self, instructions: str) -> list[JsonValue]:
        """The message before all others, if there is any."""
        said = "\n\n".join(text for text in (instructions, *self._systems) if text)
        if not said:
            return []
        message = Message(role="system", content=(InputText(text=said),))
        return [input_message(message, self._compat, self.losses)]

    def has_calls(self) -> bool:
        return any(item.type in _CALLS for item in self._replay.items)

    def repairs(self) -> tuple[Repair, ...]:
        return self._replay.repairs()


def _begun(value: JsonValue) -> JsonValue:
    """The last message as one the model is to go on with, if it is the model's."""
    message = json_object(value) or {}
    return {**message, "prefix": True} if message.get("role") == "assistant" else value
