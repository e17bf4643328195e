"""`[models.NAME]`: who answers when a model is asked for by that name; `[routing]`: what is the same for all of them.

A model is a deployment of its own, or has several:

    [models]                                     [[models.fast.deployments]]
    large = "anthropic/claude-sonnet-4-6"        model = "lab/qwen3"
                                                 base_url = "http://10.0.0.1:8000/v1"
    [models.small]
    model = "openai/gpt-5.6-mini"                [[models.fast.deployments]]
    fallbacks = ["large"]                        model = "groq/openai/gpt-oss-120b"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self, cast

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ..circuit import Circuit
from ..client import ModelClient
from ..items import WireName
from ..prices import Price, Prices
from ..retry import RetryPolicy
from ..transport import Timeouts
from .deployments import Deployment
from .routes import ATTEMPTS, Route, patient
from .settings import HIDDEN, Count, EnvName, Seconds, Table, Texts, placed, secret_of, unknown_key
from .strategies import Strategy

__all__ = ["DeploymentSettings", "ModelSettings", "PriceSettings", "RoutingSettings"]

Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_SECRETS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"})
_ONE = f"{HIDDEN}one"


class RoutingSettings(Table):
    """`[routing]`. `default`: the model that answers for every name there is none of. `attempts`: how often all that
    may answer a request are asked, the first time included. After `failures` in a row a deployment is left alone for
    `cooldown_s`, twice as long after each trial that fails, up to `max_cooldown_s`."""

    default: str = ""
    attempts: Annotated[int, Field(ge=1, le=100)] = ATTEMPTS
    failures: Count = 5
    cooldown_s: Seconds = 30.0
    max_cooldown_s: Seconds = 300.0

    def circuit(self) -> Circuit:
        return Circuit(failures=self.failures, cooldown_s=self.cooldown_s, max_cooldown_s=self.max_cooldown_s)


class PriceSettings(Table):
    """What a million tokens cost: `[prices."provider/model"]`, or a pattern of it; or the price of a deployment."""

    input: Rate
    output: Rate
    cache_read: Rate | None = None
    cache_write: Rate | None = None
    cache_write_1h: Rate | None = None
    reasoning: Rate | None = None
    currency: str = "USD"

    def price(self) -> Price:
        return Price(**self.model_dump())


class DeploymentSettings(Table):
    """One deployment. `model` is "provider/model"; the times, `wire`, `headers` and `compat` as for a ModelClient."""

    model: str
    name: str = ""
    base_url: str | None = None
    wire: WireName | None = None
    api_key_env: EnvName | None = None
    weight: Count = 1
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    max_in_flight: Count | None = None
    price: PriceSettings | None = None
    connect_s: Seconds | None = None
    first_event_s: Seconds | None = None
    idle_s: Seconds | None = None
    total_s: Seconds | None = None
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    compat: dict[str, object] = Field(default_factory=dict[str, object])

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if name.lower() in _SECRETS:
                raise PydanticCustomError(
                    "secret", "holds a secret ({name}): name its variable with api_key_env", {"name": name}
                )
        return headers

    def deployment(self, routing: RoutingSettings) -> Deployment:
        """Raises ConfigError for a model, wire or key there is none of."""
        client = ModelClient(
            self.model,
            wire=self.wire,
            base_url=self.base_url,
            api_key=secret_of(self.api_key_env) if self.api_key_env else None,
            retry=RetryPolicy(max_attempts=1),  # the route tries again, elsewhere first
            timeouts=self._timeouts(),
            compat=self.compat,
            headers=self.headers,
        )
        return Deployment(
            client,
            name=self.name,
            weight=self.weight,
            price=self.price.price() if self.price else None,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            max_in_flight=self.max_in_flight,
            circuit=routing.circuit(),
        )

    def _timeouts(self) -> Timeouts:
        names = ("connect_s", "first_event_s", "idle_s", "total_s")
        return Timeouts(**{name: value for name in names if (value := getattr(self, name)) is not None})


class ModelSettings(Table):
    """A model: the keys of its one deployment beside its own, or a list of `deployments`; a text is a `model` alone."""

    strategy: Strategy = "round_robin"
    fallbacks: Texts = ()
    deployments: Annotated[tuple[DeploymentSettings, ...], Field(strict=False)] = ()
    one: DeploymentSettings | None = Field(None, alias=_ONE)

    @model_validator(mode="before")
    @classmethod
    def _folded(cls, value: object) -> object:
        """The keys of a lone deployment in a table of their own, which no message names."""
        if isinstance(value, str):
            return {_ONE: {"model": value}}
        given: object = value
        if not isinstance(given, dict) or "deployments" in given:
            return value
        table = cast("dict[str, object]", given)
        own = {"strategy", "fallbacks"}
        for key in table:
            if key not in own and key not in DeploymentSettings.model_fields:
                raise unknown_key(key, (*DeploymentSettings.model_fields, *own, "deployments"))
        of_one = {key: entry for key, entry in table.items() if key not in own}
        return {key: entry for key, entry in table.items() if key in own} | {_ONE: of_one}

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.one is None and not self.deployments:
            raise PydanticCustomError("too_short", "no deployment")
        return self

    def route(self, where: str, routing: RoutingSettings, prices: Prices) -> Route:
        """Raises ConfigError, with the place in the file before it."""
        deployments: list[Deployment] = []
        for place, settings in enumerate(self.deployments, 1):
            with placed(f"{where} deployments {place}"):
                deployments.append(settings.deployment(routing))
        with placed(where):
            if self.one is not None:
                deployments.append(self.one.deployment(routing))
            return Route(
                deployments,
                strategy=self.strategy,
                fallbacks=self.fallbacks,
                retry=patient(routing.attempts),
                prices=prices,
            )

    def prices(self) -> Mapping[str, Price]:
        """Those that stand beside a deployment, by "provider/model"."""
        every = (*self.deployments, *([self.one] if self.one else []))
        return {one.model: one.price.price() for one in every if one.price is not None}
