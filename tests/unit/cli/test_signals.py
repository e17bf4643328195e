"""Signals end a run in order: what a tool started ends with it, the session is whole, the exit code says which."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent_core import Session
from agent_core.items import FunctionCallOutput, Message, text_of
from agent_core.testing import Call, RehearsalServer, Step

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

_MAIN = """import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from agent_core.cli import main
sys.exit(main())"""
MAIN = (sys.executable, "-c", _MAIN)
"""Also where the tests themselves run under `nohup` or in the background, whose children ignore these signals."""
ENDINGS = [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]


def interrupted(steps: Sequence[Step], *options: str, when: bytes, by: int, pace_s: float = 0) -> tuple[int, bytes]:
    """Runs a task and sends the signal when the words are shown; the exit code and all that was shown."""
    with RehearsalServer(list(steps), pace_s=pace_s) as server:
        argv = [*MAIN, "exec", "go", "-m", "lab/any", "--base-url", server.base_url, *options]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
            assert run.stdout is not None
            shown = b""
            while when not in shown and (piece := os.read(run.stdout.fileno(), 4096)):
                shown += piece
            run.send_signal(by)
            shown += run.stdout.read()
    return run.returncode, shown


@pytest.mark.parametrize(("name", "code"), ENDINGS)
def test_a_running_command_is_ended_too(name: str, code: int, tmp_path: Path) -> None:
    """No orphan is left, its call is answered, and the session can be resumed."""
    file = tmp_path / "s.jsonl"
    sleeps = Step(calls=(Call("shell", {"command": "echo pid: $$.; exec sleep 600"}),))
    options = ("--approve", "all", "-v", "--cd", str(tmp_path), "--session", str(file))
    exited, shown = interrupted([sleeps], *options, when=b".\n", by=signal.Signals[name])
    assert (exited, shown.splitlines()[-1]) == (code, b"interrupted")
    with pytest.raises(ProcessLookupError):
        os.kill(int(shown.rpartition(b"pid: ")[2].split(b".")[0]), 0)
    with Session.resume(file) as session:
        (output,) = [item for item in session.items if isinstance(item, FunctionCallOutput)]
        assert (str(output.output)[:19], session.open_calls()) == ("aborted by the user", ())


@pytest.mark.parametrize(("name", "code"), ENDINGS)
def test_what_was_said_is_kept(name: str, code: int, tmp_path: Path) -> None:
    """In the middle of an answer: its beginning is in the session, and the last line of --json says what happened."""
    file = tmp_path / "s.jsonl"
    talks = Step(text="one two three " * 1000)
    options = ("--json", "--session", str(file))
    exited, shown = interrupted([talks], *options, when=b"three", by=signal.Signals[name], pace_s=0.002)
    lines = [line for line in shown.splitlines() if line.startswith(b"{")]
    assert (exited, json.loads(lines[-1])["error"]) == (code, "Interrupted")
    with Session.resume(file) as session:
        said = session.items[-1]
        assert isinstance(said, Message)
        assert (said.status, text_of(said).startswith("one two three")) == ("incomplete", True)
