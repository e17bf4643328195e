"""A request as one backend is sent it.

On the client's own wire as much as can be goes on as it came: what only that wire knows, which of its features are in
beta, the reasoning and the items it sends back, its wish for cached beginnings. Another wire gets what it has words
for; the rest is named.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from ..client import ModelClient
from ..codecs.base import Loss
from ..codecs.namespaces import Names, flattened, named
from ..events import ResponseEvent
from ..items import CustomToolCallOutput, FunctionCallOutput, GhostSnapshot, ResponseItem, ToolSearchOutput
from ..prompt import Prompt
from .asking import Ask, ReadAhead

__all__ = ["BETA_HEADER", "Fitted", "fitted"]

BETA_HEADER = "anthropic-beta"

_BETA = re.compile(r"[A-Za-z0-9_.-]+(, ?[A-Za-z0-9_.-]+){0,49}")
_CACHE_MARK = "cache_control"


@dataclass(frozen=True, slots=True)
class Fitted:
    """`prompt` and `headers` for the backend, `losses` beside its codec's own; `names` of calls that were renamed."""

    prompt: Prompt
    losses: tuple[Loss, ...] = ()
    names: Names = field(default_factory=dict[str, tuple[str, str]])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def said(self, events: AsyncIterator[ResponseEvent]) -> AsyncIterator[ResponseEvent]:
        """The answer's events, their calls named as the client knows them."""
        return _Renamed(events, self.names) if self.names else events


def fitted(ask: Ask, client: ModelClient) -> Fitted:
    prompt = ask.prompt.with_model(client.resolved.model)
    beta = ask.headers.get(BETA_HEADER, "") if ask.wire == "messages" else ""
    beta = beta if _BETA.fullmatch(beta) else ""
    if client.wire == ask.wire:
        items = tuple(_own(item, ask.prompt.model, client) for item in prompt.items)
        marked = ask.wire == "messages" and any(loss.feature == _CACHE_MARK for loss in ask.losses)
        prompt = dataclasses.replace(prompt, items=items, cache_breakpoints=prompt.cache_breakpoints or marked)
        return Fitted(prompt, headers=_with_beta(beta, client))
    losses = (*(Loss(name) for name in prompt.extra), *([Loss(BETA_HEADER, beta)] if beta else []))
    if prompt.extra:  # another wire would refuse them, or take them for something else
        prompt = dataclasses.replace(prompt, extra={})
    wanted = prompt.reasoning
    if client.wire == "messages" and wanted is not None and wanted.effort is None and wanted.budget_tokens is None:
        # On OpenAI's wires: tell me of what you think anyhow. Here it would turn thinking on; a server may have none.
        prompt = dataclasses.replace(prompt, reasoning=None)
        losses = (*losses, Loss("reasoning.summary"))
    if client.wire == "responses":
        return Fitted(prompt, losses)
    prompt, names, more = flattened(prompt)
    return Fitted(prompt, (*losses, *more), names)


def _own(item: ResponseItem, asked: str, client: ModelClient) -> ResponseItem:
    """An item that came over this wire as one of its backend: who sends it back got it here, under the name of the
    model that is asked for."""
    if isinstance(item, FunctionCallOutput | CustomToolCallOutput | ToolSearchOutput | GhostSnapshot):
        return item
    origin = item.origin
    if origin is None or origin.provider or origin.wire != client.wire:
        return item
    model = client.resolved.model if origin.model == asked else origin.model
    ours = origin.model_copy(update={"provider": client.resolved.compat.provider, "model": model})
    return item.model_copy(update={"origin": ours})


def _with_beta(beta: str, client: ModelClient) -> dict[str, str]:
    if not beta:
        return {}
    rows = {name.lower(): value for name, value in client.resolved.headers.items()}
    said = [word.strip() for word in f"{rows.get(BETA_HEADER, '')},{beta}".split(",")]
    return {BETA_HEADER: ",".join(dict.fromkeys(word for word in said if word))}


class _Renamed:
    """Events with their calls renamed, as far ahead as they can be read."""

    def __init__(self, events: AsyncIterator[ResponseEvent], names: Names) -> None:
        self._events = events
        self._names = names

    def __aiter__(self) -> _Renamed:
        return self

    async def __anext__(self) -> ResponseEvent:
        return named(await anext(self._events), self._names)

    def ready(self) -> list[ResponseEvent]:
        events = self._events.ready() if isinstance(self._events, ReadAhead) else ()
        return [named(event, self._names) for event in events]
