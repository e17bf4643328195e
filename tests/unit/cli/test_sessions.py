"""`sessions`, and what `exec` keeps and goes on with: over real files, against a scripted model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agent_core.approvals import Rule
from agent_core.cli import main
from agent_core.cli.exits import Exit
from agent_core.items import FunctionCall, FunctionCallOutput, assistant_message, user_message
from agent_core.session import Session, SessionFolder
from agent_core.testing import Call, RehearsalServer, Step

ECHO = ("-m", "rehearsal/echo")
Run = Callable[[Sequence[str]], tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionFolder:
    """The folder of this user's sessions, for once a fresh one; and a directory to be in."""
    monkeypatch.setenv("AGENT_CORE_SESSIONS", str(tmp_path / "sessions"))
    monkeypatch.delenv("AGENT_CORE_MODEL", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return SessionFolder()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], folder: SessionFolder) -> Run:
    def running(argv: Sequence[str]) -> tuple[int, str, str]:
        code = main(argv)
        out, err = capsys.readouterr()
        return code, out, err

    return running


def kept(folder: SessionFolder) -> Session:
    """A closed session of two turns, one with a tool."""
    with folder.create(labels={"cwd": "/x"}) as session:
        session.append(user_message("first"), FunctionCall(call_id="c", name="shell", arguments='{"command":"ls"}'))
        session.append(FunctionCallOutput(call_id="c", output="a.txt\nb.txt"), assistant_message("two files"))
        session.append(user_message("second"), assistant_message("done\x1b[2J"))
    return session


def test_exec_keeps_and_goes_on(run: Run, folder: SessionFolder) -> None:
    """--keep, then --continue with the same model, in the same directory; its file is named each time."""
    assert run(["exec", "one", "--keep", *ECHO])[:2] == (Exit.OK, "one\n")
    (info,) = folder.sessions()
    code, out, err = run(["exec", "two", "--continue"])
    assert (code, out, err.splitlines()[-1]) == (Exit.OK, "two\n", f"transcript: {info.path}")
    session = Session.read(info.path)
    assert (session.turns, session.model, session.labels["cwd"]) == (2, "rehearsal/echo", str(Path.cwd()))


def test_exec_continues_what_was_done_here(run: Run, folder: SessionFolder, tmp_path: Path) -> None:
    """Not a newer session of another directory; where none was kept it says so."""
    run(["exec", "here", "--keep", *ECHO])
    run(["exec", "elsewhere", "--keep", "--cd", str(tmp_path), *ECHO])
    run(["exec", "more", "--continue"])
    assert {info.text: info.turns for info in folder.sessions()} == {"here": 2, "elsewhere": 1}
    (tmp_path / "new").mkdir()
    code, out, err = run(["exec", "more", "--continue", "--cd", str(tmp_path / "new")])
    assert (code, out) == (Exit.USAGE, "")
    assert err.startswith("error: no session of ")
    assert "exec --keep" in err


@pytest.mark.parametrize("how", ["id", "file"])
def test_exec_finishes_what_was_cut_off(run: Run, folder: SessionFolder, how: str) -> None:
    """Without a task: the question that was never answered. Where nothing waits, it asks for one."""
    with folder.create() as session:
        session.append(user_message("still there?"))
    named = session.id[:14] if how == "id" else str(session.path)
    assert run(["exec", "--resume", named, *ECHO])[:2] == (Exit.OK, "still there?\n")
    code, _, err = run(["exec", "--resume", named, *ECHO])
    assert (code, err) == (Exit.USAGE, "error: this session waits for nothing - say what to do next\n")


def test_exec_does_not_run_again_what_a_crash_left_open(run: Run, folder: SessionFolder) -> None:
    """The call was started: the model is told that its outcome is unknown."""
    step = Step(calls=(Call("shell", {"command": "echo again > made.txt"}, call_id="c"),))
    call = FunctionCall(call_id="c", name="shell", arguments=json.dumps({"command": "echo again > made.txt"}))
    with folder.create(labels={"cwd": str(Path.cwd())}) as session:
        session.append(user_message("make it"), call)
        session.tool_started(call)
    with RehearsalServer([step, Step(text="checked")], pace_s=0) as server:
        to = ["-m", "lab/any", "--base-url", server.base_url, "--approve", "all"]
        assert run(["exec", "--continue", *to])[:2] == (Exit.OK, "checked\n")
    assert not Path("made.txt").exists()
    assert "outcome unknown" in str(Session.read(folder.find(session.id)).items[2])


def test_a_command_that_cannot_run_keeps_nothing(run: Run, folder: SessionFolder) -> None:
    """No session of a run that never was."""
    assert run(["exec", "x", "--keep", "-m", "nosuch/model"])[0] == Exit.USAGE
    assert folder.sessions() == []


