"""The rows, and what `provider/model` resolves to."""

from __future__ import annotations

import pytest

from agent_core.codecs import WIRES, codec_for
from agent_core.codecs.base import Compat
from agent_core.errors import ConfigError
from agent_core.items import FunctionCall, FunctionCallOutput, InputImage, WireName, user_message
from agent_core.prompt import Prompt
from agent_core.providers import (
    PROVIDERS,
    CompatOverrides,
    Endpoint,
    ModelRule,
    Provider,
    resolve,
    with_overrides,
)

ENV = {
    "AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com/",
    "AWS_REGION": "us-east-1",
    "SNOWFLAKE_ACCOUNT": "acme",
    "GOOGLE_CLOUD_PROJECT": "acme",
    "CLOUDFLARE_ACCOUNT_ID": "acme",
    "DATABRICKS_HOST": "https://acme.azuredatabricks.net",
}
DATED = {**ENV, "OPENAI_API_VERSION": "2024-10-21"}

# Every provider that providers.md names and a wire reaches.
REQUIRED = {
    "openai", "azure", "anthropic", "openrouter", "groq", "mistral", "deepseek", "moonshot", "zai", "dashscope", "xai",
    "together", "fireworks", "cerebras", "gemini", "ollama", "vllm", "llamacpp", "lmstudio", "kimi-coding", "minimax",
    "vertex", "sglang", "github", "copilot", "bedrock", "snowflake", "nvidia", "chutes", "baseten", "litellm",
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "wire", "url", "auth"),
    [
        ("openai/gpt-5.6", None, "https://api.openai.com/v1/responses", "bearer"),
        ("openai/gpt-5.6", "chat", "https://api.openai.com/v1/chat/completions", "bearer"),
        ("anthropic/claude-sonnet-4-6", None, "https://api.anthropic.com/v1/messages", "x-api-key"),
        ("anthropic/claude-sonnet-4-6", "chat", "https://api.anthropic.com/v1/chat/completions", "bearer"),
        ("groq/openai/gpt-oss-120b", None, "https://api.groq.com/openai/v1/chat/completions", "bearer"),
        ("openrouter/anthropic/claude", "messages", "https://openrouter.ai/api/v1/messages", "bearer"),
        ("deepseek/deepseek-v4-pro", None, "https://api.deepseek.com/chat/completions", "bearer"),
        ("deepseek/deepseek-v4-pro", "messages", "https://api.deepseek.com/anthropic/v1/messages", "x-api-key"),
        ("minimax/MiniMax-M3", None, "https://api.minimax.io/anthropic/v1/messages", "x-api-key"),
        ("perplexity/sonar", None, "https://api.perplexity.ai/chat/completions", "bearer"),
        ("ollama/qwen3", None, "http://localhost:11434/v1/chat/completions", "bearer"),
        ("vllm/m", "messages", "http://localhost:8000/v1/messages", "bearer"),
        ("azure/dep", None, "https://acme.openai.azure.com/openai/v1/chat/completions", "api-key"),
        ("azure/dep", "responses", "https://acme.openai.azure.com/openai/v1/responses", "api-key"),
        ("bedrock/m", "responses", "https://bedrock-mantle.us-east-1.api.aws/v1/responses", "bearer"),
        (
            "bedrock/openai.gpt-5.6",
            "responses",
            "https://bedrock-mantle.us-east-1.api.aws/openai/v1/responses",
            "bearer",
        ),
        (
            "vertex/google/gemini-3-pro",
            None,
            "https://aiplatform.googleapis.com/v1/projects/acme/locations/global/endpoints/openapi/chat/completions",
            "bearer",
        ),
        (
            "vertex/claude-3-7-sonnet@20250219",
            "messages",
            "https://aiplatform.googleapis.com/v1/projects/acme/locations/global/publishers/anthropic"
            "/models/claude-3-7-sonnet@20250219:streamRawPredict",
            "bearer",
        ),
        ("copilot/gpt-5.4", None, "https://api.githubcopilot.com/chat/completions", "bearer"),
        ("copilot/gpt-5.3-codex", "responses", "https://api.githubcopilot.com/responses", "bearer"),
        ("nvidia/meta/llama-3.3-70b", None, "https://integrate.api.nvidia.com/v1/chat/completions", "bearer"),
        ("databricks/m", None, "https://acme.azuredatabricks.net/serving-endpoints/chat/completions", "bearer"),
    ],
)
def test_where_a_row_leads(model: str, wire: str | None, url: str, auth: str) -> None:
    """Provider, wire and model give the URL and the header of the key."""
    found = resolve(model, wire=wire, env=ENV)
    assert (found.url, found.auth) == (url, auth)


