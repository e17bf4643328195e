"""`exec`: one task, run to its end, against a scripted model over HTTP on loopback."""

from __future__ import annotations

import http.server
import io
import json
import re
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_core import sandbox
from agent_core.approvals import Rule
from agent_core.cli import main
from agent_core.cli.exits import Exit
from agent_core.codecs import WIRES
from agent_core.errors import SandboxUnavailable
from agent_core.items import Message, WireName, assistant_message, text_of, user_message
from agent_core.providers import PROVIDERS
from agent_core.session import Session
from agent_core.testing import Call, RehearsalServer, Step

TOUCH = (Call("shell", {"command": "echo made > made.txt"}, "call_1"),)


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENT_CORE_MODEL", raising=False)
    monkeypatch.delenv("AGENT_CORE_DEBUG", raising=False)
    for name in {name for row in PROVIDERS.values() for name in row.key_env}:
        monkeypatch.delenv(name, raising=False)


@contextmanager
def model(*steps: Step) -> Generator[tuple[RehearsalServer, list[str]]]:
    """A scripted model, and the arguments that make exec use it."""
    with RehearsalServer(list(steps), pace_s=0) as server:
        yield server, ["-m", "lab/any", "--base-url", server.base_url, "--retries", "0"]


def run(argv: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["exec", *argv])
    out, err = capsys.readouterr()
    return code, out, err


def types(out: str) -> list[str]:
    return [json.loads(line)["type"] for line in out.splitlines()]


