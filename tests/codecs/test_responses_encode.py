"""What a server of the Responses wire sends: written, and read back as the same events, answers and errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from agent_core.codecs.base import Compat
from agent_core.codecs.grammar import check_events
from agent_core.codecs.responses import CODEC
from agent_core.errors import (
    ApiError,
    AuthenticationError,
    CircuitOpen,
    ContextLengthError,
    InvalidRequestError,
    ModelError,
    OverloadedError,
    RateLimitError,
    StreamInterrupted,
    TransportError,
    TransportTimeout,
)
from agent_core.events import (
    Completed,
    Created,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    RateLimits,
    RateLimitWindow,
    ReasoningContentDelta,
    ReasoningSummaryDelta,
    ReasoningSummaryPartAdded,
    RefusalDelta,
    Response,
    ResponseEvent,
    ToolCallInputDelta,
)
from agent_core.items import (
    Compaction,
    CustomToolCall,
    FunctionCall,
    ImageGenerationCall,
    JsonObject,
    LocalShellAction,
    LocalShellCall,
    Message,
    Origin,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    ToolSearchCall,
    UnknownItem,
    WebSearchCall,
)
from agent_core.prompt import CustomToolSpec, NamedTool, OutputSchema, Prompt, ReasoningSettings, ToolSpec
from tests.recordings import Recording, needs_recordings, streams

from .responses_frames import (
    COMPAT,
    CREATED,
    PROMPT,
    SPENT,
    call_events,
    called,
    decode,
    message_events,
    origin,
    said,
    stopped,
)


def written(events: Sequence[ResponseEvent], prompt: Prompt = PROMPT) -> bytes:
    encoder = CODEC.stream_encoder(prompt)
    return b"".join([*map(encoder.feed, events), encoder.close()])


def frames(body: bytes) -> list[JsonObject]:
    return [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")]


THOUGHT = Reasoning(
    summary=("one", "two"), content=("raw",), encrypted_content="x", origin=origin("rs_1", "reasoning_text")
)
THINKING = Reasoning(status="in_progress", origin=origin("rs_1", "encrypted_content"))
MIXED = Message(
    role="assistant",
    phase="final_answer",
    content=(OutputText(text="ab", annotations=({"type": "url_citation", "url": "u"},)), Refusal(refusal="no")),
    origin=origin("msg_1"),
)
PATCHED = CustomToolCall(call_id="c9", name="patch", input="*** x", origin=origin("ctc_1"))
CUT = stopped(
    finish_reason="length", status="incomplete", native_reason="incomplete", incomplete_reason="max_output_tokens"
)


def only(
    item: ResponseItem, announced: ResponseItem, *between: ResponseEvent, calls: bool = False
) -> list[ResponseEvent]:
    end = stopped(finish_reason="tool_calls" if calls else "stop")
    return [CREATED, OutputItemAdded(0, announced), *between, OutputItemDone(0, item), end]


def announced(item: ResponseItem, **changes: object) -> ResponseItem:
    return item.model_copy(update={"status": "in_progress", **changes})


SHELL = LocalShellCall(call_id="c9", action=LocalShellAction(command=("ls",), env={"A": "b"}), origin=origin("lsh_1"))
SEARCH = WebSearchCall(action={"type": "other"}, status="completed", origin=origin("ws_1"))
IMAGE = ImageGenerationCall(result="QQ==", status="completed", origin=origin("ig_1"))
FOUND = ToolSearchCall(call_id="c9", arguments={"query": "q"}, origin=origin("tsc_1"))
OTHER = UnknownItem(raw={"id": "m_1", "type": "mcp_call", "error": None}, origin=origin("m_1"))
SHORT = Compaction(encrypted_content="x", origin=origin("cmp_1"))

STREAMS: dict[str, list[ResponseEvent]] = {
    "text": [CREATED, *message_events(0, "a", "b"), stopped(usage=SPENT)],
    "nothing": [CREATED, stopped()],
    "length": [
        CREATED,
        *message_events(0, "a")[:-1],
        OutputItemDone(0, said("a", status="incomplete")),
        CUT,
    ],
    "end_turn": [CREATED, stopped(end_turn=False)],
    "two calls, interleaved, then text": [
        CREATED,
        OutputItemAdded(0, called("", status="in_progress")),
        OutputItemAdded(1, called("", "fc_2", "call_2", "in_progress")),
        ToolCallInputDelta(0, "call_1", "{"),
        ToolCallInputDelta(1, "call_2", "{}"),
        ToolCallInputDelta(0, "call_1", "}"),
        OutputItemDone(0, called("{}")),
        OutputItemDone(1, called("{}", "fc_2", "call_2")),
        *message_events(2, "after"),
        stopped(finish_reason="tool_calls"),
    ],
    "T-H17 reasoning of both kinds, then text": [
        CREATED,
        OutputItemAdded(0, THINKING),
        ReasoningSummaryPartAdded(0, 0),
        ReasoningSummaryDelta(0, "one", 0),
        ReasoningSummaryPartAdded(0, 1),
        ReasoningSummaryDelta(0, "t", 1),
        ReasoningSummaryDelta(0, "wo", 1),
        ReasoningContentDelta(0, "raw", 0),
        OutputItemDone(0, THOUGHT),
        *message_events(1, "x"),
        stopped(),
    ],
    "text, refusal, citation, phase": only(
        MIXED,
        announced(MIXED, content=()),
        OutputTextDelta(0, "a"),
        OutputTextDelta(0, "b"),
        RefusalDelta(0, "no", 1),
    ),
    "a custom call": only(PATCHED, announced(PATCHED, input=""), ToolCallInputDelta(0, "c9", "*** x"), calls=True),
    "a call that was cut": [CREATED, *call_events(0, '{"a', status="incomplete"), CUT],
    "local shell": only(SHELL, announced(SHELL), calls=True),
    "tool search": only(FOUND, announced(FOUND), calls=True),
    "web search": only(SEARCH, SEARCH),
    "image": only(IMAGE, announced(IMAGE, result="", status="completed")),
    "an unknown kind": only(OTHER, OTHER),
    "compaction": only(SHORT, SHORT),
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_round_trip(name: str) -> None:
    """Events written as a stream are read back as the same events."""
    events = STREAMS[name]
    check_events(events)
    assert decode([written(events)])[0] == events


@pytest.mark.parametrize("name", STREAMS)
def test_frames_are_complete(name: str) -> None:
    """T-H6, X-S3-12: every frame has its event name and the next sequence number; the last has the whole output."""
    body = written(STREAMS[name])
    told = frames(body)
    names = [line[7:].decode() for line in body.split(b"\n") if line.startswith(b"event: ")]
    assert names == [frame["type"] for frame in told]
    assert [frame["sequence_number"] for frame in told] == list(range(len(told)))
    assert names[:2] == ["response.created", "response.in_progress"]
    whole = told[-1]["response"]
    assert isinstance(whole, dict)
    assert whole["output"] == [frame["item"] for frame in told if frame["type"] == "response.output_item.done"]


def test_text_frames_in_order() -> None:
    """X-S2-08, T-H2: a text has its part, its deltas, its done events and its item, and is not ended before."""
    names = [str(frame["type"]).removeprefix("response.") for frame in frames(written(STREAMS["text"]))]
    assert names == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_tool_only_turn_has_no_message() -> None:
    """X-S3-12, X-S2-08: a turn of calls has no message item, and a call is announced with its id and name."""
    told = frames(written([CREATED, *call_events(0, "{}"), stopped(finish_reason="tool_calls")]))
    opened = [frame["item"] for frame in told if frame["type"] == "response.output_item.added"]
    assert opened == [
        {
            "id": "fc_1",
            "type": "function_call",
            "call_id": "call_1",
            "name": "add",
            "arguments": "",
            "status": "in_progress",
        }
    ]


def test_items_of_other_wires_get_ids() -> None:
    """Events without Responses ids are written with ids made from the response's, and texts without deltas whole."""
    elsewhere = Origin(wire="chat", provider="p", item_id="not-ours")
    message = Message(role="assistant", content=(OutputText(text="a"),), origin=elsewhere)
    call = FunctionCall(call_id="c1", name="add", arguments="{}")
    events: list[ResponseEvent] = [
        Created("resp_9"),
        RateLimits((RateLimitWindow("tokens"),)),
        OutputItemAdded(0, message.model_copy(update={"content": ()})),
        OutputItemDone(0, message),
        OutputItemAdded(1, call.model_copy(update={"arguments": ""})),
        OutputItemDone(1, call),
        Completed("resp_9", finish_reason="tool_calls", usage=SPENT),
    ]
    decoded, _ = decode([written(events)])
    made_message = message.model_copy(update={"origin": origin("msg_9_0", response_id="resp_9")})
    made_call = call.model_copy(update={"origin": origin("fc_9_1", response_id="resp_9")})
    assert decoded == [
        Created("resp_9", "gpt"),
        OutputItemAdded(0, announced(made_message, content=())),
        OutputTextDelta(0, "a"),
        OutputItemDone(0, made_message),
        OutputItemAdded(1, announced(made_call, arguments="")),
        ToolCallInputDelta(1, "c1", "{}"),
        OutputItemDone(1, made_call),
        Completed("resp_9", "gpt", "tool_calls", usage=SPENT, native_reason="completed"),
    ]


