"""The loop around the tools that a gateway runs: one request of a client, as many of a backend as it takes.

    ask the backend ─► its events go on to the client, without the calls of the gateway's tools
    run those calls ─► each gets one output, by the dispatcher of the runtime
    repeat, until an answer has none of them, or has calls of the client's too

The same for streamed and whole answers: who folds the events sees the same end. When a limit is met or a guard says
stop, the backend is asked once more, without calls, for what there is to say; so no answer is left with a call that
only the gateway could run. A stream that breaks is the client's to know: no tool of it is run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import anyio
from anyio.abc import TaskStatus

from ..aggregation import fold
from ..approvals import deny_all
from ..cancellation import is_cancellation, lone
from ..dispatch import Dispatcher
from ..errors import ServerError
from ..events import Completed, OutputItemDone, Response, ResponseEvent
from ..guards import Guards
from ..items import CallItem, CallOutputItem, CustomToolCall, FunctionCall, ResponseItem
from ..limits import Limits, RunState
from ..logs import tool_served
from ..prompt import CustomToolSpec, ToolSpec
from ..session.waiting import Waiting
from ..tool_policy import ToolPolicy
from ..tools.base import Tool
from ..turn_events import ToolFinished, TurnEvent
from ..turn_queue import TurnQueue
from .asking import Answer, Answerer, Ask
from .server_tools_shown import Shown

__all__ = ["Keep", "Kit", "ToolTurn"]

QUEUE = 64
"""Events the backend may be ahead of the client."""

_CUT = ("length", "content_filter", "refusal")


Keep: TypeAlias = Callable[[Sequence[CallItem], Sequence[ResponseItem]], Awaitable[None]]
"""Told the calls a client was shown, and all that was made with them."""


@dataclass(frozen=True, slots=True)
class Kit:
    """What a request has of the gateway's tools: those that are run here, the specs the model is shown, and what holds
    for them. `alone`: the client has no tools, so every call is the gateway's to answer."""

    tools: Sequence[Tool]
    specs: Sequence[ToolSpec | CustomToolSpec]
    policy: ToolPolicy
    limits: Limits
    timeout_s: float
    alone: bool
    names: frozenset[str] = frozenset()

    def runs(self, item: ResponseItem) -> bool:
        """Whether the item is a call that is answered here."""
        if not isinstance(item, FunctionCall | CustomToolCall):
            return False
        named = isinstance(item, CustomToolCall) or not item.namespace
        return self.alone or (named and item.name in self.names)


