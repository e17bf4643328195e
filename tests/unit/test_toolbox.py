"""The tools of an agent as they come, go and are found: what requests show, and what may be called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent_core import Agent, Session, tool
from agent_core.codecs.base import json_list, json_object, json_str
from agent_core.errors import CallerError
from agent_core.items import FunctionCall, FunctionCallOutput, JsonValue, ToolSearchCall, ToolSearchOutput, WireName
from agent_core.testing import Call, RecordedRequest, RehearsalServer, Step
from agent_core.tools import Deferred, FunctionTool, Tool, ToolSet, tool_set
from agent_core.tools.mcp import McpServers
from agent_core.turn_events import TurnResult

pytestmark = pytest.mark.anyio


@tool
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@tool(deferred=True)
def weather(city: str) -> str:
    """The forecast for a city."""
    return f"rain in {city}"


@tool(deferred=True)
def mail(to: str) -> str:
    """Sends a letter."""
    return f"sent to {to}"


def named(name: str) -> FunctionTool[..., object]:
    def do(arguments: dict[str, JsonValue]) -> str:
        return name

    return FunctionTool.from_schema(name, f"Does {name}.", {"type": "object"}, do)


def names_in(request: RecordedRequest) -> list[str]:
    """The tools a request shows, on whichever wire, in their order."""
    tools = [json_object(entry) or {} for entry in json_list((request.body or {}).get("tools"))]
    return [json_str((json_object(entry.get("function")) or entry).get("name")) for entry in tools]


class Changing:
    """A set whose tools the test changes."""

    def __init__(self, *tools: Tool) -> None:
        self.now: Sequence[Tool] = tools
        self.asked = 0

    def __repr__(self) -> str:
        return "Changing()"

    def tools(self) -> Sequence[Tool]:
        self.asked += 1
        return self.now


async def asked(
    steps: Sequence[Step],
    tools: Sequence[Tool | ToolSet | Deferred],
    *,
    session: Session | None = None,
    wire: WireName = "chat",
) -> tuple[list[list[str]], Session, TurnResult]:
    """The tools of each request of one turn, the session after it, and how it ended."""
    with RehearsalServer(tuple(steps), pace_s=0) as server:
        agent = Agent(
            "rehearsal/any", provider=server.provider, wire=wire, tools=tools, session=session, output_budget=None
        )
        result = await agent.run("Go.")
        return [names_in(request) for request in server.requests], agent.session, result


def outputs(session: Session) -> list[str]:
    return [str(item.output) for item in session.items if isinstance(item, FunctionCallOutput)]


FINDS = Step(calls=(Call("tool_search", {"query": "forecast"}),))
USES = Step(calls=(Call("weather", {"city": "Oslo"}),))
DONE = Step(text="Done.")


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
async def test_a_deferred_tool_is_found_and_used(wire: WireName) -> None:
    """It is in no request until `tool_search` found it, and in all of them after that, behind the others."""
    shown, session, _ = await asked([FINDS, USES, DONE], [add, weather, mail], wire=wire)
    assert shown == [["add", "tool_search"], *[["add", "tool_search", "weather"]] * 2]
    assert outputs(session)[1] == "rain in Oslo"


async def test_a_tool_that_was_not_found_cannot_be_called() -> None:
    """A model that guesses a name is told what there is."""
    _, session, _ = await asked([USES, DONE], [add, weather])
    assert outputs(session) == ["unsupported call: 'weather'; the tools are: add, tool_search"]


async def test_a_resumed_session_has_what_it_found(tmp_path: Path) -> None:
    """Another process, the same file: the first request shows the tool, in the same place."""
    with Session.create(tmp_path / "s.jsonl") as session:
        first, _, _ = await asked([FINDS, DONE], [add, weather, mail], session=session)
    with Session.resume(tmp_path / "s.jsonl") as session:
        second, _, _ = await asked([FINDS, DONE, USES, DONE], [add, weather, mail], session=session)
        assert outputs(session)[-1] == "rain in Oslo"
    assert second[0] == first[-1] == ["add", "tool_search", "weather"]


async def test_a_search_of_the_wire_itself_is_answered_with_the_tools() -> None:
    """A ToolSearchCall that is ours to answer gets the definitions, as the Responses API wants them, and they are
    loaded all the same."""
    session = Session()
    session.append(ToolSearchCall(call_id="s1", arguments={"query": "forecast"}))
    shown, _, _ = await asked([USES, DONE], [weather], session=session)
    (found,) = [item for item in session.items if isinstance(item, ToolSearchOutput)]
    assert [(entry["type"], entry["name"]) for entry in found.tools] == [("function", "weather")]
    assert shown[0] == ["tool_search", "weather"]
    assert outputs(session) == ["rain in Oslo"]


async def test_a_set_is_asked_before_every_request() -> None:
    """What it gives is shown and may be called, at once; what stays keeps its place, what is new comes last."""
    one, two, three = named("one"), named("two"), named("three")
    tools = Changing(one, two)

    @tool
    def change() -> None:
        tools.now = (three, two)

    steps = [Step(calls=(Call("one"), Call("change"))), Step(calls=(Call("three"), Call("one"))), DONE]
    shown, session, _ = await asked(steps, [tools, change])
    assert shown == [["one", "two", "change"], *[["two", "change", "three"]] * 2]
    assert outputs(session)[2:] == ["three", "unsupported call: 'one'; the tools are: two, change, three"]


async def test_tools_that_do_not_change_are_the_same_bytes() -> None:
    """A set that makes new objects of the same tools costs no prompt cache."""

    @tool_set
    async def fresh() -> Sequence[Tool]:
        return [named("one"), named("two")]

    with RehearsalServer((Step(calls=(Call("one"),)), DONE), pace_s=0) as server:
        await Agent("rehearsal/any", provider=server.provider, tools=[fresh]).ask("Go.")
        first, second = [request.body or {} for request in server.requests]
    assert repr(first["tools"]) == repr(second["tools"])


async def test_a_whole_set_may_be_deferred() -> None:
    """As one would with a server of a hundred tools."""
    tools = Changing(*(named(f"number_{n}") for n in range(100)))
    steps = [Step(calls=(Call("tool_search", {"query": "number_42"}),)), Step(calls=(Call("number_42"),)), DONE]
    shown, session, _ = await asked(steps, [add, Deferred(tools)])
    assert shown[0] == ["add", "tool_search"]
    assert "number_42" in shown[1] and len(shown[1]) == 7
    assert outputs(session)[1] == "number_42"


async def test_a_call_that_was_left_open_finds_its_tool() -> None:
    """What a set gives is known before anything is run, also what an earlier process had asked for."""
    session = Session()
    session.append(FunctionCall(call_id="c", name="one"))
    _, session, _ = await asked([USES, DONE], [Changing(named("one"))], session=session)
    assert outputs(session) == ["one"]


BAD: dict[str, tuple[list[Tool | ToolSet | Deferred], str]] = {
    "a set's tool is called like one of the agent's": ([add, Changing(named("add"))], "called 'add' of Changing()"),
    "two sets": ([Changing(named("a")), Changing(named("a"))], "called 'a' of Changing()"),
    "a deferred one": ([weather, Changing(named("weather"))], "called 'weather' of Changing()"),
    "its own search": ([weather, named("tool_search")], "called 'tool_search': it finds deferred tools"),
    "no tools": ([tool_set(lambda: [1])], "tool_set(<lambda>) gave [1], which is no list of tools"),  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]  # what is tested
    "no list": ([tool_set(lambda: add)], "gave FunctionTool('add'), which is no list of tools"),  # type: ignore[arg-type,return-value]  # pyright: ignore[reportArgumentType]  # what is tested
}


@pytest.mark.parametrize("name", BAD)
async def test_what_cannot_be_is_told_before_anything_is_sent(name: str) -> None:
    """Two tools of one name, whoever gave them, and what is no tool."""
    tools, words = BAD[name]
    with RehearsalServer((DONE,), pace_s=0) as server:
        with pytest.raises(CallerError) as caught:
            await Agent("rehearsal/any", provider=server.provider, tools=tools).ask("Go.")
        assert (words in caught.value.message, len(server.requests)) == (True, 0)


async def test_a_set_that_fails_ends_the_turn_and_leaves_the_session_whole() -> None:
    """Its error is the caller's to see; the next turn begins with what was said."""

    @tool_set
    def broken() -> Sequence[Tool]:
        raise LookupError("no rights service")

    with RehearsalServer((DONE,), pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider, tools=[broken])
        with pytest.raises(LookupError, match="no rights service"):
            await agent.ask("Go.")
    assert [item.type for item in agent.session.items] == ["message"]


def test_mcp_servers_are_a_tool_set() -> None:
    """`Agent(tools=[servers])` follows what they offer; `tools=servers.tools()` takes what they offer now."""
    servers: ToolSet = McpServers([])
    assert isinstance(servers, ToolSet)
    assert Agent("rehearsal/any", tools=[servers], output_budget=None).tools == ()


def test_what_is_no_tool_is_refused() -> None:
    """An agent is none by itself, and a function has to be made one to be deferred."""
    with pytest.raises(CallerError, match="is no tool"):
        Agent("rehearsal/any", tools=[Agent("rehearsal/any")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]  # what is tested
    with pytest.raises(CallerError, match="is neither a tool nor a tool set"):
        Deferred(names_in)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # what is tested
