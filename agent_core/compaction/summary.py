"""Asking for a summary of a history, on any wire, in whatever window.

It is asked for with the prompt the history was sent with (the same instructions, tools and items) and one more user
message, so the request begins with the bytes of the one before it and a prompt cache hits (codex#37305: without the
tools it never does). Where the provider has an endpoint for it, that is asked first. A request that does not fit loses
its oldest items, whole steps at a time, and is sent again (codex.md 2.5); the last step that is left has its outputs
cut. An answer that is empty, cut off, refused or calls a tool is no summary.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

from ..aggregation import fold_stream
from ..errors import ApiError, CompactionError, ContextLengthError, ModelError, StreamError
from ..events import Attempt, Response, ResponseEvent, Usage
from ..items import Compaction, ResponseItem, checked_items, user_message
from ..prompt import Prompt
from ..providers import Resolved
from ..retry import RetryPolicy, Tries
from ..session.compact import newest_within, safe_cuts, squeezed
from ..session.estimate import estimate_item
from ..session.history import OutputBudget

__all__ = ["SUMMARY_LEAD", "Endpoint", "Summariser", "Summary", "SummaryModel"]

SUMMARY_LEAD = (
    "The conversation was longer than what is shown. Its earlier part was summarised; go on from the state described"
    " here, and do not do again what is done.{gap}\n\n"
)
"""What a model reads before a summary: without it, it may take the summary for an order."""

SUMMARY_GAP = " (Its oldest {} items were too much to be summarised: of them only what stands before this is known.)"
MIN_SUMMARY_TOKENS = 8192
"""Where the agent's answers are capped lower, a summary is not: cut off it is useless."""
TRIM = 0.75
"""How much of a request that did not fit the next one takes."""
MAX_TRIMS = 8
"""A tenth is left after eight."""

Endpoint = Callable[[Prompt], Awaitable[Response]]


class SummaryStream(Protocol):
    """One answer, as the loop reads it."""

    model: str
    earlier: tuple[Attempt, ...]

    def __aiter__(self) -> AsyncIterator[ResponseEvent]: ...


class SummaryModel(Protocol):
    """What a summary is asked of: the loop's own model."""

    def stream(self, prompt: Prompt, *, tries: Tries | None = None) -> AbstractAsyncContextManager[SummaryStream]: ...


class Summary:
    """What came of it. `kind` is `local` or `endpoint`, `usage` that of all requests that were made, `left_out` how
    many of the oldest items did not fit into the request and are not in the summary."""

    __slots__ = ("item", "kind", "left_out", "usage")

    def __init__(self, item: Compaction, kind: str, usage: Usage, left_out: int = 0) -> None:
        self.item = item
        self.kind = kind
        self.usage = usage
        self.left_out = left_out


