"""A request of one wire said on another, as a gateway does it: read to a prompt, written for the server behind.

Rows carry the ids of behaviours.md 6.G (Messages → Chat), 6.H (Responses → Chat) and 6.M (both ways between Chat and
Messages). Members that only the first wire knows stay behind, as whoever relays has to see to (`Prompt.extra`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import pytest

from agent_core.codecs import WIRES, codec_for
from agent_core.codecs.base import Compat
from agent_core.errors import InvalidRequestError
from agent_core.items import JsonObject, JsonValue, WireName
from agent_core.prompt import NamedTool, Prompt, ToolChoice, ToolSpec
from agent_core.testing import assert_valid_request

ADD: JsonObject = {"name": "add", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}
CHAT_ADD: JsonObject = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}
HI: JsonObject = {"role": "user", "content": "hi"}
PNG: JsonObject = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
MARK: JsonObject = {"cache_control": {"type": "ephemeral"}}


def relayed(source: WireName, body: JsonObject, target: WireName, compat: Compat) -> tuple[JsonObject, set[str]]:
    """The body the server behind gets, which it takes, and the names of all that was lost on the way."""
    read = codec_for(source).decode_request(json.dumps({"model": "m", **body}).encode())
    prompt = replace(read.prompt, extra={})
    written = codec_for(target).encode_request(prompt, compat, stream=read.stream)
    assert_valid_request(target, written.body, compat=compat)
    found: JsonObject = json.loads(written.body)
    return found, {loss.feature for loss in (*read.losses, *written.losses)}


def call(call_id: str, **arguments: JsonValue) -> JsonObject:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": "add", "arguments": json.dumps(arguments, separators=(",", ":"))},
    }


def use(call_id: str, **arguments: JsonValue) -> JsonObject:
    return {"type": "tool_use", "id": call_id, "name": "add", "input": dict(arguments)}


def text(said: str, **members: JsonValue) -> JsonObject:
    return {"type": "text", "text": said, **members}


@dataclass(frozen=True)
class Row:
    """`body` is what comes in, with `messages` of one "hi" if it has none; `expected` are members of what goes out."""

    body: JsonObject
    expected: JsonObject
    lost: set[str] = field(default_factory=set[str])
    compat: Compat = field(default_factory=Compat)
    absent: tuple[str, ...] = ()


CALLED: list[JsonValue] = [
    HI,
    {"role": "assistant", "content": [text("On it."), use("c1", a=1)]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "2"}]},
]
CHAT_CALLED: list[JsonValue] = [
    HI,
    {"role": "assistant", "content": "On it.", "tool_calls": [call("c1", a=1)]},
    {"role": "tool", "tool_call_id": "c1", "content": "2"},
]
MARKED: JsonObject = {
    "system": [text("s", **MARK)],
    "tools": [{**ADD, **MARK}],
    "messages": [
        {"role": "user", "content": [text("u", **MARK)]},
        {"role": "assistant", "content": [text("a", **MARK), use("c1")]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "r", **MARK}]},
    ],
}
UNMARKED: JsonObject = {
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a", "tool_calls": [call("c1")]},
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
    ],
    "tools": [CHAT_ADD],
}

TO_CHAT: dict[str, Row] = {
    "T-G1 system and user are two messages": Row(
        {"system": "s"}, {"messages": [{"role": "system", "content": "s"}, HI]}
    ),
    "T-M16 system blocks are joined": Row(
        {"system": [text("a"), text("b")]}, {"messages": [{"role": "system", "content": "a\n\nb"}, HI]}
    ),
    "T-G2 text and call are one message, its result another": Row({"messages": CALLED}, {"messages": CHAT_CALLED}),
    "T-G3 two results and text: tool, tool, user": Row(
        {
            "messages": [
                HI,
                {"role": "assistant", "content": [use("c1"), use("c2")]},
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "c1", "content": "1"},
                        {"type": "tool_result", "tool_use_id": "c2", "content": "2"},
                        text("and?"),
                    ],
                },
            ]
        },
        {
            "messages": [
                HI,
                {"role": "assistant", "content": None, "tool_calls": [call("c1"), call("c2")]},
                {"role": "tool", "tool_call_id": "c1", "content": "1"},
                {"role": "tool", "tool_call_id": "c2", "content": "2"},
                {"role": "user", "content": "and?"},
            ]
        },
    ),
    "T-G4 a failed result in blocks is its text, and says that it failed (S0-30)": Row(
        {
            "messages": [
                HI,
                {"role": "assistant", "content": [use("c1")]},
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "c1", "content": [text("boom")], "is_error": True}
                    ],
                },
            ]
        },
        {
            "messages": [
                HI,
                {"role": "assistant", "content": None, "tool_calls": [call("c1")]},
                {"role": "tool", "tool_call_id": "c1", "content": "Error: boom"},
            ]
        },
    ),
    "T-G5 images after text, by data and by URL": Row(
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        text("look"),
                        {"type": "image", "source": PNG},
                        {"type": "image", "source": {"type": "url", "url": "https://e.example/a.png"}},
                    ],
                }
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        text("look"),
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                        {"type": "image_url", "image_url": {"url": "https://e.example/a.png"}},
                    ],
                }
            ]
        },
    ),
    "T-G6 sampling, stops and the cap": Row(
        {"temperature": 0.5, "top_p": 0.9, "stop_sequences": ["x"], "max_tokens": 7},
        {"temperature": 0.5, "top_p": 0.9, "stop": ["x"], "max_tokens": 7},
    ),
    "T-G7 auto goes without saying": Row(
        {"tools": [ADD], "tool_choice": {"type": "auto"}}, {"tools": [CHAT_ADD]}, absent=("tool_choice",)
    ),
    "T-G7 any is required": Row({"tools": [ADD], "tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
    "T-G7 a named tool": Row(
        {"tools": [ADD], "tool_choice": {"type": "tool", "name": "add"}},
        {"tool_choice": {"type": "function", "function": {"name": "add"}}},
    ),
    "T-M16 none and one call at a time are not lost (S2-26)": Row(
        {"tools": [ADD], "tool_choice": {"type": "none", "disable_parallel_tool_use": True}},
        {"tool_choice": "none", "parallel_tool_calls": False},
    ),
    "T-G8 unknown members and blocks are left out": Row(
        {"martian": 1, "messages": [{"role": "user", "content": [{"type": "hologram"}, text("hi")]}]},
        {"messages": [HI]},
        {"content"},
        absent=("martian",),
    ),
    "T-G9 top_k where the server knows it": Row({"top_k": 4}, {"top_k": 4}, compat=Compat(top_k=True)),
    "T-G9 top_k where it does not": Row({"top_k": 4}, {}, {"top_k"}, absent=("top_k",)),
    "T-G10 a budget of 4096 is a medium effort": Row(
        {"thinking": {"type": "enabled", "budget_tokens": 4096}},
        {"reasoning_effort": "medium"},
        {"reasoning_budget"},
    ),
    "T-G10 no thinking, no effort": Row({}, {}, absent=("reasoning_effort",)),
    "T-G11 flex is kept": Row({"service_tier": "flex"}, {"service_tier": "flex"}),
    "T-G11 standard_only is Chat's default": Row({"service_tier": "standard_only"}, {"service_tier": "default"}),
    "T-G11 auto, which says nothing, and absent": Row({"service_tier": "auto"}, {}, absent=("service_tier",)),
    "T-G22 markers, disabled: none anywhere, strings stay strings": Row(MARKED, UNMARKED, {"cache_control"}),
    "T-G22 markers, enabled: where the rule has them": Row(
        MARKED,
        {
            "messages": [
                {"role": "system", "content": [text("s", **MARK)]},
                {"role": "user", "content": [text("u", **MARK)]},
                {"role": "assistant", "content": "a", "tool_calls": [call("c1")]},
                {"role": "tool", "tool_call_id": "c1", "content": [text("r", **MARK)]},
            ],
            "tools": [{**CHAT_ADD, **MARK}],
        },
        {"cache_control"},
        Compat(cache_control=True),
    ),
    "T-G22 an explicit null is no marker": Row(
        {"messages": [{"role": "user", "content": [text("hi", cache_control=None)]}]}, {"messages": [HI]}
    ),
    "T-G22 unmarked blocks are a string": Row(
        {"messages": [{"role": "user", "content": [text("hi")]}]}, {"messages": [HI]}
    ),
    "T-G23 a system message inside stays in place": Row(
        {"messages": [HI, {"role": "system", "content": "now"}]},
        {"messages": [HI, {"role": "system", "content": "now"}]},
    ),
    "T-M16 a stream asks for usage": Row({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    "T-M16 more than four stops": Row(
        {"stop_sequences": ["a", "b", "c", "d", "e"]}, {"stop": ["a", "b", "c", "d"]}, {"stop"}
    ),
    "T-M16 a document leaves its name": Row(
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        text("read"),
                        {"type": "document", "title": "a.pdf", "source": {"type": "url", "url": "https://e.example/a"}},
                    ],
                }
            ]
        },
        {"messages": [{"role": "user", "content": "read[file not included: a.pdf]"}]},
        {"files"},
    ),
    "T-M16 thinking without a signature is nobody's to check": Row(
        {
            "messages": [
                HI,
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, use("c1")]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "2"}]},
            ]
        },
        {
            "messages": [
                HI,
                {"role": "assistant", "content": None, "tool_calls": [call("c1")]},
                {"role": "tool", "tool_call_id": "c1", "content": "2"},
            ]
        },
    ),
    "T-M16 the user's id": Row({"metadata": {"user_id": "u"}}, {"user": "u"}),
}


@pytest.mark.parametrize("name", TO_CHAT)
def test_messages_to_chat(name: str) -> None:
    """What Anthropic's clients send, for a Chat server."""
    row = TO_CHAT[name]
    body, lost = relayed("messages", {"max_tokens": 9, "messages": [HI], **row.body}, "chat", row.compat)
    assert {name: body.get(name) for name in row.expected} == row.expected
    assert (lost, [name for name in row.absent if name in body]) == (row.lost, [])


