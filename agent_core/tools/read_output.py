"""`read_output`: a part of an earlier tool output, of which the prompt shows only the beginning and the end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from ..errors import ToolError
from ..items import CustomToolCallOutput, FunctionCallOutput, JsonObject, output_text_of
from ..prompt import ToolSpec
from .arguments import InvalidArguments, check_arguments, parse_arguments
from .base import ToolCall, ToolContext, ToolOutput

if TYPE_CHECKING:
    from ..approvals import ApprovalRequest
    from .requests import ReadOutputRequest

__all__ = ["FindOutput", "ReadOutput"]

DEFAULT_MAX_BYTES = 40_000
FOOTER_BYTES = 160
"""Room kept for the last line, which says how to go on."""

_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {
        "call_id": {"type": "string", "description": "The id named where the output was cut, or the call's own id."},
        "offset": {
            "type": "integer",
            "minimum": 0,
            "description": "Where to begin: a line, from 1, or a byte, from 0. Default: the beginning.",
        },
        "limit": {"type": "integer", "minimum": 1, "description": "How much to show. Default: as much as fits."},
        "unit": {
            "type": "string",
            "enum": ["lines", "bytes"],
            "description": "What offset and limit count. Default lines; bytes for very long lines.",
        },
    },
    "required": ["call_id"],
    "additionalProperties": False,
}


class FindOutput(Protocol):
    """Finds a whole output by its own id or by the id of its call, the newest where several have it; None if there is
    none. Called once per call of the tool."""

    def __call__(self, call_id: str, /) -> FunctionCallOutput | CustomToolCallOutput | None: ...


class ReadOutput:
    """The tool. `find` is where outputs are kept, e.g. `session.output`; an answer takes at most `max_bytes` and
    `max_lines`, so that what cuts outputs does not cut this one.

    Offered by agents that cut outputs: the marker in a cut output names the arguments. Only reads, and only what this
    conversation has already been given, so it needs no approval. A last line in brackets says how to go on.
    """

    name: str = "read_output"
    read_only: bool = True
    parallel: bool = True
    timeout_s: float | None = None

    def __init__(self, find: FindOutput, *, max_bytes: int = DEFAULT_MAX_BYTES, max_lines: int | None = None) -> None:
        self._find = find
        self._room = max(max_bytes - FOOTER_BYTES, FOOTER_BYTES)
        self._max_lines = sys.maxsize if max_lines is None else max(max_lines - 1, 1)  # the last one says how to go on

    @property
    def spec(self) -> ToolSpec:
        description = (
            "Reads a part of an earlier tool output that was too long to be shown whole. "
            "The output says where it was cut, and with which arguments to read on."
        )
        return ToolSpec(self.name, description, _PARAMETERS)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from .requests import ReadOutputRequest

        try:
            asked = check_arguments(ReadOutputRequest, parse_arguments(call.arguments))
            found = self._find(asked.call_id)
            if found is None:
                shown = asked.call_id if len(asked.call_id) <= 100 else asked.call_id[:100] + "…"
                raise ToolError(f"there is no output with id {shown!r}", remedy="use the id named in the cut output")
            text = output_text_of(found)
            part = _lines if asked.unit == "lines" else _bytes
            return ToolOutput(part(text, asked, self._room, self._max_lines))
        except InvalidArguments:
            raise
        except ToolError as error:
            return ToolOutput(f"{error.message}; {error.remedy}", success=False)


def _lines(text: str, asked: ReadOutputRequest, room: int, max_lines: int) -> str:
    """Whole lines from line `offset` on, as they are; the beginning of one that alone has no room."""
    first = max(asked.offset or 1, 1)
    total = text.count("\n") + (not text.endswith("\n"))
    if not text and first == 1:
        return ""
    start = _start_of_line(text, first)
    if first > total or start < 0:
        raise ToolError(f"the output has {total} lines; offset={first} is past the end", remedy="use a smaller offset")
    wanted = min(asked.limit or max_lines, max_lines)
    piece = _whole_characters(text[start : start + room], room)
    shown, end = 0, 0
    while shown < wanted and (line_break := piece.find("\n", end)) >= 0:
        shown, end = shown + 1, line_break + 1
    if shown < wanted and start + len(piece) == len(text) and end < len(piece):
        shown, end = shown + 1, len(piece)  # the last line, without a line break
    if not shown:
        at = _size(text[:start]) + _size(piece)
        return f'{piece}\n[line {first} is longer; go on with unit="bytes", offset={at}]'
    body, last = piece[:end], first + shown - 1
    if first == 1 and last >= total:
        return body
    more = f"; go on with offset={last + 1}" if last < total else ""
    return f"{body}{_line_break_after(body)}[lines {first}-{last} of {total}{more}]"


def _bytes(text: str, asked: ReadOutputRequest, room: int, max_lines: int) -> str:
    """At most `limit` bytes of UTF-8 from byte `offset` on, both moved to the beginning of a character."""
    raw = text.encode("utf-8", "surrogatepass")
    start = _boundary(raw, asked.offset or 0)
    if start >= len(raw) and raw:
        raise ToolError(
            f"the output has {len(raw)} bytes; offset={asked.offset} is past the end", remedy="use a smaller offset"
        )
    end = _boundary(raw, start + min(asked.limit or room, room))
    if end == start:  # the first character is longer than the limit
        end = next((n for size in range(1, 5) if (n := _boundary(raw, start + size)) > start), start)
    end = _end_of_lines(raw, start, end, max_lines)
    body = raw[start:end].decode("utf-8", "surrogatepass")
    if (start, end) == (0, len(raw)):
        return body
    more = f'; go on with unit="bytes", offset={end}' if end < len(raw) else ""
    return f"{body}{_line_break_after(body)}[bytes {start}-{end} of {len(raw)}{more}]"


def _line_break_after(body: str) -> str:
    return "" if body.endswith("\n") else "\n"


def _start_of_line(text: str, line: int) -> int:
    """Where a line, counted from 1, begins; -1 if there are fewer."""
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
        if not start:
            return -1
    return start


def _end_of_lines(raw: bytes, start: int, end: int, lines: int) -> int:
    """Where this many lines end, or `end` if there are fewer."""
    at = start
    for _ in range(lines):
        at = raw.find(b"\n", at, end) + 1
        if not at:
            return end
    return at


def _whole_characters(piece: str, max_bytes: int) -> str:
    """The longest beginning of at most `max_bytes`."""
    raw = piece.encode("utf-8", "surrogatepass")
    return piece if len(raw) <= max_bytes else raw[: _boundary(raw, max_bytes)].decode("utf-8", "surrogatepass")


def _boundary(raw: bytes, at: int) -> int:
    """`at`, or the beginning of the character it is inside."""
    at = min(at, len(raw))
    while 0 < at < len(raw) and raw[at] & 0xC0 == 0x80:
        at -= 1
    return at


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
