"""The spans of a run: what is below what, on both event loops; what is on them, and what is not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from agent_core import (
    Agent,
    Limits,
    ModelClient,
    Prompt,
    RetryPolicy,
    SamplingSettings,
    Session,
    SubAgent,
    ToolOutput,
    tool,
)
from agent_core.errors import AgentCoreError, RateLimitError
from agent_core.items import WireName
from agent_core.prices import Price, PriceTable
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.tools.base import Tool

from .recorded import Recorded

pytestmark = pytest.mark.anyio

WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")
QUICK = RetryPolicy(base_delay_s=0.01, jitter_s=0.0, retry_after_cap_s=0.5)


@tool(parallel=True)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADDING = (
    Step(calls=(Call("add", {"a": 2, "b": 3}, "call_1"), Call("add", {"a": 4, "b": 5}, "call_2"))),
    Step(text="14."),
)


@asynccontextmanager
async def agent_at(
    *steps: Step, recorded: Recorded, tools: tuple[Tool | Callable[..., object], ...] = (add,), **options: object
) -> AsyncGenerator[Agent]:
    with RehearsalServer(steps, pace_s=0) as server:
        yield Agent(
            "rehearsal/m",
            provider=server.provider,
            tools=tools,
            name="adder",
            telemetry=recorded.telemetry,
            retry=QUICK,
            **options,  # type: ignore[arg-type]
        )


async def run(agent: Agent, *, streamed: bool) -> str:
    if not streamed:
        return (await agent.run("go")).stop_reason
    async with agent.stream("go") as turn:
        async for _ in turn:
            pass
    return turn.result.stop_reason


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "run"])
async def test_a_turn_is_a_tree(streamed: bool) -> None:
    """Answers and tools are below the turn, parallel tools beside one another, and a span of the caller's is above."""
    recorded = Recorded()
    with recorded.tracers.get_tracer("caller").start_as_current_span("caller"):
        async with agent_at(*ADDING, recorded=recorded) as agent:
            assert await run(agent, streamed=streamed) == "completed"
    assert recorded.tree == [
        "caller", "  invoke_agent adder", "    chat m", "    execute_tool add", "    execute_tool add", "    chat m",
    ]  # fmt: skip


async def test_what_a_reader_does_between_events_is_not_below() -> None:
    """A reader's own spans are the caller's children, never a call's or a turn's; nothing stays current after it."""
    recorded = Recorded()
    tracer = recorded.tracers.get_tracer("reader")
    with RehearsalServer(ADDING, pace_s=0) as server:
        agent = Agent("rehearsal/m", provider=server.provider, tools=[add], telemetry=recorded.telemetry)
        async with agent.stream("go") as turn:
            async for _ in turn:
                tracer.start_span("reader").end()
        client = ModelClient("rehearsal/m", provider=server.provider, telemetry=recorded.telemetry)
        async with client, client.stream(Prompt("go")) as events:
            async for _ in events:
                tracer.start_span("reader").end()
        assert not get_current_span().get_span_context().is_valid
    readers = [span for span in recorded.spans if span.name == "reader"]
    assert readers and all(span.parent is None for span in readers)


async def test_what_a_tool_does_is_below_it() -> None:
    """Also in the thread a plain function runs in."""
    recorded = Recorded()
    tracer = recorded.tracers.get_tracer("tool")

    @tool
    def in_a_thread() -> str:
        """Work."""
        with tracer.start_as_current_span("inner"):
            return "done"

    @tool
    async def in_the_loop() -> str:
        """Work."""
        with tracer.start_as_current_span("inner"):
            await anyio.lowlevel.checkpoint()
            return "done"

    steps = Step(calls=(Call("in_a_thread", {}), Call("in_the_loop", {}))), Step(text="x")
    async with agent_at(*steps, recorded=recorded, tools=(in_a_thread, in_the_loop)) as agent:
        await run(agent, streamed=True)
    assert recorded.tree == [
        "invoke_agent adder", "  chat m", "  execute_tool in_a_thread", "    inner", "  execute_tool in_the_loop",
        "    inner", "  chat m",
    ]  # fmt: skip


