"""What a key may use: models, requests and tokens a minute, money.

    before   what a request will take is added to what the key has used; if that is too much, it is taken back and the
             request is refused
    after    the estimate is put right by what backends counted, and what it cost is added

Nobody can take the same rest twice, in one process or in several; a budget can be passed by what is under way.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from math import ceil
from typing import ClassVar, Literal

import anyio

from ..codecs.rate_limits import encode_rate_limits
from ..errors import AgentCoreError, ModelError, NotAdmitted, QuotaExceededError, RateLimitError
from ..events import (
    OutputTextDelta,
    RateLimits,
    RateLimitWindow,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    RefusalDelta,
    ResponseEvent,
    ToolCallInputDelta,
    Usage,
)
from ..logs import budget_used, price_unknown, usage_lost
from .access import Access
from .asking import Answer, Answerer, Ask, Billed, Place, ReadAhead, Service, cost_of_all
from .estimate import BYTES_PER_TOKEN, estimated_tokens
from .keys import Key
from .ledger import Step
from .shaping import RETRY_HEADER
from .usage import KEPT_S, Spent, Window, billionths, cost_steps, minute_of, money, period_counters, spent

__all__ = ["KeyLimits", "Passing", "tighter"]

LEVELS = (100, 95, 80)
"""Per cent of a budget at which a log is told."""
SETTLE_S = 5.0
"""What writing down may take when the request is over, also one whose client left."""

_LEARNS = 0.2  # how much of a new answer's length goes into what the next is expected to take
_DELTAS = (OutputTextDelta, ReasoningContentDelta, ReasoningSummaryDelta, RefusalDelta, ToolCallInputDelta)

_End = Literal["over", "left", "not_admitted"]


class KeyLimits(Service):
    """Holds every caller to what its key may use, and writes down what it used.

    A model that is not for the key: PermissionDeniedError (403). Too much in the last minute: RateLimitError (429) with
    the time to wait. More than the key may take in a minute at once, or a budget that is spent: an error that says to
    clients that trying again is no use.
    """

    place: ClassVar[Place] = Place.LIMITS

    def __init__(self, access: Access) -> None:
        self._access = access
        self._usual_output: dict[str, float] = {}
        self._unpriced: set[tuple[str, str]] = set()

    def around(self, inner: Answerer) -> Answerer:
        return _Limited(self, inner)

    def tab(self, ask: Ask) -> _Tab | None:
        """Raises PermissionDeniedError. None for a caller without a key."""
        self._access.check_model(ask.caller, ask.prompt.model)
        key = self._access.keys.get(ask.caller.name)
        return None if key is None else _Tab(self._access, key, ask, round(self._usual_output.get(key.name, 0.0)))

    def learn(self, key: Key, entries: Sequence[Billed]) -> None:
        """How long this key's answers are, and what of them has no price."""
        for billed in entries:
            usual = self._usual_output.get(key.name, 0.0)
            self._usual_output[key.name] = usual + _LEARNS * (billed.usage.output_total - usual)
            if key.budget and _unknown(billed, key) and (key.name, billed.model) not in self._unpriced:
                self._unpriced.add((key.name, billed.model))
                price_unknown(key.name, billed.model)


class _Limited:
    def __init__(self, limits: KeyLimits, inner: Answerer) -> None:
        self._limits = limits
        self._inner = inner

    @asynccontextmanager
    async def answer(self, ask: Ask) -> AsyncGenerator[Answer]:
        tab = self._limits.tab(ask)
        if tab is None:
            async with self._inner.answer(ask) as answer:
                yield answer
            return
        own = await tab.open()
        end: _End = "left"
        try:
            async with self._inner.answer(ask) as answer:
                yield replace(answer, events=tab.counted(answer), limits=tighter(own, answer.limits))
            end = "over"
        except NotAdmitted:
            end = "over" if ask.bill.entries else "not_admitted"
            raise
        except AgentCoreError:
            end = "over"
            raise
        finally:
            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + SETTLE_S):
                await tab.close(end, self._limits)


