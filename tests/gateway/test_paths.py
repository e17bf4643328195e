"""Which wire is spoken at which path, and what an answer at each looks like."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from agent_core import ModelClient
from agent_core.gateway import Gateway
from agent_core.items import JsonObject
from agent_core.testing import RehearsalServer, Step

from .running import client, running


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    """Of a gateway whose backend speaks Messages."""
    with RehearsalServer([Step(text="hello")], pace_s=0) as server:
        model = ModelClient("rehearsal/m", provider=server.provider, wire="messages")
        with running(Gateway(default=model)) as url, client(url) as http:
            yield http


ASKED: JsonObject = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
ANTHROPIC = {"anthropic-version": "2023-06-01", "x-api-key": "k"}
PATHS: dict[str, tuple[str, str, dict[str, str], int, str]] = {
    "T-F4, T-F11: chat": ("POST", "/v1/chat/completions", {}, 200, "chat.completion"),
    "T-G13: chat, by its path alone": ("POST", "/chat/completions", ANTHROPIC, 200, "chat.completion"),
    "messages": ("POST", "/v1/messages", {}, 200, "message"),
    "messages, without its headers": ("POST", "/messages", {}, 200, "message"),
    "T-H21: responses": ("POST", "/responses", ANTHROPIC, 200, "response"),
    "T-F5: another method reaches the path": ("GET", "/v1/messages", {}, 405, ""),
    "a path that only ends so": ("POST", "/x/v1/messages", {}, 404, ""),
    "a path with more behind it": ("POST", "/v1/messages/", {}, 307, ""),
}


@pytest.mark.parametrize("name", PATHS)
def test_a_path_is_a_wire(http: httpx2.Client, name: str) -> None:
    """Whatever headers say."""
    method, path, headers, status, kind = PATHS[name]
    body: JsonObject = {"model": "m", "input": "hi"} if path.endswith("responses") else ASKED
    answer = http.request(method, path, headers=headers, json=body if method == "POST" else None)
    assert answer.status_code == status
    if kind:
        assert kind in (answer.json().get("object"), answer.json().get("type"))


ENDPOINT: dict[str, tuple[JsonObject, int, str]] = {
    "as it should be": ({}, 200, ""),
    "with instructions": (
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]},
        200,
        "",
    ),
    "without a bound": ({"max_tokens": None}, 200, ""),
    "without messages": ({"messages": []}, 400, ""),
    "T-N8: one thing is lost": ({"seed": 7}, 200, "seed"),
    "T-N8: three are": (
        {"presence_penalty": 1, "frequency_penalty": 1, "seed": 7},
        200,
        "frequency_penalty, presence_penalty, seed",
    ),
}


@pytest.mark.parametrize("name", ENDPOINT)
def test_the_endpoint_of_chat(http: httpx2.Client, name: str) -> None:
    """T-Q7, S0-14: a whole answer has its shape, a refusal its own; what the backend did not get is listed."""
    more, status, lost = ENDPOINT[name]
    answer = http.post("/v1/chat/completions", json={**ASKED, **more})
    assert answer.status_code == status
    said = answer.headers.get("x-agent-core-losses", "")
    assert ", ".join(sorted(said.split(", "))) == lost
    if status == 200:
        (choice,) = answer.json()["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("hello", "stop")
    else:
        assert answer.json()["error"]["type"] == "invalid_request_error"
