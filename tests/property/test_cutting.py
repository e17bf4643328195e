"""Cutting outputs, by property: within the budget, nothing lost unsaid, once is enough."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.items import FunctionCallOutput, InputFile, InputImage, InputText, OutputPart
from agent_core.session import OutputBudget, PromptView, prompt_view, truncate_output
from agent_core.session.history import text_bytes
from agent_core.tools import ReadOutput, ToolCall, ToolContext

PIECES = st.sampled_from(
    (
        *(
            "a",
            "word ",
            "é",
            "\U0001f600",
            "\ud83d",
            "\ude00",
            "\u2028",
            "\r\n",
            "\n",
            "\n\n",
            "x" * 300,
            "line\n" * 40,
        ),
        *(
            "…",
            "Total output lines: 3\n\n",
            "[... omitted 1 of 3 lines (2 chars) ...]\n",
            "[... omitted 2 text items ...]",
        ),
    )
)
TEXTS = st.lists(st.tuples(PIECES, st.integers(1, 60)), max_size=8).map(lambda p: "".join(t * n for t, n in p))
BUDGETS = st.builds(
    OutputBudget,
    tokens=st.integers(128, 1500),
    bytes=st.none() | st.integers(512, 4000),
    lines=st.none() | st.integers(2, 40),
)
PARTS = st.lists(
    TEXTS.map(lambda text: InputText(text=text))
    | st.just(InputImage(image_url="data:,"))
    | st.just(InputFile(file_id="f")),
    max_size=6,
).map(tuple)
OUTPUTS = TEXTS | PARTS
MARKER = re.compile(
    r"…(?P<text>\d+) (?P<unit>chars|tokens) truncated…"
    r"|\[\.\.\. omitted (?P<lines>\d+) of \d+ lines \((?P<amount>\d+) (?P<other>chars|tokens)\) \.\.\.\]\n"
)


def texts(parts: tuple[OutputPart, ...]) -> list[str]:
    return [part.text for part in parts if isinstance(part, InputText)]


def is_accounted(text: str, shown: str, marker: re.Match[str]) -> bool:
    """What stands on both sides of the marker are the ends of the text, and the marker counts what is between."""
    before, after = shown[: marker.start()], shown[marker.end() :]
    for head, tail in product((before, before.removesuffix("\n")), (after, after.removeprefix("\n"))):
        if text.startswith(head) and text.endswith(tail):
            middle = text[len(head) : len(text) - len(tail)]
            size = -(-text_bytes(middle) // 4) if "tokens" in (marker["unit"], marker["other"]) else len(middle)
            # A line break beside the marker may be the text's own.
            if abs(int(marker["text"] or marker["amount"]) - size) <= 1:
                return marker["lines"] is None or abs(int(marker["lines"]) - middle.count("\n")) <= 1
    return False


@given(TEXTS, BUDGETS)
def test_a_cut_text_fits_and_counts_what_it_lost(text: str, budget: OutputBudget) -> None:
    """Untouched if it fits, else within the budget, and the marker's figures are those of the missing middle."""
    shown = truncate_output(text, budget)
    assert isinstance(shown, str)
    if shown is text:
        assert text_bytes(text) <= budget.max_bytes
        return
    assert text_bytes(shown) <= budget.max_bytes
    header = f"Total output lines: {text.count(chr(10)) + (not text.endswith(chr(10)))}\n\n"
    assert shown.startswith(header)
    body = shown.removeprefix(header)
    assert any(is_accounted(text, body, marker) for marker in MARKER.finditer(body))


@given(OUTPUTS, BUDGETS, st.none() | st.just("fco_1"))
def test_once_is_enough(output: str | tuple[OutputPart, ...], budget: OutputBudget, read_with: str | None) -> None:
    """Cutting what was cut changes nothing, with or without a tool to name."""
    once = truncate_output(output, budget, read_with=read_with)
    assert truncate_output(once, budget, read_with=read_with) is once


@given(PARTS, BUDGETS)
def test_parts_keep_their_images_and_share_the_budget(parts: tuple[OutputPart, ...], budget: OutputBudget) -> None:
    """Everything but texts is there in its order; texts take the budget together, a note and its figures aside."""
    shown = truncate_output(parts, budget)
    assert not isinstance(shown, str)
    assert [p for p in shown if not isinstance(p, InputText)] == [p for p in parts if not isinstance(p, InputText)]
    if shown == parts:
        return
    told = texts(shown)
    note = re.fullmatch(r"\[\.\.\. omitted (.*) \.\.\.\]", told[-1])
    kept = told[:-1] if note else told
    assert sum(map(text_bytes, kept)) <= budget.max_bytes
    assert note or len(kept) == len(texts(parts))


@given(TEXTS, BUDGETS)
def test_no_character_is_split(text: str, budget: OutputBudget) -> None:
    """A surrogate that had its other half still has it: cutting makes no new lone ones."""
    shown = truncate_output(text, budget)
    assert isinstance(shown, str)
    lone = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")
    assert len(lone.findall(shown)) <= len(lone.findall(text))


@given(st.lists(OUTPUTS, max_size=8), BUDGETS, st.data())
def test_views_are_prefix_stable(
    outputs: list[str | tuple[OutputPart, ...]], budget: OutputBudget, data: st.DataObject
) -> None:
    """A view that grew item by item is the view of the whole, and every prefix of it the view of that prefix."""
    items = tuple(FunctionCallOutput(id=f"o{n}", call_id="c", output=output) for n, output in enumerate(outputs))
    view = PromptView(budget, readable=True)
    whole = prompt_view(items, budget, readable=True)
    for end in sorted(data.draw(st.lists(st.integers(0, len(items)), max_size=4))):
        assert view.of(items[:end]) == whole[:end]
    assert view.of(items) == whole


@settings(max_examples=40)
@given(TEXTS.filter(bool), st.sampled_from(["lines", "bytes"]), st.integers(400, 3000))
def test_reading_on_reads_everything(text: str, unit: str, max_bytes: int) -> None:
    """Following what each answer says brings the whole output, in order, each answer within its bound."""
    item = FunctionCallOutput(call_id="c", output=text)
    tool = ReadOutput(lambda call_id: item if call_id == "c" else None, max_bytes=max_bytes)
    asked: dict[str, object] | None = {"call_id": "c", "unit": unit}
    got: list[str] = []

    async def read(arguments: dict[str, object]) -> str:
        output = await tool.run(ToolCall("r", "read_output", json.dumps(arguments)), ToolContext(Path()))
        assert output.success, output.content
        assert isinstance(output.content, str)
        return output.content

    while asked is not None:
        answer = anyio.run(read, asked)
        assert text_bytes(answer) <= max_bytes
        body, _, footer = answer.rpartition("\n")
        more = re.search(r'go on with (?:unit="(bytes)", )?offset=(\d+)\]$', footer)
        if more is None:
            got.append(body if re.fullmatch(r"\[(lines|bytes) .*\]", footer) else answer)
            break
        got.append(body + ("" if more[1] else "\n"))
        asked = {"call_id": "c", "unit": more[1] or unit, "offset": int(more[2])}
    assert "".join(got) in (text, text.removesuffix("\n"))
