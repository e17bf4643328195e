"""What a conversation begins with, as a chain of hashes: one for each place where a model had spoken.

    h0 = who asks, model, instructions, tools ─► h1 = h0 + the client's words + the model's ─► h2 = h1 + …

A follow-up begins with the request before it and its answer, so its chain holds the hash that was made of those. The
answer comes back in the client's words: without what it thought, with other ids, its texts joined, its arguments
written anew. So of what the model said only its text and its calls count, of what the client said everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from pydantic_core import from_json

from ..items import (
    CustomToolCall,
    FunctionCall,
    GhostSnapshot,
    ImageGenerationCall,
    LocalShellCall,
    Message,
    Reasoning,
    Refusal,
    ResponseItem,
    ToolSearchCall,
    UnknownItem,
    WebSearchCall,
    text_of,
)
from ..prompt import Prompt
from .cache_key import canonical

__all__ = ["Prefixes"]

_SILENT = (Reasoning, WebSearchCall, ImageGenerationCall, GhostSnapshot, UnknownItem)
"""What a client may leave out when it comes back, or cannot say in the same words."""


class Prefixes:
    """The chain of a request: made once, in one pass over its items."""

    __slots__ = ("_hash", "_spoken", "ends")

    def __init__(self, caller: str, prompt: Prompt) -> None:
        self._hash = sha256(canonical([caller, prompt.model, prompt.instructions, prompt.tools]))
        self._spoken: list[ResponseItem] = []
        self.ends: list[str] = []
        """A hash for each place where the model had spoken and the client went on, the oldest first."""
        for item in prompt.items:
            self._add(item)

    def with_reply(self, items: Iterable[ResponseItem]) -> str:
        """The hash that a follow-up's chain has, if it begins with this request and that answer."""
        whole = self._hash.copy()
        whole.update(_model_said([*self._spoken, *items]))
        return whole.hexdigest()

    def _add(self, item: ResponseItem) -> None:
        if isinstance(item, _SILENT):
            return
        if _is_models(item):
            self._spoken.append(item)
            return
        if self._spoken:
            self._hash.update(_model_said(self._spoken))
            self._spoken = []
            self.ends.append(self._hash.hexdigest())
        self._hash.update(b"\n" + canonical(item.model_copy(update={"id": None})))


def _is_models(item: ResponseItem) -> bool:
    return (isinstance(item, Message) and item.role == "assistant") or isinstance(
        item, FunctionCall | CustomToolCall | LocalShellCall | ToolSearchCall
    )


def _model_said(items: Iterable[ResponseItem]) -> bytes:
    """All that it said in one go: its texts as one, then its calls in order."""
    texts: list[str] = []
    calls: list[list[object]] = []
    for item in items:
        match item:
            case Message():
                texts.append(text_of(item))
                texts += [part.refusal for part in item.content if isinstance(part, Refusal)]
            case FunctionCall():
                calls.append([item.name, _value(item.arguments)])
            case CustomToolCall():
                calls.append([item.name, {"input": item.input}])  # as wires without such calls have it
            case LocalShellCall():
                calls.append(["local_shell", item.action.command])
            case ToolSearchCall():
                calls.append(["tool_search", item.arguments])
            case _:
                pass
    return b"\n" + canonical(["said", "".join(texts).strip(), calls])


def _value(arguments: str) -> object:
    """What the arguments mean: some clients write them anew."""
    try:
        return from_json(arguments or "{}")
    except ValueError:
        return arguments
