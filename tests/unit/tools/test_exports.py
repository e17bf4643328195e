"""The package's names, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import agent_core.tools
from agent_core.tools import Tool, coding_tools

HEAVY = ("anyio", "asyncio", "httpx2", "rich", "tenacity", "opentelemetry", "subprocess")


def test_every_promised_name_exists() -> None:
    """__all__ is what can be imported; anything else is an AttributeError."""
    assert all(getattr(agent_core.tools, name) is not None for name in agent_core.tools.__all__)
    assert dir(agent_core.tools) == sorted(agent_core.tools.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(agent_core.tools, "nothing")  # noqa: B009 - written out, type checkers know it is not there


def test_the_coding_tools() -> None:
    """Ready to use, each a Tool, with patches or with edits."""
    reading = ["shell", "read_file", "list_dir", "glob", "grep", "view_image"]
    for tools, writing in (
        (coding_tools(), ["apply_patch"]),
        (coding_tools("edit"), ["edit", "write_file", "undo_edit"]),
    ):
        assert [made.spec.name for made in tools] == [*reading, *writing, "update_plan"]
        assert all(isinstance(made, Tool) for made in tools)


def test_importing_the_names_loads_nothing_heavy() -> None:
    """Neither the event loops nor anything else that is only needed to run a tool is loaded by importing them."""
    names = ", ".join(agent_core.tools.__all__)
    code = f"import sys; from agent_core.tools import {names}; print([m for m in {HEAVY!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
