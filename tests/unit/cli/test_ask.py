"""Asking a person on the terminal."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator

import anyio
import pytest
from msgspec.structs import replace

from agent_core.approval_rules import ApprovalRules
from agent_core.approvals import Action, ApprovalRequest, Decision, Rule
from agent_core.cli.ask import TerminalPerson, answer_to, can_ask
from agent_core.cli.screen import Screen
from agent_core.turn_events import ApprovalRequested

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")

MAKE = Action("command", ("make",), rule=Rule.for_command("make"))
REQUEST = ApprovalRequest(
    "c1",
    "shell",
    "make\nall",
    detail="make all\x1b[2J\nmake check",
    cwd="/p",
    reason="It has\nto be built.",
    sandbox="read_only",
    escalated=True,
    actions=(MAKE,),
)
QUESTION = "allow? [y]es, [n]o, [a]lways in this session, [q]uit: "


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The other end of a terminal that is stdin: what is written to it is typed."""
    master, slave = os.openpty()
    with os.fdopen(slave, encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        yield master
    os.close(master)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("y\n", "approved"),
        ("Yes\n", "approved"),
        (" a \n", "approved_for_session"),
        ("n\n", "denied"),
        ("q\n", "abort"),
        ("", "abort"),
        ("\n", None),
        ("x\n", None),
    ],
)
def test_the_first_letter_decides(line: str, kind: str | None) -> None:
    """Nothing but a clear yes is a yes; an empty line is asked again; the end of input ends the run."""
    decision = answer_to(line)
    assert (decision.kind if decision else None) == kind


class Person(io.StringIO):
    """A screen with somebody before it, who types the next of their answers when a question is on it."""

    def __init__(self, keyboard: int, *answers: str) -> None:
        super().__init__()
        self._keyboard = keyboard
        self._answers = list(answers)

    def write(self, text: str, /) -> int:
        if text == QUESTION and self._answers:
            os.write(self._keyboard, self._answers.pop(0).encode())
        return super().write(text)


def asking(stream: io.StringIO) -> ApprovalRules:
    """A policy whose screen shows the events up to the request."""
    person = TerminalPerson(Screen(stream))
    person.shown(ApprovalRequested(REQUEST))
    return ApprovalRules("always", person.answer)


@pytest.mark.anyio
async def test_the_question_shows_what_would_happen(keyboard: int) -> None:
    """Tool, summary, place and the whole detail, cleaned; why, the risk, what would be remembered. An answer that is
    none is asked for again."""
    stream = Person(keyboard, "what?\n", "n\n")
    with anyio.fail_after(5):
        decision = await asking(stream).decide(REQUEST)
    assert decision == Decision("denied", "the user said no")
    assert stream.getvalue() == (
        "? shell wants to execute: make all in /p\n  make all\n  make check\n"
        "  it says why: It has to be built.\n  risk: it runs with your rights; OUTSIDE the sandbox\n"
        f"  [a] remembers: commands that begin with `make`\n{QUESTION}{QUESTION}"
    )


@pytest.mark.anyio
async def test_always_is_remembered(keyboard: int) -> None:
    """After `a`, the same action is not asked about again."""
    stream = Person(keyboard, "a\n")
    policy = asking(stream)
    held = replace(REQUEST, escalated=False)
    with anyio.fail_after(5):
        decisions = [(await policy.decide(held)).approved, (await policy.decide(held)).approved]
    assert (decisions, stream.getvalue().count(QUESTION)) == ([True, True], 1)


@pytest.mark.anyio
async def test_the_question_waits_for_the_screen(keyboard: int) -> None:
    """Nothing is asked before the events that led to it are shown."""
    stream = Person(keyboard, "y\n")
    person = TerminalPerson(Screen(stream))
    before = "not looked at"
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(person.answer, REQUEST)
            await anyio.wait_all_tasks_blocked()
            before = stream.getvalue()
            person.shown(ApprovalRequested(REQUEST))
    assert (before, stream.getvalue().count(QUESTION)) == ("", 1)


@pytest.mark.anyio
async def test_what_was_typed_before_is_no_answer(keyboard: int) -> None:
    """A key pressed once too often for one question does not allow the next."""
    os.write(keyboard, b"y\ny\n")
    with anyio.fail_after(5):
        decision = await asking(Person(keyboard, "n\n")).decide(REQUEST)
    assert decision == Decision("denied", "the user said no")


@pytest.mark.anyio
async def test_a_question_can_be_cancelled(keyboard: int) -> None:
    """Waiting for a person holds up neither the event loop nor its end."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asking(io.StringIO()).decide, REQUEST)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


def test_only_a_terminal_is_asked(keyboard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both stdin and stderr must be one."""
    monkeypatch.setattr(sys, "stderr", sys.stdin)
    assert can_ask()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not can_ask()
