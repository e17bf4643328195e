"""Stream an answer as it comes."""

import anyio

from agent_core import Agent


async def main() -> None:
    agent = Agent("rehearsal/think")
    async with agent.stream("Why do codecs do no I/O?") as turn:
        async for text in turn.text_deltas():
            print(text, end="", flush=True)
    print(f"\n[{turn.result.stop_reason}, {turn.result.usage.total} tokens]")


anyio.run(main)