def test_refusal_and_text_of_one_index() -> None:
    """Chat counts text and refusal apart; on this wire both are parts of one list."""
    message = Message(role="assistant", content=(OutputText(text="a"), Refusal(refusal="no")), origin=origin("msg_1"))
    events = only(message, announced(message, content=()), OutputTextDelta(0, "a", 0), RefusalDelta(0, "no", 0))
    expected = only(message, announced(message, content=()), OutputTextDelta(0, "a", 0), RefusalDelta(0, "no", 1))
    assert decode([written(events)])[0] == expected


def test_failure_after_text() -> None:
    """X-S3-16, X-S2-08: an error ends the stream as response.failed, with what was done; nothing follows it."""
    encoder = CODEC.stream_encoder(PROMPT)
    body = b"".join(map(encoder.feed, [CREATED, *message_events(0, "a")]))
    body += encoder.fail(RateLimitError("slow down, try again in 3s", retry_after_s=3))
    assert (encoder.feed(stopped()), encoder.fail(ModelError("again")), encoder.close()) == (b"", b"", b"")
    events, decoder = decode([body])
    assert events == [CREATED, *message_events(0, "a")]
    assert type(decoder.error) is RateLimitError
    assert (decoder.error.message, decoder.error.retry_after_s) == ("slow down, try again in 3s", 3)


