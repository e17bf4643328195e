"""The scenarios of behaviours.md 6.O, and of 6.R those about running tools: one row each, by its id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import anyio
import pytest

from agent_core import Agent, Usage
from agent_core.errors import ModelError, ServerError, ToolError
from agent_core.events import Response
from agent_core.items import CallItem, FunctionCallOutput, assistant_message, dump_item, parse_item
from agent_core.limits import Limits
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.testing.model import ScriptedModel
from agent_core.tool_policy import ToolAction, ToolPolicy, ToolRule
from agent_core.tools.base import Outcome, Tool, ToolCall, ToolOutput
from agent_core.turn_events import StopReason, ToolFinished, ToolStarted

from .stage import Probe, Stage, call, calls, says

pytestmark = pytest.mark.anyio


def upper(call: ToolCall) -> ToolOutput:
    return ToolOutput(call.arguments.upper())


def tools() -> list[Probe]:
    return [Probe("echo"), Probe("upper", upper), Probe("fails", lambda call: ToolError("always fails"))]


ALLOWED = ToolPolicy([ToolRule(name, "allow") for name in ("echo", "upper", "fails")], default="hand_back")
HANDED_BACK = ToolPolicy(default="hand_back")
NO_RM = ToolPolicy([ToolRule("rm_*", "deny")])
DENIED = "denied: the policy of this run denies the tool 'rm_rf'"


@dataclass(frozen=True)
class Engine:
    """`answers`: of the model. Then: why the run ends, the outputs, the calls that wait, the tools that ran."""

    policy: ToolPolicy
    answers: Sequence[Response | ModelError]
    stop: StopReason
    outputs: Sequence[tuple[str, str]] = ()
    pending: Sequence[str] = ()
    requests: int = 1
    limits: Limits = Limits()  # noqa: RUF009 - frozen


ENGINE: dict[str, Engine] = {
    "T-O1 all is passed through": Engine(HANDED_BACK, [calls(call("a", "echo"))], "paused", pending=["a"]),
    "T-O2 allowed runs, unknown is handed back": Engine(
        ALLOWED, [calls(call("a", "echo"), call("b", "unknown"))], "paused", [("a", "did {}")], ["b"]
    ),
    "T-O3 T-O4 T-O26 denied, by the tool's name": Engine(
        NO_RM, [calls(call("id1", "rm_rf")), says("ok")], "completed", [("id1", DENIED)], requests=2
    ),
    "T-O5 T-O7 a result under its id": Engine(
        ALLOWED, [calls(call("tc_1", "upper", '"hello world"')), says("ok")], "completed",
        [("tc_1", '"HELLO WORLD"')], requests=2,
    ),
    "T-O6 a tool's error": Engine(
        ALLOWED, [calls(call("a", "fails")), says("ok")], "completed", [("a", "always fails")], requests=2
    ),
    "T-O8 two results in order": Engine(
        ALLOWED, [calls(call("tc_1", "upper", '"first"'), call("tc_2", "upper", '"second"')), says("ok")], "completed",
        [("tc_1", '"FIRST"'), ("tc_2", '"SECOND"')], requests=2,
    ),
    "T-O12 text and two calls": Engine(
        ALLOWED, [calls(assistant_message("Let me check"), call("tu_1", "echo"), call("tu_2", "search"))], "paused",
        [("tu_1", "did {}")], ["tu_2"],
    ),
    "T-O13 T-O16 text alone": Engine(ALLOWED, [says("hello")], "completed"),
    "T-O17 a tool nobody here has": Engine(ALLOWED, [calls(call("a", "theirs"))], "paused", pending=["a"]),
    "T-O18 one call, then text": Engine(
        ALLOWED, [calls(call("a", "upper", '"x"')), says("done")], "completed", [("a", '"X"')], requests=2
    ),
    "T-O19 the same call again": Engine(
        ALLOWED, [calls(call(f"c{n}", "echo")) for n in range(9)], "repeated",
        [("c0", "did {}"), ("c1", "did {}")], requests=2, limits=Limits(max_repeats=0),
    ),
    "T-O9 the same call, told once": Engine(
        ALLOWED, [calls(call(f"c{n}", "echo")) for n in range(9)], "repeated",
        [("c0", "did {}"), ("c1", "did {} [told]"), ("c2", "did {}")], requests=3, limits=Limits(max_repeats=1),
    ),
    "T-O9 the same by default": Engine(
        ALLOWED, [calls(call(f"c{n}", "echo")) for n in range(9)], "repeated",
        [(f"c{n}", "did {} [told]" if n == 4 else "did {}") for n in range(6)], requests=6,
    ),
    "T-O10 another input": Engine(
        ALLOWED, [calls(call("a", "echo", "1")), calls(call("b", "echo", "2")), says("ok")], "completed",
        [("a", "did 1"), ("b", "did 2")], requests=3, limits=Limits(max_repeats=0),
    ),
    "T-O11 another number of calls": Engine(
        ALLOWED, [calls(call("a", "echo")), calls(call("b", "echo"), call("c", "echo")), says("ok")], "completed",
        [("a", "did {}"), ("b", "did {}"), ("c", "did {}")], requests=3, limits=Limits(max_repeats=0),
    ),
    "T-O20 always another call": Engine(
        ALLOWED, [calls(call(f"c{n}", "echo", str(n))) for n in range(9)], "max_turns",
        [("c0", "did 0"), ("c1", "did 1")], requests=2, limits=Limits(max_turns=2, max_repeats=0),
    ),
    "T-O23 T-O24 other names get the default": Engine(
        ToolPolicy([ToolRule("echo", "allow")], default="hand_back"), [calls(call("a", "echo"), call("b", "upper"))],
        "paused", [("a", "did {}")], ["b"],
    ),
    "X-S0-13 twenty calls, a cap, one raises": Engine(
        ALLOWED, [calls(*(call(f"c{n}", "fails" if n == 3 else "echo", str(n)) for n in range(20))), says("ok")],
        "completed",
        [(f"c{n}", "always fails" if n == 3 else f"did {n}") for n in range(8)]
        + [(f"c{n}", "not run: more than 8 calls in one response") for n in range(8, 20)],
        requests=2,
    ),
    "X-S0-14 swapped calls of one name": Engine(
        ALLOWED,
        [calls(call("a", "echo", "1"), call("b", "echo", "2")), calls(call("c", "echo", "2"), call("d", "echo", "1"))],
        "repeated", [("a", "did 1"), ("b", "did 2"), ("c", "did 2"), ("d", "did 1")], requests=2,
        limits=Limits(max_repeats=0),
    ),
    "X-S0-15 one runs, one is handed back": Engine(
        ALLOWED, [calls(call("b", "theirs"), call("a", "echo"))], "paused", pending=["b"]
    ),
    "X-S0-17 all fail: one chance": Engine(
        ALLOWED, [calls(call(f"c{n}", "fails", str(n))) for n in range(9)], "all_failed",
        [("c0", "always fails [told]"), ("c1", "always fails")], requests=2, limits=Limits(max_failed=1),
    ),
    "X-S0-17 all fail, then one does not": Engine(
        ALLOWED, [calls(call("c0", "fails")), calls(call("c1", "echo")), calls(call("c2", "fails")), says("ok")],
        "completed", [("c0", "always fails [told]"), ("c1", "did {}"), ("c2", "always fails [told]")], requests=4,
        limits=Limits(max_failed=1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENGINE)
async def test_the_engine(name: str) -> None:
    """Why it ends, one output per call and in order, what waits; no request has an unanswered call in it."""
    row = ENGINE[name]
    stage = Stage(ScriptedModel(*row.answers), list[Tool](tools()), policy=row.policy, limits=row.limits)
    assert await stage.run() == row.stop
    told = [(call_id, re.sub(r"\n\[.*\]$", " [told]", text)) for call_id, text in stage.outputs]
    assert told == list(row.outputs)
    assert [one.call.call_id for one in stage.state.pending] == list(row.pending)
    assert len(stage.model.prompts) == row.requests
    for prompt in stage.model.prompts:
        made = [item.call_id for item in prompt.items if isinstance(item, CallItem)]
        assert made == [item.call_id for item in prompt.items if isinstance(item, FunctionCallOutput)]


async def test_a_failure_after_tools_ran_is_an_error() -> None:
    """T-O21 X-S0-16: the backend's error is the caller's to see, and no call that was run is left to run."""
    stage = Stage(ScriptedModel(calls(call("a", "echo")), ServerError("down", status=500)), list[Tool](tools()))
    with pytest.raises(ServerError) as caught:
        await stage.run()
    assert caught.value.side_effects_started
    assert (stage.outputs, stage.session.open_calls()) == ([("a", "did {}")], ())


@pytest.mark.parametrize("streamed", [True, False])
async def test_usage_is_summed(streamed: bool) -> None:
    """X-S0-12: three requests of 10 and 1 are 30 and 3, watched or not, in the result and in the session."""
    used = Usage(input=10, output=1)
    steps = [Step(calls=(Call("echo", {"text": str(n)}),), usage=used) for n in range(2)]

    async def echo(text: str) -> str:
        return text

    with RehearsalServer([*steps, Step(text="done", usage=used)], pace_s=0) as server:
        agent = Agent("rehearsal/any", provider=server.provider, tools=[echo])
        if streamed:
            async with agent.stream("go") as turn:
                async for _ in turn:
                    pass
            result = turn.result
        else:
            result = await agent.run("go")
    assert (result.usage.input, result.usage.output, result.samples) == (30, 3, 3)
    assert (agent.session.usage.input, agent.session.usage.output) == (30, 3)


@pytest.mark.parametrize(("name", "success"), [("T-O14 echo", True), ("T-O15 fails", False)])
async def test_an_output_says_whether_it_is_one(name: str, success: bool) -> None:
    """One output with its call's id, success said either way; it comes out of a file as it went in."""
    stage = Stage(ScriptedModel(calls(call("a", name.split()[1])), says("ok")), list[Tool](tools()))
    await stage.run()
    (output,) = [item for item in stage.session.items if isinstance(item, FunctionCallOutput)]
    assert (output.call_id, output.success) == ("a", success)
    assert parse_item(dump_item(output)) == output


