"""Disjoint token counters from what OpenAI-style servers report: Chat and Responses. Messages counts so itself.

    input    what is read from and written to a cache is part of it; a server whose total only adds up with both apart,
             or that read more than it was sent and names no total, counts them beside it
    output   reasoning is part of it; it is apart where the row says so (xAI), where the total only adds up with both,
             or where there is more of it than output and no total

The total decides, because it is what is billed: OpenRouter and others count reasoning with another tokenizer than
output (277 of 252, and the bill is for 252), Azure's Grok tells of cached tokens it does not count (161 of 7). What a
total holds beyond input and output is reasoning nobody named (Gemini: 103 = 9 + 1 + 93). Baseten's output ends one
token short of its reasoning and its total. Sources: providers.md 3c, DESIGN trap 6, the recorded streams and their
bills, vercel/ai#18614.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from ..events import ReportedUsage, Usage
from ..items import JsonObject, JsonValue
from .base import Compat, json_int, json_object

__all__ = ["charged_usd", "disjoint", "long_ttl"]


def disjoint(reported: ReportedUsage, raw: JsonObject, compat: Compat, *, cache_write: int | None) -> Usage:
    """The counters of one answer. Numbers below zero count as none."""
    read, written = _count(reported.cached_input), _count(cache_write)
    beyond = _beyond(reported)
    plain = _count(reported.input)
    if _cache_is_apart(reported, read + written, beyond):
        beyond = None if beyond is None else beyond - read - written
    else:
        read = min(read, plain)
        written = min(written, plain - read)
        plain -= read + written
    visible, reasoning = _output(reported, beyond, excludes_reasoning=compat.output_excludes_reasoning)
    return Usage(
        input=plain,
        cache_read=read,
        cache_write=written,
        cache_write_1h=min(long_ttl(raw), written),
        output=visible,
        reasoning=reasoning,
        reported=reported,
        raw=raw,
        context=_context(raw),
        charged_usd=charged_usd(raw, compat),
    )


def _context(raw: JsonObject) -> int | None:
    """xAI adds up the requests of a server-side tool loop, and says apart what the last one held."""
    last = json_object(raw.get("context_details"))
    held = None if last is None else json_int(last.get("input_tokens"))
    return None if last is None or held is None else _count(held) + _count(json_int(last.get("output_tokens")))


def _beyond(reported: ReportedUsage) -> int | None:
    """What the total holds beyond input and output; None where one of the three was not said."""
    if reported.input is None or reported.output is None or reported.total is None:
        return None
    return reported.total - reported.input - reported.output


def _cache_is_apart(reported: ReportedUsage, cached: int, beyond: int | None) -> bool:
    reasoning = _count(reported.reasoning)
    if beyond is None:
        return cached > _count(reported.input)
    if cached == reasoning:  # one gap that would fit both: reasoning apart is what is seen
        return cached > 0 and beyond == cached + reasoning
    return cached > 0 and beyond in (cached, cached + reasoning)


def _output(reported: ReportedUsage, beyond: int | None, *, excludes_reasoning: bool) -> tuple[int, int]:
    """Visible output and reasoning."""
    output, reasoning = _count(reported.output), _count(reported.reasoning)
    if excludes_reasoning or (reasoning and beyond == reasoning):
        return output, reasoning
    if reasoning > output:
        if beyond is None:
            return output, reasoning
        generated = output + max(beyond, 0)
        return max(generated - reasoning, 0), min(reasoning, generated)
    # What nobody named is reasoning; where reasoning was named, what is left over is something else.
    unnamed = max(beyond or 0, 0) if reported.reasoning is None else 0
    return output - reasoning, reasoning + unnamed


def long_ttl(raw: Mapping[str, object]) -> int:
    """Tokens written to a cache for an hour, by the Messages API's member, which gateways of other wires carry too."""
    written = json_object(raw.get("cache_creation"))
    return 0 if written is None else _count(json_int(written.get("ephemeral_1h_input_tokens")))


def charged_usd(raw: JsonObject, compat: Compat) -> float | None:
    """What the server says the answer costs, in US dollars. None where the caller's own key at somebody else's was used
    (OpenRouter's `is_byok`): the bill for the tokens comes from there."""
    if not compat.charge_member:
        return None
    value: JsonValue = raw if raw.get("is_byok") is not True else None
    for name in compat.charge_member:
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < inf:
        return None
    return value / compat.charges_per_usd


def _count(number: int | None) -> int:
    return max(number or 0, 0)
