"""Approvals as a table: mode × sandbox × action × answer → what ran where, what was asked, what the model was told.

Each row is one run of an agent with the real tools against a rehearsed model over HTTP, and where it names a sandbox in
the sandbox this machine has. Rows whose sandbox cannot be held here are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent_core import Agent, ApprovalRequest, Decision, tool
from agent_core.agent_approvals import Approvals
from agent_core.errors import SandboxUnavailable
from agent_core.items import CustomToolCallOutput, FunctionCallOutput, JsonValue
from agent_core.prompt import Prompt, ToolSpec
from agent_core.sandbox import Sandbox, SandboxPolicy, full_access, read_only, workspace_write
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.tools import ApplyPatch, Edit, ExecCommand, ExecSessions, ReadFile, Shell, WriteFile
from agent_core.turn_events import ToolStarted

pytestmark = pytest.mark.anyio

SANDBOXES: dict[str, Callable[[], SandboxPolicy | None]] = {
    "none": lambda: None,
    "read-only": read_only,
    "workspace": workspace_write,
    "full": full_access,
}
YES = Decision("approved")
NO = Decision("denied", "not today")
STOP = Decision("abort", "enough")

EVERYWHERE = "echo ran > made.txt; echo ran > ../outside/made.txt"
"""Writes in the workspace and outside of it: what is there afterwards says what held the command."""
UP = {"sandbox_permissions": "require_escalated", "justification": "It has to reach the other folder."}


def patch(path: str) -> dict[str, JsonValue]:
    return {"input": f"*** Begin Patch\n*** Add File: {path}\n+ran\n*** End Patch"}


ACTIONS: dict[str, tuple[str, dict[str, JsonValue]]] = {
    "read a file": ("read_file", {"path": "note.txt"}),
    "safe command": ("shell", {"command": "cat note.txt"}),
    "command": ("shell", {"command": EVERYWHERE}),
    "safe, then not": ("shell", {"command": f"cat note.txt && {EVERYWHERE}"}),
    "command, to leave": ("shell", {"command": EVERYWHERE, **UP}),
    "safe command, to leave": ("shell", {"command": "cat note.txt", **UP}),
    "session": ("exec_command", {"cmd": EVERYWHERE}),
    "session, to leave": ("exec_command", {"cmd": EVERYWHERE, **UP}),
    "patch": ("apply_patch", patch("made.txt")),
    "patch outside": ("apply_patch", patch("../outside/made.txt")),
    "patch a hook": ("apply_patch", patch(".git/hooks/pre-commit")),
    "write outside": ("write_file", {"path": "../outside/made.txt", "content": "ran\n"}),
    "write through a link": ("write_file", {"path": "link/made.txt", "content": "ran\n"}),
    "edit": ("edit", {"path": "note.txt", "old_text": "words", "new_text": "ran"}),
    "own tool": ("deploy", {}),
}


@dataclass(frozen=True)
class Row:
    """`asked`: was anybody asked. `ran`: what is there afterwards, of `in`, `out`, `git`; `-` if the tool was never
    started. `told`: a piece of what the model was told."""

    mode: Approvals
    sandbox: str
    action: str
    answer: Decision | None
    asked: bool
    ran: str
    told: str

    def __str__(self) -> str:
        answer = "nobody" if self.answer is None else self.answer.kind
        return f"{self.mode}, {self.sandbox}: {self.action}, {answer}"


LEAVE = "nothing leaves the sandbox"
BARE = "nothing holds this here"
DENIED = "the sandbox may have denied this"
AGAIN = 'send it again with sandbox_permissions "require_escalated"'

ROWS = [
    # who may read is never asked
    Row("never", "none", "read a file", YES, False, "", "some words"),
    Row("always", "workspace", "read a file", NO, False, "", "some words"),
    Row("deny", "none", "read a file", None, False, "", "some words"),
    # never: what a sandbox holds runs, the rest is refused, and nobody is asked
    Row("never", "none", "safe command", YES, False, "", "some words"),
    Row("never", "none", "command", YES, False, "-", BARE),
    Row("never", "none", "safe, then not", YES, False, "-", BARE),
    Row("never", "none", "patch", YES, False, "-", BARE),
    Row("never", "none", "own tool", YES, False, "-", BARE),
    Row("never", "read-only", "safe command", YES, False, "", "some words"),
    Row("never", "read-only", "command", YES, False, "", DENIED),
    Row("never", "read-only", "patch", YES, False, "-", LEAVE),
    Row("never", "workspace", "command", YES, False, "in", DENIED),
    Row("never", "workspace", "command, to leave", YES, False, "-", LEAVE),
    Row("never", "workspace", "patch", YES, False, "in", "A made.txt"),
    Row("never", "workspace", "patch outside", YES, False, "-", LEAVE),
    Row("never", "workspace", "patch a hook", YES, False, "-", LEAVE),
    Row("never", "full", "command", YES, False, "in out", "Exit code: 0"),
    Row("never", "full", "patch outside", YES, False, "-", LEAVE),
    # on_request: the same, but what would be refused is asked
    Row("on_request", "none", "safe command", NO, False, "", "some words"),
    Row("on_request", "none", "command", NO, True, "-", "denied: not today"),
    Row("on_request", "none", "command", YES, True, "in out", "Exit code: 0"),
    Row("on_request", "none", "command", None, False, "-", "nobody can be asked"),
    Row("on_request", "none", "patch", YES, True, "in", "A made.txt"),
    Row("on_request", "read-only", "command", NO, False, "", AGAIN),
    Row("on_request", "read-only", "command, to leave", NO, True, "-", "denied: not today"),
    Row("on_request", "read-only", "command, to leave", YES, True, "in out", "Exit code: 0"),
    Row("on_request", "read-only", "command, to leave", STOP, True, "-", "denied: enough"),
    Row("on_request", "read-only", "patch", NO, True, "-", "denied: not today"),
    Row("on_request", "read-only", "patch", YES, True, "in", "A made.txt"),
    Row("on_request", "read-only", "edit", YES, True, "in", "M note.txt"),
    Row("on_request", "workspace", "command", NO, False, "in", AGAIN),
    Row("on_request", "workspace", "command", None, False, "in", DENIED),
    Row("on_request", "workspace", "command, to leave", YES, True, "in out", "Exit code: 0"),
    Row("on_request", "workspace", "command, to leave", None, False, "-", "nobody can be asked"),
    Row("on_request", "workspace", "safe command, to leave", NO, True, "-", "denied: not today"),
    Row("on_request", "workspace", "patch", NO, False, "in", "A made.txt"),
    Row("on_request", "workspace", "patch outside", NO, True, "-", "denied: not today"),
    Row("on_request", "workspace", "patch outside", YES, True, "out", "A ../outside/made.txt"),
    Row("on_request", "workspace", "patch a hook", NO, True, "-", "denied: not today"),
    Row("on_request", "workspace", "patch a hook", YES, True, "git", "A .git/hooks/pre-commit"),
    Row("on_request", "workspace", "write outside", YES, True, "out", "A "),
    Row("on_request", "workspace", "write through a link", NO, True, "-", "denied: not today"),
    Row("on_request", "workspace", "edit", NO, False, "in", "M note.txt"),
    Row("on_request", "workspace", "own tool", NO, True, "-", "denied: not today"),
    Row("on_request", "full", "command", NO, False, "in out", "Exit code: 0"),
    Row("on_request", "full", "command, to leave", NO, False, "in out", "Exit code: 0"),
    Row("on_request", "full", "patch outside", NO, True, "-", "denied: not today"),
    # a command that may go on beside the conversation is held and asked about as any other
    Row("never", "none", "session", YES, False, "-", BARE),
    Row("never", "workspace", "session, to leave", YES, False, "-", LEAVE),
    Row("on_request", "workspace", "session", NO, False, "in", AGAIN),
    Row("on_request", "workspace", "session, to leave", NO, True, "-", "denied: not today"),
    Row("on_request", "workspace", "session, to leave", YES, True, "in out", "Process exited with code 0"),
    Row("allow", "workspace", "session, to leave", None, False, "in", DENIED),
    # unless_trusted: what certainly only reads runs, the rest is asked; a yes does not lift the sandbox
    Row("unless_trusted", "none", "safe command", NO, False, "", "some words"),
    Row("unless_trusted", "none", "safe, then not", NO, True, "-", "denied: not today"),
    Row("unless_trusted", "workspace", "safe command", NO, False, "", "some words"),
    Row("unless_trusted", "workspace", "command", NO, True, "-", "denied: not today"),
    Row("unless_trusted", "workspace", "command", YES, True, "in", DENIED),
    Row("unless_trusted", "workspace", "patch", NO, True, "-", "denied: not today"),
    Row("unless_trusted", "full", "command", NO, True, "-", "denied: not today"),
    Row("unless_trusted", "full", "command", YES, True, "in out", "Exit code: 0"),
    # always: what can be asked is asked
    Row("always", "none", "safe command", NO, True, "-", "denied: not today"),
    Row("always", "workspace", "safe command", YES, True, "", "some words"),
    Row("always", "workspace", "command, to leave", YES, True, "in out", "Exit code: 0"),
    Row("always", "full", "command", NO, True, "-", "denied: not today"),
    Row("always", "none", "own tool", YES, True, "in", "deployed"),
    # policies that know no sandbox: "allow" allows what lies within it, and nothing leaves it
    Row("deny", "workspace", "safe command", None, False, "-", "does not allow actions"),
    Row("allow", "none", "command", None, False, "in out", "Exit code: 0"),
    Row("allow", "workspace", "command, to leave", None, False, "in", DENIED),
    Row("allow", "workspace", "patch outside", None, False, "", "outside the allowed directories"),
    Row("allow", "workspace", "patch a hook", None, False, "", "the sandbox does not let"),
    Row("allow", "read-only", "edit", None, False, "", "the sandbox does not let"),
]


def held(name: str) -> SandboxPolicy | None:
    policy = SANDBOXES[name]()
    try:
        if policy is not None:
            Sandbox(policy)
    except SandboxUnavailable as error:
        pytest.skip(error.message)
    return policy


@pytest.fixture
def work() -> Iterator[Path]:
    """A workspace with a repository, a file, and a link to the folder beside it; not in /tmp, which a sandbox has its
    own of."""
    with TemporaryDirectory(dir="/var/tmp" if Path("/var/tmp").is_dir() else None) as base:
        work = Path(base).resolve() / "work"
        (work / ".git/hooks").mkdir(parents=True)
        (work / "../outside").mkdir()
        (work / "note.txt").write_text("some words\n")
        (work / "link").symlink_to(work.parent / "outside")
        yield work


def effects(work: Path) -> str:
    places = {"in": "made.txt", "out": "../outside/made.txt", "git": ".git/hooks/pre-commit"}
    found = [name for name, path in places.items() if (work / path).exists()]
    return " ".join(["in"] if "ran" in (work / "note.txt").read_text() else found)


@pytest.fixture
def sessions() -> Iterator[ExecSessions]:
    with ExecSessions() as sessions:
        yield sessions


@pytest.fixture(scope="module")
def model() -> Iterator[RehearsalServer]:
    """Does the action that the user names, then ends its turn."""

    def act(prompt: Prompt) -> Step:
        name, arguments = ACTIONS[str(prompt.items[0]).split("«")[1].split("»")[0]]
        done = any(isinstance(item, FunctionCallOutput | CustomToolCallOutput) for item in prompt.items)
        return Step(text="Done.") if done else Step(calls=(Call(name, arguments, "call_1"),))

    with RehearsalServer(act, pace_s=0) as server:
        yield server


@pytest.mark.parametrize(
    ("row", "anyio_backend"), [(row, ("asyncio", "trio")[n % 2]) for n, row in enumerate(ROWS)], ids=str
)
async def test_the_table(row: Row, work: Path, model: RehearsalServer, sessions: ExecSessions) -> None:
    """What ran where, what was asked, what the model was told."""
    asked: list[ApprovalRequest] = []

    @tool(approval=True)
    def deploy() -> str:
        (work / "made.txt").write_text("ran")
        return "deployed"

    def answer(request: ApprovalRequest) -> Decision:
        asked.append(request)
        assert row.answer is not None
        return row.answer

    agent = Agent(
        "lab/any",
        base_url=model.base_url,
        tools=[Shell(), ExecCommand(sessions), ReadFile(), ApplyPatch(), Edit(), WriteFile(), deploy],
        approvals=row.mode,
        ask=answer if row.answer else None,
        sandbox=held(row.sandbox),
        cwd=work,
    )
    started = False
    async with agent.stream(f"«{row.action}»") as turn:
        async for event in turn:
            started = started or isinstance(event, ToolStarted)
    (told,) = [
        str(item.output) for item in agent.session.items if isinstance(item, FunctionCallOutput | CustomToolCallOutput)
    ]
    assert row.told in told
    assert (bool(asked), effects(work) if started else "-") == (row.asked, row.ran)
    assert started or not effects(work)


def test_the_table_is_large_enough() -> None:
    """Every mode with every sandbox, every action, no row twice."""
    assert len({str(row) for row in ROWS}) == len(ROWS) >= 40
    assert {row.action for row in ROWS} == set(ACTIONS)
    modes = ("never", "on_request", "unless_trusted", "always")
    rows = {(row.mode, row.sandbox) for row in ROWS}
    assert rows >= {(mode, name) for mode in ("never", "on_request") for name in SANDBOXES}
    assert {mode for mode, _ in rows} == {*modes, "deny", "allow"}


def yes(request: ApprovalRequest) -> Decision:
    return YES


@pytest.mark.parametrize(
    ("mode", "ask", "sandbox", "offered"),
    [
        ("on_request", True, "workspace", True),
        ("unless_trusted", True, "read-only", True),
        ("always", True, "workspace", True),
        ("on_request", False, "workspace", False),
        ("never", True, "workspace", False),
        ("allow", False, "workspace", False),
        ("on_request", True, "none", False),
        ("on_request", True, "full", False),
    ],
)
def test_leaving_is_offered_where_somebody_can_say_yes(
    mode: Approvals, ask: bool, sandbox: str, offered: bool, work: Path
) -> None:
    """The parameters by which a model asks are in the schema only where a sandbox is and a person can be asked."""
    shell = Agent(
        "x/y", tools=[Shell()], approvals=mode, ask=yes if ask else None, sandbox=held(sandbox), cwd=work
    ).tools[0]
    assert isinstance(shell.spec, ToolSpec)
    assert ("require_escalated" in json.dumps(dict(shell.spec.parameters))) == offered


SWAPS: dict[str, tuple[str, str]] = {
    "a folder becomes a link out": ("inner/made.txt", "inner"),
    "a link that was followed out leads elsewhere": ("link/made.txt", "link"),
}


@pytest.mark.parametrize("name", SWAPS)
async def test_a_yes_is_for_what_was_shown(name: str, work: Path) -> None:
    """While somebody thinks about a path, it comes to lead somewhere else: nothing is written there."""
    path, swapped = SWAPS[name]
    (work / "inner").mkdir()
    (work / "../elsewhere").mkdir()
    act = Step(calls=(Call("write_file", {"path": path, "content": "ran\n"}),))

    def swap(request: ApprovalRequest) -> bool:
        target = work / swapped
        target.unlink() if target.is_symlink() else target.rmdir()
        target.symlink_to(work.parent / "elsewhere")
        return True

    with RehearsalServer([act, Step(text="Done.")], pace_s=0) as server:
        agent = Agent(
            "lab/any",
            base_url=server.base_url,
            tools=[WriteFile()],
            approvals="always",
            ask=swap,
            sandbox=workspace_write(),
            cwd=work,
        )
        await agent.run("go")
    assert [list((work.parent / place).iterdir()) for place in ("outside", "elsewhere")] == [[], []]
