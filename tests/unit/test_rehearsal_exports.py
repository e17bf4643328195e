"""What `agent_core.testing` offers, what importing it costs, and the collector of events."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence

import pytest

import agent_core.testing
from agent_core.errors import StreamInterrupted
from agent_core.events import Completed, Created, ResponseEvent
from agent_core.testing import GrammarError, collect


async def stream(events: Sequence[ResponseEvent], error: Exception | None = None) -> AsyncIterator[ResponseEvent]:
    for event in events:
        yield event
    if error is not None:
        raise error


def test_every_promised_name_is_there() -> None:
    """`__all__` is what there is, and a name that is not there is an AttributeError."""
    assert {name for name in agent_core.testing.__all__ if not hasattr(agent_core.testing, name)} == set()
    assert set(agent_core.testing.__all__) <= set(dir(agent_core.testing))
    assert not hasattr(agent_core.testing, "nothing_of_this_name")


def test_importing_it_loads_no_server_and_no_event_loop() -> None:
    """A server is loaded when one is made; nothing needs anyio or an HTTP client."""
    code = (
        "import sys, agent_core.testing as t; was = set(sys.modules); s = t.RehearsalServer(); s.base_url; s.close();"
        "print('http.server' in was, {'anyio', 'asyncio', 'httpx2', 'rich', 'tenacity'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.stdout, ran.stderr) == ("False set()\n", "")


@pytest.mark.anyio
async def test_collect_gives_all_events_of_a_legal_stream() -> None:
    """Events come back as they were, in order."""
    events: list[ResponseEvent] = [Created("r"), Completed("r")]
    assert await collect(stream(events)) == events


@pytest.mark.anyio
async def test_collect_refuses_an_illegal_stream_and_lets_its_error_out() -> None:
    """A stream that just stops is a GrammarError; one that breaks raises what it broke with."""
    with pytest.raises(GrammarError, match="neither Completed nor an error"):
        await collect(stream([Created("r")]))
    with pytest.raises(StreamInterrupted, match="cut"):
        await collect(stream([Created("r")], StreamInterrupted("cut")))