@pytest.mark.parametrize(("name", "made"), [("T-O28", 0), ("T-O29", 2)])
async def test_every_call_is_told(name: str, made: int) -> None:
    """Two responses with one call each: two calls are watched from their start to their end; none without calls."""
    answers = [calls(call(f"c{n}", "echo", str(n))) for n in range(made)]
    stage = Stage(ScriptedModel(*answers, says("ok")), list[Tool](tools()))
    await stage.run()
    started, finished = (sum(isinstance(one, kind) for one in stage.seen) for kind in (ToolStarted, ToolFinished))
    assert (started, finished, stage.state.tool_calls) == (made, made, made)


async def test_outcomes_have_names() -> None:
    """T-O30: how a call came to its output is one word; success, error and timeout among them."""
    assert {"ok", "failed", "timed_out", "denied", "not_run"} <= set(get_args(Outcome))


FS = ToolPolicy([ToolRule("fs_read", "allow"), ToolRule("fs_*", "deny"), ToolRule("mcp__git__*", "ask")])
NAMES: dict[str, tuple[ToolPolicy, str, ToolAction]] = {
    "T-O23 without a rule": (ToolPolicy(default="hand_back"), "anything", "hand_back"),
    "T-O24 an exact name": (FS, "fs_read", "allow"),
    "T-O24 another": (FS, "read", "tool"),
    "T-O25 a prefix": (FS, "fs_write", "deny"),
    "T-O25 nothing after it": (FS, "fs_", "deny"),
    "T-O26 the first rule wins": (ToolPolicy([ToolRule("*", "deny"), ToolRule("a", "allow")]), "a", "deny"),
    "T-O31 S0-91 a whole MCP server": (FS, "mcp__git__log", "ask"),
    "T-O31 another server": (FS, "mcp__git-2__log", "tool"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_rules_match_names(name: str) -> None:
    """Exact, or by one trailing star; the first that matches."""
    policy, tool, action = NAMES[name]
    assert policy.action_for(tool) == action


async def test_a_rule_has_a_timeout() -> None:
    """T-O27 T-O32: instead of the tool's own; other tools keep theirs."""
    policy = ToolPolicy([ToolRule("slow_tool", "allow", timeout_s=0.01)])
    assert [policy.timeout_for(name) for name in ("slow_tool", "fast_tool", "unknown")] == [0.01, None, None]
    slow = Probe("slow_tool", blocks=True)
    stage = Stage(ScriptedModel(calls(call("a", "slow_tool")), says("ok")), [slow], policy=policy)
    with anyio.fail_after(5):
        await stage.run()
    assert stage.outputs == [("a", "timed out after 0.01 s")]


async def test_the_defaults_of_a_run() -> None:
    """T-O22 T-O32 S0-51: bounded without a word, and by other numbers where they are given."""
    limits = Limits()
    assert (limits.max_turns, limits.max_calls_per_sample, limits.max_repeats, limits.max_failed) == (50, 64, 4, 10)
    assert Limits(max_turns=3, max_calls_per_sample=16, deadline_s=300).max_calls_per_sample == 16