@pytest.mark.parametrize("wire", WIRES)
def test_the_answer_is_stdout_and_the_rest_stderr(
    wire: WireName, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script reads the final message; a person reads how it came about and what it took."""
    with model(Step(reasoning="Think.", text="Hello.")) as (server, to):
        code, out, err = run(["Say hello", "--wire", wire, "--cd", str(tmp_path), *to], capsys)
        assert [request.wire for request in server.requests] == [wire]
    assert (code, out) == (Exit.OK, "Hello.\n")
    took = r"1 turn, 0 tool calls, [\d,]+ tokens \([\d,]+ in, \d+ out( \(\d+ reasoning\))?\), \d\.\d s\n"
    assert re.fullmatch(r"Think\.\nHello\.\n" + took, err)


def test_json_is_one_event_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From turn.started to turn.finished; nothing else on stdout, nothing on stderr."""
    with model(Step(calls=TOUCH), Step(text="Done.")) as (_, to):
        code, out, err = run(["Touch it", "--json", "--approve", "all", "--cd", str(tmp_path), *to], capsys)
    assert (code, err) == (Exit.OK, "")
    kinds = [kind for kind in types(out) if not kind.endswith(".delta") and not kind.startswith("item.")]
    assert kinds == [
        "turn.started",
        "sample.started",
        "sample.finished",
        "approval.requested",
        "approval.decided",
        "tool.started",
        "tool.finished",
        "sample.started",
        "sample.finished",
        "turn.finished",
    ]
    last = json.loads(out.splitlines()[-1])
    assert (last["stop_reason"], last["text"], last["samples"], last["tool_calls"]) == ("completed", "Done.", 2, 1)
    assert (tmp_path / "made.txt").read_text() == "made\n"


def test_without_a_terminal_nothing_is_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The action is denied, the model is told why, and the exit code says so."""
    with model(Step(calls=TOUCH), Step(text="I may not.")) as (_, to):
        code, out, err = run(["Touch it", "--cd", str(tmp_path), *to], capsys)
    assert (code, out, list(tmp_path.iterdir())) == (Exit.DENIED, "I may not.\n", [])
    assert "! not allowed: echo made > made.txt (nobody can be asked" in err


@pytest.mark.parametrize(("compact", "happens"), [("40%", True), ("auto", False), ("off", False)])
def test_compact_says_at_what_share_of_the_window(
    compact: str, happens: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """gpt-4 has 8,192 tokens, whoever serves it; this history takes half of them."""
    path = str(tmp_path / "s.jsonl")
    with Session.create(path) as session:
        session.append(user_message("x" * 8_000), assistant_message("y" * 8_000))
    with model(Step(text="one"), Step(text="two")) as (_, to):
        to = [*to, "-m", "lab/gpt-4", "--compact", compact, "--json", "--cd", str(tmp_path)]
        code, out, _ = run(["and?", "--resume", path, *to], capsys)
    assert code == Exit.OK
    assert ("compaction.finished" in types(out)) == happens


@pytest.mark.parametrize(
    ("options", "made", "said"),
    [
        (("--sandbox", "read-only"), False, "may have denied this"),
        (("--sandbox", "workspace-write"), True, "Exit code: 0"),
        (("--sandbox", "workspace-write", "--approve", "unless-trusted"), False, "nobody can be asked"),
        (("--sandbox", "full-access", "--approve", "never"), True, "Exit code: 0"),
        (("--approve", "never"), False, "nothing holds this here"),
        (("--approve", "on-request"), False, "nobody can be asked"),
    ],
    ids=str,
)
def test_sandboxes_and_modes(
    options: tuple[str, ...], made: bool, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a sandbox holds runs unasked; without a terminal what would be asked is denied."""
    _needs_sandbox()
    with model(Step(calls=TOUCH), Step(text="Done.")) as (_, to):
        _, out, _ = run(["Touch it", *options, "--json", "--cd", str(tmp_path), *to], capsys)
    assert (said in out, (tmp_path / "made.txt").exists()) == (True, made)


def _needs_sandbox() -> None:
    try:
        sandbox.Sandbox(sandbox.read_only())
    except SandboxUnavailable as error:
        pytest.skip(error.message)


def test_no_run_without_the_sandbox(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can hold it, nothing is asked of the model, and the error says what to do."""
    monkeypatch.setattr(sandbox, "_working", tuple)
    with model(Step(calls=TOUCH)) as (server, to):
        code, _, err = run(["Touch it", "--sandbox", "read-only", "--cd", str(tmp_path), *to], capsys)
        assert (code, len(server.requests)) == (Exit.USAGE, 0)
    assert "the sandbox 'read_only' cannot be held here" in err


def test_what_a_session_allows_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever goes on with a session, perhaps somebody else's, sees what its file lets run unasked."""
    path = str(tmp_path / "s.jsonl")
    with Session.create(path) as session:
        session.remember(Rule.for_command("make"))
    with model(Step(text="Hi.")) as (_, to):
        _, _, err = run(["Hi", "--resume", path, "--approve", "on-request", *to], capsys)
    assert "this session allows: commands that begin with `make`\n" in err


def test_hooks_are_commands_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that says no before a tool denies its call, and the screen says what failed."""
    (tmp_path / "hooks.toml").write_text(
        '[[hooks]]\npoint = "before_tool"\ncommand = ["sh", "-c", "echo no >&2; exit 2"]\ntools = "shell"\n'
        '[[hooks]]\npoint = "stop"\ncommand = ["false"]\n'
    )
    with model(Step(calls=TOUCH), Step(text="Done.")) as (_, to):
        options = ["--approve", "all", "--hooks", str(tmp_path / "hooks.toml"), "--cd", str(tmp_path)]
        code, _, err = run(["Touch it", *options, *to], capsys)
    assert (code, (tmp_path / "made.txt").exists()) == (Exit.DENIED, False)
    assert "denied by a hook: no" in err
    assert "! the hook 'false' failed (stop): " in err


LIMITS: list[tuple[str, str, str]] = [
    ("--max-turns", "1", "max_turns"),
    ("--max-tool-calls", "1", "max_tool_calls"),
    ("--max-tokens", "1", "max_tokens"),
    ("--max-cost", "0.000001", "max_cost"),
]


@pytest.mark.parametrize(("option", "value", "reason"), LIMITS, ids=[option for option, _, _ in LIMITS])
def test_a_limit_has_its_own_exit_code(
    option: str, value: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that would go on ends at its limit, says which, and what it cost at the list's prices."""
    with model(Step(calls=TOUCH), Step(text="Never said.")) as (server, _):
        to = ["-m", "openai/gpt-4o", "--base-url", server.base_url, "--wire", "chat", "--cd", str(tmp_path)]
        code, out, err = run(["Touch it", "--approve", "all", option, value, *to], capsys)
    assert (code, out, f"\nstopped: {reason}\n" in err) == (Exit.LIMIT, "", True)
    assert re.search(r"tokens \(.+\), \$0\.0+\d+ \(list prices of 2\d{3}-\d\d-\d\d\), ", err)


def test_a_server_that_never_answers_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--timeout ends the run, whatever it waits for, as a limit."""
    with model(Step(text="Too late.", delay_s=300)) as (_, to):
        code, out, err = run(["Hurry", "--timeout", "0.2", "--cd", str(tmp_path), *to], capsys)
    assert (code, out, err.splitlines()[0]) == (Exit.LIMIT, "", "stopped: deadline")


@pytest.mark.parametrize(
    "options", [["-m", "openai/gpt-5"], ["-m", "nosuch/model"], ["-m", "anthropic/x", "--wire", "chat"]]
)
def test_a_command_that_could_not_run_leaves_no_session_file(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Corrected, the same command may name the same new file."""
    path = tmp_path / "new.jsonl"
    session = ["--session", str(path), "--cd", str(tmp_path)]
    assert run(["x", *options, *session], capsys)[0] == Exit.USAGE
    assert not path.exists()
    assert run(["x", "-m", "rehearsal/echo", *session], capsys)[0] == Exit.OK


def test_a_session_that_was_answered_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Resumed by a command that cannot run, it stays as it is."""
    path = tmp_path / "talk.jsonl"
    where = ["--cd", str(tmp_path)]
    assert run(["x", "-m", "rehearsal/echo", "--session", str(path), *where], capsys)[0] == Exit.OK
    assert run(["y", "-m", "openai/gpt-5", "--resume", str(path), *where], capsys)[0] == Exit.USAGE
    assert '"text":"x"' in path.read_text()


@pytest.mark.parametrize("wire", WIRES)
def test_a_refusal_is_a_failure(wire: WireName, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that will not do it has not done it, whatever its wire calls that."""
    with model(Step(refusal="I will not.")) as (_, to):
        code, _, err = run(["Do it", "--wire", wire, "--cd", str(tmp_path), *to], capsys)
    assert (code, "I will not.\nstopped: refusal\n" in err) == (Exit.FAILED, True), err


def test_a_conversation_goes_on_in_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--session starts a file, --resume sends what is in it, on another wire too."""
    path = str(tmp_path / "talk.jsonl")
    with model(Step(text="One."), Step(text="Two.")) as (server, to):
        first = run(["First", "--session", path, "--cd", str(tmp_path), *to], capsys)
        second = run(["Second", "--resume", path, "--wire", "messages", "--cd", str(tmp_path), *to], capsys)
        prompt = server.requests[-1].prompt
    assert (first[:2], second[:2]) == ((Exit.OK, "One.\n"), (Exit.OK, "Two.\n"))
    assert first[2].endswith(f"\ntranscript: {path}\n")
    assert prompt is not None
    said = [text_of(item) for item in prompt.items if isinstance(item, Message) and item.role != "system"]
    assert said == ["First", "One.", "Second"]


def test_the_task_from_stdin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-` is standard input, whole."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Grüße\nand more".encode())))
    with model(Step(text="Yes.")) as (server, to):
        assert run(["-", "--cd", str(tmp_path), *to], capsys)[:2] == (Exit.OK, "Yes.\n")
        prompt = server.requests[0].prompt
    assert prompt is not None
    assert [text_of(item) for item in prompt.items if isinstance(item, Message)][-1] == "Grüße\nand more"


def test_another_model_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--fallback, in order: told to a person and, with --json, to a script; the answer is the other model's."""
    busy = Step(status=503, error="no capacity")
    with RehearsalServer(lambda prompt: Step(text="Hello.") if prompt.model == "c" else busy, pace_s=0) as server:
        models = ["-m", "lab/a", "--fallback", "lab/b", "--fallback", "lab/c", "--base-url", server.base_url]
        argv = ["Say hello", "--cd", str(tmp_path), "--retries", "0", *models]
        code, out, err = run(argv, capsys)
        assert (code, out) == (Exit.OK, "Hello.\n")
        assert "! lab/a: no capacity; going on with lab/b\n! lab/b: no capacity; going on with lab/c\n" in err
        assert types(run([*argv, "--json"], capsys)[1]).count("model.fell_back") == 2


def test_a_fallback_nobody_knows_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Found out before anything is sent."""
    with model(Step(text="Yes.")) as (server, to):
        code, _, err = run(["x", "--cd", str(tmp_path), *to, "--fallback", "nobody/m"], capsys)
    assert (code, len(server.requests)) == (Exit.USAGE, 0)
    assert err.startswith("error: unknown provider 'nobody'")


def test_a_task_in_bytes_the_locale_does_not_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under LC_ALL=C Python hands over what was typed as surrogates; it is read as the UTF-8 it is."""
    typed = "Grüße\udcff".encode("utf-8", "surrogateescape").decode("ascii", "surrogateescape")
    with model(Step(text="Yes.")) as (server, to):
        assert run([typed, "--cd", str(tmp_path), *to], capsys)[0] == Exit.OK
        prompt = server.requests[0].prompt
    assert prompt is not None
    assert [text_of(item) for item in prompt.items if isinstance(item, Message)][-1] == "Grüße\N{REPLACEMENT CHARACTER}"


def test_the_current_directory_may_be_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is bad usage like any other directory that is not there."""
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    code, out, err = run(["x", "-m", "rehearsal/echo"], capsys)
    assert (code, out, err) == (Exit.USAGE, "", "error: no directory '.' - give --cd a directory that exists\n")


def test_without_a_key_the_rehearsal_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The embedded default works with nothing set up, and says that it is scripted."""
    code, out, err = run(["Hello?", "--cd", str(tmp_path)], capsys)
    assert (code, out.startswith("Hello! I am a rehearsed model")) == (Exit.OK, True)
    assert err.startswith("no model was named and no key is set: rehearsal/hello, a scripted model, answers\n")


def test_a_retry_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A busy server is tried again, and the wait is not silent."""
    busy = Step(status=503, error="no capacity", headers={"retry-after": "0"})
    with model(Step(text="At last.", failures=(busy,))) as (_, to):
        code, out, err = run(["Go", "--cd", str(tmp_path), *to[:-1], "1"], capsys)
    assert (code, out, "; attempt 2 in 0." in err) == (Exit.OK, "At last.\n", True)


def test_an_answer_that_broke_is_asked_for_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was shown of it is declared void; stdout holds only the whole one."""
    text = "This sentence is long enough to be cut somewhere in its middle."
    with model(Step(text=text, failures=(Step(text=text, cut_after_events=4),))) as (_, to):
        code, out, err = run(["Go", "--cd", str(tmp_path), *to, "--retries", "1"], capsys)
    assert (code, out, "the answer above is dropped and asked for again" in err) == (Exit.OK, text + "\n", True)


class _WebPage(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<html><body>Please sign in</body></html>")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def web_page() -> Iterator[str]:
    """A server that answers everything with a page to sign in."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _WebPage) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


BAD_INPUT: list[tuple[list[str], Exit, str]] = [
    ([" "], Exit.USAGE, "the task is empty"),
    (["x", "--cd", "{tmp}/nope"], Exit.USAGE, "no directory"),
    (["x", "--timeout", "0"], Exit.USAGE, "'0' is not a number of seconds"),
    (["x", "--timeout", "nan"], Exit.USAGE, "'nan' is not a number of seconds"),
    (["x", "--max-turns", "0"], Exit.USAGE, "'0' is not a number from 1"),
    (["x", "--max-cost", "0"], Exit.USAGE, "'0' is not a number of US dollars"),
    (["x", "--max-cost", "1e400"], Exit.USAGE, "is not a number of US dollars"),
    (["x", "--max-cost", "$1", "-m", "lab/x", "--base-url", "http://127.0.0.1:9/v1"], Exit.USAGE, "no price is known"),
    (["x", "--compact", "0%"], Exit.USAGE, "'0%' is none of auto, off and 1% to 100%"),
    (["x", "--compact", "90"], Exit.USAGE, "'90' is none of auto, off and 1% to 100%"),
    (["x", "-m", "nosuch/model"], Exit.USAGE, "nosuch"),
    (["x", "-m", "nomodel"], Exit.USAGE, "nomodel"),
    (["x", "-m", "openai/gpt-5"], Exit.USAGE, "OPENAI_API_KEY"),
    (["x", "-m", "anthropic/claude-sonnet-4-6", "--wire", "responses"], Exit.USAGE, "responses"),
    (["x", "-m", "lab/x", "--base-url", "no-url"], Exit.USAGE, "no-url"),
    (["x", "-m", "rehearsal/nosuch"], Exit.FAILED, "nosuch"),
    (["x", "-m", "lab/x", "--base-url", "http://127.0.0.1:9/v1", "--retries", "0"], Exit.FAILED, "127.0.0.1:9"),
    (["x", "--resume", "{tmp}/nope.jsonl"], Exit.FAILED, "nope.jsonl"),
    (["x", "--session", "{tmp}"], Exit.FAILED, "exists already"),
    (["x", "--resume", "{tmp}"], Exit.FAILED, "session"),
]


@pytest.mark.parametrize(("argv", "code", "named"), BAD_INPUT, ids=[" ".join(argv) for argv, _, _ in BAD_INPUT])
def test_bad_input_is_one_line_with_a_remedy(
    argv: list[str], code: Exit, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names what is wrong and what to do; nothing is on stdout; there is no traceback."""
    got, out, err = run([word.replace("{tmp}", str(tmp_path)) for word in argv], capsys)
    *notes, line = err.splitlines()
    assert (got, out, named in line) == (code, "", True), err
    assert re.fullmatch(r"error: .+ - .+", line)
    assert [note for note in notes if not note.startswith("no model was named")] == []


REFUSALS: list[tuple[Step, str]] = [
    (Step(status=401, error="bad key", code="invalid_api_key"), "API key"),
    (Step(status=404, error="no such model", code="model_not_found"), "model"),
    (Step(status=429, error="slow down", headers={"retry-after": "7"}), "retry_after_s"),
    (Step(status=500, error="broken"), "try again"),
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("step", "remedy"), REFUSALS, ids=[str(step.status) for step, _ in REFUSALS])
def test_what_the_peer_refuses_is_one_line(
    step: Step, remedy: str, wire: WireName, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The provider's own message, and what to do about it, on every wire."""
    with model(step) as (_, to):
        code, out, err = run(["x", "--wire", wire, "--cd", str(tmp_path), *to], capsys)
    assert (code, out, err.count("\n"), step.error in err, remedy in err) == (Exit.FAILED, "", 1, True, True), err


def test_a_web_page_is_no_answer(web_page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A base URL that answers HTML says so, in one line."""
    code, out, err = run(["x", "-m", "lab/x", "--base-url", web_page, "--cd", str(tmp_path)], capsys)
    assert (code, out, err.count("\n"), "base URL" in err) == (Exit.FAILED, "", 1, True), err


def test_an_error_is_the_last_json_line_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json, a failed run ends in an error object; the line on stderr stays."""
    with model(Step(status=401, error="bad key", code="invalid_api_key")) as (_, to):
        code, out, err = run(["x", "--json", "--cd", str(tmp_path), *to], capsys)
    last = json.loads(out.splitlines()[-1])
    assert (code, err.startswith("error: ")) == (Exit.FAILED, True)
    assert (last["type"], last["error"], last["status"]) == ("error", "AuthenticationError", 401)
