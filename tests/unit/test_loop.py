"""The loop: sample, act, repeat; and what it leaves behind when it is stopped."""

from __future__ import annotations

from typing import cast

import anyio
import pytest

from agent_core.approvals import ApprovalRequest, AskPolicy, Decision, allow_all
from agent_core.errors import (
    FatalToolError,
    InvalidRequestError,
    ModelError,
    RateLimitError,
    StreamInterrupted,
    ToolError,
)
from agent_core.events import Completed, Created, OutputItemAdded, OutputItemDone, Response
from agent_core.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    LocalShellAction,
    LocalShellCall,
    assistant_message,
    user_message,
)
from agent_core.limits import Limits
from agent_core.retry import RetryPolicy, RetryScheduled
from agent_core.session import Session
from agent_core.testing.model import ScriptedEvent, ScriptedModel
from agent_core.tools.base import ToolOutput
from agent_core.turn_events import (
    ApprovalDecided,
    SampleRestarted,
    StopReason,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    TurnEvent,
)

from .stage import Probe, Stage, call, calls, says

pytestmark = pytest.mark.anyio


async def test_sample_act_sample_again() -> None:
    """The history grows by response, outputs, response; the second request holds all of it."""
    stage = Stage(ScriptedModel(calls(call("a"), call("b")), says("done")), [Probe()])
    assert await stage.run() == "completed"
    assert [item.type for item in stage.session.items] == [
        "message", "function_call", "function_call", "function_call_output", "function_call_output", "message",
    ]  # fmt: skip
    assert stage.outputs == [("a", "did {}"), ("b", "did {}")]
    assert stage.model.prompts[1].items == stage.session.items[:5]
    result = stage.state.result("completed", stage.session.items)
    assert (result.text, result.usage.total, result.samples, result.tool_calls) == ("done", 22, 2, 2)


async def test_calls_of_every_kind_are_answered_in_kind() -> None:
    """Function, custom and local shell calls, each with the output type that fits."""
    shell = LocalShellCall(call_id="l", action=LocalShellAction(command=("ls",), timeout_ms=9))
    items = (call("f"), CustomToolCall(call_id="c", name="probe", input="text"), shell)
    stage = Stage(ScriptedModel(calls(*items), says("x")), [Probe(), Probe("shell")])
    await stage.run()
    stage.assert_every_call_is_answered_once()
    assert stage.outputs == [("f", "did {}"), ("c", "did text"), ("l", 'did {"command": ["ls"], "timeout_ms": 9}')]
    assert isinstance(stage.session.items[5], CustomToolCallOutput)


TROUBLE: dict[str, tuple[FunctionCall, Probe, str, str]] = {
    "unknown tool": (call("a", "nope"), Probe(), "unsupported call: 'nope'; the tools are: probe, other", "failed"),
    "cut off": (
        call("a", status="incomplete"), Probe(),
        "not run: the call was cut off before its arguments were complete; send it again", "not_run",
    ),
    "denied": (
        call("a"), Probe(asks=True), "denied: this run does not allow actions that need approval", "denied",
    ),
    "tool error": (call("a"), Probe(behave=lambda c: ToolError("no such row")), "no such row", "failed"),
    "a bug in the tool": (
        call("a"), Probe(behave=lambda c: KeyError("x")), "the tool failed: KeyError: 'x'", "failed",
    ),
    "too slow": (call("a"), Probe(timeout_s=0, blocks=True), "timed out after 0 s", "timed_out"),
    "failed output": (call("a"), Probe(behave=lambda c: ToolOutput("bad", success=False)), "bad", "failed"),
}  # fmt: skip


@pytest.mark.parametrize("name", TROUBLE)
async def test_whatever_happens_the_model_is_told(name: str) -> None:
    """One output per call, marked as a failure, and the turn goes on."""
    item, probe, text, outcome = TROUBLE[name]
    good = call("z", "other")
    stage = Stage(ScriptedModel(calls(item, good), says("ok")), [probe, Probe("other")])
    assert await stage.run() == "completed"
    assert stage.outputs == [("a", text), ("z", "did {}")]
    finished = [event for event in stage.seen if isinstance(event, ToolFinished)]
    assert [event.outcome for event in finished] == [outcome, "ok"]
    output = stage.session.items[3]
    assert isinstance(output, FunctionCallOutput)
    assert output.success is False


async def test_calls_over_the_cap_are_answered_too() -> None:
    """X-S0-13: ten calls, a cap of eight, one tool raising: ten outputs."""
    probe = Probe(behave=lambda c: ToolError("no") if c.call_id == "c3" else ToolOutput("y"))
    stage = Stage(ScriptedModel(calls(*(call(f"c{n}") for n in range(10))), says("ok")), [probe])
    await stage.run()
    stage.assert_every_call_is_answered_once()
    assert [text for _, text in stage.outputs][3] == "no"
    assert stage.outputs[8:] == [(f"c{n}", "not run: more than 8 calls in one response") for n in (8, 9)]


