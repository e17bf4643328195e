"""OpenTelemetry's context across the tasks of a turn, and into requests.

A span is made current only while our own code runs in it: around a turn's loop, a tool, the opening of a request. A
reader's code, which runs between a stream's events, never becomes a child of it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

__all__ = ["Around", "around", "current", "trace_headers", "with_around"]

_KEY = "agent_core.turn"
_NOWHERE = nullcontext()


class Around(Struct, frozen=True):
    """What spans below a turn say of it."""

    conversation: str = ""
    agent: str = ""


def with_around(value: Around) -> Context:
    """The current context, with `value` for all that is below."""
    from opentelemetry.context import set_value

    return set_value(_KEY, value)


def around() -> Around:
    """What turn this is in; nothing is said where it is in none."""
    from opentelemetry.context import get_value

    found = get_value(_KEY)
    return found if isinstance(found, Around) else Around()


def current(span: Span | None, context: Context | None = None) -> AbstractContextManager[None]:
    """Make `span` current in the block. Enter and leave it in one task, with nobody else's code in between."""
    return _NOWHERE if span is None else _attached(span, context)


@contextmanager
def _attached(span: Span, context: Context | None) -> Generator[None]:
    from opentelemetry.context import attach, detach
    from opentelemetry.trace import set_span_in_context

    token = attach(set_span_in_context(span, context))
    try:
        yield
    finally:
        detach(token)


def trace_headers() -> dict[str, str]:
    """`traceparent` and `tracestate` of the current span (W3C Trace Context), for a request made in it.

    Baggage stays here: it is the program's own, and the request goes to somebody else.
    """
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    if get_current_span().get_span_context().is_valid:
        TraceContextTextMapPropagator().inject(carrier)
    return carrier
