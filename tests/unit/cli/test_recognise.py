"""Which wire a captured stream speaks."""

from __future__ import annotations

import pytest

from agent_core.cli.recognise import recognise
from agent_core.codecs import WIRES
from agent_core.items import WireName
from tests.recordings import ROOT, needs_recordings, streams

CASES: list[tuple[str, bytes, WireName | None]] = [
    ("chat chunk", b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n', "chat"),
    ("usage chunk", b'data: {"object":"chat.completion.chunk","usage":{}}\n\n', "chat"),
    ("comments first", b': OPENROUTER PROCESSING\n\n: x\n\ndata: {"choices":[]}\n\n', "chat"),
    ("CRLF", b'data: {"choices":[]}\r\n\r\n', "chat"),
    ("byte order mark", b'\xef\xbb\xbfdata: {"choices":[]}\n\n', "chat"),
    ("done alone", b"data: [DONE]\n\n", "chat"),
    ("bare error", b'data: {"error":{"message":"no"}}\n\n', "chat"),
    ("bare error, then a typed event", b'data: {"error":"?"}\n\ndata: {"type":"response.failed"}\n\n', "responses"),
    ("responses", b'event: response.created\ndata: {"type":"response.created"}\n\n', "responses"),
    ("responses without event names", b'data: {"type":"response.output_text.delta"}\n\n', "responses"),
    (
        "responses, keep-alive first",
        b'data: {"type":"keepalive"}\n\ndata: {"type":"response.created"}\n\n',
        "responses",
    ),
    ("responses error", b'data: {"type":"error","code":"x","message":"y","sequence_number":0}\n\n', "responses"),
    ("messages", b'event: message_start\ndata: {"type":"message_start"}\n\n', "messages"),
    ("messages ping", b'data: {"type":"ping"}\n\n', "messages"),
    ("messages error", b'data: {"type":"error","error":{"type":"overloaded_error"}}\n\n', "messages"),
    ("cut inside the first event", b'data: {"type":"response.created","response":{"instru', "responses"),
    ("cut inside, named by its event", b'event: message_start\ndata: {"mess', "messages"),
    ("no blank line at the end", b'data: {"choices":[]}', "chat"),
    ("a web page", b"<!doctype html><html><body>sign in</body></html>", None),
    ("a JSON document", b'{"choices":[]}', None),
    ("another event stream", b"event: tick\ndata: 12\n\n", None),
    ("binary", b"\x7fELF\x00\x00data: [DONE]\n\n", None),
    ("bytes that are no text", b"\xff\xfe\xfd" * 50, None),
    ("event name that is no text", b"event: \xff\xfe\ndata: {}\n\n", None),
    ("nothing", b"", None),
]


@pytest.mark.parametrize(("head", "wire"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_first_event_that_only_one_wire_has_decides(head: bytes, wire: WireName | None) -> None:
    """The wire follows from the bytes alone; what is no stream has none."""
    assert recognise(head) == wire


@needs_recordings
@pytest.mark.parametrize("wire", WIRES)
def test_every_recorded_stream_is_recognised(wire: WireName) -> None:
    """Real streams of every provider are told apart by their bytes."""
    assert (ROOT / wire).is_dir()
    assert [str(recording) for recording in streams(wire) if recognise(recording.body) != wire] == []
