"""Paused runs: what one waits for, and what it is answered with.

A run pauses where a call is not this process's to answer: its tool is run by the caller, or a yes was put off. Nothing
is sent to the model before every call has its output. What a paused run waits for is in its session, so another process
may answer it, days later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from msgspec import Struct, field

from .approvals import APPROVED, ApprovalRequest, Decision, Rule
from .call_items import output_item, tool_call
from .errors import CallerError
from .items import CallItem, CallOutputItem
from .session.waiting import Waiting, WaitsFor
from .tools.base import ToolCall, ToolOutput

__all__ = ["Answers", "PausedSession", "PendingCall", "answers_to", "pending_calls"]


class PendingCall(Struct, frozen=True):
    """A call a paused run waits for.

    `why`: `handed_back`, its output is the caller's to give; or `deferred`, a decision on `request` is. `id` is the
    call's own in its session; the model's `call.call_id` may be there twice.
    """

    id: str
    call: ToolCall
    why: WaitsFor
    request: ApprovalRequest | None = None


class Answers(Struct, frozen=True):
    """What was given to a paused run, by the call's id in the session; `rules`: what was allowed for the session."""

    outputs: Mapping[str, CallOutputItem] = field(default_factory=dict[str, CallOutputItem])
    decisions: Mapping[str, Decision] = field(default_factory=dict[str, Decision])
    rules: tuple[Rule, ...] = ()


class PausedSession(Protocol):
    """What there is to know of a paused run."""

    def open_calls(self) -> tuple[CallItem, ...]: ...

    def waiting(self, call: CallItem) -> Waiting | None: ...

    def held_output(self, call: CallItem) -> CallOutputItem | None: ...


def pending_calls(session: PausedSession) -> tuple[PendingCall, ...]:
    """The calls that wait for somebody, in order."""
    pending: list[PendingCall] = []
    for item in session.open_calls():
        waiting = session.waiting(item)
        if waiting is not None and waiting.decision is None and session.held_output(item) is None:
            pending.append(PendingCall(item.id or "", tool_call(item), waiting.why, waiting.request))
    return tuple(pending)


def answers_to(
    session: PausedSession, outputs: Mapping[str, ToolOutput | str], decisions: Mapping[str, Decision | bool]
) -> Answers:
    """What was given, looked at: every id names one call that waits for just that. Raises CallerError where not."""
    _check_mapping("outputs", outputs, "{call_id: ToolOutput(…)}")
    _check_mapping("decisions", decisions, "{call_id: Decision(…)}")
    for name in outputs:
        if name in decisions:
            raise CallerError(f"{name!r} has both an output and a decision", remedy="give one of them")
    pending = pending_calls(session)
    items = {item.id: item for item in session.open_calls()}
    found: dict[str, CallOutputItem] = {}
    for name, given in outputs.items():
        one = _named(name, pending, session, found)
        if one.why != "handed_back":
            raise CallerError(f"{name!r} waits for a decision, not for an output", remedy="give it in decisions=")
        found[one.id] = output_item(items[one.id], _as_output(name, given))
    decided: dict[str, Decision] = {}
    rules: list[Rule] = []
    for name, answer in decisions.items():
        one = _named(name, pending, session, decided)
        if one.why != "deferred":
            raise CallerError(f"{name!r} waits for an output, not for a decision", remedy="give it in outputs=")
        decision = decided[one.id] = _as_decision(name, answer)
        if decision.kind == "approved_for_session" and one.request is not None:
            rules += one.request.rules
    return Answers(found, decided, tuple(rules))


def _named(
    name: str, pending: Sequence[PendingCall], session: PausedSession, given: Mapping[str, object]
) -> PendingCall:
    """The one call a name means: its call id, or its own id in the session."""
    meant = [one for one in pending if name in (one.id, one.call.call_id)]
    if len(meant) == 1 and meant[0].id not in given:
        return meant[0]
    if len(meant) == 1:
        raise CallerError(f"the call {name!r} is answered twice", remedy="name each call once")
    if meant:
        ids = ", ".join(repr(one.id) for one in meant)
        raise CallerError(f"{len(meant)} calls have the call id {name!r}", remedy=f"name them by their own ids: {ids}")
    if any(name in (item.id, item.call_id) for item in session.open_calls()):
        raise CallerError(f"the call {name!r} is answered already", remedy="go on with agent.resume() without it")
    known = ", ".join(repr(one.call.call_id) for one in pending) or "none"
    raise CallerError(f"no call {name!r} waits for an answer", remedy=f"those that wait: {known}")


def _as_output(name: str, given: object) -> ToolOutput:
    if isinstance(given, str):
        return ToolOutput(given)
    if isinstance(given, ToolOutput):
        return given
    raise CallerError(f"the output of {name!r} is a {type(given).__name__}", remedy="give a string, or a ToolOutput(…)")


def _as_decision(name: str, given: object) -> Decision:
    if isinstance(given, bool):
        return APPROVED if given else Decision("denied", "the user said no")
    if not isinstance(given, Decision):
        what = type(given).__name__
        raise CallerError(f"the decision on {name!r} is a {what}", remedy="give a bool, or a Decision(…)")
    if given.kind == "deferred":
        raise CallerError(f"the decision on {name!r} puts it off again", remedy="leave it out, to decide it later")
    return given


def _check_mapping(what: str, given: object, example: str) -> None:
    names = cast("Mapping[object, object]", given) if isinstance(given, Mapping) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise CallerError(f"{what} must be a mapping of call ids, got {given!r:.100}", remedy=f"pass {what}={example}")
