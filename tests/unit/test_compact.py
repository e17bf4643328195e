"""Where a history may be cut, and what of it stays word for word. Without a model."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent_core.items import (
    Compaction,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    GhostSnapshot,
    InputImage,
    InputText,
    LocalShellCall,
    Message,
    Origin,
    Reasoning,
    ResponseItem,
    ToolSearchCall,
    ToolSearchOutput,
    WebSearchCall,
    assistant_message,
    system_message,
    user_message,
)
from agent_core.session.compact import Cut, choose_cut, kept_messages, newest_within, safe_cuts, squeezed
from agent_core.session.estimate import estimate_item

U, A, R, SYS = user_message("u"), assistant_message("a"), Reasoning(content=("r",)), system_message("s")
SUMMARY = Compaction(summary="so far")
SEALED = Compaction(encrypted_content="x", origin=Origin(wire="responses"))


def c(call_id: str = "1") -> FunctionCall:
    return FunctionCall(call_id=call_id, name="f")


def o(call_id: str = "1", size: int = 1) -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output="x" * size)


CUTS: dict[str, tuple[Sequence[ResponseItem], tuple[int, ...]]] = {
    "nothing": ((), (0,)),
    "messages": ((U, A, U, A), (0, 1, 2, 3, 4)),
    "a call and its output stay together": ((U, c(), o(), A), (0, 1, 3, 4)),
    "a reasoning belongs to what follows it": ((U, R, A, U), (0, 1, 3, 4)),
    "a response is one piece": ((U, R, A, c(), o(), U), (0, 1, 5, 6)),
    "parallel calls": ((U, c("1"), c("2"), o("1"), o("2"), A), (0, 1, 5, 6)),
    "outputs out of order": ((U, c("1"), c("2"), o("2"), o("1"), A), (0, 1, 5, 6)),
    "every kind of call": (
        (
            *(CustomToolCall(call_id="1", name="p"), CustomToolCallOutput(call_id="1")),
            *(LocalShellCall(call_id="2"), FunctionCallOutput(call_id="2")),
            *(ToolSearchCall(call_id="3"), ToolSearchOutput(call_id="3")),
        ),
        (0, 2, 4, 6),
    ),
    "text between a call and its output": ((c(), U, o(), A), (0, 3, 4)),
    "an output that comes late": ((c(), U, A, U, A, o()), (0, 6)),
    "an open call": ((U, A, c(), U), (0, 1)),
    "an open call among answered ones": ((U, c("1"), c("2"), o("1")), (0, 1)),
    "a call id used again in a later response": ((c(), o(), A, c(), o(), U), (0, 2, 5, 6)),
    "a call id used again while a call is open": ((U, c(), U, c(), o(), U), (0, 1)),
    "and answered in the end": ((U, c(), U, c(), o(), U, o()), (0, 1, 7)),
    "one call id twice in one response": ((c(), c(), o(), o(), A), (0, 4, 5)),
    "an orphan output": ((U, o(), A), (0, 1, 2, 3)),
    "a tool of the provider's": ((U, R, WebSearchCall(), A, U), (0, 1, 4, 5)),
    "a search the provider answered": (
        (U, ToolSearchCall(execution="server"), ToolSearchOutput(execution="server"), A),
        (0, 1, 4),
    ),
    "after our summary": ((U, SUMMARY, R, A), (0, 1, 2, 4)),
    "a compaction the provider made is part of its answer": ((U, SEALED, R, A), (0, 1, 4)),
    "a snapshot": ((U, A, GhostSnapshot(ghost_commit={}), A), (0, 1, 2, 3, 4)),
}


@pytest.mark.parametrize("name", CUTS)
def test_safe_cuts(name: str) -> None:
    """Neither pairs nor responses are parted: codex.md 8, remove_first (what goes takes its partner along, of every
    kind); behaviours.md S1-70."""
    items, cuts = CUTS[name]
    assert safe_cuts(items) == cuts


BIG = 4 * 1000  # bytes of a thousand tokens
STEP = (R, c(), o())
CHOSEN: dict[str, tuple[Sequence[ResponseItem], int]] = {
    "between turns, nothing is left to answer": ((U, *STEP, A), 5),
    "what the user just said": ((U, A, U), 2),
    "however long": ((U, A, user_message("x" * BIG)), 2),
    "with an instruction after it": ((U, A, U, SYS), 2),
    "a step whose outputs were not sent yet": ((U, *STEP, *STEP), 4),
    "too large a step is summarised too": ((U, *STEP, R, c("2"), o("2", BIG)), 7),
    "but not what was said after it": ((U, *STEP, R, c("2"), o("2", BIG), U), 7),
    "a small step and what was said after it": ((U, *STEP, *STEP, U), 4),
    "an open call stays": ((U, A, U, c()), 3),
    "an open call beside a large output": ((U, A, U, c("1"), c("2"), o("1", BIG)), 3),
    "nothing was answered at all": ((U, U), 0),
    "nothing but a summary": ((U, SUMMARY), 0),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_the_cut_is_before_what_was_not_answered_yet(name: str) -> None:
    """What stays is bounded, but for the user's own new words and calls that are open."""
    items, at = CHOSEN[name]
    assert choose_cut(items, 100) == Cut(at, sum(map(estimate_item, items[at:])))


