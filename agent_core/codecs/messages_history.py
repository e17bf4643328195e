"""The `messages` of a Messages conversation, kept between its requests (see `incremental`).

Items become (role, blocks) one by one; neighbours of one role become one message, because the wire wants user and
assistant to alternate; in a user message the tool results come first, because it wants all answers of a step at once
and before anything else (behaviours.md 6.G T-G3, providers.md 3a).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..items import JsonObject, JsonValue, ResponseItem
from ..prompt import Prompt
from .base import Compat, Repair, json_list, json_object, json_str
from .incremental import JsonArray, KeptReplay
from .messages_blocks import REDACTED, THINKING
from .messages_items import Losses, Role, encode_item, plain_block, plain_text, role_of

__all__ = ["MessagesHistory", "mark_last"]

_RESULTS = ("function_call_output", "custom_tool_call_output")
_EPHEMERAL: JsonObject = {"type": "ephemeral"}
_MARKED = 2
"""How many user messages get a cache breakpoint: the newest, which the next request repeats, and the one before it,
which this one repeats."""


class MessagesHistory:
    """Messages as bytes. They are cut back to the start of a message: the last one can grow, what is trimmed or marked
    for the cache in the newest ones is so for this request only, and all of those are written again."""

    __slots__ = ("_compat", "_newest", "_replay", "_starts", "elements", "leading", "losses")

    def __init__(self, compat: Compat) -> None:
        self._compat = compat
        self._replay = KeptReplay(wire="messages", compat=compat)
        self.elements = JsonArray()
        self.losses = Losses()
        """What has no place in the messages, as of the last `update`."""
        self.leading: tuple[str, ...] = ()
        """What the system messages at the start say: part of the instructions."""
        self._newest: JsonObject = {}  # the last message
        self._starts: list[tuple[int, int, Role]] = []  # of each message: first item, losses before it, role

    def update(self, prompt: Prompt) -> None:
        """Bring everything up to date with `prompt`. Raises InvalidPromptError for what is no JSON and no image."""
        unchanged = self._replay.update(prompt)
        items, starts = self._replay.items, self._starts
        leading = _leading_system(items, self._compat)
        if len(leading) != len(self.leading):
            starts.clear()
        self.leading = leading
        start, losses = self._cut_back(unchanged)
        self.elements.cut(len(starts))
        self.losses.cut(losses)
        messages: Iterable[JsonObject] = self._messages(items, max(start, len(leading)))
        if self._compat.cache_control:
            messages = list(messages)
            for message in [message for message in messages if message["role"] == "user"][-_MARKED:]:
                mark_last(json_list(message["content"]))
        self.elements.extend(messages)

    def goes_on_unthought(self) -> bool:
        """Whether the model is in the middle of a turn with tools that neither began with thinking nor thought last:
        "When `thinking` is enabled, a final `assistant` message must start with a thinking block" (n8n#22550)."""
        items, end = self._replay.items, len(self._replay.items)
        firsts: list[ResponseItem] = []
        for start, _, role in reversed(self._starts):
            if role == "assistant":
                firsts.append(items[start])
            elif role == "user" and not any(item.type in _RESULTS for item in items[start:end]):
                break
            end = start
        return bool(firsts) and firsts[0].type != "reasoning" and firsts[-1].type != "reasoning"

    def unthink_last(self) -> bool:
        """Take the thinking out of a last message that is the assistant's; False if there is none."""
        if self._newest.get("role") != "assistant":
            return False
        content = json_list(self._newest["content"])
        kept = [block for block in content if (json_object(block) or {}).get("type") not in (THINKING, REDACTED)]
        if len(kept) == len(content):
            return False
        self.elements.cut(len(self.elements) - 1)
        self.elements.append({"role": "assistant", "content": kept})
        return True

    def repairs(self) -> tuple[Repair, ...]:
        return self._replay.repairs()

    def _cut_back(self, unchanged: int) -> tuple[int, int]:
        """Forget the messages that are to be written again. Returns the item to go on with, and how many losses stay.

        The first item of a message must be the same for it to be a message still; the one before can grow otherwise.
        """
        starts = self._starts
        while starts and starts[-1][0] >= unchanged:
            starts.pop()
        again = _MARKED if self._compat.cache_control else 0
        start, losses = 0, 0
        while starts:
            start, losses, role = starts.pop()
            again -= role == "user"
            if again <= 0:
                return start, losses
        return 0, 0

    def _messages(self, items: Sequence[ResponseItem], start: int) -> Iterator[JsonObject]:
        """Runs of one role as one message each, from the item `start` on; tool results first in it."""
        compat, losses = self._compat, self.losses
        role: Role | None = None
        results: list[JsonValue] = []
        content: list[JsonValue] = []
        for index, item in enumerate(items[start:], start):
            fields = item.__dict__  # see plain_block
            kind = fields["type"]
            block, lost = plain_block(kind, fields), len(losses)
            blocks = encode_item(item, compat, losses) if block is None else [block]
            if not blocks:
                continue
            is_result = kind == "function_call_output" or kind == "custom_tool_call_output"
            own_role = "user" if is_result else "assistant" if kind == "function_call" else role_of(item, compat)
            if own_role != role:
                if role is not None:
                    yield {"role": role, "content": results + content}
                role, results, content = own_role, [], []
                self._starts.append((index, lost, own_role))
            (results if is_result else content).extend(blocks)
        self._newest = {}
        if role is not None:
            content = results + content
            if role == "assistant":
                _trim_prefill(content)
            self._newest = {"role": role, "content": content}
            yield self._newest


def _leading_system(items: Sequence[ResponseItem], compat: Compat) -> tuple[str, ...]:
    """System messages before everything else belong to the instructions, unless an assistant message would then
    come first."""
    texts: list[str] = []
    for item in items:
        if item.type != "message" or item.role not in ("system", "developer"):
            return () if role_of(item, compat) == "assistant" else tuple(texts)
        texts.append(plain_text(item))
    return tuple(texts)


def _trim_prefill(content: list[JsonValue]) -> None:
    """An answer begun for the model must not end in white space, the API says."""
    last = json_object(content[-1])
    if last is not None and last.get("type") == "text":
        content[-1] = {**last, "text": json_str(last.get("text")).rstrip()}


def mark_last(blocks: list[JsonValue]) -> None:
    """A cache breakpoint at the end of these blocks."""
    last = json_object(blocks[-1]) if blocks else None
    if last is not None:
        blocks[-1] = {**last, "cache_control": dict(_EPHEMERAL)}
