"""One MCP server as its user describes it: how it is reached, which of its tools count, and how far it is trusted."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from ...errors import ConfigError

__all__ = ["MAX_MESSAGE_BYTES", "McpServer"]

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Of one message of a server: several pictures fit."""
_MAX_TIMEOUT_S = 86400.0
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PATTERN_LISTS = ("enabled_tools", "disabled_tools", "read_only_tools", "trusted_tools")


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """A server that is started with `command` and spoken to over its pipes, or one at `url` (streamable HTTP).

    `env` are variables it is given, `env_vars` names of ours it inherits beside the harmless ones a command gets, see
    `shell.INHERITED_ENV`; everything else may be a secret. `bearer_token_env_var` names the variable that holds the
    token, `env_http_headers` maps headers to variables. `cwd` defaults to the directory of the `McpServers`.

    Lists of tools take the server's own names, and patterns such as `read_*`. A tool counts if it is enabled and not
    disabled. Calls are asked about unless the tool is in `trusted_tools` or known to change nothing: because it is in
    `read_only_tools`, or, with `trust_annotations`, because the server says so. `parallel`: its calls may overlap, not
    only those that change nothing. `roots`: tell the server, if it asks, in which directory we work. `resources`: let
    the model list and read what the server offers beside its tools.

    `required`: without it nothing is started. `max_restarts`: how often in a row a server that is gone is started
    again. Raises ConfigError for what cannot be meant.
    """

    name: str = field(kw_only=False)
    command: str = ""
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    env_vars: Sequence[str] = ()
    cwd: Path | None = None
    url: str = ""
    http_headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    env_http_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    bearer_token_env_var: str = ""
    enabled: bool = True
    required: bool = False
    startup_timeout_s: float = 30.0
    tool_timeout_s: float = 60.0
    enabled_tools: Sequence[str] = ("*",)
    disabled_tools: Sequence[str] = ()
    read_only_tools: Sequence[str] = ()
    trusted_tools: Sequence[str] = ()
    trust_annotations: bool = False
    parallel: bool = False
    roots: bool = False
    resources: bool = True
    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_restarts: int = 10

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"{self.name!r} cannot be an MCP server's name", remedy="use letters, digits, '_' or '-', at most 64"
            )
        if bool(self.command) == bool(self.url):
            raise self._wrong(
                "has both command and url" if self.url else "has neither command nor url",
                "give the command that starts it, or the URL where it is",
            )
        foreign = _NOT_FOR_URL if self.url else _NOT_FOR_COMMAND
        if wrong := next((key for key in foreign if getattr(self, key)), None):
            raise self._wrong(f"has {wrong}, which is nothing for a server with {'url' if self.url else 'command'}")
        if self.url:
            self._check_url()
        for key in ("startup_timeout_s", "tool_timeout_s"):
            seconds: float = getattr(self, key)
            if not 0 < seconds <= _MAX_TIMEOUT_S:
                raise self._wrong(f"has {key} {seconds!r}", f"give seconds, more than 0, at most {_MAX_TIMEOUT_S:g}")
        for key in _PATTERN_LISTS:
            patterns: object = getattr(self, key)
            if isinstance(patterns, str):
                raise self._wrong(f"has the text {patterns!r} as {key}", f"write a list: [{patterns!r}]")

    def _check_url(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            parts, usable = None, False
        if not usable:
            raise self._wrong("has a url that is no http(s) URL", "write https://HOST/PATH")
        if parts is not None and (parts.username or parts.password):
            raise self._wrong("has a password in its url", "use bearer_token_env_var or env_http_headers")

    def _wrong(self, what: str, remedy: str = "leave one of them out") -> ConfigError:
        return ConfigError(f"MCP server {self.name!r} {what}", remedy=remedy)

    def offers(self, tool: str) -> bool:
        """Whether the tool of that name counts."""
        return _matches(tool, self.enabled_tools) and not _matches(tool, self.disabled_tools)

    def is_read_only(self, tool: str, *, annotated: bool) -> bool:
        """`annotated`: the server says of the tool that it changes nothing."""
        return _matches(tool, self.read_only_tools) or (self.trust_annotations and annotated)

    def trusts(self, tool: str) -> bool:
        """Whether the tool may be called without being asked about."""
        return _matches(tool, self.trusted_tools)

    def headers(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """The headers of every request, with what the environment holds. Raises ConfigError for a variable that is not
        set."""
        env = os.environ if environ is None else environ
        headers = dict(self.http_headers)
        wanted = dict(self.env_http_headers)
        for header, variable in wanted.items():
            headers[header] = self._variable(env, variable, f"env_http_headers.{header}")
        if self.bearer_token_env_var:
            token = self._variable(env, self.bearer_token_env_var, "bearer_token_env_var")
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _variable(self, env: Mapping[str, str], variable: str, key: str) -> str:
        value = env.get(variable, "").strip()
        if not value:
            raise self._wrong(f"needs the environment variable {variable}, of its {key}", f"set {variable}")
        return value


_NOT_FOR_URL = ("args", "env", "env_vars", "cwd")
_NOT_FOR_COMMAND = ("http_headers", "env_http_headers", "bearer_token_env_var")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
