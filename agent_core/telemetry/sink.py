"""Where spans, metrics and events go: OpenTelemetry's providers, looked for when something is to be recorded.

An agent records to the program's global providers, or to those it was given. Without an SDK in the program there is
nothing to record to: then nothing is imported, made or measured.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from .. import __version__
from . import names
from .content import Content, content_asked_for

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import Histogram, Meter, MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

__all__ = ["Sink", "Telemetry"]

_SCOPE = "agent_core"
_OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
_LATEST = "gen_ai_latest_experimental"


class Telemetry:
    """What an agent or a client records with.

    By default: the program's global OpenTelemetry providers, whenever they are set up, and content as the environment
    says (see content). Providers given here are used instead, each for its own; `content` goes before the environment.
    """

    __slots__ = ("_content", "_found", "_loggers", "_meters", "_sink", "_tracers")

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        content: Content | None = None,
    ) -> None:
        self._tracers = tracer_provider
        self._meters = meter_provider
        self._loggers = logger_provider
        self._content = content
        self._found: tuple[object, object] = (None, None)
        self._sink: Sink | None = None

    def sink(self) -> Sink | None:
        """Where to record; None if nobody would see it."""
        given = self._tracers is not None or self._meters is not None
        if not given and "opentelemetry.trace" not in sys.modules:
            return None
        from opentelemetry import metrics, trace

        if given:
            found = (self._tracers or trace.NoOpTracerProvider(), self._meters or metrics.NoOpMeterProvider())
            if self._sink is not None:
                return self._sink
        else:
            found = (trace.get_tracer_provider(), metrics.get_meter_provider())
            if all(map(_is_of_the_api, found)):
                return None
        if self._found[0] is not found[0] or self._found[1] is not found[1]:
            self._found = found
            content = content_asked_for() if self._content is None else self._content
            self._sink = Sink(
                found[0].get_tracer(_SCOPE, __version__),
                found[1].get_meter(_SCOPE, __version__),
                content,
                self._loggers,
            )
        return self._sink


class Sink:
    """A tracer, the instruments, and what content is recorded."""

    def __init__(self, tracer: Tracer, meter: Meter, content: Content, loggers: LoggerProvider | None) -> None:
        self.tracer = tracer
        self.content = content
        self._loggers = loggers
        latest_only = _LATEST in os.environ.get(_OPT_IN, "").replace(" ", "").split(",")
        wanted = [row for row in _HISTOGRAMS if not (latest_only and row[0] in names.BEFORE_0_1)]
        self.histograms: dict[str, Histogram] = {
            name: meter.create_histogram(name, unit, says[name], explicit_bucket_boundaries_advisory=buckets)
            for name, unit, buckets in wanted
        }
        self.counters = {name: meter.create_counter(name, "{token}", says[name]) for name in _COUNTERS}

    def record(self, name: str, value: float, attributes: dict[str, str | int]) -> None:
        """A measurement; of an instrument that is not wanted, none."""
        histogram = self.histograms.get(name)
        if histogram is not None:
            histogram.record(value, attributes)

    def count(self, name: str, value: int, attributes: dict[str, str | int]) -> None:
        self.counters[name].add(value, attributes)

    def emit(self, name: str, attributes: dict[str, object]) -> None:
        """An event, in the current context."""
        from opentelemetry._logs import LogRecord, get_logger_provider

        logger = (self._loggers or get_logger_provider()).get_logger(_SCOPE, __version__)
        logger.emit(LogRecord(event_name=name, attributes=attributes))  # type: ignore[arg-type]  # any JSON is a value


says = {entry.name: entry.says for entry in names.TABLE}

_S, _TOKEN = "s", "{token}"
_HISTOGRAMS: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    (names.CALL_DURATION, _S, names.DURATIONS_S),
    (names.FIRST_CHUNK, _S, names.DURATIONS_S),
    (names.CALL_INPUT, _TOKEN, names.TOKENS),
    (names.CALL_OUTPUT, _TOKEN, names.TOKENS),
    (names.AGENT_DURATION, _S, names.RUNS_S),
    (names.AGENT_CALLS, "{inference_call}", names.COUNTS),
    (names.AGENT_TOOL_CALLS, "{tool_call}", names.COUNTS),
    (names.TOOL_DURATION, _S, names.DURATIONS_S),
    (names.OLD_DURATION, _S, names.DURATIONS_S),
    (names.OLD_FIRST_CHUNK, _S, names.DURATIONS_S),
    (names.OLD_TOKENS, _TOKEN, names.TOKENS),
)
_COUNTERS = (
    names.USED_INPUT,
    names.USED_OUTPUT,
    names.USED_CACHE_READ,
    names.USED_CACHE_WRITE,
    names.USED_REASONING,
)


def _is_of_the_api(provider: object) -> bool:
    """Whether it is one of those that do nothing until an SDK is set up."""
    return type(provider).__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics"))
