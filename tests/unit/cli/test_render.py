"""Turn events and responses as plain text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pytest

from agent_core.approvals import ApprovalRequest, Decision
from agent_core.cli.render import TurnView, call_text, render_diff, render_response, summary_text
from agent_core.cli.screen import Screen
from agent_core.codecs.base import Loss, Repair
from agent_core.errors import CompactionError, OverloadedError, StreamInterrupted
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
from agent_core.items import (
    CustomToolCall,
    FunctionCall,
    InputImage,
    InputText,
    Message,
    Reasoning,
    Refusal,
    UnknownItem,
    WebSearchCall,
    assistant_message,
)
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

SHELL = ToolCall("c1", "shell", '{"command":"python -m unittest"}')
READ = ToolCall("c2", "read_file", '{"path":"a.py"}')
PATCH = ToolCall("c3", "apply_patch", "*** Begin Patch\n*** Update File: a.py\n@@\n-1\n+2\n*** End Patch", "custom")
DIFF = "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-1\n+2\n"


def shown(events: Sequence[TurnEvent], *, verbose: bool = False) -> str:
    stream = io.StringIO()
    view = TurnView(Screen(stream), verbose=verbose)
    for event in events:
        view.feed(event)
    return stream.getvalue()


def test_a_turn_reads_as_a_story() -> None:
    """Reasoning, text, a call with its output, a patch as a diff: each where it happened, nothing twice."""
    events: list[TurnEvent] = [
        TurnStarted("t", "s"),
        SampleStarted(1, "lab/m"),
        Created("r1", "m"),
        OutputItemAdded(0, Reasoning()),
        ReasoningContentDelta(0, "Run the "),
        ReasoningContentDelta(0, "tests."),
        OutputItemDone(0, Reasoning(content=("Run the tests.",))),
        OutputItemAdded(1, assistant_message("")),
        OutputTextDelta(1, "I run "),
        OutputTextDelta(1, "them."),
        OutputItemDone(1, assistant_message("I run them.")),
        OutputItemAdded(2, FunctionCall(call_id="c1", name="shell")),
        ToolCallInputDelta(2, "c1", SHELL.arguments),
        OutputItemDone(2, FunctionCall(call_id="c1", name="shell", arguments=SHELL.arguments)),
        Completed("r1"),
        SampleFinished(1, Response()),
        ApprovalRequested(ApprovalRequest("c1", "shell", "python -m unittest")),
        ApprovalDecided(ApprovalRequest("c1", "shell", "python -m unittest"), Decision("approved")),
        ToolStarted(SHELL),
        ToolProgress("c1", "F\n"),
        ToolFinished(SHELL, ToolOutput("Exit code: 1\nOutput:\nF\n", success=False), "failed", 0.31),
        ToolStarted(PATCH),
        ToolFinished(PATCH, ToolOutput("M a.py", metadata={"diff": DIFF}), "ok", 0.001),
        TurnFinished(TurnResult("completed")),
    ]
    assert shown(events) == (
        "Run the tests.\nI run them.\n"
        "\n● shell  python -m unittest\n  │ Exit code: 1\n  │ Output:\n  │ F\n  failed, 0.3 s\n"
        "\n● apply_patch  update a.py\n  --- a/a.py\n  +++ b/a.py\n  @@ -1 +1 @@\n  -1\n  +2\n  ok\n"
    )


def test_parallel_calls_keep_their_names() -> None:
    """An output that does not follow its own header gets one."""
    events: list[TurnEvent] = [
        ToolStarted(SHELL),
        ToolStarted(READ),
        ToolFinished(READ, ToolOutput("x = 1"), "ok"),
        ToolFinished(SHELL, ToolOutput("done"), "ok"),
    ]
    assert shown(events) == (
        "● shell  python -m unittest\n● read_file  a.py\n  │ x = 1\n  ok\n"
        "\n● shell  python -m unittest\n  │ done\n  ok\n"
    )


def test_what_goes_wrong_is_always_shown() -> None:
    """Denials, restarts, fallbacks and refusals need no -v."""
    request = ApprovalRequest("c1", "shell", "rm -rf build")
    events: list[TurnEvent] = [
        RetryScheduled(1, 0.5, "overloaded", True, error=OverloadedError("no capacity")),
        RetryScheduled(2, 0.0, "overloaded", False, error=OverloadedError("no capacity")),
        OutputTextDelta(0, "Half an"),
        SampleRestarted(1, StreamInterrupted("the stream ended"), 1.0),
        OutputTextDelta(0, "A whole answer"),
        RefusalDelta(1, "I will not."),
        ApprovalDecided(request, Decision("denied", "no")),
        ToolFinished(SHELL, ToolOutput("denied: no", success=False), "denied"),
    ]
    assert shown([FellBack("lab/a", "lab/b", "overloaded", OverloadedError("no capacity")), *events]) == (
        "! lab/a: no capacity; going on with lab/b\n"
        "! no capacity; attempt 2 in 0.5 s\n"
        "Half an\n! the stream ended; the answer above is dropped and asked for again\nA whole answer\nI will not.\n"
        "! not allowed: rm -rf build (no)\n\n● shell  python -m unittest\n  │ denied: no\n  denied\n"
    )


def test_compactions() -> None:
    """-v tells what a compaction did; that one failed, or had to leave something out, is always told."""
    events: list[TurnEvent] = [
        CompactionStarted("limit", 180_500),
        CompactionFinished("limit", "local", 180_500, 9_000, 41),
        CompactionFinished("limit", "local", 180_500, 9_000, 41, left_out=11),
        CompactionStarted("overflow", 9_500),
        CompactionFailed("overflow", CompactionError("the summary is empty")),
    ]
    failed = "! the history was not compacted: the summary is empty\n"
    left_out = "! the summary does not know the 11 oldest items: no room for them\n"
    assert shown(events) == left_out + failed
    assert shown(events, verbose=True) == (
        "  the history takes about 180,500 tokens: asking for a summary of it\n"
        "  compacted (local): 180,500 tokens became 9,000, 41 items summarised\n"
        f"  compacted (local): 180,500 tokens became 9,000, 30 items summarised\n{left_out}"
        f"  the history takes about 9,500 tokens: asking for a summary of it\n{failed}"
    )


def test_verbose_shows_requests_repairs_and_losses() -> None:
    """-v tells what requests do not carry as it stands (once), what was allowed, and what tools say meanwhile."""
    request = ApprovalRequest("c1", "shell", "make")
    events: list[TurnEvent] = [
        SampleStarted(
            2,
            "lab/m",
            losses=(Loss("top_k"), Loss("images", "text only")),
            repairs=(Repair("dropped_reasoning", 4, "another origin"), Repair("moved_output", 7)),
        ),
        RateLimits((RateLimitWindow("tokens", remaining=1500.0), RateLimitWindow("requests", limit=9.0))),
        ApprovalDecided(request, Decision("approved")),
        ToolProgress("c1", "compiling\nlinking\n"),
        SampleStarted(3, "lab/m", losses=(Loss("top_k"), Loss("seed"))),
    ]
    assert shown(events, verbose=True) == (
        "  request 2 to lab/m\n  repaired item 4: dropped_reasoning (another origin)\n  repaired item 7: moved_output\n"
        "  not carried by this wire: top_k\n  not carried by this wire: images (text only)\n"
        "  rate limit: 1500 tokens left\n  allowed: make\n  ~ compiling\n  ~ linking\n"
        "  request 3 to lab/m\n  not carried by this wire: seed\n"
    )
    assert shown(events) == ""


def test_items_without_deltas_are_shown_whole() -> None:
    """A message that came in one piece is written when it is done; a provider's own call is named."""
    events: list[TurnEvent] = [
        SampleStarted(1, "m"),
        OutputItemDone(0, assistant_message("All at once.")),
        OutputItemDone(1, WebSearchCall()),
        SampleStarted(2, "m"),
        ReasoningSummaryPartAdded(0, 0),
        ReasoningSummaryDelta(0, "One."),
        ReasoningSummaryPartAdded(0, 1),
        ReasoningSummaryDelta(0, "Two."),
        OutputItemDone(0, Reasoning(summary=("One.", "Two."))),
    ]
    assert shown(events) == "All at once.\n● web_search_call (by the provider)\nOne.\nTwo."


