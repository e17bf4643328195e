"""Backends that need no server: an answer by what is asked, at the time a test chooses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio

from agent_core import Prompt, Response, Usage
from agent_core.codecs.whole import response_events
from agent_core.errors import ModelError
from agent_core.events import ResponseEvent
from agent_core.gateway.asking import Answer, Answerer, Ask, Caller
from agent_core.gateway.stores import MemoryStore
from agent_core.items import ResponseItem, WireName, assistant_message

USED = Usage(input=7, output=5)


def said(text: str = "hello", *items: ResponseItem) -> Response:
    return Response("resp_1", "m", items or (assistant_message(text),), "stop", usage=USED)


def asking(
    prompt: Prompt | str = "hi", *, caller: str = "", wire: WireName = "chat", headers: dict[str, str] | None = None
) -> Ask:
    prompt = Prompt(prompt, model="any") if isinstance(prompt, str) else prompt
    return Ask(prompt, wire, caller=Caller(caller), headers=headers or {})


class Backing:
    """An Answerer. `answers` are taken in turn, the last one for ever; an error among them is raised before the answer
    begins, or after its first event where `late`. With a `gate`, nothing ends before it is opened."""

    def __init__(
        self, *answers: Response | ModelError, late: bool = False, gate: anyio.Event | None = None, deployment: str = ""
    ) -> None:
        self._answers = answers or (said(),)
        self._late = late
        self.gate = gate
        self.deployment = deployment
        self.asks: list[Ask] = []
        self.asked = anyio.Event()

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        found = self._answers[min(len(self.asks), len(self._answers) - 1)]
        self.asks.append(ask)
        self.asked.set()
        if isinstance(found, ModelError) and not self._late:
            await self._opened()
            raise found
        yield Answer(self._events(found), "lab/m", deployment=self.deployment)

    async def _events(self, found: Response | ModelError) -> AsyncIterator[ResponseEvent]:
        events = response_events(said("half of it") if isinstance(found, ModelError) else found)
        yield events[0]
        await self._opened()
        if isinstance(found, ModelError):
            raise found
        for event in events[1:]:
            yield event

    async def _opened(self) -> None:
        if self.gate is not None:
            await self.gate.wait()


async def heard(answerer: Answerer, ask: Ask) -> tuple[Sequence[ResponseEvent], Answer]:
    """All that is said, and the answer it was said in."""
    async with answerer.answer(ask) as answer:
        return [event async for event in answer.events], answer


class Broken(MemoryStore):
    """Breaks its promise, or keeps it: `error` is what its methods raise."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def get(self, *keys: str, renew_s: float | None = None) -> list[bytes | None]:
        return [None for _ in keys] if isinstance(self.error, RuntimeError) else self._fail()

    async def put(self, entries: Mapping[str, bytes], ttl_s: float) -> None:
        self._fail()

    def _fail(self) -> list[bytes | None]:
        raise self.error
