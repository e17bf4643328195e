"""Servers that are started, asked, lost, started again and ended: `odd_server.py` does it on request."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent_core import Agent
from agent_core.errors import CallerError, ToolError
from agent_core.prompt import ToolSpec
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.tools.base import ToolContext, ToolOutput
from agent_core.tools.mcp import Elicitation, ElicitationAnswer, McpServer, McpServers
from tests.process_marks import ProcessMark
from tests.reliability import LONG

from ..calls import call, watched

pytestmark = pytest.mark.anyio
SCRIPT = Path(__file__).with_name("odd_server.py")


def odd(log: Path, mode: str = "", name: str = "odd", **settings: Any) -> McpServer:  # any field of McpServer
    return McpServer(name, command=sys.executable, args=["-I", "-S", str(SCRIPT), str(log), mode], **settings)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def logged(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


async def until(fact: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not fact():  # noqa: ASYNC110  # another process's doing
            await anyio.sleep(0.005)


async def echoes(servers: McpServers) -> bool:
    return await servers.call("odd", "echo", {"n": 1}) == ToolOutput('{"n": 1}')


async def test_the_list_is_read_to_its_last_page(log: Path) -> None:
    """Names, descriptions and schemas are the server's own, in its order; nothing is added to a schema."""
    async with McpServers([odd(log, disabled_tools=["fl*", "odd-result"])]) as servers:
        specs = [tool.spec for tool in servers.tools()]
        assert [spec.name for spec in specs] == [
            f"mcp__odd__{name}"
            for name in ("echo", "env", "die", "hang", "noise", "grow", "daemon", "ask", "steps", "refuse")
        ]
        assert specs[0].description == "Does echo."
        assert getattr(specs[0], "parameters", None) == {
            "type": "object",
            "$defs": {"any": {}},
            "x-own": [None, 1.5],
            "properties": {"n": {"$ref": "#/$defs/any"}},
        }
        assert servers.tools() is servers.tools()


@pytest.mark.parametrize(
    ("settings", "read_only", "asks", "parallel"),
    [
        ({}, False, True, False),
        ({"trust_annotations": True}, True, False, True),
        ({"read_only_tools": ["ec*"]}, True, False, True),
        ({"trusted_tools": ["*"]}, False, False, False),
        ({"parallel": True}, False, True, True),
        ({"trusted_tools": ["hang"], "trust_annotations": False}, False, True, False),
    ],
)
async def test_what_is_asked_about(
    log: Path, settings: dict[str, Any], read_only: bool, asks: bool, parallel: bool
) -> None:
    """Everything, unless the configuration says otherwise; a server's own word counts only where it is trusted."""
    async with McpServers([odd(log, **settings)]) as servers:
        (echo, *_) = servers.tools()
        request = echo.approval(call("mcp__odd__echo", {"n": "x" * 99}), ToolContext(Path("/work")))
        assert (echo.read_only, request is not None, echo.parallel) == (read_only, asks, parallel)
        if request is not None:
            assert (request.tool, request.risk, request.cwd) == ("mcp__odd__echo", "execute", "/work")
            assert request.summary == f'mcp__odd__echo(n="{"x" * 59}…)'


STARTS: dict[str, tuple[Callable[[Path], McpServer], str]] = {
    "program": (lambda log: McpServer("odd", command="/nowhere/server"), "there is no program '/nowhere/server'"),
    "directory": (
        lambda log: McpServer("odd", command="cat", cwd=Path("/nowhere")),
        "there is no directory ",
    ),
    "exit": (
        lambda log: odd(log, "broken"),
        "exit code 1; it said: cannot find its database, api_key=[key]",
    ),
    "silent": (lambda log: odd(log, "silent", startup_timeout_s=0.2), "it was not ready after 0.2 s"),
    "babble": (
        lambda log: odd(log, "babble", max_message_bytes=10**6),
        "it sent a message of more than 1,000,000 bytes",
    ),
    "prints": (
        lambda log: McpServer("odd", command="echo", args=["hello"]),
        "exit code 0; it said: hello",
    ),
    "variable": (lambda log: McpServer("odd", url="http://127.0.0.1:1/mcp", bearer_token_env_var="NO_SUCH"), "NO_SUCH"),
}


