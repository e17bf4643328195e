"""A gateway with two deployments of a model: one fails, the other answers, and the client never hears of it."""

import asyncio

import httpx2

from agent_core import ModelClient, RetryPolicy
from agent_core.gateway import Deployment, Gateway, Route
from agent_core.testing import RehearsalServer, Step

ONCE = RetryPolicy(max_attempts=1)


async def main() -> None:
    broken, well = RehearsalServer([Step(status=500, error="broken")]), RehearsalServer([Step(text="I am well.")])
    with broken, well:
        one = Deployment(ModelClient("rehearsal/m", provider=broken.provider, retry=ONCE), name="one")
        two = Deployment(ModelClient("rehearsal/m", provider=well.provider, wire="messages", retry=ONCE), name="two")
        async with (
            Gateway({"fast": Route([one, two])}, aliases={"gpt-*": "fast"}) as gateway,
            httpx2.AsyncClient(transport=httpx2.ASGITransport(gateway)) as http,
        ):
            client = ModelClient("gateway/gpt-5.6", base_url="http://gateway/v1", wire="responses", http=http)
            for _ in range(3):
                response = await client.complete("How are you?")
                print(f"{response.model} says: {response.text}")
            print({name: len(server.requests) for name, server in (("one", broken), ("two", well))})


asyncio.run(main())
