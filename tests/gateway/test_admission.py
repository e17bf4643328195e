"""Who gets in, who waits, who is turned away, and that every place comes back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import httpx2
import pytest

from agent_core import ModelClient, Prompt, RetryPolicy
from agent_core.codecs import WIRES
from agent_core.errors import ConfigError, ModelError, NotAdmitted, ServerError
from agent_core.events import (
    ResponseEvent,
)
from agent_core.gateway import Gateway
from agent_core.gateway.admission import Admission
from agent_core.gateway.asking import Answer, Ask, Caller
from agent_core.items import JsonObject, WireName, user_message
from agent_core.testing import RehearsalServer, Step

from ..loopback import STALL, chunk, exchange, serve, sse_head
from ..virtual_time import anyio_backend as anyio_backend
from .asgi import call
from .running import running
from .saying import Saying

pytestmark = pytest.mark.anyio


def ask(caller: str = "") -> Ask:
    return Ask(Prompt([user_message("hi")]), "chat", caller=Caller(caller))


class Inner:
    """Counts who is in; fails if told so."""

    def __init__(self, error: ModelError | None = None) -> None:
        self.error = error
        self.asked: list[str] = []

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        self.asked.append(ask.caller.name)
        if self.error is not None:
            raise self.error
        yield Answer(nothing(), "lab/m")


async def nothing(events: tuple[ResponseEvent, ...] = ()) -> AsyncGenerator[ResponseEvent]:
    for event in events:
        yield event


async def hold(admission: Admission, caller: str, done: list[str], leave: anyio.Event | None = None) -> None:
    """Come in, note it, and stay until `leave`."""
    try:
        async with admission.admitted(caller):
            done.append(caller)
            if leave is not None:
                await leave.wait()
    except NotAdmitted:
        done.append(f"{caller} away")


async def until(condition: Callable[[], bool]) -> None:
    """Of the gateway's own thread, which nothing here is told of."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # there is no event across the two loops
            await anyio.sleep(0.002)


WAYS = ("whole", "unread", "failed", "left")


@pytest.mark.parametrize("way", WAYS)
async def test_every_place_comes_back(way: str) -> None:
    """X-S0-02, X-S0-03, X-S3-07: whether the answer was read, never iterated, failed, or its client left."""
    admission = Admission(1, max_waiting=0)
    inner = Inner(ServerError("x", status=500) if way == "failed" else None)
    outer = admission.around(inner)
    for _ in range(3):
        with anyio.CancelScope() as scope:
            try:
                async with outer.answer(ask()) as answer:
                    if way == "whole":
                        assert [event async for event in answer.events] == []
                    if way == "left":
                        scope.cancel()
                        await anyio.sleep_forever()
            except ServerError:
                assert way == "failed"
        assert (admission.in_flight, admission.waiting) == (0, 0)
    assert len(inner.asked) == 3


async def test_callers_take_turns() -> None:
    """One with many requests does not keep the others waiting: each caller's own come in the order they were sent."""
    admission = Admission(1)
    leave = anyio.Event()
    done: list[str] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold, admission, "first", done, leave)
        await anyio.wait_all_tasks_blocked()
        for name in ("greedy", "greedy", "greedy", "greedy", "modest", "other", "other"):
            tasks.start_soon(hold, admission, name, done)
            await anyio.wait_all_tasks_blocked()
        assert admission.waiting == 7
        leave.set()
    assert done == ["first", "greedy", "modest", "other", "greedy", "other", "greedy", "greedy"]
    assert (admission.in_flight, admission.waiting) == (0, 0)


async def test_a_full_queue_is_shared_too() -> None:
    """Who waits most often makes room for who waits less; with nobody greedier, the newcomer is turned away."""
    admission = Admission(1, max_waiting=3)
    leave = anyio.Event()
    done: list[str] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold, admission, "first", done, leave)
        await anyio.wait_all_tasks_blocked()
        for name in ("greedy", "greedy", "greedy", "modest", "modest", "greedy"):
            tasks.start_soon(hold, admission, name, done)
            await anyio.wait_all_tasks_blocked()
        assert done == ["first", "greedy away", "modest away", "greedy away"]
        assert admission.waiting == 3
        leave.set()
    assert done[4:] == ["greedy", "modest", "greedy"]


async def test_who_waits_too_long_is_turned_away() -> None:
    """With a hint when to come again; who leaves the queue leaves nothing behind."""
    admission = Admission(1, max_wait_s=5)
    async with admission.admitted("one"):
        began = anyio.current_time()
        with pytest.raises(NotAdmitted) as caught:
            async with admission.admitted("two"):
                raise AssertionError
        assert anyio.current_time() - began == pytest.approx(5)
        assert 1 <= (caught.value.retry_after_s or 0) <= 60
        with anyio.move_on_after(1):
            async with admission.admitted("three"):
                raise AssertionError
        assert (admission.in_flight, admission.waiting) == (1, 0)
    assert admission.in_flight == 0


