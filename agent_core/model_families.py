"""What is known of models whoever serves them: facts by the name of the model, as data, each with its source.

They lie under the rows of providers: a gateway that makes a model something else says so in its row. A name is matched
without what stands before its last slash (`anthropic/claude-…`, `@cf/meta/llama-…`), and without `openai.` and its like
(Bedrock). Sources as in `provider_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping

from .providers import CompatOverrides, ModelRule

__all__ = ["FAMILIES", "NO_CUSTOM_TOOLS", "OLD_CLAUDE"]

# Reasoning models of OpenAI refuse sampling parameters (3a), by whomever they are served: the o-series, the first
# GPT-5, codex, pro and the later chat models always; GPT-5.1 to 5.4 once an effort is asked for, GPT-5.5 and 5.6 unless
# it is `none` (pydantic-ai profiles/openai.py, measured July 2026).
_NO_SAMPLING: CompatOverrides = {"sampling": False, "reasons_by_default": True}
_OPTIONAL: CompatOverrides = {"sampling": True, "sampling_beside_reasoning": False, "reasons_by_default": False}
_SWITCHABLE: CompatOverrides = {**_OPTIONAL, "reasons_by_default": True}
_OPENAI = (
    *(ModelRule(pattern, _NO_SAMPLING) for pattern in ("o1*", "o3*", "o4*", "gpt-5*", "gpt-6*", "codex*")),
    *(ModelRule(f"gpt-5.{minor}*", _OPTIONAL) for minor in (1, 2, 3, 4)),
    *(ModelRule(f"gpt-5.{minor}*", _SWITCHABLE) for minor in (5, 6)),
    *(ModelRule(pattern, _NO_SAMPLING) for pattern in ("gpt-5.?-pro*", "gpt-5.?-chat*", "gpt-5.1-codex*")),
    ModelRule("gpt-5-chat*", {"sampling": True, "reasons_by_default": False}),
    # Refuses `system` and `developer` alike (recorded).
    ModelRule("o1-mini*", {"system_role": "user"}),
    # The open weights know three efforts (3a, Groq).
    ModelRule("gpt-oss*", {"efforts": ("low", "medium", "high")}),
)

NO_CUSTOM_TOOLS = tuple(
    ModelRule(pattern, {"custom_tools": False}, "responses") for pattern in ("gpt-3*", "gpt-4*", "o1*", "o3*", "o4*")
)
"""Free-form tools came with GPT-5; for rows that have them at all."""

# Budgets belong to models before 4.6 (3b: adaptive on 4.6 and later, budgets refused by Opus 4.7), and so does lowering
# a schema to a tool: they have no output format. Anthropic writes 4-5, others 4.5.
OLD_CLAUDE = (
    *(
        ModelRule(pattern, {"reasoning_request": "budget", "output_schema": "tool"}, "messages")
        for pattern in (
            "claude-[23]*",
            "claude-instant*",
            "claude-*-4",
            "claude-*-4@*",
            "claude-*-4[-.]0*",
            "claude-*-4-2025*",
            "claude-opus-4[-.]1*",
        )
    ),
    ModelRule("claude-*-4[-.]5*", {"reasoning_request": "budget"}, "messages"),
)

_CLAUDE = (
    # Without a cap a thinking model would stop at our 8192; 32000 is what Claude Code sends (partners.md 5), and what
    # every Claude since 3.7 takes. Older ones end earlier.
    ModelRule("claude-*", {"reasoning_request": "adaptive", "default_max_tokens": 32000}, "messages"),
    *OLD_CLAUDE,
    *(ModelRule(f"claude-3-{name}*", {"default_max_tokens": 4096}, "messages") for name in ("opus", "sonnet", "haiku")),
    ModelRule("claude-3[-.]5*", {"default_max_tokens": 8192}, "messages"),
    ModelRule("claude-2*", {"default_max_tokens": 4096}, "messages"),
)

# Tokens a prompt may have, by the data of genai-prices 0.2.3 (October 2026), as a rule what the maker offers: a host
# that offers less says so when it refuses a prompt, and compaction keeps to that. OpenAI's reasoning models are counted
# without the 128,000 tokens of their answer; Codex takes 272,000 for GPT-5 too (codex.md 2.5). Later patterns win.
_WINDOWS: Mapping[str, int] = {
    "gpt-3.5*": 16_385,
    "gpt-4*": 8_192,
    "gpt-4-32k*": 32_000,
    "gpt-4-[01tv]*": 128_000,
    "*gpt-4o*": 128_000,
    "gpt-4.1*": 1_000_000,
    "o[134]*": 200_000,
    "o1-[mp]*": 128_000,
    "gpt-5*": 272_000,
    "gpt-5.[456]*": 922_000,
    "gpt-5.?-[mn]*": 272_000,
    "gpt-5*-chat*": 128_000,
    "gpt-6*": 922_000,
    "gpt-oss*": 131_072,
    "claude-*": 200_000,
    "claude-opus-4[-.][678]*": 1_000_000,
    "claude-sonnet-4[-.]6*": 1_000_000,
    **dict.fromkeys((f"claude-{name}-5*" for name in ("opus", "sonnet", "haiku", "fable", "mythos")), 1_000_000),
    "gemini-[23]*": 1_000_000,
    "deepseek-v3*": 128_000,
    "deepseek-v4*": 1_000_000,
    "grok-3*": 131_072,
    "grok-4*": 256_000,
    "grok-4*-fast*": 2_000_000,
    "grok-4.[23]*": 1_000_000,
    "grok-4.[567]*": 500_000,
    "grok-code-fast*": 256_000,
    "kimi-k2*": 131_072,
    "kimi-k2-0905*": 262_144,
    "kimi-k2[-.][567t]*": 262_144,
    "kimi-k3*": 1_000_000,
    "glm-4.5*": 131_072,
    "glm-4.[67]*": 200_000,
    "glm-5*": 200_000,
    "glm-5.[23]*": 1_000_000,
    "minimax-m2*": 196_000,
    "minimax-m3*": 512_000,
    "mistral-*": 128_000,
    "codestral*": 256_000,
}

FAMILIES: tuple[ModelRule, ...] = (
    *_OPENAI,
    *_CLAUDE,
    # A schema dialect of its own; schemas beside tools came with Gemini 3 (3d).
    ModelRule("gemini-*", {"schema_dialect": "gemini"}),
    ModelRule("gemini-[12]*", {"schema_beside_tools": False}),
    # `$defs` are to be written out (3d).
    ModelRule("*llama*", {"schema_dialect": "inline_refs"}),
    ModelRule("*qwen*", {"schema_dialect": "inline_refs"}),
    # No `required`, no strict (3a).
    *(
        ModelRule(pattern, {"required_choice": "auto", "strict_tools": False})
        for pattern in ("qwen3-coder*", "qwen-3-coder*")
    ),
    *(ModelRule(pattern, {"context_window": tokens}) for pattern, tokens in _WINDOWS.items()),
)
