"""Who may run: of each call whether it is run, and if not, what the model is told.

cut off? over the cap? unknown? ─► not run, told to the model
needs approval? asked ─ no ─► denied, told to the model
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping
from typing import TypeAlias

from .approvals import ApprovalPolicy, ApprovalRequest, Decision
from .call_items import name_of, tool_call
from .cancellation import being_cancelled, is_cancellation
from .items import CallItem
from .tools.base import Tool, ToolCall, ToolContext, ToolOutput
from .tools.run import Answer, approval_of, described, not_run
from .turn_events import ApprovalDecided, ApprovalRequested, TurnEvent

__all__ = ["Emit", "Permission"]

Emit: TypeAlias = Callable[[TurnEvent], Awaitable[None]]


class Permission:
    """Decides one call at a time. `context_for` makes what a tool is told of its call; `approved`: the requests that
    were allowed, by the whole call."""

    __slots__ = ("_approvals", "_context_for", "_emit", "_max_calls", "_tools", "approved")

    def __init__(
        self,
        tools: Mapping[str, Tool],
        *,
        approvals: ApprovalPolicy,
        emit: Emit,
        context_for: Callable[[ToolCall], ToolContext],
        max_calls: int,
    ) -> None:
        self._tools = tools
        self._approvals = approvals
        self._emit = emit
        self._context_for = context_for
        self._max_calls = max_calls
        self.approved: dict[ToolCall, ApprovalRequest] = {}

    def unasked(self, tool: Tool, call: ToolCall) -> bool:
        """Whether the tool may run without anybody being asked."""
        return approval_of(tool, call, self._context_for(call)) is None

    async def refusal(self, n: int, item: CallItem, started: Container[ToolCall]) -> tuple[Answer, bool] | None:
        """Why call n of a batch is not run, or None; and whether the turn ends with it. What has `started` may."""
        if item.status == "incomplete":
            return not_run("not run: the call was cut off before its arguments were complete; send it again"), False
        if n >= self._max_calls:
            return not_run(f"not run: more than {self._max_calls} calls in one response"), False
        tool = self._tools.get(name_of(item))
        if tool is None:
            known = ", ".join(self._tools) or "none"
            text = f"unsupported call: {name_of(item)!r}; the tools are: {known}"
            return Answer(ToolOutput(text, success=False), "failed"), False
        call = tool_call(item)
        if call in started:
            return None
        self.approved.pop(call, None)  # one call may come twice: each is asked about
        request = approval_of(tool, call, self._context_for(call))
        if request is None:
            return None
        if isinstance(request, Answer):
            return request, False
        decision = await self._decide(request)
        if decision.approved:
            self.approved[call] = request
            return None
        text = "denied" + (f": {decision.reason}" if decision.reason else "")
        return Answer(ToolOutput(text, success=False), "denied"), decision.kind == "abort"

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