def test_t_g23_a_developer_is_no_role_of_messages() -> None:
    """T-G23: role developer → bad request naming it."""
    with pytest.raises(InvalidRequestError, match="'developer'") as caught:
        relayed("messages", {"messages": [{"role": "developer", "content": "x"}]}, "chat", Compat())
    assert caught.value.param == "messages.0.role"


THREE: list[JsonValue] = [
    {"role": "user", "content": [text("hi")]},
    {"role": "assistant", "content": [use("c1", a=1)]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "2"}]},
]
TO_MESSAGES: dict[str, Row] = {
    "T-M1 basic": Row({}, {"messages": THREE[:1], "model": "m", "stream": False}),
    "T-M2 system": Row({"messages": [{"role": "system", "content": "s"}, HI]}, {"system": "s", "messages": THREE[:1]}),
    "T-M3 developer": Row({"messages": [{"role": "developer", "content": "s"}, HI]}, {"system": "s"}),
    "T-M4 X-S0-04 W-S0-04 no cap: one of ours, not an error": Row({}, {"max_tokens": 8192}),
    "T-M5 max_completion_tokens": Row({"max_completion_tokens": 7}, {"max_tokens": 7}),
    "T-M6 call and result are three messages": Row(
        {
            "messages": [
                HI,
                {"role": "assistant", "content": None, "tool_calls": [call("c1", a=1)]},
                {"role": "tool", "tool_call_id": "c1", "content": "2"},
            ]
        },
        {"messages": THREE},
    ),
    "T-M7 what has no place is named": Row(
        {"presence_penalty": 1, "frequency_penalty": 1, "n": 2, "seed": 3, "logprobs": True},
        {},
        {"presence_penalty", "frequency_penalty", "n", "seed", "logprobs"},
    ),
    "T-M8 stops": Row({"stop": "x"}, {"stop_sequences": ["x"]}),
    "T-M9 the user": Row({"user": "u"}, {"metadata": {"user_id": "u"}}),
    "T-M10 one call at a time": Row(
        {"tools": [CHAT_ADD], "parallel_tool_calls": False},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    "T-M11 images": Row(
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                        {"type": "image_url", "image_url": {"url": "https://e.example/a.png"}},
                    ],
                }
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "source": PNG},
                        {"type": "image", "source": {"type": "url", "url": "https://e.example/a.png"}},
                    ],
                }
            ]
        },
    ),
}


