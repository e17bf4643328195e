"""`gateway.toml`: what a gateway serves and how, read from a file.

    [models]
    large = "anthropic/claude-sonnet-4-6"

    [models.fast]
    model = "lab/qwen3"
    base_url = "http://127.0.0.1:8000/v1"
    fallbacks = ["large"]

Every table is a model in the module of what it configures; here they are only put together (docs/gateway.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ..errors import ConfigError
from ..prices import ListedPrices, Price, Prices, PriceTable
from ..toml_file import toml_tables
from .access import Access
from .access_log import LogSettings
from .admission import AdmissionSettings
from .affinity import AffinitySettings
from .app import BODY_S, MAX_BODY_BYTES, Gateway
from .asking import Service, Watcher
from .cache import CacheSettings
from .key_settings import AdminSettings, KeySettings, LimitsSettings, insiders_of, memory_or
from .keys import Key
from .metrics import MetricsSettings
from .model_settings import ModelSettings, PriceSettings, RoutingSettings
from .redis_store import RedisSettings
from .relay import PING_S
from .server_tools_settings import ToolsSettings
from .settings import Count, Given, Seconds, ServiceTable, Table, WatcherTable, checked, placed
from .status import StatusSettings
from .stored import StoredSettings
from .stores import Store

__all__ = ["ConfigFile", "GatewaySettings", "gateway_from_toml", "read_config"]


class ServerSettings(Table):
    """`[server]`: where it listens, and what is read of a request."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8642
    max_body_bytes: Count = MAX_BODY_BYTES
    body_s: Seconds = BODY_S
    ping_s: Seconds = PING_S


class GatewaySettings(Table):
    """A whole file. Services and watchers are those that have a table."""

    server: ServerSettings = ServerSettings()
    routing: RoutingSettings = RoutingSettings()
    models: Annotated[dict[str, ModelSettings], Field(min_length=1)]
    aliases: dict[str, str] = Field(default_factory=dict[str, str])
    prices: dict[str, PriceSettings] = Field(default_factory=dict[str, PriceSettings])
    keys: Annotated[tuple[KeySettings, ...], Field(strict=False)] = ()
    limits: LimitsSettings | None = None
    admin: AdminSettings = AdminSettings()
    redis: RedisSettings | None = None
    # Services and watchers, a line each: name: NameSettings | None = None
    admission: AdmissionSettings = AdmissionSettings()
    store: StoredSettings = StoredSettings()
    cache: CacheSettings | None = None
    affinity: AffinitySettings | None = None
    tools: ToolsSettings | None = None
    metrics: MetricsSettings = MetricsSettings()
    status: StatusSettings = StatusSettings()
    log: LogSettings = LogSettings()


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration that was read, and where."""

    path: Path
    settings: GatewaySettings

    def gateway(self, *, keys: Iterable[str] = ()) -> Gateway:
        """Raises ConfigError for what does not fit together, or a key that is not set."""
        self._check_names()
        settings = self.settings
        prices = self.prices()
        routes = {
            name: model.route(f"{self.path}: [models.{name}]", settings.routing, prices)
            for name, model in settings.models.items()
        }
        given = Given(self.path.resolve().parent, prices, tuple(routes), self._shared())
        services, watchers = self._services(given), self._watchers(given)
        access = self._access(keys, given)
        with placed(f"{self.path}: [admin]"):
            admin, metrics = settings.admin.token(), settings.admin.metrics_token()
            insiders = insiders_of(admin, metrics, open_to_all=not access)
        with placed(str(self.path)):
            return Gateway(
                routes,
                default=settings.routing.default or None,
                aliases=settings.aliases,
                keys=access,
                admin=admin,
                insiders=insiders,
                services=services,
                watchers=watchers,
                prices=prices,
                max_body_bytes=settings.server.max_body_bytes,
                body_s=settings.server.body_s,
                ping_s=settings.server.ping_s,
            )

    def _access(self, keys: Iterable[str], given: Given) -> Access:
        """The keys of the file, and others that were given."""
        made: list[str | Key] = [*keys]
        for nth, key in enumerate(self.settings.keys, 1):
            with placed(f"{self.path}: [[keys]] {nth}"):
                made.append(key.key())
        with placed(f"{self.path}: [limits]"):
            ledger = memory_or(self.settings.limits, given)
        with placed(f"{self.path}: [[keys]]"):
            return Access(made, ledger=ledger)

    def _check_names(self) -> None:
        settings = self.settings
        named = [("[routing] default", settings.routing.default)] if settings.routing.default else []
        named += [(f"[aliases] {alias}", name) for alias, name in settings.aliases.items()]
        for name, model in settings.models.items():
            named += [(f"[models.{name}] fallbacks", other) for other in model.fallbacks]
        for where, name in named:
            if name not in settings.models:
                raise ConfigError(
                    f"{self.path}: {where} names {name!r}, and there is no such model",
                    remedy=f"name one of {', '.join(settings.models)}",
                )

    def prices(self) -> Prices:
        """Those of the file, those beside deployments, then those that are listed, where the list is installed."""
        own: dict[str, Price] = {}
        for name, price in self.settings.prices.items():
            with placed(f"{self.path}: [prices.{name}]"):
                own[name] = price.price()
        for name, model in self.settings.models.items():
            with placed(f"{self.path}: [models.{name}]"):
                own = {**model.prices(), **own}
        return PriceTable(own, otherwise=ListedPrices() if ListedPrices.installed() else None)

    def _shared(self) -> Store | None:
        if self.settings.redis is None:
            return None
        with placed(f"{self.path}: [redis]"):
            return self.settings.redis.store()

    def _services(self, given: Given) -> list[Service]:
        services: list[Service] = []
        for name, table in self.settings:
            if isinstance(table, ServiceTable):
                with placed(f"{self.path}: [{name}]"):
                    services.append(table.service(given))
        return services

    def _watchers(self, given: Given) -> list[Watcher]:
        watchers: list[Watcher] = []
        for name, table in self.settings:
            if isinstance(table, WatcherTable) and table.enabled:
                with placed(f"{self.path}: [{name}]"):
                    watchers.append(table.watcher(given))
        return watchers


def read_config(path: str | os.PathLike[str]) -> ConfigFile:
    """Raises ConfigError that names the file, the table and the key."""
    file = Path(path).expanduser()
    return ConfigFile(file, checked(GatewaySettings, toml_tables(file), file))


def gateway_from_toml(path: str | os.PathLike[str], *, keys: Iterable[str] = ()) -> Gateway:
    """The gateway of a configuration file. Raises ConfigError that names the file, the table and the key."""
    return read_config(path).gateway(keys=keys)
