"""`agent-core decode`: what captured streams fold to.

A file that cannot be read, is no stream or ends early is one error line and exit code 1; the other files are decoded
all the same. An error object that the stream itself carries is part of what was decoded, not a failure of decoding.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, cast

from ..codecs import CODECS, WIRES
from ..codecs.base import Compat, StreamDecoder, json_object, json_str
from ..codecs.sse import SseReader
from ..errors import AgentCoreError, ApiError, ConfigError, ModelError, StreamInterrupted
from ..events import Response
from ..items import CustomToolCall, FunctionCall, JsonObject, JsonValue, WireName
from ..prompt import Prompt
from .exits import Exit, report
from .recognise import HEAD_BYTES, recognise
from .screen import Screen, write_json

__all__ = ["Decoded", "add_arguments", "decode_path", "run"]

_CHUNK_BYTES = 64 * 1024
_META_MAX_BYTES = 1024 * 1024
_REASON_MEMBER: dict[WireName, str] = {"chat": "finish_reason", "responses": "status", "messages": "stop_reason"}
_INTERRUPTED_REMEDY = "capture it again to its end; what is there was decoded"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a captured response body; - reads stdin")
    parser.add_argument(
        "--wire",
        choices=WIRES,
        help="the streams' wire (default: what meta.json beside the file says, else recognised from the bytes)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line and file")


def run(args: Namespace) -> int:
    paths = cast("list[str]", args.paths)
    wire = cast("WireName | None", args.wire)
    code = Exit.OK
    screen = Screen(sys.stdout)
    for number, path in enumerate(paths):
        problem: AgentCoreError | None = None
        decoded: Decoded | None = None
        try:
            decoded = decode_path(path, wire)
            problem = decoded.problem
        except AgentCoreError as error:
            problem = error
        if args.json:
            write_json(decoded.to_json() if decoded else _unreadable(path, problem))
        elif decoded:
            from .render import render_response

            if len(paths) > 1:
                screen.line(("\n" if number else "") + f"== {path} ({decoded.wire})", "strong")
            render_response(screen, decoded.response)
            _render_end(screen, decoded)
        if problem:
            sys.stdout.flush()
            report(problem, where=path)
            code = Exit.FAILED
    return code


class Decoded:
    """One decoded stream: a finished decoder, seen the way the command reports it."""

    def __init__(self, path: str, wire: WireName, decoder: StreamDecoder, error_field: bytes) -> None:
        self.path = path
        self.wire: WireName = wire
        self.response: Response = decoder.snapshot()
        self.frames = decoder.frames
        self.error_field: JsonValue = _json_or_text(error_field) if error_field else None
        self._error: ModelError | None = decoder.error

    @property
    def complete(self) -> bool:
        """The wire's own end was seen; an error after it does not unsay it. A Messages stop_reason is not the end."""
        return self._error is None or (self.wire != "messages" and self.response.native_reason is not None)

    @property
    def interrupted(self) -> bool:
        return isinstance(self._error, StreamInterrupted) or (self.error_field is not None and not self.complete)

    @property
    def stream_error(self) -> JsonValue:
        """The error object of the stream's events, as it was on the wire where it can still be had."""
        error = self._error
        if not isinstance(error, ApiError) or self.error_field is not None:
            return None
        return _error_object(error.body) or {"type": error.error_type, "code": error.code, "message": error.message}

    @property
    def problem(self) -> ModelError | None:
        """Why the file counts as badly decoded: it ends early, or is no stream of its wire."""
        if self._error is None:
            return None
        if self.interrupted:
            return StreamInterrupted(self._error.message, remedy=_INTERRUPTED_REMEDY)
        return None if isinstance(self._error, ApiError) else self._error

    def to_json(self) -> JsonObject:
        response = self.response
        usage = response.usage.reported if response.usage else None
        line: JsonObject = {
            "path": self.path,
            "wire": self.wire,
            "text": response.text,
            "reasoning_text": response.reasoning_text,
            "tool_calls": _calls(response),
            _REASON_MEMBER[self.wire]: response.native_reason,
            "usage": {
                "input": usage.input,
                "cached_input": usage.cached_input,
                "output": usage.output,
                "reasoning": usage.reasoning,
                "total": usage.total,
            }
            if usage
            else None,
            "n_events": self.frames,
            "error": self.stream_error,
            "complete": self.complete,
            "interrupted": self.interrupted,
        }
        if self.error_field is not None:
            line["error_field"] = self.error_field
        return line


