"""A running turn: the handle a caller holds while the loop works.

The loop runs in a task of its own and hands its events over a bounded queue; the caller's pace is the loop's pace. The
caller may stop reading, cancel, steer, or leave the block at any time: the loop is ended, what it had is kept, open
calls are answered, and only then does the block end. Errors arrive as they were raised, never inside a group.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from threading import get_ident
from types import TracebackType

import anyio
from anyio import RunFinishedError, from_thread
from anyio.abc import TaskGroup
from anyio.lowlevel import EventLoopToken, current_token
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from .errors import CallerError
from .events import OutputTextDelta
from .items import ResponseItem, user_message
from .turn_events import StopReason, TurnEvent, TurnFinished, TurnResult

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
        self._body = body
        self._send: MemoryObjectSendStream[TurnEvent] | None = None
        self._receive: MemoryObjectReceiveStream[TurnEvent] | None = None
        self._scope = anyio.CancelScope()
        self._tasks: TaskGroup | None = None
        self._result: TurnResult | None = None
        self._error: BaseException | None = None
        self._error_told = False
        self._loop: tuple[int, EventLoopToken] | None = None
        self._steered: list[ResponseItem] = []

    @property
    def result(self) -> TurnResult:
        """How the turn ended. Raises CallerError while it runs, and the turn's own error if it failed."""
        self._raise_error()
        if self._result is None:
            raise CallerError("the turn has not finished", remedy="read its events to the end first")
        return self._result

    def cancel(self) -> None:
        """Stop now. The events end with TurnFinished("cancelled"); the session stays valid for the next turn. From
        another thread it returns when that is asked for. Does nothing after the end."""
        if self._ended:
            return
        if self._loop is None or self._loop[0] == get_ident():
            self._scope.cancel()
        else:
            with suppress(RunFinishedError):  # so is the turn
                from_thread.run_sync(self._scope.cancel, token=self._loop[1])

    def steer(self, text: str) -> None:
        """Say something to the running turn; the model sees it with the next request, in the next turn if this one
        makes none. Raises CallerError after the end, where nobody would hear it."""
        if self._ended:
            raise CallerError("the turn has ended", remedy="start the next one with this text")
        self._steered.append(user_message(text))

    def take_steered(self) -> Sequence[ResponseItem]:
        """What `steer` collected; the loop calls this at each boundary."""
        said, self._steered = self._steered, []
        return said

    async def emit(self, event: TurnEvent) -> None:
        """Hand an event to the reader; waits only when it is far behind. Without a reader, events are dropped."""
        if self._send is None:
            return
        try:
            self._send.send_nowait(event)
        except anyio.WouldBlock:
            with suppress(anyio.BrokenResourceError):
                await self._send.send(event)
        except anyio.BrokenResourceError:
            pass  # the reader left; the loop is being cancelled

    def note(self, event: TurnEvent) -> None:
        """Hand over an event from code that cannot wait; dropped if the reader is that far behind."""
        if self._send is not None:
            with suppress(anyio.WouldBlock, anyio.BrokenResourceError):
                self._send.send_nowait(event)

    def text_deltas(self) -> TextDeltas:
        """The assistant's text alone, as it comes; may be left at any time."""
        return TextDeltas(self)

    async def __aenter__(self) -> Turn:
        if self._loop is not None:
            raise CallerError("a turn runs once", remedy="start another one with agent.stream(…)")
        self._loop = get_ident(), current_token()
        self._send, self._receive = anyio.create_memory_object_stream[TurnEvent](QUEUE)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._run, self._send)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks, self._tasks = self._tasks, None
        if tasks is None or self._receive is None:
            return
        self._receive.close()
        self._scope.cancel()
        # The block's own error is not given to the task group, which would wrap it in a group.
        await tasks.__aexit__(None, None, None)
        if not self._error_told and not isinstance(self._error, Exception):
            self._raise_error()  # KeyboardInterrupt and its like, which the block did not stay to read

    def __aiter__(self) -> Turn:
        return self

    async def __anext__(self) -> TurnEvent:
        if self._receive is None:
            raise CallerError("a turn runs inside its block", remedy="use: async with agent.stream(…) as turn")
        try:
            return self._receive.receive_nowait()
        except anyio.WouldBlock:
            pass
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            return self._end()
        try:
            return await self._receive.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            return self._end()

    @property
    def _ended(self) -> bool:
        return self._result is not None or self._error is not None

    def _end(self) -> TurnEvent:
        self._raise_error()
        raise StopAsyncIteration

    def _raise_error(self) -> None:
        if self._error is not None:
            self._error_told = True
            raise self._error

    async def _run(self, queue: MemoryObjectSendStream[TurnEvent]) -> None:
        with queue:
            stop: StopReason = "cancelled"
            try:
                with self._scope:
                    stop = await self._body.run(self)
            except anyio.get_cancelled_exc_class():  # not by `cancel`: what is around the block was cancelled
                self._result = self._body.result(stop)
                raise
            except BaseException as error:  # noqa: BLE001  # not swallowed: raised to the reader, outside of any group
                self._error = error
                return
            self._result = self._body.result(stop)
            with anyio.CancelScope(shield=True):
                await self.emit(TurnFinished(self._result))


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
