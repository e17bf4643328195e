"""`exec_command` and `write_stdin` on real processes: answers, sessions, terminals, pipes, input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from agent_core.approvals import Action, ApprovalRequest, Rule
from agent_core.errors import ConfigError
from agent_core.items import JsonValue
from agent_core.tools import ExecCommand, ExecSessions, ToolContext, ToolOutput, WriteStdin
from agent_core.tools.exec_process import MAX_INPUT_BYTES

from .calls import call, watched
from .sessions import Desk, body, number

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="POSIX alone")]

PYTHON: list[JsonValue] = [sys.executable, "-q", "-I"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with ExecSessions(window=(30, 100)) as sessions:
        yield Desk(sessions, tmp_path)


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("echo out; echo err >&2; echo again", 0, "out\nerr\nagain\n"),
        ("exit 3", 3, ""),
        ("kill -9 $$", 137, ""),
        (["echo", "$HOME; ls", "*"], 0, "$HOME; ls *\n"),
        ("printf 'a\\377b\\303\\251'", 0, "a�bé"),
        ("cat", 0, ""),
        ("echo $PAGER $TERM $NO_COLOR", 0, "cat dumb 1\n"),
        ("setsid sleep 100 & echo on", 0, "on\n"),
    ],
    ids=["streams in order", "exit code", "signal", "argv", "bytes", "no input", "environment", "a daemon"],
)
async def test_commands_that_end(desk: Desk, command: JsonValue, code: int, text: str) -> None:
    """One that ends within its time is answered as a whole: exit code, time, output."""
    output = await desk.run(command)
    took = output.metadata["duration_s"]
    assert isinstance(took, float)
    assert output.content == f"Wall time: {took:.1f} s\nProcess exited with code {code}\nOutput:\n{text}"
    assert (output.success, output.metadata["exit_code"], output.metadata["running"]) == (code == 0, code, False)


async def test_one_that_goes_on(desk: Desk) -> None:
    """Its output so far comes with a number, under which the rest and the end are found, more than once."""
    begun = await desk.run("echo one; read; echo two; exit 4", stdin=True, wait_for="one")
    session = number(begun)
    assert isinstance(begun.content, str)
    assert begun.content.endswith(f"Process running with session ID {session}\nOutput:\none\n")
    assert [running.id for running in desk.sessions.running] == [session]
    ended = await desk.write(session, "\n", until="never")
    assert (body(ended), ended.metadata["exit_code"], ended.success) == ("two\n", 4, False)
    again = await desk.write(session)
    assert (body(again), again.metadata["exit_code"], desk.sessions.running) == ("", 4, ())


async def test_a_time_to_wait(desk: Desk) -> None:
    """What says nothing is left alone after its time, which is never too short to be worth a call."""
    output = await desk.run("sleep 100", yield_time_ms=0)
    took = output.metadata["duration_s"]
    assert isinstance(took, float)
    assert (output.metadata["running"], took >= 0.25) == (True, True)


async def test_a_terminal(desk: Desk) -> None:
    """A program on a terminal knows it, its size, and answers what it is sent; colours are left out, CR LF is a line
    break."""
    session = await desk.start(PYTHON, ">>> ", tty=True)
    asked = "import os; print(os.isatty(0), os.get_terminal_size(), '\\x1b[1mbold\\x1b[0m')"
    shown = body(await desk.write(session, asked + "\n", until=">>> "))
    assert shown == f"{asked}\nTrue os.terminal_size(columns=100, lines=30) bold\n>>> "


async def test_ctrl_c_and_ctrl_d_on_a_terminal(desk: Desk) -> None:
    """They do what they do for a person: interrupt what runs in the foreground, and end the input."""
    session = await desk.start(PYTHON, ">>> ", tty=True)
    # a loop, since one long sleep misses a signal that comes just before it begins
    await desk.write(session, "import time; exec('print(\"on\")\\nwhile True: time.sleep(.01)')\n", until="\non\n")
    assert "KeyboardInterrupt" in body(await desk.write(session, "\x03", until=">>> "))
    ended = await desk.write(session, "raise SystemExit(5)\n\x04", until="never")
    assert ended.metadata["exit_code"] == 5


async def test_a_shell_on_a_terminal(desk: Desk) -> None:
    """It has job control, its foreground jobs hear of Ctrl-C and it does not."""
    session = await desk.start(["env", "PS1=% ", "bash", "--norc", "-i"], "% ", tty=True)
    await desk.write(session, "echo u''p; cat\n", until="\nup\n")  # what is typed before it runs may be lost
    await desk.write(session, "meow\n", until="meow\nmeow\n")
    await desk.write(session, "\x03", until="% ")
    shown = body(await desk.write(session, "echo $?; jobs; tty > /dev/null || echo none\n", until="% "))
    assert shown.endswith("\n130\n% ")


async def test_a_pipe_for_input(desk: Desk) -> None:
    """Nothing is echoed, bytes go through as they are, and Ctrl-D at the end closes it."""
    session = await desk.start("echo up; cat; echo over", "up", stdin=True)
    assert body(await desk.write(session, "é\r\n\tx\n", until="x")) == "é\r\n\tx\n"
    ended = await desk.write(session, "last\x04", until="never")
    assert (body(ended), ended.metadata["exit_code"]) == ("lastover\n", 0)


@pytest.mark.parametrize("stdin", [True, False])
async def test_ctrl_c_without_a_terminal(desk: Desk, stdin: bool) -> None:
    """Alone it is SIGINT for the command and its children, with or without a pipe."""
    command = "trap 'echo caught; exit 7' INT; echo up; sleep 100 & wait"
    session = await desk.start(command, "up", stdin=stdin)
    ended = await desk.write(session, "\x03", until="never")
    assert (body(ended), ended.metadata["exit_code"]) == ("caught\n", 7)


async def test_input_that_nobody_reads(desk: Desk) -> None:
    """It waits, up to a size; more is refused, all of it."""
    session = await desk.start("echo up; sleep 100", "up", stdin=True)
    assert (await desk.write(session, "x" * MAX_INPUT_BYTES)).success
    refused = await desk.write(session, "x" * MAX_INPUT_BYTES)
    said = f"the input was not sent: session {session} does not read what it was sent before; send less at a time"
    assert (str(refused.content)[: len(said)], refused.success) == (said, False)


async def test_much_input_is_sent_as_it_is_read(desk: Desk) -> None:
    """A megabyte goes through a pipe that holds a sixteenth of it."""
    session = await desk.start("echo up; wc -c", "up", stdin=True)
    ended = await desk.write(session, "x" * 1_000_000 + "\x04", until="never")
    assert body(ended).strip() == "1000000"


async def test_nobody_looks_and_it_goes_on(desk: Desk) -> None:
    """No full pipe stops a program: it writes megabytes unseen, of which both ends and a count are kept."""
    done = desk.context.cwd / "done"
    flood = "echo first; read; head -c 5000000 /dev/zero | tr '\\0' x; touch done; echo; echo last"
    session = await desk.start(flood, "first\n", stdin=True)
    desk.sessions.get(session).process.send(b"\n")
    with anyio.fail_after(30):
        while not done.exists():
            await anyio.lowlevel.checkpoint()
    output = await desk.end(session)
    text = body(output)
    left_out = output.metadata["truncated_bytes"]
    assert isinstance(left_out, int)
    assert (text[-7:], len(text) <= 40_000, left_out > 4_900_000) == ("x\nlast\n", True, True)
    assert f"[… {left_out} bytes left out …]" in text
    assert "\nOriginal token count: 12500" in str(output.content)


async def test_a_budget_for_the_output(desk: Desk) -> None:
    """What is asked for counts, header and all; no more than so much is ever given."""
    small = await desk.run("head -c 300000 /dev/zero | tr '\\0' x", max_output_tokens=500)
    large = await desk.run("head -c 300000 /dev/zero | tr '\\0' x", max_output_tokens=10**6)
    sizes = [len(str(output.content)) for output in (small, large)]
    assert (sizes[0] <= 2000, 90_000 < sizes[1] <= 100_000) == (True, True)


async def test_waiting_for_words(desk: Desk) -> None:
    """A wait ends with them, also if they come in pieces, or came while nobody waited; after input only new ones do."""
    echo = "printf '> '; while read line; do printf 're'; printf \"ady $line> \"; done"
    session = await desk.start(echo, "> ", stdin=True)
    assert body(await desk.write(session, "a\n", until="ready a> ")) == "ready a> "
    command = desk.sessions.get(session).process
    with command.watch("b> ") as watch:
        command.send(b"b\n")
        while not watch.over:
            await anyio.wait_readable(watch.fd)
            command.news(watch)
    assert body(await desk.write(session, until="ready b> ")) == "ready b> "
    command.send(b"c\n")
    assert "ready d> " in body(await desk.write(session, "d\n", until="ready d> "))


async def test_progress_is_shown(tmp_path: Path) -> None:
    """What comes while a call waits is shown, without a character cut in two."""
    context, shown = watched(tmp_path)
    with ExecSessions() as sessions:
        asked = call("exec_command", {"cmd": "printf 'one\\n\\303'; printf '\\251\\n'"})
        output = await ExecCommand(sessions).run(asked, context)
    assert ("".join(shown), body(output)) == ("one\né\n", "one\né\n")


async def test_an_error_of_the_watcher_arrives_as_it_is(desk: Desk) -> None:
    """If showing progress fails, its error leaves alone; the command is still its owner's to end."""

    async def emit(text: str) -> None:
        raise LookupError(text)

    asked = call("exec_command", {"cmd": "echo up; sleep 100"})
    with pytest.raises(LookupError, match="up"):
        await ExecCommand(desk.sessions).run(asked, replace(desk.context, emit=emit))
    assert len(desk.sessions.running) == 1


