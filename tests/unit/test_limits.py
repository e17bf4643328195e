"""What a run has used, and what it may: sums over answers, broken streams and retries; caps that end it honestly."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal

import pytest

from agent_core.agent import Agent
from agent_core.compaction import CompactionPolicy
from agent_core.errors import ConfigError, LimitReached, OverloadedError
from agent_core.events import Attempt, Response, Usage
from agent_core.items import JsonObject, assistant_message, user_message
from agent_core.limits import Limits, RunState, require_price
from agent_core.prices import Cost, Price, PriceTable
from agent_core.prompt import Prompt
from agent_core.retry import RetryPolicy
from agent_core.session import Session
from agent_core.testing import RehearsalServer, Step
from agent_core.testing.scripts import asks_for_summary
from agent_core.tools.function import tool
from agent_core.turn_events import StopReason

from ..loopback import END, STALL, exchange, serve, sse

DOLLARS = PriceTable({"lab/m": Price(1_000_000, 1_000_000), "big/m": Price(10_000_000, 10_000_000)})
"""A dollar for each token, ten where it is big."""


def said(tokens: int, model: str = "m") -> Response:
    return Response(model=model, items=(assistant_message("x"),), usage=Usage(output=tokens))


NO_COUNT = Response(model="m", items=(assistant_message("x"),))
COSTS: dict[str, tuple[Callable[[RunState], None], Cost | None, int]] = {
    "nothing yet": (lambda run: None, None, 0),
    "one answer": (lambda run: run.answered("lab/m", said(2)), Cost(Decimal(2)), 2),
    "an answer by a name with no price, asked for by one that has": (
        lambda run: run.answered("lab/m", said(2, "m-2026")),
        Cost(Decimal(2)),
        2,
    ),
    "attempts before it": (
        lambda run: run.answered("lab/m", said(2), [Attempt("lab/m", said(3))]),
        Cost(Decimal(5)),
        5,
    ),
    "a broken stream that was counted": (
        lambda run: run.broke("lab/m", said(3), [Attempt("lab/m", said(1))]),
        Cost(Decimal(4)),
        4,
    ),
    "a failure before anything came": (lambda run: run.broke("lab/m", None), None, 0),
    "two models, one after the other failed": (
        lambda run: run.answered("big/m", said(2, "big"), [Attempt("lab/m", said(3))]),
        Cost(Decimal(23)),
        5,
    ),
    "no price": (lambda run: run.answered("lab/n", said(2, "n")), None, 2),
}


@pytest.mark.parametrize("name", COSTS)
def test_all_that_was_used_is_summed(name: str) -> None:
    """Tokens and cost; where no price is known the cost is None, not nothing."""
    act, cost, tokens = COSTS[name]
    run = RunState(prices=DOLLARS)
    act(run)
    assert (run.cost, run.usage.total) == (cost, tokens)


PARTLY: dict[str, Callable[[RunState], None]] = {
    "an answer without a price": lambda run: run.answered("lab/n", said(9, "n")),
    "an answer without a count": lambda run: run.answered("lab/m", NO_COUNT),
    "a broken stream without a count": lambda run: run.broke("lab/m", NO_COUNT),
}


@pytest.mark.parametrize("name", PARTLY)
def test_what_is_not_known_makes_it_at_least(name: str) -> None:
    """The known part is told, and that it is not all."""
    run = RunState(prices=DOLLARS)
    run.answered("lab/m", said(2))
    PARTLY[name](run)
    assert run.cost == Cost(Decimal(2), at_least=True)


REACHED: dict[str, tuple[Limits, Callable[[RunState], None], StopReason | None]] = {
    "under it": (Limits(max_cost=3), lambda run: run.answered("lab/m", said(2)), None),
    "at it": (Limits(max_cost=Decimal(2)), lambda run: run.answered("lab/m", said(2)), "max_cost"),
    "by a broken stream": (Limits(max_cost=2.5), lambda run: run.broke("lab/m", said(3)), "max_cost"),
    "nothing spent, nothing allowed": (Limits(max_cost=0), lambda run: None, "max_cost"),
    "an answer nobody can price": (Limits(max_cost=99), lambda run: run.answered("lab/n", said(1, "n")), "max_cost"),
    "an answer nobody counted": (Limits(max_cost=99), lambda run: run.answered("lab/m", NO_COUNT), "max_cost"),
    "a broken stream nobody counted": (Limits(max_cost=99), lambda run: run.broke("lab/m", NO_COUNT), None),
    "tokens": (Limits(max_tokens=2), lambda run: run.broke("lab/m", said(2)), "max_tokens"),
    "no limit": (Limits(), lambda run: run.answered("lab/n", said(2, "n")), None),
}


@pytest.mark.parametrize("name", REACHED)
def test_a_budget_is_reached(name: str) -> None:
    """By what is known to be spent, and by what cannot be known."""
    limits, act, reason = REACHED[name]
    run = RunState(prices=DOLLARS)
    act(run)
    assert run.limit_reached(limits) == reason


@pytest.mark.parametrize("name", ["max_turns", "max_tokens", "max_cost", "deadline_s"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "ten", True])
def test_a_limit_is_a_number(name: str, value: object) -> None:
    """A cap that could never hold is told at once."""
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: value})  # type: ignore[arg-type]


CALLED: JsonObject = {"index": 0, "id": "c", "type": "function", "function": {"name": "step", "arguments": "{}"}}
CALLS: JsonObject = {
    "id": "r",
    "model": "m",
    "choices": [{"index": 0, "delta": {"tool_calls": [CALLED]}, "finish_reason": "tool_calls"}],
    "usage": {"prompt_tokens": 2, "completion_tokens": 1},
}


def events(*said: JsonObject) -> bytes:
    return sse(b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in said))


CHAT_CALL = events(CALLS)


@tool
def step() -> str:
    """Go on."""
    return "done"


def agent_at(url: str, **options: object) -> Agent:
    return Agent("lab/m", base_url=url, api_key="k", tools=[step], retry=ONCE_MORE, **options)  # type: ignore[arg-type]


ONCE_MORE = RetryPolicy(max_attempts=2, base_delay_s=0, jitter_s=0)


@pytest.mark.anyio
async def test_a_run_ends_at_its_cost() -> None:
    """Checked before each request: at three dollars a sample, two are let through for five, and a third is not."""
    async with serve(exchange(sse(CHAT_CALL))) as server:
        agent = agent_at(server.url, prices=DOLLARS, limits=Limits(max_cost=5))
        result = await agent.run("go")
    assert (result.stop_reason, result.samples, result.cost) == ("max_cost", 2, Cost(Decimal(6)))
    assert agent.session.open_calls() == ()


@pytest.mark.anyio
async def test_ask_says_which_limit_it_was() -> None:
    """The door that gives only text raises instead."""
    async with serve(exchange(sse(CHAT_CALL))) as server:
        with pytest.raises(LimitReached) as caught:
            await agent_at(server.url, prices=DOLLARS, limits=Limits(max_cost=1)).ask("go")
    assert caught.value.limit == "max_cost"


@pytest.mark.anyio
async def test_a_cap_that_cannot_be_kept_is_told_before_anything_is_sent() -> None:
    """No price for the model: a ConfigError that says how to give one, and no request."""
    async with serve(exchange(sse(CHAT_CALL))) as server:
        with pytest.raises(ConfigError) as caught:
            await agent_at(server.url, limits=Limits(max_cost=1)).run("go")
    assert "'lab/m'" in caught.value.message and "PriceTable" in caught.value.remedy
    assert server.requests == []


def test_a_provider_that_says_what_it_charges_needs_no_price() -> None:
    """Its bill comes with each answer."""
    require_price(None, "openrouter/new/model", charged=True)


USED: JsonObject = {"input_tokens": 7, "output_tokens": 0, "total_tokens": 7}
CREATED: JsonObject = {"type": "response.created", "response": {"id": "r", "model": "m", "status": "in_progress"}}
DELTA: JsonObject = {
    "type": "response.output_text.delta", "item_id": "i", "output_index": 0, "content_index": 0, "delta": "hi",
}  # fmt: skip
BUSY: JsonObject = {"code": "server_is_overloaded", "message": "busy"}
FAILED: JsonObject = {
    "type": "response.failed", "response": {"id": "r", "model": "m", "status": "failed", "error": BUSY, "usage": USED},
}  # fmt: skip
WHOLE: JsonObject = {
    "type": "response.completed", "response": {"id": "r", "model": "m", "status": "completed", "usage": USED},
}  # fmt: skip

ATTEMPTS: dict[str, tuple[list[bytes], int, str]] = {
    "a retry, then an answer": ([events(CREATED, FAILED), events(CREATED, DELTA, WHOLE)], 14, "completed"),
    "retries that fail": ([events(CREATED, FAILED)], 14, "failed"),
    "a broken stream, then an answer": (
        [events(CREATED, DELTA, FAILED), events(CREATED, DELTA, WHOLE)], 14, "completed",
    ),
    "a retry, then a broken stream, then an answer": (
        [events(CREATED, FAILED), events(CREATED, DELTA, FAILED), events(CREATED, DELTA, WHOLE)], 21, "completed",
    ),
}  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize("name", ATTEMPTS)
async def test_every_attempt_that_was_counted_counts(name: str) -> None:
    """A try that failed before anything of it was shown has used tokens too, and so has a stream that broke."""
    script, tokens, end = ATTEMPTS[name]
    async with serve(*(exchange(answer) for answer in script)) as server:
        agent = agent_at(server.url, prices=DOLLARS, wire="responses")
        turn = agent.stream("go")
        try:
            async with turn:
                async for _ in turn:
                    pass
            result = turn.result
        except OverloadedError:
            assert end == "failed"
            assert agent.session.usage.total == tokens
        else:
            assert (result.stop_reason, result.usage.total, result.cost) == (end, tokens, Cost(Decimal(tokens)))


@pytest.mark.anyio
async def test_a_cancelled_answer_counts_what_was_said() -> None:
    """Messages tells the input at once: it was read, whoever left then."""
    start: JsonObject = {"type": "message_start", "message": {"id": "r", "model": "m", "usage": {"input_tokens": 7}}}
    block: JsonObject = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    said: JsonObject = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}}
    head, *_ = events(start, block, said).rpartition(END)
    async with serve(exchange(head, STALL)) as server:
        turn = agent_at(server.url, prices=DOLLARS, wire="messages").stream("go")
        async with turn:
            async for _ in turn.text_deltas():
                turn.cancel()
    assert (turn.result.stop_reason, turn.result.cost) == ("cancelled", Cost(Decimal(7)))


@pytest.mark.anyio
async def test_a_summary_that_used_the_budget_up_is_the_last_request() -> None:
    """Making room costs too: what it used is counted before the request it was made for is sent."""
    summary = Usage(output=50)

    def script(prompt: Prompt) -> Step:
        return (
            Step(text="s", usage=summary)
            if asks_for_summary(prompt)
            else Step(text="a", usage=Usage(input=19_000, output=1))
        )

    with RehearsalServer(script, pace_s=0) as server:
        agent = Agent(
            "rehearsal/m", provider=server.provider, session=Session(items=[user_message("x" * 4000)]),
            compaction=CompactionPolicy(window=20_000, at=0.9), limits=Limits(max_tokens=40),
        )  # fmt: skip
        assert (await agent.run("first")).stop_reason == "completed"
        result = await agent.run("second")
    assert (result.stop_reason, result.usage) == ("max_tokens", summary)