async def test_parallel_tools_overlap_and_others_run_alone() -> None:
    """Two parallel calls meet at a barrier; the exclusive one between groups is alone; outputs are in call order."""
    both, alone = Probe("both", parallel=True, read_only=True, barrier=2), Probe("alone")
    items = (call("a", "both"), call("b", "both"), call("c", "alone"), call("d", "both"), call("e", "both"))
    stage = Stage(ScriptedModel(calls(*items), says("ok")), [both, alone])
    await stage.run()
    stage.assert_every_call_is_answered_once()
    order = [event.call.call_id for event in stage.seen if isinstance(event, ToolStarted | ToolFinished)]
    assert order.index("c") > max(order.index("a"), order.index("b"))
    assert order[order.index("c") + 1] == "c"


async def test_a_read_only_tool_starts_while_the_response_streams() -> None:
    """It is running before Completed comes, and it runs once."""
    probe = Probe(read_only=True, parallel=True)
    item = call("a")
    started = anyio.Event()
    events: list[ScriptedEvent] = [
        Created(), OutputItemAdded(0, item), OutputItemDone(0, item), started,
        Completed(finish_reason="tool_calls"),
    ]  # fmt: skip
    stage = Stage(ScriptedModel(events, says("ok")), [probe])
    stage.on_event = lambda event: started.set() if isinstance(event, ToolStarted) else None
    await stage.run()
    assert (probe.runs, stage.outputs) == (["a"], [("a", "did {}")])


async def test_a_tool_with_side_effects_waits_for_the_whole_response() -> None:
    """A stream that breaks after a call was done runs nothing and keeps nothing (X-S1-20)."""
    probe, item = Probe(), call("a")
    broken: list[ScriptedEvent] = [OutputItemAdded(0, item), OutputItemDone(0, item), StreamInterrupted("cut")]
    stage = Stage(ScriptedModel(broken, says("ok")), [probe])
    assert await stage.run() == "completed"
    assert (probe.runs, stage.outputs) == ([], [])
    assert [type(event) for event in stage.seen if isinstance(event, SampleRestarted)] == [SampleRestarted]


@pytest.mark.parametrize(
    ("error", "requests"),
    [(InvalidRequestError("bad", status=400), 1), (RateLimitError("slow down", status=429), 1)],
    ids=["never retried", "the client has retried it"],
)
async def test_errors_at_opening_end_the_turn(error: ModelError, requests: int) -> None:
    """The loop repeats only broken streams; the session stays valid and the next turn works."""
    stage = Stage(ScriptedModel(error, says("ok")))
    with pytest.raises(type(error)):
        await stage.run()
    assert len(stage.model.prompts) == requests
    assert await stage.run("again") == "completed"


async def test_a_stream_that_keeps_breaking_is_given_up() -> None:
    """After max_restarts the error is the caller's, and each break has been told, the last as given up."""
    broken: list[ScriptedEvent] = [OutputItemAdded(0, assistant_message("")), StreamInterrupted("cut")]
    retry = RetryPolicy(max_restarts=2, base_delay_s=0.0, jitter_s=0.0)
    stage = Stage(ScriptedModel(broken, broken, broken), retry=retry)
    with pytest.raises(StreamInterrupted):
        await stage.run()
    assert len(stage.model.prompts) == 3
    told = [event for event in stage.seen if isinstance(event, RetryScheduled)]
    assert [(one.stage, one.attempt, one.max_attempts, one.reason, one.will_retry, one.gave_up) for one in told] == [
        ("stream", 1, 3, "stream_interrupted", True, None),
        ("stream", 2, 3, "stream_interrupted", True, None),
        ("stream", 3, 3, "stream_interrupted", False, "attempts"),
    ]


LIMITS: dict[str, tuple[Limits, StopReason, int]] = {
    "max_turns": (Limits(max_turns=2), "max_turns", 2),
    "max_tool_calls": (Limits(max_tool_calls=3), "max_tool_calls", 3),
    "max_tokens": (Limits(max_tokens=40), "max_tokens", 4),
}


@pytest.mark.parametrize("name", LIMITS)
async def test_limits_end_the_turn_with_every_call_answered(name: str) -> None:
    """An honest stop reason, checked before the next request."""
    limits, reason, samples = LIMITS[name]
    stage = Stage(ScriptedModel(*(calls(call(f"c{n}")) for n in range(9))), [Probe()], limits=limits)
    assert await stage.run() == reason
    assert stage.state.samples == samples
    stage.assert_every_call_is_answered_once()


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_deadline_stops_a_running_tool(read_only: bool) -> None:
    """It holds at every await, and leaves no call open."""
    probe = Probe(blocks=True, read_only=read_only, parallel=read_only)
    stage = Stage(ScriptedModel(calls(call("a"), call("b"))), [probe], limits=Limits(deadline_s=0.05))
    assert await stage.run() == "deadline"
    stage.assert_every_call_is_answered_once()


