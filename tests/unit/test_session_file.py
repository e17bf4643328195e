"""Session files: torn ends, damage, locks, full disks. What was written is there, or it is said that it is not."""

from __future__ import annotations

import errno
import json
import os
import time
import tracemalloc
from pathlib import Path

import pytest

from agent_core.errors import ConfigError, SessionError
from agent_core.events import Usage
from agent_core.items import FunctionCall, FunctionCallOutput, ResponseItem, user_message
from agent_core.session import Session
from agent_core.session.lines import read_line, write_line
from tests.forked import in_a_child
from tests.full_disk import no_file_beyond

CALL = FunctionCall(call_id="c1", name="f", arguments="{}")
V1 = b"""{"v":1,"type":"session","id":"ses_old","created":"2026-01-02T03:04:05+00:00"}
{"type":"turn_started","turn_id":"t1"}
{"type":"item","item":{"type":"message","id":"msg_1","role":"user","content":[{"type":"input_text","text":"go"}],"status":"completed"}}
{"type":"item","item":{"type":"function_call","id":"fc_1","call_id":"call_0","name":"f","arguments":"{}","status":"completed"}}
{"type":"sample_finished","usage":{"input":9,"cache_read":0,"cache_write":0,"cache_write_1h":0,"output":2,"reasoning":0}}
{"type":"tool_started","call_id":"call_0"}
"""


@pytest.mark.parametrize("record", [{"type": "x"}, {"type": "item", "item": {"text": "é\ud800\n", "crc": "n"}}])
@pytest.mark.parametrize("more", [False, True])
def test_lines_come_back_and_damage_does_not(record: dict[str, object], more: bool) -> None:
    """A line is JSON that holds its record; with any byte changed or any end cut off it is none."""
    line = write_line(json.loads(json.dumps(record)), 7, more=more)
    found = read_line(line)
    assert found is not None
    assert (found.record, found.number, found.more) == (record, 7, more)
    assert json.loads(line).items() >= record.items()
    for n in range(len(line)):
        assert read_line(line[:n]) is None
        assert read_line(line[:n] + bytes([line[n] ^ 1]) + line[n + 1 :]) is None


@pytest.mark.parametrize(
    "torn",
    [
        b'{"type":"item","it',
        b"\x00\x00\x00",
        b'{"type":"item"\n',
        b'{"no":"type"}\n',
        b"a\nb\n\x00c\n",
        b'{"type":"x"}\n',
    ],
)
def test_a_torn_tail_is_set_aside_and_said(tmp_path: Path, torn: bytes) -> None:
    """What a crash or a power failure left at the end, be it many lines, is kept beside the file; then all is well."""
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        session.append(user_message("hi"))
    path.write_bytes(path.read_bytes() + torn)
    assert f"last {len(torn)} bytes" in Session.read(path).warnings[0]
    with Session.resume(path) as again:
        assert again.items == session.items
        assert "set aside in 's.jsonl.torn'" in again.warnings[0]
        again.append(user_message("more"))
    aside = tmp_path / "s.jsonl.torn"
    assert aside.read_bytes() == torn + b"\n"
    assert [file.stat().st_mode & 0o777 for file in (path, aside)] == [0o600, 0o600]
    with Session.resume(path) as third:
        assert (len(third.items), third.warnings) == (2, ())


def test_an_open_call_before_a_torn_tail_may_have_been_started(tmp_path: Path) -> None:
    """The record that said so may be what was torn: it is not run again, not after the next crash either."""
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        session.append(user_message("hi"), CALL)
    path.write_bytes(path.read_bytes() + b'{"type":"tool_sta')
    for _ in range(2):
        with Session.resume(path) as again:
            (call,) = again.open_calls()
            assert again.was_started(call)


def test_every_cut_of_the_file_opens_and_has_whole_appends(tmp_path: Path) -> None:
    """Cut anywhere after its first line, a journal gives the items of a prefix of its appends, never half of one."""
    path, cut = tmp_path / "s.jsonl", tmp_path / "cut.jsonl"
    with Session.create(path) as session:
        for items in ((user_message("one"),), (CALL, user_message("two"), user_message("3")), (user_message("four"),)):
            session.append(*items)
    content = path.read_bytes()
    seen: set[int] = set()
    for end in range(content.index(b"\n") + 1, len(content) + 1):
        cut.write_bytes(content[:end])
        with Session.resume(cut, fsync="never") as part:
            assert part.items == session.items[: len(part.items)]
            seen.add(len(part.items))
        cut.unlink()
    assert seen == {0, 1, 4, 5}


