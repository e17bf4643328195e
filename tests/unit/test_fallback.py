"""Fallback models, against scripted servers: which failures go on, to whom, with what, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from agent_core.circuit import Circuit
from agent_core.client import ModelClient
from agent_core.codecs import codec_for
from agent_core.errors import (
    AuthenticationError,
    ConfigError,
    ContentFilterError,
    ContextLengthError,
    HeldBack,
    InvalidRequestError,
    MalformedStream,
    MissingKeyError,
    ModelError,
    ModelNotFoundError,
    NotAdmitted,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterrupted,
    TransportError,
    TransportTimeout,
    UsageLimitError,
)
from agent_core.events import Completed, Created, OutputItemAdded, OutputItemDone, OutputTextDelta, ResponseEvent, Usage
from agent_core.fallback import Fallback, FallbackPolicy, FellBack, Rests
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    Message,
    ResponseItem,
    WireName,
    assistant_message,
    user_message,
)
from agent_core.prompt import Prompt
from agent_core.retry import RetryPolicy, Tries

from ..loopback import END, Exchange, Loopback, chunk, exchange, reply, serve, sse, sse_head

pytestmark = pytest.mark.anyio

ONCE = RetryPolicy(max_attempts=1)
HELLO: list[ResponseEvent] = [
    Created("r_1", "m"),
    OutputItemAdded(0, Message(role="assistant")),
    OutputTextDelta(0, "Hello"),
    OutputItemDone(0, assistant_message("Hello")),
    Completed("r_1", "m", "stop", usage=Usage(input=3, output=2)),
]


def spoken(wire: WireName, events: Sequence[ResponseEvent] = HELLO, *, end: bool = True) -> bytes:
    encoder = codec_for(wire).stream_encoder(Prompt("Hi"))
    return b"".join(map(encoder.feed, events)) + (encoder.close() if end else b"")


def refusing(status: int, message: str = "no", **headers: str) -> Exchange:
    return exchange(reply(status, json.dumps({"error": {"message": message}}).encode(), headers))


def answering(wire: WireName = "chat") -> Exchange:
    return exchange(sse(spoken(wire)))


@dataclass
class Field:
    """Some servers, a client for each, and a Fallback over them."""

    servers: list[Loopback]
    models: Fallback
    told: list[FellBack]
    clock: list[float] = field(default_factory=lambda: [0.0])

    @property
    def asked(self) -> list[int]:
        """How many requests each server got."""
        return [len(server.requests) for server in self.servers]

    async def ask(self, prompt: Prompt | str = "Hi") -> str:
        async with self.models.stream(prompt) as events:
            return "".join([event.delta async for event in events if isinstance(event, OutputTextDelta)])

    async def fails(self, prompt: Prompt | str = "Hi") -> ModelError:
        with pytest.raises(ModelError) as caught:
            await self.ask(prompt)
        return caught.value

    def body(self, server: int) -> dict[str, object]:
        loaded: dict[str, object] = json.loads(self.servers[server].requests[-1].body)
        return loaded


@asynccontextmanager
async def standing(
    *exchanges: Exchange, wires: Sequence[WireName] = (), policy: FallbackPolicy | None = None, **options: object
) -> AsyncGenerator[Field]:
    """A server for each exchange, named lab0/m, lab1/m …"""
    told: list[FellBack] = []
    clock = [0.0]
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve(steps)) for steps in exchanges]
        clients = [
            await stack.enter_async_context(
                ModelClient(
                    f"lab{n}/m",
                    base_url=server.url,
                    wire=wires[n] if wires else "chat",
                    **{"retry": ONCE, **options},  # type: ignore[arg-type]  # rows of options
                )
            )
            for n, server in enumerate(servers)
        ]
        rests = Rests(lambda: clock[0])
        models = Fallback(clients, policy=policy, on_fallback=told.append, rests=rests)
        yield Field(servers, models, told, clock)


FALLS: list[tuple[ModelError, bool, bool]] = [
    # the failure, whether it falls through, whether it does further down the list
    (TransportError("x", kind="refused"), True, True),
    (TransportError("x", kind="tls", retryable=False), True, True),
    (TransportTimeout("x", timeout="first_event", after_s=1), True, True),
    (TransportTimeout("x", timeout="total", after_s=1), False, False),
    (StreamInterrupted("x"), True, True),
    (MalformedStream("x"), True, True),
    (RateLimitError("x"), True, True),
    (QuotaExceededError("x"), True, True),
    (UsageLimitError("x"), True, True),
    (OverloadedError("x"), True, True),
    (ServerError("x"), True, True),
    (ModelNotFoundError("x"), True, True),
    (NotAdmitted("x"), True, True),
    (AuthenticationError("x"), False, True),
    (PermissionDeniedError("x"), False, True),
    (InvalidRequestError("x"), False, True),
    (ContentFilterError("x"), False, False),
    (ModelError("x"), False, False),
]


@pytest.mark.parametrize(("error", "first", "later"), FALLS, ids=lambda value: getattr(value, "reason", None))
async def test_which_failures_go_on(error: ModelError, first: bool, later: bool) -> None:
    """Trouble and shortage; never a key, a wrong request or a policy of the model that is wanted."""
    policy = FallbackPolicy()
    assert (policy.falls(error, stand_in=False), policy.falls(error, stand_in=True)) == (first, later)


async def test_the_next_one_answers() -> None:
    """Each step is told; the answer says whose it is; nobody else was asked."""
    servers = (refusing(503), refusing(429), answering(), answering())
    async with standing(*servers) as field_, field_.models.stream("Hi") as events:
        assert events.model == "lab2/m"
        assert isinstance([event async for event in events][-1], Completed)
    assert field_.told == [FellBack("lab0/m", "lab1/m", "overloaded"), FellBack("lab1/m", "lab2/m", "rate_limited")]
    assert field_.asked == [1, 1, 1, 0]


async def test_a_whole_answer_too() -> None:
    """`complete` goes the same way."""
    whole = exchange(reply(200, b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}'))
    async with standing(refusing(500), whole) as field_:
        assert (await field_.models.complete("Hi")).text == "Hello"
    assert field_.asked == [1, 1]


async def test_each_spends_its_own_retries_first() -> None:
    """Two attempts each, counted anew for the next model."""

    async def at_once(seconds: float) -> None:
        pass

    retry = RetryPolicy(max_attempts=2)
    async with standing(refusing(503), refusing(503), answering(), retry=retry, sleep=at_once) as field_:
        assert await field_.ask() == "Hello"
    assert field_.asked == [2, 2, 1]


async def test_what_was_tried_is_on_the_last_error() -> None:
    """The error of the last model, and in `tried` the others in order, each with its own."""
    async with standing(refusing(503, "full"), refusing(429, "slow"), refusing(500, "broken")) as field_:
        error = await field_.fails()
    assert isinstance(error, ServerError) and error.message == "broken" and error.model == "lab2/m"
    assert [(one.model, str(one.error)) for one in error.tried] == [("lab0/m", "full"), ("lab1/m", "slow")]


@pytest.mark.parametrize("status", [401, 403, 400])
async def test_the_first_ones_own_faults_are_heard(status: int) -> None:
    """A bad key is not papered over by another model."""
    async with standing(refusing(status), answering()) as field_:
        error = await field_.fails()
    assert (error.status, error.tried, field_.asked, field_.told) == (status, (), [1, 0], [])


async def test_a_stand_in_that_cannot_stand_in_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, a key that is wrong, a request it refuses: the next one is asked, and the error at the end says so."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    async with standing(refusing(503), refusing(401), answering()) as field_, ModelClient("groq/m") as keyless:
        first, second, third = field_.models.models
        models = Fallback([first, keyless, second, third], on_fallback=field_.told.append)
        async with models.stream("Hi") as events:
            assert events.model == "lab2/m"
        error = await Field(field_.servers, Fallback([first, keyless]), []).fails()
    assert [one.reason for one in field_.told] == ["overloaded", "held_back", "authentication"]
    assert isinstance(error, HeldBack) and isinstance(error.__cause__, MissingKeyError) and not error.retryable
    assert error.message == "groq/m cannot stand in for lab0/m: no API key for provider 'groq'"
    assert error.remedy == "set GROQ_API_KEY, or pass api_key="


HISTORY: list[ResponseItem] = [
    user_message("Add."),
    FunctionCall(call_id="c1", name="add", arguments='{"a": 2}'),
    FunctionCallOutput(call_id="c1", output="5"),
    user_message("And?"),
]


async def test_the_history_is_written_anew_on_the_next_wire() -> None:
    """What failed on chat goes out as messages: the same calls and outputs, a name and members that are its own."""
    prompt = Prompt(HISTORY, model="big-one", extra={"chat_only": 1})
    async with standing(refusing(503), answering("messages"), wires=("chat", "messages")) as field_:
        assert await field_.ask(prompt) == "Hello"
    first, second = field_.body(0), field_.body(1)
    assert (first["model"], first["chat_only"], second["model"]) == ("big-one", 1, "m")
    assert "chat_only" not in second
    assert second["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Add."}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 2}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "5"},
                                     {"type": "text", "text": "And?"}]},
    ]  # fmt: skip


async def test_what_one_provider_keeps_goes_nowhere_else() -> None:
    """A prompt that continues a stored response has no history to replay: its failure is the caller's to hear."""
    prompt = Prompt("And?", previous_response_id="resp_1")
    async with standing(refusing(503), answering("responses"), wires=("responses", "responses")) as field_:
        for _ in range(2):  # the second begins at the first model too, though it rests
            assert isinstance(await field_.fails(prompt), OverloadedError)
    assert field_.asked == [2, 0]


