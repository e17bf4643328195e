"""Calls written as text: read where one is due, on every wire, streamed and whole; in doubt they stay text."""

from __future__ import annotations

import json

import pytest

from agent_core.codecs import codec_for
from agent_core.codecs.base import Compat
from agent_core.codecs.grammar import check_events
from agent_core.codecs.schema_check import schema_problems
from agent_core.codecs.text_calls import MAX_CALL_CHARS, text_calls_of
from agent_core.codecs.whole import response_events
from agent_core.events import Completed, FinishReason, OutputTextDelta, Response, ResponseEvent, ResponseStatus
from agent_core.items import (
    FunctionCall,
    JsonObject,
    JsonValue,
    Message,
    OutputText,
    Refusal,
    ResponseItem,
    WireName,
    text_of,
)
from agent_core.prompt import CustomToolSpec, NamedTool, Prompt, ToolChoice, ToolSpec

WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")
WEATHER = ToolSpec(
    "weather",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
)
GREET = ToolSpec("greet", parameters={"type": "object", "properties": {"name": {"type": "string"}}})
FIND = ToolSpec("find", parameters={"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]})
TOOLS = (WEATHER, GREET, FIND)
OSLO = '{"city": "Oslo"}'
WRAPPED = '{"name": "weather", "arguments": {"city": "Oslo"}}'


NOTHING: JsonObject = {}
NO_PROBLEMS: list[str] = []


def asked(choice: ToolChoice, *tools: ToolSpec) -> Prompt:
    return Prompt("go", model="m", tools=tools or TOOLS, tool_choice=choice)


def read(text: str, choice: ToolChoice, *tools: ToolSpec) -> list[tuple[str, JsonObject]] | None:
    """The calls in a text, their arguments parsed; None if it is text."""
    wanted = text_calls_of(asked(choice, *tools), Compat(text_calls="always"))
    found = wanted.read(text) if wanted is not None else None
    return None if found is None else [(name, json.loads(arguments)) for name, arguments in found[1]]


FORCED = NamedTool("weather")


@pytest.mark.parametrize(
    ("text", "choice", "calls"),
    [
        # bare arguments (S3-19), only where a call is due
        (OSLO, FORCED, [("weather", {"city": "Oslo"})]),
        (f"\n```json\n{OSLO}\n```\n", FORCED, [("weather", {"city": "Oslo"})]),
        (f"```JSON\r\n{OSLO}\r\n```", FORCED, [("weather", {"city": "Oslo"})]),
        (f"```\n{OSLO}\n```", FORCED, [("weather", {"city": "Oslo"})]),
        (OSLO, "required", [("weather", {"city": "Oslo"})]),
        (OSLO, "auto", None),
        (f"Here you go: {OSLO}", FORCED, None),
        (f"{OSLO} {OSLO}", FORCED, None),
        # wrappers (S3-22)
        (WRAPPED, FORCED, [("weather", {"city": "Oslo"})]),
        (WRAPPED, "auto", [("weather", {"city": "Oslo"})]),
        ('{"tool": "weather", "input": {"city": "Oslo"}}', "auto", [("weather", {"city": "Oslo"})]),
        (
            '{"type": "function", "function": {"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}}',
            "auto",
            [("weather", {"city": "Oslo"})],
        ),
        ('{"function": "weather", "parameters": {"city": "Oslo"}}', "auto", [("weather", {"city": "Oslo"})]),
        ('{"name": "find", "arguments": {"q": "x"}}', FORCED, None),
        ('{"name": "weather", "arguments": "Oslo"}', "auto", None),
        ('{"name": "weather", "arguments": {"city": "Oslo"}, "note": 1}', "auto", None),
        # X-S3-04: the schema decides first; what it does not know is no call
        ('{"name": "Bob"}', NamedTool("greet"), [("greet", {"name": "Bob"})]),
        ('{"error": "no"}', NamedTool("find"), None),
        ('{"city": 1}', FORCED, None),
        ('{"city": "Oslo", "country": "NO"}', FORCED, None),
        ('{"days": 1}', FORCED, None),
        ("[1]", FORCED, None),
        ('"Oslo"', FORCED, None),
        # X-S3-03, S3-20: one call in Python
        ("```tool_code\nweather(city='Oslo', days=2)\n```", FORCED, [("weather", {"city": "Oslo", "days": 2})]),
        ("print(default_api.weather(city='Oslo'))", FORCED, [("weather", {"city": "Oslo"})]),
        ("```tool_code\nprint(api.find('a'))\n```", "auto", [("find", {"q": "a"})]),
        ("```tool_code\ngreet()\n```", "auto", [("greet", NOTHING)]),
        ("print(default_api.find(q={'a'}))", NamedTool("find"), None),
        ("print(default_api.find(q=b'a'))", NamedTool("find"), None),
        ("print(default_api.find(q=('a',)))", NamedTool("find"), None),
        ("print(default_api.find(q=1j))", NamedTool("find"), None),
        ("print(default_api.find(**{'q': 'a'}))", NamedTool("find"), None),
        ("print(default_api.find(q=open('/etc/passwd')))", NamedTool("find"), None),
        ("```tool_code\nweather('Oslo')\n```", FORCED, None),
        ("```tool_code\nx = weather(city='Oslo')\n```", FORCED, None),
        ("```tool_code\nfind(q='\\d')\n```", "auto", [("find", {"q": "\\d"})]),
        ("weather(city='Oslo')", FORCED, None),
        ("print(" + "(" * 5000, FORCED, None),
        # tags
        (f"<tool_call>\n{WRAPPED}\n</tool_call>", "auto", [("weather", {"city": "Oslo"})]),
        (
            f"<tool_call>{WRAPPED}</tool_call>\n<tool_call>"
            + '{"name": "find", "arguments": {"q": "x"}}</tool_call>\n',
            "auto",
            [("weather", {"city": "Oslo"}), ("find", {"q": "x"})],
        ),
        (
            "<tool_call>\n<function=weather>\n<parameter=city>\n7\n</parameter>\n<parameter=days>\n7\n</parameter>\n"
            "</function>\n</tool_call>",
            "auto",
            [("weather", {"city": "7", "days": 7})],
        ),
        (f"<tool_call>{WRAPPED}</tool_call> Done.", "auto", None),
        (f"<tool_call>{WRAPPED}", "auto", None),
        ("<tool_call><function=weather>Oslo</function></tool_call>", "auto", None),
        ('<tool_call>{"name": "rm", "arguments": {}}</tool_call>', "auto", None),
        (" ", FORCED, None),
    ],
)
def test_what_is_a_call(text: str, choice: ToolChoice, calls: list[tuple[str, JsonObject]] | None) -> None:
    """A call of a tool that the prompt has, whose arguments fit, with nothing around it; all else is text."""
    assert read(text, choice) == calls


def test_text_without_end_is_no_call() -> None:
    """How much is looked at is bounded."""
    long = json.dumps({"city": "x" * MAX_CALL_CHARS})
    assert read(long, FORCED) is None


@pytest.mark.parametrize(
    ("choice", "compat", "looks"),
    [
        (FORCED, Compat(), True),
        ("required", Compat(), True),
        ("auto", Compat(), False),
        ("auto", Compat(text_calls="always"), True),
        ("none", Compat(text_calls="always"), False),
        (FORCED, Compat(text_calls="never"), False),
    ],
)
def test_when_it_is_looked_for(choice: ToolChoice, compat: Compat, looks: bool) -> None:
    """X-S3-02: where a call is forced (any call too), or where the profile says so."""
    assert (text_calls_of(asked(choice), compat) is not None) == looks
    custom = Prompt("go", tools=[CustomToolSpec("c")], tool_choice=NamedTool("c"))
    assert text_calls_of(custom, compat) is None


def answer(*items: ResponseItem, reason: FinishReason = "stop", status: ResponseStatus = "completed") -> Response:
    return Response("r1", "m", items, finish_reason=reason, status=status)


def said(text: str) -> Message:
    return Message(role="assistant", content=(OutputText(text=text),), status="completed")


def decoded(
    wire: WireName, response: Response, prompt: Prompt, compat: Compat
) -> tuple[list[ResponseEvent], Response, Response]:
    """The answer as a server of this wire would send it, read in pieces of 1, 7 and all bytes: events, snapshot, and
    the whole answer read at once."""
    codec = codec_for(wire)
    encoder = codec.stream_encoder(prompt)
    body = b"".join(encoder.feed(event) for event in response_events(response)) + encoder.close()
    runs: list[tuple[list[ResponseEvent], Response]] = []
    for size in (1, 7, len(body)):
        decoder = codec.stream_decoder(prompt, compat)
        events = [e for n in range(0, len(body), size) for e in decoder.feed(body[n : n + size])] + decoder.close()
        check_events(events, decoder.error)
        runs.append((events, decoder.snapshot()))
    assert {len(run[1].items) for run in runs} == {len(runs[0][1].items)}
    return *runs[0], codec.decode_response(codec.encode_response(response, prompt), prompt, compat)


def shown(response: Response) -> list[str]:
    """Items in short: `text: …` and `name(arguments)`."""
    return [
        f"{item.name}({item.arguments})" if isinstance(item, FunctionCall) else f"text: {text_of(item)}"
        for item in response.items
        if isinstance(item, FunctionCall | Message)
    ]


ALWAYS = Compat(text_calls="always")
LOOK = FunctionCall(call_id="c1", name="find", arguments='{"q":"x"}', status="completed")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("response", "choice", "expected", "deltas"),
    [
        (answer(said(OSLO)), FORCED, [f"weather({OSLO})"], ""),
        (answer(said("Sorry, no.")), FORCED, ["text: Sorry, no."], "Sorry, no."),
        (answer(said(WRAPPED)), "auto", [f"weather({OSLO})"], ""),
        (
            answer(said(f"Let me look.\n<tool_call>{WRAPPED}</tool_call>")),
            "auto",
            ["text: Let me look.\n", f"weather({OSLO})"],
            "Let me look.\n",
        ),
        (answer(said("1 < 2 <to be>")), "auto", ["text: 1 < 2 <to be>"], "1 < 2 <to be>"),
        (answer(said("{no call}")), "auto", ["text: {no call}"], "{no call}"),
        (answer(said(OSLO), LOOK, reason="tool_calls"), FORCED, [f"text: {OSLO}", 'find({"q":"x"})'], OSLO),
        (answer(said(OSLO), reason="length", status="incomplete"), FORCED, [f"text: {OSLO}"], OSLO),
    ],
    ids=["forced", "no call", "wrapped", "tag after text", "less than", "braces", "beside a real call", "cut"],
)
def test_streamed_and_whole(
    wire: WireName, response: Response, choice: ToolChoice, expected: list[str], deltas: str
) -> None:
    """X-S3-09: a call comes out as a call alone, its text held back; text comes out whole; streamed as well as not."""
    events, streamed, whole = decoded(wire, response, asked(choice), ALWAYS)
    assert shown(streamed) == expected
    assert shown(whole) == expected
    assert "".join(event.delta for event in events if isinstance(event, OutputTextDelta)) == deltas
    end = events[-1]
    assert isinstance(end, Completed)
    has_calls = any("(" in entry for entry in expected if not entry.startswith("text"))
    assert (end.finish_reason == "tool_calls", whole.finish_reason == "tool_calls") == (has_calls, has_calls)
    call_ids = [call.call_id for call in streamed.tool_calls]
    assert len(set(call_ids)) == len(call_ids)


@pytest.mark.parametrize("wire", WIRES)
def test_text_that_is_no_call_streams_on(wire: WireName) -> None:
    """Where no call is due, text goes on as it comes; only what may begin a call waits."""
    codec = codec_for(wire)
    prompt = asked("auto")
    encoder = codec.stream_encoder(prompt)
    decoder = codec.stream_decoder(prompt, ALWAYS)
    events = list(response_events(answer(said("Hello, <tool"))))
    out = [e for event in events[:-2] for e in decoder.feed(encoder.feed(event))]
    assert "".join(e.delta for e in out if isinstance(e, OutputTextDelta)) == "Hello, "


def test_a_refusal_and_a_broken_stream_let_go() -> None:
    """What was held back is given out when the answer takes another turn or breaks off."""
    codec = codec_for("responses")
    prompt = asked(FORCED)
    refused = Message(role="assistant", content=(OutputText(text="{"), Refusal(refusal="No.")), status="completed")
    _, streamed, _ = decoded("responses", answer(refused), prompt, Compat())
    assert streamed.refusal == "No."
    encoder = codec.stream_encoder(prompt)
    decoder = codec.stream_decoder(prompt, Compat())
    body = b"".join(encoder.feed(event) for event in list(response_events(answer(said(OSLO))))[:-2])
    events = decoder.feed(body) + decoder.close()
    check_events(events, decoder.error)
    assert "".join(e.delta for e in events if isinstance(e, OutputTextDelta)) == OSLO


@pytest.mark.parametrize(
    ("schema", "value", "problems"),
    [
        ({"type": "object", "required": ["a"]}, {"a": 1}, NO_PROBLEMS),
        ({"type": "object", "required": ["a"]}, NOTHING, ["'a' is a required property"]),
        ({"properties": {"a": {"type": "integer"}}}, {"a": "x"}, ["$.a: 'x' is not of type 'integer'"]),
        ({"type": "nonsense"}, NOTHING, ["the schema cannot be used: UnknownType"]),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, NOTHING, ["the schema cannot be used: _WrappedReferencingError"]),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, "x", NO_PROBLEMS),
    ],
)
def test_schemas_are_checked_and_never_fetched(schema: JsonObject, value: JsonValue, problems: list[str]) -> None:
    """What is wrong is said per place; a schema that is none, or stands elsewhere, is a problem, not an exception."""
    assert schema_problems(schema, value) == problems
