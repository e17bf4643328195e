"""The status page in a browser nobody here wrote: its own policy lets it work, and a client's text stays text."""

from __future__ import annotations

import os
from pathlib import Path

import httpx2
import pytest

from agent_core import ModelClient
from agent_core.gateway import Gateway
from agent_core.gateway.status import Status
from agent_core.testing import RehearsalServer, Step

from ..gateway.running import running
from .browser import CHROMIUM, headless

LIVE = "document.getElementById('state')?.textContent === 'live'"

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not os.environ.get("AGENT_CORE_LONG"), reason="a browser takes seconds: AGENT_CORE_LONG=1"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium"),
]


def test_a_browser_shows_it(tmp_path: Path) -> None:
    """What happened is on the page when it is loaded; markup in a model's name is shown as it was written."""
    evil = "<img src=x onerror=document.title='taken'>"
    asked = {"model": evil, "messages": [{"role": "user", "content": "a secret"}]}
    steps = iter([Step(text="hello"), Step(status=400, error="no")])
    with RehearsalServer(lambda prompt: next(steps), pace_s=0) as server:
        gateway = Gateway(default=ModelClient("rehearsal/m", provider=server.provider), watchers=[Status()])
        with running(gateway) as url:
            statuses = [httpx2.post(f"{url}/v1/chat/completions", json=asked).status_code for _ in range(2)]
            with headless(tmp_path) as browser:
                page = browser.shows(f"{url}/status", LIVE)
    assert statuses == [200, 400]
    assert "<title>0 in flight" in page
    assert "1 completed" in page and "1 refused" in page and "rehearsal/m" in page
    assert "&lt;img src=x" in page and "<img" not in page and "a secret" not in page
    assert not browser.complaints
