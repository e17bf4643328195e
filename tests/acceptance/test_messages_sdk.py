"""The official Anthropic SDK reads what the Messages codec writes: streams, whole answers and errors, types checked."""

from __future__ import annotations

import pytest

from agent_core.codecs.messages import CODEC
from agent_core.errors import ModelError, OverloadedError, RateLimitError
from agent_core.events import (
    Completed,
    Created,
    FinishReason,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningContentDelta,
    RefusalDelta,
    Response,
    ResponseEvent,
    ToolCallInputDelta,
    Usage,
)
from agent_core.items import (
    CustomToolCall,
    FunctionCall,
    Message,
    Origin,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
)
from agent_core.prompt import Prompt

pytest.importorskip("anthropic", reason="the anthropic SDK is not installed")
pytest.importorskip("httpx2", reason="httpx2 is not installed")

import anthropic
import httpx2
from anthropic.types import Message as SdkMessage

pytestmark = pytest.mark.acceptance

PROMPT = Prompt("hi", model="claude")
THINKING = Origin(wire="messages", field="thinking")
USAGE = Usage(input=5, cache_read=3, cache_write=2, output=4, reasoning=6)

TEXT = Message(role="assistant", content=(OutputText(text="Hello"),))
THOUGHT = Reasoning(content=("hm",), signature="c2ln", origin=THINKING)
SEALED = Reasoning(encrypted_content="b3A=", origin=Origin(wire="messages", field="redacted_thinking"))
REFUSED = Message(role="assistant", content=(Refusal(refusal="No."),))
CALLS = tuple(FunctionCall(call_id=f"t{n}", name="add", arguments=f'{{"a": {n}}}') for n in (1, 2))
CUT = FunctionCall(call_id="t1", name="add", arguments='{"a": "lo', status="incomplete")
PATCH = CustomToolCall(call_id="t1", name="patch", input='say "hi"\n')


def usage() -> dict[str, object]:
    return {
        "input_tokens": 5,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 2,
        "output_tokens": 10,
        "output_tokens_details": {"thinking_tokens": 6},
    }


def block(kind: str, **members: object) -> dict[str, object]:
    return {"type": kind, **members}


CASES: dict[str, tuple[tuple[ResponseItem, ...], FinishReason, list[dict[str, object]], str]] = {
    "text": ((TEXT,), "stop", [block("text", text="Hello")], "end_turn"),
    "thinking, text and two calls": (
        (THOUGHT, SEALED, TEXT, *CALLS),
        "tool_calls",
        [
            block("thinking", thinking="hm", signature="c2ln"),
            block("redacted_thinking", data="b3A="),
            block("text", text="Hello"),
            block("tool_use", id="t1", name="add", input={"a": 1}),
            block("tool_use", id="t2", name="add", input={"a": 2}),
        ],
        "tool_use",
    ),
    "refusal": ((REFUSED,), "refusal", [block("text", text="No.")], "refusal"),
    "free-form call": (
        (PATCH,), "tool_calls", [block("tool_use", id="t1", name="patch", input={"input": 'say "hi"\n'})], "tool_use",
    ),
    "length": ((TEXT,), "length", [block("text", text="Hello")], "max_tokens"),
    "nothing": ((), "stop", [], "end_turn"),
}  # fmt: skip


def in_pieces(items: tuple[ResponseItem, ...], reason: FinishReason) -> list[ResponseEvent]:
    """Events as a decoder makes them: what is said one after the other, then all calls at once, grown in turn."""
    events: list[ResponseEvent] = [Created("msg_1", "claude-5")]
    calls = [n for n, item in enumerate(items) if item.type.endswith("call")]
    for group in [[n] for n in range(len(items)) if n not in calls] + [calls]:
        events += [OutputItemAdded(n, empty(items[n])) for n in group]
        for half in (0, 1):
            for n in group:
                item = items[n]
                events += [grown(n, item, half)] if not isinstance(item, Reasoning) or item.content else []
        events += [OutputItemDone(n, items[n]) for n in reversed(group)]
    return [*events, Completed("msg_1", "claude-5", reason, usage=USAGE)]


def empty(item: ResponseItem) -> ResponseItem:
    member = {"message": "content", "reasoning": "content", "function_call": "arguments", "custom_tool_call": "input"}
    return item.model_copy(update={member[item.type]: "" if item.type.endswith("call") else ()})


