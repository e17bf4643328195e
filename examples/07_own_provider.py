"""Use a server agent_core has never heard of: a provider is one line of data. Here the server is a rehearsal one."""

import anyio

from agent_core import Agent, Provider
from agent_core.testing import RehearsalServer


async def main() -> None:
    with RehearsalServer() as server:
        lab = Provider("lab", base_url=server.base_url)
        print(await Agent("lab/hello", provider=lab).ask("Hello?"))
        print(server.requests[0].method, server.requests[0].path)


anyio.run(main)
