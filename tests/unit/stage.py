"""A loop with everything around it, for tests: a scripted model, probing tools, and a record of what was seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from agent_core.approvals import ApprovalPolicy, ApprovalRequest, Decision, deny_all
from agent_core.dispatch import Dispatcher
from agent_core.events import Response, Usage
from agent_core.guards import Guards
from agent_core.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    ItemStatus,
    LocalShellCall,
    ResponseItem,
    assistant_message,
    user_message,
)
from agent_core.limits import Limits, RunState
from agent_core.loop import Loop
from agent_core.paused import answers_to
from agent_core.prompt import Prompt, ToolSpec
from agent_core.retry import RetryPolicy
from agent_core.session import Session
from agent_core.testing.model import ScriptedModel
from agent_core.tool_policy import ToolPolicy
from agent_core.tools.base import Tool, ToolCall, ToolContext, ToolOutput
from agent_core.turn_events import SampleFinished, StopReason, TurnEvent


@dataclass
class Probe:
    """A tool whose behaviour is given, and which counts its runs."""

    name: str = "probe"
    behave: Callable[[ToolCall], ToolOutput | BaseException] = lambda call: ToolOutput(f"did {call.arguments}")
    read_only: bool = False
    parallel: bool = False
    timeout_s: float | None = None
    asks: bool = False
    blocks: bool = False
    barrier: int = 0
    runs: list[str] = field(default_factory=list[str])
    waiting: int = 0

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(self.name)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return ApprovalRequest(call.call_id, self.name, "do it", key=call.arguments) if self.asks else None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        self.runs.append(call.call_id)
        await context.emit("working")
        if self.blocks:
            await anyio.sleep_forever()
        if self.barrier:
            self.waiting += 1
            while self.waiting < self.barrier:
                await anyio.lowlevel.checkpoint()
        result = self.behave(call)
        if isinstance(result, BaseException):
            raise result
        return result


def call(call_id: str, name: str = "probe", arguments: str = "{}", status: ItemStatus = "completed") -> FunctionCall:
    return FunctionCall(call_id=call_id, name=name, arguments=arguments, status=status)


def calls(*items: ResponseItem) -> Response:
    return Response(items=items, finish_reason="tool_calls", usage=Usage(input=10, output=1))


def says(text: str) -> Response:
    return Response(items=(assistant_message(text),), finish_reason="stop", usage=Usage(input=10, output=1))


@dataclass
class Stage:
    """A loop with everything around it, watched."""

    model: ScriptedModel
    tools: Sequence[Tool] = ()
    session: Session = field(default_factory=Session)
    limits: Limits = field(default_factory=Limits)
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(base_delay_s=0.0, jitter_s=0.0))
    approvals: ApprovalPolicy = deny_all
    policy: ToolPolicy = field(default_factory=ToolPolicy)
    steered: list[ResponseItem] = field(default_factory=list[ResponseItem])
    seen: list[TurnEvent] = field(default_factory=list[TurnEvent])
    state: RunState = field(default_factory=RunState)
    stuck_at: type[SampleFinished] | None = None  # the watcher never takes this event
    on_event: Callable[[TurnEvent], None] = lambda event: None

    async def run(self, text: str | None = "go", *, ask: bool = True) -> StopReason:
        async def emit(event: TurnEvent) -> None:
            self.seen.append(event)
            self.on_event(event)
            if self.stuck_at is not None and isinstance(event, self.stuck_at):
                await anyio.sleep_forever()

        def take() -> list[ResponseItem]:
            said, self.steered = self.steered, []
            return said

        dispatcher = Dispatcher(
            self.tools,
            approvals=self.approvals,
            policy=self.policy,
            session=self.session,
            emit=emit,
            note=self.seen.append,
            cwd=Path(),
            max_calls=8,
            guards=Guards(max_repeats=self.limits.max_repeats, max_failed=self.limits.max_failed),
        )
        async with dispatcher:
            loop = Loop(
                model=self.model,
                session=self.session,
                dispatcher=dispatcher,
                prompt_for=lambda items: Prompt(items),
                emit=emit,
                limits=self.limits,
                state=self.state,
                steered=take,
                retry=self.retry,
            )
            return await loop.run([user_message(text)] if text is not None else [], ask=ask)

    async def resume(
        self, outputs: Mapping[str, str] | None = None, decisions: Mapping[str, Decision | bool] | None = None
    ) -> StopReason:
        """As the agent does it: the answers into the session, then on from there."""
        answers = answers_to(self.session, outputs or {}, decisions or {})
        self.session.take_answers(answers.outputs, answers.decisions)
        self.state.pending = ()
        return await self.run(None, ask=False)

    @property
    def outputs(self) -> list[tuple[str, str]]:
        """(call_id, output text) of every output in the session, in order."""
        return [
            (item.call_id, str(item.output))
            for item in self.session.items
            if isinstance(item, FunctionCallOutput | CustomToolCallOutput)
        ]

    def assert_every_call_is_answered_once(self) -> None:
        made = [i.call_id for i in self.session.items if isinstance(i, FunctionCall | CustomToolCall | LocalShellCall)]
        assert [call_id for call_id, _ in self.outputs] == made
        assert self.session.open_calls() == ()
