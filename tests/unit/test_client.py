"""ModelClient against a scripted server on loopback: every wire, both event loops, every way a call can go wrong."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import anyio
import httpx2
import pytest

from agent_core.client import ModelClient
from agent_core.codecs import WIRES, codec_for
from agent_core.codecs.grammar import check_events
from agent_core.errors import (
    ApiError,
    AuthenticationError,
    ConfigError,
    MalformedStream,
    MissingKeyError,
    ModelError,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterrupted,
    TransportError,
    TransportTimeout,
)
from agent_core.events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    RateLimits,
    RateLimitWindow,
    Response,
    ResponseEvent,
    Usage,
)
from agent_core.items import Message, WireName, assistant_message
from agent_core.prompt import Prompt
from agent_core.providers import Provider
from agent_core.retry import RetryPolicy, RetryScheduled
from agent_core.transport import Timeouts

from ..loopback import (
    CLOSE,
    END,
    RESET,
    STALL,
    Exchange,
    Loopback,
    Step,
    chunk,
    exchange,
    free_port,
    reply,
    serve,
    sse,
    sse_head,
)

pytestmark = pytest.mark.anyio

PROMPT = Prompt("Say hello.")
KEY = "sk-secret-0123456789"
NO_JITTER = RetryPolicy(jitter_s=0.0)

HELLO: list[ResponseEvent] = [
    Created("r_1", "m"),
    OutputItemAdded(0, Message(role="assistant")),
    OutputTextDelta(0, "Hel"),
    OutputTextDelta(0, "lo"),
    OutputItemDone(0, assistant_message("Hello")),
    Completed("r_1", "m", "stop", usage=Usage(input=3, output=2)),
]


def spoken(wire: WireName, events: list[ResponseEvent], *, end: bool = True) -> bytes:
    """What a server of that wire sends for these events."""
    encoder = codec_for(wire).stream_encoder(PROMPT)
    return b"".join(map(encoder.feed, events)) + (encoder.close() if end else b"")


def half(wire: WireName) -> bytes:
    """The beginning of an answer: "Hel"."""
    return spoken(wire, HELLO[:3], end=False)


def error_body(wire: WireName, error: ModelError) -> tuple[int, bytes]:
    status, _, body = codec_for(wire).encode_error(error)
    return status, body


class Waits:
    """The waits a client asked for, none of them waited."""

    def __init__(self, then: Callable[[], Awaitable[None]] | None = None) -> None:
        self.asked: list[float] = []
        self._then = then

    async def __call__(self, seconds: float) -> None:
        self.asked.append(round(seconds, 3))
        if self._then is not None:
            await self._then()


def client_for(
    server: Loopback | str,
    wire: WireName = "chat",
    *,
    waits: Waits | None = None,
    retry: RetryPolicy = NO_JITTER,
    timeouts: Timeouts | None = None,
    on_retry: Callable[[RetryScheduled], None] | None = None,
) -> ModelClient:
    return ModelClient(
        "lab/m",
        base_url=server if isinstance(server, str) else server.url,
        wire=wire,
        api_key=KEY,
        retry=retry,
        timeouts=timeouts,
        on_retry=on_retry,
        sleep=waits or Waits(),
    )


async def read(client: ModelClient, prompt: Prompt = PROMPT) -> list[ResponseEvent]:
    async with client, client.stream(prompt) as events:
        return [event async for event in events]


async def failing(client: ModelClient) -> tuple[list[ResponseEvent], ModelError]:
    """The events that came, and the error that ended them; legal by the grammar."""
    seen: list[ResponseEvent] = []
    with pytest.raises(ModelError) as caught:
        async with client, client.stream(PROMPT) as events:
            async for event in events:
                seen.append(event)  # noqa: PERF401  # a comprehension would lose what came before the error
    check_events(seen, caught.value)
    return seen, caught.value


@pytest.mark.parametrize("wire", WIRES)
async def test_a_stream_on_every_wire(wire: WireName) -> None:
    """The right request goes out, the events come in, and the rate limits of the headers follow Created."""
    limits = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59"}
    async with serve(exchange(sse(spoken(wire, HELLO), limits))) as server:
        events = await read(client_for(server, wire))
    check_events(events)
    assert isinstance(events[0], Created)
    assert events[1] == RateLimits((RateLimitWindow("requests", limit=60, remaining=59),))
    assert "".join(event.delta for event in events if isinstance(event, OutputTextDelta)) == "Hello"
    assert isinstance(events[-1], Completed)
    request = server.requests[0]
    assert request.path == "/v1" + codec_for(wire).path
    assert json.loads(request.body)["model"] == "m"
    assert request.headers["accept"] == "text/event-stream"
    sent_key = request.headers.get("x-api-key") or request.headers["authorization"].removeprefix("Bearer ")
    assert sent_key == KEY


@pytest.mark.parametrize("wire", WIRES)
async def test_a_whole_answer_on_every_wire(wire: WireName) -> None:
    """`complete` asks for no stream and returns the response."""
    answer = Response("r_1", "m", (assistant_message("Hello"),), "stop", usage=Usage(input=3, output=2))
    body = codec_for(wire).encode_response(answer, PROMPT)
    async with serve(exchange(reply(200, body))) as server, client_for(server, wire) as client:
        response = await client.complete(PROMPT)
    assert (response.text, response.finish_reason) == ("Hello", "stop")
    assert not json.loads(server.requests[0].body).get("stream")
    assert server.requests[0].headers["accept"] == "application/json"


async def test_what_failed_attempts_at_a_whole_answer_used() -> None:
    """It is in the response that came in the end: a server that streams unasked had counted before it broke off."""
    answer = Response("r_1", "m", (assistant_message("Hello"),), "stop", usage=Usage(input=3, output=2))
    whole = exchange(reply(200, codec_for("messages").encode_response(answer, PROMPT)))
    async with serve(exchange(sse(half("messages"))), whole) as server, client_for(server, "messages") as client:
        response = await client.complete(PROMPT)
    (attempt,) = response.earlier
    assert (attempt.model, attempt.response.text, response.usage) == ("lab/m", "Hel", answer.usage)
    assert attempt.response.usage is not None


@pytest.mark.parametrize("wire", WIRES)
async def test_a_whole_answer_where_a_stream_was_asked_for(wire: WireName) -> None:
    """A server that ignores `stream: true` is understood: its answer comes as legal events."""
    answer = Response("r_1", "m", (assistant_message("Hello"),), "stop", usage=Usage(input=3, output=2))
    async with serve(exchange(reply(200, codec_for(wire).encode_response(answer, PROMPT)))) as server:
        events = await read(client_for(server, wire))
    check_events(events)
    assert [event.delta for event in events if isinstance(event, OutputTextDelta)] == ["Hello"]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_stream_where_a_whole_answer_was_asked_for(wire: WireName) -> None:
    """A server that streams unasked is understood as well."""
    async with serve(exchange(sse(spoken(wire, HELLO)))) as server, client_for(server, wire) as client:
        assert (await client.complete(PROMPT)).text == "Hello"


async def test_x_s1_09_busy_twice_then_fine() -> None:
    """X-S1-09: 503, 503, 200 is three requests, with growing waits that an observer is told of."""
    told: list[RetryScheduled] = []
    waits = Waits()
    async with serve(exchange(reply(503)), exchange(reply(503)), exchange(sse(spoken("chat", HELLO)))) as server:
        events = await read(client_for(server, waits=waits, on_retry=told.append))
    assert len(server.requests) == 3
    assert waits.asked == [0.5, 1.0]
    assert told == [
        RetryScheduled(1, 0.5, "overloaded", will_retry=True, max_attempts=5, model="lab/m"),
        RetryScheduled(2, 1.0, "overloaded", will_retry=True, max_attempts=5, model="lab/m"),
    ]
    assert isinstance(events[-1], Completed)


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:09 GMT", "date": "Fri, 20 Nov 2026 12:00:00 GMT"}, 9.0),
        ({"retry-after": "soon"}, 0.5),
    ],
)
async def test_the_wait_a_server_asks_for(headers: dict[str, str], waited: float) -> None:
    """Every form of Retry-After replaces the client's own wait."""
    waits = Waits()
    async with serve(exchange(reply(429, b"{}", headers)), exchange(sse(spoken("chat", HELLO)))) as server:
        await read(client_for(server, waits=waits))
    assert waits.asked == [waited]


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"message": "no credit", "code": "insufficient_quota"}, QuotaExceededError),
        (401, {"message": "bad key", "code": "invalid_api_key"}, AuthenticationError),
        (400, {"message": "tool_use_failed", "code": "tool_use_failed"}, ApiError),
        (418, {"message": "teapot"}, ApiError),
    ],
)
async def test_what_is_never_retried(status: int, error: dict[str, str], kind: type[ApiError]) -> None:
    """Quota, keys and plain 4xx fail at once, with one request made."""
    async with serve(exchange(reply(status, json.dumps({"error": error}).encode()))) as server:
        _, raised = await failing(client_for(server))
    assert isinstance(raised, kind)
    assert (len(server.requests), raised.attempt, raised.output_emitted) == (1, 1, False)


