"""Sessions and their owner: across turns and loops, how many, and that nothing is left of them, however they end."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import anyio
import pytest

from agent_core.testing import ScriptedModel
from agent_core.tools import ExecCommand, ExecSessions, KillSession, ToolContext, WriteStdin, coding_tools
from agent_core.tools.run import Answer, run_tool

from ...forked import in_a_child
from ...process_marks import ProcessMark
from ..test_agent_history import agent_with, calls, says
from .calls import call
from .sessions import PATIENT, Desk, body, number

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is left is found where there is a /proc")

FAMILIES: dict[str, str] = {
    "itself": "echo up; sleep 100",
    "one that ignores TERM": "trap '' TERM HUP INT; echo up; while :; do sleep 100; done",
    "children": "sleep 100 & sleep 100 & echo up; wait",
    "one that is stopped": "sleep 100 & kill -STOP $!; echo up; wait",
    "a session of its own": "setsid sleep 100 & echo up; wait",
    "a daemon": "(setsid bash -c 'sleep 100 & exit' > /dev/null 2>&1 &); sleep 0.1; echo up; sleep 100",
    "one without a launcher": "setsid sleep 100 & echo up; exec 2>&-; kill -9 $PPID; sleep 100",
}


@pytest.fixture
def mark() -> ProcessMark:
    return ProcessMark()


@pytest.fixture
def desk(tmp_path: Path, mark: ProcessMark) -> Iterator[Desk]:
    with ExecSessions(env=mark.env) as sessions:
        yield Desk(sessions, tmp_path)


def folder_of(sessions: ExecSessions) -> Path:
    (session,) = sessions.running
    return session.process.log.path.parent


@pytest.mark.parametrize("first", ["asyncio", "trio"])
def test_from_loop_to_loop(desk: Desk, first: str) -> None:
    """What was started in one event loop is read and written in the next, of the other kind too."""
    second = "trio" if first == "asyncio" else "asyncio"
    session = anyio.run(lambda: desk.start("echo up; cat", "up", stdin=True), backend=first)
    answers = [body(anyio.run(desk.write, session, f"{n}\n", f"{n}\n", backend=second)) for n in range(3)]
    assert answers == ["0\n", "1\n", "2\n"]
    assert body(anyio.run(desk.write, session, "end\x04", "never", backend=first)) == "end"


@pytest.mark.anyio
@pytest.mark.parametrize("families", [*([family] for family in FAMILIES), [*FAMILIES]], ids=[*FAMILIES, "all on ttys"])
async def test_closing_ends_the_whole_family(desk: Desk, mark: ProcessMark, families: list[str]) -> None:
    """Nothing of it runs any more when `aclose` returns, and the logs are gone; closing again does nothing."""
    for family in families:
        await desk.run(FAMILIES[family], wait_for="up", tty=len(families) > 1)
    logs = [session.process.log.path.parent for session in desk.sessions.running]
    await desk.sessions.aclose()
    assert (mark.running(), desk.sessions.running, [path.exists() for path in logs if path.exists()]) == ([], (), [])
    await desk.sessions.aclose()


@pytest.mark.anyio
async def test_killing_one(desk: Desk, mark: ProcessMark) -> None:
    """It ends with everything it started, its last words are told; the others go on."""
    other = await desk.start("echo up; sleep 100", "up")
    session = await desk.start("trap 'echo bye; exit 3' TERM; setsid sleep 100 & echo up; wait", "up")
    ended = await desk.kill(session)
    assert (body(ended), ended.metadata["exit_code"], ended.success) == ("bye\n", 3, True)
    assert [running.id for running in desk.sessions.running] == [other]
    desk.sessions.get(other).process.end()
    desk.sessions.get(other).process.join()
    assert mark.running() == []


@pytest.mark.anyio
async def test_the_end_of_a_command_is_the_end_of_all(desk: Desk, mark: ProcessMark) -> None:
    """What it left behind, in whatever session and with whatever environment, ends with it."""
    left = "setsid sleep 100 & env -i setsid sleep 100 & echo $!"
    output = await desk.run(left)
    assert mark.running() == []
    assert not await anyio.Path(f"/proc/{body(output).strip()}/cmdline").exists()


async def cancelled(desk: Desk) -> Answer:
    """What is answered for a command that is waited for, when the wait is cancelled once it is up."""
    answers: list[Answer] = []
    up = anyio.Event()

    async def emit(text: str) -> None:
        up.set()

    asked = call("exec_command", {"cmd": "echo up; sleep 100", "yield_time_ms": PATIENT})
    context = ToolContext(desk.context.cwd, emit=emit)

    async def run() -> None:
        await run_tool(desk.exec, asked, context, timeout_s=60, cancelled=answers.append)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await up.wait()
        tasks.cancel_scope.cancel()
    return answers[0]


@pytest.mark.anyio
async def test_a_cancel_stops_waiting_alone(desk: Desk) -> None:
    """The command goes on, and the model is told under which number, and what it said until then."""
    answer = await cancelled(desk)
    (session,) = desk.sessions.running
    _, state, note, said = str(answer.output.content).splitlines()
    goes_on = f"the command goes on, as session {session.id}: kill_session ends it"
    assert (state, note, said) == (goes_on, "Output until then:", "up")
    assert body(await desk.kill(session.id)) == ""


@pytest.mark.anyio
async def test_a_cancel_before_it_has_started(desk: Desk) -> None:
    """It is started whole and told about, or not at all: no process without a number."""
    answers: list[Answer] = []
    asked = call("exec_command", {"cmd": "echo up; sleep 100"})
    async with anyio.create_task_group() as tasks:
        tasks.cancel_scope.cancel()
        await run_tool(desk.exec, asked, desk.context, timeout_s=60, cancelled=answers.append)
    (session,) = desk.sessions.running
    assert f"the command goes on, as session {session.id}" in str(answers[0].output.content)


@pytest.mark.anyio
async def test_no_more_than_so_many(tmp_path: Path) -> None:
    """The oldest that have ended are forgotten first, with their logs; where all run, no more are started."""
    async with ExecSessions(max_sessions=2) as sessions:
        desk = Desk(sessions, tmp_path)
        ended = [await desk.run("echo x") for _ in range(3)]
        logs = [await anyio.Path(str(output.metadata["log"])).exists() for output in ended]
        assert logs == [False, True, True]
        assert str((await desk.write(number(ended[0]))).content).startswith("there is no session")
        running = [await desk.start("echo up; sleep 100", "up") for _ in range(2)]
        refused = await desk.run("echo x")
        names = ", ".join(map(str, running))
        remedy = "end one that is no longer needed with kill_session"
        assert (refused.content, refused.success) == (f"2 sessions run already ({names}); {remedy}", False)


@pytest.mark.anyio
async def test_logs(tmp_path: Path) -> None:
    """All of the output, raw, up to a size; kept where a folder was named for it."""
    async with ExecSessions(log_dir=tmp_path / "logs", max_log_bytes=10) as sessions:
        output = await Desk(sessions, tmp_path).run("printf '\\033[1mab\\r\\n'; printf 1234567", tty=True)
    assert body(output) == "ab\n1234567"
    (log,) = (tmp_path / "logs").iterdir()
    assert str(log) == output.metadata["log"]
    assert log.read_bytes() == b"\x1b[1mab\r\r\n1\n[the log ends here, at 10 bytes]\n"


@pytest.mark.anyio
async def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    """The command is none the worse for it, and the record says why."""
    async with ExecSessions() as sessions:
        desk = Desk(sessions, tmp_path)
        session = await desk.start("read; echo x; cat", "", stdin=True, yield_time_ms=0)
        folder_of(sessions).rmdir()
        ended = await desk.write(session, "\n\x04", until="never")
    assert (body(ended), ended.metadata["log_error"]) == ("x\n", "No such file or directory")


SCRIPT = """
    import anyio, os, sys
    from pathlib import Path
    from agent_core.tools import ExecSessions, ToolCall, ToolContext
    sessions = ExecSessions(env={{"{name}": "{value}"}})
    tool, *_ = sessions.tools()
    asked = '{{"cmd": "(setsid env -i sleep 99 &); setsid sleep 98 & echo up; cat", "stdin": true, "wait_for": "up"}}'
    output = anyio.run(tool.run, ToolCall("c", "exec_command", asked), ToolContext(Path.cwd()))
    assert output.metadata["running"]
    print(sessions.running[0].process.log.path.parent, flush=True)
    {end}
