"""The tolerant call assembler: which delta belongs to which call."""

from __future__ import annotations

import pytest

from agent_core.codecs.tool_calls import MAX_CALLS, ToolCallAssembler, made_up_id, maybe_cut, parse_arguments
from agent_core.items import JsonObject

from .chat_chunks import call_element as tc

Call = tuple[str, str, str]

CASES: dict[str, tuple[list[JsonObject], list[Call]]] = {
    "by index": (
        [tc(0, "a", "f", ""), tc(0, args='{"x":'), tc(0, args="1}")],
        [("a", "f", '{"x":1}')],
    ),
    "X-S1-14 parallel, interleaved, ids only on first": (
        [tc(0, "a", "f", ""), tc(1, "b", "g", ""), tc(0, args="{"), tc(1, args="{"), tc(0, args="}"), tc(1, args="}")],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    "X-S1-14 head repeated on every delta": (
        [tc(0, "a", "f", '{"x"'), tc(0, "a", "f", ":1}"), tc(1, "b", "g", "{"), tc(1, "b", "g", "}")],
        [("a", "f", '{"x":1}'), ("b", "g", "{}")],
    ),
    "X-S0-28 id, name and arguments apart": (
        [tc(0, "a"), tc(0, name="f"), tc(0, args="{}")],
        [("a", "f", "{}")],
    ),
    "X-S3-13 fragment, then id, then rest": (
        [tc(0, args='{"x":'), tc(0, "a"), tc(0, name="f", args="1}")],
        [("a", "f", '{"x":1}')],
    ),
    "ollama#15457 index 0 for all": (
        [tc(0, "a", "f", "{}"), tc(0, "b", "g", "{}")],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    "index 0 for all, tails without ids": (
        [tc(0, "a", "f", ""), tc(0, args="{}"), tc(0, "b", "g", ""), tc(0, args='{"y":2}')],
        [("a", "f", "{}"), ("b", "g", '{"y":2}')],
    ),
    "agno#8880 head under index 0, tail under index 1": (
        [tc(0, "a", "f", "{}"), tc(0, "b", "g", ""), tc(1, args='{"y":'), tc(1, args="2}")],
        [("a", "f", "{}"), ("b", "g", '{"y":2}')],
    ),
    "a fresh id on every delta": (
        [tc(0, "a", "f", ""), tc(0, "b", args="{"), tc(0, "c", args="}")],
        [("a", "f", "{}")],
    ),
    "no index, whole calls (Mistral, Gemini)": (
        [tc(None, "a", "f", "{}"), tc(None, "b", "f", "{}")],
        [("a", "f", "{}"), ("b", "f", "{}")],
    ),
    "no index, pieces follow their head": (
        [tc(None, "a", "f", ""), tc(args="{"), tc(args="}"), tc(None, "b", "g", ""), tc(args="{}")],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    "X-S2-03 neither index nor id, other names": (
        [tc(name="f", args="{}"), tc(name="g", args="{}")],
        [("", "f", "{}"), ("", "g", "{}")],
    ),
    "neither index nor id, one name twice": (
        [tc(name="f", args='{"x":1}'), tc(name="f", args='{"x":2}')],
        [("", "f", '{"x":1}'), ("", "f", '{"x":2}')],
    ),
    "neither index nor id, head repeated": (
        [tc(name="f", args='{"x"'), tc(name="f", args=":1}")],
        [("", "f", '{"x":1}')],
    ),
    "no ids, a second head under the same index": (
        [tc(0, None, "f", "{}"), tc(0, None, "f", '{"x":2}')],
        [("", "f", "{}"), ("", "f", '{"x":2}')],
    ),
    "one id for two calls": (
        [tc(0, "a", "f", "{}"), tc(1, "a", "f", '{"x":2}')],
        [("a", "f", "{}"), ("a", "f", '{"x":2}')],
    ),
    "the id 'null' is none (Mistral)": (
        [tc(0, "a", "f", ""), tc(0, "null", "", "{}")],
        [("a", "f", "{}")],
    ),
    "empty id and name on later deltas": (
        [tc(0, "a", "f", "{"), tc(0, "", "", "}")],
        [("a", "f", "{}")],
    ),
    "indices start anywhere (Anthropic behind a gateway)": (
        [tc(1, "a", "f", "{"), tc(1, args="}")],
        [("a", "f", "{}")],
    ),
    "X-S0-20 a huge index": ([tc(4294967295, "a", "f", "{}")], [("a", "f", "{}")]),
    "arguments as an object (litellm#37792)": (
        [{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}],
        [("a", "f", '{"x":1}')],
    ),
    "arguments null": ([{"index": 0, "id": "a", "function": {"name": "f", "arguments": None}}], [("a", "f", "")]),
    "a custom call": (
        [{"index": 0, "id": "a", "custom": {"name": "f", "input": "x"}}, {"index": 0, "custom": {"input": "y"}}],
        [("a", "f", "xy")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_delta_goes_to_its_call(case: str) -> None:
    """Whatever servers leave out, repeat or renumber, the calls come out whole and in order of appearance."""
    deltas, expected = CASES[case]
    assembler = ToolCallAssembler()
    for delta in deltas:
        assembler.feed(delta)
    assert [(call.call_id, call.name, call.text) for call in assembler.calls] == expected


def test_opaque_members_stay_with_their_call() -> None:
    """A thought signature may come in a delta of its own; it is kept for its call."""
    assembler = ToolCallAssembler()
    signed: JsonObject = {"google": {"thought_signature": "s"}}
    alone: JsonObject = {"index": 0, "extra_content": signed}
    for delta in (tc(0, "a", "f", "{}"), tc(1, "b", "g", "{}"), alone):
        assembler.feed(delta)
    assert [call.opaque for call in assembler.calls] == [{"extra_content": signed}, None]


def test_calls_beyond_the_cap_are_counted() -> None:
    """A server cannot make us keep calls without end."""
    assembler = ToolCallAssembler()
    for n in range(MAX_CALLS + 5):
        assembler.feed(tc(n, f"id{n}", "f", "{}"))
    assert (len(assembler.calls), assembler.dropped) == (MAX_CALLS, 5)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        ("  \n", {}),
        ('{"a": "x\ny"}', {"a": "x\ny"}),
        ('{"a": ', None),
        ("[1]", None),
        ("null", None),
        ("[" * 100_000, None),
    ],
)
def test_arguments_are_an_object_or_none(written: str, expected: JsonObject | None) -> None:
    """Blank means no arguments and raw control characters are accepted; nothing else is forgiven, nothing crashes."""
    assert parse_arguments(written) == expected


@pytest.mark.parametrize(
    ("written", "cut"),
    [
        ("", False),
        (" \n", False),
        ('{"a": "x\ny"}', False),
        ("true", False),
        ("8", False),
        ("[1]", False),
        ('{"a": ', True),
        ("tru", True),
        ("[1", True),
        ("[" * 100_000, True),
    ],
)
def test_arguments_that_may_be_cut(written: str, cut: bool) -> None:
    """What is a whole JSON value cannot become an object by going on; what is none may."""
    assert maybe_cut(written) == cut


@pytest.mark.parametrize(
    ("response_id", "expected"),
    [("", "call_2"), ("chatcmpl-1", "call_chatcmpl-1_2"), ("a.b/" + "x" * 40, "call_" + "x" * 24 + "_2")],
)
def test_made_up_ids_are_stable_and_legal(response_id: str, expected: str) -> None:
    """The same response gives the same ids, of characters and a length every server takes."""
    assert made_up_id(response_id, 2) == expected