@pytest.mark.parametrize(
    ("wire", "url"),
    [
        ("chat", "https://acme.openai.azure.com/openai/deployments/my%20dep/chat/completions?api-version=2024-10-21"),
        ("responses", "https://acme.openai.azure.com/openai/responses?api-version=2024-10-21"),
    ],
)
def test_azure_with_a_version(wire: str, url: str) -> None:
    """OPENAI_API_VERSION chooses Azure's dated API: the deployment in the path, the version in the query."""
    assert resolve("azure/my dep", wire=wire, env=DATED).url == url


@pytest.mark.parametrize(
    ("location", "host"),
    [("europe-west1", "europe-west1-aiplatform.googleapis.com"), ("global", "aiplatform.googleapis.com")],
)
def test_a_region_before_a_host(location: str, host: str) -> None:
    """Vertex has the region in host and path; `global` is in the path only (providers.md 3a)."""
    found = resolve("vertex/google/gemini-3-pro", env={**ENV, "GOOGLE_CLOUD_LOCATION": location})
    path = f"/v1/projects/acme/locations/{location}/endpoints/openapi/chat/completions"
    assert found.url == f"https://{host}{path}"


@pytest.mark.parametrize(
    ("model", "base_url", "wire", "url"),
    [
        ("openai/m", "http://127.0.0.1:9", "chat", "http://127.0.0.1:9/v1/chat/completions"),
        ("openai/m", "http://127.0.0.1:9/", "chat", "http://127.0.0.1:9/chat/completions"),
        ("openai/m", "http://127.0.0.1:9/v1/", "chat", "http://127.0.0.1:9/v1/chat/completions"),
        ("openai/m", "http://127.0.0.1:9/a//b", "responses", "http://127.0.0.1:9/a/b/responses"),
        ("anthropic/m", "http://127.0.0.1:9", None, "http://127.0.0.1:9/v1/messages"),
        ("anthropic/m", "http://127.0.0.1:9/anthropic", None, "http://127.0.0.1:9/anthropic/v1/messages"),
        ("lab/m", "http://127.0.0.1:9/v1", "messages", "http://127.0.0.1:9/v1/messages"),
        ("lab/m", "http://127.0.0.1:9", None, "http://127.0.0.1:9/v1/chat/completions"),
        ("lab/a/b", "http://h/v1?key=1", "responses", "http://h/v1/responses?key=1"),
        ("m", "http://h/v1", None, "http://h/v1/chat/completions"),
        ("groq/m", "http://127.0.0.1:9", "messages", "http://127.0.0.1:9/openai/v1/messages"),
        ("azure/d", "https://x.openai.azure.com", None, "https://x.openai.azure.com/openai/v1/chat/completions"),
        ("lab/m", "http://[::1]:9/v1", None, "http://[::1]:9/v1/chat/completions"),
    ],
)
def test_base_urls_of_the_caller(model: str, base_url: str, wire: str | None, url: str) -> None:
    """Any server, any wire, with or without a known name; a bare host takes the row's path."""
    assert resolve(model, base_url=base_url, wire=wire, env={}).url == url


