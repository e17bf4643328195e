"""Who may run: of each call whether it is run, waited for, or refused, and what the model is told then.

cut off? over the cap? ─► refused
the policy ─ deny ─► refused, in its name
           ─ hand_back, or a tool that nobody here runs ─► waits for the caller
unknown ─► refused
a hook before the tool ─ no ─► refused
                       ─ other arguments ─► with those from here on
decided already (a paused run goes on) ─► as decided
the policy says ask, or the tool does ─► asked ─ no ─► refused
                                               ─ put off ─► waits for a decision
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import anyio

from .approvals import ApprovalPolicy, ApprovalRequest, Decision
from .call_items import name_of, tool_call
from .cancellation import being_cancelled, is_cancellation
from .hooks import HookRunner
from .items import CallItem
from .session.waiting import Waiting
from .tool_policy import ToolAction, ToolPolicy
from .tools.base import Tool, ToolCall, ToolContext, ToolOutput
from .tools.hand_back import HandBack
from .tools.run import Answer, approval_of, described, not_run
from .turn_events import ApprovalDecided, ApprovalRequested, TurnEvent

__all__ = ["Emit", "Permission", "Refused", "Runs", "Verdict"]

Emit: TypeAlias = Callable[[TurnEvent], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Runs:
    """It may run."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not run, and the model is told `answer`. `aborts`: the turn ends with it."""

    answer: Answer
    aborts: bool = False


Verdict: TypeAlias = Runs | Refused | Waiting
_RUNS = Runs()


class Permission:
    """Decides one call at a time. `context_for` makes what a tool is told of its call; `approved`: the requests that
    were allowed, by the whole call; `changed`: calls as hooks would have them run, by what the model made. `aborted`: a
    tool asked in the middle of its work, and the answer ends the turn."""

    __slots__ = (
        "_approvals",
        "_asking",
        "_context_for",
        "_emit",
        "_hooks",
        "_max_calls",
        "_policy",
        "_tools",
        "aborted",
        "approved",
        "changed",
    )

    def __init__(
        self,
        tools: Mapping[str, Tool],
        *,
        approvals: ApprovalPolicy,
        policy: ToolPolicy,
        hooks: HookRunner,
        emit: Emit,
        context_for: Callable[[ToolCall], ToolContext],
        max_calls: int,
    ) -> None:
        self.aborted = False
        self._asking = anyio.Lock()
        self._tools = tools
        self._approvals = approvals
        self._policy = policy
        self._hooks = hooks
        self._emit = emit
        self._context_for = context_for
        self._max_calls = max_calls
        self.approved: dict[ToolCall, ApprovalRequest] = {}
        self.changed: dict[ToolCall, ToolCall] = {}

    def unasked(self, tool: Tool, call: ToolCall) -> bool:
        """Whether the tool may run without anybody being asked."""
        if self._hooks.wants("before_tool", call.name):
            return False
        match self._policy.action_for(call.name):
            case "allow":
                return not isinstance(tool, HandBack)
            case "tool":
                return not isinstance(tool, HandBack) and approval_of(tool, call, self._context_for(call)) is None
            case "ask" | "deny" | "hand_back":
                return False

    async def verdict(
        self, n: int, item: CallItem, *, started: Container[ToolCall] = (), waiting: Waiting | None = None, ask: bool
    ) -> Verdict:
        """What becomes of call n of a batch. What has `started` may run. `waiting`: what it was paused for; where that
        is undecided it is asked about again, or, without `ask`, waits on."""
        if item.status == "incomplete":
            return Refused(not_run("not run: the call was cut off before its arguments were complete; send it again"))
        if n >= self._max_calls:
            return Refused(not_run(f"not run: more than {self._max_calls} calls in one response"))
        name = name_of(item)
        action, tool = self._policy.action_for(name), self._tools.get(name)
        if action == "deny":
            return _denied(f"denied: the policy of this run denies the tool {name!r}")
        if waiting is not None and waiting.decision is None and (not ask or (tool is None and waiting.request is None)):
            return waiting
        if action == "hand_back" or isinstance(tool, HandBack):
            return Waiting("handed_back")
        if tool is None:
            known = ", ".join(self._tools) or "none"
            return Refused(_bad_call(f"unsupported call: {name!r}; the tools are: {known}"))
        call = tool_call(item)
        if call in started:
            return _RUNS
        hooked = await self._hooks.before_tool(call)
        if isinstance(hooked, str):
            return _denied(f"denied by a hook: {hooked}")
        self.changed[call] = hooked
        call = hooked
        self.approved.pop(call, None)  # one call may come twice: each is asked about
        request = self._request(action, tool, call)
        if request is None:
            return _RUNS
        if isinstance(request, Answer):
            return Refused(request)
        decision = None if waiting is None else waiting.decision
        if waiting is None or decision is None or (decision.approved and request != waiting.request):
            if decision is not None and not ask:
                return Waiting("deferred", request)  # what was approved is not what it asks for now
            async with self._asking:
                decision = await self._decide(request)
        if decision.approved:
            self.approved[call] = request
            return _RUNS
        if decision.kind == "deferred":
            return Waiting("deferred", request)
        return _denied("denied" + (f": {decision.reason}" if decision.reason else ""), aborts=decision.kind == "abort")

    def _request(self, action: ToolAction, tool: Tool, call: ToolCall) -> ApprovalRequest | Answer | None:
        """What has to be asked before it runs."""
        if action == "allow":
            return None
        context = self._context_for(call)
        request = approval_of(tool, call, context)
        if request is None and action == "ask":
            return ApprovalRequest(
                call.call_id, call.name, f"call {call.name}", call.arguments, key=call.arguments, cwd=str(context.cwd)
            )
        return request

    async def decide(self, request: ApprovalRequest) -> Decision:
        """What a tool is told that asks in the middle of its work, one at a time like all others. It cannot be put off
        there: the run cannot pause while a tool is at work."""
        async with self._asking:
            decision = await self._decide(request)
        if decision.kind == "deferred":
            decision = Decision("denied", "nobody decides it now, and work that has begun cannot wait")
        self.aborted = self.aborted or decision.kind == "abort"
        return decision

    async def _decide(self, request: ApprovalRequest) -> Decision:
        await self._emit(ApprovalRequested(request))
        try:
            decision = await self._approvals.decide(request)
            if not isinstance(decision, Decision):
                raise TypeError(f"decide() returned {decision!r:.100}, not a Decision")
        except BaseException as error:  # a policy that fails says no; its error is shown, not lost
            cancelled = is_cancellation(error)  # what it waited for may have been; that is no cancel of ours
            if being_cancelled() if cancelled else not isinstance(error, Exception):
                raise
            words = "something it waited for was cancelled" if cancelled else described(error)
            decision = Decision("abort", f"the approval policy failed: {words}")
        await self._emit(ApprovalDecided(request, decision))
        return decision


def _denied(text: str, *, aborts: bool = False) -> Refused:
    return Refused(Answer(ToolOutput(text, success=False), "denied"), aborts)


def _bad_call(text: str) -> Answer:
    return Answer(ToolOutput(text, success=False), "failed", bad_arguments=True)
