"""What a run tells an observer: OpenTelemetry spans, metrics and events by the GenAI conventions (docs/tracing.md).

Nothing is imported, made or measured unless the program has an SDK set up. Keys are never recorded, what is said only
where the standard variable asks for it.
"""

from __future__ import annotations

from .content import Content
from .context import trace_headers
from .serving import ServerSpan, server_span
from .sink import Telemetry
from .spans import (
    CallSpan,
    CompactionSpan,
    ToolSpan,
    TurnSpan,
    call_span,
    compaction_span,
    error_type,
    tool_span,
    turn_span,
)

__all__ = [
    "CallSpan",
    "CompactionSpan",
    "Content",
    "ServerSpan",
    "Telemetry",
    "ToolSpan",
    "TurnSpan",
    "call_span",
    "compaction_span",
    "error_type",
    "server_span",
    "tool_span",
    "trace_headers",
    "turn_span",
]