async def test_giving_up_keeps_the_last_answer() -> None:
    """W-S1-09: when attempts are used up the error is the last one, body and number included."""
    told: list[RetryScheduled] = []
    retry = RetryPolicy(max_attempts=2, jitter_s=0.0)
    async with serve(exchange(reply(500)), exchange(reply(500, b'{"error": {"message": "still down"}}'))) as server:
        _, error = await failing(client_for(server, retry=retry, on_retry=told.append))
    assert isinstance(error, ServerError)
    assert (error.message, error.status, error.attempt) == ("still down", 500, 2)
    assert [(one.will_retry, one.gave_up) for one in told] == [(True, None), (False, "attempts")]


async def test_x_s0_30_a_wait_beyond_the_cap_is_not_waited() -> None:
    """X-S0-30: a server that asks for a day is not asked again; the error says what it asked for."""
    waits = Waits()
    async with serve(exchange(reply(429, b"{}", {"retry-after": "99999"}))) as server:
        _, error = await failing(client_for(server, waits=waits))
    assert isinstance(error, RateLimitError)
    assert (error.retry_after_s, waits.asked, len(server.requests)) == (99999, [], 1)


async def test_x_s0_30_refused_once_then_up() -> None:
    """X-S0-30: a refused connection is retried, and the server that has come up meanwhile answers."""
    port = free_port()
    async with AsyncExitStack() as stack:

        async def start_server() -> None:
            await stack.enter_async_context(serve(exchange(sse(spoken("chat", HELLO))), port=port))

        events = await read(client_for(f"http://127.0.0.1:{port}/v1", waits=Waits(start_server)))
    assert isinstance(events[-1], Completed)


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (exchange(RESET), "transport_reset"),
        (exchange(CLOSE), "transport_reset"),
        (exchange(sse_head(), RESET), "transport_reset"),
        (exchange(sse_head(), END), "stream_interrupted"),
        (exchange(reply(200, b'{"error": {"message": "busy", "code": "server_is_overloaded"}}')), "overloaded"),
        (exchange(sse(b'data: {"error": {"message": "busy", "code": 503}}\n\n')), "overloaded"),
    ],
)
async def test_failures_before_content_are_retried_unseen(first: Exchange, reason: str) -> None:
    """Nothing was shown yet, so a second attempt is as good as the first: the consumer sees one clean stream."""
    told: list[RetryScheduled] = []
    async with serve(first, exchange(sse(spoken("chat", HELLO)))) as server:
        events = await read(client_for(server, on_retry=told.append))
    check_events(events)
    assert [one.reason for one in told] == [reason]
    assert "".join(event.delta for event in events if isinstance(event, OutputTextDelta)) == "Hello"


