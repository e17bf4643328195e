"""The official SDKs take the rehearsal's bytes for their vendor's: streamed and whole, calls, reasoning, errors.

They run with strict response validation, so every member must have the type the vendor's schema gives it. What they
accept here is what the codecs' encoders write: this is an outside judge of those too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import pytest

from agent_core.codecs.base import json_object
from agent_core.items import FunctionCallOutput, output_text_of
from agent_core.prompt import Prompt
from agent_core.testing import Call, RehearsalServer, Step, turn_items

pytest.importorskip("openai", reason="the openai SDK is not installed")
pytest.importorskip("anthropic", reason="the anthropic SDK is not installed")

import anthropic
import openai
from anthropic.types import MessageParam, ToolParam, ToolResultBlockParam
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.responses import FunctionToolParam, ResponseInputParam

if TYPE_CHECKING:
    from anthropic.types import Message
    from openai.types.chat import ChatCompletion
    from openai.types.responses import Response

pytestmark = pytest.mark.acceptance

Mode = Literal["whole", "events", "helper"]
each_mode = pytest.mark.parametrize("mode", ["whole", "events", "helper"])

NUMBERS: dict[str, object] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}
CHAT_TOOLS: list[ChatCompletionToolParam] = [
    {"type": "function", "function": {"name": name, "parameters": NUMBERS}} for name in ("add", "multiply")
]
RESPONSES_TOOLS: list[FunctionToolParam] = [
    {"type": "function", "name": name, "parameters": NUMBERS, "strict": False} for name in ("add", "multiply")
]
MESSAGES_TOOLS: list[ToolParam] = [{"name": name, "input_schema": NUMBERS} for name in ("add", "multiply")]
ARGUMENTS = {"a": 6, "b": 7}


def calculate(prompt: Prompt) -> Step:
    """Thinks, says a word, makes two calls at once; then thinks again and reports both outputs."""
    outputs = [output_text_of(item) for item in turn_items(prompt) if isinstance(item, FunctionCallOutput)]
    if outputs:
        return Step(reasoning="Both are here.", text=f"Sum and product: {', '.join(outputs)}.")
    return Step(
        reasoning="I need the sum and the product.",
        text="Let me calculate.",
        calls=(Call("add", ARGUMENTS), Call("multiply", ARGUMENTS)),
    )


def run_tool(name: str, arguments: Mapping[str, object]) -> str:
    a, b = (int(str(arguments[key])) for key in ("a", "b"))
    return str(a + b if name == "add" else a * b)


@pytest.fixture
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(calculate, pace_s=0) as running:
        yield running


def openai_client(server: RehearsalServer, *, retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=server.base_url, api_key="none", max_retries=retries, _strict_response_validation=True
    )


def anthropic_client(server: RehearsalServer, *, retries: int = 0) -> anthropic.Anthropic:
    url = server.base_url.removesuffix("/v1")
    return anthropic.Anthropic(base_url=url, api_key="none", max_retries=retries, _strict_response_validation=True)


def chat_answer(client: openai.OpenAI, messages: list[ChatCompletionMessageParam], mode: Mode) -> ChatCompletion:
    if mode == "whole":
        return client.chat.completions.create(model="m", messages=messages, tools=CHAT_TOOLS)
    with client.chat.completions.stream(
        model="m", messages=messages, tools=CHAT_TOOLS, stream_options={"include_usage": True}
    ) as stream:
        if mode == "helper":
            return stream.get_final_completion()
        kinds = [event.type for event in stream]
        assert "content.delta" in kinds
        assert kinds.count("content.done") == 1
        return stream.get_final_completion()


@each_mode
def test_openai_chat_runs_a_tool_loop(mode: Mode, server: RehearsalServer) -> None:
    """Text, reasoning and two parallel calls come out of the Chat wire, and their outputs go back in."""
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "6 and 7?"}]
    with openai_client(server) as client:
        first = chat_answer(client, messages, mode)
        message = first.choices[0].message
        calls = [call for call in message.tool_calls or [] if call.type == "function"]
        assert (message.content, first.choices[0].finish_reason) == ("Let me calculate.", "tool_calls")
        assert message.to_dict()["reasoning_content"] == "I need the sum and the product."
        assert [call.function.name for call in calls] == ["add", "multiply"]
        messages.append(
            {
                "role": "assistant",
                "content": message.content,
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.function.name, "arguments": call.function.arguments},
                    }
                    for call in calls
                ],
            }
        )
        for call in calls:
            output = run_tool(call.function.name, json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": output})
        second = chat_answer(client, messages, mode)
    assert (second.choices[0].message.content, second.choices[0].finish_reason) == ("Sum and product: 13, 42.", "stop")
    assert second.usage is not None
    assert second.usage.total_tokens == second.usage.prompt_tokens + second.usage.completion_tokens > 20
    assert second.usage.completion_tokens_details is not None
    assert second.usage.completion_tokens_details.reasoning_tokens == 4


def responses_answer(client: openai.OpenAI, items: ResponseInputParam, mode: Mode) -> Response:
    if mode == "whole":
        return client.responses.create(model="m", input=items, tools=RESPONSES_TOOLS)
    if mode == "helper":
        with client.responses.stream(model="m", input=items, tools=RESPONSES_TOOLS) as stream:
            return stream.get_final_response()
    with client.responses.create(model="m", input=items, tools=RESPONSES_TOOLS, stream=True) as events:
        seen = list(events)
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert [event.type for event in seen[:2]] == ["response.created", "response.in_progress"]
    assert seen[-1].type == "response.completed"
    return seen[-1].response


@each_mode
def test_openai_responses_run_a_tool_loop(mode: Mode, server: RehearsalServer) -> None:
    """Summaries, text and two parallel calls come out of the Responses wire; all of them and the outputs go back."""
    items: ResponseInputParam = [{"role": "user", "content": "6 and 7?"}]
    with openai_client(server) as client:
        first = responses_answer(client, items, mode)
        calls = [item for item in first.output if item.type == "function_call"]
        thoughts = [part.text for item in first.output if item.type == "reasoning" for part in item.summary]
        assert [item.type for item in first.output] == ["reasoning", "message", "function_call", "function_call"]
        assert (first.status, first.output_text, thoughts) == (
            "completed",
            "Let me calculate.",
            ["I need the sum and the product."],
        )
        for item in first.output:
            items.append(item.to_dict())  # type: ignore[arg-type]  # the SDK's own way to send output back
        for call in calls:
            output = run_tool(call.name, json.loads(call.arguments))
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": output})
        second = responses_answer(client, items, mode)
    assert second.output_text == "Sum and product: 13, 42."
    assert second.usage is not None
    assert second.usage.total_tokens == second.usage.input_tokens + second.usage.output_tokens > 20
    assert second.usage.output_tokens_details.reasoning_tokens == 4


def messages_answer(client: anthropic.Anthropic, messages: list[MessageParam], mode: Mode) -> Message:
    if mode == "whole":
        return client.messages.create(model="m", messages=messages, tools=MESSAGES_TOOLS, max_tokens=1000)
    with client.messages.stream(model="m", messages=messages, tools=MESSAGES_TOOLS, max_tokens=1000) as stream:
        if mode == "helper":
            return stream.get_final_message()
        kinds = [event.type for event in stream]
        assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
        assert {"thinking", "text", "content_block_stop"} <= set(kinds)
        return stream.get_final_message()


@each_mode
def test_anthropic_messages_run_a_tool_loop(mode: Mode, server: RehearsalServer) -> None:
    """Signed thinking, text and two parallel calls come out of the Messages wire; all of it goes back unchanged."""
    messages: list[MessageParam] = [{"role": "user", "content": "6 and 7?"}]
    with anthropic_client(server) as client:
        first = messages_answer(client, messages, mode)
        assert [block.type for block in first.content] == ["thinking", "text", "tool_use", "tool_use"]
        assert first.stop_reason == "tool_use"
        thinking = first.content[0]
        assert thinking.type == "thinking"
        assert thinking.thinking == "I need the sum and the product."
        assert thinking.signature
        messages.append({"role": "assistant", "content": first.content})
        results: list[ToolResultBlockParam] = [
            {"type": "tool_result", "tool_use_id": block.id, "content": run_tool(block.name, block.input)}
            for block in first.content
            if block.type == "tool_use"
        ]
        messages.append({"role": "user", "content": results})
        second = messages_answer(client, messages, mode)
    assert [block.text for block in second.content if block.type == "text"] == ["Sum and product: 13, 42."]
    assert second.stop_reason == "end_turn"
    assert (second.usage.input_tokens > 20, second.usage.output_tokens) == (True, 10)


def test_anthropic_raw_events_are_the_vendors(server: RehearsalServer) -> None:
    """Every raw event validates, blocks come one after the other, and the input of a call starts empty."""
    with (
        anthropic_client(server) as client,
        client.messages.create(
            model="m", messages=[{"role": "user", "content": "6 and 7?"}], max_tokens=1000, stream=True
        ) as events,
    ):
        seen = list(events)
    starts = [event for event in seen if event.type == "content_block_start"]
    assert [event.index for event in starts] == [0, 1, 2, 3]
    assert [event.content_block.input for event in starts if event.content_block.type == "tool_use"] == [{}, {}]
    [ending] = [event for event in seen if event.type == "message_delta"]
    assert ending.delta.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("path", ["chat", "responses"])
def test_openai_errors_have_their_type(status: int, kind: type[openai.APIStatusError], path: str) -> None:
    """A failing step raises the SDK's exception for its status, with message, code and request id."""
    step = Step(status=status, error="rehearsed", code="some_code")
    with RehearsalServer([step]) as server, openai_client(server) as client, pytest.raises(kind) as caught:
        if path == "chat":
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "a"}], stream=True)
        else:
            client.responses.create(model="m", input="a")
    assert (caught.value.status_code, caught.value.code) == (status, "some_code")
    assert "rehearsed" in caught.value.message
    assert caught.value.request_id


