"""Random traffic over random deployments: nothing stays in flight, no limit is passed, who is left alone is not asked.

In virtual time. Requests begin at random moments and are read, left, cancelled or broken off; servers fail at random.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core import ModelClient
from agent_core.circuit import Circuit
from agent_core.errors import ModelError
from agent_core.gateway.backends import Backends
from agent_core.gateway.deployments import Deployment
from agent_core.gateway.routes import Route, patient
from agent_core.gateway.strategies import Strategy
from agent_core.transport import HttpRequest, HttpStream
from tests.gateway.scripted_servers import ONCE, Reply, Scripted, ask_for
from tests.virtual_time import _VirtualLoop

EXAMPLES = settings(max_examples=600 if os.environ.get("AGENT_CORE_LONG") == "1" else 6, deadline=None)
STRATEGIES: tuple[Strategy, ...] = ("round_robin", "weighted", "least_busy", "latency", "cost")
REPLIES = (
    Reply(),
    Reply(delay_s=1, pause_s=5),
    Reply(pause_s=20, cut=True),
    Reply(status=500),
    Reply(status=529, delay_s=2),
    Reply(status=429, headers={"retry-after": "3"}),
    Reply(status=401),
)


class Unreliable(Scripted):
    """Replies at random, and looks at each request that comes whether it might."""

    def __init__(self, random: Random, most: int, rpm: int) -> None:
        super().__init__()
        self.random, self.most, self.rpm = random, most, rpm
        self.deployment: Deployment | None = None
        self.came: deque[float] = deque()

    @asynccontextmanager
    async def open(self, request: HttpRequest, *, connect_s: float | None = None) -> AsyncGenerator[HttpStream]:
        now = anyio.current_time()
        self.came.append(now)
        assert sum(at > now - 60 for at in self.came) <= self.rpm
        assert self.open_now < self.most
        assert self.deployment is not None and self.deployment.circuit.state != "open"
        self.replies = [self.random.choice(REPLIES)]
        async with super().open(request, connect_s=connect_s) as stream:
            yield stream


def unreliable(name: str, random: Random) -> Deployment:
    most, rpm = random.randint(1, 4), random.randint(2, 20)
    transport = Unreliable(random, most, rpm)
    client = ModelClient(f"lab/{name}", base_url="http://lab/v1", transport=transport, retry=ONCE)
    made = Deployment(
        client,
        name=name,
        weight=random.randint(1, 5),
        max_in_flight=most,
        requests_per_minute=rpm,
        circuit=Circuit(failures=2, cooldown_s=10),
    )
    transport.deployment = made
    return made


async def one_client(backends: Backends, random: Random, heard: list[str]) -> None:
    """Comes at some time, and reads to the end or loses patience."""
    await anyio.sleep(random.uniform(0, 120))
    ending = random.choice(("reads", "leaves", "loses patience"))
    with anyio.move_on_after(random.uniform(0, 6) if ending == "loses patience" else 1000):
        try:
            async with backends.answer(ask_for(random.choice("mn"), prefer=random.choice(("", "a0")))) as answer:
                async for _event in answer.events:
                    if ending == "leaves":
                        break
            heard.append(answer.deployment)
        except ModelError as error:
            heard.append(error.reason)


@EXAMPLES
@given(st.integers(0, 2**32), st.sampled_from(STRATEGIES), st.integers(2, 4))
def test_traffic(seed: int, strategy: Strategy, size: int) -> None:
    """The servers look at every request; in the end every counter is back where it was."""
    random = Random(seed)

    async def story() -> None:
        groups = [[unreliable(f"{name}{n}", random) for n in range(size)] for name in "ab"]
        backends = Backends(
            {
                "m": Route(groups[0], strategy=strategy, fallbacks=["n"], retry=patient(2)),
                "n": Route(groups[1], strategy=strategy, retry=patient(2)),
            }
        )
        heard: list[str] = []
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(one_client, backends, Random(random.random()), heard)
        assert all(one.in_flight == 0 and one.limiter.waiting == 0 for group in groups for one in group)
        assert heard

    anyio.run(story, backend_options={"loop_factory": _VirtualLoop})