async def test_an_error_right_after_created_is_retried_unseen() -> None:
    """Messages sends message_start and then `overloaded_error`: no second Created reaches the consumer."""
    start = spoken("messages", HELLO[:1], end=False)
    busy = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    async with serve(exchange(sse(start + busy)), exchange(sse(spoken("messages", HELLO)))) as server:
        events = await read(client_for(server, "messages"))
    check_events(events)
    assert len(server.requests) == 2


@pytest.mark.parametrize("wire", WIRES)
async def test_an_error_after_content_is_the_callers(wire: WireName) -> None:
    """Once output was given out nothing is retried: the error says so, and holds what had come."""
    encoder = codec_for(wire).stream_encoder(PROMPT)
    body = b"".join(map(encoder.feed, HELLO[:3])) + encoder.fail(OverloadedError("busy", status=529))
    async with serve(exchange(sse(body))) as server:
        seen, error = await failing(client_for(server, wire))
    assert len(server.requests) == 1
    assert isinstance(error, ApiError)
    assert error.in_stream and error.retryable and error.output_emitted
    assert error.partial is not None and error.partial.text == "Hel"
    assert [event.delta for event in seen if isinstance(event, OutputTextDelta)] == ["Hel"]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("cut", "kind"),
    [(END, StreamInterrupted), (CLOSE, StreamInterrupted), (RESET, TransportError)],
    ids=["clean end", "truncated chunks", "reset"],
)
async def test_a_stream_that_breaks(wire: WireName, cut: Step, kind: type[ModelError]) -> None:
    """However it is cut, one error of the right class ends the stream, with the partial answer attached."""
    async with serve(exchange(sse_head(), chunk(half(wire)), cut, CLOSE)) as server:
        _, error = await failing(client_for(server, wire))
    assert type(error) is kind
    assert error.retryable and error.output_emitted
    assert error.partial is not None
    # A reset may overtake the bytes before it; what is kept is what arrived.
    assert error.partial.text in (("Hel", "") if cut is RESET else ("Hel",))


