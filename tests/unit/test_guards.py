"""Guards: what counts as getting nowhere, and what only looks like it."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from agent_core.approvals import AskPolicy, Decision
from agent_core.events import Response
from agent_core.guards import Guards
from agent_core.items import InputImage, InputText, assistant_message, user_message
from agent_core.limits import Limits
from agent_core.outputs import with_remark
from agent_core.testing.model import ScriptedModel
from agent_core.tools.base import Outcome, ToolCall, ToolOutput
from agent_core.tools.run import Answer
from agent_core.turn_events import SampleFinished, TurnEvent

from .stage import Probe, Stage, call, calls, says

pytestmark = pytest.mark.anyio


def made(arguments: str = "{}", output: str = "x", took_s: float = 0.0) -> tuple[ToolCall, Answer]:
    return ToolCall("id", "f", arguments), Answer(ToolOutput(output), "ok", took_s)


def failed(outcome: Outcome = "failed", exit_code: int | None = None) -> tuple[ToolCall, Answer]:
    metadata = {} if exit_code is None else {"exit_code": exit_code}
    return ToolCall("id", "f", "{}"), Answer(ToolOutput("no", success=False, metadata=metadata), outcome)


def stops(guards: Guards, *batches: Sequence[tuple[ToolCall, Answer]]) -> list[str | None]:
    """Why the run would end after each."""
    said: list[str | None] = []
    for batch in batches:
        guards.take([call for call, _ in batch], [answer for _, answer in batch])
        said.append(guards.stop)
    return said


REPEATS: dict[str, tuple[Sequence[tuple[ToolCall, Answer]], Sequence[tuple[ToolCall, Answer]], bool]] = {
    "the same": ([made()], [made()], True),
    "members in another order": ([made('{"a": 1, "b": 2}')], [made('{"b":2,"a":1}')], True),
    "another number": ([made('{"a": 1}')], [made('{"a": 2}')], False),
    "text that is no JSON": ([made("{a")], [made("{a")], True),
    "other text that is no JSON": ([made("{a")], [made("{b")], False),
    "another result": ([made(output="1 of 9 done")], [made(output="2 of 9 done")], False),
    "another duration": ([made(output="Wall time: 0.1 s\nok")], [made(output="Wall time: 0.2 s\nok")], True),
    "polling, which takes its time": ([made(took_s=5.0)], [made(took_s=5.0)], False),
    "calls in another order": ([made("1"), made("2")], [made("2"), made("1")], True),
    "one call twice": ([made("1"), made("1")], [made("1"), made("2")], False),
    "nested deeper than can be read": ([made("[" * 10**5)], [made("[" * 10**5)], True),
}  # fmt: skip


@pytest.mark.parametrize("name", REPEATS)
async def test_what_is_a_repeat(name: str) -> None:
    """The same calls with the same results, as a multiset."""
    first, second, repeated = REPEATS[name]
    assert stops(Guards(max_repeats=0), first, second) == [None, "repeated" if repeated else None]


FAILURES: dict[str, tuple[Sequence[tuple[ToolCall, Answer]], bool]] = {
    "an error": ([failed()], True),
    "a timeout": ([failed("timed_out")], True),
    "not run": ([failed("not_run")], True),
    "a command that ran: its tests fail": ([failed(exit_code=1)], False),
    "one of two": ([failed(), made()], False),
    "denied": ([failed("denied")], False),
    "denied, and an error": ([failed("denied"), failed()], True),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_what_is_a_failure(name: str) -> None:
    """Of every call, and of the call itself."""
    batch, fails = FAILURES[name]
    assert stops(Guards(max_failed=0), batch) == ["all_failed" if fails else None]


async def test_a_denial_does_not_begin_anew() -> None:
    """It is neither a failure nor a success."""
    assert stops(Guards(max_failed=1), [failed()], [failed("denied")], [failed()]) == [None, None, "all_failed"]


async def test_neither_guard_is_on_without_a_number() -> None:
    """None never stops."""
    assert stops(Guards(), *[[failed()]] * 50) == [None] * 50


async def test_the_model_is_told_once_per_row() -> None:
    """When the limit is met; after something else, counting begins again."""
    guards = Guards(max_repeats=2)
    batches = [made()] * 3 + [made("1")] + [made()] * 3
    told = [guards.take([call], [answer]) for call, answer in batches]
    assert [bool(text) for text in told] == [False, False, True, False, False, False, True]
    assert told[2] == "[the same calls with the same results as before: 2 in a row; one more ends the run]"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text", "text\n[x]"),
        ("", "[x]"),
        ((InputImage(image_url="data:,"),), (InputImage(image_url="data:,"), InputText(text="[x]"))),
    ],
)
async def test_a_remark_stands_behind_any_output(content: str | tuple[InputImage], told: object) -> None:
    """Whatever it is made of."""
    assert with_remark(ToolOutput(content), "[x]").content == told


async def test_tests_that_fail_over_and_over_end_no_run() -> None:
    """A command that ends with an exit code has run; its results differ."""

    def run_tests(call: ToolCall) -> ToolOutput:
        return ToolOutput(f"{call.arguments} failed", success=False, metadata={"exit_code": 1})

    answers = [calls(call(f"c{n}", arguments=str(n))) for n in range(30)]
    stage = Stage(ScriptedModel(*answers, says("fixed")), [Probe(behave=run_tests)])
    assert await stage.run() == "completed"


async def test_the_same_denied_call_over_and_over_ends_the_run() -> None:
    """Whoever says no is not asked for ever."""
    never = AskPolicy(lambda request: Decision("denied"))
    stage = Stage(ScriptedModel(*(calls(call(f"c{n}")) for n in range(9))), [Probe(asks=True)], approvals=never)
    assert await stage.run() == "repeated"
    assert len(stage.outputs) == 6


async def test_who_steers_is_heard_before_a_guard_ends_the_run() -> None:
    """What the user says is worth another request."""
    limits = Limits(max_repeats=0)
    stage = Stage(ScriptedModel(calls(call("a")), calls(call("b")), says("ok")), [Probe()], limits=limits)

    def steer(event: TurnEvent) -> None:
        if isinstance(event, SampleFinished) and event.number == 2:
            stage.steered = [user_message("try this")]

    stage.on_event = steer
    assert await stage.run() == "completed"


ENDED: dict[str, tuple[Response, str]] = {
    "the last answer": (says("done"), "completed"),
    "a refusal": (Response(items=(assistant_message("no"),), finish_reason="refusal"), "refusal"),
    "an answer cut short": (Response(finish_reason="length"), "length"),
    "an answer with calls": (calls(call("a")), "deadline"),
    "a pause of the provider's": (Response(finish_reason="pause"), "deadline"),
}


@pytest.mark.parametrize("name", ENDED)
async def test_a_deadline_does_not_unsay_the_last_answer(name: str) -> None:
    """S0-62: it runs out while the watcher is told of the answer: whole is whole, and a limit is not why it ended."""
    response, stop = ENDED[name]
    limits = Limits(deadline_s=0.05)
    stage = Stage(ScriptedModel(response), [Probe()], limits=limits)
    stage.stuck_at = SampleFinished
    with anyio.fail_after(5):
        assert await stage.run() == stop
    stage.assert_every_call_is_answered_once()
