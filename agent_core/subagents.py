"""Sub-agents: an agent as a tool of another.

    parent's turn ─► call "review" ─► SubAgent.run ─► make(session) ─► one turn of that agent ─► its answer
                                                          │
                       a session of its own, below the parent's: what the model of the parent sees is the answer alone

What a sub-agent uses counts in the run around it, as it is used, and the budget of that run holds inside; leaving the
parent's turn for any reason leaves the sub-agent's the same way. Both histories stay valid.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from pydantic import BaseModel

from .agent import Agent
from .approvals import ApprovalRequest, Risk
from .cancellation import sheltered
from .errors import CallerError, ConfigError, FatalToolError, ModelError, SessionError, ToolError
from .events import OutputTextDelta
from .items import JsonObject
from .limits import EnclosingRun
from .prompt import ToolSpec
from .session import Session
from .tools.arguments import check_arguments, parse_arguments
from .tools.base import ToolCall, ToolContext, ToolOutput
from .turn_events import StopReason, TurnEvent, TurnFinished, TurnResult

__all__ = ["MakeAgent", "SubAgent", "Watch"]

MakeAgent: TypeAlias = Callable[[Session], Agent]
"""Makes the agent for one call, to work in this session. Called once per call; agents it makes are not shared."""

Watch: TypeAlias = Callable[[str, TurnEvent], Awaitable[None]]
"""Is told each event of a sub-agent's turn, with the id of its session."""

MAX_DEPTH = 1
"""Below a turn of the user; deeper is rarely meant (codex.md 4 has a cap of its own)."""

MAX_RUNS = 16
"""In one turn of the user, at all depths."""

TIMEOUT_S = 3600.0

_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {
        "task": {
            "type": "string",
            "description": "What to do, with everything it has to know: it sees nothing of this conversation.",
        },
    },
    "required": ["task"],
    "additionalProperties": False,
}

_ENDED: dict[StopReason, str] = {
    "length": "its answer was cut off at the model's limit",
    "content_filter": "its answer was stopped by a content filter",
    "refusal": "its model refused",
    "aborted": "an approval ended it",
    "paused": "it waits for an answer that nobody here gives",
    "cancelled": "it was cancelled",
}


class _Task(BaseModel):
    task: str


