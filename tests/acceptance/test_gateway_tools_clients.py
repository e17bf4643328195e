"""Clients that others wrote, before a gateway that runs a tool they know nothing of: one turn has calls of both sides,
and each client sends back what it was shown in its own way."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_core import ModelClient, tool
from agent_core.codecs import WIRES
from agent_core.gateway import Gateway
from agent_core.gateway.server_tools import ServerTools
from agent_core.items import FunctionCall, FunctionCallOutput, WireName
from agent_core.prompt import Prompt
from agent_core.testing import Call, RehearsalServer, Step, turn_items

from ..gateway.running import running
from .clients import claude, codex, opencode
from .test_gateway_clients import TASK, WRITE, exec_command, offered, shell

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(
        os.environ.get("AGENT_CORE_LONG") != "1", reason="takes 2 to 15 s a client; AGENT_CORE_LONG=1 runs it"
    ),
]


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@contextmanager
def served(wire: WireName, theirs: Callable[[Prompt], Call]) -> Generator[tuple[str, RehearsalServer]]:
    """A gateway that adds, before a model that adds and calls a tool of the client's at once, then says DONE."""

    def step(prompt: Prompt) -> Step:
        if not offered(prompt).keys() - {"add"}:
            return Step(text="A title")
        if any(isinstance(item, FunctionCallOutput) for item in turn_items(prompt)):
            return Step(text="It is made, and 13.")
        return Step(text="Both at once.", calls=(Call("add", {"a": 6, "b": 7}), theirs(prompt)))

    with RehearsalServer(step, pace_s=0) as backend:
        client = ModelClient("rehearsal/m", provider=backend.provider, wire=wire)
        with running(Gateway(default=client, services=[ServerTools([add])])) as url:
            yield url, backend


def shared(backend: RehearsalServer) -> None:
    """The last turn went to the backend whole: two calls, and an output of each, that of the gateway's first."""
    asked = next(request.prompt for request in reversed(backend.requests) if request.prompt and request.prompt.tools)
    items = turn_items(asked)
    assert [item.name == "add" for item in items if isinstance(item, FunctionCall)] == [True, False]
    outputs = [str(item.output) for item in items if isinstance(item, FunctionCallOutput)]
    assert (len(outputs), outputs[0]) == (2, "13")


@pytest.mark.parametrize("model", ["lab-model", "gpt-6.1-sol"])
def test_codex(model: str, tmp_path: Path) -> None:
    """The newest models' tools come as an item of the input."""
    with served("chat", exec_command(WRITE)) as (url, backend):
        ran = codex(url, model, TASK, tmp_path)
    assert (ran.returncode, (ran.folder / "made.txt").is_file()) == (0, True), ran
    shared(backend)


def test_claude_code(tmp_path: Path) -> None:
    with served("responses", shell("Bash", "command", WRITE)) as (url, backend):
        ran = claude(url, "lab-model", TASK, tmp_path)
    assert (ran.returncode, (ran.folder / "made.txt").is_file()) == (0, True), ran
    shared(backend)


@pytest.mark.parametrize("spoken", WIRES)
def test_opencode(spoken: WireName, tmp_path: Path) -> None:
    with served("messages", shell("bash", "command", WRITE)) as (url, backend):
        ran = opencode(url, spoken, "lab-model", TASK, tmp_path)
    assert (ran.returncode, (ran.folder / "made.txt").is_file()) == (0, True), ran
    shared(backend)
