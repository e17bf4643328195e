"""The shipped profiles, resolved: every provider row on every wire it offers, with models that its rules tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from msgspec import structs

from agent_core.codecs.base import Compat
from agent_core.items import WireName
from agent_core.providers import PROVIDERS, Provider, resolve

ENV = {
    "AZURE_OPENAI_ENDPOINT": "https://lab.openai.azure.com",
    "AWS_REGION": "eu-west-1",
    "SNOWFLAKE_ACCOUNT": "lab",
    "GOOGLE_CLOUD_PROJECT": "lab",
    "CLOUDFLARE_ACCOUNT_ID": "lab",
    "DATABRICKS_HOST": "https://lab.cloud.databricks.com",
}
"""What the templates of base URLs ask for."""

MODELS: dict[str, tuple[str, ...]] = {
    "openai": ("gpt-5.6", "gpt-4o", "o1-mini", "gpt-5-chat-latest"),
    "azure": ("gpt-5.6", "gpt-4o", "mistral-large"),
    "anthropic": ("claude-sonnet-4-6", "claude-3-7-sonnet-20250219", "claude-opus-4-5"),
    "openrouter": ("anthropic/claude-sonnet-4.6", "openai/gpt-5.6", "google/gemini-3-pro"),
    "mistral": ("mistral-large-latest", "magistral-medium"),
    "deepseek": ("deepseek-chat", "deepseek-reasoner", "deepseek-v4-pro", "deepseek-r1"),
    "zai": ("glm-4.7", "glm-5.2"),
    "dashscope": ("qwen3-max", "qwen3-coder-plus"),
    "xai": ("grok-4", "grok-3-mini"),
    "cerebras": ("gpt-oss-120b", "zai-glm-4.7"),
    "vertex": ("google/gemini-3-pro", "claude-sonnet-4-6"),
    "bedrock": ("openai.gpt-oss-120b", "openai.gpt-5.6"),
    "copilot": ("gpt-5.4", "gemini-3.7-flash", "claude-sonnet-5"),
    "groq": ("openai/gpt-oss-120b", "qwen/qwen3-32b"),
}
"""Models by provider; the others have no rules by model, and `m` is as good as any."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One server to write requests for: a provider row, a wire it offers, a model."""

    provider: str
    wire: WireName
    model: str
    compat: Compat

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} {self.wire}"

    def __hash__(self) -> int:
        return hash((self.provider, self.wire, self.model))


@cache
def profiles() -> tuple[Profile, ...]:
    """All of them, in the order of the rows."""
    found: list[Profile] = []
    for row in PROVIDERS.values():
        for wire in _wires(row):
            for model in MODELS.get(row.name, ("m",)):
                at = resolve(f"{row.name}/{model}", wire=wire, env=ENV)
                found.append(Profile(row.name, wire, model, at.compat))
    return tuple(found)


def varied(random: Random, compat: Compat) -> Compat:
    """The same with a few switches of replay's turned: a row that somebody may write."""
    turned = {name: random.choice(values) for name, values in _SWITCHES.items() if random.random() < 0.3}
    return structs.replace(compat, **turned)


_SWITCHES: dict[str, tuple[object, ...]] = {
    "reasoning_replay": ("never", "open_calls", "always"),
    "foreign_reasoning": ("drop", "text"),
    "reasoning_always_present": (False, True),
    "encrypted_reasoning": (False, True),
    "unsigned_thinking": (False, True),
    "send_item_ids": (False, True),
    "calls_last": (False, True),
    "custom_tools": (False, True),
    "qualify_call_ids": (False, True),
    "call_id_exact": (None, 9),
}


@cache
def one_per_endpoint() -> tuple[Profile, ...]:
    """The first model of every provider on every wire."""
    first: dict[tuple[str, WireName], Profile] = {}
    for profile in profiles():
        first.setdefault((profile.provider, profile.wire), profile)
    return tuple(first.values())


def _wires(row: Provider) -> tuple[WireName, ...]:
    return tuple(row.wires) or (row.wire,)