class Passing:
    """Events that pass, and how many characters they add."""

    def __init__(self, events: AsyncIterator[ResponseEvent]) -> None:
        self._events = events
        self._ready = events.ready if isinstance(events, ReadAhead) else tuple[ResponseEvent, ...]
        self.chars = 0

    def __aiter__(self) -> Passing:
        return self

    async def __anext__(self) -> ResponseEvent:
        event = await anext(self._events)
        self._count(event)
        return event

    def ready(self) -> Sequence[ResponseEvent]:
        """See ReadAhead."""
        more = self._ready()
        for event in more:
            self._count(event)
        return more

    def _count(self, event: ResponseEvent) -> None:
        if isinstance(event, _DELTAS):
            self.chars += len(event.delta)


class _Tab:
    """What one request takes: an estimate, then the truth."""

    def __init__(self, access: Access, key: Key, ask: Ask, usual_output: int) -> None:
        self._ledger = access.ledger
        self._clock = access.clock
        self._key = key
        self._bill = ask.bill
        self._counts = key.tokens_per_minute is not None or bool(key.budget)
        self._input = estimated_tokens(ask.prompt) if self._counts else 0
        self._estimate = self._input + min(usual_output, ask.prompt.max_output_tokens or usual_output)
        if key.tokens_per_minute is not None:  # long answers do not make a short request too large
            self._estimate = max(self._input, min(self._estimate, key.tokens_per_minute))
        self._taken: dict[str, Step] = {}
        self._tokens_counter = ""
        self._model = ""
        self._passing: Passing | None = None

    async def open(self) -> RateLimits | None:
        """Take what the request will need. Raises RateLimitError or QuotaExceededError, and has taken nothing then."""
        key, now = self._key, self._clock()
        minute, elapsed_s = minute_of(now)
        asked = {"requests": (key.requests_per_minute, 1), "tokens": (key.tokens_per_minute, self._estimate)}
        limited = {what: (limit, by) for what, (limit, by) in asked.items() if limit is not None}
        steps: dict[str, Step] = {}
        for what, (_, by) in limited.items():
            steps[f"{key.name}/{what}/{minute - 1}"] = Step(0)
            steps[f"{key.name}/{what}/{minute}"] = Step(by, KEPT_S["minute"])
        self._taken = {name: step for name, step in steps.items() if step.by}
        self._tokens_counter = f"{key.name}/tokens/{minute}"
        if key.budget:
            steps |= {counter: Step(0) for counter in period_counters(key.name, now).values()}
        if not steps:
            return None
        sums = await self._ledger.add(steps)
        windows = {
            what: Window(sums[f"{key.name}/{what}/{minute - 1}"], sums[f"{key.name}/{what}/{minute}"], elapsed_s)
            for what in limited
        }
        refusal = (_overspent(key, list(spent(key, sums, now))) if key.budget else None) or _too_much(
            key, windows, limited
        )
        if refusal is not None:
            await self._give_back()
            raise refusal
        return _said({what: (window, limited[what][0]) for what, window in windows.items()})

    def counted(self, answer: Answer) -> AsyncIterator[ResponseEvent]:
        """The answer's events; where it matters, what passes is counted, for a client that leaves before its end."""
        self._model = answer.model
        if not self._counts:
            return answer.events
        self._passing = Passing(answer.events)
        return self._passing

    async def close(self, end: _End, limits: KeyLimits) -> None:
        """Put the estimate right. Never raises: a request is not failed because it could not be written down."""
        try:
            if end == "not_admitted":
                await self._give_back()
                return
            entries = self._entries(left=end == "left")
            limits.learn(self._key, entries)
            await self._settle(entries, self._used(entries, left=end == "left"))
        except ModelError:
            usage_lost(self._key.name)

    def _entries(self, *, left: bool) -> list[Billed]:
        """The bill; of an answer that was left before it was counted, an estimate."""
        if left and self._model and not self._bill.entries:
            return [self._bill.priced(self._model, Usage(input=self._input, output=self._streamed()))]
        return self._bill.entries

    def _streamed(self) -> int:
        return 0 if self._passing is None else ceil(self._passing.chars / BYTES_PER_TOKEN)

    def _used(self, entries: Sequence[Billed], *, left: bool) -> int:
        counted = sum(billed.usage.total for billed in entries)
        return max(counted, self._input + self._streamed()) if left else counted

    async def _settle(self, entries: Sequence[Billed], tokens: int) -> None:
        key, now = self._key, self._clock()
        cost = cost_of_all([billed for billed in entries if not _unknown(billed, key)])
        by = 0 if cost is None else billionths(cost)
        steps = {
            **cost_steps(key.name, by, now),
            f"{key.name}/requests": Step(1),
            f"{key.name}/input": Step(sum(billed.usage.input_total for billed in entries)),
            f"{key.name}/output": Step(sum(billed.usage.output_total for billed in entries)),
            f"{key.name}/unpriced": Step(sum(_unknown(billed, key) for billed in entries)),
        }
        if key.tokens_per_minute is not None and (more := tokens - self._estimate):
            # What was not foreseen counts from now on; what was not needed counts no more, where it was taken.
            counter = f"{key.name}/tokens/{minute_of(now)[0]}" if more > 0 else self._tokens_counter
            steps[counter] = Step(more, KEPT_S["minute"])
        sums = await self._ledger.add(steps)
        for period in spent(key, sums, now):
            _tell(key, period, period.amount - money(by))

    async def _give_back(self) -> None:
        if self._taken:
            await self._ledger.add({name: Step(-step.by, step.keep_s) for name, step in self._taken.items()})


