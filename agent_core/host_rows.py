"""Providers who serve other people's models, and the engines one runs oneself: the other half of `provider_rows`.

Sources as there.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import __version__
from .items import WireName
from .providers import CompatOverrides, Endpoint, ModelRule, Provider

__all__ = ["HOSTS"]

_MCT: CompatOverrides = {"max_tokens_field": "max_completion_tokens"}

# Messages servers of open models: thinking comes without a signature and goes back without one.
_UNSIGNED: CompatOverrides = {"unsigned_thinking": True}

# Chat templates of local engines: some allow one system message only (3a, vLLM), none knows `developer`. All of them
# sample by top_k.
_ENGINE: CompatOverrides = {"merge_system": True, "top_k": True}

_ANY_WIRE: Mapping[WireName, Endpoint] = {"chat": Endpoint(), "responses": Endpoint(), "messages": Endpoint()}

HOSTS: tuple[Provider, ...] = (
    Provider(
        "openrouter",
        "https://openrouter.ai/api/v1",
        wires={
            # `usage: {include: true}` asks for the cost; reasoning is an object of its own (3a, 3b).
            "chat": Endpoint(
                compat={"reasoning_request": "object", "extra_body": {"usage": {"include": True}}, "top_k": True}
            ),
            "responses": Endpoint(),
            "messages": Endpoint(auth="bearer"),
        },
        key_env=("OPENROUTER_API_KEY",),
        compat={"charge_member": ("cost",)},
        models=(
            ModelRule("openai/*", {"call_id_max": 40}, "chat"),
            # Beside a forced tool it drops the reasoning of Claude, and does not say so (3a).
            ModelRule("anthropic/*", {"reasoning_beside_choice": False}, "chat"),
        ),
    ),
    Provider(
        "vercel",
        "https://ai-gateway.vercel.sh/v1",
        wires={"chat": Endpoint(compat={"reasoning_request": "object"})},  # recorded
        key_env=("AI_GATEWAY_API_KEY", "VERCEL_AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN"),
        compat={"charge_member": ("cost",)},
        # Its bills count Gemini's reasoning beside completion tokens, its totals do not (recorded).
        models=(ModelRule("google/*", {"output_excludes_reasoning": True}),),
    ),
    Provider(
        "litellm",
        "http://localhost:4000/v1",
        wires={**_ANY_WIRE, "chat": Endpoint(compat={"tool_breakpoint": "message"})},
        key_env=("LITELLM_API_KEY",),
        key_optional=True,
    ),
    Provider(
        "github",
        "https://models.github.ai/inference",
        wires={"chat": Endpoint()},
        key_env=("GITHUB_TOKEN", "GITHUB_API_KEY"),
        compat=_MCT,
    ),
    Provider(
        "copilot",
        "https://api.githubcopilot.com/",
        # Its key is the token of a device login, never one for GitHub's own API. `max_tokens` is a bare 400, and Gemini
        # takes its schemas in OpenAI's dialect (pydantic-ai providers/github_copilot.py). Reasoning comes in
        # `reasoning_text` with `reasoning_opaque` beside it, and goes back as it came (3b).
        wires={"chat": Endpoint(compat=_MCT), "responses": Endpoint()},
        key_env=("GITHUB_COPILOT_API_KEY", "GITHUB_COPILOT_API_TOKEN", "COPILOT_GITHUB_TOKEN"),
        headers={
            "editor-version": f"agent-core/{__version__}",
            "copilot-integration-id": "vscode-chat",
            "openai-intent": "conversation-panel",
            "x-initiator": "user",
        },
        headers_if={"images": {"copilot-vision-request": "true"}, "goes_on": {"x-initiator": "agent"}},
        models=(ModelRule("gemini-*", {"schema_dialect": "as_is"}),),
    ),
    Provider(
        "bedrock",
        "https://bedrock-mantle.{AWS_REGION}.api.aws/v1",
        # Call ids start again with every response (3a).
        wires={"chat": Endpoint(compat=_MCT), "responses": Endpoint(compat={"qualify_call_ids": True})},
        key_env=("AWS_BEARER_TOKEN_BEDROCK",),
        models=(
            # GPT-5 is at /openai/v1 (recorded); the open weights are at /v1, and call no tool there because they must
            # (pydantic-ai providers/bedrock_mantle.py).
            ModelRule(
                "openai.gpt-5*", {}, "responses", base_url="https://bedrock-mantle.{AWS_REGION}.api.aws/openai/v1"
            ),
            ModelRule("*gpt-oss*", {"required_choice": "auto", "named_choice": False}, "responses"),
        ),
    ),
    Provider(
        "snowflake",
        "https://{SNOWFLAKE_ACCOUNT}.snowflakecomputing.com/api/v2/cortex/v1",
        wires={"chat": Endpoint()},
        key_env=("SNOWFLAKE_TOKEN",),
        compat={"strict_tools": False, "finish_may_be_missing": True},
    ),
    Provider(
        "groq",
        "https://api.groq.com/openai/v1",
        wires={"chat": Endpoint()},
        key_env=("GROQ_API_KEY",),
        # Schemas are refused beside tools and in streams (3a), so they are tools. Reasoning comes in `reasoning` (3b).
        compat={**_MCT, "output_schema": "tool", "reasoning_request": "none", "reasoning_field": "reasoning"},
        models=(
            ModelRule("*gpt-oss*", {"reasoning_request": "effort"}),
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
    # Address recorded; the variable is that of huggingface_hub.
    Provider("huggingface", "https://router.huggingface.co/v1", wires={"chat": Endpoint()}, key_env=("HF_TOKEN",)),
    Provider(
        "nvidia",  # litellm constants
        "https://integrate.api.nvidia.com/v1",
        wires={"chat": Endpoint()},
        key_env=("NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY"),
    ),
    Provider(
        "baseten",  # litellm constants
        "https://inference.baseten.co/v1",
        wires={"chat": Endpoint()},
        key_env=("BASETEN_API_KEY",),
    ),
    Provider(
        "chutes",  # litellm llms/openai_like; the same reasoning in two fields (3b), of which the first is read
        "https://llm.chutes.ai/v1",
        wires={"chat": Endpoint()},
        key_env=("CHUTES_API_KEY",),
    ),
    Provider(
        "crusoe",  # recorded
        "https://api.inference.crusoecloud.com/v1",
        wires={"chat": Endpoint()},
        key_env=("CRUSOE_API_KEY",),
    ),
    Provider(
        "cloudflare",  # recorded
        "https://api.cloudflare.com/client/v4/accounts/{CLOUDFLARE_ACCOUNT_ID}/ai/v1",
        wires={"chat": Endpoint()},
        key_env=("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY"),
    ),
    Provider(
        "databricks",  # recorded; usage comes unasked on every chunk, and no request asked for it
        "{DATABRICKS_HOST}/serving-endpoints",
        wires={"chat": Endpoint(compat={"include_usage": False})},
        key_env=("DATABRICKS_TOKEN", "DATABRICKS_API_KEY"),
    ),
    Provider(
        "venice",  # recorded
        "https://api.venice.ai/api/v1",
        wires={"chat": Endpoint()},
        key_env=("VENICE_API_KEY", "VENICE_AI_API_KEY"),
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
        compat=_ENGINE,
    ),
    Provider("sglang", "http://localhost:30000/v1", wires={"chat": Endpoint()}, compat=_ENGINE),
    Provider(
        "llamacpp",
        "http://127.0.0.1:8080/v1",
        wires={**_ANY_WIRE, "messages": Endpoint(compat=_UNSIGNED)},
        compat=_ENGINE,
    ),
    Provider(
        "lmstudio",
        "http://localhost:1234/v1",
        wires={"chat": Endpoint(), "responses": Endpoint()},  # Responses: recorded
        key_env=("LM_STUDIO_API_KEY",),
        key_optional=True,
        compat=_ENGINE,
    ),
)
