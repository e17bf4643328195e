"""Asking a person on the terminal whether an action may happen.

The question waits in the event loop, not in a thread: Ctrl-C ends it, and the run, at once. A terminal hands over
whole lines, so a readable descriptor means an answer is there.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import anyio

from ..approvals import APPROVED, APPROVED_FOR_SESSION, ApprovalRequest, Decision
from ..turn_events import ApprovalRequested, TurnEvent
from .screen import Screen, clean, one_line

__all__ = ["TerminalPerson", "answer_to", "can_ask"]

_QUESTION = "allow? [y]es, [n]o, [a]lways in this session, [q]uit: "
_DETAIL_LINES = 60
_ANSWER_BYTES = 4096

_ANSWERS: dict[str, Decision] = {
    "y": APPROVED,
    "a": APPROVED_FOR_SESSION,
    "n": Decision("denied", "the user said no"),
    "q": Decision("abort", "the user stopped the run"),
}


def can_ask() -> bool:
    """There is a person to ask: both the question and the answer go through a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


class TerminalPerson:
    """Shows each action on `screen` and reads the answer from the terminal; EOF ends the run.

    The loop is ahead of what is on the screen. So nothing is asked before `shown` was told that the request's own event
    has been shown: the question stands below the words that led to it.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._reached: dict[str, anyio.Event] = {}

    def shown(self, event: TurnEvent) -> None:
        """Tell it every event, after it is on the screen."""
        if isinstance(event, ApprovalRequested):
            self._reached.setdefault(event.request.call_id, anyio.Event()).set()

    async def answer(self, request: ApprovalRequest) -> Decision:
        """What the person says; see approvals.Ask."""
        try:
            await self._reached.setdefault(request.call_id, anyio.Event()).wait()
        finally:
            self._reached.pop(request.call_id, None)  # some servers use a call id again
        _forget_typed()
        _show(self._screen, request)
        while True:
            self._screen.put(_QUESTION, "strong")
            line = await _read_line()
            if line.endswith("\n"):
                self._screen.typed()
            decision = answer_to(line)
            if decision is not None:
                self._screen.end_line()
                return decision


def answer_to(line: str) -> Decision | None:
    """The decision a typed line means, by its first letter; no line at all (EOF) is `q`. None: not an answer."""
    if not line:
        return _ANSWERS["q"]
    return _ANSWERS.get(line.strip()[:1].lower())


def _show(screen: Screen, request: ApprovalRequest) -> None:
    where = f" in {request.cwd}" if request.cwd else ""
    screen.gap()
    screen.line(f"? {request.tool} wants to {request.risk}: {one_line(request.summary)}{where}", "strong")
    if request.detail and request.detail != request.summary:
        lines = clean(request.detail).splitlines()
        for line in lines[:_DETAIL_LINES]:
            screen.line(f"  {line}")
        if len(lines) > _DETAIL_LINES:
            screen.line(f"  ({len(lines) - _DETAIL_LINES} more lines)", "dim")
    if request.reason:
        screen.line(f"  it says why: {one_line(request.reason)}")
    screen.line(f"  risk: {one_line(request.risk_line)}", "bad" if request.escalated else "plain")
    rules = "; ".join(one_line(str(rule)) for rule in request.rules)
    screen.line(f"  [a] remembers: {rules}" if rules else "  [a] is [y] here: nothing is remembered of it", "dim")


def _forget_typed() -> None:
    """What was typed before a question is on the screen is no answer to it: it may have been meant for the last one."""
    if sys.platform == "win32":
        return
    import termios

    with suppress(termios.error):  # stdin is no terminal after all: what comes is read as it is
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


async def _read_line() -> str:
    if sys.platform == "win32":  # its loops cannot wait for a console
        return await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    descriptor = sys.stdin.fileno()
    await anyio.wait_readable(descriptor)
    return os.read(descriptor, _ANSWER_BYTES).decode("utf-8", "replace")
