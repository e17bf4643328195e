"""What the Chat codec sends is accepted by the official OpenAI SDK."""

from __future__ import annotations

from typing import Any

import pytest

from agent_core.codecs.chat import CODEC
from agent_core.errors import RateLimitError
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
from agent_core.items import FunctionCall, Message, OutputText, Reasoning, Refusal, ResponseItem
from agent_core.prompt import Prompt

openai: Any = pytest.importorskip("openai", reason="the openai SDK is not installed")
streaming: Any = pytest.importorskip("openai.lib.streaming.chat")
httpx2: Any = pytest.importorskip("httpx2", reason="httpx2 is not installed")

pytestmark = pytest.mark.acceptance

PROMPT = Prompt("hi", model="m")
USAGE = Usage(input=5, cache_read=3, output=4, reasoning=6)

ANSWERS: dict[str, tuple[tuple[ResponseItem, ...], FinishReason]] = {
    "text": ((Message(role="assistant", content=(OutputText(text="hello"),)),), "stop"),
    "reasoning": (
        (Reasoning(content=("think",)), Message(role="assistant", content=(OutputText(text="hello"),))),
        "stop",
    ),
    "refusal": ((Message(role="assistant", content=(Refusal(refusal="no"),)),), "stop"),
    "two parallel calls": (
        (
            FunctionCall(call_id="a", name="f", arguments='{"x":1}'),
            FunctionCall(call_id="b", name="g", arguments="{}"),
        ),
        "tool_calls",
    ),
    "cut": ((Message(role="assistant", content=(OutputText(text="hel"),)),), "length"),
}


def events_of(items: tuple[ResponseItem, ...], reason: FinishReason) -> list[ResponseEvent]:
    """The items as a stream: all added, deltas in two pieces, all done."""
    out: list[ResponseEvent] = [Created("chatcmpl-1", "m")]
    for n, item in enumerate(items):
        match item:
            case Reasoning():
                out += [OutputItemAdded(n, Reasoning()), ReasoningContentDelta(n, item.text)]
            case Message(content=(OutputText(text=text), *_)):
                out += [OutputItemAdded(n, Message(role="assistant"))]
                out += [OutputTextDelta(n, text[:2]), OutputTextDelta(n, text[2:])]
            case Message(content=(Refusal(refusal=refusal), *_)):
                out += [OutputItemAdded(n, Message(role="assistant")), RefusalDelta(n, refusal)]
            case FunctionCall(call_id=call_id, arguments=args):
                out += [OutputItemAdded(n, item.model_copy(update={"arguments": ""}))]
                out += [ToolCallInputDelta(n, call_id, args[:1]), ToolCallInputDelta(n, call_id, args[1:])]
            case _:
                raise AssertionError(item)
    out += [OutputItemDone(n, item) for n, item in enumerate(items)]
    return [*out, Completed("chatcmpl-1", "m", reason, usage=USAGE)]


def client(body: bytes, content_type: str, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """An SDK client whose server answers exactly this."""

    def answer(_request: object) -> object:
        return httpx2.Response(status, content=body, headers={"content-type": content_type, **(headers or {})})

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(
        api_key="k",
        base_url="http://test/v1",
        http_client=transport,
        max_retries=0,
        _strict_response_validation=True,
    )


def check(name: str, completion: Any) -> None:
    """The SDK's completion says what the items say."""
    items, reason = ANSWERS[name]
    whole = Response(items=items)
    (choice,) = completion.choices
    said = choice.message
    made: list[Any] = said.tool_calls or []
    calls = [(call.id, call.type, call.function.name, call.function.arguments) for call in made]
    asked = [(i.call_id, "function", i.name, i.arguments) for i in items if isinstance(i, FunctionCall)]
    assert (completion.id, completion.model, choice.finish_reason) == ("chatcmpl-1", "m", reason)
    assert (said.role, said.content or "", said.refusal or "") == ("assistant", whole.text, whole.refusal)
    assert getattr(said, "reasoning_content", "") == whole.reasoning_text
    assert calls == asked
    usage = completion.usage
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (8, 3)
    assert (usage.completion_tokens, usage.completion_tokens_details.reasoning_tokens) == (10, 6)


ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_whole_completion_is_read(name: str) -> None:
    """`chat.completions.create` understands every kind of answer."""
    items, reason = ANSWERS[name]
    body = CODEC.encode_response(Response("chatcmpl-1", "m", items, reason, usage=USAGE), PROMPT)
    with client(body, "application/json") as sdk:
        check(name, sdk.chat.completions.create(**ASK))


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_is_read(name: str) -> None:
    """The SDK's own accumulator folds the chunks to the same completion."""
    encoder = CODEC.stream_encoder(PROMPT)
    body = b"".join([*map(encoder.feed, events_of(*ANSWERS[name])), encoder.close()])
    with client(body, "text/event-stream") as sdk:
        state = streaming.ChatCompletionStreamState()
        for chunk in sdk.chat.completions.create(**ASK, stream=True):
            state.handle_chunk(chunk)
    check(name, state.current_completion_snapshot)


def test_an_error_in_the_stream_is_raised() -> None:
    """The SDK sees the error after the text that came before it."""
    encoder = CODEC.stream_encoder(PROMPT)
    body = b"".join(map(encoder.feed, events_of(*ANSWERS["text"])[:3])) + encoder.fail(RateLimitError("slow down"))
    said = ""
    with client(body, "text/event-stream") as sdk, pytest.raises(openai.APIError, match="slow down") as caught:
        for chunk in sdk.chat.completions.create(**ASK, stream=True):
            said += chunk.choices[0].delta.content or ""
    assert (said, caught.value.type, caught.value.code) == ("he", "rate_limit_error", "rate_limit_exceeded")


def test_an_error_answer_is_raised() -> None:
    """Status, type, code, request id and hint reach the caller."""
    status, headers, body = CODEC.encode_error(RateLimitError("slow down", retry_after_s=3, request_id="req_1"))
    with client(body, "application/json", status, headers) as sdk, pytest.raises(openai.RateLimitError) as caught:
        sdk.chat.completions.create(**ASK)
    error = caught.value
    assert (error.status_code, error.type, error.request_id) == (429, "rate_limit_error", "req_1")
    assert error.response.headers["retry-after"] == "3"
