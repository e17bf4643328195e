"""Who answers: strategies, limits, health and fallbacks, over scripted servers in virtual time."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from collections.abc import Callable, Sequence

import anyio
import pytest

from agent_core.errors import (
    AgentCoreError,
    AuthenticationError,
    ConfigError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    ModelError,
    ModelNotFoundError,
    OverloadedError,
    RateLimitError,
    ServerError,
    StreamError,
)
from agent_core.gateway.backends import Backends
from agent_core.gateway.deployments import Deployment
from agent_core.gateway.routes import Route
from agent_core.gateway.strategies import Strategy
from agent_core.prices import Price
from agent_core.retry import RetryPolicy

from ..virtual_time import anyio_backend
from .scripted_servers import ONCE, Reply, Scripted, answered, ask_for, deployment, server

__all__ = ["anyio_backend"]

pytestmark = pytest.mark.anyio


def one_route(deployments: Sequence[Deployment], strategy: Strategy = "round_robin") -> Backends:
    return Backends({"m": Route(deployments, strategy=strategy, retry=ONCE)})


def requests_of(one: Deployment) -> int:
    transport = one.client._transport
    assert isinstance(transport, Scripted)
    return len(transport.requests)


CHEAP, DEAR = Price(1, 2), Price(3, 1)
ORDERS: dict[str, tuple[Strategy, Callable[[], list[Deployment]], str]] = {
    "in turn, and round again": ("round_robin", lambda: [deployment(name) for name in "abc"], "abcab"),
    "who is at its limit is passed over": ("round_robin", lambda: [deployment("a", rpm=1), deployment("b")], "abbb"),
    "three to one": ("weighted", lambda: [deployment("a", weight=3), deployment("b")], "aabaaaba"),
    "nobody is busy: in turn": ("least_busy", lambda: [deployment(name) for name in "ab"], "abab"),
    "who is not known first, then the fastest": (
        "latency",
        lambda: [deployment("a", Reply(delay_s=0.2)), deployment("b", Reply(delay_s=0.1))],
        "abbb",
    ),
    "the cheaper one": ("cost", lambda: [deployment("a", price=DEAR), deployment("b", price=CHEAP)], "bbb"),
    "the cheaper one, until its limit": (
        "cost",
        lambda: [deployment("a", price=DEAR), deployment("b", price=CHEAP, rpm=1)],
        "baa",
    ),
    "who has no price comes last": ("cost", lambda: [deployment("a"), deployment("b", price=DEAR)], "bb"),
    "no prices: in turn": ("cost", lambda: [deployment(name) for name in "ab"], "abab"),
}


@pytest.mark.parametrize("name", ORDERS)
async def test_who_is_asked(name: str) -> None:
    """T-Q5: each strategy over a few requests, one after the other."""
    strategy, made, order = ORDERS[name]
    backends = one_route(made(), strategy)
    assert "".join([await answered(backends) for _ in order]) == order


async def test_the_least_busy_is_asked() -> None:
    """T-Q5: an answer counts until it is left; ties go in turn."""
    backends = one_route([deployment(name) for name in "abc"], "least_busy")
    async with backends.answer(ask_for()) as first, backends.answer(ask_for()) as second:
        assert (first.deployment, second.deployment, await answered(backends)) == ("a", "b", "c")
        assert await answered(backends) == "c"


async def test_latency_is_an_average_that_forgets() -> None:
    """T-Q5: 100 ms, then 130 ms are 109 ms; streams are measured by their first event; old news is none."""
    slow = deployment("a", Reply(delay_s=0.1, pause_s=5), Reply(delay_s=0.13))
    backends = one_route([slow], "latency")
    assert slow.latency_s is None
    await answered(backends)
    assert slow.latency_s == pytest.approx(0.1)
    await answered(backends)
    assert slow.latency_s == pytest.approx(0.109)
    await anyio.sleep(301)
    assert slow.latency_s is None


ENDINGS = ["read", "left", "refused", "cut", "cancelled while opening", "cancelled in the answer", "never read"]
REPLIES = {"refused": Reply(status=400), "cut": Reply(cut=True), "cancelled while opening": Reply(delay_s=9)}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_nothing_stays_in_flight(ending: str) -> None:
    """X-S0-03, T-Q5: however an answer ends, the counter and the connection are back where they were."""
    one = deployment("a", REPLIES.get(ending, Reply(pause_s=9)))
    backends = one_route([one])
    with anyio.move_on_after(1 if ending.startswith("cancelled") else 100):
        try:
            async with backends.answer(ask_for()) as answer:
                assert one.in_flight == 1
                if ending == "left":
                    await anext(answer.events)
                elif ending != "never read":
                    async for _event in answer.events:
                        pass
        except ModelError:
            assert ending in ("refused", "cut")
    transport = one.client._transport
    assert isinstance(transport, Scripted)
    assert (one.in_flight, transport.open_now) == (0, 0)


async def test_all_at_their_limits_is_a_429() -> None:
    """T-Q5: with the time until one of them has room, and nobody is asked; then it goes on."""
    backends = one_route([deployment("a", rpm=1), deployment("b", rpm=1)])
    await answered(backends)
    await anyio.sleep(10)
    await answered(backends)
    with pytest.raises(RateLimitError, match="everything that answers for 'm' is at its limit") as caught:
        await answered(backends)
    assert caught.value.status == 429
    assert caught.value.retry_after_s == pytest.approx(50)
    await anyio.sleep(50)
    assert await answered(backends) == "a"


async def test_as_many_in_flight_as_may_be() -> None:
    """One more waits for nothing that is known: it is told to come back in a second."""
    backends = one_route([deployment("a", most=1)])
    async with backends.answer(ask_for()):
        with pytest.raises(RateLimitError) as caught:
            await answered(backends)
    assert (caught.value.retry_after_s, await answered(backends)) == (1.0, "a")


async def test_tokens_are_counted_as_they_were_used() -> None:
    """Estimated before, corrected by the answer: 40 of 100 leave room for another one, and 80 for none of 30."""
    backends = one_route([deployment("a", tpm=100)])
    long = "word " * 24
    for _ in range(2):
        assert await answered(backends, ask_for(text=long)) == "a"
    with pytest.raises(RateLimitError):
        await answered(backends, ask_for(text=long))


async def test_at_its_limit_others_stand_in() -> None:
    """T-Q5: a model that has room answers for the one that has none, without a failure in between."""
    backends = Backends({"m": Route([deployment("a", rpm=1)], fallbacks=["n"]), "n": Route([deployment("b")])})
    assert [await answered(backends) for _ in range(3)] == ["a", "b", "b"]


async def test_one_request_tries_it_for_all() -> None:
    """Its time is over: of five that come together one is the trial, and four are not kept waiting for it."""
    a = deployment("a", Reply(status=500), Reply(status=500), Reply(delay_s=5))
    backends, heard = one_route([a, deployment("b")], "least_busy"), list[str]()

    async def one() -> None:
        heard.append(await answered(backends))

    for _ in range(4):
        await answered(backends)
    assert (a.circuit.state, requests_of(a)) == ("open", 2)
    await anyio.sleep(30)
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(one)
    assert (sorted(heard), heard[-1], requests_of(a)) == (["a", "b", "b", "b", "b"], "a", 3)


async def test_a_wait_the_server_asks_for_is_kept() -> None:
    """Its 429 falls to the next; nobody asks it again before its time."""
    a = deployment("a", Reply(status=429, headers={"retry-after": "20"}), Reply())
    backends = one_route([a, deployment("b")])
    assert [await answered(backends) for _ in range(3)] == ["b", "b", "b"]
    assert requests_of(a) == 1
    await anyio.sleep(20)
    assert "a" in [await answered(backends) for _ in range(2)]


async def test_who_keeps_failing_is_left_alone_and_tried_again() -> None:
    """Two failures in a row, thirty seconds of peace, one trial, and it is back."""
    a = deployment("a", Reply(status=500), Reply(status=500), Reply())
    backends = one_route([a, deployment("b")])
    assert [await answered(backends) for _ in range(5)] == ["b"] * 5
    assert (requests_of(a), a.health().health, backends.ready()) == (2, "cooling", (1, 1))
    await anyio.sleep(30)
    assert "a" in [await answered(backends) for _ in range(2)]
    assert a.health().health == "ready"


@pytest.mark.parametrize("strategy", ["round_robin", "weighted", "least_busy"])
async def test_standing_in_takes_no_turn(strategy: Strategy) -> None:
    """Of two of which one fails, each is asked first by half of the requests."""
    a, b = deployment("a", Reply(status=500), failures=99), deployment("b")
    backends = one_route([a, b], strategy)
    assert [await answered(backends) for _ in range(10)] == ["b"] * 10
    assert (requests_of(a), requests_of(b)) == (5, 10)


async def test_all_left_alone_is_an_overload() -> None:
    """Nobody is asked; it says when, and that the model is not ready."""
    backends = one_route([deployment("a", Reply(status=500)), deployment("b", Reply(status=500))])
    for _ in range(2):
        with pytest.raises(ServerError):
            await answered(backends)
    with pytest.raises(OverloadedError, match="is left alone") as caught:
        await answered(backends)
    assert caught.value.retry_after_s == pytest.approx(30)
    assert backends.ready() == (0, 1)
    await anyio.sleep(30)
    assert backends.ready() == (1, 1)


async def test_who_is_alone_is_always_asked() -> None:
    """Where nobody can stand in, leaving it alone would help nobody: it answers as soon as it is well."""
    backends = one_route([deployment("a", *[Reply(status=500)] * 3, Reply())])
    for _ in range(3):
        with pytest.raises(ServerError):
            await answered(backends)
    assert (backends.ready(), await answered(backends), backends.ready()) == ((0, 1), "a", (1, 1))


WINDOW: dict[str, object] = {"code": "context_length_exceeded"}
FALLS: dict[str, tuple[Reply, str | type[AgentCoreError]]] = {
    "a server that failed": (Reply(status=500), "b"),
    "an overload": (Reply(status=529), "b"),
    "a rate limit": (Reply(status=429), "b"),
    "a quota": (Reply(status=429, error={"code": "insufficient_quota"}), "b"),
    "a key of the gateway's": (Reply(status=401), "b"),
    "a model that is not there": (Reply(status=404), "b"),
    "a request that is wrong": (Reply(status=400), InvalidRequestError),
    "a policy": (Reply(status=400, error={"code": "content_filter"}), ContentFilterError),
    "a prompt too long for any": (Reply(status=400, error={"code": "context_length_exceeded"}), "c"),
    "what broke after its first word": (Reply(cut=True), StreamError),
}


@pytest.mark.parametrize("name", FALLS)
async def test_what_falls_to_the_next(name: str) -> None:
    """By the class of the failure; a prompt that is too long goes to a larger window, and to no other."""
    reply, expected = FALLS[name]
    a, b, c = deployment("a", reply, window=10), deployment("b", window=10), deployment("c", window=20)
    backends = Backends({"m": Route([a, b], fallbacks=["large"], retry=ONCE), "large": Route([c], retry=ONCE)})
    if isinstance(expected, str):
        assert await answered(backends) == expected
    else:
        with pytest.raises(expected):
            await answered(backends)
    assert requests_of(a) == 1


async def test_a_window_that_is_not_known_falls_nowhere() -> None:
    too_long = Reply(status=400, error={"code": "context_length_exceeded"})
    with pytest.raises(ContextLengthError):
        await answered(one_route([deployment("a", too_long), deployment("b", window=10)]))


async def test_whose_key_is_refused_is_asked_last() -> None:
    """For a minute; and when nobody else is left, it is asked all the same, so that the reason is told."""
    a = deployment("a", Reply(status=401), Reply(status=401), Reply())
    b = deployment("b", Reply(), Reply(), Reply(status=500))
    backends = one_route([a, b])
    assert ([await answered(backends) for _ in range(2)], a.health().health) == (["b", "b"], "resting")
    with pytest.raises(ServerError) as caught:
        await answered(backends)
    assert [(one.model, type(one.error)) for one in caught.value.tried] == [("a", AuthenticationError)]
    await anyio.sleep(60)
    assert await answered(backends) == "a"


async def test_the_whole_way_is_gone_again() -> None:
    """Before anything was shown: deployments, fallbacks, a wait, and once more; what was used meanwhile is billed."""
    m = Route([deployment("a", Reply(status=500))], fallbacks=["l"], retry=RetryPolicy(max_attempts=3, jitter_s=0))
    large = deployment("b", Reply(status=500), Reply())
    backends = Backends({"m": m, "l": Route([large], retry=ONCE)})
    ask, began = ask_for(), anyio.current_time()
    assert await answered(backends, ask) == "b"
    assert (requests_of(m.deployments[0]), requests_of(large)) == (2, 2)
    assert anyio.current_time() - began == pytest.approx(0.5)
    assert [(billed.model, billed.usage.total) for billed in ask.bill.entries] == [("lab/b", 40)]


BEGUN = b"""event: message_start
data: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"x","content":[],\
"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":1}}}

