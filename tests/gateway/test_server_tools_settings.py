"""`[tools]` of a configuration file: what it makes, and what is said of one that is wrong."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest

from agent_core import tool
from agent_core.errors import ConfigError
from agent_core.gateway import gateway_from_toml
from agent_core.gateway.config import read_config
from agent_core.gateway.server_tools import ServerTools
from agent_core.gateway.settings import Given
from agent_core.prices import PriceTable

from ..unit.stage import call, calls, says
from .rounds import Backend, told
from .test_config import GOOD, written
from .test_server_tools import ask

pytestmark = pytest.mark.anyio


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def weather(city: str) -> str:
    """The weather."""
    return city


SEVERAL = [add]
NONE = 5
HERE = __name__


def tools_of(folder: Path, text: str) -> ServerTools:
    settings = read_config(written(folder, f"{GOOD}[tools]\n{text}")).settings.tools
    assert settings is not None
    service = settings.service(Given(folder, PriceTable({})))
    assert isinstance(service, ServerTools)
    return service


@pytest.mark.parametrize("name", ["add", "SEVERAL"])
async def test_functions_by_name(tmp_path: Path, name: str) -> None:
    """One, or a list of them; a rule of the file counts."""
    service = tools_of(tmp_path, f'functions = ["{HERE}:{name}"]\nmax_turns = 1\nmodels = ["m*"]')
    backend = Backend(calls(call("a", "add", '{"a": 2, "b": 3}')), says("5"))
    async with service:
        await told(service.around(backend), ask())
    assert [prompt.tool_choice for prompt in backend.prompts] == ["auto", "none"]
    assert "5" in str(backend.prompts[1].items[-1])


async def test_a_rule_passes_a_tool_to_the_client(tmp_path: Path) -> None:
    service = tools_of(tmp_path, f'functions = ["{HERE}:add"]\n[[tools.rules]]\nname = "a*"\naction = "pass"')
    backend = Backend(calls(call("a", "add")))
    seen = await told(service.around(backend), ask())
    assert "call_id='a'" in str(seen.events)


def test_the_table_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/gateway.md: what it shows can be written."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "gateway.md").read_text("utf-8")
    (shown,) = re.findall(r"^```toml\n\[tools\]\n(.*?)^```$", page, re.M | re.S)
    monkeypatch.setitem(sys.modules, "my_tools", cast("ModuleType", SimpleNamespace(weather=weather)))
    assert repr(tools_of(tmp_path, shown)) == "ServerTools(weather, McpServers(time))"


FUNCTIONS = f'functions = ["{HERE}:add"]\n'
WRONG: dict[str, tuple[str, str, str]] = {
    "nothing": ("", "[tools]: there are no tools", "[tools.mcp.NAME]"),
    "no name": ('functions = ["add"]', "'add' names no tool", "module:attribute"),
    "no module": ('functions = ["no_such.thing:add"]', "'no_such.thing:add' cannot be imported", "PYTHONPATH"),
    "no attribute": (f'functions = ["{HERE}:sub"]', "cannot be imported", "PYTHONPATH"),
    "no tool": (f'functions = ["{HERE}:NONE"]', "5 is no tool", "pass functions"),
    "one twice": (f'functions = ["{HERE}:add", "{HERE}:add"]', "two tools are called 'add'", "rename or remove"),
    "a server's key": ("[tools.mcp.time]\ncomand = 'x'", "[tools.mcp.time] has an unknown key", "'command'"),
    "a server without a command": ("[tools.mcp.time]\nargs = ['x']", "neither command nor url", "give the command"),
    "an action": (
        f"{FUNCTIONS}[[tools.rules]]\nname = 'add'\naction = 'ask'",
        "[[tools.rules]] 1 action is none of what it can be",
        "'allow', 'deny' or 'pass'",
    ),
    "a pattern": (f"{FUNCTIONS}[[tools.rules]]\nname = '*add'\naction = 'deny'", "a rule names a tool", "one '*'"),
    "no time": (f"{FUNCTIONS}timeout_s = 0", "[tools] timeout_s cannot be that", "greater than 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_it(tmp_path: Path, name: str) -> None:
    """By table and key, and what to write."""
    text, problem, remedy = WRONG[name]
    with pytest.raises(ConfigError) as caught:
        gateway_from_toml(written(tmp_path, f"{GOOD}[tools]\n{text}"))
    assert "gateway.toml" in caught.value.message and problem in caught.value.message
    assert remedy in caught.value.remedy
