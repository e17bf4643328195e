"""Streams put into the shape of another wire, step by step: what goes out for each thing that comes in.

Rows carry the ids of behaviours.md: 6.E (what S2's own tests say), 6.H, 6.J, 6.K, 6.L, and the scenarios of 6.R that
are a codec's. Where a line of the reference is a weakness, the row holds what is right instead, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from agent_core.codecs import reframe
from agent_core.items import JsonObject, JsonValue, WireName
from agent_core.prompt import Prompt, ToolSpec

from . import messages_frames as m
from . import responses_frames as r
from .chat_chunks import DONE, call, call_element, delta, finish, text, usage
from .chat_chunks import sse as chat_sse
from .told import told

ROLE: JsonObject = {**delta({"role": "assistant", "content": ""}), "id": "chatcmpl-1", "model": "m"}
NULL: JsonObject = {"choices": []}
BUSY: JsonObject = {"error": {"type": "overloaded_error", "message": "busy", "code": 529}}
EOF: JsonObject = {"eof": True}
"""Not a frame: the body ends here."""


def rc(value: JsonValue) -> JsonObject:
    return delta({"reasoning_content": value})


def end(*words: str) -> list[str]:
    """What the end of a Messages stream tells, after these words."""
    return [*words, "stop"]


@dataclass(frozen=True)
class Row:
    """Each step is a frame of the source and what it makes the target tell; the target is Messages if nothing is said.
    A Chat body that does not end otherwise ends with `[DONE]`, and what that tells is `last`."""

    steps: Sequence[tuple[JsonObject | bytes, list[str]]]
    last: list[str] = field(default_factory=list[str])
    source: WireName = "chat"
    target: WireName = "messages"
    usage: bool = False
    prompt: Prompt = field(default_factory=Prompt)


def check(row: Row) -> None:
    reframer = reframe(row.source, row.target, row.prompt, include_usage=row.usage)
    steps = [*row.steps]
    if steps[-1][0] is not EOF:
        steps.append((DONE if row.source == "chat" else EOF, row.last))
    for step, words in steps:
        if step is EOF:
            written = reframer.close()
        elif isinstance(step, bytes):
            written = reframer.feed(step)
        else:
            written = reframer.feed({"chat": chat_sse, "messages": m.sse, "responses": r.sse}[row.source](step))
        assert told(row.target, written) == words, step
    assert reframer.done
    assert (reframer.feed(b"data: {}\n\n"), reframer.close()) == (b"", b"")


TO_MESSAGES: dict[str, Row] = {
    "T-E1 T-J2 T-J12 T-J24 text, and usage that comes after the finish": Row(
        [
            (ROLE, ["start"]),
            (text("Hel"), ["+0 text", "0:Hel"]),
            (text("lo"), ["0:lo"]),
            (finish(), []),
            (usage(5, 2), []),
        ],
        end("-0", "end end_turn 5/2"),
    ),
    "T-E2 T-J6 T-J7 a call, piece by piece": Row(
        [
            (ROLE, ["start"]),
            (call(0, "tu_1", "get_weather", ""), ["+0 tool_use tu_1 get_weather"]),
            (call(0, args='{"city":'), ['0:{"city":']),
            (call(0, args='"SF"}'), ['0:"SF"}']),
            (finish("tool_calls"), []),
        ],
        end("-0", "end tool_use 0/0"),
    ),
    "T-E3 T-J8 text, then a call": Row(
        [
            (text("ok "), ["start", "+0 text", "0:ok "]),
            (call(0, "t1", "f", "{}"), ["-0", "+1 tool_use t1 f", "1:{}"]),
            (finish("tool_calls"), []),
        ],
        end("-1", "end tool_use 0/0"),
    ),
    "T-E4 two calls, one after the other, each as it comes": Row(
        [
            (call(0, "t1", "a", "{}"), ["start", "+0 tool_use t1 a", "0:{}"]),
            (call(1, "t2", "b", "{}"), ["-0", "+1 tool_use t2 b", "1:{}"]),
            (finish("tool_calls"), []),
        ],
        end("-1", "end tool_use 0/0"),
    ),
    "T-E5 a call without arguments": Row(
        [(call(0, "t1", "noargs", ""), ["start", "+0 tool_use t1 noargs"]), (finish("tool_calls"), [])],
        end("-0", "end tool_use 0/0"),
    ),
    "T-E6 X-S2-01 an error is the last word, with its type": Row(
        [
            (text("partial"), ["start", "+0 text", "0:partial"]),
            (BUSY, ["error overloaded_error: busy"]),
            (text("x"), []),
            (EOF, []),
        ]
    ),
    "X-S2-01 an error before anything else, and nothing but it": Row(
        [({"error": "boom"}, ["error api_error: boom"]), (text("x"), []), (EOF, [])]
    ),
    "X-S2-01 a rate limit is one": Row(
        [({"error": {"message": "slow", "code": "rate_limit_exceeded"}}, ["error rate_limit_error: slow"]), (EOF, [])]
    ),
    "T-E7 T-J18 thinking, then text, without waiting for the end": Row(
        [
            (rc("think "), ["start", "+0 thinking", "0:think "]),
            (rc("more"), ["0:more"]),
            (text("answer"), ["-0", "+1 text", "1:answer"]),
            (finish(), []),
        ],
        end("-1", "end end_turn 0/0"),
    ),
    "T-J19 thinking and nothing else": Row(
        [(rc("Thinking..."), ["start", "+0 thinking", "0:Thinking..."]), (finish(), [])],
        end("-0", "end end_turn 0/0"),
    ),
    "T-E8 a stop sequence that was met": Row(
        [(text("one two"), ["start", "+0 text", "0:one two"]), (finish(stop_reason="three"), [])],
        end("-0", "end stop_sequence 'three' 0/0"),
    ),
    "T-J3 T-J4 the end comes once, when all is known": Row(
        [(text("Hi"), ["start", "+0 text", "0:Hi"]), (finish(), []), (EOF, end("-0", "end end_turn 0/0"))]
    ),
    "T-J5 usage before the finish": Row(
        [(text("Hi"), ["start", "+0 text", "0:Hi"]), (usage(10, 5), []), (finish(), [])],
        end("-0", "end end_turn 10/5"),
    ),
    "X-S0-26 usage after the finish is what the end tells": Row(
        [(text("Hi"), ["start", "+0 text", "0:Hi"]), (finish(), []), (usage(9, 4), [])],
        end("-0", "end end_turn 9/4"),
    ),
    "T-J1 a role, and nothing yet but the start": Row([(ROLE, ["start"]), (finish(), [])], end("end end_turn 0/0")),
    "T-J9 chunks of nothing": Row(
        [({**NULL, "id": "x", "model": "m"}, ["start"]), (NULL, []), (finish(), [])], end("end end_turn 0/0")
    ),
    "T-J10 length": Row(
        [(text("Hi"), ["start", "+0 text", "0:Hi"]), (finish("length"), [])], end("-0", "end max_tokens 0/0")
    ),
    "T-J11 X-S2-05 a filter is no ordinary end (the reference says end_turn)": Row(
        [(text("Hi"), ["start", "+0 text", "0:Hi"]), (finish("content_filter"), [])], end("-0", "end refusal 0/0")
    ),
    "X-S2-05 a call and `stop`; `function_call`": Row(
        [(call(0, "t1", "f", "{}"), ["start", "+0 tool_use t1 f", "0:{}"]), (finish("function_call"), [])],
        end("-0", "end tool_use 0/0"),
    ),
    "T-J13 T-J16 an id that stays empty is made up, once": Row(
        [
            (ROLE, ["start"]),
            (call(0, "", "Read", '{"f'), []),
            (call(0, "", args='":1}'), []),
            (finish("tool_calls"), []),
        ],
        end("+0 tool_use call_chatcmpl-1_0 Read", '0:{"f":1}', "-0", "end tool_use 0/0"),
    ),
    "T-J15 no id at all": Row(
        [(call(0, None, "get_weather", '{"loc'), []), (call(0, args='":1}'), []), (finish(), [])],
        end("start", "+0 tool_use call_0 get_weather", '0:{"loc":1}', "-0", "end tool_use 0/0"),
    ),
    "T-J14 a call without a name (the reference drops it; the model is to hear of it)": Row(
        [(call(0, "call_1", None, "{}"), []), (finish("tool_calls"), [])],
        end("start", "+0 tool_use call_1 unknown", "0:{}", "-0", "end tool_use 0/0"),
    ),
    "X-S0-28 X-S2-03 T-J16 id, name and arguments apart": Row(
        [
            (call(0, "t1"), []),
            (call(0, None, "f"), ["start", "+0 tool_use t1 f"]),
            (call(0, args='{"a":1}'), ['0:{"a":1}']),
            (finish("tool_calls"), []),
        ],
        end("-0", "end tool_use 0/0"),
    ),
    "X-S2-03 X-S3-08 id and name with every piece": Row(
        [
            (call(0, "t1", "f", '{"a"'), ["start", "+0 tool_use t1 f", '0:{"a"']),
            (call(0, "t1", "f", ":1}"), ["0::1}"]),
            (finish("tool_calls"), []),
        ],
        end("-0", "end tool_use 0/0"),
    ),
    "X-S2-03 two calls, both without an index": Row(
        [
            (call(None, "t1", "f", "{}"), ["start", "+0 tool_use t1 f", "0:{}"]),
            (call(None, "t2", "f", '{"b":1}'), ["-0", "+1 tool_use t2 f", '1:{"b":1}']),
            (finish("tool_calls"), []),
        ],
        end("-1", "end tool_use 0/0"),
    ),
    "X-S2-04 X-S0-28 interleaved calls become one after the other": Row(
        [
            (call(0, "t1", "f"), ["start", "+0 tool_use t1 f"]),
            (call(1, "t2", "f"), []),
            (call(0, args='{"a":1'), ['0:{"a":1']),
            (call(1, args='{"b":'), []),
            (call(0, args="}"), ["0:}", "-0", "+1 tool_use t2 f", '1:{"b":']),
            (call(1, args="2}"), ["1:2}"]),
            (finish("tool_calls"), []),
        ],
        end("-1", "end tool_use 0/0"),
    ),
    "X-S2-02 null beside the real reasoning": Row(
        [
            (delta({"reasoning_content": None, "reasoning": "r"}), ["start", "+0 thinking", "0:r"]),
            (finish(), []),
        ],
        end("-0", "end end_turn 0/0"),
    ),
    "X-S0-27 empty text opens nothing; each block is closed before the next": Row(
        [
            (ROLE, ["start"]),
            (rc("t"), ["+0 thinking", "0:t"]),
            (text("x"), ["-0", "+1 text", "1:x"]),
            (call(0, "t1", "f", "{}"), ["-1", "+2 tool_use t1 f", "2:{}"]),
            (text("y"), ["-2", "+3 text", "3:y"]),
            (finish("tool_calls"), []),
        ],
        end("-3", "end tool_use 0/0"),
    ),
    "X-S2-06 no chunk at all": Row([(EOF, ["error api_error: the stream ended before its first event"])]),
    "X-S2-06 X-S0-23 X-S3-10 text, and then nothing": Row(
        [
            (text("x"), ["start", "+0 text", "0:x"]),
            (EOF, ["error api_error: the stream ended without a finish_reason and without [DONE]"]),
        ]
    ),
    "a call that broke off is not stopped: nobody may run it": Row(
        [
            (call(0, "t1", "rm", '{"path":"/'), ["start", "+0 tool_use t1 rm", '0:{"path":"/']),
            (EOF, ["error api_error: the stream ended without a finish_reason and without [DONE]"]),
        ]
    ),
    "T-J17 a refusal is text and a reason, not wrapped delta by delta": Row(
        [
            (delta({"refusal": "I can"}), ["start", "+0 text", "0:I can"]),
            (delta({"refusal": "not."}), ["0:not."]),
            (finish(), []),
        ],
        end("-0", "end refusal 0/0"),
    ),
    "T-J22 T-J23 X-S0-20 an index is a label: no list grows to it (the reference drops 129)": Row(
        [
            (call(4294967295, "t1", "f", "{}"), ["start", "+0 tool_use t1 f", "0:{}"]),
            (call(129, "t2", "f", "{}"), ["-0", "+1 tool_use t2 f", "1:{}"]),
            (finish("tool_calls"), []),
        ],
        end("-1", "end tool_use 0/0"),
    ),
    "X-S3-18 X-S3-09 a call written as text, where one is forced: none of it is shown as text": Row(
        [(ROLE, ["start"]), (text('{"city":'), []), (text('"Oslo"}'), []), (finish(), [])],
        end("+0 tool_use call_chatcmpl-1_0 weather", '0:{"city":"Oslo"}', "-0", "end tool_use 0/0"),
        prompt=Prompt(
            "Oslo?",
            tools=[ToolSpec("weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})],
            tool_choice="required",
        ),
    ),
    "T-L1 T-L2 T-L3 T-L7 T-L9 T-L11 of Responses: text": Row(
        [
            (r.created(), ["start"]),
            (r.added(0, r.message()), []),
            ({"type": "response.content_part.added", "output_index": 0, "content_index": 0, "part": {}}, []),
            (r.text(0, "Hello"), ["+0 text", "0:Hello"]),
            (r.text(0, ""), []),
            (r.done(0, r.message("Hello")), ["-0"]),
            (r.ended(usage={"input_tokens": 42, "output_tokens": 17}), end("end end_turn 42/17")),
        ],
        source="responses",
    ),
    "T-L4 of Responses: cut by the cap": Row(
        [
            (r.created(), ["start"]),
            (r.text(0, "Hi"), ["+0 text", "0:Hi"]),
            (
                r.ended("incomplete", incomplete_details={"reason": "max_output_tokens"}),
                end("-0", "end max_tokens 0/0"),
            ),
        ],
        source="responses",
    ),
    "T-L5 X-S0-10 of Responses: a call (the reference ends with end_turn)": Row(
        [
            (r.created(), ["start"]),
            (r.added(0, r.call()), ["+0 tool_use call_1 add"]),
            (r.arguments(0, "{}"), ["0:{}"]),
            (r.done(0, r.call("{}")), ["-0"]),
            (r.ended(), end("end tool_use 0/0")),
        ],
        source="responses",
    ),
    "T-L6 T-L10 of Responses: an end without its event is none (the reference makes one up)": Row(
        [
            (r.text(0, "Hi"), ["start", "+0 text", "0:Hi"]),
            (EOF, ["error api_error: the stream ended before response.completed"]),
        ],
        source="responses",
    ),
    "T-L8 X-S0-10 of Responses: failed": Row(
        [
            (r.created(), ["start"]),
            (r.ended("failed", error={"code": "server_error", "message": "boom"}), ["error api_error: boom"]),
        ],
        source="responses",
    ),
}

TO_CHAT: dict[str, Row] = {
    "T-K1 T-K2 T-K5 T-K6 T-K7 text, and usage where it was asked for": Row(
        [
            (m.start(usage={"input_tokens": 10, "output_tokens": 0}), ["role"]),
            ({"type": "ping"}, []),
            (m.text_block(0), []),
            (m.text(0, "Hello"), ["text Hello"]),
            (m.stop_block(0), []),
            (m.end(output_tokens=5)[0], []),
            (m.end()[1], ["finish stop", "usage 10/5", "[DONE]"]),
        ],
        source="messages",
        target="chat",
        usage=True,
    ),
    "X-S0-26 X-S0-29 no usage where nobody asked": Row(
        [(m.start(), ["role"]), (m.end()[0], []), (m.end()[1], ["finish stop", "[DONE]"])],
        source="messages",
        target="chat",
    ),
    "T-K3 T-K8 two calls, counted from 0": Row(
        [
            (m.start(), ["role"]),
            (m.tool_block(0, "call_123", "get_weather"), ["call0 call_123 get_weather"]),
            (m.arguments(0, '{"loc'), ['args0 {"loc']),
            (m.arguments(0, '":1}'), ['args0 ":1}']),
            (m.stop_block(0), []),
            (m.tool_block(1, "call_4"), ["call1 call_4 add"]),
            (m.arguments(1, "{}"), ["args1 {}"]),
            (m.stop_block(1), []),
            (m.end("tool_use")[0], []),
            (m.end()[1], ["finish tool_calls", "[DONE]"]),
        ],
        source="messages",
        target="chat",
    ),
    "X-S0-29 a piece of the first call after the second began": Row(
        [
            (m.start(), ["role"]),
            (m.tool_block(1, "c1"), ["call0 c1 add"]),
            (m.tool_block(2, "c2"), ["call1 c2 add"]),
            (m.arguments(1, '{"a":1}'), ['args0 {"a":1}']),
            (m.arguments(2, '{"b":2}'), ['args1 {"b":2}']),
            (m.stop_block(1), []),
            (m.stop_block(2), []),
            (m.end("tool_use")[0], []),
            (m.end()[1], ["finish tool_calls", "[DONE]"]),
        ],
        source="messages",
        target="chat",
    ),
    "T-K4 thinking": Row(
        [
            (m.start(), ["role"]),
            (m.open_block(0, type="thinking", thinking="", signature=""), []),
            (m.thinking(0, "hm"), ["think hm"]),
            (m.stop_block(0), []),
            (m.end()[0], []),
            (m.end()[1], ["finish stop", "[DONE]"]),
        ],
        source="messages",
        target="chat",
    ),
    "X-S0-29 X-S0-22 an error event": Row(
        [
            (m.start(), ["role"]),
            (m.text_block(0), []),
            (m.text(0, "par"), ["text par"]),
            (
                {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
                ["error overloaded_error: busy"],
            ),
        ],
        source="messages",
        target="chat",
    ),
    "X-S0-09 a filter, and the details of usage": Row(
        [
            (text("a"), ["role", "text a"]),
            (finish("content_filter"), []),
            (usage(9, 4), []),
        ],
        ["finish content_filter", "usage 9/4", "[DONE]"],
        target="chat",
        usage=True,
    ),
    "X-S0-22 an error in the middle; a chunk without object or index is one": Row(
        [
            ({"choices": [{"delta": {"content": "x"}}]}, ["role", "text x"]),
            (BUSY, ["error overloaded_error: busy"]),
            (EOF, []),
        ],
        target="chat",
    ),
    "X-S0-18 one role, one finish, one usage, whatever the server repeats": Row(
        [
            (delta({"role": "assistant", "content": "a"}), ["role", "text a"]),
            (delta({"role": "assistant", "content": "b"}), ["text b"]),
            (finish(), []),
            (usage(3, 1), []),
            (finish(), []),
            (usage(3, 2), []),
        ],
        ["finish stop", "usage 3/2", "[DONE]"],
        target="chat",
        usage=True,
    ),
}

TO_RESPONSES: dict[str, Row] = {
    "T-H1 T-H2 T-H3 T-H5 T-H20 a message begins with its first text": Row(
        [
            (ROLE, ["created", "in_progress"]),
            (text("Hi"), ["output_item.added message", "content_part.added", "output_text.delta Hi"]),
            (text(" you"), ["output_text.delta  you"]),
            (finish(), []),
            (usage(3, 1), []),
        ],
        ["output_text.done", "content_part.done", "output_item.done message", "completed 3/1"],
        target="responses",
    ),
    "T-H10 X-S2-08 X-S3-12 X-S3-13 a call, known by name and id when it is announced; no message without text": Row(
        [
            (call(0, "call_abc"), []),
            (
                call(0, None, "get_weather", '{"loc'),
                [
                    "created",
                    "in_progress",
                    "output_item.added function_call call_abc get_weather",
                    'function_call_arguments.delta {"loc',
                ],
            ),
            (call(0, args='ation":1}'), ['function_call_arguments.delta ation":1}']),
            (finish("tool_calls"), []),
        ],
        [
            "function_call_arguments.done",
            "output_item.done function_call call_abc get_weather",
            "completed",
        ],
        target="responses",
    ),
    "T-H16 T-H17 T-H18 reasoning comes first, as the text it is (the reference makes a summary of it)": Row(
        [
            (
                rc("step 1"),
                [
                    "created",
                    "in_progress",
                    "output_item.added reasoning",
                    "content_part.added",
                    "reasoning_text.delta step 1",
                ],
            ),
            (text("42"), ["output_item.added message", "content_part.added", "output_text.delta 42"]),
            (finish(), []),
        ],
        [
            "reasoning_text.done",
            "content_part.done",
            "output_item.done reasoning",
            "output_text.done",
            "content_part.done",
            "output_item.done message",
            "completed",
        ],
        target="responses",
    ),
    "X-S2-08 X-S3-16 length is incomplete": Row(
        [
            (text("a"), [
                "created", "in_progress", "output_item.added message", "content_part.added", "output_text.delta a",
            ]),
            (finish("length"), []),
        ],
        [
            "output_text.done", "content_part.done", "output_item.done message", "incomplete max_output_tokens",
        ],
        target="responses",
    ),
    "X-S2-08 X-S3-16 X-S3-10 an error is failed, and a call that broke off is not called done": Row(
        [
            (call(0, "c1", "rm", '{"path":"/'), [
                "created", "in_progress", "output_item.added function_call c1 rm",
                'function_call_arguments.delta {"path":"/',
            ]),
            (BUSY, ["error server_is_overloaded: busy"]),
            (EOF, []),
        ],
        target="responses",
    ),
    "X-S3-14 usage is told without being asked for": Row(
        [(ROLE, ["created", "in_progress"]), (finish(), []), (usage(7, 3), [])],
        ["completed 7/3"],
        target="responses",
    ),
    "X-S3-16 T-H3 of Messages: a refusal by the provider is no ordinary end": Row(
        [
            (m.start(), ["created", "in_progress"]),
            (m.end("refusal")[0], []),
            (m.end()[1], ["incomplete content_filter 5/7"]),
        ],
        source="messages",
        target="responses",
    ),
}  # fmt: skip

ROWS = {f"{name} -> {row.target}": row for rows in (TO_MESSAGES, TO_CHAT, TO_RESPONSES) for name, row in rows.items()}


@pytest.mark.parametrize("name", ROWS)
def test_step_by_step(name: str) -> None:
    """Each frame that comes makes exactly these go out, at once, and nothing follows the end."""
    check(ROWS[name])


def test_several_calls_in_one_delta() -> None:
    """X-S0-28, X-S1-14: one delta may hold several calls."""
    both = delta({"tool_calls": [call_element(0, "a", "f", "{}"), call_element(1, "b", "g", "{}")]})
    check(
        Row(
            [
                (both, ["start", "+0 tool_use a f", "0:{}", "-0", "+1 tool_use b g", "1:{}"]),
                (finish("tool_calls"), []),
            ],
            end("-1", "end tool_use 0/0"),
        )
    )
