"""Leaving the sandbox: how a model asks for it, what a person is shown then, and what an approval allows.

    the model    sandbox_permissions: "require_escalated", justification       (only where somebody can be asked)
    the tool     ApprovalRequest(escalated=True, reason=…, paths=…)            command_request, write_request
    a yes        ToolContext.approved is that request                          left_sandbox, granted, check_held

A yes is for the one call that was asked about. Without one the same call is held as any other.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from msgspec.structs import replace

from ..approvals import Action, ApprovalRequest, Rule
from ..errors import ToolError
from ..items import JsonObject
from .base import Tool, ToolCall, ToolContext
from .paths import inside_roots

if TYPE_CHECKING:
    from ..sandbox import SandboxPolicy

__all__ = [
    "ESCALATION_PROPERTIES",
    "REQUIRE_ESCALATED",
    "Held",
    "check_held",
    "command_request",
    "denied_note",
    "granted",
    "left_sandbox",
    "sandbox_words",
    "write_request",
]

REQUIRE_ESCALATED = "require_escalated"
ESCALATION_PROPERTIES: JsonObject = {
    "sandbox_permissions": {
        "type": "string",
        "enum": ["use_default", REQUIRE_ESCALATED],
        "description": (
            f'"{REQUIRE_ESCALATED}" asks the user to let this one command run outside the sandbox: only where it is '
            "needed, for example after the sandbox denied it. Default: use_default."
        ),
    },
    "justification": {
        "type": "string",
        "description": f'Only with "{REQUIRE_ESCALATED}": one sentence for the user, why this command needs it.',
    },
}
"""What a tool adds to its parameters where the model may ask; the words are Codex's (codex.md 4)."""
MAX_REASON_CHARS = 500


@runtime_checkable
class Held(Protocol):
    """A tool that runs commands in a sandbox. `held_by` is the same tool in this one, unless it has one of its own;
    `may_ask`: the model is offered to ask for leaving it. Raises SandboxUnavailable."""

    def held_by(self, sandbox: SandboxPolicy | None, *, may_ask: bool) -> Tool: ...


def command_request(
    call: ToolCall,
    context: ToolContext,
    command: str | Sequence[str],
    *,
    workdir: str | None = None,
    sandbox: SandboxPolicy | None = None,
    permissions: str | None = None,
    justification: str | None = None,
) -> ApprovalRequest:
    """What is asked about a command: a line of shell, or a program and its arguments. `sandbox`: what it runs in."""
    from .command_rules import actions_of
    from .safe_commands import is_known_safe

    shown = command if isinstance(command, str) else shlex.join(command)
    one_line = " ".join(shown.split())
    confined = sandbox is not None and sandbox.kind != "full_access"
    escalated = confined and context.escalates and permissions == REQUIRE_ESCALATED
    cwd = str(context.cwd / (workdir or ""))
    return ApprovalRequest(
        call_id=call.call_id,
        tool=call.name,
        summary=one_line if len(one_line) <= 200 else one_line[:200] + "…",
        detail=shown,
        risk="execute",
        key=shown if workdir is None else f"cd {shlex.quote(workdir)} && {shown}",
        cwd=cwd,
        reason=" ".join((justification or "").split())[:MAX_REASON_CHARS],
        sandbox="" if sandbox is None else sandbox.kind,
        escalated=escalated,
        known_safe=is_known_safe(command),
        actions=actions_of(command, escalated=escalated, cwd=cwd),
    )


def left_sandbox(context: ToolContext) -> bool:
    """Whether this call was allowed to run outside its sandbox."""
    return context.approved is not None and context.approved.escalated


def denied_note(*, may_ask: bool) -> str:
    """What the model is told after a denial by the sandbox, if it may ask to leave it."""
    if not may_ask:
        return ""
    return f' (if it needs more, send it again with sandbox_permissions "{REQUIRE_ESCALATED}" and a justification)'


def sandbox_words(policy: SandboxPolicy | None) -> str:
    """A sentence for a tool's description: what holds its commands."""
    if policy is None or policy.kind == "full_access":
        return ""
    where = "to the working directory" if policy.kind == "workspace_write" else "only to temporary files"
    network = "with" if policy.network else "without"
    return f" Commands run in a sandbox {network} network access; they may write {where}."


# --- files -----------------------------------------------------------------------------------------------------------


def write_request(
    call: ToolCall, context: ToolContext, paths: Iterable[str], *, summary: str, detail: str
) -> ApprovalRequest:
    """What is asked about a change of files, which the tool itself writes. `paths` as the model named them."""
    targets = sorted({target for path in paths for target in _targets(path, context)})
    escalated = context.escalates and not all(_may_write(Path(target), context) for target in targets)
    return ApprovalRequest(
        call_id=call.call_id,
        tool=call.name,
        summary=" ".join(summary.split())[:200],
        detail=detail,
        risk="write",
        key="\n".join(targets),
        cwd=str(context.cwd),
        sandbox="" if context.sandbox is None else context.sandbox.kind,
        escalated=escalated,
        paths=tuple(targets),
        actions=tuple(Action("path", (path,), rule=Rule("path", (path,), escalated=escalated)) for path in targets),
    )


def granted(context: ToolContext) -> ToolContext:
    """The context in which this call writes: files that an approval let out of the roots lie within them."""
    if not left_sandbox(context) or context.approved is None:
        return context
    return replace(context, roots=(*(context.roots or (context.cwd,)), *map(Path, context.approved.paths)))


def check_held(targets: Iterable[str | Path], context: ToolContext) -> None:
    """Raises ToolError for a file that the sandbox does not let be written, unless this call was allowed to."""
    allowed = context.approved.paths if left_sandbox(context) and context.approved is not None else ()
    for target in map(Path, targets):
        if str(target) not in allowed and not _may_write(target, context, inside=True):
            raise ToolError(
                f"the sandbox does not let {target.name!r} be written", remedy="change another file, or ask the user"
            )


def _may_write(target: Path, context: ToolContext, *, inside: bool = False) -> bool:
    """Whether the roots and the sandbox let it be written. `inside`: it is known to lie within the roots."""
    if not (inside or inside_roots(target, context)):
        return False
    policy = context.sandbox
    if policy is None or policy.kind == "full_access":
        return True
    if policy.kind == "read_only":
        return False
    from ..sandbox.paths import layout_of

    layout = layout_of(policy, cwd=context.cwd, roots=context.roots or (context.cwd,))
    protected = any(target.is_relative_to(path) for path in layout.protected)
    return not protected and not any(part.casefold() == ".git" for part in target.parts)


def _targets(path: str, context: ToolContext) -> tuple[str, ...]:
    """Where a path leads: the file itself and, if it is a link, the link. As it is written, if it leads nowhere."""
    named = context.cwd / path
    try:
        real, entry = named.resolve(), named.parent.resolve() / named.name
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL: running it says so
        return (os.path.normpath(context.cwd / path.replace("\0", "")),)
    return (str(real), str(entry)) if os.path.islink(entry) else (str(real),)
