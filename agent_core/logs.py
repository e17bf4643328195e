"""What a run tells a log: standard `logging` under "agent_core", set up by the program and never here.

Records have a fixed sentence and their facts as fields (`extra`), for a formatter or a handler that writes them.
Nothing that was said is among them, nor a key, nor an error's own words, which may quote either. docs/tracing.md lists
the fields.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .events import Usage
    from .prices import Cost
    from .retry import FellBack, RetryScheduled

__all__ = [
    "budget_used",
    "compaction_failed",
    "fell_back",
    "fields_of",
    "limit_reached",
    "price_unknown",
    "request_served",
    "retry_scheduled",
    "session_warned",
    "store_unreachable",
    "tool_served",
    "tools_missing",
    "usage_lost",
    "writes_settled",
]

# The library convention: without it, Python writes the warnings of a program that set nothing up to stderr.
logging.getLogger("agent_core").addHandler(logging.NullHandler())

_RETRY = logging.getLogger("agent_core.retry")
_TURN = logging.getLogger("agent_core.turn")
_GATEWAY = logging.getLogger("agent_core.gateway")
_TOOLS = logging.getLogger("agent_core.tools")
_SESSION = logging.getLogger("agent_core.session")

_MAX_ASKED_CHARS = 120

fields_of: dict[str, tuple[str, ...]] = {
    "retry": (
        "model", "stage", "reason", "attempt", "max_attempts", "will_retry", "delay_s", "gave_up", "status",
        "request_id",
    ),
    "fallback": ("failed", "model", "reason", "status", "request_id"),
    "limit": ("session_id", "turn_id", "limit", "samples", "tool_calls", "tokens"),
    "session": ("session_id", "warning"),
    "compaction": ("session_id", "reason", "error"),
    "served": (
        "wire", "asked", "model", "deployment", "caller", "stream", "outcome", "error", "status", "duration_s",
        "first_s", "events", "cache", "tokens_in", "tokens_cached", "tokens_out", "cost", "currency", "request_id",
    ),
    "budget": ("key", "period", "percent"),
    "price_unknown": ("key", "model"),
    "usage_lost": ("key",),
    "tool": ("tool", "outcome", "duration_s", "caller", "request_id"),
    "tools_missing": ("server", "error"),
    "store": ("store", "error", "failures"),
    "writes": ("settled", "files"),
}  # fmt: skip
"""The fields of each `event`, which is one itself."""


def retry_scheduled(scheduled: RetryScheduled) -> None:
    """A request failed, or a stream broke, and what comes of it."""
    what = "request failed" if scheduled.stage == "request" else "stream broke"
    comes = f"trying again in {scheduled.delay_s:.2f} s" if scheduled.will_retry else "giving up"
    _RETRY.warning(
        "%s (%s), %d of %d: %s",
        what,
        scheduled.reason,
        scheduled.attempt,
        scheduled.max_attempts,
        comes,
        extra={
            "event": "retry",
            "model": scheduled.model,
            "stage": scheduled.stage,
            "reason": scheduled.reason,
            "attempt": scheduled.attempt,
            "max_attempts": scheduled.max_attempts,
            "will_retry": scheduled.will_retry,
            "delay_s": scheduled.delay_s,
            "gave_up": scheduled.gave_up,
            "status": scheduled.error.status,
            "request_id": scheduled.error.request_id,
        },
    )


def fell_back(fell: FellBack) -> None:
    """A model gave no answer, and another one is asked in its place."""
    _RETRY.warning(
        "%s failed (%s): going on with %s",
        fell.failed,
        fell.reason,
        fell.model,
        extra={
            "event": "fallback",
            "failed": fell.failed,
            "model": fell.model,
            "reason": fell.reason,
            "status": fell.error.status,
            "request_id": fell.error.request_id,
        },
    )


def limit_reached(limit: str, samples: int, tool_calls: int, tokens: int, *, session_id: str, turn_id: str) -> None:
    """A turn ended at a limit of the run."""
    _TURN.warning(
        "turn ended at its limit %s",
        limit,
        extra={
            "event": "limit",
            "session_id": session_id,
            "turn_id": turn_id,
            "limit": limit,
            "samples": samples,
            "tool_calls": tool_calls,
            "tokens": tokens,
        },
    )


def session_warned(warning: str, *, session_id: str) -> None:
    """A session's file was not as it should be. The warning is ours: it names the file, and nothing in it."""
    _SESSION.warning("%s", warning, extra={"event": "session", "session_id": session_id, "warning": warning})


