"""The rehearsal server over real HTTP: its bytes on each wire, its errors, its broken streams, its manners."""

from __future__ import annotations

import gc
import http.client
import json
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import get_args
from urllib.parse import urlsplit

import pytest

from agent_core.codecs import CODECS, WIRES
from agent_core.codecs.base import Compat, json_list, json_object
from agent_core.codecs.grammar import check_events
from agent_core.errors import ConfigError, ModelError, OverloadedError, StreamError, StreamInterrupted
from agent_core.events import Response, ResponseEvent, Usage
from agent_core.items import FunctionCallOutput, JsonObject, ResponseItem, WireName, assistant_message, user_message
from agent_core.prompt import Prompt, ToolSpec
from agent_core.providers import resolve
from agent_core.testing import SCRIPTS, Call, RehearsalServer, Step
from agent_core.testing.scripts import Cut

ADD = ToolSpec("add", parameters={"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}})
THOUGHTFUL = Step(
    reasoning="Two calls, I think.",
    text="Let me add.",
    calls=(Call("add", {"a": 2, "b": 3}), Call("add", {"a": 4, "b": 5})),
)
each_wire = pytest.mark.parametrize("wire", WIRES)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True

    @property
    def json(self) -> JsonObject:
        loaded: JsonObject = json.loads(self.body)
        return loaded


def ask(
    server: RehearsalServer,
    path: str,
    body: bytes | None = None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    url = urlsplit(server.base_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
    try:
        connection.request(method, url.path + path, body, dict(headers or {}))
        response = connection.getresponse()
        try:
            read, complete = response.read(), True
        except http.client.IncompleteRead as error:
            read, complete = error.partial, False
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, read, complete)
    finally:
        connection.close()


def prompt_ask(server: RehearsalServer, wire: WireName, prompt: Prompt, *, stream: bool = True) -> Answer:
    codec = CODECS[wire]
    return ask(server, codec.path, codec.encode_request(prompt, Compat(), stream=stream).body)


def decode(wire: WireName, prompt: Prompt, body: bytes) -> tuple[list[ResponseEvent], Response, ModelError | None]:
    """Events, the folded response, and the error the stream ended with; checked against the grammar."""
    decoder = CODECS[wire].stream_decoder(prompt, Compat())
    events = decoder.feed(body)
    if not (decoder.done or decoder.error):
        events += decoder.close()
    check_events(events, decoder.error)
    return events, decoder.snapshot(), decoder.error


def said(response: Response) -> tuple[str, str, list[tuple[str, JsonObject]], str]:
    calls = [
        (str(item.model_dump()["name"]), json.loads(str(item.model_dump()["arguments"])))
        for item in response.tool_calls
    ]
    return response.reasoning_text, response.text, calls, response.finish_reason


@pytest.fixture
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(pace_s=0) as running:
        yield running


@each_wire
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_arrives_whole_on_every_wire(wire: WireName, stream: bool) -> None:
    """Reasoning, text and parallel calls with their usage survive the wire, streamed and whole."""
    prompt = Prompt("Add.", tools=(ADD,), model="any")
    with RehearsalServer([THOUGHTFUL], pace_s=0) as server:
        answer = prompt_ask(server, wire, prompt, stream=stream)
    if stream:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        _, response, error = decode(wire, prompt, answer.body)
        assert error is None
    else:
        response = CODECS[wire].decode_response(answer.body, prompt, Compat())
    calls = [("add", {"a": 2, "b": 3}), ("add", {"a": 4, "b": 5})]
    assert said(response) == ("Two calls, I think.", "Let me add.", calls, "tool_calls")
    assert response.usage is not None
    assert (response.usage.total > 20, response.model) == (True, "any")


@each_wire
def test_a_tool_loop_runs_through_the_script(wire: WireName, server: RehearsalServer) -> None:
    """The call's output goes back, and the next step sees it: nothing but the history says where the script is."""
    items: list[ResponseItem] = [user_message("What is 20 + 3?")]
    prompt = Prompt(items, tools=(ADD,), model="add")
    _, first, _ = decode(wire, prompt, prompt_ask(server, wire, prompt).body)
    call = first.tool_calls[0]
    items += [*first.items, FunctionCallOutput(call_id=call.call_id or "", output="23")]
    prompt = Prompt(items, tools=(ADD,), model="add")
    _, second, _ = decode(wire, prompt, prompt_ask(server, wire, prompt).body)
    assert said(first) == ("", "", [("add", {"a": 20, "b": 3})], "tool_calls")
    assert said(second) == ("", "add says: 23", [], "stop")


@each_wire
@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - {"flaky", "cut"}))
def test_every_shipped_script_streams_on_every_wire(name: str, wire: WireName, server: RehearsalServer) -> None:
    """No shipped script breaks the grammar, and each says something."""
    prompt = Prompt("What is 2 + 3?", tools=(ADD,), model=name)
    _, response, error = decode(wire, prompt, prompt_ask(server, wire, prompt).body)
    assert error is None
    assert response.text or response.tool_calls


@each_wire
def test_the_same_request_gets_the_same_bytes(wire: WireName, server: RehearsalServer) -> None:
    """A retry is answered as the first try was, ids included."""
    prompt = Prompt("What is 2 + 3?", tools=(ADD,), model="parallel")
    assert prompt_ask(server, wire, prompt).body == prompt_ask(server, wire, prompt).body


@each_wire
def test_an_error_step_is_an_error_of_the_wire(wire: WireName) -> None:
    """Status, message, code and headers of a failing step reach the client in the shape its wire gives errors."""
    step = Step(status=429, error="slow down", code="rate_limit_exceeded", headers={"Retry-After": "7"})
    with RehearsalServer([step]) as server:
        answer = prompt_ask(server, wire, Prompt("a", model="x"))
    error = CODECS[wire].decode_error(answer.status, answer.headers, answer.body)
    assert (type(error).__name__, error.status, error.retry_after_s) == ("RateLimitError", 429, 7.0)
    assert "slow down" in str(error)


@each_wire
def test_a_model_nobody_wrote_is_a_404_that_lists_the_scripts(wire: WireName, server: RehearsalServer) -> None:
    """An unknown script is the wire's own error for an unknown model."""
    answer = prompt_ask(server, wire, Prompt("a", model="rehearsal/nope"))
    error = CODECS[wire].decode_error(answer.status, answer.headers, answer.body)
    assert (type(error).__name__, error.status) == ("ModelNotFoundError", 404)
    assert "there is no script 'nope'; there are hello, echo, think" in str(error)


@each_wire
@pytest.mark.parametrize("body", [b"{no json", b"[]", b"", b'{"model": 7}', b"\xff\xfe"])
def test_a_body_that_is_no_request_is_a_400(wire: WireName, body: bytes, server: RehearsalServer) -> None:
    """Whatever is not a request of the wire is refused in its shape, and recorded without a prompt."""
    answer = ask(server, CODECS[wire].path, body)
    error = CODECS[wire].decode_error(answer.status, answer.headers, answer.body)
    assert (type(error).__name__, error.status) == ("InvalidRequestError", 400)
    assert [(r.wire, r.status, r.prompt) for r in server.requests] == [(wire, 400, None)]


UNANSWERED: Mapping[WireName, bytes] = {
    "chat": b"""{"model": "m", "messages": [{"role": "user", "content": "u"}, {"role": "assistant", "tool_calls":
        [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}]}""",
    "responses": b"""{"model": "m", "input": [{"role": "user", "content": "u"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}]}""",
    "messages": b"""{"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "u"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]}]}""",
}


@each_wire
def test_a_request_a_vendor_would_refuse_is_refused(wire: WireName) -> None:
    """A call without its output is a 400 of the wire that says where it stands; a lenient server takes it."""
    path, where = CODECS[wire].path, {"chat": "messages[1]", "responses": "input[1]", "messages": "messages[1]"}[wire]
    with RehearsalServer([Step(text="Hi")], pace_s=0) as server:
        answer = ask(server, path, UNANSWERED[wire])
        error = CODECS[wire].decode_error(answer.status, answer.headers, answer.body)
    assert (error.status, error.retryable) == (400, False)
    assert error.message.startswith(where)
    assert "'c1' has no" in error.message
    with RehearsalServer([Step(text="Hi")] * 2, pace_s=0, strict=False) as server:
        assert ask(server, path, UNANSWERED[wire]).status == 200


@each_wire
def test_past_the_last_step_is_a_400(wire: WireName) -> None:
    """A script that has ended says so instead of repeating itself."""
    history = [user_message("a"), assistant_message("one"), user_message("b")]
    with RehearsalServer({"short": [Step(text="one")]}) as server:
        answer = prompt_ask(server, wire, Prompt(history, model="short"))
    error = CODECS[wire].decode_error(answer.status, answer.headers, answer.body)
    assert (type(error).__name__, error.status) == ("InvalidRequestError", 400)
    assert "script 'short' has no step 2: it ends with step 1" in str(error)


@each_wire
def test_failures_come_first_and_come_again(wire: WireName, server: RehearsalServer) -> None:
    """`flaky` refuses an attempt and takes the next, and does so again for the next conversation."""
    statuses = [prompt_ask(server, wire, Prompt("a", model="flaky")).status for _ in range(4)]
    assert statuses == [429, 200, 429, 200]
    assert statuses == [request.status for request in server.requests]


@each_wire
@pytest.mark.parametrize(
    ("cut", "complete", "error"),
    [
        ("disconnect", False, StreamInterrupted),
        ("truncate", True, StreamInterrupted),
        ("garbage", True, StreamError),
        ("error", True, OverloadedError),
    ],
)
@pytest.mark.parametrize("after", [0, 5, 10_000])
def test_a_stream_breaks_as_the_step_says(
    wire: WireName, cut: Cut, complete: bool, error: type[ModelError], after: int
) -> None:
    """Each way to break leaves a stream that no reader takes for a whole one, wherever it is cut."""
    prompt = Prompt("a", model="x")
    step = Step(text="one two three four five six", cut_after_events=after, cut=cut, error="boom")
    with RehearsalServer([step], pace_s=0) as server:
        answer = prompt_ask(server, wire, prompt)
    assert (answer.status, answer.complete) == (200, complete)
    if after < 10_000:
        _, partial, raised = decode(wire, prompt, answer.body)
        assert isinstance(raised, error)
        assert "one two three four five six".startswith(partial.text)


@each_wire
def test_a_whole_answer_breaks_too(wire: WireName) -> None:
    """Without a stream, a cut leaves half a body: short of its length, or of valid length and no JSON."""
    prompt = Prompt("a", model="x")
    answers: dict[Cut, Answer] = {}
    for cut in get_args(Cut):
        if cut != "stall":
            with RehearsalServer([Step(text="one", cut_after_events=0, cut=cut)]) as server:
                answers[cut] = prompt_ask(server, wire, prompt, stream=False)
    assert {cut: (a.status, a.complete) for cut, a in answers.items()} == {
        "disconnect": (200, False),
        "truncate": (200, True),
        "garbage": (200, True),
        "error": (529, True),
    }
    for broken in (answers["truncate"], answers["garbage"]):
        with pytest.raises(StreamError):
            CODECS[wire].decode_response(broken.body, prompt, Compat())


def test_a_stall_says_nothing_more_until_the_client_leaves() -> None:
    """A stalled stream has sent its first events, keeps the connection open, and ends with the client."""
    step = Step(text="one two three", cut_after_events=4, cut="stall")
    with RehearsalServer([step], pace_s=0) as server, connected(server) as client:
        client.sendall(raw_request(server, "chat", Prompt("a", model="x")))
        seen = b""
        while b"two" not in seen:
            seen += client.recv(65536)
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(65536)
        client.close()
        wait_until(lambda: not connection_threads())


def test_a_body_is_sent_verbatim() -> None:
    """A step may hold a recorded stream or an error page: it is sent as it is, with the headers that are given."""
    page = Step(status=502, body=b"<html>bad gateway</html>", headers={"content-type": "text/html"})
    recorded = Step(body=b"data: [DONE]\n\n")
    with RehearsalServer({"page": [page], "recorded": [recorded]}) as server:
        answers = [prompt_ask(server, "chat", Prompt("a", model=name)) for name in ("page", "recorded")]
    assert [(a.status, a.headers["content-type"], a.body) for a in answers] == [
        (502, "text/html", b"<html>bad gateway</html>"),
        (200, "text/event-stream", b"data: [DONE]\n\n"),
    ]


def test_requests_are_recorded_without_secrets() -> None:
    """The record has what a test asserts on: wire, path, body, the decoded prompt; and no key."""
    secrets = {"Authorization": "Bearer sk-1", "X-Api-Key": "sk-2", "Cookie": "s=1", "X-Trace": "t"}
    prompt = Prompt("a", instructions="Be kind.", model="x")
    body = CODECS["messages"].encode_request(prompt, Compat()).body
    with RehearsalServer([Step(text="b")], pace_s=0) as server:
        ask(server, "/messages?beta=true", body, headers=secrets)
        [request] = server.requests
    assert (request.method, request.path, request.wire, request.status) == (
        "POST",
        "/v1/messages?beta=true",
        "messages",
        200,
    )
    assert {name: request.headers[name.lower()] for name in secrets} == {
        "Authorization": "[redacted]",
        "X-Api-Key": "[redacted]",
        "Cookie": "[redacted]",
        "X-Trace": "t",
    }
    assert request.body == json.loads(body)
    assert request.prompt is not None
    assert (request.prompt.instructions, request.prompt.items) == ("Be kind.", prompt.items)


def test_models_are_listed_for_both_vendors(server: RehearsalServer) -> None:
    """One page has what OpenAI's and what Anthropic's clients look for."""
    answer = ask(server, "/models", method="GET")
    rows = [json_object(row) or {} for row in json_list(answer.json["data"])]
    assert [row["id"] for row in rows] == list(SCRIPTS)
    assert (answer.json["object"], answer.json["first_id"], answer.json["has_more"]) == ("list", "hello", False)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/completions", 404), ("GET", "/messages", 404), ("DELETE", "/models", 404), ("BREW", "/models", 501)],
)
def test_other_paths_are_an_openai_error(method: str, path: str, status: int, server: RehearsalServer) -> None:
    """Whatever is not served says what is, as JSON."""
    answer = ask(server, path, b"{}" if method == "POST" else None, method=method)
    assert answer.status == status
    assert json_object(answer.json["error"])


