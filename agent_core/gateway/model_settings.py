"""`[models.NAME]`: who answers when a model is asked for by that name."""

from __future__ import annotations

from pydantic import Field, model_validator

from ..client import ModelClient
from ..items import WireName
from ..transport import Timeouts
from .settings import EnvName, Seconds, Table, secret_of

__all__ = ["ModelSettings"]


class ModelSettings(Table):
    """One model; a text is its `model` alone. `model` is "provider/model", the others as for `ModelClient`."""

    model: str
    base_url: str | None = None
    wire: WireName | None = None
    api_key_env: EnvName | None = None
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    compat: dict[str, object] = Field(default_factory=dict[str, object])
    connect_s: Seconds | None = None
    first_event_s: Seconds | None = None
    idle_s: Seconds | None = None
    total_s: Seconds | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {"model": value} if isinstance(value, str) else value

    def client(self) -> ModelClient:
        """Raises ConfigError for a model, wire or key there is none of."""
        return ModelClient(
            self.model,
            wire=self.wire,
            base_url=self.base_url,
            api_key=secret_of(self.api_key_env) if self.api_key_env else None,
            timeouts=self._timeouts(),
            compat=self.compat,
            headers=self.headers,
        )

    def _timeouts(self) -> Timeouts:
        names = ("connect_s", "first_event_s", "idle_s", "total_s")
        return Timeouts(**{name: value for name in names if (value := getattr(self, name)) is not None})
