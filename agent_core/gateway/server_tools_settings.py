"""`[tools]`: which tools the gateway runs for its clients, and how far."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Literal, cast

from msgspec import structs
from pydantic import Field

from ..errors import CallerError, ConfigError
from ..tool_policy import ToolAction, ToolPolicy, ToolRule
from ..toolbox import AgentTool
from ..tools.mcp import McpServers
from ..tools.mcp.toml import server_of
from .asking import Service
from .server_tools import DEADLINE_S, LIMITS, MAX_CALLS, MAX_TURNS, TIMEOUT_S, ServerTools
from .server_tools_kept import KEPT_S, MAX_BYTES_KEPT, MAX_TURNS_KEPT, KeptTurns
from .settings import Count, Given, Seconds, ServiceTable, Table, Texts

__all__ = ["ToolsSettings"]

_ACTIONS: dict[str, ToolAction] = {"allow": "allow", "deny": "deny", "pass": "hand_back"}


class RuleSettings(Table):
    """`[[tools.rules]]`: what holds for tools of a name, or of a beginning of one and a `*`; see ServerTools."""

    name: str
    action: Literal["allow", "deny", "pass"]
    timeout_s: Seconds | None = None

    def rule(self) -> ToolRule:
        return ToolRule(self.name, _ACTIONS[self.action], self.timeout_s)


class ToolsSettings(ServiceTable):
    """`[tools]`, with `[tools.mcp.NAME]` for each MCP server, under the keys of `[mcp_servers.NAME]` elsewhere
    (docs/mcp.md). `functions`: "module:attribute", a tool or a list of them. `max_calls`: of one answer. `kept_s`: how
    long a turn waits that the client has to answer a part of; `[redis]` says where."""

    functions: Texts = ()
    mcp: dict[str, dict[str, object]] = Field(default_factory=dict[str, dict[str, object]])
    rules: Annotated[tuple[RuleSettings, ...], Field(strict=False)] = ()
    models: Texts = ("*",)
    timeout_s: Seconds = TIMEOUT_S
    deadline_s: Seconds = DEADLINE_S
    max_turns: Count = MAX_TURNS
    max_calls: Count = MAX_CALLS
    kept_s: Seconds = KEPT_S

    def service(self, given: Given) -> Service:
        servers = [server_of(name, table, f"[tools.mcp.{name}]", given.folder) for name, table in self.mcp.items()]
        tools = [tool for name in self.functions for tool in _imported(name)]
        if not tools and not servers:
            raise ConfigError("there are no tools", remedy="name some in functions, or write a table [tools.mcp.NAME]")
        limits = structs.replace(
            LIMITS, max_turns=self.max_turns, deadline_s=self.deadline_s, max_calls_per_sample=self.max_calls
        )
        try:
            return ServerTools(
                [*tools, *([McpServers(servers, cwd=given.folder)] if servers else [])],
                policy=ToolPolicy([rule.rule() for rule in self.rules]),
                limits=limits,
                timeout_s=self.timeout_s,
                models=self.models,
                kept=KeptTurns(given.store(max_entries=MAX_TURNS_KEPT, max_bytes=MAX_BYTES_KEPT), kept_s=self.kept_s),
            )
        except CallerError as error:
            raise ConfigError(error.message, remedy=error.remedy) from error


def _imported(name: str) -> Sequence[AgentTool]:
    """What "module:attribute" is: one tool, or several. Raises ConfigError where there is nothing of that name."""
    module, _, attribute = name.partition(":")
    if not module or not attribute.isidentifier():
        raise ConfigError(f"functions: {name!r} names no tool", remedy='write "module:attribute"')
    try:
        found: object = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"functions: {name!r} cannot be imported: {error}", remedy="put its folder on PYTHONPATH, or correct it"
        ) from error
    return cast("Sequence[AgentTool]", found if isinstance(found, list | tuple) else [found])
