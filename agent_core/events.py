"""Stream events: what a model's answer is, piece by piece, on no wire in particular.

Cheap immutable records (structs in C: one is made per token). One grammar, checked by `codecs.grammar`:

    Created?  RateLimits*  ( OutputItemAdded(i)  delta(i)*  OutputItemDone(i) )*  Completed

Items may interleave; `RateLimits` may come at any point before the end. There is exactly one terminal: `Completed`,
or one raised error; nothing follows it. `index` is the item's place in order of first appearance, from 0, unique within
the stream. `OutputItemDone` always carries the whole item, so a consumer that wants no deltas can drop them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from msgspec import Struct

from .items import (
    CallItem,
    CustomToolCall,
    FunctionCall,
    JsonObject,
    LocalShellCall,
    Message,
    Reasoning,
    Refusal,
    ResponseItem,
    ToolSearchCall,
    text_of,
)

__all__ = [
    "Attempt",
    "Completed",
    "Created",
    "DeltaEvent",
    "FinishReason",
    "ModelUsage",
    "OutputItemAdded",
    "OutputItemDone",
    "OutputTextDelta",
    "RateLimitWindow",
    "RateLimits",
    "ReasoningContentDelta",
    "ReasoningSummaryDelta",
    "ReasoningSummaryPartAdded",
    "RefusalDelta",
    "ReportedUsage",
    "Response",
    "ResponseEvent",
    "ResponseStatus",
    "ToolCallInputDelta",
    "Usage",
]

FinishReason = Literal["stop", "tool_calls", "length", "content_filter", "refusal", "pause", "error", "unknown"]
"""Why the model stopped, in one vocabulary. `pause`: the provider asks to be called again with the same history
(Messages `pause_turn`). `unknown`: the wire gave no reason or one outside its documentation; see `native_reason`."""

ResponseStatus = Literal["completed", "incomplete", "failed"]


class ReportedUsage(Struct, frozen=True):
    """Token counts exactly as the wire said them; None where it said nothing. Whether `input` holds cached tokens and
    `output` holds reasoning differs by provider: `Usage` is the comparable form."""

    input: int | None = None
    cached_input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one response or, added up, of many. The counters are disjoint: every token is counted once.

    `input`: prompt tokens neither read from nor written to a cache · `cache_read` · `cache_write` (of which
    `cache_write_1h` at the long TTL) · `output`: visible output · `reasoning`: output the user does not see.

    What follows is of a single response, and a sum has none of it. `reported` and `raw` are what the wire said.
    `context`: tokens in the window at its end, where the provider worked more than once on one answer (server tools,
    compaction) and the counters are more than that. `by_others`: of the counters, what other models the provider
    called used. `charged_usd`: what the provider says the answer costs, where it does.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    reported: ReportedUsage | None = field(default=None, compare=False)
    raw: JsonObject | None = field(default=None, compare=False, repr=False)
    context: int | None = field(default=None, compare=False, repr=False)
    by_others: tuple[ModelUsage, ...] = field(default=(), compare=False, repr=False)
    charged_usd: float | None = field(default=None, compare=False, repr=False)

    @property
    def input_total(self) -> int:
        return self.input + self.cache_read + self.cache_write

    @property
    def output_total(self) -> int:
        return self.output + self.reasoning

    @property
    def total(self) -> int:
        return self.input_total + self.output_total

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.cache_write_1h + other.cache_write_1h,
            self.output + other.output,
            self.reasoning + other.reasoning,
        )


class ModelUsage(Struct, frozen=True):
    """What one model used, by the name its provider gives it."""

    model: str
    usage: Usage


class RateLimitWindow(Struct, frozen=True):
    """One limit of a provider. `kind` is `requests`, `tokens` or the provider's own name; `used_percent` is 0-100;
    `window_s` is how long the window is, where it is said (`tokens-minute` says it in its kind)."""

    kind: str
    limit: float | None = None
    remaining: float | None = None
    reset_after_s: float | None = None
    used_percent: float | None = None
    window_s: float | None = None


class Created(Struct, frozen=True):
    """The peer accepted the request. Both strings are empty where the wire does not say."""

    response_id: str = ""
    model: str = ""


class RateLimits(Struct, frozen=True):
    windows: tuple[RateLimitWindow, ...]


class OutputItemAdded(Struct, frozen=True):
    """An item began. Its text, input or arguments are empty; a call has its name and call_id already."""

    index: int
    item: ResponseItem


class OutputTextDelta(Struct, frozen=True):
    index: int
    delta: str
    content_index: int = 0


class RefusalDelta(Struct, frozen=True):
    index: int
    delta: str
    content_index: int = 0


class ReasoningContentDelta(Struct, frozen=True):
    index: int
    delta: str
    content_index: int = 0


class ReasoningSummaryPartAdded(Struct, frozen=True):
    index: int
    summary_index: int


class ReasoningSummaryDelta(Struct, frozen=True):
    index: int
    delta: str
    summary_index: int = 0


class ToolCallInputDelta(Struct, frozen=True):
    """A piece of a call's arguments (or a custom call's input). Never parse it alone."""

    index: int
    call_id: str
    delta: str


class OutputItemDone(Struct, frozen=True):
    """The whole item. Emitted once per added item; also for an item that was cut, with status `incomplete`."""

    index: int
    item: ResponseItem


class Completed(Struct, frozen=True):
    """The one good end of a stream.

    `native_reason` is the wire's own word (finish_reason, response status, stop_reason), None if it gave none.
    `status="incomplete"`: the answer was cut (`length`, `content_filter`). `end_turn`: the provider's explicit word on
    whether the turn is over, None if it has none. `incomplete_reason` and `stop_sequence` as the wire gave them.
    """

    response_id: str = ""
    model: str = ""
    finish_reason: FinishReason = "unknown"
    status: ResponseStatus = "completed"
    usage: Usage | None = None
    end_turn: bool | None = None
    native_reason: str | None = None
    incomplete_reason: str | None = None
    stop_sequence: str | None = None


DeltaEvent: TypeAlias = (
    OutputTextDelta
    | RefusalDelta
    | ReasoningContentDelta
    | ReasoningSummaryPartAdded
    | ReasoningSummaryDelta
    | ToolCallInputDelta
)
ResponseEvent: TypeAlias = Created | RateLimits | OutputItemAdded | DeltaEvent | OutputItemDone | Completed


class Response(Struct, frozen=True):
    """A whole answer: what `fold` makes of a stream, and what a non-streaming call returns.

    `items` are in the order the model produced them. `status="failed"` occurs only as the `partial` of an error.
    `earlier` is what attempts before this one used, where the server had counted it; a stream has its own.
    """

    id: str = ""
    model: str = ""
    items: tuple[ResponseItem, ...] = ()
    finish_reason: FinishReason = "unknown"
    status: ResponseStatus = "completed"
    usage: Usage | None = None
    end_turn: bool | None = None
    native_reason: str | None = None
    incomplete_reason: str | None = None
    stop_sequence: str | None = None
    earlier: tuple[Attempt, ...] = ()

    @property
    def text(self) -> str:
        """All assistant text, joined without a separator."""
        return "".join(text_of(item) for item in self.items if isinstance(item, Message))

    @property
    def refusal(self) -> str:
        return "".join(
            part.refusal
            for item in self.items
            if isinstance(item, Message)
            for part in item.content
            if isinstance(part, Refusal)
        )

    @property
    def reasoning_text(self) -> str:
        """All readable reasoning: summaries and contents in order, joined without a separator."""
        return "".join(
            text for item in self.items if isinstance(item, Reasoning) for text in (*item.summary, *item.content)
        )

    @property
    def tool_calls(self) -> tuple[CallItem, ...]:
        """The calls the client has to answer, in the order the model made them."""
        return tuple(
            item
            for item in self.items
            if isinstance(item, (FunctionCall, CustomToolCall, LocalShellCall))
            or (isinstance(item, ToolSearchCall) and item.execution == "client")
        )


class Attempt(Struct, frozen=True):
    """One try at an answer: the model that was asked ("provider/model"), and what had come of it."""

    model: str
    response: Response
