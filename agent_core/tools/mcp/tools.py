"""MCP tools as tools of the loop, and three tools for what servers offer as resources."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import anyio

from ...approvals import Action, ApprovalRequest, Risk, Rule
from ...cancellation import lone
from ...errors import ToolError
from ...items import JsonObject, JsonValue
from ...prompt import ToolSpec
from ..arguments import InvalidArguments, parse_arguments
from ..base import ToolCall, ToolContext, ToolOutput
from ..capture import cut_middle
from ..results import MAX_RESULT_BYTES
from .connection import Connection
from .content import output_of, output_of_resource

if TYPE_CHECKING:
    from mcp import Client, types
    from mcp.shared.dispatcher import ProgressFnT

__all__ = ["McpTool", "ResourceTool", "call_tool", "resource_tools"]

MAX_DESCRIPTION_BYTES = 16 * 1024
MAX_PROGRESS = 10_000
"""Of one call; as in Codex (codex.md 4)."""
_PROGRESS_WAITING = 64
_MAX_PAGES = 20

T = TypeVar("T")
Emit: TypeAlias = Callable[[str], Awaitable[None]]


class McpTool:
    """One tool of a server. The schema is the server's own, untouched, and the server checks the arguments.

    `listed` is what the server says of it. Its calls are asked about (`asks`) unless the configuration trusts it or
    knows that it changes nothing; "for this session" remembers the tool with these arguments.
    """

    def __init__(self, connection: Connection, name: str, listed: types.Tool) -> None:
        server = connection.server
        annotated = listed.annotations is not None and listed.annotations.read_only_hint is True
        description = cut_middle(listed.description or listed.title or "", MAX_DESCRIPTION_BYTES)[0]
        self.listed = listed
        self.read_only = server.is_read_only(listed.name, annotated=annotated)
        self.parallel = server.parallel or self.read_only
        self.timeout_s: float | None = server.tool_timeout_s
        self.spec = ToolSpec(name, description, cast("Mapping[str, JsonValue]", listed.input_schema))
        self.server = server.name
        self._connection = connection
        self.asks = not self.read_only and not server.trusts(listed.name)

    def __repr__(self) -> str:
        return f"McpTool({self.spec.name!r})"

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return _request(call, context, self._connection) if self.asks else None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        try:
            arguments = parse_arguments(call.arguments)
        except InvalidArguments as error:
            return ToolOutput(f"{self.spec.name}: {error.message}; {error.remedy}", success=False)
        return await call_tool(self._connection, self.listed.name, arguments, emit=context.emit)


async def call_tool(connection: Connection, tool: str, arguments: JsonObject, *, emit: Emit) -> ToolOutput:
    """Call it and wait for its answer, however long that takes; a refusal of the server is a failed output. Raises
    ToolError where there is no answer. Cancelled, it tells the server."""
    from mcp import MCPError

    async def work(client: Client) -> types.CallToolResult:
        return await client.call_tool(tool, cast("dict[str, object]", arguments), progress_callback=show)

    try:
        async with _progress(emit) as show:
            result = await connection.ask(work)
    except MCPError as error:
        words = cut_middle(error.message, MAX_DESCRIPTION_BYTES)[0]
        return ToolOutput(f"MCP error {error.code}: {words}", success=False)
    except RuntimeError as error:  # the SDK's word for an answer that breaks the tool's own output schema
        words = cut_middle(str(error).split("\n")[0], MAX_DESCRIPTION_BYTES)[0]
        return ToolOutput(f"the call was done, but its result is not what the tool promises: {words}", success=False)
    except ValueError:  # pydantic's: its words would be the result's
        return ToolOutput("the call was done, but its result breaks the protocol", success=False)
    return output_of(result)


@asynccontextmanager
async def _progress(emit: Emit) -> AsyncGenerator[ProgressFnT]:
    """A callback that never waits: who watches slowly misses some of it. What comes out of order is left out."""
    sent, waiting = anyio.create_memory_object_stream[str](_PROGRESS_WAITING)
    newest, count = -math.inf, 0

    async def show(progress: float, total: float | None, message: str | None) -> None:
        nonlocal newest, count
        if progress <= newest or count >= MAX_PROGRESS:
            return
        newest, count = progress, count + 1
        text = message or (f"{progress:g}/{total:g}" if total else f"{progress:g}")
        try:
            sent.send_nowait(cut_middle(text, MAX_DESCRIPTION_BYTES)[0] + "\n")
        except (anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
            return

    async def pump() -> None:
        async for text in waiting:
            await emit(text)

    try:
        with sent, waiting:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pump)
                yield show
                sent.close()
    except BaseExceptionGroup as errors:
        raise lone(errors) from None


def _request(call: ToolCall, context: ToolContext, connection: Connection) -> ApprovalRequest:
    risk: Risk = "network" if connection.server.url else "execute"
    try:
        arguments = parse_arguments(call.arguments)
        shown = ", ".join(f"{key}={_short(json.dumps(value, ensure_ascii=False))}" for key, value in arguments.items())
        key = json.dumps(arguments, sort_keys=True)
    except InvalidArguments:
        shown = key = _short(call.arguments)
    words = (call.name, key)
    return ApprovalRequest(
        call_id=call.call_id,
        tool=call.name,
        summary=_short(f"{call.name}({shown})", 200),
        detail=call.arguments,
        risk=risk,
        key=key,
        cwd=str(context.cwd),
        actions=(Action("call", words, rule=Rule("call", words)),),
    )


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[:limit] + "…"


# --- resources -------------------------------------------------------------------------------------------------------

_SERVER: JsonObject = {"type": "string", "description": "The server's name. Default: all of them."}
_ONE_SERVER: JsonObject = {"type": "string", "description": "The server's name."}
_URI: JsonObject = {"type": "string", "description": "The resource's URI, as listed, or made from a template."}

_Run: TypeAlias = Callable[[Connection, JsonObject], Awaitable[ToolOutput]]


class ResourceTool:
    """`list_mcp_resources`, `list_mcp_resource_templates` or `read_mcp_resource`, over all servers that have some.

    Listing asks nobody. Reading hands the server a URI of the model's: it is asked about unless the server's
    `trusted_tools` or `read_only_tools` name `read_mcp_resource`.
    """

    read_only = True
    parallel = True

    def __init__(self, spec: ToolSpec, connections: Sequence[Connection], run: _Run) -> None:
        self.spec = spec
        self.timeout_s: float | None = max(connection.server.tool_timeout_s for connection in connections)
        self._connections = {connection.server.name: connection for connection in connections}
        self._run = run

    def __repr__(self) -> str:
        return f"ResourceTool({self.spec.name!r})"

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        if self.spec.name != "read_mcp_resource":
            return None
        try:
            name = parse_arguments(call.arguments).get("server")
        except InvalidArguments:
            return None  # `run` reports it
        connection = self._connections.get(name) if isinstance(name, str) else None
        if connection is None:
            return None
        server = connection.server
        if server.trusts(self.spec.name) or server.is_read_only(self.spec.name, annotated=False):
            return None
        return _request(call, context, connection)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from mcp import MCPError

        try:
            arguments = parse_arguments(call.arguments)
            asked = self._asked(arguments)
            outputs = [await self._run(connection, arguments) for connection in asked]
        except ToolError as error:
            return ToolOutput(f"{self.spec.name}: {error.message}; {error.remedy}", success=False)
        except MCPError as error:
            return ToolOutput(f"MCP error {error.code}: {error.message}", success=False)
        if len(outputs) == 1:
            return outputs[0]
        texts = [output.content for output in outputs if isinstance(output.content, str) and output.content]
        return ToolOutput("\n".join(texts))

    def _asked(self, arguments: JsonObject) -> list[Connection]:
        name = arguments.get("server")
        if name is None and self.spec.name != "read_mcp_resource":
            return list(self._connections.values())
        if not isinstance(name, str) or name not in self._connections:
            known = ", ".join(map(repr, self._connections))
            raise InvalidArguments(f"there is no MCP server {name!r} with resources", remedy=f"the servers are {known}")
        return [self._connections[name]]


def resource_tools(connections: Sequence[Connection]) -> list[ResourceTool]:
    """None where no server has resources."""
    if not connections:
        return []
    tools: list[tuple[str, str, JsonObject, _Run]] = [
        ("list_mcp_resources", "Lists what MCP servers offer to read.", {"server": _SERVER}, _list),
        (
            "list_mcp_resource_templates",
            "Lists the URI templates of what MCP servers offer to read.",
            {"server": _SERVER},
            _list_templates,
        ),
        ("read_mcp_resource", "Reads a resource of an MCP server.", {"server": _ONE_SERVER, "uri": _URI}, _read),
    ]
    made: list[ResourceTool] = []
    for name, description, properties, run in tools:
        required: list[JsonValue] = [*properties] if name == "read_mcp_resource" else []
        schema: JsonObject = {"type": "object", "properties": properties, "required": required}
        made.append(
            ResourceTool(ToolSpec(name, description, {**schema, "additionalProperties": False}), connections, run)
        )
    return made


async def _list(connection: Connection, arguments: JsonObject) -> ToolOutput:
    async def page(client: Client, cursor: str | None) -> tuple[list[types.Resource], str | None]:
        listed = await client.list_resources(cursor=cursor)
        return listed.resources, listed.next_cursor

    found = await connection.ask(partial(_pages, page))
    return _listing(connection, [(str(one.uri), one.title or one.name, one.description) for one in found])


async def _list_templates(connection: Connection, arguments: JsonObject) -> ToolOutput:
    async def page(client: Client, cursor: str | None) -> tuple[list[types.ResourceTemplate], str | None]:
        listed = await client.list_resource_templates(cursor=cursor)
        return listed.resource_templates, listed.next_cursor

    found = await connection.ask(partial(_pages, page))
    return _listing(connection, [(one.uri_template, one.title or one.name, one.description) for one in found])


async def _read(connection: Connection, arguments: JsonObject) -> ToolOutput:
    uri = arguments.get("uri")
    if not isinstance(uri, str) or not uri:
        raise InvalidArguments(f"uri must be a URI, not {uri!r:.100}")
    return output_of_resource(await connection.ask(lambda client: client.read_resource(uri)))


async def _pages(
    page: Callable[[Client, str | None], Awaitable[tuple[list[T], str | None]]], client: Client
) -> list[T]:
    found: list[T] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        entries, following = await page(client, cursor)
        found += entries
        if following is None or following == cursor:
            break
        cursor = following
    return found


def _listing(connection: Connection, found: Sequence[tuple[str, str, str | None]]) -> ToolOutput:
    lines = [
        f"{connection.server.name}: {uri} — {name}" + (f": {about}" if about else "") for uri, name, about in found
    ]
    text, left_out = cut_middle("\n".join(lines), MAX_RESULT_BYTES)
    return ToolOutput(text, metadata={"truncated_bytes": left_out} if left_out else {})
