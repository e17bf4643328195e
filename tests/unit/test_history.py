"""What a prompt shows of tool outputs: rows by their ids in the behaviour spec, and what they leave open."""

from __future__ import annotations

import pytest

from agent_core.errors import ConfigError
from agent_core.items import (
    CustomToolCallOutput,
    FunctionCallOutput,
    InputImage,
    InputText,
    OutputPart,
    ResponseItem,
    user_message,
)
from agent_core.session import OutputBudget, PromptView, prompt_view, truncate_output

COMPANION = OutputBudget(bytes=10 * 1024, lines=256)
"""The limits the T-D rows are written for (behaviours.md S1-68)."""
IMAGE = InputImage(image_url="data:image/png;base64,iVBORw0KGgo=")


def lines(count: int, text: str = "line") -> str:
    return "".join(f"{text} {n}\n" for n in range(1, count + 1))


def cut(text: str, budget: OutputBudget, read_with: str | None = None) -> str:
    shown = truncate_output(text, budget, read_with=read_with)
    assert isinstance(shown, str)
    return shown


def cut_parts(parts: tuple[OutputPart, ...], budget: OutputBudget, read_with: str | None = None) -> list[OutputPart]:
    shown = truncate_output(parts, budget, read_with=read_with)
    assert not isinstance(shown, str)
    return list(shown)


@pytest.mark.parametrize("kind", [FunctionCallOutput, CustomToolCallOutput])
def test_t_d8_t_d9_long_outputs_start_with_their_line_count(
    kind: type[FunctionCallOutput] | type[CustomToolCallOutput],
) -> None:
    """T-D8, T-D9: 2500 long lines, as output of either kind; everything but the text is kept."""
    item = kind(id="o1", call_id="c", output=lines(2500, "a long enough line"), success=True)
    (seen,) = prompt_view([item], COMPANION)
    assert isinstance(seen, kind)
    assert isinstance(seen.output, str)
    assert seen.output.startswith("Total output lines: 2500\n\na long enough line 1\n")
    assert seen.model_copy(update={"output": item.output}) == item


def test_t_d10_a_large_error_text() -> None:
    """T-D10: header, first line, what was left out, and all of it within 10 KiB."""
    shown = cut("failed: no such thing\n" + lines(2000, "   at frame"), COMPANION)
    assert shown.startswith("Total output lines: 2001\n\nfailed: no such thing\n   at frame 1\n")
    assert "[... omitted 1745 of 2001 lines (" in shown
    assert len(shown.encode()) <= 10 * 1024


def test_t_d11_one_line() -> None:
    """T-D11: one line over the limit says characters, not lines."""
    shown = cut("x" * (10 * 1024 + 50), COMPANION)
    left_out = 10 * 1024 + 50 - shown.count("x")
    assert f"x…{left_out} chars truncated…x" in shown
    assert "omitted" not in shown


def test_t_d12_short_outputs_are_untouched() -> None:
    """T-D12: the same object, not a copy."""
    text = lines(10)
    assert truncate_output(text, COMPANION) is text


def test_t_d13_too_many_lines() -> None:
    """T-D13: 356 short lines: 128 from each end."""
    text = lines(356)
    kept = text.splitlines(keepends=True)
    left_out = len("".join(kept[128:228]))
    marker = f"[... omitted 100 of 356 lines ({left_out} chars) ...]\n"
    assert cut(text, COMPANION) == f"Total output lines: 356\n\n{''.join(kept[:128])}{marker}{''.join(kept[228:])}"


@pytest.mark.parametrize(
    ("max_bytes", "omitted"),
    [pytest.param(100_000, 42, id="lines alone"), pytest.param(10 * 1024, 259, id="bytes too")],
)
def test_t_d14_many_long_lines(max_bytes: int, omitted: int) -> None:
    """T-D14: the line marker counts every line that is missing, also those the bytes cost; there is no second marker.

    The reference says 42 in both cases, although it leaves out 259: a loss that is not told (codex#35421).
    """
    shown = cut(f"{'x' * 256}\n" * 298, OutputBudget(bytes=max_bytes, lines=256))
    assert f"[... omitted {omitted} of 298 lines (" in shown
    assert "truncated" not in shown


