"""Where nobody records, nothing happens; W3C Trace Context in requests."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from agent_core import Agent, ModelClient, Prompt
from agent_core.telemetry import Telemetry, trace_headers
from agent_core.testing import RehearsalServer, Step

from ...loopback import Loopback, exchange, serve
from ..test_limits import CREATED, DELTA, WHOLE, events
from .recorded import Recorded

pytestmark = pytest.mark.anyio
ANSWER = exchange(events(CREATED, DELTA, WHOLE))


async def ask(server: Loopback, telemetry: Telemetry | None = None, **headers: str) -> dict[str, str]:
    """One request; the headers it came with."""
    client = ModelClient(
        "lab/m", base_url=server.url, wire="responses", api_key="k", telemetry=telemetry, headers=headers
    )
    async with client, client.stream(Prompt("x")) as stream:
        assert [event async for event in stream]
    return dict(server.requests[-1].headers)


async def test_a_request_says_what_trace_it_is_of() -> None:
    """`traceparent` names the call's own span; a caller's header goes before it."""
    recorded = Recorded()
    async with serve(ANSWER) as server:
        sent = await ask(server, recorded.telemetry)
        mine = await ask(server, recorded.telemetry, traceparent="00-mine")
    context = recorded.spans[0].context
    assert context is not None
    assert sent["traceparent"] == f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    assert context.trace_flags & 1
    assert mine["traceparent"] == "00-mine"


async def test_baggage_stays_at_home() -> None:
    """It is the program's own, and the request goes to somebody else."""
    token = attach(baggage.set_baggage("customer", "secret"))
    try:
        async with serve(ANSWER) as server:
            sent = await ask(server, Recorded().telemetry)
    finally:
        detach(token)
    assert "traceparent" in sent and "baggage" not in sent


async def test_a_trace_that_came_from_elsewhere_goes_on_without_an_sdk() -> None:
    """The API alone carries a context; nothing is recorded, and the request still belongs to it."""
    remote = SpanContext(0xA, 0xB, is_remote=True, trace_flags=TraceFlags(1))
    token = attach(set_span_in_context(NonRecordingSpan(remote)))
    try:
        async with serve(ANSWER) as server:
            sent = await ask(server)
    finally:
        detach(token)
    assert sent["traceparent"] == f"00-{0xA:032x}-{0xB:016x}-01"


async def test_without_a_trace_there_is_no_header() -> None:
    """And none is made up."""
    async with serve(ANSWER) as server:
        sent = await ask(server)
    assert "traceparent" not in sent and trace_headers() == {}


async def test_a_sampled_out_trace_is_still_one() -> None:
    """A span nobody records is not described, and the request is not without a parent."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    telemetry = Telemetry(tracer_provider=TracerProvider(sampler=ALWAYS_OFF))
    async with serve(ANSWER) as server:
        sent = await ask(server, telemetry)
    assert not int(sent["traceparent"].rpartition("-")[2], 16) & TraceFlags.SAMPLED


def test_without_an_sdk_nothing_is_imported() -> None:
    """A whole turn, in a program that has the API installed and does not use it."""
    code = (
        "import sys; from agent_core import Agent; from agent_core.testing import RehearsalServer, Step\n"
        "with RehearsalServer([Step(text='x')], pace_s=0) as server:\n"
        "    print(Agent('rehearsal/m', provider=server.provider).run_sync('hi').text)\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "x\n[]\n"


def test_the_program_s_own_sdk_is_found_when_it_is_set_up() -> None:
    """Before that nothing is recorded, after it everything is, by the same agent; the environment says what of it."""
    code = (
        "import os; from agent_core import Agent; from agent_core.testing import RehearsalServer, Step\n"
        "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import SimpleSpanProcessor\n"
        "from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter\n"
        "kept, provider = InMemorySpanExporter(), TracerProvider()\n"
        "provider.add_span_processor(SimpleSpanProcessor(kept))\n"
        "with RehearsalServer([Step(text='x'), Step(text='y')], pace_s=0) as server:\n"
        "    agent = Agent('rehearsal/m', provider=server.provider)\n"
        "    agent.run_sync('hi'); trace.set_tracer_provider(provider); agent.run_sync('hi')\n"
        "spans = kept.get_finished_spans()\n"
        "print([span.name for span in spans], 'gen_ai.output.messages' in spans[0].attributes)"
    )
    environment = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "['chat m', 'invoke_agent'] True\n"


async def test_metrics_alone_and_spans_alone() -> None:
    """Either provider will do."""
    recorded = Recorded()
    for telemetry in (Telemetry(meter_provider=recorded.meters), Telemetry(tracer_provider=recorded.tracers)):
        with RehearsalServer([Step(text="x")], pace_s=0) as server:
            await Agent("rehearsal/m", provider=server.provider, telemetry=telemetry).run("hi")
    assert [span.name for span in recorded.spans] == ["invoke_agent", "chat m"]
    assert "gen_ai.client.inference.duration" in recorded.metrics