@pytest.mark.parametrize(
    ("status", "kind", "error_type"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.InternalServerError, "overloaded_error"),
    ],
)
def test_anthropic_errors_have_their_type(status: int, kind: type[anthropic.APIStatusError], error_type: str) -> None:
    """A failing step raises the SDK's exception for its status, in Anthropic's envelope."""
    step = Step(status=status, error="rehearsed")
    with RehearsalServer([step]) as server, anthropic_client(server) as client, pytest.raises(kind) as caught:
        client.messages.create(model="m", messages=[{"role": "user", "content": "a"}], max_tokens=9)
    assert caught.value.status_code == status
    body = json_object(caught.value.body) or {}
    error = json_object(body.get("error")) or {}
    assert (body.get("type"), error.get("type"), error.get("message")) == ("error", error_type, "rehearsed")
    assert caught.value.request_id


def test_an_error_inside_a_stream_reaches_both_sdks() -> None:
    """After HTTP 200 an error is an event of the wire, and each SDK raises it or shows it."""
    step = Step(text="one two three", cut_after_events=4, cut="error", error="rehearsed", code="server_error")
    with RehearsalServer([step], pace_s=0) as server:
        with openai_client(server) as client:
            with (
                client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "a"}], stream=True
                ) as chunks,
                pytest.raises(openai.APIError, match="rehearsed"),
            ):
                list(chunks)
            with client.responses.create(model="m", input="a", stream=True) as events:
                endings = [event for event in events if event.type in ("response.failed", "error")]
            assert len(endings) == 1
        with (
            anthropic_client(server) as other,
            other.messages.stream(model="m", messages=[{"role": "user", "content": "a"}], max_tokens=99) as stream,
            pytest.raises(anthropic.APIStatusError, match="rehearsed"),
        ):
            stream.get_final_message()


