"""What is measured: tokens, durations, the wait for the first event, and calls of a turn."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint

from agent_core import Agent, ModelClient, Prompt, RetryPolicy, tool
from agent_core.errors import OverloadedError
from agent_core.events import Usage
from agent_core.telemetry import names
from agent_core.testing import Call, RehearsalServer, Step

from ...loopback import exchange, serve
from ..test_limits import CREATED, DELTA, FAILED, WHOLE, events
from .recorded import Recorded

pytestmark = pytest.mark.anyio

ONCE = RetryPolicy(max_attempts=1)
USED = Usage(input=70, cache_read=20, cache_write=10, output=5, reasoning=3)
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "rehearsal", "gen_ai.request.model": "m"}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def summed(recorded: Recorded) -> dict[str, float]:
    """Sums of what was recorded, times left out."""
    return {
        name: sum(point.sum if isinstance(point, HistogramDataPoint) else point.value for point in points)
        for name, points in recorded.metrics.items()
        if not name.endswith(("duration", "first_chunk"))
    }


async def test_tokens_are_counted_once() -> None:
    """Counters for totals, with their parts apart; histograms for one answer, by the new names and by the old ones."""
    recorded = Recorded()
    with RehearsalServer([Step(text="x", usage=USED)], pace_s=0) as server:
        async with ModelClient("rehearsal/m", provider=server.provider, telemetry=recorded.telemetry) as client:
            for _ in range(2):
                async with client.stream(Prompt("hi")) as stream:
                    assert [event async for event in stream]
    assert summed(recorded) == {
        "gen_ai.client.inference.usage.input_tokens": 200,
        "gen_ai.client.inference.usage.output_tokens": 16,
        "gen_ai.client.inference.usage.cache_read.input_tokens": 40,
        "gen_ai.client.inference.usage.cache_write.input_tokens": 20,
        "gen_ai.client.inference.usage.reasoning.output_tokens": 6,
        "gen_ai.client.inference.operation.input_tokens": 200,
        "gen_ai.client.inference.operation.output_tokens": 16,
        "gen_ai.client.token.usage": 216,
    }


async def test_every_measurement_has_its_labels_and_buckets() -> None:
    """Those of the conventions, and none that grows without bound: no ids, no conversation."""
    recorded = Recorded()
    steps = Step(calls=(Call("add", {"a": 1, "b": 2}),)), Step(text="x")
    with RehearsalServer(steps, pace_s=0) as server:
        await Agent("rehearsal/m", provider=server.provider, tools=[add], name="a", telemetry=recorded.telemetry).run(
            "go"
        )
    labels = {name: set(points[0].attributes or {}) for name, points in recorded.metrics.items()}
    call = {*CHAT, "server.address", "server.port", "gen_ai.response.model"}
    assert labels[names.CALL_DURATION] == labels[names.CALL_INPUT] == call
    assert labels[names.USED_INPUT] == {*call, "gen_ai.token.modality"}
    assert labels[names.OLD_TOKENS] == {*call, "gen_ai.token.type"}
    assert labels[names.FIRST_CHUNK] == call - {"gen_ai.response.model"}
    assert labels[names.TOOL_DURATION] == {
        "gen_ai.operation.name", "gen_ai.tool.name", "gen_ai.tool.type", "gen_ai.agent.name"
    }  # fmt: skip
    assert labels[names.AGENT_DURATION] == {"gen_ai.operation.name", "gen_ai.agent.name"}
    (duration,) = recorded.metrics[names.CALL_DURATION]
    assert isinstance(duration, HistogramDataPoint)
    assert (duration.explicit_bounds, duration.count) == (names.DURATIONS_S, 2)


async def test_a_turn_counts_its_calls() -> None:
    """How often it asked, and how many calls were made, once for each turn."""
    recorded = Recorded()
    steps = Step(calls=(Call("add", {"a": 1, "b": 2}), Call("add", {"a": 3, "b": 4}))), Step(text="x")
    with RehearsalServer(steps, pace_s=0) as server:
        await Agent("rehearsal/m", provider=server.provider, tools=[add], telemetry=recorded.telemetry).run("go")
    (calls,), (tools,) = recorded.metrics[names.AGENT_CALLS], recorded.metrics[names.AGENT_TOOL_CALLS]
    assert isinstance(calls, HistogramDataPoint) and isinstance(tools, HistogramDataPoint)
    assert [(point.sum, point.count) for point in (calls, tools)] == [(2, 1), (2, 1)]


async def test_failures_are_measured_by_what_failed() -> None:
    """The duration by the error's word; tokens of an attempt that was counted, and zero where none was."""
    for answer, tokens in ((events(CREATED, FAILED), 7), (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", 0)):
        recorded = Recorded()
        async with serve(exchange(answer)) as server:
            client = ModelClient(
                "lab/m", base_url=server.url, wire="responses", api_key="k", retry=ONCE, telemetry=recorded.telemetry
            )
            with pytest.raises(OverloadedError):
                async with client, client.stream(Prompt("x")):
                    raise AssertionError
        assert _value(recorded, names.USED_INPUT) == tokens
        assert _labels(recorded, names.CALL_DURATION)["error.type"] == "overloaded"
        assert names.FIRST_CHUNK not in recorded.metrics


async def test_a_retry_that_was_counted_is_counted() -> None:
    """The call used what its failed attempts used."""
    recorded = Recorded()
    async with serve(exchange(events(CREATED, FAILED)), exchange(events(CREATED, DELTA, WHOLE))) as server:
        retry = RetryPolicy(base_delay_s=0, jitter_s=0)
        client = ModelClient(
            "lab/m", base_url=server.url, wire="responses", api_key="k", retry=retry, telemetry=recorded.telemetry
        )
        async with client, client.stream(Prompt("x")) as stream:
            assert [event async for event in stream]
    assert _value(recorded, names.USED_INPUT) == 14
    assert (recorded.named("chat").attributes or {})["gen_ai.usage.input_tokens"] == 14


async def test_a_whole_answer_has_no_first_event() -> None:
    """Asked for without a stream."""
    recorded = Recorded()
    with RehearsalServer([Step(text="x", usage=USED)], pace_s=0) as server:
        async with ModelClient("rehearsal/m", provider=server.provider, telemetry=recorded.telemetry) as client:
            await client.complete("hi")
    assert names.FIRST_CHUNK not in recorded.metrics and names.CALL_DURATION in recorded.metrics
    assert "gen_ai.request.stream" not in (recorded.named("chat").attributes or {})


async def test_the_old_names_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opts in to the latest conventions gets those alone."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http, gen_ai_latest_experimental")
    recorded = Recorded()
    with RehearsalServer([Step(text="x")], pace_s=0) as server:
        async with ModelClient("rehearsal/m", provider=server.provider, telemetry=recorded.telemetry) as client:
            await client.complete("hi")
    assert not names.BEFORE_0_1 & set(recorded.metrics) and names.CALL_DURATION in recorded.metrics


def _point(recorded: Recorded, name: str) -> HistogramDataPoint | NumberDataPoint:
    (point,) = recorded.metrics[name]
    return point


def _value(recorded: Recorded, name: str) -> float:
    point = _point(recorded, name)
    assert isinstance(point, NumberDataPoint)
    return point.value


def _labels(recorded: Recorded, name: str) -> Mapping[str, object]:
    return _point(recorded, name).attributes or {}
