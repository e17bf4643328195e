"""The official openai SDK takes what the Responses encoder writes for its vendor's: streamed and whole, with strict
validation, so that every member has the type the vendor's schema gives it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent_core.codecs.responses import CODEC
from agent_core.errors import ModelError, RateLimitError
from agent_core.events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    ReasoningSummaryPartAdded,
    RefusalDelta,
    Response,
    ResponseEvent,
    ToolCallInputDelta,
    Usage,
)
from agent_core.items import (
    CustomToolCall,
    FunctionCall,
    ImageGenerationCall,
    LocalShellAction,
    LocalShellCall,
    Message,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    WebSearchCall,
)
from agent_core.prompt import CustomToolSpec, OutputSchema, Prompt, ReasoningSettings, ToolSpec

pytest.importorskip("openai", reason="the openai SDK is not installed")

import httpx2
import openai
from openai.types.responses import Response as SdkResponse

pytestmark = pytest.mark.acceptance

PROMPT = Prompt(
    "hi",
    model="gpt-5.6",
    instructions="Be brief.",
    tools=[ToolSpec("add"), CustomToolSpec("patch", format={"type": "text"})],
    reasoning=ReasoningSettings(effort="low", summary="auto"),
    output_schema=OutputSchema({"type": "object"}),
)
USAGE = Usage(input=10, cache_read=5, cache_write=2, output=7, reasoning=3)
CITED = OutputText(
    text="Hello",
    annotations=({"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1},),
)
ITEMS: tuple[ResponseItem, ...] = (
    Reasoning(summary=("one", "two"), content=("raw",), encrypted_content="x"),
    Message(role="assistant", content=(CITED, Refusal(refusal="not more")), phase="commentary"),
    WebSearchCall(action={"type": "search", "query": "q"}, status="completed"),
    ImageGenerationCall(result="QQ==", status="completed"),
    FunctionCall(call_id="c1", name="add", arguments='{"a":1}'),
    FunctionCall(call_id="c2", name="add", arguments="{}"),
    CustomToolCall(call_id="c3", name="patch", input="*** x"),
    LocalShellCall(call_id="c4", action=LocalShellAction(command=("ls",))),
)
DELTAS: tuple[tuple[ResponseEvent, ...], ...] = (
    (
        ReasoningSummaryPartAdded(0, 0),
        ReasoningSummaryDelta(0, "one", 0),
        ReasoningSummaryPartAdded(0, 1),
        ReasoningSummaryDelta(0, "two", 1),
        ReasoningContentDelta(0, "raw"),
    ),
    (OutputTextDelta(1, "Hel"), OutputTextDelta(1, "lo"), RefusalDelta(1, "not more", 1)),
    (),
    (),
    (ToolCallInputDelta(4, "c1", '{"a"'), ToolCallInputDelta(4, "c1", ":1}")),
    (),
    (ToolCallInputDelta(6, "c3", "*** x"),),
    (),
)
EMPTY: dict[str, object] = {"content": (), "summary": (), "encrypted_content": None, "arguments": "", "input": ""}


def announced(item: ResponseItem) -> ResponseItem:
    known = {name: value for name, value in EMPTY.items() if name in type(item).model_fields}
    return item.model_copy(update={**known, "status": "in_progress"})


def events(status: str = "completed") -> list[ResponseEvent]:
    out: list[ResponseEvent] = [Created("resp_1", "gpt-5.6")]
    for n, (item, deltas) in enumerate(zip(ITEMS, DELTAS, strict=True)):
        out += [OutputItemAdded(n, announced(item)), *deltas, OutputItemDone(n, item)]
    if status == "incomplete":
        return [*out, Completed("resp_1", "gpt-5.6", "length", "incomplete", USAGE)]
    return [*out, Completed("resp_1", "gpt-5.6", "tool_calls", "completed", USAGE)]


def written(events: Sequence[ResponseEvent], error: ModelError | None = None) -> bytes:
    encoder = CODEC.stream_encoder(PROMPT)
    body = b"".join(map(encoder.feed, events))
    return body + (encoder.fail(error) if error is not None else encoder.close())


def sdk(body: bytes, kind: str = "text/event-stream", status: int = 200) -> openai.OpenAI:
    """The SDK, connected to a server that answers with these bytes."""
    answer = httpx2.MockTransport(lambda request: httpx2.Response(status, headers={"content-type": kind}, content=body))
    return openai.OpenAI(
        api_key="k",
        base_url="http://loopback/v1",
        max_retries=0,
        http_client=httpx2.Client(transport=answer),
        _strict_response_validation=True,
    )


def check(response: SdkResponse) -> None:
    """The SDK's response says what our events said."""
    assert response.output_text == "Hello"
    assert [item.type for item in response.output] == [item.type for item in ITEMS]
    calls = [(item.call_id, item.name, item.arguments) for item in response.output if item.type == "function_call"]
    assert calls == [("c1", "add", '{"a":1}'), ("c2", "add", "{}")]
    reasoning = response.output[0]
    assert reasoning.type == "reasoning"
    assert ([part.text for part in reasoning.summary], reasoning.encrypted_content) == (["one", "two"], "x")
    message = response.output[1]
    assert message.type == "message"
    assert [part.type for part in message.content] == ["output_text", "refusal"]
    usage = response.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (17, 10, 27)
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (5, 3)


