"""An agent: a model, tools, a session and the rules of a run, in one object. Everything it does is in the layers below.

    agent = Agent("anthropic/claude-sonnet-4-6", tools=[add])
    print(await agent.ask("What is 2 + 3?"))

Each method is one turn of the conversation in `agent.session`; the next call goes on where the last one ended. Without
a model name the environment decides (see config.default_model); `rehearsal/<script>` is the scripted model that ships
with the package and answers over HTTP on loopback.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Literal

from .agent_approvals import Approvals, bounds_of
from .agent_arguments import (
    AgentInput,
    as_items,
    checked_limits,
    checked_policy,
    checked_session,
    directory,
    enclosing,
)
from .agent_models import AgentModels, Asked, ModelOptions, clients_of, passed_over_by
from .approval_rules import MAX_RULES
from .approvals import Decision
from .compaction import CompactionMode, CompactionPolicy, WindowMemory, checked_compaction
from .config import default_model
from .errors import CallerError, LimitReached, ModelError, RunPaused
from .items import ResponseItem
from .limits import EnclosingRun, Limits, RunState, require_price
from .paused import Answers, PendingCall, answers_to, pending_calls
from .prices import ListedPrices, Prices
from .prompt import OutputSchema, Prompt, ReasoningSettings, SamplingSettings, ToolChoice
from .session import OutputBudget, PromptView, Session
from .telemetry import Telemetry, TurnSpan, turn_span
from .tool_policy import ToolPolicy
from .toolbox import AgentTool, Toolbox, entries_of, with_reader
from .tools.base import Tool, ToolContext, ToolOutput
from .tools.read_output import ReadOutput
from .turn_events import CompactionFinished, StopReason, TurnEvent, TurnResult

if TYPE_CHECKING:
    import httpx2

    from .approvals import Ask
    from .auth import ApiKey
    from .circuit import Circuit
    from .client import ModelClient
    from .compaction.compactor import Compactor
    from .dispatch import Dispatcher
    from .events import Attempt
    from .fallback import Fallback, FallbackPolicy
    from .hooks import Hook, HookRunner
    from .limiter import RateLimiter
    from .permission import Emit
    from .providers import Provider
    from .refused_images import RefusedImages
    from .resampling import FallBack
    from .retry import FellBack, RetryPolicy
    from .sandbox import SandboxPolicy
    from .steering import Steering
    from .transport import Timeouts
    from .turn import Turn
    from .turn_parts import Model

__all__ = ["Agent", "AgentInput", "Approvals", "ask"]

_LIMITS = frozenset[StopReason](
    ("max_turns", "max_tool_calls", "max_tokens", "max_cost", "deadline", "repeated", "all_failed", "bad_calls")
)


@dataclass(frozen=True, slots=True)
class _Begin:
    """What a turn begins with: what is said, or the answers to a paused run."""

    items: tuple[ResponseItem, ...] = ()
    answers: Answers | None = None


class Agent:
    """See the module. Arguments:

    `model`: "provider/model"; `provider`, `wire`, `base_url`, `api_key` as for ModelClient; `client`: your own, then
    none of those. `fallbacks`: names or clients to ask in its place, in order, where `fallback_policy` says so (see
    fallback). `limiter`, `circuit`: for the model and fallbacks at the same provider, to share between agents.
    `tools`: functions, `@tool` functions, Tool objects, tool sets, whose tools may change between requests; a spec
    alone is a tool that you run (docs/paused-runs.md). Deferred ones are shown once `tool_search` found them.
    `approvals`: "deny" (default), "allow", a policy (see approvals), or a mode that goes with the sandbox (see
    approval_rules): "never", "on_request", "unless_trusted" or "always", with `ask` for who answers. `sandbox`: what
    commands and changes of files are held by, see sandbox. `tool_policy`: rules that say which tools run, are asked
    about, are refused or are yours to run. `cwd`: where tools work; files outside it are out of reach. `limits`: caps
    on each turn.
    `hooks`: your own code before and after tools, at the end of a turn and round compactions, see hooks.
    `prices`: what tokens cost, for `TurnResult.cost`; by default what the provider says it charged, if it does, and the
    list (extra `cost`) under `max_cost`.
    `output_budget`: how much of each tool output a request shows, by default 10,000 tokens. The session keeps all of it
    and an agent with tools gets `read_output` for the rest. None shows everything and adds no tool.
    `name`, `telemetry`: what its spans call it, and what it records with (docs/tracing.md).
    `compaction`: "auto" (default) puts a summary in the place of a history that grows too large for its model, "off"
    never does; or a CompactionPolicy.

    Used as an async context manager it keeps connections open between turns and closes them at the end; otherwise each
    turn opens and closes its own; what it wrote of its requests goes on either way. Tools that keep something between
    turns, a command that still runs, are closed at the end too. The session is the caller's to close. A second turn at
    a time raises CallerError.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        tools: Sequence[AgentTool] = (),
        instructions: str = "",
        session: Session | None = None,
        approvals: Approvals = "deny",
        ask: Ask | None = None,
        sandbox: SandboxPolicy | None = None,
        tool_policy: ToolPolicy | None = None,
        hooks: Sequence[Hook] = (),
        limits: Limits | None = None,
        prices: Prices | None = None,
        output_budget: OutputBudget | None = OutputBudget(),  # noqa: B008  # frozen
        compaction: CompactionMode | CompactionPolicy = "auto",
        name: str = "",
        telemetry: Telemetry | None = None,
        cwd: str | os.PathLike[str] | None = None,
        provider: Provider | None = None,
        wire: str | None = None,
        base_url: str | None = None,
        api_key: ApiKey | None = None,
        client: ModelClient | Fallback | None = None,
        http: httpx2.AsyncClient | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        fallbacks: Sequence[str | ModelClient] = (),
        fallback_policy: FallbackPolicy | None = None,
        limiter: RateLimiter | None = None,
        circuit: Circuit | None = None,
        tool_choice: ToolChoice = "auto",
        parallel_tool_calls: bool | None = None,
        reasoning: ReasoningSettings | None = None,
        sampling: SamplingSettings | None = None,
        max_output_tokens: int | None = None,
        output_schema: OutputSchema | None = None,
    ) -> None:
        self.session = checked_session(session)
        self.model = model or (client.model if client is not None else default_model())
        self._bounds = bounds_of(approvals, ask, sandbox).in_session(self.session)
        entries = with_reader(entries_of(tools), self.session, output_budget)
        self._toolbox = Toolbox(entries, self._bounds.holding)
        self.limits = checked_limits(limits)
        self.prices = prices if prices is not None or self.limits.max_cost is None else ListedPrices()
        self.cwd = directory(cwd)
        self.name = name
        self._telemetry = telemetry or Telemetry()
        self._tool_policy = checked_policy(tool_policy)
        self._hooks = tuple(hooks)
        self._compaction = checked_compaction(compaction)
        self._window = WindowMemory()
        self._refused: RefusedImages | None = None
        self._running = False
        self._settled = False
        self._output_budget = output_budget
        self._view = PromptView(output_budget, readable=any(isinstance(tool, ReadOutput) for tool in self.tools))
        options = ModelOptions(
            provider=provider,
            wire=wire,
            base_url=base_url,
            api_key=api_key,
            http=http,
            retry=retry,
            timeouts=timeouts,
            limiter=limiter,
            circuit=circuit,
            fallbacks=fallbacks,
            fallback_policy=fallback_policy,
        )
        self._models = AgentModels(self.model, client, options, self._telemetry)
        self._base = Prompt(
            instructions=instructions,
            tools=self._toolbox.specs,
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            reasoning=reasoning,
            sampling=sampling,
            max_output_tokens=max_output_tokens,
            output_schema=output_schema,
            prompt_cache_key=self.session.id,
            mend_items=True,  # a session is history: what is wrong in it could never be taken back
        )

    async def ask(self, text: AgentInput, *, within: ToolContext | None = None) -> str:
        """One turn; the final text. Raises LimitReached when a limit of the run ended it before the model did, and
        RunPaused when it waits for an answer to a call."""
        result = await self.run(text, within=within)
        if result.pending:
            waits = ", ".join(one.call.name for one in result.pending)
            raise RunPaused(f"the run waits for an answer to {len(result.pending)} of its calls: {waits:.200}")
        if result.stop_reason in _LIMITS:
            raise LimitReached(f"the turn ended at its limit {result.stop_reason}", limit=result.stop_reason)
        return result.text

    async def run(self, text: AgentInput, *, within: ToolContext | None = None) -> TurnResult:
        """One turn; how it ended. Raises ModelError if the model could not be reached or refused.

        In a paused run, what is said takes the place of an answer: calls that wait are answered as not run. With `[]`
        it goes on as it is: who approves is asked again about what was put off.
        `within`, for a tool that runs another agent, is its own context: what this turn uses counts in the run around
        it too, whose limits on tokens and cost hold here (see SubAgent, which does so).
        """
        return await self._unwatched(lambda: _Begin(as_items(text, self.session)), within)

    def stream(self, text: AgentInput, *, within: ToolContext | None = None) -> Turn:
        """One turn, watched: `async with agent.stream("…") as turn: async for event in turn: …`. `within` as in run."""
        return self._watched(lambda: _Begin(as_items(text, self.session)), within)

    @property
    def pending(self) -> tuple[PendingCall, ...]:
        """What a paused run waits for, also one that another process left in the session."""
        return pending_calls(self.session)

    async def resume(
        self,
        outputs: Mapping[str, ToolOutput | str] = MappingProxyType({}),
        decisions: Mapping[str, Decision | bool] = MappingProxyType({}),
    ) -> TurnResult:
        """Go on with a paused run: `outputs` of calls that were handed back, `decisions` on those that were put off, by
        call id (or the `id` of a PendingCall). While some are missing it stays paused; what can be run is run.

        Answers are in the session's file before anything is done with them. Raises CallerError, and changes nothing,
        for an id that waits for no such answer, and where no call is open.
        """
        return await self._unwatched(lambda: _resumption(self.session, outputs, decisions))

    def resume_stream(
        self,
        outputs: Mapping[str, ToolOutput | str] = MappingProxyType({}),
        decisions: Mapping[str, Decision | bool] = MappingProxyType({}),
    ) -> Turn:
        """`resume`, watched."""
        return self._watched(lambda: _resumption(self.session, outputs, decisions))

    def run_sync(self, text: AgentInput) -> TurnResult:
        """`run` for code without an event loop. Raises CallerError inside one, and KeyboardInterrupt on Ctrl-C: by then
        the run has ended as a cancelled one does, and the session can be gone on with."""
        from . import blocking

        blocking.refuse_running_loop("agent.run_sync", "await agent.run(…)")
        return blocking.run(self.run, text)

    async def compact(self, instructions: str = "") -> CompactionFinished:
        """Put a summary in the place of what was said so far; `instructions` say what it should be about in particular.

        `session.transcript` keeps everything, and rolling back brings it back. Calls that are open stay, for the next
        turn to answer. Raises CompactionError if there is nothing to compact or no summary came of it, and ModelError
        if the model could not be asked: the session is as it was then.
        """
        self._check_idle()
        state, finished = RunState(prices=self.prices), None
        turn_id = self._begin("compact")
        try:
            async with AsyncExitStack() as stack:
                asked = await self._models.asked(stack)
                finished = await self._compactor(asked, state, _drop, self._hook_runner(_drop)).compact(instructions)
            return finished
        finally:
            self._end(turn_id, "completed" if finished is not None else "error", state)

    async def aclose(self) -> None:
        """Close what the agent and its tools keep open between turns: connections, and commands that still run. It
        stays usable: each turn then opens and closes its own."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._models.close)
            stack.push_async_callback(self._toolbox.aclose)

    async def __aenter__(self) -> Agent:
        await self._models.keep_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run_turn(
        self,
        begin: Callable[[], _Begin],
        state: RunState,
        steering: Steering,
        *,
        emit: Emit,
        note: Callable[[TurnEvent], None],
    ) -> StopReason:
        from .cancellation import is_cancellation
        from .dispatch import Dispatcher
        from .guards import Guards
        from .loop import Loop
        from .previews import previewing
        from .tools.write_journal import settle_writes
        from .turn_events import TurnStarted

        self._check_idle()
        if not self._settled:
            await settle_writes(self.tools, self.cwd)
            self._settled = True
            self._check_idle()
        begun = begin()
        items, answers = begun.items, begun.answers
        turn_id = self._begin("turn")
        stop: StopReason | Literal["error"] = "error"
        try:
            if answers is not None:
                self.session.take_answers(answers.outputs, answers.decisions)
                for rule in answers.rules[: max(0, MAX_RULES - len(self.session.approval_rules))]:
                    self.session.remember(rule)
            note(TurnStarted(turn_id, self.session.id))  # no wait: from here on what the user says is recorded
            async with AsyncExitStack() as stack:
                span = stack.enter_context(self._span(turn_id, items, state))
                asked = await self._models.asked(stack)
                if (passed_over := passed_over_by(asked)) is not None:
                    note(passed_over)
                for client in clients_of(asked) if self.limits.max_cost is not None else ():
                    require_price(self.prices, client.model, charged=bool(client.resolved.compat.charge_member))
                hooks = self._hook_runner(emit)
                dispatcher = Dispatcher(
                    self.tools,
                    approvals=self._bounds.policy,
                    policy=self._tool_policy,
                    session=self.session,
                    emit=emit,
                    note=note,
                    cwd=self.cwd,
                    roots=self._bounds.roots(self.cwd),
                    max_calls=self.limits.max_calls_per_sample,
                    guards=Guards(max_repeats=self.limits.max_repeats, max_failed=self.limits.max_failed),
                    telemetry=self._telemetry,
                    run=EnclosingRun(state, self.limits, self.session),
                    sandbox=self._bounds.sandbox,
                    escalates=self._bounds.escalates,
                    hooks=hooks,
                )
                await stack.enter_async_context(dispatcher)
                compactor = self._compactor(asked, state, emit, hooks)
                loop = Loop(
                    model=self._without_refused_images(asked),
                    session=self.session,
                    dispatcher=dispatcher,
                    prompt_for=self._prompt_for,
                    emit=span.watching(previewing(emit, self.tools) if emit is not _drop else emit),
                    limits=self.limits,
                    state=state,
                    steered=steering.take,
                    retry=asked.retry,
                    fall_back=self._fall_back(asked),
                    watch=note,
                    compactor=compactor,
                    prepare=self._preparing(dispatcher, compactor),
                    on_stop=hooks.on_stop,
                )
                stop = await loop.run(items, ask=answers is None)
                span.stopped(stop)
            return stop
        except BaseException as error:
            if is_cancellation(error):
                stop = "cancelled"
            raise
        finally:
            try:
                self._say_late(steering.close())
            finally:
                self._end(turn_id, stop, state)

    async def _unwatched(self, begin: Callable[[], _Begin], within: ToolContext | None = None) -> TurnResult:
        from .steering import Steering

        state = RunState(prices=self.prices, around=enclosing(within))
        stop = await self._run_turn(begin, state, Steering(), emit=_drop, note=_ignore)
        return state.result(stop, self.session.transcript)

    def _watched(self, begin: Callable[[], _Begin], within: ToolContext | None = None) -> Turn:
        from .turn import Turn, TurnBody

        state = RunState(prices=self.prices, around=enclosing(within))

        async def run(turn: Turn) -> StopReason:
            return await self._run_turn(begin, state, turn.steering, emit=turn.emit, note=turn.note)

        return Turn(TurnBody(run, lambda stop: state.result(stop, self.session.transcript)))

    def _say_late(self, said: Sequence[ResponseItem]) -> None:
        """What was said too late for a turn: the next one begins with it. What is waited for meanwhile is not, then."""
        if said:
            from .loop import LEFT
            from .outputs import Outputs

            Outputs(self.session.open_calls(), self.session, _ignore).close(LEFT)
            self.session.append(*said)

    def _preparing(self, dispatcher: Dispatcher, compactor: Compactor) -> Callable[[], Awaitable[None]] | None:
        """What looks at the tools again before each request; None where they do not change."""
        if not self._toolbox.changes:
            return None

        async def prepare() -> None:
            if await self._toolbox.refresh(lambda: self.session.transcript):
                self._base = replace(self._base, tools=self._toolbox.specs)
                dispatcher.use(self.tools)
                compactor.use(self._base)

        return prepare

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What its requests show now: tools of sets once they were asked, deferred ones once they were found."""
        return self._toolbox.tools

    def _check_idle(self) -> None:
        if self._running:
            raise CallerError("this agent is in the middle of a turn", remedy="wait for it, or use another Agent")

    def _begin(self, kind: Literal["turn", "compact"]) -> str:
        turn_id = f"{kind}_{os.urandom(8).hex()}"
        self.session.turn_started(turn_id, model=self.model)
        self._running = True
        return turn_id

    def _end(self, turn_id: str, stop: StopReason | Literal["error"], state: RunState) -> None:
        self._running = False
        self.session.turn_finished(turn_id, stop, state.usage)
        if stop in _LIMITS:
            from .logs import limit_reached

            used = state.samples, state.tool_calls, state.usage.total
            limit_reached(stop, *used, session_id=self.session.id, turn_id=turn_id)

    def _without_refused_images(self, asked: Asked) -> Model:
        from .refused_images import RefusedImages

        self._refused = self._refused or RefusedImages()
        return self._refused.guarding(asked)

    def _fall_back(self, asked: Asked) -> FallBack:
        """How a turn goes on to the next model. What the one before sealed of the history is opened for it."""
        from .compaction.compactor import open_sealed
        from .fallback import FallbackTurn
        from .resampling import no_fallback

        if not isinstance(asked, FallbackTurn):
            return no_fallback

        def fall_back(error: ModelError) -> FellBack | None:
            fell = asked.fall_back(error)
            if fell is not None:
                open_sealed(self.session, wire=asked.resolved.wire, provider=asked.resolved.compat.provider)
            return fell

        return fall_back

    def _hook_runner(self, emit: Emit) -> HookRunner:
        from .hooks import HookRunner

        return HookRunner(self._hooks, emit=emit, session_id=self.session.id, cwd=self.cwd)

    def _compactor(self, client: Asked, state: RunState, emit: Emit, hooks: HookRunner) -> Compactor:
        from .compaction.compactor import Compactor, open_sealed
        from .compaction.summary import Summariser

        compat = client.resolved.compat
        open_sealed(self.session, wire=client.resolved.wire, provider=compat.provider)

        def spend(attempt: Attempt) -> None:
            state.answered(attempt.model or client.model, attempt.response)
            self.session.spent([attempt])

        summariser = Summariser(
            model=self._without_refused_images(client),
            prompt_for=self._prompt_for,
            resolved=lambda: client.resolved,
            spend=spend,
            retry=client.retry,
            budget=self._output_budget,
            endpoint=client.compact if self._compaction.endpoint and compat.compact_endpoint else None,
        )
        return Compactor(
            self.session,
            summariser,
            policy=self._compaction,
            memory=self._window,
            base=self._base,
            resolved=lambda: client.resolved,
            budget=self._output_budget,
            emit=emit,
            telemetry=self._telemetry,
            before=hooks.before_compaction,
            after=hooks.after_compaction,
        )

    def _span(self, turn_id: str, said: Sequence[ResponseItem], state: RunState) -> AbstractContextManager[TurnSpan]:
        """The span of a turn that begins now."""
        begins = len(self.session.transcript) + len(said)
        return turn_span(
            self._telemetry,
            model=self.model,
            agent=self.name,
            conversation=self.session.id,
            turn_id=turn_id,
            base=self._base,
            said=said,
            spent=state,
            answer=lambda: self.session.transcript[begins:],
        )

    def _prompt_for(self, items: tuple[ResponseItem, ...]) -> Prompt:
        return self._base.with_items(self._view.of(items))


def ask(
    model: str,
    text: str,
    *,
    instructions: str = "",
    tools: Sequence[AgentTool] = (),
    wire: str | None = None,
    base_url: str | None = None,
    api_key: ApiKey | None = None,
    max_output_tokens: int | None = None,
) -> str:
    """One question, one answer, no event loop needed: `ask("openai/gpt-5.6", "Name three sans-I/O libraries.")`."""
    from . import blocking

    blocking.refuse_running_loop("agent_core.ask", "await Agent(…).ask(…)")
    agent = Agent(
        model,
        instructions=instructions,
        tools=tools,
        wire=wire,
        base_url=base_url,
        api_key=api_key,
        max_output_tokens=max_output_tokens,
    )
    return blocking.run(agent.ask, text)


async def _drop(event: TurnEvent) -> None:
    """Nobody watches."""


def _ignore(event: TurnEvent) -> None:
    """Nobody watches."""


def _resumption(
    session: Session, outputs: Mapping[str, ToolOutput | str], decisions: Mapping[str, Decision | bool]
) -> _Begin:
    answers = answers_to(session, outputs, decisions)
    if not session.open_calls():
        raise CallerError("the session is no paused run: every call has its output", remedy="use agent.run(…)")
    return _Begin((), answers)
