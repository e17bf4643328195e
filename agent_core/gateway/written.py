"""Answers as bytes, for a store: versioned JSON of items, and back. What cannot be read, because another version wrote
it or because it is damaged, is not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from ..codecs.base import Loss, json_bytes
from ..errors import InvalidPromptError
from ..events import FinishReason, Response, ResponseStatus, Usage
from ..items import ResponseItem, dump_item, parse_items

__all__ = ["GivenAnswer", "items_from", "read_given", "write_given", "written_items"]


class GivenAnswer(Struct, frozen=True):
    """An answer that was given once: by whom ("provider/model"), and what of the request could not be carried."""

    response: Response
    model: str
    losses: tuple[Loss, ...] = ()


class _Usage(Struct, frozen=True):
    input: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    output: int
    reasoning: int


class _Written(Struct, frozen=True):
    v: Literal[1]
    model: str
    losses: tuple[Loss, ...]
    items: msgspec.Raw
    asked: str
    finish_reason: FinishReason
    status: ResponseStatus
    usage: _Usage | None
    end_turn: bool | None
    native_reason: str | None
    incomplete_reason: str | None
    stop_sequence: str | None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Written).decode


def write_given(given: GivenAnswer) -> bytes:
    """All of it but the answer's id, which belongs to who asked first, and what a provider said beside the counts."""
    response = given.response
    used = response.usage
    counts = (
        None
        if used is None
        else _Usage(used.input, used.cache_read, used.cache_write, used.cache_write_1h, used.output, used.reasoning)
    )
    return _encode(
        _Written(
            v=1,
            model=given.model,
            losses=given.losses,
            items=msgspec.Raw(written_items(response.items)),
            asked=response.model,
            finish_reason=response.finish_reason,
            status=response.status,
            usage=counts,
            end_turn=response.end_turn,
            native_reason=response.native_reason,
            incomplete_reason=response.incomplete_reason,
            stop_sequence=response.stop_sequence,
        )
    )


def read_given(data: bytes) -> GivenAnswer | None:
    try:
        found = _decode(data)
        items = items_from(found.items)
    except (ValueError, InvalidPromptError):
        return None
    used = found.usage
    response = Response(
        model=found.asked,
        items=items,
        finish_reason=found.finish_reason,
        status=found.status,
        usage=None if used is None else Usage(**msgspec.structs.asdict(used)),
        end_turn=found.end_turn,
        native_reason=found.native_reason,
        incomplete_reason=found.incomplete_reason,
        stop_sequence=found.stop_sequence,
    )
    return GivenAnswer(response, found.model, found.losses)


def written_items(items: Sequence[ResponseItem]) -> bytes:
    """A JSON array; lone surrogates become U+FFFD."""
    return json_bytes([dump_item(item) for item in items])


def items_from(data: bytes | msgspec.Raw) -> tuple[ResponseItem, ...]:
    """Raises ValueError or InvalidPromptError for what is no array of items."""
    return parse_items(msgspec.json.decode(data, type=list[dict[str, object]]))
