"""Plain runs: how far each history goes out unlooked at, and that nothing unusual is in it."""

from __future__ import annotations

import pytest

from agent_core.codecs.base import Compat
from agent_core.codecs.replay import Replayer, replay
from agent_core.codecs.replay_pairs import CallIds
from agent_core.codecs.replay_plain import PlainRuns
from agent_core.codecs.replay_text import json_arguments, plain_object
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    InputText,
    JsonObject,
    Message,
    OutputText,
    Reasoning,
    ResponseItem,
    WireName,
    assistant_message,
    system_message,
    user_message,
)

ASKED = user_message("Why?")
SAID = assistant_message("Let me see.")
THOUGHT = Reasoning(content=("hm",), encrypted_content="sealed", signature="signed")


def call(call_id: str, **fields: object) -> FunctionCall:
    return FunctionCall.model_validate({"call_id": call_id, "name": "f", "arguments": '{"a": 1}', **fields})


def output(call_id: str, text: str = "done", **fields: object) -> FunctionCallOutput:
    return FunctionCallOutput.model_validate({"call_id": call_id, "output": text, **fields})


STEP = (SAID, call("c1"), output("c1"))
ROWS: dict[str, tuple[tuple[ResponseItem, ...], int]] = {
    "a turn of two steps": ((ASKED, *STEP, call("c2"), output("c2")), 6),
    "calls at once": ((ASKED, call("c1"), call("c2"), output("c1"), output("c2")), 5),
    "failed": ((ASKED, call("c1"), output("c1", success=False)), 3),
    "beyond ASCII": ((user_message("über → ✓"), *STEP), 4),
    "an answer that may go on": ((ASKED, *STEP, SAID), 4),
    "an answer that is over": ((ASKED, SAID, ASKED), 3),
    "an open call": ((ASKED, *STEP, SAID, call("c2")), 4),
    "outputs in another order": ((ASKED, call("c1"), call("c2"), output("c2"), output("c1")), 1),
    "a call between outputs": ((ASKED, call("c1"), call("c2"), output("c1"), call("c3"), output("c2")), 1),
    "an output of no call": ((ASKED, output("c9")), 1),
    "an id used before": ((ASKED, *STEP, call("c1"), output("c1")), 4),
    "an id no server takes": ((ASKED, call("a b"), output("a b")), 1),
    "a name no server takes": ((ASKED, call("c1", name="g.h"), output("c1")), 1),
    "a namespace": ((ASKED, call("c1", namespace="n"), output("c1")), 1),
    "data of a provider": ((ASKED, call("c1", opaque={"a": 1}), output("c1")), 1),
    "arguments that are none": ((ASKED, call("c1", arguments="[1]"), output("c1")), 1),
    "two texts": ((ASKED, SAID, SAID, ASKED), 1),
    "a text of two parts": ((ASKED, Message(role="user", content=(InputText(text="a"), InputText(text="b")))), 1),
    "an image": ((ASKED, Message(role="user", content=(InputImage(image_url="https://a/b"),))), 1),
    "a part of the other side": ((ASKED, Message(role="user", content=(OutputText(text="a"),))), 1),
    "a blank text": ((ASKED, user_message(" ")), 1),
    "a NUL": ((ASKED, user_message("a\0")), 1),
    "half a character": ((ASKED, call("c1"), output("c1", "é\ud83d")), 1),
    "an output of parts": ((ASKED, call("c1"), FunctionCallOutput(call_id="c1", output=(InputText(text="a"),))), 1),
    "a word of the system": ((ASKED, system_message("Be brief.")), 1),
    "the unusual first": ((system_message("Be brief."), ASKED), 0),
}


def plain(wire: WireName, items: tuple[ResponseItem, ...]) -> int:
    compat = Compat()
    runs = PlainRuns(
        wire=wire,
        compat=compat,
        ids=CallIds(wire=wire, compat=compat),
        called={},
        is_plain_reasoning=lambda item: item is THOUGHT,
    )
    run = runs.take(items, 0, 0, spoken=False)
    return 0 if run is None else len(run.items)


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
@pytest.mark.parametrize("row", ROWS)
def test_a_run_ends_before_what_is_unusual(wire: WireName, row: str) -> None:
    """On every wire a run is of whole steps, and ends before the step with anything replay may have to change."""
    items, length = ROWS[row]
    assert plain(wire, items) == length


def test_a_run_follows_the_rules_of_its_wire() -> None:
    """A text behind a call stays there on Responses alone; Messages begins with the user; reasoning needs an item."""
    behind = (ASKED, call("c1"), SAID, output("c1"))
    assert [plain(wire, behind) for wire in ("chat", "responses", "messages")] == [1, 4, 1]
    assert [plain(wire, STEP) for wire in ("chat", "responses", "messages")] == [3, 3, 0]
    assert plain("responses", (ASKED, THOUGHT, *STEP)) == 5
    assert plain("responses", (ASKED, SAID, THOUGHT, ASKED)) == 1
    assert plain("responses", (ASKED, call("c1"), THOUGHT, output("c1"))) == 1


def test_an_id_that_was_given_away_is_replaced_in_a_run() -> None:
    """A call of a run whose id a renamed call before it has is renamed, and so is its output."""
    odd = (ASKED, call("a b"), output("a b"))
    first = replay(odd, wire="messages", model="m", compat=Compat()).items[1]
    assert isinstance(first, FunctionCall)
    taken = first.call_id
    replayed = replay((*odd, call(taken), output(taken), ASKED), wire="messages", model="m", compat=Compat())
    later_call, later_output = replayed.items[3:5]
    assert isinstance(later_call, FunctionCall)
    assert isinstance(later_output, FunctionCallOutput)
    assert later_call.call_id == later_output.call_id != taken
    assert [repair.item_index for repair in replayed.repairs] == [1, 2, 3, 4]


def test_an_output_for_a_call_before_a_run_is_brought_there() -> None:
    """What was open before a run is answered behind it, and the run is sent again as it was."""
    late = (ASKED, call("c0"), ASKED, *STEP, SAID, output("c0"))
    replayer = Replayer(wire="chat", model="m", compat=Compat())
    replayer.feed(late[:-1])
    replayer.settle()
    replayer.feed(late[-1:])
    assert replayer.settle() == 1
    assert tuple(replayer.items) == (ASKED, late[1], late[-1], ASKED, *STEP, SAID)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 0.5, null, {"b": "é"}]}', {"a": [1, 0.5, None, {"b": "é"}]}),
        ('{"a": {"b": {"c": true}}}', {"a": {"b": {"c": True}}}),
        ('{"a": "\\u0000"}', None),
        ('{"a": 1e999}', None),
        ('{"a": NaN}', None),
        ('{"a": "\\ud800"}', None),
        ('{"a": "\ud800"}', None),
        ('{"a": "\n"}', None),
        ("[]", None),
        ("", None),
        ('{"a":' * 9 + "1" + "}" * 9, None),
    ],
)
def test_a_plain_object_is_one_that_stays(text: str, value: JsonObject | None) -> None:
    """What is read as a plain object is sent as it is; anything else is looked at in full."""
    assert plain_object(text) == value
    assert value is None or json_arguments(text) is text
