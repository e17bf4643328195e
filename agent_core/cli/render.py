"""Turn events and whole responses as text for a person.

What is streamed is written as it comes; what a tool returned is bounded to its first and last lines. The model's words
are plain, its reasoning dim, calls carry a mark, patches are coloured diffs. Nothing here decides anything.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import assert_never

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
    Response,
    ToolCallInputDelta,
    Usage,
)
from ..items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputText,
    JsonObject,
    JsonValue,
    Message,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    UnknownItem,
    dump_item,
)
from ..paused import PendingCall
from ..prices import Cost
from ..tools.base import ToolCall, ToolOutput
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
    TurnResult,
    TurnStarted,
)
from .screen import Screen, Style, clean, one_line

__all__ = ["TurnView", "call_text", "pending_lines", "render_diff", "render_response", "summary_text", "usage_text"]

_HEAD_LINES = 12
_TAIL_LINES = 12
_DIFF_LINES = 200
_CALL_CHARS = 120

_PATCHED_FILE = re.compile(r"^\*\*\* (Add|Update|Delete) File: (.+)$", re.MULTILINE)


class TurnView:
    """Feed it the events of a turn, in order.

    `verbose` also shows requests, repairs, losses, rate limits, compactions, approvals given, the progress of tools
    and patches while they are written.
    """

    def __init__(self, screen: Screen, *, verbose: bool = False) -> None:
        self._screen = screen
        self._verbose = verbose
        self._block = ("", -1)  # what is being written (text, reasoning, call, result), and of which item
        self._shown: set[int] = set()  # items of this sample of which deltas were written
        self._told: set[str] = set()  # repairs and losses noted already
        self._header = ""  # call_id of the call whose header was written last

    def feed(self, event: TurnEvent) -> None:
        """Write what `event` means to a person; many mean nothing."""
        match event:
            case OutputTextDelta() | RefusalDelta():
                self._stream("text", event.index, event.delta, "plain")
            case ReasoningContentDelta() | ReasoningSummaryDelta():
                self._stream("reasoning", event.index, event.delta, "dim")
            case ReasoningSummaryPartAdded():
                self._screen.end_line()
            case OutputItemDone():
                self._item(event)
            case ToolStarted():
                self._call(event.call)
            case ToolFinished():
                self._finished(event)
            case ToolProgress():
                for line in event.delta.splitlines():
                    self._note(f"~ {clean(line)}")
            case PatchProgress():
                if self._verbose:
                    _render_pieces(self._screen, event)
            case ApprovalDecided():
                self._decided(event)
            case HookFinished():
                self._hook(event)
            case RetryScheduled():
                # Otherwise the error itself is about to say it, or what breaks in the middle: SampleRestarted.
                if event.will_retry and event.stage == "request":
                    what = event.error.message or event.reason
                    self._alert(f"{what}; attempt {event.attempt + 1} in {event.delay_s:.1f} s")
            case FellBack():
                self._alert(f"{event.failed}: {event.error.message or event.reason}; going on with {event.model}")
            case SampleRestarted():
                self._shown.clear()
                self._alert(f"{event.error.message}; the answer above is dropped and asked for again")
            case SampleStarted():
                self._sample(event)
            case RateLimits():
                for window in event.windows:
                    if window.remaining is not None:
                        self._note(f"rate limit: {window.remaining:g} {window.kind} left")
            case CompactionStarted():
                self._note(f"the history takes about {event.tokens:,} tokens: asking for a summary of it")
            case CompactionFinished():
                self._note(
                    f"compacted ({event.kind}): {event.tokens_before:,} tokens became {event.tokens_after:,},"
                    f" {_count(event.replaced - event.left_out, 'item')} summarised"
                )
                if event.left_out:
                    self._alert(
                        f"the summary does not know the {_count(event.left_out, 'oldest item')}: no room for them"
                    )
            case CompactionFailed():
                self._alert(f"the history was not compacted: {event.error.message}")
            case TurnFinished():
                self._screen.end_line()
            case (
                TurnStarted()
                | SampleFinished()
                | ApprovalRequested()
                | Created()
                | OutputItemAdded()
                | ToolCallInputDelta()
                | Completed()
            ):
                pass
            case _:
                assert_never(event)

    def _stream(self, kind: str, index: int, delta: str, style: Style) -> None:
        if self._block != (kind, index):
            self._begin(kind, index)
        self._shown.add(index)
        self._screen.put(delta, style)

    def _begin(self, kind: str, index: int = 0) -> None:
        """Start a block on its own line; what the model says and what its tools do stand apart."""
        before = self._block[0]
        if before == "result" or (kind == "call" and before != "call"):
            self._screen.gap()
        else:
            self._screen.end_line()
        self._block = (kind, index)

    def _item(self, done: OutputItemDone) -> None:
        """An item that came without deltas; calls are shown when they run."""
        if done.index not in self._shown and isinstance(done.item, Message | Reasoning):
            self._begin("text", done.index)
            render_item(self._screen, done.item)
        elif not isinstance(done.item, Message | Reasoning | FunctionCall | CustomToolCall):
            self._screen.line(f"{_mark(self._screen)} {_kind(done.item)} (by the provider)", "dim")

    def _sample(self, event: SampleStarted) -> None:
        self._block = (self._block[0], -1)
        self._shown.clear()
        self._note(f"request {event.number} to {event.model}")
        changes = [(f"repaired item {repair.item_index}: {repair.kind}", repair.reason) for repair in event.repairs]
        changes += [(f"not carried by this wire: {loss.feature}", loss.detail) for loss in event.losses]
        for what, why in changes:
            text = f"{what} ({why})" if why else what
            if text not in self._told:  # every later request of the turn has it too
                self._told.add(text)
                self._note(text)

    def _call(self, call: ToolCall) -> None:
        self._begin("call")
        self._screen.line(f"{_mark(self._screen)} {call.name}  {call_text(call)}".rstrip(), "strong")
        self._header = call.call_id

    def _finished(self, event: ToolFinished) -> None:
        if self._header != event.call.call_id:  # it ran beside others, or never
            self._call(event.call)
        self._header = ""
        self._block = ("result", 0)
        _render_output(self._screen, event.output)
        words = "ok" if event.outcome == "ok" else event.outcome.replace("_", " ")
        took = f", {event.duration_s:.1f} s" if event.duration_s >= 0.05 else ""
        self._screen.line(f"  {words}{took}", "dim" if event.outcome == "ok" else "bad")

    def _decided(self, event: ApprovalDecided) -> None:
        if event.decision.approved:
            self._note(f"allowed: {event.request.summary}")
        elif event.decision.kind == "deferred":
            self._alert(f"put off: {event.request.summary}")
        else:
            reason = f" ({event.decision.reason})" if event.decision.reason else ""
            self._alert(f"not allowed: {event.request.summary}{reason}")

    def _hook(self, event: HookFinished) -> None:
        if event.outcome == "failed":
            self._alert(f"the hook {event.hook!r} failed ({event.point}): {event.detail}")
        elif event.outcome != "passed":
            self._note(f"hook {event.hook} ({event.point}): {event.outcome}")

    def _note(self, text: str) -> None:
        if self._verbose and text:
            self._screen.line(f"  {text}", "dim")

    def _alert(self, text: str) -> None:
        self._screen.line(f"! {one_line(text)}", "bad")


def render_response(screen: Screen, response: Response) -> None:
    """Every item of a whole response, in order, unbounded."""
    for item in response.items:
        render_item(screen, item)


def render_item(screen: Screen, item: ResponseItem) -> None:
    """One item a model made, or what answered it."""
    match item:
        case Message():
            for part in item.content:
                match part:
                    case OutputText() | InputText() if part.text:
                        screen.line(part.text.rstrip("\n"))
                    case Refusal():
                        screen.line(part.refusal.rstrip("\n"), "bad")
                    case _:
                        pass
        case Reasoning():
            text = "\n".join((*item.summary, *item.content)).strip("\n")
            screen.line(text or "(reasoning the provider keeps to itself)", "dim")
        case FunctionCall():
            _render_call(screen, item.name, _pretty(item.arguments), cut=item.status == "incomplete")
        case CustomToolCall():
            _render_call(screen, item.name, item.input, cut=item.status == "incomplete")
        case FunctionCallOutput() | CustomToolCallOutput():
            _render_output(screen, ToolOutput(item.output))
        case _:
            screen.line(f"{_mark(screen)} {_kind(item)}", "strong")
            fields: JsonObject = {key: value for key, value in dump_item(item).items() if key not in ("type", "origin")}
            _indent(screen, one_line(json.dumps(fields, ensure_ascii=False)).splitlines())


def call_text(call: ToolCall) -> str:
    """What a call does, on one bounded line: its command, the files it patches, or its arguments."""
    value: JsonValue = call.arguments
    if call.kind == "function":
        try:
            value = json.loads(call.arguments or "{}")
        except ValueError:
            value = call.arguments
    return one_line(_argument_text(value), _CALL_CHARS)


def _argument_text(value: JsonValue) -> str:
    if isinstance(value, str):
        files = _PATCHED_FILE.findall(value)
        return ", ".join(f"{verb.lower()} {name.strip()}" for verb, name in files) or value
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    command = value.get("command")
    others = {name: other for name, other in value.items() if name != "command" or not command}
    if not command and len(others) == 1 and isinstance(only := next(iter(others.values())), str):
        return _argument_text(only)
    pairs = ", ".join(f"{name}={json.dumps(other, ensure_ascii=False)}" for name, other in others.items())
    if not command:
        return pairs
    return f"{_words(command)} ({pairs})" if pairs else _words(command)


def _words(command: JsonValue) -> str:
    """A command as it would be typed."""
    if isinstance(command, list):
        return shlex.join(str(word) for word in command)
    return command if isinstance(command, str) else json.dumps(command)


def render_diff(screen: Screen, diff: str) -> None:
    """A unified diff, coloured and bounded."""
    lines = clean(diff).splitlines()
    for line in lines[:_DIFF_LINES]:
        screen.line(f"  {line}" if line.strip() else "", _diff_style(line))
    if len(lines) > _DIFF_LINES:
        screen.line(f"  ({len(lines) - _DIFF_LINES} more lines)", "dim")


def _diff_style(line: str) -> Style:
    if line.startswith(("+++", "---", "diff ")):
        return "strong"
    styles: dict[str, Style] = {"+": "added", "-": "removed", "@": "place"}
    return styles.get(line[:1], "plain")


def _render_pieces(screen: Screen, event: PatchProgress) -> None:
    """A patch while it is written: a diff without line numbers."""
    for piece in event.pieces:
        match piece:
            case PatchedFile():
                screen.line(f"  ~ {piece.action} {one_line(piece.path)}", "dim")
            case PatchedMove():
                screen.line(f"  ~ to {one_line(piece.path)}", "dim")
            case PatchedPlace():
                screen.line(f"  @@ {clean(piece.anchor)}".rstrip(), "place")
            case PatchedLine():
                line = f"{piece.mark}{clean(piece.text)}"
                screen.line(f"  {line}".rstrip(), _diff_style(line))
            case _:
                assert_never(piece)


def _render_output(screen: Screen, output: ToolOutput) -> None:
    diff = output.metadata.get("diff")
    if isinstance(diff, str) and diff:
        render_diff(screen, diff)
        return
    if isinstance(output.content, str):
        lines = clean(output.content).splitlines()
    else:
        lines = [
            line
            for part in output.content
            for line in (clean(part.text).splitlines() if isinstance(part, InputText) else [f"({part.type})"])
        ]
    left_out = len(lines) - _HEAD_LINES - _TAIL_LINES
    if left_out > 1:
        lines = [*lines[:_HEAD_LINES], f"({left_out} lines left out)", *lines[-_TAIL_LINES:]]
    _indent(screen, lines)


def _render_call(screen: Screen, name: str, arguments: str, *, cut: bool) -> None:
    screen.line(f"{_mark(screen)} {name}" + (" (cut off)" if cut else ""), "strong")
    _indent(screen, clean(arguments).splitlines())


def _indent(screen: Screen, lines: list[str]) -> None:
    edge = "│" if screen.unicode else "|"
    for line in lines:
        screen.line(f"  {edge} {line}".rstrip(), "dim")


def _pretty(arguments: str) -> str:
    """JSON arguments laid out to be read; anything else as it is."""
    try:
        return json.dumps(json.loads(arguments), indent=2, ensure_ascii=False)
    except ValueError:
        return arguments


def _mark(screen: Screen) -> str:
    return "●" if screen.unicode else "*"


def _kind(item: ResponseItem) -> str:
    return item.raw_type if isinstance(item, UnknownItem) else item.type


def summary_text(result: TurnResult, transcript: str | None = None) -> str:
    """What a run took, on one line, and where its transcript is."""
    parts = [
        _count(result.samples, "turn"),
        _count(result.tool_calls, "tool call") + (f" ({result.denied} denied)" if result.denied else ""),
        f"{result.usage.total:,} tokens ({usage_text(result.usage)})",
        *cost_text(result.cost),
        f"{result.duration_s:.1f} s",
    ]
    text = ", ".join(parts)
    return f"{text}\ntranscript: {transcript}" if transcript else text


def pending_lines(pending: Sequence[PendingCall]) -> list[str]:
    """What a paused run waits for, one call a line."""
    return [
        f"waits for {'a decision' if one.why == 'deferred' else 'its output'}: {one.call.name}  {call_text(one.call)}"
        for one in pending
    ]


def cost_text(cost: Cost | None) -> tuple[str, ...]:
    """The cost and how old its prices are; nothing where it is not known."""
    if cost is None:
        return ()
    return (f"{cost} (list prices of {cost.dated})" if cost.dated else str(cost),)


def usage_text(usage: Usage) -> str:
    """Tokens in and out; what of them was cached or hidden in parentheses."""
    cached = f" ({usage.cache_read:,} cached)" if usage.cache_read else ""
    hidden = f" ({usage.reasoning:,} reasoning)" if usage.reasoning else ""
    return f"{usage.input_total:,} in{cached}, {usage.output_total:,} out{hidden}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
