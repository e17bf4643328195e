"""The loop: sample, act, repeat. This file is its documentation; nothing else is called loop.

    answer the calls a crash or a pause left open
    append the user's items
    repeat:
        stop if a limit is met
        make room if the history grew too large for the model         (a summary takes its place)
        sample: send the history, pass on the model's events          (broken stream: nothing kept, sample again)
        commit: the whole response enters the session                 (from here on it is history)
        act:    every call gets exactly one output, in call order
    until the model makes no call and nobody steers

A response is committed when it is complete, and its tools run after that; so a broken stream leaves neither half an
attempt in the session nor a side effect in the world, and may be sampled again. (A read-only tool may start earlier.)
Opening is retried inside the client; a broken stream is sampled again here, by the same policy and count. Cancelling
raises through this function as it does everywhere: partial text is kept, marked incomplete, and open calls are answered
on the way out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import anyio
from msgspec.structs import replace

from .aggregation import fold
from .codecs.base import Loss, Repair
from .compaction.compactor import Compactor
from .dispatch import Dispatcher, Emit, SessionLog
from .errors import ModelError
from .events import Attempt, Completed, FinishReason, OutputItemDone, Response, ResponseEvent, Usage
from .items import CallItem, Message, ResponseItem
from .limits import Limits, RunState
from .prompt import Prompt
from .retry import RetryPolicy, RetryScheduled, Tries
from .turn_events import SampleFinished, SampleRestarted, SampleStarted, StopReason

__all__ = ["Loop", "Model", "ModelStream", "TurnSession"]

OUTCOME_UNKNOWN = "outcome unknown: the process ended while this tool ran; check what it did before repeating it"
STOPPED = "aborted: the turn was stopped before this call was run"

_STOP: dict[FinishReason, StopReason] = {"length": "length", "content_filter": "content_filter", "refusal": "refusal"}


class ModelStream(Protocol):
    """One response as it streams; `snapshot` is the response so far, `model` who gives it ("provider/model"), `earlier`
    attempts that failed and were counted. Raises ModelError when the stream breaks."""

    losses: tuple[Loss, ...]
    repairs: tuple[Repair, ...]
    model: str
    earlier: tuple[Attempt, ...]

    def __aiter__(self) -> AsyncIterator[ResponseEvent]: ...

    def snapshot(self) -> Response: ...


class Model(Protocol):
    """What the loop asks of a client. `stream` returns when the first frame is there; leaving it closes the socket."""

    @property
    def model(self) -> str: ...

    def stream(self, prompt: Prompt, *, tries: Tries | None = None) -> AbstractAsyncContextManager[ModelStream]: ...


class TurnSession(SessionLog, Protocol):
    @property
    def items(self) -> tuple[ResponseItem, ...]: ...

    @property
    def transcript(self) -> tuple[ResponseItem, ...]: ...

    def open_calls(self) -> tuple[CallItem, ...]: ...

    def sample_finished(self, usage: Usage | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Loop:
    """What one turn is made of. `steered` hands over what the user said meanwhile; `retry` says which broken streams
    are sampled again, and `watch` is told what the model's client tries again: it must not wait."""

    model: Model
    session: TurnSession
    dispatcher: Dispatcher
    prompt_for: Callable[[tuple[ResponseItem, ...]], Prompt]
    emit: Emit
    limits: Limits
    state: RunState
    steered: Callable[[], Sequence[ResponseItem]]
    retry: RetryPolicy
    watch: Callable[[RetryScheduled], None] | None = None
    compactor: Compactor | None = None

    async def run(self, items: Sequence[ResponseItem]) -> StopReason:
        """One turn, from the user's items to why it stopped. Raises ModelError; the session is valid after it."""
        self.state.first_item = len(self.session.transcript)
        try:
            with anyio.move_on_after(self.limits.deadline_s):
                await self._answer_open_calls()
                self.session.append(*items)
                return await self._repeat()
        except anyio.get_cancelled_exc_class():
            self.dispatcher.answer(self.session.open_calls(), STOPPED)
            raise
        self.dispatcher.answer(self.session.open_calls(), STOPPED)
        return "deadline"

    async def _repeat(self) -> StopReason:
        state, session, cut = self.state, self.session, False
        while True:
            if (reached := state.limit_reached(self.limits)) is not None:
                return reached
            response = await self._sample()
            if not isinstance(response, Response):
                return response
            response = replace(response, items=session.append(*response.items))
            session.sample_finished(response.usage)
            state.text = response.text
            await self.emit(SampleFinished(state.samples, response))
            if calls := response.tool_calls:
                state.tool_calls += len(calls)
                acted = await self.dispatcher.act(calls)
                state.denied += acted.denied
                if acted.aborted:
                    return "aborted"
            session.append(*(said := self.steered()))
            # Calls that were all cut off are answered but not repeated for: the cap that cut them would cut again.
            # Where no cap is named (vllm#53269, or a model that wrote broken JSON) it may try again, once in a row.
            cut_before, cut = cut, bool(calls) and all(call.status == "incomplete" for call in calls)
            in_vain = cut and (cut_before or response.finish_reason in _STOP)
            goes_on = (calls and not in_vain) or response.end_turn is False
            if not (goes_on or said or response.finish_reason == "pause"):
                # A server may call the answer whole and have cut the call in it (vllm#53269).
                return _STOP.get(response.finish_reason, "length" if calls else "completed")

    async def _answer_open_calls(self) -> None:
        """A session that ends in unanswered calls is a paused run: finish it first, but run nothing a second time."""
        calls = self.session.open_calls()
        started = [call for call in calls if self.session.was_started(call)]
        await self.dispatcher.give_up(started, OUTCOME_UNKNOWN)
        if waiting := [call for call in calls if call not in started]:
            await self.dispatcher.act(waiting)

    async def _sample(self) -> Response | StopReason:
        """One whole response. A stream that breaks is sampled again while the error and the budget allow it."""
        self.state.samples += 1
        tries, squeezed = Tries(self.watch), False
        if self.compactor is not None:
            await self.compactor.make_room()
        while (reached := self.state.budget_reached(self.limits)) is None:
            try:
                async with self.model.stream(self.prompt_for(self.session.items), tries=tries) as events:
                    await self.emit(SampleStarted(self.state.samples, self.model.model, events.losses, events.repairs))
                    response = await self._read(events)
                self.state.answered(events.model, response, events.earlier)
                return response
            except ModelError as error:
                self.dispatcher.drop_early()
                self.state.broke(error.model, error.partial, error.earlier)
                if self.compactor and not squeezed and (squeezed := await self.compactor.overflowed(error)):
                    continue
                if (scheduled := tries.broke(error, self.retry, model=self.model.model)) is not None:
                    await self.emit(scheduled)
                # Nothing of a sample runs before it is whole, so no call is open here; were one, it might run twice.
                if scheduled is None or not scheduled.will_retry or self.session.open_calls():
                    raise
                if (reached := self.state.budget_reached(self.limits)) is not None:
                    return reached
                await self.emit(SampleRestarted(self.state.samples, error, scheduled.delay_s))
                await anyio.sleep(scheduled.delay_s)
        return reached

    async def _read(self, events: ModelStream) -> Response:
        kept: list[ResponseEvent] = []
        try:
            async for event in events:
                await self.emit(event)
                if isinstance(event, OutputItemDone):
                    kept.append(event)
                    self.dispatcher.start_early(event.item)
                elif isinstance(event, Completed):
                    kept.append(event)
        except anyio.get_cancelled_exc_class():
            self.dispatcher.drop_early()
            partial = events.snapshot()
            self.state.text = partial.text
            self.state.broke(events.model, partial, events.earlier)
            # What was said is kept; calls and reasoning of half a response are not history.
            self.session.append(*(item for item in partial.items if isinstance(item, Message) and item.content))
            raise
        return fold(kept)