def test_list(run: Run, folder: SessionFolder) -> None:
    """A table, its newest line first; JSON with everything; nothing at all is said on stderr."""
    assert run(["sessions", "list"]) == (Exit.OK, "", f"no sessions in {str(folder.path)!r}\n")
    session = kept(folder)
    code, out, err = run(["sessions", "list"])
    heading, line = out.splitlines()
    assert (code, err, heading.split()) == (
        Exit.OK,
        "",
        ["SESSION", "WRITTEN", "TO", "TURNS", "TOKENS", "SIZE", "BEGINS", "WITH"],
    )
    assert (line.split()[0], line.split()[3:5], line.split()[-1]) == (session.id[:12], ["2", "0"], "first")
    listed = json.loads(run(["sessions", "list", "--json", "--limit", "1"])[1])
    assert (listed["id"], listed["turns"], listed["items"], listed["labels"]) == (session.id, 2, 6, {"cwd": "/x"})
    assert (listed["ended"], listed["problem"], listed["path"]) == (True, None, str(session.path))


def test_another_folder(run: Run, folder: SessionFolder, tmp_path: Path) -> None:
    """--dir, for every action."""
    other = SessionFolder(tmp_path / "other")
    session = kept(other)
    assert run(["sessions", "list"])[1] == ""
    assert session.id[:12] in run(["sessions", "list", "--dir", str(other.path)])[1]
    assert run(["sessions", "show", session.id, "--dir", str(other.path)])[0] == Exit.OK


def test_search(run: Run, folder: SessionFolder) -> None:
    """Which session, who said it; the same as JSON; nothing is said on stderr."""
    session = kept(folder)
    assert run(["sessions", "search", "B.TXT"])[1].splitlines()[1] == "  function_call_output: a.txt b.txt"
    found = json.loads(run(["sessions", "search", "second", "--json"])[1])
    assert (found["id"], [place["speaker"] for place in found["places"]]) == (session.id, ["user"])
    assert run(["sessions", "search", "haystack"]) == (Exit.OK, "", "nothing found\n")


def test_show(run: Run, folder: SessionFolder) -> None:
    """The whole conversation, cleaned for a terminal; as JSON item by item; also while somebody writes to it."""
    session = kept(folder)
    with folder.resume(session.id):
        code, out, err = run(["sessions", "show", session.id[:12]])
    assert (code, err) == (Exit.OK, "")
    assert out.splitlines()[0].startswith(f"{session.id} · 2 turns · 6 items · 0 tokens · cwd: /x")
    for text in ("user\nfirst\n", '"command": "ls"', "│ b.txt\n", "assistant\ntwo files\n", "done\n"):
        assert text in out
    lines = [json.loads(line) for line in run(["sessions", "show", session.id, "--json"])[1].splitlines()]
    assert [line["type"] for line in lines] == ["session", *["item"] * 6]
    assert lines[1]["item"]["id"] == session.items[0].id


def test_prune(run: Run, folder: SessionFolder) -> None:
    """A dry run says which, then they are gone; without a rule nothing is."""
    ids = [kept(folder).id for _ in range(3)]
    assert run(["sessions", "prune"])[0] == Exit.USAGE
    code, out, err = run(["sessions", "prune", "--keep", "1", "--dry-run"])
    assert (code, len(out.splitlines()), err.split(",")[0], len(folder.sessions())) == (
        0,
        3,
        "would remove 2 sessions",
        3,
    )
    with folder.resume(folder.sessions()[-1].id) as used:
        code, out, err = run(["sessions", "prune", "--keep", "0", "--json"])
    assert (code, len(out.splitlines())) == (Exit.OK, 2)
    assert err.startswith(f"{used.id}: in use")
    assert [info.id in ids for info in folder.sessions()] == [True]


@pytest.mark.parametrize("file", [False, True])
def test_fork(run: Run, folder: SessionFolder, file: bool) -> None:
    """Into the folder or a file, without the last turns if asked; the first session is as it was."""
    session = kept(folder)
    target = [str(Path("mine.jsonl").absolute())] if file else []
    code, out, _ = run(["sessions", "fork", session.id, *target, "--drop", "1", "--json"])
    made = json.loads(out)
    assert (code, made["turns"], made["id"] != session.id) == (Exit.OK, 1, True)
    assert Path(made["path"]).parent == (Path.cwd() if file else folder.path)
    assert Session.read(made["path"]).items == session.items[:4]
    assert len(Session.read(folder.find(session.id)).items) == 6
    assert run(["sessions", "fork", session.id])[2].startswith(f"forked {session.id}: 2 turns in ")


