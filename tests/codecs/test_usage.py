"""Token counters: each provider's rule as a row, and every recorded stream against an independent sum and its bill."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

import pytest

from agent_core.codecs import codec_for
from agent_core.codecs.base import Compat
from agent_core.codecs.chat_words import decode_usage
from agent_core.codecs.messages_usage import usage_of
from agent_core.codecs.responses_reading import decode_usage as decode_responses_usage
from agent_core.events import ModelUsage, Usage
from agent_core.items import JsonObject, JsonValue, WireName
from agent_core.prompt import Prompt
from agent_core.providers import resolve

from ..recordings import Recording, needs_recordings, streams

# The rules, by hand (providers.md 3c, DESIGN trap 6).


def chat(prompt: int, completion: int, total: int | None = None, **more: int) -> JsonObject:
    raw: JsonObject = {"prompt_tokens": prompt, "completion_tokens": completion, **more}
    return raw if total is None else {**raw, "total_tokens": total}


CHAT_RULES: dict[str, tuple[JsonObject, Usage]] = {
    "OpenAI: input holds cached, output holds reasoning": (
        chat(100, 50, 150, cached_tokens=40, reasoning_tokens=20),
        Usage(input=60, cache_read=40, output=30, reasoning=20),
    ),
    "xAI: reasoning beside output, by the total": (
        chat(12, 2, 354, reasoning_tokens=340),
        Usage(input=12, output=2, reasoning=340),
    ),
    "Gemini: what the total holds beyond both was thought": (
        chat(9, 1, 103),
        Usage(input=9, output=1, reasoning=93),
    ),
    "Baseten: the output ends one token short of its reasoning (vercel/ai#18614)": (
        chat(951, 6000, 6952, cached_tokens=60, reasoning_tokens=6001),
        Usage(input=891, cache_read=60, reasoning=6001),
    ),
    "OpenRouter: reasoning counted by another tokenizer than output": (
        chat(15, 256, 271, reasoning_tokens=271),
        Usage(input=15, reasoning=256),
    ),
    "more reasoning than output, and no total to ask": (
        chat(5, 3, reasoning_tokens=9),
        Usage(input=5, output=3, reasoning=9),
    ),
    "Azure's Grok: cached tokens it does not count": (
        chat(7, 8, 15, cached_tokens=161),
        Usage(cache_read=7, output=8),
    ),
    "a gateway that leaves Anthropic's counts as they are, by the total": (
        chat(10, 5, 165, cache_read_input_tokens=100, cache_creation_input_tokens=50),
        Usage(input=10, cache_read=100, cache_write=50, output=5),
    ),
    "the same, with reasoning beside output": (
        chat(10, 5, 118, cache_read_input_tokens=100, reasoning_tokens=3),
        Usage(input=10, cache_read=100, output=5, reasoning=3),
    ),
    "more cached than prompt, and no total to ask": (
        chat(5, 1, cached_tokens=9),
        Usage(input=5, cache_read=9, output=1),
    ),
    "reasoning said to be none is none, whatever the total holds": (
        chat(9, 1, 20, reasoning_tokens=0),
        Usage(input=9, output=1),
    ),
    "a total alone says nothing of its parts": ({"total_tokens": 30}, Usage()),
    "less than nothing is nothing": (chat(-1, -2, -3, cached_tokens=-4, reasoning_tokens=-5), Usage()),
    "an hour of cache is a part of what was written": (
        {
            **chat(50, 4, 54),
            "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 10},
            "cache_creation": {"ephemeral_1h_input_tokens": 80},
        },
        Usage(input=20, cache_read=20, cache_write=10, cache_write_1h=10, output=4),
    ),
}


@pytest.mark.parametrize("rule", CHAT_RULES)
def test_a_rule_of_chat(rule: str) -> None:
    """Every token is in one counter, whichever convention the numbers follow."""
    raw, expected = CHAT_RULES[rule]
    assert decode_usage(raw, Compat()) == expected


def test_the_row_knows_what_no_total_shows() -> None:
    """Vercel's gateway bills Gemini's reasoning beside completion tokens; its total leaves it out."""
    compat = resolve("vercel/google/gemini-3-pro-preview").compat
    assert decode_usage(chat(9, 35, 44, reasoning_tokens=267), compat) == Usage(input=9, output=35, reasoning=267)


def test_a_rule_of_responses() -> None:
    """Written tokens are a part of the input; xAI says apart what the last request of its tool loop held."""
    raw: JsonObject = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 30},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 30},
        "total_tokens": 150,
        "context_details": {"input_tokens": 80, "output_tokens": 20},
    }
    usage = decode_responses_usage(raw, Compat())
    assert usage == Usage(input=50, cache_read=20, cache_write=30, output=20, reasoning=30)
    assert usage is not None and (usage.total, usage.context) == (150, 100)


def iteration(kind: str, tokens: tuple[int, int], **more: JsonValue) -> JsonObject:
    return {"type": kind, "input_tokens": tokens[0], "output_tokens": tokens[1], **more}


ITERATIONS: dict[str, tuple[tuple[int, int], list[JsonValue], Usage, int | None]] = {
    "one sampling": ((28, 106), [iteration("message", (28, 106))], Usage(input=28, output=106), None),
    "a tool loop at the provider's": (
        (300, 30),
        [iteration("message", (100, 10)), iteration("message", (200, 20))],
        Usage(input=300, output=30),
        220,
    ),
    "a compaction is not in the sum at the top": (
        (181, 8),
        [iteration("compaction", (100, 83), cache_read_input_tokens=55096), iteration("message", (181, 8))],
        Usage(input=281, cache_read=55096, output=91),
        189,
    ),
    "nor is an advisor, which is another model": (
        (2411, 145),
        [
            iteration("message", (1128, 135)),
            iteration("advisor_message", (2543, 18), model="claude-opus-4-8"),
            iteration("message", (1283, 10)),
        ],
        Usage(input=4954, output=163),
        1293,
    ),
    "one of a kind to come is taken for sampling": (
        (9, 1),
        [iteration("message", (4, 1)), iteration("new", (5, 0))],
        Usage(input=9, output=1),
        5,
    ),
}


@pytest.mark.parametrize("name", ITERATIONS)
def test_a_rule_of_messages(name: str) -> None:
    """What the API did beside sampling is counted too, and the window holds what the last sampling read and wrote."""
    (read, written), times, expected, context = ITERATIONS[name]
    usage = usage_of({"input_tokens": read, "output_tokens": written, "iterations": times}, Compat())
    assert usage is not None
    assert (usage, usage.context) == (expected, context)
    others = [ModelUsage("claude-opus-4-8", Usage(input=2543, output=18))] if "advisor" in name else []
    assert usage.by_others == tuple(others)


CHARGES: dict[str, tuple[str, JsonObject, float | None]] = {
    "OpenRouter": ("openrouter/a/b", {"cost": 0.0125}, 0.0125),
    "free of charge": ("openrouter/a/b:free", {"cost": 0}, 0.0),
    "the caller's own key": ("openrouter/a/b", {"cost": 0, "is_byok": True}, None),
    "ticks": ("xai/grok-4", {"cost_in_usd_ticks": 739000}, 7.39e-05),
    "in an object": ("perplexity/sonar", {"cost": {"total_cost": 0.005}}, 0.005),
    "not where the row looks": ("perplexity/sonar", {"cost": 0.005}, None),
    "a row that looks nowhere": ("openai/gpt-5.6", {"cost": 0.005}, None),
    "no number": ("openrouter/a/b", {"cost": True}, None),
    "less than nothing": ("openrouter/a/b", {"cost": -1}, None),
}


@pytest.mark.parametrize("name", CHARGES)
def test_what_the_provider_says_it_charges(name: str) -> None:
    """In US dollars, where its row knows the member; unknown is None and never nothing."""
    model, said, expected = CHARGES[name]
    assert decode_usage({**chat(1, 1), **said}, resolve(model, wire="chat").compat).charged_usd == expected


# Every recorded stream, counted a second time: from its bytes, by the table below, with none of the code above.

ROWS = {"vercel-gateway": "vercel", "alibaba": "dashscope", "charm-hyper": "", "bedrock-mantle": "bedrock"}
REASONING_BESIDE_OUTPUT = {("xai", "grok"), ("vercel-gateway", "google/")}
CACHED_NAMES = (
    ("prompt_tokens_details", "cached_tokens"), ("input_tokens_details", "cached_tokens"),
    ("prompt_token_details", "cached_tokens"), ("prompt_cache_hit_tokens",), ("cached_tokens",),
    ("num_cached_tokens",), ("cache_read_input_tokens",),
)  # fmt: skip
WRITTEN_NAMES = (("prompt_tokens_details", "cache_write_tokens"), ("input_tokens_details", "cache_write_tokens"),
                 ("cache_creation_input_tokens",))  # fmt: skip
REASONING_NAMES = (
    ("completion_tokens_details", "reasoning_tokens"), ("output_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "thinking_tokens"), ("reasoning_tokens",),
)  # fmt: skip


def first(raw: JsonObject, names: tuple[tuple[str, ...], ...]) -> int:
    for path in names:
        value: JsonValue = raw
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, int):
            return value
    return 0


def chunks(body: bytes) -> list[JsonObject]:
    """The JSON objects of a body, frame by frame; a last frame without its blank line counts."""
    found: list[JsonObject] = []
    for frame in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line.lstrip(b" ")[5:] for line in frame.split(b"\n") if line.lstrip(b" ").startswith(b"data:")]
        try:
            value: JsonValue = json.loads(b"\n".join(lines) or b"null")
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def usages(wire: WireName, body: bytes) -> list[JsonObject]:
    """Every usage object a body holds, in its order."""
    holders: dict[WireName, tuple[tuple[str, ...], ...]] = {
        "chat": (("x_groq", "usage"), ("usage",)),
        "responses": (("response", "usage"),),
        "messages": (("message", "usage"), ("usage",)),
    }
    found: list[JsonObject] = []
    for chunk in chunks(body):
        for path in holders[wire]:
            value: JsonValue = chunk
            for name in path:
                value = value.get(name) if isinstance(value, dict) else None
            if isinstance(value, dict) and value:
                found.append(value)
    return found


def merged(wire: WireName, said: list[JsonObject]) -> JsonObject:
    """Chat and Responses repeat the whole count, Messages only what changed."""
    if wire != "messages":
        return said[-1]
    return {name: value for usage in said for name, value in usage.items() if value is not None}


def counted(wire: WireName, provider: str, model: str, raw: JsonObject) -> Counter[str]:
    cached, written, thought = first(raw, CACHED_NAMES), first(raw, WRITTEN_NAMES), first(raw, REASONING_NAMES)
    sent = first(raw, (("prompt_tokens",), ("input_tokens",)))
    made = first(raw, (("completion_tokens",), ("output_tokens",)))
    count: Counter[str] = Counter()
    if wire == "messages":
        count.update(input=sent, cache_read=cached, cache_write=written, output=made - thought, reasoning=thought)
        count.update(cache_write_1h=first(raw, (("cache_creation", "ephemeral_1h_input_tokens"),)))
        times = raw.get("iterations")
        for entry in times if isinstance(times, list) else []:
            if isinstance(entry, dict) and entry["type"] in ("compaction", "advisor_message"):
                count.update(counted(wire, provider, model, {**entry, "iterations": None}))
        return count
    if wire == "chat" and any(provider == name and model.startswith(start) for name, start in REASONING_BESIDE_OUTPUT):
        made += thought
    cached = min(cached, sent)
    thought = min(thought, made)
    count.update(input=sent - cached - written, cache_read=cached, cache_write=written)
    count.update(output=made - thought, reasoning=thought)
    return count


def decoded(wire: WireName, recording: Recording) -> Usage | None:
    provider, model = str(recording.meta["provider"]), str(recording.meta.get("model") or "m")
    known = ROWS.get(provider, provider)
    compat = resolve(f"{known}/{model}", wire=wire, base_url="http://x").compat if known in SHIPPED[wire] else Compat()
    decoder = codec_for(wire).stream_decoder(Prompt("x"), compat)
    decoder.feed(recording.body)
    if not decoder.done:
        decoder.close()
    return decoder.snapshot().usage


SHIPPED: dict[WireName, set[str]] = {
    "chat": {"xai", "vercel", "openrouter", "perplexity", "deepseek", "groq", "mistral", "openai", "azure", "zai"},
    "responses": {"xai", "openrouter", "openai", "bedrock"},
    "messages": {"anthropic"},
}
WITH_USAGE: dict[WireName, int] = {"chat": 330, "responses": 118, "messages": 137}
WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")


@needs_recordings
@pytest.mark.parametrize("wire", WIRES)
def test_every_recorded_stream_is_counted_as_its_provider_counts(wire: WireName) -> None:
    """The five counters of each stream that says its usage are those of the independent sum; no stream loses any."""
    seen = 0
    for recording in streams(wire):
        said = usages(wire, recording.body)
        usage = decoded(wire, recording)
        assert (usage is not None) == bool(said), str(recording)
        if usage is None:
            continue
        seen += 1
        raw = merged(wire, said)
        expected = counted(wire, str(recording.meta["provider"]), str(recording.meta.get("model") or ""), raw)
        found = {name: getattr(usage, name) for name in ("input", "cache_read", "cache_write", "cache_write_1h")}
        found |= {"output": usage.output, "reasoning": usage.reasoning}
        assert found == {name: expected[name] for name in found}, str(recording)
        assert usage.raw == raw, str(recording)
    assert seen == WITH_USAGE[wire]


@dataclass(frozen=True, slots=True)
class Rate:
    """US dollars for a million tokens, as the bills of the recordings say them."""

    input: float
    output: float
    cached: float = 0.0


BILLS: dict[tuple[WireName, str, str], Rate] = {
    ("chat", "xai", "grok-4-fast"): Rate(0.2, 0.5, 0.05),
    ("chat", "xai", "grok-3-mini"): Rate(0.3, 0.5, 0.075),
    ("chat", "xai", "grok-code-fast-1"): Rate(0.2, 1.5, 0.02),
    ("chat", "vercel-gateway", "anthropic/claude-sonnet-4"): Rate(3, 15),
    ("chat", "vercel-gateway", "google/gemini-2.5-flash"): Rate(0.3, 2.5),
    ("chat", "vercel-gateway", "google/gemini-3-pro-preview"): Rate(2, 12),
    ("chat", "openrouter", "qwen/qwen3-30b-a3b"): Rate(0.12, 0.5),
    ("chat", "openrouter", "deepseek/deepseek-r1"): Rate(0.7, 2.5),
    ("chat", "openrouter", "openai/gpt-5"): Rate(1.25, 10),
    ("chat", "openrouter", "openai/o4-mini"): Rate(1.1, 4.4),
    ("chat", "openrouter", "x-ai/grok-4.1-fast"): Rate(0.2, 0.5, 0.05),
    ("responses", "openrouter", "openai/gpt-5-nano"): Rate(0.05, 0.4),
    ("responses", "openrouter", "google/gemini-2.5-flash-lite"): Rate(0.1, 0.4),
    ("responses", "xai", "grok-4.3"): Rate(1.25, 2.5, 0.2),
}
UNITS = 1e6


@needs_recordings
@pytest.mark.parametrize("wire", ("chat", "responses"))
def test_the_counters_are_what_the_bills_are_for(wire: WireName) -> None:
    """Where a provider says what it charged, our counters at its prices come to that: nobody bills a token twice."""
    checked = 0
    for recording in streams(wire):
        model = str(recording.meta.get("model") or "")
        rate = BILLS.get((wire, str(recording.meta["provider"]), model))
        usage = decoded(wire, recording)
        if rate is None or usage is None or not usage.charged_usd:
            continue
        checked += 1
        priced = usage.input * rate.input + usage.cache_read * rate.cached + usage.output_total * rate.output
        assert priced / UNITS == pytest.approx(usage.charged_usd, rel=0.002), str(recording)
    assert checked == {"chat": 21, "responses": 14}[wire]
