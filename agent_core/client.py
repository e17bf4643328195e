"""Prompt in, events out: the request of any wire, sent, retried while opening, read as a stream or whole.

    client = ModelClient("groq/openai/gpt-oss-120b")
    async with client.stream(Prompt("Hello")) as events:
        async for event in events: ...
    response = await client.complete(Prompt("Hello"))

Entering the block returns when the first content event is there: until then a failure is retried unseen, after it the
stream raises and it is the caller's to sample again. Leaving the block closes the connection, whatever the reason.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from urllib.parse import urlsplit, urlunsplit

import anyio
import msgspec

from . import __version__
from .admission import Admission, Gates
from .auth import ApiKey, Credentials
from .circuit import Circuit
from .codecs import codec_for
from .codecs.api_errors import html_title, request_id
from .codecs.base import Compat, Encoded, RequestEncoder
from .codecs.rate_limits import rate_limits
from .codecs.whole import cut_answer
from .deadlines import Deadlines, Kept
from .errors import ApiError, ConfigError, MalformedStream, ModelError, TransportError, UnsupportedError
from .event_stream import EventStream, TimedBody, Timers
from .events import Attempt, Response
from .items import WireName
from .limiter import RateLimiter
from .prompt import Prompt
from .providers import CompatOverrides, Provider, Resolved, resolve
from .retry import RetryPolicy, RetryScheduled, Tries, with_retries
from .telemetry import CallSpan, Telemetry, call_span, trace_headers
from .transport import HttpRequest, HttpStream, HttpxTransport, Timeouts, Transport
from .transport_choice import ChosenTransport, TransportName

if TYPE_CHECKING:
    import httpx2

__all__ = ["EventStream", "KeptBodies", "ModelClient"]

MAX_ERROR_BYTES = 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""The largest answer read whole: several images in base64."""

_Opened = TypeVar("_Opened")
_Option = TypeVar("_Option", RetryPolicy, Timeouts)
_Gate = TypeVar("_Gate")

