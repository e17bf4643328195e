"""Replay, rule by rule: what the scenarios of test_replay.py leave open of each. Exact items and repairs."""

from __future__ import annotations

import pytest

from agent_core.codecs.base import Compat
from agent_core.codecs.replay import replay
from agent_core.items import (
    Compaction,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    ImageGenerationCall,
    InputImage,
    InputText,
    LocalShellAction,
    LocalShellCall,
    Message,
    OutputText,
    Reasoning,
    ToolSearchCall,
    ToolSearchOutput,
    UnknownItem,
    WebSearchCall,
    user_message,
)

from .test_replay import (
    ABORTED,
    NOT_RUN,
    Row,
    a,
    call,
    custom,
    custom_out,
    failed,
    lowered,
    lowered_shell,
    origin,
    out,
    r,
    same,
    shell,
    u,
)

PNG = "data:image/png;base64,iVBORw0KGgo="
CUSTOM = Compat(provider="p", custom_tools=True)
MISTRAL = Compat(provider="p", call_id_exact=9)
BEDROCK = Compat(provider="p", qualify_call_ids=True)


def search(call_id: str) -> ToolSearchCall:
    return ToolSearchCall(call_id=call_id, arguments={"query": "x"})


def found(call_id: str) -> ToolSearchOutput:
    return ToolSearchOutput(call_id=call_id, tools=({"type": "function", "name": "f", "parameters": {}},))


def of_response(response_id: str) -> FunctionCall:
    return call("call_0", of=origin("responses", response_id=response_id))


PAIRS = (
    Row(
        "two parallel calls of one id are answered in their order",
        (u("q"), call("c1"), call("c1"), out("c1", "first"), out("c1", "second")),
        (
            u("q"),
            call("c1"),
            call("call_0317ca9a8a263eb459a47f5b"),
            out("c1", "first"),
            out("call_0317ca9a8a263eb459a47f5b", "second"),
        ),
        (("renamed_call_id", 2), ("renamed_call_id", 4)),
    ),
    Row(
        "an output is nobody's whose call is of another kind",
        (u("q"), custom("t1"), search("s1"), out("t1"), custom_out("s1"), found("t1")),
        (
            u("q"),
            custom("t1"),
            search("s1"),
            CustomToolCallOutput(call_id="t1", output=ABORTED, success=False),
            ToolSearchOutput(call_id="s1"),
        ),
        (
            ("answered_open_call", 1),
            ("answered_open_call", 2),
            ("dropped_orphan_output", 3),
            ("dropped_orphan_output", 4),
            ("dropped_orphan_output", 5),
        ),
        wire="responses",
        compat=CUSTOM,
    ),
    same("a client's tool search with its output", u("q"), search("s1"), found("s1"), wire="responses"),
    Row(
        "a tool search's output before its call, and twice",
        (u("q"), found("s1"), search("s1"), found("s1"), found("s1")),
        (u("q"), search("s1"), found("s1")),
        (("dropped_orphan_output", 1), ("dropped_duplicate_output", 4)),
        wire="responses",
    ),
    Row(
        "a local shell's output before its call, and twice",
        (u("q"), out("s1"), shell("s1"), out("s1"), out("s1")),
        (u("q"), shell("s1"), out("s1")),
        (("dropped_orphan_output", 1), ("dropped_duplicate_output", 4)),
        wire="responses",
    ),
    Row(
        "calls of every kind that were cut off say they were not run",
        (
            u("q"),
            CustomToolCall(call_id="t1", name="patch", input="x", status="incomplete"),
            LocalShellCall(call_id="s1", action=LocalShellAction(command=("ls", "-l")), status="incomplete"),
        ),
        (
            u("q"),
            lowered("t1").model_copy(update={"status": "incomplete"}),
            lowered_shell("s1").model_copy(update={"status": "incomplete"}),
            failed("t1", NOT_RUN),
            failed("s1", NOT_RUN),
        ),
        (("lowered_item", 1), ("answered_open_call", 1), ("lowered_item", 2), ("answered_open_call", 2)),
    ),
    same(
        "what a run said of a call stays: its process ended while the tool ran",
        u("q"),
        call("c1"),
        failed("c1", "outcome unknown: the process ended while this tool ran"),
        u("go on"),
    ),
    same(
        "a call that a run stopped stays as it was answered",
        u("q"),
        call("c1"),
        failed("c1", "not run: the turn was stopped by the user"),
        u("go on"),
    ),
)

