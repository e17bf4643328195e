"""The event that nearly every event of a Responses stream is: a piece of a text, or of a call's input.

Read into a struct it costs half of what it costs as a dict. What does not fit is read in full.
"""

from __future__ import annotations

from msgspec import Struct

from .base import first_look

__all__ = ["PIECE_OF", "Piece", "plain_piece"]

PIECE_OF = {
    "response.output_text.delta": ("message", "text"),
    "response.refusal.delta": ("message", "refusal"),
    "response.reasoning_text.delta": ("reasoning", "reasoning"),
    "response.reasoning_summary_text.delta": ("reasoning", "summary"),
    "response.function_call_arguments.delta": ("function_call", ""),
    "response.custom_tool_call_input.delta": ("custom_tool_call", ""),
}
"""By the type of an event: the kind of its item and the kind of its text, empty for an input."""


class Piece(Struct, gc=False):
    """A summary's text is the one at `summary_index`, any other the one at `content_index`."""

    type: str
    delta: str
    output_index: int
    sequence_number: int | None = None
    content_index: int = 0
    summary_index: int = 0


plain_piece = first_look(Piece)