_BLANK = b"\xef\xbb\xbf \t\r\n"
_NO_STREAM = (b"{", b"[", b"<")  # no line of an event stream begins like that
_AUTH_HEADERS = frozenset({"authorization", "x-api-key", "api-key"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_USER_AGENT = f"agent-core/{__version__}"
_ERROR_BODY_S = 5.0  # an error that takes longer to say is reported without its explanation
_WHOLE_ANSWER_S = 900.0  # behaviours.md S0-88


class _Call(msgspec.Struct, frozen=True):
    """What all attempts of one call share; it has to be over `total_s` seconds after it began, at `total_by` of the
    clock of `reads`."""

    prompt: Prompt
    encoded: Encoded
    url: str
    tries: Tries
    reads: Deadlines
    total_s: float | None
    total_by: float | None
    headers: Mapping[str, str]


class _Held:
    """What one attempt holds: its place in the line, a timer, and once it is opened a connection. Left once."""

    __slots__ = ("_opened", "admission", "timers")

    def __init__(self, admission: Admission, timers: Timers) -> None:
        self.admission = admission
        self.timers = timers
        self._opened: AbstractAsyncContextManager[HttpStream] | None = None

    async def open(self, opening: AbstractAsyncContextManager[HttpStream]) -> HttpStream:
        """Raises as Transport.open does, and TransportTimeout."""
        http = await self.timers.bounded(opening.__aenter__())
        self._opened = opening
        return http

    async def __aenter__(self) -> _Held:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.timers.close()
        try:
            if self._opened is not None:
                await self._opened.__aexit__(kind, error, trace)
        finally:
            if self.admission.holds_place:
                await self.admission.leave()


_Opening: TypeAlias = tuple[_Call, CallSpan, _Held, EventStream]


class _Streamed:
    """An answer from its first content until its block is left. Entered once, left once. (A class: a generator for each
    request would cost as much as opening it.)"""

    __slots__ = ("_call", "_events", "_held", "_kept", "_open", "_span")

    _call: _Call
    _held: _Held
    _events: EventStream
    _span: CallSpan

    def __init__(self, open_it: Callable[[], Awaitable[_Opening]], kept: Kept) -> None:
        self._open = open_it
        self._kept = kept

    async def __aenter__(self) -> EventStream:
        self._call, self._span, self._held, events = await self._open()
        self._events = events
        try:
            self._span.opened(events.request_id, events.earlier)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return events

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            try:
                await self._end(drain=kind is None)
            except BaseException as broke:
                await self._held.__aexit__(type(broke), broke, broke.__traceback__)
                raise
            await self._held.__aexit__(kind, error, trace)
        finally:
            self._kept.give_back(self._call.reads)
            self._span.end()

    async def _end(self, *, drain: bool) -> None:
        events = self._events
        try:
            if drain:
                await events.drain()
        finally:
            self._held.admission.ended(events.completed, events.error)
            self._span.ended(events.completed, events.error, events.snapshot)


class KeptBodies:
    """What was written of conversations so far, for clients that follow each other (an agent's, one a turn): each goes
    on with it if it writes for the same server as the one before, else it begins anew. Bounded as a client's own
    (`codecs.incremental`), and in no event loop's hands; not for several threads at a time."""

    __slots__ = ("_encoder", "_written_for")

    def __init__(self) -> None:
        self._encoder: RequestEncoder | None = None
        self._written_for: tuple[WireName, Compat] | None = None

    def encoder_for(self, resolved: Resolved) -> RequestEncoder:
        written_for = resolved.wire, resolved.compat
        if self._encoder is None or self._written_for != written_for:
            self._encoder = codec_for(resolved.wire).request_encoder(resolved.compat)
            self._written_for = written_for
        return self._encoder


class ModelClient:
    """One model at one provider. Arguments:

    `model`: "provider/model"; `provider`, `wire`, `base_url` as for `providers.resolve`; `compat`: fields of Compat
    that differ at this server. `api_key`: a string or a callable, else the variables of the provider's row. `http`: an
    httpx2.AsyncClient of yours, never closed here; or `transport`: "aiohttp", "h11" or "httpx2" (without it the fastest
    that can be used: transport_choice), or anything that is a Transport. `headers`: sent with every request, they win.
    `limiter` and `circuit`: what a request passes before it is sent, yours to share between clients (limiter, circuit).
    `on_retry`: told of each failed attempt that could be retried; it must not block. `telemetry`: what it records with,
    the program's own OpenTelemetry by default (docs/tracing.md). `sleep`: waits between attempts, `anyio.sleep` unless
    a test says otherwise. `kept`: what clients before this one wrote, to go on with; otherwise it keeps its own, until
    it is closed.

    Constructing does no I/O. A client belongs to one event loop; any number of calls may run at once. Close it, or use
    it as an async context manager: that closes the connections it opened itself.
    """

    def __init__(
        self,
        model: str,
        *,
        provider: Provider | str | None = None,
        wire: str | None = None,
        base_url: str | None = None,
        api_key: ApiKey | None = None,
        http: httpx2.AsyncClient | None = None,
        transport: Transport | TransportName | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        compat: CompatOverrides | None = None,
        headers: Mapping[str, str] | None = None,
        limiter: RateLimiter | None = None,
        circuit: Circuit | None = None,
        on_retry: Callable[[RetryScheduled], None] | None = None,
        telemetry: Telemetry | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        kept: KeptBodies | None = None,
    ) -> None:
        if http is not None and transport is not None:
            raise ConfigError("http= and transport= are two ways to send a request", remedy="pass one of them")
        self.resolved: Resolved = resolve(model, provider=provider, wire=wire, base_url=base_url, compat=compat)
        self._model = f"{self.resolved.provider.name}/{self.resolved.model}"
        self.retry = _checked(retry, RetryPolicy, "retry")
        self.timeouts = _checked(timeouts, Timeouts, "timeouts")
        self._codec = codec_for(self.resolved.wire)
        self._encoder = (kept or KeptBodies()).encoder_for(self.resolved)
        self._owns_transport = transport is None or isinstance(transport, str)
        self._transport = _transport(http, transport)
        self._headers = _checked_headers(headers or {})
        self._gates = Gates(_given(limiter, RateLimiter, "limiter"), _given(circuit, Circuit, "circuit"))
        self._on_retry = on_retry
        self._telemetry = telemetry or Telemetry()
        self._deadlines = Kept()
        self._sleep = sleep or anyio.sleep
        row = self.resolved.provider
        self._credentials = Credentials(
            row,
            self.resolved.auth,
            api_key=api_key,
            # A server at a URL of the caller's decides for itself whether it wants a key.
            required=bool(row.key_env) and not row.key_optional and base_url is None,
        )

    def __repr__(self) -> str:
        return f"ModelClient({self.model!r}, wire={self.wire!r}, {_origin(self.resolved.url)})"

    @property
    def model(self) -> str:
        """As it was asked for: provider/model."""
        return self._model

    @property
    def wire(self) -> WireName:
        return self.resolved.wire

    def stream(
        self,
        prompt: Prompt | str,
        *,
        tries: Tries | None = None,
        keep: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[EventStream]:
        """One answer as events. Entering raises CallerError before anything is sent, ModelError if no attempt opened.

        `tries`: what the sample this is for has cost already, where its stream broke before. `keep=False`: nothing of
        what is written stays for the next request: where no prompt goes on with the items of the one before.
        `headers`: for this request; the client's own win.
        """
        return _Streamed(partial(self._streamed, prompt, tries, keep, headers), self._deadlines)

    async def _streamed(
        self, prompt: Prompt | str, tries: Tries | None, keep: bool, headers: Mapping[str, str] | None
    ) -> _Opening:
        """Whoever gets these has to leave what is held, give back what the call reads by, and end its span."""
        more = _checked_headers(headers) if headers else _NO_HEADERS
        call = self._call(prompt, tries or Tries(), self.timeouts.total_s, streamed=True, keep=keep, headers=more)
        span = call_span(self._telemetry, self.resolved, call.prompt, streamed=True)
        earlier: list[Attempt] = []
        try:
            with span.current():
                held, events = await self._with_retries(partial(self._open_stream, call), call, span, earlier)
        except BaseException:
            self._deadlines.give_back(call.reads)
            span.end()
            raise
        events.earlier = tuple(earlier)
        return call, span, held, events

    async def complete(self, prompt: Prompt | str) -> Response:
        """One answer, whole. Raises as `stream` does, and what `stream` would raise while being read."""
        return await self._whole(self._call(prompt, Tries(), self._whole_s, streamed=False))

    async def compact(self, prompt: Prompt | str) -> Response:
        """The provider's own compaction of a history: among the items is one Compaction, which only it can read. Raises
        UnsupportedError where its row has no such endpoint (`Compat.compact_endpoint`), else as `complete` does."""
        from .codecs.responses_compact import COMPACT_PATH, compact_request

        if self.wire != "responses" or not self.resolved.compat.compact_endpoint:
            raise UnsupportedError(f"{self.resolved.provider.name!r} has no endpoint for compaction on {self.wire!r}")
        call = self._call(prompt, Tries(), self._whole_s, streamed=False)
        parts = urlsplit(call.url)
        url = urlunsplit(parts._replace(path=parts.path + COMPACT_PATH))
        return await self._whole(msgspec.structs.replace(call, encoded=compact_request(call.encoded), url=url))

    @property
    def _whole_s(self) -> float:
        return self.timeouts.total_s or _WHOLE_ANSWER_S

    async def _whole(self, call: _Call) -> Response:
        span = call_span(self._telemetry, self.resolved, call.prompt, streamed=False)
        earlier: list[Attempt] = []
        try:
            with span.current():
                response = await self._with_retries(lambda _: self._fetch_whole(call), call, span, earlier)
            span.answered(response, earlier)
            return msgspec.structs.replace(response, earlier=tuple(earlier)) if earlier else response
        finally:
            self._deadlines.give_back(call.reads)
            span.end()

    async def aclose(self) -> None:
        """Close the connections this client opened. Idempotent; a caller's own client or transport stays open."""
        self._encoder = self._codec.request_encoder(self.resolved.compat)  # lets go of the conversations it kept
        self._deadlines.close()
        if self._owns_transport:
            await self._transport.aclose()

    async def __aenter__(self) -> ModelClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _with_retries(
        self, open_once: Callable[[int], Awaitable[_Opened]], call: _Call, span: CallSpan, earlier: list[Attempt]
    ) -> _Opened:
        """`earlier` gets what failed attempts had used, where the server had counted it."""
        policy, tries, total_s = self.retry, call.tries, self.timeouts.total_s
        if total_s is not None and (policy.budget_s is None or policy.budget_s > total_s):
            policy = replace(policy, budget_s=total_s)

        def observe(scheduled: RetryScheduled) -> None:
            span.retried(scheduled)
            half = scheduled.error.partial
            if scheduled.will_retry and half is not None and half.usage is not None:
                earlier.append(Attempt(self.model, half))
            for told in (tries.observe, self._on_retry):
                if told is not None:
                    told(scheduled)

        clock = call.reads.now
        try:
            return await with_retries(
                open_once, policy, tries, observe=observe, sleep=self._sleep, clock=clock, model=self.model
            )
        except Exception as error:
            if isinstance(error, ModelError):
                error.earlier = tuple(earlier)
                error.model = self.model
            span.failed(error)
            raise

    async def _held(self, call: _Call, timeouts: Timeouts) -> _Held:
        """The beginning of an attempt. Whoever gets it has to leave it."""
        gates = self._gates
        admission = gates.open or await gates.enter(call.prompt, call.encoded.body, call.tries, call.total_by)
        return _Held(admission, Timers(timeouts, call.reads, total_by=call.total_by))

    async def _open_stream(self, call: _Call, attempt: int) -> tuple[_Held, EventStream]:
        """One attempt, up to its first content event. Leaving what is returned closes the connection."""
        held = await self._held(call, self.timeouts)
        try:
            with held.admission.opening():
                http, body = await self._send(call, held, accept="text/event-stream")
                limits = rate_limits(http.headers)
                held.admission.heard(limits)
                named = request_id(http.headers)
                decoder = self._codec.stream_decoder(call.prompt, self.resolved.compat)
                events = EventStream(
                    decoder, body, http, call.encoded, attempt=attempt, request_id=named, model=self.model
                )
                head = await body.head()
                whole: Response | None = None
                if head.lstrip(_BLANK)[:1] in _NO_STREAM:
                    # Asked for a stream, the server sent something else: a whole answer, an error, or a web page.
                    whole = self._decode_whole(*await body.rest(head, MAX_ANSWER_BYTES), call.prompt)
                await events.open(head, whole, limits)
        except BaseException as error:
            await held.__aexit__(type(error), error, error.__traceback__)
            raise
        return held, events

    async def _fetch_whole(self, call: _Call) -> Response:
        """One attempt at an answer that is not streamed."""
        timeouts = replace(self.timeouts, first_event_s=None, idle_s=None, total_s=call.total_s)
        async with await self._held(call, timeouts) as held:
            with held.admission.opening():
                response = await self._read_whole(call, held)
            held.admission.answered(response.usage)
            return response

    async def _read_whole(self, call: _Call, held: _Held) -> Response:
        http, body = await self._send(call, held, accept="application/json")
        held.admission.heard(rate_limits(http.headers))
        data, broken = await body.rest(b"", MAX_ANSWER_BYTES)
        if not data.lstrip(_BLANK).startswith((b"data:", b"event:", b":")):
            return self._decode_whole(data, broken, call.prompt)
        # Asked for a whole answer, the server streams (partners.md 2): read it as what it is.
        decoder = self._codec.stream_decoder(call.prompt, self.resolved.compat)
        decoder.feed(data)
        if not decoder.done:
            decoder.close()
        if decoder.error is not None:
            raise decoder.error from broken
        return decoder.snapshot()

    async def _send(self, call: _Call, held: _Held, *, accept: str) -> tuple[HttpStream, TimedBody]:
        """Send, and take the head of a good answer. Raises ApiError for any status but 2xx."""
        headers = self._request_headers(call, accept)
        if not _AUTH_HEADERS & self._headers.keys():
            key = self._credentials.at_hand()
            headers.update(await held.timers.bounded(self._credentials.headers()) if key is None else key)
        headers.update(self._headers)
        request = HttpRequest(call.url, headers, call.encoded.body)
        http = await held.open(self._transport.open(request, connect_s=self.timeouts.connect_s))
        body = TimedBody(http.chunks, held.timers)
        if not 200 <= http.status < 300:
            raise await self._refusal(http, body)
        return http, body

    async def _refusal(self, http: HttpStream, body: TimedBody) -> ApiError:
        said = bytearray()
        try:
            with anyio.move_on_after(_ERROR_BODY_S):
                while len(said) < MAX_ERROR_BYTES and (chunk := await body.read()) is not None:
                    said += chunk
        except TransportError:
            pass  # the status is the news; what came of the body explains it as far as it goes
        return self._codec.decode_error(
            http.status, http.headers, self._credentials.hide(bytes(said[:MAX_ERROR_BYTES]))
        )

    def _decode_whole(self, data: bytes, broken: TransportError | None, prompt: Prompt) -> Response:
        """An answer that came whole, or what came of it before it was `broken` off: it may be all there is to say."""
        title = html_title(data[:65536].decode("utf-8", "replace"))
        if title is not None:
            named = f" titled {title!r}" if title else ""
            raise MalformedStream(f"{_origin(self.resolved.url)} answered with an HTML page{named}")
        try:
            return self._codec.decode_response(self._credentials.hide(data), prompt, self.resolved.compat)
        except MalformedStream as error:
            raise broken or cut_answer(data) or error from error

    def _request_headers(self, call: _Call, accept: str) -> dict[str, str]:
        """All but the key, and the client's own, which win."""
        return {
            "content-type": "application/json",
            "accept": accept,
            # Compressed streams arrive in lumps, and what expands a thousandfold is not let in.
            "accept-encoding": "identity",
            "user-agent": _USER_AGENT,
            **trace_headers(),
            **{name.lower(): value for name, value in self.resolved.headers_for(call.prompt).items()},
            **call.headers,
        }

    def _call(
        self,
        prompt: Prompt | str,
        tries: Tries,
        total_s: float | None,
        *,
        streamed: bool,
        keep: bool = True,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> _Call:
        prompt = Prompt(prompt) if isinstance(prompt, str) else prompt
        prompt = prompt if prompt.model else prompt.with_model(self.resolved.model)
        if keep:
            encoded = self._encoder.encode(prompt, stream=streamed)
        else:
            encoded = self._codec.encode_request(prompt, self.resolved.compat, stream=streamed)
        reads = self._deadlines.take()
        total_by = None if total_s is None else reads.now() + total_s
        return _Call(prompt, encoded, self.resolved.url, tries, reads, total_s, total_by, headers)


def _transport(http: httpx2.AsyncClient | None, transport: Transport | TransportName | None) -> Transport:
    if http is not None:
        return HttpxTransport(http)
    return ChosenTransport(transport) if transport is None or isinstance(transport, str) else transport


def _given(value: _Gate | None, kind: type[_Gate], name: str) -> _Gate | None:
    if value is not None and not isinstance(value, kind):
        raise ConfigError(f"{name} must be a {kind.__name__}, got {value!r:.100}", remedy=f"use {kind.__name__}(…)")
    return value


def _checked(given: _Option | None, kind: type[_Option], name: str) -> _Option:
    return _given(given, kind, name) or kind()


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Lower-case names. A value no header can carry is a ConfigError that names the header and hides the value."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ConfigError(f"header {name!r} cannot be sent", remedy="use visible ASCII, without line breaks")
    return {name.lower(): value for name, value in headers.items()}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
