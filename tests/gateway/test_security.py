"""What is sent to do harm: it is refused, passed on unseen, or does nothing; never a failure, and never told on."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from agent_core import ModelClient, RetryPolicy
from agent_core.codecs import WIRES
from agent_core.gateway import Gateway, gateway_from_toml
from agent_core.gateway.admission import Admission
from agent_core.gateway.keys import Key, Token, hash_of
from agent_core.gateway.openapi import ENDPOINTS
from agent_core.items import JsonObject, WireName
from agent_core.testing import RehearsalServer, Step, last_user_text

from .running import client, running

ONCE = RetryPolicy(max_attempts=1)
PATHS: dict[WireName, str] = {
    "chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages",
}  # fmt: skip
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    """Of a gateway without keys, small bodies only."""
    with RehearsalServer([Step(text="hello")], pace_s=0) as server:
        model = ModelClient("rehearsal/m", provider=server.provider)
        gateway = Gateway({"m": model}, default="m", max_body_bytes=4000)
        with running(gateway) as url, client(url) as http:
            yield http


def body(wire: WireName, words: object = "hi", **more: object) -> JsonObject:
    messages = [{"role": "user", "content": words}]
    return {"model": "m", "max_tokens": 9, ("input" if wire == "responses" else "messages"): messages, **more}  # type: ignore[dict-item]


@pytest.mark.parametrize("wire", WIRES)
def test_a_large_body_is_refused(http: httpx2.Client, wire: WireName) -> None:
    """T-F2: whether it says how large it is or comes in chunks that do not."""
    for content in (b"x" * 5000, iter([b"x" * 1000] * 5)):
        refused = http.post(PATHS[wire], content=content, headers=JSON)
        assert refused.status_code == 413
        assert refused.json()["error"]["type"] == (
            "request_too_large" if wire == "messages" else "invalid_request_error"
        )


SAID = b'"messages":[{"role":"user","content":"x"}],"input":"x","max_tokens":1'
DEEP = b'{"a":' * 600 + b"1" + b"}" * 600
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "a list": b"[]",
    "null": b"null",
    "deep": b"[" * 3000,
    "deep, and whole": b'{"model":"m","messages":' + b"[" * 1500 + b"]" * 1500 + b"}",
    "deep in a tool": b'{"model":"m",%s,"tools":[%s]}' % (SAID, DEEP),
    "a huge number": b'{"model":"m","messages":[{"role":"user","content":"x"}],"input":"x","max_tokens":1e999}',
    "a long number": b'{"model":"m",%s,"top_k":%s}' % (SAID, b"9" * 3000),
    "not a number": b'{"model":"m","temperature":NaN,%s}' % SAID,
    "half a letter": b'{"model":"m","input":"\\ud800","messages":[{"role":"user","content":"\\udc00"}],"max_tokens":1}',
    "half a letter for a model": b'{"model":"\\ud800",%s}' % SAID,
    "no letter": b'{"model":"m","input":"\\u0000","messages":[{"role":"user","content":"\\u0000"}],"max_tokens":1}',
    "no UTF-8": b'{"model":"m","input":"\xff\xfe","messages":[{"role":"user","content":"\xff"}]}',
    "a mark of order": b'\xef\xbb\xbf{"model":"m","input":"x"}',
    "a model with line ends": b'{"model":"m\\r\\nx-evil: 1",%s}' % SAID,
    "a model that is no text": b'{"model":{"a":1},"input":"x","messages":[]}',
    "many members": b'{"model":"m",%s,%s}' % (SAID, b",".join(b'"x-%d\\r\\n":1' % n for n in range(100))),
    "a member twice": b'{"model":"m","model":"n","stream":1,"stream":"yes","messages":[{"role":"user"}],"input":{}}',
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", [*PATHS.values(), "/v1/messages/count_tokens"])
def test_no_body_is_a_failure(http: httpx2.Client, path: str, name: str) -> None:
    """Answered, or refused with a 4xx that has the shape of its wire; no header is made of it."""
    answer = http.post(path, content=BODIES[name], headers=JSON)
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.text
    assert answer.status_code == 200 or answer.json()["error"]["message"]
    assert "x-evil" not in answer.headers
    assert not [value for value in answer.headers.values() if "\r" in value or "\n" in value]


HELLO = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'
KINDS: dict[str, tuple[dict[str, str], int]] = {
    "JSON": (JSON, 200),
    "JSON of a vendor": ({"content-type": "application/vnd.x+json; charset=utf-8"}, 200),
    "not said": ({}, 200),
    "not said, by a browser": ({"origin": "http://localhost:3000"}, 415),
    "a form": ({"content-type": "application/x-www-form-urlencoded"}, 415),
    "text": ({"content-type": "text/plain"}, 415),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_body_says_that_it_is_json(http: httpx2.Client, name: str) -> None:
    """S0-3: what a page of another site can send without asking first is not taken."""
    headers, status = KINDS[name]
    answer = http.post(PATHS["chat"], content=HELLO, headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://evil.example:8642", "null", "", "http://127.0.0.1.evil"]
)
def test_pages_of_other_sites_are_refused(http: httpx2.Client, origin: str) -> None:
    """Where nobody is asked for a key; a page of this machine is let in."""
    for asked, status in (
        (origin, 403),
        ("http://[::1]:1", 200),
        ("http://127.0.0.1", 200),
        ("http://localhost:9", 200),
    ):
        answer = http.post(PATHS["chat"], content=HELLO, headers={**JSON, "origin": asked})
        assert answer.status_code == status


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "PUT", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/healthz", "/nothing"])
def test_other_methods_do_nothing(http: httpx2.Client, method: str, path: str) -> None:
    """And no other site may read what is answered: there is no CORS."""
    asks = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = http.request(method, path, headers=asks)
    looks = {"/v1/models": 403, "/healthz": 200}.get(path) if method == "HEAD" else None
    assert answer.status_code == (looks or (404 if path == "/nothing" else 405))
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert method != "HEAD" or answer.content == b""


PICTURES: dict[WireName, object] = {
    "chat": {"type": "image_url", "image_url": {"url": "URL"}},
    "responses": {"type": "input_image", "image_url": "URL"},
    "messages": {"type": "image", "source": {"type": "url", "url": "URL"}},
}


@pytest.mark.parametrize("spoken", WIRES)
@pytest.mark.parametrize("wire", WIRES)
def test_an_address_is_passed_on_and_never_fetched(wire: WireName, spoken: WireName) -> None:
    """An image's URL may name what only the gateway can reach: nobody comes there, and the backend is told of it."""
    with socket.create_server(("127.0.0.1", 0)) as inside, RehearsalServer([Step(text="hello")], pace_s=0) as server:
        inside.setblocking(False)
        address = f"http://127.0.0.1:{inside.getsockname()[1]}/secret.png"
        picture = json.loads(json.dumps(PICTURES[wire]).replace("URL", address))
        model = ModelClient("rehearsal/m", provider=server.provider, wire=spoken)
        with running(Gateway(default=model)) as url, client(url) as http:
            assert http.post(PATHS[wire], json=body(wire, [picture])).status_code == 200
        assert address in str(server.requests[-1].body)
        with pytest.raises(BlockingIOError):
            inside.accept()


