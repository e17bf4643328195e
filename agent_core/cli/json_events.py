"""Turn events as JSON objects: what `--json` writes, one a line. The shapes are promised in docs/cli.md.

Every object has a `type`; members may be added, never removed or changed. Events that repeat what another one says
(the wire's own created and completed) have no line.
"""

from __future__ import annotations

from typing import assert_never

from ..approvals import ApprovalRequest
from ..errors import AgentCoreError, ModelError
from ..events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    RateLimits,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    ReasoningSummaryPartAdded,
    RefusalDelta,
    ToolCallInputDelta,
    Usage,
)
from ..items import JsonObject, JsonValue, dump_item
from ..paused import PendingCall
from ..prices import Cost
from ..tools.base import ToolOutput
from ..tools.patch_format import PatchedFile, PatchedLine, PatchedMove, PatchedPlace
from ..turn_events import (
    ApprovalDecided,
    ApprovalRequested,
    CompactionFailed,
    CompactionFinished,
    CompactionStarted,
    FellBack,
    HookFinished,
    PatchProgress,
    RetryScheduled,
    SampleFinished,
    SampleRestarted,
    SampleStarted,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    TurnEvent,
    TurnFinished,
    TurnStarted,
)

__all__ = ["error_to_json", "event_to_json"]


def event_to_json(event: TurnEvent) -> JsonObject | None:
    """The event's line, or None for one that has none."""
    match event:
        case TurnStarted():
            return {"type": "turn.started", "turn_id": event.turn_id, "session_id": event.session_id}
        case TurnFinished():
            return _turn_finished(event)
        case SampleStarted() | SampleFinished() | SampleRestarted() | RetryScheduled() | FellBack():
            return _sample_event(event)
        case ToolStarted() | ToolProgress() | ToolFinished():
            return _tool_event(event)
        case PatchProgress():
            return _patch_progress(event)
        case CompactionStarted() | CompactionFinished() | CompactionFailed():
            return _compaction_event(event)
        case HookFinished():
            return {
                "type": "hook.finished",
                "point": event.point,
                "hook": event.hook,
                "outcome": event.outcome,
                "detail": event.detail,
                "call_id": event.call_id,
                "duration_s": event.duration_s,
            }
        case ApprovalRequested():
            return {"type": "approval.requested", **_request(event.request)}
        case ApprovalDecided():
            decision = event.decision
            return {
                "type": "approval.decided",
                "call_id": event.request.call_id,
                "tool": event.request.tool,
                "decision": decision.kind,
                "reason": decision.reason,
            }
        case _:
            return _model_event(event)


def error_to_json(error: AgentCoreError) -> JsonObject:
    """The last line of a run that failed."""
    out: JsonObject = {"type": "error", "error": type(error).__name__, "message": error.message, "remedy": error.remedy}
    if isinstance(error, ModelError):
        out["reason"] = error.reason
        out["retryable"] = error.retryable
        out["retry_after_s"] = error.retry_after_s
        out["attempt"] = error.attempt
        out["status"] = error.status
        out["code"] = error.code
        out["request_id"] = error.request_id
        out["side_effects_started"] = error.side_effects_started
        out["tried"] = [
            {"model": one.model, "error": type(one.error).__name__, "message": one.error.message} for one in error.tried
        ]
    return out


def _model_event(
    event: Created
    | RateLimits
    | OutputItemAdded
    | OutputItemDone
    | OutputTextDelta
    | RefusalDelta
    | ReasoningContentDelta
    | ReasoningSummaryPartAdded
    | ReasoningSummaryDelta
    | ToolCallInputDelta
    | Completed,
) -> JsonObject | None:
    match event:
        case OutputTextDelta():
            return {"type": "text.delta", "index": event.index, "delta": event.delta}
        case RefusalDelta():
            return {"type": "refusal.delta", "index": event.index, "delta": event.delta}
        case ReasoningContentDelta() | ReasoningSummaryDelta():
            return {"type": "reasoning.delta", "index": event.index, "delta": event.delta}
        case ToolCallInputDelta():
            return {"type": "call.delta", "index": event.index, "call_id": event.call_id, "delta": event.delta}
        case OutputItemAdded():
            return {"type": "item.started", "index": event.index, "item": dump_item(event.item)}
        case OutputItemDone():
            return {"type": "item.finished", "index": event.index, "item": dump_item(event.item)}
        case RateLimits():
            return {
                "type": "rate_limits",
                "windows": [
                    {
                        "kind": window.kind,
                        "limit": window.limit,
                        "remaining": window.remaining,
                        "reset_after_s": window.reset_after_s,
                        "used_percent": window.used_percent,
                        "window_s": window.window_s,
                    }
                    for window in event.windows
                ],
            }
        case Created() | ReasoningSummaryPartAdded() | Completed():
            return None
        case _:
            assert_never(event)


