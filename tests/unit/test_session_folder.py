"""Folders of sessions: listed without reading them whole, found by id, searched, pruned; other files stay."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent_core.errors import ConfigError, SessionError
from agent_core.events import Attempt, Response, Usage
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    InputText,
    Reasoning,
    assistant_message,
    system_message,
    user_message,
)
from agent_core.session import Session, SessionFolder, SessionInfo, default_session_folder
from agent_core.session.listing import describe, find_text

NOW = datetime.now(UTC).timestamp()


def told(session: Session, *turns: str, model: str = "lab/one") -> None:
    """Turns of one question and one answer each."""
    for number, text in enumerate(turns):
        session.turn_started(f"t{number}", model=model)
        session.append(user_message(text))
        session.append(assistant_message(f"you said {text}"))
        session.sample_finished(Usage(input=10, output=1))
        session.turn_finished(f"t{number}", "completed", Usage(input=10, output=1))


def kept(folder: SessionFolder, *turns: str, age_s: float = 0, labels: Mapping[str, str] | None = None) -> Session:
    """A closed session in the folder, written to so long ago."""
    with folder.create(labels=labels) as session:
        told(session, *turns)
    assert session.path is not None
    os.utime(session.path, (NOW - age_s, NOW - age_s))
    return session


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    return SessionFolder(tmp_path / "kept" / "sessions")


def test_a_session_is_listed_with_what_it_is_about(folder: SessionFolder) -> None:
    """From its first and last lines alone: what lies between is not even looked at."""
    session = kept(folder, "what is  the\nplan?", "and then?", labels={"cwd": "/x"})
    assert session.path is not None
    lines = session.path.read_bytes().splitlines(keepends=True)
    session.path.write_bytes(b"".join([*lines[:3], b"damage that only a reader of all of it sees\n", *lines[4:]]))
    (info,) = folder.sessions()
    assert info == SessionInfo(
        path=session.path,
        size=session.path.stat().st_size,
        updated=info.updated,
        id=session.id,
        created=info.created,
        text="what is the plan?",
        turns=2,
        items=4,
        model="lab/one",
        usage=Usage(input=20, output=2),
        labels={"cwd": "/x"},
    )
    assert info.created is not None
    assert abs((info.updated - info.created).total_seconds()) < 60
    assert [path.stat().st_mode & 0o777 for path in (folder.path, session.path)] == [0o700, 0o600]


@pytest.mark.parametrize("large", [False, True])
def test_what_follows_the_last_turn_s_end_counts(tmp_path: Path, large: bool) -> None:
    """A turn that was cut off, one that was rolled back, an append of the caller's; however far back the totals are."""
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        session.append(system_message("be brief"))
        told(session, "one", "two", "three", "x" * (400_000 if large else 4))
        session.rollback(2)
        session.append(user_message("again"), FunctionCall(call_id="c", name="f"))
        session.append(FunctionCallOutput(call_id="c", output="y" * (70_000 if large else 7)))
        session.turn_started("cut", model="lab/two")
        session.sample_finished(Usage(input=2))
        session.spent([Attempt("lab/two", Response(usage=Usage(input=3))), Attempt("lab/two", Response())])
    info = describe(path)
    assert info is not None
    expected = (3, len(session.items), "lab/two", Usage(input=45, output=4), False, "one")
    assert (info.turns, info.items, info.model, info.usage, info.ended, info.text) == expected
    assert Session.read(path).usage == info.usage


def test_format_1_is_read_through_and_forks_are_not(tmp_path: Path) -> None:
    """Where there are no totals the figures are the same ones; a fork begins with its own."""
    with Session.create(tmp_path / "s.jsonl") as session:
        told(session, "one", "two")
        session.fork(tmp_path / "fork.jsonl").close()
    old = tmp_path / "old.jsonl"
    old.write_bytes(
        b'{"v":1,"type":"session","id":"ses_old","created":"2026-01-02T03:04:05+00:00"}\n'
        b'{"type":"turn_started","turn_id":"t"}\n'
        b'{"type":"item","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"go"}]}}\n'
        b'{"type":"sample_finished","usage":{"input":9}}\n'
        b'{"type":"turn_finished","turn_id":"t","stop_reason":"error","usage":{"input":11}}\n'
        b'{"type":"rollback","turns":1}\n'
    )
    fork, first = describe(tmp_path / "fork.jsonl"), describe(old)
    assert fork is not None
    assert first is not None
    assert (fork.turns, fork.items, fork.usage) == (2, 4, Usage())
    assert (first.id, first.turns, first.items, first.usage, first.text) == ("ses_old", 0, 0, Usage(input=11), "go")