def test_a_body_above_the_limit_is_refused_before_it_is_read() -> None:
    """A 413 reaches the client, also one that is still sending."""
    with RehearsalServer(max_body_bytes=1000) as server:
        answer = ask(server, "/messages", b"x" * 3_000_000)
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert answer.json["type"] == "error"


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Transfer-Encoding": "chunked"}, 411), ({"Content-Length": "-1"}, 400), ({"Content-Length": "lots"}, 400)],
)
def test_a_body_of_unknown_length_is_refused(headers: Mapping[str, str], status: int, server: RehearsalServer) -> None:
    """A body the server cannot measure is an error with a reason, not a hang."""
    with connected(server) as client:
        lines = ["POST /v1/responses HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in headers.items())]
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        client.shutdown(socket.SHUT_WR)
        head = read_all(client).partition(b"\r\n")[0]
    assert head.startswith(f"HTTP/1.1 {status} ".encode())


def test_what_is_no_http_is_refused_as_json(server: RehearsalServer) -> None:
    """A broken request line is answered with an error object and the end of the connection."""
    with connected(server) as client:
        client.sendall(b"GET / HTTP/9.9.9\r\n\r\n")
        body = read_all(client).partition(b"{")[2]
    assert json_object(json.loads(b"{" + body)["error"])
    assert [(request.path, request.status) for request in server.requests] == [("", 400)]


def test_a_client_of_http_1_0_gets_a_stream_without_chunks(server: RehearsalServer) -> None:
    """HTTP/1.0 knows no chunked bodies: the stream is sent plain and ends with the connection."""
    prompt = Prompt("hello you", model="echo")
    with connected(server) as client:
        client.sendall(raw_request(server, "chat", prompt, version="1.0"))
        head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    _, response, error = decode("chat", prompt, body)
    assert (response.text, error) == ("hello you", None)


def test_one_connection_takes_many_requests(server: RehearsalServer) -> None:
    """Connections are kept alive after streams, whole answers and errors alike."""
    url = urlsplit(server.base_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
    statuses: list[int] = []
    for model, stream in (("hello", True), ("hello", False), ("nope", True), ("hello", True)):
        body = CODECS["chat"].encode_request(Prompt("a", model=model), Compat(), stream=stream).body
        connection.request("POST", url.path + "/chat/completions", body)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    assert len(connection_threads()) == 1
    connection.close()
    assert statuses == [200, 200, 404, 200]


def test_a_client_that_leaves_is_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    """A connection dropped in the middle of a stream ends its thread without a word."""
    with RehearsalServer(pace_s=0.001) as server:
        for model in ("long", "think"):
            with connected(server) as client:
                client.sendall(raw_request(server, "responses", Prompt("a", model=model)))
                client.recv(100)
        wait_until(lambda: not connection_threads())
    assert capfd.readouterr() == ("", "")


def test_twenty_clients_at_once(server: RehearsalServer) -> None:
    """Requests run side by side, each with its own answer."""

    def one(n: int) -> str:
        wire = WIRES[n % 3]
        prompt = Prompt(f"number {n}", model="echo")
        return decode(wire, prompt, prompt_ask(server, wire, prompt).body)[1].text

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(one, range(20))) == [f"number {n}" for n in range(20)]
    assert len(server.requests) == 20


def test_pace_delay_and_usage_are_as_scripted() -> None:
    """`delay_s` passes before the first byte, `pace_s` between deltas, and given usage is what the wire says."""
    step = Step(text="a b c d e f g h i j", delay_s=0.05, usage=Usage(input=7, cache_read=3, output=5))
    prompt = Prompt("a", model="x")
    with RehearsalServer([step], pace_s=0.01) as server:
        began = time.monotonic()
        answer = prompt_ask(server, "chat", prompt)
        took = time.monotonic() - began
    assert 0.15 <= took < 5
    usage = decode("chat", prompt, answer.body)[1].usage
    assert usage == Usage(input=7, cache_read=3, output=5)


def test_close_ends_everything_at_once() -> None:
    """Closing does not wait for slow streams, leaves no thread and no socket, and may be done twice."""
    server = RehearsalServer([Step(text="a " * 1000)], pace_s=1)
    with connected(server) as client:
        client.sendall(raw_request(server, "chat", Prompt("a", model="x")))
        assert client.recv(100)
        began = time.monotonic()
        server.close()
        server.close()
        assert time.monotonic() - began < 2
        assert not connection_threads()
        with pytest.raises(ConnectionRefusedError):
            connected(server, port=client.getpeername()[1]).close()


def test_a_server_can_start_again() -> None:
    """After close it starts anew when asked, and its record goes on."""
    server = RehearsalServer(pace_s=0)
    for _ in range(2):
        with server:
            assert prompt_ask(server, "chat", Prompt("a", model="hello")).status == 200
    assert len(server.requests) == 2


def test_a_forgotten_server_is_closed_with_its_last_reference() -> None:
    """Nothing keeps a server alive but its user."""
    server = RehearsalServer()
    port = urlsplit(server.base_url).port
    gone = weakref.ref(server)
    del server
    gc.collect()
    assert gone() is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


@pytest.mark.anyio
async def test_it_is_an_async_context_manager() -> None:
    """The same server in async code, on both event loops."""
    async with RehearsalServer() as server:
        with connected(server):
            pass
    assert not connection_threads()


@each_wire
def test_its_provider_row_needs_no_key(wire: WireName, server: RehearsalServer) -> None:
    """The provider resolves on every wire to this server's own URLs."""
    resolved = resolve("rehearsal/hello", provider=server.provider, wire=wire, env={})
    assert (resolved.url, resolved.auth) == (server.base_url + CODECS[wire].path, "none")
    assert (resolved.model, server.model) == ("hello", "rehearsal/hello")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RehearsalServer({}), "a rehearsal needs a script"),
        (lambda: RehearsalServer([]), "script 'script' has no steps"),
        (lambda: RehearsalServer({"a": []}), "script 'a' has no steps"),
        (lambda: RehearsalServer("hello"), "must be a list of steps or a function .*, not str"),  # type: ignore[arg-type]  # a likely slip
        (lambda: RehearsalServer(Step(text="a")), "must be a list of steps or a function .*, not Step"),  # type: ignore[arg-type]  # a likely slip
        (lambda: RehearsalServer(["a"]), "step 1 of script 'script' must be a Step, not str"),  # type: ignore[list-item]  # a likely slip
        (lambda: RehearsalServer(pace_s=-1), "pace_s must not be negative"),
        (lambda: RehearsalServer(port=99999).base_url, "cannot listen on port 99999"),
    ],
)
def test_bad_arguments_are_refused_with_a_remedy(make: Callable[[], object], message: str) -> None:
    """What is no script fails where it is given, not in the middle of a test."""
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert caught.value.remedy


def connected(server: RehearsalServer, *, port: int | None = None) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port or urlsplit(server.base_url).port or 0), timeout=20)


def raw_request(server: RehearsalServer, wire: WireName, prompt: Prompt, *, version: str = "1.1") -> bytes:
    body = CODECS[wire].encode_request(prompt, Compat()).body
    path = urlsplit(server.base_url).path + CODECS[wire].path
    return f"POST {path} HTTP/{version}\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def connection_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rehearsal-client"]


def wait_until(fact: Callable[[], bool]) -> None:
    """Poll for something another thread does; a deadline, never a fixed sleep."""
    deadline = time.monotonic() + 10
    while not fact():
        assert time.monotonic() < deadline, "it never happened"
        threading.Event().wait(0.005)
