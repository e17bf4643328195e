"""What becomes of a history: rows of behaviours.md 6.D and of the history tests in codex.md 8 that no other table has.

Where this project decided otherwise than the reference, the row says so in its docstring and holds what was decided.
"""

from __future__ import annotations

import json

import pytest

from agent_core.codecs import WIRES, codec_for
from agent_core.codecs.base import Compat
from agent_core.codecs.replay import replay
from agent_core.errors import InvalidPromptError, SessionError
from agent_core.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    InputText,
    JsonValue,
    LocalShellAction,
    LocalShellCall,
    Message,
    Reasoning,
    ResponseItem,
    ToolSearchOutput,
    UnknownItem,
    WireName,
    assistant_message,
    system_message,
    user_message,
)
from agent_core.prompt import Prompt
from agent_core.session import OutputBudget, Session
from agent_core.session.compact import safe_cuts
from agent_core.session.history import truncate_output

U, A = user_message("u"), assistant_message("a")
CALL = FunctionCall(call_id="c1", name="f", arguments="{}")
OUT = FunctionCallOutput(call_id="c1", output="done")
SHELL = LocalShellCall(call_id="s1", action=LocalShellAction(command=("ls",)))
SHELL_OUT = FunctionCallOutput(call_id="s1", output="a.txt")
CUSTOM = CustomToolCall(call_id="t1", name="patch", input="x")
CUSTOM_OUT = CustomToolCallOutput(call_id="t1", output="done")
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def kinds(items: tuple[ResponseItem, ...]) -> list[str]:
    return [item.type for item in items]


def test_t_d1_everything_is_remembered_and_what_has_no_place_is_not_sent() -> None:
    """T-D1, codex history (record: system dropped): a session keeps system messages and unknown items too, since it
    may go on elsewhere; each wire is sent what it can say, and the report names the rest."""
    unknown = UnknownItem(raw={"type": "martian"})
    session = Session(items=[system_message("s"), Reasoning(content=("r",)), unknown, U, A])
    assert kinds(session.items) == ["message", "reasoning", "unknown", "message", "message"]
    sent = replay(session.items, wire="chat", model="m", compat=Compat())
    assert kinds(sent.items) == ["message", "message", "message"]
    assert [(repair.kind, repair.item_index) for repair in sent.repairs] == [
        ("dropped_reasoning", 1), ("dropped_item", 2),
    ]  # fmt: skip


OLDEST: dict[str, tuple[ResponseItem, ResponseItem]] = {
    "T-D3 call and output": (CALL, OUT),
    "T-D5 local shell and output": (SHELL, SHELL_OUT),
    "T-D6 custom pair": (CUSTOM, CUSTOM_OUT),
}


@pytest.mark.parametrize("name", OLDEST)
def test_the_oldest_goes_with_its_other_half(name: str) -> None:
    """codex history (remove_first): a history is never cut between the two, and if it was, neither half is sent."""
    call, output = OLDEST[name]
    assert safe_cuts((call, output, U)) == (0, 2, 3)
    for wire in WIRES:
        sent = replay((output, U), wire=wire, model="m", compat=Compat())
        assert (sent.items, sent.repairs[-1].kind) == ((U,), "dropped_orphan_output")


def test_t_d4_an_output_before_its_call() -> None:
    """T-D4: they are no pair here (an output answers what was asked before it), so cutting the output off loses
    nothing, and the call is answered as one that was never run."""
    whole = replay((OUT, CALL, U), wire="chat", model="m", compat=Compat())
    cut = replay((CALL, U), wire="chat", model="m", compat=Compat())
    assert whole.items == cut.items
    assert kinds(cut.items) == ["function_call", "function_call_output", "message"]


TOOL_OUTPUTS: dict[str, tuple[FunctionCallOutput, JsonValue]] = {
    "T-D22 a success is a plain string": (FunctionCallOutput(call_id="c1", output="ok", success=True), "ok"),
    "T-D22 a failure too, and says so": (FunctionCallOutput(call_id="c1", output="no", success=False), "Error: no"),
    "T-D22 text and image are a list with a data URL": (
        FunctionCallOutput(call_id="c1", output=(InputText(text="t"), InputImage(image_url=PIXEL))),
        [
            {"type": "input_text", "text": "t"},
            {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
        ],
    ),
}


@pytest.mark.parametrize("name", TOOL_OUTPUTS)
def test_outputs_on_the_responses_wire(name: str) -> None:
    """Written as the row says, and read back as parts of an output whose success nobody told."""
    item, wire = TOOL_OUTPUTS[name]
    codec = codec_for("responses")
    body = codec.encode_request(Prompt([U, CALL, item], model="m"), Compat()).body
    assert json.loads(body)["input"][-1]["output"] == wire
    again = codec.decode_request(body).prompt.items[-1]
    assert isinstance(again, FunctionCallOutput) and again.success is None
    assert isinstance(again.output, str) is isinstance(wire, str)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "path", ["/no/such/file.png", "notes.txt"], ids=["T-D24 a missing file", "T-D25 a file that is no image"]
)
def test_a_local_file_is_no_image(wire: WireName, path: str) -> None:
    """Codecs open nothing: a path is the caller's mistake, told with its place before anything is sent; in a tool's
    output, where nobody could take it back, it becomes a note with the reason (the reference: a note for both)."""
    picture = InputImage(image_url=path)
    codec = codec_for(wire)
    with pytest.raises(InvalidPromptError, match=r"items\[0\]: an image is no image: its URL has no scheme"):
        codec.encode_request(Prompt([Message(role="user", content=(picture,))], model="m"), Compat())
    shown = FunctionCallOutput(call_id="c1", output=(picture,))
    request = codec.encode_request(Prompt([U, CALL, shown], model="m"), Compat())
    assert b"[image left out: its URL has no scheme]" in request.body
    assert [repair.kind for repair in request.repairs] == ["replaced_image"]


def test_codex_history_client_tool_search_without_its_call() -> None:
    """codex history (orphan of each kind): a search the client ran, which nobody asked for."""
    sent = replay((U, ToolSearchOutput(call_id="s1")), wire="responses", model="m", compat=Compat())
    assert (sent.items, [repair.kind for repair in sent.repairs]) == ((U,), ["dropped_orphan_output"])


@pytest.mark.parametrize("budget", [OutputBudget(), OutputBudget(bytes=2048), OutputBudget(tokens=500)])
def test_codex_history_an_output_is_cut_to_its_budget(budget: OutputBudget) -> None:
    """codex history (record: output cut to policy x1.2; custom limit): here the budget is met with the marker in it,
    and only in what is sent; what is cut once is not cut again."""
    text = "some words\n" * 20_000
    shown = truncate_output(text, budget)
    assert isinstance(shown, str) and len(shown.encode()) <= budget.max_bytes < len(text)
    assert truncate_output(shown, budget) == shown


def test_codex_history_drop_last_n_user_turns() -> None:
    """codex history (drop_last_n): some; too many leave what stood before the first; none is an error that says so, not
    a no-op. There are no context updates and no inter-agent messages in a session, so nothing else is trimmed."""
    items = [system_message("prefix"), U, A, user_message("v"), A.model_copy(update={"id": "b"})]
    some, many, none = (Session(items=items) for _ in range(3))
    some.rollback(1)
    many.rollback(9)
    assert (len(some.items), len(many.items)) == (3, 1)
    with pytest.raises(SessionError, match="0 turns"):
        none.rollback(0)
    assert len(none.items) == 5
