"""MCP servers for a command: from the file it names, their problems told, the SDK's log out of the way."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .exits import UsageProblem
from .screen import Screen

if TYPE_CHECKING:
    from ..tools.mcp import McpServers
    from ..tools.tool_sets import ToolSet

__all__ = ["CONFIG_VARIABLE", "config_path", "mcp_tools", "quiet_sdk", "tell_problems"]

CONFIG_VARIABLE = "AGENT_CORE_MCP_CONFIG"


def config_path(named: str | None) -> str:
    """The file that is named, else the one the environment names. Never one that lies about: servers are commands."""
    path = named or os.environ.get(CONFIG_VARIABLE, "").strip()
    if not path:
        raise UsageProblem(
            "no configuration of MCP servers was named", remedy=f"give --config, or set {CONFIG_VARIABLE}"
        )
    return path


@asynccontextmanager
async def mcp_tools(path: str | None, cwd: Path, screen: Screen) -> AsyncGenerator[Sequence[ToolSet]]:
    """The servers of a file, running while the block lasts; none without a file."""
    if path is None:
        yield ()
        return
    from ..tools.mcp import McpServers

    quiet_sdk()
    async with McpServers.from_toml(path, cwd=cwd) as servers:
        tell_problems(servers, screen)
        yield (servers,)


def tell_problems(servers: McpServers, screen: Screen) -> None:
    """One line for each server that is not there."""
    for status in servers.status():
        if status.problem is not None:
            screen.line(f"{status.problem.message} - {status.problem.remedy}", "bad")


def quiet_sdk() -> None:
    """Where nobody has set up logging, warnings go to stderr, with tracebacks. Problems are told otherwise here."""
    for name in ("mcp", "client"):  # the SDK's two
        logging.getLogger(name).addHandler(logging.NullHandler())
