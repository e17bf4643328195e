"""Repairing session files: what is whole is kept, what is not is set aside and counted, and nothing runs twice."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_core.errors import SessionError
from agent_core.items import FunctionCall, FunctionCallOutput, assistant_message, user_message
from agent_core.session import Repaired, Session, repair_session
from agent_core.session.lines import Record, write_line

CALL = FunctionCall(id="fc", call_id="c1", name="f", arguments="{}")
ITEMS = (
    user_message("one").model_copy(update={"id": "u1"}),
    CALL,
    FunctionCallOutput(id="fco", call_id="c1", output="x"),
    assistant_message("1").model_copy(update={"id": "a1"}),
    user_message("two").model_copy(update={"id": "u2"}),
)
HEADER, U1, C1, O1, A1, U2 = range(6)


def written(path: Path) -> list[bytes]:
    """A session of the items, one append each; its lines."""
    with Session.create(path) as session:
        for item in ITEMS:
            session.append(item)
    return path.read_bytes().splitlines(keepends=True)


def broken(line: bytes) -> bytes:
    return line.replace(b'"type"', b'"tpye"')


Damage = Callable[[list[bytes]], list[bytes]]
CASES: dict[str, tuple[Damage, list[str], tuple[int, ...], int]] = {
    "a line in the middle": (lambda x: [*x[:A1], broken(x[A1]), x[U2]], ["u1", "fc", "fco", "u2"], (5,), 0),
    "two places": (lambda x: [x[0], broken(x[1]), x[2], x[3], broken(x[4]), x[5]], ["fc", "fco", "u2"], (2, 5), 0),
    "lines that are gone": (lambda x: [*x[:U1], *x[A1:]], ["a1", "u2"], (), 3),
    "a line in place of two": (lambda x: [*x[:O1], b"?\n", x[U2]], ["u1", "fc", "u2"], (4,), 1),
    "three lines in place of one": (lambda x: [*x[:A1], b"?\n?\n?\n", x[U2]], ["u1", "fc", "fco", "u2"], (5, 6, 7), 0),
    "a line that is there twice": (lambda x: [*x[:O1], x[C1], *x[O1:]], ["u1", "fc", "fco", "a1", "u2"], (4,), 0),
    "the end": (lambda x: [*x[:U2], x[U2][:9]], ["u1", "fc", "fco", "a1"], (6,), 0),
    "the header": (lambda x: [broken(x[0]), *x[1:]], ["u1", "fc", "fco", "a1", "u2"], (1,), 0),
    "zeroes before the end": (lambda x: [*x[:A1], b"\0" * 99 + b"\n", x[U2]], ["u1", "fc", "fco", "u2"], (5,), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_whole_is_kept(tmp_path: Path, name: str) -> None:
    """Refused before (but for its end), resumed after; the file as it was is kept to the byte; once is enough."""
    damage, ids, lines, missing = CASES[name]
    path = tmp_path / "s.jsonl"
    before = b"".join(damage(written(path)))
    path.write_bytes(before)
    done = repair_session(path)
    assert (done.lost_lines, done.missing, done.original) == (lines, missing, tmp_path / "s.jsonl.damaged")
    assert (tmp_path / "s.jsonl.damaged").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["s.jsonl", "s.jsonl.damaged"]
    assert path.stat().st_mode & 0o777 == 0o600
    with Session.resume(path) as session:
        assert [item.id for item in session.items] == ids
        assert session.warnings == ()
        session.append(user_message("more"))
    assert repair_session(path).original is None


@pytest.mark.parametrize("name", ["header", "no header"])
def test_what_a_header_said_is_kept(tmp_path: Path, name: str) -> None:
    """The session's id and labels, where they can be read; else it gets another id."""
    path = tmp_path / "s.jsonl"
    with Session.create(path, labels={"cwd": "/x"}) as session:
        session.append(*ITEMS)
    content = path.read_bytes().replace(b'"role"', b'"rolf"')
    path.write_bytes(content if name == "header" else content.replace(b'"ses_', b'"sis_'))
    repair_session(path)
    again = Session.read(path)
    known = name == "header"
    assert (again.id == session.id, dict(again.labels)) == (known, {"cwd": "/x"} if known else {})
    assert again.id.startswith("ses_")


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_never_passes_for_health(tmp_path: Path, seed: int) -> None:
    """Bytes changed, cut, zeroed, doubled anywhere: what opens is a prefix and says so, or it is refused; repaired it
    opens, with whole items in their order and nothing made up."""
    path, chance = tmp_path / "s.jsonl", random.Random(seed)
    content = b"".join(written(path))
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(content))
        end = min(start + chance.choice((1, 1, 7, 100, 300)), len(content))
        piece = content[start:end]
        made = chance.choice((b"", bytes(len(piece)), b"\n", piece * 2, bytes(byte ^ 4 for byte in piece)))
        content = content[:start] + made + content[end:]
    path.write_bytes(content)
    try:
        opened = Session.read(path)
    except SessionError:
        pass
    else:
        assert opened.items == ITEMS[: len(opened.items)]
        assert (
            len(opened.items) == len(ITEMS)
            or opened.warnings
            or not content.endswith(b"\n")
            or content.count(b"\n") < 6
        )
    try:
        repair_session(path)
    except SessionError as error:
        assert "no record of a session" in error.message or "is empty" in error.message
        return
    with Session.resume(path) as session:
        ids = [item.id for item in session.items]
        assert ids == [item.id for item in ITEMS if item.id in ids]
        assert all(item in ITEMS for item in session.items)


