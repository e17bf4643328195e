"""The span of a call: what is on it, and that it costs nothing where nobody looks."""

from __future__ import annotations

import sys

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode
from opentelemetry.trace.status import Status
from opentelemetry.util.types import Attributes, AttributeValue

from agent_core.errors import OverloadedError
from agent_core.events import Completed, Usage
from agent_core.providers import resolve
from agent_core.retry import RetryPolicy
from agent_core.telemetry import CallSpan, start_call

LAB = resolve("lab/m", base_url="http://127.0.0.1:8000/v1")


class Noted(NonRecordingSpan):
    """A span that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(SpanContext(1, 1, is_remote=False))
        self.attributes: dict[str, AttributeValue] = {}
        self.events: list[tuple[str, Attributes]] = []
        self.code: StatusCode | None = None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        self.attributes[key] = value

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        self.events.append((name, attributes))

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        self.code = status.status_code if isinstance(status, Status) else status


def test_a_good_call() -> None:
    """The response's id, model, finish and tokens, by the names of the GenAI conventions."""
    noted = Noted()
    CallSpan(noted).ended(Completed("r", "m-1", "stop", usage=Usage(input=3, cache_read=4, output=5)), None)
    assert noted.attributes == {
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.id": "r",
        "gen_ai.response.model": "m-1",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 5,
    }


def test_a_failed_call_and_its_retries() -> None:
    """The class of the error and its status; retries are events. No message: it may quote the prompt."""
    noted, error = Noted(), OverloadedError("busy with your prompt", status=529)
    span = CallSpan(noted)
    span.retried(RetryPolicy(jitter_s=0).after(1, error, elapsed_s=0))
    span.ended(None, error)
    assert noted.attributes == {"error.type": "OverloadedError", "http.response.status_code": 529}
    assert noted.code is StatusCode.ERROR
    retry = {"attempt": 1, "reason": "overloaded", "delay_s": 0.5, "will_retry": True}
    assert noted.events == [("agent_core.retry", retry)]


def test_nothing_where_nobody_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenTelemetry in the program every call on the span is a no-op."""
    monkeypatch.delitem(sys.modules, "opentelemetry")
    span = start_call(LAB, streamed=True)
    span.opened()
    span.ended(None, None)
    span.end()
    assert repr(span.__class__.__slots__) == "('_span',)" and "opentelemetry" not in sys.modules


def test_with_the_api_alone_a_span_is_made_and_dropped() -> None:
    """The API's no-op tracer takes all there is."""
    span = start_call(LAB, streamed=True)
    span.failed(OverloadedError("x"))
    span.end()
