"""Keys, their limits and the tokens of those who run the gateway, as tables of a configuration file."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ..errors import ConfigError
from .insiders import Insiders, Shows, Who
from .keys import Budget, Key, Token, hash_of, strong
from .ledger import Ledger, MemoryLedger, SqliteLedger
from .redis_ledger import RedisLedger
from .redis_store import RedisStore
from .settings import Count, EnvName, Given, Table, Texts, secret_of

__all__ = ["AdminSettings", "BudgetSettings", "KeySettings", "LimitsSettings", "insiders_of", "memory_or"]

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class BudgetSettings(Table):
    """`budget = {…}` of a key: see Budget."""

    day: Amount | None = None
    month: Amount | None = None
    total: Amount | None = None
    currency: str = "USD"

    def budget(self) -> Budget:
        return Budget(_money(self.day), _money(self.month), _money(self.total), self.currency)


class KeySettings(Table):
    """`[[keys]]`: see Key. The key itself is in no file: `hash` is what `agent-core serve --new-key` prints, or `env`
    names the variable that holds it. A day in `expires` is its first moment in UTC."""

    name: str
    hash: str = ""
    env: EnvName | None = None
    models: Texts | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    budget: BudgetSettings = BudgetSettings()
    expires: datetime | date | None = None
    disabled: bool = False

    def key(self) -> Key:
        """Raises ConfigError for what is no key, or is not set."""
        return Key(
            self.name,
            _hash(self.hash, self.env, f"the key {self.name[:64]!r}"),
            models=self.models,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            budget=self.budget.budget(),
            expires=_moment(self.expires),
            disabled=self.disabled,
        )


class LimitsSettings(Table):
    """`[limits]`: where it is written down what keys used: a `file`, beside the configuration, for all processes of one
    machine, or the Redis of `[redis]`, for several. Without the table it is in memory, and forgotten at the end."""

    file: str = ""
    redis: bool = False

    def ledger(self, given: Given) -> Ledger:
        """Raises ConfigError for both or none of them, and for a folder or a Redis that is not there."""
        if self.redis == bool(self.file):
            raise ConfigError("one of file and redis is needed", remedy='write file = "used.sqlite" or redis = true')
        if self.file:
            return SqliteLedger(given.folder / Path(self.file).expanduser())
        if not isinstance(given.shared, RedisStore):
            raise ConfigError("redis = true needs a [redis]", remedy="write the table, or name a file")
        return RedisLedger(given.shared)


class AdminSettings(Table):
    """`[admin]`: the secrets for the inside of the gateway, each as a hash (`hash`) or the name of the variable that
    holds it (`env`): that of those who run it, and that of who collects metrics."""

    hash: str = ""
    env: EnvName | None = None
    metrics_hash: str = ""
    metrics_env: EnvName | None = None

    def token(self) -> Token | None:
        return _token(self.hash, self.env, "the token of [admin]")

    def metrics_token(self) -> Token | None:
        return _token(self.metrics_hash, self.metrics_env, "the token for metrics")


def insiders_of(admin: Token | None, metrics: Token | None, *, open_to_all: bool) -> Insiders:
    """Who may see which pages: metrics also those who may see everything, where they have no token of their own."""
    tokens: dict[Who, Shows] = {}
    if admin is not None:
        tokens["admin"] = admin
    if (shown := metrics or admin) is not None:
        tokens["metrics"] = shown
    return Insiders(tokens, open_to_all=open_to_all)


def memory_or(limits: LimitsSettings | None, given: Given) -> Ledger:
    return MemoryLedger() if limits is None else limits.ledger(given)


def _token(hashed: str, env: str | None, what: str) -> Token | None:
    return Token(_hash(hashed, env, what)) if hashed or env else None


def _hash(hashed: str, env: str | None, what: str) -> str:
    if bool(hashed) == (env is not None):
        raise ConfigError(f"{what} needs one of hash and env", remedy="write the one, and not the other")
    return hashed if env is None else hash_of(strong(secret_of(env), f"what {env} holds"))


def _moment(given: datetime | date | None) -> datetime | None:
    if given is None or isinstance(given, datetime):
        return given
    return datetime(given.year, given.month, given.day, tzinfo=UTC)


def _money(amount: float | None) -> Decimal | None:
    return None if amount is None else Decimal(str(amount))
