"""How a turn ends before its time: by a cancel or an error at any layer. Every call is answered, and truthfully."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from agent_core.approvals import ApprovalRequest, AskPolicy
from agent_core.errors import RateLimitError, SessionError, StreamInterrupted
from agent_core.events import Completed, OutputItemAdded, OutputItemDone
from agent_core.items import FunctionCallOutput, Message, ResponseItem, text_of, user_message
from agent_core.prompt import Prompt
from agent_core.retry import Tries
from agent_core.session import Session
from agent_core.testing.model import ScriptedEvent, ScriptedModel, ScriptedStream
from agent_core.tools.base import ToolCall, ToolContext, ToolOutput
from agent_core.turn_events import (
    ApprovalRequested,
    SampleFinished,
    SampleStarted,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    TurnEvent,
)

from .stage import Probe, Stage, call, calls, says

pytestmark = pytest.mark.anyio


async def cancelled_at(stage: Stage, kind: type[TurnEvent]) -> bool:
    """Runs the stage in a scope that the first event of that kind cancels; whether the cancel came through."""
    with anyio.CancelScope() as scope:
        stage.on_event = lambda event: scope.cancel() if isinstance(event, kind) else None
        await stage.run()
    stage.on_event = lambda event: None
    return scope.cancelled_caught


def outcomes(stage: Stage) -> list[tuple[str, str]]:
    return [(event.call.call_id, event.outcome) for event in stage.seen if isinstance(event, ToolFinished)]


def words(stage: Stage) -> list[str]:
    return [text_of(item) for item in stage.session.items if isinstance(item, Message)]


async def test_every_call_of_a_cancelled_turn_is_told() -> None:
    """The watcher gets one ToolFinished for the call that ran and one for each that did not, as the session says."""
    stage = Stage(ScriptedModel(calls(call("a"), call("b"), call("c"))), [Probe(blocks=True)])
    assert await cancelled_at(stage, ToolProgress)
    assert outcomes(stage) == [("a", "cancelled"), ("b", "not_run"), ("c", "not_run")]
    assert [text[:10] for _, text in stage.outputs] == ["aborted by", "not run: t", "not run: t"]


async def test_a_response_that_was_whole_is_kept_whole() -> None:
    """Cancelled right after it: its calls are in the session, answered and not run."""
    stage, probe = Stage(ScriptedModel(calls(call("a"), call("b")))), Probe()
    stage.tools = [probe]
    assert await cancelled_at(stage, SampleFinished)
    assert (probe.runs, outcomes(stage)) == ([], [("a", "not_run"), ("b", "not_run")])
    stage.assert_every_call_is_answered_once()


class SlowToClose(ScriptedModel):
    """Its stream takes a while to close, as one that waits for the last bytes of a body."""

    @asynccontextmanager
    async def stream(self, prompt: Prompt, *, tries: Tries | None = None) -> AsyncGenerator[ScriptedStream, None]:
        async with super().stream(prompt, tries=tries) as events:
            yield events
            await anyio.sleep_forever()


async def test_a_response_is_kept_while_its_stream_closes() -> None:
    """Nothing of a whole answer is lost to a cancel that comes before the connection is given back."""
    stage = Stage(SlowToClose(says("all of it")))
    assert await cancelled_at(stage, Completed)
    assert words(stage) == ["go", "all of it"]
    assert stage.state.usage.total == 11


async def think(request: ApprovalRequest) -> bool:
    await anyio.sleep_forever()
    return True


@pytest.mark.parametrize("done", [True, False])
async def test_a_tool_that_was_started_early_is_answered_with_the_truth(done: bool) -> None:
    """Cancelled before the loop came to its call: its answer if it has one, else that it was stopped, not "not run"."""
    look = Probe("look", read_only=True, parallel=True, blocks=not done)
    asks = Probe("asks", parallel=True, asks=True)
    stage = Stage(ScriptedModel(calls(call("a", "asks"), call("l", "look"))), [asks, look], approvals=AskPolicy(think))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stage.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert dict(outcomes(stage)) == {"a": "not_run", "l": "ok" if done else "cancelled"}
    stage.assert_every_call_is_answered_once()


async def test_a_cancel_that_is_on_its_way_comes_before_the_tool() -> None:
    """A tool with side effects is not begun once the turn was told to stop."""
    probe = Probe()
    stage = Stage(ScriptedModel(calls(call("a"))), [probe])
    assert await cancelled_at(stage, ToolStarted) is True
    assert probe.runs == ["a"]  # ToolStarted is too late: it says that the tool runs
    second = Stage(ScriptedModel(calls(call("a"))), [probe])
    assert await cancelled_at(second, SampleFinished) is True
    assert probe.runs == ["a"]


class Noting(Probe):
    """Says on its way out what a person would want to know."""

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        try:
            return await super().run(call, context)
        except anyio.get_cancelled_exc_class() as cancelled:
            cancelled.add_note("two of three files were written")
            raise


@pytest.mark.parametrize("timeout_s", [None, 0.01])
async def test_a_tool_may_say_what_it_leaves_behind(timeout_s: float | None) -> None:
    """Notes on its cancellation are told to the model, whether a cancel or its time limit ended it."""
    stage = Stage(ScriptedModel(calls(call("a")), says("ok")), [Noting(blocks=True, timeout_s=timeout_s)])
    if timeout_s is None:
        assert await cancelled_at(stage, ToolProgress)
    else:
        await stage.run()
    assert stage.outputs[0][1].splitlines()[1:] == ["two of three files were written"]


async def test_what_the_user_said_is_in_the_session_whatever_happens() -> None:
    """Cancelled while the calls of an earlier turn are answered: those are closed, and the words come after them."""
    session = Session(items=[user_message("old"), call("a")])
    stage = Stage(ScriptedModel(), [Probe(blocks=True)], session)
    assert await cancelled_at(stage, ToolProgress)
    assert [item.type for item in session.items] == ["message", "function_call", "function_call_output", "message"]
    assert words(stage) == ["old", "go"]


async def test_an_approval_is_released() -> None:
    """Whoever waits for a person is cancelled with the turn, and the call is not run."""
    released: list[str] = []

    async def ask(request: ApprovalRequest) -> bool:
        try:
            await anyio.sleep_forever()
        finally:
            released.append(request.call_id)
        raise AssertionError

    stage = Stage(ScriptedModel(calls(call("a"))), [Probe(asks=True)], approvals=AskPolicy(ask))
    assert await cancelled_at(stage, ApprovalRequested)
    assert (released, outcomes(stage)) == (["a"], [("a", "not_run")])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_policy_may_wait_for_something_that_is_cancelled(anyio_backend: str) -> None:
    """A dialog that was closed is no cancel of the turn, and no yes."""

    async def ask(request: ApprovalRequest) -> bool:
        dialog: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        dialog.cancel()
        return await dialog

    stage = Stage(ScriptedModel(calls(call("a"))), [Probe(asks=True)], approvals=AskPolicy(ask))
    assert await stage.run() == "aborted"
    told = "denied: the approval policy failed: something it waited for was cancelled"
    assert stage.outputs == [("a", told)]


class Ours(BaseException):
    """As KeyboardInterrupt, but harmless to a test."""


def _raise(error: BaseException) -> bool:
    raise error


class Full(Session):
    """A session whose disk is full after so many items."""

    def __init__(self, room: int) -> None:
        self.room = room
        super().__init__()

    def append(self, *items: ResponseItem) -> tuple[ResponseItem, ...]:
        if len(self.items) + len(items) > self.room:
            raise SessionError("no space left on device")
        return super().append(*items)


FAILURES: dict[str, tuple[Callable[[Stage], None], type[BaseException]]] = {
    "the watcher, before the request": (lambda s: _watch(s, SampleStarted), Ours),
    "the watcher, before the tools": (lambda s: _watch(s, SampleFinished), Ours),
    "the watcher, before a tool": (lambda s: _watch(s, ToolStarted), Ours),
    "the watcher, in a tool": (lambda s: _watch(s, ToolProgress), Ours),
    "the watcher, after a tool": (lambda s: _watch(s, ToolFinished), Ours),
    "the policy, by leaving": (lambda s: _policy(s, Ours()), Ours),
    "a tool": (lambda s: _tool(s, Ours()), Ours),
    "the session, at the answer": (lambda s: _full(s, 1), SessionError),
    "the session, at an output": (lambda s: _full(s, 3), SessionError),
    "the session, at the next output": (lambda s: _full(s, 4), SessionError),
    "the model, after the tools": (lambda s: _model(s), RateLimitError),
}


def _watch(stage: Stage, kind: type[TurnEvent]) -> None:
    def fail(event: TurnEvent) -> None:
        if isinstance(event, kind):
            stage.on_event = lambda event: None
            raise Ours

    stage.on_event = fail


def _policy(stage: Stage, error: BaseException) -> None:
    stage.approvals = AskPolicy(lambda request: _raise(error))
    stage.tools = [Probe(asks=True)]


def _tool(stage: Stage, error: BaseException) -> None:
    stage.tools = [Probe(behave=lambda call: error)]


def _full(stage: Stage, room: int) -> None:
    stage.session = Full(room)


def _model(stage: Stage) -> None:
    stage.model = ScriptedModel(calls(call("a"), call("b")), RateLimitError("slow down", status=429), says("ok"))


@pytest.mark.parametrize("parallel", [True, False], ids=["parallel", "alone"])
@pytest.mark.parametrize("name", FAILURES)
async def test_an_error_at_any_layer_leaves_a_history_one_can_go_on_from(name: str, parallel: bool) -> None:
    """It leaves alone, as itself; then the next turn works, every call has one output, and no tool has run twice."""
    arrange, kind = FAILURES[name]
    probe = Probe(parallel=parallel)
    stage = Stage(ScriptedModel(calls(call("a"), call("b")), says("ok"), says("ok"), says("ok")), [probe])
    arrange(stage)
    with pytest.raises(kind):
        await stage.run()
    if isinstance(stage.session, Full):
        stage.session.room = 99
    stage.tools = [Probe(parallel=parallel, runs=probe.runs)]
    stage.model = ScriptedModel(says("and on"))
    assert await stage.run("next") == "completed"
    stage.assert_every_call_is_answered_once()
    assert len(probe.runs) == len(set(probe.runs))


@pytest.mark.parametrize(("read_only", "said"), [(False, True), (True, False)])
async def test_errors_say_whether_something_was_done(read_only: bool, said: bool) -> None:
    """X-S1-20: `side_effects_started` is about the turn: whoever begins it again would do it again."""
    error = RateLimitError("slow down", status=429)
    probe = Probe(read_only=read_only)
    stage = Stage(ScriptedModel(RateLimitError("first", status=429), calls(call("a")), error), [probe])
    with pytest.raises(RateLimitError, match="first") as caught:
        await stage.run()
    assert caught.value.side_effects_started is False
    with pytest.raises(RateLimitError, match="slow"):
        await stage.run()
    assert error.side_effects_started is said


async def test_an_interrupt_in_a_tool_nobody_waits_for_is_not_lost() -> None:
    """The stream broke, what was started early is dropped; what is no mere Exception still ends the turn."""
    item = call("a")
    raised = anyio.Event()

    def interrupt(call: ToolCall) -> BaseException:
        raised.set()
        return Ours()

    broken: list[ScriptedEvent] = [OutputItemAdded(0, item), OutputItemDone(0, item), raised, StreamInterrupted("cut")]
    stage = Stage(ScriptedModel(broken, says("ok")), [Probe(behave=interrupt, read_only=True, parallel=True)])
    with pytest.raises(Ours):
        await stage.run()


async def test_an_output_is_taken_once() -> None:
    """Its id follows from its call's: a second answer to the same call is no second output."""
    stage = Stage(ScriptedModel(calls(call("a")), says("ok")), [Probe()])
    await stage.run()
    made, output = stage.session.items[1:3]
    assert isinstance(output, FunctionCallOutput)
    assert made.id is not None
    assert output.id == "fco_" + made.id.removeprefix("fc_")
    assert stage.session.append(output.model_copy(update={"output": "again"})) == ()


async def test_a_response_has_the_ids_of_the_session() -> None:
    """Watchers can tell its items from others."""
    stage = Stage(ScriptedModel(says("one")))
    await stage.run()
    (finished,) = [event for event in stage.seen if isinstance(event, SampleFinished)]
    assert finished.response.items == stage.session.items[1:]
