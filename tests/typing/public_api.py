"""The types a user sees, held by the type checkers: this file is checked, not run."""

from __future__ import annotations

from decimal import Decimal
from typing import assert_type

from agent_core import (
    Agent,
    ApprovalRequest,
    ApprovalRules,
    Circuit,
    Decision,
    Fallback,
    FallbackPolicy,
    HandBack,
    ModelClient,
    PendingCall,
    Prompt,
    RateLimiter,
    Response,
    Session,
    SubAgent,
    ToolContext,
    ToolOutput,
    ToolPolicy,
    ToolRule,
    ToolSpec,
    Turn,
    TurnResult,
    Usage,
    ask,
    fold,
    tool,
)
from agent_core.approvals import Rule
from agent_core.errors import ModelError
from agent_core.events import ResponseEvent
from agent_core.fallback import FellBack
from agent_core.items import JsonValue, ResponseItem
from agent_core.prices import Cost, ListedPrices, Price, Prices, PriceTable
from agent_core.sandbox import read_only, workspace_write
from agent_core.session import ParentCall
from agent_core.telemetry import Telemetry
from agent_core.tools import (
    Deferred,
    ExecSessions,
    FileHistory,
    FunctionTool,
    PatchReader,
    Tool,
    ToolSet,
    WriteJournal,
    coding_tools,
    tool_set,
)
from agent_core.tools.file_changes import FileChange
from agent_core.tools.mcp import McpServers
from agent_core.tools.patch_format import PatchOperation, PatchPiece
from agent_core.turn_events import CompactionFinished, TurnEvent


@tool
def add(a: int, b: int = 2) -> int:
    """Add."""
    return a + b


@tool(read_only=True)
async def look(path: str) -> ToolOutput:
    """Look."""
    return ToolOutput(path)


def expensive(a: int) -> bool:
    return a > 100


@tool(approval=expensive, concurrency=2, retries=1, errors="fatal", deferred=True)
def pay(a: int, context: ToolContext) -> str:
    """Pay."""
    return context.call_id


@tool_set
async def some_tools() -> list[Tool]:
    return [add, pay]


def described(arguments: dict[str, JsonValue]) -> int:
    return len(arguments)


def told(error: Exception) -> str:
    return type(error).__name__


async def tools(context: ToolContext) -> None:
    assert_type(pay(1, context), str)
    made = FunctionTool.from_schema("d", "", {"type": "object"}, described, errors=told)
    assert_type(made({}), int)
    assert_type(some_tools, ToolSet)
    assert_type(await context.approve("pay 7 €", risk="network"), Decision)
    assert_type(Agent(tools=[add, made, some_tools, McpServers([]), Deferred(pay, some_tools)]), Agent)


async def agent_methods(agent: Agent) -> None:
    assert_type(await agent.ask("x"), str)
    assert_type(await agent.run("x"), TurnResult)
    assert_type((await agent.run("x")).cost, Cost | None)
    assert_type(agent.run_sync("x"), TurnResult)
    assert_type(await agent.compact("x"), CompactionFinished)
    assert_type(await agent.resume({"a": "x"}, {"b": True, "c": Decision("denied")}), TurnResult)
    assert_type(agent.resume_stream({"a": ToolOutput("x")}), Turn)
    assert_type(agent.pending, tuple[PendingCall, ...])
    assert_type((await agent.run([])).pending[0].request, ApprovalRequest | None)
    async with agent.stream("x") as turn:
        async for event in turn:
            assert_type(event, TurnEvent)
    assert_type(turn.result, TurnResult)


async def sub_agents(agent: Agent, context: ToolContext) -> None:
    def helper(session: Session) -> Agent:
        return Agent(session=session)

    assert_type(Agent(tools=[SubAgent(helper, description="Helps.")]), Agent)
    assert_type(await agent.run("x", within=context), TurnResult)
    assert_type(agent.session.parent, ParentCall)


async def client_methods(client: ModelClient) -> None:
    assert_type(await client.complete(Prompt("x")), Response)
    async with client.stream(Prompt("x")) as events:
        async for event in events:
            assert_type(event, ResponseEvent)


def values(session: Session, events: list[ResponseEvent]) -> None:
    assert_type(ask("openai/x", "y"), str)
    assert_type(fold(events), Response)
    assert_type(session.items, tuple[ResponseItem, ...])
    assert_type(session.transcript, tuple[ResponseItem, ...])
    assert_type(Decision("denied").approved, bool)
    assert_type(add(1, b=3), int)  # a tool is still the function it was


class FlatRate:
    """A caller's own prices: anything with `cost`."""

    def cost(self, provider: str, model: str, usage: Usage) -> Cost | None:
        return Cost(Decimal(usage.total) / 1000)


def policies(look: ToolSpec) -> None:
    policy = ToolPolicy([ToolRule("fs_*", "ask", timeout_s=5)], default="hand_back")
    assert_type(Agent("x/y", tools=[add, look, HandBack(look)], tool_policy=policy).pending, tuple[PendingCall, ...])
    assert_type(policy.timeout_for("fs_read"), float | None)


def options() -> None:
    prices: list[Prices] = [FlatRate(), PriceTable({"lab/*": Price(1, "0.5")}, otherwise=ListedPrices())]
    assert_type(Agent("openai/x", name="helper", prices=prices[0], telemetry=Telemetry()).name, str)


async def fallbacks(client: ModelClient) -> None:
    models = Fallback([client, "openai/gpt-5.6"], policy=FallbackPolicy(rest_s=5))
    assert_type(await models.complete(Prompt("x")), Response)
    async with models.stream("x") as events:
        async for event in events:
            assert_type(event, ResponseEvent)
    assert_type(models.turn().fall_back(ModelError("x")), FellBack | None)
    limiter = RateLimiter(requests_per_minute=5)
    async with limiter.admit(10) as place:
        assert_type(place.waited_s, float)
    assert_type(Agent(client=models, limiter=limiter, circuit=Circuit()).model, str)


async def approvals(session: Session, request: ApprovalRequest) -> None:
    async def person(request: ApprovalRequest) -> bool:
        return request.escalated

    Agent("openai/x", approvals="on_request", ask=person, sandbox=workspace_write())
    policy = ApprovalRules("unless_trusted", lambda request: Decision("denied"), rules=[Rule.for_command("make")])
    assert_type(await policy.decide(request), Decision)
    assert_type(Agent("openai/x", approvals=policy).session.approval_rules, tuple[Rule, ...])
    assert_type(request.rules, tuple[Rule, ...])
    assert_type(session.revoke(Rule.for_tool("deploy")), bool)


async def sessions(tools: ExecSessions) -> None:
    assert_type(coding_tools("edit", commands="exec"), list[Tool])
    assert_type(tools.tools(sandbox=read_only()), list[Tool])
    async with tools as same:
        assert_type(same.running[0].id, int)
    with tools as same:
        same.close()


def patches(reader: PatchReader) -> None:
    assert_type(reader.feed("x"), tuple[PatchPiece, ...])
    assert_type(reader.close(), tuple[PatchOperation, ...])
    assert_type(FileHistory(journal=WriteJournal("records")).undo(), tuple[FileChange, ...])