def compaction_failed(reason: str, error: str, *, session_id: str) -> None:
    """A history could not be compacted and goes on as it was. `error` is the error's word or class."""
    _SESSION.warning(
        "compaction failed (%s)",
        error,
        extra={"event": "compaction", "session_id": session_id, "reason": reason, "error": error},
    )


def store_unreachable(store: str, error: str, failures: int) -> None:
    """The gateway's store failed so often since this was last said; `error` is the class of the last one."""
    _GATEWAY.warning(
        "%s cannot be used: %s",
        store,
        error,
        extra={"event": "store", "store": store, "error": error, "failures": failures},
    )


def request_served(
    *,
    wire: str,
    asked: str,
    model: str,
    deployment: str,
    caller: str,
    stream: bool,
    outcome: str,
    error: str,
    status: int,
    duration_s: float,
    first_s: float | None,
    events: int,
    cache: str,
    usage: Usage | None,
    cost: Cost | None,
    request_id: str,
) -> None:
    """The gateway is done with a request: `outcome` is completed, refused, backend_error or client_left, `status` what
    the client was told, 0 for nothing; `model` is empty if nobody answered. `asked` is a client's text: it is recorded
    quoted, and cut."""
    _GATEWAY.info(
        "%s %s: %s",
        wire,
        model or "nobody",
        outcome,
        extra={
            "event": "served",
            "wire": wire,
            "asked": json.dumps(asked[:_MAX_ASKED_CHARS])[1:-1],
            "model": model,
            "deployment": deployment,
            "caller": caller,
            "stream": stream,
            "outcome": outcome,
            "error": error,
            "status": status,
            "duration_s": round(duration_s, 3),
            "first_s": None if first_s is None else round(first_s, 3),
            "events": events,
            "cache": cache,
            "tokens_in": None if usage is None else usage.input_total,
            "tokens_cached": None if usage is None else usage.cache_read,
            "tokens_out": None if usage is None else usage.output_total,
            "cost": None if cost is None else float(cost.amount),
            "currency": None if cost is None else cost.currency,
            "request_id": request_id,
        },
    )


def budget_used(key: str, period: str, percent: int) -> None:
    """A key of the gateway has spent that much of a budget. Once for each level, in all processes of one ledger."""
    _GATEWAY.warning(
        "the key %s has spent %d %% of its budget (%s)",
        key,
        percent,
        period,
        extra={"event": "budget", "key": key, "period": period, "percent": percent},
    )


def price_unknown(key: str, model: str) -> None:
    """A budget cannot count a model. Once for each key and model in a process."""
    _GATEWAY.warning(
        "no price is known for %s: the budget of the key %s does not count it",
        model,
        key,
        extra={"event": "price_unknown", "key": key, "model": model},
    )


def usage_lost(key: str) -> None:
    """What a request used could not be written down."""
    _GATEWAY.error("what the key %s used could not be written down", key, extra={"event": "usage_lost", "key": key})


def tool_served(*, tool: str, outcome: str, duration_s: float, caller: str, request_id: str) -> None:
    """The gateway is done with a call of one of its tools. `tool` may be a name the model made up: it is recorded
    quoted, and cut."""
    _GATEWAY.info(
        "a tool was called: %s",
        outcome,
        extra={
            "event": "tool",
            "tool": ascii(tool[:_MAX_ASKED_CHARS])[1:-1],
            "outcome": outcome,
            "duration_s": round(duration_s, 3),
            "caller": caller,
            "request_id": request_id,
        },
    )


def tools_missing(server: str, error: str) -> None:
    """A server whose tools the gateway was to run is not there; it goes on without them. `error` is a class."""
    _GATEWAY.warning(
        "the MCP server %s is not there: its tools are offered to nobody",
        server,
        extra={"event": "tools_missing", "server": server, "error": error},
    )


def writes_settled(settled: str, files: int) -> None:
    """Files were being written when a process ended: they were finished, undone, dropped or left as they are."""
    _TOOLS.warning(
        "an interrupted write of files was settled: %s",
        settled,
        extra={"event": "writes", "settled": settled, "files": files},
    )
