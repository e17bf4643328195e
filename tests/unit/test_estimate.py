"""How many tokens a history takes: the provider's count up to its last answer, an estimate of what came after."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from agent_core.events import Usage
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
    Reasoning,
    Refusal,
    ResponseItem,
    ToolSearchCall,
    ToolSearchOutput,
    UnknownItem,
    WebSearchCall,
    assistant_message,
    user_message,
)
from agent_core.session import OutputBudget, Session
from agent_core.session.estimate import TokenEstimate, estimate_item

EACH = 3
"""Tokens around the content of any item."""
IMAGE = 1844 + EACH


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + b"IHDR" + width.to_bytes(4) + height.to_bytes(4)
    return "data:image/png;base64," + b64encode(head + b"\x08\x06\0\0\0" + b"rest" * 9).decode()


def image(url: str = "https://example.com/a.png", detail: str | None = None) -> Message:
    part = InputImage.model_validate({"image_url": url, "detail": detail})
    return Message(role="user", content=(part,))


def file(data: str) -> Message:
    return Message(role="user", content=(InputFile(file_data=data),))


ITEMS: dict[str, tuple[ResponseItem, int]] = {
    "text, rounded up": (user_message("x" * 41), 11 + EACH),
    "text by its bytes": (user_message("é" * 20), 10 + EACH),
    "a lone surrogate": (user_message("\ud83d"), 1 + EACH),
    "a refusal": (Message(role="assistant", content=(Refusal(refusal="x" * 40),)), 10 + EACH),
    "an empty message": (Message(role="user"), 0),
    "a call": (FunctionCall(call_id="c" * 10, name="n" * 10, arguments="a" * 20), 10 + EACH),
    "a custom call": (CustomToolCall(call_id="c" * 10, name="n" * 10, input="a" * 20), 10 + EACH),
    "a shell call": (LocalShellCall(call_id="c" * 9, action=LocalShellAction(command=("ls", "-a"))), 5 + EACH),
    "an output": (FunctionCallOutput(call_id="c" * 4, output="x" * 40), 11 + EACH),
    "parts": (
        CustomToolCallOutput(call_id="c" * 4, output=(InputText(text="x" * 40), InputImage(image_url="data:,"))),
        11 + IMAGE,
    ),
    "readable reasoning": (Reasoning(summary=("x" * 20,), content=("y" * 20,), signature="s" * 999), 10 + EACH),
    # codex.md 2.4: three quarters of its length, less 650
    "sealed reasoning": (Reasoning(encrypted_content="x" * 4000), (3000 - 650 + 2) // 4 + EACH),
    "short sealed reasoning": (Reasoning(encrypted_content="x" * 800), 0),
    "reasoning_details": (Reasoning(content=("x" * 40,), details=({"data": "x" * 4000},)), (3000 - 650 + 42) // 4 + 3),
    "a sealed compaction": (Compaction(encrypted_content="x" * 4000), (3000 - 650 + 2) // 4 + EACH),
    "a compaction of ours": (Compaction(summary="x" * 40), 10 + EACH),
    "an image": (image(), IMAGE),
    "an inline image is not its base64": (image("data:image/png;base64," + "A" * 100_000), IMAGE),
    "low detail": (image(detail="low"), 85 + EACH),
    "original detail by 32 pixel patches": (image(png(1280, 721), "original"), 40 * 23 + EACH),
    "original detail has a most": (image(png(20_000, 20_000), "original"), 10_000 + EACH),
    "original detail of what is no PNG": (image("data:image/png;base64,iVBORw0KGgo=", "original"), IMAGE),
    "original detail of what is no base64": (image("data:image/png;base64,é" + "A" * 50, "original"), IMAGE),
    "original detail of an address": (image(detail="original"), IMAGE),
    "high detail is not measured": (image(png(64, 64), "high"), IMAGE),
    "a generated image": (ImageGenerationCall(result="A" * 100_000), IMAGE),
    "a text file by its size": (file("data:text/plain;base64," + "A" * 1577), 300 + EACH),
    "another file": (file("data:application/pdf;base64," + "A" * 100_000), IMAGE),
    "a tool search": (ToolSearchCall(call_id="c", arguments={"query": "x" * 29}), 10 + EACH + 1),
    "tools found": (ToolSearchOutput(call_id="c", tools=({"name": "x" * 29},)), 11 + EACH),
    "a web search": (WebSearchCall(action={"query": "x" * 28}), 10 + EACH),
    "an unknown item": (UnknownItem(raw={"type": "x" * 29}), 10 + EACH),
    "a snapshot is never sent": (GhostSnapshot(ghost_commit={"id": "x" * 99}), 0),
}


@pytest.mark.parametrize("name", ITEMS)
def test_items(name: str) -> None:
    """Four bytes a token of what is sent, images at their price, encrypted reasoning at what it stands for."""
    item, tokens = ITEMS[name]
    assert estimate_item(item) == tokens


def test_an_output_counts_as_much_as_is_shown_of_it() -> None:
    """Texts up to the budget they share; images on top."""
    budget = OutputBudget(bytes=4096)
    text = FunctionCallOutput(call_id="cccc", output="x" * 100_000)
    parts = FunctionCallOutput(
        call_id="cccc", output=(*(InputText(text="x" * 4000),) * 3, InputImage(image_url="data:,"))
    )
    assert [estimate_item(item, budget) for item in (text, parts)] == [1025 + EACH, 1025 + IMAGE]


def test_an_estimate_goes_on_where_it_stood() -> None:
    """Counting on is the same as counting from the beginning, and looks only at what is new."""
    history = [user_message("x" * n) for n in range(20)]
    part = TokenEstimate().over(history[:7])
    assert part.over(history) == TokenEstimate().over(history)
    assert TokenEstimate().calibrated(Usage(input=900, cache_read=50, output=40, reasoning=10), 19).over(history) == (
        TokenEstimate(1000 + estimate_item(history[19]), 20, 1000)
    )


def test_a_session_takes_the_provider_s_word() -> None:
    """Before the first answer everything is estimated; after it only what came since."""
    session = Session(items=[user_message("x" * 40)])
    assert session.estimated_tokens() == 13
    session.append(assistant_message("hello"))
    session.sample_finished(Usage(input=5000, output=100))
    assert session.estimated_tokens() == 5100
    session.append(FunctionCallOutput(call_id="cccc", output="x" * 100_000))
    assert (session.estimated_tokens(), session.estimated_tokens(None)) == (5100 + 10_001 + EACH, 5100 + 25_001 + EACH)
    session.sample_finished(None)
    assert session.estimated_tokens() == 5100 + 10_001 + EACH


def test_the_window_is_what_the_last_sampling_held(tmp_path: Path) -> None:
    """A provider that worked more than once on one answer used more than the window holds; the file knows it too."""
    with Session.create(tmp_path / "s.jsonl") as session:
        session.append(user_message("x"), assistant_message("y"))
        session.sample_finished(Usage(input=5000, output=100, context=800))
        assert session.estimated_tokens() == 800
    with Session.resume(tmp_path / "s.jsonl") as session:
        assert session.estimated_tokens() == 800
