"""Who may use the gateway: keys, kept as hashes, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256

from starlette.datastructures import Headers

from ..errors import AuthenticationError, ConfigError
from .asking import Caller

__all__ = ["Keys"]

MIN_CHARS = 16
"""Of a key: what is shorter can be guessed over a network."""


class Keys:
    """The keys that are let in; with none, everybody is. Raises ConfigError for one that could be guessed or sent by no
    client. Never shown: a repr says how many there are."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        given = list(keys)
        for place, key in enumerate(given, 1):
            if len(key) < MIN_CHARS or not key.isascii() or not key.isprintable() or " " in key:
                raise ConfigError(
                    f"key {place} of the gateway is no key",
                    remedy=f"use at least {MIN_CHARS} visible ASCII characters, e.g. of `openssl rand -hex 24`",
                )
        self._hashes = tuple(_hash(key) for key in given)

    def __repr__(self) -> str:
        return f"Keys({len(self._hashes)} keys)"

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def caller(self, headers: Headers) -> Caller:
        """Whose key it is. Raises AuthenticationError for a request without one of them. OpenAI's clients send a bearer
        token, Anthropic's `x-api-key`; each of them takes either."""
        if not self._hashes:
            return Caller()
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
        if not given:
            raise AuthenticationError(
                "no API key: send one as a bearer token or as x-api-key", status=401, code="invalid_api_key"
            )
        hashed = _hash(given)
        # All of them are looked at, so that the time says nothing about which one was near.
        if not sum(hmac.compare_digest(hashed, known) for known in self._hashes):
            raise AuthenticationError("this API key is not known here", status=401, code="invalid_api_key")
        return Caller(f"key-{hashed.hex()[:12]}")


def _hash(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
