"""The gateway's OpenAPI description before a tool that makes requests of it: schemathesis finds no failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from agent_core import ModelClient
from agent_core.gateway import Gateway
from agent_core.gateway.keys import Token
from agent_core.testing import RehearsalServer, Step

from ..gateway.running import running

KEY = "the-key-and-the-token-of-it"
CASES = 1000


@pytest.mark.acceptance
@pytest.mark.skipif("AGENT_CORE_LONG" not in os.environ, reason="takes minutes: set AGENT_CORE_LONG=1")
@pytest.mark.skipif(find_spec("schemathesis") is None, reason="needs schemathesis")
def test_no_request_is_a_failure(tmp_path: Path) -> None:
    """Thousands of requests, such as the description allows and such as it does not: none is answered with a 5xx."""
    with RehearsalServer([Step(text="hello")], pace_s=0) as server:
        models = {"m": ModelClient("rehearsal/m", provider=server.provider)}
        with running(Gateway(models, default="m", keys=[KEY], admin=Token(KEY))) as url:
            command = [
                sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json",
                "--checks", "not_a_server_error", "--phases", "examples,coverage,fuzzing",
                "--max-examples", "25", "--seed", "1", "--suppress-health-check", "all",
                "--header", f"Authorization: Bearer {KEY}",
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert cases is not None and cases[1] == cases[2] and int(cases[1]) > CASES, done.stdout[-4000:]
