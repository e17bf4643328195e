"""What reasoning changes about a request: a table of efforts, and of who reasons."""

from __future__ import annotations

import pytest

from agent_core.codecs.base import Compat
from agent_core.codecs.reasoning_rules import fitted_effort, may_sample, reasons
from agent_core.prompt import Prompt, ReasoningSettings


@pytest.mark.parametrize(
    ("known", "asked", "sent"),
    [
        ((), "anything", "anything"),
        (("low", "high"), "low", "low"),
        (("low", "high"), "medium", "low"),
        (("low", "high", "max"), "xhigh", "high"),
        (("low", "high"), "minimal", "low"),
        (("low", "high"), "none", "low"),
        (("none", "low", "high"), "minimal", "low"),
        (("none", "default"), "high", "default"),
        (("none", "default"), "none", "none"),
        (("low", "medium"), "ultra", "medium"),
    ],
)
def test_efforts(known: tuple[str, ...], asked: str, sent: str) -> None:
    """The nearest effort the model knows, the lower of two; reported if it is another."""
    effort, loss = fitted_effort(asked, Compat(efforts=known))
    assert (effort, loss is not None) == (sent, sent != asked)


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, None),
        (ReasoningSettings(), None),
        (ReasoningSettings(summary="auto"), None),
        (ReasoningSettings("low"), True),
        (ReasoningSettings("none"), False),
        (ReasoningSettings(budget_tokens=5), True),
        (ReasoningSettings(budget_tokens=0), False),
    ],
)
def test_who_reasons(asked: ReasoningSettings | None, expected: bool | None, default: bool) -> None:
    """The prompt decides; where it says nothing (None), the row does."""
    expected = default if expected is None else expected
    compat = Compat(reasons_by_default=default, sampling_beside_reasoning=False)
    prompt = Prompt("x", reasoning=asked)
    assert (reasons(prompt, compat), may_sample(prompt, compat)) == (expected, not expected)