class SubAgent:
    """The tool. `make` builds the agent for a call, with its own model, instructions, tools, approvals and limits:

        def reviewer(session: Session) -> Agent:
            return Agent("anthropic/claude-sonnet-4-6", instructions="Review …", tools=[ReadFile()], session=session)

        Agent(…, tools=[SubAgent(reviewer, description="Reviews a change.")])

    `name` is by default that of `make`. The model gives a task and is told the last answer, or why there is none; the
    interface sees the text as it comes, and `watch` every event, with the id of the sub-agent's session. `max_depth`:
    how far below a turn of the user it may run; `max_runs`: how many sub-agents, of any name, one turn of the user may
    start. A call beyond them is not run, and the model is told. Several calls of one response overlap.

    Approval is the sub-agent's own matter, action by action, so starting one needs none, unless `approval` is set.
    `read_only` is a promise that nothing it can do has side effects: it may then start while the response streams, and
    run again after a crash.
    """

    def __init__(
        self,
        make: MakeAgent,
        *,
        description: str,
        name: str = "",
        max_depth: int = MAX_DEPTH,
        max_runs: int = MAX_RUNS,
        timeout_s: float | None = TIMEOUT_S,
        read_only: bool = False,
        approval: Risk | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.name = name or _name_of(make)
        if max_depth < 1 or max_runs < 1:
            raise ConfigError(
                f"sub-agent {self.name!r} could never run", remedy="give max_depth and max_runs from 1 up"
            )
        self._make = make
        self._description = description
        self._max_depth = max_depth
        self._max_runs = max_runs
        self._timeout_s = timeout_s
        self._read_only = read_only
        self._approval: Risk | None = approval
        self._watch = watch

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(self.name, self._description, _PARAMETERS)

    @property
    def read_only(self) -> bool:
        return self._read_only

    @property
    def parallel(self) -> bool:
        return True

    @property
    def timeout_s(self) -> float | None:
        return self._timeout_s

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        if self._approval is None:
            return None
        try:
            task = _task_of(call)
        except ToolError:
            return None  # `run` says what is wrong
        summary = f"start the sub-agent {self.name}: {' '.join(task.split())}"
        return ApprovalRequest(
            call_id=call.call_id,
            tool=call.name,
            summary=summary if len(summary) <= 200 else summary[:200] + "…",
            detail=task,
            risk=self._approval,
            key=task,
            cwd=str(context.cwd),
        )

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        task, around = _task_of(call), _run_of(context)
        self._admit(around)
        try:
            session = around.session.child(call.call_id)
        except SessionError as error:
            raise ToolError(f"no session can be kept for {self.name!r}: {error.message}") from None
        with session:
            agent = self._make(session)
            if not isinstance(agent, Agent) or agent.session is not session:
                raise FatalToolError(
                    f"{self.name!r} made {type(agent).__name__!r}, not an agent with the session it was given",
                    remedy="return Agent(…, session=session)",
                )
            try:
                result = await self._watched(agent, task, context)
            except ModelError as error:
                problem = f"the sub-agent {self.name!r} failed: {error.message}"
                return ToolOutput(problem, success=False, metadata=_about(session, None))
            finally:
                await sheltered(agent.aclose)
            return self._told(result, session)

    def _admit(self, around: EnclosingRun) -> None:
        """Raises ToolError for one too many."""
        if around.depth >= self._max_depth:
            raise ToolError(
                f"not run: sub-agents may not start {self.name!r} at this depth ({around.depth + 1})",
                remedy="do the work here",
            )
        outermost = around.outermost
        if outermost.runs_inside >= self._max_runs:
            raise ToolError(
                f"not run: this turn has started {outermost.runs_inside} sub-agents, which is as many as it may",
                remedy="go on with what they answered",
            )
        outermost.runs_inside += 1

    async def _watched(self, agent: Agent, task: str, context: ToolContext) -> TurnResult:
        async with agent.stream(task, within=context) as turn:
            async for event in turn:
                if self._watch is not None:
                    await self._watch(agent.session.id, event)
                if isinstance(event, OutputTextDelta):
                    await context.emit(event.delta)
                elif isinstance(event, TurnFinished):
                    break
        return turn.result

    def _told(self, result: TurnResult, session: Session) -> ToolOutput:
        about = _about(session, result)
        if result.stop_reason == "completed" and result.text:
            return ToolOutput(result.text, metadata=about)
        why = _ENDED.get(result.stop_reason, f"it ended at {result.stop_reason}")
        if result.stop_reason == "completed":
            why = "it ended without an answer"
        said = f"\nIt had said:\n{result.text}" if result.text else ""
        return ToolOutput(f"the sub-agent {self.name!r} did not finish: {why}{said}", success=False, metadata=about)


def _name_of(make: MakeAgent) -> str:
    name: object = getattr(make, "__name__", "")
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigError(f"a sub-agent made by {type(make).__name__!r} has no name", remedy='pass name="…"')
    return name


def _task_of(call: ToolCall) -> str:
    task = check_arguments(_Task, parse_arguments(call.arguments)).task
    if not task.strip():
        raise ToolError("task: it is empty", remedy="say what is to be done")
    return task


def _run_of(context: ToolContext) -> EnclosingRun:
    if not isinstance(context.run, EnclosingRun):
        raise CallerError("a sub-agent runs inside a turn of an agent", remedy="give it to Agent(tools=[…])")
    return context.run


def _about(session: Session, result: TurnResult | None) -> JsonObject:
    """For the interface and the record: where the whole conversation is, and what it took."""
    return {
        "session_id": session.id,
        **({"session_path": str(session.path)} if session.path is not None else {}),
        "tokens": session.usage.total,
        **({"stop_reason": result.stop_reason, "samples": result.samples} if result is not None else {}),
    }
