"""Sessions: what was appended is there again, after a close and after a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_core.errors import SessionError
from agent_core.events import Usage
from agent_core.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    assistant_message,
    system_message,
    user_message,
)
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
        session.tool_started(CALL)
        session.turn_finished("t", "completed", Usage(input=3, output=2))
    with Session.resume(tmp_path / "deep" / "s.jsonl") as again:
        assert (again.id, again.items, again.usage) == (session.id, session.items, Usage(input=3, output=2))
        assert again.open_calls() == session.items[1:]
        assert again.was_started(again.open_calls()[0])
        again.append(FunctionCallOutput(call_id="c1", output="x"))
        assert again.open_calls() == ()


def test_open_calls_are_those_without_an_output() -> None:
    """For every kind of call, in order."""
    custom = CustomToolCall(call_id="k", name="p", id="ctc_1")
    session = Session(items=[CALL, custom, FunctionCallOutput(call_id="c1", output="")])
    assert session.open_calls() == (custom,)
    session.append(CustomToolCallOutput(call_id="k", output=""))
    assert session.open_calls() == ()


def test_a_closed_session_refuses_to_forget(tmp_path: Path) -> None:
    """Appending after close is an error, not a loss."""
    session = Session.create(tmp_path / "s.jsonl")
    session.close()
    with pytest.raises(SessionError, match="cannot use session file"):
        session.append(user_message("x"))
    assert session.items == ()


def test_what_the_provider_counted_is_there_again(tmp_path: Path) -> None:
    """A resumed session estimates as the one that was closed, and older readers skip the record."""
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        session.append(user_message("hi"), assistant_message("ho"))
        session.sample_finished(Usage(input=1, cache_read=900, output=40, reasoning=59))
        session.append(user_message("x" * 400))
    with Session.resume(path) as again:
        assert again.estimated_tokens() == session.estimated_tokens() == 1000 + 103
        assert again.usage == Usage()  # a turn's end says what was spent, a sample how full the history is


def test_outputs_are_found_by_either_id() -> None:
    """By their own id, which is unique, or by the call's: then the newest."""
    first, second = (FunctionCallOutput(id=f"o{n}", call_id="call_0", output=str(n)) for n in range(2))
    session = Session(items=[first, second, user_message("o0")])
    assert [session.output(name) for name in ("o0", "call_0", "nothing")] == [first, second, None]


TURNS = (
    system_message("be brief"),
    user_message("one"),
    CALL,
    FunctionCallOutput(call_id="c1", output="x"),
    assistant_message("1"),
    user_message("two"),
    assistant_message("2"),
)


@pytest.mark.parametrize(("turns", "left"), [(1, 5), (2, 1), (9, 1)])
def test_rollback_takes_user_turns_back(tmp_path: Path, turns: int, left: int) -> None:
    """As many as asked for, never what stands before the first; the same after a resume, and nothing is rewritten
    (codex.md 8, drop_last_n: some, all, too many, prefix)."""
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        before = session.append(*TURNS)
        content = path.read_bytes()
        assert session.rollback(turns) == before[left:]
        assert session.items == before[:left]
        assert path.read_bytes().startswith(content + b'{"type":"rollback","turns":%d,' % min(turns, 2))
        again = session.append(before[-1])
        assert again == before[-1:]  # what is gone may come back
    with Session.resume(path) as resumed:
        assert resumed.items == (*before[:left], before[-1])


def test_rollback_forgets_what_it_took() -> None:
    """Open calls and the provider's count are those of what is left."""
    session = Session(items=[*TURNS[:5]])
    session.sample_finished(Usage(input=100))
    session.append(user_message("three"), FunctionCall(call_id="c9", name="f"))
    session.sample_finished(Usage(input=200))
    session.rollback()
    assert (session.open_calls(), session.estimated_tokens()) == ((), 100)
    session.append(FunctionCall(id="again", call_id="c9", name="f"))
    assert [call.id for call in session.open_calls()] == ["again"]


def test_rollbacks_that_cannot_be() -> None:
    """Less than a turn, and in the middle of one; without a user's message there is nothing to take back."""
    session = Session(items=[system_message("be brief")])
    assert session.rollback() == ()
    with pytest.raises(SessionError, match="cannot roll back 0 turns"):
        session.rollback(0)
    session.turn_started("t")
    with pytest.raises(SessionError, match="while a turn runs"):
        session.rollback()
    session.turn_finished("t", "completed", Usage())
    assert session.rollback() == ()


@pytest.mark.parametrize("kept", [True, False])
def test_a_fork_goes_its_own_way(tmp_path: Path, kept: bool) -> None:
    """Same items, estimate and open calls; another id, nothing spent; what happens to one is not seen by the other."""
    with Session.create(tmp_path / "s.jsonl") as session:
        session.append(*TURNS[:2], assistant_message("1"))
        session.sample_finished(Usage(input=50))
        session.append(CALL)
        session.tool_started(CALL)
        session.turn_finished("t", "completed", Usage(input=50))
        fork = session.fork(tmp_path / "fork.jsonl" if kept else None)
        assert (fork.items, fork.estimated_tokens()) == (session.items, session.estimated_tokens())
        (call,) = fork.open_calls()
        assert (session.open_calls(), fork.was_started(call), fork.usage) == ((call,), True, Usage())
        session.rollback()
        fork.append(user_message("elsewhere"))
        assert (len(session.items), len(fork.items), fork.id != session.id) == (1, 5, True)
        fork.close()
    if kept:
        with Session.resume(tmp_path / "fork.jsonl") as again:
            assert (again.id, again.items, again.estimated_tokens()) == (fork.id, fork.items, fork.estimated_tokens())


def test_forks_of_forks_without_their_last_turns(tmp_path: Path) -> None:
    """Twice in a row, from a file and from memory, each up to another turn (codex.md 8, fork_thread)."""
    with Session.create(tmp_path / "s.jsonl") as session:
        session.append(*TURNS)
        with session.fork(tmp_path / "one.jsonl") as one:
            one.rollback()
            one.append(user_message("else"))
            two = one.fork()
            two.rollback(2)
    assert [len(fork.items) for fork in (session, one, two)] == [7, 6, 1]
    assert Session.read(tmp_path / "one.jsonl").items == one.items
    assert len({session.id, one.id, two.id}) == 3


def test_a_fork_that_fails_leaves_no_file(tmp_path: Path) -> None:
    """And an existing file is never touched."""
    path = tmp_path / "fork.jsonl"
    no_json = {"call_id": "c", "output": "x", "of_a_caller": object()}
    session = Session(items=[FunctionCallOutput.model_validate(no_json)])
    with pytest.raises(Exception, match="serialize"):
        session.fork(path)
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(SessionError, match="exists already"):
        session.fork(path)
    assert path.read_text() == "mine"
