"""What a collector gets: the protobuf of OTLP over HTTP, received and parsed by a real server."""

from __future__ import annotations

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from agent_core import Agent, tool
from agent_core.telemetry import Telemetry
from agent_core.testing import Call, RehearsalServer, Step

from .receiver import receiving

KEY = "sk-proj-0123456789abcdef0123"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.anyio
async def test_a_collector_gets_the_turn() -> None:
    """Spans in their tree, metrics by their names, and neither what was said nor the key in any byte of it."""
    steps = Step(calls=(Call("add", {"a": 2, "b": 3}),)), Step(text="It is five.")
    with receiving() as received, RehearsalServer(steps, pace_s=0) as server:
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{received.url}/v1/traces")))
        exporter = OTLPMetricExporter(f"{received.url}/v1/metrics")
        meters = MeterProvider([PeriodicExportingMetricReader(exporter)], shutdown_on_exit=False)
        telemetry = Telemetry(tracer_provider=tracers, meter_provider=meters)
        agent = Agent(
            "rehearsal/m", provider=server.provider, api_key=KEY, tools=[add], name="adder", telemetry=telemetry
        )
        await agent.run("What is two and three?")
        tracers.shutdown()
        meters.shutdown()
    assert received.tree == [
        "- > invoke_agent adder", "invoke_agent adder > chat m", "invoke_agent adder > execute_tool add",
        "invoke_agent adder > chat m",
    ]  # fmt: skip
    assert len({span.trace_id for span in received.spans}) == 1
    assert {
        "gen_ai.client.inference.duration", "gen_ai.client.inference.usage.input_tokens", "gen_ai.client.token.usage",
        "gen_ai.client.inference.time_to_first_chunk", "gen_ai.execute_tool.duration", "gen_ai.invoke_agent.duration",
    } <= received.metrics  # fmt: skip
    everything = b"".join(received.bodies)
    assert not [text for text in (KEY, "two and three", "It is five") if text.encode() in everything]