IDS = (
    Row(
        "Mistral: nine letters and digits, on every kind of call and on what answers it",
        (u("q"), call("call_1"), custom("t1"), shell("abcdefgh9"), out("call_1"), custom_out("t1"), out("abcdefgh9")),
        (
            u("q"),
            call("ykqy41nan"),
            lowered("2lm11r9g2"),
            lowered_shell("abcdefgh9"),
            out("ykqy41nan"),
            out("2lm11r9g2"),
            out("abcdefgh9"),
        ),
        (
            ("renamed_call_id", 1),
            ("lowered_item", 2),
            ("renamed_call_id", 2),
            ("lowered_item", 3),
            ("renamed_call_id", 4),
            ("lowered_item", 5),
            ("renamed_call_id", 5),
        ),
        compat=MISTRAL,
    ),
    Row(
        "Mistral: an id of the right form that was used before",
        (u("q"), call("abcdefgh9"), out("abcdefgh9"), call("abcdefgh9"), out("abcdefgh9")),
        (u("q"), call("abcdefgh9"), out("abcdefgh9"), call("wyjqabfbt"), out("wyjqabfbt")),
        (("renamed_call_id", 3), ("renamed_call_id", 4)),
        compat=MISTRAL,
    ),
    Row(
        "Bedrock: `call_0` of two responses, each by its own",
        (u("q"), of_response("r1"), out("call_0", "a"), of_response("r2"), out("call_0", "b")),
        (
            u("q"),
            call("call_edf80134863df02f2d69adb4", of=origin("responses", response_id="r1")),
            out("call_edf80134863df02f2d69adb4", "a"),
            call("call_324c22327dcc007328d7409d", of=origin("responses", response_id="r2")),
            out("call_324c22327dcc007328d7409d", "b"),
        ),
        (("renamed_call_id", 1), ("renamed_call_id", 2), ("renamed_call_id", 3), ("renamed_call_id", 4)),
        wire="responses",
        compat=BEDROCK,
    ),
)

ORDER = (
    Row(
        "text between the calls of a step goes before them, with the reasoning of all of them",
        (u("q"), r("R1"), call("1"), a("t"), r("R2"), call("2"), a("v"), out("1"), out("2")),
        (u("q"), r("R1"), a("t"), r("R2"), a("v"), call("1"), call("2"), out("1"), out("2")),
        (("moved_message", 3), ("moved_reasoning", 4), ("moved_message", 6)),
    ),
    Row(
        "reasoning between the calls of a step: chat has one field for all",
        (u("q"), r("R1"), call("1"), r("R2"), call("2"), out("1"), out("2")),
        (u("q"), r("R1\nR2"), call("1"), call("2"), out("1"), out("2")),
        (("joined_reasoning", 1), ("moved_reasoning", 3), ("joined_reasoning", 3)),
    ),
    same(
        "signed thinking between calls stays where the model had it",
        u("q"),
        r("R1", signature="s"),
        call("1"),
        r("R2", signature="s"),
        call("2"),
        out("1"),
        out("2"),
        wire="messages",
    ),
    same(
        "sealed thinking stays as it came",
        u("q"),
        Reasoning(encrypted_content="e", origin=origin("messages").model_copy(update={"field": "redacted_thinking"})),
        call("1"),
        out("1"),
        wire="messages",
    ),
    Row(
        "a message of the user's between a call and its output waits for the output",
        (u("q"), call("1"), u("wait"), out("1"), a("t")),
        (u("q"), call("1"), out("1"), u("wait"), a("t")),
        (("moved_output", 3),),
        wire="messages",
    ),
)

