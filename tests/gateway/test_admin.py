"""What those who run a gateway see and do: with a token of their own, or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest
from starlette.datastructures import Headers

from agent_core import ModelClient, Usage
from agent_core.errors import ConfigError
from agent_core.gateway import Gateway, gateway_from_toml
from agent_core.gateway.access import Access
from agent_core.gateway.config import read_config
from agent_core.gateway.insiders import Who
from agent_core.gateway.key_settings import insiders_of
from agent_core.gateway.keys import Budget, Key, Token, hash_of
from agent_core.prices import Price, PriceTable
from agent_core.testing import RehearsalServer, Step

from .running import client, running

KEY, ADMIN = "a-key-of-the-gateway-1", "the-token-of-those-who-run-it"
HELLO = {"model": "any", "messages": [{"role": "user", "content": "hi"}]}
ALICE = Key(
    "alice",
    hash_of(KEY),
    requests_per_minute=100,
    budget=Budget(day=Decimal(2), total=Decimal(10)),
    expires=datetime(2100, 1, 1, tzinfo=UTC),
)
BY = {"authorization": f"Bearer {ADMIN}"}
PATHS = ("/admin/keys", "/admin/keys/alice", "/admin/deployments")


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    with RehearsalServer([Step(text="hello", usage=Usage(input=1000, output=500))], pace_s=0) as server:
        gateway = Gateway(
            default=ModelClient("rehearsal/m", provider=server.provider),
            keys=[ALICE, Key("bob", hash_of("another-key-of-it"), disabled=True)],
            admin=Token(hash_of(ADMIN)),
            prices=PriceTable({"rehearsal/*": Price(input=1, output=10)}),
        )
        with running(gateway) as url, client(url) as http:
            yield http


@pytest.mark.parametrize("path", PATHS)
def test_a_token_of_its_own_is_asked_for(http: httpx2.Client, path: str) -> None:
    """No caller's key opens it, nor a password a browser would keep."""
    for headers in ({}, {"x-api-key": KEY}, {"authorization": f"Bearer {ADMIN}x"}):
        refused = http.get(path, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_token")
    assert http.get(path, auth=("admin", ADMIN)).status_code == 401
    assert http.get(path, headers=BY).status_code == 200
    assert http.post("/v1/chat/completions", json=HELLO, headers=BY).status_code == 401


@pytest.mark.parametrize("path", PATHS)
def test_without_a_token_there_is_nothing(path: str) -> None:
    """404, as for any other path."""
    model = ModelClient("lab/m", base_url="http://127.0.0.1:1")
    with running(Gateway(default=model, keys=[KEY])) as url, client(url) as http:
        for headers in ({}, BY, {"x-api-key": KEY}):
            assert http.get(path, headers=headers).status_code == 404


def test_what_keys_have_used_is_shown(http: httpx2.Client) -> None:
    """Limits, what was used of them, and no hash; a key that is switched off is let in no more, and is again."""
    ask = {"x-api-key": KEY}
    answer = http.post("/v1/chat/completions", json=HELLO, headers=ask)
    assert answer.status_code == 200
    for _ in range(1000):  # it is written down when the answer is over
        answer = http.get("/admin/keys", headers=BY)
        if answer.json()["keys"][0]["used"]["requests"]:
            break
    alice, bob = answer.json()["keys"]
    assert "sha256" not in answer.text and KEY not in answer.text
    assert (alice["enabled"], bob["enabled"], alice["expires"]) == (True, False, "2100-01-01T00:00:00+00:00")
    assert alice["used"] == {
        "requests": 1, "input_tokens": 1000, "output_tokens": 500, "cost": "0.006", "answers_without_price": 0,
    }  # fmt: skip
    assert (alice["budget"]["day"]["limit"], alice["budget"]["total"]["spent"]) == ("2", "0.006")
    assert http.post("/admin/keys/alice/disable", headers=BY).json()["enabled"] is False
    refused = http.post("/v1/chat/completions", json=HELLO, headers=ask)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "key_disabled")
    assert http.post("/admin/keys/alice/enable", headers=BY).json()["enabled"] is True
    assert http.get("/v1/models", headers=ask).status_code == 200
    assert http.get("/admin/keys/nobody", headers=BY).status_code == 404
    assert http.get("/admin/keys/alice/disable", headers=BY).status_code == 405
    (deployment,) = http.get("/admin/deployments", headers=BY).json()["models"]["rehearsal/m"]
    assert (deployment["health"], deployment["in_flight"]) == ("ready", 0)


LAB = '[models.m]\nmodel = "lab/m"\nbase_url = "http://127.0.0.1:1/v1"\n'
FULL = f"""
{LAB}
[limits]
file = "used.sqlite"
[admin]
env = "GATEWAY_ADMIN"
metrics_hash = "{hash_of("for-metrics-only-1")}"
[[keys]]
name = "alice"
hash = "{hash_of(KEY)}"
models = ["claude-*", "m"]
requests_per_minute = 60
tokens_per_minute = 100_000
budget = {{ day = 0.1, total = 5 }}
expires = 2100-01-01
[[keys]]
name = "bob"
env = "KEY_OF_BOB"
disabled = true
"""


