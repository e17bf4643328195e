"""What a client is told of limits: in the headers its vendor uses, with answers and with refusals."""

from __future__ import annotations

from decimal import Decimal

import httpx2
import pytest

from agent_core import ModelClient, RetryPolicy
from agent_core.codecs import WIRES
from agent_core.codecs.rate_limits import rate_limits
from agent_core.gateway import Gateway
from agent_core.gateway.keys import Budget, Key, hash_of
from agent_core.items import JsonObject, WireName
from agent_core.testing import RehearsalServer, Step

from ..loopback import exchange, reply, serve
from .running import client, running

ONCE = RetryPolicy(max_attempts=1)
SECRET = "a-key-of-the-gateway-"
PATHS: dict[WireName, str] = {
    "chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages",
}  # fmt: skip


def key(name: str, **limits: object) -> Key:
    return Key(name, hash_of(SECRET + name), **limits)  # type: ignore[arg-type]


def body(wire: WireName, **more: object) -> JsonObject:
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "any", "max_tokens": 9, ("input" if wire == "responses" else "messages"): messages, **more}  # type: ignore[dict-item]


def ask(url: str, wire: WireName, name: str, **more: object) -> httpx2.Response:
    with client(url) as http:
        return http.post(PATHS[wire], json=body(wire, **more), headers={"x-api-key": SECRET + name})


REFUSED: dict[str, tuple[Key, dict[WireName, tuple[int, str, str | None]]]] = {
    "too often": (
        key("often", requests_per_minute=1),
        {
            "chat": (429, "rate_limit_error", "rate_limit_exceeded"),
            "responses": (429, "rate_limit_error", "rate_limit_exceeded"),
            "messages": (429, "rate_limit_error", None),
        },
    ),
    "another model": (
        key("other", models=("gpt-*",)),
        {
            "chat": (403, "permission_error", "model_not_allowed"),
            "responses": (403, "permission_error", "model_not_allowed"),
            "messages": (403, "permission_error", None),
        },
    ),
    "a budget that is spent": (
        key("spent", budget=Budget(month=Decimal(0))),
        {
            "chat": (429, "insufficient_quota", "budget_exceeded"),
            "responses": (429, "rate_limit_error", "budget_exceeded"),
            "messages": (402, "billing_error", None),
        },
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_those_clients_know(name: str) -> None:
    """S0-7, S0-44: status, type and code of the wire; whether and when to come again."""
    given, expected = REFUSED[name]
    with RehearsalServer([Step(text="hello")], pace_s=0) as server:
        with running(Gateway(default=ModelClient("rehearsal/m", provider=server.provider), keys=[given])) as url:
            if name == "too often":
                assert ask(url, "chat", given.name).status_code == 200
            for wire in WIRES:
                refused = ask(url, wire, given.name, stream=True)
                error = refused.json()["error"]
                assert (refused.status_code, error["type"], error.get("code")) == expected[wire]
                assert given.name in error["message"] or "any" in error["message"]
                assert ("retry-after" in refused.headers) == (name != "another model")
                assert refused.headers.get("x-should-retry") == ("false" if "spent" in name else None)
        assert len(server.requests) == (name == "too often")


TURNS: tuple[tuple[WireName, bool], ...] = (("chat", False), ("responses", True), ("messages", True))


def test_own_limits_are_told_with_every_answer() -> None:
    """What is left after this one; streamed or whole."""
    with RehearsalServer([Step(text="hello")], pace_s=0) as server:
        model = ModelClient("rehearsal/m", provider=server.provider)
        with running(Gateway(default=model, keys=[key("k", requests_per_minute=10, tokens_per_minute=5000)])) as url:
            for n, (wire, stream) in enumerate(TURNS, 1):
                answer = ask(url, wire, "k", stream=stream)
                told = {window.kind: window for window in (rate_limits(dict(answer.headers)) or pytest.fail()).windows}
                assert (told["requests"].limit, told["requests"].remaining) == (10, 10 - n)
                assert told["tokens"].limit == 5000
                assert ("anthropic-ratelimit-requests-reset" in answer.headers) == (wire == "messages")
                assert ("x-ratelimit-reset-requests" in answer.headers) == (wire != "messages")


THEIRS: dict[str, dict[str, str]] = {
    "OpenAI's": {
        "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1m0s", "retry-after": "7",
    },
    "Anthropic's": {
        "anthropic-ratelimit-requests-limit": "60", "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2026-11-20T12:01:00Z", "date": "Fri, 20 Nov 2026 12:00:00 GMT",
        "retry-after": "7",
    },
}  # fmt: skip


@pytest.mark.parametrize("theirs", THEIRS)
@pytest.mark.anyio
async def test_a_backends_limits_are_told_in_the_callers_words(theirs: str) -> None:
    """S0-14, S0-89, X-S0-01: also with its refusals, whose own type and code stay."""
    error = b'{"error": {"message": "slow down", "type": "tokens", "code": "rate_limit_exceeded", "param": null}}'
    async with serve(exchange(reply(429, error, THEIRS[theirs]))) as backend:
        model = ModelClient("lab/m", base_url=backend.url, retry=ONCE)
        with running(Gateway(default=model)) as url:
            async with httpx2.AsyncClient(base_url=url, verify=False) as http:
                for wire in WIRES:
                    refused = await http.post(PATHS[wire], json=body(wire))
                    (window,) = (rate_limits(dict(refused.headers)) or pytest.fail()).windows
                    assert (window.kind, window.limit, window.remaining) == ("requests", 60, 59)
                    assert window.reset_after_s == pytest.approx(60, abs=5)
                    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
                    assert refused.json()["error"]["message"] == "slow down"
                    if wire == "chat":
                        assert refused.json()["error"]["type"] == "tokens"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_a_key_sees_what_it_may_use() -> None:
    """In the list, one by one, and when tokens are counted."""
    with RehearsalServer([Step(text="hello")], pace_s=0) as server:
        models = {name: ModelClient(f"rehearsal/{name}", provider=server.provider) for name in ("one", "org/two")}
        with running(Gateway(models, keys=[key("some", models=("org/*",)), key("none", models=())])) as url:
            for name, seen in (("some", ["org/two"]), ("none", [])):
                with client(url) as http:
                    http.headers["x-api-key"] = SECRET + name
                    assert [row["id"] for row in http.get("/v1/models").json()["data"]] == seen
                    assert http.get("/v1/models/org/two").status_code == (200 if seen else 403)
                    assert http.get("/v1/models/one").status_code == 403
                    counted = http.post("/v1/messages/count_tokens", json={**body("messages"), "model": "one"})
                    assert counted.status_code == 403