@pytest.mark.parametrize(("server", "said"), STARTS.values(), ids=STARTS)
async def test_a_server_that_cannot_be_started(log: Path, server: Callable[[Path], McpServer], said: str) -> None:
    """It does not stop the others, and its problem names it, what happened and its last words, without secrets."""
    async with McpServers([server(log), odd(log, name="good")]) as servers:
        bad, good = servers.status()
        assert (bad.state, bad.tools, good.state, good.tools) == ("failed", 0, "ready", 12)
        assert bad.problem is not None
        assert bad.problem.message.startswith("MCP server 'odd' cannot be started: ")
        assert said in bad.problem.message
        with pytest.raises(ToolError, match="cannot be started"):
            await servers.call("odd", "echo")


async def test_a_server_that_is_required(log: Path) -> None:
    """Entering fails with its problem, alone, and nothing keeps running."""
    mark = ProcessMark()
    with pytest.raises(ToolError, match="MCP server 'odd' cannot be started: it ended with exit code 1"):
        async with McpServers([odd(log, name="good", env=mark.env), odd(log, "broken", required=True)]):
            pytest.fail("entered")
    assert mark.running() == []


async def test_an_error_in_the_block_leaves_as_it_is(log: Path) -> None:
    """Not in a group, with the servers ended."""
    mark = ProcessMark()
    with pytest.raises(LookupError, match="mine"):
        async with McpServers([odd(log, env=mark.env)]):
            raise LookupError("mine")
    assert mark.running() == []


async def test_a_server_lost_in_mid_call_is_started_again_and_the_call_is_not(log: Path) -> None:
    """The call is answered with what is known of the loss; the next one finds a server."""
    async with McpServers([odd(log)]) as servers:
        with pytest.raises(ToolError) as caught:
            await servers.call("odd", "die")
        assert caught.value.message == (
            "MCP server 'odd' was lost during this call (it ended with exit code 7; it said: no such luck, "
            "password=[key]); what the call did is not known"
        )
        assert await echoes(servers)
        assert servers.status()[0].state == "ready"
    assert logged(log) == ["call die", "call echo"]


async def test_all_calls_under_way_are_answered_when_the_server_is_lost(log: Path) -> None:
    """Each with a failure, those that were not begun with an answer of the next process."""
    answers: list[str] = []

    async def one(tool: str) -> None:
        try:
            answers.append(str((await servers.call("odd", tool)).content))
        except ToolError as error:
            answers.append(error.message.split("(")[0])

    async with McpServers([odd(log)]) as servers:
        async with anyio.create_task_group() as tasks:
            for tool in ("hang", "hang", "hang", "die"):
                tasks.start_soon(one, tool)
        assert answers == ["MCP server 'odd' was lost during this call "] * 4


async def test_a_message_without_end_ends_the_server(log: Path) -> None:
    """It is not kept; the call fails, the next one works."""
    async with McpServers([odd(log, max_message_bytes=10**6)]) as servers:
        with pytest.raises(ToolError, match="it sent a message of more than 1,000,000 bytes"):
            await servers.call("odd", "flood")
        assert await echoes(servers)


async def test_a_server_that_is_always_lost_is_given_up(log: Path) -> None:
    """After as many restarts as were allowed: then calls fail at once, and say why."""
    async with McpServers([odd(log, "short-lived", max_restarts=1)]) as servers:
        while servers.status()[0].state != "failed":
            with pytest.raises(ToolError, match="was lost"):
                await servers.call("odd", "hang")
        with pytest.raises(ToolError, match="MCP server 'odd' was lost: it ended with exit code 0"):
            await servers.call("odd", "echo")


async def test_a_cancelled_call_is_told_to_the_server(log: Path) -> None:
    """By its number; the caller does not wait for anybody, and the connection goes on."""
    async with McpServers([odd(log)]) as servers:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(servers.call, "odd", "hang")
                await until(lambda: logged(log) == ["call hang"])
                scope.cancel()
        assert await echoes(servers)
        await until(lambda: any(line.startswith("cancelled") for line in logged(log)))


