"""The shipped providers, as data. A row holds what differs from the standard, and where that is known from.

Here are those who serve models of their own; `host_rows` has those who serve other people's, and the engines one runs
oneself; `model_families` what is true of a model wherever it is served.

Sources: providers.md 3a (endpoints, keys, request dialect), 3b (reasoning), 3d (schemas, limits); "recorded" is what
the provider answered in the recorded streams and errors. A base URL with a slash after its host has no path on purpose.
"""

from __future__ import annotations

from dataclasses import replace

from .host_rows import HOSTS
from .model_families import NO_CUSTOM_TOOLS, OLD_CLAUDE
from .providers import CompatOverrides, Endpoint, ModelRule, Provider

__all__ = ["ROWS"]

_MCT: CompatOverrides = {"max_tokens_field": "max_completion_tokens"}

# Encrypted reasoning goes with store=false and without ids (3b, behaviours.md S1-54); free-form tools came with GPT-5.
# The endpoint for compaction: OpenAI's and Azure's API references, October 2026; Codex uses it at both (codex.md 2.5).
_OPENAI_RESPONSES: CompatOverrides = {
    "encrypted_reasoning": True,
    "store": False,
    "custom_tools": True,
    "compact_endpoint": True,
}

# Strict schemas have to be of a certain form (3d): those that ask for strict are brought into it.
_STRICT_SCHEMAS: CompatOverrides = {"schema_dialect": "openai_strict"}

# Messages servers of open models: thinking comes without a signature and goes back without one.
_UNSIGNED: CompatOverrides = {"unsigned_thinking": True}

# Gemini behind an OpenAI-shaped front (3a).
_GOOGLE: CompatOverrides = {"strict_tools": False, "schema_dialect": "gemini"}

_AZURE = Provider(
    "azure",
    "{AZURE_OPENAI_ENDPOINT}/openai/v1",
    wires={
        # No file parts on Chat; Foundry's Mistral models know only max_tokens (3a).
        "chat": Endpoint(compat={**_MCT, "call_id_max": 40, "files": False}),
        # Responses are stored there, and items go back under their ids (behaviours.md S1-53).
        "responses": Endpoint(compat={**_OPENAI_RESPONSES, "store": True, "send_item_ids": True}),
    },
    key_env=("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
    auth="api-key",
    compat=_STRICT_SCHEMAS,
    models=(
        *NO_CUSTOM_TOOLS,
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
        models=NO_CUSTOM_TOOLS,
    ),
    replace(_AZURE, instead=("OPENAI_API_VERSION", _AZURE_DATED)),
    Provider(
        "anthropic",
        "https://api.anthropic.com/v1",
        wire="messages",
        wires={
            # What is not yet named like a Claude is newer than them, and adaptive.
            "messages": Endpoint(compat={"reasoning_request": "adaptive"}),
            # Anthropic's own OpenAI-compatible endpoint: it ignores `strict`, `response_format` and the effort.
            "chat": Endpoint(
                auth="bearer", compat={"strict_tools": False, "reasoning_request": "none", "output_schema": "tool"}
            ),
        },
        key_env=("ANTHROPIC_API_KEY",),
        models=OLD_CLAUDE,
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
        # Earlier reasoning must not go back; no files (3a, 3b).
        compat={"reasoning_request": "enable_thinking", "reasoning_replay": "never", "files": False},
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
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        wires={"chat": Endpoint()},
        key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        # No strict (3a). Thought signatures travel with the calls they sign (3b).
        compat=_GOOGLE,
    ),
    Provider(
        "vertex",
        # The region is part of the host, unless it is `global` (3a). Its key is an access token that lives an hour:
        # `gcloud auth print-access-token`, or api_key= with a function that fetches one.
        "https://{GOOGLE_CLOUD_LOCATION-}aiplatform.googleapis.com/v1/projects/{GOOGLE_CLOUD_PROJECT}"
        "/locations/{GOOGLE_CLOUD_LOCATION=global}/endpoints/openapi",
        wires={
            # Models are called `google/gemini-…`; signatures come under `extra_content.vertex` (3b).
            "chat": Endpoint(compat=_GOOGLE),
            # Claude: the model is in the path and not in the body, which has a version instead (recorded).
            "messages": Endpoint(
                base_url="https://{GOOGLE_CLOUD_LOCATION-}aiplatform.googleapis.com/v1/projects/{GOOGLE_CLOUD_PROJECT}"
                "/locations/{GOOGLE_CLOUD_LOCATION=global}",
                path="/publishers/anthropic/models/{model}:streamRawPredict",
                compat={"model_in_body": False, "extra_body": {"anthropic_version": "vertex-2023-10-16"}},
            ),
        },
        key_env=("GOOGLE_ACCESS_TOKEN", "VERTEX_ACCESS_TOKEN"),
        auth="bearer",
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
        "ai21",  # recorded
        "https://api.ai21.com/studio/v1",
        wires={"chat": Endpoint()},
        key_env=("AI21_API_KEY",),
    ),
    # Address recorded; the variable is that of docs.perplexity.ai.
    Provider(
        "perplexity",
        "https://api.perplexity.ai/",
        wires={"chat": Endpoint()},
        key_env=("PERPLEXITY_API_KEY",),
        compat={"charge_member": ("cost", "total_cost")},
    ),
    *HOSTS,
)