class ToolTurn:
    """One request; its events are read from it, inside the block of `answer`. `keep` is told the client's calls and all
    that was made, where a part of it stays hidden."""

    def __init__(self, inner: Answerer, ask: Ask, kit: Kit, keep: Keep) -> None:
        self._inner = inner
        self._ask = ask.with_prompt(dataclasses.replace(ask.prompt, tools=(*ask.prompt.tools, *kit.specs)))
        self._kit = kit
        self._keep = keep
        self._queue = TurnQueue[ResponseEvent](QUEUE)
        self._shown = Shown(kit.runs)
        self._state = RunState()
        self._log = _Outputs(ask.request_id)
        self._dispatcher = Dispatcher(
            kit.tools,
            approvals=deny_all,
            policy=kit.policy,
            session=self._log,
            emit=self._watch,
            note=self._note,
            cwd=Path.cwd(),
            max_calls=kit.limits.max_calls_per_sample,
            guards=Guards(max_repeats=kit.limits.max_repeats, max_failed=kit.limits.max_failed),
            timeout_s=kit.timeout_s,
        )
        self._begun = False
        self._error: BaseException | None = None

    @asynccontextmanager
    async def answer(self) -> AsyncGenerator[Answer]:
        """Begun when the backend's first answer has. The work is done in a task that ends with the block."""
        try:
            async with anyio.create_task_group() as tasks:
                answer: Answer = await tasks.start(self._run)
                try:
                    yield dataclasses.replace(answer, events=self)
                finally:
                    self._queue.leave()
                    tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise lone(group) from None

    def __aiter__(self) -> ToolTurn:
        return self

    async def __anext__(self) -> ResponseEvent:
        event = await self._queue.get()
        if event is not None:
            return event
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def _run(self, *, task_status: TaskStatus[Answer]) -> None:
        deadline_s = self._kit.limits.deadline_s
        try:
            with anyio.move_on_after(deadline_s) as timer:
                await self._repeat(task_status)
            if timer.cancelled_caught:
                raise ServerError(f"the answer was not whole after {deadline_s:g} s", status=504, code="deadline")
        except BaseException as error:  # not swallowed: raised to the reader, outside of any group
            if is_cancellation(error) or not self._begun:
                raise
            self._error = lone(error)
        finally:
            self._queue.close()

    async def _repeat(self, status: TaskStatus[Answer]) -> None:
        kit, state, ask, last = self._kit, self._state, self._ask, False
        made: list[ResponseItem] = []
        while True:
            response = await self._sample(ask, status)
            theirs = [call for call in response.tool_calls if not kit.runs(call)]
            ours = [] if last or _is_cut(response) else [call for call in response.tool_calls if kit.runs(call)]
            made += [item for item in response.items if ours or not kit.runs(item)]
            if ours:
                state.tool_calls += len(ours)
                acted = await self._dispatcher.act(ours)
                made += self._log.taken()
                last = acted.stop is not None
            if theirs or not ours:
                if theirs and (ours or state.samples > 1):
                    await self._keep(theirs, made)
                return await self._queue.put(self._end(response, dropped=bool(response.tool_calls) and not theirs))
            last = last or state.limit_reached(kit.limits) is not None
            ask = self._following(made, calls=not last)

    async def _watch(self, event: TurnEvent) -> None:
        self._note(event)

    def _note(self, event: TurnEvent) -> None:
        if isinstance(event, ToolFinished):
            tool_served(
                tool=event.call.name,
                outcome=event.outcome,
                duration_s=event.duration_s,
                caller=self._ask.caller.name,
                request_id=self._ask.request_id,
            )

    def _following(self, made: Sequence[ResponseItem], *, calls: bool) -> Ask:
        """What is asked next. Only the first answer is forced to call: the same force again would never end."""
        first = self._ask.prompt
        items = (*first.items, *made)
        return self._ask.with_prompt(dataclasses.replace(first, items=items, tool_choice="auto" if calls else "none"))

    async def _sample(self, ask: Ask, status: TaskStatus[Answer]) -> Response:
        whole: list[ResponseEvent] = []
        self._shown.begin()
        async with self._inner.answer(ask) as answer:
            if not self._begun:
                self._begun = True
                self._ask = dataclasses.replace(self._ask, prefer=answer.deployment)
                status.started(answer)
            async for event in answer.events:
                if isinstance(event, OutputItemDone | Completed):
                    whole.append(event)
                if (shown := self._shown.feed(event)) is not None:
                    await self._queue.put(shown)
        response = fold(whole)
        self._state.samples += 1
        self._state.answered(answer.model, response)
        return response

    def _end(self, last: Response, *, dropped: bool) -> Completed:
        """How it all ended: as the last answer did, with what all of them used. `dropped`: what the model wants is a
        call that is not made any more, so its answer is not whole."""
        usage = last.usage
        if self._state.samples > 1:
            usage = dataclasses.replace(self._state.usage, context=None if last.usage is None else last.usage.total)
        return Completed(
            response_id=self._shown.response_id,
            model=last.model,
            finish_reason="length" if dropped else last.finish_reason,
            status="incomplete" if dropped else last.status,
            usage=usage,
            end_turn=None if dropped else last.end_turn,
            native_reason=None if dropped else last.native_reason,
            incomplete_reason=last.incomplete_reason,
            stop_sequence=last.stop_sequence,
        )


class _Outputs:
    """A session that holds the outputs of one batch of calls, and no more: the client has the conversation."""

    def __init__(self, request_id: str) -> None:
        self.id = request_id
        self._items: list[ResponseItem] = []

    def taken(self) -> list[ResponseItem]:
        """The outputs, which are then somebody else's to hold."""
        items, self._items = self._items, []
        return items

    def append(self, *items: ResponseItem) -> tuple[ResponseItem, ...]:
        self._items += items
        return items

    def tool_started(self, call: CallItem) -> None:
        return None

    def was_started(self, call: CallItem) -> bool:
        return False

    def waiting(self, call: CallItem) -> Waiting | None:
        return None

    def wait_for(self, call: CallItem, waiting: Waiting) -> None:
        raise AssertionError("calls of others are not given to the dispatcher")

    def held_output(self, call: CallItem) -> CallOutputItem | None:
        return None

    def hold_output(self, call: CallItem, output: CallOutputItem) -> None:
        raise AssertionError("no call waits")


def _is_cut(response: Response) -> bool:
    """The cap that cut all calls would cut them again."""
    calls = response.tool_calls
    return all(call.status == "incomplete" for call in calls) and response.finish_reason in _CUT
