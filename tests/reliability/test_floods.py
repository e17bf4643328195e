"""Commands that print without end and leave daemons behind: answered, in bounded memory, and nothing is left."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent_core.errors import SandboxUnavailable
from agent_core.sandbox import workspace_write
from agent_core.tools import ExecCommand, ExecSessions, Shell

from ..forked import run_python
from ..process_marks import ProcessMark
from . import LONG
from .flooded import MAX_LOG_BYTES, Flooded, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

FLOOD = 10**9 if LONG else 10**8
ROOM_KIB = 16 * 1024


@pytest.fixture
def mark() -> ProcessMark:
    return ProcessMark()


@pytest.fixture
def sessions(mark: ProcessMark) -> Iterator[ExecSessions]:
    with ExecSessions(env=mark.env, max_log_bytes=MAX_LOG_BYTES) as sessions:
        yield sessions


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def flooded(tool: str, backend: str, folder: Path, mark: ProcessMark) -> Flooded:
    command = f"yes | head -c {FLOOD}; echo; echo over"
    text = f"from tests.reliability.flooded import main; main{(tool, backend, command, mark.env)}"
    ran = run_python(text, folder, dict(os.environ), timeout_s=300)
    assert (ran.code, ran.stderr) == (0, "")
    return msgspec.json.decode(ran.stdout, type=Flooded)


def test_a_shell_that_prints_a_gigabyte(backend: str, tmp_path: Path, mark: ProcessMark) -> None:
    """Both ends of it, a count of the rest, and no more memory than those take."""
    seen = flooded("shell", backend, tmp_path, mark)
    assert (seen.success, seen.truncated_bytes) == (True, FLOOD + 6 - 64 * 1024)
    assert seen.end.endswith("y\n\nover\n")
    assert (seen.grown_kib < ROOM_KIB, mark.running()) == (True, [])


def test_a_session_that_prints_a_gigabyte(backend: str, tmp_path: Path, mark: ProcessMark) -> None:
    """The same, however often it is looked at meanwhile; its log stays within its size."""
    seen = flooded("session", backend, tmp_path, mark)
    assert (seen.success, seen.end.endswith("y\n\nover\n")) == (True, True)
    assert (seen.log_bytes < MAX_LOG_BYTES + 100, seen.grown_kib < ROOM_KIB) == (True, True)
    assert mark.running() == []


DAEMON = "(setsid sh -c 'while :; do echo y; done' &); echo on"


@pytest.mark.anyio
async def test_a_session_with_a_daemon_that_floods(tmp_path: Path, mark: ProcessMark, sessions: ExecSessions) -> None:
    """The command is over when it is, and its daemon with it."""
    output = await run(ExecCommand(sessions), tmp_path, {"cmd": DAEMON})
    assert (output.metadata["exit_code"], "on" in str(output.content), mark.running()) == (0, True, [])


@pytest.mark.anyio
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
