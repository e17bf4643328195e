"""The chunk that nearly every chunk of a Chat stream is: a piece of a text, or of a call's arguments.

Read into structs it costs half of what it costs as a dict. They say what else such a chunk may hold without meaning
anything; one that does not fit them is read in full. So whatever `ChatAnswer.chunk` or `error_in` looks at is named
here, with the values that mean nothing: `Delta` and those in it take no others, `_Chunk` and `_Choice` skip the rest.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .base import first_look

__all__ = ["CallPiece", "Delta", "plain_delta"]


class _Function(Struct, gc=False, forbid_unknown_fields=True):
    arguments: str
    name: Literal[""] | None = None


class CallPiece(Struct, gc=False, forbid_unknown_fields=True):
    index: int
    function: _Function
    id: Literal[""] | None = None
    type: Literal["function"] | None = None


class Delta(Struct, gc=False, forbid_unknown_fields=True):
    role: str | None = None
    content: str | None = None
    tool_calls: list[CallPiece] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: None = None
    function_call: None = None
    audio: None = None


class _Choice(Struct, gc=False):
    delta: Delta
    index: Literal[0] | None = None
    finish_reason: None = None
    message: None = None
    usage: None = None
    error: None = None


class _Chunk(Struct, gc=False):
    choices: tuple[_Choice]
    object: Literal["chat.completion.chunk", ""] | None = None
    usage: None = None
    error: None = None
    base_resp: None = None
    x_groq: None = None


_look = first_look(_Chunk)


def plain_delta(data: bytes) -> Delta | None:
    """The delta of a chunk that holds nothing else of meaning; None for any other data."""
    chunk = _look(data)
    return None if chunk is None else chunk.choices[0].delta
