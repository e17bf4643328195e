"""What a run may use, and what it has used."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from .events import Usage
from .items import ResponseItem
from .turn_events import StopReason, TurnResult

__all__ = ["Limits", "RunState"]


class Limits(Struct, frozen=True):
    """Caps on one turn of the user; None is no cap. Counts are checked before each sample, `deadline_s` (wall time)
    holds at every await.

    `max_turns` counts samples, as every peer's option of that name does. `max_tokens` counts everything sent and
    received. `max_restarts` is how often in a row a broken stream is sampled again.
    """

    max_turns: int | None = 50
    max_tool_calls: int | None = None
    max_tokens: int | None = None
    deadline_s: float | None = None
    max_restarts: int = 3


@dataclass(slots=True)
class RunState:
    """What a turn has done so far; readable by its owner at any time, also after a cancel."""

    first_item: int = 0
    text: str = ""
    usage: Usage = field(default_factory=Usage)
    samples: int = 0
    tool_calls: int = 0
    denied: int = 0
    started_at: float = field(default_factory=time.monotonic)

    def spend(self, usage: Usage) -> None:
        """Count what a request took that is no sample: one for a summary."""
        self.usage += usage

    def limit_reached(self, limits: Limits) -> StopReason | None:
        table: tuple[tuple[int | None, int, StopReason], ...] = (
            (limits.max_turns, self.samples, "max_turns"),
            (limits.max_tool_calls, self.tool_calls, "max_tool_calls"),
            (limits.max_tokens, self.usage.total, "max_tokens"),
        )
        return next((reason for cap, used, reason in table if cap is not None and used >= cap), None)

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
        )
