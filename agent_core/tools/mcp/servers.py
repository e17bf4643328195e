"""Several MCP servers, together for the length of a block."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import anyio
import anyio.to_thread

from ...cancellation import lone
from ...errors import AgentCoreError, CallerError, ConfigError
from ...items import JsonObject
from ..base import Tool, ToolOutput
from .config import McpServer
from .connection import Connection, Elicit, State
from .naming import Owned, names_of
from .toml import read_toml
from .tools import Emit, McpTool, call_tool, resource_tools

__all__ = ["McpServers", "McpStatus"]

_CLOSE_S = 10.0
"""How long servers may take to be ended; a process gets 2.5 s, one that is far away answers or not."""


@dataclass(frozen=True, slots=True)
class McpStatus:
    """How a server is. `problem`: why it is not ready. `tools` counts those that are offered to the model."""

    name: str
    state: State | Literal["off"]
    tools: int = 0
    problem: AgentCoreError | None = None


class McpServers:
    """Starts servers, all at once, and ends them with the block. A tool set: an agent takes it among its tools.

    A server that cannot be started does not stop the others: see `status()`; if it is `required`, entering the block
    raises its ToolError. `cwd` is where the processes run (default: the current directory). `elicit` answers what
    servers want to know of the person; without it they are told no, as they are when they ask for a model's words.
    """

    def __init__(
        self, servers: Iterable[McpServer], *, cwd: str | Path | None = None, elicit: Elicit | None = None
    ) -> None:
        self._servers = tuple(servers)
        names = [server.name for server in self._servers]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise CallerError(f"two MCP servers are called {twice!r}", remedy="give each a name of its own")
        self._cwd = Path.cwd() if cwd is None else Path(cwd).resolve()
        self._elicit = elicit
        self._connections: dict[str, Connection] = {}
        self._block: AbstractAsyncContextManager[None] | None = None
        self._names: dict[Owned, str] = {}
        self._tools: tuple[Tool, ...] = ()
        self._made_of: object = None

    @classmethod
    def from_toml(cls, path: str | Path, *, cwd: str | Path | None = None, elicit: Elicit | None = None) -> Self:
        """The servers of a file with tables `[mcp_servers.NAME]`; see `read_toml`."""
        return cls(read_toml(path), cwd=cwd, elicit=elicit)

    def __repr__(self) -> str:
        return f"McpServers({', '.join(server.name for server in self._servers)})"

    async def __aenter__(self) -> Self:
        if self._block is not None:
            raise CallerError("these McpServers are entered already", remedy="make others with the same servers")
        self._block = self._running()
        await self._block.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._block is not None
        return await self._block.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None]:
        started = [server for server in self._servers if server.enabled]
        self._connections = {server.name: Connection(server, cwd=self._cwd, elicit=self._elicit) for server in started}
        connections = list(self._connections.values())
        if connections:
            await anyio.to_thread.run_sync(_load_sdk)  # it takes its time, and the loop has other things to do
        try:
            async with anyio.create_task_group() as owners:
                try:
                    for connection in connections:
                        owners.start_soon(connection.run)
                    for connection in connections:
                        await connection.settled.wait()
                        if connection.state == "failed" and connection.server.required:
                            assert connection.problem is not None
                            raise connection.problem
                    yield
                finally:
                    with anyio.move_on_after(_CLOSE_S, shield=True):
                        await _close(connections)
                    owners.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise lone(errors) from None

    def tools(self) -> Sequence[Tool]:
        """The tools there are now, in the order of servers and of their lists; the same objects as long as nothing
        changes. An agent asks before every request."""
        connections = list(self._connections.values())
        made_of = [(connection.version, connection.has_resources) for connection in connections]
        if made_of != self._made_of:
            self._tools, self._made_of = self._made(connections), made_of
        return self._tools

    def _made(self, connections: Sequence[Connection]) -> tuple[Tool, ...]:
        listed = [(connection, tool) for connection in connections for tool in connection.listed]
        names = names_of(((connection.server.name, tool.name) for connection, tool in listed), self._names)
        self._names |= names
        before = {tool.spec.name: tool for tool in self._tools if isinstance(tool, McpTool)}
        made: list[Tool] = []
        for connection, tool in listed:
            name = names[connection.server.name, tool.name]
            old = before.get(name)
            made.append(old if old is not None and old.listed == tool else McpTool(connection, name, tool))
        return (*made, *resource_tools([connection for connection in connections if connection.has_resources]))

    def status(self) -> list[McpStatus]:
        """How each server is, in their order."""
        return [self._status(server) for server in self._servers]

    def _status(self, server: McpServer) -> McpStatus:
        connection = self._connections.get(server.name)
        if connection is None:
            return McpStatus(server.name, "off" if not server.enabled else "starting")
        return McpStatus(server.name, connection.state, len(connection.listed), connection.problem)

    async def call(
        self, server: str, tool: str, arguments: JsonObject | None = None, *, emit: Emit | None = None
    ) -> ToolOutput:
        """Call a tool by the server's own name for it, also one that it does not list; nobody is asked. Raises
        CallerError for a server there is not, ToolError where there is no answer."""
        connection = self._connections.get(server)
        if connection is None:
            known = ", ".join(map(repr, self._connections)) or "none"
            raise CallerError(f"there is no MCP server {server!r}", remedy=f"the servers are: {known}")
        return await call_tool(connection, tool, arguments or {}, emit=emit or _unseen)


def _load_sdk() -> None:
    try:
        import_module("mcp.client")
    except ModuleNotFoundError as error:
        if error.name != "mcp":
            raise
        raise ConfigError("the MCP SDK is not installed", remedy="pip install 'agent-core[mcp]'") from None


async def _close(connections: Sequence[Connection]) -> None:
    for connection in connections:
        connection.close()
    for connection in connections:
        await connection.ended.wait()


async def _unseen(text: str) -> None:
    """Progress nobody watches."""
