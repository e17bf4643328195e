"""The limiter, in virtual time: who goes when, and that nobody is lost, overtaken or woken for nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import pytest
from anyio.abc import TaskGroup

from agent_core.errors import ConfigError, NotAdmitted, OverloadedError, RateLimitError
from agent_core.events import RateLimits, RateLimitWindow, Usage
from agent_core.items import FunctionCallOutput, InputImage, InputText, Message, ResponseItem, user_message
from agent_core.limiter import RateLimiter, request_tokens
from agent_core.prompt import Prompt

from ..virtual_time import anyio_backend

__all__ = ["anyio_backend"]

pytestmark = pytest.mark.anyio


@dataclass
class Line:
    """Requests that come, wait, take their time, and go; `went` is (name, when it was let through)."""

    limiter: RateLimiter
    came: list[int] = field(default_factory=list[int])
    went: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    lost: list[int] = field(default_factory=list[int])
    most: int = 0

    async def request(self, name: int, tokens: int = 0, takes_s: float = 0.0, used: int | None = None) -> None:
        self.came.append(name)  # trio starts tasks in an order of its own
        try:
            async with self.limiter.admit(tokens) as place:
                self.went.append((name, round(anyio.current_time(), 6)))
                self.most = max(self.most, self.limiter.in_flight)
                await anyio.sleep(takes_s)
                if used is not None:
                    self.limiter.used(place, Usage(input=used))
        except NotAdmitted:
            self.lost.append(name)

    async def come(self, tasks: TaskGroup, count: int, **request: float) -> None:
        """`count` requests, one after the other, at one moment."""
        for name in range(count):
            tasks.start_soon(lambda name=name: self.request(name, **request))  # type: ignore[misc,arg-type]
        await anyio.lowlevel.checkpoint()


async def run(line: Line, count: int, **request: float) -> list[float]:
    """When each of `count` requests that come at once went, from the start; the line is empty afterwards."""
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        await line.come(tasks, count, **request)
    assert (line.limiter.in_flight, line.limiter.waiting) == (0, 0)
    return [round(when - began, 3) for _, when in line.went]


async def test_so_many_requests_in_any_minute() -> None:
    """Three a minute: the fourth goes when the first is a minute old, in the order they came."""
    line = Line(RateLimiter(requests_per_minute=3))
    assert await run(line, 7) == [0, 0, 0, 60, 60, 60, 120]
    assert [name for name, _ in line.went] == line.came


async def test_any_minute_not_one_of_the_clock() -> None:
    """Requests at 0, 40 and 50 s: what comes at 55 s waits for the first to be a minute old, not for a full minute."""
    line = Line(RateLimiter(requests_per_minute=3))
    for at, name in ((0, 0), (40, 1), (10, 2), (5, 3), (0, 4)):
        await anyio.sleep(at)
        await line.request(name)
    assert [when - line.went[0][1] for _, when in line.went] == [0, 40, 50, 60, 100]


async def test_so_many_at_once() -> None:
    """Two in flight: a place is handed on the moment it is given back."""
    line = Line(RateLimiter(max_in_flight=2))
    assert await run(line, 5, takes_s=10) == [0, 0, 10, 10, 20]
    assert line.most == 2


async def test_so_many_tokens_in_any_minute() -> None:
    """Of requests of 400 tokens two fit into 1,000; one larger than the whole minute goes when nothing else did."""
    line = Line(RateLimiter(tokens_per_minute=1000))
    assert await run(line, 3, tokens=400) == [0, 0, 60]
    line.went.clear()
    await anyio.sleep(60)
    assert await run(line, 2, tokens=5000) == [0, 60]


async def test_estimates_are_corrected_by_what_was_used() -> None:
    """An answer that took less makes room at once, one that took more keeps others waiting, and estimates learn."""
    line = Line(RateLimiter(tokens_per_minute=1000))
    assert await run(line, 2, tokens=600, takes_s=5, used=100) == [0, 5]
    line = Line(RateLimiter(tokens_per_minute=1000))
    assert await run(line, 3, tokens=300, takes_s=5, used=900) == [0, 0, 0]
    assert await run(line, 1, tokens=100) == [-5, -5, -5, 55]
    async with line.limiter.admit(100) as place:
        assert place.tokens == 198  # of each three answers three times the estimate: 1 → 1.4 → 1.72 → 1.976


async def test_what_caches_served_may_not_count() -> None:
    """`count_cache_reads=False` (Anthropic, Groq): only what was read for the first time."""
    limiter = RateLimiter(tokens_per_minute=1000, count_cache_reads=False, max_wait_s=0)
    async with limiter.admit(900) as place:
        limiter.used(place, Usage(input=50, cache_read=850))
    async with limiter.admit(800):
        pass


async def test_a_large_one_is_not_overtaken() -> None:
    """First come, first served: small requests behind a large one wait with it."""
    line = Line(RateLimiter(tokens_per_minute=1000))
    async with anyio.create_task_group() as tasks:
        for name, tokens in ((0, 500), (1, 900), (2, 10)):
            tasks.start_soon(line.request, name, tokens)
            await anyio.lowlevel.checkpoint()
    assert [(name, round(when - line.went[0][1])) for name, when in line.went] == [(0, 0), (1, 60), (2, 60)]


async def test_the_line_has_an_end() -> None:
    """After `max_wait_s` it is over, with an error of its own that says what was in the way."""
    limiter = RateLimiter(requests_per_minute=1, max_wait_s=10)
    async with limiter.admit():
        began = anyio.current_time()
        with pytest.raises(NotAdmitted) as caught:
            async with limiter.admit():
                raise AssertionError("not reached")
    assert anyio.current_time() - began == pytest.approx(10)
    assert caught.value.message == "not admitted within 10 s: 1 went in the last minute, and nobody else waits"
    assert caught.value.retry_after_s == pytest.approx(50, abs=11)
    assert (limiter.waiting, limiter.in_flight) == (0, 0)


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_cancelled_waiter_gives_its_place_back(place: int) -> None:
    """Whether it is the first, in the middle or the last in line: the others go on as if it had never come."""
    line = Line(RateLimiter(max_in_flight=1))
    scopes = [anyio.CancelScope() for _ in range(3)]

    async def one(name: int) -> None:
        with scopes[name]:
            await line.request(name, 0, 10)

    async with anyio.create_task_group() as tasks, line.limiter.admit():
        for name in range(3):
            tasks.start_soon(one, name)
            await anyio.lowlevel.checkpoint()
        await anyio.sleep(1)
        scopes[place].cancel()
        await anyio.sleep(1)
        assert line.limiter.waiting == 2
    assert [name for name, _ in line.went] == [name for name in range(3) if name != place]
    assert (line.limiter.in_flight, line.limiter.waiting) == (0, 0)


SAID: dict[str, tuple[Callable[[RateLimiter], None], float]] = {
    "nothing left": (
        lambda limiter: limiter.heard(RateLimits((RateLimitWindow("requests", 5, 0, 7),))), 7,
    ),
    "one left, and one goes": (
        lambda limiter: limiter.heard(RateLimits((RateLimitWindow("requests-day", 5, 1, 7),))), 0,
    ),
    "too few tokens": (
        lambda limiter: limiter.heard(RateLimits((RateLimitWindow("input-tokens", 99, 49, 7),))), 7,
    ),
    "enough tokens": (
        lambda limiter: limiter.heard(RateLimits((RateLimitWindow("tokens", 99, 50, 7),))), 0,
    ),
    "nothing left for an hour is tried sooner": (
        lambda limiter: limiter.heard(RateLimits((RateLimitWindow("requests", 5, 0, 3600),))), 60,
    ),
    "a window of another kind": (
        lambda limiter: limiter.heard(RateLimits((RateLimitWindow("input-images", 5, 0, 7),))), 0,
    ),
    "no word on when": (
        lambda limiter: limiter.heard(RateLimits((RateLimitWindow("requests", 5, 0),))), 0,
    ),
    "a 429 that asks for a wait": (lambda limiter: limiter.refused(RateLimitError("x", retry_after_s=90)), 90),
    "a 429 that does not": (lambda limiter: limiter.refused(RateLimitError("x")), 0),
    "another error's wait is its own": (lambda limiter: limiter.refused(OverloadedError("x", retry_after_s=9)), 0),
}  # fmt: skip


@pytest.mark.parametrize("adapt", [True, False])
@pytest.mark.parametrize("name", SAID)
async def test_what_the_server_says_holds_everybody(name: str, adapt: bool) -> None:
    """`adapt`: nobody goes while nothing is left, or while the server asked to wait; switched off, nobody listens."""
    say, waits_s = SAID[name]
    limiter = RateLimiter(adapt=adapt)
    say(limiter)
    began = anyio.current_time()
    async with limiter.admit(50) as place:
        assert anyio.current_time() - began == pytest.approx(waits_s if adapt else 0)
        assert place.waited_s == pytest.approx(waits_s if adapt else 0)


async def test_two_thousand_in_line() -> None:
    """All go, in order, never more than allowed in any minute nor at once."""
    line = Line(RateLimiter(requests_per_minute=500, max_in_flight=40, max_wait_s=None))
    await run(line, 2000, takes_s=3)
    names, times = zip(*line.went, strict=True)
    assert (list(names), line.most) == (line.came, 40)
    assert all(later - earlier >= 60 - 1e-6 for earlier, later in zip(times, times[500:], strict=False))
    assert times[-1] - times[0] == pytest.approx(180 + 36, abs=4)


async def test_thousands_leave_the_line_at_once() -> None:
    """Those that are cancelled and those whose time is up: the line is empty, and nothing is in flight."""
    line = Line(RateLimiter(max_in_flight=1, max_wait_s=30))
    async with line.limiter.admit():
        with anyio.move_on_after(10):
            async with anyio.create_task_group() as tasks:
                await line.come(tasks, 1500)
        assert (line.limiter.waiting, line.went, line.lost) == (0, [], [])
        async with anyio.create_task_group() as tasks:
            await line.come(tasks, 1500)
    assert len(line.lost) == 1500
    assert (line.limiter.in_flight, line.limiter.waiting) == (0, 0)


@pytest.mark.parametrize(
    ("option", "value"),
    [("requests_per_minute", 0), ("tokens_per_minute", 1.5), ("max_in_flight", True), ("max_wait_s", -1.0),
     ("max_wait_s", "3"), ("requests_per_minute", "3")],
)  # fmt: skip
async def test_limits_that_make_no_sense(option: str, value: object) -> None:
    """Refused when the limiter is made, naming the option."""
    with pytest.raises(ConfigError, match=option):
        RateLimiter(**{option: value})  # type: ignore[arg-type]  # wrong on purpose


async def test_what_a_request_takes() -> None:
    """Four bytes a token; a picture is not counted by the bytes of its data, wherever it stands."""
    picture = InputImage(image_url="data:image/png;base64," + "A" * 40_000)
    items: list[ResponseItem] = [
        user_message("x" * 400),
        Message(role="user", content=(InputText(text="see"), picture)),
        FunctionCallOutput(call_id="c", output=(picture,)),
        FunctionCallOutput(call_id="d", output="text"),
    ]
    body = b"x" * (2 * len(picture.image_url or "") + 800)
    assert request_tokens(Prompt(items), body) == 200 + 2 * 1844
