"""Running one tool to its one answer: under its timer, and whatever it does on the way.

A tool is somebody else's code. It may raise anything, return anything, call sys.exit, let a cancellation of its own
escape: all of that is an answer for the model. After a FatalToolError, or what is neither an Exception nor SystemExit
(KeyboardInterrupt), the answer names it as what the turn has to end with. Only being cancelled leaves as an exception.
Notes a tool adds to its cancellation (`add_note`: its output so far, what it could not stop) are told to the model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import anyio
from msgspec.structs import replace

from ..approvals import ApprovalRequest, Decision
from ..cancellation import being_cancelled, is_cancellation, lone
from ..errors import FatalToolError, ToolError
from ..redaction import redacted
from .arguments import InvalidArguments
from .base import DEFAULT_RETRIES, Bounded, Outcome, Tool, ToolCall, ToolContext, ToolOutput
from .capture import cut_middle
from .own_task import in_own_task
from .results import bounded

__all__ = ["Answer", "aborted_after", "approval_of", "described", "not_run", "run_tool"]

MAX_DESCRIBED_BYTES = 64 * 1024
"""How much of an exception's own words the model is told."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one call: what the model is told, how that came about, and what the turn has to end with.
    `bad_arguments`: the tool did not take what the model sent, or there is no such tool; `retries`: for how many
    responses in a row that may go on."""

    output: ToolOutput
    outcome: Outcome
    duration_s: float = 0.0
    ends_with: BaseException | None = None
    bad_arguments: bool = False
    retries: int | None = DEFAULT_RETRIES


async def run_tool(
    tool: Tool, call: ToolCall, context: ToolContext, *, timeout_s: float, cancelled: Callable[[Answer], None]
) -> Answer:
    """Run the tool for at most `timeout_s`, not counting what it waits for a person. Raises nothing but cancellation,
    after `cancelled` was told what the call is answered with then."""
    started = time.monotonic()
    output: object = None
    notes = ""
    ends_with: BaseException | None = None
    bad_arguments = False
    try:
        with anyio.move_on_after(timeout_s) as timer:
            try:
                asking = replace(context, ask=_unhurried(context.ask, timer))
                given: object = await in_own_task(partial(tool.run, call, asking))
                output = bounded(given) if isinstance(given, ToolOutput) else given
            except BaseException as error:
                notes = _notes(lone(error)) if is_cancellation(error) else ""
                raise
        if timer.cancelled_caught:
            late = ToolOutput(f"timed out after {timeout_s:g} s{notes}", success=False)
            return Answer(late, "timed_out", time.monotonic() - started)
        text = f"the tool failed: it returned {type(output).__name__!r}, not a ToolOutput"
    except BaseException as error:  # noqa: BLE001  # a tool's bug is told to the model, not to the caller
        only = lone(error)
        if isinstance(only, ToolError):
            text = cut_middle(_told(only), MAX_DESCRIBED_BYTES)[0]
            ends_with = only if isinstance(only, FatalToolError) else None
            bad_arguments = isinstance(only, InvalidArguments)
        elif not is_cancellation(error):
            text = f"the tool failed: {described(only)}"
            ends_with = None if isinstance(error, Exception | SystemExit) else error
        elif being_cancelled():
            cancelled(aborted_after(time.monotonic() - started, notes))
            raise only from None
        else:
            text = "the tool failed: something it waited for was cancelled"
    took = time.monotonic() - started
    if isinstance(output, ToolOutput):
        return Answer(output, "ok" if output.success else "failed", took)
    retries = tool.retries if isinstance(tool, Bounded) else DEFAULT_RETRIES
    return Answer(ToolOutput(text, success=False), "failed", took, ends_with, bad_arguments, retries)


def approval_of(tool: Tool, call: ToolCall, context: ToolContext) -> ApprovalRequest | Answer | None:
    """What the tool asks before it may run; an answer in its place if the tool cannot even say that."""
    try:
        return tool.approval(call, context)
    except Exception as error:  # noqa: BLE001  # what asks no question is not run
        return not_run(f"not run: the tool failed to say what it needs approval for: {described(error)}")


def not_run(text: str) -> Answer:
    """The answer of a call whose tool was never started."""
    return Answer(ToolOutput(text, success=False), "not_run")


def aborted_after(took_s: float, notes: str = "") -> Answer:
    """The answer of a call whose tool was stopped; the words are those models know (codex.md 3.4)."""
    output = ToolOutput(f"aborted by the user after {took_s:.1f} s{notes}", success=False)
    return Answer(output, "cancelled", took_s)


def described(error: BaseException) -> str:
    """An exception's type and words, bounded and without what looks like a secret: libraries put URLs and headers into
    theirs. One that cannot describe itself is its type."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001  # a broken __str__ must not hide what was raised
        words = ""
    name = type(error).__name__
    return f"{name}: {redacted(cut_middle(words, MAX_DESCRIBED_BYTES)[0])}" if words else name


def _unhurried(
    ask: Callable[[ApprovalRequest], Awaitable[Decision]], timer: anyio.CancelScope
) -> Callable[[ApprovalRequest], Awaitable[Decision]]:
    """`ask`, with the timer standing still while somebody thinks about it."""
    asking, left = 0, 0.0

    async def unhurried(request: ApprovalRequest) -> Decision:
        nonlocal asking, left
        if asking == 0:
            left, timer.deadline = timer.deadline - anyio.current_time(), math.inf
        asking += 1
        try:
            return await ask(request)
        finally:
            asking -= 1
            if asking == 0:
                timer.deadline = anyio.current_time() + left

    return unhurried


def _told(error: ToolError) -> str:
    """The message, and the remedy where the tool gave one of its own, or the model is whom it is for."""
    only_message = error.remedy == type(error).default_remedy and not isinstance(error, InvalidArguments)
    return error.message if only_message else f"{error.message}; {error.remedy}"


def _notes(cancellation: BaseException) -> str:
    """What the tool added to its cancellation."""
    notes: Sequence[object] = getattr(cancellation, "__notes__", ())  # PEP 678: there once a note was added
    return cut_middle("".join(f"\n{note}" for note in notes), MAX_DESCRIBED_BYTES)[0]
