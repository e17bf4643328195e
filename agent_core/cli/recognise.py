"""Which wire a captured stream speaks, from its first bytes. Pure."""

from __future__ import annotations

import re

from pydantic_core import from_json

from ..codecs.base import json_object, json_str
from ..codecs.sse import SseFrame, SseReader
from ..items import JsonObject, WireName

__all__ = ["HEAD_BYTES", "recognise"]

HEAD_BYTES = 256 * 1024
"""As much of a file as is looked at. A first event may be large (Responses repeats the instructions in it)."""

_MESSAGES_TYPES = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
    }
)
_NAME = re.compile(rb"[a-z_.]+")


def recognise(head: bytes) -> WireName | None:
    """The wire of a stream that begins with `head`, or None.

    The first event that only one wire has decides. Where there is none, what is left of weaker signs does: a bare error
    object and `[DONE]` are Chat's, though others borrow them.
    """
    if b"\0" in head:
        return None
    reader = SseReader()
    frames = [*reader.feed(head), *reader.close()]
    weak: WireName | None = None
    for frame in frames:
        if wire := _wire_of(frame):
            return wire
        weak = weak or _weak_wire_of(frame)
    return weak


def _wire_of(frame: SseFrame) -> WireName | None:
    body = _body(frame)
    kind = json_str(body.get("type")) or (frame.event.decode() if _NAME.fullmatch(frame.event) else "")
    if kind.startswith("response."):
        return "responses"
    if kind in _MESSAGES_TYPES:
        return "messages"
    if isinstance(body.get("choices"), list) or json_str(body.get("object")).startswith("chat.completion"):
        return "chat"
    if kind == "error" and "type" in body:
        # Messages nests the error; Responses has code, message and a sequence number beside the type.
        return "messages" if isinstance(body.get("error"), dict) and "sequence_number" not in body else "responses"
    return None


def _weak_wire_of(frame: SseFrame) -> WireName | None:
    if frame.data.strip() == b"[DONE]" or "error" in _body(frame):
        return "chat"
    return None


def _body(frame: SseFrame) -> JsonObject:
    """The event's JSON object as far as the head holds it; empty for anything else."""
    try:
        return json_object(from_json(frame.data, allow_partial=True)) or {}
    except ValueError:
        return {}
