"""Reading a journal from its first line to its last whole one, and telling a torn end from damage.

A crash or a power failure damages the end of a file: everything from the first line that is not whole is its torn tail,
as long as no whole line follows. A whole line after a broken one means damage of another kind: SessionError, and
nothing is touched (`repair` is the way out). Lines of one write count together: where the last is missing, none of them
was written. Records are handed on as they are read: reading holds the longest line, or write, not the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BufferedReader, FileIO
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from ..errors import SessionError
from ..items import JsonObject
from .lines import Line, read_line

__all__ = ["MAX_HEADER_BYTES", "VERSION", "Extent", "TakeRecord", "check_header", "read_records"]

VERSION = 2
"""1 had no numbers and checksums, and named started tools by `call_id` alone."""
READ_BYTES = 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024

TakeRecord: TypeAlias = Callable[[JsonObject, int], None]
"""Told each record of a journal, the header first, with its line number from 1. What it raises ends the reading."""


class Extent(Struct, frozen=True):
    """How far a journal goes: whole lines, the bytes they take, and the bytes of what follows them."""

    lines: int
    size: int
    torn: int


def read_records(path: Path, file: FileIO, take: TakeRecord) -> Extent:
    """Hand on every record of the file, which is read from where it stands; the torn tail is left to the caller.

    Raises SessionError for a file that is no journal, a newer one, or damaged before its end.
    """
    reader = BufferedReader(file, READ_BYTES)
    try:
        return _read(path, reader, take)
    finally:
        reader.detach()


def check_header(path: Path, head: JsonObject) -> None:
    """Raises SessionError where the first record of a file is no header this version reads."""
    version = head.get("v")
    if head.get("type") != "session" or not isinstance(version, int):
        raise SessionError(f"{str(path)!r} is not a session file", remedy="resume a file made by Session.create")
    if version > VERSION:
        raise SessionError(
            f"{str(path)!r} was written by a newer version (format {version}, this one reads {VERSION})",
            remedy="upgrade agent-core",
        )


def _read(path: Path, reader: BufferedReader[FileIO], take: TakeRecord) -> Extent:
    head = reader.readline(MAX_HEADER_BYTES)
    if len(head) == MAX_HEADER_BYTES:  # a file of another kind may be one line without end
        check_header(path, {})
    number = size = ahead = 0
    old = True
    write: list[JsonObject] = []
    for raw in chain([head] if head else [], reader):
        line = read_line(raw, old=old)
        if line is None:
            torn = len(raw) + _torn(path, number + len(write) + 1, reader, old=old)
            break
        if not number and not write:
            check_header(path, line.record)
        old = line.number is None
        _check_number(path, line, number + len(write) + 1)
        write.append(line.record)
        ahead += len(raw)
        if line.more:
            continue
        for record in write:
            number += 1
            take(record, number)
        write.clear()
        size, ahead = size + ahead, 0
    else:
        torn = 0
    if not number:
        check_header(path, {})
    return Extent(number, size, ahead + torn)


def _check_number(path: Path, line: Line, expected: int) -> None:
    if line.number is not None and line.number != expected:
        raise SessionError(
            f"line {expected} of {str(path)!r} should be record {expected} and is record {line.number}",
            remedy=_REPAIR.format(repr(str(path))),
        )


def _torn(path: Path, number: int, rest: Iterable[bytes], *, old: bool) -> int:
    """How many bytes follow a broken line, none of them a whole one. Raises SessionError if one is."""
    size = 0
    for raw in rest:
        if read_line(raw, old=old) is not None:
            raise SessionError(
                f"line {number} of {str(path)!r} is not a session record, and whole ones follow it",
                remedy=_REPAIR.format(repr(str(path))),
            )
        size += len(raw)
    return size


_REPAIR = "nothing was changed; agent-core sessions repair {} sets what is damaged aside and keeps the rest"
