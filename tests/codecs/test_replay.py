"""Replay, scenario by scenario: exact items and repairs. Rows carry the ids of behaviours.md, codex.md and pains.md."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from agent_core.codecs.base import Compat, Repair, RepairKind
from agent_core.codecs.replay import Replayed, replay
from agent_core.codecs.replay_origin import same_model
from agent_core.codecs.replay_text import clean_text, json_arguments
from agent_core.errors import ConfigError
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
    WireName,
    assistant_message,
    system_message,
    user_message,
)

P = Compat(provider="p")
ABORTED = "aborted"
NOT_RUN = "not run: the call was cut off before it was complete"


def origin(wire: WireName = "chat", provider: str = "p", model: str = "m", response_id: str = "") -> Origin:
    return Origin(wire=wire, provider=provider, model=model, response_id=response_id)


def named(item_id: str) -> Origin:
    return Origin(wire="responses", provider="p", model="m", item_id=item_id)


def u(text: str) -> Message:
    return user_message(text)


def a(text: str) -> Message:
    return assistant_message(text)


def r(text: str, of: Origin | None = None, signature: str | None = None) -> Reasoning:
    return Reasoning(content=(text,), origin=of, signature=signature)


def call(call_id: str, arguments: str = "{}", of: Origin | None = None) -> FunctionCall:
    return FunctionCall(call_id=call_id, name="f", arguments=arguments, origin=of)


def cut(call_id: str) -> FunctionCall:
    return FunctionCall(call_id=call_id, name="f", arguments='{"a', status="incomplete")


def out(call_id: str, output: str = "done") -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output=output)


def failed(call_id: str, output: str = ABORTED) -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output=output, success=False)


def custom(call_id: str) -> CustomToolCall:
    return CustomToolCall(call_id=call_id, name="patch", input="x")


def custom_out(call_id: str, output: str = "done") -> CustomToolCallOutput:
    return CustomToolCallOutput(call_id=call_id, output=output)


def lowered(call_id: str) -> FunctionCall:
    return FunctionCall(call_id=call_id, name="patch", arguments='{"input":"x"}')


def shell(call_id: str) -> LocalShellCall:
    return LocalShellCall(call_id=call_id, action=LocalShellAction(command=("ls", "-l")))


def lowered_shell(call_id: str) -> FunctionCall:
    return FunctionCall(call_id=call_id, name="local_shell", arguments='{"command":["ls","-l"]}')


@dataclass(frozen=True)
class Row:
    """`repairs` are (kind, item index); reasons are for people."""

    name: str
    items: tuple[ResponseItem, ...]
    sent: tuple[ResponseItem, ...]
    repairs: tuple[tuple[RepairKind, int], ...] = ()
    wire: WireName = "chat"
    compat: Compat = P


def same(name: str, *items: ResponseItem, wire: WireName = "chat", compat: Compat = P) -> Row:
    """Nothing to repair."""
    return Row(name, items, items, (), wire, compat)


CALLS = [
    same("T-D7 local shell with its output", u("q"), shell("s1"), out("s1"), wire="responses"),
    same(
        "codex history: custom pair",
        u("q"),
        custom("t1"),
        custom_out("t1"),
        wire="responses",
        compat=Compat(custom_tools=True),
    ),
    same("codex history: empty output of a call is kept", u("q"), call("c1"), out("c1", "")),
    same(
        "codex builder: three calls, three outputs",
        u("q"),
        call("1"),
        call("2"),
        call("3"),
        out("1"),
        out("2"),
        out("3"),
    ),
    same("X-S3-11 call and output from a Responses input", u("q"), call("c1"), out("c1")),
    Row(
        "T-D16 call without output",
        (u("q"), call("c1")),
        (u("q"), call("c1"), failed("c1")),
        (("answered_open_call", 1),),
    ),
    Row(
        "T-D17 custom call without output",
        (u("q"), custom("t1")),
        (u("q"), custom("t1"), CustomToolCallOutput(call_id="t1", output=ABORTED, success=False)),
        (("answered_open_call", 1),),
        wire="responses",
        compat=Compat(custom_tools=True),
    ),
    Row(
        "T-D18 local shell without output",
        (u("q"), shell("s1")),
        (u("q"), shell("s1"), failed("s1")),
        (("answered_open_call", 1),),
        wire="responses",
    ),
    Row("T-D19 orphan function output", (u("q"), out("x")), (u("q"),), (("dropped_orphan_output", 1),)),
    Row(
        "T-D20 orphan custom output",
        (u("q"), custom_out("x")),
        (u("q"),),
        (("dropped_orphan_output", 1),),
        compat=Compat(provider="p", custom_tools=True),
    ),
    Row(
        "T-D21 mixed",
        (call("c1"), out("c2"), custom("t1"), shell("s1")),
        (
            call("c1"),
            custom("t1"),
            shell("s1"),
            failed("c1"),
            CustomToolCallOutput(call_id="t1", output=ABORTED, success=False),
            failed("s1"),
        ),
        (("answered_open_call", 0), ("dropped_orphan_output", 1), ("answered_open_call", 2), ("answered_open_call", 3)),
        wire="responses",
        compat=Compat(custom_tools=True),
    ),
    Row(
        "X-S1-02 W-S1-02 an interrupted call does not cut what follows",
        (u("u1"), call("c1"), u("u2")),
        (u("u1"), call("c1"), failed("c1"), u("u2")),
        (("answered_open_call", 1),),
    ),
    Row(
        "X-S1-03 W-S1-03 blank arguments",
        (u("q"), call("c1", ""), out("c1")),
        (u("q"), call("c1", "{}"), out("c1")),
        (("replaced_arguments", 1),),
    ),
    Row(
        "X-S1-03 W-S1-03 invalid arguments keep the call and its error output",
        (u("q"), call("c1", '{"a":'), failed("c1", "not JSON")),
        (u("q"), call("c1", '{"_invalid_arguments":"{\\"a\\":"}'), failed("c1", "not JSON")),
        (("replaced_arguments", 1),),
    ),
    Row(
        "X-S1-04 W-S1-04 one output, two calls of one id",
        (u("q"), call("c1"), out("c1"), call("c1")),
        (u("q"), call("c1"), out("c1"), call("call_0317ca9a8a263eb459a47f5b"), failed("call_0317ca9a8a263eb459a47f5b")),
        (("renamed_call_id", 3), ("answered_open_call", 3)),
    ),
    Row(
        "X-S1-04 W-S1-04 an output before its call",
        (u("q"), out("c1"), call("c1")),
        (u("q"), call("c1"), failed("c1")),
        (("dropped_orphan_output", 1), ("answered_open_call", 2)),
    ),
    Row(
        "W-S1-04 a second output",
        (u("q"), call("c1"), out("c1"), out("c1", "again")),
        (u("q"), call("c1"), out("c1")),
        (("dropped_duplicate_output", 3),),
    ),
    Row(
        "W-S1-04 an output of another kind",
        (u("q"), call("c1"), custom_out("c1")),
        (u("q"), call("c1"), failed("c1")),
        (("answered_open_call", 1), ("lowered_item", 2), ("dropped_orphan_output", 2)),
    ),
    same("X-S1-05 W-S1-05 text, two calls, two outputs", u("q"), a("t"), call("1"), call("2"), out("1"), out("2")),
    Row(
        "X-S1-05 W-S1-05 text between a call and its output",
        (u("q"), call("1"), a("t"), out("1")),
        (u("q"), a("t"), call("1"), out("1")),
        (("moved_message", 2),),
    ),
    Row(
        "X-S1-05 on messages",
        (u("q"), call("1"), a("t"), out("1")),
        (u("q"), a("t"), call("1"), out("1")),
        (("moved_message", 2),),
        wire="messages",
    ),
    same("X-S1-05 on responses the model's order is legal", u("q"), call("1"), a("t"), out("1"), wire="responses"),
    Row(
        "outputs in another order than their calls",
        (u("q"), call("1"), call("2"), out("2"), out("1")),
        (u("q"), call("1"), call("2"), out("1"), out("2")),
        (("moved_output", 3),),
    ),
    Row(
        "pains 1: an output that came after the next user message",
        (u("q"), call("1"), call("2"), out("1"), u("wait"), out("2")),
        (u("q"), call("1"), call("2"), out("1"), out("2"), u("wait")),
        (("moved_output", 5),),
    ),
    Row(
        "pains 1: response-scoped ids; the open call of an older turn does not take the newer output",
        (u("q"), call("call_0"), u("again"), call("call_0"), out("call_0")),
        (
            u("q"),
            call("call_0"),
            failed("call_0"),
            u("again"),
            call("call_8923cc55398dc10c709e2e25"),
            out("call_8923cc55398dc10c709e2e25"),
        ),
        (("answered_open_call", 1), ("renamed_call_id", 3), ("renamed_call_id", 4)),
    ),
    Row(
        "a cut call without output says it was not run",
        (u("q"), cut("c1")),
        (
            u("q"),
            FunctionCall(call_id="c1", name="f", arguments='{"_invalid_arguments":"{\\"a"}', status="incomplete"),
            failed("c1", NOT_RUN),
        ),
        (("replaced_arguments", 1), ("answered_open_call", 1)),
    ),
    Row(
        "X-S1-07 W-S1-07 custom and local shell pairs share their call_id",
        (u("q"), custom("t1"), shell("s1"), custom_out("t1"), out("s1")),
        (u("q"), lowered("t1"), lowered_shell("s1"), FunctionCallOutput(call_id="t1", output="done"), out("s1")),
        (("lowered_item", 1), ("lowered_item", 2), ("lowered_item", 3)),
    ),
    same(
        "custom tools stay custom where the chat server knows them",
        u("q"),
        custom("t1"),
        custom_out("t1"),
        compat=Compat(custom_tools=True),
    ),
    Row(
        "custom tools are lowered on responses without them",
        (u("q"), custom("t1"), custom_out("t1")),
        (u("q"), lowered("t1"), out("t1")),
        (("lowered_item", 1), ("lowered_item", 2)),
        wire="responses",
    ),
    same("codex history: server tool search is kept", u("q"), ToolSearchOutput(execution="server"), wire="responses"),
    Row(
        "client tool search without output",
        (u("q"), ToolSearchCall(call_id="s1", arguments={"query": "x"})),
        (u("q"), ToolSearchCall(call_id="s1", arguments={"query": "x"}), ToolSearchOutput(call_id="s1")),
        (("answered_open_call", 1),),
        wire="responses",
    ),
    Row(
        "tool search has no place on chat",
        (u("q"), ToolSearchCall(call_id="s1"), ToolSearchOutput(call_id="s1"), a("t")),
        (u("q"), a("t")),
        (("dropped_item", 1), ("dropped_item", 2)),
    ),
    Row(
        "a foreign server's tool search goes with its output",
        (
            u("q"),
            ToolSearchCall(execution="server", origin=origin("responses", "q")),
            ToolSearchOutput(execution="server"),
            a("t"),
        ),
        (u("q"), a("t")),
        (("dropped_item", 1), ("dropped_item", 2)),
        wire="responses",
    ),
    Row(
        "a tool name the model made up (openai: multi_tool_use.parallel)",
        (u("q"), FunctionCall(call_id="1", name="multi_tool_use.parallel", arguments="{}"), out("1")),
        (u("q"), FunctionCall(call_id="1", name="multi_tool_use_parallel", arguments="{}"), out("1")),
        (("replaced_name", 1),),
    ),
]

REASONING = [
    same("T-B1 no reasoning", u("u1"), a("a1")),
    Row(
        "T-B2 reasoning after its message",
        (u("u1"), a("a1"), r("rA")),
        (u("u1"), r("rA"), a("a1")),
        (("moved_reasoning", 2),),
    ),
    Row(
        "T-B3 reasoning before an open call",
        (u("u1"), r("rFunc"), call("c1")),
        (u("u1"), r("rFunc"), call("c1"), failed("c1")),
        (("answered_open_call", 2),),
    ),
    Row(
        "T-B4 reasoning before a local shell call",
        (u("u1"), r("rShell"), shell("id1"), out("id1")),
        (u("u1"), r("rShell"), lowered_shell("id1"), out("id1")),
        (("lowered_item", 2),),
    ),
    Row(
        "T-B5 reasoning of an earlier turn",
        (a("aPrev"), r("R"), u("uNew")),
        (a("aPrev"), u("uNew")),
        (("dropped_reasoning", 1),),
    ),
    Row(
        "T-B6 reasoning without anchor",
        (u("u1"), a("a1"), u("u2"), r("R")),
        (u("u1"), a("a1"), u("u2")),
        (("dropped_reasoning", 3),),
    ),
    Row(
        "T-B7 blank reasoning",
        (u("u1"), a("a1"), r(""), r("   ")),
        (u("u1"), a("a1")),
        (("dropped_reasoning", 2), ("dropped_reasoning", 3)),
    ),
    Row(
        "X-S1-01 W-S1-01 two reasonings before a call",
        (u("u"), r("R1"), r("R2"), call("1"), out("1")),
        (u("u"), r("R1\nR2"), call("1"), out("1")),
        (("joined_reasoning", 1), ("joined_reasoning", 2)),
    ),
    Row(
        "W-S1-01 two reasonings after a message",
        (u("u"), a("t"), r("R1"), r("R2")),
        (u("u"), r("R1\nR2"), a("t")),
        (("moved_reasoning", 2), ("joined_reasoning", 2), ("moved_reasoning", 3), ("joined_reasoning", 3)),
    ),
    Row(
        "W-S1-01 reasoning before a custom call",
        (u("u"), r("R"), custom("t1"), custom_out("t1")),
        (u("u"), r("R"), lowered("t1"), out("t1")),
        (("lowered_item", 2), ("lowered_item", 3)),
    ),
    Row(
        "W-S1-01 the anchor is what is really sent",
        (u("u"), r("R"), a(""), call("1"), out("1")),
        (u("u"), r("R"), call("1"), out("1")),
        (("dropped_empty_message", 2),),
    ),
    same(
        "reasoning of each step of the current turn",
        u("u"),
        r("R1"),
        call("1"),
        out("1"),
        r("R2"),
        call("2"),
        out("2"),
        r("R3"),
        a("t"),
    ),
    same(
        "pains 2: DeepSeek v4 wants all of it",
        u("u"),
        r("R1"),
        a("t"),
        u("u2"),
        r("R2"),
        a("t2"),
        compat=Compat(provider="p", reasoning_always_present=True),
    ),
    same(
        "messages keep signed thinking of earlier turns",
        u("u"),
        r("R", signature="s"),
        a("t"),
        u("u2"),
        wire="messages",
    ),
    Row(
        "messages refuse thinking without signature",
        (u("u"), r("R"), a("t")),
        (u("u"), a("t")),
        (("dropped_reasoning", 1),),
        wire="messages",
    ),
    same(
        "unsigned thinking where the server takes it",
        u("u"),
        r("R"),
        a("t"),
        wire="messages",
        compat=Compat(unsigned_thinking=True),
    ),
    Row(
        "openai-agents#1704 thinking stays before the text that moves",
        (u("u"), r("R", signature="s"), call("1"), a("t"), out("1")),
        (u("u"), r("R", signature="s"), a("t"), call("1"), out("1")),
        (("moved_message", 3),),
        wire="messages",
    ),
    Row(
        "thinking behind parallel calls goes before the first",
        (u("u"), call("1"), call("2"), r("R", signature="s"), out("1"), out("2")),
        (u("u"), r("R", signature="s"), call("1"), call("2"), out("1"), out("2")),
        (("moved_reasoning", 3),),
        wire="messages",
    ),
    Row(
        "agents-js#929 reasoning is never alone on responses",
        (u("u"), r("R1"), call("1"), r("R2"), out("1")),
        (u("u"), r("R1"), call("1"), out("1")),
        (("dropped_reasoning", 3),),
        wire="responses",
    ),
    same("responses keep reasonings apart", u("u"), r("R1"), r("R2"), a("t"), u("u2"), wire="responses"),
    Row(
        "a summary is no use to a provider of encrypted reasoning",
        (u("u"), r("R"), a("t")),
        (u("u"), a("t")),
        (("dropped_reasoning", 1),),
        wire="responses",
        compat=Compat(encrypted_reasoning=True),
    ),
    same(
        "an empty reasoning item that is stored is sent by its id",
        u("u"),
        Reasoning(origin=named("rs_1")),
        a("t").model_copy(update={"origin": named("msg_1")}),
        wire="responses",
        compat=Compat(provider="p", encrypted_reasoning=True, send_item_ids=True),
    ),
    Row(
        "open_calls: only steps with calls of the current turn",
        (u("u"), r("R1"), call("1"), out("1"), u("u2"), r("R2"), call("2"), out("2"), r("R3"), a("t")),
        (u("u"), call("1"), out("1"), u("u2"), r("R2"), call("2"), out("2"), a("t")),
        (("dropped_reasoning", 1), ("dropped_reasoning", 8)),
        compat=Compat(reasoning_replay="open_calls"),
    ),
    Row(
        "never",
        (u("u"), r("R"), a("t")),
        (u("u"), a("t")),
        (("dropped_reasoning", 1),),
        compat=Compat(reasoning_replay="never"),
    ),
    Row(
        "a server without a reasoning field",
        (u("u"), r("R"), a("t")),
        (u("u"), a("t")),
        (("dropped_reasoning", 1),),
        compat=Compat(reasoning_field="none"),
    ),
    same("readable reasoning of another model of the provider", u("u"), r("R", origin(model="n")), a("t")),
    Row(
        "another provider's reasoning",
        (u("u"), r("R", origin(provider="q")), a("t")),
        (u("u"), a("t")),
        (("dropped_reasoning", 1),),
    ),
    Row(
        "another wire's reasoning",
        (u("u"), r("R", origin("messages")), a("t")),
        (u("u"), a("t")),
        (("dropped_reasoning", 1),),
    ),
    Row(
        "foreign reasoning as text, if asked for",
        (u("u"), r("R", origin(provider="q")), call("1"), out("1"), r(" ", origin(provider="q")), a("t")),
        (u("u"), a("R"), call("1"), out("1"), a("t")),
        (("textified_reasoning", 1), ("dropped_reasoning", 4)),
        compat=Compat(provider="p", foreign_reasoning="text"),
    ),
    Row(
        "a signature of another model is cut off, the text stays",
        (u("u"), r("R", origin(model="n"), "s"), a("t")),
        (u("u"), r("R", origin(model="n")), a("t")),
        (("dropped_opaque", 1),),
    ),
    Row(
        "signed thinking of another model",
        (u("u"), r("R", origin("messages", model="n"), "s"), a("t")),
        (u("u"), a("t")),
        (("dropped_reasoning", 1),),
        wire="messages",
    ),
    same(
        "a dated name is the same model",
        u("u"),
        r("R", origin("messages", model="m-20260102"), "s"),
        a("t"),
        wire="messages",
    ),
]

CONTENT = [
    Row("T-B8 the same text twice", (a("dup"), a("dup")), (a("dup"),), (("dropped_duplicate_message", 1),)),
    same("X-S1-06 W-S1-06 T-C20 the same text in two turns", u("u1"), a("ok"), u("u2"), a("ok"), u("u3")),
    Row(
        "X-S1-06 directly repeated", (a("x"), a("x")), (a("x"),), (("dropped_duplicate_message", 1),), wire="responses"
    ),
    same("W-S1-06 the same text around a call", u("u"), a("ok"), call("1"), out("1"), a("ok")),
    Row(
        "W-S1-06 repeated, and its reasoning kept",
        (u("u"), a("x"), a("x"), r("R")),
        (u("u"), r("R"), a("x")),
        (("dropped_duplicate_message", 2), ("moved_reasoning", 3)),
    ),
    Row(
        "W-S1-06 repeated behind reasoning that the next turn drops",
        (u("u"), a("x"), r("R"), a("x")),
        (u("u"), r("R"), a("x")),
        (("moved_reasoning", 2), ("dropped_duplicate_message", 3)),
    ),
    same("W-S1-06 repeated behind reasoning that stays", u("u"), a("x"), r("R"), a("x"), wire="responses"),
    Row("T-D2 a ghost snapshot is never sent", (GhostSnapshot(ghost_commit={"id": "1"}),), (), (("dropped_item", 0),)),
    Row(
        "S1-13 empty messages",
        (u("u"), a(" "), u("\n"), Message(role="user")),
        (u("u"),),
        (("dropped_empty_message", 1), ("dropped_empty_message", 2), ("dropped_empty_message", 3)),
    ),
    same("S1-13 an image alone is a message", user_message("", "data:image/png;base64,iVBORw0KGgo=")),
    same("a refusal is text", u("u"), Message(role="assistant", content=(Refusal(refusal="no"),))),
    Row(
        "S1-14 an assistant message with only an image",
        (u("u"), Message(role="assistant", content=(InputImage(image_url="data:image/png;base64,iVBORw0KGgo="),))),
        (u("u"), a("[attachment left out: an assistant message carries text only]")),
        (("replaced_image", 1),),
    ),
    Row(
        "codex 2.1c images for a text-only model",
        (
            user_message("see", "data:image/png;base64,iVBORw0KGgo="),
            call("1"),
            FunctionCallOutput(call_id="1", output=(InputImage(image_url="data:image/png;base64,iVBORw0KGgo="),)),
        ),
        (
            Message(
                role="user",
                content=(InputText(text="see"), InputText(text="[image left out: this model reads text only]")),
            ),
            call("1"),
            FunctionCallOutput(call_id="1", output=(InputText(text="[image left out: this model reads text only]"),)),
        ),
        (("replaced_image", 0), ("replaced_image", 2)),
        compat=Compat(images=False),
    ),
    Row(
        "files for a model that reads none",
        (Message(role="user", content=(InputFile(file_id="1"),)),),
        (u("[file left out: this model reads no files]"),),
        (("replaced_file", 0),),
        compat=Compat(files=False),
    ),
    Row(
        "codex 2.1c a generated image for a text-only model",
        (u("u"), ImageGenerationCall(result="AAAA", origin=named("ig_1")), a("t")),
        (u("u"), ImageGenerationCall(result="", origin=named("ig_1")), a("t")),
        (("replaced_image", 1),),
        wire="responses",
        compat=Compat(provider="p", images=False),
    ),
    Row(
        "providers.md 3d lone surrogates and NULs",
        (u("a\ud800"), call("1"), out("1", "\0")),
        (u("a\ufffd"), call("1"), out("1", "\ufffd")),
        (("replaced_characters", 0), ("replaced_characters", 2)),
    ),
    Row(
        "messages refuses blank parts",
        (Message(role="user", content=(InputText(text="a"), InputText(text=" "))),),
        (u("a"),),
        (("dropped_empty_message", 0),),
        wire="messages",
    ),
    Row(
        "parts of the other side are written as those of this one",
        (
            Message(role="user", content=(OutputText(text="a"),)),
            Message(role="assistant", content=(InputText(text="b"),)),
        ),
        (u("a"), a("b")),
        (("lowered_item", 0), ("lowered_item", 1)),
    ),
    Row(
        "messages begins with the user",
        (system_message("s"), a("t")),
        (system_message("s"), u("(The conversation continues.)"), a("t")),
        (("inserted_message", 1),),
        wire="messages",
    ),
    same("chat may begin with the model", a("t"), u("u")),
    same(
        "a compaction of the same provider, whatever its model",
        Compaction(encrypted_content="c", origin=origin("responses", model="n")),
        u("u"),
        wire="responses",
    ),
    Row(
        "a compaction elsewhere is its summary",
        (Compaction(encrypted_content="c", summary="so far", origin=origin("responses")), a("t")),
        (u("so far"), a("t")),
        (("lowered_item", 0),),
    ),
    Row(
        "a compaction nobody can read",
        (Compaction(encrypted_content="c", origin=origin("responses", "q")), u("u")),
        (u("u"),),
        (("dropped_item", 0),),
        wire="responses",
    ),
    same(
        "server items of the same origin",
        u("u"),
        WebSearchCall(origin=origin("responses")),
        UnknownItem(raw={"type": "mcp_call"}, origin=origin("responses")),
        a("t"),
        wire="responses",
    ),
    same("unknown items a caller gave to responses", u("u"), UnknownItem(raw={"type": "mcp_call"}), wire="responses"),
    Row(
        "server items of another provider",
        (
            u("u"),
            WebSearchCall(origin=origin("responses", "q")),
            UnknownItem(raw={"type": "x"}, origin=origin("responses", "q")),
            a("t"),
        ),
        (u("u"), a("t")),
        (("dropped_item", 1), ("dropped_item", 2)),
        wire="responses",
    ),
    same(
        "open-webui#224 a thought signature goes back to its provider",
        u("u"),
        FunctionCall(
            call_id="1",
            name="f",
            arguments="{}",
            origin=origin(),
            opaque={"extra_content": {"google": {"thought_signature": "s"}}},
        ),
        out("1"),
    ),
    Row(
        "open-webui#224 and to no other",
        (
            u("u"),
            FunctionCall(
                call_id="1", name="f", arguments="{}", origin=origin(provider="q"), opaque={"extra_content": {}}
            ),
            out("1"),
        ),
        (u("u"), FunctionCall(call_id="1", name="f", arguments="{}", origin=origin(provider="q")), out("1")),
        (("dropped_opaque", 1),),
    ),
]


@pytest.mark.parametrize("row", [*CALLS, *REASONING, *CONTENT], ids=lambda row: row.name)
def test_scenario(row: Row) -> None:
    """The items that are sent and the repairs are exactly those of the row."""
    replayed = replay(row.items, wire=row.wire, model="m", compat=row.compat)
    assert (replayed.items, tuple((repair.kind, repair.item_index) for repair in replayed.repairs)) == (
        row.sent,
        row.repairs,
    )


def test_a_clean_history_comes_back_as_it_is() -> None:
    """Without repairs the very same objects come back."""
    items = (u("u"), r("R"), call("1"), out("1"), a("t"))
    replayed = replay(items, wire="chat", model="m", compat=P)
    assert replayed == Replayed(items)
    assert all(before is after for before, after in zip(items, replayed.items, strict=True))


def test_a_repair_says_what_and_where_but_quotes_nothing() -> None:
    """A repair names kind, place and reason; its reason holds no conversation text."""
    replayed = replay((u("u"), call("c1", "secret")), wire="chat", model="m", compat=P)
    assert replayed.repairs == (
        Repair("replaced_arguments", 1, "arguments that are no JSON object"),
        Repair("answered_open_call", 1, "it was never answered"),
    )


IDS = [
    ("legal", "call_Ab-9", P, "call_Ab-9"),
    ("too long", "x" * 65, P, "call_"),
    ("letters no server takes", "a b", P, "call_"),
    ("empty", "", P, "call_"),
    ("half a character", "\ud800", P, "call_"),
    ("a shorter limit", "x" * 41, Compat(call_id_max=40), "call_"),
    ("a very short limit", "x" * 41, Compat(call_id_max=8), ""),
    ("Mistral: nine letters and digits", "abcDEF123", Compat(call_id_exact=9), "abcDEF123"),
    ("Mistral: another's id", "call_1", Compat(call_id_exact=9), ""),
    ("Bedrock: qualified", "call_0", Compat(qualify_call_ids=True), "call_"),
]


@pytest.mark.parametrize(("name", "call_id", "compat", "start"), IDS, ids=[name for name, *_ in IDS])
def test_call_ids_are_legal_short_enough_and_the_same_every_time(
    name: str, call_id: str, compat: Compat, start: str
) -> None:
    """An id stays or becomes a hash of itself, on the call and on its output."""
    items = (u("u"), call(call_id), out(call_id))
    once = replay(items, wire="chat", model="m", compat=compat)
    _, sent, answer = once.items
    assert isinstance(sent, FunctionCall) and isinstance(answer, FunctionCallOutput)
    assert sent.call_id == answer.call_id and sent.call_id.startswith(start)
    assert len(sent.call_id) <= (compat.call_id_exact or compat.call_id_max)
    assert once == replay(items, wire="chat", model="m", compat=compat)


def test_an_id_its_own_provider_made_stays() -> None:
    """Kimi's models call their calls `functions.f:0`; elsewhere such an id is refused."""
    items = (u("u"), call("functions.f:0", of=origin()), out("functions.f:0"))
    assert replay(items, wire="chat", model="m", compat=P).repairs == ()
    elsewhere = replay(items, wire="chat", model="m", compat=Compat(provider="q"))
    assert [repair.kind for repair in elsewhere.repairs] == ["renamed_call_id", "renamed_call_id"]


