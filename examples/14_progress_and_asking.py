"""A generator shows progress as it works, and asks in the middle of it before it does what cannot be undone."""

from collections.abc import AsyncIterator

import anyio

from agent_core import Agent, ApprovalRequest, AskPolicy, ToolContext, tool
from agent_core.testing import Call, RehearsalServer, Step
from agent_core.turn_events import ToolFinished, ToolProgress


@tool
async def clean_up(folder: str, context: ToolContext) -> AsyncIterator[str]:
    """Delete what is old in a folder."""
    yield f"looking through {folder}"
    yield "3 old files"
    decision = await context.approve(f"delete 3 files in {folder}")
    yield "deleted 3 files" if decision.approved else f"kept them: {decision.reason}"


def ask(request: ApprovalRequest) -> bool:
    print(f"  {request.tool} asks: {request.summary}?")
    return "/tmp" in request.summary


async def main() -> None:
    steps = (Step(calls=(Call("clean_up", {"folder": "/tmp/x"}),)), Step(text="Cleaned up."))
    with RehearsalServer(steps) as server:
        agent = Agent(server.model, provider=server.provider, tools=[clean_up], approvals=AskPolicy(ask))
        async with agent.stream("Clean up /tmp/x.") as turn:
            async for event in turn:
                if isinstance(event, ToolProgress):
                    print("  …", event.delta)
                elif isinstance(event, ToolFinished):
                    print("  =", event.output.content)


anyio.run(main)
