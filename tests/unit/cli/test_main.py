"""The command line as a whole: help, version, bad usage, errors as one line, exit codes."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys

import pytest

from agent_core.cli import main
from agent_core.cli.exits import Exit, exit_code_of, exit_of_result, guarded
from agent_core.errors import (
    AuthenticationError,
    ConfigError,
    LimitReached,
    MissingKeyError,
    SessionError,
    TransportError,
)
from agent_core.turn_events import StopReason, TurnResult

COMMANDS = ("demo", "exec", "decode", "providers", "serve", "sessions", "mcp", "probe")

BAD_USAGE: list[tuple[list[str], str]] = [
    ([], f"error: no command given - choose one of {', '.join(COMMANDS)}; see agent-core --help\n"),
    (
        ["nosuchcommand"],
        f"error: unknown command 'nosuchcommand' - choose one of {', '.join(COMMANDS)}; see agent-core --help\n",
    ),
    (["--nosuch"], "error: unrecognized arguments: --nosuch - see agent-core --help\n"),
    (["exec"], 'error: there is no task - say what to do, e.g. agent-core exec "run the tests"\n'),
    (["sessions"], "error: the following arguments are required: ACTION - see agent-core sessions --help\n"),
    (
        ["sessions", "show"],
        "error: the following arguments are required: SESSION - see agent-core sessions show --help\n",
    ),
    (["decode"], "error: the following arguments are required: PATH - see agent-core decode --help\n"),
    (["providers", "extra"], "error: unrecognized arguments: extra - see agent-core providers --help\n"),
    (
        ["exec", "x", "--max-turns", "0"],
        "error: argument --max-turns: '0' is not a number from 1 to 1000000 - see agent-core exec --help\n",
    ),
    (
        ["exec", "x", "--retries=-1"],
        "error: argument --retries: '-1' is not a number from 0 to 99 - see agent-core exec --help\n",
    ),
    (
        ["exec", "x", "--session", "a", "--resume", "b"],
        "error: argument --resume: not allowed with argument --session - see agent-core exec --help\n",
    ),
]


@pytest.mark.parametrize(("argv", "line"), BAD_USAGE, ids=[" ".join(argv) or "nothing" for argv, _ in BAD_USAGE])
def test_bad_usage_is_one_line_and_exit_code_2(argv: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command line that cannot be understood says what is wrong and where to look, and nothing else."""
    assert (main(argv), *capsys.readouterr()) == (Exit.USAGE, "", line)


