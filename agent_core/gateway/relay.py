"""One request relayed: a prompt to a backend, its events back in the words of the wire that was asked.

opening   nothing is sent to the client until the backend's first content event is there: until then a failure is an
          HTTP error, and the backend is tried again unseen
relaying  event in, bytes out; a failure is the wire's own error in the stream, never an ending that looks whole
gone      a client that leaves ends the request to the backend at once
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace
from starlette.types import Message, Receive, Scope, Send

from ..aggregation import fold
from ..cancellation import lone
from ..codecs import CODECS
from ..errors import AgentCoreError, ModelError, NotAdmitted, ServerError
from ..events import Completed, Created, ResponseEvent
from ..items import WireName
from ..telemetry import ServerSpan, Telemetry, error_type, server_span
from .asking import Answer, Answerer, Ask, Outcome, ReadAhead, Served, Watcher
from .shaping import answer_headers, limits_said, lost, shaped_error, told

__all__ = ["Relay"]

PING_S = 15.0
"""A stream that is silent for so long gets a sign of life: proxies and clients give up on silence after 30 to 300 s."""

_CACHE_HEADER = "x-agent-core-cache"  # of an answer that a cache has seen

_STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would hold events back
}
_PING: dict[WireName, bytes] = {
    "chat": b": ping\n\n",
    "responses": b": ping\n\n",
    "messages": b'event: ping\ndata: {"type": "ping"}\n\n',
}


class Relay:
    """The answer to one request, as an ASGI application. Used once."""

    def __init__(
        self,
        ask: Ask,
        answerer: Answerer,
        *,
        include_usage: bool = True,
        watchers: Sequence[Watcher] = (),
        telemetry: Telemetry | None = None,
        ping_s: float = PING_S,
    ) -> None:
        self._ask = ask
        self._answerer = answerer
        self._include_usage = include_usage
        self._watchers = watchers
        self._telemetry = telemetry or Telemetry()
        self._codec = CODECS[ask.wire]
        self._ping_s = ping_s
        self._outcome: Outcome = "client_left"
        self._model = self._deployment = self._cache = ""
        self._error = ""
        self._events = 0
        self._watching = anyio.CancelScope()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ask = self._ask
        with server_span(
            self._telemetry,
            scope["path"],
            wire=ask.wire,
            model=ask.prompt.model,
            stream=ask.stream,
            key=ask.caller.name,
            request_id=ask.request_id,
            headers=ask.headers,
        ) as span:
            await self._watched(receive, _Out(send), span)

    async def _watched(self, receive: Receive, out: _Out, span: ServerSpan) -> None:
        started = time.monotonic()
        for watcher in self._watchers:
            watcher.begun(self._ask)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_gone, receive, tasks.cancel_scope.cancel)
                await self._answer(out, tasks)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise lone(group) from None
        finally:
            served = self._served(out, started)
            _tell(span, served)
            for watcher in self._watchers:
                watcher.ended(self._ask, served)

    def _served(self, out: _Out, started: float) -> Served:
        ask = self._ask
        return Served(
            wire=ask.wire,
            asked=ask.prompt.model,
            model=self._model,
            caller=ask.caller.name,
            request_id=ask.request_id,
            stream=ask.stream,
            outcome=self._outcome,
            status=out.status,
            duration_s=time.monotonic() - started,
            first_s=out.begun_at - started if out.status == 200 else None,
            bill=tuple(ask.bill.entries),
            error=self._error,
            cost=ask.bill.cost,
            deployment=self._deployment,
            events=self._events,
            cache=self._cache,
        )

    async def _answer(self, out: _Out, tasks: TaskGroup) -> None:
        try:
            async with self._answerer.answer(self._ask) as answer:
                self._model, self._deployment = answer.model, answer.deployment
                self._cache = answer.headers.get(_CACHE_HEADER, "")
                if self._ask.stream:
                    await self._stream(answer, out, tasks)
                else:
                    await self._whole(answer, out)
        except AgentCoreError as error:
            self._error = error_type(error)
            await self._fail(told(error), out)
        except Exception as error:
            self._error = error_type(error)
            await self._fail(ServerError("the gateway failed", status=500), out)
            raise

    async def _fail(self, error: ModelError, out: _Out) -> None:
        ours = isinstance(error, NotAdmitted) or error.status in range(400, 500)
        self._outcome = "refused" if out.status == 0 and ours else "backend_error"
        if out.status == 0:
            await out.whole(*shaped_error(error, self._ask.wire, self._ask.request_id))
        elif out.encoder_fail is not None:
            await out.piece(out.encoder_fail(error))
            await out.end()

    async def _stream(self, answer: Answer, out: _Out, tasks: TaskGroup) -> None:
        encoder = self._codec.stream_encoder(self._ask.prompt, include_usage=self._include_usage)
        out.encoder_fail = encoder.fail
        await out.begin(200, {**_STREAM_HEADERS, **self._headers(answer)})
        tasks.start_soon(out.pings, _PING[self._ask.wire], self._ping_s)
        feed, events = encoder.feed, answer.events
        ready = events.ready if isinstance(events, ReadAhead) else _no_more
        async for event in events:
            data, more = feed(self._as_asked(event)), ready()
            if more:
                data += b"".join([feed(self._as_asked(later)) for later in more])
            self._events += 1 + len(more)
            await out.piece(data)
        await out.piece(encoder.close())
        self._told_all()
        await out.end()

    async def _whole(self, answer: Answer, out: _Out) -> None:
        events = [self._as_asked(event) async for event in answer.events]
        self._events = len(events)
        headers = {"content-type": "application/json", **self._headers(answer)}
        self._told_all()
        await out.whole(200, headers, self._codec.encode_response(fold(events), self._ask.prompt))

    def _told_all(self) -> None:
        """Only the last words are left to say: who leaves from now on has the whole answer."""
        self._watching.cancel()
        self._outcome = "completed"

    async def _until_gone(self, receive: Receive, gone: Callable[[], None]) -> None:
        with self._watching:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone()

    def _headers(self, answer: Answer) -> dict[str, str]:
        losses = (*self._ask.losses, *answer.losses)
        wire = self._ask.wire
        ours = {**answer_headers(wire, self._ask.request_id), **lost(losses)}
        return {**limits_said(answer.limits, wire), **ours, **answer.headers}

    def _as_asked(self, event: ResponseEvent) -> ResponseEvent:
        """The event, with the model's name as the client knows it."""
        if not isinstance(event, _NAMING):
            return event
        name = self._ask.prompt.model
        return replace(event, model=name) if name else event


