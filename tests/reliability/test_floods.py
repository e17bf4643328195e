"""Commands that print without end and leave daemons behind: answered, in bounded memory, and nothing is left."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import anyio
import pytest

from agent_core.errors import SandboxUnavailable
from agent_core.items import JsonValue
from agent_core.sandbox import workspace_write
from agent_core.tools import ExecCommand, ExecSessions, Shell, Tool, ToolCall, ToolContext, ToolOutput

from ..process_marks import ProcessMark
from . import LONG

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")]

FLOOD = 10**9 if LONG else 10**8
ROOM_KIB = 32 * 1024


@pytest.fixture
def mark() -> ProcessMark:
    return ProcessMark()


@pytest.fixture
def sessions(mark: ProcessMark) -> Iterator[ExecSessions]:
    with ExecSessions(env=mark.env, max_log_bytes=2**20) as sessions:
        yield sessions


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def run(tool: Tool, cwd: Path, arguments: Mapping[str, JsonValue]) -> ToolOutput:
    call = ToolCall("call_1", tool.spec.name, json.dumps(arguments))
    with anyio.fail_after(300):
        return await tool.run(call, ToolContext(cwd))


async def test_a_shell_that_prints_a_gigabyte(tmp_path: Path, mark: ProcessMark) -> None:
    """Both ends of it, a count of the rest, and no more memory than those take."""
    before = peak_kib()
    output = await run(Shell(env=mark.env), tmp_path, {"command": f"yes | head -c {FLOOD}; echo; echo over"})
    assert (output.success, output.metadata["truncated_bytes"]) == (True, FLOOD + 6 - 64 * 1024)
    assert str(output.content).endswith("y\n\nover\n")
    assert (peak_kib() - before < ROOM_KIB, mark.running()) == (True, [])


async def test_a_session_that_prints_a_gigabyte(tmp_path: Path, mark: ProcessMark, sessions: ExecSessions) -> None:
    """The same, however often it is looked at meanwhile; its log stays within its size."""
    before = peak_kib()
    exec_command, write_stdin, _ = sessions.tools()
    asked: dict[str, JsonValue] = {"cmd": f"yes | head -c {FLOOD}; echo; echo over", "yield_time_ms": 0}
    output = await run(exec_command, tmp_path, asked)
    while output.metadata["running"]:
        output = await run(write_stdin, tmp_path, {"session_id": output.metadata["session_id"]})
    assert (output.success, str(output.content).endswith("y\n\nover\n")) == (True, True)
    log = anyio.Path(str(output.metadata["log"]))
    assert ((await log.stat()).st_size < 2**20 + 100, peak_kib() - before < ROOM_KIB) == (True, True)
    assert mark.running() == []


DAEMON = "(setsid sh -c 'while :; do echo y; done' &); echo on"


async def test_a_session_with_a_daemon_that_floods(tmp_path: Path, mark: ProcessMark, sessions: ExecSessions) -> None:
    """The command is over when it is, and its daemon with it."""
    output = await run(ExecCommand(sessions), tmp_path, {"cmd": DAEMON})
    assert (output.metadata["exit_code"], "on" in str(output.content), mark.running()) == (0, True, [])


async def test_a_shell_with_a_daemon_that_floods(tmp_path: Path, mark: ProcessMark) -> None:
    """Answered after a short while; in a sandbox the daemon ends with it, without one when the command is stopped."""
    try:
        held = Shell(env=mark.env, sandbox=workspace_write())
    except SandboxUnavailable:
        pytest.skip("no sandbox works here: apt-get install bubblewrap, or a kernel with Landlock")
    output = await run(held, tmp_path, {"command": DAEMON})
    assert (output.success, mark.gone_within(1)) == (True, True)
    stopped = await run(Shell(env=mark.env), tmp_path, {"command": f"{DAEMON}; sleep 100", "timeout_ms": 300})
    assert (stopped.metadata["timed_out"], mark.gone_within(1)) == (True, True)