def test_response_scoped_ids_are_qualified_by_their_response() -> None:
    """`call_0` of two responses are two ids, and trimming the first does not rename the second."""
    first = (call("call_0", of=origin("responses", response_id="r1")), out("call_0"))
    second = (call("call_0", of=origin("responses", response_id="r2")), out("call_0"))
    compat = Compat(provider="p", qualify_call_ids=True)
    both = replay((u("u"), *first, *second), wire="responses", model="m", compat=compat).items
    alone = replay((u("u"), *second), wire="responses", model="m", compat=compat).items
    assert both[3:] == alone[1:] and both[1] != both[3]


def test_a_profile_without_room_for_ids_is_a_configuration_error() -> None:
    """One-letter ids give out after 36 calls, and the error says what to change."""
    items = [item for n in range(40) for item in (call(f"call-{n}"), out(f"call-{n}"))]
    with pytest.raises(ConfigError, match="no call id is left") as caught:
        replay(items, wire="chat", model="m", compat=Compat(call_id_exact=1))
    assert "call_id_exact" in caught.value.remedy


ARGUMENTS = [
    ("an object stays as the model wrote it", '{ "a" : 1 }', '{ "a" : 1 }'),
    ("blank", " \n", "{}"),
    ("null", "null", '{"_invalid_arguments":"null"}'),
    ("a list", "[1]", '{"_invalid_arguments":"[1]"}'),
    ("a string", '"x"', '{"_invalid_arguments":"\\"x\\""}'),
    ("raw line breaks are escaped", '{"a": "1\n2"}', '{"a":"1\\n2"}'),
    ("half a character, escaped", '{"a": "\\ud800"}', '{"a":"\ufffd"}'),
    ("a NUL, escaped", '{"a": "\\u0000"}', '{"a":"\ufffd"}'),
    ("an escaped backslash is no NUL", '{"a": "\\\\u0000"}', '{"a": "\\\\u0000"}'),
    ("NaN is no JSON", '{"a": NaN}', '{"_invalid_arguments":"{\\"a\\": NaN}"}'),
    ("a number beyond all floats", '{"a": [1e999]}', '{"_invalid_arguments":"{\\"a\\": [1e999]}"}'),
    ("nested too deep", '{"a":' * 300 + "1" + "}" * 300, None),
]


