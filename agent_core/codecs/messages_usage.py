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

from ..events import ModelUsage, ReportedUsage, Usage
from ..items import JsonObject
from .base import Compat, json_int, json_list, json_object, json_str
from .token_counts import charged_usd, long_ttl

__all__ = ["usage_of", "usage_to_wire"]

_BESIDE_THE_TOP = frozenset({"compaction", "advisor_message"})


def usage_of(raw: JsonObject, compat: Compat) -> Usage | None:
    """Usage of one answer; None where nothing was said of it."""
    if not raw:
        return None
    usage = _counters(raw, excludes_thinking=compat.output_excludes_reasoning)
    times = [found for entry in json_list(raw.get("iterations")) if (found := json_object(entry))]
    beside = [entry for entry in times if entry.get("type") in _BESIDE_THE_TOP]
    used = [_counters(entry, excludes_thinking=False) for entry in beside]
    others = [ModelUsage(json_str(entry.get("model")), spent) for entry, spent in zip(beside, used, strict=True)]
    return replace(
        reduce(add, used, usage) if used else usage,
        reported=_reported(raw),
        raw=dict(raw),
        context=_context(times),
        by_others=tuple(other for other in others if other.model),
        charged_usd=charged_usd(raw, compat),
    )


def _counters(raw: JsonObject, *, excludes_thinking: bool) -> Usage:
    written = json_object(raw.get("cache_creation")) or {}
    details = json_object(raw.get("output_tokens_details")) or {}
    write, one_hour = json_int(raw.get("cache_creation_input_tokens")), long_ttl(raw)
    if write is None:
        write = one_hour + (json_int(written.get("ephemeral_5m_input_tokens")) or 0)
    write = max(write, 0)
    hidden, visible = (
        max(json_int(details.get("thinking_tokens")) or 0, 0),
        max(json_int(raw.get("output_tokens")) or 0, 0),
    )
    if not excludes_thinking and hidden <= visible:
        visible -= hidden
    return Usage(
        input=max(json_int(raw.get("input_tokens")) or 0, 0),
        cache_read=max(json_int(raw.get("cache_read_input_tokens")) or 0, 0),
        cache_write=write,
        cache_write_1h=min(one_hour, write),
        output=visible,
        reasoning=hidden,
    )


def _reported(raw: JsonObject) -> ReportedUsage:
    plain, output = json_int(raw.get("input_tokens")), json_int(raw.get("output_tokens"))
    read, write = json_int(raw.get("cache_read_input_tokens")), json_int(raw.get("cache_creation_input_tokens"))
    total_input = None if plain is None else plain + (read or 0) + (write or 0)
    return ReportedUsage(
        input=total_input,
        cached_input=read,
        output=output,
        reasoning=json_int((json_object(raw.get("output_tokens_details")) or {}).get("thinking_tokens")),
        total=None if total_input is None or output is None else total_input + output,
    )


def _context(times: Sequence[JsonObject]) -> int | None:
    sampled = [entry for entry in times if entry.get("type") not in _BESIDE_THE_TOP]
    return _counters(sampled[-1], excludes_thinking=False).total if sampled and len(times) > 1 else None


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
