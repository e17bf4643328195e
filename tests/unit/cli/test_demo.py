"""`demo`: an agent fixes a bug; only the model is scripted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent_core.approvals import ApprovalRequest
from agent_core.cli import main
from agent_core.cli.demo import tests_pass as verdict_on  # under another name: pytest would collect it
from agent_core.cli.demo import within
from agent_core.cli.exits import Exit
from agent_core.codecs import WIRES
from agent_core.items import WireName
from agent_core.session import Session
from agent_core.testing import RehearsalServer, write_demo_project


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted model takes no time over its words."""
    defaults = RehearsalServer.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "pace_s", 0.0)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("wire", WIRES)
def test_the_demo_repairs_the_project(wire: WireName, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On every wire: the tests failed, the file is patched, the tests pass, and the transcript can be resumed."""
    folder = tmp_path / "project"
    assert main(["demo", "--wire", wire, "--dir", str(folder)]) == Exit.OK
    out, err = capsys.readouterr()
    assert (err, "\x1b" in out) == ("", False)
    assert "\n  -    if quantity > BULK_QUANTITY:\n  +    if quantity >= BULK_QUANTITY:\n" in out
    assert "\nthe tests pass now\n" in out
    assert out.endswith(f"\ntranscript: {folder / 'session.jsonl'}\nproject: {folder}\n")
    assert verdict_on(folder)[0]
    with Session.resume(folder / "session.jsonl") as session:
        assert session.open_calls() == ()
        assert session.usage.total > 0


@pytest.mark.usefixtures("hurried")
def test_the_demo_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The turn's events, then the verdict as the last line."""
    assert main(["demo", "--json", "--dir", str(tmp_path / "p")]) == Exit.OK
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    last = lines[-1]
    assert [line["type"] for line in lines[-2:]] == ["turn.finished", "demo.finished"]
    assert last.pop("duration_s") < 10
    assert last == {
        "type": "demo.finished",
        "passed": True,
        "wire": "chat",
        "directory": str(tmp_path / "p"),
        "transcript": str(tmp_path / "p" / "session.jsonl"),
    }


@pytest.mark.usefixtures("hurried")
def test_without_a_directory_a_fresh_one_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run has its own, in the system's place for such things, and says where."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["demo"]) == Exit.OK
    (folder,) = tmp_path.iterdir()
    assert capsys.readouterr().out.endswith(f"project: {folder}\n")


def test_a_used_directory_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that are there stay as they are."""
    write_demo_project(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["demo", "--dir", str(tmp_path)]) == Exit.USAGE
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), err.endswith(" - choose an empty folder\n")) == ("", 1, True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_verdict_is_what_the_tests_say(tmp_path: Path) -> None:
    """Failing tests, no tests and no project are not a pass."""
    assert not verdict_on(tmp_path / "nowhere")[0]
    assert not verdict_on(tmp_path)[0]
    write_demo_project(tmp_path)
    passed, output = verdict_on(tmp_path)
    assert (passed, "FAILED (failures=1)" in output) == (False, True)


@pytest.mark.anyio
async def test_only_the_project_is_in_reach(tmp_path: Path) -> None:
    """An action is allowed where the project is and below, and nowhere else."""
    places = {
        str(tmp_path): True,
        str(tmp_path / "sub"): True,
        str(tmp_path / ".." / tmp_path.name): True,
        str(tmp_path.parent): False,
        str(tmp_path / ".."): False,
        str(tmp_path) + "-other": False,
        "": False,
    }
    policy = within(tmp_path)
    decided = {cwd: (await policy.decide(ApprovalRequest("c", "shell", "ls", cwd=cwd))).approved for cwd in places}
    assert decided == places


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_is_quiet(tmp_path: Path) -> None:
    """Interrupted in the middle of a turn: exit code 130, no traceback, and a transcript that can be resumed."""
    # A test run in the background ignores SIGINT, and so would its child.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from agent_core.cli import main; raise SystemExit(main())"
    argv = ["demo", "--json", "--dir", str(tmp_path / "p")]
    with subprocess.Popen(
        [sys.executable, "-c", code, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if '"tool.started"' in line)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err, "error:" in err) == (Exit.INTERRUPTED, False, False)
    with Session.resume(tmp_path / "p" / "session.jsonl") as session:
        assert session.open_calls() == ()
