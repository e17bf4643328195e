"""Whole items from a stream of events: drop the deltas, keep the order.

Decoders assemble: `OutputItemDone` always carries the whole item, once, in the order reasoning → message → calls as the
model produced them. So aggregation holds no text, loses none on an error (it is in `error.partial`), and adds nothing.
The module is not called like its function: importing it would hide the function in the package.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable

from .errors import StreamInterrupted
from .events import Completed, OutputItemDone, RateLimits, Response, ResponseEvent
from .items import ResponseItem

__all__ = ["aggregate", "fold", "fold_stream"]


async def aggregate(
    events: AsyncIterable[ResponseEvent],
) -> AsyncIterator[OutputItemDone | RateLimits | Completed]:
    """The same stream without `Created`, `OutputItemAdded` and deltas: each item exactly once, then `Completed`.

    Errors pass through. The source is the caller's to close, as it was before.
    """
    async for event in events:
        if isinstance(event, (OutputItemDone, RateLimits, Completed)):
            yield event


def fold(events: Iterable[ResponseEvent]) -> Response:
    """A whole stream as one value. Raises StreamInterrupted, with what there was as `partial`, if it is unfinished."""
    items: list[ResponseItem] = []
    for event in events:
        if isinstance(event, OutputItemDone):
            items.append(event.item)
        elif isinstance(event, Completed):
            return _response(items, event)
    raise _interrupted(items)


async def fold_stream(events: AsyncIterable[ResponseEvent]) -> Response:
    """`fold` for an asynchronous stream."""
    items: list[ResponseItem] = []
    end: Completed | None = None
    async for event in events:  # to its end: leaving an async generator early would leave it to the garbage collector
        if isinstance(event, OutputItemDone):
            items.append(event.item)
        elif isinstance(event, Completed):
            end = event
    if end is None:
        raise _interrupted(items)
    return _response(items, end)


def _response(items: list[ResponseItem], end: Completed) -> Response:
    return Response(
        id=end.response_id,
        model=end.model,
        items=tuple(items),
        finish_reason=end.finish_reason,
        status=end.status,
        usage=end.usage,
        end_turn=end.end_turn,
        native_reason=end.native_reason,
        incomplete_reason=end.incomplete_reason,
        stop_sequence=end.stop_sequence,
    )


def _interrupted(items: list[ResponseItem]) -> StreamInterrupted:
    return StreamInterrupted(
        "the events ended without Completed", partial=Response(items=tuple(items), status="incomplete")
    )
