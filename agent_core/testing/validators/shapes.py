"""What the three validators share: violations, member tables, and the forms of names, ids, arguments and media.

A request is checked member by member against tables (`Shape`): what may be there, of which kind, and what must be. A
member that is null says nothing and is as good as absent, as on all three wires; what must not be null is required.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from pydantic_core import from_json

from ...codecs.base import json_object
from ...codecs.input_checks import image_fault
from ...items import InputImage, JsonObject, JsonValue

__all__ = [
    "ANY",
    "BASE64",
    "BOOL",
    "BREAKPOINT",
    "COUNT",
    "INT",
    "LIST",
    "NUMBER",
    "OBJECT",
    "TEXT",
    "TEXTS",
    "Kind",
    "Report",
    "Rule",
    "Shape",
    "Violation",
    "between",
    "check_arguments",
    "check_breakpoints",
    "check_clean",
    "check_name",
    "check_url",
    "is_blank",
    "one_of",
    "refuse",
    "shape",
]

Rule: TypeAlias = Literal[
    "not_json",  # the body is no JSON object
    "wrong_type",  # a member of another JSON type than its own
    "missing_member",
    "unknown_member",
    "unknown_type",  # a role, or a type of part, block, item or tool that the wire does not have there
    "empty",  # a blank text, an empty list, a message that says nothing
    "out_of_range",  # a number outside its limits, a text of another form, more entries than allowed
    "bad_text",  # a NUL, which breaks what stands behind servers
    "bad_name",  # of a tool
    "bad_media",  # an image or a file that is neither a usable URL, data nor an id
    "wrong_order",  # roles and positions
    "unanswered_call",
    "orphan_output",  # an output without its call, or a second one
    "duplicate_id",
    "bad_call_id",
    "bad_arguments",  # of a call: not the text of a JSON object
    "bad_reasoning",  # unsigned, alone, or where it must not stand
    "bad_tools",  # two of one name, a choice that names none
    "not_together",  # two members of which a server takes one
    "not_here",  # legal on the wire, refused by the server of this profile
]
"""What kind of rule a request breaks."""


class Violation(Struct, frozen=True):
    """One rule a request breaks. `where` is the path of the member, like `messages[3].tool_calls[0].id`; the message
    quotes names and ids, never conversation text."""

    rule: Rule
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where or 'body'}: {self.message} ({self.rule})"


class Report:
    """Collects violations, in the order in which they stand in the request, more or less. `is_clean`: no string of the
    request holds a NUL, as its bytes have shown."""

    __slots__ = ("is_clean", "violations")

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.is_clean = False

    def add(self, rule: Rule, where: str, message: str) -> None:
        self.violations.append(Violation(rule, where, message))


class Kind(Struct, frozen=True):
    """What a member may hold. `rule` is what is broken if the JSON type is right and the value is not."""

    what: str
    holds: Callable[[JsonValue], bool]
    rule: Rule = "wrong_type"


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_int(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


ANY = Kind("anything", lambda value: True)
TEXT = Kind("a string", lambda value: isinstance(value, str))
BOOL = Kind("true or false", lambda value: isinstance(value, bool))
INT = Kind("a whole number", _is_int)
COUNT = Kind("a whole number of at least 1", lambda value: isinstance(value, int) and value >= 1 and _is_int(value))
NUMBER = Kind("a number", _is_number)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
LIST = Kind("a list", lambda value: isinstance(value, list))
TEXTS = Kind(
    "a list of strings", lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value)
)


def between(low: float, high: float) -> Kind:
    def holds(value: JsonValue) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high

    return Kind(f"a number from {low:g} to {high:g}", holds, "out_of_range")


def one_of(*words: str) -> Kind:
    known = frozenset(words)
    return Kind(" or ".join(words), lambda value: isinstance(value, str) and value in known, "out_of_range")


def _is_breakpoint(value: JsonValue) -> bool:
    found = json_object(value) or {}
    return found.get("type") == "ephemeral" and found.get("ttl", "5m") in ("5m", "1h")


BREAKPOINT = Kind('{"type": "ephemeral"}, perhaps with a ttl of 5m or 1h', _is_breakpoint, "out_of_range")


class Shape(Struct, frozen=True):
    """The members of one kind of object."""

    members: Mapping[str, Kind]
    required: tuple[str, ...] = ()

    def check(self, report: Report, where: str, value: JsonValue) -> JsonObject | None:
        """`value` if it is an object, else None; what is wrong with its members is reported."""
        found = json_object(value)
        if found is None:
            report.add("wrong_type", where, f"must be an object, not {_kind_of(value)}")
            return None
        members = self.members
        for name, member in found.items():
            if member is None:
                continue
            kind = members.get(name)
            if kind is None:
                report.add("unknown_member", f"{where}.{name}" if where else name, "nobody knows this member here")
            elif not kind.holds(member):
                report.add(kind.rule, f"{where}.{name}" if where else name, f"must be {kind.what}")
        for name in self.required:
            if found.get(name) is None:
                report.add("missing_member", f"{where}.{name}" if where else name, "is required")
        return found


def shape(required: Mapping[str, Kind] | None = None, /, **optional: Kind) -> Shape:
    must = dict(required or {})
    return Shape({**must, **optional}, tuple(must))


def _kind_of(value: JsonValue) -> str:
    if value is None:
        return "null"
    return "a list" if isinstance(value, list) else type(value).__name__


BASE64 = re.compile(r"[A-Za-z0-9+/\-_]+={0,2}")
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def is_blank(text: str) -> bool:
    return not text or text.isspace()


def check_name(report: Report, where: str, name: JsonValue, longest: int) -> None:
    """Of a tool. A name that is no string is the shape's business."""
    if isinstance(name, str) and (len(name) > longest or _NAME.fullmatch(name) is None):
        report.add("bad_name", where, f"{name[:80]!r} must be 1 to {longest} of the characters A-Z a-z 0-9 _ -")