def test_keys_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hashes, or the names of variables; what they used is beside the file."""
    monkeypatch.setenv("KEY_OF_BOB", "the-key-of-bob-1")
    monkeypatch.setenv("GATEWAY_ADMIN", ADMIN)
    file = tmp_path / "gateway.toml"
    file.write_text(FULL)
    alice, bob = (key.key() for key in read_config(file).settings.keys)
    budget = Budget(day=Decimal("0.1"), total=Decimal("5.0"))
    assert alice == Key(
        "alice",
        hash_of(KEY),
        models=("claude-*", "m"),
        requests_per_minute=60,
        tokens_per_minute=100_000,
        budget=budget,
        expires=datetime(2100, 1, 1, tzinfo=UTC),
    )
    assert (bob.hash, bob.disabled) == (hash_of("the-key-of-bob-1"), True)
    gateway = gateway_from_toml(file, keys=["one-more-of-the-environment"])
    with running(gateway) as url, client(url) as http:
        for given, status in ((KEY, 200), ("one-more-of-the-environment", 200), ("the-key-of-bob-1", 401)):
            assert http.get("/v1/models", headers={"x-api-key": given}).status_code == status
        assert len(http.get("/admin/keys", headers=BY).json()["keys"]) == 3
    assert (tmp_path / "used.sqlite").exists()


@pytest.mark.parametrize(
    ("admin", "metrics", "given", "seen"),
    [
        (ADMIN, "for-metrics-only-1", ADMIN, ("admin",)),
        (ADMIN, "for-metrics-only-1", "for-metrics-only-1", ("metrics",)),
        (ADMIN, None, ADMIN, ("admin", "metrics")),
        (None, "for-metrics-only-1", "for-metrics-only-1", ("metrics",)),
        (ADMIN, None, KEY, ()),
        (None, None, KEY, ()),
    ],
)
def test_pages_have_their_tokens(admin: str | None, metrics: str | None, given: str, seen: tuple[str, ...]) -> None:
    """Who runs the gateway sees its metrics too, unless they have a token of their own."""
    tokens = [None if secret is None else Token(secret) for secret in (admin, metrics)]
    insiders = insiders_of(tokens[0], tokens[1], open_to_all=False)
    headers = Headers({"x-api-key": given, "host": "127.0.0.1"})
    pages: tuple[Who, ...] = ("admin", "metrics")
    assert tuple(who for who in pages if insiders.refusal(who, headers) is None) == seen


WRONG: dict[str, tuple[str, str]] = {
    "a key instead of its hash": (f'[[keys]]\nname = "a"\nhash = "{KEY}"', "[[keys]] 1: the hash of the key 'a'"),
    "neither": ('[[keys]]\nname = "a"', "[[keys]] 1: the key 'a' needs one of hash and env"),
    "a variable that is not set": ('[[keys]]\nname = "a"\nenv = "NOT_SET"', "NOT_SET is not set"),
    "a weak key": ('[[keys]]\nname = "a"\nenv = "WEAK"', "what WEAK holds is no key"),
    "two of a name": (f'[[keys]]\nname = "a"\nhash = "{hash_of(KEY)}"\n' * 2, "[[keys]]: the key 'a' is there twice"),
    "a budget below nothing": ('[[keys]]\nname = "a"\nbudget = { day = -1 }', "greater than or equal to 0"),
    "an end without a zone": (
        f'[[keys]]\nname = "a"\nhash = "{hash_of(KEY)}"\nexpires = 2027-01-01T00:00:00',
        "has no time zone",
    ),
    "a token that is no hash": ('[admin]\nhash = "sha256:1"', "[admin]: the hash of a token is no hash"),
    "a folder that is not there": ('[limits]\nfile = "nowhere/used.sqlite"', "[limits]: "),
    "a file and a Redis": ('[limits]\nfile = "a"\nredis = true', "[limits]: one of file and redis"),
    "a Redis that is not there": ("[limits]\nredis = true", "[limits]: redis = true needs a [redis]"),
    "no room at all": ("[admission]\nmax_in_flight = 0", "[admission] max_in_flight"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By table and key; what may be a secret is not shown."""
    monkeypatch.setenv("WEAK", "weak-secret")
    text, words = WRONG[name]
    file = tmp_path / "gateway.toml"
    file.write_text(f"{LAB}{text}")
    with pytest.raises(ConfigError) as caught:
        gateway_from_toml(file)
    said = f"{caught.value} {caught.value.remedy}"
    assert words in said and KEY not in said and "weak-secret" not in said


def test_the_tables_that_are_shown_are_read(tmp_path: Path) -> None:
    """docs/gateway.md: keys, limits, tokens, admission."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "gateway.md").read_text()
    tables = [
        text for text in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if re.match(r"\[\[keys|\[admission", text)
    ]
    assert len(tables) == 2
    file = tmp_path / "gateway.toml"
    file.write_text(LAB + "".join(tables))
    settings = read_config(file).settings
    assert (settings.keys[0].key().tokens_per_minute, settings.admission.max_in_flight) == (200_000, 200)


def test_an_access_is_shown_without_its_keys() -> None:
    assert repr(Access([ALICE])) == "Access(1 keys)"
    assert repr(ALICE) == "Key('alice')"