async def test_news_of_other_tools_are_there_with_the_answer(log: Path) -> None:
    """The list is read again before the call that changed it is answered; what stays the same is the same object."""
    async with McpServers([odd(log)]) as servers:
        before = servers.tools()
        await servers.call("odd", "grow")
        after = servers.tools()
        assert [tool.spec.name for tool in after[len(before) :]] == ["mcp__odd__new"]
        assert all(old is new for old, new in zip(before, after, strict=False))


async def test_an_agent_calls_a_tool_that_another_call_has_made(log: Path) -> None:
    """The next request of the same turn shows it, after the others."""
    steps = [Step(calls=(Call(f"mcp__odd__{name}", {}),)) for name in ("grow", "new")]
    async with McpServers([odd(log, trusted_tools=["*"])]) as servers:
        with RehearsalServer([*steps, Step(text="Done.")], pace_s=0) as model:
            result = await Agent("rehearsal/any", provider=model.provider, tools=[servers]).run("go")
        prompts = [request.prompt for request in model.requests if request.prompt is not None]
        shown = [[spec.name for spec in prompt.tools if isinstance(spec, ToolSpec)] for prompt in prompts]
    assert (result.text, logged(log)) == ("Done.", ["call grow", "call new"])
    assert (shown[1], shown[2]) == ([*shown[0], "mcp__odd__new"], shown[1])


async def test_what_a_server_prints_beside_the_protocol_is_no_harm(log: Path) -> None:
    """Words, broken JSON and JSON that is no message are skipped."""
    async with McpServers([odd(log)]) as servers:
        assert await servers.call("odd", "noise") == ToolOutput("quiet")


async def test_progress_is_shown_in_order(log: Path) -> None:
    """As the server's words where it has some; what goes backwards is left out."""
    async with McpServers([odd(log)]) as servers:
        context, shown = watched(Path.cwd())
        (steps,) = [tool for tool in servers.tools() if tool.spec.name == "mcp__odd__steps"]
        assert await steps.run(call("mcp__odd__steps"), context) == ToolOutput("done")
        assert shown == ["1/4\n", "half way\n", "4/4\n"]


@pytest.mark.parametrize(
    ("tool", "output"),
    [
        ("refuse", ToolOutput("MCP error -32602: no such thing", success=False)),
        ("odd-result", ToolOutput("the call was done, but its result breaks the protocol", success=False)),
    ],
)
async def test_answers_that_are_none(log: Path, tool: str, output: ToolOutput) -> None:
    """A refusal in the server's words; a result of no known form without its content."""
    async with McpServers([odd(log)]) as servers:
        assert await servers.call("odd", tool) == output


async def test_arguments_that_are_no_object(log: Path) -> None:
    """The model is told, and the server not bothered."""
    async with McpServers([odd(log)]) as servers:
        output = await servers.tools()[0].run(call("mcp__odd__echo", "[1"), ToolContext(Path.cwd()))
        assert (output.success, str(output.content).split(":")[0]) == (False, "mcp__odd__echo")
    assert logged(log) == []


SCHEMA: dict[str, object] = {"type": "object", "properties": {"name": {"type": "string"}}}
FORM: dict[str, object] = {"message": "Your name?", "requestedSchema": SCHEMA}


async def fail(asked: Elicitation) -> ElicitationAnswer:
    raise LookupError("conversation text")


NOBODY: dict[str, object] = {"code": -32603, "message": "the person could not be asked"}
UNKNOWN: dict[str, object] = {"code": -32601, "message": "Method not found", "data": "shutdown/please"}
SAMPLE: dict[str, object] = {"messages": [], "maxTokens": 5}


async def accept(asked: Elicitation) -> ElicitationAnswer:
    assert (asked.server, asked.message, asked.schema) == ("odd", "Your name?", SCHEMA)
    return ElicitationAnswer("accept", {"name": "Ada"})


