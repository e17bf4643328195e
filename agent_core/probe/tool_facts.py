"""The questions about tools: how a call is forced, what ids look like, what a history with calls may hold."""

from __future__ import annotations

import string
import struct
import zlib
from base64 import b64encode
from collections.abc import Mapping
from functools import cache

from ..codecs.tool_calls import parse_arguments
from ..items import (
    CallItem,
    CustomToolCall,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    InputText,
    JsonValue,
    OutputPart,
    ResponseItem,
    user_message,
)
from ..prompt import CustomToolSpec, NamedTool, Prompt, ToolSpec
from .asking import NOT_ASKED, UNCLEAR, Ask, Fact, Heard, Inquiry, Notes, finding, said

__all__ = ["TOOL_FACTS", "history"]

_CALL_TOKENS = 1024  # a model that thinks before it calls
_HELLO = "Say hello in three words."  # nothing that a tool is needed for: a call that comes was forced

_SCHEMA: Mapping[str, JsonValue] = {
    "type": "object",
    "properties": {
        "colour": {"type": "string", "enum": ["red", "green"]},
        "count": {"type": "integer", "enum": [1, 2, 3]},
    },
    "required": ["colour", "count"],
    "additionalProperties": False,
}
_PICK = ToolSpec("pick", "Pick balls of one colour.", _SCHEMA)
_DROP = ToolSpec("drop", "Drop balls of one colour.", _SCHEMA)
_NOTE = CustomToolSpec("note", "Write a note, as plain text.")

_NO_HISTORY = "no history with calls was taken"

_IMAGE_SIDE = 64  # pixels; some vision models refuse what is smaller than one of their patches
_RED = b"\xff\x00\x00"


def history(
    notes: Notes, *, before: tuple[ResponseItem, ...] = (), output: tuple[OutputPart, ...] = (), call_id: str = ""
) -> Prompt:
    """A conversation that stands at a call just answered; `before` comes before the call."""
    call_id = call_id or notes.history_id
    items: list[ResponseItem] = [
        user_message("Pick two red balls."),
        *before,
        FunctionCall(call_id=call_id, name="pick", arguments='{"colour": "red", "count": 2}'),
        FunctionCallOutput(call_id=call_id, output=output or "done", success=True),
    ]
    return Prompt(items, tools=[_PICK], max_output_tokens=_CALL_TOKENS)


# Forcing a call


def _required(notes: Notes) -> Inquiry:
    prompt = Prompt(_HELLO, tools=[_PICK], tool_choice="required", max_output_tokens=_CALL_TOKENS)
    refusals: list[str] = []
    # Responses and Messages have one spelling; Chat servers have two.
    for word in ("required", "any") if notes.wire == "chat" else ("required",):
        heard = yield Ask(prompt, {"required_choice": word})
        if heard.calls:
            answer, evidence = "yes" if word == "required" else word, "; ".join([_ended(heard), *refusals])
            return finding("tool_choice required", answer, evidence, required_choice=word)
        if heard.response is not None:
            return finding("tool_choice required", "ignored", _no_call(heard))
        if heard.useless:
            return finding("tool_choice required", UNCLEAR, said(heard))
        refusals.append(said(heard))
    return finding("tool_choice required", "no", "; ".join(refusals), required_choice="auto")


def _named(notes: Notes) -> Inquiry:
    prompt = Prompt(_HELLO, tools=[_PICK, _DROP], tool_choice=NamedTool("drop"), max_output_tokens=_CALL_TOKENS)
    # On Messages a server without the one has not the other either: asked as if it had, to know.
    heard = yield Ask(prompt, {"named_choice": True, "required_choice": "required"})
    if heard.refused:
        return finding("tool_choice named", "no", said(heard), named_choice=False)
    if heard.useless:
        return finding("tool_choice named", UNCLEAR, said(heard))
    names = [_name(call) for call in heard.calls]
    if names and all(name == "drop" for name in names):
        return finding("tool_choice named", "yes", _ended(heard), named_choice=True)
    other = f"called {', '.join(sorted(set(names)))} instead" if names else _no_call(heard)
    return finding("tool_choice named", "ignored", other)


