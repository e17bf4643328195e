"""The tools of one response: which overlap, which wait, and in what order they are answered. In virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import pytest

from agent_core.approvals import ApprovalRequest, AskPolicy, Decision
from agent_core.events import Completed, Created, OutputItemDone
from agent_core.testing.model import ScriptedEvent, ScriptedModel
from agent_core.tools import Tool, ToolContext, tool
from agent_core.turn_events import ToolFinished, ToolProgress, ToolStarted, TurnEvent

from ..virtual_time import anyio_backend
from .stage import Stage, call, calls, says

__all__ = ["anyio_backend"]

pytestmark = pytest.mark.anyio


@dataclass
class Clock:
    """When each call began and ended, in seconds after the first."""

    begins: dict[str, float] = field(default_factory=dict[str, float])
    ends: dict[str, float] = field(default_factory=dict[str, float])
    zero: float | None = None

    def __call__(self, event: TurnEvent) -> None:
        if not isinstance(event, ToolStarted | ToolFinished):
            return
        self.zero = anyio.current_time() if self.zero is None else self.zero
        times = self.begins if isinstance(event, ToolStarted) else self.ends
        times[event.call.call_id] = round(anyio.current_time() - self.zero, 3)

    def spans(self, ids: str) -> list[tuple[float, float]]:
        return [(self.begins[call_id], self.ends[call_id]) for call_id in ids]


async def second() -> str:
    await anyio.sleep(1)
    return "done"


read = tool(name="read", read_only=True)(second)
write = tool(name="write")(second)
two = tool(name="two", parallel=True, concurrency=2)(second)


async def staged(tools: list[Tool], names: list[str]) -> tuple[Stage, Clock]:
    clock = Clock()
    made = [call("abcdefghij"[n], name) for n, name in enumerate(names)]
    stage = Stage(ScriptedModel(calls(*made), says("done")), tools, on_event=clock)
    await stage.run()
    stage.assert_every_call_is_answered_once()
    return stage, clock


async def test_eight_reading_tools_take_as_long_as_one() -> None:
    """Each takes a second; together they take one."""
    _, clock = await staged([read], ["read"] * 8)
    assert clock.spans("abcdefgh") == [(0, 1)] * 8


async def test_an_exclusive_tool_runs_alone_between_them() -> None:
    """It begins when all before it have ended, and what comes after it waits for it; answers stand in call order."""
    stage, clock = await staged([read, write], ["read", "read", "read", "write", "read", "read"])
    assert clock.spans("abcdef") == [(0, 1)] * 3 + [(1, 2)] + [(2, 3)] * 2
    assert [call_id for call_id, _ in stage.outputs] == list("abcdef")


async def test_a_tool_bounds_its_own_calls() -> None:
    """`concurrency=2`: of five calls two are at work at a time; the others are not begun, and their time has not."""
    _, clock = await staged([two, read], ["two", "two", "two", "two", "two", "read"])
    assert sorted(clock.spans("abcde")) == [(0, 1), (0, 1), (1, 2), (1, 2), (2, 3)]
    assert clock.spans("f") == [(0, 1)]


async def test_answers_stand_in_call_order_whoever_is_first() -> None:
    """The first call takes longest; the session has it first all the same."""

    @tool(read_only=True)
    async def wait(seconds: int) -> int:
        await anyio.sleep(seconds)
        return seconds

    made = [call(str(n), "wait", f'{{"seconds": {n}}}') for n in (3, 1, 2)]
    stage = Stage(ScriptedModel(calls(*made), says("done")), [wait])
    await stage.run()
    assert [e.call.call_id for e in stage.seen if isinstance(e, ToolFinished)] == ["1", "2", "3"]
    assert stage.outputs == [("3", "3"), ("1", "1"), ("2", "2")]


async def test_reading_tools_work_while_the_response_streams() -> None:
    """By the time the response is complete the tool has its result: the turn takes no longer than the stream."""
    clock, held = Clock(), anyio.Event()
    item = call("a", "read")
    stream: list[ScriptedEvent] = [Created("r"), OutputItemDone(0, item), held, Completed("r", "m", "tool_calls")]

    def watch(event: TurnEvent) -> None:
        clock(event)
        if isinstance(event, OutputItemDone):
            tasks.start_soon(finish)

    async def finish() -> None:
        await anyio.sleep(2)
        held.set()

    stage = Stage(ScriptedModel(stream, says("done")), [read], on_event=watch)
    async with anyio.create_task_group() as tasks:
        await stage.run()
    assert (clock.spans("a"), stage.outputs) == ([(0, 2)], [("a", "done")])
    seen = [type(event).__name__ for event in stage.seen]
    assert seen.index("ToolStarted") < seen.index("Completed") < seen.index("ToolFinished")


async def test_a_reading_tool_does_not_overtake_what_runs_alone() -> None:
    """It comes after a write, so it must see what that did: it is not started early, however early it is known."""
    _, clock = await staged([read, write], ["read", "write", "read"])
    assert clock.spans("abc") == [(0, 1), (1, 2), (2, 3)]


# asking in the middle of the work


def asking(timeout_s: float | None = None) -> Tool:
    @tool(timeout_s=timeout_s)
    async def deploy(context: ToolContext) -> str:
        decision = await context.approve("restart the server", risk="network")
        return "restarted" if decision.approved else f"left alone: {decision.reason}"

    return deploy


async def test_a_tool_asks_in_the_middle_of_its_work() -> None:
    """The policy sees which tool asks for what; the tool gets the answer, and its timer stood still meanwhile."""
    seen: list[ApprovalRequest] = []

    async def think(request: ApprovalRequest) -> bool:
        seen.append(request)
        await anyio.sleep(3600)
        return True

    stage = Stage(ScriptedModel(calls(call("a", "deploy")), says("done")), [asking(1)], approvals=AskPolicy(think))
    await stage.run()
    assert stage.outputs == [("a", "restarted")]
    asked = seen[0]
    assert (asked.tool, asked.call_id, asked.summary, asked.risk) == ("deploy", "a", "restart the server", "network")


async def test_nobody_there_is_a_no() -> None:
    """The default policy denies, and the tool is told why."""
    stage = Stage(ScriptedModel(calls(call("a", "deploy")), says("done")), [asking()])
    await stage.run()
    assert stage.outputs == [("a", "left alone: this run does not allow actions that need approval")]


async def test_an_abort_to_a_tool_ends_the_turn() -> None:
    """The tool ends as it likes; what comes after it is not run."""
    policy = AskPolicy(lambda request: Decision("abort", "stop"))
    stage = Stage(ScriptedModel(calls(call("a", "deploy"), call("b", "write"))), [asking(), write], approvals=policy)
    assert await stage.run() == "aborted"
    assert stage.outputs == [("a", "left alone: stop"), ("b", "not run: the turn was stopped by the user")]


async def test_parallel_tools_are_asked_about_one_at_a_time() -> None:
    """A person sees one question, then the next."""
    open_questions: list[int] = []

    async def think(request: ApprovalRequest) -> bool:
        open_questions.append(len(open_questions))
        await anyio.sleep(1)
        assert open_questions.pop() == 0
        return True

    @tool(parallel=True)
    async def deploy(context: ToolContext) -> bool:
        return (await context.approve("go")).approved

    made = [call(call_id, "deploy") for call_id in "abc"]
    stage = Stage(ScriptedModel(calls(*made), says("done")), [deploy], approvals=AskPolicy(think))
    await stage.run()
    assert stage.outputs == [("a", "true"), ("b", "true"), ("c", "true")]


async def test_progress_is_bounded() -> None:
    """A piece of ten megabytes is shown as its beginning and its end."""

    @tool
    async def shout(context: ToolContext) -> None:
        await context.emit("x" * 10_000_000)

    stage = Stage(ScriptedModel(calls(call("a", "shout")), says("done")), [shout])
    await stage.run()
    assert [len(e.delta) < 70_000 for e in stage.seen if isinstance(e, ToolProgress)] == [True]