class Summariser:
    """Asks `model`, which now is the `resolved` one, for summaries. `prompt_for` makes a prompt of items as the loop
    does; `spend` is told of each answer that was counted and of every whole one; `retry` is the loop's: a stream that
    breaks is read again by it. `budget`: what prompts show of each output.

    `endpoint` is the provider's own compaction, None if it has none; refused once, it is not asked again.
    """

    def __init__(
        self,
        *,
        model: SummaryModel,
        prompt_for: Callable[[tuple[ResponseItem, ...]], Prompt],
        resolved: Callable[[], Resolved],
        spend: Callable[[Attempt], None],
        retry: RetryPolicy,
        budget: OutputBudget | None,
        endpoint: Endpoint | None = None,
    ) -> None:
        self._model = model
        self._prompt_for = prompt_for
        self._resolved = resolved
        self._spend = spend
        self._retry = retry
        self._budget = budget
        self._endpoint = endpoint
        self._used = Usage()

    async def summarise(self, items: tuple[ResponseItem, ...], ask: str, *, tokens: int, most: int | None) -> Summary:
        """A summary of items that take `tokens`; more than `most` are not sent, None if nobody knows how many may be.

        Raises CompactionError where no summary came of it, and ModelError where the model could not be asked.
        """
        self._used = Usage()
        if self._endpoint is not None and (most is None or tokens <= most):
            try:
                item = await self._from_endpoint(self._endpoint, items)
                return Summary(item, "endpoint", self._used)
            except ContextLengthError:
                pass
            except (ApiError, StreamError, CompactionError):
                self._endpoint = None
        text, left_out = await self._trimmed(items, ask, tokens, tokens if most is None else min(tokens, most))
        lead = SUMMARY_LEAD.format(gap=SUMMARY_GAP.format(left_out) if left_out else "")
        return Summary(Compaction(summary=lead + text.strip()), "local", self._used, left_out)

    async def _from_endpoint(self, endpoint: Endpoint, items: tuple[ResponseItem, ...]) -> Compaction:
        response = await endpoint(self._prompt_for(items))
        for attempt in (*response.earlier, Attempt("", response)):
            self._count(attempt)
        made = [item for item in response.items if isinstance(item, Compaction) and item.encrypted_content]
        if len(made) != 1:
            raise CompactionError(f"the provider's endpoint gave {len(made)} compactions, not one")
        return made[0]

    async def _trimmed(self, items: tuple[ResponseItem, ...], ask: str, tokens: int, most: int) -> tuple[str, int]:
        """The summary of as much of `items` as fits, and how many do not."""
        for _ in range(MAX_TRIMS):
            sent = items if most >= tokens else _newest(items, most / tokens, self._budget)
            try:
                return await self._ask(sent, ask), len(items) - len(sent)
            except ContextLengthError:
                most = int(most * TRIM)
        raise CompactionError("not even the newest part of the history fits into a request for its summary")

    async def _ask(self, items: tuple[ResponseItem, ...], ask: str) -> str:
        prompt = self._prompt_for(items)
        cap = prompt.max_output_tokens
        prompt = replace(
            prompt,
            items=checked_items((*prompt.items, user_message(ask))),
            output_schema=None,
            max_output_tokens=None if cap is None else max(cap, MIN_SUMMARY_TOKENS),
        )
        without_calls = replace(prompt, tool_choice="none") if prompt.tools else prompt
        if not (self._resolved().compat.choice_in_cache and prompt.tool_choice == "auto"):
            return _summary_text(await self._sample(without_calls))
        response = await self._sample(prompt)
        if response.tool_calls:  # it was only asked not to: the cache is worth the risk, not the summary
            response = await self._sample(without_calls)
        return _summary_text(response)

    async def _sample(self, prompt: Prompt) -> Response:
        """One whole response; a stream that breaks is read again from its start, as the loop does it."""
        import anyio

        tries = Tries()
        while True:
            try:
                async with self._model.stream(prompt, tries=tries) as events:
                    response = await fold_stream(events)
                for attempt in (*events.earlier, Attempt(events.model, response)):
                    self._count(attempt)
                return response
            except ModelError as error:
                broken = () if error.partial is None else (Attempt(error.model, error.partial),)
                for attempt in (*error.earlier, *broken):
                    if attempt.response.usage is not None:
                        self._count(attempt)
                scheduled = tries.broke(error, self._retry)
                if scheduled is None or not scheduled.will_retry:
                    raise
                await anyio.sleep(scheduled.delay_s)

    def _count(self, attempt: Attempt) -> None:
        if attempt.response.usage is not None:
            self._used += attempt.response.usage
        self._spend(attempt)


def _newest(items: tuple[ResponseItem, ...], share: float, budget: OutputBudget | None) -> tuple[ResponseItem, ...]:
    """So much of `items`: the newest in whole steps, the last of them with its outputs cut if it is too long alone, and
    before them the summary of what went before, if there is one."""
    tokens = int(share * sum(estimate_item(item, budget) for item in items))
    start = newest_within(items, tokens, budget)
    newest = items[start:]
    if not newest:
        start = max(n for n in safe_cuts(items) if n < len(items))
        newest = squeezed(items[start:], tokens)
    older: Sequence[ResponseItem] = [item for item in items[:start] if isinstance(item, Compaction)]
    return (*older[-1:], *newest)


def _summary_text(response: Response) -> str:
    """The summary, or CompactionError with what is wrong with it."""
    reasons = (
        (bool(response.tool_calls), "the model called a tool instead of writing a summary"),
        (bool(response.refusal) or response.finish_reason == "refusal", "the model refused to write a summary"),
        (response.finish_reason == "content_filter", "the provider's filter withheld the summary"),
        (response.finish_reason == "length" or response.status == "incomplete", "the summary was cut off at its cap"),
        (not response.text.strip(), "the summary is empty"),
    )
    for wrong, reason in reasons:
        if wrong:
            raise CompactionError(reason)
    return response.text
