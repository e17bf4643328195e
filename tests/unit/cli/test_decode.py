"""`decode`: captured streams in, one line or a readable form out."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from agent_core.cli import main
from agent_core.cli.decode import decode_path
from agent_core.cli.exits import Exit
from agent_core.codecs import WIRES
from agent_core.items import JsonObject, JsonValue, WireName
from tests.recordings import Recording, needs_recordings, streams

FIXTURES = Path(__file__).parents[2] / "fixtures"
CHAT = str(FIXTURES / "chat_call.sse")
CUT = str(FIXTURES / "chat_cut.sse")
FAILED = str(FIXTURES / "responses_error.sse")
TEXT = str(FIXTURES / "messages_text.sse")


def decoded(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, list[JsonObject], str]:
    code = main(["decode", "--json", *argv])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def test_a_chat_stream_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Every member the wire said has a value, under the wire's own name for why it stopped."""
    expected = {
        "path": CHAT,
        "wire": "chat",
        "text": "I read the file.",
        "reasoning_text": "Look first.",
        "tool_calls": [{"call_id": "call_1", "name": "read_file", "arguments": '{"path":"a.py"}'}],
        "finish_reason": "tool_calls",
        "usage": {"input": 20, "cached_input": 4, "output": 9, "reasoning": 3, "total": 29},
        "n_events": 8,
        "error": None,
        "complete": True,
        "interrupted": False,
    }
    assert decoded(capsys, CHAT) == (Exit.OK, [expected], "")


