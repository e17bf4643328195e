"""Third-party servers of the three wires, and of MCP, each in a process of its own on a free port of loopback.

    with started(aimock_command(fixtures), log) as url: ...

They bind port 0 and say where they are: the URL is read from what they print, so nothing races for a port and every
worker of a parallel run has its own. What cannot be had here is skipped with the command that installs it; a server
that is there and does not start is an error, with the end of its log.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import pytest

__all__ = ["aimock_command", "llmock_command", "mcp_node_command", "mcp_python_command", "started"]

START_S = 30.0
"""Seconds to get ready; they take 0.1 to 1 on an idle machine (partners.md 4)."""

STOP_S = 5.0
_POLL_S = 0.02
_ANNOUNCED = re.compile(r"(?:listening|running) on (http://127\.0\.0\.1:[1-9]\d*)")

_ROOT = Path(__file__).resolve().parents[2]
_AIMOCK_CLI = Path("node_modules/@copilotkit/aimock/dist/cli.js")


def aimock_command(fixtures: Path) -> list[str]:
    """npm's `@copilotkit/aimock`: from AGENT_CORE_AIMOCK (its cli.js), else from .ci-node, else from PATH."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("aimock needs node, which is not installed")
    cli = _aimock_cli()
    if cli is None:
        pytest.skip("aimock is not installed: npm install --prefix .ci-node @copilotkit/aimock@1.43.0")
    return [node, str(cli), "-h", "127.0.0.1", "-p", "0", "-f", str(fixtures), "--validate-on-load", "--strict"]


def llmock_command() -> list[str]:
    """PyPI's `llmock`, of the environment the tests run in. (npm's aimock has a command of that name, too.)"""
    if find_spec("llmock") is None:
        pytest.skip("llmock is not installed: pip install -e '.[dev]'")
    run = "from llmock.cli import app; app()"
    # A pause between events: a client that leaves in the middle of an answer is seen to leave.
    pace = ["--stream-chunk-delay-ms", "5"]
    return [sys.executable, "-c", run, "serve", "-h", "127.0.0.1", "-p", "0", "--log-level", "info", *pace]


def mcp_node_command(server: str, *arguments: str) -> list[str]:
    """npm's `@modelcontextprotocol/server-…`: from the node_modules in AGENT_CORE_MCP_SERVERS, else from .ci-node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip(f"server-{server} needs node, which is not installed")
    modules = Path(os.environ.get("AGENT_CORE_MCP_SERVERS", _ROOT / ".ci-node" / "node_modules"))
    main = modules / "@modelcontextprotocol" / f"server-{server}" / "dist" / "index.js"
    if not main.is_file():
        pytest.skip(
            f"server-{server} is not installed: npm install --prefix .ci-node @modelcontextprotocol/server-{server}"
        )
    return [node, str(main), *arguments]


def mcp_python_command(server: str, *arguments: str) -> list[str]:
    """PyPI's `mcp-server-…`, of the environment the tests run in."""
    module = f"mcp_server_{server}"
    if find_spec(module) is None:
        pytest.skip(f"mcp-server-{server} is not installed: pip install -e '.[dev]'")
    return [sys.executable, "-m", module, *arguments]


@contextmanager
def started(command: Sequence[str], log: Path, env: Mapping[str, str] = MappingProxyType({})) -> Generator[str]:
    """The server's URL, without a path, while the block lasts."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LLMOCK_", "AIMOCK_"))}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **env},
        ) as process,
    ):
        try:
            yield _announced(process, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _announced(process: subprocess.Popen[bytes], log: Path) -> str:
    """The URL in the server's log, once it is there. Raises RuntimeError if the server ends or takes too long."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if found := _ANNOUNCED.search(log.read_text("utf-8", "replace")):
            return found[1]
        try:
            process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            continue
        break
    said = log.read_text("utf-8", "replace")[-2000:]
    raise RuntimeError(f"{process.args!r} did not get ready; it said:\n{said}")


def _aimock_cli() -> Path | None:
    named = os.environ.get("AGENT_CORE_AIMOCK")
    if named is not None:
        return Path(named)
    on_path = shutil.which("aimock")
    places = [_ROOT / ".ci-node" / _AIMOCK_CLI]
    if on_path is not None:
        places.append(Path(on_path).resolve().with_name("cli.js"))
    return next((place for place in places if place.is_file()), None)