async def test_many_at_once(desk: Desk) -> None:
    """Sessions keep their outputs apart and wait for each other in nothing."""
    sessions: dict[int, int] = {}

    async def one(n: int) -> None:
        sessions[n] = await desk.start(f"echo {n}; read; echo {n}{n}", str(n), stdin=True)

    async with anyio.create_task_group() as tasks:
        for n in range(10, 18):
            tasks.start_soon(one, n)
    told = {n: body(await desk.write(session, "\n", until="never")) for n, session in sessions.items()}
    assert told == {n: f"{n}{n}\n" for n in range(10, 18)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "invalid arguments: cmd: Field required"),
        ({"cmd": "  "}, "cmd: it is empty"),
        ({"cmd": []}, "cmd: it is empty"),
        ({"cmd": "ls", "shell": "/bin/python"}, "'/bin/python' is no shell"),
        ({"cmd": "ls", "shell": "./bash"}, "'./bash' is no shell"),
        ({"cmd": "ls", "workdir": ".."}, "'..' is outside the allowed directories"),
        ({"cmd": "ls", "workdir": "out"}, "'out' is outside the allowed directories"),
        ({"cmd": "ls", "workdir": "gone"}, "workdir 'gone' is not a directory"),
        ({"cmd": "a\0b"}, "cmd: it has a NUL character in it"),
        ({"cmd": "\ud800"}, "cmd: it is no text a system can take"),
    ],
)
async def test_refusals(desk: Desk, arguments: dict[str, JsonValue], message: str) -> None:
    """What cannot be started is told to the model in one line."""
    (desk.context.cwd / "out").symlink_to("..")
    output = await desk.exec.run(call("exec_command", arguments), desk.context)
    assert isinstance(output.content, str)
    assert (output.content[: len(message)], output.success, "\n" in output.content) == (message, False, False)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["no-such-program"], 127, "there is no program 'no-such-program'\n"),
        (["/"], 126, "cannot start the command: Permission denied\n"),
        ("echo " + "x" * 3_000_000, 125, "cannot start the command: Argument list too long\n"),
    ],
    ids=["not there", "no program", "too long"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="told by the launcher")