@pytest.mark.parametrize(
    ("model", "wire", "base_url", "message", "remedy"),
    [
        ("opena/m", None, None, "unknown provider 'opena'", "did you mean openai"),
        ("zzzz/m", None, None, "unknown provider 'zzzz'", "Provider('zzzz', 'http"),
        ("gpt-5", None, None, "model 'gpt-5' names no provider", "openai/gpt-5"),
        ("openai", None, None, "'openai' names no model", "openai/"),
        ("openai/ ", None, None, "names no model", "openai/"),
        ("openai/m", "chta", None, "unknown wire 'chta'", "chat, responses, messages"),
        ("groq/m", "messages", None, "'groq' does not offer the wire 'messages'", "choose chat"),
        ("azure/m", None, None, "'azure' needs its address", "AZURE_OPENAI_ENDPOINT"),
        ("lab/m", None, "localhost:8000", "no http or https URL", "https://host/v1"),
        ("lab/m", None, "ftp://h", "no http or https URL", "https://host/v1"),
        ("lab/m", None, "http:///v1", "no http or https URL", "https://host/v1"),
        ("lab/m", None, "http://a b/v1", "no http or https URL", "https://host/v1"),
        ("lab/m", None, "http://h:99999/v1", "is no URL", "https://host/v1"),
        ("lab/m", None, "http://[::1/v1", "is no URL", "https://host/v1"),
        ("lab/m", None, "", "has no base URL", "base_url="),
    ],
)
def test_what_does_not_resolve(model: str, wire: str | None, base_url: str | None, message: str, remedy: str) -> None:
    """One line for each mistake, with the next step in its remedy."""
    with pytest.raises(ConfigError) as caught:
        resolve(model, wire=wire, base_url=base_url, env={})
    assert message in caught.value.message and "\n" not in caught.value.message
    assert remedy in caught.value.remedy


def test_a_url_with_a_password_is_refused_unseen() -> None:
    """Credentials in a URL end up in logs: refused, and not repeated."""
    with pytest.raises(ConfigError) as caught:
        resolve("lab/m", base_url="http://me:secret@h/v1", env={})
    assert "secret" not in str(caught.value) + caught.value.remedy


def test_a_provider_in_one_line() -> None:
    """A row of the caller's: any wire, Chat by default, its label in every item's origin, no key."""
    lab = Provider("lab", base_url="http://127.0.0.1:8000/v1")
    found = resolve("qwen/qwen3", provider=lab)
    assert (found.model, found.wire, found.compat.provider) == ("qwen/qwen3", "chat", "lab")
    assert found.provider.key_env == ()
    assert resolve("lab/qwen3", provider=lab, wire="messages").url == "http://127.0.0.1:8000/v1/messages"


def test_the_family_of_a_model_lies_under_the_provider() -> None:
    """What is known of a model holds wherever it is served, under any prefix, unless the row or the caller differs."""
    names = ("lab/a/qwen3", "lab/Qwen3-32B", "together/qwen/qwen3", "groq/qwen/qwen3-32b")
    assert {resolve(name, base_url="http://h/v1").compat.schema_dialect for name in names} == {"inline_refs"}
    assert compat_of("lab-less/gpt-5", base_url="http://h").sampling is False
    assert compat_of("copilot/gemini-3.7-flash").schema_dialect == "as_is"
    assert resolve("groq/qwen/qwen3-32b", compat={"schema_dialect": "moonshot"}).compat.schema_dialect == "moonshot"
    claude = compat_of("bedrock/us.anthropic.claude-opus-4-7-v1:0", "messages", base_url="http://h")
    assert (claude.reasoning_request, claude.default_max_tokens) == ("adaptive", 32000)


PICTURE = user_message("look", "data:image/png;base64,iVBORw0KGgo=")
COPILOT: dict[str, tuple[Prompt, str, str | None]] = {
    "a user asks": (Prompt("hi"), "user", None),
    "a user shows an image": (Prompt([PICTURE]), "user", "true"),
    "an answer to a call": (
        Prompt([PICTURE, FunctionCall(call_id="c", name="f"), FunctionCallOutput(call_id="c", output="x")]),
        "agent",
        "true",
    ),
    "a tool shows an image": (
        Prompt([FunctionCallOutput(call_id="c", output=(InputImage(image_url="data:image/png;base64,iVBORw0KGgo="),))]),
        "agent",
        "true",
    ),
}


@pytest.mark.parametrize("name", COPILOT)
def test_headers_by_what_is_asked(name: str) -> None:
    """Copilot is told who began, and that there are images (providers.md 3a); others get the same every time."""
    prompt, initiator, vision = COPILOT[name]
    headers = resolve("copilot/gpt-5.4").headers_for(prompt)
    assert (headers["x-initiator"], headers.get("copilot-vision-request")) == (initiator, vision)
    plain = resolve("anthropic/claude-sonnet-4-6")
    assert plain.headers_for(prompt) == {"anthropic-version": "2023-06-01"}


