"""Servers behind URLs that answer oddly: what is said of them, what they are told, and how much of them is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent_core.tools import ToolOutput
from agent_core.tools.mcp import McpServer, McpServers
from tests.loopback import Exchange, Received, exchange, reply, serve

pytestmark = [
    pytest.mark.anyio,
    # httpx2's generators in the SDK's HTTP transport are left to the collector, which trio says aloud.
    pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning"),
]
ABOUT: dict[str, object] = {
    "serverInfo": {"name": "odd", "version": "0"},
    "capabilities": {"tools": {}},
    "protocolVersion": "2025-06-18",
}
TOOL: dict[str, object] = {"name": "big", "inputSchema": {"type": "object"}}


def answer(received: Received) -> Exchange:
    """A small server without sessions, whose one tool says more than anybody wants to hear."""
    request: Any = json.loads(received.body or b"{}")
    results: dict[object, object] = {
        "initialize": ABOUT,
        "tools/list": {"tools": [TOOL]},
        "tools/call": {"content": [{"type": "text", "text": "x" * 200_000}]},
    }
    result = results.get(request.get("method"))
    if result is None:
        return exchange(reply(202))
    return exchange(reply(200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()))


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (reply(401), "HTTP 401 "),
        (reply(404, b"not here", content_type="text/plain"), "HTTP 404 "),
        (reply(503, b"<html>", content_type="text/html"), "HTTP 503 "),
        (reply(200, b"<html>", content_type="text/html"), "Unexpected content type: text/html"),
        (reply(302, headers={"location": "http://127.0.0.2:1/mcp"}), "Redirect to http://127.0.0.2:1/mcp not followed"),
    ],
    ids=["401", "404", "503", "html", "elsewhere"],
)
async def test_a_server_that_cannot_be_connected_to(sent: bytes, said: str) -> None:
    """What it answered is told, and what to look at."""
    async with serve(exchange(sent)) as http, McpServers([McpServer("far", url=http.url)]) as servers:
        (status,) = servers.status()
        assert status.problem is not None
        assert said in status.problem.message
        assert status.problem.remedy == "check its url, its headers, and that it runs"


async def test_headers_go_with_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token and the others; what is refused does not tell them."""
    monkeypatch.setenv("FAR_TOKEN", "t0ken-of-mine")
    settings: dict[str, Any] = {"bearer_token_env_var": "FAR_TOKEN", "http_headers": {"X-Team": "blue"}}
    async with serve(answer) as http, McpServers([McpServer("far", url=http.url, **settings)]) as servers:
        assert [tool.spec.name for tool in servers.tools()] == ["mcp__far__big"]
        sent = {(one.headers["authorization"], one.headers["x-team"]) for one in http.requests}
        assert sent == {("Bearer t0ken-of-mine", "blue")}
        assert "t0ken" not in f"{servers!r} {servers.status()!r}"


@pytest.mark.parametrize("max_bytes", [100_000, 1_000_000])
async def test_an_answer_is_read_up_to_its_bound(max_bytes: int) -> None:
    """One that is larger is a failure, and the connection goes on."""
    async with serve(answer) as http, McpServers([McpServer("far", url=http.url, max_message_bytes=max_bytes)]) as far:
        output = await far.call("far", "big")
        if max_bytes > 200_000:
            assert output == ToolOutput("x" * 200_000)
        else:
            assert (output.success, "the server sent more than 100,000 bytes" in str(output.content)) == (False, True)
        assert far.status()[0].state == "ready"
