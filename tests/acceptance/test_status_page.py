"""The status page in a browser nobody here wrote: its own policy lets it work, and a client's text stays text."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest

from agent_core import ModelClient
from agent_core.gateway import Gateway
from agent_core.gateway.status import Status
from agent_core.testing import RehearsalServer, Step

from ..gateway.running import running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr",
)  # fmt: skip

LIVE = re.compile(r'<span id="state"[^>]*>live</span>')
WAITS_MS = (5_000, 15_000, 30_000)
"""A busy machine is slow to start a browser: then it is given more time."""

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
            tries = (dumped(f"{url}/status", tmp_path, wait_ms) for wait_ms in WAITS_MS)
            done = next((done for done in tries if LIVE.search(done.stdout)), None)
    assert done is not None, "the page never was live"
    assert statuses == [200, 400]
    page = done.stdout
    assert "<title>0 in flight" in page
    assert "1 completed" in page and "1 refused" in page and "rehearsal/m" in page
    assert "&lt;img src=x" in page and "<img" not in page and "a secret" not in page
    assert "CONSOLE" not in done.stderr, "the browser complains"


def dumped(url: str, profile: Path, wait_ms: int) -> subprocess.CompletedProcess[str]:
    """The page as a browser has it after so long."""
    command = [CHROMIUM or "", *QUIET, f"--user-data-dir={profile}", f"--timeout={wait_ms}", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
