"""Keys: where one comes from, which header it travels in, and how it stays out of everything else.

A key is a string, a callable (sync or async, asked again for every attempt: tokens expire), or found in the environment
when a request is made. It is held in one place only, which shows it in no repr; `hide` takes it out of what a server
echoes, before that becomes an error.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import TypeAlias

from .errors import ConfigError, MissingKeyError
from .providers import AuthStyle, Provider

__all__ = ["ApiKey", "Credentials", "key_variable"]

ApiKey: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]

_HEADERS: Mapping[AuthStyle, tuple[str, str]] = {
    "bearer": ("authorization", "Bearer "),
    "x-api-key": ("x-api-key", ""),
    "api-key": ("api-key", ""),
}

_HIDDEN_FROM = 8  # characters: shorter "keys" (`x`, `test`) are words that occur in any text


def key_variable(provider: Provider, env: Mapping[str, str] | None = None) -> str | None:
    """The environment variable a provider's key would be taken from, or None if none of them is set."""
    env = os.environ if env is None else env
    return next((name for name in provider.key_env if env.get(name, "").strip()), None)


class Credentials:
    """The key of one client. `headers()` is awaited once per attempt; only its caller sees the key.

    Without an `api_key` the provider's variables are looked at, each time. A missing key is a MissingKeyError if
    `required`; else nothing is sent.
    """

    __slots__ = ("_api_key", "_env", "_header", "_last", "_provider", "_required", "_style")

    def __init__(
        self,
        provider: Provider,
        style: AuthStyle,
        *,
        api_key: ApiKey | None = None,
        required: bool = True,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._provider = provider
        self._style: AuthStyle = style
        self._api_key = api_key
        self._required = required
        self._env = os.environ if env is None else env
        self._last = ""
        self._header: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Credentials({self._provider.name!r}, {self._style!r})"

    async def headers(self) -> Mapping[str, str]:
        """The header that authenticates, or none. Raises MissingKeyError; ConfigError for a key no header can carry."""
        known = self.at_hand()
        if known is not None:
            return known
        given = self._api_key() if callable(self._api_key) else ""
        return self._header_of(await given if isawaitable(given) else given)

    def at_hand(self) -> Mapping[str, str] | None:
        """`headers` where nothing has to be asked for a key; None where a callable has."""
        if self._style == "none":
            return {}
        if self._api_key is None:
            variable = key_variable(self._provider, self._env)
            return self._header_of(self._env[variable] if variable else "")
        return self._header_of(self._api_key) if isinstance(self._api_key, str) else None

    def _header_of(self, key: str) -> Mapping[str, str]:
        key = key.strip()
        if key and key == self._last:
            return self._header
        if not key:
            if self._required:
                raise self._missing()
            return {}
        if not all("!" <= char <= "~" for char in key):
            raise ConfigError(
                f"the API key for {self._provider.name!r} holds characters that no header can carry",
                remedy="copy the key again: no spaces, line breaks or typographic quotes",
            )
        name, prefix = _HEADERS[self._style]
        self._last, self._header = key, {name: f"{prefix}{key}"}
        return self._header

    def hide(self, body: bytes) -> bytes:
        """`body` without the key last used, should a server have echoed it."""
        if len(self._last) < _HIDDEN_FROM:
            return body
        return body.replace(self._last.encode(), b"[key]")

    def _missing(self) -> MissingKeyError:
        name = self._provider.name
        if self._api_key is not None:
            return MissingKeyError(
                f"the API key given for {name!r} is empty", remedy="pass a key, or leave api_key out"
            )
        variables = " or ".join(self._provider.key_env)
        return MissingKeyError(f"no API key for provider {name!r}", remedy=f"set {variables}, or pass api_key=")