def test_several_files_of_several_wires(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a file, in order, each with its own wire; an error inside a stream is content, not a failure."""
    code, lines, err = decoded(capsys, TEXT, FAILED)
    assert (code, err) == (Exit.OK, "")
    assert lines == [
        {
            "path": TEXT,
            "wire": "messages",
            "text": "Hello",
            "reasoning_text": "",
            "tool_calls": [],
            "stop_reason": "end_turn",
            "usage": {"input": 10, "cached_input": 2, "output": 3, "reasoning": None, "total": 13},
            "n_events": 7,
            "error": None,
            "complete": True,
            "interrupted": False,
        },
        {
            "path": FAILED,
            "wire": "responses",
            "text": "",
            "reasoning_text": "",
            "tool_calls": [],
            "status": "failed",
            "usage": None,
            "n_events": 3,
            "error": {
                "type": "insufficient_quota",
                "code": "insufficient_quota",
                "message": "no credit left",
                "param": None,
            },
            "complete": True,
            "interrupted": False,
        },
    ]


def test_a_cut_stream_is_decoded_as_far_as_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    """What is there is shown; that the end is missing is said in the line, on stderr and by the exit code."""
    code, lines, err = decoded(capsys, CUT)
    assert (code, err.count("\n"), err.startswith(f"error: {CUT}: ")) == (Exit.FAILED, 1, True)
    assert lines == [
        {
            "path": CUT,
            "wire": "chat",
            "text": "It was a dark and",
            "reasoning_text": "",
            "tool_calls": [],
            "finish_reason": None,
            "usage": None,
            "n_events": 1,
            "error": None,
            "complete": False,
            "interrupted": True,
        }
    ]


def test_an_error_line_outside_the_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One server writes an `error:` field and hangs up: no event says so, yet it is not lost."""
    path = write(tmp_path, "x.sse", Path(CUT).read_bytes() + b'error: {"message":"context too small"}\n')
    code, (line,), err = decoded(capsys, path)
    assert (code, err) == (
        Exit.FAILED,
        f"error: {path}: context too small - capture it again to its end; what is there was decoded\n",
    )
    said = (line["error"], line["error_field"], line["complete"], line["interrupted"])
    assert said == (None, {"message": "context too small"}, False, True)


def write(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty - capture the body of a streamed response into it"),
        (b" \n\n", "the file is empty - capture the body of a streamed response into it"),
        (
            bytes(range(256)) * 20,
            "no event stream of a known wire - check the file, or say --wire chat|responses|messages",
        ),
        (
            b"<html>login</html>",
            "no event stream of a known wire - check the file, or say --wire chat|responses|messages",
        ),
        (None, "cannot read the file: No such file or directory - check the path"),
    ],
    ids=["empty", "blank", "binary", "web page", "missing"],
)
def test_a_file_that_is_no_stream(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is one error line and exit code 1, and the files beside it are decoded all the same."""
    path = write(tmp_path, "x.sse", content) if content is not None else str(tmp_path / "x.sse")
    code, lines, err = decoded(capsys, path, TEXT)
    assert (code, err) == (Exit.FAILED, f"error: {path}: {message}\n")
    assert [(line["wire"], line["complete"]) for line in lines] == [(None, False), ("messages", True)]


def test_a_directory_is_no_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory says to name the files in it; without --json nothing is on stdout."""
    line = f"error: {tmp_path}: cannot read the file: Is a directory - name the .sse files in it\n"
    assert (main(["decode", str(tmp_path)]), *capsys.readouterr()) == (Exit.FAILED, "", line)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("content", [bytes(range(256)) * 20, b"<html>login</html>", b"data: x\n\n"])
def test_a_forced_wire_does_not_make_a_stream(
    wire: WireName, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--wire on a file that is no stream is an error too, never an empty success."""
    path = write(tmp_path, "x.sse", content)
    code, lines, err = decoded(capsys, "--wire", wire, path)
    assert (code, err.count("\n"), [line["complete"] for line in lines]) == (Exit.FAILED, 1, [False])


def test_the_wire_is_what_one_says_then_meta_then_the_bytes(tmp_path: Path) -> None:
    """--wire beats meta.json beside the file, which beats the bytes; a meta.json that says nothing is passed over."""
    path = write(tmp_path, "response.sse", b'data: {"error":{"message":"no"}}\n\n')
    found: list[WireName] = [decode_path(path).wire]
    for meta in ('{"wire": "messages"}', '{"wire": "telegraph"}', "[", "[]"):
        (tmp_path / "meta.json").write_text(meta)
        found.append(decode_path(path).wire)
    (tmp_path / "meta.json").write_text('{"wire": "messages"}')
    assert [*found, decode_path(path, "responses").wire] == ["chat", "messages", "chat", "chat", "chat", "responses"]


def test_a_stream_from_stdin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(TEXT).read_bytes())))
    code, lines, err = decoded(capsys, "-")
    assert (code, [(line["path"], line["text"]) for line in lines], err) == (Exit.OK, [("-", "Hello")], "")


def test_the_readable_form(capsys: pytest.CaptureFixture[str]) -> None:
    """Items in order, arguments laid out, and how it ended."""
    assert main(["decode", CHAT]) == Exit.OK
    assert capsys.readouterr().out == (
        'Look first.\nI read the file.\n● read_file\n  │ {\n  │   "path": "a.py"\n  │ }\n'
        "finish_reason: tool_calls · 20 in (4 cached), 9 out (3 reasoning) · 8 events\n"
    )


def test_the_readable_form_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """A stream that ends early and a stream with an error say so; several files have headings."""
    assert main(["decode", CUT, FAILED]) == Exit.FAILED
    assert capsys.readouterr().out == (
        f"== {CUT} (chat)\nIt was a dark and\nfinish_reason: none · 1 events\nthe stream ends early\n"
        f"\n== {FAILED} (responses)\nstatus: failed · 3 events\n"
        'the stream carries an error: {"type": "insufficient_quota", "code": "insufficient_quota", '
        '"message": "no credit left", "param": null}\n'
    )


def folded(recording: Recording) -> JsonObject:
    """What `decode` makes of a recording, in the members of its expected.json."""
    line = decode_path(str(recording.folder / "response.sse")).to_json()
    return {name: line[name] for name in line if name not in ("path", "interrupted")}


def differences(recording: Recording) -> list[str]:
    """Members that are neither what is expected nor what a flushed last event makes of it."""
    expected = recording.expected
    flushed = expected.get("if_flushed")
    allowed: list[JsonObject] = [expected, {**expected, **flushed} if isinstance(flushed, dict) else expected]
    line = folded(recording)
    line["n_data_events"] = line.pop("n_events")
    return [
        name for name, value in line.items() if _comparable(value) not in [_comparable(a.get(name)) for a in allowed]
    ]


def _comparable(value: JsonValue) -> JsonValue:
    """An id the peer did not give ("null" from one provider) may be made up."""
    if isinstance(value, list):
        return [
            {**call, "call_id": None} if isinstance(call, dict) and call.get("call_id") in (None, "", "null") else call
            for call in value
        ]
    return value


@needs_recordings
@pytest.mark.parametrize("wire", WIRES)
def test_every_recorded_stream_folds_as_expected(wire: WireName) -> None:
    """All recorded streams of the wire fold to what an independent decoder made of them."""
    wrong = {str(recording): differences(recording) for recording in streams(wire)}
    assert {name: members for name, members in wrong.items() if members} == {}
