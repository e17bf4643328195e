"""What "for this session" remembers: what was shown, and never more."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from agent_core import Agent, ApprovalRequest, ApprovalRules, Decision, Session, tool
from agent_core.approval_rules import VERDICTS, ApprovalMode, Footing
from agent_core.approvals import APPROVED, APPROVED_FOR_SESSION, Rule
from agent_core.errors import CallerError
from agent_core.items import JsonValue
from agent_core.sandbox import workspace_write
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.tools import ApplyPatch, Shell, ToolContext, WriteFile

from .tools.calls import call

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).resolve().parents[2] / "docs/approvals.md"
CWD = Path("/project")


def command(line: JsonValue, **more: JsonValue) -> ApprovalRequest:
    asked = Shell().approval(call("shell", {"command": line, **more}), ToolContext(CWD, escalates=True))
    assert asked is not None
    return asked


def leaving(line: JsonValue, **more: JsonValue) -> ApprovalRequest:
    shell = Shell()
    shell._policy = workspace_write()  # the sandbox itself is not needed to ask
    arguments = {"command": line, "sandbox_permissions": "require_escalated", **more}
    asked = shell.approval(call("shell", arguments), ToolContext(CWD, escalates=True))
    assert asked is not None
    return asked


def writing(path: str) -> ApprovalRequest:
    arguments: dict[str, JsonValue] = {"path": path, "content": "x"}
    asked = WriteFile().approval(call("write_file", arguments), ToolContext(CWD, escalates=True))
    assert asked is not None
    return asked


def patching(*paths: str) -> ApprovalRequest:
    body = "\n".join(f"*** Delete File: {path}" for path in paths)
    text = f"*** Begin Patch\n{body}\n*** End Patch"
    asked = ApplyPatch().approval(call("apply_patch", text, custom=True), ToolContext(CWD, escalates=True))
    assert asked is not None
    return asked


def calling(name: str, **arguments: JsonValue) -> ApprovalRequest:
    def deploy(to: str) -> None:
        """Deploy."""

    asked = tool(name=name, approval=True)(deploy).approval(call(name, arguments), ToolContext(CWD))
    assert asked is not None
    return asked


COVERED: list[tuple[ApprovalRequest, ApprovalRequest, bool]] = [
    (command("git commit -m one"), command("git commit -m two --amend"), True),
    (command("git commit -m one"), command("git push"), False),
    (command("git commit -m one"), command("git commit -m a && git commit -m b; ls"), True),
    (command("git commit -m one"), command("git commit -m a && rm -r x"), False),
    (command("git commit -m one"), command("git commit -m a > out"), False),
    (command("git commit -m one"), command('git commit -m "$(rm x)"'), False),
    (command("git commit -m one"), command("git commit -m $HOME"), False),
    (command("git commit -m one"), command("GIT_DIR=/x git commit"), False),
    (command("git commit -m one"), command("git -C /x commit"), False),
    (command("git commit -m one"), command("/tmp/git commit"), False),
    (command("git commit -m one"), command("git commit -m a &"), False),
    (command("git commit -m one"), command("git commit *"), False),
    (command("git commit -m one"), command(["git", "commit", "-m", "a; rm x"]), True),
    (command("git commit -m one"), command(["bash", "-c", "git commit -m a"]), True),
    (command("git commit -m one"), command(["bash", "-c", "git commit; rm x"]), False),
    (command("git commit -m one"), command(["./bash", "-c", "git commit"]), False),
    (command("make all && git add x"), command("git add y"), True),
    (command("make all && git add x"), command("make install"), False),
    (command("make all && git add x"), command("ls && make all"), True),
    (command("rm build"), command("rm build"), True),
    (command("rm build"), command("rm build ../everything"), False),
    (command("python run.py"), command("python run.py --now"), False),
    (command("python run.py"), command("python run.py", workdir="sub"), False),
    (command("python run.py"), command("cd sub && python run.py"), False),
    (command("python run.py"), command("pushd sub; python run.py"), False),
    (command("python run.py"), command("ls; python run.py; cd sub"), True),
    (command("git add x"), command("cd sub && git add x"), True),
    (command("cd sub && python run.py"), command("cd sub && python run.py"), False),
    (command("rm *.o"), command("rm *.o"), False),
    (command("echo x > out"), command("echo x > out"), False),
    (command("make all"), leaving("make all"), False),
    (leaving("make all"), leaving("make all"), True),
    (leaving("make all"), command("make all"), True),
    (leaving("make all"), leaving("make all other"), False),
    (leaving("make all"), leaving("make all", workdir="sub"), False),
    (leaving("cd /a && make"), leaving("cd /a && make"), False),
    (leaving("cat note"), leaving("cat note && cat other"), False),
    (writing("a.txt"), writing("./a.txt"), True),
    (writing("a.txt"), patching("a.txt"), True),
    (writing("a.txt"), writing("b.txt"), False),
    (patching("a", "b"), patching("b"), True),
    (patching("a", "b"), patching("b", "c"), False),
    (writing("a.txt"), writing("../a.txt"), False),
    (writing("../a.txt"), writing("../a.txt"), True),
    (calling("deploy", to="a"), calling("deploy", to="a"), True),
    (calling("deploy", to="a"), calling("deploy", to="b"), False),
]


@pytest.mark.parametrize(("shown", "then", "covered"), COVERED, ids=lambda part: getattr(part, "summary", str(part)))
async def test_a_rule_covers_what_was_shown(shown: ApprovalRequest, then: ApprovalRequest, covered: bool) -> None:
    """After a yes for the session, the same runs unasked; what is chained to it, added to it or larger is asked."""
    asked: list[ApprovalRequest] = []

    def ask(request: ApprovalRequest) -> Decision:
        asked.append(request)
        return APPROVED_FOR_SESSION

    policy = ApprovalRules("unless_trusted", ask)
    assert (await policy.decide(shown)).approved
    assert await policy.decide(then) == (APPROVED if covered else APPROVED_FOR_SESSION)
    assert asked == ([shown] if covered else [shown, then])


@pytest.mark.parametrize(
    ("request_", "rules"),
    [
        (command("git status -s"), ["commands that begin with `git status`"]),
        (command("pytest -q tests"), ["exactly the command `pytest -q tests` in /project"]),
        (command("npm run build"), ["exactly the command `npm run build` in /project"]),
        (command("ls && sudo make install"), ["exactly the command `sudo make install` in /project"]),
        (command("curl $URL"), []),
        (command("ls; while true; do rm x; done"), []),
        (leaving("git status"), ["exactly the command `git status` in /project, outside the sandbox"]),
        (leaving("git fetch && git status"), []),
        (writing("a.txt"), ["changes of /project/a.txt"]),
        (patching("b", "a"), ["changes of /project/a", "changes of /project/b"]),
        (writing("../a.txt"), ["changes of /a.txt, outside the sandbox"]),
    ],
    ids=lambda part: getattr(part, "summary", None),
)
def test_what_is_proposed(request_: ApprovalRequest, rules: list[str]) -> None:
    """A person reads what would be remembered; nothing is, of what no shell parser takes apart into plain commands."""
    assert list(map(str, request_.rules)) == rules


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (command("make"), "it runs with your rights; no sandbox holds it"),
        (command("ls"), "it only reads; no sandbox holds it"),
        (leaving("ls"), "it runs with your rights; OUTSIDE the sandbox"),
        (writing("a"), "it changes 1 file; no sandbox holds it"),
        (patching("a", "../b"), "it changes 2 files; outside the working directory, or protected"),
    ],
    ids=lambda part: getattr(part, "summary", None),
)
def test_the_risk_in_one_line(request_: ApprovalRequest, line: str) -> None:
    """What may come of it, and what holds it."""
    assert request_.risk_line == line


async def test_rules_of_the_caller_run_in_every_mode() -> None:
    """Under `never` too: somebody was asked before. Not outside the sandbox."""
    policy = ApprovalRules("never", rules=[Rule.for_command("make"), Rule.for_tool("deploy")])
    rows = [
        (command("make x"), True),
        (command("rm x"), False),
        (leaving("make x"), False),
        (calling("deploy", to="a"), True),
        (calling("destroy", to="a"), False),
    ]
    assert [(await policy.decide(request)).approved for request, _ in rows] == [allowed for _, allowed in rows]


def run_twice(agent: Agent) -> list[str]:
    return [agent.run_sync("go").stop_reason for _ in range(2)]


def test_rules_are_the_sessions(tmp_path: Path) -> None:
    """Asked once, in force after a resume, listed, and revoked; a fork asks again."""
    asked: list[str] = []

    def ask(request: ApprovalRequest) -> Decision:
        asked.append(request.summary)
        return APPROVED_FOR_SESSION

    act = Step(calls=(Call("shell", {"command": "git stash show -p"}),))
    with RehearsalServer(lambda prompt: act if len(prompt.items) % 4 == 1 else Step(text="Done.")) as server:

        def agent(session: Session) -> Agent:
            policy = ApprovalRules("unless_trusted", ask)
            return Agent("lab/x", base_url=server.base_url, tools=[Shell()], approvals=policy, session=session)

        with Session.create(tmp_path / "s.jsonl") as session:
            run_twice(agent(session))
        with Session.resume(tmp_path / "s.jsonl") as again:
            run_twice(agent(again))
            assert [str(rule) for rule in again.approval_rules] == ["commands that begin with `git stash`"]
            assert (asked, again.fork().approval_rules) == (["git stash show -p"], ())
            assert [again.revoke(rule) for rule in again.approval_rules * 2] == [True, False]
    with Session.resume(tmp_path / "s.jsonl") as last:
        assert last.approval_rules == ()


def test_no_file_lets_anything_leave_the_sandbox(tmp_path: Path) -> None:
    """A rule that does is the process's: a session file may come from somebody else."""
    inside, outside = Rule("command", ("make",)), Rule("command", ("make",), escalated=True)
    with Session.create(tmp_path / "s.jsonl") as session:
        session.remember(inside)
        session.remember(outside)
        assert session.approval_rules == (inside, outside)
        session._note({"type": "approval_rule", "rule": {"kind": "command", "words": ["rm"], "escalated": True}})
        broken: list[tuple[str, JsonValue]] = [("any", ["x"]), ("tool", []), ("tool", [1]), ("tool", "x")]
        for kind, words in broken:
            session._note({"type": "approval_rule", "rule": {"kind": kind, "words": words}})
    assert Session.read(tmp_path / "s.jsonl").approval_rules == (inside, Rule("command", ("rm",)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ApprovalRules("sometimes"), "there is no approval mode 'sometimes'"),  # type: ignore[arg-type]  # a mistake
        (lambda: ApprovalRules("always", True), "ask must be a function"),  # type: ignore[arg-type]  # a mistake
        (lambda: Rule.for_command("git status"), "does not name a program"),
        (lambda: Rule.for_command(), "does not name a program"),
        (lambda: Agent("x/y", ask=lambda request: True), "ask= is called by the approval modes alone"),
        (lambda: Agent("x/y", sandbox="read_only"), "sandbox must be a SandboxPolicy"),  # type: ignore[arg-type]  # a mistake
    ],
)
def test_mistakes_are_told(make: object, message: str) -> None:
    """What is no mode, no rule and no sandbox is told when it is written."""
    assert callable(make)
    with pytest.raises(CallerError, match=message):
        make()


def test_the_documents_have_the_table() -> None:
    """docs/approvals.md says of every footing and mode what the code does."""
    lines = [line.strip("|").split("|") for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    rows = {cells[0].split("`")[1]: [cell.strip() for cell in cells[2:]] for cells in lines if len(cells) == 6}
    modes = get_args(ApprovalMode)
    assert rows == {footing: [VERDICTS[mode][footing] for mode in modes] for footing in get_args(Footing)}