def test_a_long_output_keeps_its_head_and_tail() -> None:
    """Output is bounded to its first and last twelve lines, and says how many are not shown."""
    output = ToolOutput("\n".join(str(n) for n in range(1, 101)))
    lines = shown([ToolFinished(SHELL, output, "ok")]).splitlines()
    assert [line.removeprefix("  │ ") for line in lines[1:-1]] == [
        *(str(n) for n in range(1, 13)),
        "(76 lines left out)",
        *(str(n) for n in range(89, 101)),
    ]


def test_output_parts_are_shown_as_text() -> None:
    """Text parts are shown, others named."""
    output = ToolOutput((InputText(text="a picture:"), InputImage(image_url="data:image/png;base64,iVBORw0KGgo=")))
    assert shown([ToolFinished(READ, output, "ok")]) == "● read_file  a.py\n  │ a picture:\n  │ (input_image)\n  ok\n"


def test_a_long_diff_is_bounded() -> None:
    """A diff shows 200 lines and counts the rest."""
    stream = io.StringIO()
    render_diff(Screen(stream), "+x\n" * 250)
    assert stream.getvalue() == "  +x\n" * 200 + "  (50 more lines)\n"


def test_a_diff_is_coloured_by_line() -> None:
    """Added green, removed red, places cyan, file names bold, context as it is."""
    stream = io.StringIO()
    render_diff(Screen(stream, styled=True), DIFF + " same\n")
    assert stream.getvalue() == (
        "\x1b[1m  --- a/a.py\x1b[0m\n\x1b[1m  +++ b/a.py\x1b[0m\n\x1b[36m  @@ -1 +1 @@\x1b[0m\n"
        "\x1b[31m  -1\x1b[0m\n\x1b[32m  +2\x1b[0m\n   same\n"
    )


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (ToolCall("c", "shell", '{"command":["ls","a b"]}'), "ls 'a b'"),
        (ToolCall("c", "shell", '{"command":"make","workdir":"src"}'), 'make (workdir="src")'),
        (ToolCall("c", "read_file", '{"path":"a.py","limit":5}'), 'path="a.py", limit=5'),
        (ToolCall("c", "add", '{"n":2}'), "n=2"),
        (ToolCall("c", "now", ""), ""),
        (ToolCall("c", "now", "{}"), ""),
        (ToolCall("c", "broken", '{"path": "a'), '{"path": "a'),
        (ToolCall("c", "odd", "[1, 2]"), "[1, 2]"),
        (ToolCall("c", "say", '{"text":"two\\nlines \\u001b[31m"}'), "two lines"),
        (ToolCall("c", "apply_patch", '{"input":"*** Begin Patch\\n*** Add File: b.py\\n+x"}'), "add b.py"),
        (ToolCall("c", "long", "x" * 200, "custom"), "x" * 119 + "…"),
    ],
)
def test_a_call_is_one_line(call: ToolCall, text: str) -> None:
    """A call shows its command, the files it patches, or its arguments, whatever the model wrote."""
    assert call_text(call) == text