@pytest.mark.parametrize(
    "error",
    [ContextLengthError("x"), OverloadedError("x"), RateLimitError("x", code="rate_limit_exceeded")],
    ids=lambda error: type(error).__name__,
)
def test_failure_keeps_its_class(error: ApiError) -> None:
    """An error that is the stream's first word means to the reader what it meant to the writer."""
    _, decoder = decode([CODEC.stream_encoder(PROMPT).fail(error)])
    assert type(decoder.error) is type(error)


def test_cut_stream_does_not_look_complete() -> None:
    """A stream closed without an end is read as interrupted."""
    _, decoder = decode([written([CREATED, *message_events(0, "a")])])
    assert type(decoder.error) is StreamInterrupted


def test_writing_is_deterministic() -> None:
    """The same events give the same bytes."""
    assert written(STREAMS["text"]) == written(STREAMS["text"])


# whole answers

ITEMS: tuple[ResponseItem, ...] = (
    THOUGHT, MIXED, called("{}"), PATCHED, SHELL, SEARCH, IMAGE, FOUND, OTHER, SHORT,
)  # fmt: skip

ANSWERS: dict[str, Response] = {
    "text": Response("resp_1", "gpt-x", (said("a"),), "stop", usage=SPENT, native_reason="completed"),
    "every kind of item": Response("resp_1", "gpt-x", ITEMS, "tool_calls", native_reason="completed", end_turn=True),
    "length": Response(
        "resp_1",
        "gpt-x",
        (said("a", status="incomplete"), called('{"a', status="incomplete")),
        "length",
        "incomplete",
        native_reason="incomplete",
        incomplete_reason="max_output_tokens",
    ),
    "content filter": Response(
        "resp_1",
        "gpt-x",
        (),
        "content_filter",
        "incomplete",
        native_reason="incomplete",
        incomplete_reason="content_filter",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_round_trip(name: str) -> None:
    """A response written whole is read back as the same response."""
    response = ANSWERS[name]
    assert CODEC.decode_response(CODEC.encode_response(response, PROMPT), PROMPT, COMPAT) == response


def test_envelope_echoes_the_request() -> None:
    """S2-30: the response object repeats what the request asked for."""
    prompt = Prompt(
        "hi",
        model="gpt",
        instructions="Be brief.",
        tools=[ToolSpec("add"), CustomToolSpec("patch")],
        tool_choice=NamedTool("patch"),
        reasoning=ReasoningSettings(effort="low"),
        output_schema=OutputSchema({"type": "object"}),
        max_output_tokens=5,
        store=False,
    )
    envelope = json.loads(CODEC.encode_response(Response("resp_1"), prompt))
    assert {name: envelope[name] for name in ("model", "instructions", "max_output_tokens", "store", "reasoning")} == {
        "model": "gpt",
        "instructions": "Be brief.",
        "max_output_tokens": 5,
        "store": False,
        "reasoning": {"effort": "low", "summary": None},
    }
    assert envelope["tool_choice"] == {"type": "custom", "name": "patch"}
    assert [tool["name"] for tool in envelope["tools"]] == ["add", "patch"]
    assert envelope["text"]["format"]["type"] == "json_schema"


# errors


@dataclass(frozen=True)
class Answered:
    error: ModelError
    status: int
    kind: str
    code: str


ERRORS: dict[str, Answered] = {
    "X-S0-01 the upstream's status and code": Answered(
        AuthenticationError("bad key", status=401, code="invalid_api_key"),
        401,
        "authentication_error",
        "invalid_api_key",
    ),
    "S0-4 a status that is none": Answered(ApiError("x", status=999), 500, "server_error", "server_error"),
    "no status, by class": Answered(ContextLengthError("x"), 400, "invalid_request_error", "context_length_exceeded"),
    "a code that is a number is none": Answered(
        InvalidRequestError("x", status=422, code="422"), 422, "invalid_request_error", "invalid_prompt"
    ),
    "429": Answered(RateLimitError("x", status=429), 429, "rate_limit_error", "rate_limit_exceeded"),
    "529": Answered(OverloadedError("x", status=529), 529, "server_error", "server_is_overloaded"),
    "held back": Answered(CircuitOpen("x"), 503, "server_error", "server_is_overloaded"),
    "network": Answered(TransportError("x"), 502, "server_error", "server_error"),
    "timeout": Answered(TransportTimeout("x", timeout="idle", after_s=1), 504, "server_error", "server_error"),
    "a cut stream": Answered(StreamInterrupted("x"), 502, "server_error", "server_error"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_written(name: str) -> None:
    """An error answers with the status and the words that clients of this wire sort by."""
    case = ERRORS[name]
    status, headers, body = CODEC.encode_error(case.error)
    assert (status, headers) == (case.status, {"content-type": "application/json"})
    assert json.loads(body) == {
        "error": {"message": case.error.message, "type": case.kind, "param": None, "code": case.code}
    }


def test_errors_keep_wait_and_request_id() -> None:
    """A wait is rounded up to whole seconds; the upstream's request id goes on."""
    _, headers, _ = CODEC.encode_error(RateLimitError("x", status=429, retry_after_s=1.2, request_id="req_1"))
    assert headers == {"content-type": "application/json", "retry-after": "2", "x-request-id": "req_1"}


WHOLE_STREAMS = [one for one in streams("responses") if not one.expected["error"]]


@needs_recordings
@pytest.mark.parametrize("recording", WHOLE_STREAMS, ids=str)
def test_recordings_round_trip(recording: Recording) -> None:
    """A recorded stream, read, written and read again, says the same; its events are legal both times."""
    events, decoder = decode([recording.body])
    _, again = decode([written(events)])
    assert again.error is None
    first, second = decoder.snapshot(), again.snapshot()
    assert (first.text, first.reasoning_text, first.refusal) == (second.text, second.reasoning_text, second.refusal)
    assert (first.finish_reason, first.status, first.usage) == (second.finish_reason, second.status, second.usage)
    assert [strip(item) for item in first.items] == [strip(item) for item in second.items]


def strip(item: ResponseItem) -> ResponseItem:
    """Minus origin (another response id where the recording has none) and the terse statuses that default."""
    changes: dict[str, object] = {"origin": None}
    if isinstance(item, (WebSearchCall, ImageGenerationCall)):
        changes["status"] = None
    return item.model_copy(update=changes)


def test_compat_default_reads_it_too() -> None:
    """What we write needs no profile to be read."""
    decoder = CODEC.stream_decoder(PROMPT, Compat())
    events = decoder.feed(written(STREAMS["two calls, interleaved, then text"]))
    assert isinstance(events[-1], Completed)
