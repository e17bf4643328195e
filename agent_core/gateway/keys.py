"""Keys of the gateway: what each may use, and how a key is known again without being kept.

A key is random, so its SHA-256 says nothing about it; only that is kept, in configurations and in memory.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256

from msgspec import Struct
from starlette.datastructures import Headers

from ..errors import ConfigError

__all__ = ["Budget", "Key", "Token", "hash_of", "keys_of", "matches", "new_key", "offered", "strong"]

MIN_CHARS = 16
"""Of a key: what is shorter can be guessed over a network."""
MAX_MODEL_CHARS = 512
"""A name that is longer fits no pattern."""

_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_PREFIX = "agc-"
_MAKE = "make one with `agent-core serve --new-key NAME`"


def new_key() -> str:
    """A key nobody can guess: 192 random bits."""
    return _PREFIX + secrets.token_urlsafe(24)


def hash_of(key: str) -> str:
    """What is kept of a key: `sha256:` and 64 hex digits."""
    return f"sha256:{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


class Budget(Struct, frozen=True):
    """What a key may spend: in a day and a month of UTC, and in all; None is no limit."""

    day: Decimal | None = None
    month: Decimal | None = None
    total: Decimal | None = None
    currency: str = "USD"

    def __post_init__(self) -> None:
        for period in ("day", "month", "total"):
            amount: Decimal | None = getattr(self, period)
            if amount is not None and not (amount.is_finite() and amount >= 0):
                raise ConfigError(f"a budget of {amount} a {period} cannot be", remedy="give a sum from 0 up")

    def __bool__(self) -> bool:
        return any(amount is not None for amount in (self.day, self.month, self.total))


class Key(Struct, frozen=True):
    """Someone who may use the gateway. `name` is unique, no secret, and what budgets and logs know it by; `hash` is
    `hash_of` the key. `models`: patterns of the names it may ask for, where `*` stands for anything; None is all, an
    empty one none. It is not let in when `disabled`, nor from `expires` on.

    Raises ConfigError for a name, a hash or a number that cannot be one.
    """

    name: str
    hash: str
    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget: Budget = Budget()
    expires: datetime | None = None
    disabled: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"{self.name[:64]!r} is no name for a key", remedy="use up to 64 letters, digits, dots and dashes"
            )
        if not _HASH.fullmatch(self.hash):  # not shown: it may be the key itself
            raise ConfigError(f"the hash of the key {self.name!r} is no hash", remedy=_MAKE)
        for limit in (self.requests_per_minute, self.tokens_per_minute):
            if limit is not None and limit < 1:
                raise ConfigError(f"the key {self.name!r} has a limit below 1", remedy="disable it, or raise the limit")
        if self.expires is not None and self.expires.tzinfo is None:
            raise ConfigError(f"the end of the key {self.name!r} has no time zone", remedy="end it with Z")

    def __repr__(self) -> str:
        return f"Key({self.name!r})"

    def may_use(self, model: str) -> bool:
        """T-Q4, behaviours.md S0-8: by the name the client uses, with case."""
        return self.models is None or any(_fits(pattern, model) for pattern in self.models)

    def expired(self, now: float) -> bool:
        return self.expires is not None and now >= self.expires.astimezone(UTC).timestamp()


class Token:
    """A secret of its own for what runs the gateway (`/admin`, `/metrics`). Raises ConfigError for a weak one."""

    __slots__ = ("_hash",)

    def __init__(self, secret: str) -> None:
        if secret.startswith("sha256:") and not _HASH.fullmatch(secret):
            raise ConfigError("the hash of a token is no hash", remedy=_MAKE)
        self._hash = secret if _HASH.fullmatch(secret) else hash_of(strong(secret, "the token"))

    def __repr__(self) -> str:
        return "Token(…)"

    def is_in(self, headers: Headers) -> bool:
        found = [matches(given, [self._hash]) for given in offered(headers)]
        return found.count(None) < len(found)


def keys_of(keys: Iterable[str | Key]) -> tuple[Key, ...]:
    """Keys as they were given, plain ones under a name made of their hash. Raises ConfigError for one that could be
    guessed or sent by no client, and for two of one name or one hash."""
    known: dict[str, Key] = {}
    for place, given in enumerate(keys, 1):
        key = given if isinstance(given, Key) else _plain(given, place)
        if key.name in known or any(key.hash == other.hash for other in known.values()):
            raise ConfigError(f"the key {key.name!r} is there twice", remedy="give every key once, and its own name")
        known[key.name] = key
    return tuple(known.values())


def offered(headers: Headers) -> list[str]:
    """What a client shows: a bearer token, and what is in `x-api-key` (T-G12: in this order)."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return [given for given in (bearer, headers.get("x-api-key", "").strip()) if given]


def matches(given: str, hashes: Sequence[str]) -> int | None:
    """Which of the hashes is that of what was given. All are compared, whichever it is, and each in constant time: how
    long it takes says nothing about which one was near."""
    asked = hash_of(given)
    found = [place for place, known in enumerate(hashes) if hmac.compare_digest(asked, known)]
    return found[0] if found else None


def _plain(key: str, place: int) -> Key:
    hashed = hash_of(strong(key, f"key {place} of the gateway"))
    return Key(f"key-{hashed.removeprefix('sha256:')[:12]}", hashed)


def strong(secret: str, what: str) -> str:
    """The secret. Raises ConfigError for one that could be guessed, or that no client could send."""
    if len(secret) < MIN_CHARS or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ConfigError(
            f"{what} is no key",
            remedy=f"use at least {MIN_CHARS} visible ASCII characters, e.g. of `agent-core serve --new-key NAME`",
        )
    return secret


def _fits(pattern: str, name: str) -> bool:
    """Whether a name is that of a pattern with `*`, in time that follows their lengths."""
    if len(name) > MAX_MODEL_CHARS:
        return False
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == name
    *middle, last = rest
    at, end = len(first), len(name) - len(last)
    if at > end or not (name.startswith(first) and name.endswith(last)):
        return False
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
