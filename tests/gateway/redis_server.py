"""A real Redis: at a socket in a folder of its own, with nothing on disk."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["redis_server"]


@contextmanager
def redis_server() -> Generator[tuple[str, subprocess.Popen[str]]]:
    """Its URL and its process. Skips where there is no redis-server."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder, "redis.sock")
        settings = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", folder]
        with subprocess.Popen([program, *settings], stdout=subprocess.PIPE, text=True) as server:
            try:
                lines = iter(server.stdout or ())
                assert any("ready to accept connections" in line.lower() for line in lines), "it did not start"
                yield f"unix://{socket}", server
            finally:
                server.terminate()
