"""The `messages` of a Chat conversation, kept between its requests (see `incremental`)."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from ..items import InputText, JsonObject, JsonValue, Message
from ..prompt import Prompt
from .base import Compat, Loss, Repair, json_list, json_object, json_str
from .chat_messages import ChatMessages, input_message, is_system, text_of_message
from .incremental import JsonArray, KeptReplay

__all__ = ["EPHEMERAL", "ChatHistory"]

_CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call"})
EPHEMERAL: JsonObject = {"type": "ephemeral"}
_MARKED = 2
"""How many runs of messages that are not the model's get a cache breakpoint: the newest, which the next request
repeats, and the one before it, which this one repeats."""


class _Rest(Struct, frozen=True):
    """A place where no step was open: how much there was of everything."""

    items: int = 0
    elements: int = 0
    losses: int = 0
    systems: int = 0
    runs: int = 0  # of messages that are not the model's; the last message here is one of them


class ChatHistory:
    """Messages as bytes. They are cut back to where no step was open: to where nothing that follows joins in. Where the
    newest ones carry cache breakpoints, those are written again, since the next request has them elsewhere."""

    __slots__ = ("_compat", "_marks", "_messages", "_replay", "_rests", "_systems", "elements", "losses")

    def __init__(self, compat: Compat) -> None:
        self._compat = compat
        self._marks = compat.cache_control and not compat.content_as_string
        self._replay = KeptReplay(wire="chat", compat=compat)
        self.elements = JsonArray()
        self.losses: list[Loss] = []
        """What has no place in the messages, as of the last `update`."""
        self._systems: list[str] = []  # of system messages that are part of the first one
        self._messages = ChatMessages(compat, self.losses)
        self._rests: list[_Rest] = []

    def update(self, prompt: Prompt) -> None:
        """Bring everything up to date with `prompt`. Raises InvalidPromptError for what is no JSON."""
        unchanged = self._replay.update(prompt)
        rest = self._cut_back(unchanged)
        made: list[JsonValue] = []
        runs, ours = rest.runs, rest.runs > 0
        messages = self._messages
        for end, item in enumerate(self._replay.items[rest.items :], rest.items + 1):
            if self._compat.merge_system and is_system(item):
                self._systems.append(text_of_message(item))
                continue
            messages.feed(item)
            if messages.at_rest:
                taken = messages.take()
                made += taken
                if self._marks:
                    runs, ours = _runs(taken, runs, ours=ours)
                written = rest.elements + len(made)
                self._rests.append(_Rest(end, written, len(self.losses), len(self._systems), runs))
        closing = messages.close()  # of the open step: written again next time
        made += [_begun(message) for message in closing] if self._compat.assistant_prefix else closing
        if self._marks:
            self._mark_newest(made)
        for message in made:
            self.elements.append(message)

    def _cut_back(self, unchanged: int) -> _Rest:
        rests = self._rests
        while rests and rests[-1].items > unchanged:
            rests.pop()
        if self._marks and rests:
            whole = rests[-1].runs - _MARKED
            while rests and rests[-1].runs > whole:
                rests.pop()
        rest = rests[-1] if rests else _Rest()
        self.elements.cut(rest.elements)
        del self.losses[rest.losses :], self._systems[rest.systems :]
        return rest

    def _mark_newest(self, messages: list[JsonValue]) -> None:
        """A breakpoint at the end of each of the newest runs: in their last message that has a text to carry it."""
        marks = _MARKED
        in_run = marked = False
        for n in range(len(messages) - 1, -1, -1):
            message = json_object(messages[n]) or {}
            if message.get("role") == "assistant":
                in_run = False
                continue
            if not in_run:
                if not marks:
                    return
                marks, in_run, marked = marks - 1, True, False
            if not marked and message.get("role") in ("user", "tool"):
                found = _mark(message, on_message=self._compat.tool_breakpoint == "message")
                marked = found is not None
                messages[n] = found or message

    def leading(self, instructions: str) -> list[JsonValue]:
        """The message before all others, if there is any."""
        said = "\n\n".join(text for text in (instructions, *self._systems) if text)
        if not said:
            return []
        message = input_message(Message(role="system", content=(InputText(text=said),)), self._compat, self.losses)
        return [_mark(message) or message if self._marks else message]

    def has_calls(self) -> bool:
        return any(item.type in _CALLS for item in self._replay.items)

    def repairs(self) -> tuple[Repair, ...]:
        return self._replay.repairs()


def _runs(messages: Iterable[JsonValue], runs: int, *, ours: bool) -> tuple[int, bool]:
    """How many runs of messages that are not the model's there are, these included, and whether the last is of one."""
    for message in messages:
        before, ours = ours, (json_object(message) or {}).get("role") != "assistant"
        runs += ours and not before
    return runs, ours


def _begun(value: JsonValue) -> JsonValue:
    """The last message as one the model is to go on with, if it is the model's."""
    message = json_object(value) or {}
    return {**message, "prefix": True} if message.get("role") == "assistant" else value


def _mark(message: JsonObject, *, on_message: bool = False) -> JsonObject | None:
    """The message with a cache breakpoint on the last text it holds; with `on_message`, that of a tool is on the whole
    of it. None if it holds no text: "cache_control cannot be set for empty text blocks"."""
    content = message.get("content")
    text: JsonObject = {"type": "text", "text": content}
    parts = [text] if isinstance(content, str) else list(json_list(content))
    for n in range(len(parts) - 1, -1, -1):
        part = json_object(parts[n]) or {}
        if part.get("type") == "text" and json_str(part.get("text")).strip():
            if on_message and message.get("role") == "tool":
                return {**message, "cache_control": dict(EPHEMERAL)}
            marked: JsonObject = {**part, "cache_control": dict(EPHEMERAL)}
            return {**message, "content": [*parts[:n], marked, *parts[n + 1 :]]}
    return None