async def test_a_sub_agent_is_below_its_call() -> None:
    """A turn of its own, inside the tool's span."""
    recorded = Recorded()
    with RehearsalServer((Step(text="x"),), pace_s=0) as server:

        def helper(session: Session) -> Agent:
            provider, telemetry = server.provider, recorded.telemetry
            return Agent("rehearsal/m", provider=provider, session=session, telemetry=telemetry, name="helper")

        steps = Step(calls=(Call("helper", {"task": "look"}),)), Step(text="x")
        async with agent_at(*steps, recorded=recorded, tools=(SubAgent(helper, description="Helps."),)) as agent:
            await run(agent, streamed=True)
    assert recorded.tree == [
        "invoke_agent adder", "  chat m", "  execute_tool helper", "    invoke_agent helper", "      chat m",
        "  chat m",
    ]  # fmt: skip


async def test_turns_at_once_do_not_mix() -> None:
    """Each has its own tree."""
    recorded = Recorded()
    async with (
        agent_at(*ADDING, recorded=recorded) as first,
        agent_at(*ADDING, recorded=recorded) as second,
        anyio.create_task_group() as tasks,
    ):
        for agent in (first, second):
            tasks.start_soon(agent.run, "go")
    roots = [span for span in recorded.spans if span.parent is None]
    assert [span.name for span in roots] == ["invoke_agent adder"] * 2
    below = [
        sum(span.parent is not None and span.parent.span_id == _id(root) for span in recorded.spans) for root in roots
    ]
    assert below == [4, 4]


def _id(span: ReadableSpan) -> int:
    assert span.context is not None
    number: int = span.context.span_id
    return number


@pytest.mark.parametrize("wire", WIRES)
async def test_what_a_call_says(wire: WireName) -> None:
    """The names of the conventions, and numbers that add up, on every wire."""
    recorded = Recorded()
    with RehearsalServer([Step(text="Hello.")], pace_s=0) as server:
        port = int(server.base_url.rpartition(":")[2].partition("/")[0])
        async with ModelClient(
            "rehearsal/m", provider=server.provider, wire=wire, telemetry=recorded.telemetry
        ) as client:
            settings = SamplingSettings(temperature=0.5, top_p=0.9, seed=7 if wire == "chat" else None)
            async with client.stream(Prompt("Say hello", sampling=settings, max_output_tokens=99)) as events:
                assert [event async for event in events]
    span = recorded.named("chat")
    found = dict(span.attributes or {})
    assert 0 < float(str(found.pop("gen_ai.response.time_to_first_chunk"))) < 5
    assert span.kind is SpanKind.CLIENT and span.status.status_code is StatusCode.UNSET
    assert (
        found.pop("gen_ai.response.id")
        and found.pop("gen_ai.usage.input_tokens", 0)
        and found.pop("gen_ai.usage.output_tokens")
    )
    found.pop("agent_core.request.id", None)
    assert found == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "rehearsal", "gen_ai.request.model": "m",
        "gen_ai.request.stream": True, "gen_ai.request.max_tokens": 99, "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9, **({"gen_ai.request.seed": 7} if wire == "chat" else {}),
        "gen_ai.response.model": "m", "gen_ai.response.finish_reasons": ("stop",),
        "server.address": "127.0.0.1", "server.port": port, "agent_core.wire": wire,
    }  # fmt: skip


async def test_what_a_turn_says() -> None:
    """Who ran, in which conversation, how it ended, what it used and cost."""
    recorded = Recorded()
    prices = PriceTable({"rehearsal/m": Price(1, 1)})
    async with agent_at(*ADDING, recorded=recorded, prices=prices) as agent:
        result = await agent.run("go")
    span = recorded.named("invoke_agent")
    found = dict(span.attributes or {})
    assert str(found.pop("agent_core.turn.id")).startswith("turn_")
    assert result.cost is not None and found.pop("agent_core.cost.amount") == pytest.approx(float(result.cost.amount))
    assert found == {
        "gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "rehearsal", "gen_ai.request.model": "m",
        "gen_ai.agent.name": "adder", "gen_ai.conversation.id": agent.session.id,
        "gen_ai.usage.input_tokens": result.usage.input_total, "gen_ai.usage.output_tokens": result.usage.output_total,
        "agent_core.stop_reason": "completed", "agent_core.samples": 2, "agent_core.tool_calls": 2,
        "agent_core.cost.currency": "USD",
    }  # fmt: skip
    chats = [span for span in recorded.spans if span.name == "chat m"]
    assert [(span.attributes or {}).get("gen_ai.conversation.id") for span in chats] == [agent.session.id] * 2


