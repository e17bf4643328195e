"""The table of docs/errors.md is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent_core import errors
from agent_core.errors import ModelError, TransportTimeout
from agent_core.fallback import FallbackPolicy
from agent_core.retry import RetryPolicy

DOC = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text()
ROWS = re.findall(r"^\| `(\w+)` \| (.+?) \| .+? \| (.+?) \| (.+?) \|$", DOC, re.MULTILINE)
ABOVE = {"ModelError", "StreamError", "ApiError", "HeldBack"}


def made(name: str) -> ModelError:
    kind: type[ModelError] = getattr(errors, name)
    return TransportTimeout("x", timeout="idle", after_s=1) if kind is TransportTimeout else kind("x")


def test_every_class_has_its_row() -> None:
    """All that can be raised, in the table or named below it."""
    kinds = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    raised = {name for name in kinds if issubclass(getattr(errors, name), ModelError)}
    assert {name for name, *_ in ROWS} == raised - ABOVE
    assert all(made(name).reason in DOC for name in ABOVE - {"ModelError"})


@pytest.mark.parametrize(("name", "reasons", "again", "falls"), ROWS)
def test_the_row_is_true(name: str, reasons: str, again: str, falls: str) -> None:
    """Its word, whether it is tried again, and whether it falls through; a bare "yes" or "no" is meant."""
    error = made(name)
    stem, *ends = re.findall(r"`(\w+)`", reasons)
    prefix = stem.rpartition("_")[0] if ends else ""
    assert error.reason in {stem, *(f"{prefix.partition('_')[0]}{end}" for end in ends)}
    if again in ("yes", "no"):
        assert RetryPolicy().retries(error) is (again == "yes")
    if falls in ("yes", "no"):
        assert FallbackPolicy().falls(error, stand_in=False) is (falls == "yes")