@pytest.mark.parametrize("cut", [RESET, CLOSE, STALL])
async def test_what_breaks_after_the_finish_is_no_failure(cut: Step) -> None:
    """Chat's answer is whole with its finish_reason: a reset, or a socket left open, loses nothing but time."""
    finish = b'data: {"id":"r","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    async with serve(exchange(sse_head(), chunk(half("chat") + finish), cut)) as server:
        events = await read(client_for(server, timeouts=Timeouts(grace_s=0.05)))
    check_events(events)
    assert isinstance(events[-1], Completed) and events[-1].finish_reason == "stop"


async def test_done_with_the_socket_left_open() -> None:
    """After [DONE] nothing is waited for."""
    async with serve(exchange(sse_head(), chunk(spoken("chat", HELLO)), STALL)) as server:
        with anyio.fail_after(5):
            events = await read(client_for(server))
        await server.was_left()
    assert isinstance(events[-1], Completed)


@pytest.mark.parametrize(
    ("steps", "timeouts", "timer"),
    [
        ((STALL,), Timeouts(first_event_s=0.05), "first_event"),
        ((sse_head(), STALL), Timeouts(first_event_s=0.05), "first_event"),
        ((sse_head(), chunk(b": ping\n\n"), STALL), Timeouts(first_event_s=0.05), "first_event"),
        ((sse_head(), chunk(half("chat")), STALL), Timeouts(idle_s=0.05), "idle"),
        ((sse_head(), chunk(half("chat")), STALL), Timeouts(total_s=0.1), "total"),
        ((STALL,), Timeouts(first_event_s=None, idle_s=None, total_s=0.05), "total"),
    ],
)
async def test_the_timers(steps: Exchange, timeouts: Timeouts, timer: str) -> None:
    """Each timer ends the call with its own error; comments keep a stream alive but are no event."""
    retry = RetryPolicy(max_attempts=1)
    async with serve(steps) as server:
        _, error = await failing(client_for(server, timeouts=timeouts, retry=retry))
        await server.was_left()
    assert isinstance(error, TransportTimeout)
    assert (error.timeout, error.retryable) == (timer, timer != "total")


async def test_an_idle_stream_keeps_what_it_said() -> None:
    """A stream that falls silent leaves its partial answer on the error."""
    async with serve(exchange(sse_head(), chunk(half("chat")), STALL)) as server:
        _, error = await failing(client_for(server, timeouts=Timeouts(idle_s=0.05)))
    assert error.partial is not None and error.partial.text == "Hel"


async def test_complete_is_bounded_too() -> None:
    """An answer that never comes ends a call that does not stream."""
    async with serve(exchange(STALL)) as server, client_for(server, timeouts=Timeouts(total_s=0.05)) as client:
        with pytest.raises(TransportTimeout, match="not over after"):
            await client.complete(PROMPT)