def test_streamed() -> None:
    """Every frame is one of the SDK's event types, the deltas and the last response agree."""
    deltas: dict[str, str] = {}
    last: SdkResponse | None = None
    for event in sdk(written(events())).responses.create(model="m", input="hi", stream=True):
        if event.type == "response.output_text.delta" or event.type == "response.function_call_arguments.delta":
            deltas[event.item_id] = deltas.get(event.item_id, "") + event.delta
        elif event.type == "response.completed":
            last = event.response
    assert deltas == {"msg_1_1": "Hello", "fc_1_4": '{"a":1}', "fc_1_5": "{}"}
    assert last is not None
    check(last)


def test_stream_helper() -> None:
    """The SDK's own accumulator, which finds items by index and id and checks them, takes the stream."""
    with sdk(written(events())).responses.stream(model="m", input="hi") as stream:
        check(stream.get_final_response())


def test_whole() -> None:
    """A whole answer is a response to the SDK."""
    body = CODEC.encode_response(Response("resp_1", "gpt-5.6", ITEMS, "tool_calls", usage=USAGE), PROMPT)
    check(sdk(body, "application/json").responses.create(model="m", input="hi"))


def test_length() -> None:
    """An answer that was cut is incomplete to the SDK, streamed and whole."""
    *_, last = sdk(written(events("incomplete"))).responses.create(model="m", input="hi", stream=True)
    assert last.type == "response.incomplete"
    body = CODEC.encode_response(Response("resp_1", "gpt-5.6", ITEMS, "length", "incomplete"), PROMPT)
    whole = sdk(body, "application/json").responses.create(model="m", input="hi")
    for response in (last.response, whole):
        assert response.status == "incomplete"
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == "max_output_tokens"


def test_failure_in_the_stream() -> None:
    """An error after HTTP 200 reaches the SDK's user as a failed response with its code."""
    body = written(events()[:8], RateLimitError("slow down"))
    *_, last = sdk(body).responses.create(model="m", input="hi", stream=True)
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert (last.response.error.code, last.response.error.message) == ("rate_limit_exceeded", "slow down")


def test_http_error() -> None:
    """An HTTP error raises the SDK's class for its status, with message and code."""
    status, headers, body = CODEC.encode_error(RateLimitError("slow down", status=429))
    with pytest.raises(openai.RateLimitError) as caught:
        sdk(body, headers["content-type"], status).responses.create(model="m", input="hi")
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert "slow down" in caught.value.message
