"""A real MCP server behind the gateway, from its configuration file: the client sees the answer alone."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest

from agent_core.gateway import gateway_from_toml
from agent_core.items import FunctionCallOutput
from agent_core.testing import Call, RehearsalServer, Step
from tests.gateway.running import running

from .servers import mcp_python_command

pytestmark = pytest.mark.acceptance

STEPS = [
    Step(
        text="One moment. ",
        calls=(
            Call("mcp__time__get_current_time", {"timezone": "Europe/Oslo"}),
            Call("mcp__time__convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "UTC"}),
        ),
    ),
    Step(text="It is late."),
]


def test_the_time_for_a_client_that_has_no_tools(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a rule allows runs, what has to be asked about does not; the client of Messages is told text, and a log
    which server is not there."""
    program, *args = mcp_python_command("time", "--local-timezone", "UTC")
    with RehearsalServer(STEPS, pace_s=0) as backend:
        (tmp_path / "gateway.toml").write_text(
            f"""
            [models.m]
            model = "lab/m"
            base_url = "{backend.base_url}"
            [tools.mcp.time]
            command = {json.dumps(program)}
            args = {json.dumps(args)}
            required = true
            [tools.mcp.gone]
            command = "no-such-command-anywhere"
            [[tools.rules]]
            name = "mcp__time__get_*"
            action = "allow"
            """
        )
        body = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "What time is it?"}]}
        with running(gateway_from_toml(tmp_path / "gateway.toml")) as url:
            answer = httpx2.post(f"{url}/v1/messages", json=body, timeout=30).json()
        first, second = (request.prompt for request in backend.requests)
    assert "".join(block["text"] for block in answer["content"]) == "One moment. It is late."
    assert (answer["stop_reason"], {block["type"] for block in answer["content"]}) == ("end_turn", {"text"})
    assert first is not None and second is not None
    assert {"mcp__time__get_current_time", "mcp__time__convert_time"} <= {
        getattr(spec, "name", "") for spec in first.tools
    }
    time, refused = (item.output for item in second.items if isinstance(item, FunctionCallOutput))
    assert '"timezone": "Europe/Oslo"' in str(time)
    assert "denied" in str(refused)
    (missing,) = (record.__dict__ for record in caplog.records if record.levelname == "WARNING")
    assert (missing["event"], missing["server"], missing["error"]) == ("tools_missing", "gone", "ToolError")
