"""Paused runs on the command line: how one looks, where it is found, and how it is gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from agent_core.cli import main
from agent_core.cli.exits import Exit
from agent_core.items import FunctionCallOutput
from agent_core.session import Session, SessionFolder
from agent_core.testing import Call, RehearsalServer, Step

Run: TypeAlias = Callable[..., tuple[int, str, str]]
MAKE, LOOK = Call("shell", {"command": "echo made > made.txt"}, "call_1"), Call("glob", {"pattern": "*"}, "call_2")
TASK = (Step(calls=(MAKE, LOOK)), Step(text="done"))


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """agent-core in a folder of its own, with a model that wants to run a command."""
    monkeypatch.setenv("AGENT_CORE_SESSIONS", str(tmp_path / "kept"))
    with RehearsalServer(TASK, pace_s=0) as server:

        def command(*argv: str) -> tuple[int, str, str]:
            model = ["-m", "lab/any", "--base-url", server.base_url, "--cd", str(tmp_path)] if argv[0] == "exec" else []
            code = main([*argv, *model])
            out, err = capsys.readouterr()
            return code, out, err

        yield command


@pytest.fixture
def paused(run: Run) -> str:
    """A session that waits for a decision."""
    assert run("exec", "make a file", "--keep", "--approve", "defer")[0] == Exit.PAUSED
    (info,) = SessionFolder().sessions()
    return info.id


def test_a_paused_run_says_what_it_waits_for(run: Run, tmp_path: Path) -> None:
    """On stderr, with where the session is; what needs no yes was done, the rest was not."""
    code, out, err = run("exec", "make a file", "--keep", "--approve", "defer")
    assert (code, out, (tmp_path / "made.txt").exists()) == (Exit.PAUSED, "", False)
    assert "put off: echo made > made.txt" in err
    assert "waits for a decision: shell  echo made > made.txt" in err
    assert "stopped: paused" in err


def test_a_paused_run_as_json(run: Run) -> None:
    """The last line says what is waited for."""
    code, out, _ = run("exec", "make a file", "--keep", "--approve", "defer", "--json")
    last = json.loads(out.splitlines()[-1])
    assert (code, last["type"], last["stop_reason"]) == (Exit.PAUSED, "turn.finished", "paused")
    (waits,) = last["pending"]
    assert (waits["call_id"], waits["name"], waits["why"]) == ("call_1", "shell", "deferred")
    assert waits["request"]["detail"] == "echo made > made.txt"


def test_a_run_that_is_not_kept_cannot_be_paused(run: Run) -> None:
    """There would be nothing to go on with."""
    code, _, err = run("exec", "make a file", "--approve", "defer")
    assert (code, err) == (
        Exit.USAGE,
        "error: a run that is not kept cannot be paused - give --keep or --session FILE too\n",
    )


def test_sessions_know_it(run: Run, paused: str) -> None:
    """In the list, as JSON, and when one is shown; no longer when it was answered."""
    _, out, _ = run("sessions", "list")
    assert "(paused) make a file" in out
    assert json.loads(run("sessions", "list", "--json")[1])["waiting"] == 1
    _, _, err = run("sessions", "show", paused)
    assert "waits for a decision: shell  echo made > made.txt" in err
    assert "the run is paused: exec --resume goes on with it" in err
    fork = json.loads(run("sessions", "fork", paused, "--json")[1])
    assert fork["waiting"] == 1


@pytest.mark.parametrize(
    ("approve", "code", "made", "told"),
    [
        ("all", Exit.OK, True, "Exit code: 0"),
        ("deny", Exit.DENIED, False, "denied: "),
        ("defer", Exit.PAUSED, False, ""),
    ],
)
def test_a_later_run_decides(
    run: Run, paused: str, tmp_path: Path, approve: str, code: Exit, made: bool, told: str
) -> None:
    """By its own --approve; what waits may wait on."""
    assert run("exec", "--resume", paused, "--approve", approve)[0] == code
    assert (tmp_path / "made.txt").exists() == made
    with Session.resume(SessionFolder().find(paused)) as session:
        outputs = [item for item in session.items if isinstance(item, FunctionCallOutput)]
    assert [item.call_id for item in outputs] == (["call_1", "call_2"] if told else [])
    assert str(outputs[0].output).startswith(told) if told else True
    waiting = json.loads(run("sessions", "list", "--json")[1])["waiting"]
    assert waiting == (0 if told else 1)