_NAMING = (Created, Completed)


def _no_more() -> Sequence[ResponseEvent]:
    return ()


class _Out:
    """The client's end: a head, then pieces. Each is a whole number of events, so a ping never falls into one; while
    one is being sent the client has something to read, and needs no ping."""

    def __init__(self, send: Send) -> None:
        self.status = 0
        self.begun_at = 0.0
        self.encoder_fail: Callable[[ModelError], bytes] | None = None
        self._send = send
        self._sending = False
        self._pinging = anyio.Lock()
        self._quiet_since = 0.0

    async def begin(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.begun_at = time.monotonic()
        await self._give({"type": "http.response.start", "status": status, "headers": _raw(headers)})

    async def piece(self, data: bytes) -> None:
        if data:
            await self._give({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._give({"type": "http.response.body", "body": b"", "more_body": False})

    async def whole(self, status: int, headers: dict[str, str], body: bytes) -> None:
        await self.begin(status, {**headers, "content-length": str(len(body))})
        await self._give({"type": "http.response.body", "body": body, "more_body": False})

    async def pings(self, ping: bytes, every_s: float) -> None:
        while True:
            quiet_s = time.monotonic() - self._quiet_since
            if self._sending or quiet_s < every_s:
                await anyio.sleep(every_s - quiet_s if quiet_s < every_s else every_s)
                continue
            async with self._pinging:
                await self._send({"type": "http.response.body", "body": ping, "more_body": True})
                self._quiet_since = time.monotonic()

    async def _give(self, message: Message) -> None:
        if self._pinging.locked():  # one writer at a time; only a ping that the client does not read takes long
            async with self._pinging:
                pass
        self._sending = True
        await self._send(message)
        self._sending = False
        self._quiet_since = time.monotonic()


def _tell(span: ServerSpan, served: Served) -> None:
    used = [billed.usage for billed in served.bill]
    span.ended(
        outcome=served.outcome,
        status=served.status,
        model=served.model,
        deployment=served.deployment,
        first_s=served.first_s,
        usage=reduce(add, used) if used else None,
        cost=served.cost,
        error=served.error,
    )


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
