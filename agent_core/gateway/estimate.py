"""About how many tokens a prompt takes, where no provider was asked."""

from __future__ import annotations

from ..codecs.base import json_bytes
from ..prompt import Prompt
from ..session.estimate import TokenEstimate

__all__ = ["BYTES_PER_TOKEN", "estimated_tokens"]

BYTES_PER_TOKEN = 4


def estimated_tokens(prompt: Prompt) -> int:
    """Instructions, tools and items, at four bytes a token; the cost follows the length of the prompt."""
    around = len(prompt.instructions.encode("utf-8", "surrogatepass"))
    for spec in prompt.tools:
        described = {"name": getattr(spec, "name", ""), "parameters": getattr(spec, "parameters", {})}
        around += len(json_bytes(described)) + len(getattr(spec, "description", "").encode("utf-8", "surrogatepass"))
    return TokenEstimate().over(prompt.items).tokens + -(-around // BYTES_PER_TOKEN)
