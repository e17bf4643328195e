"""When to compact, and what becomes of the session: what the loop asks before each sample.

Nothing is tried twice for nothing (codex#40213 compacted 48 times in 76 minutes): after a compaction, or one that
failed, the history has to grow again before the next one, and a sample is repeated because of one at most once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..codecs.replay_origin import same_origin
from ..errors import AgentCoreError, CompactionError, ContextLengthError, ModelError
from ..items import Compaction, JsonValue, Message, ResponseItem, WireName
from ..prompt import CustomToolSpec, HostedToolSpec, Prompt
from ..providers import Resolved
from ..session.compact import choose_cut, kept_messages
from ..session.estimate import estimate_item
from ..session.history import BYTES_PER_TOKEN, OutputBudget, text_bytes
from ..telemetry import Telemetry, compaction_span
from ..turn_events import CompactionFailed, CompactionFinished, CompactionReason, CompactionStarted, TurnEvent
from .policy import CompactionPolicy, WindowMemory
from .summary import Summariser

__all__ = ["CompactedSession", "Compactor", "open_sealed"]

MARGIN = 20
"""A twentieth of the window is left free beside the cap on the answer: the request for a summary has to fit too."""
GROWTH = 10
"""By how much a history has to grow between two compactions of its own: a tenth of what it may have."""
MIN_WINDOW = 256
"""A refusal that names fewer tokens does not speak of a window."""

_WINDOWS = (  # what servers say of their window when they refuse a prompt (recorded; providers.md 3d)
    r"(?i)maximum context length (?:of|is) (\d[\d,]*)"
    r"|tokens > (\d[\d,]*) maximum"
    r"|context size \((\d[\d,]*) tokens\)"
    r"|context limit: \d+ \+ \d+ > (\d[\d,]*)"
    r"|context (?:limit|window|length)(?: of|:| is)? (\d[\d,]*)"
)


class CompactedSession(Protocol):
    """What compaction asks of a session. When `compact` returns the marker is written; or it raised and nothing is."""

    @property
    def id(self) -> str: ...

    @property
    def items(self) -> tuple[ResponseItem, ...]: ...

    def estimated_tokens(self, budget: OutputBudget | None = ..., *, base_tokens: int = ...) -> int: ...

    def compact(self, upto: int, items: Sequence[ResponseItem], *, kind: str = ...) -> None: ...


@dataclass(frozen=True, slots=True)
class _Plan:
    """`head`, the first `at` items, is summarised; `kept` of it stays as it is. Tokens of the next request and of what
    follows the head, without a compaction."""

    at: int
    head: tuple[ResponseItem, ...]
    kept: tuple[Message, ...]
    tokens: int
    tail_tokens: int


async def _no_objection(reason: str, tokens: int) -> str:
    """Nobody objects."""
    return ""


async def _unheard(finished: CompactionFinished) -> None:
    """Nobody listens."""


class Compactor:
    """Keeps one session within the window of its model. One at a time for a session; `base` is the prompt of its
    requests without their items, `budget` what they show of each output, `resolved` the model they go to now: where one
    stands in for another, its window counts. `before` says why there is to be no compaction, or nothing."""

    def __init__(
        self,
        session: CompactedSession,
        summariser: Summariser,
        *,
        policy: CompactionPolicy,
        memory: WindowMemory,
        base: Prompt,
        resolved: Callable[[], Resolved],
        budget: OutputBudget | None,
        emit: Callable[[TurnEvent], Awaitable[None]],
        telemetry: Telemetry | None = None,
        before: Callable[[str, int], Awaitable[str]] = _no_objection,
        after: Callable[[CompactionFinished], Awaitable[None]] = _unheard,
    ) -> None:
        self._before = before
        self._after = after
        self._session = session
        self._summariser = summariser
        self._policy = policy
        self._memory = memory
        self._base = base
        self._resolved = resolved
        self._budget = budget
        self._emit = emit
        self._telemetry = telemetry or Telemetry()
        self._base_tokens = -1

    @property
    def window(self) -> int | None:
        """The model's window in tokens, where anybody has said: the caller and the server, else the table."""
        resolved = self._resolved()
        named = self._memory.windows.get(_name(resolved))
        said = [window for window in (self._policy.window, named) if window is not None]
        return min(said, default=resolved.compat.context_window)

    @property
    def limit(self) -> int | None:
        """How many tokens the next request may take; None: the history is never compacted by itself."""
        window, at = self.window, self._policy.at
        if window is None or at is None:
            return None
        return min(int(window * at), max(window - self._answer_tokens - window // MARGIN, window // 2))

    def use(self, base: Prompt) -> None:
        """Requests are made of this from now on."""
        self._base, self._base_tokens = base, -1

    def tokens(self) -> int:
        """About how many tokens the next request takes, instructions and tools included."""
        if self._base_tokens < 0:
            self._base_tokens = _base_tokens(self._base)
        return self._session.estimated_tokens(self._budget, base_tokens=self._base_tokens)

    async def make_room(self) -> None:
        """Compact if the next request would reach the limit. Where that fails, an event says why and all goes on."""
        limit = self.limit
        if limit is None:
            return
        tokens = self.tokens()
        if tokens >= max(limit, self._memory.not_before):
            await self._by_itself("limit", tokens)

    async def overflowed(self, error: ModelError) -> bool:
        """Whether a request failed because it did not fit, and now there is room for it."""
        if not isinstance(error, ContextLengthError) or not self._policy.on_overflow:
            return False
        if (named := _window_named(error.message)) is not None:
            self._memory.windows[_name(self._resolved())] = named
        return await self._by_itself("overflow", self.tokens())

    async def compact(self, instructions: str = "") -> CompactionFinished:
        """Compact now. Raises CompactionError if there is nothing to compact or no summary came of it, and ModelError
        if the model could not be asked; the session is as it was then."""
        plan = self._plan()
        if plan is None:
            raise CompactionError(
                "there is nothing to compact: a model has said nothing since the last time that is over and done",
                remedy="go on with the session first",
            )
        return await self._run(plan, "asked", instructions)

    @property
    def _answer_tokens(self) -> int:
        return self._base.max_output_tokens or self._resolved().compat.default_max_tokens or 0

    async def _by_itself(self, reason: CompactionReason, tokens: int) -> bool:
        plan = self._plan()
        if plan is None:
            return False
        growth = (self.limit or tokens) // GROWTH
        try:
            finished = await self._run(plan, reason)
        except (ModelError, CompactionError):
            self._memory.not_before = tokens + growth
            return False
        self._memory.not_before = finished.tokens_after + growth
        return True

    def _plan(self) -> _Plan | None:
        """What a compaction would do now; None where nothing is worth a summary."""
        items = self._session.items
        most = self.limit or self.window
        keep = self._policy.keep_tokens if most is None else min(self._policy.keep_tokens, most // 4)
        cut = choose_cut(items, keep, self._budget)
        head = items[: cut.at]
        if not any(map(_is_news, head)):
            return None
        return _Plan(cut.at, head, kept_messages(head, keep), self.tokens(), cut.tokens)

    def _most(self, plan: _Plan, reason: CompactionReason) -> int | None:
        """How many tokens a request for the summary may take."""
        window = self.window
        most = None if window is None else max(window - self._answer_tokens, window // 2)
        if reason != "overflow":
            return most
        refused = plan.tokens - plan.tokens // GROWTH  # what did not fit with the tail will not fit without much less
        return refused if most is None else min(refused, most)

    async def _run(self, plan: _Plan, reason: CompactionReason, instructions: str = "") -> CompactionFinished:
        if why := await self._before(reason, plan.tokens):
            raise CompactionError(f"the history was not compacted: {why}", remedy="ask whoever set the hook")
        with compaction_span(self._telemetry, reason, plan.tokens, self._session.id) as span:
            finished = await self._summarised(plan, reason, instructions)
            span.finished(finished.kind, finished.tokens_after, finished.replaced)
        await self._after(finished)
        return finished

    async def _summarised(self, plan: _Plan, reason: CompactionReason, instructions: str) -> CompactionFinished:
        await self._emit(CompactionStarted(reason, plan.tokens))
        ask = self._policy.prompt
        if instructions.strip():
            ask = f"{ask}\n\nWhat the user asks of this summary in particular: {instructions.strip()}"
        try:
            summary = await self._summariser.summarise(
                plan.head, ask, tokens=max(1, plan.tokens - plan.tail_tokens), most=self._most(plan, reason)
            )
            items: tuple[ResponseItem, ...] = (*plan.kept, summary.item)
            after = self._base_tokens + sum(map(estimate_item, items)) + plan.tail_tokens
            if reason != "asked" and after >= plan.tokens:
                raise CompactionError(f"with the summary it would take {after} tokens, without it {plan.tokens}")
            self._session.compact(plan.at, items, kind=summary.kind)
        except AgentCoreError as error:
            from ..logs import compaction_failed

            word = error.reason if isinstance(error, ModelError) else type(error).__name__
            compaction_failed(reason, word, session_id=self._session.id)
            await self._emit(CompactionFailed(reason, error))
            raise
        replaced = plan.at - len(plan.kept)
        finished = CompactionFinished(
            reason, summary.kind, plan.tokens, self.tokens(), replaced, summary.usage, summary.left_out
        )
        await self._emit(finished)
        return finished


class UncompactedSession(Protocol):
    @property
    def replacement(self) -> tuple[ResponseItem, ...]: ...

    def uncompact(self) -> bool: ...


def open_sealed(session: UncompactedSession, *, wire: WireName, provider: str) -> None:
    """Take compactions back that this provider cannot read: another one made and sealed them, and to it the history
    would begin nowhere. What they replaced is still in the session; it is summarised where it is too large."""
    while any(_is_sealed(item, wire, provider) for item in session.replacement):
        session.uncompact()


def _is_sealed(item: ResponseItem, wire: WireName, provider: str) -> bool:
    if not isinstance(item, Compaction) or item.summary:
        return False
    return not same_origin(item.origin, wire=wire, provider=provider)


def _is_news(item: ResponseItem) -> bool:
    """Whether a summary would say something of it: not of what stays, nor of an earlier summary alone."""
    if isinstance(item, Message):
        return item.role == "assistant"
    return not isinstance(item, Compaction) and item.type != "ghost_snapshot"


def _base_tokens(base: Prompt) -> int:
    """What instructions and tool specs take, at 4 bytes a token."""
    size = text_bytes(base.instructions)
    for spec in base.tools:
        if isinstance(spec, HostedToolSpec):
            size += _json_bytes(spec.raw)
            continue
        shape = spec.format if isinstance(spec, CustomToolSpec) else spec.parameters
        size += text_bytes(spec.name) + text_bytes(spec.description) + _json_bytes(shape or {})
    return -(-size // BYTES_PER_TOKEN)


def _json_bytes(value: Mapping[str, JsonValue]) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict))


def _name(resolved: Resolved) -> str:
    return f"{resolved.provider.name}/{resolved.model}"


def _window_named(message: str) -> int | None:
    """The window a server names when it refuses a prompt."""
    found = re.search(_WINDOWS, message)
    if found is None:
        return None
    tokens = int(next(group for group in found.groups() if group).replace(",", ""))
    return tokens if tokens >= MIN_WINDOW else None
