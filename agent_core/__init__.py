"""agent_core: an embedded agent runtime. Typed items in, any of three wires out, tools run, nothing lost.

Everything named here is a promise. Names are loaded when they are first used (PEP 562), so `import agent_core` costs
almost nothing: no HTTP client, no event loop, no pydantic until something needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import errors, events, items, testing
    from .agent import Agent, ask
    from .aggregation import aggregate, fold
    from .approval_rules import ApprovalRules
    from .approvals import ApprovalPolicy, ApprovalRequest, AskPolicy, Decision
    from .circuit import Circuit
    from .client import ModelClient
    from .codecs import CODECS
    from .compaction import CompactionPolicy
    from .errors import AgentCoreError
    from .events import Response, Usage
    from .fallback import Fallback, FallbackPolicy
    from .items import assistant_message, system_message, user_message
    from .limiter import RateLimiter
    from .limits import Limits
    from .paused import PendingCall
    from .prompt import Prompt, ReasoningSettings, SamplingSettings, ToolSpec
    from .providers import PROVIDERS, Provider
    from .retry import RetryPolicy
    from .session import Session
    from .subagents import SubAgent
    from .tool_policy import ToolPolicy, ToolRule
    from .tools import HandBack, Tool, ToolContext, ToolOutput, tool
    from .transport import Timeouts
    from .turn import Turn
    from .turn_events import TurnResult

__version__ = "0.1.0"

__all__ = [
    "CODECS",
    "PROVIDERS",
    "Agent",
    "AgentCoreError",
    "ApprovalPolicy",
    "ApprovalRequest",
    "ApprovalRules",
    "AskPolicy",
    "Circuit",
    "CompactionPolicy",
    "Decision",
    "Fallback",
    "FallbackPolicy",
    "HandBack",
    "Limits",
    "ModelClient",
    "PendingCall",
    "Prompt",
    "Provider",
    "RateLimiter",
    "ReasoningSettings",
    "Response",
    "RetryPolicy",
    "SamplingSettings",
    "Session",
    "SubAgent",
    "Timeouts",
    "Tool",
    "ToolContext",
    "ToolOutput",
    "ToolPolicy",
    "ToolRule",
    "ToolSpec",
    "Turn",
    "TurnResult",
    "Usage",
    "aggregate",
    "ask",
    "assistant_message",
    "errors",
    "events",
    "fold",
    "items",
    "system_message",
    "testing",
    "tool",
    "user_message",
]

_HOME = {
    "Agent": "agent",
    "AgentCoreError": "errors",
    "ApprovalPolicy": "approvals",
    "ApprovalRequest": "approvals",
    "ApprovalRules": "approval_rules",
    "AskPolicy": "approvals",
    "CODECS": "codecs",
    "Circuit": "circuit",
    "CompactionPolicy": "compaction",
    "Decision": "approvals",
    "Fallback": "fallback",
    "FallbackPolicy": "fallback",
    "HandBack": "tools",
    "Limits": "limits",
    "ModelClient": "client",
    "PROVIDERS": "providers",
    "PendingCall": "paused",
    "Prompt": "prompt",
    "Provider": "providers",
    "RateLimiter": "limiter",
    "ReasoningSettings": "prompt",
    "Response": "events",
    "RetryPolicy": "retry",
    "SamplingSettings": "prompt",
    "Session": "session",
    "SubAgent": "subagents",
    "Timeouts": "transport",
    "Tool": "tools",
    "ToolContext": "tools",
    "ToolOutput": "tools",
    "ToolPolicy": "tool_policy",
    "ToolRule": "tool_policy",
    "ToolSpec": "prompt",
    "Turn": "turn",
    "TurnResult": "turn_events",
    "Usage": "events",
    "aggregate": "aggregation",
    "ask": "agent",
    "assistant_message": "items",
    "fold": "aggregation",
    "system_message": "items",
    "tool": "tools",
    "user_message": "items",
}
_MODULES = ("errors", "events", "items", "testing")


def __getattr__(name: str) -> object:
    if name in _MODULES:
        value: object = import_module(f".{name}", __name__)
    elif name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted((*globals(), *__all__))