def said(text: str, tokens: int) -> Message:
    return user_message(text + "." * (4 * tokens - 12 - len(text)))


KEPT: dict[str, tuple[Sequence[ResponseItem], int, list[str]]] = {
    "the user's words alone": ((U, R, A, c(), o(), U), 100, ["u", "u"]),
    "newest first within the budget": (
        (said("one", 30), A, said("two", 30), A, said("three", 30)),
        60,
        ["two", "three"],
    ),
    "none": ((said("one", 200), A), 0, []),
    "nothing older than what did not fit": ((U, A, said("two", 90), A, said("three", 50)), 60, ["three"]),
    "all instructions": ((SYS, said("one", 200), A, system_message("t", role="developer")), 50, ["s", "t"]),
    "a summary is not carried on": ((U, SUMMARY, A, U), 100, ["u", "u"]),
}


@pytest.mark.parametrize("name", KEPT)
def test_messages_that_stay(name: str) -> None:
    """The same objects, in their order."""
    items, tokens, texts = KEPT[name]
    kept = kept_messages(items, tokens)
    assert [part.text.rstrip(".") for m in kept for part in m.content if isinstance(part, InputText)] == texts
    assert all(any(message is item for item in items) for message in kept)


def test_the_message_that_crosses_the_budget_is_shortened() -> None:
    """Its beginning and its end stay, it says how much is missing, and it is an item of its own."""
    long = user_message("begin " + "x" * 8000 + " end").model_copy(update={"id": "msg_1"})
    (kept, newest) = kept_messages((long, A, U), 500)
    assert isinstance(kept.content[0], InputText)
    text = kept.content[0].text
    assert text.startswith("begin ") and text.endswith(" end") and "tokens truncated" in text
    assert (kept.id, newest) == (None, U) and estimate_item(kept) <= 500


def test_what_is_shortened_loses_its_images_and_says_so() -> None:
    """An image costs about 1,800 tokens; a message that fits keeps its own."""
    image = InputImage(image_url="https://example.com/a.png")
    message = Message(role="user", content=(InputText(text="look"), image))
    assert kept_messages((message,), 2000) == (message,)
    (cut,) = kept_messages((message,), 1000)
    assert [part.type for part in cut.content] == ["input_text", "input_text"]
    assert kept_messages((Message(role="user", content=(image,)),), 1000) == ()


WITHIN = ((0, 7), (3, 7), (4, 6), (15, 6), (16, 3), (20, 2), (27, 1), (28, 0), (1000, 0))


@pytest.mark.parametrize(("tokens", "start"), WITHIN)
def test_the_newest_that_fits_begins_at_a_safe_cut(tokens: int, start: int) -> None:
    """Whole steps are left out from the beginning: each of these items takes 4 tokens."""
    items = (U, A, U, R, c(), o(), A)
    assert newest_within(items, tokens) == start


def test_a_step_is_squeezed_in_its_outputs_and_the_users_words() -> None:
    """What is short stays; the rest shares what is left, and calls and answers are left alone."""
    long = user_message("x" * 40_000)
    items = (long, U, c("1"), c("2"), o("1", 40_000), o("2"), A)
    cut = squeezed(items, 2000)
    assert 1000 < sum(map(estimate_item, cut)) <= 2000
    assert [new is old for new, old in zip(cut, items, strict=True)] == [False, True, True, True, False, True, True]