CONTENT = (
    Row(
        "an image alone, for a model that reads text only, is still a message",
        (Message(role="user", content=(InputImage(image_url=PNG),)), a("t")),
        (u("[image left out: this model reads text only]"), a("t")),
        (("replaced_image", 0),),
        compat=Compat(provider="p", images=False),
    ),
    Row(
        "an image beside blank text",
        (user_message(" ", PNG),),
        (Message(role="user", content=(InputImage(image_url=PNG),)),),
        (("dropped_empty_message", 0),),
        wire="messages",
    ),
    same(
        "images in the output of a tool",
        u("q"),
        call("1"),
        FunctionCallOutput(call_id="1", output=(InputText(text="see"), InputImage(image_url=PNG))),
    ),
    Row(
        "half characters wherever there is text",
        (
            u("\ud83d\ude00 \ud83d"),
            Message(role="assistant", content=(OutputText(text="\udc00"),)),
            CustomToolCall(call_id="t1", name="patch\ud800", input="\ud800"),
            CustomToolCallOutput(call_id="t1", output="\ud800"),
        ),
        (
            u("\U0001f600 \ufffd"),
            a("\ufffd"),
            CustomToolCall(call_id="t1", name="patch_", input="\ufffd"),
            CustomToolCallOutput(call_id="t1", output="\ufffd"),
        ),
        (
            ("replaced_characters", 0),
            ("replaced_characters", 1),
            ("replaced_characters", 2),
            ("replaced_name", 2),
            ("replaced_characters", 3),
        ),
        compat=CUSTOM,
    ),
    same("control characters but NUL are JSON's to escape", u("\x1b[1m\x07"), call("1"), out("1", "\x1b[0m\r\n")),
    Row(
        "what the Responses API calls items has no place on chat",
        (
            u("q"),
            WebSearchCall(),
            ImageGenerationCall(result="AAAA", origin=origin("responses")),
            UnknownItem(raw={"type": "mcp_call"}),
            UnknownItem(raw={"type": "of_this_wire"}, origin=origin()),
            a("t"),
        ),
        (u("q"), a("t")),
        (("dropped_item", 1), ("dropped_item", 2), ("dropped_item", 3), ("dropped_item", 4)),
    ),
    Row(
        "on messages only blocks of its own that nobody here knows",
        (
            u("q"),
            WebSearchCall(origin=origin("messages")),
            UnknownItem(raw={"type": "mcp_call"}),
            UnknownItem(raw={"type": "new_block"}, origin=origin("messages")),
            a("t"),
        ),
        (u("q"), UnknownItem(raw={"type": "new_block"}, origin=origin("messages")), a("t")),
        (("dropped_item", 1), ("dropped_item", 2)),
        wire="messages",
    ),
    Row(
        "a compaction of another provider's with a summary, and one that says nothing",
        (
            Compaction(encrypted_content="c", summary="so far", origin=origin("responses", "q")),
            Compaction(encrypted_content="c", summary=" ", origin=origin("responses", "q")),
            u("q"),
        ),
        (u("so far"), u("q")),
        (("lowered_item", 0), ("dropped_item", 1)),
        wire="responses",
    ),
)


@pytest.mark.parametrize("row", [*PAIRS, *IDS, *ORDER, *CONTENT], ids=lambda row: row.name)
def test_rule(row: Row) -> None:
    """The items that are sent and the repairs are exactly those of the row, and a second replay repairs nothing."""
    replayed = replay(row.items, wire=row.wire, model="m", compat=row.compat)
    assert (replayed.items, tuple((repair.kind, repair.item_index) for repair in replayed.repairs)) == (
        row.sent,
        row.repairs,
    )
    assert replay(replayed.items, wire=row.wire, model="m", compat=row.compat).repairs == ()
