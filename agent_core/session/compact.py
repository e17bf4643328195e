"""Compaction, the part without a model: where a history may be cut, and what of it stays word for word.

    before   u1 a1 [r c o] u2 a2 u3 [r c c o o]        u: the user, a: an answer, [r c o]: reasoning, calls, outputs
    after    u1 u2 u3 SUMMARY [r c c o o]              the newest words of the user, the summary, what no model has
                                                       answered yet

A summary stands for everything before the cut. A cut never parts a call from its output, nor the items of one response
from each other: a reasoning belongs to what follows it. Instructions in the middle of a history (system and developer
messages) stay, all of them; user messages stay newest first, up to a budget, and the one that crosses it is shortened
(codex.md 2.5). Everything here is pure; who writes the summary is none of its business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from ..errors import InvalidPromptError, SessionError
from ..items import (
    Compaction,
    ContentPart,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputText,
    JsonObject,
    JsonValue,
    LocalShellCall,
    Message,
    ResponseItem,
    ToolSearchCall,
    ToolSearchOutput,
    dump_item,
    parse_item,
)
from .estimate import ITEM_BYTES, estimate_item
from .history import BYTES_PER_TOKEN, MIN_BYTES, OutputBudget, shortened, text_bytes, truncate_output

__all__ = [
    "Compacted",
    "Cut",
    "choose_cut",
    "dump_compacted",
    "kept_messages",
    "load_compacted",
    "newest_within",
    "safe_cuts",
    "squeezed",
]

_MEDIA_LEFT_OUT = "[an image or file was here; it is left out of the compacted history]"


class Compacted(Struct, frozen=True):
    """What a compaction did to a session: `items` stand for the first `replaced` items of its transcript.

    `kind` says how it was made (`local`, `endpoint`). `measured` is how many counts of a provider the session had by
    then: they are of the history before it.
    """

    replaced: int
    items: tuple[ResponseItem, ...]
    kind: str = "local"
    measured: int = 0


class Cut(Struct, frozen=True):
    """Where a history is cut: what comes before `at` is summarised, the rest stays as it is."""

    at: int
    tokens: int
    """What stays, estimated."""


def safe_cuts(items: Sequence[ResponseItem]) -> tuple[int, ...]:
    """The places (0 to the length) before which a history may end and from which it may go on.

    Not between a call and its output, not after a call without one, and not inside a run of items that a model made.
    Outputs are paired with calls as `calls.OpenCalls` does.
    """
    open_calls: dict[tuple[str, str], list[list[int]]] = {}  # by what pairs them: how many of each step, newest last
    cuts: list[int] = []
    step = waiting = 0
    made_before = False
    for n, item in enumerate(items):
        made = _made_by_model(item)
        if not waiting and not (made and made_before):
            cuts.append(n)
        made_before = made
        key, kind = _pairing(item)
        steps = open_calls.setdefault(key, [])
        if kind == "call":
            if not steps or steps[-1][0] != step:
                steps.append([step, 0])
            steps[-1][1] += 1
            waiting += 1
        elif kind == "output" and steps:
            steps[-1][1] -= 1
            if not steps[-1][1]:
                steps.pop()
            waiting -= 1
        step += kind == "output" or _ends_step(item)
    if not waiting:
        cuts.append(len(items))
    return tuple(cuts)


def choose_cut(items: Sequence[ResponseItem], keep_tokens: int, budget: OutputBudget | None = None) -> Cut:
    """The cut before what no model has answered yet: what the user just said, or a step with its fresh outputs.

    What the user just said stays, however long. A step stays if it fits into `keep_tokens`, else it is summarised too.
    """
    asked = len(items)
    while asked and not _made_by_model(items[asked - 1]):
        asked -= 1
    said = len(items)
    while said > asked and isinstance(items[said - 1], Message):
        said -= 1
    cuts = safe_cuts(items)
    tokens = [0] * (len(items) + 1)
    for n in range(len(items) - 1, -1, -1):
        tokens[n] = tokens[n + 1] + estimate_item(items[n], budget)
    first = max(n for n in cuts if n <= asked)
    for n in cuts:
        if n >= first and (n >= said or tokens[n] - tokens[said] <= keep_tokens):
            return Cut(n, tokens[n])
    # A call that is open keeps the end from being a cut: it stays, and what follows it.
    last = cuts[-1]
    return Cut(last, tokens[last])


def kept_messages(items: Sequence[ResponseItem], keep_tokens: int) -> tuple[Message, ...]:
    """Of what is summarised, the messages that stay: all instructions, and the user's newest within `keep_tokens`.

    The user message that crosses the budget is shortened, if anything worth reading is left of it; it is a new item
    then, without an id. What was kept by an earlier compaction is kept by the same rule.
    """
    kept: list[Message] = []
    left, full = keep_tokens, False
    for item in reversed(items):
        if not isinstance(item, Message) or item.role == "assistant":
            continue
        if item.role != "user":
            kept.append(item)
            continue
        if full:
            continue
        size = estimate_item(item)
        if size > left:
            full = True
            room = left * BYTES_PER_TOKEN - ITEM_BYTES
            cut = _shortened(item, room) if room >= MIN_BYTES else None
            if cut is not None:
                kept.append(cut)
            continue
        left -= size
        kept.append(item)
    return tuple(reversed(kept))


def newest_within(items: Sequence[ResponseItem], max_tokens: int, budget: OutputBudget | None = None) -> int:
    """Where the longest end of `items` begins that takes at most `max_tokens` and begins at a safe cut; the length of
    `items` if there is none. A history that is too long even to be summarised loses its beginning first."""
    left = max_tokens
    start = len(items)
    for n in range(len(items) - 1, -1, -1):
        left -= estimate_item(items[n], budget)
        if left < 0:
            break
        start = n
    return next(n for n in (*safe_cuts(items), len(items)) if n >= start)


def squeezed(items: Sequence[ResponseItem], max_tokens: int) -> tuple[ResponseItem, ...]:
    """Items in about `max_tokens`, in that outputs and the user's words are cut: a step that is too long alone."""
    over = [n for n, item in enumerate(items) if _is_cuttable(item)]
    rest = sum(estimate_item(item) for item in items) - sum(estimate_item(items[n]) for n in over)
    share = max(MIN_BYTES, (max_tokens - rest) * BYTES_PER_TOKEN // max(1, len(over)))
    return tuple(_squeezed(item, share) if n in over else item for n, item in enumerate(items))


def dump_compacted(compacted: Compacted, transcript: Sequence[ResponseItem], places: Mapping[str, int]) -> JsonObject:
    """The journal's record: items of the transcript by their ids, others whole. `places`: where each id stands."""

    def written(item: ResponseItem) -> JsonValue:
        place = places.get(item.id or "", compacted.replaced)
        return item.id if place < compacted.replaced else dump_item(item)

    items: list[JsonValue] = [written(item) for item in compacted.items]
    last = transcript[compacted.replaced - 1].id if compacted.replaced else None
    return {
        "type": "compaction",
        "kind": compacted.kind,
        "replaced": compacted.replaced,
        "last": last,
        "items": items,
    }


def load_compacted(
    record: JsonObject, transcript: Sequence[ResponseItem], places: Mapping[str, int], measured: int, where: str
) -> Compacted:
    """The record read again, over the transcript as it was before it. Raises SessionError if it is not of that one."""
    replaced, items = record.get("replaced"), record.get("items")
    if not isinstance(replaced, int) or not 0 <= replaced <= len(transcript) or not isinstance(items, list):
        raise SessionError(f"{where} compacts what is not there: {replaced!r} of {len(transcript)} items")
    if replaced and transcript[replaced - 1].id != record.get("last"):
        raise SessionError(f"{where} compacts other items than those before it")
    try:
        restored = tuple(transcript[places[item]] if isinstance(item, str) else parse_item(item) for item in items)
    except KeyError as error:
        raise SessionError(f"{where} keeps an item that is not there: {error}") from None
    except InvalidPromptError as error:
        raise SessionError(f"{where} holds no readable item: {error.message}") from None
    return Compacted(replaced, restored, str(record.get("kind") or "local"), measured)


def _made_by_model(item: ResponseItem) -> bool:
    """Whether it came in a response. Outputs of tools a provider ran did, and so may a compaction."""
    match item:
        case Message():
            return item.role == "assistant"
        case FunctionCallOutput() | CustomToolCallOutput():
            return False
        case ToolSearchOutput():
            return item.execution == "server"
        case _:
            return item.type != "ghost_snapshot" and (item.type != "compaction" or item.origin is not None)


def _pairing(item: ResponseItem) -> tuple[tuple[str, str], Literal["call", "output", ""]]:
    """What a call and its output have in common, and which of them this is."""
    match item:
        case FunctionCall() | LocalShellCall():
            return ("function", item.call_id), "call"
        case CustomToolCall():
            return ("custom", item.call_id), "call"
        case ToolSearchCall(execution="client"):
            return ("search", item.call_id or ""), "call"
        case FunctionCallOutput():
            return ("function", item.call_id), "output"
        case CustomToolCallOutput():
            return ("custom", item.call_id), "output"
        case ToolSearchOutput(execution="client"):
            return ("search", item.call_id or ""), "output"
        case _:
            return ("", ""), ""


def _ends_step(item: ResponseItem) -> bool:
    return isinstance(item, Compaction) or (isinstance(item, Message) and item.role != "assistant")


def _is_cuttable(item: ResponseItem) -> bool:
    if isinstance(item, Message):
        return item.role == "user"
    return isinstance(item, FunctionCallOutput | CustomToolCallOutput)


def _squeezed(item: ResponseItem, max_bytes: int) -> ResponseItem:
    if isinstance(item, Message):
        return item if estimate_item(item) * BYTES_PER_TOKEN <= max_bytes else _shortened(item, max_bytes) or item
    if isinstance(item, FunctionCallOutput | CustomToolCallOutput):
        cut = truncate_output(item.output, OutputBudget(bytes=max_bytes))
        return item if cut is item.output else item.model_copy(update={"output": cut})
    return item


def _shortened(message: Message, max_bytes: int) -> Message | None:
    """The message in about `max_bytes`, its texts cut in the middle, its media left out; None if it has no text."""
    texts = [part for part in message.content if isinstance(part, InputText)]
    if not texts:
        return None
    parts: list[ContentPart] = [InputText(text=_MEDIA_LEFT_OUT)] if len(texts) < len(message.content) else []
    size = sum(text_bytes(part.text) for part in texts) or 1
    for part in texts:
        room = max_bytes * text_bytes(part.text) // size
        if room >= MIN_BYTES // 2 or text_bytes(part.text) <= room:
            parts.append(InputText(text=shortened(part.text, room)))
    return message.model_copy(update={"content": tuple(parts), "id": None}) if parts else None
