"""One HTTP connection of the rehearsal server: a request in, an answer of its wire out, on time or broken as scripted.

    POST …/chat/completions  …/responses  …/messages     an answer, a stream of it, or an error of that wire
    POST …/responses/compact                              a compaction of the history
    GET  …/models                                         the scripts, in a shape both vendors' clients read
    anything else                                         404, as an OpenAI error

Answers to the same bytes are the same bytes. What is remembered is the record of requests and how often a step with
`failures` has failed.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from math import inf
from typing import NamedTuple, Protocol, TypeAlias, cast
from urllib.parse import urlsplit

from ..codecs import CODECS
from ..codecs.base import DecodedRequest, StreamEncoder, WireCodec, json_object
from ..codecs.responses_compact import COMPACT_PATH, encode_compacted
from ..errors import ApiError, InvalidRequestError, ModelNotFoundError
from ..events import Created, OutputItemAdded, OutputItemDone, ResponseEvent
from ..items import JsonObject, WireName
from ..prompt import Prompt
from .scripts import Script, Step, answer_events, answer_response, compaction_of, error_of_status, step_for
from .validators import check_request

__all__ = ["Answer", "Connection", "RecordedRequest", "Rehearsal", "Strike", "will_reset"]

_KEPT_REQUESTS = 1000
_KEPT_ATTEMPTS = 1024
_IDLE_S = 120.0  # a kept-alive connection nobody uses is closed after this
_LINGER_S = 2.0  # a refused body is read on for this long, so that its sender gets the answer and not a reset
_STALL_S = 600.0  # above every timer a client could be tested for
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"})
_UNPACED = (Created, OutputItemAdded, OutputItemDone)  # a model takes time over words, not over brackets
_SETTLE_S = 0.02
_LINGER = struct.Struct("hh" if sys.platform == "win32" else "ii")
_STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_GARBAGE = b'data: {"no event": "of any wire\x00\xff\n\n'

_PATHS: Mapping[str, WireName] = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/messages": "messages",
    f"/responses{COMPACT_PATH}": "responses",
}


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as the server saw it. Header names are lower case, keys and cookies are redacted. `body` and `prompt`
    are None where the request had none or it could not be decoded; `status` is what it was answered with, 0 for not at
    all."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: JsonObject | None
    prompt: Prompt | None
    wire: WireName | None
    status: int


@dataclass(slots=True)
class Rehearsal:
    """What all connections share: the scripts, the pace, the record, and which request has failed how often."""

    scripts: Mapping[str, Script]
    any_model: bool
    """There is one script, and it answers whatever model is asked for."""
    pace_s: float
    max_body_bytes: int
    strict: bool
    """A request that a server of its wire would refuse is refused."""
    strike: Strike | None = None
    """Given each scripted answer; True: it was dealt with, in some other way than by sending it."""
    requests: deque[RecordedRequest] = field(default_factory=lambda: deque[RecordedRequest](maxlen=_KEPT_REQUESTS))
    attempts: OrderedDict[bytes, int] = field(default_factory=OrderedDict[bytes, int])
    closing: threading.Event = field(default_factory=threading.Event)
    # Reentrant: the garbage collector may close a forgotten server from inside a thread that holds it.
    lock: threading.RLock = field(default_factory=threading.RLock)

    def script(self, model: str) -> tuple[str, Script]:
        """The script a model name asks for. Raises ModelNotFoundError that lists the known ones."""
        if self.any_model:
            return next(iter(self.scripts.items()))
        name = model.removeprefix("rehearsal/")
        if name in self.scripts:
            return name, self.scripts[name]
        known = ", ".join(self.scripts)
        raise ModelNotFoundError(f"there is no script {name!r}; there are {known}", status=404, code="model_not_found")

    def attempt(self, step: Step, body: bytes) -> Step:
        """The step itself, or the failure this attempt at it gets. After the step has answered, counting starts anew,
        so a conversation can be repeated on one server."""
        if not step.failures:
            return step
        key = sha256(body).digest()
        with self.lock:
            failed = self.attempts.pop(key, 0)
            if failed >= len(step.failures):
                return step
            self.attempts[key] = failed + 1
            if len(self.attempts) > _KEPT_ATTEMPTS:
                self.attempts.popitem(last=False)
        return step.failures[failed]


class Answer(NamedTuple):
    """A whole answer, before it is sent: what was scripted, in the words of its wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Strike: TypeAlias = "Callable[[Connection, Answer, WireCodec], bool]"