"""


@pytest.mark.parametrize("end", ["pass", "sys.exit(1)", "raise KeyboardInterrupt", "os.kill(os.getpid(), 9)"])
def test_nothing_outlives_the_program(end: str, tmp_path: Path, mark: ProcessMark) -> None:
    """However it ends, by `kill -9` too, all its sessions end with it; the logs are left only by the last."""
    ((name, value),) = mark.env.items()
    code = dedent(SCRIPT).format(name=name, value=value, end=end)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert mark.gone_within(5), done.stderr
    folder = Path(done.stdout.strip())
    assert folder.exists() == ("kill" in end)
    for left in folder.glob("*"):
        left.unlink()
    if folder.exists():
        folder.rmdir()


def test_nothing_outlives_its_owner(tmp_path: Path, mark: ProcessMark) -> None:
    """Whoever loses an owner without closing it has lost no processes."""
    desk = Desk(ExecSessions(env=mark.env), tmp_path)
    anyio.run(desk.start, "echo up; sleep 100", "up")
    folder = folder_of(desk.sessions)
    del desk
    gc.collect()
    assert (mark.running(), folder.exists()) == ([], False)


def test_a_fork_leaves_them_alone(desk: Desk) -> None:
    """A child of the agent's process is not their owner, though it has a copy of everything."""
    anyio.run(desk.start, "echo up; sleep 100", "up")
    in_a_child(desk.sessions.close)
    assert len(desk.sessions.running) == 1