async def test_a_key_that_does_not_come() -> None:
    """Fetching a key is part of the call: its timers hold there too."""

    async def key() -> str:
        await anyio.sleep_forever()
        return KEY

    client = ModelClient("lab/m", base_url="http://127.0.0.1:9/v1", api_key=key, timeouts=Timeouts(total_s=0.05))
    with pytest.raises(TransportTimeout, match="not over after"):
        async with client, client.stream(PROMPT):
            pass


WHOLE = (
    b'{"id":"r","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"Hello"}}]}'
)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("steps", "kind", "retryable"),
    [
        ((sse_head(), END), StreamInterrupted, True),
        ((sse_head(), chunk(b"\r\n"), END), StreamInterrupted, True),
        ((sse_head(), chunk(WHOLE[:60]), END), StreamInterrupted, True),
        ((sse_head(), chunk(WHOLE[:60] + b"\xff" + WHOLE[60:]), END), MalformedStream, True),
        ((sse_head(), chunk(b'{"odd": 1}'), END), MalformedStream, False),
        ((sse_head(), chunk(WHOLE[:60]), CLOSE), TransportError, True),
        ((sse_head(), chunk(WHOLE[:60]), RESET), TransportError, True),
        ((sse_head(), chunk(WHOLE), CLOSE), None, True),
        ((sse_head(), chunk(WHOLE), STALL), None, True),
        ((sse_head(), chunk(b"<html><title>Sign in</title>"), CLOSE), MalformedStream, False),
        ((sse_head(), chunk(b"<html><title>Sign in</title>"), STALL), MalformedStream, False),
    ],
)
async def test_whole_answers_that_break(
    steps: Exchange, kind: type[ModelError] | None, retryable: bool, streamed: bool
) -> None:
    """What was damaged on its way is worth another try; what came whole is taken, and a page is a page, however the
    connection ended."""
    timeouts = Timeouts(first_event_s=0.3, total_s=0.3) if STALL in steps else Timeouts()
    retry = RetryPolicy(max_attempts=1)
    async with serve(steps) as server, client_for(server, timeouts=timeouts, retry=retry) as client:
        try:
            if streamed:
                async with client.stream(PROMPT) as events:
                    answer = events.snapshot()
            else:
                answer = await client.complete(PROMPT)
        except ModelError as error:
            assert (type(error), error.retryable) == (kind, retryable)
        else:
            assert (answer.text, kind) == ("Hello", None)


async def test_x_s1_10_leaving_closes_the_connection() -> None:
    """X-S1-10: a consumer that stops after the first delta closes the upstream at once."""
    async with serve(exchange(sse_head(), chunk(half("chat")), STALL)) as server, client_for(server) as client:
        async with client.stream(PROMPT) as events:
            async for event in events:
                if isinstance(event, OutputTextDelta):
                    break
        await server.was_left()


@pytest.mark.parametrize("steps", [(STALL,), (sse_head(), STALL), (sse_head(), chunk(half("chat")), STALL)])
async def test_cancelling_closes_the_connection(steps: Exchange) -> None:
    """Cancelled at any phase, the socket does not outlive the call."""
    async with serve(steps) as server, client_for(server) as client:
        with anyio.move_on_after(0.1) as scope:
            async with client.stream(PROMPT) as events:
                async for _ in events:
                    pass
        assert scope.cancelled_caught
        await server.was_left()


async def test_a_consumers_own_error_is_its_own() -> None:
    """What the caller raises inside the block leaves it unwrapped, and the connection closes."""
    async with serve(exchange(sse_head(), chunk(half("chat")), STALL)) as server, client_for(server) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.stream(PROMPT):
                raise ZeroDivisionError
        await server.was_left()


async def test_connections_are_used_again() -> None:
    """A stream read to its end leaves its connection fit for the next request."""
    async with serve(exchange(sse(spoken("chat", HELLO)))) as server, client_for(server) as client:
        for _ in range(3):
            async with client.stream(PROMPT) as events:
                assert [event async for event in events]
    assert (len(server.requests), server.connections) == (3, 1)