class _Server(Protocol):
    rehearsal: Rehearsal


class _Asked(NamedTuple):
    """What is known of the request that is being answered: errors are shaped by it, the record is made of it."""

    wire: WireName | None = None
    body: bytes = b""
    prompt: Prompt | None = None


class Connection(BaseHTTPRequestHandler):
    """Requests in, answers out, until either side has had enough. A client that leaves raises ConnectionError out of
    here, which the server takes for what it is."""

    protocol_version = "HTTP/1.1"
    server_version = "rehearsal"
    sys_version = ""
    disable_nagle_algorithm = True  # a delta is sent when it is made
    timeout = _IDLE_S

    _asked = _Asked()
    _chunked = True

    @property
    def _rehearsal(self) -> Rehearsal:
        return cast(_Server, self.server).rehearsal

    def do_POST(self) -> None:
        wire = self._wire()
        self._asked = _Asked(wire)
        body = self._read_body()
        if body is None:
            return
        self._asked = _Asked(wire, body)
        if wire is None:
            self._nothing_here()
            return
        codec = CODECS[wire]
        try:
            asked = codec.decode_request(body)
            self._asked = _Asked(wire, body, asked.prompt)
            if self._rehearsal.strict:
                _judge(wire, body)
            name, script = self._rehearsal.script(asked.prompt.model)
            if self._path().endswith(COMPACT_PATH):
                self._compact(asked.prompt)
                return
            step = self._rehearsal.attempt(step_for(name, script, asked.prompt), body)
        except ApiError as error:
            self.refuse(error)
            return
        if step.delay_s:
            self.pause(step.delay_s)
        self._perform(step, asked, codec)

    def do_GET(self) -> None:
        self._asked = _Asked()
        if self._read_body() is None:
            return
        if not self._path().endswith("/models"):
            self._nothing_here()
            return
        self._send(200, {"content-type": "application/json"}, _models(list(self._rehearsal.scripts)))

    def do_HEAD(self) -> None:
        self._asked = _Asked()
        if self._read_body() is not None:
            self._nothing_here()

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses (bad request line, huge headers), as JSON instead of HTML."""
        self.close_connection = True
        self._asked = _Asked()
        if code != HTTPStatus.NOT_IMPLEMENTED:  # for which the head was read; else it is that of the request before
            self.path, self.headers = "", Message()
        self.refuse(InvalidRequestError(message or "the request is no HTTP this server reads", status=int(code)))

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: what was asked is in the record."""

    def _path(self) -> str:
        return urlsplit(self.path).path.rstrip("/")

    def _wire(self) -> WireName | None:
        path = self._path()
        return next((wire for end, wire in _PATHS.items() if path.endswith(end)), None)

    def _read_body(self) -> bytes | None:
        """The request's body, or None when it was refused (and the refusal sent)."""
        if "transfer-encoding" in self.headers:
            self._refuse_unread("a chunked request body is not read here: send a content-length", 411)
            return None
        text = self.headers.get("content-length", "0").strip()
        if not (text.isascii() and text.isdigit()):
            self._refuse_unread(f"content-length must be a number, got {text[:40]!r}", 400)
            return None
        size = int(text)
        if size > self._rehearsal.max_body_bytes:
            self._refuse_unread(f"the body has {size} bytes, above the {self._rehearsal.max_body_bytes} allowed", 413)
            return None
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionResetError("the client left in the middle of its body")
        return body

    def _refuse_unread(self, message: str, status: int) -> None:
        """Refuse a body that was not read. It is read on for a while: closing on unread bytes would reset the
        connection, and the client would see that instead of the answer."""
        self.close_connection = True
        self.refuse(InvalidRequestError(message, status=status))
        deadline = time.monotonic() + _LINGER_S
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_S)
            while self.rfile.read1(65536) and time.monotonic() < deadline:
                pass

    def _nothing_here(self) -> None:
        self.refuse(
            ModelNotFoundError(
                f"there is nothing at {self.command} {self._path()[:200]}: POST {', '.join(_PATHS)} or GET /models",
                status=404,
                code="not_found",
            )
        )

    def _compact(self, prompt: Prompt) -> None:
        made = compaction_of(prompt)
        response = answer_response(
            Step(text=made.encrypted_content or ""), prompt, "responses", request=self._asked.body
        )
        self._send(200, {"content-type": "application/json"}, encode_compacted(prompt, (made,), response))

    def _perform(self, step: Step, asked: DecodedRequest, codec: WireCodec) -> None:
        strike = self._rehearsal.strike
        if strike is not None and strike(self, self._answer(step, asked, codec), codec):
            return
        if asked.stream and step.status == 200 and not step.body:
            self._stream(step, asked, codec)
        elif step.cut_after_events is not None and step.status == 200 and not step.body:
            self._break_whole(step, self._answer(step, asked, codec))
        else:
            self._send(*self._answer(step, asked, codec))

    def _answer(self, step: Step, asked: DecodedRequest, codec: WireCodec) -> Answer:
        """What a step says if nothing goes wrong."""
        if step.body:
            kind = "text/event-stream" if asked.stream and step.status == 200 else "application/json"
            return Answer(step.status, {"content-type": kind, **step.headers}, step.body)
        if step.status != 200:
            return self._shaped(_scripted_error(step), step.headers)
        if asked.stream:
            encoder = _encoder(asked, codec)
            said = b"".join(map(encoder.feed, self._events(step, asked, codec))) + encoder.close()
            return Answer(200, {**_STREAM_HEADERS, **step.headers}, said)
        response = answer_response(step, asked.prompt, codec.wire, request=self._asked.body)
        headers = {"content-type": "application/json", **step.headers}
        return Answer(200, headers, codec.encode_response(response, asked.prompt))

    def _events(self, step: Step, asked: DecodedRequest, codec: WireCodec) -> Iterator[ResponseEvent]:
        return answer_events(answer_response(step, asked.prompt, codec.wire, request=self._asked.body))

    def _stream(self, step: Step, asked: DecodedRequest, codec: WireCodec) -> None:
        encoder = _encoder(asked, codec)
        self.open_body(200, {**_STREAM_HEADERS, **step.headers})
        for n, event in enumerate(self._events(step, asked, codec)):
            if n == step.cut_after_events:
                break
            piece = encoder.feed(event)
            if piece:
                self.write(piece)
                if not isinstance(event, _UNPACED):
                    self.pause(self.pace_s)
        if step.cut_after_events is None:
            self.write(encoder.close())
            self.end_body()
        else:
            self._break_off(step, encoder)

    def _break_off(self, step: Step, encoder: StreamEncoder) -> None:
        match step.cut:
            case "disconnect":
                self.close_connection = True  # without the chunk that ends the body
            case "stall":
                self.close_connection = True
                self.wait(inf)
            case "truncate":
                self.end_body()
            case "garbage":
                self.write(_GARBAGE)
                self.end_body()
            case "error":
                self.write(encoder.fail(_scripted_error(step)))
                self.end_body()

    def _break_whole(self, step: Step, answer: Answer) -> None:
        """What a broken answer looks like without a stream."""
        half = answer.body[: len(answer.body) // 2]
        match step.cut:
            case "disconnect" | "stall":
                self._head(200, {**answer.headers, "content-length": str(len(answer.body))})
                self.wfile.write(half)
                self.close_connection = True
                if step.cut == "stall":
                    self.wait(inf)
            case "truncate":
                self._send(200, answer.headers, half)
            case "garbage":
                self._send(200, answer.headers, _GARBAGE)
            case "error":
                self.refuse(_scripted_error(step), step.headers)

    def refuse(self, error: ApiError, headers: Mapping[str, str] | None = None) -> None:
        """Answer with an error, in the shape of the wire that was asked; where none was, in OpenAI's."""
        self._send(*self._shaped(error, headers or {}))

    def _shaped(self, error: ApiError, headers: Mapping[str, str]) -> Answer:
        status, shaped, body = CODECS[self._asked.wire or "chat"].encode_error(error)
        names = {name.lower(): value for name, value in {**shaped, **headers}.items()}
        return Answer(status, names, body)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._head(status, {**headers, "content-length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        """Records the request, then answers: whoever has an answer finds its request in the record."""
        request_id = f"req_{sha256(self._asked.body).hexdigest()[:24]}"
        self.record(status)
        self.send_response(status)
        for name, value in {"x-request-id": request_id, "request-id": request_id, **headers}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()

    def record(self, status: int) -> None:
        """Note the request, and what it is answered with."""
        wire, body, prompt = self._asked
        try:
            parsed = json_object(json.loads(body)) if body else None
        except (ValueError, RecursionError):
            parsed = None
        headers = {name.lower(): value for name, value in self.headers.items()}
        headers.update(dict.fromkeys(_SECRET_HEADERS & headers.keys(), "[redacted]"))
        record = RecordedRequest(self.command or "", self.path, headers, parsed, prompt, wire, status)
        with self._rehearsal.lock:
            self._rehearsal.requests.append(record)

    # What follows is also what an answer is dealt with in some other way by.

    @property
    def pace_s(self) -> float:
        return self._rehearsal.pace_s

    def open_body(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of an answer whose length is not known."""
        self._chunked = self.request_version != "HTTP/1.0"  # which knows no chunks: the body ends with the connection
        framing = {"transfer-encoding": "chunked"} if self._chunked else {}
        self.close_connection = self.close_connection or not self._chunked
        self._head(status, {**headers, **framing})

    def write(self, piece: bytes) -> None:
        """Send a piece of that body."""
        if piece:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)

    def end_body(self) -> None:
        if self._chunked:
            self.wfile.write(b"0\r\n\r\n")

    def reset(self) -> None:
        """The connection ends in a reset, as soon as the answer is left. What was sent has a moment to arrive."""
        self.close_connection = True
        self.pause(_SETTLE_S)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.pack(1, 0))

    def pause(self, seconds: float) -> None:
        """Let time pass. Raises ConnectionAbortedError when the server is closed meanwhile."""
        if seconds and self._rehearsal.closing.wait(seconds):
            raise ConnectionAbortedError("the rehearsal server is closing")

    def wait(self, seconds: float) -> None:
        """Let time pass, any length of it. Raises ConnectionError when the client leaves meanwhile, too."""
        if not seconds:
            return
        deadline = time.monotonic() + min(seconds, _STALL_S)
        self.connection.settimeout(max(deadline - time.monotonic(), 1e-3))
        try:
            if not self.connection.recv(1, socket.MSG_PEEK):  # closing the server ends connections: this is told, too
                raise ConnectionAbortedError("the client has left")
        except TimeoutError:
            return
        finally:
            self.connection.settimeout(self.timeout)
        self.pause(deadline - time.monotonic())  # it has more to say, and is not heard


def will_reset(connection: socket.socket) -> bool:
    """Whether closing it resets it, see `Connection.reset`."""
    with suppress(OSError):
        return bool(_LINGER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.size))[0])
    return False


