"""Open calls: which are unanswered, and which of them had a tool started, whatever ids a model gives them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_core.codecs.replay_pairs import Pairing, place_of
from agent_core.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    LocalShellAction,
    LocalShellCall,
    ResponseItem,
    ToolSearchCall,
    ToolSearchOutput,
    assistant_message,
    user_message,
)
from agent_core.session import Session
from agent_core.session.calls import OpenCalls


def call(n: int, call_id: str = "call_0") -> FunctionCall:
    return FunctionCall(id=f"fc_{n}", call_id=call_id, name="f", arguments="{}")


def output(n: int, call_id: str = "call_0") -> FunctionCallOutput:
    return FunctionCallOutput(id=f"fco_{n}", call_id=call_id, output=str(n))


HISTORIES: dict[str, tuple[list[ResponseItem], list[str]]] = {
    "one id, two calls of a response": ([call(1), call(2), output(1)], ["fc_2"]),
    "one id, two responses": ([call(1), output(1), call(2)], ["fc_2"]),
    "one id, the older never answered": ([call(1), user_message("u"), call(2), output(2)], ["fc_1"]),
    "an output of another kind": ([call(1), CustomToolCallOutput(call_id="call_0", output="")], ["fc_1"]),
    "an output before its call": ([output(1), call(1)], ["fc_1"]),
    "a server's own search": ([ToolSearchCall(id="s", call_id="x", execution="server")], []),
    "a search without an id": ([ToolSearchCall(id="s")], ["s"]),
    "a search that was answered": ([ToolSearchCall(id="s"), ToolSearchOutput()], []),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_which_calls_are_open(name: str) -> None:
    """By their own ids: call ids repeat."""
    items, open_ids = HISTORIES[name]
    assert [found.id for found in Session(items=items).open_calls()] == open_ids


ITEMS = st.sampled_from(("f", "f2", "c", "s", "t", "fo", "f2o", "co", "to", "user", "assistant"))


def made(kind: str, n: int) -> ResponseItem:
    action = LocalShellAction(command=("ls",))
    table: dict[str, ResponseItem] = {
        "f": call(n),
        "f2": call(n, "call_1"),
        "c": CustomToolCall(id=f"c_{n}", call_id="call_0", name="p"),
        "s": LocalShellCall(id=f"s_{n}", call_id="call_0", action=action),
        "t": ToolSearchCall(id=f"t_{n}", call_id="call_0"),
        "fo": output(n),
        "f2o": output(n, "call_1"),
        "co": CustomToolCallOutput(id=f"co_{n}", call_id="call_0", output=""),
        "to": ToolSearchOutput(id=f"to_{n}", call_id="call_0"),
        "user": user_message("u"),
        "assistant": assistant_message("a"),
    }
    return table[kind]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ITEMS, max_size=14))
def test_open_calls_are_those_that_replay_pairs_with_nothing(kinds: list[str]) -> None:
    """One rule for both: what the session answers is what a request would otherwise lack."""
    items = [made(kind, n) for n, kind in enumerate(kinds)]
    pairing = Pairing()
    for n, item in enumerate(items):
        pairing.feed(n, item, place_of(item))
    unanswered = [item for n, item in enumerate(items) if place_of(item) == "call" and n not in pairing.answers]
    assert list(OpenCalls(items).calls) == unanswered


@pytest.mark.parametrize("resumed", [False, True])
def test_a_call_is_not_taken_for_a_started_one_of_its_id(tmp_path: Path, resumed: bool) -> None:
    """Servers count call_0 in every response: only the call that was started counts as started, also after a crash."""
    path = tmp_path / "s.jsonl"
    session = Session.create(path)
    first, _, second, third = session.append(call(1), output(1), call(2), call(3))
    session.tool_started(call(1))
    session.tool_started(call(2))
    session.close()
    if resumed:
        session = Session.resume(path)
        session.close()
    assert isinstance(first, FunctionCall)
    assert isinstance(second, FunctionCall)
    assert isinstance(third, FunctionCall)
    assert [session.was_started(one) for one in (first, second, third)] == [True, True, False]


@pytest.mark.parametrize("kept", ["memory", "file"])
def test_a_call_that_a_rollback_opens_again_was_started(tmp_path: Path, kept: str) -> None:
    """Its output is taken back, what it did is not: it is not run a second time."""
    session = Session() if kept == "memory" else Session.create(tmp_path / "s.jsonl")
    session.append(user_message("one"), call(1))
    session.tool_started(call(1))
    session.append(user_message("impatient"), output(1))
    assert session.open_calls() == ()
    session.rollback()
    assert session.open_calls() == (call(1),)
    assert session.was_started(call(1))
    session.close()
    if kept == "file":
        assert Session.read(tmp_path / "s.jsonl").was_started(call(1))


@pytest.mark.parametrize(
    ("items", "awaits"),
    [
        ((), False),
        ((user_message("u"),), True),
        ((user_message("u"), assistant_message("a")), False),
        ((user_message("u"), call(1)), True),
        ((user_message("u"), call(1), output(1)), True),
        ((user_message("u"), call(1), assistant_message("a"), output(1), assistant_message("b")), False),
    ],
    ids=["nothing", "a user's message", "an answer", "an open call", "an output", "an answer after an output"],
)
def test_what_awaits_an_answer(items: tuple[ResponseItem, ...], awaits: bool) -> None:
    """A turn that was cut off can be told from one that came to its end."""
    assert Session(items=items).awaits_answer is awaits
