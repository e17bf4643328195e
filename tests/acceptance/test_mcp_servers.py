"""MCP servers that people use, all at once: `server-filesystem` (npm), `mcp-server-time` and `-git` (PyPI).

Everyday on asyncio; with AGENT_CORE_LONG=1 on trio too.
"""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from agent_core.tools import ToolOutput
from agent_core.tools.mcp import McpServer, McpServers

from ..reliability import LONG
from .servers import mcp_node_command, mcp_python_command

pytestmark = [pytest.mark.anyio, pytest.mark.acceptance]


def server(name: str, command: list[str]) -> McpServer:
    program, *args = command
    return McpServer(name, command=program, args=args, trust_annotations=True)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"] if LONG else ["asyncio"])
async def test_files_times_and_commits(anyio_backend: str, tmp_path: Path) -> None:
    """Started together; each does its work, within its bounds; and both shapes of the unknown-tool error look alike."""
    (tmp_path / "a.txt").write_text("grüße", "utf-8")
    await anyio.run_process(["git", "init", "-q", "-b", "main", str(tmp_path)])
    files, times, commits = (
        server("fs", mcp_node_command("filesystem", str(tmp_path))),
        server("time", mcp_python_command("time", "--local-timezone", "UTC")),
        server("git", mcp_python_command("git", "--repository", str(tmp_path))),
    )
    async with McpServers([files, times, commits], cwd=tmp_path) as servers:
        assert [status.state for status in servers.status()] == ["ready"] * 3
        names = {tool.spec.name: tool.read_only for tool in servers.tools()}
        assert (names["mcp__fs__read_text_file"], names["mcp__fs__write_file"]) == (True, False)
        assert {"mcp__time__get_current_time", "mcp__git__git_status"} < set(names)

        text = await servers.call("fs", "read_text_file", {"path": str(tmp_path / "a.txt")})
        assert text == ToolOutput("grüße")
        outside = await servers.call("fs", "read_text_file", {"path": "/etc/passwd"})
        assert (outside.success, "Access denied" in str(outside.content)) == (False, True)
        time = await servers.call("time", "get_current_time", {"timezone": "Europe/Paris"})
        assert '"timezone": "Europe/Paris"' in str(time.content)
        status = await servers.call("git", "git_status", {"repo_path": str(tmp_path)})
        assert "a.txt" in str(status.content)

        by_result = await servers.call("fs", "nope")
        by_error = await servers.call("time", "nope")
        assert by_result == ToolOutput("MCP error -32602: Tool nope not found", success=False)
        assert by_error == ToolOutput("MCP error -32602: Unknown tool: nope", success=False)