def test_a_response_is_shown_item_by_item() -> None:
    """Items in order, arguments laid out, a call that was cut marked, kinds without a form of their own as JSON."""
    stream = io.StringIO()
    response = Response(
        items=(
            Reasoning(summary=("First.", "Second.")),
            Reasoning(encrypted_content="AAAA"),
            assistant_message("The answer.\n"),
            Message(role="assistant", content=(Refusal(refusal="No."),)),
            FunctionCall(call_id="1", name="f", arguments='{"a":1}'),
            FunctionCall(call_id="2", name="g", arguments='{"a":', status="incomplete"),
            CustomToolCall(call_id="3", name="h", input="free\ntext"),
            WebSearchCall(action={"query": "q"}),
            UnknownItem(raw={"type": "robot_arm", "angle": 3}),
        )
    )
    render_response(Screen(stream), response)
    assert stream.getvalue() == (
        "First.\nSecond.\n(reasoning the provider keeps to itself)\nThe answer.\nNo.\n"
        '● f\n  │ {\n  │   "a": 1\n  │ }\n● g (cut off)\n  │ {"a":\n● h\n  │ free\n  │ text\n'
        '● web_search_call\n  │ {"action": {"query": "q"}}\n'
        '● robot_arm\n  │ {"raw": {"type": "robot_arm", "angle": 3}}\n'
    )


def test_the_summary_counts_what_a_run_took() -> None:
    """Turns, calls, tokens, time and the transcript, in the singular where it is one."""
    result = TurnResult(
        "completed",
        usage=Usage(input=1000, cache_read=200, output=30, reasoning=4),
        samples=1,
        tool_calls=2,
        denied=1,
        duration_s=1.26,
    )
    assert summary_text(result, "s.jsonl") == (
        "1 turn, 2 tool calls (1 denied), 1,234 tokens (1,200 in (200 cached), 34 out (4 reasoning)), 1.3 s\n"
        "transcript: s.jsonl"
    )
    priced = TurnResult("completed", cost=Cost(Decimal("0.0123"), dated=date(2026, 1, 2)))
    assert "tokens (0 in, 0 out), $0.012 (list prices of 2026-01-02), 0.0 s" in summary_text(priced)
    assert summary_text(TurnResult("completed")) == "0 turns, 0 tool calls, 0 tokens (0 in, 0 out), 0.0 s"


def test_a_patch_while_it_is_written() -> None:
    """With -v, as a diff without line numbers, cleaned; without, it is shown when it was applied."""
    pieces = (PatchedFile("update", "a"), PatchedMove("b"), PatchedPlace("def f"), PatchedLine(" ", "x\x1b[2Jy"))
    events = [PatchProgress("c1", pieces), PatchProgress("c1", (PatchedLine("-", ""), PatchedLine("+", "z")))]
    assert shown(events) == ""
    assert shown(events, verbose=True) == "  ~ update a\n  ~ to b\n  @@ def f\n   xy\n  -\n  +z\n"
