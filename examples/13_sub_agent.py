"""An agent as a tool of another: each file is reviewed by an agent of its own, and all of it counts as one run."""

import anyio

from agent_core import Agent, Limits, Session, SubAgent
from agent_core.prompt import Prompt
from agent_core.testing import Call, RehearsalServer, Step, last_user_text


def lead(prompt: Prompt) -> Step:
    if len(prompt.items) > 1:
        return Step(text="Both were reviewed.")
    return Step(calls=tuple(Call("reviewer", {"task": f"Review {name}"}) for name in ("a.py", "b.py")))


def small(prompt: Prompt) -> Step:
    return Step(text=f"{last_user_text(prompt)}: nothing to say.")


async def main() -> None:
    with RehearsalServer(lead) as first, RehearsalServer(small) as second:

        def reviewer(session: Session) -> Agent:
            limits = Limits(max_turns=5)
            return Agent("rehearsal/small", provider=second.provider, wire="messages", session=session, limits=limits)

        tools = [SubAgent(reviewer, description="Reviews one file.")]
        agent = Agent("rehearsal/lead", provider=first.provider, tools=tools, limits=Limits(max_tokens=100_000))
        result = await agent.run("Review this change.")
    print(result.text, f"{result.samples} requests here, {result.usage.total} tokens in all.")


anyio.run(main)
