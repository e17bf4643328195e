"""Clients that others wrote finish real work through a gateway, whatever wire its backend speaks: the Codex CLI, Claude
Code, opencode and llm, as they come from their registries.

The backend is scripted; the calls it makes are run by the client, and what they did is looked at in its folder. Nothing
a client sends is refused; what the backend's wire cannot carry is named, and the names are held here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_core import ModelClient
from agent_core.codecs import WIRES
from agent_core.gateway import Gateway
from agent_core.items import CustomToolCallOutput, FunctionCallOutput, UnknownItem, WireName
from agent_core.prompt import CustomToolSpec, HostedToolSpec, Prompt, ToolSpec
from agent_core.providers import CompatOverrides
from agent_core.testing import Call, RehearsalServer, Step, turn_items

from ..gateway.running import running
from .clients import Witness, claude, codex, llm, opencode

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(
        os.environ.get("AGENT_CORE_LONG") != "1", reason="takes 1 to 15 s a client; AGENT_CORE_LONG=1 runs it"
    ),
]

TASK = "Make made.txt, then say what you did."
DONE = "It is made, as you asked."
WRITE = "printf 'one\\n' > made.txt"
PATCH = "*** Begin Patch\n*** Update File: made.txt\n@@\n-one\n+two\n*** End Patch\n"

CODE = "functions__exec"
"""Where Codex's newest models write code that calls tools: a free-form tool in a namespace, given as an input item."""


@dataclass(frozen=True, slots=True)
class Case:
    """A gateway, what it was asked for, and what its backend was."""

    url: str
    witness: Witness
    backend: RehearsalServer


def doing(*calls: Callable[[Prompt], Call]) -> Callable[[Prompt], Step]:
    """A model that makes these calls, one an answer, and then says DONE. What has no tools is asked for a title."""

    def step(prompt: Prompt) -> Step:
        if not prompt.tools and not any(isinstance(item, UnknownItem) for item in prompt.items):
            return Step(text="A title")
        done = sum(isinstance(item, FunctionCallOutput | CustomToolCallOutput) for item in turn_items(prompt))
        if done == len(calls):
            return Step(text=DONE)
        return Step(reasoning="The next step.", text="I go on.", calls=(calls[done](prompt),))

    return step


def shell(name: str, argument: str, command: str) -> Callable[[Prompt], Call]:
    return lambda prompt: Call(name, {argument: command, "description": "Makes the file."})


def exec_command(command: str) -> Callable[[Prompt], Call]:
    """A command, in the way this model is offered: a function, or a line of the code it writes."""

    def call(prompt: Prompt) -> Call:
        if CODE in offered(prompt):
            source = f"text((await tools.exec_command({json.dumps({'cmd': command})})).output);"
            return Call(CODE, {"input": source})
        return Call("exec_command", {"cmd": command})

    return call


def apply_patch(prompt: Prompt) -> Call:
    """A patch, in the way this model is offered: in its code, a free-form tool, a function made of one, a command."""
    tools = offered(prompt)
    if CODE in tools:
        return Call(CODE, {"input": f"text(await tools.apply_patch({json.dumps(PATCH)}));"})
    if "apply_patch" in tools:
        return Call("apply_patch", PATCH if isinstance(tools["apply_patch"], CustomToolSpec) else {"input": PATCH})
    return Call("exec_command", {"cmd": f"apply_patch <<'EOF'\n{PATCH}EOF"})


def offered(prompt: Prompt) -> dict[str, ToolSpec | CustomToolSpec]:
    return {spec.name: spec for spec in prompt.tools if not isinstance(spec, HostedToolSpec)}


@contextmanager
def served(wire: WireName, script: Callable[[Prompt], Step]) -> Generator[Case]:
    """A gateway, and behind it a backend of that wire that follows the script."""
    # What a vendor's own Responses endpoint knows; the other wires are spoken by their standard.
    compat: CompatOverrides = {"prompt_cache_key": True} if wire == "responses" else {}
    with RehearsalServer(script, pace_s=0) as backend:
        client = ModelClient("rehearsal/m", provider=backend.provider, wire=wire, compat=compat)
        witness = Witness(Gateway(default=client))
        with running(witness) as url:
            yield Case(url, witness, backend)


