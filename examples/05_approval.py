"""Actions that need approval are denied unless somebody says yes: nobody, a function, or rules with a function."""

import anyio

from agent_core import Agent, ApprovalRequest, ApprovalRules, AskPolicy, Decision, tool


@tool(approval=True)
def delete(path: str) -> str:
    """Delete a file."""
    return f"{path} is gone"


def ask(request: ApprovalRequest) -> Decision:
    print(f"  {request.tool} wants: {request.summary} ({request.risk_line})")
    return Decision("denied", "not on a Friday")


async def main() -> None:
    for policy in ("deny", AskPolicy(ask), ApprovalRules("never"), ApprovalRules("on_request", ask)):
        result = await Agent("rehearsal/add", tools=[delete], approvals=policy).run("Clean up.")
        print(f"{result.denied} denied; the model says: {result.text}")


anyio.run(main)
