"""Sessions: the one place with state, what a prompt shows of it, and how large it is."""

from __future__ import annotations

from .history import OutputBudget, PromptView, prompt_view, truncate_output
from .store import Session

__all__ = ["OutputBudget", "PromptView", "Session", "prompt_view", "truncate_output"]
