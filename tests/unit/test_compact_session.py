"""A session across compactions: what the model sees, what the file keeps, and how to get back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_core.errors import SessionError
from agent_core.events import Usage
from agent_core.items import (
    Compaction,
    FunctionCall,
    FunctionCallOutput,
    JsonValue,
    Message,
    ResponseItem,
    assistant_message,
    text_of,
    user_message,
)
from agent_core.session import Session
from agent_core.session.estimate import estimate_item
from agent_core.session.lines import write_line

SUMMARY = Compaction(summary="so far " + "." * 400)


def texts(items: tuple[ResponseItem, ...]) -> list[str]:
    """What each item says, in a word."""
    words = {"compaction": "SUMMARY", "function_call": "call", "function_call_output": "output"}
    return [text_of(item) if isinstance(item, Message) else words[item.type] for item in items]


def talk(session: Session, *turns: str) -> None:
    for turn in turns:
        session.append(user_message(turn), assistant_message(f"re {turn}"))
        session.sample_finished(Usage(input=1000 * len(session.transcript)))


def compact(session: Session, upto: int, *keep: int) -> None:
    items = session.items
    session.compact(upto, (*(items[n] for n in keep), SUMMARY))


def kept(path: Path | None) -> Session:
    return Session.create(path) if path is not None else Session()


def reopened(session: Session) -> Session:
    session.close()
    assert session.path is not None
    return Session.resume(session.path)


def test_items_go_on_from_the_summary_and_the_transcript_has_everything() -> None:
    """The same objects where they stay; the replacement gets ids."""
    session = Session()
    talk(session, "one", "two", "three")
    before = session.items
    compact(session, 4, 2)
    assert texts(session.items) == ["two", "SUMMARY", "three", "re three"]
    assert session.items[0] is before[2] and session.items[2:] == before[4:]
    assert (session.items[1].id or "").startswith("cmp_")
    assert session.transcript == before
    talk(session, "four")
    assert texts(session.items)[2:] == ["three", "re three", "four", "re four"]
    assert texts(session.transcript)[-4:] == ["three", "re three", "four", "re four"]


def test_twice_keeps_user_messages() -> None:
    """codex.md 8, compact: a second compaction replaces the first one's summary; what was kept may be kept again."""
    session = Session()
    talk(session, "one", "two")
    compact(session, 4, 0, 2)
    talk(session, "three")
    compact(session, 5, 0, 1, 3)
    assert texts(session.items) == ["one", "two", "three", "SUMMARY"]
    assert texts(session.transcript) == ["one", "re one", "two", "re two", "three", "re three"]


def test_resume_after_compaction_keeps_the_model_view(tmp_path: Path) -> None:
    """codex.md 8, compact: resume. Items, ids, transcript and estimate; a shortened message has no other place."""
    session = Session.create(tmp_path / "s.jsonl")
    talk(session, "one", "two")
    session.compact(4, (user_message("on…e"), session.items[2], SUMMARY))
    talk(session, "three")
    compact(session, 5, 0, 1, 3)
    with reopened(session) as again:
        assert (again.items, again.transcript) == (session.items, session.transcript)
        assert again.estimated_tokens() == session.estimated_tokens()
        assert texts(again.items) == ["on…e", "two", "three", "SUMMARY"]


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_fork_after_compaction_keeps_the_model_view(tmp_path: Path, on_disk: bool) -> None:
    """codex.md 8, compact: fork. The full record goes along, and both can go back before the compaction."""
    session = Session()
    talk(session, "one", "two")
    compact(session, 2, 0)
    talk(session, "three")
    fork = session.fork(tmp_path / "f.jsonl" if on_disk else None)
    if on_disk:
        fork = reopened(fork)
    assert (fork.items, fork.transcript) == (session.items, session.transcript)
    assert fork.estimated_tokens() == session.estimated_tokens()
    fork.rollback(3)
    assert (texts(fork.items), len(session.items)) == ([], 6)
    fork.close()


BACK: list[tuple[int, list[str], int | None]] = [
    (1, ["two", "SUMMARY", "three", "re three"], 6000),
    (2, ["two", "SUMMARY"], None),
    (3, ["one", "re one"], 2000),
    (9, [], 0),
]


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(("turns", "left", "tokens"), BACK)
def test_rollback_past_a_compaction_brings_back_what_it_replaced(
    tmp_path: Path, on_disk: bool, turns: int, left: list[str], tokens: int | None
) -> None:
    """codex.md 8, compact: rollback past compaction replays. A summary stays only while all it tells of was said; the
    provider's count is that of the history that is left, or the replacement is estimated."""
    session = kept(tmp_path / "s.jsonl" if on_disk else None)
    talk(session, "one", "two")
    compact(session, 4, 2)
    talk(session, "three", "four")
    session.rollback(turns)
    if on_disk:
        session = reopened(session)
    assert texts(session.items) == left
    assert session.transcript == session.items or "SUMMARY" in left
    assert session.estimated_tokens() == (sum(map(estimate_item, session.items)) if tokens is None else tokens)
    session.close()


