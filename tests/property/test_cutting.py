"""Cutting outputs, by property: within the budget, nothing lost unsaid, once is enough."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.items import (
    CustomToolCallOutput,
    FunctionCallOutput,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    OutputPart,
)
from agent_core.session import OutputBudget, PromptView, prompt_view, truncate_output
from agent_core.session.history import text_bytes
from agent_core.tools import ReadOutput, ToolCall, ToolContext

from . import CI

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


MORE = re.compile(r'go on with (?:unit="(bytes)", )?offset=(\d+)\]$')
SHOWN = re.compile(r"\n?\[(?:bytes (?P<start>\d+)-(?P<end>\d+)|lines \d+-\d+|line \d+ is longer)[^\n]*\]$")


@settings(max_examples=600 if CI else 20, deadline=None)
@given(TEXTS.filter(bool), st.sampled_from(["lines", "bytes"]), BUDGETS)
def test_reading_on_reads_everything(text: str, unit: str, budget: OutputBudget) -> None:
    """Following what each answer says brings the whole output, in order, and no answer is itself cut."""
    kept: dict[str, FunctionCallOutput | CustomToolCallOutput] = {"c": FunctionCallOutput(call_id="c", output=text)}
    tool = ReadOutput(kept.get, max_bytes=budget.max_bytes, max_lines=budget.lines)

    async def read_all() -> bytes:
        got = b""
        asked: JsonObject = {"unit": unit}
        while True:
            output = await tool.run(
                ToolCall("r", "read_output", json.dumps({"call_id": "c", **asked})), ToolContext(Path())
            )
            assert output.success
            assert isinstance(output.content, str)
            assert truncate_output(output.content, budget) is output.content
            got += told_in(output.content)
            more = MORE.search(output.content)
            if more is None:
                return got
            asked = {"unit": more[1] or unit, "offset": int(more[2])}

    assert anyio.run(read_all).removesuffix(b"\n") == text.encode("utf-8", "surrogatepass").removesuffix(b"\n")


def told_in(answer: str) -> bytes:
    """What an answer shows of the output, without its last line about it."""
    about = SHOWN.search(answer)
    raw = answer.encode("utf-8", "surrogatepass")
    if about is None:
        return raw
    if about["end"] is not None:
        return raw[: int(about["end"]) - int(about["start"])]
    body = answer[: about.start()].encode("utf-8", "surrogatepass")
    return body if "is longer" in about[0] else body + b"\n"