@pytest.mark.parametrize(
    "argv", [["demo", "--wire", "bogus"], ["exec", "x", "--wire", "bogus"], ["decode", "--wire", "bogus", "x"]]
)
def test_an_unknown_wire_names_the_known_ones(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every command that takes a wire lists the three."""
    code = main(argv)
    out, err = capsys.readouterr()
    assert (code, out, len(err.splitlines())) == (Exit.USAGE, "", 1)
    assert all(word in err for word in ("'bogus'", "chat", "responses", "messages", f"agent-core {argv[0]} --help"))


def test_help_lists_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` alone tells what there is and what the exit codes mean."""
    assert main(["--help"]) == Exit.OK
    out, err = capsys.readouterr()
    assert err == ""
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert all(f"\n  {code.value} " in out for code in Exit)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`COMMAND --help` ends well and is plain ASCII, so no terminal can fail to show it."""
    assert main([command, "--help"]) == Exit.OK
    out, err = capsys.readouterr()
    assert (out.isascii(), f"usage: agent-core {command}" in out, err) == (True, True, "")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is the installed distribution's."""
    assert main(["--version"]) == Exit.OK
    assert capsys.readouterr().out == f"agent-core {importlib.metadata.version('agent-core')}\n"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("bad\nurl", remedy="fix it"), Exit.USAGE, "error: bad url - fix it\n"),
        (MissingKeyError("no key", remedy="set X"), Exit.USAGE, "error: no key - set X\n"),
        (SessionError("gone", remedy="look"), Exit.FAILED, "error: gone - look\n"),
        (TransportError("refused", remedy="start it"), Exit.FAILED, "error: refused - start it\n"),
        (AuthenticationError("401 \x1b[2Jno", remedy="check"), Exit.FAILED, "error: 401 no - check\n"),
        (LimitReached("enough", limit="max_turns", remedy="raise it"), Exit.LIMIT, "error: enough - raise it\n"),
        (
            ValueError("a\nbug"),
            Exit.FAILED,
            "error: ValueError: a bug - this is a bug; set AGENT_CORE_DEBUG=1 to see the traceback\n",
        ),
        (KeyError(), Exit.FAILED, "error: KeyError - this is a bug; set AGENT_CORE_DEBUG=1 to see the traceback\n"),
        (
            OSError(28, "No space left on device"),
            Exit.FAILED,
            "error: No space left on device - check the disk and permissions; AGENT_CORE_DEBUG=1 shows where\n",
        ),
        (KeyboardInterrupt(), Exit.INTERRUPTED, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_is_one_line_and_its_code(
    error: BaseException, code: Exit, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours by message and remedy, others by type; what a peer wrote cannot break the line or the terminal."""
    monkeypatch.delenv("AGENT_CORE_DEBUG", raising=False)

    def command() -> int:
        raise error

    assert (guarded(command), *capsys.readouterr()) == (code, "", line)
    assert exit_code_of(error) == code


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With AGENT_CORE_DEBUG set, an unexpected error tells where it came from; the line stays the last one."""
    monkeypatch.setenv("AGENT_CORE_DEBUG", "1")

    def command() -> int:
        raise ValueError("a bug")

    assert guarded(command) == Exit.FAILED
    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[-1][:24]) == ("Traceback (most recent call last):", "error: ValueError: a bug")


@pytest.mark.parametrize(
    ("stop_reason", "denied", "code"),
    [
        ("completed", 0, Exit.OK),
        ("completed", 1, Exit.DENIED),
        ("aborted", 1, Exit.DENIED),
        ("max_turns", 0, Exit.LIMIT),
        ("max_turns", 2, Exit.LIMIT),
        ("max_tool_calls", 0, Exit.LIMIT),
        ("max_tokens", 0, Exit.LIMIT),
        ("deadline", 0, Exit.LIMIT),
        ("length", 0, Exit.LIMIT),
        ("content_filter", 0, Exit.FAILED),
        ("refusal", 0, Exit.FAILED),
        ("cancelled", 0, Exit.INTERRUPTED),
    ],
)
def test_a_finished_run_has_an_exit_code(stop_reason: StopReason, denied: int, code: Exit) -> None:
    """Every stop reason has one; denied counts only for a run that nothing else cut short."""
    assert exit_of_result(TurnResult(stop_reason, denied=denied)) == code


def test_a_reader_that_went_away_is_no_error() -> None:
    """`agent-core providers --json | true`: a closed pipe ends the command without a word."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", "from agent_core.cli import main; raise SystemExit(main())", "providers", "--json"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (Exit.FAILED, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
def test_a_full_disk_is_no_bug_of_ours(buffered: bool) -> None:
    """What cannot be written is one line, without a traceback at the interpreter's end either."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    if not buffered:
        env["PYTHONUNBUFFERED"] = "1"
    with open("/dev/full", "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", "from agent_core.cli import main; raise SystemExit(main())", "providers"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env=env,
        )
    assert (done.returncode, done.stderr.count("\n")) == (Exit.FAILED, 1)
    assert done.stderr.startswith("error: No space left on device - ")


@pytest.mark.parametrize("argv", ["--help", "--version", "decode", "providers"])
def test_a_command_loads_only_what_it_needs(argv: str) -> None:
    """Plain output loads no terminal library; what sends nothing loads no HTTP client and no event loop."""
    code = (
        "import sys; from agent_core.cli import main; main(sys.argv[1:]); heavy = "
        "{'rich', 'httpx2', 'asyncio', 'anyio', 'opentelemetry', 'tenacity'}; print(sorted(heavy & {*sys.modules}))"
    )
    arguments = [argv, "--json", os.devnull] if argv == "decode" else [argv]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines()[-1] == "[]"
