"""What the reasoning of a model changes about a request, the same on every wire: whether it reasons at all, whether it
takes sampling then, and which of the efforts it knows comes nearest to the one asked for."""

from __future__ import annotations

from ..prompt import Prompt
from .base import Compat, Loss

__all__ = ["EFFORTS", "fitted_effort", "may_sample", "reasons"]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""The words for efforts, from the least to the most; providers have others."""


def reasons(prompt: Prompt, compat: Compat) -> bool:
    """Whether the model will reason about this prompt."""
    wanted = prompt.reasoning
    if wanted is None or (wanted.effort is None and wanted.budget_tokens is None):
        return compat.reasons_by_default
    return wanted.effort != "none" and wanted.budget_tokens != 0


def may_sample(prompt: Prompt, compat: Compat) -> bool:
    """Whether the model takes temperature, top_p, penalties and log probabilities with this prompt."""
    return compat.sampling and (compat.sampling_beside_reasoning or not reasons(prompt, compat))


def fitted_effort(effort: str, compat: Compat) -> tuple[str, Loss | None]:
    """The effort, or of those the model knows the nearest, the lower of two; `none` only becomes the least one.

    A model that knows none of the usual words but its own (`default`) gets the last one it knows.
    """
    known = compat.efforts
    if not known or effort in known:
        return effort, None
    usual = [word for word in known if word in EFFORTS and (word != "none" or effort == "none")]
    place = EFFORTS.index(effort) if effort in EFFORTS else EFFORTS.index("medium")
    nearest = min(usual, key=lambda word: (abs(EFFORTS.index(word) - place), EFFORTS.index(word)), default=known[-1])
    return nearest, Loss("reasoning_effort", f"{effort!r} became {nearest!r}")