each_backend = pytest.mark.parametrize("wire", WIRES)

# What each client sends that a backend's wire has no place for.
CODEX_LOSSES: Mapping[WireName, set[str]] = {
    "chat": {
        "client_metadata", "hosted_tools", "namespace_description", "prompt_cache_key", "reasoning.context",
        "reasoning_summary", "tool_grammar",
    },
    "responses": {"reasoning.context"},
    "messages": {
        "client_metadata", "custom_tool_format", "hosted_tool", "namespace_description", "prompt_cache_key",
        "reasoning", "reasoning.context", "reasoning.summary", "verbosity",
    },
}  # fmt: skip
CLAUDE_LOSSES: Mapping[WireName, set[str]] = {
    "chat": {"anthropic-beta", "cache_control", "context_management"},
    "responses": {"anthropic-beta", "cache_control", "context_management"},
    "messages": {"cache_control", "system_role"},
}


@each_backend
@pytest.mark.parametrize("model", ["lab-model", "gpt-5.5", "gpt-6.1-sol"])
def test_codex(wire: WireName, model: str, tmp_path: Path) -> None:
    """A command, then a patch, in each way Codex offers them: as functions, as a free-form tool with a grammar, in
    namespaces that come as an item of the input."""
    with served(wire, doing(exec_command(WRITE), apply_patch)) as case:
        ran = codex(case.url, model, TASK, tmp_path)
    assert (ran.returncode, [event["type"] for event in ran.events][-1:]) == (0, ["turn.completed"]), ran
    assert (ran.folder / "made.txt").read_text() == "two\n", ran
    assert case.witness.refused == []
    assert case.witness.losses <= CODEX_LOSSES[wire]


@each_backend
def test_claude_code(wire: WireName, tmp_path: Path) -> None:
    """A command, in a request with cache marks, adaptive thinking and a system message amid the others."""
    with served(wire, doing(shell("Bash", "command", WRITE))) as case:
        ran = claude(case.url, "lab-model", TASK, tmp_path)
    end = ran.events[-1]
    assert (ran.returncode, end.get("type"), end.get("is_error"), end.get("result")) == (0, "result", False, DONE), ran
    assert (ran.folder / "made.txt").read_text() == "one\n", ran
    assert case.witness.refused == []
    assert case.witness.losses <= CLAUDE_LOSSES[wire]


@each_backend
@pytest.mark.parametrize("spoken", WIRES)
def test_opencode(wire: WireName, spoken: WireName, tmp_path: Path) -> None:
    """One client on each of the three wires: a title, a command, an answer."""
    with served(wire, doing(shell("bash", "command", WRITE))) as case:
        ran = opencode(case.url, spoken, "lab-model", TASK, tmp_path)
    assert ran.returncode == 0, ran
    assert DONE in ran.output
    assert (ran.folder / "made.txt").read_text() == "one\n", ran
    assert case.witness.refused == []
    assert case.witness.losses <= {"cache_control", "prompt_cache_key"}


@each_backend
@pytest.mark.parametrize("options", [(), ("--no-stream",)], ids=["streamed", "whole"])
def test_llm(wire: WireName, options: tuple[str, ...], tmp_path: Path) -> None:
    """A question and its answer, streamed and whole."""
    with served(wire, lambda prompt: Step(reasoning="Easy.", text=DONE)) as case:
        ran = llm(case.url, "lab-model", "Is it made?", tmp_path, *options)
    assert (ran.returncode, ran.output.strip()) == (0, DONE), ran
    assert case.witness.refused == []


@each_backend
def test_llm_runs_a_tool(wire: WireName, tmp_path: Path) -> None:
    """A function of the user's, called by the model."""
    source = (
        'def make(text: str) -> str:\n    """Makes it."""\n    open("made.txt", "w").write(text)\n    return "made"\n'
    )
    with served(wire, doing(lambda prompt: Call("make", {"text": "one\n"}))) as case:
        ran = llm(case.url, "lab-model", TASK, tmp_path, "--functions", source)
    assert (ran.returncode, DONE in ran.output) == (0, True), ran
    assert (ran.folder / "made.txt").read_text() == "one\n", ran
    assert case.witness.refused == []
