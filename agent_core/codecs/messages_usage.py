"""Messages: the usage object, both ways.

`input_tokens` never holds cached tokens on this wire, `output_tokens` holds thinking. Where the API worked more than
once on one answer, `iterations` says what each time took: the counters at the top are the sum of the sampling ones, so
compactions and the calls of an advisor (another model) are added to them, and the window holds what the last sampling
read and wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import TypeAlias

from ..events import ModelUsage, ReportedUsage, Usage
from ..items import JsonObject
from .base import Compat, json_int, json_list, json_object, json_str
from .token_counts import charged_usd, long_ttl

__all__ = ["usage_of", "usage_to_wire"]

_BESIDE_THE_TOP = frozenset({"compaction", "advisor_message"})

_Counters: TypeAlias = tuple[int, int, int, int, int, int]
"""The first six members of `Usage`."""


def usage_of(raw: JsonObject, compat: Compat) -> Usage | None:
    """Usage of one answer; None where nothing was said of it."""
    if not raw:
        return None
    reported, counters = _read(raw, excludes_thinking=compat.output_excludes_reasoning)
    usage = Usage(*counters, reported=reported, raw=dict(raw), charged_usd=charged_usd(raw, compat))
    return usage if raw.get("iterations") is None else _with_iterations(usage, raw)


def _with_iterations(usage: Usage, raw: JsonObject) -> Usage:
    times = [found for entry in json_list(raw["iterations"]) if (found := json_object(entry))]
    beside = [entry for entry in times if entry.get("type") in _BESIDE_THE_TOP]
    used = [_once(entry) for entry in beside]
    others = [ModelUsage(json_str(entry.get("model")), spent) for entry, spent in zip(beside, used, strict=True)]
    return replace(
        reduce(add, used, usage),
        reported=usage.reported,
        raw=usage.raw,
        context=_context(times),
        by_others=tuple(other for other in others if other.model),
        charged_usd=usage.charged_usd,
    )


def _read(raw: JsonObject, *, excludes_thinking: bool) -> tuple[ReportedUsage, _Counters]:
    plain, output = json_int(raw.get("input_tokens")), json_int(raw.get("output_tokens"))
    read, write = json_int(raw.get("cache_read_input_tokens")), json_int(raw.get("cache_creation_input_tokens"))
    details = json_object(raw.get("output_tokens_details"))
    thought = None if details is None else json_int(details.get("thinking_tokens"))
    total_input = None if plain is None else plain + (read or 0) + (write or 0)
    total = None if total_input is None or output is None else total_input + output
    one_hour = long_ttl(raw)
    if write is None:
        written = json_object(raw.get("cache_creation")) or {}
        written_in_all = one_hour + (json_int(written.get("ephemeral_5m_input_tokens")) or 0)
    else:
        written_in_all = write
    cache_write, hidden, visible = max(written_in_all, 0), max(thought or 0, 0), max(output or 0, 0)
    if not excludes_thinking and hidden <= visible:
        visible -= hidden
    counters = (max(plain or 0, 0), max(read or 0, 0), cache_write, min(one_hour, cache_write), visible, hidden)
    return ReportedUsage(total_input, read, output, thought, total), counters


def _once(raw: JsonObject) -> Usage:
    """What one iteration took."""
    return Usage(*_read(raw, excludes_thinking=False)[1])


def _context(times: Sequence[JsonObject]) -> int | None:
    sampled = [entry for entry in times if entry.get("type") not in _BESIDE_THE_TOP]
    return _once(sampled[-1]).total if sampled and len(times) > 1 else None


def usage_to_wire(usage: Usage | None) -> JsonObject:
    """The usage object of an answer; zeros where nothing is known, because the wire's clients want numbers."""
    usage = usage or Usage()
    out: JsonObject = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output_total,
    }
    if usage.cache_write:
        out["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write - usage.cache_write_1h,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    if usage.reasoning:
        out["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return out
