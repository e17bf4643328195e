"""OpenTelemetry's own SDK with its in-memory exporters, and short ways to ask what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agent_core.telemetry import Content, Telemetry


@dataclass
class Recorded:
    """A telemetry that keeps what it is told."""

    content: Content = Content.NO_CONTENT
    spans_out: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    logs_out: InMemoryLogRecordExporter = field(default_factory=InMemoryLogRecordExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def __post_init__(self) -> None:
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans_out))
        self.meters = MeterProvider([self.reader])
        loggers = LoggerProvider()
        loggers.add_log_record_processor(SimpleLogRecordProcessor(self.logs_out))
        self.telemetry = Telemetry(
            tracer_provider=self.tracers, meter_provider=self.meters, logger_provider=loggers, content=self.content
        )

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """Ended spans, by when they began."""
        return sorted(self.spans_out.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, start: str) -> ReadableSpan:
        """The one span whose name begins so."""
        (span,) = [span for span in self.spans if span.name.startswith(start)]
        return span

    @property
    def tree(self) -> list[str]:
        """The names, indented below their parents, in the order they began."""
        depth: dict[int, int] = {}
        lines: list[str] = []
        for span in self.spans:
            own = 0 if span.parent is None else depth.get(span.parent.span_id, -1) + 1
            assert span.context is not None
            depth[span.context.span_id] = own
            lines.append("  " * own + span.name)
        return lines

    @property
    def metrics(self) -> dict[str, list[HistogramDataPoint | NumberDataPoint]]:
        data = self.reader.get_metrics_data()
        found: dict[str, list[HistogramDataPoint | NumberDataPoint]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = [p for p in metric.data.data_points if isinstance(p, HistogramDataPoint | NumberDataPoint)]
                    found.setdefault(metric.name, []).extend(points)
        return found

    @property
    def everything(self) -> str:
        """All that was exported, as text."""
        data = self.reader.get_metrics_data()
        logs = [log.to_json() for log in self.logs_out.get_finished_logs()]
        return json.dumps([*(span.to_json() for span in self.spans), data.to_json() if data else "", *logs])
