"""Steps with deadlines: the same for a scope each and for one timer that serves them all."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine

import anyio
import anyio.lowlevel
import pytest

from agent_core.deadlines import Deadlines, Kept, OneTimer, RanOut, Scopes

pytestmark = pytest.mark.anyio

SOON, LATE = 0.02, 60.0
KINDS: dict[str, tuple[str, Callable[[], Deadlines]]] = {
    "scopes on trio": ("trio", Scopes),
    "scopes on asyncio": ("asyncio", Scopes),
    "one timer": ("asyncio", lambda: OneTimer(asyncio.get_running_loop())),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def anyio_backend(kind: str) -> str:
    return KINDS[kind][0]


@pytest.fixture
async def steps(kind: str) -> Deadlines:
    return KINDS[kind][1]()


async def at_once() -> str:
    return "value"


async def after(event: anyio.Event) -> str:
    await event.wait()
    return "value"


async def in_a_moment(seconds: float) -> str:
    with anyio.move_on_after(seconds):
        await anyio.sleep_forever()
    return "value"


async def test_which_there_are() -> None:
    """The one timer where there is asyncio."""
    taken = Kept().take()
    assert isinstance(taken, Scopes | OneTimer)
    assert isinstance(taken, OneTimer) == (anyio.get_cancelled_exc_class() is asyncio.CancelledError)


async def test_in_time(steps: Deadlines) -> None:
    """A step that ends before its deadline gives what it gives, or raises what it raises."""
    assert await steps.bounded(at_once(), steps.now() + LATE) == "value"
    assert await steps.bounded(in_a_moment(0.001), math.inf) == "value"
    with pytest.raises(ZeroDivisionError):
        await steps.bounded(failing(), steps.now() + LATE)
    steps.close()


async def failing() -> None:
    await anyio.lowlevel.checkpoint()
    raise ZeroDivisionError


async def test_too_late(steps: Deadlines) -> None:
    """RanOut, and the step is cancelled; the task goes on, and so may other steps."""
    seen: list[BaseException] = []

    async def step() -> None:
        try:
            await anyio.sleep_forever()
        except BaseException as error:
            seen.append(error)
            raise

    for _ in range(2):
        with pytest.raises(RanOut):
            await steps.bounded(step(), steps.now() + SOON)
        await anyio.lowlevel.checkpoint()
    assert [isinstance(error, anyio.get_cancelled_exc_class()) for error in seen] == [True, True]
    assert await steps.bounded(in_a_moment(0.001), steps.now() + LATE) == "value"
    steps.close()


async def test_a_deadline_that_moves(steps: Deadlines) -> None:
    """Later or earlier than the one before: only the step's own counts."""
    assert await steps.bounded(at_once(), steps.now() + SOON) == "value"
    assert await steps.bounded(in_a_moment(3 * SOON), steps.now() + LATE) == "value"
    assert await steps.bounded(at_once(), steps.now() + LATE) == "value"
    with anyio.fail_after(LATE / 2), pytest.raises(RanOut):
        await steps.bounded(anyio.sleep_forever(), steps.now() + SOON)
    steps.close()


async def test_time_between_steps_is_nobodys(steps: Deadlines) -> None:
    """A deadline that passes while nothing is waited for cancels nothing."""
    assert await steps.bounded(at_once(), steps.now() + SOON) == "value"
    assert await in_a_moment(3 * SOON) == "value"
    assert await steps.bounded(in_a_moment(0.001), steps.now() + LATE) == "value"
    steps.close()


@pytest.mark.parametrize("deadline_s", [LATE, SOON])
async def test_whoever_cancels_is_heard(steps: Deadlines, deadline_s: float) -> None:
    """A scope around a step ends it as a cancellation, also when the deadline comes at the same time."""
    with anyio.CancelScope(deadline=anyio.current_time() + SOON) as scope:
        await steps.bounded(anyio.sleep_forever(), steps.now() + (deadline_s if deadline_s > SOON else SOON + 1e-6))
        raise AssertionError("unreachable")
    assert scope.cancelled_caught
    await anyio.lowlevel.checkpoint()
    steps.close()


async def test_a_step_that_ends_all_the_same(steps: Deadlines) -> None:
    """Has ended: its value counts, and nobody is cancelled for it later."""

    async def stubborn() -> str:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            pass
        return "value"

    assert await steps.bounded(stubborn(), steps.now() + SOON) == "value"
    await anyio.lowlevel.checkpoint()
    steps.close()


def test_a_task_that_is_cancelled_from_outside() -> None:
    """asyncio's own `task.cancel()` is no deadline, alone or beside one."""

    async def main() -> None:
        steps = OneTimer(asyncio.get_running_loop())
        for deadline_s in (LATE, 0.0):
            waiting: asyncio.Task[None] = asyncio.create_task(
                steps.bounded(anyio.sleep_forever(), steps.now() + deadline_s)
            )
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert waiting.cancelled()
        steps.close()

    asyncio.run(main())


class TimersSet(asyncio.SelectorEventLoop):
    """A loop that remembers the timers that were set."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[asyncio.TimerHandle] = []

    def call_at(self, when: float, callback: Callable[..., object], *args: object, **kw: object):  # type: ignore[no-untyped-def]
        self.timers.append(super().call_at(when, callback, *args, **kw))  # type: ignore[arg-type]
        return self.timers[-1]


def timers_set(work: Coroutine[object, object, None]) -> list[asyncio.TimerHandle]:
    with asyncio.Runner(loop_factory=TimersSet) as runner:
        runner.run(work)
        loop = runner.get_loop()
    assert isinstance(loop, TimersSet)
    return loop.timers


def test_a_timer_is_not_left_behind() -> None:
    """One is set for all steps, and none is there any more when it is closed."""

    async def main() -> None:
        steps = OneTimer(asyncio.get_running_loop())
        for n in range(100):
            await steps.bounded(asyncio.sleep(0), steps.now() + LATE + n)
        steps.close()

    assert [timer.cancelled() for timer in timers_set(main())] == [True]


def test_calls_in_a_row_share_a_timer() -> None:
    """What one gave back the next one takes, with the timer that was set; when all is over none is left."""

    async def main() -> None:
        kept = Kept()
        for n in range(100):
            steps = kept.take()
            await steps.bounded(asyncio.sleep(0), steps.now() + LATE + n)
            kept.give_back(steps)
        kept.close()

    assert [timer.cancelled() for timer in timers_set(main())] == [True]


def test_nobody_gets_what_is_in_use() -> None:
    """Two calls at once, a call that is waited in though it was given back, and another loop: each has its own."""
    kept, seen = Kept(), list[Deadlines]()

    async def main() -> None:
        seen.extend((kept.take(), kept.take()))
        waiting = asyncio.create_task(seen[0].bounded(asyncio.sleep(LATE), seen[0].now() + LATE))
        await asyncio.sleep(0)
        kept.give_back(seen[0])
        kept.give_back(seen[1])
        assert kept.take() is seen[1]
        kept.give_back(seen[1])
        waiting.cancel()

    asyncio.run(main())
    assert seen[0] is not seen[1]

    async def later() -> None:
        assert kept.take() is not seen[1]

    asyncio.run(later())
