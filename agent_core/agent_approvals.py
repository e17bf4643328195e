"""What an agent's `approvals`, `ask` and `sandbox` come to: one policy, tools that are held, and what they are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

from .approval_rules import ApprovalMode, ApprovalRules
from .approvals import ApprovalPolicy, Ask, allow_all, deny_all
from .errors import CallerError
from .session import Session
from .tools.base import Tool

if TYPE_CHECKING:
    from .sandbox import SandboxPolicy

__all__ = ["Approvals", "Bounds", "bounds_of"]

Approvals: TypeAlias = Literal["deny", "allow"] | ApprovalMode | ApprovalPolicy


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an agent's actions are held by: who is asked, and the sandbox. `escalates`: the policy knows what it means
    that something asks to leave it; one that may not is never offered to the model, nor run."""

    policy: ApprovalPolicy
    sandbox: SandboxPolicy | None = None
    escalates: bool = False
    may_ask: bool = False

    def roots(self, cwd: Path) -> tuple[Path, ...]:
        """Where tools that touch files may go."""
        if self.sandbox is None or self.sandbox.kind != "workspace_write":
            return ()
        return (cwd, *self.sandbox.writable_roots) if self.sandbox.writable_roots else ()

    def holding(self, tools: Sequence[Tool]) -> tuple[Tool, ...]:
        """The tools, those that run commands in the sandbox. Raises SandboxUnavailable."""
        from .tools.escalation import Held

        return tuple(
            tool.held_by(self.sandbox, may_ask=self.may_ask) if isinstance(tool, Held) else tool for tool in tools
        )

    def in_session(self, session: Session) -> Bounds:
        """The same, remembering in the session, whose own file no tool may write."""
        policy, sandbox = self.policy, self.sandbox
        if isinstance(policy, ApprovalRules):
            policy = policy.remembering_in(session)
        if sandbox is not None and session.path is not None:
            sandbox = sandbox.protecting(session.path.resolve())
        return replace(self, policy=policy, sandbox=sandbox)


def bounds_of(approvals: Approvals, ask: Ask | None, sandbox: SandboxPolicy | None) -> Bounds:
    """Raises CallerError for what is no policy, and for an `ask` that nothing would call."""
    if sandbox is not None:
        from .sandbox import SandboxPolicy

        if not isinstance(sandbox, SandboxPolicy):
            raise CallerError(
                f"sandbox must be a SandboxPolicy, got {sandbox!r:.100}", remedy="use sandbox.workspace_write()"
            )
    if isinstance(approvals, str) and approvals in get_args(ApprovalMode):
        approvals = ApprovalRules(cast("ApprovalMode", approvals), ask)
    elif ask is not None:
        raise CallerError(
            "ask= is called by the approval modes alone", remedy='pass approvals="on_request", or AskPolicy(ask)'
        )
    if isinstance(approvals, ApprovalRules):
        return Bounds(approvals, sandbox, escalates=True, may_ask=approvals.can_ask)
    return Bounds(_policy(approvals), sandbox)


def _policy(approvals: Approvals) -> ApprovalPolicy:
    if approvals == "deny":
        return deny_all
    if approvals == "allow":
        return allow_all
    if isinstance(approvals, str) or not callable(getattr(approvals, "decide", None)):
        modes = ", ".join(map(repr, ("deny", "allow", *get_args(ApprovalMode))))
        raise CallerError(
            f"approvals must be one of {modes}, or a policy, got {approvals!r:.100}",
            remedy="AskPolicy(function) makes a policy of a function",
        )
    return approvals
