"""`agent-core demo`: an agent finds a bug and fixes it. Only the model is scripted.

A small project with a failing test is written into a fresh directory; the rehearsed model answers over HTTP on loopback
in the wire that was asked for; the shell, the files, the patch and the session journal are real. Whether it worked is
not the model's word: the tests are run once more, by this command.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import mkdtemp
from typing import cast

from ..approvals import ApprovalPolicy, ApprovalRequest, AskPolicy
from ..codecs import WIRES
from ..items import JsonObject, WireName
from ..session import Session
from ..telemetry import Telemetry
from ..turn_events import TurnResult
from .exits import Exit
from .render import summary_text
from .screen import Screen, clean, write_json
from .trace import Destination, add_trace_option, tracing
from .watch import errors_told, follow, watcher

__all__ = ["add_arguments", "run", "tests_pass"]

_MODEL = "rehearsal/fix-tests"
_TASK = "The tests of this project fail. Find out why, fix the code, and run the tests again to show that they pass."
# -B: no bytecode, so that a patched file of the same second and size is never run from what was compiled before.
_TESTS = (sys.executable, "-B", "-m", "unittest", "-q")
_TESTS_RAN = re.compile(r"^Ran [1-9]\d* tests?\b", re.MULTILINE)
_TESTS_TIMEOUT_S = 30.0
_SHOWN_LINES = 12


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--wire", choices=WIRES, default="chat", help="the wire the model is spoken to in (default: chat)"
    )
    parser.add_argument("--dir", metavar="DIR", help="where to put the project (default: a new temporary directory)")
    parser.add_argument("--json", action="store_true", help="write events to stdout, one JSON object a line")
    add_trace_option(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="also show requests, repairs and losses")


def run(args: Namespace) -> int:
    from ..testing import write_demo_project

    began = time.monotonic()
    wire = cast("WireName", args.wire)
    folder = Path(cast("str | None", args.dir) or mkdtemp(prefix="agent-core-demo-")).resolve()
    screen = Screen(sys.stderr if args.json else sys.stdout)
    write_demo_project(folder)
    screen.line(f"a project with a failing test: {folder}", "dim")
    screen.line(f"model: {_MODEL}, scripted, over HTTP on loopback, wire {wire}", "dim")
    screen.line(f"\n> {_TASK}\n", "strong")
    trace = tracing(cast("Destination | None", args.trace), screen)
    with errors_told(screen, as_json=args.json), trace as telemetry:
        result = _repair(folder, wire, args, screen, telemetry)
    passed, output = tests_pass(folder)
    if args.json:
        _write_verdict(folder, wire, passed=passed, duration_s=time.monotonic() - began)
    else:
        _show_verdict(screen, folder, result, passed=passed, output=output)
    return Exit.OK if passed else Exit.FAILED


def tests_pass(folder: Path) -> tuple[bool, str]:
    """Run the project's tests in a process of their own: whether there are any and all pass, and what they said."""
    try:
        done = subprocess.run(  # the interpreter that runs this, on a project it has written
            _TESTS, cwd=folder, capture_output=True, text=True, errors="replace", timeout=_TESTS_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"the tests did not end within {_TESTS_TIMEOUT_S:g} s"
    except OSError as error:
        return False, f"the tests could not be started: {error}"
    output = (done.stdout + done.stderr).strip()
    return done.returncode == 0 and _TESTS_RAN.search(output) is not None, output


def transcript_of(folder: Path) -> Path:
    """The demo's session journal."""
    return folder / "session.jsonl"


def within(folder: Path) -> ApprovalPolicy:
    """Allows what happens in `folder`, and nothing else."""

    def decide(request: ApprovalRequest) -> bool:
        return bool(request.cwd) and Path(request.cwd).resolve().is_relative_to(folder)

    return AskPolicy(decide)


def _repair(folder: Path, wire: WireName, args: Namespace, screen: Screen, telemetry: Telemetry | None) -> TurnResult:
    from .. import blocking

    async def conversation() -> TurnResult:
        from ..agent import Agent
        from ..tools import coding_tools

        async with Agent(
            _MODEL,
            tools=coding_tools(),
            wire=wire,
            approvals=within(folder),
            cwd=folder,
            session=session,
            telemetry=telemetry,
        ) as agent:
            return await follow(agent, _TASK, watcher(screen, as_json=args.json, verbose=args.verbose))

    with Session.create(transcript_of(folder)) as session:
        return blocking.run(conversation)


def _write_verdict(folder: Path, wire: WireName, *, passed: bool, duration_s: float) -> None:
    verdict: JsonObject = {
        "type": "demo.finished",
        "passed": passed,
        "wire": wire,
        "directory": str(folder),
        "transcript": str(transcript_of(folder)),
        "duration_s": round(duration_s, 6),
    }
    write_json(verdict)


def _show_verdict(screen: Screen, folder: Path, result: TurnResult, *, passed: bool, output: str) -> None:
    screen.line()
    if passed:
        screen.line("the tests pass now", "good")
    else:
        screen.line("the tests still fail", "bad")
        for line in clean(output).splitlines()[-_SHOWN_LINES:]:
            screen.line(f"  {line}")
    screen.line(summary_text(result, str(transcript_of(folder))), "dim")
    screen.line(f"project: {folder}", "dim")
