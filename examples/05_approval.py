"""Actions that need approval are denied unless somebody says yes. Here a function looks at each request."""

import anyio

from agent_core import Agent, ApprovalRequest, AskPolicy, Decision, tool


@tool(approval=True)
def delete(path: str) -> str:
    """Delete a file."""
    return f"{path} is gone"


def ask(request: ApprovalRequest) -> Decision:
    print(f"  {request.tool} wants: {request.summary}")
    return Decision("denied", "not on a Friday")


async def main() -> None:
    for policy in ("deny", AskPolicy(ask)):
        result = await Agent("rehearsal/add", tools=[delete], approvals=policy).run("Clean up.")
        print(f"{result.denied} denied; the model says: {result.text}")


anyio.run(main)