@pytest.mark.parametrize(
    ("windows", "larger_window", "asked"),
    [
        ((8000, 8000, 200_000), True, [1, 0, 1]),
        ((8000, 4000), True, [1, 0]),
        ((8000, None), True, [1, 0]),
        ((None, 200_000), True, [1, 0]),
        ((8000, 200_000), False, [1, 0]),
    ],
)
async def test_too_long_goes_to_a_larger_window(
    windows: tuple[int | None, ...], larger_window: bool, asked: list[int]
) -> None:
    """Where both windows are known and the next is the larger one; smaller ones in between are not asked."""
    too_long = refusing(400, "This model's maximum context length is 8000 tokens.")
    answers = [answering()] * (len(windows) - 1)
    async with standing(too_long, *answers) as field_:
        clients = [
            ModelClient(f"lab{n}/m", base_url=server.url, wire="chat", compat={"context_window": window}, retry=ONCE)
            for n, (server, window) in enumerate(zip(field_.servers, windows, strict=True))
        ]
        models = Fallback(clients, policy=FallbackPolicy(larger_window=larger_window))
        held = Field(field_.servers, models, [])
        if sum(asked) > 1:
            assert await held.ask() == "Hello"
        else:
            assert isinstance(await held.fails(), ContextLengthError)
        for client in clients:
            await client.aclose()
    assert held.asked == asked


