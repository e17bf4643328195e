"""What a run may use, and what it has used."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from .errors import ConfigError
from .events import Attempt, Response, Usage
from .items import ResponseItem
from .paused import PendingCall
from .prices import Cost, Prices, cost_of
from .turn_events import StopReason, TurnResult

if TYPE_CHECKING:
    from .session import Session

__all__ = ["EnclosingRun", "Limits", "RunState", "require_price"]


class Limits(Struct, frozen=True):
    """Caps on one turn of the user; None is no cap. Counts are checked before each request, so the last one may go over
    them by what it uses; `deadline_s` (wall time) holds at every await.

    `max_turns` counts samples, as every peer's option of that name does. `max_calls_per_sample`: calls beyond it are
    answered as not run. `max_repeats`: after so many responses in a row with the calls and results of the one before
    the model is told; one more ends the run. `max_failed`: the same for those of which no call succeeded (see guards).
    `max_tokens` counts everything sent and received, in broken streams and retries too. `max_cost` is in the currency
    of the agent's prices (US dollars where none are given); a model without a price is a ConfigError before anything is
    sent, and an answer that cannot be priced ends the run.
    """

    max_turns: int | None = 50
    max_tool_calls: int | None = None
    max_tokens: int | None = None
    deadline_s: float | None = None
    max_cost: Decimal | float | None = None
    max_calls_per_sample: int | None = 64  # behaviours.md S0-51 has 16; real batches reach 30
    max_repeats: int | None = 4
    max_failed: int | None = 10

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value: object = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not 0 <= value < math.inf:
                raise ConfigError(f"{name} must be a number from 0 up, or None, got {value!r}")


@dataclass(slots=True)
class RunState:
    """What a turn has done so far; readable by its owner at any time, also after a cancel. `final`: how the last answer
    ends the turn, if it does. `around` is the run inside of which it is: what is used here is used there too, and its
    budget holds here."""

    first_item: int = 0
    text: str = ""
    usage: Usage = field(default_factory=Usage)
    samples: int = 0
    tool_calls: int = 0
    denied: int = 0
    pending: tuple[PendingCall, ...] = ()
    final: StopReason | None = None
    started_at: float = field(default_factory=time.monotonic)
    prices: Prices | None = None
    around: EnclosingRun | None = None
    runs_inside: int = 0  # of all depths
    _cost: Cost | None = None
    _unpriced: int = 0  # answers nobody can price: no price, or whole and not counted
    _uncounted: int = 0  # broken answers of which no count came

    @property
    def cost(self) -> Cost | None:
        """What it cost so far; None where no part of it has a known price."""
        if self._cost is None or not (self._unpriced or self._uncounted):
            return self._cost
        return replace(self._cost, at_least=True)

    def answered(self, model: str, response: Response, earlier: Sequence[Attempt] = ()) -> None:
        """Add what a whole answer used, and the attempts before it. `model` is "provider/model" as asked for. Called
        for every answer that came, those of sub-calls too."""
        for attempt in earlier:
            self._add(attempt.model, attempt.response)
        self._add(model, response)
        self._unpriced += response.usage is None
        if self.around is not None:
            self.around.state.answered(model, response, earlier)

    def broke(self, model: str, partial: Response | None, earlier: Sequence[Attempt] = ()) -> None:
        """Add what a broken or stopped answer used, as far as the server had said it by then."""
        for attempt in earlier:
            self._add(attempt.model, attempt.response)
        if partial is not None:
            self._add(model, partial)
            self._uncounted += partial.usage is None and bool(partial.items)
        if self.around is not None:
            self.around.state.broke(model, partial, earlier)

    def _add(self, model: str, response: Response) -> None:
        if response.usage is None:
            return
        self.usage += response.usage
        provider, _, asked = model.partition("/")
        cost = cost_of(self.prices, provider, (response.model, asked), response.usage)
        if cost is None:
            self._unpriced += 1
        else:
            self._cost = cost if self._cost is None else self._cost + cost

    def limit_reached(self, limits: Limits) -> StopReason | None:
        """Why no further request may be made."""
        if limits.max_turns is not None and self.samples >= limits.max_turns:
            return "max_turns"
        if limits.max_tool_calls is not None and self.tool_calls >= limits.max_tool_calls:
            return "max_tool_calls"
        return self.budget_reached(limits)

    def budget_reached(self, limits: Limits) -> StopReason | None:
        """The limits that a broken stream uses up too, those of the runs around this one among them."""
        if self.around is not None and (reached := self.around.budget_reached()) is not None:
            return reached
        if limits.max_tokens is not None and self.usage.total >= limits.max_tokens:
            return "max_tokens"
        if limits.max_cost is None:
            return None
        spent = Decimal(0) if self._cost is None else self._cost.amount
        return "max_cost" if self._unpriced or spent >= Decimal(str(limits.max_cost)) else None

    def result(self, stop_reason: StopReason, items: Sequence[ResponseItem]) -> TurnResult:
        """How the turn ended; `items` is the session's transcript."""
        return TurnResult(
            stop_reason=stop_reason,
            text=self.text,
            items=tuple(items[self.first_item :]),
            usage=self.usage,
            samples=self.samples,
            tool_calls=self.tool_calls,
            denied=self.denied,
            duration_s=time.monotonic() - self.started_at,
            cost=self.cost,
            pending=self.pending,
        )


@dataclass(frozen=True, slots=True)
class EnclosingRun:
    """The run that a tool is called in, as a run inside of that tool has to know it. `depth` is 0 for a turn of the
    user."""

    state: RunState
    limits: Limits
    session: Session

    @property
    def depth(self) -> int:
        return 0 if self.state.around is None else self.state.around.depth + 1

    @property
    def outermost(self) -> RunState:
        return self.state if self.state.around is None else self.state.around.outermost

    def budget_reached(self) -> StopReason | None:
        return self.state.budget_reached(self.limits)


def require_price(prices: Prices | None, model: str, *, charged: bool) -> None:
    """Raise ConfigError where `max_cost` could not be kept: `model` ("provider/model") has no known price, and its
    provider does not say what it charges (`charged`)."""
    provider, _, name = model.partition("/")
    if not charged and cost_of(prices, provider, (name,), Usage(input=1, output=1)) is None:
        raise ConfigError(
            f"max_cost is set, and no price is known for {model!r}",
            remedy=f"pass prices=PriceTable({{{model!r}: Price(input=…, output=…)}}), or limit tokens instead",
        )