def _strict(notes: Notes) -> Inquiry:
    pick = ToolSpec(_PICK.name, _PICK.description, _SCHEMA, strict=True)
    prompt = Prompt("Pick two red balls.", tools=[pick], tool_choice="required", max_output_tokens=_CALL_TOKENS)
    heard = yield Ask(prompt, {"strict_tools": True})
    if heard.refused:
        return finding("strict tools", "no", said(heard), strict_tools=False)
    if heard.useless:
        return finding("strict tools", UNCLEAR, said(heard))
    whole = [call for call in heard.calls if isinstance(call, FunctionCall) and call.status == "completed"]
    if not whole:
        return finding("strict tools", "yes", f"taken; {_no_call(heard)}", strict_tools=True)
    fits = all(_fits(call.arguments) for call in whole)
    evidence = "the arguments fit the schema" if fits else "taken, but the arguments do not fit the schema"
    return finding("strict tools", "yes" if fits else "ignored", evidence, strict_tools=True)


def _parallel(notes: Notes) -> Inquiry:
    prompt = Prompt(
        "Pick two red balls. Also drop one green ball.",
        tools=[_PICK, _DROP],
        tool_choice="required",
        parallel_tool_calls=False,
        max_output_tokens=_CALL_TOKENS,
    )
    heard = yield Ask(prompt, {"parallel_tool_calls": True})
    if heard.refused:
        return finding("parallel_tool_calls", "no", said(heard), parallel_tool_calls=False)
    if heard.useless:
        return finding("parallel_tool_calls", UNCLEAR, said(heard))
    count = len(heard.calls)
    evidence = f"{count} call{'' if count == 1 else 's'} under `false`"
    return finding("parallel_tool_calls", "ignored" if count > 1 else "yes", evidence, parallel_tool_calls=True)


def _custom(notes: Notes) -> Inquiry:
    """Free-form tools: only OpenAI's own servers and their faithful copies have them."""
    prompt = Prompt("Note: milk.", tools=[_NOTE], tool_choice="required", max_output_tokens=_CALL_TOKENS)
    heard = yield Ask(prompt, {"custom_tools": True})
    if heard.refused:
        return finding("custom tools", "no", said(heard), custom_tools=False)
    if heard.useless:
        return finding("custom tools", UNCLEAR, said(heard))
    if any(isinstance(call, CustomToolCall) for call in heard.calls):
        return finding("custom tools", "yes", _ended(heard), custom_tools=True)
    return finding("custom tools", "ignored", _no_call(heard), custom_tools=False)


# Ids


def _call_ids(notes: Notes) -> Inquiry:
    """What the ids of its own calls look like; nothing is asked: calls have been heard."""
    yield from ()
    ids = [(response_id, call.call_id or "") for response_id, call in notes.calls]
    if not ids:
        return finding("call ids", NOT_ASKED, "no call came")
    example = max((call_id for _, call_id in ids), key=len)
    letters = _alphabet("".join(call_id for _, call_id in ids))
    lengths = sorted({len(call_id) for _, call_id in ids})
    size = str(lengths[0]) if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
    where: dict[str, set[str]] = {}
    for response_id, call_id in ids:
        where.setdefault(call_id, set()).add(response_id)
    again = any(len(responses) > 1 for responses in where.values())
    evidence = f"e.g. {example[:80]!r}" + (", the same in several responses" if again else "")
    if len({response_id for response_id, _ in ids}) < 2:
        return finding("call ids", f"{size} of {letters}", evidence)
    return finding("call ids", f"{size} of {letters}", evidence, qualify_call_ids=again)


def _alphabet(text: str) -> str:
    classes = (("a-z", string.ascii_lowercase), ("A-Z", string.ascii_uppercase), ("0-9", string.digits))
    letters = "".join(name for name, members in classes if any(char in members for char in text))
    others = "".join(sorted({char for char in text if not (char.isascii() and char.isalnum())}))
    return f"[{letters}{others[:8]}]"


_IDS: tuple[tuple[str, Mapping[str, object]], ...] = (
    (f"call_{'probe0123456789' * 4}"[:64], {"call_id_max": 64, "call_id_exact": None}),
    (f"call_{'probe0123456789' * 4}"[:40], {"call_id_max": 40, "call_id_exact": None}),
    ("probe1234", {"call_id_exact": 9}),
    ("probe1234", {"call_id_exact": 9, "tool_message_name": True, "omit_null_content": True}),
)
"""Ids of another provider, from long to what Mistral wants (providers.md 3d), last with its other wishes too."""