async def test_what_breaks_after_output_is_raised() -> None:
    """Alone, a Fallback cannot take back what was shown: the error has what had come, and what was tried before."""
    cut: Exchange = (sse_head(), chunk(spoken("chat", HELLO[:3], end=False)), END)
    async with standing(refusing(503), cut, answering()) as field_:
        error = await field_.fails()
    assert isinstance(error, StreamInterrupted) and error.output_emitted
    assert error.partial is not None and error.partial.text == "Hello"
    assert [one.model for one in error.tried] == ["lab0/m"]
    assert field_.asked == [1, 1, 0]


async def test_a_turn_takes_a_broken_stream_further() -> None:
    """`turn()` is for loops: asked after the break it goes on, and stays there for the next sample."""
    cut: Exchange = (sse_head(), chunk(spoken("chat", HELLO[:3], end=False)), END)
    async with standing(cut, answering()) as field_:
        turn = field_.models.turn()
        with pytest.raises(StreamInterrupted) as caught:
            async with turn.stream("Hi", tries=Tries()) as events:
                async for _ in events:
                    pass
        fell = turn.fall_back(caught.value)
        assert fell == FellBack("lab0/m", "lab1/m", "stream_interrupted")
        for _ in range(2):
            async with turn.stream("Hi") as events:
                assert events.model == turn.model == "lab1/m"
    assert field_.asked == [1, 2]


async def test_a_model_that_failed_rests() -> None:
    """Turns that begin within `rest_s` pass it over; after that it is the first again."""
    async with standing(refusing(503), answering()) as field_:
        for now, asked in ((0, [1, 1]), (59, [1, 2]), (61, [2, 3]), (62, [2, 4])):
            field_.clock[0] = float(now)
            await field_.ask()
            assert field_.asked == asked
    reasons = [one.reason for one in field_.told]
    assert reasons == ["overloaded", "resting", "overloaded", "resting"]


