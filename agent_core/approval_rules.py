"""Approvals by rules: what runs unasked, what is asked about, and what is refused, by mode and sandbox in force.

    footing of a request                     never     on_request   unless_trusted   always
    safe       certainly changes nothing     runs      runs         runs             asked
    held       a sandbox holds it            runs      runs         asked            asked
    free       full access was said aloud    runs      runs         asked            asked
    bare       nothing holds it              refused   asked        asked            asked
    escalated  it asks to leave the sandbox  refused   asked        asked            asked

What was answered "for this session" is a rule from then on, and runs unasked in every mode but a leaving of the sandbox
that the rule does not name. A request of several commands is covered when each of them is. Where nobody can be asked,
what would be asked is denied. These are Codex's policies (codex.md 4), with one word more: `bare` is what neither a
sandbox nor `full_access()` was named for, and it is not taken for full access.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, get_args

from .approvals import APPROVED, ApprovalRequest, Ask, Decision, Rule, answer_of
from .errors import CallerError

__all__ = ["ApprovalMode", "ApprovalRules", "Footing", "RuleMemory", "Verdict", "footing_of"]

ApprovalMode = Literal["never", "on_request", "unless_trusted", "always"]
Footing = Literal["safe", "held", "free", "bare", "escalated"]
Verdict = Literal["runs", "asked", "refused"]

VERDICTS: Mapping[ApprovalMode, Mapping[Footing, Verdict]] = {
    "never": {"safe": "runs", "held": "runs", "free": "runs", "bare": "refused", "escalated": "refused"},
    "on_request": {"safe": "runs", "held": "runs", "free": "runs", "bare": "asked", "escalated": "asked"},
    "unless_trusted": {"safe": "runs", "held": "asked", "free": "asked", "bare": "asked", "escalated": "asked"},
    "always": {"safe": "asked", "held": "asked", "free": "asked", "bare": "asked", "escalated": "asked"},
}
MAX_RULES = 256
"""Remembered in one session; more are asked about again."""

_REFUSED: Mapping[Footing, str] = {
    "bare": "nothing holds this here, and in this run nobody is asked",
    "escalated": "in this run nothing leaves the sandbox; do it within, or do something else",
}
_NOBODY = "nobody can be asked in this run"


class RuleMemory(Protocol):
    """Where rules are remembered: a session, as a rule."""

    @property
    def approval_rules(self) -> tuple[Rule, ...]: ...

    def remember(self, rule: Rule) -> None: ...

    def revoke(self, rule: Rule) -> bool: ...


def footing_of(request: ApprovalRequest) -> Footing:
    """What a request stands on."""
    if request.escalated:
        return "escalated"
    if request.known_safe:
        return "safe"
    if request.sandbox in ("read_only", "workspace_write"):
        return "held"
    return "free" if request.sandbox == "full_access" else "bare"


class ApprovalRules:
    """A policy of one of four modes. `ask` answers what is asked; None: it is denied. `rules`: what runs anyway.

    "approved_for_session" remembers `request.rules`: in `memory`, with an Agent its session, where they are listed
    (`session.approval_rules`) and revoked (`session.revoke(rule)`), and survive a resume. Rules that leave the sandbox
    do not survive this process.
    """

    def __init__(
        self,
        mode: ApprovalMode,
        ask: Ask | None = None,
        *,
        rules: Sequence[Rule] = (),
        memory: RuleMemory | None = None,
    ) -> None:
        if mode not in get_args(ApprovalMode):
            raise CallerError(f"there is no approval mode {mode!r}", remedy=f"use one of {get_args(ApprovalMode)}")
        if ask is not None and not callable(ask):
            raise CallerError(f"ask must be a function of a request, got {ask!r:.100}")
        self.mode: ApprovalMode = mode
        self.rules = tuple(rules)
        self._ask = ask
        self._memory = memory or _Memory()

    def __repr__(self) -> str:
        return f"ApprovalRules({self.mode!r}, asks={self.can_ask})"

    @property
    def can_ask(self) -> bool:
        """Whether anything is ever asked."""
        return self._ask is not None and self.mode != "never"

    def remembering_in(self, memory: RuleMemory) -> ApprovalRules:
        """The same policy, with another memory; one that was given its own keeps it."""
        if not isinstance(self._memory, _Memory):
            return self
        return ApprovalRules(self.mode, self._ask, rules=self.rules, memory=memory)

    async def decide(self, request: ApprovalRequest) -> Decision:
        footing = footing_of(request)
        verdict = VERDICTS[self.mode][footing]
        if verdict == "runs" or self._covered(request):
            return APPROVED
        if verdict == "refused":
            return Decision("denied", _REFUSED[footing])
        if self._ask is None:
            return Decision("denied", _NOBODY)
        decision = await answer_of(self._ask, request)
        if decision.kind == "approved_for_session" and len(self._memory.approval_rules) < MAX_RULES:
            for rule in request.rules:
                self._memory.remember(rule)
        return decision

    def _covered(self, request: ApprovalRequest) -> bool:
        """Whether each action is one that a rule covers, or needs none; of nothing known nothing is covered."""
        rules = (*self.rules, *self._memory.approval_rules)
        free = not request.escalated and (self.mode != "always" or not request.known_safe)
        return bool(request.actions) and all(
            (free and action.known_safe) or any(rule.covers(action, escalated=request.escalated) for rule in rules)
            for action in request.actions
        )


class _Memory:
    """For a policy without a session."""

    def __init__(self) -> None:
        self._rules: dict[Rule, None] = {}

    @property
    def approval_rules(self) -> tuple[Rule, ...]:
        return tuple(self._rules)

    def remember(self, rule: Rule) -> None:
        self._rules[rule] = None

    def revoke(self, rule: Rule) -> bool:
        known = rule in self._rules
        self._rules.pop(rule, None)
        return known