@pytest.mark.parametrize("name", TO_MESSAGES)
def test_chat_to_messages(name: str) -> None:
    """What OpenAI's clients send, for a Messages server."""
    row = TO_MESSAGES[name]
    compat = Compat(reasoning_request="budget")
    body, lost = relayed("chat", {"messages": [HI], **row.body}, "messages", compat)
    assert ({name: body.get(name) for name in row.expected}, lost) == (row.expected, row.lost)


FROM_RESPONSES: dict[str, Row] = {
    "T-H22 a string is one user message": Row({"input": "hi"}, {"messages": [HI]}),
    "T-H23 X-S3-11 user, call and output; reasoning ignored": Row(
        {
            "input": [
                {"role": "user", "content": "hi"},
                {"type": "reasoning", "summary": []},
                {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a":1}'},
                {"type": "function_call_output", "call_id": "c1", "output": "2"},
            ]
        },
        {
            "messages": [
                HI,
                {"role": "assistant", "content": None, "tool_calls": [call("c1", a=1)]},
                {"role": "tool", "tool_call_id": "c1", "content": "2"},
            ]
        },
    ),
    "T-H24 instructions, temperature and cap": Row(
        {"input": "hi", "instructions": "s", "temperature": 0.5, "max_output_tokens": 7},
        {"messages": [{"role": "system", "content": "s"}, HI], "temperature": 0.5, "max_tokens": 7},
    ),
    "T-H25 effort none": Row({"input": "hi", "reasoning": {"effort": "none"}}, {"reasoning_effort": "none"}),
    "T-H26 a schema": Row(
        {
            "input": "hi",
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}},
            }
        },
    ),
    "T-H27 a stream asks for usage": Row(
        {"input": "hi", "stream": True}, {"stream": True, "stream_options": {"include_usage": True}}
    ),
    "T-H27 no stream, no options": Row({"input": "hi"}, {}, absent=("stream_options",)),
}


