"""What a Chat server sends: exact frames, and the way back to the same events and responses."""

from __future__ import annotations

import json

import pytest

from agent_core.codecs.base import Compat
from agent_core.codecs.chat import CODEC
from agent_core.errors import OverloadedError, StreamInterrupted
from agent_core.events import (
    Completed,
    Created,
    FinishReason,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    RefusalDelta,
    Response,
    ResponseEvent,
    ToolCallInputDelta,
    Usage,
)
from agent_core.items import (
    CustomToolCall,
    FunctionCall,
    JsonObject,
    LocalShellAction,
    LocalShellCall,
    Message,
    Origin,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    WebSearchCall,
    user_message,
)
from agent_core.prompt import (
    CustomToolSpec,
    NamedTool,
    OutputSchema,
    Prompt,
    ReasoningSettings,
    SamplingSettings,
    ToolSpec,
)

from .chat_chunks import decode

PROMPT = Prompt("hi", model="m")
COMPAT = Compat(provider="p")
NOTE: JsonObject = {"type": "url_citation"}
DETAIL: JsonObject = {"type": "reasoning.text", "index": 0, "text": "think", "signature": "s"}
SIGNED: JsonObject = {"extra_content": {"google": {"thought_signature": "s"}}}
USAGE = Usage(input=5, cache_read=3, cache_write=2, cache_write_1h=1, output=4, reasoning=6)


def origin(field: str = "") -> Origin:
    return Origin(wire="chat", provider="p", model="m", field=field, response_id="r")


def message(*parts: OutputText | Refusal) -> Message:
    return Message(role="assistant", content=parts, origin=origin())


def thoughts(*content: str, details: tuple[JsonObject, ...] = ()) -> Reasoning:
    return Reasoning(
        content=content, details=details, origin=origin("reasoning_details" if details else "reasoning_content")
    )


def function(call_id: str, arguments: str, opaque: JsonObject | None = None) -> FunctionCall:
    return FunctionCall(call_id=call_id, name="f", arguments=arguments, origin=origin(), opaque=opaque)


def stream(*between: ResponseEvent, finish: FinishReason = "stop", usage: Usage | None = None) -> list[ResponseEvent]:
    completed = Completed("r", "m", finish, usage=usage, native_reason=finish)
    return [Created("r", "m"), *between, completed]


STREAMS: dict[str, list[ResponseEvent]] = {
    "text and usage": stream(
        OutputItemAdded(0, message()),
        OutputTextDelta(0, "a"),
        OutputTextDelta(0, "b"),
        OutputItemDone(0, message(OutputText(text="ab"))),
        usage=USAGE,
    ),
    "reasoning, text with citations": stream(
        OutputItemAdded(0, thoughts()),
        ReasoningContentDelta(0, "think"),
        OutputItemAdded(1, message()),
        OutputTextDelta(1, "a"),
        OutputItemDone(0, thoughts("think")),
        OutputItemDone(1, message(OutputText(text="a", annotations=(NOTE,)))),
    ),
    "refusal": stream(
        OutputItemAdded(0, message()),
        RefusalDelta(0, "no"),
        OutputItemDone(0, message(Refusal(refusal="no"))),
    ),
    "parallel calls, interleaved, one of them signed": stream(
        OutputItemAdded(0, function("a", "")),
        OutputItemAdded(1, function("b", "")),
        ToolCallInputDelta(0, "a", '{"x"'),
        ToolCallInputDelta(1, "b", "{}"),
        ToolCallInputDelta(0, "a", ":1}"),
        OutputItemDone(0, function("a", '{"x":1}', opaque=SIGNED)),
        OutputItemDone(1, function("b", "{}")),
        finish="tool_calls",
    ),
    "custom call": stream(
        OutputItemAdded(0, CustomToolCall(call_id="a", name="patch", origin=origin())),
        ToolCallInputDelta(0, "a", "***"),
        OutputItemDone(0, CustomToolCall(call_id="a", name="patch", input="***", origin=origin())),
        finish="tool_calls",
    ),
    "cut": [
        Created("r", "m"),
        OutputItemAdded(0, message()),
        OutputTextDelta(0, "a"),
        OutputItemDone(0, message(OutputText(text="a")).model_copy(update={"status": "incomplete"})),
        Completed("r", "m", "length", "incomplete", native_reason="length"),
    ],
    "stop sequence": [Created("r", "m"), Completed("r", "m", "stop", native_reason="stop", stop_sequence="###")],
}


