"""The official SDKs run a tool loop through a gateway, whatever wire its backend speaks: streamed by their helpers,
with every member held to the vendor's schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from agent_core import ModelClient
from agent_core.codecs import WIRES
from agent_core.gateway import Gateway
from agent_core.items import WireName
from agent_core.prompt import Prompt
from agent_core.testing import RehearsalServer, Step

from ..gateway.running import running

pytest.importorskip("openai", reason="the openai SDK is not installed")
pytest.importorskip("anthropic", reason="the anthropic SDK is not installed")

import anthropic
import openai
from anthropic.types import MessageParam, ToolParam, ToolResultBlockParam
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.responses import FunctionToolParam, ResponseInputParam
from pydantic import BaseModel

if TYPE_CHECKING:
    from anthropic.types import Message
    from openai.types.chat import ChatCompletion
    from openai.types.responses import Response

from .test_official_sdks import CHAT_TOOLS, MESSAGES_TOOLS, RESPONSES_TOOLS, calculate, run_tool

pytestmark = pytest.mark.acceptance
ANSWER = "Sum and product: 13, 42."


@pytest.fixture(scope="module", params=WIRES)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A gateway; the wire its backend speaks is the parameter."""
    wire: WireName = request.param
    with RehearsalServer(calculate, pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider, wire=wire)
        with running(Gateway(default=client)) as address:
            yield address


@pytest.fixture
def vendor(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, _strict_response_validation=True) as client:
        yield client


def chat(
    vendor: openai.OpenAI,
    messages: list[ChatCompletionMessageParam],
    tools: Sequence[ChatCompletionToolParam] = CHAT_TOOLS,
) -> ChatCompletion:
    """One answer, which is added to the messages with the outputs of its calls."""
    with vendor.chat.completions.stream(
        model="any", messages=messages, tools=tools, stream_options={"include_usage": True}
    ) as stream:
        answer = stream.get_final_completion()
    message = answer.choices[0].message
    messages.append(message.to_dict())  # type: ignore[arg-type]  # the SDK's own way to send an answer back
    for call in message.tool_calls or []:
        assert call.type == "function"
        output = run_tool(call.function.name, json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": output})
    return answer


def test_openai_chat(vendor: openai.OpenAI) -> None:
    """Two parallel calls out, their outputs in, one chunk of usage."""
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "6 and 7?"}]
    first, second = chat(vendor, messages), chat(vendor, messages)
    assert (first.choices[0].finish_reason, second.choices[0].finish_reason) == ("tool_calls", "stop")
    assert (second.choices[0].message.content, second.model) == (ANSWER, "any")
    assert second.usage is not None and second.usage.total_tokens > 20


def respond(
    vendor: openai.OpenAI, items: ResponseInputParam, tools: Sequence[FunctionToolParam] = RESPONSES_TOOLS
) -> Response:
    """One answer, which is added to the items with the outputs of its calls."""
    with vendor.responses.stream(model="any", input=items, tools=tools) as stream:
        answer = stream.get_final_response()
    for item in answer.output:
        items.append(item.to_dict())  # type: ignore[arg-type]  # the SDK's own way to send an answer back
        if item.type == "function_call":
            output = run_tool(item.name, json.loads(item.arguments))
            items.append({"type": "function_call_output", "call_id": item.call_id, "output": output})
    return answer


def test_openai_responses(vendor: openai.OpenAI) -> None:
    """Items come in their order, and go back as they came, reasoning too."""
    items: ResponseInputParam = [{"role": "user", "content": "6 and 7?"}]
    first, second = respond(vendor, items), respond(vendor, items)
    assert [item.type for item in first.output] == ["reasoning", "message", "function_call", "function_call"]
    assert (second.output_text, second.status, second.model) == (ANSWER, "completed", "any")
    assert second.usage is not None and second.usage.total_tokens > 20


def message(
    client: anthropic.Anthropic, messages: list[MessageParam], tools: Sequence[ToolParam] = MESSAGES_TOOLS
) -> Message:
    """One answer, which is added to the messages with the results of its calls."""
    with client.messages.stream(model="any", messages=messages, tools=tools, max_tokens=1000) as stream:
        answer = stream.get_final_message()
    messages.append({"role": "assistant", "content": answer.content})
    results: list[ToolResultBlockParam] = [
        {"type": "tool_result", "tool_use_id": block.id, "content": run_tool(block.name, block.input)}
        for block in answer.content
        if block.type == "tool_use"
    ]
    messages.append({"role": "user", "content": results})
    return answer


def test_anthropic_messages(url: str) -> None:
    """Thinking, text and calls as blocks one after the other; all of it goes back."""
    messages: list[MessageParam] = [{"role": "user", "content": "6 and 7?"}]
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0, _strict_response_validation=True) as client:
        first, second = message(client, messages), message(client, messages)
        counted = client.messages.count_tokens(model="any", messages=messages[:1])
        listed = [model.id for model in client.models.list()]
    assert [block.type for block in first.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert [block.text for block in second.content if block.type == "text"] == [ANSWER]
    assert (second.stop_reason, second.model, counted.input_tokens > 0) == ("end_turn", "any", True)
    assert listed == ["rehearsal/m"]


class Trip(BaseModel):
    """What is asked for as structured output."""

    city: str
    days: int


TRIP = Trip(city="Oslo", days=3)


def travel(prompt: Prompt) -> Step:
    """A trip, where the request has a schema of one."""
    wanted = prompt.output_schema
    properties = wanted.schema.get("properties") if wanted is not None else None
    asked = isinstance(properties, dict) and set(properties) == {"city", "days"}
    return Step(reasoning="North.", text=TRIP.model_dump_json() if asked else "no schema came")


@pytest.fixture(scope="module", params=WIRES)
def structured(request: pytest.FixtureRequest) -> Iterator[str]:
    """A gateway before a backend that keeps to a schema."""
    with RehearsalServer(travel, pace_s=0) as server:
        client = ModelClient("rehearsal/m", provider=server.provider, wire=request.param)
        with running(Gateway(default=client)) as address:
            yield address


def test_openai_structured_output(structured: str) -> None:
    """`.parse` and the streaming helpers of both wires make an object of the answer."""
    asked = "Where to?"
    with openai.OpenAI(base_url=f"{structured}/v1", api_key="none", max_retries=0) as client:
        parsed = client.chat.completions.parse(
            model="any", messages=[{"role": "user", "content": asked}], response_format=Trip
        )
        with client.chat.completions.stream(
            model="any", messages=[{"role": "user", "content": asked}], response_format=Trip
        ) as stream:
            streamed = stream.get_final_completion()
        answered = client.responses.parse(model="any", input=asked, text_format=Trip)
        with client.responses.stream(model="any", input=asked, text_format=Trip) as events:
            followed = events.get_final_response()
    assert [parsed.choices[0].message.parsed, streamed.choices[0].message.parsed] == [TRIP, TRIP]
    assert [answered.output_parsed, followed.output_parsed] == [TRIP, TRIP]


def test_anthropic_structured_output(structured: str) -> None:
    """`.parse` makes an object of the answer."""
    with anthropic.Anthropic(base_url=structured, api_key="none", max_retries=0) as client:
        answer = client.messages.parse(
            model="any", max_tokens=500, messages=[{"role": "user", "content": "Where to?"}], output_format=Trip
        )
    assert answer.parsed_output == TRIP
