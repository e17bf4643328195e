"""Who is let in, what is there, how much is read, and how refusals look on each wire."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx2
import pytest

from agent_core import ModelClient
from agent_core.errors import ConfigError
from agent_core.gateway import Gateway
from agent_core.items import JsonObject
from agent_core.testing import RehearsalServer, Step

from .running import running

KEY = "a-key-of-the-gateway-1"
OTHER = "a-key-of-the-gateway-2"


@pytest.fixture(scope="module")
def open_url() -> Iterator[str]:
    """A gateway of two named models, small bodies only, without keys."""
    with RehearsalServer([Step(text="hello")], pace_s=0) as server:
        models = {
            name: ModelClient(f"rehearsal/{name}", provider=server.provider, wire=wire)
            for name, wire in (("one", "chat"), ("org/two", "messages"))
        }
        with running(Gateway(models, max_body_bytes=2000, body_s=0.3)) as url:
            yield url


@pytest.fixture(scope="module")
def locked_url() -> Iterator[str]:
    with RehearsalServer([Step(text="hello")], pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider)
        with running(Gateway(default=client, keys=[KEY, OTHER])) as url:
            yield url


HELLO: JsonObject = {"model": "one", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
KEYS: dict[str, tuple[dict[str, str], int]] = {
    "a bearer token": ({"authorization": f"Bearer {KEY}"}, 200),
    "another one": ({"authorization": f"bearer {OTHER}"}, 200),
    "x-api-key": ({"x-api-key": KEY}, 200),
    "none": ({}, 401),
    "a wrong one": ({"x-api-key": KEY + "x"}, 401),
    "its beginning": ({"x-api-key": KEY[:-1]}, 401),
    "an empty one": ({"authorization": "Bearer"}, 401),
    "as a password": ({"authorization": f"Basic {KEY}"}, 401),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/messages", "/v1/models"])
def test_keys(locked_url: str, name: str, path: str) -> None:
    """Every door but that of health asks for one, and tells nothing of it."""
    headers, status = KEYS[name]
    with httpx2.Client(base_url=locked_url, headers=headers) as http:
        answer = http.get(path) if path.endswith("models") else http.post(path, json=HELLO)
    assert answer.status_code == status
    assert KEY not in answer.text and OTHER not in answer.text


def test_health_needs_no_key(locked_url: str) -> None:
    for path in ("/healthz", "/"):
        assert httpx2.get(locked_url + path).json() == {"status": "ok"}
    assert httpx2.get(f"{locked_url}/readyz").json() == {"status": "ok", "models": 1, "ready": 1}


BIG: JsonObject = {**HELLO, "messages": [{"role": "user", "content": "x" * 3000}]}
REFUSALS: dict[str, tuple[str, str, object, int]] = {
    "a body that is no JSON": ("POST", "/v1/chat/completions", b"{", 400),
    "a model nobody has": ("POST", "/v1/chat/completions", {**HELLO, "model": "three"}, 404),
    "too large": ("POST", "/v1/chat/completions", BIG, 413),
    "no messages": ("POST", "/v1/messages", {"model": "one", "max_tokens": 9, "messages": 7}, 400),
    "too large, on Messages": ("POST", "/v1/messages", BIG, 413),
    "a model nobody has, on Messages": ("POST", "/v1/messages", {**HELLO, "model": "three"}, 404),
    "no input": ("POST", "/v1/responses", {"model": "one"}, 400),
    "no such path": ("GET", "/v1/nothing", None, 404),
    "no such method": ("DELETE", "/v1/chat/completions", None, 405),
    "no such model to show": ("GET", "/v1/models/three", None, 404),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_have_the_shape_of_their_wire(open_url: str, name: str) -> None:
    """A status, a type, a message, an id to ask after."""
    method, path, body, status = REFUSALS[name]
    content = body if isinstance(body, bytes) else None
    json = None if isinstance(body, bytes) else body
    answer = httpx2.request(method, open_url + path, json=json, content=content)
    assert (answer.status_code, bool(answer.headers["x-request-id"])) == (status, True)
    shown = answer.json()
    assert shown["error"]["message"] and shown["error"]["type"]
    assert (shown.get("type") == "error") == ("messages" in path)


def test_models_are_listed_and_named(open_url: str) -> None:
    """Also one with a slash in its name."""
    listed = httpx2.get(f"{open_url}/v1/models").json()
    assert [row["id"] for row in listed["data"]] == ["one", "org/two"]
    assert httpx2.get(f"{open_url}/v1/models/org/two").json()["id"] == "org/two"


def test_tokens_are_estimated(open_url: str) -> None:
    """More for more; tools and instructions count."""
    path = f"{open_url}/v1/messages/count_tokens"
    short = httpx2.post(path, json=HELLO).json()["input_tokens"]
    tools = [{"name": "add", "description": "Adds two numbers.", "input_schema": {"type": "object"}}]
    more = httpx2.post(path, json={**HELLO, "system": "Be brief.", "tools": tools}).json()["input_tokens"]
    assert 0 < short < more < 100


def test_a_body_that_never_comes_is_not_waited_for(open_url: str) -> None:
    """408, and the connection is free again."""
    host, port = open_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        assert raw.recv(100).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("given", ["mine\r\nx-evil: 1", "a" * 200, "with space", "ümlaut"])
def test_ids_that_cannot_be_sent_back_are_replaced(open_url: str, given: str) -> None:
    """No header is made of what a client wrote, unless it is a plain word."""
    host, port = open_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        head = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: {given}\r\n\r\n"
        raw.sendall(head.encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert b"x-evil" not in answer
    assert b"x-request-id: req_" in answer or b"x-request-id: mine\r\n" in answer


BAD_KEYS = ["short", "with a space in the middle of it", "ümlaut-in-a-long-enough-key", ""]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_that_is_none_is_refused(key: str) -> None:
    """When the gateway is made, without showing it."""
    with pytest.raises(ConfigError, match="key 1 of the gateway") as caught:
        Gateway(default=ModelClient("lab/m", base_url="http://127.0.0.1:1"), keys=[key])
    assert not key or key not in str(caught.value)


def test_a_gateway_needs_a_backend() -> None:
    with pytest.raises(ConfigError, match="needs a backend"):
        Gateway()
