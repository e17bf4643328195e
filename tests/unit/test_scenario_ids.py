"""No scenario is lost: every id of the specification that is about requests and histories is named by a test."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

BEHAVIOURS = (
    *(f"T-B{n}" for n in range(1, 9)),
    *(f"T-D{n}" for n in range(1, 27)),
    # Of 6.G the request half; T-G12 and T-G13 are about a gateway's headers and paths.
    *(f"T-G{n}" for n in (*range(1, 12), 22, 23)),
    *(f"X-S0-{n:02}" for n in (4, 5, 6, 7, 8, 13, 19)),
    *(f"X-S1-{n:02}" for n in range(1, 9)),
    "X-S3-11",
)
"""behaviours.md 6.B, 6.D, 6.G, and of 6.R what concerns requests and histories."""

CODEX: dict[str, str | tuple[str, ...]] = {
    "user, assistant -> no `reasoning` key": "T-B1",
    "user, assistant a1, reasoning rA -> a1 has reasoning rA": "T-B2",
    "user, reasoning, function_call -> the tool_calls message has reasoning": "T-B3",
    "user, reasoning, local_shell_call -> same": "T-B4",
    "assistant, reasoning, user -> no reasoning anywhere": "T-B5",
    "u1, a1, u2, reasoning -> none": "T-B6",
    'reasoning "" and "   " -> none': "T-B7",
    "assistant dup, assistant dup -> one message": "T-B8",
    "user, 3 calls, 3 outputs -> 6 messages": "codex builder: three calls, three outputs",
    "conversation id + review sub-agent -> headers set": "codex builder (conversation id",
    "each call kind without output": ("T-D16", "T-D17", "T-D18", "client tool search without output"),
    "orphan of each kind": ("T-D19", "T-D20", "codex history (orphan of each kind)"),
    "mixed": "T-D21",
    "existing pairs untouched": ("T-D7", "codex history: custom pair"),
    "server tool_search kept": "codex history: server tool search is kept",
    "empty-output kept if matched": "codex history: empty output of a call is kept",
    "record: system dropped": "codex history (record: system dropped)",
    "output cut to policy x1.2; custom limit": "codex history (record: output cut",
    "remove_first on call removes output and vice versa; local shell pair; custom pair": "codex history (remove_first)",
    "drop_last_n": "codex history (drop_last_n)",
    "strip images": ("codex 2.1c images for a text-only model", "codex 2.1c a generated image"),
    "replace_last_turn_images only for tool output": "codex history (replace_last_turn_images)",
    "token estimate": "codex.md 2.4",
}
"""codex.md 8, chat builder and history tests: the lines, and what the tests of each are called."""


@pytest.mark.parametrize("scenario", BEHAVIOURS)
def test_every_scenario_has_a_row(scenario: str) -> None:
    """The id stands in the name of a row, a docstring or the name of a test."""
    assert re.search(rf"\b{scenario}(?!\d)", sources()), f"no test names {scenario}"


@pytest.mark.parametrize("line", CODEX)
def test_every_line_of_codex_has_a_row(line: str) -> None:
    """What the line is covered by is in the tests, every part of it."""
    names = CODEX[line]
    for name in (names,) if isinstance(names, str) else names:
        assert name in sources(), f"{line!r}: no test names {name!r}"


@cache
def sources() -> str:
    """All tests but this one."""
    return "\n".join(path.read_text() for path in TESTS.rglob("test_*.py") if path.name != Path(__file__).name)