def test_a_call_whose_record_may_be_lost_is_not_run_again(tmp_path: Path) -> None:
    """That a tool was started may be what is missing; the same goes for its output."""
    path = tmp_path / "s.jsonl"
    lines = written(path)
    path.write_bytes(b"".join([*lines[:O1], broken(lines[O1]), lines[A1]]))
    repair_session(path)
    with Session.resume(path) as session:
        assert session.open_calls() == (CALL,)
        assert session.was_started(CALL)


def test_records_that_make_no_sense_without_the_missing_ones(tmp_path: Path) -> None:
    """A marker that counts on what is gone goes with it."""
    path = tmp_path / "s.jsonl"
    head: list[Record] = [
        {"v": 2, "type": "session", "id": "x"},
        {"type": "compaction", "replaced": 4, "last": "a", "items": []},
    ]
    path.write_bytes(b"".join(write_line(record, n) for n, record in enumerate([*head, {"type": "rollback"}], 1)))
    with pytest.raises(SessionError, match="line 2"):
        Session.read(path)
    assert repair_session(path).lost_lines == (2, 3)
    assert Session.read(path).items == ()


def test_format_1_is_repaired_too(tmp_path: Path) -> None:
    """Without numbers and checksums, a line that is no record is all there is to see."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b'{"v":1,"type":"session","id":"old"}\n{"type":"ite\n{"type":"turn_started"}\n')
    assert repair_session(path) == Repaired(path, 2, (2,), 13, 0, tmp_path / "s.jsonl.damaged")
    assert Session.read(path).id == "old"


def test_originals_are_never_overwritten(tmp_path: Path) -> None:
    """Each repair keeps its own."""
    path = tmp_path / "s.jsonl"
    for _ in range(3):
        path.unlink(missing_ok=True)
        lines = written(path)
        path.write_bytes(b"".join([lines[0], broken(lines[1]), *lines[2:]]))
        repair_session(path)
    assert sorted(os.listdir(tmp_path)) == ["s.jsonl", "s.jsonl.damaged", "s.jsonl.damaged1", "s.jsonl.damaged2"]


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "another file": (b"hello\nworld\n", "no record of a session"),
    "one long line": (b"x" * 200_000, "no record of a session"),
    "a newer format": (b'{"v":99,"type":"session"}\nx\n', "newer version"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_session_is_left_alone(tmp_path: Path, name: str) -> None:
    """An error that says why, and the folder as it was."""
    content, message = REFUSED[name]
    path = tmp_path / "s.jsonl"
    path.write_bytes(content)
    with pytest.raises(SessionError, match=message):
        repair_session(path)
    assert (os.listdir(tmp_path), path.read_bytes()) == (["s.jsonl"], content)


def test_a_session_in_use_is_not_repaired(tmp_path: Path) -> None:
    """Nor is one that is not there."""
    path = tmp_path / "s.jsonl"
    with pytest.raises(SessionError, match="there is no session file"):
        repair_session(path)
    with Session.create(path), pytest.raises(SessionError, match="open in another"):
        repair_session(path)
