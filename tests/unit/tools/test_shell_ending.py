"""A command that is stopped takes everything with it that it started, however far that has gone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from agent_core.tools import Shell, ToolContext, ToolOutput
from agent_core.tools.run import Answer, run_tool

from ...process_marks import ProcessMark
from .calls import call

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="strays are found where there is a /proc"),
]

STUBBORN = "trap '' TERM; echo up; while :; do sleep 100; done"
FAMILIES: dict[str, str] = {
    "children": "sleep 100 & sleep 100 & echo up; wait",
    "a grandchild": "bash -c 'bash -c \"sleep 100; :\"; :' & echo up; wait",
    "one that is stopped": "sleep 100 & kill -STOP $!; echo up; wait",
    "a session of its own": "setsid sleep 100 & echo up; wait",
    "a session of its own that ignores TERM": "setsid bash -c \"trap '' TERM; sleep 100; sleep 100\" & echo up; wait",
    "a daemon": "(setsid bash -c 'sleep 100 & exit' > /dev/null 2>&1 &); sleep 0.1; echo up; sleep 100",
    "one that flees from TERM": "trap 'setsid sleep 100 & setsid sleep 9 &' TERM; echo up; while :; do sleep 0.1; done",
}


async def started(mark: ProcessMark, command: str, stop: Callable[[], Awaitable[None]], cwd: Path) -> list[Answer]:
    """Runs the command and `stop`s it once it is up; what it was answered with when it was cancelled."""
    answers: list[Answer] = []
    up = anyio.Event()

    async def emit(text: str) -> None:
        if "up" in text:
            up.set()

    async def run() -> None:
        context = ToolContext(cwd, emit=emit)
        asked = call("shell", {"command": command})
        await run_tool(Shell(env=mark.env), asked, context, timeout_s=60, cancelled=answers.append)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await up.wait()
            assert mark.running()
            await stop()
            tasks.cancel_scope.cancel()
    return answers


async def nothing_more() -> None:
    """The cancel of the scope is all there is."""


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_cancel_ends_the_whole_family(family: str, tmp_path: Path) -> None:
    """Nothing of it runs any more, and the model is told what it wrote until then."""
    mark = ProcessMark()
    (answer,) = await started(mark, FAMILIES[family], nothing_more, tmp_path)
    assert mark.gone_within(0.5)
    head, note, said = str(answer.output.content).splitlines()
    assert (head.startswith("aborted by the user after"), note, said) == (True, "Output until then:", "up")


async def test_so_does_its_time_limit(tmp_path: Path) -> None:
    """The same for a command that took too long."""
    mark = ProcessMark()
    asked = call("shell", {"command": FAMILIES["a session of its own"], "timeout_ms": 200})
    output: ToolOutput = await Shell(env=mark.env, drain_s=0.1).run(asked, ToolContext(tmp_path))
    assert (output.metadata["timed_out"], mark.gone_within(0.5)) == (True, True)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelled_by_asyncio_again_and_again(anyio_backend: str, tmp_path: Path) -> None:
    """`task.cancel()` knows no shields: repeated while a command that ignores TERM is ended, it interrupts nothing."""
    mark, up = ProcessMark(), anyio.Event()

    async def emit(text: str) -> None:
        up.set()

    asked = call("shell", {"command": STUBBORN})
    task = asyncio.create_task(Shell(env=mark.env).run(asked, ToolContext(tmp_path, emit=emit)))
    await up.wait()
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.05)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert mark.running() == []


async def test_a_daemon_outlives_a_command_that_ends_by_itself(tmp_path: Path) -> None:
    """What a command set going on purpose goes on: only stopping the command stops it."""
    mark = ProcessMark()
    daemon = "setsid bash -c 'touch up; sleep 2; :' > /dev/null 2>&1 & while [ ! -e up ]; do sleep 0.01; done"
    asked = call("shell", {"command": daemon})
    output = await Shell(env=mark.env).run(asked, ToolContext(tmp_path))
    assert (output.success, bool(mark.running())) == (True, True)


async def test_the_dead_are_not_waited_for(tmp_path: Path) -> None:
    """A background child that was ended and that its new parent has not reaped yet costs no grace."""
    asked = call("shell", {"command": "sleep 100 > /dev/null 2>&1 & echo on"})
    output = await Shell().run(asked, ToolContext(tmp_path))
    took = output.metadata["duration_s"]
    assert isinstance(took, float)
    assert took < 0.4
