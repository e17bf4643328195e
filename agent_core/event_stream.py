"""One answer as it comes in: bytes under timers, a decoder, events out.

    opening:  bytes → first content event (nothing shown yet: a failure up to here may be retried unseen)
    reading:  bytes → decoder → events
    finishing (the answer is whole, usage may follow): at most `grace_s` more
    ended:    Completed was given out, or the one error is raised

The end of the body is the decoder's to judge: `close()` says whether the wire allows it. A connection that breaks after
the answer was whole is no failure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from math import inf
from typing import TypeVar

from .codecs.base import Encoded, Loss, Repair, StreamDecoder
from .codecs.whole import response_events
from .deadlines import Deadlines, RanOut, Scopes
from .errors import EventTooLarge, ModelError, StreamError, TimeoutKind, TransportError, TransportTimeout
from .events import Attempt, Completed, Created, RateLimits, Response, ResponseEvent
from .transport import HttpStream, Timeouts

__all__ = ["EventStream", "TimedBody", "Timers"]

_Step = TypeVar("_Step")

_DRAIN_S = 0.05  # for the last empty chunk of a body: less than the connection its arrival saves
_DRAIN_BYTES = 65536
_BLANK = b"\xef\xbb\xbf \t\r\n"
_LEFT = Scopes()
_RAN_OUT: Mapping[TimeoutKind, str] = {
    "connect": "no connection within {:g} s",
    "first_event": "no event of the answer came within {:g} s",
    "idle": "the stream was silent for {:g} s",
    "total": "the call was not over after {:g} s",
}


class Timers:
    """The timers of one attempt that begins now. `reads` and `total_by` are shared by all attempts of a call.

    Before the first byte only `first_event_s` (or, without it, `idle_s`) says how long silence may last.
    """

    __slots__ = ("_first_by", "_grace_by", "_timeouts", "_total_by", "got_bytes", "got_event", "reads")

    def __init__(self, timeouts: Timeouts, reads: Deadlines, *, total_by: float | None) -> None:
        self._timeouts = timeouts
        self._first_by = None if timeouts.first_event_s is None else reads.now() + timeouts.first_event_s
        self._total_by = total_by
        self._grace_by: float | None = None
        self.reads = reads
        self.got_bytes = False
        self.got_event = False

    def finishing(self) -> None:
        """The answer is whole: what may still come has the grace from now on, once."""
        if self._grace_by is None and self._timeouts.grace_s is not None:
            self._grace_by = self.reads.now() + self._timeouts.grace_s

    async def bounded(self, step: Awaitable[_Step]) -> _Step:
        """Await what opens the stream. Raises TransportTimeout when a timer runs out before it."""
        timer, deadline, after_s = self.next()
        try:
            return await self.reads.bounded(step, deadline)
        except RanOut:
            raise _ran_out(timer or "total", after_s) from None

    def close(self) -> None:
        """No read should come any more: whoever tries does not disturb the call that has the timer now."""
        self.reads = _LEFT

    def next(self) -> tuple[TimeoutKind | None, float, float]:
        """The timer that runs out first: its name (None for the grace after a finish), its deadline, its length."""
        timeouts = self._timeouts
        timer: TimeoutKind | None = None
        deadline, after_s = inf, 0.0
        if not self.got_event and self._first_by is not None:
            timer, deadline, after_s = "first_event", self._first_by, timeouts.first_event_s or 0.0
        if timeouts.idle_s is not None and (self.got_bytes or self._first_by is None):
            idle_by = self.reads.now() + timeouts.idle_s
            if idle_by < deadline:
                timer, deadline, after_s = "idle", idle_by, timeouts.idle_s
        if self._total_by is not None and self._total_by < deadline:
            timer, deadline, after_s = "total", self._total_by, timeouts.total_s or 0.0
        if self._grace_by is not None and self._grace_by < deadline:
            timer, deadline, after_s = None, self._grace_by, 0.0
        return timer, deadline, after_s


def _ran_out(timer: TimeoutKind, after_s: float) -> TransportTimeout:
    return TransportTimeout(_RAN_OUT[timer].format(after_s), timeout=timer, after_s=after_s)


class TimedBody:
    """The chunks of one answer, under its timers. Read by one reader, once."""

    __slots__ = ("_chunks", "_over", "timers")

    def __init__(self, chunks: AsyncIterator[bytes], timers: Timers) -> None:
        self._chunks = chunks
        self._over = False
        self.timers = timers

    async def read(self) -> bytes | None:
        """The next chunk; None at the end of the body or of the grace. Raises TransportError."""
        timers = self.timers
        timer, deadline, after_s = timers.next()
        try:
            chunk = await timers.reads.bounded(anext(self._chunks, None), deadline)
        except RanOut:
            if timer is None:
                return None
            raise _ran_out(timer, after_s) from None
        if chunk:
            timers.got_bytes = True
        elif chunk is None:
            self._over = True
        return chunk

    async def head(self) -> bytes:
        """The first bytes that are not blank, with the blank ones before them; all there is if none come."""
        head = b""
        while not head.strip(_BLANK) and len(head) < _DRAIN_BYTES and (chunk := await self.read()) is not None:
            head += chunk
        return head

    async def rest(self, head: bytes, max_bytes: int) -> tuple[bytes, TransportError | None]:
        """`head` and everything after it; and what broke it off, for it may be whole all the same. Raises
        EventTooLarge beyond `max_bytes`."""
        pieces, size = [head], len(head)
        try:
            while (chunk := await self.read()) is not None:
                pieces.append(chunk)
                size += len(chunk)
                if size > max_bytes:
                    what = f"the answer is larger than {max_bytes} bytes"
                    raise EventTooLarge(what, remedy="ask for less, or stream it")
        except TransportError as error:
            return b"".join(pieces), error
        return b"".join(pieces), None

    async def drain(self) -> None:
        """Read what little may be left, so that the connection can be used again; give up at once if more comes."""
        size, by = 0, self.timers.reads.now() + _DRAIN_S
        try:
            while not self._over and size < _DRAIN_BYTES:
                chunk = await self.timers.reads.bounded(anext(self._chunks, None), by)
                self._over = chunk is None
                size += len(chunk or b"")
        except RanOut:
            return


class _Whole:
    """The decoder of an answer that came whole: nothing is left to decode."""

    error: ModelError | None = None
    done = True
    finishing = False
    frames = 1

    def __init__(self, response: Response) -> None:
        self._response = response

    def feed(self, data: bytes) -> list[ResponseEvent]:
        return []

    def close(self) -> list[ResponseEvent]:
        return []

    def snapshot(self) -> Response:
        return self._response


class EventStream:
    """The events of one answer, in the order of the event grammar. Iterate it once, inside its block.

    It ends after `Completed`, or raises one ModelError: with `partial`, what had come; `attempt`; and `output_emitted`
    if an event was given out before. `losses` and `repairs` say what the request could not carry as it stood; `earlier`
    is what attempts before this one used, where the server had counted it; `model` is "provider/model" as asked for.
    """

    __slots__ = (
        "_body",
        "_content",
        "_decoder",
        "_emitted",
        "_ended",
        "_raised",
        "_ready",
        "attempt",
        "completed",
        "earlier",
        "error",
        "headers",
        "losses",
        "model",
        "repairs",
        "request_id",
        "status",
    )

    def __init__(
        self,
        decoder: StreamDecoder,
        body: TimedBody,
        http: HttpStream,
        encoded: Encoded,
        *,
        attempt: int,
        request_id: str | None,
        model: str = "",
    ) -> None:
        self.losses: tuple[Loss, ...] = encoded.losses
        self.repairs: tuple[Repair, ...] = encoded.repairs
        self.attempt = attempt
        self.earlier: tuple[Attempt, ...] = ()
        self.model = model
        self.request_id = request_id
        self.status = http.status
        self.headers: Mapping[str, str] = http.headers
        self.completed: Completed | None = None
        self.error: ModelError | None = None
        self._decoder: StreamDecoder = decoder
        self._body = body
        self._ready: deque[ResponseEvent] = deque()
        self._content = False
        self._emitted = False
        self._ended = False
        self._raised = False

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> ResponseEvent:
        while not self._ready:
            if self._ended:
                self._raise_once()
                raise StopAsyncIteration
            await self._advance()
        self._emitted = True
        return self._ready.popleft()

    def ready(self) -> list[ResponseEvent]:
        """The next events, as many as are there without waiting. What is given out here is not given out again."""
        events = list(self._ready)
        self._ready.clear()
        self._emitted = self._emitted or bool(events)
        return events

    def snapshot(self) -> Response:
        """The answer so far, unfinished items marked incomplete; after the end, the whole of it."""
        return self._decoder.snapshot()

    async def open(self, head: bytes, whole: Response | None, limits: RateLimits | None) -> None:
        """Read up to the first content event, beginning with `head`; or take the answer that came `whole`.

        `limits` go where the grammar wants them: after Created. Raises what ended the stream before any content.
        """
        if whole is not None:
            self._decoder = _Whole(whole)
            self._take(response_events(whole))
            self._end(None)
        elif head:
            self._feed(head)
        while not self._content and not self._ended:
            await self._advance()
        if not self._content:
            self._raise_once()
        if limits is not None:
            self._ready.insert(1 if self._ready and isinstance(self._ready[0], Created) else 0, limits)

    async def drain(self) -> None:
        """Make the connection fit for the next request, if that takes no time. Only after a good end."""
        if self._ended and self.error is None:
            try:
                await self._body.drain()
            except TransportError:
                return  # it broke after the answer was whole: nobody waits for it any more

    async def _advance(self) -> None:
        try:
            chunk = await self._body.read()
        except TransportError as error:
            self._break(error)
            return
        if chunk is None:
            self._take(self._decoder.close())
            self._end(self._decoder.error)
        else:
            self._feed(chunk)

    def _feed(self, chunk: bytes) -> None:
        decoder = self._decoder
        self._take(decoder.feed(chunk))
        timers = self._body.timers
        if decoder.frames:
            timers.got_event = True
        if decoder.done:
            self._end(decoder.error)
        elif decoder.finishing:
            timers.finishing()

    def _break(self, error: TransportError) -> None:
        """The connection failed. What the decoder holds is given out; a whole answer is still one."""
        whole = self._decoder.finishing
        events = self._decoder.close()
        judged = self._decoder.error
        if whole and judged is None:
            self._take(events)
            self._end(None)
            return
        self._take(event for event in events if not isinstance(event, Completed))
        if error.kind == "truncated" and isinstance(judged, StreamError):
            judged.__cause__ = error
            self._end(judged)
            return
        error.partial = judged.partial if judged is not None else self._decoder.snapshot()
        self._end(error)

    def _take(self, events: Iterable[ResponseEvent]) -> None:
        ready = self._ready
        before = len(ready)
        ready.extend(events)
        if len(ready) > before and isinstance(ready[-1], Completed):
            self.completed = ready[-1]
        if not self._content:
            for event in ready:
                if not isinstance(event, (Created, RateLimits)):
                    self._content = True
                    return

    def _end(self, error: ModelError | None) -> None:
        self._ended = True
        self.error = error

    def _raise_once(self) -> None:
        if self.error is not None and not self._raised:
            self._raised = True
            self.error.attempt = self.attempt
            self.error.earlier = self.earlier
            self.error.model = self.model
            self.error.output_emitted = self._emitted
            self.error.request_id = self.error.request_id or self.request_id
            raise self.error
