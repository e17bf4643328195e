"""Running commands as a model does, for the tests of `exec_command` and its like."""

from __future__ import annotations

from pathlib import Path

from agent_core.items import JsonValue
from agent_core.tools import ExecCommand, ExecSessions, KillSession, ToolContext, ToolOutput, WriteStdin

from .calls import call

PATIENT = 30_000
"""Longer than anything here takes: what ends a wait is what it waits for."""


class Desk:
    """The three tools over one owner, and what they answer."""

    def __init__(self, sessions: ExecSessions, cwd: Path) -> None:
        self.sessions = sessions
        self.context = ToolContext(cwd)
        self.exec = ExecCommand(sessions)

    async def run(self, cmd: JsonValue, **more: JsonValue) -> ToolOutput:
        """To its end, or until what it waits for."""
        asked: dict[str, JsonValue] = {"cmd": cmd, "yield_time_ms": PATIENT, **more}
        return await self.exec.run(call("exec_command", asked), self.context)

    async def start(self, cmd: JsonValue, until: str, **more: JsonValue) -> int:
        """The number of a session that has said `until`."""
        output = await self.run(cmd, wait_for=until, **more)
        assert until in body(output), output
        return number(output)

    async def write(self, session: int, chars: str = "", until: str = "", **more: JsonValue) -> ToolOutput:
        asked: dict[str, JsonValue] = {"session_id": session, "chars": chars, "wait_for": until, **more}
        if until:
            asked["yield_time_ms"] = PATIENT
        return await WriteStdin(self.sessions).run(call("write_stdin", asked), self.context)

    async def end(self, session: int) -> ToolOutput:
        """Waits until it has ended by itself."""
        return await self.write(session, yield_time_ms=PATIENT)

    async def kill(self, session: int) -> ToolOutput:
        return await KillSession(self.sessions).run(call("kill_session", {"session_id": session}), self.context)


def body(output: ToolOutput) -> str:
    assert isinstance(output.content, str)
    return output.content.partition("Output:\n")[2]


def number(output: ToolOutput) -> int:
    found = output.metadata["session_id"]
    assert isinstance(found, int)
    return found
