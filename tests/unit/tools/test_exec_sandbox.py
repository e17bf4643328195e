"""Sessions in a sandbox: it holds them, they have their terminal, and nothing is left of them (both backends)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from agent_core.errors import SandboxUnavailable
from agent_core.items import JsonValue
from agent_core.sandbox import Backend, Sandbox, SandboxLimits, full_access, workspace_write
from agent_core.tools import ExecCommand, ExecSessions, WriteStdin
from agent_core.tools.command import SANDBOX_NOTES

from ...process_marks import ProcessMark
from .calls import call
from .sessions import Desk, body, number

pytestmark = pytest.mark.anyio
LIMITS = SandboxLimits(processes=30, memory_bytes=512 * 1024**2)


@pytest.fixture(params=["bubblewrap", "landlock"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    backend: Backend = request.param
    try:
        return Sandbox(workspace_write(limits=LIMITS), backend=backend)
    except SandboxUnavailable:
        pytest.skip(f"{backend} does not work here: apt-get install bubblewrap, or a kernel with Landlock")


@pytest.fixture
def mark() -> ProcessMark:
    return ProcessMark()


@pytest.fixture
def desk(tmp_path: Path, sandbox: Sandbox, mark: ProcessMark) -> Iterator[Desk]:
    (tmp_path / "work").mkdir()
    with ExecSessions(env=mark.env) as sessions:
        desk = Desk(sessions, tmp_path / "work")
        desk.exec = ExecCommand(sessions, sandbox=sandbox)
        yield desk


async def test_it_is_held(desk: Desk) -> None:
    """The roots can be written, nothing else; a denial is told as one."""
    assert (await desk.run("echo x > inside && cat inside")).success
    output = await desk.run("echo x > /usr/outside")
    assert (output.success, output.metadata["sandbox"]) == (False, "denied")
    assert body(output).endswith(SANDBOX_NOTES["denied"])
    assert not await anyio.Path("/usr/outside").exists()


async def test_a_terminal_within(desk: Desk) -> None:
    """The command has its own terminal, and Ctrl-C reaches what runs on it, not the sandbox."""
    session = await desk.start("trap 'echo caught' INT; test -t 0 && echo up; cat; cat < /dev/tty", "up", tty=True)
    await desk.write(session, "meow\n", until="meow\nmeow\n")
    assert "caught" in body(await desk.write(session, "\x03", until="caught"))
    assert body(await desk.write(session, "miaow\n", until="miaow\nmiaow\n")).endswith("miaow\nmiaow\n")
    assert (await desk.write(session, "\x04", until="never")).metadata["exit_code"] == 0


async def test_signals_within(desk: Desk) -> None:
    """Without a terminal Ctrl-C is a signal for the command; killing it is one too, at first."""
    trapping = "trap 'echo int' INT; trap 'echo term; exit 3' TERM; echo up; while :; do sleep 100 & wait; done"
    session = await desk.start(trapping, "up")
    await desk.write(session, "\x03", until="int")
    ended = await desk.kill(session)
    assert (body(ended), ended.metadata["exit_code"]) == ("term\n", 3)


@pytest.mark.parametrize("tty", [False, True])
async def test_nothing_is_left(desk: Desk, mark: ProcessMark, tty: bool) -> None:
    """However it hides and whatever it ignores."""
    await desk.start("trap '' TERM HUP; setsid sleep 100 & env -i setsid sleep 77.7 & echo up; wait", "up", tty=tty)
    await desk.sessions.aclose()
    assert mark.gone_within(1)


async def test_its_limits(desk: Desk, mark: ProcessMark) -> None:
    """What starts too many processes is ended for it, and the model is told why."""
    output = await desk.run("for n in $(seq 100); do sleep 100 & done; wait")
    assert (output.metadata["sandbox"], output.success, mark.gone_within(1)) == ("processes", False, True)


async def test_leaving_it_for_one_command(desk: Desk, sandbox: Sandbox) -> None:
    """A denial says how to ask; a yes is for that command and the session it becomes, whose input says so too."""
    held = ExecCommand(desk.sessions, sandbox=sandbox).held_by(None, may_ask=True)
    asked: dict[str, JsonValue] = {"cmd": "touch /usr/.outside && rm /usr/.outside && echo up && cat", "stdin": True}
    asked |= {"wait_for": "up", "justification": "it has to"}
    denied = await held.run(call("exec_command", {**asked, "stdin": False}), desk.context)
    assert 'send it again with sandbox_permissions "require_escalated"' in str(denied.content)
    asking = call("exec_command", {**asked, "sandbox_permissions": "require_escalated"})
    request = held.approval(asking, replace(desk.context, escalates=True))
    assert request is not None
    assert (request.escalated, request.reason, request.sandbox) == (True, "it has to", "workspace_write")
    output = await held.run(asking, replace(desk.context, approved=request))
    assert body(output) == "up\n"
    sent = call("write_stdin", {"session_id": number(output), "chars": "x"})
    to_it = WriteStdin(desk.sessions).approval(sent, desk.context)
    assert to_it is not None
    assert (to_it.escalated, to_it.rules[0].escalated) == (True, True)


async def test_an_agent_holds_it(desk: Desk, sandbox: Sandbox) -> None:
    """A tool without a sandbox takes its agent's; one with its own keeps it, and says what holds it."""
    bare = ExecCommand(desk.sessions)
    held, own = bare.held_by(sandbox.policy, may_ask=False), desk.exec.held_by(full_access(), may_ask=False)
    words = " Commands run in a sandbox without network access; they may write to the working directory."
    assert [made.spec.description.endswith(words) for made in (bare, held, own)] == [False, True, True]
    output = await held.run(call("exec_command", {"cmd": "touch /usr/.outside"}), desk.context)
    assert output.metadata["sandbox"] == "denied"


async def test_full_access_is_no_sandbox(tmp_path: Path) -> None:
    """Said out loud, nothing is held."""
    with ExecSessions() as sessions:
        desk = Desk(sessions, tmp_path)
        desk.exec = ExecCommand(sessions, sandbox=full_access())
        assert (await desk.run("echo x > /dev/null")).success
