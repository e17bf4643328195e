"""MCP's own test server, `@modelcontextprotocol/server-everything`, over its pipes and over streamable HTTP.

Everyday asyncio speaks to the pipes and trio to HTTP, and what is the same on both is tried on one of them; the long
run tries all four.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent_core import Agent, Session
from agent_core.approvals import ApprovalPolicy, allow_all, deny_all
from agent_core.errors import ToolError
from agent_core.items import FunctionCallOutput, InputImage, InputText, JsonObject
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.tools import ToolContext, ToolOutput
from agent_core.tools.mcp import Elicitation, ElicitationAnswer, McpServer, McpServers
from tests.process_marks import ProcessMark
from tests.reliability import LONG
from tests.unit.tools.calls import call

from .servers import mcp_node_command, started

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.acceptance,
    # httpx2's generators in the SDK's HTTP transport are left to the collector, which trio says aloud.
    pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning"),
]
PRELOAD = Path(__file__).with_name("on_loopback.cjs")
PIPES, HTTP = ("asyncio", "stdio"), ("trio", "http")
WAYS = [PIPES, HTTP, ("asyncio", "http"), ("trio", "stdio")]
NAMES = [
    "echo", "get-annotated-message", "get-env", "get-resource-links", "get-resource-reference",
    "get-structured-content", "get-sum", "get-tiny-image", "gzip-file-as-resource", "toggle-simulated-logging",
    "toggle-subscriber-updates", "trigger-long-running-operation",
]  # fmt: skip


def over_http(folder: Path, mark: ProcessMark | None = None, *, port: int = 0) -> AbstractContextManager[str]:
    env = {"PORT": str(port), "NODE_OPTIONS": f"--require {PRELOAD}", **(mark.env if mark is not None else {})}
    return started(mcp_node_command("everything", "streamableHttp"), folder / "log", env)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with over_http(tmp_path_factory.mktemp("everything")) as url:
        yield url
    gc.collect()  # inside of this module's filter


@pytest.fixture(params=WAYS if LONG else WAYS[:2], ids="-".join)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    backend, transport = request.param
    return str(backend), str(transport)


@pytest.fixture
def anyio_backend(way: tuple[str, str]) -> str:
    return way[0]


def everyday(way: tuple[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", WAYS if LONG else [way], ids="-".join, indirect=True)


Make = Callable[..., McpServers]


@pytest.fixture
def everything(way: tuple[str, str], request: pytest.FixtureRequest) -> Make:
    """Makes McpServers of the one server; takes fields of McpServer, and `elicit`."""

    def make(elicit: Any = None, **settings: Any) -> McpServers:
        if way[1] == "http":
            server = McpServer("all", url=request.getfixturevalue("url") + "/mcp", **settings)
        else:
            node, *arguments = mcp_node_command("everything", "stdio")
            server = McpServer("all", command=node, args=arguments, **settings)
        return McpServers([server], elicit=elicit)

    return make


async def test_list(everything: Make) -> None:
    """Every tool under its name, with its description and its own schema."""
    async with everything() as servers:
        specs = {tool.spec.name: tool.spec for tool in servers.tools()}
        assert {f"mcp__all__{name.replace('-', '_')}" for name in NAMES} <= set(specs)
        add: Any = specs["mcp__all__get_sum"]
        assert (add.description, add.parameters["required"]) == ("Returns the sum of two numbers", ["a", "b"])
        assert add.parameters["$schema"].startswith("http://json-schema.org/")


CALLS: list[tuple[str, JsonObject, str]] = [
    ("echo", {"message": "grüße"}, "Echo: grüße"),
    ("get-sum", {"a": 2, "b": 3}, "The sum of 2 and 3 is 5."),
    ("get-structured-content", {"location": "New York"}, '{"temperature":33,"conditions":"Cloudy","humidity":82}'),
]


@everyday(HTTP)
async def test_calls(everything: Make) -> None:
    """Text, and structured content, which is told once though it comes twice."""
    async with everything() as servers:
        outputs = [await servers.call("all", name, arguments) for name, arguments, _ in CALLS]
        assert outputs == [ToolOutput(text) for *_, text in CALLS]


@everyday(HTTP)
async def test_a_picture_and_resources(everything: Make) -> None:
    """A picture is one, between its texts; links and embedded resources are named with their URIs."""
    async with everything() as servers:
        parts = (await servers.call("all", "get-tiny-image")).content
        assert [type(part) for part in parts] == [InputText, InputImage, InputText]
        image = parts[1]
        assert isinstance(image, InputImage)
        assert image.image_url.startswith("data:image/png;base64,iVBORw0KGgo")
        links = await servers.call("all", "get-resource-links", {"count": 2})
        assert "[resource demo://resource/dynamic/text/2: text/plain " in str(links.content)
        embedded = await servers.call("all", "get-resource-reference", {"resourceType": "Text", "resourceId": 1})
        assert "[resource demo://resource/dynamic/text/1, text/plain]\nResource 1: " in str(embedded.content)


@everyday(HTTP)
async def test_an_unknown_tool_and_wrong_arguments(everything: Make) -> None:
    """This server answers with a result that is an error."""
    async with everything() as servers:
        unknown = await servers.call("all", "nope")
        assert unknown == ToolOutput("MCP error -32602: Tool nope not found", success=False)
        wrong = await servers.call("all", "get-sum", {"a": "two"})
        assert (wrong.success, "Invalid arguments for tool get-sum" in str(wrong.content)) == (False, True)


async def test_progress(everything: Make) -> None:
    """Step by step, before the answer."""
    shown: list[str] = []

    async def emit(text: str) -> None:
        shown.append(text)

    async with everything() as servers:
        work: JsonObject = {"duration": 0.2, "steps": 4}
        output = await servers.call("all", "trigger-long-running-operation", work, emit=emit)
        assert output == ToolOutput("Long running operation completed. Duration: 0.2 seconds, Steps: 4.")
        assert shown == ["1/4\n", "2/4\n", "3/4\n", "4/4\n"]


async def test_the_list_changes_and_the_server_asks_for_roots(everything: Make) -> None:
    """The tool appears after the start, by `list_changed`; over HTTP both come on the standalone stream."""
    async with everything(roots=True) as servers:
        await until(lambda: "mcp__all__get_roots_list" in {tool.spec.name for tool in servers.tools()})
        output = await servers.call("all", "get-roots-list")
        assert f"URI: {Path.cwd().as_uri()}" in str(output.content)


async def test_the_server_asks_the_person_in_the_middle_of_a_call(everything: Make) -> None:
    """The form reaches the callback, the answer the server; without one it does not even offer the tool."""
    asked: list[Elicitation] = []

    async def answer(request: Elicitation) -> ElicitationAnswer:
        asked.append(request)
        return ElicitationAnswer("accept", {"name": "Ada", "check": True})

    async with everything(elicit=answer) as servers:
        await until(lambda: "mcp__all__trigger_elicitation_request" in {tool.spec.name for tool in servers.tools()})
        output = await servers.call("all", "trigger-elicitation-request")
        assert (output.success, "Ada" in str(output.content)) == (True, True)
        assert [(one.server, one.message) for one in asked] == [
            ("all", "Please provide inputs for the following fields:")
        ]


@everyday(PIPES)
async def test_a_hundred_calls_at_once(everything: Make) -> None:
    """Each with its own answer."""
    answers: dict[int, ToolOutput] = {}

    async def one(number: int) -> None:
        answers[number] = await servers.call("all", "echo", {"message": str(number)})

    async with everything() as servers:
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(one, number)
        assert answers == {number: ToolOutput(f"Echo: {number}") for number in range(100)}


@everyday(HTTP)
async def test_resources(everything: Make) -> None:
    """Listed, by templates, and read, by three tools of ours."""
    async with everything() as servers:
        tools = {tool.spec.name: tool for tool in servers.tools()}

        async def run(name: str, arguments: JsonObject) -> str:
            return str((await tools[name].run(call(name, arguments), ToolContext(Path.cwd()))).content)

        assert "all: demo://resource/static/document/features.md — " in await run("list_mcp_resources", {})
        assert "all: demo://resource/dynamic/text/{resourceId} — " in await run("list_mcp_resource_templates", {})
        read: JsonObject = {"server": "all", "uri": "demo://resource/dynamic/text/7"}
        assert "Resource 7: This is a plaintext resource" in await run("read_mcp_resource", read)
        assert "MCP error" in await run("read_mcp_resource", {"server": "all", "uri": "demo://nope"})
        assert "there is no MCP server 'x'" in await run("read_mcp_resource", {"server": "x", "uri": "demo://nope"})


async def test_a_cancelled_call(everything: Make) -> None:
    """Comes back at once, and the server goes on with others."""
    async with everything() as servers:
        with anyio.move_on_after(0.05) as scope:
            await servers.call("all", "trigger-long-running-operation", {"duration": 0.5, "steps": 1})
        assert scope.cancelled_caught
        assert await servers.call("all", "echo", {"message": "there"}) == ToolOutput("Echo: there")


@everyday(HTTP)
@pytest.mark.parametrize(
    ("policy", "settings", "said"),
    [
        (deny_all, {}, "denied: this run does not allow actions that need approval"),
        (deny_all, {"trusted_tools": ["echo"]}, "Echo: hi"),
        (allow_all, {}, "Echo: hi"),
    ],
)
async def test_an_agent_calls_it(everything: Make, policy: ApprovalPolicy, settings: dict[str, Any], said: str) -> None:
    """By its name, asked about unless it is trusted; the answer is in the session."""
    script = (Step(calls=(Call("mcp__all__echo", {"message": "hi"}),)), Step(text="Said."))
    async with everything(**settings) as servers:
        with RehearsalServer(script, pace_s=0) as model:
            session = Session()
            agent = Agent("rehearsal/any", provider=model.provider, tools=[servers], approvals=policy, session=session)
            result = await agent.run("Say hi")
    assert result.text == "Said."
    assert [item.output for item in session.items if isinstance(item, FunctionCallOutput)] == [said]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the server by /proc")
async def test_killed_in_mid_call(way: tuple[str, str], everything: Make) -> None:
    """The call is answered with what is known of it, the next one by another process; none is left in the end."""
    if way[1] == "http":
        pytest.skip("has a test of its own")
    mark = ProcessMark()
    async with everything(env=mark.env) as servers:
        await in_mid_call(servers, lambda: kill(mark))
        assert await servers.call("all", "echo", {"message": "again"}) == ToolOutput("Echo: again")
        assert len(mark.running()) == 1
    assert mark.gone_within(5)


@pytest.mark.skipif(not LONG, reason="the SDK tries for 3 s to go on with the answer; AGENT_CORE_LONG=1 runs it")
async def test_killed_behind_http(way: tuple[str, str], tmp_path: Path) -> None:
    """We have not started it: calls wait until somebody has, and then find a new session."""
    if way[1] == "stdio":
        pytest.skip("has a test of its own")
    mark = ProcessMark()
    with over_http(tmp_path, mark) as url:
        async with McpServers([McpServer("all", url=f"{url}/mcp")]) as servers:
            await in_mid_call(servers, lambda: kill(mark))
            answers: list[ToolOutput] = []

            async def echo() -> None:
                answers.append(await servers.call("all", "echo", {"message": "again"}))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(echo)
                await until(lambda: servers.status()[0].state == "reconnecting")
                with over_http(tmp_path, port=int(url.rpartition(":")[2])):
                    await until(lambda: bool(answers))
            assert answers == [ToolOutput("Echo: again")]


async def in_mid_call(servers: McpServers, act: Callable[[], None]) -> None:
    """Starts a long call, does `act` once it is under way, and sees to it that its outcome is unknown."""

    async def begun(text: str) -> None:
        act()

    with pytest.raises(
        ToolError, match=r"^MCP server 'all' was lost during this call.*what the call did is not known$"
    ):
        await servers.call("all", "trigger-long-running-operation", {"duration": 60, "steps": 600}, emit=begun)


def kill(mark: ProcessMark) -> None:
    for process in mark.running():
        os.kill(process, signal.SIGKILL)


async def until(fact: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not fact():  # noqa: ASYNC110  # another process's doing
            await anyio.sleep(0.005)
