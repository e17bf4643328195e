"""What servers refuse and a history may still hold, found by judging requests of arbitrary histories: one row each."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from agent_core.codecs.base import Compat
from agent_core.codecs.replay import replay
from agent_core.items import (
    FunctionCall,
    FunctionCallOutput,
    ImageGenerationCall,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    Message,
    Origin,
    OutputText,
    Reasoning,
    ResponseItem,
    UnknownItem,
    WireName,
    user_message,
)

PLAIN = Compat(provider="p")
TIGHT = Compat(provider="p", calls_last=True)
NAMED = Compat(provider="p", send_item_ids=True, encrypted_reasoning=True)
USE: JsonObject = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
RESULT: JsonObject = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
SHELL: JsonObject = {"type": "shell_call", "call_id": "sh_1", "action": {"commands": ["ls"]}, "status": "completed"}
SHELL_OUTPUT: JsonObject = {"type": "shell_call_output", "call_id": "sh_1", "output": []}
OTHER_USE: JsonObject = {**USE, "id": "srvtoolu_2"}
OTHER_SHELL: JsonObject = {**SHELL, "call_id": "sh_2"}
OTHER_OUTPUT: JsonObject = {**SHELL_OUTPUT, "call_id": "sh_2"}
CODE: JsonObject = {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "container_id": "c"}


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    wire: WireName
    items: tuple[ResponseItem, ...]
    sent: tuple[ResponseItem, ...]
    repairs: tuple[tuple[str, int], ...] = ()
    compat: Compat = PLAIN


def of(wire: WireName, item_id: str = "", field: str = "") -> Origin:
    return Origin(wire=wire, provider="p", model="m", item_id=item_id, field=field)


def u(text: str = "u") -> Message:
    return user_message(text)


def said(text: str, item_id: str = "") -> Message:
    return Message(role="assistant", content=(OutputText(text=text),), origin=of("responses", item_id))


def known(wire: WireName, raw: JsonObject) -> UnknownItem:
    return UnknownItem(raw=raw, origin=of(wire))


def thought(item_id: str = "", sealed: str | None = "s") -> Reasoning:
    return Reasoning(encrypted_content=sealed, origin=of("responses", item_id))


def call(call_id: str, wire: WireName = "responses") -> FunctionCall:
    return FunctionCall(call_id=call_id, name="f", arguments="{}", origin=of(wire))


SIGNED = Reasoning(content=("hm",), signature="s", origin=of("messages", field="thinking"))
OUT = FunctionCallOutput(call_id="c1", output="o")

PAIRS = (
    Row(
        "claude-code#62885: a server's use and its result stay together",
        "messages",
        (u(), known("messages", USE), known("messages", RESULT), said("t"), u()),
        (u(), known("messages", USE), known("messages", RESULT), said("t"), u()),
    ),
    Row(
        "claude-code#62885: a result whose use was trimmed away",
        "messages",
        (u(), known("messages", RESULT), said("t")),
        (u(), said("t")),
        (("dropped_item", 1),),
    ),
    Row(
        "a use whose result never came, in the middle",
        "messages",
        (u(), known("messages", USE), said("t"), u()),
        (u(), said("t"), u()),
        (("dropped_item", 1),),
    ),
    Row(
        "a use without a result at the end is a paused turn",
        "messages",
        (u(), said("t"), known("messages", USE)),
        (u(), said("t"), known("messages", USE)),
    ),
    Row(
        "a use of another turn does not answer for this one",
        "messages",
        (u(), known("messages", USE), u(), known("messages", RESULT), said("t")),
        (u(), u(), said("t")),
        (("dropped_item", 1), ("dropped_item", 3)),
    ),
    Row(
        "a trailing thought goes before the pair it follows, not into it",
        "messages",
        (u(), known("messages", USE), known("messages", RESULT), SIGNED, u()),
        (u(), SIGNED, known("messages", USE), known("messages", RESULT), u()),
        (("moved_reasoning", 3),),
    ),
    Row(
        "the same pair twice",
        "messages",
        (u(), *(known("messages", raw) for raw in (USE, RESULT, USE, RESULT)), said("t")),
        (u(), known("messages", USE), known("messages", RESULT), said("t")),
        (("dropped_item", 3), ("dropped_item", 4)),
    ),
    Row(
        "a shell call of the provider's that nobody answered",
        "responses",
        (u(), known("responses", SHELL), said("t")),
        (u(), said("t")),
        (("dropped_item", 1),),
    ),
    Row(
        "an answered one, with a thought between that produced what follows",
        "responses",
        (u(), known("responses", SHELL), thought(), UnknownItem(raw=SHELL_OUTPUT), said("t")),
        (u(), known("responses", SHELL), UnknownItem(raw=SHELL_OUTPUT), thought(), said("t")),
        (("moved_output", 3),),
    ),
    Row(
        "where no text may stand between a call and its output",
        "responses",
        (u(), known("responses", SHELL), said("t"), UnknownItem(raw=SHELL_OUTPUT), said("v")),
        (u(), known("responses", SHELL), UnknownItem(raw=SHELL_OUTPUT), said("t"), said("v")),
        (("moved_output", 3),),
        TIGHT,
    ),
    Row(
        "a function call must not take the id of a shell call",
        "responses",
        (u(), known("responses", SHELL), UnknownItem(raw=SHELL_OUTPUT), call("sh_1"), u()),
        (
            u(),
            known("responses", SHELL),
            UnknownItem(raw=SHELL_OUTPUT),
            call("call_bb98a5fe5f1c83f481ab77dd"),
            FunctionCallOutput(call_id="call_bb98a5fe5f1c83f481ab77dd", output="aborted", success=False),
            u(),
        ),
        (("renamed_call_id", 3), ("answered_open_call", 3)),
    ),
    Row(
        "what is left out takes nobody's id",
        "responses",
        (u(), known("responses", SHELL), call("sh_1"), FunctionCallOutput(call_id="sh_1", output="o"), u()),
        (u(), call("sh_1"), FunctionCallOutput(call_id="sh_1", output="o"), u()),
        (("dropped_item", 1),),
    ),
    Row(
        "a use that text follows is no paused turn",
        "messages",
        (u(), known("messages", USE), said("t")),
        (u(), said("t")),
        (("dropped_item", 1),),
    ),
    Row(
        "a trailing thought goes before all that runs at once, also where a use of it still waits",
        "messages",
        (u(), known("messages", USE), known("messages", OTHER_USE), known("messages", RESULT), SIGNED),
        (u(), SIGNED, known("messages", USE), known("messages", OTHER_USE), known("messages", RESULT)),
        (("moved_reasoning", 4),),
    ),
)

SECOND_LOOKS = (
    Row(
        "a half that goes does not hide that its neighbour stands too far from its call",
        "responses",
        (
            u(),
            known("responses", SHELL),
            said("t"),
            known("responses", OTHER_SHELL),
            UnknownItem(raw=SHELL_OUTPUT),
            u(),
        ),
        (u(), known("responses", SHELL), UnknownItem(raw=SHELL_OUTPUT), said("t"), u()),
        (("dropped_item", 3), ("moved_output", 4)),
        TIGHT,
    ),
    Row(
        "a call that goes last does not leave a result behind a thought",
        "messages",
        (u(), known("messages", USE), SIGNED, call("c1", "messages"), known("messages", RESULT), OUT, u()),
        (u(), known("messages", USE), known("messages", RESULT), SIGNED, call("c1", "messages"), OUT, u()),
        (("moved_message", 4), ("moved_output", 4)),
    ),
    Row(
        "a result that goes makes neighbours of equal texts",
        "responses",
        (u(), known("responses", SHELL), said("t"), UnknownItem(raw=SHELL_OUTPUT), said("t"), u()),
        (u(), known("responses", SHELL), UnknownItem(raw=SHELL_OUTPUT), said("t"), u()),
        (("moved_output", 3), ("dropped_duplicate_message", 4)),
        TIGHT,
    ),
    Row(
        "a text that goes leaves a result behind a thought",
        "responses",
        (
            u(),
            known("responses", SHELL),
            said("t"),
            thought(),
            said("t"),
            UnknownItem(raw=SHELL_OUTPUT),
            call("c1"),
            OUT,
        ),
        (u(), known("responses", SHELL), UnknownItem(raw=SHELL_OUTPUT), said("t"), thought(), call("c1"), OUT),
        (("dropped_duplicate_message", 4), ("moved_output", 5)),
        Compat(provider="p", reasoning_replay="open_calls"),
    ),
    Row(
        "results in the order of calls that ran at once stay where they are",
        "responses",
        (
            u(),
            *(known("responses", raw) for raw in (SHELL, OTHER_SHELL)),
            *(UnknownItem(raw=raw) for raw in (SHELL_OUTPUT, OTHER_OUTPUT)),
            said("t"),
        ),
        (
            u(),
            *(known("responses", raw) for raw in (SHELL, OTHER_SHELL)),
            *(UnknownItem(raw=raw) for raw in (SHELL_OUTPUT, OTHER_OUTPUT)),
            said("t"),
        ),
        compat=TIGHT,
    ),
)
"""Where one repair makes the next one due: all of them in one replay."""

NAMES = (
    Row(
        "OpenAI: Duplicate item found with id",
        "responses",
        (u(), said("t", "msg_1"), u(), said("t", "msg_1")),
        (u(), said("t", "msg_1"), u(), said("t")),
        (("dropped_opaque", 3),),
        NAMED,
    ),
    Row(
        "a stored reasoning twice is nothing without its id",
        "responses",
        (u(), thought("rs_1", None), said("t", "msg_1"), u(), thought("rs_1", None), said("v", "msg_2")),
        (u(), thought("rs_1", None), said("t", "msg_1"), u(), said("v", "msg_2")),
        (("dropped_reasoning", 4),),
        NAMED,
    ),
    Row(
        "a provider's own item twice",
        "responses",
        (u(), known("responses", CODE), said("t"), u(), known("responses", CODE), said("v")),
        (u(), known("responses", CODE), said("t"), u(), said("v")),
        (("dropped_item", 4),),
    ),
    Row(
        "OpenAI: reasoning was provided without its required following item, which has no id",
        "responses",
        (u(), thought("rs_1"), said("t")),
        (u(), thought(), said("t")),
        (("dropped_opaque", 1),),
        NAMED,
    ),
    Row(
        "the same with nothing but its id",
        "responses",
        (u(), thought("rs_1", None), said("t")),
        (u(), said("t")),
        (("dropped_reasoning", 1),),
        NAMED,
    ),
    Row(
        "it goes, and what it stood between says the same",
        "responses",
        (u(), said("t", "msg_1"), thought("rs_1", None), said("t"), u()),
        (u(), said("t", "msg_1"), u()),
        (("dropped_reasoning", 2), ("dropped_duplicate_message", 3)),
        NAMED,
    ),
    Row(
        "agents-js#929 a stored thought that nothing follows is told of once",
        "responses",
        (u(), said("t"), thought("rs_1"), u()),
        (u(), said("t"), u()),
        (("dropped_reasoning", 2),),
        NAMED,
    ),
    Row(
        "an image that cannot be named",
        "responses",
        (u(), ImageGenerationCall(result="aGk=", origin=of("responses")), said("t")),
        (u(), said("t")),
        (("dropped_item", 1),),
    ),
    Row(
        "an item without a type",
        "responses",
        (u(), known("responses", {"no": "type"}), said("t")),
        (u(), said("t")),
        (("dropped_item", 1),),
    ),
    Row(
        "Anthropic checks the letters of ids, also of its own",
        "messages",
        (u(), call("functions.f:0", "messages"), FunctionCallOutput(call_id="functions.f:0", output="o")),
        (
            u(),
            call("call_a74551a7b5abb90a50b36d95", "messages"),
            FunctionCallOutput(call_id="call_a74551a7b5abb90a50b36d95", output="o"),
        ),
        (("renamed_call_id", 1), ("renamed_call_id", 2)),
    ),
)

CONTENT = (
    Row(
        "DeepSeek: no text between calls and their outputs",
        "responses",
        (u(), call("c1"), said("and"), call("c2"), OUT, FunctionCallOutput(call_id="c2", output="o")),
        (u(), said("and"), call("c1"), call("c2"), OUT, FunctionCallOutput(call_id="c2", output="o")),
        (("moved_message", 2),),
        TIGHT,
    ),
    Row(
        "sealed elsewhere than in a block of this wire's, without a signature",
        "messages",
        (u(), Reasoning(content=("r",), encrypted_content="s", origin=of("messages", field="thinking")), said("t")),
        (u(), said("t")),
        (("dropped_reasoning", 1),),
    ),
    Row(
        "an image in a system message",
        "chat",
        (Message(role="system", content=(InputImage(image_url="https://e.example/a.png"),)), u()),
        (
            Message(
                role="system",
                content=(InputText(text="[attachment left out: a system message carries text only]"),),
            ),
            u(),
        ),
        (("replaced_image", 0),),
    ),
    Row(
        "a file of which only the name is known",
        "responses",
        (Message(role="user", content=(InputFile(filename="a"),)),),
        (Message(role="user", content=(InputText(text="[file left out: neither data, URL nor id]"),)),),
        (("replaced_file", 0),),
    ),
)


@pytest.mark.parametrize("row", [*PAIRS, *SECOND_LOOKS, *NAMES, *CONTENT], ids=lambda row: row.name)
def test_what_servers_refuse_is_mended_and_reported(row: Row) -> None:
    """The items that are sent and the repairs are exactly those of the row, and a second replay repairs nothing."""
    replayed = replay(row.items, wire=row.wire, model="m", compat=row.compat)
    assert (replayed.items, tuple((repair.kind, repair.item_index) for repair in replayed.repairs)) == (
        row.sent,
        row.repairs,
    )
    assert replay(replayed.items, wire=row.wire, model="m", compat=row.compat).repairs == ()