def decode_path(path: str, wire: WireName | None = None) -> Decoded:
    """Decode one captured stream, in bounded pieces.

    Raises ConfigError for a file that cannot be read, is empty, or speaks no wire that is known or can be recognised.
    """
    try:
        with _open(path) as file:
            head = file.read(HEAD_BYTES)
            if not head.strip():
                raise ConfigError("the file is empty", remedy="capture the body of a streamed response into it")
            known = wire or _wire_of_meta(path) or recognise(head)
            if known is None:
                raise ConfigError(
                    "no event stream of a known wire", remedy=f"check the file, or say --wire {'|'.join(WIRES)}"
                )
            decoder = CODECS[known].stream_decoder(Prompt(), Compat())
            reader = SseReader()  # a second look, at what is not an event and so is in nobody's events
            for piece in _pieces(head, file):
                decoder.feed(piece)
                if decoder.done or decoder.error:
                    break
                reader.feed(piece)
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror or error}", remedy=_remedy_for(error)) from error
    decoder.close()
    reader.close()
    return Decoded(path, known, decoder, reader.error_field)


def _open(path: str) -> BinaryIO | nullcontext[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb")


def _pieces(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield head
    while piece := file.read(_CHUNK_BYTES):
        yield piece


def _remedy_for(error: OSError) -> str:
    if isinstance(error, IsADirectoryError):
        return "name the .sse files in it"
    return "check the path" if isinstance(error, FileNotFoundError) else "check the file and its permissions"


def _wire_of_meta(path: str) -> WireName | None:
    """The wire that meta.json beside the file names, if there is one and it does."""
    if path == "-":
        return None
    try:
        with Path(path).with_name("meta.json").open("rb") as file:
            meta = json_object(json.loads(file.read(_META_MAX_BYTES)))
    except (OSError, ValueError):
        return None
    named = json_str((meta or {}).get("wire"))
    return next((wire for wire in WIRES if wire == named), None)


def _calls(response: Response) -> list[JsonValue]:
    """The calls as `{call_id, name, arguments}`; the input of a free-form call is its arguments."""
    calls: list[JsonValue] = []
    for call in response.tool_calls:
        match call:
            case FunctionCall():
                calls.append({"call_id": call.call_id, "name": call.name, "arguments": call.arguments})
            case CustomToolCall():
                calls.append({"call_id": call.call_id, "name": call.name, "arguments": call.input})
            case _:
                pass  # kinds that a provider runs, or that have no name and arguments
    return calls


def _error_object(body: str) -> JsonObject | None:
    """The error inside the event that carried it: `{"error": …}`, `{"response": {"error": …}}`, or the event itself."""
    try:
        event = json_object(json.loads(body))
    except ValueError:
        return None
    if event is None:
        return None
    response = json_object(event.get("response")) or {}
    inner = json_object(event.get("error")) or json_object(response.get("error"))
    if inner is None and event.get("type") == "error":
        return {key: value for key, value in event.items() if key not in ("type", "sequence_number")}
    return inner or event


def _json_or_text(raw: bytes) -> JsonValue:
    try:
        value: JsonValue = json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")
    return value


def _unreadable(path: str, problem: AgentCoreError | None) -> JsonObject:
    """The line of a file that could not be decoded: the same members, nothing in them, and why."""
    message, remedy = (problem.message, problem.remedy) if problem else ("", "")
    return {
        "path": path,
        "wire": None,
        "text": None,
        "reasoning_text": None,
        "tool_calls": [],
        "usage": None,
        "n_events": 0,
        "error": {"type": "unreadable", "message": message, "remedy": remedy},
        "complete": False,
        "interrupted": False,
    }


def _render_end(screen: Screen, decoded: Decoded) -> None:
    """The last line of the readable form: how the stream ended, what it cost."""
    from .render import usage_text

    response = decoded.response
    parts = [f"{_REASON_MEMBER[decoded.wire]}: {response.native_reason or 'none'}"]
    if response.incomplete_reason:
        parts.append(f"cut by {response.incomplete_reason}")
    if response.usage:
        parts.append(usage_text(response.usage))
    parts.append(f"{decoded.frames} events")
    screen.line(" · ".join(parts) if screen.unicode else ", ".join(parts), "dim")
    if decoded.interrupted:
        screen.line("the stream ends early", "bad")
    if decoded.stream_error is not None:
        screen.line("the stream carries an error: " + json.dumps(decoded.stream_error), "bad")