@tool
def failing() -> ToolOutput:
    """Fail."""
    return ToolOutput("no such row", success=False)


@tool(timeout_s=0.01)
async def slow() -> str:
    """Take long."""
    await anyio.sleep_forever()
    raise AssertionError


TOOLS: dict[str, tuple[Tool, str, str | None]] = {
    "good": (add, "ok", None),
    "failed": (failing, "failed", "failed"),
    "late": (slow, "timed_out", "timed_out"),
}  # fmt: skip


@pytest.mark.parametrize("name", TOOLS)
async def test_what_a_tool_says(name: str) -> None:
    """Its name, its call, and what came of it; a failure is an error of the tool, not of the turn."""
    used, outcome, error = TOOLS[name]
    recorded = Recorded()
    arguments = {"a": 1, "b": 2} if used is add else {}
    async with agent_at(
        Step(calls=(Call(used.spec.name, arguments, "call_1"),)), Step(text="x"), recorded=recorded, tools=(used,)
    ) as agent:
        await agent.run("go")
    span = recorded.named("execute_tool")
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": used.spec.name, "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call_1", "gen_ai.agent.name": "adder", "agent_core.tool.outcome": outcome,
        **({"error.type": error} if error else {}),
    }  # fmt: skip
    assert span.kind is SpanKind.INTERNAL
    assert (span.status.status_code is StatusCode.ERROR) == bool(error)
    assert recorded.named("invoke_agent").status.status_code is StatusCode.UNSET


async def test_a_tool_that_did_not_run_has_no_span() -> None:
    """Denied, unknown: nothing was executed."""
    recorded = Recorded()
    calls = Step(calls=(Call("nothing_of_that_name", {}),)), Step(text="x")
    async with agent_at(*calls, recorded=recorded) as agent:
        await agent.run("go")
    assert not [span for span in recorded.spans if span.name.startswith("execute_tool")]


BUMPY = Step(text="x", failures=(Step(status=529), Step(text="Half an answer", cut_after_events=4)))


async def test_retries_and_restarts_are_events() -> None:
    """What failed before anything was shown is on the call; a stream that broke is on the turn, and has failed."""
    recorded = Recorded()
    async with agent_at(BUMPY, recorded=recorded) as agent:
        await run(agent, streamed=True)
    broken, good = (span for span in recorded.spans if span.name == "chat m")
    (retry,) = broken.events
    (restart,) = recorded.named("invoke_agent").events
    assert (retry.name, dict(retry.attributes or {})) == ("agent_core.retry", {
        "agent_core.retry.attempt": 1, "agent_core.retry.reason": "overloaded", "agent_core.retry.delay_s": 0.01,
        "agent_core.retry.will_retry": True,
    })  # fmt: skip
    assert (restart.name, (restart.attributes or {})["agent_core.retry.reason"]) == (
        "agent_core.restart",
        "stream_interrupted",
    )
    assert ((broken.attributes or {})["error.type"], broken.status.status_code) == (
        "stream_interrupted",
        StatusCode.ERROR,
    )
    assert (good.status.status_code, recorded.named("invoke_agent").status.status_code) == (StatusCode.UNSET,) * 2


async def test_an_error_is_on_every_span_it_went_through() -> None:
    """By its stable word and its status; without its message, which may quote what was said."""
    recorded = Recorded()
    async with agent_at(Step(status=429), recorded=recorded, tools=()) as agent:
        with pytest.raises(RateLimitError):
            await run(agent, streamed=True)
    chat, turn = recorded.named("chat"), recorded.named("invoke_agent")
    assert [(span.attributes or {})["error.type"] for span in (chat, turn)] == ["rate_limited"] * 2
    assert {(span.status.status_code, span.status.description) for span in (chat, turn)} == {(StatusCode.ERROR, None)}
    assert (chat.attributes or {})["http.response.status_code"] == 429
    assert (turn.attributes or {})["agent_core.stop_reason"] == "error"
    assert len(chat.events) == QUICK.max_attempts