def test_the_layers_of_compat() -> None:
    """Standard, wire, provider, its wire, its model rules in order, caller: the later layer wins."""
    lab = Provider(
        "lab",
        "http://h/v1",
        wires={"chat": Endpoint(compat={"call_id_max": 2, "max_stop": 2}), "responses": Endpoint()},
        compat={"call_id_max": 1, "strict_tools": False},
        models=(
            ModelRule("BIG*", {"max_stop": 3, "temperature_max": 1.0}),
            ModelRule("big-2*", {"max_stop": 4}, "chat"),
        ),
    )
    chat = resolve("big-2", provider=lab, compat={"temperature_max": 0.5}).compat
    assert (chat.images_in_tool_results, chat.strict_tools, chat.call_id_max) == (False, False, 2)
    assert (chat.max_stop, chat.temperature_max) == (4, 0.5)
    responses = resolve("big-2", provider=lab, wire="responses").compat
    assert (responses.call_id_max, responses.max_stop, responses.images_in_tool_results) == (1, 3, True)


@pytest.mark.parametrize(
    ("overrides", "message", "remedy"),
    [
        ({"samplin": True}, "no field 'samplin'", "sampling"),
        ({"zzz": 1}, "no field 'zzz'", "Compat"),
        ({"sampling": "perhaps"}, "'sampling' cannot be 'perhaps'", "boolean"),
        ({"reasoning_request": "loud"}, "'reasoning_request' cannot be 'loud'", "'effort'"),
    ],
)
def test_overrides_are_checked(overrides: CompatOverrides, message: str, remedy: str) -> None:
    """A field there is none of, or a value it cannot have, is named; in an argument as in a caller's row."""
    for row in (Provider("lab", "http://h/v1"), Provider("lab", "http://h/v1", compat=overrides)):
        with pytest.raises(ConfigError) as caught:
            resolve("m", provider=row, compat=overrides)
        assert message in caught.value.message and remedy in caught.value.remedy


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_shipped_row(name: str) -> None:
    """Each row resolves on each of its wires, with and without dated APIs, to a checked Compat and an https URL."""
    row = PROVIDERS[name]
    assert row.name == name and row.wire in row.wires
    for wire in row.wires:
        for env in (ENV, DATED):
            for model in ("model", *(rule.pattern.replace("*", "x").replace("[23]", "3") for rule in row.models)):
                found = resolve(f"{name}/{model}", wire=wire, env=env)
                said = {field: getattr(found.compat, field) for field in Compat.__struct_fields__}
                assert with_overrides(Compat(), said) == found.compat
                assert found.url.startswith("https://") or row.key_optional or not row.key_env


def test_the_rows_that_are_promised() -> None:
    """Every provider of providers.md 3a to 3c has a row."""
    assert set(PROVIDERS) >= REQUIRED


@pytest.mark.parametrize("wire", WIRES)
def test_paths_are_the_codecs(wire: WireName) -> None:
    """The path of a wire is known without loading its codec, and is the codec's."""
    assert resolve("lab/m", base_url="http://h/v1", wire=wire).url == "http://h/v1" + codec_for(wire).path


def compat_of(model: str, wire: str | None = None, base_url: str | None = None) -> Compat:
    return resolve(model, wire=wire, env=ENV, base_url=base_url).compat