def _encoder(asked: DecodedRequest, codec: WireCodec) -> StreamEncoder:
    # Only Chat lets the client decide about usage; a DecodedRequest of another wire says nothing of it.
    return codec.stream_encoder(asked.prompt, include_usage=asked.include_usage or codec.wire != "chat")


def _judge(wire: WireName, body: bytes) -> None:
    """Raises InvalidRequestError for the first rule of its wire that the request breaks."""
    violations = check_request(wire, body)
    if violations:
        first, others = violations[0], len(violations) - 1
        more = f" (and {others} more)" if others else ""
        raise InvalidRequestError(f"{first}{more}", status=400, param=first.where or None)


def _scripted_error(step: Step) -> ApiError:
    """The error a failing step stands for; in a stream, where there is no status left to send, an overload."""
    return error_of_status(529 if step.status == 200 else step.status, step.error, step.code)


def _models(names: Sequence[str]) -> bytes:
    """OpenAI's list and Anthropic's page of models in one object: each client reads its own members."""
    rows: list[JsonObject] = [
        {
            "id": name,
            "object": "model",
            "created": 0,
            "owned_by": "rehearsal",
            "type": "model",
            "display_name": name,
            "created_at": "1970-01-01T00:00:00Z",
            "lifecycle": "active",
        }
        for name in names
    ]
    page = {"object": "list", "data": rows, "has_more": False, "first_id": names[0], "last_id": names[-1]}
    return json.dumps(page).encode()