def grown(index: int, item: ResponseItem, half: int) -> ResponseEvent:
    def piece(text: str) -> str:
        return text[: len(text) // 2] if half == 0 else text[len(text) // 2 :]

    match item:
        case FunctionCall():
            return ToolCallInputDelta(index, item.call_id, piece(item.arguments))
        case CustomToolCall():
            return ToolCallInputDelta(index, item.call_id, piece(item.input))
        case Reasoning():
            return ReasoningContentDelta(index, piece(item.text))
        case Message(content=(Refusal(refusal=text),)):
            return RefusalDelta(index, piece(text))
        case _:
            return OutputTextDelta(index, piece("Hello"))


def client(status: int, headers: dict[str, str], body: bytes) -> anthropic.Anthropic:
    """The SDK before a server that always answers this; every answer is checked against the vendor's types."""
    transport = httpx2.MockTransport(lambda request: httpx2.Response(status, headers=headers, content=body))
    return anthropic.Anthropic(
        api_key="none",
        base_url="http://sdk.test",
        max_retries=0,
        http_client=httpx2.Client(transport=transport),
        _strict_response_validation=True,
    )


def stream_of(events: list[ResponseEvent], error: ModelError | None = None) -> bytes:
    encoder = CODEC.stream_encoder(PROMPT)
    body = b"".join(map(encoder.feed, events))
    return body + (encoder.fail(error) if error is not None else b"") + encoder.close()


def read_stream(body: bytes) -> SdkMessage:
    with (
        client(200, {"content-type": "text/event-stream"}, body) as sdk,
        sdk.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as stream,
    ):
        return stream.get_final_message()


def read_whole(status: int, headers: dict[str, str], body: bytes) -> SdkMessage:
    with client(status, headers, body) as sdk:
        return sdk.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])


def told(message: SdkMessage) -> tuple[object, ...]:
    content = [part.model_dump(mode="json", exclude_none=True) for part in message.content]
    counted = message.usage.model_dump(mode="json", exclude_none=True, exclude={"cache_creation"})
    return message.id, message.model, content, message.stop_reason, counted


@pytest.mark.parametrize("name", CASES)
def test_streams(name: str) -> None:
    """Interleaved events arrive in the SDK as the blocks they are."""
    items, reason, blocks, stop_reason = CASES[name]
    message = read_stream(stream_of(in_pieces(items, reason)))
    assert told(message) == ("msg_1", "claude-5", blocks, stop_reason, usage())


@pytest.mark.parametrize("name", CASES)
def test_whole_answers(name: str) -> None:
    """The same answers at once."""
    items, reason, blocks, stop_reason = CASES[name]
    body = CODEC.encode_response(Response("msg_1", "claude-5", items, reason, usage=USAGE), PROMPT)
    message = read_whole(200, {"content-type": "application/json"}, body)
    assert told(message) == ("msg_1", "claude-5", blocks, stop_reason, usage())


def test_a_call_cut_by_the_token_limit() -> None:
    """What was written of it arrives, with the reason why there is no more."""
    message = read_stream(stream_of(in_pieces((CUT,), "length")))
    assert (message.stop_reason, [part.type for part in message.content]) == ("max_tokens", ["tool_use"])


@pytest.mark.parametrize("begun", [True, False])
def test_an_error_inside_the_stream(begun: bool) -> None:
    """It is raised as the SDK's own error, with our type and message."""
    events = in_pieces((TEXT,), "stop")[:3] if begun else []
    with pytest.raises(anthropic.APIStatusError, match="no capacity") as caught:
        read_stream(stream_of(events, OverloadedError("no capacity", status=529)))
    assert caught.value.body == {"type": "error", "error": {"type": "overloaded_error", "message": "no capacity"}}


def test_an_error_by_status() -> None:
    """An HTTP error is the SDK's class for it, with the request id."""
    error = RateLimitError("slow down", request_id="req_1", retry_after_s=3)
    with pytest.raises(anthropic.RateLimitError, match="slow down") as caught:
        read_whole(*CODEC.encode_error(error))
    assert (caught.value.request_id, caught.value.response.headers["retry-after"]) == ("req_1", "3")