@pytest.mark.parametrize(
    ("steps", "rest_s", "rests_until"),
    [
        (refusing(429, "x", **{"retry-after": "600"}), 60.0, 600),
        (refusing(429, "x", **{"retry-after": "5"}), 60.0, 60),
        (refusing(429, "x", **{"retry-after": "999999"}), 60.0, 3600),
        (refusing(503), 0.0, 0),
    ],
)
async def test_how_long_it_rests(steps: Exchange, rest_s: float, rests_until: int) -> None:
    """As long as it asked for, at least `rest_s`, at most an hour; not at all with 0."""
    async with standing(steps, answering(), policy=FallbackPolicy(rest_s=rest_s)) as field_:
        await field_.ask()
        field_.clock[0] = rests_until - 1.0
        await field_.ask()
        field_.clock[0] = float(rests_until)
        await field_.ask()
    assert field_.asked[0] == (2 if rests_until else 3)


async def test_what_rests_is_asked_last() -> None:
    """A stand-in that fails in its turn does not leave the model that is wanted unasked."""
    async with standing(refusing(503), refusing(500)) as field_:
        turn = field_.models.turn()
        assert (turn.model, turn.passed_over) == ("lab0/m", None)
        field_.models.rests.rest("lab0/m", 60)
        turn = field_.models.turn()
        assert (turn.model, turn.passed_over) == ("lab1/m", FellBack("lab0/m", "lab1/m", "resting"))
        error = await field_.fails()
    assert ([one.model for one in error.tried], error.model) == (["lab1/m"], "lab0/m")


async def test_an_open_circuit_goes_on_at_once() -> None:
    """Nothing is sent to a server that is left alone."""
    circuit = Circuit(failures=1)
    async with standing(refusing(503), answering(), policy=FallbackPolicy(rest_s=0)) as field_:
        first = ModelClient("lab0/m", base_url=field_.servers[0].url, retry=ONCE, circuit=circuit)
        models = Fallback(
            [first, field_.models.models[1]], policy=FallbackPolicy(rest_s=0), on_fallback=field_.told.append
        )
        for _ in range(2):
            assert await Field(field_.servers, models, []).ask() == "Hello"
        await first.aclose()
    assert [one.reason for one in field_.told] == ["overloaded", "circuit_open"]
    assert field_.asked == [1, 2]


async def test_when_all_rest_the_first_is_asked() -> None:
    """Nobody is refused because everybody failed a moment ago."""
    async with standing(refusing(503), refusing(500)) as field_:
        for _ in range(2):
            assert isinstance(await field_.fails(), ServerError)
    assert field_.asked == [2, 2]


async def test_names_make_clients() -> None:
    """Strings are resolved like anywhere; what was made here is closed with it, a caller's client is not."""
    async with standing(answering()) as field_:
        mine = field_.models.models[0]
        async with Fallback([mine, "ollama/qwen3"], retry=ONCE) as models:
            assert repr(models) == "Fallback('lab0/m', 'ollama/qwen3')"
            assert models.models[1].retry == ONCE
        assert await Field(field_.servers, Fallback([mine]), []).ask() == "Hello"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": []}, "needs a list of models"),
        ({"models": "openai/gpt-5.6"}, "needs a list of models"),
        ({"models": [3]}, "3 is no model"),
        ({"models": ["openai/a", "openai/a"]}, "named twice"),
        ({"models": ["nobody/m"]}, "unknown provider"),
        ({"models": ["openai/a"], "policy": 3}, "policy must be a FallbackPolicy"),
    ],
)
async def test_fallbacks_that_make_no_sense(arguments: dict[str, object], message: str) -> None:
    """Refused when they are made."""
    with pytest.raises(ConfigError, match=message):
        Fallback(**arguments)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("option", "value"), [("on", [ServerError]), ("on", (ValueError,)), ("rest_s", -1), ("rest_s", "1")]
)
async def test_policies_that_make_no_sense(option: str, value: object) -> None:
    """Named when they are made."""
    with pytest.raises(ConfigError, match=f"^{option} must be"):
        FallbackPolicy(**{option: value})  # type: ignore[arg-type]  # wrong on purpose
