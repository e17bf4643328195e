"""A running turn: the handle a caller holds while the loop works.

The loop runs in a task of its own and hands its events over a bounded queue; the caller's pace is the loop's pace. The
caller may stop reading, cancel, steer, or leave the block at any time: the loop is ended, what it had is kept, open
calls are answered, and only then does the block end. Errors arrive as they were raised, never inside a group.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import get_ident
from types import TracebackType

import anyio
from anyio import RunFinishedError, from_thread
from anyio.abc import TaskGroup
from anyio.lowlevel import EventLoopToken, current_token

from .cancellation import being_cancelled, is_cancellation, lone
from .errors import CallerError
from .events import OutputTextDelta
from .steering import Steering
from .turn_events import StopReason, TurnEvent, TurnFinished, TurnResult
from .turn_queue import TurnQueue

__all__ = ["TextDeltas", "Turn", "TurnBody"]

QUEUE = 256
"""Events the loop may be ahead of its reader: a burst of deltas, not a whole answer."""


class TurnBody:
    """What a turn runs. `run` raises the turn's error; `result` may be asked at any time."""

    __slots__ = ("result", "run")

    def __init__(
        self, run: Callable[[Turn], Awaitable[StopReason]], result: Callable[[StopReason], TurnResult]
    ) -> None:
        self.run = run
        self.result = result


class Turn:
    """Iterate it for turn events, inside `async with`, once. Read by one task; `cancel` and `steer` may come from any
    task or thread.

    After the last event, or after the block, `result` says how it ended.
    """

    def __init__(self, body: TurnBody) -> None:
        self.steering = Steering()
        self._body = body
        self._queue = TurnQueue[TurnEvent](QUEUE)
        self.emit = self._queue.put
        """Hand an event to the reader; waits while it is far behind. After the reader left, events are dropped."""
        self._scope: anyio.CancelScope | None = None
        self._tasks: TaskGroup | None = None
        self._loop: tuple[int, EventLoopToken] | None = None
        self._cancel_asked = False
        self._result: TurnResult | None = None
        self._error: BaseException | None = None
        self._error_told = False

    @property
    def result(self) -> TurnResult:
        """How the turn ended. Raises CallerError while it runs, and the turn's own error if it failed."""
        self._raise_error()
        if self._result is None:
            raise CallerError("the turn has not finished", remedy="read its events to the end first")
        return self._result

    def cancel(self) -> None:
        """Stop now. The events end with TurnFinished("cancelled"); the session stays valid for the next turn. From
        another thread it returns when that is asked for. Before the block, the turn ends as soon as it has begun. Does
        nothing the second time, and after the end. Not for signal handlers (anyio.open_signal_receiver hands signals
        to a task)."""
        self._cancel_asked = True  # before the loop is looked for: a block that is entered meanwhile finds it
        if self._ended or self._loop is None:
            return
        if self._loop[0] == get_ident():
            self._cancel_scope()
        else:
            with suppress(RunFinishedError):  # so is the turn
                from_thread.run_sync(self._cancel_scope, token=self._loop[1])

    def steer(self, text: str) -> None:
        """Say something to the running turn; the model sees it with the next request, in the next turn if this one
        makes none. Raises CallerError after the end, where nobody would hear it."""
        self.steering.say(text)

    def note(self, event: TurnEvent) -> None:
        """Hand over an event from code that cannot wait."""
        self._queue.note(event)

    def text_deltas(self) -> TextDeltas:
        """The assistant's text alone, as it comes; may be left at any time."""
        return TextDeltas(self)

    async def __aenter__(self) -> Turn:
        if self._loop is not None:
            raise CallerError("a turn runs once", remedy="start another one with agent.stream(…)")
        self._scope = anyio.CancelScope()
        self._loop = get_ident(), current_token()
        if self._cancel_asked:
            self._scope.cancel()
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._run, self._scope)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            return
        self._queue.leave()
        self._cancel_scope()
        # The block's own error is not given to the task group, which would wrap it in a group.
        await tasks.__aexit__(None, None, None)
        if not self._error_told and not isinstance(self._error, Exception):
            self._raise_error()  # KeyboardInterrupt and its like, which the block did not stay to read

    def __aiter__(self) -> Turn:
        return self

    async def __anext__(self) -> TurnEvent:
        if self._loop is None:
            raise CallerError("a turn runs inside its block", remedy="use: async with agent.stream(…) as turn")
        event = self._queue.next() or await self._queue.get()
        if event is not None:
            return event
        self._raise_error()
        raise StopAsyncIteration

    @property
    def _ended(self) -> bool:
        return self._result is not None or self._error is not None

    def _cancel_scope(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    def _raise_error(self) -> None:
        if self._error is not None:
            self._error_told = True
            raise self._error

    async def _run(self, scope: anyio.CancelScope) -> None:
        stop: StopReason = "cancelled"
        try:
            with scope:
                stop = await self._body.run(self)
        except BaseException as error:  # not swallowed: raised to the reader, outside of any group
            if not is_cancellation(error):
                self._error = lone(error)
                return
            self._finish(stop)
            if being_cancelled():  # not by `cancel`: what is around the block
                raise
        else:
            self._finish(stop)
        finally:
            self.steering.close()
            self._queue.close()

    def _finish(self, stop: StopReason) -> None:
        self._result = self._body.result(stop)
        self._queue.note(TurnFinished(self._result))


class TextDeltas:
    """The text of a turn, piece by piece. A plain iterator: a reader that leaves early leaves nothing to close."""

    __slots__ = ("_turn",)

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def __aiter__(self) -> TextDeltas:
        return self

    async def __anext__(self) -> str:
        while True:
            event = await self._turn.__anext__()
            if isinstance(event, OutputTextDelta):
                return event.delta
