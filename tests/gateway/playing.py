"""An answerer that plays what it is given: for what stands before the backends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio

from agent_core.events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ResponseEvent,
    Usage,
)
from agent_core.gateway.asking import Answer, Answerer, Ask, Place, Service
from agent_core.items import Message, OutputText

__all__ = ["Playing", "said"]


def said(*words: str, usage: Usage | None = None) -> list[ResponseEvent]:
    """The events of an answer of text."""
    message = Message(role="assistant")
    return [
        Created("resp_1", "m"),
        OutputItemAdded(0, message),
        *(OutputTextDelta(0, word) for word in words),
        OutputItemDone(0, message.model_copy(update={"content": (OutputText(text="".join(words)),)})),
        Completed("resp_1", "m", "stop", usage=usage or Usage(input=7, output=5)),
    ]


class Playing(Service):
    """Asks nobody: each item of `script` is an event, an error to raise, or something to wait for."""

    place = Place.AFFINITY

    def __init__(
        self,
        *script: ResponseEvent | Exception | anyio.Event,
        model: str = "lab/m",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.script = script
        self.model = model
        self.headers = headers or {}

    def around(self, inner: Answerer) -> Answerer:
        return self

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        if self.script and isinstance(self.script[0], Exception):
            raise self.script[0]
        usage = next((event.usage for event in self.script if isinstance(event, Completed)), None)
        try:
            yield Answer(self._played(), self.model, headers=self.headers)
        finally:
            if usage is not None:
                ask.bill.add(self.model, usage)

    async def _played(self) -> AsyncIterator[ResponseEvent]:
        for step in self.script:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, anyio.Event):
                await step.wait()
            else:
                yield step
