"""The span of a request that is served: below the caller's own, above those of the models that are asked.

    caller's span ─ traceparent ─► POST {path} (SERVER) ─► chat {model} (CLIENT) ─ traceparent ─► backend

It is current from the request's beginning to its end, in the task that answers it and in those that one starts.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..events import Usage
from ..prices import Cost
from . import names
from .context import current
from .sink import Telemetry
from .spans import Value, set_values, usage_values

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

__all__ = ["ServerSpan", "server_span"]

_MAX_MODEL_CHARS = 200
"""Of a model's name: it is a client's text."""


class ServerSpan:
    """One request that is served. May be told of its end where nobody records."""

    __slots__ = ("_span",)

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def ended(
        self,
        *,
        outcome: str,
        status: int,
        model: str = "",
        deployment: str = "",
        first_s: float | None = None,
        usage: Usage | None = None,
        cost: Cost | None = None,
        error: str = "",
    ) -> None:
        """How it ended. Only what went wrong behind the gateway is an error of its span; what a client did is not."""
        if self._span is None:
            return
        provider, _, name = model.partition("/")
        told: dict[str, Value] = {
            names.GATEWAY_OUTCOME: outcome,
            names.PROVIDER: names.provider_name(provider),
            names.RESPONSE_MODEL: name,
            names.DEPLOYMENT: deployment,
            names.ERROR: error,
        }
        if status:
            told[names.STATUS_CODE] = status
        if first_s is not None:
            told[names.TIME_TO_FIRST_CHUNK] = first_s
        if usage is not None:
            told |= usage_values(usage)
        if cost is not None:
            told |= {names.COST: float(cost.amount), names.CURRENCY: cost.currency}
        set_values(self._span, told)
        if outcome == "backend_error":
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR))


@contextmanager
def server_span(
    telemetry: Telemetry,
    path: str,
    *,
    wire: str,
    model: str,
    stream: bool,
    key: str,
    request_id: str,
    headers: Mapping[str, str],
) -> Generator[ServerSpan]:
    """Around the serving of one request. `headers`, by lower-case name, may say which trace it belongs to; a span that
    is current already (of a server that is instrumented) has read them, and is its parent."""
    sink = telemetry.sink()
    if sink is None:
        yield ServerSpan(None)
        return
    from opentelemetry.trace import SpanKind

    attributes: dict[str, Value] = {
        names.METHOD: names.POST,
        names.ROUTE: path,
        names.OPERATION: names.CHAT,
        names.WIRE: wire,
        names.STREAM: stream,
        names.GATEWAY_REQUEST_ID: request_id,
    }
    span = sink.tracer.start_span(
        names.span_name(names.POST, path), _parent(headers), kind=SpanKind.SERVER, attributes=attributes
    )
    set_values(span, {names.REQUEST_MODEL: _exportable(model), names.GATEWAY_KEY: key})
    try:
        with current(span):
            yield ServerSpan(span)
    finally:
        span.end()


def _exportable(text: str) -> str:
    """A client's text, bounded; half a surrogate pair would cost an exporter the whole batch."""
    return text[:_MAX_MODEL_CHARS].encode("utf-8", "replace").decode("utf-8")


def _parent(headers: Mapping[str, str]) -> Context | None:
    """None: what is current."""
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if get_current_span().get_span_context().is_valid:
        return None
    return TraceContextTextMapPropagator().extract(headers)