async def test_a_place_given_to_one_who_leaves_goes_on_to_the_next() -> None:
    """Both in the same moment: cancelled when its turn had just come."""
    admission = Admission(1)
    done: list[str] = []
    async with anyio.create_task_group() as tasks, AsyncExitStack() as first:
        await first.enter_async_context(admission.admitted("first"))
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as leaving:
                leaving.start_soon(hold, admission, "leaves", done)
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(hold, admission, "next", done)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
                await first.aclose()
    assert (done, admission.in_flight, admission.waiting) == (["next"], 0, 0)


@pytest.mark.parametrize("given", [(0, 1, 1.0), (1, -1, 1.0), (1, 1, -1.0), (1, 1, float("nan"))])
def test_bounds_are_bounds(given: tuple[int, int, float]) -> None:
    with pytest.raises(ConfigError):
        Admission(given[0], max_waiting=given[1], max_wait_s=given[2])


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_answer_is_over_when_its_last_byte_is_sent(wire: WireName, stream: bool) -> None:
    """X-S3-17: what is behind it has run to its end, and its place is free."""
    admission, whole = Admission(1, max_waiting=0), Saying("hello")
    client = ModelClient("lab/m", base_url="http://127.0.0.1:1")
    async with Gateway(default=client, services=[admission, whole]) as gateway:
        for n in range(1, 4):
            got = await call(gateway, REFUSED[wire][0], {**body(wire), "stream": stream})
            assert (got.status, "hello" in got.text, whole.ended, admission.in_flight) == (200, True, n, 0)


REFUSED: dict[WireName, tuple[str, int, str, str | None]] = {
    "chat": ("/v1/chat/completions", 429, "rate_limit_error", "backpressure"),
    "responses": ("/v1/responses", 429, "rate_limit_error", "backpressure"),
    "messages": ("/v1/messages", 529, "overloaded_error", None),
}
HELLO: JsonObject = {"model": "any", "max_tokens": 9}


def body(wire: WireName) -> JsonObject:
    return {**HELLO, ("input" if wire == "responses" else "messages"): [{"role": "user", "content": "hi"}]}


class TestServed:
    """Over HTTP, where the loop's clock is the machine's."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    async def test_no_room_is_said_in_the_words_of_the_wire(self) -> None:
        """X-S3-06, X-S0-02: the backend hears nothing of it; when the open stream's client leaves, there is room."""
        begun = chunk(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"he"}}]}\n\n')
        async with serve(exchange(sse_head(), begun, STALL)) as backend:
            client = ModelClient("lab/m", base_url=backend.url, retry=RetryPolicy(max_attempts=1))
            admission = Admission(1, max_waiting=0)
            with running(Gateway(default=client, services=[admission])) as url:
                async with httpx2.AsyncClient(base_url=url, timeout=20) as http:
                    stream = {**body("chat"), "stream": True}
                    async with http.stream("POST", "/v1/chat/completions", json=stream) as open_stream:
                        lines = open_stream.aiter_lines()
                        await anext(lines)
                        for wire in WIRES:
                            path, status, kind, code = REFUSED[wire]
                            refused = await http.post(path, json=body(wire))
                            error = refused.json()["error"]
                            assert (refused.status_code, error["type"], error.get("code")) == (status, kind, code)
                            assert 1 <= int(refused.headers["retry-after"]) <= 60
                    with anyio.fail_after(10):
                        await backend.left.wait()
                    await until(lambda: admission.in_flight == 0)
            assert len(backend.requests) == 1

    async def test_who_leaves_while_waiting_leaves_the_queue(self) -> None:
        """X-S0-03: its request never reaches the backend."""
        begun = chunk(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"he"}}]}\n\n')
        async with serve(exchange(sse_head(), begun, STALL)) as backend:
            client = ModelClient("lab/m", base_url=backend.url, retry=RetryPolicy(max_attempts=1))
            admission = Admission(1)
            with running(Gateway(default=client, services=[admission])) as url:
                async with httpx2.AsyncClient(base_url=url, timeout=20) as http:
                    stream = {**body("chat"), "stream": True}
                    async with http.stream("POST", "/v1/chat/completions", json=stream) as open_stream:
                        lines = open_stream.aiter_lines()
                        await anext(lines)
                        async with anyio.create_task_group() as tasks:
                            tasks.start_soon(lambda: http.post("/v1/messages", json=body("messages")))
                            await until(lambda: admission.waiting == 1)
                            tasks.cancel_scope.cancel()
                        await until(lambda: admission.waiting == 0)
            assert len(backend.requests) == 1

    def test_more_than_fit_are_all_answered_in_time(self) -> None:
        """Twenty at once through two places."""
        with RehearsalServer([Step(text="hello")], pace_s=0) as server:
            client = ModelClient("rehearsal/m", provider=server.provider)
            with running(Gateway(default=client, services=[Admission(2)])) as url:
                statuses: list[int] = []

                async def one(http: httpx2.AsyncClient) -> None:
                    statuses.append((await http.post("/v1/messages", json=body("messages"))).status_code)

                async def all_of_them() -> None:
                    async with httpx2.AsyncClient(base_url=url) as http, anyio.create_task_group() as tasks:
                        for _ in range(20):
                            tasks.start_soon(one, http)

                anyio.run(all_of_them)
        assert statuses == [200] * 20
