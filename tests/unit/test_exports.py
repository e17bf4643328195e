"""The public names are a promise: pinned here, loaded lazily, and free to import."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import pytest

import agent_core

PROMISED = [
    "CODECS", "PROVIDERS", "Agent", "AgentCoreError", "ApprovalPolicy", "ApprovalRequest", "ApprovalRules",
    "AskPolicy", "Circuit", "CompactionPolicy", "Decision", "Fallback", "FallbackPolicy", "HandBack", "Limits",
    "ModelClient", "PendingCall", "Prompt", "Provider", "RateLimiter", "ReasoningSettings", "Response", "RetryPolicy",
    "SamplingSettings", "Session", "SubAgent", "Timeouts", "Tool", "ToolContext", "ToolOutput", "ToolPolicy",
    "ToolRule", "ToolSpec", "Turn", "TurnResult", "Usage", "aggregate", "ask", "assistant_message", "errors", "events",
    "fold", "items", "system_message", "testing", "tool", "user_message",
]  # fmt: skip

HEAVY = ("httpx2", "httpx", "rich", "opentelemetry", "asyncio", "anyio", "trio", "tenacity", "mcp", "starlette")


def test_the_promised_names() -> None:
    """Adding is cheap, removing takes a release."""
    assert agent_core.__all__ == PROMISED
    assert set(PROMISED) <= set(dir(agent_core))


@pytest.mark.parametrize("name", PROMISED)
def test_every_name_loads(name: str) -> None:
    """Each resolves to something, and to the same thing twice."""
    assert getattr(agent_core, name) is getattr(agent_core, name)


def test_no_module_takes_the_place_of_a_name() -> None:
    """Importing a submodule binds its name in the package: one called like a public function would hide it."""
    modules = {module.name for module in pkgutil.iter_modules(agent_core.__path__)}
    assert modules & set(PROMISED) == {"errors", "events", "items", "testing"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As for any module."""
    with pytest.raises(AttributeError, match="nonsense"):
        _ = agent_core.nonsense


@pytest.mark.parametrize("code", ["import agent_core", "from agent_core import CODECS; CODECS['chat']"])
def test_importing_loads_no_heavy_module(code: str) -> None:
    """Neither the package nor a codec brings in an HTTP client, an event loop or a terminal library."""
    check = f"{code}; import sys, json; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