@pytest.mark.parametrize("name", FROM_RESPONSES)
def test_responses_to_chat(name: str) -> None:
    """What clients of the Responses API send, for a Chat server."""
    row = FROM_RESPONSES[name]
    body, lost = relayed("responses", row.body, "chat", row.compat)
    assert {name: body.get(name) for name in row.expected} == row.expected
    assert (lost, [name for name in row.absent if name in body]) == (row.lost, [])


TOOLS = (
    ToolSpec("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer", "enum": [1], "default": 1}}}),
    ToolSpec("bare", parameters={"type": "object", "properties": {}}),
)
CHOICES: tuple[ToolChoice, ...] = ("auto", "none", "required", NamedTool("add"))


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("wire", WIRES)
def test_tools_and_the_choice_among_them(wire: WireName, choice: ToolChoice) -> None:
    """T-N1, T-N2: both ways on every wire, in their order, with what belongs to them."""
    prompt = Prompt("hi", model="m", tools=TOOLS, tool_choice=choice, parallel_tool_calls=False)
    read = codec_for(wire).decode_request(codec_for(wire).encode_request(prompt, Compat()).body).prompt
    assert [(spec.name, spec.description, spec.parameters) for spec in read.tools if isinstance(spec, ToolSpec)] == [
        (spec.name, spec.description, spec.parameters) for spec in TOOLS
    ]
    assert read.tool_choice == choice
    assert read.parallel_tool_calls is (None if (wire, choice) == ("messages", "none") else False)
