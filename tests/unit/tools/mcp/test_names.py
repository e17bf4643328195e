"""`mcp__server__tool`: characters, length, collisions (codex.md 4, S0-91, S0-92)."""

from __future__ import annotations

import re

import pytest

from agent_core.tools.mcp.naming import names_of

HASHED = re.compile(r"_[0-9a-f]{12}")


@pytest.mark.parametrize(
    ("server", "tool", "name"),
    [
        ("git", "status", "mcp__git__status"),
        ("my-server", "get-sum", "mcp__my_server__get_sum"),
        ("fs", "read/file.txt", "mcp__fs__read_file_txt"),
        ("fs", "größe", "mcp__fs__gr__e"),
        ("fs", "", "mcp__fs___"),
        ("x" * 20, "y" * 37, f"mcp__{'x' * 20}__{'y' * 37}"),
    ],
)
def test_names_that_fit(server: str, tool: str, name: str) -> None:
    """S0-91, as Codex spells it: only letters, digits and `_`."""
    assert names_of([(server, tool)], {}) == {(server, tool): name}


@pytest.mark.parametrize("length", [38, 64, 500])
def test_a_long_name_ends_in_a_hash(length: int) -> None:
    """64 bytes, of which the last 13 tell the tool from others that begin alike; the same in every run."""
    one, other = ("x" * 20, "y" * length + "1"), ("x" * 20, "y" * length + "2")
    names = names_of([one, other], {})
    assert len(set(names.values())) == 2
    assert all(len(name) == 64 and HASHED.fullmatch(name[51:]) for name in names.values())
    assert names == names_of([other, one], {})


def test_tools_that_would_share_a_name_are_told_apart() -> None:
    """Both get a hash, whichever comes first; others are not touched."""
    tools = [("a", "get-sum"), ("a", "get_sum"), ("a_", "x"), ("a", "_x"), ("a", "plain")]
    names = names_of(tools, {})
    assert len(set(names.values())) == 5
    assert names["a", "plain"] == "mcp__a__plain"
    assert all(HASHED.search(names[tool]) for tool in tools[:2])


def test_a_name_once_given_stays() -> None:
    """A tool that comes later gets the hash, so that calls and answers of before mean what they meant."""
    first = names_of([("a", "get-sum")], {})
    both = names_of([("a", "get_sum"), ("a", "get-sum")], first)
    assert both["a", "get-sum"] == "mcp__a__get_sum"
    assert HASHED.search(both["a", "get_sum"])


def test_order_is_the_servers() -> None:
    """S0-92: names come in the order of the tools, duplicates once."""
    tools = [("b", "2"), ("a", "1"), ("b", "2"), ("b", "1")]
    assert list(names_of(tools, {})) == [("b", "2"), ("a", "1"), ("b", "1")]
