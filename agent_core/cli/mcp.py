"""`agent-core mcp`: what MCP servers offer, and one call of a tool, without a model.

The servers are those of a file with tables `[mcp_servers.NAME]`. Answers go to stdout, progress and problems to stderr;
with --json, stdout is one JSON object a line. Who calls a tool by hand is not asked about it.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, cast

from ..errors import ConfigError, ToolError
from ..items import InputImage, InputText, JsonObject, JsonValue, OutputPart
from .exits import Exit, UsageProblem
from .mcp_config import CONFIG_VARIABLE, config_path, quiet_sdk, tell_problems
from .numbers import seconds
from .screen import Screen, one_line, write_json, write_text
from .watch import errors_told

if TYPE_CHECKING:
    from ..tools.base import ToolOutput
    from ..tools.mcp import McpServer, McpServers, McpStatus
    from ..tools.mcp.tools import McpTool

__all__ = ["add_arguments", "run"]

_ARGUMENTS_MAX_BYTES = 8 * 1024 * 1024
_TIMEOUT_MAX_S = 86400.0
_DESCRIPTION_CHARS = 80


def add_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = _action(actions.add_parser("list", help="the servers, and the tools of each"))
    listing.set_defaults(do=_list)
    listing.add_argument("server", metavar="SERVER", nargs="?", help="only this one")
    calling = _action(actions.add_parser("call", help="call one tool, and print what it answers"))
    calling.set_defaults(do=_call)
    calling.add_argument("server", metavar="SERVER", help="the server's name in the file")
    calling.add_argument("tool", metavar="TOOL", help="the tool's name, the server's own or the model's")
    calling.add_argument("arguments", metavar="ARGUMENTS", nargs="?", default="{}", help="a JSON object; - reads stdin")
    calling.add_argument(
        "--timeout", type=seconds(_TIMEOUT_MAX_S), metavar="S", help="default: the server's tool_timeout_sec, else 60"
    )


def _action(parser: ArgumentParser) -> ArgumentParser:
    """What every action takes."""
    parser.add_argument("--config", metavar="FILE", help=f"the servers (default: the file {CONFIG_VARIABLE} names)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def run(args: Namespace) -> int:
    from .. import blocking
    from ..tools.mcp import McpServers, read_toml

    screen = Screen(sys.stderr)
    with errors_told(screen, as_json=cast("bool", args.json)):
        servers = read_toml(config_path(cast("str | None", args.config)))
        if args.server is not None:
            servers = [_named(cast("str", args.server), servers)]
        if args.do is _call:
            servers = [replace(server, required=True) for server in servers]
        quiet_sdk()
        do = cast("Callable[[Namespace, McpServers, Screen], Awaitable[Exit]]", args.do)

        async def work() -> Exit:
            async with McpServers(servers) as running:
                tell_problems(running, screen)
                return await do(args, running, screen)

        return blocking.run(work)


def _named(name: str, servers: list[McpServer]) -> McpServer:
    found = next((server for server in servers if server.name == name), None)
    if found is None:
        known = ", ".join(server.name for server in servers)
        raise UsageProblem(f"there is no MCP server {name!r} in the file", remedy=f"it has: {known}")
    if not found.enabled:
        raise ConfigError(f"MCP server {name!r} is switched off", remedy="set enabled = true")
    return found


# --- list ------------------------------------------------------------------------------------------------------------


async def _list(args: Namespace, servers: McpServers, screen: Screen) -> Exit:
    out = Screen(sys.stdout)
    tools = _tools(servers)
    for status in servers.status():
        of_it = [tool for tool in tools if tool.server == status.name]
        if args.json:
            write_json(_server_json(status, of_it))
        else:
            _show(out, status, of_it)
    failed = any(status.problem is not None for status in servers.status())
    return Exit.FAILED if failed else Exit.OK


def _tools(servers: McpServers) -> list[McpTool]:
    from ..tools.mcp.tools import McpTool

    return [tool for tool in servers.tools() if isinstance(tool, McpTool)]


def _show(out: Screen, status: McpStatus, tools: list[McpTool]) -> None:
    out.line(f"{status.name}: {status.state}, {len(tools)} tools", "good" if status.state == "ready" else "bad")
    width = max((len(tool.listed.name) for tool in tools), default=0)
    for tool in tools:
        out.put(f"  {tool.listed.name.ljust(width)}  ")
        out.put(f"{_treatment(tool):<6}  ", "plain" if tool.asks else "dim")
        out.put(one_line(tool.spec.description, _DESCRIPTION_CHARS) + "\n", "dim")


def _treatment(tool: McpTool) -> str:
    return "asks" if tool.asks else "reads" if tool.read_only else "runs"


def _server_json(status: McpStatus, tools: list[McpTool]) -> JsonObject:
    listed: list[JsonValue] = [
        {
            "name": tool.listed.name,
            "called": tool.spec.name,
            "description": tool.spec.description,
            "read_only": tool.read_only,
            "asks": tool.asks,
            "parameters": dict(tool.spec.parameters),
        }
        for tool in tools
    ]
    problem = status.problem.message if status.problem is not None else None
    return {"name": status.name, "state": status.state, "problem": problem, "tools": listed}


# --- call ------------------------------------------------------------------------------------------------------------


async def _call(args: Namespace, servers: McpServers, screen: Screen) -> Exit:
    import anyio

    (status,) = servers.status()
    tool = _tool_named(cast("str", args.tool), servers)
    arguments = _arguments(cast("str", args.arguments))
    limit_s = cast("float | None", args.timeout) or tool.timeout_s

    async def emit(text: str) -> None:
        screen.put(text, "dim")

    try:
        with anyio.fail_after(limit_s):
            output = await servers.call(status.name, tool.listed.name, arguments, emit=emit)
    except TimeoutError:
        what = f"{tool.listed.name!r} did not answer within {limit_s:g} s"
        raise ToolError(what, remedy="give it more time with --timeout") from None
    if args.json:
        write_json(_output_json(tool, output))
    else:
        write_text(sys.stdout, "\n".join(_shown(part) for part in _parts(output)) + "\n")
    return Exit.OK if output.success else Exit.FAILED


def _tool_named(name: str, servers: McpServers) -> McpTool:
    tools = _tools(servers)
    found = next((tool for tool in tools if name in (tool.listed.name, tool.spec.name)), None)
    if found is None:
        names = [tool.listed.name for tool in tools]
        near = get_close_matches(name, names, 1)
        remedy = f"did you mean {near[0]!r}?" if near else "agent-core mcp list names its tools"
        raise UsageProblem(f"the server offers no tool {name!r}", remedy=remedy)
    return found


def _arguments(word: str) -> JsonObject:
    text = word
    if word == "-":
        read = sys.stdin.buffer.read(_ARGUMENTS_MAX_BYTES + 1)
        if len(read) > _ARGUMENTS_MAX_BYTES:
            raise UsageProblem(f"the arguments are larger than {_ARGUMENTS_MAX_BYTES:,} bytes", remedy="send less")
        text = read.decode("utf-8", "replace")
    remedy = """write them like '{"path": "a.txt"}'"""
    try:
        value = cast("object", json.loads(text))
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"the arguments are no JSON: {str(error)[:100]}", remedy=remedy) from None
    if not isinstance(value, dict):
        raise UsageProblem("the arguments are no JSON object", remedy=remedy)
    return cast("JsonObject", value)


def _parts(output: ToolOutput) -> tuple[OutputPart, ...]:
    content = output.content
    return (InputText(text=content),) if isinstance(content, str) else content


def _shown(part: OutputPart) -> str:
    match part:
        case InputText():
            return part.text
        case InputImage():
            kind, _, data = part.image_url.partition(";base64,")
            return f"[{kind.removeprefix('data:')}, {len(data) * 3 // 4:,} bytes]"
        case _:
            return "[a file]"


def _output_json(tool: McpTool, output: ToolOutput) -> JsonObject:
    content: list[JsonValue] = [cast("JsonObject", part.model_dump(exclude_none=True)) for part in _parts(output)]
    return {"tool": tool.listed.name, "success": output.success, "content": content}
