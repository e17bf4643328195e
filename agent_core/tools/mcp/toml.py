"""MCP servers from TOML, under the names Codex users know: one table `[mcp_servers.NAME]` per server.

Other tables of the file are somebody else's and not looked at; in ours every key has to be known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from ...errors import ConfigError
from ...toml_file import toml_tables
from .config import McpServer

__all__ = ["read_toml", "server_of"]


def read_toml(path: str | Path) -> list[McpServer]:
    """The servers of a file, in its order, those switched off too. A relative `cwd` is below the file's directory.

    Raises ConfigError with file, table, key and what to do.
    """
    file = Path(path).expanduser()
    document = toml_tables(file)
    tables = document.get("mcp_servers")
    if not isinstance(tables, dict):
        raise ConfigError(f"{file}: there is no table [mcp_servers.NAME]", remedy="add one for each server")
    servers: list[McpServer] = []
    for name, table in cast("dict[str, object]", tables).items():
        where = f"{file}: [mcp_servers.{name}]"
        if not isinstance(table, dict):
            raise ConfigError(f"{where} is no table", remedy="write a table with command or url")
        servers.append(server_of(name, cast("dict[str, object]", table), where, file.resolve().parent))
    return servers


def server_of(name: str, table: Mapping[str, object], where: str, folder: Path) -> McpServer:
    """The server of one table. A relative `cwd` is below `folder`. Raises ConfigError that begins with `where`."""
    members: dict[str, object] = {}
    for key, value in table.items():
        known = _KEYS.get(key)
        if known is None:
            near = get_close_matches(key, _KEYS, 1)
            raise ConfigError(
                f"{where} has an unknown key {key!r}",
                remedy=f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(sorted(_KEYS))}",
            )
        member, fits, kind = known
        if not fits(value):
            raise ConfigError(f"{where} {key} is not {kind}", remedy=f"write {kind}")
        members[member] = value
    if "cwd" in members:
        members["cwd"] = folder / Path(cast("str", members["cwd"])).expanduser()
    try:
        return _made(name, members)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", remedy=error.remedy) from None


def _made(name: str, members: Mapping[str, object]) -> McpServer:
    make = cast("Callable[..., McpServer]", McpServer)  # the table below says what each member is
    return make(name, **members)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(entry) for entry in cast("list[object]", value))


def _is_text_table(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(entry) for entry in cast("dict[str, object]", value).values())


_TEXT = (_is_text, "a string")
_FLAG = (_is_flag, "true or false")
_SECONDS = (_is_number, "a number of seconds")
_COUNT = (_is_count, "a whole number")
_TEXTS = (_is_texts, "a list of strings")
_TEXT_TABLE = (_is_text_table, "a table of strings")

_KEYS: dict[str, tuple[str, Callable[[object], bool], str]] = {
    "command": ("command", *_TEXT),
    "args": ("args", *_TEXTS),
    "env": ("env", *_TEXT_TABLE),
    "env_vars": ("env_vars", *_TEXTS),
    "cwd": ("cwd", *_TEXT),
    "url": ("url", *_TEXT),
    "http_headers": ("http_headers", *_TEXT_TABLE),
    "env_http_headers": ("env_http_headers", *_TEXT_TABLE),
    "bearer_token_env_var": ("bearer_token_env_var", *_TEXT),
    "enabled": ("enabled", *_FLAG),
    "required": ("required", *_FLAG),
    "startup_timeout_sec": ("startup_timeout_s", *_SECONDS),
    "tool_timeout_sec": ("tool_timeout_s", *_SECONDS),
    "enabled_tools": ("enabled_tools", *_TEXTS),
    "disabled_tools": ("disabled_tools", *_TEXTS),
    "supports_parallel_tool_calls": ("parallel", *_FLAG),
    # Ours; Codex has other words for some of it.
    "read_only_tools": ("read_only_tools", *_TEXTS),
    "trusted_tools": ("trusted_tools", *_TEXTS),
    "trust_annotations": ("trust_annotations", *_FLAG),
    "roots": ("roots", *_FLAG),
    "resources": ("resources", *_FLAG),
    "max_restarts": ("max_restarts", *_COUNT),
}
"""TOML key → member, what fits, and in words."""
