"""Record a turn with OpenTelemetry's SDK (extra `otel`): here into memory, in production to a collector."""

import anyio
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agent_core import Agent, tool
from agent_core.telemetry import Telemetry

kept, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def main() -> None:
    # Without telemetry= an agent records to the program's global provider, as soon as there is one.
    agent = Agent("rehearsal/add", tools=[add], name="adder", telemetry=Telemetry(tracer_provider=provider))
    await agent.run("What is 2 + 3?")
    for span in kept.get_finished_spans():
        print(span.name, span.attributes.get("gen_ai.usage.input_tokens", "") if span.attributes else "")


anyio.run(main)