def _sample_event(event: SampleStarted | SampleFinished | SampleRestarted | RetryScheduled | FellBack) -> JsonObject:
    match event:
        case SampleStarted():
            return {
                "type": "sample.started",
                "number": event.number,
                "model": event.model,
                "losses": [{"feature": loss.feature, "detail": loss.detail} for loss in event.losses],
                "repairs": [
                    {"kind": repair.kind, "item_index": repair.item_index, "reason": repair.reason}
                    for repair in event.repairs
                ],
            }
        case SampleFinished():
            response = event.response
            return {
                "type": "sample.finished",
                "number": event.number,
                "response_id": response.id,
                "model": response.model,
                "status": response.status,
                "finish_reason": response.finish_reason,
                "usage": usage_to_json(response.usage) if response.usage else None,
            }
        case SampleRestarted():
            return {
                "type": "sample.restarted",
                "number": event.number,
                "reason": event.error.message,
                "delay_s": event.delay_s,
            }
        case RetryScheduled():
            return {
                "type": "retry.scheduled",
                "attempt": event.attempt,
                "reason": event.reason,
                "delay_s": event.delay_s,
                "will_retry": event.will_retry,
                "stage": event.stage,
                "model": event.model,
                "gave_up": event.gave_up,
                "max_attempts": event.max_attempts,
            }
        case FellBack():
            return {
                "type": "model.fell_back",
                "failed": event.failed,
                "model": event.model,
                "reason": event.reason,
                "message": event.error.message,
            }


def _tool_event(event: ToolStarted | ToolProgress | ToolFinished) -> JsonObject:
    match event:
        case ToolStarted():
            call = event.call
            return {
                "type": "tool.started",
                "call_id": call.call_id,
                "name": call.name,
                "arguments": call.arguments,
                "kind": call.kind,
            }
        case ToolProgress():
            return {"type": "tool.progress", "call_id": event.call_id, "delta": event.delta}
        case ToolFinished():
            return {
                "type": "tool.finished",
                "call_id": event.call.call_id,
                "name": event.call.name,
                "outcome": event.outcome,
                "content": _content(event.output),
                "metadata": dict(event.output.metadata),
                "duration_s": round(event.duration_s, 6),
            }


def _patch_progress(event: PatchProgress) -> JsonObject:
    pieces: list[JsonValue] = []
    for piece in event.pieces:
        match piece:
            case PatchedFile():
                pieces.append({"type": piece.action, "path": piece.path})
            case PatchedMove():
                pieces.append({"type": "move", "path": piece.path})
            case PatchedPlace():
                pieces.append({"type": "place", "anchor": piece.anchor})
            case PatchedLine():
                pieces.append({"type": "line", "mark": piece.mark, "text": piece.text})
            case _:
                assert_never(piece)
    return {"type": "patch.progress", "call_id": event.call_id, "pieces": pieces}


def _compaction_event(event: CompactionStarted | CompactionFinished | CompactionFailed) -> JsonObject:
    match event:
        case CompactionStarted():
            return {"type": "compaction.started", "reason": event.reason, "tokens": event.tokens}
        case CompactionFinished():
            return {
                "type": "compaction.finished",
                "reason": event.reason,
                "kind": event.kind,
                "tokens_before": event.tokens_before,
                "tokens_after": event.tokens_after,
                "replaced": event.replaced,
                "left_out": event.left_out,
                "usage": usage_to_json(event.usage),
            }
        case CompactionFailed():
            return {
                "type": "compaction.failed",
                "reason": event.reason,
                "error": type(event.error).__name__,
                "message": event.error.message,
            }


def _turn_finished(event: TurnFinished) -> JsonObject:
    result = event.result
    return {
        "type": "turn.finished",
        "stop_reason": result.stop_reason,
        "text": result.text,
        "usage": usage_to_json(result.usage),
        "cost": _cost(result.cost),
        "samples": result.samples,
        "tool_calls": result.tool_calls,
        "denied": result.denied,
        "pending": [_pending(one) for one in result.pending],
        "duration_s": round(result.duration_s, 6),
    }


def _pending(pending: PendingCall) -> JsonObject:
    """A call that waits; `request`: what a decision is waited for on, null where its output is."""
    return {
        "id": pending.id,
        "call_id": pending.call.call_id,
        "name": pending.call.name,
        "arguments": pending.call.arguments,
        "why": pending.why,
        "request": _request(pending.request) if pending.request else None,
    }


def _cost(cost: Cost | None) -> JsonObject | None:
    """The sum, None where it is not known; `at_least`: some of it is not; `dated`: the day of the price list."""
    if cost is None:
        return None
    dated = None if cost.dated is None else cost.dated.isoformat()
    return {"amount": float(cost.amount), "currency": cost.currency, "at_least": cost.at_least, "dated": dated}


def usage_to_json(usage: Usage) -> JsonObject:
    """The disjoint counters (see events.Usage) and their total."""
    return {
        "input": usage.input,
        "cache_read": usage.cache_read,
        "cache_write": usage.cache_write,
        "cache_write_1h": usage.cache_write_1h,
        "output": usage.output,
        "reasoning": usage.reasoning,
        "total": usage.total,
    }


def _request(request: ApprovalRequest) -> JsonObject:
    return {
        "call_id": request.call_id,
        "tool": request.tool,
        "summary": request.summary,
        "detail": request.detail,
        "risk": request.risk,
        "cwd": request.cwd,
        "reason": request.reason,
        "risk_line": request.risk_line,
        "sandbox": request.sandbox,
        "escalated": request.escalated,
        "known_safe": request.known_safe,
        "paths": list(request.paths),
        "rules": [str(rule) for rule in request.rules],
    }


def _content(output: ToolOutput) -> JsonValue:
    """Text as a string, anything else as its parts."""
    if isinstance(output.content, str):
        return output.content
    return [part.model_dump(mode="json") for part in output.content]