def test_the_newest_come_first_and_the_odd_are_named(folder: SessionFolder) -> None:
    """By when they were written to. Files that are no sessions are not listed, ones of no use are, and why."""
    old, new = kept(folder, "old", age_s=500), kept(folder, "new", age_s=5)
    (folder.path / "notes.jsonl").write_text('{"type":"note"}\n')
    (folder.path / "pile.jsonl").write_bytes(b"x" * 100_000)
    (folder.path / "empty.jsonl").touch()
    (folder.path / ".hidden.jsonl").write_text('{"v":2,"type":"session"}\n')
    (folder.path / "sub.jsonl").mkdir()
    newer = folder.path / "newer.jsonl"
    newer.write_text('{"v":99,"type":"session","id":"later"}\n')
    os.utime(newer, (NOW - 9, NOW - 9))
    listed = folder.sessions()
    assert [info.id for info in listed] == [new.id, "later", old.id]
    assert "newer version" in listed[1].problem


def test_damage_after_the_last_turn_is_seen(tmp_path: Path) -> None:
    """A torn end is no problem (resuming sets it aside), damage before the end is one."""
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        told(session, "one")
        session.append(user_message("two"))
        session.append(user_message("three"))
    content = path.read_bytes()
    for change, problem in ((content[:-5], ""), (content.replace(b'"two"', b'"tow"'), "it is damaged before its end")):
        path.write_bytes(change)
        info = describe(path)
        assert info is not None
        assert info.problem == problem


def test_nothing_is_made_before_the_first_session(folder: SessionFolder) -> None:
    """An empty folder and none at all are the same."""
    assert (folder.sessions(), list(folder.search("x")), folder.prune(keep=0).removed) == ([], [], ())
    assert folder.newest() is None
    assert not folder.path.exists()


def test_sessions_are_found_by_id(folder: SessionFolder) -> None:
    """The whole one, its beginning, with or without `ses_`, or the file's name; not by what several share."""
    session, other = kept(folder, "a"), kept(folder, "b")
    assert session.path is not None
    assert other.path is not None
    own = folder.path / "mine.jsonl"
    other.path.rename(own)
    for name in (session.id, session.id[:12], session.id[4:12], session.path.name, session.path.stem):
        assert folder.find(name) == session.path
    assert [folder.find(name) for name in ("mine", "mine.jsonl", other.id)] == [own] * 3
    kept(folder, "c")
    for name, message in (("", "no session"), ("nothing", "no session"), ("ses_", "2 sessions")):
        with pytest.raises(SessionError, match=message):
            folder.find(name)


def test_resumed_and_forked_in_the_folder(folder: SessionFolder) -> None:
    """By id; a fork gets a file whose name has its own."""
    session = kept(folder, "a")
    with folder.resume(session.id) as again, folder.fork(again) as fork:
        assert (again.items, fork.items) == (session.items, session.items)
        assert fork.path == folder.find(fork.id)
        assert fork.id != session.id


def test_the_newest_with_a_label(folder: SessionFolder) -> None:
    """What `exec --continue` goes on with: the newest of this directory."""
    kept(folder, "a", age_s=9, labels={"cwd": "/a"})
    kept(folder, "b", age_s=1, labels={"cwd": "/b"})
    newest, here = folder.newest(), folder.newest({"cwd": "/a"})
    assert newest is not None
    assert here is not None
    assert (newest.text, here.text, folder.newest({"cwd": "/c"})) == ("b", "a", None)


FOUND: dict[str, tuple[str, list[str]]] = {
    "what the user said": ("GRÜSSE", ["user"]),
    "what the model said": ("fine answer", ["assistant"]),
    "what it thought": ("ponder", ["reasoning"]),
    "a call": ("grep -r", ["function_call"]),
    "an output": ("three hits", ["function_call_output"]),
    "parts of an output": ("part two", ["function_call_output"]),
    "quotes": ('"quoted"', ["assistant"]),
    "several": ("needle", ["user", "assistant", "function_call_output"]),
    "an id": ("msg_", []),
    "nothing": ("haystack", []),
}


@pytest.mark.parametrize("name", FOUND)
def test_texts_are_found_wherever_they_were_said(tmp_path: Path, name: str) -> None:
    """Case aside, in any item, with who said it and the words around it; not in ids and other members."""
    text, speakers = FOUND[name]
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        session.append(user_message("viele Grüße, Needle " + "x" * 500))
        session.append(Reasoning(summary=("I ponder",)), assistant_message('a Fine answer, "quoted" needle'))
        session.append(FunctionCall(call_id="c", name="shell", arguments='{"command":"grep -r x"}'))
        session.append(
            FunctionCallOutput(call_id="c", output=(InputText(text="three hits"), InputText(text="part two")))
        )
        session.append(FunctionCallOutput(call_id="d", output="a needle"), user_message("needle, the fourth"))
    spots = find_text(path, text)
    assert [spot.speaker for spot in spots] == speakers
    for spot in spots:
        assert text.casefold() in spot.text.casefold()
        assert len(spot.text) < 200


