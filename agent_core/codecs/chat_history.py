"""The `messages` of a Chat conversation, kept between its requests (see `incremental`)."""

from __future__ import annotations

from collections.abc import Iterable

from ..items import InputText, JsonObject, JsonValue, Message
from ..prompt import Prompt
from .base import Compat, Loss, Repair, json_list, json_object, json_str
from .chat_messages import ChatMessages, Rest, input_message
from .incremental import JsonArray, KeptReplay

__all__ = ["EPHEMERAL", "ChatHistory"]

_CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call"})
EPHEMERAL: JsonObject = {"type": "ephemeral"}
_MARKED = 2
"""How many runs of messages that are not the model's get a cache breakpoint: the newest, which the next request
repeats, and the one before it, which this one repeats."""


class ChatHistory:
    """Messages as bytes. They are cut back to where no step was open: to where nothing that follows joins in. Where the
    newest ones carry cache breakpoints, those are written again, since the next request has them elsewhere."""

    __slots__ = ("_compat", "_marks", "_messages", "_replay", "_runs", "elements")

    def __init__(self, compat: Compat) -> None:
        self._compat = compat
        self._marks = compat.cache_control and not compat.content_as_string
        self._replay = KeptReplay(wire="chat", compat=compat)
        self.elements = JsonArray()
        self._messages = ChatMessages(compat)
        self._runs: list[int] = []  # where marks are set: of messages that are not the model's, up to each message

    @property
    def losses(self) -> list[Loss]:
        """What has no place in the messages, as of the last `update`."""
        return self._messages.losses

    def update(self, prompt: Prompt) -> None:
        """Bring everything up to date with `prompt`. Raises InvalidPromptError for what is no JSON."""
        self._cut_back(self._replay.update(prompt))
        messages: Iterable[JsonObject] = self._messages.of(self._replay.items)
        if self._marks:
            messages = list(messages)
            self._count_runs(messages)
            self._mark_newest(messages)
        self.elements.extend(messages)

    def _cut_back(self, unchanged: int) -> None:
        rests = self._messages.rests
        while rests and rests[-1][0] > unchanged:
            rests.pop()
        if self._marks and rests:
            whole = self._runs_at(rests[-1]) - _MARKED
            while rests and self._runs_at(rests[-1]) > whole:
                rests.pop()
        _, messages, losses, systems = rests[-1] if rests else (0, 0, 0, 0)
        self.elements.cut(messages)
        del self._messages.losses[losses:], self._messages.systems[systems:], self._runs[messages:]

    def _runs_at(self, rest: Rest) -> int:
        return self._runs[rest[1] - 1] if rest[1] else 0

    def _count_runs(self, messages: Iterable[JsonObject]) -> None:
        counts = self._runs
        count = counts[-1] if counts else 0
        ours = count > 0  # behind a rest: what the model says comes next
        for message in messages:
            before, ours = ours, message.get("role") != "assistant"
            count += ours and not before
            counts.append(count)

    def _mark_newest(self, messages: list[JsonObject]) -> None:
        """A breakpoint at the end of each of the newest runs: in their last message that has a text to carry it."""
        marks = _MARKED
        in_run = marked = False
        for n in range(len(messages) - 1, -1, -1):
            message = messages[n]
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
        said = "\n\n".join(text for text in (instructions, *self._messages.systems) if text)
        if not said:
            return []
        message = input_message(Message(role="system", content=(InputText(text=said),)), self._compat, self.losses)
        return [_mark(message) or message if self._marks else message]

    def has_calls(self) -> bool:
        return any(item.type in _CALLS for item in self._replay.items)

    def repairs(self) -> tuple[Repair, ...]:
        return self._replay.repairs()


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