def test_both_sdks_retry_what_says_so() -> None:
    """Their own retries get through a step's failures, on the time the failure asks for."""
    busy = Step(status=429, error="busy", headers={"retry-after-ms": "1", "retry-after": "0.001"})
    overloaded = Step(status=529, error="overloaded", headers={"retry-after-ms": "1", "retry-after": "0.001"})
    with RehearsalServer([Step(text="through", failures=(busy, overloaded))]) as server:
        with openai_client(server, retries=2) as client:
            answer = client.responses.create(model="m", input="a")
        with anthropic_client(server, retries=2) as other:
            message = other.messages.create(model="m", messages=[{"role": "user", "content": "a"}], max_tokens=99)
        assert [request.status for request in server.requests] == [429, 529, 200] * 2
    assert answer.output_text == "through"
    assert [block.text for block in message.content if block.type == "text"] == ["through"]


def test_an_answer_cut_at_the_cap_is_reported_by_both_sdks() -> None:
    """A token cap ends the answer the way the vendor reports it, on every wire."""
    with RehearsalServer([Step(text="This answer is longer than four tokens.")], pace_s=0) as server:
        with openai_client(server) as client:
            chat = client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "a"}], max_completion_tokens=4
            )
            response = client.responses.create(model="m", input="a", max_output_tokens=4)
        with anthropic_client(server) as other:
            message = other.messages.create(model="m", messages=[{"role": "user", "content": "a"}], max_tokens=4)
    assert chat.choices[0].finish_reason == "length"
    assert response.incomplete_details is not None
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert message.stop_reason == "max_tokens"


def test_both_sdks_list_the_scripts(server: RehearsalServer) -> None:
    """GET /models answers each SDK in its own shape."""
    with openai_client(server) as client, anthropic_client(server) as other:
        assert [model.id for model in client.models.list()] == ["script"]
        assert [model.id for model in other.models.list()] == ["script"]


def test_a_free_form_call_is_one_on_responses() -> None:
    """A tool of free text gets a custom call, whole and streamed, and its input comes as it was written."""
    step = Step(calls=(Call("edit", "*** Begin\n+ ünïcode\n"),))
    with RehearsalServer([step], pace_s=0) as server, openai_client(server) as client:
        whole = client.responses.create(model="m", input="a", tools=[{"type": "custom", "name": "edit"}])
        with client.responses.stream(model="m", input="a", tools=[{"type": "custom", "name": "edit"}]) as stream:
            streamed = stream.get_final_response()
    for response in (whole, streamed):
        calls = [item for item in response.output if item.type == "custom_tool_call"]
        assert [(call.name, call.input) for call in calls] == [("edit", "*** Begin\n+ ünïcode\n")]


def test_a_refusal_is_one_on_each_wire() -> None:
    """The model's refusal is a part of its own on OpenAI's wires, and a stop reason on Anthropic's."""
    with RehearsalServer([Step(refusal="I will not.")], pace_s=0) as server:
        with openai_client(server) as client:
            with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "a"}]) as chat:
                refusal = chat.get_final_completion().choices[0].message.refusal
            with client.responses.stream(model="m", input="a") as stream:
                [message] = stream.get_final_response().output
        with anthropic_client(server) as other:
            answer = other.messages.create(model="m", messages=[{"role": "user", "content": "a"}], max_tokens=99)
    assert refusal == "I will not."
    assert message.type == "message"
    assert [part.refusal for part in message.content if part.type == "refusal"] == ["I will not."]
    assert answer.stop_reason == "refusal"
