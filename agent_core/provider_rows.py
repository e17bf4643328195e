"""The shipped providers, as data. A row holds what differs from the standard, and where that is known from.

Sources: providers.md 3a (endpoints, keys, request dialect), 3b (reasoning), 3d (schemas, limits); "recorded" is what
the provider answered in the recorded streams and errors. A base URL with a slash after its host has no path on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .items import WireName
from .providers import CompatOverrides, Endpoint, ModelRule, Provider

__all__ = ["ROWS"]

_MCT: CompatOverrides = {"max_tokens_field": "max_completion_tokens"}

# Reasoning models of OpenAI refuse sampling parameters (3a), by whomever they are served: the o-series, the first
# GPT-5, codex, pro and the later chat models always; GPT-5.1 to 5.4 once an effort is asked for, GPT-5.5 and 5.6 unless
# it is `none` (pydantic-ai profiles/openai.py, measured July 2026).
_NO_SAMPLING: CompatOverrides = {"sampling": False, "reasons_by_default": True}
_OPTIONAL: CompatOverrides = {"sampling": True, "sampling_beside_reasoning": False, "reasons_by_default": False}
_SWITCHABLE: CompatOverrides = {**_OPTIONAL, "reasons_by_default": True}
_OPENAI_REASONING = (
    *(ModelRule(pattern, _NO_SAMPLING) for pattern in ("o1*", "o3*", "o4*", "gpt-5*", "gpt-6*", "codex*")),
    *(ModelRule(f"gpt-5.{minor}*", _OPTIONAL) for minor in (1, 2, 3, 4)),
    *(ModelRule(f"gpt-5.{minor}*", _SWITCHABLE) for minor in (5, 6)),
    *(ModelRule(pattern, _NO_SAMPLING) for pattern in ("gpt-5.?-pro*", "gpt-5.?-chat*", "gpt-5.1-codex*")),
    ModelRule("gpt-5-chat*", {"sampling": True, "reasons_by_default": False}),
    # Refuses `system` and `developer` alike (recorded).
    ModelRule("o1-mini*", {"system_role": "user"}),
)

# Encrypted reasoning goes with store=false and without ids (3b, behaviours.md S1-54); free-form tools came with GPT-5.
_OPENAI_RESPONSES: CompatOverrides = {"encrypted_reasoning": True, "store": False, "custom_tools": True}

# Strict schemas have to be of a certain form (3d): those that ask for strict are brought into it.
_STRICT_SCHEMAS: CompatOverrides = {"schema_dialect": "openai_strict"}
_NO_CUSTOM_TOOLS = tuple(
    ModelRule(pattern, {"custom_tools": False}, "responses") for pattern in ("gpt-3*", "gpt-4*", "o1*", "o3*", "o4*")
)

# Budgets belong to models before 4.6 (3b: adaptive on 4.6 and later, budgets refused by Opus 4.7), and so does lowering
# a schema to a tool: they have no output format.
_OLD_CLAUDE = (
    *(
        ModelRule(pattern, {"reasoning_request": "budget", "output_schema": "tool"}, "messages")
        for pattern in ("claude-[23]*", "claude-instant*", "claude-*-4-0*", "claude-*-4-2025*", "claude-opus-4-1*")
    ),
    ModelRule("claude-*-4-5*", {"reasoning_request": "budget"}, "messages"),
)

# Without a cap a thinking model would stop at our 8192; 32000 is what Claude Code sends (partners.md 5), and what every
# Claude since 3.7 takes. Older ones end earlier.
_CLAUDE_CAPS = (
    *(ModelRule(f"claude-3-{name}*", {"default_max_tokens": 4096}, "messages") for name in ("opus", "sonnet", "haiku")),
    ModelRule("claude-3-5*", {"default_max_tokens": 8192}, "messages"),
    ModelRule("claude-2*", {"default_max_tokens": 4096}, "messages"),
)

# Messages servers of open models: thinking comes without a signature and goes back without one.
_UNSIGNED: CompatOverrides = {"unsigned_thinking": True}

# Chat templates of local engines: some allow one system message only (3a, vLLM), none knows `developer`.
_TEMPLATED: CompatOverrides = {"merge_system": True}

_ANY_WIRE: Mapping[WireName, Endpoint] = {"chat": Endpoint(), "responses": Endpoint(), "messages": Endpoint()}

_AZURE = Provider(
    "azure",
    "{AZURE_OPENAI_ENDPOINT}/openai/v1",
    wires={
        # No file parts on Chat; Foundry's Mistral models know only max_tokens (3a).
        "chat": Endpoint(compat={**_MCT, "call_id_max": 40, "files": False}),
        # Responses are stored there, and items go back under their ids (behaviours.md S1-53).
        "responses": Endpoint(
            compat={"encrypted_reasoning": True, "store": True, "send_item_ids": True, "custom_tools": True}
        ),
    },
    key_env=("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
    auth="api-key",
    compat=_STRICT_SCHEMAS,
    models=(
        *_OPENAI_REASONING,
        *_NO_CUSTOM_TOOLS,
        *(
            ModelRule(pattern, {"max_tokens_field": "max_tokens"}, "chat")
            for pattern in ("*mistral*", "*ministral*", "*codestral*")
        ),
    ),
)

# The dated API has the deployment in the path and the version in the query (recorded); its variable chooses it.
_AZURE_DATED = replace(
    _AZURE,
    base_url="{AZURE_OPENAI_ENDPOINT}/openai",
    wires={
        "chat": replace(_AZURE.wires["chat"], path="/deployments/{model}/chat/completions"),
        "responses": _AZURE.wires["responses"],
    },
    query={"api-version": "{OPENAI_API_VERSION}"},
)

ROWS: tuple[Provider, ...] = (
    Provider(
        "openai",
        "https://api.openai.com/v1",
        wire="responses",
        wires={
            # Ids of calls of at most 40 characters (3a).
            "chat": Endpoint(compat={**_MCT, "call_id_max": 40}),
            "responses": Endpoint(compat=_OPENAI_RESPONSES),
        },
        key_env=("OPENAI_API_KEY",),
        compat={**_STRICT_SCHEMAS, "prompt_cache_key": True},
        models=(*_OPENAI_REASONING, *_NO_CUSTOM_TOOLS),
    ),
    replace(_AZURE, instead=("OPENAI_API_VERSION", _AZURE_DATED)),
    Provider(
        "anthropic",
        "https://api.anthropic.com/v1",
        wire="messages",
        wires={
            "messages": Endpoint(compat={"reasoning_request": "adaptive", "default_max_tokens": 32000}),
            # Anthropic's own OpenAI-compatible endpoint: it ignores `strict`, `response_format` and the effort.
            "chat": Endpoint(
                auth="bearer", compat={"strict_tools": False, "reasoning_request": "none", "output_schema": "tool"}
            ),
        },
        key_env=("ANTHROPIC_API_KEY",),
        models=(*_OLD_CLAUDE, *_CLAUDE_CAPS),
    ),
    Provider(
        "openrouter",
        "https://openrouter.ai/api/v1",
        wires={
            # `usage: {include: true}` asks for the cost; reasoning is an object of its own (3a, 3b).
            "chat": Endpoint(compat={"reasoning_request": "object", "extra_body": {"usage": {"include": True}}}),
            "responses": Endpoint(),
            "messages": Endpoint(auth="bearer"),
        },
        key_env=("OPENROUTER_API_KEY",),
        compat={"charge_member": ("cost",)},
        models=(
            ModelRule("google/gemini*", {"schema_dialect": "gemini"}),  # their schemas must be inlined (3a)
            ModelRule("openai/*", {"call_id_max": 40}, "chat"),
        ),
    ),
    Provider(
        "groq",
        "https://api.groq.com/openai/v1",
        wires={"chat": Endpoint()},
        key_env=("GROQ_API_KEY",),
        # Schemas are refused beside tools and in streams (3a), so they are tools. Reasoning comes in `reasoning` (3b).
        compat={**_MCT, "output_schema": "tool", "reasoning_request": "none", "reasoning_field": "reasoning"},
        models=(
            ModelRule("*gpt-oss*", {"reasoning_request": "effort", "efforts": ("low", "medium", "high")}),
            # Raw reasoning would be tags in the text (3b), and is refused beside tools.
            ModelRule(
                "*qwen3*",
                {
                    "reasoning_request": "effort",
                    "efforts": ("none", "default"),
                    "extra_body": {"reasoning_format": "parsed"},
                },
            ),
        ),
    ),
    Provider(
        "mistral",
        "https://api.mistral.ai/v1",
        wires={"chat": Endpoint()},
        key_env=("MISTRAL_API_KEY",),
        # Rejects unknown fields and nulls; `any` for `required`, no named choice; 9-character ids; an answer begun for
        # the model has a prefix; thinking comes and goes as a content list (3a, 3b, 3d); the seed is `random_seed`
        # (recorded).
        compat={
            "required_choice": "any",
            "named_choice": False,
            "strict_tools": False,
            "omit_null_content": True,
            "tool_message_name": True,
            "assistant_prefix": True,
            "call_id_exact": 9,
            "reasoning_field": "content_list",
            "seed_field": "random_seed",
            "logprobs": False,  # recorded
            "unknown_members": ("metadata", "service_tier", "store", "user", "verbosity"),
        },
    ),
    Provider(
        "deepseek",
        "https://api.deepseek.com/",
        wires={
            # JSON mode but no schemas, and not beside tools (3d).
            "chat": Endpoint(
                compat={
                    "reasoning_request": "thinking_type",
                    "reasoning_field": "reasoning_content",
                    "output_schema": "json_object",
                    "schema_beside_tools": False,
                }
            ),
            # Text between calls is refused (recorded); schemas are held to (pydantic-ai profiles/openai.py).
            "responses": Endpoint(compat={"calls_last": True}),
            "messages": Endpoint(
                base_url="https://api.deepseek.com/anthropic", compat={**_UNSIGNED, "output_schema": "tool"}
            ),
        },
        key_env=("DEEPSEEK_API_KEY",),
        # String content only, no images or files (recorded: unknown variant), strict only under /beta, thinking is
        # switched by `thinking: {type}` and given back while calls are open (3a, 3b).
        compat={
            "content_as_string": True,
            "strict_tools": False,
            "images": False,
            "files": False,
            "reasoning_replay": "open_calls",
        },
        models=(
            # No tool can be forced (3a); it always thinks.
            ModelRule("*reasoner*", {"required_choice": "auto", "named_choice": False, "reasons_by_default": True}),
            # Thinks by default; forced choices are refused while it does (recorded), and taken while it does not.
            ModelRule(
                "*v4*", {"reasons_by_default": True, "choice_beside_reasoning": False, "reasoning_replay": "always"}
            ),
            ModelRule("*v4*", {"reasoning_always_present": True, "reasoning_request": "thinking_effort"}, "chat"),
            ModelRule("*r1*", {"reasoning_replay": "never"}),
        ),
    ),
    Provider(
        "moonshot",  # in China: base_url="https://api.moonshot.cn/v1"
        "https://api.moonshot.ai/v1",
        wires={"chat": Endpoint()},
        key_env=("MOONSHOT_API_KEY", "MOONSHOTAI_API_KEY", "KIMI_API_KEY"),
        # Temperature to 1; no `required`; string content; empty text beside calls is a 400; reasoning must go back with
        # calls, an empty one too; a schema dialect of its own (3a, 3b, 3d).
        compat={
            "temperature_max": 1.0,
            "required_choice": "auto",
            "strict_tools": False,
            "content_as_string": True,
            "omit_null_content": True,
            "schema_dialect": "moonshot",
            "reasoning_request": "thinking_type",
            "thinking_members": {"keep": "all"},
            "reasoning_field": "reasoning_content",
        },
        models=(
            ModelRule("kimi*", {"reasoning_always_present": True}),
            ModelRule("*k3*", {"reasoning_request": "effort"}),
        ),
    ),
    Provider(
        "kimi-coding",
        "https://api.kimi.com/coding",
        wire="messages",
        wires={"messages": Endpoint()},
        key_env=("KIMI_API_KEY",),
        compat={**_UNSIGNED, "output_schema": "tool"},
    ),
    Provider(
        "zai",  # coding plan: https://api.z.ai/api/coding/paas/v4; in China: https://open.bigmodel.cn/api/paas/v4
        "https://api.z.ai/api/paas/v4",
        wires={"chat": Endpoint()},
        key_env=("ZAI_API_KEY", "ZHIPU_API_KEY"),
        # With `clear_thinking: false` it wants all earlier reasoning back (3b).
        compat={
            "reasoning_request": "thinking_type",
            "thinking_members": {"clear_thinking": False},
            "reasoning_field": "reasoning_content",
            "reasoning_always_present": True,
        },
        models=(
            ModelRule("glm-5.2*", {"reasoning_request": "thinking_effort"}),
            # Cannot be told not to think (3a).
            ModelRule("glm-5.3*", {"reasoning_request": "effort", "efforts": ("low", "high", "max")}),
        ),
    ),
    Provider(
        "dashscope",  # in China: https://dashscope.aliyuncs.com/compatible-mode/v1; in the US: dashscope-us
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        wires={"chat": Endpoint()},
        key_env=("DASHSCOPE_API_KEY", "ALIBABA_API_KEY"),
        # Earlier reasoning must not go back; no files; `$defs` inlined (3a, 3b, 3d).
        compat={
            "reasoning_request": "enable_thinking",
            "reasoning_replay": "never",
            "files": False,
            "schema_dialect": "inline_refs",
        },
        models=tuple(
            ModelRule(pattern, {"required_choice": "auto", "strict_tools": False})
            for pattern in ("qwen3-coder*", "qwen-3-coder*")
        ),
    ),
    Provider(
        "xai",
        "https://api.x.ai/v1",
        wires={
            # Completion tokens leave reasoning out; it does not go back on Chat (3b, 3c); no `store` there (3a).
            "chat": Endpoint(
                compat={
                    **_MCT,
                    "output_excludes_reasoning": True,
                    "reasoning_replay": "never",
                    "unknown_members": ("store",),
                }
            ),
            "responses": Endpoint(compat={"encrypted_reasoning": True}),
        },
        key_env=("XAI_API_KEY",),
        # Only some models take an effort, and not all of them the same (3a). A tick is 10^-10 of a dollar (recorded).
        compat={"reasoning_request": "none", "charge_member": ("cost_in_usd_ticks",), "charges_per_usd": 1e10},
        models=(
            ModelRule("grok-4*", {"reasons_by_default": True}, "responses"),
            ModelRule("*non-reasoning*", {"reasons_by_default": False}),
            ModelRule("grok-3-mini*", {"stop": False, "reasoning_request": "effort", "efforts": ("low", "high")}),
            ModelRule("grok-4.3*", {"reasoning_request": "effort", "efforts": ("none", "low", "medium", "high")}),
            ModelRule("grok-4.5*", {"reasoning_request": "effort", "efforts": ("low", "medium", "high")}),
        ),
    ),
    Provider(
        "together",
        "https://api.together.xyz/v1",
        wires={"chat": Endpoint()},
        key_env=("TOGETHER_API_KEY", "TOGETHER_AI_API_KEY"),
        # `reasoning: {enabled}`; no `store`, no strict (3a).
        compat={"strict_tools": False, "reasoning_request": "enabled_object", "unknown_members": ("store",)},
    ),
    Provider(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        wires={"chat": Endpoint()},
        key_env=("FIREWORKS_API_KEY",),
        # `strict` is stripped, `any` for `required`, no schemas beside tools (3a, 3d).
        compat={"required_choice": "any", "strict_tools": False, "schema_beside_tools": False},
    ),
    Provider(
        "cerebras",
        "https://api.cerebras.ai/v1",
        wires={"chat": Endpoint()},
        key_env=("CEREBRAS_API_KEY",),
        # Rejects parallel_tool_calls, penalties and service_tier; GLM's reasoning goes back in tags, gpt-oss's in
        # `reasoning` (3a, 3b).
        compat={
            **_MCT,
            "parallel_tool_calls": False,
            "penalties": False,
            "unknown_members": ("service_tier",),
            "reasoning_field": "reasoning",
        },
        models=(ModelRule("*glm*", {"reasoning_field": "think_tag"}),),
    ),
    Provider(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        wires={"chat": Endpoint()},
        key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        # No strict; a schema dialect of its own (3a, 3d). Thought signatures travel with the calls they sign (3b).
        compat={"strict_tools": False, "schema_dialect": "gemini"},
        # Schemas beside tools came with Gemini 3 (3d).
        models=(ModelRule("gemini-[12]*", {"schema_beside_tools": False}),),
    ),
    Provider(
        "minimax",  # in China: https://api.minimaxi.com/v1
        "https://api.minimax.io/v1",
        wire="messages",  # recommended over Chat: thinking goes back unmodified (3a, 3b)
        wires={
            "messages": Endpoint(
                base_url="https://api.minimax.io/anthropic", compat={**_UNSIGNED, "output_schema": "tool"}
            ),
            # Without it reasoning stays as tags inside the text.
            "chat": Endpoint(compat={"extra_body": {"reasoning_split": True}, "reasoning_field": "reasoning_details"}),
        },
        key_env=("MINIMAX_API_KEY",),
    ),
    Provider(
        "github",
        "https://models.github.ai/inference",
        wires={"chat": Endpoint()},
        key_env=("GITHUB_TOKEN", "GITHUB_API_KEY"),
        compat=_MCT,
    ),
    # Address recorded; the variables are those of huggingface_hub and of docs.perplexity.ai.
    Provider("huggingface", "https://router.huggingface.co/v1", wires={"chat": Endpoint()}, key_env=("HF_TOKEN",)),
    Provider(
        "perplexity",
        "https://api.perplexity.ai/",
        wires={"chat": Endpoint()},
        key_env=("PERPLEXITY_API_KEY",),
        compat={"charge_member": ("cost", "total_cost")},
    ),
    Provider(
        "vercel",
        "https://ai-gateway.vercel.sh/v1",
        wires={"chat": Endpoint()},
        key_env=("AI_GATEWAY_API_KEY",),
        compat={"charge_member": ("cost",)},
        # Its bills count Gemini's reasoning beside completion tokens, its totals do not (recorded).
        models=(ModelRule("google/*", {"output_excludes_reasoning": True}),),
    ),
    Provider(
        "bedrock",
        "https://bedrock-mantle.{AWS_REGION}.api.aws/v1",
        # Call ids start again with every response (3a).
        wires={"chat": Endpoint(compat=_MCT), "responses": Endpoint(compat={"qualify_call_ids": True})},
        key_env=("AWS_BEARER_TOKEN_BEDROCK",),
    ),
    Provider(
        "snowflake",
        "https://{SNOWFLAKE_ACCOUNT}.snowflakecomputing.com/api/v2/cortex/v1",
        wires={"chat": Endpoint()},
        key_env=("SNOWFLAKE_TOKEN",),
        compat={"strict_tools": False, "finish_may_be_missing": True},
    ),
    Provider(
        "ollama",
        "http://localhost:11434/v1",
        wires={"chat": Endpoint()},
        key_env=("OLLAMA_API_KEY",),
        key_optional=True,
        # Ignores tool_choice, and strict (3a).
        compat={"strict_tools": False, "required_choice": "auto", "named_choice": False},
    ),
    Provider(
        "vllm",
        "http://localhost:8000/v1",
        wires={**_ANY_WIRE, "messages": Endpoint(auth="bearer", compat=_UNSIGNED)},
        key_env=("VLLM_API_KEY",),
        key_optional=True,
        compat=_TEMPLATED,
    ),
    Provider("sglang", "http://localhost:30000/v1", wires={"chat": Endpoint()}, compat=_TEMPLATED),
    Provider(
        "llamacpp",
        "http://127.0.0.1:8080/v1",
        wires={**_ANY_WIRE, "messages": Endpoint(compat=_UNSIGNED)},
        compat=_TEMPLATED,
    ),
    Provider(
        "lmstudio",
        "http://localhost:1234/v1",
        wires={"chat": Endpoint(), "responses": Endpoint()},  # Responses: recorded
        key_env=("LM_STUDIO_API_KEY",),
        key_optional=True,
        compat=_TEMPLATED,
    ),
    Provider(
        "litellm",
        "http://localhost:4000/v1",
        wires=_ANY_WIRE,
        key_env=("LITELLM_API_KEY",),
        key_optional=True,
    ),
)