async def test_what_the_system_refuses(desk: Desk, command: JsonValue, code: int, said: str) -> None:
    """It is told as a shell tells it."""
    output = await desk.run(command)
    assert (output.metadata["exit_code"], body(output)) == (code, said)


async def test_sessions_that_cannot_be_written_to(desk: Desk) -> None:
    """None of that number, one without input, one that has ended: each says what to do."""
    unknown = await desk.write(1, "x")
    assert unknown.content == "there is no session 1; none runs; start one with exec_command"
    session = await desk.start("echo up; sleep 100", "up")
    deaf = await desk.write(session, "x")
    assert str(deaf.content).startswith(f"session {session} has no input; start it with tty or stdin")
    await desk.kill(session)
    late = await desk.write(session, "x")
    assert str(late.content).startswith("the input was not sent: the command has ended\nWall time")
    assert (deaf.success, late.success) == (False, False)


@pytest.mark.parametrize(
    ("arguments", "summary", "key"),
    [
        ({"cmd": "ls -l\n  echo"}, "ls -l echo", "ls -l\n  echo"),
        ({"cmd": ["rm", "a b"]}, "rm 'a b'", "rm 'a b'"),
        ({"cmd": "ls", "workdir": "sub"}, "ls", "cd sub && ls"),
        ({"cmd": "a b", "shell": "/bin/zsh", "login": True}, "/bin/zsh -lc 'a b'", "/bin/zsh -lc 'a b'"),
    ],
)
async def test_every_command_needs_approval(arguments: dict[str, JsonValue], summary: str, key: str) -> None:
    """A person sees all of what is run, and where."""
    workdir, cmd = arguments.get("workdir", ""), arguments["cmd"]
    detail = cmd if isinstance(cmd, str) and "shell" not in arguments else summary
    context = ToolContext(Path("/project"))
    asked = ExecCommand(ExecSessions()).approval(call("exec_command", arguments), context)
    cwd = f"/project/{workdir}".rstrip("/")
    assert asked is not None
    shown = replace(asked, actions=(), known_safe=False)  # those: test_approval_rules, test_safe_commands
    assert shown == ApprovalRequest("call_1", "exec_command", summary, detail, "execute", key, cwd)