@pytest.mark.parametrize(
    ("model", "wire", "expected"),
    [
        ("openai/o3", "chat", {"max_tokens_field": "max_completion_tokens", "sampling": False}),
        ("openai/gpt-5-mini", "responses", {"sampling": False, "schema_dialect": "openai_strict"}),
        ("openai/gpt-5-chat-latest", "chat", {"sampling": True, "reasons_by_default": False}),
        ("openai/gpt-5.1", "chat", {"sampling": True, "sampling_beside_reasoning": False, "reasons_by_default": False}),
        ("openai/gpt-5.1-codex-max", "chat", {"sampling": False}),
        ("openai/gpt-5.3-chat", "chat", {"sampling": False}),
        ("openai/gpt-5.5-pro", "responses", {"sampling": False}),
        ("openai/gpt-5.6", "chat", {"sampling": True, "sampling_beside_reasoning": False, "reasons_by_default": True}),
        ("openai/gpt-4.1", "chat", {"max_tokens_field": "max_completion_tokens", "sampling": True}),
        ("openai/o1-mini", "chat", {"system_role": "user"}),
        ("openai/gpt-5.6", "responses", {"store": False, "encrypted_reasoning": True, "custom_tools": True}),
        ("openai/gpt-4.1", "responses", {"custom_tools": False}),
        ("azure/gpt-5.6", "responses", {"store": True, "send_item_ids": True, "custom_tools": True}),
        ("azure/gpt-4o", "responses", {"custom_tools": False, "schema_dialect": "openai_strict"}),
        ("azure/Mistral-Large", "chat", {"max_tokens_field": "max_tokens"}),
        ("anthropic/claude-sonnet-4-6", None, {"reasoning_request": "adaptive", "temperature_max": 1.0}),
        ("anthropic/claude-sonnet-4-6", None, {"default_max_tokens": 32000, "max_stop": None}),
        ("anthropic/claude-3-7-sonnet-latest", None, {"default_max_tokens": 32000, "unsigned_thinking": False}),
        ("anthropic/claude-3-opus-20240229", None, {"default_max_tokens": 4096}),
        ("anthropic/claude-3-5-haiku-latest", None, {"default_max_tokens": 8192}),
        ("groq/openai/gpt-oss-120b", None, {"output_schema": "tool", "efforts": ("low", "medium", "high")}),
        ("groq/qwen/qwen3-32b", None, {"efforts": ("none", "default"), "reasoning_field": "reasoning"}),
        ("groq/llama-3.3-70b-versatile", None, {"reasoning_request": "none"}),
        ("anthropic/claude-sonnet-4-5-20250929", None, {"reasoning_request": "budget", "output_schema": "json_schema"}),
        ("anthropic/claude-3-5-haiku-latest", None, {"reasoning_request": "budget", "output_schema": "tool"}),
        ("mistral/magistral", None, {"call_id_exact": 9, "required_choice": "any", "seed_field": "random_seed"}),
        ("mistral/mistral-small-latest", None, {"reasoning_field": "content_list", "logprobs": False}),
        ("deepseek/deepseek-v4-pro", None, {"reasoning_always_present": True, "choice_beside_reasoning": False}),
        ("deepseek/deepseek-v4-pro", None, {"reasoning_request": "thinking_effort", "schema_beside_tools": False}),
        ("deepseek/deepseek-v4-pro", "messages", {"unsigned_thinking": True, "output_schema": "tool"}),
        ("deepseek/deepseek-v4-pro", "responses", {"output_schema": "json_schema", "calls_last": True}),
        ("deepseek/deepseek-reasoner", None, {"required_choice": "auto", "named_choice": False}),
        ("moonshot/kimi-k2-thinking", None, {"reasoning_always_present": True, "thinking_members": {"keep": "all"}}),
        ("moonshot/kimi-k3", None, {"reasoning_request": "effort", "schema_dialect": "moonshot"}),
        ("dashscope/qwen3-max", None, {"reasoning_replay": "never", "schema_dialect": "inline_refs"}),
        ("minimax/MiniMax-M2", "chat", {"reasoning_field": "reasoning_details"}),
        ("fireworks/any", None, {"required_choice": "any", "schema_beside_tools": False}),
        ("together/any", None, {"reasoning_request": "enabled_object", "unknown_members": ("store",)}),
        ("gemini/gemini-2.5-flash", None, {"schema_beside_tools": False}),
        ("bedrock/openai.gpt-oss-120b", "responses", {"qualify_call_ids": True}),
        ("ollama/qwen3", None, {"required_choice": "auto", "named_choice": False}),
        ("deepseek/deepseek-chat", None, {"reasoning_replay": "open_calls", "images": False}),
        ("cerebras/zai-glm-4.6", None, {"reasoning_field": "think_tag", "parallel_tool_calls": False}),
        ("cerebras/gpt-oss-120b", None, {"reasoning_field": "reasoning", "penalties": False}),
        ("xai/grok-4.5", "chat", {"output_excludes_reasoning": True, "reasoning_replay": "never"}),
        ("xai/grok-4.5", "chat", {"reasoning_request": "effort", "efforts": ("low", "medium", "high")}),
        ("xai/grok-4-fast", "chat", {"reasoning_request": "none"}),
        ("zai/glm-4.7", None, {"thinking_members": {"clear_thinking": False}, "reasoning_always_present": True}),
        ("zai/glm-5.3", None, {"reasoning_request": "effort", "efforts": ("low", "high", "max")}),
        ("gemini/gemini-3-pro", None, {"schema_dialect": "gemini", "strict_tools": False}),
        ("openrouter/google/gemini-3", "chat", {"schema_dialect": "gemini", "reasoning_request": "object"}),
        ("openrouter/anthropic/claude-sonnet-4.6", "chat", {"reasoning_beside_choice": False, "top_k": True}),
        ("openrouter/anthropic/claude-sonnet-4.6", "messages", {"reasoning_request": "adaptive"}),
        ("openrouter/anthropic/claude-opus-4.5", "messages", {"reasoning_request": "budget"}),
        ("openrouter/openai/gpt-5.6", "chat", {"sampling_beside_reasoning": False, "call_id_max": 40}),
        ("github/openai/gpt-5", None, {"sampling": False, "max_tokens_field": "max_completion_tokens"}),
        ("together/meta-llama/Llama-3.3-70B", None, {"schema_dialect": "inline_refs"}),
        ("ollama/gpt-oss:20b", None, {"efforts": ("low", "medium", "high")}),
        ("vertex/google/gemini-2.5-pro", None, {"strict_tools": False, "schema_beside_tools": False}),
        ("vertex/claude-sonnet-4@20250514", "messages", {"model_in_body": False, "reasoning_request": "budget"}),
        ("copilot/gpt-5.4", None, {"max_tokens_field": "max_completion_tokens"}),
        ("bedrock/openai.gpt-oss-120b", "responses", {"required_choice": "auto", "efforts": ("low", "medium", "high")}),
        ("bedrock/openai.gpt-5.6", "responses", {"sampling_beside_reasoning": False, "required_choice": "required"}),
        ("litellm/claude", "chat", {"tool_breakpoint": "message"}),
        ("vercel/openai/gpt-5", None, {"reasoning_request": "object"}),
        ("databricks/any", None, {"include_usage": False}),
        ("vllm/any", "chat", {"merge_system": True, "empty_tools": "omit", "top_k": True}),
    ],
)
def test_facts_of_rows(model: str, wire: str | None, expected: CompatOverrides) -> None:
    """Facts of providers.md 3a and 3b arrive in the Compat of the call."""
    compat = compat_of(model, wire)
    assert {name: getattr(compat, name) for name in expected} == expected


