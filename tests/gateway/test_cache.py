"""Answers that are known: who gets them, what is kept, and what becomes of those who ask at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import anyio
import anyio.lowlevel
import httpx2
import pytest

from agent_core import ModelClient, Response
from agent_core.codecs import WIRES
from agent_core.codecs.base import Loss
from agent_core.errors import OverloadedError, ServerError
from agent_core.gateway import Gateway
from agent_core.gateway.asking import Served
from agent_core.gateway.cache import Cache
from agent_core.gateway.stores import MemoryStore, StoreDown
from agent_core.gateway.written import GivenAnswer, read_given, write_given
from agent_core.items import FunctionCall, Origin, Reasoning, WireName, assistant_message
from agent_core.testing import RehearsalServer, Step

from .backing import USED, Backing, Broken, asking, heard, said
from .running import running

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


KEYS = ("a-key-of-the-gateway-1", "a-key-of-the-gateway-2")
PATHS: dict[WireName, str] = {
    "chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages",
}  # fmt: skip


def body(wire: WireName, text: str, **more: object) -> dict[str, object]:
    member = "input" if wire == "responses" else "messages"
    cap = "max_output_tokens" if wire == "responses" else "max_tokens"
    return {"model": "any", cap: 64, member: [{"role": "user", "content": text}], **more}


class Seen:
    def __init__(self) -> None:
        self.served: list[Served] = []

    def begun(self, ask: object) -> None: ...

    def turned_away(self, served: Served) -> None: ...

    def ended(self, ask: object, served: Served) -> None:
        self.served.append(served)


@pytest.fixture(scope="module")
def cached() -> Iterator[tuple[httpx2.Client, RehearsalServer, Seen]]:
    """A gateway that keeps answers, with two tenants; its backend; what it did."""
    seen = Seen()
    with RehearsalServer([Step(reasoning="hm", text="hello there", usage=USED)], pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider)
        gateway = Gateway(default=client, keys=KEYS, services=[Cache()], watchers=[seen])
        with running(gateway) as url, httpx2.Client(base_url=url) as http:
            yield http, server, seen


def post(
    http: httpx2.Client, wire: WireName, given: Mapping[str, object], key: str = KEYS[0], **headers: str
) -> httpx2.Response:
    return http.post(PATHS[wire], json=given, headers={"x-api-key": key, **headers})


@pytest.mark.parametrize("first", WIRES)
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_a_known_answer_is_told_on_every_wire(
    cached: tuple[httpx2.Client, RehearsalServer, Seen], first: WireName, streamed: bool
) -> None:
    """Asked on one wire, known on all, streamed or whole (S0-40's weakness); the bill is empty; no id is said twice."""
    http, server, seen = cached
    asked = f"{first} {streamed}"
    given = body(first, asked, stream=streamed)
    assert post(http, first, given).headers["x-agent-core-cache"] == "miss"
    before = len(server.requests)
    ids: set[str] = set()
    for wire in WIRES:
        told = post(http, wire, body(wire, asked, stream=True))
        whole = post(http, wire, body(wire, asked))
        assert (told.headers["x-agent-core-cache"], whole.headers["x-agent-core-cache"]) == ("hit", "hit")
        assert "hello there" in whole.text and "hello" in told.text
        ids |= {whole.json()["id"]}
    assert (len(server.requests), len(ids)) == (before, 3)
    assert sum(bool(served.bill) for served in seen.served) <= before


DIFFERENT: dict[str, tuple[dict[str, object], dict[str, object], str]] = {
    "response_format": ({}, {"response_format": {"type": "json_object"}}, KEYS[0]),
    "max_completion_tokens": ({"max_completion_tokens": 9}, {"max_completion_tokens": 10}, KEYS[0]),
    "a member nobody knows": ({}, {"logit_bias": {"1": 2}}, KEYS[0]),
    "tenant": ({}, {}, KEYS[1]),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_is_asked_again(cached: tuple[httpx2.Client, RehearsalServer, Seen], name: str) -> None:
    """X-S0-11: two requests, two calls of the backend."""
    http, server, _ = cached
    one, other, key = DIFFERENT[name]
    before = len(server.requests)
    for more, by in ((one, KEYS[0]), (other, key)):
        assert post(http, "chat", body("chat", name, **more), by).headers["x-agent-core-cache"] == "miss"
    assert len(server.requests) == before + 2


TTLS: dict[str, tuple[object, int, str]] = {
    "null": (None, 200, "hit"),
    "for ten minutes": (600, 200, "hit"),
    "fractions are cut": (600.9, 200, "hit"),
    "a day": (86400, 200, "hit"),
    "none": (0, 200, "bypass"),
    "next to none": (0.5, 200, "bypass"),
    "more than a day": (86401, 400, ""),
    "before now": (-1, 400, ""),
    "a word": ("600", 400, ""),
    "a flag": (True, 400, ""),
    "more than a number": (1e300, 400, ""),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", TTLS)
def test_how_long(cached: tuple[httpx2.Client, RehearsalServer, Seen], name: str, wire: WireName) -> None:
    """T-Q2, on every wire: the default, part in it or none, or a 400 that names the member; no backend sees it."""
    http, server, _ = cached
    value, status, state = TTLS[name]
    post(http, wire, body(wire, "how long"))
    answer = post(http, wire, body(wire, "how long", cache_ttl_secs=value))
    assert (answer.status_code, answer.headers.get("x-agent-core-cache", "")) == (status, state)
    assert status == 200 or "cache_ttl_secs" in answer.json()["error"]["message"]
    assert "cache_ttl_secs" not in (server.requests[-1].body or {})
    assert "x-agent-core-losses" not in answer.headers


HEADERS = {"no-store": ("bypass", "hit"), "No-Cache": ("miss", "hit"), "max-age=0": ("hit", "hit"), "": ("hit", "hit")}


@pytest.mark.parametrize("wish", HEADERS)
def test_what_a_client_wishes(cached: tuple[httpx2.Client, RehearsalServer, Seen], wish: str) -> None:
    """`no-store` has no part in it; `no-cache` makes a new answer, which is known from then on."""
    http, _, _ = cached
    post(http, "chat", body("chat", f"wish {wish}"))
    asked = post(http, "chat", body("chat", f"wish {wish}"), **{"cache-control": wish})
    later = post(http, "chat", body("chat", f"wish {wish}"))
    assert tuple(answer.headers["x-agent-core-cache"] for answer in (asked, later)) == HEADERS[wish]


CALL = FunctionCall(call_id="c", name="add", arguments="{}")
KEPT: dict[str, tuple[Response, bool, bool]] = {
    "it ended by itself": (said(), False, True),
    "cut": (Response("r", "m", (assistant_message("hel"),), "length", "incomplete"), False, False),
    "filtered": (Response("r", "m", (assistant_message("hel"),), "content_filter", "incomplete"), True, False),
    "a call": (Response("r", "m", (CALL,), "tool_calls"), False, False),
    "a call under another name": (Response("r", "m", (CALL,), "stop"), False, False),
    "a call, where they are wanted": (Response("r", "m", (CALL,), "tool_calls"), True, True),
    "nothing": (Response("r", "m", (), "stop"), True, False),
    "no reason": (Response("r", "m", (assistant_message("hello"),), "unknown"), True, False),
    "too large": (said("x" * 2000), False, False),
}


@pytest.mark.parametrize("name", KEPT)
async def test_what_is_kept(name: str) -> None:
    """Only what ended by itself, within its bound; calls where the operator wants them (S0-43)."""
    response, calls, kept = KEPT[name]
    backing = Backing(response)
    cached = Cache(calls=calls, max_bytes=1000).around(backing)
    _, first = await heard(cached, asking())
    events, second = await heard(cached, asking())
    assert [answer.headers["x-agent-core-cache"] for answer in (first, second)] == ["miss", "hit" if kept else "miss"]
    assert (len(backing.asks), second.model) == (1 if kept else 2, "lab/m")
    assert events[-1].usage == response.usage  # type: ignore[union-attr]


async def test_who_leaves_keeps_nothing() -> None:
    """Before it begins, in the middle, or without reading it at all; what was under way is forgotten: X-S3-07."""
    cache, backing = Cache(), Backing()
    cached = cache.around(backing)
    async with cached.answer(asking()) as answer:
        await anext(answer.events)
    async with cached.answer(asking()):
        pass
    with anyio.CancelScope() as scope:
        async with cached.answer(asking()) as answer:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert (len(backing.asks), len(cache.flights)) == (3, 0)
    assert (await heard(cached, asking()))[1].headers["x-agent-core-cache"] == "miss"


async def test_a_store_that_is_down_costs_no_answer() -> None:
    """Everything is a miss, nobody is told."""
    cached = Cache(Broken(StoreDown())).around(Backing())
    for _ in range(2):
        events, answer = await heard(cached, asking())
        assert (answer.headers["x-agent-core-cache"], len(events)) == ("miss", 5)


async def test_a_write_that_raises_holds_nobody() -> None:
    """X-S3-07: what the request held is free again, whatever a store does."""
    cache = Cache(Broken(RuntimeError("a bug")))
    with pytest.raises(RuntimeError):
        await heard(cache.around(Backing()), asking())
    assert len(cache.flights) == 0


async def test_what_cannot_be_read_is_a_miss() -> None:
    """Another version's bytes, or damage: asked again, and kept over it."""
    store = MemoryStore()
    cached = Cache(store).around(backing := Backing())
    await heard(cached, asking())
    for damaged in (
        b"",
        b"{",
        b'{"v":2}',
        write_given(GivenAnswer(said(), "m")).replace(b'"type":"message"', b'"type":7'),
    ):
        (key,) = store._entries
        await store.put({key: damaged}, 60)
        await heard(cached, asking())
    assert len(backing.asks) == 5


async def test_what_is_written_is_read() -> None:
    """All of an answer but its id, and what the provider said beside the counts; lone surrogates become U+FFFD."""
    origin = Origin(wire="messages", provider="p", model="m")
    thought = Reasoning(content=("hm",), signature="s", origin=origin)
    whole = Response(
        "", "m", (thought, CALL, assistant_message("é")), "tool_calls", "completed", USED, True, "end", None, "\n"
    )
    given = GivenAnswer(whole, "lab/m", (Loss("seed"),))
    assert read_given(write_given(given)) == given
    lone = read_given(write_given(GivenAnswer(said("\ud800"), "m")))
    assert lone is not None and lone.response.text == "\ufffd"


async def test_it_counts() -> None:
    """For whoever watches the gateway."""
    cache = Cache()
    cached = cache.around(Backing())
    for headers in ({}, {}, {}, {"cache-control": "no-store"}):
        await heard(cached, asking(headers=headers))
    assert cache.numbers() == {"hits": 2, "misses": 1, "bypassed": 1, "in_flight": 0}


# at the same time


@pytest.mark.parametrize("count", [1, 5])
async def test_equal_requests_wait_for_the_first(count: int) -> None:
    """One call of the backend; another's request is not held up."""
    gate = anyio.Event()
    cached = Cache().around(backing := Backing(gate=gate))
    states: list[str] = []

    async def ask() -> None:
        states.append((await heard(cached, asking()))[1].headers["x-agent-core-cache"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await backing.asked.wait()
        for _ in range(count):
            tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        async with cached.answer(asking(caller="another")) as answer:
            assert answer.headers["x-agent-core-cache"] == "miss"
        gate.set()
    assert (sorted(states), len(backing.asks)) == (["hit"] * count + ["miss"], 2)


async def test_one_who_waits_goes_on_for_the_first_that_left() -> None:
    """The others wait for that one."""
    gate = anyio.Event()
    cache = Cache()
    cached = cache.around(backing := Backing(gate=gate))
    states: list[str] = []

    async def ask(leaving: anyio.CancelScope) -> None:
        with leaving:
            states.append((await heard(cached, asking()))[1].headers["x-agent-core-cache"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, first := anyio.CancelScope())
        await backing.asked.wait()
        for _ in range(3):
            tasks.start_soon(ask, anyio.CancelScope())
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert (sorted(states), len(backing.asks), len(cache.flights)) == (["hit", "hit", "miss"], 2, 0)


FAILURES: dict[str, tuple[Callable[[], Backing], int, int]] = {
    "before it began": (lambda: Backing(OverloadedError("busy", status=529), said()), 1, 2),
    "in the middle": (lambda: Backing(ServerError("broken"), said(), late=True), 1, 2),
    "always": (lambda: Backing(ServerError("broken", status=500)), 4, 4),
    "it is not to be shared": (lambda: Backing(Response("r", "m", (CALL,), "tool_calls")), 0, 4),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_is_told_to_nobody_else(name: str) -> None:
    """One who waited asks again; nobody waits for more than two failures, and nobody for what is not shared."""
    made, failed, asked = FAILURES[name]
    cache, backing, gate = Cache(), made(), anyio.Event()
    backing.gate = gate
    cached = cache.around(backing)
    errors: list[type[Exception]] = []

    async def ask() -> None:
        try:
            await heard(cached, asking())
        except (OverloadedError, ServerError) as error:
            errors.append(type(error))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert (len(errors), len(backing.asks), len(cache.flights)) == (failed, asked, 0)


async def test_nobody_waits_for_ever() -> None:
    """Who has waited as long as is allowed asks for itself."""
    cached = Cache(wait_s=0.01).around(backing := Backing())
    async with cached.answer(asking()) as first:
        _, second = await heard(cached, asking())
        assert [answer.headers["x-agent-core-cache"] for answer in (first, second)] == ["miss", "miss"]
    assert len(backing.asks) == 2


class Slow(MemoryStore):
    """Takes a turn of the event loop for everything."""

    async def get(self, *keys: str, renew_s: float | None = None) -> list[bytes | None]:
        await anyio.lowlevel.checkpoint()
        return await super().get(*keys, renew_s=renew_s)


async def test_what_is_known_is_read_however_short_the_wait() -> None:
    """How long a request waits for another is no limit of the store's."""
    cached = Cache(Slow(), wait_s=0).around(Backing())
    states = [(await heard(cached, asking()))[1].headers["x-agent-core-cache"] for _ in range(2)]
    assert states == ["miss", "hit"]
