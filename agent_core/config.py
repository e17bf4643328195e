"""What is decided from the environment, in one place, and only when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["DEFAULT_MODELS", "REHEARSAL_MODEL", "default_model"]

REHEARSAL_MODEL = "rehearsal/hello"

DEFAULT_MODELS: Mapping[str, str] = {
    "OPENAI_API_KEY": "openai/gpt-5.6",
    "ANTHROPIC_API_KEY": "anthropic/claude-sonnet-4-6",
}
"""The model to use when only a key is known; the first key that is set wins."""


def default_model(environ: Mapping[str, str] | None = None) -> str:
    """AGENT_CORE_MODEL, else the model of the first key that is set, else the scripted rehearsal model."""
    env = os.environ if environ is None else environ
    chosen = env.get("AGENT_CORE_MODEL", "").strip()
    if chosen:
        return chosen
    return next((model for key, model in DEFAULT_MODELS.items() if env.get(key, "").strip()), REHEARSAL_MODEL)