@pytest.mark.parametrize(("name", "text", "sent"), ARGUMENTS, ids=[name for name, *_ in ARGUMENTS])
def test_arguments_are_always_an_object(name: str, text: str, sent: str | None) -> None:
    """Arguments go out as the model wrote them if they are an object, else inside of one."""
    result = json_arguments(text)
    assert result == sent if sent is not None else result.startswith('{"_invalid_arguments":')
    assert json_arguments(result) is result


MODELS = [
    ("gpt-5.6", "gpt-5.6-2026-08-01", True),
    ("claude-sonnet-4-6", "claude-sonnet-4-6-20260201", True),
    ("claude-3-7-sonnet-latest", "claude-3-7-sonnet-20250219", True),
    ("claude-sonnet-4@20250514", "claude-sonnet-4", True),
    ("", "m", True),
    ("gpt-5.6", "gpt-5.6-mini", False),
    ("claude-sonnet-4", "claude-sonnet-4-6", False),
    ("kimi-k2-0711", "kimi-k2-0905", False),
]


@pytest.mark.parametrize(("made_by", "asked", "same"), MODELS)
def test_a_date_does_not_make_another_model(made_by: str, asked: str, same: bool) -> None:
    """Aliases and their dated names are one model; sizes, versions and two different dates are not."""
    assert same_model(made_by, asked) is same and same_model(asked, made_by) is same


def test_halves_of_a_character_are_put_together() -> None:
    """Two halves in a row are the character they were; a lone half is U+FFFD."""
    assert clean_text("\ud83d\ude00 \ud83d") == "\U0001f600 \ufffd"
