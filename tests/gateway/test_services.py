"""What stands between the clients and the backends: in one order, for as long as the gateway is open."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType

import httpx2
import pytest

from agent_core import ModelClient
from agent_core.errors import ConfigError
from agent_core.gateway import Gateway
from agent_core.gateway.asking import Answer, Answerer, Ask, Place, Served, Service
from agent_core.testing import RehearsalServer, Step

from .running import running

HELLO = {"model": "any", "messages": [{"role": "user", "content": "hi"}]}


class Noted(Service):
    """Notes where it stands, and says so in a header."""

    def __init__(self, place: Place, notes: list[str]) -> None:
        self.place = place  # type: ignore[misc]  # a class per place would say the same
        self.notes = notes

    def around(self, inner: Answerer) -> Answerer:
        return _Around(self, inner)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.notes.append(f"closed {self.place.name}")


class _Around:
    def __init__(self, service: Noted, inner: Answerer) -> None:
        self.service = service
        self.inner = inner

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        self.service.notes.append(self.service.place.name)
        async with self.inner.answer(ask) as answer:
            yield replace(answer, headers={**answer.headers, f"x-{self.service.place.name.lower()}": "here"})


class Seen:
    """A watcher."""

    def __init__(self) -> None:
        self.served: list[Served] = []

    def begun(self, ask: Ask) -> None:
        assert not self.served

    def ended(self, ask: Ask, served: Served) -> None:
        self.served.append(served)

    def turned_away(self, served: Served) -> None:
        self.served.append(served)


def test_services_stand_in_one_order() -> None:
    """Whatever order they are given in; closed from the inside out when the gateway ends."""
    notes: list[str] = []
    seen = Seen()
    with RehearsalServer([Step(text="hello")], pace_s=0) as server:
        services = [Noted(place, notes) for place in (Place.CACHE, Place.ADMISSION, Place.TOOLS)]
        client = ModelClient("rehearsal/m", provider=server.provider)
        with running(Gateway(default=client, services=services, watchers=[seen])) as url:
            answer = httpx2.post(f"{url}/v1/chat/completions", json=HELLO)
    assert (answer.status_code, answer.headers["x-cache"], answer.headers["x-admission"]) == (200, "here", "here")
    assert notes == ["ADMISSION", "CACHE", "TOOLS", "closed TOOLS", "closed CACHE", "closed ADMISSION"]
    (served,) = seen.served
    assert (served.outcome, served.model, served.asked, served.status) == ("completed", "rehearsal/m", "any", 200)
    assert [billed.model for billed in served.bill] == ["rehearsal/m"]


def test_two_of_a_kind_are_refused() -> None:
    services = [Noted(Place.CACHE, []), Noted(Place.CACHE, [])]
    with pytest.raises(ConfigError, match="stand in the same place"):
        Gateway(default=ModelClient("lab/m", base_url="http://127.0.0.1:1"), services=services)
