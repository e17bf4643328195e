"""What a key may use in a minute, and spend in a day: taken before, put right after."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core import Prompt, Usage
from agent_core.errors import (
    AgentCoreError,
    NotAdmitted,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from agent_core.events import OutputTextDelta, RateLimits, RateLimitWindow, ResponseEvent
from agent_core.gateway.access import Access
from agent_core.gateway.asking import Answer, Ask, Bill, Caller, ReadAhead
from agent_core.gateway.key_limits import KeyLimits, Passing, tighter
from agent_core.gateway.keys import Budget, Key, hash_of
from agent_core.gateway.ledger import Ledger, MemoryLedger, SqliteLedger, Step
from agent_core.gateway.usage import Window
from agent_core.items import user_message
from agent_core.prices import Price, PriceTable

pytestmark = pytest.mark.anyio

START = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
PRICES = PriceTable({"lab/m": Price(input=1, output=10)})
MILLION = 1_000_000


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Backend:
    """Answers with what it was told to use; may fail, or say a few words first."""

    def __init__(self) -> None:
        self.uses = Usage(input=10, output=5)
        self.calls = 1
        self.error: AgentCoreError | None = None
        self.limits: RateLimits | None = None
        self.model = "lab/m"
        self.asked = 0

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        async with aclosing(self._events(ask)) as events:
            yield Answer(events, self.model, limits=self.limits)

    async def _events(self, ask: Ask) -> AsyncGenerator[ResponseEvent]:
        yield OutputTextDelta(0, "x" * 400)
        for _ in range(self.calls):
            ask.bill.add(self.model, self.uses)


class Story:
    """A key, a clock, a backend, and requests one after the other."""

    def __init__(self, key: Key, ledger: Ledger | None = None) -> None:
        self.clock = Clock()
        self.backend = Backend()
        self.access = Access([key], ledger=ledger or MemoryLedger(clock=self.clock), clock=self.clock)
        self.inner = KeyLimits(self.access).around(self.backend)

    async def asks(self, model: str = "m", *, leaves: bool = False, words: str = "hi") -> RateLimits | None:
        ask = Ask(Prompt([user_message(words)], model=model), "chat", caller=Caller("alice"), bill=Bill(PRICES))
        limits: RateLimits | None = None
        with anyio.CancelScope() as scope:
            async with self.inner.answer(ask) as answer:
                limits = answer.limits
                async for _ in answer.events:
                    if leaves:
                        scope.cancel()
                        await anyio.sleep_forever()
        return limits

    async def counted(self, counter: str) -> int:
        return (await self.access.ledger.add({f"alice/{counter}": Step(0)}))[f"alice/{counter}"]


def key(**limits: object) -> Key:
    return Key("alice", hash_of("a-key-of-the-gateway-1"), **limits)  # type: ignore[arg-type]


async def test_requests_a_minute() -> None:
    """The next one is told when to come, and comes in then; refused ones do not count."""
    story = Story(key(requests_per_minute=2))
    for _ in range(2):
        await story.asks()
    for _ in range(3):
        with pytest.raises(RateLimitError) as caught:
            await story.asks()
        assert (caught.value.status, caught.value.code) == (429, "rate_limit_exceeded")
        assert caught.value.retry_after_s == pytest.approx(90)
    story.clock.now += 90
    await story.asks()
    assert (story.backend.asked, await story.counted("requests")) == (3, 3)


async def test_tokens_a_minute_count_what_was_used() -> None:
    """S0-48: streams too, input and output; what was not foreseen counts against the next."""
    story = Story(key(tokens_per_minute=100))
    story.backend.uses = Usage(input=10, output=95)
    await story.asks()
    with pytest.raises(RateLimitError, match="has used its 100 tokens a minute"):
        await story.asks()
    story.clock.now += 130
    story.backend.uses = Usage(input=1, output=1)
    await story.asks()
    assert await story.counted(f"tokens/{int(story.clock.now // 60)}") == 2


async def test_a_request_that_is_too_large_is_told_so() -> None:
    """Waiting would not help: clients are told not to try again."""
    story = Story(key(tokens_per_minute=100))
    with pytest.raises(RateLimitError, match="are more than the 100 a minute") as caught:
        await story.asks(words="word " * 200)
    assert (caught.value.headers["x-should-retry"], caught.value.retry_after_s) == ("false", None)
    await story.asks()


async def test_long_answers_are_foreseen() -> None:
    """A key whose answers are long cannot send a hundred requests at once, each as small as can be."""
    story = Story(key(tokens_per_minute=1000))
    story.backend.uses = Usage(input=10, output=300)
    await story.asks()
    story.clock.now += 180
    refused: list[str] = []

    async def one() -> None:
        try:
            await story.asks()
        except RateLimitError:
            refused.append("")

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(one)
    assert len(refused) > 75


UNUSED: dict[str, AgentCoreError] = {
    "no room": NotAdmitted("full"),
    "failed": ServerError("x", status=500),
}


@pytest.mark.parametrize("name", UNUSED)
async def test_what_was_not_used_is_given_back(name: str) -> None:
    """A request that found no room has not been; one that failed has used no tokens."""
    story = Story(key(requests_per_minute=5, tokens_per_minute=100))
    story.backend.error = UNUSED[name]
    with pytest.raises(type(UNUSED[name])):
        await story.asks()
    minute = int(START // 60)
    assert await story.counted(f"tokens/{minute}") == 0
    assert await story.counted(f"requests/{minute}") == (0 if name == "no room" else 1)


async def test_who_leaves_pays_for_what_came() -> None:
    """Though nobody counted it: leaving before the end is no way to a free answer."""
    story = Story(key(tokens_per_minute=1000, budget=Budget(day=Decimal(1))))
    await story.asks(leaves=True)
    assert await story.counted(f"tokens/{int(START // 60)}") > 100
    assert await story.counted("cost") > 1_000_000  # 100 tokens at ten dollars a million, in billionths


class Together:
    """Events that come several at a time."""

    def __init__(self) -> None:
        self.events: list[ResponseEvent] = [OutputTextDelta(0, "x" * 100) for _ in range(4)]

    def __aiter__(self) -> Together:
        return self

    async def __anext__(self) -> ResponseEvent:
        if not self.events:
            raise StopAsyncIteration
        return self.events.pop()

    def ready(self) -> list[ResponseEvent]:
        more, self.events = self.events, []
        return more


async def test_what_comes_together_is_counted_and_stays_so() -> None:
    """Metering an answer does not take it apart."""
    passing = Passing(Together())
    assert isinstance(passing, ReadAhead)
    await anext(passing)
    assert (len(passing.ready()), passing.chars) == (3, 400)


async def test_a_budget_is_spent() -> None:
    """T-Q6, X-S0-12: every call of the request is paid for; it is there again when its day is over."""
    story = Story(key(budget=Budget(day=Decimal("0.3"))))
    story.backend.uses, story.backend.calls = Usage(input=30_000, output=3_000), 3
    await story.asks()
    await story.asks()
    with pytest.raises(QuotaExceededError, match=r"has spent its budget of 0\.3 USD a day") as caught:
        await story.asks()
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (429, "budget_exceeded", 43200)
    assert await story.counted("cost") == 360_000_000
    story.clock.now += 43200
    await story.asks()


async def test_the_longest_budget_is_named() -> None:
    """A total never comes back; a month ends with it."""
    story = Story(key(budget=Budget(day=Decimal(0), month=Decimal(0))))
    with pytest.raises(QuotaExceededError, match="a month; it is there again in 907200 s"):
        await story.asks()
    story = Story(key(budget=Budget(day=Decimal(0), total=Decimal(0))))
    with pytest.raises(QuotaExceededError, match=r"in all$") as caught:
        await story.asks()
    assert (caught.value.retry_after_s, caught.value.headers["x-should-retry"]) == (None, "false")


async def test_levels_of_a_budget_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """S0-47: at 80, 95 and 100 per cent, whoever passes them."""
    story = Story(key(budget=Budget(total=Decimal(1))))
    story.backend.uses = Usage(input=49_000)
    for _ in range(21):
        await story.asks()
    records = [record.__dict__ for record in caplog.records if record.levelno == logging.WARNING]
    assert [(record["percent"], record["period"]) for record in records] == [
        (80, "total"),
        (95, "total"),
        (100, "total"),
    ]


async def test_what_has_no_price_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """A budget cannot count it; that it was used is known."""
    story = Story(key(budget=Budget(total=Decimal(1))))
    story.backend.model = "lab/unknown"
    for _ in range(2):
        await story.asks()
    assert [record.__dict__["model"] for record in caplog.records] == ["lab/unknown"]
    assert (await story.counted("unpriced"), await story.counted("cost"), await story.counted("input")) == (2, 0, 20)


async def test_a_model_that_is_not_for_the_key() -> None:
    """S0-7: 403, named, before anything is counted or asked."""
    story = Story(key(models=("a", "b*"), requests_per_minute=1))
    for _ in range(2):
        with pytest.raises(PermissionDeniedError, match="'c'") as caught:
            await story.asks("c")
        assert (caught.value.status, story.backend.asked) == (403, 0)
    await story.asks("bb")


async def test_what_is_spent_outlives_the_process(tmp_path: Path) -> None:
    """A gateway that is started again does not begin anew."""
    for expected in (None, QuotaExceededError):
        async with SqliteLedger(tmp_path / "used.sqlite") as ledger:
            story = Story(key(budget=Budget(total=Decimal("0.01"))), ledger)
            story.backend.uses = Usage(output=1000)
            if expected is None:
                await story.asks()
            else:
                with pytest.raises(expected):
                    await story.asks()


class Broken(MemoryLedger):
    async def add(self, steps: object) -> dict[str, int]:
        raise ServerError("no", status=503)


async def test_what_cannot_be_counted_is_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    """With limits; without, it is answered, and the log says what was lost."""
    story = Story(key(requests_per_minute=1), Broken())
    with pytest.raises(ServerError):
        await story.asks()
    story = Story(key(), Broken())
    await story.asks()
    assert [record.__dict__["event"] for record in caplog.records] == ["usage_lost"]


async def test_the_tighter_limit_is_told() -> None:
    """Of the key's own and the backend's, by kind."""
    story = Story(key(requests_per_minute=10))
    backend = (RateLimitWindow("requests", 1000, 3, 9), RateLimitWindow("tokens", 50, 5, 9))
    story.backend.limits = RateLimits(backend)
    assert await story.asks() == RateLimits(backend)
    story.backend.limits = RateLimits((RateLimitWindow("requests", 1000, 999, 9), backend[1]))
    assert await story.asks() == RateLimits((RateLimitWindow("requests", 10, 8, 120), backend[1]))
    assert tighter(None, None) is None


@given(previous=st.integers(0, 50), current=st.integers(0, 50), elapsed=st.integers(0, 59), limit=st.integers(0, 60))
def test_after_the_wait_there_is_room(previous: int, current: int, elapsed: int, limit: int) -> None:
    """Not before it, and not much later."""
    window = Window(previous, current, elapsed)
    wait_s = window.wait_s(limit)
    assert 0 <= wait_s <= window.reset_s
    later = elapsed + wait_s
    at = Window(previous, current, later) if later <= 60 else Window(current, 0, later - 60)
    assert at.used <= limit + 1e-9
    assert wait_s == 0 or at.used == pytest.approx(limit)
