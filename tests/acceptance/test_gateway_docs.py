"""The lines of docs/gateway.md that put Codex and Claude Code before another backend, run as they stand: only the
address of the backend, which is rehearsed, and the port are others."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_core.testing import RehearsalServer

from .clients import claude, codex
from .test_gateway_clients import DONE, TASK, WRITE, apply_patch, doing, exec_command, shell

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(os.environ.get("AGENT_CORE_LONG") != "1", reason="takes 5 s; AGENT_CORE_LONG=1 runs it"),
]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "gateway.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:8642"
MODEL = "qwen3"


def lines_after(title: str) -> tuple[str, str]:
    """The two fences below a heading: how the gateway is started, and what the client is told."""
    found = re.search(rf"^\*\*{title}\*\*.*?^```\w+\n(.*?)^```\n\n^```\w+\n(.*?)^```", PAGE, re.M | re.S)
    assert found is not None, title
    started, told = found[1], found[2]
    assert len((started + told).splitlines()) == 5, title
    return started.removeprefix("$ ").strip(), told


@contextmanager
def started(line: str, backend: str) -> Generator[str]:
    """The gateway of the page, with a backend that has only Chat; its address."""
    program, *arguments = shlex.split(line)
    assert program == "agent-core"
    run = "from agent_core.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", run, *arguments, "--base-url", backend, "--wire", "chat", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def test_codex_on_a_backend_that_has_only_chat(tmp_path: Path) -> None:
    """Codex changes a file with what the page puts into its config.toml."""
    line, told = lines_after("Codex")
    with RehearsalServer(doing(exec_command(WRITE), apply_patch), pace_s=0) as backend:
        with started(line, backend.base_url) as url:
            assert ADDRESS in told
            ran = codex(url, MODEL, TASK, tmp_path, told.replace(ADDRESS, url))
        assert {request.wire for request in backend.requests} == {"chat"}
    assert (ran.returncode, ran.events[-1].get("type")) == (0, "turn.completed"), ran
    assert (ran.folder / "made.txt").read_text() == "two\n", ran


def test_claude_code_on_a_local_model(tmp_path: Path) -> None:
    """Claude Code makes a file with what the page puts into its environment."""
    line, told = lines_after("Claude Code")
    with RehearsalServer(doing(shell("Bash", "command", WRITE)), pace_s=0) as backend:
        with started(line, backend.base_url) as url:
            assert ADDRESS in told
            *exports, command = told.replace(ADDRESS, url).splitlines()
            assert command == "claude"
            settings = dict(export.removeprefix("export ").split("=", 1) for export in exports)
            ran = claude(url, MODEL, TASK, tmp_path, settings)
        assert {request.wire for request in backend.requests} == {"chat"}
    assert (ran.returncode, ran.events[-1].get("result")) == (0, DONE), ran
    assert (ran.folder / "made.txt").read_text() == "one\n", ran
