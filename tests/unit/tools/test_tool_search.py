"""Finding tools by words, and knowing later what was found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent_core.items import FunctionCall, FunctionCallOutput, JsonObject, ResponseItem, ToolSearchOutput, user_message
from agent_core.prompt import ToolSpec
from agent_core.tools import ToolContext
from agent_core.tools.tool_search import FoundTools, ToolSearch, ranked

from .calls import answered, call


def spec(tool: str, description: str = "", **parameters: str) -> ToolSpec:
    properties: JsonObject = {key: {"type": "string", "description": about} for key, about in parameters.items()}
    return ToolSpec(tool, description, {"type": "object", "properties": properties}, deferred=True)


SPECS = (
    spec("crm_find_customers", "Finds customers.", name="A part of the name."),
    spec("crm_update", "Changes the address of a customer."),
    spec("calendarCreateEvent", "Puts an appointment into the calendar.", attendees="Who comes."),
    spec("mail_send", "Sends a message to somebody."),
    spec("weather", "The forecast for a city."),
)

FOUND: dict[str, tuple[str, list[str]]] = {
    "a name": ("mail_send", ["mail_send"]),
    "words of a name": ("find customer", ["crm_find_customers", "crm_update"]),
    "the name counts for more": ("customer address", ["crm_update", "crm_find_customers"]),
    "camel case": ("create event", ["calendarCreateEvent"]),
    "a description": ("FORECAST", ["weather"]),
    "a parameter's description": ("who comes", ["calendarCreateEvent"]),
    "a plural": ("appointments", ["calendarCreateEvent"]),
    "nothing": ("zebra", []),
    "no words": ("…", []),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_is_found(name: str) -> None:
    """By name, description and parameters; the best first, and what does not fit not at all."""
    query, expected = FOUND[name]
    assert [found.name for found in ranked(query, SPECS)] == expected


@pytest.mark.anyio
async def test_the_model_is_told_names_and_descriptions(tmp_path: Path) -> None:
    """Schemas come with the next request; a description is one line of 300 characters at most."""
    long = spec("long", "word\n" * 1000)
    search = ToolSearch(lambda: (*SPECS, long))
    told = (await answered(search, call("tool_search", {"query": "forecast"}), ToolContext(tmp_path))).output
    assert told.content == '{"tools":[{"name":"weather","description":"The forecast for a city."}]}'
    (as_json,) = told.metadata["tools"] if isinstance(told.metadata["tools"], list) else []
    assert isinstance(as_json, dict)
    assert (as_json["type"], as_json["name"], as_json["defer_loading"]) == ("function", "weather", True)
    words = (await answered(search, call("tool_search", {"query": "word"}), ToolContext(tmp_path))).output
    assert len(str(words.content)) < 400


@pytest.mark.anyio
async def test_results_are_bounded(tmp_path: Path) -> None:
    """Five, or as many as asked for, up to twenty; what is no query is told."""
    search = ToolSearch(lambda: [spec(f"get_{n}", "Gets it.") for n in range(100)])
    counts: list[int] = []
    asked: list[JsonObject] = [{"query": "get"}, {"query": "get", "limit": 20}]
    for arguments in asked:
        output = (await answered(search, call("tool_search", arguments), ToolContext(tmp_path))).output
        counts.append(len(json.loads(str(output.content))["tools"]))
    assert counts == [5, 20]
    refused: list[JsonObject] = [{"query": "get", "limit": 21}, {"query": ""}, {}]
    for arguments in refused:
        assert (await answered(search, call("tool_search", arguments), ToolContext(tmp_path))).bad_arguments
    nothing = (await answered(search, call("tool_search", {"query": "x"}), ToolContext(tmp_path))).output
    assert nothing.content == '{"tools":[],"note":"nothing fits; use other words, or the name of a tool"}'


def test_its_description_names_what_there_is_within_bounds() -> None:
    """A model knows what to look for; five thousand names are not listed."""
    few = ToolSearch(lambda: SPECS[:2]).spec.description
    assert few.endswith("There are 2: crm_find_customers, crm_update.")
    many = ToolSearch(lambda: [spec(f"tool_number_{n}") for n in range(5000)]).spec.description
    assert len(many) < 2300
    assert many.endswith("more.")


def searched(call_id: str, *names: str) -> tuple[ResponseItem, ResponseItem]:
    output = json.dumps({"tools": [{"name": name} for name in names]})
    return FunctionCall(call_id=call_id, name="tool_search"), FunctionCallOutput(call_id=call_id, output=output)


REMARKED = '{"tools":[{"name":"f"}]}\n[the same calls again]'
OTHER = FunctionCall(call_id="x", name="fetch")
HISTORIES: dict[str, tuple[list[ResponseItem], tuple[str, ...]]] = {
    "nothing": ([user_message("go")], ()),
    "twice, each once": ([*searched("a", "f", "g"), *searched("b", "g", "h")], ("f", "g", "h")),
    "another tool's output": ([OTHER, FunctionCallOutput(call_id="x", output='{"tools":[{"name":"f"}]}')], ()),
    "an output that is none": (
        [FunctionCall(call_id="a", name="tool_search"), FunctionCallOutput(call_id="a", output="denied")],
        (),
    ),
    "a remark behind it": (
        [FunctionCall(call_id="a", name="tool_search"), FunctionCallOutput(call_id="a", output=REMARKED)],
        ("f",),
    ),
    "a wire's own search": ([ToolSearchOutput(call_id="s", tools=({"name": "f"}, {"n": 1}))], ("f",)),
    "an answer without a call": ([searched("a", "f")[1]], ()),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_what_a_conversation_has_found(name: str) -> None:
    """Read from the items, so a session that is resumed knows it; whole or piece by piece, it is the same."""
    items, names = HISTORIES[name]
    growing = FoundTools()
    for end in range(len(items) + 1):
        growing.of(items[:end])
    assert (FoundTools().of(items), growing.of(items)) == (names, names)


def test_a_history_that_was_taken_back() -> None:
    """What is no longer there was not found."""
    found = FoundTools()
    assert found.of([*searched("a", "f"), *searched("b", "g")]) == ("f", "g")
    assert found.of([*searched("a", "f")]) == ("f",)
    assert found.of([*searched("c", "h"), user_message("go")]) == ("h",)