Asker = Callable[[Elicitation], Awaitable[ElicitationAnswer]]
REQUESTS: list[tuple[str, dict[str, object], Asker | None, bool, dict[str, object]]] = [
    ("sampling/createMessage", SAMPLE, accept, True, {"code": -32600, "message": "Sampling not supported"}),
    ("elicitation/create", FORM, None, True, {"code": -32600, "message": "Elicitation not supported"}),
    ("elicitation/create", FORM, fail, False, NOBODY),
    ("roots/list", {}, accept, False, {"code": -32600, "message": "List roots not supported"}),
    ("elicitation/create", FORM, accept, False, {"action": "accept", "content": {"name": "Ada"}}),
    ("roots/list", {}, None, True, {"roots": [{"uri": "CWD", "name": "NAME"}]}),
    ("shutdown/please", {}, accept, True, UNKNOWN),
    ("ping", {}, None, False, {}),
]


@pytest.mark.parametrize(("method", "params", "elicit", "roots", "reply"), REQUESTS)
async def test_what_a_server_may_ask_of_us(
    log: Path,
    method: str,
    params: dict[str, object],
    elicit: Asker | None,
    roots: bool,
    reply: dict[str, object],
) -> None:
    """Nothing, unless it was allowed: a person for a form by a callback, the directory by `roots`."""
    async with McpServers([odd(log, roots=roots)], cwd=log.parent, elicit=elicit) as servers:
        arguments: Any = {"method": method, "params": params}
        output = await servers.call("odd", "ask", arguments)
        expected = json.dumps(reply).replace("CWD", log.parent.as_uri()).replace("NAME", log.parent.name)
        assert json.loads(str(output.content)) == json.loads(expected)


async def test_a_server_has_few_of_our_variables(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harmless, what it is given, and what it was named; no key by chance."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("GIT_TOKEN", "t0ken")
    async with McpServers([odd(log, env={"COLOUR": "blue"}, env_vars=["GIT_TOKEN"])]) as servers:
        has = json.loads(str((await servers.call("odd", "env")).content))
    assert (has["COLOUR"], has["GIT_TOKEN"], "OPENAI_API_KEY" in has, has["PATH"]) == (
        "blue", "t0ken", False, os.environ["PATH"],
    )  # fmt: skip


async def test_nothing_is_left_of_a_server(log: Path) -> None:
    """Neither the process nor a daemon it started in a session of its own."""
    mark = ProcessMark()
    async with McpServers([odd(log, env=mark.env)]) as servers:
        assert await servers.call("odd", "daemon") == ToolOutput("left one behind")
        await until(lambda: len(mark.running()) == 2)
    assert mark.gone_within(5)


@pytest.mark.skipif(not LONG, reason="takes 6 s; AGENT_CORE_LONG=1 runs it")
async def test_a_server_that_does_not_want_to_end(log: Path) -> None:
    """Closed pipes and TERM mean nothing to it: it is killed."""
    mark = ProcessMark()
    async with McpServers([odd(log, "deaf", env=mark.env)]) as servers:
        assert await echoes(servers)
    assert mark.gone_within(1)


async def test_a_cancelled_block_leaves_nothing(log: Path) -> None:
    """In the middle of a call, with the server busy."""
    mark = ProcessMark()
    with anyio.CancelScope() as scope:
        async with McpServers([odd(log, env=mark.env)]) as servers, anyio.create_task_group() as tasks:
            tasks.start_soon(servers.call, "odd", "hang")
            await echoes(servers)
            scope.cancel()
    assert mark.gone_within(5)


async def test_what_callers_do_wrong(log: Path) -> None:
    """Two of a name, a server there is not, a block entered twice, a call outside of it."""
    with pytest.raises(CallerError, match="two MCP servers are called 'odd'"):
        McpServers([odd(log), odd(log)])
    servers = McpServers([odd(log), McpServer("off", command="x", enabled=False)])
    async with servers:
        with pytest.raises(CallerError, match="there is no MCP server 'other'") as caught:
            await servers.call("other", "echo")
        assert caught.value.remedy == "the servers are: 'odd'"
        assert [status.state for status in servers.status()] == ["ready", "off"]
        with pytest.raises(CallerError, match="are entered already"):
            await servers.__aenter__()
    with pytest.raises(ToolError, match="MCP server 'odd' is closed"):
        await servers.call("odd", "echo")