@pytest.mark.parametrize(
    ("chars", "asks"), [("", False), ("\x03", False), ("\x04", False), ("rm -rf /\n", True), ("\x03x", True)]
)
async def test_input_needs_approval(desk: Desk, chars: str, asks: bool) -> None:
    """To whom runs a shell, input is commands; looking, interrupting and ending are free."""
    session = await desk.start("echo up; cat", "up", stdin=True)
    sent = call("write_stdin", {"session_id": session, "chars": chars})
    asked = WriteStdin(desk.sessions).approval(sent, desk.context)
    summary = " ".join(f"to session {session} (echo up; cat): {chars}".split())
    key, cwd = f"session {session}", str(desk.context.cwd)
    rule = Rule("call", ("write_stdin", key))
    expected = ApprovalRequest("call_1", "write_stdin", summary, chars, "execute", key, cwd)
    expected = replace(expected, actions=(Action("call", ("write_stdin", key), rule=rule),))
    assert asked == (expected if asks else None)


async def test_bad_arguments_are_not_asked_about(desk: Desk) -> None:
    """Running such a call only reports the mistake."""
    tools: list[ExecCommand | WriteStdin] = [desk.exec, WriteStdin(desk.sessions)]
    assert [made.approval(call("x", "{"), desk.context) for made in tools] == [None, None]


async def test_secrets_do_not_reach_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is the allow-list of Shell; what the caller gives on purpose is in it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with ExecSessions(env={"GIVEN": "yes"}) as sessions:
        output: ToolOutput = await Desk(sessions, tmp_path).run("env")
    assert ("sk-secret" in body(output), "GIVEN=yes\n" in body(output)) == (False, True)


@pytest.mark.parametrize("options", [{"max_sessions": 0}, {"max_log_bytes": 0}, {"window": (0, 80)}])
async def test_bad_options(options: dict[str, int]) -> None:
    """Limits that make no sense are refused when the owner is made."""
    with pytest.raises(ConfigError):
        ExecSessions(**options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - one kind each
