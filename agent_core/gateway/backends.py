"""Which client answers for a model name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..client import ModelClient
from ..errors import ConfigError, ModelNotFoundError

__all__ = ["Backends"]

MAX_SHOWN = 20


class Backends:
    """Clients by the names models are asked for. `default` answers for every other name."""

    def __init__(self, models: Mapping[str, ModelClient], default: ModelClient | None = None) -> None:
        if not models and default is None:
            raise ConfigError("a gateway needs a backend", remedy='pass default=ModelClient("provider/model")')
        self._models = dict(models)
        self._default = default

    @property
    def names(self) -> Sequence[str]:
        """The names that are listed, in order."""
        own = () if self._default is None else (self._default.model,)
        return tuple(dict.fromkeys((*self._models, *own)))

    def named(self, model: str) -> ModelClient:
        """Raises ModelNotFoundError (404) that says which there are."""
        client = self._models.get(model) or self._default
        if client is None:
            shown = ", ".join(self.names[:MAX_SHOWN]) + (", …" if len(self.names) > MAX_SHOWN else "")
            raise ModelNotFoundError(
                f"there is no model {model[:200]!r} here; there are: {shown}", status=404, code="model_not_found"
            )
        return client

    async def aclose(self) -> None:
        """Close every client, once."""
        every = [*self._models.values(), *([] if self._default is None else [self._default])]
        for client in {id(client): client for client in every}.values():
            await client.aclose()
