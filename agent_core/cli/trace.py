"""`--trace`: sets OpenTelemetry's SDK up for one command, and sends what was recorded before it ends, however it ends.

A program that embeds agent_core sets its own SDK up; a command is a program.
"""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentParser
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from ..errors import ConfigError
from ..telemetry import Telemetry
from .screen import Screen

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

__all__ = ["Destination", "add_trace_option", "tracing"]

Destination: TypeAlias = Literal["console", "otlp"]
_SERVICE = "agent-core"
_SEND_S = 3.0
"""How long the end of a command waits for a collector, twice at most: for spans, then for metrics."""


def add_trace_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--trace",
        choices=("console", "otlp"),
        help="show spans and metrics on stderr, or send them to the collector OTEL_EXPORTER_OTLP_ENDPOINT names",
    )


def tracing(destination: Destination | None, screen: Screen) -> AbstractContextManager[Telemetry | None]:
    """Around a command: what to record with; None without a destination. Raises ConfigError without the extra."""
    return nullcontext(None) if destination is None else _recording(destination, screen)


@contextmanager
def _recording(destination: Destination, screen: Screen) -> Generator[Telemetry]:
    try:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        spans, metrics = _exporters(destination)
    except ImportError as error:
        raise ConfigError(
            f"--trace {destination} needs OpenTelemetry's SDK: no module {error.name!r}",
            remedy='pip install "agent-core[otel]"',
        ) from error
    given = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create() if given else Resource.create({SERVICE_NAME: _SERVICE})
    told = _Told(spans)
    # The exporters' own complaints are many lines; what matters of them is told in one, below.
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    logging.getLogger("opentelemetry").propagate = False
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(cast("SpanExporter", told)))  # its class is only known in here
    reader = PeriodicExportingMetricReader(metrics, export_interval_millis=60_000)
    meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    try:
        yield Telemetry(tracer_provider=tracers, meter_provider=meters)
    finally:
        tracers.force_flush()
        if told.failed:  # nor will the metrics get through: do not wait for that too
            metrics.shutdown()  # pyright: ignore[reportUnknownMemberType]  # its **kwargs are untyped
            screen.line(
                "the trace could not be sent; is there a collector where OTEL_EXPORTER_OTLP_ENDPOINT says?", "bad"
            )
        tracers.shutdown()
        meters.shutdown()


def _exporters(destination: Destination) -> tuple[SpanExporter, MetricExporter]:
    if destination == "console":
        from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr), ConsoleMetricExporter(out=sys.stderr)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(timeout=_SEND_S), OTLPMetricExporter(timeout=_SEND_S)


class _Told:
    """A span exporter that knows whether all it was given got through."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        self.failed = self.failed or result.value != 0
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
