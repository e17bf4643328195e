"""A scripted model as what a service of the gateway has behind it, without a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent_core.codecs.grammar import EventGrammar
from agent_core.errors import ModelError
from agent_core.events import Response, ResponseEvent
from agent_core.gateway.asking import Answer, Answerer, Ask
from agent_core.prompt import Prompt
from agent_core.testing.model import ScriptedEvent, ScriptedModel


class Backend:
    """An Answerer over a ScriptedModel. `left` counts the answers that were left, read to the end or not."""

    def __init__(self, *answers: Response | ModelError | Iterable[ScriptedEvent]) -> None:
        self.model = ScriptedModel(*answers)
        self.asks: list[Ask] = []
        self.left = 0

    @property
    def prompts(self) -> Sequence[Prompt]:
        return self.model.prompts

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        self.asks.append(ask)
        async with self.model.stream(ask.prompt) as events:
            try:
                yield Answer(aiter(events), "scripted/m", deployment="here")
            finally:
                self.left += 1


@dataclass
class Told:
    """What a client is told: events, by the grammar, and what they ended with."""

    events: list[ResponseEvent]
    error: ModelError | None = None


async def told(answerer: Answerer, ask: Ask) -> Told:
    """Read an answer to its end; an error before it begins is raised."""
    grammar = EventGrammar()
    events: list[ResponseEvent] = []
    async with answerer.answer(ask) as answer:
        try:
            async for event in answer.events:
                grammar.feed(event)
                events.append(event)
        except ModelError as error:
            return Told(events, error)
    grammar.end()
    return Told(events)
