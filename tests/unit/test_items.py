"""Items: JSON in and out without loss, and clear words for what is no item."""

from __future__ import annotations

import json

import pytest

from agent_core.errors import InvalidPromptError
from agent_core.items import (
    Compaction,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    GhostSnapshot,
    ImageGenerationCall,
    InputFile,
    InputImage,
    InputText,
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
    ToolSearchOutput,
    UnknownItem,
    WebSearchCall,
    assistant_message,
    item_to_json,
    output_text_of,
    parse_item,
    parse_items,
    text_of,
    user_message,
)

ORIGIN = Origin(wire="responses", provider="openai", model="m", field="summary", item_id="rs_1", response_id="r_1")

EVERY_KIND: list[ResponseItem] = [
    user_message("hé\u2028llo", "data:image/png;base64,iVBORw0KGgo="),
    Message(role="developer", content=(InputText(text="x"), InputFile(filename="a.pdf", file_id="f_1"))),
    Message(
        role="assistant",
        content=(OutputText(text="a", annotations=({"type": "url_citation", "n": None},)), Refusal(refusal="no")),
        phase="commentary",
        status="incomplete",
        origin=ORIGIN,
        id="msg_1",
    ),
    Reasoning(summary=("s",), content=("c",), encrypted_content="E", signature="S", origin=ORIGIN, details=({"a": 1},)),
    FunctionCall(call_id="c", name="f", arguments='{"a": 1}', namespace="n", opaque={"google": {"sig": None}}),
    FunctionCallOutput(call_id="c", output="x", success=False),
    FunctionCallOutput(call_id="c", output=(InputText(text="t"), InputImage(image_url="u", detail="low"))),
    LocalShellCall(call_id="c", action=LocalShellAction(command=("ls", "-l"), timeout_ms=5, env={"A": "b"})),
    CustomToolCall(call_id="c", name="apply_patch", input="*** Begin"),
    CustomToolCallOutput(call_id="c", output="ok"),
    ToolSearchCall(call_id="c", arguments={"q": ["x", None]}),
    ToolSearchOutput(call_id="c", tools=({"name": "t"},)),
    WebSearchCall(action={"type": "search", "query": "q"}, status="completed"),
    ImageGenerationCall(result="AAAA", status="completed"),
    GhostSnapshot(ghost_commit={"id": "abc"}),
    Compaction(summary="s"),
    UnknownItem(raw={"type": "newest_thing", "x": [1, None, {"y": None}]}, origin=ORIGIN),
]


@pytest.mark.parametrize("item", EVERY_KIND, ids=lambda item: item.type)
def test_json_round_trip_is_exact(item: ResponseItem) -> None:
    """Every kind, written as one line and read again, is the same item."""
    line = item_to_json(item)
    assert "\n" not in line
    assert parse_item(json.loads(line)) == item


def test_an_unknown_type_survives_untouched() -> None:
    """What a newer server sends is kept as it came, nulls and all."""
    raw: JsonObject = {"type": "hologram", "depth": None, "parts": [{"a": 1}]}
    item = parse_item(raw)
    assert isinstance(item, UnknownItem)
    assert item.raw == raw
    assert item.raw_type == "hologram"


def test_an_unknown_field_of_a_known_type_survives() -> None:
    """So a newer journal read by an older version and written again loses nothing."""
    raw: JsonObject = {"type": "message", "role": "user", "content": [], "mood": {"x": None}}
    assert json.loads(item_to_json(parse_item(raw)))["mood"] == {"x": None}


def test_a_message_may_be_a_string() -> None:
    """As the Responses API takes it: of the user's an input, of the assistant's an output."""
    assert parse_item({"role": "user", "content": "hi"}) == user_message("hi")
    assert parse_item({"role": "assistant", "content": "ho"}) == assistant_message("ho")


def test_a_message_may_leave_its_type_out() -> None:
    """As the Responses API allows."""
    assert parse_item({"role": "user", "content": [{"type": "input_text", "text": "x"}]}) == user_message("x")


BAD: dict[str, tuple[object, str]] = {
    "no object": ("text", "must be a JSON object, not str"),
    "no type": ({"a": 1}, "needs a 'type' string"),
    "unknown role": ({"type": "message", "role": "robot"}, "invalid at 'role'"),
    "missing field": ({"type": "function_call", "name": "f"}, "invalid at 'call_id'"),
    "arguments that are no text": (
        {"type": "function_call", "name": "f", "call_id": "c", "arguments": {}},
        "arguments",
    ),
    "bad part": ({"type": "message", "role": "user", "content": [{"type": "smell"}]}, "invalid at 'content.0'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_item_is_named(name: str) -> None:
    """The message says which field, and holds no content."""
    value, message = BAD[name]
    with pytest.raises(InvalidPromptError, match=message):
        parse_item(value)


def test_a_list_names_the_position() -> None:
    """items[1] is the bad one; a list that is none is said so."""
    with pytest.raises(InvalidPromptError, match=r"items\[1\]: an item needs"):
        parse_items([user_message("x"), dict[str, str]()])
    with pytest.raises(InvalidPromptError, match="must be a list of items, not str"):
        parse_items("x")


def test_text_helpers() -> None:
    """Text of messages and outputs, without images and refusals."""
    assert (
        text_of(Message(role="assistant", content=(OutputText(text="a"), Refusal(refusal="r"), OutputText(text="b"))))
        == "ab"
    )
    assert output_text_of(FunctionCallOutput(call_id="c", output=(InputText(text="a"), InputText(text="b")))) == "a\nb"
    assert Reasoning(summary=("s",), content=("c",)).text == "c"