SECRETS = {
    "key": "agc-a-key-of-the-gateway-1",
    "admin": "agc-the-token-of-admins",
    "backend": "sk-the-key-of-the-backend-1",
    "said": "words that were said",
    "answered": "words that were answered",
}
FAILURES: dict[str, Step] = {
    "fine": Step(text=SECRETS["answered"]),
    "refused": Step(status=401, error=f"bad key {SECRETS['backend']}"),
    "bad": Step(status=400, error=f"you said {SECRETS['said']}"),
    "busy": Step(status=429, error=SECRETS["said"]),
    "broken": Step(text=SECRETS["answered"] * 20, cut_after_events=4),
    "told": Step(text=SECRETS["answered"] * 20, cut_after_events=4, cut="error"),
    "failed": Step(status=500, error=SECRETS["said"]),
}


def test_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At any level, whatever fails: no key, no token, no word of what was said."""
    caplog.set_level(logging.DEBUG, "agent_core")
    caplog.set_level(logging.DEBUG, "uvicorn")
    with RehearsalServer(lambda prompt: FAILURES[last_user_text(prompt).partition(" ")[0]], pace_s=0) as server:
        model = ModelClient("rehearsal/m", provider=server.provider, api_key=SECRETS["backend"], retry=ONCE)
        keys = [Key("alice", hash_of(SECRETS["key"]), requests_per_minute=20, tokens_per_minute=10**6)]
        gateway = Gateway(default=model, keys=keys, admin=Token(SECRETS["admin"]), services=[Admission(5)])
        with running(gateway) as url, httpx2.Client(base_url=url, headers={"x-api-key": SECRETS["key"]}) as http:
            for wire in WIRES:
                for name in FAILURES:
                    words = f"{name} {SECRETS['said']}"
                    http.post(PATHS[wire], json=body(wire, words, stream=name != "fine"))
                http.post(PATHS[wire], json=body(wire, SECRETS["said"]), headers={"x-api-key": SECRETS["key"] + "x"})
                http.post(PATHS[wire], content=b'{"model": "' + SECRETS["said"].encode(), headers=JSON)
            http.get("/admin/keys", headers={"x-api-key": SECRETS["admin"]})
            http.get("/admin/keys", headers={"x-api-key": SECRETS["admin"] + "x"})
    logged = " ".join(str(vars(record)) for record in caplog.records)
    assert "alice" in logged and "client_left" not in logged
    assert [name for name, secret in SECRETS.items() if secret in logged] == []


def test_every_path_is_described(tmp_path: Path) -> None:
    """What is served is in the description, and nothing else; it is read by who may ask."""
    file = tmp_path / "gateway.toml"
    lab = 'model = "lab/m"\nbase_url = "http://127.0.0.1:1"\n'
    file.write_text(f'[models.m]\n{lab}[cache]\n[admin]\nhash = "{hash_of(SECRETS["admin"])}"\n')
    gateway = gateway_from_toml(file, keys=[SECRETS["key"]])
    with running(gateway) as url:
        assert httpx2.get(f"{url}/openapi.json").status_code == 401
        told = httpx2.get(f"{url}/openapi.json", headers={"x-api-key": SECRETS["key"]}).json()
    described = {(method, path) for path, methods in told["paths"].items() for method in methods}
    assert described == gateway.endpoints()
    of_wires = {(one.method, f"/v1{one.path}") for one in ENDPOINTS if one.key == "key" and one.path != "/openapi.json"}
    assert {(one.method, one.path) for one in ENDPOINTS} | of_wires == described
