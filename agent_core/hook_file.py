"""Hooks from TOML: one table `[[hooks]]` per hook, each a command.

    [[hooks]]
    point = "before_tool"
    command = ["python", "check.py"]
    tools = ["shell", "mcp__*"]
    timeout_s = 10

A command runs with the rights of whoever names the file: nothing looks for one by itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast, get_args

from .errors import ConfigError
from .hooks import Hook
from .toml_file import toml_tables
from .turn_events import HookPoint

__all__ = ["hooks_from_toml"]

_KEYS = ("point", "command", "tools", "timeout_s", "name")


def hooks_from_toml(path: str | os.PathLike[str]) -> list[Hook]:
    """The hooks of a file, in its order. Raises ConfigError with the file, the hook's number and the key."""
    file = Path(path).expanduser()
    tables = toml_tables(file).get("hooks")
    if not isinstance(tables, list):
        raise ConfigError(f"{file}: there is no table [[hooks]]", remedy="add one for each hook")
    return [_hook(table, f"{file}: hook {n}") for n, table in enumerate(cast("list[object]", tables), 1)]


def _hook(value: object, where: str) -> Hook:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is no table", remedy="write [[hooks]] above it")
    table = cast("dict[str, object]", value)
    for key in table:
        if key not in _KEYS:
            raise ConfigError(f"{where}: there is no key {key!r}", remedy=f"the keys are {', '.join(_KEYS)}")
    point, command, tools = table.get("point"), table.get("command"), table.get("tools", "*")
    timeout_s, name = table.get("timeout_s", 60.0), table.get("name", "")
    if point not in get_args(HookPoint):
        raise ConfigError(f"{where}: point is {point!r}", remedy=f"use one of {', '.join(get_args(HookPoint))}")
    words = _texts(command)
    if not words:
        raise ConfigError(f"{where}: command is {command!r:.100}", remedy='use a list: ["program", "argument"]')
    patterns = tools if isinstance(tools, str) else _texts(tools)
    if not patterns:
        raise ConfigError(f"{where}: tools is {tools!r:.100}", remedy='use "shell" or ["shell", "mcp__*"]')
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not isinstance(name, str):
        raise ConfigError(f"{where}: timeout_s must be a number of seconds, and name a text")
    return Hook(cast("HookPoint", point), words, tools=patterns, timeout_s=float(timeout_s), name=name)


def _texts(value: object) -> tuple[str, ...]:
    """A list of texts; empty for anything else."""
    entries = cast("list[object]", value) if isinstance(value, list) else []
    texts = tuple(entry for entry in entries if isinstance(entry, str) and entry)
    return texts if len(texts) == len(entries) else ()
