"""A real Redis, for as long as the tests run."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """At a socket in a folder of its own, with nothing on disk. Skips where there is no redis-server."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder, "redis.sock")
        settings = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", folder]
        with subprocess.Popen([program, *settings], stdout=subprocess.PIPE, text=True) as server:
            try:
                lines = iter(server.stdout or ())
                assert any("ready to accept connections" in line.lower() for line in lines), (
                    "redis-server did not start"
                )
                yield f"unix://{socket}"
            finally:
                server.terminate()
