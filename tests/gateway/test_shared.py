"""Two gateways, as two processes would be, with one Redis: what one knows, the other does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from agent_core import Prompt
from agent_core.errors import ConfigError
from agent_core.gateway import gateway_from_toml
from agent_core.gateway.config import read_config
from agent_core.testing import RehearsalServer, Step

from .redis_server import redis_server
from .running import running

CONFIG = """
[[models.any.deployments]]
name = "one"
model = "lab/m"
base_url = "{one}"

[[models.any.deployments]]
name = "two"
model = "lab/m"
base_url = "{two}"

[redis]
{redis}

[cache]
ttl_s = 60

[affinity]

[store]
ttl_s = 60
"""


Pair = tuple[httpx2.Client, httpx2.Client]


def named(name: str) -> Callable[[Prompt], Step]:
    """Says who answers, and how much it was told."""
    return lambda prompt: Step(text=f"{name} heard {len(prompt.items)}")


@pytest.fixture(scope="module")
def pair(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Clients of the two; each asks the same two deployments in turn."""
    config = tmp_path_factory.mktemp("gateway") / "gateway.toml"
    redis = f'url = "{redis_url}"\nprefix = "pair-{os.urandom(4).hex()}:"'
    with RehearsalServer(named("one"), pace_s=0) as one, RehearsalServer(named("two"), pace_s=0) as two:
        config.write_text(CONFIG.format(one=one.base_url, two=two.base_url, redis=redis))
        with (
            running(gateway_from_toml(config)) as first,
            running(gateway_from_toml(config)) as second,
            httpx2.Client(base_url=first) as here,
            httpx2.Client(base_url=second) as there,
        ):
            yield here, there


def test_an_answer_of_one_is_known_to_the_other(pair: Pair) -> None:
    """On another wire, too."""
    one, other = pair
    asked = {"model": "any", "messages": [{"role": "user", "content": "hi"}]}
    first = one.post("/v1/chat/completions", json=asked)
    second = other.post("/v1/responses", json={"model": "any", "input": "hi"})
    assert [answer.headers["x-agent-core-cache"] for answer in (first, second)] == ["miss", "hit"]
    assert first.json()["choices"][0]["message"]["content"] == second.json()["output"][0]["content"][0]["text"]


def test_a_follow_up_goes_where_it_began(pair: Pair) -> None:
    """Whichever gateway it comes to, and in whatever order: taking turns would send each to the other."""
    here, there = pair
    began = [chat(here, [("user", f"question {n}")]) for n in range(4)]
    assert len({text.split()[0] for text in began}) == 2
    for n, text in reversed(list(enumerate(began))):
        answer = chat(there, [("user", f"question {n}"), ("assistant", text), ("user", "more")])
        assert answer == f"{text.split()[0]} heard 3"


def chat(http: httpx2.Client, said: list[tuple[str, str]]) -> str:
    messages = [{"role": role, "content": text} for role, text in said]
    answer = http.post("/v1/chat/completions", json={"model": "any", "messages": messages}).json()
    return str(answer["choices"][0]["message"]["content"])


def test_a_conversation_goes_on_at_the_other(pair: Pair) -> None:
    """By the id of what one of them answered; deleted at one, it is gone at both."""
    here, there = pair
    first = here.post("/v1/responses", json={"model": "any", "input": "by id"}).json()
    more = {"model": "any", "input": "more", "previous_response_id": first["id"]}
    assert there.post("/v1/responses", json=more).json()["output"][0]["content"][0]["text"].endswith("heard 3")
    assert there.get(f"/v1/responses/{first['id']}").json() == first
    assert there.delete(f"/v1/responses/{first['id']}").status_code == 200
    assert here.get(f"/v1/responses/{first['id']}").status_code == 404


REDIS: dict[str, tuple[str, str]] = {
    "no URL": ("", "one of url, which has no password, and url_env is needed"),
    "both": ('url = "redis://h"\nurl_env = "X"', "one of url"),
    "a password": ('url = "redis://:secret@h"', "one of url"),
    "another scheme": ('url = "http://h"', "the URL of the Redis is none"),
    "a variable that is not set": ('url_env = "NOT_SET_AT_ALL"', "NOT_SET_AT_ALL is not set"),
    "the URL itself as a variable": ('url_env = "redis://:secret@h"', "is no name of an environment variable"),
}


@pytest.mark.parametrize("name", REDIS)
def test_a_redis_that_is_none(tmp_path: Path, name: str) -> None:
    """Said by file and table, and the secret is not shown."""
    redis, says = REDIS[name]
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG.format(one="http://127.0.0.1:1", two="http://127.0.0.1:2", redis=redis))
    with pytest.raises(ConfigError, match=r"\[redis\]") as caught:
        read_config(config).gateway()
    assert says in str(caught.value) and "secret" not in str(caught.value)


def test_a_redis_that_dies_is_nobodys_error(tmp_path: Path) -> None:
    """What was known is asked again; only who names a stored response is told, with a 503: it may well be there."""
    config = tmp_path / "gateway.toml"
    with redis_server() as (url, redis), RehearsalServer(named("one"), pace_s=0) as server:
        config.write_text(CONFIG.format(one=server.base_url, two=server.base_url, redis=f'url = "{url}"'))
        with running(gateway_from_toml(config)) as at, httpx2.Client(base_url=at) as http:
            asked = {"model": "any", "input": "hi"}
            answers = [http.post("/v1/responses", json=asked) for _ in range(2)]
            redis.kill()
            redis.wait()
            answers += [http.post("/v1/responses", json=asked) for _ in range(2)]
            more = http.post("/v1/responses", json={**asked, "previous_response_id": answers[0].json()["id"]})
    assert [answer.headers["x-agent-core-cache"] for answer in answers] == ["miss", "hit", "miss", "miss"]
    assert {answer.status_code for answer in answers} == {200}
    assert (more.status_code, more.headers["retry-after"]) == (503, "1")