GOOD = b'{"v":1,"type":"session","id":"x"}\n'
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a session file"),
    "another file": (b'{"type":"item"}\n', "not a session file"),
    "binary": (b"\x89PNG\n\x1a\n" * 20, "not a session file"),
    "one line without end": (b"{" * 100_000, "not a session file"),
    "a newer format": (b'{"v":99,"type":"session","id":"x"}\n', "newer version"),
    "damage in the middle": (GOOD + b'garbage\n{"type":"turn_started"}\n', "line 2 .* whole ones follow"),
    "a missing line": (write_line({"v": 2, "type": "session"}, 1) + write_line({"type": "x"}, 3), "line 2 .* record 3"),
    "an edited line": (
        write_line({"v": 2, "type": "session"}, 1)
        + write_line({"type": "x", "y": 1}, 2).replace(b'"y":1', b'"y":2')
        + write_line({"type": "x"}, 3),
        "line 2",
    ),
    "a line without a checksum": (
        write_line({"v": 2, "type": "session"}, 1) + b'{"type":"x"}\n' + write_line({"type": "x"}, 3),
        "line 2",
    ),
    "a rollback of nothing": (GOOD + b'{"type":"rollback","turns":0}\n', "line 2"),
    "an item that is none": (GOOD + b'{"type":"item","item":3}\n', "line 2"),
}


@pytest.mark.parametrize("name", BAD)
def test_unusable_files_are_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    """One line that says where; the file is not touched."""
    content, message = BAD[name]
    path = tmp_path / "s.jsonl"
    path.write_bytes(content)
    for door in (Session.resume, Session.read):
        with pytest.raises(SessionError, match=message):
            door(path)
    assert path.read_bytes() == content


def test_format_1_is_read_and_gone_on_with(tmp_path: Path) -> None:
    """A file of the first format: its items, its open call that was started, what its cut-off turn took. What is added
    has checksums, and from there on every line needs one."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(V1)
    with Session.resume(path) as session:
        assert (session.id, [item.id for item in session.items]) == ("ses_old", ["msg_1", "fc_1"])
        assert session.was_started(session.open_calls()[0])
        assert session.usage == Usage(input=9, output=2)
        session.append(FunctionCallOutput(call_id="call_0", output="done"))
    with Session.resume(path) as again:
        assert (again.items, again.open_calls()) == (session.items, ())
    path.write_bytes(path.read_bytes() + V1.splitlines(keepends=True)[2])
    assert "cut off" in Session.read(path).warnings[0]


def test_later_records_annotate(tmp_path: Path) -> None:
    """A type of record, and a member, that this version does not know change nothing."""
    path = tmp_path / "s.jsonl"
    header = write_line({"v": 2, "type": "session", "id": "x", "mood": "good"}, 1)
    path.write_bytes(header + write_line({"type": "weather", "sun": True}, 2))
    with Session.resume(path) as session:
        assert (session.id, session.items, session.warnings) == ("x", (), ())
        session.append(user_message("hi"))


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    """Missing, existing, a folder, and names that are none."""
    path = tmp_path / "s.jsonl"
    for door in (Session.resume, Session.read):
        with pytest.raises(SessionError, match="there is no session file"):
            door(path)
        with pytest.raises(SessionError, match=r"cannot use|not a regular"):
            door(tmp_path)
    Session.create(path).close()
    with pytest.raises(SessionError, match="exists already"):
        Session.create(path)
    for door in (Session.create, Session.resume, Session.read):
        with pytest.raises(SessionError, match="cannot use"):
            door(tmp_path / "a\0b")
    with pytest.raises(SessionError, match="cannot use"):
        Session.create(tmp_path / ("x" * 300))
    assert os.listdir(tmp_path) == ["s.jsonl"]


@pytest.mark.parametrize("name", ["/dev/zero", "pipe"])
def test_what_has_no_end_is_not_read(tmp_path: Path, name: str) -> None:
    """A device or a pipe is refused before anything is read from it."""
    path = Path(name) if name.startswith("/") else tmp_path / name
    if not path.exists():
        os.mkfifo(path)
    for door in (Session.resume, Session.read):
        with pytest.raises(SessionError, match="is not a regular file"):
            door(path)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """A second session in this process is refused until the first is closed; reading is always possible."""
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        session.append(user_message("hi"))
        with pytest.raises(SessionError, match="open in another"):
            Session.resume(path)
        assert Session.read(path).items == session.items
    Session.resume(path).close()


def test_a_process_that_was_forked_does_not_write(tmp_path: Path) -> None:
    """It shares the file and its lock, so nothing else would keep the two apart."""
    session = Session.create(tmp_path / "s.jsonl")

    def write() -> None:
        with pytest.raises(SessionError):
            session.append(user_message("from the child"))

    in_a_child(write)
    session.append(user_message("from the parent"))
    session.close()
    assert len(Session.read(tmp_path / "s.jsonl").items) == 1


def test_a_file_that_was_removed_takes_no_turn(tmp_path: Path) -> None:
    """What is written to it would be gone with it; a fork keeps the conversation."""
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        session.append(user_message("hi"))
        path.unlink()
        with pytest.raises(SessionError, match="was removed"):
            session.turn_started("t")
        with session.fork(path) as fork:
            assert fork.items == session.items
            fork.turn_started("t")


def test_what_does_not_fit_is_not_there(tmp_path: Path) -> None:
    """A failing append adds nothing, to the session or to the file, says what to do, and the next one is whole."""
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        session.append(user_message("hi"))
        content = path.read_bytes()
        too_much: list[ResponseItem] = [user_message("x" * 300) for _ in range(20)]
        with no_file_beyond(len(content) + 1000):
            for _ in range(2):
                with pytest.raises(SessionError, match=os.strerror(errno.EFBIG)) as caught:
                    session.append(*too_much)
                assert "fork" in caught.value.remedy
                assert (len(session.items), path.read_bytes()) == (1, content)
            session.append(CALL)
        assert len(session.append(*too_much)) == 20
    with Session.resume(path) as again:
        assert (again.items, again.warnings) == (session.items, ())


def test_a_file_that_cannot_be_begun_is_not_there(tmp_path: Path) -> None:
    """No room for the first line: no file, not even an empty one, and no part of a fork."""
    session = Session(items=[user_message("x" * 500)] * 3)
    for limit in (0, 600):
        with no_file_beyond(limit), pytest.raises(SessionError, match="cannot use"):
            session.fork(tmp_path / "fork.jsonl")
        assert os.listdir(tmp_path) == []
    with no_file_beyond(0), pytest.raises(SessionError, match="cannot use"):
        Session.create(tmp_path / "s.jsonl")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("fsync", "synced"), [("turn", [0, 0, 2]), ("item", [1, 2, 3]), ("never", [0, 0, 0])])
def test_when_it_is_brought_down_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: str, synced: list[int]
) -> None:
    """After an item, after a tool started, after a turn; the folder's entry with the first one."""
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    with Session.create(tmp_path / "s.jsonl", fsync=fsync) as session:  # type: ignore[arg-type]  # from the table
        before = len(calls)
        counts: list[int] = []
        session.append(CALL)
        counts.append(len(calls) - before)
        session.tool_started(CALL)
        counts.append(len(calls) - before)
        session.turn_finished("t", "completed", Usage())
        counts.append(len(calls) - before)
    assert counts == synced