"""


async def test_what_failed_attempts_used_is_billed() -> None:
    """A stream that broke before its first word had been counted by its server; the one that broke later, too."""
    broke = deployment("a", Reply(body=BEGUN), wire="messages")
    ask = ask_for()
    assert await answered(one_route([broke, deployment("b")]), ask) == "b"
    assert [(billed.model, billed.usage.total) for billed in ask.bill.entries] == [("lab/a", 8), ("lab/b", 40)]


async def test_what_a_client_tried_before_is_billed() -> None:
    """Each attempt that its server had counted, whether the last one opened or not."""
    for second, total in ((Reply(body=BEGUN), [8, 8]), (Reply(status=500), [8])):
        client = server("a", Reply(body=BEGUN), second, wire="messages")
        client.retry = RetryPolicy(max_attempts=2, jitter_s=0)
        ask = ask_for()
        with pytest.raises(ModelError):
            await answered(Backends({"m": client}), ask)
        assert [billed.usage.total for billed in ask.bill.entries] == total


async def test_what_goes_on_from_an_answer_goes_nowhere_else() -> None:
    """The id is known to the server that gave it: another one cannot go on from there."""
    b = deployment("b")
    ask = ask_for()
    ask = ask.with_prompt(dataclasses.replace(ask.prompt, previous_response_id="resp_1"))
    with pytest.raises(ServerError):
        await answered(one_route([deployment("a", Reply(status=500)), b]), ask)
    assert requests_of(b) == 0


LONG_WAIT, SHORT_WAIT = (Reply(status=429, headers={"retry-after": seconds}) for seconds in ("11", "2"))


async def test_a_short_wait_is_kept_and_a_long_one_told() -> None:
    """The client does not sit for more than ten seconds before it hears anything."""
    began = anyio.current_time()
    assert await answered(Backends({"m": Route([deployment("a", SHORT_WAIT, Reply())])})) == "a"
    assert 2 <= anyio.current_time() - began < 3
    with pytest.raises(RateLimitError) as caught:
        await answered(Backends({"m": Route([deployment("a", LONG_WAIT, Reply())])}))
    assert caught.value.retry_after_s == 11


async def test_one_that_also_stands_in_is_asked_once() -> None:
    shared = deployment("a", Reply(status=500))
    backends = Backends({"m": Route([shared], fallbacks=["n"], retry=ONCE), "n": Route([shared], retry=ONCE)})
    with pytest.raises(ServerError):
        await answered(backends)
    assert requests_of(shared) == 1


async def test_a_deployment_may_be_preferred() -> None:
    """If it is well and has room; else the strategy chooses."""
    backends = one_route([deployment("a"), deployment("b", rpm=2), deployment("c", *[Reply(status=500)] * 9)])
    prefer_b, prefer_c = ask_for(prefer="b"), ask_for(prefer="c")
    assert [await answered(backends, prefer_b) for _ in range(3)] == ["b", "b", "a"]
    assert [await answered(backends, prefer_c) for _ in range(3)] == ["a", "a", "a"]
    assert await answered(backends, ask_for(prefer="nobody")) == "a"


async def test_a_deployment_in_two_routes_is_one() -> None:
    """Its limit counts in both."""
    shared = deployment("a", rpm=1)
    backends = Backends({"m": Route([shared], retry=ONCE), "n": Route([shared, deployment("b")], retry=ONCE)})
    assert [await answered(backends, ask_for(name)) for name in "mn"] == ["a", "b"]


NAMES: dict[str, str] = {"m": "lab/one", "short": "lab/one", "claude-x": "lab/two", "n": "lab/two"}


async def test_names_and_other_names() -> None:
    """T-Q5: exact ones before aliases before patterns; a name nobody has is a 404 that lists those there are."""
    aliases = {"short": "m", "claude-*": "n"}
    backends = Backends({"m": server("one"), "n": server("two")}, aliases=aliases)
    assert {name: await answered(backends, ask_for(name)) for name in NAMES} == NAMES
    assert backends.names == ("m", "n", "short")
    with pytest.raises(ModelNotFoundError, match="there is no model 'other' here; there are: m, n, short") as caught:
        await answered(backends, ask_for("other"))
    assert caught.value.status == 404
    with_default = Backends({"m": server("one"), "n": server("two")}, "n")
    assert await answered(with_default, ask_for("other")) == "lab/two"


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "no deployment": (lambda: Route([]), "needs a deployment"),
    "two of one name": (lambda: Route([deployment("a"), deployment("a")]), "two deployments are called 'a'"),
    "fallbacks in a text": (lambda: Route([deployment("a")], fallbacks="large"), "is a list of models"),
    "a fallback nobody has": (
        lambda: Backends({"m": Route([deployment("a")], fallbacks=["x"])}),
        "the fallback 'x' of 'm' is no other model",
    ),
    "an alias for nothing": (lambda: Backends({"m": server("a")}, aliases={"b": "x"}), "the alias 'b' is for 'x'"),
    "a default there is none of": (lambda: Backends({"m": server("a")}, "x"), "the default is for 'x'"),
    "a weight that is none": (lambda: deployment("a", weight=0), "weight must be a whole number"),
    "a limit that is none": (lambda: deployment("a", rpm=0), "requests_per_minute must be"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_does_not_fit_is_refused(name: str) -> None:
    made, words = BAD[name]
    with pytest.raises(ConfigError, match=words):
        made()


async def test_nothing_is_kept_of_a_request() -> None:
    """A client of the gateway's holds no conversation when it is over: the next one has other objects."""
    backends, ask = Backends({"m": server("a")}), ask_for(text="a long story")
    held = weakref.ref(ask.prompt.items[0])
    await answered(backends, ask)
    del ask
    gc.collect()
    assert held() is None
