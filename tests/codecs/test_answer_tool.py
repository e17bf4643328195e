"""Structured output by a forced tool: the same text, events and reason to stop on every wire."""

from __future__ import annotations

import json

import pytest

from agent_core.codecs import codec_for
from agent_core.codecs.base import Compat, WireCodec
from agent_core.codecs.grammar import check_events
from agent_core.errors import InvalidPromptError, StreamInterrupted, UnsupportedError
from agent_core.events import Completed, OutputItemDone, OutputTextDelta, Response, ResponseEvent
from agent_core.items import FunctionCall, JsonObject, Message, WireName
from agent_core.prompt import NamedTool, OutputSchema, Prompt, ReasoningSettings, ToolSpec

from . import chat_chunks as chat
from . import messages_frames as messages
from . import responses_frames as responses

CITY = OutputSchema({"type": "object", "properties": {"name": {"type": "string"}}}, name="city")
PROMPT = Prompt("where?", model="m", output_schema=CITY)
TOOL = Compat(provider="acme", output_schema="tool")
OTHER = ToolSpec("look")
WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")


def _responses(*calls: tuple[str, tuple[str, ...]], end: str = "completed") -> bytes:
    out: list[JsonObject] = [responses.created()]
    for n, (name, pieces) in enumerate(calls):
        head: JsonObject = {"name": name, "item_id": f"fc_{n}", "call_id": f"c{n}"}
        out.append(responses.added(n, responses.call("", f"fc_{n}", f"c{n}", name=name)))
        out += (responses.arguments(n, piece, f"fc_{n}") for piece in pieces)
        out.append(responses.done(n, responses.call("".join(pieces), f"fc_{n}", f"c{n}", name=str(head["name"]))))
    return responses.sse(*out, *([responses.ended(end)] if end else []))


def _chat(*calls: tuple[str, tuple[str, ...]], end: str = "tool_calls") -> bytes:
    out: list[JsonObject] = []
    for n, (name, pieces) in enumerate(calls):
        out.append(chat.call(n, f"c{n}", name, ""))
        out += (chat.call(n, args=piece) for piece in pieces)
    return chat.sse(*out, chat.finish(end), chat.DONE) if end else chat.sse(*out)


def _messages(*calls: tuple[str, tuple[str, ...]], end: str = "tool_use") -> bytes:
    out: list[JsonObject] = [messages.start()]
    for n, (name, pieces) in enumerate(calls):
        out.append(messages.tool_block(n, f"c{n}", name))
        out += (messages.arguments(n, piece) for piece in pieces)
        out.append(messages.stop_block(n))
    return messages.sse(*out, *(messages.end(end) if end else []))


STREAMS = {"chat": _chat, "responses": _responses, "messages": _messages}
CUT: dict[WireName, str] = {"chat": "length", "responses": "incomplete", "messages": "max_tokens"}


def codec(wire: WireName) -> WireCodec:
    return codec_for(wire)


