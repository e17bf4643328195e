"""Random batches of calls, policies, outcomes, pauses and cancels: one output per call, in order, whatever happens.

A run that is paused and answered in any order, in any portions, through a file too, ends like one that was not paused.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.approvals import ApprovalRequest, Decision
from agent_core.codecs import CODECS
from agent_core.codecs.base import Compat
from agent_core.errors import FatalToolError, ToolError
from agent_core.events import Response
from agent_core.items import CallItem, CustomToolCall, CustomToolCallOutput, FunctionCall, FunctionCallOutput
from agent_core.limits import Limits
from agent_core.paused import PendingCall
from agent_core.prompt import Prompt, ToolSpec
from agent_core.session import Session
from agent_core.testing.model import ScriptedModel
from agent_core.testing.validators import check_request
from agent_core.tool_policy import ToolAction, ToolPolicy, ToolRule
from agent_core.tools.base import Tool, ToolCall, ToolOutput
from agent_core.tools.hand_back import HandBack
from agent_core.turn_events import StopReason, TurnEvent
from tests.unit.stage import Probe, Stage, calls, says

LONG = os.environ.get("AGENT_CORE_LONG") == "1"
EXAMPLES = settings(max_examples=1500 if LONG else 60, deadline=None)

NAMES = ("plain", "side", "early", "asks", "theirs", "unknown")
ENDS = ("ok", "fails", "raises", "fatal")
ANSWERS = ("approved", "denied", "deferred yes", "deferred no", "abort")


@dataclass(frozen=True)
class Made:
    """One call of a batch: `key` is its own, its call id need not be."""

    key: str
    call_id: str
    name: str
    end: str
    answer: str
    custom: bool = False
    cut: bool = False

    @property
    def item(self) -> CallItem:
        text = f'{{"key":"{self.key}"}}'
        if self.custom:
            return CustomToolCall(call_id=self.call_id, name=self.name, input=text)
        return FunctionCall(
            call_id=self.call_id, name=self.name, arguments=text, status="incomplete" if self.cut else "completed"
        )


@dataclass(frozen=True)
class Case:
    batches: Sequence[Sequence[Made]]
    rules: Sequence[tuple[str, ToolAction]]
    seed: int

    def made(self, text: str) -> Made:
        return next(made for batch in self.batches for made in batch if f'"{made.key}"' in text)


@st.composite
def cases(draw: st.DrawFn, *, ends: Sequence[str] = ENDS, answers: Sequence[str] = ANSWERS) -> Case:
    def made(key: str) -> Made:
        return Made(
            key,
            draw(st.sampled_from(("a", "b", key, key))),
            draw(st.sampled_from(NAMES)),
            draw(st.sampled_from(ends)),
            draw(st.sampled_from(answers)),
            custom=draw(st.integers(0, 5)) == 0,
            cut=draw(st.integers(0, 9)) == 0,
        )

    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=2))
    batches = [[made(f"k{n}.{m}") for m in range(size)] for n, size in enumerate(sizes)]
    actions: st.SearchStrategy[ToolAction] = st.sampled_from(("allow", "ask", "deny", "hand_back", "tool"))
    rules = draw(st.lists(st.tuples(st.sampled_from((*NAMES, "*", "s*", "un*")), actions), max_size=2))
    return Case(batches, rules, draw(st.integers(0, 2**16)))


class World:
    """Tools that do what each call says, and somebody to ask. Where it does not `pause`, what would be put off is
    decided, and what would be handed back is run."""

    def __init__(self, case: Case, *, pauses: bool, session: Session) -> None:
        self.case, self.pauses = case, pauses
        self.ran: Counter[str] = Counter()
        tools: list[Tool] = [
            Probe("plain", self.behave, parallel=True),
            Probe("side", self.behave),
            Probe("early", self.behave, read_only=True, parallel=True),
            Probe("asks", self.behave, parallel=True, asks=True),
            HandBack(ToolSpec("theirs")),
        ]
        rules = [ToolRule(name, action) for name, action in case.rules]
        policy = ToolPolicy(rules)
        if not pauses:
            handed = [n for n in NAMES if policy.action_for(n) == "hand_back"]
            handed += ["theirs"] if policy.action_for("theirs") not in ("deny", "hand_back") else []
            policy = ToolPolicy([*(ToolRule(name, "allow") for name in handed), *rules])
            ours = {tool.spec.name: tool for tool in tools}
            ours |= {name: Probe(name, self.in_their_place) for name in handed}
            tools = list(ours.values())
        answers: list[Response] = [calls(*(made.item for made in batch)) for batch in case.batches]
        limits = Limits(max_repeats=None, max_failed=None)
        self.stage = Stage(
            ScriptedModel(*answers, says("done")), tools, session, limits,
            approvals=self, policy=policy,
        )  # fmt: skip

    def behave(self, call: ToolCall) -> ToolOutput | BaseException:
        made = self.case.made(call.arguments)
        self.ran[made.key] += 1
        match made.end:
            case "fails":
                return ToolOutput(f"no {made.key}", success=False)
            case "raises":
                return ToolError(f"bad {made.key}")
            case "fatal":
                return FatalToolError(f"over {made.key}")
            case _:
                return ToolOutput(f"did {made.key}")

    def in_their_place(self, call: ToolCall) -> ToolOutput:
        return ToolOutput(f"theirs {self.case.made(call.arguments).key}")

    async def decide(self, request: ApprovalRequest) -> Decision:
        await anyio.lowlevel.checkpoint()
        return self.decision(self.case.made(request.detail or request.key))

    def decision(self, made: Made, *, now: bool = False) -> Decision:
        if made.answer == "abort":
            return Decision("abort")
        if made.answer.startswith("deferred"):
            if self.pauses and not now:
                return Decision("deferred")
            return Decision("approved" if made.answer == "deferred yes" else "denied")
        return Decision("approved" if made.answer == "approved" else "denied")

    def check(self) -> None:
        """One output per call, of its kind and in its order; nothing ran twice; every request is valid."""
        items = self.stage.session.transcript
        made = [(item.type, item.call_id) for item in items if isinstance(item, CallItem)]
        outputs = [item for item in items if isinstance(item, FunctionCallOutput | CustomToolCallOutput)]
        assert [(item.type.removesuffix("_output"), item.call_id) for item in outputs] == made
        assert self.stage.session.open_calls() == ()
        assert all(times == 1 for times in self.ran.values())
        for prompt in self.stage.model.prompts:
            answered = [item for item in prompt.items if isinstance(item, FunctionCallOutput | CustomToolCallOutput)]
            assert len(answered) == sum(isinstance(item, CallItem) for item in prompt.items)
            body = CODECS["chat"].encode_request(Prompt(prompt.items, model="m", mend_items=True), Compat()).body
            assert check_request("chat", body) == []


def answer_to(world: World, one: PendingCall) -> tuple[dict[str, str], dict[str, Decision | bool]]:
    made = world.case.made(one.call.arguments)
    if one.why == "handed_back":
        return {one.id: f"theirs {made.key}"}, {}
    return {}, {one.id: world.decision(made, now=True)}


async def to_its_end(world: World, path: Path) -> StopReason:
    """Answer what waits, some of it at a time, in any order; now and then in another process."""
    chance = Random(world.case.seed)
    stop = await world.stage.run()
    while stop == "paused":
        waiting = list(world.stage.state.pending)
        chance.shuffle(waiting)
        outputs: dict[str, str] = {}
        decisions: dict[str, Decision | bool] = {}
        for one in waiting[: chance.randint(1, len(waiting))]:
            output, decision = answer_to(world, one)
            outputs.update(output)
            decisions.update(decision)
        if chance.random() < 0.5:
            world.stage.session.close()
            world.stage.session = Session.resume(path)
        stop = await world.stage.resume(outputs, decisions)
    return stop


@given(cases(ends=ENDS[:3], answers=ANSWERS[:4]))
@EXAMPLES
def test_a_paused_run_ends_like_one_that_was_not(case: Case) -> None:
    """The same outputs at the same places, the same tools run as often, the same end."""

    async def both() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "s.jsonl")
            paused = World(case, pauses=True, session=Session.create(path))
            stop = await to_its_end(paused, path)
            paused.check()
            paused.stage.session.close()
        straight = World(case, pauses=False, session=Session())
        assert await straight.stage.run() == stop
        straight.check()
        assert (paused.stage.outputs, paused.ran) == (straight.stage.outputs, straight.ran)

    anyio.run(both)


@given(cases(), st.integers(1, 40))
@EXAMPLES
def test_cancelled_anywhere_every_call_has_one_output(case: Case, at: int) -> None:
    """At any event, while it runs, is asked, or is answered later."""

    async def cancelled() -> None:
        world = World(case, pauses=True, session=Session())
        with anyio.CancelScope() as scope:

            def count(event: TurnEvent) -> None:
                if len(world.stage.seen) == at:
                    scope.cancel()

            world.stage.on_event = count
            with suppress(FatalToolError):
                stop = await world.stage.run()
                while stop == "paused":
                    stop = await world.stage.resume(*answer_to(world, world.stage.state.pending[0]))
        world.check()

    anyio.run(cancelled)
