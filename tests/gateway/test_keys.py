"""Keys: who is known, by which name, for which models."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from agent_core.errors import AuthenticationError, ConfigError, ServerError
from agent_core.gateway.access import Access
from agent_core.gateway.keys import Budget, Key, Token, hash_of, keys_of, matches, new_key
from agent_core.gateway.ledger import MemoryLedger, Step

pytestmark = pytest.mark.anyio

ONE, TWO = "a-key-of-the-gateway-1", "a-key-of-the-gateway-2"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def key(models: tuple[str, ...] | None = None, **limits: object) -> Key:
    return Key("alice", hash_of(ONE), models=models, **limits)  # type: ignore[arg-type]


POLICIES: dict[str, tuple[tuple[str, ...] | None, str, bool]] = {
    "no list": (None, "any", True),
    "an empty list": ((), "any", False),
    "exact": (("gpt-5.6",), "gpt-5.6", True),
    "with case": (("gpt-5.6",), "GPT-5.6", False),
    "not listed": (("gpt-5.6",), "gpt-5.6-mini", False),
    "a beginning": (("claude-*",), "claude-sonnet-4-6", True),
    "another beginning": (("claude-*",), "my-claude-1", False),
    "everything": (("*",), "org/any", True),
    "everything, and no name": (("*",), "", True),
    "an end": (("*-mini",), "gpt-5.6-mini", True),
    "in the middle": (("org/*/chat",), "org/a/b/chat", True),
    "in the middle, cut short": (("ab*ba",), "aba", False),
    "several": (("a", "b*c*d"), "b-c-d", True),
    "no other letter is special": (("gpt-?[5]",), "gpt-x5", False),
    "none of several": (("a", "b"), "c", False),
    "longer than any name": (("*",), "x" * 600, False),
}


@pytest.mark.parametrize("name", POLICIES)
def test_what_a_key_may_use(name: str) -> None:
    """T-Q4, S0-8: the client's own name for the model, with case; `*` anywhere."""
    models, model, may = POLICIES[name]
    assert key(models).may_use(model) is may


@given(pattern=st.text("ab*", max_size=8), name=st.text("ab", max_size=8))
def test_patterns_are_what_they_say(pattern: str, name: str) -> None:
    """As an expression would have it."""
    said = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None
    assert key((pattern,)).may_use(name) is said


