"""The tools of an MCP server, a process of its own that ends with the block (extra `mcp`)."""

import sys

import anyio

from agent_core import Agent
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.tools.mcp import McpServer, McpServers

SCRIPT = [
    Step(
        calls=(
            Call(
                "mcp__time__convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
            ),
        )
    ),
    Step(text="It is nine in the evening there."),
]  # what a real model would do by itself


async def main() -> None:
    # From a file: McpServers.from_toml("mcp.toml"). Calls are asked about, unless a tool is trusted or only reads.
    time = McpServer("time", command=sys.executable, args=["-m", "mcp_server_time"], read_only_tools=["*"])
    async with McpServers([time]) as servers:
        for tool in servers.tools():
            print(tool.spec.name)
        with RehearsalServer(SCRIPT) as model:
            agent = Agent("rehearsal/any", provider=model.provider, tools=[servers])
            result = await agent.run("It is noon in Greenwich. And in Tokyo?")
    print(result.text)


anyio.run(main)
