"""The loop: sample, act, repeat. This file is its documentation; nothing else is called loop.

    answer the calls a crash or a pause left open                     (some wait on: paused)
    append the user's items
    repeat:
        stop if a limit is met
        make room if the history grew too large for the model         (a summary takes its place)
        sample: send the history, pass on the model's events          (broken stream: nothing kept, sample again)
        commit: the whole response enters the session                 (from here on it is history)
        act:    every call gets exactly one output, in call order     (or waits for somebody: paused)
    until the model makes no call, and neither does anybody steer nor a hook want more

A response is committed when it is complete, and its tools run after that; so a broken stream leaves neither half an
attempt in the session nor a side effect in the world, and may be sampled again. (A read-only tool may start earlier.)
Opening is retried inside the client; a broken stream is sampled again here, by the same policy and count. Cancelling
raises through this function as it does everywhere: partial text is kept, marked incomplete, and open calls are answered
on the way out. So they are when anything else ends the turn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio
from msgspec.structs import replace

from .aggregation import fold
from .cancellation import is_cancellation, lone
from .compaction.compactor import Compactor
from .dispatch import Acted, Dispatcher
from .errors import ModelError, SessionError
from .events import Attempt, Completed, FinishReason, OutputItemDone, Response, ResponseEvent
from .hooks import no_stop_hook
from .items import Message, ResponseItem, user_message
from .limits import Limits, RunState
from .paused import pending_calls
from .permission import Emit
from .prompt import Prompt
from .resampling import FallBack, Resampling, no_fallback
from .retry import RetryPolicy, RetryScheduled
from .turn_events import SampleFinished, SampleRestarted, SampleStarted, StopReason
from .turn_parts import Model, ModelStream, TurnSession

__all__ = ["Loop"]

OUTCOME_UNKNOWN = "outcome unknown: the process ended while this tool ran; check what it did before repeating it"
STOPPED = "aborted: the turn was stopped before this call was run"
LEFT = "not run: the user went on without an answer to this call"

_STOP: dict[FinishReason, StopReason] = {"length": "length", "content_filter": "content_filter", "refusal": "refusal"}


@dataclass(frozen=True, slots=True)
class Loop:
    """What one turn is made of. `steered` hands over what the user said meanwhile; `retry` says which broken streams
    are sampled again, `fall_back` goes on to another model where there is one, and `watch` is told what the model's
    client tries again: it must not wait. `prepare` is
    called before anything is run or asked: what the tools are now."""

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
    fall_back: FallBack = no_fallback
    compactor: Compactor | None = None
    prepare: Callable[[], Awaitable[None]] | None = None
    on_stop: Callable[[str], Awaitable[str]] = no_stop_hook

    async def run(self, items: Sequence[ResponseItem], *, ask: bool = True) -> StopReason:
        """One turn, from the user's items to why it stopped. Raises ModelError; the session is valid after it, and
        holds the user's items whatever happened. `ask`: about what a pause put off, too."""
        self.state.first_item = len(self.session.transcript)
        to_say = list(items)
        try:
            with anyio.move_on_after(self.limits.deadline_s):
                stopped = await self._answer_open_calls(spoken=bool(to_say), ask=ask)
                self._say(to_say)
                return stopped or await self._repeat()
        except BaseException as raised:
            error = lone(raised)
            if not isinstance(error, SessionError):  # what cannot be recorded stays open: the next turn's first thing
                with suppress(SessionError):  # the error that is there says more
                    self._close(to_say)
            if isinstance(error, ModelError):
                error.side_effects_started = self.dispatcher.side_effects_started
            if error is not raised:
                raise error from None
            raise
        self._close(to_say)
        return self.state.final or "deadline"

    def _say(self, items: list[ResponseItem]) -> None:
        """Record what the user says: once, however often it is asked for."""
        said, items[:] = tuple(items), ()
        self.session.append(*said)

    def _close(self, to_say: list[ResponseItem]) -> None:
        for call in self.session.open_calls():
            self.dispatcher.answer([call], OUTCOME_UNKNOWN if self.session.was_started(call) else STOPPED)
        self._say(to_say)

    async def _repeat(self) -> StopReason:
        state, session, cut = self.state, self.session, False
        while True:
            if (reached := state.limit_reached(self.limits)) is not None:
                return reached
            response = await self._sample()
            if not isinstance(response, Response):
                return response
            await self.emit(SampleFinished(state.samples, response))
            calls, acted = response.tool_calls, Acted()
            if calls:
                state.tool_calls += len(calls)
                acted = await self.dispatcher.act(calls)
            said = self.steered()
            stopped = self._stopped_by(acted, spoken=bool(said))
            session.append(*said)
            if stopped is not None:
                return stopped
            # Calls that were all cut off are answered but not repeated for: the cap that cut them would cut again.
            # Where no cap is named (vllm#53269, or a model that wrote broken JSON) it may try again, once in a row.
            cut_before, cut = cut, bool(calls) and all(call.status == "incomplete" for call in calls)
            in_vain = cut and (cut_before or response.finish_reason in _STOP)
            goes_on = (calls and not in_vain) or response.end_turn is False
            if not (goes_on or said or response.finish_reason == "pause"):
                # A server may call the answer whole and have cut the call in it (vllm#53269).
                stop = _STOP.get(response.finish_reason, "length" if calls else "completed")
                if stop != "completed" or not (more := await self.on_stop(response.text)):
                    return stop
                session.append(user_message(more))

    async def _answer_open_calls(self, *, spoken: bool, ask: bool) -> StopReason | None:
        """A session that ends in unanswered calls is a paused run: finish it first, but run nothing a second time.
        Where the user has `spoken` since, nothing is waited for any more."""
        calls = self.session.open_calls()
        if not calls:
            return None
        if self.prepare is not None:
            await self.prepare()
        left = LEFT if spoken else None
        return self._stopped_by(await self.dispatcher.resume(calls, OUTCOME_UNKNOWN, ask=ask, left=left), spoken=spoken)

    def _stopped_by(self, acted: Acted, *, spoken: bool) -> StopReason | None:
        """Why nothing more is asked of the model. Who has something to say does not wait."""
        self.state.denied += acted.denied
        if acted.aborted:
            return "aborted"
        if spoken:
            self.dispatcher.answer(self.session.open_calls(), LEFT)
            return None
        if acted.paused:
            self.state.pending = pending_calls(self.session)
            return "paused"
        return acted.stop

    async def _sample(self) -> Response | StopReason:
        """One whole response, in the session. A stream that breaks is sampled again while error and budget allow it."""
        self.state.samples += 1
        self.state.final = None
        again, squeezed = Resampling(self.retry, self.emit, self.watch, self.fall_back), False
        if self.prepare is not None:
            await self.prepare()
        if self.compactor is not None:
            await self.compactor.make_room()
        while (reached := self.state.budget_reached(self.limits)) is None:
            try:
                async with self.model.stream(self.prompt_for(self.session.items), tries=again.tries) as events:
                    await self.emit(SampleStarted(self.state.samples, self.model.model, events.losses, events.repairs))
                    return self._commit(await self._read(events), events)
            except ModelError as error:
                self.dispatcher.drop_early()
                self._broke(error.model, error.partial, error.earlier)
                if self.compactor and not squeezed and (squeezed := await self.compactor.overflowed(error)):
                    continue
                # Nothing of a sample runs before it is whole, so no call is open here; were one, it might run twice.
                if self.session.open_calls() or (delay_s := await again.after(error)) is None:
                    raise
                if (reached := self.state.budget_reached(self.limits)) is not None:
                    return reached
                if error.output_emitted:
                    await self.emit(SampleRestarted(self.state.samples, error, delay_s))
                await anyio.sleep(delay_s)
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
        except BaseException as error:
            if is_cancellation(error):
                if kept and isinstance(kept[-1], Completed):
                    self._commit(fold(kept), events)
                else:
                    self._keep(events.snapshot(), events)
                self.dispatcher.drop_early()
            raise
        return fold(kept)

    def _commit(self, response: Response, events: ModelStream) -> Response:
        """The response as the session has it: every item with its id."""
        self.state.text = response.text
        if not (response.tool_calls or response.end_turn is False or response.finish_reason == "pause"):
            self.state.final = _STOP.get(response.finish_reason, "completed")
        self.state.answered(events.model, response, events.earlier)
        items = self.session.append(*response.items)
        self.session.sample_finished(response.usage)
        self.session.spent(events.earlier)
        return replace(response, items=items)

    def _keep(self, partial: Response, events: ModelStream) -> None:
        """What was said of a response that was cancelled; its calls and its reasoning are not history."""
        self.state.text = partial.text
        self._broke(events.model, partial, events.earlier)
        self.session.append(*(item for item in partial.items if isinstance(item, Message) and item.content))

    def _broke(self, model: str, partial: Response | None, earlier: tuple[Attempt, ...]) -> None:
        """Count what a broken or stopped answer and the attempts before it used."""
        self.state.broke(model, partial, earlier)
        self.session.spent(earlier if partial is None else (*earlier, Attempt(model, partial)))