def test_rollback(run: Run, folder: SessionFolder) -> None:
    """The last turn, and what it began with; more than there are is all of them."""
    session = kept(folder)
    assert run(["sessions", "rollback", session.id]) == (Exit.OK, "", "took 1 turn back, 1 turn left\n  second\n")
    assert Session.read(folder.find(session.id)).turns == 1
    assert json.loads(run(["sessions", "rollback", session.id, "--turns", "9", "--json"])[1])["turns"] == 0


def test_rules(run: Run, folder: SessionFolder) -> None:
    """What runs unasked, by number; one that is revoked is gone."""
    session = kept(folder)
    with Session.resume(folder.find(session.id)) as again:
        again.remember(Rule.for_command("git", "add"))
        again.remember(Rule.for_tool("deploy"))
    assert run(["sessions", "rules", session.id]) == (
        Exit.OK,
        "1  commands that begin with `git add`\n2  calls of deploy\n",
        "",
    )
    revoked = run(["sessions", "rules", session.id, "--revoke", "1"])
    assert revoked == (Exit.OK, "", "asked about again: commands that begin with `git add`\n")
    assert json.loads(run(["sessions", "rules", session.id, "--json"])[1])["words"] == ["deploy"]
    assert run(["sessions", "rules", session.id, "--revoke", "2"])[0] == Exit.USAGE


def test_repair(run: Run, folder: SessionFolder) -> None:
    """What resuming refuses says how; then it goes on, and the file as it was is named."""
    session = kept(folder)
    path = folder.find(session.id)
    path.write_bytes(path.read_bytes().replace(b'"second"', b'"secnod"'))
    code, _, err = run(["exec", "x", "--resume", session.id, *ECHO])
    assert (code, f"agent-core sessions repair '{path}'" in err) == (Exit.FAILED, True)
    assert "(it is damaged" in run(["sessions", "list"])[1]
    code, out, err = run(["sessions", "repair", str(path)])
    assert (code, out) == (Exit.OK, "")
    assert err.splitlines() == [
        "kept 6 records; set aside 198 B in line 6",
        f"the file as it was: '{path}.damaged'",
    ]
    assert json.loads(run(["sessions", "repair", str(path), "--json"])[1])["original"] is None
    assert run(["exec", "x", "--resume", session.id, *ECHO])[:2] == (Exit.OK, "x\n")


def test_compact_puts_a_summary_in_its_place(run: Run, folder: SessionFolder) -> None:
    """Written by the model that is named; what was said can still be shown, and the conversation goes on from it."""
    session = kept(folder)
    with RehearsalServer([Step(text="never"), Step(text="said"), Step(text="next")], pace_s=0) as server:
        to = ["-m", "lab/any", "--base-url", server.base_url]
        argv = ["sessions", "compact", session.id, *to, "--instructions", "the files"]
        code, out, err = run([*argv, "--json"])
        asked = server.requests[0].prompt
        assert asked is not None
        assert "the files" in str(asked.items[-1])
        again = run([*argv])
    assert (code, err) == (Exit.OK, "")
    done, now = map(json.loads, out.splitlines())
    assert (done["type"], done["reason"], done["replaced"], now["id"]) == (
        "compaction.finished",
        "asked",
        4,
        session.id,
    )
    assert again[0] == Exit.FAILED
    assert again[2].startswith("error: there is nothing to compact")
    assert [item.type for item in Session.read(folder.find(session.id)).items] == ["message", "message", "compaction"]
    assert "two files" in run(["sessions", "show", session.id])[1]


@pytest.mark.parametrize(
    ("argv", "code", "named"),
    [
        (["compact", "nosuch"], Exit.FAILED, "there is no session 'nosuch'"),
        (["show", "nosuch"], Exit.FAILED, "there is no session 'nosuch'"),
        (["show", "./nosuch"], Exit.FAILED, "there is no session file"),
        (["rollback", "{file}"], Exit.FAILED, "not a session file"),
        (["repair", "{file}"], Exit.FAILED, "no record of a session"),
        (["search", " "], Exit.USAGE, "nothing to search for"),
        (["prune", "--keep", "-1"], Exit.USAGE, "--keep"),
        (["nosuch"], Exit.USAGE, "invalid choice"),
        (["list", "--dir", "{file}"], Exit.FAILED, "Not a directory"),
    ],
)
def test_what_cannot_be_is_one_line(run: Run, tmp_path: Path, argv: list[str], code: Exit, named: str) -> None:
    """With what is wrong and what to do."""
    (tmp_path / "file").write_text("no session\n")
    got, out, err = run(["sessions", *(word.replace("{file}", str(tmp_path / "file")) for word in argv)])
    assert (got, out, len(err.splitlines()), named in err) == (code, "", 1, True), err
