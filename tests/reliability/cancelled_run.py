"""One scripted run that has everything in it, and a judge of what is left when it was stopped in the middle.

1  two reading tools at once, then one with a side effect, alone
2  breaks off and is sampled again; a shell command with children in and out of its group
3  two calls that a person approves, then run at once; a function in a thread
4  tools with side effects only, one after another
5  ends early, and is sampled again
6  more of all of these
7  one more
8  the answer; but steering keeps the turn going
9  the last answer
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import anyio
import anyio.lowlevel

from agent_core import Agent, AskPolicy, Prompt, RetryPolicy, Session, tool
from agent_core.approvals import ApprovalRequest
from agent_core.items import FunctionCall, FunctionCallOutput, Message, WireName, text_of
from agent_core.testing import Call, RehearsalServer, Step, last_user_text
from agent_core.testing.scripts import answers_in
from agent_core.tools import Shell
from agent_core.turn import Turn
from agent_core.turn_events import SampleStarted, ToolFinished, TurnEvent, TurnFinished

from ..process_marks import ProcessMark
from .await_points import Points

How = Literal["turn", "scope", "task", "task_often", "run_in_scope", "run_in_task"]
"""Who cancels: `turn.cancel()`, a scope around the block, asyncio's `task.cancel()` (once, or at each of ten points),
and a scope or asyncio around `agent.run`, which nobody reads."""

ON_TRIO: tuple[How, ...] = ("turn", "scope", "run_in_scope")
ON_ASYNCIO: tuple[How, ...] = get_args(How)

FAMILY = "sleep 60 > /dev/null 2>&1 & setsid sleep 60 > /dev/null 2>&1 & echo on; kill $!"


def _look(*at: int) -> tuple[Call, ...]:
    return tuple(Call("look", {"at": n}, f"look{n}") for n in at)


def _do(tool: str, *what: str) -> tuple[Call, ...]:
    return tuple(Call(tool, {"what": word}, f"{tool}_{word}") for word in what)


STEPS = (
    Step(reasoning="where to begin", text="let me look", calls=(*_look(1, 2), *_do("note", "a"))),
    Step(
        text="now the shell, please",
        calls=(Call("shell", {"command": FAMILY}, "shell1"), *_do("note", "b")),
        failures=(Step(text="now the shell, please", cut_after_events=4),),
    ),
    Step(calls=(*_do("wipe", "c", "d"), Call("reckon", {"n": 3}, "reckon3"))),
    Step(reasoning="and now", calls=_do("note", "e", "f", "g")),
    Step(text="again", calls=_do("note", "h"), failures=(Step(text="again", cut_after_events=3, cut="truncate"),)),
    Step(text="nearly there", calls=(*_look(4, 5, 6), *_do("wipe", "i", "j"), *_do("note", "k"))),
    Step(calls=_do("note", "l")),
    Step(text="done with it"),
    Step(text="and with that too"),
)


def script(prompt: Prompt) -> Step:
    """The step that is due in the run; a word for whatever is said after it."""
    if last_user_text(prompt).endswith("next"):  # Messages has no two user messages in a row
        return Step(text="fine")
    return STEPS[answers_in(prompt.items)]


@dataclass
class Stopped:
    """One run, stopped at a point, and what was seen of it."""

    points: Points
    session: Session
    mark: ProcessMark
    done: list[str] = field(default_factory=list[str])
    events: list[TurnEvent] = field(default_factory=list[TurnEvent])
    stop_reason: str = ""
    answer: str = ""


class Runner:
    """Runs it again and again against one server. `folder` is for sessions."""

    def __init__(self, server: RehearsalServer, folder: Path, wire: WireName = "chat") -> None:
        self._server = server
        self._folder = folder
        self._wire: WireName = wire
        self._count = 0

    def run(self, backend: str, how: How, n: int) -> Stopped:
        """Stopped at point n (0: not at all), judged, and gone on with."""
        self._count += 1
        path = self._folder / f"{self._count}.jsonl"
        cancels: list[Callable[[], object]] = []
        points = Points(n, lambda: cancels[0](), times=10 if how == "task_often" else 1)
        with Session.create(path, fsync="never") as session:
            stopped = Stopped(points, session, ProcessMark())
            fds = len(os.listdir("/proc/self/fd"))
            anyio.run(self._live, stopped, how, cancels, backend=backend, backend_options=points.options(backend))
            judge(stopped)
            assert Session.read(path).items == session.items
        assert stopped.mark.gone_within(1)
        _wait_for(lambda: len(os.listdir("/proc/self/fd")) <= fds)
        return stopped

    async def _live(self, stopped: Stopped, how: How, cancels: list[Callable[[], object]]) -> None:
        tasks = _tasks()
        agent = self._agent(stopped)
        turn = agent.stream("go")
        async with _interrupted(how, turn, cancels):
            with stopped.points.counting():
                if how.startswith("run"):
                    stopped.stop_reason = (await agent.run("go")).stop_reason
                else:
                    await _read(turn, stopped)
        if not how.startswith("run"):
            stopped.stop_reason = turn.result.stop_reason
        assert stopped.session.open_calls() == ()
        stopped.answer = await agent.ask("next")
        assert _tasks() == tasks

    def _agent(self, stopped: Stopped) -> Agent:
        done = stopped.done

        async def approve(request: ApprovalRequest) -> bool:
            await anyio.lowlevel.checkpoint()
            return True

        @tool(read_only=True)
        async def look(at: int) -> str:
            """Look at something."""
            await anyio.lowlevel.checkpoint()
            return f"seen {at}"

        @tool
        async def note(what: str) -> str:
            """Note something."""
            done.append(what)
            await anyio.lowlevel.checkpoint()
            return f"noted {what}"

        @tool(approval=True, parallel=True)
        async def wipe(what: str) -> str:
            """Wipe something."""
            done.append(what)
            await anyio.lowlevel.checkpoint()
            return f"wiped {what}"

        @tool
        def reckon(n: int) -> str:
            """Reckon, in a thread."""
            return str(n * n)

        return Agent(
            "lab/any",
            provider=self._server.provider,
            wire=self._wire,
            tools=[look, note, wipe, reckon, Shell(env=stopped.mark.env)],
            session=stopped.session,
            approvals=AskPolicy(approve),
            retry=RetryPolicy(base_delay_s=0, max_delay_s=0, jitter_s=0),
        )


@asynccontextmanager
async def _interrupted(how: How, turn: Turn, cancels: list[Callable[[], object]]) -> AsyncGenerator[None]:
    """Where the cancel goes that is called at the point, and where it ends."""
    with anyio.CancelScope() as scope:
        if how == "turn":
            cancels.append(turn.cancel)
            yield
        elif how in ("scope", "run_in_scope"):
            cancels.append(scope.cancel)
            yield
        else:
            task = asyncio.current_task()
            assert task is not None
            cancels.append(task.cancel)
            with suppress(asyncio.CancelledError):
                yield
            while task.cancelling():
                task.uncancel()


async def _read(turn: Turn, stopped: Stopped) -> None:
    steered = False
    async with turn:
        async for event in turn:
            stopped.events.append(event)
            if not steered and isinstance(event, SampleStarted) and event.number == 8:
                turn.steer("and that too")
                steered = True


def _tasks() -> int:
    """How many tasks there are, of any kind."""
    if anyio.get_cancelled_exc_class() is not asyncio.CancelledError:
        import trio

        return trio.lowlevel.current_statistics().tasks_living
    return len(asyncio.all_tasks())


def _wait_for(true: Callable[[], bool]) -> None:
    """What other threads are about to do."""
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


# --- judging ----------------------------------------------------------------------------------------------------------


def judge(stopped: Stopped) -> None:
    """The history can be gone on from and was, and what it says of each tool is true."""
    where = stopped.points.fired
    assert stopped.answer == "fine", where
    assert stopped.stop_reason == "completed" or (where and stopped.stop_reason in ("cancelled", "")), where
    items = stopped.session.items
    said = [text_of(item) for item in items if isinstance(item, Message) and item.role == "user"]
    assert (said[0], said.count("go"), said[-1]) == ("go", 1, "next"), where
    calls = [item for item in items if isinstance(item, FunctionCall)]
    outputs = [(item.call_id, str(item.output)) for item in items if isinstance(item, FunctionCallOutput)]
    assert [call_id for call_id, _ in outputs] == [call.call_id for call in calls], where
    assert len(stopped.done) == len(set(stopped.done)), where
    for call in calls:
        told, what = dict(outputs)[call.call_id], json.loads(call.arguments).get("what")
        ran = told.startswith(("noted", "wiped", "aborted by the user"))
        assert what is None or ran == (what in stopped.done), f"{where}: {told}"
    if stopped.events and isinstance(stopped.events[-1], TurnFinished):
        finished = [event.call.call_id for event in stopped.events if isinstance(event, ToolFinished)]
        assert sorted(finished) == sorted(call.call_id for call in calls), where
