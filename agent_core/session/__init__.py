"""Sessions: the one place with state, what a prompt shows of it, and how large it is."""

from __future__ import annotations

from .history import OutputBudget, PromptView, prompt_view, truncate_output
from .redaction import DEFAULT_REDACTION, SECRET_SHAPES, Redaction, SecretShape
from .rollout import Fsync
from .store import Session

__all__ = [
    "DEFAULT_REDACTION",
    "Fsync",
    "OutputBudget",
    "PromptView",
    "Redaction",
    "SECRET_SHAPES",
    "SecretShape",
    "Session",
    "prompt_view",
    "truncate_output",
]