def check_arguments(report: Report, where: str, text: JsonValue) -> None:
    """Arguments of a function call: the text of a JSON object (behaviours.md W-S1-03: backends need an object)."""
    if not isinstance(text, str):
        return
    try:
        value: JsonValue = from_json(text, allow_inf_nan=False)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        report.add("bad_arguments", where, "must be the text of a JSON object")


def check_url(report: Report, where: str, url: JsonValue, *, what: str = "image") -> None:
    """An http(s) URL, or a `data:` URL of base64 with a media type (`image/…` for images)."""
    if not isinstance(url, str):
        return
    if url[:8].lower().startswith(("http://", "https://")):
        return
    head, comma, encoded = url.partition(",")
    media_type, _, flag = head.removeprefix("data:").partition(";")
    usable = head.startswith("data:") and comma and flag.endswith("base64") and "/" in media_type
    if what == "image" and not media_type.startswith("image/"):
        usable = False
    if not usable or BASE64.fullmatch(encoded) is None:
        report.add("bad_media", where, "must be an http(s) URL or data:<media type>;base64,<data>")
    elif what == "image" and image_fault(InputImage(image_url=url)):
        report.add("bad_media", where, "its data begins like no image")


_BREAKPOINTS = 4


def check_breakpoints(report: Report, body: JsonObject) -> None:
    """Anthropic's models cache up to four places of a request, whichever wire they are marked on."""
    if _breakpoints(body) > _BREAKPOINTS:
        report.add("out_of_range", "", f"has more than {_BREAKPOINTS} blocks with cache_control")


def _breakpoints(value: JsonValue) -> int:
    """In the body itself, and in tools, system and message blocks, and parts of results."""
    found = 0
    if isinstance(value, dict):
        found += value.get("cache_control") is not None
        for name in ("system", "tools", "messages", "content"):
            if isinstance(value.get(name), list):
                found += _breakpoints(value[name])
    elif isinstance(value, list):
        found += sum(map(_breakpoints, value))
    return found


def check_clean(report: Report, where: str, value: JsonValue) -> None:
    """No NUL in any string below `where`."""
    if report.is_clean:
        return
    todo: list[tuple[str, JsonValue]] = [(where, value)]
    while todo:
        path, each = todo.pop()
        if isinstance(each, str):
            if "\0" in each:
                report.add("bad_text", path, "holds a NUL character")
        elif isinstance(each, dict):
            todo += ((f"{path}.{name}", member) for name, member in each.items())
        elif isinstance(each, list):
            todo += ((f"{path}[{n}]", member) for n, member in enumerate(each))


def refuse(report: Report, where: str, found: JsonObject, names: Sequence[str], why: str) -> None:
    """Members the server of a profile does not take."""
    for name in names:
        if found.get(name) is not None:
            report.add("not_here", f"{where}.{name}" if where else name, why)
