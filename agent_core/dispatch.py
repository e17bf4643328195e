"""Acting on calls: exactly one output per call, in call order, whatever happens.

    call ─ may not run (see permission; asked one at a time, in call order) ─► told to the model
         ─ is somebody else's to answer ─► waits, the others go on; the run pauses
         ─ run: parallel tools that stand side by side overlap, every other tool runs alone ─► its output

Outputs are written to the session (see outputs; synchronously, so cancellation cannot come in between) as soon as every
earlier call has its own. Leaving `act` for any reason, cancellation too, leaves no call of the batch unanswered but
those that wait, and every answer is told in a ToolFinished. Before a tool with side effects starts, the session notes
it: after a crash such a call is "outcome unknown" and is never run by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup
from msgspec import structs

from .approvals import ApprovalPolicy
from .call_items import name_of, tool_call
from .cancellation import is_cancellation, lone
from .guards import Guards, GuardStop
from .hooks import HookRunner
from .items import CallItem, CustomToolCall, FunctionCall, InputText, ResponseItem
from .outputs import Outputs, SessionLog
from .permission import Emit, Permission, Refused, Runs, Verdict
from .session.waiting import Waiting
from .telemetry import Telemetry, tool_span
from .tool_policy import ToolPolicy
from .tool_slots import ToolSlots
from .tools.base import Run, Tool, ToolCall, ToolContext, ToolOutput
from .tools.capture import cut_middle
from .tools.run import Answer, aborted_after, not_run, run_tool
from .turn_events import ToolProgress, ToolStarted, TurnEvent

if TYPE_CHECKING:
    from .sandbox import SandboxPolicy

__all__ = ["Acted", "Dispatcher"]

TOOL_TIMEOUT_S = 600.0
"""For tools that name none: long enough for a test suite, short enough to notice."""

MAX_PROGRESS_BYTES = 64 * 1024
"""Of one piece of progress: what an interface can show."""

_NOTHING_KNOWN: Mapping[int, Answer] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Acted:
    """What became of a batch. `aborted`: an approval ended the turn. `paused`: calls wait for somebody. `stop`: a
    guard ends it."""

    denied: int = 0
    stop: GuardStop | None = None
    aborted: bool = False
    paused: bool = False


def _ignore(event: TurnEvent) -> None:
    """Nobody watches."""


class Dispatcher:
    """Runs tools for one turn. Use as an async context manager around the turn: tools started early live in it.

    `emit` may wait for the watcher; `note` must not: it is told what happens on the way out of a cancel.
    `side_effects_started`: a tool that is not read-only was started.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        *,
        approvals: ApprovalPolicy,
        policy: ToolPolicy | None = None,
        session: SessionLog,
        emit: Emit,
        note: Callable[[TurnEvent], None] = _ignore,
        cwd: Path,
        roots: tuple[Path, ...] = (),
        max_calls: int | None = None,
        guards: Guards | None = None,
        timeout_s: float = TOOL_TIMEOUT_S,
        telemetry: Telemetry | None = None,
        run: Run | None = None,
        sandbox: SandboxPolicy | None = None,
        escalates: bool = False,
        hooks: HookRunner | None = None,
    ) -> None:
        self.side_effects_started = False
        self._tools: dict[str, Tool] = {tool.spec.name: tool for tool in tools}
        self._policy = policy or ToolPolicy()
        self._guards = guards or Guards()
        self._max_calls = sys.maxsize if max_calls is None else max_calls
        self._slots = ToolSlots()
        self._session = session
        self._emit = emit
        self._note = note
        self._context = ToolContext(
            cwd=cwd, session_id=session.id, roots=roots, run=run, sandbox=sandbox, escalates=escalates
        )
        self._hooks = hooks or HookRunner(emit=emit, session_id=session.id, cwd=cwd)
        self._timeout_s = timeout_s
        self._telemetry = telemetry or Telemetry()
        self._permission = Permission(
            self._tools,
            approvals=approvals,
            policy=self._policy,
            hooks=self._hooks,
            emit=emit,
            context_for=self._context_for,
            max_calls=self._max_calls,
        )
        self._early: dict[ToolCall, _Early] = {}
        self._exclusive = False  # the response has a call that runs alone
        self._tasks: TaskGroup | None = None
        self._interrupt: BaseException | None = None

    async def __aenter__(self) -> Dispatcher:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The block's own error is not given to the task group, which would wrap it: early tools never raise.
        tasks, self._tasks = self._tasks, None
        try:
            if tasks is not None:
                tasks.cancel_scope.cancel()
                await tasks.__aexit__(None, None, None)
        finally:  # also where the turn was cancelled in the same moment
            if self._interrupt is not None:
                raise self._interrupt  # KeyboardInterrupt and its like, from a tool whose answer nobody waited for

    def use(self, tools: Sequence[Tool]) -> None:
        """These are the tools from the next response on."""
        self._tools.clear()
        self._tools.update((tool.spec.name, tool) for tool in tools)

    def start_early(self, item: ResponseItem) -> None:
        """Start a read-only tool that needs no approval while the response still streams; anything else is left, and
        so is what comes after a call that runs alone."""
        if self._tasks is None or not isinstance(item, CallItem) or item.status != "completed":
            return
        tool = self._tools.get(name_of(item))
        self._exclusive = self._exclusive or (tool is not None and not tool.parallel)
        if tool is None or not tool.read_only or self._exclusive or not isinstance(item, FunctionCall | CustomToolCall):
            return
        call = tool_call(item)
        if call in self._early or len(self._early) >= self._max_calls:
            return
        if not self._permission.unasked(tool, call):
            return
        # Known by the whole call: some servers use one call id for several calls, and one of those may need approval.
        early = self._early[call] = _Early(anyio.Event(), anyio.CancelScope())
        self._tasks.start_soon(self._run_early, early, tool, call)

    def drop_early(self) -> None:
        """The response was not kept: forget what was started for it."""
        for early in self._early.values():
            early.scope.cancel()
        self._early.clear()
        self._exclusive = False

    async def act(
        self, calls: Sequence[CallItem], known: Mapping[int, Answer] = _NOTHING_KNOWN, *, ask: bool = True
    ) -> Acted:
        """Answer every call, in order, but those that wait for somebody. `known`: answers that are there already, by
        the call's place. `ask`: about calls of a paused run too. What a tool ends the turn with (FatalToolError,
        KeyboardInterrupt) is raised after all of them are answered."""
        outputs = Outputs(calls, self._session, self._note, self._guards)
        denied, aborted, ends_with, over = 0, False, None, False
        try:
            for n, answer in known.items():
                await self._answered(n, answer, outputs)
            for group in self._groups(calls):
                allowed: list[int] = []
                for n in group:
                    if outputs.has(n):
                        continue
                    match await self._verdict(n, calls[n], ask=ask):
                        case Runs():
                            allowed.append(n)
                        case Waiting() as waiting:
                            outputs.wait(n, waiting)
                        case Refused(answer, aborted):
                            denied += answer.outcome == "denied"
                            await self._answered(n, answer, outputs)
                    if aborted:
                        break
                if aborted:
                    break
                ends_with = await self._run_group(allowed, calls, outputs)
                aborted = self._permission.aborted
                if aborted or ends_with is not None:
                    break
            over = not aborted and ends_with is None
        finally:
            self._end_early(calls, outputs)
            if over:
                outputs.pause()
            else:
                outputs.close("not run: the turn was stopped" + (" by the user" if aborted else ""))
        if ends_with is not None:
            raise ends_with
        return Acted(denied, self._guards.stop, aborted, outputs.waits)

    def answer(self, calls: Sequence[CallItem], output: str) -> None:
        """Answer calls that will not be run, at once: the way out of a cancel or an error."""
        Outputs(calls, self._session, self._note).close(output)

    async def resume(
        self, calls: Sequence[CallItem], unknown: str, *, ask: bool = True, left: str | None = None
    ) -> Acted:
        """Answer the calls of an earlier turn, in order: those whose tool had been started with `unknown`, for what it
        did is not known; with `left`, if there is one, those that waited and are no longer waited for; the others are
        acted on."""
        lost, gone = Answer(ToolOutput(unknown, success=False), "outcome_unknown"), not_run(left or "")
        known: dict[int, Answer] = {}
        for n, call in enumerate(calls):
            waiting = self._session.waiting(call)
            if self._session.was_started(call):
                known[n] = lost
            elif left is not None and waiting is not None and waiting.decision is None:
                known[n] = gone
        return await self.act(calls, known, ask=ask)

    async def _verdict(self, n: int, item: CallItem, *, ask: bool) -> Verdict:
        return await self._permission.verdict(
            n, item, started=self._early, waiting=self._session.waiting(item), ask=ask
        )

    def _groups(self, calls: Sequence[CallItem]) -> Iterator[list[int]]:
        """Runs of neighbouring parallel calls; everything else alone."""
        group: list[int] = []
        for n, item in enumerate(calls):
            tool = self._tools.get(name_of(item))
            if tool is not None and tool.parallel:
                group.append(n)
                continue
            if group:
                yield group
                group = []
            yield [n]
        if group:
            yield group

    async def _run_group(
        self, group: Sequence[int], calls: Sequence[CallItem], outputs: Outputs
    ) -> BaseException | None:
        """Run calls that may overlap. Returns what the turn has to end with, if anything."""
        ends_with: list[BaseException] = []

        async def one(n: int) -> None:
            try:
                answer = await self._run(calls[n], partial(outputs.put, n))
                if not isinstance(answer.ends_with, Exception | None):
                    self._interrupt = answer.ends_with  # whatever becomes of this task
                await self._answered(n, answer, outputs)
            except BaseException as error:  # not swallowed: `act` raises it, outside of any task group
                if is_cancellation(error):
                    raise
                ends_with.append(lone(error))
            else:
                if answer.ends_with is not None:
                    ends_with.append(answer.ends_with)

        if len(group) == 1:
            await one(group[0])
        elif group:
            async with anyio.create_task_group() as tasks:
                for n in group:
                    tasks.start_soon(one, n)
        return ends_with[0] if ends_with else None

    async def _run(self, item: CallItem, cancelled: Callable[[Answer], None]) -> Answer:
        call = tool_call(item)
        early = self._early.pop(call, None)
        if early is not None:
            try:
                await early.done.wait()
            except BaseException:
                cancelled(early.give_up())
                raise
            if early.answer is not None:
                return early.answer
        await anyio.lowlevel.checkpoint()  # a cancel that is on its way comes before the tool, not into it
        call = self._permission.changed.get(call, call)
        tool = self._tools[call.name]
        async with self._slots.of(tool):
            if not tool.read_only:
                self._session.tool_started(item)
                self.side_effects_started = True
            await self._emit(ToolStarted(call))
            return await self._call(tool, call, cancelled)

    async def _run_early(self, early: _Early, tool: Tool, call: ToolCall) -> None:
        def keep(answer: Answer) -> None:
            early.answer = answer

        try:
            with early.scope:
                async with self._slots.of(tool):
                    early.started = anyio.current_time()
                    await self._emit(ToolStarted(call))
                    keep(await self._call(tool, call, keep))
        finally:
            if early.answer is not None and not isinstance(early.answer.ends_with, Exception | None):
                self._interrupt = early.answer.ends_with
            early.done.set()

    def _end_early(self, calls: Sequence[CallItem], outputs: Outputs) -> None:
        """Calls that nobody waited for, though their tool was started: answered with what became of them."""
        started = [(n, self._early.pop(tool_call(item), None)) for n, item in enumerate(calls)]
        self.drop_early()
        answers = [(n, early.give_up()) for n, early in started if early is not None]
        for n, answer in answers:
            outputs.put(n, answer)

    async def _call(self, tool: Tool, call: ToolCall, cancelled: Callable[[Answer], None]) -> Answer:
        limit = self._policy.timeout_for(call.name)
        if limit is None:
            limit = tool.timeout_s if tool.timeout_s is not None else self._timeout_s
        with tool_span(self._telemetry, call.name, call.call_id, call.arguments) as span:
            answer = await run_tool(tool, call, self._context_for(call), timeout_s=limit, cancelled=cancelled)
            try:
                output = await self._hooks.after_tool(call, answer.output)
            except BaseException:  # cancelled: the tool has answered
                cancelled(answer)
                raise
            answer = answer if output is answer.output else replace(answer, output=output)
            span.answered(answer.outcome, lambda: _text(answer.output))
            return answer

    def _context_for(self, call: ToolCall) -> ToolContext:
        async def emit(text: str) -> None:
            await self._emit(ToolProgress(call.call_id, cut_middle(text, MAX_PROGRESS_BYTES)[0]))

        return structs.replace(
            self._context,
            call_id=call.call_id,
            tool=call.name,
            emit=emit,
            ask=self._permission.decide,
            approved=self._permission.approved.get(call),
        )

    async def _answered(self, n: int, answer: Answer, outputs: Outputs) -> None:
        finished = outputs.record(n, answer)
        if finished is not None:
            await self._emit(finished)


@dataclass(slots=True)
class _Early:
    done: anyio.Event
    scope: anyio.CancelScope
    started: float | None = None
    answer: Answer | None = None

    def give_up(self) -> Answer:
        """Stop the tool. What it has answered already, or that it was stopped."""
        self.scope.cancel()
        if self.started is None:
            return not_run("not run: the turn was stopped")
        return self.answer or aborted_after(anyio.current_time() - self.started)


def _text(output: ToolOutput) -> str:
    """What of an output is text."""
    if isinstance(output.content, str):
        return output.content
    return "\n".join(part.text for part in output.content if isinstance(part, InputText))