def test_an_agent_that_is_closed_closes_them(tmp_path: Path, mark: ProcessMark) -> None:
    """A session outlives its turn, and the loop of that turn; it ends with the agent, whichever loop closes it."""
    sessions = ExecSessions(env=mark.env)
    asked = '{"cmd": "echo up; sleep 100", "wait_for": "up"}'
    model = ScriptedModel(calls("exec_command", asked), says("it runs"))
    agent = agent_with(model, tools=sessions.tools(), approvals="allow", cwd=tmp_path)
    assert (agent.run_sync("start it").text, len(sessions.running)) == ("it runs", 1)
    anyio.run(agent.aclose, backend="trio")
    assert (mark.running(), sessions.running) == ([], ())


def test_an_owner_that_was_entered_is_not_closed_with_an_agent(desk: Desk, tmp_path: Path) -> None:
    """It is the caller's, so agents may share it: one that is closed takes nothing from another."""
    session = anyio.run(desk.start, "echo up; sleep 100", "up")
    agent = agent_with(ScriptedModel(), tools=desk.sessions.tools(), cwd=tmp_path)
    anyio.run(agent.aclose)
    assert [running.id for running in desk.sessions.running] == [session]


def test_the_coding_tools() -> None:
    """`commands="exec"` puts the three in the place of `shell`, over one owner."""
    tools = coding_tools(commands="exec")
    assert [made.spec.name for made in tools[:4]] == ["exec_command", "write_stdin", "kill_session", "read_file"]
    assert len({id(made.sessions) for made in tools if isinstance(made, ExecCommand | WriteStdin | KillSession)}) == 1
    assert "shell" not in [made.spec.name for made in tools]