def test_t_d15_parts_share_one_budget() -> None:
    """T-D15: two texts whole, the image, a third cut to what is left, and a note that counts the rest."""
    half = "a" * (COMPANION.max_bytes // 2 - 10)
    parts: tuple[OutputPart, ...] = (
        InputText(text=half),
        InputText(text=half),
        IMAGE,
        InputText(text="b" * 50),
        InputText(text="c"),
        InputText(text="d"),
    )
    assert truncate_output(parts, COMPANION) == (
        *parts[:3],
        InputText(text="b" * 20),
        InputText(text="[... omitted 30 chars of the text above and 2 text items ...]"),
    )


IMAGES: dict[str, tuple[tuple[OutputPart, ...], tuple[OutputPart, ...]]] = {
    "images alone are free": ((IMAGE,) * 50, (IMAGE,) * 50),
    "images after the budget are kept": (
        (InputText(text="a" * 1024), InputText(text="b"), IMAGE, InputText(text="c"), IMAGE),
        (InputText(text="a" * 1024), IMAGE, IMAGE, InputText(text="[... omitted 2 text items ...]")),
    ),
    "an empty text costs nothing": (
        (InputText(text="a" * 1024), InputText(text="")),
        (InputText(text="a" * 1024), InputText(text="")),
    ),
    "a note of an earlier cut is counted on": (
        (InputText(text="a" * 1024), InputText(text="b"), InputText(text="[... omitted 2 text items ...]")),
        (InputText(text="a" * 1024), InputText(text="[... omitted 3 text items ...]")),
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_parts(name: str) -> None:
    """Images are kept wherever they stand and cost nothing (behaviours.md S1-69)."""
    parts, expected = IMAGES[name]
    assert truncate_output(parts, OutputBudget(bytes=1024)) == expected


def test_a_long_part_is_cut_in_its_middle() -> None:
    """With room left, the text that crosses the budget keeps its end too, and no note is needed."""
    parts = (InputText(text=lines(40)), InputText(text="x" * 5000 + "the end"))
    first, second = cut_parts(parts, OutputBudget(bytes=2048))
    assert first is parts[0]
    assert isinstance(second, InputText)
    assert second.text.startswith("Total output lines: 1\n\nxxx")
    assert second.text.endswith("xxxthe end")


MARKERS: dict[str, tuple[str, OutputBudget, str]] = {
    "tokens are said as tokens": ("x" * 4400, OutputBudget(tokens=1000), "…118 tokens truncated…"),
    "bytes are said as characters": ("é" * 3000, OutputBudget(bytes=4096), "…986 chars truncated…"),
    "lines with tokens": (
        "some words\n" * 1000,
        OutputBudget(tokens=1000),
        "[... omitted 644 of 1000 lines (1771 tokens) ...]",
    ),
    "a long line is cut, not left out": (
        f"first\n{'x' * 9000}\nlast\n",
        OutputBudget(bytes=4096),
        "xxx…4984 chars truncated…xxx",
    ),
    "the line break after a cut line is kept": (
        "x" * 3000 + "\n" + "line\n" * 80,
        OutputBudget(bytes=1024),
        "xxx…2523 chars truncated…\nline\n",
    ),
}


@pytest.mark.parametrize("name", MARKERS)
def test_markers(name: str) -> None:
    """What is left out is said in the budget's own unit, and exactly."""
    text, budget, marker = MARKERS[name]
    assert marker in cut(text, budget)


HINTS: dict[str, tuple[str, str]] = {
    "lines": ("short line\n" * 1000, '; read_output(call_id="fco_1", offset=41) shows them ...]'),
    "one line": ("x" * 9000, '; read_output(call_id="fco_1", unit="bytes", offset=453) shows them…'),
}


@pytest.mark.parametrize("name", HINTS)
def test_the_marker_says_where_to_read_on(name: str) -> None:
    """The first line or byte that is missing, under the id it was given; without an id there is no tool to name."""
    text, hint = HINTS[name]
    budget = OutputBudget(bytes=1024)
    assert hint in cut(text, budget, "fco_1")
    assert "read_output" not in cut(text, budget)
    assert "read_output" not in cut(text, budget, "a very long id" * 20)


def test_a_note_says_where_to_read_on() -> None:
    """Lines are counted over all texts, joined by line breaks."""
    parts = (InputText(text="a\nb\n" * 250), InputText(text="c\nd\n" * 50), InputText(text="e"))
    *_, note = cut_parts(parts, OutputBudget(bytes=1024), "c1")
    # 500 lines and the empty one after them; of the second text 24 bytes are shown, 12 lines.
    assert note == InputText(
        text="[... omitted 176 chars of the text above and 1 text item; "
        'read_output(call_id="c1", offset=514) shows them ...]'
    )


def test_nothing_else_is_touched() -> None:
    """Messages however long, and everything when there is no budget."""
    items: list[ResponseItem] = [user_message("x" * 100_000), FunctionCallOutput(call_id="c", output="y" * 100_000)]
    assert prompt_view(items, OutputBudget())[0] is items[0]
    assert prompt_view(items, None) == tuple(items)


def test_a_cut_does_not_depend_on_its_surroundings() -> None:
    """A longer history starts with the view of the shorter one, and what was cut stays the same object."""
    items = tuple(FunctionCallOutput(id=f"o{n}", call_id="call_0", output="y" * 3000 * n) for n in range(8))
    budget = OutputBudget(bytes=4096)
    view = PromptView(budget, readable=True)
    short = view.of(items[:5])
    longer = view.of(items)
    assert [a is b for a, b in zip(short, longer, strict=False)] == [True] * 5
    assert longer == prompt_view(items, budget, readable=True)


def test_a_view_of_another_history_begins_again() -> None:
    """After a rollback, a compaction, or with another session."""
    view = PromptView(OutputBudget(bytes=1024))
    one, two, three = (FunctionCallOutput(call_id=str(n), output=str(n) * 2000) for n in range(3))
    view.of((one, two))
    assert view.of((one, three)) == prompt_view((one, three), OutputBudget(bytes=1024))
    assert view.of(()) == ()


@pytest.mark.parametrize(
    ("tokens", "size", "lines", "message"),
    [(10, None, None, "40 bytes is too small"), (10, -1, None, "-1 bytes"), (10_000, None, 1, "1 lines")],
)
def test_budgets_that_cannot_be(tokens: int, size: int | None, lines: int | None, message: str) -> None:
    """One line that says the least that works."""
    with pytest.raises(ConfigError, match=message) as caught:
        OutputBudget(tokens=tokens, bytes=size, lines=lines)
    assert caught.value.remedy.startswith("give at least")
