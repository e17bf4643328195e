"""Hooks, functions and commands: what they are told, what they may change, and that their failures deny."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from agent_core import Agent, tool
from agent_core.errors import ConfigError
from agent_core.hook_file import hooks_from_toml
from agent_core.hooks import MAX_GO_ON, Hook, HookAnswer, HookCall, HookFunction, HookRunner
from agent_core.items import FunctionCallOutput
from agent_core.prompt import Prompt
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.tools.base import ToolCall, ToolOutput
from agent_core.turn_events import HookFinished, HookOutcome, ToolFinished, ToolStarted, TurnEvent

pytestmark = pytest.mark.anyio

CALL = ToolCall("call_1", "echo", '{"text": "a"}')


def runner(*hooks: Hook) -> tuple[HookRunner, list[tuple[str, HookOutcome]]]:
    """The hooks of a turn, and how each of them ended."""
    ended: list[tuple[str, HookOutcome]] = []

    async def emit(event: TurnEvent) -> None:
        assert isinstance(event, HookFinished)
        ended.append((event.hook, event.outcome))

    return HookRunner(hooks, emit=emit, session_id="s", cwd=Path.cwd()), ended


def python(code: str, *, timeout_s: float = 30.0) -> Hook:
    return Hook("before_tool", [sys.executable, "-c", code], timeout_s=timeout_s, name="p")


def answers(answer: object) -> HookFunction:
    """A function that says so, right or wrong."""
    return lambda call: answer  # type: ignore[return-value]  # wrong answers too


def raises(call: HookCall) -> None:
    raise ValueError("no idea")


async def later(call: HookCall) -> HookAnswer:
    await anyio.lowlevel.checkpoint()
    return HookAnswer(deny=f"not {call.tool} with {call.arguments}")


async def never(call: HookCall) -> HookAnswer:
    await anyio.sleep_forever()
    raise AssertionError


CHANGED = ToolCall("call_1", "echo", '{"text": "b"}')
FAILED = "the hook 'p' failed, so the call was not run"
SAY = "import json, sys; told = json.load(sys.stdin); "
# name: hook, what becomes of the call, how the hook ended
BEFORE: dict[str, tuple[Hook, ToolCall | str, HookOutcome]] = {
    "says nothing": (Hook("before_tool", answers(None), name="p"), CALL, "passed"),
    "denies, async": (Hook("before_tool", later, name="p"), 'not echo with {"text": "a"}', "denied"),
    "changes": (Hook("before_tool", answers(HookAnswer(arguments={"text": "b"})), name="p"), CHANGED, "changed"),
    "raises": (Hook("before_tool", raises, name="p"), FAILED, "failed"),
    "answers nonsense": (Hook("before_tool", answers("yes"), name="p"), FAILED, "failed"),
    "never answers": (Hook("before_tool", never, timeout_s=0.01, name="p"), FAILED, "failed"),
    "command: nothing": (python("pass"), CALL, "passed"),
    "command: words": (python("print('all is well')"), CALL, "passed"),
    "command: denies": (python("import sys; print('not now', file=sys.stderr); sys.exit(2)"), "not now", "denied"),
    "command: denies in JSON": (
        python(SAY + "print(json.dumps({'decision': 'block', 'reason': str(told['tool_input'])}))"),
        "{'text': 'a'}",
        "denied",
    ),
    "command: denies as Codex does": (
        python('print(\'{"hookSpecificOutput": {"permissionDecision": "deny", "permissionDecisionReason": "no"}}\')'),
        "no",
        "denied",
    ),
    "command: stops": (python('print(\'{"continue": false, "stopReason": "enough"}\')'), "enough", "denied"),
    "command: changes": (
        python('print(\'{"hookSpecificOutput": {"updatedInput": {"text": "b"}}}\')'),
        CHANGED,
        "changed",
    ),
    "command: fails": (python("raise SystemExit(1)"), FAILED, "failed"),
    "command: broken JSON": (python("print('{\"decision\": ')"), FAILED, "failed"),
    "command: unknown decision": (python('print(\'{"decision": "perhaps"}\')'), FAILED, "failed"),
    "command: not there": (Hook("before_tool", ["/no/such/program"], name="p"), FAILED, "failed"),
    "command: floods": (
        python("import sys\nwhile True: sys.stdout.write('x' * 65536)", timeout_s=0.3),
        FAILED,
        "failed",
    ),
    "command: too late": (python("import time; time.sleep(600)", timeout_s=0.2), FAILED, "failed"),
    "command: leaves a child with its pipes": (
        python("import subprocess, sys; subprocess.Popen(['sleep', '600']); sys.exit(0)"),
        CALL,
        "passed",
    ),
    "command: does not read": (python("import os; os.close(0)"), CALL, "passed"),
}


@pytest.mark.parametrize("name", BEFORE)
async def test_before_a_tool(name: str) -> None:
    """A hook passes, denies or changes a call; one that fails, in whatever way, denies it."""
    hook, becomes, outcome = BEFORE[name]
    hooks, ended = runner(hook)
    with anyio.fail_after(20):
        assert await hooks.before_tool(CALL) == becomes
    assert ended == [("p", outcome)]


async def test_a_command_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environment what a command of the shell tool would get."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    hooks, _ = runner(python("import os, sys; print(sorted(os.environ), file=sys.stderr); sys.exit(2)"))
    denied = await hooks.before_tool(CALL)
    assert isinstance(denied, str)
    assert ("OPENAI_API_KEY" in denied, "AGENT_CORE_HOOK" in denied) == (False, True)


async def test_hooks_stand_in_a_row() -> None:
    """In the order they were given, each with what came before; the first denial ends it; patterns choose tools."""
    seen: list[str] = []

    def add(word: str) -> HookFunction:
        def hook(call: HookCall) -> HookAnswer:
            seen.append(call.arguments)
            return HookAnswer(arguments={"text": json.loads(call.arguments)["text"] + word})

        return hook

    hooks, _ = runner(
        Hook("before_tool", add("b")),
        Hook("before_tool", add("x"), tools="mcp__*"),
        Hook("before_tool", add("c"), tools=["ec*", "other"]),
        Hook("after_tool", add("y")),
        Hook("before_tool", answers(HookAnswer(deny="no"))),
        Hook("before_tool", add("z")),
    )
    assert await hooks.before_tool(CALL) == "no"
    assert seen == ['{"text": "a"}', '{"text": "ab"}']


async def test_after_a_tool() -> None:
    """An output is replaced, or gets a note; a hook that fails changes nothing."""
    hooks, ended = runner(
        Hook("after_tool", answers(HookAnswer(output="short"))),
        Hook("after_tool", raises),
        Hook("after_tool", answers(HookAnswer(note="read by a hook"))),
        Hook("after_tool", [sys.executable, "-c", SAY + "sys.exit(told['tool_response'])"], name="p"),
    )
    output = await hooks.after_tool(CALL, ToolOutput("very long", metadata={"exit_code": 0}))
    assert output == ToolOutput("short\n[read by a hook]", metadata={"exit_code": 0})
    assert [outcome for _, outcome in ended] == ["changed", "failed", "changed", "failed"]


async def test_a_cancel_goes_through() -> None:
    """A run that is cancelled in a hook is cancelled, and nothing the hook started is left."""
    hooks, ended = runner(python("import time; time.sleep(600)", timeout_s=600))
    with anyio.move_on_after(0.3) as scope:
        await hooks.before_tool(CALL)
    assert (scope.cancelled_caught, ended) == (True, [])


# --- in a run --------------------------------------------------------------------------------------------------------


@tool
def echo(text: str) -> str:
    """Echo."""
    return f"echo: {text}"


@tool(read_only=True, approval=True)
def look(text: str) -> str:
    """Look."""
    return f"saw {text}"


ACT = Step(calls=(Call("echo", {"text": "a"}, "call_1"), Call("look", {"text": "a"}, "call_2")))


async def run(*hooks: Hook, script: Callable[[Prompt], Step] | None = None) -> tuple[list[str], list[TurnEvent], str]:
    """What the model was told of its two calls, the events, and its last words."""
    with RehearsalServer(script or [ACT, Step(text="Done.")], pace_s=0) as server:
        agent = Agent("lab/x", base_url=server.base_url, tools=[echo, look], approvals="allow", hooks=hooks)
        async with agent.stream("go") as turn:
            seen = [event async for event in turn]
    told = [str(item.output) for item in agent.session.items if isinstance(item, FunctionCallOutput)]
    return told, seen, turn.result.text


async def test_a_denied_call_is_not_run() -> None:
    """The model is told why; the other call runs; nobody was asked about what a hook denied."""
    told, seen, _ = await run(Hook("before_tool", answers(HookAnswer(deny="not on a Friday")), tools="look"))
    assert told == ["echo: a", "denied by a hook: not on a Friday"]
    assert [event.call.name for event in seen if isinstance(event, ToolStarted)] == ["echo"]
    assert [event.outcome for event in seen if isinstance(event, ToolFinished)] == ["ok", "denied"]


async def test_changed_arguments_are_what_is_asked_and_run() -> None:
    """The session keeps what the model wrote; the tool gets, and events show, what the hook made of it."""
    told, seen, _ = await run(
        Hook("before_tool", answers(HookAnswer(arguments={"text": "b"}))),
        Hook("after_tool", answers(HookAnswer(note="n"))),
    )
    assert told == ["echo: b\n[n]", "saw b\n[n]"]
    assert [event.call.arguments for event in seen if isinstance(event, ToolStarted)] == ['{"text": "b"}'] * 2


async def test_a_cancel_in_a_hook_keeps_what_the_tool_said() -> None:
    """The tool has answered by then: its output is in the session, and no call is left open."""
    reached = anyio.Event()

    async def wait(call: HookCall) -> None:
        reached.set()
        await anyio.sleep_forever()

    with RehearsalServer([ACT], pace_s=0) as server:
        agent = Agent("lab/x", base_url=server.base_url, tools=[echo, look], hooks=[Hook("after_tool", wait)])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.run, "go")
            await reached.wait()
            tasks.cancel_scope.cancel()
    told = [str(item.output) for item in agent.session.items if isinstance(item, FunctionCallOutput)]
    assert (told[0], len(told), agent.session.open_calls()) == ("echo: a", 2, ())


async def test_a_stop_hook_lets_it_go_on_a_few_times() -> None:
    """It speaks in the user's place, and is told how often; then the turn ends, content or not."""
    asked: list[tuple[str, int]] = []

    def more(call: HookCall) -> HookAnswer:
        asked.append((call.text, call.continued))
        return HookAnswer(go_on="And the tests?")

    def script(prompt: Prompt) -> Step:
        return Step(text=f"Done {len(prompt.items)}.")

    _, _, text = await run(Hook("stop", more), script=script)
    assert asked == [(f"Done {2 * n + 1}.", n) for n in range(MAX_GO_ON)]
    assert text == f"Done {2 * MAX_GO_ON + 1}."