def encoded(events: list[ResponseEvent], *, include_usage: bool = True) -> bytes:
    encoder = CODEC.stream_encoder(PROMPT, include_usage=include_usage)
    return b"".join([*map(encoder.feed, events), encoder.close()])


@pytest.mark.parametrize("name", STREAMS)
def test_events_survive_the_way_out_and_back(name: str) -> None:
    """A stream that is encoded and decoded again is the same stream, event by event."""
    events, decoder = decode([encoded(STREAMS[name])], PROMPT, COMPAT)
    assert events == STREAMS[name]
    assert decoder.error is None


def test_the_frames_are_exactly_these() -> None:
    """A role first, one chunk per delta, the finish, the usage, [DONE]: one id, one model, choice 0."""
    body = encoded(stream(*STREAMS["text and usage"][1:-1], usage=Usage(input=2, output=1)))
    head: JsonObject = {"id": "r", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    quiet: JsonObject = {"index": 0, "logprobs": None}
    counted: JsonObject = {
        "prompt_tokens": 2,
        "completion_tokens": 1,
        "total_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    frames = body.decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    assert [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]] == [
        {**head, "choices": [{**quiet, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
        {**head, "choices": [{**quiet, "delta": {"content": "a"}, "finish_reason": None}]},
        {**head, "choices": [{**quiet, "delta": {"content": "b"}, "finish_reason": None}]},
        {**head, "choices": [{**quiet, "delta": {}, "finish_reason": "stop"}]},
        {**head, "choices": [], "usage": counted},
    ]


def test_usage_is_sent_only_to_those_who_asked() -> None:
    """X-S0-26: `include_usage` of the request decides."""
    assert b'"usage"' not in encoded(STREAMS["text and usage"], include_usage=False)


WHOLE: list[ResponseItem] = [
    thoughts("think"),
    message(OutputText(text="a")),
    function("c", "{}"),
]


def test_items_without_deltas_are_said_when_they_are_done() -> None:
    """A source that only has whole items gives a whole stream too; a search has no word here."""
    search = WebSearchCall()
    events = stream(
        *(OutputItemAdded(n, item) for n, item in enumerate([*WHOLE, search])),
        *(OutputItemDone(n, item) for n, item in enumerate([*WHOLE, search])),
        finish="tool_calls",
    )
    _, decoder = decode([encoded(events)], PROMPT, COMPAT)
    assert list(decoder.snapshot().items) == WHOLE


def test_summaries_go_out_as_reasoning() -> None:
    """The wire knows one kind of readable reasoning."""
    item = Reasoning(summary=("s",))
    events = stream(OutputItemAdded(0, Reasoning()), ReasoningSummaryDelta(0, "s"), OutputItemDone(0, item))
    _, decoder = decode([encoded(events)], PROMPT, COMPAT)
    assert decoder.snapshot().reasoning_text == "s"


def test_reasoning_details_go_out_once() -> None:
    """The readable text goes as deltas, the details whole at the end, and nobody reads it twice."""
    item = thoughts("think", details=(DETAIL,))
    events = stream(OutputItemAdded(0, thoughts()), ReasoningContentDelta(0, "think"), OutputItemDone(0, item))
    _, decoder = decode([encoded(events)], PROMPT, COMPAT)
    assert decoder.snapshot().items == (item,)


def test_a_failure_is_said_in_the_stream_and_ends_it() -> None:
    """X-S0-29: an error frame, no finish, no [DONE], nothing after it."""
    encoder = CODEC.stream_encoder(PROMPT)
    body = encoder.feed(Created("r", "m")) + encoder.fail(OverloadedError("busy"))
    assert (encoder.feed(OutputTextDelta(0, "x")), encoder.fail(OverloadedError("y")), encoder.close()) == (b"",) * 3
    _, decoder = decode([body], PROMPT, COMPAT)
    assert isinstance(decoder.error, OverloadedError) and decoder.error.message == "busy"
    assert b"[DONE]" not in body and b'"finish_reason":"' not in body


def test_a_stream_that_is_just_closed_does_not_look_complete() -> None:
    """Whoever reads it knows that it broke off."""
    _, decoder = decode([encoded(STREAMS["text and usage"][:3])], PROMPT, COMPAT)
    assert isinstance(decoder.error, StreamInterrupted)


RESPONSES: dict[str, Response] = {
    "text and usage": Response("r", "m", (message(OutputText(text="a")),), "stop", usage=USAGE, native_reason="stop"),
    "everything": Response(
        "r",
        "m",
        (
            thoughts("think", details=(DETAIL,)),
            message(OutputText(text="a", annotations=(NOTE,)), Refusal(refusal="no")),
            function("c", '{"x":1}', opaque=SIGNED),
            CustomToolCall(call_id="d", name="patch", input="***", origin=origin()),
        ),
        "tool_calls",
        native_reason="tool_calls",
    ),
    "stop sequence": Response("r", "m", (), "stop", native_reason="stop", stop_sequence="###"),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_responses_survive_the_way_out_and_back(name: str) -> None:
    """A response that is encoded and decoded again is the same response."""
    body = CODEC.encode_response(RESPONSES[name], PROMPT)
    assert CODEC.decode_response(body, PROMPT, COMPAT) == RESPONSES[name]


@pytest.mark.parametrize(
    ("finish", "word"),
    [("refusal", "content_filter"), ("pause", "stop"), ("unknown", "stop"), ("error", "error"), ("length", "length")],
)
def test_reasons_the_wire_lacks_go_out_as_the_nearest(finish: FinishReason, word: str) -> None:
    """Declared losses: clients of this wire know four words."""
    response = Response("r", "m", (), finish)
    assert json.loads(CODEC.encode_response(response, PROMPT))["choices"][0]["finish_reason"] == word


def test_blank_arguments_go_out_as_an_object_unless_the_call_was_cut() -> None:
    """W-S1-03: clients parse what they get; but a cut call must not look whole."""
    shell = LocalShellCall(call_id="s", action=LocalShellAction(command=("ls",)))
    items = (function("a", ""), function("b", "").model_copy(update={"status": "incomplete"}), shell)
    body = json.loads(CODEC.encode_response(Response("r", "m", items, "length"), PROMPT))
    written = [call["function"]["arguments"] for call in body["choices"][0]["message"]["tool_calls"]]
    assert written == ["{}", "", '{"command":["ls"]}']


PROMPTS: dict[str, Prompt] = {
    "settings": Prompt(
        "u",
        instructions="i",
        model="m",
        max_output_tokens=3,
        sampling=SamplingSettings(temperature=0.5, stop=("x",), seed=1, n=2, logprobs=0),
        reasoning=ReasoningSettings("low"),
        output_schema=OutputSchema({"type": "object"}, "answer"),
        metadata={"a": "b"},
        user="me",
        store=True,
        extra={"logit_bias": {"1": 1}},
    ),
    "tools": Prompt(
        "u",
        model="m",
        tools=[
            ToolSpec("f", "d", {"type": "object"}, strict=False),
            CustomToolSpec("patch", format={"type": "grammar", "syntax": "lark", "definition": "start: /x/"}),
        ],
        tool_choice=NamedTool("patch"),
        parallel_tool_calls=True,
    ),
    "history": Prompt(
        [
            user_message("u", "data:image/png;base64,iVBORw0KGgo="),
            Reasoning(content=("r",)),
            Message(role="assistant", content=(OutputText(text="a"),)),
            FunctionCall(call_id="c1", name="f", arguments='{"x": 1}', opaque=SIGNED),
            CustomToolCall(call_id="c2", name="patch", input="y"),
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "2"},
        ],
        model="m",
    ),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_survive_the_way_out_and_back(name: str) -> None:
    """What one side encodes, the other reads as the same prompt."""
    encoded = CODEC.encode_request(PROMPTS[name], Compat(custom_tools=True))
    decoded = CODEC.decode_request(encoded.body)
    assert (decoded.prompt, decoded.stream, decoded.include_usage) == (PROMPTS[name], True, True)
    assert (encoded.losses, encoded.repairs, decoded.losses) == ((), (), ())
