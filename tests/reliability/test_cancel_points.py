"""A run is cancelled at every point at which its event loop switches, in every way it can be cancelled.

After each: the history is whole and true, tools and their processes have ended, nothing is leaked, and the strict
server takes the next turn. Every day a few points of each way; under AGENT_CORE_LONG=1 all of them, and every third
where it is a way much like another.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from agent_core.items import WireName
from agent_core.testing import RehearsalServer
from agent_core.transport_choice import VARIABLE, TransportName

from ..stacks import STACKS
from .cancelled_run import ON_ASYNCIO, ON_TRIO, How, Runner, script

LONG = os.environ.get("AGENT_CORE_LONG") == "1"
EVERYDAY_STEP = 110
ON_H11: tuple[How, ...] = ON_ASYNCIO if LONG else ("scope",)
WAYS: list[tuple[str, TransportName, How]] = [
    *(("asyncio", "aiohttp", how) for how in ON_ASYNCIO),
    *(("asyncio", "h11", how) for how in ON_H11),
    *(("trio", "h11", how) for how in ON_TRIO),
]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.mark.parametrize(("backend", "sender", "how"), WAYS)
def test_cancelled_at_every_point(
    backend: str, sender: TransportName, how: How, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has at least 200 points, 150 where nobody reads; whichever it is, what is left can be gone on from."""
    monkeypatch.setenv(VARIABLE, sender)
    with RehearsalServer(script, pace_s=0) as server:
        runner = Runner(server, tmp_path)
        n = step = (1 if how in ("turn", "scope", "task") else 3) if LONG else EVERYDAY_STEP
        while (stopped := runner.run(backend, how, n)).points.fired:
            n += step
    assert stopped.stop_reason == "completed"
    assert stopped.points.count >= (150 if how.startswith("run") else 200)


@pytest.mark.skipif(not LONG, reason="AGENT_CORE_LONG=1 runs it")
@pytest.mark.parametrize("wire", ["responses", "messages"])
@pytest.mark.parametrize(("backend", "sender"), STACKS)
def test_on_the_other_wires(
    backend: str, sender: TransportName, wire: WireName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, by a scope around the block."""
    monkeypatch.setenv(VARIABLE, sender)
    with RehearsalServer(script, pace_s=0) as server:
        runner, n = Runner(server, tmp_path, wire), 1
        while runner.run(backend, "scope", n).points.fired:
            n += 3
    assert n >= 200
