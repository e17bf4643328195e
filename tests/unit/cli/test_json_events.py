"""Turn events as the JSON lines that docs/cli.md promises."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from agent_core.approvals import ApprovalRequest, Decision
from agent_core.cli.json_events import error_to_json, event_to_json
from agent_core.codecs.base import Loss, Repair
from agent_core.errors import (
    AgentCoreError,
    CompactionError,
    ConfigError,
    OverloadedError,
    RateLimitError,
    StreamInterrupted,
    Tried,
)
from agent_core.events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    RateLimits,
    RateLimitWindow,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    ReasoningSummaryPartAdded,
    RefusalDelta,
    Response,
    ToolCallInputDelta,
    Usage,
)
from agent_core.items import InputText, JsonObject, assistant_message
from agent_core.paused import PendingCall
from agent_core.prices import Cost
from agent_core.tools.base import ToolCall, ToolOutput
from agent_core.tools.patch_format import PatchedFile, PatchedLine, PatchedMove, PatchedPlace
from agent_core.turn_events import (
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
    TurnResult,
    TurnStarted,
)

CALL = ToolCall("c1", "shell", '{"command":"ls"}')
REQUEST = ApprovalRequest("c1", "shell", "ls", detail="ls", risk="execute", key="ls", cwd="/p")
USAGE = Usage(input=5, cache_read=1, cache_write=2, cache_write_1h=1, output=3, reasoning=4)
USAGE_JSON: JsonObject = {
    "input": 5, "cache_read": 1, "cache_write": 2, "cache_write_1h": 1, "output": 3, "reasoning": 4, "total": 15,
}  # fmt: skip
NO_USAGE_JSON: JsonObject = dict.fromkeys(USAGE_JSON, 0)
REQUEST_JSON: JsonObject = {
    "call_id": "c1", "tool": "shell", "summary": "ls", "detail": "ls", "risk": "execute", "cwd": "/p", "reason": "",
    "risk_line": "it runs with your rights; no sandbox holds it", "sandbox": "", "escalated": False,
    "known_safe": False, "paths": [], "rules": [],
}  # fmt: skip
COST = Cost(Decimal("0.5"), at_least=True, dated=date(2026, 1, 2))
COST_JSON: JsonObject = {"amount": 0.5, "currency": "USD", "at_least": True, "dated": "2026-01-02"}
MESSAGE_JSON: JsonObject = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
    "status": "completed",
}

CASES: list[tuple[TurnEvent, JsonObject | None]] = [
    (TurnStarted("t1", "s1"), {"type": "turn.started", "turn_id": "t1", "session_id": "s1"}),
    (
        SampleStarted(1, "lab/m", (Loss("top_k", "x"),), (Repair("moved_output", 3, "y"),)),
        {
            "type": "sample.started",
            "number": 1,
            "model": "lab/m",
            "losses": [{"feature": "top_k", "detail": "x"}],
            "repairs": [{"kind": "moved_output", "item_index": 3, "reason": "y"}],
        },
    ),
    (Created("r"), None),
    (ReasoningSummaryPartAdded(0, 0), None),
    (Completed("r"), None),
    (OutputItemAdded(0, assistant_message("Hi")), {"type": "item.started", "index": 0, "item": MESSAGE_JSON}),
    (OutputItemDone(0, assistant_message("Hi")), {"type": "item.finished", "index": 0, "item": MESSAGE_JSON}),
    (OutputTextDelta(1, "a"), {"type": "text.delta", "index": 1, "delta": "a"}),
    (RefusalDelta(1, "a"), {"type": "refusal.delta", "index": 1, "delta": "a"}),
    (ReasoningContentDelta(1, "a"), {"type": "reasoning.delta", "index": 1, "delta": "a"}),
    (ReasoningSummaryDelta(1, "a"), {"type": "reasoning.delta", "index": 1, "delta": "a"}),
    (ToolCallInputDelta(1, "c1", "{"), {"type": "call.delta", "index": 1, "call_id": "c1", "delta": "{"}),
    (
        RateLimits((RateLimitWindow("tokens", 10.0, 9.0, 1.5),)),
        {
            "type": "rate_limits",
            "windows": [
                {
                    "kind": "tokens",
                    "limit": 10.0,
                    "remaining": 9.0,
                    "reset_after_s": 1.5,
                    "used_percent": None,
                    "window_s": None,
                }
            ],
        },
    ),
    (
        SampleFinished(1, Response("r", "m", finish_reason="stop", usage=USAGE)),
        {
            "type": "sample.finished",
            "number": 1,
            "response_id": "r",
            "model": "m",
            "status": "completed",
            "finish_reason": "stop",
            "usage": USAGE_JSON,
        },
    ),
    (
        SampleRestarted(1, StreamInterrupted("cut"), 0.5),
        {"type": "sample.restarted", "number": 1, "reason": "cut", "delay_s": 0.5},
    ),
    (
        FellBack("lab/m", "lab/n", "overloaded", OverloadedError("no capacity")),
        {
            "type": "model.fell_back",
            "failed": "lab/m",
            "model": "lab/n",
            "reason": "overloaded",
            "message": "no capacity",
        },
    ),
    (
        RetryScheduled(1, 0.5, "overloaded", will_retry=True, max_attempts=5, model="lab/m"),
        {
            "type": "retry.scheduled",
            "attempt": 1,
            "reason": "overloaded",
            "delay_s": 0.5,
            "will_retry": True,
            "stage": "request",
            "model": "lab/m",
            "gave_up": None,
            "max_attempts": 5,
        },
    ),
    (
        ToolStarted(CALL),
        {
            "type": "tool.started",
            "call_id": "c1",
            "name": "shell",
            "arguments": '{"command":"ls"}',
            "kind": "function",
        },
    ),
    (
        PatchProgress(
            "c1", (PatchedFile("update", "a"), PatchedMove("b"), PatchedPlace("def f"), PatchedLine("+", "x"))
        ),
        {
            "type": "patch.progress",
            "call_id": "c1",
            "pieces": [
                {"type": "update", "path": "a"},
                {"type": "move", "path": "b"},
                {"type": "place", "anchor": "def f"},
                {"type": "line", "mark": "+", "text": "x"},
            ],
        },
    ),
    (ToolProgress("c1", "a.py\n"), {"type": "tool.progress", "call_id": "c1", "delta": "a.py\n"}),
    (
        ToolFinished(CALL, ToolOutput("a.py", metadata={"exit_code": 0}), "ok", 0.1234567),
        {
            "type": "tool.finished",
            "call_id": "c1",
            "name": "shell",
            "outcome": "ok",
            "content": "a.py",
            "metadata": {"exit_code": 0},
            "duration_s": 0.123457,
        },
    ),
    (
        ToolFinished(CALL, ToolOutput((InputText(text="a"),), success=False), "failed"),
        {
            "type": "tool.finished",
            "call_id": "c1",
            "name": "shell",
            "outcome": "failed",
            "content": [{"type": "input_text", "text": "a"}],
            "metadata": {},
            "duration_s": 0.0,
        },
    ),
    (
        ApprovalRequested(REQUEST),
        {"type": "approval.requested", **REQUEST_JSON},
    ),
    (
        ApprovalDecided(REQUEST, Decision("denied", "no")),
        {"type": "approval.decided", "call_id": "c1", "tool": "shell", "decision": "denied", "reason": "no"},
    ),
    (
        HookFinished("before_tool", "check.py", "failed", "it ended with exit code 1", "c1", 0.5),
        {
            "type": "hook.finished",
            "point": "before_tool",
            "hook": "check.py",
            "outcome": "failed",
            "detail": "it ended with exit code 1",
            "call_id": "c1",
            "duration_s": 0.5,
        },
    ),
    (
        CompactionStarted("limit", 9000),
        {"type": "compaction.started", "reason": "limit", "tokens": 9000},
    ),
    (
        CompactionFinished("overflow", "local", 9000, 2000, 40, USAGE, 7),
        {
            "type": "compaction.finished",
            "reason": "overflow",
            "kind": "local",
            "tokens_before": 9000,
            "tokens_after": 2000,
            "replaced": 40,
            "left_out": 7,
            "usage": USAGE_JSON,
        },
    ),
    (
        CompactionFailed("asked", CompactionError("the summary is empty")),
        {
            "type": "compaction.failed",
            "reason": "asked",
            "error": "CompactionError",
            "message": "the summary is empty",
        },
    ),
    (
        TurnFinished(
            TurnResult("max_turns", "Hi", usage=USAGE, samples=2, tool_calls=1, denied=1, duration_s=2.0, cost=COST)
        ),
        {
            "type": "turn.finished",
            "stop_reason": "max_turns",
            "text": "Hi",
            "usage": USAGE_JSON,
            "cost": COST_JSON,
            "samples": 2,
            "tool_calls": 1,
            "denied": 1,
            "pending": [],
            "duration_s": 2.0,
        },
    ),
    (
        TurnFinished(TurnResult("paused", pending=(PendingCall("fc_1", CALL, "deferred", REQUEST),))),
        {
            "type": "turn.finished",
            "stop_reason": "paused",
            "text": "",
            "usage": NO_USAGE_JSON,
            "cost": None,
            "samples": 0,
            "tool_calls": 0,
            "denied": 0,
            "pending": [
                {
                    "id": "fc_1",
                    "call_id": "c1",
                    "name": "shell",
                    "arguments": '{"command":"ls"}',
                    "why": "deferred",
                    "request": REQUEST_JSON,
                }
            ],
            "duration_s": 0.0,
        },
    ),
]


def tried(error: RateLimitError) -> RateLimitError:
    """After another model had been asked."""
    error.tried = (Tried("lab/m", OverloadedError("no capacity")),)
    return error


ERRORS: list[tuple[AgentCoreError, JsonObject]] = [
    (
        ConfigError("no wire", remedy="name one"),
        {"type": "error", "error": "ConfigError", "message": "no wire", "remedy": "name one"},
    ),
    (
        tried(RateLimitError("slow down", remedy="wait", status=429, code="rate", request_id="q", retry_after_s=3.0)),
        {
            "type": "error",
            "error": "RateLimitError",
            "message": "slow down",
            "remedy": "wait",
            "reason": "rate_limited",
            "retryable": True,
            "retry_after_s": 3.0,
            "attempt": 1,
            "status": 429,
            "code": "rate",
            "request_id": "q",
            "side_effects_started": False,
            "tried": [{"model": "lab/m", "error": "OverloadedError", "message": "no capacity"}],
        },
    ),
]


@pytest.mark.parametrize(("event", "line"), CASES, ids=[type(event).__name__ for event, _ in CASES])
def test_an_event_is_one_object(event: TurnEvent, line: JsonObject | None) -> None:
    """Each event has its documented object, which is JSON."""
    assert event_to_json(event) == line
    assert json.loads(json.dumps(line)) == line


@pytest.mark.parametrize(("error", "line"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS])
def test_an_error_is_the_last_object(error: AgentCoreError, line: JsonObject) -> None:
    """It names the class, what happened and what to do; a peer's refusal also its status and codes."""
    assert error_to_json(error) == line


def test_every_shape_is_documented() -> None:
    """docs/cli.md has every type with all its members, and no type that does not exist."""
    table = (Path(__file__).parents[3] / "docs" / "cli.md").read_text("utf-8").partition("## JSON events")[2]
    rows: dict[str, str] = {}
    for row in re.findall(r"^\| (`.*)$", table, re.MULTILINE):
        types, _, members = row.partition(" | ")
        rows |= dict.fromkeys(re.findall(r"`([^`]+)`", types), members)
    lines = [line for _, line in (*CASES, *ERRORS) if line is not None]
    assert {str(line["type"]) for line in lines} | {"demo.finished"} == set(rows)
    missing = [(line["type"], name) for line in lines for name in line if f"`{name}`" not in rows[str(line["type"])]]
    assert [entry for entry in missing if entry[1] != "type"] == []