async def test_cancel_at_every_event_leaves_a_valid_session() -> None:
    """Cancelled at the n-th event, for every n: calls answered, the next turn accepted."""
    n = 0
    while True:
        n += 1
        stage = Stage(ScriptedModel(calls(call("a"), call("b")), says("done"), says("again"), says("again")), [Probe()])
        with anyio.CancelScope() as scope:

            def stop_at(event: TurnEvent, stage: Stage = stage, scope: anyio.CancelScope = scope, at: int = n) -> None:
                if len(stage.seen) == at:
                    scope.cancel()

            stage.on_event = stop_at
            await stage.run()
            await anyio.lowlevel.checkpoint()
        stage.assert_every_call_is_answered_once()
        if not scope.cancelled_caught:
            break
        stage.on_event = lambda event: None
        await stage.run("next")
        stage.assert_every_call_is_answered_once()
    assert n > 15


async def test_cancel_tells_what_the_tool_was_doing() -> None:
    """A running tool is aborted, one that never started is not run."""
    stage = Stage(ScriptedModel(calls(call("a"), call("b"))), [Probe(blocks=True)])
    with anyio.CancelScope() as scope:
        stage.on_event = lambda event: scope.cancel() if isinstance(event, ToolProgress) else None
        await stage.run()
    (first, second) = stage.outputs
    assert first[1].startswith("aborted by the user after")
    assert second == ("b", "not run: the turn was stopped")


async def test_an_abort_ends_the_turn() -> None:
    """The denied call says so, the rest are not run, nothing is sampled again."""
    policy = AskPolicy(lambda request: Decision("abort", "stop here"))
    stage = Stage(ScriptedModel(calls(call("a"), call("b"))), [Probe(asks=True)], approvals=policy)
    assert await stage.run() == "aborted"
    assert stage.outputs == [("a", "denied: stop here"), ("b", "not run: the turn was stopped by the user")]


async def test_approvals_are_asked_in_call_order_and_remembered() -> None:
    """Approved for the session: the same action is not asked twice."""
    asked: list[str] = []

    def ask(request: ApprovalRequest) -> Decision:
        asked.append(request.call_id)
        return Decision("approved_for_session")

    probe = Probe(asks=True, parallel=True)
    items = (call("a", arguments="1"), call("b", arguments="2"), call("c", arguments="1"))
    stage = Stage(ScriptedModel(calls(*items), says("ok")), [probe], approvals=AskPolicy(ask))
    await stage.run()
    assert (asked, sorted(probe.runs)) == (["a", "b"], ["a", "b", "c"])
    assert [e.decision.approved for e in stage.seen if isinstance(e, ApprovalDecided)] == [True, True, True]


async def test_a_policy_that_fails_says_no() -> None:
    """Its error denies the action and ends the turn."""

    def broken(request: ApprovalRequest) -> bool:
        raise RuntimeError("lost the terminal")

    stage = Stage(ScriptedModel(calls(call("a"))), [Probe(asks=True)], approvals=AskPolicy(broken))
    assert await stage.run() == "aborted"
    assert stage.outputs == [("a", "denied: the approval policy failed: RuntimeError: lost the terminal")]


@pytest.mark.parametrize("parallel", [True, False])
async def test_a_fatal_tool_error_ends_the_turn_alone(parallel: bool) -> None:
    """It is raised as itself, not in a group, and its call is answered."""
    probe = Probe(behave=lambda c: FatalToolError("disk gone"), parallel=parallel, read_only=False)
    stage = Stage(ScriptedModel(calls(call("a"), call("b"))), [probe])
    with pytest.raises(FatalToolError, match="disk gone"):
        await stage.run()
    stage.assert_every_call_is_answered_once()


@pytest.mark.parametrize("parallel", [True, False])
async def test_no_exception_of_a_tool_leaves_in_a_group(parallel: bool) -> None:
    """KeyboardInterrupt and its like end the turn as themselves, and the calls are answered."""

    class Ours(BaseException):
        pass

    probe = Probe(behave=lambda c: Ours("stop"), parallel=parallel)
    stage = Stage(ScriptedModel(calls(call("a"), call("b"))), [probe])
    with pytest.raises(Ours):
        await stage.run()
    assert stage.outputs[0] == ("a", "the tool failed: Ours: stop")
    stage.assert_every_call_is_answered_once()


