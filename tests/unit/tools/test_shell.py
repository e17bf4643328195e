"""The shell on real processes: output, limits, and no process left behind whatever happens."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from agent_core.approvals import ApprovalRequest
from agent_core.errors import ConfigError
from agent_core.items import JsonValue
from agent_core.tools import Shell, ToolContext, ToolOutput
from agent_core.tools.command import child_environment

from .calls import call, watched


async def run(cwd: Path, command: JsonValue, **more: JsonValue) -> ToolOutput:
    return await Shell().run(call("shell", {"command": command, **more}), ToolContext(cwd))


def body(output: ToolOutput) -> str:
    assert isinstance(output.content, str)
    return output.content.partition("Output:\n")[2]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and only waits to be reaped by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("echo out; echo err >&2; echo again", 0, "out\nerr\nagain\n"),
        ("exit 3", 3, ""),
        ("kill -9 $$", 137, ""),
        (["echo", "$HOME; ls", "*"], 0, "$HOME; ls *\n"),
        ("printf 'a\\377b\\303\\251'", 0, "a�bé"),
        ("cat", 0, ""),
        ("echo $PAGER $GIT_PAGER $TERM $NO_COLOR", 0, "cat cat dumb 1\n"),
    ],
    ids=["streams in order", "exit code", "signal", "no shell for a list", "bytes", "no input", "environment"],
)
async def test_commands(command: JsonValue, code: int, text: str, tmp_path: Path) -> None:
    """The output is the exit code, the time, and stdout and stderr in the order they were written."""
    output = await run(tmp_path, command)
    assert isinstance(output.content, str)
    head, _, rest = output.content.partition("\n")
    assert (head, rest.startswith("Wall time: "), body(output)) == (f"Exit code: {code}", True, text)
    assert (output.success, output.metadata["exit_code"]) == (code == 0, code)


@pytest.mark.anyio
async def test_the_whole_output(tmp_path: Path) -> None:
    """The text is in the one format models know, and the record has the same facts as data."""
    output = await run(tmp_path, "echo hello")
    duration = output.metadata["duration_s"]
    assert isinstance(duration, float)
    facts: dict[str, JsonValue] = {
        "exit_code": 0,
        "duration_s": duration,
        "timed_out": False,
        "truncated_bytes": 0,
    }
    assert output == ToolOutput(f"Exit code: 0\nWall time: {duration:.1f} s\nOutput:\nhello\n", metadata=facts)


@pytest.mark.anyio
async def test_progress_is_shown_while_it_runs(tmp_path: Path) -> None:
    """What the command writes is shown before it ends, and no character is cut between two pieces."""
    shown: list[str] = []
    fifo = tmp_path / "go"
    os.mkfifo(fifo)

    async def emit(text: str) -> None:
        shown.append(text)
        if "".join(shown) == "one\né":
            await anyio.Path(fifo).write_text("go")

    command = "printf 'one\\n\\303'; printf '\\251'; cat go"
    output = await Shell().run(call("shell", {"command": command}), ToolContext(tmp_path, emit=emit))
    assert ("".join(shown), body(output)) == ("one\négo", "one\négo")


@pytest.mark.anyio
async def test_t_d23_the_limit_under_its_other_name(tmp_path: Path) -> None:
    """T-D23: models trained on Codex write `timeout`; it is the same limit."""
    output = await run(tmp_path, "sleep 100", timeout=50)
    assert body(output).startswith("command timed out after 50 ms")


@pytest.mark.anyio
async def test_a_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    """At the limit the command and its children are gone, the exit code is 124, and what it wrote is kept."""
    output = await run(tmp_path, "sleep 100 & echo $!; echo $$; sleep 100", timeout_ms=200)
    assert isinstance(output.content, str)
    assert body(output).startswith("command timed out after 200 ms and was stopped\n")
    facts = (output.metadata["exit_code"], output.metadata["timed_out"], output.success)
    assert facts == (124, True, False)
    assert [alive(int(pid)) for pid in body(output).split("\n")[1:3]] == [False, False]


@pytest.mark.anyio
async def test_a_command_that_ignores_term_is_killed(tmp_path: Path) -> None:
    """TERM is followed by KILL after a short grace."""
    with anyio.fail_after(10):
        output = await run(tmp_path, "trap '' TERM; echo $$; sleep 100 & wait; sleep 100", timeout_ms=200)
    assert (output.metadata["exit_code"], alive(int(body(output).split("\n")[1]))) == (124, False)


@pytest.mark.anyio
async def test_a_cancel_leaves_nothing_behind(tmp_path: Path) -> None:
    """Cancelled, `run` ends soon, and neither the shell nor its child lives on or waits as our zombie."""
    pids: list[int] = []
    started = anyio.Event()

    async def emit(text: str) -> None:
        pids.extend(int(pid) for pid in text.split())
        if len(pids) == 2:
            started.set()

    asked = call("shell", {"command": "sleep 100 & echo $! $$; wait"})
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(Shell().run, asked, ToolContext(tmp_path, emit=emit))
            await started.wait()
            group.cancel_scope.cancel()
    assert [alive(pid) for pid in pids] == [False, False]
    with pytest.raises(ChildProcessError):  # reaped: it is no child of ours any more
        os.waitpid(pids[1], os.WNOHANG)  # noqa: ASYNC222 - does not wait


@pytest.mark.anyio
@pytest.mark.parametrize("command", ["sleep 100 & echo $!", "setsid sleep 4 & echo $!"])
async def test_a_child_that_holds_the_pipe_does_not_hang_us(command: str, tmp_path: Path) -> None:
    """The command is over soon after its own process is; a background child ends with it, a daemon is let go."""
    with anyio.fail_after(3):
        output = await Shell(drain_s=0.1).run(call("shell", {"command": command}), ToolContext(tmp_path))
    assert (output.success, body(output).strip().isdigit()) == (True, True)
    if not command.startswith("setsid"):
        assert not alive(int(body(output)))


@pytest.mark.anyio
async def test_a_flood_is_bounded(tmp_path: Path) -> None:
    """Fifty megabytes cost the model 64 KiB, head and tail, and the watcher one megabyte."""
    context, shown = watched(tmp_path)
    asked = call("shell", {"command": "echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo last"})
    output = await Shell().run(asked, context)
    text = body(output)
    left_out = 50_000_000 + len("first\n\nlast\n") - 64 * 1024
    assert (text[:7], text[-7:], len(text) < 66_000) == ("first\nx", "x\nlast\n", True)
    assert output.metadata["truncated_bytes"] == left_out
    assert f"[… {left_out} bytes left out …]" in text
    assert sum(map(len, shown)) < 1_200_000


@pytest.mark.anyio
async def test_where_it_runs(tmp_path: Path) -> None:
    """`workdir` is below the roots; a symlink is resolved before it is judged."""
    (tmp_path / "work/sub").mkdir(parents=True)
    (tmp_path / "work/link").symlink_to("sub")
    output = await run(tmp_path / "work", "pwd -P", workdir="link")
    assert body(output) == f"{(tmp_path / 'work/sub').resolve()}\n"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "invalid arguments: command: Field required"),
        ({"command": "  "}, "command: it is empty"),
        ({"command": []}, "command: it is empty"),
        ({"command": [""]}, "command: it is empty"),
        (
            {"command": "ls", "timeout_ms": 0},
            "invalid arguments: timeout_ms: Input should be greater than or equal to 1",
        ),
        ({"command": "ls", "workdir": ".."}, "'..' is outside the allowed directories"),
        ({"command": "ls", "workdir": "out"}, "'out' is outside the allowed directories"),
        ({"command": "ls", "workdir": "gone"}, "workdir 'gone' is not a directory"),
        ({"command": ["no-such-program"]}, "there is no program 'no-such-program'"),
        ({"command": "a\0b"}, "cannot start the command: embedded null byte"),
        ({"command": "\ud800"}, "cannot start the command: 'utf-8' codec can't encode"),
        ({"command": "echo " + "x" * 3_000_000}, "cannot start the command: Argument list too long"),
    ],
)
async def test_refusals(arguments: dict[str, JsonValue], message: str, tmp_path: Path) -> None:
    """What cannot be started is told to the model in one line."""
    (tmp_path / "out").symlink_to("..")
    output = await Shell().run(call("shell", arguments), ToolContext(tmp_path))
    assert isinstance(output.content, str)
    assert (output.content[: len(message)], output.success) == (message, False)
    assert "\n" not in output.content


@pytest.mark.anyio
async def test_an_error_of_the_watcher_arrives_as_it_is(tmp_path: Path) -> None:
    """If showing progress fails, the command is ended and the error leaves alone, not in a group."""

    async def emit(text: str) -> None:
        raise LookupError(text)

    asked = call("shell", {"command": "echo $$; sleep 100"})
    with anyio.fail_after(10), pytest.raises(LookupError) as caught:
        await Shell().run(asked, ToolContext(tmp_path, emit=emit))
    assert not alive(int(str(caught.value.args[0])))


@pytest.mark.anyio
async def test_commands_beside_each_other(tmp_path: Path) -> None:
    """Several commands at once keep their outputs apart."""
    found: dict[int, str] = {}

    async def one(n: int) -> None:
        found[n] = body(await run(tmp_path, f"echo {n}; echo {n} >&2"))

    async with anyio.create_task_group() as group:
        for n in range(8):
            group.start_soon(one, n)
    assert found == {n: f"{n}\n{n}\n" for n in range(8)}


def test_the_environment_is_an_allow_list() -> None:
    """Known names pass, everything else stays out; a name like a secret never passes by a pattern."""
    names = "PATH HOME LC_ALL PYTHONPATH TERM TZ RANDOM CARGO_HOME MY_FLAG MY_KEY OPENAI_API_KEY GITHUB_TOKEN"
    secrets = "PYTHON_TOKEN PYTHON_KEYRING_SECRET LC_PASSWORD AWS_ACCESS_KEY_ID"
    source = {name: name.lower() for name in f"{names} {secrets}".split()}
    fixed = {"TERM": "dumb", "NO_COLOR": "1", "PAGER": "cat", "GIT_PAGER": "cat"}
    plain = {name: name.lower() for name in ("PATH", "HOME", "LC_ALL", "PYTHONPATH", "TZ")} | fixed
    assert child_environment(source) == plain
    widened = child_environment(source, inherit=("MY_*", "GITHUB_TOKEN"), extra={"TERM": "xterm", "X": "1"})
    assert widened == plain | {"MY_FLAG": "my_flag", "GITHUB_TOKEN": "github_token", "TERM": "xterm", "X": "1"}


@pytest.mark.anyio
async def test_secrets_do_not_reach_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in our environment is not in the command's; what the caller gives on purpose is."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    output = await Shell(env={"GIVEN": "yes"}).run(call("shell", {"command": "env"}), ToolContext(tmp_path))
    assert ("sk-secret" in body(output), "GIVEN=yes\n" in body(output)) == (False, True)


@pytest.mark.parametrize(
    ("arguments", "summary", "key"),
    [
        ({"command": "ls -l\n  echo"}, "ls -l echo", "ls -l\n  echo"),
        ({"command": ["rm", "a b"]}, "rm 'a b'", "rm 'a b'"),
        ({"command": "ls", "workdir": "sub"}, "ls", "cd sub && ls"),
    ],
)
def test_every_command_needs_approval(arguments: dict[str, JsonValue], summary: str, key: str, tmp_path: Path) -> None:
    """A person sees the command and where it runs; "for this session" means that command in that place."""
    command = arguments["command"]
    detail = command if isinstance(command, str) else summary
    cwd = str(tmp_path / "sub") if "workdir" in arguments else str(tmp_path)
    asked = Shell().approval(call("shell", arguments), ToolContext(tmp_path))
    assert asked is not None
    shown = replace(asked, actions=(), known_safe=False)  # those: test_approval_rules, test_safe_commands
    assert shown == ApprovalRequest("call_1", "shell", summary, detail, "execute", key, cwd)


def test_bad_arguments_are_not_asked_about(tmp_path: Path) -> None:
    """Running a call without a command only reports the mistake, so nobody is asked."""
    assert Shell().approval(call("shell", "{"), ToolContext(tmp_path)) is None


@pytest.mark.parametrize("options", [{"timeout_ms": 0}, {"timeout_ms": 600_001}, {"max_output_bytes": 10}])
def test_bad_options(options: dict[str, int]) -> None:
    """Limits that make no sense are refused when the tool is made."""
    with pytest.raises(ConfigError):
        Shell(**options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - options of one kind each