ENDS: dict[str, tuple[str, Callable[[Agent], object]]] = {
    "cancel": ("cancelled", lambda agent: None),
    "left": ("cancelled", lambda agent: None),
    "deadline": ("deadline", lambda agent: setattr(agent, "limits", Limits(deadline_s=0.25))),
    "limit": ("max_turns", lambda agent: setattr(agent, "limits", Limits(max_turns=1))),
}  # fmt: skip


@pytest.mark.parametrize("how", ENDS)
async def test_being_stopped_is_no_error(how: str) -> None:
    """Cancelled, left, out of time or over a limit: every span ends, and none is an error."""
    reason, prepare = ENDS[how]
    recorded = Recorded()

    @tool
    async def endless() -> str:
        """Wait."""
        if how != "limit":
            await anyio.sleep_forever()
        return "x"

    calls = Step(calls=(Call("endless", {}),)), Step(text="x")
    async with agent_at(*calls, recorded=recorded, tools=(endless,)) as agent:
        prepare(agent)
        async with agent.stream("go") as turn:
            async for event in turn:
                if type(event).__name__ == "ToolStarted" and how in ("cancel", "left"):
                    if how == "left":
                        break
                    turn.cancel()
    assert recorded.tree == ["invoke_agent adder", "  chat m", "  execute_tool endless"]
    assert {span.status.status_code for span in recorded.spans} == {StatusCode.UNSET}
    assert (recorded.named("invoke_agent").attributes or {})["agent_core.stop_reason"] == reason


async def test_a_stream_left_early_is_no_error() -> None:
    """A reader may have enough; so may whoever raises in its own block."""
    recorded = Recorded()
    with RehearsalServer([Step(text="A long answer. " * 50)], pace_s=0) as server:
        async with ModelClient("rehearsal/m", provider=server.provider, telemetry=recorded.telemetry) as client:
            async with client.stream(Prompt("x")) as events:
                await anext(events)
            with pytest.raises(ZeroDivisionError):
                async with client.stream(Prompt("x")) as events:
                    raise ZeroDivisionError
    assert {span.status.status_code for span in recorded.spans} == {StatusCode.UNSET} and len(recorded.spans) == 2


async def test_a_compaction_is_a_span_with_its_requests_below() -> None:
    """And what comes after it says that its history is a summary's."""
    recorded = Recorded()
    async with agent_at(Step(text="one"), Step(text="two"), recorded=recorded, tools=()) as agent:
        await agent.run("first")
        finished = await agent.compact()
        await agent.run("second")
    assert recorded.tree == ["invoke_agent adder", "  chat m", "compact", "  chat m", "invoke_agent adder", "  chat m"]
    assert dict(recorded.named("compact").attributes or {}) == {
        "gen_ai.operation.name": "compact", "gen_ai.conversation.id": agent.session.id,
        "agent_core.compaction.reason": "asked", "agent_core.compaction.kind": "local",
        "agent_core.compaction.tokens_before": finished.tokens_before,
        "agent_core.compaction.tokens_after": finished.tokens_after,
        "agent_core.compaction.replaced": finished.replaced,
    }  # fmt: skip
    compacted = [
        (span.attributes or {}).get("gen_ai.conversation.compacted") for span in recorded.spans if span.name == "chat m"
    ]
    assert compacted == [None, None, True]


async def test_a_call_that_could_not_be_sent_has_failed_too() -> None:
    """No key: an error of the caller's, by its class, and no request."""
    recorded = Recorded()
    client = ModelClient("openai/m", telemetry=recorded.telemetry, api_key=lambda: "")
    with pytest.raises(AgentCoreError) as caught:
        async with client:
            await client.complete("x")
    span = recorded.named("chat")
    assert (span.attributes or {})["error.type"] == type(caught.value).__name__
    assert span.status.status_code is StatusCode.ERROR


async def test_an_error_that_is_nobody_s_is_told_by_its_class() -> None:
    """A bug in a caller's own part."""
    recorded = Recorded()
    async with agent_at(Step(text="x"), recorded=recorded, limits=Limits(max_cost=1)) as agent:
        with pytest.raises(AgentCoreError):
            await agent.run("go")
    assert (recorded.named("invoke_agent").attributes or {})["error.type"] == "ConfigError"
