"""What a model call tells an observer: one span, named and attributed by the OpenTelemetry GenAI conventions.

Nothing is recorded, imported or set up unless the program has OpenTelemetry loaded; then the API's own no-op tracer
decides. Conversation text and keys are never attributes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .errors import ApiError, ModelError
from .events import Completed, Usage
from .providers import Resolved

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from .retry import RetryScheduled

__all__ = ["CallSpan", "start_call"]


def start_call(resolved: Resolved, *, streamed: bool) -> CallSpan:
    """The span of one call to a model, retries included. Its `end` must be called; all else is optional."""
    if "opentelemetry" not in sys.modules:
        return CallSpan(None)
    from opentelemetry.trace import SpanKind, get_tracer

    address = urlsplit(resolved.url)
    attributes: dict[str, str | int | bool] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": resolved.provider.name,
        "gen_ai.request.model": resolved.model,
        "server.address": address.hostname or "",
        "agent_core.wire": resolved.wire,
        "agent_core.streamed": streamed,
    }
    if address.port is not None:
        attributes["server.port"] = address.port
    tracer = get_tracer("agent_core")
    # Not made current: the caller's own code runs while it is open, in between events.
    return CallSpan(tracer.start_span(f"chat {resolved.model}", kind=SpanKind.CLIENT, attributes=attributes))


class CallSpan:
    """One span, or nothing. Every method may be called without looking which."""

    __slots__ = ("_span",)

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def retried(self, scheduled: RetryScheduled) -> None:
        if self._span is not None:
            self._span.add_event(
                "agent_core.retry",
                {
                    "attempt": scheduled.attempt,
                    "reason": scheduled.reason,
                    "delay_s": scheduled.delay_s,
                    "will_retry": scheduled.will_retry,
                },
            )

    def opened(self) -> None:
        """The first content event is there."""
        if self._span is not None:
            self._span.add_event("agent_core.first_event")

    def ended(self, end: Completed | None, error: ModelError | None) -> None:
        """How a stream ended; neither is there when its reader left early."""
        if error is not None:
            self.failed(error)
        elif end is not None:
            self.answered(end.response_id, end.model, end.finish_reason, end.usage)

    def answered(self, response_id: str, model: str, finish_reason: str, usage: Usage | None) -> None:
        if self._span is None:
            return
        self._span.set_attribute("gen_ai.response.finish_reasons", [finish_reason])
        if response_id:
            self._span.set_attribute("gen_ai.response.id", response_id)
        if model:
            self._span.set_attribute("gen_ai.response.model", model)
        if usage is not None:
            self._span.set_attribute("gen_ai.usage.input_tokens", usage.input_total)
            self._span.set_attribute("gen_ai.usage.output_tokens", usage.output_total)

    def failed(self, error: ModelError) -> None:
        if self._span is None:
            return
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute("error.type", type(error).__name__)
        if isinstance(error, ApiError) and error.status is not None:
            self._span.set_attribute("http.response.status_code", error.status)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        if self._span is not None:
            self._span.end()
