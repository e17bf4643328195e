"""Events that come several at a time: what watches them loses none, and is done before the end is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from agent_core import Prompt, Response
from agent_core.events import Completed, Created, ResponseEvent
from agent_core.gateway.asking import ReadAhead
from agent_core.gateway.shelf import Kept
from agent_core.gateway.stored import Running
from agent_core.gateway.tapping import Replayed, Tapped

from .playing import said

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Bursts:
    """Events as reads of a backend hold them: the first of each is waited for, the others are ready."""

    def __init__(self, events: Sequence[ResponseEvent], sizes: Sequence[int]) -> None:
        it: Iterator[ResponseEvent] = iter(events)
        self._bursts = [[event for _, event in zip(range(size), it, strict=False)] for size in sizes]
        self._rest: list[ResponseEvent] = []

    def __aiter__(self) -> Bursts:
        return self

    async def __anext__(self) -> ResponseEvent:
        if not self._rest:
            if not self._bursts:
                raise StopAsyncIteration
            self._rest = self._bursts.pop(0)
        return self._rest.pop(0)

    def ready(self) -> Sequence[ResponseEvent]:
        more, self._rest = self._rest, []
        return more


EVENTS = said("one ", "two")
SIZES = {"one by one": [1] * 6, "all at once": [6], "the end with others": [2, 4], "the end alone": [5, 1]}


@pytest.mark.parametrize("kind", ["tapped", "running"])
@pytest.mark.parametrize("name", SIZES)
async def test_bursts(name: str, kind: str) -> None:
    """All events in order, the whole answer once; the end is never among those that are ready."""
    kept: list[str] = []
    bursts = Bursts(EVENTS, SIZES[name])

    async def whole(response: Response) -> None:
        kept.append(response.text)

    async def finished(answer: Kept) -> None:
        kept.append(Response(items=answer.answered).text)

    made: dict[str, Callable[[], Tapped | Running]] = {
        "tapped": lambda: Tapped(bursts, whole),
        "running": lambda: Running(bursts, Prompt("hi"), finished),
    }
    watched = made[kind]()
    assert isinstance(watched, ReadAhead)
    heard: list[ResponseEvent] = []
    async for event in watched:
        heard.append(event)
        more = watched.ready()
        assert not any(isinstance(later, Completed) for later in more)
        heard += more
        assert kept == (["one two"] if isinstance(heard[-1], Completed) else [])
    assert [type(event) for event in heard] == [type(event) for event in EVENTS]
    named = {event.response_id for event in heard if isinstance(event, Created | Completed)}
    assert named == ({"resp_1"} if kind == "tapped" else {getattr(watched, "id", "")})


async def test_what_is_told_again() -> None:
    assert [event async for event in Replayed(EVENTS)] == EVENTS
