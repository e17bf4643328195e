"""Bad input is told before anything is sent: one line that says what, where, and what to do; on every wire, by client
and by agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import httpx2
import pytest

from agent_core import Agent, Session, tool
from agent_core.client import ModelClient
from agent_core.codecs import WIRES
from agent_core.errors import AgentCoreError, CallerError, InvalidPromptError
from agent_core.items import FunctionCall, FunctionCallOutput, WireName, user_message
from agent_core.prompt import CustomToolSpec, OutputSchema, Prompt, ReasoningSettings, SamplingSettings, ToolSpec

pytestmark = pytest.mark.anyio

SECRET = "the words of a user"


def bad(value: object) -> Any:  # what no type checker lets through, and a caller without one writes
    return value


BAD: dict[str, tuple[Callable[[], Prompt], str]] = {
    "items that are no list": (lambda: Prompt(bad(7)), "items must be a list of items, not int"),
    "items that are nothing": (lambda: Prompt(bad(None)), "items must be a list of items, not NoneType"),
    "one item without its list": (
        lambda: Prompt(bad({"role": "user", "content": SECRET})),
        "items must be a list of items, not dict",
    ),
    "an item that is no item": (lambda: Prompt(bad([SECRET])), "items[0]: an item must be a JSON object, not str"),
    "a message with an unknown role": (
        lambda: Prompt(bad([{"role": "user", "content": "u"}, {"role": "king", "content": SECRET}])),
        "items[1]: item of type 'message' is invalid at 'role': Input should be 'system', 'developer', 'user'",
    ),
    "a message whose content is a number": (
        lambda: Prompt(bad([{"role": "user", "content": 5}])),
        "items[0]: item of type 'message' is invalid at 'content': Input should be a valid list",
    ),
    "a call without its id": (
        lambda: Prompt(bad([{"type": "function_call", "name": "f", "arguments": "{}"}])),
        "items[0]: item of type 'function_call' is invalid at 'call_id'",
    ),
    "a tool schema that is no object": (
        lambda: Prompt("u", tools=[ToolSpec("f", parameters=bad([SECRET]))]),
        "parameters of tool 'f' must be a JSON Schema object, not list",
    ),
    "a tool schema that describes no object": (
        lambda: Prompt("u", tools=[ToolSpec("f", parameters={"type": "array"})]),
        "parameters of tool 'f' must describe an object, not 'array'",
    ),
    "two tools of one name": (
        lambda: Prompt("u", tools=[ToolSpec("f"), CustomToolSpec("f")]),
        "two tools are called 'f'",
    ),
    "a tool that is a dict": (
        lambda: Prompt("u", tools=bad([{"name": "f"}])),
        "tools[0] must be a ToolSpec, CustomToolSpec or HostedToolSpec, not dict",
    ),
    "a tool without its list": (
        lambda: Prompt("u", tools=bad(ToolSpec("f"))),
        "tools must be a list of tool specs, not ToolSpec",
    ),
    "an image that is no image": (
        lambda: Prompt([user_message("u"), user_message(SECRET, "cat.png")]),
        "items[1]: an image is no image: its URL has no scheme",
    ),
    "an image that is a web page": (
        lambda: Prompt([user_message(SECRET, "data:image/png;base64,PGh0bWw+PC9odG1sPg==")]),
        "items[0]: an image is no image: its data begins like no image",
    ),
    "a 50 MB argument string": (
        lambda: Prompt([user_message("u"), FunctionCall(call_id="c1", name="f", arguments="x" * 50_000_000)]),
        "items[1]: the input of call 'c1' to 'f' has 50000000 characters; servers take 10485760 at most",
    ),
    "nothing to send": (lambda: Prompt([]), "the prompt has no"),
    "settings of another type": (lambda: Prompt("u", reasoning=bad("high")), "reasoning must be ReasoningSettings"),
    "a temperature in words": (
        lambda: Prompt("u", sampling=SamplingSettings(temperature=bad("hot"))),
        "sampling.temperature must be a number, not 'str'",
    ),
    "one stop sequence without its list": (
        lambda: Prompt("u", sampling=SamplingSettings(stop=bad("END"))),
        "sampling.stop must be a list of strings, not 'str'",
    ),
    "a cap of nothing": (lambda: Prompt("u", max_output_tokens=0), "max_output_tokens must be at least 1, got 0"),
    "a cap that is a flag": (
        lambda: Prompt("u", max_output_tokens=bad(True)),
        "max_output_tokens must be a number, not 'bool'",
    ),
    "a schema that is a list": (
        lambda: Prompt("u", output_schema=OutputSchema(bad([]))),
        "output_schema.schema must be a mapping, not 'list'",
    ),
    "an effort that is a number": (
        lambda: Prompt("u", reasoning=ReasoningSettings(effort=bad(3))),
        "reasoning.effort must be a string, not 'int'",
    ),
    "extra members that are a list": (lambda: Prompt("u", extra=bad([1])), "extra must be a mapping, not 'list'"),
    "a schema with something in it that is no JSON": (
        lambda: Prompt("u", output_schema=OutputSchema({"type": "object", "x": bad(object())})),
        "the prompt holds something that is no JSON",
    ),
    "a member that is no JSON": (
        lambda: Prompt("u", extra={"x": bad(object())}),
        "the prompt holds something that is no JSON",
    ),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", BAD)
async def test_a_client_sends_nothing(wire: WireName, name: str) -> None:
    """The caller is told; the server never hears of it, and none of what was said is in the error."""
    make, says = BAD[name]
    sent: list[httpx2.Request] = []

    def server(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(500)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(server)) as http:
        client = ModelClient("lab/m", base_url="http://server.test/v1", wire=wire, http=http)
        with pytest.raises(InvalidPromptError) as caught:
            await client.complete(make())
        await client.aclose()
    assert_told(caught.value, says)
    assert sent == []


def assert_told(error: AgentCoreError, says: str) -> None:
    assert says in error.message
    assert "\n" not in error.message and len(error.message) < 300
    assert error.remedy and SECRET not in str(error) + error.remedy


@tool
def add(a: int) -> int:
    """Adds."""
    return a


AGENTS: dict[str, tuple[Callable[[], object], str]] = {
    "a message with an unknown role": (
        lambda: Agent("lab/m", base_url="http://127.0.0.1:1").stream(bad({"role": "king", "content": SECRET})),
        "a turn begins with text or items, not with 'dict'",
    ),
    "an image that is no image": (
        lambda: Agent("lab/m", base_url="http://127.0.0.1:1").stream(user_message(SECRET, "cat.png")),
        "items[0]: an image is no image: its URL has no scheme",
    ),
    "two tools of one name": (
        lambda: Agent("lab/m", base_url="http://127.0.0.1:1", tools=[add, add]),
        "two tools are called 'add'",
    ),
}


@pytest.mark.parametrize("name", AGENTS)
async def test_an_agent_says_it_too(name: str) -> None:
    """When it is made, or when the turn starts, and nothing of it is in the session."""
    make, says = AGENTS[name]
    with pytest.raises(CallerError) as caught:
        async with cast("Any", make()) as turn:
            async for _ in turn:
                pass
    assert_told(caught.value, says)


async def test_a_50_mb_argument_string_of_a_model_does_not_stop_its_agent() -> None:
    """It is history, nobody can take it back: it is left out of requests, and the agent goes on."""
    answers: list[bytes] = []

    def server(request: httpx2.Request) -> httpx2.Response:
        answers.append(request.content)
        answer = {"choices": [{"message": {"role": "assistant", "content": "Fine."}, "finish_reason": "stop"}]}
        return httpx2.Response(200, json=answer)

    made = FunctionCall(call_id="c1", name="f", arguments="x" * 50_000_000)
    session = Session(items=[user_message("u"), made, FunctionCallOutput(call_id="c1", output="too long")])
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(server)) as http:
        agent = Agent("lab/m", base_url="http://server.test/v1", http=http, session=session)
        assert await agent.ask("Go on.") == "Fine."
    assert len(answers[0]) < 2000 and b"too long" in answers[0]
