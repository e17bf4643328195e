"""Approvals: who may say yes to an action before it happens. The default answer is no.

A tool says what it is about to do in an `ApprovalRequest`; a policy answers with a `Decision`. Nothing here knows a
tool: requests are data, so they can be shown, logged and remembered. Policies that cross who may be asked with the
sandbox in force are in `approval_rules`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from .errors import CallerError

__all__ = [
    "Action",
    "ApprovalPolicy",
    "ApprovalRequest",
    "Ask",
    "AskPolicy",
    "Decision",
    "DecisionKind",
    "Risk",
    "Rule",
    "RuleKind",
    "allow_all",
    "answer_of",
    "deny_all",
]

Risk = Literal["read", "write", "execute", "network"]
DecisionKind = Literal["approved", "approved_for_session", "denied", "abort", "deferred"]
RuleKind = Literal["command", "path", "tool", "call"]
Held = Literal["", "read_only", "workspace_write", "full_access"]


class Rule(Struct, frozen=True):
    """What may happen without being asked about again. Make one with `for_command`, `for_path` or `for_tool`.

    `words`: of a command its program and arguments, which are all of them or, with `prefix`, the first ones; else one
    path, the tool's name, or the tool's name and the key of a call. `escalated`: it may leave the sandbox. `cwd`: where
    it has to happen; empty for anywhere.
    """

    kind: RuleKind
    words: tuple[str, ...]
    prefix: bool = False
    escalated: bool = False
    cwd: str = ""

    @classmethod
    def for_command(cls, *words: str) -> Rule:
        """Commands that begin with these words: `Rule.for_command("git", "status")`, never a line of shell."""
        if not words or not all(words) or len(words[0].split()) != 1:
            raise CallerError(f"{words!r} does not name a program", remedy='pass its words one by one: "git", "status"')
        return cls("command", words, prefix=True)

    @classmethod
    def for_path(cls, path: str | os.PathLike[str]) -> Rule:
        """Changes of one file."""
        return cls("path", (os.path.abspath(path),))

    @classmethod
    def for_tool(cls, name: str) -> Rule:
        """Every call of a tool, whatever its arguments."""
        return cls("tool", (name,))

    def covers(self, action: Action, *, escalated: bool) -> bool:
        """Whether the action is one that this rule is about."""
        if (escalated and not self.escalated) or self.cwd not in ("", action.cwd):
            return False
        if self.kind == "tool" and action.kind == "call":
            return action.words[:1] == self.words
        if self.kind != action.kind:
            return False
        said = action.words[: len(self.words)] if self.prefix else action.words
        return said == self.words

    def __str__(self) -> str:
        match self.kind:
            case "command":
                what = "commands that begin with" if self.prefix else "exactly the command"
                text = f"{what} `{shlex.join(self.words)}`"
            case "path":
                text = f"changes of {self.words[0]}"
            case "tool":
                text = f"calls of {self.words[0]}"
            case "call":
                text = f"this call of {self.words[0]}, with these arguments"
        place = f" in {self.cwd}" if self.cwd else ""
        return text + place + (", outside the sandbox" if self.escalated else "")


class Action(Struct, frozen=True):
    """One of the things that a request would do, as rules see it: one command of a line, one file of a patch.

    `known_safe`: it certainly changes nothing. `rule`: what may be remembered of it; None for nothing. `cwd`: where it
    happens; empty if that cannot be told, as after a `cd`.
    """

    kind: RuleKind
    words: tuple[str, ...]
    known_safe: bool = False
    cwd: str = ""
    rule: Rule | None = None


class ApprovalRequest(Struct, frozen=True):
    """One action that waits for a yes.

    `summary` is one line for a person; `detail` the full text (command, patch). `reason`: why, in the model's own
    words: they may be wrong. `key` is what AskPolicy remembers: two requests with the same tool and key are the same
    action. `sandbox`: the policy that holds it, empty for none; `escalated`: it asks to leave that, or the roots.
    `known_safe`: it certainly changes nothing. `paths`: the files it changes, absolute. `actions`: all that it does,
    for rules; none where that cannot be told.
    """

    call_id: str
    tool: str
    summary: str
    detail: str = ""
    risk: Risk = "execute"
    key: str = ""
    cwd: str = ""
    reason: str = ""
    sandbox: Held = ""
    escalated: bool = False
    known_safe: bool = False
    paths: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What "for this session" would remember: together they cover this request. None where it is always asked."""
        found: dict[Rule, None] = {}
        for action in self.actions:
            if action.known_safe and not self.known_safe and not self.escalated:
                continue  # runs unasked beside what is remembered
            if action.rule is None:
                return ()
            found[action.rule] = None
        return tuple(found)

    @property
    def risk_line(self) -> str:
        """What may come of it, in one line for a person."""
        what, held = _RISKS[self.risk], f"the sandbox ({self.sandbox}) holds it"
        if self.known_safe and not self.escalated:
            what = "it only reads"
        elif self.risk == "write" and self.paths:
            what = f"it changes {len(self.paths)} file{'s' if len(self.paths) > 1 else ''}"
        if self.escalated:
            held = "outside the working directory, or protected" if self.risk == "write" else "OUTSIDE the sandbox"
        elif self.sandbox in ("", "full_access"):
            held = "no sandbox holds it"
        return f"{what}; {held}"


_RISKS: dict[Risk, str] = {
    "read": "it reads",
    "write": "it changes files",
    "execute": "it runs with your rights",
    "network": "it reaches other machines",
}


class Decision(Struct, frozen=True):
    """The answer. `abort` denies and ends the turn. `deferred` puts it off: the run pauses, and `agent.resume` answers
    it. `reason` is told to the model."""

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


Ask: TypeAlias = Callable[[ApprovalRequest], Decision | bool | Awaitable[Decision | bool]]
"""Who answers requests: a function, sync (quick) or async (a person)."""


class AskPolicy:
    """Asks a callback, and remembers "for this session" by tool and key.

    The callback may answer with a Decision or a bool, anything else is a CallerError; it may be sync (quick) or async
    (a person).
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._remembered: set[tuple[str, str]] = set()

    async def decide(self, request: ApprovalRequest) -> Decision:
        if (request.tool, request.key) in self._remembered:
            return APPROVED
        answer = await answer_of(self._ask, request)
        if answer.kind == "approved_for_session" and request.key:
            self._remembered.add((request.tool, request.key))
        return answer


async def answer_of(ask: Ask, request: ApprovalRequest) -> Decision:
    """What the callback answers, as a Decision. Raises CallerError for anything else."""
    answer = ask(request)
    if isinstance(answer, Awaitable):
        answer = await answer
    if isinstance(answer, bool):
        return APPROVED if answer else Decision("denied", "the user said no")
    if not isinstance(answer, Decision):
        raise CallerError(f"the callback answered {answer!r:.100}", remedy="answer with a bool or a Decision")
    return answer