def tighter(own: RateLimits | None, theirs: RateLimits | None) -> RateLimits | None:
    """Of two limits of one kind, the one of which less is left."""
    if own is None or theirs is None:
        return own or theirs
    windows = {window.kind: window for window in theirs.windows}
    for window in own.windows:
        other = windows.get(window.kind)
        if other is None or other.remaining is None or (window.remaining or 0) <= other.remaining:
            windows[window.kind] = window
    return RateLimits(tuple(windows.values()))


def _too_much(key: Key, windows: dict[str, Window], limited: dict[str, tuple[int, int]]) -> RateLimitError | None:
    """The request is in the windows already."""
    before = {what: Window(w.previous, w.current - limited[what][1], w.elapsed_s) for what, w in windows.items()}
    said = _said({what: (window, limited[what][0]) for what, window in before.items()})
    for what, (limit, by) in limited.items():
        if by > limit:
            message = f"about {by} {what} are more than the {limit} a minute of the key {key.name!r}"
            return _limited(message, said, wait_s=None)
        if windows[what].used > limit:
            message = f"the key {key.name!r} has used its {limit} {what} a minute"
            return _limited(message, said, wait_s=before[what].wait_s(limit - by))
    return None


def _limited(message: str, said: RateLimits | None, *, wait_s: float | None) -> RateLimitError:
    headers = {} if said is None else encode_rate_limits(said, "chat", now=time.time())
    if wait_s is None:
        headers[RETRY_HEADER] = "false"
    return RateLimitError(
        message,
        status=429,
        code="rate_limit_exceeded",
        retryable=wait_s is not None,
        retry_after_s=wait_s,
        headers=headers,
    )


def _overspent(key: Key, periods: Sequence[Spent]) -> QuotaExceededError | None:
    """The budget that takes longest to be there again."""
    over = [period for period in periods if period.amount >= period.budget]
    if not over:
        return None
    last = over[-1]
    again = "" if last.resets_in_s is None else f"; it is there again in {ceil(last.resets_in_s)} s"
    span = "in all" if last.period == "total" else f"a {last.period}"
    return QuotaExceededError(
        f"the key {key.name!r} has spent its budget of {last.budget} {key.budget.currency} {span}{again}",
        status=429,
        code="budget_exceeded",
        retry_after_s=last.resets_in_s,
        headers={RETRY_HEADER: "false"},
    )


def _said(windows: dict[str, tuple[Window, int]]) -> RateLimits | None:
    said = tuple(
        RateLimitWindow(what, limit, max(0, int(limit - window.used)), window.reset_s)
        for what, (window, limit) in windows.items()
    )
    return RateLimits(said) if said else None


def _tell(key: Key, now: Spent, before: Decimal) -> None:
    """A log, of the highest level that was passed."""
    for level in LEVELS:
        share = now.budget * level / 100
        if before < share <= now.amount:
            budget_used(key.name, now.period, level)
            return


def _unknown(billed: Billed, key: Key) -> bool:
    """Whether a budget cannot count it."""
    return billed.cost is None or billed.cost.at_least or billed.cost.currency != key.budget.currency
