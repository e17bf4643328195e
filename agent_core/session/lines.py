"""One line of a journal: a record, its number and a checksum, still JSON that any tool can read.

    {"type":"item","item":{…},"n":7,"crc":"1a2b3c4d"}
    {"type":"item","item":{…},"n":8,"more":true,"crc":"…"}       the next line belongs to the same write

`n` counts the lines of a file from 1, so a line that went missing is noticed; `crc` is CRC-32 over everything before it
and always stands last, so one that was cut, filled with zeroes or edited is noticed too. Files of format 1 have neither
until this version appends to them; from then on every line must.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias, cast
from zlib import crc32

from msgspec import Struct

from ..items import JsonObject, JsonValue

__all__ = ["Line", "Record", "read_line", "write_line"]

Record: TypeAlias = Mapping[str, JsonValue]

_MARK = b',"crc":"'
_TAIL_BYTES = len(_MARK) + 8 + len(b'"}\n')


class Line(Struct, frozen=True):
    """A line that was whole. `number` is None where it carries none (format 1); `more`: the next line belongs to it."""

    record: JsonObject
    number: int | None = None
    more: bool = False


def write_line(record: Record, number: int, *, more: bool = False) -> bytes:
    """The line of a record, with its line break."""
    sealed = {**record, "n": number, "more": True} if more else {**record, "n": number}
    try:
        text = json.dumps(sealed, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # lone surrogates, which a peer may have sent, can only be written as escapes
        text = json.dumps(sealed, separators=(",", ":")).encode()
    body = text[:-1]
    return b'%b%b%08x"}\n' % (body, _MARK, crc32(body))


def read_line(line: bytes, *, old: bool = False) -> Line | None:
    """What a line holds; None for one that is cut, damaged or no record at all. `old`: it may be one of format 1."""
    if not line.endswith(b"\n"):
        return None
    mark = line[-_TAIL_BYTES:]
    if mark.startswith(_MARK):
        old = False
        if mark[len(_MARK) :] != b'%08x"}\n' % crc32(line[:-_TAIL_BYTES]):
            return None
    elif not old:
        return None
    value = _parsed(line)
    if not isinstance(value, dict) or "type" not in value:
        return None
    record = cast("JsonObject", value)
    if old:
        return Line(record)
    number, more = record.pop("n", None), record.pop("more", None) is True
    record.pop("crc", None)
    return Line(record, number, more) if type(number) is int else None


def _parsed(line: bytes) -> object:
    from pydantic_core import from_json

    try:
        value: object = from_json(line)
    except ValueError:
        try:
            value = json.loads(line)  # slower, and knows what the other refuses: lone surrogates written as escapes
        except (ValueError, RecursionError):
            return None
    return value
