"""The cells of the fault matrix, and how one is lived through: an Agent against a FaultServer, on real sockets.

The model thinks, speaks and calls a tool; that answer is struck, once. Then it says what the tool said. How the turn
ends is a few words; everything else that has to hold, whatever the fault, is asserted here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate

import anyio

from agent_core import Agent, Prompt, Session, tool
from agent_core.codecs import WIRES
from agent_core.errors import ModelError, TransportError, TransportTimeout
from agent_core.events import Response
from agent_core.items import FunctionCallOutput, Message, Reasoning, ResponseItem, WireName, text_of
from agent_core.retry import RetryPolicy
from agent_core.testing import Call, Fault, FaultServer, Phase, Step, phases_of, turn_items
from agent_core.transport import Timeouts
from agent_core.turn_events import RetryScheduled, SampleRestarted

__all__ = ["Cell", "all_cells", "live", "live_all"]

THOUGHT = "First I think about it for a while."
TEXT = "Let me look at the weather."
ARGUMENTS = {"city": "Paris", "unit": "celsius"}
SAID = "It is sunny in Paris."
ASKED, AGAIN = "How is the weather?", "And now?"

HANG_S = 30.0
"""How long after its timers a cell has hung, on a machine that does other things too. `matrix` allows one second."""
NEVER = RetryPolicy(max_attempts=1, max_restarts=0)
PATIENT = Timeouts(grace_s=0.2)
"""Where nothing is silent, no timer is to run out, however slow the machine."""
IMPATIENT = Timeouts(first_event_s=1.5, idle_s=1.2, total_s=3.6, grace_s=0.2)

ANSWER, AS_SENT, TOLD = "answer", "answer as sent", "the model is told"
RETRIED, RESTARTED = "tried again", "sampled again"

BEFORE: tuple[Phase, ...] = ("before_headers", "before_event")
PARTIAL: Mapping[Phase, tuple[str, ...]] = {
    "reasoning": ("reasoning",),
    "text": ("reasoning", "message"),
    "arguments": ("reasoning", "message", "function_call"),
    "finish": ("reasoning", "message", "function_call"),
}
"""What has come when a fault strikes, at least the beginning of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A fault by the name it has in the docs, and what its server and client are set to."""

    fault: Fault
    timeouts: Timeouts = PATIENT
    base_delay_s: float = 0.01


def _status(status: int, **headers: str) -> Row:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Row(Fault("status", status=status, headers=named, message="no"))


ROWS: Mapping[str, Row] = {
    "the body ends too early": Row(Fault("eof")),
    "closed in the middle": Row(Fault("truncate")),
    "reset": Row(Fault("reset")),
    "refused": Row(Fault("refused", lasts_s=2.0), base_delay_s=0.8),
    "silence": Row(Fault("stall"), IMPATIENT),
    "silence that passes": Row(Fault("stall", lasts_s=0.1)),
    "nothing but keep-alives": Row(Fault("keep_alive", every_s=0.05), IMPATIENT),
    "keep-alives, then the rest": Row(Fault("keep_alive", every_s=0.02, lasts_s=0.1)),
    "a byte now and then": Row(Fault("drip", every_s=0.12), IMPATIENT),
    "single bytes": Row(Fault("split")),
    "400": _status(400),
    "429": _status(429),
    "429, retry-after 0.2": _status(429, retry_after="0.2"),
    "429, retry-after-ms 150": _status(429, retry_after_ms="150"),
    "429, retry-after a date": _status(429, retry_after=formatdate(time.time(), usegmt=True)),
    "429, retry-after in words": _status(429, retry_after="soon"),
    "429, retry-after a day": _status(429, retry_after="86400"),
    "500": _status(500),
    "503, retry-after 0.1": _status(503, retry_after="0.1"),
    "529": _status(529),
    "an overload inside the 200": Row(Fault("error", status=529, message="no")),
    "a refusal inside the 200": Row(Fault("error", status=400, message="no")),
    "an error instead of a stream": Row(Fault("error_body", status=529, message="no")),
    "a web page": Row(Fault("html")),
    "an event that is no UTF-8": Row(Fault("not_utf8")),
    "half an event": Row(Fault("torn")),
    "an event without end": Row(Fault("long_event", size_bytes=40 * 1024 * 1024)),
    "a gzip bomb": Row(Fault("gzip_bomb", size_bytes=256 * 1024 * 1024)),
    "an event twice": Row(Fault("duplicate")),
    "events swapped": Row(Fault("reorder")),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault, in one phase, on one wire, with retries or without."""

    name: str
    phase: Phase
    wire: WireName
    retry: bool

    def __str__(self) -> str:
        return f"{self.name} · {self.phase} · {self.wire} · retries {'on' if self.retry else 'off'}"


WARM_UP = Cell("reset", "end", "chat", False)
"""What is imported and looked up at the first request is not a fault's doing."""


def all_cells() -> Iterator[Cell]:
    for name, row in ROWS.items():
        for phase in phases_of(row.fault.kind):
            yield from (Cell(name, phase, wire, retry) for wire in WIRES for retry in (False, True))


async def live_all(cells: Sequence[Cell], *, at_once: int, slack_s: float = HANG_S) -> dict[Cell, str]:
    """Each cell's outcome, so many at a time on one event loop; the first thing that must not be is raised."""
    outcomes: dict[Cell, str] = {}
    limiter = anyio.CapacityLimiter(at_once)

    async def one(cell: Cell) -> None:
        async with limiter:
            outcomes[cell] = await live(cell, slack_s)

    await live(WARM_UP, slack_s)
    async with anyio.create_task_group() as tasks:
        for cell in cells:
            tasks.start_soon(one, cell)
    return outcomes


