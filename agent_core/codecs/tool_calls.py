"""Tool-call deltas in, whole calls out: the one assembler for servers that stream calls in pieces.

A delta is `{index?, id?, function|custom: {name?, arguments|input?}}`, any member missing, null, empty or repeated.
Which call it belongs to (union of what works, providers.md 3c), first rule that fits:

    the delta carries            it belongs to
    a known id                   that call: heads may be repeated (X-S1-14); unless it is a head under another index and
                                 that call is whole, then a new call
    a known index, no other id   that call; unless it is a second head after a whole call, then a new call
    a known index, another id    a new call, if the delta names it or the old one is whole (servers that send index 0
                                 for all: ollama#15457); else the old one (a fresh id on every delta)
    an unknown index             a new call, if the delta has an id or a name or the last call is whole; else the last
                                 call (heads and tails under different indices: agno#8880)
    neither                      the last call, unless the delta is visibly the head of another one

Argument text is only ever appended. Nothing is judged before the stream ends: ids may come after names, names after
arguments. Linear in what is fed, except where a server repeats heads without ids.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from ..items import JsonObject, JsonValue
from .base import json_bytes, json_int, json_object, json_str

__all__ = ["MAX_CALLS", "PendingCall", "ToolCallAssembler", "made_up_id", "maybe_cut", "parse_arguments"]

MAX_CALLS = 1024
"""Calls of one response that are kept; deltas of further ones are counted and dropped."""

_OPAQUE_MEMBERS = ("extra_content", "thought_signature", "provider_specific_fields")
"""Members beside a call that its server wants back: Gemini's thought signature, directly or through LiteLLM."""


@dataclass(slots=True, eq=False)
class PendingCall:
    """One call being assembled. `number` is its place in order of appearance; `index` the first one the wire gave it.
    `event_index` is the decoder's: where the call stands among the events, -1 while it was not announced."""

    number: int
    index: int | None = None
    call_id: str = ""
    name: str = ""
    custom: bool = False
    pieces: list[str] = field(default_factory=list[str])
    opaque: JsonObject | None = None
    event_index: int = -1

    @property
    def text(self) -> str:
        """The arguments, or a custom call's input, so far."""
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    @property
    def whole(self) -> bool:
        """The arguments are a JSON object already, so nothing can follow that belongs to them."""
        return bool(self.pieces) and self.pieces[-1].rstrip()[-1:] == "}" and parse_arguments(self.text) is not None


class ToolCallAssembler:
    """Feed deltas in order; `calls` is what they add up to. `dropped` counts deltas beyond `MAX_CALLS`."""

    __slots__ = ("_by_id", "_by_index", "calls", "dropped")

    def __init__(self) -> None:
        self.calls: list[PendingCall] = []
        self.dropped = 0
        self._by_id: dict[str, PendingCall] = {}
        self._by_index: dict[int, PendingCall] = {}

    def feed(self, delta: JsonObject) -> tuple[PendingCall, str] | None:
        """The call a delta belongs to and the text it appended (may be empty); None if it was dropped."""
        body = json_object(delta.get("function"))
        custom = False
        if body is None:
            body = json_object(delta.get("custom"))
            custom = body is not None
        body = body or {}
        call_id = json_str(delta.get("id"))
        if call_id == "null":  # Mistral's continuation deltas say it as a string (ODDITIES)
            call_id = ""
        name = json_str(body.get("name"))
        text = _text(body.get("input" if custom else "arguments"))
        call = self._find(json_int(delta.get("index")), call_id, name, text)
        if call is None:
            self.dropped += 1
            return None
        if call_id and not call.call_id:
            call.call_id = call_id
            self._by_id[call_id] = call
        if name and not call.name:
            call.name, call.custom = name, custom
        for member in _OPAQUE_MEMBERS:
            value = delta.get(member)
            if value is None:
                value = body.get(member)
            if value:
                call.opaque = {**(call.opaque or {}), member: value}
        if text:
            call.pieces.append(text)
        return call, text

    def at(self, index: int) -> PendingCall | None:
        """The call a delta with a known index and nothing else to go by belongs to; None where the index is new."""
        return self._by_index.get(index)

    def _find(self, index: int | None, call_id: str, name: str, text: str) -> PendingCall | None:
        last = self.calls[-1] if self.calls else None
        known = self._by_id.get(call_id) if call_id else None
        if known is not None:
            another_head = name and index is not None and index not in (known.index, None)
            if another_head and index not in self._by_index and known.whole:
                return self._open(index)
            return known
        if index is None:
            if last is None or (call_id and last.call_id) or (name and _another(last, name, text)):
                return self._open(None)
            return last
        found = self._by_index.get(index)
        if found is None:
            if last is None or call_id or name or last.whole:
                return self._open(index)
            self._by_index[index] = last
            return last
        if call_id and found.call_id:
            return self._open(index) if name or found.whole else found
        if name and text and found.name and found.whole:
            return self._open(index)
        return found

    def _open(self, index: int | None) -> PendingCall | None:
        if len(self.calls) >= MAX_CALLS:
            return None
        call = PendingCall(len(self.calls), index)
        self.calls.append(call)
        if index is not None:
            self._by_index[index] = call
        return call


def _another(last: PendingCall, name: str, text: str) -> bool:
    """A delta with a name, but nothing that ties it to a call: is it the head of another one than the last?"""
    return bool(last.name) and (name != last.name or (bool(text) and last.whole))


def _text(value: JsonValue) -> str:
    """Arguments come as a string; adapters of servers that answer with an object pass the object on (litellm#37792)."""
    if value is None or isinstance(value, str):
        return value or ""
    return json_bytes(value).decode()


def parse_arguments(text: str) -> JsonObject | None:
    """A call's arguments as an object; None if they are none. Blank means no arguments (W-S1-03); raw control
    characters inside strings, which many models write, are accepted."""
    if not text.strip():
        return {}
    try:
        return json_object(json.loads(text, strict=False))
    except (ValueError, RecursionError):
        return None


def maybe_cut(text: str) -> bool:
    """Whether a call's arguments may be the beginning of longer ones: they are neither blank nor a JSON value. A whole
    value that is no object is the model's own mistake: no text that follows makes an object of it."""
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return bool(text.strip())
    return False


def made_up_id(response_id: str, number: int) -> str:
    """An id for a call whose server gave it none: the same response always gets the same ids."""
    legal = "".join(char if char.isascii() and (char.isalnum() or char in "_-") else "_" for char in response_id)
    return f"call_{legal[-24:]}_{number}" if legal else f"call_{number}"
