"""What a turn tells its watcher: the model's own events, and what the loop does around them.

    TurnStarted
      SampleStarted(1)  model events…  SampleFinished(1)        PatchProgress between them, while a patch is written
        ToolStarted  ToolProgress*  ToolFinished      per call; ApprovalRequested/Decided before it where asked
      HookFinished                                    after each hook, at its point
      CompactionStarted  CompactionFinished|CompactionFailed      before a sample, where the history grew too large
      SampleStarted(2)  …
    TurnFinished(result)                              always the last, unless the turn raises

`SampleRestarted` says that a stream broke and is sampled again: what was shown of that sample must be dropped.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct, field

from .approvals import ApprovalRequest, Decision
from .codecs.base import Loss, Repair
from .errors import AgentCoreError, ModelError
from .events import Response, ResponseEvent, Usage
from .items import ResponseItem
from .paused import PendingCall
from .prices import Cost
from .retry import FellBack, RetryScheduled
from .tools.base import Outcome, ToolCall, ToolOutput
from .tools.patch_format import PatchPiece

__all__ = [
    "ApprovalDecided",
    "ApprovalRequested",
    "CompactionFailed",
    "CompactionFinished",
    "CompactionReason",
    "CompactionStarted",
    "FellBack",
    "HookFinished",
    "HookOutcome",
    "HookPoint",
    "PatchProgress",
    "RetryScheduled",
    "SampleFinished",
    "SampleRestarted",
    "SampleStarted",
    "StopReason",
    "ToolFinished",
    "ToolProgress",
    "ToolStarted",
    "TurnEvent",
    "TurnFinished",
    "TurnResult",
    "TurnStarted",
]

StopReason = Literal[
    "completed",  # the model ended its turn
    "max_turns",  # the cap on samples was met
    "max_tool_calls",
    "max_tokens",  # the run's token budget
    "max_cost",  # the run's budget in money, or an answer that nobody can price under one
    "deadline",  # the run's wall time
    "repeated",  # the same calls with the same results, over and over
    "all_failed",  # nothing but calls that failed, over and over
    "bad_calls",  # a tool was called with arguments it does not take, over and over
    "paused",  # calls wait for the caller: see `pending`
    "length",  # the answer itself was cut at the model's cap
    "content_filter",
    "refusal",
    "aborted",  # an approval said abort
    "cancelled",
]


CompactionReason = Literal[
    "limit",  # the next request would take more than the policy's share of the window
    "overflow",  # a request did not fit
    "asked",  # agent.compact()
]


HookPoint = Literal["before_tool", "after_tool", "stop", "before_compaction", "after_compaction"]
HookOutcome = Literal["passed", "denied", "changed", "failed"]


class TurnResult(Struct, frozen=True):
    """How a turn ended. `items` are all items it added to the session, in order. `usage` and `cost` are summed over all
    it asked for: samples, broken streams and retries that were counted, sub-calls. `cost` is None where no price is
    known (see prices). `pending`: what a paused run waits for; agent.resume() goes on with it."""

    stop_reason: StopReason
    text: str = ""
    items: tuple[ResponseItem, ...] = ()
    usage: Usage = field(default_factory=Usage)
    samples: int = 0
    tool_calls: int = 0
    denied: int = 0
    duration_s: float = 0.0
    cost: Cost | None = None
    pending: tuple[PendingCall, ...] = ()


class TurnStarted(Struct, frozen=True):
    turn_id: str
    session_id: str


class SampleStarted(Struct, frozen=True):
    """A request goes out. `losses` and `repairs` say what of the history it does not carry as it stands."""

    number: int
    model: str
    losses: tuple[Loss, ...] = ()
    repairs: tuple[Repair, ...] = ()


class SampleFinished(Struct, frozen=True):
    number: int
    response: Response


class SampleRestarted(Struct, frozen=True):
    """Sample `number` broke with `error` and is tried again after `delay_s`; drop what was shown of it."""

    number: int
    error: ModelError
    delay_s: float


class PatchProgress(Struct, frozen=True):
    """What the model has written of a patch since the last of these: a diff that grows while the call still streams.
    The call may yet be dropped (SampleRestarted), refused or denied; what was done says its ToolFinished."""

    call_id: str
    pieces: tuple[PatchPiece, ...]


class ToolStarted(Struct, frozen=True):
    call: ToolCall


class ToolProgress(Struct, frozen=True):
    call_id: str
    delta: str


class ToolFinished(Struct, frozen=True):
    """The call's one answer. `outcome` says how it came about."""

    call: ToolCall
    output: ToolOutput
    outcome: Outcome
    duration_s: float = 0.0


class ApprovalRequested(Struct, frozen=True):
    request: ApprovalRequest


class ApprovalDecided(Struct, frozen=True):
    request: ApprovalRequest
    decision: Decision


class CompactionStarted(Struct, frozen=True):
    """A summary of the history is asked for. `tokens`: what the next request would take without it, estimated."""

    reason: CompactionReason
    tokens: int


class CompactionFinished(Struct, frozen=True):
    """The history is compacted: the next request takes about `tokens_after` tokens, not `tokens_before`.

    `kind`: `local`, a summary anybody can read, or `endpoint`, the provider's own. `replaced`: how many items no longer
    go into requests; `left_out`: how many of them, the oldest, the summary does not know, because not even the request
    for it had room for them. `usage`: of the requests that made it.
    """

    reason: CompactionReason
    kind: str
    tokens_before: int
    tokens_after: int
    replaced: int
    usage: Usage = field(default_factory=Usage)
    left_out: int = 0


class CompactionFailed(Struct, frozen=True):
    """No summary came of it; the history is what it was."""

    reason: CompactionReason
    error: AgentCoreError


class HookFinished(Struct, frozen=True):
    """A hook was run. `failed` before a tool denied its call; `detail` says why it failed."""

    point: HookPoint
    hook: str
    outcome: HookOutcome
    detail: str = ""
    call_id: str = ""
    duration_s: float = 0.0


class TurnFinished(Struct, frozen=True):
    result: TurnResult


TurnEvent: TypeAlias = (
    TurnStarted
    | SampleStarted
    | ResponseEvent
    | SampleFinished
    | SampleRestarted
    | RetryScheduled
    | FellBack
    | PatchProgress
    | ToolStarted
    | ToolProgress
    | ToolFinished
    | ApprovalRequested
    | ApprovalDecided
    | CompactionStarted
    | CompactionFinished
    | CompactionFailed
    | HookFinished
    | TurnFinished
)