def test_an_fsync_policy_that_is_none(tmp_path: Path) -> None:
    """It is named, and nothing is made."""
    with pytest.raises(ConfigError, match="fsync must be one of turn, item, never"):
        Session.create(tmp_path / "s.jsonl", fsync="always")  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def test_after_a_failing_fsync_nothing_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel has forgotten what it could not write: the session takes no more, a resumed one has what is there."""

    def fails(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Session.create(tmp_path / "s.jsonl") as session:
        session.append(user_message("hi"))
        with monkeypatch.context() as patch, pytest.raises(SessionError, match="Input/output error"):
            patch.setattr(os, "fsync", fails)
            session.turn_finished("t", "completed", Usage())
        with pytest.raises(SessionError, match="what it holds is not known"):
            session.append(user_message("more"))
    with Session.resume(tmp_path / "s.jsonl") as again:
        assert again.items == session.items
        again.append(user_message("more"))


def test_opening_holds_a_record_at_a_time(tmp_path: Path) -> None:
    """A journal is read as a stream: what a resumed session takes is its items, not the file beside them."""
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        for n in range(60):
            session.append(user_message("x" * 100_000))
            session.rollback() if n else None
    assert path.stat().st_size > 5_000_000
    tracemalloc.start()
    try:
        with Session.resume(path) as again:
            _, peak = tracemalloc.get_traced_memory()
            assert len(again.items) == 1
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000


def test_long_sessions_cost_linear_time(tmp_path: Path) -> None:
    """Appending, opening, forking, rolling back: ten times the items cost about ten times as much, not a hundred."""

    def cost(turns: int) -> float:
        began = time.process_time()
        with Session.create(tmp_path / f"{turns}.jsonl", fsync="never") as session:
            for number in range(turns):
                session.append(user_message("u"), CALL.model_copy(update={"call_id": str(number)}))
                session.append(FunctionCallOutput(call_id=str(number), output="x"))
                session.sample_finished(Usage(input=number))
                assert session.open_calls() == ()
        with Session.resume(tmp_path / f"{turns}.jsonl") as again:
            again.fork(tmp_path / f"{turns}.fork.jsonl").close()
            while again.rollback():
                assert again.open_calls() == ()
        return time.process_time() - began

    cost(10)
    assert cost(600) < 30 * cost(60)
