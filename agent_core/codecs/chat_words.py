"""The small vocabularies of the Chat wire, both ways: why the model stopped, and what it cost."""

from __future__ import annotations

from ..events import FinishReason, ReportedUsage, Usage
from ..items import JsonObject
from .base import Compat, json_int, json_object
from .token_counts import disjoint

__all__ = ["decode_usage", "encode_usage", "finish_reason_of", "finish_word"]

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",  # Together
    "eos_token": "stop",
    "end": "stop",
    "end_turn": "stop",  # LiteLLM bridges (litellm#12481)
    "stop_sequence": "stop",
    "complete": "stop",  # Cohere
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",  # Z.AI
    "content_filter": "content_filter",
    "sensitive": "content_filter",  # Z.AI
    "safety": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
    "error": "error",
    "network_error": "error",  # Z.AI
    "insufficient_system_resource": "error",  # DeepSeek
    "malformed_function_call": "error",  # Gemini
}
"""Lower-cased words of providers.md 3c; anything else is `unknown`."""

_FINISH_WORDS: dict[FinishReason, str] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
    "refusal": "content_filter",  # the wire's nearest word; its clients know no other
    "pause": "stop",
    "error": "error",  # OpenRouter's word: better unknown to a client than a success
    "unknown": "stop",
}


def finish_reason_of(word: str) -> FinishReason:
    """The common word for a server's `finish_reason`, in any case."""
    return _FINISH_REASONS.get(word.lower(), "unknown")


def finish_word(reason: FinishReason, *, calls: bool) -> str:
    """The wire's word for a reason. An answer with calls that merely stopped has stopped for them."""
    return "tool_calls" if calls and reason in ("stop", "unknown") else _FINISH_WORDS[reason]


def decode_usage(raw: JsonObject, compat: Compat) -> Usage:
    """Disjoint counters from a `usage` object, by the rules of `token_counts`; members by whatever name they come."""
    prompted = json_object(raw.get("prompt_tokens_details")) or {}
    completed = json_object(raw.get("completion_tokens_details")) or {}
    cached = json_int(prompted.get("cached_tokens"))
    reported = ReportedUsage(
        input=json_int(raw.get("prompt_tokens"), raw.get("input_tokens")),
        cached_input=_cached_elsewhere(raw) if cached is None else cached,
        output=json_int(raw.get("completion_tokens"), raw.get("output_tokens")),
        reasoning=json_int(completed.get("reasoning_tokens"), raw.get("reasoning_tokens")),  # Copilot, Azure
        total=json_int(raw.get("total_tokens")),
    )
    cache_write = json_int(
        prompted.get("cache_write_tokens"),  # OpenRouter
        prompted.get("cache_creation_tokens"),
        raw.get("cache_creation_input_tokens"),
    )
    return disjoint(reported, raw, compat, cache_write=cache_write)


def _cached_elsewhere(raw: JsonObject) -> int | None:
    return json_int(
        (json_object(raw.get("prompt_token_details")) or {}).get("cached_tokens"),  # Writer
        raw.get("prompt_cache_hit_tokens"),  # DeepSeek
        raw.get("cached_tokens"),  # Together, Kimi
        raw.get("num_cached_tokens"),  # Mistral
        raw.get("cache_read_input_tokens"),  # Databricks, Venice
    )


def encode_usage(usage: Usage) -> JsonObject:
    """The `usage` object OpenAI would send; cache writes in the members OpenRouter and Anthropic gave them."""
    prompt_details: JsonObject = {"cached_tokens": usage.cache_read}
    out: JsonObject = {
        "prompt_tokens": usage.input_total,
        "completion_tokens": usage.output_total,
        "total_tokens": usage.total,
        "prompt_tokens_details": prompt_details,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
    if usage.cache_write:
        prompt_details["cache_write_tokens"] = usage.cache_write
    if usage.cache_write_1h:
        out["cache_creation"] = {"ephemeral_1h_input_tokens": usage.cache_write_1h}
    return out
