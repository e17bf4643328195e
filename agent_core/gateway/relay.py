"""One request relayed: a prompt to a backend, its events back in the words of the wire that was asked.

opening   nothing is sent to the client until the backend's first content event is there: until then a failure is an
          HTTP error, and the backend is tried again unseen
relaying  event in, bytes out; a failure is the wire's own error in the stream, never an ending that looks whole
gone      a client that leaves ends the request to the backend at once
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace
from starlette.types import Message, Receive, Scope, Send

from ..aggregation import fold
from ..cancellation import lone
from ..client import EventStream, ModelClient
from ..codecs import CODECS
from ..codecs.base import DecodedRequest, Loss
from ..errors import AgentCoreError, ModelError, ServerError
from ..events import Completed, Created, ResponseEvent, Usage
from ..items import WireName
from ..logs import request_served
from ..prompt import Prompt
from .shaping import answer_headers, lost, shaped_error, told

__all__ = ["Relay"]

PING_S = 15.0
"""A stream that is silent for so long gets a sign of life: proxies and clients give up on silence after 30 to 300 s."""

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
    """The answer to one request, as an ASGI application. `open` is the client's; used once."""

    def __init__(
        self, asked: DecodedRequest, client: ModelClient, wire: WireName, request_id: str, *, ping_s: float = PING_S
    ) -> None:
        self._asked = asked
        self._prompt, self._left_out = _for_backend(asked.prompt, client, wire)
        self._client = client
        self._wire: WireName = wire
        self._codec = CODECS[wire]
        self._request_id = request_id
        self._ping_s = ping_s
        self._usage: Usage | None = None
        self._outcome = "client_left"
        self._watching = anyio.CancelScope()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        out = _Out(send)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_gone, receive, tasks.cancel_scope.cancel)
                await self._answer(out, tasks)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise lone(group) from None
        finally:
            request_served(
                wire=self._wire,
                model=self._client.model,
                outcome=self._outcome,
                status=out.status,
                duration_s=time.monotonic() - started,
                usage=self._usage,
                request_id=self._request_id,
            )

    async def _answer(self, out: _Out, tasks: TaskGroup) -> None:
        try:
            async with self._client.stream(self._prompt) as events:
                if self._asked.stream:
                    await self._stream(events, out, tasks)
                else:
                    await self._whole(events, out)
        except AgentCoreError as error:
            await self._fail(told(error), out)
        except Exception:
            await self._fail(ServerError("the gateway failed", status=500), out)
            raise

    async def _fail(self, error: ModelError, out: _Out) -> None:
        self._outcome = "refused" if out.status == 0 and error.status in range(400, 500) else "backend_error"
        if out.status == 0:
            await out.whole(*shaped_error(error, self._wire, self._request_id))
        elif out.encoder_fail is not None:
            await out.piece(out.encoder_fail(error))
            await out.end()

    async def _stream(self, events: EventStream, out: _Out, tasks: TaskGroup) -> None:
        # Only Chat lets the client decide about usage; a DecodedRequest of another wire says nothing of it.
        usage = self._asked.include_usage or self._wire != "chat"
        encoder = self._codec.stream_encoder(self._asked.prompt, include_usage=usage)
        out.encoder_fail = encoder.fail
        await out.begin(200, {**_STREAM_HEADERS, **self._headers(events)})
        tasks.start_soon(out.pings, _PING[self._wire], self._ping_s)
        async for event in events:
            await out.piece(encoder.feed(self._as_asked(event)))
        await out.piece(encoder.close())
        self._told_all()
        await out.end()

    async def _whole(self, events: EventStream, out: _Out) -> None:
        response = fold([self._as_asked(event) async for event in events])
        headers = {"content-type": "application/json", **self._headers(events)}
        self._told_all()
        await out.whole(200, headers, self._codec.encode_response(response, self._asked.prompt))

    def _told_all(self) -> None:
        """Only the last words are left to say: who leaves from now on has the whole answer."""
        self._watching.cancel()
        self._outcome = "completed"

    async def _until_gone(self, receive: Receive, gone: Callable[[], None]) -> None:
        with self._watching:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone()

    def _headers(self, events: EventStream) -> dict[str, str]:
        losses = (*self._asked.losses, *self._left_out, *events.losses)
        return {**answer_headers(self._wire, self._request_id), **lost(losses)}

    def _as_asked(self, event: ResponseEvent) -> ResponseEvent:
        """The event, with the model's name as the client knows it."""
        if isinstance(event, Completed):
            self._usage = event.usage
        name = self._asked.prompt.model
        return replace(event, model=name) if name and isinstance(event, Created | Completed) else event


def _for_backend(prompt: Prompt, client: ModelClient, wire: WireName) -> tuple[Prompt, tuple[Loss, ...]]:
    """The prompt as this backend is sent it. Members that only the client's wire knows stay there: another would refuse
    them, or take them for something else."""
    prompt = prompt.with_model(client.resolved.model)
    if client.wire == wire or not prompt.extra:
        return prompt, ()
    return dataclasses.replace(prompt, extra={}), tuple(Loss(name) for name in prompt.extra)


class _Out:
    """The client's end: a head, then pieces. One writer at a time, so that a ping never falls into an event."""

    def __init__(self, send: Send) -> None:
        self.status = 0
        self.encoder_fail: Callable[[ModelError], bytes] | None = None
        self._send = send
        self._lock = anyio.Lock()
        self._quiet_since = 0.0

    async def begin(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
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
            quiet_s = anyio.current_time() - self._quiet_since
            if quiet_s >= every_s:
                await self.piece(ping)
            else:
                await anyio.sleep(every_s - quiet_s)

    async def _give(self, message: Message) -> None:
        async with self._lock:
            await self._send(message)
            self._quiet_since = anyio.current_time()


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
