"""A command that prints without end, run by a tool in a process of its own, so that its peak of memory is the tool's.

In a worker of the suite it would be everybody's: garbage of other tests, their threads, modules that are imported late.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Mapping
from pathlib import Path

import anyio
from msgspec import Struct, to_builtins

from agent_core.items import JsonValue
from agent_core.tools import ExecSessions, Shell, Tool, ToolCall, ToolContext, ToolOutput

__all__ = ["MAX_LOG_BYTES", "Flooded", "main", "run"]

MAX_LOG_BYTES = 2**20


class Flooded(Struct, frozen=True):
    """What came of it. `log_bytes`: of a session."""

    success: bool
    end: str
    truncated_bytes: int
    grown_kib: int
    log_bytes: int


async def run(tool: Tool, cwd: Path, arguments: Mapping[str, JsonValue]) -> ToolOutput:
    call = ToolCall("call_1", tool.spec.name, json.dumps(arguments))
    with anyio.fail_after(300):
        return await tool.run(call, ToolContext(cwd))


def main(tool: str, backend: str, command: str, env: Mapping[str, str]) -> None:
    """Prints what came of the command, as JSON; `tool` is "shell" or "session"."""
    print(json.dumps(to_builtins(anyio.run(_flooded, tool, command, env, backend=backend))))


async def _flooded(tool: str, command: str, env: Mapping[str, str]) -> Flooded:
    with ExecSessions(env=env, max_log_bytes=MAX_LOG_BYTES) as sessions:
        before = _peak_kib()
        output = await (_shell(command, env) if tool == "shell" else _session(command, sessions))
        grown = _peak_kib() - before
        log = output.metadata.get("log")
        log_bytes = (await anyio.Path(str(log)).stat()).st_size if log else 0
    left_out = output.metadata["truncated_bytes"]
    assert isinstance(left_out, int)
    return Flooded(output.success, str(output.content)[-20:], left_out, grown, log_bytes)


async def _shell(command: str, env: Mapping[str, str]) -> ToolOutput:
    return await run(Shell(env=env), Path.cwd(), {"command": command})


async def _session(command: str, sessions: ExecSessions) -> ToolOutput:
    """Looked at, again and again, until it is over."""
    exec_command, write_stdin, _ = sessions.tools()
    output = await run(exec_command, Path.cwd(), {"cmd": command, "yield_time_ms": 0})
    while output.metadata["running"]:
        output = await run(write_stdin, Path.cwd(), {"session_id": output.metadata["session_id"]})
    return output


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
