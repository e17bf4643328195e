"""Routing over real sockets: a file, servers that fail, and clients on each wire that never hear of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import anyio
import httpx2
import pytest

from agent_core import ModelClient, RetryPolicy, ask
from agent_core.circuit import Circuit
from agent_core.codecs import WIRES
from agent_core.gateway import Deployment, Gateway, Route, gateway_from_toml
from agent_core.gateway.asking import Ask, Served
from agent_core.items import JsonObject, JsonValue, WireName
from agent_core.testing import RehearsalServer, Step

from ..loopback import STALL, Exchange, Received, chunk, exchange, serve, sse_head
from .running import running

PATHS: dict[WireName, str] = {
    "chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages",
}  # fmt: skip
ONCE = RetryPolicy(max_attempts=1)


def asked(wire: WireName, model: str = "m", **members: JsonValue) -> JsonObject:
    member = "input" if wire == "responses" else "messages"
    return {"model": model, member: [{"role": "user", "content": "hi"}], **members}


@dataclass
class Servers:
    failing: RehearsalServer
    well: RehearsalServer
    url: str


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A model whose first deployment fails, one that is allowed once a minute, and one that nobody can answer for."""
    with (
        RehearsalServer([Step(status=500, error="broken")], pace_s=0) as failing,
        RehearsalServer([Step(text="hello")], pace_s=0) as well,
    ):
        file = tmp_path_factory.mktemp("routed") / "gateway.toml"
        file.write_text(f"""
            [routing]
            attempts = 1
            failures = 1
            [aliases]
            "gpt-*" = "m"
            [[models.m.deployments]]
            model = "lab/one"
            base_url = "{failing.base_url}"
            [[models.m.deployments]]
            model = "lab/two"
            base_url = "{well.base_url}"
            wire = "messages"
            [models.once]
            model = "lab/once"
            base_url = "{well.base_url}"
            requests_per_minute = 1
        """)
        with running(gateway_from_toml(file)) as url:
            yield Servers(failing, well, url)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("model", ["m", "gpt-9"])
def test_a_failure_is_not_heard_of(servers: Servers, wire: WireName, model: str) -> None:
    """T-Q8: the next deployment answers on a wire of its own, by the name that was asked for."""
    answer = httpx2.post(servers.url + PATHS[wire], json=asked(wire, model, max_tokens=9))
    assert (answer.status_code, answer.json()["model"]) == (200, model)
    assert "hello" in answer.text
    assert [request.status for request in servers.failing.requests] == [500]  # then it was left alone


@pytest.mark.parametrize("wire", WIRES)
def test_at_the_limit_in_the_words_of_the_wire(servers: Servers, wire: WireName) -> None:
    """A 429 with Retry-After, Anthropic's shape for Anthropic's clients and OpenAI's for the others (S0-44)."""
    body = asked(wire, "once", max_tokens=9)
    httpx2.post(servers.url + PATHS[wire], json=body)
    answer = httpx2.post(servers.url + PATHS[wire], json=body)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    shown = answer.json()
    assert (shown.get("type") == "error") == (wire == "messages")
    assert "everything that answers for 'once' is at its limit" in shown["error"]["message"]


def test_who_nobody_can_answer_for_is_not_ready() -> None:
    """503 once its only deployment has failed too often; /healthz only says that the gateway runs."""
    with (
        RehearsalServer([Step(status=500, error="broken")], pace_s=0) as failing,
        running(Gateway({"m": Route([Deployment(_client(failing))], retry=ONCE)})) as url,
    ):
        for _ in range(5):
            assert httpx2.post(url + PATHS["chat"], json=asked("chat")).status_code == 500
        ready = httpx2.get(f"{url}/readyz")
        assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "models": 1, "ready": 0})
        assert httpx2.get(f"{url}/healthz").status_code == 200


LEFT_ALONE: dict[WireName, int] = {"chat": 503, "responses": 503, "messages": 529}