def _foreign_ids(notes: Notes) -> Inquiry:
    """Is a history with a call and its output taken, and with which ids?"""
    name = "call ids of others"
    refusals: list[str] = []
    for call_id, form in _IDS:
        if notes.wire != "chat" and "tool_message_name" in form:
            break
        heard = yield Ask(history(notes, call_id=call_id), form)
        if heard.response is not None:
            notes.history_id = call_id
            return finding(name, f"to {len(call_id)} characters", "; ".join(refusals), form)
        if heard.useless:
            return finding(name, UNCLEAR, said(heard))
        refusals.append(f"{len(call_id)}: {said(heard)}")
    return finding(name, "no", "; ".join(refusals))


# What a history with calls may hold


def _no_tools(notes: Notes) -> Inquiry:
    """A history with calls in a request without tools: left out, or as the empty list some proxies insist on?"""
    name = "no tools after calls"
    if not notes.history_id:
        return finding(name, NOT_ASKED, _NO_HISTORY)
    prompt = Prompt(history(notes).items, max_output_tokens=_CALL_TOKENS)
    omitted = yield Ask(prompt, {"empty_tools": "omit"})
    sent = yield Ask(prompt, {"empty_tools": "send"})
    empty = "`tools: []` is taken too" if sent.response is not None else f"`tools: []`: {said(sent)}"
    if omitted.response is not None:
        return finding(name, "omit", empty, empty_tools="omit")
    if omitted.refused and sent.response is not None:
        return finding(name, "send []", f"left out: {said(omitted)}", empty_tools="send")
    return finding(name, "no" if omitted.refused and sent.refused else UNCLEAR, f"left out: {said(omitted)}; {empty}")


def _images(notes: Notes) -> Inquiry:
    """An image in a tool's output; on Chat, else in a user message after it."""
    name = "image in a tool result"
    if not notes.history_id:
        return finding(name, NOT_ASKED, _NO_HISTORY)
    image = InputImage(image_url=_image_url())
    prompt = history(notes, output=(InputText(text="the ball:"), image))
    inside = yield Ask(prompt, {"images": True, "images_in_tool_results": True})
    if inside.response is not None:
        return finding(name, "yes", "", {"images": True, **_inside(notes, taken=True)})
    if inside.useless:
        return finding(name, UNCLEAR, said(inside))
    if notes.wire == "chat":
        after = yield Ask(prompt, {"images": True, "images_in_tool_results": False})
        if after.response is not None:
            return finding(name, "after it", said(inside), images=True, images_in_tool_results=False)
        if after.useless:
            return finding(name, UNCLEAR, said(after))
    return finding(name, "no images", said(inside), {"images": False, **_inside(notes, taken=False)})


def _inside(notes: Notes, *, taken: bool) -> dict[str, object]:
    return {"images_in_tool_results": taken} if notes.wire == "chat" else {}


@cache
def _image_url() -> str:
    """A red square as a PNG, made here: a real image, and no file to ship."""
    side = _IMAGE_SIDE
    pixels = (b"\x00" + _RED * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels, 9)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return "data:image/png;base64," + b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()


# Evidence


def _ended(heard: Heard) -> str:
    reason = heard.response.native_reason if heard.response is not None else None
    return f"ended by {reason!r}" if reason else "ended by no word"


def _no_call(heard: Heard) -> str:
    response = heard.response
    if response is None:
        return said(heard)
    if response.tool_calls:
        return "the call was cut" if response.status == "incomplete" else "called something else"
    return f"no call came, {len(response.text)} characters of text, {_ended(heard)}"


def _name(call: CallItem) -> str:
    return call.name if isinstance(call, (FunctionCall, CustomToolCall)) else call.type


def _fits(arguments: str) -> bool:
    value = parse_arguments(arguments)
    return value is not None and value.get("colour") in ("red", "green") and value.get("count") in (1, 2, 3)


TOOL_FACTS: tuple[Fact, ...] = (
    Fact(("tool_choice required",), _required),
    Fact(("tool_choice named",), _named),
    Fact(("strict tools",), _strict),
    Fact(("parallel_tool_calls",), _parallel),
    Fact(("custom tools",), _custom, ("chat", "responses")),
    Fact(("call ids",), _call_ids),
    Fact(("call ids of others",), _foreign_ids),
    Fact(("no tools after calls",), _no_tools),
    Fact(("image in a tool result",), _images),
)