WINDOWS = {
    "openai/gpt-4o-mini": 128_000,
    "openai/gpt-4-turbo": 128_000,
    "openai/gpt-4": 8_192,
    "openai/o4-mini": 200_000,
    "openai/gpt-5-mini": 272_000,
    "openai/gpt-5.4-mini": 272_000,
    "openai/gpt-5.6-sol": 922_000,
    "openai/gpt-5.1-chat-latest": 128_000,
    "anthropic/claude-haiku-4-5-20251001": 200_000,
    "anthropic/claude-sonnet-4-6": 1_000_000,
    "anthropic/claude-opus-5-5": 1_000_000,
    "openrouter/anthropic/claude-sonnet-4.5": 200_000,
    "xai/grok-4-1-fast-reasoning": 2_000_000,
    "xai/grok-4.5": 500_000,
    "moonshot/kimi-k2-thinking": 262_144,
    "groq/moonshotai/kimi-k2-instruct": 131_072,
    "groq/openai/gpt-oss-120b": 131_072,
    "zai/glm-5.1": 200_000,
    "deepseek/deepseek-v4-pro": 1_000_000,
    "ollama/qwen3": None,
}


@pytest.mark.parametrize("model", WINDOWS)
def test_windows_of_models(model: str) -> None:
    """What compaction goes by where a caller does not say and a server has not yet."""
    assert resolve(model, env=ENV).compat.context_window == WINDOWS[model]
