"""One tool, one answer: whatever somebody else's code does on the way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import anyio
import pytest

from agent_core.approvals import ApprovalRequest
from agent_core.errors import FatalToolError, PatchError, ToolError
from agent_core.prompt import ToolSpec
from agent_core.tools.base import ToolCall, ToolContext, ToolOutput
from agent_core.tools.run import MAX_DESCRIBED_BYTES, Answer, approval_of, run_tool

pytestmark = pytest.mark.anyio

CALL = ToolCall("a", "probe", "{}")
CONTEXT = ToolContext(Path())


class Probe:
    """A tool that does what it is told."""

    read_only = False
    parallel = False
    timeout_s = None
    spec = ToolSpec("probe")

    def __init__(self, behave: Callable[[], object]) -> None:
        self._behave = behave

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return cast("ApprovalRequest | None", self._behave())

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        value = self._behave()
        if isinstance(value, BaseException):
            raise value
        return cast("ToolOutput", value)


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Ours(BaseException):
    """As KeyboardInterrupt, but harmless to a test."""


async def answer_of(behave: Callable[[], object], *, timeout_s: float = 9) -> tuple[Answer, list[Answer]]:
    cancelled: list[Answer] = []
    answer = await run_tool(Probe(behave), CALL, CONTEXT, timeout_s=timeout_s, cancelled=cancelled.append)
    return answer, cancelled


def leave() -> None:
    sys.exit(3)


MISCONDUCT: dict[str, tuple[Callable[[], object], str]] = {
    "raises": (lambda: ValueError("x"), "the tool failed: ValueError: x"),
    "has no words": (Speechless, "the tool failed: Speechless"),
    "exits": (leave, "the tool failed: SystemExit: 3"),
    "returns text": (lambda: "five", "the tool failed: it returned 'str', not a ToolOutput"),
    "returns nothing": (lambda: None, "the tool failed: it returned 'NoneType', not a ToolOutput"),
    "knows a way out": (lambda: ToolError("no such city", remedy="ask for Oslo"), "no such city; ask for Oslo"),
    "knows none": (lambda: ToolError("no such city"), "no such city"),
    "its class's way out is no news": (lambda: PatchError("line 3 differs"), "line 3 differs"),
}


@pytest.mark.parametrize("name", MISCONDUCT)
async def test_what_a_tool_does_wrong_is_told_to_the_model(name: str) -> None:
    """It is the call's failed output, and the turn goes on."""
    behave, text = MISCONDUCT[name]
    answer, cancelled = await answer_of(behave)
    assert (answer.output, answer.outcome, answer.ends_with) == (ToolOutput(text, success=False), "failed", None)
    assert cancelled == []


async def test_an_error_without_end_is_cut() -> None:
    """An exception may hold a whole response body; the model gets its beginning and its end."""
    answer, _ = await answer_of(lambda: ValueError("x" * 10_000_000))
    assert isinstance(answer.output.content, str)
    assert len(answer.output.content) < MAX_DESCRIBED_BYTES + 100


@pytest.mark.parametrize("error", [FatalToolError("disk gone"), Ours("stop")], ids=["fatal", "no Exception"])
async def test_what_ends_the_turn_is_answered_too(error: BaseException) -> None:
    """The answer holds the error; raising it is the dispatcher's, when all calls are answered."""
    answer, _ = await answer_of(lambda: error)
    assert (answer.outcome, answer.ends_with) == ("failed", error)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_of_its_own_is_a_failure(anyio_backend: str) -> None:
    """asyncio: what a tool waited for was cancelled, nobody cancelled the turn. Trio has no such exception."""
    answer, cancelled = await answer_of(anyio.get_cancelled_exc_class())
    text = "the tool failed: something it waited for was cancelled"
    assert (answer.output.content, answer.outcome, cancelled) == (text, "failed", [])


async def test_being_cancelled_is_told_and_goes_on() -> None:
    """What the call is answered with is handed over before the cancellation leaves."""
    told: list[Answer] = []

    class Waits(Probe):
        async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
            scope.cancel()
            await anyio.sleep_forever()
            raise AssertionError

    with anyio.CancelScope() as scope:
        await run_tool(Waits(lambda: None), CALL, CONTEXT, timeout_s=9, cancelled=told.append)
    assert scope.cancelled_caught
    assert [answer.outcome for answer in told] == ["cancelled"]


async def test_a_tool_that_cannot_say_what_it_needs_is_not_run() -> None:
    """An approval rule that raises is no yes."""

    def broken() -> object:
        raise KeyError("rule")

    answer = approval_of(Probe(broken), CALL, CONTEXT)
    text = "not run: the tool failed to say what it needs approval for: KeyError: 'rule'"
    assert answer == Answer(ToolOutput(text, success=False), "not_run")