def test_a_new_key_is_known_by_its_hash() -> None:
    """Which is no way back, is all that is kept, and is shown nowhere."""
    made = new_key()
    assert made != new_key() and len(made) == 36
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", hash_of(made))
    (kept,) = keys_of([made])
    assert made not in str(kept) + repr(Access([made])) + repr(kept) and kept.name == f"key-{kept.hash[7:19]}"


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "a name with a line end": ({"name": "a\r\nx: y"}, "is no name for a key"),
    "no name": ({"name": ""}, "is no name"),
    "a key instead of its hash": ({"hash": ONE}, "the hash of the key 'alice' is no hash"),
    "no requests at all": ({"requests_per_minute": 0}, "limit below 1"),
    "an end without a zone": ({"expires": datetime(2027, 1, 1)}, "has no time zone"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_key_is_refused(name: str) -> None:
    """When it is made, without showing what may be one."""
    members, words = WRONG[name]
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        Key(**{"name": "alice", "hash": hash_of(ONE), **members})  # type: ignore[arg-type]
    assert ONE not in str(caught.value) + caught.value.remedy


def test_every_key_is_there_once() -> None:
    for twice in ([ONE, ONE], [key(), Key("alice", hash_of(TWO))], [key(), Key("bob", hash_of(ONE))]):
        with pytest.raises(ConfigError, match="is there twice"):
            keys_of(twice)
    with pytest.raises(ConfigError, match="a budget of -1 a day"):
        Budget(day=Decimal(-1))


BOTH = {"authorization": f"Bearer {TWO}", "x-api-key": ONE}
SHOWN: dict[str, tuple[dict[str, str], str]] = {
    "a bearer token": ({"authorization": f"bEARER  {ONE} "}, "alice"),
    "x-api-key alone": ({"x-api-key": ONE}, "alice"),
    "both, both known": (BOTH, "bob"),
    "both, one known": ({**BOTH, "authorization": "Bearer none"}, "alice"),
    "none": ({}, "no API key"),
    "another scheme": ({"authorization": f"Basic {ONE}"}, "no API key"),
    "nobody's": ({"x-api-key": ONE[:-1]}, "not known here"),
    "one of bytes that are no text": ({"x-api-key": "\udcff" * 20}, "not known here"),
}


@pytest.mark.parametrize("name", SHOWN)
async def test_who_is_let_in(name: str) -> None:
    """T-G12, T-F6, S3-8: a bearer token goes before x-api-key; either will do."""
    headers, said = SHOWN[name]
    access = Access([key(), Key("bob", hash_of(TWO))])
    raw = [(key.encode(), value.encode("utf-8", "surrogateescape")) for key, value in headers.items()]
    if said in ("alice", "bob"):
        assert (await access.caller(Headers(raw=raw))).name == said
        return
    with pytest.raises(AuthenticationError, match=said) as caught:
        await access.caller(Headers(raw=raw))
    assert (caught.value.status, ONE in str(caught.value)) == (401, False)


async def test_who_is_let_in_no_more() -> None:
    """Disabled, from its end on, or switched off while the gateway runs."""
    now = NOW.timestamp()
    headers = Headers({"x-api-key": ONE})
    for closed, code in ((key(disabled=True), "key_disabled"), (key(expires=NOW), "key_expired")):
        with pytest.raises(AuthenticationError) as caught:
            await Access([closed], clock=lambda: now).caller(headers)
        assert caught.value.code == code
    access = Access([key(expires=NOW)], clock=lambda: now - 1)
    assert (await access.caller(headers)).name == "alice"
    await access.switch("alice", off=True)
    await access.switch("alice", off=True)
    with pytest.raises(AuthenticationError, match="disabled"):
        await access.caller(headers)
    await access.switch("alice", off=False)
    assert (await access.caller(headers)).name == "alice"


class Away(MemoryLedger):
    """A ledger that can be gone for a while."""

    away = False

    async def add(self, steps: Mapping[str, Step]) -> dict[str, int]:
        if self.away:
            raise ServerError("gone", status=503)
        return await super().add(steps)


async def test_a_ledger_that_is_away_changes_nobodys_switch() -> None:
    """Who was known stays what they were; who was not is not let in."""
    ledger = Away()
    access = Access([key(), Key("bob", hash_of(TWO))], ledger=ledger)
    await access.switch("alice", off=True)
    alice, bob = Headers({"x-api-key": ONE}), Headers({"x-api-key": TWO})
    for away in (False, True):
        ledger.away = away
        with pytest.raises(AuthenticationError, match="disabled"):
            await access.caller(alice)
    with pytest.raises(ServerError):
        await access.caller(bob)
    ledger.away = False
    assert (await access.caller(bob)).name == "bob"
    ledger.away = True
    assert (await access.caller(bob)).name == "bob"


def test_every_hash_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """In constant time, whichever it is: how long it takes says nothing about which was near."""
    compared: list[str] = []

    def counted(one: str, other: str) -> bool:
        compared.append(other)
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", counted)
    hashes = [hash_of(ONE), hash_of(TWO), hash_of("three")]
    for given_key, place in ((ONE, 0), (TWO, 1), ("nobody's", None)):
        compared.clear()
        assert matches(given_key, hashes) == place
        assert compared == hashes


def test_a_token_is_a_secret_of_its_own() -> None:
    """Given as it is, or as its hash; a weak one is refused."""
    for secret in (ONE, hash_of(ONE)):
        token = Token(secret)
        assert token.is_in(Headers({"authorization": f"Bearer {ONE}"}))
        assert not token.is_in(Headers({"authorization": f"Bearer {TWO}"}))
        assert not token.is_in(Headers({}))
        assert ONE not in repr(token)
    with pytest.raises(ConfigError, match="is no key"):
        Token("weak")