def test_all_left_alone_in_the_words_of_the_wire() -> None:
    """An overload with Retry-After, and nobody is asked."""
    with RehearsalServer([Step(status=500, error="broken")], pace_s=0) as failing:
        both = [Deployment(_client(failing), name=name, circuit=Circuit(failures=1)) for name in "ab"]
        with running(Gateway({"m": Route(both, retry=ONCE)})) as url:
            assert httpx2.post(url + PATHS["chat"], json=asked("chat")).status_code == 500
            for wire, status in LEFT_ALONE.items():
                answer = httpx2.post(url + PATHS[wire], json=asked(wire, max_tokens=9))
                assert (answer.status_code, 0 < int(answer.headers["retry-after"]) <= 30) == (status, True)
                assert "is left alone" in answer.json()["error"]["message"]
        assert len(failing.requests) == 2


def _client(server: RehearsalServer, wire: WireName = "chat", **compat: object) -> ModelClient:
    return ModelClient("rehearsal/m", provider=server.provider, wire=wire, retry=ONCE, compat=compat)


class Over:
    """A watcher that says when a request is over."""

    def __init__(self) -> None:
        self.served: Served | None = None
        self.set = threading.Event()

    def begun(self, ask: Ask) -> None: ...

    def ended(self, ask: Ask, served: Served) -> None:
        self.served = served
        self.set.set()

    def turned_away(self, served: Served) -> None: ...


FIRST = chunk(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"he"}}]}\n\n')
LEFT = {"in the answer": exchange(sse_head(), FIRST, STALL), "before it": exchange(sse_head(), STALL)}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("when", LEFT)
async def test_a_client_that_left_is_not_in_flight(when: str) -> None:
    """X-S0-03: the counter is back where it was as soon as the request is over."""
    over, asked_for = Over(), anyio.Event()

    def script(_: Received) -> Exchange:
        asked_for.set()
        return LEFT[when]

    async with serve(script) as backend, httpx2.AsyncClient() as http, anyio.create_task_group() as tasks:
        one = Deployment(ModelClient("lab/m", base_url=backend.url, retry=ONCE), max_in_flight=1)
        with running(Gateway({"m": Route([one], retry=ONCE)}, watchers=[over])) as url:
            tasks.start_soon(partial(http.post, url + PATHS["chat"], json=asked("chat", stream=True), timeout=None))
            await asked_for.wait()
            assert one.in_flight == 1
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                assert await anyio.to_thread.run_sync(over.set.wait, 10)
        assert over.served is not None
        assert (over.served.outcome, one.in_flight) == ("client_left", 0)


OPENAI: JsonObject = {
    "seed": 7,
    "reasoning_effort": "high",
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "n", "strict": True, "schema": {"type": "object", "properties": {}}},
    },
    "tools": [
        {
            "type": "function",
            "function": {"name": "f", "strict": True, "parameters": {"type": "object", "properties": {}}},
        }
    ],
}


def test_openai_to_openai_is_unchanged() -> None:
    """X-S0-05: seed, response_format, reasoning_effort and strict reach the backend as they were, and nothing is said
    to be lost."""
    with RehearsalServer([Step(text="{}")], pace_s=0) as server, running(Gateway({"m": _client(server)})) as url:
        answer = httpx2.post(url + PATHS["chat"], json={**asked("chat"), **OPENAI})
        got = server.requests[-1].body or {}
    assert answer.status_code == 200 and "x-agent-core-losses" not in answer.headers
    assert {name: got.get(name) for name in OPENAI} == OPENAI


def test_a_request_without_a_limit_gets_the_backends() -> None:
    """X-S0-04: Messages needs max_tokens; who asks on Chat need not know, and gets what the deployment says."""
    with RehearsalServer([Step(text="hello")], pace_s=0) as server:
        client = _client(server, "messages", default_max_tokens=1234)
        with running(Gateway({"m": client})) as url:
            answer = httpx2.post(url + PATHS["chat"], json=asked("chat"))
        assert answer.status_code == 200
        assert (server.requests[-1].body or {})["max_tokens"] == 1234


def test_a_library_asks_through_a_route() -> None:
    """Streams too: the client of the runtime hears nothing of the deployment that failed."""
    with (
        RehearsalServer([Step(status=529, error="busy")], pace_s=0) as busy,
        RehearsalServer([Step(text="hello")], pace_s=0) as well,
    ):
        route = Route([Deployment(_client(busy), name="busy"), Deployment(_client(well, "responses"), name="well")])
        with running(Gateway({"m": route}, default="m")) as url:
            assert {ask("lab/any", "Hello", base_url=f"{url}/v1", wire=wire) for wire in WIRES} == {"hello"}
