"""MCP servers as tools: started, kept alive and ended with a block, each by one task (extra `mcp`).

    async with McpServers([McpServer("time", command="mcp-server-time")]) as servers:
        agent = Agent(model, tools=[servers])

The official SDK speaks the protocol and is imported when the first server is started.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import McpServer
    from .connection import Elicit, Elicitation, ElicitationAnswer
    from .servers import McpServers, McpStatus
    from .toml import read_toml

__all__ = ["Elicit", "Elicitation", "ElicitationAnswer", "McpServer", "McpServers", "McpStatus", "read_toml"]

_WHERE = {
    "Elicit": "connection",
    "Elicitation": "connection",
    "ElicitationAnswer": "connection",
    "McpServer": "config",
    "McpServers": "servers",
    "McpStatus": "servers",
    "read_toml": "toml",
}


def __getattr__(name: str) -> object:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
