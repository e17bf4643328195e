"""One conversation, three wires: the history goes along, only the name changes."""

import anyio

from agent_core import Agent, Session


async def main() -> None:
    session = Session()
    for wire in ("chat", "responses", "messages"):
        agent = Agent("rehearsal/echo", wire=wire, session=session)
        print(wire, "→", await agent.ask(f"This came over {wire}."))
    print(len(session.items), "items in one history")


anyio.run(main)