async def test_hooks_round_a_compaction() -> None:
    """One before it may deny it: the session stays as it is. One after it is told."""
    told: list[HookCall] = []

    def keep(answer: HookAnswer) -> HookFunction:
        def hook(call: HookCall) -> HookAnswer:
            told.append(call)
            return answer

        return hook

    with RehearsalServer([Step(text="One."), Step(text="Two.")], pace_s=0) as server:
        agent = Agent(
            "lab/x",
            base_url=server.base_url,
            hooks=[Hook("before_compaction", keep(HookAnswer())), Hook("after_compaction", keep(HookAnswer()))],
        )
        await agent.run("go")
        await agent.compact()
        denied = Agent(
            "lab/x", base_url=server.base_url, session=agent.session, hooks=[Hook("before_compaction", later)]
        )
        await denied.run("again")
        with pytest.raises(Exception, match="the history was not compacted: not  with"):
            await denied.compact()
    assert [(call.point, call.reason) for call in told] == [
        ("before_compaction", "asked"),
        ("after_compaction", "asked"),
    ]


# --- from a file -----------------------------------------------------------------------------------------------------


def test_hooks_from_a_file(tmp_path: Path) -> None:
    """Each table is a hook, with the defaults of the class."""
    file = tmp_path / "hooks.toml"
    file.write_text(
        '[[hooks]]\npoint = "before_tool"\ncommand = ["a", "b"]\ntools = ["shell"]\ntimeout_s = 5\n'
        '[[hooks]]\npoint = "stop"\ncommand = ["c"]\n'
    )
    assert hooks_from_toml(file) == [
        Hook("before_tool", ("a", "b"), tools=("shell",), timeout_s=5.0),
        Hook("stop", ("c",)),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no table"),
        ("hooks = 3", "there is no table"),
        ("hooks = [3]", "hook 1 is no table"),
        ("[[hooks]]\npoint = 'never'", "hook 1: point is 'never'"),
        ("[[hooks]]\npoint = 'stop'\ncommand = 'a b'", "hook 1: command is 'a b'"),
        ("[[hooks]]\npoint = 'stop'\ncommand = ['a']\ntools = [1]", "hook 1: tools is"),
        ("[[hooks]]\npoint = 'stop'\ncommand = ['a']\ntimeout_s = true", "timeout_s must be a number"),
        ("[[hooks]]\npoint = 'stop'\ncommand = ['a']\ntimeout_s = 0", "timeout_s must be more than 0"),
        ("[[hooks]]\npiont = 'stop'", "there is no key 'piont'"),
        ("[[hooks", "is no TOML"),
    ],
)
def test_a_bad_file_is_told(text: str, message: str, tmp_path: Path) -> None:
    """File, hook and key."""
    file = tmp_path / "hooks.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        hooks_from_toml(file)
    with pytest.raises(ConfigError, match="cannot read"):
        hooks_from_toml(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hook("before", later), "there is no hook point 'before'"),  # type: ignore[arg-type]  # a mistake
        (lambda: Hook("stop", "python check.py"), "is no hook"),
        (lambda: Hook("stop", []), "is no hook"),
        (lambda: Hook("stop", later, timeout_s=0), "timeout_s must be more than 0"),
    ],
)
def test_mistakes_are_told(make: Callable[[], object], message: str) -> None:
    """What is no hook is told when it is made."""
    with pytest.raises(ConfigError, match=message):
        make()
