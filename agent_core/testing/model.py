"""A scripted model in memory: what the loop takes for a client, without bytes. For tests of agents and of the loop.

Where the wire matters too, use RehearsalServer: it answers over HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio
import anyio.lowlevel

from ..codecs.base import Loss, Repair
from ..errors import AgentCoreError, ModelError
from ..events import Attempt, OutputItemDone, Response, ResponseEvent
from ..items import ResponseItem
from ..prompt import Prompt
from ..retry import RetryPolicy, Tries
from .scripts import answer_events

__all__ = ["ScriptedEvent", "ScriptedModel", "ScriptedStream"]

ScriptedEvent: TypeAlias = ResponseEvent | ModelError | anyio.Event


class ScriptedModel:
    """Answers the n-th request with the n-th answer and keeps the prompts it was given.

    An answer is a whole Response, an error to raise at opening, or events with perhaps an error at the end (a broken
    stream), or an `anyio.Event` among them, which is waited for. Past the last answer it raises AgentCoreError.
    """

    def __init__(
        self,
        *answers: Response | ModelError | Iterable[ScriptedEvent],
        model: str = "scripted",
    ) -> None:
        self.model = model
        self.retry = RetryPolicy(base_delay_s=0.0, jitter_s=0.0)
        self.prompts: list[Prompt] = []
        self._answers = list(answers)

    @asynccontextmanager
    async def stream(self, prompt: Prompt, *, tries: Tries | None = None) -> AsyncGenerator[ScriptedStream, None]:
        """One answer, event by event. Nothing is tried again here."""
        self.prompts.append(prompt)
        await anyio.lowlevel.checkpoint()
        if len(self.prompts) > len(self._answers):
            raise AgentCoreError(f"the script has {len(self._answers)} answers; request {len(self.prompts)} came")
        answer = self._answers[len(self.prompts) - 1]
        if isinstance(answer, ModelError):
            raise answer
        stream = ScriptedStream(answer_events(answer) if isinstance(answer, Response) else answer)
        stream.model = self.model
        yield stream


class ScriptedStream:
    """The events of one scripted answer, as the loop reads them."""

    losses: tuple[Loss, ...] = ()
    repairs: tuple[Repair, ...] = ()
    earlier: tuple[Attempt, ...] = ()
    model = ""

    def __init__(self, events: Iterable[ScriptedEvent]) -> None:
        self._events = iter(events)
        self._items: list[ResponseItem] = []
        self._emitted = False

    def __aiter__(self) -> ScriptedStream:
        return self

    async def __anext__(self) -> ResponseEvent:
        await anyio.lowlevel.checkpoint()
        for event in self._events:
            if isinstance(event, anyio.Event):
                await event.wait()
                continue
            if isinstance(event, ModelError):
                event.output_emitted = self._emitted
                raise event
            if isinstance(event, OutputItemDone):
                self._items.append(event.item)
            self._emitted = True
            return event
        raise StopAsyncIteration

    def snapshot(self) -> Response:
        """What was done so far."""
        return Response(items=tuple(self._items), status="incomplete")