def test_rollback_past_the_second_compaction_brings_back_the_first() -> None:
    """As it was before the turn that is taken back."""
    session = Session()
    talk(session, "one")
    compact(session, 2, 0)
    talk(session, "two")
    before = session.items
    talk(session, "three")
    compact(session, 6, 0, 2, 4)
    assert texts(session.items) == ["one", "two", "three", "SUMMARY"]
    session.rollback()
    assert session.items == before


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_compaction_can_be_taken_back(tmp_path: Path, on_disk: bool) -> None:
    """Whatever was said since stays; one at a time, the newest first. What was counted of the short history is not
    counted on."""
    session = kept(tmp_path / "s.jsonl" if on_disk else None)
    talk(session, "one", "two")
    compact(session, 2, 0)
    talk(session, "three")
    compact(session, 6, 0, 2, 4)
    talk(session, "four")
    assert session.uncompact()
    if on_disk:
        session = reopened(session)
    assert texts(session.items) == ["one", "SUMMARY", "two", "re two", "three", "re three", "four", "re four"]
    assert session.estimated_tokens() == 6000 + sum(map(estimate_item, session.items[-2:]))
    assert session.uncompact() and session.items == session.transcript
    assert not session.uncompact()
    session.close()


def test_estimates_right_after() -> None:
    """Kept items and summary are estimated, the provider's old count is forgotten, and its next one is taken."""
    session = Session()
    talk(session, "one", "two")
    assert session.estimated_tokens(base_tokens=50) == 4000
    compact(session, 4, 2)
    size = sum(map(estimate_item, session.items))
    assert (session.estimated_tokens(), session.estimated_tokens(base_tokens=50)) == (size, size + 50)
    session.append(user_message("three"))
    assert session.estimated_tokens() == size + estimate_item(session.items[-1])
    session.append(assistant_message("re three"))
    session.sample_finished(Usage(input=70, output=5))
    assert session.estimated_tokens(base_tokens=50) == 75


def test_outputs_that_were_replaced_can_still_be_read() -> None:
    """`read_output` finds what the model no longer sees; open calls and idempotence go by the whole record."""
    session = Session()
    session.append(FunctionCall(call_id="c", name="f", id="fc_1"), FunctionCallOutput(call_id="c", output="whole"))
    compact(session, 2)
    found = session.output("c")
    assert found is not None and found.output == "whole"
    assert session.open_calls() == ()
    assert session.append(FunctionCall(call_id="c", name="f", id="fc_1")) == ()


BAD_CUTS: dict[str, tuple[Callable[[Session], int], int]] = {
    "inside a pair": (lambda session: 2, 0),
    "before what stands for the beginning": (lambda session: 0, 1),
    "past the end": (lambda session: len(session.items) + 1, 0),
}


@pytest.mark.parametrize("name", BAD_CUTS)
def test_a_cut_that_cannot_be(name: str) -> None:
    """The session is as it was."""
    where, compactions = BAD_CUTS[name]
    session = Session(items=[user_message("u"), FunctionCall(call_id="c", name="f")])
    session.append(FunctionCallOutput(call_id="c", output=""), user_message("v"))
    for _ in range(compactions):
        compact(session, 3, 0)
    before = session.items
    with pytest.raises(SessionError, match="cannot be cut"):
        session.compact(where(session), (SUMMARY,))
    assert session.items == before


def test_every_cut_of_the_file_has_the_old_history_or_the_new_one(tmp_path: Path) -> None:
    """A process that ends while the marker is written leaves what was there before."""
    path, cut = tmp_path / "s.jsonl", tmp_path / "cut.jsonl"
    with Session.create(path) as session:
        talk(session, "one", "two")
        old, size = session.items, path.stat().st_size
        compact(session, 4, 2)
    content = path.read_bytes()
    for end in range(size, len(content) + 1):
        cut.write_bytes(content[:end])
        with Session.resume(cut, fsync="never") as part:
            assert part.items == (session.items if end == len(content) else old)


DAMAGED: dict[str, tuple[str, JsonValue, str]] = {
    "more than there is": ("replaced", 9, "what is not there: 9 of 2"),
    "no number": ("replaced", None, "what is not there"),
    "another history": ("last", "msg_0", "other items"),
    "an id nobody has": ("items", ["msg_0"], "keeps an item"),
    "no item": ("items", [3], "no readable item"),
    "no items": ("items", None, "what is not there"),
    "nothing to take back": ("type", "uncompaction", "there is none"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_marker_that_fits_no_history_is_refused(tmp_path: Path, name: str) -> None:
    """Damage in the middle of a file, told with its line."""
    member, value, message = DAMAGED[name]
    path = tmp_path / "s.jsonl"
    with Session.create(path) as session:
        session.append(user_message("u"), assistant_message("a"))
        compact(session, 2, 0)
    lines = path.read_text().splitlines()
    record = {**json.loads(lines.pop()), member: value}
    del record["crc"]
    path.write_bytes("".join(f"{line}\n" for line in lines).encode() + write_line(record, len(lines) + 1))
    with pytest.raises(SessionError, match=f"line 4.*{message}"):
        Session.resume(path)
