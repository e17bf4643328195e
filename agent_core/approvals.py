"""Approvals: who may say yes to an action before it happens. The default answer is no.

A tool says what it is about to do in an `ApprovalRequest`; a policy answers with a `Decision`. Nothing here knows a
tool: requests are data, so they can be shown, logged and remembered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from msgspec import Struct

from .errors import CallerError

__all__ = [
    "ApprovalPolicy",
    "ApprovalRequest",
    "AskPolicy",
    "Decision",
    "DecisionKind",
    "Risk",
    "allow_all",
    "deny_all",
]

Risk = Literal["read", "write", "execute", "network"]
DecisionKind = Literal["approved", "approved_for_session", "denied", "abort"]


class ApprovalRequest(Struct, frozen=True):
    """One action that waits for a yes.

    `summary` is one line for a person; `detail` the full text (command, patch). `key` is what "for this session"
    remembers: two requests with the same tool and key are the same action.
    """

    call_id: str
    tool: str
    summary: str
    detail: str = ""
    risk: Risk = "execute"
    key: str = ""
    cwd: str = ""


class Decision(Struct, frozen=True):
    """The answer. `abort` denies and ends the turn. `reason` is told to the model."""

    kind: DecisionKind
    reason: str = ""

    @property
    def approved(self) -> bool:
        return self.kind in ("approved", "approved_for_session")


APPROVED = Decision("approved")
APPROVED_FOR_SESSION = Decision("approved_for_session")


class ApprovalPolicy(Protocol):
    """Decides requests one at a time, in call order. Called once per action that needs approval; may wait for a person.

    It must not run the action, and must not raise to say no. An exception from it denies the action and ends the turn.
    """

    async def decide(self, request: ApprovalRequest) -> Decision: ...


class _Always:
    __slots__ = ("_decision",)

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    async def decide(self, request: ApprovalRequest) -> Decision:
        return self._decision


deny_all: ApprovalPolicy = _Always(Decision("denied", "this run does not allow actions that need approval"))
"""The default: every action that needs approval is denied, and the model is told so."""

allow_all: ApprovalPolicy = _Always(APPROVED)
"""Everything is allowed. For trusted tools in a place where nothing can be broken."""


class AskPolicy:
    """Asks a callback, and remembers "for this session" by tool and key.

    The callback may answer with a Decision or a bool, anything else is a CallerError; it may be sync (quick) or async
    (a person).
    """

    def __init__(self, ask: Callable[[ApprovalRequest], Decision | bool | Awaitable[Decision | bool]]) -> None:
        self._ask = ask
        self._remembered: set[tuple[str, str]] = set()

    async def decide(self, request: ApprovalRequest) -> Decision:
        if (request.tool, request.key) in self._remembered:
            return APPROVED
        answer = self._ask(request)
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, bool):
            answer = APPROVED if answer else Decision("denied", "the user said no")
        if not isinstance(answer, Decision):
            raise CallerError(f"the callback answered {answer!r:.100}", remedy="answer with a bool or a Decision")
        if answer.kind == "approved_for_session" and request.key:
            self._remembered.add((request.tool, request.key))
        return answer
