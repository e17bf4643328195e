"""What the gateway counts, for Prometheus: a Watcher, and what is served at `/metrics`.

Every label has a bounded number of values: words of ours, names of configured models and keys, and "other". What a
client wrote never becomes one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    make_asgi_app,  # pyright: ignore[reportUnknownVariableType]  # says nothing of parameters
)

from .. import __version__
from ..events import Usage
from .asking import Ask, Inside, Page, Served, Watcher
from .settings import Given, WatcherTable

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["Metrics", "MetricsSettings", "bounded"]

OTHER = "other"
MAX_VALUES = 200
"""Of a label that is not configured name by name."""

_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250)
_PREFIX = "agent_core_gateway"


def bounded(limit: int) -> Callable[[str], str]:
    """The first `limit` different texts as they are, and "other" for all that come later."""
    seen: set[str] = set()

    def value(text: str) -> str:
        if text in seen:
            return text
        if len(seen) >= limit:
            return OTHER
        seen.add(text)
        return text

    return value


class Metrics:
    """Counts of one gateway, in a registry of their own. A request for a model that is not served by its name counts
    under whoever answered."""

    def __init__(self) -> None:
        self._models: frozenset[str] = frozenset()
        self._answering, self._key = bounded(MAX_VALUES), bounded(MAX_VALUES)
        self._word = bounded(MAX_VALUES)
        self.registry = CollectorRegistry()
        self._requests = self._counter("requests", "Requests, by how they ended.", "wire", "model", "key", "outcome")
        self._errors = self._counter("errors", "Requests that went wrong, by what did.", "wire", "model", "error")
        self._events = self._counter("events", "Events of answers, sent to clients.", "wire", "model")
        self._cost = self._counter("cost", "What answers cost, where it is known.", "backend", "key", "currency")
        self._tokens = self._counter("tokens", "Tokens, by who counted them.", "backend", "key", "kind")
        self._in_flight = Gauge(
            f"{_PREFIX}_requests_in_flight", "Requests that are not over.", ("wire",), registry=self.registry
        )
        self._duration = self._histogram("request_duration_seconds", "From a request to its end.")
        self._first = self._histogram("first_byte_seconds", "From a request to the head of its stream.")
        Info(_PREFIX, "Of the program.", registry=self.registry).info({"version": __version__})
        ProcessCollector(registry=self.registry)

    def pages(self, inside: Inside) -> tuple[Page, ...]:
        """All of it, in the format the asker negotiates; with what the gateway's services count."""
        self._models = frozenset(inside.names())
        for place, numbers in inside.numbers().items():
            for name in numbers:
                self._gauge(inside, place, name)
        return (Page("/metrics", cast("ASGIApp", make_asgi_app(self.registry)), "metrics"),)

    def end_pages(self) -> None:
        return None

    def begun(self, ask: Ask) -> None:
        self._in_flight.labels(ask.wire).inc()

    def ended(self, ask: Ask, served: Served) -> None:
        self._in_flight.labels(ask.wire).dec()
        model = self._count(served)
        self._duration.labels(served.wire, model).observe(served.duration_s)
        if served.first_s is not None and served.stream:
            self._first.labels(served.wire, model).observe(served.first_s)
        if served.events:
            self._events.labels(served.wire, model).inc(served.events)
        for billed in served.bill:
            backend, key = self._answering(billed.model), self._key(served.caller)
            self._used(backend, key, billed.usage)
            if billed.cost is not None:
                self._cost.labels(backend, key, self._word(billed.cost.currency)).inc(float(billed.cost.amount))

    def turned_away(self, served: Served) -> None:
        self._count(served)

    def _count(self, served: Served) -> str:
        """The model it counts under."""
        model = served.asked if served.asked in self._models else self._answering(served.model or OTHER)
        self._requests.labels(served.wire, model, self._key(served.caller), served.outcome).inc()
        if served.error:
            self._errors.labels(served.wire, model, self._word(served.error)).inc()
        return model

    def _used(self, backend: str, key: str, usage: Usage) -> None:
        counts = {
            "input": usage.input,
            "cache_read": usage.cache_read,
            "cache_write": usage.cache_write,
            "output": usage.output,
            "reasoning": usage.reasoning,
        }
        for kind, number in counts.items():
            if number:
                self._tokens.labels(backend, key, kind).inc(number)

    def _gauge(self, inside: Inside, place: str, name: str) -> None:
        """A number that is asked for whenever somebody looks."""
        words = f"{name.replace('_', ' ')}, as {place.replace('_', ' ')} counts."
        gauge = Gauge(f"{_PREFIX}_{place}_{name}", words.capitalize(), registry=self.registry)
        gauge.set_function(lambda: inside.numbers()[place][name])

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", says, labels, registry=self.registry)

    def _histogram(self, name: str, says: str) -> Histogram:
        return Histogram(f"{_PREFIX}_{name}", says, ("wire", "model"), buckets=_S, registry=self.registry)


class MetricsSettings(WatcherTable):
    """`[metrics]`: counts at `/metrics`."""

    def watcher(self, given: Given) -> Watcher:
        return Metrics()
