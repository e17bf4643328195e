"""What an agent shows its model of long outputs, and how the model gets at the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import pytest

from agent_core import Agent, ModelClient, Session, tool
from agent_core.errors import CallerError
from agent_core.events import Response, Usage
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    ResponseItem,
    WireName,
    assistant_message,
    output_text_of,
)
from agent_core.prompt import Prompt
from agent_core.providers import resolve
from agent_core.session import OutputBudget, prompt_view
from agent_core.testing import Call, RehearsalServer, ScriptedModel, Step
from agent_core.tools import ReadOutput
from agent_core.turn_events import ToolFinished

pytestmark = pytest.mark.anyio
WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")
BOOK = "".join(f"chapter {n}: and so on\n" for n in range(1, 5001))
SMALL = OutputBudget(bytes=2048)


@tool(read_only=True)
def book() -> str:
    """The whole book."""
    return BOOK


def agent_with(model: ScriptedModel, **options: object) -> Agent:
    """An agent whose client is the script: its models speak no wire."""
    # What an agent asks of its client besides streams.
    model.resolved = resolve("m", base_url="http://127.0.0.1")  # type: ignore[attr-defined]
    return Agent(client=cast("ModelClient", model), **options)  # type: ignore[arg-type]  # rows of options


def calls(name: str, arguments: str, call_id: str = "call_0", usage: Usage | None = None) -> Response:
    item = FunctionCall(call_id=call_id, name=name, arguments=arguments)
    return Response(items=(item,), finish_reason="tool_calls", usage=usage)


def says(text: str, usage: Usage | None = None) -> Response:
    return Response(items=(assistant_message(text),), finish_reason="stop", usage=usage)


def outputs(items: Sequence[ResponseItem]) -> list[str]:
    return [output_text_of(item) for item in items if isinstance(item, FunctionCallOutput)]


async def test_the_prompt_shows_a_part_and_the_session_keeps_the_whole() -> None:
    """Cut the same way in every request; what is sent is the view of the session."""
    model = ScriptedModel(calls("book", "{}"), says("long"), says("still long"))
    agent = agent_with(model, tools=[book], output_budget=SMALL)
    await agent.run("read it")
    await agent.run("and?")
    assert outputs(agent.session.items) == [BOOK]
    (shown,) = outputs(model.prompts[1].items)
    assert len(shown) <= 2048
    assert (
        model.prompts[2].items[:3]
        == model.prompts[1].items
        == prompt_view(agent.session.items[:3], SMALL, readable=True)
    )


async def test_the_model_reads_on_with_what_the_marker_says() -> None:
    """The id and offset in the marker bring the first line that was missing, even where call ids repeat."""

    def reads(prompt: Prompt) -> Step:
        done = outputs(prompt.items)
        if not done:
            return Step(calls=(Call("book", {}, call_id="call_0"),))
        if len(done) == 1:
            found = re.search(r'read_output\(call_id="(\w+)", offset=(\d+)\)', done[0])
            assert found is not None
            return Step(
                calls=(
                    Call("read_output", {"call_id": found[1], "offset": int(found[2]), "limit": 1}, call_id="call_0"),
                )
            )
        return Step(text=done[1])

    for wire in WIRES:
        with RehearsalServer(reads, pace_s=0) as server:
            agent = Agent("rehearsal/any", provider=server.provider, wire=wire, tools=[book], output_budget=SMALL)
            answer = await agent.ask("go")
        shown = outputs(prompt_view(agent.session.items, SMALL, readable=True))[0]
        first = BOOK.splitlines()[shown.split("[...")[0].count("chapter")]
        assert answer.splitlines()[0] == first


OFFERED: dict[str, tuple[dict[str, object], list[str], bool]] = {
    "with tools": ({"tools": [book]}, ["book", "read_output"], True),
    "without tools": ({}, [], True),
    "without a budget": ({"tools": [book], "output_budget": None}, ["book"], False),
    "brought along": ({"tools": [book, ReadOutput(Session().output)]}, ["book", "read_output"], True),
}


@pytest.mark.parametrize("name", OFFERED)
async def test_who_is_offered_read_output(name: str) -> None:
    """Agents that cut and have tools; the list of tools never changes in a conversation."""
    options, names, cuts = OFFERED[name]
    long = FunctionCallOutput(id="o", call_id="c", output=BOOK)
    session = Session(items=[FunctionCall(call_id="c", name="book"), long])
    model = ScriptedModel(says("yes"))
    await agent_with(model, session=session, **options).run("?")
    (prompt,) = model.prompts
    assert [getattr(spec, "name", "") for spec in prompt.tools] == names
    (shown,) = outputs(prompt.items)
    assert (shown != BOOK, "read_output(" in shown) == (cuts, "read_output" in names)


async def test_a_tool_of_that_name_is_left_alone() -> None:
    """And no marker speaks of it: nobody knows what it does."""

    @tool
    def read_output() -> str:
        """Something else."""
        return BOOK

    model = ScriptedModel(calls("read_output", "{}"), says("ok"))
    agent = agent_with(model, tools=[read_output], output_budget=SMALL)
    await agent.run("?")
    assert [entry.spec.name for entry in agent.tools] == ["read_output"]
    assert "read_output" not in outputs(model.prompts[1].items)[0]


async def test_a_budget_that_is_none() -> None:
    """A number is no budget: it would have to say of what."""
    with pytest.raises(CallerError, match="output_budget must be an OutputBudget or None, got 4096"):
        Agent("rehearsal/hello", output_budget=4096)  # type: ignore[arg-type]  # the claim


async def test_the_session_knows_how_full_it_is() -> None:
    """The last answer's usage, and the outputs that came after it as they are shown."""
    model = ScriptedModel(
        calls("book", "{}", usage=Usage(input=900, output=100)), says("ok", Usage(input=1500, output=5))
    )
    agent = agent_with(model, tools=[book], output_budget=SMALL)
    async with agent.stream("?") as turn:
        seen = [agent.session.estimated_tokens(SMALL) async for event in turn if isinstance(event, ToolFinished)]
    assert seen == [1000 + 512 + 5]  # the budget, the call's id, and what every item costs
    assert agent.session.estimated_tokens(SMALL) == 1505