async def test_an_id_used_twice_is_no_way_around_an_approval() -> None:
    """A read-only call that was started early shares its id with calls that need a yes: those are asked about."""
    look, danger = Probe("look", read_only=True, parallel=True), Probe("danger", parallel=True, asks=True)
    items = (call("x", "danger"), call("x", "danger", "{ }"), call("x", "look"))
    stage = Stage(ScriptedModel(calls(*items), says("ok")), [look, danger])
    await stage.run()
    denied = "denied: this run does not allow actions that need approval"
    assert stage.outputs == [("x", denied), ("x", denied), ("x", "did {}")]
    assert (danger.runs, look.runs) == ([], ["x"])


@pytest.mark.parametrize("answer", [True, None, "yes"])
async def test_a_policy_that_answers_nonsense_says_no(answer: object) -> None:
    """Only a Decision is one: a policy of the caller's that returns something else denies and ends the turn."""

    class Nonsense:
        async def decide(self, request: ApprovalRequest) -> Decision:
            return cast("Decision", answer)

    probe = Probe(asks=True)
    stage = Stage(ScriptedModel(calls(call("a"))), [probe], approvals=Nonsense())
    assert await stage.run() == "aborted"
    told = f"denied: the approval policy failed: TypeError: decide() returned {answer!r}, not a Decision"
    assert (stage.outputs, probe.runs) == ([("a", told)], [])


async def test_open_calls_are_answered_before_anything_else() -> None:
    """After a crash: one that was started is not run again, one that was not is run."""
    session = Session(items=[user_message("old"), call("a"), call("b")])
    session.tool_started(call("a"))
    probe = Probe()
    stage = Stage(ScriptedModel(says("ok")), [probe], session)
    await stage.run("new")
    assert probe.runs == ["b"]
    assert stage.outputs[0][1].startswith("outcome unknown")
    assert [item.type for item in session.items][-3:] == ["function_call_output", "message", "message"]


async def test_calls_of_an_earlier_process_are_answered_in_their_order() -> None:
    """Whether their tool had been started or not: outputs stand as calls do."""
    session = Session(items=[user_message("old"), call("a"), call("b")])
    session.tool_started(call("b"))
    stage = Stage(ScriptedModel(says("ok")), [Probe()], session)
    await stage.run()
    assert [(call_id, text[:7]) for call_id, text in stage.outputs] == [("a", "did {}"), ("b", "outcome")]


async def test_steering_joins_at_the_next_boundary() -> None:
    """What the user says meanwhile is in the next request; it also keeps a finished turn going."""
    stage = Stage(ScriptedModel(says("one"), says("two")))
    stage.steered = [user_message("and also this")]
    assert await stage.run() == "completed"
    assert stage.model.prompts[1].items[-1] == stage.session.items[2]


ENDS: dict[str, tuple[Response, StopReason]] = {
    "length": (Response(items=(assistant_message("cut"),), finish_reason="length", status="incomplete"), "length"),
    "length with a cut call": (Response(items=(call("a", status="incomplete"),), finish_reason="length"), "length"),
    "filter": (Response(finish_reason="content_filter", status="incomplete"), "content_filter"),
    "refusal": (Response(finish_reason="refusal"), "refusal"),
}


@pytest.mark.parametrize("name", ENDS)
async def test_stop_reasons_are_honest(name: str) -> None:
    """A cut or refused answer is not called completed; a cut call is answered and never run."""
    response, reason = ENDS[name]
    probe = Probe()
    stage = Stage(ScriptedModel(response), [probe])
    assert await stage.run() == reason
    assert probe.runs == []
    stage.assert_every_call_is_answered_once()


CUT = Response(items=(call("a", status="incomplete"),), finish_reason="tool_calls")
CUT_AGAIN = Response(items=(call("b", status="incomplete"),), finish_reason="tool_calls")


@pytest.mark.parametrize(
    ("then", "reason"), [(says("mended"), "completed"), (CUT_AGAIN, "length")], ids=["mends", "not"]
)
async def test_a_cut_call_without_a_cap_may_be_sent_again_once(then: Response, reason: StopReason) -> None:
    """vllm#53269: called whole and cut, by a hidden cap or by the model's own slip: told once, and not for ever."""
    probe = Probe()
    stage = Stage(ScriptedModel(CUT, then), [probe])
    assert await stage.run() == reason
    assert (probe.runs, len(stage.model.prompts)) == ([], 2)
    stage.assert_every_call_is_answered_once()


@pytest.mark.parametrize(
    "response", [Response(finish_reason="pause"), Response(finish_reason="stop", end_turn=False)], ids=["pause", "end"]
)
async def test_a_pause_is_sampled_on(response: Response) -> None:
    """The provider asked to be called again with the same history."""
    stage = Stage(ScriptedModel(response, says("done")), approvals=allow_all)
    assert await stage.run() == "completed"
    assert len(stage.model.prompts) == 2