def test_a_folder_is_searched(folder: SessionFolder) -> None:
    """The newest first; what cannot be read is passed over, nothing to search for is refused."""
    kept(folder, "about apples", age_s=9)
    kept(folder, "about pears", age_s=5)
    kept(folder, "apples again", age_s=1)
    (folder.path / "bad.jsonl").write_bytes(b'{"v":2,"type":"session"}\n{"type":"item",apples\n')
    assert [(info.text, len(spots)) for info, spots in folder.search("Apples")] == [
        ("apples again", 2),
        ("about apples", 2),
    ]
    with pytest.raises(ConfigError, match="nothing to search for"):
        list(folder.search(" "))


DAY = 86400.0
RULES: dict[str, tuple[dict[str, timedelta | int], list[str]]] = {
    "by age": ({"older_than": timedelta(days=2)}, ["three days", "four days"]),
    "by number": ({"keep": 1}, ["a day", "three days", "four days"]),
    "by size": ({"max_bytes": 3000}, ["three days", "four days"]),
    "by any": ({"older_than": timedelta(days=3.5), "keep": 2}, ["three days", "four days"]),
    "nothing": ({"keep": 9}, []),
    "all": ({"keep": 0}, ["now", "a day", "three days", "four days"]),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dry_run", [True, False])
def test_prune_removes_what_its_rules_say(folder: SessionFolder, name: str, dry_run: bool) -> None:
    """And only that; a dry run says the same and removes nothing. What was set aside of a session goes with it."""
    rules, gone = RULES[name]
    ages = {"now": 0.0, "a day": DAY, "three days": 3 * DAY, "four days": 4 * DAY}
    paths = {text: kept(folder, text, age_s=age).path for text, age in ages.items()}
    aside = folder.path / f"{paths['four days'].name}.torn"  # type: ignore[union-attr]  # it has a file
    aside.write_bytes(b"x" * 10)
    (folder.path / "notes.txt").touch()
    sizes = sum(path.stat().st_size for text, path in paths.items() if path and text in gone)
    pruned = folder.prune(dry_run=dry_run, **rules)  # type: ignore[arg-type]  # from the table
    assert [info.text for info in pruned.removed] == gone
    assert pruned.freed_bytes == sizes + 10 * ("four days" in gone)
    left = [info.text for info in folder.sessions()]
    assert left == [text for text in ages if dry_run or text not in gone]
    assert aside.exists() is (dry_run or "four days" not in gone)
    assert (folder.path / "notes.txt").exists()


def test_prune_takes_what_was_never_finished(folder: SessionFolder) -> None:
    """A draft that a crash left days ago, not one that is being written."""
    kept(folder, "a")
    old, young = folder.path / ".s.jsonl.0.new", folder.path / ".s.jsonl.1.new"
    for path, age_s in ((old, 2 * DAY), (young, 9)):
        path.touch()
        os.utime(path, (NOW - age_s, NOW - age_s))
    folder.prune(keep=9, dry_run=True)
    assert old.exists()
    folder.prune(keep=9)
    assert (old.exists(), young.exists(), len(folder.sessions())) == (False, True, 1)


def test_prune_leaves_what_is_in_use(folder: SessionFolder) -> None:
    """And says so."""
    kept(folder, "free")
    with folder.create() as session:
        pruned = folder.prune(keep=0)
        assert ([info.text for info in pruned.removed], [info.id for info in pruned.left]) == (["free"], [session.id])
        assert session.path is not None
        assert session.path.exists()


@pytest.mark.parametrize("rules", [{}, {"keep": -1}, {"max_bytes": -1}, {"older_than": timedelta(days=-1)}])
def test_prune_without_a_sound_rule_removes_nothing(folder: SessionFolder, rules: dict[str, int]) -> None:
    """No rule is no licence."""
    kept(folder, "a")
    with pytest.raises(ConfigError):
        folder.prune(**rules)  # type: ignore[arg-type]
    assert len(folder.sessions()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the convention of Linux")
@pytest.mark.parametrize(
    ("env", "path"),
    [
        ({}, "HOME/.local/state/agent-core/sessions"),
        ({"XDG_STATE_HOME": "/state"}, "/state/agent-core/sessions"),
        ({"XDG_STATE_HOME": "relative"}, "HOME/.local/state/agent-core/sessions"),
        ({"XDG_STATE_HOME": "/state", "AGENT_CORE_SESSIONS": "/mine"}, "/mine"),
    ],
)
def test_where_sessions_are_kept(monkeypatch: pytest.MonkeyPatch, env: dict[str, str], path: str) -> None:
    """By the platform's convention, or where the user says."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_session_folder(env) == Path(path.replace("HOME", "/home/somebody"))


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    """A file in its place is told."""
    (tmp_path / "file").touch()
    folder = SessionFolder(tmp_path / "file")
    for call in (folder.create, folder.sessions):
        with pytest.raises(SessionError, match="cannot use"):
            call()