def events_of(wire: WireName, body: bytes, prompt: Prompt = PROMPT) -> tuple[list[ResponseEvent], Response]:
    """All events, the same whole and byte by byte, legal by the grammar; and what the decoder holds in the end."""
    found: list[tuple[list[ResponseEvent], Response]] = []
    for pieces in ([body], [body[n : n + 1] for n in range(len(body))]):
        decoder = codec(wire).stream_decoder(prompt, TOOL)
        events = [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()
        check_events(events, decoder.error)
        assert decoder.done and decoder.error is None
        found.append((events, decoder.snapshot()))
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize("wire", WIRES)
def test_the_call_is_the_answer(wire: WireName) -> None:
    """Its arguments are streamed as text, one message is done, and the model stopped: there is nothing to run."""
    events, response = events_of(wire, STREAMS[wire](("city", ('{"name":', '"Oslo"}'))))
    deltas = [(event.index, event.delta) for event in events if isinstance(event, OutputTextDelta)]
    [done] = [event.item for event in events if isinstance(event, OutputItemDone)]
    assert deltas == [(0, '{"name":'), (0, '"Oslo"}')]
    assert isinstance(done, Message) and done.status == "completed"
    assert done.origin is not None and not done.origin.item_id
    assert (response.text, response.tool_calls, response.finish_reason) == ('{"name":"Oslo"}', (), "stop")
    assert [event.finish_reason for event in events if isinstance(event, Completed)] == ["stop"]


@pytest.mark.parametrize("wire", WIRES)
def test_other_calls_stay_calls(wire: WireName) -> None:
    """A call beside the answer still has to be run."""
    body = STREAMS[wire](("look", ("{}",)), ("city", ('{"name":"Oslo"}',)))
    _, response = events_of(wire, body, Prompt("x", model="m", output_schema=CITY, tools=[OTHER]))
    assert [type(item) for item in response.items] == [FunctionCall, Message]
    assert (response.text, response.finish_reason) == ('{"name":"Oslo"}', "tool_calls")


@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_that_was_cut_is_incomplete(wire: WireName) -> None:
    """The token limit cuts the answer as it cuts text: the reason says so, and the message is marked."""
    _, response = events_of(wire, STREAMS[wire](("city", ('{"name":"Os',)), end=CUT[wire]))
    [item] = response.items
    assert isinstance(item, Message) and item.status == "incomplete"
    assert (response.text, response.status) == ('{"name":"Os', "incomplete")


@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_that_broke_off_is_in_the_error(wire: WireName) -> None:
    """What came is kept with the error, as text."""
    decoder = codec(wire).stream_decoder(PROMPT, TOOL)
    decoder.feed(STREAMS[wire](("city", ('{"name":"Os',)), end=""))
    decoder.close()
    assert isinstance(decoder.error, StreamInterrupted)
    assert decoder.error.partial is not None and decoder.error.partial.text == '{"name":"Os'


@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_without_arguments_is_an_empty_object(wire: WireName) -> None:
    """Blank arguments mean `{}`, as text too."""
    events, response = events_of(wire, STREAMS[wire](("city", ())))
    assert "".join(event.delta for event in events if isinstance(event, OutputTextDelta)) == response.text == "{}"


WHOLE: dict[WireName, JsonObject] = {
    "chat": {
        "choices": [
            {
                "message": {
                    "role": "assistant",
                    "tool_calls": [{"id": "c", "function": {"name": "city", "arguments": '{"name":"Oslo"}'}}],
                },
                "finish_reason": "tool_calls",
            }
        ]
    },
    "responses": {
        "id": "r",
        "object": "response",
        "status": "completed",
        "output": [{"type": "function_call", "call_id": "c", "name": "city", "arguments": '{"name":"Oslo"}'}],
    },
    "messages": {
        "id": "m",
        "content": [{"type": "tool_use", "id": "c", "name": "city", "input": {"name": "Oslo"}}],
        "stop_reason": "tool_use",
    },
}


@pytest.mark.parametrize("wire", WIRES)
def test_a_whole_answer_is_turned_too(wire: WireName) -> None:
    """Streamed or not makes no difference."""
    response = codec(wire).decode_response(json.dumps(WHOLE[wire]).encode(), PROMPT, TOOL)
    assert (response.text, response.tool_calls, response.finish_reason) == ('{"name":"Oslo"}', (), "stop")


# what is sent

FORCED: dict[WireName, JsonObject] = {
    "chat": {"type": "function", "function": {"name": "city"}},
    "responses": {"type": "function", "name": "city"},
    "messages": {"type": "tool", "name": "city", "disable_parallel_tool_use": True},
}
ANY: dict[WireName, object] = {"chat": "required", "responses": "required", "messages": {"type": "any"}}


def sent(wire: WireName, prompt: Prompt, compat: Compat = TOOL) -> JsonObject:
    body: JsonObject = json.loads(codec(wire).encode_request(prompt, compat).body)
    return body


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("prompt", "forced"),
    [
        (PROMPT, True),
        (Prompt("x", output_schema=CITY, tools=[OTHER]), False),
        (Prompt("x", output_schema=CITY, tools=[OTHER], tool_choice="none"), True),
    ],
)
def test_the_tool_is_forced(wire: WireName, prompt: Prompt, forced: bool) -> None:
    """Alone, or where no other is wanted, it must be called; beside others, one of them."""
    body = sent(wire, prompt)
    assert body["tool_choice"] == (FORCED[wire] if forced else ANY[wire])
    assert "city" in json.dumps(body["tools"])
    assert not {"response_format", "text", "output_config"} & set(body)


@pytest.mark.parametrize("wire", WIRES)
def test_the_tool_a_prompt_names_comes_first(wire: WireName) -> None:
    """Who forces a tool wants it now; the answer is for a later step."""
    prompt = Prompt("x", output_schema=CITY, tools=[OTHER], tool_choice=NamedTool("look"))
    assert "look" in json.dumps(sent(wire, prompt)["tool_choice"])


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("schema", "tools", "said"),
    [
        (CITY, [ToolSpec("city")], "the output schema and a tool are both called 'city'"),
        (OutputSchema({"type": "array"}, "list"), [], "the output schema 'list' is of type 'array'"),
    ],
)
def test_schemas_that_cannot_be_tools(wire: WireName, schema: OutputSchema, tools: list[ToolSpec], said: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidPromptError, match=said):
        sent(wire, Prompt("x", output_schema=schema, tools=tools))


NO_CHOICE = Compat(output_schema="tool", named_choice=False, required_choice="auto")
THINKING = Compat(
    provider="deepseek",
    output_schema="json_schema",
    schema_beside_tools=False,
    choice_beside_reasoning=False,
    reasons_by_default=True,
    reasoning_request="thinking_type",
)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("compat", [Compat(output_schema="none"), NO_CHOICE, THINKING])
def test_a_prompt_that_insists_is_refused_where_nothing_holds_the_model(wire: WireName, compat: Compat) -> None:
    """A hard loss; without `strict` the schema is said in the instructions, and that is reported."""
    with pytest.raises(UnsupportedError, match="cannot be held to the output schema 'city'") as caught:
        sent(wire, Prompt("x", output_schema=CITY, tools=[OTHER]), compat)
    assert "strict=False" in caught.value.remedy
    loose = OutputSchema(CITY.schema, CITY.name, strict=False)
    encoded = codec(wire).encode_request(Prompt("x", output_schema=loose, tools=[OTHER]), compat)
    assert b"Answer with one JSON object of this schema" in encoded.body
    assert "output_schema" in [loss.feature for loss in encoded.losses]


def test_schemas_beside_tools_become_one_where_they_are_refused() -> None:
    """Groq, Fireworks and DeepSeek take either tools or a schema (providers.md 3d); DeepSeek v4 forces no tool while it
    thinks, so there it also needs thinking to be off."""
    off = ReasoningSettings("none")
    both = sent("chat", Prompt("x", output_schema=CITY, tools=[OTHER], reasoning=off), THINKING)
    alone = sent("chat", PROMPT, THINKING)
    assert (both["tool_choice"], "response_format" in both) == ("required", False)
    assert ("tools" in alone, "response_format" in alone) == (False, True)
