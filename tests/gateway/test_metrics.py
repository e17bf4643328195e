"""What `/metrics` says: every request by how it ended, what it used, and no word of a client's."""

from __future__ import annotations

from functools import partial

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent_core import ModelClient, Usage
from agent_core.errors import OverloadedError
from agent_core.gateway import Gateway
from agent_core.gateway.insiders import Insiders
from agent_core.gateway.metrics import Metrics, bounded
from agent_core.items import JsonObject

from .asgi import Got, call
from .playing import Playing, said

pytestmark = pytest.mark.anyio

KEY = "a-key-of-the-gateway-1"
CHAT = "/v1/chat/completions"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def gateway(playing: Playing, *watchers: Metrics) -> Gateway:
    client = ModelClient("lab/m", base_url="http://127.0.0.1:1")
    return Gateway({"known": client}, services=[playing], watchers=watchers)


def asked(model: str = "known", *, stream: bool = True) -> JsonObject:
    return {"model": model, "stream": stream, "max_tokens": 9, "messages": [{"role": "user", "content": "secret"}]}


async def samples(app: Gateway, **headers: str) -> dict[str, float]:
    """`name{label=value,…}` to number, without the process's own and the buckets of histograms."""
    got = await call(app, "/metrics", method="GET", headers=headers)
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(got.text):
        for sample in family.samples:
            if sample.name.startswith("agent_core") and not sample.name.endswith(("_bucket", "_created", "_info")):
                labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()) if value)
                found[f"{sample.name.removeprefix('agent_core_gateway_')}{{{labels}}}"] = sample.value
    return found


USED = Usage(input=7, cache_read=3, output=4, reasoning=1)
COMPLETED = Playing(*said("a", "b", usage=USED))
ENDINGS: dict[str, tuple[Playing, str, str]] = {
    "whole": (COMPLETED, "completed", ""),
    "refused": (Playing(OverloadedError("busy", status=429)), "refused", "overloaded"),
    "failed": (Playing(OverloadedError("busy", status=529)), "backend_error", "overloaded"),
    "failed half way": (Playing(*said("a")[:3], OverloadedError("busy")), "backend_error", "overloaded"),
    "left": (Playing(*said("a")[:3], anyio.Event()), "client_left", ""),
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_every_request_is_counted_by_how_it_ended(name: str) -> None:
    """Once, and none is in flight afterwards (S0-86: the outcomes; S0-94: what went wrong)."""
    playing, outcome, error = ENDINGS[name]
    app = gateway(playing, Metrics())
    async with app:
        await call(app, CHAT, asked(), leave=lambda got: name == "left" and len(got.pieces) > 0)
        found = await samples(app)
    assert found[f"requests_total{{model=known,outcome={outcome},wire=chat}}"] == 1
    assert found["requests_in_flight{wire=chat}"] == 0
    assert found["request_duration_seconds_count{model=known,wire=chat}"] == 1
    errors = {name: number for name, number in found.items() if name.startswith("errors")}
    assert errors == ({f"errors_total{{error={error},model=known,wire=chat}}": 1} if error else {})


async def test_tokens_and_events_are_counted() -> None:
    """Tokens by who counted them, each kind once; events as they were relayed."""
    app = gateway(COMPLETED, Metrics())
    async with app:
        await call(app, CHAT, asked())
        await call(app, "/v1/messages", asked(stream=False))
        found = await samples(app)
    tokens = {name: number for name, number in found.items() if name.startswith("tokens")}
    kinds = {"input": 14, "cache_read": 6, "output": 8, "reasoning": 2}
    assert tokens == {f"tokens_total{{backend=lab/m,kind={kind}}}": number for kind, number in kinds.items()}
    assert found["events_total{model=known,wire=chat}"] == found["events_total{model=known,wire=messages}"] == 6
    assert found["first_byte_seconds_count{model=known,wire=chat}"] == 1


async def test_in_flight_is_what_is_not_over() -> None:
    """Seen while an answer is being given."""
    begun, go_on, counted = anyio.Event(), anyio.Event(), list[dict[str, float]]()

    def stays(got: Got) -> bool:
        begun.set()
        return False

    app = gateway(Playing(*said("a")[:3], go_on, *said("a")[3:]), Metrics())
    async with app, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, app, CHAT, asked(), leave=stays))
        await begun.wait()
        counted.append(await samples(app))
        go_on.set()
    assert counted[0]["requests_in_flight{wire=chat}"] == 1


async def test_no_word_of_a_client_becomes_a_label() -> None:
    """A name that is not configured counts under who answered; who was turned away under "other"."""
    client = ModelClient("lab/m", base_url="http://127.0.0.1:1")
    seen_by_all = Insiders({}, open_to_all=True)
    app = Gateway(default=client, keys=[KEY], services=[COMPLETED], watchers=[Metrics()], insiders=seen_by_all)
    async with app:
        await call(app, CHAT, asked('x"} 1\nevil{a="'), headers={"x-api-key": KEY})
        await call(app, CHAT, asked(), headers={"x-api-key": "wrong"})
        found = await samples(app)
    counted = {name: number for name, number in found.items() if name.startswith("requests_total")}
    assert {name.partition("key=")[0]: number for name, number in counted.items()} == {
        "requests_total{": 1,
        "requests_total{model=other,outcome=refused,wire=chat}": 1,
    }
    assert all("evil" not in name and "secret" not in name and KEY not in name for name in found)
    assert found["errors_total{error=authentication,model=other,wire=chat}"] == 1


def test_labels_are_bounded() -> None:
    """What comes after the first few is "other"; what is known stays known."""
    value = bounded(2)
    assert [value(text) for text in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]


FORMATS: dict[str, tuple[dict[str, str], str]] = {
    "nothing asked": ({}, "text/plain; version=0.0.4"),
    "OpenMetrics": ({"accept": "application/openmetrics-text; version=1.0.0"}, "application/openmetrics-text"),
}


@pytest.mark.parametrize("name", FORMATS)
async def test_the_format_is_negotiated(name: str) -> None:
    """As Prometheus asks for it."""
    headers, kind = FORMATS[name]
    got: Got = await call(gateway(COMPLETED, Metrics()), "/metrics", method="GET", headers=headers)
    assert (got.status, got.headers["Content-Type"].startswith(kind)) == (200, True)


async def test_two_gateways_count_for_themselves() -> None:
    """No registry is shared."""
    one, other = gateway(COMPLETED, Metrics()), gateway(COMPLETED, Metrics())
    async with one, other:
        await call(one, CHAT, asked())
        assert "events_total{model=known,wire=chat}" in await samples(one)
        assert "events_total{model=known,wire=chat}" not in await samples(other)