async def test_a_page_instead_of_an_answer() -> None:
    """A base URL that answers HTML is named as what it is, streamed or not, and not asked again."""
    page = reply(200, b"<!DOCTYPE html><html><title>Welcome to nginx!</title></html>", content_type="text/html")
    async with serve(exchange(page)) as server:
        _, error = await failing(client_for(server))
        async with client_for(server) as client:
            with pytest.raises(MalformedStream):
                await client.complete(PROMPT)
    assert isinstance(error, MalformedStream)
    assert error.message == f"http://127.0.0.1:{server.port} answered with an HTML page titled 'Welcome to nginx!'"
    assert len(server.requests) == 2


async def test_a_large_error_body_is_bounded() -> None:
    """An error answer of 3 MiB is read to its first MiB, and kept to much less."""
    async with serve(exchange(reply(400, b"x" * 3 * 1024 * 1024))) as server:
        _, error = await failing(client_for(server))
    assert isinstance(error, ApiError)
    assert len(error.body) == 8192 and len(error.message) <= 2048


async def test_keys_never_show() -> None:
    """A server that echoes the key does not get it into the error; no repr holds it either."""
    said = json.dumps({"error": {"message": f"bad key {KEY}"}}).encode()
    async with serve(exchange(reply(401, said))) as server:
        client = client_for(server)
        _, error = await failing(client)
    assert isinstance(error, ApiError)
    assert error.message == "bad key [key]"
    assert KEY not in repr(client) + repr(error) + error.body + repr(vars(client))


async def test_a_key_is_asked_for_at_every_attempt() -> None:
    """A callable, sync or async, is called once per attempt: tokens expire."""
    keys = iter(["first-key", "second-key"])

    async def fresh() -> str:
        return next(keys)

    async with serve(exchange(reply(503)), exchange(sse(spoken("chat", HELLO)))) as server:
        await read(ModelClient("lab/m", base_url=server.url, api_key=fresh, sleep=Waits()))
    assert [one.headers["authorization"] for one in server.requests] == ["Bearer first-key", "Bearer second-key"]


async def test_a_missing_key_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable, before any connection is made."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with pytest.raises(MissingKeyError) as caught:
        await ModelClient("groq/m").complete(PROMPT)
    assert caught.value.remedy == "set GROQ_API_KEY, or pass api_key="


@pytest.mark.parametrize("option", ["retry", "timeouts"])
async def test_options_of_a_wrong_type_are_named(option: str) -> None:
    """When the client is made, not when it first fails."""
    with pytest.raises(ConfigError, match=f"^{option} must be a .*, got 3$"):
        ModelClient("lab/m", base_url="http://127.0.0.1:1/v1", **{option: 3})  # type: ignore[arg-type]  # the claim


async def test_headers_of_the_caller_win() -> None:
    """An authorization of the caller's replaces the key; odd characters are refused before anything is sent."""
    async with serve(exchange(sse(spoken("chat", HELLO)))) as server:
        mine = {"Authorization": "Token mine", "X-Team": "blue"}
        await read(ModelClient("lab/m", base_url=server.url, headers=mine))
        with pytest.raises(ConfigError, match="'X-Team'"):
            ModelClient("lab/m", base_url=server.url, headers={"X-Team": "blue\r\nX-Evil: 1"})
    assert server.requests[0].headers["authorization"] == "Token mine"
    assert server.requests[0].headers["x-team"] == "blue"


async def test_a_client_of_the_callers_stays_open() -> None:
    """`http=` is used as it is, and closing the model client leaves it alone."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url == "https://api.example.test/v1/chat/completions"
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=spoken("chat", HELLO))

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        lab = Provider("lab", "https://api.example.test/v1")
        events = await read(ModelClient("lab/m", provider=lab, http=http))
        assert not http.is_closed
    assert isinstance(events[-1], Completed)


async def test_losses_and_facts_of_the_stream() -> None:
    """The stream says what its request could not carry, who answered, and what it folds to."""
    prompt = Prompt("Hello", previous_response_id="r_0")
    answer = exchange(sse(spoken("chat", HELLO), {"x-request-id": "req_7"}))
    async with serve(answer) as server, client_for(server) as client, client.stream(prompt) as events:
        assert [loss.feature for loss in events.losses] == ["previous_response_id"]
        assert (events.request_id, events.attempt, events.status) == ("req_7", 1, 200)
        assert [event async for event in events]
        assert events.snapshot().text == "Hello"
