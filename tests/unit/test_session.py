"""Sessions: what was appended is there again, after a close and after a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_core.errors import SessionError
from agent_core.events import Usage
from agent_core.items import CustomToolCall, CustomToolCallOutput, FunctionCall, FunctionCallOutput, user_message
from agent_core.session import Session

CALL = FunctionCall(call_id="c1", name="f", arguments="{}")


def test_items_get_ids_once_and_appends_are_idempotent() -> None:
    """The same item appended twice is there once."""
    session = Session()
    (first,) = session.append(user_message("hi"))
    assert first.id is not None
    assert session.append(first) == ()
    assert session.items == (first,)


def test_resume_restores_everything(tmp_path: Path) -> None:
    """Items, ids, usage and open calls."""
    with Session.create(tmp_path / "deep" / "s.jsonl") as session:
        session.append(user_message("hé"), CALL)
        session.tool_started("c1")
        session.turn_finished("t", "completed", Usage(input=3, output=2))
    with Session.resume(tmp_path / "deep" / "s.jsonl") as again:
        assert (again.id, again.items, again.usage) == (session.id, session.items, Usage(input=3, output=2))
        assert again.open_calls() == session.items[1:]
        assert again.was_started("c1")
        again.append(FunctionCallOutput(call_id="c1", output="x"))
        assert again.open_calls() == ()


def test_open_calls_are_those_without_an_output() -> None:
    """For every kind of call, in order."""
    custom = CustomToolCall(call_id="k", name="p", id="ctc_1")
    session = Session(items=[CALL, custom, FunctionCallOutput(call_id="c1", output="")])
    assert session.open_calls() == (custom,)
    session.append(CustomToolCallOutput(call_id="k", output=""))
    assert session.open_calls() == ()


@pytest.mark.parametrize("torn", [b'{"type":"item","it', b"\x00\x00\x00", b'{"type":"item"\n', b'{"no":"type"}\n'])
def test_a_torn_tail_is_set_aside_and_said(tmp_path: Path, torn: bytes) -> None:
    """A crash in the middle of a record costs that record, and it is kept beside the file."""
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        session.append(user_message("hi"))
    path.write_bytes(path.read_bytes() + torn)
    with Session.resume(path) as again:
        assert again.items == session.items
        assert "set aside" in again.warnings[0]
        again.append(user_message("more"))
    assert (tmp_path / "s.jsonl.torn").read_bytes().startswith(torn.rstrip(b"\n"))
    with Session.resume(path) as third:
        assert (len(third.items), third.warnings) == (2, ())


def test_every_cut_of_the_file_opens_or_says_why(tmp_path: Path) -> None:
    """Cut anywhere after its first line, a journal gives a prefix of its items."""
    path, cut = tmp_path / "s.jsonl", tmp_path / "cut.jsonl"
    with Session.create(path) as session:
        session.append(user_message("one"), CALL, user_message("two"))
    content = path.read_bytes()
    for end in range(content.index(b"\n") + 1, len(content)):
        cut.write_bytes(content[:end])
        with Session.resume(cut) as part:
            assert part.items == session.items[: len(part.items)]
            assert len(part.items) == content[:end].count(b"\n") - 1


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a session file"),
    "another file": (b'{"type":"item"}\n', "not a session file"),
    "binary": (b"\x89PNG\n\x1a\n" * 20, "line 1"),
    "a newer format": (b'{"v":99,"type":"session","id":"x"}\n', "newer version"),
    "damage in the middle": (b'{"v":1,"type":"session","id":"x"}\ngarbage\n{"type":"turn_started"}\n', "line 2"),
    "an item that is none": (b'{"v":1,"type":"session","id":"x"}\n{"type":"item","item":3}\n', "line 2"),
}


@pytest.mark.parametrize("name", BAD)
def test_unusable_files_are_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    """One line that says where; the file is not touched."""
    content, message = BAD[name]
    path = tmp_path / "s.jsonl"
    path.write_bytes(content)
    with pytest.raises(SessionError, match=message):
        Session.resume(path)
    assert path.read_bytes() == content


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    """Missing, existing, a folder, and a file open elsewhere."""
    path = tmp_path / "s.jsonl"
    with pytest.raises(SessionError, match="there is no session file"):
        Session.resume(path)
    with Session.create(path), pytest.raises(SessionError, match="open in another"):
        Session.resume(path)
    with pytest.raises(SessionError, match="exists already"):
        Session.create(path)
    with pytest.raises(SessionError, match="cannot use"):
        Session.resume(tmp_path)


def test_a_closed_session_refuses_to_forget(tmp_path: Path) -> None:
    """Appending after close is an error, not a loss."""
    session = Session.create(tmp_path / "s.jsonl")
    session.close()
    with pytest.raises(SessionError, match="cannot use session file"):
        session.append(user_message("x"))
    assert session.items == ()