@dataclass(slots=True)
class Lived:
    """What was seen of a turn."""

    scheduled: list[RetryScheduled] = field(default_factory=list[RetryScheduled])
    restarted: list[SampleRestarted] = field(default_factory=list[SampleRestarted])
    ran: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    error: ModelError | None = None
    elapsed_s: float = 0.0


async def live(cell: Cell, slack_s: float) -> str:
    """Two turns: the one that is struck, and another, which goes on from whatever is left of it. Raises AssertionError,
    which names the cell, for anything that must not be."""
    row = ROWS[cell.name]
    fault = replace(row.fault, phase=cell.phase)
    lived, after = Lived(), Lived()
    with FaultServer(script, [fault]) as server:
        agent = agent_of(server, cell, lived)
        await watch(agent, ASKED, lived)
        outcome = outcome_of(agent.session.items, lived)
        check(cell, agent.session.items, lived, slack_s)
        assert server.struck or fault.kind == "refused", f"{cell}: never struck"
        await watch(agent_of(server, replace(cell, retry=True), after, session=agent.session), AGAIN, after)
        assert (after.error, after.ran, texts(agent.session.items)[-1]) == (None, [ARGUMENTS], SAID), f"{cell}: {after}"
    return outcome


def script(prompt: Prompt) -> Step:
    """A call, and when it is answered, what came of it."""
    if any(isinstance(item, FunctionCallOutput) for item in turn_items(prompt)):
        return Step(text=SAID)
    return Step(reasoning=THOUGHT, text=TEXT, calls=(Call("weather", ARGUMENTS),))


def agent_of(server: FaultServer, cell: Cell, lived: Lived, *, session: Session | None = None) -> Agent:
    @tool
    def weather(city: str, unit: str) -> str:
        """The weather of a city."""
        lived.ran.append({"city": city, "unit": unit})
        return "sunny"

    row = ROWS[cell.name]
    return Agent(
        server.model,
        provider=server.provider,
        wire=cell.wire,
        tools=[weather],
        session=session,
        timeouts=row.timeouts,
        retry=RetryPolicy(base_delay_s=row.base_delay_s, jitter_s=0) if cell.retry else NEVER,
    )


async def watch(agent: Agent, text: str, lived: Lived) -> None:
    started = time.perf_counter()
    try:
        async with agent.stream(text) as turn:
            async for event in turn:
                if isinstance(event, RetryScheduled) and event.will_retry and event.stage == "request":
                    lived.scheduled.append(event)
                elif isinstance(event, SampleRestarted):
                    lived.restarted.append(event)
    except ModelError as error:
        lived.error = error
    lived.elapsed_s = time.perf_counter() - started


def outcome_of(items: Sequence[ResponseItem], lived: Lived) -> str:
    """How it ended, in words; with what was done about it before, if anything was."""
    said = texts(items), [item.text for item in items if isinstance(item, Reasoning)], lived.ran
    if lived.error is not None:
        end = named(lived.error)
    elif said == ([ASKED, TEXT, SAID], [THOUGHT], [ARGUMENTS]):
        end = ANSWER
    elif not lived.ran:
        end = TOLD
    else:
        end = AS_SENT
    done = [RETRIED] * bool(lived.scheduled) + [RESTARTED] * bool(lived.restarted)
    return ", ".join([*done, end])


def named(error: ModelError) -> str:
    match error:
        case TransportTimeout():
            return f"TransportTimeout ({error.timeout})"
        case TransportError():
            return f"TransportError ({error.kind})"
        case _:
            return type(error).__name__


def texts(items: Sequence[ResponseItem]) -> list[str]:
    return [text_of(item) for item in items if isinstance(item, Message)]


def check(cell: Cell, items: Sequence[ResponseItem], lived: Lived, slack_s: float) -> None:
    """What holds in every cell, whatever came of it."""
    error = lived.error
    struck_late = cell.phase not in BEFORE
    assert lived.ran in ([], [ARGUMENTS]), f"{cell}: tools ran {lived.ran}"
    assert cell.retry or not (lived.scheduled or lived.restarted), f"{cell}: tried again"
    assert not (lived.scheduled and struck_late) and not (lived.restarted and not struck_late), f"{cell}: {lived}"
    if error is not None:
        assert error.remedy and error.output_emitted == struck_late, f"{cell}: {error!r}"
        assert texts(items) == [ASKED] and len(items) == 1, f"{cell}: half an answer was kept: {items}"
    failures = [one.error for one in lived.scheduled] + [one.error for one in lived.restarted]
    failures += [] if error is None else [error]
    for broken in failures if struck_late else ():
        partial = broken.partial or Response()
        had = tuple(item.type for item in partial.items)
        ours = set(partial.text.split()) <= set(TEXT.split())
        assert had == PARTIAL[cell.phase] and ours, f"{cell}: {partial} was kept"
    timers_s = sum(one.after_s for one in failures if isinstance(one, TransportTimeout))
    waits_s = sum(one.delay_s for one in lived.scheduled) + sum(one.delay_s for one in lived.restarted)
    if ROWS[cell.name].timeouts is IMPATIENT:
        assert lived.elapsed_s <= timers_s + waits_s + slack_s, f"{cell}: took {lived.elapsed_s:.2f} s"
